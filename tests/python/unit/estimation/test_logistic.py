"""Logistic regression on cells: coefficients, average effect and jackknife against row-level computation; refusals in words."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from csc_evaluation.estimation.linear import CompressedSample
from csc_evaluation.estimation.logistic import (
    OneOutcomeError,
    SeparationError,
    average_effect,
    cr1,
    cr3,
    logistic_regression,
    score_bootstrap,
)
from csc_evaluation.estimation.wild_bootstrap import rademacher_signs


def rows(seed: int = 3, n: int = 1200, n_clusters: int = 6) -> CompressedSample:
    """Single rows of authorities with weights, half of them live in the second period."""
    rng = np.random.default_rng(seed)
    cluster = np.sort(
        rng.choice(n_clusters, n, p=np.arange(1, n_clusters + 1) / np.arange(1, n_clusters + 1).sum())
    )
    after = rng.integers(0, 2, n).astype(float)
    number = rng.normal(size=n)
    treated = after * (cluster % 2)
    dummies = {f"cluster={g}": (cluster == g).astype(float) for g in range(1, n_clusters)}
    columns = {"one": np.ones(n), **dummies, "after": after, "number": number, "treated": treated}
    x = np.column_stack(list(columns.values()))
    y = rng.random(n) < 1 / (1 + np.exp(1.6 - 0.4 * number + 0.5 * treated - 0.1 * cluster))
    weight = np.where(cluster % 2, 1.0, rng.choice([0.5, 1.5, 2.0], n))
    names = tuple("abcdefgh"[:n_clusters])
    return CompressedSample(
        tuple(columns),
        x,
        weight,
        np.ones(n, dtype=np.int64),
        y.astype(float),
        cluster.astype(np.int64),
        names,
    )


def of_statsmodels(sample: CompressedSample):  # type: ignore[no-untyped-def]
    model = sm.GLM(sample.sum_y, sample.x, family=sm.families.Binomial(), freq_weights=sample.weight)
    return model.fit(tol=1e-14, maxiter=100)


def without(sample: CompressedSample, number: int) -> CompressedSample:
    """The rows of all clusters but one, and no column for that one."""
    keep = sample.cluster != number
    columns = [j for j, name in enumerate(sample.columns) if name != f"cluster={number}"]
    cut = replace(
        sample,
        columns=tuple(sample.columns[j] for j in columns),
        x=sample.x[keep][:, columns],
        weight=sample.weight[keep],
        n_rows=sample.n_rows[keep],
        sum_y=sample.sum_y[keep],
        cluster=sample.cluster[keep],
    )
    if number == 0:
        # Without the reference authority another takes its place.
        j = cut.columns.index("cluster=1")
        cut = replace(cut, columns=cut.columns[:j] + cut.columns[j + 1 :], x=np.delete(cut.x, j, axis=1))
    return cut


def effect_of_rows(sample: CompressedSample, coefficients: np.ndarray) -> float:
    j = sample.columns.index("treated")
    on, off = sample.x.copy(), sample.x.copy()
    on[:, j], off[:, j] = 1.0, 0.0
    p_on, p_off = (1 / (1 + np.exp(-x @ coefficients)) for x in (on, off))
    is_treated = sample.x[:, j] == 1
    return float(np.average((p_on - p_off)[is_treated], weights=sample.weight[is_treated]))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_coefficients_and_cr1_agree_with_statsmodels(seed: int) -> None:
    sample = rows(seed)
    fit, theirs = logistic_regression(sample, required=("treated",)), of_statsmodels(sample)
    at = [sample.columns.index(name) for name in fit.columns]
    np.testing.assert_allclose(fit.coefficients, theirs.params[at], rtol=1e-8, atol=1e-10)
    scores = (sample.weight * (sample.sum_y - theirs.fittedvalues))[:, None] * sample.x
    by_cluster = np.array([scores[sample.cluster == g].sum(axis=0) for g in range(len(sample.cluster_names))])
    w = sample.weight * theirs.fittedvalues * (1 - theirs.fittedvalues)
    inverse = np.linalg.inv(sample.x.T @ (w[:, None] * sample.x))
    g, n, k = len(sample.cluster_names), len(sample.sum_y), sample.x.shape[1]
    variance = inverse @ (by_cluster.T @ by_cluster) @ inverse * g / (g - 1) * (n - 1) / (n - k)
    j = sample.columns.index("treated")
    found = cr1(fit, "treated", confidence_level=0.95)
    assert found.std_error == pytest.approx(np.sqrt(variance[j, j]), rel=1e-7)
    assert found.df == g - 1
    gradient = np.array(
        [
            (effect_of_rows(sample, theirs.params + h) - effect_of_rows(sample, theirs.params - h)) / 2e-6
            for h in 1e-6 * np.eye(k)
        ]
    )
    effect = average_effect(fit, sample, "treated")
    assert effect.estimate == pytest.approx(effect_of_rows(sample, theirs.params), rel=1e-8)
    found = cr1(fit, effect, confidence_level=0.95)
    assert found.std_error == pytest.approx(np.sqrt(gradient @ variance @ gradient), rel=1e-6)


def test_jackknife_of_both_quantities_is_that_of_explicit_refits() -> None:
    sample = rows(4)
    fit = logistic_regression(sample, required=("treated",))
    found = cr3(fit, sample, "treated", confidence_level=0.95)
    g = len(sample.cluster_names)
    cuts = [without(sample, number) for number in range(g)]
    params = [of_statsmodels(cut).params for cut in cuts]
    b = np.array([p[cut.columns.index("treated")] for cut, p in zip(cuts, params, strict=True)])
    effects = np.array([effect_of_rows(cut, p) for cut, p in zip(cuts, params, strict=True)])
    whole = of_statsmodels(sample).params
    for row, values, centre in (
        (found.coefficient, b, whole[sample.columns.index("treated")]),
        (found.average_effect, effects, effect_of_rows(sample, whole)),
    ):
        assert row.std_error == pytest.approx(np.sqrt((g - 1) / g * ((values - centre) ** 2).sum()), rel=1e-6)
        assert row.df == g - 1


def test_score_bootstrap_enumerates_all_sign_patterns() -> None:
    sample = rows(5)
    found = score_bootstrap(sample, "treated", rademacher_signs(len(sample.cluster_names)))
    j = sample.columns.index("treated")
    others = np.delete(sample.x, j, axis=1)
    null = sm.GLM(sample.sum_y, others, family=sm.families.Binomial(), freq_weights=sample.weight).fit(
        tol=1e-14, maxiter=100
    )
    p = null.fittedvalues
    w = sample.weight * p * (1 - p)
    slopes = np.linalg.solve(others.T @ (w[:, None] * others), others.T @ (w * sample.x[:, j]))
    efficient = sample.weight * (sample.sum_y - p) * (sample.x[:, j] - others @ slopes)
    by_cluster = np.array([efficient[sample.cluster == g].sum() for g in range(len(sample.cluster_names))])
    signs = np.array(list(itertools.product([1.0, -1.0], repeat=len(by_cluster))))
    reached = np.abs(signs @ by_cluster) >= abs(by_cluster.sum()) * (1 - 1e-10)
    assert found.n_draws == len(signs)
    assert found.p_value == pytest.approx(reached.mean(), abs=1e-12)


def test_cells_say_what_their_rows_say() -> None:
    sample = rows(6)
    coarse = replace(
        sample,
        x=np.where(
            np.arange(sample.x.shape[1]) == sample.columns.index("number"), np.round(sample.x), sample.x
        ),
    )
    key = np.column_stack([coarse.x, coarse.weight])
    unique, inverse = np.unique(key, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    first = np.array([np.flatnonzero(inverse == cell)[0] for cell in range(len(unique))])
    cells = replace(
        coarse,
        x=coarse.x[first],
        weight=coarse.weight[first],
        n_rows=np.bincount(inverse).astype(np.int64),
        sum_y=np.bincount(inverse, weights=coarse.sum_y),
        cluster=coarse.cluster[first],
    )
    assert len(first) < len(coarse.sum_y)
    found = [
        cr1(fit := logistic_regression(data), average_effect(fit, data, "treated"), confidence_level=0.95)
        for data in (coarse, cells)
    ]
    assert found[1].estimate == pytest.approx(found[0].estimate, rel=1e-9)
    assert found[1].std_error == pytest.approx(found[0].std_error, rel=1e-9)


def test_an_authority_without_events_is_named() -> None:
    sample = rows(7)
    with pytest.raises(SeparationError, match="cluster=3"):
        logistic_regression(replace(sample, sum_y=np.where(sample.cluster == 3, 0.0, sample.sum_y)))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_outcome_without_variation_is_refused(value: float) -> None:
    sample = rows(8)
    with pytest.raises(OneOutcomeError):
        logistic_regression(replace(sample, sum_y=np.full(len(sample.sum_y), value)))
