"""Lets the tests of this folder import the builder of model files."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDERS = (str(Path(__file__).parents[2] / "fuzz"), str(Path(__file__).parent))
for folder in FOLDERS:
    if folder not in sys.path:
        sys.path.insert(0, folder)
