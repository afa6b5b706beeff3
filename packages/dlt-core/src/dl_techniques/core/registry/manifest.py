"""The generated `components.json`: its schema, its writer and its reader.

A manifest is untrusted text from somebody else's distribution: reading it runs nothing, costs
little, and lets one malformed component hide none of its siblings.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

from dl_techniques.core import strict_json
from dl_techniques.core.__about__ import CONTRACT
from dl_techniques.core.contract.component import Declaration
from dl_techniques.core.contract.identifier import KINDS, parse_identifier
from dl_techniques.core.entry import Entry
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


_DEFAULTS: Final = Declaration._field_defaults
"""What a component may leave out, in the file as in the decorator."""
_REQUIRED: Final = ("id", "kind", "object", "summary")
KEYS: Final = (*_REQUIRED, *_DEFAULTS)
"""The keys of a component; each is a field of `Entry`."""


class Manifest(NamedTuple):
    """All components of one package."""

    namespace: str
    package: str
    components: tuple[Entry, ...]
    """Without distribution, version and location, which the file does not state."""
    contract: int = CONTRACT
    schema: int = SCHEMA
    faults: tuple[str, ...] = ()
    """What is wrong with components that were left out, one text each; not part of the file."""

    def to_json(self) -> str:
        """The text of the file: sorted by identifier, one line end at the end."""
        document = {
            "schema": self.schema,
            "contract": self.contract,
            "namespace": self.namespace,
            "package": self.package,
            "components": [to_json(entry) for entry in sorted(self.components, key=_by_id)],
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
        entries, faults = [], []
        for index, item in enumerate(items):
            try:
                entry = parse_component(item, str(namespace), package, newer=schema > SCHEMA)
                entries.append(entry._replace(contract=contract))
            except ValueError as error:
                faults.append(f"components[{index}]{_label(item)}: {error}")
        return cls(str(namespace), package, tuple(entries), contract, schema, tuple(faults))


def parse_component(data: Any, namespace: str, package: str, *, newer: bool = False) -> Entry:
    """Check one component of a manifest.

    Args:
        data: The object in the file.
        namespace: The manifest's namespace; the identifier and all aliases must be in it.
        package: The manifest's package; the object must live inside it.
        newer: Whether a later schema wrote it, which may have further keys.

    Raises:
        ValueError: If anything about it is malformed; the text names the key.
    """
    if not isinstance(data, dict):
        raise ValueError(f"a component must be an object. Received: {short_repr(data)}")
    unknown = data.keys() - set(KEYS)
    if unknown and not newer:
        raise ValueError(f"unknown key {short_repr(min(unknown))}")
    missing = [key for key in _REQUIRED if key not in data]
    if missing:
        raise ValueError(f"the key `{missing[0]}` is missing")
    entry = Entry(
        id=_identifier(data["id"], "id", namespace),
        kind=_kind(data["kind"]),
        object=_address(data["object"], package),
        summary=_text(data["summary"], "summary"),
        **{key: _value(data.get(key, default), key, default) for key, default in _DEFAULTS.items()},
    )
    for alias in entry.aliases:
        _identifier(alias, "aliases", namespace)
    if entry.id in entry.aliases or len(set(entry.aliases)) < len(entry.aliases):
        raise ValueError(
            "`aliases` must be distinct and differ from `id`. "
            f"Received: aliases={short_repr(list(entry.aliases))}"
        )
    return entry


def to_json(entry: Entry) -> dict[str, Any]:
    """Return a component as JSON types; keys that hold their default are left out.

    Args:
        entry: The component.
    """
    values = {key: getattr(entry, key) for key in KEYS}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if key not in _DEFAULTS or value != _DEFAULTS[key]
    }


def _by_id(entry: Entry) -> str:
    return entry.id


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise ManifestError(f"the file is larger than {MAX_BYTES} bytes")
    try:
        document = strict_json.loads(data)
    except UnicodeDecodeError as error:
        raise ManifestError(f"the file is not UTF-8: {error.reason} at {error.start}") from error
    except ValueError as error:
        raise ManifestError(f"the file {error}") from error
    if not isinstance(document, dict):
        raise ManifestError(f"the file must hold an object. Received: {short_repr(document)}")
    return document


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


def _value(value: object, key: str, default: object) -> Any:
    """Check an optional value, whose default tells its type: a flag, texts or a text."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"`{key}` must be true or false. Received: {short_repr(value)}")
        return value
    if value is None or value == default:
        return default
    if isinstance(default, tuple):
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise ValueError(f"`{key}` must be a list of at most {MAX_ITEMS} texts")
        return tuple(_text(item, key) for item in value)
    return _text(value, key)


def _label(item: object) -> str:
    identifier = item.get("id") if isinstance(item, dict) else None
    return f" ({short_repr(identifier)})" if isinstance(identifier, str) else ""
