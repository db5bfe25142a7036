"""Demands of DDP on our hook, in one process; `make distributed` tests what two processes make of it."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from minigpt.scale.sharding import _sum_gradients


def test_ddp_takes_our_communication_hook(tmp_path):
    """It reads the annotations: with `from __future__ import annotations` they are strings, and it refuses them."""
    dist.init_process_group("gloo", init_method=(tmp_path / "store").as_uri(), rank=0, world_size=1)
    try:
        model = DistributedDataParallel(nn.Linear(2, 2, bias=False))
        model.register_comm_hook(None, _sum_gradients)
        inputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        model(inputs).sum().backward()
        expected = inputs.sum(dim=0).expand(2, 2)
        torch.testing.assert_close(model.module.weight.grad, expected, msg="the hook has to hand the sums on")
    finally:
        dist.destroy_process_group()
