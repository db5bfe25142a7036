"""`plug` for chapter 09: a translator on the student's cross-attention, and a GPT on the student's mask."""

from __future__ import annotations

import dataclasses
import sys

from torch import Tensor, nn

from minigpt.attention import causal_mask
from minigpt.model import GPT
from minigpt.relatives.encoder_decoder import CrossAttention, EncoderDecoder
from tutorials.exercises.measure import SIDES, backwards_text
from tutorials.exercises.plugs.common import Function, installed, print_curves, student_function, student_module
from tutorials.exercises.registry import Exercise
from tutorials.exercises.translation import SHAPE, fit, mask_loss, right, rows, say

STEPS = 200
ENGLISH = "the small cow chases the owl near the old goat ."


def as_cross_attention(cross_attention: Function) -> Function:
    """The student's function as the forward of the package's CrossAttention."""

    def forward(self: nn.Module, x: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        weights = self.query.weight, self.key_value.weight, self.projection.weight
        return cross_attention(x, memory, memory_mask[:, 0, 0], *weights, self.heads)

    return forward


def translator() -> tuple[EncoderDecoder, list[float]]:
    """A translator, and its losses."""
    model = EncoderDecoder(SHAPE)
    losses = fit(model, steps=STEPS)
    return model, losses


def translate_with_cross_attention(exercise: Exercise) -> None:
    """The chapter's translator, with the package's cross-attention and with the student's."""
    function = student_function(exercise)
    print("training a translator twice, with the package's cross-attention and with yours …", file=sys.stderr)
    _, ours = translator()
    with installed(CrossAttention, "forward", as_cross_attention(function)):
        model, yours = translator()
        print_curves(yours, ours, "nats/token")
        print(f"yours translates {right(model):.2f} of 200 new sentences without a fault:")
        print(f"    {ENGLISH}\n    {say(model, ENGLISH)}")


def gpt_with_an_open_source(exercise: Exercise) -> None:
    """A GPT that reads source and translation in one row: with its own mask, and with the student's."""
    function = student_function(exercise)
    print("training a GPT twice, with the causal mask and with yours …", file=sys.stderr)
    shape = dataclasses.replace(SHAPE, layers=2, position="rotary")
    losses = [
        fit(GPT(shape), mask_loss(mask), rows, 2 * STEPS)
        for mask in (lambda source, tokens: causal_mask(tokens).expand(len(source), tokens, tokens), function)
    ]
    print_curves(losses[1], losses[0], "nats/token; the package's mask is causal")
    print("the two are different models, so their losses differ; which is lower, chapter 09 discusses")


def measure_the_sides(exercise: Exercise) -> None:
    """What a word costs, by what is known of its neighbours."""
    function = student_function(exercise)
    print(f"a word of {len(backwards_text()):,} costs, in nats:")
    for name, (before, after) in SIDES.items():
        print(f"    {name:<7} {function(backwards_text(), before, after):.3f}")
    print("write these four numbers into answers.toml, and why the middle two came out like that")


def fill_in_palindromes(exercise: Exercise) -> None:
    """The repaired program's own training."""
    loss, share = student_module(exercise).train()
    print(f"loss {loss:.2f}, of the letters that are hidden alone {share:.2f} are filled in rightly")


PLUGS = {
    "9.1": translate_with_cross_attention,
    "9.2": gpt_with_an_open_source,
    "9.3": measure_the_sides,
    "9.4": fill_in_palindromes,
}
