"""Rubin's rules: exact fractions by hand, limits, and what is refused."""

from __future__ import annotations

from dataclasses import asdict, replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from csc_evaluation.estimation.inference import Inference
from csc_evaluation.estimation.pooling import pool


def inference(estimate: float, std_error: float, df: float = 12.0) -> Inference:
    half_width = float(stats.t.ppf(0.975, df)) * std_error
    statistic = estimate / std_error
    return Inference(
        "cr2_satterthwaite",
        "treated",
        estimate,
        std_error,
        statistic,
        df,
        float(2 * stats.t.sf(abs(statistic), df)),
        estimate - half_width,
        estimate + half_width,
        0.95,
    )


def test_one_set_is_given_back() -> None:
    only = inference(-0.03, 0.011, 7.25)
    pooled = pool([only])
    assert {name: getattr(pooled, name) for name in asdict(only)} == asdict(only)
    assert (pooled.n_imputations, pooled.between, pooled.fraction_missing_information) == (1, 0.0, 0.0)
    assert pooled.total == pooled.within == only.std_error**2
    assert pooled.df_complete == 7.25


def test_identical_sets_give_the_answer_of_complete_data() -> None:
    only = inference(0.1, 0.03, 7.25)
    pooled = pool([only] * 7)
    for name, value in asdict(only).items():
        expected = value if isinstance(value, str) else pytest.approx(value, rel=1e-12)
        assert getattr(pooled, name) == expected, name
    assert pooled.between == pooled.relative_increase == pooled.fraction_missing_information == 0.0


def test_rules_in_exact_fractions() -> None:
    # Q = 1, 2, 6 and U = 4, 4, 1 with 10, 11 and 12 degrees of freedom.
    m, mean, within, v = 3, Fraction(3), Fraction(3), Fraction(11)
    between = Fraction(4 + 1 + 9, 2)
    total = within + (1 + Fraction(1, m)) * between
    share = (1 + Fraction(1, m)) * between / total
    v_old, v_observed = (m - 1) / share**2, (v + 1) / (v + 3) * v * (1 - share)
    df = v_old * v_observed / (v_old + v_observed)
    pooled = pool([inference(1, 2, 10), inference(2, 2, 11), inference(6, 1, 12)])
    assert pooled.estimate == pytest.approx(float(mean))
    assert pooled.within == pytest.approx(float(within))
    assert pooled.between == pytest.approx(float(between))
    assert pooled.total == pooled.std_error**2 == pytest.approx(float(total))
    assert pooled.df_complete == 11
    assert pooled.df == pytest.approx(float(df))
    increase = (1 + Fraction(1, m)) * between / within
    assert pooled.relative_increase == pytest.approx(float(increase))
    assert pooled.fraction_missing_information == pytest.approx(
        float((increase + 2 / (df + 3)) / (increase + 1))
    )
    half_width = stats.t.ppf(0.975, float(df)) * float(total) ** 0.5
    assert (pooled.ci_low, pooled.ci_high) == pytest.approx((3 - half_width, 3 + half_width))


def test_p_is_that_of_the_pooled_statistic_not_a_mean() -> None:
    rows = [inference(-0.06, 0.02), inference(0.05, 0.02), inference(0.01, 0.02)]
    pooled = pool(rows)
    assert pooled.p_value == pytest.approx(2 * stats.t.sf(abs(pooled.statistic), pooled.df))
    assert pooled.p_value > 0.9 > float(np.mean([row.p_value for row in rows])) + 0.2


def test_degrees_of_freedom_stay_below_those_of_complete_data_and_fall_with_disagreement() -> None:
    dfs = [pool([inference(0, 1), inference(gap, 1), inference(-gap, 1)]).df for gap in (0.01, 0.5, 1, 3)]
    assert dfs[0] < 12
    assert dfs == sorted(dfs, reverse=True)


def test_infinite_complete_degrees_of_freedom_give_rubin_1987() -> None:
    rows = [replace(inference(value, 1.0), df=float("inf")) for value in (0.0, 1.0, 2.0)]
    assert pool(rows).df == pytest.approx(2 / ((4 / 3) / (7 / 3)) ** 2)


def test_an_undefined_error_stays_undefined() -> None:
    pooled = pool([inference(1.0, 1.0), replace(inference(2.0, 1.0), std_error=float("nan"))])
    assert pooled.estimate == 1.5
    assert np.isnan([pooled.std_error, pooled.p_value, pooled.ci_low]).all()


@pytest.mark.parametrize("changed", [{"method": "cr1_t"}, {"term": "age"}, {"confidence_level": 0.9}])
def test_refuses_unlike_sets(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"differ in {next(iter(changed))}"):
        pool([inference(1, 1), replace(inference(1, 1), **changed)])  # type: ignore[arg-type]


def test_refuses_no_set() -> None:
    with pytest.raises(ValueError, match="no inference"):
        pool([])
