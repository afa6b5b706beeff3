"""Every known attack on model files, as code that builds the file. Nothing hostile is stored."""

from __future__ import annotations

import archive_attacks  # noqa: F401 - each module adds its own
import config_attacks  # noqa: F401
import graph_attacks  # noqa: F401
import resource_attacks  # noqa: F401
import weight_attacks  # noqa: F401
from attack import ATTACKS, Attack

IN_PROCESS = [made for made in ATTACKS if not made.isolated]
"""Those that the process which loads them survives without isolation."""

__all__ = ["ATTACKS", "IN_PROCESS", "Attack"]
