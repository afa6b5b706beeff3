"""`dl-techniques new`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from dl_techniques.core.cli.output import say
from dl_techniques.core.project.scaffold import KINDS, create_plugin, module_name
from dl_techniques.core.project.scaffold.component import create_component


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Args:
        parser: The command's parser.
    """
    parser.add_argument(
        "name", help="the distribution's name, such as acme-gates; with --into, the component's"
    )
    parser.add_argument("--kind", choices=KINDS, default="layer", help="what it begins with")
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="where its folder is made; here by default"
    )
    parser.add_argument(
        "--into", type=Path, metavar="PROJECT", help="add one component to this project instead"
    )
    parser.add_argument(
        "--family", default="", help="with --into: the sub-package that it goes into, such as norms"
    )
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Generate a plugin and say what comes next.

    Args:
        options: The parsed arguments.
    """
    if options.into is not None:
        return _add(options)
    folder = create_plugin(options.name, options.kind, options.directory)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    say(f"Wrote {folder}:")
    say("\n".join(f"  {file}" for file in files))
    say(
        "\nNext:\n"
        f"  pip install -e {shlex.quote(f'{folder}[test]')}\n"
        f"  dl-techniques list --distribution {options.name}\n"
        f"  dl-techniques conformance {options.name}\n"
        f"  pytest {shlex.quote(str(folder))}"
    )
    return 0


def _add(options: argparse.Namespace) -> int:
    """Generate a component inside a project and say what comes next."""
    written = create_component(options.name, options.kind, options.into, options.family)
    say("\n".join(f"wrote {file}" for file in written))
    module = module_name(options.name)
    say(
        "\nNext: write the formula, its docstring and its test, then\n"
        "  dl-techniques manifest write\n"
        f"  pytest -k {module}            # here: nox -s tests -- jax -k {module}"
    )
    return 0
