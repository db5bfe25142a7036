"""Each evaluator passes what is right and fails what is wrong, in words that say what to do."""

import re

import pytest
import torch

from tutorials.tools.evaluators import Chapter, evaluate, make_deterministic, parse_fences, parse_figures


def outcomes(text, folder):
    return evaluate(text, folder / "04-x.md")


def only(text, folder):
    (outcome,) = outcomes(text, folder)
    return outcome.problem


def run(*blocks):
    return "\n".join(f"```python\n{block}\n```\n" for block in blocks)


def out(text):
    return f"```text out\n{text}\n```\n"


def test_the_made_up_chapter_passes(chapter):
    found = evaluate(chapter.read_text(encoding="utf-8"), chapter)
    assert [outcome.parsed.kind for outcome in found] == ["run", "out", "run", "excerpt", "console", "quoted"]
    assert [outcome.problem for outcome in found] == [""] * 6


def test_blocks_share_one_namespace_and_two_pages_none(folder):
    found = outcomes(run("x = 1", "assert x == 1", "assert __name__ == '__main__'"), folder)
    assert [outcome.problem for outcome in found] == [""] * 3
    assert "NameError" in only(run("x"), folder)


def test_output_is_compared_with_the_block_above(folder):
    assert outcomes(run("print('loss', 0.1234)") + "\nprose\n" + out("loss 0.12"), folder)[1].problem == ""
    assert "> loss 0.15" in outcomes(run("print('loss', 0.1234)") + out("loss 0.15"), folder)[1].problem


@pytest.mark.parametrize("text", [out("1"), run("print(1)") + out("1") + out("1")])
def test_output_that_belongs_to_no_block(folder, text):
    problem = outcomes(text, folder)[-1].problem
    assert problem == "no executed block stands right above this output; put it under the block that prints it"


def test_after_a_block_that_raises_executed_blocks_are_skipped_and_nothing_else(folder):
    text = run("1 / 0") + out("0") + run("x = 1") + out("") + "```console\n$ make all\n```\n"
    found = outcomes(text, folder)
    assert [outcome.skipped for outcome in found] == [False, True, True, True, False]
    assert found[0].problem == "ZeroDivisionError: division by zero"
    assert found[4].problem == ""


def test_a_wrong_output_does_not_stop_what_follows(folder):
    found = outcomes(run("print(1)") + out("2") + run("print(3)") + out("3"), folder)
    assert [bool(outcome.problem) for outcome in found] == [False, True, False, False]


def test_a_traceback_names_the_line_of_the_page(folder):
    chapter = Chapter("# A\n\n" + run("x = 1", "\nraise ValueError(x)"), str(folder / "04-x.md"))
    for region in parse_fences(chapter):
        chapter.add(region)
    first, second = chapter.examples()
    first.evaluate()
    with pytest.raises(ValueError, match="1") as caught:
        second.evaluate()
    assert (str(caught.traceback[-1].path), caught.traceback[-1].lineno + 1) == (str(folder / "04-x.md"), 9)
    assert chapter.text.split("\n")[8] == "raise ValueError(x)"


def test_what_a_block_prints_does_not_reach_the_terminal(folder, capsys):
    assert outcomes(run("print(1)"), folder)[0].printed == "1\n"
    assert capsys.readouterr().out == ""


def test_an_excerpt_equals_the_source(folder):
    source = "return torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()  # [T,T]"
    head = "def causal_mask(tokens: int, device: torch.device) -> Tensor:"
    block = '```python from="minigpt/attention.py:causal_mask" doc="no"\n{}\n    {}\n```\n'
    assert only(block.format(head, source), folder) == ""
    problem = only(block.format(head, source.replace("tril", "triu")), folder)
    assert "line 2 differs" in problem
    assert "`make tutorials-update` copies it" in problem
    assert "the page has 1 lines, minigpt/attention.py:causal_mask 2" in only(
        f'```python from="minigpt/attention.py:causal_mask" doc="no"\n{head}\n```\n', folder
    )


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ('python from="minigpt/attention.py:casual_mask"', "casual_mask is defined there (did you mean causal_mask?)"),
        ('python from="minigpt/attention.py:causal_mask" doc="none"', 'doc="none" means nothing'),
        ('text run="rum:table"', "rum.json does not exist (did you mean run?)"),
    ],
)
def test_a_name_that_is_not_there_needs_no_traceback(folder, info, message):
    assert message in only(f"```{info}\n1\n```\n", folder)


def test_a_quoted_text_equals_the_file(folder):
    assert only('```text run="run:table"\na  0.5\nb  0.25\n```\n', folder) == ""
    assert "line 2 differs" in only('```text run="run:table"\na  0.5\nb  0.26\n```\n', folder)


def test_every_command_of_a_console_block_is_read(folder):
    assert only("```console\n$ make all\n$ python -m rlhf.stage1_sft --epochs 1\n```\n", folder) == ""
    assert "unknown option --epoch (did you mean --epochs?)" in only(
        "```console\n$ make all\n$ python -m rlhf.stage1_sft --epoch 1\n```\n", folder
    )


def figure_problem(text, folder):
    chapter = Chapter(text, str(folder / "04-x.md"))
    for region in parse_figures(chapter):
        chapter.add(region)
    (example,) = chapter.examples()
    return example.region.evaluator(example)


def test_a_figure_is_computed_again(folder, change):
    assert figure_problem("![a line](figures/ch04_line.svg)\n", folder) is None
    change("figures/make/ch04.py", "x / 3", "x / 4")
    assert "array 'y'" in figure_problem("![a line](figures/ch04_line.svg)\n", folder)
    assert "is no figure of ours" in figure_problem("![a line](https://example.org/a.svg)\n", folder)


def test_check_and_update_start_from_different_seeds():
    """So a block that draws random numbers must seed them itself, as its reader has to."""
    printed = []
    for seed in (0, 1):
        with torch.random.fork_rng():
            make_deterministic(seed)
            (outcome,) = evaluate(run("import torch, random\nprint(torch.rand(3), random.random())"), "04-x.md")
            printed.append(outcome.printed)
    assert printed[0] != printed[1]


def test_an_info_string_that_means_nothing_stops_the_chapter():
    with pytest.raises(ValueError, match=re.escape("the fence ```python output means nothing")):
        list(parse_fences(Chapter("```python output\n1\n```\n", "a.md")))
