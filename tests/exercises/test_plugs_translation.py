"""A student's cross-attention and mask (9.1, 9.2) really stand where the model uses them; the world of chapter 09."""

import torch
from torch.testing import assert_close

from minigpt.attention import Layout
from minigpt.data import IGNORE
from minigpt.model import GPT, GPTConfig
from minigpt.relatives.encoder_decoder import CrossAttention, EncoderDecoder
from tutorials.exercises.plugs.ch09 import as_cross_attention
from tutorials.exercises.plugs.common import installed
from tutorials.exercises.specs.ch09 import cross_attention, prefix_mask
from tutorials.exercises.translation import ARTICLES, SHAPE, corpus, looks_of, mask_loss, pairs, rows, translate


def test_a_students_cross_attention_stands_where_the_decoder_reads_the_source():
    model, (source, real, target) = EncoderDecoder(SHAPE), pairs(corpus()[1][:3])
    inputs, calls = target[:, :-1].clamp(min=0), []
    expected = model(source, real, inputs)

    def counted(*given: object) -> torch.Tensor:
        calls.append(given)
        return cross_attention(*given)

    with installed(CrossAttention, "forward", as_cross_attention(counted)):
        found = model(source, real, inputs)
    assert_close(found, expected, rtol=1e-4, atol=1e-5, msg="the mask or a weight is handed on wrongly")
    assert len(calls) == SHAPE.layers, "the student's function is called once a block of the decoder"


def test_a_students_mask_opens_the_source_and_nothing_else():
    model = GPT(GPTConfig(SHAPE.vocab_size, context=32, layers=2, heads=2, channels=16))
    ids, due, source = rows(corpus()[1][:4])
    seen = []

    def mask(lengths: torch.Tensor, tokens: int) -> torch.Tensor:
        seen.append(lengths.tolist())
        return prefix_mask(lengths, tokens)

    loss = mask_loss(mask)(model, ids, due, source)
    assert seen == [source.tolist()]
    nats = []
    for row, answers, length in zip(ids, due, source.tolist(), strict=True):
        for t in (answers != IGNORE).nonzero().flatten().tolist():
            # nothing behind place t: the source, open, and the target so far
            layout = Layout(torch.arange(t + 1), prefix_mask(torch.tensor([length]), t + 1)[:, None])
            logits = model(row[None, : t + 1], layout)[0, -1]
            nats.append(-logits.log_softmax(-1)[answers[t]])
    assert_close(loss, torch.stack(nats).mean(), rtol=1e-4, atol=1e-5, msg="a target sees what comes after it")


def test_the_translation_follows_its_rules():
    found = translate(["the", "small", "cow", "chases", "the", "owl", "near", "the", "old", "goat", "."])
    assert " ".join(found.backwards) == "el woc llams el lwo la taog dlo raen sesahc ."
    assert found.places == (0, 2, 1, 4, 5, 7, 9, 8, 6, 3, 10)
    learned, others = corpus()
    assert not {s.english for s in learned} & {s.english for s in others}, "a sentence to try was learned from"
    for sentence in others:
        assert sorted(sentence.places) == list(range(len(sentence.english))), "each word is translated once"


def test_rows_ask_for_the_translation_and_for_nothing_before_it():
    ids, due, source = rows(corpus()[1][:5])
    for row, answers, length, sentence in zip(ids, due, source.tolist(), corpus()[1], strict=False):
        asked = answers != IGNORE
        assert int(asked.sum()) == len(sentence.backwards) + 1, "every word of the translation, and the end"
        assert int(asked.nonzero()[0]) == length, "the first word is due at the start token"
        assert torch.equal(row[1:][asked[:-1]][: len(sentence.backwards)], answers[asked][:-1]), "moved by a place"


def test_looks_are_shares():
    shares = looks_of(EncoderDecoder(SHAPE), ARTICLES)
    assert abs(sum(shares.values()) - 1) < 1e-9
    assert all(0 <= share <= 1 for share in shares.values())
