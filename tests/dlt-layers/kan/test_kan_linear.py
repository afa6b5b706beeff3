"""KANLinear against SciPy's splines, convkan's layer and the properties of grids."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers import KAN, KANLinear
from dl_techniques.layers.kan.grids import adapted_knots, spline_bases
from dl_techniques.layers.kan.plot import plot_edges

ID = "dl_techniques>KANLinear"


def draw(*shape, scale=1.0, seed=0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def drawn(layer, shape):
    """Build with unit-normal weights: at the start splines are too small to show a fault."""
    layer.build(shape)
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer


def outputs(layer, x):
    return ops.convert_to_numpy(layer(x))


def definition(layer, x):
    """Add up the edges' functions in float64, the splines by SciPy."""
    from scipy.interpolate import BSpline

    x = np.asarray(x, "float64")
    weights = {v.name: ops.convert_to_numpy(v).astype("float64") for v in layer.weights}
    order = layer.spline_order
    cell = (layer.grid_range[1] - layer.grid_range[0]) / layer.grid_size
    places = np.arange(-order, layer.grid_size + order + 1)
    uniform = layer.grid_range[0] + cell * places
    y = np.zeros((*x.shape[:-1], layer.units)) + weights.get("bias", 0)
    for i in range(x.shape[-1]):
        knots = weights["grid"][i] if "grid" in weights else uniform
        basis = [
            BSpline.basis_element(knots[g : g + order + 2], extrapolate=False)(x[..., i])
            for g in range(len(knots) - order - 1)
        ]
        spline = np.nan_to_num(np.stack(basis, -1)) @ weights["spline_kernel"][i]
        y += weights["spline_scale"][i] * spline if "spline_scale" in weights else spline
        if "base_kernel" in weights:
            y += (x[..., i] / (1 + np.exp(-x[..., i])))[..., None] * weights["base_kernel"][i]
    return y


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"use_bias": True, "grid_size": 3, "spline_order": 2, "grid_range": (-2.0, 0.5)},
        {"use_base": False, "use_spline_scale": False, "spline_order": 1},
        {"adaptive_grid": True, "grid_size": 4},
        {"adaptive_grid": True, "spline_order": 1, "use_bias": True},
    ],
)
def test_equals_the_sum_of_scipy_splines(config, verify):
    import scipy

    x = draw(5, 2, 3, scale=1.5)
    layer = drawn(KANLinear(4, **config), x.shape)
    if config.get("adaptive_grid"):
        layer.update_grid(draw(200, 3, seed=2))
    y = outputs(layer, x)
    verify(ID, f"scipy BSpline {scipy.__version__}", y, definition(layer, x), tolerance=2e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("adaptive", [False, True])
def test_equals_convkan_linear_with_gradients(adaptive, verify):
    torch = pytest.importorskip("torch")
    kanlinear = pytest.importorskip("convkan.kanlinear")
    from importlib.metadata import version

    torch.manual_seed(0)
    peer = kanlinear.KANLinear(3, 4)
    for parameter in peer.parameters():
        parameter.data = torch.randn(parameter.shape)
    x, g = draw(6, 3), draw(6, 4, seed=1)
    theirs = torch.tensor(x, requires_grad=True)
    y_peer = peer(theirs[None])[0]  # its first axis are groups
    (y_peer * torch.tensor(g)).sum().backward()

    layer = KANLinear(4, adaptive_grid=adaptive)
    layer.build(x.shape)
    axes = {"base_weight": (1, 0), "spline_weight": (1, 2, 0), "spline_scaler": (1, 0)}
    peers = [(getattr(peer, name), order) for name, order in axes.items()]
    for weight, (tensor, order) in zip(layer.trainable_weights, peers, strict=True):
        weight.assign(tensor.detach().numpy()[0].transpose(order))
    ours = value_and_gradients(
        lambda x, g: ops.sum(layer(x) * g), layer.trainable_variables, [x, g]
    )
    oracle = f"convkan KANLinear {version('convkan')}"
    verify(ID, oracle, outputs(layer, x), y_peer, tolerance=3e-5)
    verify(ID, oracle, ours.inputs[0], theirs.grad, what="gradient of inputs", tolerance=3e-5)
    for gradient, (tensor, order) in zip(ours.variables, peers, strict=True):
        expected = tensor.grad.numpy()[0].transpose(order)
        verify(ID, oracle, gradient, expected, what="gradient of weights", tolerance=3e-5)


@pytest.mark.oracle
def test_regularization_equals_convkan(verify):
    torch = pytest.importorskip("torch")
    kanlinear = pytest.importorskip("convkan.kanlinear")
    from importlib.metadata import version

    peer = kanlinear.KANLinear(3, 4)
    layer = KANLinear(4, l1_regularization=0.3, entropy_regularization=0.7)
    x = draw(2, 3)
    drawn(layer, x.shape)(x)
    kernel = ops.convert_to_numpy(layer.spline_kernel)
    peer.spline_weight.data = torch.tensor(kernel.transpose(2, 0, 1)[None].copy())
    expected = peer.regularization_loss(0.3, 0.7).detach()
    oracle = f"convkan KANLinear {version('convkan')}"
    verify(ID, oracle, layer.losses[0], expected, what="regularization", tolerance=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_bases_on_any_knots_equal_pykan(order, verify):
    torch = pytest.importorskip("torch")
    spline = pytest.importorskip("kan.spline")
    knots = adapted_knots(draw(50).astype("float64"), 4, order, 0.1, 0.01)
    x = np.linspace(-2, 2, 41)
    theirs = spline.B_batch(torch.tensor(x)[:, None], torch.tensor(knots)[None], k=order)
    ours = spline_bases(x, knots, order)
    verify(ID, "pykan B_batch 0.2.8, bases", ours, theirs[:, 0], tolerance=1e-12)


def test_each_cell_of_an_updated_grid_holds_as_many_samples():
    samples = np.random.default_rng(0).exponential(size=(1000, 2)) * (1.0, 5.0)
    layer = KANLinear(2, grid_size=5, adaptive_grid=True)
    layer.build((None, 2))
    layer.update_grid(samples, epsilon=1e-6)
    grid = ops.convert_to_numpy(layer.grid)
    for i in range(2):
        counts, _ = np.histogram(samples[:, i], grid[i, 3:-3])
        np.testing.assert_allclose(counts, 200, atol=2)
    assert (np.diff(grid) > 0).all()


def test_an_update_of_the_grid_keeps_the_function_where_the_data_are():
    x = draw(400, 2, scale=0.3)
    layer = KANLinear(3, grid_size=24, grid_range=(-2.0, 2.0), adaptive_grid=True)
    layer.build(x.shape)
    # Coefficients of smooth functions, which another grid can represent.
    places = np.linspace(-2, 2, 27)[:, None]
    layer.spline_kernel.assign(np.stack([np.sin(places + o) for o in ([0, 1, 2], [3, 4, 5])]))
    before = outputs(layer, x)
    layer.update_grid(x)
    assert np.ptp(ops.convert_to_numpy(layer.grid)[0, 3:-3]) < 3.0  # the knots have moved
    np.testing.assert_allclose(outputs(layer, x), before, atol=2e-3)


def test_a_feature_that_does_not_vary_keeps_its_knots():
    layer = KANLinear(2, adaptive_grid=True)
    layer.build((None, 2))
    before = ops.convert_to_numpy(layer.grid)
    layer.update_grid(np.stack([np.full(50, 0.3), np.linspace(0, 1, 50)], axis=-1))
    after = ops.convert_to_numpy(layer.grid)
    np.testing.assert_array_equal(after[0], before[0])
    assert np.abs(after[1] - before[1]).max() > 0.1


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("factor", [1, 2, 5])
def test_an_extended_grid_keeps_the_function(adaptive, factor):
    config = {"adaptive_grid": adaptive, "use_bias": True, "spline_order": 2}
    layer = drawn(KANLinear(3, grid_size=4, **config), (None, 2))
    if adaptive:
        layer.update_grid(draw(300, 2, scale=0.5))
    finer = layer.extend_grid(4 * factor)
    assert finer.grid_size == 4 * factor
    low, high = (-1, 1) if not adaptive else (-0.8, 0.8)
    x = np.random.default_rng(3).uniform(low, high, (100, 2)).astype("float32")
    np.testing.assert_allclose(outputs(finer, x), outputs(layer, x), atol=2e-5)
    finer.spline_kernel.assign(np.zeros(finer.spline_kernel.shape))
    assert np.abs(ops.convert_to_numpy(layer.spline_kernel)).max() > 0.5  # weights of its own


def test_an_extended_layer_shares_nothing_with_its_origin():
    layer = KANLinear(2, use_bias=True)
    model = keras.Sequential([keras.Input((3,)), layer])
    finer = keras.Sequential([keras.Input((3,)), layer.extend_grid(10)])
    x = draw(8, 3, scale=0.4)
    for one in (model, finer):
        one.compile("sgd", "mse")
        one.fit(x, draw(8, 2, seed=1), epochs=1, verbose=0)
    assert np.isfinite(model.predict(x, verbose=0)).all()
    assert np.isfinite(finer.predict(x, verbose=0)).all()


def test_an_extension_by_a_fraction_is_close():
    layer = drawn(KANLinear(3, grid_size=4), (None, 2))
    x = np.random.default_rng(3).uniform(-1, 1, (200, 2)).astype("float32")
    before = outputs(layer, x)
    errors = [np.abs(outputs(layer.extend_grid(size), x) - before).max() for size in (7, 50)]
    assert errors[1] < errors[0] < 0.5 * np.abs(before).max()


def test_edge_values_add_up_to_the_output():
    x = draw(7, 3)
    layer = drawn(KANLinear(2), x.shape)
    edges = ops.convert_to_numpy(layer.edge_values(x))
    assert edges.shape == (7, 3, 2)
    np.testing.assert_allclose(edges.sum(1), outputs(layer, x), atol=1e-5)
    same = ops.convert_to_numpy(layer.edge_values(x[:, 0]))
    np.testing.assert_allclose(same[:, 0], edges[:, 0], atol=1e-6)
    with pytest.raises(ValueError, match="places"):
        layer.edge_values(x[:, :2])


def test_methods_refuse_a_layer_that_cannot_do_it():
    layer = KANLinear(2)
    with pytest.raises(ValueError, match="built"):
        layer.extend_grid(10)
    layer.build((None, 2))
    with pytest.raises(ValueError, match="adaptive_grid"):
        layer.update_grid(draw(9, 2))
    with pytest.raises(ValueError, match="grid_size"):
        layer.extend_grid(4)


def test_trains_on_after_an_update_of_its_grid():
    x = np.random.default_rng(0).uniform(-3, 3, (256, 1)).astype("float32")
    model = keras.Sequential([keras.Input((1,)), KANLinear(1, adaptive_grid=True)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.layers[0].update_grid(x)
    losses = model.fit(x, np.sin(x), epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.02 < losses[0]


def test_a_picture_shows_each_edge(tmp_path):
    pytest.importorskip("matplotlib")
    for adaptive in (False, True):
        layer = drawn(KANLinear(2, adaptive_grid=adaptive), (None, 3))
        figure = plot_edges(layer, input_names="abc")
        assert len(figure.axes) == 6
        x, y = figure.axes[4].lines[0].get_data()
        expected = ops.convert_to_numpy(layer.edge_values(x.astype("float32")))[:, 1, 1]
        np.testing.assert_allclose(y, expected, atol=1e-5)
        np.testing.assert_allclose(x[[0, -1]], [-1, 1], atol=1e-6)
    figure = plot_edges(layer, samples=draw(30, 3))
    figure.savefig(tmp_path / "edges.png")
    assert (tmp_path / "edges.png").stat().st_size > 1000


def test_kan_is_another_name():
    assert KAN is KANLinear
