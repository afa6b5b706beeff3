"""Mirrors: folders of weights for machines without a network, with their hashes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from dl_techniques.core.atomic_write import replacing
from dl_techniques.weights.cache import cache_folder
from dl_techniques.weights.download import fetch
from dl_techniques.weights.entry import WeightEntry
from dl_techniques.weights.integrity import file_hash

SUMS: Final = "SHA256SUMS"
_LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")


class Verdict(NamedTuple):
    """The verdict of verification about one file."""

    path: Path
    state: str
    """`ok`, `wrong`, `missing`, `unlisted` or `quarantined`."""


def mirror(
    folder: Path, entries: Iterable[WeightEntry], *, accept_license: str | None = None
) -> list[Path]:
    """Copy files into a mirror and list their hashes in `SHA256SUMS`.

    `DL_TECHNIQUES_WEIGHTS_DIR` set to the folder makes any machine find them.

    Args:
        folder: The mirror; it may exist, and keeps what it has.
        entries: The weights.
        accept_license: The licence that you accept, where a row asks for consent.

    Returns:
        The files in the mirror.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sums = _sums(folder)
    made = []
    for entry in entries:
        source = fetch(entry, accept_license=accept_license)
        name = entry.sources[0].mirror_path
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
        sums[name] = entry.sha256 or file_hash(target)
        made.append(target)
    with replacing(folder / SUMS) as temporary:
        lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items())]
        temporary.write_text("".join(lines), encoding="utf-8")
    return made


def verify(folder: Path | None = None) -> list[Verdict]:
    """Compare all files of the cache, or of a mirror, with their hashes.

    Args:
        folder: The mirror; by default the cache.
    """
    if folder is not None:
        return _verify_mirror(folder)
    verdicts = []
    for path in sorted(cache_folder().glob("*/*")):
        if path.name.startswith("."):
            continue
        expected = path.parent.name
        if ".quarantined-" in path.name:
            verdicts.append(Verdict(path, "quarantined"))
        elif expected.startswith("unpinned-"):
            verdicts.append(Verdict(path, "unlisted"))
        else:
            verdicts.append(Verdict(path, "ok" if file_hash(path) == expected else "wrong"))
    return verdicts


def _verify_mirror(folder: Path) -> list[Verdict]:
    sums = _sums(folder)
    verdicts = []
    for name, expected in sorted(sums.items()):
        path = folder / name
        if not path.is_file():
            verdicts.append(Verdict(path, "missing"))
        else:
            verdicts.append(Verdict(path, "ok" if file_hash(path) == expected else "wrong"))
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SUMS)
    return verdicts + [
        Verdict(path, "unlisted")
        for path in files
        if path.relative_to(folder).as_posix() not in sums
    ]


def _sums(folder: Path) -> dict[str, str]:
    file = folder / SUMS
    if not file.is_file():
        return {}
    matches = map(_LINE.fullmatch, file.read_text(encoding="utf-8").splitlines())
    found = {match[2]: match[1] for match in matches if match}
    return {name: digest for name, digest in found.items() if ".." not in Path(name).parts}
