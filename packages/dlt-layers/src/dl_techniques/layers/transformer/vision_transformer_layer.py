"""The block of vision transformers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Fraction,
    InitializerLike,
    PositiveNumber,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    resolve,
)
from dl_techniques.layers.attention.group_query_attention import GroupQueryAttention
from dl_techniques.layers.layer_scale import LayerScale
from dl_techniques.layers.norm_choice import choose_norm
from dl_techniques.layers.parts import build_part, call_part, fresh_initializer, offset_seed
from dl_techniques.layers.same_shape import SameShape
from dl_techniques.layers.stochastic_depth import StochasticDepth


@component(
    "dl_techniques>VisionTransformerLayer",
    kind="layer",
    tags=("transformer", "attention", "vision"),
    paper="arXiv:2010.11929",
    since="0.1",
)
class VisionTransformerLayer(SameShape):
    """Transformer block: attention and a feed-forward block, each with a norm and a residual.

    For `norm_position="pre"`, with S the optional `LayerScale`:
    x <- x + drop(S_1(MHA(norm_1(x)))), x <- x + drop(S_2(FFN(norm_2(x)))).
    For `"post"` x <- norm(x + drop(S(f(x)))); for `"sandwich"` x <- x + drop(S(norm'(f(norm(x))))).

    Args:
        num_heads: Number of heads; divides the features.
        mlp_ratio: Hidden width of the feed-forward block, as a multiple of the features.
        mlp_dim: Hidden width itself, in the place of `mlp_ratio`.
        qkv_bias: Whether queries, keys and values have biases; the output always has.
        qk_norm: Whether queries and keys are RMS-normalized over each head.
        layer_scale_init: Initial gain of `LayerScale`; `None` for no such gain.
        drop_path: Probability that a branch is dropped for a sample in training.
        attention_dropout: Rate of dropped attention weights in training.
        dropout: Rate of dropout after attention and in the feed-forward block.
        norm: Normalization: `"layer"`, `"rms"`, `"none"`, or anything that names or is a layer.
        norm_epsilon: Epsilon of a norm that is chosen by name.
        norm_position: `"pre"`, `"post"` or `"sandwich"`.
        activation: Activation of the feed-forward block, if its class takes one.
        ffn: The feed-forward block: a name such as `"MLPBlock"` or `"SwiGLUFFN"`, which is given
            `hidden_dim`, `activation` and `dropout` as far as it takes them; or a configuration
            or layer.
        seed: Seed of all dropouts.
        kernel_initializer: Initializer of the kernels of attention, and of the feed-forward block
            if its class takes one.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens.
        attention_mask: Which tokens each one may see, nonzero = may: `(T, T)`, `(batch, T, T)` or
            `(batch, 1 | heads, T, T)`.
        padding_mask: `(batch, T)`, nonzero = a real token; combined with the tokens' own mask.
        use_causal_mask: Whether later tokens are hidden.

    Input shape:
        `(batch, T, features)`; T may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If an argument is out of range, or the heads do not divide the features.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import VisionTransformerLayer
        >>> layer = VisionTransformerLayer(num_heads=2, mlp_dim=8, layer_scale_init=1e-5)
        >>> tuple(layer(keras.ops.ones((2, 5, 8))).shape)
        (2, 5, 8)

    References:
        Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at
        Scale", arXiv:2010.11929.
    """

    def __init__(
        self,
        num_heads: Count,
        mlp_ratio: PositiveNumber = 4.0,
        mlp_dim: Count | None = None,
        qkv_bias: bool = True,
        qk_norm: bool = False,
        layer_scale_init: float | None = None,
        drop_path: Fraction = 0.0,
        attention_dropout: Fraction = 0.0,
        dropout: Fraction = 0.0,
        norm: Any = "layer",
        norm_epsilon: PositiveNumber = 1e-6,
        norm_position: Literal["pre", "post", "sandwich"] = "pre",
        activation: ActivationLike | None = "gelu",
        ffn: Any = "MLPBlock",
        seed: int | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.mlp_dim = mlp_dim
        self.qkv_bias = qkv_bias
        self.qk_norm = qk_norm
        self.layer_scale_init = layer_scale_init
        self.drop_path = drop_path
        self.attention_dropout = attention_dropout
        self.dropout = dropout
        self.norm = norm
        self.norm_epsilon = norm_epsilon
        self.norm_position = norm_position
        self.activation = activation
        self.ffn = ffn
        self.seed = seed
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.attention = GroupQueryAttention(
            num_heads,
            num_heads,
            qk_norm=qk_norm,
            dropout=attention_dropout,
            use_bias=qkv_bias,
            use_output_bias=True,
            kernel_initializer=self.kernel_initializer,
            seed=seed,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.norms = [self._norm() for _ in range(4 if norm_position == "sandwich" else 2)]
        self.scales = [self._scale(layer_scale_init) for _ in range(2)]
        self.drop_paths = [
            StochasticDepth(drop_path, seed=offset_seed(seed, i), dtype=self.dtype_policy)
            for i in range(2)
        ]
        self.attention_drop = keras.layers.Dropout(
            dropout, seed=offset_seed(seed, 2), dtype=self.dtype_policy
        )
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Build attention, feed-forward block, norms and gains."""
        features = input_shape[-1]
        if len(input_shape) != 3 or features is None:
            raise ValueError(
                "The input must be (batch, tokens, features) with known features. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.attention.build(input_shape)
        self.ffn_layer = resolve(
            self.ffn,
            kind="layer",
            argument="ffn",
            hidden_dim=self.mlp_dim or int(features * self.mlp_ratio),
            activation=self.activation,
            dropout=self.dropout,
            seed=offset_seed(self.seed, 3),
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            dtype=self.dtype_policy,
        )
        for part in (self.ffn_layer, *self.norms, *self.scales):
            build_part(part, input_shape)

    def call(
        self,
        inputs: Tensor,
        attention_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        training: bool | None = None,
        mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend, then transform each token."""

        def attend(x: Tensor) -> Tensor:
            x = self.attention(
                x,
                attention_mask=attention_mask,
                padding_mask=padding_mask,
                use_causal_mask=use_causal_mask,
                training=training,
                mask=mask,
                query_mask=inputs_mask,
            )
            return self.attention_drop(x, training=training)

        x = self._residual(inputs, attend, 0, training)
        return self._residual(x, lambda y: call_part(self.ffn_layer, y, training), 1, training)

    def _residual(self, x: Tensor, branch: Any, i: int, training: bool | None) -> Tensor:
        """One branch with its norms, gain, drop path and residual."""
        y = branch(x if self.norm_position == "post" else call_part(self.norms[i], x, training))
        if self.norm_position == "sandwich":
            y = call_part(self.norms[i + 2], y, training)
        scale = self.scales[i]
        y = y if scale is None else scale(y)
        x = x + self.drop_paths[i](y, training=training)
        return call_part(self.norms[i], x, training) if self.norm_position == "post" else x

    def _norm(self) -> Any:
        return choose_norm(self.norm, epsilon=self.norm_epsilon, dtype=self.dtype_policy)

    def _scale(self, initial: float | None) -> LayerScale | None:
        if initial is None:
            return None
        return LayerScale(initializer=keras.initializers.Constant(initial), dtype=self.dtype_policy)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The usual block, and one with everything else."""
        tokens = TensorSpec((2, 5, 8))
        yield Example(
            cls,
            {"num_heads": 2},
            tokens,
            traits=frozenset({"permutation_equivariant"}),
            dead=("attention/key/bias",),
        )
        yield Example(
            cls,
            {
                "num_heads": 2,
                "mlp_dim": 8,
                "qkv_bias": False,
                "qk_norm": True,
                "layer_scale_init": 0.5,
                "norm": "rms",
                "norm_position": "sandwich",
                "ffn": "SwiGLUFFN",
            },
            tokens,
            call={"use_causal_mask": True},
            name="sandwich",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers out of range, unknown words, heads that do not divide."""
        yield Rejection(cls, {"num_heads": 2, "norm": "no_such"}, "norm")
        yield Rejection(cls, {"num_heads": 2, "ffn": "NoSuch"}, "ffn", build=(None, 5, 8))
        yield Rejection(cls, {"num_heads": 3}, "num_heads", build=(None, 5, 8))
