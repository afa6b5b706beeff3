"""The reader of `components.json` on bytes of every sort."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dl_techniques.core.contract.identifier import KINDS
from dl_techniques.core.entry import Entry
from dl_techniques.core.registry import manifest as module
from dl_techniques.core.registry.manifest import KEYS, Manifest, ManifestError, to_json

FULL = Entry(
    id="acme>Gate",
    kind="layer",
    object="acme.layers.gate:Gate",
    summary="Lets half of its input pass, \u00e9l\u00e9gamment.",
    tags=("gating",),
    paper="arXiv:2002.05202",
    aliases=("acme>OldGate",),
    since="0.1",
    deprecated="Use Door.",
    unsafe=True,
    variants=("small", "large"),
)
PLAIN = Entry("acme>Plain", "loss", "acme.layers:Plain", "")
WHOLE = Manifest("acme", "acme.layers", (FULL, PLAIN))


def parse(document: Any) -> Manifest:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Manifest.parse(data, package="acme.layers")


def document(**changes: Any) -> dict[str, Any]:
    return {**json.loads(WHOLE.to_json()), **changes}


def fault(**changes: Any) -> str:
    """Return the fault of one record with changes; the other one must survive."""
    record = {**to_json(FULL), **changes}
    record = {key: value for key, value in record.items() if value is not ...}
    parsed = parse(document(components=[record, to_json(PLAIN)]))
    assert parsed.components == (PLAIN,)
    [text] = parsed.faults
    assert text.startswith("components[0]")
    return text


def test_round_trip() -> None:
    parsed = parse(WHOLE.to_json().encode())
    assert parsed == WHOLE
    assert parsed.to_json() == WHOLE.to_json()


def test_the_file_is_stable_and_small() -> None:
    text = WHOLE.to_json()
    assert text == Manifest("acme", "acme.layers", (PLAIN, FULL)).to_json()
    assert text.isascii()
    assert text.endswith("}\n")
    assert set(json.loads(text)["components"][1]) == {"id", "kind", "object", "summary"}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"id": "other>Gate"}, "own namespace"),
        ({"id": "Gate"}, "namespace>Name"),
        ({"id": 7}, "namespace>Name"),
        ({"id": ...}, "`id` is missing"),
        ({"id": "acme>Gate\n"}, "namespace>Name"),
        ({"kind": "layers"}, "`kind`"),
        ({"kind": ["layer"]}, "`kind`"),
        ({"object": "acme.layers.gate"}, "module:Name"),
        ({"object": "acme.layers..gate:Gate"}, "module:Name"),
        ({"object": "acme.layers.gate:Gate.inner"}, "module:Name"),
        ({"object": "acme.layersgate:Gate"}, "inside"),
        ({"object": "acme:Gate"}, "inside"),
        ({"object": "os:system"}, "inside"),
        ({"object": None}, "module:Name"),
        ({"object": "acme.layers:" + "x" * 2_000}, "module:Name"),
        ({"summary": None}, "`summary`"),
        ({"summary": "x" * 1_001}, "longer"),
        ({"summary": "two\nlines"}, "control"),
        ({"summary": "\u202egnp.exe"}, "control"),
        ({"summary": "\ud800"}, "control"),
        ({"tags": "gating"}, "`tags`"),
        ({"tags": [1]}, "`tags`"),
        ({"tags": ["x"] * 201}, "at most 200"),
        ({"tags": ["\x1b[31m"]}, "control"),
        ({"aliases": ["other>Gate"]}, "own namespace"),
        ({"aliases": ["acme>Gate"]}, "distinct"),
        ({"aliases": ["acme>A", "acme>A"]}, "distinct"),
        ({"paper": 1}, "`paper`"),
        ({"since": ["0.1"]}, "`since`"),
        ({"deprecated": True}, "`deprecated`"),
        ({"unsafe": 1}, "`unsafe`"),
        ({"unsafe": None}, "`unsafe`"),
        ({"variants": {}}, "`variants`"),
        ({"alias": []}, "unknown key 'alias'"),
    ],
)
def test_a_malformed_component_hides_no_other(changes: dict[str, Any], word: str) -> None:
    text = fault(**changes)
    assert word in text
    assert text.isascii()
    assert len(text) < 400


@pytest.mark.parametrize("item", [None, 7, "acme>Gate", ["acme>Gate"], True])
def test_a_component_that_is_no_object(item: Any) -> None:
    parsed = parse(document(components=[item, to_json(PLAIN)]))
    assert parsed.components == (PLAIN,)
    assert len(parsed.faults) == 1


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "not valid JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "object"),
        (b"null", "object"),
        (b"{" * 100_000, "not valid JSON"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"1" * 10_000, "integer of 10000 digits"),
        (b'{"schema": NaN}', "NaN"),
        (b'{"schema": 1, "schema": 2}', "'schema' twice"),
        (b" " * (module.MAX_BYTES + 1), "larger"),
        (document(schema=0), "`schema`"),
        (document(schema=True), "`schema`"),
        (document(schema="1"), "`schema`"),
        (document(schema=2**31), "`schema`"),
        (document(contract=None), "`contract`"),
        (document(contract=1.0), "`contract`"),
        (document(namespace="keras"), "`namespace`"),
        (document(namespace="a b"), "`namespace`"),
        (document(namespace=None), "`namespace`"),
        (document(package="acme"), "`package`"),
        (document(package=None), "`package`"),
        (document(components={}), "`components`"),
        (document(components=[0] * 10_001), "`components`"),
        (document(more=1), "unknown key 'more'"),
    ],
)
def test_a_file_that_cannot_be_read(data: Any, word: str) -> None:
    with pytest.raises(ManifestError) as refusal:
        parse(data)
    assert word in str(refusal.value)
    assert str(refusal.value).isascii()
    assert len(str(refusal.value)) < 400


def test_later_numbers() -> None:
    assert parse(document(contract=2)).contract == 2
    later = document(schema=2, more=1)
    later["components"][0]["colour"] = "red"
    parsed = parse(later)
    assert parsed.schema == 2
    assert len(parsed.components) == 2
    assert "alias" in fault(alias=[])  # in this schema a further key is a fault


texts = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp")), max_size=40)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
records = st.builds(
    functools.partial(Entry, distribution="", version="", location="", conflict=(), contract=1),
    id=names.map("acme>{}".format),
    kind=st.sampled_from(KINDS),
    object=st.builds("acme.layers.{}:{}".format, names, names),
    summary=texts,
    tags=st.lists(texts, max_size=3).map(tuple),
    paper=st.none() | texts,
    aliases=st.just(()),
    since=st.none() | texts,
    deprecated=st.none() | texts,
    unsafe=st.booleans(),
    variants=st.lists(texts, max_size=3).map(tuple),
)


@given(st.lists(records, max_size=5))
@settings(max_examples=50, deadline=None)
def test_a_written_manifest_is_read_back(components: list[Entry]) -> None:
    written = Manifest("acme", "acme.layers", tuple(components))
    parsed = parse(written.to_json().encode())
    assert parsed.faults == ()
    assert sorted(parsed.components, key=repr) == sorted(components, key=repr)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.sampled_from(["schema", "contract", "namespace", "package", "components"]),
    st.sampled_from(KEYS),
    json_values,
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_any_value_anywhere_is_read_or_refused(
    key: str, field: str, value: Any, deep: bool
) -> None:
    changed = document()
    if deep:
        changed["components"][0][field] = value
    else:
        changed[key] = value
    check(json.dumps(changed).encode())


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_any_damaged_byte_is_read_or_refused(place: int, noise: bytes, removed: int) -> None:
    data = WHOLE.to_json().encode()
    place %= len(data)
    check(data[:place] + noise + data[place + removed :])


def check(data: bytes) -> None:
    """Refused with the one exception, or read into records that keep every rule."""
    try:
        parsed = parse(data)
    except ManifestError:
        return
    assert parsed.package == "acme.layers"
    for record in parsed.components:
        assert record.id.startswith(f"{parsed.namespace}>")
        assert record.object.startswith("acme.layers")
        assert record.kind in KINDS
        assert isinstance(record.unsafe, bool)
        for text in (record.summary, *record.tags, *record.variants, record.paper or ""):
            assert text.isprintable() or not module.UNPRINTABLE.search(text)
    again = Manifest.parse(parsed.to_json().encode(), package="acme.layers")
    if parsed.schema == module.SCHEMA:
        assert again.components == tuple(sorted(parsed.components, key=lambda r: r.id))
