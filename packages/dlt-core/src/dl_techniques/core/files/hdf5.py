"""Read the datasets of an untrusted HDF5 file with pyfive, which is pure Python.

libhdf5 trusts the structure of what it opens: a damaged or forged file can corrupt the memory of
the process. Here each object is looked at before its data are read: hard links, plain numbers,
three filters and storage that is really there. Everything else is refused with the reason.
"""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, Literal, NamedTuple, cast

import numpy as np

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_UNDEFINED: Final = 0xFFFF_FFFF_FFFF_FFFF
_COMPACT, _CONTIGUOUS, _CHUNKED = 0, 1, 2
_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_FILTERS: Final = frozenset({_DEFLATE, _SHUFFLE, _FLETCHER32})
# Numbers of header messages, as the format's specification lists them.
_DATASPACE, _DATATYPE, _EXTERNAL_FILES, _LAYOUT, _PIPELINE, _ATTRIBUTE = 1, 3, 7, 8, 11, 12
_SHARED: Final = 2
_FIXED_POINT, _FLOATING_POINT, _OPAQUE, _ENUM = 0, 1, 5, 8
# Exponent's place and size, mantissa's place and size, and bias of the IEEE formats, by bytes.
_IEEE: Final = {2: (10, 5, 0, 10, 15), 4: (23, 8, 0, 23, 127), 8: (52, 11, 0, 52, 1023)}
_MOST_DIMENSIONS: Final = 32
_MOST_ATTRIBUTE_BYTES: Final = 4096


class HDF5Error(ValueError):
    """An HDF5 file cannot be read.

    Args:
        message: The fault.
        path: The object inside the file, if it is about one.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class Dataset(NamedTuple):
    """One dataset whose storage was found sound."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    """A Keras dtype name."""
    stored: np.dtype[Any]
    """The numbers as the file has them, with their byte order."""
    pieces: tuple[Piece, ...]
    """Where its bytes are."""
    chunk: tuple[int, ...] = ()
    """The shape of a chunk; empty if it is stored in one piece."""
    filters: tuple[int, ...] = ()
    inline: bytes = b""
    """The elements themselves, where the header holds them."""

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of its elements."""
        return self.size * self.stored.itemsize


class Piece(NamedTuple):
    """Consecutive bytes of a dataset in the file."""

    offset: int
    length: int
    start: tuple[int, ...] = ()
    """The index of a chunk's first element."""
    mask: int = 0
    """A bit for each filter that was not applied to a chunk."""


class HDF5File:
    """An HDF5 file, or the part of a file that is one.

    Args:
        file: An open file.
        start: Where the HDF5 file starts.
        size: Its bytes.
        objects: The most groups and datasets that it may have.
        depth: The most groups inside each other.
        name: The most characters of a name.
    """

    def __init__(
        self, file: BinaryIO, start: int, size: int, *, objects: int, depth: int, name: int
    ) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._objects = objects
        self._depth = depth
        self._name = name
        self.groups: list[str] = []
        """The groups that `datasets` met, in its order."""

    def datasets(self) -> Iterator[Dataset]:
        """Visit every object once and yield the datasets, without reading their elements.

        Raises:
            HDF5Error: If anything is not a group, a hard link or a sound dataset of numbers.
        """
        place = [""]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pyfive's, about types that are refused below
                yield from self._walk(place)
        except HDF5Error:
            raise
        # pyfive reports damage by whatever its parsing runs into.
        except Exception as error:
            text = f"is damaged: {type(error).__name__}: {error}"
            raise HDF5Error(text, place[0]) from error

    def read(self, dataset: Dataset) -> np.ndarray[Any, Any]:
        """Read the elements of a dataset, in the machine's byte order.

        Args:
            dataset: One that `datasets` yielded.

        Raises:
            HDF5Error: If a chunk cannot be decoded, or a boolean is neither 0 nor 1.
        """
        array = np.empty(dataset.shape, dataset.stored)
        flat = array.reshape(-1).view(np.uint8)
        if dataset.inline:
            flat[:] = np.frombuffer(dataset.inline, np.uint8)
        elif dataset.chunk:
            for piece in dataset.pieces:
                self._read_chunk(dataset, piece, array)
        else:
            for piece in dataset.pieces:
                self._file.seek(self._start + piece.offset)
                if self._file.readinto(flat.data) != piece.length:  # type: ignore[attr-defined]
                    raise HDF5Error("became shorter while it was read.", dataset.path)
        if dataset.dtype == "bool":
            if (array > 1).any():
                raise HDF5Error("has a boolean that is neither 0 nor 1.", dataset.path)
            return array.astype(bool)
        if dataset.stored.kind == "V":
            return array
        return array.astype(dataset.stored.newbyteorder("="), copy=False)

    # Structure.

    def _walk(self, place: list[str]) -> Iterator[Dataset]:
        from pyfive.dataobjects import DataObjects

        file = cast("BinaryIO", _BoundedFile(self._file, self._start, self._size))
        if file.read(len(SIGNATURE)) != SIGNATURE:
            raise HDF5Error("is not an HDF5 file.")
        stack: list[tuple[str, int, int]] = [("", _root(file), 0)]
        seen: set[int] = set()
        extents: list[tuple[int, int, str]] = []
        while stack:
            path, address, depth = stack.pop()
            place[0] = path
            if address in seen:
                raise HDF5Error("is reached twice: a cycle or a shared object.", path)
            seen.add(address)
            if len(seen) + len(stack) > self._objects:
                raise HDF5Error(f"holds more than {self._objects} objects.", path)
            item = DataObjects(file, address)
            if item.is_dataset:
                dataset = self._dataset(item, file, path)
                extents += ((p.offset, p.length, path) for p in dataset.pieces if p.length)
                yield dataset
                continue
            if depth > self._depth:
                raise HDF5Error(f"is nested deeper than {self._depth} groups.", path)
            links = [*self._links(item, path)]
            if not links and not _is_group(item):
                raise HDF5Error("is neither a group nor a dataset.", path)
            self.groups.append(path)
            stack.extend((name, target, depth + 1) for name, target in reversed(links))
        _require_disjoint(extents)

    def _links(self, group: Any, path: str) -> Iterator[tuple[str, int]]:
        for name, target in sorted(group.get_links().items()):
            place = f"{path}/{name}" if path else name
            plain = 0 < len(name) <= self._name and name not in {".", ".."} and "/" not in name
            if not plain or not name.isprintable():
                raise HDF5Error("has an invalid name.", place)
            if not isinstance(target, int):
                raise HDF5Error("is a soft link.", place)
            yield place, target

    def _dataset(self, item: Any, file: BinaryIO, path: str) -> Dataset:
        _require_whole_header(item, path)
        shape = item.shape
        if shape is None or len(shape) > _MOST_DIMENSIONS:
            raise HDF5Error("has no shape, or too many dimensions.", path)
        dtype, stored = _types(item, path)
        dataset = Dataset(path, shape, dtype, stored, ())
        message, layout, start = item.get_id_storage_params()
        version = item.msg_data[message]
        if version not in {3, 4}:
            raise HDF5Error(f"has a storage layout of version {version}.", path)
        if layout == _COMPACT:
            (length,) = struct.unpack_from("<H", item.msg_data, start)
            data = bytes(item.msg_data[start + 2 : start + 2 + length])
            if not len(data) == length == dataset.nbytes:
                raise _short(dataset, len(data))
            return dataset._replace(inline=data)
        if layout == _CONTIGUOUS:
            offset, length = struct.unpack_from("<QQ", item.msg_data, start)
            return self._contiguous(dataset, offset, length)
        if layout == _CHUNKED and version == 3:  # the layout's version
            return self._chunked(dataset, item, file)
        what = "a chunk index of a later format" if layout == _CHUNKED else "a view of others"
        raise HDF5Error(f"is stored in {what}, which is not read.", path)

    def _contiguous(self, dataset: Dataset, offset: int, length: int) -> Dataset:
        if not dataset.nbytes:
            return dataset
        if offset == _UNDEFINED or length != dataset.nbytes:
            raise _short(dataset, 0 if offset == _UNDEFINED else length)
        return dataset._replace(pieces=(self._piece(dataset, Piece(offset, length)),))

    def _chunked(self, dataset: Dataset, item: Any, file: BinaryIO) -> Dataset:
        chunk = item.chunks
        filters = tuple(entry["filter_id"] for entry in item.filter_pipeline or ())
        unknown = [code for code in filters if code not in _FILTERS]
        if unknown or len(set(filters)) < len(filters):
            raise HDF5Error(
                f"needs a decoder that is not used here (filters {filters}).", dataset.path
            )
        if len(chunk) != len(dataset.shape) or not all(chunk):
            raise HDF5Error("has invalid chunks.", dataset.path)
        if not dataset.nbytes:
            return dataset
        dataset = dataset._replace(chunk=chunk, filters=filters)
        expected = math.prod(-(-n // c) for n, c in zip(dataset.shape, chunk, strict=True))
        if expected > self._objects:
            raise HDF5Error(f"has {expected} chunks.", dataset.path)
        _require_proportion(dataset, self._size)
        pieces = tuple(self._piece(dataset, piece) for piece in _chunks(item, file))
        starts = {piece.start for piece in pieces}
        inside = all(
            start % c == 0 and start < n
            for piece in pieces
            for start, n, c in zip(piece.start, dataset.shape, chunk, strict=True)
        )
        if len(pieces) != expected or len(starts) != expected or not inside:
            stored = len(starts) * math.prod(chunk) * dataset.stored.itemsize
            raise (
                _short(dataset, stored)
                if inside
                else HDF5Error("has chunks outside of its shape.", dataset.path)
            )
        return dataset._replace(pieces=pieces)

    def _piece(self, dataset: Dataset, piece: Piece) -> Piece:
        if piece.offset + piece.length > self._size:
            raise HDF5Error("lies beyond the end of the file: it is truncated.", dataset.path)
        return piece

    # Elements.

    def _read_chunk(self, dataset: Dataset, piece: Piece, array: np.ndarray[Any, Any]) -> None:
        self._file.seek(self._start + piece.offset)
        data = self._file.read(piece.length)
        itemsize = dataset.stored.itemsize
        full = math.prod(dataset.chunk) * itemsize
        # The last filter was applied last.
        for index, code in reversed([*enumerate(dataset.filters)]):
            if not piece.mask >> index & 1:
                data = _decode(code, data, full, itemsize, dataset.path)
        if len(data) != full:
            raise HDF5Error(
                f"has a chunk of {len(data)} bytes; {full} were expected.", dataset.path
            )
        block = np.frombuffer(data, dataset.stored).reshape(dataset.chunk)
        pairs = [*zip(piece.start, dataset.shape, dataset.chunk, strict=True)]
        target = tuple(slice(start, min(start + c, n)) for start, n, c in pairs)
        source = tuple(slice(0, min(c, n - start)) for start, n, c in pairs)
        array[target] = block[source]


class _BoundedFile:
    """The file for pyfive: no byte beyond the end, and no more work than the size allows.

    A cycle in the structure would be followed for ever; each object is read a few times at most.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._position = 0
        self._bytes_left = 4 * size + (1 << 16)
        self._reads_left = size // 4 + 1000
        self.closed = False

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position, as a file does."""
        base = (0, self._position, self._size)[whence]
        self._position = min(max(base + offset, 0), self._size)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Return at most `count` bytes; all that are left if it is negative."""
        left = self._size - self._position
        count = left if count < 0 else min(count, left)
        self._bytes_left -= count
        self._reads_left -= 1
        if self._bytes_left < 0 or self._reads_left < 0:
            raise HDF5Error("repeats or nests its structure without end.")
        self._file.seek(self._start + self._position)
        data = self._file.read(count)
        self._position += len(data)
        return data


def _root(file: Any) -> int:
    from pyfive.misc_low_level import SuperBlock

    block = SuperBlock(file, 0)
    if block._contents["base_address"]:  # pyfive has no public name for it
        raise HDF5Error("has a base address, which weights files do not have.")
    return int(block.offset_to_dataobjects)


def _require_whole_header(item: Any, path: str) -> None:
    """Refuse a dataset whose description or content lies elsewhere."""
    if item.find_msg_type(_EXTERNAL_FILES):
        raise HDF5Error("keeps its content in another file.", path)
    for kind in (_DATASPACE, _DATATYPE, _LAYOUT, _PIPELINE):
        messages = item.find_msg_type(kind)
        if len(messages) > 1 or (not messages and kind != _PIPELINE):
            raise HDF5Error("has an incomplete or ambiguous header.", path)
        if messages and messages[0]["flags"] & _SHARED:
            raise HDF5Error("shares its header with another object.", path)


def _is_group(item: Any) -> bool:
    # Numbers of the messages that only groups have: symbol table, link info, group info.
    return any(item.find_msg_type(kind) for kind in (17, 2, 10))


def _types(item: Any, path: str) -> tuple[str, np.dtype[Any]]:
    """Return the Keras dtype and the stored one of a dataset, if they are plain numbers."""
    start = item.find_msg_type(_DATATYPE)[0]["offset_to_message"]
    data = item.msg_data
    kind, order, sign, _, size = struct.unpack_from("<4BI", data, start)
    kind &= 15
    swap: Literal[">", "<"] = ">" if order & 1 else "<"
    if kind == _FIXED_POINT and size in {1, 2, 4, 8}:
        if struct.unpack_from("<HH", data, start + 8) == (0, 8 * size):
            name = f"{'' if order & 8 else 'u'}int{8 * size}"
            return name, np.dtype(name).newbyteorder(swap)
    elif kind == _FLOATING_POINT and size in _IEEE:
        offset, precision, *rest = struct.unpack_from("<HHBBBBI", data, start + 8)
        implied = order & 0x70 == 0x20  # the leading bit is implied; no VAX order
        if (
            (offset, precision, *rest) == (0, 8 * size, *_IEEE[size])
            and implied
            and (sign == 8 * size - 1)
        ):
            name = f"float{8 * size}"
            return name, np.dtype(name).newbyteorder(swap)
    elif kind == _ENUM and size == 1:
        if getattr(item.ptype, "mapping", None) == {"FALSE": 0, "TRUE": 1}:
            return "bool", np.dtype(np.uint8)
    elif kind == _OPAQUE and size == 2 and _text_attribute(item, "dtype") == "bfloat16":
        return "bfloat16", np.dtype("V2")
    raise HDF5Error("holds values that are not plain real numbers.", path)


def _text_attribute(item: Any, name: str) -> str | None:
    """Return a short text that is stored as an attribute; Keras marks bfloat16 by one."""
    from pyfive.dataobjects import determine_data_shape

    for message in item.find_msg_type(_ATTRIBUTE):
        start = message["offset_to_message"]
        version, _, name_size, type_size, _ = struct.unpack_from("<BBHHH", item.msg_data, start)
        head, unit = {1: (8, 8), 3: (9, 1)}.get(version, (0, 1))
        if not head or message["size"] > _MOST_ATTRIBUTE_BYTES or message["flags"] & _SHARED:
            continue
        label = bytes(item.msg_data[start + head : start + head + name_size])
        space = start + head + sum(-(-n // unit) * unit for n in (name_size, type_size))
        scalar = determine_data_shape(item.msg_data, space)[0] == ()
        if label.rstrip(b"\0") == name.encode() and scalar:
            value = item.unpack_attribute(start)[1]
            return value.decode("utf-8") if isinstance(value, bytes) else str(value)
    return None


def _chunks(item: Any, file: BinaryIO) -> Iterator[Piece]:
    from pyfive.btree import BTreeV1RawDataChunks

    message = item.get_id_storage_params()[2]
    dimensions, address = struct.unpack_from("<BQ", item.msg_data, message)
    if address == _UNDEFINED:
        return
    tree = BTreeV1RawDataChunks(file, address, dimensions)
    for node in tree.all_nodes[0]:
        for key, offset in zip(node["keys"], node["addresses"], strict=True):
            start = key["chunk_offset"][:-1]
            yield Piece(offset, key["chunk_size"], start, key["filter_mask"])


def _decode(code: int, data: bytes, full: int, itemsize: int, path: str) -> bytes:
    """Undo one filter; no answer is longer than a chunk and its checksum."""
    if code == _DEFLATE:
        inflater = zlib.decompressobj()
        try:
            data = inflater.decompress(data, full + 4)
        except zlib.error as error:
            raise HDF5Error(f"cannot be inflated: {error}", path) from error
        if not inflater.eof:
            raise HDF5Error("has a chunk that inflates too far, or ends early.", path)
        return data
    if code == _SHUFFLE:
        whole = len(data) - len(data) % itemsize
        planes = np.frombuffer(data[:whole], np.uint8).reshape(itemsize, -1)
        return planes.T.tobytes() + data[whole:]
    content, stored = data[:-4], data[-4:]
    if stored != _fletcher32(content).to_bytes(4, "little"):
        raise HDF5Error("is damaged: a checksum does not match.", path)
    return content


def _fletcher32(data: bytes) -> int:
    """Return the checksum of HDF5's filter: two sums of 16-bit words, modulo 65535."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64)
    first = int(words.sum()) % 65535
    second = int((weights * words % 65535).sum()) % 65535
    return second << 16 | first


def _short(dataset: Dataset, stored: int) -> HDF5Error:
    return HDF5Error(
        f"declares {dataset.nbytes} bytes ({list(dataset.shape)} of {dataset.dtype}) and stores "
        f"{stored}.",
        dataset.path,
    )


def _require_proportion(dataset: Dataset, size: int) -> None:
    """Refuse chunks that are mostly outside of a dataset, and ratios that deflate cannot reach."""
    chunk = math.prod(dataset.chunk) * dataset.stored.itemsize
    most = _MOST_INFLATION if _DEFLATE in dataset.filters else 1
    if chunk > max(4 * dataset.nbytes, _SMALL_CHUNK) or dataset.nbytes > most * size:
        raise HDF5Error(
            f"declares {dataset.nbytes} bytes in chunks of {chunk}, which the file cannot hold.",
            dataset.path,
        )


_MOST_INFLATION: Final = 1032
_SMALL_CHUNK: Final = 1 << 20


def _require_disjoint(extents: list[tuple[int, int, str]]) -> None:
    end = 0
    for offset, length, path in sorted(extents):
        if offset < end:
            raise HDF5Error("shares its bytes with another dataset.", path)
        end = offset + length
