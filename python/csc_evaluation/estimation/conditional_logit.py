"""Conditional (fixed effects) logit: exact, also with tens of thousands of rows in a stratum.

Given its number of events ``d``, a stratum's likelihood is ``exp(sum of y x b) / e_d``, with ``e_d`` the elementary symmetric
polynomial of degree ``d`` of the odds ``exp(x b)``. The usual recursion for it costs ``n d`` and overflows. Here the rows
get an intercept ``a`` such that ``d`` events are expected; ``e_d`` is then, up to known factors, the probability that
independent rows with shares ``p = expit(a + x b)`` have ``d`` events, a coefficient of their characteristic function:

    P(d) = 1/(2 pi) integral of exp(-i t d) f(t) dt,   f(t) = product of (1 - p + p exp(i t))

The trapezoid rule with ``T`` nodes on the circle gives ``sum over k of P(d + k T)``: exact for ``T > n``, and otherwise wrong by
the probability of being ``T`` or more away from the mean, which Bernstein's inequality makes negligible for the ``T``
used. Nodes at which ``|f(t)| <= exp(-2 V sin(t/2)^2)``, ``V`` the variance, is negligible are left out. What rows do given
``d`` are means over the same nodes: with ``r(t) = p exp(i t) / (1 - p + p exp(i t))``, ``E[y | d]`` is the mean of ``r``, and for two rows
``E[y y' | d]`` that of ``r r'``. All is unchanged when a stratum's ``x`` are measured from some point of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from csc_evaluation.estimation.inference import Inference, cr1_of_scores, t_test
from csc_evaluation.estimation.linear import (
    COLLINEARITY_TOLERANCE,
    Array,
    CompressedSample,
    NotIdentifiedError,
    _independent_columns,
    _stacked_root,
    precedence,
)
from csc_evaluation.estimation.logistic import (
    GRADIENT_TOLERANCE,
    LIKELIHOOD_ROUNDING,
    MAX_HALVINGS,
    MAX_ITERATIONS,
    SUSPICIOUS_PREDICTOR,
    NoConvergenceError,
    OneOutcomeError,
    check_binary,
    separating_columns,
    separation,
)

NEGLIGIBLE_EXPONENT = 50.0
"""Nodes at which the characteristic function is below ``exp(-50)`` are left out."""
NODES_PER_DEVIATION, FEWEST_NODES = 20.0, 81
"""Nodes on the circle: per standard deviation of the number of events, and at least."""


@dataclass(frozen=True)
class ConditionalLogitFit:
    """A conditional maximum likelihood fit.

    Attributes:
        columns: the columns kept; dropped: those constant within strata or collinear, in order.
        coefficients: ``(K,)`` log odds ratios in the units of the columns as given.
        scores: ``(G, K)`` derivative of each stratum's log likelihood; inverse_hessian: ``(K, K)``.
        log_likelihood: of the strata used, at the estimate.
        n_rows: rows of the strata used; strata: their names, ``G`` of them.
        dropped_strata: names of strata in which all outcomes are the same, or without rows.
        n_iterations: Newton steps.
    """

    columns: tuple[str, ...]
    dropped: tuple[str, ...]
    coefficients: Array
    scores: Array
    inverse_hessian: Array
    log_likelihood: float
    n_rows: int
    strata: tuple[str, ...]
    dropped_strata: tuple[str, ...]
    n_iterations: int

    def coefficient(self, term: str) -> float:
        """Estimate of one column."""
        return float(self.coefficients[self.columns.index(term)])


@dataclass(frozen=True)
class Stratum:
    """Cells of one stratum: regressors ``(C, K)``, rows and events of each cell ``(C,)``."""

    x: Array
    n_rows: Array
    sum_y: Array


def conditional_logit(sample: CompressedSample, *, required: Sequence[str] = ()) -> ConditionalLogitFit:
    """Maximise the likelihood given the number of events of each stratum; the strata are the sample's clusters.

    Unweighted: each row counts one (definitions, section 9), and ``sample.weight`` is not used.

    Args:
        sample: the cells; ``sum_y`` counts events.
        required: columns that must vary within strata and not be collinear with the others.

    Raises:
        NotIdentifiedError: there are no rows, or a required column, or every column, is constant within strata or a
            combination of the others.
        OneOutcomeError: in every stratum all outcomes are the same.
        SeparationError: within strata some combination of columns predicts outcomes perfectly.
        NoConvergenceError: Newton's method stopped before the maximum.

    Example:
        >>> sample = CompressedSample(
        ...     columns=("x",), x=np.array([[0.0], [1.0]]), weight=np.ones(2), n_rows=np.array([4, 4]),
        ...     sum_y=np.array([1.0, 2.0]), cluster=np.array([0, 0]), cluster_names=("a",))
        >>> round(conditional_logit(sample).coefficient("x"), 4)
        0.9562
    """
    if len(sample.n_rows) == 0:
        raise NotIdentifiedError("there is no matched child to estimate from.")
    check_binary(sample.n_rows, sample.sum_y)
    order = precedence(sample.columns, required)
    names = [sample.columns[j] for j in order]
    strata, used, dropped_strata = [], [], []
    for g, name in enumerate(sample.cluster_names):
        m = np.flatnonzero(sample.cluster == g)
        rows, events = sample.n_rows[m].astype(np.float64), sample.sum_y[m]
        if 0 < events.sum() < rows.sum():
            strata.append(Stratum(sample.x[m][:, order], rows, events))
            used.append(name)
        else:
            dropped_strata.append(name)
    if not strata:
        raise OneOutcomeError(
            "within every authority all outcomes are the same: a conditional logit, which compares children within "
            "authorities, has nothing to explain."
        )

    strata, scale, kept = _independent_within(strata)
    columns = tuple(names[j] for j in kept)
    dropped = tuple(names[j] for j in range(len(names)) if j not in kept)
    for name in required:
        if name in dropped:
            raise NotIdentifiedError(
                f"the conditional logit cannot estimate {name}: within authorities it does not vary, or only as the other "
                "columns do. It needs treated authorities observed before and after go-live, with events and non-events."
            )
    if not columns:
        raise NotIdentifiedError(
            "no column varies within authorities: a conditional logit has nothing to estimate."
        )

    beta, likelihood, scores, information, n_iterations = _newton(strata, columns)
    inverse = np.linalg.inv(information)
    return ConditionalLogitFit(
        columns=columns,
        dropped=dropped,
        coefficients=beta / scale,
        scores=scores * scale,
        inverse_hessian=(inverse + inverse.T) / 2 / np.outer(scale, scale),
        log_likelihood=likelihood,
        n_rows=int(sum(stratum.n_rows.sum() for stratum in strata)),
        strata=tuple(used),
        dropped_strata=tuple(dropped_strata),
        n_iterations=n_iterations,
    )


def model_based(fit: ConditionalLogitFit, term: str, *, confidence_level: float) -> Inference:
    """Error from the inverse of the information, with the normal distribution: rows independent within strata.

    Args:
        fit: the fit.
        term: the column to test.
        confidence_level: coverage of the interval, for example 0.95.
    """
    position = fit.columns.index(term)
    std_error = float(np.sqrt(fit.inverse_hessian[position, position]))
    return t_test("model_z", term, fit.coefficient(term), std_error, float("inf"), confidence_level)


def cr1(fit: ConditionalLogitFit, term: str, *, confidence_level: float) -> Inference:
    """Sandwich of the scores by stratum times ``G/(G-1) x (N-1)/(N-K)``, with ``t(G-1)``.

    ``G`` and ``N`` count strata used and their rows; ``K`` counts columns: strata have no dummies here.

    Args:
        fit: the fit.
        term: the column to test.
        confidence_level: coverage of the interval, for example 0.95.
    """
    influence = fit.scores @ fit.inverse_hessian[:, fit.columns.index(term)]
    return cr1_of_scores(
        influence,
        term,
        fit.coefficient(term),
        fit.n_rows,
        len(fit.columns),
        confidence_level=confidence_level,
    )


def stratum_likelihood(stratum: Stratum, beta: Array) -> tuple[float, Array, Array]:
    """Log likelihood of one stratum given its number of events, its gradient ``(K,)`` and information ``(K, K)``.

    Args:
        stratum: the cells, with events and non-events.
        beta: ``(K,)`` coefficients.
    """
    rows, events = stratum.n_rows, stratum.sum_y
    d = float(events.sum())
    odds = stratum.x @ beta
    intercept = _intercept(odds, rows, d)
    share = expit(intercept + odds)
    spread = rows * share * expit(-intercept - odds)
    variance = float(spread.sum())
    # Measured from the mean that counts here, so that the information below is not a difference of large numbers.
    x = stratum.x - (spread @ stratum.x / variance if variance > 0 else stratum.x.mean(axis=0))
    odds = x @ beta
    intercept = _intercept(odds, rows, d)

    n_nodes = int(min(rows.sum() + 1, np.ceil(FEWEST_NODES + NODES_PER_DEVIATION * np.sqrt(variance))))
    n_nodes += 1 - n_nodes % 2
    angle = 2 * np.pi * np.arange(n_nodes // 2 + 1) / n_nodes
    angle = angle[2 * variance * np.sin(angle / 2) ** 2 <= NEGLIGIBLE_EXPONENT]
    turn = np.exp(1j * angle)
    # 1 - p + p exp(it) = 1 + p (exp(it) - 1): the form that keeps digits for small p.
    factor = 1.0 + share[:, None] * (turn - 1.0)
    node = np.exp(rows @ np.log(factor) - 1j * angle * d)
    # Nodes at -t are the conjugates: twice the real part stands for both.
    node = node * np.where(angle > 0, 2.0, 1.0)
    total = float(node.real.sum())
    mean_of = node / total

    response = share[:, None] * turn / factor
    likelihood = (
        float(events @ odds) + intercept * d - float(rows @ np.logaddexp(0.0, intercept + odds))
    ) - np.log(total / n_nodes)
    expected = (response @ mean_of).real
    gradient = x.T @ (events - rows * expected)
    sums = x.T @ (rows[:, None] * response)
    within = ((response - response * response) @ mean_of).real
    mean = x.T @ (rows * expected)
    second = ((sums * mean_of) @ sums.T).real + x.T @ ((rows * within)[:, None] * x)
    return float(likelihood), gradient, second - np.outer(mean, mean)


def _intercept(odds: Array, rows: Array, d: float) -> float:
    """The intercept with which ``d`` events are expected, by Newton's method kept within a shrinking bracket."""
    centre = float(np.log(d) - np.log(rows.sum() - d))
    low, high = centre - float(odds.max()), centre - float(odds.min())
    intercept = (low + high) / 2
    for _ in range(200):
        share = expit(intercept + odds)
        excess = float(rows @ share) - d
        if abs(excess) <= 1e-12 * d or high - low <= 1e-14 * max(1.0, abs(intercept)):
            break
        low, high = (low, intercept) if excess > 0 else (intercept, high)
        slope = float(rows @ (share * (1 - share)))
        following = intercept - excess / slope if slope > 0 else low
        intercept = following if low < following < high else (low + high) / 2
    return intercept


def _independent_within(strata: list[Stratum]) -> tuple[list[Stratum], Array, list[int]]:
    """Strata with scaled columns that vary within them and are not collinear; the scales; which columns they are."""
    n_rows = sum(float(stratum.n_rows.sum()) for stratum in strata)
    demeaned = [stratum.x - stratum.n_rows @ stratum.x / stratum.n_rows.sum() for stratum in strata]
    length = np.sqrt(sum(s.n_rows @ (s.x * s.x) for s in strata) / n_rows)
    within = np.sqrt(sum(s.n_rows @ (x * x) for s, x in zip(strata, demeaned, strict=True)) / n_rows)
    # What a column constant within strata leaves after its means are taken out is rounding.
    varying = np.flatnonzero(within > COLLINEARITY_TOLERANCE * length)
    if len(varying) == 0:
        return strata, np.ones(0), []
    scale = within[varying]
    root = _stacked_root(
        [np.sqrt(s.n_rows)[:, None] * x[:, varying] / scale for s, x in zip(strata, demeaned, strict=True)]
    )
    kept = _independent_columns(root)
    columns, scale = varying[kept], scale[kept]
    scaled = [
        Stratum(x[:, columns] / scale, s.n_rows, s.sum_y) for s, x in zip(strata, demeaned, strict=True)
    ]
    return scaled, scale, [int(j) for j in columns]


def _newton(strata: list[Stratum], columns: Sequence[str]) -> tuple[Array, float, Array, Array, int]:
    beta = np.zeros(len(columns))
    # The size of the gradient's terms where no column matters.
    size = np.sum(
        [np.abs(s.x).T @ (s.sum_y + s.n_rows * (s.sum_y.sum() / s.n_rows.sum())) for s in strata], axis=0
    )
    likelihood, scores, information = _all_strata(strata, beta)
    is_checked = False
    for iteration in range(MAX_ITERATIONS + 1):
        spread = max(float(np.ptp(s.x @ beta)) for s in strata)
        if not is_checked and spread > SUSPICIOUS_PREDICTOR:
            is_checked = True
            _refuse_separation(strata, columns)
        if (np.abs(scores.sum(axis=0)) <= GRADIENT_TOLERANCE * size).all():
            if spread > SUSPICIOUS_PREDICTOR and not is_checked:
                _refuse_separation(strata, columns)
            return beta, likelihood, scores, information, iteration
        try:
            step = np.linalg.solve(information, scores.sum(axis=0))
        except np.linalg.LinAlgError:
            break
        for _ in range(MAX_HALVINGS):
            following, next_scores, next_information = _all_strata(strata, beta + step)
            if following >= likelihood - LIKELIHOOD_ROUNDING * abs(likelihood):
                break
            step = step / 2
        else:
            break
        beta, likelihood, scores, information = beta + step, following, next_scores, next_information
    if not is_checked:
        _refuse_separation(strata, columns)
    raise NoConvergenceError(
        f"the conditional logit did not converge in {MAX_ITERATIONS} Newton steps, although outcomes are not separated: "
        "columns are nearly collinear within authorities, or differ by too many orders of magnitude."
    )


def _all_strata(strata: list[Stratum], beta: Array) -> tuple[float, Array, Array]:
    parts = [stratum_likelihood(stratum, beta) for stratum in strata]
    information = np.zeros((len(beta), len(beta)))
    for _, _, own in parts:
        information += own
    return sum(part[0] for part in parts), np.array([part[1] for part in parts]), information


def _refuse_separation(strata: list[Stratum], columns: Sequence[str]) -> None:
    """Separation within strata is separation with a dummy for each of them (every stratum has both outcomes)."""
    number: NDArray[np.int64] = np.repeat(np.arange(len(strata)), [len(s.n_rows) for s in strata])
    dummies = np.eye(len(strata))[number]
    named = separating_columns(
        np.hstack([np.vstack([s.x for s in strata]), dummies]),
        [*columns, *[""] * len(strata)],
        np.concatenate([s.n_rows for s in strata]).astype(np.int64),
        np.concatenate([s.sum_y for s in strata]),
    )
    named = [name for name in named if name]
    if named:
        raise separation(columns, named)
