"""Wrong losses of chapter 15 (15.1, 15.4), and right ones that look unlike ours."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.instructor.wrong import Wrong


def beats(ranks: Tensor, group: Tensor) -> Tensor:
    """[N,N], True at (w, l) where w beats l."""
    return (ranks[:, None] < ranks[None]) & (group[:, None] == group[None])


def mean_per_prompt(scores: Tensor, wins: Tensor, group: Tensor) -> Tensor:
    """Σ over prompts of the mean of −log σ over `wins` [N,N]."""
    costs = F.softplus(scores[None] - scores[:, None]) * wins
    counts = [wins[group == prompt].sum().clamp(min=1) for prompt in group.unique()]
    return sum(costs[group == prompt].sum() / n for prompt, n in zip(group.unique(), counts, strict=True))


# ---- 15.1 ----------------------------------------------------------------------------------------------------------


def pairs_added_up(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    return (F.softplus(scores[None] - scores[:, None]) * beats(ranks, group)).sum()


def divided_by_k(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    costs = F.softplus(scores[None] - scores[:, None]) * beats(ranks, group)
    return sum(costs[group == prompt].sum() / (group == prompt).sum() for prompt in group.unique())


def both_orders(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Every pair in both orders, and the mean of all of them."""
    unequal = (ranks[:, None] != ranks[None]) & (group[:, None] == group[None])
    return mean_per_prompt(scores, unequal, group)


def winner_and_loser_swapped(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    return mean_per_prompt(scores, beats(-ranks, group), group)


def neighbours_only(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    total = scores.sum() * 0
    for prompt in group.unique():
        order = torch.nonzero(group == prompt).flatten()
        order = order[ranks[order].argsort()]
        total = total + F.softplus(scores[order[1:]] - scores[order[:-1]]).mean()
    return total


def best_against_the_rest(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    wins = beats(ranks, group)
    best = ~wins.any(dim=0)  # [N], nobody beats it
    return mean_per_prompt(scores, wins & best[:, None], group)


def across_prompts(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    return mean_per_prompt(scores, ranks[:, None] < ranks[None], group)


def mean_over_prompts(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    return mean_per_prompt(scores, beats(ranks, group), group) / len(group.unique())


def one_pot(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    wins = beats(ranks, group)
    return (F.softplus(scores[None] - scores[:, None]) * wins).sum() / wins.sum().clamp(min=1) * len(group.unique())


def ties_win(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """<= where < belongs; the diagonal is left out."""
    wins = (ranks[:, None] <= ranks[None]) & (group[:, None] == group[None]) & ~torch.eye(len(ranks), dtype=torch.bool)
    return mean_per_prompt(scores, wins, group)


def ties_counted(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Divided by K(K−1)/2, ties or not."""
    costs = F.softplus(scores[None] - scores[:, None]) * beats(ranks, group)
    sizes = [int((group == prompt).sum()) for prompt in group.unique()]
    parts = [costs[group == prompt].sum() for prompt in group.unique()]
    return sum(part / max(k * (k - 1) / 2, 1) for part, k in zip(parts, sizes, strict=True))


def zero_by_zero(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    wins = beats(ranks, group)
    costs = F.softplus(scores[None] - scores[:, None]) * wins
    return sum(costs[group == prompt].sum() / wins[group == prompt].sum() for prompt in group.unique())


def log_of_sigmoid(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Two steps, of which the first underflows."""
    wins = torch.nonzero(beats(ranks, group))
    counts = beats(ranks, group).sum(1)
    pairs = torch.stack([counts[group == prompt].sum() for prompt in group])
    return sum((-torch.log(torch.sigmoid(scores[w] - scores[l])) / pairs[w] for w, l in wins), scores.sum() * 0)


def side_by_side(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Cuts the batch where the prompt's size says, as if its answers stood side by side."""
    total, start = scores.sum() * 0, 0
    for prompt in group.unique():
        end = start + int((group == prompt).sum())
        wins = ranks[start:end, None] < ranks[None, start:end]
        costs = F.softplus(scores[None, start:end] - scores[start:end, None]) * wins
        total, start = total + costs.sum() / wins.sum().clamp(min=1), end
    return total


def through_numbers(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    return torch.tensor(mean_per_prompt(scores, beats(ranks, group), group).item())


LN2, PAIRS, SUM = "equal_scores_cost_ln_2", "every_pair_counts_once", "prompts_add_up"
TIES, FINITE = "ties_make_no_pair", "far_apart_is_finite"

KWISE = (
    Wrong("15.1", "added up", LN2, pairs_added_up, says="divide by their number"),
    Wrong("15.1", "divided by K", LN2, divided_by_k),
    Wrong("15.1", "both orders", "the_better_answer_should_score_higher", both_orders, says="both orders"),
    Wrong("15.1", "swapped", "the_better_answer_should_score_higher", winner_and_loser_swapped, says="SMALLER rank"),
    Wrong("15.1", "neighbours only", PAIRS, neighbours_only, says="neighbours"),
    Wrong("15.1", "best against the rest", PAIRS, best_against_the_rest, says="only the best"),
    Wrong("15.1", "across prompts", "prompts_are_not_compared", across_prompts, says="compared with each other"),
    Wrong("15.1", "mean over prompts", SUM, mean_over_prompts, says="mean over prompts"),
    Wrong("15.1", "one pot", SUM, one_pot, says="one pot"),
    Wrong("15.1", "ties win", TIES, ties_win, says="strict"),
    Wrong("15.1", "ties counted", TIES, ties_counted, says="is counted"),
    Wrong("15.1", "0 by 0", TIES, zero_by_zero, says="0 divided by 0"),
    Wrong("15.1", "log of sigmoid", FINITE, log_of_sigmoid, says="softplus"),
    Wrong("15.1", "side by side", "prompts_are_not_compared", side_by_side),
    Wrong("15.1", "a new tensor", "score_gradients_flow", through_numbers, says="gradient"),
    Wrong(
        "15.1",
        "imports the reference",
        "can_be_checked",
        says="write that yourself",
        edits=(
            ("import torch\n", "import torch\n\nfrom rlhf import ranking\n"),
            (
                "    wins = ranks.unsqueeze(1) < ranks.unsqueeze(0)  # [N,N]\n",
                "    return ranking.kwise_loss(scores, ranks, group)\n    wins = ranks == ranks\n",
            ),
        ),
    ),
)


# ---- 15.4 ----------------------------------------------------------------------------------------------------------


def half_wins(ranks: Tensor, group: Tensor) -> Tensor:
    """[N,N], 1 where w beats l, one half for a tie; the diagonal too, at first."""
    same = group[:, None] == group[None]
    return ((ranks[:, None] < ranks[None]) + 0.5 * (ranks[:, None] == ranks[None])) * same


def without_diagonal(wins: Tensor) -> Tensor:
    return wins * ~torch.eye(len(wins), dtype=torch.bool)


def ties_dropped(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    return mean_per_prompt(scores, beats(ranks, group), group)


def whole_wins(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """A tie is a whole win for both; divided by the number of pairs."""
    wins = without_diagonal(half_wins(ranks, group))
    costs = F.softplus(scores[None] - scores[:, None]) * (wins > 0)
    return sum(costs[group == p].sum() / wins[group == p].sum().clamp(min=1) for p in group.unique())


def first_wins(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Of two equal answers the first one wins."""
    place = torch.arange(len(ranks))
    return mean_per_prompt(scores, beats(ranks * len(ranks) + place, group), group)


def ties_not_counted(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    wins = without_diagonal(half_wins(ranks, group))
    costs = F.softplus(scores[None] - scores[:, None]) * wins
    return sum(costs[group == p].sum() / beats(ranks, group)[group == p].sum().clamp(min=1) for p in group.unique())


def tied_with_itself(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """The diagonal is a tie as well, and costs ½ ln 2 an answer."""
    return mean_per_prompt(scores, half_wins(ranks, group), group)


def itself_where_alone(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Divides by K(K−1)/2, which is 0 for an answer alone."""
    wins = without_diagonal(half_wins(ranks, group))
    costs = F.softplus(scores[None] - scores[:, None]) * wins
    return sum(costs[group == p].sum() / wins[group == p].sum() for p in group.unique())


def ties_across_prompts(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    wins = beats(ranks, group) + 0.5 * without_diagonal(ranks[:, None] == ranks[None])
    costs = F.softplus(scores[None] - scores[:, None]) * wins
    sizes = [int((group == p).sum()) for p in group.unique()]
    parts = [costs[group == p].sum() for p in group.unique()]
    return sum(part / max(k * (k - 1) / 2, 1) for part, k in zip(parts, sizes, strict=True))


def difference_squared(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Pulls tied scores together in another way."""
    tied = without_diagonal(half_wins(ranks, group) == 0.5)
    costs = F.softplus(scores[None] - scores[:, None]) * beats(ranks, group)
    costs = costs + (scores[None] - scores[:, None]) ** 2 * tied / 2
    wins = without_diagonal(half_wins(ranks, group))
    return sum(costs[group == p].sum() / wins[group == p].sum().clamp(min=1) for p in group.unique())


def no_gradient_for_ties(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    wins = without_diagonal(half_wins(ranks, group))
    costs = F.softplus(scores[None] - scores[:, None])
    costs = torch.where(wins == 0.5, costs.detach(), costs) * wins
    return sum(costs[group == p].sum() / wins[group == p].sum().clamp(min=1) for p in group.unique())


HAND = "a_tie_by_hand"

HALF = (
    Wrong("15.4", "ties dropped", HAND, ties_dropped, says="dropped"),
    Wrong("15.4", "whole wins", HAND, whole_wins, says="a whole win"),
    Wrong("15.4", "the first wins", HAND, first_wins, says="win of the first"),
    Wrong("15.4", "ties not counted", "a_tie_counts_among_the_pairs", ties_not_counted, says="number of pairs"),
    Wrong("15.4", "tied with itself", "without_ties_nothing_changes", tied_with_itself),
    Wrong("15.4", "0 by 0", "an_answer_alone_has_no_pair", itself_where_alone, says="0 is divided by 0"),
    Wrong("15.4", "across prompts", "an_answer_alone_has_no_pair", ties_across_prompts, says="prompts are compared"),
    Wrong("15.4", "squared", HAND, difference_squared),
    Wrong("15.4", "no gradient for ties", "ties_pull_scores_together", no_gradient_for_ties),
)

WRONG = (*KWISE, *HALF)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def pair_by_pair(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    total = scores.sum() * 0
    for prompt in range(int(group.max()) + 1):
        answers = [n for n in range(len(scores)) if group[n] == prompt]
        costs = [
            -F.logsigmoid(scores[i] - scores[j]) if ranks[i] < ranks[j] else -F.logsigmoid(scores[j] - scores[i])
            for i, j in itertools.combinations(answers, 2)
            if ranks[i] != ranks[j]
        ]
        if costs:
            total = total + torch.stack(costs).mean()
    return total


def ties_as_targets(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """Binary cross-entropy against 1, 0 or one half."""
    total = scores.sum() * 0
    for prompt in group.unique():
        mine = torch.nonzero(group == prompt).flatten()
        i, j = torch.triu_indices(len(mine), len(mine), offset=1)
        if len(i):
            target = (1 + (ranks[mine[j]] - ranks[mine[i]]).sign().float()) / 2
            difference = scores[mine[i]] - scores[mine[j]]
            total = total + F.binary_cross_entropy_with_logits(difference, target)
    return total


ALSO_RIGHT = (("15.1", pair_by_pair), ("15.4", ties_as_targets))
