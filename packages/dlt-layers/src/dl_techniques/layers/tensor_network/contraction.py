"""Contraction of matrix product states."""

from __future__ import annotations

from typing import Any

from keras import ops

from dl_techniques.core import Tensor


def mps_contract(
    features: Tensor, cores: Tensor, output_core: Tensor, position: int, method: str = "scan"
) -> Tensor:
    """Contract a matrix product state with the features of its sites.

    M_n = sum_s phi_{n,s} A_{n,s}
    y_l = e_1^T M_1 ... M_m C_l M_{m+1} ... M_N e_1

    Args:
        features: phi, `(batch, N, d)`.
        cores: A, `(N, d, D, D)`.
        output_core: C, `(L, D, D)`.
        position: m, how many sites stand before C.
        method: `"scan"` multiplies a vector by one matrix after another, N steps of
            2 d D^2 operations; `"tree"` multiplies pairs of matrices, log2 N steps of products of
            2 D^3 operations. CPUs prefer the first, GPUs the second.

    Returns:
        y, `(batch, L)`.

    Example:
        >>> from keras import ops
        >>> features, cores = ops.ones((1, 3, 2)), ops.ones((3, 2, 1, 1))
        >>> float(mps_contract(features, cores, ops.ones((1, 1, 1)), 1)[0, 0])
        8.0
    """
    product = {"scan": _scanned, "tree": _multiplied}[method]
    sites = (features[:, :position], cores[:position])
    left = product(*sites)
    # (M_{m+1} ... M_N e_1)^T = e_1^T M_N^T ... M_{m+1}^T
    rest = (ops.flip(features[:, position:], axis=1), ops.flip(cores[position:], axis=0))
    right = product(rest[0], ops.swapaxes(rest[1], -1, -2))
    joined = ops.einsum("bi,lij->blj", left, output_core)
    return ops.einsum("blj,bj->bl", joined, right)


def _first(features: Tensor, cores: Tensor) -> Tensor:
    """Return e_1 for each sample."""
    unit = ops.one_hot(0, cores.shape[-1], dtype=features.dtype)
    return ops.tile(unit[None], (ops.shape(features)[0], 1))


def _scanned(features: Tensor, cores: Tensor) -> Tensor:
    """Return e_1^T M_1 ... M_n, one site after the other."""
    vector = _first(features, cores)
    sites, local, bond, _ = cores.shape
    if sites == 0:
        return vector
    # (N, D, d D): one product gives the vector times all matrices of a site.
    tables = ops.reshape(ops.transpose(cores, (0, 2, 1, 3)), (sites, bond, local * bond))

    def step(vector: Tensor, site: Any) -> tuple[Tensor, None]:
        phi, table = site
        products = ops.reshape(ops.matmul(vector, table), (-1, local, bond))
        return ops.sum(products * ops.expand_dims(phi, -1), axis=1), None

    vector, _ = ops.scan(step, vector, (ops.transpose(features, (1, 0, 2)), tables))
    return vector


def _multiplied(features: Tensor, cores: Tensor) -> Tensor:
    """Return e_1^T M_1 ... M_n, by products of neighbours."""
    if cores.shape[0] == 0:
        return _first(features, cores)
    matrices = ops.einsum("bns,nsij->bnij", features, cores)
    while matrices.shape[1] > 1:
        pairs = matrices.shape[1] // 2
        product = ops.matmul(matrices[:, : 2 * pairs : 2], matrices[:, 1 : 2 * pairs : 2])
        matrices = ops.concatenate([product, matrices[:, 2 * pairs :]], axis=1)
    return matrices[:, 0, 0]
