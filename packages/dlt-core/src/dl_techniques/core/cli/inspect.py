"""`dl-techniques inspect`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dl_techniques.core.cli.output import say, say_json
from dl_techniques.core.files.isolation import Trial, try_loading
from dl_techniques.core.files.report import ModelReport, Need, inspect_model
from dl_techniques.core.text import size_text


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Args:
        parser: The command's parser.
    """
    parser.add_argument("file", help="a .keras file")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="also rebuild the model, in a child process under limits on memory and time",
    )
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Show what a model file holds and needs; 1 if it would be refused.

    Args:
        options: The parsed arguments.
    """
    report = inspect_model(options.file)
    # A refused file is not rebuilt.
    trial = try_loading(Path(options.file)) if options.rebuild and report.loadable else None
    if options.json:
        more = {"rebuild": _plain(trial)} if options.rebuild else {}
        say_json(**_record(report), **more)
    else:
        say(_text(report))
        if trial is not None:
            say(_trial_text(trial))
    return 0 if report.loadable and (trial is None or trial.loaded) else 1


def _trial_text(trial: Trial) -> str:
    cost = f"{trial.seconds:.1f} s, {size_text(trial.memory)}"
    return f"Rebuilt in a child process: {trial.outcome} ({cost}). {trial.message}".rstrip()


def _record(report: ModelReport) -> dict[str, Any]:
    answer = {name: _plain(value) for name, value in report._asdict().items()}
    answer["problems"] = [
        {"type": type(problem).__name__, "message": str(problem)} for problem in report.problems
    ]
    return {**answer, "parameters": report.parameters, "loadable": report.loadable}


def _plain(value: Any) -> Any:
    """Named tuples as objects, all the way down."""
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _text(report: ModelReport) -> str:
    writer = f"saved by Keras {report.keras_version}" if report.keras_version else "no version"
    numbers = f"{report.parameters:,} numbers in {len(report.weights)} weights"
    lines = [f"{report.path}: {report.size:,} bytes, {writer}, {numbers}", "", "Members:"]
    lines += [f"  {member.size:>12,}  {member.name}" for member in report.members]
    lines += ["", "Needs:", *(f"  {_need(need)}" for need in report.needs)]
    origin = report.provenance
    if origin is not None:
        versions = f"dlt-core {origin.core}, Keras {origin.keras} on {origin.backend}"
        lines += ["", f"Says of itself (not verified): {versions}, Python {origin.python}"]
        lines += [f"  needs Keras {origin.least_keras} or newer"]
        lines += [f"  weights: {key} {value}" for key, value in origin.weights.items()]
    lines += ["", f"This file {'can be loaded' if report.loadable else 'would be refused'}."]
    lines += [f"  - {problem}" for problem in report.problems]
    return "\n".join(lines)


def _need(need: Need) -> str:
    provider = (
        f"{need.distribution} {need.version or ''}".strip() if need.distribution else "NOBODY"
    )
    renamed = f" (today {need.id})" if need.id and need.id != need.name else ""
    times = f" x{need.times}" if need.times > 1 else ""
    return f"{need.name}{times}{renamed}: {provider}"
