"""The evaluation: every stage answers every prompt, its figures are the plain means they are called, and KL is KL."""

import json
from types import SimpleNamespace

import pytest
import torch

from minigpt.data import tokenize_documents
from minigpt.model import GPT, GPTConfig
from minigpt.pretrain import main as pretrain
from minigpt.pretraining_data import PretrainingData
from minigpt.runs.checkpoint import save_checkpoint
from minigpt.runs.config import to_dict
from minigpt.runs.errors import UserError
from minigpt.runs.files import write_json
from minigpt.tokenizer import Tokenizer
from rlhf.alternatives.best_of_k import Candidates
from rlhf.chat_format import encode_plain, encode_prompt
from rlhf.evaluation import answers as answering
from rlhf.evaluation.answers import Answer, base_answers, picked_answers, policy_answers, sequence_log_ratios
from rlhf.evaluation.evaluate import (
    EvaluateConfig,
    costs,
    gold_by_family,
    gold_per_prompt,
    main,
    mean_over_prompts,
    summarise,
    validation_bits,
)
from rlhf.evaluation.results import RESULT_KEYS, load_answers, load_results, text_table
from rlhf.people.labeler import Grade, grade
from rlhf.people.prompts import FAMILIES, prompt_set
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage3_ppo.rollout import sample_responses

PROMPTS = prompt_set("D", 10, seed=0)
TOKENIZER = Tokenizer.train([turn.text for prompt in PROMPTS for turn in prompt.turns], 300)
SIZE = GPTConfig(vocab_size=TOKENIZER.vocab_size, context=256, layers=1, heads=2, channels=16)
TEMPERATURE = 0.7
LIMITS = {"samples": 2, "max_new_tokens": 6, "temperature": TEMPERATURE}


def tiny_gpt(seed):
    """Far from uniform, so that two models are far from each other."""
    model = GPT(SIZE, seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(5)
    return model.eval()


def tiny_reward_model():
    return RewardModel(GPT(SIZE, seed=7), torch.Generator().manual_seed(0)).eval()


def seeded():
    return torch.Generator().manual_seed(0)


def slow_logprob(model, prompt, response):
    """Σ_t log π(y_t | prompt, y_<t) at TEMPERATURE, a token at a time, without padding, batch or cache."""
    total = 0.0
    with torch.no_grad():
        for place, token in enumerate(response):
            logits = model(torch.tensor([[*prompt, *response[:place]]]))[0, -1]
            total += (logits.double() / TEMPERATURE).log_softmax(-1)[token].item()
    return total


def answer(total, ended=True, honest=1.0):
    return Answer("text", ended, Grade(total, honest, 1.0), 0.0)


# ---- answering ----


def test_a_policy_is_at_no_distance_from_itself():
    policy = tiny_gpt(0)
    _, kl = policy_answers(policy, policy, tiny_reward_model(), TOKENIZER, PROMPTS, **LIMITS, generator=seeded())
    assert kl == pytest.approx(0.0, abs=1e-4), "sampling and scoring do not agree on the log-probabilities"


def test_without_a_reference_the_answers_are_the_same_and_it_is_not_computed(monkeypatch):
    """The SFT policy is its own reference: a pass over all of its answers gave 0."""
    policy = tiny_gpt(0)
    measured, _ = policy_answers(policy, policy, tiny_reward_model(), TOKENIZER, PROMPTS, **LIMITS, generator=seeded())
    monkeypatch.setattr(answering, "sequence_log_ratios", None)
    answers, kl = policy_answers(policy, None, tiny_reward_model(), TOKENIZER, PROMPTS, **LIMITS, generator=seeded())
    assert (answers, kl) == (measured, 0.0)


def test_the_kl_is_that_of_a_slow_loop(monkeypatch):
    monkeypatch.setattr(answering, "ROWS_AT_ONCE", 6)  # chunks of three prompts, the last of one
    monkeypatch.setattr(answering, "MICRO_BATCH_SIZE", 4)
    policy, reference, sampled = tiny_gpt(0), tiny_gpt(1), []

    def spy(policy, encoded, rows, *rest, **named):
        batch = sample_responses(policy, encoded, rows, *rest, **named)
        sampled.extend((encoded[row], ids) for row, ids in zip(rows, batch.responses(), strict=True))
        return batch

    monkeypatch.setattr(answering, "sample_responses", spy)
    _, kl = policy_answers(policy, reference, tiny_reward_model(), TOKENIZER, PROMPTS, **LIMITS, generator=seeded())
    assert len(sampled) == len(PROMPTS) * 2
    slow = [slow_logprob(policy, *one) - slow_logprob(reference, *one) for one in sampled]
    message = "the policy's or the reference's logits were not divided by the temperature"
    assert kl == pytest.approx(sum(slow) / len(slow), rel=1e-4), message
    assert kl > 0.5, "these two policies are far apart"


def test_the_log_ratios_come_in_the_order_of_the_batch(monkeypatch):
    monkeypatch.setattr(answering, "MICRO_BATCH_SIZE", 2)
    policy, reference = tiny_gpt(0), tiny_gpt(1)
    encoded = [encode_prompt(TOKENIZER, prompt.turns) for prompt in PROMPTS]
    batch = sample_responses(
        policy, encoded, [3, 0, 5, 5, 1], TOKENIZER, max_new_tokens=6, temperature=TEMPERATURE, generator=seeded()
    )
    ratios = sequence_log_ratios(batch, reference, TEMPERATURE)
    for row, prompt in enumerate([3, 0, 5, 5, 1]):
        response = batch.responses()[row]
        expected = slow_logprob(policy, encoded[prompt], response) - slow_logprob(reference, encoded[prompt], response)
        assert ratios[row] == pytest.approx(expected, abs=1e-3), "rows sorted by length were not put back"


def test_every_prompt_keeps_its_own_answers_grades_and_scores(monkeypatch):
    """The sampler is replaced by one whose answer to a prompt is that prompt's ideal answer."""
    monkeypatch.setattr(answering, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(answering, "sequence_log_ratios", lambda batch, reference, temperature: [0.0])
    monkeypatch.setattr(
        answering, "score_with_model", lambda model, batch, size: torch.tensor([float(row) for row in batch.rows])
    )

    def ideal(policy, encoded, rows, tokenizer, **named):
        texts = [PROMPTS[row].ideal for row in rows]
        return SimpleNamespace(rows=rows, texts=lambda tokenizer: texts, ended=torch.tensor([True] * len(rows)))

    monkeypatch.setattr(answering, "sample_responses", ideal)
    answers, _ = policy_answers(None, None, None, TOKENIZER, PROMPTS, **LIMITS, generator=seeded())
    assert [[one.text for one in given] for given in answers] == [[prompt.ideal] * 2 for prompt in PROMPTS]
    assert [[one.score for one in given] for given in answers] == [[float(row)] * 2 for row in range(len(PROMPTS))]
    assert all(one.grade.total == 1.0 for given in answers for one in given), "graded by another prompt's request"


def test_the_base_model_is_asked_in_plain_text_and_ends_with_the_document(monkeypatch):
    monkeypatch.setattr(answering, "ROWS_AT_ONCE", 6)
    asked = []

    def ideal(model, prompts, *, stop_tokens, samples_per_prompt, temperature, **rest):
        assert temperature == TEMPERATURE
        assert stop_tokens == [TOKENIZER.end_of_text_id]
        assert samples_per_prompt == 2
        rows = [row for row in range(len(asked), len(asked) + len(prompts)) for _ in range(2)]
        asked.extend(prompts)
        written = [[*TOKENIZER.encode(PROMPTS[row].ideal), TOKENIZER.end_of_text_id] for row in rows]
        written[0] = written[0][:-1]  # the first answer of each chunk is cut
        lengths = torch.tensor([len(ids) for ids in written])
        tokens = torch.full((len(rows), int(lengths.max())), TOKENIZER.pad_id)
        for row, ids in enumerate(written):
            tokens[row, : len(ids)] = torch.tensor(ids)
        ended = torch.tensor([False] + [True] * (len(rows) - 1))
        return SimpleNamespace(tokens=tokens, lengths=lengths, ended=ended)

    monkeypatch.setattr(answering, "generate", ideal)
    answers = base_answers(None, TOKENIZER, PROMPTS, **LIMITS, generator=seeded())
    assert asked == [encode_plain(TOKENIZER, prompt.turns) for prompt in PROMPTS]
    for row, (prompt, given) in enumerate(zip(PROMPTS, answers, strict=True)):
        assert [one.text for one in given] == [prompt.ideal] * 2, "pads or the stop token got into the text"
        assert [one.ended for one in given] == [row % 3 != 0, True]
        assert given[0].grade == grade(prompt.request, prompt.ideal, row % 3 != 0)
        assert given[1].grade.total == 1.0
        assert given[0].score is None, "a reward model has no opinion about text without a chat"


def test_the_picked_answer_is_the_best_of_its_prompt():
    candidates = [Candidates(("bad", prompt.ideal), (False, True), (0.25, 0.5), ((), ())) for prompt in PROMPTS]
    answers = picked_answers(PROMPTS, candidates)
    assert [[(one.text, one.ended, one.score) for one in given] for given in answers] == [
        [(prompt.ideal, True, 0.5)] for prompt in PROMPTS
    ]
    assert mean_over_prompts(answers, lambda one: one.grade.total) == 1.0


# ---- figures ----


def test_a_prompt_counts_once_however_many_answers_it_got():
    answers = [[answer(1.0), answer(0.0)], [answer(0.2, ended=False)]]
    assert gold_per_prompt(answers) == [0.5, 0.2]
    assert mean_over_prompts(answers, lambda one: one.grade.total) == pytest.approx(0.35), "not the mean over answers"
    assert mean_over_prompts(answers, lambda one: one.ended) == pytest.approx(0.5)


def test_gold_by_family():
    totals = [index / 20 for index in range(20)]  # two prompts of each of ten families
    prompts = [SimpleNamespace(family=FAMILIES[index % 10]) for index in range(20)]
    found = gold_by_family([[answer(total)] for total in totals], prompts)
    assert list(found) == list(FAMILIES)
    assert found[FAMILIES[0]] == pytest.approx((0 + 10) / 2 / 20)
    assert found[FAMILIES[3]] == pytest.approx((3 + 13) / 2 / 20)


def test_costs():
    found = costs({"sft": {"seconds": 1.25, "peak_rss_mb": 500.4}, "ppo": {"seconds": 2.0, "peak_rss_mb": 700.2}})
    assert found == {"seconds": {"sft": 1.2, "ppo": 2.0, "total": 3.2}, "peak_rss_mb": 700}
    assert costs({"sft": {"seconds": 1.0, "peak_rss_mb": None}})["peak_rss_mb"] is None, "Windows cannot tell"


def test_bits_per_byte_of_a_model_that_knows_nothing():
    model = GPT(SIZE, seed=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    texts = ["A cow eats grass.", "Grass is green – often."]
    tokens = sum(len(TOKENIZER.encode(text)) + 1 for text in texts)  # and <|endoftext|> after each
    size = sum(len(text.encode("utf-8")) for text in texts)
    expected = tokens * torch.tensor(float(SIZE.vocab_size)).log2().item() / size
    tokens = tokenize_documents(TOKENIZER, texts)
    for begin_with in (None, TOKENIZER.end_of_text_id):
        data = PretrainingData(TOKENIZER, tokens, tokens, "", begin_with=begin_with)
        assert validation_bits(data, {"a": model, "b": model}) == {
            "a": pytest.approx(expected, rel=1e-5),
            "b": pytest.approx(expected, rel=1e-5),
        }


def made_up_summary():
    levels = {"base": 0.0, "base_first_line": 0.0, "base_examples": 0.0, "sft": 0.5, "best_of_8": 1.0, "ppo": 0.75}
    answers = {stage: [[answer(level, honest=0.5)] for _ in PROMPTS] for stage, level in levels.items()}
    answers["ppo"][0] = [answer(0.25, ended=False, honest=0.5)]
    summary = {
        "held_out_gold_accuracy": 0.88, "held_out_accuracy": 0.74, "annotator_agreement_measured": 0.75,
        "held_out_gold_accuracy_own": 0.8, "held_out_accuracy_own": 0.7, "annotator_agreement_own": 0.74,
        "held_out_likelihood_gold_accuracy_own": 0.65,
    }  # fmt: skip
    config = EvaluateConfig(seed=5, samples=1)
    return summarise(PROMPTS, answers, 3.5, summary, {"base": 1.0, "sft": 1.1, "ppo": 1.2}, config)


def test_the_summary_has_the_figures_under_their_names():
    found = made_up_summary()
    gold = {
        "base": 0.0,
        "base_first_line": 0.0,
        "base_examples": 0.0,
        "sft": 0.25,
        "best_of_8": 0.5,
        "ppo": pytest.approx((9 * 0.375 + 0.125) / 10),
    }
    assert found["gold"] == gold, "a total is helpful times honest times harmless"
    assert found["three_h"]["sft"] == {"helpful": 0.5, "honest": 0.5, "harmless": 1.0}
    assert set(found["win_rate"]) == {f"{stage}_vs_sft" for stage in found["gold"] if stage != "sft"}
    won = found["win_rate"]["ppo_vs_sft"]
    assert (won["wins"], won["ties"], won["losses"], won["rate"]) == (9, 0, 1, 0.9)
    assert found["ended"] == {**dict.fromkeys(found["gold"], 1.0), "ppo": 0.9}
    assert found["clean"] == {**dict.fromkeys(found["gold"], 1.0), "ppo": 0.9}
    assert found["reward_model"] == {
        "pair_accuracy_gold": 0.88, "pair_accuracy_annotators": 0.74, "pair_accuracy_gold_own": 0.8,
        "pair_accuracy_annotators_own": 0.7,
    }  # fmt: skip
    assert found["pair_accuracy_likelihood_own"] == 0.65
    assert found["annotators"] == {"agreement": 0.75, "agreement_own": 0.74, "gold_order": None, "gold_order_own": None}
    assert (found["seed"], found["kl_nats_per_sequence"]) == (5, 3.5)


def test_the_table_has_a_row_for_each_family_and_a_column_for_each_stage():
    lines = [line.split() for line in text_table(made_up_summary()).split("\n")]
    assert lines[0] == ["family", "base", "base_first_line", "base_examples", "sft", "best_of_8", "ppo"]
    assert lines[1] == ["all", "0.000", "0.000", "0.000", "0.250", "0.500", "0.350"]
    families = lines[2 : 2 + len(FAMILIES)]
    assert [line[0] for line in families] == list(FAMILIES)
    assert lines[2 + len(FAMILIES)] == ["ended", *["1.000"] * 5, "0.900"]


def test_the_columns_of_the_table_are_aligned():
    table = text_table(made_up_summary()).split("\n")
    starts = [table[0].index(f"  {stage}  ") + 2 for stage in ("base", "base_first_line", "base_examples", "best_of_8")]
    for line in table:
        assert all(line[start - 1] == " " and line[start] != " " for start in starts), line


# ---- the command ----


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run as the stages leave it, trained next to nothing."""
    runs = tmp_path_factory.mktemp("runs")
    size = ["--layers=1", "--channels=16", "--heads=2", "--context=160", "--vocab-size=600", "--batch-size=2"]
    pretrain(["--runs", str(runs), "--preset=tiny", "--documents=60", "--steps=1", "--device=cpu", *size])
    run_dir = runs / "tiny"
    tokenizer = Tokenizer.load(run_dir / "tokenizer.json")
    config = GPTConfig(vocab_size=tokenizer.vocab_size, context=160, layers=1, heads=2, channels=16)
    models = {"sft": GPT(config, seed=1), "ppo": GPT(config, seed=2)}
    models["reward_model"] = RewardModel(GPT(config, seed=3), seeded())
    for stage, model in models.items():
        kind = "reward_model" if stage == "reward_model" else "gpt"
        payload = {"kind": kind, "config": to_dict(config), "model": model.state_dict()}
        save_checkpoint(run_dir / stage / "checkpoint.pt", {**payload, "tokenizer": tokenizer.fingerprint})
        write_json(run_dir / stage / "usage.json", {"seconds": 10.0, "peak_rss_mb": 300.0})
    summary = {"held_out_gold_accuracy": 0.88, "held_out_accuracy": 0.74, "annotator_agreement_measured": 0.75}
    write_json(run_dir / "reward_model" / "summary.json", summary)
    return run_dir


def test_the_command_writes_what_the_issue_promises(finished, capsys):
    main(["--runs", str(finished.parent), "--preset=tiny", "--count=20", "--max-new-tokens=4", "--device=cpu"])
    results = load_results(finished / "results.json")
    assert set(results) == {*RESULT_KEYS, "prompts", "samples_per_prompt", "temperature", "fact_answers_by_frequency"}
    stages = ["base", "base_first_line", "base_examples", "sft", "best_of_8", "ppo"]
    for key in ("gold", "gold_by_family", "three_h", "ended", "gold_to_first_stray", "clean", "fact_answers",
                "unanswerable", "over_refusal", "words"):  # fmt: skip
        assert list(results[key]) == stages, key
    assert all(list(results["gold_by_family"][stage]) == list(FAMILIES) for stage in stages)
    assert set(results["win_rate"]["ppo_vs_sft"]) == {"wins", "ties", "losses", "rate", "low", "high"}
    assert set(results["bits_per_byte"]) == {"base", "sft", "ppo"}
    assert set(results["seconds"]) == {"pretrain", "sft", "reward_model", "ppo", "evaluation", "total"}
    assert results["kl_nats_per_sequence"] != 0
    assert results["peak_rss_mb"] > 0
    asked = prompt_set("D", 20, seed=0)
    items = load_answers(finished / "evaluation" / "answers.jsonl")
    assert [item["id"] for item in items] == [prompt.id for prompt in asked]
    assert items[0]["prompt"] == [{"role": turn.role, "content": turn.text} for turn in asked[0].turns]
    assert items[0]["answers"]["base"]["score"] is None
    total = sum(item["answers"]["ppo"]["total"] for item in items) / len(items)
    assert results["gold"]["ppo"] == pytest.approx(total), "with one sample, answers.jsonl holds all there is"
    given = items[3]["every_answer"]["sft"]
    assert [len(answers) for answers in items[3]["every_answer"].values()] == [1] * 6, "--samples 1 is tiny's"
    assert given[0] == items[3]["answers"]["sft"]
    graded = grade(asked[3].request, given[0]["text"], given[0]["ended"])
    assert given[0]["total"] == pytest.approx(graded.total)
    assert (finished / "evaluation" / "calibration.json").is_file()
    out = capsys.readouterr().out
    assert text_table(results) in out
    assert "PPO against SFT" in out


def test_a_text_that_has_changed_is_refused(finished, tmp_path):
    """The validation text of then may be among what was learned from."""
    path = finished / "pretrain" / "config.json"
    original = path.read_text(encoding="utf-8")
    edited = json.loads(original)
    edited["text"] = "0" * 64
    write_json(path, edited)
    try:
        with pytest.raises(UserError, match=r"toy world has changed since .*make pretrain"):
            main(["--runs", str(finished.parent), "--preset=tiny", "--count=10", "--device=cpu"])
    finally:
        path.write_text(original, encoding="utf-8")


def test_too_few_prompts_for_a_mean_of_every_family():
    with pytest.raises(UserError, match=f"--count: expected {len(FAMILIES)} or more, got 8"):
        EvaluateConfig(count=8)
    with pytest.raises(UserError, match="--samples: expected 1 or more, got 0"):
        EvaluateConfig(samples=0)
