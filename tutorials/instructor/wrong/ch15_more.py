"""Wrong solutions of the rest of chapter 15: reading the score (15.2, 15.5) and the measurement (15.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tutorials.instructor.wrong import Wrong

# ---- 15.2 ----------------------------------------------------------------------------------------------------------


def read(hidden: Tensor, column: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(hidden[torch.arange(len(hidden)), column], weight, bias).squeeze(-1)


def last_column(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(hidden[:, -1], weight, bias).squeeze(-1)


def one_too_far(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return read(hidden, lengths.clamp(max=hidden.shape[1] - 1), weight, bias)


def out_of_range(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return read(hidden, lengths, weight, bias)


def first_token(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(hidden[:, 0], weight, bias).squeeze(-1)


def mean_of_tokens(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    real = torch.arange(hidden.shape[1]) < lengths[:, None]
    return F.linear((hidden * real[:, :, None]).sum(1) / lengths[:, None], weight, bias).squeeze(-1)


def one_length_for_all(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(hidden[:, lengths[0] - 1], weight, bias).squeeze(-1)


def every_row_every_length(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """hidden[:, lengths - 1] is [B,B,C]: every row at every row's place."""
    return F.linear(hidden[:, lengths - 1], weight, bias).squeeze(-1)


def not_squeezed(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(hidden[torch.arange(len(hidden)), lengths - 1], weight, bias)


def no_bias(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return read(hidden, lengths - 1, weight, bias * 0)


def no_weight(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return read(hidden, lengths - 1, torch.ones_like(weight), bias)


def frozen_trunk(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return read(hidden.detach(), lengths - 1, weight, bias)


COLUMN = "the_right_column_by_hand"

READING = (
    Wrong("15.2", "last column", COLUMN, last_column, says="the last column"),
    Wrong("15.2", "one too far", COLUMN, one_too_far, says="an index from 0"),
    Wrong("15.2", "out of range", "one_score_a_row", out_of_range, says="column 3"),
    Wrong("15.2", "first token", COLUMN, first_token, says="first token"),
    Wrong("15.2", "mean of the tokens", COLUMN, mean_of_tokens),
    Wrong("15.2", "one length for all", COLUMN, one_length_for_all, says="one row's length"),
    Wrong("15.2", "every row, every length", "one_score_a_row", every_row_every_length, says="[B]"),
    Wrong("15.2", "not squeezed", "one_score_a_row", not_squeezed, says="[B]"),
    Wrong("15.2", "no bias", "weight_and_bias_are_used", no_bias, says="bias is missing"),
    Wrong("15.2", "no weight", "weight_and_bias_are_used", no_weight, says="weight is missing"),
    Wrong("15.2", "a frozen trunk", "head_gradients_flow", frozen_trunk),
)


# ---- 15.3 ----------------------------------------------------------------------------------------------------------


def pairs(ks: list[int], grouped: bool) -> int:
    """Counts pairs and not the answers in them."""
    return sum(k if grouped else k * (k - 1) // 2 for k in ks)


def with_itself(ks: list[int], grouped: bool) -> int:
    return sum(k if grouped else k * k for k in ks)


def other_way_round(ks: list[int], grouped: bool) -> int:
    return sum(k * (k - 1) if grouped else k for k in ks)


SHUFFLED, GROUPED = "shuffled_reads_two_answers_a_pair", "grouped_reads_each_answer_once"
MEASURED = "what_was_measured_is_in_answers"

READS = (
    Wrong("15.3", "pairs", SHUFFLED, pairs, says="those are the pairs"),
    Wrong("15.3", "with itself", SHUFFLED, with_itself, says="itself"),
    Wrong("15.3", "always grouped", SHUFFLED, lambda ks, grouped: sum(ks), says="grouped pairs"),
    Wrong("15.3", "the other way round", GROUPED, other_way_round, says="shuffled pairs"),
    Wrong("15.3", "prompts", GROUPED, lambda ks, grouped: len(ks)),
    Wrong("15.3", "no prediction", "prediction_is_written", answers=(("prediction", ""),), says="prediction"),
    Wrong("15.3", "another number", MEASURED, answers=(("shuffled_loss", 0.5),), says="shuffled_loss"),
    Wrong("15.3", "a number as text", MEASURED, answers=(("grouped_answers", "many"),), says="grouped_answers"),
    Wrong("15.3", "no reason", "the_reason_is_given", answers=(("because", ""),)),
)


# ---- 15.5 ----------------------------------------------------------------------------------------------------------

RIGHT_LINE = "        last = lengths - 1  # [B]\n"
HANDED_OUT = "        last = lengths.clamp(max=ids.shape[1] - 1)  # [B]\n"
NEIGHBOURS, PADDING = "alone_or_beside_others", "the_pad_does_not_matter"

PAD = (
    Wrong("15.5", "as handed out", NEIGHBOURS, edits=((RIGHT_LINE, HANDED_OUT),), says="the width of the batch"),
    Wrong("15.5", "last column", NEIGHBOURS, edits=((RIGHT_LINE, "        last = lengths * 0 + ids.shape[1] - 1\n"),)),
    Wrong("15.5", "first pad", NEIGHBOURS, edits=((RIGHT_LINE, "        last = (ids == PAD).int().argmax(1)\n"),)),
    Wrong("15.5", "two back", "scores_of_answers_one_by_one", edits=((RIGHT_LINE, "        last = lengths - 2\n"),)),
    Wrong("15.5", "first token", "scores_of_answers_one_by_one", edits=((RIGHT_LINE, "        last = lengths * 0\n"),)),
    Wrong("15.5", "counted", PADDING, edits=((RIGHT_LINE, "        last = (ids != PAD).sum(1) - 1\n"),)),
    Wrong(
        "15.5",
        "written anew",
        "the_repair_is_small",
        edits=(
            (
                RIGHT_LINE,
                "        last = lengths - 1\n        picked = []\n        for row in rows.tolist():\n"
                "            picked.append(hidden[row, last[row]])\n        hidden = torch.stack(picked)\n",
            ),
            ("return self.head(hidden[rows, last]).squeeze(-1)  # [B]", "return self.head(hidden).squeeze(-1)"),
        ),
    ),
    Wrong(
        "15.5",
        "calls the package",
        "can_be_checked",
        says="write that yourself",
        edits=(
            ("import torch\n", "import torch\n\nfrom rlhf.stage2_reward.network import RewardModel as Theirs\n"),
            ("class RewardModel(nn.Module):", "class RewardModel(Theirs):"),
        ),
    ),
)

WRONG = (*READING, *READS, *PAD)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def gathered(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The head on every token, then one of each row."""
    everywhere = F.linear(hidden, weight, bias).squeeze(-1)  # [B,T]
    return everywhere.gather(1, (lengths - 1)[:, None]).squeeze(1)


def count_them(answer_counts: list[int], grouped: bool) -> int:
    return sum(len(range(k)) * (1 if grouped else k - 1) for k in answer_counts)


ALSO_RIGHT = (("15.2", gathered), ("15.3", count_them))
