"""Comparisons for the reward model: the SFT policy answers prompts B, and simulated annotators rank the answers.

    prompt ─► K = 4…9 sampled answers ─► equal ones merged ─► gold totals ─► one annotator's ranks ─► rankings.jsonl

K differs between prompts as in InstructGPT (section 3.2). Each prompt goes to one annotator; some go to a second one as
well, only to measure how often two people agree: that is the ceiling of what a reward model can learn from them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from minigpt.model import GPT
from minigpt.runs.errors import UserError
from minigpt.runs.seeds import seeded_generator
from minigpt.scale.decoding import generate_together
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import decode_response, encode_prompt
from rlhf.people.annotators import Annotator, calibrate_noise, expected_agreement, make_annotators, measured_agreement
from rlhf.people.labeler import grade
from rlhf.people.prompts import Prompt
from rlhf.records import Ranking
from rlhf.stage2_reward.examples import split_validation

ROWS_AT_ONCE = 512  # answers sampled side by side: many, because a step costs almost the same for few
CALIBRATION_PROMPTS = 300


@dataclass(frozen=True)
class Answers:
    """The different answers to one prompt, and which of them ended by themselves. distractors: how many of them, the
    last ones, were given to other prompts."""

    prompt: Prompt
    texts: tuple[str, ...]
    ended: tuple[bool, ...]
    distractors: int = 0

    def gold(self) -> tuple[float, ...]:
        """The gold total of each answer."""
        return tuple(grade(self.prompt.request, *answer).total for answer in zip(self.texts, self.ended, strict=True))


def sample_answers(
    policy: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    answers: tuple[int, int],
    max_new_tokens: int,
    temperature: float,
    seed: int,
) -> Iterator[Answers]:
    """K answers to each prompt, K drawn uniformly from `answers` (both ends included).

    Equal answers are merged: nobody can prefer one of two equal texts. A prompt with one answer left is dropped.
    """
    generator = seeded_generator(seed, "comparisons")
    low, high = answers
    counts = torch.randint(low, high + 1, (len(prompts),), generator=generator).tolist()
    encoded = [(prompt, encode_prompt(tokenizer, prompt.turns)) for prompt in prompts]
    for k in range(low, high + 1):
        asked = [item for item, count in zip(encoded, counts, strict=True) if count == k]
        asked.sort(key=lambda item: len(item[1]))  # attention reads as many slots for each row as the longest has
        at_once = max(1, ROWS_AT_ONCE // k)
        for start in range(0, len(asked), at_once):
            chunk = asked[start : start + at_once]
            generation = generate_together(
                policy,
                [ids for _, ids in chunk],
                max_new_tokens=max_new_tokens,
                stop_tokens=[tokenizer.end_id],
                pad_id=tokenizer.pad_id,
                temperature=temperature,
                generator=generator,
                samples_per_prompt=k,
            )
            written = zip(
                generation.tokens.tolist(), generation.lengths.tolist(), generation.ended.tolist(), strict=True
            )
            rows = [(decode_response(tokenizer, ids[:length]), ended) for ids, length, ended in written]
            for index, (prompt, _) in enumerate(chunk):
                different = list(dict.fromkeys(rows[index * k : (index + 1) * k]))
                if len(different) > 1:
                    texts, ended = zip(*different, strict=True)
                    yield Answers(prompt, texts, ended)


def with_distractors(collected: Sequence[Answers], seed: int, validation_fraction: float) -> list[Answers]:
    """To each prompt's answers up to two off-topic distractors, answers that were given to other prompts: to any other,
    and to one of its family.

    The policy seldom answers something else, so a reward model would never see such an answer ranked, and what it has
    not seen it scores at random. PPO exploits that: without distractors, a policy learned to answer everything with
    "Italy is a country in Europe", while its score rose and its gold total fell. An answer to another kind of request
    is easily recognised; one about another cow, story or review has to be compared with the prompt, and without a
    distractor of the family a reward model did not learn to: it preferred the right one of two summaries as often as
    the wrong one (tests/benchmarks/LOG.md, 2026-11-23).

    validation_fraction: the share of the prompts, the last ones, whose answers are no distractors of others: a reward
    model is measured on them, and must not have seen them.
    """
    rng = random.Random(f"distractors {seed}")
    sources, _ = split_validation(collected, validation_fraction)
    families: dict[str, list[Answers]] = {}
    for answers in sources:
        families.setdefault(answers.prompt.family, []).append(answers)
    result = []
    for answers in collected:
        texts, ended = list(answers.texts), list(answers.ended)
        family = families.get(answers.prompt.family, sources)
        for others in (sources, family):
            other = rng.choice(others)
            index = rng.randrange(len(other.texts))
            if other.texts[index] not in texts:  # one that is there already is no distractor
                texts.append(other.texts[index])
                ended.append(other.ended[index])
        added = len(texts) - len(answers.texts)
        result.append(Answers(answers.prompt, tuple(texts), tuple(ended), added))
    return result


def annotator_noise(gold_totals: Sequence[Sequence[float]]) -> tuple[float, str]:
    """The noise at which annotators agree as InstructGPT's do, and the pairs that it was calibrated on.

    Over all pairs if that can be reached. A weak policy gives so many equally bad answers, on which two people agree
    half of the time, that it cannot; then over the pairs that do differ. Raises UserError if none does.
    """
    gold_totals = gold_totals[:CALIBRATION_PROMPTS]
    try:
        return calibrate_noise(gold_totals), "all pairs"
    except ValueError:
        differing = [(a, b) for group in gold_totals for i, a in enumerate(group) for b in group[i + 1 :] if a != b]
    if not differing:
        raise UserError(
            "all answers of the policy to a prompt are equally good, so there is nothing to rank: train stage 1 "
            "longer, or sample more answers (--answers)"
        )
    return calibrate_noise(differing), "pairs whose gold totals differ"


def rank_answers(
    collected: Sequence[Answers], annotators: int, seed: int, noise: float | None = None
) -> tuple[list[Ranking], dict[str, float | int | str]]:
    """Every prompt's answers ranked by one annotator, and what is known about the annotators.

    noise: the annotators', None calibrates it on these answers. People who have ranked before are as careful as they
    were; calibrated on a better policy's answers, which differ less, they would have to look closer. The agreements
    in the summary are shares of pairs: `expected` from the noise, `measured` between the annotator and a second one who
    ranked the same answers.
    """
    gold_totals = [answers.gold() for answers in collected]
    own = [len(answers.texts) - answers.distractors for answers in collected]
    if not gold_totals:
        raise UserError("the policy gives every prompt one and the same answer, so there is nothing to rank")
    noise, calibrated_on = annotator_noise(gold_totals) if noise is None else (noise, "nothing: it was given")
    people: list[Annotator] = make_annotators(annotators, noise, seed)
    rng = random.Random(f"rankings {seed}")
    rankings, first, second = [], [], []
    for number, (answers, gold) in enumerate(zip(collected, gold_totals, strict=True)):
        ranks = people[number % len(people)].rank(gold, rng)
        first.append(ranks)
        second.append(people[(number + 1) % len(people)].rank(gold, rng))
        rankings.append(
            Ranking(
                answers.prompt.turns,
                answers.texts,
                tuple(ranks),
                answers.ended,
                gold,
                sampled=True,
                distractors=answers.distractors,
            )
        )
    worse = [[-value for value in gold] for gold in gold_totals]  # as ranks are: a smaller number is better
    summary = {
        "prompts_ranked": len(rankings),
        "answers_ranked": sum(map(len, gold_totals)),
        "pairs": sum(len(gold) * (len(gold) - 1) // 2 for gold in gold_totals),
        "annotator_noise": noise,
        "annotator_noise_calibrated_on": calibrated_on,
        "annotator_agreement_expected": expected_agreement(gold_totals, noise),
        "annotator_agreement_measured": measured_agreement(first, second),
        "annotator_gold_agreement": measured_agreement(first, worse),
        # the same on the policy's own answers: no easy pairs
        "annotator_agreement_own": measured_agreement(_cut(first, own), _cut(second, own)),
        "annotator_gold_agreement_own": measured_agreement(_cut(first, own), _cut(worse, own)),
        "mean_gold": sum(map(sum, gold_totals)) / sum(map(len, gold_totals)),
        "ended_share": sum(sum(answers.ended) for answers in collected) / sum(map(len, gold_totals)),
    }
    return rankings, summary


def _cut(ranks: Sequence[Sequence[float]], counts: Sequence[int]) -> list[Sequence[float]]:
    """The first so many ranks of each prompt; only their order within the prompt means something."""
    return [each[:count] for each, count in zip(ranks, counts, strict=True)]
