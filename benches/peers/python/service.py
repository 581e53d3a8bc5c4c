"""A careful Python service: what an experienced team writes when it may not leave Python.

    consume a batch ─▶ orjson ─▶ one float32 array ─▶ one session run ─▶ produce ─▶ offsets ─▶ commit

One transaction for each batch that was polled, so the batch grows with the backlog and is small, and quick, without
one. A rebalance can only happen inside `consume`, where no transaction is open.

Tuned: batches of up to 5,000, so that a commit is shared by many; `fetch.queue.backoff.ms`, which is 1,000 by default
and makes a quick reader wait for a second; one intra-op thread, as the model is far too small to share; lz4; no
callback for each delivery, as the commit tells of all.

`--form full` publishes what Forewarn does, the share of each signal in anomalous results and CloudEvents headers
included: what a record of that size costs by itself. Not here: dead letters, lateness, alarms, metrics.
"""

import argparse
import datetime
import functools
import json
import operator
import signal

import numpy as np
import onnxruntime as ort
import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

BATCH = 5_000
POLL_SECONDS = 0.025
TRANSACTION_SECONDS = 30


class Model:
    """Score = mean of the squared residuals; anomalous above the threshold, both as the file's contract says."""

    def __init__(self, path):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        contract = self.session.get_modelmeta().custom_metadata_map
        self.features = json.loads(contract["forewarn.features"])
        self.threshold = float(contract["forewarn.threshold"])

    def squares(self, rows):
        (residual,) = self.session.run(["residual"], {"readings": rows})
        return np.square(residual, dtype=np.float64)


class Lean:
    """The record of all peers."""

    def __init__(self, model, args):
        self.threshold = model.threshold

    def records(self, messages, readings, squares):
        scores = squares.mean(axis=1).tolist()
        for message, reading, score in zip(messages, readings, scores):
            output = {
                "asset": reading["car"],
                "partition": message.partition(),
                "offset": message.offset(),
                "event_time": reading["time"],
                "score": score,
                "anomalous": score > self.threshold,
            }
            yield reading["car"], orjson.dumps(output), None


class Full:
    """Forewarn's record: contributions where the result is anomalous."""

    def __init__(self, model, args):
        self.features, self.threshold = model.features, model.threshold
        self.topic, self.group = args.input, args.group
        # REPOSITORY/NAME/VERSION/model.onnx
        self.name, self.version = args.model.split("/")[-3:-1]

    def records(self, messages, readings, squares):
        scores = squares.mean(axis=1)
        # The sum is 0 only of residuals that are all 0: then no signal has a share.
        shares = (squares / np.maximum(squares.sum(axis=1, keepdims=True), 1e-300)).astype(np.float32)
        for message, reading, score, parts in zip(messages, readings, scores.tolist(), shares):
            at = rfc3339(reading["time"])
            partition, offset = message.partition(), message.offset()
            anomaly = {
                "score": score,
                "threshold": self.threshold,
                "confidence": score / self.threshold,
                "anomalous": score > self.threshold,
            }
            if score > self.threshold:
                anomaly["contributions"] = dict(zip(self.features, parts))
            output = {
                "asset": reading["car"],
                "event_time": at,
                "model": self.name,
                "version": int(self.version),
                "task": "anomaly",
                "source": {"topic": self.topic, "partition": partition, "offset": offset},
                "anomaly": anomaly,
            }
            headers = [
                ("ce_specversion", "1.0"),
                ("ce_id", f"{self.topic}-{partition}-{offset}-{self.name}@{self.version}"),
                ("ce_source", f"/forewarn/{self.group}"),
                ("ce_type", "forewarn.prediction.anomaly"),
                ("ce_subject", reading["car"]),
                ("ce_time", at),
                ("content-type", "application/json"),
            ]
            # A share stays a float32 of numpy's, which has half of the digits of Python's float.
            yield reading["car"], orjson.dumps(output, option=orjson.OPT_SERIALIZE_NUMPY), headers


@functools.lru_cache(maxsize=10_000)
def rfc3339(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


FORMS = {"lean": Lean, "full": Full}


class Service:
    def __init__(self, args):
        self.model = Model(args.model)
        self.signals = operator.itemgetter(*self.model.features)
        self.form = FORMS[args.form](self.model, args)
        self.output = args.output
        self.consumer = Consumer(
            {
                "bootstrap.servers": args.brokers,
                "group.id": args.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.queue.backoff.ms": 10,
                "fetch.wait.max.ms": 50,
            }
        )
        self.producer = Producer(
            {
                "bootstrap.servers": args.brokers,
                "transactional.id": f"{args.group}-{args.instance}",
                "compression.type": "lz4",
                "linger.ms": 5,
                "batch.num.messages": 10_000,
                "delivery.report.only.error": True,
            }
        )
        self.producer.init_transactions()
        self.consumer.subscribe([args.input])

    def run(self, going):
        while going():
            messages = self.consumer.consume(BATCH, POLL_SECONDS)
            errors = [message.error() for message in messages if message.error()]
            if errors:
                raise KafkaException(errors[0])
            if messages:
                self.transact(messages)

    def transact(self, messages):
        self.producer.begin_transaction()
        try:
            self.publish(messages)
            group = self.consumer.consumer_group_metadata()
            self.producer.send_offsets_to_transaction(next_offsets(messages), group, TRANSACTION_SECONDS)
            self.producer.commit_transaction(TRANSACTION_SECONDS)
        except KafkaException as failed:
            # A fenced producer must end; anything else is tried again from the offsets committed before.
            if not failed.args[0].txn_requires_abort():
                raise
            self.producer.abort_transaction(TRANSACTION_SECONDS)
            self.rewind()

    def publish(self, messages):
        readings = [orjson.loads(message.value()) for message in messages]
        rows = np.array([self.signals(reading) for reading in readings], dtype=np.float32)
        for key, value, headers in self.form.records(messages, readings, self.model.squares(rows)):
            self.produce(key, value, headers)

    def produce(self, key, value, headers):
        while True:
            try:
                return self.producer.produce(self.output, value, key, headers=headers)
            except BufferError:
                self.producer.poll(0.01)

    def rewind(self):
        assigned = self.consumer.assignment()
        for place in self.consumer.committed(assigned, TRANSACTION_SECONDS):
            if place.offset < 0:
                place.offset = self.consumer.get_watermark_offsets(place)[0]
            self.consumer.seek(place)

    def close(self):
        self.consumer.close()


def next_offsets(messages):
    last = {(message.topic(), message.partition()): message.offset() for message in messages}
    return [TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in last.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("brokers", "input", "output", "group", "model", "instance"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--form", choices=FORMS, default="lean")
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    service = Service(parser.parse_args())
    try:
        service.run(lambda: not stopped)
    finally:
        service.close()


if __name__ == "__main__":
    main()
