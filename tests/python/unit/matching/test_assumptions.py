"""Checks of parallel trends and common shocks: dates, boundaries, level and power, and explicit computations of the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from csc_evaluation import schema
from csc_evaluation.estimation.protocol import Parameters, Protocol, Shock, ShockOutcome, read_protocol
from csc_evaluation.matching.assumptions import check_assumptions
from csc_evaluation.matching.authorities import AuthorityMatching, match_authorities
from csc_evaluation.matching.cem import ChildMatching, match_children
from csc_evaluation.matching.common_shocks import (
    cells_after_go_live,
    common_shock_checks,
    reaction_check,
    reaction_checks,
    shock_check,
)
from csc_evaluation.matching.parallel_trends import cells_before_cut_off, leads_check, placebo_check
from csc_evaluation.matching.stacked import (
    CheckRow,
    Group,
    as_frame,
    groups_of,
    stacked_rows,
)
from csc_evaluation.matching.windows import first_full_quarter
from csc_evaluation.warehouse import ibis_readable
from support.marts_fixture import OUTCOME, PROGRAMME, World, write_warehouse
from support.regressions import as_sample, dense_reference
from support.stacked_cells import Design, cells_after, cells_before, groups

FLOOD = Shock("flood", "A flood", "other", None, dt.date(2021, 7, 1), dt.date(2021, 9, 30), False)


@dataclass(frozen=True)
class Matched:
    backend: Any
    protocol: Protocol
    authorities: AuthorityMatching
    children: ChildMatching

    def checks(self) -> pd.DataFrame:
        outcome = self.protocol.outcome(OUTCOME)
        return check_assumptions(self.backend, self.protocol, outcome, self.authorities, self.children)

    @property
    def groups(self) -> tuple[Group, ...]:
        return groups_of(self.authorities, OUTCOME)


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matched]:
    """A small world: few children, so that explicit matrices of all rows stay small."""
    path = write_warehouse(
        tmp_path_factory.mktemp("checks") / "w.duckdb", World(seed=3, children_per_quarter=14)
    )
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "update protocol.parameters set parameter_value = '1' where parameter = 'matching_n_min'"
        )
    with ibis_readable(path) as backend:
        protocol = read_protocol(backend, PROGRAMME)
        authorities = match_authorities(backend, [protocol])[PROGRAMME]
        outcome = protocol.outcome(OUTCOME)
        children = match_children(backend, protocol, outcome, authorities.matches_of(OUTCOME))
        yield Matched(backend, protocol, authorities, children)


@pytest.fixture(scope="module")
def parameters(matched: Matched) -> Parameters:
    return matched.protocol.parameters


# -- which rows count ------------------------------------------------------------------------------------------


def _children(rows: list[tuple[str, str, bool, str]], values: pd.DataFrame | None = None) -> Any:
    """What the checks read of matched children, from authority, group, arm and index date of each."""
    frame = pd.DataFrame(rows, columns=["la_code", "match_group", "is_treated_authority", "index_date"])
    frame["index_date"] = pd.to_datetime(frame.index_date)
    frame = frame.assign(child_id=[f"c{n}" for n in range(len(frame))], sequence=1)
    sample = ibis.memtable(frame[["child_id", "sequence", "la_code", "index_date"]])
    weights = frame[["match_group", "child_id", "sequence", "is_treated_authority"]].assign(group_weight=1.0)
    if values is None:
        values = frame[["child_id", "sequence"]].assign(term=0, outcome_value=1.0)
    return SimpleNamespace(
        sample=sample.mutate(index_date=sample.index_date.cast("date")),
        group_weights=ibis.memtable(weights),
        values=ibis.memtable(values),
    )


A_GROUP = Group("335", "335", frozenset({"335", "202"}), dt.date(2019, 1, 1), dt.date(2020, 9, 1))


def test_index_events_from_the_first_full_quarter_to_the_day_before_the_cut_off_count() -> None:
    inside = ["2017-04-01", "2018-12-31", "2018-09-30", "2018-10-01"]
    outside = ["2017-03-31", "2019-01-01", "2020-09-01"]
    children = _children([("335", "335", True, date) for date in [*inside, *outside]])
    cells = cells_before_cut_off(children, [A_GROUP], dt.date(2017, 4, 1))
    found = dict(zip(cells.quarters_back, cells.n_rows, strict=True))
    assert found == {7: 1, 2: 1, 1: 2}


@pytest.mark.parametrize(
    ("span_start", "trial_start", "expected"),
    [
        ("2017-04-01", "2017-04-01", "2017-04-01"),
        ("2017-04-02", "2017-04-01", "2017-07-01"),
        ("2017-01-01", "2017-06-30", "2017-07-01"),
    ],
)
def test_the_first_full_quarter_starts_on_or_after_the_data(
    matched: Matched, span_start: str, trial_start: str, expected: str
) -> None:
    programme = replace(
        matched.protocol.programme,
        data_span_start=dt.date.fromisoformat(span_start),
        trial_start=dt.date.fromisoformat(trial_start),
    )
    assert first_full_quarter(replace(matched.protocol, programme=programme)) == dt.date.fromisoformat(
        expected
    )


def test_the_cut_off_of_a_group_is_the_day_after_the_last_quarter_of_its_window(matched: Matched) -> None:
    cut_offs = {group.treated_la_code: str(group.cut_off) for group in matched.groups}
    # Go-live minus 18 months, taken back to the end of a quarter.
    assert cut_offs == {
        "335": "2019-01-01",
        "888": "2019-07-01",
        "894": "2019-10-01",
        "212": "2020-04-01",
        "866": "2020-10-01",
    }


def test_a_shock_counts_on_its_first_and_last_day_and_for_its_authority_alone() -> None:
    dates = ["2020-09-01", "2021-06-30", "2021-07-01", "2021-09-30", "2021-10-01"]
    rows = [(code, "335", code == "335", date) for code in ("335", "202") for date in ["2020-08-31", *dates]]
    local = replace(FLOOD, shock="local", la_code="202", ends_on=None)
    cells = cells_after_go_live(_children(rows), [A_GROUP], [FLOOD, local])
    counts = cells.groupby(["la_code", "is_under_flood", "is_under_local"]).n_rows.sum().to_dict()
    # The index event of the day before go-live counts nowhere.
    assert counts == {
        ("335", False, False): 3,
        ("335", True, False): 2,
        ("202", False, False): 2,
        ("202", True, True): 2,
        ("202", False, True): 1,
    }


@pytest.mark.parametrize(
    ("starts", "ends", "la_code", "has_row"),
    [
        ("2020-01-01", "2020-08-31", None, False),
        ("2020-01-01", "2020-09-01", None, True),
        ("2022-03-31", "2022-12-31", None, True),
        ("2022-04-01", "2022-12-31", None, False),
        ("2022-04-01", None, None, False),
        ("2021-01-01", None, None, True),
        ("2021-01-01", "2021-02-01", "202", True),
        ("2021-01-01", "2021-02-01", "203", False),
    ],
)
def test_a_shock_has_rows_where_it_overlaps_the_post_go_live_data(
    matched: Matched, starts: str, ends: str | None, la_code: str | None, has_row: bool
) -> None:
    shock = replace(
        FLOOD,
        la_code=la_code,
        starts_on=dt.date.fromisoformat(starts),
        ends_on=dt.date.fromisoformat(ends) if ends else None,
    )
    children = _children(
        [
            (code, "335", code == "335", date)
            for code in ("335", "202")
            for date in ("2020-09-01", "2022-03-31")
        ]
    )
    found = common_shock_checks(replace(matched.protocol, shocks=(shock,)), OUTCOME, children, [A_GROUP])
    assert [row.check_name for row in found] == (["flood", "flood"] if has_row else ["no_shock"])
    assert all(row.status == "not computable" for row in found)


def test_an_outcome_by_term_has_a_row_per_term_and_effects_of_terms() -> None:
    values = pd.DataFrame(
        {"child_id": ["c0", "c0", "c1"], "sequence": 1, "term": [1, 2, 1], "outcome_value": [3.0, 4.5, 6.0]}
    )
    dates = [("335", "335", True, "2018-12-31"), ("202", "335", False, "2018-12-31")]
    children = _children(dates, values)
    rows = stacked_rows(children).order_by(["child_id", "term"]).to_pandas()
    assert rows[["child_id", "term", "outcome_value"]].values.tolist() == [
        ["c0", 1, 3.0],
        ["c0", 2, 4.5],
        ["c1", 1, 6.0],
    ]
    cells = cells_before_cut_off(children, [A_GROUP], dt.date(2017, 4, 1))
    assert sorted(zip(cells.la_code, cells.term, cells.sum_y, strict=True)) == [
        ("202", 1, 6.0),
        ("335", 1, 3.0),
        ("335", 2, 4.5),
    ]


# -- boundaries of what can be computed ------------------------------------------------------------------------


@pytest.mark.parametrize(("n_quarters", "status"), [(7, "not computable"), (8, "computed")])
def test_a_placebo_needs_four_quarters_before_its_date(
    parameters: Parameters, n_quarters: int, status: str
) -> None:
    design = Design(n_quarters=(n_quarters,) * 3)
    row = placebo_check(OUTCOME, cells_before(design, 1), groups(design), 4, parameters)
    assert row.status == status
    if status == "not computable":
        assert row.estimate is None
        assert "has 3 before and 4 after" in row.note


def test_a_placebo_needs_four_quarters_after_its_date(parameters: Parameters) -> None:
    design = Design(n_quarters=(12,) * 3)
    cells = cells_before(design, 1)
    assert placebo_check(OUTCOME, cells, groups(design), 4, parameters).status == "computed"
    late = placebo_check(OUTCOME, cells, groups(design), 3, parameters)
    assert (late.status, late.check_name) == ("not computable", "placebo_3")


def test_a_quarter_in_which_an_arm_has_no_matched_child_does_not_count(parameters: Parameters) -> None:
    design = Design(n_quarters=(8,) * 3)
    cells = cells_before(design, 1)
    gap = (cells.quarters_back == 6) & (cells.la_code == "c0")
    row = placebo_check(OUTCOME, cells[~gap], groups(design), 4, parameters)
    assert (row.status, row.n_treated_clusters) == ("too few treated", 2)
    assert "2 of 3 groups take part (t1, t2); too few quarters: t0." in row.note


@pytest.mark.parametrize(("n_groups", "status"), [(2, "too few treated"), (3, "computed")])
def test_under_three_treated_authorities_there_is_no_p_value(
    parameters: Parameters, n_groups: int, status: str
) -> None:
    design = Design(n_quarters=(12,) * n_groups)
    cells = cells_before(design, 2)
    row = placebo_check(OUTCOME, cells, groups(design), 4, parameters)
    *leads, joint = leads_check(OUTCOME, cells, groups(design), parameters)
    for found in (row, *leads, joint):
        assert (found.status, found.n_treated_clusters) == (status, n_groups)
        assert (found.p_value is None) == (status != "computed")
        assert found.statistic is not None
    for found in (row, *leads):
        assert found.estimate is not None
        assert found.std_error > 0
        assert (found.ci_low is None) == (status != "computed")


@pytest.mark.parametrize(
    ("n_quarters", "terms"),
    [
        ((8, 8, 8, 8), ["lead_year_2"]),
        # Fewer than three authorities reach four quarters into the third year.
        ((11, 11, 12, 12), ["lead_year_2"]),
        ((11, 12, 12, 12), ["lead_year_2", "lead_year_3"]),
        # At most two terms: what lies further back joins the earlier one.
        ((16, 16, 20, 20), ["lead_year_2", "lead_year_3"]),
    ],
)
def test_leads_are_at_most_two_years_and_say_when_there_is_one(
    parameters: Parameters, n_quarters: tuple[int, ...], terms: list[str]
) -> None:
    design = Design(n_quarters=n_quarters)
    found = leads_check(OUTCOME, cells_before(design, 3), groups(design), parameters)
    assert [row.term for row in found] == [*terms, "joint"]
    joint = found[-1]
    assert (joint.status, joint.inference) == ("computed", "cr2_htz")
    assert joint.n_restrictions == joint.df_numerator == len(terms)
    assert ("Only one lead year is computable" in joint.note) == (len(terms) == 1)
    if len(terms) == 1:
        assert joint.p_value == pytest.approx(found[0].p_value, rel=1e-9)
        assert joint.statistic == pytest.approx(found[0].statistic ** 2, rel=1e-9)


def test_a_lead_year_takes_all_quarters_further_back(parameters: Parameters) -> None:
    """What treated authorities alone had, all of it more than two years back, is in the third lead year and no other."""
    design = Design(n_quarters=(18,) * 4)
    cells = cells_before(design, 4)
    far_back = cells.n_rows * 0.2 * ((cells.quarters_back > 8) & cells.is_treated_authority)
    moved = leads_check(OUTCOME, cells.assign(sum_y=cells.sum_y + far_back), groups(design), parameters)
    second, third, _ = leads_check(OUTCOME, cells, groups(design), parameters)
    assert moved[0].estimate == pytest.approx(second.estimate, abs=1e-12)
    assert moved[1].estimate == pytest.approx(third.estimate + 0.2, rel=1e-10)


def test_leads_of_one_year_are_the_placebo_seen_from_the_other_side(parameters: Parameters) -> None:
    design = Design(n_quarters=(8, 9, 10, 11))
    cells = cells_before(design, 5)
    lead, _ = leads_check(OUTCOME, cells, groups(design), parameters)
    placebo = placebo_check(OUTCOME, cells, groups(design), 4, parameters)
    assert lead.estimate == pytest.approx(-placebo.estimate, rel=1e-9)
    assert lead.std_error == pytest.approx(placebo.std_error, rel=1e-9)


@pytest.mark.parametrize(
    ("lead_years", "refused_because"),
    [
        (2, None),
        (3, "degrees of freedom are too few for 3 restrictions"),
        (4, "4 restrictions on 5 clusters: at most 3 can be tested"),
    ],
)
def test_more_leads_than_the_clusters_allow_are_refused(
    parameters: Parameters, lead_years: int, refused_because: str | None
) -> None:
    design = Design(n_quarters=(24,) * 3, n_comparators=2)
    wider = replace(parameters, lead_years_max=lead_years)
    *leads, joint = leads_check(OUTCOME, cells_before(design, 6), groups(design), wider)
    assert all(row.status == "computed" for row in leads)
    assert (len(leads), joint.n_restrictions, joint.n_clusters) == (lead_years, lead_years, 5)
    assert joint.status == ("refused" if refused_because else "computed")
    assert (joint.statistic is None) == (joint.p_value is None) == bool(refused_because)
    assert (refused_because or "") in joint.note


@pytest.mark.parametrize(
    ("n_comparators", "status"), [(1, "too few comparators"), (2, "computed"), (None, "computed")]
)
def test_one_comparator_for_all_groups_has_no_error(
    parameters: Parameters, n_comparators: int | None, status: str
) -> None:
    """What that comparator does for its own reasons is in no residual: tests would reject a true null a quarter of the time."""
    design = Design(n_comparators=n_comparators)
    cells = cells_before(design, 6)
    row = placebo_check(OUTCOME, cells, groups(design), 4, parameters)
    *leads, joint = leads_check(OUTCOME, cells, groups(design), parameters)
    for found in (row, *leads, joint):
        assert found.status == status
        assert (found.p_value is None) == (found.statistic is None) == (status != "computed")
    assert all(found.estimate is not None for found in (row, *leads))


@pytest.mark.parametrize(("n_groups", "is_rough"), [(4, True), (10, False)])
def test_a_p_value_on_few_degrees_of_freedom_says_so(
    parameters: Parameters, n_groups: int, is_rough: bool
) -> None:
    design = Design(n_quarters=(10,) * n_groups, size_ratio=1.0)
    row = placebo_check(OUTCOME, cells_before(design, 2), groups(design), 4, parameters)
    assert (row.df < 4) == is_rough
    assert ("the p-value is rough" in row.note) == is_rough


def test_a_single_pair_has_no_joint_test(parameters: Parameters) -> None:
    design = Design(n_quarters=(12,))
    *leads, joint = leads_check(OUTCOME, cells_before(design, 6), groups(design), parameters)
    assert [row.status for row in (*leads, joint)] == ["too few treated", "refused"]
    assert joint.note.startswith("No joint test: 1 restriction on 2 clusters: none can be tested.")


def test_an_outcome_that_never_varies_has_no_test(parameters: Parameters) -> None:
    design = Design()
    cells = cells_before(design, 7)
    for constant in (0.0, 1.0):
        fixed = cells.assign(sum_y=constant * cells.n_rows)
        row = placebo_check(OUTCOME, fixed, groups(design), 4, parameters)
        *_, joint = leads_check(OUTCOME, fixed, groups(design), parameters)
        assert (row.status, joint.status) == ("not computable", "not computable")
        assert "no variation" in row.note
        assert joint.statistic is None


def test_comparators_that_change_between_early_and_late_cannot_stand_in_for_a_trend(
    parameters: Parameters,
) -> None:
    design = Design(n_quarters=(12,) * 3)
    cells = cells_before(design, 8)
    is_early_comparator = ~cells.is_treated_authority & (cells.quarters_back > 4)
    cells["la_code"] = cells.la_code.where(~is_early_comparator, "early" + cells.la_code)
    row = placebo_check(OUTCOME, cells, groups(design), 4, parameters)
    (joint,) = leads_check(OUTCOME, cells, groups(design), parameters)
    assert (row.status, joint.status) == ("not computable", "not computable")
    assert "both early and late" in row.note


def test_without_groups_or_index_events_everything_is_not_computable(parameters: Parameters) -> None:
    nothing = cells_before(Design(), 1).head(0)
    row = placebo_check(OUTCOME, nothing, groups(Design()), 4, parameters)
    (joint,) = leads_check(OUTCOME, nothing, (), parameters)
    assert (row.status, joint.status) == ("not computable", "not computable")


# -- level and power -------------------------------------------------------------------------------------------


def _rejections(rows: list[CheckRow]) -> float:
    assert all(row.status == "computed" for row in rows)
    return float(np.mean([row.p_value < 0.05 for row in rows]))


def test_parallel_trends_are_rejected_about_as_often_as_the_level_says(parameters: Parameters) -> None:
    design = Design()
    pairs = [
        (
            placebo_check(OUTCOME, cells, groups(design), 4, parameters),
            leads_check(OUTCOME, cells, groups(design), parameters)[-1],
        )
        for cells in (cells_before(design, seed) for seed in range(60))
    ]
    for rows in zip(*pairs, strict=True):
        assert 0 < _rejections(list(rows)) < 0.15


def test_diverging_trends_are_found(parameters: Parameters) -> None:
    design = Design(drift=0.02)
    pairs = [
        (
            placebo_check(OUTCOME, cells, groups(design), 4, parameters),
            leads_check(OUTCOME, cells, groups(design), parameters)[-1],
        )
        for cells in (cells_before(design, seed) for seed in range(15))
    ]
    placebos, joints = (list(rows) for rows in zip(*pairs, strict=True))
    assert _rejections(placebos) > 0.8
    assert _rejections(joints) > 0.6
    assert all(row.estimate > 0 for row in placebos)
    assert "parallel trends are in doubt" in min(placebos, key=lambda row: row.p_value).note


def test_a_shock_alike_in_both_arms_is_found_and_its_interaction_is_not(parameters: Parameters) -> None:
    pairs = [shock_check(OUTCOME, FLOOD, cells_after(seed, common=0.1), parameters) for seed in range(80)]
    both, interactions = (list(rows) for rows in zip(*pairs, strict=True))
    assert _rejections(both) > 0.8
    assert 0 < _rejections(interactions) < 0.14


def test_a_shock_that_strikes_one_arm_harder_is_found(parameters: Parameters) -> None:
    pairs = [shock_check(OUTCOME, FLOOD, cells_after(seed, on_treated=0.1), parameters) for seed in range(20)]
    interactions = [row for _, row in pairs]
    assert _rejections(interactions) > 0.8
    assert "the common shocks assumption may not hold" in min(interactions, key=lambda row: row.p_value).note


# -- shocks that cannot be told apart --------------------------------------------------------------------------


@pytest.mark.parametrize(("is_under", "word"), [(True, "All"), (False, "None")])
def test_a_shock_that_never_varies_is_not_computable(
    parameters: Parameters, is_under: bool, word: str
) -> None:
    cells = cells_after(1).assign(is_under_flood=is_under)
    rows = shock_check(OUTCOME, FLOOD, cells, parameters)
    assert [(row.term, row.status) for row in rows] == [
        ("shock", "not computable"),
        ("shock_x_treated", "not computable"),
    ]
    assert rows[0].note.startswith(f"{word} of the post-go-live index events")


@pytest.mark.parametrize(
    ("untouched", "shock_status", "interaction_status"),
    [
        (r"c.", "computed", "not computable"),
        (r"t.", "too few treated", "not computable"),
        (r"t[1-5]|c.", "not computable", "not computable"),
        (r"t[1-5]", "not computable", "not computable"),
        (r"t[2-5]", "too few treated", "too few treated"),
        (r"t[3-5]", "computed", "computed"),
    ],
)
def test_what_a_shock_that_touches_some_authorities_allows(
    parameters: Parameters, untouched: str, shock_status: str, interaction_status: str
) -> None:
    cells = cells_after(2)
    cells["is_under_flood"] &= ~cells.la_code.str.fullmatch(untouched)
    rows = shock_check(OUTCOME, FLOOD, cells, parameters)
    assert [row.status for row in rows] == [shock_status, interaction_status]
    for row in rows:
        assert (row.estimate is None) == (row.status == "not computable")
        assert (row.p_value is None) == (row.status != "computed")


# -- measures that only the shock should move ------------------------------------------------------------------

EXPECTED = ShockOutcome("flood", "referrals_per_10000", "falls", "")
EMPTY = CheckRow(OUTCOME, "common_shocks", "reacts_referrals_per_10000", "flood", "not computable", "")


def _rates(seed: int, *, comparators: float, treated: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for code in [f"{arm}{number}" for arm in "tc" for number in range(5)]:
        level = rng.uniform(100, 160)
        for quarter in pd.period_range("2017Q2", "2022Q3", freq="Q"):
            move = (treated if code[0] == "t" else comparators) * (quarter == pd.Period("2021Q3"))
            rows.append(
                (
                    code,
                    quarter.start_time.date(),
                    level + 3 * (quarter.quarter == 1) + rng.normal(0, 3) + move,
                )
            )
    return pd.DataFrame(rows, columns=["la_code", "quarter_start", "rate"])


@pytest.mark.parametrize(
    ("comparators", "treated", "moved", "differs"),
    [
        (-25, -25, "moved as expected", False),
        (25, 25, "against what was expected", False),
        (-25, 5, "as expected", True),
    ],
)
def test_says_whether_a_measure_moved_as_expected_and_alike(
    parameters: Parameters, comparators: float, treated: float, moved: str, differs: bool
) -> None:
    rates = _rates(9, comparators=comparators, treated=treated)
    arms = {f"t{number}" for number in range(5)}
    shock, interaction = reaction_check(EMPTY, EXPECTED, [FLOOD], rates, arms, parameters)
    assert (shock.term, interaction.term) == ("flood", "flood_x_treated")
    assert shock.estimate == pytest.approx(comparators, abs=6)
    assert interaction.estimate == pytest.approx(treated - comparators, abs=8)
    assert moved in shock.note
    assert (interaction.p_value < 0.05) == differs
    assert ("the shock is not common" in interaction.note) == differs


def test_the_reaction_agrees_with_an_explicit_regression_on_shares_of_days(parameters: Parameters) -> None:
    """Two periods, one of a single authority; days are counted by hand, the regression is statsmodels'."""
    rates = _rates(10, comparators=-10, treated=-10)
    periods = [
        replace(FLOOD, starts_on=dt.date(2020, 3, 23), ends_on=dt.date(2020, 5, 31)),
        replace(FLOOD, starts_on=dt.date(2021, 9, 30), ends_on=None, la_code="c0"),
    ]
    found = reaction_check(EMPTY, EXPECTED, periods, rates, {f"t{number}" for number in range(5)}, parameters)
    by_quarter = {dt.date(2020, 1, 1): 9 / 91, dt.date(2020, 4, 1): 61 / 91}
    local = {dt.date(2021, 7, 1): 1 / 92} | {
        quarter.start_time.date(): 1.0 for quarter in pd.period_range("2021Q4", "2022Q3", freq="Q")
    }
    share = np.array(
        [
            by_quarter.get(row.quarter_start, 0.0)
            + (local.get(row.quarter_start, 0.0) if row.la_code == "c0" else 0)
            for row in rates.itertuples()
        ]
    )
    quarters = pd.PeriodIndex(rates.quarter_start, freq="Q")
    x = np.column_stack(
        [
            *[(rates.la_code == code).to_numpy(float) for code in rates.la_code.unique()],
            *[(quarters.quarter == number).astype(float) for number in (2, 3, 4)],
            np.arange(len(rates)) % 22,
            share,
            share * rates.la_code.str.startswith("t"),
        ]
    )
    names = (*(f"x{number}" for number in range(x.shape[1] - 2)), "share", "share_x_treated")
    sample = as_sample(names, x, np.ones(len(rates)), rates.rate.to_numpy(), rates.la_code.to_numpy())
    for row, name in zip(found, names[-2:], strict=True):
        dense = dense_reference(sample, name)
        assert row.estimate == pytest.approx(dense.estimate, rel=1e-9)
        assert row.std_error == pytest.approx(dense.se_cr2, rel=1e-9)
        assert row.df == pytest.approx(dense.df, rel=1e-8)


def test_a_reaction_needs_two_authorities_of_each_arm(parameters: Parameters) -> None:
    rates = _rates(11, comparators=-10, treated=-10)
    kept = rates[rates.la_code.isin(["t0", "t1", "c0"])].reset_index(drop=True)
    rows = reaction_check(EMPTY, EXPECTED, [FLOOD], kept, {"t0", "t1"}, parameters)
    assert [row.status for row in rows] == ["not computable", "not computable"]
    nothing = reaction_check(EMPTY, EXPECTED, [FLOOD], rates.head(0), {"t0", "t1"}, parameters)
    assert [row.status for row in nothing] == ["not computable", "not computable"]


def test_a_shock_that_never_ends_within_the_quarters_is_not_computable(parameters: Parameters) -> None:
    always = replace(FLOOD, starts_on=dt.date(2017, 1, 1), ends_on=None)
    rates = _rates(12, comparators=0, treated=0)
    rows = reaction_check(EMPTY, EXPECTED, [always], rates, {f"t{number}" for number in range(5)}, parameters)
    assert [row.status for row in rows] == ["not computable", "not computable"]


def test_a_warehouse_without_rates_says_so(matched: Matched) -> None:
    without = SimpleNamespace(list_tables=lambda database: ["index_events"])
    rows = reaction_checks(without, matched.protocol, OUTCOME, matched.groups)
    assert {row.status for row in rows} == {"not computable"}
    assert {row.note for row in rows} == {"The warehouse has no marts.la_quarter_rates."}
    assert (
        len({(row.check_name, row.term) for row in rows})
        == len(rows)
        == 2 * len(matched.protocol.shock_outcomes)
    )


def test_shocks_outside_the_trial_period_are_one_row(matched: Matched) -> None:
    earlier = tuple(row for row in matched.protocol.shocks if row.starts_on < dt.date(2016, 1, 1))
    assert earlier
    protocol = replace(matched.protocol, shocks=earlier)
    (row,) = reaction_checks(matched.backend, protocol, OUTCOME, matched.groups)
    assert (row.check_name, row.status) == ("reacts_no_shock", "not computable")
    (row,) = common_shock_checks(protocol, OUTCOME, matched.children, matched.groups)
    assert (row.check_name, row.status) == ("no_shock", "not computable")


# -- the whole, against explicit rows --------------------------------------------------------------------------


def _explicit_rows(matched: Matched) -> pd.DataFrame:
    """One row per group and child, put together in pandas."""
    key = ["child_id", "sequence"]
    sample = matched.children.sample.to_pandas()[[*key, "la_code", "index_date"]]
    weights = matched.children.group_weights.to_pandas()[
        [*key, "match_group", "is_treated_authority", "group_weight"]
    ]
    rows = weights.merge(sample, on=key).merge(matched.children.values.to_pandas(), on=key)
    rows["index_date"] = pd.to_datetime(rows.index_date)
    dates = {group.match_group: group for group in matched.groups}
    rows["cut_off"] = pd.to_datetime([dates[group].cut_off for group in rows.match_group])
    rows["go_live"] = pd.to_datetime([dates[group].go_live for group in rows.match_group])
    return rows


def _explicit(rows: pd.DataFrame, effects: list[pd.Series], terms: dict[str, pd.Series]) -> dict[str, Any]:
    dummies = [pd.get_dummies(effect.astype(str), dtype=float) for effect in effects]
    x = pd.concat(dummies, axis=1).to_numpy()
    # Independent columns only, by a rank-revealing pass that shares nothing with the package.
    kept: list[int] = []
    for j in range(x.shape[1]):
        if np.linalg.matrix_rank(x[:, [*kept, j]]) > len(kept):
            kept.append(j)
    x = np.column_stack([x[:, kept], *[term.to_numpy(float) for term in terms.values()]])
    names = (*(f"x{j}" for j in range(len(kept))), *terms)
    sample = as_sample(
        names, x, rows.group_weight.to_numpy(), rows.outcome_value.to_numpy(), rows.la_code.to_numpy()
    )
    fitted = sm.WLS(rows.outcome_value.to_numpy(), x, weights=rows.group_weight.to_numpy()).fit()
    return {name: (fitted.params[names.index(name)], dense_reference(sample, name)) for name in terms}


def _assert_agree(row: pd.Series, explicit: tuple[float, Any]) -> None:
    estimate, dense = explicit
    assert row.estimate == pytest.approx(estimate, rel=1e-9, abs=1e-12)
    assert row.std_error == pytest.approx(dense.se_cr2, rel=1e-10)
    assert row.df == pytest.approx(dense.df, rel=1e-9)


def test_cells_give_what_single_rows_give_for_a_placebo(matched: Matched) -> None:
    checks = matched.checks().set_index(["check_name", "term"])
    rows = _explicit_rows(matched)
    rows = rows[(rows.index_date >= "2017-04-01") & (rows.index_date < rows.cut_off)]
    # Walsall has seven quarters before its cut-off: three before the placebo date.
    rows = rows[rows.match_group != "335"].reset_index(drop=True)
    quarter = rows.index_date.dt.to_period("Q")
    is_after = rows.index_date >= rows.cut_off - pd.DateOffset(months=12)
    effects = [rows.match_group + rows.la_code, rows.match_group + quarter.astype(str)]
    terms = {"placebo": rows.is_treated_authority & is_after}
    explicit = _explicit(rows, effects, terms)
    row = checks.loc[("placebo_4", "treated_x_placebo")]
    _assert_agree(row, explicit["placebo"])
    assert (row.n_observations, row.n_clusters) == (len(rows), rows.la_code.nunique())
    assert (row.status, row.n_treated_clusters) == ("computed", 4)


def test_cells_give_what_single_rows_give_for_a_shock(matched: Matched) -> None:
    checks = matched.checks().set_index(["check_name", "term"])
    rows = _explicit_rows(matched)
    rows = rows[rows.index_date >= rows.go_live].reset_index(drop=True)
    is_under = rows.index_date.between("2021-12-02", "2022-05-26")
    terms = {"shock": is_under, "shock_x_treated": is_under & rows.is_treated_authority}
    explicit = _explicit(rows, [rows.match_group + rows.la_code], terms)
    for name, numbers in explicit.items():
        _assert_agree(checks.loc[("national_review_2022", name)], numbers)


def test_every_row_fits_the_results_table_and_says_what_it_means(matched: Matched) -> None:
    checks = matched.checks()
    statuses = ["computed", "not computable", "too few treated", "too few comparators", "refused"]
    assert checks.status.isin(statuses).all()
    assert checks.note.str.len().gt(20).all()
    assert not checks.duplicated(["outcome", "assumption", "check_name", "term"]).any()
    assert set(checks.check_name) >= {"placebo_4", "placebo_8", "leads", "pandemic_restrictions"}
    testable = checks.status == "computed"
    assert checks.p_value.notna().tolist() == testable.tolist()
    with duckdb.connect() as connection:
        schema.create_all(connection)
        columns = ", ".join(checks.columns)
        connection.register("rows", checks)
        connection.execute(
            f"insert into results.assumption_checks (run_id, programme, {columns}) select 'r', 'p', {columns} from rows"
        )
        stored = connection.execute(
            "select count(*), count(p_value) from results.assumption_checks"
        ).fetchone()
    assert stored == (len(checks), int(testable.sum()))


def test_the_same_children_give_the_same_rows_to_the_last_digit(matched: Matched) -> None:
    pd.testing.assert_frame_equal(matched.checks(), matched.checks(), check_exact=True)


def test_rows_without_numbers_keep_their_types() -> None:
    columns = [name for name in schema.column_names("assumption_checks", layer="results") if name != "run_id"]
    frame = as_frame([EMPTY], [name for name in columns if name != "programme"])
    assert str(frame.n_clusters.dtype) == "Int64"
    assert str(frame.p_value.dtype) == "float64"


def test_changed_placebo_quarters_change_names_and_dates(matched: Matched, tmp_path: Path) -> None:
    parameters = replace(matched.protocol.parameters, placebo_quarters_first=5)
    other = replace(matched, protocol=replace(matched.protocol, parameters=parameters))
    checks = other.checks().set_index(["check_name", "term"])
    row = checks.loc[("placebo_5", "treated_x_placebo")]
    # Of ten, twelve and fourteen quarters five lie after the date and at least four before it; nine are enough too.
    assert row.n_treated_clusters == 4
    before = matched.checks().set_index(["check_name", "term"]).loc[("placebo_4", "treated_x_placebo")]
    assert row.estimate != before.estimate
