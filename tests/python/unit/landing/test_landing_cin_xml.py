"""CIN census XML: the variants seen in practice land, and every record is accounted for."""

from __future__ import annotations

from datetime import date
from io import BytesIO
from pathlib import Path

import pytest

from csc_evaluation.landing import land
from csc_evaluation.landing.xml_stream import elements
from support.landing_files import (
    cin_assessment,
    cin_child,
    cin_cp_plan,
    cin_referral,
    cin_xml,
    counts,
    land_one,
    query,
    write,
)


def test_lands_every_record_type_with_its_values(files: Path, warehouse: Path) -> None:
    referral = cin_referral(
        "2019-09-02",
        "<CINclosureDate>2020-01-31</CINclosureDate><ReasonForClosure>rc1</ReasonForClosure>"
        "<DateOfInitialCPC>2019-10-09</DateOfInitialCPC>",
        cin_assessment("2019-09-03", "2B", "3A"),
        "<CINPlanDates><CINPlanStartDate>2019-09-10</CINPlanStartDate><CINPlanEndDate>2019-10-09</CINPlanEndDate>"
        "</CINPlanDates>",
        "<Section47><S47ActualStartDate>2019-09-20</S47ActualStartDate><InitialCPCtarget>2019-10-11</InitialCPCtarget>"
        "<DateOfInitialCPC>2019-10-09</DateOfInitialCPC><ICPCnotRequired>false</ICPCnotRequired></Section47>",
        cin_cp_plan("2019-10-09", "2020-01-31", "2019-12-20"),
        nfa="true",
    )
    child = cin_child(
        "C1",
        referral,
        upn="<UPN>A123456789012</UPN><FormerUPN>B123456789012</FormerUPN>",
        disabilities=("HAND", "HEAR"),
    )
    outcome = land_one(write(files, "census.xml", cin_xml(child)), warehouse)
    assert outcome.status == "landed"
    assert counts(outcome) == {
        "Child": (1, 1, 0),
        "Disability": (2, 2, 0),
        "CINdetails": (1, 1, 0),
        "Assessments": (1, 1, 0),
        "AssessmentFactors": (2, 2, 0),
        "Section47": (1, 1, 0),
        "CINPlanDates": (1, 1, 0),
        "ChildProtectionPlans": (1, 1, 0),
        "Reviews": (1, 1, 0),
    }
    assert query(
        warehouse,
        "select la_code, return_year, child_no, birth_month, is_expected_birth, gender_code, ethnicity_code, "
        "pupil_id is not null and former_pupil_id is not null and pupil_id <> former_pupil_id from raw.cin_children",
    ) == [("335", 2020, 1, date(2015, 5, 1), False, "2", "WBRI", True)]
    assert query(warehouse, "select * exclude (return_id, child_id) from raw.cin_referrals") == [
        ("335", 2020, 1, 1, date(2019, 9, 2), "1A", "N1", date(2020, 1, 31), "RC1", date(2019, 10, 9), True)
    ]
    assert query(warehouse, "select factor_code from raw.cin_assessment_factors order by 1") == [
        ("2B",),
        ("3A",),
    ]
    assert query(warehouse, "select * exclude (return_id, child_id) from raw.cin_section47") == [
        ("335", 2020, 1, 1, 1, date(2019, 9, 20), date(2019, 10, 11), date(2019, 10, 9), False)
    ]
    assert query(warehouse, "select plan_start, plan_end from raw.cin_plans") == [
        (date(2019, 9, 10), date(2019, 10, 9))
    ]
    assert query(
        warehouse,
        "select plan_start, plan_end, initial_category_code, latest_category_code, n_previous_plans from raw.cin_cp_plans",
    ) == [(date(2019, 10, 9), date(2020, 1, 31), "NEG", "EMO", 1)]
    assert query(warehouse, "select review_date from raw.cin_cp_reviews") == [(date(2019, 12, 20),)]


@pytest.mark.parametrize(
    ("gender", "expected"),
    [
        ("<GenderCurrent>1</GenderCurrent>", "1"),
        ("<Sex>F</Sex>", "F"),
        ("<Sex/><GenderCurrent>2</GenderCurrent>", "2"),
        ("", None),
    ],
)
def test_takes_sex_or_gender(files: Path, warehouse: Path, gender: str, expected: str | None) -> None:
    land_one(write(files, "c.xml", cin_xml(cin_child("C1", cin_referral(), gender=gender))), warehouse)
    assert query(warehouse, "select gender_code from raw.cin_children") == [(expected,)]


def test_sets_aside_namespaces_mark_comments_and_stray_text(files: Path, warehouse: Path) -> None:
    text = cin_xml(
        cin_child("C1", cin_referral("2019-<!-- split -->09-02", cin_assessment("2019-09-03", "2A"))),
        root='<Message xmlns="urn:any"><?tool one?>',
    )
    text = text.replace("</GenderCurrent>", "</GenderCurrent>GenderCurrent").replace(
        "<Children>", "<Children>stray"
    )
    marked = b"\xef\xbb\xbf" + b'<?xml version="1.0" encoding="utf-8"?>\n' + text.encode()
    outcome = land_one(write(files, "c.xml", marked), warehouse)
    assert outcome.status == "landed"
    assert query(warehouse, "select referral_date from raw.cin_referrals") == [(date(2019, 9, 2),)]
    assert counts(outcome)["AssessmentFactors"] == (1, 1, 0)


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "windows-1252"])
def test_reads_the_encoding_that_the_file_declares(files: Path, warehouse: Path, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + cin_xml(cin_child("Ü1", cin_referral()))
    assert land_one(write(files, "c.xml", text, encoding), warehouse).status == "landed"


def test_lands_a_return_without_children(files: Path, warehouse: Path) -> None:
    outcome = land_one(write(files, "c.xml", cin_xml()), warehouse)
    assert (outcome.status, outcome.n_found) == ("landed", 0)
    assert outcome.notes == ("there is no child in it",)
    assert query(warehouse, "select la_code, return_year, n_found from raw.returns") == [("335", 2020, 0)]


@pytest.mark.parametrize(
    ("year", "reference_date", "expected", "is_noted"),
    [
        ("2020", "2020-03-31", 2020, False),
        ("2023", "2024-03-31", 2024, True),
        ("2021", "2020-12-31", 2021, True),
        ("2021", "31/02/2021", 2021, True),
        ("", "2022-03-31", 2022, False),
    ],
)
def test_takes_the_year_of_a_31_march_reference_date_else_the_headers(
    files: Path, warehouse: Path, year: str, reference_date: str, expected: int, is_noted: bool
) -> None:
    text = cin_xml(cin_child("C1", cin_referral()), year=year, reference_date=reference_date)
    outcome = land_one(write(files, "c.xml", text), warehouse)
    assert outcome.return_year == expected
    assert bool(outcome.notes) == is_noted
    (notes,) = query(warehouse, "select notes from raw.returns")[0]
    assert (notes is not None) == is_noted


@pytest.mark.parametrize("year", range(2017, 2027))
def test_lands_every_census_year_with_its_own_code_list(files: Path, warehouse: Path, year: int) -> None:
    text = cin_xml(
        cin_child("C1", cin_referral(f"{year - 1}-09-02", cin_assessment(f"{year - 1}-09-03", "24A"))),
        year=str(year),
        reference_date=f"{year}-03-31",
    )
    outcome = land_one(write(files, "c.xml", text), warehouse)
    assert (outcome.status, outcome.return_year, outcome.n_rejected) == ("landed", year, 0)
    is_unlisted = any(code == "24A" for _, _, code, _ in outcome.unlisted)
    assert is_unlisted == (year < 2022)


@pytest.mark.parametrize(
    ("record", "record_type", "field", "n_parents_rejected"),
    [
        (
            cin_child("", cin_referral("2019-09-02", cin_assessment("2019-09-03", "2A"))),
            "Child",
            "LAchildID",
            3,
        ),
        (
            cin_child("C1", cin_referral(), birth="<PersonBirthDate>2015-02-30</PersonBirthDate>"),
            "Child",
            "PersonBirthDate",
            1,
        ),
        (
            cin_child("C1", cin_referral("31/02/2020", cin_cp_plan("2020-03-01", "", "2020-03-20"))),
            "CINdetails",
            "CINreferralDate",
            2,
        ),
        (cin_child("C1", cin_referral("")), "CINdetails", "CINreferralDate", 0),
        (
            cin_child("C1", cin_referral("2019-09-02", "<CINclosureDate>2020-02-30</CINclosureDate>")),
            "CINdetails",
            "CINclosureDate",
            0,
        ),
        (
            cin_child("C1", cin_referral("2019-09-02", cin_assessment("2019-09-31", "2A", "2B"))),
            "Assessments",
            "AssessmentActualStartDate",
            2,
        ),
        (
            cin_child("C1", cin_referral("2019-09-02", cin_assessment("2019-09-03", ""))),
            "AssessmentFactors",
            "AssessmentFactors",
            0,
        ),
        (
            cin_child(
                "C1",
                cin_referral(
                    "2019-09-02", "<Section47><S47ActualStartDate>x</S47ActualStartDate></Section47>"
                ),
            ),
            "Section47",
            "S47ActualStartDate",
            0,
        ),
        (
            cin_child(
                "C1",
                cin_referral(
                    "2019-09-02", "<CINPlanDates><CINPlanEndDate>2019-09-10</CINPlanEndDate></CINPlanDates>"
                ),
            ),
            "CINPlanDates",
            "CINPlanStartDate",
            0,
        ),
        (
            cin_child(
                "C1", cin_referral("2019-09-02", cin_cp_plan("2019-10-10", "2019-10-09", "2019-12-01"))
            ),
            "ChildProtectionPlans",
            "CPPendDate",
            1,
        ),
        (
            cin_child("C1", cin_referral("2019-09-02", cin_cp_plan("2019-10-10", "", "2019-13-01"))),
            "Reviews",
            "CPPreviewDate",
            0,
        ),
        (cin_child("C1", cin_referral(), disabilities=(" ",)), "Disability", "Disability", 0),
    ],
)
def test_refuses_a_record_that_cannot_be_used_with_all_inside_it(
    files: Path, warehouse: Path, record: str, record_type: str, field: str, n_parents_rejected: int
) -> None:
    sound = cin_child("C2", cin_referral("2019-09-02", cin_assessment("2019-09-03", "2A")))
    outcome = land_one(write(files, "c.xml", cin_xml(record, sound)), warehouse)
    assert outcome.status == "landed"
    own = [row for row in outcome.rejects if row.reason != "parent record rejected"]
    assert [(row.record_type, row.field) for row in own] == [(record_type, field)]
    assert outcome.n_rejected == 1 + n_parents_rejected
    assert all(row.record_path.startswith("Message/Children/Child[1]") for row in outcome.rejects)
    stored = query(warehouse, "select record_type, record_path, field, reason from raw.rejects order by all")
    assert len(stored) == outcome.n_rejected
    assert query(warehouse, "select n_found, n_accepted, n_rejected from raw.returns") == [
        (outcome.n_found, outcome.n_accepted, outcome.n_rejected)
    ]
    assert query(
        warehouse, "select count(*) from raw.return_counts where n_found <> n_accepted + n_rejected"
    ) == [(0,)]
    assert counts(outcome)["Child"][1] >= 1


@pytest.mark.parametrize(
    ("birth", "referral", "is_kept"),
    [
        ("2020-06-09", "2019-09-10", True),
        ("2020-06-10", "2019-09-10", False),
        ("2020-11-30", "2019-09-10", False),
        ("2019-09-10", "2019-09-10", True),
        ("1994-09-10", "2019-09-10", True),
        ("1994-09-09", "2019-09-10", False),
        ("1960-01-01", "2019-09-10", False),
        ("2020-09-30", "2019-12-31", False),
        ("2020-09-29", "2019-12-31", True),
    ],
)
@pytest.mark.parametrize("element", ["PersonBirthDate", "ExpectedPersonBirthDate"])
def test_refuses_a_referral_nine_months_before_birth_or_over_25_years_after_it(
    files: Path, warehouse: Path, birth: str, referral: str, is_kept: bool, element: str
) -> None:
    child = cin_child("C1", cin_referral(referral), birth=f"<{element}>{birth}</{element}>")
    outcome = land_one(write(files, "c.xml", cin_xml(child)), warehouse)
    assert counts(outcome)["CINdetails"] == ((1, 1, 0) if is_kept else (1, 0, 1))
    assert counts(outcome)["Child"] == (1, 1, 0)


def test_keeps_an_expected_birth_as_such(files: Path, warehouse: Path) -> None:
    child = cin_child(
        "C1", cin_referral(), birth="<ExpectedPersonBirthDate>2020-02-14</ExpectedPersonBirthDate>"
    )
    land_one(write(files, "c.xml", cin_xml(child)), warehouse)
    assert query(warehouse, "select birth_month, is_expected_birth from raw.cin_children") == [
        (date(2020, 2, 1), True)
    ]


def test_keeps_a_closure_before_the_referral_for_the_warehouse_to_judge(files: Path, warehouse: Path) -> None:
    child = cin_child("C1", cin_referral("2019-09-02", "<CINclosureDate>2019-08-01</CINclosureDate>"))
    assert counts(land_one(write(files, "c.xml", cin_xml(child)), warehouse))["CINdetails"] == (1, 1, 0)


def test_keeps_both_records_of_a_child_that_stands_twice_and_says_so(files: Path, warehouse: Path) -> None:
    text = cin_xml(
        cin_child("C1", cin_referral()),
        cin_child(" C1 ", cin_referral("2019-11-01")),
        cin_child("C2", cin_referral()),
    )
    outcome = land_one(write(files, "c.xml", text), warehouse)
    assert counts(outcome)["Child"] == (3, 3, 0)
    assert counts(outcome)["CINdetails"] == (3, 3, 0)
    assert outcome.notes == ("1 child stands more than once in this file; every record is kept",)
    assert query(warehouse, "select count(distinct child_id), max(child_no) from raw.cin_children") == [
        (2, 3)
    ]


def test_reports_a_code_outside_its_list_and_keeps_it(files: Path, warehouse: Path) -> None:
    child = cin_child(
        "C1", cin_referral("2019-09-02", cin_assessment("2019-09-03", "99Z", "2A")), ethnicity="Mill Lane"
    )
    outcome = land_one(write(files, "c.xml", cin_xml(child)), warehouse)
    assert set(outcome.unlisted) == {
        ("AssessmentFactors", "AssessmentFactors", "99Z", 1),
        ("Child", "Ethnicity", "INVALID", 1),
    }
    assert query(warehouse, "select count(*) from raw.cin_assessment_factors where factor_code = '99Z'") == [
        (1,)
    ]
    assert query(
        warehouse, "select record_type, field, code, n_records from raw.unlisted_codes order by 1"
    ) == sorted(outcome.unlisted)


def test_names_the_elements_that_no_census_has(files: Path, warehouse: Path) -> None:
    child = cin_child("C1", cin_referral("2019-09-02", "<Mood>good</Mood>")).replace(
        "</Child>", "<Extra/></Child>"
    )
    outcome = land_one(write(files, "c.xml", cin_xml(child)), warehouse)
    assert outcome.status == "landed"
    assert outcome.notes == ("elements that the census does not have, set aside: Extra (1), Mood (1)",)


def test_notes_an_authority_that_did_not_exist_that_year(files: Path, warehouse: Path) -> None:
    text = cin_xml(cin_child("C1", cin_referral()), la_code="838", year="2018", reference_date="2018-03-31")
    assert land_one(write(files, "c.xml", text), warehouse).notes == (
        "authority 838 did not exist in the year to 31 March 2018",
    )


def test_holds_one_child_at_a_time() -> None:
    text = cin_xml(*(cin_child(f"C{number}", cin_referral()) for number in range(2_000)))
    held = []
    for element in elements(BytesIO(text.encode()), ("Child",)):
        parent = element.getparent()
        assert parent is not None
        held.append(len(parent))
    assert len(held) == 2_000
    # The parser reads ahead by its chunk of the file, and no further.
    assert max(held) < 200


def test_lands_more_children_than_one_batch_holds(
    files: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csc_evaluation.landing.cin_xml.BATCH_RECORDS", 7)
    path = write(files, "c.xml", cin_xml(*(cin_child(f"C{n}", cin_referral()) for n in range(50))))
    told: list[int] = []
    report = land(
        [path], warehouse=warehouse, on_progress=lambda index, n, file, done, size: told.append(done)
    )
    assert counts(report)["Child"] == (50, 50, 0)
    assert query(warehouse, "select count(distinct child_id), count(*) from raw.cin_referrals") == [(50, 50)]
    assert told[0] == 0
    assert told[-1] == path.stat().st_size
    assert told == sorted(told)


MISPLACED = "stands where the census does not have it"
FACTOR = "<AssessmentFactors>1A</AssessmentFactors>"
ENQUIRY = "<Section47><S47ActualStartDate>2019-09-20</S47ActualStartDate></Section47>"
REVIEW = "<CPPreviewDate>2019-11-01</CPPreviewDate>"


@pytest.mark.parametrize(
    ("child", "record_type", "n_found", "n_accepted"),
    [
        (
            cin_child(
                "C1", cin_referral("2019-09-02", cin_assessment().replace("<Factors", f"{FACTOR}<Factors"))
            ),
            "AssessmentFactors",
            1,
            0,
        ),
        (
            cin_child(
                "C1",
                cin_referral(
                    "2019-09-02",
                    cin_assessment("2019-09-03", "2A").replace("</Assessments>", f"{ENQUIRY}</Assessments>"),
                ),
            ),
            "Section47",
            1,
            0,
        ),
        (
            cin_child(
                "C1", cin_referral("2019-09-02", cin_cp_plan().replace("</ChildPro", f"{REVIEW}</ChildPro"))
            ),
            "Reviews",
            1,
            0,
        ),
        (
            cin_child("C1", cin_referral()).replace("</Child>", f"{cin_assessment()}</Child>"),
            "Assessments",
            1,
            0,
        ),
        (
            cin_child("C1", cin_referral()).replace("</Child>", f"<Group>{cin_referral()}</Group></Child>"),
            "CINdetails",
            2,
            1,
        ),
        (
            cin_child("C1", cin_referral("31/02/2019", f"<Group>{ENQUIRY}</Group>{ENQUIRY}")),
            "Section47",
            2,
            0,
        ),
        (f"<Late>{cin_referral()}</Late>{cin_child('C1')}<Late>{cin_referral()}</Late>", "CINdetails", 2, 0),
    ],
    ids=["factor", "enquiry", "review", "assessment", "wrapped", "in_refused", "beside_children"],
)
def test_a_record_where_the_census_has_none_is_refused_and_counted(
    files: Path, warehouse: Path, child: str, record_type: str, n_found: int, n_accepted: int
) -> None:
    outcome = land_one(write(files, "c.xml", cin_xml(child)), warehouse)
    assert counts(outcome)[record_type] == (n_found, n_accepted, n_found - n_accepted)
    n_listed = query(warehouse, "select count(*) from raw.rejects where record_type = ?", record_type)
    assert n_listed == [(n_found - n_accepted,)]
    assert MISPLACED in {reject.reason for reject in outcome.rejects}


def test_a_header_that_names_two_authorities_is_refused_and_one_written_twice_lands(
    files: Path, warehouse: Path
) -> None:
    text = cin_xml(cin_child("C1", cin_referral()))
    header = text[text.index("<Header>") : text.index("<Children>")]
    twice = text.replace(header, header + header)
    assert land_one(write(files, "twice.xml", twice), warehouse).la_code == "335"
    other = text.replace(header, header + header.replace("335", "336"))
    outcome = land_one(write(files, "other.xml", other), warehouse)
    assert (outcome.status, "more than one LEA" in outcome.message) == ("failed", True)


def test_children_under_another_name_are_refused_and_replace_nothing(files: Path, warehouse: Path) -> None:
    text = cin_xml(cin_child("C1", cin_referral()))
    land_one(write(files, "good.xml", text), warehouse)
    renamed = text.replace("<Child>", "<child>").replace("</Child>", "</child>")
    outcome = land_one(write(files, "renamed.xml", renamed), warehouse)
    assert (outcome.status, "has no Child in its Children" in outcome.message) == ("failed", True)
    assert query(warehouse, "select count(*) from raw.cin_children") == [(1,)]
