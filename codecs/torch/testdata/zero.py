"""Writes testdata/zero2 and testdata/zero3: folders as DeepSpeed's ZeRO of stages 2 and 3 leaves them, of three
processes. The parameters count from 0, one after another: what zero_to_fp32.py makes of them is known.

    python codecs/torch/testdata/zero.py codecs/torch/testdata
"""

import math
import os
import sys
from collections import OrderedDict

import torch

WORLD = 3
GROUPS = [OrderedDict(a=torch.Size([3, 5]), b=torch.Size([7])), OrderedDict(c=torch.Size([2, 2]), d=torch.Size([]))]


def parameters():
    at = 0
    for group in GROUPS:
        for name, shape in group.items():
            n = shape.numel()
            yield group, name, torch.arange(at, at + n, dtype=torch.float32)
            at += n


def states(stage: int, rank: int) -> dict:
    frozen = torch.arange(100, 110, dtype=torch.float16)
    share = math.ceil(frozen.numel() / WORLD)
    if stage == 3:  # a fragment each, the last one padded
        frozen = torch.cat([frozen, torch.zeros(share * WORLD - frozen.numel(), dtype=torch.float16)])[rank * share : (rank + 1) * share].clone()
    return {
        "module": OrderedDict(running=torch.tensor([1.5, 2.5], dtype=torch.float16), steps=torch.tensor(7), a=torch.zeros(3, 5, dtype=torch.float16)),
        "buffer_names": ["running", "steps"],
        "param_shapes": GROUPS,
        "frozen_param_shapes": OrderedDict(f=torch.Size([2, 5])),
        "frozen_param_fragments": OrderedDict(f=frozen if stage == 3 else frozen.reshape(2, 5)),
        "shared_params": {"tied": "b"},
        "ds_version": "0.17.0",
    }


def vectors(stage: int) -> list[list[torch.Tensor]]:
    """Of each process, its part of each group."""
    ranks = [[] for _ in range(WORLD)]
    for group in GROUPS:
        mine = [values for of, _, values in parameters() if of is group]
        if stage == 2:
            whole = torch.cat(mine)
            padded = 2 * WORLD * math.ceil(whole.numel() / (2 * WORLD))
            whole = torch.cat([whole, torch.full((padded - whole.numel(),), -1.0)])
            for rank, part in enumerate(whole.chunk(WORLD)):
                ranks[rank].append(part.clone())
            continue
        for rank in range(WORLD):
            parts = []
            for values in mine:
                share = math.ceil(values.numel() / WORLD)
                padded = torch.cat([values, torch.full((share * WORLD - values.numel(),), -1.0)])
                parts.append(padded[rank * share : (rank + 1) * share])
            ranks[rank].append(torch.cat(parts))
    return ranks


def write(folder: str, stage: int) -> None:
    os.makedirs(folder, exist_ok=True)
    key = "single_partition_of_fp32_groups" if stage == 2 else "fp32_flat_groups"
    for rank, groups in enumerate(vectors(stage)):
        count = [WORLD] * len(GROUPS) if stage == 2 else WORLD
        optimizer = {"zero_stage": stage, "partition_count": count, key: groups}
        torch.save({"optimizer_state_dict": optimizer}, f"{folder}/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
        if stage == 3:
            torch.save(states(stage, rank), f"{folder}/zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
    if stage == 2:
        torch.save(states(stage, 0), f"{folder}/mp_rank_00_model_states.pt")


if __name__ == "__main__":
    for stage in (2, 3):
        write(os.path.join(sys.argv[1], f"zero{stage}"), stage)
