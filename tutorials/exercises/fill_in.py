"""Words of one language from both sides or from the left: the BERT and the GPT of chapter 09.

    bert = learn_bert()                  # fills in what is hidden, from both sides
    gpt = learn_gpt()                    # goes on, from the left
    surprise(bert), surprise(gpt)        # nats a word, for each kind of word

Both learn from the sentences of `translation`, in Backwards, and each has one block of the same shape.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.data import IGNORE
from minigpt.model import GPT
from minigpt.relatives.bert import Bert, hide_tokens, masked_token_loss
from tutorials.exercises.translation import (
    ADJECTIVES,
    ARTICLES,
    IDS,
    MASK,
    NOUNS,
    SHAPE,
    START,
    VERBS,
    WORDS,
    Sentence,
    backwards,
    corpus,
    fit,
    padded,
)

KINDS = {
    "article": ARTICLES,
    "noun": [*map(backwards, NOUNS)],
    "adjective": [*map(backwards, ADJECTIVES)],
    "near": [backwards("near")],
    "verb": [*map(backwards, VERBS)],
}
READER = dataclasses.replace(SHAPE, position="learned")


def texts(sentences: Sequence[Sentence]) -> tuple[Tensor, Tensor]:
    """Ids [B,T] that begin with the start token, and True at real tokens [B,T]."""
    ids = padded([(START, *sentence.backwards) for sentence in sentences])
    return ids.clamp(min=0), ids != IGNORE


def learn_bert(steps: int = 600, rate: float = 0.006) -> Bert:
    """BERT after some seconds of filling in."""
    bert, generator = Bert(READER), torch.Generator().manual_seed(0)

    def loss_of(model: Bert, ids: Tensor, real: Tensor) -> Tensor:
        maskable = real & (ids != IDS[START])
        inputs, targets = hide_tokens(
            ids, maskable, mask_id=IDS[MASK], vocab_size=len(WORDS), generator=generator
        )  # [B,T] each
        return masked_token_loss(model, inputs, real, targets)

    fit(bert, loss_of, texts, steps, rate)
    return bert.eval()


def learn_gpt(steps: int = 600, rate: float = 0.006) -> GPT:
    """A GPT of the same shape, after as many steps of going on."""
    gpt = GPT(READER)

    def loss_of(model: GPT, ids: Tensor, real: Tensor) -> Tensor:
        due = ids.masked_fill(~real, IGNORE)[:, 1:]  # [B,T-1]
        return F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), due.flatten(), ignore_index=IGNORE)

    fit(gpt, loss_of, texts, steps, rate)
    return gpt.eval()


@torch.no_grad()
def nats(model: Bert | GPT, ids: Tensor, real: Tensor) -> Tensor:
    """−log p of each word but the first [B,T-1]: by BERT with this word alone hidden, by GPT from those before it."""
    if isinstance(model, GPT):
        logprobs = model(ids[:, :-1]).log_softmax(-1)  # [B,T-1,V]
        return -logprobs.gather(-1, ids[:, 1:, None])[..., 0]
    columns = []
    for place in range(1, ids.shape[1]):
        hidden = ids.clone()
        hidden[:, place] = IDS[MASK]
        logprobs = model(hidden, real)[:, place].log_softmax(-1)  # [B,V]
        columns.append(-logprobs.gather(-1, ids[:, place, None])[:, 0])
    return torch.stack(columns, dim=1)


def surprise(model: Bert | GPT) -> dict[str, float]:
    """Mean nats a word for each kind of word, on the sentences that nobody learned from."""
    ids, real = texts(corpus()[1])
    cost = nats(model, ids, real)  # [B,T-1]
    means = {}
    for kind, words in KINDS.items():
        of_kind = torch.isin(ids[:, 1:], torch.tensor([IDS[word] for word in words])) & real[:, 1:]
        means[kind] = float(cost[of_kind].mean())
    return means
