"""Wrong attentions (4.1) and windows (4.2), and right ones that look unlike ours."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.exercises.specs import ch04_wrong as loops
from tutorials.instructor.wrong import Wrong


def mask_of(tokens: int) -> Tensor:
    """[T,T], True where query t may look at key s."""
    return torch.ones(tokens, tokens, dtype=torch.bool).tril()


def scores_of(queries: Tensor, keys: Tensor) -> Tensor:
    return queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])  # [B,H,T,T]


def masked_scores(queries: Tensor, keys: Tensor) -> Tensor:
    return scores_of(queries, keys).masked_fill(~mask_of(queries.shape[2]), -math.inf)  # [B,H,T,T]


# ---- 4.1 -----------------------------------------------------------------------------------------------------------


def without_itself(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The diagonal is masked too: the first token has nothing to look at."""
    mask = torch.ones(queries.shape[2], queries.shape[2], dtype=torch.bool).tril(-1)
    return scores_of(queries, keys).masked_fill(~mask, -math.inf).softmax(-1) @ values


def added_once(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A residual connection where none belongs."""
    return masked_scores(queries, keys).softmax(-1) @ values + values


def first_row_missing(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return (masked_scores(queries, keys).softmax(-1) @ values)[:, :, 1:]


def heads_behind_tokens(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return (masked_scores(queries, keys).softmax(-1) @ values).transpose(1, 2)


def exp_by_hand(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A softmax of one's own, which overflows."""
    weights = scores_of(queries, keys).exp() * mask_of(queries.shape[2])
    return weights / weights.sum(-1, keepdim=True) @ values


def only_neighbours(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A token sees itself and the one before."""
    mask = mask_of(queries.shape[2]).triu(-1)
    return scores_of(queries, keys).masked_fill(~mask, -math.inf).softmax(-1) @ values


def detached(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return masked_scores(queries, keys).softmax(-1).detach() @ values


def through_numbers(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return torch.tensor((masked_scores(queries, keys).softmax(-1) @ values).tolist())


def heads_averaged(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """All heads share the mean of their weights."""
    weights = masked_scores(queries, keys).softmax(-1).mean(dim=1, keepdim=True)
    return weights @ values


FUTURE, ONES = "no_look_into_the_future", "weights_add_up_to_one"
SCALE, SPEC = "scores_are_divided_by_root_d", "equals_the_specification"
ONE = "one_token_returns_its_value"

CAUSAL = (
    Wrong("4.1", "mask after softmax", ONES, loops.mask_after_softmax, says="after the softmax"),
    Wrong("4.1", "softmax over queries", ONES, loops.softmax_over_queries, says="over the queries"),
    Wrong("4.1", "no mask", FUTURE, loops.no_mask, says="there is no mask"),
    Wrong("4.1", "mask off by one", FUTURE, loops.one_too_many, says="off by one"),
    Wrong("4.1", "mask the wrong way round", FUTURE, loops.only_the_future, says="wrong way round"),
    Wrong("4.1", "scores times mask", FUTURE, loops.multiplied_mask, says="not minus infinity"),
    Wrong("4.1", "no scale", SCALE, loops.without_scale, says="not divided by √D"),
    Wrong("4.1", "root of T", SCALE, loops.root_of_the_length, says="√T"),
    Wrong("4.1", "whole D", SCALE, loops.whole_head_size, says="by D and not by √D"),
    Wrong("4.1", "keys for values", ONE, loops.keys_for_values, says="that is the key"),
    Wrong("4.1", "one head for all", SPEC, loops.one_head_for_all, says="the first one"),
    Wrong("4.1", "heads averaged", SPEC, heads_averaged),
    Wrong("4.1", "without itself", ONE, without_itself, says="NaN"),
    Wrong("4.1", "residual inside", ONE, added_once),
    Wrong("4.1", "a row missing", "shape_and_type", first_row_missing),
    Wrong("4.1", "axes swapped", "shape_and_type", heads_behind_tokens, says="axis"),
    Wrong("4.1", "only neighbours", "equal_scores_give_the_mean_of_the_past", only_neighbours),
    Wrong("4.1", "overflow", "large_scores_stay_finite", exp_by_hand, says="exp()"),
    Wrong("4.1", "detached weights", "gradients_flow", detached),
    Wrong("4.1", "a new tensor", "gradients_flow", through_numbers),
    Wrong(
        "4.1",
        "all axes turned round",
        "shape_and_type",
        says="transpose(-2, -1)",
        edits=(
            (
                "    later = torch.ones(T, T, dtype=torch.bool, device=scores.device).triu(diagonal=1)  # [T,T]\n",
                "    scores = queries @ keys.T\n    later = torch.ones(T, T, dtype=torch.bool).triu(diagonal=1)\n",
            ),
        ),
    ),
    Wrong(
        "4.1",
        "calls the kernel",
        "can_be_checked",
        says="write that yourself",
        edits=(
            (
                "return torch.softmax(scores.masked_fill(later, -math.inf), dim=-1) @ values  # [B,H,T,D]\n",
                "return torch.nn.functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)\n",
            ),
        ),
    ),
    Wrong(
        "4.1",
        "imports the reference",
        "can_be_checked",
        says="write that yourself",
        edits=(
            ("import torch\n", "import torch\n\nfrom minigpt.attention import attention_by_heads as helper\n"),
            (
                "return torch.softmax(scores.masked_fill(later, -math.inf), dim=-1) @ values  # [B,H,T,D]\n",
                "return helper(queries, keys, values)\n",
            ),
        ),
    ),
    Wrong(
        "4.1",
        "is the reference",
        "can_be_checked",
        says="write that yourself",
        edits=(
            (
                "# ---- 4.2 ",
                "from minigpt.attention import attention_by_heads\n\n"
                "causal_attention = attention_by_heads\n\n# ---- 4.2 ",
            ),
        ),
    ),
    Wrong(
        "4.1",
        "imports a solution",
        "can_be_checked",
        says="imports tutorials",
        edits=(("import torch\n", "import torch\n\nfrom tutorials.instructor.solutions import ch04_attention\n"),),
    ),
)


# ---- 4.2 -----------------------------------------------------------------------------------------------------------


def with_mask(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    return scores_of(queries, keys).masked_fill(~mask, -math.inf).softmax(-1) @ values


def distances(tokens: int) -> Tensor:
    place = torch.arange(tokens)
    return place[:, None] - place[None, :]  # [T,T]


def window_unused(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    return with_mask(queries, keys, values, mask_of(queries.shape[2]))


def window_too_wide(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    distance = distances(queries.shape[2])
    return with_mask(queries, keys, values, (distance >= 0) & (distance <= window))


def window_without_itself(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    distance = distances(queries.shape[2])
    return with_mask(queries, keys, values, (distance > 0) & (distance <= window) | (distance == 0) & (window > 1))


def window_both_ways(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    return with_mask(queries, keys, values, distances(queries.shape[2]).abs() < window)


def window_in_blocks(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    place = torch.arange(queries.shape[2])
    same_block = place[:, None] // window == place[None, :] // window
    return with_mask(queries, keys, values, same_block & mask_of(queries.shape[2]))


def window_from_the_start(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    """The first `window` tokens instead of the last ones."""
    early = torch.arange(queries.shape[2])[None, :] < window
    return with_mask(queries, keys, values, mask_of(queries.shape[2]) & early)


def window_after_softmax(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    weights = masked_scores(queries, keys).softmax(-1)
    return weights.masked_fill(distances(queries.shape[2]) >= window, 0.0) @ values


def window_no_scale(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    distance = distances(queries.shape[2])
    scaled = queries * math.sqrt(queries.shape[-1])
    return with_mask(scaled, keys, values, (distance >= 0) & (distance < window))


def window_by_slices(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    """A slice that begins below 0 counts from the end, so the first tokens see nothing."""
    mask = torch.zeros(queries.shape[2], queries.shape[2], dtype=torch.bool)
    for t in range(len(mask)):
        mask[t, t - window + 1 : t + 1] = True
    return with_mask(queries, keys, values, mask)


def window_not_longer_than_text(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    if window > queries.shape[2]:
        raise ValueError("the window is longer than the text")
    return banded(queries, keys, values, window)


def window_detached(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    distance = distances(queries.shape[2])
    return with_mask(queries, keys.detach(), values, (distance >= 0) & (distance < window))


WINDOW_ONE = "window_of_one_returns_the_values"

SLIDING = (
    Wrong("4.2", "window unused", WINDOW_ONE, window_unused, says="not used at all"),
    Wrong("4.2", "one too wide", WINDOW_ONE, window_too_wide, says="one token too wide"),
    Wrong("4.2", "without itself", WINDOW_ONE, window_without_itself),
    Wrong("4.2", "both ways", "window_does_not_look_into_the_future", window_both_ways, says="forward"),
    Wrong("4.2", "in blocks", "window_of_two_averages_two", window_in_blocks),
    Wrong("4.2", "from the start", WINDOW_ONE, window_from_the_start),
    Wrong("4.2", "after the softmax", WINDOW_ONE, window_after_softmax),
    Wrong("4.2", "no scale", "a_wide_window_is_causal_attention", window_no_scale, says="√D"),
    Wrong("4.2", "by slices", "window_does_not_look_into_the_future", window_by_slices, says="NaN"),
    Wrong("4.2", "no long window", "a_wide_window_is_causal_attention", window_not_longer_than_text, says="ValueError"),
    Wrong("4.2", "detached keys", "window_gradients_flow", window_detached),
)

WRONG = (*CAUSAL, *SLIDING)

# The test of exercise 4.4 meets these when it is graded, beside the ones that students can see.
UNSEEN_BY_TESTS = (
    "mask the wrong way round",
    "scores times mask",
    "whole D",
    "heads averaged",
    "residual inside",
    "a row missing",
    "axes swapped",
    "only neighbours",
)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def added_minus_infinity(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    mask = torch.full((queries.shape[2], queries.shape[2]), -math.inf).triu(1)
    return F.softmax(scores_of(queries, keys) + mask, dim=-1) @ values


def renormalised(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Exponentials of differences, the future set to 0, and divided by what is left."""
    scores = scores_of(queries, keys)
    weights = (scores - masked_scores(queries, keys).amax(-1, keepdim=True)).clamp(max=0).exp()
    weights = weights * mask_of(queries.shape[2])
    return torch.einsum("bhts,bhsd->bhtd", weights / weights.sum(-1, keepdim=True), values)


def row_by_row(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    rows = []
    for t in range(queries.shape[2]):
        scores = (queries[:, :, t : t + 1] * keys[:, :, : t + 1]).sum(-1) / math.sqrt(queries.shape[3])  # [B,H,t+1]
        rows.append((scores.softmax(-1)[..., None] * values[:, :, : t + 1]).sum(2))
    return torch.stack(rows, dim=2)


def banded(queries: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    band = torch.ones(queries.shape[2], queries.shape[2]).tril().triu(1 - window) == 1
    return with_mask(queries, keys, values, band)


ALSO_RIGHT = (
    ("4.1", added_minus_infinity),
    ("4.1", renormalised),
    ("4.1", row_by_row),
    ("4.2", banded),
    ("4.3", renormalised),
)
