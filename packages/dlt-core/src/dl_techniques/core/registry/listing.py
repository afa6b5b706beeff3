"""A list of components that shows itself as a table in a terminal and in a notebook."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, overload

from dl_techniques.core.entry import Entry
from dl_techniques.core.text import printable

_HEADER: Final = ("ID", "KIND", "DISTRIBUTION", "SUMMARY")
_GAP: Final = "  "
_LEAST_SUMMARY: Final = 24
"""In a narrower column than this the summary stands below its row."""


class Listing(Sequence[Entry]):
    """Components in order; a slice of it is one, too.

    Args:
        entries: The components.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Listing: ...
    def __getitem__(self, index: int | slice) -> Entry | Listing:
        if isinstance(index, slice):
            return Listing(self._entries[index])
        return self._entries[index]

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return self._entries == other._entries if isinstance(other, Listing) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._entries)

    def __repr__(self) -> str:
        return self.table()

    def table(
        self, width: int | None = None, columns: Mapping[str, Mapping[str, str]] | None = None
    ) -> str:
        """The components as aligned lines of text. Summaries wrap; nothing is cut.

        Args:
            width: Characters to a line; by default what the terminal has, and no limit where the
                output is no terminal.
            columns: Heading -> identifier -> text, to stand before the summaries.
        """
        extra = columns or {}
        if not self._entries:
            return "(no components)"
        if width is None and sys.stdout is not None and sys.stdout.isatty():
            width = shutil.get_terminal_size().columns
        rows: list[tuple[str, ...]] = [(*_HEADER[:3], *map(printable, extra), _HEADER[3])]
        for entry in self._entries:
            *cells, summary = _cells(entry)
            more = (printable(column.get(entry.id, "")) for column in extra.values())
            rows.append((*cells, *more, summary))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
        return "\n".join(line for row in rows for line in _lines(row, widths, width))

    def records(self) -> list[dict[str, Any]]:
        """The components as JSON types: the fields of `Entry`, always all of them."""
        return [
            {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in entry._asdict().items()
            }
            for entry in self._entries
        ]

    def _repr_html_(self) -> str:
        import html

        def row(cells: Iterable[str], tag: str) -> str:
            return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)

        body = "".join(f"<tr>{row(_cells(entry), 'td')}</tr>" for entry in self._entries)
        return f"<table><thead><tr>{row(_HEADER, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _cells(entry: Entry) -> tuple[str, str, str, str]:
    marks = ""
    if entry.conflict:
        marks += f"[conflict with {', '.join(entry.conflict)}] "
    if entry.deprecated:
        marks += "[deprecated] "
    if entry.unsafe:
        marks += "[unsafe] "
    return (
        printable(entry.id),
        printable(entry.kind),
        printable(f"{entry.distribution} {entry.version}"),
        printable(marks + entry.summary),
    )


def _lines(row: Sequence[str], widths: Sequence[int], width: int | None) -> list[str]:
    """Return a row of the table as one line or, where that is too wide, several."""
    first = "".join(cell.ljust(size) + _GAP for cell, size in zip(row, widths, strict=False))
    room = None if width is None else width - len(first)
    if room is None or len(row[-1]) <= room:
        return [(first + row[-1]).rstrip()]
    if room < _LEAST_SUMMARY:
        indent = " " * 4
        below = textwrap.wrap(row[-1], max(width or 0, _LEAST_SUMMARY) - len(indent))
        return [first.rstrip(), *(indent + line for line in below)]
    indent = " " * len(first)
    return textwrap.wrap(
        row[-1], width or 0, initial_indent=first, subsequent_indent=indent, drop_whitespace=True
    )
