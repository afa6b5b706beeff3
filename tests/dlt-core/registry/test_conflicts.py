"""Clashing claims: all are listed and marked, asking is refused, and order decides nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from dl_techniques.core.entry import Entry
from dl_techniques.core.errors import AmbiguousComponent, UnknownComponent
from dl_techniques.core.registry.conflicts import claim


def entry(id: str, distribution: str = "one", **more: Any) -> Entry:
    more.setdefault("kind", "layer")
    more.setdefault("object", f"{distribution}:X")
    return Entry(id=id, summary="", distribution=distribution, version="1", location="m", **more)


def test_two_distributions_that_claim_one_identifier(site: Any) -> None:
    shared = f"{site.name('shared')}>Gate"
    first = site.healthy("first", id=shared, version="1.1")
    site.healthy("second", id=shared, version="2.2")
    healthy = site.healthy()
    registry = site.registry()
    listed = [e for e in registry.list() if e.id == shared]
    assert [e.distribution for e in listed] == [site.name("first"), site.name("second")]
    assert [e.conflict for e in listed] == [(site.name("second"),), (site.name("first"),)]
    assert "conflict with" in registry.list(distribution=site.name("first")).table(200)
    for ask in (registry.find, registry.load, registry.create):
        with pytest.raises(AmbiguousComponent) as refusal:
            ask(first)
        assert list(refusal.value.candidates) == listed
        for part in ("1.1", "2.2", *(e.location for e in listed), site.name("first")):
            assert part in str(refusal.value)
    conflicts = [p for p in registry.problems if p.stage == "conflict"]
    assert {p.distribution for p in conflicts} >= {site.name("first"), site.name("second")}
    assert registry.load(healthy)("x") == "x"


def test_a_bare_name_must_be_unique(site: Any) -> None:
    one, two = site.healthy("one", "Twin"), site.healthy("two", "Twin")
    other = site.healthy("three", f"Single{site.serial}")
    registry = site.registry()
    with pytest.raises(AmbiguousComponent, match="Twin") as refusal:
        registry.find("Twin")
    assert {one, two} <= {e.id for e in refusal.value.candidates}
    assert not refusal.value.candidates[0].conflict  # their identifiers differ: no conflict
    assert registry.find(f"Single{site.serial}").id == other
    assert registry.find(one).id == one


def test_an_alias_resolves_to_the_component(site: Any) -> None:
    package = site.name("renamed")
    current = site.healthy("renamed", aliases=[f"{package}>Old{site.serial}"])
    registry = site.registry()
    assert registry.find(f"{package}>Old{site.serial}").id == current
    assert registry.find(f"Old{site.serial}").id == current
    assert registry.load(f"{package}>Old{site.serial}")("x") == "x"


def test_an_alias_that_is_anothers_identifier() -> None:
    claims = claim([entry("a>New", aliases=("a>Old",)), entry("a>Old", "two")])
    assert [e.conflict for e in claims.entries] == [("two",), ("one",)]
    assert len(claims.matches("a>Old")) == 2
    assert len(claims.matches("a>New")) == 1  # only what both claim is in doubt
    assert len(claims.problems) == 2
    assert "'a>Old'" in claims.problems[0].message


def test_a_cycle_of_aliases() -> None:
    claims = claim([entry("a>X", aliases=("a>Y",)), entry("a>Y", "two", aliases=("a>X",))])
    assert all(len(claims.matches(key)) == 2 for key in ("a>X", "a>Y", "X", "Y"))
    assert all(e.conflict for e in claims.entries)


def test_one_distribution_that_declares_an_identifier_twice() -> None:
    claims = claim([entry("a>X", object="one:A"), entry("a>X", object="one:B")])
    assert [e.conflict for e in claims.entries] == [("one",), ("one",)]
    assert len(claims.matches("a>X")) == 2


def test_order_decides_nothing() -> None:
    entries = [
        entry("a>X", "one", aliases=("a>Z",)),
        entry("a>X", "two"),
        entry("a>Y", "three", aliases=("a>Z", "a>W")),
        entry("b>X", "four", kind="loss"),
    ]
    results = {
        (claims.entries, tuple(sorted(claims.keys.items())), tuple(sorted(claims.names.items())))
        for claims in (claim(order) for order in itertools.permutations(entries))
    }
    assert len(results) == 1


def test_a_kind_narrows_the_matches() -> None:
    claims = claim([entry("a>X"), entry("b>X", "two", kind="loss")])
    assert len(claims.matches("X")) == 2
    assert [e.id for e in claims.matches("X", "loss")] == ["b>X"]
    assert claims.matches("a>X", "loss") == ()
    assert claims.matches("nothing") == ()


def test_names_of_keras_are_not_shadowed(site: Any) -> None:
    """A component named like one of Keras's own changes nothing for whoever asks Keras."""
    import keras

    from dl_techniques.core.parts import resolve

    package = site.name("shadow")
    dense = site.healthy("shadow", "Dense", kind="layer")
    registry = site.registry()
    registry.load(dense)
    config = keras.saving.serialize_keras_object(keras.layers.Dense(2))
    assert type(keras.layers.deserialize(config)) is keras.layers.Dense
    gelu = site.healthy("shadow_of", "gelu", kind="activation")
    registry.load(gelu)
    assert keras.activations.get("gelu") is keras.activations.gelu
    assert keras.activations.deserialize("gelu") is keras.activations.gelu
    assert resolve("gelu", kind="activation") is keras.activations.gelu
    assert isinstance(resolve(config, kind="layer"), keras.layers.Dense)
    assert resolve(gelu, kind="activation")("x") == "x"
    assert package in dense


def test_a_conflict_does_not_answer_for_the_missing(site: Any) -> None:
    shared = f"{site.name('shared')}>Gate"
    site.healthy("first", id=shared)
    site.healthy("second", id=shared)
    with pytest.raises(UnknownComponent) as refusal:
        site.registry().find(f"{site.name('shared')}>Gaze")
    assert shared in refusal.value.nearest
    assert "claimed by" in str(refusal.value)
