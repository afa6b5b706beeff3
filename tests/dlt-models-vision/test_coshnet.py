"""CoShNet: the published count, and torch's own complex convolutions and products."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.layers import ShearletTransform
from dl_techniques.models.coshnet import CoShNet

SMALL = {"input_shape": (16, 16, 1), "classes": 3, "n_scales": 1, "filters": (3, 4)}
SMALL |= {"kernel_size": 3, "units": 5, "complex_units": 4}


def parameters(channels, filters=(30, 50), kernel=5, side=32, units=500, last=10, classes=10):
    """A complex weight is two real ones."""
    total = 0
    for count in filters:
        total += 2 * (kernel**2 * channels + 1) * count
        channels, side = count, (side - kernel + 1) // 2
    total += 2 * (side**2 * channels + 1) * units + 2 * (units + 1) * last
    return total + (2 * last + 1) * classes


def test_parameters():
    assert parameters(20) == 1_366_390  # the paper's transform
    assert CoShNet().count_params() == parameters(13) == 1_355_890
    assert CoShNet(**SMALL).count_params() == parameters(5, (3, 4), 3, 16, 5, 4, 3)


@pytest.mark.oracle
def test_torch_with_complex_numbers(agrees, gradients):
    import torch

    model = CoShNet(**SMALL)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.4, variable.shape))
    weights = {v.path: torch.tensor(keras.ops.convert_to_numpy(v)) for v in model.weights}
    first = weights["conv0/kernel_real"].requires_grad_()

    def joined(name):
        return torch.complex(weights[f"{name}_real"], weights[f"{name}_imag"])

    def relu(z):
        return torch.complex(torch.relu(z.real), torch.relu(z.imag))

    def pool(z):
        return torch.complex(*(torch.nn.functional.avg_pool2d(p, 2) for p in (z.real, z.imag)))

    x = rng.normal(size=(2, 16, 16, 1)).astype("float32")
    shearlets = ShearletTransform(1, complex_output=True)(x)
    z = torch.tensor(keras.ops.convert_to_numpy(shearlets)).permute(0, 3, 1, 2)
    for name in ("conv0", "conv1"):
        kernel = joined(f"{name}/kernel").permute(3, 2, 0, 1)
        z = pool(relu(torch.conv2d(z, kernel, joined(f"{name}/bias"))))
    z = z.permute(0, 2, 3, 1).flatten(1)
    for name in ("dense0", "dense1"):
        z = relu(z @ joined(f"{name}/kernel") + joined(f"{name}/bias"))
    expected = torch.cat([z.real, z.imag], 1) @ weights["head/kernel"] + weights["head/bias"]
    agrees("CoShNet", "torch", model(x), expected.detach())
    (expected**2).sum().backward()
    (kernel,) = gradients(model, x, [model.get_layer("conv0").kernel_real])
    agrees("CoShNet", "torch", kernel, first.grad, "gradient of the first kernel")
