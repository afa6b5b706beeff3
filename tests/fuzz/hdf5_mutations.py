"""HDF5 files mutated where their structure is, each decided by its number alone.

    python hdf5_mutations.py FOLDER

writes the sound files. Only this needs h5py; mutating and reading them does not.
"""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SIGNATURES = (
    b"\x89HDF", b"TREE", b"SNOD", b"HEAP", b"GCOL", b"OHDR", b"OCHK", b"FRHP", b"FHDB", b"FHIB",
    b"BTHD", b"BTIN", b"BTLF", b"FSHD", b"FSSE", b"SMTB", b"SMLI", b"EAHD", b"EAIB", b"FAHD",
)  # fmt: skip
UNDEFINED = 0xFFFF_FFFF_FFFF_FFFF
VERSIONS = ("earliest", "v108", "v110", "latest")


# The sound files.


def _plain(file: Any) -> None:
    for index in range(5):
        file[f"layers/dense_{index}/vars/0"] = np.full((4, 5), index, "float32")
        file[f"layers/dense_{index}/vars/1"] = np.arange(5, dtype=">f8")


def _chunked(file: Any) -> None:
    kernel = np.arange(1200, dtype="float32").reshape(40, 30)
    filters = {"compression": "gzip", "shuffle": True, "fletcher32": True}
    file.create_dataset("layers/d/vars/0", data=kernel, chunks=(7, 8), **filters)
    file.create_dataset("layers/d/vars/1", data=np.arange(400, dtype="int16"), chunks=(7,))
    file.create_dataset("layers/d/vars/2", data=np.ones((9, 3)), chunks=(2, 3), maxshape=(None, 3))


def _many(file: Any) -> None:
    for index in range(60):
        file[f"layers/layer_{index}/vars/0"] = np.full(3, index, "float32")


def _attributes(file: Any) -> None:
    half = file.create_dataset("layers/d/vars/0", data=np.zeros(4, "V2"))
    half.attrs["dtype"] = "bfloat16"
    file["layers/d/vars/1"] = np.array([True, False])
    for index in range(20):
        half.attrs[f"attribute {index}"] = "text" * index
        file["layers/d"].attrs[f"number {index}"] = np.arange(index + 1)


FILLS = {"plain": _plain, "chunked": _chunked, "many": _many, "attributes": _attributes}
STRATEGIES: dict[str, dict[str, Any]] = {
    "page": {"fs_strategy": "page", "fs_persist": True, "fs_page_size": 4096},
    "fsm": {"fs_strategy": "fsm", "fs_persist": True, "fs_threshold": 1},
    "aggregate": {"fs_strategy": "aggregate"},
    "none": {"fs_strategy": "none"},
    "block": {"userblock_size": 512},
    "order": {"track_order": True},
}


def write_corpus(folder: Path) -> None:
    """Write the sound files.

    Args:
        folder: An empty folder.
    """
    import h5py

    for version in VERSIONS:
        for kind, fill in FILLS.items():
            with h5py.File(folder / f"{kind} {version}.h5", "w", libver=version) as file:
                fill(file)
    for kind, options in STRATEGIES.items():
        for version in ("v110", "latest"):
            with h5py.File(folder / f"{kind} {version}.h5", "w", libver=version, **options) as file:
                _plain(file)
                # Space that was freed is what the managers of free space describe.
                del file["layers/dense_2"]
                file["layers/more"] = np.ones(100)


# Mutations.


class Seed(NamedTuple):
    """A sound file, and the offsets of its structure."""

    name: str
    data: bytes
    structures: tuple[int, ...]
    """Where signatures and object headers are."""
    pointers: tuple[int, ...]
    """Where an address of a structure or of an array is stored."""


def read_corpus(folder: Path) -> list[Seed]:
    """Read the files that `write_corpus` wrote.

    Args:
        folder: The folder.
    """
    return [seed(path.stem, path.read_bytes()) for path in sorted(folder.glob("*.h5"))]


def seed(name: str, data: bytes) -> Seed:
    """Find the structure of a file.

    Args:
        name: The file's name.
        data: Its bytes.
    """
    signed = {
        place
        for signature in SIGNATURES
        for place in range(len(data) - 8)
        if data.startswith(signature, place)
    }
    # Object headers of the first version have no signature: two bytes, then counts.
    headers = {
        place
        for place in range(0, len(data) - 16, 8)
        if data[place : place + 2] == b"\x01\x00" and 0 < data[place + 2] < 32
        and data[place + 4 : place + 8] in {b"\1\0\0\0", b"\2\0\0\0"}
    }  # fmt: skip
    targets = signed | headers
    pointers = [
        place
        for place in range(len(data) - 8)
        if struct.unpack_from("<Q", data, place)[0] in targets
        and data[place : place + 8] != bytes(8)
    ]
    return Seed(name, data, tuple(sorted(targets)), tuple(pointers))


def mutate(number: int, seeds: list[Seed]) -> tuple[str, bytes]:
    """Return the name of a seed and its bytes, mutated.

    Args:
        number: Decides everything.
        seeds: The sound files.
    """
    chance = random.Random(number)
    chosen = chance.choice(seeds)
    data = bytearray(chosen.data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        chance.choice(_MUTATIONS)(chance, data, chosen)
    if chance.random() < 0.04:
        del data[chance.randrange(len(data)) :]
    return chosen.name, bytes(data)


def _put(data: bytearray, place: int, value: int, width: int) -> None:
    place = max(0, min(place, len(data) - width))
    data[place : place + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")


def _address(chance: random.Random, data: bytearray, seed: Seed) -> None:
    """Point elsewhere: to another structure, to itself, beyond the end, nowhere."""
    place = chance.choice(seed.pointers)
    values = (
        chance.choice(seed.structures), place, 0, 1, len(data), len(data) - 8, UNDEFINED,
        UNDEFINED - 7, 1 << 63, chance.randrange(len(data)),
    )  # fmt: skip
    _put(data, place, chance.choice(values), 8)


def _field(chance: random.Random, data: bytearray, seed: Seed) -> None:
    """Change a size, count, version or flag behind a signature."""
    place = chance.choice(seed.structures) + chance.randrange(200)
    width = chance.choice((1, 1, 2, 4, 8))
    values = (
        0, 1, 2, 3, 0x7F, 0xFF, (1 << 8 * width) - 1, 1 << (8 * width - 1), chance.randrange(256),
        len(data), len(data) // 2, chance.getrandbits(8 * width),
    )  # fmt: skip
    _put(data, place, chance.choice(values), width)


def _off_by_some(chance: random.Random, data: bytearray, seed: Seed) -> None:
    """Make a number in the structure a little larger or smaller, or many times as large."""
    width = chance.choice((1, 2, 4, 8))
    place = min(chance.choice(seed.structures) + chance.randrange(120), len(data) - width)
    value = int.from_bytes(data[place : place + width], "little")
    change = chance.choice((value + 1, value - 1, value + 8, value << 3, value << 16, value >> 1))
    _put(data, place, change, width)


def _flag(chance: random.Random, data: bytearray, seed: Seed) -> None:
    place = min(chance.choice(seed.structures) + chance.randrange(64), len(data) - 1)
    data[place] ^= 1 << chance.randrange(8)


def _signature(chance: random.Random, data: bytearray, seed: Seed) -> None:
    place = chance.choice(seed.structures)
    data[place : place + 4] = chance.choice(SIGNATURES)


def _exchange(chance: random.Random, data: bytearray, seed: Seed) -> None:
    """Copy one structure over another."""
    source, target = chance.choice(seed.structures), chance.choice(seed.structures)
    length = min(chance.choice((8, 24, 64, 256)), len(data) - max(source, target))
    data[target : target + length] = data[source : source + length]


def _anywhere(chance: random.Random, data: bytearray, seed: Seed) -> None:
    _put(data, chance.randrange(len(data)), chance.getrandbits(64), chance.choice((1, 2, 4, 8)))


_MUTATIONS = (
    _address, _address, _field, _field, _field, _off_by_some, _off_by_some, _flag, _signature,
    _exchange, _anywhere,
)  # fmt: skip


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]))
