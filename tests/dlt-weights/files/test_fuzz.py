"""Oracle: property. Of 5,000 mutated files a format each is read, or refused by one error, soon."""

from __future__ import annotations

import random
import time
import warnings

import numpy as np
import pytest

from dl_techniques import weights as W
from dl_techniques.weights.readers.safetensors_file import write_safetensors

FILES = 5_000
SECONDS = 5.0
RNG = np.random.default_rng(0)
ARRAYS = {"a.weight": RNG.normal(size=(3, 4)).astype("float32"), "a.bias": np.arange(3)}


def safetensors(path):
    write_safetensors(path, ARRAYS, {"format": "pt"})


def npz(path):
    np.savez(path, **ARRAYS)


def torch_zip(path, **options):
    torch = pytest.importorskip("torch")
    torch.save({name: torch.tensor(array) for name, array in ARRAYS.items()}, path, **options)


def torch_stream(path):
    torch_zip(path, _use_new_zipfile_serialization=False)


def onnx(path):
    made = pytest.importorskip("onnx")
    helper, array = made.helper, made.numpy_helper.from_array
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "fc.bias"], ["y"]),
    ]
    weights = [array(ARRAYS["a.weight"], "w"), array(ARRAYS["a.weight"][0], "fc.bias")]
    made.save(helper.make_model(helper.make_graph(nodes, "g", [], [], weights)), path)


def h5(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, values in ARRAYS.items():
            file.create_dataset(f"layer/{name}", data=values)
        file.create_dataset("packed", data=ARRAYS["a.weight"], chunks=(2, 2), compression="gzip")


FORMATS = {
    ".safetensors": safetensors,
    ".npz": npz,
    ".pth": torch_zip,
    ".pt": torch_stream,
    ".onnx": onnx,
    ".h5": h5,
}


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(data))
        kind = rng.randrange(5)
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            data[place : place + 8] = rng.choice((b"\xff", b"\0", b"\x7f")) * 8
        elif kind == 3:
            del data[place : place + rng.randrange(1, 16)]
        else:
            other = rng.randrange(len(data))
            data[place:place] = data[other : other + rng.randrange(1, 32)]
    return bytes(data) or b"\0"


@pytest.mark.parametrize("suffix", FORMATS)
def test_mutated_files(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    FORMATS[suffix](path)
    sound, rng = path.read_bytes(), random.Random(0)
    refused, slowest = 0, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(FILES):
            path.write_bytes(mutate(rng, sound))
            started = time.process_time()
            try:
                file = W.open(path, allow_stubs=True)
                [array.tobytes() for array in file.values()]
            except W.UnreadableFile:
                refused += 1
            slowest = max(slowest, time.process_time() - started)
    assert slowest < SECONDS  # a bound against hanging, not a measurement
    assert 0 < refused < FILES
