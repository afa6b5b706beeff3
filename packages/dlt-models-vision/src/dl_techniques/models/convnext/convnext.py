"""Base of both versions of ConvNeXt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from dl_techniques.core import Tensor
from dl_techniques.layers.arguments import (
    require_integers,
    require_positive_numbers,
    require_shares,
)
from dl_techniques.models.vision.graph import (
    classifier,
    drop_path_rates,
    image_input,
    pooled,
    require_ends,
    truncated_normal,
)
from dl_techniques.models.vision.vision_model import VisionModel


class Size(NamedTuple):
    """The settings of a variant."""

    depths: tuple[int, int, int, int]
    dims: tuple[int, int, int, int]


class ConvNeXt(VisionModel):
    """A stem, four stages of blocks with a step down between them, a mean, a norm, a classifier."""

    block = r"stage\d+_block\d+"

    def assemble(
        self, make_block: Callable[..., Any], given: Mapping[str, Any], kwargs: Mapping[str, Any]
    ) -> None:
        """Make the graph, store the parameters and load the weights.

        Args:
            make_block: Called with `drop_path`, `seed` and `name` for each block.
            given: The parameters of the constructor.
            kwargs: Its further arguments.
        """
        size: Size = self.settings_of(given["variant"])
        depths = _four("depths", given["depths"] or size.depths)
        dims = _four("dims", given["dims"] or size.dims)
        require_ends(given["classes"], given["pooling"])
        require_integers(stem_strides=given["stem_strides"])
        require_shares(drop_path=given["drop_path"])
        require_positive_numbers(norm_epsilon=given["norm_epsilon"])
        source = self.source_of(given["variant"], given["weights"], given["accept_license"])
        preprocess = self.preprocess_of(source, given["preprocess"], given["variant"])
        inputs, x = image_input(given["input_shape"], preprocess, given["include_preprocessing"])
        norm = _Norm(given["norm_epsilon"])
        x = norm(_patches(x, dims[0], given["stem_strides"], "stem"), "stem_norm")
        rates = iter(drop_path_rates(given["drop_path"], sum(depths)))
        seed, levels, number = given["seed"], [], 0
        for stage, (depth, dim) in enumerate(zip(depths, dims, strict=True)):
            if stage:
                x = _patches(norm(x, f"down{stage}_norm"), dim, 2, f"down{stage}")
            for i in range(depth):
                name = f"stage{stage}_block{i}"
                own_seed = None if seed is None else seed + number
                x = make_block(drop_path=next(rates), seed=own_seed, name=name)(x)
                number += 1
            levels.append(f"stage{stage}_block{depth - 1}")
        x = pooled(x, "avg" if given["include_top"] else given["pooling"])
        x = norm(x, "norm")
        if given["include_top"]:
            x = classifier(x, given["classes"], given["classifier_activation"])
        super().__init__(inputs, x, **kwargs)
        self.keep(given)
        self.finish(levels, source, given["accept_license"])

    @classmethod
    def signature_of(cls, variant: str) -> tuple[int, int]:
        """All blocks, and the last width."""
        size = cls.settings_of(variant)
        return sum(size.depths), size.dims[-1]


class _Norm:
    """Makes layer normalizations of one epsilon."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def __call__(self, x: Tensor, name: str) -> Tensor:
        return keras.layers.LayerNormalization(epsilon=self.epsilon, name=name)(x)


def _patches(x: Tensor, filters: int, side: int, name: str) -> Tensor:
    """A convolution of whole patches."""
    return keras.layers.Conv2D(
        filters,
        side,
        strides=side,
        kernel_initializer=truncated_normal(),
        data_format="channels_last",
        name=name,
    )(x)


def _four(name: str, values: Sequence[int]) -> tuple[int, ...]:
    if len(values) != 4:
        raise ValueError(f"`{name}` must be four numbers. Received: {name}={values}")
    for value in values:
        require_integers(**{name: value})
    return tuple(values)
