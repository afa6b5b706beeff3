"""Opening a file of weights of any format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from dl_techniques.core.strict_json import StrictJSONError, parse
from dl_techniques.core.text import short_repr
from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers.values import Array, Values

_INDEX: Final = ".index.json"
_INDEX_LIMIT: Final = 1 << 26
SUFFIXES: Final = (
    *(".safetensors", ".safetensors.index.json", ".pt", ".pth", ".ckpt", ".bin", ".npz", ".npy"),
    *(".onnx", ".h5", ".hdf5", ".keras"),
)


class WeightFile(Mapping[str, Array]):
    """The tensors of a file by name; each is read when it is asked for.

    Args:
        path: The file.
        values: Name -> where the numbers are.
    """

    def __init__(self, path: Path, values: Mapping[str, Values]) -> None:
        self.path = path
        self._values = dict(values)

    def __getitem__(self, name: str) -> Array:
        return self._values[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<{self.path.name}: {len(self)} tensors>"

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it.

        Args:
            name: The tensor.
        """
        return self._values[name].shape

    def dtype(self, name: str) -> str:
        """The name of the dtype in which a tensor is stored, without reading it.

        Args:
            name: The tensor.
        """
        return self._values[name].dtype


def open_weights(path: str | os.PathLike[str], *, allow_stubs: bool = False) -> WeightFile:
    """Open a file of weights: safetensors, PyTorch, NumPy, ONNX or Keras.

    Nothing in a file is run, and none needs the library that wrote it. Tensors are memory-mapped
    where the file has them in one piece.

    Args:
        path: A `.safetensors`, `.pt`, `.pth`, `.ckpt`, `.bin`, `.npz`, `.npy`, `.onnx`, `.h5` or
            `.keras` file, or the index of several (`.index.json`).
        allow_stubs: Whether a PyTorch pickle may name classes that are not tensors. They become
            inert records, and tensors inside of modules are found by their path.

    Returns:
        A mapping of names to arrays.

    Raises:
        UnreadableFile: If there is no such file, or it is damaged, hostile, or of another format.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from dl_techniques import weights
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "model.npz")
        ...     np.savez(file, kernel=np.ones((2, 3)))
        ...     {name: array.shape for name, array in weights.open(file).items()}
        {'kernel': (2, 3)}
    """
    file = Path(path)
    if not file.is_file():
        raise UnreadableFile(f"There is no file {str(file)!r}.")
    if file.name.endswith(_INDEX):
        return WeightFile(file, _read_shards(file, allow_stubs))
    return WeightFile(file, _reader(file, allow_stubs)(file))


def _reader(file: Path, allow_stubs: bool) -> Callable[[Path], dict[str, Values]]:
    from dl_techniques.weights.readers import h5_file, numpy_file, onnx_file, torch_file
    from dl_techniques.weights.readers.safetensors_file import read_safetensors

    def read_torch(path: Path) -> dict[str, Values]:
        return torch_file.read_torch(path, allow_stubs=allow_stubs)

    found = {
        ".safetensors": read_safetensors,
        ".npz": numpy_file.read_npz,
        ".npy": numpy_file.read_npy,
        ".onnx": onnx_file.read_onnx,
        ".keras": h5_file.read_keras,
        **dict.fromkeys((".h5", ".hdf5"), h5_file.read_h5),
        **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), read_torch),
    }.get(file.suffix.lower())
    if found is None:
        raise UnreadableFile(f"The name must end in one of {', '.join(SUFFIXES)}. Received: {file}")
    return found


def _read_shards(index: Path, allow_stubs: bool) -> dict[str, Values]:
    """All tensors of the files that a Hugging Face index names."""
    try:
        with index.open("rb") as stream:
            document = parse(stream.read(_INDEX_LIMIT), tokens=10_000_000, depth=8)
        placed = document["weight_map"]
        names = {str(name): str(file) for name, file in placed.items()}
    except (StrictJSONError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableFile(f"{index} is no index of weights: {short_repr(str(error))}") from error
    shards: dict[str, dict[str, Values]] = {}
    for file in dict.fromkeys(names.values()):
        if Path(file).name != file or "\\" in file or not (index.parent / file).is_file():
            raise UnreadableFile(f"{index} names {short_repr(file)}, which is not beside it.")
        path = index.parent / file
        shards[file] = _reader(path, allow_stubs)(path)
    missing = [name for name, file in names.items() if name not in shards[file]]
    if missing:
        raise UnreadableFile(f"{index} places {short_repr(missing[0])} in a file that lacks it.")
    return {name: shards[file][name] for name, file in names.items()}
