"""Cluster-robust inference for weighted least squares: CR1 with t(G - 1), CR2 with Satterthwaite degrees of freedom, and
the joint test of several restrictions on CR2 (approximate Hotelling T-squared, HTZ).

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

from collections.abc import Mapping, Sequence
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
        method: ``cr1_t``, ``cr2_satterthwaite``, ``cr3_t`` or ``model_z``.
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


@dataclass(frozen=True)
class WaldTest:
    """A joint test that linear combinations of coefficients are all zero.

    Attributes:
        method: ``cr2_htz``.
        n_restrictions: ``q``, the number of combinations; n_clusters: ``G``.
        statistic: the F statistic, already scaled for its reference distribution.
        df_numerator, df_denominator: degrees of freedom of that F distribution (``q`` and ``nu - q + 1``).
        p_value: its upper tail.
    """

    method: str
    n_restrictions: int
    n_clusters: int
    statistic: float
    df_numerator: float
    df_denominator: float
    p_value: float


@dataclass(frozen=True)
class RefusedTest:
    """A joint test that these clusters do not allow, and why in words."""

    method: str
    n_restrictions: int
    n_clusters: int
    reason: str


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
    return cr1_of_scores(
        scores, term, fit.coefficient(term), fit.n_rows, len(fit.columns), confidence_level=confidence_level
    )


def cr1_of_scores(
    scores: Array, term: str, estimate: float, n_rows: int, n_columns: int, *, confidence_level: float
) -> Inference:
    """CR1 with ``t(G - 1)`` from ``(G,)`` what each cluster adds to the estimate; not a number where it is not defined.

    Args:
        scores: one per cluster; they sum to zero at the estimate.
        term: what is estimated; estimate: its estimate.
        n_rows: ``N``; n_columns: ``K``.
        confidence_level: coverage of the interval, for example 0.95.
    """
    correction = cr1_correction(len(scores), n_rows, n_columns)
    df = len(scores) - 1 if np.isfinite(correction) else float("nan")
    return t_test(
        "cr1_t", term, estimate, float(np.sqrt(correction * (scores @ scores))), df, confidence_level
    )


def cr1_correction(n_clusters: int, n_rows: int, n_columns: int) -> float:
    """``G/(G-1) x (N-1)/(N-K)``; not a number with one cluster, or without a degree of freedom left.

    Example:
        >>> cr1_correction(5, 101, 21)
        1.5625
    """
    if n_clusters < 2 or n_rows <= n_columns:
        return float("nan")
    return n_clusters / (n_clusters - 1) * (n_rows - 1) / (n_rows - n_columns)


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
    scores, joint = _adjusted_scores(fit, _whitened_contrast(fit, term)[:, None])
    products = joint[0, 0]
    spread = float(np.sum(products * products))
    df = float(np.trace(products)) ** 2 / spread if spread > 0 else float("nan")
    std_error = float(np.sqrt(scores[:, 0] @ scores[:, 0]))
    return t_test("cr2_satterthwaite", term, fit.coefficient(term), std_error, df, confidence_level)


def cr2_wald(fit: LinearFit, restrictions: Sequence[str | Mapping[str, float]]) -> WaldTest | RefusedTest:
    """Test ``q`` linear restrictions together: CR2 with an approximate Hotelling T-squared reference distribution (HTZ).

    With ``V`` the CR2 covariance of the ``q`` combinations ``c``, ``Q = c'V^-1 c`` and
    ``F = (nu - q + 1) / (nu q) Q`` on ``q`` and ``nu - q + 1`` degrees of freedom. ``nu`` matches the total variance of
    ``Omega^-1/2 V Omega^-1/2``, ``Omega`` the mean of ``V`` under the working covariance (identity), to that of a Wishart
    matrix: ``nu = q (q + 1) / sum of those variances``. With one restriction this is the square of the t statistic of
    :func:`cr2` with Satterthwaite degrees of freedom. What ``clubSandwich`` gives as
    ``Wald_test(vcov = "CR2", test = "HTZ")``.

    Source: Pustejovsky and Tipton (2018), Journal of Business and Economic Statistics 36: 672-683, section 3.2 (their AHT
    test, which takes up Zhang's approximation of 2012).

    Args:
        fit: the fit; its ``clusters`` are the ``G`` clusters.
        restrictions: each a column that must be zero, or the weights of columns whose weighted sum must be.

    Returns:
        The test, or a :class:`RefusedTest` where ``q`` exceeds ``G - 2``, the covariance of the combinations is not of
        full rank, or ``nu - q + 1`` is not positive: then no reference distribution exists.

    Example:
        >>> import numpy as np
        >>> from csc_evaluation.estimation.linear import CompressedSample, weighted_least_squares
        >>> x = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 3.0], [1.0, 4.0], [1.0, 7.0], [1.0, 9.0]])
        >>> fit = weighted_least_squares(CompressedSample(
        ...     columns=("one", "x"), x=x, weight=np.ones(6), n_rows=np.ones(6, int),
        ...     sum_y=np.array([1.0, 2.0, 2.0, 4.0, 5.0, 8.0]), cluster=np.array([0, 0, 1, 1, 2, 2]),
        ...     cluster_names=("a", "b", "c")))
        >>> test, single = cr2_wald(fit, ["x"]), cr2(fit, "x", confidence_level=0.95)
        >>> round(test.p_value - single.p_value, 12)
        0.0
        >>> cr2_wald(fit, ["one", "x"]).reason
        '2 restrictions on 3 clusters: at most 1 can be tested'
    """
    method, n_restrictions, n_clusters = "cr2_htz", len(restrictions), len(fit.clusters)
    if n_restrictions == 0:
        return RefusedTest(method, 0, n_clusters, "there is no restriction to test")
    if n_restrictions > n_clusters - 2:
        at_most = "none" if n_clusters < 3 else f"at most {n_clusters - 2}"
        plural = "" if n_restrictions == 1 else "s"
        reason = f"{n_restrictions} restriction{plural} on {n_clusters} clusters: {at_most} can be tested"
        return RefusedTest(method, n_restrictions, n_clusters, reason)
    weights = [{row: 1.0} if isinstance(row, str) else row for row in restrictions]
    combined = np.array([sum(w * fit.coefficient(name) for name, w in row.items()) for row in weights])
    contrasts = np.column_stack(
        [sum(w * _whitened_contrast(fit, name) for name, w in row.items()) for row in weights]
    )
    scores, joint = _adjusted_scores(fit, contrasts)
    mean = np.einsum("stgg->st", joint)
    # Scaled to a unit diagonal first: full rank must not depend on the units of the columns.
    unit = np.sqrt(np.diag(mean))
    if not _is_full_rank(mean, unit) or not _is_full_rank(scores.T @ scores, unit):
        reason = "the clusters do not tell the restrictions apart: their covariance is not of full rank"
        return RefusedTest(method, n_restrictions, n_clusters, reason)
    root = _inverse_root(mean / np.outer(unit, unit)) / unit
    whitened = np.einsum("su,uvgh,tv->stgh", root, joint, root)
    variances = np.einsum("stgh,tsgh->st", whitened, whitened) + np.einsum(
        "ssgh,ttgh->st", whitened, whitened
    )
    nu = n_restrictions * (n_restrictions + 1) / float(variances.sum())
    df_denominator = nu - n_restrictions + 1
    if not df_denominator > 0:
        reason = f"{nu:.1f} degrees of freedom are too few for {n_restrictions} restrictions"
        return RefusedTest(method, n_restrictions, n_clusters, reason)
    left, scaled = (scores / unit).T, combined / unit
    quadratic = float(scaled @ np.linalg.solve(left @ left.T, scaled))
    statistic = df_denominator / nu * quadratic / n_restrictions
    return WaldTest(
        method=method,
        n_restrictions=n_restrictions,
        n_clusters=n_clusters,
        statistic=statistic,
        df_numerator=float(n_restrictions),
        df_denominator=df_denominator,
        p_value=float(stats.f.sf(statistic, n_restrictions, df_denominator)),
    )


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
    # One triangular solve for all clusters: many small ones cost more in calls than in work.
    on_x, on_wx = (
        _solve_lower(fit.root, np.vstack(parts).T).T
        for parts in ([factor.x for factor in fit.factors], [factor.wx for factor in fit.factors])
    )
    ends = np.cumsum([len(factor.y) for factor in fit.factors])[:-1]
    residuals = [factor.y - factor.x @ scaled_coefficients for factor in fit.factors]
    return list(zip(np.split(on_x, ends), np.split(on_wx, ends), residuals, strict=True))


def _adjusted_scores(fit: LinearFit, contrasts: Array) -> tuple[Array, Array]:
    """CR2 scores of ``q`` whitened contrasts by cluster ``(G, q)``, and how they vary together under the working model.

    The latter, ``(q, q, G, G)``, holds ``p_gs'p_ht`` with ``p_gs = (I - H)_g' A_g W_g X_g M c_s``.
    """
    whitened = _whitened(fit)
    n_clusters, (n_columns, n_contrasts) = len(whitened), contrasts.shape
    squares = np.zeros((n_columns, n_columns))
    for _, gw, _ in whitened:
        squares += gw.T @ gw

    scores = np.zeros((n_clusters, n_contrasts))
    on_x = np.zeros((n_clusters, n_contrasts, n_columns))
    on_wx = np.zeros((n_clusters, n_contrasts, n_columns))
    own = np.zeros((n_clusters, n_contrasts, n_contrasts))
    for g, (gx, gw, residual) in enumerate(whitened):
        cross = gx @ gw.T
        covariance = np.eye(len(gx)) - cross - cross.T + gx @ squares @ gx.T
        # A_g W_g X_g M c in the cluster's basis, one row per contrast.
        adjusted = (_inverse_root(covariance) @ (gw @ contrasts)).T
        scores[g] = adjusted @ residual
        on_x[g] = adjusted @ gx
        on_wx[g] = adjusted @ gw
        own[g] = adjusted @ adjusted.T

    crossed = np.einsum("gsk,htk->stgh", on_x, on_wx)
    joint = np.einsum("gsk,htk->stgh", on_x @ squares, on_x) - crossed - crossed.transpose(1, 0, 3, 2)
    diagonal = np.arange(n_clusters)
    joint[:, :, diagonal, diagonal] += own.transpose(1, 2, 0)
    return scores, joint


def _is_full_rank(covariance: Array, unit: Array) -> bool:
    if not (np.isfinite(covariance).all() and (unit > 0).all()):
        return False
    values = np.linalg.eigvalsh(covariance / np.outer(unit, unit))
    return bool(values[0] > EIGENVALUE_TOLERANCE * values[-1])


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


def t_test(
    method: str, term: str, estimate: float, std_error: float, df: float, confidence_level: float
) -> Inference:
    """A test against zero and an interval from an estimate and its error; ``df`` infinite is the normal distribution."""
    statistic = estimate / std_error if std_error > 0 else float("nan")
    half_width = float(stats.t.ppf((1 + confidence_level) / 2, df)) * std_error
    return Inference(
        method=method,
        term=term,
        estimate=float(estimate),
        std_error=float(std_error),
        statistic=float(statistic),
        df=float(df),
        p_value=float(2 * stats.t.sf(abs(statistic), df)),
        ci_low=float(estimate - half_width),
        ci_high=float(estimate + half_width),
        confidence_level=confidence_level,
    )
