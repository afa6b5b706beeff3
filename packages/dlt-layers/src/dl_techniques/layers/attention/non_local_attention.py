"""Non-local blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    InitializerLike,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.arguments import require_one_of
from dl_techniques.layers.attention.attend import all_of, attend
from dl_techniques.layers.norm_choice import choose_norm
from dl_techniques.layers.parts import build_part, call_part, dense_part, fresh_initializer
from dl_techniques.layers.same_shape import SameShape

MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation")


@component(
    "dl_techniques>NonLocalAttention",
    kind="layer",
    tags=("attention", "vision", "video"),
    paper="arXiv:1711.07971",
    since="0.1",
)
class NonLocalAttention(SameShape):
    """Non-local block: adds to each position what all positions say to it.

    z_i = W_z y_i + x_i, y_i = sum_j f(x_i, x_j) g(x_j) / C(x), over all positions of a sequence,
    an image or a video, with theta, phi and g linear to `intermediate_dim` features and

    | mode | f | C |
    |---|---|---|
    | gaussian | exp(x_i . x_j) | sum_j f |
    | embedded_gaussian | exp(theta_i . phi_j) | sum_j f |
    | dot_product | theta_i . phi_j | number of positions |
    | concatenation | ReLU(w . [theta_i, phi_j]) | number of positions |

    The exponents are not divided by a root, unless `scale`. With `zero_init` the gain of the norm
    (or W_z, without a norm) starts at zero, so that the block starts as the identity.

    Args:
        intermediate_dim: Inner width; by default half the channels.
        mode: One of the four.
        sub_sample: Whether j runs over the 2 x 2 (x 2) max-pooled input of phi and g only.
        norm: Normalization after W_z: `"batch"`, `"layer"`, `"rms"` (epsilon 1e-5), `"none"`, or
            anything that names or is a layer.
        use_bias: Whether the linear maps have biases.
        scale: Whether to divide the exponents by the root of their number of features.
        zero_init: Whether the block starts as the identity.
        kernel_initializer: Initializer of the linear maps.
        kernel_regularizer: Regularizer of the linear maps.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: A sequence, image or video.
        mask: `(batch, length)`, nonzero = a real position, for sequences.

    Input shape:
        `(batch, length, channels)`, `(batch, height, width, channels)` or
        `(batch, frames, height, width, channels)`; all but the channels may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If `mode` is unknown, `intermediate_dim` not positive, or the rank another.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import NonLocalAttention
        >>> x = keras.random.normal((2, 2, 4, 6), seed=0)
        >>> bool(keras.ops.all(NonLocalAttention()(x) == x))  # the identity, before training
        True

    References:
        Wang et al., "Non-local Neural Networks", arXiv:1711.07971.
    """

    def __init__(
        self,
        intermediate_dim: Count | None = None,
        mode: str = "embedded_gaussian",
        sub_sample: bool = False,
        norm: Any = "batch",
        use_bias: bool = True,
        scale: bool = False,
        zero_init: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        kernel_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_one_of(MODES, mode=mode)
        self.intermediate_dim = intermediate_dim
        self.mode = mode
        self.sub_sample = sub_sample
        self.norm = norm
        self.use_bias = use_bias
        self.scale = scale
        self.zero_init = zero_init
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        gain = "zeros" if zero_init else "ones"
        self.norm_layer = choose_norm(
            norm,
            epsilon=1e-5,
            gamma_initializer=gain,
            scale_initializer=gain,
            dtype=self.dtype_policy,
        )
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Build the linear maps, the pooling and the norm."""
        channels = input_shape[-1]
        if not 3 <= len(input_shape) <= 5 or channels is None:
            raise ValueError(
                "The input must have one to three axes between batch and known channels. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        width = self.intermediate_dim or max(1, channels // 2)
        embeds = self.mode != "gaussian"
        self.theta = dense_part(self, width, "theta", channels) if embeds else None
        self.phi = dense_part(self, width, "phi", channels) if embeds else None
        self.g = dense_part(self, width, "g", channels)
        starts_at_zero = self.norm_layer is None and self.zero_init
        zeros = {"kernel_initializer": "zeros"} if starts_at_zero else {}
        self.w_z = dense_part(self, channels, "w_z", width, **zeros)
        build_part(self.norm_layer, (None, *input_shape[1:]))
        self.w_theta = self.w_phi = None
        if self.mode == "concatenation":
            self.w_theta, self.w_phi = (
                self.add_weight(
                    name=name,
                    shape=(width, 1),
                    initializer=fresh_initializer(self.kernel_initializer),
                    regularizer=self.kernel_regularizer,
                )
                for name in ("w_theta", "w_phi")
            )

    def call(
        self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        """Gather from all positions, and add."""
        source = inputs
        if self.sub_sample:
            source, mask = _pooled(inputs), _pooled_mask(mask)
        theta = inputs if self.theta is None else self.theta(inputs)
        phi = source if self.phi is None else self.phi(source)
        q, k, v = (_positions(x) for x in (theta, phi, self.g(source)))
        real = all_of(mask)
        if self.mode in {"gaussian", "embedded_gaussian"}:
            scale = q.shape[-1] ** -0.5 if self.scale else 1.0
            y = attend(*(x[:, :, None] for x in (q, k, v)), padding_mask=real, scale=scale)[:, :, 0]
        else:
            y = self._averaged(q, k, v, real)
        y = self.w_z(ops.reshape(y, (*ops.shape(inputs)[:-1], v.shape[-1])))
        return inputs + call_part(self.norm_layer, y, training)

    def _averaged(self, theta: Tensor, phi: Tensor, g: Tensor, real: Tensor | None) -> Tensor:
        """The modes without exponential, in float32: sum_j f(theta_i, phi_j) g_j / C."""
        theta, phi, g32 = upcast(theta), upcast(phi), upcast(g)
        count = ops.cast(ops.shape(g)[1], g32.dtype)
        if real is not None:
            weight = ops.cast(real, g32.dtype)[:, :, None]
            g32 = g32 * weight
            count = ops.maximum(ops.sum(weight, axis=1, keepdims=True), 1.0)
        if self.w_theta is None or self.w_phi is None:
            # theta (phi^T g): linear in the number of positions.
            y = ops.matmul(theta, ops.matmul(ops.transpose(phi, (0, 2, 1)), g32))
        else:
            left = ops.matmul(theta, upcast(self.w_theta))
            right = ops.transpose(ops.matmul(phi, upcast(self.w_phi)), (0, 2, 1))
            y = ops.matmul(ops.relu(left + right), g32)
        return ops.cast(y / count, g.dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Three modes, on an image that is sub-sampled and on a sequence."""
        live = {"zero_init": False, "use_bias": False}
        # The norm's scale starts at zero, and so does the gradient of everything before it.
        maps = ("theta", "phi", "g", "w_z")
        dead = tuple(f"{name}/{part}" for name in maps for part in ("kernel", "bias"))
        yield Example(cls, {}, TensorSpec((2, 2, 4, 6)), dead=dead)
        yield Example(
            cls,
            {**live, "mode": "dot_product", "norm": "none"},
            TensorSpec((2, 5, 6)),
            traits=frozenset({"permutation_equivariant"}),
            name="dot_product",
        )
        yield Example(
            cls,
            {**live, "mode": "concatenation", "norm": "layer", "sub_sample": True},
            TensorSpec((2, 2, 4, 6)),
            name="concatenation",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """An unknown mode, an invalid width, another rank."""
        yield Rejection(cls, {"mode": "cosine"}, "mode")
        yield Rejection(cls, {"norm": "no_such"}, "norm")
        yield Rejection(cls, {}, "input_shape", build=(None, 8))


def _positions(x: Tensor) -> Tensor:
    """(B, ..., C) as (B, positions, C)."""
    batch, *sizes, channels = ops.shape(x)
    return ops.reshape(x, (batch, math.prod(sizes), channels))


def _pooled(x: Tensor) -> Tensor:
    """The largest of each 2 (x 2 (x 2)) neighbours; a remainder at the end is left out.

    Axis by axis, because TensorFlow pools videos on the CPU in float32 only.
    """
    for axis in range(1, len(x.shape) - 1):
        sizes = list(ops.shape(x))
        half = sizes[axis] // 2
        x = ops.take(x, ops.arange(2 * half), axis=axis) if _is_odd(sizes[axis]) else x
        x = ops.amax(ops.reshape(x, (*sizes[:axis], half, 2, *sizes[axis + 1 :])), axis=axis + 1)
    return x


def _is_odd(size: Any) -> bool:
    """Return whether a size is odd, or not known."""
    return not isinstance(size, int) or size % 2 == 1


def _pooled_mask(mask: Tensor | None) -> Tensor | None:
    if mask is None:
        return None
    real = ops.cast(ops.convert_to_tensor(mask), "float32")
    return ops.cast(_pooled(real[:, :, None])[:, :, 0], "bool")
