"""Absolute positions, learned or sinusoidal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import keras
import numpy as np
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Fraction,
    InitializerLike,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.arguments import (
    require_integers,
    require_one_of,
)
from dl_techniques.layers.interpolation import resize_bicubic, resize_bilinear
from dl_techniques.layers.same_shape import SameShape

_INTERPOLATIONS = ("bilinear", "bicubic", "bicubic_plain", "bicubic_antialias")


@component(
    "dl_techniques>PositionalEmbedding",
    kind="layer",
    tags=("embedding", "position", "transformer"),
    paper="arXiv:1706.03762",
    since="0.1",
)
class PositionalEmbedding(SameShape):
    """Adds a vector for each absolute position, learned or sinusoidal.

    y_p = drop(x_p + E_p), with a learned table E, or with
    E[p, 2 i] = sin(p / theta^(2 i / D)), E[p, 2 i + 1] = cos(p / theta^(2 i / D)).

    A learned table may have two dimensions (`grid_size`), for maps of image patches; it is
    resized to maps of another size. With `prefix_tokens` the patches are a sequence, row by row,
    after as many tokens with vectors of their own, such as a class token.

    Args:
        max_seq_len: Number of positions; not with `grid_size`.
        kind: `"learned"` or `"sinusoidal"`.
        grid_size: Height and width of a learned table for inputs of rank 4.
        dropout: Rate of dropout in training.
        theta: Base of the sinusoidal frequencies.
        interpolation: How a grid is resized: `"bilinear"`, `"bicubic_plain"` (a = -0.75 without
            antialiasing, as DINOv2 was), `"bicubic_antialias"` (a = -0.5 with antialiasing, as timm
            does), or `"bicubic"` (Keras's, which differs a little from backend to backend).
        embeddings_initializer: Initializer of the learned table; `None` for a truncated normal
            with standard deviation 0.02.
        embeddings_regularizer: Regularizer of the learned table.
        seed: Seed of dropout.
        prefix_tokens: Number of tokens before the patches, with `grid_size`; `None` if the inputs
            are maps of patches.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens.
        start_index: Position of the first token, a number or a scalar tensor; for sequences.
        grid_shape: Height and width of the patches that a sequence holds; by default those of
            `grid_size`, or equal ones for another number of patches.

    Input shape:
        `(batch, tokens, D)`; tokens may be unknown, and must not exceed `max_seq_len`. Or
        `(batch, height, width, D)` with `grid_size`; or `(batch, prefix + height * width, D)` with
        `prefix_tokens` as well.

    Output shape:
        The input's.

    Raises:
        ValueError: If an argument is out of range, or there are more tokens than positions.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import PositionalEmbedding
        >>> layer = PositionalEmbedding(8, kind="sinusoidal")
        >>> y = keras.ops.convert_to_numpy(layer(keras.ops.zeros((1, 2, 2))))
        >>> y.astype("float64").round(3).tolist()
        [[[0.0, 1.0], [0.841, 0.54]]]

    References:
        Vaswani et al., "Attention Is All You Need", arXiv:1706.03762; resized grids: Dosovitskiy
        et al., arXiv:2010.11929.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": "either `max_seq_len` or `grid_size` must be given"
    }

    def __init__(
        self,
        max_seq_len: Count | None = None,
        kind: Literal["learned", "sinusoidal"] = "learned",
        grid_size: Sequence[int] | None = None,
        dropout: Fraction = 0.0,
        theta: PositiveNumber = 10000.0,
        interpolation: str = "bilinear",
        embeddings_initializer: InitializerLike | None = None,
        embeddings_regularizer: RegularizerLike | None = None,
        seed: int | None = None,
        prefix_tokens: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_one_of(_INTERPOLATIONS, interpolation=interpolation)
        if (max_seq_len is None) == (grid_size is None):
            raise ValueError(
                "One of `max_seq_len` and `grid_size` must be given. "
                f"Received: max_seq_len={max_seq_len}, grid_size={grid_size}"
            )
        self.max_seq_len = max_seq_len
        self.kind = kind
        self.grid_size = None if grid_size is None else tuple(grid_size)
        if self.grid_size is not None:
            if len(self.grid_size) != 2 or kind != "learned":
                raise ValueError(
                    "`grid_size` must be two numbers, for a learned table. "
                    f"Received: grid_size={grid_size}, kind={kind!r}"
                )
            for size in self.grid_size:
                require_integers(grid_size=size)
        if prefix_tokens is not None:
            require_integers(0, prefix_tokens=prefix_tokens)
            if grid_size is None:
                raise ValueError(
                    "`prefix_tokens` must be given with `grid_size`. "
                    f"Received: prefix_tokens={prefix_tokens}, grid_size=None"
                )
        self.prefix_tokens = prefix_tokens
        self.dropout = dropout
        self.theta = theta
        self.interpolation = interpolation
        self.embeddings_initializer = (
            keras.initializers.TruncatedNormal(stddev=0.02)
            if embeddings_initializer is None
            else keras.initializers.get(embeddings_initializer)
        )
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)
        self.seed = seed
        self.dropout_layer = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create the learned table, or compute the sinusoidal one."""
        maps = self.grid_size is not None and self.prefix_tokens is None
        rank, width = 4 if maps else 3, input_shape[-1]
        if len(input_shape) != rank or width is None:
            raise ValueError(
                f"The input must have rank {rank} and known features. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self._require_positions(input_shape[1], 0)
        positions = self.grid_size or (self.max_seq_len,)
        self.embeddings = None
        if self.kind == "learned":
            self.embeddings = self.add_weight(
                name="embeddings",
                shape=(*(size for size in positions if size is not None), width),
                initializer=self.embeddings_initializer,
                regularizer=self.embeddings_regularizer,
            )
            self.prefix_embeddings = None
            if self.prefix_tokens:
                self.prefix_embeddings = self.add_weight(
                    name="prefix_embeddings",
                    shape=(self.prefix_tokens, width),
                    initializer=self.embeddings_initializer,
                    regularizer=self.embeddings_regularizer,
                )
        else:
            exponents = np.arange(width) // 2 * 2 / width
            angles = np.arange(self.max_seq_len or 0)[:, None] * self.theta**-exponents
            self.table = np.where(np.arange(width) % 2, np.cos(angles), np.sin(angles))

    def call(
        self,
        inputs: Tensor,
        start_index: Tensor | int = 0,
        training: bool | None = None,
        grid_shape: Sequence[int] | None = None,
    ) -> Tensor:
        """Add the vectors in the compute dtype."""
        if self.prefix_tokens is not None:
            vectors = self._prefixed(inputs, grid_shape)
        elif self.grid_size:
            vectors = self._grid(ops.shape(inputs)[1:3])
        else:
            vectors = self._sequence(inputs, start_index)
        return self.dropout_layer(inputs + ops.cast(vectors, inputs.dtype), training=training)

    def _sequence(self, inputs: Tensor, start: Tensor | int) -> Tensor:
        tokens = ops.shape(inputs)[1]
        table = self.table if self.embeddings is None else self.embeddings
        if isinstance(tokens, int) and isinstance(start, int):
            self._require_positions(tokens, start)
            return table[start : start + tokens]
        return ops.take(ops.convert_to_tensor(table), ops.arange(tokens) + start, axis=0)

    def _prefixed(self, inputs: Tensor, grid_shape: Sequence[int] | None) -> Tensor:
        assert self.grid_size is not None
        assert self.prefix_tokens is not None
        tokens = inputs.shape[1]
        size = self.grid_size if grid_shape is None else tuple(grid_shape)
        if tokens is not None:
            patches = tokens - self.prefix_tokens
            if grid_shape is None and patches != math.prod(size):
                size = (math.isqrt(max(patches, 0)),) * 2
            if math.prod(size) != patches or patches < 1:
                raise ValueError(
                    "The patches must be those of `grid_size`, of a square, or of `grid_shape`. "
                    f"Received: {tokens} tokens, prefix_tokens={self.prefix_tokens}, "
                    f"grid_size={self.grid_size}, grid_shape={grid_shape}"
                )
        grid = ops.reshape(self._grid(size), (1, size[0] * size[1], -1))
        if self.prefix_embeddings is None:
            return grid
        prefix = ops.convert_to_tensor(self.prefix_embeddings)[None]
        return ops.concatenate([prefix, grid], axis=1)

    def _grid(self, size: tuple[Any, ...]) -> Tensor:
        assert self.embeddings is not None
        grid = ops.convert_to_tensor(self.embeddings)[None]
        if tuple(size) == self.grid_size:
            return grid
        if self.interpolation == "bilinear":
            return resize_bilinear(grid, (size[0], size[1]))
        if self.interpolation != "bicubic":
            return resize_bicubic(
                grid, (size[0], size[1]), antialias=self.interpolation == "bicubic_antialias"
            )
        return ops.image.resize(grid, size, interpolation="bicubic", data_format="channels_last")

    def _require_positions(self, tokens: int | None, start: int) -> None:
        if self.max_seq_len is None or tokens is None:
            return
        # A gather beyond the table is silent on JAX.
        if start < 0 or start + tokens > self.max_seq_len:
            raise ValueError(
                "Positions must be below `max_seq_len`. Received: "
                f"{tokens} tokens from start_index={start}, max_seq_len={self.max_seq_len}"
            )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Learned, sinusoidal from a later position, a resized grid."""
        tokens = TensorSpec((2, 5, 4))
        yield Example(cls, {"max_seq_len": 5}, tokens)
        yield Example(
            cls,
            {"max_seq_len": 9, "kind": "sinusoidal"},
            tokens,
            call={"start_index": 2},
            name="sinusoidal",
        )
        yield Example(cls, {"grid_size": (2, 2)}, TensorSpec((2, 4, 3, 4)), name="grid")
        prefixed = {"grid_size": (2, 3), "prefix_tokens": 2, "interpolation": "bicubic_plain"}
        call = {"grid_shape": (3, 2)}
        yield Example(cls, prefixed, TensorSpec((2, 8, 4)), call=call, name="prefixed")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No positions, unknown words, too many tokens."""
        yield Rejection(cls, {}, "max_seq_len")
        yield Rejection(cls, {"grid_size": (2,)}, "grid_size")
        yield Rejection(cls, {"grid_size": (2, 2), "kind": "sinusoidal"}, "grid_size")
        yield Rejection(cls, {"max_seq_len": 4, "prefix_tokens": 1}, "prefix_tokens")
        yield Rejection(cls, {"grid_size": (2, 2), "prefix_tokens": -1}, "prefix_tokens")
        yield Rejection(cls, {"grid_size": (2, 2), "interpolation": "cubic"}, "interpolation")
        yield Rejection(cls, {"max_seq_len": 4}, "max_seq_len", build=(None, 5, 2))
