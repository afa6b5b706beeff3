"""`dl-techniques manifest write|check`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dl_techniques.core.cli.output import complain, say
from dl_techniques.core.scan import find_packages, generate


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Args:
        parser: The command's parser.
    """
    actions = parser.add_subparsers(metavar="write|check", required=True)
    for name, function, help_text in (
        ("write", write, "write components.json and __init__.pyi of every package"),
        ("check", check, "fail, and show the difference, if one of them has drifted"),
    ):
        action = actions.add_parser(name, help=help_text, description=help_text)
        action.add_argument(
            "paths",
            nargs="*",
            type=Path,
            metavar="PROJECT",
            help="folders with a pyproject.toml; by default the one at or above the working one",
        )
        action.set_defaults(func=function)


def write(options: argparse.Namespace) -> int:
    """Write what has drifted.

    Args:
        options: The parsed arguments.
    """
    for package in find_packages(options.paths):
        files = generate(package)
        drifted = [file for file in files if file.drifted]
        for file in drifted:
            file.write()
            say(f"{'wrote' if file.text else 'removed'} {file.path}")
        if not drifted:
            say(f"{package.name}: up to date")
    return 0


def check(options: argparse.Namespace) -> int:
    """Show what has drifted; 1 if anything has.

    Args:
        options: The parsed arguments.
    """
    packages = find_packages(options.paths)
    drifted = [file for package in packages for file in generate(package) if file.drifted]
    for file in drifted:
        say(file.diff())
    if drifted:
        complain(f"{len(drifted)} generated files have drifted: dl-techniques manifest write")
        return 1
    say(f"{len(packages)} packages are up to date")
    return 0
