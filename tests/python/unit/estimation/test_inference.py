"""Weighted least squares and cluster-robust inference against independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from diff_diff.linalg import _compute_cr2_bm
from scipy import stats

from csc_evaluation.estimation.inference import (
    RefusedTest,
    WaldTest,
    cr1,
    cr2,
    cr2_wald,
    minimum_detectable_effect,
)
from csc_evaluation.estimation.linear import CompressedSample, NotIdentifiedError, weighted_least_squares
from support.regressions import as_sample, compress, dense_reference, simulate


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("weighted", [True, False])
def test_agrees_with_dense_matrices_of_the_formulas(seed: int, weighted: bool) -> None:
    sample = simulate(seed, weighted=weighted, binary=bool(seed % 2))
    fit = weighted_least_squares(sample, required=("treated",))
    for term in ("treated", "age"):
        expected = dense_reference(sample, term)
        registered, robust = (method(fit, term, confidence_level=0.95) for method in (cr1, cr2))
        assert robust.estimate == pytest.approx(expected.estimate, rel=1e-10)
        assert registered.std_error == pytest.approx(expected.se_cr1, rel=1e-10)
        assert robust.std_error == pytest.approx(expected.se_cr2, rel=1e-10)
        assert robust.df == pytest.approx(expected.df, rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_compressed_rows_give_what_single_rows_give(seed: int) -> None:
    rows = simulate(seed, smallest=60, largest=150)
    cells = compress(rows)
    assert len(cells.n_rows) < len(rows.n_rows)
    single, compressed = (weighted_least_squares(part, required=("treated",)) for part in (rows, cells))
    assert compressed.n_rows == single.n_rows
    for method in (cr1, cr2):
        left, right = (method(fit, "treated", confidence_level=0.95) for fit in (single, compressed))
        for name in ("estimate", "std_error", "df", "p_value", "ci_low", "ci_high"):
            assert getattr(right, name) == pytest.approx(getattr(left, name), rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_cr1_agrees_with_statsmodels(seed: int) -> None:
    sample = simulate(seed)
    ours = cr1(weighted_least_squares(sample, required=("treated",)), "treated", confidence_level=0.95)
    theirs = sm.WLS(sample.sum_y, sample.x, weights=sample.weight).fit(
        cov_type="cluster", cov_kwds={"groups": sample.cluster}, use_t=True
    )
    position = sample.columns.index("treated")
    assert ours.estimate == pytest.approx(theirs.params[position], rel=1e-10)
    assert ours.std_error == pytest.approx(theirs.bse[position], rel=1e-10)
    assert ours.p_value == pytest.approx(theirs.pvalues[position], rel=1e-9)
    assert ours.df == len(sample.cluster_names) - 1
    assert [ours.ci_low, ours.ci_high] == pytest.approx(theirs.conf_int()[position], rel=1e-9)


@pytest.mark.parametrize("weighted", [True, False])
def test_cr2_agrees_with_diff_diff(weighted: bool) -> None:
    sample = simulate(11, weighted=weighted)
    fit = weighted_least_squares(sample, required=("treated",))
    residuals = sample.sum_y - sample.x @ _in_order(fit.columns, fit.coefficients, sample.columns)
    bread = sample.x.T @ (sample.weight[:, None] * sample.x)
    variance, df = _compute_cr2_bm(
        sample.x, residuals, sample.cluster, bread, weights=sample.weight if weighted else None
    )
    position = sample.columns.index("treated")
    ours = cr2(fit, "treated", confidence_level=0.95)
    assert ours.std_error == pytest.approx(variance[position, position] ** 0.5, rel=1e-8)
    assert ours.df == pytest.approx(df[position], rel=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_a_joint_test_of_one_restriction_is_the_squared_t(seed: int) -> None:
    fit = weighted_least_squares(simulate(seed), required=("treated",))
    joint, single = cr2_wald(fit, ["treated"]), cr2(fit, "treated", confidence_level=0.95)
    assert isinstance(joint, WaldTest)
    assert joint.statistic == pytest.approx(single.statistic**2, rel=1e-9)
    assert (joint.df_numerator, joint.df_denominator) == (1.0, pytest.approx(single.df, rel=1e-9))
    assert joint.p_value == pytest.approx(single.p_value, rel=1e-9)


def test_a_joint_test_does_not_depend_on_units_or_on_how_the_hypothesis_is_written() -> None:
    sample = simulate(2)
    age = sample.columns.index("age")
    x = sample.x.copy()
    x[:, age] *= 1e6
    rescaled = as_sample(sample.columns, x, 1e-3 * sample.weight, sample.sum_y, sample.cluster)
    first = cr2_wald(weighted_least_squares(sample), ["treated", "age"])
    others = [
        cr2_wald(weighted_least_squares(rescaled), ["treated", "age"]),
        cr2_wald(
            weighted_least_squares(sample), [{"treated": 2.0, "age": 1.0}, {"treated": -1.0, "age": 1.0}]
        ),
    ]
    assert isinstance(first, WaldTest)
    for other in others:
        assert isinstance(other, WaldTest)
        assert other.statistic == pytest.approx(first.statistic, rel=1e-8)
        assert other.df_denominator == pytest.approx(first.df_denominator, rel=1e-8)


@pytest.mark.parametrize(("n_clusters", "is_allowed"), [(3, False), (4, True)])
def test_two_restrictions_need_four_clusters(n_clusters: int, is_allowed: bool) -> None:
    fit = weighted_least_squares(simulate(5, n_clusters=n_clusters))
    found = cr2_wald(fit, ["girl", "age"])
    assert isinstance(found, WaldTest if is_allowed else RefusedTest)
    if isinstance(found, RefusedTest):
        assert (found.n_restrictions, found.n_clusters) == (2, 3)
        assert found.reason == "2 restrictions on 3 clusters: at most 1 can be tested"


@pytest.mark.parametrize("restrictions", [["age", "age"], [{"age": 0.0}], []])
def test_restrictions_that_cannot_be_told_apart_are_refused(restrictions: list) -> None:
    found = cr2_wald(weighted_least_squares(simulate(5)), restrictions)
    assert isinstance(found, RefusedTest)
    assert found.reason


def _in_order(have: tuple[str, ...], values: np.ndarray, want: tuple[str, ...]) -> np.ndarray:
    found = dict(zip(have, values, strict=True))
    return np.array([found[name] for name in want])


def test_drops_later_collinear_columns_and_names_them() -> None:
    sample = simulate(3)
    doubled = as_sample(
        (*sample.columns, "age_again"),
        np.column_stack([sample.x, 3 * sample.x[:, sample.columns.index("age")] - 2]),
        sample.weight,
        sample.sum_y,
        sample.cluster,
    )
    fit = weighted_least_squares(doubled, required=("treated",))
    assert fit.dropped == ("age_again",)
    plain = weighted_least_squares(sample, required=("treated",))
    assert fit.coefficient("treated") == pytest.approx(plain.coefficient("treated"), rel=1e-10)


def test_refuses_an_effect_that_authority_dummies_already_say() -> None:
    sample = simulate(3)
    x = sample.x.copy()
    # Treated authorities without a child before go-live: treatment is then the authority.
    x[:, sample.columns.index("treated")] = (sample.cluster < 4) * 1.0
    with pytest.raises(NotIdentifiedError, match="before and after go-live"):
        weighted_least_squares(
            as_sample(sample.columns, x, sample.weight, sample.sum_y, sample.cluster), required=("treated",)
        )


def test_refuses_a_sample_without_rows() -> None:
    empty = CompressedSample(
        ("intercept",),
        np.zeros((0, 1)),
        np.zeros(0),
        np.zeros(0, np.int64),
        np.zeros(0),
        np.zeros(0, np.int64),
        (),
    )
    with pytest.raises(NotIdentifiedError, match="no matched child"):
        weighted_least_squares(empty)


def test_minimum_detectable_effect_is_found_with_the_power_it_names() -> None:
    error, df = 0.01, 6.0
    effect = minimum_detectable_effect(error, df, significance_level=0.05, power=0.8)
    # The t approximation of power: a statistic centred at effect / error exceeds its critical value.
    assert stats.t.sf(stats.t.ppf(0.975, df) - effect / error, df) == pytest.approx(0.8)


def test_cr2_holds_its_level_where_cr1_does_not() -> None:
    """Unequal authorities with shocks of their own by year, no effect: CR2 rejects near 5%, CR1 with t(G-1) too often."""
    rng = np.random.default_rng(2024)
    n_sims, rejected, covered_zero = 300, {"cr1": 0, "cr2": 0}, 0
    n_clusters, n_years = 10, 6
    cluster = np.repeat(np.arange(n_clusters), n_years)
    year = np.tile(np.arange(n_years), n_clusters)
    size = np.array([400, 90, 60, 40, 250, 120, 80, 60, 40, 30])
    go_live = np.array([2, 3, 3, 4, 5, 99, 99, 99, 99, 99])
    treated = (year >= go_live[cluster]) * 1.0
    columns = {"intercept": np.ones(len(cluster))}
    columns |= {f"cluster{g}": (cluster == g) * 1.0 for g in range(1, n_clusters)}
    columns |= {f"year{k}": (year == k) * 1.0 for k in range(1, n_years)} | {"treated": treated}
    x = np.column_stack(list(columns.values()))
    estimates = []
    for _ in range(n_sims):
        shock = np.zeros((n_clusters, n_years))
        shock[:, 0] = rng.normal(0, 0.02, n_clusters)
        for k in range(1, n_years):
            shock[:, k] = 0.5 * shock[:, k - 1] + rng.normal(0, 0.02, n_clusters)
        risk = np.clip(0.15 + shock.ravel(), 0.01, 0.9)
        n_rows = size[cluster]
        sample = CompressedSample(
            tuple(columns),
            x,
            np.ones(len(cluster)),
            n_rows.astype(np.int64),
            rng.binomial(n_rows, risk).astype(float),
            cluster.astype(np.int64),
            tuple(str(g) for g in range(n_clusters)),
        )
        fit = weighted_least_squares(sample, required=("treated",))
        estimates.append(fit.coefficient("treated"))
        rejected["cr1"] += cr1(fit, "treated", confidence_level=0.95).p_value < 0.05
        robust = cr2(fit, "treated", confidence_level=0.95)
        rejected["cr2"] += robust.p_value < 0.05
        covered_zero += robust.ci_low <= 0 <= robust.ci_high
    assert abs(np.mean(estimates)) < 4 * np.std(estimates) / np.sqrt(n_sims)
    assert covered_zero == n_sims - rejected["cr2"]
    assert rejected["cr2"] / n_sims < 0.10
    assert rejected["cr1"] > rejected["cr2"]
