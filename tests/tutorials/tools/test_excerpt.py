"""Code found by its name. The oracle is Python's own inspect.getsource."""

import inspect
import re
import textwrap

import pytest

from minigpt import attention, cache
from minigpt.runs.errors import UserError
from tutorials.tools.excerpt import excerpt

SOURCE = '''\
LIMIT = 3
NAMES: tuple[str, ...] = (
    "a",
)

@decorated
def f():
    """One.

    Two."""

    return 1

class C:
    # region middle
    x = 1

    y = 2
    # endregion

    def f(self):
        return 2
'''


@pytest.fixture
def root(tmp_path):
    (tmp_path / "a.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["causal_mask", "attention_loops", "Layout", "padded_layout"])
def test_it_is_what_python_finds(name):
    thing = attention
    for part in name.split("."):
        thing = getattr(thing, part)
    assert excerpt(f"minigpt/attention.py:{name}") == textwrap.dedent(inspect.getsource(thing))


@pytest.mark.parametrize("name", ["KVCache", "KVCache.begin", "KVCache.keep"])
def test_a_class_and_its_methods_are_what_python_finds(name):
    thing = cache
    for part in name.split("."):
        thing = getattr(thing, part)
    assert excerpt(f"minigpt/cache.py:{name}") == textwrap.dedent(inspect.getsource(thing))


def test_decorators_assignments_methods_and_regions(root):
    assert excerpt("a.py:LIMIT", root=root) == "LIMIT = 3\n"
    assert excerpt("a.py:NAMES", root=root) == 'NAMES: tuple[str, ...] = (\n    "a",\n)\n'
    assert excerpt("a.py:f", root=root).startswith("@decorated\ndef f():\n")
    assert excerpt("a.py:C.f", root=root) == "def f(self):\n    return 2\n"
    assert excerpt("a.py:#middle", root=root) == "x = 1\n\ny = 2\n"


def test_without_the_docstring_and_the_blank_line_after_it(root):
    assert excerpt("a.py:f", docstring=False, root=root) == "@decorated\ndef f():\n    return 1\n"


def test_lines_added_above_change_nothing(root):
    before = excerpt("a.py:C.f", root=root)
    (root / "a.py").write_text("import os\n\n\n" + SOURCE, encoding="utf-8")
    assert excerpt("a.py:C.f", root=root) == before


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("a.py", "expected path.py:name"),
        ("b.py:f", "there is no file b.py"),
        ("a.py:LIMITS", "no LIMITS is defined there (did you mean LIMIT?)"),
        ("a.py:C.g", "no g is defined there"),
        ("a.py:#end", "are there 0 times, expected once"),
    ],
)
def test_a_name_that_is_not_there(root, address, message):
    with pytest.raises(UserError, match=re.escape(message)):
        excerpt(address, root=root)


def test_a_docstring_that_is_not_there(root):
    with pytest.raises(UserError, match="it has no docstring to leave out"):
        excerpt("a.py:C.f", docstring=False, root=root)
