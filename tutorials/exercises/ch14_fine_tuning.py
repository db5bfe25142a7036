"""Chapter 14: supervised fine-tuning. 14.1 to 14.3 are written into this file; 14.4: bugs/ch14_never_ends.py.

    python -m tutorials.exercises check 14.1      # run the checks of one exercise
    python -m tutorials.exercises hint 14.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 14.1       # once it is green: stage 1 of preset tiny trains on your function

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch14.py: slow, and right.

Shapes: B demonstrations · T tokens · V vocabulary. A row is a prompt and its response, which ends with <|end|>; shorter
rows are padded on the right, with any id.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100  # as a target: nothing is learned here

# ---- 14.1 The loss on responses ----------------------------------------------------------------------------------


def sft_loss(logits: Tensor, ids: Tensor, prompt_lengths: Tensor, lengths: Tensor) -> Tensor:
    """The loss of stage 1: the mean of −log p over all response tokens of the batch, <|end|> among them.

    ids [B,T]; logits [B,T,V], what the model says after each token: logits[b, t] predicts ids[b, t + 1].
    prompt_lengths [B], the tokens of each prompt, <|assistant|> included; lengths [B], of prompt and response together,
    <|end|> included -> scalar, in nats a token. Every response token of the batch counts alike. Whatever stands in the
    padding (ids, and logits that may be NaN) changes nothing.
    """
    raise NotImplementedError("14.1")


# ---- 14.2 Learn from every answer of a conversation --------------------------------------------------------------


def answers_as_targets(ids: Tensor, lengths: Tensor, assistant_id: int, end_id: int) -> Tensor:
    """The targets of conversations with several answers: every answer is learned, not only the last one.

        <|user|> What … <|assistant|> A goat … <|end|> <|user|> And … <|assistant|> It … <|end|>

    ids [B,T], padded on the right; lengths [B], the real tokens of each row -> targets [B,T-1] for the inputs
    ids[:, :-1]: the next token where it belongs to an answer, IGNORE elsewhere. An answer is what follows
    <|assistant|>, up to its <|end|>, which is learned too; one that was cut off has no <|end|>. Special tokens stand
    nowhere else in a row, but anything may stand in the padding. The package learns the last answer only.
    """
    raise NotImplementedError("14.2")


# ---- 14.3 What is imitated? --------------------------------------------------------------------------------------


def imitated(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    """The probability of each of V answers after stage 1, if the model learns its loss to the minimum.

    Many people answered one prompt. There are V different answers, and they all part at one and the same token: up to
    there they are equal, after it each has only one way to go on. lengths [V], the tokens of each answer, <|end|>
    included; counts [V], how many people gave it -> probabilities [V], which add up to 1. kind: how the loss weighs.

        "tokens"     the mean over all response tokens of the data: every token counts 1
        "answers"    the mean over people of the mean over the tokens of their answer: a token counts 1/(its answer's
                     length)

    FIRST write your predictions into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 14.3` measure, and write down what it printed.
    """
    raise NotImplementedError("14.3")
