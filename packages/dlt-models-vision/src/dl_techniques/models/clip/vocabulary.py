"""The table of merges of CLIP's tokenizer, and what its bytes are written as."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Final

from dl_techniques.weights import UrlSource, WeightEntry, WheelSource, fetch

_MAX_BYTES: Final = 1 << 26
_GZIP: Final = b"\x1f\x8b"
_FILE: Final = "bpe_simple_vocab_16e6.txt.gz"
VOCABULARY: Final = WeightEntry(
    component="dl_techniques>CLIPModel",
    variant="",
    tag="bpe_simple_vocab_16e6",
    sources=(
        WheelSource("open_clip_torch", "3.3.0", f"open_clip/{_FILE}"),
        UrlSource(f"https://github.com/openai/CLIP/raw/main/clip/{_FILE}"),
    ),
    licence="mit",
    layout="",
    gate="none",
    size=1_356_917,
    sha256="924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a",
    licence_url="https://github.com/openai/CLIP/blob/main/LICENSE",
)
"""The merges that all CLIP models share; 49,408 tokens follow from the first 48,894 of them."""


def byte_characters() -> dict[int, str]:
    """Byte -> the character that stands for it; no byte is written as white space."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {byte: chr(byte) for byte in printable}
    return characters | {byte: chr(256 + i) for i, byte in enumerate(others)}


def read_merges(path: str | os.PathLike[str] | None, limit: int) -> list[tuple[str, str]]:
    """Read the first merges of a file: a line of header, then two parts a line.

    Args:
        path: The file, compressed by gzip or not; `None` for the one that all CLIP models share.
        limit: How many merges to read at most.

    Raises:
        ValueError: If it is no such file.
        WeightsUnavailable: If the shared file is nowhere to be had.
    """
    place = fetch(VOCABULARY) if path is None else Path(path)
    data = place.read_bytes()[: _MAX_BYTES + 1]
    if data.startswith(_GZIP):
        with gzip.open(place) as file:
            data = file.read(_MAX_BYTES + 1)
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES} bytes")
        lines = [line for line in data.decode("utf-8").split("\n")[1 : limit + 1] if line.strip()]
        merges = [tuple(line.split()) for line in lines]
        if any(len(merge) != 2 for merge in merges):
            raise ValueError("a line has not two parts")
    except ValueError as error:
        raise ValueError(f"`vocabulary` must be a file of merges: {place}: {error}.") from error
    return [(first, second) for first, second in merges]
