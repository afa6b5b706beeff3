"""Files that nobody vouches for: they end in our own error or give the right numbers."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc

import h5py
import numpy as np
import pytest

from dl_techniques.weightwatcher import SourceError, analyze_model, describe_model

SLACK = 64 << 20
WORDS = [0, 1, 7, 255, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**40, 2**63, 2**64 - 1]


def _keras_like(file, array):
    group = file.create_group("layers/dense/vars")
    group.attrs["name"] = "dense"
    group["0"], group["1"] = array, array[0]
    file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {}})


def _packed(file, array):
    file.create_dataset("a", data=array, chunks=(7, 5), compression="gzip", shuffle=True)
    file.create_dataset("b", data=array, chunks=(7, 5), fletcher32=True)


def _many(file, array):
    for index in range(40):
        file[f"layer_{index}/kernel"] = array[:4]


def _dense_attributes(file, array):
    for index in range(30):
        file.attrs[f"text {index}"] = "x" * index
    file["w"] = array


def corpus():
    """Small files of each structure that the format has."""
    array = np.random.default_rng(0).standard_t(3, (20, 12)).astype("float32")
    made = {}
    for maker in (_keras_like, _packed, _many, _dense_attributes):
        for version in ("earliest", "v110", "latest"):
            buffer = io.BytesIO()
            with h5py.File(buffer, "w", libver=(version, "latest")) as file:
                maker(file, array)
            made[f"{maker.__name__}-{version}"] = buffer.getvalue()
    return made


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four words, bytes or bits of the structure are others."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        kind, place = int(rng.integers(4)), int(rng.integers(len(data) - 8))
        place = int(place * rng.random())  # structure lies before the numbers
        if kind == 0:
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[place] = int(rng.integers(256))
        elif kind == 2:
            struct.pack_into("<Q", changed, place // 8 * 8, WORDS[int(rng.integers(len(WORDS)))])
        else:
            struct.pack_into("<Q", changed, place // 8 * 8, int(rng.integers(len(data))))
    return bytes(changed)


def outcome(path):
    """Return the outcome of an analysis, and its peak of memory."""
    tracemalloc.start()
    try:
        result = analyze_model(path, n_jobs=1)
        found = f"{len(result)} rows"
    except SourceError:
        found = "refused"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found, peak


@pytest.mark.parametrize("seed", range(12))
def test_mutated_hdf5_ends_in_our_error_or_in_rows(tmp_path, seed):
    rng = np.random.default_rng(seed)
    name, data = list(corpus().items())[seed]
    path = tmp_path / "m.h5"
    seen = set()
    for _ in range(30):
        path.write_bytes(mutated(data, rng))
        found, peak = outcome(path)
        seen.add(found)
        assert peak < path.stat().st_size + SLACK, name
    assert seen


@pytest.mark.parametrize("version", ["earliest", "v110"])
@pytest.mark.parametrize("options", [{}, {"chunks": (7, 5)}, {"chunks": True, "compression": 4}])
@pytest.mark.parametrize("dtype", ["float16", "<f4", ">f4", "float64", "int8", "bool"])
def test_every_layout_and_type_reads_as_h5py_reads_it(tmp_path, version, options, dtype):
    rng = np.random.default_rng(3)
    array = (10 * rng.standard_t(3, (20, 12))).astype(dtype)
    with h5py.File(tmp_path / "m.h5", "w", libver=(version, "latest")) as file:
        file.create_dataset("w", data=array, shuffle=bool(options), **options)
        file.create_dataset("tall", data=array.T, fletcher32=bool(options), **options)
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space, kind = h5py.h5s.create_simple(array.shape), h5py.h5t.py_create(array.dtype)
        h5py.h5d.create(file.id, b"small", kind, space, dcpl=compact).write(
            h5py.h5s.ALL, h5py.h5s.ALL, array
        )
    from dl_techniques.weightwatcher.readers.keras_file import read_h5

    read = read_h5(tmp_path / "m.h5")
    found = {weight.path: weight.values for weight in read.weights}
    if options and version == "v110":
        assert set(found) == {"small"}
        assert {entry.path for entry in read.skipped} == {"w", "tall"}
        assert all("latest" in entry.reason for entry in read.skipped)
        return
    with h5py.File(tmp_path / "m.h5") as file:
        for name in ("w", "tall", "small"):
            np.testing.assert_array_equal(found[name].read().astype(bool), file[name][()] != 0)
            np.testing.assert_array_equal(found[name].read(), file[name][()])


def test_data_that_was_never_written_is_accounted_for(tmp_path, heavy):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["good"] = heavy
        file.create_dataset("huge", (2**15, 2**14), "f4", chunks=(256, 256))
        file.create_dataset("never", (20, 20), "f4", chunks=(10, 10))
        file.create_dataset("part", (20, 20), "f4", chunks=(10, 10))[:10, :10] = 1
        file.create_dataset("late", (20, 20), "f4")
        file.create_dataset("zeros", data=np.zeros((6000, 6000), "f4"), compression=9)
    tracemalloc.start()
    result = analyze_model(tmp_path / "m.h5", n_jobs=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < SLACK
    assert [layer["path"] for layer in result] == ["good"]
    reasons = {entry.path: entry.reason for entry in result.skipped}
    assert "never written" in reasons["huge"]
    assert reasons["never"] == reasons["late"] == "its numbers were never written"
    assert reasons["part"] == "some of its numbers were never written"
    assert "hardly shrink" in reasons["zeros"]


def test_content_of_other_files_is_refused(tmp_path, heavy):
    with h5py.File(tmp_path / "target.h5", "w") as file:
        file["w"] = heavy
    with h5py.File(tmp_path / "view.h5", "w", libver="latest") as file:
        layout = h5py.VirtualLayout(shape=heavy.shape, dtype="f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "target.h5"), "w", shape=heavy.shape)
        file.create_virtual_dataset("w", layout)
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.create_dataset("w", (8, 8), "f4", external=[("secret", 0, 256)])
    with h5py.File(tmp_path / "soft.h5", "w") as file:
        file["a"], file["w"] = heavy, h5py.SoftLink("/a")
    for name in ("view.h5", "outside.h5", "soft.h5"):
        with pytest.raises(SourceError, match=r"another file|link"):
            analyze_model(tmp_path / name)


def test_attributes_that_would_fill_the_memory_are_refused(tmp_path, heavy):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["w"] = heavy
        file.attrs.create("texts", ["a"] * 8, dtype=h5py.string_dtype())
    data = (tmp_path / "m.h5").read_bytes()
    # The one axis of eight texts, twice: its length and its greatest length.
    axis = struct.pack("<QQ", 8, 8)
    assert data.count(axis) == 1
    (tmp_path / "m.h5").write_bytes(data.replace(axis, struct.pack("<QQ", 2**27, 2**27)))
    found, peak = outcome(tmp_path / "m.h5")
    assert found == "refused"
    assert peak < SLACK


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipes_in_a_folder_are_no_files_of_weights(tmp_path, heavy):
    np.savez(tmp_path / "m.npz", w=heavy)
    for name in (
        "model.safetensors",
        "model.safetensors.index.json",
        "adapter_config.json",
        "config.json",
        "a.keras",
        "pytorch_model.bin",
        "z.npz",
    ):
        os.mkfifo(tmp_path / name)
    assert [layer["path"] for layer in describe_model(tmp_path)] == ["w"]
    with pytest.raises(SourceError, match="no file"):
        describe_model(tmp_path / "a.keras")


def test_a_shape_of_a_million_axes_is_one_skipped_tensor(tmp_path):
    header = {
        "odd": {"dtype": "F32", "shape": [1] * 1_000_000, "data_offsets": [0, 4]},
        "w": {"dtype": "F32", "shape": [20, 10], "data_offsets": [4, 804]},
    }
    text = json.dumps(header).encode()
    data = np.random.default_rng(0).normal(size=201).astype("f4").tobytes()
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    result = analyze_model(path, n_jobs=1)
    assert [layer["path"] for layer in result] == ["w"]
    assert "1,000,000 axes" in result.skipped[0].reason
    assert len(result.skipped[0].shape) < 32
