"""Conditional logit: against enumeration, statsmodels, an explicit recursion, and with very large strata."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from statsmodels.discrete.conditional_models import ConditionalLogit

from csc_evaluation.estimation.conditional_logit import (
    Stratum,
    conditional_logit,
    cr1,
    model_based,
    stratum_likelihood,
)
from csc_evaluation.estimation.linear import CompressedSample, NotIdentifiedError
from csc_evaluation.estimation.logistic import OneOutcomeError, SeparationError
from support.regressions import as_sample, compress


def _rows(seed: int, sizes: list[int], slope: float = 0.7) -> CompressedSample:
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    x = np.column_stack([rng.integers(0, 3, len(cluster)), rng.integers(0, 2, len(cluster))]).astype(float)
    shift = rng.normal(0, 0.5, len(sizes))[cluster]
    y = rng.random(len(cluster)) < 1 / (1 + np.exp(1 + shift - slope * x[:, 0] + 0.3 * x[:, 1]))
    return as_sample(("age", "treated"), x, rng.choice([0.5, 2.0], len(cluster)), y * 1.0, cluster)


@pytest.mark.parametrize("d", [1, 3, 6])
def test_likelihood_gradient_and_information_equal_enumeration(d: int) -> None:
    rng = np.random.default_rng(d)
    x, beta = rng.normal(size=(7, 2)), np.array([0.8, -1.5])
    y = np.zeros(7)
    y[rng.permutation(7)[:d]] = 1
    outcomes = np.array(
        [[i in chosen for i in range(7)] for chosen in combinations(range(7), d)], dtype=float
    )
    sums = outcomes @ x
    odds = np.exp(sums @ beta)
    share = odds / odds.sum()
    mean = share @ sums
    likelihood, gradient, information = stratum_likelihood(Stratum(x, np.ones(7), y), beta)
    assert likelihood == pytest.approx(y @ x @ beta - np.log(odds.sum()), rel=1e-12)
    assert gradient == pytest.approx(y @ x - mean, abs=1e-12)
    assert information == pytest.approx((sums - mean).T @ (share[:, None] * (sums - mean)), abs=1e-12)


def test_agrees_with_statsmodels_and_ignores_weights_and_compression() -> None:
    sample = _rows(3, [8, 12, 15, 10, 20])
    fit = conditional_logit(sample)
    reference = ConditionalLogit(sample.sum_y, sample.x, groups=sample.cluster).fit(disp=False)
    assert list(fit.coefficients) == pytest.approx(list(reference.params), abs=1e-5)
    errors = [model_based(fit, name, confidence_level=0.95).std_error for name in fit.columns]
    assert errors == pytest.approx(list(reference.bse), rel=1e-4)
    packed = conditional_logit(compress(sample))
    assert list(packed.coefficients) == pytest.approx(list(fit.coefficients), rel=1e-9)
    assert packed.scores == pytest.approx(fit.scores, abs=1e-9)


def test_cr1_is_the_sandwich_of_strata_scores() -> None:
    fit = conditional_logit(_rows(4, [20, 30, 25, 40]))
    covariance = fit.inverse_hessian @ (fit.scores.T @ fit.scores) @ fit.inverse_hessian
    factor = 4 / 3 * (115 - 1) / (115 - 2)
    found = cr1(fit, "treated", confidence_level=0.95)
    assert found.std_error == pytest.approx(np.sqrt(factor * covariance[1, 1]), rel=1e-12)
    assert found.df == 3


def test_a_stratum_of_twenty_thousand_rows_equals_the_recursion() -> None:
    rng = np.random.default_rng(8)
    n = 20_000
    x = rng.normal(size=(n, 2))
    y = (rng.random(n) < 0.004 * np.exp(0.3 * x[:, 0])) * 1.0
    beta = np.array([0.25, -0.1])
    likelihood, gradient, _ = stratum_likelihood(Stratum(x, np.ones(n), y), beta)
    # Recursion over rows of the elementary symmetric polynomials of odds divided by n, which keeps them in range.
    d = int(y.sum())
    polynomial = np.zeros(d + 1)
    polynomial[0] = 1.0
    for odds in np.exp(x @ beta) / n:
        polynomial[1:] += odds * polynomial[:-1]
    assert likelihood == pytest.approx(y @ x @ beta - np.log(polynomial[d]) - d * np.log(n), rel=1e-11)
    step = 1e-5 * np.eye(2)
    ends = [
        [stratum_likelihood(Stratum(x, np.ones(n), y), beta + sign * step[j])[0] for sign in (1, -1)]
        for j in range(2)
    ]
    assert gradient == pytest.approx([(up - down) / 2e-5 for up, down in ends], abs=1e-4)
    common = (rng.random(n) < 0.5) * 1.0
    fit = conditional_logit(as_sample(("a", "b"), x, np.ones(n), common, np.zeros(n)))
    assert np.abs(fit.scores.sum(axis=0)).max() < 1e-5


def test_drops_strata_without_variation_and_columns_constant_within_strata() -> None:
    sample = _rows(5, [15, 20, 25, 10])
    y = np.where(sample.cluster == 3, 0.0, sample.sum_y)
    x = np.column_stack([sample.cluster * 0.1, sample.x, sample.x[:, 0] * 2])
    wide = as_sample(("level", "age", "treated", "twice"), x, sample.weight, y, sample.cluster)
    fit = conditional_logit(wide)
    first = sample.cluster != 3
    alone = conditional_logit(
        as_sample(("age", "treated"), sample.x[first], np.ones(60), y[first], sample.cluster[first])
    )
    assert (fit.columns, fit.dropped, fit.dropped_strata) == (("age", "treated"), ("level", "twice"), ("3",))
    assert list(fit.coefficients) == pytest.approx(list(alone.coefficients), rel=1e-10)


def test_errors_say_what_is_wrong() -> None:
    sample = _rows(6, [10, 12])
    by_stratum = as_sample(("x",), sample.cluster[:, None] * 1.0, sample.weight, sample.sum_y, sample.cluster)
    with pytest.raises(NotIdentifiedError, match="cannot estimate x"):
        conditional_logit(by_stratum, required=("x",))
    with pytest.raises(NotIdentifiedError, match="no column varies"):
        conditional_logit(by_stratum)
    with pytest.raises(OneOutcomeError, match="within every authority"):
        conditional_logit(
            as_sample(sample.columns, sample.x, sample.weight, sample.cluster * 1.0, sample.cluster)
        )
    with pytest.raises(SeparationError, match="treated"):
        conditional_logit(as_sample(sample.columns, sample.x, sample.weight, sample.x[:, 1], sample.cluster))
