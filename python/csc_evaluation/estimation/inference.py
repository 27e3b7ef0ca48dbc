"""Cluster-robust inference for weighted least squares: CR1 with t(G - 1), CR2 with Satterthwaite degrees of freedom.

Why cells are enough. Let ``H = X M X'W`` with ``M = (X'WX)^-1``. For a cluster ``g`` with the identity as working
covariance,

    B_g = (I - H)_g (I - H)_g' = I - X_g M X_g'W_g - W_g X_g M X_g' + X_g M (X'W^2 X) M X_g'

differs from the identity only on the span of ``Z = [X_g, W_g X_g]``, and so does its symmetric root. With ``Q`` an
orthonormal basis of that span and ``S = Q'B_g Q``, the adjustment is ``A_g = Q S^(+1/2) Q' + (I - Q Q')``; because
``W_g X_g`` lies in the span, everything in the variance and its degrees of freedom is an inner product of columns of
``Z`` and the outcome. Rows alike in regressors and weight enter ``Z`` as one row times the root of their number, and
the outcome through their sum. The work is of order ``K^3`` per cluster, whatever the number of children.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from csc_evaluation.estimation.linear import Array, LinearFit, _solve_lower

EIGENVALUE_TOLERANCE = 1e-11
"""Eigenvalues of ``B_g`` below this share of its largest (or of 1) count as zero in the Moore-Penrose root."""


@dataclass(frozen=True)
class Inference:
    """A test of one coefficient against zero.

    Attributes:
        method: ``cr1_t`` or ``cr2_satterthwaite``.
        estimate, std_error: in units of the outcome.
        statistic: their ratio; df: degrees of freedom of its t distribution; p_value: two-sided.
        ci_low, ci_high: interval at ``confidence_level``.
    """

    method: str
    term: str
    estimate: float
    std_error: float
    statistic: float
    df: float
    p_value: float
    ci_low: float
    ci_high: float
    confidence_level: float


def cr1(fit: LinearFit, term: str, *, confidence_level: float) -> Inference:
    """Liang-Zeger sandwich times ``G/(G-1) x (N-1)/(N-K)``, with ``t(G-1)``.

    ``N`` counts distinct rows, ``K`` all columns kept, dummies included. Source: definitions, section 9; Cameron and
    Miller (2015), A Practitioner's Guide to Cluster-Robust Inference, equation 12.

    Args:
        fit: the fit; its ``clusters`` are the ``G`` clusters.
        term: the column to test.
        confidence_level: coverage of the interval, for example 0.95.
    """
    contrast = _whitened_contrast(fit, term)
    scores = np.array([contrast @ (gw.T @ residual) for _, gw, residual in _whitened(fit)])
    n_clusters, n_rows, n_columns = len(fit.clusters), fit.n_rows, len(fit.columns)
    # With one cluster, or no degree of freedom left, the correction divides by zero: no inference.
    if n_clusters < 2 or n_rows <= n_columns:
        return _summary("cr1_t", fit, term, float("nan"), float("nan"), confidence_level)
    correction = n_clusters / (n_clusters - 1) * (n_rows - 1) / (n_rows - n_columns)
    variance = correction * float(scores @ scores)
    return _summary("cr1_t", fit, term, np.sqrt(variance), n_clusters - 1, confidence_level)


def cr2(fit: LinearFit, term: str, *, confidence_level: float) -> Inference:
    """Bias-reduced linearisation (CR2) with Satterthwaite degrees of freedom.

    Working covariance identity, all dummies among the columns, weights not taken as inverse variances, Moore-Penrose
    root: ``clubSandwich``'s ``vcovCR(lm, type = "CR2", inverse_var = FALSE)``. Sources: Bell and McCaffrey (2002), Survey
    Methodology 28: 169-181; Pustejovsky and Tipton (2018), Journal of Business and Economic Statistics 36: 672-683,
    equations 6, 10 and 11.

    Args:
        fit: the fit.
        term: the column to test.
        confidence_level: coverage of the interval, for example 0.95.
    """
    whitened = _whitened(fit)
    n_columns = len(fit.columns)
    contrast = _whitened_contrast(fit, term)
    squares = np.zeros((n_columns, n_columns))
    for _, gw, _ in whitened:
        squares += gw.T @ gw

    scores = np.zeros(len(whitened))
    weighted_on_x = np.zeros((len(whitened), n_columns))
    weighted_on_wx = np.zeros((len(whitened), n_columns))
    own = np.zeros(len(whitened))
    for g, (gx, gw, residual) in enumerate(whitened):
        cross = gx @ gw.T
        covariance = np.eye(len(gx)) - cross - cross.T + gx @ squares @ gx.T
        # A_g W_g X_g M c in the cluster's basis.
        adjusted = _inverse_root(covariance) @ (gw @ contrast)
        scores[g] = adjusted @ residual
        weighted_on_x[g] = adjusted @ gx
        weighted_on_wx[g] = adjusted @ gw
        own[g] = adjusted @ adjusted

    # P_gh = p_g'p_h with p_g = (I - H)_g' A_g W_g X_g M c: how the adjusted scores vary together under the working model.
    cross = weighted_on_x @ weighted_on_wx.T
    joint = np.diag(own) - cross - cross.T + weighted_on_x @ squares @ weighted_on_x.T
    spread = float(np.sum(joint * joint))
    df = float(np.trace(joint)) ** 2 / spread if spread > 0 else float("nan")
    return _summary("cr2_satterthwaite", fit, term, float(np.sqrt(scores @ scores)), df, confidence_level)


def minimum_detectable_effect(
    std_error: float, df: float, *, significance_level: float, power: float
) -> float:
    """Smallest effect that a two-sided test at ``significance_level`` finds with probability ``power``.

    ``(t(1 - significance_level/2, df) + t(power, df)) x std_error`` (Bloom 1995, Evaluation Review 19: 547-556).

    Example:
        >>> round(minimum_detectable_effect(0.01, 1e9, significance_level=0.05, power=0.8), 4)
        0.028
    """
    return float((stats.t.ppf(1 - significance_level / 2, df) + stats.t.ppf(power, df)) * std_error)


def _whitened(fit: LinearFit) -> list[tuple[Array, Array, Array]]:
    """Per cluster ``X R^-1``, ``WX R^-1`` and the residuals, in its basis; with ``R'R = X'WX``, ``M`` is the identity."""
    scaled_coefficients = fit.coefficients * fit.scale
    return [
        (
            _solve_lower(fit.root, factor.x.T).T,
            _solve_lower(fit.root, factor.wx.T).T,
            factor.y - factor.x @ scaled_coefficients,
        )
        for factor in fit.factors
    ]


def _whitened_contrast(fit: LinearFit, term: str) -> Array:
    position = fit.columns.index(term)
    contrast = np.zeros(len(fit.columns))
    contrast[position] = 1.0 / fit.scale[position]
    return _solve_lower(fit.root, contrast)


def _inverse_root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    floor = EIGENVALUE_TOLERANCE * max(1.0, float(values[-1])) if len(values) else 0.0
    powers = np.where(values > floor, 1.0 / np.sqrt(np.where(values > floor, values, 1.0)), 0.0)
    return (vectors * powers) @ vectors.T


def _summary(
    method: str, fit: LinearFit, term: str, std_error: float, df: float, confidence_level: float
) -> Inference:
    estimate = fit.coefficient(term)
    statistic = estimate / std_error if std_error > 0 else float("nan")
    half_width = float(stats.t.ppf((1 + confidence_level) / 2, df)) * std_error
    return Inference(
        method=method,
        term=term,
        estimate=estimate,
        std_error=float(std_error),
        statistic=float(statistic),
        df=float(df),
        p_value=float(2 * stats.t.sf(abs(statistic), df)),
        ci_low=float(estimate - half_width),
        ci_high=float(estimate + half_width),
        confidence_level=confidence_level,
    )
