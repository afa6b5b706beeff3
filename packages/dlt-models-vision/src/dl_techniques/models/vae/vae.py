"""A convolutional variational autoencoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import keras
import numpy as np
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Model,
    NonNegativeNumber,
    PositiveNumber,
    Rejection,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers import Sampling
from dl_techniques.layers.arguments import (
    require_integers,
)

_LOWEST, _HIGHEST = -30.0, 20.0


@component(
    "dl_techniques>VAE",
    kind="model",
    tags=("vision", "generative", "autoencoder"),
    paper="arXiv:1312.6114",
    since="0.1",
)
class VAE(Model):
    """Variational autoencoder of images, trained by the evidence lower bound.

    L = mean over the batch of -log p(x | z) + beta KL(q(z | x) || N(0, 1)), with z = mu + sigma eps
    and KL = -1/2 sum(1 + log sigma^2 - mu^2 - sigma^2).

    `fit(x)` needs no targets and no loss: `model.compile("adam")`. Given targets are what the
    decoder should give, as of a denoising autoencoder. log sigma^2 is kept within [-30, 20].

    Args:
        input_shape: Height, width and channels of the images; divisible by two for each
            convolution.
        latent_dim: Numbers of z.
        filters: Channels of the convolutions, 4 x 4 with strides 2; the decoder has them in
            reverse. `()` for none.
        hidden_dim: Width of the dense layer between the convolutions and z; `None` for none.
        activation: Activation of all layers but the last ones.
        likelihood: `"bernoulli"` for pixels of 0 to 1, or `"gaussian"`.
        variance: sigma^2 of the Gaussian likelihood.
        beta: Weight of the KL divergence.
        seed: Seed of the draws of z.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        A dictionary: `reconstruction`, as the input; `mean` and `log_var`, `(batch, latent_dim)`.
        At inference z is the mean.

    Raises:
        ValueError: If an argument is out of range, or the convolutions do not divide the images.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.vae import VAE
        >>> model = VAE(input_shape=(8, 8, 1), latent_dim=2, filters=(4,), hidden_dim=8)
        >>> model.compile("adam")
        >>> sorted(model.fit(np.zeros((4, 8, 8, 1)), verbose=0).history)
        ['kl', 'loss', 'reconstruction_loss']

    References:
        Kingma and Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114; beta: Higgins et
        al., "beta-VAE", ICLR 2017.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": "the defaults are a network of full size, which takes minutes to check"
    }

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: Count = 16,
        filters: Sequence[int] = (32, 64),
        hidden_dim: Count | None = 256,
        activation: Any = "relu",
        likelihood: Literal["bernoulli", "gaussian"] = "bernoulli",
        variance: PositiveNumber = 1.0,
        beta: NonNegativeNumber = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        for count in filters:
            require_integers(filters=count)
        step = 2 ** len(filters)
        if len(input_shape) != 3 or any(n < 1 or n % step for n in input_shape[:2]):
            raise ValueError(
                f"`input_shape` must be (height, width, channels), both divisible by {step}. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        inputs = keras.Input(tuple(input_shape), name="images")
        encoder, shape = _encoder(tuple(input_shape), latent_dim, filters, hidden_dim, activation)
        last = "sigmoid" if likelihood == "bernoulli" else None
        decoder = _decoder(shape, latent_dim, input_shape[2], filters, hidden_dim, activation, last)
        mean, log_var = encoder(inputs)
        z = Sampling(sample_at_inference=False, seed=seed, name="sampling")([mean, log_var])
        # In the order in which every backend lists a dictionary.
        outputs = {"log_var": log_var, "mean": mean, "reconstruction": decoder(z)}
        super().__init__(inputs, outputs, **kwargs)
        self.latent_dim = latent_dim
        self.filters = tuple(filters)
        self.hidden_dim = hidden_dim
        self.activation = activation
        self.likelihood = likelihood
        self.variance = variance
        self.beta = beta
        self.seed = seed
        self.encoder = encoder
        self.decoder = decoder
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_tracker = keras.metrics.Mean(name="kl")

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,  # noqa: ARG002  # Keras's signature
    ) -> Tensor:
        """The mean negative evidence lower bound, plus the losses of layers.

        Args:
            x: Images.
            y: Targets; `None` for the images.
            y_pred: What the model gave.
            sample_weight: (batch,), or `None`.
            training: Whether the model is being trained.
        """
        reconstruction = self.reconstruction_losses(x if y is None else y, y_pred["reconstruction"])
        divergence = kl_divergence(y_pred["mean"], y_pred["log_var"])
        self.reconstruction_tracker.update_state(reconstruction, sample_weight)
        self.kl_tracker.update_state(divergence, sample_weight)
        losses = reconstruction + self.beta * divergence
        if sample_weight is not None:
            losses = losses * ops.cast(sample_weight, losses.dtype)
        loss = ops.mean(losses)
        for extra in self.losses:
            loss = loss + ops.cast(extra, loss.dtype)
        return loss

    def reconstruction_losses(self, images: Tensor, reconstruction: Tensor) -> Tensor:
        """-log p(x | z) of each image without its constant, (batch,).

        Args:
            images: What the decoder should give.
            reconstruction: What it gives.
        """
        given = upcast(reconstruction)
        wanted = ops.cast(images, given.dtype)
        if self.likelihood == "gaussian":
            pixels = ops.square(wanted - given) / (2.0 * self.variance)
        else:
            pixels = ops.binary_crossentropy(wanted, given)
        return ops.sum(pixels, axis=(1, 2, 3))

    def encode(self, images: Any) -> tuple[Tensor, Tensor]:
        """The mean and log sigma^2 of z for images, (batch, latent_dim) each.

        Args:
            images: (batch, height, width, channels).
        """
        mean, log_var = self.encoder(images)
        return mean, log_var

    def decode(self, z: Any) -> Tensor:
        """The images of z, (batch, height, width, channels).

        Args:
            z: (batch, latent_dim).
        """
        return self.decoder(z)

    def reconstruct(self, images: Any) -> Tensor:
        """Images from the means of their z.

        Args:
            images: (batch, height, width, channels).
        """
        return self.decoder(self.encoder(images)[0])

    def sample(self, count: int, seed: int | None = None) -> Tensor:
        """Images of random z.

        Args:
            count: Number of images.
            seed: Seed of the draws.
        """
        return self.decoder(keras.random.normal((count, self.latent_dim), seed=seed))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A small convolutional one, and a linear one of Gaussian likelihood."""
        images = TensorSpec((2, 8, 8, 1), low=0.0, high=1.0)
        small: dict[str, Any] = {"input_shape": (8, 8, 1), "latent_dim": 2, "activation": "silu"}
        traits = frozenset({"stochastic"})
        conv = {"filters": (4, 4), "hidden_dim": 6}
        yield Example(cls, {**small, **conv}, images, traits=traits)
        linear = {"filters": (), "hidden_dim": None, "likelihood": "gaussian", "beta": 0.5}
        yield Example(cls, {**small, **linear}, images, traits=traits, name="linear")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers out of range, an unknown likelihood, images that do not divide."""
        yield Rejection(cls, {"filters": (0,)}, "filters")
        yield Rejection(cls, {"input_shape": (30, 28, 1)}, "input_shape")


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, 1)), (batch,).

    Args:
        mean: (batch, dim).
        log_var: (batch, dim).
    """
    mean, log_var = upcast(mean), upcast(log_var)
    return -0.5 * ops.sum(1.0 + log_var - ops.square(mean) - ops.exp(log_var), axis=-1)


def _encoder(
    input_shape: tuple[int, ...],
    latent_dim: int,
    filters: Sequence[int],
    hidden_dim: int | None,
    activation: Any,
) -> tuple[Any, tuple[int, ...]]:
    """The encoder, and the shape of its last map."""
    layers = keras.layers
    x = inputs = keras.Input(input_shape)
    for count in filters:
        x = layers.Conv2D(count, 4, strides=2, padding="same", activation=activation)(x)
    shape = tuple(x.shape[1:])
    x = layers.Flatten()(x)
    if hidden_dim:
        x = layers.Dense(hidden_dim, activation=activation)(x)
    mean = layers.Dense(latent_dim, name="mean")(x)
    log_var = layers.Dense(latent_dim, name="log_var")(x)
    log_var = ops.clip(log_var, _LOWEST, _HIGHEST)
    return keras.Model(inputs, [mean, log_var], name="encoder"), shape


def _decoder(
    shape: tuple[int, ...],
    latent_dim: int,
    channels: int,
    filters: Sequence[int],
    hidden_dim: int | None,
    activation: Any,
    last: Any,
) -> Any:
    layers = keras.layers
    x = inputs = keras.Input((latent_dim,))
    if hidden_dim:
        x = layers.Dense(hidden_dim, activation=activation)(x)
    x = layers.Dense(int(np.prod(shape)), activation=activation if filters else last)(x)
    x = layers.Reshape(shape)(x)
    widths = [*reversed(filters[:-1]), channels] if filters else []
    for i, count in enumerate(widths):
        own = last if i == len(widths) - 1 else activation
        x = layers.Conv2DTranspose(count, 4, strides=2, padding="same", activation=own)(x)
    return keras.Model(inputs, x, name="decoder")
