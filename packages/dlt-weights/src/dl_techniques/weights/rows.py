"""Reading `weights.json`: strict, bounded, each row under a guard of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from dl_techniques.core.strict_json import StrictJSONError, parse
from dl_techniques.core.text import short_repr
from dl_techniques.weights.entry import HubSource, Source, UrlSource, WeightEntry, WheelSource
from dl_techniques.weights.licence import GATES, least_gate

FILENAME: Final = "weights.json"
SCHEMA: Final = 1
MAX_BYTES: Final = 16 * 1024 * 1024
_MAX_TOKENS: Final = 2_000_000
_MAX_DEPTH: Final = 12

_ID: Final = re.compile(r"[A-Za-z_][\w.-]*>[A-Za-z_]\w*")
_WORD: Final = re.compile(r"[\w.+-]{1,120}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_REVISION: Final = re.compile(r"[0-9a-f]{40}")
_REPO: Final = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_PACKAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,96}")
_OBJECT: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_REQUIRED: Final = ("component", "variant", "tag", "sources", "licence", "layout")
_KNOWN: Final = frozenset(
    {*_REQUIRED, "size", "sha256", "gate", "licence_url", "aliases", "config", "preprocess"}
    | {"metrics", "params", "golden", "verified"}
)


class RowError(ValueError):
    """A row or a whole listing that is not of the form that this version reads."""


class LayoutRow(NamedTuple):
    """The address of the rules of a component's layout; imported only on use."""

    component: str
    name: str
    object: str
    """`module:NAME`, inside the package of the listing."""
    distribution: str = ""
    location: str = ""


class Rows(NamedTuple):
    """The content of one listing."""

    weights: tuple[WeightEntry, ...]
    layouts: tuple[LayoutRow, ...]
    faults: tuple[str, ...]
    """Rows that were left out, and why."""


def parse_rows(data: bytes, *, package: str) -> Rows:
    """Read a listing.

    Args:
        data: The bytes of the file.
        package: The import package that it lies in; layouts must, too.

    Raises:
        RowError: If the document as a whole cannot be read.
    """
    try:
        document = parse(data, tokens=_MAX_TOKENS, depth=_MAX_DEPTH)
    except StrictJSONError as error:
        raise RowError(f"{FILENAME} {error}") from error
    if not isinstance(document, dict) or type(document.get("schema")) is not int:
        raise RowError(f"{FILENAME} must be an object with a `schema` number")
    if document["schema"] > SCHEMA:
        raise RowError(
            f"{FILENAME} has the schema {document['schema']}, this version reads {SCHEMA}: "
            "pip install --upgrade 'dlt-weights>=0.1,<1'"
        )
    faults: list[str] = []
    weights = list(_guarded(document, "weights", _entry, faults))
    layouts = list(_guarded(document, "layouts", lambda row: _layout(row, package), faults))
    return Rows(tuple(weights), tuple(layouts), tuple(faults))


def _guarded(document: Mapping[str, Any], key: str, read: Any, faults: list[str]) -> Iterator[Any]:
    rows = document.get(key, [])
    if not isinstance(rows, list):
        raise RowError(f"{FILENAME}: `{key}` must be a list")
    for number, row in enumerate(rows):
        try:
            if not isinstance(row, dict):
                raise RowError("must be an object")
            yield read(row)
        except RowError as error:
            faults.append(f"`{key}`, row {number}: {error}")


def _entry(row: Mapping[str, Any]) -> WeightEntry:
    missing = [key for key in _REQUIRED if key not in row]
    if missing:
        raise RowError(f"lacks {', '.join(missing)}")
    unknown = sorted(set(row) - _KNOWN)
    if unknown:
        raise RowError(f"has the unknown keys {short_repr(', '.join(unknown))}")
    licence = _text(row, "licence", _WORD).lower()
    gate = row.get("gate", "none")
    if gate not in GATES:
        raise RowError(f"`gate` must be one of {GATES}. Received: {short_repr(gate)}")
    return WeightEntry(
        component=_text(row, "component", _ID),
        variant=_text(row, "variant", _WORD, empty=True),
        tag=_text(row, "tag", _WORD),
        sources=_sources(row["sources"]),
        licence=licence,
        layout=_text(row, "layout", _WORD),
        size=_count(row, "size"),
        sha256=_text(row, "sha256", _HASH) if row.get("sha256") is not None else None,
        gate=max(gate, least_gate(licence), key=GATES.index),
        licence_url=_url(row["licence_url"]) if row.get("licence_url") else "",
        aliases=tuple(_matching("aliases", alias, _WORD) for alias in _list(row, "aliases")),
        config=_object(row, "config"),
        preprocess=_object(row, "preprocess"),
        metrics=_object(row, "metrics"),
        params=_count(row, "params"),
        golden=_path(row["golden"]) if row.get("golden") is not None else None,
        verified=_text(row, "verified", _DATE) if row.get("verified") else "",
    )


def _layout(row: Mapping[str, Any], package: str) -> LayoutRow:
    address = _text(row, "object", _OBJECT)
    if not f"{address.partition(':')[0]}.".startswith(f"{package}."):
        raise RowError(f"`object` must lie inside {package}. Received: {short_repr(address)}")
    return LayoutRow(_text(row, "component", _ID), _text(row, "name", _WORD), address)


def _sources(rows: Any) -> tuple[Source, ...]:
    if not isinstance(rows, list) or not rows:
        raise RowError("`sources` must be a list with at least one item")
    return tuple(_source(row) for row in rows)


def _source(row: Any) -> Source:
    kind = row.get("kind") if isinstance(row, dict) else None
    if kind == "hf":
        repo, revision = _text(row, "repo", _REPO), _text(row, "revision", _REVISION)
        return HubSource(repo, _path(row.get("file")), revision)
    if kind == "wheel":
        package, version = _text(row, "package", _PACKAGE), _text(row, "version", _WORD)
        return WheelSource(package, version, _path(row.get("file")))
    if kind == "url":
        return UrlSource(_url(row.get("url")))
    raise RowError(f"a source must be of the kind hf, wheel or url. Received: {short_repr(kind)}")


def parse_address(address: str) -> HubSource:
    """Read the address of a file on the hub.

    Args:
        address: `hf://owner/name/file@revision` with the full hash of the commit; without a file,
            `model.safetensors`.

    Raises:
        RowError: If it is malformed, or names no fixed revision.

    Example:
        >>> parse_address(f"hf://timm/vit_tiny@{'0' * 40}").file
        'model.safetensors'
    """
    place, _, revision = address.removeprefix("hf://").rpartition("@")
    owner, name, *file = place.split("/", 2) if place.count("/") else (place, "")
    if not re.fullmatch(_REVISION, revision):
        raise RowError(
            "an address must end with `@` and the 40 hexadecimal digits of a commit, so that it "
            f"stands for one file. Received: {short_repr(address)}"
        )
    repo = _matching("repo", f"{owner}/{name}", _REPO)
    return HubSource(repo, _path(file[0] if file else "model.safetensors"), revision)


def _text(
    row: Mapping[str, Any], key: str, pattern: re.Pattern[str], *, empty: bool = False
) -> str:
    value = row.get(key)
    return "" if empty and value == "" else _matching(key, value, pattern)


def _matching(key: str, value: Any, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value) or ".." in value:
        raise RowError(f"`{key}` is malformed: {short_repr(value)}")
    return value


def _count(row: Mapping[str, Any], key: str) -> int | None:
    value = row.get(key)
    if value is not None and (type(value) is not int or value < 0):
        raise RowError(f"`{key}` must be a whole number. Received: {short_repr(value)}")
    return value


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    value = row.get(key, [])
    if not isinstance(value, list):
        raise RowError(f"`{key}` must be a list. Received: {short_repr(value)}")
    return value


def _object(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = row.get(key, {})
    if not isinstance(value, dict):
        raise RowError(f"`{key}` must be an object. Received: {short_repr(value)}")
    return value


def _path(value: Any) -> str:
    """A relative path that stays in its folder on every system."""
    parts = PurePosixPath(value).parts if isinstance(value, str) else ()
    plain = all(re.fullmatch(r"[\w. +@=-]+", part) and part.strip(". ") for part in parts)
    if not parts or not plain or len(value) > 300:
        raise RowError(f"a file must be a relative path. Received: {short_repr(value)}")
    return str(PurePosixPath(*parts))


def _url(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https://[\w.-]+/[\x21-\x7e]{0,500}", value):
        raise RowError(f"an address must begin with https://. Received: {short_repr(value)}")
    if ".." in value or "\\" in value:
        raise RowError(f"an address must have no `..`. Received: {short_repr(value)}")
    return value
