"""What is fed and which model scores it. Kept apart from the contestants, so that all get the same.

Not here: engines and their LSTM over the last 30 readings, which needs state per asset in every peer.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from .places import ROOT

PARTITIONS = 8


@dataclass(frozen=True)
class Workload:
    name: str
    what: str
    # Forewarn's shipped configuration, the topic that it names, and the model that all contestants open.
    config: Path
    config_topic: str
    model: Path
    # Readings that each asset sends; all assets send their first one first.
    steps: int

    def feed(self, binary, brokers, topic, readings):
        assets, rest = divmod(readings, self.steps)
        if rest or not assets:
            raise SystemExit(f"--readings of {self.name} is a multiple of {self.steps}")
        command = [binary, "feed", self.name, "--assets", str(assets), "--steps", str(self.steps)]
        where = ["--topic", topic, "--brokers", brokers, "--partitions", str(PARTITIONS)]
        subprocess.run(command + where, check=True, stdout=subprocess.DEVNULL)


WORKLOADS = {
    "cars": Workload(
        name="cars",
        what="connected cars, an autoencoder over the 18 signals of each reading",
        config=ROOT / "deploy/cars.toml",
        config_topic="car-telemetry",
        model=ROOT / "models/zoo/car-anomaly/1/model.onnx",
        # So few that half of the cars have no fault yet: faults of this fleet come soon, and stay.
        steps=10,
    )
}
