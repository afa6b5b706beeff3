"""`dl-techniques manifest write|check`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dl_techniques.core.cli.output import complain, say
from dl_techniques.core.project.namespaces import namespace_warnings
from dl_techniques.core.project.owners import generate_owners
from dl_techniques.core.project.scan import Generated, Package, find_packages, generate_all, scan


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
    packages = find_packages(options.paths)
    for file in _generated(packages):
        if file.drifted:
            file.write()
            say(f"{'removed' if file.text is None else 'wrote'} {file.path}")
    say(f"{_counted(packages)} up to date")
    return 0


def check(options: argparse.Namespace) -> int:
    """Show what has drifted; 1 if anything has.

    Args:
        options: The parsed arguments.
    """
    packages = find_packages(options.paths)
    drifted = [file for file in _generated(packages) if file.drifted]
    for file in drifted:
        say(file.diff())
    if drifted:
        names = "\n".join(f"  {file.path}" for file in drifted)
        complain(f"these generated files have drifted; run dl-techniques manifest write:\n{names}")
        return 1
    say(f"{_counted(packages)} up to date")
    return 0


def _generated(packages: Sequence[Package]) -> list[Generated]:
    files = generate_all(packages)
    for package in packages:
        for warning in namespace_warnings(package.name, [record.id for record in scan(package)]):
            complain(f"warning: {warning}")
    return files + generate_owners(packages[0].folder, files)


def _counted(packages: Sequence[Package]) -> str:
    return "1 package is" if len(packages) == 1 else f"{len(packages)} packages are"
