"""Forewarn and its peers in the same run: on the same topic, models and machine, exactly once.

    python3 benches/peers/run.py --workload cars --readings 1000000 --output docs/peers.md

    a broker of its own ─▶ feed the topic once ─▶ for each contestant:  run, watch, stop, read, compare
                                                                            ─▶ OUTPUT.md, OUTPUT.svg

Needs what scripts/setup.sh fetches, the release binary (FOREWARN_BIN, or --binary), and for the JVM's peers a JDK 17
and Maven. Python's packages go into a venv under FOREWARN_HOME at the first run. README.md says how it is measured.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import places


def in_venv():
    """Goes on in the pinned environment, which is made first if requirements.txt has changed."""
    wanted, has = places.PEERS / "requirements.txt", places.VENV / "requirements.txt"
    python = places.VENV / "bin/python"
    if not (python.exists() and has.exists() and filecmp.cmp(wanted, has, shallow=False)):
        print(f"peers: installing requirements.txt into {places.VENV}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", places.VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", wanted], check=True)
        shutil.copy(wanted, has)
    if Path(sys.prefix).resolve() != places.VENV:
        os.execv(python, [str(python), *sys.argv])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", default="cars")
    parser.add_argument("--readings", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contestant; the table has the median")
    parser.add_argument("--output", type=Path, required=True, help="the table; the chart lies beside it")
    parser.add_argument("--binary", help="Forewarn's binary instead of FOREWARN_BIN")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these contestants; Forewarn runs all the same")
    parser.add_argument("--note", default="", help="a sentence on the conditions for the table, say: a busy machine")
    parser.add_argument("--patience", type=float, default=120, help="seconds without a new output until it failed")
    return parser.parse_args()


def chosen(only, workload):
    from harness.contestants import ALL

    unknown = set(only or ()) - set(ALL)
    if unknown:
        sys.exit(f"no such contestant: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    able = {name: one for name, one in ALL.items() if workload.name in one.workloads}
    reference = next(iter(able))
    return [one for name, one in able.items() if not only or name in only or name == reference]


def main():
    args = arguments()
    if args.binary:
        os.environ["FOREWARN_BIN"] = str(Path(args.binary).resolve())
    from harness import broker, chart, match, report
    from harness.workloads import WORKLOADS

    workload = WORKLOADS.get(args.workload) or sys.exit(f"no such workload; there are {', '.join(WORKLOADS)}")
    contestants = chosen(args.only, workload)
    for contestant in contestants:
        contestant.build()
    with broker.throw_away() as kafka, tempfile.TemporaryDirectory(prefix="forewarn-peers.") as folder:
        results, alone = match.play(workload, contestants, args.readings, args.rounds, kafka, Path(folder), args.patience)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    svg = args.output.with_suffix(".svg")
    svg.write_text(picture(chart, results, args.readings))
    text = report.markdown(results, alone, workload, args.readings, args.rounds, svg.name, args.note)
    args.output.write_text(text)
    print(text)
    if any(result.failure for result in results):
        sys.exit(1)


def picture(chart, results, readings):
    def colour(contestant):
        if contestant.name.startswith("forewarn"):
            return chart.OURS
        return chart.DARK if contestant.form == "full" else chart.LIGHT

    shown = [result for result in results if result.rate is not None]
    figures = [(one.contestant.title, one.rate, colour(one.contestant)) for one in shown]
    below = (
        f"{readings:,} readings, exactly once; {os.cpu_count()} cores, which the broker shares. "
        "Light: a short record, without contributions and headers."
    )
    return chart.bars("Readings per second, first output to last", figures, below)


if __name__ == "__main__":
    in_venv()
    main()
