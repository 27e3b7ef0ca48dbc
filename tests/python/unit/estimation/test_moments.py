"""Moments say the same as the rows behind them: coefficients, CR1, CR2 and quasi-demeaning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csc_evaluation.estimation.inference import cr1, cr2, cr2_wald
from csc_evaluation.estimation.linear import CompressedSample, NotIdentifiedError, weighted_least_squares
from csc_evaluation.estimation.moments import (
    ClusterMoments,
    least_squares_of_moments,
    moments_of_rows,
    quasi_demeaned,
    residual_sum_of_squares,
    unit_sums_of_rows,
)


def panel(
    seed: int, *, n_clusters: int = 6, n_units: int = 5, n_rows: int = 400
) -> tuple[CompressedSample, np.ndarray]:
    """Rows in units within clusters of unequal size, weights 1 among the treated, dummies and a number far from zero."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(n_clusters, 1.5))
    cluster = np.concatenate(
        [
            np.arange(n_clusters).repeat(n_units),
            rng.choice(n_clusters, n_rows - n_clusters * n_units, p=share),
        ]
    )
    period = np.concatenate(
        [np.tile(np.arange(n_units), n_clusters), rng.integers(0, n_units, n_rows - n_clusters * n_units)]
    )
    level = rng.integers(0, 4, n_rows)
    is_live = ((cluster < n_clusters // 2) & (period >= 2 + cluster % 2)).astype(float)
    unit = cluster * n_units + period
    share_of_authority = 30 + cluster + 0.01 * rng.normal(size=n_clusters * n_units)[unit]
    columns = {"one": np.ones(n_rows)}
    columns |= {f"cluster={g}": (cluster == g).astype(float) for g in range(1, n_clusters)}
    columns |= {f"period={t}": (period == t).astype(float) for t in range(1, n_units)}
    columns |= {f"level={k}": (level == k).astype(float) for k in range(1, 4)}
    columns |= {"share": share_of_authority - share_of_authority.mean(), "treated": is_live}
    weight = np.where(cluster < n_clusters // 2, 1.0, rng.choice([0.4, 1.0, 2.5, 3.0], n_rows))
    y = (
        0.2 * level
        + 0.5 * cluster
        + rng.normal(size=n_clusters * n_units)[unit] * 0.3
        - 0.4 * is_live
        + rng.normal(size=n_rows)
    )
    sample = CompressedSample(
        columns=tuple(columns),
        x=np.column_stack(list(columns.values())),
        weight=weight,
        n_rows=np.ones(n_rows, dtype=np.int64),
        sum_y=y,
        cluster=cluster,
        cluster_names=tuple("abcdefghijkl"[:n_clusters]),
    )
    return sample, unit


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_moments_give_what_the_rows_give(seed: int) -> None:
    sample, _ = panel(seed)
    by_rows = weighted_least_squares(sample, required=("treated",))
    by_moments = least_squares_of_moments(moments_of_rows(sample), required=("treated",))
    assert by_moments.columns == by_rows.columns
    np.testing.assert_allclose(by_moments.coefficients, by_rows.coefficients, rtol=1e-9, atol=1e-9)
    for method in (cr1, cr2):
        one, other = (method(fit, "treated", confidence_level=0.95) for fit in (by_moments, by_rows))
        assert one.std_error == pytest.approx(other.std_error, rel=1e-9)
        assert one.df == pytest.approx(other.df, rel=1e-9)


def test_a_joint_test_is_the_same_from_moments() -> None:
    sample, _ = panel(3)
    tests = [
        cr2_wald(fit, ["level=1", "level=2"])
        for fit in (weighted_least_squares(sample), least_squares_of_moments(moments_of_rows(sample)))
    ]
    assert tests[0].p_value == pytest.approx(tests[1].p_value, rel=1e-9)


def test_the_scale_of_the_weights_does_not_matter() -> None:
    sample, _ = panel(5)
    scaled = CompressedSample(**{**vars(sample), "weight": sample.weight * 137.0})
    one, other = (
        cr2(least_squares_of_moments(moments_of_rows(rows)), "treated", confidence_level=0.95)
        for rows in (sample, scaled)
    )
    assert other.std_error == pytest.approx(one.std_error, rel=1e-10)
    assert other.estimate == pytest.approx(one.estimate, rel=1e-10)


@pytest.mark.parametrize("share", [0.0, 0.37, 1.0])
def test_quasi_demeaned_moments_are_those_of_quasi_demeaned_rows(share: float) -> None:
    sample, unit = panel(11)
    theta = (
        np.full(unit.max() + 1, share) * np.linspace(0.5, 1.0, unit.max() + 1)
        if share < 1
        else np.ones(unit.max() + 1)
    )
    found = quasi_demeaned(moments_of_rows(sample), unit_sums_of_rows(sample, unit), theta)
    mass = np.bincount(unit, weights=sample.weight)
    mean_x = np.column_stack(
        [np.bincount(unit, weights=sample.weight * column) / mass for column in sample.x.T]
    )
    mean_y = np.bincount(unit, weights=sample.weight * sample.sum_y) / mass
    rows = CompressedSample(
        **{
            **vars(sample),
            "x": sample.x - (theta[:, None] * mean_x)[unit],
            "sum_y": sample.sum_y - (theta * mean_y)[unit],
        }
    )
    wanted = moments_of_rows(rows)
    for name in ("xx", "xwx", "xwwx", "xy", "xwy", "ywy"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(wanted, name), rtol=1e-9, atol=1e-8, err_msg=name
        )


def test_residual_sum_of_squares_is_that_of_the_rows() -> None:
    sample, _ = panel(2)
    moments = moments_of_rows(sample)
    fit = least_squares_of_moments(moments)
    at = [sample.columns.index(name) for name in fit.columns]
    residuals = sample.sum_y - sample.x[:, at] @ fit.coefficients
    wanted = float(sample.weight @ residuals**2)
    assert residual_sum_of_squares(moments, fit.coefficients, fit.columns) == pytest.approx(wanted, rel=1e-9)


def test_a_collinear_column_goes_and_a_required_one_stops() -> None:
    sample, _ = panel(7)
    doubled = CompressedSample(
        **{
            **vars(sample),
            "columns": (*sample.columns, "again"),
            "x": np.column_stack([sample.x, sample.x[:, -1]]),
        }
    )
    moments = moments_of_rows(doubled)
    assert least_squares_of_moments(moments).dropped == ("again",)
    with pytest.raises(NotIdentifiedError, match="again"):
        least_squares_of_moments(moments, required=("again",))


def test_clusters_and_columns_can_be_left_out() -> None:
    sample, _ = panel(9)
    moments: ClusterMoments = moments_of_rows(sample)
    rest = sample.cluster != 4
    names = tuple(name for g, name in enumerate(sample.cluster_names) if g != 4)
    without = CompressedSample(
        columns=sample.columns,
        x=sample.x[rest],
        weight=sample.weight[rest],
        n_rows=sample.n_rows[rest],
        sum_y=sample.sum_y[rest],
        cluster=np.where(sample.cluster[rest] > 4, sample.cluster[rest] - 1, sample.cluster[rest]),
        cluster_names=names,
    )
    one = least_squares_of_moments(moments.without_cluster(4))
    other = weighted_least_squares(without)
    assert one.dropped == other.dropped == ("cluster=4",)
    assert one.coefficient("treated") == pytest.approx(other.coefficient("treated"), rel=1e-9)
    few = moments.of_columns(["one", "treated"])
    assert least_squares_of_moments(few).columns == ("one", "treated")
