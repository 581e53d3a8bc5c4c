"""The comparison itself: one contestant after the other on the same topic, each judged against the first one."""

import statistics
import sys

from confluent_kafka import Consumer, KafkaException, TopicPartition

from . import alone, observe, outputs, places
from .broker import Topics
from .contestant import Job, end_of_log, running
from .contestants import ALL
from .report import Result, Run
from .workloads import PARTITIONS

INPUT = "readings"
# Without anything new for so long, or for so many commit intervals, a run that has enough records is over.
QUIET, QUIET_COMMITS = 3.0, 4
# The broker is warm when its compiler took less than this share of its CPU time in a whole run; no more runs than these
# are spent on it.
COMPILING, WARM_RUNS, RELAY = 0.1, 12, ALL["relay-whole"]


def play(workload, contestants, readings, rounds, broker, folder, patience):
    """All results, and the rows/s of the model alone. Every other round goes through the contestants backwards, so that
    none always follows the same one."""
    brokers = broker.address
    say(f"feeding {readings:,} readings")
    Topics(brokers).create(INPUT, PARTITIONS)
    workload.feed(places.binary(), brokers, INPUT, workload.assets(readings), workload.steps)
    source_ends = ends(brokers, INPUT)
    if sum(source_ends) != readings:
        raise RuntimeError(f"the input holds {sum(source_ends)} messages instead of {readings}")
    model = workload.model
    if workload.make:
        model = folder / workload.model
        workload.make(model)
    results = {contestant.name: Result(contestant) for contestant in contestants}
    ours = reference(contestants[0], job_of("warm", brokers, folder, workload, model), broker, patience, source_ends)
    warm_up(contestants[0], lambda name: job_of(name, brokers, folder, workload, model), broker, patience, source_ends)
    limits = [alone.rate(model)]
    for number in range(rounds):
        for contestant in contestants[:: -1 if number % 2 else 1]:
            result, name = results[contestant.name], f"{contestant.name}-{number}"
            say(f"{contestant.title}, round {number + 1} of {rounds}")
            job = job_of(name, brokers, folder, workload, model)
            try:
                seen, found = run(contestant, job, broker, patience, source_ends)
            except (RuntimeError, KafkaException) as failed:
                result.failure = str(failed)
                say(f"{failed}\n{end_of_log(job)}")
                continue
            result.add(judged(workload, contestant.form, readings, seen, ours, found))
            say(told(result))
        limits.append(alone.rate(model))
    say(f"the model alone, in turns with them: {', '.join(f'{limit:,.0f}' for limit in limits)} rows/s")
    return list(results.values()), statistics.median(limits)


def job_of(name, brokers, folder, workload, model):
    return Job(brokers, INPUT, f"{name}-out", name, folder / name, workload, model)


def judged(workload, form, readings, seen, ours, found):
    """(a run's figures, what is wrong with its outputs in words)."""
    wrong = outputs.compare(ours, found, form, workload.tolerance)
    if form == outputs.COPIES:
        whole, half = observe.stretches(seen, found.offsets, (1, readings // 2), 1)
        return Run(whole, half, seen.peak_rss, found.size, 0.0), wrong
    marks, per_output = workload.marks(readings), workload.readings_per_output()
    whole, half = observe.stretches(seen, found.offsets, marks, per_output)
    return Run(whole, half, seen.peak_rss, found.size, outputs.difference(ours, found)), wrong


def reference(contestant, job, broker, patience, source_ends):
    """The outputs that all are compared with. The run is not timed: it warms the broker, which is a JVM too."""
    say(f"{contestant.title}, to warm the broker up")
    try:
        _, found = run(contestant, job, broker, patience, source_ends)
        told = outputs.problems(found)
    except (RuntimeError, KafkaException) as failed:
        told = [str(failed)]
    if told:
        raise SystemExit(f"nothing to compare with: {'; '.join(told)}\n{end_of_log(job)}")
    return found


def warm_up(contestant, job, broker, patience, source_ends):
    """The relay, which asks most of a broker, and a contestant in turns, until its compiler has little left to do."""
    for number in range(WARM_RUNS):
        before = observe.compiler_seconds(broker.pid), observe.cpu_seconds(broker.pid)
        run((RELAY, contestant)[number % 2], job(f"warm-{number}"), broker, patience, source_ends, read=False)
        compiling = observe.compiler_seconds(broker.pid) - before[0]
        share = compiling / (observe.cpu_seconds(broker.pid) - before[1])
        say(f"  the broker's compiler took {share:.0%} of its CPU time")
        if share < COMPILING:
            break


def run(contestant, job, broker, patience, source_ends, read=True):
    """(what was seen, the outputs, unless they are not to be read)."""
    job.folder.mkdir()
    # A client of its own for each: one that has met a missing topic goes on for a while to believe it missing.
    topics = Topics(job.brokers)
    topics.create(job.output, PARTITIONS)
    try:
        with running(contestant, job) as processes:
            quiet = max(QUIET, QUIET_COMMITS * contestant.commit_interval)
            readings = sum(source_ends)
            expected = readings if contestant.form == outputs.COPIES else job.workload.outputs(readings)
            watched = observe.Watched(processes, broker.pid, lambda: topics.ends(job.output, PARTITIONS))
            seen = observe.watch(watched, expected, quiet, patience)
        found = outputs.read(job.brokers, job.output, job.workload, source_ends, contestant.form) if read else None
        return seen, found
    finally:
        topics.delete(job.output)


def ends(brokers, topic):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "peers-reader"})
    try:
        return [consumer.get_watermark_offsets(TopicPartition(topic, p), 60)[1] for p in range(PARTITIONS)]
    finally:
        consumer.close()


def told(result):
    if result.failure:
        return f"  {result.failure}"
    whole = result.runs[-1].whole
    if not whole:
        return "  all in one commit: too few readings for a rate"
    return (
        f"  {whole.rate:,.0f} readings/s over {whole.readings:,} in {whole.seconds:.2f} s, {whole.cpu:.2f} CPU s, "
        f"{whole.broker_cpu:.2f} of the broker"
    )


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)
