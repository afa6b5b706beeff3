"""The commands of this distribution."""

from __future__ import annotations

import argparse

from dl_techniques.core.registry.hooks import hookimpl


@hookimpl
def dl_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `dl-techniques watch`.

    Args:
        subparsers: Where commands are added.
    """
    from dl_techniques.weightwatcher.command import configure

    text = "spectral diagnostics of the weights of models"
    configure(subparsers.add_parser("watch", help=text, description=f"{text}."))
