"""A throw-away Kafka for one comparison: `scripts/kafka.sh` in a folder of its own, on a free port.

Invariant: the broker is stopped, and its folder removed, however the comparison ends.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from .places import ROOT

# Seconds that a new topic may take; far off, because others may use the machine.
LEADER_LIMIT = 30
# As in production: all workers, threads and processes of a contestant have their partitions from the start.
JOIN_MILLIS = 3_000


@dataclass(frozen=True)
class Broker:
    address: str
    pid: int


@contextlib.contextmanager
def throw_away():
    """A broker that lives as long as the block."""
    script = str(ROOT / "scripts/kafka.sh")
    folder = tempfile.mkdtemp(prefix="forewarn-peers.")
    try:
        up = [script, "up", "--port", "0", "--dir", folder, "--join", str(JOIN_MILLIS)]
        # `up` leaves the broker behind, which must not hold this process's pipe open.
        subprocess.run(up, check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(folder, "address")) as address, open(os.path.join(folder, "broker.pid")) as pid:
            yield Broker(address.read().strip(), int(pid.read()))
    finally:
        subprocess.run([script, "down", "--dir", folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)


class Topics:
    """Makes and removes topics, and says how far they are filled."""

    def __init__(self, brokers):
        self.admin = AdminClient({"bootstrap.servers": brokers})

    def create(self, name, partitions):
        self._await(self.admin.create_topics([NewTopic(name, partitions, 1)]))
        deadline = time.monotonic() + LEADER_LIMIT
        # A new partition is led by nobody for a moment.
        while not self._led(name, partitions):
            if time.monotonic() > deadline:
                raise RuntimeError(f"topic {name} has no leaders after {LEADER_LIMIT} s")
            time.sleep(0.1)

    def _led(self, name, partitions):
        # The metadata first: to ask for offsets of what is not in them yet would be remembered as a missing topic.
        told = self.admin.list_topics(name, 10).topics[name].partitions
        if len(told) < partitions or any(one.leader < 0 for one in told.values()):
            return False
        try:
            self.ends(name, partitions)
        except KafkaException:
            return False
        return True

    def ends(self, name, partitions):
        """The last stable offset of each partition: where a `read_committed` reader has to stop."""
        asked = {TopicPartition(name, p): OffsetSpec.latest() for p in range(partitions)}
        told = self.admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED)
        found = {place.partition: future.result(60).offset for place, future in told.items()}
        return [found[p] for p in range(partitions)]

    def delete(self, name):
        self._await(self.admin.delete_topics([name]))

    @staticmethod
    def _await(futures):
        for future in futures.values():
            future.result(60)
