"""CR2 and Satterthwaite degrees of freedom against numbers computed by R's clubSandwich (source in the JSON file)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csc_evaluation.estimation.inference import cr2
from csc_evaluation.estimation.linear import LinearFit, weighted_least_squares
from support.regressions import as_sample

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "clubsandwich_cr2.json").read_text())


def test_reproduces_did_with_dummies_and_weights() -> None:
    _assert_did_agrees(PUBLISHED["weighted_did_with_unit_and_period_dummies"])


def test_reproduces_did_with_dummies_without_weights() -> None:
    _assert_did_agrees(PUBLISHED["unweighted_did_with_unit_and_period_dummies"])


@pytest.mark.parametrize("name", ["weighted_balanced_clusters", "weighted_singletons_present"])
def test_reproduces_weighted_regression(name: str) -> None:
    published = PUBLISHED[name]
    x = np.column_stack([np.ones(len(published["y"])), published["x"], published["z"]])
    sample = as_sample(
        ("intercept", "x", "z"),
        x,
        np.array(published["weights"]),
        np.array(published["y"]),
        np.array(published["cluster"]),
    )
    fit = weighted_least_squares(sample)
    for term, coef, se, df in zip(
        published["terms"], published["coef"], published["se_cr2"], published["df_satterthwaite"], strict=True
    ):
        _assert_agrees(fit, term, coef, se, df)


def _assert_did_agrees(published: dict[str, Any]) -> None:
    unit, period = np.repeat(np.arange(1, 9), 4), np.tile(np.arange(1, 5), 8)
    columns = {"intercept": np.ones(32)}
    columns |= {f"unit{u}": (unit == u).astype(float) for u in range(2, 9)}
    columns |= {f"period{p}": (period == p).astype(float) for p in range(2, 5)}
    columns["treat_post"] = ((unit >= 5) & (period >= 2)).astype(float)
    weight = np.array(published["unit_weights"])[unit - 1]
    sample = as_sample(
        tuple(columns), np.column_stack(list(columns.values())), weight, np.array(published["y"]), unit
    )
    fit = weighted_least_squares(sample, required=("treat_post",))
    for term, coef, variance, df in zip(
        published["terms"],
        published["coef"],
        published["variance_cr2"],
        published["df_satterthwaite"],
        strict=True,
    ):
        _assert_agrees(fit, term, coef, None if variance is None else variance**0.5, df)


def _assert_agrees(fit: LinearFit, term: str, coef: float, se: float | None, df: float) -> None:
    found = cr2(fit, term, confidence_level=0.95)
    assert found.estimate == pytest.approx(coef, rel=1e-10)
    assert found.df == pytest.approx(df, rel=1e-10)
    if se is not None:
        assert found.std_error == pytest.approx(se, rel=1e-10)
