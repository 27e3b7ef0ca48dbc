"""Authority-quarter feasible GLS in two steps, with serially correlated errors.

Step 1 regresses the child's outcome on the child's covariates and a dummy per authority and quarter. Step 2 regresses those
effects on treatment and dummies of authority and quarter, with errors that follow an autoregression common to all
authorities. Residuals from an authority's own mean understate that autoregression; the bias correction is Hansen's (2007,
Journal of Econometrics 140: 670-694).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.inference import Inference, cr1
from csc_evaluation.estimation.linear import Array, CompressedSample
from csc_evaluation.estimation.moments import (
    UnitSums,
    least_squares_of_moments,
    moments_of_rows,
    quasi_demeaned,
    within_columns,
)
from csc_evaluation.estimation.sample import CLUSTER, INTERCEPT, QUARTER, TREATED, RegressionSample
from csc_evaluation.estimation.serial_correlation import quarter_number

EFFECT = "effect"
LARGEST_ROOT = 0.99
"""Modulus of the largest root to which an autoregression that is not stationary is shrunk."""
MOST_ITERATIONS = 2_000
CONVERGENCE = 1e-10

Positions = tuple[int, ...]


@dataclass(frozen=True)
class Autoregression:
    """Coefficients of an autoregression common to all authorities, the nearest lag first.

    Attributes:
        rho: after Hansen's correction; rho_uncorrected: least squares of the residuals on their lags.
        is_shrunk: whether the corrected one was not stationary and was shrunk to a largest root of ``LARGEST_ROOT``.
        n_rows: residuals that have all their lags.
    """

    rho: tuple[float, ...]
    rho_uncorrected: tuple[float, ...]
    is_shrunk: bool
    n_rows: int


@dataclass(frozen=True)
class AuthorityQuarterFit:
    """The second step.

    Attributes:
        coefficients: of every column kept; inference: of treatment, CR1 with t(G - 1) over authorities.
        autoregression: of the errors.
        n_rows: authority-quarters; n_authorities, n_quarters: how many of each.
        left_out: authorities with a single quarter, which their own dummy explains fully.
    """

    coefficients: Mapping[str, float]
    inference: Inference
    autoregression: Autoregression
    n_rows: int
    n_authorities: int
    n_quarters: int
    left_out: tuple[str, ...]


def authority_quarter_panel(sample: RegressionSample) -> pd.DataFrame:
    """Step 1: the effect of each authority-quarter on the outcome, given the child's covariates.

    Weighted least squares of the outcome on what differs between children of a time (covariates of the child, the school
    term) and a dummy per authority and quarter: slopes by the within transformation, then mean outcome less what the mean
    regressors say. Numeric covariates are measured from their mean, so that effects are in the units of the outcome.

    Quarters in which some of an authority's children came before go-live and others after are left out beforehand.

    Args:
        sample: the matched children; of its design only the columns of the child are used.

    Returns:
        ``la_code, quarter_start, effect, treated`` (0 or 1) and ``n`` (rows), in order of authority and quarter.

    Raises:
        CscError: no quarter is left.
    """
    keys = [CLUSTER, QUARTER]
    unit = sample.unit_of_time(keys)
    is_mixed = sample.times.groupby(keys, sort=True)["is_treated"].nunique().to_numpy() > 1
    keep = ~is_mixed[unit][sample.time]
    if not keep.any():
        raise CscError("authority-quarter estimation: no quarter is left besides those of go-live.")
    kept = dataclasses.replace(
        sample,
        time=sample.time[keep],
        codes={name: codes[keep] for name, codes in sample.codes.items()},
        weight=sample.weight[keep],
        n_rows=sample.n_rows[keep],
        sum_y=sample.sum_y[keep],
        sum_yy=sample.sum_yy[keep],
        n_distinct_rows=int(sample.n_rows[keep].sum()),
    )
    units = kept.unit_sums(keys)
    slopes = _within_slopes(kept, units)
    is_present = units.n_rows > 0
    mean_x = units.wx[is_present] / units.sum_w[is_present, None]
    effect = units.wy[is_present] / units.sum_w[is_present] - mean_x @ slopes
    first = sample.times.groupby(keys, sort=True)["is_treated"].first().reset_index()[is_present]
    return pd.DataFrame(
        {
            CLUSTER: first[CLUSTER].to_numpy(),
            QUARTER: first[QUARTER].to_numpy(),
            EFFECT: effect,
            TREATED: first["is_treated"].to_numpy(np.float64),
            "n": units.n_rows[is_present].astype(np.int64),
        }
    )


def authority_quarter_fgls(
    panel: pd.DataFrame, *, order: int, confidence_level: float
) -> AuthorityQuarterFit:
    """Step 2: effects of authority-quarters on treatment and dummies of authority and quarter, by feasible GLS.

    Least squares gives residuals, these the autoregression (:func:`hansen_autoregression`), and least squares on
    :func:`prais_winsten` rows the estimate; CR1 by authority with t(G - 1). Authority-quarters count alike. Quarters that are
    not there (go-live) are gaps: the covariance is that of the quarters observed, exactly.

    Args:
        panel: what :func:`authority_quarter_panel` gives.
        order: order of the autoregression; the definitions take 2.
        confidence_level: coverage of the interval.

    Raises:
        NotIdentifiedError: treatment is a combination of the dummies.
        CscError: the series are too short for the autoregression, or an authority has a quarter twice.
    """
    counts = panel.groupby(CLUSTER)[EFFECT].size()
    left_out = tuple(sorted(counts.index[counts < 2]))
    panel = panel[~panel[CLUSTER].isin(left_out)].sort_values([CLUSTER, QUARTER], ignore_index=True)
    if panel.empty:
        raise CscError("authority-quarter estimation: no authority has two quarters or more.")
    if panel.duplicated([CLUSTER, QUARTER]).any():
        raise CscError("authority-quarter estimation: an authority has a quarter more than once.")
    columns, x = panel_regressors(panel)
    effect = panel[EFFECT].to_numpy(np.float64)
    period = quarter_number(panel[QUARTER])
    names, cluster = np.unique(panel[CLUSTER].to_numpy(dtype=str), return_inverse=True)
    solution = np.linalg.lstsq(x, effect, rcond=None)[0]
    autoregression = hansen_autoregression(effect - x @ solution, cluster, period, order=order)

    transformed = np.column_stack([effect, x])
    for g in range(len(names)):
        own = cluster == g
        transformed[own] = prais_winsten(autoregression.rho, period[own], transformed[own])
    rows = CompressedSample(
        columns=columns,
        x=transformed[:, 1:],
        weight=np.ones(len(panel)),
        n_rows=np.ones(len(panel), dtype=np.int64),
        sum_y=transformed[:, 0],
        cluster=cluster.astype(np.int64),
        cluster_names=tuple(str(name) for name in names),
    )
    fit = least_squares_of_moments(moments_of_rows(rows), required=(TREATED,))
    return AuthorityQuarterFit(
        coefficients={name: float(b) for name, b in zip(fit.columns, fit.coefficients, strict=True)},
        inference=cr1(fit, TREATED, confidence_level=confidence_level),
        autoregression=autoregression,
        n_rows=len(panel),
        n_authorities=len(names),
        n_quarters=len(np.unique(period)),
        left_out=left_out,
    )


def panel_regressors(panel: pd.DataFrame) -> tuple[tuple[str, ...], Array]:
    """Columns of the second step: an intercept, dummies of authority and quarter (all but the first), treatment."""
    blocks: dict[str, Array] = {INTERCEPT: np.ones(len(panel))}
    for name in (CLUSTER, QUARTER):
        labels = panel[name].astype(str).to_numpy()
        blocks |= {f"{name}={label}": (labels == label).astype(np.float64) for label in np.unique(labels)[1:]}
    blocks[TREATED] = panel[TREATED].to_numpy(np.float64)
    return tuple(blocks), np.column_stack(list(blocks.values()))


def hansen_autoregression(
    residuals: Array, cluster: NDArray[Any], period: NDArray[np.signedinteger[Any]], *, order: int
) -> Autoregression:
    """The autoregression of errors, from residuals that have authorities' own means taken out.

    Least squares of residuals on their lags tends, with many authorities of ``T`` quarters, not to ``a`` but to
    ``h(a) = (sum of E[lags lags'])^-1 sum of E[lags residual]``, expectations over ``M C(a) M`` with ``C(a)`` the stationary
    covariance of the quarters that each authority has and ``M`` what takes out its mean. The estimate solves ``h(a) = plain
    estimate`` by ``a <- a + plain - h(a)``. Quarters without all lags give no row, in the data and in ``h`` alike. As in Hansen,
    what the dummies of quarters and treatment take out besides is not allowed for: it vanishes with many authorities.

    Authorities with fewer than ``order + 2`` quarters say nothing of the autoregression once their mean is out, and are not used.

    Args:
        residuals: ``(n,)`` of least squares with a dummy per authority.
        cluster: ``(n,)`` the authority; period: ``(n,)`` the quarter as a whole number.
        order: ``p``, at least 1.

    Raises:
        CscError: too few quarters, or the iteration does not settle.
    """
    if order < 1:
        raise CscError(f"an autoregression has an order of at least 1, not {order}.")
    gram, score, n_rows = np.zeros((order, order)), np.zeros(order), 0
    patterns: Counter[Positions] = Counter()
    for code in np.unique(cluster):
        own = np.flatnonzero(cluster == code)
        own = own[np.argsort(period[own])]
        positions = tuple(int(t) for t in period[own] - period[own[0]])
        at = _rows_with_lags(positions, order)
        if len(own) < order + 2 or not len(at):
            continue
        patterns[positions] += 1
        lagged = residuals[own][at[:, 1:]]
        gram += lagged.T @ lagged
        score += lagged.T @ residuals[own][at[:, 0]]
        n_rows += len(at)
    longest = max(Counter(np.asarray(cluster).tolist()).values(), default=0)
    if n_rows <= order or np.linalg.cond(gram) > 1e12:
        raise CscError(
            f"the serial correlation of order {order} cannot be estimated: {n_rows} authority-quarters have {order} quarters before "
            f"them without a gap, and the longest series has {longest}. Take a lower order or longer series."
        )
    plain: Array = np.asarray(np.linalg.solve(gram, score), dtype=np.float64)
    rho, _ = _stationary(plain)
    for _ in range(MOST_ITERATIONS):
        proposed, is_shrunk = _stationary(rho + plain - _limit_of_least_squares(rho, patterns))
        change = float(np.abs(proposed - rho).max())
        rho = proposed
        if change < CONVERGENCE:
            return Autoregression(
                tuple(float(a) for a in rho), tuple(float(a) for a in plain), is_shrunk, n_rows
            )
    raise CscError(
        f"the bias correction of the serial correlation of order {order} does not settle: the series (at most {longest} quarters) "
        "are too short for it. Take a lower order."
    )


def stationary_covariance(rho: Sequence[float] | Array, positions: Sequence[int] | Array) -> Array:
    """Covariance of a stationary autoregression with innovations of variance 1, at some whole points of time.

    Example:
        >>> stationary_covariance([0.5], [0, 1, 3]).round(4).tolist()
        [[1.3333, 0.6667, 0.1667], [0.6667, 1.3333, 0.3333], [0.1667, 0.3333, 1.3333]]
    """
    coefficients, at = np.asarray(rho, dtype=np.float64), np.asarray(positions, dtype=np.int64)
    order = len(coefficients)
    # Yule-Walker for the autocovariances 0 to p, the recursion beyond.
    equations = np.eye(order + 1)
    for k in range(order + 1):
        for lag, coefficient in enumerate(coefficients, start=1):
            equations[k, abs(k - lag)] -= coefficient
    autocovariance = list(np.linalg.solve(equations, np.eye(order + 1)[0]))
    distance = np.abs(at[:, None] - at[None, :])
    for k in range(order + 1, int(distance.max(initial=0)) + 1):
        autocovariance.append(sum(coefficients[j] * autocovariance[k - 1 - j] for j in range(order)))
    return np.asarray(np.array(autocovariance)[distance])


def prais_winsten(rho: Sequence[float] | Array, positions: Sequence[int] | Array, values: Array) -> Array:
    """Rows of one authority, in order of time, made uncorrelated with variance 1 by the Cholesky root of their covariance.

    Without gaps the rows from ``p + 1`` on are ``v_t - rho_1 v_t-1 - ... - rho_p v_t-p``; the first ``p`` are kept, transformed.

    Example:
        >>> prais_winsten([0.6], [0, 1, 2], np.array([1.0, 1.0, 2.0])).round(4).tolist()
        [0.8, 0.4, 1.4]
    """
    root = np.linalg.cholesky(stationary_covariance(rho, positions))
    return np.asarray(solve_triangular(root, values, lower=True))


def _within_slopes(sample: RegressionSample, units: UnitSums) -> Array:
    """``(K,)`` slopes of the child's columns within units, zero for all others."""
    design, moments = sample.design, sample.moments
    of_child = np.zeros(len(design.columns), dtype=np.bool_)
    for encoding in design.variables.values():
        of_child |= (encoding != 0).any(axis=0)
    slopes = np.zeros(len(design.columns))
    names = [name for name, is_of_child in zip(design.columns, of_child, strict=True) if is_of_child]
    within = quasi_demeaned(moments, units, np.ones(len(units.n_rows))).of_columns(names)
    independent = within_columns(moments.of_columns(names), within)
    if not independent:
        return slopes
    fit = least_squares_of_moments(within.of_columns([names[j] for j in independent]))
    for name, coefficient in zip(fit.columns, fit.coefficients, strict=True):
        slopes[design.columns.index(name)] = coefficient
    return slopes


def _rows_with_lags(positions: Positions, order: int) -> NDArray[np.int64]:
    """Rows that have all lags: where each stands, then where its lags do."""
    row_of = {t: row for row, t in enumerate(positions)}
    found = [
        [row_of[t - lag] for lag in range(order + 1)]
        for t in positions
        if all(t - lag in row_of for lag in range(order + 1))
    ]
    return np.array(found, dtype=np.int64).reshape(len(found), order + 1)


def _limit_of_least_squares(rho: Array, patterns: Mapping[Positions, int]) -> Array:
    """``h(rho)``: what least squares of demeaned errors on their lags tends to."""
    order = len(rho)
    joint = np.zeros((order + 1, order + 1))
    for positions, count in patterns.items():
        covariance = stationary_covariance(rho, positions)
        # Scale does not matter to the ratio; close to a unit root it would be large.
        covariance = covariance / covariance[0, 0]
        covariance = covariance - covariance.mean(axis=0)
        covariance = covariance - covariance.mean(axis=1, keepdims=True)
        at = _rows_with_lags(positions, order)
        joint += count * covariance[at[:, :, None], at[:, None, :]].sum(axis=0)
    return np.asarray(np.linalg.solve(joint[1:, 1:], joint[1:, 0]))


def _stationary(rho: Array) -> tuple[Array, bool]:
    """The autoregression, its roots shrunk alike where the largest exceeds ``LARGEST_ROOT``, and whether they were."""
    order = len(rho)
    companion = np.eye(order, k=-1)
    companion[0] = rho
    largest = float(np.abs(np.linalg.eigvals(companion)).max())
    if largest <= LARGEST_ROOT:
        return rho, False
    # Coefficient j times s^j multiplies every root by s.
    return np.asarray(rho * (LARGEST_ROOT / largest) ** np.arange(1, order + 1)), True
