"""Oracle: closed form. A row is taken as it stands, or left out with the reason."""

from __future__ import annotations

import json

import pytest

from dl_techniques.weights.rows import RowError, parse_rows


def parse(*weights, layouts=()):
    document = {"schema": 1, "weights": list(weights), "layouts": list(layouts)}
    return parse_rows(json.dumps(document).encode(), package="acme_net")


def test_a_row_becomes_an_entry(row):
    (entry,) = parse(row()).weights
    assert entry.name == "Net/tiny/base"
    assert entry.names == ("Net/tiny/base", "Net/tiny/imagenet")
    assert str(entry.sources[0]) == f"hf://acme/net/net.safetensors@{'a' * 40}"
    assert entry.sources[0].mirror_path == f"acme/net/{'a' * 40}/net.safetensors"


@pytest.mark.parametrize(
    ("licence", "asked", "gate"),
    [
        ("MIT", "none", "none"),
        ("mit", "accept", "accept"),
        ("openrail", "none", "notice"),
        ("agpl-3.0", "none", "accept"),
        ("my-own", "notice", "accept"),
    ],
)
def test_a_row_cannot_weaken_the_gate_of_its_licence(row, licence, asked, gate):
    (entry,) = parse(row(licence=licence, gate=asked)).weights
    assert entry.gate == gate
    assert entry.licence == licence.lower()


@pytest.mark.parametrize(
    "change",
    [
        {"component": "Net"},
        {"component": 3},
        {"tag": "a/b"},
        {"tag": ".."},
        {"sources": []},
        {"sources": [{"kind": "ftp"}]},
        {"sources": [{"kind": "hf", "repo": "a/b", "file": "f", "revision": "abc1234"}]},
        {"sources": [{"kind": "hf", "repo": "../b", "file": "f", "revision": "a" * 40}]},
        {"sources": [{"kind": "hf", "repo": "a/b", "file": "../f", "revision": "a" * 40}]},
        {"sources": [{"kind": "hf", "repo": "a/b", "file": "/f", "revision": "a" * 40}]},
        {"sources": [{"kind": "wheel", "package": "a", "version": "1", "file": "c:\\x"}]},
        {"sources": [{"kind": "url", "url": "http://plain.example/x"}]},
        {"sources": [{"kind": "url", "url": "https://a.example/../../x"}]},
        {"sha256": "ab"},
        {"size": -1},
        {"size": True},
        {"gate": "open"},
        {"aliases": "imagenet"},
        {"preprocess": []},
        {"verified": "yesterday"},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_malformed_row_is_left_out_and_named(row, change):
    rows = parse(row(**change), row(tag="sound"))
    assert [entry.tag for entry in rows.weights] == ["sound"]
    assert len(rows.faults) == 1
    assert rows.faults[0].startswith("`weights`, row 0: ")


def test_a_layout_must_lie_in_the_listings_own_package():
    mine = {"component": "a>B", "name": "x", "object": "acme_net.rules:TIMM"}
    rows = parse(layouts=[mine, mine | {"object": "os:system"}, mine | {"object": "acme_nets:T"}])
    assert [layout.object for layout in rows.layouts] == ["acme_net.rules:TIMM"]
    assert len(rows.faults) == 2


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "weights": {}}', '{"schema": 1, "schema": 1}'],
)
def test_a_malformed_listing_is_refused(text):
    with pytest.raises(RowError):
        parse_rows(text.encode(), package="a")
