"""The capsule network with its decoder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Model,
    NonNegativeNumber,
    Rejection,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers import PrimaryCapsule, RoutingCapsule
from dl_techniques.layers.arguments import require_integers
from dl_techniques.losses import CapsuleMarginLoss

_TINY = 1e-12


@component(
    "dl_techniques>CapsNet",
    kind="model",
    tags=("vision", "capsule", "classification"),
    paper="arXiv:1710.09829",
    since="0.1",
)
class CapsNet(Model):
    """Capsule network: a class is present as far as its capsule is long.

    L = sum_k T_k max(0, 0.9 - |v_k|)^2 + 0.5 (1 - T_k) max(0, |v_k| - 0.1)^2
    + 0.0005 sum (x - x')^2

    x' is decoded from the capsules, with all but that of the true class set to zero; at inference
    that of the longest. `fit(x, y)` needs no loss: `model.compile("adam")`.

    Args:
        input_shape: Height, width and channels of the images.
        classes: Number of classes, and of the last capsules.
        conv_filters: Channels of the first convolution.
        kernel_size: Side of both kernels.
        num_primary: Primary capsules at each position.
        primary_dim: Components of a primary capsule.
        capsule_dim: Components of a class's capsule.
        routing_iterations: Rounds of routing.
        decoder_units: Widths of the decoder's hidden layers; `None` for no decoder.
        reconstruction_weight: Weight of the sum of squared differences.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, height, width, channels)`, pixels of 0 to 1.

    Output shape:
        A dictionary: `capsules`, `(batch, classes, capsule_dim)`; `length`, `(batch, classes)`;
        with a decoder `reconstruction`, as the input. Targets are class numbers or one-hot.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.capsnet import CapsNet
        >>> model = CapsNet((8, 8, 1), 3, 4, 3, 2, 4, 4, decoder_units=(8,))
        >>> model.compile("adam")
        >>> history = model.fit(np.zeros((4, 8, 8, 1)), np.array([0, 1, 2, 0]), verbose=0)
        >>> sorted(history.history)
        ['accuracy', 'loss', 'margin_loss', 'reconstruction_loss']

    References:
        Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", arXiv:1710.09829.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": "the defaults are a network of full size, which takes minutes to check"
    }

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        classes: Count = 10,
        conv_filters: Count = 256,
        kernel_size: Count = 9,
        num_primary: int = 32,
        primary_dim: int = 8,
        capsule_dim: int = 16,
        routing_iterations: int = 3,
        decoder_units: Sequence[int] | None = (512, 1024),
        reconstruction_weight: NonNegativeNumber = 0.0005,
        **kwargs: Any,
    ) -> None:
        if len(input_shape) != 3 or min(input_shape[:2]) < 2 * kernel_size - 1:
            raise ValueError(
                f"`input_shape` must be (height, width, channels), at least {2 * kernel_size - 1} "
                f"high and wide. Received: input_shape={tuple(input_shape)}"
            )
        shape = tuple(input_shape)
        inputs = keras.Input(shape, name="images")
        x = keras.layers.Conv2D(conv_filters, kernel_size, activation="relu", name="conv")(inputs)
        x = PrimaryCapsule(num_primary, primary_dim, kernel_size, name="primary")(x)
        capsules = RoutingCapsule(
            classes, capsule_dim, routing_iterations=routing_iterations, name="routing"
        )(x)
        outputs = {"capsules": capsules, "length": lengths(capsules)}
        decoder = None
        if decoder_units is not None:
            decoder = _decoder(shape, classes * capsule_dim, decoder_units)
            winner = ops.argmax(outputs["length"], axis=-1)
            chosen = ops.one_hot(winner, classes, dtype=capsules.dtype)
            outputs["reconstruction"] = decoder(masked(capsules, chosen))
        super().__init__(inputs, outputs, **kwargs)
        self.classes = classes
        self.conv_filters = conv_filters
        self.kernel_size = kernel_size
        self.num_primary = num_primary
        self.primary_dim = primary_dim
        self.capsule_dim = capsule_dim
        self.routing_iterations = routing_iterations
        self.decoder_units = decoder_units
        self.reconstruction_weight = reconstruction_weight
        self.decoder = decoder
        self.margin = CapsuleMarginLoss(reduction=None)
        self.margin_tracker = keras.metrics.Mean(name="margin_loss")
        self.accuracy_tracker = keras.metrics.Mean(name="accuracy")
        self.reconstruction_tracker: Any = None
        if decoder is not None:
            self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The mean margin loss and the weighted loss of the decoder.

        Args:
            x: Images.
            y: Class numbers, (batch,) or (batch, 1), or one-hot, (batch, classes).
            y_pred: What the model gave.
            sample_weight: (batch,), or `None`.
            training: Whether the model is being trained.
        """
        length = upcast(y_pred["length"])
        present = self._one_hot(y, length.dtype)
        losses = self.margin(present, length)
        self.margin_tracker.update_state(losses, sample_weight)
        hit = ops.argmax(length, axis=-1) == ops.argmax(present, axis=-1)
        self.accuracy_tracker.update_state(ops.cast(hit, length.dtype), sample_weight)
        if self.decoder is not None:
            capsules = y_pred["capsules"]
            chosen = masked(capsules, ops.cast(present, capsules.dtype))
            images = upcast(self.decoder(chosen, training=training))
            error = ops.square(ops.cast(x, images.dtype) - images)
            squares = ops.sum(error, axis=(1, 2, 3))
            self.reconstruction_tracker.update_state(squares, sample_weight)
            losses = losses + self.reconstruction_weight * squares
        if sample_weight is not None:
            losses = losses * ops.cast(sample_weight, losses.dtype)
        loss = ops.mean(losses)
        for extra in self.losses:
            loss = loss + ops.cast(extra, loss.dtype)
        return loss

    def _one_hot(self, y: Tensor, dtype: str) -> Tensor:
        if len(y.shape) == 2 and y.shape[-1] == self.classes:
            return ops.cast(y, dtype)
        return ops.one_hot(ops.cast(ops.reshape(y, (-1,)), "int32"), self.classes, dtype=dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """With and without a decoder."""
        images = TensorSpec((2, 8, 8, 1))
        small: dict[str, Any] = {"input_shape": (8, 8, 1), "classes": 3, "conv_filters": 4}
        small |= {"kernel_size": 3, "num_primary": 2, "primary_dim": 4, "capsule_dim": 4}
        yield Example(cls, {**small, "decoder_units": None}, images)
        decoded = {"decoder_units": (6,), "routing_iterations": 2}
        yield Example(cls, {**small, **decoded}, images, name="decoder")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers out of range, images smaller than the kernels."""
        yield Rejection(cls, {"routing_iterations": 0}, "routing_iterations")
        yield Rejection(cls, {"decoder_units": (0,)}, "decoder_units")
        yield Rejection(cls, {"input_shape": (12, 28, 1)}, "input_shape")


def lengths(capsules: Tensor) -> Tensor:
    """The lengths of capsules; their gradient at zero is zero.

    Args:
        capsules: (batch, classes, dim).
    """
    squares = ops.sum(ops.square(upcast(capsules)), axis=-1)
    return ops.cast(ops.sqrt(squares + _TINY), capsules.dtype)


def masked(capsules: Tensor, chosen: Tensor) -> Tensor:
    """The chosen capsules beside zeros, as one vector a sample.

    Args:
        capsules: (batch, classes, dim).
        chosen: (batch, classes), one or zero.
    """
    kept = capsules * ops.expand_dims(chosen, -1)
    return ops.reshape(kept, (-1, capsules.shape[1] * capsules.shape[2]))


def _decoder(shape: tuple[int, ...], width: int, units: Sequence[int]) -> Any:
    x = inputs = keras.Input((width,))
    for count in units:
        require_integers(decoder_units=count)
        x = keras.layers.Dense(count, activation="relu")(x)
    x = keras.layers.Dense(math.prod(shape), activation="sigmoid")(x)
    return keras.Model(inputs, keras.layers.Reshape(shape)(x), name="decoder")
