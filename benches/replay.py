"""How fast the log becomes a table: `forewarn replay` beside a plain Python script.

    topic of 1,000,000 car readings ──┬─ forewarn replay --view car ─────────────────▶ Parquet ─┐
                                      └─ confluent-kafka, json.loads, polars ─────────▶ Parquet ─┴▶ equal?

    python3 -m venv VENV && VENV/bin/pip install confluent-kafka polars
    scripts/kafka.sh with -- VENV/bin/python benches/replay.py target/release/forewarn

Needs confluent-kafka and polars, and the address of a broker in FOREWARN_TEST_BROKERS. The topic is filled once. The
programs take turns, three times each; a time is that of the whole process, from its start to its end, and the best one
counts. `ndjson` is the same script, but polars parses all lines of a chunk at once: what a person writes who has
measured.

Not here: what the stages of the engine cost (`stages.rs`).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

ROUNDS = 3
# Rows of a table that are made at once.
CHUNK = 100_000


def plain(brokers, topic, output, ndjson):
    """The script beside which it is measured: read, parse, write."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "plain", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic).topics[topic].partitions
    left = 0
    for partition in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition))
        left += high - low
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    frames, places, values = [], [], []
    while left > 0:
        for message in consumer.consume(10_000, 1.0):
            places.append((message.partition(), message.offset()))
            values.append(message.value() if ndjson else json.loads(message.value()))
            left -= 1
        if len(values) >= CHUNK or left == 0:
            frames.append(table(places, values, ndjson))
            places, values = [], []
    consumer.close()
    pl.concat(frames).write_parquet(output)


def table(places, values, ndjson):
    readings = pl.read_ndjson(b"\n".join(values)) if ndjson else pl.DataFrame(values)
    micros = (pl.col("time") * 1_000_000).cast(pl.Int64).cast(pl.Datetime("us"))
    heads = pl.DataFrame(places, schema={"partition": pl.Int32, "offset": pl.Int64}, orient="row")
    readings = readings.rename({"car": "asset"}).with_columns(micros.alias("time"))
    return readings.hstack(heads)


def measured(command, **options):
    begun, before = time.monotonic(), spent()
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{command[:3]}: {done.stdout}{done.stderr}")
    return time.monotonic() - begun, spent() - before


def spent():
    """Processor seconds of all programs that have ended, in all their threads."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(ours, theirs):
    """Every reading of both tables, with every signal, bit for bit."""
    key = ["partition", "offset"]
    ours, theirs = (pl.read_parquet(path).sort(key) for path in (ours, theirs))
    columns = [name for name in ours.columns if name != "first_offset"]
    signals = {name: pl.Float64 for name in columns if name not in ("asset", "time", *key)}
    if not ours.select(columns).equals(theirs.select(columns).cast(signals)):
        sys.exit("the tables are not equal")
    return ours.height


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forewarn", help="the binary")
    parser.add_argument("--cars", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args()
    brokers = os.environ.get("FOREWARN_TEST_BROKERS") or sys.exit("no broker: start this with scripts/kafka.sh with --")
    root = Path(__file__).resolve().parent.parent
    topic = f"replay-bench-{time.time_ns()}"
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "cars.toml"
        text = (root / "deploy/cars.toml").read_text().replace("car-telemetry", topic)
        config.write_text(text.replace("../models/zoo", str(root / "models/zoo")))
        fleet = ["--assets", str(args.cars), "--steps", str(args.steps)]
        measured([args.forewarn, "feed", "cars", *fleet, "--brokers", brokers, "--topic", topic])
        readings = args.cars * args.steps
        outputs = {name: str(Path(folder) / f"{name}.parquet") for name in ("forewarn", "plain", "ndjson")}
        here = [sys.executable, __file__, "--plain", brokers, topic]
        commands = {
            "forewarn": [args.forewarn, "replay", "--config", str(config), "--brokers", brokers, "--view", "car",
                         "--output", outputs["forewarn"]],
            "plain": [*here, outputs["plain"]],
            "ndjson": [*here, outputs["ndjson"], "ndjson"],
        }  # fmt: skip
        times = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                times[name].append(measured(command))
        for name in ("plain", "ndjson"):
            rows = compare(outputs["forewarn"], outputs[name])
        print(f"{rows:,} readings, {len(commands)} programs, {ROUNDS} rounds; tables are equal")
        best = {name: [min(figures) for figures in zip(*taken)] for name, taken in times.items()}
        for name, (wall, cpu) in best.items():
            took = ", ".join(f"{wall:.1f}" for wall, _ in times[name])
            ratios = [figure / ours for figure, ours in zip((wall, cpu), best["forewarn"])]
            print(f"{name:10} {readings / wall:>10,.0f} readings/s  {ratios[0]:5.2f}  ({took} s)  "
                  f"processor {cpu * 1e6 / readings:5.2f} us a reading  {ratios[1]:5.2f}")  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plain"]:
        plain(*sys.argv[2:5], ndjson=sys.argv[5:] == ["ndjson"])
    else:
        main()
