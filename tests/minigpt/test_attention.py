"""Three attentions, one function. And the cache keeps what it is given."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from minigpt.attention import (
    attention_by_heads,
    attention_fused,
    attention_loops,
    causal_mask,
    padded_causal_mask,
)
from minigpt.cache import KVCache

B, H, T, D = 2, 2, 5, 3
LEFT_PADDED = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)


def queries_keys_values(tokens: int = T, slots: int = T) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((B, H, tokens, D), (B, H, slots, D), (B, H, slots, D))
    return [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]


def value_and_gradients(attention: Callable[..., Tensor], inputs: list[Tensor], mask: Tensor | None) -> list[Tensor]:
    output = attention(*inputs, mask)
    weights = torch.arange(output.numel(), dtype=output.dtype).view_as(output).cos()  # a loss that likes no direction
    return [output, *torch.autograd.grad((output * weights).sum(), inputs)]


@pytest.mark.parametrize("attention", [attention_by_heads, attention_fused])
@pytest.mark.parametrize("mask", [None, padded_causal_mask(LEFT_PADDED)], ids=["causal", "left padded"])
def test_fast_attentions_equal_the_loops(attention: Callable[..., Tensor], mask: Tensor | None) -> None:
    inputs = queries_keys_values()
    expected = value_and_gradients(attention_loops, inputs, mask)
    actual = value_and_gradients(attention, inputs, mask)
    for name, a, e in zip(
        ("output", "query gradient", "key gradient", "value gradient"), actual, expected, strict=True
    ):
        assert_close(a, e, rtol=1e-9, atol=1e-10, msg=lambda text, name=name: f"{name}: scale √D? mask?\n{text}")


@pytest.mark.parametrize("attention", [attention_by_heads, attention_fused])
def test_fewer_queries_than_keys(attention: Callable[..., Tensor]) -> None:
    """Decoding: two new tokens look at six slots, each row at as many as it has."""
    inputs = queries_keys_values(tokens=2, slots=6)
    mask = torch.tensor([[[1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]], [[1] * 5 + [0], [1] * 6]], dtype=torch.bool)[:, None]
    expected = value_and_gradients(attention_loops, inputs, mask)
    for a, e in zip(value_and_gradients(attention, inputs, mask), expected, strict=True):
        assert_close(a, e, rtol=1e-9, atol=1e-10)


def test_one_query_one_key_returns_the_value() -> None:
    queries, keys, values = queries_keys_values(tokens=1, slots=1)
    assert_close(attention_by_heads(queries, keys, values), values, rtol=0, atol=0)


def test_large_scores_do_not_overflow() -> None:
    queries, keys, values = (tensor.detach().float() for tensor in queries_keys_values())
    for attention in (attention_loops, attention_by_heads, attention_fused):
        assert attention(queries * 1e3, keys * 1e3, values).isfinite().all(), f"{attention.__name__}: exp() overflowed"


def test_dropout_of_the_fused_attention_drops() -> None:
    queries, keys, values = queries_keys_values()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = attention_fused(queries, keys, values, None, 0.5)
    assert not torch.allclose(dropped, attention_fused(queries, keys, values))


def test_padded_causal_mask() -> None:
    mask = padded_causal_mask(LEFT_PADDED)
    assert mask.shape == (2, 1, 5, 5)
    assert torch.equal(mask[1, 0], causal_mask(5, mask.device))
    for t in range(5):
        for s in range(5):
            expected = s <= t and (bool(LEFT_PADDED[0, s]) or s == t)
            assert mask[0, 0, t, s] == expected, f"query {t}, key {s}"


# ---- The cache ---------------------------------------------------------------------------------------------------


def feed(cache: KVCache, numbers: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Write numbers [B,T] as keys (and their negatives as values) of every layer; return the last layer's."""
    cache.begin(numbers.shape[1], mask)
    content = numbers[:, None, :, None].expand(-1, 2, -1, 3)  # [B,H,T,D]
    for layer in range(cache.layers):
        seen = cache.write(layer, content + 100 * layer, -content - 100 * layer)
    cache.advance()
    return seen


def filled_cache() -> KVCache:
    """Rows [1 2 3] and [4], then a token each: [1 2 3 5] and [4 6]."""
    cache = KVCache(layers=2, batch=2, slots=6, device=torch.device("cpu"))
    feed(cache, torch.tensor([[1.0, 2, 3], [4, 99, 99]]), torch.tensor([[1, 1, 1], [1, 0, 0]], dtype=torch.bool))
    feed(cache, torch.tensor([[5.0], [6.0]]))
    return cache


def copied(cache: KVCache, copies: int) -> KVCache:
    """A larger cache with each row `copies` times, side by side."""
    rows = torch.arange(len(cache.lengths)) * copies
    other = KVCache(cache.layers, len(rows) * copies, cache.slots, torch.device("cpu"))
    for copy in range(copies):
        other.put(rows + copy, cache)
    return other


def contents(cache: KVCache) -> list[list[float]]:
    return [cache.keys[0, row, 0, : cache.lengths[row], 0].tolist() for row in range(cache.keys.shape[1])]


def test_each_row_is_written_behind_its_own_tokens() -> None:
    cache = filled_cache()
    assert contents(cache) == [[1, 2, 3, 5], [4, 6]], "row 1 must overwrite its padding, not write behind it"
    assert_close(cache.keys[1, :, :, :2], cache.keys[0, :, :, :2] + 100, rtol=0, atol=0)
    assert_close(cache.values, -cache.keys, rtol=0, atol=0)


def test_the_mask_shows_a_row_its_own_tokens_only() -> None:
    cache = filled_cache()
    layout = cache.begin(2)
    assert layout.positions.tolist() == [[4, 5], [2, 3]]
    expected = [[[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]], [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0]]]
    assert torch.equal(layout.mask, torch.tensor(expected, dtype=torch.bool)[:, None])


def test_put_copies_rows_to_their_numbers() -> None:
    cache = copied(filled_cache(), 3)
    assert contents(cache) == [[1, 2, 3, 5]] * 3 + [[4, 6]] * 3
    feed(cache, torch.arange(10.0, 16.0)[:, None])
    assert contents(cache)[1] == [1, 2, 3, 5, 11], "copies must not share their slots"


def test_keep_selects_and_reorders_rows() -> None:
    cache = copied(filled_cache(), 2)
    feed(cache, torch.arange(10.0, 14.0)[:, None])
    cache.keep(torch.tensor([3, 0]))
    assert contents(cache) == [[4, 6, 13], [1, 2, 3, 5, 10]]
    cache.keep(torch.tensor([0]))
    assert cache.longest == 3, "when the long rows leave, attention over their slots must end"


def test_a_row_that_stands_still_keeps_its_place() -> None:
    cache = filled_cache()
    feed(cache, torch.tensor([[7.0], [8.0]]), torch.tensor([[False], [True]]))
    feed(cache, torch.tensor([[9.0], [10.0]]), torch.tensor([[False], [True]]))
    feed(cache, torch.tensor([[11.0], [12.0]]))  # the bound `used` says full; the rows say there is room
    assert contents(cache) == [[1, 2, 3, 5, 11], [4, 6, 8, 10, 12]]


def test_a_full_cache_says_so() -> None:
    cache = filled_cache()
    feed(cache, torch.tensor([[7.0, 8], [9, 10]]))
    with pytest.raises(ValueError, match="6 slots"):
        cache.begin(1)
