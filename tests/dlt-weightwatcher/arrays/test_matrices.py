"""Matrices of tensors."""

from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.weightwatcher.matrices import plan, stack_of
from dl_techniques.weightwatcher.readers.values import Held
from dl_techniques.weightwatcher.readers.weight import Weight
from dl_techniques.weightwatcher.settings import Settings


def parts(shape, path="layer/kernel", kind="", layout="keras", facts=None, **options):
    array = np.arange(float(np.prod(shape))).reshape(shape)
    weight = Weight(path, Held(array), "layer", kind, layout, facts or {})
    found = plan(weight, Settings(**options))
    if isinstance(found, str):
        return found
    for part in found:
        stack = stack_of(array, part)
        assert stack.ndim == 3
        assert stack.shape[0] == part.slices
        assert {max(stack.shape[1:]), min(stack.shape[1:])} == {part.N, part.M}
    return [(p.suffix, p.slices, p.N, p.M) for p in found], [stack_of(array, p) for p in found]


@pytest.mark.parametrize("taps", [(3,), (3, 5), (2, 2, 2), (2, 2), (64, 1)])
def test_kernels_of_both_layouts_are_slices_over_taps(taps):
    kind = f"Conv{len(taps)}D"
    described, stacks = parts((*taps, 6, 8), kind=kind)
    assert described == [("", int(np.prod(taps)), 8, 6)]
    array = np.arange(float(np.prod(taps) * 48)).reshape(*taps, 6, 8)
    torch_order = np.moveaxis(array, (-1, -2), (0, 1))
    weight = Weight("c.weight", Held(torch_order), "c", f"Conv{len(taps)}d", "torch")
    (part,) = plan(weight, Settings())
    assert np.array_equal(stack_of(torch_order, part), stacks[0])


def test_unknown_layouts_are_guessed_or_given():
    assert parts((3, 3, 16, 24), path="w", layout="unknown")[0] == [("", 9, 24, 16)]
    assert parts((24, 16, 3, 3), path="w", layout="unknown")[0] == [("", 9, 24, 16)]
    assert parts((24, 16, 3, 3), layout="unknown", conv_layout="hwio")[0] == [("", 24 * 16, 3, 3)]


@pytest.mark.parametrize("shape", [(24, 16, 64, 8), (16, 16, 4, 32), (6, 8, 9, 9, 9)])
def test_kernels_of_torch_may_have_more_taps_than_channels(shape):
    """A state dict says no classes; torch.nn.ConvNd stores (out, in, *taps)."""
    (described,), (stack,) = parts(shape, path="c.weight", layout="torch")
    channels = sorted(shape[:2])
    assert described == ("", int(np.prod(shape[2:])), channels[1], channels[0])
    array = np.arange(float(np.prod(shape))).reshape(shape)
    assert np.array_equal(stack[5], array.reshape(*shape[:2], -1)[:, :, 5].T)
    # Three axes may be a stack of experts: (experts, in, out).
    assert parts((8, 40, 60), path="experts.weight", layout="torch")[0] == [("", 8, 60, 40)]


def test_flattened_depthwise_and_grouped_kernels():
    assert parts((3, 3, 6, 8), kind="Conv2D", conv="flatten")[0] == [("", 1, 54, 8)]
    assert parts((3, 3, 10, 2), kind="DepthwiseConv2D")[0] == [("", 1, 20, 9)]
    assert parts((3, 3, 10, 1), path="s/depthwise_kernel", kind="SeparableConv2D")[0] == [
        ("", 1, 10, 9)
    ]
    assert parts((1, 1, 10, 12), path="s/pointwise_kernel", kind="SeparableConv2D")[0] == [
        ("", 1, 12, 10)
    ]
    assert parts((20, 1, 3, 3), kind="Conv2d", layout="torch")[0] == [("", 1, 20, 9)]
    described, stacks = parts((3, 3, 4, 12), kind="Conv2D", facts={"groups": 3})
    assert described == [(f"[group {i}]", 9, 4, 4) for i in range(3)]
    whole = np.arange(432.0).reshape(3, 3, 4, 12).reshape(9, 4, 12)
    assert np.array_equal(np.concatenate(stacks, axis=2), whole)


def test_frequencies_are_complex_and_hold_the_energy():
    _, (stack,) = parts((3, 3, 4, 6), kind="Conv2D", conv="fft")
    assert np.iscomplexobj(stack)
    whole = np.arange(216.0)
    assert np.linalg.norm(stack) ** 2 == pytest.approx(9 * (whole**2).sum())
    expected = np.fft.fft2(whole.reshape(3, 3, 4, 6), axes=(0, 1)).reshape(9, 4, 6)
    assert np.allclose(stack, expected)


def test_projections_are_contracted_axes_by_the_others():
    described, _ = parts((32, 4, 8), kind="EinsumDense", facts={"equation": "abc,cde->abde"})
    assert described == [("", 1, 32, 32)]
    described, _ = parts((4, 8, 20), kind="EinsumDense", facts={"equation": "abcd,cde->abe"})
    assert described == [("", 1, 32, 20)]
    described, stacks = parts(
        (32, 4, 8), kind="EinsumDense", facts={"equation": "abc,cde->abde"}, attention="heads"
    )
    assert described == [(f"[head {i}]", 1, 32, 8) for i in range(4)]
    array = np.arange(1024.0).reshape(32, 4, 8)
    assert np.array_equal(stacks[2][0], array[:, 2])
    described, _ = parts((5, 6, 7), kind="EinsumDense", facts={"equation": "abe,bec->abc"})
    assert described == [("", 5, 7, 6)]


def test_recurrent_kernels_are_split_by_gate():
    described, stacks = parts((10, 64), kind="LSTMCell")
    assert described == [(f"[gate {i}]", 1, 16, 10) for i in range(4)]
    assert np.array_equal(stacks[1][0], np.arange(640.0).reshape(10, 64)[:, 16:32])
    assert parts((10, 48), kind="GRUCell", rnn="whole")[0] == [("", 1, 48, 10)]
    described, _ = parts((64, 10), path="rnn.weight_ih_l0", layout="torch", facts={"gates": 4})
    assert described == [(f"[gate {i}]", 1, 16, 10) for i in range(4)]


@pytest.mark.parametrize(
    "path", ["h.0.attn.c_attn.weight", "attn.in_proj_weight", "blocks.0.attn.qkv.weight"]
)
def test_packed_attention_is_split_in_three(path):
    for shape in ((96, 32), (32, 96)):
        described, _ = parts(shape, path=path, layout="torch")
        assert described == [(f"[{name}]", 1, 32, 32) for name in "qkv"]
    assert len(parts((64, 32), path=path, layout="torch")[0]) == 1


def test_weights_without_a_matrix_are_named():
    assert "fewer than two axes" in parts((5,))
    assert "longer than 1" in parts((1, 5, 1))
    assert "empty" in parts((0, 5))
    assert parts((1, 50, 20), path="pos/embedding")[0] == [("", 1, 50, 20)]
    weight = Weight("ids", Held(np.ones((9, 9), "int64")))
    assert "no weights" in plan(weight, Settings())
