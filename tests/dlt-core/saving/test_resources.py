"""A refused file costs little memory, disk and time; an accepted one in proportion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from model_forge import Forge, component, dense, layer, sequential, with_dataset

MIB = 1 << 20
MEASURE = Path(__file__).with_name("measure.py")
FUZZ = str(MEASURE.parents[2] / "fuzz")
pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")


def measure(action: str, file: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(MEASURE), action, str(file)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((FUZZ, os.environ.get("PYTHONPATH", ""))),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"\n{file.name}, {action}: {report['bytes'] / MIB:.1f} MiB above the base, "
        f"{report['disk'] / MIB:.1f} MiB on disk, {report['seconds']:.2f} s: "
        f"{report['outcome'][:90]}"
    )
    return report


def _assets(size: int, count: int) -> Callable[[Path], Path]:
    """Zeros, deflated once: all assets hold the same."""

    def build(path: Path) -> Path:
        Forge(sequential(layer("StringLookup", {"vocabulary": None}))).write(path)
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
        packed = block * (size // MIB) + packer.flush()
        checksum = 0
        for _ in range(size // MIB):
            checksum = zlib.crc32(bytes(MIB), checksum)
        with zipfile.ZipFile(path, "a") as archive:
            for index in range(count):
                archive.writestr(f"assets/{index}", packed)
            items = archive.infolist()[-count:]
            for item in items:
                item.compress_type, item.file_size, item.CRC = zipfile.ZIP_DEFLATED, size, checksum
        with path.open("r+b") as file:
            for item in items:
                file.seek(item.header_offset)
                file.write(item.FileHeader())
        return path

    return build


def _config(text: Callable[[], bytes]) -> Callable[[Path], Path]:
    def build(path: Path) -> Path:
        return Forge().replace("config.json", text()).write(path)

    return build


def _weights(fill: Callable[[Any], None]) -> Callable[[Path], Path]:
    return lambda path: Forge(weights=with_dataset(fill)).write(path)


def _many_groups(group: Any) -> None:
    group["0"] = np.zeros((4, 3), "float32")
    for index in range(19_000):
        group.create_group(f"g{index}")


BOMBS: dict[str, Callable[[Path], Path]] = {
    "assets of 4 x 200 MiB": _assets(200 * MIB, 4),
    "lists in lists": _config(lambda: b'{"a": [' + b"[]," * 190_000 + b"[]]}"),
    "objects": _config(lambda: b'{"a": [' + b'{"b":1},' * 95_000 + b"1]}"),
    "numbers": _config(lambda: b'{"class_name": "x", "a": [' + b"1.5," * 390_000 + b"1]}"),
    "one text": _config(lambda: b'{"class_name": "' + b"x" * (8 * MIB - 100) + b'"}'),
    "backslashes": _config(lambda: b'{"class_name": "' + b"\\\\" * (4 * MIB - 100) + b'"}'),
    "components": _config(
        lambda: json.dumps(
            sequential(*(component(f"evil>E{i}", f"E{i}") for i in range(20_000)))
        ).encode()[: 8 * MIB]
    ),
    "half a gibibyte of shape": _weights(
        lambda g: g.create_dataset("0", (1 << 27,), "f4", chunks=(1 << 20,), compression="gzip")
    ),
    "groups": _weights(_many_groups),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_refused_file_costs_little(name: str, tmp_path: Path) -> None:
    path = BOMBS[name](tmp_path / f"{name}.keras")
    report = measure("inspect", path)
    assert (report["outcome"] == "accepted") == (name == "groups")
    assert report["bytes"] <= 64 * MIB
    assert report["disk"] <= path.stat().st_size + 10 * MIB
    assert report["seconds"] < 5  # of the processor: a bound against hanging


def _large(path: Path, layers: int, width: int) -> Path:
    """`layers` square kernels of `width`, in one file."""

    def fill(file: h5py.File) -> None:
        for index in range(layers):
            name = "dense" if index == 0 else f"dense_{index}"
            group = file.create_group(f"layers/{name}/vars")
            group["0"] = np.full((width, width), 0.01, "float32")
            group["1"] = np.zeros(width, "float32")

    parts = [dense(width, width, label=f"d{index}") for index in range(layers)]
    return Forge(sequential(*parts, inputs=width), fill).write(path)


def test_a_hundred_mebibytes_are_decided_without_holding_them(tmp_path: Path) -> None:
    path = _large(tmp_path / "large.keras", 25, 1024)
    assert path.stat().st_size > 100 * MIB
    report = measure("inspect", path)
    assert report["outcome"] == "accepted"
    assert report["bytes"] <= 64 * MIB
    assert report["disk"] <= path.stat().st_size + 10 * MIB


def test_an_accepted_file_costs_in_proportion(tmp_path: Path) -> None:
    path = _large(tmp_path / "large.keras", 25, 1024)
    report = measure("load", path)
    assert report["outcome"] == "accepted"
    assert report["disk"] <= path.stat().st_size + 10 * MIB
    assert report["bytes"] <= 2.5 * 100 * MIB
