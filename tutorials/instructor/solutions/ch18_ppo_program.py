"""Chapter 18: PPO as a program. Exercises 18.1 to 18.3 are written into this file; 18.4: bugs/ch18_never_clips.py.

    python -m tutorials.exercises check 18.1      # run the checks of one exercise
    python -m tutorials.exercises hint 18.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 18.1       # once it is green: PPO of preset tiny runs on your function

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch18.py: slow, and right.

Shapes: B answers · T columns, each about the token that follows · V tokens of the vocabulary.
"""

import torch
from torch import Tensor

# ---- 18.1 The log-probabilities of an answer ---------------------------------------------------------------------


def answer_logprobs(logits: Tensor, ids: Tensor, prompt_lengths: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    """log π of each token of the answers, in nats, at the column that predicts it; 0 in all other columns.

    ids [B,T+1] is a prompt, its answer, then padding. The model has read ids without the last column, so logits is
    [B,T,V], and column t is about the token at ids[:, t + 1]. prompt_lengths and lengths [B] count the tokens of prompt
    and answer; the end token belongs to the answer. Sampling divided the logits by the temperature -> [B,T].

    The lengths say what is padding. The token that pads may also be part of an answer, and what the logits hold in
    other columns (it may be NaN) changes nothing.
    """
    # SOLUTION
    steps = torch.arange(logits.shape[1]) - (prompt_lengths[:, None] - 1)  # [B,T], 0 where the answer begins
    inside = (steps >= 0) & (steps < lengths[:, None])  # [B,T]
    distribution = torch.log_softmax(logits / temperature, dim=-1)  # [B,T,V]
    spoken = torch.take_along_dim(distribution, ids[:, 1:].unsqueeze(-1), dim=-1)[..., 0]  # [B,T]
    return spoken.masked_fill(~inside, 0.0)
    # END SOLUTION


# ---- 18.2 The spread of all scores so far ------------------------------------------------------------------------


def remember(memory: Tensor, scores: Tensor) -> Tensor:
    """The count, the mean and the variance of all scores so far: memory [3] of those before, scores [B] -> [3].

    The variance is the mean squared distance from the mean (divided by the count). At the beginning the memory is
    (0, 0, 0). Scores divided by the root of this variance have a spread near 1, whatever reward model they come from,
    so that one β fits all. The package has no such memory.

    The earlier scores are gone: only the three numbers are left of them. Scores may be around 10,000 and differ by 1.
    """
    # SOLUTION
    count, mean, variance = memory
    added, center = len(scores), scores.mean()
    total, gap = count + added, center - mean
    moved = mean + gap * added / total
    squares = count * variance + (scores - center).square().sum() + gap**2 * count * added / total
    return torch.stack([total, moved, squares / total])
    # END SOLUTION


# ---- 18.3 Which alarm rings first? -------------------------------------------------------------------------------


def first_alarm(curve: Tensor, healthy: Tensor, patience: int) -> int:
    """The iteration, counted from 1, in which an alarm rings for a metric of a run; 0 if it never does.

    curve [T] is the metric of one run, an iteration a number; healthy [S,T] the same metric of S healthy runs. The
    alarm rings as soon as the curve has been outside of what healthy runs have shown in the same iteration (below the
    smallest of them, or above the largest) in `patience` iterations one after the other.

    FIRST write your predictions into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 18.3` measure, and write down what it printed.
    """
    # SOLUTION
    outside = (curve < healthy.amin(dim=0)) | (curve > healthy.amax(dim=0))  # [T]
    in_a_row = 0
    for place, out in enumerate(outside.tolist(), start=1):
        in_a_row = in_a_row + 1 if out else 0
        if in_a_row == patience:
            return place
    return 0
    # END SOLUTION
