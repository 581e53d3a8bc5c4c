# shellcheck shell=bash
# Sourced by the Makefile's recipes and by every script here: the one place that says where things live.
#
#   FOREWARN_HOME    what set-up fetches: libraries, Kafka's jars, Python environments, the local broker's data
#   ORT_DYLIB_PATH   the ONNX Runtime library that the binary and the tests open
#   FOREWARN_PYTHON  the interpreter of the tests: their references, and notebooks 04 to 06
#   FOREWARN_BIN     the release binary, wherever cargo puts it
#
# Whatever the caller has set already is kept.

FOREWARN_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# On a CI machine both caches live outside the clone, so that the next fresh clone finds them filled.
if [[ -n ${CI:-} ]]; then
    FOREWARN_HOME="${FOREWARN_HOME:-$HOME/.cache/forewarn/tools}"
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/forewarn/target}"
fi
# Absolute, because tests run in their crate's folder and notebooks in theirs.
FOREWARN_HOME="$(realpath -m "${FOREWARN_HOME:-$FOREWARN_ROOT/.forewarn}")"

export FOREWARN_ROOT FOREWARN_HOME
export ORT_DYLIB_PATH="${ORT_DYLIB_PATH:-$FOREWARN_HOME/lib/libonnxruntime.so}"
export FOREWARN_PYTHON="${FOREWARN_PYTHON:-$FOREWARN_HOME/venv/bin/python}"
export FOREWARN_BIN="${FOREWARN_BIN:-$(realpath -m "${CARGO_TARGET_DIR:-$FOREWARN_ROOT/target}/release/forewarn")}"

# A shell opened before rustup was installed, and most CI shells, lack cargo's folder.
if ! command -v cargo >/dev/null && [[ -x $HOME/.cargo/bin/cargo ]]; then
    export PATH="$HOME/.cargo/bin:$PATH"
fi
