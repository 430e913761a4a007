"""Makes PyTorch checkpoints, and reads views of them and of other models with PyTorch.

    torch_readers.py make STORE [MODEL [nudge]]     all models, or one; nudge changes a bit of a weight and of its state
    torch_readers.py weights STORE MOUNTPOINT       every pytorch/ view opens and maps, and holds what torch's own cast gives
    torch_readers.py resume STORE MOUNTPOINT        a training goes on from pytorch/PRECISION-full as from the stored checkpoint
    torch_readers.py optimizer STORE MOUNTPOINT     optimizer/ has the state of each parameter under its name

What is wrong is printed, a line each; the exit code is 1 then.
"""

import argparse
import collections
import copy
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch.utils.serialization import config

SETTLED = 1_700_000_000
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
FLOATS = (torch.float64, *PRECISIONS.values())
SPELT = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}


class Net(torch.nn.Module):
    """Convolution, normalization, an embedding that is tied to the output, a frozen layer."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(11, 6)
        self.conv = torch.nn.Conv1d(6, 6, 3, padding=1)
        self.norm = torch.nn.BatchNorm1d(6)
        self.frozen = torch.nn.Linear(6, 6).requires_grad_(False)
        self.scale = torch.nn.Parameter(torch.tensor(1.5))
        self.head = torch.nn.Linear(6, 11)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        x = self.norm(self.conv(self.embed(ids).transpose(1, 2)))
        return self.head(self.frozen(x.transpose(1, 2)) * self.scale)


def trained(net):
    return [p for p in net.parameters() if p.requires_grad]


def split(net):
    """Two groups that take turns in the order of the model."""
    decay = [p for p in trained(net) if p.ndim > 1]
    return [{"params": decay, "weight_decay": 0.1}, {"params": [p for p in trained(net) if p.ndim <= 1], "weight_decay": 0.0, "lr": 0.03}]


OPTIMIZERS = {
    "sgd": lambda net: torch.optim.SGD(trained(net), lr=0.1),
    "momentum": lambda net: torch.optim.SGD(trained(net), lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda net: torch.optim.Adam(trained(net), lr=0.01),
    "adamw": lambda net: torch.optim.AdamW(split(net), lr=0.01, amsgrad=True),
    "groups": lambda net: torch.optim.SGD([{"params": [p], "lr": 0.01 * (i + 1)} for i, p in enumerate(trained(net))], lr=0.1, momentum=0.9),
    "named": lambda net: torch.optim.Adam([(n, p) for n, p in net.named_parameters() if p.requires_grad][::-1], lr=0.01),
    "rmsprop": lambda net: torch.optim.RMSprop(trained(net), lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda net: torch.optim.Adagrad(trained(net), lr=0.01),
    "adafactor": lambda net: torch.optim.Adafactor(trained(net), lr=0.01),
    "lbfgs": lambda net: torch.optim.LBFGS(trained(net), lr=0.01, max_iter=3),
}


def step(net, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 11, (4, 5), generator=generator)

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(net(ids).flatten(0, 1), ids.flatten())
        value.backward()
        return value

    return float(optimizer.step(loss).detach())


def fresh(kind):
    torch.manual_seed(7)
    net = Net()
    optimizer = OPTIMIZERS[kind](net)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    return net, optimizer, schedule


def settle(path):
    os.utime(path, (SETTLED, SETTLED))


def save(value, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path, **options)
    settle(path)


def habits(kind, net, optimizer, schedule):
    """The same training as several programs save it: {name: value}."""
    weights, state = net.state_dict(), optimizer.state_dict()
    rng = {"torch": torch.get_rng_state(), "numpy": np.random.RandomState(3).get_state(), "python": (3, (1, 2, 3), None)}
    yield "plain", {"epoch": 3, "model_state_dict": weights, "optimizer_state_dict": state, "scheduler": schedule.state_dict(), "rng": rng, "args": argparse.Namespace(lr=0.1)}
    if kind == "adamw":
        wrapped = collections.OrderedDict(("module." + name, tensor) for name, tensor in weights.items())
        yield "wrapped", {"model": wrapped, "optimizer": state, "lr_scheduler": schedule.state_dict(), "best": np.float64(0.5)}
        lightning = collections.OrderedDict(("model." + name, tensor) for name, tensor in weights.items())
        yield "lightning", {
            "epoch": 2, "global_step": 9, "pytorch-lightning_version": "2.5.0", "state_dict": lightning, "loops": {"fit": {"n": 1}},
            "optimizer_states": [state], "lr_schedulers": [schedule.state_dict()], "hyper_parameters": {"lr": 0.1},
        }  # fmt: skip
        yield "fairseq", {
            "args": argparse.Namespace(lr=[0.1]), "model": weights, "optimizer_history": [{"optimizer_name": "Adam", "num_updates": 9}],
            "extra_state": {"epoch": 4}, "last_optimizer_state": state,
        }  # fmt: skip


def nudge(tensor):
    tensor.detach().view(torch.int32).reshape(-1)[-1:] ^= 1


def make(store, only=None, nudged=False):
    for kind in OPTIMIZERS:
        if only and only != f"plain-{kind}":
            continue
        net, optimizer, schedule = fresh(kind)
        for seed in range(3):
            step(net, optimizer, seed)
            schedule.step()
        if nudged:
            nudge(net.conv.weight)
            nudge(optimizer.state[net.conv.weight]["exp_avg"])
        for name, value in habits(kind, net, optimizer, schedule):
            save(value, store / f"{name}-{kind}/v1/last.ckpt")
        if only:
            return
        if kind == "adam":
            for name, options in [("legacy", {"_use_new_zipfile_serialization": False})]:
                save(next(habits(kind, net, optimizer, schedule))[1], store / f"{name}-{kind}/v1/last.ckpt", **options)
            from safetensors.torch import save_model

            folder = store / f"trainer-{kind}/v1"
            save(optimizer.state_dict(), folder / "optimizer.pt")
            save(schedule.state_dict(), folder / "scheduler.pt")
            save({"python": (3, (1, 2), None), "cpu": torch.get_rng_state()}, folder / "rng_state.pth")
            (folder / "trainer_state.json").write_text(json.dumps({"epoch": 2.0, "global_step": 9}))
            settle(folder / "trainer_state.json")
            save_model(net, str(folder / "model.safetensors"))
            settle(folder / "model.safetensors")
    net = fresh("sgd")[0]
    save(net.state_dict(), store / "weights/v1/model.pt")
    save(net.half().state_dict(), store / "half/v1/model.pt")


# --- checking ----------------------------------------------------------------------------------------------------------

wrong = []


def complain(where, text):
    if text:
        wrong.append(f"{where}: {text}")


def bits(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def difference(got, want):
    """What is wrong with a value, or nothing: tensors bit for bit."""
    if isinstance(want, torch.Tensor):
        if not isinstance(got, torch.Tensor) or got.dtype != want.dtype or got.shape != want.shape:
            return f"{type(got).__name__} {getattr(got, 'dtype', '')} {getattr(got, 'shape', '')}, want {want.dtype} {want.shape}"
        return "" if want.numel() == 0 or torch.equal(bits(got), bits(want)) else "other bits"
    if isinstance(want, dict):
        if not isinstance(got, dict) or list(got) != list(want):
            return f"keys {list(got) if isinstance(got, dict) else got}, want {list(want)}"
        return next((f"[{key!r}] {text}" for key in want if (text := difference(got[key], want[key]))), "")
    if isinstance(want, (list, tuple)):
        if type(got) is not type(want) or len(got) != len(want):
            return f"{got}, want {want}"
        return next((f"[{i}] {text}" for i in range(len(want)) if (text := difference(got[i], want[i]))), "")
    return "" if got == want else f"{got!r}, want {want!r}"


def stored(store, model):
    folder = store / model / "v1"
    path = next(folder / name for name in ("last.ckpt", "model.pt", "model.safetensors") if (folder / name).exists())
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, weights_only=False)


def container(value):
    """The weights in a checkpoint, and what begins their names."""
    for key in ("model_state_dict", "state_dict", "model"):
        if isinstance(value.get(key), dict):
            prefix = {"state_dict": "model."}.get(key, "")
            prefix = "module." if all(name.startswith("module.") for name in value[key]) else prefix
            return value[key], prefix
    return value, ""


def weights_of(store, model):
    weights, prefix = container(stored(store, model))
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}


def weights(store, mount):
    for model in sorted(os.listdir(store)):
        want = weights_of(store, model)
        for precision, dtype in PRECISIONS.items():
            path = mount / model / "v1/pytorch" / precision / "model.pt"
            cast = {name: tensor.to(dtype) if tensor.dtype in FLOATS else tensor for name, tensor in want.items()}
            for mapped in (False, True):
                for computed in (False, True):  # torch's own idea of where a storage lies must be right
                    config.load.calculate_storage_offsets = computed
                    try:
                        got = torch.load(path, weights_only=True, mmap=mapped)
                    except Exception as error:
                        complain(path, f"mmap={mapped}: {type(error).__name__}: {error}")
                        continue
                    complain(path, difference(dict(got), dict(cast)))
                    if "embed.weight" in got and "head.weight" in got:
                        shared = got["embed.weight"].untyped_storage().data_ptr() == got["head.weight"].untyped_storage().data_ptr()
                        complain(path, "" if shared else "tied tensors have a storage each")
            config.load.calculate_storage_offsets = False
            with zipfile.ZipFile(path) as archive:
                complain(path, archive.testzip())
            net = Net()
            complain(path, str(net.load_state_dict(torch.load(path), strict="safetensors" not in str(path) and "head.weight" in got)).replace("<All keys matched successfully>", "") if "head.weight" in got else "")


def resume(store, mount):
    for model in sorted(os.listdir(store)):
        original = stored(store, model)
        full = mount / model / "v1/pytorch/fp32-full/model.pt"
        if model.startswith(("weights", "half", "trainer")):
            complain(full, "is there" if full.exists() else "")
            continue
        kind = model.partition("-")[2]
        states = []
        for mapped in (None, False, True):
            value = original if mapped is None else torch.load(full, weights_only=True, mmap=mapped)
            net, optimizer, schedule = fresh(kind)
            named, prefix = container(value)
            net.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in named.items()})
            state = next(value[key] for key in ("optimizer_state_dict", "optimizer", "optimizer_states", "last_optimizer_state") if key in value)
            state = copy.deepcopy(state)  # load_state_dict keeps what is called step
            optimizer.load_state_dict(state[0] if isinstance(state, list) else state)
            for key in ("scheduler", "lr_scheduler"):
                if key in value:
                    schedule.load_state_dict(value[key])
            losses = [step(net, optimizer, 10 + i) for i in range(3)]
            schedule.step()
            states.append({"losses": losses, "weights": dict(net.state_dict()), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()})
        complain(full, difference(states[1], states[0]))
        complain(full, difference(states[2], states[0]))
        got = torch.load(full, weights_only=True)
        gone = set(original) - set(got)
        complain(full, "" if gone <= {"args"} else f"lacks {gone}")
        for precision, dtype in PRECISIONS.items():
            path = mount / model / f"v1/pytorch/{precision}-full/model.pt"
            got = torch.load(path, weights_only=True)
            named, _ = container(got)
            was, _ = container(original)
            complain(path, difference(dict(named), {name: tensor.to(dtype) if tensor.dtype in FLOATS else tensor for name, tensor in was.items()}))
            for key in original:
                if original[key] is not was and key not in ("args", "rng", "best"):
                    complain(f"{path} {key}", difference(got[key], original[key]))
            with zipfile.ZipFile(path) as archive:
                complain(path, archive.testzip())


def optimizer(store, mount):
    for model in sorted(os.listdir(store)):
        folder = mount / model / "v1/optimizer"
        if model in ("weights", "half"):
            complain(folder, "is there" if folder.exists() else "")
            continue
        kind = model.partition("-")[2]
        index = json.loads((folder / "index.json").read_bytes())
        rest = json.loads((folder / "state.json").read_bytes())
        net, optimizer, _ = fresh(kind)
        if model.startswith("trainer"):
            state = torch.load(store / model / "v1/optimizer.pt")
        else:
            value = stored(store, model)
            state = next(value[key] for key in ("optimizer_state_dict", "optimizer", "optimizer_states", "last_optimizer_state") if key in value)
            state = state[0] if isinstance(state, list) else state
        optimizer.load_state_dict(state)
        names = {id(tensor): name for name, tensor in net.named_parameters()}
        if model.startswith("trainer"):  # safetensors keeps one name of a tied tensor
            names[id(net.embed.weight)] = "head.weight" if "head.weight" in weights_of(store, model) else "embed.weight"
        want = {names[id(p)]: (optimizer.state.get(p, {}), group) for group in optimizer.param_groups for p in group["params"]}
        ways = {row["named_by"] for row in index["parameters"].values()}
        if kind in ("sgd", "lbfgs"):  # no state that has a parameter's shape, and a frozen layer
            complain(folder, "" if not index["parameters"] and len(index["unnamed"]) == len(want) else f"names {sorted(index['parameters'])}")
            continue
        if model.startswith("trainer"):  # the weights are in order of their names: only what has a shape of its own is known
            complain(folder, "" if ways == {"shape"} and {"scale", "conv.weight", "head.bias"} < set(index["parameters"]) <= set(want) else f"names {sorted(index['parameters'])}, by {ways}")
        else:
            complain(folder, "" if set(index["parameters"]) == set(want) and not index["unnamed"] else f"names {sorted(index['parameters'])}, want {sorted(want)}, unnamed {len(index['unnamed'])}")
            complain(folder, "" if ways == {"names"} or kind != "named" and ways <= {"order", "guess"} else f"named by {ways}")
        for name, (state, group) in want.items():
            row = index["parameters"].get(name)
            if row is None:
                continue
            step = state.get("step")
            complain(f"{folder} {name}", "" if row["step"] == (None if step is None else float(step)) else f"step {row['step']}, want {step}")
            for key, setting in group.items():
                if key not in ("params", "param_names"):
                    got = row["hyperparameters"].get(key)
                    complain(f"{folder} {name} {key}", "" if got == (list(setting) if isinstance(setting, tuple) else setting) else f"{got}, want {setting}")
            for key, tensor in state.items():
                if not isinstance(tensor, torch.Tensor) or key == "step":
                    got = row["state"].get(key)
                    plain = float(tensor) if isinstance(tensor, torch.Tensor) else tensor
                    complain(f"{folder} {name} {key}", "" if isinstance(plain, list) or got == plain else f"{got}, want {plain}")
                    continue
                file = row["state"][key]
                data = (folder / file["file"]).read_bytes()
                about = (file["dtype"], file["shape"], file["nbytes"])
                complain(f"{folder} {name} {key}", "" if about == (SPELT[tensor.dtype], list(tensor.shape), len(data)) else f"is {about}")
                complain(f"{folder} {name} {key}", "" if data == bytes(bits(tensor).numpy()) else "other bytes")
        if model.startswith("plain"):
            complain(folder, "" if rest["epoch"] == 3 and rest["scheduler"]["last_epoch"] == 3 and rest["args"]["class"] == "argparse.Namespace" else rest)
            rng = rest["rng"]["torch"]
            complain(folder, "" if (folder / rng["file"]).stat().st_size == rng["nbytes"] == torch.get_rng_state().numel() else rng)
            complain(folder, "" if len({"model_state_dict", "optimizer_state_dict"} & set(rest)) == 0 else list(rest))
        if model.startswith("trainer"):
            complain(folder, "" if rest["scheduler.pt"]["last_epoch"] == 3 and rest["trainer_state.json"]["global_step"] == 9 else list(rest))


def main(verb, store, *rest):
    if verb == "make":
        make(Path(store), *rest)
        return 0
    try:
        {"weights": weights, "resume": resume, "optimizer": optimizer}[verb](Path(store), Path(rest[0]))
    except Exception as error:
        import traceback

        traceback.print_exc()
        complain(verb, f"{type(error).__name__}: {error}")
    print("\n".join(wrong[:20]))
    if len(wrong) > 20:
        print(f"and {len(wrong) - 20} more")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
