"""Print the sizes of files and functions, and fail if a budget is exceeded."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ("packages/*/src", "tests", "benchmarks", "docs", "examples")
FILE_P90, FILE_MAX, FUNCTION_P90 = 400, 700, 40


def percentile(values: list[int], share: float) -> int:
    """The smallest value that at least `share` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body without the docstring: documentation has no budget."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def main() -> int:
    """Print each figure with its budget; 1 if one is exceeded."""
    paths = [path for folder in SOURCES for path in ROOT.glob(f"{folder}/**/*.py")]
    files = {path: path.read_text(encoding="utf-8") for path in paths}
    lengths = {path: text.count("\n") for path, text in files.items()}
    functions = [
        code_lines(node)
        for text in files.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    longest = max(lengths, key=lengths.__getitem__)
    figures = [
        ("lines of a file, p90", percentile(list(lengths.values()), 0.9), FILE_P90),
        (f"lines of the longest file ({longest.name})", lengths[longest], FILE_MAX),
        ("lines of a function, p90", percentile(functions, 0.9), FUNCTION_P90),
    ]
    for name, value, budget in figures:
        print(f"{name}: {value} (budget {budget})")
    print(f"{len(files)} files, {len(functions)} functions")
    return int(any(value > budget for _, value, budget in figures))


if __name__ == "__main__":
    sys.exit(main())
