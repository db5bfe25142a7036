"""Chapter 15: the reward model. Exercises 15.1 to 15.4 are written into this file; 15.5: bugs/ch15_reads_the_pad.py.

    python -m tutorials.exercises check 15.1      # run the checks of one exercise
    python -m tutorials.exercises hint 15.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 15.1       # once it is green: train a reward model on your function

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch15.py: slow, and right.

Shapes: N answers of all prompts · B batch · T tokens · C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# ---- 15.1 The K-choose-2 loss ------------------------------------------------------------------------------------


def kwise_loss(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """The loss of a reward model on rankings, a sum over prompts of the mean over each prompt's pairs:

        Σ over prompts of 1/pairs · Σ over pairs (w better than l) of −log σ(r_w − r_l)        InstructGPT, eq. 1

    scores [N] float; ranks [N], SMALLER is better; group [N], the number of the prompt that each answer belongs to,
    from 0 -> scalar. Answers to different prompts are never compared. Answers with the same rank make no pair, and
    `pairs` counts only what is left; a prompt without a pair adds 0. Scores may lie hundreds apart.
    """
    raise NotImplementedError("15.1")


# ---- 15.2 Read the score at the last real token ------------------------------------------------------------------


def last_token_scores(hidden: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The score of each answer: a linear unit, read at the answer's last real token.

    hidden [B,T,C], what the transformer gives for each token of a batch that is padded on the right; lengths [B], how
    many tokens of each row are real; weight [1,C] and bias [1], those of an nn.Linear(C, 1) -> [B].
    """
    raise NotImplementedError("15.2")


# ---- 15.3 Shuffled or grouped? -----------------------------------------------------------------------------------


def answers_read(answer_counts: list[int], grouped: bool) -> int:
    """The number of answers that go through the reward model in one epoch; an answer counts each time that it is read.

    answer_counts: K for each prompt. Grouped, all pairs of a prompt are one batch element, and each of its answers is
    read once. Shuffled, every pair is an example of its own, and both of its answers are read for it.

    FIRST write your prediction into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 15.3` measure, and write down what it printed.
    """
    raise NotImplementedError("15.3")


# ---- 15.4 Ties are half a win ------------------------------------------------------------------------------------


def kwise_loss_with_ties(scores: Tensor, ranks: Tensor, group: Tensor) -> Tensor:
    """The loss of 15.1, but a tie is not thrown away: it counts as half a win for each of the two.

    A tied pair i, j adds −½ log σ(r_i − r_j) − ½ log σ(r_j − r_i), and every one of the K·(K−1)/2 pairs of a prompt
    counts in `pairs`. Shapes and meaning of scores, ranks and group are those of 15.1 -> scalar. A prompt with one
    answer has no pair and adds 0. The package drops ties; this is not in it.
    """
    raise NotImplementedError("15.4")
