"""The command `dl-techniques`: one module a command."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments; by default those of the process.

    Returns:
        The exit code: 0, 1 for what went wrong, 2 for wrong usage.
    """
    from dl_techniques.core.cli.application import run

    return run(argv)
