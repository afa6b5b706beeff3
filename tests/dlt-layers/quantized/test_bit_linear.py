"""BitLinear against bitlinear-pytorch, NumPy, and the properties of ternary weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core import load_model, save_model
from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.quantized.bit_linear import BitLinear
from dl_techniques.layers.quantized.packing import pack_ternary, unpack_ternary
from dl_techniques.layers.quantized.quantization import straight_through

ID = "dl_techniques>BitLinear"


def draw(*shape, scale=1.0, seed=0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def outputs(layer, x, **settings):
    return ops.convert_to_numpy(layer(x, **settings))


def closed_form(x, kernel, bias=0.0, bits=8, levels=1, weight=np.mean, activation=np.max):
    """The layer in float64."""
    x, kernel = np.asarray(x, "float64"), np.asarray(kernel, "float64")
    largest = 2 ** (bits - 1) - 1
    scale = largest / np.maximum(activation(abs(x), axis=-1, keepdims=True), 1e-5)
    measure = max(weight(abs(kernel)), 1e-5)
    integers = np.clip(np.round(scale * x), -largest - 1, largest)
    ternary = np.clip(np.round(kernel / measure), -levels, levels)
    return integers @ ternary * measure / scale + bias


@pytest.mark.oracle
def test_equals_bitlinear_pytorch_with_gradients(verify):
    torch = pytest.importorskip("torch")
    peers = pytest.importorskip("bitlinear_pytorch")
    from importlib.metadata import version

    x, g = draw(3, 5, 12), draw(3, 5, 7, seed=1)
    layer = BitLinear(7)
    layer.build(x.shape)
    layer.bias.assign(draw(7, scale=2.0, seed=2))
    peer = peers.BitLinear(12, 7, bias=True)
    peer.weight.data = torch.tensor(ops.convert_to_numpy(layer.kernel).T.copy())
    peer.bias.data = torch.tensor(ops.convert_to_numpy(layer.bias))
    theirs = torch.tensor(x, requires_grad=True)
    y_peer = peer(theirs)
    (y_peer * torch.tensor(g)).sum().backward()
    ours = value_and_gradients(
        lambda x, g: ops.sum(layer(x) * g), layer.trainable_variables, [x, g]
    )
    oracle = f"bitlinear-pytorch {version('bitlinear-pytorch')}"
    verify(ID, oracle, outputs(layer, x), y_peer.detach())
    verify(ID, oracle, ours.inputs[0], theirs.grad, what="gradient of inputs")
    verify(ID, oracle, ours.variables[0], peer.weight.grad.T, what="gradient of weights")
    verify(ID, oracle, ours.variables[1], peer.bias.grad, what="gradient of bias")


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({}, {}),
        ({"activation_bits": 4, "weight_bits": 4}, {"bits": 4, "levels": 7}),
        ({"weight_measure": "absmedian", "activation_measure": "absmean"}, "median"),
        ({"bit_config": {"weight_measure": "absmax", "weight_bits": 2}}, {"weight": np.max}),
    ],
)
def test_equals_the_closed_form(config, settings, verify):
    if settings == "median":
        settings = {"weight": np.median, "activation": np.mean}
    x = draw(4, 9)
    layer = BitLinear(5, **config)
    layer.build(x.shape)
    layer.bias.assign(draw(5))
    kernel, bias = layer.get_weights()
    expected = closed_form(x, kernel, bias, **settings)
    verify(ID, "closed form in float64", outputs(layer, x), expected)


def test_forward_weights_are_ternary_to_the_bit():
    # An identity of inputs whose rounding is exact reads the weights off the output.
    layer = BitLinear(50, use_bias=False)
    layer.build((None, 40))
    layer.kernel.assign(draw(40, 50, seed=3))
    y = outputs(layer, np.eye(40, dtype="float32"))
    assert len(np.unique(y)) == 3
    measure = np.abs(ops.convert_to_numpy(layer.kernel)).mean()
    np.testing.assert_array_equal(np.sign(y), layer.quantized_kernel())
    np.testing.assert_allclose(np.unique(y), [-measure, 0, measure], rtol=1e-6)


def test_straight_through_is_exact_and_has_a_gradient_of_one():
    x = draw(1000)
    rounded = straight_through(ops.convert_to_tensor(x), ops.round(x))
    np.testing.assert_array_equal(ops.convert_to_numpy(rounded), np.round(x))
    result = value_and_gradients(lambda x: ops.sum(straight_through(x, ops.round(x))), [], [x])
    np.testing.assert_array_equal(result.inputs[0], 1)


def test_zero_input_gives_the_bias():
    layer = BitLinear(4)
    layer.build((None, 6))
    layer.bias.assign(draw(4))
    np.testing.assert_array_equal(
        outputs(layer, np.zeros((2, 6), "float32")), np.tile(draw(4), (2, 1))
    )


def test_no_rounding_is_a_dense_layer(verify):
    x = draw(4, 6)
    layer = BitLinear(5, lambda_=0.0)
    layer.build(x.shape)
    kernel, bias = layer.get_weights()
    verify(ID, "x W + b at lambda 0", outputs(layer, x), x.astype("float64") @ kernel + bias)


def test_sampling_keeps_the_mean_of_the_weights():
    layer = BitLinear(30, use_bias=False, strategy="sample", seed=0)
    layer.build((None, 20))
    identity = np.eye(20, dtype="float32")
    kernel = np.clip(draw(20, 30), -1.0, 1.0)
    layer.kernel.assign(kernel)
    measure = np.abs(kernel).mean()
    drawn = np.stack([outputs(layer, identity, training=True) for _ in range(400)]) / measure
    np.testing.assert_allclose(drawn, np.round(drawn), atol=1e-5)  # ternary each time
    expected = np.clip(kernel / measure, -1, 1)
    # The deviation of a mean of 400 values of -1, 0, 1 is at most 0.025; 600 of them are tested.
    assert np.abs(drawn.mean(0) - expected).max() < 5 * 0.025
    np.testing.assert_array_equal(outputs(layer, identity), outputs(layer, identity))


def test_half_precision_multiplies_integers_exactly():
    x = draw(2, 4096)
    full, half = (BitLinear(8, dtype=dtype) for dtype in ("float32", "mixed_bfloat16"))
    full.build(x.shape)
    half.build(x.shape)
    half.set_weights(full.get_weights())
    rounded = ops.convert_to_numpy(ops.cast(ops.cast(x, "bfloat16"), "float32"))
    y = ops.convert_to_numpy(ops.cast(half(x), "float32"))
    np.testing.assert_allclose(y, outputs(full, rounded), rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 17])
def test_packed_weights_come_back(rows):
    weights = np.random.default_rng(rows).integers(-1, 2, (rows, 6)).astype("int8")
    packed = pack_ternary(weights)
    assert packed.dtype == np.uint8
    assert packed.nbytes == -(-rows // 4) * 6
    np.testing.assert_array_equal(unpack_ternary(packed, rows), weights)


def test_packing_refuses_values_that_are_not_ternary():
    with pytest.raises(ValueError, match="weights"):
        pack_ternary([[2, 0]])
    with pytest.raises(ValueError, match="rows"):
        unpack_ternary(np.zeros((2, 3), "uint8"), 4)
    with pytest.raises(ValueError, match="digit"):
        unpack_ternary(np.full((1, 1), 255, "uint8"), 4)


@pytest.mark.parametrize("norm", [None, "rms"])
def test_a_packed_layer_gives_the_same_and_leads_back(verify, norm):
    x = draw(3, 21)
    layer = BitLinear(6, norm=norm)
    layer.build(x.shape)
    layer.kernel.assign(draw(21, 6))
    layer.bias.assign(draw(6))
    y = outputs(layer, x)
    packed = layer.pack()
    oracle = "the layer before packing"
    verify("dl_techniques>PackedBitLinear", oracle, outputs(packed, x), y, tolerance=1e-6)
    assert ops.convert_to_numpy(packed.packed).nbytes == 6 * 6
    assert not packed.trainable_variables

    again = BitLinear(6, norm=norm)
    again.unpack(packed)
    np.testing.assert_array_equal(again.quantized_kernel(), layer.quantized_kernel())
    np.testing.assert_allclose(outputs(again, x), y, rtol=1e-5, atol=1e-5)
    other = BitLinear(5, norm=norm)
    other.build(x.shape)
    with pytest.raises(ValueError, match="packed"):
        other.unpack(packed)


def test_a_packed_layer_shares_nothing_with_its_origin():
    x = draw(8, 5)
    layer = BitLinear(3)
    model = keras.Sequential([keras.Input((5,)), layer])
    packed = layer.pack()
    small = keras.Sequential([keras.Input((5,)), packed])
    before = small.predict(x, verbose=0)
    model.compile("sgd", "mse")
    model.fit(x, np.full((8, 3), 9.0, "float32"), epochs=3, verbose=0)
    np.testing.assert_allclose(small.predict(x, verbose=0), before, atol=1e-6)
    assert np.abs(model.predict(x, verbose=0) - before).max() > 1e-3
    layer.unpack(packed)
    np.testing.assert_allclose(model.predict(x, verbose=0), before, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(small.predict(x, verbose=0), before, atol=1e-6)


def test_only_ternary_weights_are_packed():
    layer = BitLinear(3, weight_bits=4)
    layer.build((None, 4))
    with pytest.raises(ValueError, match="weight_bits"):
        layer.pack()


def test_a_packed_model_file_holds_two_bits_a_weight(tmp_path):
    layer = BitLinear(256)
    layer.build((None, 1024))
    packed = layer.pack()
    x = draw(2, 1024)
    sizes = {}
    for name, part in (("full", layer), ("packed", packed)):
        model = keras.Sequential([keras.Input((1024,)), part])
        path = tmp_path / f"{name}.keras"
        save_model(model, path)
        sizes[name] = path.stat().st_size
        loaded = load_model(path)
        np.testing.assert_allclose(outputs(loaded, x), outputs(model, x), atol=1e-6)
    weights = 1024 * 256
    assert sizes["full"] > 4 * weights * 0.9
    assert sizes["packed"] < weights / 4 + 30_000
