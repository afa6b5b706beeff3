"""Fixtures of the tests of models: peers with random weights, written to files by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest


@pytest.fixture
def images():
    """Standard normal images, the same at each call."""

    def make(height: int = 32, width: int | None = None, batch: int = 2) -> Any:
        rng = np.random.default_rng(0)
        return rng.normal(size=(batch, height, width or height, 3)).astype("float32")

    return make


@pytest.fixture
def randomized():
    """A module of torch with random weights and statistics, in evaluation mode."""

    def make(module: Any, scale: float = 0.3) -> Any:
        import torch

        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(std=scale)
            for name, buffer in module.named_buffers():
                if name.endswith("running_mean"):
                    buffer.normal_(std=scale)
                if name.endswith("running_var"):
                    buffer.uniform_(0.5, 1.5)
        return module.eval()

    return make


@pytest.fixture
def written(tmp_path):
    """The file in which a peer keeps its weights, written by its own library."""

    def write(peer: Any) -> Path:
        if hasattr(peer, "save_pretrained"):
            peer.save_pretrained(tmp_path / "peer")
        else:
            from safetensors.torch import save_file

            (tmp_path / "peer").mkdir()
            save_file(peer.state_dict(), tmp_path / "peer" / "model.safetensors")
        return tmp_path / "peer" / "model.safetensors"

    return write


@pytest.fixture
def answer():
    """What a peer makes of images, channels last."""

    def run(peer: Any, x: Any) -> Any:
        import torch

        with torch.no_grad():
            y = peer(torch.tensor(x.transpose(0, 3, 1, 2)))
        y = getattr(y, "logits", y)
        return y.permute(0, 2, 3, 1).numpy() if y.ndim == 4 else y.numpy()

    return run


@pytest.fixture
def agrees(verify):
    """Compare with a peer to 1e-5 of the largest number."""

    def compare(component: str, oracle: str, ours: Any, theirs: Any, what: str = "output") -> None:
        ours = keras.ops.convert_to_numpy(ours)
        verify(f"dl_techniques>{component}", oracle, ours, np.asarray(theirs), what=what)

    return compare


@pytest.fixture
def returns(tmp_path):
    """Whether exporting gives the file back, byte by byte."""

    def check(model: Any, path: Path, layout: str) -> None:
        from dl_techniques import weights

        back = tmp_path / "back.safetensors"
        weights.export(model, back, layout, like=path)
        ours, theirs = weights.open(back), weights.open(path)
        assert list(ours) == list(theirs)
        for name in theirs:
            assert ours[name].tobytes() == theirs[name].tobytes(), name

    return check


@pytest.fixture
def gradients():
    """The gradients of the sum of squares of a model's output by some of its variables."""

    def of(model: Any, x: Any, variables: list[Any]) -> list[Any]:
        from dl_techniques.core.testing.differentiation import differentiator

        found = differentiator(lambda t: keras.ops.sum(model(t) ** 2), variables)([x])
        return [np.asarray(gradient) for gradient in found.variables]

    return of
