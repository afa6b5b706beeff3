"""Attacks that the HDF5 file of the weights carries."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import h5py
import model_forge as forge
import numpy as np
from attack import attack, weights
from model_forge import Forge


# HDF5.
@attack("CVE-2025-9905", "Legacy whole-model HDF5")
def legacy_h5(target: Path, canary: Path) -> Path:
    other = target.with_suffix(".h5")
    other.write_bytes(forge.h5(forge.dense_weights))
    return other


@attack("CVE-2025-9905", "HDF5 file, not a `.keras`")
def legacy_h5_renamed(target: Path, canary: Path) -> Path:
    target.write_bytes(forge.h5(forge.dense_weights))
    return target


def _outside(group: Any) -> str:
    return "/etc/hostname"


weights(
    "CVE-2026-0897, CVE-2026-12570",
    "::model.weights.h5 at layers/dense/vars/0: (declares|has \\d+ chunks)",
    petabytes=lambda g: g.create_dataset("0", (1 << 50,), "float32", chunks=(1024,)),
    unallocated=lambda g: g.create_dataset("0", (1 << 40,), "float32"),
    half_gibibyte=lambda g: g.create_dataset(
        "0", (1 << 27,), "float32", chunks=(1 << 20,), compression="gzip"
    ),
    inflated=lambda g: g.create_dataset(
        "0", data=np.zeros((4 << 20,), "float32"), chunks=(1 << 20,), compression="gzip"
    ),
)
weights(
    "CVE-2026-1669",
    "in another file|soft link|link to another file",
    external_storage=lambda g: g.create_dataset(
        "0", (4, 3), "uint8", external=[(_outside(g), 0, 12)]
    ),
    soft_link=lambda g: g.__setitem__("0", h5py.SoftLink("/layers/dense/vars/1")),
    dangling_soft_link=lambda g: g.__setitem__("0", h5py.SoftLink("/nowhere")),
)
weights(
    "CVE-2026-9335",
    "::model.weights.h5",
    external_link=lambda g: g.__setitem__("0", h5py.ExternalLink("/etc/hostname", "/x")),
    external_group=lambda g: g.file.__setitem__("extra", h5py.ExternalLink("other.h5", "/")),
    soft_group=lambda g: g.file.__setitem__("extra", h5py.SoftLink("/layers")),
)


def _virtual(group: Any) -> None:
    layout = h5py.VirtualLayout((4, 3), "float32")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4, 3))
    group.create_virtual_dataset("0", layout)


def _committed(group: Any) -> None:
    group["0"] = np.dtype("float32")


def _cycle(group: Any) -> None:
    group["0"] = np.zeros((4, 3), "float32")
    group["loop"] = group.file["layers"]


def _shared(group: Any) -> None:
    group["0"] = group["1"]


def _deep(group: Any) -> None:
    group["0"] = np.zeros((4, 3), "float32")
    for _ in range(200):
        group = group.create_group("g")


def _reference(group: Any) -> None:
    made = group.create_dataset("0", (1,), dtype=h5py.ref_dtype)
    made[0] = group.ref


def _foreign_filter(group: Any) -> None:
    group.create_dataset("0", data=np.zeros((4, 3), "float32"), chunks=(4, 3), compression="lzf")


weights("CVE-2026-12480", "a view of others", virtual_dataset=_virtual)
weights(
    "1.7 R3 only numbers",
    "holds|neither a group nor|attribute|no shape",
    texts=lambda g: g.create_dataset("0", data=["a", "b"]),
    objects_of_varying_length=lambda g: g.create_dataset(
        "0", (2,), dtype=h5py.vlen_dtype("float32")
    ),
    compound=lambda g: g.create_dataset("0", (2,), dtype=[("a", "f4"), ("b", "i4")]),
    references=_reference,
    opaque=lambda g: g.create_dataset("0", data=np.zeros((4, 3), "V8")),
    committed_type=_committed,
    empty_dataspace=lambda g: g.create_dataset("0", data=h5py.Empty("float32")),
    complex_weights=lambda g: g.create_dataset("0", data=np.ones((4, 3), "complex64")),
    long_double=lambda g: g.create_dataset("0", data=np.ones((4, 3), np.longdouble)),
)
weights(
    "1.7 R3 only hard links, once",
    "reached twice|nested deeper",
    cyclic_group=_cycle,
    shared_dataset=_shared,
    deep_groups=_deep,
)
weights("1.7 R3 foreign filters", "decoder", foreign_filter=_foreign_filter)
weights(
    "1.2 NaN and infinity",
    "NaN or infinity",
    nan_weights=lambda g: g.create_dataset("0", data=np.full((4, 3), np.nan, "float32")),
    infinite_weights=lambda g: g.create_dataset("0", data=np.full((4, 3), -np.inf, "float16")),
    nan_compressed=lambda g: g.create_dataset(
        "0", data=np.full((4, 3), np.nan, "float32"), compression="gzip"
    ),
)
weights(
    "1.2 wrong shapes",
    "Keras cannot rebuild",
    needs_keras=True,
    other_shape=lambda g: g.create_dataset("0", data=np.ones((5, 3), "float32")),
)


@attack("1.4 damaged", "not an HDF5 file")
def weights_of_text(target: Path, canary: Path) -> Forge:
    return Forge(weights=b"hello" * 100)


@attack("1.4 damaged", "truncated|is damaged")
def truncated_weights(target: Path, canary: Path) -> Forge:
    return Forge(weights=forge.h5(forge.dense_weights)[:-100])


@attack("resources: a heap that is read again and again", "without end")
def repeated_global_heap(target: Path, canary: Path) -> Forge:
    """A thousand data sets whose mark of bfloat16 lies in one heap of many objects."""
    text, small = "x" * (1 << 20), "bfloat16"

    def fill(file: h5py.File) -> None:
        forge.dense_weights(file)
        group = file.create_group("layers/more/vars")
        for index in range(1000):
            made = group.create_dataset(str(index), data=np.zeros(2, "V2"))
            made.attrs.create("dtype", small, dtype=h5py.string_dtype())
        group.attrs.create("text", text, dtype=h5py.string_dtype())

    data = bytearray(forge.h5(fill))
    heaps = {}  # address -> size
    position = data.find(b"GCOL")
    while position >= 0:
        (heaps[position],) = struct.unpack_from("<Q", data, position + 8)
        position = data.find(b"GCOL", position + 1)
    large = max(heaps, key=lambda address: heaps[address])
    # A reference is a length, the address of a heap, and the number of an object in it.
    for address in heaps:
        for number in range(1, 200):
            old = struct.pack("<IQI", len(small), address, number)
            data = data.replace(old, struct.pack("<IQI", len(small), large, 1))
    # The large text becomes many small ones: a number, a count, a size, and eight bytes.
    place, number, end = large + 16, 1, large + heaps[large]
    while place + 40 <= end and number < 1 << 16:
        struct.pack_into("<HHIQ8s", data, place, number, 1, 0, len(small), small.encode())
        place, number = place + 24, number + 1
    struct.pack_into("<HHIQ", data, place, 0, 0, 0, end - place)
    return Forge(weights=bytes(data))
