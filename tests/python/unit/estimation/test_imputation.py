"""Chained equations on cells: counts, types, truth recovered, uncertainty, traces, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.imputation import (
    Imputations,
    Kind,
    impute,
    missingness_pattern,
    missingness_tests,
    nearest_donors,
    potential_scale_reduction,
    ridge_logit,
)

VARIABLES: dict[str, Kind] = {"need": "categorical", "age": "numeric", "disabled": "categorical"}
PREDICTORS: dict[str, Kind] = {"outcome": "numeric", "arm_post": "categorical", "year": "categorical"}


def children(seed: int = 11, n: int = 4000) -> pd.DataFrame:
    """Complete children whose need, age and disability depend on the outcome."""
    rng = np.random.default_rng(seed)
    outcome = rng.random(n) < 0.4
    need = np.where(rng.random(n) < np.where(outcome, 0.7, 0.2), "abuse", rng.choice(["family", "other"], n))
    age = np.clip(np.round(rng.normal(6 + 5 * outcome + (need == "abuse"), 2)), 0, 17)
    disabled = rng.random(n) < np.where(outcome, 0.5, 0.1)
    return pd.DataFrame(
        {
            "outcome": outcome.astype(int),
            "arm_post": rng.choice(["control_pre", "control_post", "treated_pre", "treated_post"], n),
            "year": rng.choice([2018, 2019], n),
            "need": need.astype(object),
            "age": age,
            "disabled": disabled.astype(int).astype(object),
        }
    )


def as_cells(rows: pd.DataFrame) -> pd.DataFrame:
    cells = rows.groupby(list(rows.columns), dropna=False, sort=True).size().reset_index(name="n")
    # Whole numbers turn into floats beside NaN in a grouping.
    codes = [None if pd.isna(value) else int(value) for value in cells["disabled"]]
    return cells.assign(disabled=pd.Series(codes, dtype=object))


def with_gaps(rows: pd.DataFrame, seed: int = 12) -> pd.DataFrame:
    """Missing at random given the outcome, which is always known: far more often for children with it."""
    rng = np.random.default_rng(seed)
    gaps = rows.copy()
    for name in VARIABLES:
        lost = rng.random(len(rows)) < np.where(rows["outcome"] == 1, 0.6, 0.05)
        gaps[name] = gaps[name].mask(lost, np.nan if name == "age" else None)
    return gaps


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return as_cells(with_gaps(children()))


@pytest.fixture(scope="module")
def found(cells: pd.DataFrame) -> Imputations:
    return impute(cells, VARIABLES, PREDICTORS, n_imputations=4, n_iterations=12, seed=3)


def test_counts_are_conserved_in_every_cell(cells: pd.DataFrame, found: Imputations) -> None:
    incomplete = cells[cells[list(VARIABLES)].isna().any(axis=1)]
    assert len(incomplete) > 50
    for imputation in (1, 2, 3, 4):
        rows = found.completions[found.completions["imputation"] == imputation]
        assert rows.groupby("cell")["n"].sum().to_dict() == incomplete["n"].to_dict()
    assert (found.completions["n"] > 0).all()
    assert not found.completions.duplicated(["imputation", "cell", *VARIABLES]).any()


def test_observed_values_stay_and_imputed_ones_exist(cells: pd.DataFrame, found: Imputations) -> None:
    assert not found.completions.isna().any(axis=None)
    original = cells.loc[found.completions["cell"]].reset_index(drop=True)
    for name in VARIABLES:
        given = original[name].notna()
        assert (found.completions.loc[given, name] == original.loc[given, name]).all()
        assert 0 < given.mean() < 1
        assert set(found.completions[name]) <= set(cells[name].dropna())
    assert {type(value) for value in found.completions["disabled"]} == {int}
    assert {type(value) for value in found.completions["need"]} == {str}
    assert found.completions["age"].dtype == float


def completed_rows(cells: pd.DataFrame, found: Imputations, imputation: int) -> pd.DataFrame:
    names = [*VARIABLES, "n"]
    whole = cells.loc[cells[list(VARIABLES)].notna().all(axis=1), names]
    return pd.concat([whole, found.completions.loc[found.completions["imputation"] == imputation, names]])


@pytest.mark.parametrize(
    ("name", "level", "bias_min", "tolerance"),
    [("age", None, 0.5, 0.12), ("disabled", 1, 0.05, 0.025), ("need", "abuse", 0.05, 0.025)],
)
def test_recovers_the_truth_where_complete_cases_are_biased(
    cells: pd.DataFrame, found: Imputations, name: str, level: object, bias_min: float, tolerance: float
) -> None:
    def mean(rows: pd.DataFrame) -> float:
        rows = rows[rows[name].notna()]
        values = rows[name] if level is None else rows[name] == level
        return float(np.average(values.astype(float), weights=rows["n"]))

    truth = mean(as_cells(children()))
    imputed = np.mean([mean(completed_rows(cells, found, imputation)) for imputation in (1, 2, 3, 4)])
    assert abs(mean(cells) - truth) > bias_min
    assert abs(imputed - truth) < tolerance


def test_keeps_the_relation_between_two_imputed_variables(cells: pd.DataFrame, found: Imputations) -> None:
    # Both missing: need and age must be drawn together, not each from its margin.
    both = cells.loc[found.completions["cell"], ["need", "age"]].isna().all(axis=1).to_numpy()
    rows = found.completions[both]
    with_abuse, without = rows[rows["need"] == "abuse"], rows[rows["need"] != "abuse"]
    assert min(with_abuse["n"].sum(), without["n"].sum()) > 400
    gap = np.average(with_abuse["age"], weights=with_abuse["n"]) - np.average(
        without["age"], weights=without["n"]
    )
    assert 0.4 < gap < 1.6


def test_rerun_is_identical_and_sets_do_not_depend_on_their_number(
    cells: pd.DataFrame, found: Imputations
) -> None:
    again = impute(cells, VARIABLES, PREDICTORS, n_imputations=2, n_iterations=12, seed=3)
    first = found.completions[found.completions["imputation"] <= 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(again.completions, first)
    other = impute(cells, VARIABLES, PREDICTORS, n_imputations=2, n_iterations=12, seed=4)
    assert not other.completions.equals(again.completions)
    sets = [first[first["imputation"] == i].drop(columns="imputation").reset_index(drop=True) for i in (1, 2)]
    assert not sets[0].equals(sets[1])


def test_trace_has_every_step_and_matches_the_last_draws(cells: pd.DataFrame, found: Imputations) -> None:
    per_step = {"need": 3, "age": 2, "disabled": 2}
    sizes = found.trace.groupby(["variable", "imputation", "iteration"]).size()
    assert len(sizes) == 3 * 4 * 12
    assert all(size == per_step[variable] for (variable, _, _), size in sizes.items())
    shares = found.trace[found.trace["statistic"] == "share"]
    assert shares.groupby(["variable", "imputation", "iteration"])["value"].sum().to_numpy() == pytest.approx(
        1
    )
    last = found.trace.query("variable == 'age' and imputation == 2 and iteration == 12").set_index(
        "statistic"
    )
    rows = found.completions[found.completions["imputation"] == 2]
    drawn = rows[cells.loc[rows["cell"], "age"].isna().to_numpy()]
    assert last["value"]["mean"] == pytest.approx(np.average(drawn["age"], weights=drawn["n"]))
    assert set(found.convergence["variable"]) == set(VARIABLES)
    assert found.unconverged == ()
    assert (found.convergence["scale_reduction"].astype(float) < 1.2).all()


def test_too_few_iterations_or_sets_to_tell_count_as_not_converged(cells: pd.DataFrame) -> None:
    for n_imputations, n_iterations in ((2, 1), (1, 6)):
        short = impute(
            cells, VARIABLES, PREDICTORS, n_imputations=n_imputations, n_iterations=n_iterations, seed=1
        )
        assert set(short.unconverged) == set(VARIABLES)
        assert short.convergence["scale_reduction"].isna().all()


def test_chains_apart_are_flagged_and_chains_together_are_not() -> None:
    rng = np.random.default_rng(1)
    together = rng.normal(size=(5, 400))
    factor = potential_scale_reduction(together)
    assert factor is not None
    assert abs(factor - 1) < 0.02
    apart = potential_scale_reduction(together + 3 * np.arange(5)[:, None])
    assert apart is not None
    assert apart > 3
    assert potential_scale_reduction(np.ones((3, 5))) == 1.0
    assert potential_scale_reduction(np.arange(3.0)[:, None] + np.zeros((3, 5))) == float("inf")


def test_sets_differ_widely_in_what_data_do_not_identify() -> None:
    # Each is the other's only predictor and only one of them is ever observed, so nothing ties the chains down.
    cells = pd.DataFrame(
        {"a": ["x", "y", None, None], "b": [None, None, "u", "v"], "n": [150, 150, 150, 150]}
    )
    found = impute(
        cells, {"a": "categorical", "b": "categorical"}, {}, n_imputations=5, n_iterations=10, seed=2
    )
    by_a = found.completions[found.completions["cell"] == 0].pivot_table(
        index="imputation", columns="b", values="n", fill_value=0
    )
    # A coefficient that data do not identify: the share of u beside x differs widely between sets.
    assert by_a["u"].max() - by_a["u"].min() > 15


def test_nothing_missing_is_no_work() -> None:
    whole = as_cells(children(n=200))
    found = impute(whole, VARIABLES, PREDICTORS, seed=1)
    assert found.completions.empty
    assert list(found.completions.columns) == ["imputation", "cell", *VARIABLES, "n"]
    assert found.trace.empty
    assert found.convergence.empty
    assert found.unconverged == ()


def test_draws_carry_the_uncertainty_of_the_model() -> None:
    # A share p of n children of whom n_missing are unknown: proper imputation varies the completed share by
    # p(1-p) [n_missing / n^2 + (n_missing / n)^2 / n_observed]; without the bootstrap the second part would be absent.
    n_observed, n_missing, m = 400, 600, 300
    cells = pd.DataFrame({"x": ["a", "b", None], "n": [120, 280, n_missing]})
    found = impute(cells, {"x": "categorical"}, {}, n_imputations=m, n_iterations=1, seed=9)
    drawn = found.completions[found.completions["x"] == "a"].set_index("imputation")["n"]
    n = n_observed + n_missing
    shares = (120 + drawn.to_numpy()) / n
    expected = 0.3 * 0.7 * (n_missing / n**2 + (n_missing / n) ** 2 / n_observed)
    assert len(shares) == m
    assert shares.mean() == pytest.approx(0.3, abs=4 * (expected / m) ** 0.5)
    assert shares.var(ddof=1) == pytest.approx(expected, rel=0.3)
    assert shares.var(ddof=1) > 1.6 * 0.3 * 0.7 * n_missing / n**2


def test_perfect_prediction_stays_finite() -> None:
    cells = pd.DataFrame(
        {"x": ["a", "b", None, None], "group": ["u", "v", "u", "v"], "n": [500, 500, 200, 200]}
    )
    found = impute(
        cells, {"x": "categorical"}, {"group": "categorical"}, n_imputations=2, n_iterations=3, seed=1
    )
    right = found.completions[
        ((found.completions["cell"] == 2) & (found.completions["x"] == "a"))
        | ((found.completions["cell"] == 3) & (found.completions["x"] == "b"))
    ]
    assert right.groupby("imputation")["n"].sum().min() > 0.98 * 400
    x = np.array([[1.0, 0.0], [1.0, 1.0]])
    coefficients = ridge_logit(x, np.array([True, False]), np.array([1e6, 1e6]), start=np.zeros(2))
    assert np.isfinite(coefficients).all()
    assert np.abs(coefficients).max() < 50


def test_a_variable_with_one_level_gets_it() -> None:
    cells = pd.DataFrame({"x": ["a", None], "n": [3, 2]})
    found = impute(cells, {"x": "categorical"}, {}, n_imputations=2, n_iterations=4, seed=1)
    assert found.completions["x"].tolist() == ["a", "a"]
    assert found.unconverged == ()


def test_donors_are_drawn_evenly_from_the_nearest_children() -> None:
    rng = np.random.default_rng(4)
    # Nearest five to 1.1: two at 1 and three of the twelve at 2, those twelve in two units.
    offered, weight = np.array([2.0, 1.0, -6.0, 2.0]), np.array([9, 2, 50, 3])
    chosen = nearest_donors(offered, weight, np.full(40_000, 1.1), 5, rng)
    shares = np.bincount(chosen, minlength=4) / 40_000
    assert shares == pytest.approx([3 / 5 * 9 / 12, 2 / 5, 0, 3 / 5 * 3 / 12], abs=0.01)
    # Fewer children than donors asked for: all of them.
    few = nearest_donors(np.array([0.0, 1.0]), np.array([1, 1]), np.full(1000, -3.0), 5, rng)
    assert np.bincount(few).min() > 400


def test_the_nearest_child_alone_is_the_donor_when_one_is_asked_for() -> None:
    rng = np.random.default_rng(4)
    offered, wanted = rng.normal(size=300), rng.normal(size=200) * 2
    chosen = nearest_donors(offered, np.ones(300, np.int64), wanted, 1, rng)
    assert (chosen == np.abs(offered[None, :] - wanted[:, None]).argmin(axis=1)).all()


def test_a_variable_never_observed_is_named(cells: pd.DataFrame) -> None:
    with pytest.raises(CscError, match="disabled has no observed value"):
        impute(cells.assign(disabled=None), VARIABLES, PREDICTORS, seed=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outcome": np.nan}, "outcome predicts"),
        ({"n": 1.5}, "whole numbers"),
        ({"n": -1}, "whole numbers"),
    ],
)
def test_unfit_cells_are_refused(cells: pd.DataFrame, change: dict[str, float], said: str) -> None:
    with pytest.raises(CscError, match=said):
        impute(cells.assign(**change), VARIABLES, PREDICTORS, seed=1)
    with pytest.raises(CscError, match="lack year"):
        impute(cells.drop(columns="year"), VARIABLES, PREDICTORS, seed=1)
    with pytest.raises(CscError, match="age: listed both"):
        impute(cells, VARIABLES, {"age": "numeric"}, seed=1)


def test_patterns_count_children(cells: pd.DataFrame) -> None:
    pattern = missingness_pattern(cells, VARIABLES)
    rows = with_gaps(children())
    assert pattern["n"].sum() == len(rows)
    assert pattern["n"].is_monotonic_decreasing
    row = pattern[~pattern["need"] & pattern["age"] & pattern["disabled"]]
    assert row["n"].item() == (rows["need"].notna() & rows["age"].isna() & rows["disabled"].isna()).sum()
    assert row["n_missing_variables"].item() == 2


def test_missingness_tests_agree_with_tests_on_children(cells: pd.DataFrame) -> None:
    rows = with_gaps(children())
    found = missingness_tests(cells, VARIABLES, {"arm_post": "categorical", "outcome": "categorical"})
    by_outcome = found[(found["covariate"] == "need") & (found["by"] == "outcome")].set_index("level")
    expected = stats.chi2_contingency(pd.crosstab(rows["outcome"], rows["need"].isna()), correction=False)
    assert by_outcome["statistic"].tolist() == pytest.approx([expected.statistic] * 2)
    assert by_outcome["p_value"].max() < 1e-50
    assert by_outcome["share_missing"][1] == pytest.approx(
        rows.loc[rows["outcome"] == 1, "need"].isna().mean()
    )
    by_arm = found[(found["covariate"] == "need") & (found["by"] == "arm_post")]
    assert by_arm["p_value"].min() > 0.001
    assert by_arm["df"].tolist() == [3] * 4

    by_age = found[(found["covariate"] == "need") & (found["by"] == "age")].iloc[0]
    lost = rows["need"].isna()
    welch = stats.ttest_ind(rows.loc[lost, "age"].dropna(), rows.loc[~lost, "age"].dropna(), equal_var=False)
    assert by_age["statistic"] == pytest.approx(welch.statistic)
    assert by_age["df"] == pytest.approx(welch.df)
    assert by_age["p_value"] == pytest.approx(welch.pvalue)

    # Missing is a level of the other covariate.
    by_disabled = found[(found["covariate"] == "need") & (found["by"] == "disabled")]
    assert by_disabled["level"].tolist() == [0, 1, None]
    assert by_disabled["n"].sum() == len(rows)


def test_missingness_tests_leave_out_complete_covariates_and_comparisons_without_two_sides() -> None:
    cells = pd.DataFrame({"a": ["x", None], "b": ["u", "u"], "one": ["s", "s"], "n": [5, 5]})
    found = missingness_tests(cells, {"a": "categorical", "b": "categorical"}, {"one": "categorical"})
    assert set(found["covariate"]) == {"a"}
    assert found["by"].tolist() == ["one", "b"]
    assert found["p_value"].isna().all()
