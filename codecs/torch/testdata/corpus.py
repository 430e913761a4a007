"""What PyTorch itself reads in the files of a corpus: a line for each tensor.

    python corpus.py FOLDER > corpus.tsv

FOLDER has a MANIFEST.tsv that says which files are PyTorch's and TorchScript's. The names are those that a weight view
gives: the keys joined by dots below the first of the usual containers, without a wrapper's prefix. Nothing in a file is
run: classes other than PyTorch's own become placeholders. Files that PyTorch refuses are left out.
"""

import contextlib
import csv
import hashlib
import io
import pickle
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import torch

warnings.simplefilter("ignore")

DTYPES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32",
    torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL", torch.complex64: "C64", torch.complex128: "C128",
}
CONTAINERS = ("model_state_dict", "state_dict", "model", "module", "net", "network")


class Placeholder:
    def __new__(cls, *args, **kwargs):
        return object.__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        self.state = state

    def __call__(self, *args, **kwargs):
        return Placeholder()

    def __setitem__(self, key, value):
        pass


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        plain = module in ("torch", "torch.storage", "torch._utils", "numpy", "_codecs") or module.endswith("core.multiarray") or (module, name) == ("collections", "OrderedDict")
        if plain and not name.startswith("_load"):
            return super().find_class(module, name)
        return type(name, (Placeholder,), {"__module__": module, "dump_patches": False})


def load(path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        module = types.SimpleNamespace(
            Unpickler=Unpickler, load=lambda file, **kw: Unpickler(file, **kw).load(), loads=lambda data, **kw: Unpickler(io.BytesIO(data), **kw).load(), __name__="placeholders"
        )
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=module)


def parts(value):
    """The named things in a value."""
    if isinstance(value, dict):
        return [(str(key), item) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [(str(index), item) for index, item in enumerate(value)]
    state = getattr(value, "state", None)
    if isinstance(state, dict) and "_modules" in state:
        passing = state.get("_non_persistent_buffers_set", ())
        return [
            (name, item)
            for kind in ("_parameters", "_buffers", "_modules")
            for name, item in state.get(kind, {}).items()
            if item is not None and not (kind == "_buffers" and name in passing)
        ]
    if isinstance(state, dict):
        return list(state.items())
    return []


def leaves(value, path=()):
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))
    if isinstance(value, torch.Tensor):
        yield ".".join(path) or "tensor", value
        return
    for name, item in parts(value):
        if "optimizer" not in name:
            yield from leaves(item, (*path, name))


def weights(value):
    for name in CONTAINERS:
        if isinstance(value, dict) and isinstance(value.get(name), (dict, Placeholder)) and any(True for _ in leaves(value[name])):
            value = value[name]
            break
    found = dict(leaves(value))
    while found and (prefix := next((p for p in ("module.", "_orig_mod.") if all(name.startswith(p) for name in found)), None)):
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def line(path, name, tensor):
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = tensor.resolve_conj().resolve_neg().contiguous()
    raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return "\t".join((path, name, DTYPES[tensor.dtype], str(list(tensor.shape)).replace(",", ""), hashlib.sha256(raw).hexdigest()))


def main(folder):
    with open(folder / "MANIFEST.tsv", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row["format"] in ("pytorch", "torchscript")]
    for row in rows:
        path = folder / row["path"]
        with contextlib.suppress(Exception):
            found = torch.jit.load(path, map_location="cpu").state_dict() if row["format"] == "torchscript" else weights(load(path))
            for name, tensor in found.items():
                print(line(row["path"], name, tensor))


main(Path(sys.argv[1]))
