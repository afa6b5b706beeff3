"""The contract, the registry, safe saving and the conformance kit of dl_techniques.

Importing this package imports neither Keras nor a backend; a name does, when it needs to.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "declaring": ("component", "declaration_of"),
    "bases": (
        "Component",
        "Constraint",
        "Initializer",
        "Layer",
        "Loss",
        "Metric",
        "Model",
        "Regularizer",
    ),
    "example": ("Example", "Fresh", "Rejection", "TensorSpec"),
    "entry": ("Entry", "Problem"),
    "errors": (
        "AmbiguousComponent",
        "ComponentError",
        "ComponentImportError",
        "ContractMismatch",
        "DLTechniquesError",
        "DuplicateComponent",
        "ModelFileError",
        "ModelFileProblems",
        "RegistryProblems",
        "UnknownComponent",
        "UntrustedComponent",
    ),
    "hooks": ("hookimpl",),
    "identifier": ("KINDS",),
    "saving": ("load_model", "save_model"),
    "inspection": ("inspect_model",),
    "precision": ("upcast",),
    "resolving": ("resolve",),
    "catalog": ("Registry", "registry"),
    "surface": ("Activation", "Shape", "Tensor", "Variable"),
    "__about__": ("__version__", "CONTRACT"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  # one table names every export and its home


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
