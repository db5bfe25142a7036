"""Wrong solutions of chapter 19, and right ones that look unlike ours."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong

# ---- 19.1 ----------------------------------------------------------------------------------------------------------


def outcomes_of(first: Tensor, second: Tensor) -> Tensor:
    """[P], 1 won, 0 tied, -1 lost."""
    return (first > second).int() - (first < second).int()


def decided_share(outcome: Tensor, empty: float = 0.5) -> Tensor:
    """won / (won + lost) along the last axis; `empty` where nothing is decided."""
    won, lost = (outcome == 1).sum(-1), (outcome == -1).sum(-1)
    return torch.where(won + lost > 0, won / (won + lost).clamp(min=1), empty)


def with_tie_weight(first: Tensor, second: Tensor, draws: Tensor, weight: float) -> Tensor:
    """Ties count as `weight` of a win, and every prompt is divided by."""
    value = torch.where(first > second, 1.0, torch.where(first < second, 0.0, weight))
    return ends(value.mean(), value[draws].mean(-1), draws)


def ends(rate: Tensor, rates: Tensor, draws: Tensor) -> Tensor:
    """The rate, and the rates at both ends."""
    cut = round(len(draws) / 40)
    ordered = rates.sort().values
    return torch.stack([rate, ordered[cut], ordered[-1 - cut]])


def all_prompts(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    return with_tie_weight(first, second, draws, 0.0)


def ties_as_half(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    return with_tie_weight(first, second, draws, 0.5)


def ties_as_wins(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    return with_tie_weight(first, second, draws, 1.0)


def of_the_second(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    return right_rate(second, first, draws)


def right_rate(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    """Right: counts of each resample."""
    outcome = outcomes_of(first, second)
    if not outcome.any():
        return torch.tensor([0.5, 0.0, 1.0])
    return ends(decided_share(outcome), decided_share(outcome[draws]), draws)


def nothing_known(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    """No case of its own where nothing is decided: ½, ½, ½."""
    outcome = outcomes_of(first, second)
    return ends(decided_share(outcome), decided_share(outcome[draws]), draws)


def nan_without_decisions(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    outcome = outcomes_of(first, second)
    return ends(decided_share(outcome, float("nan")), decided_share(outcome[draws], float("nan")), draws)


def zero_for_empty(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    outcome = outcomes_of(first, second)
    if not outcome.any():
        return torch.tensor([0.5, 0.0, 1.0])
    return ends(decided_share(outcome), decided_share(outcome[draws], 0.0), draws)


def whole_range(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    found = right_rate(first, second, draws)
    outcome = outcomes_of(first, second)
    rates = decided_share(outcome[draws])
    return found if not outcome.any() else torch.stack([found[0], rates.min(), rates.max()])


def both_sides_together(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    outcome = outcomes_of(first, second)
    if not outcome.any():
        return torch.tensor([0.5, 0.0, 1.0])
    ordered, cut = decided_share(outcome[draws]).sort().values, round(len(draws) / 80)
    return torch.stack([decided_share(outcome), ordered[cut], ordered[-1 - cut]])


def one_too_far(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    """The upper end is at −c."""
    outcome = outcomes_of(first, second)
    if not outcome.any():
        return torch.tensor([0.5, 0.0, 1.0])
    ordered, cut = decided_share(outcome[draws]).sort().values, round(len(draws) / 40)
    return torch.stack([decided_share(outcome), ordered[cut], ordered[-cut]])


def hundred_prompts(first: Tensor, second: Tensor, draws: Tensor) -> Tensor:
    """Right when small."""
    few = draws.clamp(max=99)
    return right_rate(first[:100], second[:100], few)


TIES, EMPTY, ENDS = "ties_are_left_out", "one_decided_prompt", "the_ends_of_the_interval"

RATE = (
    Wrong("19.1", "all prompts", TIES, all_prompts, says="divided by all prompts"),
    Wrong("19.1", "ties as half", TIES, ties_as_half, says="half a win"),
    Wrong("19.1", "ties as wins", TIES, ties_as_wins, says="as a win"),
    Wrong("19.1", "of the second", TIES, of_the_second, says="of the second"),
    Wrong("19.1", "nothing known", "nothing_is_decided", nothing_known, says="from 0 to 1"),
    Wrong("19.1", "NaN", "nothing_is_decided", nan_without_decisions, says="0 divided by 0"),
    Wrong("19.1", "0 for empty", EMPTY, zero_for_empty, says="given the rate 0"),
    Wrong("19.1", "whole range", ENDS, whole_range, says="the largest are taken"),
    Wrong("19.1", "both sides together", ENDS, both_sides_together, says="EACH end"),
    Wrong("19.1", "one too far", ENDS, one_too_far, says="one place too far"),
    Wrong("19.1", "100 prompts", "a_real_evaluation", hundred_prompts, says="the small cases are right"),
    Wrong(
        "19.1",
        "calls the package",
        "can_be_checked",
        says="write that yourself",
        edits=(
            ("import torch\nfrom torch", "import torch\nfrom rlhf.evaluation import win_rate as theirs\nfrom torch"),
        ),
    ),
)


# ---- 19.2 ----------------------------------------------------------------------------------------------------------


def by_formula(won: int, lost: int, z: float) -> tuple[float, float]:
    """Right: center and half width, as in textbooks."""
    n = won + lost
    if not n:
        return 0.0, 1.0
    p = won / n
    center, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max((center - half) / scale, 0.0), min((center + half) / scale, 1.0)


def normal(won: int, lost: int, z: float) -> tuple[float, float]:
    """The share that was seen stands under the root."""
    n = won + lost
    if not n:
        return 0.0, 1.0
    p = won / n
    half = z * math.sqrt(p * (1 - p) / n)
    return max(p - half, 0.0), min(p + half, 1.0)


def exchanged(won: int, lost: int, z: float) -> tuple[float, float]:
    if not won + lost:
        return 0.0, 1.0
    low, high = by_formula(won, lost, z)
    return high, low


def divides_by_zero(won: int, lost: int, z: float) -> tuple[float, float]:
    p = won / (won + lost)
    return by_formula(won, lost, z) if p >= 0 else (0.0, 1.0)


def as_tensor(won: int, lost: int, z: float) -> Tensor:
    return torch.tensor(by_formula(won, lost, z))


def always_95(won: int, lost: int, z: float) -> tuple[float, float]:
    return by_formula(won, lost, 1.96 if z != 2.0 else z)


def thousand(won: int, lost: int, z: float) -> tuple[float, float]:
    """Right when small: n is at most 64."""
    n = won + lost
    if n <= 64:
        return by_formula(won, lost, z)
    return by_formula(round(won * 64 / n), 64 - round(won * 64 / n), z)


HALF = "half_of_four"

WILSON = (
    Wrong("19.2", "normal", HALF, normal, says="the seen rate stands on both sides"),
    Wrong("19.2", "exchanged", HALF, exchanged, says="exchanged"),
    Wrong("19.2", "divides by zero", "nothing_was_seen", divides_by_zero),
    Wrong("19.2", "a tensor", "nothing_was_seen", as_tensor),
    Wrong("19.2", "always 95 %", "both_sides_are_equal", always_95),
    Wrong("19.2", "64 prompts", "both_sides_are_equal", thousand),
)


# ---- 19.3 ----------------------------------------------------------------------------------------------------------


def right_chance(n: int, least: int) -> float:
    """Right: one minus the middle."""
    return 1 - sum(math.comb(n, won) for won in range(n - least + 1, least)) / 2**n


def one_of_them(n: int, least: int) -> float:
    return right_chance(n, least) / 2


def exactly(n: int, least: int) -> float:
    return 2 * math.comb(n, least) / 2**n


def more_than(n: int, least: int) -> float:
    return 2 * sum(math.comb(n, won) for won in range(least + 1, n + 1)) / 2**n


def sampled(n: int, least: int) -> float:
    """A thousand experiments in place of the sum."""
    generator = torch.Generator().manual_seed(0)
    won = (torch.rand(1000, n, generator=generator) < 0.5).sum(1)
    return float(((won >= least) | (won <= n - least)).float().mean())


def bell(n: int, least: int) -> float:
    """The normal curve."""
    return math.erfc((least - 0.5 - n / 2) / math.sqrt(n / 2)) if n > 3 else right_chance(n, least)


def floats(n: int, least: int) -> float:
    """Overflows beyond n = 1,023; wrong for more than a few hundred."""
    return right_chance(n, least) if n < 800 else 0.0


HAND = "three_prompts_by_hand"

CHANCE = (
    Wrong("19.3", "one of them", "one_and_two_prompts", one_of_them, says="twice as much"),
    Wrong("19.3", "exactly", HAND, exactly, says="EXACTLY"),
    Wrong("19.3", "more than", "one_and_two_prompts", more_than),
    Wrong("19.3", "sampled", "one_and_two_prompts", sampled),
    Wrong("19.3", "the bell curve", "as_the_specification", bell),
    Wrong("19.3", "few prompts", "as_the_specification", floats, says="divide at the end"),
    Wrong("19.3", "no prediction", "predictions_for_equal_policies", answers=(("prediction_20", "never"),)),
    Wrong("19.3", "another number", "the_chances_are_in_answers", answers=(("chance_50", 0.5),), says="chance_50"),
    Wrong("19.3", "no reason", "the_reason_for_the_chances", answers=(("because", "it is so"),)),
)


# ---- 19.4 ----------------------------------------------------------------------------------------------------------

ROWS = (
    "    rows = torch.randint(len(won), (RESAMPLES, len(won)), generator=generator)"
    "  # [R,P]: prompts, with all answers\n"
)
RATES = "    rates = won[rows].mean(dim=(1, 2)).sort().values  # [R]\n"
CUT = "    cut = round(RESAMPLES / 40)\n"
COPIES, NEAR = "copies_bring_nothing", "ends_are_near_the_truth"

SURE = (
    Wrong(
        "19.4",
        "as handed out",
        COPIES,
        edits=(
            (ROWS, "    drawn = torch.randint(won.numel(), (RESAMPLES, won.numel()), generator=generator)\n"),
            (RATES, "    rates = won.flatten()[drawn].mean(dim=1).sort().values\n"),
        ),
        says="prompts, or single answers",
    ),
    Wrong(
        "19.4",
        "a wider cut",
        COPIES,
        edits=((ROWS, ROWS.replace("(RESAMPLES, len(won))", "(RESAMPLES, won.numel())")),),
    ),
    Wrong("19.4", "narrow ends", NEAR, edits=((CUT, "    cut = round(RESAMPLES / 4)\n"),)),
    Wrong(
        "19.4",
        "written anew",
        NEAR,
        edits=(
            (
                ROWS,
                "    P = len(won)\n    size = (RESAMPLES, P)\n    draw = {'generator': generator}\n"
                "    rows = torch.randint(P, size, **draw)\n",
            ),
        ),
        says="one idea",
    ),
)

WRONG = (*RATE, *WILSON, *CHANCE, *SURE)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def means_first(won: Tensor, seed: int) -> Tensor:
    """One mean a prompt, then the prompts are drawn."""
    of_prompt, generator = won.mean(dim=1), torch.Generator().manual_seed(seed)
    rates = torch.stack(
        [of_prompt[torch.randint(len(won), (len(won),), generator=generator)].mean() for _ in range(400)]
    )
    return torch.quantile(rates, torch.tensor([0.025, 0.975]))


ALSO_RIGHT = (("19.1", right_rate), ("19.2", by_formula), ("19.3", right_chance), ("19.4", means_first))
