"""`dl-techniques completion`, and what the shell completes: ids, tags, distributions."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, Final

from dl_techniques.core.cli.output import say
from dl_techniques.core.registry.registry import registry

SHELLS: Final = ("bash", "zsh", "fish")
_HOW: Final = """\
  bash:  eval "$(dl-techniques completion bash)"             in ~/.bashrc
  zsh:   eval "$(dl-techniques completion zsh)"              in ~/.zshrc, after compinit
  fish:  dl-techniques completion fish | source              in ~/.config/fish/config.fish"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Args:
        parser: The command's parser.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HOW
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the script")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Print the script that makes a shell complete commands, options and identifiers.

    Args:
        options: The parsed arguments.
    """
    from argcomplete.shell_integration import shellcode

    say(shellcode(["dl-techniques"], shell=options.shell))
    return 0


def completes(action: argparse.Action, words: Callable[[], Iterable[str]]) -> None:
    """Let the shell complete an argument.

    Args:
        action: The argument.
        words: Returns what it may be; called only by a shell that completes.
    """

    def completer(**_: Any) -> list[str]:
        return sorted(set(words()))

    action.completer = completer  # type: ignore[attr-defined]  # argcomplete looks for it


def identifiers() -> list[str]:
    """Return identifiers and bare names of the installed components."""
    listing = registry.list()
    return [*(entry.id for entry in listing), *(entry.name for entry in listing)]


def tags() -> list[str]:
    """Return the tags of the installed components."""
    return [tag for entry in registry.list() for tag in entry.tags]


def distributions() -> list[str]:
    """Return the distributions with components."""
    return [entry.distribution for entry in registry.list()]
