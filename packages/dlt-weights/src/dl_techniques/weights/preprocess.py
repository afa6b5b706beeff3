"""Preprocess images for a pretrained model, in NumPy and equal to Pillow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from dl_techniques.weights.resampling import FILTERS, resize, resize_bytes

_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "resize": ("short", "long", "squash"),
    "pad": ("none", "black", "zero"),
    "rounding": ("uint8", "float"),
    "filter": tuple(FILTERS),
}


@dataclass(frozen=True)
class Preprocess:
    """Resizing, cropping or padding, and normalisation of images; plain data, kept as JSON.

    y = (x / 255 * (high - low) + low - mean) / std, after the image was resized and cropped.

    Args:
        size: Height and width of the result; one number for a square.
        crop_pct: Part of the resized image that the centre crop keeps.
        resize: `"short"` brings the short side to size / crop_pct and crops, `"long"` brings the
            long side there and pads, `"squash"` distorts.
        filter: `"box"`, `"bilinear"`, `"bicubic"` or `"lanczos"`, as Pillow has them.
        antialias: Whether the filter grows with the step, as Pillow's does.
        pad: Padding of `"long"`: `"black"` before, or `"zero"` after the normalisation.
        mean: Of each channel.
        std: Of each channel.
        range: The values of 0 and 255 before the normalisation.
        rounding: `"uint8"` rounds as Pillow does, `"float"` never.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weights import Preprocess, Preprocessor
        >>> preprocessor = Preprocessor(Preprocess(size=2, mean=(0.5,) * 3, std=(0.5,) * 3))
        >>> preprocessor(np.full((4, 6, 3), 255, "uint8")).shape
        (1, 2, 2, 3)
    """

    size: int | tuple[int, int]
    crop_pct: float = 1.0
    resize: str = "short"
    filter: str = "bicubic"
    antialias: bool = True
    pad: str = "none"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    range: tuple[float, float] = (0.0, 1.0)
    rounding: str = "uint8"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                received = f"{name}={getattr(self, name)!r}"
                raise ValueError(f"`{name}` must be one of {choices}. Received: {received}")
        # JSON has lists only.
        for name in ("mean", "std", "range"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        if not isinstance(self.size, int):
            object.__setattr__(self, "size", tuple(self.size))
        sizes = self.shape
        if len(sizes) != 2 or not all(isinstance(n, int) and n > 0 for n in sizes):
            raise ValueError(f"`size` must be positive. Received: size={self.size}")
        if not 0.0 < self.crop_pct <= 1.0:
            raise ValueError(f"`crop_pct` must be in (0, 1]. Received: crop_pct={self.crop_pct}")
        if len(self.mean) != len(self.std) or not all(s > 0 for s in self.std):
            raise ValueError(
                "`mean` and `std` must have one number a channel, `std` above zero. "
                f"Received: mean={self.mean}, std={self.std}"
            )
        if (self.pad == "none") == (self.resize == "long"):
            raise ValueError(
                "`pad` must be given with resize='long', and only then. "
                f"Received: pad={self.pad!r}, resize={self.resize!r}"
            )
        if self.rounding == "uint8" and not self.antialias:
            raise ValueError(
                "`rounding` must be 'float' without `antialias`: Pillow always has it."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the result."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def to_json(self) -> dict[str, Any]:
        """The arguments, of types that JSON has."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width to which an image is resized before it is cropped or padded.

        Args:
            height: Of the image.
            width: Of the image.
        """
        wanted = tuple(math.floor(n / self.crop_pct) for n in self.shape)
        if self.resize == "squash":
            return wanted[0], wanted[1]
        factors = [n / old for n, old in zip(wanted, (height, width), strict=True)]
        decides = int(np.argmax(factors) if self.resize == "short" else np.argmin(factors))
        # The other side as torchvision has it: an exact quotient, rounded down.
        other = (wanted[decides] * (width, height)[decides]) // (height, width)[decides]
        other = max(other, 1)
        return (wanted[0], other) if decides == 0 else (other, wanted[1])


class Preprocessor:
    """Turns images into the input of a model.

    Args:
        preprocess: The recipe, or its arguments as a mapping.
    """

    def __init__(self, preprocess: Preprocess | Mapping[str, Any]) -> None:
        given = preprocess if isinstance(preprocess, Preprocess) else Preprocess(**preprocess)
        self.preprocess = given

    def __call__(self, images: Any) -> Any:
        """Prepare one image or several.

        Args:
            images: An image (height, width, channels) of bytes, a batch of these, or a list of
                images of any size; Pillow's images count as arrays.

        Returns:
            (batch, height, width, channels) in float32.

        Raises:
            ValueError: If an image is not of bytes, or its channels are not those of `mean`.
        """
        return np.stack([self._one(image) for image in self._listed(images)]).astype(np.float32)

    def _listed(self, images: Any) -> Iterable[Any]:
        if isinstance(images, Sequence):
            return [np.asarray(image) for image in images]
        array = np.asarray(images)
        return array if array.ndim == 4 else [array]

    def _one(self, image: Any) -> Any:
        p = self.preprocess
        if image.ndim != 3 or image.shape[2] != len(p.mean) or image.dtype != np.uint8:
            raise ValueError(
                f"An image must be of uint8 and the shape (height, width, {len(p.mean)}). "
                f"Received: shape={image.shape}, dtype={image.dtype}"
            )
        size = p.resized(*image.shape[:2])
        if p.rounding == "uint8":
            resized = resize_bytes(image, size, p.filter)
        else:
            resized = resize(image, size, p.filter, antialias=p.antialias)
        if p.pad != "zero":
            resized = fit(resized, p.shape)
        low, high = p.range
        scaled = (resized / 255.0 * (high - low) + low - np.array(p.mean)) / np.array(p.std)
        return fit(scaled, p.shape)


def margins(old: int, new: int) -> tuple[int, int, int, int]:
    """Return the amounts that a centre crop or padding takes or adds on one axis.

    Args:
        old: Pixels there are.
        new: Pixels wanted.

    Returns:
        Pixels to add before and after, then to take before and after.
    """
    if new >= old:
        before = (new - old) // 2
        return before, new - old - before, 0, 0
    # Python's rounding of halves to even is torchvision's.
    before = round((old - new) / 2)
    return 0, 0, before, old - new - before


def fit(image: Any, shape: tuple[int, int]) -> Any:
    """Crop the centre of an image, or pad it with zeros around.

    Args:
        image: (height, width, channels).
        shape: The height and width wanted.
    """
    for axis, new in enumerate(shape):
        before, after, first, last = margins(image.shape[axis], new)
        pads = [(before, after) if a == axis else (0, 0) for a in range(image.ndim)]
        kept = slice(first, image.shape[axis] - last)
        image = np.pad(image[(slice(None),) * axis + (kept,)], pads)
    return image
