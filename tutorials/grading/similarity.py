"""Equal functions of different students. A reason to talk to them and no proof: short functions look alike."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping

from tutorials.exercises.own_work import parsed
from tutorials.exercises.registry import Exercise

SMALLEST = 60  # nodes of a syntax tree; below that, right answers are all alike
Texts = Mapping[str, Mapping[str, str]]  # by name, then by file
STUBS, SOLUTIONS = "what was handed out", "the solution in tutorials/instructor"


class _Anonymous(ast.NodeTransformer):
    """Names in the order of their appearance, no docstrings, no annotations."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def _name(self, name: str) -> str:
        return self.names.setdefault(name, f"n{len(self.names)}")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self._name(node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(self._name(node.arg), None)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return self.generic_visit(ast.Assign([node.target], node.value or ast.Constant(None)))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        arguments = self.visit(node.args)
        return ast.FunctionDef("f", arguments, [self.visit(statement) for statement in body], [], None)


def fingerprint(text: str, function: str) -> str:
    """A digest of the function that neither names nor comments nor layout change; "" if it is missing or very short."""
    try:
        tree = parsed(text)
        found = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function)
        if sum(1 for statement in found.body for _ in ast.walk(statement)) < SMALLEST:
            return ""
        return hashlib.sha256(ast.dump(_Anonymous().visit(found)).encode("utf-8")).hexdigest()
    except (SyntaxError, ValueError, StopIteration, RecursionError, MemoryError):
        return ""


def source(text: str, function: str) -> str:
    """The function as Python reads it, or the whole text where Python cannot."""
    try:
        found = [n for n in parsed(text).body if isinstance(n, ast.FunctionDef) and n.name == function]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    return ast.dump(found[0]) if found else ""


def equal_functions(students: Texts, exercises: Mapping[str, Exercise], public: Texts) -> list[tuple[str, list[str]]]:
    """(exercise, everybody who has one and the same function in it), two or more. Bug hunts are left out: all who mend
    the same line hold the same function.

    `public` holds the stubs and the solutions: stubs are nobody's, and a solution that somebody has copied counts as
    one more owner.
    """
    groups = []
    for exercise in exercises.values():
        if exercise.original:
            continue
        owners: dict[str, list[str]] = {}
        for name, texts in {**students, **public}.items():
            mark = fingerprint(texts.get(exercise.file, ""), exercise.function)
            owners.setdefault(mark, []).append(name)
        owners.pop("", None)
        groups += [(exercise.id, names) for names in owners.values() if len(names) > 1 and STUBS not in names]
    return groups
