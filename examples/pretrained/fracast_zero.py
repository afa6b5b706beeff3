"""A forecaster that was trained elsewhere, without torch: Fracast-0 and its weights on any backend.

The weights, 85,001 parameters in safetensors, are in the wheel `fracast` on PyPI (0.5 MB,
Apache-2.0, pinned). The network is causal and convolutional: one block runs at the dilations 1, 2,
4, ..., 512. Periods are found outside of it, in NumPy.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/pretrained/fracast_zero.py`.
It needs pip.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

sys.path.insert(0, str(Path(__file__).parent))

from pinned_wheel import NotAvailable, file_of_wheel

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.layers import RMSNorm

REQUIREMENT = "fracast==0.1.0"
WHEEL = "54a2c442ffeb8e1763733d37415326df122e0580640d6c3d02211883429fb892"
FILE = "fracast/weights/model.safetensors"
SHA256 = "0d678f123f3d1f91c5065cca2b5d40eccc469360afc2381b27290486011ded2c"

CONTEXT, HORIZON, WIDTH = 2048, 48, 64
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
STAGES, FUTURE_STAGES, FUTURE_CONTEXT = 10, 6, 128
PERIODS, PHASE_BINS = 4, 16
EPSILON = float(np.finfo("float32").eps)  # of torch.nn.RMSNorm


def _block(keys: str, own: str) -> tuple[W.Rule, ...]:
    return (
        W.Rule(f"{keys}.dw_weight", f"{own}.filter.kernel", W.COPY),
        W.Rule(f"{keys}.dw_bias", f"{own}.filter.bias", W.COPY),
        W.Rule(f"{keys}.pw", f"{own}.pointwise", W.LINEAR),
        W.Rule(f"{keys}.ffn.up", f"{own}.ffn.up", W.LINEAR),
        W.Rule(f"{keys}.ffn.down", f"{own}.ffn.down", W.LINEAR),
        W.Rule(f"{keys}.norm1", f"{own}.norm1", W.NORM),
        W.Rule(f"{keys}.norm2", f"{own}.norm2", W.NORM),
    )


LAYOUT = W.Layout(
    "fracast",
    (
        W.Rule("core.in_proj", "project", W.LINEAR),
        W.Rule("core.periodic.proj", "phases", W.LINEAR),
        W.Rule("core.scale.to_gb", "scale", W.LINEAR),
        W.Rule("core.norm", "norm", W.NORM),
        *_block("core.block", "block"),
        W.Rule("head.summary_proj", "pooled", W.LINEAR),
        W.Rule("head.queries", "queries", W.COPY),
        W.Rule("head.decoder_ffns.0.up", "decoder.up", W.LINEAR),
        W.Rule("head.decoder_ffns.0.down", "decoder.down", W.LINEAR),
        W.Rule("head.decoder_norms.0", "decoder_norm", W.NORM),
        W.Rule("head.fc_blocks.{i}.dw_weight", "smoothers.{i}.kernel", W.COPY),
        W.Rule("head.fc_blocks.{i}.dw_bias", "smoothers.{i}.bias", W.COPY),
        W.Rule("head.fc_blocks.{i}.norm", "smoother_norms.{i}", W.NORM),
        W.Rule("head.future_conv.in_proj", "future_inputs", W.LINEAR),
        *_block("head.future_conv.block", "future_block"),
        W.Rule("head.future_conv.out_proj", "future_outputs", W.LINEAR),
        W.Rule("head.out_proj", "quantiles", W.LINEAR),
    ),
)


class CausalFilter(keras.layers.Layer):
    """Three taps on each channel, of which the dilation is an argument of the call."""

    def build(self, input_shape: Any) -> None:
        """Create the taps (channels, 3), the last of which is that of the present."""
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 3))
        self.bias = self.add_weight(name="bias", shape=(input_shape[-1],), initializer="zeros")

    def call(self, x: Any, dilation: int = 1) -> Any:
        """Filter `(batch, time, channels)`."""
        length = x.shape[1]
        padded = ops.pad(x, ((0, 0), (2 * dilation, 0), (0, 0)))
        taps = (padded[:, j * dilation : j * dilation + length] for j in range(3))
        return sum(tap * self.kernel[:, j] for j, tap in enumerate(taps)) + self.bias


class SwiGLU(keras.layers.Layer):
    """down(silu(a) b), with [a | b] = up(x)."""

    def __init__(self, hidden: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.up = keras.layers.Dense(2 * hidden)
        self.down = keras.layers.Dense(WIDTH)

    def build(self, input_shape: Any) -> None:
        """Build both projections."""
        self.up.build(input_shape)
        self.down.build((*input_shape[:-1], self.up.units // 2))

    def call(self, x: Any) -> Any:
        """Transform the last axis."""
        gate, value = ops.split(self.up(x), 2, axis=-1)
        return self.down(ops.silu(gate) * value)


class Block(keras.layers.Layer):
    """A causal filter and a feed-forward network, each added and normalized."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filter = CausalFilter()
        self.pointwise = keras.layers.Dense(WIDTH)
        self.ffn = SwiGLU(96)
        self.norm1, self.norm2 = (RMSNorm(epsilon=EPSILON) for _ in range(2))

    def build(self, input_shape: Any) -> None:
        """Build all parts."""
        for part in (self.filter, self.pointwise, self.ffn, self.norm1, self.norm2):
            part.build(input_shape)

    def call(self, x: Any, dilation: int = 1) -> Any:
        """Transform `(batch, time, WIDTH)`."""
        x = self.norm1(x + self.pointwise(self.filter(x, dilation=dilation)))
        return self.norm2(x + self.ffn(x))


class Fracast(keras.Model):
    """The network: features of the context and of the steps ahead to quantiles (batch, 48, 9)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        dense = keras.layers.Dense
        self.project, self.phases, self.scale = dense(WIDTH), dense(WIDTH), dense(2 * WIDTH)
        self.block, self.norm = Block(), RMSNorm(epsilon=EPSILON)
        self.pooled, self.decoder = dense(WIDTH), SwiGLU(96)
        self.decoder_norm = RMSNorm(epsilon=EPSILON)
        self.smoothers = [CausalFilter() for _ in range(2)]
        self.smoother_norms = [RMSNorm(epsilon=EPSILON) for _ in range(2)]
        self.future_inputs, self.future_block = dense(WIDTH), Block()
        self.future_outputs, self.quantiles = dense(WIDTH), dense(len(LEVELS))

    def build(self, input_shape: Any = None) -> None:
        """Build all parts, by the sizes of the published network."""
        del input_shape
        tokens = (None, None, WIDTH)
        for part, size in (
            (self.project, 7),
            (self.phases, 2 * PERIODS),
            (self.scale, 8),
            (self.pooled, 5 + 2 * WIDTH),
            (self.future_inputs, 6),
        ):
            part.build((None, None, size))
        norms = (self.norm, self.decoder_norm, *self.smoother_norms)
        others = (self.block, self.decoder, self.future_block, self.future_outputs, self.quantiles)
        for part in (*norms, *others, *self.smoothers):
            part.build(tokens)
        self.queries = self.add_weight(name="queries", shape=(HORIZON, WIDTH))

    def call(self, inputs: dict[str, Any]) -> Any:
        """Forecast."""
        h = self.encode(inputs["context"], inputs["phases"])
        future = inputs["future"]
        ends = ops.concatenate([ops.mean(h, axis=1), h[:, -1]], axis=-1)[:, None]
        ends = ops.broadcast_to(ends, (ops.shape(h)[0], HORIZON, 2 * WIDTH))
        x = self.pooled(ops.concatenate([future[..., 1:], ends], axis=-1)) + self.queries
        x = self.decoder_norm(x + self.decoder(x))
        for i, (smoother, norm) in enumerate(zip(self.smoothers, self.smoother_norms, strict=True)):
            x = norm(x + smoother(x, dilation=2**i))
        z = ops.concatenate([h[:, -FUTURE_CONTEXT:], self.future_inputs(future)], axis=1)
        for i in range(FUTURE_STAGES):
            z = self.future_block(z, dilation=2**i)
        return self.quantiles(x + self.future_outputs(z[:, -HORIZON:]))

    def encode(self, context: Any, phases: Any) -> Any:
        """The states of all steps of the context."""
        x = self.project(context) + self.phases(phases)
        for i in range(STAGES):
            angles = math.pi * i / 2.0 ** np.arange(4)
            place = np.concatenate([np.sin(angles), np.cos(angles)])[None].astype("float32")
            gamma, beta = ops.split(self.scale(ops.convert_to_tensor(place)), 2, axis=-1)
            x = self.block(x * (1.0 + gamma) + beta, dilation=2**i)
        return self.norm(x)


def periods_of(series: np.ndarray) -> np.ndarray:
    """Up to four significant periods of each row, 0 where there are fewer.

    A period is a peak of the periodogram above the level that white noise passes in one row of 20.
    """
    centred = series - series.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(centred)[:, 1:]) ** 2
    power = power / np.maximum(power.sum(axis=1, keepdims=True), 1e-12)
    bins = power.shape[1]
    peak = np.zeros(power.shape, bool)
    middle = power[:, 1:-1]
    peak[:, 1:-1] = (middle > power[:, :-2]) & (middle > power[:, 2:])
    peak[:, 0] = False  # periods of up to half of the context
    scores = np.where(peak & (power >= math.log(bins / 0.05) / bins), power, -np.inf)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :PERIODS]
    found = np.round(series.shape[1] / (best + 1.0)).astype(int)
    return np.where(np.isfinite(np.take_along_axis(scores, best, axis=1)), found, 0)


def recency(positions: np.ndarray) -> np.ndarray:
    """Five bounded functions of the distance to the end of the context."""
    delta = (positions.astype("float32") - np.float32(CONTEXT - 1)) / np.float32(CONTEXT)
    far = np.abs(delta)
    logs = np.sign(delta) * np.log1p(far) / np.float32(math.log(2))
    return np.stack([delta, logs, *(np.exp(-rate * far) for rate in (0.5, 2.0, 8.0))], axis=-1)


def seasonal(values: np.ndarray, seen: np.ndarray, period: np.ndarray) -> np.ndarray:
    """The mean of the observed values at the phase of each step ahead, in 16 bins."""
    p = np.maximum(period, 1)[:, None].astype("float32")

    def bins(positions: np.ndarray) -> np.ndarray:
        share = positions[None].astype("float32") % p / p * PHASE_BINS
        return np.minimum(share, PHASE_BINS - 1).astype(int)

    past, ahead = bins(np.arange(CONTEXT)), bins(np.arange(CONTEXT, CONTEXT + HORIZON))
    one_hot = (past[..., None] == np.arange(PHASE_BINS)) * seen[..., None]
    counts, totals = one_hot.sum(1), (one_hot * values[..., None]).sum(1)
    mean = values.sum(1, keepdims=True) / np.maximum(seen.sum(1, keepdims=True), 1)
    means = np.where(counts > 0, totals / np.maximum(counts, 1), mean)
    return np.take_along_axis(means, ahead, axis=1)


def features(values: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
    """The inputs of the network for scaled rows, which are zero where nothing was observed."""
    rows = len(values)
    mean = values.sum(1, keepdims=True) / np.maximum(seen.sum(1, keepdims=True), 1)
    periods = periods_of(np.where(seen, values, mean))
    positions = np.arange(CONTEXT)
    angles = positions[None, :, None].astype("float32") * np.float32(2 * math.pi)
    angles = angles / np.maximum(periods, 1)[:, None].astype("float32")
    phases = np.stack([np.sin(angles), np.cos(angles)], axis=-1) * (periods > 0)[:, None, :, None]
    own = np.stack([values, seen.astype("float32")], axis=-1)
    near, ahead = (
        np.broadcast_to(recency(part), (rows, len(part), 5))
        for part in (positions, np.arange(CONTEXT, CONTEXT + HORIZON))
    )
    fill = seasonal(values, seen, periods[:, 0])[..., None]
    found = {
        "context": np.concatenate([own, near], axis=-1),
        "phases": phases.reshape(rows, CONTEXT, 2 * PERIODS),
        "future": np.concatenate([fill, ahead], axis=-1),
    }
    return {name: array.astype("float32") for name, array in found.items()}


def forecast(model: Any, series: np.ndarray, horizon: int = HORIZON) -> np.ndarray:
    """Quantiles (horizon, 9) of the steps after a series, or (batch, horizon, 9).

    Args:
        model: The network.
        series: `(time,)` or `(batch, time)`, NaN = not observed.
        horizon: Beyond 48 steps, the median goes on as if it had been observed.
    """
    rows = np.atleast_2d(np.asarray(series, "float32"))
    found: list[np.ndarray] = []
    while sum(part.shape[1] for part in found) < horizon:
        rows = rows[:, -CONTEXT:]
        seen = np.isfinite(rows)
        low = np.nanmin(rows, axis=1, keepdims=True).astype("float64")
        span = np.maximum(np.nanmax(rows, axis=1, keepdims=True) - low, 1e-5)
        scaled = np.where(seen, (rows - low) / span, 0).astype("float32")
        left = ((0, 0), (CONTEXT - rows.shape[1], 0))
        inputs = features(np.pad(scaled, left), np.pad(seen, left))
        block = np.asarray(model.predict(inputs, verbose=0)) * span[..., None] + low[..., None]
        found.append(block)
        rows = np.concatenate([rows, block[..., LEVELS.index(0.5)].astype("float32")], axis=1)
    quantiles = np.concatenate(found, axis=1)[:, :horizon]
    return quantiles if np.ndim(series) == 2 else quantiles[0]


def pretrained(path: Path | None = None) -> Any:
    """The network with its weights.

    Args:
        path: The file of weights; `None` for that of the wheel.

    Raises:
        NotAvailable: If the wheel cannot be had.
    """
    path = path or file_of_wheel(REQUIREMENT, WHEEL, FILE, SHA256)
    model = Fracast()
    model.build()
    W.load(model, path, LAYOUT)
    return model


def main() -> int:
    """Forecast a wave of period 24 with noise."""
    try:
        model = pretrained()
    except NotAvailable as error:
        print(f"skipped: {error}")
        return 0
    time = np.arange(480 + HORIZON)
    wave = np.sin(2 * np.pi * time / 24) + 0.1 * np.random.default_rng(0).normal(size=len(time))
    found = forecast(model, wave[:480])
    error = np.abs(found[:, LEVELS.index(0.5)] - wave[480:]).mean()
    inside = ((found[:, 0] <= wave[480:]) & (wave[480:] <= found[:, -1])).mean()
    print(
        f"{model.count_params():,} parameters; mean absolute error {error:.3f}, the noise's 0.080"
    )
    print(f"share inside the band of 0.1 to 0.9: {inside:.2f}")
    return int(error > 0.3)


if __name__ == "__main__":
    sys.exit(main())
