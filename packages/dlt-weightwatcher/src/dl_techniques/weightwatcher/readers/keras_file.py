"""Weights of .keras, .weights.h5, sharded .weights.json and legacy .h5 files, without Keras."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from dl_techniques.weights.readers.hdf5 import Content, Dataset, Extent, read_content
from dl_techniques.weights.readers.hdf5_chunks import Chunks
from dl_techniques.weights.readers.limits import shown
from dl_techniques.weights.readers.values import numpy_dtype
from dl_techniques.weights.readers.window import Window
from dl_techniques.weights.readers.zip_archive import data_offset
from dl_techniques.weightwatcher.readers.keras_names import (
    Facts,
    attention_equation,
    class_of_group,
    layers_of_config,
    variable_name,
)
from dl_techniques.weightwatcher.readers.keras_order import ordered_groups
from dl_techniques.weightwatcher.readers.quantized import Named, join_scale
from dl_techniques.weightwatcher.readers.values import (
    Held,
    Mapped,
    Stored,
    Values,
)
from dl_techniques.weightwatcher.readers.weight import Skipped, Source, SourceError, Weight

_WEIGHTS: Final = "model.weights.h5"
_CONFIG_LIMIT: Final = 1 << 28
_INFLATION: Final = 100


class _Dataset(NamedTuple):
    name: str
    values: Values


class _Content(NamedTuple):
    """The content of one HDF5 file."""

    datasets: list[_Dataset]
    names: dict[str, str]
    """Group -> the name that its layer has."""
    skipped: list[Skipped]
    attributes: Mapping[str, Any]
    """Those of the file itself."""


def read_keras(path: Path) -> Source:
    """All weights of a .keras archive.

    Args:
        path: The file.

    Raises:
        SourceError: If it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            config = infos.get("config.json")
            if config is None or config.file_size > _CONFIG_LIMIT:
                raise SourceError(f"{path} holds no config.json: it is no Keras model.")
            text = archive.read(config).decode("utf-8")
            layers = layers_of_config(text)
            weights = infos.get(_WEIGHTS)
            if weights is None:
                raise SourceError(
                    f"{path} holds no {_WEIGHTS}; sharded ones are read by their .weights.json."
                )
            content = _read_member(path, archive, weights)
    except SourceError:
        raise
    # Damage shows as BadZipFile, KeyError, UnicodeDecodeError, zlib.error, RecursionError, ...
    except Exception as error:
        raise SourceError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    return _source(path, [content], layers)


def read_h5(path: Path) -> Source:
    """All weights of a .weights.h5 file or a legacy .h5 model.

    Args:
        path: The file.

    Raises:
        SourceError: If it is damaged.
    """
    content = _read_h5(path, 0, None)
    return _source(path, [content], _legacy_layers(path, content.attributes))


def read_shards(path: Path) -> Source:
    """All weights of sharded files, by their index X.weights.json.

    Args:
        path: The index.

    Raises:
        SourceError: If it is damaged, or a shard is missing or lies elsewhere.
    """
    try:
        index = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        named = [index[key] for key in index]
        files = [file for item in named for file in ([item] if isinstance(item, str) else item)]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} is no index of weights: {error}") from error
    contents = []
    for file in dict.fromkeys(files):
        if not isinstance(file, str) or Path(file).name != file:
            raise SourceError(f"{path} names a file elsewhere: {file!r}")
        if not (path.parent / file).is_file():
            raise SourceError(f"{path} names {file}, which is not there.")
        contents.append(_read_h5(path.parent / file, 0, None))
    return _source(path, contents, {})


def _read_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Content:
    if info.compress_type == zipfile.ZIP_STORED:
        return _read_h5(path, data_offset(path, info), info.file_size)
    # It is taken into memory: a small file must not fill it. Weights hardly shrink.
    if info.file_size > _INFLATION * max(info.compress_size, 1 << 20):
        raise SourceError(f"{path} is {info.file_size:,} bytes of weights when it is unpacked.")
    data = io.BytesIO(archive.read(info))
    found = read_content(data, info.file_size, str(path))
    return _with_values(found, lambda dataset: _held(data, dataset))


def _read_h5(path: Path, offset: int, size: int | None) -> _Content:
    with Window(path, offset, size) as window:
        found = read_content(window, window.size, str(path))
    return _with_values(found, lambda dataset: _in_file(path, offset, dataset))


def _with_values(found: Content, values: Callable[[Dataset], Values]) -> _Content:
    """The data sets in the order of the model, with their numbers."""
    content = _Content([], {}, [], found.attributes.get("", {}))
    for name, attributes in found.attributes.items():
        if "name" in attributes and name.split("/")[-1] == "vars":
            content.names[name.rpartition("/")[0]] = _text(attributes["name"])
    places: dict[str, int] = {}
    for dataset in found.datasets:
        places.setdefault(dataset.name.rpartition("/")[0], dataset.place)
        if isinstance(dataset.content, str):
            shape = shown(dataset.shape)
            content.skipped.append(Skipped(dataset.name, shape, dataset.dtype, dataset.content))
        else:
            content.datasets.append(_Dataset(dataset.name, values(dataset)))
    ranks = ordered_groups(places)
    content.datasets.sort(key=lambda dataset: ranks[dataset.name.rpartition("/")[0]])
    return content


def _in_file(path: Path, offset: int, dataset: Dataset) -> Values:
    content = dataset.content
    if isinstance(content, Extent):
        swapped = not np.dtype(content.dtype).isnative
        return Mapped(path, offset + content.offset, dataset.shape, dataset.dtype, swapped=swapped)
    if isinstance(content, Chunks):
        return Stored(path, offset, dataset.name, dataset.dtype, content)
    return _as_held(content, dataset)


def _held(file: Any, dataset: Dataset) -> Values:
    content = dataset.content
    if isinstance(content, Extent):
        flat = np.frombuffer(
            file.getbuffer(), content.dtype, math.prod(content.shape), content.offset
        )
        return _as_held(flat.reshape(content.shape), dataset)
    return _as_held(content.read(file) if isinstance(content, Chunks) else content, dataset)


def _as_held(content: Any, dataset: Dataset) -> Held:
    return Held(content.view(numpy_dtype(dataset.dtype)) if content.dtype.kind == "V" else content)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _source(path: Path, contents: list[_Content], layers: Mapping[str, Facts]) -> Source:
    names = {group: name for content in contents for group, name in content.names.items()}
    skipped = [entry for content in contents for entry in content.skipped]
    groups: dict[str, list[_Dataset]] = {}
    for content in contents:
        for dataset in content.datasets:
            groups.setdefault(dataset.name.rpartition("/")[0], []).append(dataset)
    weights: list[Weight] = []
    for group, datasets in groups.items():
        if group.startswith(("optimizer", "_optimizer", "optimizer_weights")):
            skipped += [
                Skipped(d.name, d.values.shape, d.values.dtype, "state of the optimizer")
                for d in datasets
            ]
            continue
        weights += _weights_of_group(group, datasets, names, layers, skipped)
    return Source(path.name, weights, skipped)


def _weights_of_group(
    group: str,
    datasets: list[_Dataset],
    names: Mapping[str, str],
    layers: Mapping[str, Facts],
    skipped: list[Skipped],
) -> Iterator[Weight]:
    owner = group.removesuffix("vars").rstrip("/")
    indexed = owner != group
    layer = names.get(owner, owner.rpartition("/")[2])
    known = layers.get(layer, Facts("", {}))
    shapes = [dataset.values.shape for dataset in datasets]
    kind = known.kind or class_of_group(owner, shapes)
    kind = f"{kind}Cell" if kind in {"LSTM", "GRU", "SimpleRNN"} else kind
    prefix = _readable(owner, names)
    facts = dict(known.facts)
    equation = attention_equation(owner, shapes[0]) if indexed else None
    if equation:
        facts.setdefault("equation", equation)
    variables = []
    for index, (name, values) in enumerate(datasets):
        own = name.rpartition("/")[2].partition(":")[0]
        variable = variable_name(kind, index, shapes) if indexed else own
        variables.append(Named(f"{prefix}/{variable}".lstrip("/"), variable, values))
    if indexed:
        variables = join_scale(variables, kind, facts, skipped)
    for path, _, values in variables:
        yield Weight(path, values, layer, kind, "keras", facts)


def _readable(owner: str, names: Mapping[str, str]) -> str:
    """The names of the layers on the way, as `variable.path` has them."""
    parts = owner.split("/") if owner else []
    found = []
    for end in range(1, len(parts) + 1):
        group = "/".join(parts[:end])
        if group in names:
            found.append(names[group])
        elif not names and parts[end - 1] not in {"layers", "vars"}:
            # Files without names; with them, a nameless group is a list or a dictionary of layers.
            found.append(parts[end - 1])
    return "/".join(found)


def _legacy_layers(path: Path, attributes: Mapping[str, Any]) -> dict[str, Facts]:
    """The classes of a legacy .h5 model, whose configuration is an attribute."""
    text = attributes.get("model_config")
    try:
        return layers_of_config(_text(text)) if isinstance(text, str | bytes) else {}
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is damaged: {error}") from error
