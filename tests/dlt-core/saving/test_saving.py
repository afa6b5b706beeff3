"""Models come back as they were, by identifier alone, and nothing is lost on the way."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import model_forge as forge
import numpy as np
import pytest
from model_forge import Forge
from shops import open_shop

from dl_techniques.core import (
    Layer,
    UnknownComponent,
    component,
    inspect_model,
    load_model,
    registry,
    save_model,
)
from dl_techniques.core.errors import ModelFileError, ModelFileProblems
from dl_techniques.core.files.limits import LIMITS

pytestmark = [
    # A model that was compiled and never trained has no optimizer state, and Keras says so.
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer"),
    # Warning of Keras 3.15 at a file of Keras 3.8.
    pytest.mark.filterwarnings("ignore:The structure of `inputs`"),
]
_serial = itertools.count()
X = np.linspace(-1, 1, 24, dtype="float32").reshape(6, 4)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an installed plugin that no other test uses."""
    name = f"shop{next(_serial)}x{os.getpid()}"
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield name
    forget(name)


def forget(package: str) -> None:
    for module in [m for m in sys.modules if m.partition(".")[0] == package]:
        del sys.modules[module]
    for key in [k for k in keras.saving.get_custom_objects() if k.startswith(f"{package}>")]:
        del keras.saving.get_custom_objects()[key]
    registry.refresh()


def install(folder: Path, package: str, **options: bool) -> Any:
    open_shop(folder / "site", package, **options)
    importlib.invalidate_caches()
    registry.refresh()
    return importlib.import_module(f"{package}.parts")


def build(parts: Any, names: Any = ("Gate", "Half", "bend", "Miss", "Count")) -> Any:
    gate, half, bend, miss, count = (getattr(parts, name) for name in names)
    inputs = keras.Input((4,))
    inner = gate(5, kernel_initializer=half(0.1), name="inner")
    x = gate(5, kernel_initializer=half(), inner=inner, name="outer")(inputs)
    x = keras.layers.Dense(3, activation=bend, kernel_initializer=half(0.2))(x)
    outputs = gate(2, name="last")(x)
    model = keras.Model(inputs, outputs)
    model.compile("adam", loss=miss(3.0), metrics=[count(), "mae"])
    model.fit(X, X[:, :2], epochs=2, verbose=0)
    return model


def outputs(model: Any) -> Any:
    return np.asarray(model.predict(X, verbose=0))


def test_a_model_comes_back(tmp_path: Path, package: str) -> None:
    model = build(install(tmp_path, package))
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    assert int(np.asarray(loaded.optimizer.iterations)) == 2
    for ours, theirs in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours.value), np.asarray(theirs.value))
    assert loaded.loss.weight == 3.0
    assert [path.name for path in tmp_path.iterdir() if path.name != "site"] == ["model.keras"]


FRESH = """
import sys, numpy as np
from dl_techniques.core import load_model
model = load_model(sys.argv[1])
assert not [m for m in sys.modules if m.startswith(sys.argv[2] + ".hooks")]
x = np.linspace(-1, 1, 24, dtype="float32").reshape(6, 4)
np.save(sys.argv[3], np.asarray(model.predict(x, verbose=0)))
"""


def test_a_fresh_process_needs_only_the_core(tmp_path: Path, package: str) -> None:
    model = build(install(tmp_path, package))
    save_model(model, tmp_path / "model.keras")
    arguments = [str(tmp_path / "model.keras"), package, str(tmp_path / "outputs.npy")]
    subprocess.run(
        [sys.executable, "-c", FRESH, *arguments],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site"), "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
        timeout=120,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "outputs.npy"), outputs(model))


def test_the_provenance_says_where_it_comes_from(tmp_path: Path, package: str) -> None:
    save_model(build(install(tmp_path, package)), tmp_path / "model.keras")
    report = inspect_model(tmp_path / "model.keras")
    assert report.problems == ()
    said = report.provenance
    assert said is not None
    assert said.keras == keras.version()
    assert said.backend == keras.backend.backend()
    assert said.components[f"{package}>Gate"] == (package, "1.0", f"{package}.parts:Gate")
    members = {"config.json", "dl_techniques_state.json", "metadata.json", "model.weights.h5"}
    assert set(said.members) == members
    needs = {need.name: need for need in report.needs}
    assert needs[f"{package}>Gate"].distribution == package
    assert needs[f"{package}>Gate"].times == 3
    assert needs["keras.layers.Dense"].distribution == "keras"


def test_plain_keras_reads_our_files(tmp_path: Path, package: str) -> None:
    model = build(install(tmp_path, package))
    save_model(model, tmp_path / "model.keras")
    np.testing.assert_array_equal(
        outputs(keras.saving.load_model(tmp_path / "model.keras")), outputs(model)
    )


def test_files_of_plain_keras_load(tmp_path: Path, package: str) -> None:
    model = build(install(tmp_path, package))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(load_model(tmp_path / "model.keras")), outputs(model))


def test_a_renamed_component_loads_and_is_saved_anew(tmp_path: Path, package: str) -> None:
    old = tmp_path / "old.keras"
    model = build(install(tmp_path, package))
    save_model(model, old)
    expected, state = outputs(model), [np.asarray(v.value) for v in model.optimizer.variables]
    forget(package)
    (tmp_path / "site").rename(tmp_path / "closed")
    parts = install(tmp_path, package, renamed=True)

    loaded = load_model(old)
    np.testing.assert_array_equal(outputs(loaded), expected)
    for variable, value in zip(loaded.optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(np.asarray(variable.value), value)
    assert type(loaded.get_layer("outer")) is parts.Portal
    assert type(loaded.get_layer("outer").inner) is parts.Portal
    assert type(loaded.get_layer("outer").kernel_initializer) is parts.Level
    assert loaded.layers[2].activation is parts.curve
    assert type(loaded.loss) is parts.Gap
    loaded.evaluate(X, X[:, :2], verbose=0)  # builds the metrics
    assert any(type(m) is parts.Tally for m in _metrics(loaded))

    save_model(loaded, tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as archive:
        text = archive.read("config.json").decode()
    for name in ("Gate", "Half", "bend", "Miss", "Count"):
        assert f"{package}>{name}" not in text
    assert all(f"{package}>{n}" in text for n in ("Portal", "Level", "curve", "Gap", "Tally"))
    names = [weight.path for weight in inspect_model(tmp_path / "new.keras").weights]
    assert any("layers/portal/" in name for name in names)
    np.testing.assert_array_equal(outputs(load_model(tmp_path / "new.keras")), expected)
    assert {need.id for need in inspect_model(old).needs if need.id} >= {f"{package}>Portal"}


def _metrics(model: Any) -> list[Any]:
    found = []
    for metric in model.metrics:
        found.append(metric)
        found += getattr(metric, "metrics", [])
    return found


def test_a_class_may_change_its_name_alone(tmp_path: Path, package: str) -> None:
    parts = install(tmp_path, package)
    model = build(parts)
    save_model(model, tmp_path / "model.keras")
    expected = outputs(model)
    parts.Gate.__name__ = "Doorway"
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(loaded), expected)
    assert type(loaded.get_layer("outer")) is parts.Gate


def test_hooks_are_called_and_migrate(tmp_path: Path, package: str) -> None:
    model = build(install(tmp_path, package, hooks=True))
    path = tmp_path / "model.keras"
    save_model(model, path)
    hooks = importlib.import_module(f"{package}.hooks")
    assert hooks.calls[0][:2] == ("saved", str(path))
    hooks.calls.clear()
    load_model(path)
    assert [call[0] for call in hooks.calls] == ["loaded"]  # the same version: nothing to migrate

    plain = tmp_path / "plain.keras"
    model.save(plain)
    with zipfile.ZipFile(plain) as archive:
        members = [(item, archive.read(item)) for item in archive.infolist()]
    with zipfile.ZipFile(plain, "w") as archive:
        for item, data in members:
            archive.writestr(item, data.replace(b'"units": 5', b'"breadth": 5'))
    # `breadth` also replaced the units of the dense layer? It has 3 of them: only gates changed.
    hooks.calls.clear()
    np.testing.assert_array_equal(outputs(load_model(plain)), outputs(model))
    assert ("migrate", f"{package}>Gate", "", "1.0") in hooks.calls


def test_an_undeclared_object_is_an_error_when_saving(tmp_path: Path) -> None:
    class Undeclared(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
        def call(self, inputs: Any) -> Any:
            return inputs

    model = keras.Sequential([keras.Input((4,)), Undeclared()])
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")
    with pytest.raises(ModelFileProblems, match="@component") as caught:
        save_model(model, path)
    assert caught.value.path == str(path)
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_the_caller_may_provide_undeclared_objects(tmp_path: Path) -> None:
    class Plain(keras.layers.Dense):  # type: ignore[misc]  # Keras ships no types
        pass

    model = keras.Sequential([keras.Input((4,)), Plain(3)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelFileProblems, match="custom_objects"):
        load_model(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras", custom_objects={"Plain": Plain})
    assert type(loaded.layers[-1]) is Plain
    np.testing.assert_array_equal(outputs(loaded), outputs(model))


def test_the_callers_name_does_not_replace_a_built_in(tmp_path: Path) -> None:
    class Other(keras.layers.Dense):  # type: ignore[misc]  # Keras ships no types
        pass

    path = Forge().write(tmp_path / "model.keras")
    assert type(load_model(path, custom_objects={"Dense": Other}).layers[-1]) is keras.layers.Dense


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="lookups need TensorFlow")
def test_assets_come_back(tmp_path: Path) -> None:
    lookup = keras.layers.StringLookup(num_oov_indices=1)
    lookup.adapt(np.array(["b", "a", "b"]))
    model = keras.Sequential([keras.Input((1,), dtype="string"), lookup])
    save_model(model, tmp_path / "model.keras")
    names = [member.name for member in inspect_model(tmp_path / "model.keras").members]
    assert "assets/layers/string_lookup/vocabulary.txt" in names
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].get_vocabulary() == ["[UNK]", "b", "a"]


def test_components_of_this_program_come_back_in_it(tmp_path: Path) -> None:
    @component("saving_test>Local", kind="layer", aliases=("saving_test>Former",))
    class Local(Layer):
        def call(self, inputs: Any) -> Any:
            return 3 * inputs

    model = keras.Sequential([keras.Input((4,)), Local()])
    save_model(model, tmp_path / "model.keras")
    assert type(load_model(tmp_path / "model.keras").layers[-1]) is Local
    report = inspect_model(tmp_path / "model.keras")
    assert isinstance(report.problems[0].__cause__, UnknownComponent)
    assert report.provenance is not None
    assert report.provenance.components["saving_test>Local"].distribution == ""
    del keras.saving.get_custom_objects()["saving_test>Local"]


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_code_loads_only_with_consent(tmp_path: Path, package: str) -> None:
    parts = install(tmp_path, package)
    double = keras.layers.Lambda(lambda x: 2 * x, output_shape=(4,))
    model = keras.Sequential([keras.Input((4,)), double, parts.Danger()])
    save_model(model, tmp_path / "model.keras")
    with pytest.raises(ModelFileProblems, match="allow_unsafe=True") as caught:
        load_model(tmp_path / "model.keras")
    assert len(caught.value.problems) == 3
    loaded = load_model(tmp_path / "model.keras", allow_unsafe=True)
    np.testing.assert_array_equal(outputs(loaded), outputs(model))


def test_names_that_are_taken_by_strangers(tmp_path: Path) -> None:
    class Evil(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
        pass

    path = Forge().write(tmp_path / "model.keras")
    taken = keras.saving.get_custom_objects()
    for name in ("Dense", "GlorotUniform", "linear"):
        taken[name] = Evil
        try:
            with pytest.raises(ModelFileProblems, match=f"{name}.*registered.*Evil"):
                load_model(path)
        finally:
            del taken[name]
    taken["evil>Evil"] = Evil
    try:
        spoof = Forge(forge.sequential({**forge.dense(), "registered_name": "evil>Evil"}))
        with pytest.raises(ModelFileProblems, match="evil>Evil"):
            load_model(spoof.write(tmp_path / "spoof.keras"))
        bare = Forge(forge.sequential(forge.dense(something="evil>Evil")))
        with pytest.raises(ModelFileProblems, match="evil>Evil"):
            load_model(bare.write(tmp_path / "bare.keras"))
    finally:
        del taken["evil>Evil"]
    assert load_model(path).count_params() == 15


def test_a_declared_class_cannot_pose_as_a_built_in(tmp_path: Path, package: str) -> None:
    install(tmp_path, package)
    posing = {**forge.dense(), "registered_name": f"{package}>Gate"}
    path = Forge(forge.sequential(posing)).write(tmp_path / "model.keras")
    with pytest.raises(ModelFileProblems, match="contradict each other") as caught:
        load_model(path)
    assert f"{package} 1.0" in str(caught.value)


def test_without_compiling_its_needs_do_not_matter(tmp_path: Path) -> None:
    config = forge.sequential(compile_config={"loss": forge.function("gone>loss")})
    path = Forge(config).write(tmp_path / "model.keras")
    with pytest.raises(ModelFileProblems, match="gone>loss"):
        load_model(path)
    assert load_model(path, compile=False).count_params() == 15


def test_weights_that_are_not_finite_are_refused_on_request(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.layers[-1].bias.assign([1.0, np.nan, np.inf])
    save_model(model, tmp_path / "model.keras")
    with pytest.raises(ModelFileError, match="NaN or infinity") as caught:
        load_model(tmp_path / "model.keras", finite=True)
    assert (caught.value.member, caught.value.location) == (
        "model.weights.h5",
        "layers/dense/vars/1",
    )
    assert not inspect_model(tmp_path / "model.keras").loadable
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(loaded), outputs(model))


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_float16", "mixed_bfloat16", "float64"])
def test_every_precision_comes_back(tmp_path: Path, dtype: str) -> None:
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless it is told so")
    if dtype == "mixed_float16" and keras.backend.backend() == "torch":
        pytest.skip("PyTorch has no float16 on the CPU")
    layers = [keras.layers.Dense(3, dtype=dtype), keras.layers.Dropout(0.5, seed=1, dtype=dtype)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        assert ours.dtype == theirs.dtype
        a, b = (keras.ops.convert_to_numpy(keras.ops.cast(v, "float32")) for v in (ours, theirs))
        np.testing.assert_array_equal(a, b)


def test_component_code_that_fails_names_its_provider(tmp_path: Path, package: str) -> None:
    install(tmp_path, package)
    bad = forge.component(f"{package}>Gate", "Gate", {"units": "many"}, build_config={
        "input_shape": [None, 4]})  # fmt: skip
    path = Forge(forge.sequential(bad)).write(tmp_path / "model.keras")
    with pytest.raises(ModelFileError, match="cannot rebuild") as caught:
        load_model(path)
    assert caught.value.distribution == f"{package} 1.0"


def test_a_component_that_cannot_be_imported_is_named(tmp_path: Path, package: str) -> None:
    open_shop(tmp_path / "site", package)
    (tmp_path / "site" / package / "parts.py").write_text("raise RuntimeError('broken')")
    registry.refresh()
    part = forge.component(f"{package}>Gate", "Gate")
    path = Forge(forge.sequential(part)).write(tmp_path / "model.keras")
    with pytest.raises(ModelFileProblems, match="broken") as caught:
        load_model(path)
    problem = caught.value.problems[0]
    assert isinstance(problem, ModelFileError)
    assert (problem.distribution, problem.location) == (package, "config.config.layers[1]")


def test_large_numbers_that_are_no_weights_are_measured(tmp_path: Path) -> None:
    @component("saving_test>Rope", kind="layer")
    class Rope(Layer):
        def __init__(self, longest: int = 1, theta: int = 1, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.longest, self.theta = longest, theta

        def call(self, inputs: Any) -> Any:
            return inputs

    try:
        model = keras.Sequential([keras.Input((4,)), Rope(1 << 20, 500_000), keras.layers.Dense(2)])
        save_model(model, tmp_path / "model.keras")
        np.testing.assert_array_equal(outputs(load_model(tmp_path / "model.keras")), outputs(model))
    finally:
        del keras.saving.get_custom_objects()["saving_test>Rope"]


def test_a_component_that_eats_the_memory_is_refused_in_isolation(
    tmp_path: Path, package: str
) -> None:
    install(tmp_path, package)
    shape = {"build_config": {"input_shape": [None, 4]}}
    wide = forge.component(f"{package}>Gate", "Gate", {"units": 50_000}, **shape)
    shape = {"build_config": {"input_shape": [None, 50_000]}}
    square = forge.component(f"{package}>Gate", "Gate", {"units": 50_000, "name": "b"}, **shape)
    path = Forge(forge.sequential(wide, square)).write(tmp_path / "model.keras")
    limits = LIMITS._replace(memory=500 << 20)
    with pytest.raises(ModelFileError, match=r"isolation \((memory|time|refused)\)"):
        load_model(path, isolated=True, limits=limits)


def test_overwriting_is_a_choice(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    save_model(model, tmp_path / "model.keras")
    with pytest.raises(FileExistsError):
        save_model(model, tmp_path / "model.keras", overwrite=False)
    save_model(model, tmp_path / "model.keras")


@pytest.mark.parametrize("name", ["model.h5", "model", "model.zip"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(ModelFileError, match=r"not a `\.keras` file"):
        save_model(model, tmp_path / name)
    with pytest.raises(ModelFileError, match=r"not a `\.keras` file"):
        load_model(tmp_path / name)


def test_only_models_are_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"must be a keras\.Model"):
        save_model(keras.layers.Dense(3), tmp_path / "model.keras")


def test_a_fault_while_saving_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    path = tmp_path / "model.keras"
    save_model(model, path)
    before = path.read_bytes()

    def fail(self: Any, store: Any) -> None:
        raise RuntimeError("no variables today")

    monkeypatch.setattr(keras.layers.Dense, "save_own_variables", fail)
    with pytest.raises(RuntimeError, match="today"):
        save_model(model, path)
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


def test_four_threads_save_and_load(tmp_path: Path, package: str) -> None:
    model = build(install(tmp_path, package))
    expected, faults = outputs(model), []

    def work(number: int) -> None:
        try:
            for _ in range(3):
                save_model(model, tmp_path / f"{number % 2}.keras")
                np.testing.assert_array_equal(
                    outputs(load_model(tmp_path / f"{number % 2}.keras")), expected
                )
        except BaseException as error:  # a thread would hide it
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_loading_leaves_nothing_global(tmp_path: Path) -> None:
    before = dict(keras.saving.get_custom_objects())
    load_model(Forge().write(tmp_path / "model.keras"))
    with pytest.raises(ModelFileError):
        load_model(Forge(weights=b"").write(tmp_path / "bad.keras"))
    assert keras.saving.get_custom_objects() == before
    assert keras.layers.Dense.from_config({"units": 2}).units == 2


def test_the_order_of_nested_models_is_kept(tmp_path: Path) -> None:
    def block(width: int) -> Any:
        inputs = keras.Input((width,))
        return keras.Model(inputs, keras.layers.Dense(width)(keras.layers.Dense(width)(inputs)))

    inputs = keras.Input((4,))
    model = keras.Model(inputs, block(4)(block(4)(inputs)) + 1.0)
    save_model(model, tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(load_model(tmp_path / "model.keras")), outputs(model))


def test_a_file_of_another_format_says_so(tmp_path: Path) -> None:
    made = Forge()
    for info, _ in made.members:
        info.external_attr = 0o100600 << 16
    document = json.dumps({"format": 2})
    made.add("dl_techniques.json", document.encode(), external_attr=0o100600 << 16)
    with pytest.raises(ModelFileError, match="Upgrade: pip install"):
        load_model(made.write(tmp_path / "model.keras"))


def test_weights_that_keras_leaves_out_are_never_lost_in_silence(tmp_path: Path) -> None:
    """Keras 3.8 does not store layers in nested lists: what is not in the file is told."""

    @component("saving_test>Nested", kind="layer")
    class Nested(Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.parts = [[keras.layers.Dense(4)]]

        def build(self, input_shape: Any) -> None:
            self.parts[0][0].build(input_shape)

        def call(self, inputs: Any) -> Any:
            return self.parts[0][0](inputs)

    try:
        inputs = keras.Input((4,))
        model = keras.Model(inputs, Nested()(inputs))
        if keras.version().startswith("3.8."):
            with pytest.raises(ModelFileError, match="was not stored"):
                save_model(model, tmp_path / "model.keras")
            assert not (tmp_path / "model.keras").exists()
        else:
            save_model(model, tmp_path / "model.keras")
            loaded = load_model(tmp_path / "model.keras")
            np.testing.assert_array_equal(outputs(loaded), outputs(model))
    finally:
        del keras.saving.get_custom_objects()["saving_test>Nested"]
