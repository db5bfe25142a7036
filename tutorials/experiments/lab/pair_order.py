"""How well a reward model orders the answers of a policy, prompt by prompt."""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.evaluation.answers import Answer, Answers
from rlhf.people.prompts import Prompt
from rlhf.records import Ranking
from rlhf.stage2_reward.examples import collate, encode_ranking
from rlhf.stage2_reward.objective import evaluate_ranking
from tutorials.experiments.lab.models import Trained
from tutorials.experiments.lab.reward_learning import CPU


def as_ranking(prompt: Prompt, answers: Sequence[Answer]) -> Ranking:
    """The different answers to one prompt in their gold order; nobody can prefer one of two equal ones."""
    different = {(answer.text, answer.ended): answer.grade.total for answer in answers}
    texts, ended = zip(*different, strict=True)
    golds = tuple(different.values())
    ranks = tuple(sum(other > gold for other in golds) for gold in golds)
    return Ranking(prompt.turns, texts, ranks, ended, golds, sampled=True)


def pair_accuracy(reward_model: Trained, prompts: Sequence[Prompt], answers: Answers) -> list[float]:
    """For each prompt the share of the pairs of its answers that the reward model puts in the gold order; equal scores
    count half. A prompt whose answers are all equally good has no pair and is left out."""
    tokenizer, context = reward_model.tokenizer, reward_model.model.trunk.config.context
    shares = []
    for prompt, given in zip(prompts, answers, strict=True):
        comparison = encode_ranking(tokenizer, as_ranking(prompt, given), context, f"prompt {prompt.id}")
        if comparison.has_pair:
            alone = [collate([comparison], tokenizer.pad_id, CPU)]
            shares.append(evaluate_ranking(reward_model.model, alone)["gold_accuracy"])
    return shares
