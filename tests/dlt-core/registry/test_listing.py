"""Tables for people and records for programs, from text that may be hostile."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dl_techniques.core.entry import Entry
from dl_techniques.core.registry.listing import Listing
from dl_techniques.core.text import printable

HOSTILE = "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>\u202etxt\r\n\x00\x9b"


def entry(name: str = "Gate", **more: Any) -> Entry:
    fields = {
        "id": f"acme>{name}",
        "kind": "layer",
        "object": f"acme:{name}",
        "summary": "Lets half of its input pass.",
        "distribution": "acme-layers",
        "version": "1.2",
        "location": "/x/components.json",
    }
    return Entry(**{**fields, **more})


def test_a_listing_is_a_sequence() -> None:
    listing = Listing([entry("A"), entry("B"), entry("C")])
    assert len(listing) == 3
    assert listing[0].name == "A"
    assert isinstance(listing[1:], Listing)
    assert [e.name for e in listing[1:]] == ["B", "C"]
    assert [e.name for e in reversed(listing)] == ["C", "B", "A"]
    assert entry("B") in listing
    assert listing == Listing(iter(listing))
    assert hash(listing) == hash(Listing(listing))
    assert listing != Listing([])
    assert listing != list(listing)
    with pytest.raises(IndexError):
        listing[3]


def test_the_table_is_aligned() -> None:
    table = Listing([entry("Short"), entry("MuchLongerName", kind="regularizer")]).table(100)
    lines = table.splitlines()
    assert lines[0].split() == ["ID", "KIND", "DISTRIBUTION", "SUMMARY"]
    for column, cells in {
        "KIND": ("layer", "regularizer"),
        "DISTRIBUTION": ("acme-layers 1.2",) * 2,
        "SUMMARY": ("Lets half",) * 2,
    }.items():
        start = lines[0].index(column)
        for line, cell in zip(lines[1:], cells, strict=True):
            assert line[start:].startswith(cell)
            assert line[start - 2 : start] == "  "
    assert not any(line.endswith(" ") for line in lines)


@pytest.mark.parametrize("width", [1, 10, 40, 60, 80, 120, 400, None])
def test_nothing_is_cut(width: int | None) -> None:
    long = entry("N" * 60, summary="word " * 59 + "end", distribution="d" * 60)
    table = Listing([long, entry()]).table(width)
    for text in (long.id, f"{long.distribution} 1.2", "acme>Gate", "acme-layers 1.2"):
        assert text in table
    assert "..." not in table
    assert table.count("word") == 59
    assert len(table.splitlines()) == 3 or width is not None


@pytest.mark.parametrize("width", [70, 100])
def test_a_summary_wraps_in_its_column(width: int) -> None:
    lines = Listing([entry(summary="word " * 59 + "end")]).table(width).splitlines()
    assert all(len(line) <= width for line in lines)
    start = lines[0].index("SUMMARY")
    assert len(lines) > 3
    for line in lines[2:]:
        assert line[:start].strip() == ""
        assert line[start:].startswith(("word", "end"))


def test_where_there_is_no_room_a_summary_stands_below() -> None:
    lines = Listing([entry(summary="word " * 9 + "end")]).table(40).splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith("acme>Gate"))
    assert lines[row].endswith("acme-layers 1.2")
    assert lines[row + 1].startswith("    word")
    assert all(len(line) <= 40 for line in lines[row + 1 :])


def test_the_table_has_the_width_of_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = Listing([entry(summary="word " * 60)])
    monkeypatch.setenv("COLUMNS", "90")
    assert len(repr(listing).splitlines()) == 2
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert 85 < max(map(len, repr(listing).splitlines())) <= 90


def test_marks() -> None:
    marked = entry(conflict=("a", "b"), deprecated="Use Door.", unsafe=True)
    table = Listing([marked]).table(200)
    assert "[conflict with a, b] [deprecated] [unsafe] Lets" in table


def test_hostile_text_is_disarmed() -> None:
    fields = dict.fromkeys(("id", "kind", "summary", "distribution", "version"), HOSTILE)
    listing = Listing([entry(**fields), entry(conflict=(HOSTILE,))])
    for text in (repr(listing), listing._repr_html_()):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert len(repr(listing).splitlines()) == 3
    page = listing._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert printable("plain \u00e9") == "plain \u00e9"


def test_the_notebook_table() -> None:
    page = Listing([entry("A"), entry("B")])._repr_html_()
    assert page.count("<tr>") == 3
    assert page.count("<td>") == 8
    assert "<th>SUMMARY</th>" in page


def test_records_are_json_with_all_keys() -> None:
    listing = Listing([entry(tags=("a",), aliases=("acme>Old",)), entry("B", summary=HOSTILE)])
    records = listing.records()
    assert all(list(record) == list(Entry._fields) for record in records)
    assert json.loads(json.dumps(records)) == records
    assert records[0]["tags"] == ["a"]
    assert records[1]["paper"] is None
    assert Listing([]).records() == []
    assert repr(Listing([])) == "(no components)"
