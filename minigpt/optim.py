"""The optimiser: Muon for the matrices inside the blocks, AdamW for everything else, and one learning-rate schedule.

Why two. A weight matrix of a block maps vectors to vectors, so its natural size is its spectral norm: how much it can
stretch a vector. Muon takes the momentum matrix and sets all of its singular values to about 1, so that every
direction learns equally fast, the rare ones too. An embedding is a table of independent rows and a norm's gain a
vector: they are no maps between vectors, and AdamW trains them. Keller Jordan, "Muon: an optimizer for hidden layers
in neural networks", 2024 (kellerjordan.github.io/posts/muon).

The optimiser of each parameter, for any module that contains a GPT (a reward or value model too):

    2-D weights in a list of modules, which are the blocks  Muon     decayed
    other weights of 2 or more dimensions (embeddings,      AdamW    decayed
        the unembedding, a reward head)
    vectors (norm gains, biases)                            AdamW    not decayed: a gain has no reason to be 0
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from minigpt.runs.config import Settings, option
from minigpt.scale.distributed import all_reduce_sum, rank, world_size
from minigpt.scale.sharding import divided, full_tensor, is_sharded, local_part

# Quintic chosen by Jordan (2024) for speed at 0: it lifts singular values as small as 0.01 to within about [0.7, 1.2]
# in five iterations. It does not converge to 1, and Muon does not need it to.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_ITERATIONS = 5
MUON_MOMENTUM = 0.95


@dataclass(frozen=True)
class OptimizerConfig(Settings):
    """Settings of the optimiser. Training configs inherit from it; PPO's config has one as a field."""

    optimizer: str = option(
        "muon", "muon: Muon for block matrices and AdamW for the rest; adamw: AdamW for all", choices=("muon", "adamw")
    )
    learning_rate: float = option(3e-3, "peak learning rate of AdamW", low=0)
    matrix_learning_rate: float = option(
        0.02, "peak learning rate of Muon, about the spectral norm of one update", low=0
    )
    weight_decay: float = option(0.1, "decoupled weight decay of everything with two or more dimensions", low=0)
    betas: tuple[float, float] = option((0.9, 0.95), "decay rates of AdamW's two moments", low=0, below=1)
    eps: float = option(1e-8, "AdamW's guard against division by zero", low=0)
    gradient_clip: float = option(1.0, "largest norm of the whole gradient; 0 never clips", low=0)
    warmup_steps: int = option(20, "steps over which the learning rate rises linearly to its peak", low=0)
    schedule: str = option("cosine", "how the learning rate falls afterwards", choices=("cosine", "linear", "constant"))
    final_lr_fraction: float = option(0.1, "learning rate at the end, as a fraction of its peak", low=0, high=1)
    shard: bool = option(
        False,
        "under torchrun: each process keeps a slice of every weight and of its optimiser's "
        "state (FSDP2) instead of all of them (DDP)",
    )
    compile: str = option(
        "auto",
        "torch.compile of the blocks in training; auto compiles on cuda, where Triton is installed",
        choices=("auto", "on", "off"),
    )


def lr_factor(step: int, steps: int, config: OptimizerConfig) -> float:
    """The factor of both peak learning rates at `step`, 0 ≤ step < steps.

    Warm-up: (step + 1)/warmup_steps, so that not even the first step is wasted at 0. Afterwards, with progress p from
    0 to 1 and f = final_lr_fraction: cosine f + (1 − f)(1 + cos πp)/2 (SGDR, arXiv 1608.03983, section 3), linear
    1 − (1 − f)p, or constant 1.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    f = config.final_lr_fraction
    if config.schedule == "cosine":
        return f + (1 - f) * (1 + math.cos(math.pi * progress)) / 2
    if config.schedule == "linear":
        return 1 - (1 - f) * progress
    return 1.0


class Matrix(NamedTuple):
    """A 2-D weight [stacked · r, c] that holds `stacked` matrices [r, c], one on top of the other."""

    name: str
    parameter: nn.Parameter
    stacked: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(stacked, r, c)."""
        rows, columns = self.parameter.shape
        return self.stacked, rows // self.stacked, columns


def block_matrices(model: nn.Module) -> list[Matrix]:
    """The trainable 2-D weights of the modules inside an nn.ModuleList, which is how a model holds its blocks.

    A module whose weight is several matrices says so by an attribute `stacked`, as Attention.qkv does.
    """
    found: dict[str, Matrix] = {}
    for list_name, blocks in model.named_modules():
        if not isinstance(blocks, nn.ModuleList):
            continue
        for name, module in blocks.named_modules(prefix=list_name):
            for own, parameter in module.named_parameters(recurse=False):
                if parameter.ndim == 2 and parameter.requires_grad:
                    found[f"{name}.{own}"] = Matrix(f"{name}.{own}", parameter, getattr(module, "stacked", 1))
    return list(found.values())


def newton_schulz(matrices: Tensor) -> Tensor:
    """Replace each of M matrices U S Vᵀ, `matrices` [M,r,c], by about U Vᵀ [M,r,c], without computing the SVD.

    Each iteration applies the odd polynomial p(s) = as + bs³ + cs⁵ to all singular values, with matrix products only
    (Jordan 2024). M matrices are one batched product, which on a CPU beats M small ones. In float32: bfloat16, the
    usual choice on GPUs, is slower than float32 on most CPUs.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.size(1) > matrices.size(2)
    X = matrices.mT if tall else matrices  # [M,m,n], m ≤ n, so that the Gram matrix X Xᵀ is the small one
    # The polynomial needs singular values of at most 1; the Frobenius norm is an upper bound of the largest.
    X = X / (torch.linalg.matrix_norm(X, keepdim=True) + 1e-7)  # [M,m,n]
    for _ in range(NEWTON_SCHULZ_ITERATIONS):
        A = X @ X.mT  # [M,m,m]
        B = torch.baddbmm(A, A, A, beta=b, alpha=c)  # [M,m,m] = b·A + c·A²
        X = torch.baddbmm(X, B, X, beta=a)  # [M,m,n] = a·X + B·X
    return X.mT if tall else X


def newton_schulz_by_gram(matrices: Tensor) -> Tensor:
    """newton_schulz for matrices that are far from square, M of them [M,r,c], with half of the arithmetic.

    An iteration multiplies from the left, X ← P X with P = aI + bA + cA² [m,m], and what P is made of, the Gram matrix
    A = X Xᵀ, is updated as A ← P A P. So the wide X takes part in the first and the last product only, and all others
    are of m × m: X₅ = P₅ P₄ P₃ P₂ P₁ X₀. The cost is rounding, as A holds the squares of the singular values: where
    those span eight decades, float32 is off by 5e-4 of the spectral norm instead of 1e-5, while the iteration leaves
    singular values anywhere between 0.7 and 1.2. For our 128 × 512 it takes 0.55 of the time.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.size(1) > matrices.size(2)
    X = matrices.mT if tall else matrices  # [M,m,n]
    X = X / (torch.linalg.matrix_norm(X, keepdim=True) + 1e-7)  # [M,m,n]
    A = X @ X.mT  # [M,m,m]
    product = None
    for iteration in range(NEWTON_SCHULZ_ITERATIONS):
        P = torch.baddbmm(A, A, A, beta=b, alpha=c)  # [M,m,m] = b·A + c·A²
        P.diagonal(dim1=1, dim2=2).add_(a)
        product = P if product is None else P @ product  # [M,m,m]
        if iteration + 1 < NEWTON_SCHULZ_ITERATIONS:
            A = P @ A @ P  # [M,m,m]
    X = product @ X  # [M,m,n]
    return X.mT if tall else X


def orthogonalised(matrices: Tensor) -> Tensor:
    """Each of M matrices U S Vᵀ [M,r,c] replaced by about U Vᵀ, in the cheaper of two ways.

    On a GPU always by newton_schulz: products there may be TF32 (precision.set_precision), which rounds the small
    squares in the Gram matrix away. Where singular values span two to six decades, that way is off by 0.6 to 1.5 of the
    spectral norm.
    """
    by_gram = goes_by_gram(*matrices.shape[1:], matrices.device.type)
    return newton_schulz_by_gram(matrices) if by_gram else newton_schulz(matrices)


def goes_by_gram(rows: int, columns: int, device: str) -> bool:
    """True if matrices of this shape are orthogonalised by their Gram matrix: far from square, and on a CPU."""
    return max(rows, columns) >= 2 * min(rows, columns) and device == "cpu"


class Muon:
    """Momentum, orthogonalised. Weights of one shape are stacked and updated together.

    One step, for each matrix W [r, c] with gradient G:  M ← μM + G;  U = orthogonalised(G + μM), Nesterov's look-ahead;
    W ← (1 − lr·decay)·W − lr·√max(1, r/c)·U. The factor is Jordan's: a U with orthonormal columns keeps the length of
    a vector but spreads it over r numbers instead of c, so the RMS of its output is √(c/r) times that of its input, and
    the factor makes up for it. Another common one, 0.2·√max(r, c) (Liu et al., arXiv 2502.16982, section 2.2), gives
    an update the RMS that AdamW's has; for 128 × 128 it is 2.3, so there our 0.02 does what 0.009 does with theirs.

    A fused query-key-value weight [3C, C] is three matrices that are stored together. Orthogonalised as one, the three
    would have to share C directions, so each is orthogonalised by itself: a view [3, C, C] needs no copy.

    In a sharded model (scale/sharding.py) no process holds a full matrix, and a slice of a matrix has other singular
    values. So the M matrices of a shape are divided among the processes: each keeps the momentum of its own matrices,
    orthogonalises them, and sends them to the others.
    """

    def __init__(self, matrices: Sequence[Matrix], weight_decay: float) -> None:
        self.weight_decay = weight_decay
        self.by_shape: dict[tuple[int, int], list[Matrix]] = {}
        for matrix in matrices:
            self.by_shape.setdefault(matrix.shape[1:], []).append(matrix)
        self.sharded = any(is_sharded(matrix.parameter) for matrix in matrices)
        self.mine = slice(rank(), None, world_size()) if self.sharded else slice(None)  # of the M matrices of a shape
        self.momentum = {shape: self._zeros(shape)[self.mine].clone() for shape in self.by_shape}  # [M,r,c], or fewer

    def _zeros(self, shape: tuple[int, int]) -> Tensor:
        members = self.by_shape[shape]
        count, like = sum(matrix.stacked for matrix in members), members[0].parameter
        return torch.zeros(count, *shape, device=like.device, dtype=like.dtype)  # [M,r,c]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        for shape, members in self.by_shape.items():
            gradients = [full_tensor(gradient_of(matrix)).view(matrix.shape) for matrix in members]
            gradient = torch.cat(gradients)[self.mine]  # [M,r,c], or fewer
            momentum = self.momentum[shape].mul_(MUON_MOMENTUM).add_(gradient)  # [M,r,c], or fewer
            update = self._together(shape, orthogonalised(gradient.add(momentum, alpha=MUON_MOMENTUM)))  # [M,r,c]
            size = learning_rate * math.sqrt(max(1, shape[0] / shape[1]))
            changes = update.split([matrix.stacked for matrix in members])
            for (_, parameter, _), change in zip(members, changes, strict=True):
                weight, change = local_part(parameter), local_part(change.reshape(parameter.shape), like=parameter)
                weight.mul_(1 - learning_rate * self.weight_decay).add_(change, alpha=-size)

    def _together(self, shape: tuple[int, int], mine: Tensor) -> Tensor:
        """The matrices of all processes [M,r,c], from those of this one."""
        if not self.sharded:
            return mine
        matrices = self._zeros(shape)  # [M,r,c]
        matrices[self.mine] = mine
        return all_reduce_sum(matrices)

    def state_dict(self) -> dict[str, Tensor]:
        """The full momentum [M,r,c] of each shape, "rxc". All processes must call it."""
        return {f"{r}x{c}": self._together((r, c), momentum) for (r, c), momentum in self.momentum.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Raises ValueError if the state belongs to a model of other shapes."""
        shapes = {f"{r}x{c}": tuple(self._zeros((r, c)).shape) for r, c in self.by_shape}
        found = {name: tuple(momentum.shape) for name, momentum in state.items()}
        if found != shapes:
            raise ValueError(f"optimiser state for matrices {found}, but the model has {shapes}")
        for (r, c), momentum in self.momentum.items():
            momentum.copy_(state[f"{r}x{c}"][self.mine])


def gradient_of(matrix: Matrix) -> Tensor:
    """Raises ValueError if there is none."""
    if matrix.parameter.grad is None:
        raise ValueError(f"Muon: {matrix.name} has no gradient: call requires_grad_(False) on what is not trained")
    return matrix.parameter.grad


class Optimizer:
    """Muon and AdamW behind one step(), zero_grad(), state_dict() and load_state_dict()."""

    def __init__(self, model: nn.Module, config: OptimizerConfig) -> None:
        self.config = config
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        matrices = block_matrices(model) if config.optimizer == "muon" else []
        taken = {id(matrix.parameter) for matrix in matrices}
        rest = [parameter for parameter in self.parameters if id(parameter) not in taken]
        if config.optimizer == "muon" and not matrices:
            raise ValueError("optimizer='muon' found no 2-D weight inside a list of modules: use 'adamw'")
        self.muon = Muon(matrices, config.weight_decay)
        groups = [
            {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ]
        # fused: one kernel for all tensors; a Python loop over many small tensors costs more than their arithmetic.
        self.adamw = torch.optim.AdamW(groups, config.learning_rate, betas=config.betas, eps=config.eps, fused=True)

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def clip_gradients(self) -> float:
        """Scale the whole gradient down to norm `gradient_clip` if it is longer. Returns its norm before that."""
        limit = self.config.gradient_clip or math.inf
        return full_tensor(nn.utils.clip_grad_norm_(self.parameters, limit)).item()

    def step(self, factor: float) -> None:
        """One update with both peak learning rates multiplied by `factor`, see lr_factor."""
        for group in self.adamw.param_groups:
            group["lr"] = self.config.learning_rate * factor
        self.adamw.step()
        self.muon.step(self.config.matrix_learning_rate * factor)

    def state_dict(self) -> dict[str, Any]:
        """Full tensors, also of a sharded model. All processes must call it."""
        adamw = self.adamw.state_dict()
        moments = {
            index: {name: full_tensor(value) for name, value in saved.items()}
            for index, saved in adamw["state"].items()
        }
        return {"adamw": {**adamw, "state": moments}, "muon": self.muon.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError if the state belongs to a model of other shapes."""
        self.muon.load_state_dict(state["muon"])
        parameters = [parameter for group in self.adamw.param_groups for parameter in group["params"]]
        moments = {
            index: {name: divided(value, like=parameters[index]) for name, value in saved.items()}
            for index, saved in state["adamw"]["state"].items()
        }
        self.adamw.load_state_dict({**state["adamw"], "state": moments})
