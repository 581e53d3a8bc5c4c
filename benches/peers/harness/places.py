"""Where things lie, and the environment that sets it: the same variables as scripts/env.sh."""

import os
from pathlib import Path

PEERS = Path(__file__).resolve().parent.parent
ROOT = PEERS.parent.parent
HOME = Path(os.environ.get("FOREWARN_HOME") or ROOT / ".forewarn").resolve()
VENV = HOME / "venv-peers"


def runtime():
    """The ONNX Runtime library that Forewarn opens."""
    return os.environ.get("ORT_DYLIB_PATH") or str(HOME / "lib/libonnxruntime.so")


def binary():
    return os.environ.get("FOREWARN_BIN") or str(ROOT / "target/release/forewarn")


def relay():
    return str(Path(binary()).parent / "examples/relay")
