"""The heads against torch compositions, the decoding against numpy, and their properties."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import whole_call
from dl_techniques.layers.yolo.classification_head import YOLOv12ClassificationHead
from dl_techniques.layers.yolo.decode import decode_yolov12_detections
from dl_techniques.layers.yolo.detection_head import YOLOv12DetectionHead
from dl_techniques.layers.yolo.segmentation_head import YOLOv12SegmentationHead

SHAPES = [(2, 5, 4, 8), (2, 3, 2, 12), (2, 2, 1, 6)]


def run(function, *inputs):
    return ops.convert_to_numpy(whole_call(function)(*inputs))


def maps(shapes=SHAPES, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


@pytest.mark.oracle
def test_detection_head_equals_torch(peers, compare):
    ours = YOLOv12DetectionHead(3, reg_max=4)
    peer = peers.Detect(3, [8, 12, 6], reg_max=4)
    compare(ours, peer, SHAPES, tolerance=2e-4)


@pytest.mark.oracle
@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_segmentation_head_equals_torch(fusion, peers, compare):
    ours = YOLOv12SegmentationHead(3, filters=5, strides=(4, 8, 16), fusion=fusion)
    compare(ours, peers.Segment(3, [8, 12, 6], 5, 4, fusion), SHAPES)


def test_detection_head_starts_with_five_objects_an_image():
    head = YOLOv12DetectionHead(80)
    head.build(SHAPES)
    assert head.compute_output_shape(SHAPES) == (2, 20 + 6 + 2, 64 + 80)
    for boxes, classes, stride in zip(head.boxes, head.classes, (8, 16, 32), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(boxes.layers[-1].bias), 2)
        scores = 1 / (1 + np.exp(-ops.convert_to_numpy(classes.layers[-1].bias)))
        assert scores.sum() * (640 / stride) ** 2 == pytest.approx(5, rel=0.02)


def test_positions_are_level_by_level_and_row_by_row():
    head = YOLOv12DetectionHead(2, reg_max=2, strides=(8, 16))
    shapes = [(1, 3, 4, 4), (1, 2, 2, 4)]
    head.build(shapes)
    xs = maps(shapes)
    y = run(lambda *xs: head(list(xs)), *xs)
    for level, row, column, position in [(0, 2, 1, 9), (0, 0, 3, 3), (1, 1, 0, 14)]:
        parts = [run(branch[level], xs[level]) for branch in (head.boxes, head.classes)]
        expected = np.concatenate([part[0, row, column] for part in parts])
        np.testing.assert_allclose(y[0, position], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 5, 4, 8)])
def test_one_map_stands_for_one_level(shape):
    x = maps([shape])[0]
    head = YOLOv12DetectionHead(2, reg_max=2, strides=(8,))
    head.build(shape)
    np.testing.assert_allclose(run(head, x), run(lambda x: head([x]), x))


def decoded(predictions, image_size, strides, reg_max):
    """Cell by cell, in float64."""
    boxes, position = [], 0
    for stride in strides:
        for row in range(-(-image_size[0] // stride)):
            for column in range(-(-image_size[1] // stride)):
                sides = predictions[:, position, : 4 * reg_max].astype("float64")
                bins = np.exp(sides.reshape(-1, 4, reg_max))
                left, top, right, bottom = (
                    (bins / bins.sum(-1, keepdims=True)) @ np.arange(reg_max)
                ).T
                x, y = column + 0.5, row + 0.5
                boxes.append(stride * np.stack([x - left, y - top, x + right, y + bottom], -1))
                position += 1
    assert position == predictions.shape[1]
    return np.stack(boxes, 1), 1 / (1 + np.exp(-predictions[..., 4 * reg_max :].astype("float64")))


@pytest.mark.parametrize("image_size", [(64, 64), (40, 72), (33, 20)])
def test_decoding_equals_the_definition(image_size, verify):
    strides, reg_max = (8, 16, 32), 16
    cells = sum(-(-image_size[0] // s) * -(-image_size[1] // s) for s in strides)
    predictions = (
        np.random.default_rng(0).normal(scale=3, size=(2, cells, 64 + 3)).astype("float32")
    )
    ours = whole_call(lambda p: decode_yolov12_detections(p, image_size))(predictions)
    for mine, expected in zip(
        ours, decoded(predictions, image_size, strides, reg_max), strict=True
    ):
        verify(
            "dl_techniques>decode_yolov12_detections",
            "definition in float64",
            ops.convert_to_numpy(mine),
            expected,
        )


def test_decoding_recovers_boxes_from_sharp_bins():
    logits = np.full((1, 4, 4, 5), -50.0)
    distances = np.array([[0, 1, 2, 3], [4, 0, 1, 1], [1, 1, 1, 1], [2, 2, 4, 4]])
    np.put_along_axis(logits, distances[None, :, :, None], 50.0, -1)
    predictions = np.concatenate([logits.reshape(1, 4, 20), np.zeros((1, 4, 1))], -1)
    boxes, _ = decode_yolov12_detections(predictions.astype("float32"), (20, 20), (10,), 5)
    centres = np.array([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5], [1.5, 1.5]])
    corners = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], -1)
    np.testing.assert_allclose(ops.convert_to_numpy(boxes)[0], 10 * corners, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "settings", "named"),
    [
        ((1, 4, 64), {}, "predictions"),
        ((1, 4), {}, "predictions"),
        ((1, 5, 65), {"strides": (8,)}, "image_size"),
        ((1, 4, 65), {"strides": ()}, "strides"),
        ((1, 4, 65), {"reg_max": 0}, "reg_max"),
    ],
)
def test_decoding_refuses_by_name(shape, settings, named):
    with pytest.raises(ValueError, match=named):
        decode_yolov12_detections(np.zeros(shape, "float32"), (16, 16), **settings)


@pytest.mark.parametrize("upsampling", ["bilinear", "conv2d_transpose"])
def test_segmentation_follows_shifts_by_its_largest_stride(upsampling):
    head = YOLOv12SegmentationHead(2, filters=4, strides=(2, 4), upsampling=upsampling)
    wide = maps([(1, 12, 4, 3), (1, 6, 2, 3)])
    shifted = [np.roll(wide[0], 2, axis=1), np.roll(wide[1], 1, axis=1)]
    y, moved = (ops.convert_to_numpy(head(x)) for x in (wide, shifted))
    assert y.shape == (1, 24, 8, 2)
    # Away from the borders, where the map ends or was rolled over.
    np.testing.assert_allclose(np.roll(y, 4, axis=1)[:, 11:17], moved[:, 11:17], atol=1e-5)


def test_classification_is_linear_in_means_and_maxima():
    xs = maps()
    head = YOLOv12ClassificationHead(5, use_max_pooling=True)
    y = head(xs)
    features = np.concatenate([p for x in xs for p in (x.mean((1, 2)), x.max((1, 2)))], -1)
    kernel, bias = head.classify.get_weights()
    np.testing.assert_allclose(ops.convert_to_numpy(y), features @ kernel + bias, atol=1e-5)


def test_classification_through_a_convolution_block():
    xs = maps([(2, 3, 4, 4), (2, 3, 4, 2)])
    head = YOLOv12ClassificationHead(5, hidden=8)
    y = head(xs)
    hidden = ops.convert_to_numpy(head.conv(np.concatenate(xs, -1))).mean((1, 2))
    kernel, bias = head.classify.get_weights()
    np.testing.assert_allclose(ops.convert_to_numpy(y), hidden @ kernel + bias, atol=1e-5)


def test_float16_means_do_not_overflow():
    x = np.full((1, 64, 64, 2), 300.0, "float16")
    head = YOLOv12ClassificationHead(2, kernel_initializer="identity", dtype="float16")
    np.testing.assert_allclose(ops.convert_to_numpy(head(x)), 300)


HEADS = {
    "detection": YOLOv12DetectionHead(2, reg_max=2),
    "segmentation": YOLOv12SegmentationHead(2, filters=4, strides=(2, 4, 8)),
    "classification": YOLOv12ClassificationHead(2),
}


@pytest.mark.parametrize("kind", HEADS)
def test_unknown_sizes_and_saving(kind, tmp_path):
    inputs = [keras.Input((None, None, shape[-1])) for shape in SHAPES]
    head = type(HEADS[kind]).from_config(HEADS[kind].get_config())
    model = keras.Model(inputs, head(inputs))
    expected = run(lambda *xs: head(list(xs)), *maps())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(maps(), verbose=0), expected, atol=1e-5)
