"""Server-sent events: columns, filters, and requests that are cancelled when the browser has gone."""

import asyncio
import json

import pytest

from rlhf.web.engine.events import Answer, Begun, Done, Failed, Ticket
from rlhf.web.engine.streams import EventResponse, Stream, server_sent


def test_a_text_with_line_breaks_is_one_server_sent_event():
    text = "one\n\ndata: two\r\n\u2028"
    data = server_sent(Answer(0, text, True, None).as_json()).decode()
    assert data.count("\n") == 2, "a line break inside would end the event, and its rest would be another"
    assert json.loads(data.removeprefix("data: "))["text"] == text
    assert json.loads(data.removeprefix("data: "))["kind"] == "answer"


def respond(events, receive, send=None, **options):
    """The body of a response to two requests that were told these events, and the tickets."""

    async def run():
        stream, sent = Stream(), []
        tickets = [Ticket(None, stream.column()) for _ in range(2)]
        for column, event in events:
            tickets[column].tell(event)

        async def keep(message):
            sent.append(message)

        await asyncio.wait_for(EventResponse(stream, tickets, **options)({}, receive, send or keep), 10)
        return sent, tickets

    sent, tickets = asyncio.run(run())
    body = b"".join(message.get("body", b"") for message in sent).decode()
    return [json.loads(part.removeprefix("data: ")) for part in body.split("\n\n")[:-1]], tickets


async def stays():
    await asyncio.Event().wait()


async def goes():
    return {"type": "http.disconnect"}


def test_the_events_of_all_requests_come_until_the_last_of_each():
    found, _ = respond([(1, Begun(0)), (0, Begun(2)), (1, Done()), (0, Failed("no"))], stays, first={"round": "x"})
    assert found[0] == {"round": "x"}
    assert [(one["column"], one["kind"]) for one in found[1:]] == [
        (1, "begun"),
        (0, "begun"),
        (1, "done"),
        (0, "failed"),
    ]


def test_a_filter_changes_or_drops_events():
    events = [(0, Answer(0, "text", True, 1.5)), (0, Done()), (1, Done())]
    found, _ = respond(events, stays, keep=lambda event: Failed("hidden") if isinstance(event, Answer) else None)
    assert found == [{"column": 0, "kind": "failed", "sentence": "hidden"}]


@pytest.mark.parametrize("events", [[], [(0, Begun(0)), (0, Done())]])
def test_a_browser_that_has_gone_cancels_its_requests_while_they_wait(events):
    _, tickets = respond(events, goes)
    assert all(ticket.cancelled for ticket in tickets)


@pytest.mark.parametrize("kind", ["http.response.start", "http.response.body"])
def test_a_connection_that_breaks_while_something_is_sent_cancels_too(kind):
    async def broken(message):
        if message["type"] == kind:
            raise OSError

    _, tickets = respond([(0, Begun(0))], stays, broken)
    assert all(ticket.cancelled for ticket in tickets)


def test_a_mistake_of_ours_is_not_taken_for_a_broken_connection():
    with pytest.raises(ExceptionGroup) as raised:
        respond([(0, Begun(0))], stays, keep=lambda event: 1 / 0)
    assert raised.group_contains(ZeroDivisionError)
