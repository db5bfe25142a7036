"""The reasons to refuse a student's file, read from its text before anything in it runs: the work must be their own.

What the text cannot show, a name that is put together while the code runs, the worker sees when the function is called
(worker.watched). tests/exercises/test_cheats.py tries the ways that are known.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator

from tutorials.exercises.registry import Exercise

PARSING = threading.Lock()


def parsed(text: str) -> ast.Module:
    """The syntax tree of a source, one thread at a time: CPython 3.11 counts the depth of all threads in one number,
    and a class is graded in threads ("SystemError: AST constructor recursion depth mismatch")."""
    with PARSING:
        return ast.parse(text)


# What an exercise can need. Other modules reach the machine, the checker or a solution.
IMPORTS = (
    "__future__",
    "collections",
    "dataclasses",
    "functools",
    "itertools",
    "math",
    "minigpt",
    "random",
    "rlhf",
    "torch",
    "typing",
)
BUILTINS = (
    "breakpoint",
    "compile",
    "delattr",
    "eval",
    "exec",
    "exit",
    "getattr",
    "globals",
    "open",
    "quit",
    "setattr",
    "vars",
)
# What torch has imported (torch.os), and those of its own doors that lead out of Python.
OFF_LIMITS = (
    "_C",
    "builtins",
    "classes",
    "ctypes",
    "distributed",
    "from_file",
    "gc",
    "hub",
    "importlib",
    "inspect",
    "jit",
    "load",
    "multiprocessing",
    "library",
    "ops",
    "os",
    "package",
    "pickle",
    "save",
    "serialization",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "types",
    "utils",
)
PACKAGES = ("minigpt", "rlhf")  # where an exercise bans one of them, its file must not import it anywhere
DUNDERS = ("__init__", "__name__", "__main__")  # the only double-underscore names that an exercise needs


def complaint(text: str, exercise: Exercise) -> str:
    """One sentence on why this file cannot be checked; "" if it can."""
    file = exercise.file
    try:
        tree = parsed(text)
    except SyntaxError as error:
        return f"{file}, line {error.lineno}: Python cannot read this ({error.msg}); mend that line first"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{file}: Python cannot read this ({error})"
    definitions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == exercise.function]
    if len(definitions) != 1:
        return f"{file} defines {exercise.function} {len(definitions)} times, expected once, not inside anything else"
    modules = {name for statement in ast.walk(tree) if imported(statement) for name in bindings(statement)}
    for node in ast.walk(tree):
        for name in imported(node):
            parts = name.split(".")
            if parts[0] not in IMPORTS or parts[-1] == "*" or any(is_hidden(part) for part in parts):
                return f"{file}, line {node.lineno}: imports {name}; the exercises need {', '.join(IMPORTS)} at most"
            if parts[0] in PACKAGES and parts[0] in exercise.ban:
                return f"{file}, line {node.lineno}: imports {name}; here you write that yourself"
        for name in written(node):
            parts = name.split(".")
            private = parts[0] in modules and any(part.startswith("_") and part not in DUNDERS for part in parts[1:])
            double = parts[-1].startswith("__") and parts[-1] not in DUNDERS
            if private or double or name in BUILTINS or any(part in OFF_LIMITS for part in parts):
                return f"{file}, line {node.lineno}: uses {name}, which no exercise needs"
    for name, line in reached(tree, exercise.function):
        for banned in exercise.ban:
            if name == banned or name.startswith(banned + ".") or name.endswith("." + banned):
                return f"{file}, line {line}: {exercise.function} uses {name}; here you write that yourself"
    return ""


def is_untouched(text: str, original: str, exercise: Exercise) -> bool:
    """True if the file is as it was handed out, or its function still only raises NotImplementedError: no check needs
    to run to know that they all fail."""
    if original:
        return text == original
    try:
        tree = parsed(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == exercise.function]
    if len(functions) != 1:
        return False
    body = functions[0].body[ast.get_docstring(functions[0]) is not None :]
    return len(body) == 1 and ast.unparse(body[0]).startswith("raise NotImplementedError")


def is_hidden(name: str) -> bool:
    """True for a part of a module's name that is off limits or private: torch.os, torch._refs."""
    return name in OFF_LIMITS or (name.startswith("_") and name != "__future__")


def imports_package(text: str) -> bool:
    """True if the file imports minigpt or rlhf, or cannot be read."""
    try:
        nodes = list(ast.walk(parsed(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return any(name.split(".")[0] in ("minigpt", "rlhf") for node in nodes for name in imported(node))


def imported(node: ast.AST) -> list[str]:
    """The dotted names that a statement imports: `from torch import nn` -> torch.nn."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return []


def written(node: ast.AST) -> list[str]:
    """The identifiers of a node: a name, an attribute with what it hangs on (`F.softmax`), a text like `__class__`, a
    method or class with a name like that."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name] if node.name.startswith("__") else []
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [".".join([*(written(node.value) or [""]), node.attr])]  # what hangs on no name begins with a dot
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("__"):
        return [node.value]
    return []


def reached(tree: ast.Module, function: str) -> Iterator[tuple[str, int]]:
    """Every name that the function uses, itself or through other definitions of the file, with its line.

    An imported name counts as the whole dotted name it stands for.
    """
    bound: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in bindings(statement):
            bound.setdefault(name, []).append(statement)
    waiting, seen = list(bound[function]), set()
    while waiting:
        statement = waiting.pop()
        if id(statement) in seen:
            continue
        seen.add(id(statement))
        for node in ast.walk(statement):
            yield from ((name, node.lineno) for name in imported(node))
            for name in written(node):
                yield name, node.lineno
                waiting += bound.get(name.split(".")[0], [])


def bindings(statement: ast.stmt) -> set[str]:
    """The names that a statement of the module gives a meaning to."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    # `helpers["a"] = …`, `torch.helper = …` and `helpers.append(…)` change what a name means without binding it
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)}
