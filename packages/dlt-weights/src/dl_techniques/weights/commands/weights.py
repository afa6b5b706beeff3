"""`dl-techniques weights`."""

from __future__ import annotations

import argparse
import fnmatch
import shutil
import sys
from pathlib import Path
from typing import Any

from dl_techniques.core.cli.output import UserError, complain, say, say_json
from dl_techniques.core.text import size_text
from dl_techniques.weights.cache import locate
from dl_techniques.weights.catalog import find_weights, list_weights, read_catalog
from dl_techniques.weights.download import fetch
from dl_techniques.weights.entry import WeightEntry
from dl_techniques.weights.errors import HashMismatch
from dl_techniques.weights.mirror import mirror, verify


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the commands.

    Args:
        parser: The parser of `weights`.
    """
    commands = parser.add_subparsers(metavar="ACTION", required=True)
    listing = commands.add_parser("list", help="list weights, without importing anything")
    listing.add_argument("component", nargs="?", help="only those of ViT, or of ViT/tiny")
    listing.add_argument("--licence", help="only those under this licence")
    listing.add_argument("--commercial", action="store_true", help="only for commercial use")
    listing.add_argument("--cached", action="store_true", help="only those on this machine")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(func=_list)
    info = commands.add_parser("info", help="show sources, licence, preprocessing, metrics")
    info.add_argument("name", help="such as ViT/tiny/imagenet")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(func=_info)
    fetching = commands.add_parser("fetch", help="download a file into the cache")
    fetching.add_argument("name", nargs="+", help="such as ViT/tiny/imagenet")
    fetching.add_argument("--into", metavar="DIR", type=Path, help="copy it there, too")
    _add_consent(fetching)
    fetching.set_defaults(func=_fetch)
    mirroring = commands.add_parser("mirror", help="make a folder for a machine without a network")
    mirroring.add_argument("folder", type=Path)
    mirroring.add_argument("pattern", nargs="+", help="names, or patterns such as 'ViT/*'")
    _add_consent(mirroring)
    mirroring.set_defaults(func=_mirror)
    verifying = commands.add_parser("verify", help="compare files with their hashes")
    verifying.add_argument("folder", nargs="?", type=Path, help="a mirror; by default the cache")
    verifying.set_defaults(func=_verify)


def _add_consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accept-license", metavar="NAME", help="the licence that you accept")


def _list(options: argparse.Namespace) -> int:
    found = list_weights(
        options.component, licence=options.licence, commercial=options.commercial or None
    )
    entries = [entry for entry in found if not options.cached or _where(entry)]
    if options.json:
        say_json(weights=[_row(entry) for entry in entries])
    elif entries:
        header = ("NAME", "LICENCE", "SIZE", "CHECKED", "DISTRIBUTION")
        rows = [header, *(_cells(entry) for entry in entries)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            say("  ".join(cells).rstrip())
    else:
        say("(no weights)")
    catalog = read_catalog()
    for problem in catalog.problems:
        complain(str(problem))
    return 0


def _cells(entry: WeightEntry) -> tuple[str, ...]:
    size = size_text(entry.size) if entry.size is not None else "?"
    return entry.name, entry.licence, size, entry.verified or "unverified", entry.distribution


def _row(entry: WeightEntry) -> dict[str, Any]:
    row = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
    row |= {name: dict(row[name]) for name in ("config", "preprocess", "metrics")}
    return row | {"sources": [str(source) for source in entry.sources], "name": entry.name}


def _where(entry: WeightEntry) -> str:
    try:
        place = locate(entry)
    except HashMismatch as error:
        complain(str(error))
        return ""
    return f"{place.path} ({place.kind})" if place else ""


def _info(options: argparse.Namespace) -> int:
    entry = find_weights(options.name)
    row = _row(entry) | {"local": _where(entry)}
    if options.json:
        say_json(weights=row)
        return 0
    for name, value in row.items():
        for line in value if isinstance(value, list) else [value]:
            if line not in ("", None, (), {}):
                say(f"{name:<12} {line}")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    for name in options.name:
        path = fetch(name, accept_license=options.accept_license, progress=sys.stderr.isatty())
        if options.into:
            options.into.mkdir(parents=True, exist_ok=True)
            path = Path(shutil.copy2(path, options.into / path.name))
        say(str(path))
    return 0


def _mirror(options: argparse.Namespace) -> int:
    everything = list_weights()
    chosen: dict[str, WeightEntry] = {}
    for pattern in options.pattern:
        matching = [
            entry
            for entry in everything
            if any(fnmatch.fnmatchcase(name, pattern) for name in entry.names)
        ]
        if not matching:
            raise UserError(f"No weights match {pattern!r}. See `dl-techniques weights list`.")
        chosen |= {entry.name: entry for entry in matching}
    for path in mirror(options.folder, chosen.values(), accept_license=options.accept_license):
        say(str(path))
    return 0


def _verify(options: argparse.Namespace) -> int:
    if options.folder is not None and not options.folder.is_dir():
        raise UserError(f"There is no folder {str(options.folder)!r}.")
    verdicts = verify(options.folder)
    for verdict in verdicts:
        say(f"{verdict.state:<12} {verdict.path}")
    return int(any(verdict.state in {"wrong", "missing"} for verdict in verdicts))
