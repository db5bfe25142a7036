"""Nothing is lost: the server is killed while people label, and every label that it acknowledged is there, once."""

import json

import pytest

from rlhf.web.store.rankings import dense
from tests.rlhf.web.storm import ITEMS, storm


def check(people, store):
    assert [person.failure for person in people] == [""] * len(people)
    names = {row["name"]: row["id"] for row in store.rows("SELECT id, name FROM people")}
    assert sorted(names) == sorted(person.name_ for person in people)
    for person in people:
        rows = store.rows("SELECT item_id, ranks FROM rankings WHERE person_id = ?", names[person.name_])
        found = {row["item_id"]: tuple(json.loads(row["ranks"])) for row in rows}
        told = {item: dense(ranks) for item, ranks in person.kept.items()}
        assert found == told, (
            f"{person.name_}: missing {told.keys() - found.keys()}, too many {found.keys() - told.keys()}"
        )
        assert len(rows) == len(found), "a label is there twice"
    assert sum(len(person.kept) for person in people) > 20, "hardly a label was sent: this test looks at nothing"
    assert any(len(person.kept) < ITEMS for person in people), "they had finished before the server was killed"


def test_two_kills_lose_and_double_no_acknowledged_label(tmp_path):
    check(*storm(tmp_path / "runs", kills=2))


@pytest.mark.web
def test_twenty_kills_lose_and_double_no_acknowledged_label(tmp_path):
    people, store = storm(tmp_path / "runs", kills=20)
    check(people, store)
    assert sum(person.repeated for person in people) > 20, "nobody was ever interrupted: this test looks at nothing"
    print(f"{sum(len(p.kept) for p in people)} labels kept, {sum(p.repeated for p in people)} requests repeated")
