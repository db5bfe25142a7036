"""A classroom with a run of tiny random models."""

import json
from pathlib import Path

import pytest

from tests.rlhf.web.random_run import small_tokenizer, write_run


@pytest.fixture(scope="session")
def tokenizer():
    return small_tokenizer()


@pytest.fixture
def with_models(make_app, tokenizer):
    """Makes an app whose run has base, SFT and PPO and a reward model; its engine is stopped afterwards."""
    made = []

    def make(**settings):
        app = make_app(**settings)
        write_run(Path(app.state.config.run_dir), tokenizer)
        made.append(app)
        return app

    yield make
    for app in made:
        app.state.engine.stop()


@pytest.fixture
def person(with_models, browser):
    """A browser of somebody who is alone with the server."""
    return browser(with_models())


def events_of(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return [json.loads(part.removeprefix("data: ")) for part in response.text.split("\n\n")[:-1]]
