"""Module paths of the original dl_techniques."""

from __future__ import annotations

import importlib

import pytest

PATHS = {
    "bitlinear_layer": "quantized.bit_linear",
    "canny": "image.canny",
    "clahe": "image.clahe",
    "convolutional_kan": "conv.convolutional_kan",
    "gaussian_filter": "image.gaussian_filter",
    "laplacian_filter": "image.laplacian_filter",
    "mps_layer": "tensor_network.mps_layer",
    "rbf": "prototype.rbf",
    "som_2d_layer": "prototype.som2d_layer",
    "shearlet_transform": "image.shearlet_transform",
}


@pytest.mark.parametrize(("original", "home"), PATHS.items())
def test_original_path_holds_the_same_classes(original, home):
    module = importlib.import_module(f"dl_techniques.layers.{original}")
    package = importlib.import_module(f"dl_techniques.layers.{home.partition('.')[0]}")
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is getattr(package, name)
