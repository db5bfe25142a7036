"""Wrong solutions of chapter 06: blocks (6.1, 6.2), counts (6.3), the bug hunt (6.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.exercises.specs.ch06 import share_of
from tutorials.instructor.wrong import Wrong


def rms(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt() * weight


# ---- 6.1 -----------------------------------------------------------------------------------------------------------


def block_with(
    norm: Callable[..., Tensor] = rms,
    activation: Callable[[Tensor], Tensor] = F.gelu,
    combine: Callable[..., Tensor] | None = None,
) -> Callable[..., Tensor]:
    """The right block but for one of its parts."""

    def block(
        x: Tensor, attention: Any, first: Tensor, second: Tensor, up: Tensor, down: Tensor, epsilon: float
    ) -> Tensor:
        def mlp(read: Tensor) -> Tensor:
            return activation(read @ up.T) @ down.T

        if combine is not None:
            return combine(x, attention, mlp, lambda t: norm(t, first, epsilon), lambda t: norm(t, second, epsilon))
        x = x + attention(norm(x, first, epsilon))
        return x + mlp(norm(x, second, epsilon))

    return block


def pipeline(x: Tensor, attention: Any, mlp: Any, first: Any, second: Any) -> Tensor:
    """No residual stream."""
    return mlp(second(attention(first(x))))


def stream_is_normed(x: Tensor, attention: Any, mlp: Any, first: Any, second: Any) -> Tensor:
    x = first(x)
    x = x + attention(x)
    x = second(x)
    return x + mlp(x)


def stream_is_normed_for_the_mlp(x: Tensor, attention: Any, mlp: Any, first: Any, second: Any) -> Tensor:
    x = second(x + attention(first(x)))
    return x + mlp(x)


def norm_after_adding(x: Tensor, attention: Any, mlp: Any, first: Any, second: Any) -> Tensor:
    """Post-norm, as in 2017."""
    return second((y := first(x + attention(x))) + mlp(y))


def no_norm_before_attention(x: Tensor, attention: Any, mlp: Any, first: Any, second: Any) -> Tensor:
    x = x + attention(x)
    return x + mlp(second(x))


def no_norm_before_mlp(x: Tensor, attention: Any, mlp: Any, first: Any, second: Any) -> Tensor:
    x = x + attention(first(x))
    return x + mlp(x)


def mlp_reads_the_old_stream(x: Tensor, attention: Any, mlp: Any, first: Any, second: Any) -> Tensor:
    return x + attention(first(x)) + mlp(second(x))


def norms_swapped(x: Tensor, attention: Any, mlp: Any, first: Any, second: Any) -> Tensor:
    x = x + attention(second(x))
    return x + mlp(first(x))


def one_norm_for_both(x: Tensor, attention: Any, mlp: Any, first: Any, second: Any) -> Tensor:
    x = x + attention(first(x))
    return x + mlp(first(x))


def attention_not_added(x: Tensor, attention: Any, mlp: Any, first: Any, second: Any) -> Tensor:
    attention(first(x))
    return x + mlp(second(x))


def attention_called_twice(x: Tensor, attention: Any, mlp: Any, first: Any, second: Any) -> Tensor:
    y = x + attention(first(x))
    return y + mlp(second(x + attention(first(x))))


def layer_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return rms(x - x.mean(-1, keepdim=True), weight, epsilon)


def no_weight(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return rms(x, torch.ones_like(weight), epsilon)


def length_one(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """The sum of the squares in place of the mean."""
    return x / (x.square().sum(-1, keepdim=True) + epsilon).sqrt() * weight


def over_tokens_too(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x / (x.square().mean((1, 2), keepdim=True) + epsilon).sqrt() * weight


def epsilon_outside(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True).sqrt() + epsilon) * weight


def axis_lost(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x / (x.square().mean(-1) + epsilon).sqrt() * weight


def over_all_numbers(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x / (x.square().mean() + epsilon).sqrt() * weight


def over_tokens_only(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x / (x.square().mean(1, keepdim=True) + epsilon).sqrt() * weight


def no_root(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + epsilon) * weight


def by_deviation(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x / (x.std(-1, keepdim=True) + epsilon) * weight


def no_epsilon(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x / x.square().mean(-1, keepdim=True).sqrt() * weight


def detached_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """The size of a token is taken as a constant."""
    return x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt().detach() * weight


def at_most(most: int, axis: int) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Right for the first `most` along an axis; what is beyond is not normed."""

    def norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        right = rms(x, weight, epsilon)
        beyond = torch.arange(x.shape[axis]) >= most
        shape = [1, 1, 1]
        shape[axis] = -1
        return torch.where(beyond.view(shape), x, right)

    return norm


READS, HAND, SPEC = "norms_what_attention_reads", "two_neurons_by_hand", "equals_the_specification"
KEEPS, SIZE = "adds_nothing_if_nothing_is_found", "right_at_any_size"
tanh = "tanh approximation"


def wrong_block(name: str, caught_by: str, says: str = "", **parts: Any) -> Wrong:
    return Wrong("6.1", name, f"block_{caught_by}", block_with(**parts), says=says)


BLOCKS = (
    wrong_block("a pipeline", KEEPS, "must be ADDED", combine=pipeline),
    wrong_block("the stream is normed", KEEPS, "normed, twice", combine=stream_is_normed),
    wrong_block("norm after adding", KEEPS, "normed, twice", combine=norm_after_adding),
    wrong_block("the stream is normed for the MLP", KEEPS, "before the MLP", combine=stream_is_normed_for_the_mlp),
    wrong_block("the keepdim is missing", "has_the_streams_shape", norm=axis_lost),
    wrong_block("over all numbers", READS, "all numbers", norm=over_all_numbers),
    wrong_block("over the tokens only", READS, "instead of the channels", norm=over_tokens_only),
    wrong_block("no root", READS, "root is missing", norm=no_root),
    wrong_block("standard deviation", READS, "standard deviation", norm=by_deviation),
    wrong_block("no norm before attention", READS, "without a norm", combine=no_norm_before_attention),
    wrong_block("norms swapped", READS, "changed places", combine=norms_swapped),
    wrong_block("attention called twice", READS, "once", combine=attention_called_twice),
    wrong_block("LayerNorm", READS, "LayerNorm", norm=layer_norm),
    wrong_block("no weight", READS, "weight of the norm", norm=no_weight),
    wrong_block("length one", READS, "sum of squares", norm=length_one),
    wrong_block("over the tokens too", READS, "tokens", norm=over_tokens_too),
    wrong_block("attention is not added", "adds_what_attention_gives", "not added", combine=attention_not_added),
    wrong_block("no norm before the MLP", HAND, "without a norm", combine=no_norm_before_mlp),
    wrong_block("no activation", HAND, "no activation", activation=lambda z: z),
    wrong_block("ReLU", HAND, "ReLU", activation=F.relu),
    wrong_block("tanh", HAND, tanh, activation=lambda z: F.gelu(z, approximate="tanh")),
    wrong_block("the MLP reads the old stream", SPEC, "BEFORE", combine=mlp_reads_the_old_stream),
    wrong_block("one norm for both", SPEC, "norm of attention", combine=one_norm_for_both),
    wrong_block("ε outside", "uses_epsilon", "inside the root", norm=epsilon_outside),
    wrong_block("no ε", "uses_epsilon", norm=no_epsilon),
    wrong_block("detached", "lets_gradients_flow", norm=detached_norm),
    wrong_block("64 sequences", SIZE, "B =", norm=at_most(64, 0)),
    wrong_block("128 tokens", SIZE, "T =", norm=at_most(128, 1)),
    wrong_block("128 channels", SIZE, "C =", norm=at_most(128, 2)),
    Wrong(
        "6.1",
        "calls torch's norm",
        "can_be_checked",
        says="write that yourself",
        edits=(
            (
                "        return stream / size * weight  # [B,T,C]\n",
                "        return F.rms_norm(stream, stream.shape[-1:], weight, epsilon)\n",
            ),
        ),
    ),
)


# ---- 6.2 -----------------------------------------------------------------------------------------------------------


def parallel_with(
    norm: Callable[..., Tensor] = rms,
    activation: Callable[[Tensor], Tensor] = F.gelu,
    combine: Callable[..., Tensor] | None = None,
) -> Callable[..., Tensor]:
    def parallel_block(x: Tensor, attention: Any, weight: Tensor, up: Tensor, down: Tensor, epsilon: float) -> Tensor:
        def mlp(read: Tensor) -> Tensor:
            return activation(read @ up.T) @ down.T

        if combine is not None:
            return combine(x, attention, mlp, lambda t: norm(t, weight, epsilon))
        read = norm(x, weight, epsilon)
        return x + attention(read) + mlp(read)

    return parallel_block


def one_after_the_other(x: Tensor, attention: Any, mlp: Any, norm: Any) -> Tensor:
    x = x + attention(norm(x))
    return x + mlp(norm(x))


def stream_added_twice(x: Tensor, attention: Any, mlp: Any, norm: Any) -> Tensor:
    return (x + attention(norm(x))) + (x + mlp(norm(x)))


def mlp_of_attention(x: Tensor, attention: Any, mlp: Any, norm: Any) -> Tensor:
    """The MLP works on what attention gives."""
    mixed = attention(norm(x))
    return x + mixed + mlp(mixed)


def adds_to_the_normed(x: Tensor, attention: Any, mlp: Any, norm: Any) -> Tensor:
    read = norm(x)
    return read + attention(read) + mlp(read)


def mlp_without_a_norm(x: Tensor, attention: Any, mlp: Any, norm: Any) -> Tensor:
    return x + attention(norm(x)) + mlp(x)


def wrong_parallel(name: str, caught_by: str, says: str = "", **parts: Any) -> Wrong:
    return Wrong("6.2", name, f"parallel_{caught_by}", parallel_with(**parts), says=says)


SIDE_BY_SIDE = (
    wrong_parallel("one after the other", SPEC, "side by side", combine=one_after_the_other),
    wrong_parallel("the stream added twice", KEEPS, "twice", combine=stream_added_twice),
    wrong_parallel("the MLP of attention", HAND, combine=mlp_of_attention),
    wrong_parallel("adds to the normed stream", KEEPS, "READ", combine=adds_to_the_normed),
    wrong_parallel("the MLP without a norm", HAND, "without a norm", combine=mlp_without_a_norm),
    wrong_parallel("over the tokens too", READS, "tokens", norm=over_tokens_too),
    wrong_parallel("no activation", HAND, "no activation", activation=lambda z: z),
    wrong_parallel("ε outside", "uses_epsilon", "inside the root", norm=epsilon_outside),
    wrong_parallel("64 sequences", SIZE, "B =", norm=at_most(64, 0)),
    wrong_parallel("128 tokens", SIZE, "T =", norm=at_most(128, 1)),
    wrong_parallel("128 channels", SIZE, "C =", norm=at_most(128, 2)),
)


# ---- 6.3 -----------------------------------------------------------------------------------------------------------


def share_from(part: str, V: int, L: int, C: int, kv: int, M: int, matrices: int, tied: bool, **change: Any) -> float:
    """The right share, with one count changed."""
    counts = {
        "embedding": V * C * (1 if tied else 2),
        "attention": L * (2 * C * C + 2 * C * kv),
        "mlp": L * matrices * C * M,
    } | {name: count(V, L, C, kv, M, matrices, tied) for name, count in change.items()}
    return counts[part] / sum(counts.values())


def wrong_share(name: str, caught_by: str, says: str = "", **change: Any) -> Wrong:
    return Wrong("6.3", name, caught_by, lambda *a: share_from(*a, **change), says=says)


BY_HAND = "one_matrix_by_hand"

SHARES = (
    wrong_share(
        "no projection", BY_HAND, "projection", attention=lambda V, L, C, kv, M, n, t: L * (C * C + 2 * C * kv)
    ),
    wrong_share("tied counts twice", BY_HAND, "counts once", embedding=lambda V, L, C, kv, M, n, t: 2 * V * C),
    wrong_share("output never counts", "the_output_matrix_counts", "not counted", embedding=lambda V, L, C, *_: V * C),
    wrong_share(
        "all keys", "fewer_keys_than_queries", "counted as C·C", attention=lambda V, L, C, kv, M, n, t: L * 4 * C * C
    ),
    wrong_share(
        "no queries of their own",
        "fewer_keys_than_queries",
        "all four",
        attention=lambda V, L, C, kv, M, n, t: L * 4 * C * kv,
    ),
    wrong_share(
        "always two matrices", "shares_at_any_size", "`mlp_matrices`", mlp=lambda V, L, C, kv, M, n, t: L * 2 * C * M
    ),
    wrong_share("one layer", "the_output_matrix_counts", "one layer's MLP", mlp=lambda V, L, C, kv, M, n, t: n * C * M),
    wrong_share(
        "100,000 tokens at most",
        "shares_at_any_size",
        embedding=lambda V, L, C, kv, M, n, t: min(V, 100_000) * C * (2 - t),
    ),
    wrong_share("4C neurons", BY_HAND, "C·hidden", mlp=lambda V, L, C, kv, M, n, t: L * n * C * 4 * C),
    wrong_share(
        "one layer's attention",
        "the_output_matrix_counts",
        "layer's attention",
        attention=lambda V, L, C, kv, M, n, t: 2 * C * (C + kv),
    ),
    Wrong("6.3", "percent", BY_HAND, lambda *a: 100 * share_of(*a), says="per cent"),
    Wrong("6.3", "whole numbers", BY_HAND, lambda *a: float(share_of(*a) // 1), says="drops the fraction"),
    Wrong("6.3", "rounded", BY_HAND, lambda *a: round(share_of(*a), 2), says="rounded"),
    Wrong("6.3", "a tensor", BY_HAND, lambda *a: torch.tensor(share_of(*a)), says=".item()"),
    Wrong(
        "6.3",
        "a count",
        BY_HAND,
        lambda part, V, L, C, kv, M, n, t: float(
            {"embedding": V * C, "attention": L * 2 * C * (C + kv), "mlp": L * n * C * M}[part]
        ),
        says="divide",
    ),
    Wrong(
        "6.3",
        "no prediction",
        "predictions_of_the_largest_part",
        answers=(("prediction_llama3", ""),),
        says="prediction_llama3",
    ),
    Wrong("6.3", "no such part", "predictions_of_the_largest_part", answers=(("prediction_small", "norms"),)),
    Wrong("6.3", "not what it gives", "the_shares_are_in_answers", answers=(("llama3_mlp", 0.5),), says="llama3_mlp"),
    Wrong("6.3", "no reason", "the_reason_for_the_shares", answers=(("because", "It is so."),)),
)


# ---- 6.4 -----------------------------------------------------------------------------------------------------------

RIGHT = "    hidden = F.gelu(hidden)  # [B,M]\n"
LINEAR = "a_sum_is_not_the_sum_of_its_parts"

HUNT = (
    Wrong("6.4", "as handed out", LINEAR, edits=((RIGHT, "    F.gelu(hidden)  # [B,M]\n"),), says="between the two"),
    Wrong("6.4", "wider", LINEAR, edits=((RIGHT, "    F.gelu(hidden)\n"), ("(64, 256, 1024)", "(64, 256, 4096)"))),
    Wrong("6.4", "ReLU", "neurons_by_hand", edits=((RIGHT, "    hidden = F.relu(hidden)\n"),), says="ReLU"),
    Wrong(
        "6.4",
        "after the second matrix",
        "neurons_by_hand",
        edits=((RIGHT, ""), ("    return hidden @ down.T  # [B,C]\n", "    return F.gelu(hidden @ down.T)\n")),
        says="after the second matrix",
    ),
    Wrong(
        "6.4",
        "before the first matrix",
        "neurons_by_hand",
        edits=((RIGHT, "    hidden = F.gelu(x) @ up.T\n"),),
        says="before the first matrix",
    ),
    Wrong(
        "6.4",
        "tanh approximation",
        "neurons_by_hand",
        edits=((RIGHT, '    hidden = F.gelu(hidden, approximate="tanh")\n'),),
        says="tanh approximation",
    ),
    Wrong(
        "6.4",
        "a norm instead",
        "neurons_by_hand",
        edits=((RIGHT, "    hidden = F.rms_norm(hidden, hidden.shape[-1:]) * hidden.abs()\n"),),
    ),
    Wrong("6.4", "detached", "mlp_gradients_flow", edits=((RIGHT, "    hidden = F.gelu(hidden.detach())\n"),)),
    Wrong(
        "6.4",
        "128 neurons",
        "mlp_equals_the_specification",
        edits=((RIGHT, "    hidden = torch.where(torch.arange(len(up)) < 128, F.gelu(hidden), 0.0)\n"),),
        says="M = 150",
    ),
    Wrong(
        "6.4",
        "written anew",
        "the_memory_is_mended_in_three_lines",
        edits=(
            (RIGHT, "    first = up.T\n    second = down.T\n    hidden = x @ first\n    hidden = F.gelu(hidden)\n"),
            ("    return hidden @ down.T  # [B,C]\n", "    return hidden @ second\n"),
        ),
        says="start again",
    ),
)

WRONG = (*BLOCKS, *SIDE_BY_SIDE, *SHARES, *HUNT)


def block_by_einsum(
    x: Tensor, attention: Any, attention_norm: Tensor, mlp_norm: Tensor, up: Tensor, down: Tensor, epsilon: float
) -> Tensor:
    """Right: other operations in another order."""
    x = attention(x * torch.rsqrt(x.pow(2).mean(2, keepdim=True) + epsilon) * attention_norm) + x
    z = torch.einsum("btc,mc->btm", x * torch.rsqrt(x.pow(2).mean(2, keepdim=True) + epsilon) * mlp_norm, up)
    return torch.einsum("btm,cm->btc", z * torch.special.ndtr(z), down) + x


ALSO_RIGHT = (("6.1", block_by_einsum),)
