"""`dl-techniques info`."""

from __future__ import annotations

import argparse
import itertools
import math
from typing import Any, Final

from dl_techniques.core.cli.completion import completes, identifiers
from dl_techniques.core.cli.output import say, say_json, stdout_diverted
from dl_techniques.core.contract.example import Fresh
from dl_techniques.core.entry import Entry
from dl_techniques.core.errors import ComponentError
from dl_techniques.core.project.source import read_source
from dl_techniques.core.registry.listing import Listing
from dl_techniques.core.registry.registry import registry
from dl_techniques.core.text import describe_error

_MOST_EXAMPLES: Final = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Args:
        parser: The command's parser.
    """
    identifier = parser.add_argument("id", help="identifier, alias or unique bare name")
    completes(identifier, identifiers)
    parser.add_argument(
        "--examples", action="store_true", help="also its examples; imports the component"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Show one component.

    Args:
        options: The parsed arguments.
    """
    entry = registry.find(options.id)
    source = read_source(entry)
    details: dict[str, Any] = source._asdict() if source is not None else {}
    if options.examples:
        details["examples"] = _configurations(entry)
    if options.json:
        (record,) = Listing([entry]).records()
        say_json(component={**record, **details})
        return 0
    say(_text(entry, details))
    return 0


def _configurations(entry: Entry) -> list[Any]:
    """Return the examples, which only the imported object has."""
    with stdout_diverted():
        target = registry.load(entry.id)
        try:
            return [_plain(dict(example.config)) for example in _examples(target)]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # `examples` is the component's own code
            raise ComponentError(
                f"The examples of {entry.id} of {entry.distribution} {entry.version} cannot be "
                f"shown: {describe_error(error)}",
                id=entry.id,
                distribution=entry.distribution,
            ) from error


def _examples(target: Any) -> list[Any]:
    examples = getattr(target, "examples", None)
    return list(itertools.islice(examples(), _MOST_EXAMPLES)) if callable(examples) else []


def _plain(value: Any) -> Any:
    """A setting as JSON types; what has none shows itself."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Fresh):
        return "(made anew)"
    finite = not isinstance(value, float) or math.isfinite(value)
    return value if isinstance(value, str | int | float | None) and finite else repr(value)


def _text(entry: Entry, details: dict[str, Any]) -> str:
    facts = [
        ("kind", entry.kind),
        ("provider", f"{entry.distribution} {entry.version}"),
        ("object", entry.object),
        ("paper", entry.paper),
        ("tags", ", ".join(entry.tags)),
        ("aliases", ", ".join(entry.aliases)),
        ("variants", ", ".join(entry.variants)),
        ("since", entry.since),
        ("deprecated", entry.deprecated),
        ("unsafe", "yes: loading it can run code that the file chooses" if entry.unsafe else None),
    ]
    width = max(len(name) for name, value in facts if value)
    lines = [entry.id, *(f"  {name:{width}}  {value}" for name, value in facts if value)]
    if "signature" in details:
        lines += ["", details["signature"], "", details["docstring"]]
    else:
        lines += ["", entry.summary]
    for config in details.get("examples", ()):
        arguments = ", ".join(f"{key}={value!r}" for key, value in config.items())
        lines.append(f"\nExample: {entry.object.partition(':')[2]}({arguments})")
    return "\n".join(lines)
