"""The table, as Markdown, and how it is to be read.

Not here: the chart (`chart.py`).
"""

import os
import platform
from dataclasses import dataclass

from .contestant import Contestant
from .observe import Stretch

MEBI = 1024 * 1024


@dataclass
class Result:
    contestant: Contestant
    whole: Stretch | None = None
    half: Stretch | None = None
    peak_rss: int = 0
    size: float = 0.0
    # Largest relative difference of a score from Forewarn's.
    apart: float = 0.0
    # In words; a result with one counts for nothing.
    failure: str = ""


def row(result):
    if result.failure:
        return f"| {result.contestant.title} | failed: {result.failure} | | | | | |"
    whole, half = result.whole, result.half
    cells = [
        result.contestant.title,
        rate(whole),
        rate(half),
        f"{whole.cpu_per_million:.1f}" if whole else "-",
        f"{result.peak_rss / MEBI:,.0f}",
        f"{result.size:,.0f}",
        f"{result.apart:.1e}",
    ]
    return "| " + " | ".join(cells) + " |"


def rate(stretch):
    return f"{stretch.rate:,.0f}" if stretch else "-"


def markdown(results, workload, readings, order, chart, note):
    """`order`: how the contestants followed each other; `note`: conditions that only the person who started knows."""
    lines = [
        f"# Peers: {workload.what}",
        "",
        f"{readings:,} readings in one topic of 8 partitions, filled before; {machine()}, which the contestant, the "
        "broker and the observer share. One contestant after the other on the same broker, each a fresh consumer "
        f"group with an output topic of its own, exactly once. {order}",
        "",
    ]
    lines += [note, ""] if note else []
    lines += [
        "| | readings/s | readings/s, second half | CPU s per million | peak RSS, MiB | bytes per output | score apart |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *map(row, results),
        "",
        f"![Readings per second]({chart})",
        "",
        "*readings/s*: outputs that became visible to a `read_committed` reader after the first ones, by the time from "
        "there to the last one; start-up, and what was committed first, is left out. *second half*: the same from the "
        "instant at which half of all were visible, when a JVM is warm. *CPU*: user and system time of the "
        "contestant's processes between the same instants as *readings/s*; the broker's is not in it. *bytes per "
        "output*: key, value and headers before compression; Forewarn's hold the contribution of each signal, the "
        "peers' do not. *score apart*: largest relative difference of a score from Forewarn's with one worker; every "
        "contestant in a row with figures published all readings exactly once, with equal keys, assets, event times "
        "and verdicts.",
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
