"""Examples, tensor specs, precision and lazy exports."""

from __future__ import annotations

import json
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

from dl_techniques.core import Example, Fresh, TensorSpec, upcast
from dl_techniques.core.lazy import exports


def test_fresh_values_are_made_for_each_instance():
    example = Example(keras.layers.TimeDistributed, {"layer": Fresh(lambda: keras.layers.Dense(2))})
    assert example.create().layer is not example.create().layer


def test_overrides_replace_arguments():
    example = Example(keras.layers.Dense, {"units": 2})
    assert example.create(units=3, name="x").units == 3
    assert example.instance.units == 2


def test_unknown_traits_and_half_ranges_are_refused():
    with pytest.raises(ValueError, match="scale_free"):
        Example(keras.layers.Dense, traits=frozenset({"scale_free"}))
    with pytest.raises(ValueError, match="`low` and `high`"):
        TensorSpec((2,), low=0)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float32")]
)
def test_upcast(dtype, expected):
    x = upcast(keras.ops.ones((2,), dtype))
    assert keras.backend.standardize_dtype(x.dtype) == expected


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="float64 is TensorFlow's")
def test_upcast_keeps_float64():
    x = upcast(keras.ops.convert_to_tensor(np.ones(2)))
    assert keras.backend.standardize_dtype(x.dtype) == "float64"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two modules with a manifest; importing `broken` fails."""
    (tmp_path / "good.py").write_text("class Thing: ...\n")
    (tmp_path / "broken.py").write_text("raise RuntimeError('imported')\n")
    records = [
        {"id": "lazy>Thing", "object": "lazy_pkg.good:Thing", "aliases": ["lazy>OldThing"]},
        {"id": "lazy>Bad", "object": "lazy_pkg.broken:Bad"},
        {"id": "lazy>Other", "object": "elsewhere.module:Other"},
    ]
    (tmp_path / "components.json").write_text(json.dumps({"components": records}))
    module = types.ModuleType("lazy_pkg")
    module.__file__ = str(tmp_path / "__init__.py")
    module.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "lazy_pkg", module)
    module.__getattr__, module.__dir__, module.__all__ = exports("lazy_pkg")
    yield module
    for name in ("lazy_pkg.good", "lazy_pkg.broken"):
        sys.modules.pop(name, None)


def test_a_name_imports_one_module_and_aliases_lead_to_the_same_object(package):
    assert package.__all__ == ["Bad", "OldThing", "Thing"]
    assert package.OldThing is package.Thing
    assert "lazy_pkg.broken" not in sys.modules
    assert "Thing" in dir(package)


def test_a_failing_module_fails_only_when_it_is_asked_for(package):
    assert package.Thing
    with pytest.raises(RuntimeError, match="imported"):
        _ = package.Bad


def test_unknown_names_are_attribute_errors(package):
    with pytest.raises(AttributeError, match="Nothing"):
        _ = package.Nothing


@pytest.mark.parametrize(
    "module", ["core", "layers", "initializers", "regularizers", "constraints", "losses", "metrics"]
)
def test_importing_a_package_imports_neither_keras_nor_a_backend(module):
    if module != "core":
        pytest.importorskip(f"dl_techniques.{module}")
    script = (
        f"import sys, dl_techniques.{module};"
        "print(sorted({'keras', 'tensorflow', 'jax', 'torch', 'numpy'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert answer.stdout.decode().strip() == "[]"
