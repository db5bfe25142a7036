"""Files that are refused by reading alone, and innocent ones that must pass."""

import pytest

from tutorials.exercises.own_work import complaint
from tutorials.exercises.registry import load_register
from tutorials.grading.stubs import masters, stub_files

EXERCISES = load_register()
ATTENTION = EXERCISES["4.1"]
HEAD = "import torch\nimport torch.nn.functional as F\n"


def attention(body, above=""):
    return f"{HEAD}{above}\n\ndef causal_attention(queries, keys, values):\n    {body}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (attention("return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)"), "line 6: "),
        (attention("return f(queries)", "from minigpt.attention import attention_by_heads as f"), "imports minigpt"),
        (
            attention("return a.attention_by_heads(queries)", "import minigpt.attention as a"),
            "imports minigpt.attention",
        ),
        (attention("return m.attention.attention_loops(queries)", "import minigpt as m"), "imports minigpt"),
        (attention("return f(1)", "def f(x):\n    return g(x)\ng = F.scaled_dot_product_attention"), "you write that"),
        (
            attention("return 1") + "\nfrom minigpt import attention\ncausal_attention = attention.attention_loops",
            "imports minigpt",
        ),
        (attention("import os\n    return queries"), "imports os"),
        (attention("return queries", "from tutorials.instructor import solutions"), "imports tutorials"),
        (attention("return queries", "from . import specs"), "imports"),
        (attention("torch.os.system('ls')"), "uses torch.os.system"),
        (attention("torch.save(queries, 'x')"), "uses torch.save"),
        (attention("run('ls')", "from torch.os import system as run"), "imports torch.os.system"),
        (attention("return getattr(F, 'scaled_dot' + '_product_attention')"), "uses getattr"),
        (attention("return eval('queries')"), "uses eval"),
        (attention("return open('x').read()"), "uses open"),
        (attention("return queries.__class__"), "__class__"),
        (attention("return [x for x in ().__class__.__base__.__subclasses__()]"), "which no exercise needs"),
        (attention("return queries", "__import__('os')"), "uses __import__"),
        ("def causal_attention(queries:\n", "line 1: Python cannot read this"),
        (attention("return 1") + attention("return 2"), "2 times"),
        (HEAD, "0 times"),
        ("x = 1\n" + "(" * 3000, "Python cannot read this"),
        ("a\0b", "Python cannot read this"),
    ],
)
def test_what_is_no_work_of_ones_own_is_refused_with_a_reason(text, expected):
    assert expected in complaint(text, ATTENTION)
    assert ATTENTION.file in complaint(text, ATTENTION)


@pytest.mark.parametrize(
    "text",
    [
        attention("return torch.softmax(queries, -1)"),
        attention("return helper(queries)", "def helper(x):\n    return F.softmax(x, dim=-1)"),
        # a comparison of one's own, outside of the function
        attention("return queries") + "\ndef try_it(x):\n    return F.scaled_dot_product_attention(x, x, x)",
        attention("model.eval()\n    print(queries)\n    input = queries\n    return input"),
        attention("return torch.compile(queries)"),
        attention("from math import sqrt\n    return queries / sqrt(2)"),
        "\ufeff".encode().decode("utf-8-sig") + attention("return queries"),
    ],
)
def test_innocent_code_passes(text):
    assert complaint(text, ATTENTION) == ""


def test_stubs_and_solutions_pass():
    for exercise in EXERCISES.values():
        solution = masters()[exercise.file.removeprefix("tutorials/exercises/")]
        assert complaint(solution, exercise) == ""
    stubs = {path.as_posix(): text for path, text in stub_files().items()}
    assert all(complaint(stubs[exercise.file], exercise) == "" for exercise in EXERCISES.values())
