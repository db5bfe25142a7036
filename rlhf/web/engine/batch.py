"""Answers of one model that are written together: rows join and leave the batch between two tokens.

The specification is `minigpt.generate.generate` for each question alone, with the same seed; the prompt is read by its
`read_prompts`, tokens are chosen by its `sampling_logprobs` and `inverse_cdf_sample`. What makes a batch of them
right: a row of the KV cache has its own length, positions and mask, so it does not see its neighbours; and it draws
from its own random numbers. Only rounding differs, since a matrix product over more rows sums in another order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from minigpt.cache import KVCache
from minigpt.generate import compaction, inverse_cdf_sample, read_prompts, sampling_logprobs
from rlhf.chat import fit_turns, score_answer, stop_token
from rlhf.chat_format import Turn
from rlhf.web.engine.events import Answer, Begun, Choice, ChosenToken, Done, Failed, Piece, Question, Ticket
from rlhf.web.engine.models import Policy
from rlhf.web.engine.text import TextStream

ALTERNATIVES = 5


@dataclass(eq=False)
class Row:
    """One answer that is being written. uniforms [N]: its random numbers. room: the tokens that it may have."""

    ticket: Ticket
    sample: int
    turns: list[Turn]
    uniforms: Tensor
    room: int
    stop: int
    stream: TextStream
    ids: list[int] = field(default_factory=list)
    held: list[ChosenToken] = field(default_factory=list)  # tokens whose bytes are no whole character yet
    finished: bool = False

    @property
    def live(self) -> bool:
        return not (self.finished or self.ticket.cancelled)

    def tell(self, text: str) -> None:
        """Sends the characters that have become whole, with the tokens that spell them."""
        self.ticket.tell(Piece(self.sample, text, tuple(self.held)))
        self.held.clear()

    def tell_rest(self) -> None:
        """Sends what has become no whole character, at the end of the text."""
        rest = self.stream.end()
        if rest or self.held:
            self.tell(rest)


class Batch:
    """The rows of one model, and the logits [R,V] from which each draws its next token."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.rows: list[Row] = []
        self.cache: KVCache | None = None
        self.logits: Tensor | None = None  # [R,V]

    def join(self, ticket: Ticket) -> None:
        """Reads the prompt of a question and adds a row for each answer. Raises UserError if it does not fit.

        Newcomers are read one at a time, without padding: what a row begins with is what `generate` begins with.
        """
        question: Question = ticket.request
        sampling, policy = question.sampling, self.policy
        context, plain = policy.model.config.context, question.stage.plain
        ids, turns = fit_turns(policy.tokenizer, question.turns, plain, context, sampling.max_new_tokens)
        uniforms = torch.zeros(question.samples, sampling.max_new_tokens)  # [K,N]
        if sampling.temperature > 0:
            generator = torch.Generator().manual_seed(sampling.seed)
            uniforms = torch.rand(uniforms.shape, generator=generator)  # [K,N]
        logits, cache = read_prompts(policy.model, [ids], sampling.max_new_tokens, question.samples)  # [K,V]
        ticket.tell(Begun(len(question.turns) - len(turns)))
        ticket.unfinished = question.samples
        room, stop = min(sampling.max_new_tokens, context - len(ids)), stop_token(policy.tokenizer, plain)
        for sample in range(question.samples):
            self.rows.append(Row(ticket, sample, turns, uniforms[sample], room, stop, TextStream(policy.tokenizer)))
        self.cache = cache if self.cache is None else joined(self.cache, cache)
        self.logits = logits if self.logits is None else torch.cat((self.logits, logits))  # [R,V]

    def step(self) -> None:
        """Writes one token of each row; rows that have ended, or that nobody waits for, leave."""
        if self.rows:
            self._fail_rows_that_are_not_finite()
            self._keep_live_rows()
        if not self.rows:
            return
        distribution = self._distribution()  # [R,V]
        uniforms = torch.stack([row.uniforms[len(row.ids)] for row in self.rows]).to(distribution.device)  # [R]
        chosen = inverse_cdf_sample(distribution, uniforms)  # [R]
        tokens = chosen.tolist()
        for row, token, told in zip(self.rows, tokens, self._told(distribution, chosen), strict=True):
            self._write(row, token, told)
        kept = self._keep_live_rows()
        if self.rows:
            chosen = chosen if kept is None else chosen[kept]
            layout = self.cache.begin(1)
            model = self.policy.model
            self.logits = model.logits(model.hidden(chosen[:, None], layout, self.cache)[:, 0])  # [R,V]

    def _fail_rows_that_are_not_finite(self) -> None:
        for row, finite in zip(self.rows, self.logits.isfinite().all(dim=1).tolist(), strict=True):
            if not finite:
                fail(row.ticket, "the model's logits are not finite numbers, so that no token can be chosen")

    def _distribution(self) -> Tensor:
        """Log-probabilities [R,V] that the rows draw from: those with the same settings in one call."""
        groups: dict[tuple[float, int, float], list[int]] = {}
        for number, row in enumerate(self.rows):
            sampling = row.ticket.request.sampling
            groups.setdefault((sampling.temperature, sampling.top_k, sampling.top_p), []).append(number)
        if len(groups) == 1:
            return sampling_logprobs(self.logits, *next(iter(groups)))  # [R,V]
        distribution = torch.empty(self.logits.shape, device=self.logits.device)  # [R,V]
        for settings, members in groups.items():
            distribution[members] = sampling_logprobs(self.logits[members], *settings)
        return distribution

    def _told(self, distribution: Tensor, chosen: Tensor) -> list[ChosenToken]:
        """The chosen token of each row with its probability, and the most probable ones, for display; chosen [R]."""
        own = sampling_logprobs(self.logits, 1.0)  # [R,V], the model's own, whatever the settings are
        best = own.topk(min(ALTERNATIVES, own.shape[-1]), dim=-1).indices  # [R,5]
        shown = torch.cat((chosen[:, None], best), dim=1)  # [R,6]
        columns = (shown, own.gather(1, shown).exp(), distribution.gather(1, shown).exp())  # [R,6] each
        told = []
        for numbers in zip(*(column.tolist() for column in columns), strict=True):
            first, *others = (Choice(self.policy.texts[token], p, q) for token, p, q in zip(*numbers, strict=True))
            told.append(ChosenToken(first, tuple(others)))
        return told

    def _write(self, row: Row, token: int, told: ChosenToken) -> None:
        """Adds a token to a row, and ends the row with the stop token or where there is no more room."""
        ended = token == row.stop
        row.ids.append(token)
        if ended:
            row.tell_rest()
        row.held.append(told)
        text = "" if ended else row.stream.add(token)
        if text or ended:
            row.tell(text)
        if ended or len(row.ids) == row.room:
            self._finish(row, ended)

    def _finish(self, row: Row, ended: bool) -> None:
        row.finished = True
        row.tell_rest()
        policy, ticket = self.policy, row.ticket
        ids = row.ids[:-1] if ended else row.ids
        score = None
        if policy.reward_model is not None and not ticket.cancelled:
            score = score_answer(policy.reward_model, policy.tokenizer, row.turns, ids, ended)
        ticket.tell(Answer(row.sample, policy.tokenizer.decode(ids).strip(), ended, score))
        ticket.unfinished -= 1
        if ticket.unfinished == 0:
            ticket.tell(Done())

    def _keep_live_rows(self) -> Tensor | None:
        """Drops the other rows. Returns the numbers of those that stay, in their new order; None if all do."""
        live = torch.tensor([row.live for row in self.rows], dtype=torch.bool)  # [R]
        count = int(live.sum())
        if count == len(self.rows):
            return None
        if count == 0:
            self.rows, self.cache, self.logits = [], None, None
            return None
        kept = compaction(live, count)  # [count]
        self.rows = [self.rows[number] for number in kept.tolist()]
        kept = kept.to(self.logits.device)
        self.cache.keep(kept)
        self.logits = self.logits[kept]  # [count,V]
        return kept


def fail(ticket: Ticket, sentence: str) -> None:
    """Ends a request with one sentence; its rows leave the batch before the next token."""
    ticket.tell(Failed(sentence))
    ticket.cancel()


def joined(first: KVCache, second: KVCache) -> KVCache:
    """A cache with the rows of both, first those of `first`. Their lengths may differ: each row has its own mask."""
    rows = len(first.lengths) + len(second.lengths)
    both = KVCache(first.layers, rows, max(first.slots, second.slots), first.lengths.device)
    numbers = torch.arange(rows, device=first.lengths.device)  # [B1+B2]
    both.put(numbers[: len(first.lengths)], first)
    both.put(numbers[len(first.lengths) :], second)
    return both
