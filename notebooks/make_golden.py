"""Writes golden.json beside the shipped models: rows of typical values, and what ONNX Runtime gives for them.

Run: python notebooks/make_golden.py   (needs numpy and onnxruntime; the files are committed)

A model is asked them each time it is loaded, and must give the same answer. Made-up rows would do for that, but
lie so far from what these models know that their output saturates.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime

ZOO = Path(__file__).parent.parent / "models" / "zoo"
# A machine that is well, rounded, and how far a worn one is from it.
ENGINE = {
    "T24": (642.3, 1.2), "T30": (1586.0, 14.0), "T50": (1402.0, 26.0), "P30": (554.0, -2.0),
    "Nf": (2388.05, 0.15), "Nc": (9058.0, 40.0), "Ps30": (47.3, 0.7), "phi": (521.9, -1.8),
    "NRf": (2388.05, 0.15), "NRc": (8140.0, 30.0), "BPR": (8.42, 0.08), "htBleed": (392.0, 3.0),
    "W31": (38.9, -0.4), "W32": (23.35, -0.25),
}
# The first reading of the simulator's car 1, and what two of its faults do to it.
CAR = {
    "coolant_temp": (42.03, 20.0), "intake_air_temp": (36.64, 0.0), "intake_air_flow_speed": (83.79, 0.0),
    "battery_percentage": (0.4016, 0.0), "battery_voltage": (212.1, 0.0), "current_draw": (14.01, 0.0),
    "speed": (18.82, 0.0), "engine_vibration_amplitude": (1882.0, 1500.0), "throttle_pos": (0.2651, 0.0),
    "tire_pressure_1_1": (31.0, 0.0), "tire_pressure_1_2": (30.0, 0.0), "tire_pressure_2_1": (31.0, 0.0),
    "tire_pressure_2_2": (32.0, 0.0), "accelerometer_1_1_value": (0.9939, 0.0),
    "accelerometer_1_2_value": (0.2612, 0.0), "accelerometer_2_1_value": (0.1015, 0.0),
    "accelerometer_2_2_value": (0.6977, 0.0), "control_unit_firmware": (2000.0, 0.0),
}


def rows(features, typical, length):
    """Three machines: well, half worn, worn; of a sequence, each a little more so from row to row."""
    for wear in (0.0, 0.5, 1.0):
        steps = np.linspace(max(wear - 0.2, 0.0), wear, length)
        yield np.array(
            [[np.float32(typical[f][0] + step * typical[f][1]) for f in features] for step in steps], np.float32
        )


for name, typical in [("turbofan-rul", ENGINE), ("turbofan-anomaly", ENGINE), ("car-anomaly", CAR)]:
    folder = ZOO / name / "1"
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    contract = session.get_modelmeta().custom_metadata_map
    features = json.loads(contract["forewarn.features"])
    length = int(contract.get("forewarn.sequence-length", 1))
    batch = np.stack(list(rows(features, typical, length)))
    if "forewarn.sequence-length" not in contract:
        batch = batch[:, 0, :]
    task = "rul" if contract["forewarn.task"] == "rul" else "residual"
    output = session.run([contract[f"forewarn.output.{task}"]], {contract["forewarn.input"]: batch})[0]
    as_lists = lambda values: [[float(np.round(float(v), 6)) for v in row.ravel()] for row in values]
    golden = {"input": as_lists(batch), "output": as_lists(output.reshape(len(output), -1))}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    print(name, [row[:2] for row in golden["output"]])
