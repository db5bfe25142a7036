"""Packed rows: documents side by side are, number for number, the documents in rows of their own."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from minigpt.attention import causal_mask, document_mask, packed_layout
from minigpt.data import pack_best_fit
from minigpt.model import GPT, POSITIONS, GPTConfig, token_logprobs
from minigpt.positions import positions_in_documents

TINY = GPTConfig(vocab_size=23, context=16, layers=2, heads=2, channels=8)
LENGTHS = (5, 9, 1, 7, 2, 3)


def restless_model(position: str) -> GPT:
    """Weights large enough that a wrong position or neighbour shows; float64, so that nothing else does."""
    model = GPT(replace(TINY, position=position), seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(15.0)
    return model.double().eval()


def random_documents(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(TINY.vocab_size, (length,), generator=generator) for length in LENGTHS]


def packed(documents: list[Tensor], capacity: int, filler: int = 0) -> tuple[Tensor, Tensor, list[list[int]]]:
    """ids and document numbers [R,capacity], and which documents each row holds."""
    rows = pack_best_fit([len(document) for document in documents], capacity)
    ids, numbers = torch.full((len(rows), capacity), filler), torch.full((len(rows), capacity), -1)
    for r, row in enumerate(rows):
        begin = 0
        for number in row:
            end = begin + len(documents[number])
            ids[r, begin:end], numbers[r, begin:end] = documents[number], number
            begin = end
    return ids, numbers, rows


# ---- Which documents share a row ---------------------------------------------------------------------------------


def test_each_document_goes_into_the_fullest_row_that_has_room_the_longest_first() -> None:
    # 7 | 5; the 4 fits beside the 5 only; the 1 fits both: the row of 7 has room for 3, the other for just that 1
    assert pack_best_fit((4, 7, 1, 5), 10) == [[1], [3, 0, 2]], "the first row with room instead of the fullest?"
    assert pack_best_fit((3, 3, 3), 3) == [[0], [1], [2]], "equal lengths keep their order"
    assert pack_best_fit((), 10) == []


@given(lengths=st.lists(st.integers(1, 12), max_size=30), spare=st.integers(0, 12))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_nothing_is_lost_cropped_or_twice_and_no_two_rows_could_be_one(lengths: list[int], spare: int) -> None:
    capacity = max(lengths, default=1) + spare
    rows = pack_best_fit(lengths, capacity)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    sizes = sorted(sum(lengths[number] for number in row) for row in rows)
    assert all(size <= capacity for size in sizes), "a row holds more than its tokens: something would be cropped"
    assert len(sizes) < 2 or sizes[0] + sizes[1] > capacity, "a row was begun while another had room"


def test_a_document_longer_than_a_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="11 tokens does not fit into a row of 10"):
        pack_best_fit((4, 11), 10)


# ---- Isolation ---------------------------------------------------------------------------------------------------


def test_positions_begin_anew_in_each_document_and_in_the_padding() -> None:
    documents = torch.tensor([[0, 0, 0, 1, 1, 2, -1], [7, 7, 3, 3, 3, 3, 3]])
    expected = torch.tensor([[0, 1, 2, 0, 1, 0, 0], [0, 1, 0, 1, 2, 3, 4]])
    assert torch.equal(positions_in_documents(documents), expected)


def test_the_mask_is_causal_within_each_document_and_closed_between_them() -> None:
    documents = torch.tensor([[0, 0, 1, 1, 1, -1], [4, 4, 4, 4, 4, 4]])
    mask = document_mask(documents)
    assert mask.shape == (2, 1, 6, 6)
    for t in range(6):
        for s in range(6):
            assert mask[0, 0, t, s] == (s <= t and documents[0, s] == documents[0, t]), f"query {t}, key {s}"
    assert torch.equal(mask[1, 0], causal_mask(6, mask.device)), "one document alone is plain causal attention"


def measured(model: GPT, parts: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """The sum of all losses, and its gradient by every parameter. parts: logits and targets [T,V], [T] each."""
    loss = -sum(token_logprobs(logits[None], targets[None]).sum() for logits, targets in parts)
    return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.parametrize("position", POSITIONS)
def test_packed_documents_have_the_logits_losses_and_gradients_of_documents_alone(position: str) -> None:
    model, documents, targets = restless_model(position), random_documents(0), random_documents(1)
    alone = [model(document[None])[0] for document in documents]  # [T,V] each
    ids, numbers, rows = packed(documents, TINY.context, filler=7)
    assert max(map(len, rows)) > 1, "no row holds two documents: this test shows nothing"
    logits = model(ids, packed_layout(numbers))  # [R,T,V]
    together = [logits[numbers == number] for number in range(len(documents))]  # [T,V] each
    for number, (found, expected) in enumerate(zip(together, alone, strict=True)):
        message = f"document {number}: it sees its neighbours in the row, or its positions do not begin at 0"
        assert_close(found, expected, rtol=1e-9, atol=1e-9, msg=message)
    found = measured(model, list(zip(together, targets, strict=True)))
    expected = measured(model, list(zip(alone, targets, strict=True)))
    for f, e in zip(found, expected, strict=True):
        assert_close(f, e, rtol=1e-5, atol=1e-5, msg=lambda text: f"loss or gradient of packed rows\n{text}")


@pytest.mark.parametrize("position", POSITIONS)
def test_neighbours_and_padding_of_a_packed_row_change_nothing(position: str) -> None:
    model, documents = restless_model(position), random_documents()
    others = [document if number == 1 else (document + 5) % 23 for number, document in enumerate(documents)]
    found = []
    for texts, filler in ((documents, 0), (others, 22)):
        ids, numbers, _ = packed(texts, TINY.context, filler)
        found.append(model(ids, packed_layout(numbers))[numbers == 1])
    assert_close(found[1], found[0], rtol=1e-9, atol=1e-9)


def test_padding_of_a_packed_row_makes_no_nan() -> None:
    model, documents = restless_model("rotary"), random_documents()[:2]
    ids, numbers, _ = packed(documents, TINY.context)
    assert model(ids, packed_layout(numbers)).isfinite().all(), "padding must be allowed to look at something"
