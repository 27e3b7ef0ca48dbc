"""What must not change an estimate, its error or its degrees of freedom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csc_evaluation.estimation.inference import Inference, cr1, cr2
from csc_evaluation.estimation.linear import CompressedSample, weighted_least_squares
from support.regressions import compress, simulate

SEEDS = st.integers(min_value=0, max_value=10_000)


def _inferences(sample: CompressedSample) -> list[Inference]:
    fit = weighted_least_squares(sample, required=("treated",))
    return [method(fit, "treated", confidence_level=0.95) for method in (cr1, cr2)]


def _assert_same(left: list[Inference], right: list[Inference], rel: float = 1e-8) -> None:
    for one, other in zip(left, right, strict=True):
        for name in ("estimate", "std_error", "df", "ci_low", "ci_high"):
            assert getattr(other, name) == pytest.approx(getattr(one, name), rel=rel, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_order_of_rows_does_not_matter(seed: int) -> None:
    sample = simulate(seed)
    order = np.random.default_rng(seed).permutation(len(sample.n_rows))
    shuffled = replace(
        sample,
        x=sample.x[order],
        weight=sample.weight[order],
        n_rows=sample.n_rows[order],
        sum_y=sample.sum_y[order],
        cluster=sample.cluster[order],
    )
    _assert_same(_inferences(sample), _inferences(shuffled))


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_how_far_rows_are_put_together_does_not_matter(seed: int) -> None:
    sample = simulate(seed)
    _assert_same(_inferences(sample), _inferences(compress(sample)))


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, factor=st.floats(min_value=1e-4, max_value=1e4))
def test_scale_of_all_weights_does_not_matter(seed: int, factor: float) -> None:
    sample = simulate(seed)
    _assert_same(_inferences(sample), _inferences(replace(sample, weight=sample.weight * factor)))


@settings(max_examples=15, deadline=None)
@given(
    seed=SEEDS, shift=st.floats(min_value=-50, max_value=50), scale=st.floats(min_value=0.01, max_value=100)
)
def test_reference_levels_and_units_of_covariates_do_not_matter(
    seed: int, shift: float, scale: float
) -> None:
    sample = simulate(seed)
    x = sample.x.copy()
    position = {name: j for j, name in enumerate(sample.columns)}
    # Another cluster and another year as reference, age in other units from another origin.
    x[:, position["cluster1"]] = x[:, position["intercept"]] - sum(
        x[:, position[f"cluster{g}"]] for g in range(1, len(sample.cluster_names))
    )
    x[:, position["year1"]] = x[:, position["intercept"]] - sum(
        x[:, position[f"year{k}"]] for k in range(1, 4)
    )
    x[:, position["age"]] = shift + scale * x[:, position["age"]]
    _assert_same(_inferences(sample), _inferences(replace(sample, x=x)), rel=1e-7)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, scale=st.floats(min_value=0.01, max_value=1000))
def test_units_of_the_outcome_scale_estimate_and_error_alone(seed: int, scale: float) -> None:
    sample = simulate(seed, binary=False)
    plain, scaled = _inferences(sample), _inferences(replace(sample, sum_y=sample.sum_y * scale))
    for one, other in zip(plain, scaled, strict=True):
        assert other.estimate == pytest.approx(scale * one.estimate, rel=1e-8)
        assert other.std_error == pytest.approx(scale * one.std_error, rel=1e-8)
        assert other.df == pytest.approx(one.df, rel=1e-8)
        assert other.p_value == pytest.approx(one.p_value, rel=1e-6, abs=1e-12)
