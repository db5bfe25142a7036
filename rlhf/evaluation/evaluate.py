"""The figures of all stages: gold totals and 3H on prompts D, win rates, KL from the SFT policy, the alignment tax.

    python -m rlhf.evaluation

Every stage answers the same prompts, which no stage was trained on, at the same temperature; the gold labeler grades.
The base model gets the prompt as plain text, as it has never seen a chat token. It is shown three times: as it stands,
its first line only, and its first line after a few answered prompts. Writes runs/<preset>/results.json and, in
runs/<preset>/evaluation, answers.jsonl with every answer, calibration.json and calibration.svg, and gold.jsonl and
gold.svg of PPO's own rollouts (see `rollouts`); prints a table.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import fmean
from typing import Any

import numpy
import tiktoken
import torch

from minigpt.data import byte_count, validation_batches
from minigpt.model import GPT
from minigpt.objective import VALIDATION_TOKENS, evaluate_language_model
from minigpt.pretrain import pretraining_data
from minigpt.pretraining_data import PretrainingData
from minigpt.runs.config import RunConfig, option, parse
from minigpt.runs.files import load_json, write_json, write_text
from minigpt.runs.log.progress import Progress
from minigpt.runs.log.usage import measure_usage
from minigpt.runs.made_from import MADE_FROM, made_from
from minigpt.runs.seeds import seeded_generator
from rlhf.alternatives.best_of_k import MICRO_BATCH_SIZE, sample_candidates
from rlhf.evaluation.answers import Answer, Answers, base_answers, picked_answers, policy_answers
from rlhf.evaluation.calibration import calibration, write_calibration
from rlhf.evaluation.few_shot import line_answers, shortest_examples
from rlhf.evaluation.measures import first_lines, gold_to_first_stray, is_clean, measure_stage
from rlhf.evaluation.results import text_table
from rlhf.evaluation.rollouts import grade_run
from rlhf.evaluation.win_rate import win_rate
from rlhf.people.prompts import FAMILIES, Prompt, prompt_set
from rlhf.stage2_reward.network import load_reward_model
from rlhf.stage3_ppo.training import ROLLOUTS
from rlhf.stage_io import CHAIN, MADE_BY, TEMPERATURE, load_policy, load_tokenizer

STAGE = "evaluation"
BEST_OF = 8
BEST_NAME = f"best_of_{BEST_OF}"
THREE_H = ("helpful", "honest", "harmless")
# answered prompts that the base model is shown, for more the context has no room, and those they are chosen from
EXAMPLES, EXAMPLE_PROMPTS = 2, 300


@dataclass(frozen=True)
class EvaluateConfig(RunConfig):
    """Settings of the evaluation."""

    count: int = option(400, "prompts of set D", low=len(FAMILIES))  # a family without a prompt has no mean
    samples: int = option(4, "answers of base, SFT and PPO to each prompt; best-of-8 gives one", low=1)
    max_new_tokens: int = option(48, "an answer is cut after this many tokens", low=1)
    temperature: float = option(TEMPERATURE, "sampling temperature of the answers of all stages", above=0)


PRESETS: dict[str, dict[str, Any]] = {"tiny": {"count": 100, "samples": 1}, "small": {}, "medium": {}}


# ---- Figures -----------------------------------------------------------------------------------------------------


def per_prompt(answers: Answers, value: Callable[[Answer], float]) -> list[float]:
    """Each prompt's mean over the answers it got."""
    return [fmean(value(answer) for answer in given) for given in answers]


def mean_over_prompts(answers: Answers, value: Callable[[Answer], float]) -> float:
    """The mean over prompts of the mean over a prompt's answers."""
    return fmean(per_prompt(answers, value))


def gold_per_prompt(answers: Answers) -> list[float]:
    """Each prompt's mean gold total."""
    return per_prompt(answers, attrgetter("grade.total"))


def gold_by_family(answers: Answers, prompts: Sequence[Prompt]) -> dict[str, float]:
    """The mean gold total of each prompt family; each must have a prompt."""
    totals = gold_per_prompt(answers)
    return {
        family: fmean(total for total, prompt in zip(totals, prompts, strict=True) if prompt.family == family)
        for family in FAMILIES
    }


def validation_bits(data: PretrainingData, models: Mapping[str, GPT]) -> dict[str, float]:
    """Bits per byte of each model on the validation text of pretraining: the alignment tax shows here."""
    batches = validation_batches(
        data.validation,
        context=min(model.config.context for model in models.values()),
        batch_size=MICRO_BATCH_SIZE,
        most_tokens=VALIDATION_TOKENS,
        begin_with=data.begin_with,
    )
    size = byte_count(data.tokenizer, batches)
    return {name: evaluate_language_model(model, batches, size)["bits_per_byte"] for name, model in models.items()}


def costs(usages: Mapping[str, Mapping[str, float | None]]) -> dict[str, Any]:
    """Seconds of each stage, their sum, and the largest memory any of them held, from their usage.json."""
    seconds = {stage: round(used["seconds"], 1) for stage, used in usages.items()}
    peaks = [used["peak_rss_mb"] for used in usages.values() if used["peak_rss_mb"] is not None]
    return {
        "seconds": seconds | {"total": round(sum(seconds.values()), 1)},
        "peak_rss_mb": round(max(peaks)) if peaks else None,
    }


def versions() -> dict[str, str]:
    """The versions of the software that made the figures."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "tiktoken": tiktoken.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
    }


# ---- What is written and shown -----------------------------------------------------------------------------------


def summarise(
    prompts: Sequence[Prompt],
    answers: dict[str, Answers],
    kl: float,
    reward_model: dict[str, Any],
    bits: dict[str, float],
    config: EvaluateConfig,
) -> dict[str, Any]:
    """results.json without what the run cost."""
    gold = {stage: gold_per_prompt(given) for stage, given in answers.items()}
    measured = {stage: measure_stage(prompts, given) for stage, given in answers.items()}
    return {
        "preset": config.preset,
        "seed": config.seed,
        "prompts": len(prompts),
        "samples_per_prompt": config.samples,
        "temperature": config.temperature,
        "gold": {stage: fmean(totals) for stage, totals in gold.items()},
        **{name: {stage: measured[stage][name] for stage in answers} for name in measured["sft"]},
        "gold_by_family": {stage: gold_by_family(given, prompts) for stage, given in answers.items()},
        "three_h": {
            stage: {part: mean_over_prompts(given, attrgetter(f"grade.{part}")) for part in THREE_H}
            for stage, given in answers.items()
        },
        "win_rate": {
            f"{stage}_vs_sft": win_rate(gold[stage], gold["sft"]).as_dict() for stage in answers if stage != "sft"
        },
        "reward_model": {
            # None where a user's own rankings come without gold totals or simulated annotators
            "pair_accuracy_gold": reward_model.get("held_out_gold_accuracy"),
            "pair_accuracy_annotators": reward_model["held_out_accuracy"],
            # the policy's own answers only, without off-topic distractors
            "pair_accuracy_gold_own": reward_model.get("held_out_gold_accuracy_own"),
            "pair_accuracy_annotators_own": reward_model.get("held_out_accuracy_own"),
        },
        # what the SFT policy's mean log-probability makes of the same pairs
        "pair_accuracy_likelihood_own": reward_model.get("held_out_likelihood_gold_accuracy_own"),
        "annotators": {
            "agreement": reward_model.get("annotator_agreement_measured"),
            "agreement_own": reward_model.get("annotator_agreement_own"),
            # the most that a reward model can learn from one annotator's order
            "gold_order": reward_model.get("annotator_gold_agreement"),
            "gold_order_own": reward_model.get("annotator_gold_agreement_own"),
        },
        "kl_nats_per_sequence": kl,
        "ended": {stage: mean_over_prompts(given, attrgetter("ended")) for stage, given in answers.items()},
        "bits_per_byte": bits,
        "versions": versions(),
    }


def answer_fields(prompt: Prompt, answer: Answer) -> dict[str, Any]:
    """One answer with all its grades, for answers.jsonl."""
    return {
        "text": answer.text,
        "ended": answer.ended,
        "score": answer.score,
        "total": answer.grade.total,
        **{part: getattr(answer.grade, part) for part in THREE_H},
        "clean": is_clean(answer),
        "total_to_first_stray": gold_to_first_stray(prompt.request, answer),
    }


def answer_lines(prompts: Sequence[Prompt], answers: dict[str, Answers]) -> str:
    """answers.jsonl: each prompt with the first answer of every stage, which is what pages show, and all of them."""
    lines = []
    for index, prompt in enumerate(prompts):
        every = {stage: [answer_fields(prompt, each) for each in given[index]] for stage, given in answers.items()}
        record = {
            "id": prompt.id,
            "family": prompt.family,
            "prompt": [{"role": turn.role, "content": turn.text} for turn in prompt.turns],
            "ideal": prompt.ideal,
            "answers": {stage: given[0] for stage, given in every.items()},
            "every_answer": every,
        }
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    return "".join(lines)


# ---- The command -------------------------------------------------------------------------------------------------


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Lets every stage answer and grades the answers; writes answers.jsonl. Returns results.json without the costs."""
    run_dir, tokenizer = config.run_dir, load_tokenizer(config.run_dir)
    base, sft, ppo = (config.place(load_policy(run_dir / stage, tokenizer)) for stage in ("pretrain", "sft", "ppo"))
    reward_model = config.place(load_reward_model(run_dir / "reward_model", tokenizer))
    reward_summary = load_json(run_dir / "reward_model" / "summary.json", MADE_BY["reward_model"])
    text = pretraining_data(run_dir / "pretrain", tokenizer)
    prompts = prompt_set("D", config.count, config.seed)
    sampling = {"max_new_tokens": config.max_new_tokens, "temperature": config.temperature}
    every = {"samples": config.samples, **sampling}
    answers: dict[str, Answers] = {}
    with Progress(STAGE, 6, 0, unit="part") as progress:
        generator = seeded_generator(config.seed, "evaluation of base")
        answers["base"] = base_answers(base, tokenizer, prompts, **every, generator=generator)
        answers["base_first_line"] = first_lines(prompts, answers["base"])
        progress.update("base")
        examples = shortest_examples(tokenizer, prompt_set("A", EXAMPLE_PROMPTS, config.seed), EXAMPLES)
        answers["base_examples"] = line_answers(
            base,
            tokenizer,
            prompts,
            examples,
            **sampling,
            generator=seeded_generator(config.seed, "evaluation of base with examples"),
        )
        progress.update("base with examples")
        generator = seeded_generator(config.seed, "evaluation")
        answers["sft"], _ = policy_answers(sft, None, reward_model, tokenizer, prompts, **every, generator=generator)
        progress.update("sft")
        candidates = sample_candidates(
            sft,
            reward_model,
            tokenizer,
            prompts,
            k=BEST_OF,
            **sampling,
            generator=seeded_generator(config.seed, "evaluation of best of k"),
        )
        answers[BEST_NAME] = picked_answers(prompts, candidates)
        progress.update(BEST_NAME)
        # the random numbers of SFT again: what differs then is the policy, and less of it is luck
        generator = seeded_generator(config.seed, "evaluation")
        answers["ppo"], kl = policy_answers(ppo, sft, reward_model, tokenizer, prompts, **every, generator=generator)
        progress.update("ppo")
        bits = validation_bits(text, {"base": base, "sft": sft, "ppo": ppo})
        progress.update("bits per byte")
    write_text(run_dir / STAGE / "answers.jsonl", answer_lines(prompts, answers))
    texts = {stage: [[answer.text for answer in given] for given in answers[stage]] for stage in ("sft", "ppo")}
    claims = [[*first, *more.texts] for first, more in zip(texts["sft"], candidates, strict=True)]
    write_calibration(run_dir / STAGE, calibration(prompts, claims, {"SFT": texts["sft"], "PPO": texts["ppo"]}))
    return summarise(prompts, answers, kl, reward_summary, bits, config)


def won_text(won: Mapping[str, float]) -> str:
    """A win rate in words; where every prompt is a tie, there is none."""
    counts = f"{won['wins']} won, {won['ties']} tied, {won['losses']} lost"
    if won["wins"] + won["losses"] == 0:
        return f"{counts}; without a decided prompt there is no win rate"
    return f"{counts}, {100 * won['rate']:.1f} % of the decided [{100 * won['low']:.1f}, {100 * won['high']:.1f}]"


def main(argv: list[str]) -> None:
    """Evaluates all stages of a run."""
    config = parse(EvaluateConfig, argv, description=__doc__, presets=PRESETS)
    # read before the work: a stage that did not finish should be known now and not in a minute
    usages = {stage: load_json(config.stage_dir(stage) / "usage.json", MADE_BY[stage]) for stage in CHAIN}
    with measure_usage(config.stage_dir(STAGE)):
        results = evaluate(config)
        if (config.stage_dir("ppo") / ROLLOUTS).is_file():  # a policy that was not trained here has no rollouts
            grade_run(config.run_dir)
    usages[STAGE] = load_json(config.stage_dir(STAGE) / "usage.json", "make evaluate")
    path = config.run_dir / "results.json"
    write_json(path, results | costs(usages))
    inputs = [config.stage_dir(stage) / "checkpoint.pt" for stage in CHAIN]
    write_json(config.stage_dir(STAGE) / MADE_FROM, made_from(config, PRESETS, "rlhf.evaluation.evaluate", inputs))
    print(text_table(results))
    print(
        f"PPO against SFT: {won_text(results['win_rate']['ppo_vs_sft'])}\n"
        f"KL from SFT: {results['kl_nats_per_sequence']:.2f} nats a sequence; all of it is in {path}"
    )
