"""Weighted logistic regression on compressed rows, the average effect on the treated, and cluster-robust inference.

Written here rather than taken from statsmodels' GLM for two reasons. Cells of many children enter once with their number
and the sum of their outcomes, and so do the scores by cluster, which statsmodels gives by row; and the jackknife refits
once per cluster, warm started, dropping what a cluster takes with it. Tests hold the answers to statsmodels and R.

Newton steps are solved by orthogonal factors of ``(p(1 - p))^(1/2) X``, never by normal equations. Separation is not
guessed from large coefficients: where fitted shares come near 0 or 1 a linear programme decides whether the maximum exists
(Albert and Anderson 1984, Biometrika 71: 1-10; Konis 2007, DPhil thesis, University of Oxford).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.inference import Inference, cr1_correction, cr1_of_scores
from csc_evaluation.estimation.jackknife import jackknife_test
from csc_evaluation.estimation.linear import (
    Array,
    CompressedSample,
    NotIdentifiedError,
    _column_scale,
    _independent_columns,
    _solve_lower,
    _solve_upper,
    _stacked_root,
    dropped_columns,
    not_identified,
    precedence,
)
from csc_evaluation.estimation.wild_bootstrap import TIE_TOLERANCE

GRADIENT_TOLERANCE = 1e-10
"""Converged when no element of the gradient exceeds this share of the sum of its terms' sizes."""
MAX_ITERATIONS = 60
MAX_HALVINGS = 30
LIKELIHOOD_ROUNDING = 1e-13
"""A step may lower the log likelihood by this share of it, which is rounding."""
SUSPICIOUS_PREDICTOR = 12.0
"""A cell of one outcome whose linear predictor is farther from zero than this makes us look for separation."""
SEPARATION_TOLERANCE = 1e-5
"""Of scaled columns: what a separating direction must gain in some cell; the solver is exact to 1e-7."""


class SeparationError(CscError):
    """Some combination of the columns predicts outcomes perfectly, so that there is no finite estimate."""


class OneOutcomeError(CscError):
    """All outcomes are the same: there is nothing to explain."""


class NoConvergenceError(CscError):
    """The maximum of the likelihood was not reached."""


@dataclass(frozen=True)
class LogisticFit:
    """A weighted maximum likelihood fit.

    Attributes:
        columns: the columns kept; dropped: names of those left out as collinear, in order.
        coefficients: ``(K,)`` log odds ratios in the units of the columns as given.
        scores: ``(G, K)`` derivative of each cluster's log likelihood at the estimate; they sum to zero.
        inverse_hessian: ``(K, K)`` inverse of ``X'W p(1-p) X``. Weights are scaled to a mean of 1 over rows.
        log_likelihood: with those weights.
        n_rows: number of rows; n_observations: ``N`` of small-sample corrections, distinct rows.
        clusters: their names, ``G`` of them; n_iterations: Newton steps.
    """

    columns: tuple[str, ...]
    dropped: tuple[str, ...]
    coefficients: Array
    scores: Array
    inverse_hessian: Array
    log_likelihood: float
    n_rows: int
    n_observations: int
    clusters: tuple[str, ...]
    n_iterations: int

    def coefficient(self, term: str) -> float:
        """Estimate of one column."""
        return float(self.coefficients[self.columns.index(term)])


@dataclass(frozen=True)
class AverageEffect:
    """Average effect on the treated, as a share (0.01 is one percentage point).

    Attributes:
        term: the column of treatment; estimate: weighted mean of ``p(1) - p(0)`` over rows with ``term == 1``.
        gradient: ``(K,)`` its derivative by the coefficients; n_rows: number of rows averaged over.
    """

    term: str
    estimate: float
    gradient: Array
    n_rows: int


@dataclass(frozen=True)
class JackknifeTests:
    """CR3 of the coefficient and of the average effect, from one set of refits, and the estimates without each cluster."""

    coefficient: Inference
    average_effect: Inference
    coefficient_without: dict[str, float]
    average_effect_without: dict[str, float]


@dataclass(frozen=True)
class ScoreBootstrapResult:
    """A score bootstrap test of no effect; there is no standard error and no interval.

    Attributes:
        method: ``wild_cluster_score``; statistic: score over its CR1 error, signed as the effect.
        p_value: share of patterns at least as far from zero; n_draws: patterns; n_clusters: ``G``.
    """

    method: str
    term: str
    statistic: float
    p_value: float
    n_draws: int
    n_clusters: int


def logistic_regression(
    sample: CompressedSample,
    *,
    required: Sequence[str] = (),
    n_distinct_rows: int | None = None,
    start: Mapping[str, float] | None = None,
) -> LogisticFit:
    """Maximise the weighted Bernoulli likelihood of the rows behind the cells.

    Of collinear columns the first in ``sample.columns`` stay, those named in ``required`` coming last in that order, as in
    :func:`~csc_evaluation.estimation.linear.weighted_least_squares`.

    Args:
        sample: the cells; ``sum_y`` counts events.
        required: columns that must not be collinear with the others.
        n_distinct_rows: ``N`` of small-sample corrections where rows stand more than once; default the number of rows.
        start: coefficients to start from, by column; others start at zero.

    Raises:
        NotIdentifiedError: a required column is a combination of the others, or there are no rows.
        OneOutcomeError: all outcomes are equal.
        SeparationError: some combination of columns predicts outcomes perfectly.
        NoConvergenceError: Newton's method stopped before the maximum.

    Example:
        >>> sample = CompressedSample(
        ...     columns=("one", "x"), x=np.array([[1.0, 0.0], [1.0, 1.0]]), weight=np.array([1.0, 1.0]),
        ...     n_rows=np.array([4, 4]), sum_y=np.array([1.0, 2.0]), cluster=np.array([0, 1]), cluster_names=("a", "b"))
        >>> round(logistic_regression(sample).coefficient("x"), 6), round(float(np.log(3)), 6)
        (1.098612, 1.098612)
    """
    if len(sample.n_rows) == 0:
        raise NotIdentifiedError("there is no matched child to estimate from.")
    check_binary(sample.n_rows, sample.sum_y)
    order = precedence(sample.columns, required)
    names = [sample.columns[j] for j in order]
    rows = sample.n_rows.astype(np.float64)
    n_rows = int(sample.n_rows.sum())
    weight = sample.weight / (float(sample.weight @ rows) / n_rows)
    scale = _column_scale(sample.x[:, order], weight * rows)
    x = sample.x[:, order] / scale
    members = [np.flatnonzero(sample.cluster == g) for g in range(len(sample.cluster_names))]

    kept = _independent_columns(_root(x, weight * rows, members))
    dropped = dropped_columns(names, kept, required)
    x, scale, columns = x[:, kept], scale[kept], tuple(names[j] for j in kept)

    beta = np.array([(start or {}).get(name, 0.0) for name in columns]) * scale
    beta, root, n_iterations = _newton(x, weight, rows, sample.sum_y, members, columns, beta)
    predictor = x @ beta
    contributions = (weight * (sample.sum_y - rows * expit(predictor)))[:, None] * x
    inverse_root = _solve_upper(root, np.eye(len(columns)))
    return LogisticFit(
        columns=columns,
        dropped=dropped,
        coefficients=beta / scale,
        scores=np.array([contributions[m].sum(axis=0) for m in members]) * scale,
        inverse_hessian=inverse_root @ inverse_root.T / np.outer(scale, scale),
        log_likelihood=_log_likelihood(predictor, weight, rows, sample.sum_y),
        n_rows=n_rows,
        n_observations=n_rows if n_distinct_rows is None else n_distinct_rows,
        clusters=sample.cluster_names,
        n_iterations=n_iterations,
    )


def average_effect(fit: LogisticFit, sample: CompressedSample, term: str) -> AverageEffect:
    """Average effect on the treated: mean of ``p(1) - p(0)`` over rows with ``term == 1``, by the weights of the rows.

    The gradient takes those rows as given (delta method).

    Args:
        fit: a fit on ``sample``.
        sample: the cells.
        term: the column of treatment, 0 or 1.

    Raises:
        NotIdentifiedError: no row is treated, or the column was dropped.
    """
    treated = sample.x[:, sample.columns.index(term)] == 1.0
    if term not in fit.columns or not treated.any():
        raise NotIdentifiedError(f"the average effect of {term} has no treated row to average over.")
    position = fit.columns.index(term)
    x = sample.x[treated][:, [sample.columns.index(name) for name in fit.columns]]
    without = x.copy()
    without[:, position] = 0.0
    mass = sample.weight[treated] * sample.n_rows[treated]
    mass = mass / mass.sum()
    with_term, without_term = x @ fit.coefficients, without @ fit.coefficients
    return AverageEffect(
        term=term,
        estimate=float(mass @ (expit(with_term) - expit(without_term))),
        gradient=(mass * _variance(with_term)) @ x - (mass * _variance(without_term)) @ without,
        n_rows=int(sample.n_rows[treated].sum()),
    )


def cr1(fit: LogisticFit, target: str | AverageEffect, *, confidence_level: float) -> Inference:
    """Sandwich of the scores by cluster times ``G/(G-1) x (N-1)/(N-K)``, with ``t(G-1)``.

    Args:
        fit: the fit; its ``clusters`` are the ``G`` clusters.
        target: a column, for its coefficient, or the average effect of :func:`average_effect`.
        confidence_level: coverage of the interval, for example 0.95.

    Returns:
        The test; not a number where the correction is not defined (one cluster, or no degree of freedom).
    """
    if isinstance(target, AverageEffect):
        term, estimate, gradient = target.term, target.estimate, target.gradient
    else:
        term, estimate = target, fit.coefficient(target)
        gradient = np.eye(len(fit.columns))[fit.columns.index(target)]
    influence = fit.scores @ (fit.inverse_hessian @ gradient)
    return cr1_of_scores(
        influence, term, estimate, fit.n_observations, len(fit.columns), confidence_level=confidence_level
    )


def cr3(fit: LogisticFit, sample: CompressedSample, term: str, *, confidence_level: float) -> JackknifeTests:
    """The cluster jackknife ``(G-1)/G x sum over g of (b_(g) - b)^2`` by refitting, with ``t(G-1)``.

    The average effect without a cluster averages over the treated rows of the others, since the left out cluster's own
    dummy has no estimate then; it therefore also takes in how the rows averaged over vary between clusters.

    Args:
        fit: a fit on ``sample``.
        sample: the cells, of the fit's clusters.
        term: the column of treatment.
        confidence_level: coverage of the interval, for example 0.95.

    Raises:
        NotIdentifiedError: without one of the clusters there is no estimate; the message names the cluster.
        SeparationError: without one of the clusters outcomes are separated; likewise OneOutcomeError.
    """
    start = dict(zip(fit.columns, fit.coefficients.tolist(), strict=True))
    coefficients, effects = {}, {}
    for g, name in enumerate(fit.clusters):
        rest = _of_cells(sample, sample.cluster != g)
        try:
            refit = logistic_regression(rest, required=(term,), start=start)
            effects[name] = average_effect(refit, rest, term).estimate
        except CscError as error:
            raise type(error)(
                f"CR3 needs an estimate without each cluster; without {name}: {error}"
            ) from error
        coefficients[name] = refit.coefficient(term)

    average = average_effect(fit, sample, term).estimate
    return JackknifeTests(
        coefficient=jackknife_test(
            term, fit.coefficient(term), list(coefficients.values()), confidence_level=confidence_level
        ),
        average_effect=jackknife_test(
            term, average, list(effects.values()), confidence_level=confidence_level
        ),
        coefficient_without=coefficients,
        average_effect_without=effects,
    )


def score_bootstrap(
    sample: CompressedSample,
    term: str,
    signs: Array,
    *,
    n_distinct_rows: int | None = None,
) -> ScoreBootstrapResult:
    """Wild cluster bootstrap of the score for the null that the coefficient is zero (which is also no average effect).

    From the fit without the column, ``u_g = s_g'H^-1 c / c'H^-1 c`` is each cluster's score of the column cleaned of the
    others, with ``s_g`` the scores and ``H`` the information of all columns at the restricted estimate. A pattern of signs
    ``v`` gives ``sum of v_g u_g``, over the root of ``G/(G-1) x (N-1)/(N-K) x sum of (v_g u_g)^2``. With signs that sum of
    squares is the same in every pattern, so that studentising changes the statistic and not the p-value.

    Source: Kline and Santos (2012), A score based approach to wild bootstrap inference, Journal of Econometric Methods 1:
    23-41.

    Args:
        sample: the cells.
        term: the column to test.
        signs: ``(S, G)`` patterns of signs (:func:`~csc_evaluation.estimation.wild_bootstrap.rademacher_signs` gives all,
            :func:`~csc_evaluation.estimation.wild_bootstrap.rademacher_draws` some).
        n_distinct_rows: ``N`` of the correction; default the number of rows.

    Raises:
        NotIdentifiedError: the column is a combination of the others; errors of :func:`logistic_regression`.
    """
    others = [j for j, name in enumerate(sample.columns) if name != term]
    restricted = replace(sample, columns=tuple(sample.columns[j] for j in others), x=sample.x[:, others])
    fit = logistic_regression(restricted)
    columns = [*fit.columns, term]
    at = [sample.columns.index(name) for name in columns]
    rows = sample.n_rows.astype(np.float64)
    weight = sample.weight * (sample.n_rows.sum() / float(sample.weight @ rows))
    scale = _column_scale(sample.x[:, at], weight * rows)
    x = sample.x[:, at] / scale
    members = [np.flatnonzero(sample.cluster == g) for g in range(len(sample.cluster_names))]
    if len(columns) - 1 not in _independent_columns(_root(x, weight * rows, members)):
        raise NotIdentifiedError(not_identified(term))
    predictor = x[:, :-1] @ (fit.coefficients * scale[:-1])
    root = _root(x, weight * rows * _variance(predictor), members)
    contrast = np.zeros(len(columns))
    contrast[-1] = 1.0
    direction = _solve_upper(root, _solve_lower(root, contrast))
    contributions = weight * (sample.sum_y - rows * expit(predictor)) * (x @ direction) / direction[-1]
    scores = np.array([contributions[m].sum() for m in members])

    n_clusters = len(scores)
    n_observations = fit.n_rows if n_distinct_rows is None else n_distinct_rows
    correction = cr1_correction(n_clusters, n_observations, len(columns))
    std_error = float(np.sqrt(correction * float(scores @ scores)))
    if not std_error > 0:
        statistic, p_value = float("nan"), float("nan")
    else:
        statistic = float(scores.sum() / std_error)
        drawn = signs @ scores / std_error
        p_value = float(np.mean(np.abs(drawn) >= abs(statistic) * (1 - TIE_TOLERANCE)))
    return ScoreBootstrapResult("wild_cluster_score", term, statistic, p_value, len(signs), n_clusters)


def check_binary(n_rows: NDArray[np.int64], sum_y: Array) -> None:
    """Refuse outcomes that are not counts of events, or that are all the same."""
    if not (np.isfinite(sum_y).all() and (sum_y >= 0).all() and (sum_y <= n_rows).all()):
        raise ValueError("the outcome of a logistic regression must be 0 or 1 in every row")
    total = float(sum_y.sum())
    if total == 0 or total == float(n_rows.sum()):
        value = 0 if total == 0 else 1
        raise OneOutcomeError(
            f"the outcome is {value} for every matched child: a logistic regression has nothing to explain. The linear "
            "model still describes it."
        )


def separating_columns(
    x: Array, columns: Sequence[str], n_rows: NDArray[np.int64], sum_y: Array
) -> list[str]:
    """Columns of a combination that predicts outcomes perfectly where it predicts at all; none if there is no such one.

    It is at least zero where every outcome is 1, at most zero where every outcome is 0, zero in cells with both, and not
    zero everywhere; then and only then the likelihood has no maximum at finite coefficients.

    Args:
        x: ``(C, K)`` regressors of independent columns; columns: their names.
        n_rows, sum_y: ``(C,)`` rows and events of each cell.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix

    length = np.sqrt((x * x).mean(axis=0))
    scaled = x / np.where(length > 0, length, 1.0)
    ones, zeros = sum_y >= n_rows, sum_y <= 0
    signed = np.unique(np.vstack([scaled[ones], -scaled[zeros]]), axis=0)
    if len(signed) == 0:
        return []
    mixed = scaled[~ones & ~zeros]
    equal = np.linalg.qr(mixed, mode="r") if len(mixed) else None
    found = linprog(
        -signed.mean(axis=0),
        A_ub=csr_matrix(-signed),
        b_ub=np.zeros(len(signed)),
        A_eq=equal,
        b_eq=None if equal is None else np.zeros(len(equal)),
        bounds=(-1, 1),
        method="highs",
    )
    if found.x is None or float((signed @ found.x).max()) <= SEPARATION_TOLERANCE:
        return []
    return [name for name, part in zip(columns, found.x, strict=True) if abs(part) > SEPARATION_TOLERANCE]


def separation(columns: Sequence[str], named: Sequence[str]) -> SeparationError:
    """What to say of separated outcomes: the columns, with those that alone do it first in words."""
    listed = ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")
    return SeparationError(
        f"outcomes are separated: a combination of {listed} (of {len(columns)} columns) predicts the outcome without "
        "error for some or all children, so that the likelihood keeps rising as these coefficients grow and there is no "
        "estimate. It means for example that a group they mark has no event at all, or only events: merge such groups, "
        "leave the column out, or rely on the linear model."
    )


def _newton(
    x: Array,
    weight: Array,
    rows: Array,
    sum_y: Array,
    members: list[NDArray[np.int64]],
    columns: Sequence[str],
    beta: Array,
) -> tuple[Array, Array, int]:
    """Coefficients of scaled columns at the maximum, the root of the information there, and the number of steps."""
    pure = (sum_y <= 0) | (sum_y >= rows)
    is_checked = False
    predictor = x @ beta
    likelihood = _log_likelihood(predictor, weight, rows, sum_y)
    for iteration in range(MAX_ITERATIONS + 1):
        if not is_checked and bool((np.abs(predictor[pure]) > SUSPICIOUS_PREDICTOR).any()):
            is_checked = True
            _refuse_separation(x, columns, rows, sum_y)
        share = expit(predictor)
        gradient = x.T @ (weight * (sum_y - rows * share))
        size = np.abs(x).T @ (weight * (sum_y + rows * share))
        root = _root(x, weight * rows * _variance(predictor), members)
        diagonal = np.abs(np.diag(root))
        if not (np.isfinite(root).all() and diagonal.min() > 1e-14 * diagonal.max()):
            break
        if (np.abs(gradient) <= GRADIENT_TOLERANCE * size).all():
            return beta, root, iteration
        step = _solve_upper(root, _solve_lower(root, gradient))
        for _ in range(MAX_HALVINGS):
            next_predictor = x @ (beta + step)
            following = _log_likelihood(next_predictor, weight, rows, sum_y)
            if following >= likelihood - LIKELIHOOD_ROUNDING * abs(likelihood):
                break
            step = step / 2
        else:
            break
        beta, predictor, likelihood = beta + step, next_predictor, following
    if not is_checked:
        _refuse_separation(x, columns, rows, sum_y)
    raise NoConvergenceError(
        f"the logistic regression did not converge in {MAX_ITERATIONS} Newton steps, although outcomes are not separated: "
        "columns are nearly collinear, or weights or regressors differ by too many orders of magnitude."
    )


def _refuse_separation(x: Array, columns: Sequence[str], rows: Array, sum_y: Array) -> None:
    named = separating_columns(x, columns, rows.astype(np.int64), sum_y)
    if named:
        raise separation(columns, named)


def _log_likelihood(predictor: Array, weight: Array, rows: Array, sum_y: Array) -> float:
    # log p = -log(1 + exp(-xb)) and log(1 - p) = -log(1 + exp(xb)), neither of which can overflow as written.
    return float(
        weight @ (-sum_y * np.logaddexp(0.0, -predictor) - (rows - sum_y) * np.logaddexp(0.0, predictor))
    )


def _variance(predictor: Array) -> Array:
    """``p(1 - p)``, without the loss of digits of ``1 - p`` for ``p`` near 1."""
    return np.asarray(expit(predictor) * expit(-predictor), dtype=np.float64)


def _root(x: Array, mass: Array, members: list[NDArray[np.int64]]) -> Array:
    root_mass = np.sqrt(mass)
    return _stacked_root([root_mass[m, None] * x[m] for m in members])


def _of_cells(sample: CompressedSample, kept: NDArray[np.bool_]) -> CompressedSample:
    return replace(
        sample,
        x=sample.x[kept],
        weight=sample.weight[kept],
        n_rows=sample.n_rows[kept],
        sum_y=sample.sum_y[kept],
        cluster=sample.cluster[kept],
    )
