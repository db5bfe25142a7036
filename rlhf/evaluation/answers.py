"""The answers of every stage to the same prompts, with the gold labeler's grades; `evaluate` makes figures of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from minigpt.generate import generate
from minigpt.model import GPT
from minigpt.tokenizer import Tokenizer
from rlhf.alternatives.best_of_k import MICRO_BATCH_SIZE, ROWS_AT_ONCE, Candidates
from rlhf.chat_format import encode_plain, encode_prompt
from rlhf.people.labeler import Grade, grade
from rlhf.people.prompts import Prompt
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage3_ppo.rollout import Batch, reference_logprobs, sample_responses, score_with_model


@dataclass(frozen=True)
class Answer:
    """One graded answer. score: the reward model's, None for the base model, whose answers are no chat."""

    text: str
    ended: bool
    grade: Grade
    score: float | None


def gold_total(prompt: Prompt, text: str, ended: bool) -> float:
    """The gold labeler's total of one answer. ended: whether the policy ended it by itself."""
    return grade(prompt.request, text, ended).total


# the answers of one stage: for each prompt, the answers it gave
Answers = list[list[Answer]]


def base_answers(
    model: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    samples: int,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> Answers:
    """Answers of the base model, `samples` a prompt: its text after the plain prompt, up to the end of the document.

    It has never seen a chat token, so asking it as one asks the other stages would measure only that.
    """
    answers: Answers = []
    at_once = max(1, ROWS_AT_ONCE // samples)
    for start in range(0, len(prompts), at_once):
        chunk = prompts[start : start + at_once]
        written = generate(
            model,
            [encode_plain(tokenizer, prompt.turns) for prompt in chunk],
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            stop_tokens=[tokenizer.end_of_text_id],
            pad_id=tokenizer.pad_id,
            generator=generator,
            samples_per_prompt=samples,
        )
        rows = zip(written.tokens.tolist(), written.lengths.tolist(), written.ended.tolist(), strict=True)
        texts = [(tokenizer.decode(ids[: length - ended]), ended) for ids, length, ended in rows]
        for index, prompt in enumerate(chunk):
            mine = texts[index * samples : (index + 1) * samples]
            answers.append([Answer(text, ended, grade(prompt.request, text, ended), None) for text, ended in mine])
    return answers


def policy_answers(
    policy: GPT,
    reference: GPT | None,
    reward_model: RewardModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    samples: int,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> tuple[Answers, float]:
    """A policy's answers, `samples` a prompt, and its KL from the reference in nats a sequence.

    Both are of the distributions at `temperature`. Without a reference the KL is 0: the policy is its own.
    """
    encoded = [encode_prompt(tokenizer, prompt.turns) for prompt in prompts]
    answers: Answers = []
    log_ratios: list[float] = []
    at_once = max(1, ROWS_AT_ONCE // samples)
    for start in range(0, len(prompts), at_once):
        chunk = range(start, min(start + at_once, len(prompts)))
        batch = sample_responses(
            policy,
            encoded,
            [row for row in chunk for _ in range(samples)],
            tokenizer,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            generator=generator,
        )
        log_ratios += [0.0] if reference is None else sequence_log_ratios(batch, reference, temperature)
        scores = score_with_model(reward_model, batch, MICRO_BATCH_SIZE).tolist()
        given = list(zip(batch.texts(tokenizer), batch.ended.tolist(), scores, strict=True))
        for index, row in enumerate(chunk):
            mine = given[index * samples : (index + 1) * samples]
            request = prompts[row].request
            answers.append([Answer(text, ended, grade(request, text, ended), score) for text, ended, score in mine])
    return answers, fmean(log_ratios)


def sequence_log_ratios(batch: Batch, reference: GPT, temperature: float) -> list[float]:
    """Σ_t log π(y_t) − log π_ref(y_t) of each response, in nats.

    Their mean is an unbiased estimate of KL(π ‖ π_ref) of whole answers, as the responses are π's own samples.
    `temperature` is that of the sampling, for both. Unlike the k3 estimator it may be negative for a single answer.
    """
    difference = batch.logprobs - reference_logprobs(reference, batch, temperature, MICRO_BATCH_SIZE)  # [B,T]
    return torch.where(batch.mask, difference, 0.0).sum(dim=1).tolist()


def picked_answers(prompts: Sequence[Prompt], candidates: Sequence[Candidates]) -> Answers:
    """The one answer to each prompt that the reward model picked."""
    answers: Answers = []
    for prompt, sampled in zip(prompts, candidates, strict=True):
        text, ended, score = (values[sampled.best] for values in (sampled.texts, sampled.ended, sampled.scores))
        answers.append([Answer(text, ended, grade(prompt.request, text, ended), score)])
    return answers
