"""Find the model's files in a folder, as hubs and trainers leave it.

The same weights may lie there in several formats, in shards with an index, beside adapters and
beside what a trainer needs to go on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from dl_techniques.weights.readers.natural_order import natural
from dl_techniques.weightwatcher.readers.weight import SourceError

_ENDS: Final = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz")
_MODELS: Final = (".keras", ".weights.json", ".weights.h5", ".h5", ".hdf5", ".onnx")
_INDEX: Final = re.compile(r"\.(safetensors|bin)\.index\.json$")
_TRAINING: Final = re.compile(
    r"^(optim|scheduler|lr_scheduler|scaler|grad_scaler|rng_state|random_states|training_args"
    r"|trainer_state|sampler|dataloader)|optim_states\.pt$|_optimizer\.",
    re.IGNORECASE,
)
_SHARD: Final = re.compile(r"^(?P<stem>.*?)[-_.](?P<index>\d+)-of-(?P<count>\d+)(?P<end>\..+)$")
# The names that libraries give to the weights of a model, the first being the best.
_NAMES: Final = (
    "model",
    "pytorch_model",
    "diffusion_pytorch_model",
    "open_clip_model",
    "open_clip_pytorch_model",
    "consolidated",
    "weights",
)
_ADAPTER: Final = re.compile(r"^(adapter_model|adapters?|pytorch_lora_weights)\.")
_TRAINER: Final = "of the trainer, not of the model"
_COPY: Final = "another file of weights; name it to analyse it"
_ADAPTER_BESIDE: Final = "an adapter beside the model; name it to analyse it"


class Choice(NamedTuple):
    """The files of the model, and the others with the reason why they are not taken."""

    files: list[Path]
    others: list[tuple[str, str]]


def choose(folder: Path) -> Choice:
    """Find the files of the model in a folder.

    Args:
        folder: The folder.

    Raises:
        SourceError: If no file is found, if shards are missing, or if several may be meant.
    """
    folder = _snapshot(folder)
    # Reading a pipe or a device would wait for ever.
    files = sorted((f for f in folder.iterdir() if f.is_file()), key=lambda f: natural(f.name))
    trainers = [f for f in files if _TRAINING.search(f.name) and f.name.endswith(_ENDS)]
    candidates = [f for f in files if f not in trainers]
    indexes = [f for f in candidates if _INDEX.search(f.name)]
    weights = [f for f in candidates if f.name.endswith(_ENDS)]
    models = [f for f in candidates if f.name.endswith(_MODELS)]
    chosen = _chosen(folder, indexes, weights, models)
    if not chosen:
        raise SourceError(f"{folder} holds no file of weights.{_hint(folder)}")
    by_index = _INDEX.search(chosen[0].name)
    others = [f for f in (*weights, *models) if f not in chosen and not by_index]
    if by_index:
        stem = chosen[0].name[: by_index.start()]
        others = [f for f in (*weights, *models) if not f.name.startswith(stem)]
    listed = [(f.name, _ADAPTER_BESIDE if _ADAPTER.match(f.name) else _COPY) for f in others]
    return Choice(chosen, [*listed, *((f.name, _TRAINER) for f in trainers)])


def _chosen(  # noqa: PLR0911  # one for each kind of folder
    folder: Path, indexes: list[Path], weights: list[Path], models: list[Path]
) -> list[Path]:
    plain = [f for f in weights if not _ADAPTER.match(f.name)]
    adapters = [f for f in weights if _ADAPTER.match(f.name)]
    for end in _ENDS:
        of_format = [f for f in plain if f.name.endswith(end)]
        named = _best_named(indexes, f"{end}.index.json") or _best_named(of_format, end)
        if named is not None:
            return [named]
        shards = _shards(folder, of_format)
        if shards:
            return shards
        if of_format and end == ".ckpt":
            return [_only(folder, of_format)]
        if of_format:
            return of_format
    if adapters:
        return [adapters[0]] if len({f.stem for f in adapters}) == 1 else [_only(folder, adapters)]
    for end in _MODELS:
        found = [f for f in models if f.name.endswith(end)]
        if found:
            return [_only(folder, found)]
    return []


def _best_named(files: list[Path], end: str) -> Path | None:
    """The file with the name that a library gives to a model's weights; without a variant."""
    for name in _NAMES:
        for file in files:
            if file.name == f"{name}{end}":
                return file
    fitting = [f for f in files if f.name.endswith(end) and end.endswith(".json")]
    return fitting[0] if len(fitting) == 1 else None


def _shards(folder: Path, files: list[Path]) -> list[Path]:
    """The shards of one model, all of which must be there."""
    found: dict[tuple[str, int, str], dict[int, Path]] = {}
    for file in files:
        match = _SHARD.match(file.name)
        if match:
            key = (match["stem"], int(match["count"]), match["end"])
            found.setdefault(key, {})[int(match["index"])] = file
    if not found:
        return []
    complete = [parts for (_, count, _), parts in found.items() if len(parts) == count]
    if not complete:
        (stem, count, end), parts = next(iter(found.items()))
        raise SourceError(
            f"{folder} holds {len(parts)} of {count} shards of {stem}{end}: some are missing."
        )
    if len(complete) > 1:
        names = ", ".join(next(iter(parts.values())).name for parts in complete)
        raise SourceError(f"{folder} holds several models: {names}. Name one of them.")
    return [complete[0][index] for index in sorted(complete[0])]


def _only(folder: Path, files: list[Path]) -> Path:
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5])
        raise SourceError(f"{folder} holds several models: {names}. Name one of them.")
    return files[0]


def _snapshot(folder: Path) -> Path:
    """The files of a repository in the cache of the Hugging Face hub."""
    reference = folder / "refs" / "main"
    if not (folder / "snapshots").is_dir() or not reference.is_file():
        return folder
    name = reference.read_text(encoding="utf-8", errors="replace").strip()
    inner = folder / "snapshots" / name
    return inner if re.fullmatch(r"\w{1,64}", name) and inner.is_dir() else folder


def _hint(folder: Path) -> str:
    """Folders inside that have some: those of a pipeline, or checkpoints of a trainer."""
    inner = sorted((f for f in folder.iterdir() if f.is_dir()), key=lambda f: natural(f.name))
    ends = (*_ENDS, *_MODELS)
    found = [f.name for f in inner if any(g.name.endswith(ends) for g in f.iterdir())]
    return f" Name one of its folders: {', '.join(found[:5])}." if found else ""
