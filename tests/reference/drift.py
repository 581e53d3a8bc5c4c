"""Drift of features without forewarn: two files of readings (JSON lines with `asset`) compared by the formulas of
docs/drift.md, written down anew. No value may be so frequent that it gets a bin of its own.

    drift.py TRAINING LIVE FEATURE...

prints {feature: {psi, chance, ks, ks_p, shift, effective}} as JSON.
"""

import json
import math
import sys

import numpy as np


def read(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def column(rows, feature):
    """As a model gets it: 32-bit floats."""
    return np.array([row[feature] for row in rows], dtype=np.float32)


def effective(rows, values):
    """Rows / design effect, with the intraclass correlation of a one-way analysis of variance."""
    values = values.astype(np.float64)
    assets = np.array([row["asset"] for row in rows])
    groups = [values[assets == asset] for asset in sorted(set(assets))]
    n, k = len(values), len(groups)
    between = sum(len(g) * (g.mean() - values.mean()) ** 2 for g in groups) / (k - 1)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (n - k)
    squares = sum(len(g) ** 2 for g in groups) / n
    usual = (n - squares) / (k - 1)
    correlation = max(0.0, (between - within) / (between + (usual - 1) * within))
    return n / (1 + (squares - 1) * correlation)


def chi_squared_below(x, degrees):
    """The distribution function, by the series of the incomplete gamma function."""
    a, x = degrees / 2, x / 2
    term = total = 1 / a
    for i in range(1, 2000):
        term *= x / (a + i)
        total += term
    return total * math.exp(-x + a * math.log(x) - math.lgamma(a))


def chi_squared_quantile(p, degrees):
    low, high = 0.0, 200.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if chi_squared_below(middle, degrees) < p else (low, middle)
    return low


def compare(training, live, feature):
    expected, actual = column(training, feature), column(live, feature)
    ordered = np.sort(expected)
    edges = [ordered[math.ceil(len(ordered) * k / 10) - 1] for k in range(1, 10)]
    shares = lambda values: np.diff(
        [0, *[(values <= edge).mean() for edge in edges], 1]
    )
    e, a = (np.maximum(shares(values), 1e-4) for values in (expected, actual))
    # Edge by edge: the distance of the distribution functions there.
    ks = max(abs((expected <= edge).mean() - (actual <= edge).mean()) for edge in edges)
    n, m = effective(training, expected), effective(live, actual)
    root = math.sqrt(n * m / (n + m))
    scaled = (root + 0.12 + 0.11 / root) * ks
    p = sum(2 * (-1) ** (j - 1) * math.exp(-2 * j * j * scaled**2) for j in range(1, 1000))
    expected64, actual64 = expected.astype(np.float64), actual.astype(np.float64)
    return {
        "psi": float(((a - e) * np.log(a / e)).sum()),
        "chance": chi_squared_quantile(0.99, 9) * (1 / n + 1 / m),
        "ks": float(ks),
        "ks_p": min(1.0, max(0.0, p)),
        "shift": float((actual64.mean() - expected64.mean()) / expected64.std()),
        "effective": m,
    }


training, live = read(sys.argv[1]), read(sys.argv[2])
print(json.dumps({feature: compare(training, live, feature) for feature in sys.argv[3:]}))
