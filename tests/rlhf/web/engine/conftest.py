"""A run of tiny random models, and an engine on it."""

import pytest

from minigpt.runs.config import RunConfig
from rlhf.web.engine.worker import Engine
from rlhf.web.stages import stages
from tests.rlhf.web.random_run import small_tokenizer, write_run


@pytest.fixture(scope="session")
def tokenizer():
    return small_tokenizer()


@pytest.fixture
def config(tmp_path, tokenizer):
    write_run(tmp_path / "tiny", tokenizer)
    return RunConfig(runs=str(tmp_path), preset="tiny", device="cpu")


@pytest.fixture
def found(config):
    return stages(config.runs, config.preset)


@pytest.fixture
def engine(config):
    engine = Engine(config)
    yield engine
    engine.stop()
