"""Reads everything that a contestant published, as a `read_committed` reader, and compares it with Forewarn's.

An output belongs to a reading by the partition and offset that it names. All N must be there exactly once, with the
same key, asset and event time, the same verdict, and a score that differs by no more than TOLERANCE of its size.

Not here: when what became visible (`observe.py`).
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import orjson
from confluent_kafka import Consumer, KafkaError, TopicPartition

TOLERANCE = 1e-6
# Unequal results that are shown in words.
SHOWN = 3


@dataclass
class Outputs:
    """Of each reading, by (source partition, offset) laid out in one row; and where the outputs themselves lie."""

    scores: np.ndarray
    anomalous: np.ndarray
    event_times: np.ndarray
    assets: list
    times_seen: np.ndarray
    wrong_keys: int
    offsets: list
    # Bytes of key, value and headers per output, before compression.
    size: float


def of_forewarn(output):
    source, anomaly = output["source"], output["anomaly"]
    at = datetime.fromisoformat(output["event_time"]).timestamp()
    return source["partition"], source["offset"], at, anomaly["score"], anomaly["anomalous"]


def of_peer(output):
    return output["partition"], output["offset"], output["event_time"], output["score"], output["anomalous"]


# By what a contestant publishes: to (source partition, offset, event time in s, score, anomalous).
FORMS = {"full": of_forewarn, "lean": of_peer}
# The limit: messages as they came, in the order of their partition.
COPIES = "copies"


def read(brokers, topic, source_ends, form):
    """`source_ends`: how many readings each partition of the input holds."""
    base = np.concatenate(([0], np.cumsum(source_ends)))
    n = int(base[-1])
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
            place = base[message.partition()] + offset
        else:
            output = orjson.loads(message.value())
            partition, offset, at, score, anomalous = FORMS[form](output)
            place = base[partition] + offset
            found.scores[place], found.anomalous[place], found.event_times[place] = score, anomalous, at
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
        told.append(f"{lacking} readings have no output")
    if twice:
        told.append(f"{twice} readings have several outputs")
    if found.wrong_keys:
        told.append(f"{found.wrong_keys} keys are not the asset")
    return told


def difference(ours, theirs):
    """Largest relative difference of two scores."""
    apart = np.abs(theirs.scores - ours.scores) / np.maximum(np.abs(ours.scores), np.finfo(float).tiny)
    return float(np.max(apart))


def compare(ours, theirs, form):
    """What is not equal, in words; nothing when all is. Copies are only counted."""
    told = problems(theirs)
    if told or form == COPIES:
        return told
    apart = np.abs(theirs.scores - ours.scores) > TOLERANCE * np.abs(ours.scores)
    for what, unequal in [
        ("score", apart),
        ("verdict", theirs.anomalous != ours.anomalous),
        ("event time", theirs.event_times != ours.event_times),
        ("asset", np.array([a != b for a, b in zip(theirs.assets, ours.assets)])),
    ]:
        if unequal.any():
            places = np.flatnonzero(unequal)[:SHOWN]
            pairs = ", ".join(f"{float(ours.scores[p])} and {float(theirs.scores[p])}" for p in places)
            told.append(f"{int(unequal.sum())} readings differ in {what} (scores {pairs})")
    return told
