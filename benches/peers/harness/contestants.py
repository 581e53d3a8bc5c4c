"""All contestants, in the order of the table.

The settings of a peer are in its own folder, each with its reason; here they are only told. What is told of versions
comes from requirements.txt and the poms, so that no second list can be wrong.
"""

import functools
import os
import re
import shutil
import subprocess
import sys

from . import places
from .contestant import Contestant

# One heap for both frameworks, and the collector that is made for throughput.
JVM_FLAGS = ("-Xms1g", "-Xmx1g", "-XX:+UseParallelGC")

EVERY = ("cars", "engines", "engines-state", "windows")
# What peers can do: only Forewarn keeps the state of a recurrent model.
STATELESS, PEERS_DO = ("cars",), ("cars", "engines", "windows")

# As long as the value of a peer's record.
LEAN_BYTES = 120

# How the record of a peer is told.
FORMS = {"lean": "", "full": "the same record as Forewarn, contributions and headers included; "}
# The frameworks' own INFO lines would be most of a log that is read only when something fails.
WARNINGS = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"


def nothing():
    pass


# --- Forewarn ----------------------------------------------------------------------------------------------------


# What is published where nothing else is asked for.
DEFAULT_RECORD = "contributions of all features in anomalous results, CloudEvents headers"


def forewarn(workers, short=False):
    plural = "worker" if workers == 1 else "workers"
    record = "results without contributions, their id as the only header" if short else DEFAULT_RECORD
    return Contestant(
        name=f"forewarn-{'short-' if short else ''}{workers}",
        title=f"Forewarn, {workers} {plural}{', short record' if short else ''}",
        versions=f"{forewarn_version()}, ONNX Runtime {runtime_version()}",
        settings=f"commit every 25 ms, behind a backlog less often; alarms, {record}, state written every minute",
        commit_interval=0.025,
        build=nothing,
        commands=lambda job: [[places.binary(), "run", "--config", str(forewarn_config(job, workers, short))]
                              + ["--create-topics", "8"]],
        form="full",
        workloads=EVERY,
    )  # fmt: skip


def forewarn_config(job, workers, short):
    """The workload's file with other names, and a copy of the model, beside which the admitted one is stored."""
    repository = job.folder / "models" / job.model.parts[-3]
    shutil.copytree(job.model.parent.parent, repository, dirs_exist_ok=True)
    text = job.workload.config.read_text()
    for key, here in [
        ("name", job.group),
        ("brokers", job.brokers),
        ("topic", job.input),
        ("repository", "models"),
        ("predictions", job.output),
        ("alarms", f"{job.group}-alarms"),
        ("dead-letters", f"{job.group}-dead"),
        ("late", f"{job.group}-late"),
    ]:
        # The first of its name: the pipeline's comes before the models'.
        text, found = re.subn(rf'^{key} = ".*"$', f'{key} = "{here}"', text, count=1, flags=re.MULTILINE)
        if not found:
            raise RuntimeError(f"{job.workload.config} has no {key}")
    served = re.search(r'^\[\[models\.serve\]\]\nname = "(.*)"$', text, re.MULTILINE)[1]
    text = text.replace(f'"{served}"', f'"{job.model.parts[-3]}"')
    if short:
        text = text.replace("[models]\n", '[models]\ncontributions = "none"\n')
        text = text.replace("[sink]\n", '[sink]\nheaders = "id"\n')
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


# --- The limit ---------------------------------------------------------------------------------------------------


def relay(name, title, most=None):
    return Contestant(
        name=f"relay-{name}",
        title=title,
        versions="rdkafka as Forewarn has it",
        settings="copies each message to the same partition and does nothing else; clients as Forewarn's, commits as often, "
        "which it waits for",
        commit_interval=0.025,
        build=built_relay,
        commands=lambda job: [[places.relay(), "--brokers", job.brokers, "--input", job.input, "--output", job.output,
                               "--group", job.group] + (["--bytes", str(most)] if most else [])],
        form="copies",
        workloads=EVERY,
    )  # fmt: skip


def built_relay():
    if not os.path.exists(places.relay()):
        raise SystemExit(f"{places.relay()} is not there: cargo build --release --example relay")


# --- Python ------------------------------------------------------------------------------------------------------


def requirements():
    lines = (places.PEERS / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def python_versions(*packages):
    python = ".".join(str(part) for part in sys.version_info[:3])
    return ", ".join([f"Python {python}", *(f"{name} {requirements()[name]}" for name in packages)])


def peer_arguments(job):
    return ["--brokers", job.brokers, "--input", job.input, "--output", job.output, "--group", job.group,
            "--model", str(job.model)]  # fmt: skip


def python(name, title, processes, form="lean"):
    program = str(places.PEERS / "python/service.py")
    return Contestant(
        name=f"python-{name}",
        title=f"Python service, {title}",
        versions=python_versions("confluent-kafka", "orjson", "numpy", "onnxruntime"),
        settings=f"{FORMS[form]}a transaction for each polled batch: up to 5,000 messages or what came within 25 ms; "
        "one intra-op thread; lz4; histories and windows in numpy arrays, in memory only, each process with partitions of "
        "its own",
        commit_interval=0.1,
        build=nothing,
        commands=lambda job: [
            [sys.executable, program, *peer_arguments(job), "--workload", job.workload.name, "--form", form]
            + ["--instance", str(i), "--processes", str(processes)]
            for i in range(processes)
        ],
        form=form,
        workloads=PEERS_DO if form == "lean" else STATELESS,
    )


def quix():
    program = str(places.PEERS / "quix/service.py")
    return Contestant(
        name="quix",
        title="Quix Streams",
        versions=python_versions("quixstreams", "confluent-kafka", "onnxruntime"),
        settings="processing_guarantee exactly-once, commit_interval 0.1 s, each record scored when it comes; one "
        "intra-op thread; lz4",
        commit_interval=0.1,
        build=nothing,
        commands=lambda job: [[sys.executable, program, *peer_arguments(job)]],
        form="lean",
        workloads=STATELESS,
    )


# --- The JVM -----------------------------------------------------------------------------------------------------


@functools.cache
def build_jvm():
    if not shutil.which("mvn"):
        raise SystemExit("the JVM's peers need Maven and a JDK 17 (or choose others with --only)")
    command = ["mvn", "--quiet", "--batch-mode", "--file", str(places.PEERS / "pom.xml"), "clean", "package"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def jvm_versions(*names):
    pom = (places.PEERS / "pom.xml").read_text()
    versions = dict(re.findall(r"<([a-z-]+)\.version>([^<]+)</", pom))
    told = subprocess.run(["java", "-version"], check=True, capture_output=True, text=True).stderr
    java = re.search(r'version "([^"]+)"', told)
    return ", ".join([f"Java {java[1] if java else '?'}", *(f"{name} {versions[name]}" for name in names)])


def java(module, main):
    target = places.PEERS / module / "target"
    return ["java", *JVM_FLAGS, WARNINGS, "-cp", f"{target}/classes:{target}/lib/*", main]


def kafka_streams(name, title, scoring, how, form="lean"):
    return Contestant(
        name=f"kafka-streams-{name}",
        title=f"Kafka Streams, {title}",
        versions=jvm_versions("kafka-streams", "onnxruntime", "jackson"),
        settings=f"{FORMS[form]}exactly_once_v2, commit every 100 ms (its default), 2 threads, {how}; up to 5,000 "
        f"records a poll; lz4, producer batches of 128 KiB; {' '.join(JVM_FLAGS)}",
        commit_interval=0.1,
        build=build_jvm,
        commands=lambda job: [[*java("kafka-streams", "peers.streams.Main"), *peer_arguments(job), "--form", form,
                               "--scoring", scoring, "--state", str(job.folder / "state")]],
        form=form,
        workloads=STATELESS,
    )  # fmt: skip


def flink(name, title, scoring, how, form="lean"):
    return Contestant(
        name=f"flink-{name}",
        title=f"Flink, {title}",
        versions=jvm_versions("flink", "flink-connector-kafka", "onnxruntime", "jackson"),
        settings=f"{FORMS[form]}a mini-cluster in one JVM, parallelism 2, object reuse, one chain, or with state of assets "
        f"two with keyBy between them; {how}; exactly-once sink that commits with a checkpoint each second; up to 5,000 "
        f"records a poll; lz4, producer batches of 128 KiB; {' '.join(JVM_FLAGS)}",
        commit_interval=1.0,
        build=build_jvm,
        commands=lambda job: [[*java("flink", "peers.flink.Main"), *peer_arguments(job), "--form", form,
                               "--scoring", scoring, "--workload", job.workload.name,
                               "--state", str(job.folder / "state")]],
        form=form,
        workloads=PEERS_DO if form == "lean" else STATELESS,
    )  # fmt: skip


EACH = "each record scored when it comes"
STORED = "batches of up to 256 or 50 ms, what waits is in a cached state store"
FLUSHED = "batches of up to 256 or 50 ms, flushed before each checkpoint"
RECORD = "Forewarn's record"

ALL = {
    contestant.name: contestant
    for contestant in [
        forewarn(1),
        forewarn(2),
        forewarn(1, short=True),
        forewarn(2, short=True),
        relay("whole", "Relay: messages copied whole"),
        relay("short", f"Relay: {LEAN_BYTES} bytes of each message", LEAN_BYTES),
        python("1", "1 process", 1),
        python("2", "2 processes", 2),
        python("full", f"1 process, {RECORD}", 1, form="full"),
        kafka_streams("per-record", "per record", "per-record", EACH),
        kafka_streams("batched", "batched", "batched", STORED),
        kafka_streams("full", f"batched, {RECORD}", "batched", STORED, form="full"),
        flink("per-record", "per record", "per-record", EACH),
        flink("batched", "batched", "batched", FLUSHED),
        flink("full", f"batched, {RECORD}", "batched", FLUSHED, form="full"),
        quix(),
    ]
}
