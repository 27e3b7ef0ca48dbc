"""Rubin's rules against R's mice and Hochberg's adjustment against R's p.adjust: rubin_hochberg.R and .json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from csc_evaluation.estimation.inference import Inference
from csc_evaluation.estimation.multiplicity import hochberg
from csc_evaluation.estimation.pooling import pool

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "rubin_hochberg.json").read_text())
POOLED = (
    "estimate",
    "within",
    "between",
    "total",
    "df",
    "relative_increase",
    "fraction_missing_information",
    "p_value",
)


@pytest.mark.parametrize("case", PUBLISHED["rubin"])
def test_pools_as_mice_does(case: dict[str, list[float]]) -> None:
    nan = float("nan")
    pooled = pool(
        [
            Inference("cr1_t", "treated", estimate, error, nan, case["df_complete"][0], nan, nan, nan, 0.95)
            for estimate, error in zip(case["estimates"], case["std_errors"], strict=True)
        ]
    )
    for name in POOLED:
        assert getattr(pooled, name) == pytest.approx(case[name][0], rel=1e-10), name


@pytest.mark.parametrize("case", PUBLISHED["hochberg"])
def test_adjusts_as_r_does(case: dict[str, list[float]]) -> None:
    names = [f"outcome {i}" for i in range(len(case["p"]))]
    adjusted = hochberg(dict(zip(names, case["p"], strict=True)))
    assert list(adjusted) == names
    assert list(adjusted.values()) == pytest.approx(case["adjusted"], rel=1e-12, abs=0)
