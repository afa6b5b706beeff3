"""Weights of .keras, .weights.h5, sharded .weights.json and legacy .h5 files, without Keras."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import h5py

from dl_techniques.core.files.global_heap import fault
from dl_techniques.weightwatcher.readers.keras_names import (
    Facts,
    attention_equation,
    class_of_group,
    layers_of_config,
    variable_name,
)
from dl_techniques.weightwatcher.readers.keras_order import ordered_groups
from dl_techniques.weightwatcher.readers.natural_order import natural
from dl_techniques.weightwatcher.readers.quantized import Named, join_scale
from dl_techniques.weightwatcher.readers.values import (
    Held,
    Mapped,
    Stored,
    Values,
    Window,
    numpy_dtype,
)
from dl_techniques.weightwatcher.readers.weight import Skipped, Source, SourceError, Weight
from dl_techniques.weightwatcher.readers.zip_member import data_offset

_WEIGHTS: Final = "model.weights.h5"
_DEPTH: Final = 64
_OBJECTS: Final = 1_000_000
_CONFIG_LIMIT: Final = 1 << 28
_INFLATION: Final = 100


class _Dataset(NamedTuple):
    name: str
    values: Values


class _Content(NamedTuple):
    """What one HDF5 file holds."""

    datasets: list[_Dataset]
    names: dict[str, str]
    """Group -> the name that its layer has."""
    skipped: list[Skipped]


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
    return _source(path, [_read_h5(path, 0, None)], _legacy_layers(path))


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
    return _walk(io.BytesIO(archive.read(info)), None, 0)


def _read_h5(path: Path, offset: int, size: int | None) -> _Content:
    # The HDF5 library hangs on some damaged files, where nothing can interrupt it.
    heap = fault(path)
    if heap is not None:
        raise SourceError(f"{path} {heap}")
    with Window(path, offset, size) as window:
        try:
            return _walk(window, path, offset)
        except SourceError:
            raise
        # The library reports damage as OSError, KeyError, RuntimeError, ValueError and more.
        except Exception as error:
            raise SourceError(f"{path} is damaged: {error}") from error


def _walk(file: Any, path: Path | None, offset: int) -> _Content:
    content = _Content([], {}, [])
    seen: set[Any] = set()
    places: dict[str, int] = {}
    with h5py.File(file, "r") as opened:
        for name, item in _items(opened, "", seen, 0):
            if isinstance(item, h5py.Group):
                if "name" in item.attrs and name.split("/")[-1] == "vars":
                    content.names[name.rpartition("/")[0]] = str(item.attrs["name"])
                continue
            group = name.rpartition("/")[0]
            places.setdefault(group, h5py.h5o.get_info(item.id).addr)
            try:
                content.datasets.append(_Dataset(name, _values(item, path, offset)))
            except ValueError as error:
                shape = tuple(item.shape or ())
                content.skipped.append(Skipped(name, shape, str(item.dtype), str(error)))
    ranks = ordered_groups(places)
    content.datasets.sort(key=lambda dataset: ranks[dataset.name.rpartition("/")[0]])
    return content


def _items(group: Any, prefix: str, seen: set[Any], depth: int) -> Iterator[tuple[str, Any]]:
    """All groups and datasets, once each, by hard links only, in the order of natural names."""
    if depth > _DEPTH or len(seen) > _OBJECTS:
        raise SourceError("the file is nested too deep or holds too much.")
    for key in sorted(group, key=natural):
        name = f"{prefix}/{key}" if prefix else key
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise SourceError(f"{name} is a link to something else.")
        item = group[key]
        place = h5py.h5o.get_info(item.id).addr
        if place in seen:
            continue
        seen.add(place)
        yield name, item
        if isinstance(item, h5py.Group):
            yield from _items(item, name, seen, depth + 1)


def _values(item: Any, path: Path | None, offset: int) -> Values:
    dtype = str(item.attrs.get("dtype", "")) or item.dtype.name
    dtype = item.dtype.name if item.dtype.kind in "fiub" else dtype
    numpy_dtype(dtype)
    if item.dtype.kind not in "fiubV" or item.shape is None:
        raise ValueError("not an array of numbers")
    shape = tuple(item.shape)
    plist = item.id.get_create_plist()
    if plist.get_external_count() or item.is_virtual:
        raise SourceError(f"{item.name} keeps its content in another file.")
    plain = plist.get_layout() == h5py.h5d.CONTIGUOUS and not plist.get_nfilters()
    begin = item.id.get_offset() if plain else None
    if begin is not None and path is not None and item.dtype.isnative:
        values = Mapped(path, offset + begin, shape, dtype)
        if offset + begin + values.nbytes > path.stat().st_size:
            raise SourceError(f"{path} is cut off.")
        return values
    if path is None or item.dtype.kind == "V":
        array = item[()]
        return Held(array.view(numpy_dtype(dtype)) if item.dtype.kind == "V" else array)
    return Stored(path, offset, item.name, shape, dtype)


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
            # Files without names; with them, what has none is a list or a dictionary of layers.
            found.append(parts[end - 1])
    return "/".join(found)


def _legacy_layers(path: Path) -> dict[str, Facts]:
    """The classes of a legacy .h5 model, whose configuration is an attribute."""
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            return layers_of_config(text) if isinstance(text, str) else {}
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{path} is damaged: {error}") from error
