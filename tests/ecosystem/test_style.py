"""The style sheet of CONTRIBUTING.md, as far as a program can read it."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
CLAUSE = re.compile(r"(What|Whether|How|Who|Whose|Where)\b")
PERSON = re.compile(r"\b(he|him|his)\b")
# The argument, and then its value; `{}` stands for an expression.
RECEIVED = re.compile(r"Received: (\w[\w.]*(=| (of|from|with|or|and|beside) )|\{\})")


@functools.cache
def sources(package: Path) -> list[tuple[Path, ast.Module]]:
    paths = sorted(package.glob("src/**/*.py"))
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def literal(node: ast.expr) -> str:
    """The text of a message, with `{}` for each expression in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(value) for value in node.values)
    if isinstance(node, ast.BinOp):
        return literal(node.left) + literal(node.right)
    return "{}"


def messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Messages of the exceptions that refuse an argument."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            name = getattr(node.exc.func, "id", "")
            if name in {"ValueError", "TypeError"}:
                yield node.lineno, literal(node.exc.args[0])


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_docstring_begins_with_a_clause_or_speaks_of_a_person(package):
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path, tree in sources(package)
        for line, text in docstrings(tree)
        if CLAUSE.match(text) or PERSON.search(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_errors_say_what_must_be_and_what_was_received(package):
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path, tree in sources(package)
        for line, text in messages(tree)
        if "Received" in text and not RECEIVED.search(text)
    ]
    assert not found, "\n".join(found)


def test_the_grammar_tells_bad_messages_from_good_ones():
    assert RECEIVED.search("`x` must be positive. Received: x={}")
    assert not RECEIVED.search("`x` must be positive. Received: {!r} for x".replace("{!r}", "-3"))
    assert CLAUSE.match("Whether it holds.")
    assert not CLAUSE.match("Whereas")


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=str)
def test_no_document_speaks_of_a_person(path):
    if path.name == "CONTRIBUTING.md":
        pytest.skip("its style sheet names the word")
    found = PERSON.findall(path.read_text(encoding="utf-8"))
    assert not found
