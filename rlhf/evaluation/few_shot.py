"""Asking a base model: it has never seen a chat token, so the prompt is plain text, with a few answered ones before it.

    List two flowers.              an example: a prompt of set A and its ideal answer
    Tulip and daffodil.
    How does a tiger sound?        another
    The tiger roars.
    What does a cow eat?           the prompt
    ‸                              the answer is the line that the model writes here

No weights change; the examples are only read (Brown et al. 2020, arXiv 2005.14165, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from minigpt.generate import generate
from minigpt.model import GPT
from minigpt.tokenizer import Tokenizer
from rlhf.alternatives.best_of_k import ROWS_AT_ONCE
from rlhf.evaluation.answers import Answer, Answers
from rlhf.people.labeler import grade
from rlhf.people.prompts import Prompt


def as_lines(prompt: Prompt, answer: str = "") -> str:
    """The turns of a prompt, each a line, and below them the answer if there is one."""
    return "".join(f"{text}\n" for text in (*(turn.text for turn in prompt.turns), answer) if text)


def shortest_examples(tokenizer: Tokenizer, prompts: Sequence[Prompt], count: int) -> list[str]:
    """The shortest answered prompt of each family, and of these the `count` shortest: a context has little room."""

    def length(text: str) -> int:
        return len(tokenizer.encode(text))

    shortest: dict[str, str] = {}
    for prompt in prompts:
        example = as_lines(prompt, prompt.ideal)
        shortest[prompt.family] = min(shortest.get(prompt.family, example), example, key=length)
    return sorted(shortest.values(), key=length)[:count]


def few_shot_ids(tokenizer: Tokenizer, prompt: Prompt, examples: Sequence[str]) -> list[int]:
    """A new document that holds the examples and then the prompt; without examples, as `encode_plain` has it."""
    return [tokenizer.end_of_text_id, *tokenizer.encode("".join([*examples, as_lines(prompt)]))]


def line_answers(
    model: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    examples: Sequence[str],
    *,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> Answers:
    """The line that the base model writes after each prompt; one answer a prompt.

    A base model continues after its answer, with the next question or with a remark on the answer. The examples show
    that an answer is one line, so the text is cut there.
    """
    (newline,) = tokenizer.encode("\n")
    answers: Answers = []
    for start in range(0, len(prompts), ROWS_AT_ONCE):
        chunk = prompts[start : start + ROWS_AT_ONCE]
        written = generate(
            model,
            [few_shot_ids(tokenizer, prompt, examples) for prompt in chunk],
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            stop_tokens=[newline, tokenizer.end_of_text_id],
            pad_id=tokenizer.pad_id,
            generator=generator,
        )
        rows = zip(chunk, written.tokens.tolist(), written.lengths.tolist(), written.ended.tolist(), strict=True)
        for prompt, ids, length, ended in rows:
            text = tokenizer.decode(ids[: length - ended])
            answers.append([Answer(text, ended, grade(prompt.request, text, ended), None)])
    return answers
