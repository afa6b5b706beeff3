"""Root mean square normalization into a band."""

from __future__ import annotations

from dl_techniques.core import component
from dl_techniques.layers.norms.band import Band


@component(
    "dl_techniques>BandRMS",
    kind="layer",
    tags=("normalization", "experimental"),
    since="0.1",
)
class BandRMS(Band):
    """Root mean square normalization into a band: RMS(y) lies in [1 - alpha, 1].

    r = sqrt(mean(x^2)), y = s x / r, s = (1 - alpha) + alpha sigmoid(w)

    The mode `"learned"` has one trainable w for all: the width within the band is a constant of
    the layer, and y does not depend on the scale of x. The mode `"magnitude"` keeps some of it:
    w' = w + ln(r / r_0) takes the place of w, so that larger inputs get larger outputs. Both are
    this project's own; there is no paper. Computed in float32 at least; what a mask hides does
    not count.

    Args:
        max_band_width: alpha, between 0 and 1.
        epsilon: The least norm: zero input gives zeros.
        reference: r_0, of effect only in the mode `"magnitude"`.
        **kwargs: Settings of `Band` (`axis`, `mode`, `band_initializer`, `band_regularizer`);
            arguments of `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        The input's.

    Raises:
        ValueError: If a number is out of range, the mode is unknown, or `axis` is repeated or
            beyond the input's rank.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import BandRMS
        >>> y = BandRMS(max_band_width=0.2)(ops.array([[3.0, 4.0]]))  # s = 0.9
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [[0.7637, 1.0182]]

    References:
        Zhang and Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467 (without the
        band).
    """
