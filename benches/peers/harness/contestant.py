"""What a contestant is to the harness, and how its processes are started and ended.

Invariants:
- processes are ended by their ids, however a run ends, and end with the harness (`setpriv --pdeathsig`);
- what a contestant prints goes into a log in the job's folder, and its end is shown when a run fails.

Not here: the contestants (`contestants.py`).
"""

import contextlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import places
from .observe import family
from .workloads import Workload

# Long enough for a last checkpoint or commit.
STOP_LIMIT = 30


@dataclass(frozen=True)
class Job:
    """One run: from which topic to which, as which consumer group."""

    brokers: str
    input: str
    output: str
    group: str
    folder: Path
    workload: Workload
    # The file that every contestant opens.
    model: Path


@dataclass(frozen=True)
class Contestant:
    name: str
    title: str
    # As a reader of the table should know them.
    versions: str
    settings: str
    # Seconds; a run is over when nothing came for several of them.
    commit_interval: float
    # Whatever has to be there before the clock runs: a jar, say. Also says if it cannot be had.
    build: Callable[[], None]
    # One command line for each process.
    commands: Callable[[Job], list[list[str]]]
    # What it publishes: `full` is Forewarn's record, `lean` the short one of the peers, `copies` the message itself
    # (outputs.py).
    form: str
    # Names of those that it can do.
    workloads: tuple[str, ...]


@contextlib.contextmanager
def running(contestant, job):
    """The process ids of a contestant at work."""
    environment = os.environ | {"ORT_DYLIB_PATH": places.runtime(), "FOREWARN_HOME": str(places.HOME)}
    started = []
    with open(log(job), "w") as to:
        try:
            for command in contestant.commands(job):
                tied = ["setpriv", "--pdeathsig", "TERM", "--", *command]
                process = subprocess.Popen(
                    tied, cwd=job.folder, env=environment, stdin=subprocess.DEVNULL, stdout=to, stderr=to
                )
                started.append(process)
            yield [process.pid for process in started]
        finally:
            for process in started:
                process.terminate()
            for process in started:
                end(process)


def end(process):
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        for pid in family(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        process.wait()


def log(job):
    return job.folder / "log"


def end_of_log(job, lines=15):
    return "\n".join(log(job).read_text(errors="replace").splitlines()[-lines:])
