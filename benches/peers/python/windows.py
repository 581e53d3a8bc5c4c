"""Windows: an autoencoder scores what each car did in 10 s: mean, minimum and maximum of each signal.

    batch ─▶ by partition ─▶ late ones off ─▶ folded into open windows ─▶ those that the watermark passed ─▶ session run
                                  └── watermark = latest event time of the partition - 2 s ──┘

Windows are tumbling, from each multiple of 10 s since 1970. One is published, for every car that has a reading in it,
when the watermark of its partition has reached its end; a reading that comes after that is dropped and counted.
Lateness is judged by the readings before in the partition, so where batches begin and end changes nothing.

An open window is one array over all cars of its partition, so a batch is folded in by a few numpy calls; cars that
come twice in a batch are reduced before that. Sums are float64, what the model gets is float32.

State is in memory only: readings in windows that are open when the process ends have been committed, and are lost
(service.py). Not here: closing windows of a partition in which nothing comes any more.
"""

import collections
import logging
import operator

import numpy as np
import orjson

from columns import grouped, grown, interned, table
from session import Autoencoder

# Seconds of event time.
LENGTH = 10
OUT_OF_ORDERNESS = 2

# Along the second axis of a window's folds, where a mean is a sum until it closes; named as in the model's features.
AGGREGATES = ("mean", "min", "max")
EMPTY = np.array([[0.0], [np.inf], [-np.inf]])

log = logging.getLogger(__name__)


class Windows:
    stateful = True

    def __init__(self, args):
        self.model = Autoencoder(args.model)
        # (signal, aggregate)
        parts = [feature.rpartition("_")[::2] for feature in self.model.features]
        self.signals = list(dict.fromkeys(signal for signal, _ in parts))
        # Of each feature, its place in a car's folds laid out in one row.
        self.order = [AGGREGATES.index(kind) * len(self.signals) + self.signals.index(signal) for signal, kind in parts]
        self.partitions = {}

    def records(self, messages):
        readings = collections.defaultdict(list)
        for message in messages:
            readings[message.partition()].append(orjson.loads(message.value()))
        for partition, taken in readings.items():
            if partition not in self.partitions:
                self.partitions[partition] = Partition(partition, self.signals)
            for start, names, folds in self.partitions[partition].take(taken):
                yield from self.scored(start, names, folds)

    def scored(self, start, names, folds):
        rows = folds.reshape(len(folds), -1)[:, self.order].astype(np.float32)
        for name, score in zip(names, self.model.squares(rows).mean(axis=1).tolist()):
            output = {
                "asset": name,
                "start": start,
                "end": start + LENGTH,
                "score": score,
                "anomalous": score > self.model.threshold,
            }
            yield name, orjson.dumps(output), None


class Partition:
    def __init__(self, number, signals):
        self.number = number
        self.signals = operator.itemgetter(*signals)
        self.width = len(signals)
        self.numbers = {}
        # Of event times; so early that a watermark can be taken of it.
        self.latest = np.iinfo(np.int64).min + OUT_OF_ORDERNESS
        # By start.
        self.open = {}
        self.late = 0

    def take(self, readings):
        """Folds the readings of a batch in, and gives (start, names, folds) of each window that is over by them."""
        assets = interned(self.numbers, [reading["car"] for reading in readings])
        rows = table(readings, self.signals, np.float64)
        times = np.array([reading["time"] for reading in readings], np.int64)
        starts = times - times % LENGTH
        latest = np.maximum.accumulate(np.maximum(times, self.latest))
        self.latest, watermarks = int(latest[-1]), latest - OUT_OF_ORDERNESS
        in_time = starts + LENGTH > watermarks
        self.count_late(len(readings) - np.count_nonzero(in_time))
        for start in np.unique(starts[in_time]).tolist():
            here = in_time & (starts == start)
            self.window(start).fold(assets[here], rows[here])
        return self.over(int(watermarks[-1]))

    def window(self, start):
        if start not in self.open:
            self.open[start] = Window(self.width)
        self.open[start].grow(len(self.numbers))
        return self.open[start]

    def over(self, watermark):
        for start in sorted(start for start in self.open if start + LENGTH <= watermark):
            names = list(self.numbers)
            assets, folds = self.open.pop(start).closed()
            yield start, [names[asset] for asset in assets], folds

    def count_late(self, late):
        if late:
            self.late += late
            log.warning("dropped %d late readings of partition %d, %d by now", late, self.number, self.late)


class Window:
    """Of each asset, how many readings there were, and their aggregates: [assets, aggregate, signal]."""

    def __init__(self, width):
        self.counts = np.zeros(0, np.int64)
        self.folds = np.empty((0, len(AGGREGATES), width))

    def grow(self, assets):
        self.counts = grown(self.counts, assets, 0)
        self.folds = grown(self.folds, assets, EMPTY)

    def fold(self, assets, rows):
        """Each asset once: numpy's own `add.at` and `minimum.at`, which would take any, are many times slower."""
        order, present, first, counts = grouped(assets)
        sums = low = high = rows
        if len(present) == len(assets):
            present = assets
        else:
            rows = rows[order]
            sums, low, high = (fold.reduceat(rows, first) for fold in (np.add, np.minimum, np.maximum))
        folds = self.folds[present]
        folds[:, 0] += sums
        np.minimum(folds[:, 1], low, out=folds[:, 1])
        np.maximum(folds[:, 2], high, out=folds[:, 2])
        self.folds[present] = folds
        self.counts[present] += counts

    def closed(self):
        """(assets, folds) of those that have a reading, with means instead of sums."""
        assets = np.flatnonzero(self.counts)
        folds = self.folds[assets]
        folds[:, 0] /= self.counts[assets, None]
        return assets.tolist(), folds
