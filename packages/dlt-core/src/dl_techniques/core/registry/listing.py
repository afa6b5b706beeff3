"""A list of components that shows itself as a table in a terminal and in a notebook."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from typing import Any, Final, overload

from dl_techniques.core.entry import Entry
from dl_techniques.core.text import printable

_HEADER: Final = ("ID", "KIND", "DISTRIBUTION", "SUMMARY")
# When the table is too wide, these columns give way in this order, down to the width named.
_GIVE_WAY: Final = ((3, 16), (2, 12), (0, 16), (1, 5))
_GAP: Final = "  "


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

    def table(self, width: int | None = None) -> str:
        """The components as aligned lines of text.

        Args:
            width: Characters to a line; by default what the terminal has.
        """
        if not self._entries:
            return "(no components)"
        available = max(width or shutil.get_terminal_size().columns, 1)
        rows = [_HEADER, *(_cells(entry) for entry in self._entries)]
        widths = _widths(rows, available)
        return "\n".join(_cut(_line(row, widths), available).rstrip() for row in rows)

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


def _widths(rows: Sequence[Sequence[str]], available: int) -> list[int]:
    widths = [max(_display_width(row[i]) for row in rows) for i in range(len(_HEADER))]
    for column, least in _GIVE_WAY:
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - available
        if excess > 0:
            widths[column] = max(min(least, widths[column]), widths[column] - excess)
    return widths


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(_fit(cell, width) for cell, width in zip(row, widths, strict=True))


def _fit(text: str, width: int) -> str:
    if _display_width(text) > width:
        text = _cut(text, max(width - 3, 0)) + "..."[:width]
    return text + " " * (width - _display_width(text))


def _cut(text: str, width: int) -> str:
    while _display_width(text) > width:
        text = text[: -max(1, (_display_width(text) - width) // 2)]
    return text


def _display_width(text: str) -> int:
    """Columns of a terminal: East Asian wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
        for character in text
    )
