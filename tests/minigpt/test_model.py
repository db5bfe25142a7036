"""The model sees only the past, ignores padding, and gives the same numbers with the cache as without it."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from minigpt.attention import Layout, attention_loops, causal_layout, packed_layout, padded_layout
from minigpt.model import GPT, MLPS, NORMS, POSITIONS, GPTConfig, token_logprobs
from minigpt.positions import rotate, sinusoidal_table
from minigpt.runs.errors import UserError

TINY = GPTConfig(vocab_size=23, context=16, layers=2, heads=2, channels=8)


def restless_model(position: str = "rotary", **changes: object) -> GPT:
    """A tiny model with weights large enough that every path through it matters."""
    model = GPT(replace(TINY, position=position, **changes), seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(15.0)
    return model.eval()


def random_ids(batch: int, tokens: int, seed: int = 0) -> Tensor:
    return torch.randint(TINY.vocab_size, (batch, tokens), generator=torch.Generator().manual_seed(seed))


# ---- Causality, positions, padding -------------------------------------------------------------------------------


@pytest.mark.parametrize("position", POSITIONS)
def test_a_token_does_not_see_the_future(position: str) -> None:
    model, ids = restless_model(position), random_ids(1, 8)
    before = model(ids)
    for j in range(8):
        changed = ids.clone()
        changed[0, j] = (ids[0, j] + 1) % TINY.vocab_size
        after = model(changed)
        assert_close(after[:, :j], before[:, :j], rtol=0, atol=1e-6, msg=f"token {j} leaks into the past")
        assert not torch.allclose(after[:, j:], before[:, j:], atol=1e-3), f"token {j} is ignored altogether"


@pytest.mark.parametrize("position", POSITIONS)
def test_the_order_of_tokens_matters(position: str) -> None:
    """Without positions, exchanging two earlier tokens would leave the last row of a one-layer model alone."""
    model = restless_model(position, layers=1)
    ids = torch.tensor([[3, 5, 7]])
    swapped = torch.tensor([[5, 3, 7]])
    assert not torch.allclose(model(ids)[0, -1], model(swapped)[0, -1], atol=1e-3)


def padded(rows: list[Tensor], columns: int, side: str, garbage: int) -> tuple[Tensor, Tensor]:
    ids = torch.full((len(rows), columns), garbage)
    mask = torch.zeros(len(rows), columns, dtype=torch.bool)
    for b, row in enumerate(rows):
        where = slice(0, len(row)) if side == "right" else slice(columns - len(row), columns)
        ids[b, where] = row
        mask[b, where] = True
    return ids, mask


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("extra", "garbage"), [(0, 0), (4, 22)])
def test_padding_and_neighbours_change_nothing(position: str, side: str, extra: int, garbage: int) -> None:
    model = restless_model(position)
    rows = [random_ids(1, length, seed=length)[0] for length in (3, 8, 1, 6)]
    ids, mask = padded(rows, 8 + extra, side, garbage)
    together = model(ids, padded_layout(mask))
    for b, row in enumerate(rows):
        message = f"{position}: row {b} depends on {side} padding; are positions counted from the mask?"
        assert_close(together[b][mask[b]], model(row[None])[0], rtol=1e-4, atol=1e-5, msg=message)


@pytest.mark.parametrize("position", POSITIONS)
def test_right_padding_needs_no_mask(position: str) -> None:
    model = restless_model(position)
    rows = [random_ids(1, length, seed=length)[0] for length in (3, 8)]
    ids, mask = padded(rows, 8, "right", garbage=9)
    assert_close(model(ids)[mask], model(ids, padded_layout(mask))[mask], rtol=1e-4, atol=1e-5)


def test_a_padded_batch_has_finite_gradients() -> None:
    model = restless_model()
    ids, mask = padded([random_ids(1, 2)[0], random_ids(1, 8)[0]], 8, "left", garbage=0)
    model(ids, padded_layout(mask))[mask].logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), f"{name}: a query without keys made NaN"


def test_positions_are_those_of_the_layout() -> None:
    model, ids = restless_model("learned"), random_ids(2, 4)
    moved = model(ids, Layout(torch.tensor([[0, 1, 2, 3], [5, 6, 7, 8]]), None))
    assert_close(moved[0], model(ids)[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(moved[1], model(ids)[1], atol=1e-3)


# ---- The cache: the same numbers, sooner -------------------------------------------------------------------------


def assert_decodes_like_full_forward(model: GPT, rows: list[Tensor], prompt_lengths: list[int], copies: int) -> None:
    """Prefill ragged prompts, copy them, decode token by token, drop rows on the way; compare all logits."""
    full = [model(row[None])[0] for row in rows]  # the oracle: [T,V] each, no cache, no padding
    ids, mask = padded([row[:n] for row, n in zip(rows, prompt_lengths, strict=True)], max(prompt_lengths), "right", 7)
    prompts = model.new_cache(len(rows), ids.shape[1])
    logits = model(ids, prompts.begin(ids.shape[1], mask), prompts)
    for b, n in enumerate(prompt_lengths):
        assert_close(logits[b, :n], full[b][:n], rtol=1e-4, atol=1e-5, msg=f"prefill of row {b} differs")
    cache = model.new_cache(len(rows) * copies, model.config.context)
    for copy in range(copies):
        cache.put(torch.arange(len(rows)) * copies + copy, prompts)
    live = [(b, n) for b, n in enumerate(prompt_lengths) for _ in range(copies)]  # (row, next position)
    while live:
        unfinished = [i for i, (b, n) in enumerate(live) if n < len(rows[b])]
        if len(unfinished) < len(live):
            if not unfinished:
                break
            cache.keep(torch.tensor(unfinished))
            live = [live[i] for i in unfinished]
        tokens = torch.stack([rows[b][n] for b, n in live])[:, None]
        logits = model(tokens, cache=cache)[:, 0]
        for i, (b, n) in enumerate(live):
            assert_close(logits[i], full[b][n], rtol=1e-4, atol=1e-5, msg=f"row {b}, position {n} differs")
        live = [(b, n + 1) for b, n in live]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("copies", [1, 3])
@torch.no_grad()
def test_cached_logits_equal_full_logits(position: str, copies: int) -> None:
    rows = [random_ids(1, length, seed=length)[0] for length in (9, 16, 6, 12)]
    assert_decodes_like_full_forward(restless_model(position), rows, [4, 7, 5, 1], copies)


@pytest.mark.parametrize("position", POSITIONS)
@torch.no_grad()
def test_several_tokens_may_be_added_to_a_full_cache(position: str) -> None:
    """A second turn of a chat: ragged again, on top of a ragged past."""
    model = restless_model(position)
    first, second = [random_ids(1, n, seed=n)[0] for n in (3, 5)], [random_ids(1, n, seed=n + 9)[0] for n in (4, 2)]
    cache = model.new_cache(2, 16)
    ids, mask = padded(first, 5, "right", 1)
    model.hidden(ids, cache.begin(5, mask), cache)
    ids, mask = padded(second, 4, "right", 1)
    logits = model(ids, cache.begin(4, mask), cache)
    for b in range(2):
        expected = model(torch.cat((first[b], second[b]))[None])[0, len(first[b]) :]
        assert_close(logits[b][mask[b]], expected, rtol=1e-4, atol=1e-5)
    assert cache.lengths.tolist() == [7, 7]


@torch.no_grad()
def test_a_cache_refuses_left_padding_and_the_layout_of_another() -> None:
    model, ids = restless_model(), random_ids(1, 2)
    with pytest.raises(ValueError, match="right"):
        model.new_cache(1, 4).begin(2, torch.tensor([[False, True]]))
    for layout in (causal_layout(ids), model.new_cache(1, 4).begin(2)):
        with pytest.raises(ValueError, match="begin"):
            model.hidden(ids, layout, model.new_cache(1, 4))


# ---- `at`: the outputs at some positions ---------------------------------------------------------------------------

AT = torch.tensor([[1, 0, 0, 1, 0, 0, 0, 0, 1], [0] * 9, [0, 0, 1, 0, 0, 1, 0, 0, 0]], dtype=torch.bool)  # [3,9]
COLUMN = torch.arange(9)
LAYOUTS = {
    "plain": None,
    "padding on the left": padded_layout(torch.tensor([[0], [3], [0]]) <= COLUMN),
    "packed": packed_layout(COLUMN.expand(3, 9) // torch.tensor([[4], [9], [2]])),
}


def assert_same_value_and_gradients(model: GPT, found: Tensor, expected: Tensor, hint: str) -> None:
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(3))
    assert_close(found, expected, rtol=1e-4, atol=1e-5, msg=lambda text: f"{hint}\n{text}")
    parameters = dict(model.named_parameters())
    gradients = [torch.autograd.grad((x * weights).sum(), list(parameters.values())) for x in (found, expected)]
    for name, f, e in zip(parameters, *gradients, strict=True):
        assert_close(f, e, rtol=1e-4, atol=1e-4, msg=lambda text, name=name: f"{name}: {hint}\n{text}")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("layers", [1, 3])
def test_the_output_at_some_positions_is_the_whole_output_indexed_with_its_gradients(layout: str, layers: int) -> None:
    model, ids = restless_model(layers=layers), random_ids(3, 9)
    found, whole = model(ids, LAYOUTS[layout], at=AT), model(ids, LAYOUTS[layout])
    assert_same_value_and_gradients(model, found, whole[AT], "other tokens than x[at], or in another order?")


def test_at_is_a_boolean_mask_of_the_shape_of_ids() -> None:
    """Zeros and ones as integers would be row numbers, and silently another result."""
    model, ids = restless_model(), random_ids(3, 9)
    for at in (AT.long(), AT[:2], AT.nonzero()):
        with pytest.raises(ValueError, match=r"torch.bool \[3, 9\]"):
            model(ids, at=at)


@torch.no_grad()
def test_tokens_outside_of_at_leave_their_keys_and_values_in_the_cache() -> None:
    model, ids = restless_model(), random_ids(3, 9)
    whole, part = model.new_cache(3, 10), model.new_cache(3, 10)
    model.hidden(ids, cache=whole)
    model.hidden(ids, cache=part, at=AT)
    assert_close(part.keys, whole.keys, rtol=0, atol=0)
    assert_close(part.values, whole.values, rtol=0, atol=0)
    assert part.lengths.tolist() == whole.lengths.tolist()


def test_tokens_outside_of_at_cost_no_products_in_the_last_mlp() -> None:
    """Of the 12·C² multiplications of a block and token, 8·C² are its MLP."""
    model, ids = GPT(TINY), random_ids(3, 9)
    counts = []
    for at in (None, AT):
        with FlopCounterMode(display=False) as counted:
            model.hidden(ids, causal_layout(ids), at=at)  # padded rows: flat tokens are fewer in all blocks
        counts.append(counted.get_total_flops())
    assert counts[0] - counts[1] == 2 * 8 * TINY.channels**2 * (3 * 9 - 5), "the last MLP computes what is not returned"


# ---- Layouts against their definition ------------------------------------------------------------------------------


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("seed", range(3))
def test_a_padded_layout_is_each_row_without_its_padding(position: str, seed: int) -> None:
    """Padding anywhere: the output at real tokens, and its gradients, are those of the row of real tokens alone."""
    model, ids = restless_model(position), random_ids(4, 9, seed)
    real = torch.rand(4, 9, generator=torch.Generator().manual_seed(seed)) < 0.6  # [B,T]
    alone = torch.cat([model(row[mask][None])[0] for row, mask in zip(ids, real, strict=True) if mask.any()])
    found = model(ids, padded_layout(real), at=real)
    assert_same_value_and_gradients(model, found, alone, "positions count padding, or padding is attended to")


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("seed", range(3))
def test_a_packed_layout_is_each_document_in_a_row_of_its_own(position: str, seed: int) -> None:
    model, ids = restless_model(position), random_ids(2, 9, seed)
    starts = torch.rand(2, 9, generator=torch.Generator().manual_seed(seed)) < 0.4
    documents = starts.long().cumsum(dim=1)  # [B,T]
    pieces = [ids[b][documents[b] == number] for b in range(2) for number in documents[b].unique()]
    alone = torch.cat([model(piece[None])[0] for piece in pieces])
    found = model(ids, packed_layout(documents)).flatten(0, 1)
    assert_same_value_and_gradients(model, found, alone, "documents see each other, or positions do not begin at 0")


@pytest.mark.parametrize("position", POSITIONS)
def test_a_causal_layout_is_a_padded_one_without_padding_and_a_packed_one_of_one_document(position: str) -> None:
    model, ids = restless_model(position), random_ids(2, 9)
    expected = model(ids)
    one = torch.ones_like(ids)
    for layout in (causal_layout(ids), padded_layout(one.bool()), packed_layout(one)):
        assert_close(model(ids, layout), expected, rtol=1e-4, atol=1e-5)


def test_an_encoder_is_a_layout_whose_mask_is_true_everywhere() -> None:
    """With learned positions a permutation of the tokens and their positions permutes the output."""
    model, ids = restless_model("learned"), random_ids(1, 6)
    everything, order = torch.ones(1, 1, 6, 6, dtype=torch.bool), torch.tensor([3, 0, 5, 1, 4, 2])
    straight = model(ids, Layout(torch.arange(6), everything))
    permuted = model(ids[:, order], Layout(order, everything))
    assert_close(permuted, straight[:, order], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(straight, model(ids), atol=1e-3), "the mask of the layout was not used"


# ---- Parts against formulas --------------------------------------------------------------------------------------


def test_positions_enter_where_they_should() -> None:
    """Rotary leaves the residual stream alone, learned vectors are added, sinusoids to embeddings scaled by √C."""
    ids, positions = random_ids(2, 4), torch.tensor([[0, 1, 2, 3], [3, 4, 5, 6]])
    for kind in POSITIONS:
        model = GPT(replace(TINY, position=kind))
        embedding = model.token_embedding.weight[ids]  # [B,T,C]
        if kind == "learned":
            embedding = embedding + model.positions.weight[positions]
        elif kind == "sinusoidal":
            embedding = embedding * math.sqrt(TINY.channels) + sinusoidal_table(16, TINY.channels)[positions]
        assert_close(model.embed(ids, positions)[0], embedding, rtol=1e-6, atol=1e-7, msg=kind)


def test_rotary_turns_queries_and_keys_and_never_values() -> None:
    """A turned value would bring its position along into the residual stream; a score needs the distance only."""
    model = restless_model("rotary", layers=1)
    attention, H, D = model.blocks[0].attention, TINY.heads, TINY.head_size
    x = torch.randn(1, 5, TINY.channels, generator=torch.Generator().manual_seed(3))
    cos, sin = model.positions(torch.arange(5))
    parts = (x @ attention.qkv.weight.T).view(1, 5, 3, H, D).permute(2, 0, 3, 1, 4)  # 3 × [1,H,5,D]
    mixed = attention_loops(rotate(parts[0], cos, sin), rotate(parts[1], cos, sin), parts[2])  # [1,H,5,D]
    expected = mixed.transpose(1, 2).reshape(1, 5, -1) @ attention.projection.weight.T
    assert_close(attention(x, (cos, sin), None, None), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_norms_are_their_formulas(norm: str) -> None:
    model = GPT(replace(TINY, norm=norm, bias=True))
    x = torch.randn(3, TINY.channels, generator=torch.Generator().manual_seed(0)) * 3 + 1
    mean = x.mean(-1, keepdim=True) if norm == "layernorm" else torch.zeros(3, 1)
    expected = (x - mean) / ((x - mean).square().mean(-1, keepdim=True) + 1e-5).sqrt()
    assert_close(model.final_norm(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mlp", MLPS)
def test_mlps_are_their_formulas(mlp: str) -> None:
    layer = GPT(replace(TINY, mlp=mlp)).blocks[0].mlp
    x = torch.randn(5, TINY.channels, generator=torch.Generator().manual_seed(0)) * 60
    up = x @ layer.up.weight.T
    if mlp == "gelu":
        bent = up * 0.5 * (1 + torch.erf(up / math.sqrt(2)))
    elif mlp == "gelu_tanh":
        bent = up * 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
    else:
        gate = x @ layer.gate.weight.T
        bent = gate * torch.sigmoid(gate) * up
    assert_close(layer(x), bent @ layer.projection.weight.T, rtol=1e-4, atol=1e-5)


def test_a_block_is_the_sum_of_its_parts() -> None:
    """One block by hand, pre-norm, from the weights: the residual stream is added to, never replaced."""
    model = restless_model("learned", layers=1)
    ids = random_ids(1, 5)
    block, H, D = model.blocks[0], TINY.heads, TINY.head_size
    x = model.token_embedding.weight[ids[0]] + model.positions.weight[:5]  # [T,C]
    qkv = block.attention_norm(x) @ block.attention.qkv.weight.T  # [T,3C]
    heads = []
    for h in range(H):
        q, k, v = (qkv[:, part * H * D + h * D : part * H * D + (h + 1) * D] for part in range(3))  # [T,D] each
        scores = (q @ k.T / math.sqrt(D)).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
        heads.append(scores.softmax(-1) @ v)
    x = x + torch.cat(heads, dim=-1) @ block.attention.projection.weight.T
    x = x + block.mlp(block.mlp_norm(x))
    assert_close(model.hidden(ids)[0], model.final_norm(x), rtol=1e-4, atol=1e-5)


def test_token_logprobs_are_gathered_log_softmax() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(2, 3, 7, generator=generator) * 50).requires_grad_()
    targets = torch.randint(7, (2, 3), generator=generator)
    actual, expected = token_logprobs(logits, targets), -F.cross_entropy(logits.mT, targets, reduction="none")
    assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(actual.sum(), logits)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), logits)
    assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-6)
    assert token_logprobs(logits.bfloat16(), targets).dtype == torch.float32


# ---- Sizes, first values, configurations -------------------------------------------------------------------------


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("mlp", MLPS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_parameter_count_formula(position: str, norm: str, mlp: str, bias: bool, tied: bool) -> None:
    config = replace(TINY, position=position, norm=norm, mlp=mlp, bias=bias, tied_embeddings=tied, hidden=20)
    assert config.parameter_count() == GPT(config).parameter_count()


GPT2 = GPTConfig(
    50257,
    context=1024,
    layers=12,
    heads=12,
    channels=768,
    position="learned",
    norm="layernorm",
    mlp="gelu_tanh",
    bias=True,
)
LLAMA = GPTConfig(
    32000,
    context=2048,
    layers=32,
    heads=32,
    channels=4096,
    hidden=11008,
    position="rotary",
    norm="rmsnorm",
    mlp="swiglu",
    bias=False,
    tied_embeddings=False,
)


def test_the_famous_shapes_have_their_published_sizes() -> None:
    assert GPT2.parameter_count() == 124_439_808, "GPT-2 small: as Hugging Face's gpt2 counts"
    assert LLAMA.parameter_count() == 6_738_415_616, "LLaMA 7B: as Hugging Face's llama-7b counts"


@pytest.mark.parametrize("config", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_gpt2_and_llama_run_at_toy_size(config: GPTConfig) -> None:
    small = replace(config, vocab_size=31, context=12, layers=2, heads=2, channels=16, hidden=24)
    model = GPT(small)
    loss = -token_logprobs(model(random_ids(2, 12)), random_ids(2, 12, seed=1)).mean()
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters()), "a parameter takes no part"


@pytest.mark.parametrize("position", POSITIONS)
def test_a_new_model_knows_nothing(position: str) -> None:
    """The first loss is ln V: every token equally likely. Far above it, the first values are too large."""
    config = GPTConfig(vocab_size=500, context=64, layers=4, heads=4, channels=64, position=position)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(500, (8, 65), generator=generator)
    loss = -token_logprobs(GPT(config)(ids[:, :-1]), ids[:, 1:]).mean()
    assert loss.item() == pytest.approx(math.log(500), abs=0.1)


def test_first_values_are_those_of_the_table() -> None:
    config = GPTConfig(vocab_size=600, context=200, layers=8, heads=4, channels=128, position="learned", bias=True)
    for name, parameter in GPT(config).named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            std = 0.02 / math.sqrt(2 * 8) if "projection" in name else 0.02
            assert parameter.std().item() == pytest.approx(std, rel=0.05), name
            assert abs(parameter.mean().item()) < 5 * std / math.sqrt(parameter.numel()), name


def test_the_seed_decides_the_weights_and_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    one, same, other = GPT(TINY, seed=3), GPT(TINY, seed=3), GPT(TINY, seed=4)
    assert torch.equal(torch.get_rng_state(), state), "building a model consumed global randomness"
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.token_embedding.weight, other.token_embedding.weight)


def test_weights_travel_through_a_state_dict() -> None:
    for position in POSITIONS:
        model, other = restless_model(position), GPT(replace(TINY, position=position), seed=9)
        other.load_state_dict(model.state_dict())
        ids = random_ids(1, 4)
        assert torch.equal(model(ids), other.eval()(ids))
        saved = sum(tensor.numel() for tensor in model.state_dict().values())
        assert saved == model.parameter_count(), f"{position}: a table or a tied weight is saved without need"


def test_dropout_acts_in_training_only() -> None:
    model = GPT(replace(TINY, dropout=0.5))
    ids = random_ids(1, 6)
    assert not torch.equal(model.train()(ids), model(ids))
    assert torch.equal(model.eval()(ids), model(ids))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"heads": 3}, "heads"),
        ({"channels": 6, "heads": 2}, "even"),
        ({"channels": 7, "heads": 7, "position": "sinusoidal"}, "even"),
        ({"layers": 0}, "layers"),
        ({"vocab_size": -1}, "vocab-size"),
        ({"position": "rope"}, "rotary"),
        ({"norm": "none"}, "rmsnorm"),
        ({"mlp": "relu"}, "swiglu"),
        ({"hidden": -4}, "hidden"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        replace(TINY, **changes)


def test_a_sequence_longer_than_the_context_is_refused() -> None:
    with pytest.raises(UserError, match="17 tokens"):
        restless_model()(random_ids(1, 17))
