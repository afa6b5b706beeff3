"""Softmax with a temperature that depends on the entropy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from keras import ops

from dl_techniques.core import (
    Example,
    PositiveNumber,
    Rejection,
    Tensor,
    TensorSpec,
    component,
    is_number,
    upcast,
)
from dl_techniques.layers.attention.attend import MASKED
from dl_techniques.layers.same_shape import SameShape

COEFFICIENTS = (-0.037, 0.481, -2.3, 4.917, -1.791)
"""The published fit of the inverse temperature to the entropy, highest degree first."""


@component(
    "dl_techniques>AdaptiveSoftmax",
    kind="activation",
    tags=("attention", "softmax"),
    paper="arXiv:2410.01104",
    aliases=("dl_techniques>AdaptiveTemperatureSoftmax",),
    since="0.1",
)
class AdaptiveSoftmax(SameShape):
    """Softmax that sharpens dispersed distributions, so that large inputs stay decided.

    p = softmax(z), H = -sum_i p_i ln p_i, y = softmax(z / T) with
    T = clip(1 / max(P(H), 1), min_temp, max_temp) if H > entropy_threshold, else 1,
    where P is a polynomial of degree 4.

    P gives the inverse temperature; taken as the temperature it would soften. With the published
    coefficients it exceeds 1 only for 0.849 < H < 5.944 and peaks at 2.42, so T lies in
    [0.413, 1]; a distribution spread evenly over 382 entries or more stays as it is. Give other
    `polynomial_coeffs` for longer inputs.

    Args:
        min_temp: Smallest temperature.
        max_temp: Largest temperature.
        entropy_threshold: Distributions with at most this entropy, in nats, stay as they are.
        polynomial_coeffs: Coefficients of P, highest degree first.
        axis: Axis of the distribution.
        apply_in_training: Whether to adapt in training too; the paper does so at inference only.
        differentiate_temperature: Whether gradients flow through T.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Logits z.
        mask: Which entries take part, nonzero = yes, of the logits' shape or, as Keras attaches
            it to sequences, of their leading axes. Others get probability zero and do not count
            in H; a distribution that is hidden as a whole stays as it is.

    Input shape:
        Any.

    Output shape:
        The input's.

    Raises:
        ValueError: If the temperatures are not positive and in order, or there are no
            coefficients.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import AdaptiveSoftmax
        >>> logits = keras.ops.convert_to_tensor([[2.0, 1.0, 0.0]])
        >>> y = keras.ops.convert_to_numpy(AdaptiveSoftmax(entropy_threshold=0.8)(logits))
        >>> y.astype("float64").round(3).tolist()  # H = 0.83, and P(0.83) < 1: not sharpened
        [[0.665, 0.245, 0.09]]

    References:
        Velickovic et al., "softmax is not enough (for sharp out-of-distribution)",
        arXiv:2410.01104.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": (
            "by default the temperature has no gradient and training does not adapt it, as in "
            "the paper; central differences see it"
        )
    }

    def __init__(
        self,
        min_temp: PositiveNumber = 0.1,
        max_temp: PositiveNumber = 1.0,
        entropy_threshold: float = 0.5,
        polynomial_coeffs: Sequence[float] = COEFFICIENTS,
        axis: int = -1,
        apply_in_training: bool = False,
        differentiate_temperature: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min_temp > max_temp:
            raise ValueError(
                "`min_temp` must not exceed `max_temp`. "
                f"Received: min_temp={min_temp}, max_temp={max_temp}"
            )
        # NaN would compare as "below" everywhere; infinity switches the adaption off.
        if not isinstance(entropy_threshold, int | float) or not entropy_threshold >= 0:
            raise ValueError(
                "`entropy_threshold` must not be negative. "
                f"Received: entropy_threshold={entropy_threshold}"
            )
        self.polynomial_coeffs = tuple(polynomial_coeffs)
        if not self.polynomial_coeffs or not all(map(is_number, self.polynomial_coeffs)):
            raise ValueError(
                "`polynomial_coeffs` must be one or more finite numbers. "
                f"Received: polynomial_coeffs={polynomial_coeffs}"
            )
        self.min_temp = min_temp
        self.max_temp = max_temp
        self.entropy_threshold = entropy_threshold
        self.axis = axis
        self.apply_in_training = apply_in_training
        self.differentiate_temperature = differentiate_temperature
        self.supports_masking = True

    def call(
        self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        """Normalize in float32 and return the compute dtype."""
        z = upcast(inputs)
        if mask is not None:
            allowed = ops.cast(ops.convert_to_tensor(mask), "bool")
            rank, hidden = len(inputs.shape), len(allowed.shape)
            if self.axis % rank < hidden:
                allowed = ops.reshape(allowed, (*ops.shape(allowed), *[1] * (rank - hidden)))
                z = ops.where(allowed, z, ops.cast(MASKED, z.dtype))
        return ops.cast(self.normalize(z, training), self.compute_dtype)

    def normalize(self, logits: Tensor, training: bool | None = None) -> Tensor:
        """The distribution of logits in float32, among which excluded ones are very negative.

        Args:
            logits: z.
            training: Whether the layer is being trained.
        """
        if training and not self.apply_in_training:
            return ops.softmax(logits, axis=self.axis)
        return ops.softmax(logits / self._temperature(logits), axis=self.axis)

    def _temperature(self, logits: Tensor) -> Tensor:
        log_p = ops.log_softmax(logits, axis=self.axis)
        entropy = -ops.sum(ops.exp(log_p) * log_p, axis=self.axis, keepdims=True)
        if not self.differentiate_temperature:
            entropy = ops.stop_gradient(entropy)
        beta = ops.zeros_like(entropy)
        for coefficient in self.polynomial_coeffs:
            beta = beta * entropy + coefficient
        temperature = ops.clip(1.0 / ops.maximum(beta, 1.0), self.min_temp, self.max_temp)
        return ops.where(entropy > self.entropy_threshold, temperature, ops.ones_like(entropy))

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        """The mask of the sequence; one of the logits themselves serves here only."""
        whole = previous_mask is not None and len(previous_mask.shape) == len(inputs.shape)
        return None if whole else previous_mask

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Along the last and another axis, in training too."""
        always = {"apply_in_training": True, "differentiate_temperature": True}
        yield Example(cls, always, TensorSpec((2, 3, 9)))
        yield Example(cls, {**always, "axis": 1}, TensorSpec((2, 9, 3)), name="axis")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Temperatures out of order, no polynomial."""
        yield Rejection(cls, {"min_temp": 2.0}, "min_temp")
        yield Rejection(cls, {"entropy_threshold": -1.0}, "entropy_threshold")
        yield Rejection(cls, {"polynomial_coeffs": ()}, "polynomial_coeffs")
