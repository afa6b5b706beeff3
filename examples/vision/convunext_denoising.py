"""ConvUNext removes noise from photographs that it has never seen.

Patches of six photographs of scikit-image get fresh Gaussian noise at each step. The network
estimates the noise, at full size and, by deep supervision, its mean at half of the size. Then whole
photographs that were held out are denoised, and the gain in PSNR is printed.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/vision/convunext_denoising.py`.
It needs scikit-image; `--output FILE.png` needs matplotlib as well.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from dl_techniques.models.convunext import ConvUNext, create_inference_model_from_training_model

SEED = 0
SIGMA = 25 / 255
SIDE = 40
BATCH = 16
EPOCHS = 8
STEPS = 40
TRAINING = ("astronaut", "coffee", "rocket", "brick", "grass", "gravel")
HELD_OUT = ("chelsea", "camera")


def photograph(name: str) -> Any:
    """A photograph of scikit-image in gray, `(height, width)`, from 0 to 1."""
    from skimage import color, data, util

    image = getattr(data, name)()
    return (color.rgb2gray(image) if image.ndim == 3 else util.img_as_float(image)).astype("f4")


class Patches(keras.utils.PyDataset):
    """Random patches with noise, and the noise.

    Args:
        images: Photographs.
        **kwargs: Arguments of `keras.utils.PyDataset`.
    """

    def __init__(self, images: list[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.images = images
        self.rng = np.random.default_rng(SEED)

    def __len__(self) -> int:
        """The steps of an epoch."""
        return STEPS

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """One batch; each patch is mirrored at random."""
        patches = []
        for _ in range(BATCH):
            image = self.images[self.rng.integers(len(self.images))]
            row, column = (self.rng.integers(n - SIDE + 1) for n in image.shape)
            patch = image[row : row + SIDE, column : column + SIDE]
            patches.append(patch[:, :: self.rng.choice([-1, 1])])
        clean = np.stack(patches)[..., None]
        noise = self.rng.normal(0, SIGMA, clean.shape).astype("f4")
        return clean + noise, noise


def build_model() -> ConvUNext:
    """A small network.

    Without biases the normalization of the stem hides how bright the image is, and with that how
    large the noise is.
    """
    return ConvUNext(
        input_shape=(None, None, 1),
        depth=2,
        initial_filters=16,
        blocks_per_level=1,
        kernel_size=5,
        use_bias=True,
        enable_deep_supervision=True,
    )


def train(model: ConvUNext) -> list[float]:
    """Fit the model; returns the losses, epoch by epoch."""
    schedule = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * STEPS)
    model.compile(keras.optimizers.Adam(schedule), ["mse", "mse"], loss_weights=[1.0, 0.5])
    patches = Patches([photograph(name) for name in TRAINING])
    with tqdm(total=EPOCHS, desc="training", unit="epoch") as bar:
        advance = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.update())
        fit = model.fit(patches, epochs=EPOCHS, verbose=0, callbacks=[advance])
    return list(fit.history["loss"])


def psnr(clean: Any, image: Any) -> float:
    """The peak signal-to-noise ratio in dB, of pixels clipped to 0 to 1."""
    from skimage.metrics import peak_signal_noise_ratio

    return float(peak_signal_noise_ratio(clean, np.clip(image, 0, 1), data_range=1.0))


def draw(rows: list[Any], path: Path) -> None:
    """Show the middle of each photograph: clean, noisy, denoised."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.4), layout="constrained")
    titles = ("photograph", "with noise", "denoised")
    for axes, images in zip(figure.subplots(len(rows), 3), rows, strict=True):
        for panel, image, title in zip(axes, images, titles, strict=True):
            top, left = (n // 2 - 80 for n in image.shape)
            panel.imshow(image[top : top + 160, left : left + 160], cmap="gray", vmin=0, vmax=1)
            panel.set_axis_off()
            value = f", {psnr(images[0], image):.1f} dB" if image is not images[0] else ""
            panel.set_title(f"{title}{value}")
    figure.savefig(path, dpi=70)


def main() -> int:
    """Train, denoise, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="FILE.png", help="draw the photographs")
    options = parser.parse_args()
    started = time.monotonic()
    keras.utils.set_random_seed(SEED)
    model = build_model()
    losses = train(model)
    denoiser = create_inference_model_from_training_model(model)
    rng = np.random.default_rng(SEED + 1)
    rows, gains = [], []
    for name in HELD_OUT:
        clean = photograph(name)
        noisy = clean + rng.normal(0, SIGMA, clean.shape).astype("f4")
        noise = keras.ops.convert_to_numpy(denoiser(noisy[None, ..., None], training=False))
        denoised = noisy - noise[0, ..., 0]
        before, after = psnr(clean, noisy), psnr(clean, denoised)
        print(f"{name}: {before:.2f} dB with noise, {after:.2f} dB denoised, {after - before:+.2f}")
        rows.append((clean, noisy, denoised))
        gains.append(after - before)
    if options.output is not None:
        draw(rows, options.output)
    print(
        f"loss {losses[0]:.5f} at first, {losses[-1]:.5f} at last; "
        f"mean gain {np.mean(gains):.2f} dB"
        f"\n{time.monotonic() - started:.0f} s on {keras.backend.backend()}"
    )
    return int(np.mean(gains) < 6)


if __name__ == "__main__":
    sys.exit(main())
