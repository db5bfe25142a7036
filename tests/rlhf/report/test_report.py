"""The report and the README parts, from a made-up run."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest

from minigpt.runs.errors import UserError
from minigpt.runs.files import write_json
from rlhf.evaluation.results import load_results
from rlhf.evaluation.results import main as check_results
from rlhf.report import page, readme
from rlhf.report.goals import figures_of
from rlhf.report.tables import gold_table, honesty_table

VOID = {"meta", "img", "br"}


class Outline(HTMLParser):
    """Complains about tags that are not closed in order; collects text and attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.attributes = [], "", []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        self.text += data


def page_of(run):
    page.main(["--runs", str(run.parent), "--preset", run.name])
    return (run / "report.html").read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_needs_no_network(finished_run, capsys):
    html = page_of(finished_run)
    outline = Outline()
    outline.feed(html)
    assert not outline.open, f"never closed: {outline.open}"
    sources = [value for name, value in outline.attributes if name in ("src", "href")]
    assert all(value.startswith(("data:", "#")) for value in sources), "the page loads something from outside"
    assert "@import" not in html
    assert "url(" not in html
    assert "report.html" in capsys.readouterr().out


def test_the_page_shows_figures_answers_curves_and_settings(finished_run):
    html = page_of(finished_run)
    outline = Outline()
    outline.feed(html)
    figures = ("0.840", "PPO against SFT", "0.0003", "PRESET=small SEED=0", "2.13.0")
    for shown in (*figures, "ppo 1", "Is it? 1", "reward model +1.25"):
        assert shown in outline.text, f"{shown} is missing"
    assert "never shown" not in outline.text, "best-of-8 answers are not part of the comparison"
    assert "<b>fact</b> question" in outline.text, "a prompt's own markup must be shown, not obeyed"
    curves = re.findall(r"base64,([^\"]+)", html)
    assert [base64.b64decode(c).decode() for c in curves] == [f"<svg><!-- {s} --></svg>" for s in ("pretrain", "ppo")]


def test_whatever_an_answer_holds_is_shown_and_not_obeyed(finished_run):
    path = finished_run / "evaluation" / "answers.jsonl"
    items = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    hostile = "<script>alert('1')</script> \" & {{ title }} {% if %}"
    items[0]["answers"]["ppo"]["text"] = items[0]["ideal"] = items[0]["prompt"][0]["content"] = hostile
    items[0]["family"] = f"family {hostile}"
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    outline = Outline()
    outline.feed(page_of(finished_run))
    assert outline.text.count(hostile) == 4, "prompt, ideal answer, answer and family, each as it was written"
    assert not outline.open, f"never closed: {outline.open}"


def test_the_report_and_the_readme_show_the_same_tables(finished_run, tmp_path):
    outline = Outline()
    outline.feed(page_of(finished_run))
    text = write_readme(finished_run, tmp_path).read_text(encoding="utf-8")
    figures = figures_of(load_results(finished_run / "results.json"))
    for table in (gold_table(figures), honesty_table(figures)):
        assert f"| {' | '.join(table.head[1:])} |" in text, "the README lacks a column"
        assert "".join(table.head) in "".join(outline.text.split("\n")), "the report lacks a column"
        assert all(None not in row for row in table.rows), "a figure of results.json has another name"


def test_each_family_shows_its_first_prompts_only(finished_run):
    html = page_of(finished_run)
    assert html.count("class=prompt") == 2 * page.PROMPTS_PER_FAMILY


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: (run / "results.json").unlink(), "results.json is missing; run `make evaluate` first"),
        (lambda run: (run / "results.json").write_text("{"), "not valid JSON"),
        (lambda run: (run / "results.json").write_text('{"preset": "small"}'), "lacks seed"),
        (lambda run: (run / "evaluation" / "answers.jsonl").write_text('{"id": 1}\n'), "line 1 is incomplete"),
    ],
)
def test_a_missing_or_damaged_file_is_named(finished_run, spoil, says):
    spoil(finished_run)
    with pytest.raises(UserError, match=re.escape(says)):
        page_of(finished_run)


def test_results_command_accepts_a_whole_run(finished_run, capsys):
    check_results(["--runs", str(finished_run.parent)])
    assert "10 prompts answered; gold total: base 0.05, base, first line 0.40" in capsys.readouterr().out


# ---- README ------------------------------------------------------------------------------------------------------

PAGE = """# Title
<!-- results:start -->
what stood here before
<!-- results:end -->
text
<!-- samples:start --><!-- samples:end -->
end
"""


def write_readme(run, tmp_path, expected="nowhere"):
    path = tmp_path / "README.md"
    path.write_text(PAGE, encoding="utf-8")
    readme.main(["--runs", str(run.parent), "--readme", str(path), "--expected", str(tmp_path / expected)])
    return path


def test_only_what_stands_between_the_markers_changes(finished_run, tmp_path):
    path = write_readme(finished_run, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Title\n<!-- results:start -->\n")
    assert "\ntext\n" in text
    assert text.endswith("<!-- samples:end -->\nend\n")
    assert "stood here before" not in text
    readme.main(["--runs", str(finished_run.parent), "--readme", str(path), "--expected", "nowhere"])
    assert path.read_text(encoding="utf-8") == text, "a second time must change nothing"


def test_one_run_is_called_by_its_seed_and_several_are_medians(finished_run, tmp_path, make_results):
    assert "seed 0;" in write_readme(finished_run, tmp_path).read_text(encoding="utf-8")
    (tmp_path / "expected").mkdir()
    for seed, ppo in enumerate((0.81, 0.95, 0.87)):
        write_json(tmp_path / "expected" / f"seed-{seed}.json", make_results(seed, ppo=ppo))
    text = write_readme(finished_run, tmp_path, "expected").read_text(encoding="utf-8")
    assert "medians of seeds 0, 1, 2" in text
    assert "| PPO | 0.87 | 0.88 |" in text
    assert "| gold total: PPO | ≥ 0.80 | 0.870 | yes |" in text


def test_the_temperature_is_that_of_the_run_and_1_where_it_was_not_recorded_yet(finished_run, tmp_path):
    assert "at temperature 0.8." in write_readme(finished_run, tmp_path).read_text(encoding="utf-8")
    path = finished_run / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    del results["temperature"]
    path.write_text(json.dumps(results), encoding="utf-8")
    assert "at temperature 1." in write_readme(finished_run, tmp_path).read_text(encoding="utf-8")


def test_a_goal_that_is_missed_by_little_is_not_rounded_to_a_goal_that_is_met(finished_run, tmp_path, make_results):
    (tmp_path / "expected").mkdir()
    write_json(tmp_path / "expected" / "seed-0.json", make_results(0, ppo=0.798))
    text = write_readme(finished_run, tmp_path, "expected").read_text(encoding="utf-8")
    assert "| gold total: PPO | ≥ 0.80 | 0.798 | **no** |" in text


@pytest.mark.parametrize(
    ("value", "shown"), [(-0.001, "0.00"), (-0.006, "−0.01"), (0.0, "0.00"), (0.172, "0.17"), (676.4, "676")]
)
def test_nothing_is_shown_as_minus_zero(value, shown):
    assert readme.three_digits(value) == shown, "a minus sign before a number that rounds to zero says there was a loss"


def test_samples_stay_in_their_cells(finished_run, tmp_path):
    text = write_readme(finished_run, tmp_path).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if "question 0" in line]
    assert len(rows) == 2, "one prompt of each family"
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows), "an answer's own | splits its cell"
    assert "Is it? 0<br>I ask. *(0.00)*" in rows[0]
    assert "sft \\*0\\* *(0.50)*" in rows[0], "an answer's own asterisks must not become emphasis"
    assert "ppo 0 … *(1.00)*" in rows[0], "an answer that was cut shows so"


def test_a_page_without_markers_is_left_alone(finished_run, tmp_path):
    path = tmp_path / "README.md"
    path.write_text("no markers", encoding="utf-8")
    with pytest.raises(UserError, match="needs the markers"):
        readme.main(["--runs", str(finished_run.parent), "--readme", str(path), "--expected", "nowhere"])
    assert path.read_text(encoding="utf-8") == "no markers"


def test_a_page_that_is_not_there(finished_run, tmp_path):
    with pytest.raises(UserError, match=r"NONE\.md cannot be read .*--readme"):
        readme.main(["--runs", str(finished_run.parent), "--readme", str(tmp_path / "NONE.md")])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot be read"), (b"\xff", "cannot be read"), (b"[1]", "expected a JSON object"), (b"{", "not valid")],
)
def test_results_that_are_none_say_how_to_make_them_again(finished_run, content, complaint):
    path = finished_run / "results.json"
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"results\.json.*{complaint}.*run `make evaluate` again"):
        load_results(path)
