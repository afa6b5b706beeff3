"""The checks, by what they look at. Importing this package fills the table."""

from __future__ import annotations

import importlib

# In the order in which they run: cheap ones first, files and compilers last.
for _name in (
    "declarations",
    "documentation",
    "configurations",
    "errors",
    "weights",
    "shapes",
    "masks",
    "determinism",
    "batches",
    "gradients",
    "numbers",
    "traits",
    "parts",
    "training",
    "effects",
    "copies",
    "compilation",
    "files",
    "composition",
):
    importlib.import_module(f"{__name__}.{_name}")
