"""A mixture density network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Example,
    Fraction,
    InitializerLike,
    Model,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    resolve,
    upcast,
)
from dl_techniques.layers import MDNLayer, mdn_moments, mdn_nll, mdn_sample
from dl_techniques.layers.arguments import require_integers
from dl_techniques.layers.parts import build_part, call_part, fresh_initializer, offset_seed
from dl_techniques.models.mdn.conformal import conformal_margin
from dl_techniques.models.mdn.quantiles import mixture_quantile


class Uncertainty(NamedTuple):
    """Mean of the targets and their variance in two parts, arrays `(batch, D)`."""

    mean: Any
    aleatoric: Any
    """sum_k pi_k sigma_k^2, the noise within the components."""
    epistemic: Any
    """sum_k pi_k (mu_k - mean)^2, the disagreement of the components."""

    @property
    def variance(self) -> Any:
        """The sum of both parts."""
        return self.aleatoric + self.epistemic


@component(
    "dl_techniques>MDNModel",
    kind="model",
    tags=("probability", "mixture", "regression", "uncertainty"),
    since="0.1",
)
class MDNModel(Model):
    """Mixture density network: predicts the distribution of the targets, not only their mean.

    p(y | x) = sum_k pi_k(x) prod_d N(y_d; mu_kd(x), sigma_kd(x)^2)
    L = -mean log p(y | x)

    `fit` minimizes L without a loss of its own: `model.compile("adam")`. Scale the targets to a
    deviation of about one. In a model of mixed precision the mixture stays in float32.

    Args:
        hidden_units: Widths of the dense layers; `()` for none.
        output_dimension: Number D of targets.
        num_mixtures: Number K of components.
        features: Layer that runs before the dense layers, such as `keras.layers.LSTM(32)`; its
            output must be `(batch, features)`.
        activation: Activation of the dense layers.
        dropout_rate: Rate of dropout behind each dense layer.
        sigma_activation: `"softplus"`, `"elu_plus_one"` or `"exp"`; see `MDNLayer`.
        min_sigma: Added to the deviations.
        kernel_initializer: Initializer of all kernels.
        seed: Seed of dropout.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, features)`, or what `features` takes.

    Output shape:
        `(batch, K (2 D + 1))`: [mu | sigma | logits], mu and sigma `(K, D)` in row-major order.

    Raises:
        ValueError: If a number is out of range, or the output of `features` is not a batch of
            vectors.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.mdn import MDNModel
        >>> model = MDNModel((8,), num_mixtures=3)
        >>> model.compile("adam")
        >>> x = np.linspace(-1, 1, 16, dtype="float32")[:, None]
        >>> history = model.fit(x, x, verbose=0)
        >>> model.predict_with_uncertainty(x).variance.shape, model.sample(x, 5).shape
        ((16, 1), (5, 16, 1))

    References:
        Bishop, "Mixture Density Networks", Aston University (1994).
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "mixed_policies": "the mixture stays in float32: half precision rounds small deviations"
    }

    def __init__(
        self,
        hidden_units: Sequence[int] = (64, 64),
        output_dimension: int = 1,
        num_mixtures: int = 5,
        features: Any = None,
        activation: ActivationLike | None = "relu",
        dropout_rate: Fraction = 0.0,
        sigma_activation: str = "softplus",
        min_sigma: float = 1e-3,
        kernel_initializer: InitializerLike = "glorot_uniform",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for units in hidden_units:
            require_integers(hidden_units=units)
        self.hidden_units = tuple(hidden_units)
        self.output_dimension = output_dimension
        self.num_mixtures = num_mixtures
        self.activation = activation
        self.dropout_rate = dropout_rate
        self.sigma_activation = sigma_activation
        self.min_sigma = min_sigma
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.seed = seed
        self.features = resolve(features, kind="layer", dtype=self.dtype_policy)
        policy = self.dtype_policy
        self.hidden = [
            keras.layers.Dense(
                units,
                kernel_initializer=fresh_initializer(self.kernel_initializer),
                dtype=policy,
                name=f"hidden_{i}",
            )
            for i, units in enumerate(self.hidden_units)
        ]
        self.activations = [
            resolve(activation, kind="activation", dtype=policy) for _ in self.hidden
        ]
        self.dropouts = [
            keras.layers.Dropout(dropout_rate, seed=offset_seed(seed, i), dtype=policy)
            for i in range(len(self.hidden))
        ]
        # Half precision rounds small deviations.
        half = policy.compute_dtype in {"float16", "bfloat16"}
        self.mixture = MDNLayer(
            output_dimension,
            num_mixtures,
            sigma_activation=sigma_activation,
            min_sigma=min_sigma,
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            dtype="float32" if half else policy,
            name="mixture",
        )

    def build(self, input_shape: Shape) -> None:
        """Build each layer on the one before."""
        shape = tuple(input_shape)
        if self.features is not None:
            build_part(self.features, shape)
            shape = tuple(self.features.compute_output_shape(shape))
        if len(shape) != 2:
            raise ValueError(
                "The input of the dense layers must be (batch, features); give `features` for "
                f"other inputs. Received: input_shape={tuple(input_shape)}, features give {shape}"
            )
        for layer, activation in zip(self.hidden, self.activations, strict=True):
            layer.build(shape)
            shape = (shape[0], layer.units)
            build_part(activation, shape)
        self.mixture.build(shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Compute the parameters of the mixtures."""
        x = call_part(self.features, inputs, training)
        parts = zip(self.hidden, self.activations, self.dropouts, strict=True)
        for layer, activation, dropout in parts:
            x = dropout(call_part(activation, layer(x), training), training=training)
        return self.mixture(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return `(batch, K (2 D + 1))`."""
        return (input_shape[0], self.num_mixtures * (2 * self.output_dimension + 1))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the mean negative log-likelihood plus the layers' losses.

        A loss given to `compile` replaces the likelihood.

        Args:
            x: Inputs.
            y: Targets `(batch, D)`, or `(batch,)` for one target.
            y_pred: Parameters of the mixtures.
            sample_weight: `(batch,)`, or `None`.
            training: Whether the model is being trained.

        Raises:
            ValueError: If there are no targets.
        """
        if getattr(self, "loss", None) is not None:
            inherited: Any = super()
            return inherited.compute_loss(x, y, y_pred, sample_weight, training)
        if y is None:
            raise ValueError("`y` must be given: the likelihood needs targets. Received: y=None")
        losses = self.nll(y, y_pred)
        if sample_weight is not None:
            losses = losses * ops.cast(ops.reshape(sample_weight, (-1,)), losses.dtype)
        loss = ops.mean(losses)
        for extra in self.losses:
            loss = loss + ops.cast(extra, loss.dtype)
        return loss

    def nll(self, y: Any, params: Tensor) -> Tensor:
        """Return -log p(y) of each target, `(batch,)`.

        Args:
            y: Targets `(batch, D)`, or `(batch,)` for one target.
            params: Parameters of the mixtures, as the model gives them.
        """
        target = ops.reshape(upcast(ops.convert_to_tensor(y)), (-1, self.output_dimension))
        return mdn_nll(target, params, self.num_mixtures, self.output_dimension)

    def sample(
        self,
        x: Any,
        num_samples: int = 1,
        temperature: float = 1.0,
        seed: int | None = None,
        batch_size: int | None = None,
    ) -> Any:
        """Draw targets from the predicted distributions.

        Args:
            x: Inputs.
            num_samples: Samples of each input.
            temperature: Below 1, the heavier components are drawn more often.
            seed: Seed of the draws.
            batch_size: Batch size of `predict`.

        Returns:
            A NumPy array `(num_samples, batch, D)`.
        """
        require_integers(num_samples=num_samples)
        params = self._params(x, batch_size)
        many = ops.convert_to_tensor(np.repeat(params[None], num_samples, axis=0))
        sizes = (self.num_mixtures, self.output_dimension)
        return ops.convert_to_numpy(mdn_sample(many, *sizes, temperature=temperature, seed=seed))

    def predict_with_uncertainty(self, x: Any, batch_size: int | None = None) -> Uncertainty:
        """Predict mean, aleatoric and epistemic variance of the targets.

        Args:
            x: Inputs.
            batch_size: Batch size of `predict`.
        """
        params = self._params(x, batch_size)
        moments = mdn_moments(params, self.num_mixtures, self.output_dimension)
        return Uncertainty(*(ops.convert_to_numpy(part) for part in moments))

    def predict_quantiles(
        self, x: Any, levels: Sequence[float], batch_size: int | None = None
    ) -> Any:
        """Predict quantiles of each target on its own.

        Args:
            x: Inputs.
            levels: Levels between 0 and 1.
            batch_size: Batch size of `predict`.

        Returns:
            A NumPy array `(batch, D, levels)`.

        Raises:
            ValueError: If a level is not between 0 and 1.
        """
        params = self._params(x, batch_size)
        return mixture_quantile(params, levels, self.num_mixtures, self.output_dimension)

    def predict_interval(
        self,
        x: Any,
        coverage: float = 0.9,
        batch_size: int | None = None,
        calibration: tuple[Any, Any] | None = None,
    ) -> tuple[Any, Any]:
        """Predict the central interval of each target.

        With `calibration`, both ends move by the ceil((n + 1) coverage)-th smallest of
        max(low - y, y - high) over its n samples: if these are exchangeable with those of `x`, the
        coverage holds whatever the model has learned (Romano et al., arXiv:1905.03222).

        Args:
            x: Inputs.
            coverage: Probability that a target lies inside.
            batch_size: Batch size of `predict`.
            calibration: Inputs and targets that the model was not fitted to, such as the end of a
                series before the steps to predict; `None` for the intervals of the mixtures.

        Returns:
            Lower and upper ends, NumPy arrays `(batch, D)`.

        Raises:
            ValueError: If `coverage` is not between 0 and 1, or `calibration` has too few samples.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"`coverage` must be between 0 and 1. Received: coverage={coverage}")
        levels = ((1 - coverage) / 2, (1 + coverage) / 2)
        low, high = np.moveaxis(self.predict_quantiles(x, levels, batch_size), -1, 0)
        if calibration is None:
            return low, high
        inputs, targets = calibration
        ends = self.predict_quantiles(inputs, levels, batch_size)
        targets = np.asarray(targets, ends.dtype).reshape(-1, self.output_dimension)
        margin = conformal_margin(ends[..., 0], ends[..., 1], targets, coverage)
        middle = (low + high) / 2
        return np.minimum(low - margin, middle), np.maximum(high + margin, middle)

    def _params(self, x: Any, batch_size: int | None) -> Any:
        return np.asarray(self.predict(x, batch_size=batch_size, verbose=0))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default, and two targets with dropout."""
        yield Example(cls, {}, TensorSpec((2, 3)))
        config = {"hidden_units": (4,), "output_dimension": 2, "num_mixtures": 2}
        config |= {"activation": "tanh", "sigma_activation": "elu_plus_one"}
        small = {**config, "dropout_rate": 0.5, "seed": 1}
        traits = frozenset({"stochastic"})
        yield Example(cls, small, TensorSpec((2, 3)), traits=traits, name="dropout")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, unknown words, sequences without a layer that reads them."""
        yield Rejection(cls, {"hidden_units": (0,)}, "hidden_units")
        yield Rejection(cls, {"output_dimension": 0}, "output_dimension")
        yield Rejection(cls, {"num_mixtures": 0}, "num_mixtures")
        yield Rejection(cls, {"sigma_activation": "relu"}, "sigma_activation")
        yield Rejection(cls, {"min_sigma": 0.0}, "min_sigma")
        yield Rejection(cls, {}, "input_shape", build=(2, 3, 4))
