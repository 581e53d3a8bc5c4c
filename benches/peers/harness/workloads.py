"""What is fed, which model scores it, and what has to come of it. Kept apart from the contestants, so that all get the
same.

Not here: values (`feeds.py`, `forewarn feed`), models that are made for this (`models.py`).
"""

import dataclasses
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import feeds, models
from .places import PEERS, ROOT

PARTITIONS = 8
ZOO = ROOT / "models/zoo"
# Windows of so many seconds, and how many of them each asset fills; then readings until they are closed.
WINDOW, WINDOWS, BEHIND = 10, 3, 3


@dataclass(frozen=True)
class Workload:
    name: str
    what: str
    # Forewarn's configuration. The names in it are replaced for each run.
    config: Path
    # A shipped model, or one to be made at this path below a job's folder.
    model: Path
    make: Callable[[Path], None] | None
    feed: Callable[[str, str, str, int, int], None]
    # Readings that each asset sends; all assets send their first one first.
    steps: int
    # Results have a window instead of a reading.
    windowed: bool
    # Assets' names are this and a number from 1 on.
    prefix: str
    # Relative; versions of ONNX Runtime differ between contestants, and a mean may be summed in another order.
    tolerance: float

    def assets(self, readings):
        assets, rest = divmod(readings, self.steps)
        if rest or not assets:
            raise SystemExit(f"--readings of {self.name} is a multiple of {self.steps}")
        return assets

    def outputs(self, readings):
        return self.assets(readings) * WINDOWS if self.windowed else readings

    def readings_per_output(self):
        return WINDOW if self.windowed else 1

    def marks(self, readings):
        """Outputs that are visible when the measured stretch begins, and when its second half does."""
        if self.windowed:
            # All windows close at the same reading: whole ones are compared.
            return self.assets(readings), 2 * self.assets(readings)
        return 1, readings // 2


def feed_cars(binary, brokers, topic, assets, steps):
    command = [binary, "feed", "cars", "--assets", str(assets), "--steps", str(steps)]
    where = ["--topic", topic, "--brokers", brokers, "--partitions", str(PARTITIONS)]
    subprocess.run(command + where, check=True, stdout=subprocess.DEVNULL)


def feed_engines(binary, brokers, topic, assets, steps):
    feeds.engines(brokers, topic, assets, steps)


def feed_windows(binary, brokers, topic, assets, steps):
    feeds.cars(brokers, topic, assets, steps)


ENGINES = Workload(
    name="engines",
    what="turbofan engines, an LSTM of 64 over the last 30 readings of 14 signals, for each reading",
    config=PEERS / "workloads/engines.toml",
    model=ZOO / "turbofan-rul/1/model.onnx",
    make=None,
    feed=feed_engines,
    # 5,000 engines are 600,000 readings; sequences are full after a quarter of them.
    steps=120,
    windowed=False,
    prefix="engine-",
    tolerance=1e-4,
)

WORKLOADS = {
    workload.name: workload
    for workload in [
        Workload(
            name="cars",
            what="connected cars, an autoencoder over the 18 signals of each reading",
            config=ROOT / "deploy/cars.toml",
            model=ZOO / "car-anomaly/1/model.onnx",
            make=None,
            feed=feed_cars,
            # So few that half of the cars have no fault yet: faults of this fleet come soon, and stay.
            steps=10,
            windowed=False,
            prefix="car",
            tolerance=1e-6,
        ),
        ENGINES,
        dataclasses.replace(
            ENGINES,
            name="engines-state",
            what="turbofan engines, the same LSTM one reading at a time, its state of each engine kept",
            model=Path("models/turbofan-rul-step/1/model.onnx"),
            make=models.step,
        ),
        Workload(
            name="windows",
            what="connected cars, an autoencoder over 54 aggregates of each tumbling window of 10 s",
            config=PEERS / "workloads/windows.toml",
            model=Path("models/car-window-anomaly/1/model.onnx"),
            make=models.car_window,
            feed=feed_windows,
            steps=WINDOW * WINDOWS + BEHIND,
            windowed=True,
            prefix="car",
            tolerance=1e-4,
        ),
    ]
}
