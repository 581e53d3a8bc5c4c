"""Cars: an autoencoder scores each reading by itself. No state.

`--form full` publishes what Forewarn does, the share of each signal in anomalous results and CloudEvents headers
included: what a record of that size costs by itself.
"""

import datetime
import functools
import operator

import numpy as np
import orjson

from columns import decoded, table
from session import Autoencoder


class Cars:
    stateful = False

    def __init__(self, args):
        self.model = Autoencoder(args.model)
        self.signals = operator.itemgetter(*self.model.features)
        self.form = FORMS[args.form](self.model, args)

    def records(self, messages):
        readings = decoded(messages)
        squares = self.model.squares(table(readings, self.signals, np.float32))
        return self.form.records(messages, readings, squares)


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
