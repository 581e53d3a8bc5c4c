"""Reference scores of a shipped model, to compare the pipeline's with.

    readings (CSV or JSON lines) ──rows of each asset──> [L, F] windows ──ONNX Runtime──> scores.csv

Independent on purpose: it shares no code with the pipeline, nor with the notebooks that trained
the models, and every window is cut naively from the list of all rows of its asset. What it knows
about a model it reads from the file's `forewarn.*` metadata.

Input columns: `asset`, `time`, then signals by name; other columns are ignored. Time is not used:
an asset's rows are taken in file order. A row that a model with padding "none" can't score yet is
left out.

Output: `row,asset,score,contribution.<feature>...` for task "anomaly", `row,asset,rul` for "rul";
`row` counts the data rows of the input from 0. Floats are written so that reading them gives the
same double. Scores are computed in double precision from the model's float32 residuals.

Needs numpy and onnxruntime.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime


def read_rows(path):
    """An iterator of dicts, one per reading."""
    with open(path, newline="") as file:
        if Path(path).suffix == ".csv":
            yield from csv.DictReader(file)
        else:
            yield from (json.loads(line) for line in file if line.strip())


def read_readings(path, features):
    """(asset of every row, [rows, F] float32)."""
    assets, values = [], []
    for row in read_rows(path):
        assets.append(str(row["asset"]))
        values.append([float(row[feature]) for feature in features])
    return assets, np.array(values, np.float64).reshape(-1, len(features)).astype(np.float32)


def model_inputs(assets, values, length, padding):
    """(rows that can be scored, their model inputs): [N, F] without a length, else [N, L, F]."""
    if length is None:
        return list(range(len(values))), values
    history, rows, windows = {}, [], []
    for row, asset in enumerate(assets):
        seen = history.setdefault(asset, [])
        seen.append(values[row])
        window = seen[-length:]
        if len(window) < length:
            if padding == "none":
                continue
            if padding != "edge":
                raise SystemExit(f"unknown padding {padding!r}: expected edge or none")
            window = [window[0]] * (length - len(window)) + window
        rows.append(row)
        windows.append(np.stack(window))
    return rows, np.array(windows, np.float32).reshape(-1, length, values.shape[1])


def run_in_batches(session, name, output, x, batch):
    pieces = [session.run([output], {name: x[i : i + batch]})[0] for i in range(0, len(x), batch)]
    return np.concatenate(pieces) if pieces else np.zeros((0,), np.float32)


def anomaly_columns(residual, features):
    """Score and contributions, by name; without any residual every contribution is 0."""
    squares = residual.astype(np.float64).reshape(-1, len(features)) ** 2
    total = squares.sum(axis=1, keepdims=True)
    shares = np.divide(squares, total, out=np.zeros_like(squares), where=total > 0)
    columns = {"score": squares.mean(axis=1)}
    return columns | {f"contribution.{f}": shares[:, i] for i, f in enumerate(features)}


def main():
    parser = argparse.ArgumentParser(description="reference scores of an ONNX model")
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True, help="readings, .csv or .jsonl")
    parser.add_argument("--output", required=True, help="CSV to write")
    parser.add_argument("--batch", type=int, default=256, help="rows per run (default 256)")
    arguments = parser.parse_args()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        arguments.model, options, providers=["CPUExecutionProvider"]
    )
    contract = session.get_modelmeta().custom_metadata_map
    features = json.loads(contract["forewarn.features"])
    length = contract.get("forewarn.sequence-length")
    length = int(length) if length is not None else None

    assets, values = read_readings(arguments.input, features)
    rows, x = model_inputs(assets, values, length, contract["forewarn.padding"])

    task = contract["forewarn.task"]
    if task == "anomaly":
        output = contract["forewarn.output.residual"]
        raw = run_in_batches(session, contract["forewarn.input"], output, x, arguments.batch)
        columns = anomaly_columns(raw, features)
    elif task == "rul":
        output = contract["forewarn.output.rul"]
        raw = run_in_batches(session, contract["forewarn.input"], output, x, arguments.batch)
        columns = {"rul": raw.astype(np.float64)}
    else:
        raise SystemExit(f"no reference for task {task!r}")

    with open(arguments.output, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "asset", *columns])
        for i, row in enumerate(rows):
            values_of_row = (repr(float(column[i])) for column in columns.values())
            writer.writerow([row, assets[row], *values_of_row])


if __name__ == "__main__":
    main()
