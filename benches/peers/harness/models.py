"""The models that no repository ships, made with one seed: what they say means nothing, what they cost does.

- `turbofan-rul-step`: the network of `models/zoo/turbofan-rul`, the same weights, one reading at a time: its state goes
  in and comes out.
- `car-window-anomaly`: an autoencoder over the mean, minimum and maximum of 18 signals; 54 to 16 and back.
"""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .feeds import CAR
from .places import ROOT

ZOO = ROOT / "models/zoo"
OPSET, IR = 17, 8
HIDDEN = 64
AGGREGATES = ("mean", "min", "max")
INNER = 16


def step(path):
    """As the LSTM over 30 rows; `Transpose` gives way to an axis for the time, and the state is given."""
    whole = onnx.load(ZOO / "turbofan-rul/1/model.onnx")
    nodes = list(whole.graph.node)
    kinds = [node.op_type for node in nodes]
    if kinds[:5] != ["Sub", "Div", "Transpose", "LSTM", "Squeeze"]:
        raise RuntimeError(f"turbofan-rul is another network than expected: {kinds}")
    nodes[2] = helper.make_node("Unsqueeze", ["scaled", "direction_axis"], ["by_time"])
    nodes[3] = helper.make_node(
        "LSTM",
        ["by_time", "lstm_w", "lstm_r", "lstm_b", "", "h_in", "c_in"],
        ["", "last_hidden", "c_out"],
        hidden_size=HIDDEN,
    )
    nodes[4] = helper.make_node("Squeeze", ["last_hidden", "direction_axis"], ["hidden"])
    nodes.append(helper.make_node("Identity", ["last_hidden"], ["h_out"]))
    given = contract(whole)
    for key in ("sequence-length", "padding", "lineage", "description"):
        given.pop(f"forewarn.{key}", None)
    given |= {"forewarn.state.h_in": "h_out", "forewarn.state.c_in": "c_out"}
    state = [1, "B", HIDDEN]
    save(
        path,
        nodes,
        [("readings", ["B", 14]), ("h_in", state), ("c_in", state)],
        [("rul", ["B"]), ("h_out", state), ("c_out", state)],
        list(whole.graph.initializer),
        given,
    )


def car_window(path):
    """Each feature is scaled by what the feed's signals are like, so that residuals are about 1."""
    random = np.random.default_rng(1)
    features = [f"{name}_{what}" for name, *_ in CAR for what in AGGREGATES]
    wide = len(features)
    mean = np.repeat([(low + high) / 2 for _, low, high, _ in CAR], len(AGGREGATES))
    scale = np.repeat([high - low or 1 for _, low, high, _ in CAR], len(AGGREGATES))
    tensors = {
        "mean": mean,
        "scale": scale,
        "down_w": random.normal(0, wide**-0.5, (wide, INNER)),
        "down_b": np.zeros(INNER),
        "up_w": random.normal(0, INNER**-0.5, (INNER, wide)),
        "up_b": np.zeros(wide),
    }
    nodes = [
        helper.make_node("Sub", ["windows", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "down_w", "down_b"], ["down"]),
        helper.make_node("Tanh", ["down"], ["inner"]),
        helper.make_node("Gemm", ["inner", "up_w", "up_b"], ["up"]),
        helper.make_node("Sub", ["scaled", "up"], ["residual"]),
    ]
    given = {
        "forewarn.contract": "1",
        "forewarn.task": "anomaly",
        "forewarn.features": json.dumps(features),
        "forewarn.output.residual": "residual",
        # Of this feed's windows one in twenty scores more.
        "forewarn.threshold": "0.24",
    }
    save(
        path,
        nodes,
        [("windows", ["B", wide])],
        [("residual", ["B", wide])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in tensors.items()],
        given,
    )


def contract(model):
    return {entry.key: entry.value for entry in model.metadata_props}


def save(path, nodes, inputs, outputs, initializers, given):
    def tensors(described):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in described]

    graph = helper.make_graph(nodes, path.parent.parent.name, tensors(inputs), tensors(outputs), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    helper.set_model_props(model, given)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True)
    onnx.save(model, path)
