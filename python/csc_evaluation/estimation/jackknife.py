"""The cluster jackknife: estimates without each cluster, CR3 with ``t(G - 1)``, and how much each cluster decides.

All of it follows from two moments of each cluster. In coordinates in which ``X'WX`` is the identity, with
``A_g = X_g'W_g X_g`` and ``s_g = X_g'W_g y_g``, the estimate without cluster ``g`` solves
``(sum of A_h over h != g) b_(g) = sum of s_h over h != g``, so leaving out a cluster of a million children costs as much
as leaving out one of ten. The left out cluster's own dummy is zero in what remains; that system is therefore solved on
its range, and an estimate counts as identified when its contrast lies in that range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csc_evaluation.estimation.inference import Inference, _whitened, _whitened_contrast, t_test
from csc_evaluation.estimation.linear import Array, LinearFit, NotIdentifiedError

RANK_TOLERANCE = 1e-10
"""Eigenvalues of what remains below this are directions lost with the cluster; with all clusters every one is 1."""
IDENTIFICATION_TOLERANCE = 1e-6
"""A contrast is lost when the directions lost hold more than this share of its length."""


@dataclass(frozen=True)
class ClusterLeverage:
    """How much of the regressors' variation each cluster holds, by cluster.

    Attributes:
        term: the column of ``partial_leverage``.
        leverage: ``L_g = tr(X_g'W_g X_g M)`` with ``M = (X'WX)^-1``: sums to the number of columns.
        partial_leverage: share of each cluster in the weighted squares of the column cleaned of all others: sums to 1.
    """

    term: str
    leverage: dict[str, float]
    partial_leverage: dict[str, float]


def leave_one_out(fit: LinearFit, term: str) -> dict[str, float | None]:
    """The estimate of one column without each cluster in turn.

    Args:
        fit: the fit; its ``clusters`` are left out one at a time, weights kept as they are.
        term: the column.

    Returns:
        Estimates by name of the cluster left out; ``None`` where the column is not identified without that cluster.

    Example:
        >>> from csc_evaluation.estimation.linear import CompressedSample, weighted_least_squares
        >>> fit = weighted_least_squares(CompressedSample(
        ...     columns=("one",), x=np.ones((3, 1)), weight=np.ones(3), n_rows=np.array([1, 1, 2]),
        ...     sum_y=np.array([1.0, 2.0, 12.0]), cluster=np.arange(3), cluster_names=("a", "b", "c")))
        >>> {name: round(estimate, 9) for name, estimate in leave_one_out(fit, "one").items()}
        {'a': 4.666666667, 'b': 4.333333333, 'c': 1.5}
    """
    contrast = _whitened_contrast(fit, term)
    # Moments with the residuals give what each estimate differs by, which is more exact than the estimates themselves.
    moments = [(gx.T @ gw, gw.T @ residual) for gx, gw, residual in _whitened(fit)]
    estimates: dict[str, float | None] = {}
    for g, name in enumerate(fit.clusters):
        change = _solution(contrast, [own for h, own in enumerate(moments) if h != g])
        estimates[name] = None if change is None else fit.coefficient(term) + change
    return estimates


def cr3(fit: LinearFit, term: str, *, confidence_level: float) -> Inference:
    """The cluster jackknife ``(G-1)/G x sum over g of (b_(g) - b)^2``, with ``t(G-1)``.

    Centred on the estimate ``b`` from all clusters (not on the mean of the ``b_(g)``), with the factor ``(G-1)/G``.
    ``clubSandwich``'s ``CR3`` is the same sum without the factor. Sources: definitions, section 9; Bell and McCaffrey
    (2002), Survey Methodology 28: 169-181; MacKinnon, Nielsen and Webb (2023), Journal of Applied Econometrics 38:
    671-694, where it is called CV3.

    Args:
        fit: the fit; its ``clusters`` are the ``G`` clusters.
        term: the column to test.
        confidence_level: coverage of the interval, for example 0.95.

    Raises:
        NotIdentifiedError: without one of the clusters there is no estimate, for example without the only treated one.
            Leaving such a cluster out of the sum would make the error too small just where it matters most.
    """
    estimates = leave_one_out(fit, term)
    lost = [name for name, estimate in estimates.items() if estimate is None]
    if lost:
        raise NotIdentifiedError(
            f"CR3 needs an estimate without each cluster, and without {', '.join(lost)} the effect ({term}) cannot be "
            "estimated: it is then a combination of the fixed effects and covariates."
        )
    without = [value for value in estimates.values() if value is not None]
    return jackknife_test(term, fit.coefficient(term), without, confidence_level=confidence_level)


def jackknife_test(
    term: str, estimate: float, without: Sequence[float], *, confidence_level: float
) -> Inference:
    """CR3 from the estimate and those without each cluster: ``(G-1)/G x sum over g of (b_(g) - b)^2``, ``t(G-1)``.

    Example:
        >>> round(jackknife_test("x", 2.0, [1.0, 2.0, 4.0], confidence_level=0.95).std_error, 6)
        1.825742
    """
    n_clusters = len(without)
    changes = np.asarray(without) - estimate
    std_error = float(np.sqrt((n_clusters - 1) / n_clusters * float(changes @ changes)))
    return t_test("cr3_t", term, estimate, std_error, n_clusters - 1, confidence_level)


def cluster_leverage(fit: LinearFit, term: str) -> ClusterLeverage:
    """Leverage and partial leverage of each cluster.

    A cluster well above ``K / G`` (leverage) or ``1 / G`` (partial leverage) decides more than its share, and inference
    that counts clusters is then too confident. Source: MacKinnon, Nielsen and Webb (2023), Leverage, influence, and the
    jackknife in clustered regression models, Stata Journal 23: 942-982; theirs unweighted, here of ``W^(1/2) X``.

    Args:
        fit: the fit.
        term: the column of the partial leverage.
    """
    contrast = _whitened_contrast(fit, term)
    length = float(contrast @ contrast)
    leverage, partial = {}, {}
    for name, (gx, gw, _) in zip(fit.clusters, _whitened(fit), strict=True):
        leverage[name] = float(np.sum(gx * gw))
        # X M c is, up to its length, the column cleaned of the others (Frisch, Waugh and Lovell).
        partial[name] = float((gx @ contrast) @ (gw @ contrast)) / length
    return ClusterLeverage(term, leverage, partial)


def effective_clusters(fit: LinearFit, term: str) -> float:
    """Effective number of clusters ``G*`` of Carter, Schnepel and Steigerwald (2017), between 1 and ``G``.

    ``G* = G / (1 + Gamma)`` with ``Gamma`` the squared coefficient of variation of ``gamma_g = c'M X_g'W_g^2 X_g M c``,
    what each cluster adds to the variance of the estimate when errors are independent with one variance (``rho = 0``):
    the working model of CR2 here. Their worst case of errors that are one within a cluster (``rho = 1``) is not defined
    with cluster dummies, where every ``gamma_g`` of it is zero.

    Source: Review of Economics and Statistics 99: 698-709; with ``rho = 0`` as MacKinnon, Nielsen and Webb (2023).

    Args:
        fit: the fit.
        term: the column.

    Example:
        >>> from csc_evaluation.estimation.linear import CompressedSample, weighted_least_squares
        >>> fit = weighted_least_squares(CompressedSample(
        ...     columns=("one",), x=np.ones((3, 1)), weight=np.ones(3), n_rows=np.array([1, 1, 2]),
        ...     sum_y=np.array([1.0, 2.0, 12.0]), cluster=np.arange(3), cluster_names=("a", "b", "c")))
        >>> round(effective_clusters(fit, "one"), 6)
        2.666667
    """
    contrast = _whitened_contrast(fit, term)
    parts = np.array([float(np.sum((gw @ contrast) ** 2)) for _, gw, _ in _whitened(fit)])
    # The same as G / (1 + Gamma), written without the mean.
    return float(parts.sum() ** 2 / (parts @ parts))


def _solution(contrast: Array, moments: list[tuple[Array, Array]]) -> float | None:
    """``c'b`` solving the summed moments on their range, or ``None`` where ``c`` is not in it."""
    gram, score = np.zeros((len(contrast), len(contrast))), np.zeros(len(contrast))
    for own_gram, own_score in moments:
        gram += own_gram
        score += own_score
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    kept = values > RANK_TOLERANCE
    on_contrast = vectors.T @ contrast
    if np.linalg.norm(on_contrast[~kept]) > IDENTIFICATION_TOLERANCE * np.linalg.norm(contrast):
        return None
    return float((on_contrast[kept] / values[kept]) @ (vectors[:, kept].T @ score))
