"""The summary on the teacher's page: labels of each person, agreement, and the items on which people differ most."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf.web.labels.agreement import PairCounts, compare, krippendorff_alpha, order, pair_units, rank_units
from rlhf.web.store import demonstrations, items, people, rankings
from rlhf.web.store.database import Database
from rlhf.web.store.items import Item
from rlhf.web.store.rankings import Label

NOTHING = PairCounts()
MOST_DIFFERENCES = 10
MOST_PAIRS_OF_PEOPLE = 60  # rows of the table; a class of 30 has 435 pairs


@dataclass
class PersonLabels:
    """The labels of one person, counted. known_right of known pairs were put in the right order. gold, scores: the
    person's pairs against the gold labeler's and the reward model's order; others: against everybody else's."""

    id: int
    name: str
    ranked: int = 0
    skipped: int = 0
    all_bad: int = 0
    demonstrations: int = 0
    known: int = 0
    known_right: int = 0
    seconds: list[float] = field(default_factory=list)
    gold: PairCounts = NOTHING
    scores: PairCounts = NOTHING
    others: PairCounts = NOTHING

    @property
    def median_seconds(self) -> float:
        """NaN before the first ranking."""
        ordered = sorted(self.seconds)
        return ordered[len(ordered) // 2] if ordered else math.nan


@dataclass(frozen=True)
class Difference:
    """An item on which people differ: its number, agreement, and each person's ranks."""

    item: Item
    counts: PairCounts
    ranks: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Summary:
    """The teacher's page. pairs: the people who have ranked the same items, and how far they agree."""

    people: list[PersonLabels]
    pairs: list[tuple[str, str, PairCounts]]
    together: PairCounts
    alpha_pairs: float
    alpha_ranks: float
    gold: PairCounts
    scores: PairCounts
    differences: list[Difference]
    items: int
    complete: int
    labels: int


Ranked = dict[int, dict[int, tuple[int, ...]]]  # item -> person -> ranks


def ranked_items(labels: Sequence[Label], known: Callable[[int], bool]) -> Ranked:
    """The ranks of every item but known pairs, which all get right or wrong for reasons of their own. "All are bad" is
    a tie of all."""
    found: Ranked = defaultdict(dict)
    for label in labels:
        if label.ranks is not None and not known(label.item_id):
            found[label.item_id][label.person_id] = label.ranks
    return found


def summarise(store: Database, overlap: int) -> Summary:
    """The summary of all that was typed so far."""
    every_item = items.every(store)
    labels = rankings.every(store)
    by_id = {person.id: PersonLabels(person.id, person.name) for person in people.everybody(store)}
    for written in demonstrations.written(store):
        by_id[written.person_id].demonstrations += 1
    for label in labels:
        count_label(by_id[label.person_id], label, every_item[label.item_id])
    ranked = ranked_items(labels, lambda number: every_item[number].known is not None)
    of_two: dict[tuple[int, int], PairCounts] = defaultdict(PairCounts)
    differences = []
    for number, by_person in ranked.items():
        here = NOTHING
        for first, second in itertools.combinations(sorted(by_person), 2):
            counts = compare(by_person[first], by_person[second])
            of_two[first, second] += counts
            by_id[first].others += counts
            by_id[second].others += counts
            here += counts
        if here.pairs:
            named = tuple((by_id[person].name, ranks) for person, ranks in by_person.items())
            differences.append(Difference(every_item[number], here, named))
    differences.sort(key=lambda difference: difference.counts.agreement_with_ties)
    several = [list(by_person.values()) for by_person in ranked.values() if len(by_person) > 1]
    shown = sorted(of_two.items(), key=lambda entry: -entry[1].pairs)[:MOST_PAIRS_OF_PEOPLE]
    return Summary(
        people=list(by_id.values()),
        pairs=[(by_id[first].name, by_id[second].name, counts) for (first, second), counts in shown],
        together=sum(of_two.values(), NOTHING),
        alpha_pairs=krippendorff_alpha(pair_units(several)),
        alpha_ranks=krippendorff_alpha(rank_units(several), "ordinal"),
        gold=sum((person.gold for person in by_id.values()), NOTHING),
        scores=sum((person.scores for person in by_id.values()), NOTHING),
        differences=[d for d in differences[:MOST_DIFFERENCES] if d.counts.agreement_with_ties < 1],
        items=sum(item.known is None for item in every_item.values()),
        complete=sum(len(by_person) >= overlap for by_person in ranked.values()),
        labels=sum(map(len, ranked.values())),
    )


def count_label(person: PersonLabels, label: Label, item: Item) -> None:
    """Adds a label to what its person did."""
    if label.outcome == "skipped" or label.ranks is None:
        person.skipped += 1
        return
    person.ranked += 1
    person.all_bad += label.outcome == "all_bad"
    person.seconds.append(label.seconds)
    if item.known is not None:
        person.known += 1
        person.known_right += order(label.ranks, item.known, 1 - item.known) == -1
        return
    if item.gold is not None:
        person.gold += compare(label.ranks, [-total for total in item.gold])  # ranks: the smaller is the better
    if item.scores is not None:
        person.scores += compare(label.ranks, [-score for score in item.scores])


def own_agreement(store: Database, person_id: int) -> dict[str, Any] | None:
    """The agreement of a person with the others, for the person who has finished; None if nobody ranked the same."""
    known = {row["id"] for row in store.rows("SELECT id FROM items WHERE known IS NOT NULL")}
    counts = NOTHING
    others = set()
    for by_person in ranked_items(rankings.of_the_same_items(store, person_id), known.__contains__).values():
        for person, ranks in by_person.items() if person_id in by_person else ():
            if person != person_id:
                counts += compare(by_person[person_id], ranks)
                others.add(person)
    if math.isnan(counts.agreement):
        return None
    return {"agreement": counts.agreement, "pairs": counts.same + counts.opposite, "people": len(others)}
