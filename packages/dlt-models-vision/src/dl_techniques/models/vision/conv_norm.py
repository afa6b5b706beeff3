"""The code of a convolution and its batch normalization, for `ConvBlock`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dl_techniques.weights import BATCH_NORM
from dl_techniques.weights.rules.codes import (
    Shapes,
    Transform,
    conv_backward,
    conv_forward,
    copy_forward,
    linear_forward,
)


@dataclass(frozen=True)
class ConvNorm:
    """A convolution without bias and the normalization after it, to a `ConvBlock`.

    The keys are taken together: which convolution is there tells which block a normalization of
    the same name belongs to.

    Args:
        norm: Prefix of the normalization's keys.
    """

    norm: str

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """Five keys to five variables, and the counter of batches to nothing.

        Args:
            keys: Prefix of the convolution's keys.
            variables: Prefix of the block's path.
        """
        *norms, counter = BATCH_NORM.transforms(self.norm, f"{variables}.norm")
        return [
            Transform(
                "CONV_NORM",
                (f"{keys}.weight", *(key for norm in norms for key in norm.keys)),
                (f"{variables}.conv.kernel", *(path for norm in norms for path in norm.variables)),
                _forward,
                _backward,
            ),
            counter,
        ]


def _forward(arrays: Sequence[Any], shapes: Shapes) -> list[Any]:
    kernel, *statistics = arrays
    # A convolution of one pixel is a product in the block.
    kernel = linear_forward(kernel) if len(shapes[0]) == 2 else conv_forward(kernel)
    rest = zip(statistics, shapes[1:], strict=True)
    return [kernel, *(copy_forward(array, shape) for array, shape in rest)]


def _backward(arrays: Sequence[Any]) -> list[Any]:
    kernel, *statistics = arrays
    whole = np.transpose(kernel)[..., None, None] if kernel.ndim == 2 else conv_backward(kernel)
    return [whole, *statistics]
