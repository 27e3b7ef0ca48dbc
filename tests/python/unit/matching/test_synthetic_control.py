"""Weights of a synthetic control against a direct minimisation of the same distance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from csc_evaluation.errors import CscError, MissingQuarterError
from csc_evaluation.matching.synthetic_control import synthetic_control_weights

QUARTERS = pd.date_range("2017-04-01", periods=7, freq="QS")


def _series(seed: int = 1, n_candidates: int = 10) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        [
            (code, quarter, 0.1 + rng.normal(0, 0.02))
            for code in ["335", *(str(202 + number) for number in range(n_candidates))]
            for quarter in QUARTERS
        ],
        columns=["la_code", "quarter_start", "mean_value"],
    )


def _distance(series: pd.DataFrame, weights: dict[str, float]) -> float:
    wide = series.pivot(index="quarter_start", columns="la_code", values="mean_value")
    scaled = wide.div(wide.std(axis=1, ddof=1), axis=0)
    gap = scaled["335"] - sum(scaled[code] * weight for code, weight in weights.items())
    return float((gap**2).sum())


def test_no_other_weights_come_closer() -> None:
    series = _series()
    weights = synthetic_control_weights(series, "335")
    assert list(weights) == sorted(set(series.la_code) - {"335"})
    assert sum(weights.values()) == pytest.approx(1, abs=1e-12)
    assert min(weights.values()) == 0.0  # comparators that do not contribute weigh exactly nothing
    codes = list(weights)
    best = minimize(
        lambda shares: _distance(series, dict(zip(codes, shares, strict=True))),
        np.full(len(codes), 1 / len(codes)),
        bounds=[(0, 1)] * len(codes),
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert _distance(series, weights) <= best.fun + 1e-8
    assert weights == pytest.approx(dict(zip(codes, best.x, strict=True)), abs=1e-3)


def test_finds_the_mixture_that_made_the_treated_series() -> None:
    series = _series(seed=4)
    wide = series.pivot(index="quarter_start", columns="la_code", values="mean_value")
    mixture = 0.6 * wide["203"] + 0.4 * wide["207"]
    is_treated = series.la_code == "335"
    series.loc[is_treated, "mean_value"] = series.quarter_start[is_treated].map(mixture)
    weights = synthetic_control_weights(series, "335")
    assert weights["203"] == pytest.approx(0.6, abs=1e-8)
    assert weights["207"] == pytest.approx(0.4, abs=1e-8)
    assert {code for code, weight in weights.items() if weight} == {"203", "207"}


def test_order_of_rows_changes_no_digit() -> None:
    series = _series(seed=2)
    shuffled = series.sample(frac=1, random_state=5)
    assert synthetic_control_weights(series, "335") == synthetic_control_weights(shuffled, "335")


def test_one_candidate_and_constant_series() -> None:
    assert synthetic_control_weights(_series(n_candidates=1), "335") == {"202": 1.0}
    constant = _series(n_candidates=2).assign(mean_value=0.1)
    assert synthetic_control_weights(constant, "335") == {"202": 0.5, "203": 0.5}


def test_refuses_series_it_cannot_match() -> None:
    series = _series(n_candidates=3)
    with pytest.raises(CscError, match="hold no authority 888"):
        synthetic_control_weights(series, "888")
    with pytest.raises(CscError, match="335 has no candidate"):
        synthetic_control_weights(series[series.la_code == "335"], "335")
    gap = series[(series.la_code != "203") | (series.quarter_start != QUARTERS[2])]
    with pytest.raises(MissingQuarterError, match="a quarter is missing for 203"):
        synthetic_control_weights(gap, "335")
    with pytest.raises(MissingQuarterError, match="there are 1 quarters"):
        synthetic_control_weights(series[series.quarter_start == QUARTERS[0]], "335")
