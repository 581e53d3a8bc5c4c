"""Engines: an LSTM says the remaining useful life at each reading, from the engine's last 30 rows up to this one.

    history [engines, 29, 14] ────┐
                                  ├─▶ series: 29 rows and the new ones of one engine, then of the next ...
    rows of the batch, by engine ─┘     ├─▶ a window at each new row, 256 to a session run
                                        └─▶ the last 29 rows of each engine are its history

A batch may hold several readings of an engine; each sees the 30 rows that end with it, in the order of its partition,
wherever batches begin and end. An engine with fewer rows has its oldest one repeated in front: its first reading fills
its history. Windows are a view of the series, so no more is copied than what one session run takes.

State is in memory only: after a restart all engines begin with padding again (service.py).
"""

import json
import operator

import numpy as np
import orjson
from numpy.lib.stride_tricks import sliding_window_view

from columns import decoded, grouped, grown, interned, table
from session import opened

# Windows of one session run; larger ones are no faster for an LSTM.
CHUNK = 256


class Engines:
    stateful = True

    def __init__(self, args):
        self.session, contract = opened(args.model)
        if contract["forewarn.padding"] != "edge":
            raise SystemExit(f"{args.model}: padding {contract['forewarn.padding']} is not known here, only edge")
        features = json.loads(contract["forewarn.features"])
        self.signals = operator.itemgetter(*features)
        self.history = History(int(contract["forewarn.sequence-length"]), len(features))
        self.input, self.output = contract["forewarn.input"], contract["forewarn.output.rul"]

    def records(self, messages):
        readings = decoded(messages)
        for message, reading, life in zip(messages, readings, self.lives(readings)):
            output = {
                "asset": reading["asset"],
                "partition": message.partition(),
                "offset": message.offset(),
                "event_time": reading["time"],
                "rul": life,
            }
            yield reading["asset"], orjson.dumps(output), None

    def lives(self, readings):
        names = [reading["asset"] for reading in readings]
        series, starts, order = self.history.extended(names, table(readings, self.signals, np.float32))
        windows = sliding_window_view(series, (self.history.length, series.shape[1]))[:, 0]
        lives = np.empty(len(order), np.float32)
        for at in range(0, len(order), CHUNK):
            chunk = slice(at, at + CHUNK)
            (lives[order[chunk]],) = self.session.run([self.output], {self.input: windows[starts[chunk]]})
        return lives.tolist()


class History:
    """What the next window of each engine begins with: its last rows, one fewer than a window is long."""

    def __init__(self, length, width):
        self.length = length
        self.numbers = {}
        self.rows = np.empty((0, length - 1, width), np.float32)

    def extended(self, names, rows):
        """(series, starts, order): the k-th window of the series, at `starts[k]`, is that of reading `order[k]`."""
        known, before = len(self.numbers), self.length - 1
        order, present, first, counts = grouped(interned(self.numbers, names))
        self.rows = grown(self.rows, len(self.numbers), 0)
        new = present >= known
        self.rows[present[new]] = rows[order[first[new]], None]
        # Where the history of each engine begins in the series, and where the window of each reading does.
        heads = first + before * np.arange(len(present))
        starts = np.arange(len(rows)) + before * np.repeat(np.arange(len(present)), counts)
        series = np.empty((len(rows) + before * len(present), rows.shape[1]), np.float32)
        series[heads[:, None] + np.arange(before)] = self.rows[present]
        series[starts + before] = rows[order]
        self.rows[present] = series[(heads + counts)[:, None] + np.arange(before)]
        return series, starts, order
