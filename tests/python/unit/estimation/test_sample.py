"""The compressed sample says the same as its rows, whatever is a fixed effect and whoever stands twice."""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.inference import cr1, cr2
from csc_evaluation.estimation.linear import weighted_least_squares
from csc_evaluation.estimation.moments import least_squares_of_moments, moments_of_rows, unit_sums_of_rows
from csc_evaluation.estimation.protocol import Covariate
from csc_evaluation.estimation.sample import TREATED, RegressionSample, compress_rows

COVARIATES = (
    Covariate("y", "gender", "child", "categorical"),
    Covariate("y", "age_at_index", "child", "numeric"),
    Covariate("y", "is_disabled", "child", "categorical"),
    Covariate("y", "la_share_fsm", "authority", "numeric"),
    Covariate("y", "has_other_programme", "authority", "categorical"),
)
EFFECTS = ("la_code", "financial_year")
LIVE_FROM = {"306": dt.date(2019, 11, 10), "315": dt.date(2020, 5, 20)}


def children(seed: int = 4, n: int = 1500) -> pd.DataFrame:
    """Children of six authorities over four years, two of which go live in the middle of a quarter."""
    rng = np.random.default_rng(seed)
    la_code = rng.choice(["306", "315", "801", "802", "803", "804"], n, p=[0.35, 0.08, 0.3, 0.12, 0.1, 0.05])
    day = np.array([dt.date(2018, 4, 1) + dt.timedelta(days=int(d)) for d in rng.integers(0, 4 * 365, n)])
    quarter = np.array([dt.date(d.year, 3 * ((d.month - 1) // 3) + 1, 1) for d in day])
    is_live = np.array(
        [code in LIVE_FROM and d >= LIVE_FROM[code] for code, d in zip(la_code, day, strict=True)]
    )
    keys = sorted(set(zip(la_code, quarter, strict=True)))
    share = dict(zip(keys, 0.3 + 0.05 * rng.normal(size=len(keys)), strict=True))
    gender = rng.choice(["1", "2", None], n, p=[0.48, 0.48, 0.04])
    age = rng.integers(0, 13, n)
    return pd.DataFrame(
        {
            "la_code": la_code,
            "quarter_start": quarter,
            "financial_year": [d.year - (d.month < 4) for d in day],
            "gender": gender,
            "age_at_index": age,
            "is_disabled": rng.random(n) < 0.1,
            "la_share_fsm": [share[key] for key in zip(la_code, quarter, strict=True)],
            "has_other_programme": (la_code == "801") & (quarter >= dt.date(2020, 1, 1)),
            "is_treated_authority": np.isin(la_code, list(LIVE_FROM)),
            "is_treated": is_live,
            "weight": np.where(np.isin(la_code, list(LIVE_FROM)), 1.0, rng.choice([0.5, 1.25, 3.0], n)),
            "outcome_value": np.round(20 + age + 5 * (gender == "1") - 3 * is_live + rng.normal(0, 9, n)),
        }
    )


def compressed(frame: pd.DataFrame, effects: tuple[str, ...] = EFFECTS, **more: object) -> RegressionSample:
    table = ibis.duckdb.connect().create_table("rows", frame)
    return compress_rows("y", table, COVARIATES, effects, n_children=len(frame), **more)  # type: ignore[arg-type]


def test_effect_and_cr1_are_those_of_a_formula_on_single_children() -> None:
    frame = children()
    sample = compressed(frame)
    fit = least_squares_of_moments(sample.moments, required=(TREATED,))
    frame = frame.assign(gender=frame.gender.fillna("missing"), treated=frame.is_treated.astype(float))
    for name in ("is_disabled", "has_other_programme"):
        frame[name] = frame[name].astype(float)
    dense = smf.wls(
        "outcome_value ~ treated + C(la_code) + C(financial_year) + C(gender) + age_at_index + is_disabled "
        "+ la_share_fsm + has_other_programme",
        frame,
        weights=frame.weight,
    ).fit(cov_type="cluster", cov_kwds={"groups": frame.la_code.astype("category").cat.codes}, use_t=True)
    found = cr1(fit, TREATED, confidence_level=0.95)
    assert fit.n_rows == len(frame)
    assert found.estimate == pytest.approx(dense.params["treated"], rel=1e-10)
    assert found.std_error == pytest.approx(dense.bse["treated"], rel=1e-10)
    for name in ("age_at_index", "la_share_fsm"):
        assert fit.coefficient(name) == pytest.approx(dense.params[name], rel=1e-9)


def test_moments_from_counts_are_those_of_the_cells_written_out() -> None:
    sample = compressed(children())
    wanted = moments_of_rows(sample.compressed, sample.sum_yy)
    for name in ("xx", "xwx", "xwwx", "xy", "xwy", "ywy", "n_rows", "sum_w"):
        np.testing.assert_allclose(
            getattr(sample.moments, name), getattr(wanted, name), rtol=1e-11, atol=1e-9
        )
    unit = sample.unit_of_time()[sample.time]
    sums, wanted_sums = sample.unit_sums(), unit_sums_of_rows(sample.compressed, unit)
    for name in vars(sums):
        np.testing.assert_allclose(getattr(sums, name), getattr(wanted_sums, name), rtol=1e-11, atol=1e-9)


def test_the_go_live_quarter_is_one_unit_of_two_times() -> None:
    sample = compressed(children())
    quarters = sample.times.groupby(["la_code", "quarter_start"]).is_treated.nunique()
    assert {code for code, _ in quarters[quarters == 2].index} == set(LIVE_FROM)
    assert len(sample.unit_sums().n_rows) == len(quarters)


def test_rows_in_another_order_give_the_same_to_the_last_digit() -> None:
    frame = children()
    one, other = (compressed(rows) for rows in (frame, frame.sample(frac=1, random_state=1)))
    found = [
        cr2(least_squares_of_moments(sample.moments), TREATED, confidence_level=0.95)
        for sample in (one, other)
    ]
    assert found[0] == found[1]


def test_stacked_groups_take_effects_of_group_by_authority_and_year_and_count_a_child_once() -> None:
    frame = children()
    shared = frame[frame.la_code == "801"]
    stacked = pd.concat(
        [
            frame[frame.la_code.isin(["306", "801", "802"])].assign(match_group="306"),
            frame[frame.la_code.isin(["315", "803", "804"])].assign(match_group="315"),
            shared.assign(match_group="315", weight=shared.weight / 3),
        ]
    )
    effects = ("match_group:la_code", "match_group:financial_year")
    sample = compressed(stacked, effects, n_distinct_rows=len(frame))
    fit = least_squares_of_moments(sample.moments, required=(TREATED,))
    assert sample.moments.n_rows.sum() == len(stacked)
    assert fit.n_rows == len(frame)
    assert fit.clusters == ("306", "315", "801", "802", "803", "804")
    rows = stacked.assign(
        gender=stacked.gender.fillna("missing"),
        treated=stacked.is_treated.astype(float),
        is_disabled=stacked.is_disabled.astype(float),
        has_other_programme=stacked.has_other_programme.astype(float),
    )
    dense = smf.wls(
        "outcome_value ~ treated + C(match_group):C(la_code) + C(match_group):C(financial_year) + C(gender) "
        "+ age_at_index + is_disabled + la_share_fsm + has_other_programme",
        rows,
        weights=rows.weight,
    ).fit()
    assert fit.coefficient(TREATED) == pytest.approx(dense.params["treated"], rel=1e-8)


def test_an_authoritys_number_that_differs_between_its_children_is_kept_for_each() -> None:
    frame = children()
    frame["la_share_fsm"] = frame.la_share_fsm + 0.001 * (frame.age_at_index % 3)
    sample = compressed(frame)
    assert "la_share_fsm" in {variable.name for variable in sample.variables}
    dense = weighted_least_squares(sample.compressed)
    mean = np.average(frame.la_share_fsm, weights=frame.weight)
    written = sample.compressed.x[:, sample.design.columns.index("la_share_fsm")] + mean
    repeated = np.repeat(np.sort(written), sample.n_rows[np.argsort(written, kind="stable")])
    np.testing.assert_allclose(repeated, np.sort(frame.la_share_fsm), atol=1e-12)
    assert least_squares_of_moments(sample.moments).coefficient(TREATED) == pytest.approx(
        dense.coefficient(TREATED), rel=1e-9
    )


def test_an_authoritys_number_that_is_missing_for_some_is_a_level() -> None:
    frame = children()
    frame["la_share_fsm"] = frame.la_share_fsm.where(frame.financial_year > 2018)
    sample = compressed(frame)
    assert "la_share_fsm=missing" in sample.design.columns
    # All of the first year is missing, and nothing else is: the year's own dummy says the same.
    assert least_squares_of_moments(sample.moments).dropped == ("la_share_fsm=missing",)


def test_a_number_that_is_text_is_refused() -> None:
    frame = children().assign(age_at_index="seven")
    with pytest.raises(CscError, match="age_at_index holds text"):
        compressed(frame)


def test_cells_in_words_hold_what_the_rows_hold() -> None:
    frame = children()
    cells = compressed(frame).cells
    assert cells.n_rows.sum() == len(frame)
    assert cells.sum_y.sum() == pytest.approx(frame.outcome_value.sum())
    assert cells.groupby("la_code").n_rows.sum().to_dict() == frame.la_code.value_counts().to_dict()
    assert set(cells.gender) == {"1", "2", "missing"}
    assert cells[cells.is_treated].n_rows.sum() == frame.is_treated.sum()
