"""What the three notebooks share: the data, the networks in JAX, and the ONNX files.

    data folder ──frames──> windows / rows ──train──> parameters ──graph──> model.onnx + contract
                                                          └── run_onnx: the same numbers? ──┘

A network is written twice here, once in JAX for training and once as an ONNX graph for serving;
`largest_difference` is called in every notebook and proves that both compute the same function.

Not here: the choices. Which rows are healthy, how engines are split, how wide a network is and
where a threshold lies is said in the notebook that ships the model.
"""

import gzip
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pandas as pd
from onnx import TensorProto, helper, numpy_helper

REPOSITORY = Path(__file__).resolve().parent.parent
ZOO = REPOSITORY / "models" / "zoo"

# ---------------------------------------------------------------- data

CMAPSS_SENSORS = (
    "T2 T24 T30 T50 P2 P15 P30 Nf Nc epr Ps30 phi NRf NRc BPR farB htBleed Nf_dmd PCNfR_dmd W31 W32"
).split()

# The 14 sensors that move at FD001's single operating condition, with their units. The other
# seven are constant there, or (epr, P15) take two values without relation to wear.
TURBOFAN_SIGNALS = {
    "T24": "deg R", "T30": "deg R", "T50": "deg R", "P30": "psia", "Nf": "rpm", "Nc": "rpm",
    "Ps30": "psia", "phi": "pps/psi", "NRf": "rpm", "NRc": "rpm", "BPR": "-", "htBleed": "-",
    "W31": "lbm/s", "W32": "lbm/s",
}  # fmt: skip

CAR_SIGNALS = {
    "coolant_temp": "deg C", "intake_air_temp": "deg C", "intake_air_flow_speed": "g/s",
    "battery_percentage": "-", "battery_voltage": "V", "current_draw": "A", "speed": "m/s",
    "engine_vibration_amplitude": "mV", "throttle_pos": "-",
    "tire_pressure_1_1": "psi", "tire_pressure_1_2": "psi",
    "tire_pressure_2_1": "psi", "tire_pressure_2_2": "psi",
    "accelerometer_1_1_value": "m/s^2", "accelerometer_1_2_value": "m/s^2",
    "accelerometer_2_1_value": "m/s^2", "accelerometer_2_2_value": "m/s^2",
    "control_unit_firmware": "-",
}  # fmt: skip


def data_folder(name):
    """`$FOREWARN_DATA/<name>`, or `../shared/data/<name>` beside the repository."""
    root = os.environ.get("FOREWARN_DATA") or REPOSITORY.parent / "shared" / "data"
    folder = Path(root) / name
    if not folder.is_dir():
        raise FileNotFoundError(f"no data set {name}: set FOREWARN_DATA to the data folder")
    return folder


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def cmapss(subset, part):
    """One C-MAPSS file as a frame with the column `rul`, the true remaining useful life.

    In a train file the last row of an engine is its failure; in a test file the life left after
    the last row comes from the RUL file.
    """
    folder = data_folder("cmapss")
    columns = ["engine", "cycle", "setting1", "setting2", "setting3", *CMAPSS_SENSORS]
    frame = pd.read_csv(folder / f"{part}_{subset}.txt.gz", sep=r"\s+", header=None, names=columns)
    last = frame.groupby("engine").cycle.transform("max")
    after_last = 0
    if part == "test":
        with gzip.open(folder / f"RUL_{subset}.txt.gz", "rt") as file:
            after_last = frame.engine.map({i + 1: int(line) for i, line in enumerate(file)})
    return frame.assign(rul=last - frame.cycle + after_last)


def simulate_cars(folder, assets, seed):
    """Readings and truth of a simulated fleet, row by row, from `forewarn feed cars`."""
    readings, truth = Path(folder) / f"cars-{seed}.csv", Path(folder) / f"truth-{seed}.csv"
    subprocess.run(
        [os.environ.get("FOREWARN_BIN", "forewarn"), "feed", "cars", "--assets", str(assets)]
        + ["--steps", "100", "--seed", str(seed), "--output", str(readings)]
        + ["--truth-output", str(truth)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return read_cars(readings, truth)


def read_cars(readings, truth):
    """(readings, faults): two frames with the same row order; faults are 0/1 per mode."""
    readings, truth = pd.read_csv(readings), pd.read_csv(truth, dtype={"failure_occurred": str})
    assert (readings.time == truth.time).all() and (readings.car == truth.car).all()
    readings["step"] = readings.groupby("car").cumcount()
    return readings, truth.drop(columns=["time", "car", "failure_occurred"]).astype(np.int8)


def split_assets(assets, share, seed):
    """(kept, held back): whole assets, because rows of one asset are far from independent."""
    shuffled = np.random.default_rng(seed).permutation(np.unique(assets))
    held_back = round(len(shuffled) * share)
    return np.sort(shuffled[held_back:]), np.sort(shuffled[:held_back])


def windows(frame, asset, features, length):
    """[rows, length, features] float32: for every row the last `length` rows of its asset.

    Edge padding: before `length` rows exist, the asset's first row is repeated at the front.
    """
    pieces = []
    for _, rows in frame.groupby(asset, sort=False):
        values = rows[features].to_numpy(np.float32)
        padded = np.concatenate([np.repeat(values[:1], length - 1, axis=0), values])
        views = np.lib.stride_tricks.sliding_window_view(padded, length, axis=0)
        pieces.append(views.transpose(0, 2, 1))
    return np.concatenate(pieces)


# ---------------------------------------------------------------- networks in JAX


def lstm_init(key, features, hidden, dense):
    """Uniform in +-1/sqrt(fan); the forget gate starts open (bias 1)."""
    keys, bound = jax.random.split(key, 4), hidden**-0.5

    def uniform(key, shape, bound):
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    return {
        "W": uniform(keys[0], (features, 4 * hidden), bound),
        "R": uniform(keys[1], (hidden, 4 * hidden), bound),
        "b": jnp.zeros(4 * hidden).at[2 * hidden : 3 * hidden].set(1.0),
        "W1": uniform(keys[2], (hidden, dense), bound),
        "b1": jnp.zeros(dense),
        "W2": uniform(keys[3], (dense, 1), dense**-0.5),
        "b2": jnp.full(1, 0.6),
    }


def lstm_apply(params, x, dropout=0.0, key=None):
    """Scaled windows [B, L, F] to RUL as a share of the cap [B]. Gate order i, o, f, c (ONNX's)."""
    batch, hidden = x.shape[0], params["R"].shape[0]
    projected = jnp.swapaxes(x, 0, 1) @ params["W"] + params["b"]

    def step(carry, z):
        h, c = carry
        i, o, f, g = jnp.split(z + h @ params["R"], 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((batch, hidden))
    (h, _), _ = jax.lax.scan(step, (zeros, zeros), projected, unroll=5)

    def drop(x, key):
        return x * jax.random.bernoulli(key, 1 - dropout, x.shape) / (1 - dropout)

    if dropout:
        first, second = jax.random.split(key)
        h = drop(h, first)
    a = jax.nn.relu(h @ params["W1"] + params["b1"])
    if dropout:
        a = drop(a, second)
    return (a @ params["W2"] + params["b2"])[:, 0]


def autoencoder_init(key, sizes):
    """A list of (weights, bias), one per layer of `sizes`, weights normal with variance 1/fan."""
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        (jax.random.normal(key, (rows, columns)) * rows**-0.5, jnp.zeros(columns))
        for key, rows, columns in zip(keys, sizes, sizes[1:])
    ]


def autoencoder_apply(params, z):
    """Scaled rows [B, F] to their reconstruction [B, F]; tanh between layers, the last is linear."""
    for weights, bias in params[:-1]:
        z = jnp.tanh(z @ weights + bias)
    weights, bias = params[-1]
    return z @ weights + bias


class Adam:
    """Adam with decoupled weight decay on matrices, clipped gradients, a short warm-up, a cosine
    decay, and an exponential moving average of the weights, which is what is validated and kept.
    """

    def __init__(self, loss, steps, rate, decay=0.0, average=0.995, warm_up=100):
        """`loss(params, key, *batch)`; `steps` is the length of the whole training."""

        def update(state, key, *batch):
            params, first, second, kept, t = state
            gradient = jax.grad(loss)(params, key, *batch)
            norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradient)))
            gradient = jax.tree.map(lambda g: g / jnp.maximum(norm, 1.0), gradient)
            t = t + 1
            first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
            second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
            cosine = 0.5 * (1 + jnp.cos(jnp.pi * t / steps))
            scale = rate * jnp.minimum(1.0, t / warm_up) * (0.01 + 0.99 * cosine)

            def move(p, m, v):
                direction = m / (1 - 0.9**t) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
                return p - scale * (direction + (decay * p if p.ndim > 1 else 0.0))

            params = jax.tree.map(move, params, first, second)
            keep = jnp.minimum(average, t / (t + 10))
            kept = jax.tree.map(lambda k, p: keep * k + (1 - keep) * p, kept, params)
            return params, first, second, kept, t

        self.update = jax.jit(update)

    @staticmethod
    def start(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return params, zeros, zeros, params, jnp.float32(0)

    @staticmethod
    def averaged(state):
        return jax.tree.map(np.asarray, state[3])


# ---------------------------------------------------------------- measures


def rmse(predicted, true):
    return float(np.sqrt(np.mean((np.asarray(predicted, float) - true) ** 2)))


def nasa_score(predicted, true):
    """The PHM08 score, a sum over engines: late predictions cost more than early ones."""
    d = np.asarray(predicted, float) - true
    return float(np.sum(np.where(d < 0, np.exp(-d / 13) - 1, np.exp(d / 10) - 1)))


def anomaly_score(residual):
    """Mean over the features of the squared dimensionless residual: what the pipeline computes."""
    return (np.asarray(residual, np.float64) ** 2).mean(axis=1)


# ---------------------------------------------------------------- ONNX

# Old enough for the ONNX Runtimes of several years; LSTM, Gemm and Clip have not changed since.
OPSET, IR_VERSION = 17, 8


class Graph:
    """A list of nodes and constants under construction."""

    def __init__(self, name):
        self.name, self.nodes, self.constants = name, [], []

    def constant(self, name, value, dtype=np.float32):
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"{kind}_{outputs[-1]}", **attributes))
        return outputs[-1]

    def scaled(self, x, mean, std):
        """(x - mean) / std. Subtracted first: folded into the weights, float32 would cancel."""
        centred = self.node("Sub", [x, self.constant("mean", mean)], "centred")
        return self.node("Div", [centred, self.constant("std", std)], "scaled")

    def dense(self, x, name, weights, bias, output=None):
        inputs = [x, self.constant(f"{name}_w", weights), self.constant(f"{name}_b", bias)]
        return self.node("Gemm", inputs, output or name)

    def model(self, inputs, outputs):
        def values(shapes):
            return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

        graph = helper.make_graph(self.nodes, self.name, values(inputs), values(outputs), self.constants)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="forewarn notebooks"
        )


def lstm_graph(name, params, mean, std, length, cap):
    """[B, length, F] in physical units to `rul` [B] in cycles, clipped to [0, cap]."""
    features, hidden = params["W"].shape[0], params["R"].shape[0]
    g = Graph(name)
    # ONNX's LSTM is time-major and takes weights as [directions, 4 * hidden, inputs].
    x = g.node("Transpose", [g.scaled("readings", mean, std)], "by_time", perm=[1, 0, 2])
    bias = np.concatenate([params["b"], np.zeros(4 * hidden)])
    weights = [
        g.constant("lstm_w", np.asarray(params["W"]).T[None]),
        g.constant("lstm_r", np.asarray(params["R"]).T[None]),
        g.constant("lstm_b", bias[None]),
    ]
    g.node("LSTM", [x, *weights], ["", "last_hidden"], hidden_size=hidden)
    h = g.node("Squeeze", ["last_hidden", g.constant("direction_axis", [0], np.int64)], "hidden")
    h = g.node("Relu", [g.dense(h, "dense1", params["W1"], params["b1"])], "active")
    h = g.dense(h, "share_of_cap", params["W2"], params["b2"])
    h = g.node("Squeeze", [h, g.constant("column_axis", [1], np.int64)], "share")
    h = g.node("Mul", [h, g.constant("cap", cap)], "cycles")
    g.node("Clip", [h, g.constant("zero", 0.0), "cap"], "rul")
    return g.model({"readings": ["B", length, features]}, {"rul": ["B"]})


def autoencoder_graph(name, params, mean, std, residual_scale):
    """[B, F] in physical units to `residual` [B, F] (dimensionless) and `reconstruction` [B, F].

    residual = (x - reconstruction) / (std * residual_scale). It is computed from the scaled values,
    where float32 has more digits than in the difference of two physical values.
    """
    features = params[0][0].shape[0]
    g = Graph(name)
    z = g.scaled("readings", mean, std)
    h = z
    for i, (weights, bias) in enumerate(params[:-1]):
        h = g.node("Tanh", [g.dense(h, f"layer{i}", weights, bias)], f"active{i}")
    h = g.dense(h, "scaled_reconstruction", *params[-1])
    difference = g.node("Sub", [z, h], "difference")
    g.node("Div", [difference, g.constant("residual_scale", residual_scale)], "residual")
    g.node("Add", [g.node("Mul", [h, "std"], "spread"), "mean"], "reconstruction")
    rows = ["B", features]
    return g.model({"readings": rows}, {"residual": rows, "reconstruction": rows})


def lineage(notebook, data, split, seed, **more):
    """Where a model comes from; `data` maps a name to the files it was read from."""
    packages = ["jax", "numpy", "onnx", "onnxruntime", "pandas"]
    return {
        "notebook": f"notebooks/{notebook}",
        "data": data,
        "split": split,
        "seed": seed,
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in packages},
        **more,
    }


def save(model, name, signals, contract):
    """Checks the model, writes the contract into its metadata and the file into the zoo."""
    contract = {
        "contract": "1",
        "features": list(signals),
        "units": list(signals.values()),
        "input": "readings",
        **contract,
    }
    texts = {
        f"forewarn.{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in contract.items()
    }
    helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    path = ZOO / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size / 1024:.0f} KiB")
    return path


def run_onnx(path, x, batch=256):
    """The outputs of the shipped file for all rows of `x`, by name, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    pieces = [session.run(names, {"readings": x[i : i + batch]}) for i in range(0, len(x), batch)]
    return {name: np.concatenate(column) for name, column in zip(names, zip(*pieces))}


def largest_difference(a, b, relative=False):
    """The largest |a - b|, or |a - b| / max(1, |b|), over all elements."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.max(np.abs(a - b) / (np.maximum(1, np.abs(b)) if relative else 1)))


def contract_table(path):
    """The contract of a written model as a Markdown table, for its card."""
    props = {p.key: p.value for p in onnx.load(path).metadata_props}
    rows = [f"| `{key}` | {value} |" for key, value in props.items() if key != "forewarn.lineage"]
    return "\n".join(["| key | value |", "|---|---|", *rows])


def write_card(path, text):
    """The card beside the model. It is written by the notebook, so its numbers are the model's."""
    Path(path).with_name("card.md").write_text(text.strip() + "\n")
