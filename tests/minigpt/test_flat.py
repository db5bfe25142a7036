"""Flat tokens against padded rows: the same hidden states and the same gradients of every parameter."""

import pytest
import torch

from minigpt.attention import attention_fused, causal_layout
from minigpt.flat import GROUPS, attention_flat, flatten
from minigpt.model import GPT, POSITIONS, GPTConfig
from minigpt.runs.errors import UserError

PAD = 0


def rows(*texts: str) -> torch.Tensor:
    """ids [B,T] of letters, padded on the right with 0."""
    longest = max(map(len, texts))
    return torch.tensor([[ord(c) - ord("a") + 1 for c in text] + [PAD] * (longest - len(text)) for text in texts])


def last_tokens(*texts: str) -> torch.Tensor:
    """at [B,T], True at the last letter of each row."""
    longest = max(map(len, texts))
    return torch.tensor([[column == len(text) - 1 for column in range(longest)] for text in texts])


CASES = {
    "answers to two prompts, one prompt is an answer's whole row": ("abcd", "abe", "ab", "fg", "fgabc"),
    "one row": ("abcde",),
    "rows that are equal": ("abc", "abc", "abc", "abd"),
    "a beginning shared with a longer row, then with a shorter one": ("abcdef", "abc", "abcx", "aycdef", "aycd"),
    "nothing shared": ("a", "bcdefghi", "cde", "dcba", "e", "fa"),
    "equal letters after a difference": ("abcd", "axcd", "bbcd"),
}


def small_model(position: str = "rotary", **config: object) -> GPT:
    return GPT(GPTConfig(vocab_size=30, context=12, layers=3, heads=2, channels=16, position=position, **config))


def all_gradients(model: GPT, hidden: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of a loss that weighs every number of hidden [M,C] differently."""
    model.zero_grad()
    (hidden * torch.linspace(-1, 1, hidden.numel()).view_as(hidden)).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("texts", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("read", ["last", "every second", "random"])
def test_flat_tokens_are_padded_rows(texts: tuple[str, ...], position: str, read: str) -> None:
    """The specification is hidden(ids)[at]. A difference in short rows alone is padding that attention has seen, one in
    rows with a shared beginning a key of the wrong row, one in gradients alone a token counted twice."""
    model, ids = small_model(position), rows(*texts)
    at = last_tokens(*texts)
    if read == "every second":
        at = (ids != PAD) & (torch.arange(ids.shape[1]) % 2 == 1) | at
    elif read == "random":
        at = (ids != PAD) & (torch.rand(ids.shape, generator=torch.Generator().manual_seed(3)) < 0.5)
        at[0, 0] = True  # some rows may be read nowhere, but not all
    padded, flat = model.hidden(ids)[at], model.hidden(ids, at=at)
    torch.testing.assert_close(flat, padded, rtol=1e-5, atol=1e-5)
    expected = all_gradients(model, model.hidden(ids)[at])
    for name, gradient in all_gradients(model, model.hidden(ids, at=at)).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_real_tokens_are_computed_once() -> None:
    """a b c d, a b e, f g are seven tokens with the beginning a b once, and no padding."""
    texts = ("abcd", "abe", "fg")
    flat = flatten(rows(*texts), last_tokens(*texts))
    assert flat.ids.tolist() == rows("abcdefg").tolist()
    assert flat.layout.positions.tolist() == [[0, 1, 2, 3, 2, 0, 1]]
    assert flat.at.nonzero()[:, 1].tolist() == [3, 4, 6]
    assert flat.index.tolist() == [0, 1, 2]


def test_what_comes_after_the_last_token_read_is_left_out() -> None:
    ids, at = rows("abcdef"), torch.tensor([[False, True, False, False, False, False]])
    assert flatten(ids, at).ids.tolist() == rows("ab").tolist()


def test_rows_that_leave_almost_nothing_out_stay_padded() -> None:
    """Fewer than a tenth of the places left out: gathering rows costs more than it saves. One short row more, and the
    tokens are flat. The outputs and gradients of both are those of padded rows."""
    full = [chr(ord("a") + i) + "bcdefghijk"[i:] + "bcdefghijk"[:i] for i in range(4)]  # 4 rows of 11, nothing shared
    model = small_model()
    for texts, padded in ((full, True), ([*full, "x"], False)):
        ids, at = rows(*texts), rows(*texts) != PAD
        assert (flatten(ids, at) is None) == padded
        torch.testing.assert_close(model.hidden(ids, at=at), model.hidden(ids)[at], rtol=1e-5, atol=1e-5)
        expected = all_gradients(model, model.hidden(ids)[at])
        for name, gradient in all_gradients(model, model.hidden(ids, at=at)).items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5)


def test_equal_rows_share_one_output() -> None:
    texts = ("abc", "abc")
    flat = flatten(rows(*texts), last_tokens(*texts))
    assert flat.ids.shape == (1, 3)
    assert flat.index.tolist() == [0, 0]


def test_pads_are_no_tokens_whatever_their_id() -> None:
    """Padding is known by `at` alone: rows whose padding equals real tokens of the row above share nothing there."""
    ids, at = rows("abcd", "abcd"), last_tokens("abcd", "ab")
    ids[1, 2:] = PAD
    other = ids.clone()
    other[1, 2:] = ids[0, 2:]
    model = small_model()
    torch.testing.assert_close(model.hidden(other, at=at), model.hidden(ids, at=at), rtol=0, atol=0)


def test_the_context_bounds_a_row_not_the_flat_row() -> None:
    model = small_model()
    many = rows(*["abcdefghijkl"[i:] + "abcdefghijkl"[:i] for i in range(6)], "m")  # 73 tokens in rows of 12
    assert flatten(many, many != PAD).ids.shape == (1, 73)
    assert model.hidden(many, at=many != PAD).shape == (73, 16)
    with pytest.raises(UserError, match="13 tokens"):
        model.hidden(rows("abcdefghijklm"), at=torch.ones(1, 13, dtype=torch.bool))


def test_a_layout_is_computed_padded() -> None:
    """With a layout of the caller's own, the mask says who attends to whom, and every place of it is computed."""
    texts = ("abcd", "ab")
    model, ids, at = small_model(), rows(*texts), last_tokens(*texts)
    torch.testing.assert_close(model.hidden(ids, causal_layout(ids), at=at), model.hidden(ids)[at])


def test_attention_flat_is_attention_of_each_row() -> None:
    """Row by row, with a fresh call of the fused kernel for each; more rows than GROUPS."""
    texts = ("abcd", "efghi", "jk", "lmnop", "q")
    assert len(texts) > GROUPS
    flat = flatten(rows(*texts), rows(*texts) != PAD)
    generator = torch.Generator().manual_seed(1)
    queries, keys, values = torch.randn(3, 1, 2, flat.ids.shape[1], 4, generator=generator)  # [1,H,M,D] each
    mixed = attention_flat(queries, keys, values, flat.layout.mask)
    start = 0
    for text in texts:
        one = slice(start, start + len(text))
        alone = attention_fused(queries[:, :, one], keys[:, :, one], values[:, :, one])
        torch.testing.assert_close(mixed[:, :, one], alone, msg=lambda m, t=text: f"row {t}: {m}")
        start += len(text)
