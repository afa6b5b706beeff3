"""The container of a model file: a zip archive, opened under limits and read member by member.

Keras gets the unpacked members and never opens the archive itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self, cast

from dl_techniques.core import strict_json
from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.limits import LIMITS, Limits
from dl_techniques.core.text import short_repr, size_text

CONFIG: Final = "config.json"
METADATA: Final = "metadata.json"
WEIGHTS: Final = "model.weights.h5"
PROVENANCE: Final = "dl_techniques.json"
STATE: Final = "dl_techniques_state.json"
ASSETS: Final = "assets/"
SUFFIX: Final = ".keras"
LEGACY: Final = (
    "Legacy whole-model HDF5 can run code of the file's choosing and is not loaded. "
    "Convert it where it was made: save_model(model, 'NAME.keras')."
)

_MEMBERS: Final = (CONFIG, METADATA, WEIGHTS, PROVENANCE, STATE)
_LOCAL_HEADER: Final = 30  # bytes, without the name and the extra field
_END: Final = struct.Struct("<4s4H2LH")
_WIDE: Final = 0xFFFFFFFF
_BLOCK: Final = 1 << 20
_UTF8: Final = 0x800
_SAVE_AGAIN: Final = "Save the model again with `save_model`."


class Member(NamedTuple):
    """One member of a model file."""

    name: str
    size: int
    """Bytes when inflated."""
    stored: int
    """Bytes in the file."""


class Section(NamedTuple):
    """Consecutive bytes of a file that is open."""

    file: IO[bytes]
    start: int
    size: int


class Archive:
    """A model file that is open, and whose structure is sound.

    Args:
        path: The file.
        label: The file's name in messages; `path` by default.
        limits: The bounds under which it is read.

    Raises:
        ModelFileError: If it cannot be opened, or its structure is not a model file's.
    """

    def __init__(self, path: Path, *, label: str | None = None, limits: Limits = LIMITS) -> None:
        self.label = label or str(path)
        self.limits = limits
        self.digests: dict[str, str] = {}
        """The sha256 of each member that was read so far."""
        # One descriptor for everything: a path that is swapped meanwhile changes nothing.
        self._file = _open(path, self.label)
        try:
            self._require_end()
            bounded = cast("IO[bytes]", _BoundedReads(self._file, max(limits.directory, _BLOCK)))
            self._zip = zipfile.ZipFile(bounded)
            self._members = self._check_members()
        except ModelFileError:
            self._file.close()
            raise
        # zipfile reports a damaged directory by whatever its parsing runs into.
        except Exception as error:
            self._file.close()
            raise self._error(f"is truncated or damaged: {short_repr(str(error), 120)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    @property
    def members(self) -> tuple[Member, ...]:
        """All members, in the order of the file."""
        infos = self._members.values()
        return tuple(Member(i.filename, i.file_size, i.compress_size) for i in infos)

    def document(self, name: str) -> Any:
        """Parse a JSON member.

        Args:
            name: The member.

        Raises:
            ModelFileError: If it is missing, damaged, or not strict JSON.
        """
        data = b"".join(self._blocks(name))
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
            ModelFileError: If it is missing or damaged, or the folder cannot hold it.
        """
        target = folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                for block in self._blocks(name):
                    file.write(block)
        except OSError as error:
            size = size_text(self._members[name].file_size)
            hint = f"Unpacking needs {size} in {folder.parent}."
            raise self._error(f"cannot be unpacked: {error.strerror}.", name, hint) from error
        return target

    @contextlib.contextmanager
    def section(self, name: str, folder: Path) -> Iterator[Section]:
        """Open a member for random access; what is read so is not yet compared with its checksum.

        Args:
            name: The member.
            folder: A private folder, into which a compressed member is unpacked.

        Raises:
            ModelFileError: If it is missing, or is compressed and damaged.
        """
        info = self._members[name]
        if info.compress_type == zipfile.ZIP_STORED:
            yield Section(self._file, self._data_start(info), info.file_size)
            return
        with self.extract(name, folder).open("rb") as file:
            yield Section(file, 0, info.file_size)

    def digest(self, name: str) -> str:
        """Return the sha256 of a member.

        Args:
            name: The member.

        Raises:
            ModelFileError: If it is missing or damaged.
        """
        if name not in self.digests:
            for _ in self._blocks(name):
                pass
        return self.digests[name]

    def _blocks(self, name: str) -> Iterator[bytes]:
        """Yield a member's bytes; zipfile compares their checksum at the end."""
        if name not in self._members:
            raise self._error("is missing.", name, hint="The file is incomplete.")
        digest, size = hashlib.sha256(), 0
        try:
            with self._zip.open(self._members[name]) as member:
                while block := member.read(_BLOCK):
                    digest.update(block)
                    size += len(block)
                    yield block
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise self._error(
                f"is damaged: {short_repr(str(error), 120)}", name, hint="Fetch the file again."
            ) from error
        if size != self._members[name].file_size:
            raise self._error("is damaged: it ends early.", name, hint="Fetch the file again.")
        self.digests[name] = digest.hexdigest()

    def _error(
        self, message: str, member: str | None = None, hint: str = _SAVE_AGAIN
    ) -> ModelFileError:
        return ModelFileError(message, path=self.label, member=member, hint=hint)

    # Structure.

    def _require_end(self) -> None:
        """Refuse what does not end as a zip archive; zipfile would look for an end elsewhere."""
        size = os.fstat(self._file.fileno()).st_size
        self._file.seek(max(0, size - _END.size))
        tail = self._file.read()
        self._file.seek(0)
        head = self._file.read(8)
        if head.startswith(b"\x89HDF"):
            raise self._error("is an HDF5 file, not a `.keras` archive.", hint=LEGACY)
        if not b"PK\3\4".startswith(head[:4]):
            raise self._error("is not a `.keras` archive: its first bytes are not a zip's.")
        if len(tail) < _END.size or not tail.startswith(b"PK\5\6"):
            raise self._error(
                "is truncated, or has bytes after its end.", hint="Fetch the file again."
            )
        _, _, _, _, count, length, _, comment = _END.unpack(tail)
        if comment:
            raise self._error("is truncated: its closing comment is missing.")
        if count > self.limits.members:
            raise self._error(f"has {count} members; at most {self.limits.members} are read.")
        # A larger archive states the length elsewhere; then the bound on reads holds.
        if self.limits.directory < length < _WIDE:
            raise self._error(f"has a directory of {size_text(length)}.")

    def _check_members(self) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        infos = self._zip.infolist()
        if len(infos) > self.limits.members:
            raise self._error(f"has {len(infos)} members; at most {self.limits.members} are read.")
        for info in infos:
            self._check_name(info)
            self._check_kind(info)
            # Some file systems take two names that differ in case for one.
            if info.filename.casefold() in {name.casefold() for name in members}:
                raise self._error("occurs twice.", info.filename)
            members[info.filename] = info
        for name in (CONFIG, METADATA, WEIGHTS):
            if name not in members:
                raise self._error("is missing.", name, hint="The file is incomplete.")
        self._check_extents(infos)
        return members

    def _check_name(self, info: zipfile.ZipInfo) -> None:
        # zipfile cuts a name at its first zero byte.
        name = info.orig_filename
        if not 0 < len(name.encode("utf-8", "surrogatepass")) <= self.limits.name:
            raise self._error(f"has a member whose name is {len(name)} characters long.")
        if not name.isprintable():
            raise self._error(f"has a member with an unprintable name: {short_repr(name)}.")
        if name == "model.weights.npz":
            raise self._error("holds NumPy archives, which can carry pickled code.", name)
        if "\\" in name or ":" in name or not all(_is_plain(part) for part in name.split("/")):
            raise self._error("has a name that leaves its folder.", short_repr(name))
        if name not in _MEMBERS and not name.startswith(ASSETS):
            known = f"Known are {', '.join(_MEMBERS)} and {ASSETS}."
            raise self._error("is not a member of a model file.", short_repr(name), known)

    def _check_kind(self, info: zipfile.ZipInfo) -> None:
        if info.flag_bits & 1:
            raise self._error("is encrypted.", info.filename)
        if info.flag_bits & ~_UTF8:
            flags = f"{info.flag_bits:#x}"
            raise self._error(f"uses zip features that are not read ({flags}).", info.filename)
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            method = info.compress_type
            raise self._error(f"is compressed in an unknown way ({method}).", info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in {0, stat.S_IFREG}:
            what = "a symbolic link" if kind == stat.S_IFLNK else "not a regular file"
            raise self._error(f"is {what}.", info.filename)
        most = {
            CONFIG: self.limits.config,
            METADATA: self.limits.metadata,
            PROVENANCE: self.limits.provenance,
            STATE: self.limits.state,
        }.get(info.filename)
        if most is not None and info.file_size > most:
            raise self._error(
                f"inflates to {size_text(info.file_size)}; at most {size_text(most)} are read.",
                info.filename,
            )

    def _check_extents(self, infos: list[zipfile.ZipInfo]) -> None:
        """Require that each byte belongs to one member, and that they do not inflate too far."""
        size = os.fstat(self._file.fileno()).st_size
        total = sum(info.file_size for info in infos)
        if total > size + self.limits.slack:
            raise self._error(
                f"would inflate from {size_text(size)} to {size_text(total)}.",
                hint="Keras stores its members uncompressed; unpack the file and save it again.",
            )
        position = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset != position:
                raise self._error(
                    f"is expected at byte {position} and is at byte {info.header_offset}: "
                    "members overlap, or bytes belong to no member.",
                    info.filename,
                )
            position = self._data_start(info) + info.compress_size
        if position != self._zip.start_dir:
            extra = self._zip.start_dir - position
            raise self._error(f"carries {extra} bytes that belong to no member.")

    def _data_start(self, info: zipfile.ZipInfo) -> int:
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER:
            raise self._error("is truncated: a header is missing.", info.filename)
        name, extra = struct.unpack_from("<HH", header, _LOCAL_HEADER - 4)
        return info.header_offset + _LOCAL_HEADER + int(name) + int(extra)


class _BoundedReads:
    """A file for zipfile, which reads a directory of any size at once."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file = file
        self._most = most
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, count: int = -1) -> bytes:
        """Return bytes, as a file does, but never more than `most` of them."""
        if count > self._most:
            raise zipfile.BadZipFile(f"a directory of {size_text(count)}")
        return self._file.read(self._most if count < 0 else count)


def _is_plain(part: str) -> bool:
    """Tell whether a part of a path is a name on every system."""
    return bool(part.strip(". ")) and len(part.encode("utf-8")) <= 255


def _open(path: Path, label: str) -> IO[bytes]:
    try:
        # Without the flag, opening a named pipe would wait for a writer for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        hint = "Check the path."
        raise ModelFileError(f"cannot be opened: {reason}.", path=label, hint=hint) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ModelFileError("is not a regular file.", path=label, hint="Check the path.")
    return os.fdopen(descriptor, "rb")
