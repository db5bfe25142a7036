"""The reward model: its read-out, the K-wise loss against a double loop, normalisation, and that it learns an order."""

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from minigpt.model import GPT, GPTConfig
from minigpt.runs.checkpoint import save_checkpoint
from minigpt.runs.config import to_dict
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from minigpt.training import TrainingConfig, train
from rlhf.chat_format import encode_prompt, encode_response, user_prompt
from rlhf.people.prompts import prompt_set
from rlhf.records import Demonstration, Ranking, write_demonstrations, write_rankings
from rlhf.stage2_reward import stage
from rlhf.stage2_reward.comparisons import Answers, rank_answers
from rlhf.stage2_reward.examples import Comparison, collate, encode_ranking
from rlhf.stage2_reward.loss import better_pairs, kwise_loss
from rlhf.stage2_reward.network import RewardModel, ValueModel, load_reward_model, normalise
from rlhf.stage2_reward.objective import RankingObjective, evaluate_ranking
from rlhf.stage_io import checkpoint_payload

CPU = torch.device("cpu")


def tiny_model(seed: int = 0, vocab_size: int = 20, context: int = 24) -> RewardModel:
    config = GPTConfig(vocab_size=vocab_size, context=context, layers=1, heads=2, channels=16)
    return RewardModel(GPT(config, seed=seed), torch.Generator().manual_seed(seed)).eval()


def random_sequences(count: int, seed: int, longest: int = 12) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, longest + 1, (count,), generator=generator).tolist()
    return [tuple(torch.randint(0, 20, (n,), generator=generator).tolist()) for n in lengths]


# ---- The loss --------------------------------------------------------------------------------------------------------


def slow_loss(scores: torch.Tensor, ranks: list[int], group: list[int]) -> torch.Tensor:
    """A double loop over the answers of each prompt."""
    total = torch.zeros((), dtype=scores.dtype)
    for prompt in sorted(set(group)):
        members = [i for i, g in enumerate(group) if g == prompt]
        pairs = [(w, l) for w, l in itertools.permutations(members, 2) if ranks[w] < ranks[l]]
        for w, l in pairs:
            total = total - F.logsigmoid(scores[w] - scores[l]) / len(pairs)
    return total


@pytest.mark.parametrize("ks", [*((k,) for k in range(2, 10)), (2, 5, 4), (4, 9, 2, 3)])
@pytest.mark.parametrize("ties", [False, True])
def test_kwise_loss_and_gradient_are_those_of_a_double_loop(ks, ties):
    generator = torch.Generator().manual_seed(sum(ks))
    group = [index for index, k in enumerate(ks) for _ in range(k)]
    ranks = torch.randint(0, 3 if ties else 1000, (len(group),), generator=generator).tolist()
    scores = torch.randn(len(group), generator=generator, dtype=torch.float64)
    fast, slow = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    loss = kwise_loss(fast, torch.tensor(ranks), torch.tensor(group))
    expected = slow_loss(slow, ranks, group)
    loss.backward()
    if expected.requires_grad:
        expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12, msg="ties counted, or pairs across prompts?")
    torch.testing.assert_close(
        fast.grad, slow.grad if slow.grad is not None else torch.zeros_like(fast), rtol=1e-9, atol=1e-12
    )
    for index in range(len(ks)):
        rows = torch.tensor(group) == index
        assert abs(float(fast.grad[rows].sum())) < 1e-12, "a constant added to a prompt's scores must change nothing"


def test_the_order_of_answers_and_prompts_and_a_constant_a_prompt_change_nothing():
    generator = torch.Generator().manual_seed(0)
    group = torch.tensor([0] * 4 + [1] * 2 + [2] * 9)
    ranks = torch.randint(0, 5, (15,), generator=generator)
    scores = torch.randn(15, generator=generator, dtype=torch.float64)
    expected = kwise_loss(scores, ranks, group)
    for _ in range(5):
        order = torch.randperm(15, generator=generator)
        shuffled = kwise_loss(scores[order], ranks[order], group[order])
        torch.testing.assert_close(shuffled, expected, rtol=1e-12, atol=0, msg="the loss depends on the order of rows")
    shifted = scores + torch.tensor([3.0, -7.0, 100.0], dtype=torch.float64)[group]
    torch.testing.assert_close(kwise_loss(shifted, ranks, group), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("k", range(2, 10))
def test_every_k_weighs_a_prompt_alike(k):
    """Next to a prompt of two answers: the loss is the sum of the two prompts' own, whatever K is."""
    scores = torch.randn(k + 2, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    ranks = torch.tensor([*range(k), 0, 1])
    together = kwise_loss(scores, ranks, torch.tensor([0] * k + [1] * 2))
    pairs = [(w, l) for w in range(k) for l in range(w + 1, k)]
    own = -sum(F.logsigmoid(scores[w] - scores[l]) for w, l in pairs) / len(pairs)
    other = -F.logsigmoid(scores[k] - scores[k + 1])
    torch.testing.assert_close(together, own + other, rtol=1e-12, atol=0, msg="1/(pairs of the prompt) is missing")


def test_two_answers_are_the_usual_pairwise_loss_and_no_k_weighs_more_than_another():
    scores = torch.tensor([0.3, -0.4])
    loss = kwise_loss(scores, torch.tensor([0, 1]), torch.tensor([0, 0]))
    torch.testing.assert_close(loss, -F.logsigmoid(torch.tensor(0.7)), rtol=1e-6, atol=1e-7)
    for k in (2, 4, 9):
        equal = kwise_loss(torch.zeros(k), torch.arange(k), torch.zeros(k, dtype=torch.long))
        assert float(equal) == pytest.approx(math.log(2)), f"K={k}: forgot to divide by the number of pairs"


def test_all_tied_answers_give_no_loss_and_no_nan():
    scores = torch.randn(3, requires_grad=True)
    loss = kwise_loss(scores, torch.zeros(3, dtype=torch.long), torch.zeros(3, dtype=torch.long))
    loss.backward()
    assert loss == 0
    assert not scores.grad.any()


# ---- The model -------------------------------------------------------------------------------------------------------


def test_the_score_is_read_at_the_last_real_token_whatever_stands_in_the_padding():
    model = tiny_model()
    sequences = random_sequences(6, seed=1)
    alone = torch.cat([model(torch.tensor([s]), torch.tensor([len(s)])) for s in sequences])
    lengths = torch.tensor([len(s) for s in sequences])
    for filler in (0, 7, 19):
        ids = torch.full((6, 15), filler)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence)
        torch.testing.assert_close(model(ids, lengths), alone, rtol=1e-5, atol=1e-6, msg="the read-out found a pad")
        everywhere = torch.ones_like(ids, dtype=torch.bool)
        values = ValueModel.from_reward_model(model)(ids, everywhere).view(6, 15)  # [B,T]
        torch.testing.assert_close(values[torch.arange(6), lengths - 1], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
def test_a_value_model_is_a_trainable_copy_whose_every_trainable_parameter_gets_a_gradient(tied):
    """DDP waits for the gradient of each of them: with an unembedding that is not used, PPO crashed (LLaMA's shape)."""
    config = GPTConfig(vocab_size=20, context=24, layers=2, heads=2, channels=16, tied_embeddings=tied)
    reward_model = RewardModel(GPT(config, seed=0), torch.Generator().manual_seed(0)).requires_grad_(False)
    reward_model.shift.fill_(0.5)
    value_model = ValueModel.from_reward_model(reward_model)
    ids = torch.tensor([random_sequences(1, seed=1)[0]])  # [1,T]
    at = torch.ones_like(ids, dtype=torch.bool)
    value_model(ids, at).square().sum().backward()
    trained = [name for name, parameter in value_model.named_parameters() if parameter.requires_grad]
    assert all(dict(value_model.named_parameters())[name].grad is not None for name in trained)
    assert len(trained) == len(list(value_model.parameters())) - (not tied), "only the unembedding is frozen"
    assert not any(parameter.requires_grad for parameter in reward_model.parameters())
    scores = reward_model(ids, torch.tensor([ids.shape[1]]))
    torch.testing.assert_close(value_model(ids, at)[-1:], scores, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        value_model.head.bias.add_(1.0)
    torch.testing.assert_close(reward_model(ids, torch.tensor([ids.shape[1]])), scores, rtol=0, atol=0)


def test_the_head_starts_small_and_a_prompt_costs_k_rows():
    heads = torch.cat([tiny_model(seed).head.weight.detach() for seed in range(200)])
    assert float(heads.std()) == pytest.approx(1 / math.sqrt(17), rel=0.05)
    comparison = Comparison(tuple(random_sequences(5, seed=2)), (0, 1, 2, 3, 4), None)
    assert len(collate([comparison], 0, CPU).ids) == 5, "K forwards a prompt, not two a pair"


@pytest.mark.parametrize("ks", [(2,), (9,), (4, 9, 2)])
def test_a_step_reads_each_answer_once(ks):
    """K(K−1)/2 comparisons cost K forward passes, not two each (InstructGPT, section 3.5)."""
    model, read = tiny_model(), []
    comparisons = [Comparison(tuple(random_sequences(k, seed=k)), tuple(range(k)), None) for k in ks]
    objective = objective_of(comparisons, batch_size=len(ks))
    model.trunk.blocks[0].register_forward_hook(lambda module, inputs, output: read.append(len(output)))
    for micro in objective.micro_batches(0):
        objective.loss_sum(model, micro)
    assert sum(read) == sum(ks), "answers are read again for every pair"


# ---- Normalisation ---------------------------------------------------------------------------------------------------


def test_after_normalisation_demonstrations_score_zero_and_nothing_changes_its_place(tmp_path):
    model, demonstrations = tiny_model(3), random_sequences(10, seed=3)
    others = collate([Comparison(tuple(random_sequences(8, seed=4)), tuple(range(8)), None)], 0, CPU)
    before = model(others.ids, others.lengths)
    shift = normalise(model, demonstrations, pad_id=0, batch_size=4)
    after = model(others.ids, others.lengths)
    torch.testing.assert_close(after, before - shift, rtol=1e-5, atol=1e-6)
    mean = sum(float(model(torch.tensor([s]), torch.tensor([len(s)])).detach()) for s in demonstrations) / 10
    assert mean == pytest.approx(0.0, abs=1e-5)
    assert normalise(model, demonstrations, pad_id=0) == pytest.approx(shift, abs=1e-5), (
        "normalising twice shifts twice"
    )

    tokenizer = Tokenizer.train(["a cow eats grass"], 262)
    payload = {**checkpoint_payload("reward_model", model.trunk, tokenizer), "model": model.state_dict()}
    save_checkpoint(tmp_path / "reward_model" / "checkpoint.pt", payload)
    loaded = load_reward_model(tmp_path / "reward_model", tokenizer)
    assert torch.equal(loaded(others.ids, others.lengths), model(others.ids, others.lengths)), "the shift was not saved"


# ---- Data ------------------------------------------------------------------------------------------------------------


def test_an_answer_longer_than_the_context_is_refused_by_name():
    tokenizer = Tokenizer.train(["a cow eats grass"], 262)
    ranking = Ranking(user_prompt("What?"), ("short", "a very long answer indeed"), (1, 0), (True, False))
    comparison = encode_ranking(tokenizer, ranking, 64, "mine.jsonl, ranking 3")
    assert comparison.sequences[0][-1] == tokenizer.end_id
    assert comparison.sequences[1][-1] != tokenizer.end_id, "a cut answer must not be given an end token"
    with pytest.raises(UserError, match=r"mine\.jsonl, ranking 3.*answer 2.*context is 20"):
        encode_ranking(tokenizer, ranking, 20, "mine.jsonl, ranking 3")


def test_a_chat_token_that_was_sampled_is_that_token_for_the_reward_model():
    # PPO scores the ids that were sampled. A reward model that learned from the characters of "<|user|>" has never
    # seen the token inside an answer, and scores it at random. What a person typed stays characters.
    tokenizer = Tokenizer.train(["a cow eats grass"], 262)
    sampled = [*tokenizer.encode("grass"), tokenizer.user_id, *tokenizer.encode("a cow")]
    answer = Answers(prompt_set("B", 1, 0)[0], (tokenizer.decode(sampled), "grass"), (True, True))
    (ranking,), _ = rank_answers([answer], annotators=1, seed=0, noise=0.1)
    prompt = encode_prompt(tokenizer, ranking.turns)
    (ours, _), theirs = (
        encode_ranking(tokenizer, made, 4096, "here").sequences for made in (ranking, replace(ranking, sampled=False))
    )
    assert list(ours) == [*prompt, *sampled, tokenizer.end_id], "the token became the characters of its name"
    assert tokenizer.user_id not in theirs[0][len(prompt) :], "typed text must not become a chat token"


def objective_of(comparisons, held_out=(), **sizes) -> RankingObjective:
    sizes = {"batch_size": 4, "micro_batch_size": 0, **sizes}
    return RankingObjective(comparisons, held_out, pad_id=0, seed=0, device=CPU, **sizes)


def ranked_by_first_token(count: int, seed: int) -> list[Comparison]:
    """Answers whose worth is the number of 5s in them: an order that a tiny model can learn."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        k = int(torch.randint(2, 6, (), generator=generator))
        answers = [(1, *torch.randint(4, 7, (5,), generator=generator).tolist(), 2) for _ in range(k)]
        gold = tuple(float(answer.count(5)) for answer in answers)
        found.append(Comparison(tuple(answers), tuple(sum(other > mine for other in gold) for mine in gold), gold))
    return found


def test_micro_batches_hold_whole_prompts_and_add_up_to_the_batch():
    comparisons = ranked_by_first_token(8, seed=5)
    model = tiny_model(5)

    def gradient(micro_batch_size):
        objective = objective_of(comparisons, micro_batch_size=micro_batch_size)
        micros = objective.micro_batches(0)
        total = sum(objective.weight(micro) for micro in micros)
        model.zero_grad()
        for micro in micros:
            (objective.loss_sum(model, micro)[0] / total).backward()
        return [p.grad.clone() for p in model.parameters()]

    whole = gradient(0)
    for size in (1, 2, 3):
        torch.testing.assert_close(gradient(size), whole, rtol=1e-4, atol=1e-7, msg="a prompt's pairs were torn apart")


def test_prompts_without_a_pair_are_left_out_and_none_left_is_an_error():
    tied = Comparison(((1, 2), (1, 3)), (0, 0), None)
    assert len(objective_of([tied, *ranked_by_first_token(4, seed=6)]).training) <= 4
    with pytest.raises(UserError, match="no pair"):
        objective_of([tied])


def test_ties_do_not_count_in_the_accuracy_and_gold_is_measured_apart():
    model = tiny_model(7)
    comparison = Comparison(((1, 5, 2), (1, 6, 2), (1, 4, 2)), (0, 0, 1), (3.0, 2.0, 1.0))
    batch = collate([comparison], 0, CPU)
    scores = model(batch.ids, batch.lengths)
    assert int(better_pairs(batch.ranks, batch.group).sum()) == 2
    measured = evaluate_ranking(model, [batch])
    s = scores.tolist()
    assert measured["accuracy"] == pytest.approx(((s[0] > s[2]) + (s[1] > s[2])) / 2)
    assert measured["gold_accuracy"] == pytest.approx(((s[0] > s[1]) + (s[0] > s[2]) + (s[1] > s[2])) / 3)
    assert measured["margin"] == pytest.approx((s[0] + s[1]) / 2 - s[2], abs=1e-5)
    unknown = collate([Comparison(comparison.sequences, comparison.ranks, None)], 0, CPU)
    assert "gold_accuracy" not in evaluate_ranking(model, [unknown])


def test_the_figures_of_own_answers_from_scores_that_are_there_are_those_of_scoring_them_again():
    """The specification: own answers as batches of their own, scored for this figure alone."""
    model, sequences = tiny_model(5), [(7, *sequence) for sequence in random_sequences(24, seed=3)]
    generator = torch.Generator().manual_seed(4)
    validation = []
    for start, distractors in ((0, 2), (6, 0), (12, 1), (18, 2)):
        ranks = tuple(torch.randperm(6, generator=generator).tolist())
        gold = tuple(torch.rand(6, generator=generator).tolist())
        validation.append(Comparison(tuple(sequences[start : start + 6]), ranks, gold, 1, distractors))
    validation.append(Comparison(tuple(sequences[:3]), (0, 0, 1), (0.5, 0.5, 0.1), 1, 1))  # own answers tie: no pair
    objective = objective_of(validation, validation)
    figures = stage.validation_figures(model, objective, validation, 0.5)
    own = [cut for cut in (comparison.own_answers() for comparison in validation) if cut.has_pair]
    assert len(own) == 4
    expected = evaluate_ranking(model, [collate(own, 0, CPU)])
    assert figures["held_out_accuracy_own"] == expected["accuracy"], "scores went to other answers"
    assert figures["held_out_gold_accuracy_own"] == expected["gold_accuracy"]
    assert figures["held_out_accuracy"] == objective.evaluate(model)["accuracy"]
    assert figures["held_out_accuracy_own"] != figures["held_out_accuracy"], "distractors were not left out"


# ---- It learns -------------------------------------------------------------------------------------------------------


def test_it_learns_an_order_that_is_there(tmp_path):
    training, held_out = ranked_by_first_token(120, seed=8), ranked_by_first_token(30, seed=9)
    objective, model = objective_of(training, held_out, batch_size=12), tiny_model(8)
    config = TrainingConfig(
        steps=60, optimizer="adamw", learning_rate=1e-2, weight_decay=0.0, evaluate_every=0, checkpoint_every=0
    )
    payload = {"kind": "reward_model", "config": to_dict(model.trunk.config), "tokenizer": "none"}
    row = train(model, objective, config, stage_dir=tmp_path, describe={}, checkpoint_payload=payload, seed=0)
    assert row["eval_accuracy"] > 0.95, f"held-out accuracy {row['eval_accuracy']:.2f} of a noiseless order"
    assert row["eval_gold_accuracy"] > 0.95


# ---- The command -----------------------------------------------------------------------------------------------------


def test_the_command_learns_from_a_users_rankings(tmp_path):
    tokenizer = Tokenizer.train(["What does a cow eat? A cow eats grass. I do not know."], 270)
    run = tmp_path / "runs" / "tiny"
    tokenizer.save(run / "tokenizer.json")
    config = GPTConfig(vocab_size=tokenizer.vocab_size, context=64, layers=1, heads=2, channels=16)
    policy = GPT(config)
    payload = {
        "kind": "gpt",
        "config": to_dict(config),
        "tokenizer": tokenizer.fingerprint,
        "model": policy.state_dict(),
    }
    save_checkpoint(run / "sft" / "checkpoint.pt", payload)
    prompt = user_prompt("What does a cow eat?")
    write_demonstrations(run / "sft" / "demonstrations.jsonl", [Demonstration(prompt, "Grass.")])
    rankings = [Ranking(prompt, ("Grass.", "I do not know.", "No."), (0, 1, 2), (True, True, False)) for _ in range(6)]
    write_rankings(tmp_path / "mine.jsonl", rankings)
    arguments = ["--preset", "tiny", "--runs", str(tmp_path / "runs"), "--rankings", str(tmp_path / "mine.jsonl")]
    stage.main([*arguments, "--epochs", "2", "--batch-size", "2", "--device", "cpu"])
    summary = json.loads((run / "reward_model" / "summary.json").read_text(encoding="utf-8"))
    assert summary["epochs"] == 2
    assert 0 <= summary["held_out_accuracy"] <= 1
    model = load_reward_model(run / "reward_model", tokenizer)
    sequence = torch.tensor([encode_prompt(tokenizer, prompt) + encode_response(tokenizer, "Grass.")])
    assert float(model(sequence, torch.tensor([sequence.shape[1]])).detach()) == pytest.approx(0.0, abs=1e-5)


def test_a_demonstration_that_does_not_fit_is_named_by_its_line(tmp_path):
    """Stage 1 may have had a model with a longer context; a score at a cropped end would set the shift."""
    tokenizer = Tokenizer.train(["a cow eats grass"], 262)
    items = [Demonstration(user_prompt("What?"), answer) for answer in ("Grass.", "Grass, all day long.")]
    write_demonstrations(tmp_path / "d.jsonl", items)
    fits = stage.read_sequences(tmp_path / "d.jsonl", tokenizer, 64)
    assert fits[1] == encode_prompt(tokenizer, items[1].turns) + encode_response(tokenizer, items[1].response)
    with pytest.raises(UserError, match=rf"line 2.*{len(fits[1])} tokens.*context is {len(fits[1]) - 1}"):
        stage.read_sequences(tmp_path / "d.jsonl", tokenizer, len(fits[1]) - 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--answers", "1,4"],
        ["--answers", "5,4"],
        ["--validation-fraction", "0"],
        ["--validation-fraction", "1"],
        ["--epochs", "0"],
    ],
)
def test_settings_that_mean_nothing_are_refused(arguments):
    with pytest.raises(UserError, match=arguments[0]):
        stage.main(arguments)
