"""Wrong solutions of chapter 14 (14.1, 14.2), and right ones that look unlike ours."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.instructor.wrong import Wrong

IGNORE = -100

# ---- 14.1 ----------------------------------------------------------------------------------------------------------


def places(ids: Tensor) -> Tensor:
    """The place of each predicted token: [1,T-1]."""
    return torch.arange(1, ids.shape[1])[None]


def response(ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    """True where a response token is predicted: [B,T-1]."""
    return (places(ids) >= prompts[:, None]) & (places(ids) < lengths[:, None])


def mean_at(logits: Tensor, ids: Tensor, learned: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1][learned], ids[:, 1:][learned])


def costs(logits: Tensor, ids: Tensor, learned: Tensor) -> Tensor:
    """−log p of each next token, 0 where nothing is learned: [B,T-1]."""
    targets = ids[:, 1:].masked_fill(~learned, IGNORE)
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), targets, reduction="none", ignore_index=IGNORE)


def prompts_too(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    return mean_at(logits, ids, places(ids) < lengths[:, None])


def no_end(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    """The end is left out, where that leaves anything."""
    learned = response(ids, prompts, torch.maximum(lengths - 1, prompts + 1))
    return mean_at(logits, ids, learned)


def inputs_masked(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    """The mask of the inputs: the first response token is lost, where that leaves anything."""
    return mean_at(logits, ids, response(ids, torch.minimum(prompts + 1, lengths - 1), lengths))


def one_too_early(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    return mean_at(logits, ids, response(ids, prompts - 1, lengths))


def not_moved(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    column = torch.arange(ids.shape[1])[None]
    learned = (column >= prompts[:, None]) & (column < lengths[:, None])
    return F.cross_entropy(logits[learned], ids[learned])


def added_up(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    return costs(logits, ids, response(ids, prompts, lengths)).sum()


def over_all_places(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    return costs(logits, ids, response(ids, prompts, lengths)).mean()


def over_rows(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    return added_up(logits, ids, prompts, lengths) / len(ids)


def mean_of_means(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    learned = response(ids, prompts, lengths)
    return (costs(logits, ids, learned).sum(1) / learned.sum(1)).mean()


def gain(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    return -mean_at(logits, ids, response(ids, prompts, lengths))


def in_bits(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    return mean_at(logits, ids, response(ids, prompts, lengths)) / math.log(2)


def padding_too(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    return mean_at(logits, ids, places(ids) >= prompts[:, None])


def times_the_mask(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    """0 · NaN."""
    learned = response(ids, prompts, lengths)
    every = F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    return (every * learned).sum() / learned.sum()


def end_equals_pad(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    """Real tokens of id 0 are taken for padding, in rows that are padded with 0."""
    learned = response(ids, prompts, lengths)
    padded = (lengths < ids.shape[1]) & (ids[:, -1] == 0)  # [B]
    return mean_at(logits, ids, learned & ~(padded[:, None] & (ids[:, 1:] == 0)))


def through_numbers(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    return torch.tensor(mean_at(logits, ids, response(ids, prompts, lengths)).item())


def half_detached(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    """The right number; the normaliser of the softmax carries no gradient."""
    learned = response(ids, prompts, lengths)
    chosen, targets = logits[:, :-1][learned], ids[:, 1:][learned]
    return (chosen.logsumexp(1).detach() - chosen.gather(1, targets[:, None])[:, 0]).mean()


def sixty_four_rows(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    """Right when small."""
    return mean_at(logits[:64], ids[:64], response(ids, prompts, lengths)[:64])


def context_of_128(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    """Right when small: what stands behind the 128th token is cut off."""
    return mean_at(logits, ids, response(ids, prompts.clamp(max=127), lengths.clamp(max=128)))


def thousand_words(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    """Right when small: the softmax runs over a thousand tokens at most."""
    learned = response(ids, prompts, lengths)
    chosen, targets = logits[:, :-1][learned], ids[:, 1:][learned]
    return (chosen[:, :1000].logsumexp(1) - chosen.gather(1, targets[:, None])[:, 0]).mean()


LN_V, SIX, ALIKE = "knowing_nothing_costs_ln_v", "six_tokens_by_hand", "every_token_counts_alike"
PADDING, MANY = "whatever_is_in_the_padding", "many_long_demonstrations"

LOSS = (
    Wrong("14.1", "prompts too", SIX, prompts_too, says="the prompt is in the loss"),
    Wrong("14.1", "no end", SIX, no_end, says="the end token is not"),
    Wrong("14.1", "inputs masked", SIX, inputs_masked, says="the LAST prompt token"),
    Wrong("14.1", "one too early", SIX, one_too_early, says="<|assistant|> is in the loss"),
    Wrong("14.1", "not moved", SIX, not_moved, says="the NEXT token"),
    Wrong("14.1", "added up", LN_V, added_up, says="divide by their number"),
    Wrong("14.1", "over all places", LN_V, over_all_places, says="prompts and padding included"),
    Wrong("14.1", "over rows", LN_V, over_rows, says="not of tokens"),
    Wrong("14.1", "mean of means", ALIKE, mean_of_means, says="averaged first"),
    Wrong("14.1", "gain, not loss", LN_V, gain, says="the sign"),
    Wrong("14.1", "bits", LN_V, in_bits, says="bits"),
    Wrong("14.1", "padding too", ALIKE, padding_too),
    Wrong("14.1", "times the mask", PADDING, times_the_mask, says="0 times NaN"),
    Wrong("14.1", "an end that is the pad", PADDING, end_equals_pad, says="recognised by its id"),
    Wrong("14.1", "a new tensor", "logits_get_their_gradients", through_numbers, says="gradient"),
    Wrong("14.1", "half detached", "logits_get_their_gradients", half_detached),
    Wrong("14.1", "64 rows", MANY, sixty_four_rows, says="the small cases are right"),
    Wrong("14.1", "128 tokens", MANY, context_of_128, says="the small cases are right"),
    Wrong("14.1", "a thousand words", MANY, thousand_words, says="the small cases are right"),
    Wrong(
        "14.1",
        "calls the package",
        "can_be_checked",
        says="write that yourself",
        edits=(
            ("import torch\n", "import torch\n\nfrom minigpt.objective import next_token_loss_sum\n"),
            (
                "    return F.cross_entropy(logits[:, :-1][learned], ids[:, 1:][learned])\n",
                "    return next_token_loss_sum(logits[:, :-1][learned], ids[:, 1:][learned]) / learned.sum()\n",
            ),
        ),
    ),
)


# ---- 14.2 ----------------------------------------------------------------------------------------------------------


def opened(ids: Tensor, assistant: int, end: int) -> Tensor:
    """How many answers are open after each input: [B,T-1]."""
    return (ids[:, :-1] == assistant).long().cumsum(1) - (ids[:, :-1] == end).long().cumsum(1)


def keep(ids: Tensor, lengths: Tensor, learned: Tensor) -> Tensor:
    return ids[:, 1:].masked_fill(~learned | (places(ids) >= lengths[:, None]), IGNORE)


def everything(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    return keep(ids, lengths, torch.ones_like(ids[:, 1:], dtype=torch.bool))


def from_the_first_answer_on(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    return keep(ids, lengths, (ids[:, :-1] == assistant).cumsum(1) > 0)


def last_answer(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    real = torch.arange(ids.shape[1])[None] < lengths[:, None]
    last = ((ids == assistant) & real).long().flip(1).cumsum(1).flip(1)[:, 1:] == 0  # no further <|assistant|> follows
    return keep(ids, lengths, (opened(ids, assistant, end) > 0) & last)


def first_answer(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    one = (ids[:, :-1] == assistant).cumsum(1) == 1
    return keep(ids, lengths, (opened(ids, assistant, end) > 0) & one)


def without_end(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    return keep(ids, lengths, (opened(ids, assistant, end) > 0) & (ids[:, 1:] != end))


def without_first(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    return keep(ids, lengths, (opened(ids, assistant, end) > 0) & (ids[:, :-1] != assistant))


def with_assistant(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    return keep(ids, lengths, (opened(ids, assistant, end) > 0) | (ids[:, 1:] == assistant))


def inputs_as_targets(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    learned = (opened(ids, assistant, end) > 0) & (ids[:, :-1] != assistant)
    return ids[:, :-1].masked_fill(~learned, IGNORE)


def padding_answers(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    return ids[:, 1:].masked_fill(opened(ids, assistant, end) <= 0, IGNORE)


def zero_elsewhere(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    return ids[:, 1:] * ((opened(ids, assistant, end) > 0) & (places(ids) < lengths[:, None]))


def whole_ids(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    """As long as the ids: one target too many."""
    return F.pad(keep(ids, lengths, opened(ids, assistant, end) > 0), (0, 1), value=IGNORE)


def ids_of_the_checks(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    """Right when small: the special tokens of the first cases are written into the code."""
    return keep(ids, lengths, opened(ids, 2, 3) > 0)


def sixteen_answers(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    """Right when small."""
    few = (ids[:, :-1] == assistant).cumsum(1) <= 16
    return keep(ids, lengths, (opened(ids, assistant, end) > 0) & few)


def sixty_four_conversations(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    """Right when small."""
    row = torch.arange(len(ids))[:, None] < 64
    return keep(ids, lengths, (opened(ids, assistant, end) > 0) & row)


ONE, BOTH, NO_ANSWER, DOZENS = (
    "one_answer_by_hand", "both_answers_by_hand", "padding_is_no_answer", "many_conversations"
)  # fmt: skip

TARGETS = (
    Wrong("14.2", "everything", ONE, everything, says="the question is learned"),
    Wrong("14.2", "from the first answer on", BOTH, from_the_first_answer_on, says="the second question too"),
    Wrong("14.2", "the last answer", BOTH, last_answer, says="only the last"),
    Wrong("14.2", "the first answer", BOTH, first_answer, says="only the first"),
    Wrong("14.2", "no end", ONE, without_end, says="<|end|> is not learned"),
    Wrong("14.2", "no first token", ONE, without_first, says="<|assistant|> predicts it"),
    Wrong("14.2", "with <|assistant|>", ONE, with_assistant, says="<|assistant|> is learned"),
    Wrong("14.2", "not moved", ONE, inputs_as_targets, says="not moved"),
    Wrong("14.2", "0 for nothing", ONE, zero_elsewhere),
    Wrong("14.2", "one too many", "targets_are_shorter_by_one", whole_ids),
    Wrong("14.2", "padding answers", NO_ANSWER, padding_answers, says="lengths says where"),
    Wrong("14.2", "ids of the checks", DOZENS, ids_of_the_checks, says="small ids only"),
    Wrong("14.2", "16 answers", DOZENS, sixteen_answers),
    Wrong("14.2", "64 conversations", DOZENS, sixty_four_conversations),
)

WRONG = (*LOSS, *TARGETS)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def as_the_package(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    """IGNORE in the targets, a sum, and the number of what is left."""
    learned = response(ids, prompts, lengths)
    targets = ids[:, 1:].masked_fill(~learned, IGNORE)
    total = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")
    return total / learned.sum()


def row_by_row(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor) -> Tensor:
    rows = zip(logits, ids, prompts.tolist(), lengths.tolist(), strict=True)
    parts = [x[p - 1 : n - 1].log_softmax(-1).gather(1, row[p:n, None]) for x, row, p, n in rows]
    return -torch.cat(parts).mean()


def in_a_loop(ids: Tensor, lengths: Tensor, assistant: int, end: int) -> Tensor:
    targets = torch.full_like(ids[:, 1:], IGNORE)
    for b, row in enumerate(ids.tolist()):
        open_now = False
        for place, token in enumerate(row[: int(lengths[b])]):
            if open_now:
                targets[b, place - 1] = token
            open_now = token == assistant or (open_now and token != end)
    return targets


ALSO_RIGHT = (("14.1", as_the_package), ("14.1", row_by_row), ("14.2", in_a_loop))
