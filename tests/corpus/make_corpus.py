"""Makes the corpus: small models as real exporters write them, with what Python's ONNX Runtime gives on them.

    train a little ──exporter──> models/NAME/1/model.onnx, model.toml
                                 expected/NAME.json: input rows, outputs, verdicts (reference.py)

The models are trained on made-up pumps for a second each: they are here for their form, not for what they know.
Exporters write another file from time to time, so the files are committed, and a new version of an exporter is a
new run of this script and a look at the difference.

Run: python tests/corpus/make_corpus.py [NAME...]   (needs requirements.txt beside this file)
"""

import io
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.filterwarnings("ignore")

import numpy as np
import onnx
import torch
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skl2onnx import to_onnx
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
)

import reference

HERE = Path(__file__).parent
ROWS = 12
CAP = 125.0
MODELS = {}

# --- made-up pumps -----------------------------------------------------------------------------------------------

FEATURES = ["pressure", "temperature", "vibration", "flow"]
SCALE = np.array([0.4, 3.0, 0.2, 12.0])


def pumps(count, seed):
    """Readings [count, 4], the remaining life of each in hours, and its mode."""
    rng = np.random.default_rng(seed)
    wear = rng.uniform(0, 1, count)
    base = np.stack([5 - wear, 60 + 20 * wear, 0.5 + wear**2, 200 - 60 * wear], axis=1)
    x = (base + rng.normal(size=base.shape) * SCALE * 0.3).astype(np.float32)
    mode = np.where(wear < 0.5, 0, np.where(rng.uniform(size=count) < 0.5, 1, 2))
    return x, CAP * (1 - wear), mode


def sequences(count, length, seed):
    """Readings [count, length, 4] of pumps that wear, and their remaining life."""
    rng = np.random.default_rng(seed)
    wear = rng.uniform(0, 0.9, (count, 1)) + np.linspace(0, 0.1, length)
    base = np.stack([5 - wear, 60 + 20 * wear, 0.5 + wear**2, 200 - 60 * wear], axis=2)
    x = (base + rng.normal(size=base.shape) * SCALE * 0.1).astype(np.float32)
    return x, CAP * (1 - wear[:, -1])


X, LIFE, MODE = pumps(400, 1)
TEST = pumps(ROWS, 2)[0]
RESIDUALS = [round(float(r), 3) for r in np.sort(np.random.default_rng(3).normal(size=39) * 8)]


def torch_net(*layers, seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(*layers)


def train(net, x, y, loss=torch.nn.functional.mse_loss, steps=150):
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()
    return net.eval()


class Scaled(torch.nn.Module):
    """Physical units outside, standard ones inside."""

    def __init__(self, net, x, like_input=False):
        super().__init__()
        self.net, self.like_input = net, like_input
        self.register_buffer("mean", torch.tensor(x.mean(axis=tuple(range(x.ndim - 1)))))
        self.register_buffer("std", torch.tensor(x.std(axis=tuple(range(x.ndim - 1)))))

    def forward(self, x):
        y = self.net((x - self.mean) / self.std)
        return y * self.std + self.mean if self.like_input else y * CAP


def torch_onnx(module, args, inputs, outputs, opset, dynamo=False, batch=True):
    """torch.onnx.export, by its newer or its older exporter; a dynamic first dimension unless told otherwise."""
    names = [*inputs, *outputs]
    if dynamo:
        options = {"dynamic_shapes": {name: {0: torch.export.Dim("batch")} for name in inputs}} if batch else {}
    else:
        axes = {name: {1 if name[:2] in ("h_", "c_") else 0: "batch"} for name in names}
        options = {"dynamic_axes": axes} if batch else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module, args, str(path), input_names=inputs, output_names=outputs,
            opset_version=opset, dynamo=dynamo, verbose=False,
            **({"external_data": False} if dynamo else {}), **options,
        )
        return without_traces(onnx.load(str(path)))


def without_traces(graph):
    """The newer exporter notes where in whose source each node came from: of no use to others."""
    for item in [graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.input,
                 *graph.graph.output, *graph.graph.initializer]:
        del item.metadata_props[:]
        item.ClearField("doc_string")
    return graph


def model(make):
    MODELS[make.__name__.replace("_", "-")] = make
    return make


def scale_text(scale=SCALE):
    return [float(s) for s in scale]


# --- PyTorch -----------------------------------------------------------------------------------------------------


@model
def torch_autoencoder():
    net = torch_net(torch.nn.Linear(4, 2), torch.nn.Tanh(), torch.nn.Linear(2, 4))
    z = torch.tensor((X - X.mean(0)) / X.std(0))
    scaled = Scaled(train(net, z, z), X, like_input=True)
    graph = torch_onnx(scaled, (torch.tensor(X[:2]),), ["x"], ["reconstruction"], 18, dynamo=True)
    contract = {"task": "anomaly", "features": FEATURES, "output.reconstruction": "reconstruction",
                "residual-scale": scale_text(), "threshold": 0.5}
    return graph, contract, TEST


class Lstm(torch.nn.Module):
    def __init__(self, hidden=6):
        super().__init__()
        self.lstm = torch.nn.LSTM(4, hidden, batch_first=True)
        self.head = torch.nn.Linear(hidden, 1)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class LstmStep(torch.nn.Module):
    """The same network, one row at a time."""

    def __init__(self, lstm, scaled):
        super().__init__()
        self.inner, self.scaled = lstm, scaled

    def forward(self, x, h_in, c_in):
        x = (x - self.scaled.mean) / self.scaled.std
        y, (h, c) = self.inner.lstm(x.unsqueeze(1), (h_in, c_in))
        return self.inner.head(y[:, -1]) * CAP, h, c


def trained_lstm():
    torch.manual_seed(4)
    x, life = sequences(200, 8, 5)
    lstm = Lstm()
    z = torch.tensor((x - x.mean((0, 1))) / x.std((0, 1)))
    train(lstm, z, torch.tensor(life[:, None] / CAP, dtype=torch.float32), steps=80)
    return lstm, Scaled(lstm, x)


@model
def torch_lstm():
    _, scaled = trained_lstm()
    test, _ = sequences(ROWS, 8, 6)
    graph = torch_onnx(scaled, (torch.tensor(test[:2]),), ["x"], ["life"], 17)
    contract = {"task": "rul", "features": FEATURES, "sequence-length": 8, "padding": "edge",
                "output.rul": "life", "unit": "hours", "rul-cap": CAP,
                "calibration.residuals": RESIDUALS, "failure-horizons": [12, 48]}
    return graph, contract, test


@model
def torch_lstm_step():
    lstm, scaled = trained_lstm()
    test = sequences(1, ROWS, 7)[0][0]
    zeros = torch.zeros(1, 1, 6)
    graph = torch_onnx(LstmStep(lstm, scaled), (torch.tensor(test[:1]), zeros, zeros),
                       ["x", "h_in", "c_in"], ["life", "h_out", "c_out"], 17, batch=False)
    contract = {"task": "rul", "features": FEATURES, "state.h_in": "h_out", "state.c_in": "c_out",
                "output.rul": "life", "unit": "hours", "rul-cap": CAP}
    return graph, contract, test


@model
def torch_conv_fixed_batch():
    """[16, F, L]: a batch that is fixed, and time last, as convolutions want it."""
    class Conv(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(8)
            self.down = torch.nn.Conv1d(4, 3, 3, padding=1)
            self.up = torch.nn.Conv1d(3, 4, 3, padding=1)
            self.register_buffer("mean", torch.tensor(X.mean(0))[:, None])
            self.register_buffer("std", torch.tensor(X.std(0))[:, None])

        def forward(self, x):
            return self.up(torch.tanh(self.down((x - self.mean) / self.std))) * self.std + self.mean

    test, _ = sequences(ROWS, 6, 9)
    sample = torch.tensor(np.repeat(test[:1], 16, axis=0).transpose(0, 2, 1).copy())
    graph = torch_onnx(Conv().eval(), (sample,), ["x"], ["y"], 17, batch=False)
    contract = {"task": "anomaly", "features": FEATURES, "sequence-length": 6, "input-layout": "FL",
                "output.reconstruction": "y", "residual-scale": scale_text(), "threshold": 2.0}
    return graph, contract, test


@model
def torch_float16():
    net = train(torch_net(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1)),
                torch.tensor((X - X.mean(0)) / X.std(0)), torch.tensor(LIFE[:, None] / CAP, dtype=torch.float32))
    graph = torch_onnx(Scaled(net, X).half(), (torch.tensor(X[:2]).half(),), ["x"], ["life"], 17)
    contract = {"task": "rul", "features": FEATURES, "output.rul": "life", "unit": "hours", "rul-cap": CAP}
    return graph, contract, TEST


@model
def torch_quantiles_opset23():
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]

    def pinball(y, truth):
        error = truth - y
        level = torch.tensor(levels)
        return torch.maximum(level * error, (level - 1) * error).mean()

    net = train(torch_net(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 5)),
                torch.tensor((X - X.mean(0)) / X.std(0)),
                torch.tensor(LIFE[:, None] / CAP, dtype=torch.float32), loss=pinball)
    graph = torch_onnx(Scaled(net, X), (torch.tensor(X[:2]),), ["x"], ["quantiles"], 23, dynamo=True)
    contract = {"task": "rul", "features": FEATURES, "output.quantiles": "quantiles", "quantiles": levels,
                "calibration.margin": 2.5, "interval-coverage": 0.8, "failure-horizons": [20, 60, 100],
                "unit": "hours", "rul-cap": CAP}
    return graph, contract, TEST


class Moments(torch.nn.Module):
    """Mean and variance of the remaining life."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(10)
        self.body, self.head = torch.nn.Linear(4, 6), torch.nn.Linear(6, 2)
        self.register_buffer("mean", torch.tensor(X.mean(0)))
        self.register_buffer("std", torch.tensor(X.std(0)))

    def forward(self, x):
        y = self.head(torch.tanh(self.body((x - self.mean) / self.std)))
        return y[:, 0] * CAP, (torch.nn.functional.softplus(y[:, 1]) + 0.001) * CAP


@model
def torch_moments():
    def likelihood(y, life):
        return (torch.log(y[1]) + (life - y[0]) ** 2 / y[1]).mean()

    net = train(Moments(), torch.tensor(X), torch.tensor(LIFE, dtype=torch.float32), loss=likelihood)
    graph = torch_onnx(net, (torch.tensor(X[:2]),), ["x"], ["life", "doubt"], 20, dynamo=True)
    contract = {"task": "rul", "features": FEATURES, "output.mean": "life", "output.variance": "doubt",
                "interval-coverage": 0.9, "failure-horizons": [20, 60], "unit": "hours", "rul-cap": CAP}
    return graph, contract, TEST


# --- Keras -------------------------------------------------------------------------------------------------------


def keras_onnx(net, opset):
    """Keras' own export, which is tf2onnx."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        net.export(str(path), format="onnx", opset_version=opset, verbose=False)
        return onnx.load(str(path))


def standard(x):
    """To units of standard deviations, and back. Not Normalization: tf2onnx makes its constants inputs."""
    import keras

    mean, std = (a.astype(float) for a in (x.mean(axis=tuple(range(x.ndim - 1))), x.std(axis=tuple(range(x.ndim - 1)))))
    there = keras.layers.Rescaling((1 / std).tolist(), (-mean / std).tolist())
    return there, keras.layers.Rescaling(std.tolist(), mean.tolist())


@model
def keras_autoencoder():
    import keras

    keras.utils.set_random_seed(11)
    scaler, unscale = standard(X)
    layers = [keras.layers.Input((4,)), scaler, keras.layers.Dense(2, "tanh"), keras.layers.Dense(4), unscale]
    net = keras.Sequential(layers)
    net.compile("adam", "mse")
    net.fit(X, X, epochs=20, verbose=0)
    graph = keras_onnx(net, 13)
    contract = {"task": "anomaly", "features": FEATURES, "output.reconstruction": graph.graph.output[0].name,
                "residual-scale": scale_text(), "threshold": 1.5}
    return graph, contract, TEST


@model
def keras_forecast():
    import keras

    length, ahead = 5, 2
    keras.utils.set_random_seed(12)
    x, _ = sequences(200, length + ahead, 13)
    scaler, _ = standard(x)
    back = standard(x[:, :, [1, 3]])[1]
    layers = [keras.layers.Input((length, 4)), scaler, keras.layers.GRU(4), keras.layers.Dense(2), back]
    net = keras.Sequential(layers)
    net.compile("adam", "mse")
    net.fit(x[:, :length], x[:, -1, [1, 3]], epochs=5, verbose=0)
    graph = keras_onnx(net, 15)
    contract = {"task": "forecast", "features": FEATURES, "sequence-length": length,
                "forecast-horizon": ahead, "targets": ["temperature", "flow"],
                "output.forecast": graph.graph.output[0].name, "residual-scale": [3.0, 12.0], "threshold": 20.0}
    return graph, contract, sequences(ROWS, length + ahead, 14)[0]


# --- scikit-learn ------------------------------------------------------------------------------------------------

ONE = [("x", FloatTensorType([None, 4]))]


@model
def sklearn_isolation_forest():
    forest = IsolationForest(n_estimators=6, max_samples=32, random_state=0).fit(X)
    graph = to_onnx(forest, initial_types=ONE, target_opset={"": 17, "ai.onnx.ml": 3})
    test = TEST.copy()
    test[::3] *= [3, 1, 1, 0.2]
    contract = {"task": "anomaly", "features": FEATURES, "output.score": "scores", "score-order": "lower",
                "threshold": 0.0}
    return graph, contract, test


@model
def sklearn_regression_float64():
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit(X.astype(np.float64), LIFE)
    graph = to_onnx(pipeline, initial_types=[("x", DoubleTensorType([None, 4]))], target_opset=18)
    contract = {"task": "rul", "features": FEATURES, "output.rul": "variable", "unit": "hours", "rul-cap": CAP,
                "calibration.residuals": RESIDUALS, "interval-coverage": 0.8}
    return graph, contract, TEST


@model
def sklearn_opset9():
    net = MLPRegressor(hidden_layer_sizes=(5,), random_state=0, max_iter=300)
    pipeline = make_pipeline(StandardScaler(), net).fit(X, LIFE)
    graph = to_onnx(pipeline, initial_types=ONE, target_opset={"": 9, "ai.onnx.ml": 1})
    contract = {"task": "rul", "features": FEATURES, "output.rul": "variable", "unit": "hours", "rul-cap": CAP}
    return graph, contract, TEST


MODES = ["healthy", "bearing", "seal"]


@model
def sklearn_classifier_zipmap():
    names = np.array(MODES)[MODE]
    forest = RandomForestClassifier(4, max_depth=3, random_state=0).fit(X, names)
    graph = to_onnx(forest, initial_types=ONE, target_opset=17)
    contract = {"task": "classification", "features": FEATURES, "classes": MODES,
                "output.probabilities": "output_probability", "normal-class": "healthy"}
    return graph, contract, TEST


@model
def sklearn_classifier():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, MODE)
    graph = to_onnx(pipeline, initial_types=ONE, target_opset=21, options={"zipmap": False})
    contract = {"task": "classification", "features": FEATURES, "classes": MODES,
                "output.probabilities": "probabilities", "normal-class": "healthy"}
    return graph, contract, TEST


@model
def sklearn_label():
    """Only the label, as text, of the same kind of file."""
    names = np.array(MODES)[MODE]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, names)
    graph = to_onnx(pipeline, initial_types=ONE, target_opset=17)
    contract = {"task": "classification", "features": FEATURES, "classes": ["seal", "bearing", "healthy"],
                "output.label": "output_label", "normal-class": "healthy"}
    return graph, contract, TEST


@model
def sklearn_column_transformer():
    """Numbers and a category in tensors of their own."""
    import pandas

    kind = np.random.default_rng(15).integers(0, 3, len(X))
    table = pandas.DataFrame(X, columns=FEATURES).assign(kind=kind)
    columns = ColumnTransformer([
        ("scaled", StandardScaler(), FEATURES),
        ("kind", OneHotEncoder(handle_unknown="ignore"), ["kind"]),
    ])
    pipeline = make_pipeline(columns, Ridge()).fit(table, LIFE + 3 * kind)
    types = [(name, FloatTensorType([None, 1])) for name in FEATURES]
    graph = to_onnx(pipeline, initial_types=[*types, ("kind", Int64TensorType([None, 1]))], target_opset=17)
    contract = {"task": "rul", "output.rul": "variable", "unit": "hours", "rul-cap": CAP}
    contract |= {f"input.{name}": [name] for name in [*FEATURES, "kind"]}
    test = np.concatenate([TEST, np.arange(ROWS)[:, None] % 3], axis=1).astype(np.float32)
    return graph, contract, test


@model
def sklearn_kmeans_custom():
    pipeline = make_pipeline(StandardScaler(), KMeans(3, n_init=1, random_state=0)).fit(X)
    graph = to_onnx(pipeline, initial_types=ONE, target_opset=17)
    contract = {"task": "custom", "features": FEATURES, "outputs": ["label", "scores"]}
    return graph, contract, TEST


# --- LightGBM and XGBoost ----------------------------------------------------------------------------------------


@model
def lightgbm_classifier():
    from lightgbm import LGBMClassifier
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType as Float

    booster = LGBMClassifier(n_estimators=4, max_depth=3, verbose=-1, random_state=0).fit(X, MODE)
    graph = convert_lightgbm(booster, initial_types=[("x", Float([None, 4]))], target_opset=15)
    contract = {"task": "classification", "features": FEATURES, "classes": MODES,
                "output.probabilities": "probabilities", "normal-class": "healthy"}
    return graph, contract, TEST


@model
def xgboost_regressor():
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType as Float
    from xgboost import XGBRegressor

    booster = XGBRegressor(n_estimators=6, max_depth=3, random_state=0).fit(X, LIFE)
    graph = convert_xgboost(booster, initial_types=[("x", Float([None, 4]))], target_opset=15)
    contract = {"task": "rul", "features": FEATURES, "output.rul": "variable", "unit": "hours", "rul-cap": CAP,
                "calibration.residuals": RESIDUALS, "failure-horizons": [24]}
    return graph, contract, TEST


@model
def xgboost_classifier():
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType as Float
    from xgboost import XGBClassifier

    booster = XGBClassifier(n_estimators=5, max_depth=2, random_state=0).fit(X, MODE > 0)
    graph = convert_xgboost(booster, initial_types=[("x", Float([None, 4]))], target_opset=15)
    contract = {"task": "classification", "features": FEATURES, "classes": ["healthy", "worn"],
                "output.probabilities": "probabilities"}
    return graph, contract, TEST


# --- writing -----------------------------------------------------------------------------------------------------


def toml_text(contract):
    """Keys as the contract writes them, dotted, one to a line: JSON's strings, numbers and arrays are TOML's."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in contract.items())


def write(name):
    graph, contract, rows = MODELS[name]()
    folder = HERE / "models" / name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    (folder / "model.toml").write_text(toml_text(contract))
    rows = np.asarray(rows, np.float32)
    # Trees alone need nothing of ONNX's own domain.
    opset = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in graph.opset_import)
    told = {
        "exporter": f"{graph.producer_name} {graph.producer_version}",
        "opset": opset,
        "input": rows.tolist(),
        **reference.reference(folder, rows.tolist()),
    }
    (HERE / "expected").mkdir(exist_ok=True)
    lines = io.StringIO()
    lines.write("{\n")
    for i, (key, value) in enumerate(told.items()):
        lines.write(f"{json.dumps(key)}: {json.dumps(value)}{',' if i + 1 < len(told) else ''}\n")
    lines.write("}\n")
    (HERE / "expected" / f"{name}.json").write_text(lines.getvalue())
    print(f"{name:28} {told['exporter']:24} {opset:26} {graph.ByteSize():6} bytes")


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        write(name)
