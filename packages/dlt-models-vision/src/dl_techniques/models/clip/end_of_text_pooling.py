"""The features of the token that ends a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import (
    Example,
    Layer,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    Whole,
    component,
)


@component(
    "dl_techniques>EndOfTextPooling",
    kind="layer",
    tags=("pooling", "text"),
    paper="arXiv:2103.00020",
    since="0.1",
)
class EndOfTextPooling(Layer):
    """Picks the features of the token that ends a text.

    y = x_e, with e the first position of the end token; of the largest number where it is missing.

    The largest number is the end token of CLIP's vocabulary, so that either way of padding, with
    zeros or with end tokens, gives the same features.

    Args:
        end_token: Number of the token that ends a text.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        A list of the features, `(batch, tokens, dim)`, and the numbers of the tokens,
        `(batch, tokens)`.

    Output shape:
        `(batch, dim)`.

    Raises:
        ValueError: If `end_token` is negative, or the shapes are not those of features and tokens.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.clip import EndOfTextPooling
        >>> features = np.array([[[1.0], [2.0], [3.0]]])
        >>> y = EndOfTextPooling(end_token=9)([features, np.array([[8, 9, 9]])])
        >>> float(y[0, 0])
        2.0

    References:
        Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
        arXiv:2103.00020.
    """

    def __init__(self, end_token: Whole = 49407, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.end_token = end_token

    def build(self, input_shape: Any) -> None:
        """Check the shapes; there are no weights."""
        if [len(shape) for shape in input_shape] != [3, 2]:
            raise ValueError(
                "The inputs must be features (batch, tokens, dim) and tokens (batch, tokens). "
                f"Received: input_shape={input_shape}"
            )

    def call(self, inputs: Any) -> Tensor:
        """Find the position and take its features."""
        features, tokens = inputs
        tokens = ops.cast(tokens, "int32")
        above_all = ops.max(tokens, axis=-1, keepdims=True) + 1
        ranked = ops.where(tokens == self.end_token, above_all, tokens)
        # Not `argmax`, which need not give the first of several.
        count = ops.shape(tokens)[1]
        places = ops.arange(count, dtype="int32")[None, :]
        best = ranked == ops.max(ranked, axis=-1, keepdims=True)
        first = ops.min(ops.where(best, places, count), axis=-1)
        return ops.take_along_axis(features, first[:, None, None], axis=1)[:, 0]

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """One vector a text."""
        features, _ = input_shape
        return (features[0], features[2])

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Texts with and without the token."""
        tokens = TensorSpec((3, 4), dtype="int32", low=0, high=6)
        inputs = [TensorSpec((3, 4, 2)), tokens]
        yield Example(cls, {}, inputs)
        yield Example(cls, {"end_token": 2}, inputs, name="present")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Features without tokens."""
        yield Rejection(cls, {}, "input_shape", build=[(None, 4, 2), (None, 4, 2)])
