"""TiRex: tirex-ts with its checkpoint, gradients, layouts of files, listed weights."""

from __future__ import annotations

import json
import shutil

import keras
import numpy as np
import pytest

from dl_techniques import weights as W
from dl_techniques.core import load_model, save_model
from dl_techniques.core.testing.differentiation import differentiator
from dl_techniques.models.tirex import TiRex

LENGTH, PATCH = 24, 4
NAME = "dl_techniques>TiRex"


@pytest.fixture(autouse=True)
def private_places(tmp_path, monkeypatch):
    """No test sees the user's cache or mirror, nor opens a socket."""
    monkeypatch.setenv("DL_TECHNIQUES_WEIGHTS_DIR", str(tmp_path / "mirror"))
    monkeypatch.setenv("DL_TECHNIQUES_OFFLINE", "1")
    monkeypatch.setenv("DL_TECHNIQUES_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def series():
    """Series of which one has gaps, one is constant, and one has no samples."""
    rng = np.random.default_rng(0)
    x = (5 * rng.normal(size=(4, LENGTH + 5)).cumsum(1) + 20).astype("float32")
    x[0, 12:20] = np.nan
    x[1] = 7.0
    x[2] = np.nan
    return x


@pytest.fixture
def peer(monkeypatch, tmp_path):
    """A small model of tirex-ts in float32, and the checkpoint that it is read from."""
    import torch
    from tirex.models.slstm.cell import sLSTMCell
    from tirex.models.tirex import TiRexZero

    def in_float32(self, steps, state):
        """On a CPU the peer rounds inputs, states and weights to bfloat16."""
        sizes = (self.config.num_heads, self.config.num_gates, self.config.head_dim)
        bias = self._bias_.reshape(sizes).permute(1, 0, 2).reshape(-1)
        steps = steps.reshape(*steps.shape[:2], -1)
        return self._impl_forward_torch(steps, state, self._recurrent_kernel_, bias)

    monkeypatch.setattr(sLSTMCell, "_impl_torch", in_float32)
    settings = {
        "input_patch_size": PATCH,
        "output_patch_size": PATCH,
        "quantiles": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        "block_kwargs": {"num_blocks": 2, "embedding_dim": 8, "num_heads": 2},
        "input_ff_dim": 16,
    }
    torch.manual_seed(0)
    made = TiRexZero("torch", settings, train_ctx_len=LENGTH)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.4)
    hyper = {"model_config": settings, "train_ctx_len": LENGTH}
    file = tmp_path / "model.ckpt"
    torch.save({"state_dict": made.state_dict(), "hyper_parameters": hyper}, file)
    return made, file


@pytest.mark.oracle
def test_forecasts_agree_with_tirex_ts(peer, series, verify, tmp_path):
    import torch

    made, file = peer
    model = TiRex.from_weights(file, context_length=LENGTH)
    assert model.count_params() == sum(p.numel() for p in made.parameters())
    for patches in (1, 3):
        theirs, median = made._forecast_quantiles(
            torch.tensor(series), 10, max_accelerated_rollout_steps=patches
        )
        ours = model.forecast(series, 10, patches_at_once=patches)
        what = f"{patches} patches at once"
        verify(NAME, "tirex-ts", ours, theirs.numpy(), what=what)
        np.testing.assert_array_equal(median.numpy(), theirs.numpy()[..., 4])
    save_model(model, tmp_path / "model.keras")  # what was compiled is not saved
    again = load_model(tmp_path / "model.keras")
    for before, after in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.oracle
def test_gradients_agree_with_tirex_ts(peer, series, verify):
    import torch

    made, file = peer
    model = TiRex.from_weights(file, context_length=LENGTH)
    x = series[:1, -LENGTH:]
    weights = [model.blocks[0].cell.recurrent_kernel, model.blocks[1].gates.kernel]
    loss = lambda t: keras.ops.sum(keras.ops.square(model.ahead(t, 1)))  # noqa: E731
    found = differentiator(loss, weights)([x]).variables
    made._forecast_single_step(torch.tensor(x)).square().sum().backward()
    layer = made.blocks[1].slstm_layer
    # The file's forget gate is the cell's input gate.
    slots = [getattr(layer, f"{name}gate").weight.grad.numpy() for name in "fizo"]
    gates = np.concatenate([slot.transpose(0, 2, 1) for slot in slots], axis=-1)
    recurrent = made.blocks[0].slstm_layer.slstm_cell._recurrent_kernel_.grad.numpy()
    for ours, theirs in zip(found, (recurrent, gates), strict=True):
        verify(NAME, "tirex-ts", np.asarray(ours), theirs, what="gradient of weights")


@pytest.mark.oracle
def test_reads_older_files_and_state_dicts_and_writes_files_back(peer, tmp_path):
    import torch

    made, file = peer
    model = TiRex.from_weights(file, context_length=LENGTH)
    state = made.state_dict()
    moved = {
        f"block_stack.{k}" if k.startswith(("blocks", "out_norm")) else k: v
        for k, v in state.items()
    }
    torch.save({"state_dict": moved}, tmp_path / "older.ckpt")
    torch.save(state, tmp_path / "state.pt")
    for name in ("older.ckpt", "state.pt"):
        other = TiRex.from_weights(tmp_path / name, context_length=LENGTH)
        for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    W.export(model, tmp_path / "back.safetensors", "nx-ai_state")
    from safetensors.torch import load_file

    back = load_file(tmp_path / "back.safetensors")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)
    del state["out_norm.weight"]
    torch.save(state, tmp_path / "short.pt")
    with pytest.raises(W.WeightsMismatch, match="out_norm"):
        TiRex.from_weights(tmp_path / "short.pt", context_length=LENGTH)
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(W.WeightsMismatch, match="no file of TiRex"):
        TiRex.from_weights(tmp_path / "other.pt")


@pytest.mark.oracle
def test_the_command_line_ports_a_checkpoint(peer, tmp_path):
    """Property: the file that `port` writes has the weights that `from_weights` reads."""
    from dl_techniques.core.cli import main

    _, file = peer
    expected = TiRex.from_weights(file, context_length=LENGTH)
    settings = {name: getattr(expected, name) for name in ("patch_size", "embed_dim", "num_heads")}
    settings |= {"num_blocks": 2, "input_ff_dim": 16, "context_length": LENGTH}
    arguments = ["--config", json.dumps(settings), "-o", str(tmp_path / "net.keras")]
    assert main(["port", str(file), "--to", NAME, *arguments]) == 0
    found = load_model(tmp_path / "net.keras")
    for ours, theirs in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.oracle
def test_listed_weights_come_from_a_mirror(peer, tmp_path, monkeypatch):
    made, file = peer
    (row,) = [row for row in W.list() if row.component == NAME]
    assert (row.name, row.licence, row.gate) == ("TiRex/35m/nx-ai", "nxai-community", "notice")
    place = tmp_path / "mirror" / row.sources[0].mirror_path
    place.parent.mkdir(parents=True)
    shutil.copy(file, place)
    sizes = {"patch_size": PATCH, "embed_dim": 8, "num_blocks": 2, "num_heads": 2}
    sizes |= {"input_ff_dim": 16, "context_length": LENGTH}
    monkeypatch.setattr("dl_techniques.weights.licence._announced", {row.licence})
    by_tag = TiRex(**sizes, weights="nx-ai", accept_license=row.licence)
    by_name = TiRex.from_weights(row.name, accept_license=row.licence, context_length=LENGTH)
    expected = made.blocks[1].slstm_layer.slstm_cell._bias_.detach().numpy()
    for model in (by_tag, by_name):
        found = keras.ops.convert_to_numpy(model.blocks[1].cell.bias)
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(W.UnknownWeights):
        TiRex(**sizes, weights="imagenet")
    with pytest.raises(TypeError, match="`weights`"):
        TiRex(**sizes, weights=3)


def test_the_defaults_are_the_published_sizes():
    """Closed form: 35 291 200 parameters, as many as NX-AI's file of 141 MB holds."""
    model = TiRex(kernel_initializer="zeros")
    model.build()
    assert model.count_params() == 35_291_200
    assert model.blocks[0].ffn.up.units == 1408


def test_a_token_sees_no_later_patch():
    """Property: two samples of the last patch that change places change its forecast alone."""
    sizes = {"embed_dim": 4, "num_blocks": 1, "num_heads": 2, "input_ff_dim": 5, "ffn_dim": 6}
    model = TiRex(PATCH, context_length=LENGTH, **sizes)
    x = np.random.default_rng(0).normal(size=(1, 3 * PATCH)).astype("float32")
    other = x.copy()
    other[:, -2:] = other[:, :-3:-1]
    ours, theirs = (keras.ops.convert_to_numpy(model(v)) for v in (x, other))
    np.testing.assert_allclose(ours[:, : 2 * PATCH], theirs[:, : 2 * PATCH], atol=1e-5)
    assert np.abs(ours[:, 2 * PATCH :] - theirs[:, 2 * PATCH :]).max() > 1e-3
    with pytest.raises(ValueError, match="multiple of `patch_size`"):
        model(x[:, 1:])
    with pytest.raises(TypeError, match="no such settings"):
        model.forecast(x, 4, samples=3)
