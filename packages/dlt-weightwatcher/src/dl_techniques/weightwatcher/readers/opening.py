"""Finding out what a source is, and reading it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from dl_techniques.weightwatcher.readers.adapter_config import read_adapter_config
from dl_techniques.weightwatcher.readers.architecture import read_architecture
from dl_techniques.weightwatcher.readers.flat_files import SUFFIXES, read_flat
from dl_techniques.weightwatcher.readers.folder import choose
from dl_techniques.weightwatcher.readers.mapping import AdapterFacts, from_values, read_mapping
from dl_techniques.weightwatcher.readers.values import Values
from dl_techniques.weightwatcher.readers.weight import Skipped, Source, SourceError

Flat = tuple[dict[str, Values], list[Skipped]]

KINDS: Final = (
    "a Keras model or layer, a torch module, a state dict, a mapping of names to arrays, an "
    "iterator of (name, array), or a path to .keras, .weights.h5, .weights.json, .h5, "
    ".safetensors, .npz, .npy, .pt, .pth, .bin, .ckpt, .onnx or a folder of such files"
)


def open_source(source: Any, *, scaling: float | None = None) -> Source:
    """Read all weights of a source, lazily where it is a file.

    Args:
        source: See `KINDS`.
        scaling: alpha / r of LoRA factors; by default what an adapter_config.json beside them says.

    Raises:
        SourceError: If it is none of these or cannot be read.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, str | os.PathLike):
        return _writable(_open_path(Path(source), scaling))
    return _writable(_open_live(source, scaling))


def _writable(source: Source) -> Source:
    """The source with names that can be written: those of files may be no text."""
    return Source(
        _text(source.label),
        [replace(w, path=_text(w.path), layer=_text(w.layer)) for w in source.weights],
        [entry._replace(path=_text(entry.path)) for entry in source.skipped],
    )


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _open_live(source: Any, scaling: float | None) -> Source:
    keras, torch = sys.modules.get("keras"), sys.modules.get("torch")
    # On the torch backend a Keras model is a torch module too, so Keras comes first.
    if keras is not None and isinstance(source, _type_of(keras, "layers", "Layer")):
        from dl_techniques.weightwatcher.readers.live_keras import read_live_keras

        return read_live_keras(source, keras)
    if torch is not None and isinstance(source, _type_of(torch, "nn", "Module")):
        from dl_techniques.weightwatcher.readers.live_torch import read_live_torch

        return read_live_torch(source, scaling)
    if hasattr(source, "__array__"):
        return read_mapping({"array": source})
    if isinstance(source, Mapping | Iterable):
        return read_mapping(source, scaling=scaling)
    raise SourceError(f"Expected {KINDS}. Received: source={type(source).__name__}")


def _type_of(module: Any, *names: str) -> Any:
    """A class of an imported module; an empty tuple while that is still being imported."""
    for name in names:
        module = getattr(module, name, ())
    return module


def _open_path(path: Path, scaling: float | None) -> Source:
    if path.is_dir():
        return _open_folder(path, scaling)
    if not path.is_file():
        raise SourceError(f"There is no file or folder {str(path)!r}.")
    read_model = _model_reader(path)
    if read_model is not None:
        return read_model(path)
    if path.name.lower().endswith(".index.json"):
        return _open_index(path, scaling)
    read = _reader(path)
    if read is None:
        raise SourceError(f"Expected {KINDS}. Received: {str(path)!r}")
    return _flat_source([read(path)], path.name, path.parent, scaling)


def _model_reader(path: Path) -> Callable[[Path], Source] | None:
    """For files that say which layer a weight belongs to."""
    name = path.name.lower()
    if name.endswith(".onnx"):
        from dl_techniques.weightwatcher.readers.onnx_file import read_onnx

        return read_onnx
    if name.endswith((".keras", ".h5", ".hdf5", ".weights.json")):
        from dl_techniques.weightwatcher.readers.keras_file import (
            read_h5,
            read_keras,
            read_shards,
        )

        if name.endswith(".keras"):
            return read_keras
        return read_shards if name.endswith(".json") else read_h5
    return None


def _reader(path: Path) -> Callable[[Path], Flat] | None:
    """For files of names and arrays."""
    name = path.name.lower()
    if name.endswith(SUFFIXES):
        return read_flat
    if name.endswith((".pt", ".pth", ".bin", ".ckpt")):
        from dl_techniques.weightwatcher.readers.torch_file import read_torch

        return read_torch
    return None


def _open_folder(folder: Path, scaling: float | None) -> Source:
    """The weights of a folder, as hubs and trainers leave it; see `choose`."""
    chosen = choose(folder)
    if len(chosen.files) == 1 and _reader(chosen.files[0]) is None:
        source = _open_path(chosen.files[0], scaling)
    else:
        reads = [_require(file)(file) for file in chosen.files]
        label = chosen.files[0].parent.name or str(folder)
        source = _flat_source(reads, label, chosen.files[0].parent, scaling)
    beside = [Skipped(name, (), "file", reason) for name, reason in chosen.others]
    return source._replace(skipped=[*source.skipped, *beside])


def _open_index(index: Path, scaling: float | None) -> Source:
    """The shards of a Hugging Face index, each weight in the order of the index."""
    try:
        placed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = list(dict.fromkeys(placed.values()))
        paths = {file: index.parent / file for file in files}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{index} is no index of weights: {error}") from error
    read: dict[str, Flat] = {}
    for file, path in paths.items():
        if Path(file).name != file:
            raise SourceError(f"{index} names a file elsewhere: {file!r}")
        if not path.is_file():
            raise SourceError(f"{index} names {file}, which is not there.")
        read[file] = _require(path)(path)
    values: dict[str, Values] = {}
    skipped = [entry for _, entries in read.values() for entry in entries]
    left_out = {entry.path for entry in skipped}
    for name, file in placed.items():
        if name in read[file][0]:
            values[name] = read[file][0][name]
        elif name not in left_out:
            raise SourceError(f"{index} places {name} in {file}, where it is not.")
    return _flat_source([(values, skipped)], index.parent.name, index.parent, scaling)


def _require(path: Path) -> Callable[[Path], Flat]:
    read = _reader(path)
    if read is None:
        raise SourceError(f"{path} is no file of weights.")
    return read


def _flat_source(reads: Iterable[Flat], label: str, folder: Path, scaling: float | None) -> Source:
    values: dict[str, Values] = {}
    skipped: list[Skipped] = []
    for found, left_out in reads:
        for name, value in found.items():
            if name in values:
                raise SourceError(f"The name {name!r} stands in two files of {label}.")
            values[name] = value
        skipped += left_out
    config = read_adapter_config(folder) if scaling is None else None
    adapter = AdapterFacts(scaling, config)
    architecture = read_architecture(folder)
    return from_values(
        values, label=label, skipped=skipped, adapter=adapter, architecture=architecture
    )
