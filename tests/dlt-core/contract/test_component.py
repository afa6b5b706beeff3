"""The decorator: what it registers, what it refuses, what it allows again."""

from __future__ import annotations

import subprocess
import sys

import keras
import pytest

from dl_techniques.core import DuplicateComponent, Layer, component, declaration_of
from dl_techniques.core.contract.component import register_waiting


def declare(identifier, module="contract_module", qualname="Part"):
    """A fresh class that says it lives at `module:qualname`."""
    body = {"__doc__": "A part.", "__module__": module, "__qualname__": qualname}
    return component(identifier, kind="layer")(type("Part", (Layer,), body))


def test_the_identifier_is_the_registered_name():
    cls = declare("contract>Registered")
    assert keras.saving.get_registered_name(cls) == "contract>Registered"
    assert keras.saving.get_registered_object("contract>Registered") is cls


def test_another_class_under_a_taken_identifier_is_refused_and_changes_nothing():
    first = declare("contract>Taken", qualname="First")
    with pytest.raises(DuplicateComponent, match=r"contract_module:First.*contract_module:Second"):
        declare("contract>Taken", qualname="Second")
    assert keras.saving.get_registered_object("contract>Taken") is first


def test_the_same_address_may_be_declared_again():
    declare("contract>Rerun")
    again = declare("contract>Rerun")
    assert keras.saving.get_registered_object("contract>Rerun") is again


def test_declarations_are_not_inherited():
    parent = declare("contract>Parent")
    child = type("Child", (parent,), {})
    assert declaration_of(parent).id == "contract>Parent"
    assert declaration_of(child) is None


def test_functions_are_components_too():
    @component("contract>double", kind="function", aliases=("contract>twice",))
    def double(x):
        """2 x."""
        return 2 * x

    assert declaration_of(double).aliases == ("contract>twice",)
    assert keras.saving.get_registered_name(double) == "contract>double"


@pytest.mark.parametrize(
    "identifier",
    ["", "Name", "a>", ">b", "a>b>c", "a>b c", "a>1b", "a/b>c", "keras>Dense", "Custom>X", None, 7],
)
def test_malformed_and_reserved_identifiers_are_refused(identifier):
    with pytest.raises(ValueError, match=r"id="):
        component(identifier, kind="layer")


def test_unknown_kind_and_malformed_alias_are_refused():
    with pytest.raises(ValueError, match="kind='layers'"):
        component("contract>Kind", kind="layers")
    with pytest.raises(ValueError, match="Old"):
        component("contract>Alias", kind="layer", aliases=("Old",))


def declare_function(kind, name="numbers", identifier="contract>numbers"):
    """A fresh function that says it lives at `contract_module:name`."""

    def function():
        """A part."""

    function.__module__, function.__qualname__ = "contract_module", name
    return component(identifier, kind=kind)(function)


def test_analyzers_and_datasets_wait_for_keras(monkeypatch):
    with monkeypatch.context() as without:
        without.delitem(sys.modules, "keras")
        declare_function("dataset")
        again = declare_function("dataset")
        assert declaration_of(again).kind == "dataset"
        with pytest.raises(DuplicateComponent, match=r"_module:numbers.*_module:others"):
            declare_function("analyzer", "others")
        declare_function("analyzer", "free", "contract>free")
    register_waiting("contract>numbers")
    assert keras.saving.get_registered_object("contract>numbers") is again
    assert keras.saving.get_registered_object("contract>free") is None
    register_waiting("contract>numbers")
    later = declare_function("dataset")
    assert keras.saving.get_registered_object("contract>numbers") is later
    with pytest.raises(DuplicateComponent):
        declare_function("layer", "taken", "contract>free")


def test_analyzers_and_datasets_are_declared_without_keras():
    script = (
        "import sys; from dl_techniques.core import component\n"
        "@component('contract>numbers', kind='dataset')\n"
        "def numbers(): pass\n"
        "sys.exit('keras' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
