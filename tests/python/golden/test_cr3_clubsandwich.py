"""CR3 against R: clubSandwich's CR3 and lm refitted without each cluster (script and source beside the JSON file)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csc_evaluation.estimation.jackknife import cr3, leave_one_out
from csc_evaluation.estimation.linear import weighted_least_squares
from support.regressions import as_sample

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "cluster_jackknife.json").read_text())


@pytest.mark.parametrize("example", PUBLISHED["examples"], ids=["slope", "cluster dummies"])
def test_reproduces_estimates_without_each_cluster_and_cr3(example: dict[str, Any]) -> None:
    rows = {name: np.array(values) for name, values in example["data"].items()}
    columns = {"one": np.ones(len(rows["y"]))}
    if example["with_dummies"]:
        columns |= {f"cluster{g}": rows["cluster"] == g for g in np.unique(rows["cluster"])[1:]}
    columns["x"] = rows["x"]
    sample = as_sample(
        tuple(columns), np.column_stack(list(columns.values())), rows["weight"], rows["y"], rows["cluster"]
    )
    fit = weighted_least_squares(sample, required=("x",))
    assert fit.coefficient("x") == pytest.approx(example["estimate"], rel=1e-10)
    assert list(leave_one_out(fit, "x").values()) == pytest.approx(example["without"], rel=1e-10)
    variance = cr3(fit, "x", confidence_level=0.95).std_error ** 2
    n_clusters = len(example["without"])
    changes = np.array(example["without"]) - example["estimate"]
    assert variance == pytest.approx((n_clusters - 1) / n_clusters * (changes @ changes), rel=1e-9)
    if example["variance_cr3"] is not None:
        # clubSandwich leaves the factor (G-1)/G out.
        assert variance == pytest.approx((n_clusters - 1) / n_clusters * example["variance_cr3"], rel=1e-9)
