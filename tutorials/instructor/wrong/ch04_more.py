"""Wrong solutions of the rest of chapter 04: the bug hunt (4.3), the test (4.4), the measurement (4.5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong
from tutorials.instructor.wrong.ch04 import masked_scores

# ---- 4.3 -----------------------------------------------------------------------------------------------------------

RIGHT_LINES = (
    '    scores = scores.masked_fill(~visible, float("-inf"))  # [B,H,T,T]\n'
    "    weights = torch.softmax(scores, dim=-1)  # [B,H,T,T]\n"
)
SECOND = "a_second_digit_cannot_be_guessed"
AFTER = (
    "    weights = torch.softmax(scores, dim=-1)  # [B,H,T,T]\n"
    "    weights = weights.masked_fill(~visible, 0.0)  # [B,H,T,T]\n"
)
DETACHED = AFTER.replace("weights.masked", "weights.detach().masked")

HUNT = (
    Wrong("4.3", "as handed out", SECOND, edits=((RIGHT_LINES, AFTER),), says="share of the weights"),
    Wrong("4.3", "detached", SECOND, edits=((RIGHT_LINES, DETACHED),)),
    Wrong("4.3", "no mask", SECOND, edits=((RIGHT_LINES, RIGHT_LINES.splitlines(keepends=True)[1]),)),
    Wrong("4.3", "zeros as scores", SECOND, edits=((RIGHT_LINES, RIGHT_LINES.replace('float("-inf")', "0.0")),)),
    Wrong("4.3", "mask turned round", SECOND, edits=(("torch.tril(", "torch.triu("),)),
    Wrong("4.3", "the scale removed", "equals_the_specification", edits=((" / math.sqrt(D)", ""),)),
    Wrong(
        "4.3",
        "written anew",
        "the_fix_is_small",
        says="start again",
        edits=(
            (
                "    scores = queries @ keys.transpose(-2, -1) / math.sqrt(D)  # [B,H,T,T]\n"
                "    visible = torch.tril(torch.ones(T, T, dtype=torch.bool, device=scores.device))  # [T,T]\n",
                "    q, k = queries / math.sqrt(D), keys\n"
                "    table = torch.einsum('bhtd,bhsd->bhts', q, k)\n"
                "    scores = table\n"
                "    visible = torch.ones(T, T, dtype=torch.bool).tril()\n",
            ),
        ),
    ),
)


# ---- 4.4 -----------------------------------------------------------------------------------------------------------


def tests_nothing(attention: object) -> None:
    return


def rejects_everything(attention: object) -> None:
    raise AssertionError


def raises_something_else(attention: object) -> None:
    raise ValueError("this is no AssertionError")


def two_tokens(attention: object) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    queries, keys, values = (torch.randn(1, 2, 4, 3, generator=generator) for _ in range(3))
    return queries, keys, values, attention(queries, keys, values)


def tests_the_shape(attention: object) -> None:
    _, _, values, output = two_tokens(attention)
    assert output.shape == values.shape


def exactly_equal(attention: object) -> None:
    """Compares without a tolerance, and so rejects another order of the same sum."""
    queries, keys, values, output = two_tokens(attention)
    assert torch.equal(output, masked_scores(queries, keys).softmax(-1) @ values)


def tests_the_mask_only(attention: object) -> None:
    queries, keys, values, output = two_tokens(attention)
    for part in range(3):
        changed = [tensor.clone() for tensor in (queries, keys, values)]
        changed[part][:, :, -1] += 1
        torch.testing.assert_close(attention(*changed)[:, :, :-1], output[:, :, :-1])


def too_large(attention: object) -> None:
    rows = torch.zeros(8, 8, 200, 8)
    assert attention(rows, rows, rows).shape == rows.shape


def tests_a_gradient(attention: object) -> None:
    """Compares a gradient, which must be there to be compared; beside that it tests nothing."""
    queries, keys, values, _ = two_tokens(attention)
    values = values.clone().requires_grad_()
    gradient = torch.autograd.grad(attention(queries, keys, values).sum(), values)[0]
    # the weights of a query add up to 1, and there are as many of them as queries
    torch.testing.assert_close(gradient.sum(), torch.tensor(float(values.numel())), rtol=1e-4, atol=1e-4)


TESTS = (
    Wrong("4.4", "tests a gradient", "catches_no_mask", tests_a_gradient, says="may not change"),
    Wrong("4.4", "tests nothing", "catches_no_mask", tests_nothing),
    Wrong("4.4", "rejects everything", "accepts_what_is_right", rejects_everything),
    Wrong("4.4", "raises something else", "accepts_what_is_right", raises_something_else, says="ValueError"),
    Wrong("4.4", "tests the shape", "catches_no_mask", tests_the_shape, says="may not change"),
    Wrong("4.4", "exactly equal", "accepts_what_is_right", exactly_equal, says="exact comparison"),
    Wrong("4.4", "tests the mask only", "catches_missing_scale", tests_the_mask_only, says="by hand"),
    Wrong("4.4", "too large", "accepts_what_is_right", too_large, says="at most"),
)


# ---- 4.5 -----------------------------------------------------------------------------------------------------------


def entropy(queries: Tensor, keys: Tensor, scaled: bool, root: float | None = None, base: float = math.e) -> float:
    root = root or (math.sqrt(queries.shape[-1]) if scaled else 1.0)
    logs = (queries @ keys.T / root).log_softmax(-1)
    return -(logs.exp() * logs).sum(-1).mean().item() / math.log(base)


def entropy_with_log_of_zero(queries: Tensor, keys: Tensor, scaled: bool) -> float:
    weights = (queries @ keys.T / (math.sqrt(queries.shape[-1]) if scaled else 1.0)).softmax(-1)
    return -(weights * weights.log()).sum(-1).mean().item()


UNIFORM = "equal_scores_give_ln_s"

ENTROPY = (
    Wrong("4.5", "bits", UNIFORM, lambda q, k, scaled: entropy(q, k, scaled, base=2), says="bits"),
    Wrong("4.5", "added up", UNIFORM, lambda q, k, scaled: entropy(q, k, scaled) * len(q), says="average"),
    Wrong("4.5", "over the queries", UNIFORM, lambda q, k, scaled: entropy(k, q, scaled), says="over the queries"),
    Wrong("4.5", "log of zero", "one_key_that_wins_gives_zero", entropy_with_log_of_zero, says="NaN"),
    Wrong(
        "4.5", "the other way round", "scaled_and_not", lambda q, k, scaled: entropy(q, k, not scaled), says="other way"
    ),
    Wrong("4.5", "always scaled", "scaled_and_not", lambda q, k, scaled: entropy(q, k, True), says="other way"),
    Wrong(
        "4.5",
        "divided by D",
        "scaled_and_not",
        lambda q, k, scaled: entropy(q, k, False, q.shape[-1] if scaled else 1.0),
    ),
    Wrong(
        "4.5", "no prediction", "predictions_are_written", answers=(("prediction_with", ""),), says="prediction_with"
    ),
    Wrong("4.5", "no such choice", "predictions_are_written", answers=(("prediction_without", "down"),), says="falls"),
    Wrong(
        "4.5", "not what it gives", "what_was_measured_is_written", answers=(("without_256", 0.5),), says="without_256"
    ),
    Wrong("4.5", "no number", "what_was_measured_is_written", answers=(("with_4", "3.388"),), says="with_4"),
    Wrong("4.5", "no reason", "the_reason_is_a_sentence", answers=(("because", "It does."),)),
)

WRONG = (*HUNT, *TESTS, *ENTROPY)


def entropy_of_products(queries: Tensor, keys: Tensor, scaled: bool) -> float:
    """Right: torch knows −p log p."""
    scores = queries @ keys.T / (queries.shape[1] ** 0.5 if scaled else 1)
    return torch.special.entr(scores.softmax(-1)).sum(-1).mean().item()


ALSO_RIGHT = (("4.5", entropy_of_products),)
