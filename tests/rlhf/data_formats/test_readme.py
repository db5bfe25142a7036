"""Every example in the table of the documentation is read, and in the format that the table says."""

import json
import re
from pathlib import Path

import pytest

import rlhf.data_formats
from rlhf.bad_records import BadRecords
from rlhf.data_formats.formats import FORMATS, format_of, read_demonstrations, read_rankings

README = Path(rlhf.data_formats.__file__).with_name("README.md")
SECTIONS = re.split(r"^## ", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
TALK = '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a"}]'
ELIDED = {
    '"chosen_messages": [...]': f'"chosen_messages": {TALK}',
    '"rejected_messages": [...]': f'"rejected_messages": {TALK}',
    '"messages": [...]': f'"messages": {TALK}',
    '"conversation_a": [...]': f'"conversation_a": {TALK}',
    '"conversation_b": [...]': f'"conversation_b": {TALK}',
    ", ...]": ', {"response": "b", "overall_score": 6}]',
}


def examples(section: str) -> list[tuple[str, str]]:
    (text,) = [each for each in SECTIONS if each.startswith(section)]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and "`{" in line]
    return [(row[0].strip("| "), row[1].strip("`")) for row in rows]


@pytest.mark.parametrize(
    ("reader", "name", "example"),
    [(read_demonstrations, *each) for each in examples("Demonstrations")]
    + [(read_rankings, *each) for each in examples("Rankings")],
)
def test_every_example_is_read(tmp_path, reader, name, example):
    for short, whole in ELIDED.items():
        example = example.replace(short, whole)
    path = tmp_path / "mine.jsonl"
    path.write_text(example, encoding="utf-8")
    assert len(reader(path, BadRecords())) == 1, name


def test_every_format_has_an_example():
    shown = set()
    for section in ("Demonstrations", "Rankings"):
        for _, example in examples(section):
            for short, whole in ELIDED.items():
                example = example.replace(short, whole)
            shown.add(format_of(json.loads(example)).build)
    spoken_of = {"alpaca_preference"}  # beside another, without an example
    missing = {each.build.__name__ for each in FORMATS if each.build not in shown} - spoken_of
    assert not missing, f"rlhf/data_formats/README.md does not show {missing}"
