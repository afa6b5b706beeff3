"""Choosing the command, and what becomes of its errors."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from dl_techniques.core.__about__ import __version__
from dl_techniques.core.cli.output import UserError, complain, did_you_mean, stdout_diverted

# Command -> (module, help). A command's module is imported only when it is the one asked for:
# `list` must cost little more than reading the entry points.
COMMANDS: Final = {
    "list": ("listing", "list the installed components"),
    "info": ("info", "show one component: signature, docstring, paper, provider"),
    "inspect": ("inspect", "show what a .keras file holds and needs, without loading it"),
    "doctor": ("doctor", "find what is broken, and in which distribution"),
    "manifest": ("manifest", "write or check the generated manifests of a project"),
    "new": ("new", "generate a plugin: a distribution with one component"),
    "conformance": ("conformance", "run the conformance kit"),
    "completion": ("completion", "print the script for tab completion in bash, zsh or fish"),
}
_COMPLETING: Final = "_ARGCOMPLETE"
DEBUG: Final = "DL_TECHNIQUES_DEBUG"
INTERRUPTED: Final = 130


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command; no traceback for a user's mistake.

    Args:
        argv: The arguments; by default those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    _accept_all_characters()
    try:
        options = _parse(arguments)
        code = options.func(options)
        sys.stdout.flush()
        return int(code or 0)  # a plugin's command may return nothing
    except SystemExit as error:  # argparse's, after it has said why, or a plugin's
        if isinstance(error.code, str):
            complain(error.code)
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone. The rest of the buffer must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get(DEBUG, "0") not in {"", "0"}:
            raise
        expected = isinstance(error, _expected_errors())
        complain(str(error) if expected else f"{type(error).__name__}: {error}")
        if not expected:
            complain(f"This is a defect; {DEBUG}=1 shows where it happened.")
        return 1


def _expected_errors() -> tuple[type[Exception], ...]:
    from dl_techniques.core.errors import DLTechniquesError

    return (UserError, DLTechniquesError, OSError, ValueError)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dl-techniques", description="Find, check and publish Keras 3 components."
    )
    parser.add_argument("--version", action="version", version=f"dl-techniques {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    completing = _COMPLETING in os.environ
    if completing:
        arguments = os.environ.get("COMP_LINE", "").split()[1:]
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, (module, help_text) in COMMANDS.items():
        command = subparsers.add_parser(name, help=help_text, description=f"{help_text}.")
        if name == asked:
            importlib.import_module(f"dl_techniques.core.cli.{module}").configure(command)
    if completing:
        import argcomplete

        argcomplete.autocomplete(parser)  # answers the shell and ends the process
    if not arguments:
        parser.print_help()  # without plugins, which are imported for those who ask only
        raise SystemExit(0)
    help_asked = asked is None and not {"-h", "--help"}.isdisjoint(arguments)
    if help_asked or not (asked is None or asked in COMMANDS):
        _add_commands_of_plugins(subparsers)
    if asked is not None and asked not in subparsers.choices:
        commands = [*subparsers.choices]
        hint = did_you_mean(asked, commands)
        parser.error(f"there is no command {asked!r}, only {', '.join(commands)}.{hint}")
    options = parser.parse_args(arguments)
    if not callable(getattr(options, "func", None)):
        raise UserError(f"The plugin that brings the command {asked!r} gives it nothing to do.")
    return options


def _add_commands_of_plugins(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Import plugins, which no built-in command does: they may bring further ones."""
    from dl_techniques.core.registry.registry import registry

    with stdout_diverted():
        registry.plugins.call("dl_commands", subparsers=subparsers)
    for problem in registry.plugins.problems:
        complain(str(problem))


def _open_closed_streams() -> None:
    """Python has no stream where the caller closed it; errors must not go to the other one."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Like Python's own streams, it stays open for the process's life.
            null = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, open(null, "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def _accept_all_characters() -> None:
    """Escape what the terminal's encoding lacks, rather than fail in the middle of a table."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
