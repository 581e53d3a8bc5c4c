"""The table, as Markdown, and how it is to be read.

Not here: the chart (`chart.py`).
"""

import os
import platform
import statistics
from dataclasses import dataclass, field

from .contestant import Contestant
from .observe import Stretch
from .outputs import COPIES

MEBI = 1024 * 1024

# The contestant whose rate the others' are a share of.
LIMIT = "relay-whole"

# What the columns are, below the table.
LEGEND = (
    "*readings/s*: outputs that became visible to a `read_committed` reader after the first ones, by the time from "
    "there to the last one; start-up, and what was committed first, is left out. Of windows, whose outputs come all at "
    "once, from the end of the first windows to the end of the last ones, in readings. The median of all rounds, and "
    "the slowest and the fastest. *second half*: the same from the instant at which half of all were visible, when a "
    "JVM is warm. *CPU*: user and system time of the contestant's processes between the same instants as *readings/s*; "
    "*broker's CPU*: that of the broker. *bytes per output*: key, value and headers before compression; Forewarn's hold "
    "headers and, where anomalous, the contribution of each signal; those of peers do not, unless their name says so. "
    "*of the relay*: readings/s as a share of those of the relay that copies whole messages, which is what the broker "
    "and the clients allow on this machine. *of the model alone*: as a share of what the model scores on all cores with "
    "nothing beside it, in readings. *value apart*: largest relative difference of a score or remaining life from "
    "Forewarn's with one worker; every contestant in a row with figures published all results exactly once, with equal "
    "keys, assets, times and verdicts."
)


@dataclass
class Run:
    """One round of one contestant. Without a stretch where everything came in one commit."""

    whole: Stretch | None
    half: Stretch | None
    peak_rss: int
    size: float
    # Largest relative difference of a score from Forewarn's.
    apart: float


@dataclass
class Result:
    contestant: Contestant
    runs: list[Run] = field(default_factory=list)
    # In words; with one, no figure of this contestant is shown.
    failure: str = ""

    def add(self, judged):
        run, wrong = judged
        self.runs.append(run)
        self.failure = self.failure or "; ".join(wrong)

    def rates(self):
        return [run.whole.rate for run in self.runs if run.whole]

    @property
    def rate(self):
        """Of all rounds the median; None where there is no figure to show."""
        rates = self.rates()
        return statistics.median(rates) if rates and not self.failure else None


def row(result, limit, alone):
    """`limit`: readings/s of the relay, where it ran; `alone`: those that the model could score, where it is a limit."""
    if result.rate is None:
        return f"| {result.contestant.title} | {result.failure or 'too few readings'} | | | | | | | | |"
    rates, runs = result.rates(), result.runs
    spread = f" ({min(rates):,.0f} to {max(rates):,.0f})" if len(rates) > 1 else ""
    scores = result.contestant.form != COPIES
    halves = [run.half.rate for run in runs if run.half]
    cells = [
        result.contestant.title,
        f"{result.rate:,.0f}{spread}",
        f"{result.rate / limit:.0%}" if limit else "-",
        f"{result.rate / alone:.0%}" if scores else "-",
        f"{statistics.median(halves):,.0f}" if halves else "-",
        f"{statistics.median(run.whole.cpu_per_million for run in runs if run.whole):.1f}",
        f"{statistics.median(run.whole.broker_cpu_per_million for run in runs if run.whole):.1f}",
        f"{max(run.peak_rss for run in runs) / MEBI:,.0f}",
        f"{runs[0].size:,.0f}",
        f"{max(run.apart for run in runs):.1e}" if scores else "-",
    ]
    return "| " + " | ".join(cells) + " |"


def markdown(results, alone, workload, readings, rounds, chart, note):
    """`alone`: rows/s of the model alone. `note`: conditions that only the person who started this knows."""
    times = "once each" if rounds == 1 else f"{rounds} times, every other time in the opposite order"
    lines = [
        f"# Peers: {workload.what}",
        "",
        f"{readings:,} readings in one topic of 8 partitions, filled before; {machine()}, which the contestant, the "
        f"broker and the observer share. One contestant after the other on the same broker, {times}, always as a "
        "fresh consumer group with an output topic of its own, exactly once.",
        "",
    ]
    lines += [note, ""] if note else []
    limit = next((one.rate for one in results if one.contestant.name == LIMIT), None)
    lines += [
        "| | readings/s | of the relay | of the model alone | second half | CPU s per million | broker's CPU | peak RSS, MiB "
        "| bytes per output | value apart |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(row(result, limit, alone * workload.readings_per_output()) for result in results),
        "",
        f"The model alone, on batches of 256 that are ready, a process for each core: {alone:,.0f} rows/s.",
        "",
        f"![Readings per second]({chart})",
        "",
        LEGEND,
        "",
        "| | versions | settings |",
        "|---|---|---|",
    ]
    told = [result.contestant for result in results]
    lines += [f"| {one.title} | {one.versions} | {one.settings} |" for one in told]
    return "\n".join(lines) + "\n"


def machine():
    return f"{os.cpu_count()} cores ({processor()})"


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.machine()
