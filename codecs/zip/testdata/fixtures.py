"""Archives by other writers, for the tests of codecs/zip: python fixtures.py FOLDER

Made with Python 3.11, numpy 2.4.6, torch 2.15 and Info-ZIP 3.0.
"""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch

folder = Path(sys.argv[1])
arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c:0": np.ones(3, np.int8), "empty": np.zeros((0, 2))}
np.savez(folder / "numpy-savez.npz", **arrays)
np.savez_compressed(folder / "numpy-savez-compressed.npz", **arrays)
torch.save({"w": torch.arange(4.0), "b": torch.ones(3, dtype=torch.int8)}, folder / "torch-save.pt")


class Pipe(io.RawIOBase):
    """A file that can't seek: sizes and CRC-32s go into data descriptors."""

    def __init__(self, file):
        self.file = file

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)


with open(folder / "python-streamed.zip", "wb") as file, zipfile.ZipFile(Pipe(file), "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("text.txt", "to and fro, " * 20)
    with archive.open("large.txt", "w", force_zip64=True) as member:
        member.write(b"as if it were large")
    archive.writestr("ü/é.txt", b"")
    archive.mkdir("folder")

source = folder / "made"
source.mkdir()
(source / "one.txt").write_text("one " * 100)
(source / "two.txt").write_text("2")
subprocess.run(["zip", "-q", "-r", "-X", "../info-zip.zip", "."], cwd=source, check=True)
for path in source.iterdir():
    path.unlink()
source.rmdir()
