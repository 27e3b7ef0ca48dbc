"""The research service's wide tables: columns by a seed, whatever their case and prefix."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.landing_files import counts, land_one, query, write

TERMS = ("Autumn", "Spring", "Summer")
COUNTS = ("SessionsPossible", "AuthorisedAbsence", "UnauthorisedAbsence")


def absence_columns(year: str = "19", terms: tuple[str, ...] = TERMS, prefix: str = "") -> list[str]:
    names = [f"PupilMatchingRefAnonymous_ab{year}", f"NCyearActual_ab{year}"]
    names += [f"{count}_{term}_ab{year}" for term in terms for count in COUNTS]
    return [prefix + name for name in names]


def absence(*rows: str, columns: list[str] | None = None) -> str:
    return "\n".join([",".join(columns or absence_columns()), *rows]) + "\n"


CENSUS = (
    "PupilMatchingRefAnonymous_SPR19,NCyearActual_SPR19,FSMeligible_SPR19,EVERFSM_6_SPR19,PupilPremium_SPR19"
)


def test_lands_a_wide_absence_table(files: Path, warehouse: Path) -> None:
    path = write(
        files,
        "a.csv",
        absence("P1,7,120,3,0,110,2,1,130,0,0", "P2,R,,,,110,2.0,1,130,x,0", ",7,1,1,1,1,1,1,1,1,1"),
    )
    outcome = land_one(path, warehouse)
    assert (outcome.collection, outcome.la_code, outcome.return_year, outcome.modules) == (
        "school_absence",
        None,
        2019,
        ("absence",),
    )
    assert counts(outcome) == {"absence": (3, 2, 1)}
    assert query(
        warehouse, "select * exclude (return_id, pupil_id) from raw.school_absence order by record_no"
    ) == [
        (2019, 1, "7", 120, 3, 0, 110, 2, 1, 130, 0, 0),
        (2019, 2, "R", None, None, None, 110, 2, 1, 130, None, 0),
    ]
    assert outcome.unlisted == (("absence", "authorised_absence_summer", "INVALID", 1),)
    assert [(row.record_path, row.field) for row in outcome.rejects] == [("row 4", "pupil_reference")]


@pytest.mark.parametrize(
    "change", [str.lower, str.upper, lambda name: "ABS_" + name, lambda name: "npd_abs_" + name]
)
def test_sets_case_and_prefix_of_columns_aside(files: Path, warehouse: Path, change) -> None:  # type: ignore[no-untyped-def]
    columns = [change(name) for name in absence_columns()]
    outcome = land_one(
        write(files, "a.csv", absence("P1,7,120,3,0,110,2,1,130,0,0", columns=columns)), warehouse
    )
    assert (outcome.status, outcome.notes) == ("landed", ())
    assert query(warehouse, "select sessions_possible_summer from raw.school_absence") == [(130,)]


def test_lands_a_census_table_by_term(files: Path, warehouse: Path) -> None:
    land_one(write(files, "spr.csv", f"{CENSUS}\nP1,1,1,0,Y\nP2,N1,0,1,false\n"), warehouse)
    land_one(write(files, "aut.csv", f"{CENSUS.replace('SPR', 'AUT')}\nP1,1,1,0,1\n"), warehouse)
    assert query(
        warehouse, "select collection, modules, is_superseded from raw.returns order by modules"
    ) == [
        ("school_census", "census_autumn", False),
        ("school_census", "census_spring", False),
    ]
    assert query(
        warehouse,
        "select academic_year, census_term, record_no, nc_year, is_fsm_eligible, is_ever_fsm_6, is_pupil_premium "
        "from raw.school_census order by census_term, record_no",
    ) == [
        (2019, "autumn", 1, "1", True, False, True),
        (2019, "spring", 1, "1", True, False, True),
        (2019, "spring", 2, "N1", False, True, False),
    ]


def test_lands_a_year_in_which_terms_were_not_collected_and_names_them(files: Path, warehouse: Path) -> None:
    columns = absence_columns("20", ("Autumn",))
    outcome = land_one(write(files, "a.csv", absence("P1,7,120,3,0", columns=columns)), warehouse)
    assert outcome.return_year == 2020
    assert outcome.notes[0].startswith("columns not there, left missing: sessions_possible_spring")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (absence_columns()[1:], "lacks the column PupilMatchingRefAnonymous_ab19"),
        (absence_columns()[:4] + absence_columns()[5:], "lacks the column UnauthorisedAbsence_Autumn_ab19"),
        (absence_columns()[:2], "lacks the column SessionsPossible_<Term>_ab19"),
        (CENSUS.replace("FSMeligible", "Other").split(","), "lacks the column FSMeligible_SPR19"),
        (absence_columns() + absence_columns()[-1:], "more than once for: unauthorised_absence_summer"),
        ([*absence_columns(), "npd_NCyearActual_ab19"], "more than once for: nc_year"),
        (
            absence_columns() + absence_columns("20"),
            "several school tables (school_absence 2019, school_absence 2020)",
        ),
    ],
)
def test_refuses_columns_that_do_not_make_one_table(
    files: Path, warehouse: Path, columns: list[str], words: str
) -> None:
    outcome = land_one(write(files, "a.csv", absence(columns=columns)), warehouse)
    assert outcome.status == "failed"
    assert words in outcome.message


def test_names_unknown_columns(files: Path, warehouse: Path) -> None:
    columns = [*absence_columns(), "Enrolments_ab19"]
    outcome = land_one(write(files, "a.csv", absence("P1,7,1,1,1,1,1,1,1,1,1,2", columns=columns)), warehouse)
    assert outcome.notes == ("columns not in the column mapping, set aside: Enrolments_ab19",)


def test_a_pupil_links_to_a_return_by_the_same_reference(files: Path, warehouse: Path) -> None:
    land_one(write(files, "a.csv", absence(" d051910639385 ,7,1,1,1,1,1,1,1,1,1")), warehouse)
    header = "CHILD,SEX,DOB,ETHNIC,UPN,MOTHER,MC_DOB\nA1,1,01/01/2010,WBRI,D051910639385,,\n"
    land_one(write(files, "ssda903_335_2020/h.csv", header), warehouse)
    assert query(
        warehouse, "select count(*) from raw.school_absence join raw.ssda903_header using (pupil_id)"
    ) == [(1,)]


def test_lands_more_rows_than_one_batch_holds(
    files: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csc_evaluation.landing.school._BATCH_ROWS", 10)
    rows = [f"P{number},7,1,1,1,1,1,1,1,1,1" for number in range(95)]
    assert counts(land_one(write(files, "a.csv", absence(*rows)), warehouse)) == {"absence": (95, 95, 0)}
    assert query(
        warehouse, "select count(*), count(distinct pupil_id), max(record_no) from raw.school_absence"
    ) == [(95, 95, 95)]


def test_a_header_row_in_the_middle_is_no_pupil(files: Path, warehouse: Path) -> None:
    header = (
        "PupilMatchingRefAnonymous_ab19,NCyearActual_ab19,SessionsPossible_Autumn_ab19,"
        "AuthorisedAbsence_Autumn_ab19,UnauthorisedAbsence_Autumn_ab19"
    )
    text = f"{header}\nP1,5,100,3,1\n{header}\nP2,5,100,3,1\n"
    outcome = land_one(write(files, "a.csv", text), warehouse)
    assert counts(outcome) == {"absence": (3, 2, 1)}
    assert outcome.unlisted == ()
