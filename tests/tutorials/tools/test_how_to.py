"""tutorials/tools/README.md tells authors what the tools demand: nothing is missing in it, no limit is another one."""

import re

from tutorials.tools import anatomy, markdown
from tutorials.tools.fences import KINDS, Fence
from tutorials.tools.page import TUTORIALS, Page

TEXT = (TUTORIALS / "tools" / "README.md").read_text(encoding="utf-8")


def test_it_names_every_kind_of_block_and_no_other():
    rows = [line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `")]
    named = [Fence(info, "", 1, 2).kind for row in rows for info in re.findall(r"`([^`]+)`", row)]
    assert sorted(named) == sorted(KINDS)


def test_it_names_the_sections_in_their_order():
    assert " · ".join(anatomy.SECTIONS) in TEXT.replace("\n", " ")
    for name in anatomy.MAY_LACK["setup"]:
        assert f"*{name}*" in " ".join(TEXT.split())


def test_its_limits_are_those_of_the_linter():
    low, high = anatomy.WORDS["training"]
    assert anatomy.WORDS["concept"] == (low, high)
    assert (
        f"{low:,} to {high:,} words of prose (setup from {anatomy.WORDS['setup'][0]}), at most {anatomy.MOST_BLOCKS} "
        f"blocks of code of at most {anatomy.MOST_LINES} lines, {anatomy.MOST_FIGURES} figures, "
        f"{anatomy.MOST_SECONDS} seconds of one processor core"
    ) in " ".join(TEXT.split())
    for number, most in anatomy.MOST_WORDS.items():
        assert re.search(rf"Chapter {number} [^.]* {most:,} words", " ".join(TEXT.split()))


def test_its_own_mathematics_and_links_would_arrive():
    page = Page(TUTORIALS / "tools" / "README.md", TEXT)
    assert [*markdown.mathematics(page), *markdown.links(page), *markdown.comments(page)] == []
