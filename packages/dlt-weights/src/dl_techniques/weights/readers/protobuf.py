"""The wire format of protocol buffers: fields of a message, without a schema and without copies."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from dl_techniques.weights.errors import UnreadableFile

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
_LONGEST_VARINT: Final = 10


class Field(NamedTuple):
    """One field of a message."""

    number: int
    wire: int
    value: int
    """A number, or where the bytes begin in the file."""
    size: int
    """How many bytes there are."""


def fields(data: memoryview, begin: int, end: int) -> Iterator[Field]:
    """The fields of the message between two places.

    Args:
        data: The file.
        begin: Where the message begins.
        end: Where it ends.

    Raises:
        UnreadableFile: If it is damaged.
    """
    position = begin
    while position < end:
        key, position = _varint(data, position, end)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, position = _varint(data, position, end)
            yield Field(number, wire, value, 0)
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(wire, -1)
        if wire == BYTES:
            size, position = _varint(data, position, end)
        if size < 0 or position + size > end or number == 0:
            raise UnreadableFile("a message is damaged or cut off")
        yield Field(number, wire, position, size)
        position += size


def varints(data: memoryview, field: Field) -> list[int]:
    """The numbers of a repeated integer field, packed or single, as signed 64-bit integers.

    Args:
        data: The file.
        field: The field.
    """
    if field.wire == VARINT:
        return [_signed(field.value)]
    found, position, end = [], field.value, field.value + field.size
    while position < end:
        value, position = _varint(data, position, end)
        found.append(_signed(value))
    return found


def text(data: memoryview, field: Field) -> str:
    """The text of a field.

    Args:
        data: The file.
        field: The field.
    """
    return bytes(data[field.value : field.value + field.size]).decode("utf-8", "backslashreplace")


def pair(data: memoryview, field: Field) -> dict[str, str]:
    """The key and the value of a message that has these two texts.

    Args:
        data: The file.
        field: The message.
    """
    inner = {
        part.number: text(data, part)
        for part in fields(data, field.value, field.value + field.size)
        if part.wire == BYTES
    }
    return {inner.get(1, ""): inner.get(2, "")}


def number(data: memoryview, field: Field, form: str) -> Any:
    """The number of a field of fixed size.

    Args:
        data: The file.
        field: The field.
        form: As of `struct`.
    """
    return struct.unpack_from(form, data, field.value)[0]


def _varint(data: memoryview, position: int, end: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
    raise UnreadableFile("a message is damaged or cut off")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
