"""Dense layer of learned functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    InitializerLike,
    Layer,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    Variable,
    component,
    is_number,
    resolve,
    upcast,
)
from dl_techniques.layers.arguments import require_integers, require_shares
from dl_techniques.layers.b_spline import b_spline_bases, require_grid
from dl_techniques.layers.kan.grids import (
    adapted_knots,
    fitted_coefficients,
    spline_bases,
    uniform_knots,
)
from dl_techniques.layers.parts import build_part, call_part, features_of


@component(
    "dl_techniques>KANLinear",
    kind="layer",
    tags=("kan", "dense"),
    paper="arXiv:2404.19756",
    aliases=("dl_techniques>KAN",),
    since="0.1",
)
class KANLinear(Layer):
    """Kolmogorov-Arnold layer: a dense layer whose edges are learned functions.

    y_o = sum_i phi_{i,o}(x_i) + bias_o
    phi_{i,o}(x) = w_b act(x) + w_s sum_g c_g B_g(x)

    B_g are the G + k B-splines of order k on G cells. Beyond the grid they decay and vanish after
    k cells, and only w_b act(x) is left; the input is not clipped.

    On its uniform grid the splines are evaluated in closed form. With `adaptive_grid` each input
    has knots of its own, which `update_grid` moves to where the data are. `extend_grid` makes a
    layer with a finer grid and the same function.

    Args:
        units: Number of outputs.
        grid_size: Number of cells G.
        spline_order: Order k of the splines, at least one; three is cubic.
        grid_range: Where the grid starts and ends.
        base_activation: act, an activation; see `dl_techniques.core.resolve`.
        use_base: Whether to learn w_b.
        use_spline_scale: Whether to learn w_s; otherwise it is one.
        use_bias: Whether to learn a bias.
        adaptive_grid: Whether the knots are weights of the layer, which `update_grid` moves. It
            costs the recursion of Cox and de Boor in place of the closed form.
        l1_regularization: Factor of the loss sum_{i,o} m_{i,o}, m the mean of |c| on an edge.
        entropy_regularization: Factor of the loss -sum p log p, p = m / sum m, which favours few
            edges.
        base_initializer: Initializer of w_b.
        spline_initializer: Initializer of c; `None` for a normal distribution of deviation 0.1.
        scale_initializer: Initializer of w_s.
        kernel_regularizer: Regularizer of w_b and of c.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; the features must be known.

    Output shape:
        `(batch, ..., units)`.

    Raises:
        ValueError: If a number is not positive, the range is empty, a factor is negative, or the
            features are unknown.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import KANLinear
        >>> tuple(KANLinear(4)(keras.ops.ones((2, 3))).shape)
        (2, 4)

    References:
        Liu et al., "KAN: Kolmogorov-Arnold Networks", arXiv:2404.19756.
    """

    def __init__(
        self,
        units: Count,
        grid_size: int = 5,
        spline_order: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        base_activation: ActivationLike | None = "silu",
        use_base: bool = True,
        use_spline_scale: bool = True,
        use_bias: bool = False,
        adaptive_grid: bool = False,
        l1_regularization: float = 0.0,
        entropy_regularization: float = 0.0,
        base_initializer: InitializerLike = "glorot_uniform",
        spline_initializer: InitializerLike | None = None,
        scale_initializer: InitializerLike = "ones",
        kernel_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_grid(grid_size, spline_order, grid_range)
        factors = {
            "l1_regularization": l1_regularization,
            "entropy_regularization": entropy_regularization,
        }
        for name, value in factors.items():
            if not is_number(value) or value < 0:
                raise ValueError(f"`{name}` must not be negative. Received: {name}={value!r}")
        self.units = units
        self.grid_size = grid_size
        self.spline_order = spline_order
        self.grid_range = tuple(grid_range)
        self.base_activation = base_activation
        self.activation_layer = resolve(
            base_activation, kind="activation", argument="base_activation", dtype=self.dtype_policy
        )
        self.use_base = use_base
        self.use_spline_scale = use_spline_scale
        self.use_bias = use_bias
        self.adaptive_grid = adaptive_grid
        self.l1_regularization = l1_regularization
        self.entropy_regularization = entropy_regularization
        self.base_initializer = keras.initializers.get(base_initializer)
        if spline_initializer is None:
            spline_initializer = keras.initializers.RandomNormal(stddev=0.1)
        self.spline_initializer = keras.initializers.get(spline_initializer)
        self.scale_initializer = keras.initializers.get(scale_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Create w_b, c, w_s and the bias, and the knots if they can move."""
        features = features_of(input_shape)
        splines = self.grid_size + self.spline_order
        edges = (features, self.units)
        regularizer = self.kernel_regularizer
        self.base_kernel: Variable | None = None
        if self.use_base:
            build_part(self.activation_layer, input_shape)
            self.base_kernel = self.add_weight(
                name="base_kernel",
                shape=edges,
                initializer=self.base_initializer,
                regularizer=regularizer,
            )
        self.spline_kernel = self.add_weight(
            name="spline_kernel",
            shape=(features, splines, self.units),
            initializer=self.spline_initializer,
            regularizer=regularizer,
        )
        self.spline_scale: Variable | None = None
        if self.use_spline_scale:
            self.spline_scale = self.add_weight(
                name="spline_scale", shape=edges, initializer=self.scale_initializer
            )
        self.bias: Variable | None = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        self.grid: Variable | None = None
        if self.adaptive_grid:
            self.grid = self.add_weight(
                name="grid",
                shape=(features, splines + self.spline_order + 1),
                initializer=self._initial_knots,
                trainable=False,
                autocast=False,
            )

    def _uniform_knots(self) -> Any:
        return uniform_knots(self.grid_size, self.spline_order, *self.grid_range)

    def _initial_knots(self, shape: Any, dtype: Any = None) -> Tensor:
        knots = np.broadcast_to(self._uniform_knots(), shape)
        return ops.convert_to_tensor(knots.astype("float32"), dtype=dtype)

    def call(self, inputs: Tensor) -> Tensor:
        """Evaluate the functions of each input and multiply by all their coefficients at once."""
        if self.l1_regularization or self.entropy_regularization:
            self.add_loss(self._regularization())
        features, kernel = self._features(inputs), self._kernel()
        features = ops.reshape(features, (*ops.shape(inputs)[:-1], kernel.shape[0]))
        # Products of float64 are float32 in Keras on PyTorch.
        y = ops.cast(ops.matmul(features, kernel), self.compute_dtype)
        return y if self.bias is None else y + self.bias

    def _features(self, inputs: Tensor) -> Tensor:
        """Return act(x) and all B_g(x), on one more axis."""
        x = upcast(inputs)
        if self.grid is None:
            bases = b_spline_bases(x, self.grid_size, self.spline_order, *self.grid_range)
        else:
            bases = spline_bases(x, ops.cast(self.grid, x.dtype), self.spline_order, xp=ops)
        bases = ops.cast(bases, self.compute_dtype)
        if not self.use_base:
            return bases
        base = ops.expand_dims(call_part(self.activation_layer, inputs), -1)
        return ops.concatenate([base, bases], axis=-1)

    def _kernel(self) -> Tensor:
        """Return the coefficients of all functions, (features * functions, units)."""
        kernel = ops.convert_to_tensor(self.spline_kernel)
        if self.spline_scale is not None:
            kernel = kernel * ops.expand_dims(self.spline_scale, 1)
        if self.base_kernel is not None:
            kernel = ops.concatenate([ops.expand_dims(self.base_kernel, 1), kernel], axis=1)
        return ops.reshape(kernel, (kernel.shape[0] * kernel.shape[1], self.units))

    def _regularization(self) -> Tensor:
        magnitude = ops.mean(ops.abs(upcast(ops.convert_to_tensor(self.spline_kernel))), axis=1)
        total = ops.sum(magnitude)
        share = magnitude / ops.maximum(total, 1e-12)
        entropy = -ops.sum(share * ops.log(ops.maximum(share, 1e-12)))
        return self.l1_regularization * total + self.entropy_regularization * entropy

    def edge_values(self, places: Any) -> Tensor:
        """Evaluate each edge's function.

        Args:
            places: Where to evaluate all of them, a vector of P numbers; or one column of P numbers
                for each feature, `(P, features)`.

        Returns:
            phi_{i,o}, `(P, features, units)`.

        Raises:
            ValueError: If the layer is not built, or the shape is another one.
        """
        self._require_built("edge_values")
        features = self.spline_kernel.shape[0]
        x = ops.convert_to_tensor(places, dtype=self.compute_dtype)
        if len(x.shape) == 1:
            x = ops.tile(ops.expand_dims(x, -1), (1, features))
        if len(x.shape) != 2 or x.shape[-1] != features:
            raise ValueError(
                f"`places` must be a vector or have {features} columns. "
                f"Received: places of shape {tuple(x.shape)}"
            )
        values = self._features(x)
        kernel = ops.reshape(self._kernel(), (features, values.shape[-1], self.units))
        return ops.einsum("pif,ifo->pio", values, kernel)

    def update_grid(self, samples: Any, epsilon: float = 0.02, margin: float = 0.01) -> None:
        """Move the knots to where the data are, and keep the functions there.

        The new knots are epsilon times uniform ones plus 1 - epsilon times the quantiles of the
        samples. The coefficients follow by least squares on the samples and on a uniform grid.
        A feature that does not vary keeps its knots.

        Args:
            samples: Inputs of the layer, `(batch, ..., features)`.
            epsilon: Share of the uniform knots, above 0 and at most 1.
            margin: How far the grid exceeds the samples, as a share of their range.

        Raises:
            ValueError: If the layer is not built, its grid is not adaptive, or an argument is
                invalid.
        """
        self._require_built("update_grid")
        require_shares(epsilon=epsilon, margin=margin)
        if self.grid is None or epsilon == 0:
            raise ValueError(
                "`update_grid` needs `adaptive_grid=True` and `epsilon` above 0. "
                f"Received: adaptive_grid={self.adaptive_grid}, epsilon={epsilon}"
            )
        columns = _host(samples).reshape(-1, self.spline_kernel.shape[0])
        old_knots, old_kernel = _host(self.grid), _host(self.spline_kernel)
        new_knots, new_kernel = old_knots.copy(), old_kernel.copy()
        order = self.spline_order
        for i, column in enumerate(columns.T):
            if column.min() == column.max():
                continue
            knots = adapted_knots(column, self.grid_size, order, epsilon, margin)
            places = np.concatenate([column, self._between(knots)])
            values = spline_bases(places, old_knots[i], order) @ old_kernel[i]
            new_knots[i] = knots
            new_kernel[i] = fitted_coefficients(places, values, knots, order)
        self.grid.assign(new_knots)
        self.spline_kernel.assign(new_kernel)

    def extend_grid(self, grid_size: int) -> KANLinear:
        """Make a layer with a finer grid and the same function.

        Within the grid the functions are equal if `grid_size` is a multiple of the layer's, and
        else closest by least squares. Beyond it, the finer splines vanish sooner.

        Args:
            grid_size: Number of cells of the new layer, at least as many as now.

        Returns:
            A layer that is built, with weights of its own.

        Raises:
            ValueError: If the layer is not built, or `grid_size` is smaller than now.
        """
        self._require_built("extend_grid")
        require_integers(self.grid_size, grid_size=grid_size)
        config = {**self.get_config(), "grid_size": grid_size}
        layer = type(self).from_config(config)
        features = self.spline_kernel.shape[0]
        layer.build((None, features))
        order = self.spline_order
        old_kernel = _host(self.spline_kernel)
        old_knots = np.tile(self._uniform_knots(), (features, 1))
        if self.grid is not None:
            old_knots = _host(self.grid)
        new_knots = np.stack([self._refined(knots, grid_size) for knots in old_knots])
        kernel = []
        for i in range(features):
            places = layer._between(new_knots[i])
            values = spline_bases(places, old_knots[i], order) @ old_kernel[i]
            kernel.append(fitted_coefficients(places, values, new_knots[i], order))
        layer.spline_kernel.assign(np.stack(kernel))
        if layer.grid is not None:
            layer.grid.assign(new_knots)
        for name in ("base_kernel", "spline_scale", "bias"):
            if getattr(self, name) is not None:
                # By way of NumPy: JAX would share the buffer, and may give it up in training.
                getattr(layer, name).assign(_host(getattr(self, name)))
        return layer

    def _refined(self, knots: Any, grid_size: int) -> Any:
        """Split the cells of one feature's knots evenly, as far as they divide."""
        order = self.spline_order
        inner = knots[order : len(knots) - order]
        places = np.arange(grid_size + 1) * (self.grid_size / grid_size)
        inner = np.interp(places, np.arange(len(inner)), inner)
        outer = (inner[-1] - inner[0]) / grid_size * np.arange(1, order + 1)
        return np.concatenate([inner[0] - outer[::-1], inner, inner[-1] + outer])

    def _between(self, knots: Any) -> Any:
        """Return enough places in each cell to determine the spline."""
        order = self.spline_order
        inner = knots[order : len(knots) - order]
        shares = np.linspace(0, 1, 2 * order + 2, endpoint=False)
        places = inner[:-1, None] + np.diff(inner)[:, None] * shares
        return np.append(places.ravel(), inner[-1])

    def _require_built(self, method: str) -> None:
        if not self.built:
            raise ValueError(f"`{method}` needs a layer that was built. Received: built=False")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The features become `units`."""
        return (*input_shape[:-1], self.units)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default, knots of its own for each input, and splines only."""
        yield Example(cls, {"units": 3}, TensorSpec((4, 2)))
        adaptive: dict[str, Any] = {
            "units": 2,
            "adaptive_grid": True,
            "use_bias": True,
            "grid_size": 3,
        }
        adaptive |= {"l1_regularization": 0.1, "entropy_regularization": 0.1}
        yield Example(cls, adaptive, TensorSpec((2, 3, 4)), name="adaptive")
        bare: dict[str, Any] = {
            "units": 2,
            "use_base": False,
            "use_spline_scale": False,
            "spline_order": 2,
        }
        bare |= {"grid_range": (-3.0, 3.0)}
        yield Example(cls, bare, TensorSpec((4, 3)), name="bare")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid numbers and ranges."""
        yield Rejection(cls, {"units": 2, "grid_size": 0}, "grid_size")
        yield Rejection(cls, {"units": 2, "spline_order": 0}, "spline_order")
        yield Rejection(cls, {"units": 2, "grid_range": (1.0, 0.0)}, "grid_range")
        yield Rejection(cls, {"units": 2, "l1_regularization": -1.0}, "l1_regularization")
        yield Rejection(cls, {"units": 2}, "input_shape", build=(2, None))


def _host(tensor: Any) -> Any:
    return np.asarray(ops.convert_to_numpy(tensor), "float64")
