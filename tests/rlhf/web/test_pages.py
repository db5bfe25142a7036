"""The pages on which people type, and the teacher's: what is shown is text, and what is deleted is gone."""

import itertools
import json
import re

import pytest
import torch

from rlhf.bad_records import BadRecords
from rlhf.data_formats.formats import read_demonstrations, read_rankings
from rlhf.stage2_reward.loss import kwise_loss
from rlhf.web.config import WebConfig
from rlhf.web.labels.export import forget, ranking_lines, write_rankings
from rlhf.web.labels.summary import summarise
from rlhf.web.stages import stages
from rlhf.web.store import demonstrations, people, verdicts
from tests.rlhf.web.conftest import JOIN, TEACHER, label_of, new_key

MARKUP = '<script>alert(1)</script><img src=x onerror="alert(2)">{{ 7 * 7 }}'


@pytest.fixture
def app(make_app):
    return make_app(classroom=True, join_code=JOIN, teacher_code=TEACHER, requests_per_second=1e6, known_share=0.0)


@pytest.fixture
def teacher(app, browser):
    found = browser(app)
    found.join("Grace", TEACHER)
    return found


def rank(person, count, **changes):
    item = person.tell("/label/next", {"more": True}).json()["item"]
    for _ in range(count):
        item = person.tell("/label", {**label_of(item, **changes), "more": True}).json()["item"]


def write(person, prompt="What is red?", response="A cherry.", key=None):
    return person.submit("/write", page="/write", prompt=prompt, response=response, key=key or new_key())


# ---- Markup ------------------------------------------------------------------------------------------------------


def test_what_a_person_or_a_model_wrote_is_never_read_as_html(app, people_in, teacher):
    (ada, bob) = people_in(app, MARKUP[:24], "Bob")
    rank(ada, 2)
    rank(bob, 2, ranks=[1, 1, 1, 1])  # a tie of all differs from any order
    write(ada, MARKUP, MARKUP)
    pages = [ada.get("/write").text, teacher.get("/teacher").text, ada.get("/me").text]
    for page in pages:
        assert "<script>" not in page
        assert "<img" not in page
        assert "<b>prompt" not in page
        assert "<i>answer" not in page
    assert "&lt;script&gt;" in pages[0]
    assert "{{ 7 * 7 }}" in pages[0]
    assert "&lt;i&gt;answer" in pages[1], "the items where people differ are not shown: this test looks at nothing"


def test_what_is_typed_comes_back_as_text_when_it_is_refused(app, people_in):
    (ada,) = people_in(app, "Ada")
    page = write(ada, MARKUP, "x" * 501)
    assert page.status_code == 400
    assert "501 characters" in page.text
    assert "<script>alert" not in page.text
    assert "x" * 501 in page.text, "what was typed is lost"


def test_json_with_markup_is_not_sent_as_html(app, people_in):
    (ada,) = people_in(app, "Ada")
    answer = ada.tell("/label/next", {})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


# ---- Writing -----------------------------------------------------------------------------------------------------


def test_a_demonstration_is_kept_once_and_can_be_removed_by_its_writer_only(app, people_in):
    ada, bob = people_in(app, "Ada", "Bob")
    key = new_key()
    assert [write(ada, key=key).status_code for _ in range(2)] == [303, 303]
    (kept,) = demonstrations.written(app.state.store)
    assert (kept.prompt, kept.response) == ("What is red?", "A cherry.")
    bob.submit("/write/remove", number=kept.id)
    assert len(demonstrations.written(app.state.store)) == 1
    ada.submit("/write/remove", number=kept.id)
    assert demonstrations.written(app.state.store) == []


@pytest.mark.parametrize(("prompt", "response"), [("", "x"), ("x", " \n"), ("x" * 301, "x"), ("x", "x" * 501)])
def test_a_demonstration_that_is_empty_or_too_long_is_refused(app, people_in, prompt, response):
    (ada,) = people_in(app, "Ada")
    assert write(ada, prompt, response).status_code == 400
    assert demonstrations.written(app.state.store) == []


# ---- Files -------------------------------------------------------------------------------------------------------


def test_the_files_are_read_by_stages_1_and_2(app, people_in, teacher, tmp_path):
    ada, bob = people_in(app, "Ada", "Bob")
    rank(ada, 3)
    rank(bob, 2, ranks=[1, 1, 2, 2])
    rank(bob, 1, outcome="all_bad")
    rank(bob, 1, outcome="skipped")
    write(ada, "What is\n“red”?", "A cherry.\u2028Or so.")
    for name in ("rankings.jsonl", "demonstrations.jsonl"):
        answer = teacher.get(f"/teacher/{name}")
        assert f'filename="{name}"' in answer.headers["content-disposition"]
        (tmp_path / name).write_bytes(answer.content)
    read = read_rankings(tmp_path / "rankings.jsonl", BadRecords())
    assert len(read) == 5, "what was skipped, or all bad, orders no pair"
    assert all(ranking.sampled and ranking.gold is not None for ranking in read)
    lines = [json.loads(line) for line in (tmp_path / "rankings.jsonl").read_text().splitlines()]
    ids = {person.name: f"p{person.id}" for person in people.everybody(app.state.store)}
    assert sorted(line["annotator"] for line in lines) == sorted([ids["Ada"]] * 3 + [ids["Bob"]] * 2)
    assert "Ada" not in json.dumps(lines)
    (written,) = read_demonstrations(tmp_path / "demonstrations.jsonl", BadRecords())
    assert (written.turns[0].text, written.response) == ("What is\n“red”?", "A cherry.\u2028Or so.")


def test_three_peoples_rankings_of_one_pair_enter_the_loss_as_they_are():
    """Two prefer A, one prefers B: as three prompts of one batch, the loss is least at σ(r_A − r_B) = 2/3."""
    margin = torch.tensor(2.0).log().requires_grad_()  # σ(log 2) = 2/3
    scores = torch.stack([margin, torch.zeros(())]).repeat(3)
    kwise_loss(scores, torch.tensor([0, 1, 0, 1, 1, 0]), torch.tensor([0, 0, 1, 1, 2, 2])).backward()
    torch.testing.assert_close(margin.grad, torch.tensor(0.0), atol=1e-6, rtol=0.0)


def test_rankings_of_one_prompt_stand_together(app, people_in):
    for person in people_in(app, "Ada", "Bob", ordinary=20):
        rank(person, 20)
    prompts = [line["prompt"] for line in ranking_lines(app.state.store)]
    assert len(prompts) == 40
    changes = sum(a != b for a, b in itertools.pairwise(prompts))
    assert changes == 19, "a prompt that is held back for validation would also be learned from"
    assert prompts != sorted(prompts)


def test_known_pairs_train_nobody(make_app, people_in):
    app = make_app(classroom=True, join_code=JOIN, known_share=0.5, requests_per_second=1e6)
    (ada,) = people_in(app, "Ada", ordinary=4, known=4)
    rank(ada, 5)
    assert summarise(app.state.store, 2).people[0].known > 0
    assert all(len(line["responses"]) == 4 for line in ranking_lines(app.state.store))


# ---- The teacher's figures ---------------------------------------------------------------------------------------


def test_agreement_is_of_people_gold_and_reward_model(app, people_in):
    ada, bob = people_in(app, "Ada", "Bob", ordinary=2)
    rank(ada, 2)  # in gold order; the scores of these items are the other way round
    rank(bob, 2)
    summary = summarise(app.state.store, 2)
    assert (summary.together.same, summary.together.opposite) == (12, 0)
    assert summary.gold.agreement == 1.0
    assert summary.scores.agreement == 0.0
    assert summary.alpha_pairs == summary.alpha_ranks == 1.0
    assert (summary.items, summary.complete, summary.labels) == (2, 2, 4)
    assert summary.differences == []


def test_the_items_on_which_people_differ_most_come_first(app, people_in):
    ada, bob = people_in(app, "Ada", "Bob", ordinary=3)
    rank(ada, 3)
    state = bob.tell("/label/next", {"more": True}).json()
    shown = state["item"]["answers"]
    worst_first = [sorted(a["text"] for a in shown).index(a["text"]) + 1 for a in shown]
    first = state["item"]["id"]
    state = bob.tell("/label", {**label_of(state["item"], ranks=worst_first), "more": True}).json()
    bob.tell("/label", {**label_of(state["item"], ranks=[1, 1, 1, 1]), "more": True})
    rank(bob, 1)
    found = summarise(app.state.store, 2).differences
    assert [round(d.counts.agreement_with_ties, 2) for d in found] == [0.0, 0.5]
    assert found[0].item.id == first


# ---- Deleting ----------------------------------------------------------------------------------------------------


def test_deleting_a_person_deletes_all_that_the_person_typed(app, people_in):
    ada, bob = people_in(app, "Ada", "Bob")
    store, folder = app.state.store, app.state.config.class_dir
    for person in (ada, bob):
        rank(person, 2)
        write(person, response="typed by somebody, word for word")
    number = people.everybody(store)[0].id
    verdicts.add(store, number, new_key(), prompt="p", stage_a="sft", stage_b="ppo", winner="a")
    write_rankings(store, folder)
    assert ada.submit("/me/delete", page="/me").status_code == 303
    for table in ("assignments", "rankings", "demonstrations", "verdicts", "receipts"):
        assert store.rows(f"SELECT * FROM {table} WHERE person_id = ?", number) == [], table
    assert [person.name for person in people.everybody(store)] == ["Bob"]
    assert len(demonstrations.written(store)) == 1
    assert f'"p{number}"' not in (folder / "rankings.jsonl").read_text()
    assert ada.get("/label", follow_redirects=False).headers["location"] == "/join"
    for path in folder.glob("classroom.sqlite*"):
        assert b"Ada" not in path.read_bytes(), f"the name is still in {path.name}"


def test_a_number_is_never_given_twice_so_that_an_old_cookie_is_nobody(app, people_in, browser):
    (ada,) = people_in(app, "Ada")
    old = ada.cookies["classroom"]
    ada.submit("/me/delete", page="/me")
    people_in(app, "Eve")
    answer = browser(app).get("/me", headers={"Cookie": f"classroom={old}"}, follow_redirects=False)
    assert answer.status_code == 303


def test_the_teacher_deletes_a_person_and_a_student_cannot(app, people_in, teacher):
    ada, bob = people_in(app, "Ada", "Bob")
    number = next(person.id for person in people.everybody(app.state.store) if person.name == "Bob")
    assert ada.submit("/teacher/delete", person=number).status_code == 403
    assert teacher.submit("/teacher/delete", person="1 OR 1=1").status_code == 400
    assert teacher.submit("/teacher/delete", person=number).status_code == 303
    assert [person.name for person in people.everybody(app.state.store)] == ["Grace", "Ada"]
    assert bob.get("/label", headers={"Accept": "application/json"}).status_code == 401


def test_forgetting_writes_no_file_where_there_was_none(app):
    forget(app.state.store, app.state.config.class_dir)
    assert not (app.state.config.class_dir / "rankings.jsonl").exists()


# ---- Stages and verdicts -----------------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path):
    runs = tmp_path / "trained"
    for folder in ("tiny/pretrain", "tiny/sft", "tiny/reward_model", "tiny-class/tiny/ppo", "small/ppo", "tiny/mine"):
        (runs / folder).mkdir(parents=True)
        (runs / folder / "checkpoint.pt").touch()
        (runs / folder).parent.joinpath("tokenizer.json").touch()
    return runs


def test_stages_are_the_trained_ones_the_class_and_other_runs(trained):
    found = stages(trained, "tiny")
    assert list(found) == ["base", "sft", "class", "mine", "small/ppo"]
    assert found["base"].plain
    assert found["class"].run_dir == trained / "tiny-class" / "tiny"
    assert found["sft"].reward_model_dir == trained / "tiny" / "reward_model"
    assert found["small/ppo"].reward_model_dir is None


@pytest.mark.parametrize("name", ["../tiny/sft", "/etc", "sft/../sft", "sft\x00", "", "small/../tiny/sft", "SFT"])
def test_a_stage_is_a_name_and_no_path(trained, name):
    assert stages(trained, "tiny").get(name) is None


def test_verdicts_count_a_pair_of_stages_as_one_however_it_was_shown(app, people_in):
    people_in(app, "Ada")
    store, key = app.state.store, new_key()
    for _ in range(2):
        verdicts.add(store, 1, key, prompt="p", stage_a="sft", stage_b="ppo", winner="b")
    verdicts.add(store, 1, new_key(), prompt="p", stage_a="ppo", stage_b="sft", winner="a")
    verdicts.add(store, 1, new_key(), prompt="p", stage_a="ppo", stage_b="sft", winner="tie")
    assert verdicts.counts(store) == [verdicts.Count("ppo", "sft", wins=2, losses=0, ties=1)]


# ---- The store ---------------------------------------------------------------------------------------------------


def test_what_people_typed_is_private_to_the_account_of_the_server(app):
    folder = app.state.config.class_dir
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "secrets.json").stat().st_mode & 0o077 == 0


def test_a_commit_has_reached_the_disk(app):
    connection = app.state.store.connection
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1


def test_settings_have_help_for_every_flag(capsys):
    from rlhf.web.app import main

    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for name in WebConfig.__dataclass_fields__:
        assert re.search(f"--{name.replace('_', '-')}\\b", shown), name
