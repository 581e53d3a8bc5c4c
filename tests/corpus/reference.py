"""What Python's ONNX Runtime gives on a model of the corpus, and what it means by the contract.

    input rows (JSON) ──one row at a time──> ONNX Runtime ──> outputs ──numpy──> verdicts (JSON)

Independent on purpose: it shares no code with the crate, reads `model.toml` itself, and every formula is
written down again. Only a graph with a fixed batch is run on several rows.

Run: python reference.py MODEL_DIR INPUT.json   (needs numpy and onnxruntime)
"""

import json
import statistics
import sys
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime

NORMAL = statistics.NormalDist()
TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


def contract_of(folder):
    contract = tomllib.loads((Path(folder) / "model.toml").read_text())
    if "features" not in contract:
        # One tensor after the other, in the order of the graph.
        order = [tensor.name for tensor in session_of(folder).get_inputs()]
        named = sorted(contract["input"].items(), key=lambda pair: order.index(pair[0]))
        contract["features"] = list(dict.fromkeys(f for _, features in named for f in features))
    return contract


def session_of(folder):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    path = str(Path(folder) / "model.onnx")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feeds(session, contract, rows):
    """The input tensors of a batch of rows [B, F] or [B, L, F]."""
    features = contract["features"]
    states = contract.get("state", {})
    fed = {}
    for tensor in session.get_inputs():
        if tensor.name in states:
            continue
        named = contract.get("input", {})
        names = named.get(tensor.name, features) if isinstance(named, dict) else features
        x = rows[..., [features.index(name) for name in names]]
        if contract.get("input-layout") == "FL":
            x = x.transpose(0, 2, 1)
        if np.issubdtype(TYPES[tensor.type], np.integer):
            x = np.rint(x)
        shape = [len(x), *(-1 if not isinstance(dim, int) else dim for dim in tensor.shape[1:])]
        fed[tensor.name] = x.astype(TYPES[tensor.type]).reshape(x.shape if shape.count(-1) > 1 else shape)
    return fed


def judged(contract):
    """Names of the outputs that the task is judged by."""
    named = contract.get("output", {})
    order = ["residual", "reconstruction", "score", "rul", "quantiles", "mean", "variance", "sd",
             "forecast", "probabilities", "label"]
    return contract.get("outputs") or [named[key] for key in order if key in named]


def run(session, contract, rows):
    """The judged outputs of each row: name -> array [rows, ...], or a list of maps."""
    names = judged(contract)
    batch = session.get_inputs()[0].shape[0]
    batch = batch if isinstance(batch, int) else 1
    states = contract.get("state", {})
    shapes = {tensor.name: tensor.shape for tensor in session.get_inputs()}
    memory = {
        name: np.zeros([1 if not isinstance(dim, int) else dim for dim in shapes[name]], np.float32)
        for name in states
    }
    told = {name: [] for name in names}
    for first in range(0, len(rows), batch):
        chunk = rows[first : first + batch]
        filled = np.concatenate([chunk, np.repeat(chunk[-1:], batch - len(chunk), axis=0)])
        wanted = names + list(states.values())
        given = session.run(wanted, feeds(session, contract, filled) | memory)
        memory = dict(zip(states, given[len(names) :]))
        for name, value in zip(names, given):
            if isinstance(value, list):
                told[name].extend(value[: len(chunk)])
            else:
                told[name].extend(np.asarray(value).reshape(batch, -1)[: len(chunk)])
    return told


def squares(contract, residual, names):
    """Score and contributions of residuals [..., F]."""
    squared = residual.astype(np.float64).reshape(-1, len(names)) ** 2
    total = squared.sum()
    shares = squared.sum(axis=0) / total if total > 0 else np.zeros(len(names))
    score = squared.mean()
    return {
        "score": score,
        "confidence": score / contract["threshold"],
        "anomalous": bool(score > contract["threshold"]),
        "contributions": dict(zip(names, shares.tolist())),
    }


def anomaly(contract, row, outputs):
    output, features = contract["output"], contract["features"]
    if "score" in output:
        score, threshold = float(outputs[output["score"]][0]), contract["threshold"]
        lower = contract.get("score-order") == "lower"
        told = {"score": score, "anomalous": score < threshold if lower else score > threshold}
        return told | ({"confidence": score / threshold} if threshold > 0 and not lower else {})
    if "residual" in output:
        return squares(contract, outputs[output["residual"]], features)
    y = outputs[output["reconstruction"]].astype(np.float64)
    if contract.get("input-layout") == "FL":
        y = y.reshape(len(features), -1).T
    scale = np.array(contract["residual-scale"], np.float32)
    return squares(contract, (row - y.reshape(row.shape)) / scale, features)


def forecast(contract, row, outputs):
    targets = contract.get("targets", contract["features"])
    x = row[-1, [contract["features"].index(name) for name in targets]]
    y = outputs[contract["output"]["forecast"]].astype(np.float64)
    scale = np.array(contract["residual-scale"], np.float32)
    return squares(contract, (x - y) / scale, targets)


def conformal(value, scale, residuals, coverage, horizons, cap):
    n, tail = len(residuals), (1 - coverage) / 2
    low = int(np.floor((n + 1) * tail + 1e-9))
    high = int(np.ceil((n + 1) * (1 - tail) - 1e-9))
    low = value + scale * residuals[low - 1] if low >= 1 else 0.0
    high = value + scale * residuals[high - 1] if high <= n else cap
    distances = [(h - value) / scale for h in horizons]
    return low, high, [
        (sum(r < d for r in residuals) + (sum(r == d for r in residuals) + 1) / 2) / (n + 1)
        for d in distances
    ]


def rul(contract, row, outputs):
    output, cap = contract["output"], contract["rul-cap"]
    calibration = contract.get("calibration", {})
    residuals = calibration.get("residuals")
    horizons = contract.get("failure-horizons", [])
    coverage = contract.get("interval-coverage", 0.9)
    tail = (1 - coverage) / 2
    if "rul" in output:
        value = float(outputs[output["rul"]][0])
        if residuals is None:
            return {"value": value, "health": min(max(value / cap, 0), 1)}
        low, high, failure = conformal(value, 1.0, residuals, coverage, horizons, cap)
    elif "quantiles" in output:
        levels, margin = contract["quantiles"], calibration.get("margin", 0.0)
        quantiles = np.sort(outputs[output["quantiles"]].astype(np.float64))
        value = float(quantiles[levels.index(0.5)])
        sides = np.sign(np.array(levels) - 0.5)
        quantiles = quantiles + sides * margin
        low, high = np.interp([tail, 1 - tail], levels, quantiles)
        failure = [
            0.0 if h < quantiles[0] else 1.0 if h >= quantiles[-1] else float(np.interp(h, quantiles, levels))
            for h in horizons
        ]
    else:
        value = float(outputs[output["mean"]][0])
        spread = float(outputs[output.get("variance") or output["sd"]][0])
        deviation = np.sqrt(spread) if "variance" in output else spread
        if residuals is not None:
            low, high, failure = conformal(value, deviation, residuals, coverage, horizons, cap)
        else:
            z = NORMAL.inv_cdf(1 - tail)
            low, high = value - z * deviation, value + z * deviation
            failure = [NORMAL.cdf((h - value) / deviation) for h in horizons]
    return {
        "value": value,
        "health": min(max(value / cap, 0), 1),
        "low": min(max(float(low), 0), cap),
        "high": min(max(float(high), 0), cap),
        "open": bool(high >= cap),
        "failure": failure,
    }


def place(contract, label):
    """A class's name from what the graph calls it."""
    classes = [str(name) for name in contract["classes"]]
    if isinstance(label, str):
        return label
    numbers = all(name.lstrip("-").isdigit() for name in classes)
    return str(int(label)) if numbers else classes[int(label)]


def classification(contract, row, outputs):
    classes = [str(name) for name in contract["classes"]]
    normal = contract.get("normal-class")
    told = {}
    if "label" in contract["output"]:
        name = place(contract, outputs[contract["output"]["label"]][0])
    else:
        given = outputs[contract["output"]["probabilities"]]
        if isinstance(given, dict):
            by_name = {place(contract, key): float(p) for key, p in given.items()}
            shares = [by_name[name] for name in classes]
        elif len(given) == 1:
            shares = [1.0 - float(given[0]), float(given[0])]
        else:
            shares = [float(p) for p in given]
        name = classes[int(np.argmax(shares))]
        told["probabilities"] = shares
        if normal is not None:
            told["score"] = 1 - shares[classes.index(str(normal))]
    return told | {"class": name, "anomalous": normal is not None and name != str(normal)}


def custom(contract, row, outputs):
    return {"values": [float(v) for name in judged(contract) for v in outputs[name]]}


TASKS = {
    "anomaly": anomaly,
    "forecast": forecast,
    "rul": rul,
    "classification": classification,
    "custom": custom,
}


def reference(folder, rows):
    """What the outputs are, those that are numbers, and what they mean, row by row."""
    contract, session = contract_of(folder), session_of(folder)
    rows = np.array(rows, np.float32)
    length = contract.get("sequence-length")
    seen = rows if length is None else rows[:, :length]
    outputs = run(session, contract, seen)
    raw = {
        name: [[float(v) for v in row] for row in values]
        for name, values in outputs.items()
        if isinstance(values[0], np.ndarray) and values[0].dtype.kind in "fib"
    }
    task = TASKS[contract["task"]]
    verdicts = [
        task(contract, row.astype(np.float64), {name: values[i] for name, values in outputs.items()})
        for i, row in enumerate(rows)
    ]
    return {"outputs": raw, "verdicts": verdicts}


if __name__ == "__main__":
    rows = json.loads(Path(sys.argv[2]).read_text())["input"]
    json.dump(reference(sys.argv[1], rows), sys.stdout)
