"""Two ways to write that the package does not have: without a cache, and with beam search. Chapter 08 compares them."""

from __future__ import annotations

import torch
from torch import Tensor

from minigpt.model import GPT

OPENINGS = (
    "One day", "The cow", "Leo was a little", "List three fruits.", "What colour is a tomato?", "A dog", "I think",
    "In the evening",
)  # fmt: skip


@torch.no_grad()
def greedy_without_cache(model: GPT, prompt: list[int], tokens: int) -> list[int]:
    """The most probable token, again and again; each time the model reads the whole text from its beginning."""
    ids = list(prompt)
    for _ in range(tokens):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


@torch.no_grad()
def beam_search(model: GPT, prompt: list[int], tokens: int, beams: int) -> tuple[list[int], float]:
    """The most probable continuation that `beams` candidates lead to, and its log-probability in nats.

    Each step continues every candidate with every token, and keeps the best `beams` of all these.
    """
    texts, scores = torch.tensor([prompt]), torch.zeros(1)  # [K,T], [K]
    for _ in range(tokens):
        logprobs = model(texts)[:, -1].log_softmax(dim=-1)  # [K,V]
        scores, best = (scores[:, None] + logprobs).flatten().topk(beams)  # [K] each, of K·V
        parent, token = best // logprobs.shape[1], best % logprobs.shape[1]  # [K] each
        texts = torch.cat([texts[parent], token[:, None]], dim=1)  # [K,T+1]
    return texts[0, len(prompt) :].tolist(), float(scores[0])


@torch.no_grad()
def logprob_of(model: GPT, prompt: list[int], response: list[int]) -> Tensor:
    """The log-probability of each token of the response, at temperature 1, in nats: [N]."""
    ids = torch.tensor([prompt + response])  # [1,T]
    logprobs = model(ids)[0, len(prompt) - 1 : -1].log_softmax(dim=-1)  # [N,V]
    return logprobs.gather(1, torch.tensor(response)[:, None])[:, 0]  # [N]


def repeated(response: list[int], length: int = 4) -> float:
    """The share of runs of `length` tokens that have stood in the same text before."""
    runs = [tuple(response[i : i + length]) for i in range(len(response) - length + 1)]
    return 1 - len(set(runs)) / len(runs)
