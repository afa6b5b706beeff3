"""Multi-head attention with an adaptive temperature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from dl_techniques.core import Count, Example, Rejection, TensorSpec, component
from dl_techniques.layers.arguments import require_integers
from dl_techniques.layers.attention.adaptive_softmax import COEFFICIENTS, AdaptiveSoftmax
from dl_techniques.layers.attention.attend import Normalizer
from dl_techniques.layers.attention.attention_layer import AttentionLayer


@component(
    "dl_techniques>AdaptiveMultiHeadAttention",
    kind="layer",
    tags=("attention", "transformer"),
    paper="arXiv:2410.01104",
    since="0.1",
)
class AdaptiveMultiHeadAttention(AttentionLayer):
    """Multi-head attention that sharpens dispersed weights by `AdaptiveSoftmax`.

    O = concat_h(softmax(Q K^T / (T sqrt(d))) V) W_o, with a temperature T for each head and
    query that depends on the entropy of softmax(Q K^T / sqrt(d)).

    Masks apply before the entropy is taken, so padding does not change the temperature. With
    `entropy_threshold=float("inf")`, and by default in training, it is multi-head attention. If
    there are fewer queries than keys, the causal mask counts the queries as the last tokens.

    Args:
        num_heads: Number of heads.
        key_dim: Width d of a head's queries and keys.
        value_dim: Width of a head's values; by default `key_dim`.
        dropout: Rate of dropped attention weights in training.
        use_bias: Whether the projections have biases.
        output_shape: Features of the output; by default the query's.
        min_temp: Smallest temperature.
        max_temp: Largest temperature.
        entropy_threshold: Distributions with at most this entropy, in nats, stay as they are.
        polynomial_coeffs: Coefficients of the inverse temperature, highest degree first.
        apply_in_training: Whether to adapt in training too.
        differentiate_temperature: Whether gradients flow through T.
        **kwargs: Settings of `AttentionLayer` (`use_output_bias`, `kernel_initializer`,
            `bias_initializer`, `kernel_regularizer`, `bias_regularizer`, `kernel_constraint`,
            `bias_constraint`, `seed`); arguments of `keras.layers.Layer`.

    Call arguments:
        query: `(batch, T, features)`.
        value: `(batch, S, features)`; by default the query.
        key: `(batch, S, features)`; by default the value.
        attention_mask: Which keys each query may see, nonzero = may: `(T, S)`, `(batch, T, S)`
            or `(batch, 1 | heads, T, S)`.
        padding_mask: `(batch, S)`, nonzero = a real token; combined with the tokens' own masks.
        use_causal_mask: Whether later tokens are hidden.
        return_attention_scores: Whether to return the weights `(batch, heads, T, S)` too.

    Input shape:
        `(batch, T, features)`.

    Output shape:
        `(batch, T, output_shape)`.

    Raises:
        ValueError: If a size is not positive, or a temperature out of range.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import AdaptiveMultiHeadAttention
        >>> layer = AdaptiveMultiHeadAttention(num_heads=2, key_dim=4)
        >>> tuple(layer(keras.ops.ones((2, 5, 8)), use_causal_mask=True).shape)
        (2, 5, 8)

    References:
        Velickovic et al., "softmax is not enough (for sharp out-of-distribution)",
        arXiv:2410.01104.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": (
            "by default the temperature has no gradient and training does not adapt it, as in "
            "the paper; central differences see it"
        )
    }

    def __init__(
        self,
        num_heads: int,
        key_dim: Count,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | None = None,
        min_temp: float = 0.1,
        max_temp: float = 1.0,
        entropy_threshold: float = 0.5,
        polynomial_coeffs: Sequence[float] = COEFFICIENTS,
        apply_in_training: bool = False,
        differentiate_temperature: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_heads, dropout=dropout, use_bias=use_bias, **kwargs)
        for name, size in (("value_dim", value_dim), ("output_shape", output_shape)):
            if size is not None:
                require_integers(**{name: size})
        self.key_dim = self.key_width = key_dim
        self.value_dim = value_dim
        self.value_width = value_dim or key_dim
        self.output_shape = self.output_width = output_shape
        self.min_temp = min_temp
        self.max_temp = max_temp
        self.entropy_threshold = entropy_threshold
        self.polynomial_coeffs = tuple(polynomial_coeffs)
        self.apply_in_training = apply_in_training
        self.differentiate_temperature = differentiate_temperature
        self.adaptive_softmax = AdaptiveSoftmax(
            min_temp=min_temp,
            max_temp=max_temp,
            entropy_threshold=entropy_threshold,
            polynomial_coeffs=polynomial_coeffs,
            apply_in_training=apply_in_training,
            differentiate_temperature=differentiate_temperature,
            dtype=self.dtype_policy,
            name="adaptive_softmax",
        )

    def normalizer(self, training: bool | None) -> Normalizer | None:
        """The adaptive softmax, on logits that stay in float32."""
        if training and not self.apply_in_training:
            return None
        return lambda logits: self.adaptive_softmax.normalize(logits, training)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Self-attention; causal, with other widths, adapted in training too."""
        tokens = TensorSpec((2, 5, 8))
        config = {
            "num_heads": 2,
            "key_dim": 4,
            "use_bias": False,
            "apply_in_training": True,
            "differentiate_temperature": True,
        }
        yield Example(cls, config, tokens, traits=frozenset({"permutation_equivariant"}))
        yield Example(
            cls,
            {**config, "value_dim": 3, "output_shape": 6},
            tokens,
            call={"use_causal_mask": True},
            name="causal",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid sizes and temperatures."""
        good = {"num_heads": 2, "key_dim": 4}
        yield Rejection(cls, {**good, "value_dim": -1}, "value_dim")
        yield Rejection(cls, {**good, "min_temp": 2.0}, "min_temp")
        yield Rejection(cls, good, "query", build=(2, 8))
