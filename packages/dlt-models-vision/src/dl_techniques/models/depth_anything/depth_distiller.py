"""Training of depth with labelled and unlabelled images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from dl_techniques.core import (
    Example,
    Fraction,
    Fresh,
    Model,
    NonNegativeNumber,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.models.depth_anything.affine_invariant_loss import AffineInvariantLoss
from dl_techniques.models.depth_anything.depth_anything import DepthAnything

_TINY = 1e-12


@component(
    "dl_techniques>DepthDistiller",
    kind="model",
    tags=("vision", "depth", "semi-supervised"),
    paper="arXiv:2401.10891",
    since="0.1",
)
class DepthDistiller(Model):
    """Trains a model of depth with labels, a frozen teacher's labels, and a frozen encoder.

    L = L_l(S(x), y) + w_u L_u(S(A(u)), T(u)) + w_f mean(1 - cos(f_S, f_E))

    L_l and L_u are `AffineInvariantLoss`. The teacher T sees unlabelled images u as they are, the
    student S strongly perturbed ones A(u), which may be cut and mixed: then each part is compared
    with the labels of the image that it is from. Features f of both images that are similar
    already, with a cosine above the tolerance, do not count.

    Version 1 of Depth Anything has the encoder DINOv2 and the defaults; version 2 no encoder,
    `gradient_weight=2.0` and `ignored_fraction=0.1`. `fit` needs no loss:
    `model.compile("adamw")`, `model.fit(x, y)`. Afterwards, use `model.student` alone.

    Args:
        student: The `DepthAnything` to train; it is relative.
        teacher: A model from images to depths; it stays as it is.
        encoder: A model from images to tokens, `(batch, [1 +] patches, dim)`, with the student's
            patches and width; it stays as it is. `None` for no alignment.
        unlabeled_weight: Weight w_u.
        alignment_weight: Weight w_f.
        alignment_tolerance: Largest cosine of features that count.
        gradient_weight: As of `AffineInvariantLoss`, for both losses.
        ignored_fraction: Part of the pixels of an unlabelled image that does not count, those
            with the largest errors.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        A dictionary: `image`, labelled images; `unlabeled`, others; `unlabeled_strong`, these
        perturbed; all `(batch, height, width, channels)`. Optionally `mixed`,
        `(batch, height, width)`: 1 where a perturbed image shows pixels of the unlabelled image at
        the mirrored place of the batch, the last for the first. Targets are the depths of `image`.

    Output shape:
        `(batch, height, width)`, the student's depths of `image`.

    Raises:
        ValueError: If an argument is out of range, or the student is metric.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.depth_anything import DepthAnything, DepthDistiller
        >>> small = {"dim": 4, "depth": 1, "num_heads": 1, "taps": (0, 0, 0, 0)}
        >>> small |= {"neck": (2, 2, 2, 2), "fusion_dim": 2, "input_shape": (14, 14, 3)}
        >>> model = DepthDistiller(DepthAnything(**small), DepthAnything(**small))
        >>> model.compile("sgd")
        >>> x = dict.fromkeys(("image", "unlabeled", "unlabeled_strong"), np.ones((2, 14, 14, 3)))
        >>> sorted(model.fit(x, np.ones((2, 14, 14)), verbose=0).history)
        ['labeled_loss', 'loss', 'unlabeled_loss']

    References:
        Yang et al., "Depth Anything: Unleashing the Power of Large-Scale Unlabeled Data",
        arXiv:2401.10891, and "Depth Anything V2", arXiv:2406.09414.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "gradients_live": "unlabelled images take part in the loss alone, not in the output"
    }

    def __init__(
        self,
        student: Any,
        teacher: Any,
        encoder: Any = None,
        unlabeled_weight: NonNegativeNumber = 1.0,
        alignment_weight: NonNegativeNumber = 1.0,
        alignment_tolerance: Fraction = 0.85,
        gradient_weight: NonNegativeNumber = 0.0,
        ignored_fraction: Fraction = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(student, DepthAnything) or student.max_depth is not None:
            raise ValueError(
                "`student` must be a DepthAnything without `max_depth`. "
                f"Received: student={student!r}"
            )
        for name, part in {"teacher": teacher, "encoder": encoder}.items():
            if not isinstance(part, keras.Model) and (part is not None or name == "teacher"):
                raise ValueError(f"`{name}` must be a keras.Model. Received: {name}={part!r}")
        self.student = student
        self.teacher = teacher
        self.encoder = encoder
        for frozen in (teacher, encoder):
            if frozen is not None:
                frozen.trainable = False
        self.unlabeled_weight = unlabeled_weight
        self.alignment_weight = alignment_weight
        self.alignment_tolerance = alignment_tolerance
        self.gradient_weight = gradient_weight
        self.ignored_fraction = ignored_fraction
        self.labeled = AffineInvariantLoss(gradient_weight, reduction=None)
        self.unlabeled = AffineInvariantLoss(gradient_weight, ignored_fraction, reduction=None)
        names = ["labeled", "unlabeled"] + (["alignment"] if encoder is not None else [])
        self.trackers = {name: keras.metrics.Mean(name=f"{name}_loss") for name in names}
        # Depths and, before the coarsest map, the tokens of the patches.
        tokens = student.get_layer("reassemble3_patches").output
        both = keras.Model(student.inputs[0], [student.outputs[0], tokens])
        # Not the model itself, which would be a part, and its layers parts twice.
        self._depth_and_tokens = both.__call__

    def build(self, input_shape: Any) -> None:
        """Nothing to make: the parts are built."""

    def call(self, inputs: Mapping[str, Tensor], training: bool | None = None) -> Tensor:
        """Return the student's depths of the labelled images."""
        return self.student(inputs["image"], training=training)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Depths of the labelled images."""
        return tuple(input_shape["image"][:-1])

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The sum of the losses; each is also a metric.

        Args:
            x: The three or four inputs.
            y: Depths of the labelled images.
            y_pred: The student's depths of them.
            sample_weight: Of the labelled images, (batch,), or `None`.
            training: Whether the model is being trained.
        """
        parts = {"labeled": self.labeled(y, y_pred, sample_weight)}
        depth, tokens = self._depth_and_tokens(x["unlabeled_strong"], training=training)
        parts["unlabeled"] = self._unlabeled_loss(x, upcast(depth))
        if self.encoder is not None:
            parts["alignment"] = self._alignment_loss(x["unlabeled_strong"], tokens)
        weights = {"unlabeled": self.unlabeled_weight, "alignment": self.alignment_weight}
        loss: Any = 0.0
        for name, values in parts.items():
            self.trackers[name].update_state(values)
            loss = loss + weights.get(name, 1.0) * ops.mean(values)
        for extra in self.losses:
            loss = loss + ops.cast(extra, loss.dtype)
        return loss

    def _unlabeled_loss(self, x: Mapping[str, Tensor], depth: Tensor) -> Tensor:
        """The loss of each perturbed image, by the teacher's depths of the clean one."""
        labels = ops.stop_gradient(upcast(self.teacher(x["unlabeled"], training=False)))
        if x.get("mixed") is None:
            return self.unlabeled.of_pixels(labels, depth, ops.ones_like(labels, dtype="bool"))
        mixed = ops.cast(x["mixed"], depth.dtype) > 0.5
        part = ops.mean(ops.cast(mixed, depth.dtype), axis=(1, 2))
        own = self.unlabeled.of_pixels(labels, depth, ops.logical_not(mixed))
        other = self.unlabeled.of_pixels(ops.flip(labels, axis=0), depth, mixed)
        return (1.0 - part) * own + part * other

    def _alignment_loss(self, images: Tensor, tokens: Tensor) -> Tensor:
        """The mean of 1 - cos over the tokens of each image that are not similar yet."""
        wanted = ops.stop_gradient(upcast(self.encoder(images, training=False)))
        cosine = ops.sum(_unit(wanted[:, -tokens.shape[1] :]) * _unit(upcast(tokens)), axis=-1)
        counted = ops.cast(cosine <= self.alignment_tolerance, cosine.dtype)
        return ops.mean(counted * (1.0 - cosine), axis=-1)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A teacher to whom the bright is near."""
        small: dict[str, Any] = {"input_shape": (2, 2, 3), "patch_size": 1, "dim": 4, "depth": 1}
        small |= {"num_heads": 1, "taps": (0, 0, 0, 0), "neck": (2, 2, 2, 2), "fusion_dim": 4}
        inputs = dict.fromkeys(("image", "unlabeled", "unlabeled_strong"), TensorSpec((2, 2, 2, 3)))
        parts = {"student": Fresh(lambda: _student(small)), "teacher": Fresh(_brightness)}
        yield Example(cls, parts, inputs, dead=("block0/attention/key/bias",))

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Parts of another kind."""
        yield Rejection(cls, {"student": None, "teacher": None}, "student")


def _unit(x: Tensor) -> Tensor:
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, _TINY))


def _brightness() -> Any:
    pixels = keras.Input((2, 2, 3))
    depth = keras.layers.Dense(1, kernel_initializer="ones", name="brightness")(pixels)
    return keras.Model(pixels, keras.layers.Reshape((2, 2))(depth))


def _student(config: Mapping[str, Any]) -> DepthAnything:
    model = DepthAnything(**config)
    # The same weights each time, whose rectifiers are neither closed nor at their kinks.
    for seed, variable in enumerate(model.trainable_variables):
        variable.assign(keras.random.normal(variable.shape, stddev=0.3, seed=seed))
    model.get_layer("head2").bias.assign([2.0])
    return model
