"""Reads everything that a contestant published, as a `read_committed` reader, and compares it with Forewarn's.

An output belongs to a reading by the partition and offset that it names, or to a window by its asset and start. All N
must be there exactly once, with the same key, asset and time, the same verdict, and a value (a score, or a remaining
life) that differs by no more than the workload's tolerance of its size.

Not here: when what became visible (`observe.py`).
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import orjson
from confluent_kafka import Consumer, KafkaError, TopicPartition

from . import feeds
from .workloads import WINDOW, WINDOWS

# Unequal results that are shown in words.
SHOWN = 3


@dataclass
class Outputs:
    """Of each reading by (source partition, offset) laid out in one row, or of each window by (asset, number); and where
    the outputs themselves lie."""

    values: np.ndarray
    anomalous: np.ndarray
    times: np.ndarray
    assets: list
    times_seen: np.ndarray
    wrong_keys: int
    offsets: list
    # Bytes of key, value and headers per output, before compression.
    size: float


class Readings:
    """One result of each reading."""

    def __init__(self, workload, source_ends):
        self.base = np.concatenate(([0], np.cumsum(source_ends)))
        self.count = int(self.base[-1])
        # The topics of engines have milliseconds, those of cars seconds.
        self.unit = 1 if workload.name == "cars" else 1000

    def of_forewarn(self, output):
        source, at = output["source"], datetime.fromisoformat(output["event_time"]).timestamp()
        return self.base[source["partition"]] + source["offset"], at, *verdict(output)

    def of_peer(self, output):
        at = output["event_time"] / self.unit
        value = output["score"] if "score" in output else output["rul"]
        return self.base[output["partition"]] + output["offset"], at, value, output.get("anomalous", False)


class Windows:
    """One result of each window that every asset fills."""

    def __init__(self, workload, source_ends):
        self.prefix = len(workload.prefix)
        self.count = workload.outputs(sum(source_ends))

    def place(self, asset, start):
        return (int(asset[self.prefix :]) - 1) * WINDOWS + int(start - feeds.BEGIN) // WINDOW

    def of_forewarn(self, output):
        start = datetime.fromisoformat(output["window"]["start"]).timestamp()
        return self.place(output["asset"], start), start, *verdict(output)

    def of_peer(self, output):
        return self.place(output["asset"], output["start"]), output["start"], output["score"], output["anomalous"]


def verdict(output):
    """(value, whether it is anomalous) of a record of Forewarn's."""
    if "rul" in output:
        return output["rul"]["value"], False
    return output["anomaly"]["score"], output["anomaly"]["anomalous"]


# The limit: messages as they came, in the order of their partition.
COPIES = "copies"


def read(brokers, topic, workload, source_ends, form):
    """`source_ends`: how many readings each partition of the input holds. `form`: as a contestant has it."""
    places = (Windows if workload.windowed and form != COPIES else Readings)(workload, source_ends)
    told_by = {"full": places.of_forewarn, "lean": places.of_peer}.get(form)
    n = places.count
    found = Outputs(
        np.full(n, np.nan), np.zeros(n, bool), np.full(n, np.nan), [None] * n, np.zeros(n, int), 0,
        [[] for _ in source_ends], 0.0,
    )  # fmt: skip
    size = 0
    for message in _all(brokers, topic, len(source_ends)):
        offsets = found.offsets[message.partition()]
        if form == COPIES:
            # One too many counts as a second one of the partition's last.
            offset = min(len(offsets), source_ends[message.partition()] - 1)
            place = places.base[message.partition()] + offset
        else:
            output = orjson.loads(message.value())
            place, found_at, value, anomalous = told_by(output)
            if not 0 <= place < n:
                raise RuntimeError(f"an output of nothing that was fed: {message.value()[:200]}")
            found.values[place], found.anomalous[place], found.times[place] = value, anomalous, found_at
            found.assets[place] = output["asset"]
            found.wrong_keys += message.key() != output["asset"].encode()
        offsets.append(message.offset())
        found.times_seen[place] += 1
        size += len(message.key() or b"") + len(message.value())
        size += sum(len(name) + len(value or b"") for name, value in message.headers() or [])
    found.offsets = [np.array(offsets) for offsets in found.offsets]
    found.size = size / max(n, 1)
    return found


def _all(brokers, topic, partitions):
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "peers-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    left = set(range(partitions))
    try:
        while left:
            for message in consumer.consume(10_000, 1.0):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                else:
                    raise RuntimeError(f"{topic}: {error}")
    finally:
        consumer.close()


def problems(found):
    """What is wrong with the outputs by themselves."""
    lacking, twice = int((found.times_seen == 0).sum()), int((found.times_seen > 1).sum())
    told = []
    if lacking:
        told.append(f"{lacking} of {len(found.times_seen)} have no output")
    if twice:
        told.append(f"{twice} have several outputs")
    if found.wrong_keys:
        told.append(f"{found.wrong_keys} keys are not the asset")
    return told


def difference(ours, theirs):
    """Largest relative difference of two values."""
    apart = np.abs(theirs.values - ours.values) / np.maximum(np.abs(ours.values), np.finfo(float).tiny)
    return float(np.max(apart))


def compare(ours, theirs, form, tolerance):
    """What is not equal, in words; nothing when all is. Copies are only counted."""
    told = problems(theirs)
    if told or form == COPIES:
        return told
    apart = np.abs(theirs.values - ours.values) > tolerance * np.abs(ours.values)
    for what, unequal in [
        ("value", apart),
        ("verdict", theirs.anomalous != ours.anomalous),
        ("time", theirs.times != ours.times),
        ("asset", np.array([a != b for a, b in zip(theirs.assets, ours.assets)])),
    ]:
        if unequal.any():
            places = np.flatnonzero(unequal)[:SHOWN]
            pairs = ", ".join(f"{float(ours.values[p])} and {float(theirs.values[p])}" for p in places)
            told.append(f"{int(unequal.sum())} differ in {what} (values {pairs})")
    return told
