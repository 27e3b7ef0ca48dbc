"""Assessments, conferences, plans and runs of days against a slow reference, and what must not change them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from random import Random

import pytest

from support.compiled_models import CompiledModels, compile_models
from support.raw_rows import RawRows
from support.reference_spells import (
    AssessmentRecord,
    Dated,
    EnquiryRecord,
    ReferralInReturn,
    assessments,
    conferences,
    days_covered,
    observed_plans,
    observed_referrals,
)

LA_CODE = "335"
YEARS = (2018, 2019, 2020)
FIRST_DAY = date(2018, 1, 1)
MODELS = (
    "int_assessment_spells",
    "int_assessment_factors",
    "int_section47_enquiries",
    "int_initial_conferences",
    "int_cin_plan_spells",
    "int_cp_plan_spells",
    "int_cp_plan_spans",
    "int_referral_spells",
    "int_open_referral_spans",
    "int_missing_episodes",
    "int_care_leaver_records",
)
RETURN_COLUMNS = {"n_returns", "first_return_year", "last_return_year"}
SEEDS = (1, 2, 3)
N_CHILDREN = 300

Children = dict[str, list[ReferralInReturn]]


def histories(seed: int) -> Children:
    """Children whose few days and many records make the same facts meet in several returns, and differ there."""
    draw = Random(seed)

    def day(first: int, last: int) -> date:
        return FIRST_DAY + timedelta(days=draw.randint(first, last))

    def maybe(first: int, last: int) -> date | None:
        return None if draw.random() < 0.3 else day(first, last)

    def referral(year: int, referral_date: date) -> ReferralInReturn:
        n = draw.randint
        return ReferralInReturn(
            return_year=year,
            referral_date=referral_date,
            closure_date=maybe(-2, 14),
            conference=maybe(0, 8),
            assessments=tuple(
                AssessmentRecord(
                    maybe(0, 2), maybe(0, 6), frozenset(draw.sample(["1A", "2B", "3C"], n(0, 2)))
                )
                for _ in range(n(0, 3))
            ),
            enquiries=tuple(EnquiryRecord(maybe(0, 2), maybe(0, 8)) for _ in range(n(0, 2))),
            cp_plans=tuple(Dated(day(0, 12), maybe(0, 20)) for _ in range(n(0, 2))),
            cin_plans=tuple(Dated(day(0, 4), maybe(0, 20)) for _ in range(n(0, 2))),
        )

    children: Children = {}
    for number in range(N_CHILDREN):
        places = [(year, FIRST_DAY + timedelta(days=n)) for year in YEARS for n in range(0, 12, 3)]
        children[f"c{number:03d}"] = [referral(*place) for place in draw.sample(places, draw.randint(1, 7))]
    return children


every_history = pytest.mark.parametrize(
    "children", [pytest.param(histories(n), id=f"seed {n}") for n in SEEDS]
)


@every_history
def test_the_histories_hold_what_the_rules_are_about(children: Children):
    made = [one for records in children.values() for one in assessments(records)]
    spells = [observed_referrals(records) for records in children.values()]
    ends = [{end for start, end in spell if end > start} for spell in spells]
    assert sum(one.n_returns > 1 for one in made) > 20
    assert sum(one.is_conflicting for one in made) > 20
    assert sum((one.completion_no or 0) > 1 for one in made) > 20
    assert sum(one.is_authorised_before_start for one in made) > 20
    assert (
        sum(any(start in closed for start, _ in spell) for spell, closed in zip(spells, ends, strict=True))
        > 10
    )
    assert sum(len(conferences(records)) > 1 for records in children.values()) > 20


def raw_rows(children: Children) -> RawRows:
    """The children's referrals; each child was also missing, and left care, in ways drawn from its referrals."""
    rows = RawRows()
    cin = {year: rows.cin_return(LA_CODE, year) for year in YEARS}
    care = {year: rows.ssda903_return(LA_CODE, year, "episodes,missing,oc3") for year in YEARS}
    for child_id, records in children.items():
        for record in records:
            add_referral(rows, cin[record.return_year], child_id, record)
            # Twice in one return: the place in the file decides, never the order in which rows landed.
            for end in (record.closure_date, record.conference):
                rows.missing(care[record.return_year], child_id, record.referral_date, missing_end=end)
            rows.oc3(
                care[record.return_year], child_id,
                birth_month=date(2000, record.referral_date.day, 1), activity_code="G4",
            )  # fmt: skip
    return rows


def add_referral(rows: RawRows, into, child_id: str, record: ReferralInReturn) -> None:
    child_no = rows.child(into, child_id, birth_month=date(2010, 1, 1))
    referral_no = rows.referral(
        into,
        child_no,
        child_id,
        record.referral_date,
        closure_date=record.closure_date,
        initial_conference_date=record.conference,
    )
    place = (into, child_no, referral_no, child_id)
    for assessment in record.assessments:
        number = rows.assessment(*place, assessment.start, authorisation_date=assessment.authorisation)
        for factor in sorted(assessment.factors):
            rows.factor(into, child_no, referral_no, number, child_id, factor)
    for enquiry in record.enquiries:
        rows.section47(*place, enquiry.start, conference_date=enquiry.conference)
    for plan in record.cp_plans:
        rows.cp_plan(*place, plan.start, plan_end=plan.end)
    for plan in record.cin_plans:
        rows.cin_plan(*place, plan.start, plan_end=plan.end)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> CompiledModels:
    return compile_models(tmp_path_factory.mktemp("compiled"), list(MODELS))


def by_child(found: list[tuple]) -> dict[str, list[tuple]]:
    children: dict[str, list[tuple]] = defaultdict(list)
    for child_id, *values in found:
        children[child_id].append(tuple(values))
    return children


def rows_made(models: CompiledModels, *, without: frozenset[str] | set[str] = frozenset()) -> dict[str, list]:
    """Every row of every model, in order, without the columns named."""
    made = {}
    for model in MODELS:
        columns = [
            name
            for (name,) in models.query(
                f"select column_name from information_schema.columns where table_name = '{model}'"
            )
            if name not in without
        ]
        made[model] = models.query(f"select {', '.join(columns)} from intermediate.{model} order by all")
    return made


@every_history
def test_assessments_and_their_factors_equal_the_reference(models: CompiledModels, children: Children):
    models.build(raw_rows(children), "int_assessment_spells", "int_assessment_factors")
    factors: dict[str, set[str]] = defaultdict(set)
    for assessment_id, code in models.query(
        "select assessment_id, factor_code from intermediate.int_assessment_factors"
    ):
        assert code not in factors[assessment_id]
        factors[assessment_id].add(code)
    found = models.query(
        "select child_id, assessment_id, referral_date, assessment_start, authorisation_date, completion_no, "
        "is_authorised_before_start, is_authorisation_conflicting, n_factors, n_returns "
        "from intermediate.int_assessment_spells order by child_id, referral_date, assessment_start"
    )
    expected = {
        child_id: [
            (
                f"{child_id}_{one.referral_date}_{one.start}",
                one.referral_date, one.start, one.authorisation, one.completion_no,
                one.is_authorised_before_start, one.is_conflicting, len(one.factors), one.n_returns,
            )
            for one in made
        ]
        for child_id, records in children.items()
        if (made := assessments(records))
    }  # fmt: skip
    assert by_child(found) == expected
    assert factors == {
        f"{child_id}_{one.referral_date}_{one.start}": set(one.factors)
        for child_id, records in children.items()
        for one in assessments(records)
        if one.factors
    }


@every_history
def test_conferences_equal_the_reference(models: CompiledModels, children: Children):
    models.build(raw_rows(children), "int_initial_conferences")
    found = models.query(
        "select child_id, conference_date, referral_date, is_from_referral, is_from_section47, "
        "is_before_referral from intermediate.int_initial_conferences order by child_id, conference_date"
    )
    assert by_child(found) == {
        child_id: [
            (day, referral_date, is_referral, is_enquiry, day < referral_date)
            for day, (referral_date, is_referral, is_enquiry) in sorted(named.items())
        ]
        for child_id, records in children.items()
        if (named := conferences(records))
    }


@every_history
@pytest.mark.parametrize(
    ("kind", "model"), [("cp_plans", "int_cp_plan_spells"), ("cin_plans", "int_cin_plan_spells")]
)
def test_plans_equal_the_reference(models: CompiledModels, kind: str, model: str, children: Children):
    models.build(raw_rows(children), model)
    found = models.query(
        "select child_id, plan_start, plan_end, observed_until, is_end_conflicting, n_returns "
        f"from intermediate.{model} order by child_id, plan_start"
    )
    assert by_child(found) == {
        child_id: [(start, *facts) for start, facts in sorted(made.items())]
        for child_id, records in children.items()
        if (made := observed_plans(records, kind))
    }


def plan_spans(records: list[ReferralInReturn]) -> list[tuple[date, date]]:
    return [(start, until) for start, (_, until, *_) in observed_plans(records, "cp_plans").items()]


@every_history
@pytest.mark.parametrize(
    ("model", "spells"), [("int_open_referral_spans", observed_referrals), ("int_cp_plan_spans", plan_spans)]
)
def test_runs_cover_the_same_days_as_the_spells_and_neither_overlap_nor_touch(
    models: CompiledModels,
    model: str,
    spells: Callable[[list[ReferralInReturn]], list[tuple[date, date]]],
    children: Children,
):
    models.build(raw_rows(children), model)
    found = by_child(
        models.query(
            f"select child_id, span_start, span_end from intermediate.{model} order by child_id, span_start"
        )
    )
    for child_id, records in children.items():
        runs = found[child_id]
        assert all(start < end for start, end in runs)
        assert all(end < next_start for (_, end), (next_start, _) in pairwise(runs))
        assert days_covered(runs) == days_covered(spells(records))


@every_history
def test_the_same_facts_in_two_returns_make_the_same_rows(models: CompiledModels, children: Children):
    """Apart from which returns carry them, and from what is open and so observed for another year."""
    closed = {
        child_id: one_a_day_and_return([without_open_ends(replace(r, return_year=2019)) for r in records])
        for child_id, records in children.items()
    }
    twice = {
        child_id: records + [replace(r, return_year=2020) for r in records]
        for child_id, records in closed.items()
    }
    models.build(raw_rows(closed), *MODELS)
    once = rows_made(models, without=RETURN_COLUMNS)
    models.build(raw_rows(twice), *MODELS)
    again = rows_made(models, without=RETURN_COLUMNS)
    # A care leaver's record belongs to its return year; two years are two records.
    assert len(again.pop("int_care_leaver_records")) == 2 * len(once.pop("int_care_leaver_records"))
    assert again == once


def one_a_day_and_return(records: list[ReferralInReturn]) -> list[ReferralInReturn]:
    return list({(record.return_year, record.referral_date): record for record in records}.values())


def without_open_ends(record: ReferralInReturn) -> ReferralInReturn:
    return replace(
        record,
        closure_date=record.closure_date or FIRST_DAY,
        cp_plans=tuple(Dated(plan.start, plan.end or FIRST_DAY) for plan in record.cp_plans),
        cin_plans=tuple(Dated(plan.start, plan.end or FIRST_DAY) for plan in record.cin_plans),
    )


@every_history
def test_the_order_in_which_rows_landed_changes_nothing(models: CompiledModels, children: Children):
    rows = raw_rows(children)
    models.build(rows, *MODELS)
    before = rows_made(models)
    for table in rows.rows.values():
        Random(len(table)).shuffle(table)
    models.build(rows, *MODELS)
    assert rows_made(models) == before


@every_history
def test_removing_a_child_removes_its_rows_and_no_others(models: CompiledModels, children: Children):
    removed = sorted(children)[7]
    models.build(raw_rows(children), *MODELS)
    expected = {
        model: [row for row in made if removed not in row] for model, made in rows_made(models).items()
    }
    models.build(raw_rows({key: value for key, value in children.items() if key != removed}), *MODELS)
    assert rows_made(models) == expected
    assert all(expected.values())
