"""The main job of isomerfs in one go: mount a store, list it, copy a converted file, run a network from the mount.

    make demo        (or: python3 demo/demo.py ./bin/isomerfs, with numpy and onnxruntime installed)
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from train import data, forward

HERE = Path(__file__).resolve().parent


def say(text=""):
    print(text, flush=True)


def run(*words, shown=None):
    """Runs a command in front of the reader, who sees it first."""
    say(f"$ {shown or ' '.join(map(str, words))}")
    subprocess.run([str(w) for w in words], check=True)


def load(path):
    """The tensors of a SafeTensors file, mapped and not copied."""
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(n))
    raw = np.memmap(path, np.uint8, "r", offset=8 + n)
    kinds = {"F32": np.float32, "F16": np.float16}
    return {
        name: raw[slice(*t["data_offsets"])].view(kinds[t["dtype"]]).reshape(t["shape"])
        for name, t in header.items()
        if name != "__metadata__"
    }


def by_numpy(path):
    weights = {name: w.astype(np.float32) for name, w in load(path).items()}
    return lambda x: forward(weights, x)[-1]


def by_onnxruntime(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"image": x.reshape(-1, 8, 8)})[0]


def latency(net, x, times=300):
    """The median microseconds of a run."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        net(x)
        took.append(time.perf_counter() - start)
    return sorted(took)[times // 2] * 1e6


def main(binary):
    scratch = Path(tempfile.mkdtemp(prefix="isomerfs-demo-"))
    store, mnt = scratch / "models", scratch / "mnt"
    shutil.copytree(HERE / "store", store, copy_function=shutil.copy2)
    settled = time.time() - 60  # as if the store had lain there for a while
    for path in store.rglob("*"):
        os.utime(path, (settled, settled))
    mnt.mkdir()
    say("A store with one model, a network that reads digits, as SafeTensors and as ONNX:")
    run("find", store, "-type", "f")
    say("\nMount it:")
    run(binary, "mount", store, mnt, "-o", f"cache_dir={scratch / 'cache'}")
    try:
        say("\nEvery format and precision is there as a plain file, none of it converted yet:")
        run("ls", mnt / "digits/v1", mnt / "digits/v1/onnx")
        run(binary, "ls", mnt / "digits/v1")
        say("\nCopy one; it is converted while it is read:")
        run("cp", mnt / "digits/v1/onnx/fp16/model.onnx", scratch / "half.onnx")
        say("\nRun the network on 397 images it has never seen, straight from the mount:\n")
        x, y = data()
        x, y = x[1400:], y[1400:]
        say(f"{'view':<20} {'by':<13} {'bytes':>9} {'accuracy':>9} {'largest difference':>19} {'one image':>10}")
        reference = None
        for view in ("source", "onnx/fp32", "onnx/fp16", "safetensors/fp32", "safetensors/fp16"):
            kind = "safetensors" if view.startswith("safetensors") else "onnx"
            path = mnt / "digits/v1" / view / f"model.{kind}"
            by, net = ("NumPy", by_numpy(path)) if kind == "safetensors" else ("ONNX Runtime", by_onnxruntime(path))
            out = net(x)
            reference = out if reference is None else reference
            accuracy = (out.argmax(1) == y).mean()
            say(f"{view:<20} {by:<13} {path.stat().st_size:>9,} {accuracy:>9.2%} {np.abs(out - reference).max():>19.6f} {latency(net, x[:1]):>7.1f} µs")
        copied, served = (scratch / "half.onnx").read_bytes(), (mnt / "digits/v1/onnx/fp16/model.onnx").read_bytes()
        if copied != served:
            sys.exit("the copy differs from the file in the mount")
        say("\nOne tensor as an array, mapped:")
        say(">>> np.load('digits/v1/npy/layers.0.weight.npy', mmap_mode='r')")
        say(repr(np.load(mnt / "digits/v1/npy/layers.0.weight.npy", mmap_mode="r").shape))
    finally:
        say("\nUnmount:")
        run(binary, "umount", mnt)
        shutil.rmtree(scratch, ignore_errors=True)
    say(f"""
That was it. Next, with models of your own:

    {binary} mount ~/.cache/huggingface/hub ~/mnt        any folder of models will do
    {binary} formats                                     what can be made of what
    {binary} convert model.onnx --to onnx/fp16 -o half.onnx
    {binary} doctor                                      what this machine could do better""")


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
