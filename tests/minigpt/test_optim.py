"""The schedule against torch's schedulers and closed-form points, AdamW against torch's and the paper's algorithm, Muon
against one matrix at a time; the oracles in float64."""

import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, SequentialLR

from minigpt.model import GPT, GPTConfig
from minigpt.optim import (
    Muon,
    Optimizer,
    OptimizerConfig,
    block_matrices,
    lr_factor,
    newton_schulz,
    newton_schulz_by_gram,
    orthogonalised,
)
from minigpt.runs.errors import UserError

TINY = GPTConfig(vocab_size=11, context=8, layers=2, heads=2, channels=8)


def tiny_gpt(**changes):
    return GPT(GPTConfig(**{**TINY.__dict__, **changes}), seed=1)


def fill_gradients(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


# ---- Schedule ----


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("cosine", 0, 0.1),
        ("cosine", 9, 1.0),
        ("cosine", 10, 1.0),
        ("cosine", 60, 0.2 + 0.8 * 0.5),
        ("cosine", 35, 0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2),
        ("linear", 4, 0.5),
        ("linear", 60, 0.6),
        ("linear", 85, 0.4),
        ("constant", 0, 0.1),
        ("constant", 10, 1.0),
        ("constant", 109, 1.0),
    ],
)
def test_schedule_at_known_points(schedule, step, expected):
    config = OptimizerConfig(warmup_steps=10, schedule=schedule, final_lr_fraction=0.2)
    assert lr_factor(step, 110, config) == pytest.approx(expected), f"{schedule} at step {step}: off by one in warm-up?"


def torch_factors(schedule, warmup, steps, final):
    """The same schedule put together from torch's own schedulers: a linear rise, then what falls."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    falling = {
        "cosine": lambda: CosineAnnealingLR(optimizer, T_max=steps - warmup, eta_min=final),
        "linear": lambda: LinearLR(optimizer, 1.0, final, total_iters=steps - warmup),
        "constant": lambda: ConstantLR(optimizer, factor=1.0),
    }[schedule]
    if warmup:
        # from 1/warmup at step 0 to 1 at step warmup − 1
        rising = LinearLR(optimizer, 1 / warmup, 1.0, total_iters=warmup - 1)
        scheduler = SequentialLR(optimizer, [rising, falling()], milestones=[warmup])
    else:
        scheduler = falling()
    factors = []
    for _ in range(steps):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return factors


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize(("warmup", "steps"), [(0, 30), (2, 9), (10, 110), (20, 300)])
@pytest.mark.parametrize("final", [0.0, 0.1, 0.5])
def test_schedule_is_that_of_torchs_schedulers(schedule, warmup, steps, final):
    config = OptimizerConfig(warmup_steps=warmup, schedule=schedule, final_lr_fraction=final)
    ours = [lr_factor(step, steps, config) for step in range(steps)]
    assert ours == pytest.approx(torch_factors(schedule, warmup, steps, final), abs=1e-6), "off by one step?"


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_schedule_rises_to_one_then_falls_to_its_end(schedule):
    config = OptimizerConfig(warmup_steps=7, schedule=schedule, final_lr_fraction=0.1)
    factors = [lr_factor(step, 50, config) for step in range(50)]
    assert factors[0] > 0, "a first step with learning rate 0 is wasted"
    assert factors[:7] == sorted(factors[:7])
    assert factors[6:] == sorted(factors[6:], reverse=True)
    assert max(factors) == 1
    assert 0.1 < factors[-1] < 0.13


def test_schedule_with_fewer_steps_than_warmup_still_works():
    assert lr_factor(0, 1, OptimizerConfig(warmup_steps=20)) == pytest.approx(1 / 20)
    assert lr_factor(0, 1, OptimizerConfig(warmup_steps=0)) == 1


def test_negative_settings_are_refused_by_name():
    with pytest.raises(UserError, match="--learning-rate"):
        OptimizerConfig(learning_rate=-1)
    with pytest.raises(UserError, match="--final-lr-fraction"):
        OptimizerConfig(final_lr_fraction=1.5)


# ---- Newton–Schulz ----


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 32), (2, 32, 8), (1, 1, 5)])
def test_newton_schulz_makes_all_singular_values_about_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = newton_schulz(matrices)
    singular = torch.linalg.svdvals(result)
    assert result.shape == matrices.shape
    assert singular.min() > 0.6, f"singular values {singular}: too few iterations, or the Gram matrix of the wrong side"
    assert singular.max() < 1.3, f"singular values {singular}: not normalised before the first iteration?"


def test_newton_schulz_keeps_the_singular_vectors():
    # For G = U S Vᵀ the result must be U p(S) Vᵀ, so Uᵀ (result) V is diagonal.
    G = torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    U, _, Vh = torch.linalg.svd(G[0], full_matrices=False)
    core = U.T @ newton_schulz(G)[0] @ Vh.T
    torch.testing.assert_close(core, torch.diag(core.diagonal()), rtol=0, atol=1e-6)


def test_newton_schulz_does_not_care_about_the_size_of_the_gradient():
    G = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(newton_schulz(G), newton_schulz(1000 * G), rtol=1e-4, atol=1e-4)
    assert newton_schulz(torch.zeros(1, 4, 4)).eq(0).all(), "a zero gradient must not become NaN"


@pytest.mark.parametrize("shape", [(2, 8, 32), (2, 32, 8), (3, 16, 16), (1, 1, 5)])
def test_newton_schulz_by_the_gram_matrix_is_newton_schulz(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    by_gram = newton_schulz_by_gram(matrices)
    torch.testing.assert_close(
        by_gram, newton_schulz(matrices), rtol=0, atol=1e-11, msg=lambda m: f"{m}\nP from the wrong side, or A is stale"
    )


def test_by_the_gram_matrix_float32_is_right_to_a_thousandth():
    # The Gram matrix squares the singular values: one of 1e-4 is 1e-8 there, which float32 cannot add to 1.
    G = torch.randn(2, 128, 512, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    U, _, Vh = torch.linalg.svd(G, full_matrices=False)
    G = U * torch.logspace(0, -8, 128, dtype=torch.float64) @ Vh  # [2,128,512]
    error = torch.linalg.matrix_norm(newton_schulz_by_gram(G.float()).double() - newton_schulz(G), ord=2)
    assert error.max() < 1e-3, f"{error}: more than a thousandth of an update whose singular values are about 1"


def test_wide_and_tall_matrices_take_the_cheaper_way(monkeypatch):
    monkeypatch.setattr("minigpt.optim.newton_schulz_by_gram", lambda matrices: "by gram")
    shapes = {(8, 16): True, (16, 8): True, (8, 8): False, (8, 15): False}
    taken = {(r, c): isinstance(orthogonalised(torch.ones(1, r, c)), str) for r, c in shapes}
    assert taken == shapes


# ---- Muon ----


def reference_orthogonalise(G):
    """Newton–Schulz as Jordan writes it, for one matrix."""
    a, b, c = 3.4445, -4.7750, 2.0315
    X = G / (G.norm() + 1e-7)
    transposed = G.shape[0] > G.shape[1]
    if transposed:
        X = X.T
    for _ in range(5):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if transposed else X


def reference_muon(weight, gradients, lr, decay):
    """Muon for one matrix in float64, without batching."""
    W, M = weight.double().clone(), torch.zeros_like(weight, dtype=torch.float64)
    for gradient in gradients:
        G = gradient.double()
        M = 0.95 * M + G
        W = W - lr * decay * W - lr * max(1, W.shape[0] / W.shape[1]) ** 0.5 * reference_orthogonalise(G + 0.95 * M)
    return W


def test_muon_equals_one_matrix_at_a_time_in_double_precision():
    model = tiny_gpt()
    matrices = block_matrices(model)
    before = {n: p.detach().clone() for n, p, _ in matrices}
    gradients = {n: [] for n, _, _ in matrices}
    muon = Muon(matrices, weight_decay=0.1)
    for step in range(3):
        fill_gradients(model, seed=step)
        for n, p, _ in matrices:
            gradients[n].append(p.grad.clone())
        muon.step(0.02)
    for n, p, _ in matrices:
        # q, k and v are three matrices: the oracle takes the fused weight apart by hand.
        parts = 3 if "qkv" in n else 1
        expected = torch.cat(
            [
                reference_muon(w, [g.chunk(parts)[i] for g in gradients[n]], 0.02, 0.1)
                for i, w in enumerate(before[n].chunk(parts))
            ]
        )
        torch.testing.assert_close(p.double(), expected, rtol=0, atol=1e-5, msg=lambda m, n=n: f"{n}: {m}")


def test_rows_of_the_fused_weight_are_query_then_key_then_value():
    # Muon cuts qkv into three equal row blocks; this is right only as long as the model reads them in that order.
    model = tiny_gpt()
    attention = model.blocks[0].attention
    mixed = []
    attention.projection.register_forward_pre_hook(lambda module, inputs: mixed.append(inputs[0]))
    with torch.no_grad():
        attention.qkv.weight[16:].zero_()  # rows 2C..3C
    model(torch.tensor([[1, 2, 3]]))
    assert mixed[0].eq(0).all(), "the last third of the rows of qkv.weight is not the value matrix"


# ---- Groups and the common interface ----


class Scorer(nn.Module):
    """A trunk with a head, like a reward model."""

    def __init__(self):
        super().__init__()
        self.trunk = tiny_gpt(bias=True, norm="layernorm", tied_embeddings=False, position="learned")
        self.head = nn.Linear(8, 1)


def test_which_parameter_goes_where():
    model = Scorer()
    names = {id(p): n for n, p in model.named_parameters()}
    optimizer = Optimizer(model, OptimizerConfig())
    muon = {n for members in optimizer.muon.by_shape.values() for n, _, _ in members}
    decayed, plain = ({names[id(p)] for p in group["params"]} for group in optimizer.adamw.param_groups)
    assert {"trunk.token_embedding.weight", "trunk.unembedding.weight", "head.weight"} < decayed
    assert all(n.startswith("trunk.blocks.") and n.endswith("weight") for n in muon)
    assert len(muon) == 2 * 4, "qkv, projection, up and projection of each of two blocks"
    assert all(n.endswith("bias") or "norm" in n for n in plain), f"a norm gain or bias is decayed: {plain}"
    assert muon | decayed | plain == set(names.values()), "a parameter is trained by nobody"
    assert not muon & (decayed | plain), "a parameter is trained twice"


def test_the_kind_of_a_parameter_does_not_depend_on_its_name():
    """Once it did: a module called qkv was three matrices, and one called blocks a list of them."""

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.Linear(4, 4)  # no list
            self.layers = nn.ModuleList([nn.ModuleDict({"qkv": nn.Linear(4, 6), "fused": nn.Linear(4, 6)})])
            self.layers[0]["fused"].stacked = 3

    found = {matrix.name: matrix.shape for matrix in block_matrices(Named())}
    assert found == {"layers.0.qkv.weight": (1, 6, 4), "layers.0.fused.weight": (3, 2, 4)}


def test_frozen_parameters_are_left_alone():
    model = tiny_gpt()
    model.blocks[0].requires_grad_(False)
    before = model.blocks[0].attention.qkv.weight.clone()
    optimizer = Optimizer(model, OptimizerConfig())
    fill_gradients(model, 0)
    optimizer.step(1.0)
    assert torch.equal(model.blocks[0].attention.qkv.weight, before)


def test_a_matrix_without_a_gradient_is_an_error_that_names_it():
    """Skipped in silence, it would be decayed and never learn."""
    model = tiny_gpt()
    optimizer = Optimizer(model, OptimizerConfig())
    fill_gradients(model, 0)
    model.blocks[1].mlp.up.weight.grad = None
    with pytest.raises(ValueError, match=r"blocks\.1\.mlp\.up\.weight has no gradient"):
        optimizer.step(1.0)


def test_muon_without_a_block_matrix_is_an_error():
    with pytest.raises(ValueError, match="adamw"):
        Optimizer(nn.Linear(3, 2), OptimizerConfig())


def test_adamw_equals_torch_adamw():
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    config = OptimizerConfig(optimizer="adamw", learning_rate=0.01, weight_decay=0.1, betas=(0.8, 0.9), eps=1e-5)
    optimizer = Optimizer(ours, config)
    oracle = torch.optim.AdamW(
        [{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0.0}],
        lr=0.005,
        betas=(0.8, 0.9),
        eps=1e-5,
        fused=False,
    )
    for step in range(4):
        fill_gradients(ours, step)
        fill_gradients(theirs, step)
        optimizer.step(0.5)
        oracle.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(ours.bias, theirs.bias, rtol=1e-5, atol=1e-7)


def reference_adamw(weight, gradients, factors, config, decay):
    """Loshchilov & Hutter 2019, algorithm 2, in float64: decay apart from the gradient, moments without their bias."""
    W, first, second = weight.double().clone(), torch.zeros_like(weight).double(), torch.zeros_like(weight).double()
    (b1, b2), eps = config.betas, config.eps
    for t, (gradient, factor) in enumerate(zip(gradients, factors, strict=True), start=1):
        lr, g = config.learning_rate * factor, gradient.double()
        first, second = b1 * first + (1 - b1) * g, b2 * second + (1 - b2) * g * g
        W = W - lr * decay * W - lr * (first / (1 - b1**t)) / ((second / (1 - b2**t)).sqrt() + eps)
    return W


def test_a_whole_training_with_adamw_is_the_papers_algorithm_in_double_precision():
    """Every parameter of a GPT, with clipping, decay where it belongs, warm-up and a cosine."""
    model = tiny_gpt(bias=True, norm="layernorm")
    config = OptimizerConfig(
        optimizer="adamw",
        learning_rate=0.02,
        betas=(0.8, 0.9),
        eps=1e-6,
        weight_decay=0.2,
        gradient_clip=2.0,
        warmup_steps=3,
    )
    optimizer = Optimizer(model, config)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients = {name: [] for name in before}
    factors = [lr_factor(step, 12, config) for step in range(12)]
    for step, factor in enumerate(factors):
        fill_gradients(model, seed=step)
        norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in model.parameters()))
        assert norm > 2.0, "nothing is clipped"
        for name, p in model.named_parameters():
            gradients[name].append(p.grad.double() * 2.0 / norm)
        assert optimizer.clip_gradients() == pytest.approx(norm, rel=1e-5)
        optimizer.step(factor)
    for name, p in model.named_parameters():
        decay = 0.2 if p.ndim >= 2 else 0.0
        expected = reference_adamw(before[name], gradients[name], factors, config, decay)
        torch.testing.assert_close(p.double(), expected, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_gradients_are_clipped_as_one_vector():
    model = nn.Linear(2, 1, bias=True)
    optimizer = Optimizer(model, OptimizerConfig(optimizer="adamw", gradient_clip=1.0))
    model.weight.grad, model.bias.grad = torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])
    assert optimizer.clip_gradients() == pytest.approx(5.0)
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.6, 0.0]]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.bias.grad, torch.tensor([0.8]), rtol=1e-5, atol=1e-5)
    unclipped = Optimizer(model, OptimizerConfig(optimizer="adamw", gradient_clip=0.0))
    model.bias.grad = torch.tensor([40.0])
    unclipped.clip_gradients()
    assert model.bias.grad.item() == 40.0


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_state_survives_save_and_load_bit_for_bit(name, tmp_path):
    config = OptimizerConfig(optimizer=name)
    whole, resumed = tiny_gpt(), tiny_gpt()
    optimizer = Optimizer(whole, config)
    for step in range(2):
        fill_gradients(whole, step)
        optimizer.step(1.0)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    resumed.load_state_dict(whole.state_dict())
    again = Optimizer(resumed, config)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for model, opt in ((whole, optimizer), (resumed, again)):
        fill_gradients(model, 7)
        opt.step(0.5)
    for (n, a), b in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b), f"{n}: part of the optimiser's state was lost"


def test_state_of_another_model_is_refused():
    small, large = Optimizer(tiny_gpt(), OptimizerConfig()), Optimizer(tiny_gpt(channels=16), OptimizerConfig())
    with pytest.raises(ValueError, match="8x8"):
        large.load_state_dict(small.state_dict())
