"""Writes digests.txt: what PyTorch and NumPy make of the elements that TestDigests tries, as SHA-256 of the results.

    python digests.py > digests.txt      (torch 2.15.0, numpy 2.4.6)

Every NaN counts as the positive quiet one without a payload: PyTorch's differ from one of its code paths to the next.
From float64 to float16 PyTorch rounds twice, so that line is NumPy's, which rounds once.
"""

import hashlib

import numpy as np
import torch

BITS = {"f64": np.uint64, "f32": np.uint32, "f16": np.uint16, "bf16": np.uint16, "f8_e4m3": np.uint8, "f8_e5m2": np.uint8}
TYPES = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f8_e4m3": torch.float8_e4m3fn, "f8_e5m2": torch.float8_e5m2}
QUIET = {"f64": 0x7FF8 << 48, "f32": 0x7FC00000, "f16": 0x7E00, "bf16": 0x7FC0}


def elements(name: str) -> np.ndarray:
    """All there are; of the wider ones 2^20 that are spread evenly, of float64 with exponents within reach of half precision."""
    index = np.arange(1 << 20, dtype=np.uint64)
    if name == "f64":
        return (index * np.uint64(0x9E3779B97F4A7C15)) & ~np.uint64(0x7FF << 52) | (np.uint64(1023 - 30) + index % np.uint64(50)) << np.uint64(52)
    if name == "f32":
        return (index * np.uint64(2654435761)).astype(np.uint32)
    return np.arange(1 << 8 * BITS[name]().itemsize).astype(BITS[name])


for source in BITS:
    for target in QUIET:
        if source == target or source.startswith("f8") and target == "f64" or (source, target) == ("f64", "bf16"):
            continue
        bits = elements(source)
        if (source, target) == ("f64", "f16"):
            with np.errstate(over="ignore"):
                result = torch.from_numpy(bits.view(np.float64).astype(np.float16))
        else:
            result = torch.from_numpy(bits).view(TYPES[source]).to(TYPES[target])
        out = result.view(torch.uint8).numpy().view(BITS[target]).copy()
        out[torch.isnan(result).numpy()] = QUIET[target]
        print(f"{source}→{target}", hashlib.sha256(out.tobytes()).hexdigest())
