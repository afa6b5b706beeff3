"""Lets the tests of this folder import the builders of hostile files."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
FUZZ = HERE.parents[1] / "fuzz"
sys.path[:0] = [str(folder) for folder in (HERE, FUZZ) if str(folder) not in sys.path]
