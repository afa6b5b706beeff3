"""A classifier's head that scores unfamiliar samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Count,
    Example,
    InitializerLike,
    Layer,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    is_number,
    upcast,
)
from dl_techniques.layers.norms.axes import norm
from dl_techniques.layers.parts import features_of


@component(
    "dl_techniques>DecoupledMaxLogit",
    kind="layer",
    tags=("classification", "out-of-distribution"),
    since="0.1",
)
class DecoupledMaxLogit(Layer):
    """Classifier's head whose score decouples the direction of a feature from its length.

    logit_i = w_i^T f = ||w_i|| ||f|| cos(w_i, f), MaxCosine = max_i cos(w_i, f),
    MaxNorm = ||f||, score = lambda MaxCosine + MaxNorm

    A sample of an unknown kind has a low score. The largest logit alone hides the one behind the
    other; MaxNorm is the worse of the two by itself, so lambda gives MaxCosine its weight. The
    head has no bias, without which the decomposition holds exactly. Lengths and cosines are
    computed in float32 at least; a zero feature has the cosine 0.

    Args:
        num_classes: Number of classes K.
        constant: lambda.
        return_parts: Whether to return MaxCosine and MaxNorm, too.
        kernel_initializer: Initializer of the weights w, `(features, K)`.
        kernel_regularizer: Regularizer of the weights.
        kernel_constraint: Constraint on the weights.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`.

    Output shape:
        Logits `(batch, ..., K)` and score `(batch, ...)`; with `return_parts` also MaxCosine and
        MaxNorm, of the score's shape.

    Raises:
        ValueError: If `num_classes` is not positive, `constant` no number, or the features are
            unknown.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import DecoupledMaxLogit
        >>> head = DecoupledMaxLogit(2, constant=10.0, kernel_initializer="identity")
        >>> logits, score = head(ops.array([[3.0, 4.0]]))
        >>> ops.convert_to_numpy(logits).tolist()
        [[3.0, 4.0]]
        >>> ops.convert_to_numpy(score).astype(float).round(4).tolist()  # 10 x 0.8 + 5
        [13.0]

    References:
        Zhang and Xiang, "Decoupling MaxLogit for Out-of-Distribution Detection", CVPR 2023.
    """

    def __init__(
        self,
        num_classes: Count,
        constant: float = 1.0,
        return_parts: bool = False,
        kernel_initializer: InitializerLike = "glorot_uniform",
        kernel_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not is_number(constant):
            raise ValueError(f"`constant` must be a finite number. Received: constant={constant!r}")
        self.num_classes = num_classes
        self.constant = constant
        self.return_parts = return_parts
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create the kernel, `(features, classes)`."""
        features = features_of(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features, self.num_classes),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            autocast=False,
        )

    def call(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Classify and score."""
        f = upcast(inputs)
        w = ops.cast(self.kernel, f.dtype)
        logits = ops.matmul(f, w)
        length = norm(f, (len(f.shape) - 1,))
        # `max` refuses an empty batch on PyTorch.
        cosine = ops.top_k(logits / norm(w, (0,)), 1)[0] / length
        score = self.constant * cosine + length
        parts = (score, cosine, length) if self.return_parts else (score,)
        outputs = (logits, *(ops.squeeze(part, -1) for part in parts))
        return tuple(ops.cast(output, self.compute_dtype) for output in outputs)

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, ...]:
        """The logits' and the scores' shapes."""
        batch = tuple(input_shape[:-1])
        scores = (batch,) * (3 if self.return_parts else 1)
        return ((*batch, self.num_classes), *scores)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Any:
        """The input's mask for each output."""
        del inputs
        return (previous_mask,) * (4 if self.return_parts else 2)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Features with a score, tokens with its parts."""
        yield Example(cls, {"num_classes": 3}, TensorSpec((4, 5)))
        parts = {"num_classes": 2, "constant": 10.0, "return_parts": True}
        yield Example(cls, parts, TensorSpec((2, 3, 4)), name="parts")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No class, no number, unknown features."""
        yield Rejection(cls, {"num_classes": 2, "constant": "large"}, "constant")
        yield Rejection(cls, {"num_classes": 2}, "input_shape", build=(2, None))
