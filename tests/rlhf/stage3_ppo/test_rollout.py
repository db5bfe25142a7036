"""Rollouts: what is stored is what was sampled, padding is invisible, and rewards see what they should."""

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, encode_prompt, user_prompt
from rlhf.stage2_reward.network import RewardModel, ValueModel
from rlhf.stage3_ppo.rollout import (
    Episodes,
    by_length,
    prompt_text,
    response_logprobs,
    response_values,
    sample_responses,
    score_rollout,
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


def episodes_of(
    model: GPT, temperature: float = 1.0, rows=(0, 1, 2, 0, 1), seed: int = 0, tokens: int = 12
) -> Episodes:
    generator = torch.Generator().manual_seed(seed)
    options = {"max_new_tokens": tokens, "temperature": temperature, "generator": generator}
    return sample_responses(model, PROMPTS, rows, TOKENIZER, **options)


def ragged() -> tuple[GPT, Episodes]:
    """Episodes cut to different lengths by hand, some to a single token, as if they had ended there."""
    model = tiny_gpt()
    full = episodes_of(model)
    lengths = torch.tensor([12, 1, 5, 3, 12]).minimum(full.lengths)
    cut = Episodes(full.prompts, full.ids, full.prompt_lengths, full.responses, lengths, lengths < 12, full.logprobs)
    return model, cut


@pytest.mark.parametrize("temperature", [1.0, 0.7, 1.6])
def test_stored_logprobs_are_those_of_the_sampling_at_its_temperature(temperature):
    model = tiny_gpt()
    episodes = episodes_of(model, temperature)
    with torch.no_grad():
        again, _ = response_logprobs(model, episodes, temperature)
        other, _ = response_logprobs(model, episodes, 2 * temperature)
    torch.testing.assert_close(again[episodes.mask], episodes.logprobs[episodes.mask], **CLOSE)
    assert (other - again)[episodes.mask].abs().max() > 0.1, "the test cannot see a temperature"


def test_logprobs_and_entropy_are_those_of_each_sequence_alone():
    model, episodes = ragged()
    with torch.no_grad():
        logprobs, entropy = response_logprobs(model, episodes, 1.0)
        for row, (prompt, length) in enumerate(zip(episodes.prompts.tolist(), episodes.lengths.tolist(), strict=True)):
            ids = [*PROMPTS[prompt], *episodes.responses[row, :length].tolist()]
            table = model(torch.tensor([ids])).log_softmax(-1)[0]  # [T,V]
            for t in range(length):
                place = len(PROMPTS[prompt]) + t
                assert logprobs[row, t] == pytest.approx(float(table[place - 1, ids[place]]), abs=1e-4), "off by one?"
                expected = -float((table[place - 1].exp() * table[place - 1]).sum())
                assert entropy[row, t] == pytest.approx(expected, abs=1e-4)
    assert not logprobs[~episodes.mask].any()


def test_values_are_read_before_each_token():
    _, episodes = ragged()
    reward_model = RewardModel(tiny_gpt(1), torch.Generator().manual_seed(1)).eval()
    value_model = ValueModel.from_reward_model(reward_model).eval()
    with torch.no_grad():
        values = response_values(value_model, episodes)
        for row, prompt in enumerate(episodes.prompts.tolist()):
            for t in range(int(episodes.lengths[row])):
                before = [*PROMPTS[prompt], *episodes.responses[row, :t].tolist()]
                alone = reward_model(torch.tensor([before]), torch.tensor([len(before)]))
                assert values[row, t] == pytest.approx(float(alone), abs=1e-4), "the state BEFORE token t"


def test_padding_batch_mates_and_micro_batches_change_nothing():
    model, episodes = ragged()
    reward_model = RewardModel(tiny_gpt(2), torch.Generator().manual_seed(2)).eval()
    value_model = ValueModel.from_reward_model(reward_model).eval()
    dirty = episodes.ids.clone()
    columns = torch.arange(dirty.shape[1])
    dirty[columns >= episodes.total_lengths[:, None]] = 7
    others = Episodes(
        episodes.prompts,
        dirty,
        episodes.prompt_lengths,
        episodes.responses,
        episodes.lengths,
        episodes.ended,
        episodes.logprobs,
    )
    results = []
    for which, size in ((episodes, 5), (episodes, 1), (others, 2)):
        scores = score_with_model(reward_model, which, size)
        rollout = score_rollout(which, scores, model, value_model, temperature=1.0, micro_batch_size=size)
        results.append((scores, rollout.ref_logprobs, rollout.values))
    torch.testing.assert_close(results[1], results[0], **CLOSE)
    torch.testing.assert_close(results[2], results[0], **CLOSE, msg="what stands in the padding was seen")
    for row in range(5):
        ids = episodes.ids[row : row + 1, : int(episodes.total_lengths[row])]
        alone = float(reward_model(ids, torch.tensor([ids.shape[1]])).detach())
        assert results[0][0][row] == pytest.approx(alone, abs=1e-4), (
            "the score of prompt and response, at its last token"
        )


def test_stored_tensors_may_enter_autograd():
    model = tiny_gpt()
    value_model = ValueModel.from_reward_model(RewardModel(tiny_gpt(1), torch.Generator()))
    episodes = episodes_of(model)
    rollout = score_rollout(episodes, torch.zeros(5), model, value_model, temperature=1.0, micro_batch_size=2)
    for tensor in (episodes.ids, episodes.responses, episodes.logprobs, rollout.ref_logprobs, rollout.values):
        assert not tensor.is_inference()
    logprobs, _ = response_logprobs(model, episodes, 1.0)
    (logprobs * rollout.ref_logprobs).sum().backward()


def test_the_end_token_is_part_of_the_response_and_only_the_responses_own_counts():
    model = tiny_gpt()
    with_end = [
        [*PROMPTS[0][:-1], TOKENIZER.end_id, TOKENIZER.pad_id, TOKENIZER.assistant_id]
    ]  # control ids in the prompt
    generator = torch.Generator().manual_seed(0)
    rows = [0] * 64
    options = {"max_new_tokens": 40, "temperature": 1.5, "generator": generator}
    episodes = sample_responses(model, with_end, rows, TOKENIZER, **options)
    assert 0 < int(episodes.ended.sum()) < 64, "the test needs answers that end and answers that do not"
    for row in range(64):
        length = int(episodes.lengths[row])
        response = episodes.responses[row, :length]
        assert bool(episodes.ended[row]) == (int(response[-1]) == TOKENIZER.end_id)
        assert TOKENIZER.end_id not in response[:-1]
        assert int(episodes.mask[row].sum()) == length
        whole = [*with_end[0], *response.tolist()]
        assert episodes.ids[row, : len(whole)].tolist() == whole


def test_groups_by_length_hold_every_row_once():
    _, episodes = ragged()
    groups = list(by_length(episodes, 2))
    assert sorted(torch.cat(groups).tolist()) == [0, 1, 2, 3, 4]
    lengths = torch.cat([episodes.total_lengths[group] for group in groups])
    assert (lengths.diff() <= 0).all()


def test_a_reward_function_sees_texts_in_order_and_bad_scores_are_refused():
    _, episodes = ragged()
    texts = ["first", "second", "third"]
    seen = {}

    def reward(prompts, responses):
        seen["prompts"], seen["responses"] = prompts, responses
        return range(len(prompts))

    assert score_with_function(reward, episodes, texts, TOKENIZER).tolist() == [0, 1, 2, 3, 4]
    assert seen["prompts"] == ["first", "second", "third", "first", "second"]
    assert seen["responses"] == episodes.texts(TOKENIZER)
    with pytest.raises(UserError, match="4 scores for 5 responses"):
        score_with_function(lambda p, r: [0.0] * 4, episodes, texts, TOKENIZER)
    with pytest.raises(UserError, match="must be finite"):
        score_with_function(lambda p, r: [float("nan")] * 5, episodes, texts, TOKENIZER)
    assert prompt_text((Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"))) == "a\nb\nc"
