"""Opens a model: an ONNX Runtime session and the contract in the file's metadata.

Tuned: one intra-op thread, as the models are far too small to share.
"""

import json

import numpy as np
import onnxruntime as ort


def opened(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session, session.get_modelmeta().custom_metadata_map


class Autoencoder:
    """Score = mean of the squared residuals; anomalous above the threshold, both as the file's contract says."""

    def __init__(self, path):
        self.session, contract = opened(path)
        self.input = self.session.get_inputs()[0].name
        self.features = json.loads(contract["forewarn.features"])
        self.threshold = float(contract["forewarn.threshold"])

    def squares(self, rows):
        (residual,) = self.session.run(["residual"], {self.input: rows})
        return np.square(residual, dtype=np.float64)
