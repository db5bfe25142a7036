"""Several processes, one run: torchrun starts them, PyTorch's DDP or FSDP2 keeps their models equal.

    torchrun --nproc-per-node 2 -m minigpt.pretrain              each process holds the whole model (DDP)
    torchrun --nproc-per-node 2 -m minigpt.pretrain --shard      each process holds a slice of it (FSDP2)

`torchrun --max-restarts 3` restarts a job in which a process has died, and it resumes from the last saved state. Put
TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before it: without it torch 2.13 keeps the addresses of the dead processes in its
store, and about one restart in three failed here.

The processes run the same program on the same data order, and divide three things among themselves: the micro-batches
of a step, the prompts of a rollout, the rows of a scoring pass. What is divided is put together again before anything
is decided by it, so every process sees the same losses, advantages and KL, and branches alike. What is a function of
the seed, such as an evaluation, each of them computes for itself. Only process 0 writes files.

The result is that of one process up to rounding: sums are taken in another order, nothing else (tests/distributed/).
Without torchrun there is one process, and all of this does nothing.

A training step is the same page for one process and for many:

    module = replicate(model)                        # once
    for number, micro in enumerate(mine):
        sync_gradients(module, last=number + 1 == len(mine))
        (loss_sum(module, micro) / total).backward() # total: of all processes
"""

import gc
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from minigpt.runs.errors import UserError
from minigpt.scale.precision import dtype_of

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

Item = TypeVar("Item")

# Methods of our models that FSDP must gather the weights for, besides forward.
FORWARD_METHODS = ("hidden", "logits", "values")


# ---- The processes -----------------------------------------------------------------------------------------------


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """True in the one process that writes files and draws a progress bar."""
    return rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Joins the processes that torchrun has started; does nothing without torchrun.

    torchrun tells each process its rank by environment variables. NCCL connects GPUs, gloo everything else. When a
    process dies, the others fail at their next exchange, with a RuntimeError of torch. What caused it is printed by the
    process that died, and a note says so.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        yield
        return
    # Before there is a group: if torch imports it later, for DDP, something in it keeps the group alive (torch 2.13).
    import torch.distributed.fsdp

    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo")
    silence = open(os.devnull, "w", encoding="utf-8") if rank() else sys.stdout  # noqa: SIM115
    try:
        with redirect_stdout(silence):  # all do the same, and one prints it
            yield
        _forget_group()
    except RuntimeError as error:
        error.add_note(
            f"This is process {rank()} of {world_size()}. If another process died first, its own message says why. The "
            "same command resumes from the last saved state (torchrun --max-restarts gives it again by itself)."
        )
        raise
    finally:
        dist.destroy_process_group()


_meshes: list["DeviceMesh"] = []  # those of sharded models, for _forget_group alone


def _forget_group() -> None:
    """Makes sure that gloo's threads end with the group: they do when nothing refers to it any more.

    A sharded model refers to it, and so does its mesh, which DTensor's caches keep for ever (torch 2.13). If the
    interpreter ends while such a thread still holds a tensor, the process aborts after its work is done: "terminate
    called without an active exception". So the mesh is emptied; nothing is computed with it any more. Not after an
    error: torchrun stops this process a tenth of a second after another has died, and the message must be out by then.
    """
    for mesh in _meshes:
        vars(mesh).clear()
    _meshes.clear()
    gc.collect()  # models are cycles


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process, where each has its own; any other device as it is."""
    if device.type == "cuda" and dist.is_initialized():
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


# ---- Dividing work, and putting it together ----------------------------------------------------------------------


def share(items: Sequence[Item]) -> list[Item]:
    """This process's part of what all of them have: every world_size-th."""
    return list(items[rank() :: world_size()])


def share_of_rows(rows: int) -> slice:
    """This process's rows of `rows`, side by side, so that all parts in a row are the whole again in its old order."""
    return slice(rank() * rows // world_size(), (rank() + 1) * rows // world_size())


def matched_calls(items: Sequence[Item]) -> Iterator[tuple[Item, bool]]:
    """This process's part of some calls of a model, as (item, is it mine?): equally many in every process.

    A forward pass of a sharded model needs all processes, so a process with one item less repeats another's item and
    drops the result.
    """
    for first in range(0, len(items), world_size()):
        yield items[min(first + rank(), len(items) - 1)], first + rank() < len(items)


def micro_batch_for(asked: int, batch_size: int) -> int:
    """The size of a micro-batch: `asked` (0: all of a process's part of the batch), but at most that part.

    Raises UserError if not every process gets equally many micro-batches.
    """
    if world_size() == 1:
        return asked or batch_size
    part = batch_size // world_size()
    size = min(asked or part, part)
    if size == 0 or batch_size % (size * world_size()):
        raise UserError(
            f"a batch of {batch_size} in micro-batches of {max(size, 1)} cannot be divided equally among "
            f"{world_size()} processes; choose --batch-size as a multiple of --micro-batch-size times {world_size()}"
        )
    return size


def sum_over_processes(values: Mapping[str, float | Tensor], device: torch.device) -> dict[str, float]:
    """Each value, a number or a tensor of one element, summed over all processes."""
    if world_size() == 1:
        return {name: float(value) for name, value in values.items()}
    packed = torch.tensor([float(value) for value in values.values()], dtype=torch.float64).to(device)
    dist.all_reduce(packed)
    return dict(zip(values, packed.tolist(), strict=True))


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """The sum of all processes' tensors, in place. Where each process has filled its own rows of zeros, the sum joins
    them."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def barrier() -> None:
    """Waits until every process is here."""
    if world_size() > 1:
        dist.barrier()


# ---- One model in several processes ------------------------------------------------------------------------------


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
    _meshes.append(mesh)
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
