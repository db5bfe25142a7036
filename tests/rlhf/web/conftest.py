"""A classroom without models: what people type, who may do what."""

import re
import secrets

import pytest
from starlette.testclient import TestClient

from rlhf.web.app import create_app
from rlhf.web.config import WebConfig
from rlhf.web.store import items
from rlhf.web.store.items import Item

JOIN, TEACHER = "JOINME", "TEACHR"


class Browser(TestClient):
    """A client that keeps cookies and sends the token of the last page, as a browser does."""

    def token(self, address="/join"):
        return re.search(r'name="csrf" content="([^"]+)"', self.get(address).text)[1]

    def submit(self, address, page="/join", **fields):
        return self.post(address, data={"csrf": self.token(page), **fields}, follow_redirects=False)

    def tell(self, address, data, page="/me"):
        headers = {"X-CSRF-Token": self.token(page), "Accept": "application/json"}
        return self.post(address, json=data, headers=headers)

    def join(self, name, code=JOIN, **fields):
        return self.submit("/join", name=name, code=code, **fields)


@pytest.fixture
def make_app(tmp_path):
    def make(**settings):
        return create_app(WebConfig(**{"preset": "tiny", "runs": str(tmp_path / "runs"), **settings}))

    return make


@pytest.fixture
def local_app(make_app):
    return make_app()


@pytest.fixture
def class_app(make_app):
    return make_app(classroom=True, join_code=JOIN, teacher_code=TEACHER)


@pytest.fixture
def browser():
    """Makes a browser of its own, with its own cookies, for each call."""
    return lambda app: Browser(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def make_items(ordinary=6, known=0, answers=4):
    """Items whose answers say their own gold totals, the better the later; markup in each text."""
    made = []
    for number in range(ordinary + known):
        is_known = number >= ordinary
        count = 2 if is_known else answers
        gold = tuple(index / count for index in range(count))
        texts = tuple(f"<i>answer {index}</i> of {number}" for index in range(count))
        prompt = ({"role": "user", "content": f"<b>prompt {number}</b>"},)
        known_index = 1 if is_known else None
        made.append(Item(prompt, texts, (True,) * count, gold, tuple(reversed(gold)), known_index))
    return made


@pytest.fixture
def people_in(browser):
    """People who have come into an app with items, one browser each."""

    def enter(app, *names, **settings):
        items.add(app.state.store, make_items(**settings))
        found = [browser(app) for _ in names]
        for person, name in zip(found, names, strict=True):
            assert person.join(name).status_code == 303
        return found

    return enter


def new_key():
    return secrets.token_hex(16)


def label_of(item, ranks=None, **changes):
    """A label as label.js sends it: by default the order of the texts, best first."""
    texts = [answer["text"] for answer in item["answers"]]
    ranks = ranks or [sorted(texts, reverse=True).index(text) + 1 for text in texts]
    return {
        "key": new_key(),
        "item": item["id"],
        "outcome": "ranked",
        "ranks": ranks,
        "reason": "",
        "seconds": 1.5,
    } | changes
