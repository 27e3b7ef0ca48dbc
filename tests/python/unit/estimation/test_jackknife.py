"""CR3, leave-one-out estimates and leverage against refits of the rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyfixest
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from csc_evaluation.estimation.jackknife import cluster_leverage, cr3, effective_clusters, leave_one_out
from csc_evaluation.estimation.linear import CompressedSample, NotIdentifiedError, weighted_least_squares
from csc_evaluation.estimation.moments import least_squares_of_moments, moments_of_rows
from support.regressions import as_sample, compress, simulate


def _without(sample: CompressedSample, g: int, term: str) -> float:
    keep = sample.cluster != g
    root = np.sqrt(sample.weight[keep])
    # The left out cluster's dummy is zero; the minimum norm solution leaves the other coefficients as they are.
    beta = np.linalg.lstsq(root[:, None] * sample.x[keep], root * sample.sum_y[keep], rcond=None)[0]
    return float(beta[sample.columns.index(term)])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("weighted", [True, False])
def test_leaving_out_a_cluster_is_refitting_without_its_rows(seed: int, weighted: bool) -> None:
    sample = simulate(seed, n_clusters=6 + seed % 3, weighted=weighted)
    for fit in (weighted_least_squares(sample), least_squares_of_moments(moments_of_rows(sample))):
        for term in ("treated", "girl"):
            expected = [_without(sample, g, term) for g in range(len(sample.cluster_names))]
            found = leave_one_out(fit, term)
            assert list(found) == list(sample.cluster_names)
            assert list(found.values()) == pytest.approx(expected, rel=1e-10)
            inference = cr3(fit, term, confidence_level=0.9)
            n_clusters = len(expected)
            changes = np.array(expected) - fit.coefficient(term)
            std_error = np.sqrt((n_clusters - 1) / n_clusters * (changes @ changes))
            assert inference.method == "cr3_t"
            assert inference.std_error == pytest.approx(std_error, rel=1e-10)
            assert inference.df == n_clusters - 1
            t = inference.estimate / std_error
            assert inference.p_value == pytest.approx(2 * stats.t.sf(abs(t), n_clusters - 1), rel=1e-9)
            half_width = stats.t.ppf(0.95, n_clusters - 1) * std_error
            assert inference.ci_high - inference.ci_low == pytest.approx(2 * half_width, rel=1e-9)


@pytest.mark.parametrize("weighted", [True, False])
def test_cr3_agrees_with_pyfixest_but_for_the_factor(weighted: bool) -> None:
    sample = simulate(1, weighted=weighted)
    rows = pd.DataFrame(sample.x[:, 1:], columns=list(sample.columns[1:]))
    rows = rows.assign(y=sample.sum_y, authority=sample.cluster, weight=sample.weight)
    theirs = pyfixest.feols(
        f"y ~ {' + '.join(sample.columns[1:])}",
        rows,
        vcov={"CRV3": "authority"},
        weights="weight" if weighted else None,
        ssc=pyfixest.ssc(k_adj=False, G_adj=False),
    )
    ours = cr3(weighted_least_squares(sample, required=("treated",)), "treated", confidence_level=0.95)
    # Without its small-sample corrections pyfixest has the bare sum; ours has (G-1)/G, with eight clusters.
    assert ours.std_error == pytest.approx(np.sqrt(7 / 8) * theirs.se()["treated"], rel=1e-8)


def test_without_the_only_treated_cluster_there_is_no_estimate() -> None:
    sample = simulate(3, n_clusters=7)
    treated = sample.columns.index("treated")
    x = sample.x.copy()
    x[sample.cluster != 2, treated] = 0.0
    x[sample.cluster == 2, treated] = sample.x[sample.cluster == 2][:, sample.columns.index("year2")]
    names = tuple(f"authority {name}" for name in sample.cluster_names)
    fit = weighted_least_squares(replace(sample, x=x, cluster_names=names), required=("treated",))
    found = leave_one_out(fit, "treated")
    assert [name for name, estimate in found.items() if estimate is None] == ["authority 2"]
    with pytest.raises(NotIdentifiedError, match="without authority 2 the effect"):
        cr3(fit, "treated", confidence_level=0.95)


@pytest.mark.parametrize("seed", range(4))
def test_leverage_is_that_of_the_rows(seed: int) -> None:
    sample = simulate(seed, n_clusters=7)
    x, w, j = sample.x, sample.weight, sample.columns.index("treated")
    bread = np.linalg.inv(x.T @ (w[:, None] * x))
    others = np.delete(x, j, axis=1)
    cleaned = (
        x[:, j] - others @ np.linalg.lstsq(np.sqrt(w)[:, None] * others, np.sqrt(w) * x[:, j], rcond=None)[0]
    )
    members = [sample.cluster == g for g in range(7)]
    fit = weighted_least_squares(compress(sample))
    found = cluster_leverage(fit, "treated")
    leverage = [np.trace(x[m].T @ (w[m, None] * x[m]) @ bread) for m in members]
    partial = [(w[m] * cleaned[m] ** 2).sum() / (w * cleaned**2).sum() for m in members]
    assert list(found.leverage.values()) == pytest.approx(leverage, rel=1e-9)
    assert list(found.partial_leverage.values()) == pytest.approx(partial, rel=1e-9)
    assert sum(found.leverage.values()) == pytest.approx(x.shape[1], rel=1e-10)
    assert sum(found.partial_leverage.values()) == pytest.approx(1.0, rel=1e-10)
    gamma = np.array(
        [((x[m] * w[m, None]) @ bread[:, j]) @ ((x[m] * w[m, None]) @ bread[:, j]) for m in members]
    )
    variation = np.mean((gamma / gamma.mean() - 1) ** 2)
    assert effective_clusters(fit, "treated") == pytest.approx(7 / (1 + variation), rel=1e-9)


def test_alike_clusters_count_in_full() -> None:
    x = np.tile([[1.0, 0.0], [1.0, 1.0]], (5, 1))
    rng = np.random.default_rng(0)
    fit = weighted_least_squares(
        as_sample(("one", "x"), x, np.ones(10), rng.normal(size=10), np.repeat(np.arange(5), 2))
    )
    assert effective_clusters(fit, "x") == pytest.approx(5.0, rel=1e-12)
    assert list(cluster_leverage(fit, "x").partial_leverage.values()) == pytest.approx([0.2] * 5, rel=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(min_value=1e-4, max_value=1e4))
def test_compressing_rows_and_rescaling_weights_change_nothing(seed: int, factor: float) -> None:
    sample = simulate(seed, smallest=25)
    cells = compress(sample)
    fits = [
        weighted_least_squares(part, required=("treated",))
        for part in (sample, cells, replace(cells, weight=cells.weight * factor))
    ]
    first, *others = (cr3(fit, "treated", confidence_level=0.95) for fit in fits)
    for other in others:
        assert other.std_error == pytest.approx(first.std_error, rel=1e-8)
        assert other.p_value == pytest.approx(first.p_value, rel=1e-7)
    leverages = [cluster_leverage(fit, "treated") for fit in fits]
    for leverage in leverages[1:]:
        assert leverage.leverage == pytest.approx(leverages[0].leverage, rel=1e-8)
    assert effective_clusters(fits[2], "treated") == pytest.approx(
        effective_clusters(fits[0], "treated"), rel=1e-8
    )
