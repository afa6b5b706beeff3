"""No flipped bit changes what is read unnoticed, and every truncation is refused."""

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
def test_a_flipped_bit_is_noticed_or_changes_nothing(
    sealed: bytes, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.keras"
    bits = [(p, bit) for p in regions(sealed, path)[name] for bit in range(8)]
    path.write_bytes(sealed)
    whole = content(path)
    refused, changed = 0, []
    chosen = random.Random(name).sample(bits, min(FLIPS, len(bits)))
    for position, bit in chosen:
        data = bytearray(sealed)
        data[position] ^= 1 << bit
        path.write_bytes(data)
        found = content(path)
        refused += found is None
        if found not in (None, whole):
            changed.append((position, bit))
    print(f"\n{name}: {refused} of {len(chosen)} flips noticed, {len(changed)} changed the content")
    assert changed == []
    # Within the members each bit counts; around them are times and versions that nobody reads.
    assert refused == len(chosen) or (name == "container" and refused > len(chosen) / 2)


def content(path: Path) -> dict[str, str] | None:
    """The digest of each member; `None` if the file is refused."""
    try:
        with Archive(path) as archive:
            return {member.name: archive.digest(member.name) for member in archive.members}
    except ModelFileError:
        return None


def accepted(path: Path) -> bool:
    """Return whether structure and checksums are fine; the rest is looked at elsewhere."""
    return content(path) is not None


def test_every_truncation_is_refused(sealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    lengths = [*range(0, len(sealed), 3), *range(len(sealed) - 200, len(sealed))]
    wrong = []
    for length in lengths:
        path.write_bytes(sealed[:length])
        problems = inspect_model(path).problems
        if len(problems) != 1 or problems[0].member is not None:
            wrong.append((length, problems))
    print(f"\n{len(lengths) - len(wrong)} of {len(lengths)} truncations refused")
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
    whole = content(path)
    changed = []
    for position in regions(data, path)["container"]:
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            if content(path) not in (None, whole):
                changed.append((position, bit))
    assert changed == []


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
        with pytest.raises(ModelFileError) as caught:
            archive.digest("model.weights.h5")
    assert caught.value.member == "model.weights.h5"
