"""The restricted wild cluster bootstrap against refits of the rows and against another implementation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from diff_diff.utils import wild_bootstrap_se
from hypothesis import given, settings
from hypothesis import strategies as st

from csc_evaluation.estimation.inference import cr1
from csc_evaluation.estimation.linear import weighted_least_squares
from csc_evaluation.estimation.moments import least_squares_of_moments, moments_of_rows
from csc_evaluation.estimation.wild_bootstrap import (
    WildTest,
    rademacher_draws,
    rademacher_signs,
    webb_signs,
    wild_cluster_bootstrap,
    wild_p_value,
    wild_test,
)
from support.regressions import as_sample, compress, restricted_wild_statistics, simulate


def _test(seed: int, **options: int) -> WildTest:
    return wild_test(weighted_least_squares(simulate(seed, **options), required=("treated",)), "treated")


def _share(observed: tuple[float, float], drawn: tuple[np.ndarray, np.ndarray]) -> float:
    statistics = np.abs(drawn[0] / np.sqrt(drawn[1]))
    return float(np.mean(statistics >= abs(observed[0]) / np.sqrt(observed[1]) * (1 - 1e-10)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("null", [0.0, 0.13])
def test_every_pattern_of_signs_is_a_refit_of_the_rows(seed: int, weighted: bool, null: float) -> None:
    sample = simulate(seed, n_clusters=6 + seed % 3, weighted=weighted, binary=bool(seed % 2))
    signs = rademacher_signs(6 + seed % 3)
    expected = restricted_wild_statistics(sample, "treated", null, signs)
    for fit in (
        weighted_least_squares(compress(sample), required=("treated",)),
        least_squares_of_moments(moments_of_rows(sample), required=("treated",)),
    ):
        test = wild_test(fit, "treated")
        numerators, variances = test.statistics(null, signs)
        assert numerators == pytest.approx(expected[0], rel=1e-10, abs=1e-12)
        assert variances == pytest.approx(expected[1], rel=1e-10)
        assert wild_p_value([test], signs, null=null) == _share((expected[0][0], expected[1][0]), expected)


def test_webb_patterns_are_refits_of_the_rows() -> None:
    sample = simulate(4, n_clusters=7)
    signs = webb_signs(7, 199, 12)
    expected = restricted_wild_statistics(sample, "treated", 0.0, signs)
    observed = restricted_wild_statistics(sample, "treated", 0.0, np.ones((1, 7)))
    result = wild_cluster_bootstrap(
        [wild_test(weighted_least_squares(sample, required=("treated",)), "treated")],
        signs,
        confidence_level=0.95,
        method="wild_cluster_webb",
    )
    assert result.p_value == _share((observed[0][0], observed[1][0]), expected)
    assert (result.n_draws, result.n_clusters, result.method) == (199, 7, "wild_cluster_webb")


@pytest.mark.parametrize("null", [-3.0, 0.0, 0.4])
def test_the_identity_gives_back_estimate_and_cr1(null: float) -> None:
    fit = weighted_least_squares(simulate(5), required=("treated",))
    registered = cr1(fit, "treated", confidence_level=0.95)
    numerators, variances = wild_test(fit, "treated").statistics(null, np.ones((1, 8)))
    assert numerators[0] == pytest.approx(registered.estimate - null, rel=1e-10)
    assert variances[0] == pytest.approx(registered.std_error**2, rel=1e-10)


@pytest.mark.parametrize("n_clusters", [5, 6, 7, 8])
def test_smallest_p_is_that_of_the_identity_and_its_mirror(n_clusters: int) -> None:
    sample = simulate(1, n_clusters=n_clusters, binary=False)
    strong = replace(sample, sum_y=sample.sum_y + 50.0 * sample.x[:, sample.columns.index("treated")])
    test = wild_test(weighted_least_squares(strong, required=("treated",)), "treated")
    signs = rademacher_signs(n_clusters)
    result = wild_cluster_bootstrap([test], signs, confidence_level=0.95, method="wild_cluster")
    assert result.p_value == 2.0 ** -(n_clusters - 1)
    # Five clusters never reject at 0.05, and the interval says so.
    is_bounded = n_clusters > 5
    assert np.isfinite([result.ci_low, result.ci_high]).tolist() == [is_bounded, is_bounded]
    assert result.ci_low < result.estimate < result.ci_high


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["all signs", "webb"])
def test_p_falls_to_alpha_at_the_ends_of_the_interval(seed: int, kind: str) -> None:
    test = _test(seed, n_clusters=8)
    signs = rademacher_signs(8) if kind == "all signs" else webb_signs(8, 999, seed)
    result = wild_cluster_bootstrap([test], signs, confidence_level=0.9, method="wild_cluster")
    width = result.ci_high - result.ci_low
    assert np.isfinite(width)
    for end, out in ((result.ci_low, -1.0), (result.ci_high, 1.0)):
        assert wild_p_value([test], signs, null=end - out * 1e-7 * width) > 0.1
        assert wild_p_value([test], signs, null=end + out * 1e-7 * width) <= 0.1
    assert (result.ci_low <= 0.0 <= result.ci_high) == (result.p_value > 0.1)
    assert wild_p_value([test], signs, null=result.estimate) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_diff_diff(seed: int) -> None:
    sample = simulate(seed, n_clusters=8, weighted=False)
    fit = weighted_least_squares(sample, required=("treated",))
    theirs = wild_bootstrap_se(
        sample.x,
        sample.sum_y,
        np.zeros(len(sample.sum_y)),
        sample.cluster,
        sample.columns.index("treated"),
        n_bootstrap=256,
        alpha=0.1,
        seed=1,
    )
    # Theirs counts only patterns strictly beyond the data: not the identity and its mirror, which are 2 of 256.
    ties = 2 / 256
    ours = wild_cluster_bootstrap(
        [wild_test(fit, "treated")], rademacher_signs(8), confidence_level=0.9 - ties, method="wild_cluster"
    )
    assert theirs.n_bootstrap == 256
    assert ours.statistic == pytest.approx(theirs.t_stat_original, rel=1e-9)
    assert ours.p_value == pytest.approx(theirs.p_value + ties, abs=1e-12)
    assert [ours.ci_low, ours.ci_high] == pytest.approx([theirs.ci_lower, theirs.ci_upper], rel=1e-4)


def test_one_data_set_twice_is_that_data_set() -> None:
    test, signs = _test(2), rademacher_signs(8)
    once, twice = (
        wild_cluster_bootstrap(tests, signs, confidence_level=0.95, method="wild_cluster")
        for tests in ([test], [test, test])
    )
    assert twice.p_value == once.p_value
    assert [twice.statistic, twice.ci_low, twice.ci_high] == pytest.approx(
        [once.statistic, once.ci_low, once.ci_high], rel=1e-8
    )


def test_pools_the_same_pattern_over_data_sets_by_rubins_rules() -> None:
    samples = [simulate(6, n_clusters=6, binary=False) for _ in range(3)]
    rng = np.random.default_rng(3)
    samples = [replace(part, sum_y=part.sum_y + rng.normal(0, 0.1, len(part.sum_y))) for part in samples]
    signs = rademacher_signs(6)
    numerators, variances = np.array(
        [restricted_wild_statistics(part, "treated", 0.0, signs) for part in samples]
    ).transpose(1, 0, 2)
    between = ((numerators - numerators.mean(axis=0)) ** 2).sum(axis=0) / 2
    total = variances.mean(axis=0) + (1 + 1 / 3) * between
    t = numerators.mean(axis=0) / np.sqrt(total)
    tests = [wild_test(weighted_least_squares(part, required=("treated",)), "treated") for part in samples]
    result = wild_cluster_bootstrap(tests, signs, confidence_level=0.9, method="wild_cluster")
    assert result.statistic == pytest.approx(t[0], rel=1e-9)
    assert result.p_value == np.mean(np.abs(t) >= abs(t[0]) * (1 - 1e-10))
    assert result.estimate == pytest.approx(numerators[:, 0].mean(), rel=1e-10)
    assert result.ci_low < result.estimate < result.ci_high


def test_data_sets_of_other_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match="same clusters"):
        wild_cluster_bootstrap(
            [_test(1, n_clusters=6), _test(1, n_clusters=7)],
            rademacher_signs(6),
            confidence_level=0.95,
            method="wild_cluster",
        )


def test_one_cluster_gives_no_test() -> None:
    sample = as_sample(
        ("one", "x"),
        np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]),
        np.ones(3),
        np.array([0.0, 1.0, 1.0]),
        np.zeros(3),
    )
    result = wild_cluster_bootstrap(
        [wild_test(weighted_least_squares(sample), "x")],
        rademacher_signs(1),
        confidence_level=0.95,
        method="wild_cluster",
    )
    assert np.isnan([result.p_value, result.statistic, result.ci_low, result.ci_high]).all()


def test_a_pattern_without_variance_counts_as_reaching_the_estimate() -> None:
    # Means of five outcomes of one size: 2 patterns make all alike (no variance), 10 leave one apart as the data do.
    sample = as_sample(
        ("one",), np.ones((5, 1)), np.ones(5), 0.1 * np.array([1.0, 1.0, 1.0, 1.0, -1.0]), np.arange(5)
    )
    tests = [wild_test(weighted_least_squares(sample), "one")]
    assert wild_p_value(tests, rademacher_signs(5), null=0.0) == 12 / 32


def test_signs_are_all_patterns_once_and_draws_follow_the_seed() -> None:
    signs = rademacher_signs(6)
    assert len(np.unique(signs, axis=0)) == 64
    assert (signs[0] == 1).all()
    assert set(np.unique(signs)) == {-1.0, 1.0}
    with pytest.raises(ValueError, match="too many patterns"):
        rademacher_signs(40)
    for draw in (rademacher_draws, webb_signs):
        assert (draw(30, 50, 4) == draw(30, 50, 4)).all()
        assert (draw(30, 50, 4) != draw(30, 50, 5)).any()
    points, counts = np.unique(webb_signs(20, 3_000, 1), return_counts=True)
    assert points**2 == pytest.approx([1.5, 1.0, 0.5, 0.5, 1.0, 1.5])
    assert counts / 60_000 == pytest.approx([1 / 6] * 6, abs=0.01)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(min_value=1e-4, max_value=1e4))
def test_compressing_rows_and_rescaling_weights_change_nothing(seed: int, factor: float) -> None:
    sample = simulate(seed, n_clusters=7, smallest=25)
    cells = compress(sample)
    signs = rademacher_signs(7)
    results = [
        wild_test(weighted_least_squares(part, required=("treated",)), "treated").statistics(0.0, signs)
        for part in (sample, cells, replace(cells, weight=cells.weight * factor))
    ]
    for other in results[1:]:
        assert other[0] == pytest.approx(results[0][0], rel=1e-7, abs=1e-10)
        assert other[1] == pytest.approx(results[0][1], rel=1e-7, abs=1e-12)
