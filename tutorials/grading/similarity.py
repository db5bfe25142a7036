"""Which students wrote the same function? Information for a talk, not a proof: short functions look alike by nature."""

from __future__ import annotations

import ast
import hashlib
import itertools
from collections.abc import Mapping

from tutorials.exercises.registry import Exercise

SMALLEST = 45  # nodes of a syntax tree; below that, right answers are all alike


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
        tree = ast.parse(text)
        found = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function)
        if sum(1 for statement in found.body for _ in ast.walk(statement)) < SMALLEST:
            return ""
        return hashlib.sha256(ast.dump(_Anonymous().visit(found)).encode("utf-8")).hexdigest()
    except (SyntaxError, ValueError, StopIteration, RecursionError, MemoryError):
        return ""


def equal_functions(
    students: Mapping[str, Mapping[str, str]], exercises: Mapping[str, Exercise], known: Mapping[str, str]
) -> list[tuple[str, str, list[str]]]:
    """(student, other student, exercises whose functions are equal) for every two that have one.

    `students` maps a name to texts by file, `known` an exercise to the fingerprint of its stub, which everybody has.
    """
    prints = {
        student: {e.id: fingerprint(texts.get(e.file, ""), e.function) for e in exercises.values()}
        for student, texts in students.items()
    }
    pairs = []
    for first, second in itertools.combinations(prints, 2):
        equal = [e for e, mine in prints[first].items() if mine and mine == prints[second][e] and mine != known.get(e)]
        if equal:
            pairs.append((first, second, equal))
    return pairs
