"""Makes models of random values, and reads them from a mount with the libraries that people use.

    readers.py make STORE SEED
    readers.py check STORE MOUNTPOINT SEED METHOD...      METHOD: numpy safe_open mmap pread npy npz

The expectation is NumPy's and ml_dtypes' own: the stored file as NumPy maps it, cast by them. Bits must be equal, except
that a NaN which was converted may be any NaN. What is wrong is printed, a line each; the exit code is 1 then.
"""

import json
import mmap
import os
import random
import struct
import sys
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

SETTLED = 1_700_000_000
TYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32, "I32": np.int32,
    "U64": np.uint64, "I64": np.int64, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F32": np.float32, "F64": np.float64,
    "C64": np.complex64, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
}  # fmt: skip
FLOATS = ("F64", "F32", "F16", "BF16")
WIDE = ("BF16", "F8_E4M3", "F8_E5M2")  # what NumPy's own files have no name for
LOADABLE = set(TYPES) - {"F8_E4M3", "F8_E5M2"}  # by safetensors.numpy, once ml_dtypes is there
PRECISIONS = {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}
SHAPES = [(), (0,), (0, 4, 2), (1,), (7,), (3, 5), (2, 1, 9), (64, 65), (1, 1, 1, 1, 3)]


# --- making ------------------------------------------------------------------------------------------------------------


def bits(rng, dtype, shape):
    """An array of any bits that the type can have: subnormal numbers, infinities and NaNs of every kind among them."""
    kind = np.dtype(TYPES[dtype])
    raw = rng.bytes(int(np.prod(shape)) * kind.itemsize)
    if dtype == "BOOL":
        raw = bytes(byte & 1 for byte in raw)
    return np.frombuffer(raw, kind).reshape(shape)


def ties(dtype):
    """Values half way between two of a narrower type, and next to there: those that rounding twice gets wrong."""
    values = [1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, 65519.996, 65520.0, 2.0**-25, 2.0**-24 * 1.5, 3.3961775e38]
    near = [x + sign * x * 2.0**-40 for x in values for sign in (-1, 0, 1)]
    with np.errstate(over="ignore"):
        return np.array(near + [-x for x in near]).astype(TYPES[dtype])


def write(path, tensors, metadata=None):
    """A SafeTensors file of {name: (dtype, array)}, written by hand: the library's own writer knows fewer types."""
    header, at = ({"__metadata__": metadata} if metadata else {}), 0
    for name, (dtype, array) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for _, array in tensors.values()))
    os.utime(path, (SETTLED, SETTLED))


def make(store, seed):
    rng = np.random.default_rng(seed)
    everything = {f"{dtype.lower()}.{i}": (dtype, bits(rng, dtype, shape)) for dtype in TYPES for i, shape in enumerate(SHAPES)}
    everything |= {f"ties.{dtype.lower()}": (dtype, ties(dtype)) for dtype in FLOATS}
    write(store / "everything/v1/model.safetensors", everything, {"about": "größer ☃"})
    plain = {name: entry for name, entry in everything.items() if entry[0] in LOADABLE}
    names = list(plain)
    rng.shuffle(names)
    write(store / "plain/v1/model.safetensors", {name: plain[name] for name in names})
    for dtype in FLOATS:  # in one of its precisions such a model is the stored file itself
        write(store / f"only-{dtype.lower()}/v1/model.safetensors", {f"t{i}": (dtype, bits(rng, dtype, shape)) for i, shape in enumerate(SHAPES)})
    write(store / "empty/v1/model.safetensors", {})
    write(store / "large/v1/model.safetensors", {f"w{i}": ("F32", bits(rng, "F32", (2_400_000 + i,))) for i in range(9)})
    arrays = {}
    for dtype in ("BOOL", "U8", "I16", "U32", "I64", "F16", "F32", "F64", "C64"):
        for i, shape in enumerate([(), (0, 3), (5, 7, 2)]):
            for order in ("little", "big", "columns") if len(shape) == 3 else ("big",):
                array = bits(rng, dtype, shape)
                if order == "big":
                    array = array.astype(array.dtype.newbyteorder(">"))
                array = np.asfortranarray(array) if order == "columns" else array
                arrays[f"{dtype.lower()}/{i}:{order}"] = array
                path = store / f"array-{dtype.lower()}-{i}-{order}.npy"
                np.save(path, array)
                os.utime(path, (SETTLED, SETTLED))
    arrays["large"] = bits(rng, "I32", (3_000_001,))
    for name, save in {"stored": np.savez, "deflated": np.savez_compressed}.items():
        path = store / f"archive-{name}/v1/model.npz"
        path.parent.mkdir(parents=True)
        save(path, **arrays)
        os.utime(path, (SETTLED, SETTLED))


# --- what must be there ------------------------------------------------------------------------------------------------


def header(path):
    data = np.memmap(path, np.uint8, "r")
    length = int(data[:8].view("<u8")[0])
    table = json.loads(bytes(data[8 : 8 + length]))
    table.pop("__metadata__", None)
    return table, data[8 + length :]


def files_of(store, model):
    """The files that hold a model's tensors, and their names in a view of the container that they are in."""
    loose = store / f"{model}.npy"
    if loose.exists():
        return {loose: "model.safetensors"}
    version = store / model / "v1"
    index = next(version.glob("*.index.json"), None)
    if index is None:
        return {next(path for path in version.iterdir() if path.suffix in (".npy", ".npz", ".safetensors")): "model.safetensors"}
    shards = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    return {version / shard: shard for shard in shards}


def stored(path):
    """{name: (dtype, array)} of a file as it is stored, in the order in which its reference reader names them: the data's."""
    if path.suffix == ".safetensors":
        tensors = parsed(path)
        return {name: tensors[name] for name, _ in sorted(header(path)[0].items(), key=lambda item: item[1]["data_offsets"])}
    loaded = np.load(path)
    tensors = {}
    for name, array in {path.stem: loaded}.items() if path.suffix == ".npy" else loaded.items():
        array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).reshape(array.shape)
        tensors[name] = (next(name for name, kind in TYPES.items() if np.dtype(kind) == array.dtype), array)
    return tensors


def parsed(path):
    """A SafeTensors file read by hand, for the types that the library does not give to NumPy; in the order of its header."""
    table, data = header(path)
    return {name: (t["dtype"], np.frombuffer(data[slice(*t["data_offsets"])].tobytes(), TYPES[t["dtype"]]).reshape(t["shape"])) for name, t in table.items()}


def once(values):
    """float64 as the float32 that rounds to half precision as the float64 would, rounding once."""
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
    bits = near.view(np.uint32).copy()
    inexact = np.isfinite(values) & (near.astype(np.float64) != values)
    bits[inexact & (np.abs(near.astype(np.float64)) > np.abs(values))] -= 1
    bits[inexact] |= 1
    return bits.view(np.float32)


def cast(dtype, array, to):
    """(dtype, array) in a view of a precision; the third tells whether bits of NaNs may differ."""
    if dtype not in FLOATS or dtype == to:
        return dtype, array, False
    with np.errstate(all="ignore"):
        values = array.reshape(-1)
        if dtype == "F64" and to != "F32":
            values = once(values)
        return to, values.astype(np.float32).astype(TYPES[to]).reshape(array.shape), True


def difference(got, want, any_nan):
    """What is wrong with an array, or nothing."""
    if got.size == 0:
        got = got.astype(got.dtype.newbyteorder("="))  # the order of no bytes
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"{got.dtype} {got.shape}, want {want.dtype} {want.shape}"
    a, b = (np.frombuffer(np.ascontiguousarray(x).tobytes(), np.uint8).reshape(-1, x.dtype.itemsize) for x in (got, want))
    unequal = (a != b).any(axis=1)
    if any_nan:
        with np.errstate(all="ignore"):
            unequal &= ~(np.isnan(got.astype(np.float64).reshape(-1)) & np.isnan(want.astype(np.float64).reshape(-1)))
    if not unequal.any():
        return ""
    at = int(np.flatnonzero(unequal)[0])
    return f"{int(unequal.sum())} of {unequal.size} elements differ, first at {at}: {a[at].tobytes()[::-1].hex()}, want {b[at].tobytes()[::-1].hex()}"


# --- reading -----------------------------------------------------------------------------------------------------------


class Check:
    def __init__(self, store, mount, seed):
        self.store, self.mount, self.random, self.wrong = store, mount, random.Random(seed), []
        self.models = sorted({path.name.removesuffix(".npy") for path in store.iterdir()})

    def complain(self, where, text):
        if text:
            self.wrong.append(f"{where}: {text}")

    def views(self, model):
        """(path, {name: (dtype, array, any_nan)}) of the three precisions."""
        for path, name in files_of(self.store, model).items():
            tensors = stored(path)
            for precision, to in PRECISIONS.items():
                view = self.mount / model / "v1/safetensors" / precision / name
                yield view, {name: cast(dtype, array, to) for name, (dtype, array) in tensors.items()}

    def tensors(self, model):
        """{name: (dtype, array)} of all files of a model."""
        return {name: tensor for path in files_of(self.store, model) for name, tensor in stored(path).items()}

    def numpy(self, model):
        """safetensors.numpy.load_file, by mmap or by pread; by hand where it lacks a type."""
        for path, want in self.views(model):
            by_hand = parsed(path)
            self.complain(path, "" if {n: t[0] for n, t in by_hand.items()} == {n: t[0] for n, t in want.items()} else "other names or types")
            known = all(dtype in LOADABLE for dtype, _, _ in want.values())
            backend = self.random.choice(("mmap", "pread"))
            got = load_file(path, backend=backend) if known else {name: array for name, (_, array) in by_hand.items()}
            by_data = [name for name, _ in sorted(header(path)[0].items(), key=lambda item: item[1]["data_offsets"])]
            self.complain(path, "" if list(want) in (list(by_hand), by_data) else "another order than the source's")  # by_data: the stored file itself
            for name in want.keys() & got.keys():
                self.complain(f"{path} {name}", difference(got[name], want[name][1], want[name][2]))

    def safe_open(self, model):
        """safe_open: keys, and slices in no order."""
        for path, want in self.views(model):
            with safe_open(path, framework="np") as file:
                self.complain(path, "" if set(file.keys()) == set(want) else f"keys are {file.keys()}")
                names = [name for name in want if want[name][0] in LOADABLE]
                self.random.shuffle(names)
                for name in names:
                    dtype, array, any_nan = want[name]
                    if array.ndim and array.shape[0] > 1:
                        a, b = sorted(self.random.sample(range(array.shape[0] + 1), 2))
                        part = file.get_slice(name)
                        self.complain(f"{path} {name}", "" if list(part.get_shape()) == list(array.shape) else "another shape")
                        self.complain(f"{path} {name}[{a}:{b}]", difference(part[a:b], array[a:b], any_nan))
                    else:
                        self.complain(f"{path} {name}", difference(file.get_tensor(name), array, any_nan))

    def files(self, model):
        """(path, bytes) of the files whose every bit is known: the raw tensors and the stored files."""
        version = self.mount / model / "v1"
        index = json.loads((version / "tensors/index.json").read_bytes())["tensors"]
        tensors = self.tensors(model)
        self.complain(version, "" if [row["name"] for row in index] == list(tensors) else "index.json has other names, or another order")
        for row in index:
            dtype, array = tensors[row["name"]]
            about = (row["dtype"], tuple(row["shape"]), row["nbytes"])
            self.complain(f"{version} {row['name']}", "" if about == (dtype, array.shape, array.nbytes) else f"index.json says {about}")
            yield version / "tensors" / row["file"], array.tobytes()
        for path in files_of(self.store, model):
            yield version / "source" / path.name, path.read_bytes()

    def pieces(self, size):
        return [(at, min(size - at, self.random.choice((1, 511, 4097, 300_001)))) for at in (self.random.randrange(size) for _ in range(12))]

    def mmap(self, model):
        """mmap of whole files, shared and private, touched at random and then read to the end."""
        for path, want in self.files(model):
            with open(path, "rb") as file:
                if not want:
                    self.complain(path, "" if not file.read() else "is not empty")
                    continue
                for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
                    with mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ) as mapped:
                        for at, n in self.pieces(len(want)):
                            self.complain(path, "" if mapped[at : at + n] == want[at : at + n] else f"other bytes at {at}")
                        self.complain(path, "" if mapped[:] == want else "other bytes")

    def pread(self, model):
        """Reads at random, beyond the end too, then of the whole."""
        for path, want in self.files(model):
            fd = os.open(path, os.O_RDONLY)
            try:
                self.complain(path, "" if os.fstat(fd).st_size == len(want) else "another size")
                for at, n in self.pieces(len(want)) if want else []:
                    self.complain(path, "" if os.pread(fd, n, at) == want[at : at + n] else f"other bytes at {at}")
                self.complain(path, "" if os.pread(fd, 100, max(0, len(want) - 7)) == want[-7:] else "other bytes at the end")
                self.complain(path, "" if os.pread(fd, 100, len(want) + 5000) == b"" else "bytes beyond the end")
                self.complain(path, "" if os.read(fd, len(want) + 1) == want else "other bytes")
            finally:
                os.close(fd)

    def npy(self, model):
        """numpy.load maps every tensor; what NumPy has no name for is float32."""
        version = self.mount / model / "v1"
        tensors = self.tensors(model)
        for row in json.loads((version / "tensors/index.json").read_bytes())["tensors"]:
            dtype, array = tensors[row["name"]]
            with np.errstate(all="ignore"):
                want = array.astype(np.float32) if dtype in WIDE else array
            path = version / "npy" / (row["file"] + ".npy")
            mode = "r" if array.nbytes and array.ndim else None
            self.complain(path, difference(np.load(path, mmap_mode=mode, allow_pickle=False), want, dtype in WIDE))

    def npz(self, model):
        """numpy.load finds every tensor in one archive, of which zipfile finds each CRC-32 right."""
        path = self.mount / model / "v1/npz/weights.npz"
        tensors = self.tensors(model)
        if not tensors:
            return self.complain(path, "is there, without a tensor" if path.exists() else "")
        with np.load(path, allow_pickle=False) as archive:
            self.complain(path, "" if archive.files == [name for name in self.named(model) if name in tensors] else f"holds {archive.files}")
            for name, (dtype, array) in tensors.items():
                with np.errstate(all="ignore"):
                    want = array.astype(np.float32) if dtype in WIDE else array
                self.complain(f"{path} {name}", difference(archive[name], want, dtype in WIDE))
        with zipfile.ZipFile(path) as archive:
            self.complain(path, f"{archive.testzip()} has another CRC-32" if archive.testzip() else "")

    def named(self, model):
        """The names of a model's tensors in order."""
        return [row["name"] for row in json.loads((self.mount / model / "v1/tensors/index.json").read_bytes())["tensors"]]


def main(verb, store, *rest):
    if verb == "make":
        make(Path(store), int(rest[0]))
        return 0
    check = Check(Path(store), Path(rest[0]), int(rest[1]))
    for method in rest[2:]:
        for model in check.models:
            try:
                getattr(check, method)(model)
            except Exception as error:
                check.complain(f"{method} of {model}", f"{type(error).__name__}: {error}")
    print("\n".join(check.wrong[:20]))
    if len(check.wrong) > 20:
        print(f"and {len(check.wrong) - 20} more")
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
