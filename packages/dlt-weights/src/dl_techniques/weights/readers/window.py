"""A part of a file, as a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any


class Window(io.RawIOBase):
    """A file from an offset on, as a file: an HDF5 file inside a zip archive.

    Args:
        path: The file.
        offset: Where the inner file begins.
        size: How long it is; by default up to the end.
    """

    def __init__(self, path: Path, offset: int, size: int | None = None) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._offset = offset
        self.size = path.stat().st_size - offset if size is None else size
        self._file.seek(offset)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be positioned."""
        return True

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Move within the window.

        Args:
            position: Where to.
            whence: Relative to the start, the current position or the end.
        """
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self.size}[whence]
        return self._file.seek(self._offset + origin + position) - self._offset

    def tell(self) -> int:
        """The position in the window."""
        return self._file.tell() - self._offset

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, no further than the window's end.

        Args:
            buffer: Where to.
        """
        view = memoryview(buffer).cast("B")
        return self._file.readinto(view[: max(0, self.size - self.tell())])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
