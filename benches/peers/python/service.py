"""A careful Python service: what an experienced team writes when it may not leave Python.

    consume a batch ─▶ orjson ─▶ one numpy array ─▶ session runs ─▶ produce ─▶ offsets ─▶ commit
    └── clients.py     └── columns.py               └── session.py              └── clients.py
                       └───────────── cars.py, engines.py, windows.py ──────┘

This file is the command line. What is done with a batch of messages is a workload: cars.py scores each reading by
itself, engines.py the last rows of an engine, windows.py the closed windows of a car.

Workloads that keep state keep it in memory only: what was read before a restart is not restored, so engines begin
with padding again and readings in open windows are lost. A rebalance would do the same to the partitions that move,
so these workloads do not join the group: with `--processes N`, process `--instance i` of N takes each partition p with
p % N == i, from the offset that the group has committed. Cars, without state, are shared by the group's protocol.

Not here: dead letters, alarms, metrics, state that outlives the process.
"""

import argparse
import signal

import cars
import engines
import windows
from clients import Service

WORKLOADS = {"cars": cars.Cars, "engines": engines.Engines, "windows": windows.Windows}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=WORKLOADS, default="cars")
    for name in ("brokers", "input", "output", "group", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--instance", type=int, required=True, help="number of this process, from 0")
    parser.add_argument("--processes", type=int, default=1, help="how many there are; cars need not know")
    parser.add_argument("--form", choices=cars.FORMS, default="lean", help="of the records of cars")
    args = parser.parse_args()
    if args.form != "lean" and args.workload != "cars":
        parser.error(f"--form {args.form} is for --workload cars only, not for {args.workload}")
    if WORKLOADS[args.workload].stateful and not 0 <= args.instance < args.processes:
        parser.error(f"--instance {args.instance} is not one of 0 to {args.processes - 1}, as --processes has it")
    return args


def main():
    args = arguments()
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    service = Service(args, WORKLOADS[args.workload](args))
    try:
        service.run(lambda: not stopped)
    finally:
        service.close()


if __name__ == "__main__":
    main()
