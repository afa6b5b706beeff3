"""The scaled cosines of images and texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from dl_techniques.constraints import ValueRangeConstraint
from dl_techniques.core import (
    Example,
    Layer,
    PositiveNumber,
    Rejection,
    Tensor,
    TensorSpec,
    component,
    upcast,
)

_TINY = 1e-12


@component(
    "dl_techniques>CLIPLogits",
    kind="layer",
    tags=("contrastive", "vision-language"),
    paper="arXiv:2103.00020",
    since="0.1",
)
class CLIPLogits(Layer):
    """Compares images and texts: the cosines of their embeddings, times a learned scale.

    S_ij = exp(s) <i_i / |i_i|, t_j / |t_j|>

    The computation is in float32 at least. A constraint keeps the scale between 1 / max_scale
    and max_scale while the layer is trained; loaded weights are used as they are.

    Args:
        temperature: Initial temperature, the inverse of the initial scale exp(s).
        max_scale: Largest scale in training, at least 1 / temperature.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        A list of embeddings of images, `(images, dim)`, and of texts, `(texts, dim)`.

    Output shape:
        A dictionary: `image_embeds`, `(images, dim)`, and `text_embeds`, `(texts, dim)`, both of
        unit length; `logits_per_image`, `(images, texts)`; `logits_per_text`, its transpose;
        `logit_scale`, `(images,)`, the scale exp(s), the same for each image.

    Raises:
        ValueError: If a setting is not positive, the initial scale is above `max_scale`, or the
            embeddings have different widths.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from dl_techniques.models.clip import CLIPLogits
        >>> y = CLIPLogits(temperature=0.1)([np.array([[3.0, 4.0]]), np.array([[0.0, 2.0]])])
        >>> keras.ops.convert_to_numpy(y["logits_per_image"]).round(4).tolist()
        [[8.0]]

    References:
        Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
        arXiv:2103.00020.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "mixed_policies": "logits stay in float32: the largest scale makes half precision coarse"
    }

    def __init__(
        self,
        temperature: PositiveNumber = 0.07,
        max_scale: PositiveNumber = 100.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 1 <= temperature * max_scale <= max_scale**2:
            raise ValueError(
                "`max_scale` must be at least 1 / temperature, and at least temperature. "
                f"Received: max_scale={max_scale}, temperature={temperature}"
            )
        self.temperature = temperature
        self.max_scale = max_scale

    def build(self, input_shape: Any) -> None:
        """Create the logarithm of the scale."""
        images, texts = input_shape
        if len(images) != 2 or len(texts) != 2 or images[-1] != texts[-1]:
            raise ValueError(
                "The inputs must be embeddings (images, dim) and (texts, dim) of one width. "
                f"Received: input_shape={input_shape}"
            )
        self.logit_scale = self.add_weight(
            name="logit_scale",
            shape=(),
            # In half precision it is off by 1 in 1000.
            autocast=False,
            initializer=keras.initializers.Constant(-math.log(self.temperature)),
            constraint=ValueRangeConstraint(-math.log(self.max_scale), math.log(self.max_scale)),
        )

    def call(self, inputs: Any) -> dict[str, Tensor]:
        """Normalize, compare, scale."""
        images, texts = (_unit(x) for x in inputs)
        scale = ops.exp(ops.cast(ops.convert_to_tensor(self.logit_scale), images.dtype))
        logits = scale * ops.matmul(images, ops.transpose(texts))
        return {
            "image_embeds": images,
            "logit_scale": ops.broadcast_to(scale, (ops.shape(images)[0],)),
            "logits_per_image": logits,
            "logits_per_text": ops.transpose(logits),
            "text_embeds": texts,
        }

    def compute_output_spec(self, inputs: Any) -> dict[str, keras.KerasTensor]:
        """The five outputs."""
        (images, dim), (texts, _) = (x.shape for x in inputs)
        shapes = {
            "image_embeds": (images, dim),
            "logit_scale": (images,),
            "logits_per_image": (images, texts),
            "logits_per_text": (texts, images),
            "text_embeds": (texts, dim),
        }
        half = self.compute_dtype in {"float16", "bfloat16"}
        dtype = "float32" if half else self.compute_dtype
        return {name: keras.KerasTensor(shape, dtype) for name, shape in shapes.items()}

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """As many images as texts, and fewer."""
        traits = frozenset({"couples_batch"})
        yield Example(cls, {}, [TensorSpec((3, 4)), TensorSpec((3, 4))], traits=traits)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """A scale beyond the largest, other widths."""
        yield Rejection(cls, {"temperature": 0.001}, "max_scale")
        yield Rejection(cls, {}, "input_shape", build=[(None, 4), (None, 5)])


def _unit(x: Tensor) -> Tensor:
    """Vectors of unit length; zero stays zero."""
    x = upcast(x)
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, _TINY))
