"""Writes inert samples of pickles, and says what picklescan, fickling and modelscan make of each.

    scanners.py FOLDER          writes FOLDER/samples and FOLDER/tables, prints JSON
    scanners.py --scan FILE...  prints JSON about files that are there

Every sample is harmless: what it would run is os.getcwd() or less. Those of tables/ import one name each that a scanner's
own table lists.
"""

import ast
import collections
import contextlib
import functools
import io
import json
import logging
import os
import pathlib
import pickle
import struct
import sys
import tarfile
import uuid
import zipfile
import zlib

logging.disable(logging.CRITICAL)

import numpy as np
from fickling.analysis import Severity, UnsafeImportsML
from fickling.fickle import UNSAFE_IMPORTS
from fickling.loader import scan_file, scan_zip_archive
from modelscan.modelscan import ModelScan
from modelscan.settings import DEFAULT_SETTINGS
from picklescan import scanner as picklescan


# --- samples ---


class Call:
    """Pickled as a call of os.getcwd, which does no harm, of a module that could."""

    def __reduce__(self):
        return os.getcwd, ()


CALL = b"\x80\x02cos\ngetcwd\nq\x00)Rq\x01."  # as protocol 2 on any system
STATE = pickle.dumps(collections.OrderedDict(a=1), 2)


def zipped(members: dict, method=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(members: dict) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def array(descr: str, rest: bytes) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}"
    header += " " * (117 - len(header)) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + rest


def legacy(first: bytes, fourth: bytes) -> bytes:
    """torch.save before 1.6: five pickles, then the storages."""
    return first + b"\x80\x02M\xe9\x03." + b"\x80\x02}q\x00." + fourth + b"\x80\x02]q\x00." + struct.pack("<q", 4) + bytes(16)


MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def samples() -> dict:
    model = zipped({"m/data.pkl": CALL, "m/version": b"3\n", "m/data/0": bytes(64)})
    directory = model.rindex(b"m/data.pkl")
    nested = b"\x80\x03ctorch.storage\n_load_from_bytes\nC" + bytes([len(CALL)]) + CALL + b"\x85R."
    crc = bytearray(zipped({"m/data.pkl": CALL, "m/version": b"3\n"}))
    at = crc.index(b"PK\x01\x02") + 16
    crc[at : at + 4] = struct.pack("<I", zlib.crc32(b"other"))
    return {
        **{f"protocol{p}.pkl": pickle.dumps(Call(), p) for p in range(6)},
        "inst.pkl": b"(ios\ngetcwd\n.",
        "obj.pkl": b"(cos\ngetcwd\no.",
        "memo.pkl": b"\x80\x04\x8c\x02os\x940\x8c\x06getcwd\x940h\x00h\x01\x93)R.",
        "popped.pkl": b"cos\ngetcwd\n0N.",
        "second.pkl": STATE + CALL,
        "broken.pkl": CALL[:-1] + b"\xff",
        "cut.pkl": CALL[:-1],
        "extension.pkl": b"\x80\x02\x82\x07.",
        "computed.pkl": b"\x80\x04\x8c\x02os\x8c\x08operator\x8c\x05index\x93)R\x93.",
        "through.pkl": b"\x80\x04\x8c\x13torch.serialization\x8c\x09os.getcwd\x93)R.",
        "dunder.pkl": b"\x80\x04\x8c\x0bcollections\x8c\x0c__builtins__\x93.",
        "attribute.pkl": b"\x80\x02c__builtin__\ngetattr\n]X\x06\x00\x00\x00append\x86R.",
        "nested.pkl": nested,
        "notes.txt": b"cos\ngetcwd\n)R.",
        "model.pt": model,
        "deflated.pt": zipped({"m/data.pkl": CALL, "m/version": b"3\n"}, zipfile.ZIP_DEFLATED),
        "constants.pt": zipped({"m/data.pkl": STATE, "m/constants.pkl": CALL}),
        "unnamed.pt": zipped({"m/data.pkl": STATE, "m/extra": b"cos\ngetcwd\n)R."}),
        "within.pt": zipped({"m/data.pkl": nested}),
        "archive.zip": zipped({"inner.zip": zipped({"m/data.pkl": CALL})}),
        "crc.pt": bytes(crc),
        "renamed.pt": model[:directory] + b"m/data.txt" + model[directory + 10 :],
        "undirected.pt": model.replace(b"PK\x01\x02", b"PK\x01\x00", 1),
        "legacy.pt": legacy(MAGIC, CALL),
        "magic.pt": legacy(CALL, STATE),
        "objects.npy": array("'|O'", CALL),
        "fields.npy": array("[('a', '<f4'), ('b', '|O')]", CALL),
        "objects.npz": zipped({"a.npy": array("'|O'", CALL)}),
        "old.tar": tarred({"sys_info": STATE, "pickle": CALL, "storages": bytes(64)}),
        # and these harm nobody
        "state.pkl": STATE,
        "class.pkl": b"\x80\x02cmyproject.net\nNet\nq\x00)\x81q\x01}q\x02b.",
        "array.pkl": pickle.dumps(np.arange(3.0), 2),
        "partial.pkl": pickle.dumps(functools.partial(collections.OrderedDict, a=1), 2),
        "member.pkl": b"\x80\x02c__builtin__\ngetattr\ncmyproject.net\nColour\nX\x03\x00\x00\x00RED\x86R.",
        "logger.pkl": pickle.dumps(logging.getLogger("train"), 2),
        "uuid.pkl": pickle.dumps(uuid.UUID(int=1), 2),
        "state.pt": zipped({"m/data.pkl": STATE, "m/version": b"3\n"}),
        "plain.npy": array("'<f4'", bytes(4)),
    }


PROBE = "probe"  # a name for what is listed as a whole module


def tables() -> list:
    """(scanner, module, name) of every line of the scanners' tables of what is unsafe."""
    listed = []
    for name, table in [("picklescan", picklescan._unsafe_globals), *(("modelscan", t) for t in DEFAULT_SETTINGS["unsafe_globals"].values())]:
        for module, names in table.items():
            listed += [(name, module, n) for n in ([PROBE] if names == "*" else [names] if isinstance(names, str) else sorted(names))]
    listed += [("fickling", module, PROBE) for module in sorted(UNSAFE_IMPORTS)]
    listed += [("fickling", module, PROBE) for module in sorted(UnsafeImportsML.UNSAFE_MODULES)]
    listed += [("fickling", module, n) for module, names in UnsafeImportsML.UNSAFE_IMPORTS.items() for n in sorted(names)]
    return listed


# --- what the scanners say ---


def by_picklescan(path: pathlib.Path) -> str:
    try:
        found = picklescan.scan_file_path(str(path))
    except Exception as error:
        return type(error).__name__
    if found.infected_files:
        return "dangerous"
    if found.scan_err:
        return "error"
    if found.suspicious_count:
        return "suspicious"
    return "innocuous" if found.globals else "nothing"


def by_fickling(path: pathlib.Path) -> str:
    try:
        if zipfile.is_zipfile(path):
            found = list(scan_zip_archive(str(path), graceful=True).values())
        else:
            found = [scan_file(str(path), graceful=True)]
    except Exception as error:
        return type(error).__name__
    if not found:
        return "nothing"
    return max((result.severity for result in found), key=lambda s: s.severity).name.lower().replace("_", " ")


def by_modelscan(path: pathlib.Path) -> str:
    try:
        found = ModelScan().scan(str(path))
    except Exception as error:
        return type(error).__name__
    if found["issues"]:
        ranks = ["LOW", "MEDIUM", "HIGH", "CRITICAL"]
        return max((issue["severity"] for issue in found["issues"]), key=ranks.index).lower()
    if found["errors"]:
        return "error"
    return "nothing" if found["summary"]["scanned"]["total_scanned"] else "not scanned"


def scan(path: pathlib.Path) -> dict:
    with contextlib.redirect_stdout(io.StringIO()):  # they talk
        return {"file": path.name, "picklescan": by_picklescan(path), "fickling": by_fickling(path), "modelscan": by_modelscan(path)}


def main() -> None:
    if sys.argv[1] == "--scan":
        json.dump({"samples": [scan(pathlib.Path(name)) for name in sys.argv[2:]]}, sys.stdout)
        return
    folder = pathlib.Path(sys.argv[1])
    rows, entries = [], []
    (folder / "samples/v1").mkdir(parents=True)
    for name, data in samples().items():
        path = folder / "samples/v1" / name
        path.write_bytes(data)
        rows.append(scan(path))
    (folder / "tables/v1").mkdir(parents=True)
    for i, (which, module, name) in enumerate(tables()):
        path = folder / "tables/v1" / f"{i:04}.pkl"
        path.write_bytes(f"c{module}\n{name}\n.".encode())
        entries.append({"file": path.name, "scanner": which, "module": module, "name": name})
    json.dump({"samples": rows, "tables": entries}, sys.stdout)


if __name__ == "__main__":
    main()
