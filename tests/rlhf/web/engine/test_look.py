"""A text through a model: the same numbers as the model's own forward pass, with and without some heads."""

import pytest
import torch

from minigpt.inside import look_inside
from minigpt.runs.errors import UserError
from rlhf.chat_format import encode_plain, encode_prompt, user_prompt
from rlhf.web.engine.look import Look
from rlhf.web.engine.models import Models

TEXT, BEGUN = "What does the cat do?", "The cat"


@pytest.fixture
def models(config):
    return Models(config)


def logits_of(policy, ids):
    with torch.no_grad():
        return policy.model(torch.tensor([ids]))[0]


def test_losses_and_next_tokens_are_those_of_the_model(found, models):
    look, policy = Look(found["ppo"], TEXT, BEGUN), models.policy(found["ppo"])
    value = look.compute(models)
    ids = encode_prompt(policy.tokenizer, user_prompt(TEXT)) + policy.tokenizer.encode(BEGUN)
    assert value["tokens"] == [policy.texts[token] for token in ids]
    expected = logits_of(policy, ids).log_softmax(-1)
    logprobs = [expected[t, ids[t + 1]].item() for t in range(len(ids) - 1)]
    assert value["whole"]["logprobs"] == pytest.approx(logprobs, abs=1e-4)
    for t, row in enumerate(value["whole"]["next"]):
        best = expected[t].exp().topk(8)
        assert [token for token, _ in row] == [policy.texts[token] for token in best.indices.tolist()]
        assert [share for _, share in row] == pytest.approx(best.values.tolist(), abs=1e-4)
    assert "without" not in value
    assert "each" not in value


def test_the_text_is_read_as_the_stage_reads_it(found, models):
    tokenizer = models.policy(found["ppo"]).tokenizer
    assert Look(found["base"], TEXT, BEGUN).encode(tokenizer) == [
        *encode_plain(tokenizer, user_prompt(TEXT)),
        *tokenizer.encode(BEGUN),
    ]
    assert Look(found["sft"], TEXT, BEGUN, document=True).encode(tokenizer) == [
        tokenizer.end_of_text_id,
        *tokenizer.encode(TEXT),
    ]
    assert tokenizer.end_id not in Look(found["sft"], "<|end|>").encode(tokenizer), "typed text became a special token"


def test_attention_is_a_triangle_of_thousandths(found, models):
    policy = models.policy(found["ppo"])
    value = Look(found["ppo"], TEXT).compute(models)
    weights = look_inside(policy.model, Look(found["ppo"], TEXT).encode(policy.tokenizer)).weights
    assert (len(value["attention"]), len(value["attention"][0])) == (value["layers"], value["heads"]) == (2, 2)
    for layer in range(2):
        for head in range(2):
            for t, row in enumerate(value["attention"][layer][head]):
                assert len(row) == t + 1
                assert row == pytest.approx((1000 * weights[layer, head, t, : t + 1]).tolist(), abs=0.51)


def test_silent_heads_change_what_comes_next_and_the_whole_is_shown_beside(found, models):
    whole = Look(found["ppo"], TEXT).compute(models)
    quiet = Look(found["ppo"], TEXT, silent=((0, 1), (1, 0))).compute(models)
    assert quiet["whole"] == whole["whole"]
    assert quiet["silent"] == [[0, 1], [1, 0]]
    assert quiet["without"]["logprobs"] != pytest.approx(whole["whole"]["logprobs"], abs=1e-3)


def test_each_head_in_turn_is_what_silencing_it_alone_gives(found, models):
    value = Look(found["ppo"], TEXT, each=True).compute(models)["each"]
    for layer in range(2):
        for head in range(2):
            alone = Look(found["ppo"], TEXT, silent=((layer, head),)).compute(models)["without"]
            mean = -sum(alone["logprobs"]) / len(alone["logprobs"])
            assert value["losses"][layer][head] == pytest.approx(mean, abs=1e-4)
            share = dict(map(tuple, alone["next"][-1])).get(value["token"])
            if share is not None:
                assert value["shares"][layer][head] == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [({"text": "W" * 100}, "64 can be shown"), ({"silent": ((2, 0),)}, "there is no head 2.0")],
)
def test_what_the_model_does_not_have_is_refused(found, models, fields, sentence):
    with pytest.raises(UserError, match=sentence):
        Look(**{"stage": found["ppo"], "text": TEXT, **fields}).compute(models)


def test_a_text_with_more_weights_than_a_browser_should_draw_is_refused(found, models, monkeypatch):
    monkeypatch.setattr("rlhf.web.engine.look.MOST_WEIGHTS", 4 * 10 * 11 // 2)  # 4 heads, 10 tokens
    look = Look(found["ppo"], "W" * 9, document=True)
    assert len(look.encode(models.policy(found["ppo"]).tokenizer)) == 10
    look.compute(models)
    with pytest.raises(UserError, match="11 tokens, and 10 can be shown"):
        Look(found["ppo"], "W" * 10, document=True).compute(models)
