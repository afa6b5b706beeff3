"""Spectral diagnostics of any model's weights, from live models and from files."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "analyzer": ("analyze_model", "describe_model"),
    "comparison": ("ComparisonResult", "compare_models"),
    "weightwatcher": ("WeightWatcher",),
    "alpha_callback": ("AlphaCallback",),
    "metrics": (
        "alpha",
        "concentration_score",
        "eigenvalues",
        "fit_powerlaw",
        "matrix_entropy",
        "mp_fit",
        "stable_rank",
    ),
    "smoothing": ("sharpen_model", "smooth_model"),
    "analysis_result": ("AnalysisResult",),
    "result": ("Layer",),
    "numerics.powerlaw": ("PowerLawFit",),
    "numerics.marchenko_pastur": ("MarchenkoPastur",),
    "readers.weight": ("Skipped", "SourceError", "Weight"),
    "__about__": ("__version__",),
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
