"""The origin of a model file: one JSON member that `save_model` adds.

It is the file's own claim. It is shown, and its digests detect accidents and careless edits; who
can rewrite the file can rewrite it too, so nothing is ever decided by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.archive import PROVENANCE
from dl_techniques.core.text import short_repr

FORMAT: Final = 1
_LONGEST: Final = 300
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Origin(NamedTuple):
    """The provider of one component when the file was saved."""

    distribution: str
    """Empty if it was declared in the program itself."""
    version: str
    object: str
    """`module:Name`, for people; never imported."""


class Provenance(NamedTuple):
    """Everything that the member says."""

    keras: str
    least_keras: str
    """The earliest known Keras that can build it."""
    backend: str
    python: str
    core: str
    """The version of dlt-core that wrote the file."""
    contract: int
    components: Mapping[str, Origin]
    """Identifier -> its origin."""
    members: Mapping[str, str]
    """Every other member -> its sha256."""
    weights: Mapping[str, str] = MappingProxyType({})
    """Where pretrained weights come from: `source`, `sha256`, `licence`, ..."""

    def to_json(self) -> dict[str, Any]:
        """Return the member as JSON types."""
        document = {"format": FORMAT, **self._asdict()}
        document["components"] = {
            name: origin._asdict() for name, origin in sorted(self.components.items())
        }
        document["members"] = dict(sorted(self.members.items()))
        document["weights"] = dict(self.weights)
        return document

    def to_bytes(self) -> bytes:
        """Return the member as it is written."""
        return json.dumps(self.to_json(), indent=1).encode("ascii")


def parse(document: Any, *, label: str) -> Provenance:
    """Read the member.

    Args:
        document: The parsed JSON.
        label: The file's name in messages.

    Raises:
        ModelFileError: If it is malformed, or of a later format.
    """
    if not isinstance(document, dict):
        raise _error("is not an object.", label)
    if document.get("format") != FORMAT:
        raise _error(
            f"has the format {short_repr(document.get('format'))}; this core reads {FORMAT}.",
            label,
            "Upgrade: pip install -U 'dlt-core>=0.1,<1'",
        )
    texts = {key: _text(document, key, label) for key in _TEXTS}
    contract = document.get("contract")
    if not isinstance(contract, int) or isinstance(contract, bool):
        raise _error("has a `contract` that is not a number.", label)
    components = {
        name: Origin(*(_text(origin, key, label) for key in Origin._fields))
        for name, origin in _mapping(document, "components", label).items()
    }
    members = _mapping(document, "members", label)
    # Files of the first release lack it.
    weights = {} if "weights" not in document else _mapping(document, "weights", label)
    weights = {key: _text(weights, key, label) for key in weights}
    for name, digest in members.items():
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise _error(f"has no sha256 for {short_repr(name)}.", label)
    return Provenance(
        contract=contract, components=components, members=members, weights=weights, **texts
    )


_TEXTS: Final = ("keras", "least_keras", "backend", "python", "core")


def weights_origin(model: Any) -> dict[str, str]:
    """Return a model's `weights_origin`, the source of its pretrained weights, as short texts.

    Args:
        model: The model.
    """
    origin = getattr(model, "weights_origin", None)
    if not isinstance(origin, Mapping):
        return {}
    return {
        str(key): str(value)[:_LONGEST]
        for key, value in origin.items()
        if str(value)[:_LONGEST].isprintable() and value not in (None, "")
    }


def check_digests(provenance: Provenance, digests: Mapping[str, str], *, label: str) -> None:
    """Compare what the file says of its members with what they are.

    Args:
        provenance: Its content.
        digests: Every other member -> its sha256.
        label: The file's name in messages.

    Raises:
        ModelFileError: If a member was altered, added or taken away.
    """
    for name in sorted({*digests, *provenance.members}):
        if digests.get(name) != provenance.members.get(name):
            kind = "was altered" if name in digests and name in provenance.members else "was added"
            kind = kind if name in digests else "is missing"
            raise ModelFileError(
                f"{kind} after the file was saved.",
                path=label,
                member=name,
                hint="Fetch the file again, or save the model again with `save_model`.",
            )


def _text(document: Any, key: str, label: str) -> str:
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
        raise _error(f"has a `{key}` that is not one short line of text.", label)
    return value


def _mapping(document: dict[str, Any], key: str, label: str) -> dict[str, Any]:
    value = document.get(key)
    if not isinstance(value, dict) or not all(
        len(name) <= _LONGEST and name.isprintable() for name in value
    ):
        raise _error(f"has a `{key}` that is not an object with short names.", label)
    return value


def _error(
    message: str, label: str, hint: str = "Save the model again with `save_model`."
) -> ModelFileError:
    return ModelFileError(message, path=label, member=PROVENANCE, hint=hint)
