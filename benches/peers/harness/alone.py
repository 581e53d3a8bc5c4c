"""The model alone: the other limit of a service that scores. As many processes as cores, batches that are ready.

    python3 harness/alone.py MODEL SECONDS     prints rows and seconds of one process

Batches of 256 are about as fast as it gets: each runs for longer than a call costs, and lies in the cache.
"""

import os
import subprocess
import sys
import time

import numpy as np
import onnxruntime as ort

BATCH = 256
SECONDS = 5


def rate(model):
    """Rows/s of all processes together."""
    command = [sys.executable, __file__, str(model), str(SECONDS)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(os.cpu_count())]
    told = [process.communicate()[0].split() for process in running]
    return sum(int(rows) / float(seconds) for rows, seconds in told)


def one(model, seconds):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    inputs = {}
    for put in session.get_inputs():
        shape = [size if isinstance(size, int) else BATCH for size in put.shape]
        inputs[put.name] = random.normal(size=shape).astype(np.float32)
    session.run(None, inputs)
    batches, began = 0, time.monotonic()
    while (took := time.monotonic() - began) < seconds:
        session.run(None, inputs)
        batches += 1
    print(batches * BATCH, took)


if __name__ == "__main__":
    one(sys.argv[1], float(sys.argv[2]))
