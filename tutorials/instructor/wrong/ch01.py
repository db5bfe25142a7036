"""Wrong solutions of chapter 01 (1.1, 1.2), and right ones that look unlike ours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.exercises.specs.ch01 import smoothed_bigram as loops
from tutorials.exercises.specs.ch01 import with_cache as cache_loops
from tutorials.instructor.wrong import Wrong


def pair_counts(ids: Tensor, V: int) -> Tensor:
    """c(h w) [V,V]."""
    return torch.bincount(ids[:-1] * V + ids[1:], minlength=V * V).view(V, V).float()


def mixed(pairs: Tensor, lower: Tensor, discount: float, spread: Tensor | None = None) -> Tensor:
    """The formula of 1.1 for given counts, lower-order distribution and, if given, another share to spread [V,1]."""
    total = pairs.sum(1, keepdim=True)
    spread = discount * (pairs > 0).sum(1, keepdim=True) if spread is None else spread
    rows = ((pairs - discount).clamp(min=0) + spread * lower) / total.clamp(min=1)
    return torch.where(total > 0, rows, lower)


def different_before(pairs: Tensor) -> Tensor:
    return (pairs > 0).sum(0) / (pairs > 0).sum()


# ---- 1.1 -----------------------------------------------------------------------------------------------------------


def plain_lower(ids: Tensor, V: int, discount: float) -> Tensor:
    """p(w) by how often the word occurs."""
    return mixed(pair_counts(ids, V), torch.bincount(ids[1:], minlength=V) / (len(ids) - 1), discount)


def uniform_lower(ids: Tensor, V: int, discount: float) -> Tensor:
    return mixed(pair_counts(ids, V), torch.full((V,), 1 / V), discount)


def nothing_spread(ids: Tensor, V: int, discount: float) -> Tensor:
    pairs = pair_counts(ids, V)
    return mixed(pairs, different_before(pairs), discount, torch.zeros(V, 1))


def one_discount_spread(ids: Tensor, V: int, discount: float) -> Tensor:
    pairs = pair_counts(ids, V)
    return mixed(pairs, different_before(pairs), discount, torch.full((V, 1), discount))


def turned_round(ids: Tensor, V: int, discount: float) -> Tensor:
    return loops(ids.flip(0), V, discount)


def pairs_once(ids: Tensor, V: int, discount: float) -> Tensor:
    pairs = (pair_counts(ids, V) > 0).float()
    return mixed(pairs, different_before(pairs), discount)


def last_word_counted(ids: Tensor, V: int, discount: float) -> Tensor:
    """c(h) as the number of times that h occurs, its last place included."""
    pairs = pair_counts(ids, V)
    total = torch.bincount(ids, minlength=V)[:, None].float()
    seen = pairs > 0
    rows = ((pairs - discount).clamp(min=0) + discount * seen.sum(1, keepdim=True) * different_before(pairs)) / total
    return torch.where(pairs.sum(1, keepdim=True) > 0, rows, different_before(pairs))


def nan_rows(ids: Tensor, V: int, discount: float) -> Tensor:
    pairs = pair_counts(ids, V)
    seen = pairs > 0
    spread = discount * seen.sum(1, keepdim=True) * different_before(pairs)
    return ((pairs - discount).clamp(min=0) + spread) / pairs.sum(1, keepdim=True)


def uniform_where_nothing_follows(ids: Tensor, V: int, discount: float) -> Tensor:
    table = loops(ids, V, discount)
    table[pair_counts(ids, V).sum(1) == 0] = 1 / V
    return table


def without_clamp(ids: Tensor, V: int, discount: float) -> Tensor:
    """Takes the discount off pairs that never occurred as well."""
    pairs = pair_counts(ids, V)
    total = pairs.sum(1, keepdim=True)
    rows = (pairs - discount + discount * (pairs > 0).sum(1, keepdim=True) * different_before(pairs)) / total.clamp(
        min=1
    )
    return torch.where(total > 0, rows, different_before(pairs))


def thirty_two_words(ids: Tensor, V: int, discount: float) -> Tensor:
    """Right when small: later words get the row of the lower order."""
    table = loops(ids, V, discount)
    pairs = pair_counts(ids, V)
    table[32:] = different_before(pairs)
    return table


def two_hundred_places(ids: Tensor, V: int, discount: float) -> Tensor:
    """Right when small: reads the first 200 words of a text."""
    return loops(ids[:200], V, discount)


def without_keepdim(ids: Tensor, V: int, discount: float) -> Tensor:
    """The sums of the rows, spread over the columns."""
    pairs = pair_counts(ids, V)
    total, kinds = pairs.sum(1).clamp(min=1), (pairs > 0).sum(1)
    return (pairs - discount).clamp(min=0) / total + discount * kinds / total * different_before(pairs)


def nothing_taken(ids: Tensor, V: int, discount: float) -> Tensor:
    pairs = pair_counts(ids, V)
    spread = discount * (pairs > 0).sum(1, keepdim=True)
    return mixed(pairs, different_before(pairs), 0.0, spread)


def kinds_before(ids: Tensor, V: int, discount: float) -> Tensor:
    """N(· w) in the place of N(h ·)."""
    pairs = pair_counts(ids, V)
    return mixed(pairs, different_before(pairs), discount, discount * (pairs > 0).sum(0))


def different_after(ids: Tensor, V: int, discount: float) -> Tensor:
    pairs = pair_counts(ids, V)
    return mixed(pairs, different_before(pairs.T), discount)


PLAIN, HAND, SUMS = "without_discount_plain_shares", "the_discount_by_hand", "every_row_adds_up"
NOTHING, LONG = "a_word_that_nothing_follows", "a_long_text"

BIGRAM = (
    Wrong("1.1", "plain lower order", HAND, plain_lower, says="different words before it"),
    Wrong("1.1", "uniform lower order", HAND, uniform_lower),
    Wrong("1.1", "nothing spread", HAND, nothing_spread, says="must add up to 1"),
    Wrong("1.1", "one discount spread", HAND, one_discount_spread, says="whatever the number of followers"),
    Wrong("1.1", "turned round", PLAIN, turned_round),
    Wrong("1.1", "pairs once", PLAIN, pairs_once, says="every pair is counted once"),
    Wrong("1.1", "last word counted", PLAIN, last_word_counted, says="after which nothing follows"),
    Wrong("1.1", "NaN rows", SUMS, nan_rows, says="nothing ever followed h"),
    Wrong("1.1", "uniform where nothing follows", NOTHING, uniform_where_nothing_follows, says="equally likely there"),
    Wrong("1.1", "without clamp", HAND, without_clamp, says="never occurred"),
    Wrong("1.1", "without keepdim", PLAIN, without_keepdim, says="keepdim"),
    Wrong("1.1", "nothing taken", HAND, nothing_taken, says="nothing is taken off"),
    Wrong("1.1", "kinds before", HAND, kinds_before, says="along the row"),
    Wrong("1.1", "different words after", NOTHING, different_after, says="AFTER"),
    Wrong("1.1", "32 words", LONG, thirty_two_words, says="words of"),
    Wrong("1.1", "200 places", LONG, two_hundred_places, says="words of"),
    Wrong(
        "1.1",
        "imports the reference",
        "can_be_checked",
        says="write that yourself",
        edits=(("import torch\n", "import torch\n\nimport minigpt.relatives.ngram\n"),),
    ),
)


# ---- 1.2 -----------------------------------------------------------------------------------------------------------


def cache_of(ids: Tensor, V: int) -> Tensor:
    """Shares among the words 0 … t − 1 [T,V]; row 0 is 0."""
    one_hot = F.one_hot(ids, V).float()
    return (one_hot.cumsum(0) - one_hot) / torch.arange(len(ids)).clamp(min=1)[:, None]


def sees_itself(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    so_far = F.one_hot(ids, probabilities.shape[1]).cumsum(0) / torch.arange(1, len(ids) + 1)[:, None]
    return (1 - weight) * probabilities + weight * so_far


def sees_itself_but_not_first(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    return torch.cat([probabilities[:1], sees_itself(probabilities, ids, weight)[1:]])


def whole_text(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    share = F.one_hot(ids, probabilities.shape[1]).float().mean(0)
    return torch.cat([probabilities[:1], ((1 - weight) * probabilities + weight * share)[1:]])


def counts_for_shares(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    rows = (1 - weight) * probabilities + weight * cache_of(ids, probabilities.shape[1]) * torch.arange(len(ids))[
        :, None
    ]
    return torch.cat([probabilities[:1], rows[1:]])


def divided_by_one_more(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    place = torch.arange(len(ids))[:, None]
    rows = (1 - weight) * probabilities + weight * cache_of(ids, probabilities.shape[1]) * place / (place + 1)
    return torch.cat([probabilities[:1], rows[1:]])


def weights_exchanged(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    return cache_loops(probabilities, ids, 1 - weight)


def last_word_only(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    last = F.one_hot(ids, probabilities.shape[1]).float()
    return torch.cat([probabilities[:1], (1 - weight) * probabilities[1:] + weight * last[:-1]])


def smaller_first_row(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    return (1 - weight) * probabilities + weight * cache_of(ids, probabilities.shape[1])


def nan_first_row(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    one_hot = F.one_hot(ids, probabilities.shape[1]).float()
    cache = (one_hot.cumsum(0) - one_hot) / torch.arange(len(ids))[:, None]
    return (1 - weight) * probabilities + weight * cache


def changed_places(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    if weight == 1.0:
        return cache_loops(probabilities, ids, weight)
    return cache_loops(probabilities, ids, 1 - weight)


def multiplied(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    cache = cache_of(ids, probabilities.shape[1])
    cache[0] = 1.0
    product = probabilities * cache
    return product / product.sum(1, keepdim=True)


def each_word_once(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    said = (cache_of(ids, probabilities.shape[1]) > 0).float()
    rows = (1 - weight) * probabilities + weight * said / said.sum(1, keepdim=True).clamp(min=1)
    return torch.cat([probabilities[:1], rows[1:]])


def a_hundred_words(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    """Right when small: what was said more than 100 words ago is forgotten."""
    rows = cache_loops(probabilities, ids, weight)
    for t in range(101, len(ids)):
        recent = torch.bincount(ids[t - 100 : t], minlength=probabilities.shape[1]) / 100
        rows[t] = (1 - weight) * probabilities[t] + weight * recent
    return rows


def forty_words_known(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    """Right when small: a cache for the first 40 words of the vocabulary."""
    rows = cache_loops(probabilities, ids, weight)
    rows[1:, 40:] = (1 - weight) * probabilities[1:, 40:]
    return rows


FIRST, BEFORE, MIXED = "the_first_word_has_no_cache", "the_words_before_and_no_others", "the_two_are_mixed"
CACHE_LONG = "a_long_cache"

CACHE = (
    Wrong("1.2", "sees itself", FIRST, sees_itself, says="in the cache already"),
    Wrong("1.2", "sees itself, first row right", BEFORE, sees_itself_but_not_first, says="row 0 is right"),
    Wrong("1.2", "whole text", BEFORE, whole_text, says="what comes later too"),
    Wrong("1.2", "counts", BEFORE, counts_for_shares, says="those are counts"),
    Wrong("1.2", "divided by one more", BEFORE, divided_by_one_more, says="divided by t + 1"),
    Wrong("1.2", "weights exchanged", BEFORE, weights_exchanged, says="belongs to the cache"),
    Wrong("1.2", "last word only", BEFORE, last_word_only, says="only the last word"),
    Wrong("1.2", "smaller first row", FIRST, smaller_first_row, says="nothing is added"),
    Wrong("1.2", "NaN first row", FIRST, nan_first_row, says="empty before the first word"),
    Wrong("1.2", "changed places", MIXED, changed_places, says="have changed places"),
    Wrong("1.2", "multiplied", MIXED, multiplied),
    Wrong("1.2", "each word once", BEFORE, each_word_once, says="however often it was said"),
    Wrong("1.2", "100 words", CACHE_LONG, a_hundred_words, says="T ="),
    Wrong("1.2", "40 words known", CACHE_LONG, forty_words_known, says="V ="),
)

WRONG = (*BIGRAM, *CACHE)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def by_bincount(ids: Tensor, V: int, discount: float) -> Tensor:
    pairs = pair_counts(ids, V)
    return mixed(pairs, different_before(pairs), discount)


def row_by_row(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    said, rows = torch.zeros(probabilities.shape[1]), []
    for t, word in enumerate(ids.tolist()):
        rows.append(probabilities[t] if t == 0 else (1 - weight) * probabilities[t] + weight * said / t)
        said = said + F.one_hot(torch.tensor(word), probabilities.shape[1])
    return torch.stack(rows)


ALSO_RIGHT = (("1.1", by_bincount), ("1.2", row_by_row))
