"""The benchmarks run, in sizes that mean nothing, and say what they found; the arithmetic of a result is checked."""

import json
import random
import sys
import tempfile
from types import SimpleNamespace

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.errors import UserError
from minigpt.runs.files import write_json
from rlhf.report.goals import GOALS
from tests.benchmarks import __main__ as command
from tests.benchmarks import corpus, ppo, report, shakespeare, speedrun
from tests.benchmarks.made_up import made_up_text
from tests.benchmarks.peers import plain_gpt2
from tests.benchmarks.report import Part, Result, table


def result(ratio, goal, at_most=False):
    return Result("what", 2.0, "s", "theirs", 1.0, ratio, goal, at_most)


@pytest.mark.long
def test_every_part_runs_and_is_written_with_its_circumstances(tmp_path, capsys):
    command.main(["--quick", "--out", str(tmp_path)])
    sections = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert list(sections) == list(command.PARTS)
    for name, section in sections.items():
        assert section["commit"], name
        assert section["versions"]["torch"], name
        assert section["machine"]["cores"] >= 1, name
        assert section["command"].startswith("python -m tests.benchmarks --quick"), name
        assert section["results"] or section["data"], f"{name} found nothing"
        assert all(line["ratio"] > 0 for line in section["results"]), name
    assert {path.name for path in tmp_path.glob("*.svg")} == {"growth.svg", "ppo-shares.svg"}
    printed = capsys.readouterr().out
    assert all(line["what"] in printed for section in sections.values() for line in section["results"])


def test_one_part_leaves_the_others_as_they_were(tmp_path):
    (tmp_path / "results.json").write_text('{"training": {"kept": true}}', encoding="utf-8", newline="\n")
    command.main(["--quick", "--only", "sampling", "--out", str(tmp_path)])
    sections = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert set(sections) == {"training", "sampling"}
    assert sections["training"] == {"kept": True}


def test_quick_never_overwrites_the_results_that_are_kept():
    with pytest.raises(UserError, match="--quick measures nothing"):
        command.main(["--quick"])


@pytest.mark.parametrize(
    ("ratio", "goal", "at_most", "met"),
    [(5.0, 4.0, False, True), (3.9, 4.0, False, False), (0.2, 0.3, True, True), (0.31, 0.3, True, False)],
)
def test_a_goal_is_a_least_or_a_most(ratio, goal, at_most, met):
    assert result(ratio, goal, at_most).met is met
    assert ("MISSED" in table([result(ratio, goal, at_most)])[1]) is not met


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(report.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(report.os, "sched_getaffinity", lambda process: {3, 7}, raising=False)
    assert report.cores() == 2, "a container with two cores of 64 would measure 16 threads on them"
    monkeypatch.delattr(report.os, "sched_getaffinity")  # as on macOS and Windows
    assert report.cores() == 64


def test_a_result_without_a_goal_is_neither_met_nor_missed():
    assert result(1.0, None).met is None
    assert "met" not in table([result(1.0, None)])[1].lower().replace("missed", "met")


def test_a_text_that_is_missing_is_said_before_anything_is_measured(tmp_path):
    with pytest.raises(UserError, match="--text"):
        command.main(["--only", "tinyshakespeare", "--text", str(tmp_path / "none.txt"), "--out", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_without_its_text_the_other_parts_are_measured_and_it_is_said(tmp_path, monkeypatch, capsys):
    missing = tmp_path / "none.txt"
    monkeypatch.setattr(shakespeare, "DEFAULT_TEXT", missing)
    run = []
    for name in command.PARTS:
        monkeypatch.setitem(command.PARTS, name, lambda options, name=name: run.append(name) or Part([]))
    monkeypatch.setattr(command.drawings, "draw_all", lambda sections, folder: None)
    command.main(["--out", str(tmp_path), "--text", str(missing)])
    assert run == [name for name in command.PARTS if name != "tinyshakespeare"], "a fresh clone has no text"
    assert f"tinyshakespeare is left out: {missing} is missing" in capsys.readouterr().out


@pytest.mark.parametrize("named", [["--text", "other.txt"], ["--only", "tinyshakespeare"]])
def test_a_text_or_part_that_was_named_is_not_left_out_silently(named, tmp_path, monkeypatch):
    monkeypatch.setattr(shakespeare, "DEFAULT_TEXT", tmp_path / "none.txt")
    default = [] if "--text" in named else ["--text", str(tmp_path / "none.txt")]
    with pytest.raises(UserError, match="is missing"):
        command.main([*named, *default, "--out", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_the_validation_split_is_the_end_of_the_text_and_the_kinds_are_those_that_occur():
    characters = shakespeare.Characters("abcdefghij" * 10)
    assert characters.vocab_size == 10
    assert (len(characters.training), len(characters.validation)) == (90, 10)
    assert characters.validation.tolist() == list(range(10))


def test_shares_of_time_are_those_of_all_iterations_together():
    found = [
        {"seconds": 1.0, "generate": 0.5, "score": 0.1, "train": 0.3},
        {"seconds": 3.0, "generate": 0.5, "score": 0.7, "train": 1.7},
    ]
    shares = ppo.shares(found)
    assert shares == pytest.approx({"generate": 0.25, "score": 0.2, "train": 0.5, "other": 0.05})


def test_made_up_text_is_as_long_as_asked_and_repeats_itself_as_languages_do():
    texts = made_up_text(50_000, kinds=1000)
    words = " ".join(texts).replace(".\n", " ").lower().split()
    assert 50_000 <= sum(map(len, texts)) < 60_000
    counts = sorted((words.count(word) for word in random.Random(0).sample(sorted(set(words)), 50)), reverse=True)
    assert counts[0] > 10 * counts[25], "by Zipf's law few words are frequent and most are rare"
    assert texts == made_up_text(50_000, kinds=1000)


def test_trls_recorded_speed_is_scaled_by_the_rates_of_the_product(monkeypatch):
    monkeypatch.setattr(ppo, "matrix_product_rate", lambda device, dtype: ppo.RECORDED_PRODUCT / 2)
    assert ppo.recorded_trl() == pytest.approx(ppo.RECORDED_EPISODES / 2)


def test_a_clone_without_the_old_commit_has_no_before(monkeypatch):
    monkeypatch.setattr(ppo, "BEFORE", "0" * 40)
    with ppo.code_before() as folder:
        assert folder is None


@pytest.mark.long
def test_the_code_before_still_runs_and_gives_the_same_figures():
    with ppo.code_before() as folder:
        if folder is None:
            pytest.skip(f"commit {ppo.BEFORE} is not in this clone")
        found = ppo.iterations_of(folder, ppo.QUICK)
    assert len(found) == ppo.QUICK.iterations - ppo.QUICK.warm_up
    assert all(set(iteration) == {"seconds", *ppo.SHARES} for iteration in found)


@pytest.mark.parametrize(
    ("rounds", "met", "verdict"),
    [
        ((2.6, 2.7, 3.0), True, "met"),
        ((2.1, 2.2, 2.4), False, "MISSED"),
        ((2.4, 2.6, 2.7), None, "undecided: the rounds disagree"),
    ],
)
def test_rounds_on_both_sides_of_the_goal_decide_nothing(rounds, met, verdict):
    line = Result("what", 2.0, "s", "theirs", 1.0, sorted(rounds)[1], 2.5, rounds=rounds)
    assert (line.met, line.verdict) == (met, verdict)
    assert verdict in table([line])[1]


@pytest.mark.parametrize("trailing", ["", "\n\n"])
def test_another_process_says_its_result_in_the_last_line(trailing, tmp_path):
    code = f"import json; print('loading'); print(json.dumps({{'iterations': [{{'seconds': 2.0}}]}}), end={trailing!r})"
    assert ppo.run_elsewhere([sys.executable, "-c", code], tmp_path, "mend it") == [{"seconds": 2.0}]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ImportError('no module named trl')", "ImportError: no module named trl"),
        ("pass", "no output"),
        ("print('done')", "done"),
        ("print('{}')", "{}"),
    ],
)
def test_another_process_that_fails_or_says_nothing_is_one_sentence(code, words, tmp_path):
    with pytest.raises(UserError) as error:
        ppo.run_elsewhere([sys.executable, "-c", code], tmp_path, "mend it")
    assert str(error.value) == f"{sys.executable} failed: {words}; mend it"


# ---- The yardstick is a GPT-2, trained as it should be ----


def test_the_plain_gpt2_computes_what_ours_does_with_the_same_weights():
    config = GPTConfig(vocab_size=32, context=8, layers=2, heads=2, channels=8, position="learned", norm="layernorm")
    ours, plain = GPT(config), plain_gpt2.PlainGPT2(32, 8, 2, 2, 8)
    renamed = {
        "tokens.": "token_embedding.",
        "places.": "positions.",
        "norm1.": "attention_norm.",
        "norm2.": "mlp_norm.",
        "out.": "attention.projection.",
        "wide.": "mlp.up.",
        "narrow.": "mlp.projection.",
        "qkv.": "attention.qkv.",
    }
    weights = {}
    for name, weight in plain.state_dict().items():
        for theirs, mine in renamed.items():
            name = name.replace(theirs, mine)
        weights["final_norm.weight" if name == "norm.weight" else name] = weight
    ours.load_state_dict(weights)
    ids = torch.randint(32, (3, 8), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain(ids), ours(ids), rtol=1e-5, atol=1e-6)


def test_its_learning_rate_rises_to_the_peak_and_falls_to_a_tenth():
    rates = [plain_gpt2.learning_rate(step) for step in range(plain_gpt2.STEPS)]
    assert rates[0] == 0
    assert max(rates) == rates[plain_gpt2.WARM_UP] == plain_gpt2.LEARNING_RATE
    assert rates[-1] == pytest.approx(plain_gpt2.FINAL_LEARNING_RATE, rel=1e-3)


def test_the_corpus_benchmark_says_what_it_does_and_cleans_up_after_a_failure(tmp_path, monkeypatch, capsys):
    corpus.main(["--help"])
    assert "python -m tests.benchmarks.corpus 200" in capsys.readouterr().out
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(UserError, match=r"pretraining on 0\.01 MB failed; its reason is above"):
        corpus.pretrain(0.01, kinds=50, steps=0)
    assert not list(tmp_path.iterdir()), "a gigabyte would be left behind"


# ---- The speedrun ----


def speedrun_results(seed, total, make_results, **gold):
    results = make_results(seed, **gold)
    return {"results": {**results, "seconds": {**results["seconds"], "total": total}}, "rates": [100e9, 140e9]}


def test_the_seeds_follow_from_the_commit_alone_and_are_none_that_people_tune_on():
    seeds = speedrun.drawn_seeds("0123456789ab")
    assert seeds == speedrun.drawn_seeds("0123456789ab")
    assert len(set(seeds)) == speedrun.SEEDS
    assert min(seeds) >= 1000
    assert not set(seeds) & set(speedrun.drawn_seeds("0123456789ac")), "another commit must give other seeds"


def test_the_clock_is_seconds_times_the_mean_rate_in_tflop(make_results):
    assert speedrun.cost(500, [100e9, 140e9]) == pytest.approx(60.0)
    runs = [speedrun_results(seed, total, make_results) for seed, total in ((1, 100), (2, 900), (3, 200))]
    entry = speedrun.entry_of("mine", "0123456789ab", runs)
    assert (entry["tflop"], entry["seconds"], entry["gflops"]) == (24.0, 200, 120), (
        "the median run counts, not the mean"
    )


def test_an_entry_that_misses_a_goal_says_so_and_stands_last(make_results):
    good = speedrun.entry_of("good", "a" * 12, [speedrun_results(1, 900, make_results)])
    fast = speedrun.entry_of("fast", "b" * 12, [speedrun_results(1, 100, make_results, ppo=0.5)])
    assert "gold total: PPO" in fast["missed"]
    clock = [goal.name for goal in GOALS if goal.of_the_machine]
    assert clock == ["seconds of the whole chain", "pretraining's share of them", "peak memory, MB (2 GiB)"]
    slow = speedrun.entry_of("slow", "c" * 12, [speedrun_results(1, 9e9, make_results)])
    assert not set(slow["missed"]) & set(clock), "the clock is no goal of the speedrun"
    lines = speedrun.table([fast, good]).splitlines()
    assert "| good |" in lines[2]
    assert "misses: gold total: PPO" in lines[3]


def test_of_two_entries_that_miss_goals_the_one_that_misses_fewer_stands_above(make_results):
    one = speedrun.entry_of("one", "a" * 12, [speedrun_results(1, 900, make_results)])
    many = speedrun.entry_of("many", "b" * 12, [speedrun_results(1, 100, make_results, ppo=0.5)])
    one["missed"] = many["missed"][:1]
    assert len(many["missed"]) > 1
    assert "| one |" in speedrun.table([many, one]).splitlines()[2], "faster by missing more goals is another race"


@pytest.mark.parametrize("seeds", [[0, 1, 2, 3, 4], speedrun.drawn_seeds("0123456789ab")[:3]])
def test_seeds_that_somebody_chose_or_left_out_are_refused(seeds):
    entry = {"name": "mine", "commit": "0123456789ab", "seeds": seeds}
    with pytest.raises(UserError, match="its seeds are not those of commit 0123456"):
        speedrun.check_entries([entry])


def test_the_page_of_the_speedrun_shows_the_entries():
    entries = json.loads(speedrun.ENTRIES.read_text(encoding="utf-8"))
    speedrun.check_entries(entries)
    page = speedrun.PAGE.read_text(encoding="utf-8")
    assert speedrun.table(entries) in page, "run `python -m tests.benchmarks.speedrun --verify`"


def test_a_seed_that_was_interrupted_begins_anew_and_one_that_is_complete_does_not_run(
    monkeypatch, tmp_path, make_results
):
    started = []

    def make(command, cwd):
        folder = tmp_path / "seed-7"
        started.append(folder.exists())
        write_json(folder / "small" / "results.json", make_results(7))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(speedrun.subprocess, "run", make)
    monkeypatch.setattr(speedrun, "matrix_product_rate", lambda device, dtype: 100e9)
    write_json(tmp_path / "seed-7" / "small" / "pretrain" / "half.json", {})
    found = speedrun.run_seed(7, tmp_path)
    assert started == [False], "stages of before would not be in the seconds"
    assert found == {"results": make_results(7), "rates": [100e9, 100e9]}
    assert speedrun.run_seed(7, tmp_path) == found
    assert len(started) == 1, "a seed that is complete was run again"


def test_a_chain_that_fails_is_no_entry(monkeypatch, tmp_path):
    monkeypatch.setattr(speedrun.subprocess, "run", lambda command, cwd: SimpleNamespace(returncode=2))
    monkeypatch.setattr(speedrun, "matrix_product_rate", lambda device, dtype: 100e9)
    with pytest.raises(UserError, match="the chain of seed 7 failed"):
        speedrun.run_seed(7, tmp_path)
    assert not (tmp_path / "seed-7" / "speedrun.json").exists()


def test_no_seeds_are_drawn_from_code_that_is_not_committed(monkeypatch):
    monkeypatch.setattr(speedrun, "commit", lambda: "0123456789ab+")
    with pytest.raises(UserError, match="commit it first"):
        speedrun.clean_commit()
