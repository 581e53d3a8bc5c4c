#!/usr/bin/env bash
# One Kafka broker on loopback, KRaft in a single node: for development, the tests and the benches.
#
#   kafka.sh up     [--port P] [--dir D] [--proxied Q] [--join MS]   start in the background, print the bootstrap address
#   kafka.sh run    [--port P] [--dir D] [--proxied Q] [--join MS]   start in the foreground, logging to the terminal
#   kafka.sh status [--dir D]                            print the bootstrap address, or exit with 3
#   kafka.sh down   [--dir D]                            stop what `up` started
#   kafka.sh with -- COMMAND...                          run COMMAND against a throw-away broker, return its exit status
#   kafka.sh tool CLASS [ARGUMENT...]                    run a tool of Kafka's, say org.apache.kafka.tools.TopicCommand
#
# P defaults to 9092, and 0 picks a free one. D holds everything of one broker: server.properties, broker.log,
# broker.pid, `address` while it is up, and its records under log/.
#
# Q is the port of a proxy before the broker: whoever comes in through the second listener, whose address is in
# D/proxied, is told that the broker is at Q, and so stays behind the proxy.
#
# A new consumer group waits MS (0) for more members before it hands out partitions; Kafka's own default is 3000.
#
# `with` gives COMMAND, besides FOREWARN_TEST_BROKERS with the address, FOREWARN_TEST_BROKER_DIR: a test that needs
# the broker to fall can `kafka.sh down --dir` it, or kill it by broker.pid, and bring it `up` again on its port.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

jars="$FOREWARN_HOME/kafka/lib"
start_limit_s=120 # about 5 s when idle; far off, because CI machines compile next to it
stop_limit_s=30

fail() {
    printf 'kafka: %s\n' "$*" >&2
    exit 1
}

# Replaces this process, or the subshell around the call, by java with $java_arguments.
java_with_jars() {
    # shellcheck disable=SC2206,SC2086  # KAFKA_HEAP_OPTS, Kafka's own variable, is a list of words
    local heap=(${KAFKA_HEAP_OPTS:--Xmx1g})
    exec "$@" java "${heap[@]}" -Dlog4j2.configurationFile="$FOREWARN_ROOT/deploy/kafka/log4j2.properties" \
        -cp "$jars/*" "${java_arguments[@]}"
}

# --- ports -------------------------------------------------------------------------------------------------------

in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below Linux's ephemeral range (32768 and up), where a client's outgoing connection could take the port while a test
# restarts its broker; a client that retries could even connect to itself there.
free_port() {
    local port
    while port=$((10000 + SRANDOM % 20000)) && in_use "$port"; do :; done
    echo "$port"
}

# --- one broker, in $dir -----------------------------------------------------------------------------------------

# The pid in broker.pid, if that process is this folder's broker and not a later one that was given its number.
broker_pid() {
    local pid command
    pid="$(cat "$dir/broker.pid" 2>/dev/null)" || return 1
    command="$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")" || return 1
    [[ $command == *" kafka.Kafka $dir/server.properties "* ]] && echo "$pid"
}

# The listener behind a proxy keeps its port from one start to the next, as the proxy expects.
proxied_listener() {
    local address
    address="$(cat "$dir/proxied" 2>/dev/null)" || address="127.0.0.1:$(free_port)"
    echo "$address" >"$dir/proxied"
    echo "$address"
}

configure() {
    local port="$1" listeners advertised inner
    listeners="PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$2"
    advertised="PLAINTEXT://127.0.0.1:$port"
    if [[ -n $proxied ]]; then
        inner="$(proxied_listener)"
        listeners+=",PROXIED://$inner"
        advertised+=",PROXIED://127.0.0.1:$proxied"
    fi
    cat >"$dir/server.properties" <<PROPERTIES
# Written by scripts/kafka.sh at every start.
process.roles=broker,controller
node.id=1
listeners=$listeners
advertised.listeners=$advertised
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$2
log.dirs=$dir/log

# A misspelt topic is an error here, as it is in production.
auto.create.topics.enable=false
num.partitions=4
# Nothing expires: the recorded data of tests and demos carries instants of years ago.
log.retention.ms=-1
log.retention.bytes=-1
offsets.retention.minutes=5256000

# One node holds the one replica; few partitions of the internal topics make it start quickly.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1

# Tests do not wait long for a killed member of a group or its open transaction.
group.initial.rebalance.delay.ms=$join_ms
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
PROPERTIES
}

format() {
    [[ ! -f $dir/log/meta.properties ]] || return 0
    local id
    # A cluster id is 16 random bytes in URL-safe base64; the leading digit keeps tools from reading it as an option.
    id="0$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)"
    java_arguments=(-XX:TieredStopAtLevel=1 kafka.tools.StorageTool format --cluster-id "$id" --config "$dir/server.properties")
    (java_with_jars) >"$dir/format.log" 2>&1 || {
        tail -n 8 "$dir/format.log" >&2
        fail "could not format $dir/log: look into $dir/format.log"
    }
}

prepare() {
    local port="$1" controller
    in_use "$port" && fail "port $port is in use: stop what listens there, or choose another (make kafka-up PORT=9192)"
    while controller="$(free_port)" && ((controller == port)); do :; done
    configure "$port" "$controller"
    format
    java_arguments=(kafka.Kafka "$dir/server.properties")
}

await_start() {
    local port="$1" pid="$2" deadline=$((SECONDS + start_limit_s))
    until grep -q 'Kafka Server started' "$dir/broker.log" && in_use "$port"; do
        kill -0 "$pid" 2>/dev/null || {
            tail -n 20 "$dir/broker.log" >&2
            fail "the broker ended while starting: look into $dir/broker.log"
        }
        ((SECONDS < deadline)) || {
            stop KILL
            fail "the broker did not start within $start_limit_s s: look into $dir/broker.log"
        }
        sleep 0.1
    done
}

# The words before the java command, if any, come from the caller: how the process hangs together with this one.
start() {
    local port="$1"
    shift
    prepare "$port"
    [[ ! -f $dir/broker.log ]] || mv "$dir/broker.log" "$dir/broker.log.1"
    : >"$dir/broker.log"
    (java_with_jars "$@") >>"$dir/broker.log" 2>&1 </dev/null 9>&- &
    disown "$!" # or bash would tell on stderr of a broker that a test killed
    echo "$!" >"$dir/broker.pid"
    await_start "$port" "$!"
    echo "127.0.0.1:$port" >"$dir/address"
}

stop() {
    local signal="$1" pid deadline=$((SECONDS + stop_limit_s))
    if pid="$(broker_pid)"; then
        kill "-$signal" "$pid" 2>/dev/null || true
        while broker_pid >/dev/null; do
            # Safe at any time: a broker recovers from its log.
            ((SECONDS < deadline)) || kill -KILL "$pid" 2>/dev/null || true
            sleep 0.05
        done
    fi
    rm -f "$dir/broker.pid" "$dir/address"
}

# --- commands ----------------------------------------------------------------------------------------------------

port=9092
dir="$FOREWARN_HOME/kafka/data"
chosen_port=
proxied=
join_ms=0

options() {
    while (($# > 0)); do
        [[ $# -ge 2 && -n $2 ]] || usage
        case "$1" in
        --port) chosen_port="$2" ;;
        --dir) dir="$(realpath -m "$2")" ;;
        --proxied) proxied="$2" ;;
        --join) join_ms="$2" ;;
        *) usage ;;
        esac
        shift 2
    done
    port="${chosen_port:-$port}"
    [[ $port =~ ^[0-9]{1,5}$ && (-z $proxied || $proxied =~ ^[0-9]{1,5}$) && $join_ms =~ ^[0-9]{1,5}$ ]] || usage
}

# Two at once on one folder would both find no broker there; descriptor 9 is closed for the broker itself.
lock_dir() {
    mkdir -p "$dir"
    exec 9>"$dir/lock"
    flock 9
}

is_up() {
    broker_pid >/dev/null || return 1
    local address
    address="$(cat "$dir/address")"
    [[ -z $chosen_port || $chosen_port == 0 || $address == "127.0.0.1:$chosen_port" ]] ||
        fail "already up on $address: stop it first (make kafka-down)"
    echo "$address"
}

up() {
    lock_dir
    ! is_up || return 0
    ((port != 0)) || port="$(free_port)"
    # A session of its own: neither Ctrl-C nor a closed terminal reaches it.
    start "$port" setsid
    echo "127.0.0.1:$port"
}

run() {
    lock_dir
    ! is_up || fail "already up in $dir: stop it first (make kafka-down)"
    ((port != 0)) || port="$(free_port)"
    prepare "$port"
    echo "$$" >"$dir/broker.pid"
    echo "127.0.0.1:$port" >"$dir/address"
    echo "127.0.0.1:$port"
    java_with_jars 9>&-
}

down() {
    [[ -d $dir ]] || return 0
    lock_dir
    stop TERM
}

status() {
    broker_pid >/dev/null || {
        echo "not running in $dir"
        return 3
    }
    cat "$dir/address"
}

end_with() {
    trap '' INT TERM HUP # a second Ctrl-C must not leave the broker behind
    if [[ -n ${job:-} ]]; then
        disown "$job" 2>/dev/null || true # or bash would tell on stderr how it ended
        kill -TERM -- "-$job" 2>/dev/null || true
        for _ in {1..40}; do
            kill -0 -- "-$job" 2>/dev/null || break
            sleep 0.05
        done
        kill -KILL -- "-$job" 2>/dev/null || true
    fi
    stop KILL # nothing of it is kept
    rm -rf "$dir"
}

with() {
    local status
    dir="$(mktemp -d "${TMPDIR:-/tmp}/forewarn-kafka.XXXXXX")"
    trap end_with EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    port="$(free_port)"
    # A session of its own, so that Ctrl-C ends COMMAND first. The kernel stops the broker should this script be killed.
    start "$port" setsid setpriv --pdeathsig TERM

    # COMMAND gets a process group, so that all its children can be ended with it, and runs in the background, because
    # bash would not look at a signal before a command in the foreground has ended. There it may not read a terminal.
    set -m
    FOREWARN_TEST_BROKERS="127.0.0.1:$port" FOREWARN_TEST_BROKER_DIR="$dir" "$@" </dev/null &
    job=$!
    wait "$job" && status=0 || status=$?

    if ((status != 0)) && ! broker_pid >/dev/null; then
        echo "kafka: the broker ended before the command did; the end of its log:" >&2
        tail -n 20 "$dir/broker.log" >&2
    fi
    exit "$status"
}

usage() {
    sed -n '2,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

(($# > 0)) || usage
verb="$1"
shift
case "$verb" in
up | run | with | tool) [[ -f $jars/pom.xml ]] || fail "Kafka's jars are not here: run scripts/setup.sh kafka" ;;
esac
case "$verb" in
up | run | down | status)
    options "$@"
    "$verb"
    ;;
with)
    [[ ${1:-} == -- && $# -ge 2 ]] || usage
    with "${@:2}"
    ;;
tool)
    (($# > 0)) || usage
    java_arguments=("$@")
    java_with_jars
    ;;
*) usage ;;
esac
