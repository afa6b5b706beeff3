"""Weights, masks and dtypes of every loss that is declared, through Keras's own training loop."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core import load_model, registry, save_model
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


class Padded(keras.layers.Layer):
    """Passes its input on, with a mask that hides the second half of each sequence."""

    def call(self, inputs):
        return inputs + 0.0

    def compute_mask(self, inputs, previous_mask=None):
        steps = ops.shape(inputs)[1]
        hidden = ops.arange(steps) < steps // 2
        flat = ops.reshape(inputs, (-1, steps, int(np.prod(inputs.shape[2:]))))
        return ops.logical_and(hidden, ops.ones_like(flat[:, :, 0], dtype="bool"))


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


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
@pytest.mark.parametrize("example", BATCH_EXAMPLES)
def test_masks_hide_positions_in_fit_and_evaluate(example):
    y, p = arrays(example)
    if example.cls.__name__ in {"BoundaryLoss", "HausdorffDistanceLoss"}:
        pytest.skip("hidden pixels are background to their distances")
    if len(p.shape) == 2:  # rows become the steps of two sequences
        y = np.stack([y, y[::-1]])
        p = np.stack([p, p[::-1]])
        kept = y.shape[1] // 2
        shown = (y[:, :kept].reshape(-1, *y.shape[2:]), p[:, :kept].reshape(-1, p.shape[-1]))
    else:
        kept = y.shape[1] // 2
        shown = (y[:, :kept], p[:, :kept])
    if y.ndim == p.ndim - 1 and p.shape[-1] == 1:
        y = y[..., None]
    expected = value(example.create()(*shown))
    inputs = keras.Input(p.shape[1:])
    model = keras.Model(inputs, Padded()(inputs))
    model.compile("sgd", example.create())
    got = model.evaluate(p, y, batch_size=len(p), verbose=0)
    fitted = model.fit(p, y, batch_size=len(p), verbose=0).history["loss"][0]
    assert got == pytest.approx(expected, rel=2e-5, abs=1e-6)
    assert fitted == pytest.approx(expected, rel=2e-5, abs=1e-6)
    moved = p.copy()
    moved[:, kept:] = moved[:, kept:][:, ::-1] * 0.5
    assert model.evaluate(moved, y, batch_size=len(p), verbose=0) == pytest.approx(got, rel=1e-6)


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
