"""Other laws for the tail x >= xmin, their likelihoods, and Vuong's comparison.

The truncated power law x^-alpha e^(-Lambda x) is an exponential family in (alpha, Lambda):
with a = mean ln(x/xmin), b = mean x/xmin and z = Lambda xmin its log-likelihood per value is

    -alpha a - z b - ln E_alpha(z) - ln xmin,    E_alpha(z) = int_1^inf t^-alpha e^(-z t) dt,

which is concave and depends on the data through (a, b) only. So the fits of all candidates for xmin
are Newton iterations side by side, with E and its derivatives by one quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import numpy as np
from scipy.special import chdtrc, erfc, erfcx, log_ndtr

from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.pareto import alpha_at, depths, possible_starts

Law = Literal["PL", "TPL", "exponential", "lognormal"]
LAWS: Final = ("PL", "TPL", "exponential", "lognormal")

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_STEPS: Final = 100
_SIGNIFICANT: Final = 0.05
_LEAST_LENGTH: Final = 1e-12  # of a tail in ln x: below it is rounding
_FAR: Final = 45.0  # e^-45 is nothing beside 1


class TruncatedTail(NamedTuple):
    """A truncated power law fitted to a tail."""

    start: int
    alpha: float
    Lambda: float
    D: float
    loglikelihood: float


class Comparison(NamedTuple):
    """Vuong's test of two laws on one tail."""

    ratio: float
    """Log-likelihood of the first minus the second, over sqrt(n var): above 0 the first fits."""
    p_value: float
    """The probability of such a ratio if both fitted equally well."""


def fit_truncated(
    x: Array, *, min_tail: int = 2, bounds: tuple[float, float] | None = None
) -> TruncatedTail | None:
    """Fit the truncated power law, with the xmin whose distance D is smallest.

    Args:
        x: Positive numbers, ascending.
        min_tail: The fewest values that a tail may have.
        bounds: Lowest and highest value of xmin.
    """
    starts, _ = possible_starts(depths(x), x, max(min_tail, 3), bounds)
    if not starts.size:
        return None
    alphas, z = _fit_many(x, starts)
    distances = np.array(
        [_distance(x[s:] / x[s], a, b) for s, a, b in zip(starts, alphas, z, strict=True)]
    )
    best = int(np.argmin(distances))
    start = int(starts[best])
    total = float(_truncated_logs(x[start:], alphas[best], z[best]).sum())
    return TruncatedTail(
        start, float(alphas[best]), float(z[best] / x[start]), float(distances[best]), total
    )


def fit_truncated_at(x: Array, start: int) -> TruncatedTail:
    """Fit the truncated power law at a given xmin.

    Args:
        x: Positive numbers, ascending.
        start: Index of xmin.
    """
    alphas, z = _fit_many(x, np.array([start]))
    tail = x[start:]
    total = float(_truncated_logs(tail, alphas[0], z[0]).sum())
    gap = _distance(tail / tail[0], alphas[0], z[0])
    return TruncatedTail(start, float(alphas[0]), float(z[0] / tail[0]), gap, total)


def log_densities(x: Array, start: int, law: str) -> Array:
    """Ln p(x) of each value of the tail, with the law's best parameters.

    Args:
        x: Positive numbers, ascending.
        start: Index of xmin.
        law: One of `LAWS`.
    """
    return _LOGS[law](x, start)


def compare(first: Array, second: Array, *, nested: bool = False) -> Comparison:
    """Vuong's likelihood-ratio test.

    Args:
        first: ln p(x) under the first law.
        second: ln p(x) under the second.
        nested: Whether the first is a special case of the second.
    """
    gaps = first - second
    total = float(gaps.sum())
    spread = math.sqrt(gaps.size * float(gaps.var()))
    ratio = total / spread if spread > 0 else 0.0
    if nested:
        return Comparison(ratio, float(chdtrc(1, 2 * abs(total))))
    return Comparison(ratio, float(erfc(abs(ratio) / math.sqrt(2))))


def best_law(x: Array, start: int) -> str:
    """The law that Vuong's test prefers on a tail; the power law unless another wins at p < 0.05.

    Args:
        x: Positive numbers, ascending.
        start: Index of xmin.
    """
    best, logs = "PL", log_densities(x, start, "PL")
    for law in LAWS[1:]:
        rival = log_densities(x, start, law)
        verdict = compare(logs, rival, nested=best == "PL" and law == "TPL")
        if verdict.ratio < 0 and verdict.p_value < _SIGNIFICANT:
            best, logs = law, rival
    return best


def _power_logs(x: Array, start: int) -> Array:
    tail = x[start:]
    alpha = alpha_at(depths(x), start)
    return np.asarray(math.log((alpha - 1) / tail[0]) - alpha * np.log(tail / tail[0]))


def _exponential_logs(x: Array, start: int) -> Array:
    tail = x[start:]
    rate = 1.0 / float(np.mean(tail - tail[0]))
    return np.asarray(math.log(rate) - rate * (tail - tail[0]))


def _lognormal_logs(x: Array, start: int) -> Array:
    """The lognormal cut at xmin, as exp(-beta u - gamma u^2) in u = ln(x / xmin).

    In these parameters the likelihood is concave, and gamma = 0 is the power law.
    """
    logs = np.log(x[start:])
    u = logs - logs[0]
    first, second = float(u.mean()), float(np.square(u).mean())

    def cost(point: Array) -> float:
        beta, gamma = point[0] / first, math.exp(point[1]) / second
        return float(beta * first + gamma * second + _log_half_gaussian(beta, gamma))

    from scipy.optimize import minimize  # a third of a second, which few analyses need

    options = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 2000}
    starts = ((1.0, -3.0), (-1.0, 0.0))
    found = [minimize(cost, point, method="Nelder-Mead", options=options) for point in starts]
    best = min(found, key=lambda answer: float(answer.fun))
    beta, gamma = best.x[0] / first, math.exp(best.x[1]) / second
    return np.asarray(-beta * u - gamma * u * u - _log_half_gaussian(beta, gamma) - logs)


def _log_half_gaussian(beta: float, gamma: float) -> float:
    """Ln of the integral of exp(-beta u - gamma u^2) over u >= 0."""
    if beta > 0:  # without the cancellation that a small gamma would bring
        scaled = float(erfcx(beta / (2 * math.sqrt(gamma))))
        return math.log(0.5 * math.sqrt(math.pi / gamma) * scaled)
    tail = float(log_ndtr(-beta / math.sqrt(2 * gamma)))
    return float(0.5 * math.log(math.pi / gamma) + beta * beta / (4 * gamma) + tail)


def _truncated_at_logs(x: Array, start: int) -> Array:
    alphas, z = _fit_many(x, np.array([start]))
    return _truncated_logs(x[start:], alphas[0], z[0])


_LOGS: Final[dict[str, Callable[[Array, int], Array]]] = {
    "PL": _power_logs,
    "TPL": _truncated_at_logs,
    "exponential": _exponential_logs,
    "lognormal": _lognormal_logs,
}


def _truncated_logs(tail: Array, alpha: float, z: float) -> Array:
    t = tail / tail[0]
    log_norm = math.log(tail[0]) + float(_moments(np.array([alpha]), np.array([z])).log_norm[0])
    return np.asarray(-alpha * np.log(t) - z * t - log_norm)


class _Moments(NamedTuple):
    """ln E and the mean and covariance of (ln t, t), for many (alpha, z)."""

    log_norm: Array
    u: Array
    t: Array
    uu: Array
    ut: Array
    tt: Array


def _reach(alphas: Array, z: Array) -> Array:
    """Return where in u = ln t the integrand has become nothing."""
    by_cutoff = np.log1p(_FAR / np.maximum(z, 1e-300))
    by_power = np.where(alphas > 1, _FAR / np.maximum(alphas - 1, 1e-12), np.inf)
    # With alpha < 1 the integrand rises as t^(1-alpha) before the cutoff bites.
    rise = np.maximum(1 - alphas, 0) * by_cutoff / np.maximum(z, 1e-300)
    return np.minimum(np.where(alphas < 1, np.log1p((_FAR + z * rise) / z), by_cutoff), by_power)


def _moments(alphas: Array, z: Array) -> _Moments:
    """By Gauss-Legendre in u = ln t, nodes squeezed towards u = 0 where the integrand is steep."""
    reach = _reach(alphas, z)[:, None]
    s = (_NODES + 1) / 2
    u = reach * s**2
    t = np.exp(u)
    exponents = (1 - alphas)[:, None] * u - z[:, None] * (t - 1)
    peak = exponents.max(axis=1, keepdims=True)
    mass = np.exp(exponents - peak) * (_WEIGHTS * s) * reach
    total = mass.sum(axis=1)
    p = mass / total[:, None]
    mean_u, mean_t = (p * u).sum(axis=1), (p * t).sum(axis=1)
    du, dt = u - mean_u[:, None], t - mean_t[:, None]
    return _Moments(
        np.log(total) + peak[:, 0] - z,
        mean_u,
        mean_t,
        (p * du * du).sum(axis=1),
        (p * du * dt).sum(axis=1),
        (p * dt * dt).sum(axis=1),
    )


def _fit_many(x: Array, starts: Array) -> tuple[Array, Array]:
    """(alpha, z) of every start by damped Newton steps in (alpha, ln z)."""
    d = depths(x)
    m = x.size - starts
    a = d[starts] - np.cumsum(d[::-1])[::-1][starts] / m
    a = np.maximum(a, _LEAST_LENGTH)
    b = np.cumsum(x[::-1])[::-1][starts] / m / x[starts]
    power = 1 + 1 / a
    alphas, logz = power.copy(), np.log(0.1 / b)
    damping = np.full(starts.size, 1e-3)
    value = _likelihood(alphas, logz, a, b)
    for _ in range(_STEPS):
        z = np.exp(logz)
        now = _moments(alphas, z)
        g1, g2 = now.u - a, z * (now.t - b)
        h11, h12 = now.uu * (1 + damping) + 1e-12, z * now.ut
        h22 = z * z * now.tt * (1 + damping) + np.abs(g2) * damping + 1e-12
        det = h11 * h22 - h12 * h12
        s1 = np.clip((h22 * g1 - h12 * g2) / det, -5, 5)
        s2 = np.clip((h11 * g2 - h12 * g1) / det, -2, 2)
        trial = _likelihood(alphas + s1, logz + s2, a, b)
        better = trial >= value
        alphas, logz = np.where(better, alphas + s1, alphas), np.where(better, logz + s2, logz)
        gained = np.where(better, trial - value, np.inf)
        value = np.where(better, trial, value)
        damping = np.clip(np.where(better, damping / 5, damping * 10), 1e-12, 1e12)
        settled = (gained < 1e-14) | (damping >= 1e10) | (logz < np.log(1e-9 / b))
        if settled.all():
            break
    # The power law itself is the border z = 0; where nothing is better, it is the answer.
    plain = -power * a - np.log(1 / (power - 1))
    use_plain = ~(value > plain)
    return np.where(use_plain, power, alphas), np.where(use_plain, 1e-12 / b, np.exp(logz))


def _likelihood(alphas: Array, logz: Array, a: Array, b: Array) -> Array:
    z = np.exp(logz)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value = -alphas * a - z * b - _moments(alphas, z).log_norm
    return np.where(np.isfinite(value), value, -np.inf)


def _distance(t: Array, alpha: float, z: float) -> float:
    """Max |F - (j - i)/m|, F by the trapezoid rule on a grid finer than the data."""
    reach = float(_reach(np.array([alpha]), np.array([z]))[0])
    u = np.linspace(0.0, 1.0, 1500) ** 2 * reach
    y = np.exp((1 - alpha) * u - z * np.expm1(u))
    areas = np.concatenate([[0.0], np.cumsum((y[1:] + y[:-1]) / 2 * np.diff(u))])
    cdf = np.interp(np.log(t), u, areas / areas[-1])
    m = t.size
    return float(np.abs(cdf - np.arange(m) / m).max())
