"""Several processes, one run: torchrun starts them, PyTorch's DDP or FSDP2 keeps their models equal.

    torchrun --nproc-per-node 2 -m minigpt.pretrain              each process holds the whole model (DDP)
    torchrun --nproc-per-node 2 -m minigpt.pretrain --shard      each process holds a slice of it (FSDP2)

`torchrun --max-restarts 3` starts a job again in which a process has died, and it goes on from the last saved state.
Put TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before it: torch 2.13 otherwise hands the addresses of the dead to the living.

The processes run the same program on the same data order, and divide three things among themselves: the micro-batches
of a step, the prompts of a rollout, the rows of a scoring pass. Whatever is divided is put together again before
anybody decides anything by it, so every process sees the same losses, advantages and KL, and takes the same turns. What
is a function of the seed, such as an evaluation, each of them computes for itself. Only process 0 writes files.

The result is that of one process up to rounding: a sum is taken in another order, nothing else
(tests/distributed/). Without torchrun there is one process, and all of this does nothing.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from minigpt.runs.errors import UserError
from minigpt.scale.precision import dtype_of

Item = TypeVar("Item")
Micro = TypeVar("Micro")
LossSum = Callable[[nn.Module, Any], tuple[Tensor, dict[str, Any]]]

# Methods of our models that FSDP must gather the weights for, besides forward.
FORWARD_METHODS = ("hidden", "logits", "values")


# ---- Who am I ----------------------------------------------------------------------------------------------------


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """True in the one process that writes files and draws a progress bar."""
    return rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Joins the processes that torchrun has started; does nothing without torchrun.

    torchrun tells each process its place by environment variables. NCCL connects GPUs, gloo everything else. When a
    process dies, the others notice at their next exchange: that becomes a UserError, as the cause is printed by the one
    that died.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo")
    silence = open(os.devnull, "w", encoding="utf-8") if rank() else sys.stdout  # noqa: SIM115
    try:
        with redirect_stdout(silence):  # what is done by all is told by one
            yield
        _let_go_of_group()
    except (dist.DistBackendError, RuntimeError) as error:
        if isinstance(error, dist.DistBackendError) or "gloo" in str(error).lower():
            raise UserError(
                f"process {rank()} of {world_size()} has lost another one, which must have died: its own message says "
                "why; run the same command again to go on from the last saved state (torchrun --max-restarts does so)"
            ) from error
        raise
    finally:
        dist.destroy_process_group()


_meshes: list[DeviceMesh] = []  # those of sharded models, for _let_go_of_group alone


def _let_go_of_group() -> None:
    """Makes sure that gloo's threads end with the group: they do when nothing holds it any more.

    A sharded model holds it, and so does its mesh, which stays in DTensor's caches for ever (torch 2.13). A thread that
    is left may have the last tensor in hand when the interpreter goes down, and then the whole process aborts after its
    work is done: "terminate called without an active exception". After an error there is no time for this: torchrun
    stops us a tenth of a second after another process has died, and the message must be out by then.
    """
    for mesh in _meshes:
        mesh._pg_registry.clear()
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


def share_of_calls(items: Sequence[Item]) -> Iterator[tuple[Item, bool]]:
    """This process's part of some calls of a model, as (item, is it mine?): equally many in every process.

    A sharded model works only while all processes call it, so who has one item less gets another's to pass the time.
    """
    for first in range(0, len(items), world_size()):
        yield items[min(first + rank(), len(items) - 1)], first + rank() < len(items)


def micro_batch_for(asked: int, batch_size: int) -> int:
    """How many of a batch are computed at once: `asked` (0: all of a process's part), but at most that part.

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


def add_up(tensor: Tensor) -> Tensor:
    """The sum of all processes' tensors, in place: where each has filled rows of its own in zeros, this joins them."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def barrier() -> None:
    """Waits until every process is here."""
    if world_size() > 1:
        dist.barrier()


# ---- One model in several processes ------------------------------------------------------------------------------


def shard(model: nn.Module) -> None:
    """Cuts every parameter into one slice a process, in place (FSDP2).

    A block's weights are put together just before they are needed, and forgotten again. Everything outside of the
    blocks is one more unit, which stays together while a step lasts. Where a model computes in bfloat16 its blocks
    travel as that, the gains of their norms too, which is half as much to send; slices and gradients' sums stay
    float32, and so does the rest, which is looked up (the embedding) or gives logits that are compared. Raises
    UserError without torchrun.
    """
    if not dist.is_initialized():
        raise UserError("--shard divides a model among processes, and there is one: start them with torchrun")
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


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """A sharded model, whole in every process while the block lasts: for sampling, where each process takes as many
    steps as its own answers need, and could not wait for the others at every step."""
    units = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(unit is not model, recurse=False)
            unit.reshard()


class _Loss(nn.Module):
    """A model and its loss as one module: DDP and FSDP watch a module's forward, and losses here are functions."""

    def __init__(self, model: nn.Module, loss_sum: LossSum) -> None:
        super().__init__()
        self.model, self.loss_sum = model, loss_sum

    def forward(self, micro: Any) -> tuple[Tensor, dict[str, Any]]:
        return self.loss_sum(self.model, micro)


class Gradients:
    """loss_sum(model, micro), and gradients that are the same in every process.

        for number, micro in enumerate(share(micros)):
            loss_sum, metrics = gradients(micro, last=number + 1 == len(mine))
            gradients.backward(loss_sum / total)

    `total` is that of all processes together. The processes' gradients are added in the backward pass of the last
    micro-batch: once a step, however many there are.
    """

    def __init__(self, model: nn.Module, loss_sum: LossSum) -> None:
        self.model, self.module = model, _Loss(model, loss_sum)
        self.sharded = isinstance(model, FSDPModule)
        if world_size() > 1 and not self.sharded:
            self.module = DistributedDataParallel(self.module)

    def __call__(self, micro: Any, last: bool) -> tuple[Tensor, dict[str, Any]]:
        if self.sharded:
            self.model.set_requires_gradient_sync(last)
        elif world_size() > 1:
            self.module.require_backward_grad_sync = last  # what DDP.no_sync() sets, which must hold in backward too
        return self.module(micro)

    def backward(self, loss: Tensor) -> None:
        """Both engines take the mean over processes where a sum is wanted: the loss makes up for it."""
        (loss if world_size() == 1 else loss * world_size()).backward()


# ---- The whole of what is divided --------------------------------------------------------------------------------


def is_sharded(tensor: Tensor) -> bool:
    """True for a tensor of which each process holds a slice."""
    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor put together, in every process; an ordinary one as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided(tensor: Tensor, like: Tensor) -> Tensor:
    """The inverse of `whole`: `tensor` cut as `like` is, if that is cut and has its shape."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def local_part(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """What this process holds of a sharded tensor, or of a whole one if it were cut as `like` is: a view of it."""
    if isinstance(tensor, DTensor):
        return tensor.to_local()
    if not isinstance(like, DTensor):
        return tensor
    parts = tensor.chunk(world_size())  # FSDP cuts along the first axis, as chunk does: the last parts may be missing
    return parts[rank()] if rank() < len(parts) else tensor[:0]


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict of the whole model. All processes must ask for it; of a sharded model, process 0 alone gets it."""
    if not isinstance(model, FSDPModule):
        return model.state_dict()
    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))


def load_model_state(model: nn.Module, state: Mapping[str, Any]) -> None:
    """The inverse of model_state, in any number of processes, each of which has read `state`."""
    if not isinstance(model, FSDPModule):
        model.load_state_dict(state)
        return
    set_model_state_dict(model, dict(state), options=StateDictOptions(full_state_dict=True, strict=True))
