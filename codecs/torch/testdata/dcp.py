"""Writes testdata/dcp: a checkpoint of torch.distributed.checkpoint by two processes. Each tensor counts from 0.

    python codecs/torch/testdata/dcp.py codecs/torch/testdata/dcp
"""

import os
import sys
import tempfile

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as processes
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor


def save(rank: int, folder: str, meeting: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))

    def counted(shape, dtype, place):
        n = int(torch.Size(shape).numel())
        return distribute_tensor(torch.arange(n).to(dtype).reshape(shape), mesh, [place])

    weights = {
        "rows": counted((5, 3), torch.float32, Shard(0)),
        "columns": counted((3, 5), torch.float32, Shard(1)),
        "middle": counted((2, 3, 4), torch.bfloat16, Shard(1)),
        "same": counted((4,), torch.int64, Replicate()),
        "empty": counted((0, 2), torch.float32, Replicate()),
    }
    moments = {"state": {"rows": {"exp_avg": counted((5, 3), torch.float32, Shard(0))}}}
    dcp.save({"model": weights, "optimizer": moments, "step": 7}, checkpoint_id=folder)
    dist.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        processes.spawn(save, (sys.argv[1], os.path.join(scratch, "meeting")), nprocs=2)
