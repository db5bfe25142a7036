"""The engine's thread: order, limits, cancellation, models that change, and what it says when it cannot."""

import asyncio
import threading
import time

import pytest
import torch

from minigpt.runs.errors import UserError
from rlhf.chat import Chat, ChatConfig
from rlhf.chat_format import user_prompt
from rlhf.web.engine.events import Answer, Done, EngineFullError, Failed, Piece, Question, Result, Sampling, Waiting
from rlhf.web.engine.streams import Stream
from rlhf.web.engine.worker import Engine, Limits
from tests.rlhf.web.random_run import Collected, random_gpt, save_model


class Gate:
    """A task that holds the engine's thread until it is opened."""

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()

    def compute(self, models):
        self.reached.set()
        assert self.open.wait(30)
        return "through"


def question(found, text="The cat?", stage="ppo", samples=1, **sampling):
    return Question(found[stage], user_prompt(text), Sampling(**{"max_new_tokens": 8, **sampling}), samples)


def answer_of(engine, asked):
    listener = Collected()
    engine.submit(asked, listener)
    return [event for event in listener.all() if isinstance(event, Answer)]


@pytest.mark.parametrize("stage", ["base", "ppo"])
def test_an_answer_and_its_score_are_those_of_the_chat_in_the_terminal(engine, found, config, stage):
    listener = Collected()
    engine.submit(question(found, stage=stage, max_new_tokens=20, seed=1), listener)
    events = listener.all()
    answer = next(event for event in events if isinstance(event, Answer))
    reply = Chat(ChatConfig(runs=config.runs, preset="tiny", stage=stage, seed=1, max_new_tokens=20)).say("The cat?")
    assert (answer.text, answer.ended) == (reply.text, reply.ended)
    assert answer.score == pytest.approx(reply.score, abs=1e-4)
    assert "".join(event.text for event in events if isinstance(event, Piece)).strip() == answer.text
    assert isinstance(events[-1], Done)


def test_the_same_seed_gives_the_same_answer_whoever_asks_beside(engine, found):
    asked = question(found, seed=11, max_new_tokens=20)
    first = answer_of(engine, asked)
    listeners = [Collected() for _ in range(5)]
    for number, listener in enumerate(listeners):
        engine.submit(question(found, f"What {number}?", seed=number, max_new_tokens=20), listener, str(number))
    assert answer_of(engine, asked) == first
    for listener in listeners:
        assert isinstance(listener.all()[-1], Done)


def test_several_samples_differ_and_come_with_their_number(engine, found):
    answers = answer_of(engine, question(found, samples=4, max_new_tokens=20))
    assert sorted(answer.sample for answer in answers) == [0, 1, 2, 3]
    assert len({answer.text for answer in answers}) > 1


def test_who_waits_is_told_how_many_come_first(config, found):
    engine = Engine(config, Limits(rows=1))
    gate, first, second, third = Gate(), Collected(), Collected(), Collected()
    try:
        engine.submit(gate, Collected())
        assert gate.reached.wait(30)
        for listener in (first, second, third):
            engine.submit(question(found), listener)
        gate.open.set()
        for listener, expected in ((first, []), (second, [0]), (third, [1, 0])):
            told = [event.before for event in listener.all() if isinstance(event, Waiting)]
            assert told == expected
    finally:
        gate.open.set()
        engine.stop()


def test_a_full_queue_turns_away_with_one_sentence(config, found):
    engine, gate = Engine(config, Limits(waiting=2, per_person=10)), Gate()
    try:
        engine.submit(gate, Collected())
        assert gate.reached.wait(30)
        for _ in range(2):
            engine.submit(question(found), Collected())
        with pytest.raises(EngineFullError, match="2 questions are waiting already"):
            engine.submit(question(found), Collected())
    finally:
        gate.open.set()
        engine.stop()


def test_one_person_cannot_take_all_places(config, found):
    engine, gate = Engine(config, Limits(per_person=2)), Gate()
    try:
        engine.submit(gate, Collected())
        assert gate.reached.wait(30)
        mine = [Collected(), Collected()]
        for listener in mine:
            engine.submit(question(found), listener, "Ada")
        with pytest.raises(EngineFullError, match="2 of your questions"):
            engine.submit(question(found), Collected(), "Ada")
        engine.submit(question(found), Collected(), "Ben")
        gate.open.set()
        for listener in mine:
            listener.all()
        engine.submit(question(found), Collected(), "Ada")  # finished questions count no longer
    finally:
        gate.open.set()
        engine.stop()


def test_a_question_that_is_cancelled_while_it_waits_is_never_begun(config, found):
    engine, gate, gone, stays = Engine(config, Limits(per_person=1)), Gate(), Collected(), Collected()
    try:
        engine.submit(gate, Collected(), "gate")
        assert gate.reached.wait(30)
        engine.submit(question(found), gone, "Ada").cancel()
        engine.submit(question(found), stays, "Ada")  # the cancelled one has given its place back
        gate.open.set()
        assert isinstance(stays.all()[-1], Done)
        assert gone.empty()
    finally:
        gate.open.set()
        engine.stop()


def test_a_checkpoint_that_was_replaced_is_read_again(engine, found, tokenizer):
    asked = question(found, temperature=0, max_new_tokens=20)
    before = answer_of(engine, asked)
    assert answer_of(engine, asked) == before
    save_model(found["ppo"].folder, "gpt", random_gpt(77), tokenizer)
    assert answer_of(engine, asked) != before


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_stage_that_cannot_be_read_fails_with_its_sentence_and_the_engine_goes_on(engine, found, damage):
    path = found["ppo"].folder / "checkpoint.pt"
    path.unlink() if damage == "missing" else path.write_bytes(b"nothing")
    listener = Collected()
    engine.submit(question(found), listener)
    assert isinstance(listener.all()[-1], Failed)
    assert "checkpoint.pt" in listener.events[-1].sentence
    assert answer_of(engine, question(found, stage="sft"))


def test_a_mistake_of_ours_fails_the_request_and_not_the_thread(engine, found, caplog):
    class Broken:
        def compute(self, models):
            raise ZeroDivisionError

    listener = Collected()
    engine.submit(Broken(), listener)
    assert listener.all()[-1].sentence.startswith("the server made a mistake")
    assert "ZeroDivisionError" in caplog.text
    assert answer_of(engine, question(found))


def test_a_mistake_in_a_step_fails_the_answers_of_that_batch_alone(engine, found, monkeypatch, caplog):
    monkeypatch.setattr("rlhf.web.engine.batch.inverse_cdf_sample", lambda *_: 1 / 0)
    listener = Collected()
    engine.submit(question(found), listener)
    assert isinstance(listener.all()[-1], Failed)
    monkeypatch.undo()
    assert answer_of(engine, question(found))


def test_what_is_unfinished_when_the_engine_stops_is_told_so(config, found):
    engine, gate, listener = Engine(config), Gate(), Collected()
    engine.submit(gate, Collected())
    assert gate.reached.wait(30)
    engine.submit(question(found), listener)
    threading.Timer(0.2, gate.open.set).start()
    engine.stop()
    assert listener.all()[-1] == Failed("the server is stopping")
    with pytest.raises(EngineFullError):
        engine.submit(question(found), Collected())


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_k": -1}, {"top_p": 0}, {"max_new_tokens": 0}])
def test_settings_out_of_range_are_refused_before_they_are_queued(found, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        question(found, **wrong)


def test_the_event_loop_runs_on_while_the_engine_computes(config, found):
    """A task that takes 0.3 s holds the thread; meanwhile the loop must tick, and get the result in the end."""

    class Slow:
        def compute(self, models):
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                torch.ones(50, 50) @ torch.ones(50, 50)
            return {"slow": True}

    async def both(engine):
        stream, ticks = Stream(), 0
        engine.submit(Slow(), stream.column())
        events = aiter(stream)
        first = asyncio.ensure_future(anext(events))
        while not first.done():
            await asyncio.sleep(0.005)
            ticks += 1
        return ticks, [await first, *[event async for event in events]]

    engine = Engine(config)
    try:
        ticks, events = asyncio.run(both(engine))
    finally:
        engine.stop()
    assert events == [(0, Result({"slow": True})), (0, Done())]
    assert ticks >= 5, "the event loop stood still while the engine computed"
