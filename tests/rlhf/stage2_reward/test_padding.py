"""Padding, neighbours and order are not part of an answer: no log-probability, value or score may depend on them.

And the score is read at the end token, wherever that stands and wherever the prompt ends. Every model here is
restless, so that a wrong position shows.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from minigpt.attention import padded_layout
from minigpt.data import pad_sequences
from minigpt.model import GPT, POSITIONS, GPTConfig
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import encode_prompt, encode_response, user_prompt
from rlhf.records import Ranking
from rlhf.stage2_reward.examples import collate, encode_ranking
from rlhf.stage2_reward.network import RewardModel, ValueModel
from rlhf.stage3_ppo.rollout import Batch, response_logprobs, response_values, rollout_values, score_with_model

V, CONTEXT, END = 20, 32, 2
PROMPTS = [(5, 6), (7,), (8, 9, 10, 11, 12), (13, END, 14)]  # a prompt may hold an end token of an earlier turn
RESPONSES = [(3, 4, 5, END), (END,), (6, 7), (8, 9, 10, 11, 12, 13, END)]  # the third was cut: it has no end
CLOSE = {"rtol": 0, "atol": 1e-5}


def restless(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)
    return model.eval()


Models = tuple[GPT, RewardModel, ValueModel]


def models(position: str, vocab_size: int = V) -> Models:
    config = GPTConfig(vocab_size=vocab_size, context=CONTEXT, layers=2, heads=2, channels=16, position=position)
    scorer = RewardModel(GPT(config, seed=1), torch.Generator().manual_seed(0))
    scorer.shift.fill_(0.25)
    restless(scorer)
    return restless(GPT(config, seed=0)), scorer, ValueModel.from_reward_model(scorer)


def lay_out(prompts: list, responses: list, pad_id: int = 0, extra: int = 0) -> Batch:
    """A batch as sample_responses lays it out, with `extra` more columns of padding than are needed."""
    ids, _ = pad_sequences([(*p, *r) for p, r in zip(prompts, responses, strict=True)], pad_id)
    ids = torch.cat((ids, torch.full((len(prompts), extra), pad_id)), dim=1)
    return Batch(
        prompts=torch.arange(len(prompts)),
        ids=ids,
        prompt_lengths=torch.tensor([len(prompt) for prompt in prompts]),
        lengths=torch.tensor([len(response) for response in responses]),
        ended=torch.tensor([response[-1] == END for response in responses]),
        logprobs=torch.zeros(ids.shape[0], ids.shape[1] - 1),
    )


def measured(policy: GPT, scorer: RewardModel, critic: ValueModel, batch: Batch) -> list[Tensor]:
    """Row by row without padding: log-probabilities, entropies, values, and the score."""
    with torch.no_grad():
        logprobs, entropies = response_logprobs(policy, batch, 0.7)  # [B,T] each
        values, scores = response_values(critic, batch), scorer(batch.ids, batch.total_lengths)  # [B,T], [B]
    found = []
    for row, mask in enumerate(batch.mask):
        found += [part[row, mask] for part in (logprobs, entropies, values)] + [scores[row]]
    return found


def permuted(*models) -> list[Tensor]:
    order = torch.tensor([2, 0, 3, 1])
    found = measured(*models, lay_out(PROMPTS, RESPONSES).select(order))
    return [part for row in range(4) for part in found[4 * order.tolist().index(row) :][:4]]


def alone(*models) -> list[Tensor]:
    rows = [lay_out([prompt], [response]) for prompt, response in zip(PROMPTS, RESPONSES, strict=True)]
    return [part for row in rows for part in measured(*models, row)]


def among_others(*models) -> list[Tensor]:
    """Longer ones, so that everyone is padded more."""
    mates = [tuple(range(3, 15)), (4,)]
    return measured(*models, lay_out(PROMPTS + mates, [*RESPONSES, (3,) * 11, (END,)]))[:16]


DISGUISES: dict[str, Callable[..., list[Tensor]]] = {
    "alone": alone,
    "permuted": permuted,
    "other mates": among_others,
    "more padding": lambda *models: measured(*models, lay_out(PROMPTS, RESPONSES, extra=7)),
    "the end token as padding": lambda *models: measured(*models, lay_out(PROMPTS, RESPONSES, pad_id=END, extra=2)),
    "a token of the texts as padding": lambda *models: measured(*models, lay_out(PROMPTS, RESPONSES, pad_id=8)),
}


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("disguise", list(DISGUISES))
def test_logprobs_values_and_scores_do_not_see_padding_neighbours_or_order(position: str, disguise: str) -> None:
    made = models(position)
    expected = measured(*made, lay_out(PROMPTS, RESPONSES))
    assert len(expected) == 16
    found = DISGUISES[disguise](*made)
    for number, (f, e) in enumerate(zip(found, expected, strict=True)):
        name = ("log-probabilities", "entropies", "values", "score")[number % 4]
        assert_close(f, e, **CLOSE, msg=f"the {name} of row {number // 4} depend on the batch: {disguise}")


@pytest.mark.parametrize("position", POSITIONS)
def test_padding_on_the_left_gives_the_same_numbers(position: str) -> None:
    """The other way to batch, as lm-human-preferences does: the mask hides the pads, the last column is the end."""
    policy, scorer, critic = models(position)
    expected = measured(policy, scorer, critic, lay_out(PROMPTS, RESPONSES))
    whole = [(*p, *r) for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    T = max(map(len, whole)) + 3
    ids = torch.tensor([(END,) * (T - len(row)) + row for row in whole])  # [B,T]
    mask = torch.tensor([(False,) * (T - len(row)) + (True,) * len(row) for row in whole])  # [B,T]
    with torch.no_grad():
        distribution = (policy(ids, padded_layout(mask)) / 0.7).log_softmax(-1)  # [B,T,V]
        values = scorer.head(scorer.trunk.hidden(ids, padded_layout(mask))).squeeze(-1) - scorer.shift  # [B,T]
    for row, response in enumerate(RESPONSES):
        N = len(response)
        logprobs = distribution[row, -N - 1 : -1].gather(-1, torch.tensor(response)[:, None]).squeeze(-1)  # [N]
        assert_close(logprobs, expected[4 * row], **CLOSE, msg=f"row {row}: positions must be counted from the mask")
        assert_close(values[row, -N - 1 : -1], expected[4 * row + 2], **CLOSE)
        assert_close(values[row, -1], expected[4 * row + 3], **CLOSE, msg=f"row {row}: the score is not the last value")


def test_parts_of_any_size_are_put_back_in_their_places() -> None:
    _, _, critic = models("learned")
    batch = lay_out(PROMPTS, RESPONSES, extra=2)
    whole = rollout_values(critic, batch, 4)
    for size in (1, 2, 3):
        found = rollout_values(critic, batch, size)
        assert_close(found, whole, **CLOSE, msg="rows were sorted by length and not put back")


# ---- Where the score is read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad_id", [0, END, 7])
def test_the_head_reads_the_state_at_the_end_token_and_no_other(pad_id: int) -> None:
    """Random lengths; the end token is found by looking for it, the head's input is what it really was."""
    _, scorer, _ = models("rotary")
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 25, (40,), generator=generator).tolist()
    sequences = [[*torch.randint(3, V, (n,), generator=generator).tolist(), END] for n in lengths]
    ids, totals = pad_sequences(sequences, pad_id)
    read = []
    scorer.head.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    with torch.no_grad():
        scorer(ids, totals)
        hidden = scorer.trunk.hidden(ids)  # [B,T,C]
    place = (ids == END).int().argmax(dim=1)  # [B], the first end token: the only one before the padding
    assert_close(read[0], hidden[torch.arange(40), place], **CLOSE, msg="not the state at the end token")
    for row in range(40):
        beside = (hidden[row] - read[0][row]).abs().amax(dim=-1)  # [T]
        assert int((beside < 1e-5).sum()) == 1, "several places have the state that was read: this shows nothing"


def test_the_score_does_not_depend_on_where_the_prompt_ends() -> None:
    _, scorer, _ = models("rotary")
    whole = [(*p, *r) for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    expected = score_with_model(scorer, lay_out(PROMPTS, RESPONSES), 3)
    for cut in (1, 2):
        moved = lay_out(
            [row[:-cut] if len(row) > cut else row[:1] for row in whole],
            [row[-cut:] if len(row) > cut else row[1:] for row in whole],
        )
        assert_close(score_with_model(scorer, moved, 3), expected, **CLOSE)


def test_stage_2_and_stage_3_give_an_answer_the_same_score() -> None:
    """The one encodes a ranking's texts, the other scores the ids that were sampled; a cut answer has no end token."""
    tokenizer = Tokenizer.train(["A cow eats grass. What does it eat?"], 262)
    _, scorer, _ = models("rotary", tokenizer.vocab_size)
    prompt, texts, ended = user_prompt("A cow?"), ("grass.", "A cow", "eats"), (True, False, True)
    ranking = Ranking(prompt, texts, (0, 1, 2), ended)
    batch = collate([encode_ranking(tokenizer, ranking, CONTEXT, "here")], tokenizer.pad_id, torch.device("cpu"))
    with torch.no_grad():
        stage_2 = scorer(batch.ids, batch.lengths)  # [K]
    responses = [encode_response(tokenizer, text) for text in texts]
    responses = [ids if end else ids[:-1] for ids, end in zip(responses, ended, strict=True)]
    stage_3 = score_with_model(scorer, lay_out([encode_prompt(tokenizer, prompt)] * 3, responses), 2)  # [B]
    assert_close(stage_2, stage_3, **CLOSE, msg="the reward model is asked otherwise than it was trained")
