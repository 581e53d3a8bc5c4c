"""The comparison itself: one contestant after the other on the same topic, each judged against the first one."""

import sys

from confluent_kafka import Consumer, TopicPartition

from . import observe, outputs, places
from .broker import Topics
from .contestant import Job, end_of_log, running
from .report import Result
from .workloads import PARTITIONS

INPUT = "readings"
# Without anything new for so long, or for so many commit intervals, a run that has enough records is over.
QUIET, QUIET_COMMITS = 3.0, 4


def play(workload, contestants, readings, brokers, folder, patience):
    say(f"feeding {readings:,} readings")
    workload.feed(places.binary(), brokers, INPUT, readings)
    source_ends = ends(brokers, INPUT)
    if sum(source_ends) != readings:
        raise RuntimeError(f"the input holds {sum(source_ends)} messages instead of {readings}")
    results, ours = [], None
    for contestant in contestants:
        say(contestant.title)
        job = Job(brokers, INPUT, f"{contestant.name}-out", contestant.name, folder / contestant.name, workload)
        job.folder.mkdir()
        # A client of its own for each: one that has met a missing topic goes on for a while to believe it missing.
        topics = Topics(brokers)
        topics.create(job.output, PARTITIONS)
        result = Result(contestant)
        results.append(result)
        try:
            seen = run(contestant, job, topics, readings, patience)
            found = outputs.read(brokers, job.output, source_ends, contestant.parse)
        except RuntimeError as failed:
            result.failure = str(failed)
            say(f"{failed}\n{end_of_log(job)}")
            continue
        finally:
            topics.delete(job.output)
        ours = ours or found
        result.failure = "; ".join(outputs.compare(ours, found))
        result.whole, result.half = observe.stretches(seen, found.offsets)
        result.peak_rss, result.size = seen.peak_rss, found.size
        result.apart = outputs.difference(ours, found)
        say(told(result))
    return results


def run(contestant, job, topics, readings, patience):
    with running(contestant, job) as processes:
        quiet = max(QUIET, QUIET_COMMITS * contestant.commit_interval)
        return observe.watch(lambda: topics.ends(job.output, PARTITIONS), processes, readings, quiet, patience)


def ends(brokers, topic):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "peers-reader"})
    try:
        return [consumer.get_watermark_offsets(TopicPartition(topic, p), 60)[1] for p in range(PARTITIONS)]
    finally:
        consumer.close()


def told(result):
    if result.failure or not result.whole:
        return f"  {result.failure or 'all in one commit: too few readings for a rate'}"
    whole = result.whole
    return f"  {whole.rate:,.0f} readings/s over {whole.readings:,} in {whole.seconds:.2f} s, {whole.cpu:.2f} CPU s"


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)
