"""The generated `components.json`: its schema, how it is written, and how it is read.

A manifest is untrusted text from somebody else's distribution: reading it runs nothing, costs
little, and lets one malformed component hide none of its siblings.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

from dl_techniques.core.__about__ import CONTRACT
from dl_techniques.core.contract.identifier import KINDS, parse_identifier
from dl_techniques.core.text import UNPRINTABLE, short_repr

SCHEMA: Final = 1
"""The layout of the file; a reader refuses to resolve what a later layout declares."""

FILENAME: Final = "components.json"
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_COMPONENTS: Final = 10_000
MAX_ITEMS: Final = 200
MAX_TEXT: Final = 1_000

_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_ADDRESS = re.compile(rf"({_MODULE.pattern}):([A-Za-z_][A-Za-z0-9_]*)")


class ManifestError(ValueError):
    """The file as a whole cannot be read as a manifest."""


class Record(NamedTuple):
    """One component as the manifest declares it; the fields are the keys of the file."""

    id: str
    kind: str
    object: str
    """`module:Name`, inside the manifest's package."""
    summary: str
    """The first line of the docstring."""
    tags: tuple[str, ...] = ()
    paper: str | None = None
    aliases: tuple[str, ...] = ()
    since: str | None = None
    deprecated: str | None = None
    unsafe: bool = False
    variants: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The record as JSON types; fields that hold their default are left out."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in self._asdict().items()
            if key not in _OPTIONAL or value != _OPTIONAL[key]
        }

    @classmethod
    def parse(cls, data: Any, *, namespace: str, package: str, newer: bool = False) -> Record:
        """Check one component of a manifest.

        Args:
            data: What the file holds.
            namespace: The manifest's namespace; the identifier and all aliases must be in it.
            package: The manifest's package; the object must live inside it.
            newer: Whether a later schema wrote it, which may have further keys.

        Raises:
            ValueError: If anything about it is malformed; the text names the key.
        """
        if not isinstance(data, dict):
            raise ValueError(f"a component must be an object. Received: {short_repr(data)}")
        unknown = data.keys() - set(cls._fields)
        if unknown and not newer:
            raise ValueError(f"unknown key {short_repr(min(unknown))}")
        missing = [key for key in _REQUIRED if key not in data]
        if missing:
            raise ValueError(f"the key `{missing[0]}` is missing")
        record = cls(
            id=_identifier(data["id"], "id", namespace),
            kind=_kind(data["kind"]),
            object=_address(data["object"], package),
            summary=_text(data["summary"], "summary"),
            tags=_texts(data, "tags"),
            paper=_optional_text(data, "paper"),
            aliases=tuple(
                _identifier(alias, "aliases", namespace) for alias in _texts(data, "aliases")
            ),
            since=_optional_text(data, "since"),
            deprecated=_optional_text(data, "deprecated"),
            unsafe=_flag(data, "unsafe"),
            variants=_texts(data, "variants"),
        )
        if record.id in record.aliases or len(set(record.aliases)) < len(record.aliases):
            raise ValueError(
                "`aliases` must be distinct and differ from `id`. "
                f"Received: aliases={short_repr(list(record.aliases))}"
            )
        return record


_OPTIONAL: Final = Record._field_defaults
_REQUIRED: Final = tuple(key for key in Record._fields if key not in _OPTIONAL)


class Manifest(NamedTuple):
    """All components of one package."""

    namespace: str
    package: str
    components: tuple[Record, ...]
    contract: int = CONTRACT
    schema: int = SCHEMA
    faults: tuple[str, ...] = ()
    """What is wrong with components that were left out, one text each; not part of the file."""

    @property
    def newer(self) -> bool:
        """Whether a later core than this one is needed to resolve its components."""
        return self.schema > SCHEMA or self.contract > CONTRACT

    def to_json(self) -> str:
        """The text of the file: sorted by identifier, one line end at the end."""
        document = {
            "schema": self.schema,
            "contract": self.contract,
            "namespace": self.namespace,
            "package": self.package,
            "components": [record.to_json() for record in sorted(self.components, key=_by_id)],
        }
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def parse(cls, data: bytes, *, package: str) -> Manifest:
        """Read the bytes of a `components.json`.

        Args:
            data: The content of the file.
            package: The import package that the entry point names.

        Returns:
            The manifest with its healthy components; `faults` tells of the others.

        Raises:
            ManifestError: If the file as a whole cannot be read.
        """
        document = _document(data)
        schema = _number(document, "schema")
        contract = _number(document, "contract")
        unknown = document.keys() - {"schema", "contract", "namespace", "package", "components"}
        if unknown and schema <= SCHEMA:
            raise ManifestError(f"unknown key {short_repr(min(unknown))}")
        namespace = document.get("namespace")
        try:
            parse_identifier(f"{namespace}>Name" if isinstance(namespace, str) else namespace)
        except ValueError as error:
            raise ManifestError(f"`namespace` is not one: {short_repr(namespace)}") from error
        if document.get("package") != package:
            raise ManifestError(
                f"`package` must be {package!r}, as the entry point says. "
                f"Received: package={short_repr(document.get('package'))}"
            )
        items = document.get("components")
        if not isinstance(items, list) or len(items) > MAX_COMPONENTS:
            raise ManifestError(f"`components` must be a list of at most {MAX_COMPONENTS} objects")
        records, faults = [], []
        for index, item in enumerate(items):
            try:
                records.append(
                    Record.parse(
                        item, namespace=str(namespace), package=package, newer=schema > SCHEMA
                    )
                )
            except ValueError as error:
                faults.append(f"components[{index}]{_label(item)}: {error}")
        return cls(str(namespace), package, tuple(records), contract, schema, tuple(faults))


def _by_id(record: Record) -> str:
    return record.id


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise ManifestError(f"the file is larger than {MAX_BYTES} bytes")
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except RecursionError as error:
        raise ManifestError("the file is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"the file is not UTF-8: {error.reason} at {error.start}") from error
    except ValueError as error:
        raise ManifestError(f"the file is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ManifestError(f"the file must hold an object. Received: {short_repr(document)}")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {short_repr(repeated)} occurs twice")
    return result


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON value")


def _number(document: dict[str, Any], key: str) -> int:
    value = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise ManifestError(
            f"`{key}` must be a positive whole number. Received: {short_repr(value)}"
        )
    return value


def _identifier(value: object, key: str, namespace: str) -> str:
    identifier = parse_identifier(value)
    if identifier.namespace != namespace:
        raise ValueError(
            f"`{key}` must be in the manifest's own namespace {namespace!r}. "
            f"Received: {key}={str(identifier)!r}"
        )
    return str(identifier)


def _kind(value: object) -> str:
    if value not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: {short_repr(value)}")
    return str(value)


def _address(value: object, package: str) -> str:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) and len(value) < MAX_TEXT else None
    if match is None:
        raise ValueError(f"`object` must read `module:Name`. Received: object={short_repr(value)}")
    module = match[1]
    if module != package and not module.startswith(f"{package}."):
        raise ValueError(
            f"`object` must live inside {package!r}. Received: object={short_repr(value)}"
        )
    return match[0]


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"`{key}` must be a text. Received: {short_repr(value)}")
    if len(value) > MAX_TEXT:
        raise ValueError(f"`{key}` is longer than {MAX_TEXT} characters")
    if UNPRINTABLE.search(value):
        raise ValueError(f"`{key}` holds control characters. Received: {short_repr(value)}")
    return value


def _optional_text(data: dict[str, Any], key: str) -> str | None:
    value = data.get(key)
    return None if value is None else _text(value, key)


def _texts(data: dict[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise ValueError(f"`{key}` must be a list of at most {MAX_ITEMS} texts")
    return tuple(_text(item, key) for item in value)


def _flag(data: dict[str, Any], key: str) -> bool:
    value = data.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"`{key}` must be true or false. Received: {short_repr(value)}")
    return value


def _label(item: object) -> str:
    identifier = item.get("id") if isinstance(item, dict) else None
    return f" ({short_repr(identifier)})" if isinstance(identifier, str) else ""
