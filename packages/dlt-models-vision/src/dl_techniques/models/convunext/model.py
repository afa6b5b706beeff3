"""The functions that make ConvUNext models, under the names of their first documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from dl_techniques.models.convunext.convunext import ConvUNext, Variant


def create_convunext_variant(
    variant: Variant,
    input_shape: Sequence[int | None] = (None, None, 3),
    enable_deep_supervision: bool = False,
    output_channels: int | None = None,
    **kwargs: Any,
) -> ConvUNext:
    """Make a variant of `ConvUNext`.

    Args:
        variant: Its name.
        input_shape: Height, width and channels of the images.
        enable_deep_supervision: Whether to give the outputs of all levels of the decoder.
        output_channels: Channels of the outputs; `None` for the input's.
        **kwargs: Further arguments of `ConvUNext`.
    """
    return ConvUNext(
        variant,
        input_shape=input_shape,
        enable_deep_supervision=enable_deep_supervision,
        output_channels=output_channels,
        **kwargs,
    )


def create_inference_model_from_training_model(model: Any) -> Any:
    """The first output of a model alone, with the same weights, not copies of them.

    Args:
        model: A `ConvUNext`, with or without deep supervision.
    """
    if len(model.outputs) == 1:
        return model
    return keras.Model(model.inputs[0], model.outputs[0], name=f"{model.name}_inference")
