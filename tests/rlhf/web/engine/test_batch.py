"""A batch of strangers writes what `generate` writes for each question alone."""

import pytest
import torch

from minigpt.generate import generate, sampling_logprobs
from minigpt.runs.errors import UserError
from rlhf.chat import stop_token
from rlhf.chat_format import Turn, encode_plain, encode_prompt, user_prompt
from rlhf.web.engine.batch import Batch, joined
from rlhf.web.engine.events import Answer, Begun, Failed, Piece, Question, Sampling, Ticket
from rlhf.web.engine.models import Models
from tests.rlhf.web.random_run import Collected

TEXTS = ("The cat?", "What does the cat do on the mat? Wool is white.", "W", "Wool sleeps. The mat is the cat. What?")


@pytest.fixture
def models(config):
    return Models(config)


def ask(found, text, stage="ppo", samples=1, **sampling):
    question = Question(found[stage], user_prompt(text), Sampling(**{"max_new_tokens": 20, **sampling}), samples)
    return Ticket(question, Collected())


def alone(policy, ticket):
    """The specification: generate() for this question and nothing else."""
    question, sampling = ticket.request, ticket.request.sampling
    plain, tokenizer = question.stage.plain, policy.tokenizer
    return generate(
        policy.model,
        [(encode_plain if plain else encode_prompt)(tokenizer, question.turns)],
        max_new_tokens=sampling.max_new_tokens,
        stop_tokens=[stop_token(tokenizer, plain)],
        pad_id=tokenizer.pad_id,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        generator=torch.Generator().manual_seed(sampling.seed),
        samples_per_prompt=question.samples,
        want_logprobs=True,
    )


def tokens_of(ticket, sample=0):
    pieces = [event for event in ticket.listener.events if isinstance(event, Piece) and event.sample == sample]
    return [token for piece in pieces for token in piece.tokens]


def check_equals_generate(policy, ticket):
    written = alone(policy, ticket)
    ticket.listener.all()
    for sample in range(ticket.request.samples):
        length = int(written.lengths[sample])
        found = tokens_of(ticket, sample)
        expected = [policy.texts[token] for token in written.tokens[sample, :length].tolist()]
        assert [token.chosen.token for token in found] == expected, "other tokens than generate writes for it alone"
        found_logprobs = torch.tensor([token.chosen.sampled for token in found]).log()
        torch.testing.assert_close(found_logprobs, written.logprobs[sample, :length], rtol=0, atol=1e-4)
        answers = [e for e in ticket.listener.events if isinstance(e, Answer) and e.sample == sample]
        assert [answer.ended for answer in answers] == [bool(written.ended[sample])]


@torch.inference_mode()
def run(batch):
    while batch.rows:
        batch.step()


def test_greedy_answers_of_ragged_prompts_are_those_of_each_alone(found, models):
    policy = models.policy(found["ppo"])
    batch, tickets = Batch(policy), [ask(found, text, temperature=0) for text in TEXTS]
    for ticket in tickets:
        batch.join(ticket)
    run(batch)
    for ticket in tickets:
        check_equals_generate(policy, ticket)
    assert len({str(tokens_of(ticket)) for ticket in tickets}) > 1, "all answers are the same: this shows nothing"


@pytest.mark.parametrize("stage", ["base", "sft"])
def test_sampled_answers_with_settings_of_their_own_are_those_of_each_alone(found, models, stage):
    policy = models.policy(found[stage])
    settings = [{"seed": 1}, {"seed": 2, "temperature": 0.5, "top_k": 7}, {"seed": 3, "top_p": 0.8}, {"temperature": 0}]
    tickets = [ask(found, text, stage, samples=2, **own) for text, own in zip(TEXTS, settings, strict=True)]
    batch = Batch(policy)
    for ticket in tickets:
        batch.join(ticket)
    run(batch)
    for ticket in tickets:
        check_equals_generate(policy, ticket)


def test_a_row_that_joins_between_two_tokens_changes_nothing_for_anybody(found, models):
    policy = models.policy(found["ppo"])
    tickets = [ask(found, text, seed=number) for number, text in enumerate(TEXTS)]
    batch = Batch(policy)
    for ticket in tickets:
        batch.join(ticket)
        with torch.inference_mode():
            for _ in range(3):
                batch.step()
    run(batch)
    for ticket in tickets:
        check_equals_generate(policy, ticket)


def test_probabilities_and_alternatives_are_those_of_a_full_forward_pass(found, models):
    """Without a cache, without a batch: the model reads question and answer again, and its logits are ranked."""
    policy, ticket = models.policy(found["ppo"]), ask(found, TEXTS[1], seed=4, temperature=0.7, top_k=3)
    other = ask(found, TEXTS[0], seed=5)
    batch = Batch(policy)
    batch.join(other)
    batch.join(ticket)
    run(batch)
    ticket.listener.all()
    prompt = encode_prompt(policy.tokenizer, ticket.request.turns)
    written = alone(policy, ticket).tokens[0].tolist()
    with torch.no_grad():
        logits = policy.model(torch.tensor([prompt + written]))[0, len(prompt) - 1 : -1]
    own, drawn = logits.softmax(-1), sampling_logprobs(logits, 0.7, 3).exp()
    for step, token in enumerate(tokens_of(ticket)):
        assert token.chosen.probability == pytest.approx(own[step, written[step]].item(), abs=1e-5)
        assert token.chosen.sampled == pytest.approx(drawn[step, written[step]].item(), abs=1e-5)
        best = own[step].topk(5)
        assert [choice.token for choice in token.alternatives] == [policy.texts[i] for i in best.indices.tolist()]
        for choice, expected in zip(token.alternatives, best.values.tolist(), strict=True):
            assert choice.probability == pytest.approx(expected, abs=1e-5)
        assert sum(choice.sampled > 0 for choice in token.alternatives) == 3, "top-k 3 leaves three tokens"


def test_who_leaves_is_dropped_and_the_others_go_on_as_if_alone(found, models):
    policy = models.policy(found["ppo"])
    tickets = [ask(found, text, seed=number) for number, text in enumerate(TEXTS)]
    batch = Batch(policy)
    for ticket in tickets:
        batch.join(ticket)
    with torch.inference_mode():
        batch.step()
        tickets[1].cancel()
        batch.step()
    assert all(row.ticket is not tickets[1] for row in batch.rows)
    told = tickets[1].listener.qsize()
    run(batch)
    assert tickets[1].listener.qsize() == told, "an event after the cancellation"
    for ticket in (tickets[0], *tickets[2:]):
        check_equals_generate(policy, ticket)


def test_old_turns_that_do_not_fit_are_forgotten_and_said_so(found, models):
    turns = [Turn(("user", "assistant")[n % 2], f"The cat sleeps on the mat {n}. Wool is white.") for n in range(7)]
    ticket = Ticket(Question(found["ppo"], tuple(turns), Sampling(max_new_tokens=20)), Collected())
    batch = Batch(models.policy(found["ppo"]))
    batch.join(ticket)
    begun = ticket.listener.next()
    assert isinstance(begun, Begun)
    assert begun.forgotten in (2, 4, 6)
    run(batch)
    assert isinstance(ticket.listener.all()[-2], Answer)


def test_a_question_that_is_too_long_is_refused_with_a_sentence(found, models):
    batch = Batch(models.policy(found["ppo"]))
    with pytest.raises(UserError, match="tokens, and of the model's 64 only"):
        batch.join(ask(found, "cat " * 100))
    assert batch.rows == []


def test_a_model_that_is_not_finite_fails_only_its_own_questions(found, models):
    policy = models.policy(found["ppo"])
    with torch.no_grad():
        policy.model.token_embedding.weight[policy.tokenizer.encode("W")[0]] = torch.nan
    ticket = ask(found, "W")
    batch = Batch(policy)
    batch.join(ticket)
    run(batch)
    assert isinstance(ticket.listener.all()[-1], Failed)
    assert "finite" in ticket.listener.events[-1].sentence


def test_joined_caches_hold_the_rows_of_both(found, models):
    """Keys and values of each row, up to its length, are those of the cache that it came from."""
    model = models.policy(found["ppo"]).model
    first, second = model.new_cache(2, 10), model.new_cache(1, 16)
    real = torch.tensor([[True, True, True, True], [True, True, False, False]])
    with torch.inference_mode():
        model(torch.arange(8).view(2, 4), first.begin(4, real), first)
        model(torch.arange(6).view(1, 6), second.begin(6), second)
        both = joined(first, second)
    assert both.lengths.tolist() == [4, 2, 6]
    assert (both.slots, both.longest) == (16, 6)
    for row, (source, number, length) in enumerate([(first, 0, 4), (first, 1, 2), (second, 0, 6)]):
        torch.testing.assert_close(both.keys[:, row, :, :length], source.keys[:, number, :, :length], rtol=0, atol=0)
        torch.testing.assert_close(
            both.values[:, row, :, :length], source.values[:, number, :, :length], rtol=0, atol=0
        )
