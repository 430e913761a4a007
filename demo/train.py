"""Trains the small network of the demo and writes demo/store/digits/v1/model.safetensors, and model.onnx beside it.

    python3 demo/train.py        needs numpy 2.4 and onnx 1.23; a few seconds

The network: 64 pixels -> 256 -> 128 -> 10, ReLU between, trained by Adam with a fixed seed. The data: digits.csv.gz,
1,797 images of 8 x 8 pixels from 0 to 16 and their label, the test set of "Optical Recognition of Handwritten Digits"
(E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0). The first
1,400 rows train, the last 397 test.
"""

import json
import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SIZES = [64, 256, 128, 10]


def data():
    rows = np.loadtxt(HERE / "digits.csv.gz", delimiter=",", dtype=np.float32)
    return rows[:, :64] / 16, rows[:, 64].astype(np.int64)


def forward(weights, x):
    layers = [x]
    for i in range(len(SIZES) - 1):
        x = x @ weights[f"layers.{i}.weight"].T + weights[f"layers.{i}.bias"]
        if i < len(SIZES) - 2:
            x = np.maximum(x, 0)
        layers.append(x)
    return layers


def train(x, y, epochs=60, batch=50, rate=1e-3):
    rng = np.random.default_rng(0)
    weights = {}
    for i, (n, m) in enumerate(zip(SIZES, SIZES[1:])):
        weights[f"layers.{i}.weight"] = (rng.standard_normal((m, n)) * np.sqrt(2 / n)).astype(np.float32)
        weights[f"layers.{i}.bias"] = np.zeros(m, np.float32)
    first = {k: np.zeros_like(v) for k, v in weights.items()}
    second = {k: np.zeros_like(v) for k, v in weights.items()}
    step = 0
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(x)), len(x) // batch):
            layers = forward(weights, x[rows])
            exp = np.exp(layers[-1] - layers[-1].max(1, keepdims=True))
            error = exp / exp.sum(1, keepdims=True)
            error[np.arange(len(rows)), y[rows]] -= 1
            error /= len(rows)
            step += 1
            for i in reversed(range(len(SIZES) - 1)):
                slopes = {f"layers.{i}.weight": error.T @ layers[i] + 1e-4 * weights[f"layers.{i}.weight"], f"layers.{i}.bias": error.sum(0)}
                error = (error @ weights[f"layers.{i}.weight"]) * (layers[i] > 0)
                for k, g in slopes.items():
                    first[k] = 0.9 * first[k] + 0.1 * g
                    second[k] = 0.999 * second[k] + 0.001 * g * g
                    weights[k] -= (rate * (first[k] / (1 - 0.9**step)) / (np.sqrt(second[k] / (1 - 0.999**step)) + 1e-8)).astype(np.float32)
    return weights


def save(path, weights, metadata):
    header, at = {"__metadata__": metadata}, 0
    for name, w in weights.items():
        header[name] = {"dtype": "F32", "shape": list(w.shape), "data_offsets": [at, at + w.nbytes]}
        at += w.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(w.tobytes() for w in weights.values()))


def save_onnx(path, weights, accuracy):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, at = [helper.make_node("Flatten", ["image"], ["flat"], name="flatten")], "flat"
    last = len(SIZES) - 2
    for i in range(last + 1):
        out = "logits" if i == last else f"layers.{i}"
        nodes.append(helper.make_node("Gemm", [at, f"layers.{i}.weight", f"layers.{i}.bias"], [out], name=f"gemm.{i}", transB=1))
        at = out
        if i < last:
            nodes.append(helper.make_node("Relu", [out], [f"{out}.relu"], name=f"relu.{i}"))
            at = f"{out}.relu"
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(w, name) for name, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="isomerfs demo")
    helper.set_model_props(model, {"test_accuracy": accuracy})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


if __name__ == "__main__":
    x, y = data()
    weights = train(x[:1400], y[:1400])
    right = int((forward(weights, x[1400:])[-1].argmax(1) == y[1400:]).sum())
    print(f"{right} of 397 test images right, {sum(w.size for w in weights.values()):,} parameters")
    target = HERE / "store/digits/v1"
    target.mkdir(parents=True, exist_ok=True)
    save(target / "model.safetensors", weights, {"format": "pt", "framework": "numpy", "dataset": "UCI optical recognition of handwritten digits", "test_accuracy": f"{right / 397:.4f}"})
    save_onnx(target / "model.onnx", weights, f"{right / 397:.4f}")
