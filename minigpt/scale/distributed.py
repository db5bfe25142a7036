"""Several processes, one run: torchrun starts them, each does a part of the work, and `sharding` keeps models equal.

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
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from minigpt.runs.errors import UserError

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

Item = TypeVar("Item")

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


def forget_at_the_end(mesh: "DeviceMesh") -> None:
    """Registers the mesh of a sharded model, which has to be emptied before the group ends."""
    _meshes.append(mesh)


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
