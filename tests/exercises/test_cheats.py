"""Ways to a solution that somebody else wrote: each must be refused before the file runs, or when it does.

The file of chapter 04 with one function that does not do the work itself. `complaint` reads the text; what it cannot
see runs in a process of its own and must fail there. No cheat may pass.
"""

import pytest

from tests.exercises.students import solved_texts, stub_texts
from tutorials.exercises.checking import check_exercise
from tutorials.exercises.own_work import complaint
from tutorials.exercises.registry import ROOT, load_register
from tutorials.exercises.subject import StudentProcess
from tutorials.exercises.work import PUBLIC_SEED, Work

ATTENTION = load_register()["4.1"]
KERNEL = "scaled_dot_product_attention"
# (what is done, lines before the function, its body)
REFUSED_UNREAD = [
    ("the kernel", "", f"return torch.nn.functional.{KERNEL}(queries, keys, values, is_causal=True)"),
    ("the kernel by another name", f"from torch.nn.functional import {KERNEL} as f", "return f(queries, keys, values)"),
    ("torch.sys", "", "return torch.sys.modules['minigpt.attention'].attention_by_heads(queries, keys, values)"),
    ("sys of another module", "import dataclasses", "return dataclasses.sys.modules['torch']"),
    ("a private sys", "import collections", "return collections._sys.modules['torch']"),
    ("sys imported from torch", "from torch import sys as s", "return s.modules"),
    ("__dict__", "", f"return torch.nn.functional.__dict__['{KERNEL}'](queries, keys, values, is_causal=True)"),
    ("__dict__ of an instance", "", "return values.__dict__"),
    ("__globals__", "", "return causal_attention.__globals__"),
    ("__builtins__", "", "return __builtins__"),
    ("__subclasses__", "", "return ().__class__.__base__.__subclasses__()"),
    ("getattr", "", "return getattr(torch.nn.functional, 'scaled_dot' + '_product_attention')(queries, keys, values)"),
    ("a private operator", "", "return torch._native_multi_head_attention(queries)"),
    ("torch.ops", "", f"return torch.ops.aten.{KERNEL}(queries, keys, values, is_causal=True)"),
    ("the reference", "import minigpt.attention", "return minigpt.attention.attention_by_heads(queries, keys, values)"),
    (
        "the reference in the function",
        "",
        "from minigpt.attention import attention_loops as a\n    return a(queries)",
    ),
    ("a star", "from minigpt.attention import *", "return attention_by_heads(queries, keys, values)"),
    ("a star of torch", "from torch.nn.functional import *", f"return {KERNEL}(queries, keys, values)"),
    (
        "a name on another module",
        "import minigpt.attention as m\ntorch.helper = m.attention_by_heads",
        "return torch.helper(queries, keys, values)",
    ),
    (
        "the kernel on another module",
        f"torch.helper = torch.nn.functional.{KERNEL}",
        "return torch.helper(queries, keys, values, is_causal=True)",
    ),
    (
        "the kernel in a list",
        f"box = []\nbox.append(torch.nn.functional.{KERNEL})",
        "return box[0](queries, keys, values, is_causal=True)",
    ),
    (
        "a subclass of Tensor that speaks for torch",
        "class Equal(Tensor):\n    @classmethod\n    def __torch_function__(cls, *a, **k): return True",
        "return values.as_subclass(Equal)",
    ),
    ("a module that opens files", "from torch.utils import data", "return data.os"),
    ("the solutions", "from tutorials.instructor.solutions import ch04_attention as s", "return s.causal_attention"),
    ("the specification", "from tutorials.exercises.specs import ch04 as s", "return s.causal_attention(queries)"),
]
CAUGHT_WHILE_RUNNING = [
    (
        "the kernel, put into a list by a helper",
        f"box = []\ndef fill(): box.append(torch.nn.functional.{KERNEL})\nfill()",
        "return box[0](queries, keys, values, is_causal=True)",
    ),
    ("a subclass of Tensor", "class Mine(Tensor):\n    pass", "return values.as_subclass(Mine)"),
    ("the answers of a lookup", "table = {}", "return table.setdefault(tuple(queries.shape), values)"),
    (
        "other comparisons",
        "torch.testing.assert_close = torch.allclose = torch.equal = lambda *a, **k: True\n"
        "torch.isclose = lambda *a, **k: torch.tensor(True)",
        "return values",
    ),
    (
        "a layer of torch's own",
        "layer = torch.nn.TransformerEncoderLayer(4, 1)",
        "return layer(queries[0, 0, :, :4])",
    ),
]


def text_of(before, body):
    """The stubs of chapter 04 with 4.1 "written"."""
    stub = stub_texts()[ATTENTION.file]
    text = stub.replace('    raise NotImplementedError("4.1")\n', f"    {body}\n", 1)
    return text.replace("# ---- 4.1 ", f"{before}\n\n# ---- 4.1 ", 1)


def test_the_function_itself_is_not_refused():
    assert complaint(solved_texts()[ATTENTION.file], ATTENTION) == ""
    harmless = text_of("import math as m\nROOT = m.sqrt(4)", "return values * ROOT")
    assert complaint(harmless, ATTENTION) == ""


@pytest.mark.parametrize(("before", "body"), [c[1:] for c in REFUSED_UNREAD], ids=[c[0] for c in REFUSED_UNREAD])
def test_what_can_be_read_in_the_text_is_refused_before_it_runs(before, body):
    said = complaint(text_of(before, body), ATTENTION)
    assert said, "this cheat is not seen in the text"
    assert "\n" not in said


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    with StudentProcess(tmp_path_factory.mktemp("box"), ROOT, seconds=20.0, quiet=True) as started:
        yield started


@pytest.mark.parametrize(
    ("before", "body"), [c[1:] for c in CAUGHT_WHILE_RUNNING], ids=[c[0] for c in CAUGHT_WHILE_RUNNING]
)
def test_what_hides_from_the_text_fails_when_it_runs(process, tmp_path, before, body):
    path = tmp_path / ATTENTION.file
    path.parent.mkdir(parents=True)
    path.write_text(text_of(before, body), encoding="utf-8")
    outcomes = check_exercise(ATTENTION, Work(tmp_path), process, PUBLIC_SEED)
    assert not all(outcome.passed for outcome in outcomes)


def test_a_kernel_that_hides_from_the_text_is_named_when_it_is_called(process, tmp_path):
    path = tmp_path / ATTENTION.file
    path.parent.mkdir(parents=True)
    path.write_text(text_of(*CAUGHT_WHILE_RUNNING[0][1:]), encoding="utf-8")
    outcomes = check_exercise(ATTENTION, Work(tmp_path), process, PUBLIC_SEED)
    assert not any(outcome.passed for outcome in outcomes)
    assert f"{KERNEL} is called; here you write that yourself" in outcomes[0].report
