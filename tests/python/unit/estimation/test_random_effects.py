"""Weighted random-effects GLS agrees with linearmodels, and its limits are pooled and within least squares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from linearmodels import RandomEffects

from csc_evaluation.estimation.inference import cr1, cr2
from csc_evaluation.estimation.linear import CompressedSample, NotIdentifiedError, weighted_least_squares
from csc_evaluation.estimation.moments import least_squares_of_moments, moments_of_rows, unit_sums_of_rows
from csc_evaluation.estimation.random_effects import random_effects_gls, swamy_arora

from .test_moments import panel


def of_linearmodels(sample: CompressedSample, unit: np.ndarray):  # type: ignore[no-untyped-def]
    index = pd.MultiIndex.from_arrays([unit, np.arange(len(unit))])
    x = pd.DataFrame(sample.x, columns=list(sample.columns), index=index)
    y = pd.Series(sample.sum_y, index=index, name="y")
    weights = pd.Series(sample.weight, index=index, name="w")
    model = RandomEffects(y, x, weights=weights, check_rank=False)
    return model.fit(
        cov_type="clustered",
        clusters=pd.Series(sample.cluster, index=index),
        debiased=True,
        group_debias=True,
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_agrees_with_linearmodels(seed: int) -> None:
    sample, unit = panel(seed)
    theirs = of_linearmodels(sample, unit)
    ours = random_effects_gls(moments_of_rows(sample), unit_sums_of_rows(sample, unit), required=("treated",))
    assert ours.components.sigma2_e == pytest.approx(theirs.variance_decomposition["Residual"], rel=1e-8)
    assert ours.components.sigma2_u == pytest.approx(theirs.variance_decomposition["Effects"], rel=1e-8)
    for name in sample.columns:
        assert ours.fit.coefficient(name) == pytest.approx(theirs.params[name], rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cr1_agrees_with_linearmodels_up_to_its_named_factor(seed: int) -> None:
    sample, unit = panel(seed)
    theirs = of_linearmodels(sample, unit)
    ours = random_effects_gls(moments_of_rows(sample), unit_sums_of_rows(sample, unit), required=("treated",))
    n, k = len(unit), len(sample.columns)
    # linearmodels with both debiasings: G/(G-1) x (N-1)/N x N/(N-K), which is the CR1 factor.
    error = cr1(ours.fit, "treated", confidence_level=0.95).std_error
    assert n > k
    assert error == pytest.approx(theirs.std_errors["treated"], rel=1e-8)


def test_inference_is_that_of_the_quasi_demeaned_rows() -> None:
    sample, unit = panel(4)
    ours = random_effects_gls(moments_of_rows(sample), unit_sums_of_rows(sample, unit), required=("treated",))
    theta = ours.components.theta
    mass = np.bincount(unit, weights=sample.weight)

    def demeaned(values: np.ndarray) -> np.ndarray:
        return values - (theta * np.bincount(unit, weights=sample.weight * values) / mass)[unit]

    rows = CompressedSample(
        **{
            **vars(sample),
            "x": np.column_stack([demeaned(column) for column in sample.x.T]),
            "sum_y": demeaned(sample.sum_y),
        }
    )
    dense = weighted_least_squares(rows, required=("treated",))
    for method in (cr1, cr2):
        one, other = (method(fit, "treated", confidence_level=0.95) for fit in (ours.fit, dense))
        assert one.std_error == pytest.approx(other.std_error, rel=1e-8)
        assert one.df == pytest.approx(other.df, rel=1e-8)


def test_without_variance_between_units_it_is_weighted_least_squares() -> None:
    sample, unit = panel(6)
    rng = np.random.default_rng(0)
    # Units alike: the outcome is noise whose unit means are all but equal.
    noise = rng.normal(size=len(unit))
    noise -= (np.bincount(unit, weights=sample.weight * noise) / np.bincount(unit, weights=sample.weight))[
        unit
    ]
    alike = CompressedSample(**{**vars(sample), "sum_y": noise})
    found = random_effects_gls(moments_of_rows(alike), unit_sums_of_rows(alike, unit))
    pooled = least_squares_of_moments(moments_of_rows(alike))
    assert found.components.sigma2_u == 0.0
    assert found.fit.coefficient("treated") == pytest.approx(pooled.coefficient("treated"), abs=1e-12)


def test_more_variance_between_units_takes_more_of_their_mean_out() -> None:
    sample, unit = panel(8)
    rng = np.random.default_rng(1)
    shaken = CompressedSample(
        **{**vars(sample), "sum_y": sample.sum_y + 5 * rng.normal(size=unit.max() + 1)[unit]}
    )
    calm, wild = (
        swamy_arora(moments_of_rows(rows), unit_sums_of_rows(rows, unit)) for rows in (sample, shaken)
    )
    assert wild.sigma2_u > calm.sigma2_u
    assert wild.theta.mean() > calm.theta.mean()
    assert 0 <= wild.intraclass_correlation <= 1


def test_too_few_units_are_refused_in_words() -> None:
    sample, _ = panel(10)
    with pytest.raises(NotIdentifiedError, match="between units"):
        swamy_arora(moments_of_rows(sample), unit_sums_of_rows(sample, sample.cluster))
