"""A classroom without models: what people type, who may do what."""

import re

import pytest
from starlette.testclient import TestClient

from rlhf.web.app import create_app
from rlhf.web.config import WebConfig

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
