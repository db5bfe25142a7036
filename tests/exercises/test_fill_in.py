"""What a word costs from one side or both (chapter 09): the place that is measured is the place that is hidden."""

import math

import pytest
import torch
from torch.testing import assert_close

from minigpt.model import GPT
from minigpt.relatives.bert import Bert
from tutorials.exercises.fill_in import KINDS, READER, nats, surprise, texts
from tutorials.exercises.translation import IDS, MASK, WORDS, corpus


@pytest.fixture
def batch():
    return texts(corpus()[1][:4])


def test_bert_pays_for_a_word_that_it_cannot_read(batch):
    ids, real = batch
    bert = Bert(READER).eval()
    found = nats(bert, ids, real)  # [B,T-1]
    assert found.shape == (len(ids), ids.shape[1] - 1)
    for b, place in ((0, 1), (1, 5), (3, 3)):
        hidden = ids[b : b + 1].clone()
        hidden[0, place] = IDS[MASK]
        expected = -bert(hidden, real[b : b + 1])[0, place].log_softmax(-1)[ids[b, place]]
        assert_close(found[b, place - 1], expected, rtol=1e-4, atol=1e-5, msg="another place was hidden, or asked for")


def test_a_gpt_pays_for_a_word_from_those_before_it(batch):
    ids, real = batch
    gpt = GPT(READER).eval()
    found = nats(gpt, ids, real)
    for b, place in ((0, 1), (2, 4)):
        expected = -gpt(ids[b : b + 1, :place])[0, -1].log_softmax(-1)[ids[b, place]]
        assert_close(
            found[b, place - 1], expected, rtol=1e-4, atol=1e-5, msg="moved by a place, or a later word is read"
        )


def test_every_word_but_the_stop_is_of_one_kind():
    kinds = [word for words in KINDS.values() for word in words]
    assert len(set(kinds)) == len(kinds)
    used = {word for sentence in corpus()[1] for word in sentence.backwards}
    assert used - {"."} <= set(kinds)


def test_who_knows_nothing_pays_ln_v():
    """An untrained model's logits are near 0, so every kind of word costs about ln V."""
    with torch.no_grad():
        costs = surprise(GPT(READER).eval())
    assert costs.keys() == KINDS.keys()
    assert all(abs(cost - math.log(len(WORDS))) < 0.1 for cost in costs.values())
