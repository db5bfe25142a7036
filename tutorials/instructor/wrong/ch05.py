"""Wrong solutions of chapter 05, and right ones that look unlike ours."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.exercises.checks import ch05 as checks
from tutorials.exercises.specs import ch05_wrong as mistakes
from tutorials.instructor.wrong import Wrong
from tutorials.instructor.wrong.ch04 import mask_of, masked_scores

# ---- 5.1 -----------------------------------------------------------------------------------------------------------


def layer(
    x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int, *, tokens: int = 10**9, size: int = 10**9
) -> Tensor:
    """Right, and wrong for more tokens or larger heads."""
    B, T, C = x.shape
    D = C // heads
    queries, keys, values = (x @ qkv_weight.T).view(B, T, 3, heads, D).permute(2, 0, 3, 1, 4)
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(min(D, size))
    place = torch.arange(T)
    hidden = ~mask_of(T) | (place[:, None] - place >= tokens)
    mixed = scores.masked_fill(hidden, -math.inf).softmax(-1) @ values
    return mixed.transpose(1, 2).reshape(B, T, C) @ projection_weight.T


def head_by_head(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """Right: every head adds its own part, and nothing is put side by side."""
    D, total = x.shape[-1] // heads, 0.0
    for h in range(heads):
        own = slice(h * D, (h + 1) * D)
        queries, keys, values = (x @ part[own].T for part in qkv_weight.chunk(3))  # [B,T,D] each
        scores = queries @ keys.transpose(1, 2) / math.sqrt(D)  # [B,T,T]
        mixed = scores.masked_fill(~mask_of(x.shape[1]), -math.inf).softmax(-1) @ values
        total = total + mixed @ projection_weight[:, own].T
    return total


def no_projection(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    return layer(x, qkv_weight, torch.eye(x.shape[-1]), heads)


def projection_not_transposed(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    return layer(x, qkv_weight, projection_weight.T, heads)


def values_first(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    return layer(x, qkv_weight.roll(x.shape[-1], dims=0), projection_weight, heads)


def residual_inside(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    return x + layer(x, qkv_weight, projection_weight, heads)


def weights_of_the_mean_head(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """All heads share the mean of their weights."""
    B, T, C = x.shape
    queries, keys, values = (x @ qkv_weight.T).view(B, T, 3, heads, C // heads).permute(2, 0, 3, 1, 4)
    weights = masked_scores(queries, keys).softmax(-1).mean(dim=1, keepdim=True)
    return (weights @ values).transpose(1, 2).reshape(B, T, C) @ projection_weight.T


def no_gradient(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    return layer(x, qkv_weight.detach(), projection_weight, heads)


def looks_back_sixty_tokens(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    return layer(x, qkv_weight, projection_weight, heads, tokens=60)


def heads_of_sixty_four(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    return layer(x, qkv_weight, projection_weight, heads, size=64)


PROJECTED, OWN = "one_token_is_projected_twice", "a_head_reads_its_own_channels"
EQUAL, SIZE = "many_heads_equal_the_specification", "many_heads_at_any_size"

LAYER = (
    Wrong("5.1", "split by a view", OWN, mistakes.split_by_view, says="cut out by a view"),
    Wrong("5.1", "merged by a view", OWN, mistakes.merged_by_view, says="put together by a view"),
    Wrong("5.1", "interleaved", OWN, mistakes.heads_interleaved, says="every H-th channel"),
    Wrong("5.1", "heads first", PROJECTED, mistakes.heads_first, says="the other way round"),
    Wrong("5.1", "one head", OWN, mistakes.as_one_head, says="one head with all channels"),
    Wrong("5.1", "√C", OWN, mistakes.scaled_by_all, says="√C"),
    Wrong("5.1", "not scaled", OWN, mistakes.not_scaled, says="not divided by √D"),
    Wrong("5.1", "masked too late", OWN, mistakes.masked_too_late, says="after the softmax"),
    Wrong("5.1", "no mask", OWN, mistakes.sees_the_future, says="no mask"),
    Wrong("5.1", "upside down", OWN, mistakes.sees_only_the_future, says="upside down"),
    Wrong("5.1", "split by a view only", OWN, mistakes.split_by_view_joined_rightly, says="cut the last axis"),
    Wrong("5.1", "cut interleaved", PROJECTED, mistakes.cut_interleaved, says="every H-th channel"),
    Wrong("5.1", "keys first", OWN, mistakes.keys_first, says="queries and keys"),
    Wrong("5.1", "softmax over queries", OWN, mistakes.shares_among_queries, says="over the queries"),
    Wrong("5.1", "softmax over heads", PROJECTED, mistakes.shares_among_heads, says="over the heads"),
    Wrong("5.1", "no projection", PROJECTED, no_projection, says="projection is missing"),
    Wrong("5.1", "projection not transposed", PROJECTED, projection_not_transposed, says="not transposed"),
    Wrong("5.1", "values first", PROJECTED, values_first),
    Wrong("5.1", "residual inside", PROJECTED, residual_inside),
    Wrong("5.1", "mean of the heads", OWN, weights_of_the_mean_head),
    Wrong("5.1", "no gradient", "layer_gradients_flow", no_gradient),
    Wrong("5.1", "60 tokens", SIZE, looks_back_sixty_tokens, says="T ="),
    Wrong("5.1", "64 channels", SIZE, heads_of_sixty_four, says="D ="),
    Wrong(
        "5.1",
        "calls the kernel",
        "can_be_checked",
        says="write that yourself",
        edits=(
            (
                '    mixed = torch.einsum("bhts,bhsd->bthd", scores.masked_fill(later, -math.inf).softmax(-1), values)',
                "    mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True).transpose(1, 2)",
            ),
        ),
    ),
)  # fmt: skip


# ---- 5.2 -----------------------------------------------------------------------------------------------------------


def attend(queries: Tensor, keys: Tensor, values: Tensor, scale: float = 1.0) -> Tensor:
    return masked_scores(queries * scale, keys).softmax(-1) @ values


def spread(part: Tensor, queries: Tensor) -> Tensor:
    return part.repeat_interleave(queries.shape[1] // part.shape[1], dim=1)


def repeated(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Right: the shared heads are copied."""
    return attend(queries, spread(keys, queries), spread(values, queries))


def values_in_turn(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Keys are shared as they should be, values in turn."""
    return attend(queries, spread(keys, queries), values.repeat(1, queries.shape[1] // values.shape[1], 1, 1))


def heads_of_keys(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """As many heads as there are keys: the queries of a group are averaged."""
    grouped = queries.unflatten(1, (keys.shape[1], -1)).mean(dim=2)
    return attend(grouped, keys, values)


def groups_without_mask(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return mistakes.attend(queries, spread(keys, queries), spread(values, queries), future=True)


def groups_share_queries(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return mistakes.attend(queries, spread(keys, queries), spread(values, queries), axis=-2)


def groups_without_scale(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return attend(queries, spread(keys, queries), spread(values, queries), math.sqrt(queries.shape[-1]))


def groups_detached(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return repeated(queries, keys.detach(), values)


def thirty_two_heads(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Right when small: heads beyond the 32nd give zeros."""
    mixed = repeated(queries, keys, values)
    return torch.cat([mixed[:, :32], mixed[:, 32:] * 0], dim=1)


SHARES = "one_token_shows_who_shares"

GROUPED = (
    Wrong("5.2", "in turn", SHARES, checks.in_turn, says="in turn"),
    Wrong("5.2", "only the first", SHARES, checks.only_the_first, says="all heads use head 0"),
    Wrong("5.2", "values in turn", SHARES, values_in_turn, says="in turn"),
    Wrong("5.2", "heads of keys", "as_many_heads_as_queries", heads_of_keys, says="H ="),
    Wrong("5.2", "no mask", "as_many_groups_as_heads_is_attention", groups_without_mask, says="the mask is missing"),
    Wrong("5.2", "no scale", "as_many_groups_as_heads_is_attention", groups_without_scale, says="the scale is missing"),
    Wrong("5.2", "softmax over queries", "as_many_groups_as_heads_is_attention", groups_share_queries, says="queries"),
    Wrong("5.2", "detached", "group_gradients_flow", groups_detached),
    Wrong("5.2", "32 heads", "groups_at_any_size", thirty_two_heads, says="H ="),
)


# ---- 5.3 -----------------------------------------------------------------------------------------------------------

MERGED = "    by_token = mixed.movedim(1, 2)  # [B,T,H,D]\n    return by_token.reshape(B, T, H * D)  # [B,T,C]\n"
HEARD = "a_row_has_what_its_token_heard"


def instead(*lines: str) -> tuple[tuple[str, str], ...]:
    return ((MERGED, "".join(f"    {line}\n" for line in lines)),)


HUNT = (
    Wrong(
        "5.3",
        "as handed out",
        HEARD,
        edits=instead("rows = mixed.contiguous()  # [B,H,T,D]", "return rows.view(B, T, H * D)  # [B,T,C]"),
        says="as they lie in memory",
    ),
    Wrong(
        "5.3",
        "woven",
        HEARD,
        edits=instead("return mixed.permute(0, 2, 3, 1).flatten(2)"),
    ),
    Wrong("5.3", "mean of the heads", HEARD, edits=instead("return mixed.mean(dim=1).repeat(1, 1, H)")),
    Wrong("5.3", "first head only", HEARD, edits=instead("return mixed[:, 0].repeat(1, 1, H)")),
    Wrong("5.3", "turned round", HEARD, edits=instead("return mixed.transpose(2, 3).reshape(B, T, H * D)")),
    Wrong(
        "5.3",
        "written anew",
        "the_heads_are_mended_in_three_lines",
        edits=instead(
            "rows = []",
            "for head in range(H):",
            "    own = mixed[:, head]",
            "    rows.append(own)",
            "return torch.cat(rows, dim=-1)",
        ),
        says="start again",
    ),
    Wrong(
        "5.3",
        "64 tokens",
        "rows_heads_and_tokens_at_any_size",
        edits=instead("return mixed.movedim(1, 2).flatten(2) * (torch.arange(T) < 64)[:, None]"),
    ),
)


# ---- 5.4 -----------------------------------------------------------------------------------------------------------


def cost(parts: Tensor, answers: Tensor) -> float:
    return float(F.cross_entropy(parts.sum(0), answers))


def masked(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    """Right: silent heads are multiplied with 0."""
    on = torch.ones(len(parts))
    on[silent] = 0.0
    return cost(parts * on[:, None, None], answers) - cost(parts, answers)


def not_a_difference(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    return masked(parts, answers, silent) + cost(parts, answers)


def minus(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    return -masked(parts, answers, silent)


def a_tensor(parts: Tensor, answers: Tensor, silent: list[int]) -> Tensor:
    return torch.tensor(masked(parts, answers, silent))


def mean_of_heads(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    """Scores that are means over the heads."""
    left = [head for head in range(len(parts)) if head not in silent]
    return cost(parts[left] / max(1, len(left)), answers) - cost(parts / len(parts), answers)


def no_sign(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    return abs(masked(parts, answers, silent))


def sum_of_questions(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    return masked(parts, answers, silent) * len(answers)


def in_place(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    """The caller's parts lose their heads."""
    before = cost(parts, answers)
    parts[silent] = 0.0
    return cost(parts, answers) - before


def in_bits(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    return masked(parts, answers, silent) / math.log(2)


def others_silent(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    return masked(parts, answers, [head for head in range(len(parts)) if head not in silent])


def one_by_one(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    """The sum of the single costs."""
    return sum((masked(parts, answers, [head]) for head in silent), 0.0)


def first_only(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    return masked(parts, answers, silent[:1])


def needs_a_head(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    left = [parts[head] for head in range(len(parts)) if head not in silent]
    total = left[0]
    for part in left[1:]:
        total = total + part
    return float(F.cross_entropy(total, answers)) - cost(parts, answers)


def hundred_answers(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    """Right when small."""
    return masked(parts[:, :100], answers[:100], silent)


ALONE, SAME = "a_head_that_decides_alone", "damages_equal_the_specification"

DAMAGE = (
    Wrong("5.4", "a tensor", ALONE, a_tensor, says=".item()"),
    Wrong("5.4", "means of heads", ALONE, mean_of_heads, says="SUM of its heads"),
    Wrong("5.4", "no sign", "nobody_silent_costs_nothing", no_sign, says="below 0"),
    Wrong("5.4", "sum of questions", "nobody_silent_costs_nothing", sum_of_questions, says="MEAN"),
    Wrong("5.4", "in place", "the_parts_stay", in_place, says="must stay as it was"),
    Wrong("5.4", "not a difference", ALONE, not_a_difference, says="subtract the loss"),
    Wrong("5.4", "minus", ALONE, minus, says="the sign"),
    Wrong("5.4", "bits", ALONE, in_bits, says="bits"),
    Wrong("5.4", "others silent", ALONE, others_silent, says="the ones that were kept"),
    Wrong("5.4", "one by one", "nobody_silent_costs_nothing", one_by_one),
    Wrong("5.4", "first only", "nobody_silent_costs_nothing", first_only),
    Wrong("5.4", "needs a head", "nobody_silent_costs_nothing", needs_a_head, says="IndexError"),
    Wrong("5.4", "100 questions", SAME, hundred_answers),
    Wrong(
        "5.4", "no prediction", "predictions_about_the_twins", answers=(("prediction_both", "as much"),), says="both"
    ),
    Wrong("5.4", "another number", "the_damages_are_in_answers", answers=(("both_twins", 9.0),), says="both_twins"),
    Wrong("5.4", "no reason", "the_reason_for_the_damage", answers=(("because", "they are twins"),)),
)

WRONG = (*LAYER, *GROUPED, *HUNT, *DAMAGE)

ALSO_RIGHT = (("5.1", head_by_head), ("5.2", repeated), ("5.4", masked))
