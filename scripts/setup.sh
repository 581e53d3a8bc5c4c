#!/usr/bin/env bash
# Brings what cargo cannot: `setup.sh PART...`, each part a no-op when what it brings is there.
#
#   system     C and C++ compilers, make, pip and venv, as Debian packages
#   runtime    libonnxruntime.so, out of the onnxruntime wheel
#   kafka      Java, and the broker's jars through Maven (deploy/kafka/pom.xml)
#   python     the virtual environment of the tests: their references, and notebooks 04 to 06
#   notebooks  the virtual environment of notebooks 01 to 03, which train the shipped models
#
# A part is two functions: `ready_PART` compares what is there with what is wanted, `make_PART` brings it. What is
# fetched goes to a scratch folder and moves into place whole, with the note of its version last, so an interrupted
# run is simply done again. One lock per FOREWARN_HOME: of two runs at once the second waits, then finds all ready.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

test_requirements="$FOREWARN_ROOT/scripts/requirements-test.txt"
notebook_requirements="$FOREWARN_ROOT/notebooks/requirements.txt"
runtime_version="$(sed -n 's/^onnxruntime==//p' "$test_requirements")"
runtime="$FOREWARN_HOME/lib/libonnxruntime.so"
kafka_pom="$FOREWARN_ROOT/deploy/kafka/pom.xml"
kafka_version="$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$kafka_pom")"
jars="$FOREWARN_HOME/kafka/lib"
scratch="$FOREWARN_HOME/scratch"
log="$FOREWARN_HOME/setup.log"

say() { printf 'setup %-9s  %s\n' "$part" "$*"; }

fail() {
    printf 'setup %-9s  failed: %s\n' "$part" "$*" >&2
    exit 1
}

# Runs a noisy tool. Only when it fails are its last lines shown, then the sentence that says what to do.
quietly() {
    local advice="$1"
    shift
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 8 "$log" >&2
        fail "$advice"
    fi
}

# --- Debian packages -------------------------------------------------------------------------------------------

python_has() {
    python3 -c 'import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))' \
        "$@" 2>/dev/null
}

# librdkafka is built from source, its C++ half included, with the zlib and zstd that crates bring: beyond the
# compilers it needs no -dev package and no pkg-config.
system_packages() {
    command -v cc >/dev/null || printf '%s\n' gcc libc6-dev
    command -v c++ >/dev/null || echo g++
    command -v make >/dev/null || echo make
    command -v python3 >/dev/null || echo python3
    python_has pip || echo python3-pip
    python_has venv ensurepip || echo python3-venv
}

kafka_packages() {
    command -v java >/dev/null || echo openjdk-17-jdk-headless
    command -v mvn >/dev/null || echo maven
}

# Installs Debian packages where that asks for no password; says what to run where it would.
install() {
    local root=()
    command -v apt-get >/dev/null || fail "no apt-get here: install the counterparts of the Debian packages $*"
    if ((EUID != 0)); then
        sudo -n true 2>/dev/null || fail "run: sudo apt-get install $*"
        root=(sudo -n)
    fi
    say "installing the Debian packages $*"
    quietly "apt-get update failed: check the network and apt's sources" "${root[@]}" apt-get update
    quietly "run: apt-get install $*" \
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
    hash -r
}

# --- parts: each ready_PART leaves in `found` what to tell ---------------------------------------------------------

ready_system() {
    command -v cargo >/dev/null || fail "cargo not found: install Rust 1.95 or later with rustup, then run this again"
    found="compilers, make and Python are there"
    [[ -z $(system_packages) ]]
}

make_system() {
    local packages
    mapfile -t packages < <(system_packages)
    install "${packages[@]}"
    # A python3 that is not Debian's own does not see Debian's pip.
    [[ -z $(system_packages) ]] || fail "$(command -v python3) lacks pip or venv: install them for it, or put Debian's first in PATH"
}

ready_runtime() {
    found="ONNX Runtime $runtime_version is there"
    [[ -s $runtime && $(cat "$runtime.version" 2>/dev/null) == "$runtime_version" ]]
}

make_runtime() {
    python_has pip || fail "python3 has no pip: run scripts/setup.sh system, then this again"
    say "fetching ONNX Runtime $runtime_version (24 MB)"
    quietly "pip could not get onnxruntime==$runtime_version: check the network or pip's settings" \
        python3 -m pip download --no-deps --only-binary=:all: --dest "$scratch" "onnxruntime==$runtime_version"
    quietly "the library of onnxruntime $runtime_version does not load here: it needs glibc 2.28 and libstdc++6" \
        python3 "$FOREWARN_ROOT/scripts/take_runtime.py" "$scratch" "$scratch/libonnxruntime.so" "$runtime_version"
    mkdir -p "$(dirname "$runtime")"
    mv "$scratch/libonnxruntime.so" "$runtime"
    echo "$runtime_version" >"$runtime.version"
}

ready_kafka() {
    found="Kafka $kafka_version is there"
    [[ -z $(kafka_packages) ]] && cmp -s "$kafka_pom" "$jars/pom.xml"
}

make_kafka() {
    local packages major
    mapfile -t packages < <(kafka_packages)
    ((${#packages[@]} == 0)) || install "${packages[@]}"
    major="$(java -XshowSettings:properties -version 2>&1 | sed -n 's/ *java.specification.version = //p')"
    ((${major%%.*} >= 17)) || fail "Kafka needs Java 17 or later and java is $major: put a newer one first in PATH"
    say "fetching Kafka $kafka_version (54 MB)"
    quietly "mvn could not get Kafka $kafka_version: check the network or Maven's settings.xml" \
        mvn --quiet --batch-mode --strict-checksums --file "$kafka_pom" \
        dependency:copy-dependencies -DoutputDirectory="$scratch/lib"
    # The jars travel with the pom that named them, so one move makes both appear.
    cp "$kafka_pom" "$scratch/lib/pom.xml"
    mkdir -p "$(dirname "$jars")"
    rm -rf "$jars"
    mv "$scratch/lib" "$jars"
}

# A virtual environment cannot be moved, so it is made in place; its copy of the requirements comes last.
make_venv() {
    local venv="$1" requirements="$2"
    python_has venv ensurepip || fail "python3 has no venv: run scripts/setup.sh system, then this again"
    say "installing $(basename "$requirements") into $venv"
    rm -rf "$venv"
    quietly "python3 could not make $venv: run scripts/setup.sh system, then this again" python3 -m venv "$venv"
    quietly "pip could not get what $requirements asks for: check the network or pip's settings" \
        "$venv/bin/python" -m pip install --prefer-binary --requirement "$requirements"
    cp "$requirements" "$venv/requirements.txt"
}

# The interpreter is looked at as well: a venv dies with the python3 that made it.
ready_venv() { [[ -x $1/bin/python ]] && cmp -s "$2" "$1/requirements.txt"; }

ready_python() {
    found="the tests' Python environment is there"
    ready_venv "$FOREWARN_HOME/venv" "$test_requirements"
}

make_python() { make_venv "$FOREWARN_HOME/venv" "$test_requirements"; }

ready_notebooks() {
    [[ -f $notebook_requirements ]] || fail "notebooks/requirements.txt is not in this clone"
    found="the Python environment of notebooks 01 to 03 is there"
    ready_venv "$FOREWARN_HOME/venv-notebooks" "$notebook_requirements"
}

make_notebooks() { make_venv "$FOREWARN_HOME/venv-notebooks" "$notebook_requirements"; }

# --- the run -----------------------------------------------------------------------------------------------------

# Taken at the first part that has something to do, and held to the end of the run.
lock() {
    [[ -z ${locked:-} ]] || return 0
    mkdir -p "$FOREWARN_HOME"
    exec {locked}>"$FOREWARN_HOME/setup.lock"
    flock --nonblock "$locked" || {
        say "waiting for another set-up to end"
        flock "$locked"
    }
}

bring() {
    part="$1"
    if ! "ready_$part"; then
        lock
        if ! "ready_$part"; then
            rm -rf "$scratch"
            mkdir -p "$scratch"
            "make_$part"
            rm -rf "$scratch"
            "ready_$part" || fail "what was fetched is not what was wanted: remove $FOREWARN_HOME and run this again"
        fi
    fi
    say "$found"
}

(($# > 0)) || set -- help
for name in "$@"; do
    case "$name" in
    system | runtime | kafka | python | notebooks) bring "$name" ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
    esac
done
