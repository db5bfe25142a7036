"""One model in several processes: replicated by DDP, or sharded by FSDP2, and put together again.

    module = replicate(model)                        # the whole model in each process, gradients summed
    shard(model)                                     # a slice of each parameter in each process
    state = model_state(model)                       # full tensors, to save

`distributed` shows a training step with them.
"""

# No `from __future__ import annotations` here: DDP reads the annotations of its communication hook and refuses strings.
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from minigpt.runs.errors import UserError
from minigpt.scale.distributed import forget_at_the_end, rank, world_size
from minigpt.scale.precision import dtype_of

# Methods of our models that FSDP must gather the weights for, besides forward.
FORWARD_METHODS = ("hidden", "logits", "values")


def shard(model: nn.Module) -> None:
    """Divides every parameter into one slice for each process, in place (FSDP2).

    A block's weights are gathered just before they are used, and freed again. Everything outside of the blocks is one
    more unit, which stays gathered during a step. If the model computes in bfloat16, its blocks are gathered in
    bfloat16, the gains of their norms too, which is half as much to send. Slices and sums of gradients stay float32,
    and so does the unit outside of the blocks: the embedding, and logits that are compared. Raises UserError without
    torchrun.
    """
    if not dist.is_initialized():
        raise UserError("--shard divides a model among processes, and there is one: start them with torchrun")
    # FSDP2 is imported where a model is sharded: it takes a second, for which --help and one process need not wait
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    device = next(model.parameters()).device
    mesh = init_device_mesh(device.type, (world_size(),))
    forget_at_the_end(mesh)
    # the inputs of a block are the residual stream, which stays float32: autocast makes bfloat16 of what is multiplied
    mixed = MixedPrecisionPolicy(dtype_of(model), torch.float32, cast_forward_inputs=False)
    for module in model.modules():
        if isinstance(module, nn.ModuleList):
            for block in module:
                fully_shard(block, mesh=mesh, mp_policy=mixed)
    fully_shard(model, mesh=mesh)
    for method in FORWARD_METHODS:
        if hasattr(model, method):
            register_fsdp_forward_method(model, method)
    with gathered(model):
        pass  # FSDP keeps the memory of its first gathering: made in inference mode, it could not be trained with


def is_fsdp_module(module: nn.Module) -> bool:
    """True for a model that `shard` has divided, and for each part of it that has its own slices."""
    return hasattr(module, "unshard")


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Gathers a sharded model in every process for a block of code: for sampling, where each process takes as many
    steps as its own answers need and cannot wait for the others at every step."""
    units = [module for module in model.modules() if is_fsdp_module(module)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(unit is not model, recurse=False)
            unit.reshard()


def replicate(model: nn.Module) -> nn.Module:
    """The module to call in training, whose backward pass SUMS the gradients of all processes.

    It is `model` itself if there is one process or the model is sharded, else DDP around it. DDP and FSDP divide by the
    number of processes by default, which is the mean over processes and not over tokens: a loss here is already divided
    by the tokens of all processes together. Only the module's forward method takes part in training with DDP.
    """
    if is_fsdp_module(model):
        for unit in (module for module in model.modules() if is_fsdp_module(module)):
            unit.set_gradient_divide_factor(1.0)
            unit.set_force_sum_reduction_for_comms(True)
        return model
    if world_size() == 1:
        return model
    # buffers are the same everywhere; a broadcast would change them between two forward passes and one backward pass
    module = DistributedDataParallel(model, forward_sync_buffers=False)
    module.register_comm_hook(None, _sum_gradients)
    return module


def _sum_gradients(_: None, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """DDP's communication of one bucket of gradients, without its division."""
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda future: future.value()[0])


def sync_gradients(module: nn.Module, last: bool) -> None:
    """Decide whether the next forward and backward pass adds the gradients of all processes. Call it before each
    micro-batch: once a step, in the last one, is enough, however many there are."""
    if is_fsdp_module(module):
        module.set_requires_gradient_sync(last)
    elif isinstance(module, DistributedDataParallel):
        module.require_backward_grad_sync = last  # what DDP.no_sync() sets for a block of code


# ---- Sharded tensors as full tensors, and back -------------------------------------------------------------------


def is_sharded(tensor: Tensor) -> bool:
    """True for a tensor of which each process holds a slice."""
    return hasattr(tensor, "placements")  # it is a DTensor; their class is not imported before there is one


def full_tensor(tensor: Tensor) -> Tensor:
    """A sharded tensor put together, in every process; an ordinary one as it is."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def divided(tensor: Tensor, like: Tensor) -> Tensor:
    """The inverse of `full_tensor`: `tensor` sharded as `like` is, if that is sharded and has its shape."""
    if not is_sharded(like) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def local_part(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """This process's slice of a sharded tensor, or of a full one if it were sharded as `like` is: a view of it."""
    if is_sharded(tensor):
        return tensor.to_local()
    if not is_sharded(like):
        return tensor
    parts = tensor.chunk(world_size())  # FSDP cuts along the first axis, as chunk does: the last parts may be missing
    return parts[rank()] if rank() < len(parts) else tensor[:0]


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict of the full model. All processes must call it; of a sharded model, process 0 alone gets it."""
    if not is_fsdp_module(model):
        return model.state_dict()
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))


def load_model_state(model: nn.Module, state: Mapping[str, Any]) -> None:
    """The inverse of model_state, in any number of processes, each of which has read `state`."""
    if not is_fsdp_module(model):
        model.load_state_dict(state)
        return
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    set_model_state_dict(model, dict(state), options=StateDictOptions(full_state_dict=True, strict=True))
