"""Live Keras models of the active backend, and the files that Keras makes of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from dl_techniques.weightwatcher import (  # noqa: E402  # needs Keras
    SourceError,
    analyze_model,
    describe_model,
    smooth_model,
)

# One model, made once.
pytestmark = pytest.mark.xdist_group("live models")


@keras.saving.register_keras_serializable("weightwatcher_tests")
class Mixer(keras.layers.Layer):
    """A subclassed layer whose sub-layers stand in a list, a dictionary and an attribute."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.steps = [keras.layers.Dense(24, name=f"step_{i}") for i in range(2)]
        self.named = {"gate": keras.layers.Dense(24, name="gate")}
        self.out = keras.layers.Dense(16, name="out")

    def build(self, input_shape):
        self.table = self.add_weight(name="table", shape=(10, 24))
        for layer in (*self.steps, self.named["gate"], self.out):
            layer.build((*input_shape[:-1], 24))
        self.built = True

    def call(self, x):
        for step in self.steps:
            x = step(x)
        return self.out(x * self.named["gate"](x))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((16,), dtype="int32")
    x = layers.Embedding(50, 24, name="tokens")(inputs)
    x = layers.MultiHeadAttention(4, 8, name="att")(x, x)
    x = layers.SeparableConv1D(24, 3, name="sep", padding="same")(x)
    x = layers.Conv1D(24, 3, name="conv", padding="same")(x)
    x = Mixer(name="mixer")(x)
    x = layers.Bidirectional(layers.LSTM(12), name="both")(x)
    inner = keras.Sequential([keras.Input((24,)), layers.Dense(20, name="a")], name="nested")
    return keras.Model(inputs, layers.Dense(10, name="head")(inner(x)), name="whole")


def table(source, **options):
    result = analyze_model(source, n_jobs=1, **options)
    keep = ("N", "M", "rf", "alpha", "D", "stable_rank", "entropy", "log_norm", "status")
    return {r["longname"]: [r[k] for k in keep] for r in result.to_records()}


def test_every_weight_is_a_row_or_a_reason(model):
    result = describe_model(model)
    paths = {layer["path"] for layer in result} | {entry.path for entry in result.skipped}
    assert len(paths) == len(model.weights)
    kinds = {r["longname"]: r["layer_type"] for r in result.to_records()}
    assert kinds["att/query/kernel"] == "EinsumDense"
    assert kinds["mixer/step_1/kernel"] == "Dense"
    assert kinds["mixer/gate/kernel"] == "Dense"
    assert kinds["mixer/table"] == "Mixer"
    assert kinds["nested/a/kernel"] == "Dense"
    assert kinds["sep/pointwise_kernel"] == "SeparableConv1D"
    lstm = [name for name in kinds if "lstm_cell/recurrent_kernel" in name]
    assert len(lstm) == 8
    assert all(entry.reason.startswith("no matrix") for entry in result.skipped)


def test_files_give_the_rows_of_the_live_model(model, tmp_path):
    live = table(model)
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    np.savez(tmp_path / "m.npz", **{w.path: keras.ops.convert_to_numpy(w) for w in model.weights})
    # A file does not say what a subclassed layer calls its own weights.
    renamed = {{"mixer/table": "mixer/0"}.get(name, name): row for name, row in live.items()}
    assert table(tmp_path / "m.keras") == renamed
    numbers = sorted(map(str, live.values()))
    assert sorted(map(str, table(tmp_path / "m.weights.h5").values())) == numbers


def test_sharded_files(model, tmp_path):
    try:
        model.save_weights(tmp_path / "m.weights.json", max_shard_size=0.00001)
    except (TypeError, ValueError) as error:
        pytest.skip(f"this Keras does not shard weights: {error}")
    assert len(json.loads((tmp_path / "m.weights.json").read_text())["weight_map"]) > 3
    numbers = sorted(map(str, table(model).values()))
    assert sorted(map(str, table(tmp_path / "m.weights.json").values())) == numbers
    next(tmp_path.glob("*_00001.weights.h5")).unlink()
    with pytest.raises(SourceError, match="not there"):
        analyze_model(tmp_path / "m.weights.json")


def test_an_unbuilt_model_names_the_remedy():
    with pytest.raises(SourceError, match=r"build\(\)"):
        analyze_model(keras.Sequential([keras.layers.Dense(3)]))


def test_a_layer_and_shared_weights(model):
    layer = keras.layers.Dense(30, name="lonely")
    layer.build((None, 20))
    assert [r["longname"] for r in describe_model(layer).to_records()] == ["lonely/kernel"] or [
        r["longname"] for r in describe_model(layer).to_records()
    ] == ["kernel"]
    inputs = keras.Input((20,))
    square = keras.layers.Dense(20, name="twice")
    shared = keras.Model(inputs, square(square(inputs)))
    assert len(describe_model(shared)) == 1


def test_low_precision_weights_keep_their_dtype():
    layer = keras.layers.Dense(30, dtype="bfloat16")
    layer.build((None, 40))
    record = analyze_model(layer, n_jobs=1).to_records()[0]
    assert record["dtype"] == "bfloat16"
    exact = keras.ops.convert_to_numpy(keras.ops.cast(layer.kernel, "float32"))
    assert record["alpha"] == analyze_model({"w": exact}, n_jobs=1)[0]["alpha"]


def test_quantized_and_low_rank_layers():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(24, name="d")])
    kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
    model.layers[0].enable_lora(9)
    a, b = (getattr(model.layers[0], f"lora_kernel_{part}") for part in "ab")
    b.assign(np.random.default_rng(0).normal(size=tuple(b.shape)))
    found = analyze_model(model, n_jobs=1)
    names = [r["longname"].rpartition("/")[2] for r in found.to_records()]
    assert names == ["kernel", "kernel_lora_delta", "kernel_lora_effective"]
    layer = model.layers[0]
    scaling = getattr(layer, "lora_alpha", layer.lora_rank) / layer.lora_rank
    product = (
        scaling * keras.ops.convert_to_numpy(a).astype("float64") @ keras.ops.convert_to_numpy(b)
    )
    expected = np.linalg.svd(kernel + product, compute_uv=False) ** 2
    np.testing.assert_allclose(found[2].esd[::-1], expected, rtol=1e-9)


@pytest.fixture
def attention():
    """Keras's own layers with kernels of two and three axes, in no alphabetical order."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((12,), dtype="int32")
    x = layers.Embedding(24, 24, name="tokens")(inputs)
    x = layers.Dense(24, name="zeta")(x)
    x = layers.MultiHeadAttention(4, 9, name="att")(x, x)
    x = layers.EinsumDense("abc,cd->abd", (None, 25), bias_axes="d", name="mix")(x)
    x = keras.Sequential([layers.Dense(24, name="b"), layers.Dense(24, name="a")], name="inner")(x)
    x = layers.Bidirectional(layers.LSTM(12), name="both")(x)
    return keras.Model(inputs, layers.Dense(22, name="head")(x))


def test_rows_of_files_are_the_same_and_in_the_same_order(attention, tmp_path):
    live = analyze_model(attention, n_jobs=1).to_records()
    attention.save(tmp_path / "m.keras")
    assert json.dumps(analyze_model(tmp_path / "m.keras", n_jobs=1).to_records()) == json.dumps(
        live
    )
    attention.save_weights(tmp_path / "m.weights.h5")
    named = describe_model(tmp_path / "m.weights.h5")
    assert [layer["longname"] for layer in named] == [row["longname"] for row in live]


def test_biases_of_attention_are_no_matrices(attention):
    result = describe_model(attention)
    reasons = {entry.path: entry.reason for entry in result.skipped}
    assert reasons["att/query/bias"] == "no matrix: a bias"
    assert not [layer for layer in result if "bias" in layer["longname"]]


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
def test_int8_weights_of_any_shape_are_dequantized(attention, tmp_path):
    contracted = {"tokens/embeddings": 1, "att/attention_output/kernel": (0, 1)}
    exact = {}
    for variable in attention.weights:
        name, array = variable.path, keras.ops.convert_to_numpy(variable).astype("float64")
        if array.ndim > 1 and "bias" not in name and "lstm" not in name:
            peak = np.abs(array).max(axis=contracted.get(name, 0), keepdims=True)
            rounded = np.round(array * 127 / peak) * peak / 127
            axis = 2 if name == "att/attention_output/kernel" else 1
            exact[name] = rounded.reshape(int(np.prod(array.shape[:axis])), -1)
    attention.quantize("int8")
    live = analyze_model(attention, n_jobs=1)
    checked = 0
    for layer in live:
        if layer["dtype"] == "int8":
            expected = np.linalg.svd(exact[layer["path"]], compute_uv=False) ** 2
            np.testing.assert_allclose(layer.esd[::-1][:20], expected[:20], rtol=0.02)
            assert layer["stable_rank"] == pytest.approx(expected.sum() / expected[0], rel=1e-3)
            checked += 1
    assert checked == 10
    assert sum("the scale of" in entry.reason for entry in live.skipped) == 10
    attention.save(tmp_path / "q.keras")
    filed = analyze_model(tmp_path / "q.keras", n_jobs=1)
    assert json.dumps(filed.to_records()) == json.dumps(live.to_records())


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
def test_packed_weights_are_left_out_with_all_that_belongs_to_them(attention, tmp_path):
    try:
        attention.quantize("int4")
    except (ValueError, NotImplementedError, TypeError) as error:
        pytest.skip(f"this Keras knows no int4: {error}")
    attention.save(tmp_path / "q.keras")
    for source in (attention, tmp_path / "q.keras"):
        result = describe_model(source)
        assert {layer["layer_type"] for layer in result} == {"LSTMCell"}
        reasons = [entry.reason for entry in result.skipped]
        assert sum("not unpacked" in reason for reason in reasons) >= 10


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
def test_packed_weights_without_a_configuration_are_not_taken_for_int8(tmp_path):
    """Return where a channel has one scale, shapes do not tell both apart."""
    if not hasattr(keras.quantizers, "Int4QuantizationConfig"):
        pytest.skip("this Keras does not choose the size of blocks")
    inputs = keras.Input((12,), dtype="int32")
    x = keras.layers.Embedding(24, 24)(inputs)
    model = keras.Model(inputs, Mixer(name="mixer")(x))
    copy = keras.models.clone_model(model)
    model.quantize("int4", config=keras.quantizers.Int4QuantizationConfig(block_size=-1))
    model.save_weights(tmp_path / "packed.weights.h5")
    packed = describe_model(tmp_path / "packed.weights.h5")
    assert not [row for row in packed.to_records() if row["dtype"] == "int8"]
    assert sum(entry.dtype == "int8" for entry in packed.skipped) == 5
    copy.quantize("int8")
    copy.save_weights(tmp_path / "eight.weights.h5")
    kept = describe_model(tmp_path / "eight.weights.h5")
    assert sum(row["dtype"] == "int8" for row in kept.to_records()) == 5


def test_low_rank_updates_of_an_embedding():
    layer = keras.layers.Embedding(40, 24)
    layer.build()
    layer.enable_lora(10)
    layer.lora_embeddings_b.assign(np.random.default_rng(0).normal(size=(10, 24)))
    found = analyze_model(layer, n_jobs=1)
    names = [record["longname"].rpartition("/")[2] for record in found.to_records()]
    assert names == ["embeddings", "embeddings_lora_delta", "embeddings_lora_effective"]
    # Keras versions name the scaling differently: the layer itself knows its value.
    effective = keras.ops.convert_to_numpy(layer(np.arange(40)[None]))[0]
    expected = np.linalg.svd(effective.astype("float64"), compute_uv=False) ** 2
    np.testing.assert_allclose(found[2].esd[::-1], expected, rtol=1e-4)


def test_smoothing_copies_a_model(model):
    smooth = smooth_model(model, rank=2, include="nested/*")
    before = keras.ops.convert_to_numpy(model.get_layer("nested").get_layer("a").kernel)
    after = keras.ops.convert_to_numpy(smooth.get_layer("nested").get_layer("a").kernel)
    assert np.linalg.matrix_rank(before) == 20
    assert np.linalg.matrix_rank(after, tol=1e-5) == 2
    head = [keras.ops.convert_to_numpy(m.get_layer("head").kernel) for m in (model, smooth)]
    assert np.array_equal(*head)
