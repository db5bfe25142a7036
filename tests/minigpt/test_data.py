"""Every token is seen, at the right place, and every batch is a function of (seed, step)."""

import random
from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from minigpt.corpora.permutation import keyed_permutation
from minigpt.data import (
    IGNORE,
    TokenStream,
    bits_per_byte,
    byte_count,
    length_mask,
    pad_sequences,
    tokenize_documents,
    validation_batches,
)
from minigpt.runs.errors import UserError
from minigpt.runs.seeds import seeded_generator


def same(actual: torch.Tensor, expected: torch.Tensor, message: str = "") -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, msg=message or None)


# ---- Joining documents ----


class LetterTokenizer:
    end_of_text_id, vocab_size, own_special_tokens = 99, 104, ()

    def encode_batch(self, texts, allow_special):
        return [[ord(letter) - ord("a") for letter in text] for text in texts]

    def token_bytes(self, token_id):
        return b"x" * (token_id % 3)


def test_documents_are_separated_at_both_ends():
    stream = tokenize_documents(LetterTokenizer(), iter(["ab", "", "c"]))
    assert stream.tolist() == [99, 0, 1, 99, 99, 2, 99]
    assert stream.dtype == "uint16", "an int64 takes four times the memory"


@pytest.mark.parametrize("at_once", [1, 3, 10_000])
def test_encoding_in_blocks_gives_the_same_stream(monkeypatch, at_once):
    texts = ["abc", "de", "", "fgh", "i"]
    whole = tokenize_documents(LetterTokenizer(), texts).tolist()
    monkeypatch.setattr("minigpt.data.ENCODED_AT_ONCE", at_once)
    assert tokenize_documents(LetterTokenizer(), texts).tolist() == whole


def test_the_bytes_of_targets_are_those_of_their_tokens():
    targets = torch.tensor([[1, 2, IGNORE], [5, 99, 103]])
    assert byte_count(LetterTokenizer(), [(targets, targets)]) == 1 + 2 + 2, "special tokens and padding have no bytes"


# ---- Training batches ----


def test_targets_are_the_inputs_one_token_later():
    stream = TokenStream(torch.arange(1000), context=8, batch_size=4, seed=0)
    for step in (0, 1, stream.batches_per_epoch, 1000):
        inputs, targets = stream.batch(step)
        assert inputs.shape == targets.shape == (4, 8)
        same(targets, inputs + 1, "the stream counts up by one, so each target is its input plus one")
        same(inputs, inputs[:, :1] + torch.arange(8), "a window is a contiguous part of the stream")


def test_an_epoch_visits_each_window_at_most_once_and_misses_only_the_remainder():
    tokens, context, batch_size = torch.arange(1003), 8, 4
    stream = TokenStream(tokens, context=context, batch_size=batch_size, seed=3)
    for epoch in range(5):
        steps = range(epoch * stream.batches_per_epoch, (epoch + 1) * stream.batches_per_epoch)
        seen = Counter(torch.cat([stream.batch(step)[0] for step in steps]).flatten().tolist())
        assert set(seen.values()) == {1}, "with replacement, an epoch would miss a third of the corpus"
        # At most: one context lost to the offset, one at the end, and the windows that fill no batch.
        assert len(tokens) - len(seen) <= (2 + batch_size) * context


def test_window_boundaries_move_between_epochs():
    stream = TokenStream(torch.arange(1003), context=8, batch_size=4, seed=0)
    offsets = {int(stream.batch(epoch * stream.batches_per_epoch)[0][0, 0]) % 8 for epoch in range(40)}
    assert len(offsets) > 4, "fixed boundaries give a token the same left context for ever"


def test_every_offset_fits_the_shortest_corpus_and_one_token_less_is_refused():
    context, batch_size = 5, 3
    shortest = (batch_size + 1) * context
    for seed in range(30):
        stream = TokenStream(torch.arange(shortest), context=context, batch_size=batch_size, seed=seed)
        assert stream.batch(0)[1].max() < shortest
    with pytest.raises(UserError, match=f"has {shortest - 1} tokens.* at least {shortest}"):
        TokenStream(torch.arange(shortest - 1), context=context, batch_size=batch_size, seed=0)


def test_a_batch_is_a_pure_function_of_seed_and_step():
    tokens = torch.arange(1000)
    first = TokenStream(tokens, context=8, batch_size=4, seed=5)
    forward = [first.batch(step)[0] for step in range(70)]
    again = TokenStream(tokens, context=8, batch_size=4, seed=5)
    for step in (69, 3, 31):  # any order, after any other batches
        same(again.batch(step)[0], forward[step], "resuming at a step must give the batch it would have had")
    assert not torch.equal(TokenStream(tokens, context=8, batch_size=4, seed=6).batch(0)[0], forward[0])


def test_batches_leave_the_global_random_state_alone():
    before, python_before = torch.get_rng_state(), random.getstate()
    TokenStream(torch.arange(1000), context=8, batch_size=4, seed=0).batch(3)
    same(torch.get_rng_state(), before, "drawing data moved torch's global generator")
    assert random.getstate() == python_before, "drawing data moved Python's global generator"


# ---- Longer than is shuffled at once ----


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097])
def test_the_keyed_permutation_is_one(n):
    values = keyed_permutation(torch.arange(n), n, torch.Generator().manual_seed(n))
    same(values.sort().values, torch.arange(n), "a window is seen twice or never")


def test_the_keyed_permutation_depends_on_the_generator_alone_and_place_by_place():
    def values(seed, places):
        return keyed_permutation(torch.tensor(places), 5000, torch.Generator().manual_seed(seed)).tolist()

    assert values(1, [7, 8, 4999]) == [*values(1, [7]), *values(1, [8, 4999])]
    assert values(1, [7, 8, 4999]) != values(2, [7, 8, 4999])


def test_the_keyed_permutation_leaves_no_order_behind():
    n = 4000
    for seed in range(5):
        values = keyed_permutation(torch.arange(n), n, torch.Generator().manual_seed(seed)).double()  # [n]
        # each has mean 0 over random permutations and a standard deviation of 1/√n; five of them are much
        ranks, five = torch.arange(n).double(), 5 / n**0.5
        for name, pair in {
            "place and value": (ranks, values),
            "neighbours": (values[:-1], values[1:]),
            "steps and place": (values.diff(), ranks[1:]),
        }.items():
            assert abs(torch.corrcoef(torch.stack(pair))[0, 1]) < five, f"{name} are correlated, seed {seed}"
        assert abs(int((values[1:] > values[:-1]).sum()) - n / 2) < 5 * (n / 12) ** 0.5, "it rises too often"


def test_a_long_stream_is_shuffled_without_drawing_all_of_its_order(monkeypatch):
    monkeypatch.setattr("minigpt.data.SHUFFLED_AT_ONCE", 50)
    monkeypatch.setattr(torch, "randperm", None)
    stream = TokenStream(torch.arange(1003), context=8, batch_size=4, seed=3)
    for epoch in range(3):
        steps = range(epoch * stream.batches_per_epoch, (epoch + 1) * stream.batches_per_epoch)
        seen = Counter(torch.cat([stream.batch(step)[0] for step in steps]).flatten().tolist())
        assert set(seen.values()) == {1}
        assert len(seen) >= 1003 - 6 * 8


def test_the_batches_of_the_presets_are_what_they_were():
    """The order of an epoch that is drawn once is the one that was drawn anew at every step."""
    stream = TokenStream(torch.arange(5000), context=16, batch_size=4, seed=7)
    for step in (0, 5, stream.batches_per_epoch + 2):
        epoch, batch = divmod(step, stream.batches_per_epoch)
        generator = seeded_generator(7, "token windows", epoch)
        offset = torch.randint(16, (), generator=generator)
        chosen = torch.randperm(stream.windows_per_epoch, generator=generator)[batch * 4 : (batch + 1) * 4]
        same(stream.batch(step)[0][:, 0], offset + chosen * 16)


# ---- Rows that begin where documents do ----


def stream_of_documents(sizes: list[int]) -> torch.Tensor:
    """0 before each document and after the last; the other tokens count up, so that each tells its place."""
    tokens = torch.arange(sum(sizes) + 1)
    tokens[torch.tensor([0, *sizes]).cumsum(0)] = 0
    return tokens


def test_a_row_begins_with_the_first_document_of_its_window():
    """By a slow loop over the windows that the same stream has without begin_with."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(2, 30, (60,), generator=generator).tolist()  # some windows of 8 have no beginning, some two
    tokens = stream_of_documents(sizes)
    settings = {"context": 8, "batch_size": 4, "seed": 5}
    plain, aligned = TokenStream(tokens, **settings), TokenStream(tokens, **settings, begin_with=0)
    moved = stayed = 0
    for step in range(2 * plain.batches_per_epoch):
        for cut, row, targets in zip(plain.batch(step)[0], *aligned.batch(step), strict=True):
            places = torch.arange(len(tokens)).unfold(0, 8, 1)  # [N-7,8]
            start = next(n for n in range(len(places)) if torch.equal(tokens[places[n]], cut))
            beginning = next((n for n in range(start, start + 8) if tokens[n] == 0), start)
            if beginning + 8 >= len(tokens):
                beginning = start
            moved, stayed = moved + (beginning > start), stayed + (beginning == start)
            same(row, tokens[beginning : beginning + 8])
            same(targets, tokens[beginning + 1 : beginning + 9])
    assert min(moved, stayed) > 20, "the test must see windows with a beginning and without"


def test_rows_of_a_text_without_separators_are_cut_anywhere():
    settings = {"context": 8, "batch_size": 4, "seed": 5}
    tokens = torch.arange(500) + 1
    plain, aligned = TokenStream(tokens, **settings), TokenStream(tokens, **settings, begin_with=0)
    for step in (0, 1, plain.batches_per_epoch + 1):
        same(aligned.batch(step)[0], plain.batch(step)[0])


def test_the_last_document_leaves_no_row_short():
    """Its beginning is too near to the end for a whole row: the window stays where it is."""
    tokens = torch.tensor([0, *range(1, 30), 0, 31, 32, 0])
    stream = TokenStream(tokens, context=8, batch_size=1, seed=0, begin_with=0)
    for step in range(3 * stream.batches_per_epoch):
        inputs, targets = stream.batch(step)
        assert inputs.shape == targets.shape == (1, 8)
        same(inputs[0, 1:], targets[0, :-1])


@pytest.mark.parametrize("sizes", [[3], [5, 9, 2, 40, 7, 1, 1, 8, 8], [20, 20], [8] * 5, [2] * 30])
def test_validation_rows_begin_with_documents_and_ask_for_every_token_once(sizes):
    tokens = stream_of_documents(sizes)
    batches = validation_batches(tokens, context=8, batch_size=3, begin_with=0)
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    same(targets[targets != IGNORE], tokens[1:])
    done = 0  # tokens up to here are the targets of rows above
    for row, wanted in zip(inputs, targets, strict=True):
        places = (wanted != IGNORE).nonzero()[:, 0]
        first, end = int(places[0]), int(places[-1]) + 1
        start = done - first
        same(row[:end], tokens[start : start + end], "inputs are the stream from where the row begins")
        same(places, torch.arange(first, end), "the targets of a row follow each other")
        beginning = int((tokens[: start + 1] == 0).nonzero()[-1])  # of the document at the row's start
        assert start == beginning or start - beginning >= 8, "a row begins within a document that would have fitted"
        done += end - first


def test_a_document_that_fits_into_a_row_is_never_predicted_without_its_beginning():
    """The reason for all of it: the context of each target reaches back to its document's first token."""
    tokens = stream_of_documents([5, 8, 2, 7, 6, 3, 8, 1])
    for inputs, targets in validation_batches(tokens, context=8, batch_size=1, begin_with=0):
        for place in (targets[0] != IGNORE).nonzero()[:, 0].tolist():
            assert 0 in inputs[0, : place + 1].tolist(), f"target {int(targets[0, place])} has lost its document"


# ---- Validation ----


@pytest.mark.parametrize("length", [2, 8, 9, 10, 41, 100])
def test_validation_asks_for_every_token_but_the_first_once_and_in_order(length):
    tokens = torch.arange(length) + 1000
    batches = validation_batches(tokens, context=8, batch_size=3)
    inputs = torch.cat([inputs for inputs, _ in batches]).flatten()
    targets = torch.cat([targets for _, targets in batches]).flatten()
    real = targets != IGNORE
    same(targets[real], tokens[1:])
    same(inputs[real], tokens[:-1])
    assert all(inputs.shape[1] == 8 and len(inputs) <= 3 for inputs, _ in batches)
    assert int((~real).sum()) < 8, "only the last window is padded"


def test_of_a_long_text_windows_at_equal_distances_are_measured():
    batches = validation_batches(torch.arange(1001), context=10, batch_size=4, most_tokens=50)
    starts = torch.cat([inputs for inputs, _ in batches])[:, 0]
    same(starts, torch.arange(5) * 200)
    whole = validation_batches(torch.arange(1001), context=10, batch_size=4)
    assert sum(len(inputs) for inputs, _ in whole) == 100
    most = validation_batches(torch.arange(1001), context=10, batch_size=4, most_tokens=1000)
    for (inputs, targets), (others, wanted) in zip(whole, most, strict=True):
        same(inputs, others)
        same(targets, wanted)


def test_ignored_targets_do_not_enter_the_loss():
    _, targets = validation_batches(torch.tensor([1, 2, 3]), context=8, batch_size=1)[0]
    logits = torch.zeros(1, 8, 10)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    torch.testing.assert_close(loss, 2 * torch.tensor(10.0).log(), rtol=1e-6, atol=0)


def test_validation_needs_two_tokens():
    with pytest.raises(UserError, match="more text"):
        validation_batches(torch.tensor([1]), context=8, batch_size=1)


def test_bits_per_byte_of_a_uniform_byte_model_is_eight():
    nats = 10 * torch.tensor(256.0).log().item()
    assert bits_per_byte(nats, 10) == pytest.approx(8.0, rel=1e-6)


# ---- Ragged batches ----


def test_padding_and_its_mask():
    ids, lengths = pad_sequences([[5, 6, 7], [0], []], pad_id=0)
    same(ids, torch.tensor([[5, 6, 7], [0, 0, 0], [0, 0, 0]]))
    same(lengths, torch.tensor([3, 1, 0]))
    mask = length_mask(lengths, 3)
    same(
        mask,
        torch.tensor([[True, True, True], [True, False, False], [False, False, False]]),
        "the mask comes from lengths: a real token that equals pad_id stays real",
    )
    assert length_mask(lengths, 5).shape == (3, 5)
