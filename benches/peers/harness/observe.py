"""Watches one contestant from outside: what is visible at which instant, and what its processes used until then.

```text
   every 100 ms: (instant, last stable offset of each output partition, CPU seconds of the processes and the broker)
   afterwards:   one read_committed pass finds the offset of each output  (outputs.py)
   together:     how many outputs were visible at each instant
```

The last stable offset is where a `read_committed` reader has to stop. To ask for it costs the machine next to nothing,
while a reader at the end of the topic would take a part of the two cores from the contestant, and of a slow one a
smaller part than of a fast one.

Not here: starting and stopping processes (`contestant.py`).
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

INTERVAL = 0.1
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Watch:
    """What was seen of one run; all lists are of one length."""

    instants: list = field(default_factory=list)
    ends: list = field(default_factory=list)
    cpu: list = field(default_factory=list)
    broker_cpu: list = field(default_factory=list)
    peak_rss: int = 0


@dataclass(frozen=True)
class Stretch:
    """From one instant at which outputs became visible to a later one: what was done in between, in readings."""

    readings: int
    seconds: float
    cpu: float
    broker_cpu: float

    @property
    def rate(self):
        return self.readings / self.seconds

    @property
    def cpu_per_million(self):
        return self.cpu * 1e6 / self.readings

    @property
    def broker_cpu_per_million(self):
        return self.broker_cpu * 1e6 / self.readings


@dataclass(frozen=True)
class Watched:
    # Process ids of the contestant.
    processes: list
    broker: int
    # Asks the broker for the last stable offset of each output partition.
    ends: Callable[[], list]


def watch(watched, outputs, quiet, patience):
    """Until `outputs` records are visible and nothing more came for `quiet` seconds.

    Markers of transactions count as records here, so this may end too early only if a contestant falls silent for
    `quiet` seconds in the middle; what it lacks is found by who reads the outputs. Nothing new within `patience`
    seconds is a failure.
    """
    seen, changed, total = Watch(), time.monotonic(), 0
    while total < outputs or time.monotonic() - changed < quiet:
        began = time.monotonic()
        seen.ends.append(watched.ends())
        seen.instants.append(time.monotonic())
        seen.cpu.append(sum(cpu_seconds(pid) for pid in watched.processes))
        seen.broker_cpu.append(cpu_seconds(watched.broker))
        if sum(seen.ends[-1]) != total:
            total, changed = sum(seen.ends[-1]), seen.instants[-1]
        ended = [pid for pid in watched.processes if not alive(pid)]
        if ended:
            raise RuntimeError(f"a process ended by itself after {total} records")
        if time.monotonic() - changed > patience:
            raise RuntimeError(f"nothing new for {patience} s after {total} records of {outputs}")
        time.sleep(max(0.0, INTERVAL - (time.monotonic() - began)))
    seen.peak_rss = sum(peak_rss(pid) for pid in watched.processes)
    return seen


def stretches(seen, offsets, marks, readings_per_output):
    """(the measured stretch, its second half) of a run whose outputs lie at `offsets`, by partition.

    `marks`: how many outputs are visible when each begins; both end with the last one. For outputs that come one by
    one the first mark is 1: all that were committed with the first ones, and all that a contestant did before,
    starting among it, is left out. A JVM has compiled its loops by the second one.
    """
    ends = np.array(seen.ends)
    visible = sum(np.searchsorted(offsets[p], ends[:, p]) for p in range(ends.shape[1]))
    last = int(np.argmax(visible == visible[-1]))

    def stretch(mark):
        start = int(np.argmax(visible >= mark))
        # All at once: one commit for everything has no length.
        if start >= last:
            return None
        return Stretch(
            int(visible[last] - visible[start]) * readings_per_output,
            seen.instants[last] - seen.instants[start],
            seen.cpu[last] - seen.cpu[start],
            seen.broker_cpu[last] - seen.broker_cpu[start],
        )

    return tuple(stretch(mark) for mark in marks)


def family(pid):
    """The process and all that descend from it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            found += family(int(child))
    return found


def cpu_seconds(pid):
    """User and system time of a process, of its living descendants, and of those that it has waited for."""
    return sum(_ticks(member) for member in family(pid)) / TICKS


def _ticks(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # Fields 14 to 17 of proc(5); the name before them may hold blanks and parentheses.
    return sum(int(field) for field in text.rpartition(")")[2].split()[11:15])


def compiler_seconds(pid):
    """CPU time of the threads in which a JVM compiles its own code."""
    ticks = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if name.startswith(("C1 Compiler", "C2 Compiler")):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def peak_rss(pid):
    """Bytes at the highest (VmHWM), of the process and its living descendants."""
    total = 0
    for member in family(pid):
        try:
            lines = Path(f"/proc/{member}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return total


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
