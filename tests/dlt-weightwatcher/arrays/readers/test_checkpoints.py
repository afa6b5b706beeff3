"""Folders and checkpoints as hubs and trainers leave them; the oracle is what was saved."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from dl_techniques.weightwatcher import SourceError, analyze_model, describe_model

RNG = np.random.default_rng(0)
W = {f"layers.{i}.weight": RNG.normal(size=(20, 12)).astype("f4") for i in range(4)}


def save(path, tensors):
    header, data = {}, b""
    for name, array in tensors.items():
        ends = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": ends}
        data += np.ascontiguousarray(array, "f4").tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def names(source):
    return [layer["path"] for layer in describe_model(source)]


def test_a_hub_folder_with_every_format_is_one_model(tmp_path):
    save(tmp_path / "model.safetensors", W)
    save(tmp_path / "model.fp16.safetensors", W)
    save(tmp_path / "adapter_model.safetensors", {"x.lora_A.weight": W["layers.0.weight"]})
    junk = ("pytorch_model.bin", "tf_model.h5", "model.onnx", "optimizer.pt", "scheduler.pt")
    for name in (*junk, "rng_state_0.pth", "training_args.bin", "flax_model.msgpack"):
        (tmp_path / name).write_bytes(b"not read")
    result = describe_model(tmp_path)
    assert [layer["path"] for layer in result] == list(W)
    reasons = {entry.path: entry.reason for entry in result.skipped}
    assert "adapter" in reasons["adapter_model.safetensors"]
    assert "trainer" in reasons["optimizer.pt"]
    assert "another" in reasons["model.fp16.safetensors"]
    assert reasons.keys() >= {*junk, "rng_state_0.pth", "training_args.bin"}


def test_an_index_of_any_name_decides(tmp_path):
    parts = list(W.items())
    save(tmp_path / "diffusion_pytorch_model-00001-of-00002.safetensors", dict(parts[:2]))
    save(tmp_path / "diffusion_pytorch_model-00002-of-00002.safetensors", dict(parts[2:]))
    assert names(tmp_path) == list(W)
    home = "diffusion_pytorch_model-0000{}-of-00002.safetensors"
    placed = {n: home.format(1 + i // 2) for i, n in enumerate(reversed(list(W)))}
    placed = {n: home.format(1 if n in dict(parts[:2]) else 2) for n in placed}
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": placed}))
    assert names(tmp_path) == list(reversed(list(W)))


def test_a_missing_shard_is_named(tmp_path):
    save(tmp_path / "model-00001-of-00003.safetensors", W)
    with pytest.raises(SourceError, match="1 of 3 shards"):
        describe_model(tmp_path)


def test_an_adapter_alone_is_the_model(tmp_path):
    factors = {"q.lora_A.weight": W["layers.0.weight"].T, "q.lora_B.weight": W["layers.1.weight"]}
    save(tmp_path / "adapter_model.safetensors", factors)
    (tmp_path / "adapter_config.json").write_text('{"r": 12, "lora_alpha": 12}')
    (tmp_path / "optimizer.pt").write_bytes(b"not read")
    assert names(tmp_path) == ["q.lora_delta"]


def test_folders_inside_are_named(tmp_path):
    for name in ("unet", "vae", "logs"):
        (tmp_path / name).mkdir()
    save(tmp_path / "unet" / "model.safetensors", W)
    save(tmp_path / "vae" / "model.safetensors", W)
    with pytest.raises(SourceError, match=r"folders: unet, vae\."):
        describe_model(tmp_path)


def test_the_cache_of_a_hub_is_followed(tmp_path):
    inner = tmp_path / "snapshots" / "abc123"
    inner.mkdir(parents=True)
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "main").write_text("abc123")
    (tmp_path / "blobs").mkdir()
    save(tmp_path / "blobs" / "1", W)
    (inner / "model.safetensors").symlink_to("../../blobs/1")
    assert names(tmp_path) == list(W)


def test_several_checkpoints_are_not_one(tmp_path):
    for name in ("epoch=1.ckpt", "last.ckpt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(SourceError, match=r"epoch=1\.ckpt, last\.ckpt"):
        describe_model(tmp_path)


@pytest.mark.oracle
def test_the_model_of_a_training_checkpoint(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(12, 20), torch.nn.Linear(20, 12))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(4, 12)).square().mean().backward()
    optimizer.step()
    state, moments = net.state_dict(), optimizer.state_dict()
    own = ["0.weight", "1.weight"]
    contents = {
        "plain": ({"epoch": 3, "model": state, "optimizer": moments}, "model."),
        "lightning": ({"state_dict": state, "optimizer_states": [moments]}, "state_dict."),
        "odd names": ({"net": state, "my_adam": moments, "lr_scheduler": {}}, "net."),
        "averages": ({"model": state, "ema": state, "model_ema": {"module": state}}, "model."),
        "only averages": ({"params_ema": state}, "params_ema."),
        "inside": ({**state, "model_ema.0.weight": state["0.weight"] + 1}, ""),
    }
    for kind, (content, prefix) in contents.items():
        torch.save(content, tmp_path / "c.ckpt")
        for source in (tmp_path / "c.ckpt", content):
            result = describe_model(source)
            assert [layer["path"] for layer in result] == [prefix + n for n in own], kind
    torch.save(moments, tmp_path / "optimizer.pt")
    result = analyze_model(tmp_path / "optimizer.pt")
    assert not len(result)
    assert all("optimizer" in entry.reason for entry in result.skipped)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:TypedStorage is")
@pytest.mark.parametrize("old", [False, True])
def test_files_that_torch_loads_safely_are_read(tmp_path, old):
    torch = pytest.importorskip("torch")
    from collections import Counter

    torch.manual_seed(0)
    big = torch.randn(40, 30)
    marked = torch.nn.Parameter(torch.randn(20, 12))
    marked.mark = 3
    scales, zeros = torch.rand(20) + 0.1, torch.zeros(20)
    content = {
        "view": big[5:25, :12],
        "turned": big.T,
        "half": torch.randn(20, 12).half(),
        "brain": torch.randn(20, 12).bfloat16(),
        "eight": torch.randn(20, 12).to(torch.float8_e4m3fn),
        "parameter": marked,
        "tensor codes": torch.quantize_per_tensor(torch.randn(20, 12), 0.1, 3, torch.qint8),
        "channel codes": torch.quantize_per_channel(
            torch.randn(20, 12), scales, zeros, 0, torch.qint8
        ),
        "meta": torch.empty(20, 12, device="meta"),
        "sparse": torch.eye(12).to_sparse(),
        "words": {"a": Counter("ab"), "b": bytearray(b"x"), "c": {1, 2}, "d": 1j, "e": torch.int8},
    }
    if old:  # formats that the old stream cannot hold
        del content["eight"]
    path = tmp_path / "m.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    loaded = torch.load(path, weights_only=True)
    from dl_techniques.weightwatcher.readers.opening import open_source

    source = open_source(path)
    found = {weight.path: weight.values.read() for weight in source.weights}
    assert {entry.path for entry in source.skipped} == {"meta", "sparse"}
    assert found.keys() == content.keys() - {"meta", "sparse", "words"}
    for name, array in found.items():
        tensor = loaded[name].detach()
        exact = tensor.dequantize() if tensor.is_quantized else tensor.float()
        np.testing.assert_allclose(array.astype("f4"), exact.numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.oracle
def test_an_old_stream_that_is_cut_or_asks_for_more_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "m.pt"
    torch.save({"w": torch.ones(20, 12)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(SourceError, match=r"m\.pt"):
            describe_model(path)
    torch.save({"w": pathlib.PurePosixPath("x")}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(SourceError, match="pathlib"):
        describe_model(path)
