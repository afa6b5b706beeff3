"""Functions that make one variant each."""

from __future__ import annotations

from typing import Any

from dl_techniques.models.clip.clip_model import CLIPModel


def CLIPViTB32(weights: Any = None, **kwargs: Any) -> CLIPModel:  # noqa: N802  # as Keras names them
    """Make `CLIPModel("vit_b_32", ...)`.

    Args:
        weights: `None`, a tag such as `"openai"`, a file, or a `WeightEntry`.
        **kwargs: Further arguments of the model.
    """
    return CLIPModel("vit_b_32", weights=weights, **kwargs)


def CLIPViTB16(weights: Any = None, **kwargs: Any) -> CLIPModel:  # noqa: N802
    """Make `CLIPModel("vit_b_16", ...)`.

    Args:
        weights: `None`, a tag such as `"openai"`, a file, or a `WeightEntry`.
        **kwargs: Further arguments of the model.
    """
    return CLIPModel("vit_b_16", weights=weights, **kwargs)


def CLIPViTL14(weights: Any = None, **kwargs: Any) -> CLIPModel:  # noqa: N802
    """Make `CLIPModel("vit_l_14", ...)`.

    Args:
        weights: `None`, a tag such as `"openai"`, a file, or a `WeightEntry`.
        **kwargs: Further arguments of the model.
    """
    return CLIPModel("vit_l_14", weights=weights, **kwargs)


def CLIPViTL14At336(weights: Any = None, **kwargs: Any) -> CLIPModel:  # noqa: N802
    """Make `CLIPModel("vit_l_14_336", ...)`, for images of 336 pixels.

    Args:
        weights: `None`, a tag such as `"openai"`, a file, or a `WeightEntry`.
        **kwargs: Further arguments of the model.
    """
    return CLIPModel("vit_l_14_336", weights=weights, **kwargs)
