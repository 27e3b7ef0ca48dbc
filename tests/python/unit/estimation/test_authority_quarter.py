"""Authority-quarter FGLS: step 1 is a dummy regression, step 2 is GLS, and Hansen's correction takes bias away."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.authority_quarter import (
    LARGEST_ROOT,
    authority_quarter_fgls,
    authority_quarter_panel,
    hansen_autoregression,
    panel_regressors,
    prais_winsten,
    stationary_covariance,
)
from csc_evaluation.estimation.linear import NotIdentifiedError
from csc_evaluation.estimation.serial_correlation import quarter_number

from .test_sample import LIVE_FROM, children, compressed

EFFECT = -2.0


def errors(rng: np.random.Generator, rho: tuple[float, ...], n_series: int, n: int) -> np.ndarray:
    """Stationary series, by recursion from far before (not by the covariance under test)."""
    burn, order = 200, len(rho)
    noise = rng.normal(size=(n_series, burn + n))
    values = np.zeros_like(noise)
    for t in range(order, burn + n):
        values[:, t] = noise[:, t] + sum(rho[j] * values[:, t - 1 - j] for j in range(order))
    return values[:, burn:]


def quarter(number: int) -> dt.date:
    return dt.date(2017 + number // 4, 3 * (number % 4) + 1, 1)


def panel(
    seed: int, rho: tuple[float, ...], *, n_authorities: int = 20, n_quarters: int = 16, gaps: bool = False
) -> pd.DataFrame:
    """Authorities of which every second goes live, one after the other, with the go-live quarter not there if ``gaps``."""
    rng = np.random.default_rng(seed)
    error = errors(rng, rho, n_authorities, n_quarters)
    own, common = rng.normal(size=n_authorities) * 3, rng.normal(size=n_quarters) * 2
    rows = []
    for g in range(n_authorities):
        go_live = n_quarters // 3 + g // 2 % (n_quarters // 3) if g % 2 == 0 else n_quarters + 9
        for t in range(n_quarters):
            if gaps and t == go_live:
                continue
            treated = float(t >= go_live)
            effect = own[g] + common[t] + EFFECT * treated + error[g, t]
            rows.append((f"{800 + g}", quarter(t), effect, treated, 50))
    return pd.DataFrame(rows, columns=["la_code", "quarter_start", "effect", "treated", "n"])


# -- step 1 ----------------------------------------------------------------------------------------------------


def test_effects_are_those_of_a_dense_regression_on_dummies() -> None:
    frame = children()
    sample = compressed(frame)
    found = authority_quarter_panel(sample)

    is_live_share = frame.groupby(["la_code", "quarter_start"]).is_treated.transform("mean")
    rows = frame[is_live_share.isin([0.0, 1.0])].reset_index(drop=True)
    unit = rows.la_code + " " + rows.quarter_start.astype(str)
    dummies = pd.get_dummies(unit, dtype=float)
    mean_age = np.average(frame.age_at_index, weights=frame.weight)
    x = dummies.assign(
        gender_2=(rows.gender == "2").astype(float),
        gender_missing=rows.gender.isna().astype(float),
        age=rows.age_at_index - mean_age,
        disabled=rows.is_disabled.astype(float),
    )
    dense = sm.WLS(rows.outcome_value, x, weights=rows.weight).fit()
    key = found.la_code + " " + found.quarter_start.astype(str)
    assert list(key) == list(dummies.columns)
    np.testing.assert_allclose(found.effect, dense.params[key], rtol=1e-8, atol=1e-8)
    assert found.n.sum() == len(rows)
    np.testing.assert_array_equal(found.treated, rows.is_treated.groupby(unit).first()[key].astype(float))


def test_the_go_live_quarter_is_left_out_and_does_not_move_the_others() -> None:
    frame = children()
    found = authority_quarter_panel(compressed(frame))
    seen = set(zip(found.la_code, found.quarter_start.astype(str), strict=True))
    every = set(zip(frame.la_code, frame.quarter_start.astype(str), strict=True))
    assert every - seen == {("306", "2019-10-01"), ("315", "2020-04-01")}
    assert found.treated.isin([0.0, 1.0]).all()

    is_go_live = pd.Series(False, index=frame.index)
    for code, day in LIVE_FROM.items():
        start = dt.date(day.year, 3 * ((day.month - 1) // 3) + 1, 1)
        is_go_live |= (frame.la_code == code) & (frame.quarter_start == start)
    shaken = frame.assign(outcome_value=frame.outcome_value + 1000 * is_go_live * (1 + frame.age_at_index))
    other = authority_quarter_panel(compressed(shaken))
    np.testing.assert_allclose(other.effect, found.effect, rtol=1e-10)


def test_without_any_quarter_but_go_live_it_says_so() -> None:
    frame = children()
    only = frame[(frame.la_code == "306") & (frame.quarter_start == dt.date(2019, 10, 1))]
    with pytest.raises(CscError, match="no quarter is left"):
        authority_quarter_panel(compressed(only))


def test_both_steps_recover_an_effect_planted_among_children() -> None:
    frame = children(seed=9, n=20_000)
    found = authority_quarter_fgls(authority_quarter_panel(compressed(frame)), order=2, confidence_level=0.95)
    # The 9 points of noise per child, on the children of two authorities, leave an error of about 0.4.
    assert found.inference.estimate == pytest.approx(-3, abs=1.2)


# -- step 2 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [(0.6,), (0.5, 0.2), (0.3, -0.4), (0.4, 0.1, 0.2)])
def test_prais_winsten_is_the_filter_after_the_first_rows_and_stationary_in_them(
    rho: tuple[float, ...],
) -> None:
    values = np.random.default_rng(1).normal(size=(12, 3))
    order = len(rho)
    found = prais_winsten(rho, range(12), values)
    for t in range(order, 12):
        wanted = values[t] - sum(rho[j] * values[t - 1 - j] for j in range(order))
        np.testing.assert_allclose(found[t], wanted, atol=1e-10)
    if order == 1:
        np.testing.assert_allclose(found[0], np.sqrt(1 - rho[0] ** 2) * values[0], atol=1e-12)


@pytest.mark.parametrize("rho", [(0.6,), (0.5, 0.2), (0.3, -0.4)])
def test_covariance_is_that_of_the_moving_average_written_out(rho: tuple[float, ...]) -> None:
    weights = np.zeros(800)
    weights[0] = 1.0
    for t in range(1, 800):
        weights[t] = sum(rho[j] * weights[t - 1 - j] for j in range(len(rho)) if t - 1 - j >= 0)
    at = [0, 1, 2, 5, 6, 11]
    wanted = [[weights[: 800 - abs(a - b)] @ weights[abs(a - b) :] for b in at] for a in at]
    np.testing.assert_allclose(stationary_covariance(rho, at), wanted, atol=1e-10)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(("rho", "order"), [((0.5,), 1), ((0.4, 0.2), 2)])
def test_estimates_are_gls_with_the_dense_covariance(rho: tuple[float, ...], order: int, gaps: bool) -> None:
    frame = panel(3, rho, gaps=gaps)
    found = authority_quarter_fgls(frame, order=order, confidence_level=0.95)
    columns, x = panel_regressors(frame)
    period, code = quarter_number(frame.quarter_start), frame.la_code.to_numpy()
    estimated = found.autoregression.rho
    covariance = stationary_covariance(estimated, period) * (code[:, None] == code[None, :])
    dense = sm.GLS(frame.effect.to_numpy(), x, sigma=covariance).fit()
    for name, wanted in zip(columns, dense.params, strict=True):
        assert found.coefficients[name] == pytest.approx(wanted, rel=1e-8, abs=1e-8)

    # CR1 written out on the rows that GLS sees.
    inverse = np.linalg.inv(covariance)
    bread = np.linalg.inv(x.T @ inverse @ x)
    residual = frame.effect.to_numpy() - x @ dense.params
    scores = np.array(
        [
            x[code == g].T @ inverse[np.ix_(code == g, code == g)] @ residual[code == g]
            for g in np.unique(code)
        ]
    )
    n, k, n_authorities = len(frame), len(columns), len(scores)
    variance = bread @ scores.T @ scores @ bread * n_authorities / (n_authorities - 1) * (n - 1) / (n - k)
    assert found.inference.std_error == pytest.approx(np.sqrt(variance[-1, -1]), rel=1e-8)
    assert found.inference.df == n_authorities - 1
    assert (found.n_rows, found.n_authorities, found.n_quarters) == (n, 20, 16)


def test_first_order_is_glsar_of_statsmodels_but_for_the_first_quarter() -> None:
    """GLSAR leaves the first row out: the rows after it are the same."""
    values = np.random.default_rng(4).normal(size=(20, 2))
    theirs = sm.GLSAR(values[:, 0], values, rho=np.array([0.55]))
    np.testing.assert_allclose(
        prais_winsten([0.55], range(20), values)[1:], theirs.whiten(values), atol=1e-12
    )


def test_order_of_the_rows_does_not_matter() -> None:
    frame = panel(5, (0.4, 0.2), gaps=True)
    one = authority_quarter_fgls(frame, order=2, confidence_level=0.95)
    other = authority_quarter_fgls(frame.sample(frac=1, random_state=1), order=2, confidence_level=0.95)
    assert one == other


def test_truth_is_recovered_on_average_and_intervals_hold_it() -> None:
    found = [
        authority_quarter_fgls(panel(seed, (0.4, 0.2), gaps=True), order=2, confidence_level=0.95).inference
        for seed in range(80)
    ]
    estimates = np.array([row.estimate for row in found])
    assert abs(estimates.mean() - EFFECT) < 3 * estimates.std(ddof=1) / np.sqrt(80)
    assert 0.85 <= np.mean([row.ci_low <= EFFECT <= row.ci_high for row in found]) <= 1.0


# -- Hansen's correction ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [(0.6,), (0.4, 0.2)])
@pytest.mark.parametrize("is_unbalanced", [False, True])
def test_hansens_correction_takes_away_most_of_the_bias_of_short_series(
    rho: tuple[float, ...], is_unbalanced: bool
) -> None:
    rng = np.random.default_rng(12)
    plain, corrected = [], []
    for _ in range(60):
        error = errors(rng, rho, 60, 12)
        cluster, period = np.repeat(np.arange(60), 12), np.tile(np.arange(12), 60)
        values = error.ravel()
        if is_unbalanced:
            # A third starts late, a third has a gap.
            keep = ~((cluster % 3 == 0) & (period < 4)) & ~((cluster % 3 == 1) & (period == 7))
            cluster, period, values = cluster[keep], period[keep], values[keep]
        means = np.bincount(cluster, values) / np.bincount(cluster)
        found = hansen_autoregression(values - means[cluster], cluster, period, order=len(rho))
        plain.append(found.rho_uncorrected)
        corrected.append(found.rho)
    bias = [np.abs(np.mean(rows, axis=0) - rho).max() for rows in (plain, corrected)]
    assert bias[0] > 0.08
    assert bias[1] < bias[0] / 3


def test_an_autoregression_beyond_the_boundary_is_shrunk_and_flagged() -> None:
    walk = np.cumsum(np.random.default_rng(3).normal(size=(30, 8)), axis=1) * np.linspace(1, 3, 8)
    residuals = (walk - walk.mean(axis=1, keepdims=True)).ravel()
    found = hansen_autoregression(residuals, np.repeat(np.arange(30), 8), np.tile(np.arange(8), 30), order=1)
    assert found.is_shrunk
    assert found.rho == (pytest.approx(LARGEST_ROOT),)
    calm = hansen_autoregression(
        np.random.default_rng(3).normal(size=240),
        np.repeat(np.arange(30), 8),
        np.tile(np.arange(8), 30),
        order=1,
    )
    assert not calm.is_shrunk


def test_what_cannot_be_estimated_is_said_in_words() -> None:
    short = panel(1, (0.4,), n_quarters=3)
    short["treated"] = ((short.la_code.astype(int) % 2 == 0) & (short.quarter_start >= quarter(1))).astype(
        float
    )
    with pytest.raises(CscError, match="order 2 cannot be estimated"):
        authority_quarter_fgls(short, order=2, confidence_level=0.95)
    frame = panel(1, (0.4,))
    with pytest.raises(NotIdentifiedError):
        authority_quarter_fgls(frame.assign(treated=0.0), order=2, confidence_level=0.95)
    with pytest.raises(CscError, match="order of at least 1"):
        authority_quarter_fgls(frame, order=0, confidence_level=0.95)
    with pytest.raises(CscError, match="more than once"):
        authority_quarter_fgls(pd.concat([frame, frame]), order=1, confidence_level=0.95)


def test_an_authority_of_a_single_quarter_is_named_and_not_counted() -> None:
    frame = panel(2, (0.4,))
    lone = frame.iloc[[0]].assign(la_code="999")
    with_lone = authority_quarter_fgls(pd.concat([frame, lone]), order=1, confidence_level=0.95)
    without = authority_quarter_fgls(frame, order=1, confidence_level=0.95)
    assert with_lone.left_out == ("999",)
    assert dataclasses.replace(with_lone, left_out=()) == without
