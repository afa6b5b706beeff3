"""The container of a model file: a zip of the strict kind, opened under limits.

Nothing here trusts the file. The general zip reader of the standard library accepts prepended
and trailing bytes, overlapping and repeated members; two readers then see two models. So the
directory is read here, and every byte of the file must belong to exactly one member.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, NamedTuple, Self

from dl_techniques.core import strict_json
from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.limits import LIMITS, Limits
from dl_techniques.core.text import short_repr, size_text

CONFIG: Final = "config.json"
METADATA: Final = "metadata.json"
WEIGHTS: Final = "model.weights.h5"
PROVENANCE: Final = "dl_techniques.json"
ASSETS: Final = "assets/"
SUFFIX: Final = ".keras"

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")
_STORED, _DEFLATED = 0, 8
_UTF8: Final = 0x800
_BLOCK: Final = 1 << 20
_REPACK: Final = "Save the model again with `save_model`."


class Entry(NamedTuple):
    """One member as the central directory describes it."""

    name: str
    method: int
    crc: int
    stored: int
    """Bytes in the file."""
    size: int
    """Bytes when inflated."""
    offset: int
    """Where its local header starts."""
    made_by: int
    internal: int
    external: int
    extra: bytes
    shared: tuple[int, ...]
    """The fields that the local header repeats: version, flags, method, time, date."""


class Member(NamedTuple):
    """One member of a model file."""

    name: str
    size: int
    """Bytes when inflated."""
    stored: int
    """Bytes in the file."""


class Archive:
    """A model file that is open, and whose structure is sound.

    Args:
        path: The file.
        label: How messages call it; `path` if nothing is given.
        limits: The bounds.

    Raises:
        ModelFileError: If it cannot be opened, or anything about its structure is wrong.
    """

    def __init__(self, path: Path, *, label: str | None = None, limits: Limits = LIMITS) -> None:
        self.label = label or str(path)
        self.limits = limits
        self.digests: dict[str, str] = {}
        """sha256 of each member that was read so far."""
        self._file = _open(path, self.label)
        try:
            # One descriptor for everything: whoever swaps the path swaps nothing here.
            self.size = os.fstat(self._file.fileno()).st_size
            self._entries, start = self._directory()
            self._check(start)
        except ModelFileError:
            self._file.close()
            raise
        except (OSError, struct.error, ValueError, OverflowError) as error:
            self._file.close()
            raise self._error(
                f"cannot be read as a zip archive: {short_repr(str(error))}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    @property
    def members(self) -> tuple[Member, ...]:
        """All members, in the order of the file."""
        return tuple(Member(e.name, e.size, e.stored) for e in self._entries.values())

    def document(self, name: str) -> Any:
        """Parse a JSON member.

        Args:
            name: The member.

        Raises:
            ModelFileError: If it is missing, damaged, or not JSON of the strict kind.
        """
        if name not in self._entries:
            raise self._error("is missing.", name, hint="The file is incomplete.")
        data = b"".join(self._inflate(self._entries[name]))
        try:
            return strict_json.parse(
                data, tokens=self.limits.json_tokens, depth=self.limits.json_depth
            )
        except strict_json.StrictJSONError as error:
            raise self._error(f"{error}.", name) from error

    def extract(self, name: str, folder: Path) -> Path:
        """Copy a member into a folder.

        Args:
            name: The member.
            folder: A private folder; the member keeps its name below it.

        Raises:
            ModelFileError: If it is missing or damaged.
        """
        if name not in self._entries:
            raise self._error("is missing.", name, hint="The file is incomplete.")
        target = folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                for block in self._inflate(self._entries[name]):
                    file.write(block)
        except OSError as error:
            raise self._error(
                f"cannot be unpacked: {error.strerror}.",
                name,
                hint=f"Unpacking needs {size_text(self._entries[name].size)} in {folder.parent}.",
            ) from error
        return target

    def digest(self, name: str) -> str:
        """The sha256 of a member.

        Args:
            name: The member.

        Raises:
            ModelFileError: If it is damaged.
        """
        if name not in self.digests:
            for _ in self._inflate(self._entries[name]):
                pass
        return self.digests[name]

    def _error(
        self, message: str, member: str | None = None, hint: str = _REPACK
    ) -> ModelFileError:
        return ModelFileError(message, path=self.label, member=member, hint=hint)

    # The directory.

    def _directory(self) -> tuple[dict[str, Entry], int]:
        count, length, start = self._end()
        if count > self.limits.members:
            raise self._error(f"has {count} members; at most {self.limits.members} are read.")
        if length > self.limits.directory:
            raise self._error(f"has a directory of {size_text(length)}.")
        data = self._at(start, length)
        entries: dict[str, Entry] = {}
        folded: set[str] = set()
        position = 0
        for _ in range(count):
            entry, position = self._entry(data, position)
            if entry.name.casefold() in folded:
                raise self._error(
                    "occurs twice, so that two readers may see two models.", entry.name
                )
            folded.add(entry.name.casefold())
            entries[entry.name] = entry
        if position != len(data):
            raise self._error("has a directory that does not match its own length.")
        return entries, start

    def _end(self) -> tuple[int, int, int]:
        """Number of members, length and offset of the directory."""
        tail_length = min(self.size, _END.size + 0xFFFF)
        tail = self._at(self.size - tail_length, tail_length)
        position = self.size - _END.size
        if self.size < _END.size or not tail[-_END.size :].startswith(b"PK\5\6"):
            raise self._without_end(tail)
        _, disk, first, here, count, length, start, comment = _END.unpack(tail[-_END.size :])
        if comment:
            raise self._error("is truncated: its closing comment is missing.")
        if disk or first or here != count:
            raise self._error("claims to be one part of several.")
        if position >= _LOCATOR.size:
            locator = self._at(position - _LOCATOR.size, _LOCATOR.size)
            if locator.startswith(b"PK\6\7"):
                return self._end64(locator, position - _LOCATOR.size, (count, length, start))
        if start + length != position:
            raise self._misplaced(start + length, position)
        return count, length, start

    def _end64(
        self, locator: bytes, position: int, plain: tuple[int, int, int]
    ) -> tuple[int, int, int]:
        _, disk, offset, disks = _LOCATOR.unpack(locator)
        if disk or disks != 1 or offset + _END64.size != position:
            raise self._error("has a damaged end.")
        fields = _END64.unpack(self._at(offset, _END64.size))
        signature, rest, made, needed, disk, first, here, count, length, start = fields
        sound = signature == b"PK\6\6" and rest == _END64.size - 12
        if not sound or disk or first or here != count or (made, needed) != (45, 45):
            raise self._error("has a damaged end.")
        if start + length != offset:
            raise self._misplaced(start + length, offset)
        saturated = (min(count, 0xFFFF), min(length, 0xFFFFFFFF), min(start, 0xFFFFFFFF))
        if plain != saturated:
            raise self._error("has two ends that contradict each other.")
        return count, length, start

    def _misplaced(self, claimed: int, actual: int) -> ModelFileError:
        if claimed < actual:
            return self._error(f"carries {actual - claimed} bytes that belong to no member.")
        return self._error("is truncated: its directory points beyond its end.")

    def _without_end(self, tail: bytes) -> ModelFileError:
        head = self._at(0, min(8, self.size))
        if not self.size:
            return self._error("is truncated: it is empty.")
        if head.startswith(b"\x89HDF"):
            return self._error(
                "is an HDF5 file, not a `.keras` archive.",
                hint="Legacy whole-model HDF5 is not loaded, because it can run code of the "
                "file's choosing: load it where it was made and save it with `save_model`.",
            )
        if not b"PK\3\4".startswith(head[:4]):
            return self._error("is not a `.keras` archive (its first bytes are not a zip's).")
        found = tail.rfind(b"PK\5\6")
        if 0 <= found <= len(tail) - _END.size:
            _, _, _, _, _, length, start, _ = _END.unpack(tail[found : found + _END.size])
            if start + length == self.size - len(tail) + found:
                extra = len(tail) - found - _END.size
                return self._error(f"carries {extra} bytes after its end.")
        return self._error(
            "is truncated: the directory at its end is missing.",
            hint="The copy or download did not finish; fetch the file again.",
        )

    def _entry(self, data: bytes, position: int) -> tuple[Entry, int]:
        end = position + _CENTRAL.size
        if end > len(data):
            raise self._error("has a directory that ends early.")
        fields = _CENTRAL.unpack(data[position:end])
        (signature, made_by, *shared, crc, stored, size, name, extra, comment, disk) = fields[:14]
        internal, external, offset = fields[14:]
        if signature != b"PK\1\2":
            raise self._error("has a damaged directory.")
        stop = end + name + extra
        if stop + comment > len(data):
            raise self._error("has a directory that ends early.")
        text = self._name(data[end : end + name], shared[1])
        if comment or disk:
            raise self._error("has a comment or lies on another disk.", text)
        more = data[end + name : stop]
        wide = self._wide(more, (size, stored, offset), text)
        entry = Entry(
            text, shared[2], crc, wide[1], wide[0], wide[2], made_by, internal, external, more,
            tuple(shared),
        )  # fmt: skip
        self._acceptable(entry)
        return entry, stop

    def _name(self, raw: bytes, flags: int) -> str:
        if not 0 < len(raw) <= self.limits.name:
            raise self._error(f"has a member whose name is {len(raw)} bytes long.")
        try:
            name = raw.decode("utf-8" if flags & _UTF8 else "ascii")
        except UnicodeDecodeError as error:
            raise self._error(
                f"has a member with an undecodable name: {short_repr(raw)}."
            ) from error
        if not name.isprintable():
            raise self._error(f"has a member with an unprintable name: {short_repr(name)}.")
        return name

    def _wide(self, extra: bytes, values: tuple[int, int, int], name: str) -> tuple[int, int, int]:
        """Size, stored size and offset, from the zip64 field where they are saturated."""
        if 0xFFFFFFFF not in values:
            return values
        expected = 8 * values.count(0xFFFFFFFF)
        position = 0
        while position + 4 <= len(extra):
            kind, length = struct.unpack_from("<HH", extra, position)
            if kind == 1 and length == expected and position + 4 + length <= len(extra):
                wide: Iterator[int] = iter(
                    struct.unpack_from(f"<{length // 8}Q", extra, position + 4)
                )
                size, stored, offset = (next(wide) if v == 0xFFFFFFFF else v for v in values)
                return size, stored, offset
            position += 4 + length
        raise self._error("lacks the sizes that its header promises.", name)

    # What a member may be.

    def _acceptable(self, entry: Entry) -> None:
        flags = entry.shared[1]
        if flags & 1:
            raise self._error("is encrypted.", entry.name)
        if flags & ~_UTF8:
            raise self._error(
                f"uses zip features that are not read (flags {flags:#x}).", entry.name
            )
        if entry.method not in {_STORED, _DEFLATED}:
            raise self._error(f"is compressed in an unknown way ({entry.method}).", entry.name)
        kind = stat.S_IFMT(entry.external >> 16)
        if kind not in {0, stat.S_IFREG}:
            what = "a symbolic link" if kind == stat.S_IFLNK else "not a regular file"
            raise self._error(f"is {what}.", entry.name)
        if entry.method == _STORED and entry.stored != entry.size:
            raise self._error("is stored, yet with two sizes.", entry.name)
        self._known(entry)

    def _known(self, entry: Entry) -> None:
        limits = {
            CONFIG: self.limits.config,
            METADATA: self.limits.metadata,
            PROVENANCE: self.limits.provenance,
        }
        name = entry.name
        if name in limits and entry.size > limits[name]:
            raise self._error(
                f"inflates to {size_text(entry.size)}; at most {size_text(limits[name])} are read.",
                name,
            )
        if name in limits or name == WEIGHTS:
            return
        if name == "model.weights.npz":
            raise self._error(
                "holds NumPy archives, which can carry pickled code.", name, hint=_REPACK
            )
        parts = name.split("/")
        unsafe = "\\" in name or ":" in name or not all(_is_plain(part) for part in parts)
        if unsafe:
            raise self._error("has a name that leaves its folder.", short_repr(name))
        if not name.startswith(ASSETS):
            raise self._error(
                "is not a member of a model file.",
                short_repr(name),
                hint=f"Known are {CONFIG}, {METADATA}, {WEIGHTS}, {PROVENANCE} and {ASSETS}.",
            )

    def _check(self, start: int) -> None:
        """Every byte belongs to one member, and all together do not inflate too far."""
        for name in (CONFIG, METADATA, WEIGHTS):
            if name not in self._entries:
                raise self._error("is missing.", name, hint="The file is incomplete.")
        total = sum(entry.size for entry in self._entries.values())
        if total > self.size + self.limits.slack:
            raise self._error(
                f"would inflate from {size_text(self.size)} to {size_text(total)}, which is more "
                "than model files do.",
                hint="Keras stores its members uncompressed; unpack the file and save it again.",
            )
        position = 0
        for entry in sorted(self._entries.values(), key=lambda entry: entry.offset):
            if entry.offset != position:
                raise self._error(
                    f"is expected at byte {position} and is at byte {entry.offset}: members "
                    "overlap, or bytes belong to none.",
                    entry.name,
                )
            position = self._data_start(entry) + entry.stored
        if position != start:
            raise self._error(f"carries {start - position} bytes that belong to no member.")
        if PROVENANCE in self._entries:
            self._check_canonical()

    def _check_canonical(self) -> None:
        """What `save_model` writes has one form: no field can change unnoticed."""
        for entry in self._entries.values():
            wide = entry.extra[:2] == b"\1\0"
            regular = (3 << 8 | entry.shared[0], 0, REGULAR)
            if (entry.made_by, entry.internal, entry.external) != regular:
                raise self._error("has a header that was altered.", entry.name)
            if entry.extra and not (wide and len(entry.extra) <= 28):
                raise self._error("has a header that was altered.", entry.name)

    def _data_start(self, entry: Entry) -> int:
        """Where a member's data starts; its local header must repeat the directory's entry."""
        header = self._at(entry.offset, _LOCAL.size)
        signature, *fields = _LOCAL.unpack(header)
        shared, (crc, stored, size, name_length, extra_length) = tuple(fields[:5]), fields[5:]
        if signature != b"PK\3\4":
            raise self._error("has no header where the directory says it is.", entry.name)
        rest = self._at(entry.offset + _LOCAL.size, name_length + extra_length)
        extra = rest[name_length:]
        size, stored, _ = self._wide(extra, (size, stored, 0), entry.name)
        central = entry.shared
        if (shared[0], central[0]) == (20, 45):
            # Only the directory needs version 4.5 if nothing but the offset is wide.
            central = (20, *central[1:])
        name = entry.name.encode("utf-8")
        ours = (rest[:name_length], shared, crc, stored, size)
        if ours != (name, central, entry.crc, entry.stored, entry.size):
            raise self._error("has a header that contradicts the directory.", entry.name)
        if PROVENANCE in self._entries and extra and extra[:4] != b"\1\0\x10\0":
            raise self._error("has a header that was altered.", entry.name)
        return entry.offset + _LOCAL.size + len(rest)

    # Bytes.

    def _at(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise self._error("is truncated: its directory points beyond its end.")
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise self._error("became shorter while it was read.")
        return data

    def _inflate(self, entry: Entry) -> Iterator[bytes]:
        """The member's bytes in blocks; its size and checksum are verified at the end."""
        position, left, size, crc = self._data_start(entry), entry.stored, 0, 0
        digest = hashlib.sha256()
        inflater = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == _DEFLATED else None
        pending = b""
        while left or pending:
            if not pending:
                pending = self._at(position, min(_BLOCK, left))
                position, left = position + len(pending), left - len(pending)
            if inflater is None:
                block, pending = pending, b""
            else:
                block, pending = self._step(inflater, pending, entry)
            size, crc = size + len(block), zlib.crc32(block, crc)
            if size > entry.size:
                break
            digest.update(block)
            yield block
        if size != entry.size or crc != entry.crc or (inflater is not None and not inflater.eof):
            raise self._error(
                "is damaged: its content does not match its checksum.",
                entry.name,
                hint="Fetch the file again, or restore it from a copy.",
            )
        self.digests[entry.name] = digest.hexdigest()

    def _step(self, inflater: Any, pending: bytes, entry: Entry) -> tuple[bytes, bytes]:
        try:
            block = inflater.decompress(pending, _BLOCK)
        except zlib.error as error:
            raise self._error("is damaged: it cannot be inflated.", entry.name) from error
        if inflater.eof and (inflater.unused_data or inflater.unconsumed_tail):
            raise self._error("carries bytes after its compressed data.", entry.name)
        return block, inflater.unconsumed_tail


REGULAR: Final = (stat.S_IFREG | 0o600) << 16
"""The external attributes of the members that `save_model` writes."""


def _is_plain(part: str) -> bool:
    """Whether a part of a path is a name on every system."""
    return bool(part.strip(". ")) and len(part.encode("utf-8")) <= 255


def _open(path: Path, label: str) -> BinaryIO:
    try:
        # Without the flag, opening a named pipe would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        hint = "Check the path."
        raise ModelFileError(f"cannot be opened: {reason}.", path=label, hint=hint) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ModelFileError("is not a regular file.", path=label, hint="Check the path.")
    return os.fdopen(descriptor, "rb")


_BINARY: Final = getattr(os, "O_BINARY", 0)
