"""Oracles: torch, safetensors, onnx, h5py and Keras, which wrote what is read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dl_techniques import weights as W
from dl_techniques.weights.readers.safetensors_file import write_safetensors

RNG = np.random.default_rng(0)
ARRAYS = {
    "a.weight": RNG.normal(size=(3, 4)).astype("float32"),
    "a.bias": RNG.normal(size=3).astype("float16"),
    "step": np.array(7, "int64"),
    "empty": np.empty((0, 2), "float32"),
}


def same(file, arrays):
    assert list(file) == list(arrays)
    for name, array in arrays.items():
        assert file.shape(name) == array.shape
        assert file.dtype(name) == array.dtype.name
        assert file[name].tobytes() == np.ascontiguousarray(array).tobytes()


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def state(torch):
    base = torch.arange(24.0).reshape(4, 6)
    return {
        "plain": base,
        "turned": base.T,
        "part": base[1:3, 2:4],
        "same": base,
        "half": base.half(),
        "brain": base.bfloat16(),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(3),
        "parameter": torch.nn.Parameter(base * 2),
        "none": torch.empty(0, 3),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_torch(torch, tmp_path, zipped, nested):
    tensors = state(torch)
    path = tmp_path / "model.pth"
    content = {"epoch": 3, "state": tensors, "name": "x"} if nested else tensors
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    file = W.open(path)
    prefix = "state." if nested else ""
    assert list(file) == [f"{prefix}{name}" for name in tensors]
    for name, tensor in tensors.items():
        found = file[f"{prefix}{name}"]
        assert found.dtype.name == str(tensor.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(found.astype("float64"), tensor.detach().double().numpy())


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_module_is_read_only_if_asked(torch, tmp_path, zipped):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    path = tmp_path / "model.pt"
    torch.save({"model": model, "date": "today"}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(W.UnreadableFile, match=r"torch\.nn\.modules"):
        W.open(path)
    file = W.open(path, allow_stubs=True)
    expected = {f"model.{name}": t.numpy() for name, t in model.state_dict().items()}
    assert set(file) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(file[name], array)


def test_safetensors_both_ways(tmp_path):
    peer = pytest.importorskip("safetensors.numpy")
    peer.save_file(ARRAYS, tmp_path / "theirs.safetensors")
    file = W.open(tmp_path / "theirs.safetensors")
    assert {n: file[n].tobytes() for n in file} == {n: a.tobytes() for n, a in ARRAYS.items()}
    write_safetensors(tmp_path / "ours.safetensors", ARRAYS, {"format": "pt"})
    same(W.open(tmp_path / "ours.safetensors"), ARRAYS)
    loaded = peer.load_file(tmp_path / "ours.safetensors")
    assert {n: a.tobytes() for n, a in loaded.items()} == {
        n: a.tobytes() for n, a in ARRAYS.items()
    }


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_program_of_torchscript(torch, tmp_path):
    """Its tensors have the names of its state dict; its code is not looked at."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    module.register_buffer("sizes", torch.tensor(7))
    torch.jit.script(module.half()).save(tmp_path / "program.pt")
    found = W.open(tmp_path / "program.pt")
    assert set(found) == set(module.state_dict())
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


def test_bfloat16_of_safetensors(torch, tmp_path):
    peer = pytest.importorskip("safetensors.torch")
    tensor = torch.randn(3, 5).bfloat16()
    peer.save_file({"x": tensor}, tmp_path / "x.safetensors")
    found = W.open(tmp_path / "x.safetensors")["x"]
    assert found.dtype.name == "bfloat16"
    np.testing.assert_array_equal(found.astype("float32"), tensor.float().numpy())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    arrays = {**ARRAYS, "fortran": np.asfortranarray(ARRAYS["a.weight"])}
    save(tmp_path / "x.npz", **arrays)
    same(W.open(tmp_path / "x.npz"), arrays)


def test_npy(tmp_path):
    np.save(tmp_path / "x.npy", ARRAYS["a.weight"])
    same(W.open(tmp_path / "x.npy"), {"x": ARRAYS["a.weight"]})


def test_shards(tmp_path):
    write_safetensors(tmp_path / "1.safetensors", {"a": ARRAYS["a.weight"]})
    write_safetensors(tmp_path / "2.safetensors", {"b": ARRAYS["a.bias"]})
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"b": "2.safetensors", "a": "1.safetensors"}}))
    same(W.open(index), {"b": ARRAYS["a.bias"], "a": ARRAYS["a.weight"]})
    for place in ("../1.safetensors", "/etc/passwd", "3.safetensors"):
        index.write_text(json.dumps({"weight_map": {"a": place}}))
        with pytest.raises(W.UnreadableFile, match="not beside it"):
            W.open(index)
    index.write_text(json.dumps({"weight_map": {"c": "1.safetensors"}}))
    with pytest.raises(W.UnreadableFile, match="lacks it"):
        W.open(index)


def exported(onnx, *, external=False):
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    weight = ARRAYS["a.weight"]
    initializers = [
        numpy_helper.from_array(weight.T.copy(), "onnx::MatMul_7"),
        numpy_helper.from_array(RNG.normal(size=3).astype("float32"), "layer.fc.bias"),
        numpy_helper.from_array(RNG.normal(size=(3, 2)).astype("float32"), "onnx::MatMul_8"),
        helper.make_tensor("halves", onnx.TensorProto.FLOAT16, [2], [1.5, -2.0]),
        helper.make_tensor("floats", onnx.TensorProto.FLOAT, [2], [0.5, 2.0]),
        helper.make_tensor("longs", onnx.TensorProto.INT64, [2], [-5, 1 << 40]),
        helper.make_tensor("flags", onnx.TensorProto.BOOL, [2], [1, 0]),
    ]
    constant = helper.make_node(
        "Constant", [], ["c"], value=numpy_helper.from_array(np.ones(3, "float32"), "")
    )
    nodes = [
        constant,
        helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["h"]),
        helper.make_node("Add", ["layer.fc.bias", "h"], ["g"]),
        helper.make_node("MatMul", ["g", "onnx::MatMul_8"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", onnx.TensorProto.FLOAT, [1, 4])],
        [value("y", onnx.TensorProto.FLOAT, [1, 2])],
        initializers,
    )
    model = helper.make_model(graph)
    if external:
        onnx.external_data_helper.convert_model_to_external_data(
            model, location="numbers.bin", size_threshold=0
        )
    return model, {i.name: numpy_helper.to_array(i) for i in initializers}


@pytest.mark.parametrize("external", [False, True])
def test_onnx_with_the_names_before_export(tmp_path, external):
    onnx = pytest.importorskip("onnx")
    model, expected = exported(onnx, external=external)
    onnx.save(model, tmp_path / "m.onnx")
    file = W.open(tmp_path / "m.onnx")
    np.testing.assert_array_equal(file["layer.fc.weight"], ARRAYS["a.weight"])
    expected["layer.fc.weight"] = expected.pop("onnx::MatMul_7").T
    assert set(file) == set(expected)
    for name, array in expected.items():
        assert file[name].dtype == array.dtype, name
        np.testing.assert_array_equal(file[name], array)


def test_a_matrix_that_two_use_keeps_its_name(tmp_path):
    onnx = pytest.importorskip("onnx")
    model, _ = exported(onnx)
    model.graph.node.append(onnx.helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["z"]))
    onnx.save(model, tmp_path / "m.onnx")
    assert "onnx::MatMul_7" in W.open(tmp_path / "m.onnx")


@pytest.mark.parametrize("place", ["../n.bin", "/etc/hostname", "a\\..\\n.bin", "", "gone.bin"])
def test_external_data_stays_beside_the_model(tmp_path, place):
    onnx = pytest.importorskip("onnx")
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "n.bin").write_bytes(b"\0" * 1000)
    model, _ = exported(onnx, external=True)
    onnx.save(model, folder / "m.onnx")
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        del tensor.external_data[:]
        tensor.external_data.add(key="location", value=place)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(W.UnreadableFile, match="refers to"):
        W.open(folder / "m.onnx")


def test_external_data_through_a_link_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    folder = tmp_path / "inner"
    folder.mkdir()
    model, _ = exported(onnx, external=True)
    onnx.save(model, folder / "m.onnx")
    (folder / "numbers.bin").rename(tmp_path / "numbers.bin")
    (folder / "numbers.bin").symlink_to(tmp_path / "numbers.bin")
    with pytest.raises(W.UnreadableFile, match="elsewhere"):
        W.open(folder / "m.onnx")


def test_legacy_keras_h5(tmp_path):
    h5py = pytest.importorskip("h5py")
    kernel, packed = ARRAYS["a.weight"], np.ones((40, 30), "float32")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"conv1"]
        group.create_dataset("conv1/conv1/kernel:0", data=kernel)
        group.create_dataset("conv1/conv1/bias:0", data=kernel[0])
        group.create_dataset("conv2/conv2/kernel:0", data=packed, compression="gzip", chunks=(8, 8))
        file.create_dataset("optimizer_weights/m:0", data=kernel)
    file = W.open(tmp_path / "m.h5")
    assert sorted(file) == ["conv1/conv1/bias", "conv1/conv1/kernel", "conv2/conv2/kernel"]
    np.testing.assert_array_equal(file["conv1/conv1/kernel"], kernel)
    np.testing.assert_array_equal(file["conv2/conv2/kernel"], packed)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_keras_files(tmp_path, suffix):
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
    path = tmp_path / f"m{suffix}"
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    file = W.open(path)
    found = {array.shape: array for array in file.values()}
    for variable in model.weights:
        expected = keras.ops.convert_to_numpy(variable)
        np.testing.assert_array_equal(found[tuple(variable.shape)], expected)


@pytest.mark.parametrize("name", ["gone.npz", "text.txt", "folder.npz"])
def test_unreadable_files(tmp_path, name):
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(W.UnreadableFile):
        W.open(tmp_path / name)
