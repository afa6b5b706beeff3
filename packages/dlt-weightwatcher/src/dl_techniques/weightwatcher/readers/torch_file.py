"""PyTorch's .pt, .pth, .bin and .ckpt files, read by dlt-weights: which tensors are the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dl_techniques.weights.readers import values as found
from dl_techniques.weights.readers.torch_file import Place, read_content
from dl_techniques.weights.readers.torch_names import Tensor
from dl_techniques.weightwatcher.readers.checkpoint import tensors_of
from dl_techniques.weightwatcher.readers.scaled import Scaled
from dl_techniques.weightwatcher.readers.values import Held, Values, adopted
from dl_techniques.weightwatcher.readers.weight import Skipped, SourceError


def read_torch(path: Path) -> tuple[dict[str, Values], list[Skipped]]:
    """Name -> values of a checkpoint: a state dict, or dictionaries that hold some.

    Args:
        path: The file.

    Raises:
        SourceError: If it is damaged, is no state dict, or names anything beyond tensors.
    """
    content, place = read_content(path)
    values: dict[str, Values] = {}
    skipped: list[Skipped] = []
    for name, item, reason in tensors_of(content, _is_tensor):
        try:
            if reason:
                raise _NotRead(reason)
            values[name] = _values(item, place)
        except _NotRead as error:
            skipped.append(Skipped(name, item.shape, item.dtype, str(error)))
        except SourceError as error:
            raise SourceError(f"{path}: {error}") from error
    return values, skipped


class _NotRead(Exception):  # noqa: N818  # caught above
    """A tensor is not analysed."""


def _is_tensor(item: Any) -> bool:
    return isinstance(item, Tensor)


def _values(tensor: Tensor, place: Place) -> Values:
    placed = place(tensor)
    if isinstance(placed, found.Unread):
        raise _NotRead(placed.reason)
    codes = adopted(placed)
    if not tensor.quantizer:
        return codes
    scheme, *rest = tensor.quantizer
    if str(scheme).startswith("per_tensor"):
        scale, zero = (Held(np.asarray(float(number))) for number in rest[:2])
        return Scaled(codes, scale, zero=zero)
    if len(rest) != 3 or not all(isinstance(part, Tensor) for part in rest[:2]):
        raise _NotRead("quantized in a way that is not read")
    factors, zeros = (_values(part, place) for part in rest[:2])
    return Scaled(codes, factors, axes=(int(rest[2]),), zero=zeros)
