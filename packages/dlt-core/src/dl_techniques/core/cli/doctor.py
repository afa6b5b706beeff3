"""`dl-techniques doctor`."""

from __future__ import annotations

import argparse
import math
import sys

from dl_techniques.core.cli.output import say, say_json
from dl_techniques.core.doctor.diagnose import SECONDS, Diagnosis, diagnose
from dl_techniques.core.text import printable


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Args:
        parser: The command's parser.
    """
    parser.add_argument(
        "--imports",
        action="store_true",
        help="also import every component, in child processes",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=SECONDS,
        metavar="SECONDS",
        help="how long the plugins, or all components, of a distribution may take "
        "(default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Show what is broken; 1 if anything is.

    Args:
        options: The parsed arguments.
    """
    diagnosis = diagnose(imports=options.imports, seconds=options.timeout, progress=_show)
    _show("")
    if options.json:
        problems = [problem._asdict() for problem in diagnosis.problems]
        say_json(**{**diagnosis._asdict(), "problems": problems}, healthy=diagnosis.healthy)
    else:
        say(_text(diagnosis))
    return int(not diagnosis.healthy)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def _show(name: str) -> None:
    # One line that is overwritten; nothing where nobody looks.
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{printable(name)}")
        sys.stderr.flush()


def _text(diagnosis: Diagnosis) -> str:
    lines = [f"{name:12} {found or 'not installed'}" for name, found in diagnosis.versions.items()]
    lines.append(f"{'components':12} {diagnosis.components}")
    if diagnosis.imported is not None:
        lines.append(f"{'importable':12} {diagnosis.imported}")
    lines += [
        "",
        f"{len(diagnosis.problems)} problem(s):" if diagnosis.problems else "No problems.",
    ]
    lines += [f"  - {problem}" for problem in diagnosis.problems]
    return "\n".join(lines)
