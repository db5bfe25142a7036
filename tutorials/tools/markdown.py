"""Rules of the linter about Markdown: mathematics that a code host would break, links, pictures, comments, shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import minigpt
from tutorials.tools.anatomy import Finding
from tutorials.tools.numbers import INLINE
from tutorials.tools.page import CODE_SPAN, COMMENT, Page, blank

# ---- Mathematics -------------------------------------------------------------------------------------------------
# A code host first reads Markdown and then mathematics, so $[a+b](c+d)$ is a link and $a <b > c$ a tag. It leaves alone
# what stands in $`…`$ and in ```math fences.

TICKED = re.compile(r"\$`(?P<body>[^`\n]+)`\$")
PLAIN = re.compile(r"\$(?P<body>[^$\n]+)\$")
ESCAPED_DOLLAR = re.compile(r"\\\$")
DANGEROUS = re.compile(r"[<>\[\]{}*|]|\\[^A-Za-z\s]")
REFUSED = ("\\operatorname*", "\\newcommand", "\\def", "\\label", "\\eqref", "\\require")


def mathematics(page: Page) -> Iterator[Finding]:
    """Inline and display mathematics that would not arrive as it was written."""
    for fence in page.fences:
        if fence.kind == "math":
            yield from _refused(fence.line, fence.body)
    text = ESCAPED_DOLLAR.sub("  ", page.prose)
    for match in TICKED.finditer(text):
        yield from _around(text, match, page.line_of(match.start()))
        yield from _refused(page.line_of(match.start()), match["body"])
    text = blank(CODE_SPAN, blank(TICKED, text))
    for number, line in enumerate(text.split("\n"), start=1):
        if "$$" in line:
            yield number, "display mathematics goes into a fence ```math: $$ breaks on code hosts"
        elif line.count("$") % 2:
            yield number, "a $ without its partner on this line: mathematics cannot run over a line end; money is \\$"
        else:
            for match in PLAIN.finditer(line):
                yield from _around(line, match, number)
                yield from _plain(number, match["body"])
    for match in re.finditer(r"\[[^\]\n]*\$[^\]\n]*\]\(", text):
        yield page.line_of(match.start()), f"mathematics in the text of a link, {match[0]!r}, is not drawn"


def _plain(line: int, body: str) -> Iterator[Finding]:
    shown = f"${body}$"
    if body != body.strip():
        yield line, f"{shown} has a blank beside its $, so it is not drawn"
    if found := DANGEROUS.search(body):
        yield line, f"{shown} has {found[0]!r}, which Markdown reads first; write it as $`…`$"
    elif body.count("_") > 1:
        yield line, f"{shown} has two underscores, between which Markdown sees emphasis; write it as $`…`$"
    yield from _refused(line, body)


def _around(text: str, match: re.Match[str], line: int) -> Iterator[Finding]:
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    if before.isalnum() or after.isalnum():
        yield line, f"{match[0]} touches a letter or a digit, so it is not drawn"


def _refused(line: int, body: str) -> Iterator[Finding]:
    for command in REFUSED:
        if command in body:
            yield line, f"{command} is refused by code hosts"
    bare = re.sub(r"\\[{}]", "", body)
    lefts, rights = (len(re.findall(rf"\\{side}(?![a-z])", body)) for side in ("left", "right"))
    if bare.count("{") != bare.count("}") or lefts != rights:
        yield line, "braces, or \\left and \\right, do not pair up, so nothing is drawn"


# ---- Links and pictures ------------------------------------------------------------------------------------------

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]*)\)")
IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<target>[^)]*)\)")
FEWEST_ALT_WORDS = 5


def anchors(page: Page) -> set[str]:
    """The names under which a code host makes the headings of a page reachable."""
    seen: dict[str, int] = {}
    names = set()
    for section in page.sections:
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", section.title)
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        names.add(f"{slug}-{count}" if count else slug)
    return names


def links(page: Page) -> Iterator[Finding]:
    """Links to files and headings that exist. Other sites are not visited."""
    text = blank(CODE_SPAN, page.prose)
    for match in LINK.finditer(text):
        line, target = page.line_of(match.start()), match["target"]
        if not page.prose[match.start("text") : match.end("text")].strip():
            yield line, f"the link to {target} has no text"
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        path = page.path if not file else (page.path.parent / file).resolve()
        if file.startswith("/") or not path.exists():
            yield line, f"the link goes to {target!r}, and there is no {file!r} beside {page.path.name}"
        elif not path.is_relative_to(page.path.resolve().parents[1]):
            yield line, f"the link goes to {target!r}, outside of the repository"
        elif anchor and path.suffix != ".md":
            yield line, f"the link goes to {target!r}: places in code move, name the function in the text instead"
        elif anchor and anchor not in anchors(page if path == page.path else Page.read(path)):
            yield line, f"the link goes to {target!r}, and {path.name} has no heading with that name"


def pictures(page: Page) -> Iterator[Finding]:
    """Our own SVG files and pictures of the classroom, with words for those who cannot see them."""
    text = blank(CODE_SPAN, page.prose)
    if "<img" in text:
        yield page.line_of(text.index("<img")), "write a picture as ![what it shows](figures/chNN_name.svg)"
    for match in IMAGE.finditer(text):
        line = page.line_of(match.start())
        if not re.fullmatch(r"figures/([\w-]+\.svg|classroom/[\w-]+\.png)", match["target"]):
            yield line, f"the picture {match['target']!r} is no figure of ours, figures/chNN_name.svg"
        if len(match["alt"].split()) < FEWEST_ALT_WORDS:
            yield line, f"the alt text {match['alt']!r} does not say what there is to see"


# ---- HTML, comments, shapes --------------------------------------------------------------------------------------

KNOWN_COMMENT = re.compile(
    r"<!-- (?:chapter\n.*|[a-z]+:(?:start|end) |n \S[^\n]* \S+ |/n |nocheck: \S.* )-->", re.DOTALL
)


def folded_answers(page: Page) -> Iterator[Finding]:
    """<details> with a summary, and blank lines inside: without them Markdown in it is not read."""
    lines = page.prose.split("\n")
    if page.prose.count("<details>") != page.prose.count("</details>"):
        yield 1, "there are not as many </details> as <details>"
    for number, line in enumerate(lines, start=1):
        if line.strip().startswith("<details>"):
            head = next((at for at in (number, number + 1) if "</summary>" in "".join(lines[at - 1 : at])), None)
            if head is None:
                yield number, "<details> needs its <summary>…</summary> on the same or the next line"
            elif "".join(lines[head : head + 1]).strip():
                yield head, "after </summary> comes a blank line: without it the Markdown inside is not read"
        if line.strip() == "</details>" and lines[number - 2].strip():
            yield number, "before </details> comes a blank line: without it the Markdown inside is not read"


def comments(page: Page) -> Iterator[Finding]:
    """Comments are instructions to these tools, so a mistyped one is a mistake."""
    lines = page.text.split("\n")
    for fence in page.fences:
        for number in range(fence.line - 1, fence.last):
            lines[number] = " " * len(lines[number])
    text = blank(CODE_SPAN, "\n".join(lines))
    for match in COMMENT.finditer(text):
        if not KNOWN_COMMENT.fullmatch(match[0]):
            yield page.line_of(match.start()), f"the comment {match[0]!r} means nothing to the tools"
    for number, line in enumerate(lines, start=1):
        if INLINE.match(line):
            yield number, "a line that begins with a comment is HTML to Markdown: move the number into the line"


def shape_letters(page: Page) -> Iterator[Finding]:
    """Shapes in executed blocks use the letters of minigpt/__init__.py."""
    legend = set(re.findall(r"(?<!\S)([A-Z])  \S", minigpt.__doc__ or ""))
    for fence in page.fences_of("run"):
        for offset, line in enumerate(fence.body.splitlines(), start=1):
            for shape in re.findall(r"#\s*\[([^\]\s]*)\]", line):
                for letter in re.findall(r"[^\W\d_]+", shape):
                    if letter not in legend:
                        yield (
                            fence.line + offset,
                            (f"the shape [{shape}] uses {letter}, which is none of {' '.join(sorted(legend))}"),
                        )
