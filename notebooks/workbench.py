"""What notebooks 04 to 06 share: a throw-away folder with a pipeline in it, and the command `forewarn`.

    deploy/cars.toml + views of the notebook ──▶ cars.toml ┐
    models/zoo/car-anomaly ─────────────────────▶ models/  ├─ one folder, the working directory from then on
    forewarn feed, replay, score, ... ──────────▶ tables   ┘

So a notebook's commands are those that a person types, with plain names of files, and nothing that they write stays or
touches what the repository ships.

The binary is `$FOREWARN_BIN`, else the one on the `PATH`, else that of `cargo build --release`.

Not here: anything that is computed from readings or scores. Notebooks show theirs.
"""

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import polars as pl

REPOSITORY = Path(__file__).resolve().parent.parent
FAULTS = [
    "tire_1_1", "tire_1_2", "tire_2_1", "tire_2_2", "shock_1_1", "shock_1_2", "shock_2_1", "shock_2_2",
    "drive_shaft", "overheating", "firmware",
]  # fmt: skip
BINARY = os.environ.get("FOREWARN_BIN") or shutil.which("forewarn") or str(REPOSITORY / "target/release/forewarn")


def open_workbench(more=""):
    """Makes a throw-away folder and goes there: `cars.toml`, with `more` at its end, and `models/`.

    Keep what it gives: the folder goes when that does.
    """
    folder = tempfile.TemporaryDirectory(prefix="forewarn-notebook-")
    os.chdir(folder.name)
    # ONNX Runtime is looked for above the working directory, which is elsewhere now.
    library = REPOSITORY / ".forewarn/lib/libonnxruntime.so"
    if library.exists():
        os.environ.setdefault("ORT_DYLIB_PATH", str(library))
    shutil.copytree(REPOSITORY / "models/zoo/car-anomaly", "models/car-anomaly")
    shipped = (REPOSITORY / "deploy/cars.toml").read_text()
    assert "../models/zoo" in shipped
    Path("cars.toml").write_text(shipped.replace("../models/zoo", "models") + more)
    plt.rcParams.update(
        {"figure.dpi": 70, "axes.grid": True, "grid.alpha": 0.3, "axes.titlesize": "medium", "legend.fontsize": "small"}
    )
    pl.Config.set_tbl_rows(8)
    return folder


def forewarn(command, status=0, quiet=False):
    """Runs `forewarn COMMAND`, prints both as a terminal would, and gives standard output.

    Another exit status than the one that is meant fails the cell.
    """
    done = subprocess.run([BINARY, *shlex.split(command)], capture_output=True, text=True)
    print(f"$ forewarn {command}")
    if not quiet or done.returncode != status:
        print("\n".join(filter(None, [done.stdout.rstrip(), done.stderr.rstrip()])))
    if done.returncode:
        print(f"# exit status {done.returncode}")
    if done.returncode != status:
        raise RuntimeError(f"forewarn {command}: exit status {done.returncode}, and {status} was expected")
    return done.stdout
