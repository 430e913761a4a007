"""Files of PyTorch's as the programs write them that people train with, and what is in them.

    python checkpoints.py make STORE > expected.tsv

Each is a model of the store. The list has a line for each tensor of its weights: model, file, component, name, dtype, shape, SHA-256 of the
bytes as PyTorch itself has them: dequantized, dense, conjugated. Lines whose dtype is LEFT are tensors that no other
format can hold; those of AVERAGED stand beside the weights.
"""

import argparse
import collections
import hashlib
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import types
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

warnings.simplefilter("ignore")

TYPES = {
    "float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8",
    "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL", "complex64": "C64", "complex128": "C128", "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2", "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0", "float4_e2m1fn_x2": "F4",
}
CASES = []
SETTLED = 1_700_000_000


def case(function):
    CASES.append(function)
    return function


class Out:
    """The folder of one model, and the list of what is in it."""

    def __init__(self, store, name):
        self.name, self.folder = name, store / name / "v1"
        self.folder.mkdir(parents=True)

    def path(self, file):
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def expect(self, file, tensors, left=(), averaged=None, component=""):
        for name, tensor in tensors.items():
            print(self.name, file, component, name, *facts(tensor), sep="\t")
        for name in left:
            print(self.name, file, component, name, "LEFT", "", "", sep="\t")
        for name, tensor in (averaged or {}).items():
            print(self.name, file, component, name, "AVERAGED " + facts(tensor)[0], *facts(tensor)[1:], sep="\t")

    def save(self, file, value, tensors=None, left=(), averaged=None, component="", **options):
        torch.save(value, self.path(file), **options)
        self.expect(file, value if tensors is None else tensors, left, averaged, component)


def facts(tensor):
    if isinstance(tensor, np.ndarray):
        tensor = torch.from_numpy(np.array(tensor.astype(tensor.dtype.newbyteorder("=")), order="C", copy=True).reshape(tensor.shape))
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)
    shape = list(tensor.shape)
    if tensor.dtype == torch.float4_e2m1fn_x2:
        shape[-1] *= 2
    raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return TYPES[str(tensor.dtype).removeprefix("torch.")], str(shape).replace(",", ""), hashlib.sha256(raw).hexdigest()


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(collections.OrderedDict(conv=nn.Conv2d(1, 2, 3), norm=nn.BatchNorm2d(2), act=nn.ReLU(), flat=nn.Flatten(), head=nn.Linear(8, 3)))


def trained(model, optimizer):
    for step in range(2):
        optimizer.zero_grad()
        model(random(2, 1, 4, 4, seed=step)).square().mean().backward()
        optimizer.step()
    return optimizer


def stranger(path, base=object, **members):
    """A class of a module that whoever opens the file does not have."""
    module, _, name = path.rpartition(".")
    for at in range(len(module.split("."))):
        parent = ".".join(module.split(".")[: at + 1])
        sys.modules.setdefault(parent, types.ModuleType(parent))
    made = sys.modules[module]
    if hasattr(made, name):
        return getattr(made, name)
    kind = type(name, (base,), {"__module__": module, "__qualname__": name, **members})
    setattr(made, name, kind)
    return kind


# --- the habits of trainers ----------------------------------------------------------------------------------------------------


@case
def plain_loop(out):
    model = net(1)
    optimizer = trained(model, torch.optim.AdamW(model.parameters(), lr=1e-3))
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    out.save("checkpoint.pt", {
        "epoch": 2, "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "scheduler": schedule.state_dict(),
        "loss": torch.tensor(0.25), "rng_state": torch.get_rng_state(), "args": argparse.Namespace(lr=1e-3, out=Path("x"), name="run"),
    }, model.state_dict())  # fmt: skip


@case
def plain_tuple(out):
    weights = net(2).state_dict()
    out.save("both.pth", (weights, {"epoch": 3}), {"0." + name: tensor for name, tensor in weights.items()})


@case
def plain_dicts(out):
    """No usual container: all but the state of the training."""
    a, b = net(3), net(4)
    optimizer = trained(a, torch.optim.SGD(a.parameters(), 0.1, momentum=0.9))
    value = {"generator": a.state_dict(), "discriminator": b.state_dict(), "optim_g": optimizer.state_dict(), "cuda_rng_state": torch.zeros(4, dtype=torch.uint8), "step": 5}
    out.save("gan.pt", value, {f"{part}.{name}": tensor for part, model in (("generator", a), ("discriminator", b)) for name, tensor in model.state_dict().items()})


@case
def lightning(out):
    model = net(5)
    state = {"model." + name: tensor for name, tensor in model.state_dict().items()}
    out.save("epoch=2-step=9.ckpt", {
        "epoch": 2, "global_step": 9, "pytorch-lightning_version": "2.5.0", "state_dict": state, "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}}, "optimizer_states": [trained(model, torch.optim.Adam(model.parameters())).state_dict()],
        "lr_schedulers": [], "hparams_name": "kwargs", "hyper_parameters": {"lr": 0.1, "layers": [1, 2]},
    }, model.state_dict())  # fmt: skip


@case
def lightning_compiled(out):
    model = net(6)
    state = {"model._orig_mod." + name: tensor for name, tensor in model.state_dict().items()}
    out.save("last.ckpt", {"pytorch-lightning_version": "2.5.0", "state_dict": state}, model.state_dict())


@case
def lightning_parts(out):
    """model. does not begin every name: it is part of them."""
    state = {"model." + name: tensor for name, tensor in net(7).state_dict().items()} | {"criterion.weight": random(3)}
    out.save("last.ckpt", {"pytorch-lightning_version": "2.5.0", "state_dict": state}, state)


@case
def timm(out):
    model, average = net(8), net(9)
    out.save("model_best.pth.tar", {
        "epoch": 1, "arch": "resnet18", "state_dict": model.state_dict(), "optimizer": trained(model, torch.optim.SGD(model.parameters(), 0.1)).state_dict(), "version": 2,
        "args": argparse.Namespace(model="resnet18", lr=0.1), "amp_scaler": {"scale": 65536.0}, "state_dict_ema": average.state_dict(), "metric": 71.5,
    }, model.state_dict(), averaged=average.state_dict())  # fmt: skip


@case
def transformers_trainer(out):
    model = net(10)
    out.save("pytorch_model.bin", model.state_dict())
    optimizer = trained(model, torch.optim.AdamW(model.parameters()))
    torch.save(optimizer.state_dict(), out.path("optimizer.pt"))
    torch.save(torch.optim.lr_scheduler.StepLR(optimizer, 1).state_dict(), out.path("scheduler.pt"))
    torch.save({"python": (3, (1, 2), None), "numpy": np.random.default_rng(0).bit_generator.state, "cpu": torch.get_rng_state()}, out.path("rng_state.pth"))
    arguments = stranger("transformers.training_args.TrainingArguments")()
    arguments.learning_rate = 1e-4
    torch.save(arguments, out.path("training_args.bin"))
    out.path("config.json").write_text(json.dumps({"model_type": "tiny", "architectures": ["Tiny"]}))


@case
def diffusers(out):
    unet, vae = net(11), net(12)
    out.save("unet/diffusion_pytorch_model.bin", unet.state_dict(), component="unet/diffusion_pytorch_model")
    out.save("vae/diffusion_pytorch_model.bin", vae.state_dict(), component="vae/diffusion_pytorch_model")
    out.path("model_index.json").write_text("{}")


def detector(seed):
    torch.manual_seed(seed)
    conv = stranger("ultralytics.nn.modules.conv.Conv", nn.Module)
    kind = stranger("ultralytics.nn.tasks.DetectionModel", nn.Module)
    model, block = kind(), conv()
    block.conv, block.bn = nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2)
    model.model = nn.Sequential(block, nn.Conv2d(2, 1, 1))
    model.register_buffer("anchors", torch.ones(2), persistent=False)
    model.yaml, model.names, model.stride = {"nc": 1}, {0: "thing"}, torch.tensor([8.0])
    return model


@case
def ultralytics(out):
    """As strip_optimizer leaves it: the model itself, in half precision."""
    model = detector(13).half()
    out.save("best.pt", {"date": "2026", "version": "8.3", "epoch": -1, "best_fitness": None, "model": model, "ema": None, "updates": None, "optimizer": None, "train_args": {"lr0": 0.01}}, model.state_dict())


@case
def ultralytics_training(out):
    """Between two epochs: there is no model but its average."""
    average = detector(14).half()
    out.save("last.pt", {"epoch": 3, "best_fitness": 0.5, "model": None, "ema": average, "updates": 7, "optimizer": {"state": {0: {"momentum_buffer": random(2)}}, "param_groups": [{"params": [0]}]}}, average.state_dict())


@case
def yolov5(out):
    model, average = detector(15), detector(16)
    out.save("yolo.pt", {"epoch": 3, "model": model, "ema": average, "optimizer": None}, model.state_dict(), averaged=average.state_dict())


@case
def fairseq(out):
    model = net(17)
    config = stranger("omegaconf.dictconfig.DictConfig")()
    config.__dict__.update(_metadata=stranger("omegaconf.base.ContainerMetadata")(), _content={"lr": [0.1]})
    out.save("checkpoint_best.pt", {
        "args": None, "cfg": config, "model": model.state_dict(), "criterion": None,
        "optimizer_history": [{"criterion_name": "CrossEntropy", "optimizer_name": "FairseqAdam", "lr_scheduler_state": {"best": 1.0}, "num_updates": 3}],
        "task_state": {}, "extra_state": {"epoch": 1, "best": 3.5}, "last_optimizer_state": trained(model, torch.optim.Adam(model.parameters())).state_dict(),
    }, model.state_dict())  # fmt: skip


@case
def nemo(out):
    weights, buffer = net(18).state_dict(), io.BytesIO()
    torch.save(weights, buffer)
    with tarfile.open(out.path("model.nemo"), "w") as archive:
        for name, data in (("./model_config.yaml", b"target: nemo\n"), ("./model_weights.ckpt", buffer.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    out.expect("model.nemo", weights)


@case
def deepspeed_states(out):
    weights = net(19).state_dict()
    out.save("mp_rank_00_model_states.pt", {"module": weights, "buffer_names": ["norm.running_mean"], "optimizer": None, "param_shapes": [{"conv.weight": torch.Size([2, 1, 3, 3])}], "lr_scheduler": None, "global_steps": 3}, weights)


@case
def detectron(out):
    weights = {"backbone.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(3), "wide": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "big": np.arange(3, dtype=">i2")}
    with open(out.path("model_final.pkl"), "wb") as file:
        pickle.dump({"model": weights, "__author__": "someone", "matching_heuristics": True}, file, protocol=4)
    out.expect("model_final.pkl", weights)


@case
def wrapped(out):
    weights = net(20).state_dict()
    out.save("model.pt", {"net": {"module._orig_mod." + name: tensor for name, tensor in weights.items()}}, weights)


@case
def average_alone(out):
    weights = net(21).state_dict()
    out.save("model.pt", {"ema_model": {"module." + name: tensor for name, tensor in weights.items()}, "step": 3}, weights)


@case
def sharded(out):
    weights, index = net(22).state_dict(), {}
    for number in range(2):
        part = dict(list(weights.items())[number::2])
        file = f"pytorch_model-{number + 1:05}-of-00002.bin"
        torch.save(part, out.path(file))
        index |= {name: file for name in part}
    out.path("pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": index}))
    out.expect("pytorch_model.bin.index.json", weights)


# --- whole objects -------------------------------------------------------------------------------------------------------------


@case
def whole_module(out):
    model = net(23)
    model.register_buffer("passing", torch.ones(2), persistent=False)
    model.tied = model.head
    out.save("model.pt", model, model.state_dict())


@case
def whole_legacy(out):
    model = nn.DataParallel(net(24))
    out.save("model.pth", model, model.module.state_dict(), _use_new_zipfile_serialization=False)


@case
def whole_fx(out):
    model = torch.fx.symbolic_trace(net(25))
    out.save("model.pt", model, model.state_dict())


@case
def dataclass_of_tensors(out):
    holder = stranger("some.where.Weights")()
    holder.weight, holder.parts, holder.name = random(2, seed=1), [random(3, seed=2), {"b": random(1, seed=3)}], "x"
    out.save("model.pt", holder, {"weight": holder.weight, "parts.0": holder.parts[0], "parts.1.b": holder.parts[1]["b"]})


@case
def pickled_tensors(out):
    """By Python's pickle itself: each storage is a file of torch.save's in the pickle."""
    weights = {"a": random(2, 3).t(), "b": torch.arange(3), "h": random(2).half()}
    with open(out.path("weights.pt"), "wb") as file:
        pickle.dump(weights, file)
    out.expect("weights.pt", weights)


@case
def one_tensor(out):
    out.save("weight.pt", random(2, 3), {"tensor": random(2, 3)})


# --- containers ----------------------------------------------------------------------------------------------------------------


def odd_views():
    base, long = random(4, 6, seed=30), random(40, seed=31)
    conv = random(2, 3, 2, 5, seed=32)
    waves = torch.complex(random(3, 4, seed=33), random(3, 4, seed=34))
    return {
        "transposed": base.t(), "channels_last": conv.to(memory_format=torch.channels_last), "permuted": conv.permute(3, 1, 0, 2), "stepped": base[::2, 1::3],
        "offset": long[4:12].reshape(2, 4), "overlap": long.as_strided((5, 6), (3, 1), 7), "expanded": long[5:9].expand(3, 4), "broadcast": torch.tensor(2.5).expand(3, 2, 2),
        "same.a": long, "same.b": long, "tail": long[30:], "column": base[:, 3], "half": base.half().t(), "int": torch.arange(12).reshape(3, 4).t(),
        "empty": torch.zeros(0, 5).t(), "scalar": torch.tensor(-0.0), "parameter": nn.Parameter(base[1:3].clone()), "one": base[1:2, 2:3].t(),
        "waves": waves, "conj": waves.conj(), "adjoint": waves.mH, "negative": waves.clone().conj().imag, "imaginary": waves.clone().imag, "wide": waves.to(torch.complex128).conj(),
    }  # fmt: skip


@case
def views_zip(out):
    out.save("model.pt", odd_views())


@case
def views_legacy(out):
    out.save("model.pt", odd_views(), _use_new_zipfile_serialization=False)


def protocol(number, new):
    def make(out):
        out.save("model.pt", {"a": random(2, 2).t(), "b": torch.arange(3), "é": random(1).bfloat16()}, pickle_protocol=number, _use_new_zipfile_serialization=new)

    make.__name__ = f"protocol_{number}_{'zip' if new else 'legacy'}"
    return make


CASES += [protocol(number, new) for number in (1, 2, 3, 4, 5) for new in (True, False)]


@case
def deflated(out):
    out.save("model.pt", odd_views())
    repack(out.path("model.pt"), lambda name, data: data, zipfile.ZIP_DEFLATED)


@case
def big_endian(out):
    weights = {"f": random(3, 4).t(), "d": random(5).double(), "h": random(3).half(), "l": torch.arange(4), "c": torch.complex(random(2), random(2, seed=1)), "b": torch.tensor([True, False])}
    torch.save(weights, out.path("model.pt"))
    widths = [4, 8, 2, 8, 4, 1]

    def turned(name, data):
        if name.endswith("/byteorder"):
            return b"big"
        if "/data/" in name:
            return np.frombuffer(data, f"u{widths[int(name.rpartition('/')[2])]}").byteswap().tobytes()
        return data

    repack(out.path("model.pt"), turned)
    out.expect("model.pt", torch.load(out.path("model.pt")))


def repack(path, change, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as old:
        members = [(item.filename, old.read(item)) for item in old.infolist()]
    with zipfile.ZipFile(path, "w", method) as new:
        for name, data in members:
            new.writestr(name, change(name, data))


@case
def tar_of_the_oldest(out):
    """As PyTorch 0.1.9 wrote it; torch.load still reads it."""

    class Key:
        def __init__(self, number):
            self.number = number

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return str(value.number) if isinstance(value, Key) else None

    storages = io.BytesIO()
    pickle.dump(2, storages, 2)
    for key, kind, raw in ((7, torch.FloatStorage, struct.pack("<6f", *range(6))), (8, torch.LongStorage, struct.pack("<3q", 1, 2, 3))):
        pickle.dump((key, "cpu", kind), storages, 2)
        storages.write(struct.pack("<q", 6 if key == 7 else 3) + raw)
    pickle.dump([(9, 7, 2, 3)], storages, 2)
    tensors = io.BytesIO()
    pickle.dump(4, tensors, 2)
    for key, storage, kind, sizes, strides, offset in ((1, 7, torch.FloatTensor, (2, 3), (3, 1), 0), (2, 7, torch.FloatTensor, (3, 2), (1, 3), 0), (3, 8, torch.LongTensor, (2,), (1,), 1), (4, 9, torch.FloatTensor, (3,), (1,), 0)):
        pickle.dump((key, storage, kind), tensors, 2)
        tensors.write(struct.pack(f"<i4x{2 * len(sizes)}qq", len(sizes), *sizes, *strides, offset))
    whole = io.BytesIO()
    Pickler(whole, 2).dump(collections.OrderedDict(a=Key(1), b=Key(2), c=Key(3), d=Key(4), again=Key(1)))
    with tarfile.open(out.path("model.tar"), "w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in (("sys_info", pickle.dumps({"protocol_version": 1000, "little_endian": True}, 2)), ("pickle", whole.getvalue()), ("tensors", tensors.getvalue()), ("storages", storages.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    out.expect("model.tar", torch.load(out.path("model.tar"), weights_only=False))


# --- kinds of tensors ----------------------------------------------------------------------------------------------------------


@case
def every_type(out):
    raw = torch.arange(32, dtype=torch.uint8) * 7 + 3
    weights = {name: raw.clone().view(getattr(torch, name)) for name in TYPES if name != "bool"} | {"bool": raw > 100}
    left = {"complex32": raw.clone().view(torch.complex32), "bits8": raw.clone().view(torch.bits8), "meta": torch.empty(3, device="meta"), "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}
    out.save("model.pt", weights | left, weights, left)


@case
def quantized(out):
    wild = torch.cat([random(30) * 100, torch.tensor([float("inf"), -float("inf"), 0.0, -0.0, 1e9, -1e9])]).reshape(6, 6)
    scales, zeros = torch.tensor([0.1, 1 / 3, 1e-3, 7.7, 0.125, 3.3], dtype=torch.double), torch.tensor([0, 3, -5, 100, 1, 2])
    codes, far = torch.randint(-(2**31), 2**31 - 1, (6, 6), generator=torch.Generator().manual_seed(0)).int(), torch.tensor([2**31 - 1, 2**30 + 1, -(2**31), 77777777, 0, -3])
    weights = {
        "i8": torch.quantize_per_tensor(wild, 0.1, 3, torch.qint8), "u8": torch.quantize_per_tensor(wild, 0.7, 128, torch.quint8), "i32": torch.quantize_per_tensor(wild, 1e-7, -12345, torch.qint32),
        "turned": torch.quantize_per_tensor(wild, 0.1, 3, torch.qint8).t(), "rows": torch.quantize_per_channel(wild, scales, zeros, 0, torch.qint8),
        "columns": torch.quantize_per_channel(wild, scales, zeros, 1, torch.qint32), "floats": torch.quantize_per_channel(wild, scales.float(), torch.tensor([1.5, -2.0, 0.0, 3.25, 0.1, 9.0]), 0, torch.quint8),
        "i4": torch.quantize_per_channel(wild[:, :5].contiguous(), scales.float(), torch.tensor([1.5, 2.0, 0.0, 3.25, 0.1, 9.0]), 0, torch.quint4x2),
        "far": torch._make_per_channel_quantized_tensor(codes, scales, far, 1), "near": torch._make_per_channel_quantized_tensor(codes.to(torch.int8), scales, zeros, 1),
        "wrapping": torch._make_per_tensor_quantized_tensor(codes, 1 / 3, 2**31 - 1),
        "empty": torch.quantize_per_tensor(torch.zeros(0, 3), 0.1, 3, torch.qint8), "plain": wild,
    }  # fmt: skip
    out.save("model.pt", weights)


def sparse_tensors():
    index = torch.tensor([[0, 2, 2, 0, 1], [1, 0, 0, 1, 2]])
    values = torch.tensor([1.5, -0.0, 0.1, float("nan"), -7.25])
    matrix = (random(4, 6, seed=40) * (random(4, 6, seed=41) > 0)).float()
    matrix[3] = 0
    return {
        "coo": torch.sparse_coo_tensor(index, values, (3, 4)), "coalesced": torch.sparse_coo_tensor(index, values.nan_to_num(), (3, 4)).coalesce(),
        "hybrid": torch.sparse_coo_tensor(index, random(5, 2, 3, seed=42), (3, 4, 2, 3)), "halves": torch.sparse_coo_tensor(index, values.half(), (3, 4)),
        "bfloats": torch.sparse_coo_tensor(index, random(5, seed=43).bfloat16() * 3, (3, 4)), "doubles": torch.sparse_coo_tensor(index, values.double() / 3, (3, 4)),
        "longs": torch.sparse_coo_tensor(index, torch.tensor([1, 2, 2**62, 2**62, 5]), (3, 4)), "bytes": torch.sparse_coo_tensor(index, torch.tensor([200, 1, 2, 100, 5], dtype=torch.uint8), (3, 4)),
        "complexes": torch.sparse_coo_tensor(index, torch.complex(random(5, seed=44), random(5, seed=45)), (3, 4)), "nothing": torch.sparse_coo_tensor(torch.zeros(2, 0, dtype=torch.long), torch.zeros(0), (3, 4)),
        "scalar": torch.sparse_coo_tensor(torch.zeros(0, 2, dtype=torch.long), torch.tensor([1.5, 2.25]), ()),
        "csr": matrix.to_sparse_csr(), "csc": matrix.to_sparse_csc(), "bsr": matrix.to_sparse_bsr((2, 3)), "bsc": matrix.to_sparse_bsc((2, 2)),
        "batches": torch.stack([matrix, matrix]).to_sparse_csr(), "short": torch.sparse_csr_tensor(torch.tensor([0, 1, 2], dtype=torch.int32), torch.tensor([1, 0], dtype=torch.int32), torch.tensor([-0.0, 2.5]), (2, 2)),
        "inner": torch.stack([matrix, matrix], -1).to_sparse_csr(dense_dim=1),
    }  # fmt: skip


@case
def sparse(out):
    out.save("model.pt", sparse_tensors())


@case
def sparse_legacy(out):
    out.save("model.pt", sparse_tensors(), _use_new_zipfile_serialization=False)


class Scaled(torch.Tensor):
    """A tensor that has its elements in others, as those of quantization libraries do."""

    @staticmethod
    def __new__(cls, codes, scale):
        return torch.Tensor._make_wrapper_subclass(cls, codes.shape, dtype=scale.dtype)

    def __init__(self, codes, scale):
        self.codes, self.scale = codes, scale

    def __tensor_flatten__(self):
        return ["codes", "scale"], None

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.detach.default:
            return Scaled(args[0].codes, args[0].scale)
        raise NotImplementedError(str(function))


class Marked(torch.Tensor):
    """A tensor with something written on it."""


@case
def subclasses(out):
    Scaled.__module__ = Marked.__module__ = "some.quantization"
    stranger("some.quantization.Nothing")
    sys.modules["some.quantization"].Scaled, sys.modules["some.quantization"].Marked = Scaled, Marked
    marked = random(2, 3).as_subclass(Marked)
    marked.note = "a note"
    scaled = Scaled(torch.arange(6, dtype=torch.int8).reshape(2, 3), random(2, 1))
    out.save("model.pt", {"marked": marked, "scaled": nn.Parameter(scaled, requires_grad=False), "plain": random(2)},
             {"marked": marked.as_subclass(torch.Tensor), "scaled.codes": scaled.codes, "scaled.scale": scaled.scale, "plain": random(2)})  # fmt: skip


@case
def arrays(out):
    weights = {
        "c": np.arange(6, dtype=np.float32).reshape(2, 3), "f": np.asfortranarray(np.arange(24, dtype=np.int16).reshape(2, 3, 4)), "big": np.arange(3, dtype=">f8"),
        "scalar": np.array(2.5), "empty": np.zeros((0, 3), np.float16), "flags": np.array([True, False]), "complex": np.array([1 + 2j]),
        "tensor": random(2),
    }  # fmt: skip
    for number in (2, 5):
        file = f"protocol{number}.pt"
        torch.save(weights | {"names": np.array(["a", "b"], dtype=object), "accuracy": np.float64(0.5)}, out.path(file), pickle_protocol=number)
        out.expect(file, weights, ["names"], component=f"protocol{number}")


# --- archives of code ----------------------------------------------------------------------------------------------------------


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = self.first
        self.scale = nn.Parameter(random(2, 2, seed=50).t())
        self.register_buffer("offset", random(2, seed=51))
        self.register_buffer("passing", random(2, seed=52), persistent=False)
        self.constant = torch.arange(2)

    def forward(self, x):
        return self.second(self.first(x)) @ self.scale + self.offset + self.passing + self.constant


@case
def scripted(out):
    module = torch.jit.script(Branches().eval())
    torch.jit.save(module, str(out.path("model.pt")))
    out.expect("model.pt", module.state_dict())


@case
def traced(out):
    module = torch.jit.trace(net(53).eval(), torch.zeros(1, 1, 4, 4))
    torch.jit.save(module, str(out.path("model.jit")))
    out.expect("model.jit", module.state_dict())


@case
def frozen(out):
    """A frozen module has no state: its weights are constants of its code."""
    torch.manual_seed(54)
    module = torch.jit.freeze(torch.jit.script(nn.Sequential(nn.Linear(2, 3)).eval()))
    torch.jit.save(module, str(out.path("model.pt")))
    out.expect("model.pt", frozen_constants(out.path("model.pt")))


def frozen_constants(path):
    with zipfile.ZipFile(path) as archive:
        top = archive.namelist()[0].partition("/")[0]

        class Unpickler(pickle.Unpickler):
            def persistent_load(self, saved):
                _, kind, key, _, numel = saved
                dtype = kind.dtype
                raw = archive.read(f"{top}/constants/{key}")
                return torch.storage.TypedStorage(wrap_storage=torch.frombuffer(bytearray(raw), dtype=torch.uint8).untyped_storage(), dtype=dtype, _internal=True)

        values = Unpickler(io.BytesIO(archive.read(f"{top}/constants.pkl"))).load()
    return {f"CONSTANTS.c{number}": value for number, value in enumerate(values) if isinstance(value, torch.Tensor)}


@case
def exported(out):
    program = torch.export.export(Branches().eval(), (torch.randn(1, 2),))
    torch.export.save(program, out.path("model.pt2"))
    loaded = torch.export.load(out.path("model.pt2"))
    out.expect("model.pt2", loaded.state_dict)


@case
def exported_first(out):
    """As PyTorch 2.1 to 2.7 lays it out."""
    weights, buffer = Branches().state_dict(), io.BytesIO()
    torch.save(weights, buffer)
    with zipfile.ZipFile(out.path("model.pt2"), "w") as archive:
        archive.writestr("version", "8.2")
        archive.writestr("serialized_exported_program.json", "{}")
        archive.writestr("serialized_state_dict.pt", buffer.getvalue())
        archive.writestr("serialized_constants.pt", buffer.getvalue())
    out.expect("model.pt2", weights)


def make(store):
    for function in CASES:
        torch.manual_seed(0)
        function(Out(store, function.__name__.replace("_", "-")))
    for path in store.rglob("*"):
        os.utime(path, (SETTLED, SETTLED))


if __name__ == "__main__":
    make(Path(sys.argv[2]))
