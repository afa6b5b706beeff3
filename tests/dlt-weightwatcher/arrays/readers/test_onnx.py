"""ONNX files against the arrays that were written into them by onnx's own helpers."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from dl_techniques.weightwatcher import analyze_model, describe_model

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  # only where it is installed

NAMES = ("quantized", "scale", "zero_point")
RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.standard_t(3, shape).astype("float32")


def write(path, nodes, weights, **options):
    """A model of these nodes; its other inputs and its outputs are not looked at."""
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    outputs = [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "graph", [], outputs, tensors)
    onnx.save_model(helper.make_model(graph), str(path), **options)
    return path


def node(kind, *inputs, **attributes):
    name = attributes.pop("name", f"/{kind.lower()}")
    return helper.make_node(kind, [*inputs], [f"{name}_out"], name=name, **attributes)


def test_kernels_and_matrices_are_those_of_torch(tmp_path):
    weights = {
        "conv.weight": numbers(24, 16, 3, 3),
        "grouped.weight": numbers(24, 8, 3, 3),
        "turned.weight": numbers(16, 24, 2, 2),
        "head.weight": numbers(10, 96),
        "onnx::MatMul_7": numbers(96, 32),
        "table": numbers(200, 32),
        "head.bias": numbers(10),
    }
    nodes = [
        node("Gather", "table", "words"),
        node("Conv", "x", "conv.weight"),
        node("Conv", "a", "grouped.weight", name="/grouped", group=2),
        node("ConvTranspose", "b", "turned.weight"),
        node("MatMul", "c", "onnx::MatMul_7", name="/layers.0/query"),
        node("Gemm", "d", "head.weight", "head.bias", transB=1),
    ]
    result = analyze_model(write(tmp_path / "m.onnx", nodes, weights), n_jobs=1)
    rows = {row["longname"]: row for row in result.to_records()}
    assert list(rows) == [
        "conv.weight",
        "grouped.weight[group 0]",
        "grouped.weight[group 1]",
        "turned.weight",
        "head.weight",
        "layers.0.query.weight",
        "table",
    ]
    assert [entry.path for entry in result.skipped] == ["head.bias"]
    assert rows["layers.0.query.weight"]["name"] == "/layers.0/query"
    assert (rows["conv.weight"]["rf"], rows["conv.weight"]["M"]) == (9, 16)
    assert (rows["grouped.weight[group 1]"]["N"], rows["grouped.weight[group 1]"]["M"]) == (12, 8)
    plain = {name: weights[name] for name in ("conv.weight", "turned.weight", "head.weight")}
    plain |= {"layers.0.query.weight": weights["onnx::MatMul_7"], "table": weights["table"]}
    for row in analyze_model(plain, n_jobs=1).to_records():
        assert rows[row["longname"]]["alpha"] == pytest.approx(row["alpha"], rel=1e-12)
        assert rows[row["longname"]]["stable_rank"] == pytest.approx(row["stable_rank"], rel=1e-12)


def test_gates_of_recurrent_layers(tmp_path):
    W, R, B = numbers(2, 64, 24), numbers(2, 64, 16), numbers(2, 128)
    nodes = [node("LSTM", "x", "W", "R", "B", hidden_size=16, direction="bidirectional")]
    result = analyze_model(write(tmp_path / "m.onnx", nodes, {"W": W, "R": R, "B": B}), n_jobs=1)
    assert [(e.path, e.reason) for e in result.skipped] == [("B.bias", "no matrix: a bias")]
    rows = {row["longname"]: row for row in result.to_records()}
    assert len(rows) == 16
    row = rows["R.weight_hh_l0_reverse[gate 2]"]
    exact = analyze_model({"w": R[1, 32:48].T}, n_jobs=1)[0]
    assert row["alpha"] == exact["alpha"]
    assert (row["layer_type"], rows["W.weight_ih_l0[gate 0]"]["N"]) == ("LSTM", 24)


def test_numbers_beside_the_file_are_mapped(tmp_path):
    weights = {"a": numbers(40, 30), "b": numbers(30, 20)}
    nodes = [node("MatMul", "x", "a", name="/a"), node("MatMul", "y", "b", name="/b")]
    beside = {"save_as_external_data": True, "location": "m.data", "size_threshold": 0}
    result = analyze_model(write(tmp_path / "m.onnx", nodes, weights, **beside), n_jobs=1)
    exact = analyze_model(weights, n_jobs=1)
    assert [row["alpha"] for row in result] == [row["alpha"] for row in exact]
    (tmp_path / "m.data").write_bytes((tmp_path / "m.data").read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"'b' lies outside m\.data"):
        describe_model(tmp_path / "m.onnx")
    (tmp_path / "m.data").unlink()
    with pytest.raises(ValueError, match="which is not there"):
        describe_model(tmp_path / "m.onnx")


def test_numbers_of_other_folders_are_not_read(tmp_path):
    tensor = TensorProto(name="a", data_type=TensorProto.FLOAT, dims=[4, 4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    (tmp_path / "secret").write_bytes(bytes(64))
    graph = helper.make_graph([node("MatMul", "x", "a")], "graph", [], [], [tensor])
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(ValueError, match="lie elsewhere"):
        describe_model(folder / "m.onnx")


def quantized(axis, dtype="int8", zero=0):
    weight = numbers(60, 60)
    scale = np.abs(weight).max(axis=1 - axis) / np.float32(120)
    packed = np.round(weight / np.expand_dims(scale, 1 - axis)) + zero
    exact = (packed - zero).astype("float32") * np.expand_dims(scale, 1 - axis)
    return {"q": packed.astype(dtype), "s": scale, "z": np.full(60, zero, dtype)}, exact


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("dtype", "zero"), [("int8", 0), ("int8", 3), ("uint8", 128)])
def test_quantized_weights_are_scaled(tmp_path, axis, dtype, zero):
    weights, exact = quantized(axis, dtype, zero)
    nodes = [node("DequantizeLinear", "q", "s", "z", axis=axis)]
    nodes.append(node("MatMul", "x", nodes[0].output[0], name="/use"))
    result = analyze_model(write(tmp_path / "m.onnx", nodes, weights), n_jobs=1)
    assert [row["name"] for row in result] == ["/use"]
    assert result[0]["alpha"] == analyze_model({"w": exact}, n_jobs=1)[0]["alpha"]
    assert {e.path: e.reason for e in result.skipped} == dict.fromkeys("sz", "how q is quantized")


@pytest.mark.parametrize(("kind", "axis"), [("QLinearMatMul", 1), ("QLinearConv", 0)])
def test_weights_of_quantized_operators_are_scaled(tmp_path, kind, axis):
    weights, exact = quantized(axis)
    nodes = [node(kind, "x", "xs", "xz", "q", "s", "z", "ys", "yz")]
    result = analyze_model(write(tmp_path / "m.onnx", nodes, weights), n_jobs=1)
    assert result[0]["alpha"] == pytest.approx(analyze_model({"w": exact})[0]["alpha"], rel=1e-9)


@pytest.mark.parametrize(("kind", "axis"), [("MatMulInteger", 1), ("ConvInteger", 0)])
def test_weights_that_onnxruntime_quantized_are_scaled(tmp_path, kind, axis):
    weights, exact = quantized(axis)
    weights = {f"w_{name}": weights[key] for key, name in zip("qsz", NAMES, strict=True)}
    nodes = [node(kind, "x", "w_quantized", "xz", "w_zero_point")]
    result = analyze_model(write(tmp_path / "m.onnx", nodes, weights), n_jobs=1)
    assert result[0]["longname"] == "w_quantized"
    assert result[0]["alpha"] == pytest.approx(analyze_model({"w": exact})[0]["alpha"], rel=1e-9)


def test_an_embedding_is_scaled_after_its_rows_are_taken(tmp_path):
    weights, _ = quantized(1, "uint8", 128)
    weights |= {"s": np.float32(0.02), "z": np.uint8(128)}
    nodes = [node("Gather", "q", "words"), node("DequantizeLinear", "/gather_out", "s", "z")]
    result = analyze_model(write(tmp_path / "m.onnx", nodes, weights), n_jobs=1)
    exact = (weights["q"].astype("float32") - 128) * np.float32(0.02)
    assert [(row["longname"], row["layer_type"]) for row in result] == [("q", "Gather")]
    assert result[0]["alpha"] == analyze_model({"w": exact}, n_jobs=1)[0]["alpha"]


def test_a_weight_without_its_scale_is_not_taken_for_numbers(tmp_path):
    nodes = [
        node("MatMulInteger", "x", "q"),
        node("DequantizeLinear", "p", "computed"),
        node("DynamicQuantizeLSTM", "x", "r"),
    ]
    weights = {name: quantized(1)[0]["q"] for name in "qpr"}
    result = describe_model(write(tmp_path / "m.onnx", nodes, weights))
    assert not len(result)
    assert {e.path for e in result.skipped if "nothing says" in e.reason} == set("qpr")


def test_constants_and_weights_of_inner_graphs_are_found(tmp_path):
    inner_weight, constant = numbers(30, 20), numbers(25, 15)
    inner = helper.make_graph(
        [node("MatMul", "x", "inner", name="/inner")],
        "inner",
        [],
        [helper.make_tensor_value_info("/inner_out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(inner_weight, "inner")],
    )
    nodes = [
        node("If", "condition", then_branch=inner, else_branch=inner_without_weights()),
        node("Constant", name="/constant", value=numpy_helper.from_array(constant)),
        node("MatMul", "x", "/constant_out", name="/use"),
    ]
    result = describe_model(write(tmp_path / "m.onnx", nodes, {}))
    found = {row["longname"]: (row["name"], row["N"], row["M"]) for row in result}
    assert found == {"inner": ("/inner", 30, 20), "/constant_out": ("/use", 25, 15)}


def test_branches_and_functions_may_use_a_name_again(tmp_path):
    one, other, third = (numpy_helper.from_array(numbers(30, 20), "w") for _ in range(3))
    output = helper.make_tensor_value_info("/matmul_out", TensorProto.FLOAT, None)
    branches = [
        helper.make_graph([node("MatMul", "x", "w")], "branch", [], [output], [weight])
        for weight in (one, other)
    ]
    constant = helper.make_node("Constant", [], ["w"], value=third)
    function = helper.make_function("mine", "f", ["x"], ["w"], [constant], [])
    nodes = [node("If", "condition", then_branch=branches[0], else_branch=branches[1])]
    graph = helper.make_graph(nodes, "graph", [], [])
    model = helper.make_model(graph, functions=[function])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    result = describe_model(tmp_path / "m.onnx")
    assert [row["longname"] for row in result] == ["w", "w[1]", "f/w"]


def test_sparse_weights_are_named(tmp_path):
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(2, "float32"), "sparse"),
        numpy_helper.from_array(np.array([0, 7]), "places"),
        [4, 4],
    )
    graph = helper.make_graph([node("MatMul", "x", "sparse")], "graph", [], [])
    graph.sparse_initializer.append(sparse)
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    (entry,) = describe_model(tmp_path / "m.onnx").skipped
    assert (entry.path, entry.shape) == ("sparse", (4, 4))


def inner_without_weights():
    output = helper.make_tensor_value_info("/id_out", TensorProto.FLOAT, None)
    return helper.make_graph([node("Identity", "x", name="/id")], "other", [], [output])


@pytest.mark.parametrize("content", [b"", b"no model", b"\x0a\xff\xff\xff\xff\x0f"])
def test_damaged_files_are_refused(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.onnx"):
        describe_model(tmp_path / "m.onnx")


def test_a_cut_file_is_refused_or_read_whole(tmp_path):
    path = write(tmp_path / "m.onnx", [node("MatMul", "x", "a")], {"a": numbers(20, 10)})
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"m\.onnx|'a'"):
            describe_model(path)


def test_it_is_read_without_the_package(tmp_path, monkeypatch):
    write(tmp_path / "m.onnx", [node("MatMul", "x", "a")], {"a": numbers(20, 10)})
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert [row["path"] for row in describe_model(tmp_path / "m.onnx")] == ["a"]
