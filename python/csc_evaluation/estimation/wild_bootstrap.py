"""Restricted wild cluster bootstrap of one coefficient, weighted, for one data set or several imputed ones.

Bootstrap outcomes are ``y* = X b_r + v_g u_g``, with ``b_r`` the weighted least squares estimate under the null, ``u_g`` the
restricted residuals of cluster ``g`` and one random ``v_g`` per cluster. In coordinates in which ``X'WX`` is the identity,
with ``A_g = X_g'W_g X_g`` and restricted scores ``r_g = X_g'W_g u_g``,

    c'b* - null        = sum over g of v_g c'r_g
    c'X_g'W_g e*_g     = v_g c'r_g - sum over h of (c'A_g r_h) v_h

so that a sample costs a product of a ``(G, G)`` matrix and a ``G``-vector, whatever the number of children. The scores are
linear in the null, which makes the interval, an inversion of the test, as cheap. This is the algorithm of Roodman,
Nielsen, MacKinnon and Webb (2019), Fast and wild, Stata Journal 19: 4-60; the bootstrap is the WCR of Cameron, Gelbach and
Miller (2008), Review of Economics and Statistics 90: 414-427.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from csc_evaluation.estimation.inference import _whitened, _whitened_contrast, cr1_correction
from csc_evaluation.estimation.linear import Array, LinearFit

TIE_TOLERANCE = 1e-10
"""Statistics that reach the observed one but for this share of it count as reaching it (definitions, section 9)."""
ROUNDING = 1e-20
"""Variances, and squares of estimates, below this share of their terms are rounding and count as zero."""
MOST_CLUSTERS_ENUMERATED = 20
"""Above this the sign patterns would not fit in memory."""
FIRST_STEP, GROWTH, FARTHEST = 0.25, 1.25, 16_384.0
"""Search for the ends of the interval, in standard errors: first step out, growth of steps, where it gives up."""


@dataclass(frozen=True)
class WildTest:
    """What the bootstrap needs of one fit: scores that are linear in the null, measured from the estimate.

    Attributes:
        term: the column tested; clusters: names of the ``G`` clusters, in the order of all arrays.
        estimate: of the column.
        a0, a1: ``(G,)`` ``c'r_g = a0 + (null - estimate) a1``.
        b0, b1: ``(G, G)`` ``c'A_g r_h = b0 + (null - estimate) b1``, ``g`` in rows.
        correction: CR1's ``G/(G-1) x (N-1)/(N-K)``; not a number where it is not defined.
    """

    term: str
    clusters: tuple[str, ...]
    estimate: float
    a0: Array
    a1: Array
    b0: Array
    b1: Array
    correction: float

    def statistics(self, null: float, signs: Array) -> tuple[Array, Array]:
        """``b* - null`` and its CR1 variance for each row of ``signs`` ``(S, G)``.

        A row of ones gives back the data: the estimate minus the null, and the CR1 variance of the estimate.
        """
        shift = null - self.estimate
        scores = self.a0 + shift * self.a1
        numerators = signs @ scores
        residual_scores = signs * scores - signs @ (self.b0 + shift * self.b1).T
        squares = np.einsum("sg,sg->s", residual_scores, residual_scores)
        terms = signs * scores
        scale = np.einsum("sg,sg->s", terms, terms)
        numerators = np.where(numerators**2 > ROUNDING * scale, numerators, 0.0)
        return numerators, self.correction * np.where(squares > ROUNDING * scale, squares, 0.0)


@dataclass(frozen=True)
class WildResult:
    """A bootstrap test of one coefficient against zero; there is no standard error.

    Attributes:
        method: ``wild_cluster`` or ``wild_cluster_webb``.
        p_value: share of bootstrap statistics at least as far from zero as the observed one.
        ci_low, ci_high: ends of the interval; infinite where no null on that side is rejected.
        statistic: CR1 t of the estimate, pooled over data sets.
        n_draws: number of patterns; n_clusters: ``G``.
    """

    method: str
    term: str
    estimate: float
    statistic: float
    p_value: float
    ci_low: float
    ci_high: float
    confidence_level: float
    n_draws: int
    n_clusters: int


def wild_test(fit: LinearFit, term: str) -> WildTest:
    """Reduce a fit to the ``G``-vectors of the bootstrap of one column.

    Args:
        fit: the fit; its ``clusters`` are the ``G`` clusters.
        term: the column to test.
    """
    contrast = _whitened_contrast(fit, term)
    # Restricted coefficients less unrestricted ones, per unit of (null - estimate).
    towards_null = contrast / float(contrast @ contrast)
    whitened = _whitened(fit)
    gram_contrast = np.array([gw.T @ (gx @ contrast) for gx, gw, _ in whitened])
    scores = np.array([gw.T @ residual for _, gw, residual in whitened])
    slopes = np.array([-(gw.T @ (gx @ towards_null)) for gx, gw, _ in whitened])
    return WildTest(
        term=term,
        clusters=fit.clusters,
        estimate=fit.coefficient(term),
        a0=scores @ contrast,
        a1=slopes @ contrast,
        b0=gram_contrast @ scores.T,
        b1=gram_contrast @ slopes.T,
        correction=cr1_correction(len(fit.clusters), fit.n_rows, len(fit.columns)),
    )


def rademacher_signs(n_clusters: int) -> Array:
    """All ``2^G`` patterns of signs, the identity first.

    Example:
        >>> rademacher_signs(2).tolist()
        [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
    """
    if n_clusters > MOST_CLUSTERS_ENUMERATED:
        raise ValueError(
            f"{n_clusters} clusters have too many patterns of signs; draw some (rademacher_draws)"
        )
    bits = np.arange(2**n_clusters)[:, None] >> np.arange(n_clusters - 1, -1, -1)
    return np.asarray(1.0 - 2.0 * (bits & 1), dtype=np.float64)


def rademacher_draws(n_clusters: int, n_draws: int, seed: int) -> Array:
    """Random patterns of signs, for clusters too many to go through all patterns."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_draws, n_clusters))


def webb_signs(n_clusters: int, n_draws: int, seed: int) -> Array:
    """Random patterns of Webb's six points, ``+-sqrt(1/2), +-1, +-sqrt(3/2)``, each with probability one sixth.

    Source: Webb (2023), Reworking wild bootstrap-based inference for clustered errors, Canadian Journal of Economics 56:
    839-858.
    """
    points = np.sqrt([0.5, 1.0, 1.5])
    return np.random.default_rng(seed).choice(np.concatenate([-points, points]), size=(n_draws, n_clusters))


def wild_p_value(tests: Sequence[WildTest], signs: Array, *, null: float) -> float:
    """Share of patterns whose pooled ``|t*|`` is at least the observed ``|t|``, up to ties; not a number without a ``t``.

    A pattern whose variance is zero has no finite ``t*`` and counts as at least the observed one, so that few treated
    clusters never make a p-value too small.
    """
    observed, variance = _pooled(tests, np.ones((1, signs.shape[1])), null)
    if not variance[0] > 0:
        return float("nan")
    drawn, variances = _pooled(tests, signs, null)
    # |t*| >= |t| (1 - tolerance), without dividing.
    reached = drawn**2 * variance[0] >= observed[0] ** 2 * variances * (1 - TIE_TOLERANCE) ** 2
    return float(np.mean(reached))


def wild_cluster_bootstrap(
    tests: Sequence[WildTest], signs: Array, *, confidence_level: float, method: str
) -> WildResult:
    """Test a coefficient against zero, with an interval of the nulls that the test does not reject.

    Several tests are imputed data sets with the same clusters. Each pattern of signs is then used in all of them, and the
    mean of ``b* - null`` is divided by the root of Rubin's total variance, as the observed one is; p-values are not
    averaged. A null is in the interval when its p-value is above ``1 - confidence_level``; each end is searched from the
    estimate outwards and found by bisection, so that it is the first rejection met. The p-value is a step function of the
    null: where it rises again farther out, the interval does not show it.

    Args:
        tests: one per data set.
        signs: ``(S, G)`` patterns (:func:`rademacher_signs`, :func:`rademacher_draws`, :func:`webb_signs`).
        confidence_level: coverage of the interval, for example 0.95.
        method: name in the result, ``wild_cluster`` or ``wild_cluster_webb``.

    Returns:
        The test. With ``G`` clusters and all patterns of signs the smallest p-value is ``2^-(G-1)``: with five or fewer
        clusters nothing is rejected at 0.05 and a 95% interval is infinite. Where CR1 has no variance, p-value, statistic
        and interval are not numbers.
    """
    clusters = tests[0].clusters
    if any(test.clusters != clusters for test in tests) or signs.shape[1] != len(clusters):
        raise ValueError(
            "every test and every pattern of signs must be of the same clusters in the same order"
        )
    observed, variance = _pooled(tests, np.ones((1, len(clusters))), 0.0)
    estimate = float(np.mean([test.estimate for test in tests]))
    std_error = float(np.sqrt(variance[0]))
    is_defined = std_error > 0

    def is_inside(null: float) -> bool:
        return wild_p_value(tests, signs, null=null) > 1 - confidence_level

    nan = float("nan")
    return WildResult(
        method=method,
        term=tests[0].term,
        estimate=estimate,
        statistic=float(observed[0]) / std_error if is_defined else nan,
        p_value=wild_p_value(tests, signs, null=0.0),
        ci_low=_end(is_inside, estimate, -std_error) if is_defined else nan,
        ci_high=_end(is_inside, estimate, std_error) if is_defined else nan,
        confidence_level=confidence_level,
        n_draws=len(signs),
        n_clusters=len(clusters),
    )


def _pooled(tests: Sequence[WildTest], signs: Array, null: float) -> tuple[Array, Array]:
    """Mean estimate and Rubin's total variance over data sets, for each pattern."""
    parts = [test.statistics(null, signs) for test in tests]
    estimates, variances = (np.array(part) for part in zip(*parts, strict=True))
    within = variances.mean(axis=0)
    if len(tests) == 1:
        return estimates[0], within
    return estimates.mean(axis=0), within + (1 + 1 / len(tests)) * estimates.var(axis=0, ddof=1)


def _end(is_inside: Callable[[float], bool], estimate: float, unit: float) -> float:
    """First null that is rejected when going from the estimate in steps of ``unit``; infinite when none is found."""
    inside, outside = 0.0, FIRST_STEP
    while is_inside(estimate + outside * unit):
        if outside > FARTHEST:
            return float(np.copysign(np.inf, unit))
        inside, outside = outside, outside * GROWTH
    while True:
        middle = (inside + outside) / 2
        if not inside < middle < outside or outside - inside < TIE_TOLERANCE * outside:
            return estimate + (inside + outside) / 2 * unit
        if is_inside(estimate + middle * unit):
            inside = middle
        else:
            outside = middle
