"""Every flipped bit is noticed, every truncation is called one, every byte belongs somewhere."""

from __future__ import annotations

import random
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_forge import Forge, layer, seal, sequential

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.archive import Archive
from dl_techniques.core.files.report import inspect_model

FLIPS = 1000


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sealed")
    made = Forge(sequential(layer("StringLookup", {"vocabulary": None})))
    made.add("assets/layers/string_lookup/vocabulary.txt", b"one\ntwo\nthree")
    path = seal(made.write(folder / "model.keras"))
    assert inspect_model(path).problems == ()
    return path.read_bytes()


def regions(data: bytes, path: Path) -> dict[str, list[int]]:
    """The positions of each member's content, and of everything around them."""
    path.write_bytes(data)
    found: dict[str, list[int]] = {}
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            name, extra = struct.unpack_from("<HH", data, item.header_offset + 26)
            start = item.header_offset + 30 + name + extra
            found[item.filename] = [*range(start, start + item.compress_size)]
    inside = {position for places in found.values() for position in places}
    found["container"] = [p for p in range(len(data)) if p not in inside]
    return found


NAMES = ("container", "config.json", "metadata.json", "model.weights.h5", "dl_techniques.json",
         "assets/layers/string_lookup/vocabulary.txt")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_flipped_bit_is_noticed(sealed: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    bits = [(p, bit) for p in regions(sealed, path)[name] for bit in range(8)]
    chance = random.Random(name)
    missed = []
    for position, bit in chance.sample(bits, min(FLIPS, len(bits))):
        data = bytearray(sealed)
        data[position] ^= 1 << bit
        path.write_bytes(data)
        if accepted(path):
            missed.append((position, bit))
    print(
        f"\n{name}: {min(FLIPS, len(bits)) - len(missed)} of {min(FLIPS, len(bits))} flips noticed"
    )
    assert missed == []


def accepted(path: Path) -> bool:
    """Whether structure and checksums are fine; the rest is looked at elsewhere."""
    try:
        with Archive(path) as archive:
            for member in archive.members:
                archive.digest(member.name)
    except ModelFileError:
        return False
    return True


def test_every_bit_of_the_container(sealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    places = regions(sealed, path)["container"]
    missed = []
    for position in places:
        for bit in range(8):
            data = bytearray(sealed)
            data[position] ^= 1 << bit
            path.write_bytes(data)
            if accepted(path):
                missed.append((position, bit))
    print(f"\n{8 * len(places)} bits of headers and directory, {len(missed)} missed")
    assert missed == []


def test_every_truncation_is_called_one(sealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    wrong = []
    lengths = [*range(0, len(sealed), 3), *range(len(sealed) - 200, len(sealed))]
    for length in lengths:
        path.write_bytes(sealed[:length])
        problems = inspect_model(path).problems
        if len(problems) != 1 or "is truncated" not in str(problems[0]):
            wrong.append((length, problems))
    print(f"\n{len(lengths) - len(wrong)} of {len(lengths)} truncations named")
    assert wrong == []


def test_files_of_plain_keras_have_checksums_too(tmp_path: Path) -> None:
    data, path = Forge().data(), tmp_path / "model.keras"
    for name in ("config.json", "metadata.json", "model.weights.h5"):
        for position in random.Random(name).sample(regions(data, path)[name], 50):
            changed = bytearray(data)
            changed[position] ^= 4
            path.write_bytes(changed)
            assert not accepted(path), (name, position)


@pytest.fixture
def wide() -> Iterator[None]:
    """As if every file were larger than four gibibytes."""
    before = zipfile.ZIP64_LIMIT
    zipfile.ZIP64_LIMIT = 100
    yield
    zipfile.ZIP64_LIMIT = before


@pytest.mark.usefixtures("wide")
def test_large_files_have_wide_headers(tmp_path: Path) -> None:
    path = seal(Forge().write(tmp_path / "model.keras"))
    data = path.read_bytes()
    assert b"PK\6\6" in data
    assert b"PK\6\7" in data
    report = inspect_model(path)
    assert report.problems == ()
    places = regions(data, path)["container"]
    missed = []
    for position in places:
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            path.write_bytes(changed)
            if accepted(path):
                missed.append((position, bit))
    # The extra fields of a wide header are its sizes: all of them count.
    assert missed == []


def test_deflated_members_are_read(tmp_path: Path) -> None:
    made = Forge()
    for info, _ in made.members:
        info.compress_type = zipfile.ZIP_DEFLATED
    report = inspect_model(made.write(tmp_path / "model.keras"))
    assert report.problems == ()
    assert report.parameters == 15


def test_the_file_may_be_swapped_while_it_is_read(tmp_path: Path) -> None:
    path, other = tmp_path / "model.keras", tmp_path / "other.keras"
    Forge().write(path)
    Forge(weights=b"evil").write(other)
    with Archive(path) as archive:
        other.replace(path)
        folder = tmp_path / "folder"
        folder.mkdir()
        assert archive.extract("model.weights.h5", folder).read_bytes().startswith(b"\x89HDF")


def test_the_file_may_be_changed_while_it_is_read(tmp_path: Path) -> None:
    path = Forge().write(tmp_path / "model.keras")
    with Archive(path) as archive:
        place = path.read_bytes().index(b"model.weights.h5") + 10_000
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"changed")
        with pytest.raises(ModelFileError, match="checksum"):
            archive.digest("model.weights.h5")
