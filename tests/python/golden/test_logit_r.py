"""Logistic and conditional logit against R: glm with sandwich, and survival's exact clogit (script beside the JSON file)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csc_evaluation.estimation import conditional_logit, logistic
from support.regressions import as_sample

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "logit.json").read_text())
ROWS = {name: np.array(values) for name, values in PUBLISHED["data"].items()}


def test_reproduces_glm_and_its_clustered_errors() -> None:
    x = np.column_stack([np.ones(len(ROWS["y"])), ROWS["x"], ROWS["z"]])
    sample = as_sample(("one", "x", "z"), x, ROWS["weight"], ROWS["y"], ROWS["cluster"])
    fit = logistic.logistic_regression(sample)
    errors = [logistic.cr1(fit, name, confidence_level=0.95).std_error for name in fit.columns]
    assert list(fit.coefficients) == pytest.approx(PUBLISHED["logistic"]["coefficients"], rel=1e-8)
    assert errors == pytest.approx(PUBLISHED["logistic"]["std_errors_cr1"], rel=1e-8)


def test_reproduces_exact_clogit() -> None:
    x = np.column_stack([ROWS["x"], ROWS["z"]])
    sample = as_sample(("x", "z"), x, np.ones(len(x)), ROWS["y"], ROWS["cluster"])
    fit = conditional_logit.conditional_logit(sample)
    published = PUBLISHED["conditional"]
    errors = [
        conditional_logit.model_based(fit, name, confidence_level=0.95).std_error for name in fit.columns
    ]
    assert list(fit.coefficients) == pytest.approx(published["coefficients"], rel=1e-8)
    assert errors == pytest.approx(published["std_errors"], rel=1e-8)
    assert fit.log_likelihood == pytest.approx(published["log_likelihood"], rel=1e-10)
