"""Each bound and rule for what lies inside a model file, one refusal each."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from model_forge import Forge, with_dataset

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files import provenance, tensor_nodes
from dl_techniques.core.files.archive import Archive, Section
from dl_techniques.core.files.limits import LIMITS, Limits
from dl_techniques.core.files.weights import read_weights

# Constants of a configuration.

TENSOR = {"shape": [None, 4], "dtype": "float32", "keras_history": ["dense", 0, 0]}


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("__numpy__", {"value": [[1.0], [True]], "dtype": "float32"}),
        ("__tensor__", {"value": 3, "dtype": "bfloat16"}),
        ("__keras_tensor__", TENSOR),
        ("__keras_tensor__", {**TENSOR, "keras_history": None}),
        ("__bytes__", {"value": "abc"}),
        ("__slice__", {"start": 1, "stop": {"class_name": "__tensor__"}, "step": None}),
        ("__ellipsis__", {}),
    ],
)
def test_a_constant_that_keras_may_have(name: str, config: Any) -> None:
    assert tensor_nodes.problem(name, config) is None


@pytest.mark.parametrize(
    ("name", "config", "says"),
    [
        ("__typespec__", {}, "type specification"),
        ("__pickle__", {}, "unknown kind '__pickle__'"),
        ("__numpy__", [1.0], "malformed __numpy__"),
        ("__numpy__", {"value": [1], "dtype": "S9"}, "dtype 'S9'"),
        ("__numpy__", {"value": [1], "dtype": ["float32"]}, "dtype"),
        ("__numpy__", {"value": ["x"], "dtype": "float32"}, "something else than numbers"),
        ("__keras_tensor__", {**TENSOR, "shape": 4}, "without a shape"),
        ("__keras_tensor__", {**TENSOR, "shape": [None] * 33}, "without a shape"),
        ("__keras_tensor__", {**TENSOR, "shape": [1 << 40]}, "impossible shape"),
        ("__keras_tensor__", {**TENSOR, "shape": [-1]}, "impossible shape"),
        ("__keras_tensor__", {**TENSOR, "shape": [True]}, "impossible shape"),
        ("__keras_tensor__", {**TENSOR, "dtype": "object"}, "dtype 'object'"),
        ("__keras_tensor__", {**TENSOR, "keras_history": "dense"}, "malformed history"),
        ("__keras_tensor__", {**TENSOR, "keras_history": ["dense", 0]}, "malformed history"),
        ("__keras_tensor__", {**TENSOR, "keras_history": ["dense", -1, 0]}, "malformed history"),
        ("__bytes__", {"value": 7}, "malformed bytes"),
        ("__slice__", {"start": "x"}, "malformed slice"),
        ("__ellipsis__", {"x": 1}, "malformed ellipsis"),
    ],
)
def test_a_constant_that_is_refused(name: str, config: Any, says: str) -> None:
    found = tensor_nodes.problem(name, config)
    assert found is not None
    assert says in found


def test_a_number_nested_too_deep_is_refused() -> None:
    value: Any = 1.0
    for _ in range(40):
        value = [value]
    assert tensor_nodes.problem("__numpy__", {"value": value, "dtype": "float32"}) is not None


# The weights.


def read(path: Path, fill: Callable[[Any], None], limits: Limits = LIMITS) -> Any:
    with h5py.File(path, "w") as file:
        with_dataset(fill)(file)
    return read_file(path, limits)


def read_file(path: Path, limits: Limits = LIMITS) -> Any:
    with path.open("rb") as stream:
        section = Section(stream, 0, path.stat().st_size)
        return read_weights(section, label="model.keras", finite=True, limits=limits)


def _deep(group: Any) -> None:
    group.create_group("/".join("abcdefgh"))


def _unwritten_chunks(group: Any) -> None:
    made = group.create_dataset("0", (8, 3), "float32", chunks=(4, 3), compression="gzip")
    made[:4] = 1


def _null(group: Any) -> None:
    group["0"] = h5py.Empty("float32")


def _named_type(group: Any) -> None:
    group["0"] = np.dtype("float32")


def _many_chunks(group: Any) -> None:
    group.create_dataset("0", data=np.ones((64, 3), "float32"), chunks=(1, 3))


def _wide_chunks(group: Any) -> None:
    group.create_dataset("0", data=np.ones(4, "float32"), chunks=(4096,), maxshape=(None,))


def _zeros(group: Any) -> None:
    data = np.zeros((1 << 12, 1 << 8), "float32")
    group.create_dataset("0", data=data, compression="gzip", chunks=(1 << 10, 1 << 8))


FEW = LIMITS._replace(objects=12, slack=4096, groups_depth=8)
REFUSED: dict[str, tuple[Callable[[Any], None], Limits]] = {
    "too deep": (_deep, FEW),
    "chunks that were never written": (_unwritten_chunks, LIMITS),
    "no shape": (_null, LIMITS),
    "a named type": (_named_type, LIMITS),
    "many chunks": (_many_chunks, FEW),
    "many times the file": (_zeros, FEW),
    "many objects": (lambda g: [g.create_group(f"g{i}") for i in range(20)], FEW),
    "a long name": (lambda g: g.create_group("x" * 600), LIMITS),
    "a control character": (lambda g: g.create_group("tab\tname"), LIMITS),
    "complex numbers": (lambda g: g.__setitem__("0", np.array([1j])), LIMITS),
    "bytes without a type": (lambda g: g.__setitem__("0", np.zeros(3, "V2")), LIMITS),
    "a foreign filter": (
        lambda g: g.create_dataset("0", data=np.ones((4, 3)), compression="lzf"),
        LIMITS,
    ),
    "infinity": (lambda g: g.__setitem__("0", np.full((4, 3), np.inf)), LIMITS),
    "NaN in chunks": (
        lambda g: g.create_dataset("0", data=np.full((4, 3), np.nan), chunks=(2, 3)),
        LIMITS,
    ),
}


def _wide_chunks(group: Any) -> None:
    group.create_dataset("0", data=np.ones(4, "float32"), chunks=(1 << 19,), maxshape=(None,))


REFUSED["chunks beyond the shape"] = (_wide_chunks, LIMITS)


@pytest.mark.parametrize("name", REFUSED)
def test_weights_that_are_refused(tmp_path: Path, name: str) -> None:
    fill, limits = REFUSED[name]
    with pytest.raises(ModelFileError) as caught:
        read(tmp_path / "model.weights.h5", fill, limits)
    assert caught.value.member == "model.weights.h5"
    assert caught.value.location
    assert caught.value.hint


def test_attributes_are_not_copied(tmp_path: Path) -> None:
    def fill(group: Any) -> None:
        group["0"] = np.ones((4, 3), "float32")
        group["0"].attrs["dtype"] = group.ref
        group.attrs["a"] = np.ones(2000)
        for index in range(65):
            group.attrs[f"a{index}"] = index

    path, copy = tmp_path / "model.weights.h5", tmp_path / "copy.h5"
    read(path, fill)
    with path.open("rb") as stream:
        read_weights(Section(stream, 0, path.stat().st_size), label="x", copy=copy)
    with h5py.File(copy) as file:
        assert dict(file["layers/dense/vars"].attrs) == {}
        assert dict(file["layers/dense/vars/0"].attrs) == {}
        np.testing.assert_array_equal(file["layers/dense/vars/0"], np.ones((4, 3)))


def test_weights_that_are_no_weights_file(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    path.write_bytes(b"no weights")
    with pytest.raises(ModelFileError, match="not an HDF5 file"):
        read_file(path)


@pytest.mark.parametrize("size", [0, 1, 12])
def test_small_datasets_within_their_headers(tmp_path: Path, size: int) -> None:
    def compact(group: Any) -> None:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((size,))
        made = h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space, plist)
        if size:
            made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones(size, "float32"))

    weights = read(tmp_path / "model.weights.h5", compact)
    assert ("layers/dense/vars/0", (size,), "float32") in weights


# The file's claims about its origin.

SAID: dict[str, Any] = {
    "format": provenance.FORMAT,
    "keras": "3.15.1",
    "least_keras": "3.8.0",
    "backend": "jax",
    "python": "3.11.7",
    "core": "0.1.0",
    "contract": 1,
    "components": {"acme>Gate": {"distribution": "acme", "version": "1", "object": "acme:Gate"}},
    "members": {"config.json": "0" * 64},
}


def test_a_sound_provenance() -> None:
    assert provenance.parse(SAID, label="x").components["acme>Gate"].distribution == "acme"


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "not an object"),
        ({**SAID, "format": 99}, "this core reads"),
        ({**SAID, "keras": 3}, "`keras`"),
        ({**SAID, "backend": "a\nb"}, "`backend`"),
        ({**SAID, "contract": True}, "`contract`"),
        ({**SAID, "contract": "1"}, "`contract`"),
        ({**SAID, "components": []}, "`components`"),
        ({**SAID, "components": {"x" * 10_000: {}}}, "`components`"),
        ({**SAID, "components": {"acme>Gate": None}}, "`distribution`"),
        ({**SAID, "members": {"config.json": "short"}}, "no sha256"),
        ({**SAID, "members": {"config.json": 7}}, "no sha256"),
    ],
)
def test_a_provenance_that_is_refused(document: Any, says: str) -> None:
    with pytest.raises(ModelFileError, match=says):
        provenance.parse(document, label="x")


@pytest.mark.parametrize(
    ("digests", "says"),
    [
        ({"config.json": "1" * 64}, "was altered"),
        ({}, "is missing"),
        ({"config.json": "0" * 64, "more": "1" * 64}, "was added"),
    ],
)
def test_digests_that_do_not_agree(digests: dict[str, str], says: str) -> None:
    said = provenance.parse(SAID, label="x")
    with pytest.raises(ModelFileError, match=says):
        provenance.check_digests(said, digests, label="x")


# The archive.


def test_a_member_that_is_not_there(tmp_path: Path) -> None:
    with Archive(Forge().write(tmp_path / "model.keras")) as archive:
        with pytest.raises(ModelFileError, match="is missing"):
            archive.document("absent.json")
        with pytest.raises(ModelFileError, match="is missing"):
            archive.extract("absent.json", tmp_path)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (LIMITS._replace(members=2), "members"),
        (LIMITS._replace(directory=20), "directory"),
        (LIMITS._replace(name=5), "name"),
    ],
)
def test_an_archive_beyond_its_limits(tmp_path: Path, limits: Limits, says: str) -> None:
    path = Forge().write(tmp_path / "model.keras")
    with pytest.raises(ModelFileError, match=says):
        Archive(path, limits=limits)


def test_bytes_behind_compressed_data(tmp_path: Path) -> None:
    made = Forge()
    for info, _ in made.members:
        info.compress_type = zipfile.ZIP_DEFLATED
    path = made.write(tmp_path / "model.keras")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("metadata.json")
    # An empty final block in front ends the stream before the member does.
    start = info.header_offset + 30 + len(info.filename)
    data[start : start + 2] = b"\x03\x00"
    path.write_bytes(bytes(data))
    with Archive(path) as archive, pytest.raises(ModelFileError) as caught:
        archive.document("metadata.json")
    assert caught.value.member == "metadata.json"


def twice(x: Any) -> Any:
    return 2 * x


def test_a_function_that_the_caller_gives(tmp_path: Path) -> None:
    import keras

    from dl_techniques.core import load_model

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=twice)])
    path = tmp_path / "model.keras"
    model.save(path)
    with pytest.raises(ModelFileError, match="twice"):
        load_model(path)
    x = np.ones((2, 4), "float32")
    again = load_model(path, custom_objects={"twice": twice})
    ours, theirs = (keras.ops.convert_to_numpy(m(x)) for m in (again, model))
    np.testing.assert_array_equal(ours, theirs)
    assert again.layers[0].activation is twice


def test_parts_without_configuration_are_left_alone() -> None:
    from dl_techniques.core.files import keras_versions as compatibility
    from dl_techniques.core.files.config_walk import Builtin

    node: dict[str, Any] = {"class_name": "Dense", "config": None}
    item = Builtin("keras.layers.Dense", "config", node)
    assert compatibility.adapt((item,), label="x", running="3.8.0") == []
    assert compatibility.least_keras((item,)) == "3.8.0"
    before = [{"config": 7}, {"config": {"layers": "x"}}, {}]
    compatibility.unwrap_single_tensors(before, stored="3.8.0")
    assert before == [{"config": 7}, {"config": {"layers": "x"}}, {}]
