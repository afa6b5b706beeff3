"""The weights of a model file: an HDF5 file, walked without trusting it.

HDF5 can point to other files, other datasets and plugins, and a dataset may declare any shape
whatever it stores. All of that is a feature of the C library, so it is refused by construction:
only hard links, only numbers, only filters that are part of the library, and only shapes whose
bytes are really there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import h5py
import numpy as np

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files import global_heap
from dl_techniques.core.files.archive import WEIGHTS
from dl_techniques.core.files.limits import LIMITS, Limits
from dl_techniques.core.text import short_repr, size_text

_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_FILTERS: Final = frozenset(
    {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
)
_FLOAT_BYTES: Final = frozenset({2, 4, 8})
_BLOCK: Final = 1 << 20  # numbers that are looked at together
_ATTRIBUTES: Final = 64
_ATTRIBUTE_BYTES: Final = 4096
_MAX_RANK: Final = 32


class Weight(NamedTuple):
    """One array in the weights, as it is declared and stored."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    """A Keras dtype name."""

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes these take in memory."""
        return self.size * itemsize(self.dtype)


def itemsize(dtype: str) -> int:
    """Bytes of one number.

    Args:
        dtype: A Keras dtype name.

    Example:
        >>> itemsize("bfloat16")
        2
    """
    return 2 if dtype == "bfloat16" else int(np.dtype(dtype).itemsize)


def read_weights(
    path: Path, *, label: str, finite: bool = True, limits: Limits = LIMITS
) -> tuple[Weight, ...]:
    """List the arrays of a weights file, after checking that it is what Keras writes.

    Args:
        path: The HDF5 file: a private copy.
        label: How messages call the model file.
        finite: Whether to refuse NaN and infinity.
        limits: The bounds.

    Raises:
        ModelFileError: If anything is not as it should be, whatever the library made of it.
    """
    walk = _Walk(path, label, limits)
    try:
        with path.open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                raise walk.error("is not an HDF5 file.")
        heap = global_heap.fault(path)
        if heap is not None:
            raise walk.error(heap)
        with h5py.File(path, "r", locking=False) as opened:
            weights = tuple(walk.run(opened.id))
            if finite:
                walk.check_finite(opened)
    except ModelFileError:
        raise
    # The library reports damage as OSError, KeyError, RuntimeError, ValueError and more.
    except Exception as error:
        text = str(error)
        what = "is truncated" if "truncated" in text else "is damaged"
        raise walk.error(f"{what}: {short_repr(text, 200)}") from error
    return weights


class _Walk:
    """One walk through one file."""

    def __init__(self, path: Path, label: str, limits: Limits) -> None:
        self._label = label
        self._limits = limits
        self._size = path.stat().st_size
        self._path = path
        self._seen: set[int] = set()
        self._extents: list[tuple[int, int, str]] = []
        self._floats: list[tuple[Weight, bool]] = []

    def error(self, message: str, location: str | None = None) -> ModelFileError:
        return ModelFileError(
            message,
            path=self._label,
            member=WEIGHTS,
            location=short_repr(location, 200)[1:-1] if location else None,
            hint="Do not load this file, unless you know who made it so; then let them save it "
            "again with `save_model`.",
        )

    def run(self, file: Any) -> Iterator[Weight]:
        """Visit every object once, in the order of the names."""
        declared = 0
        stack: list[tuple[Any, bytes, str, int]] = [(file, b"/", "", 0)]
        while stack:
            parent, name, path, depth = stack.pop()
            item = h5py.h5o.open(parent, name)
            if isinstance(item, h5py.h5g.GroupID):
                self._attributes(item, path)
                stack.extend(reversed([*self._children(item, path, depth)]))
            elif isinstance(item, h5py.h5d.DatasetID):
                weight = self._dataset(item, path)
                declared += weight.nbytes
                if declared > self._limits.expansion * self._size + self._limits.slack:
                    raise self.error(
                        f"declares more than {size_text(declared)} of weights and stores "
                        f"{size_text(self._size)}.",
                        path,
                    )
                yield weight
            else:
                raise self.error("is neither a group nor a dataset.", path)
        self._check_overlap()

    def _children(self, group: Any, path: str, depth: int) -> Iterator[tuple[Any, bytes, str, int]]:
        if depth >= self._limits.groups_depth:
            raise self.error(f"is nested deeper than {self._limits.groups_depth} groups.", path)
        if group.get_num_objs() + len(self._seen) > self._limits.objects:
            raise self.error(f"holds more than {self._limits.objects} objects.", path)
        for raw in group:
            name = raw.decode("utf-8")
            place = f"{path}/{name}" if path else name
            if len(name) > self._limits.name or name in {".", ".."} or not name.isprintable():
                raise self.error("has a name that is not a name.", place)
            link = group.links.get_info(raw)
            if link.type != h5py.h5l.TYPE_HARD:
                kind = {
                    h5py.h5l.TYPE_SOFT: "a soft link",
                    h5py.h5l.TYPE_EXTERNAL: "a link to another file",
                }.get(link.type, "a link of a foreign kind")
                raise self.error(f"is {kind}.", place)
            if link.u in self._seen:
                raise self.error("is reached twice: a cycle or a shared object.", place)
            self._seen.add(link.u)
            yield group, raw, place, depth + 1

    def _attributes(self, item: Any, path: str) -> None:
        """Keras reads an attribute's text; nothing else may hide behind one."""
        count = h5py.h5a.get_num_attrs(item)
        if count > _ATTRIBUTES:
            raise self.error(f"has {count} attributes.", path)
        for index in range(count):
            attribute = h5py.h5a.open(item, index=index)
            kind = attribute.get_type().get_class()
            simple = {h5py.h5t.STRING, h5py.h5t.INTEGER, h5py.h5t.FLOAT}
            if kind not in simple or attribute.get_storage_size() > _ATTRIBUTE_BYTES:
                raise self.error("has an attribute that is not a short text or number.", path)

    def _dataset(self, item: Any, path: str) -> Weight:
        self._attributes(item, path)
        space = item.get_space()
        if space.get_simple_extent_type() not in {h5py.h5s.SIMPLE, h5py.h5s.SCALAR}:
            raise self.error("has no shape.", path)
        weight = Weight(path, space.get_simple_extent_dims(), self._dtype(item, path))
        if len(weight.shape) > _MAX_RANK:
            raise self.error(f"has {len(weight.shape)} dimensions.", path)
        plist = item.get_create_plist()
        if plist.get_external_count():
            raise self.error("keeps its content in another file.", path)
        layout = plist.get_layout()
        if layout == h5py.h5d.CHUNKED:
            self._chunked(item, plist, weight)
        elif layout == h5py.h5d.CONTIGUOUS:
            self._contiguous(item, weight)
        elif layout != h5py.h5d.COMPACT:
            raise self.error("is a virtual dataset, a view of other files.", path)
        elif item.get_storage_size() != weight.nbytes:
            raise self._short(weight, item.get_storage_size())
        if weight.dtype.startswith(("float", "bfloat")) and weight.size:
            self._floats.append((weight, layout == h5py.h5d.CONTIGUOUS))
        return weight

    def _dtype(self, item: Any, path: str) -> str:
        kind = item.get_type()
        number = kind.get_class()
        if number == h5py.h5t.FLOAT and kind.get_size() in _FLOAT_BYTES:
            return f"float{8 * kind.get_size()}"
        if number == h5py.h5t.INTEGER and kind.get_size() <= 8:
            return f"{'u' if kind.get_sign() == h5py.h5t.SGN_NONE else ''}int{8 * kind.get_size()}"
        if number == h5py.h5t.ENUM and kind.dtype == np.dtype(bool):
            return "bool"
        if number == h5py.h5t.OPAQUE and kind.get_size() == 2 and _marked_bfloat16(item):
            return "bfloat16"
        what = {
            h5py.h5t.COMPOUND: "complex or compound values",
            h5py.h5t.STRING: "texts",
            h5py.h5t.REFERENCE: "references",
            h5py.h5t.VLEN: "values of varying length",
            h5py.h5t.OPAQUE: "values of an unknown type",
        }.get(number, "values that are not numbers")
        raise self.error(f"holds {what}; weights are real numbers.", path)

    def _contiguous(self, item: Any, weight: Weight) -> None:
        stored, offset = item.get_storage_size(), item.get_offset()
        if not weight.nbytes:
            return
        if offset is None or stored != weight.nbytes:
            raise self._short(weight, 0 if offset is None else stored)
        self._extent(offset, stored, weight)

    def _chunked(self, item: Any, plist: Any, weight: Weight) -> None:
        filters = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
        foreign = [code for code in filters if code not in _FILTERS]
        if foreign:
            raise self.error(
                f"needs a decoder that is not loaded (filter {foreign[0]}).", weight.path
            )
        chunk = math.prod(plist.get_chunk()) * itemsize(weight.dtype)
        if chunk > max(weight.nbytes, self._limits.slack):
            raise self.error(f"has chunks of {size_text(chunk)}.", weight.path)
        stored = item.get_storage_size()
        packed = h5py.h5z.FILTER_DEFLATE in filters
        if weight.nbytes and (not stored or (not packed and stored < weight.nbytes)):
            raise self._short(weight, stored)
        count = item.get_num_chunks()
        if count > self._limits.objects:
            raise self.error(f"has {count} chunks.", weight.path)
        if count * chunk < weight.nbytes:
            raise self._short(weight, count * chunk)
        for index in range(count):
            info = item.get_chunk_info(index)
            self._extent(info.byte_offset, info.size, weight)

    def _short(self, weight: Weight, stored: int) -> ModelFileError:
        return self.error(
            f"declares {size_text(weight.nbytes)} ({list(weight.shape)} of {weight.dtype}) and "
            f"stores {size_text(stored)}.",
            weight.path,
        )

    def _extent(self, offset: int, length: int, weight: Weight) -> None:
        if offset < 0 or offset + length > self._size:
            raise self.error("lies beyond the end of the file: it is truncated.", weight.path)
        self._extents.append((offset, length, weight.path))

    def _check_overlap(self) -> None:
        end = 0
        for offset, length, path in sorted(self._extents):
            if offset < end:
                raise self.error("shares its bytes with another dataset.", path)
            end = offset + length

    def check_finite(self, file: Any) -> None:
        """Refuse NaN and infinity, a block at a time."""
        for weight, contiguous in self._floats:
            blocks = self._raw(file, weight) if contiguous else self._chunks(file, weight)
            if not all(_finite(block) for block in blocks):
                raise ModelFileError(
                    "holds NaN or infinity.",
                    path=self._label,
                    member=WEIGHTS,
                    location=weight.path,
                    hint="The model diverged or the file was altered. To load it all the same, "
                    "pass `finite=False`.",
                )

    def _raw(self, file: Any, weight: Weight) -> Iterator[Any]:
        dataset = file[weight.path]
        with self._path.open("rb") as source:
            source.seek(dataset.id.get_offset())
            left = weight.size
            while left:
                block = np.fromfile(source, dataset.dtype, min(left, _BLOCK))
                if not block.size:
                    raise self.error("is truncated.", weight.path)
                left -= block.size
                yield block

    @staticmethod
    def _chunks(file: Any, weight: Weight) -> Iterator[Any]:
        dataset = file[weight.path]
        if dataset.chunks:
            yield from (dataset[selection] for selection in dataset.iter_chunks())
        else:
            yield dataset[()]


def _marked_bfloat16(item: Any) -> bool:
    """Keras marks a bfloat16 array, which HDF5 does not know, by an attribute."""
    attributes = h5py.AttributeManager(h5py.Dataset(item))
    return "dtype" in attributes and str(attributes["dtype"]) == "bfloat16"


def _finite(block: Any) -> bool:
    if block.dtype.kind == "V":
        return not bool(((block.view("<u2") & 0x7F80) == 0x7F80).any())
    return bool(np.isfinite(block).all())
