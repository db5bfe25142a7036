"""Fixtures around the made-up students."""

import pytest

from tests.exercises.students import pack, solved_texts, stub_texts


@pytest.fixture
def solved():
    return solved_texts()


@pytest.fixture
def stubs():
    return stub_texts()


@pytest.fixture
def packed():
    return pack
