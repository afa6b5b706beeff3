"""Files that are made here byte by byte, or by the libraries that own the formats."""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile

import h5py
import ml_dtypes
import numpy as np
import pytest

from dl_techniques.weightwatcher import SourceError, analyze_model, describe_model
from dl_techniques.weightwatcher.readers.opening import open_source
from dl_techniques.weightwatcher.readers.values import Held, Mapped

CODES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3"}
CODES.update({"float64": "F64", "int8": "I8"})


def write_safetensors(path, arrays):
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        blobs.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def write_keras_like(path, groups, config=None, compression=zipfile.ZIP_STORED):
    """A .keras archive of datasets: group -> (layer name, arrays)."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for group, (name, arrays) in groups.items():
            made = file.create_group(f"{group}/vars")
            made.attrs["name"] = name
            for index, array in enumerate(arrays):
                made.create_dataset(str(index), data=array)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("config.json", json.dumps(config or {}))
        archive.writestr("model.weights.h5", buffer.getvalue())


def rows(source, **options):
    """The numbers of the rows, without names."""
    keep = ("N", "M", "rf", "alpha", "D", "xmin", "stable_rank", "entropy", "log_norm")
    result = analyze_model(source, n_jobs=1, **options)
    return [[record[key] for key in keep] for record in result.to_records()]


def test_every_format_gives_the_rows_of_the_arrays(tmp_path, weights):
    expected = rows(weights)
    np.savez(tmp_path / "plain.npz", **weights)
    np.savez_compressed(tmp_path / "small.npz", **weights)
    write_safetensors(tmp_path / "model.safetensors", weights)
    with h5py.File(tmp_path / "any.h5", "w") as file:
        for name, array in weights.items():
            file[name] = array
    with h5py.File(tmp_path / "packed.h5", "w") as file:
        for name, array in weights.items():
            file.create_dataset(name, data=array, compression="gzip")
    for name in ("plain.npz", "small.npz", "model.safetensors"):
        assert rows(tmp_path / name) == expected, name
    for name in ("any.h5", "packed.h5"):
        assert sorted(rows(tmp_path / name)) == sorted(expected), name
    assert rows(iter(weights.items())) == expected
    assert rows({name: array.tolist() for name, array in weights.items()})[0][:2] == [300, 100]


def test_plain_storage_is_mapped_and_not_read(tmp_path, weights):
    np.savez(tmp_path / "a.npz", **weights)
    write_safetensors(tmp_path / "a.safetensors", weights)
    groups = {"layers/dense": ("first", [weights["dense"]])}
    write_keras_like(tmp_path / "a.keras", groups)
    for name in ("a.npz", "a.safetensors", "a.keras"):
        for weight in open_source(tmp_path / name).weights:
            assert isinstance(weight.values, Mapped), name
    write_keras_like(tmp_path / "b.keras", groups, compression=zipfile.ZIP_DEFLATED)
    assert isinstance(open_source(tmp_path / "b.keras").weights[0].values, Held)
    np.save(tmp_path / "one.npy", np.asfortranarray(weights["dense"]))
    assert rows(tmp_path / "one.npy") == rows({"one": weights["dense"]})
    assert rows(tmp_path / "b.keras") == rows(tmp_path / "a.keras")


def test_layers_of_a_keras_file_have_their_names_and_classes(tmp_path):
    rng = np.random.default_rng(0)
    config = {
        "config": {
            "layers": [
                {"class_name": "Dense", "config": {"name": "head"}},
                {
                    "class_name": "EinsumDense",
                    "config": {"name": "mix", "equation": "abc,cde->abde"},
                },
            ]
        }
    }
    groups = {
        "layers/dense": ("head", [rng.normal(size=(20, 12)), np.ones(12)]),
        "layers/einsum_dense": ("mix", [rng.normal(size=(20, 4, 5))]),
        "layers/lstm/cell": ("lstm_cell", [rng.normal(size=(10, 64)), rng.normal(size=(16, 64))]),
        "layers/lstm": ("lstm", []),
        "optimizer": ("adam", [rng.normal(size=(20, 12))]),
    }
    write_keras_like(tmp_path / "m.keras", groups, config)
    result = describe_model(tmp_path / "m.keras")
    found = {r["longname"]: (r["layer_type"], r["N"], r["M"]) for r in result.to_records()}
    assert found["head/kernel"] == ("Dense", 20, 12)
    assert found["mix/kernel"] == ("EinsumDense", 20, 20)
    assert found["lstm/lstm_cell/kernel[gate 3]"] == ("LSTMCell", 16, 10)
    assert found["lstm/lstm_cell/recurrent_kernel[gate 0]"] == ("LSTMCell", 16, 16)
    reasons = {entry.path: entry.reason for entry in result.skipped}
    assert reasons["optimizer/vars/0"] == "state of the optimizer"
    assert "fewer than two axes" in reasons["head/bias"]


def test_half_precision_and_quantized_weights(tmp_path, heavy):
    narrow = {
        "half": heavy.astype("float16"),
        "brain": heavy.astype(ml_dtypes.bfloat16),
        "eight": heavy.astype(ml_dtypes.float8_e4m3fn),
    }
    write_safetensors(tmp_path / "narrow.safetensors", narrow)
    for source in (narrow, tmp_path / "narrow.safetensors"):
        records = {r["longname"]: r for r in analyze_model(source, n_jobs=1).to_records()}
        for name, array in narrow.items():
            exact = analyze_model({"w": array.astype("float32")}, n_jobs=1)[0]
            assert records[name]["dtype"] == array.dtype.name
            assert records[name]["alpha"] == exact["alpha"]
    scale = np.abs(heavy).max(axis=0, keepdims=True) / 127
    packed = np.round(heavy / scale).astype("int8")
    quantized = {"q.weight": packed, "q.weight_scale": scale.astype("float32")}
    result = analyze_model(quantized, n_jobs=1)
    exact = analyze_model({"w": packed.astype("float32") * scale.astype("float32")}, n_jobs=1)
    assert result[0]["alpha"] == exact[0]["alpha"]
    assert result[0]["dtype"] == "int8"
    assert result.skipped[0].reason == "the scale of q.weight"


def test_shards_by_index_in_the_order_of_the_index(tmp_path):
    rng = np.random.default_rng(1)
    arrays = {f"layer.{i}.weight": rng.normal(size=(20, 10)).astype("float32") for i in range(6)}
    placed = {}
    for i, name in enumerate(arrays):
        placed[name] = f"model-{i % 2}.safetensors"
    for file in set(placed.values()):
        part = {name: arrays[name] for name, home in placed.items() if home == file}
        write_safetensors(tmp_path / file, part)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    result = describe_model(tmp_path)
    assert [layer["longname"] for layer in result] == list(arrays)
    assert [layer["layer_id"] for layer in result] == list(range(6))
    (tmp_path / "model.safetensors.index.json").unlink()
    assert {layer["longname"] for layer in describe_model(tmp_path)} == set(arrays)


class FakeTensor:
    """Pickles as a tensor of torch does, without torch."""

    def __init__(self, key, shape, strides, offset=0):
        self.record = (key, shape, strides, offset)


def torch_archive(path, entries, storages, compression=zipfile.ZIP_STORED):
    """A checkpoint as torch.save writes it: one pickle, and storages beside it."""
    torch = type(sys)("torch")
    utils = type(sys)("torch._utils")
    utils._rebuild_tensor_v2 = rebuild = lambda *a: None
    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
        "_rebuild_tensor_v2",
    )
    storage_type = type("FloatStorage", (), {"__module__": "torch"})
    torch.FloatStorage, torch._utils = storage_type, utils

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            return item if isinstance(item, tuple) and item[:1] == ("storage",) else None

        def reducer_override(self, item):
            if isinstance(item, FakeTensor):
                key, shape, strides, offset = item.record
                pid = ("storage", storage_type, key, "cpu", storages[key].size)
                return rebuild, (pid, offset, shape, strides, False, {})
            return NotImplemented

    saved = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        buffer = io.BytesIO()
        Pickler(buffer, 2).dump(entries)
    finally:
        for name, module in saved.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("m/data.pkl", buffer.getvalue())
        for key, array in storages.items():
            archive.writestr(f"m/data/{key}", array.tobytes())


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_checkpoints_of_torch_without_torch(tmp_path, heavy, compression):
    storages = {"0": heavy.ravel()}
    entries = {
        "model": {
            "a.weight": FakeTensor("0", (300, 100), (100, 1)),
            "t.weight": FakeTensor("0", (100, 100), (1, 100)),
            "b.weight": FakeTensor("0", (50, 100), (100, 1), 1000),
        },
        "epoch": 3,
    }
    torch_archive(tmp_path / "m.pt", entries, storages, compression)
    expected = {"a.weight": heavy, "t.weight": heavy[:100].T, "b.weight": heavy[10:60]}
    assert rows(tmp_path / "m.pt") == rows(expected)


def test_a_checkpoint_that_wants_more_than_tensors_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return exec, ("raise SystemExit",)

    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps({"w": Evil()}))
    with pytest.raises(SourceError, match=r"builtins\.exec"):
        analyze_model(tmp_path / "evil.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(SourceError, match="weights_only"):
        analyze_model(tmp_path / "old.pt")
    torch_archive(
        tmp_path / "far.pt", {"w": FakeTensor("0", (9, 9), (9, 1))}, {"0": np.ones(4, "float32")}
    )
    with pytest.raises(SourceError, match="beyond"):
        analyze_model(tmp_path / "far.pt")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["m.keras", "m.safetensors", "m.npz", "m.npy", "m.h5", "m.pt"])
def test_files_that_are_cut_off_are_refused_or_accounted_for(tmp_path, heavy, name, share):
    path = tmp_path / name
    if name == "m.keras":
        write_keras_like(path, {"layers/dense": ("d", [heavy])})
    elif name == "m.safetensors":
        write_safetensors(path, {"w": heavy})
    elif name == "m.npz":
        np.savez(path, w=heavy)
    elif name == "m.npy":
        np.save(path, heavy)
    elif name == "m.pt":
        torch_archive(path, {"w": FakeTensor("0", (300, 100), (100, 1))}, {"0": heavy.ravel()})
    else:
        with h5py.File(path, "w") as file:
            file["w"] = heavy
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=r"m\."):
        analyze_model(path, n_jobs=1)


def test_small_files_do_not_describe_large_matrices(tmp_path, heavy):
    write_keras_like(tmp_path / "b.keras", {"layers/dense": ("d", [np.zeros((6000, 6000))])})
    with zipfile.ZipFile(tmp_path / "b.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "b.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(SourceError, match="unpacked"):
        analyze_model(tmp_path / "b.keras")
    expanded = {
        "w": FakeTensor("0", (10**6, 10**6), (0, 0)),
        "v.weight": FakeTensor("0", (300, 100), (100, 1)),
    }
    torch_archive(tmp_path / "e.pt", expanded, {"0": heavy.ravel()})
    result = describe_model(tmp_path / "e.pt")
    assert [layer["path"] for layer in result] == ["v.weight"]
    assert "repeated" in result.skipped[0].reason


def test_shapes_and_types_that_no_array_has(tmp_path):
    for shape, kind in (((-5, -80), "<f4"), ((5, 80), "<M8[s]"), ((5, 80), "<U1")):
        with (tmp_path / "x.npy").open("wb") as file:
            header = {"descr": kind, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.write(bytes(3200))
        with pytest.raises(SourceError, match=r"shape|type"):
            analyze_model(tmp_path / "x.npy")


def test_a_weight_that_cannot_be_read_is_a_row_and_the_others_are_intact(tmp_path, heavy):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["good"] = heavy
        packed = file.create_dataset("packed", data=heavy, compression="gzip", chunks=heavy.shape)
        chunk = packed.id.get_chunk_info(0)
    data = bytearray((tmp_path / "m.h5").read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    (tmp_path / "m.h5").write_bytes(data)
    result = analyze_model(tmp_path / "m.h5", n_jobs=1)
    assert {layer["longname"]: layer["status"] for layer in result} == {
        "good": "ok",
        "packed": "failed",
    }
    assert result.layer("good")["alpha"] == analyze_model({"w": heavy}, n_jobs=1)[0]["alpha"]


def test_links_and_foreign_objects_in_hdf5_are_refused(tmp_path, heavy):
    with h5py.File(tmp_path / "target.h5", "w") as file:
        file["w"] = heavy
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["w"] = h5py.ExternalLink("target.h5", "w")
    with pytest.raises(SourceError, match="link"):
        analyze_model(tmp_path / "link.h5")
    with h5py.File(tmp_path / "text.h5", "w") as file:
        file["words"] = ["a", "b"]
        file["w"] = heavy
    result = describe_model(tmp_path / "text.h5")
    assert [layer["longname"] for layer in result] == ["w"]
    assert [entry.path for entry in result.skipped] == ["words"]


def test_invalid_sources_are_named(tmp_path):
    for source, text in (
        (tmp_path / "missing.keras", "no file"),
        (tmp_path, "no file of weights"),
        (3, "Expected a Keras model"),
        ([1, 2], "pairs"),
        ([("a", np.eye(9)), ("a", np.eye(9))], "twice"),
    ):
        with pytest.raises(SourceError, match=text):
            analyze_model(source)
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(SourceError, match=r"Received: .*a\.txt"):
        analyze_model(tmp_path / "a.txt")
    (tmp_path / "m.safetensors.index.json").write_text(
        '{"weight_map": {"w": "../etc/x.safetensors"}}'
    )
    with pytest.raises(SourceError, match="elsewhere"):
        analyze_model(tmp_path / "m.safetensors.index.json")


def test_low_rank_updates_equal_the_dense_computation(tmp_path):
    rng = np.random.default_rng(2)
    base = rng.normal(size=(40, 30)).astype("float32")
    A, B = rng.normal(size=(10, 30)).astype("float32"), rng.normal(size=(40, 10)).astype("float32")
    state = {"q.weight": base, "q.lora_A.weight": A, "q.lora_B.weight": B}
    result = analyze_model(state, lora_scaling=2.0, n_jobs=1)
    delta = 2.0 * B.astype("float64") @ A
    assert len(result.layer("q.lora_delta").esd) == 10
    assert {layer["longname"] for layer in result} == {
        "q.weight",
        "q.lora_delta",
        "q.lora_effective",
    }
    expected = np.linalg.svd(delta, compute_uv=False)[:10] ** 2
    found = result.layer("q.lora_delta")
    np.testing.assert_allclose(found.esd[::-1][:10], expected, rtol=1e-9)
    effective = np.linalg.svd(base + delta, compute_uv=False) ** 2
    np.testing.assert_allclose(result.layer("q.lora_effective").esd[::-1], effective, rtol=1e-9)
    write_safetensors(
        tmp_path / "adapter_model.safetensors", {k: v for k, v in state.items() if "lora" in k}
    )
    (tmp_path / "adapter_config.json").write_text('{"r": 10, "lora_alpha": 20}')
    again = analyze_model(tmp_path, n_jobs=1).layer("q.lora_delta")
    np.testing.assert_allclose(again.esd, found.esd, rtol=1e-12, atol=1e-9)
    odd = analyze_model({"q.lora_A.weight": A, "q.lora_B.weight": B[:, :3], "w": base}, n_jobs=1)
    assert [layer["path"] for layer in odd] == ["w"]
    assert all("do not fit" in entry.reason for entry in odd.skipped)


def test_the_change_from_a_base_model(weights):
    changed = {name: array + (0.1 if name != "square" else 0) for name, array in weights.items()}
    changed["new"] = np.eye(10)
    result = analyze_model(changed, base=weights, n_jobs=1)
    rank_one = result.layer("dense")
    assert rank_one["stable_rank"] == pytest.approx(1, abs=1e-6)
    assert result.layer("square")["status"] == "zero"
    assert [e.reason for e in result.skipped if e.path == "new"] == [
        "the base model has no weight of this name"
    ]
    with pytest.raises(SourceError, match="in common"):
        analyze_model({"x": np.eye(9)}, base=weights)
