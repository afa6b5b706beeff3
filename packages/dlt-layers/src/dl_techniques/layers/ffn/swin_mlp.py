"""The feed-forward block of Swin transformers."""

from __future__ import annotations

from dl_techniques.core import component
from dl_techniques.layers.ffn.mlp_block import MLPBlock


@component(
    "dl_techniques>SwinMLP",
    kind="layer",
    tags=("ffn", "transformer", "vision"),
    paper="arXiv:2103.14030",
    since="0.1",
)
class SwinMLP(MLPBlock):
    """Feed-forward block of Swin transformers: an `MLPBlock` with GELU.

    y = drop(drop(gelu(x W_1 + b_1)) W_2 + b_2)

    Not to be confused with the architecture Swin-MLP, which mixes the tokens of a window by
    grouped dense layers instead of attention; this block treats each token by itself.

    Args:
        hidden_dim: Width in the middle; in Swin transformers four times the input's.
        **kwargs: Settings of `MLPBlock` (`output_dim`, `activation`); settings of `FeedForward`
            (`dropout`, `use_bias`, initializers, regularizers, `seed`) and arguments of
            `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; only the features must be known.

    Output shape:
        `(batch, ..., output_dim)`.

    Raises:
        ValueError: If a width or a rate is out of range, the activation or the features are
            unknown.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import SwinMLP
        >>> tuple(SwinMLP(24)(keras.ops.ones((2, 7, 7, 6))).shape)
        (2, 7, 7, 6)

    References:
        Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
        arXiv:2103.14030.
    """
