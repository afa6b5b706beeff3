"""What a reader of the docstring needs."""

from __future__ import annotations

import inspect

from dl_techniques.core.configurable import parameter_names
from dl_techniques.core.testing.check import ANY, check, require
from dl_techniques.core.testing.subject import Subject

_SECTIONS = {
    "layer": ("Args:", "Input shape:", "Output shape:", "Example:", "References:"),
    "activation": ("Input shape:", "Output shape:", "Example:", "References:"),
    "model": ("Args:", "Input shape:", "Output shape:", "Example:", "References:"),
}


@check(level="may", kinds=ANY)
def documentation(subject: Subject) -> None:
    """The docstring has all sections, names every argument, and its example can be run."""
    text = inspect.getdoc(subject.cls) or ""
    for section in _SECTIONS.get(subject.kind, ("Example:",)):
        require(section in text, f"the docstring has no section `{section}`")
    require(">>>" in text, "the docstring has no example that can be run (`>>>`)")
    if subject.is_class:
        names: tuple[str, ...] = parameter_names(subject.cls)
    else:
        names = tuple(inspect.signature(subject.cls).parameters)
    missing = [name for name in names if f"{name}:" not in text]
    require(not missing, f"the docstring does not describe {', '.join(missing)}")
