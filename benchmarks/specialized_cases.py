"""Cases of image filters, maps, splines, capsules and ternary weights.

Image filters and the map are compared with NumPy packages on every backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import layers, ops
from layer_cases import Case

SIZE = 512


def photograph(scale: float) -> Callable[[tuple[int, ...]], Any]:
    """scikit-image's cameraman, from 0 to `scale`."""

    def make(shape: tuple[int, ...]) -> Any:
        from skimage import data

        return (data.camera().reshape(shape) * (scale / 255)).astype("float32")

    return make


def skimage_canny() -> Callable[[Any], Any]:
    from skimage.feature import canny

    return lambda x: canny(x[0, ..., 0], 1.5, 0.1, 0.2)


def opencv_clahe() -> Callable[[Any], Any]:
    import cv2

    cv2.setNumThreads(1)
    peer = cv2.createCLAHE(2.0, (8, 8))
    return lambda x: peer.apply(x[0, ..., 0].astype("uint8"))


def minisom_pass() -> Callable[[Any], Any]:
    """One pass of the sequential map over the samples, or rather its batch step."""
    from minisom import MiniSom

    som = MiniSom(20, 20, 64, sigma=3.0, learning_rate=0.5, random_seed=0)
    som._sigma_decay_function = lambda value, *_: value
    return lambda x: som.train_batch_offline(x, 1)


def routed(transform: Any, u: Any, rounds: int = 3) -> Any:
    """Routing by agreement as it is usually written, with its useless last update left out."""
    predictions = transform(u)  # (batch, inputs, outputs, dim)
    logits = ops.zeros_like(predictions[..., 0])
    for index in range(rounds):
        share = ops.softmax(logits, axis=2)
        s = ops.sum(share[..., None] * predictions, axis=1)
        squares = ops.sum(s * s, axis=-1, keepdims=True)
        v = squares / (1 + squares) * s / ops.sqrt(squares + 1e-7)
        if index < rounds - 1:
            logits = logits + ops.sum(predictions * v[:, None], axis=-1)
    return v


class Capsules(layers.Layer):
    """Capsules with routing."""

    def build(self, shape: Any) -> None:
        """Create the transformation of each pair of capsules."""
        self.kernel = self.add_weight(shape=(shape[1], 10, shape[2], 16))

    def call(self, u: Any) -> Any:
        """Route."""
        return routed(lambda u: ops.einsum("bip,ijpq->bijq", u, self.kernel), u)


class Splines(layers.Layer):
    """A KAN layer by the recursion of Cox and de Boor, as efficient-kan has it."""

    def build(self, shape: Any) -> None:
        """Create the weights and the knots."""
        self.base = self.add_weight(shape=(shape[-1], 64))
        self.spline = self.add_weight(shape=(shape[-1], 8, 64))
        self.scale = self.add_weight(shape=(shape[-1], 64))
        self.knots = (np.arange(-3, 9) * 0.4 - 1).astype("float32")

    def call(self, x: Any) -> Any:
        """Add the base branch and the splines."""
        t, z = self.knots, x[..., None]
        bases = ops.cast(ops.logical_and(z >= t[:-1], z < t[1:]), x.dtype)
        for k in (1, 2, 3):
            rising = (z - t[: -k - 1]) / (t[k:-1] - t[: -k - 1]) * bases[..., :-1]
            falling = (t[k + 1 :] - z) / (t[k + 1 :] - t[1:-k]) * bases[..., 1:]
            bases = rising + falling
        kernel = self.spline * ops.expand_dims(self.scale, 1)
        splines = ops.matmul(ops.reshape(bases, (-1, 512)), ops.reshape(kernel, (512, 64)))
        return ops.matmul(ops.silu(x), self.base) + splines


class Ternary(layers.Layer):
    """BitLinear as its paper writes it."""

    def build(self, shape: Any) -> None:
        """Create the weights."""
        self.kernel = self.add_weight(shape=(shape[-1], 512))

    def call(self, x: Any) -> Any:
        """Quantize both, multiply."""
        scale = 127 / ops.maximum(ops.max(ops.abs(x), axis=-1, keepdims=True), 1e-5)
        levels = ops.clip(ops.round(x * scale), -128, 127) / scale
        kernel = ops.convert_to_tensor(self.kernel)
        mean = ops.maximum(ops.mean(ops.abs(kernel)), 1e-5)
        ternary = ops.clip(ops.round(kernel / mean), -1, 1) * mean
        return ops.matmul(
            x + ops.stop_gradient(levels - x), kernel + ops.stop_gradient(ternary - kernel)
        )


def torch_capsules() -> Any:
    import torch

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = torch.nn.Parameter(0.1 * torch.randn(1152, 10, 8, 16))

        def forward(self, u: Any) -> Any:
            predictions = torch.einsum("bip,ijpq->bijq", u, self.kernel)
            logits = torch.zeros_like(predictions[..., 0])
            for index in range(3):
                s = (logits.softmax(2)[..., None] * predictions).sum(1)
                squares = (s * s).sum(-1, keepdim=True)
                v = squares / (1 + squares) * s / (squares + 1e-7).sqrt()
                if index < 2:
                    logits = logits + (predictions * v[:, None]).sum(-1)
            return v

    return Module()


def torch_kan() -> Any:
    import torch
    from convkan.kanlinear import KANLinear

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kan = KANLinear(64, 64)

        def forward(self, x: Any) -> Any:
            return self.kan(x[None])[0]

    return Module()


def torch_ternary() -> Any:
    from bitlinear_pytorch import BitLinear

    return BitLinear(512, 512)


def made(cls: type) -> Callable[[tuple[int, ...]], Any]:
    """A fresh layer, whatever the input's shape."""
    return lambda _: cls()


def no_layer(_: tuple[int, ...]) -> Any:
    raise NotImplementedError("the peer is a NumPy package")


def no_module() -> Any:
    raise NotImplementedError("the peer is a NumPy package")


SPECIALIZED = {
    "Canny": Case(
        "dl_techniques>Canny",
        {"sigma": 1.5},
        (1, SIZE, SIZE, 1),
        no_layer,
        no_module,
        "skimage.feature.canny",
        host=skimage_canny,
        inputs=photograph(1.0),
        modes=("forward",),
    ),
    "CLAHE": Case(
        "dl_techniques>CLAHE",
        {"clip_limit": 2.0, "tile_grid_size": (8, 8)},
        (1, SIZE, SIZE, 1),
        no_layer,
        no_module,
        "cv2.createCLAHE",
        host=opencv_clahe,
        inputs=photograph(255.0),
        modes=("forward",),
    ),
    "SOM2dLayer": Case(
        "dl_techniques>SOM2dLayer",
        {"map_size": (20, 20), "sigma": 3.0, "decay_function": None},
        (500, 64),
        no_layer,
        no_module,
        "MiniSom train_batch_offline",
        host=minisom_pass,
        modes=("update",),
    ),
    "KANLinear": Case(
        "dl_techniques>KANLinear",
        {"units": 64},
        (1024, 64),
        made(Splines),
        torch_kan,
        "efficient-kan of convkan | its recursion in keras.ops",
    ),
    "RoutingCapsule": Case(
        "dl_techniques>RoutingCapsule",
        {"num_capsules": 10, "dim_capsules": 16},
        (8, 1152, 8),
        made(Capsules),
        torch_capsules,
        "routing in torch | in keras.ops",
    ),
    "BitLinear": Case(
        "dl_techniques>BitLinear",
        {"units": 512, "use_bias": False},
        (256, 512),
        made(Ternary),
        torch_ternary,
        "bitlinear-pytorch | its formula in keras.ops",
    ),
}
