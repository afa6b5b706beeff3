"""Sections, arguments and examples of the docstring."""

from __future__ import annotations

import doctest
import inspect
import sys
from typing import Any

from dl_techniques.core.contract.config import parameter_names
from dl_techniques.core.testing.check import ANY, NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject

_SECTIONS = {
    "layer": ("Args:", "Input shape:", "Output shape:", "Example:", "References:"),
    "activation": ("Input shape:", "Output shape:", "Example:", "References:"),
    "model": ("Args:", "Input shape:", "Output shape:", "Example:", "References:"),
}


@check(level="may", kinds=ANY)
def documentation(subject: Subject) -> None:
    """The docstring has all sections; it or a base's names every argument."""
    text = inspect.getdoc(subject.cls) or ""
    for section in _SECTIONS.get(subject.kind, ("Example:",)):
        require(section in text, f"the docstring has no section `{section}`")
    if subject.is_class:
        names: tuple[str, ...] = parameter_names(subject.cls)
        # `dl-techniques info` shows them together.
        bases = [base for base in subject.cls.__mro__ if "__init__" in vars(base)]
        text += "".join(f"\n{vars(base).get('__doc__')}" for base in bases if _is_ours(base))
    else:
        names = tuple(inspect.signature(subject.cls).parameters)
    missing = [name for name in names if f"{name}:" not in text]
    require(not missing, f"the docstring does not describe {', '.join(missing)}")


@check(level="may", kinds=ANY)
def documented_example(subject: Subject) -> None:
    """The docstring has an example that runs (`>>>`) and gives what it says."""
    if not _is_ours(subject.cls):
        raise NotApplicable("one of Keras's own, whose examples are not written to be run")
    subject.require_first()
    tried, text = _run_examples(subject.cls)
    require(tried, "the docstring has no example that can be run (`>>>`)")
    require(not text, text)


def _run_examples(cls: Any) -> tuple[int, str]:
    """Return the number of statements and the differences."""
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    for test in finder.find(cls, cls.__name__, sys.modules[cls.__module__], globs={}):
        runner.run(test, out=report.append)
    return runner.tries, "".join(report) if runner.failures else ""


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] not in {"keras", "builtins"}
