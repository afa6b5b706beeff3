"""ONNX as exporters write it; the oracles are the modules that were exported, and NumPy."""

from __future__ import annotations

import io
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from dl_techniques.weightwatcher import SourceError, analyze_model

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  # only where it is installed

RNG = np.random.default_rng(0)


def norm(matrix):
    return float(np.linalg.norm(np.asarray(matrix, "f8"), 2) ** 2)


def model_of(nodes, tensors):
    """A model of these nodes and tensors."""
    made = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
    outputs = [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, made))


def rows(source, **options):
    found = analyze_model(source, n_jobs=1, min_evals=1, **options)
    return {layer["longname"]: layer["lambda_max"] for layer in found}


def exported(module, inputs, path, folding):
    torch = pytest.importorskip("torch")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), inputs, buffer, dynamo=False, do_constant_folding=folding)
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.oracle
@pytest.mark.parametrize("folding", [False, True])
@pytest.mark.parametrize("both_ways", [False, True])
def test_matrices_of_an_lstm_are_those_of_torch(tmp_path, folding, both_ways):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.LSTM(12, 10, bidirectional=both_ways)
            self.out = torch.nn.Linear(20 if both_ways else 10, 9)

        def forward(self, x):
            return self.out(self.rnn(x)[0])

    net = Net()
    path = exported(net, (torch.randn(5, 2, 12),), tmp_path / "m.onnx", folding)
    live, found = rows(net), rows(path)
    # ONNX has the gates in another order.
    assert sorted(found.values()) == pytest.approx(sorted(live.values()), rel=1e-5)
    names = {name.partition("[")[0] for name in live}
    assert {name.partition("[")[0] for name in found} == names


@pytest.mark.oracle
def test_names_are_recovered_where_folding_removed_them(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.query = torch.nn.Linear(16, 16)
            self.free = torch.nn.Linear(16, 12, bias=False)

        def forward(self, x):
            return self.free(self.query(x))

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.ModuleList(Block() for _ in range(2))
            self.join = torch.nn.Linear(12, 16)

        def forward(self, x):
            return self.layer[1](self.join(self.layer[0](x)))

    net = Net()
    path = exported(net, (torch.randn(2, 5, 16),), tmp_path / "m.onnx", True)
    stored = {tensor.name for tensor in onnx.load(path).graph.initializer}
    assert any(name.startswith("onnx::") for name in stored)
    assert rows(path) == {name: pytest.approx(value) for name, value in rows(net).items()}


def test_names_come_from_scopes_biases_and_nodes():
    from dl_techniques.weightwatcher.readers.onnx_names import Names, Use

    def node(kind, inputs, output, name="", **properties):
        return SimpleNamespace(
            op_type=kind, input=inputs, output=[output], name=name, metadata_props=properties
        )

    matmul = node("MatMul", ["x", "val_3"], "y", "node_MatMul_7")
    add = node("Add", ["y", "encoder.0.fc.bias"], "z")
    scopes = {"pkg.torch.onnx.name_scopes": "['', 'encoder', 'encoder.1', 'matmul']"}
    scoped = node("MatMul", ["z", "val_4"], "u", "node_MatMul_8", **scopes)
    odd = node("MatMul", ["u", "val_5"], "v", "node_MatMul_9")
    names = Names([matmul, add, scoped, odd], {"val_3", "val_4", "val_5", "encoder.0.fc.bias"})
    assert names.name_of("val_3", Use(matmul, 1)) == "encoder.0.fc.weight"
    assert names.name_of("val_4", Use(scoped, 1)) == "encoder.1.weight"
    assert names.name_of("val_4", Use(scoped, 1)) == "encoder.1.weight#2"
    assert names.name_of("val_5", Use(odd, 1)) == "val_5"
    assert names.name_of("own.weight", Use(odd, 1)) == "own.weight"


def test_external_data_may_lie_in_folders_inside(tmp_path):
    array = RNG.normal(size=(40, 30)).astype("f4")
    for location, refused in (("data/w.bin", False), ("../w.bin", True), ("/w.bin", True)):
        model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": array})
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "8")):
            tensor.external_data.add(key=key, value=value)
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / "w.bin").write_bytes(bytes(8) + array.tobytes())
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        if refused:
            with pytest.raises(SourceError, match="elsewhere"):
                rows(tmp_path / "m.onnx")
        else:
            assert rows(tmp_path / "m.onnx") == {"w": pytest.approx(norm(array))}


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zeros", [None, "packed", "float"])
@pytest.mark.parametrize("inputs", [64, 70])
def test_blocks_of_few_bits_are_the_matrix_that_is_multiplied_by(tmp_path, bits, zeros, inputs):
    outputs, block = 24, 32
    blocks = -(-inputs // block)
    codes = RNG.integers(0, 1 << bits, (outputs, blocks, block))
    scale = RNG.lognormal(0, 1, (outputs, blocks)).astype("f4")
    per_byte = 8 // bits
    shifts = np.arange(per_byte) * bits
    packed = (codes.reshape(outputs, blocks, -1, per_byte) << shifts).sum(-1).astype("u1")
    middle = np.full((outputs, blocks), 1 << (bits - 1))
    tensors = {"w": packed, "s": scale.ravel()}
    if zeros is not None:
        middle = RNG.integers(0, 1 << bits, (outputs, blocks))
        tensors["z"] = middle.astype("f4")
    if zeros == "packed":
        padded = np.pad(middle, ((0, 0), (0, -blocks % per_byte)))
        tensors["z"] = (padded.reshape(outputs, -1, per_byte) << shifts).sum(-1).astype("u1")
    attributes = {"K": inputs, "N": outputs, "bits": bits, "block_size": block}
    names = ["x", *tensors]
    multiply = helper.make_node(
        "MatMulNBits", names, ["y"], name="/a/q/MatMul", domain="com.microsoft", **attributes
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(model_of([multiply], tensors).SerializeToString())
    exact = ((codes - middle[..., None]) * scale[..., None].astype("f8")).reshape(outputs, -1)
    assert rows(path) == {"w": pytest.approx(norm(exact[:, :inputs]), rel=1e-5)}


@pytest.mark.parametrize("rows_cut", [False, True])
def test_blockwise_dequantization_with_a_cut_block(tmp_path, rows_cut):
    shape, block = (40, 24), 16 if rows_cut else 8
    codes = RNG.integers(-8, 8, shape).astype("i1")
    scale = RNG.lognormal(0, 1, (-(-40 // block), 24)).astype("f4")
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=0, block_size=block),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(model_of(nodes, {"q": codes, "s": scale}).SerializeToString())
    exact = codes * np.repeat(scale.astype("f8"), block, 0)[:40]
    assert rows(path) == {"q": pytest.approx(norm(exact), rel=1e-5)}


def test_constants_of_the_graph_are_no_weights(tmp_path):
    mask, weight = np.tril(np.ones((30, 30), "f4")), RNG.normal(size=(30, 20)).astype("f4")
    constant = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))
        for name, array in (("mask", mask), ("kernel", weight))
    ]
    nodes = [
        *constant,
        helper.make_node("Mul", ["x", "mask"], ["m"]),
        helper.make_node("MatMul", ["m", "kernel"], ["y"]),
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(model_of(nodes, {}).SerializeToString())
    assert rows(path) == {"kernel": pytest.approx(norm(weight))}
