"""Features of views, evaluated by Python's polars, to compare with what `forewarn replay` wrote.

    replay of all signals ──windows, cut here──> pl.sql_expr of the very strings ──┐
    replay of each view ───────────────────────────────────────────────────────────┴──> compared

Independent on purpose: it shares no code with the pipeline. Which rows a window holds is worked out
from the words of the configuration's reference alone: a window holds its start and not its end;
windows of time begin at multiples of their step since 1970, UTC; the rows of a session are less
than its gap apart; a window of rows is the last n of an asset at every m-th of its rows. A view
over a view reads the rows computed here, never those that the pipeline wrote.

What is compared: every column that is no feature (instants, number of rows, offsets) has to be
equal, else the row counts as missing on both sides; a feature may differ by the tolerance. A value
that is missing on one side only is an infinite difference.

Most features agree in every bit. COVAR_SAMP, COVAR_POP and CORR need not: Python's polars is built
with a compiler that may reorder their sums and fuse multiplications into them. A covariance that is
0 but for rounding is then all difference, so signals that stand still can't be compared by it.

Prints a line per view. Exits with 1 when a view has no rows, a row is missing or a difference is
too large.

Not here: late readings and revisions, statuses, values that the pipeline fills in across rows
(`missing = "interpolate"` and `{ hold = ... }`, which are refused).

Needs polars and numpy.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import polars as pl

MICROS = {
    "us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "min": 60_000_000,
    "h": 3_600_000_000, "d": 86_400_000_000,
}  # fmt: skip
# The smallest step of time. A window does not hold its end, so its last instant is this much before.
TICK = 1
# What every row has beside its features.
HEADS = ("asset", "time", "partition", "first_offset", "offset")


def micros(text):
    """A length such as "1m 30s" in microseconds."""
    parts = re.findall(r"(\d+)\s*([a-z]+)", text)
    if not parts or re.sub(r"\d+\s*[a-z]+|\s", "", text):
        raise SystemExit(f"no length of time: {text!r}")
    return sum(int(number) * MICROS[unit] for number, unit in parts)


class Views:
    """The rows of the configuration's views, each computed when it is first asked for."""

    def __init__(self, config, readings):
        self.views = config["views"]
        self.readings = readings.with_columns(pl.col("time").cast(pl.Int64))
        self.known = {}

    def told(self, name):
        """As `forewarn replay` writes it, where the row of a window has the time of the window's end:
        (columns beside the features, names of the features, all of them as a table)."""
        heads, features, rows = self.rows(name)
        if self.is_windowed(self.views[name]):
            rows = rows.with_columns(pl.col("time") + TICK)
        return heads, features, rows

    def is_windowed(self, view):
        return "window" in view or ("from" in view and self.is_windowed(self.views[view["from"]]))

    def rows(self, name):
        if name not in self.known:
            self.known[name] = self.compute(self.views[name])
        return self.known[name]

    def compute(self, view):
        source, columns = self.source(view)
        features = [
            (expression.meta.output_name(), expression.cast(pl.Float64))
            for text in view["features"]
            for expression in parse(text, columns)
        ]
        # Features may share names with the columns that they read; numbers can't clash.
        numbered = [expression.alias(str(i)) for i, (_, expression) in enumerate(features)]
        names = {str(i): name for i, (name, _) in enumerate(features)}
        if "window" in view:
            table = aggregate(windows(source, view["window"]), numbered)
        else:
            table = source.select(*HEADS, *numbered)
        heads = [column for column in table.columns if column not in names]
        return heads, list(names.values()), table.rename(names)

    def source(self, view):
        """The rows that a view reads, in the order of their instants, and the columns it may name."""
        if "from" in view:
            _, columns, rows = self.rows(view["from"])
            rows = rows.select(*HEADS, pl.col(columns).fill_nan(None))
        else:
            rows = self.readings
            columns = [column for column in rows.columns if column not in HEADS]
        return rows.sort("asset", "time", "offset"), columns


def parse(text, columns):
    return [pl.col(name) for name in columns] if text.strip() == "*" else [pl.sql_expr(text)]


def aggregate(rows, numbered):
    """A row for each window; it stands at the window's last instant."""
    # numpy divides; polars would multiply by 1 / 1e6, which is off by a bit at some instants.
    elapsed = (rows["time"] - rows["window_start"]).to_numpy() / 1e6
    return (
        rows.with_columns(event_time=elapsed)
        .group_by("asset", "window_start", "window_end", maintain_order=True)
        .agg(
            pl.len().alias("window_rows"),
            pl.col("partition").first(),
            pl.col("first_offset").min(),
            pl.col("offset").max(),
            *numbered,
        )
        .with_columns(time=pl.col("window_end") - TICK, revision=pl.lit(0))
        .drop("window_end")
    )


def windows(rows, window):
    """`rows`, once for every window that holds them, with its start and end in microseconds."""
    match window:
        case {"tumbling": size}:
            return windows_of_time(rows, micros(size), micros(size))
        case {"hopping": size, "every": step}:
            return windows_of_time(rows, micros(size), micros(step))
        case {"session": gap}:
            return sessions(rows, micros(gap))
        case {"count": count}:
            return windows_of_rows(rows, count, window.get("every", count))
    raise SystemExit(f"unknown window: {window}")


def held_by(rows, position, size, step):
    """`rows`, once for every stretch [k * step, k * step + size) that holds their `position`."""
    latest = pl.col(position) // step * step
    copies = [
        rows.with_columns(window_start=latest - back * step) for back in range(-(-size // step))
    ]
    held = pl.concat(copies).filter(pl.col("window_start") + size > pl.col(position))
    return held.sort("asset", "window_start", "time", "offset")


def windows_of_time(rows, size, step):
    return held_by(rows, "time", size, step).with_columns(window_end=pl.col("window_start") + size)


def sessions(rows, gap):
    """The first row of a session is at least `gap` after the one before it."""
    begins = (pl.col("time").diff() >= gap).fill_null(True).over("asset")
    session = ["asset", "session"]
    return (
        rows.with_columns(session=begins.cum_sum())
        .with_columns(
            window_start=pl.col("time").min().over(session),
            window_end=pl.col("time").max().over(session) + gap,
        )
        .drop("session")
    )


def windows_of_rows(rows, count, every):
    """Windows of numbers of rows, of which only whole ones count; their instants are those of the rows."""
    window = ["asset", "window_start"]
    return (
        held_by(
            rows.with_columns(number=pl.int_range(pl.len(), dtype=pl.Int64).over("asset")),
            "number",
            count,
            every,
        )
        .filter(pl.col("window_start") >= 0, pl.len().over(window) == count)
        .with_columns(
            window_end=pl.col("time").max().over(window) + TICK,
            first=pl.col("time").min().over(window),
        )
        .drop("number", "window_start")
        .rename({"first": "window_start"})
    )


def compare(name, heads, features, ours, theirs):
    """Prints the differences; gives (rows compared, missing rows, largest difference)."""
    if unlike := set(theirs.columns) ^ set(heads) ^ set(features):
        raise SystemExit(f"{name}: columns on one side only: {', '.join(sorted(unlike))}")
    # Instants are whole microseconds here and there.
    ours = ours.cast({column: theirs.schema[column] for column in heads})
    joined = ours.join(theirs, on=heads, how="inner", suffix=" of forewarn")
    only_here, only_there = ours.height - joined.height, theirs.height - joined.height
    unlike, values, largest = {}, 0, 0.0
    for feature in features:
        here, there = numbers(joined[feature]), numbers(joined[f"{feature} of forewarn"])
        bits = here.view(np.uint64) != there.view(np.uint64)
        values += np.count_nonzero(~np.isnan(there))
        if bits.any():
            unlike[feature] = relative(here[bits], there[bits])
            largest = max(largest, unlike[feature])
    print(
        f"{name}: {joined.height} rows compared, {only_there} only in forewarn's, "
        f"{only_here} only in Python's; {len(features)} features, {values} values: {len(unlike)} "
        f"features differ in any bit, largest relative difference {largest:.3g}"
    )
    for feature, difference in unlike.items():
        print(f"    {feature}: {difference:.3g}")
    return joined.height, only_here + only_there, largest


def numbers(column):
    """As an array, with one and the same NaN for all that is missing or not finite."""
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def relative(here, there):
    """The largest relative difference; infinite where one side has no value."""
    scale = np.maximum(np.abs(here), np.abs(there))
    difference = np.abs(here - there)
    with np.errstate(invalid="ignore"):
        share = np.where(scale > 0, difference / scale, 0.0)
    return float(np.max(np.where(np.isnan(difference), np.inf, share)))


def refuse_what_is_not_here(config):
    for name, signal in config["signals"].items():
        missing = signal.get("missing")
        if missing == "interpolate" or (isinstance(missing, dict) and "hold" in missing):
            raise SystemExit(f"signals.{name}: missing = {missing} is not evaluated here")


def main():
    parser = argparse.ArgumentParser(description="compare views with Python's polars")
    parser.add_argument("--config", required=True, type=Path)
    parser.add_argument("--readings", required=True, help="replay of the view of all signals")
    parser.add_argument("--tolerance", type=float, default=1e-12, help="relative (default 1e-12)")
    parser.add_argument("replays", nargs="+", metavar="VIEW=FILE", help="replay of a view")
    arguments = parser.parse_args()

    config = tomllib.loads(arguments.config.read_text())
    refuse_what_is_not_here(config)
    views = Views(config, pl.read_parquet(arguments.readings))
    print(f"Python's polars {pl.__version__}")
    results = []
    for replay in arguments.replays:
        name, file = replay.split("=", 1)
        results.append(compare(name, *views.told(name), pl.read_parquet(file)))
    compared, missing, differences = zip(*results)
    missing, largest = sum(missing), max(differences)
    passed = min(compared) > 0 and missing == 0 and largest <= arguments.tolerance
    print(
        f"{'passed' if passed else 'failed'}: {missing} rows missing, largest relative difference "
        f"{largest:.3g}; required: rows in every view, 0 missing, at most {arguments.tolerance:g}"
    )
    sys.exit(not passed)


if __name__ == "__main__":
    main()
