"""How good is training/recipes/turbofan-rul.toml? NASA's engines, subset by subset, seed by seed, with one and the same recipe.

    python3 benches/turbofan.py --seeds 5 FD001 FD002

needs a release build of forewarn (--binary) and the data folder (FOREWARN_DATA, or ../shared/data). Only the seed of the
networks differs between the runs; which engines are held back does not. Test engines are judged at their last row, with
their life capped at 125 cycles. It prints a line a run, as JSON, and a table in the end.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def forewarn(binary, *args):
    done = subprocess.run([binary, *args], cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in (0, 10):
        raise SystemExit(f"forewarn {' '.join(args)}: {done.stderr}")
    return done.stdout


def prepare(binary, subset, folder):
    """Readings of both splits in one file, and their failures in another one."""
    readings, failures = [], []
    for split in ("train", "test"):
        file, labels = folder / f"{split}.jsonl", folder / f"{split}.csv"
        forewarn(binary, "feed", "cmapss", "--subset", subset, "--split", split, "--output", str(file), "--failures", str(labels))
        readings.append(file.read_text())
        failures.append(labels.read_text().splitlines(keepends=True))
    (folder / "readings.jsonl").write_text("".join(readings))
    (folder / "failures.csv").write_text("".join(failures[0] + failures[1][1:]))


def retrain(binary, seed, folder):
    """One training, into a repository of its own; gives its report."""
    with tempfile.TemporaryDirectory() as own:
        own = pathlib.Path(own)
        config = (ROOT / "deploy/turbofan-conditions.toml").read_text()
        (own / "pipeline.toml").write_text(config.replace("../models/own", "models"))
        recipe = (ROOT / "training/recipes/turbofan-rul.toml").read_text()
        recipe = recipe.replace("../../deploy/turbofan-conditions.toml", "pipeline.toml")
        recipe = recipe.replace('"failures.csv"', json.dumps(str(folder / "failures.csv")))
        recipe = recipe.replace("[trainer.learning]\n", f"[trainer.learning]\nseed = {seed}\n")
        (own / "recipe.toml").write_text(recipe)
        told = forewarn(binary, "retrain", str(own / "recipe.toml"), "--input", str(folder / "readings.jsonl"), "--output", "json")
        return json.loads(told)["report"]


def spread(values):
    mean = statistics.mean(values)
    return f"{mean:.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else f"{mean:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subsets", nargs="*", default=["FD001", "FD002"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--binary", default=os.environ.get("FOREWARN_BIN", str(ROOT / "target/release/forewarn")))
    args = parser.parse_args()
    rows = []
    for subset in args.subsets:
        reports = []
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            prepare(args.binary, subset, folder)
            for seed in range(1, args.seeds + 1):
                report = retrain(args.binary, seed, folder)
                told = {"subset": subset, "seed": seed, "seconds": round(report["learning"])}
                told |= {name: report["figures"][name] for name in ("rmse", "mae", "nasa_score", "coverage")}
                told["held_back_coverage"] = report["interval"]["crossed"]
                print(json.dumps(told), flush=True)
                reports.append(told)
        of = lambda name, scale=1.0: spread([report[name] * scale for report in reports])
        rows.append(
            f"| {subset} | {of('rmse')} | {of('nasa_score')} | {of('mae')} | {of('coverage', 100)} % "
            f"| {of('held_back_coverage', 100)} % | {min(r['seconds'] for r in reports)} to {max(r['seconds'] for r in reports)} s |"
        )
    print(f"\n| {args.seeds} seeds | RMSE | NASA score | MAE | 90 % interval holds, test engines below the cap | held-back engines | training |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
