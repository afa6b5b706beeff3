"""Oracle: property. Listing imports no plugin, and a broken one affects no other."""

from __future__ import annotations

import pytest

from dl_techniques import weights as W
from dl_techniques.weights.catalog import read_catalog


def test_listing_imports_nothing_of_the_plugin(install, row, no_sockets):
    install("acme-net", [row()])
    (entry,) = W.list("Net")
    assert (entry.distribution, entry.version) == ("acme-net", "1.2")
    assert W.find("Net/tiny/imagenet") == entry
    assert W.find("acme>Net/tiny/base") == entry


def test_filters(install, row):
    rows = [row(tag="a", aliases=[]), row(tag="b", aliases=[], licence="cc-by-nc-4.0")]
    rows.append(row(tag="c", aliases=[], variant="large", licence="openrail"))
    install("acme-net", rows)
    assert [e.tag for e in W.list("Net/tiny")] == ["a", "b"]
    assert [e.tag for e in W.list("acme>Net")] == ["c", "a", "b"]
    assert [e.tag for e in W.list("Ne")] == []
    assert [e.tag for e in W.list("Net", licence="CC-BY-NC-4.0")] == ["b"]
    assert [e.tag for e in W.list("Net", commercial=True)] == ["c", "a"]
    assert [e.tag for e in W.list("Net", commercial=False)] == ["b"]


def test_two_claims_are_listed_and_refused(install, row):
    install("acme-net", [row()])
    install("acme-other", [row(tag="else", aliases=["base"])], namespace="acmeb")
    assert len(W.list("Net")) == 2
    with pytest.raises(W.AmbiguousWeights) as caught:
        W.find("Net/tiny/base")
    assert "acme-net" in str(caught.value)
    assert "acme-other" in str(caught.value)
    assert len(caught.value.candidates) == 2
    assert W.find("Net/tiny/else").distribution == "acme-other"


def test_an_unknown_tag_names_the_tags(install, row):
    install("acme-net", [row()])
    with pytest.raises(W.UnknownWeights, match=r"There are Net/tiny/base, Net/tiny/imagenet\."):
        W.find("Net/tiny/in21k")


def test_a_broken_listing_is_a_problem_and_hides_no_other(install, row):
    install("acme-net", [row()])
    install("acme-broken", '{"schema": 1, "weights": [{}, 3]', namespace="acmeb")
    catalog = read_catalog()
    found = {entry.distribution for entry in catalog.entries}
    assert {name for name in found if name.startswith("acme")} == {"acme-net"}
    assert any(problem.distribution == "acme-broken" for problem in catalog.problems)


def test_a_row_for_a_variant_that_does_not_exist_is_a_problem(install, row):
    component = {
        "id": "acme>Net",
        "kind": "model",
        "object": "acme_net:Net",
        "summary": "A net.",
        "variants": ["small"],
    }
    install("acme-net", [row(), row(tag="x", aliases=[], variant="small")], components=[component])
    (problem,) = [p for p in read_catalog().problems if p.distribution == "acme-net"]
    assert "'tiny'" in problem.message


def test_doctor_names_rows_without_a_hash(install, row):
    from dl_techniques.weights.plugin import dl_doctor

    install("acme-net", [row(sha256=None)])
    assert any("no sha256" in problem.message for problem in dl_doctor())


def test_an_address_of_the_hub_is_a_row_by_itself(install, row, no_sockets, tmp_path, monkeypatch):
    revision = "0123456789abcdef0123456789abcdef01234567"
    entry = W.find(f"hf://owner/name@{revision}")
    assert entry.sources[0].mirror_path == f"owner/name/{revision}/model.safetensors"
    nested = W.find(f"hf://owner/name/a/b.bin@{revision}")
    assert nested.file == "b.bin"
    monkeypatch.setenv("DL_TECHNIQUES_WEIGHTS_DIR", str(tmp_path))
    file = tmp_path / entry.sources[0].mirror_path
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    with pytest.raises(W.LicenceNotAccepted, match="unknown"):
        W.fetch(entry)
    assert W.fetch(entry, accept_license="unknown") == file
    # A file that a listing knows has the listing's licence.
    source = {"kind": "hf", "repo": "owner/name", "file": "w.bin", "revision": revision}
    install("acme-net", [row(sources=[source])])
    assert W.find(f"hf://owner/name/w.bin@{revision}").licence == row()["licence"]


@pytest.mark.parametrize(
    "address",
    [
        "hf://owner/name",
        "hf://owner/name@main",
        "hf://owner@0123456789abcdef0123456789abcdef01234567",
        "hf://owner/name/../../etc@0123456789abcdef0123456789abcdef01234567",
        "hf://o wner/name@0123456789abcdef0123456789abcdef01234567",
    ],
)
def test_an_address_must_be_fixed_and_whole(address):
    with pytest.raises(W.UnknownWeights, match="no address of weights"):
        W.find(address)
