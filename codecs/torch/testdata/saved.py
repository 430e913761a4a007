"""Makes the files beside it, with PyTorch 2.15 and NumPy 2.4: python saved.py

saved.pt      a state_dict as torch.save writes it: a tensor of each type, of several shapes, tied ones
training.pt   what a training saves: weights, an optimizer with two groups, a schedule, random numbers, settings
"""

import argparse
import collections
from pathlib import Path

import numpy as np
import torch

here = Path(__file__).parent
torch.manual_seed(394)

TYPES = "bool uint8 int8 int16 uint16 float16 bfloat16 int32 uint32 float32 complex64 float64 int64 uint64 complex128 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu"


def some(name, shape):
    dtype = getattr(torch, name)
    count = int(np.prod(shape))
    if name == "bool":
        return (torch.arange(count) % 3 == 0).reshape(shape)
    width = torch.empty(0, dtype=dtype).element_size()
    raw = torch.randint(0, 100, (count * width,), dtype=torch.uint8)
    return raw.view(dtype).reshape(shape) if count else torch.empty(shape, dtype=dtype)


saved = collections.OrderedDict()
for name in TYPES.split():
    for i, shape in enumerate([(), (0,), (3,), (0, 4), (2, 0, 3), (2, 1, 5)]):
        saved[f"{name}.{i}"] = some(name, shape)
embedding = torch.randn(7, 4)
saved["embed.weight"] = embedding
saved["head.weight"] = embedding.view(7, 4)
saved["größe ☃"] = torch.ones(300)
torch.save(saved, here / "saved.pt")


net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten(), torch.nn.Linear(2 * 4, 3))
decay = [p for p in net.parameters() if p.ndim > 1]
others = [p for p in net.parameters() if p.ndim <= 1]
optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0, "lr": 3e-3}], lr=1e-3, amsgrad=True)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
for _ in range(3):
    optimizer.zero_grad()
    net(torch.randn(5, 1, 4, 4)).square().mean().backward()
    optimizer.step()
    schedule.step()
torch.save(
    {
        "epoch": 3,
        "model_state_dict": {"module." + name: tensor for name, tensor in net.state_dict().items()},
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
        "best": np.float64(0.25),
        "loss": torch.tensor(0.5),
        "rng": {"torch": torch.arange(16, dtype=torch.uint8), "numpy": ("MT19937", np.arange(4, dtype=np.uint32), 624)},
        "history": collections.defaultdict(list, {"loss": [1.0, 0.5]}),
        "args": argparse.Namespace(lr=1e-3, names=["a", "b"]),
        "steps": [1, argparse.Namespace(), 3],
        "version": torch.__version__,
        "nothing": b"",
    },
    here / "training.pt",
)
