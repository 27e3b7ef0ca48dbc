"""What the returns hold, read back from the files or the landed tables."""

from __future__ import annotations

import csv
from pathlib import Path

import duckdb
import numpy as np
import pytest
from lxml import etree

from csc_evaluation.synthetic import SynthesisConfig, synthesise
from csc_evaluation.synthetic.authorities import authority_groups, neighbours
from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.extracts import CIN_COLUMNS, CLA_COLUMNS
from csc_evaluation.synthetic.generate import draw_group
from csc_evaluation.synthetic.lives import Trial, autoregressive_path
from synthetic.conftest import MadeEngland


def rows(warehouse: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute(query).fetchall()


def number(warehouse: Path, query: str) -> int:
    value = rows(warehouse, query)[0][0]
    assert isinstance(value, int)
    return value


def test_a_return_holds_the_referrals_open_in_its_year_and_knows_nothing_later(clean: MadeEngland) -> None:
    assert (
        number(
            clean.landed,
            "select count(*) from raw.cin_referrals where referral_date > make_date(return_year, 3, 31) "
            "or closure_date < make_date(return_year - 1, 4, 1) or closure_date > make_date(return_year, 3, 31)",
        )
        == 0
    )
    spans = number(
        clean.landed,
        "select count(*) from raw.cin_referrals as a join raw.cin_referrals as b using (la_code, child_id, referral_date) "
        "where b.return_year = a.return_year + 1 and a.closure_date is null and b.closure_date is not null",
    )
    assert spans > 100
    assert (
        number(
            clean.landed,
            "select count(*) from raw.cin_referrals as a where closure_date is null and return_year < 2024 "
            "and la_code <> '928' and not exists (select 1 from raw.cin_referrals as b where b.la_code = a.la_code "
            "and b.child_id = a.child_id and b.referral_date = a.referral_date and b.return_year = a.return_year + 1)",
        )
        == 0
    )


def test_primary_need_changes_between_returns_of_some_referrals(clean: MadeEngland) -> None:
    assert (
        number(
            clean.landed,
            "select count(*) from (select la_code, child_id, referral_date from raw.cin_referrals group by all "
            "having count(distinct primary_need_code) > 1)",
        )
        > 5
    )


def test_plans_end_in_a_later_return_and_carry_previous_plans(clean: MadeEngland) -> None:
    assert (
        number(
            clean.landed,
            "select count(*) from raw.cin_cp_plans as a join raw.cin_cp_plans as b using (la_code, child_id, plan_start) "
            "where b.return_year = a.return_year + 1 and a.plan_end is null and b.plan_end is not null",
        )
        > 5
    )
    assert number(clean.landed, "select count(*) from raw.cin_cp_plans where n_previous_plans > 0") > 5
    assert (
        number(
            clean.landed,
            "select count(*) from raw.cin_cp_plans as p join raw.cin_referrals as r "
            "using (return_id, child_no, referral_no) where p.plan_start < r.referral_date or p.plan_end > r.closure_date",
        )
        == 0
    )


@pytest.mark.parametrize(
    ("table", "condition", "first_year"),
    [
        ("cin_referrals", "closure_reason = 'RC9'", 2023),
        ("cin_referrals", "referral_source = '5D'", 2023),
        ("cin_plans", "true", 2022),
        ("cin_assessment_factors", "factor_code in ('18B', '18C')", 2021),
        ("cin_assessment_factors", "factor_code = '24A'", 2022),
    ],
)
def test_what_came_later_stands_in_no_earlier_return(
    clean: MadeEngland, table: str, condition: str, first_year: int
) -> None:
    found = rows(clean.landed, f"select min(return_year), count(*) from raw.{table} where {condition}")[0]
    assert found[0] == first_year
    assert isinstance(found[1], int)
    assert found[1] > 5


def test_siblings_are_referred_together_and_share_ethnicity(clean: MadeEngland) -> None:
    config = SynthesisConfig(scale=0.05, seed=2, authorities=("335",), messiness=0.0)
    calibration = Calibration.load()
    group = authority_groups(config, calibration)[0]
    lives = draw_group(
        config, calibration, Trial.load(config.programme), group, neighbours(config, calibration)
    ).lives
    family = lives.children.family
    _, first, size = np.unique(family, return_index=True, return_counts=True)
    several = np.flatnonzero(size > 1)
    assert len(several) > 50
    for place in several[:200]:
        members = np.flatnonzero(family == family[first[place]])
        assert len(set(lives.children.ethnicity[members].tolist())) == 1
        assert len(set(lives.children.poverty[members].tolist())) == 1
        firsts = {
            int(lives.referrals.referral_date[lives.referrals.child == child].min()) for child in members
        }
        assert len(firsts) == 1


def test_children_who_move_carry_their_upn_under_another_child_id(tmp_path: Path) -> None:
    # Neighbours in the ring of authorities by code.
    config = SynthesisConfig(scale=0.3, seed=3, authorities=("334", "335"), messiness=0.0, format="raw")
    warehouse = tmp_path / "w.duckdb"
    synthesise(config, tmp_path / "raw", warehouse=warehouse)
    moved = rows(
        warehouse,
        "select a.pupil_id, max(a.referral_end), min(b.referral_start), bool_or(a.child_id = b.child_id) from "
        "(select pupil_id, child_id, max(referral_date) as referral_end from raw.cin_children join raw.cin_referrals "
        " using (return_id, child_no, child_id) where raw.cin_children.la_code = '334' group by all) as a join "
        "(select pupil_id, child_id, min(referral_date) as referral_start from raw.cin_children join raw.cin_referrals "
        " using (return_id, child_no, child_id) where raw.cin_children.la_code = '335' group by all) as b "
        "on a.pupil_id = b.pupil_id group by a.pupil_id",
    )
    assert len(moved) > 3
    assert not any(same for *_, same in moved)
    assert all(left <= arrived for _, left, arrived, _ in moved)  # type: ignore[operator]


def test_an_authority_that_was_divided_returns_under_its_old_code_then_under_the_new(
    clean: MadeEngland,
) -> None:
    years = dict(
        rows(
            clean.landed,
            "select la_code, list(distinct return_year order by return_year) from raw.cin_referrals "
            "where la_code in ('928', '940', '941') group by 1",
        )
    )
    assert years == {
        "928": [2018, 2019, 2020, 2021],
        "940": [2022, 2023, 2024],
        "941": [2022, 2023, 2024],
    }
    shared = "(select child_id from raw.cin_children where la_code = '928') as a join raw.cin_children as b using (child_id)"
    assert number(clean.landed, f"select count(*) from {shared} where b.la_code <> '928'") == 0
    by_pupil = (
        "(select distinct pupil_id from raw.cin_children where la_code = '928' and pupil_id is not null) as a"
    )
    assert (
        number(
            clean.landed,
            f"select count(*) from {by_pupil} join raw.cin_children as b using (pupil_id) where b.la_code = '940'",
        )
        > 10
    )


def test_episodes_follow_one_another_and_keep_their_true_start(clean: MadeEngland) -> None:
    assert (
        number(
            clean.landed,
            "select count(*) from raw.ssda903_episodes where episode_start > make_date(return_year, 3, 31) "
            "or episode_end > make_date(return_year, 3, 31) or episode_end < make_date(return_year - 1, 4, 1) "
            "or (episode_end is null) <> (reason_episode_ceased is null)",
        )
        == 0
    )
    assert (
        number(
            clean.landed, "select count(*) from raw.ssda903_episodes where episode_start < date '2016-04-01'"
        )
        > 5
    )
    assert (
        number(
            clean.landed,
            "select count(*) from (select *, lead(episode_start) over (partition by la_code, child_id, return_year "
            "order by episode_start) as next_start from raw.ssda903_episodes where legal_status not in ('V3', 'V4')) "
            "where next_start < episode_end or (reason_episode_ceased = 'X1' and next_start - episode_end > 1)",
        )
        == 0
    )


def test_every_module_has_rows_and_a_header_for_every_child(clean: MadeEngland) -> None:
    for module in (
        "episodes",
        "uasc",
        "reviews",
        "missing",
        "oc2",
        "oc3",
        "ad1",
        "placed_for_adoption",
        "previous_permanence",
    ):
        assert number(clean.landed, f"select count(*) from raw.ssda903_{module}") > 0
        assert (
            number(
                clean.landed,
                f"select count(*) from raw.ssda903_{module} as m where not exists (select 1 from raw.ssda903_header as h "
                "where h.la_code = m.la_code and h.return_year = m.return_year and h.child_id = m.child_id)",
            )
            == 0
        )


def test_terms_not_collected_are_not_there(clean: MadeEngland) -> None:
    with (clean.out / "school" / "absence_20.csv").open() as file:
        header = next(csv.reader(file))
    assert header == [
        "PupilMatchingRefAnonymous_ab20", "NCyearActual_ab20", "SessionsPossible_Autumn_ab20",
        "AuthorisedAbsence_Autumn_ab20", "UnauthorisedAbsence_Autumn_ab20",
    ]  # fmt: skip
    assert (
        number(
            clean.landed,
            "select count(sessions_possible_spring) from raw.school_absence where academic_year = 2020",
        )
        == 0
    )
    assert (
        number(
            clean.landed,
            "select count(sessions_possible_spring) from raw.school_absence where academic_year = 2021",
        )
        > 100
    )


def test_absence_never_exceeds_the_sessions(clean: MadeEngland) -> None:
    for term in ("autumn", "spring", "summer"):
        assert (
            number(
                clean.landed,
                f"select count(*) from raw.school_absence where authorised_absence_{term} + unauthorised_absence_{term} "
                f"> sessions_possible_{term}",
            )
            == 0
        )


def test_school_age_children_link_to_school_records(clean: MadeEngland) -> None:
    linked, everyone = rows(
        clean.landed,
        "select count(*) filter (where exists (select 1 from raw.school_census as s where s.pupil_id = c.pupil_id)), "
        "count(*) from raw.cin_children as c where pupil_id is not null and birth_month between date '2008-01-01' and date '2012-01-01'",
    )[0]
    assert isinstance(linked, int)
    assert linked > 500
    assert linked == everyone


def test_software_writes_booleans_either_way_and_few_authorities_write_xml(clean: MadeEngland) -> None:
    assert "<ReferralNFA>true" in (clean.out / "cin" / "cin_335_2018.xml").read_text()
    assert "<ReferralNFA>1" in (clean.out / "cin" / "cin_888_2018.xml").read_text()
    assert (clean.out / "ssda903_359_2018.xml").is_file()
    assert (clean.out / "ssda903_335_2018" / "episodes.csv").is_file()


def test_sex_takes_the_place_of_gender_from_2025(tmp_path: Path) -> None:
    config = SynthesisConfig(scale=0.1, authorities=("335",), first_year=2024, last_year=2025, messiness=0.0)
    synthesise(config, tmp_path / "out")
    for year, tag, other, known in (
        (2024, "GenderCurrent", "Sex", {"1", "2"}),
        (2025, "Sex", "GenderCurrent", {"M", "F"}),
    ):
        tree = etree.parse(str(tmp_path / "out" / "cin" / f"cin_335_{year}.xml"))
        assert known <= {element.text for element in tree.iter(tag)} <= known | {"0", "U"}
        assert next(tree.iter(other), None) is None
    with (tmp_path / "out" / "ssda903_335_2025" / "header.csv").open() as file:
        assert {row["SEX"] for row in csv.DictReader(file)} == {"M", "F"}


def test_messy_returns_have_the_flaws_of_real_ones(messy: MadeEngland) -> None:
    for query in (
        "select count(*) from raw.cin_children where ethnicity_code = 'NOBT'",
        "select count(*) from raw.cin_children where upn_unknown = 'UN5'",
        "select count(*) from raw.unlisted_codes",
        "select count(*) from raw.rejects where reason = 'no child identifier'",
        "select count(*) from raw.rejects where record_type = 'episodes'",
        "select count(*) from raw.cin_referrals where closure_date < referral_date",
        "select count(*) from (select return_id, child_id from raw.cin_children group by all having count(*) > 1)",
        "select count(*) from (select child_id from raw.cin_children where gender_code in ('1', '2') group by 1 "
        "having count(distinct gender_code) > 1)",
        "select count(*) from (select child_id from raw.cin_children where not is_expected_birth group by 1 "
        "having count(distinct birth_month) > 1)",
    ):
        assert number(messy.landed, query) > 0, query


def test_authority_effects_are_serially_correlated() -> None:
    path = autoregressive_path(np.random.default_rng(1), 20_000, 0.7)
    assert np.std(path) == pytest.approx(1, abs=0.05)
    assert np.corrcoef(path[1:], path[:-1])[0, 1] == pytest.approx(0.7, abs=0.03)


def test_extracts_stack_the_years_from_2009_under_the_services_names(tmp_path: Path) -> None:
    config = SynthesisConfig(
        scale=0.05,
        seed=4,
        authorities=("335",),
        format="extracts",
        first_year=2009,
        last_year=2024,
        messiness=0.0,
    )
    synthesise(config, tmp_path / "out")
    with (tmp_path / "out" / "cin.csv").open() as file:
        cin = list(csv.DictReader(file))
    with (tmp_path / "out" / "cla.csv").open() as file:
        cla = list(csv.DictReader(file))
    assert tuple(cin[0]) == CIN_COLUMNS
    assert tuple(cla[0]) == CLA_COLUMNS
    assert {row["CIN_ACADYR"] for row in cin} == {f"{year - 1}/{year}" for year in range(2009, 2025)}
    assert {row["reason_episode_ceased"] for row in cla} >= {"-10", "X1"}
    old = {row["placement"] for row in cla if row["CLA_ACADYR"] == "2009/2010"}
    new = {
        row["placement"]
        for row in cla
        if row["CLA_ACADYR"] == "2019/2020" and row["date_episode_started"][6:] > "2015"
    }
    assert old & {"Q1", "Q2"}
    assert not old & {"U4", "U6"}
    assert not new & {"Q1", "Q2"}
    linked = {row["CIN_PupilMatchingRefAnonymous"] for row in cin} - {""}
    with (tmp_path / "out" / "school" / "census_SPR15.csv").open() as file:
        pupils = {row["PupilMatchingRefAnonymous_SPR15"] for row in csv.DictReader(file)}
    assert linked & pupils
    assert not any(reference[0].isalpha() and reference[1:].isdigit() for reference in linked)
