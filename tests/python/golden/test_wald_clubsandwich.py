"""The joint CR2 test (HTZ) against R's clubSandwich; script and numbers: clubsandwich_wald.R and .json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csc_evaluation.estimation.inference import WaldTest, cr2_wald
from csc_evaluation.estimation.linear import LinearFit, weighted_least_squares
from support.regressions import as_sample, compress

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "clubsandwich_wald.json").read_text())


@pytest.mark.parametrize("name", PUBLISHED["regressions"])
def test_reproduces_joint_tests_of_slopes(name: str) -> None:
    published = PUBLISHED["regressions"][name]
    data = {key: np.array(column, dtype=float) for key, column in published["data"].items()}
    columns = ("intercept", "x1", "x2", "x3")
    x = np.column_stack([np.ones(len(data["y"])), data["x1"], data["x2"], data["x3"]])
    fit = weighted_least_squares(as_sample(columns, x, data["weight"], data["y"], data["cluster"]))
    _assert_agrees(fit, published["tests"])


@pytest.mark.parametrize("name", PUBLISHED["leads"])
def test_reproduces_joint_tests_of_leads_beside_dummies(name: str) -> None:
    published = PUBLISHED["leads"][name]
    data = {key: np.array(column, dtype=float) for key, column in published["data"].items()}
    unit, period = data["unit"], data["period"]
    columns = {"intercept": np.ones(len(unit))}
    columns |= {f"unit{u}": (unit == u) * 1.0 for u in np.unique(unit)[1:]}
    columns |= {f"period{p}": (period == p) * 1.0 for p in np.unique(period)[1:]}
    columns |= {name: data[name] for name in ("lead2", "lead3", "lead4")}
    rows = as_sample(tuple(columns), np.column_stack(list(columns.values())), data["weight"], data["y"], unit)
    for sample in (rows, compress(rows)):
        _assert_agrees(weighted_least_squares(sample), published["tests"])


def _assert_agrees(fit: LinearFit, tests: list[dict[str, Any]]) -> None:
    assert [len(test["restrictions"]) for test in tests][:3] == [1, 2, 3]
    for test in tests:
        found = cr2_wald(fit, test["restrictions"])
        assert isinstance(found, WaldTest)
        assert found.statistic == pytest.approx(test["f"], rel=1e-9)
        assert found.df_numerator == test["df_numerator"]
        assert found.df_denominator == pytest.approx(test["df_denominator"], rel=1e-9)
        assert found.p_value == pytest.approx(test["p_value"], rel=1e-9)
