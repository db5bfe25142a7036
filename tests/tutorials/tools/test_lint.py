"""The linter: a chapter in which all is right has no findings, and each single mistake has one that names it."""

import re

import pytest

from minigpt.runs.files import write_text
from tests.tutorials.conftest import PROVENANCE
from tutorials.tools.anatomy import asserts, word_count
from tutorials.tools.fences import Fence
from tutorials.tools.lint import lint_page, outdated, unused
from tutorials.tools.markdown import anchors
from tutorials.tools.page import Page


def findings(folder, name="04-attention.md"):
    return [finding.rpartition(name + ":")[2] for finding in lint_page(Page.read(folder / name), folder)]


def test_what_is_right_has_no_findings(folder):
    assert findings(folder) == []
    assert findings(folder, "README.md") == []


MISTAKES = {
    # the comment at the top
    "the id": ("id: 04", "id: 06", "id is '06', but the file is called 04-attention.md"),
    "a file of code": ("code: minigpt/attention.py", "code: minigpt/attn.py", "code names minigpt/attn.py"),
    "what it needs": ("needs:\n", "needs: 02\n", "needs names chapter 02, which is neither written nor planned"),
    "its exercises": ("exercises: 4.1 4.2", "exercises: 4.1", "exercises.toml has 4.1 4.2"),
    "its seconds": ("ci_seconds: 40", "ci_seconds: 41", "ci_seconds is 41, at most 40"),
    # sections
    "two titles": ("# Attention\n", "# Attention\n\n# Again\n", "one heading with a single #, this one has 2"),
    "a section missing": ("## By hand", "### By hand", "the section 'By hand' is missing"),
    "a section of another name": ("## By hand", "## With a pencil", "the heading 'With a pencil' is none of"),
    "a section in the wrong place": (
        "## Recap and real systems",
        "## Reading the log\n\n## Recap and real systems",
        "the section 'Check yourself' stands where 'Reading the log' belongs",
    ),
    "a section twice": ("## By hand", "## By hand\n\n## By hand", "the heading 'By hand' is there twice"),
    "a goal without its exercise": ("a line (exercise 4.1)", "a line", "'draw a line;' names no exercise"),
    "a goal of another chapter": ("a line (exercise 4.1)", "a line (5.1)", "names no exercise of this chapter"),
    "too few goals": ("- draw a line (exercise 4.1);\n", "", "it lists 2 things, expected 3 or 4"),
    "no answer": (
        "<details>\n<summary>The answer</summary>\n\nIt is $1/3$.\n\n</details>",
        "",
        "has 0 answers in <details>",
    ),
    "too many readings": ("- [A book]", "- a\n- b\n- c\n- d\n- e\n- [A book]", "it lists 6 readings, expected 1 to 5"),
    # limits
    "too many words": ("A line.\n", "word " * 1000, "words of prose, expected 1500 to 2500"),
    "too many blocks": ("A line.\n", "A line.\n" + "```python\n1\n```\n" * 12, "16 blocks of code, at most 14"),
    "a long block": ('print("thirds", thirds)', "pass\n" * 25 + "pass", "27 lines of code, at most 25"),
    "three blocks not executed": (
        "A line.\n",
        "A line.\n" + '```python .noeval reason="slow"\n1\n```\n' * 2,
        "3 blocks .noeval, at most 2",
    ),
    "no reason": ('reason="it takes an hour"', 'reason=" "', "says why it is not executed"),
    "too many figures": (
        "A line.\n",
        "A line.\n" + "![a line that rises by one third](figures/ch04_line.svg)\n" * 4,
        "5 figures, at most 4",
    ),
    # equations
    "an equation without an assert": ("assert sum(thirds) == 1", "sum(thirds)", "no block with an assert checks this"),
    "two equations, one assert": (
        "```math\nx_1",
        "```math\n1 = 1\n```\n\n```math\nx_1",
        "no block with an assert checks this equation",
    ),
    # fences
    "a fence that means nothing": ("```text diagram", "```text", "the fence ```text means nothing"),
    "output in a console": ("$ make all PRESET=tiny", "done", "'done' in a console block is no command"),
    # mathematics
    "display mathematics in dollars": ("A line.\n", "$$x$$\n", "goes into a fence ```math"),
    "a lonely dollar": ("A line.\n", "It costs $3.\n", "a $ without its partner"),
    "mathematics over a line end": ("A line.\n", "$x +\ny$\n", "a $ without its partner"),
    "brackets": ("$x_1 = 1/3$", "$x[1] + 2$", "$x[1] + 2$ has '[', which Markdown reads first"),
    "a brace": ("$x_1 = 1/3$", "$x_{1}$", "has '{', which Markdown reads first; write it as $`…`$"),
    "less than": ("$x_1 = 1/3$", "$a <b$", "has '<'"),
    "a lost backslash": ("$x_1 = 1/3$", "$a\\,b$", "has '\\\\,', which Markdown reads first"),
    "two underscores": ("$x_1 = 1/3$", "$x_1 + x_2$", "has two underscores"),
    "a blank at the dollar": ("$x_1 = 1/3$", "$ x$", "has a blank beside its $"),
    "glued to a letter": ("with $x_1 = 1/3$", "with$x_1 = 1/3$", "touches a letter or a digit"),
    "glued with backticks": ("$`x_{2}`$, with", "$`x_{2}`$s, with", "touches a letter or a digit"),
    "in a link": ("[A book]", "[A $x$ book]", "mathematics in the text of a link"),
    "a refused command": ("x_1 + x_2 = 1\n", "\\operatorname*{a} x\n", "\\operatorname* is refused"),
    "a brace without its partner": ("x_1 + x_2 = 1\n", "\\frac{1}{2 = 1\n", "do not pair up"),
    "a left without its right": ("x_1 + x_2 = 1\n", "\\left( 1 \\}\n", "do not pair up"),
    # links and pictures
    "a missing file": ("[the code](../tutorials/exercises/ch04.py)", "[the code](../x.py)", "there is no '../x.py'"),
    "a missing heading": ("(#by-hand)", "(#by-foot)", "04-attention.md has no heading with that name"),
    "a missing heading elsewhere": ("(README.md#chapters)", "(README.md#list)", "README.md has no heading"),
    "a place in code": (
        "[the code](../tutorials/exercises/ch04.py)",
        "[the code](../tutorials/exercises/ch04.py#L3)",
        "places in code move, name the function",
    ),
    "outside": ("[the code](../tutorials/exercises/ch04.py)", "[the code](../..)", "outside of the repository"),
    "a link without a text": ("[above](", "[](", "the link to #by-hand has no text"),
    "a picture elsewhere": (
        "(figures/ch04_line.svg)",
        "(https://example.org/a.svg)",
        "is no figure of ours, figures/chNN_name.svg",
    ),
    "a picture in HTML": ("A line.\n", '<img src="a.svg">\n', "write a picture as ![what it shows]"),
    # HTML, comments, shapes
    "no summary": ("<summary>One?</summary>", "", "<details> needs its <summary>"),
    "no blank line after a summary": ("One?</summary>\n", "One?</summary>", "after </summary> comes a blank line"),
    "no blank line before the end": ("Yes.\n\n</details>", "Yes.\n</details>", "before </details> comes a blank line"),
    "an end without a beginning": ("A line.\n", "A line.\n\n</details>\n", "not as many </details> as <details>"),
    "a mistyped comment": ("A line.\n", "<!-- no check: slow -->\n", "means nothing to the tools"),
    "a line that begins with a number": ("The accuracy is <!--", "The accuracy is\n<!--", "is HTML to Markdown"),
    "a shape of nobody's": ("# [B,T]", "# [B,Q]", "the shape [B,Q] uses Q, which is none of B C D H K L N S T V"),
    # what is generated
    "a stale number": (" .2f -->0.81<", " .2f -->0.82<", "`make tutorials-update` would write"),
    "a stale excerpt": (").tril()", ").triu()", "would write '    return torch.ones("),
    "a stale table": ("●●○○○ | ●●●●● | 25 | 10 |\n| [4.2", "●○○○○ | ●●●●● | 25 | 10 |\n| [4.2", "would write '| [4.1"),
    "a stale alt text": ("![a line that rises by one third]", "![a line that rises by two thirds]", "would write '![a"),
    "no markers": ("<!-- header:start -->", "<!-- head:start -->", "needs the markers <!-- header:start -->"),
    "a number that is not there": ("n run:deep.accuracy", "n run:deep.acc", "has no field 'acc' there"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_named(folder, change, mistake):
    old, new, message = MISTAKES[mistake]
    change("04-attention.md", old, new)
    found = findings(folder)
    assert any(message in finding for finding in found), found


SOLE = [
    "a goal without its exercise",
    "an equation without an assert",
    "brackets",
    "a missing heading",
    "a shape of nobody's",
    "a stale number",
    "a mistyped comment",
    "no summary",
]


@pytest.mark.parametrize("mistake", SOLE)
def test_one_mistake_is_one_finding(folder, change, mistake):
    old, new, message = MISTAKES[mistake]
    path = change("04-attention.md", old, new)
    (finding,) = findings(folder)
    line = path.read_text(encoding="utf-8").split("\n")[int(finding.partition(":")[0]) - 1]
    assert message in finding
    if mistake in ("brackets", "a missing heading", "a shape of nobody's", "a mistyped comment"):
        assert new.strip() in line, "the finding names the line"


def test_too_few_words(folder, chapter):
    text = chapter.read_text(encoding="utf-8")
    chapter.write_text(text.replace("one word after another, and then the next\n", "one word\n"), encoding="utf-8")
    (finding,) = findings(folder)
    assert re.fullmatch(r"1: \d+ words of prose, expected 1500 to 2500", finding)


def test_a_setup_chapter_may_be_shorter_and_leave_sections_out(folder, change):
    path = change("04-attention.md", "kind: concept", "kind: setup")
    text = path.read_text(encoding="utf-8")
    for name, end in (("By hand", "## The maths"), ("The maths", "## The code")):
        start, stop = text.index(f"## {name}"), text.index(end)
        text = text[:start] + text[stop:]
    path.write_text(text.replace(", [above](#by-hand)", ""), encoding="utf-8")
    assert findings(folder) == []


def test_the_map_has_commands_that_run_too(folder, change):
    path = change("README.md", "# Chapters\n", "# Chapters\n\n```console\n$ python -m rlhf.stage1_sft --epoch 1\n```\n")
    (finding,) = findings(folder, path.name)
    assert finding.startswith(
        "3: `python -m rlhf.stage1_sft --epoch 1` is refused: unknown option --epoch (did you mean"
    )


def test_a_page_may_talk_about_comments(folder, change):
    change("04-attention.md", "A line.\n", "Write `<!-- no check -->` or `<!--` there; `$$` is a line [x](y.md).\n")
    (finding,) = findings(folder)
    assert "there is no 'y.md'" in finding, "what follows an opened comment in backticks is read all the same"


def test_a_training_chapter_needs_its_log(folder, change):
    change("04-attention.md", "kind: concept", "kind: training")
    assert findings(folder) == ["1: the section 'Reading the log' is missing; a chapter of kind training needs it"]


def test_arrows_and_escaped_braces_need_no_partner(folder, change):
    change("04-attention.md", "x_1 + x_2 = 1\n", "\\leftarrow \\{ \\left( 1 \\right)\n")
    assert findings(folder) == []


def test_an_equation_may_say_why_nothing_checks_it(folder, change):
    change("04-attention.md", "assert sum(thirds) == 1  # [B,T]", "sum(thirds)")
    change("04-attention.md", "x_1 + x_2 = 1\n```\n", "x_1 + x_2 = 1\n```\n\n<!-- nocheck: a definition -->\n")
    assert findings(folder) == []


@pytest.mark.parametrize(
    ("body", "claims"),
    [
        ("assert x == 1", True),
        ("if a:\n    assert b", True),
        ("torch.testing.assert_close(a, b)", True),
        ("assert_close(a, b)", True),
        ("print('assert')", False),
        ("# assert x", False),
        ("x = (", False),
    ],
)
def test_what_counts_as_a_claim(body, claims):
    assert asserts(Fence("python", body + "\n", 1, 3)) is claims


def test_words_are_those_that_are_read(chapter):
    read = "# Two words\n\nIt's [a link](a/very/long/address.md), `code` and $`x + y`$.\n\n"
    unread = "```python\nno words\n```\n<!-- nor here -->\n<!-- map:start -->\nnor here\n<!-- map:end -->\n"
    assert word_count(Page(chapter, read + unread)) == 8, "Two words It's a link code and (a formula)"


def test_anchors_are_those_of_a_code_host(chapter):
    """Lower case, no punctuation, blanks as hyphens, repeats numbered."""
    titles = ["The problem: why?", "`code` and *x*", "The problem: why?", "[A link](b.md)", "Größe √D"]
    page = Page(chapter, "".join(f"## {title}\n" for title in titles))
    assert anchors(page) == {"the-problem-why", "code-and-x", "the-problem-why-1", "a-link", "größe-d"}


def test_figures_and_numbers_that_nobody_shows(folder, numbers_file):
    page = Page.read(folder / "04-attention.md")
    assert unused([page], folder) == []
    (folder / "figures" / "ch04_other.svg").write_text("", encoding="utf-8")
    numbers_file("other", {})
    assert unused([page], folder) == [
        "ch04_other.svg: no page shows this figure",
        "other.json: no page quotes these numbers",
    ]
    write_text(folder / "experiments" / "README.md", "![Dots.](../figures/ch04_other.svg)\n")
    assert unused([page], folder) == ["other.json: no page quotes these numbers"], "the table of experiments shows it"


def test_numbers_from_an_unknown_commit_are_a_warning(folder, numbers_file):
    numbers_file("run", {"provenance": {**PROVENANCE, "commit": "0" * 40}, "code": []})
    (warning,) = outdated([Page.read(folder / "04-attention.md")], folder)
    assert re.search(r"run\.json: git does not know commit 0{40}", warning)
