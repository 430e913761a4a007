"""Makes the pickles of this folder, and beside each what CPython makes of it, as text.

    python generate.py        (with torch==2.15.0 and numpy==2.4.6)

The text is written by CPython's own pickle machine, in which every global is a stub that records how it is called.
"""

import argparse
import collections
import copyreg
import datetime
import decimal
import enum
import io
import json
import pathlib
import pickle
import struct
import types
import zipfile

import numpy as np
import torch

HERE = pathlib.Path(__file__).resolve().parent


# --- what CPython makes of a pickle ---


class Global:
    """A name that a pickle asks for; calling it records the call."""

    def __init__(self, module, name):
        self.module, self.name = module, name
        self.__new__ = lambda cls, *args, **kwargs: Made(self, args, kwargs, True)

    def __call__(self, *args):
        return Made(self, args, {}, False)


class Made:
    def __init__(self, cls, args, kwargs, new):
        self.cls, self.args, self.kwargs, self.new = cls, args, kwargs, new
        self.items, self.entries, self.built = [], [], ()
        self.__new__ = lambda cls, *args, **kwargs: Made(self, args, kwargs, True)

    def __call__(self, *args):
        return Made(self, args, {}, False)

    def __setstate__(self, state):
        assert not self.built
        self.built = (state,)

    def append(self, item):
        self.items.append(item)

    def __setitem__(self, key, value):
        self.entries.append((key, value))

    def __reduce__(self):
        raise AssertionError


class Persistent:
    def __init__(self, pid):
        self.pid = pid


class Machine(pickle._Unpickler):
    def find_class(self, module, name):
        if self.proto < 3:  # as the machine's own find_class does
            from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        real = {("builtins", "set"): set, ("builtins", "frozenset"): frozenset, ("builtins", "bytes"): bytes}
        if (module, name) in real:
            return real[module, name]
        if (module, name) == ("_codecs", "encode"):
            return lambda text, codec: text.encode(codec)
        return Global(module, name)

    def persistent_load(self, pid):
        return Persistent(pid)


def dump(value):
    """A value as text: what is shared is numbered where it is first met, as N= and then as N."""
    out, numbers, counts, keep = [], {}, collections.Counter(), []

    def count(v):
        if isinstance(v, (list, tuple, dict, set, frozenset, Made, bytearray)) and v != ():
            keep.append(v)
            counts[id(v)] += 1
            if counts[id(v)] > 1:
                return
        for child in children(v):
            count(child)

    def children(v):
        if isinstance(v, (list, tuple, set, frozenset)):
            return list(v)
        if isinstance(v, dict):
            return [x for item in v.items() for x in item]
        if isinstance(v, Made):
            kwargs = [x for item in v.kwargs.items() for x in item]
            return [v.cls, *v.args, *kwargs, *v.items, *[x for item in v.entries for x in item], *v.built]
        if isinstance(v, Persistent):
            return [v.pid]
        return []

    def write(v):
        if counts[id(v)] > 1 and not (isinstance(v, tuple) and v == ()) and isinstance(v, (list, tuple, dict, set, frozenset, Made, bytearray)):
            if id(v) in numbers:
                out.append(f"@{numbers[id(v)]}")
                return
            numbers[id(v)] = len(numbers)
            out.append(f"@{numbers[id(v)]}=")
        if v is None or isinstance(v, (bool, int)):
            out.append(str(v))
        elif isinstance(v, float):
            out.append("float:" + struct.pack(">d", v).hex())
        elif isinstance(v, str):
            out.append(json.dumps(v))
        elif isinstance(v, bytes):
            out.append("b:" + v.hex())
        elif isinstance(v, bytearray):
            out.append("builtins.bytearray(b:" + bytes(v).hex() + ")")
        elif isinstance(v, list):
            some("[", v, "]")
        elif isinstance(v, tuple):
            some("(", v, ")")
        elif isinstance(v, set):
            some("set{", sorted(v, key=repr), "}")
        elif isinstance(v, frozenset):
            some("frozenset{", sorted(v, key=repr), "}")
        elif isinstance(v, dict):
            pairs("{", v.items(), "}")
        elif isinstance(v, Global):
            out.append(f"{v.module}.{v.name}")
        elif isinstance(v, Persistent):
            out.append("persistent<")
            write(v.pid)
            out.append(">")
        else:
            if v.new:
                out.append("new ")
            write(v.cls)
            some("(", v.args, ")")
            if v.kwargs:
                pairs("**{", v.kwargs.items(), "}")
            if v.items:
                some(" += [", v.items, "]")
            if v.entries:
                pairs(" |= {", v.entries, "}")
            for state in v.built:
                out.append(" <- ")
                write(state)

    def some(begin, items, end):
        out.append(begin)
        for i, item in enumerate(items):
            if i:
                out.append(", ")
            write(item)
        out.append(end)

    def pairs(begin, items, end):
        out.append(begin)
        for i, (key, item) in enumerate(items):
            if i:
                out.append(", ")
            write(key)
            out.append(": ")
            write(item)
        out.append(end)

    count(value)
    write(value)
    return "".join(out)


def keep(name, data):
    (HERE / f"{name}.pkl").write_bytes(data)
    (HERE / f"{name}.txt").write_text(dump(Machine(io.BytesIO(data)).load()) + "\n", encoding="utf-8")


# --- values ---


class Colour(enum.Enum):
    RED = 1


class Slotted:
    __slots__ = ("a", "b")


class WithKeywords:
    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __getnewargs_ex__(self):
        return (1, 2), {"three": 3}


class Outer:
    class Inner:
        pass


def values():
    shared = [1, 2]
    cycle = {"shared": shared, "again": shared}
    cycle["self"] = cycle
    tied = ([],)
    tied[0].append(tied)
    slotted = Slotted()
    slotted.a, slotted.b = 1, [2]
    inner = Outer.Inner()
    inner.x = "y"
    ordered = collections.OrderedDict(a=1, b=(2, 3))
    ordered.attribute = "kept"
    return {
        "numbers": [0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**100, -(2**2100)],
        "floats": [0.0, -0.0, 1.5, 1e308, 5e-324, float("inf"), float("-inf"), float("nan")],
        "plain": [None, True, False, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}],
        "text": ["", "a", "é", "\n\\u0041\\", "漢字", "\U0001f600", "'\"", "a" * 300],
        "bytes": [b"", b"a", bytes(range(256)), bytearray(b"xyz")],
        "sets": [{1}, frozenset([2]), set()],
        "cycle": cycle,
        "tied": tied,
        "many": list(range(1001)),
        "pairs": {i: None for i in range(1001)},
        "slotted": slotted,
        "keywords": WithKeywords(),
        "nested": inner,
        "ordered": ordered,
        "default": collections.defaultdict(list, a=[1]),
        "counter": collections.Counter("aab"),
        "deque": collections.deque([1, 2], 3),
        "enum": Colour.RED,
        "namespace": argparse.Namespace(lr=0.1, name="net"),
        "simple": types.SimpleNamespace(a=1),
        "path": pathlib.PurePosixPath("/a/b"),
        "time": datetime.datetime(2026, 1, 2, 3, 4, 5),
        "decimal": decimal.Decimal("1.5"),
        "complex": 1 + 2j,
        "range": range(3),
        "exception": ValueError("x"),
        "function": json.dumps,
        "reconstructed": copyreg.__newobj__,
    }


def opcodes():
    """Opcodes that CPython's pickler no longer writes."""
    return b"".join(
        [
            b"(",
            b"I42\n" b"I00\n" b"I01\n" b"L123456789012345678901234567890L\n" b"L-5\n" b"F1.25\n" b"F-inf\n",
            b"S'it\\'s \\x41\\102\\n\\q'\n" b'S"double"\n' b"Vraw \\u00e9 \xe9 \\\\u0041\n",
            b"U\x02hi" b"T\x03\x00\x00\x00abc",
            b"(K\x01K\x02lp5\n" b"(S'k'\nK\x01dp6\n" b"(t",
            b"(K\x01imy.module\nOld\n" b"(cmy.module\nOlder\nK\x02o",
            b"g5\n" b"g6\n" b"P17 is an id\n" b"S'id'\nQ",
            b"K\x07" b"2" b"K\x000" b"(K\x01K\x021" b"\x80\x02",
            b"\x8a\x00" b"\x8a\x01\x80" b"\x8b\x02\x00\x00\x00\x00\x80",
            b"]K\x01a" b"}U\x01aK\x01s",
            b"ccollections\nOrderedDict\n((]U\x01aaU\x01baltR",
            b"t.",
        ]
    )


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 3)
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.fc(x))


def member(value, **how):
    buffer = io.BytesIO()
    torch.save(value, buffer, **how)
    with zipfile.ZipFile(buffer) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))


def main():
    torch.manual_seed(0)
    np.random.seed(0)
    for protocol in range(6):
        keep(f"values{protocol}", pickle.dumps({k: v for k, v in values().items() if protocol > 1 or k != "slotted"}, protocol))
    keep("opcodes", opcodes())
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    net(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    keep("state_dict", member(net.state_dict()))
    keep("checkpoint", member({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "args": argparse.Namespace(lr=0.01)}))
    keep("module", member(net))
    weight = torch.ones(2, 3)
    keep("tensors", member({
        "tied": weight, "again": weight, "transposed": weight.t(), "view": weight[1:], "expanded": torch.ones(1).expand(4),
        "parameter": torch.nn.Parameter(weight), "sparse": weight.to_sparse(), "csr": weight.to_sparse_csr(),
        "quantized": torch.quantize_per_tensor(weight, 0.1, 2, torch.qint8),
        "channels": torch.quantize_per_channel(weight, torch.ones(2), torch.zeros(2), 0, torch.quint8),
        "meta": torch.empty(2, device="meta"), "conjugate": torch.ones(2, dtype=torch.complex64).conj(),
        "float8": torch.ones(2).to(torch.float8_e4m3fn), "uint16": torch.ones(2, dtype=torch.uint16),
        "dtype": torch.bfloat16, "size": torch.Size([1, 2]), "device": torch.device("cpu"), "layout": torch.strided,
    }))
    for protocol in (2, 4, 5):
        keep(f"tensor_protocol{protocol}", member({"w": weight}, pickle_protocol=protocol))
    keep("numpy2", pickle.dumps({"a": np.arange(6.0).reshape(2, 3), "s": np.float32(1.5), "o": np.array([1, "x"], dtype=object), "rng": np.random.get_state()[2:]}, 2))
    keep("numpy5", pickle.dumps({"a": np.arange(6.0).reshape(2, 3), "s": np.float32(1.5), "f": np.asfortranarray(np.ones((2, 3)))}, 5))
    keep("generator", pickle.dumps(np.random.default_rng(0), 4))


if __name__ == "__main__":
    main()
