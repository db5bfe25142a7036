"""A text through a model, as JSON: tokens, their log-probabilities, what could come next, attention, silent heads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minigpt.inside import Head, Inside, look_inside
from minigpt.model import token_logprobs
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import encode_plain, encode_prompt, user_prompt
from rlhf.web.engine.models import Models, Policy
from rlhf.web.stages import Stage

MOST_WEIGHTS = 400_000  # attention weights in one answer; a browser draws them all
MOST_HEADS_IN_TURN = 64  # each costs a forward pass, during which nobody else is answered
LIKELIEST = 8


@dataclass(frozen=True)
class Look:
    """A task of the engine: what a stage makes of a text, without the heads in `silent`.

    document: the text is read as the beginning of a document; else as a question, of which `begun` begins the answer.
    each: also what it costs to silence each head, one at a time.
    """

    stage: Stage
    text: str
    begun: str = ""
    document: bool = False
    silent: tuple[Head, ...] = ()
    each: bool = False

    def compute(self, models: Models) -> dict[str, Any]:
        """Raises UserError for a text that is too long and for heads that do not exist."""
        policy = models.policy(self.stage)
        ids = self.encode(policy.tokenizer)
        check_size(policy, len(ids))
        whole = look_inside(policy.model, ids)
        found = {
            "tokens": [policy.texts[token] for token in ids],
            "layers": policy.model.config.layers,
            "heads": policy.model.config.heads,
            "silent": [list(head) for head in self.silent],
            "whole": reading(policy, ids, whole),
        }
        shown = whole
        if self.silent:
            shown = look_inside(policy.model, ids, self.silent)
            found["without"] = reading(policy, ids, shown)
        found["attention"] = per_mille(shown.weights)
        if self.each:
            found["each"] = each_head(policy, ids)
        return found

    def encode(self, tokenizer: Tokenizer) -> list[int]:
        """The ids that the stage reads. A base model gets a question as a line of a document, as in `rlhf.chat`."""
        if self.document:
            return [tokenizer.end_of_text_id, *tokenizer.encode(self.text)]
        question = (encode_plain if self.stage.plain else encode_prompt)(tokenizer, user_prompt(self.text))
        return [*question, *tokenizer.encode(self.begun)]


def check_size(policy: Policy, tokens: int) -> None:
    """Raises UserError for a text beyond the context, and for one with more weights than a browser should draw."""
    config = policy.model.config
    # T·(T+1)/2 weights a head
    most = int((math.sqrt(1 + 8 * MOST_WEIGHTS / (config.layers * config.heads)) - 1) / 2)
    limit = min(config.context, most)
    if tokens > limit:
        raise UserError(f"the text has {tokens} tokens, and {limit} can be shown of this model: shorten it")


def reading(policy: Policy, ids: list[int], inside: Inside) -> dict[str, Any]:
    """logprobs: of each token but the first, given those before it, in nats. next: after each token, the likeliest."""
    logits, targets = inside.logits, torch.tensor(ids, device=inside.logits.device)  # [T,V], [T]
    probabilities = logits.float().softmax(dim=-1)  # [T,V]
    best = probabilities.topk(min(LIKELIEST, probabilities.shape[-1]), dim=-1)  # [T,8] each
    following = [
        [[policy.texts[token], round(share, 5)] for token, share in zip(tokens, shares, strict=True)]
        for tokens, shares in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    return {"logprobs": token_logprobs(logits[:-1], targets[1:]).tolist(), "next": following}


def per_mille(weights: Tensor) -> list[list[list[list[int]]]]:
    """Weights [L,H,T,T] in thousandths: for layer, head and token t, the t+1 weights of the tokens 0 … t."""
    rounded = (1000 * weights).round().int().tolist()
    return [[[row[: t + 1] for t, row in enumerate(head)] for head in layer] for layer in rounded]


def each_head(policy: Policy, ids: list[int]) -> dict[str, Any]:
    """The effect of silencing one head at a time, [L][H]: on the mean loss of the text, in nats a token (None for a
    text of one token), and on the probability of what was the likeliest next token."""
    layers, heads = policy.model.config.layers, policy.model.config.heads
    if layers * heads > MOST_HEADS_IN_TURN:
        raise UserError(f"this model has {layers * heads} heads, and at most {MOST_HEADS_IN_TURN} are silenced in turn")
    whole = look_inside(policy.model, ids).logits  # [T,V]
    likeliest = int(whole[-1].argmax())
    losses, shares = [], []
    for layer in range(layers):
        runs = [look_inside(policy.model, ids, [(layer, head)]).logits for head in range(heads)]
        losses.append([mean_loss(logits, ids) for logits in runs])
        shares.append([float(logits[-1].softmax(dim=-1)[likeliest]) for logits in runs])
    return {
        "loss": mean_loss(whole, ids),
        "losses": losses,
        "token": policy.texts[likeliest],
        "share": float(whole[-1].softmax(dim=-1)[likeliest]),
        "shares": shares,
    }


def mean_loss(logits: Tensor, ids: list[int]) -> float | None:
    """The mean of -log p over all tokens but the first, in nats."""
    if len(ids) < 2:
        return None
    return -float(token_logprobs(logits[:-1], torch.tensor(ids[1:], device=logits.device)).mean())
