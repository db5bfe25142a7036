"""Code found by its name, so that a page can quote it and a line added above it changes nothing.

minigpt/attention.py:causal_mask          a function or class, decorators included
minigpt/cache.py:KVCache.begin            a method
rlhf/stage2_reward/stage.py:PRESETS              an assignment at the top of the module, or of a class
tutorials/figures/make/ch04.py:#scores    what stands between `# region scores` and `# endregion`
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

from minigpt.runs.errors import UserError, did_you_mean
from tutorials.tools.page import ROOT


def excerpt(address: str, docstring: bool = True, root: Path = ROOT) -> str:
    """The source that `address` names, dedented, with one line end at its end; without its docstring if asked.

    Raises UserError if the file or the name is not there.
    """
    file, colon, name = address.partition(":")
    path = root / file
    if not colon or not name:
        raise UserError(f"from={address!r}: expected path.py:name, as in minigpt/attention.py:causal_mask")
    if not path.is_file():
        raise UserError(f"from={address!r}: there is no file {file}; write its path from the root of the repository")
    source = path.read_text(encoding="utf-8")
    if name.startswith("#"):
        return _region(source, name[1:], address)
    node = _find(ast.parse(source), name, address)
    lines = source.splitlines()
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    skipped = set() if docstring else _docstring_lines(node, lines, address)
    kept = [lines[number - 1] for number in range(first, (node.end_lineno or first) + 1) if number not in skipped]
    return textwrap.dedent("\n".join(kept)).strip("\n") + "\n"


def _defined(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """The names that the statements of a module or a class define."""
    names: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names[node.name] = node
        elif isinstance(node, ast.Assign):
            names |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = node
    return names


def _find(module: ast.Module, dotted: str, address: str) -> ast.stmt:
    body, node = module.body, None
    for part in dotted.split("."):
        known = _defined(body)
        if part not in known:
            raise UserError(f"from={address!r}: no {part} is defined there{did_you_mean(part, known)}")
        node = known[part]
        body = getattr(node, "body", [])
    assert node is not None
    return node


def _docstring_lines(node: ast.stmt, lines: list[str], address: str) -> set[int]:
    """The lines of its docstring, and a blank one after it."""
    first = next(iter(getattr(node, "body", [])), None)
    value = getattr(first, "value", None)
    if first is None or not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        raise UserError(f'from={address!r}: it has no docstring to leave out; drop doc="no"')
    last = first.end_lineno or first.lineno
    if last < len(lines) and not lines[last].strip():
        last += 1
    return set(range(first.lineno, last + 1))


def _region(source: str, name: str, address: str) -> str:
    pattern = re.compile(rf"^[ \t]*# region {re.escape(name)}\n(.*?)^[ \t]*# endregion$", re.MULTILINE | re.DOTALL)
    found = pattern.findall(source)
    if len(found) != 1:
        raise UserError(
            f"from={address!r}: the lines `# region {name}` … `# endregion` are there {len(found)} times, expected once"
        )
    return textwrap.dedent(found[0]).strip("\n") + "\n"
