"""What a model is like elsewhere: the size of its file, its error, and its time for 1 row and for 10,000, one thread.

python docs/benchmarks/export.py
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

ROWS, REPEATS, SHORTEST = 10_000, 15, 0.02
# Rows that torch gets at a time: what a network makes of more does not stay in the processor's cache.
AT_A_TIME = 500


def models():
    """Name, fitted model and rows."""
    X, y = load_diabetes(return_X_y=True)
    yield "diabetes", StepwiseRegressor(random_state=0).fit(X, y), X
    X, y = load_breast_cancer(return_X_y=True)
    yield "breast cancer", StepwiseClassifier(random_state=0).fit(X, y), X
    X, y = load_digits(return_X_y=True)
    yield "digits", StepwiseClassifier(random_state=0).fit(X, y), X
    X = X.reshape(-1, 8, 8)
    yield "digits, LSTM", StepwiseClassifier(module="lstm", max_epochs=10, random_state=0).fit(X, y), X


def seconds(calls):
    """The least time of each call on the processor, taken in turns: all use one thread."""
    best = [np.inf] * len(calls)
    for _ in range(REPEATS):
        for i, call in enumerate(calls):
            n, start = 0, time.process_time()
            while not n or time.process_time() - start < SHORTEST:
                call()
                n += 1
            best[i] = min(best[i], (time.process_time() - start) / n)
    return best


def measure(name, model, X, path):
    """A row of the table."""
    predict = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    model.to_onnx(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    module = model.to_torch()
    output = session.get_outputs()[-1].name

    def in_torch(rows):
        with torch.inference_mode():
            return torch.cat([module(own) for own in rows.split(AT_A_TIME)])

    many = X[np.random.default_rng(0).integers(0, len(X), ROWS)].astype(np.float32)
    expected = predict(many)
    found = in_torch(torch.from_numpy(many)).numpy(), session.run([output], {"X": many})[0]
    errors = [abs(out - expected).max() / expected.std(0).max() for out in found]
    cells = [f"{path.stat().st_size / 1e3:.0f}", *(f"{error:.0e}" for error in errors)]
    for rows in (many[:1], many):
        as_tensor = torch.from_numpy(rows)
        times = seconds(
            [
                lambda rows=rows: predict(rows),
                lambda rows=as_tensor: in_torch(rows),
                lambda rows=rows: session.run([output], {"X": rows}),
            ]
        )
        cells += [f"{1e3 * times[0]:.3g}", *(f"{times[0] / other:.1f}" for other in times[1:])]
    print(f"| {name} | {model.plan_.n_networks} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(
        "| model | networks | file, kB | error, torch | error, ONNX | 1 row: `predict`, ms | torch, times faster | "
        "onnxruntime, times faster | 10,000 rows: `predict`, ms | torch, times faster | onnxruntime, times faster |\n"
        f"|{'---|' * 11}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, model, X in models():
            measure(name, model, X, Path(folder, "model.onnx"))
