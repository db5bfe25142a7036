"""Rollouts: what is stored is what was sampled, padding is invisible, and rewards see what they should."""

import dataclasses

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.errors import UserError
from minigpt.scale.decoding import generate_together
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, encode_prompt, user_prompt
from rlhf.stage2_reward.network import RewardModel, ValueModel
from rlhf.stage3_ppo import rollout
from rlhf.stage3_ppo.rollout import (
    Batch,
    micro_batches,
    prompt_text,
    reference_logprobs,
    response_logprobs,
    response_values,
    rollout_values,
    rows_in_parts,
    sample_responses,
    score_with_function,
    score_with_model,
)

TOKENIZER = Tokenizer.train(["What does a cow eat? A cow eats grass."], 266)
PROMPTS = [encode_prompt(TOKENIZER, user_prompt(text)) for text in ("What?", "What does a cow eat?", "Eat grass. Why?")]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def tiny_gpt(seed: int = 0, context: int = 64) -> GPT:
    """A model whose end token is likely, so that responses end early and late."""
    model = GPT(GPTConfig(vocab_size=TOKENIZER.vocab_size, context=context, layers=2, heads=2, channels=16), seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)  # far from uniform: a wrong temperature or position must show
    return model.eval()


def batch_of(model: GPT, temperature: float = 1.0, rows=(0, 1, 2, 0, 1), seed: int = 0, tokens: int = 12) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    options = {"max_new_tokens": tokens, "temperature": temperature, "generator": generator}
    return sample_responses(model, PROMPTS, rows, TOKENIZER, **options)


@pytest.mark.parametrize(
    ("rows", "K"), [((0, 0, 2, 2), 2), ((1, 1, 1), 3), ((0, 1, 2), 1), ((0, 0, 1), 1), ((0, 0, 1, 2), 1), ((), 1)]
)
def test_answers_per_prompt(rows, K):
    assert rollout.answers_per_prompt(rows) == K


def test_a_prompt_that_is_read_once_gets_the_answers_of_one_read_for_each(monkeypatch):
    """The specification: every row reads its own prompt."""
    model, read = tiny_gpt(), []

    def spy(policy, asked, **options):
        read.append(len(asked))
        return generate_together(policy, asked, **options)

    monkeypatch.setattr(rollout, "generate_together", spy)
    once = batch_of(model, rows=(0, 0, 0, 1, 1, 1, 2, 2, 2))
    monkeypatch.setattr(rollout, "answers_per_prompt", lambda rows: 1)
    each = batch_of(model, rows=(0, 0, 0, 1, 1, 1, 2, 2, 2))
    assert read == [3, 9], "a prompt was read for each of its answers"
    assert once.responses()[0] != once.responses()[1], "answers to one prompt share their random numbers"
    for name in ("prompts", "ids", "prompt_lengths", "lengths", "ended"):
        assert getattr(once, name).tolist() == getattr(each, name).tolist(), f"{name}: answers went to other prompts"
    torch.testing.assert_close(once.logprobs, each.logprobs, **CLOSE)


def value_model_of(seed: int) -> ValueModel:
    return ValueModel.from_reward_model(RewardModel(tiny_gpt(seed), torch.Generator().manual_seed(seed))).eval()


def ragged() -> tuple[GPT, Batch]:
    """A batch cut to different lengths by hand, some to a single token, as if they had ended there."""
    model = tiny_gpt()
    full = batch_of(model)
    lengths = torch.tensor([12, 1, 5, 3, 12]).minimum(full.lengths)
    return model, dataclasses.replace(full, lengths=lengths, ended=lengths < 12)


def test_targets_are_the_inputs_one_token_later_and_the_mask_is_the_response():
    """The one place where anything is shifted, on a batch written down by hand."""
    batch = Batch(
        prompts=torch.tensor([0, 1]),
        ids=torch.tensor([[5, 6, 7, 8, 9, 2], [5, 6, 3, 2, 0, 0]]),
        prompt_lengths=torch.tensor([3, 2]),
        lengths=torch.tensor([3, 2]),
        ended=torch.tensor([True, True]),
        logprobs=torch.zeros(2, 5),
    )
    assert batch.inputs.tolist() == [[5, 6, 7, 8, 9], [5, 6, 3, 2, 0]]
    assert batch.targets.tolist() == [[6, 7, 8, 9, 2], [6, 3, 2, 0, 0]]
    assert batch.mask.int().tolist() == [[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]]
    assert batch.targets[batch.mask].tolist() == [8, 9, 2, 3, 2], "the mask is not the response"
    assert batch.responses() == [[8, 9, 2], [3, 2]]
    short = batch.select(torch.tensor([1]))
    assert short.ids.tolist() == [[5, 6, 3, 2]], "columns that only longer rows need"
    assert short.mask.int().tolist() == [[0, 1, 1]]
    assert short.logprobs.shape == (1, 3)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 1.6])
def test_stored_logprobs_are_those_of_the_sampling_at_its_temperature(temperature):
    model = tiny_gpt()
    batch = batch_of(model, temperature)
    with torch.no_grad():
        again, _ = response_logprobs(model, batch, temperature)
        other, _ = response_logprobs(model, batch, 2 * temperature)
    torch.testing.assert_close(again[batch.mask], batch.logprobs[batch.mask], **CLOSE)
    assert (other - again)[batch.mask].abs().max() > 0.1, "the test cannot see a temperature"


def test_logprobs_and_entropy_are_those_of_each_sequence_alone():
    model, batch = ragged()
    with torch.no_grad():
        logprobs, entropy = response_logprobs(model, batch, 1.0)
        for row, (prompt, response) in enumerate(zip(batch.prompts.tolist(), batch.responses(), strict=True)):
            ids, before = [*PROMPTS[prompt], *response], len(PROMPTS[prompt])
            table = model(torch.tensor([ids])).log_softmax(-1)[0]  # [T,V]
            for place in range(before - 1, len(ids) - 1):  # the first token is predicted by the last of the prompt
                expected = float(table[place, ids[place + 1]])
                assert logprobs[row, place] == pytest.approx(expected, abs=1e-4), "off by one?"
                expected = -float((table[place].exp() * table[place]).sum())
                assert entropy[row, place] == pytest.approx(expected, abs=1e-4)
    assert not logprobs[~batch.mask].any()
    assert not entropy[~batch.mask].any()


def test_values_are_read_before_each_token():
    _, batch = ragged()
    reward_model = RewardModel(tiny_gpt(1), torch.Generator().manual_seed(1)).eval()
    with torch.no_grad():
        values = response_values(ValueModel.from_reward_model(reward_model), batch)
        for row, (prompt, response) in enumerate(zip(batch.prompts.tolist(), batch.responses(), strict=True)):
            for t in range(len(response)):
                before = [*PROMPTS[prompt], *response[:t]]
                alone = float(reward_model(torch.tensor([before]), torch.tensor([len(before)])))
                assert values[row, len(before) - 1] == pytest.approx(alone, abs=1e-4), "the state BEFORE token t"
    assert not values[~batch.mask].any()


def test_padding_batch_mates_and_micro_batches_change_nothing():
    model, batch = ragged()
    reward_model = RewardModel(tiny_gpt(2), torch.Generator().manual_seed(2)).eval()
    value_model = ValueModel.from_reward_model(reward_model)
    columns = torch.arange(batch.ids.shape[1])
    dirty = torch.where(columns >= batch.total_lengths[:, None], 7, batch.ids)
    results = []
    for which, size in ((batch, 5), (batch, 1), (dataclasses.replace(batch, ids=dirty), 2)):
        scores = score_with_model(reward_model, which, size)
        results.append((scores, reference_logprobs(model, which, 1.0, size), rollout_values(value_model, which, size)))
    torch.testing.assert_close(results[1], results[0], **CLOSE)
    torch.testing.assert_close(results[2], results[0], **CLOSE, msg="what stands in the padding was seen")
    for row in range(5):
        ids = batch.ids[row : row + 1, : int(batch.total_lengths[row])]
        alone = float(reward_model(ids, torch.tensor([ids.shape[1]])).detach())
        assert results[0][0][row] == pytest.approx(alone, abs=1e-4), (
            "the score of prompt and response, at its last token"
        )


def test_stored_tensors_may_enter_autograd():
    model, value_model = tiny_gpt(), value_model_of(1)
    batch = batch_of(model)
    ref_logprobs, values = reference_logprobs(model, batch, 1.0, 2), rollout_values(value_model, batch, 2)
    for tensor in (batch.ids, batch.lengths, batch.ended, batch.logprobs, ref_logprobs, values):
        assert not tensor.is_inference()
        assert not tensor.requires_grad
    logprobs, _ = response_logprobs(model, batch, 1.0)
    (logprobs * ref_logprobs * values).sum().backward()


def test_what_generate_has_made_is_not_copied_again(monkeypatch):
    """`generate` has trimmed and cloned its tensors already."""
    made, original = [], rollout.generate_together

    def spy(*arguments, **options):
        made.append(original(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(rollout, "generate_together", spy)
    batch = batch_of(tiny_gpt())
    assert batch.lengths is made[0].lengths
    assert batch.ended is made[0].ended


def test_the_end_token_is_part_of_the_response_and_only_the_responses_own_counts():
    model = tiny_gpt()
    with_end = [
        [*PROMPTS[0][:-1], TOKENIZER.end_id, TOKENIZER.pad_id, TOKENIZER.assistant_id]
    ]  # control ids in the prompt
    generator = torch.Generator().manual_seed(0)
    rows = [0] * 64
    options = {"max_new_tokens": 40, "temperature": 1.5, "generator": generator}
    batch = sample_responses(model, with_end, rows, TOKENIZER, **options)
    assert 0 < int(batch.ended.sum()) < 64, "the test needs answers that end and answers that do not"
    for row, response in enumerate(batch.responses()):
        assert len(response) == int(batch.lengths[row]) == int(batch.mask[row].sum())
        assert bool(batch.ended[row]) == (response[-1] == TOKENIZER.end_id)
        assert TOKENIZER.end_id not in response[:-1]
        whole = [*with_end[0], *response]
        assert batch.ids[row, : len(whole)].tolist() == whole


def test_parts_and_micro_batches_hold_every_row_once():
    _, batch = ragged()
    assert [rows.tolist() for rows in rows_in_parts(batch, 2)] == [[0, 1], [2, 3], [4]]
    numbered = dataclasses.replace(batch, prompts=torch.arange(5))
    parts = micro_batches(numbered, 2)
    assert [len(part.lengths) for part in parts] == [2, 2, 1]
    for part in parts:
        for row, number in enumerate(part.prompts.tolist()):
            assert part.responses()[row] == batch.responses()[number]
            torch.testing.assert_close(part.logprobs[row][part.mask[row]], batch.logprobs[number][batch.mask[number]])
    assert sorted(torch.cat([part.prompts for part in parts]).tolist()) == [0, 1, 2, 3, 4]


def test_a_reward_function_sees_texts_in_order_and_bad_scores_are_refused():
    _, batch = ragged()
    texts = ["first", "second", "third"]
    seen = {}

    def reward(prompts, responses):
        seen["prompts"], seen["responses"] = prompts, responses
        return range(len(prompts))

    assert score_with_function(reward, batch, texts, TOKENIZER).tolist() == [0, 1, 2, 3, 4]
    assert seen["prompts"] == ["first", "second", "third", "first", "second"]
    assert seen["responses"] == batch.texts(TOKENIZER)
    with pytest.raises(UserError, match="4 scores for 5 responses"):
        score_with_function(lambda p, r: [0.0] * 4, batch, texts, TOKENIZER)
    with pytest.raises(UserError, match="must be finite"):
        score_with_function(lambda p, r: [float("nan")] * 5, batch, texts, TOKENIZER)
    assert prompt_text((Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"))) == "a\nb\nc"
