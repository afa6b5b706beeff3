"""Codes that turn tensors of other libraries into variables of Keras, and back.

A code turns a prefix of keys and a prefix of variables into transforms; a transform takes the
arrays of its keys to those of its variables, and back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shapes = Sequence[tuple[int, ...]]


class NotInvertible(ValueError):  # noqa: N818  # the name says it already
    """The transform cannot be undone."""


class Transform(NamedTuple):
    """Arrays of keys to arrays of variables, and back."""

    name: str
    keys: tuple[str, ...]
    """Patterns of keys."""
    variables: tuple[str, ...]
    """Patterns of the variables' paths."""
    forward: Callable[[Sequence[Array], Shapes], list[Array]]
    """From arrays of keys, for variables of these shapes."""
    backward: Callable[[Sequence[Array]], list[Array]]
    """From arrays of variables."""


class Code(Protocol):
    """Makes transforms of two prefixes."""

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """Make the transforms.

        Args:
            keys: Prefix of the keys.
            variables: Prefix of the variables' paths.
        """


def joined(prefix: str, name: str) -> str:
    """A name below a prefix; either may be empty.

    Args:
        prefix: The prefix.
        name: The name.
    """
    return f"{prefix}.{name}" if prefix and name else prefix or name


# Kernels. The backward half of each undoes the forward half bit by bit.


def conv_forward(array: Array) -> Array:
    """(out, in, *kernel) -> (*kernel, in, out).

    Args:
        array: The kernel.
    """
    return array.transpose(*range(2, array.ndim), 1, 0)


def conv_backward(array: Array) -> Array:
    """(*kernel, in, out) -> (out, in, *kernel).

    Args:
        array: The kernel.
    """
    return array.transpose(-1, -2, *range(array.ndim - 2))


def depthwise_forward(array: Array, shape: tuple[int, ...]) -> Array:
    """(channels * m, 1, *kernel) -> (*kernel, channels, m).

    Args:
        array: The kernel.
        shape: Of the variable.
    """
    moved = array.transpose(*range(2, array.ndim), 0, 1)
    fits = moved.shape[-1] == 1 and len(shape) == moved.ndim
    if fits and moved.shape[-2] == shape[-2] * shape[-1]:
        return moved.reshape(*moved.shape[:-2], *shape[-2:])
    return moved


def depthwise_backward(array: Array) -> Array:
    """(*kernel, channels, m) -> (channels * m, 1, *kernel).

    Args:
        array: The kernel.
    """
    merged = array.reshape(*array.shape[:-2], -1, 1)
    return merged.transpose(-2, -1, *range(merged.ndim - 2))


def linear_forward(array: Array) -> Array:
    """(out, in), or (out, in, 1, 1), -> (in, out).

    Args:
        array: The kernel.
    """
    if array.ndim > 2 and math.prod(array.shape[2:]) == 1:
        array = array.reshape(array.shape[:2])
    return array.T


def copy_forward(array: Array, shape: tuple[int, ...]) -> Array:
    """The array, without or with axes of size one.

    Args:
        array: The array.
        shape: Of the variable.
    """
    same = [n for n in array.shape if n != 1] == [n for n in shape if n != 1]
    return array.reshape(shape) if same else array


@dataclass(frozen=True)
class Layer:
    """A layer of a kernel and, perhaps, a bias.

    Args:
        name: Name of the code in reports.
        kernel: From the key's kernel and the variable's shape to the variable's.
        backward: Back.
        kernel_name: The variable's own name.
    """

    name: str
    kernel: Callable[[Array, tuple[int, ...]], Array]
    backward: Callable[[Array], Array]
    kernel_name: str = "kernel"

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """`weight` to `kernel`, `bias` to `bias`.

        Args:
            keys: Prefix of the keys.
            variables: Prefix of the variables' paths.
        """
        weight = Transform(
            self.name,
            (joined(keys, "weight"),),
            (joined(variables, self.kernel_name),),
            lambda arrays, shapes: [self.kernel(arrays[0], shapes[0])],
            lambda arrays: [self.backward(arrays[0])],
        )
        return [weight, copied(joined(keys, "bias"), joined(variables, "bias"))]


def copied(key: str, variable: str) -> Transform:
    """One key to one variable, as it is.

    Args:
        key: Pattern of the key.
        variable: Pattern of the variable's path.
    """
    return Transform(
        "COPY",
        (key,),
        (variable,),
        lambda arrays, shapes: [copy_forward(arrays[0], shapes[0])],
        lambda arrays: [arrays[0]],
    )


@dataclass(frozen=True)
class Copies:
    """Pairs of names below the prefixes, each copied; names may be empty.

    Args:
        name: Name of the code in reports.
        pairs: Name of the key, name of the variable.
    """

    name: str
    pairs: tuple[tuple[str, str], ...]

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """One for each pair.

        Args:
            keys: Prefix of the keys.
            variables: Prefix of the variables' paths.
        """
        return [copied(joined(keys, key), joined(variables, own)) for key, own in self.pairs]


CONV: Final = Layer("CONV", lambda array, shape: conv_forward(array), conv_backward)
"""A convolution: weight (out, in, *kernel) and bias."""
TRANSPOSED_CONV: Final = Layer(
    "TRANSPOSED_CONV", lambda array, shape: conv_forward(array), conv_backward
)
"""A transposed convolution: weight (in, out, *kernel) and bias."""
DEPTHWISE: Final = Layer("DEPTHWISE", depthwise_forward, depthwise_backward)
"""A depthwise convolution: weight (channels * m, 1, *kernel) and bias."""
LINEAR: Final = Layer("LINEAR", lambda array, shape: linear_forward(array), np.transpose)
"""A linear layer, or a 1 x 1 convolution: weight (out, in) and bias."""
NORM: Final = Copies("NORM", (("weight", "gamma"), ("bias", "beta")))
"""Layer, group or RMS normalization: weight and bias to gamma and beta."""
COPY: Final = Copies("COPY", (("", ""),))
"""One key to one variable."""


class _BatchNorm:
    """Four variables; a file may also count the batches, which nothing needs."""

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """Weight, bias and statistics.

        Args:
            keys: Prefix of the keys.
            variables: Prefix of the variables' paths.
        """
        pairs = (
            ("weight", "gamma"),
            ("bias", "beta"),
            ("running_mean", "moving_mean"),
            ("running_var", "moving_variance"),
        )
        counter = Transform(
            "COUNTER",
            (joined(keys, "num_batches_tracked"),),
            (),
            lambda arrays, shapes: [],
            lambda arrays: [np.zeros((), np.int64)],
        )
        return [*Copies("BATCH_NORM", pairs).transforms(keys, variables), counter]


BATCH_NORM: Final = _BatchNorm()
"""Batch normalization: weight, bias, running statistics."""


@dataclass(frozen=True)
class SplitThree:
    """One fused projection, query over key over value, to three layers.

    Args:
        names: Of the three layers.
        keys: Of the weight and the bias, below the prefix.
    """

    names: tuple[str, str, str] = ("query", "key", "value")
    keys: tuple[str, str] = ("weight", "bias")

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """The weight and the bias, each by thirds of its rows.

        Args:
            keys: Prefix of the keys.
            variables: Prefix of the variables' paths.
        """
        weight = Transform(
            "SPLIT3",
            (joined(keys, self.keys[0]),),
            tuple(joined(joined(variables, name), "kernel") for name in self.names),
            lambda arrays, shapes: [part.T for part in _thirds(linear_forward(arrays[0]).T)],
            lambda arrays: [np.concatenate([array.T for array in arrays])],
        )
        bias = Transform(
            "SPLIT3",
            (joined(keys, self.keys[1]),),
            tuple(joined(joined(variables, name), "bias") for name in self.names),
            lambda arrays, shapes: _thirds(arrays[0]),
            lambda arrays: [np.concatenate(arrays)],
        )
        return [weight, bias]


@dataclass(frozen=True)
class JoinThree:
    """Three projections to one fused layer, query beside key beside value.

    Args:
        names: Of the three projections in the file.
    """

    names: tuple[str, str, str] = ("query", "key", "value")

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """The kernels along their outputs, and the biases.

        Args:
            keys: Prefix of the keys.
            variables: Prefix of the variables' paths.
        """
        weight = Transform(
            "JOIN3",
            tuple(joined(joined(keys, name), "weight") for name in self.names),
            (joined(variables, "kernel"),),
            lambda arrays, shapes: [np.concatenate([a.T for a in arrays], axis=1)],
            lambda arrays: [part.T for part in np.split(arrays[0], 3, axis=1)],
        )
        bias = Transform(
            "JOIN3",
            tuple(joined(joined(keys, name), "bias") for name in self.names),
            (joined(variables, "bias"),),
            lambda arrays, shapes: [np.concatenate(arrays)],
            lambda arrays: list(np.split(arrays[0], 3)),
        )
        return [weight, bias]


def _thirds(array: Array) -> list[Array]:
    if array.shape[0] % 3:
        raise ValueError(f"{array.shape[0]} rows cannot be split by thirds")
    return list(np.split(array, 3))


@dataclass(frozen=True)
class Padded:
    """A kernel inside a larger, symmetric one: zeros in its first rows and columns.

    With strides, TensorFlow's "same" pads an even image at its end only. A kernel with two more
    rows and columns of zeros at its beginning gives the same result with symmetric padding.

    Args:
        inner: `CONV` or `DEPTHWISE`.
        zeros: How many rows and columns of zeros come first.
    """

    inner: Layer
    zeros: int = 2

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """Those of the inner code, padded.

        Args:
            keys: Prefix of the keys.
            variables: Prefix of the variables' paths.
        """
        weight, bias = self.inner.transforms(keys, variables)

        def forward(arrays: Sequence[Array], shapes: Shapes) -> list[Array]:
            array = weight.forward(arrays, shapes)[0]
            return [np.pad(array, [*[(self.zeros, 0)] * (array.ndim - 2), (0, 0), (0, 0)])]

        def backward(arrays: Sequence[Array]) -> list[Array]:
            array = arrays[0]
            inner = array[(slice(self.zeros, None),) * (array.ndim - 2)]
            if np.count_nonzero(array) != np.count_nonzero(inner):
                raise NotInvertible("the rows that padding added are not zero any more")
            return weight.backward([inner])

        return [weight._replace(name="PAD", forward=forward, backward=backward), bias]


@dataclass(frozen=True)
class Positions:
    """A table of positions on a grid, resampled where the model's grid is another.

    Args:
        kernel: `"antialias"` (a = -0.5, as timm resamples) or `"plain"` (a = -0.75 without
            antialiasing, as DINOv2 and transformers do).
        prefix: Rows before the grid, such as the class token's, which are copied.
        grid: Height and width of the file's grid; by default it is square.
        target: Height and width of the model's grid; by default it is square.
        parts: Names of two variables below the path, where the model keeps the rows before the
            grid apart from the grid `(height, width, features)`.
    """

    kernel: str = "antialias"
    prefix: int = 1
    grid: tuple[int, int] | None = None
    target: tuple[int, int] | None = None
    parts: tuple[str, str] | None = None

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """One table to one variable, or to two.

        Args:
            keys: The key.
            variables: The variable's path, or what both begin with.
        """
        if self.parts is not None:
            paths = tuple(joined(variables, part) for part in self.parts)
            return [Transform("POS", (keys,), paths, self._split, self._joined)]

        def forward(arrays: Sequence[Array], shapes: Shapes) -> list[Array]:
            array, shape = arrays[0], shapes[0]
            if math.prod(array.shape) == math.prod(shape):
                return [array.reshape(shape) if array.shape[-1] == shape[-1] else array]
            return [self._resampled(array, shape)]

        return [Transform("POS", (keys,), (variables,), forward, lambda arrays: [arrays[0]])]

    def _split(self, arrays: Sequence[Array], shapes: Shapes) -> list[Array]:
        array, (prefix, grid) = arrays[0], shapes
        table = array.reshape(-1, array.shape[-1])
        rows = math.prod(grid[:2])
        if len(table) != self.prefix + rows:
            whole = (self.prefix + rows, table.shape[1])
            table = replace(self, target=(grid[0], grid[1]))._resampled(array, whole)
        first, rest = table[: self.prefix], table[self.prefix :]
        return [copy_forward(first, prefix), rest.reshape(*grid[:2], -1)]

    def _joined(self, arrays: Sequence[Array]) -> list[Array]:
        prefix, grid = (array.reshape(-1, array.shape[-1]) for array in arrays)
        return [np.concatenate([prefix, grid])[None]]

    def _resampled(self, array: Array, shape: tuple[int, ...]) -> Array:
        table = array.reshape(-1, array.shape[-1]).astype(np.float64)
        old = self.grid or _square(len(table) - self.prefix)
        grid = table[self.prefix :].reshape(*old, -1)
        new = self.target or _square(math.prod(shape[:-1]) - self.prefix)
        rows, columns = (
            interpolation_matrix(o, n, self.kernel) for o, n in zip(old, new, strict=True)
        )
        resized = np.einsum("hwc,nh,mw->nmc", grid, rows, columns).reshape(-1, table.shape[1])
        return np.concatenate([table[: self.prefix], resized]).reshape(shape).astype(np.float32)


def _square(count: int) -> tuple[int, int]:
    side = math.isqrt(max(count, 0))
    if side * side != count or not side:
        raise ValueError(f"{count} positions are no square grid; give `grid` and `target`")
    return side, side


def interpolation_matrix(old: int, new: int, kernel: str) -> npt.NDArray[np.float64]:
    """Weights of old positions in new ones, (new, old), bicubic.

    Args:
        old: Number of old positions.
        new: Number of new ones.
        kernel: `"plain"` (a = -0.75, four taps, the border repeated) or `"antialias"` (a = -0.5,
            wider where there are fewer, cut off at the border and normalized).

    Raises:
        ValueError: If the kernel is unknown.
    """
    from dl_techniques.weights.resampling import resampling_matrix

    if kernel == "antialias":
        return resampling_matrix(old, new, "bicubic")
    if kernel != "plain":
        raise ValueError(f"`kernel` must be 'plain' or 'antialias'. Received: kernel={kernel!r}")
    matrix = np.zeros((new, old))
    for row in range(new):
        place = (row + 0.5) * old / new - 0.5
        first = math.floor(place) - 1
        for tap in range(first, first + 4):
            matrix[row, min(max(tap, 0), old - 1)] += _plain_cubic(abs(place - tap))
    return matrix


def _plain_cubic(x: float, a: float = -0.75) -> float:
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a


@dataclass(frozen=True)
class FoldBatchNorm:
    """A convolution and the batch normalization after it, to a layer of kernel and bias.

    Args:
        norm: Prefix of the normalization's keys, beside that of the layer.
        inner: `CONV`, `DEPTHWISE` or `LINEAR`.
        epsilon: Added to the variance.
    """

    norm: str
    inner: Layer
    epsilon: float = 1e-5

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """Five keys to two variables.

        Args:
            keys: Prefix of the layer's keys.
            variables: Prefix of the variables' paths.
        """
        weight = self.inner.transforms(keys, variables)[0]
        norm = [joined(self.norm, n) for n in ("weight", "bias", "running_mean", "running_var")]

        def forward(arrays: Sequence[Array], shapes: Shapes) -> list[Array]:
            kernel, gamma, beta, mean, variance = (a.astype(np.float64) for a in arrays)
            gain = gamma / np.sqrt(variance + self.epsilon)
            scaled = kernel * gain.reshape(-1, *(1,) * (kernel.ndim - 1))
            return [*weight.forward([scaled], shapes), beta - mean * gain]

        def backward(arrays: Sequence[Array]) -> list[Array]:
            raise NotInvertible("a folded batch normalization cannot be told from its layer")

        variables_of = (*weight.variables, joined(variables, "bias"))
        return [Transform("FOLD", (*weight.keys, *norm), variables_of, forward, backward)]
