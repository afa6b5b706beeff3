"""Weights, dtypes, compilation and files of every declared loss; the kit looks at masks."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core import load_model, registry, save_model
from dl_techniques.core.testing.differentiation import differentiator
from dl_techniques.losses.batch_loss import BatchLoss

ENTRIES = registry.list(distribution="dlt-losses", kind="loss")
LOSSES = [registry.load(entry.id) for entry in ENTRIES]
EXAMPLES = [
    pytest.param(example, id=f"{cls.__name__}-{example.name}")
    for cls in LOSSES
    for example in cls.examples()
]
# Each of them needs other inputs than one row of labels; their own tests say the same of them.
OWN_TESTS = {"CLIPContrastiveLoss", "YOLOv12ObjectDetectionLoss", "YOLOv12MultiTaskLoss"}
BATCH_EXAMPLES = [
    p
    for p in EXAMPLES
    if p.values[0].cls.__name__ not in OWN_TESTS
    and (issubclass(p.values[0].cls, BatchLoss) or hasattr(p.values[0].cls, "metric"))
]


def value(tensor):
    return float(ops.convert_to_numpy(tensor))


def arrays(example):
    from dl_techniques.core.testing.subject import Subject

    return list(Subject(example).arrays().values())


@pytest.mark.parametrize("example", BATCH_EXAMPLES)
def test_weight_two_is_a_repeated_row_and_weight_zero_a_removed_one(example):
    y, p = arrays(example)
    if len(y) < 3:
        pytest.skip("too few rows")
    weight = np.ones(len(y), "float32")
    weight[0], weight[-1] = 2, 0
    rows = [i for i in range(len(y)) for _ in range(int(weight[i]))]
    expected = value(example.create()(y[rows], p[rows]))
    got = value(example.create()(y, p, sample_weight=weight))
    assert got == pytest.approx(expected, rel=2e-5, abs=1e-6)
    scaled = value(example.create()(y, p, sample_weight=10 * weight))
    # A statistic grows with the sample, and smoothing fades beside larger sums.
    changes = example.config.get("normalize") is False or hasattr(example.create(), "smooth")
    assert changes or scaled == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("example", EXAMPLES)
def test_nothing_that_counts_gives_zero(example):
    y, p = arrays(example)
    loss = example.create()
    got = value(loss(y, p, sample_weight=np.zeros(len(p), "float32")))
    assert np.isfinite(got)
    assert got == 0 or hasattr(example.cls, "metric")


@pytest.mark.parametrize("example", EXAMPLES)
def test_half_precision_is_computed_in_float32(example):
    y, p = arrays(example)
    for dtype in ("float16", "bfloat16"):
        half = ops.cast(p, dtype)
        expected = value(example.create()(y, ops.cast(half, "float32")))
        assert value(example.create()(y, half)) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def compiled(loss, example):
    """Compile a loss with XLA on TensorFlow, if it is the first example, as compiling takes long.

    On JAX `differentiator` compiles; PyTorch runs eagerly, as in `fit`.
    """
    first = next(iter(example.cls.examples())).name == example.name
    if keras.backend.backend() != "tensorflow" or not first:
        return loss
    import tensorflow as tf

    return tf.function(loss, jit_compile=True)


@pytest.mark.parametrize("example", EXAMPLES)
def test_compiled_values_are_the_eager_ones_with_finite_gradients_at_extremes(example):
    y, p = arrays(example)
    loss = example.create()
    evaluate = differentiator(compiled(loss, example), [])
    assert evaluate([y, p]).value == pytest.approx(value(loss(y, p)), rel=1e-4, abs=1e-6)
    spec = list(example.inputs)[1]
    bounded = spec.low is not None or spec.values != "random"
    # Certain and wrong for some rows, certain and right for others; then targets without positives.
    cases = (np.round(p), 1 - np.round(p)) if bounded else (1e4 * p, -1e4 * p, 0 * p)
    for target, case in [*((y, case) for case in cases), (np.zeros_like(y), p)]:
        result = evaluate([target, case.astype("float32")])
        assert np.isfinite(result.value)
        assert np.isfinite(result.inputs[1]).all()


IGNORING = [
    p
    for p in EXAMPLES
    if hasattr(p.values[0].create(), "ignore_class") and p.values[0].name == "logits"
]


@pytest.mark.parametrize("example", IGNORING)
def test_targets_that_are_all_ignored_give_a_finite_value_and_no_gradient(example):
    y, p = arrays(example)
    labels = np.full(p.shape[:-1], 255, "int32")
    loss = example.cls(**{**example.config, "ignore_class": 255})
    result = differentiator(loss, [])([labels, p])
    assert np.isfinite(result.value)
    np.testing.assert_array_equal(result.inputs[1], np.zeros_like(p))
    half = np.where(np.arange(len(y)).reshape(-1, *[1] * (labels.ndim - 1)) % 2, 255, labels * 0)
    kept = example.create()(labels[::2] * 0, p[::2])
    assert value(loss(half, p)) == pytest.approx(value(kept), rel=1e-5, abs=1e-6)


# The hinge of Lovász takes logits alone.
LOGITS = [
    p
    for p in EXAMPLES
    if getattr(p.values[0].create(), "from_logits", False)
    and p.values[0].cls.__name__ not in {*OWN_TESTS, "LovaszLoss"}
]


@pytest.mark.parametrize("example", LOGITS)
def test_logits_and_their_probabilities_give_the_same(example):
    y, z = arrays(example)
    one_by_one = z.shape[-1] == 1 or hasattr(example.cls, "metric")
    p = ops.convert_to_numpy(ops.sigmoid(z) if one_by_one else ops.softmax(z))
    by_probability = example.cls(**{**example.config, "from_logits": False})
    assert value(by_probability(y, p)) == pytest.approx(
        value(example.create()(y, z)), rel=1e-4, abs=1e-5
    )


@pytest.mark.parametrize("cls", LOSSES)
def test_a_saved_model_brings_its_loss_back(cls, tmp_path):
    example = next(iter(cls.examples()))
    y, p = arrays(example)
    inputs = keras.Input(p.shape[1:])
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    model.compile("sgd", example.create())
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert type(again.loss) is cls
    expected = {**example.create().get_config(), "name": again.loss.name}
    assert again.loss.get_config() == expected
    assert value(again.loss(y, p)) == value(example.create()(y, p))
