"""Oracle: property. A hostile file runs nothing, and ends in one error, soon."""

from __future__ import annotations

import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from dl_techniques import weights as W
from dl_techniques.weights.readers.safetensors_file import write_safetensors

SECONDS = 15.0
MEMORY = 64 << 20


def read_all(path, options):
    for array in W.open(path, **options).values():
        array.tobytes()


def refused(path, **options):
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(W.UnreadableFile) as caught:
            read_all(path, options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < SECONDS
    assert peak < MEMORY
    return str(caught.value)


def zipped(path, data, **members):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", data)
        for name, content in members.items():
            archive.writestr(f"x/data/{name}", content)
    return path


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("stubs", [False, True])
@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "call",
    [
        Call(os.system, "touch ran"),
        Call(eval, "open('ran', 'w')"),
        Call(getattr, os, "system"),
        Call(exec, "open('ran', 'w')"),
    ],
    ids=["system", "eval", "getattr", "exec"],
)
def test_pickles_run_nothing(tmp_path, monkeypatch, call, protocol, stubs):
    monkeypatch.chdir(tmp_path)
    try:
        data = pickle.dumps(call, protocol)
    except TypeError:  # a module cannot be pickled
        data = b"\x80\x02cbuiltins\ngetattr\ncos\nsystem\nX\x01\x00\x00\x00x\x86R."
    path = zipped(tmp_path / "m.pth", data)
    if stubs and protocol:
        assert len(W.open(path, allow_stubs=True)) == 0
    else:
        refused(path)
    assert not (tmp_path / "ran").exists()
    (tmp_path / "old.pth").write_bytes(data)
    refused(tmp_path / "old.pth", allow_stubs=stubs)
    assert not (tmp_path / "ran").exists()


def test_programs_of_torchscript_run_nothing(tmp_path, monkeypatch):
    """Only the names of a program's own modules become records."""
    monkeypatch.chdir(tmp_path)
    path = zipped(tmp_path / "m.pt", pickle.dumps(Call(os.system, "touch ran"), 2))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x/constants.pkl", b"\x80\x02).")
    assert "system" in refused(path)
    assert not (tmp_path / "ran").exists()


PICKLES = {
    "bytes of an exabyte": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0f.",
    "integer of a megabyte": b"\x80\x02\x8b\x00\x00\x10\x00" + b"\x01" * (1 << 20) + b".",
    "nothing to stop with": b"\x80\x02.",
    "no end": b"\x80\x02}",
    "mark taken as a value": b"\x80\x02(.",
    "key that never ends hashing": b"\x80\x02}N" + b"2\x86" * 64 + b"Ns.",
    "persistent id of nothing": b"\x80\x02NQ.",
    "unknown opcode": b"\x80\x02\xff.",
    "line without end": b"\x80\x02c" + b"a" * 5000,
    "item of a number": b"\x80\x02K\x01K\x02K\x03s.",
    "call of text": b"\x80\x02X\x01\x00\x00\x00a)R.",
    "tensor of no storage": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))tR.",
    "tensor of too few arguments": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "state of a list": b"\x80\x02]}b.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_hostile_pickles(tmp_path, name):
    refused(zipped(tmp_path / "m.pth", PICKLES[name]))
    (tmp_path / "old.pth").write_bytes(PICKLES[name])
    refused(tmp_path / "old.pth")


def test_a_memo_of_two_billion_places_takes_no_memory(tmp_path):
    path = zipped(tmp_path / "m.pth", b"\x80\x02}r\xff\xff\xff\x7f.")
    tracemalloc.start()
    assert len(W.open(path)) == 0
    assert tracemalloc.get_traced_memory()[1] < MEMORY
    tracemalloc.stop()


def test_containers_that_share_their_parts_do_not_multiply(tmp_path):
    # Twelve levels of lists, each with ten times the one before: 10^12 paths.
    data = b"\x80\x02]" + (b"q\x00]" + b"h\x00a" * 10) * 12
    refused(zipped(tmp_path / "m.pth", data + b"."))


def tensor(offset, shape, strides, key="0"):
    def numbers(values):
        return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"

    text = f"X{chr(len(key))}\0\0\0{key}".encode("latin-1")
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\n" + text + b"X\x03\0\0\0cpuJ"
    storage += struct.pack("<i", 4) + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"J" + struct.pack("<i", offset)
    return b"\x80\x02" + call + numbers(shape) + numbers(strides) + b"\x89}tR."


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (5,), (1,)),
        (1, (4,), (1,)),
        (-1, (2,), (1,)),
        (0, (2,), (9,)),
        (0, (2,), (1, 1)),
        (0, (1 << 30, 1 << 30), (0, 0)),
        (0, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (1,) * 40, (1,) * 40),
    ],
    ids=str,
)
def test_tensors_stay_in_their_storage(tmp_path, offset, shape, strides):
    four = np.arange(4, dtype="float32").tobytes()
    sound = zipped(tmp_path / "s.pth", tensor(0, (2, 2), (2, 1)), **{"0": four})
    np.testing.assert_array_equal(W.open(sound)["tensor"], [[0, 1], [2, 3]])
    refused(zipped(tmp_path / "m.pth", tensor(offset, shape, strides), **{"0": four}))


def test_a_missing_storage_is_named(tmp_path):
    assert "'7'" in refused(zipped(tmp_path / "m.pth", tensor(0, (1,), (1,), "7")))


HEADERS = {
    "no object": b"[]",
    "no json": b"{",
    "twice": b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},'
    b'"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}',
    "overlap": b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},'
    b'"b":{"dtype":"F32","shape":[],"data_offsets":[2,6]}}',
    "outside": b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}',
    "wrong size": b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}',
    "negative": b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[4,0]}}',
    "huge": b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}',
    "axes": b'{"a":{"dtype":"F32","shape":[' + b"1," * 60 + b'1],"data_offsets":[0,4]}}',
    "floats": b'{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}',
    "unknown dtype": b'{"a":{"dtype":"F3","shape":[1],"data_offsets":[0,4]}}',
    "deep": b'{"a":' * 2000 + b"1" + b"}" * 2000,
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_safetensors_that_lie(tmp_path, name):
    header = HEADERS[name]
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
    refused(path)


@pytest.mark.parametrize("length", [0xFFFFFFFFFFFFFFFF, 1 << 40, 9, 100])
def test_lengths_of_safetensors_that_lie(tmp_path, length):
    path = tmp_path / "m.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}      ")
    refused(path)


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def message(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def onnx_of(*parts):
    return message(7, message(5, b"".join(parts) + message(8, b"w")))


FLOAT = b"\x10\x01"
MODELS = {
    "empty": b"",
    "length beyond the end": b"\x3a\xff\xff\xff\xff\x0f",
    "number without end": b"\x38" + b"\xff" * 20,
    "no graph": b"\x08\x07",
    "group": b"\x3b",
    "size of the product": onnx_of(FLOAT, b"\x08" + varint(1 << 60), message(9, b"\0" * 8)),
    "negative size": onnx_of(FLOAT, b"\x08" + varint((1 << 64) - 1), message(9, b"\0" * 4)),
    "numbers missing": onnx_of(FLOAT, b"\x08\x02"),
    "raw data twice": onnx_of(FLOAT, b"\x08\x01", message(9, b"\0" * 4), message(9, b"\0" * 4)),
    "type of text": onnx_of(b"\x10\x08", b"\x08\x01"),
    "raw data of a number": onnx_of(FLOAT, b"\x08\x01", b"\x48\x04"),
    "name twice": message(7, message(5, FLOAT) * 2),
    "axes": onnx_of(FLOAT, b"\x08\x01" * 50, message(9, b"\0" * 4)),
}


@pytest.mark.parametrize("name", MODELS)
def test_onnx_that_lies(tmp_path, name):
    (tmp_path / "m.onnx").write_bytes(MODELS[name])
    refused(tmp_path / "m.onnx")


def test_zip_bombs_and_overlaps(tmp_path):
    bomb = io.BytesIO()
    np.lib.format.write_array(bomb, np.zeros(1 << 24, "float32"))
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bomb.getvalue())
    assert "would take" in refused(tmp_path / "bomb.npz")
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        archive.writestr("x.npy", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", b"2")
    assert "twice" in refused(tmp_path / "twice.npz")
    np.savez(tmp_path / "sound.npz", a=np.arange(3), b=np.arange(3))
    data = bytearray((tmp_path / "sound.npz").read_bytes())
    last = data.rindex(b"PK\x01\x02")
    data[last + 42 : last + 46] = (10).to_bytes(4, "little")
    (tmp_path / "overlap.npz").write_bytes(data)
    refused(tmp_path / "overlap.npz")


def test_numpy_files_of_objects_or_of_too_much(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    refused(tmp_path / "objects.npy")
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 8
    (tmp_path / "huge.npy").write_bytes(data)
    refused(tmp_path / "huge.npy")


@pytest.mark.parametrize(
    "suffix", [".safetensors", ".npz", ".npy", ".onnx", ".h5", ".keras", ".pth"]
)
def test_cut_off_and_empty_files(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"")
    refused(path)
    path.write_bytes(b"PK\x03\x04 and nothing more")
    refused(path)


def test_a_truncated_download(tmp_path):
    write_safetensors(tmp_path / "m.safetensors", {"x": np.ones((10, 10), "float32")})
    data = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(data[:-1])
    assert "lies outside" in refused(tmp_path / "m.safetensors")


def test_h5_links_elsewhere_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a"] = h5py.ExternalLink("/etc/hostname", "/x")
    refused(tmp_path / "m.h5")
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["a"] = h5py.SoftLink("/gone")
    refused(tmp_path / "s.h5")
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file.create_dataset("a", (4,), "f4", external=[("/etc/hostname", 0, 16)])
    refused(tmp_path / "e.h5")


def test_h5_that_would_fill_the_memory(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("a", (1 << 20, 1 << 16), "f4", chunks=(1024, 1024))
    refused(tmp_path / "m.h5")


def test_h5_loops_end(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("g")
        for name in "abcd":
            group[name] = group
        group["x"] = np.ones(2)
    assert [array.tolist() for array in W.open(tmp_path / "m.h5").values()] == [[1, 1]]
