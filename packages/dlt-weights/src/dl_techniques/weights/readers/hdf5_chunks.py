"""Arrays that HDF5 stores in chunks, put together with bounds on every step."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from pyfive.btree import BTreeV1RawDataChunks
from pyfive.core import UNDEFINED_ADDRESS

from dl_techniques.weights.readers.values import Array

_DEFLATE: Final = 1
_SHUFFLE: Final = 2
_CHECKSUM: Final = 3
_CHECKSUM_BYTES: Final = 4
# Weights hardly shrink: a file that grows more than this is made to fill the memory.
_INFLATION: Final = 100
_SLACK: Final = 1 << 24
_NAMES: Final = {4: "szip", 5: "nbit", 6: "scale-offset", 32000: "lzf", 32001: "blosc"}


class Chunk(NamedTuple):
    """One chunk of a data set."""

    start: tuple[int, ...]
    """The indices of its first number."""
    offset: int
    size: int
    unfiltered: int
    """A bit for each filter that was not applied to this chunk."""


class Chunks(NamedTuple):
    """All that is needed to read a data set in chunks."""

    shape: tuple[int, ...]
    dtype: str
    """As NumPy spells it, byte order included."""
    chunk: tuple[int, ...]
    filters: tuple[int, ...]
    parts: tuple[Chunk, ...]

    def read(self, file: Any) -> Array:
        """Return the whole array.

        Args:
            file: The HDF5 file, open for reading.

        Raises:
            ValueError: If a chunk is damaged.
        """
        dtype = np.dtype(self.dtype)
        array: Array = np.empty(self.shape, dtype)
        nbytes = math.prod(self.chunk) * dtype.itemsize
        for part in self.parts:
            file.seek(part.offset)
            data = self._unpacked(file.read(part.size), part.unfiltered, nbytes, dtype.itemsize)
            block = np.frombuffer(data, dtype).reshape(self.chunk)
            ends = [
                min(a + c, n) for a, c, n in zip(part.start, self.chunk, self.shape, strict=True)
            ]
            target = tuple(slice(a, b) for a, b in zip(part.start, ends, strict=True))
            inside = tuple(slice(0, b - a) for a, b in zip(part.start, ends, strict=True))
            array[target] = block[inside]
        return array

    def _unpacked(self, data: bytes, unfiltered: int, nbytes: int, itemsize: int) -> bytes:
        """Undo the filters, the last first."""
        for place in reversed(range(len(self.filters))):
            if unfiltered >> place & 1:
                continue
            code = self.filters[place]
            if code == _DEFLATE:
                data = _inflated(data, nbytes + len(self.filters) * _CHECKSUM_BYTES)
            elif code == _SHUFFLE:
                data = _unshuffled(data, itemsize)
            else:
                BTreeV1RawDataChunks._verify_fletcher32(data)
                data = data[:-_CHECKSUM_BYTES]
        if len(data) != nbytes:
            raise ValueError(f"a chunk of {nbytes:,} bytes holds {len(data):,}")
        return data


def chunks_of(
    file: Any,
    objects: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    size: int,
) -> Chunks:
    """Find the chunks of a data set, after checking that they can be what it declares.

    Args:
        file: The HDF5 file.
        objects: The data set's header, as `pyfive` parsed it.
        shape: Its shape.
        dtype: Its type.
        size: How long the file is.

    Raises:
        ValueError: If numbers were never written, a filter is unknown, or little becomes much.
    """
    chunk = tuple(objects.chunks)
    filters = _filters(objects.filter_pipeline or ())
    if len(chunk) != len(shape) or 0 in chunk:
        raise ValueError("its chunks do not have its number of axes")
    count = math.prod(-(-n // c) for n, c in zip(shape, chunk, strict=True))
    address = objects._chunk_address
    if count and address == UNDEFINED_ADDRESS:
        raise ValueError("its numbers were never written")
    # Each chunk has an entry in the index.
    if 8 * count > size:
        raise ValueError("most of its numbers were never written")
    declared = max(math.prod(chunk), math.prod(shape)) * dtype.itemsize
    if declared > _INFLATION * size + _SLACK:
        raise ValueError(f"it declares {declared:,} bytes, of {size:,}: weights hardly shrink")
    parts: tuple[Chunk, ...] = ()
    if count and 0 < address < size:
        tree = BTreeV1RawDataChunks(file, address, objects._chunk_dims)
        parts = tuple(_parts(tree))
    _check(parts, shape, chunk, count, size)
    packed = _DEFLATE in filters
    stored = sum(part.size for part in parts)
    if not packed and stored < math.prod(shape) * dtype.itemsize:
        raise ValueError("its chunks hold less than it declares")
    if declared > _INFLATION * stored + _SLACK:
        raise ValueError(f"{stored:,} bytes would become {declared:,}: weights hardly shrink")
    return Chunks(shape, dtype.str, chunk, filters, parts)


def _filters(pipeline: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    codes = tuple(int(entry["filter_id"]) for entry in pipeline)
    for code in codes:
        if code not in {_DEFLATE, _SHUFFLE, _CHECKSUM}:
            raise ValueError(f"packed by the filter {_NAMES.get(code, code)}, which is not read")
    if len(codes) > 8 or len(set(codes)) < len(codes):
        raise ValueError("packed by more filters than are sensible")
    return codes


def _parts(tree: Any) -> Iterator[Chunk]:
    for node in tree.all_nodes[0]:
        for key, address in zip(node["keys"], node["addresses"], strict=True):
            start = tuple(key["chunk_offset"][:-1])
            yield Chunk(start, address, key["chunk_size"], key["filter_mask"])


def _check(
    parts: tuple[Chunk, ...],
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    count: int,
    size: int,
) -> None:
    places = {part.start for part in parts}
    if len(places) < count:
        missing = "its numbers" if not places else "some of its numbers"
        raise ValueError(f"{missing} were never written")
    for part in parts:
        inside = all(a < n and a % c == 0 for a, n, c in zip(part.start, shape, chunk, strict=True))
        if not inside or len(places) != len(parts) or part.offset + part.size > size:
            raise ValueError("its chunks lie outside the data set or the file")


def _inflated(data: bytes, most: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data, most)
        rest = inflater.unconsumed_tail and inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error as error:
        raise ValueError(f"a chunk is damaged: {error}") from error
    if rest:
        raise ValueError("a chunk is longer than it declares")
    return found


def _unshuffled(data: bytes, itemsize: int) -> bytes:
    """Undo the shuffle of bytes; a rest that is no whole number was left as it is."""
    whole = len(data) // itemsize * itemsize
    turned = np.frombuffer(data, np.uint8, whole).reshape(itemsize, -1).T
    return turned.tobytes() + data[whole:]
