"""All contestants, in the order of the table.

The settings of a peer are in its own folder, each with its reason; here they are only told. What is told of versions
comes from requirements.txt and the poms, so that no second list can be wrong.
"""

import os
import re
import shutil
import subprocess
import sys

from . import places
from .contestant import Contestant
from .outputs import of_forewarn, of_peer

SECOND = 1.0
MILLI = 1e-3


def nothing():
    pass


# --- Forewarn ----------------------------------------------------------------------------------------------------


def forewarn(workers):
    plural = "worker" if workers == 1 else "workers"
    return Contestant(
        name=f"forewarn-{workers}",
        title=f"Forewarn, {workers} {plural}",
        versions=f"{forewarn_version()}, ONNX Runtime {runtime_version()}",
        settings="the shipped configuration: commit every 25 ms, alarms, contributions of 18 signals, CloudEvents "
        "headers, state written every minute",
        commit_interval=25 * MILLI,
        build=nothing,
        commands=lambda job: [[places.binary(), "run", "--config", str(forewarn_config(job, workers))]
                              + ["--create-topics", "8"]],
        parse=of_forewarn,
    )  # fmt: skip


def forewarn_config(job, workers):
    """The shipped file with other names, and a copy of the model, beside which the admitted one is stored."""
    repository = job.folder / "models" / job.workload.model.parts[-3]
    shutil.copytree(job.workload.model.parent.parent, repository, dirs_exist_ok=True)
    text = job.workload.config.read_text()
    for shipped, here in [
        (f'name = "{job.workload.name}"', f'name = "{job.group}"'),
        ("127.0.0.1:9092", job.brokers),
        (f'"{job.workload.config_topic}"', f'"{job.input}"'),
        ("../models/zoo", "models"),
        ('"car-predictions"', f'"{job.output}"'),
        ('"car-alarms"', f'"{job.group}-alarms"'),
        ('"car-dead-letters"', f'"{job.group}-dead"'),
        ('"car-late"', f'"{job.group}-late"'),
    ]:
        if text.count(shipped) != 1:
            raise RuntimeError(f"{job.workload.config} does not have {shipped} once")
        text = text.replace(shipped, here)
    path = job.folder / "pipeline.toml"
    path.write_text(f"{text}\n[service]\nworkers = {workers}\n")
    return path


def forewarn_version():
    return subprocess.run([places.binary(), "--version"], check=True, capture_output=True, text=True).stdout.strip()


def runtime_version():
    """Written beside the library by scripts/setup.sh."""
    try:
        with open(places.runtime() + ".version") as version:
            return version.read().strip()
    except OSError:
        return "of unknown version"


# --- Python ------------------------------------------------------------------------------------------------------


def requirements():
    lines = (places.PEERS / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def python_versions(*packages):
    python = ".".join(str(part) for part in sys.version_info[:3])
    return ", ".join([f"Python {python}", *(f"{name} {requirements()[name]}" for name in packages)])


def peer_arguments(job):
    return ["--brokers", job.brokers, "--input", job.input, "--output", job.output, "--group", job.group,
            "--model", str(job.workload.model)]  # fmt: skip


def python(processes):
    program = str(places.PEERS / "python/service.py")
    plural = "process" if processes == 1 else "processes"
    return Contestant(
        name=f"python-{processes}",
        title=f"Python service, {processes} {plural}",
        versions=python_versions("confluent-kafka", "orjson", "numpy", "onnxruntime"),
        settings="a transaction for each polled batch: up to 5,000 messages or what came within 25 ms; one intra-op "
        "thread; lz4",
        commit_interval=0.1,
        build=nothing,
        commands=lambda job: [
            [sys.executable, program, *peer_arguments(job), "--instance", str(i)] for i in range(processes)
        ],
        parse=of_peer,
    )


ALL = {
    contestant.name: contestant
    for contestant in [
        forewarn(1),
        forewarn(2),
        python(1),
        python(2),
    ]
}
