"""From a weight tensor to the matrices that are analysed.

A part is described by steps (reshape, transpose, slice) that turn the array into a stack of shape
(slices, rows, columns). Steps are data: a worker applies them where it reads the array.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from dl_techniques.weightwatcher.experts import expert_parts
from dl_techniques.weightwatcher.fused import fused_parts
from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.parts import Part, Step, make_part
from dl_techniques.weightwatcher.readers.weight import Weight
from dl_techniques.weightwatcher.settings import Settings

_GATES: Final = {"LSTMCell": 4, "GRUCell": 3, "SimpleRNNCell": 1, "LSTM": 4, "GRU": 3, "RNN": 1}
# Those of attention have an axis for heads, those of a GRU one for its two kernels.
_BIAS: Final = re.compile(r"(^|_)bias$")
_NO_WEIGHTS: Final = (
    "uint8",  # what is packed or offset is stored so
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (16, 32, 64)),
    "bool",
    "complex",
)
_KERNELS: Final = frozenset({"kernel", "depthwise_kernel", "pointwise_kernel"})
_TORCH_RNN: Final = re.compile(r"weight_(ih|hh)(_l\d+(_reverse)?)?$")


def stack_of(array: Array, part: Part) -> Array:
    """The stack of a part, a view wherever the steps allow it.

    Args:
        array: The whole weight.
        part: Which part of it.
    """
    for name, *arguments in part.steps:
        if name == "reshape":
            array = array.reshape(arguments[0])
        elif name == "transpose":
            array = array.transpose(arguments[0])
        elif name == "slice":
            axis, first, last = arguments
            array = array[(slice(None),) * axis + (slice(first, last),)]
        else:
            array = _fourier(array, arguments[0])
    return array


def plan(weight: Weight, settings: Settings) -> list[Part] | str:
    """The parts of a weight, or the reason for their absence.

    Args:
        weight: The weight.
        settings: How to treat convolutions, recurrent and attention layers.
    """
    shape = weight.values.shape
    # Numbers that are computed from codes are weights, whatever the codes are stored as.
    computed = hasattr(weight.values, "block")
    fault = _unfit(shape, "" if computed else weight.values.dtype)
    if fault is not None:
        return fault
    if _BIAS.search(weight.variable):
        return "no matrix: a bias"
    known = _keras_parts(weight, shape, settings) if weight.layout == "keras" else None
    if known is None:
        each = settings.experts == "each"
        known = expert_parts(weight.path, shape, _architecture(weight), each)
    return _by_axes(weight, shape, settings) if known is None else known


def _by_axes(weight: Weight, shape: tuple[int, ...], settings: Settings) -> list[Part] | str:
    """Decide by the number of axes and their lengths."""
    squeezed = tuple(n for n in shape if n > 1)
    if len(shape) > 2 and len(squeezed) < 2:
        return "no matrix: it has fewer than two axes longer than 1"
    if len(shape) == 2 or (len(squeezed) == 2 and not _is_conv(weight)):
        squeezed = shape if len(shape) == 2 else squeezed
        head: list[Step] = [] if squeezed == shape else [("reshape", squeezed)]
        parts = _plain(weight, squeezed, head, settings)
        return [*map(_inputs_first, parts)] if _outputs_first(weight, settings) else parts
    if weight.variable == "depthwise_kernel":
        return _depthwise(shape)
    if _is_conv(weight):
        return _convolution(weight, shape, [], settings)
    head = [] if squeezed == shape else [("reshape", squeezed)]
    return _convolution(weight, squeezed, head, settings)


def _architecture(weight: Weight) -> Mapping[str, Any]:
    found: Mapping[str, Any] = weight.facts.get("architecture") or {}
    return found


def _unfit(shape: tuple[int, ...], dtype: str) -> str | None:
    if 0 in shape:
        return "it is empty"
    if dtype.startswith(_NO_WEIGHTS):
        return f"{dtype} numbers are no weights"
    return "no matrix: it has fewer than two axes" if len(shape) < 2 else None


def _is_conv(weight: Weight) -> bool:
    """Return whether all axes count, those of length 1 too: by class, name, or number of axes."""
    if "Conv" in weight.kind:
        return True
    axes = len(weight.values.shape)
    named = "conv" in weight.path.lower() or weight.variable.partition(":")[0] in _KERNELS
    return axes > 3 or (axes == 3 and named)


def _depthwise(shape: tuple[int, ...]) -> list[Part]:
    taps, channels = math.prod(shape[:-2]), math.prod(shape[-2:])
    steps = (("reshape", (1, taps, channels)),)
    return [make_part("", steps, 1, taps, channels, "depthwise: taps x channels")]


def _keras_parts(weight: Weight, shape: tuple[int, ...], settings: Settings) -> list[Part] | None:
    """Decide by the class of a Keras layer; `None` where it decides nothing."""
    if not weight.kind:
        return None
    variable = weight.variable
    if variable == "depthwise_kernel" or (weight.kind.startswith("Depthwise") and len(shape) > 2):
        return _depthwise(shape)
    equation = weight.facts.get("equation")
    if equation and variable.startswith("kernel"):
        return _einsum(str(equation), shape, settings)
    if weight.kind in _GATES and variable.endswith("kernel") and len(shape) == 2:
        return _gates(shape, 1, _GATES[weight.kind], settings)
    return None


def _plain(
    weight: Weight, shape: tuple[int, ...], head: list[Step], settings: Settings
) -> list[Part]:
    rows, columns = shape
    shape = (rows, columns)
    if weight.layout != "keras":
        recurrent = _TORCH_RNN.search(weight.path)
        gates = weight.facts.get("gates") or _GATES.get(weight.kind)
        if recurrent and gates and rows % gates == 0:
            return _gates(shape, 0, gates, settings)
    keras = weight.layout == "keras"
    fused = None if head else fused_parts(weight.path, shape, _architecture(weight), keras)
    if fused is not None:
        return fused
    return [make_part("", (*head, ("reshape", (1, rows, columns))), 1, rows, columns)]


def _outputs_first(weight: Weight, settings: Settings) -> bool:
    """Return whether a matrix is stored as torch does it; the reference takes it as it is."""
    stored = weight.layout == "torch" and not weight.kind.startswith("Embedding")
    return stored and settings.compat is None


def _inputs_first(part: Part) -> Part:
    """As Keras stores it, so that both give the same bits."""
    return part._replace(steps=(*part.steps, ("transpose", (0, 2, 1))))


def _gates(shape: tuple[int, ...], axis: int, gates: int, settings: Settings) -> list[Part]:
    if settings.rnn == "whole" or gates == 1 or shape[axis] % gates:
        return [make_part("", (("reshape", (1, *shape)),), 1, shape[0], shape[1])]
    return _split(shape, axis, tuple(f"gate {index}" for index in range(gates)), [])


def _split(
    shape: tuple[int, ...], axis: int, names: tuple[str, ...], head: list[Step]
) -> list[Part]:
    size = shape[axis] // len(names)
    parts = []
    for index, name in enumerate(names):
        cut: Step = ("slice", axis, index * size, (index + 1) * size)
        own = tuple(size if place == axis else n for place, n in enumerate(shape))
        steps = (*head, cut, ("reshape", (1, *own)))
        parts.append(make_part(f"[{name}]", steps, 1, own[0], own[1]))
    return parts


def _einsum(equation: str, shape: tuple[int, ...], settings: Settings) -> list[Part] | None:
    """Contracted axes times the others."""
    match = re.fullmatch(r"\s*([\w.]*)\s*,\s*(\w+)\s*->\s*([\w.]*)\s*", equation)
    if match is None or len(match[2]) != len(shape):
        return None
    inputs, kernel, outputs = match.groups()
    contracted = [i for i, c in enumerate(kernel) if c in inputs and c not in outputs]
    batch = [i for i, c in enumerate(kernel) if c in inputs and c in outputs]
    others = [i for i in range(len(kernel)) if i not in contracted and i not in batch]
    if settings.attention == "heads" and len(shape) == 3 and not batch:
        heads = others[0] if len(others) == 2 else contracted[0]
        rows, columns = (i for i in range(3) if i != heads)
        turn: Step = ("transpose", (heads, rows, columns))
        return [
            make_part(
                f"[head {index}]",
                (turn, ("slice", 0, index, index + 1)),
                1,
                shape[rows],
                shape[columns],
            )
            for index in range(shape[heads])
        ]
    sizes = [math.prod(shape[i] for i in axes) for axes in (batch, contracted, others)]
    steps: tuple[Step, ...] = (("reshape", tuple(sizes)),)
    if (order := (*batch, *contracted, *others)) != tuple(range(len(shape))):
        steps = (("transpose", order), *steps)
    return [make_part("", steps, sizes[0], sizes[1], sizes[2])]


def _convolution(
    weight: Weight, shape: tuple[int, ...], head: list[Step], settings: Settings
) -> list[Part]:
    """Slices over taps (or over whatever leads), each inputs x outputs."""
    steps = list(head)
    groups = int(weight.facts.get("groups") or 1)
    if _layout(weight, shape, settings) == "oihw":
        # A transposed convolution of torch has its inputs first.
        first_is_input = bool(weight.facts.get("transposed"))
        ends = (0, 1) if first_is_input else (1, 0)
        steps.append(("transpose", (*range(2, len(shape)), *ends)))
        shape = (*shape[2:], shape[ends[0]], shape[ends[1]])
        grouped = 0 if first_is_input else 1
    else:
        grouped = 1
    *spatial, inputs, outputs = shape
    taps = math.prod(spatial)
    steps.append(("reshape", (taps, inputs, outputs)))
    if taps > 1 and min(inputs, outputs) == 1:
        columns = inputs * outputs
        steps.append(("reshape", (1, taps, columns)))
        return [make_part("", tuple(steps), 1, taps, columns, "depthwise: taps x channels")]
    if groups > 1 and (inputs, outputs)[grouped] % groups == 0:
        size = (inputs, outputs)[grouped] // groups
        sizes = (size, outputs) if grouped == 0 else (inputs, size)
        names = [f"[group {index}]" for index in range(groups)]
        cuts = [("slice", grouped + 1, i * size, (i + 1) * size) for i in range(groups)]
        pairs = zip(names, cuts, strict=True)
        return [_finish(name, [*steps, cut], spatial, *sizes, settings) for name, cut in pairs]
    return [_finish("", steps, spatial, inputs, outputs, settings)]


def _finish(
    suffix: str,
    steps: list[Step],
    spatial: list[int],
    inputs: int,
    outputs: int,
    settings: Settings,
) -> Part:
    taps = math.prod(spatial)
    if settings.conv == "flatten":
        steps = [*steps, ("reshape", (1, taps * inputs, outputs))]
        return make_part(suffix, tuple(steps), 1, taps * inputs, outputs, "flattened")
    if settings.conv == "fft":
        return make_part(
            suffix, (*steps, ("fourier", tuple(spatial))), taps, inputs, outputs, "Fourier"
        )
    return make_part(suffix, tuple(steps), taps, inputs, outputs)._replace(kernel=True)


def _layout(weight: Weight, shape: tuple[int, ...], settings: Settings) -> str:
    if settings.conv_layout != "auto":
        return settings.conv_layout
    if weight.layout == "keras":
        return "hwio"
    if weight.layout == "unknown" and weight.variable.partition(":")[0] in _KERNELS:
        return "hwio"
    # Four axes and more are a convolution's, however large its taps. Three may be embeddings or
    # stacks of experts, which look like kernels; what leads is then no tap.
    if weight.layout == "torch" and (
        len(shape) > 3
        or "conv" in f"{weight.kind} {weight.path}".lower()
        or max(shape[2:]) <= min(shape[:2])
    ):
        return "oihw"
    return "hwio" if max(shape[:-2]) <= max(shape[2:]) else "oihw"


def _fourier(array: Array, spatial: tuple[int, ...]) -> Array:
    """The matrices of the circular convolution's frequencies, complex."""
    grid = np.asarray(array, np.float64).reshape(*spatial, *array.shape[1:])
    return np.fft.fftn(grid, axes=range(len(spatial))).reshape(array.shape)
