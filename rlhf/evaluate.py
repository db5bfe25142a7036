"""What each stage did: gold totals and 3H on prompts D, win rates, KL from the SFT policy, the alignment tax.

    python -m rlhf.evaluate

Every stage answers the same prompts, which no stage was trained on, at temperature 1; the gold labeler grades. The base
model gets the prompt as plain text, as it has never seen a chat token. Writes runs/<preset>/results.json and
runs/<preset>/evaluation/answers.jsonl, and prints a table.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy
import tiktoken
import torch

from minigpt.checkpoint import write_json, write_text
from minigpt.config import RunConfig, from_dict, option, parse
from minigpt.data import seeded_generator, split_documents, tokenize_documents, validation_batches
from minigpt.errors import UserError, run_main
from minigpt.generate import generate
from minigpt.language_modeling import evaluate_language_model
from minigpt.model import GPT
from minigpt.pretrain import PretrainConfig, load_documents
from minigpt.progress import Progress
from minigpt.tokenizer import Tokenizer
from minigpt.usage import measure_usage
from rlhf.best_of_k import MICRO_BATCH_SIZE, ROWS_AT_ONCE, Candidates, sample_candidates
from rlhf.conversation import encode_plain, encode_prompt
from rlhf.labeler import Grade, grade
from rlhf.models import load_policy, load_tokenizer
from rlhf.reward_model import RewardModel, load_reward_model
from rlhf.rollout import by_length, response_logprobs, sample_responses, score_with_model
from rlhf.tasks import FAMILIES, Prompt, prompt_set
from rlhf.win_rate import win_rate

STAGE = "evaluation"
BEST_OF = 8
BEST_NAME = f"best_of_{BEST_OF}"
# the stages in the order they are shown, and where each one's policy comes from
STAGES = {"base": "pretrain", "sft": "sft", BEST_NAME: "sft", "ppo": "ppo"}
MEASURED_STAGES = ("pretrain", "sft", "reward_model", "ppo", STAGE)
THREE_H = ("helpful", "honest", "harmless")


@dataclass(frozen=True)
class EvaluateConfig(RunConfig):
    """Settings of the evaluation."""

    count: int = option(400, "prompts of set D")
    samples: int = option(4, "answers of base, SFT and PPO to each prompt; best-of-8 gives one")
    max_new_tokens: int = option(48, "an answer is cut after this many tokens")

    def __post_init__(self) -> None:
        for name in ("count", "samples", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')}: expected 1 or more, got {getattr(self, name)}")


PRESETS: dict[str, dict[str, Any]] = {"tiny": {"count": 100, "samples": 1}, "small": {}}


@dataclass(frozen=True)
class Answer:
    """One graded answer. score: the reward model's, None for the base model, whose answers are no chat."""

    text: str
    ended: bool
    grade: Grade
    score: float | None


# the answers of one stage: for each prompt, the answers it gave
Answers = list[list[Answer]]


def base_answers(model: GPT, tokenizer: Tokenizer, prompts: Sequence[Prompt], config: EvaluateConfig) -> Answers:
    """What the base model writes after the prompt as plain text, up to the end of its document."""
    generator = seeded_generator(config.seed, 1)
    answers: Answers = []
    at_once = max(1, ROWS_AT_ONCE // config.samples)
    for start in range(0, len(prompts), at_once):
        chunk = prompts[start : start + at_once]
        written = generate(
            model, [encode_plain(tokenizer, prompt.turns) for prompt in chunk], max_new_tokens=config.max_new_tokens,
            stop_tokens=[tokenizer.end_of_text_id], pad_id=tokenizer.pad_id, generator=generator,
            samples_per_prompt=config.samples,
        )  # fmt: skip
        rows = zip(written.tokens.tolist(), written.lengths.tolist(), written.ended.tolist(), strict=True)
        texts = [(tokenizer.decode(ids[: length - ended]), ended) for ids, length, ended in rows]
        for index, prompt in enumerate(chunk):
            mine = texts[index * config.samples : (index + 1) * config.samples]
            answers.append([Answer(text, ended, grade(prompt.request, text, ended), None) for text, ended in mine])
    return answers


def policy_answers(
    policy: GPT, reference: GPT, reward_model: RewardModel, tokenizer: Tokenizer, prompts: Sequence[Prompt],
    config: EvaluateConfig,
) -> tuple[Answers, float]:  # fmt: skip
    """A policy's answers, and its KL from the reference in nats a sequence.

    The KL is the mean over sampled answers of sum_t log pi(y_t) - log pi_ref(y_t): unbiased, as the samples are pi's.
    """
    generator = seeded_generator(config.seed, 2)
    encoded = [encode_prompt(tokenizer, prompt.turns) for prompt in prompts]
    answers: Answers = []
    log_ratios: list[float] = []
    at_once = max(1, ROWS_AT_ONCE // config.samples)
    for start in range(0, len(prompts), at_once):
        chunk = range(start, min(start + at_once, len(prompts)))
        episodes = sample_responses(
            policy, encoded, [row for row in chunk for _ in range(config.samples)], tokenizer,
            max_new_tokens=config.max_new_tokens, temperature=1.0, generator=generator,
        )  # fmt: skip
        scores = score_with_model(reward_model, episodes, MICRO_BATCH_SIZE).tolist()
        with torch.inference_mode():
            for rows in by_length(episodes, MICRO_BATCH_SIZE):
                part = episodes.select(rows)
                difference = (part.logprobs - response_logprobs(reference, part, 1.0)[0]) * part.mask  # [B,N]
                log_ratios += difference.sum(dim=1).tolist()
        given = list(zip(episodes.texts(tokenizer), episodes.ended.tolist(), scores, strict=True))
        for index, row in enumerate(chunk):
            mine = given[index * config.samples : (index + 1) * config.samples]
            request = prompts[row].request
            answers.append([Answer(text, ended, grade(request, text, ended), score) for text, ended, score in mine])
    return answers, fmean(log_ratios)


def picked_answers(prompts: Sequence[Prompt], candidates: Sequence[Candidates]) -> Answers:
    """The answer the reward model picked for each prompt."""
    answers: Answers = []
    for prompt, sampled in zip(prompts, candidates, strict=True):
        text, ended, score = (values[sampled.best] for values in (sampled.texts, sampled.ended, sampled.scores))
        answers.append([Answer(text, ended, grade(prompt.request, text, ended), score)])
    return answers


# ---- Figures


def mean_over_prompts(answers: Answers, value: Callable[[Answer], float]) -> float:
    """The mean over prompts of the mean over a prompt's answers."""
    return fmean(fmean(value(answer) for answer in given) for given in answers)


def gold_per_prompt(answers: Answers) -> list[float]:
    """Each prompt's mean gold total."""
    return [fmean(answer.grade.total for answer in given) for given in answers]


def gold_by_family(answers: Answers, prompts: Sequence[Prompt]) -> dict[str, float]:
    """The mean gold total of each prompt family."""
    totals = gold_per_prompt(answers)
    return {
        family: fmean(total for total, prompt in zip(totals, prompts, strict=True) if prompt.family == family)
        for family in FAMILIES
    }


def held_out_bits_per_byte(run_dir: Path, tokenizer: Tokenizer, models: dict[str, GPT]) -> dict[str, float]:
    """Bits per byte of each model on the documents that pretraining held back: what alignment costs shows here."""
    path = run_dir / "pretrain" / "config.json"
    config = from_dict(PretrainConfig, json.loads(path.read_text(encoding="utf-8"))["config"], str(path))
    _training, held_out = split_documents(load_documents(config), config.validation_fraction, config.seed)
    tokens = tokenize_documents(tokenizer, held_out)
    batches = validation_batches(tokens, context=config.model.context, batch_size=MICRO_BATCH_SIZE)
    size = sum(len(document.encode("utf-8")) for document in held_out)
    return {name: evaluate_language_model(model, batches, size)["bits_per_byte"] for name, model in models.items()}


def read_json(path: Path, made_by: str) -> dict[str, Any]:
    """A stage's own summary. Raises `UserError` if it is not there."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `{made_by}` first.") from None


def usage(run_dir: Path) -> dict[str, Any]:
    """Seconds of each stage, their sum, and the largest memory any of them held."""
    found = {stage: read_json(run_dir / stage / "usage.json", "make all") for stage in MEASURED_STAGES}
    seconds = {stage: round(used["seconds"], 1) for stage, used in found.items()}
    peaks = [used["peak_rss_mb"] for used in found.values() if used["peak_rss_mb"] is not None]
    return {
        "seconds": seconds | {"total": round(sum(seconds.values()), 1)},
        "peak_rss_mb": round(max(peaks)) if peaks else None,
    }


def versions() -> dict[str, str]:
    """What the figures were made with."""
    return {
        "python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__,
        "tiktoken": tiktoken.__version__, "platform": f"{platform.system()} {platform.machine()}",
    }  # fmt: skip


def summarise(
    prompts: Sequence[Prompt], answers: dict[str, Answers], kl: float, reward_model: dict[str, Any],
    bits: dict[str, float], config: EvaluateConfig,
) -> dict[str, Any]:  # fmt: skip
    """results.json without what the run cost."""
    return {
        "preset": config.preset,
        "seed": config.seed,
        "prompts": len(prompts),
        "samples_per_prompt": config.samples,
        "gold": {stage: fmean(gold_per_prompt(given)) for stage, given in answers.items()},
        "gold_by_family": {stage: gold_by_family(given, prompts) for stage, given in answers.items()},
        "three_h": {
            stage: {h: mean_over_prompts(given, lambda answer, h=h: getattr(answer.grade, h)) for h in THREE_H}
            for stage, given in answers.items()
        },
        "win_rate": {
            f"{stage}_vs_sft": win_rate(gold_per_prompt(answers[stage]), gold_per_prompt(answers["sft"])).as_dict()
            for stage in answers
            if stage != "sft"
        },
        "reward_model": {
            # None where a user's own rankings come without gold totals or simulated annotators
            "pair_accuracy_gold": reward_model.get("held_out_gold_accuracy"),
            "pair_accuracy_annotators": reward_model["held_out_accuracy"],
        },
        "annotators": {"agreement": reward_model.get("annotator_agreement_measured")},
        "kl_nats_per_sequence": kl,
        "ended": {stage: mean_over_prompts(given, lambda answer: answer.ended) for stage, given in answers.items()},
        "bits_per_byte": bits,
        "versions": versions(),
    }


def answer_lines(prompts: Sequence[Prompt], answers: dict[str, Answers]) -> str:
    """answers.jsonl: each prompt with the first answer of every stage."""
    lines = []
    for index, prompt in enumerate(prompts):
        given = {stage: all_answers[index][0] for stage, all_answers in answers.items()}
        shown = {
            stage: {
                "text": answer.text, "ended": bool(answer.ended), "score": answer.score, "total": answer.grade.total,
                **{h: getattr(answer.grade, h) for h in THREE_H},
            }
            for stage, answer in given.items()
        }  # fmt: skip
        messages = [{"role": turn.role, "content": turn.text} for turn in prompt.turns]
        record = {"id": prompt.id, "family": prompt.family, "prompt": messages, "ideal": prompt.ideal, "answers": shown}
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    return "".join(lines)


def table(results: dict[str, Any]) -> str:
    """Gold totals by stage and family, as text."""
    stages = list(results["gold"])
    rows = [["family", *stages], ["all", *(f"{results['gold'][stage]:.3f}" for stage in stages)]]
    rows += [[family, *(f"{results['gold_by_family'][stage][family]:.3f}" for stage in stages)] for family in FAMILIES]
    rows.append(["ended", *(f"{results['ended'][stage]:.3f}" for stage in stages)])
    return "\n".join("  ".join(cell.ljust(11) for cell in row).rstrip() for row in rows)


def evaluate(config: EvaluateConfig, run_dir: Path) -> dict[str, Any]:
    """Lets every stage answer and grades the answers; writes answers.jsonl. Returns results.json without the costs."""
    tokenizer, device = load_tokenizer(run_dir), config.torch_device()
    base, sft, ppo = (load_policy(run_dir / STAGES[stage], tokenizer).to(device) for stage in ("base", "sft", "ppo"))
    reward_model = load_reward_model(run_dir / "reward_model", tokenizer).to(device)
    reward_summary = read_json(run_dir / "reward_model" / "summary.json", "make stage2")
    prompts = prompt_set("D", config.count, config.seed)
    answers: dict[str, Answers] = {}
    with Progress(STAGE, 5, 0, unit="part") as progress:
        answers["base"] = base_answers(base, tokenizer, prompts, config)
        progress.update("base")
        answers["sft"], _ = policy_answers(sft, sft, reward_model, tokenizer, prompts, config)
        progress.update("sft")
        candidates = sample_candidates(
            sft, reward_model, tokenizer, prompts, k=BEST_OF, max_new_tokens=config.max_new_tokens,
            generator=seeded_generator(config.seed, 3),
        )  # fmt: skip
        answers[BEST_NAME] = picked_answers(prompts, candidates)
        progress.update(BEST_NAME)
        answers["ppo"], kl = policy_answers(ppo, sft, reward_model, tokenizer, prompts, config)
        progress.update("ppo")
        bits = held_out_bits_per_byte(run_dir, tokenizer, {"base": base, "sft": sft, "ppo": ppo})
        progress.update("bits per byte")
    write_text(run_dir / STAGE / "answers.jsonl", answer_lines(prompts, answers))
    return summarise(prompts, answers, kl, reward_summary, bits, config)


def main(argv: list[str]) -> None:
    """Evaluates all stages of a run."""
    config = parse(EvaluateConfig, argv, description=__doc__, presets=PRESETS)
    with measure_usage(config.stage_dir(STAGE)):
        results = evaluate(config, config.run_dir)
    path = config.run_dir / "results.json"
    write_json(path, results | usage(config.run_dir))
    won = results["win_rate"]["ppo_vs_sft"]
    print(table(results))
    print(
        f"PPO against SFT: {won['wins']} won, {won['ties']} tied, {won['losses']} lost, "
        f"{100 * won['rate']:.1f} % of the decided [{100 * won['low']:.1f}, {100 * won['high']:.1f}]\n"
        f"KL from SFT: {results['kl_nats_per_sequence']:.2f} nats a sequence; all of it is in {path}",
    )


if __name__ == "__main__":
    run_main(main)
