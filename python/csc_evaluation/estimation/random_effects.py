"""Feasible GLS with random effects of units within clusters (authority-quarters), from moments.

The outcome of child ``i`` in unit ``u`` is ``x_i b + a_u + e_i``. With variances ``s2_e`` and ``s2_u`` estimated as Swamy and
Arora (1972, Econometrica 40: 261-275) do, GLS is least squares on ``x_i - theta_u m_u`` with ``m_u`` the weighted mean over the
unit's ``n_u`` rows and

    theta_u = 1 - sqrt(s2_e / (s2_e + n_u s2_u)).

``s2_e`` is the residual variance of the within regression and ``s2_u = max(0, s2_b - s2_e / n)`` with ``s2_b`` the residual
variance of the regression of the units' weighted means and ``n`` the harmonic mean of ``n_u``. Degrees of freedom count the
coefficients that each regression can estimate. With weights, all sums of squares and means are weighted and the weights have
mean 1 (what ``linearmodels.RandomEffects`` does with weights).

Inference treats ``theta`` as known, as is usual for feasible GLS; clusters are larger than units, so that what the random effects
leave in the errors of an authority is the business of cluster-robust inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csc_evaluation.estimation.linear import Array, LinearFit, NotIdentifiedError
from csc_evaluation.estimation.moments import (
    ClusterMoments,
    UnitSums,
    least_squares_of_moments,
    quasi_demeaned,
    residual_sum_of_squares,
    within_columns,
)


@dataclass(frozen=True)
class VarianceComponents:
    """Swamy-Arora variances, in squared units of the outcome.

    Attributes:
        sigma2_e: variance within units; sigma2_u: variance of the units' effects, not negative.
        theta: ``(U,)`` the share of each unit's mean that GLS takes out, from 0 (pooled) to 1 (within).
        n_units: units with rows; df_within, df_between: degrees of freedom of the two regressions.
    """

    sigma2_e: float
    sigma2_u: float
    theta: Array
    n_units: int
    df_within: int
    df_between: int

    @property
    def intraclass_correlation(self) -> float:
        """Share of the variance that lies between units."""
        total = self.sigma2_u + self.sigma2_e
        return self.sigma2_u / total if total > 0 else 0.0


@dataclass(frozen=True)
class RandomEffectsFit:
    """GLS estimates: ``fit`` is least squares on the quasi-demeaned rows, for :mod:`csc_evaluation.estimation.inference`."""

    fit: LinearFit
    components: VarianceComponents


def random_effects_gls(
    moments: ClusterMoments, units: UnitSums, *, required: Sequence[str] = ()
) -> RandomEffectsFit:
    """Weighted feasible GLS with a random effect per unit.

    Args:
        moments: moments of the rows by cluster, an intercept among the columns.
        units: sums over the units; each unit lies in one cluster and every row in one unit.
        required: columns that must not be collinear with the others.

    Raises:
        NotIdentifiedError: a required column is a combination of the others, or there are too few units or rows for the
            variances.

    Example:
        >>> import numpy as np
        >>> from csc_evaluation.estimation.linear import CompressedSample
        >>> from csc_evaluation.estimation.moments import moments_of_rows, unit_sums_of_rows
        >>> x = np.column_stack([np.ones(8), [0, 1, 0, 1, 1, 0, 2, 1]]).astype(float)
        >>> y = np.array([1.0, 2.0, 2.0, 3.5, 3.0, 2.5, 5.0, 3.5])
        >>> rows = CompressedSample(("one", "x"), x, np.ones(8), np.ones(8, int), y,
        ...     np.array([0, 0, 0, 0, 1, 1, 1, 1]), ("a", "b"))
        >>> units = unit_sums_of_rows(rows, np.array([0, 0, 1, 1, 2, 2, 3, 3]))
        >>> found = random_effects_gls(moments_of_rows(rows), units)
        >>> round(found.fit.coefficient("x"), 6)
        1.185335
    """
    components = swamy_arora(moments, units)
    transformed = quasi_demeaned(moments, units, components.theta)
    return RandomEffectsFit(least_squares_of_moments(transformed, required=required), components)


def swamy_arora(moments: ClusterMoments, units: UnitSums) -> VarianceComponents:
    """Variances within and between units.

    Raises:
        NotIdentifiedError: no degree of freedom is left for one of the variances.
    """
    present = units.n_rows > 0
    n_rows, n_units = int(moments.n_rows.sum()), int(present.sum())
    mean_weight = float(moments.sum_w.sum()) / n_rows
    within = quasi_demeaned(moments, units, np.ones(len(units.n_rows)))
    kept = within_columns(moments, within)
    df_within = n_rows - n_units - len(kept)
    slopes = within.of_columns([moments.columns[j] for j in kept])
    residual = residual_sum_of_squares(slopes, _coefficients(slopes), slopes.columns)

    length = np.sqrt(np.diag(moments.xwx.sum(axis=0)))
    scale = np.where(length > 0, length, 1.0)
    means_x = units.wx[present] / units.sum_w[present, None] / scale
    means_y = units.wy[present] / units.sum_w[present]
    solution, _, rank_between, _ = np.linalg.lstsq(means_x, means_y, rcond=None)
    df_between = n_units - int(rank_between)
    if df_within <= 0 or df_between <= 0:
        raise NotIdentifiedError(
            f"random effects cannot be estimated from {n_rows} rows in {n_units} units: no degree of freedom is left for the "
            f"variance {'within' if df_within <= 0 else 'between'} units."
        )
    between = means_y - means_x @ solution
    sigma2_e = max(residual, 0.0) / mean_weight / df_within
    harmonic = n_units / float((1.0 / units.n_rows[present]).sum())
    sigma2_u = max(0.0, float(between @ between) / df_between - sigma2_e / harmonic)
    total = sigma2_e + units.n_rows * sigma2_u
    theta = 1.0 - np.sqrt(np.where(total > 0, sigma2_e / np.where(total > 0, total, 1.0), 1.0))
    return VarianceComponents(sigma2_e, sigma2_u, theta, n_units, df_within, df_between)


def _coefficients(moments: ClusterMoments) -> Array:
    """Least squares on independent columns, scaled for the sake of digits."""
    gram, score = moments.xwx.sum(axis=0), moments.xwy.sum(axis=0)
    scale = np.sqrt(np.diag(gram))
    return np.asarray(np.linalg.solve(gram / np.outer(scale, scale), score / scale) / scale)
