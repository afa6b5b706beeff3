"""Base of layers with a complex kernel, stored as two real weights."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core import ConstraintLike, InitializerLike, RegularizerLike, Tensor
from dl_techniques.layers.complex.complex_layer import ComplexLayer, Parts
from dl_techniques.layers.parts import fresh_initializer

_RULES = ("complex_glorot", "complex_he")


class ComplexKernelLayer(ComplexLayer):
    """A layer y = K x + b with a complex kernel and bias.

    Args:
        use_bias: Whether to add b.
        kernel_initializer: `"complex_glorot"`, `"complex_he"`, or an initializer of each part.
        bias_initializer: Initializer of each part of b.
        kernel_regularizer: Regularizer of each part of K.
        bias_regularizer: Regularizer of each part of b.
        kernel_constraint: Constraint on each part of K.
        bias_constraint: Constraint on each part of b.
        seed: Seed of the two named initializers.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "complex_glorot",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise ValueError(
                f"`seed` must be None or an integer from 0 on. Received: seed={seed!r}"
            )
        self.use_bias = use_bias
        self.kernel_initializer = (
            kernel_initializer
            if isinstance(kernel_initializer, str) and kernel_initializer in _RULES
            else keras.initializers.get(kernel_initializer)
        )
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.seed = seed
        # Python's generator, because `keras.utils.set_random_seed` seeds it.
        self._drawn = random.getrandbits(32) if seed is None else seed

    def build_kernel(self, shape: Sequence[int]) -> None:
        """Create `kernel_real`, `kernel_imag`, `bias_real` and `bias_imag`.

        Args:
            shape: Shape of the kernel, with the outputs on the last axis.
        """
        self.kernel_real, self.kernel_imag = (
            self.add_weight(
                name=f"kernel_{part}",
                shape=shape,
                initializer=initializer,
                regularizer=self.kernel_regularizer,
                constraint=self.kernel_constraint,
            )
            for part, initializer in zip(("real", "imag"), self._kernel_initializers(), strict=True)
        )
        self.bias_real = self.bias_imag = None
        if self.use_bias:
            self.bias_real, self.bias_imag = (
                self.add_weight(
                    name=f"bias_{part}",
                    shape=(shape[-1],),
                    initializer=fresh_initializer(self.bias_initializer),
                    regularizer=self.bias_regularizer,
                    constraint=self.bias_constraint,
                )
                for part in ("real", "imag")
            )

    def block_kernel(self, groups: int = 1) -> Tensor:
        """Return the real kernel [[K_r, K_i], [-K_i, K_r]] of parts side by side, group by group.

        Args:
            groups: Number of groups of the outputs.
        """
        real, imaginary = (ops.convert_to_tensor(k) for k in (self.kernel_real, self.kernel_imag))
        *sides, inputs, outputs = real.shape
        grouped = (*sides, inputs, groups, 1, outputs // groups)
        real, imaginary = ops.reshape(real, grouped), ops.reshape(imaginary, grouped)
        rows = [
            ops.concatenate([real, imaginary], axis=-2),
            ops.concatenate([-imaginary, real], axis=-2),
        ]
        return ops.reshape(ops.concatenate(rows, axis=-4), (*sides, 2 * inputs, 2 * outputs))

    def add_bias(self, real: Tensor, imaginary: Tensor) -> Parts:
        """Add b, if there is one.

        Args:
            real: Real part.
            imaginary: Imaginary part.
        """
        if not self.use_bias:
            return real, imaginary
        return real + self.bias_real, imaginary + self.bias_imag

    def _kernel_initializers(self) -> tuple[Any, Any]:
        given = self.kernel_initializer
        if not isinstance(given, str):
            return fresh_initializer(given), fresh_initializer(given)

        def part(index: int) -> Any:
            def initializer(shape: Sequence[int], dtype: Any = None) -> Tensor:
                array = _rayleigh(tuple(shape), given, self._drawn)[index]
                return ops.cast(array if dtype == "float64" else array.astype("float32"), dtype)

            return initializer

        return part(0), part(1)


def _rayleigh(shape: tuple[int, ...], rule: str, seed: int) -> tuple[Any, Any]:
    """Return the parts of complex numbers whose phase is uniform and E|w|^2 = 2 s^2."""
    receptive = math.prod(shape[:-2])
    fans = shape[-2] * receptive, shape[-1] * receptive
    s = 1 / math.sqrt(sum(fans) if rule == "complex_glorot" else fans[0])
    rng = np.random.default_rng(seed)
    # 1 - u lies in (0, 1]: the logarithm of 0 does not occur.
    magnitude = s * np.sqrt(-2 * np.log(1 - rng.random(shape)))
    phase = rng.uniform(-np.pi, np.pi, shape)
    return magnitude * np.cos(phase), magnitude * np.sin(phase)
