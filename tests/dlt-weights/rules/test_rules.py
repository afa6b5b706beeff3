"""Oracles: torch's own layers on the same weights; the file itself, which an export gives back."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques import weights as W
from dl_techniques.weights.rules.codes import interpolation_matrix

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(size=shape).astype("float32")


class Block(keras.layers.Layer):
    def build(self, input_shape):
        self.query, self.key, self.value = (keras.layers.Dense(4, name=n) for n in "qkv")
        for part in (self.query, self.key, self.value):
            part.build(input_shape)
        self.built = True

    def call(self, x):
        return self.query(x) + self.key(x) * self.value(x)


class Net(keras.Model):
    """Lists, attributes and names, as models have them."""

    def __init__(self):
        super().__init__()
        self.stem = keras.layers.Conv2D(6, 3, name="conv")
        self.depthwise = keras.layers.DepthwiseConv2D(3, depth_multiplier=2)
        self.up = keras.layers.Conv2DTranspose(4, 2)
        self.norm = keras.layers.BatchNormalization(epsilon=1e-5)
        self.scale = keras.layers.LayerNormalization(epsilon=1e-6)
        self.blocks = [Block(), Block()]
        self.head = keras.layers.Dense(3)

    def build(self, input_shape):
        self.stem.build((None, None, None, 3))
        self.depthwise.build((None, None, None, 6))
        self.up.build((None, None, None, 12))
        for part in (self.norm, self.scale, *self.blocks, self.head):
            part.build((None, None, None, 4))
        self.built = True

    def call(self, x):
        x = self.scale(self.norm(self.up(self.depthwise(self.stem(x))), training=False))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


RULES = W.Layout(
    "torch",
    (
        W.Rule("stem", "stem", W.CONV),
        W.Rule("dw", "depthwise", W.DEPTHWISE),
        W.Rule("up", "up", W.TRANSPOSED_CONV),
        W.Rule("bn", "norm", W.BATCH_NORM),
        W.Rule("ln", "scale", W.NORM),
        W.Rule("blocks.{i}.qkv", "blocks.{i}", W.SplitThree()),
        W.Rule("head", "head", W.LINEAR),
    ),
    ignore=("*.mask",),
)


@pytest.fixture
def net():
    model = Net()
    model.build((None, None, None, 3))
    return model


@pytest.fixture
def arrays():
    made = {
        "stem.weight": draw(6, 3, 3, 3),
        "stem.bias": draw(6),
        "dw.weight": draw(12, 1, 3, 3),
        "dw.bias": draw(12),
        "up.weight": draw(12, 4, 2, 2),
        "up.bias": draw(4),
        "bn.weight": draw(4),
        "bn.bias": draw(4),
        "bn.running_mean": draw(4),
        "bn.running_var": np.abs(draw(4)) + 0.5,
        "bn.num_batches_tracked": np.array(0, "int64"),
        "ln.weight": draw(4),
        "ln.bias": draw(4),
        "head.weight": draw(3, 4),
        "head.bias": draw(3),
    }
    for i in range(2):
        made |= {f"blocks.{i}.qkv.weight": draw(12, 4), f"blocks.{i}.qkv.bias": draw(12)}
    return made


def numbers(model):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.weights]


def torch_forward(arrays, x):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    a = {name: torch.tensor(array) for name, array in arrays.items()}
    y = f.conv2d(torch.tensor(x.transpose(0, 3, 1, 2)), a["stem.weight"], a["stem.bias"])
    y = f.conv2d(y, a["dw.weight"], a["dw.bias"], groups=6)
    y = f.conv_transpose2d(y, a["up.weight"], a["up.bias"])
    statistics = (a["bn.running_mean"], a["bn.running_var"])
    y = f.batch_norm(y, *statistics, a["bn.weight"], a["bn.bias"]).permute(0, 2, 3, 1)
    y = f.layer_norm(y, (4,), a["ln.weight"], a["ln.bias"], 1e-6)
    for i in range(2):
        qkv = f.linear(y, a[f"blocks.{i}.qkv.weight"], a[f"blocks.{i}.qkv.bias"])
        q, k, v = qkv.chunk(3, -1)
        y = q + k * v
    return f.linear(y, a["head.weight"], a["head.bias"]).numpy()


def test_every_kind_of_layer_equals_torch(net, arrays):
    report = W.load(net, arrays, RULES)
    assert report.fits
    assert not report.casts
    x = draw(2, 8, 8, 3)
    expected = torch_forward(arrays, x)
    actual = keras.ops.convert_to_numpy(net(x))
    assert np.max(np.abs(actual - expected)) <= 1e-5 * np.max(np.abs(expected))


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_loaded_weights_are_exported_byte_by_byte(net, arrays, tmp_path, suffix):
    W.load(net, arrays, RULES)
    W.export(net, tmp_path / f"m{suffix}", RULES)
    back = W.open(tmp_path / f"m{suffix}")
    assert {n: back[n].tobytes() for n in back} == {n: a.tobytes() for n, a in arrays.items()}
    again = Net()
    again.build((None, None, None, 3))
    W.load(again, tmp_path / f"m{suffix}", RULES)
    for mine, theirs in zip(numbers(again), numbers(net), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_an_export_takes_order_shapes_and_further_keys_from_a_file(net, arrays, tmp_path):
    like = {name: arrays[name] for name in reversed(arrays)}
    like["head.weight"] = like["head.weight"][..., None, None]  # a 1 x 1 convolution
    like["head.bias"] = like["head.bias"].astype("float16")
    like["attention.mask"] = np.arange(3)
    np.savez(tmp_path / "like.npz", **like)
    W.load(net, tmp_path / "like.npz", RULES)
    W.export(net, tmp_path / "m.safetensors", RULES, like=tmp_path / "like.npz")
    back = W.open(tmp_path / "m.safetensors")
    assert list(back) == list(like)
    assert {n: back[n].tobytes() for n in back} == {n: a.tobytes() for n, a in like.items()}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_files_are_widened_and_said_so(net, arrays, dtype):
    import ml_dtypes

    kind = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[dtype]
    narrow = {name: array.astype(kind) for name, array in arrays.items()}
    report = W.load(net, narrow, RULES)
    assert report.casts["stem.weight"] == dtype
    kernel = keras.ops.convert_to_numpy(net.head.kernel)
    np.testing.assert_array_equal(kernel, narrow["head.weight"].T.astype("float32"))


BROKEN = {
    "a key is missing": (lambda a: a.pop("head.bias"), "missing: "),
    "a key is unknown": (lambda a: a.update(extra=draw(1)), "unexpected: extra"),
    "a shape is turned": (
        lambda a: a.update({"head.weight": a["head.weight"].T}),
        r"head\.weight gives \(3, 4\), but head\.kernel has \(4, 3\)",
    ),
    "another number of classes": (
        lambda a: a.update({"head.weight": draw(5, 4), "head.bias": draw(5)}),
        r"head\.bias gives \(5,\)",
    ),
    "a rank is wrong": (lambda a: a.update({"stem.weight": draw(6)}), r"mismatched: stem\.weight"),
    "no thirds": (
        lambda a: a.update({"blocks.0.qkv.weight": draw(11, 4)}),
        "11 rows cannot be split by thirds",
    ),
    "a block too many": (
        lambda a: a.update({"blocks.2.qkv.weight": draw(12, 4)}),
        r"unexpected: blocks\.2\.qkv\.weight",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_mismatches_are_named_and_change_nothing(net, arrays, name):
    change, text = BROKEN[name]
    before = numbers(net)
    change(arrays)
    with pytest.raises(W.WeightsMismatch, match=text) as caught:
        W.load(net, arrays, RULES)
    assert not caught.value.report.fits
    for old, new in zip(before, numbers(net), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_interrupted_load_changes_nothing(net, arrays, monkeypatch):
    before, count = numbers(net), [0]
    assign = type(net.weights[0]).assign

    def interrupted(self, value):
        count[0] += 1
        if count[0] == 6:
            raise KeyboardInterrupt
        return assign(self, value)

    monkeypatch.setattr(type(net.weights[0]), "assign", interrupted)
    with pytest.raises(KeyboardInterrupt):
        W.load(net, arrays, RULES)
    for old, new in zip(before, numbers(net), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("skip", ["head", "head.*"])
def test_a_head_of_other_classes_is_left_out_if_asked(net, arrays, skip):
    arrays |= {"head.weight": draw(5, 4), "head.bias": draw(5)}
    kernel = keras.ops.convert_to_numpy(net.head.kernel)
    report = W.load(net, arrays, RULES, skip=(skip,))
    assert {"head.weight", "head.bias"} <= set(report.skipped)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(net.head.kernel), kernel)


def test_keys_to_ignore_and_optional_variables(net, arrays):
    del arrays["head.bias"]
    arrays["blocks.0.mask"] = np.ones(2)
    rules = W.Layout("torch", RULES.rules, RULES.ignore, optional=("*dense*.bias", "head.bias"))
    report = W.load(net, arrays, rules)
    assert report.ignored == ["bn.num_batches_tracked", "blocks.0.mask"]


def test_a_file_that_is_cut_off_or_missing(net, tmp_path):
    with pytest.raises(W.UnreadableFile):
        W.load(net, tmp_path / "gone.npz", RULES)
    with pytest.raises(TypeError, match="`source`"):
        W.load(net, 3, RULES)


def test_padding_is_exact_and_undone(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 2)), keras.layers.Conv2D(3, 5, name="c")])
    rules = W.Layout("x", (W.Rule("c", "c", W.Padded(W.CONV)),))
    arrays = {"c.weight": draw(3, 2, 3, 3), "c.bias": draw(3)}
    W.load(model, arrays, rules)
    kernel = keras.ops.convert_to_numpy(model.get_layer("c").kernel)
    assert not kernel[:2].any()
    assert not kernel[:, :2].any()
    # "Same" with strides pads at the end; symmetric padding of the larger kernel does as much.
    x = draw(1, 8, 8, 2)
    same = keras.layers.Conv2D(3, 3, strides=2, padding="same")
    same.build(x.shape)
    same.set_weights([arrays["c.weight"].transpose(2, 3, 1, 0), arrays["c.bias"]])
    larger = keras.layers.Conv2D(3, 5, strides=2)
    padded = np.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)])
    larger.build(padded.shape)
    larger.set_weights([kernel, arrays["c.bias"]])
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(larger(padded)), keras.ops.convert_to_numpy(same(x)), atol=1e-5
    )
    W.export(model, tmp_path / "m.npz", rules)
    back = W.open(tmp_path / "m.npz")
    assert {n: back[n].tobytes() for n in back} == {n: a.tobytes() for n, a in arrays.items()}
    model.get_layer("c").kernel.assign(kernel + 1)
    with pytest.raises(W.WeightsMismatch, match="not zero any more"):
        W.export(model, tmp_path / "m.npz", rules)


def test_a_folded_batch_normalization(tmp_path):
    model = keras.Sequential([keras.Input((5, 5, 2)), keras.layers.Conv2D(3, 3, name="c")])
    rules = W.Layout("x", (W.Rule("c", "c", W.FoldBatchNorm("bn", W.CONV, 1e-3)),))
    norm = {f"bn.{n}": draw(3) for n in ("weight", "bias", "running_mean")}
    arrays = {"c.weight": draw(3, 2, 3, 3), **norm, "bn.running_var": np.abs(draw(3)) + 0.5}
    W.load(model, arrays, rules)
    plain = keras.Sequential(
        [
            keras.Input((5, 5, 2)),
            keras.layers.Conv2D(3, 3, use_bias=False, name="c"),
            keras.layers.BatchNormalization(epsilon=1e-3, name="bn"),
        ]
    )
    W.load(
        plain, arrays, W.Layout("y", (W.Rule("c", "c", W.CONV), W.Rule("bn", "bn", W.BATCH_NORM)))
    )
    x = draw(1, 5, 5, 2)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(x)), keras.ops.convert_to_numpy(plain(x)), atol=1e-5
    )
    with pytest.raises(W.WeightsMismatch, match="cannot be told"):
        W.export(model, tmp_path / "m.npz", rules)


def test_three_projections_joined(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(12, name="qkv")])
    rules = W.Layout("x", (W.Rule("att", "qkv", W.JoinThree()),))
    arrays = {f"att.{n}.weight": draw(4, 4) for n in ("query", "key", "value")}
    arrays |= {f"att.{n}.bias": draw(4) for n in ("query", "key", "value")}
    W.load(model, arrays, rules)
    x = draw(2, 4)
    expected = [
        x @ arrays[f"att.{n}.weight"].T + arrays[f"att.{n}.bias"] for n in ("query", "key", "value")
    ]
    actual = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(actual, np.concatenate(expected, 1), atol=1e-5)
    W.export(model, tmp_path / "m.npz", rules)
    back = W.open(tmp_path / "m.npz")
    assert {n: back[n].tobytes() for n in back} == {n: a.tobytes() for n, a in arrays.items()}


class Table(keras.layers.Layer):
    def __init__(self, rows):
        super().__init__()
        self.table = self.add_weight(shape=(1, rows, 4), name="table")


@pytest.mark.parametrize(("kernel", "antialias"), [("plain", False), ("antialias", True)])
@pytest.mark.parametrize(("old", "new"), [(7, 4), (4, 7), (5, 5), (6, 3)])
def test_positions_are_resampled_as_torch_does(kernel, antialias, old, new):
    torch = pytest.importorskip("torch")
    grid = draw(1, 4, old, old)
    resized = torch.nn.functional.interpolate(
        torch.tensor(grid), (new, new), mode="bicubic", antialias=antialias
    ).numpy()
    prefix = draw(1, 2, 4)
    key = np.concatenate([prefix, grid.reshape(1, 4, -1).transpose(0, 2, 1)], 1)
    layer = Table(2 + new * new)
    rules = W.Layout("x", (W.Rule("pos", "table", W.Positions(kernel, prefix=2)),))
    W.load(layer, {"pos": key}, rules)
    table = keras.ops.convert_to_numpy(layer.table)
    np.testing.assert_array_equal(table[:, :2], prefix)
    np.testing.assert_allclose(
        table[:, 2:], resized.reshape(1, 4, -1).transpose(0, 2, 1), atol=5e-6
    )


def test_positions_without_a_grid():
    rules = W.Layout("x", (W.Rule("pos", "table", W.Positions()),))
    with pytest.raises(W.WeightsMismatch, match="no square grid"):
        W.load(Table(10), {"pos": draw(1, 8, 4)}, rules)
    with pytest.raises(ValueError, match="`kernel`"):
        interpolation_matrix(2, 3, "cubic")


def test_places_may_be_counted_from_another_number(tmp_path):
    layers = [keras.layers.Dense(2, name=f"block{i}_fc") for i in (1, 2)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    rules = W.Layout("x", (W.Rule("layers.{i}.fc", "block{i+1}_fc", W.LINEAR),))
    arrays = {
        f"layers.{i}.fc.{n}": draw(*s)
        for i in (0, 1)
        for n, s in (("weight", (2, 2)), ("bias", (2,)))
    }
    W.load(model, arrays, rules)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(layers[1].kernel), arrays["layers.1.fc.weight"].T
    )
    W.export(model, tmp_path / "m.npz", rules)
    assert set(W.open(tmp_path / "m.npz")) == set(arrays)


def test_the_hash_of_rules_is_the_same_in_every_process():
    import subprocess
    import sys

    code = (
        "from dl_techniques import weights as W\n"
        "print(W.Layout('a', (W.Rule('x.{i}', 'y', W.Padded(W.CONV)),)).digest)"
    )
    run = [sys.executable, "-c", code]
    outputs = {subprocess.run(run, capture_output=True, text=True, check=True).stdout for _ in "ab"}
    mine = W.Layout("a", (W.Rule("x.{i}", "y", W.Padded(W.CONV)),)).digest
    assert outputs == {f"{mine}\n"}
    assert W.Layout("a", (W.Rule("x.{i}", "y", W.Padded(W.CONV, 4)),)).digest != mine
