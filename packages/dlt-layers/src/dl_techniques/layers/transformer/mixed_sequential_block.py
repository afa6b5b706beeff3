"""A block that reads a sequence with an LSTM, with attention, or with both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Fraction,
    PositiveNumber,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.initializers.orthonormal_initializer import OrthonormalInitializer
from dl_techniques.layers.arguments import (
    require_integers,
)
from dl_techniques.layers.attention.attend import all_of
from dl_techniques.layers.attention.group_query_attention import GroupQueryAttention
from dl_techniques.layers.ffn.mlp_block import MLPBlock
from dl_techniques.layers.norm_choice import choose_norm
from dl_techniques.layers.parts import build_part, call_part, offset_seed
from dl_techniques.layers.same_shape import SameShape


@component(
    "dl_techniques>MixedSequentialBlock",
    kind="layer",
    tags=("transformer", "recurrent", "time-series"),
    paper="arXiv:2505.23719",
    since="0.1",
)
class MixedSequentialBlock(SameShape):
    """Pre-norm block with an LSTM, attention, or both, before a feed-forward block.

    x <- x + LSTM(norm_1(x)) if `block_type` is `"lstm"` or `"mixed"`;
    x <- x + MHA(norm_2(x)) if it is `"transformer"` or `"mixed"`;
    x <- x + FFN(norm_3(x)).

    A design of this library's own, inspired by TiRex, which itself stacks sLSTM and feed-forward
    blocks without attention.

    Args:
        embed_dim: Features of the tokens; `None`, the default, takes them from the input.
        num_heads: Number of attention heads; divides the features.
        lstm_units: Units of the LSTM; if they are not the features, a dense layer maps them back.
            `None` for as many as features.
        ff_dim: Hidden width of the feed-forward block; `None` for four times the features.
        block_type: `"lstm"`, `"transformer"` or `"mixed"`.
        dropout: Rate of dropout at the end of each branch and in the feed-forward block.
        use_layer_norm: Whether to normalize before each branch.
        norm: Normalization: `"layer"`, `"rms"`, or anything that names or is a layer.
        norm_epsilon: Epsilon of a norm that is chosen by name.
        activation: Activation of the feed-forward block.
        qkv_bias: Whether queries, keys and values have biases; the output always has.
        causal: Whether attention hides later tokens. The LSTM does unless it is bidirectional.
        seed: Seed of all dropouts.
        bidirectional: Whether a second LSTM reads the sequence backwards; a dense layer then maps
            both to the features.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: A sequence.
        mask: `(batch, T)`, nonzero = a real token. The LSTM carries its state over the others,
            and attention does not see them.

    Input shape:
        `(batch, T, features)`; T may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If an argument is out of range, or the features are others than `embed_dim`.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import MixedSequentialBlock
        >>> layer = MixedSequentialBlock(None, num_heads=2, lstm_units=3, ff_dim=6)
        >>> tuple(layer(keras.ops.ones((2, 4, 6))).shape)
        (2, 4, 6)

    References:
        Auer et al., "TiRex: Zero-Shot Forecasting Across Long and Short Horizons with Enhanced
        In-Context Learning", arXiv:2505.23719.
    """

    def __init__(
        self,
        embed_dim: int | None = None,
        num_heads: Count = 8,
        lstm_units: int | None = None,
        ff_dim: int | None = None,
        block_type: Literal["lstm", "transformer", "mixed"] = "mixed",
        dropout: Fraction = 0.0,
        use_layer_norm: bool = True,
        norm: Any = "layer",
        norm_epsilon: PositiveNumber = 1e-5,
        activation: ActivationLike | None = "gelu",
        qkv_bias: bool = True,
        causal: bool = False,
        seed: int | None = None,
        bidirectional: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, size in (
            ("embed_dim", embed_dim),
            ("lstm_units", lstm_units),
            ("ff_dim", ff_dim),
        ):
            if size is not None:
                require_integers(**{name: size})
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.lstm_units = lstm_units
        self.ff_dim = ff_dim
        self.block_type = block_type
        self.dropout = dropout
        self.use_layer_norm = use_layer_norm
        self.norm = norm
        self.norm_epsilon = norm_epsilon
        self.activation = activation
        self.qkv_bias = qkv_bias
        self.causal = causal
        self.seed = seed
        self.bidirectional = bidirectional
        self.branches = [
            *(["lstm"] if block_type != "transformer" else []),
            *(["attention"] if block_type != "lstm" else []),
            "ffn",
        ]
        self.norms = [
            choose_norm(norm, epsilon=norm_epsilon, dtype=self.dtype_policy)
            if use_layer_norm
            else None
            for _ in self.branches
        ]
        self.drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Build the chosen branches and their norms."""
        features = input_shape[-1]
        if len(input_shape) != 3 or features is None or self.embed_dim not in {None, features}:
            raise ValueError(
                "The input must be (batch, tokens, features) with `embed_dim` features. "
                f"Received: embed_dim={self.embed_dim}, input_shape={tuple(input_shape)}"
            )
        self.lstm = self.backward_lstm = self.lstm_dense = self.attention = None
        if "lstm" in self.branches:
            units = self.lstm_units or features
            self.lstm = self._make_lstm(units, "lstm")
            self.lstm.build(input_shape)
            if self.bidirectional:
                self.backward_lstm = self._make_lstm(units, "backward_lstm", go_backwards=True)
                self.backward_lstm.build(input_shape)
                units *= 2
            if units != features or self.bidirectional:
                self.lstm_dense = keras.layers.Dense(
                    features, dtype=self.dtype_policy, name="lstm_dense"
                )
                self.lstm_dense.build((None, None, units))
        if "attention" in self.branches:
            self.attention = GroupQueryAttention(
                self.num_heads,
                self.num_heads,
                use_bias=self.qkv_bias,
                use_output_bias=True,
                dtype=self.dtype_policy,
                name="attention",
            )
            self.attention.build(input_shape)
        self.ffn = MLPBlock(
            self.ff_dim or 4 * features,
            activation=self.activation,
            dropout=self.dropout,
            seed=offset_seed(self.seed, 1),
            dtype=self.dtype_policy,
            name="ffn",
        )
        for part in (self.ffn, *self.norms):
            build_part(part, input_shape)

    def call(
        self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        """Run the chosen branches, each with its residual."""
        real = all_of(mask)
        x = inputs
        for branch, norm in zip(self.branches, self.norms, strict=True):
            x = x + getattr(self, f"_{branch}")(call_part(norm, x, training), real, training)
        return x

    def _make_lstm(self, units: int, name: str, go_backwards: bool = False) -> Any:
        return keras.layers.LSTM(
            units,
            return_sequences=True,
            go_backwards=go_backwards,
            # The same distribution as Keras's "orthogonal", whose QR factorization no
            # backend has in half precision.
            recurrent_initializer=OrthonormalInitializer(),
            dtype=self.dtype_policy,
            name=name,
        )

    def _lstm(self, x: Tensor, real: Tensor | None, training: bool | None) -> Tensor:
        assert self.lstm is not None
        y = self.lstm(x, mask=real, training=training)
        if self.backward_lstm is not None:
            back = self.backward_lstm(x, mask=real, training=training)
            y = ops.concatenate([y, ops.flip(back, axis=1)], axis=-1)
        y = y if self.lstm_dense is None else self.lstm_dense(y)
        return self.drop(y, training=training)

    def _attention(self, x: Tensor, real: Tensor | None, training: bool | None) -> Tensor:
        assert self.attention is not None
        y = self.attention(x, padding_mask=real, use_causal_mask=self.causal, training=training)
        return self.drop(y, training=training)

    def _ffn(self, x: Tensor, real: Tensor | None, training: bool | None) -> Tensor:
        del real  # each token is transformed by itself
        return self.ffn(x, training=training)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Both branches, attention alone without norms, and an LSTM that reads both ways."""
        tokens = TensorSpec((2, 4, 6))
        yield Example(cls, {}, TensorSpec((2, 4, 8)), dead=("attention/key/bias",))
        plain: dict[str, Any] = {"num_heads": 2, "ff_dim": 6, "qkv_bias": False, "causal": True}
        plain |= {"block_type": "transformer", "use_layer_norm": False}
        yield Example(cls, plain, tokens, name="transformer")
        both_ways = {"num_heads": 1, "lstm_units": 3, "block_type": "lstm", "bidirectional": True}
        yield Example(cls, both_ways, tokens, name="bidirectional")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers out of range, unknown words, other features."""
        good = {"embed_dim": 8, "num_heads": 2}
        yield Rejection(cls, {**good, "lstm_units": 0}, "lstm_units")
        yield Rejection(cls, {**good, "ff_dim": -1}, "ff_dim")
        yield Rejection(cls, {**good, "norm": "no_such"}, "norm")
        yield Rejection(cls, good, "embed_dim", build=(None, 4, 6))
        yield Rejection(cls, {**good, "num_heads": 3}, "num_heads", build=(None, 4, 8))
