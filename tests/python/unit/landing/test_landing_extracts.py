"""The research service's extracts: many authorities and years in one file, landed as the returns they stack."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from csc_evaluation.landing import FileOutcome, land, render_report
from csc_evaluation.landing.extract_rows import CARE_COLUMNS, CENSUS_COLUMNS
from csc_evaluation.landing.rejects import Spill
from csc_evaluation.synthetic.extracts import CIN_COLUMNS, CLA_COLUMNS
from support.landing_files import cin_child, cin_referral, cin_xml, content, counts, land_one, query, write

REFERRAL = {
    "CIN_LA": "335",
    "CIN_LAchildID_Anon": "A1",
    "CIN_PupilMatchingRefAnonymous": "PMR1",
    "CIN_ACADYR": "2019/2020",
    "CIN_ReferralDate": "02/09/2019",
    "CIN_ReferralSource": "1A",
    "CIN_PrimaryNeedCode": "N1",
    "CIN_ReferralNFA": "0",
    "CIN_Gender": "2",
    "CIN_EthnicGroupMinor": "WBRI",
    "CIN_MonthOfBirth": "5",
    "CIN_YearOfBirth": "2015",
}
EPISODE = {
    "LA": "335",
    "CHILD_LA_CODE_ANON": "A1",
    "CLA_PupilMatchingRefAnonymous": "PMR1",
    "CLA_ACADYR": "2019/2020",
    "date_episode_started": "01/06/2019",
    "legal_status": "C2",
    "placement": "U6",
    "cin": "N1",
    "reason_new_episode": "S",
    "reason_episode_ceased": "-10",
    "uasc_status": "0",
    "SEX": "2",
    "ethnic_or": "WBRI",
    "dob_Month": "5",
    "dob_Year": "2015",
}


def table(columns: tuple[str, ...] | list[str], common: dict[str, str], *changes: dict[str, str]) -> str:
    lines = [",".join((common | change).get(name, "") for name in columns) for change in changes]
    return "\n".join([",".join(columns), *lines]) + "\n"


def cin(*changes: dict[str, str]) -> str:
    return table(CIN_COLUMNS, REFERRAL, *changes)


def cla(*changes: dict[str, str]) -> str:
    return table(CLA_COLUMNS, EPISODE, *changes)


NO_YEARS = [name for name in CLA_COLUMNS if name != "CLA_ACADYR"]


def land_text(files: Path, warehouse: Path, text: str, name: str = "extract.csv", **options: int | str | bool) -> FileOutcome:  # fmt: skip
    return land_one(write(files, name, text), warehouse, **options)


def test_rows_of_one_referral_make_one_child_one_referral_and_what_is_beneath(
    files: Path, warehouse: Path
) -> None:
    first_plan = {"CIN_CPPstartDate": "10/10/2019", "CIN_CPPendDate": "01/02/2020"}
    first_plan |= {"CIN_LatestCategoryOfAbuse": "NEG", "CIN_NumberOfPreviousCPP": "1"}
    assessment = {
        "CIN_AssessmentActualStartDate": "03/09/2019",
        "CIN_AssessmentAuthorisationDate": "01/10/2019",
    }
    text = cin(
        first_plan,
        {"CIN_LAchildID_Anon": "B2", "CIN_PupilMatchingRefAnonymous": ""},
        {"CIN_CPPstartDate": "10/03/2020"},
        assessment | {"CIN_AssessmentFactors": '"1A, 4b;1A"'},
        # A plan beside an assessment, both told before, with one factor more.
        first_plan | assessment | {"CIN_AssessmentFactors": "9A"},
        {"CIN_ReferralDate": "2020-01-05", "CIN_ReferralNFA": "true"},
    )
    outcome = land_text(files, warehouse, text)
    assert (outcome.status, outcome.collection, outcome.modules) == ("landed", "cin", ("census",))
    assert counts(outcome) == {
        "extract_rows": (6, 6, 0),
        "Child": (2, 2, 0),
        "CINdetails": (3, 3, 0),
        "Assessments": (1, 1, 0),
        "AssessmentFactors": (3, 3, 0),
        "ChildProtectionPlans": (2, 2, 0),
    }
    assert query(
        warehouse,
        "select child_no, cast(birth_month as varchar), is_expected_birth, gender_code, ethnicity_code, "
        "pupil_id is not null from raw.cin_children order by 1",
    ) == [(1, "2015-05-01", False, "2", "WBRI", True), (2, "2015-05-01", False, "2", "WBRI", False)]
    assert query(
        warehouse,
        "select child_no, referral_no, cast(referral_date as varchar), referral_source, primary_need_code, is_nfa "
        "from raw.cin_referrals order by 1, 2",
    ) == [
        (1, 1, "2019-09-02", "1A", "N1", False),
        (1, 2, "2020-01-05", "1A", "N1", True),
        (2, 1, "2019-09-02", "1A", "N1", False),
    ]
    assert query(
        warehouse,
        "select child_no, referral_no, record_no, cast(plan_start as varchar), cast(plan_end as varchar), "
        "initial_category_code, latest_category_code, n_previous_plans from raw.cin_cp_plans order by 3",
    ) == [(1, 1, 1, "2019-10-10", "2020-02-01", None, "NEG", 1), (1, 1, 2, "2020-03-10", None, None, None, None)]  # fmt: skip
    assert query(
        warehouse, "select record_no, factor_code from raw.cin_assessment_factors order by factor_code"
    ) == [(1, "1A"), (1, "4B"), (1, "9A")]


def test_a_manifest_row_for_each_authority_and_year_and_one_line_in_the_report(
    files: Path, warehouse: Path
) -> None:
    rows = [
        {"CIN_LA": la, "CIN_ACADYR": year}
        for la in ("335", "336", "888")
        for year in ("2008/2009", "2017-18", "201819")
    ]
    path = write(files, "cin.csv", cin(*rows))
    report = land([path], warehouse=warehouse)
    assert query(
        warehouse,
        "select la_code, return_year, modules, n_found, n_accepted from raw.returns order by all",
    ) == [(la, year, "census", 3, 3) for la in ("335", "336", "888") for year in (2009, 2018, 2019)]
    assert report.files[0].scope == "9 returns of 3 authorities, 2009 to 2019"
    console = Console(record=True, width=200)
    render_report(report, console)
    printed = console.export_text()
    assert printed.count("cin.csv") == 1
    assert "cin, 9 returns of 3 authorities, 2009 to 2019: 27 found, 27 accepted, 0 rejected" in printed


def test_the_order_of_rows_does_not_matter(files: Path, tmp_path: Path) -> None:
    rows = [
        {"CIN_LA": la, "CIN_ACADYR": f"{year - 1}/{year}", "CIN_LAchildID_Anon": f"C{child}"}
        | {"CIN_CPPstartDate": f"{plan:02d}/10/{year - 1}", "CIN_ReferralDate": f"02/09/{year - 1}"}
        for la in ("335", "888")
        for year in (2018, 2019)
        for child in range(6)
        for plan in (3, 4, 5)
    ]
    columns = {
        "cin_children": "la_code, return_year, child_id, birth_month",
        "cin_referrals": "la_code, return_year, child_id, referral_date",
        "cin_cp_plans": "la_code, return_year, child_id, plan_start",
    }
    found = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "w.duckdb.key").write_text("the same key for all of them")
        random.Random(number).shuffle(rows)
        land_text(files, folder / "w.duckdb", cin(*rows))
        found.append(
            [query(folder / "w.duckdb", f"select {names} from raw.{name} order by all") for name, names in columns.items()]
        )  # fmt: skip
    assert [len(part) for part in found[0]] == [24, 24, 72]
    assert found[0] == found[1] == found[2]


def test_more_rows_than_one_batch_holds_land_the_same(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"CIN_LAchildID_Anon": f"C{n % 40}", "CIN_LA": ("335", "888", "212")[n % 3]}
        | {"CIN_AssessmentActualStartDate": f"{n % 28 + 1:02d}/10/2019"}
        for n in range(300)
    ]
    found = []
    for size in (100_000, 7):
        monkeypatch.setattr("csc_evaluation.landing.extract_rows.BATCH_ROWS", size)
        monkeypatch.setattr("csc_evaluation.landing.extract_records.BATCH_ROWS", size)
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / "w.duckdb.key").write_text("the same key for both of them")
        assert counts(land_text(files, folder / "w.duckdb", cin(*rows)))["extract_rows"] == (300, 300, 0)
        found.append(content(folder / "w.duckdb"))
    assert found[0] == found[1]


def test_children_looked_after_become_header_episodes_and_asylum_records(
    files: Path, warehouse: Path
) -> None:
    text = cla(
        {"date_episode_ceased": "01/08/2019", "reason_episode_ceased": "X1", "placement": "Q2"},
        {"date_episode_started": "01/08/2019", "reason_new_episode": "P"},
        {"CLA_ACADYR": "2020/2021", "date_episode_ceased": "03/05/2020", "reason_episode_ceased": "E4"},
        {"CHILD_LA_CODE_ANON": "B1", "uasc_status": "1"},
        # The service knows an end that the return could not know.
        {"CHILD_LA_CODE_ANON": "B1", "uasc_status": "1", "date_episode_ceased": "03/05/2020", "legal_status": "V2"},
    )  # fmt: skip
    outcome = land_text(files, warehouse, text)
    assert counts(outcome) == {
        "extract_rows": (5, 5, 0),
        "header": (3, 3, 0),
        "episodes": (5, 5, 0),
        "uasc": (1, 1, 0),
    }
    assert outcome.unlisted == ()
    assert query(
        warehouse,
        "select return_year, record_no, cast(episode_start as varchar), placement, cast(episode_end as varchar), "
        "reason_episode_ceased, reason_new_episode, legal_status from raw.ssda903_episodes order by 1, 2",
    ) == [
        (2020, 1, "2019-06-01", "Q2", "2019-08-01", "X1", "S", "C2"),
        (2020, 2, "2019-08-01", "U6", None, None, "P", "C2"),
        (2020, 3, "2019-06-01", "U6", None, None, "S", "C2"),
        (2020, 4, "2019-06-01", "U6", None, None, "S", "V2"),
        (2021, 1, "2019-06-01", "U6", "2020-05-03", "E4", "S", "C2"),
    ]
    assert query(warehouse, "select distinct modules from raw.returns") == [("header,episodes,uasc",)]
    assert query(warehouse, "select gender_code, cast(birth_month as varchar) from raw.ssda903_uasc") == [
        ("2", "2015-05-01")
    ]


def test_without_a_year_column_episodes_stand_in_the_years_in_which_they_last(
    files: Path, warehouse: Path
) -> None:
    text = table(
        NO_YEARS,
        EPISODE,
        {"date_episode_started": "01/01/2015", "date_episode_ceased": "31/03/2020", "reason_episode_ceased": "X1"},
        {"date_episode_started": "31/03/2020", "reason_new_episode": "P"},
        {"CHILD_LA_CODE_ANON": "B1", "date_episode_started": "01/06/2018"},
        # The same episode again, as a later year tells it.
        {
            "CHILD_LA_CODE_ANON": "B1",
            "date_episode_started": "01/06/2018",
            "date_episode_ceased": "01/05/2019",
            "reason_episode_ceased": "E4A",
        },
        {"LA": "888", "date_episode_started": "01/02/2018", "date_episode_ceased": "02/02/2018", "reason_episode_ceased": "E4A"},
        {"date_episode_started": "01/04/2021"},
        {"date_episode_started": "32/04/2020"},
    )  # fmt: skip
    outcome = land_text(files, warehouse, text, return_year=2021)
    assert counts(outcome)["extract_rows"] == (7, 5, 2)
    assert counts(outcome)["episodes"][2] == 0
    # Nothing in the extract ends before 2018, so it covers 2018 and later.
    assert query(
        warehouse,
        "select la_code, return_year, cast(episode_start as varchar), cast(episode_end as varchar), "
        "reason_episode_ceased from raw.ssda903_episodes order by all",
    ) == [
        ("335", 2018, "2015-01-01", None, None),
        ("335", 2019, "2015-01-01", None, None),
        ("335", 2019, "2018-06-01", None, None),
        ("335", 2020, "2015-01-01", "2020-03-31", "X1"),
        ("335", 2020, "2018-06-01", "2019-05-01", "E4A"),
        ("335", 2020, "2020-03-31", None, None),
        ("335", 2021, "2020-03-31", None, None),
        ("888", 2018, "2018-02-01", "2018-02-02", "E4A"),
    ]
    assert [(row.record_path, row.reason) for row in outcome.rejects] == [
        ("row 8", "not a calendar date (expected YYYY-MM-DD or DD/MM/YYYY)"),
        ("row 7", "starts after the last return year (--year)"),
    ]


def test_without_a_year_column_and_without_the_option_the_file_is_refused(
    files: Path, warehouse: Path
) -> None:
    outcome = land_text(files, warehouse, table(NO_YEARS, EPISODE, {}))
    assert outcome.status == "failed"
    assert "give --year, the last return year that it covers" in outcome.message


def prefixed(prefix: str) -> Callable[[str], str]:
    return lambda name: prefix + name


@pytest.mark.parametrize(
    "change",
    [str.lower, str.upper, prefixed("npd_"), lambda name: name.removeprefix("CIN_").removeprefix("CLA_")],
)
@pytest.mark.parametrize("text", [cin({}), cla({})])
def test_sets_case_and_prefix_of_columns_aside(
    files: Path, warehouse: Path, text: str, change: Callable[[str], str]
) -> None:
    header, row = text.splitlines()
    names = ",".join(change(name) for name in header.split(","))
    outcome = land_text(files, warehouse, f"{names}\n{row}\n")
    assert (outcome.status, outcome.notes) == ("landed", ())
    assert counts(outcome)["extract_rows"] == (1, 1, 0)


def test_a_column_spelt_as_the_service_does_goes_before_one_that_only_ends_alike(
    files: Path, warehouse: Path
) -> None:
    text = table([*CIN_COLUMNS, "CIN_Previous_LA"], REFERRAL, {"CIN_Previous_LA": "888"})
    outcome = land_text(files, warehouse, text)
    assert outcome.notes == ("columns not in the column mapping, set aside: CIN_Previous_LA",)
    assert query(warehouse, "select la_code from raw.cin_children") == [("335",)]


def test_a_column_that_may_be_absent_is_named_and_left_missing(files: Path, warehouse: Path) -> None:
    columns = [name for name in CIN_COLUMNS if name not in {"CIN_PrimaryNeedCode", "CIN_AssessmentFactors"}]
    outcome = land_text(files, warehouse, table(columns, REFERRAL, {}))
    assert outcome.notes == ("columns not there, left missing: CIN_PrimaryNeedCode, CIN_AssessmentFactors",)
    columns = [name for name in CLA_COLUMNS if name != "uasc_status"]
    outcome = land_text(files, warehouse, table(columns, EPISODE, {}), "cla.csv")
    assert outcome.modules == ("header", "episodes")


BAD_FILES = {
    "missing column": (cin({}).replace("CIN_ReferralDate,", "", 1), "lacks the column CIN_ReferralDate;"),
    "renamed column": (
        cin({}).replace("CIN_CPPstartDate", "PlanBegin"),
        "lacks the column CIN_CPPstartDate;",
    ),
    "two missing": (
        cla({}).replace("legal_status", "a").replace("dob_Year", "b"),
        "lacks the columns legal_status, dob_Year; where a column has another name, add it to",
    ),
    "column twice": (
        cin({}).replace("CIN_AnyPoint", "cin_gender"),
        "has the same column more than once: CIN_Gender, cin_gender",
    ),
    "two names for one": (cin({}).replace("CIN_AnyPoint", "CIN_Sex"), "more than once: CIN_Gender, CIN_Sex"),
    "no rows": (cin(), "has no row below its header"),
    "no authority anywhere": (
        cin({"CIN_LA": ""}, {"CIN_LA": ""}, {"CIN_ACADYR": ""}),
        "has no row that belongs to an authority and return year; most often: CIN_LA, no authority.",
    ),
    "quotes": (cin({}) + '"335,SECRET', "quotation marks do not match"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_read_is_refused_by_name_and_leaves_the_warehouse_as_it_was(
    files: Path, warehouse: Path, name: str
) -> None:
    land_text(files, warehouse, cin({}, {"CIN_ACADYR": "2018/2019"}), "before.csv")
    before = content(warehouse)
    text, words = BAD_FILES[name]
    outcome = land_text(files, warehouse, text, "bad.csv")
    assert outcome.status == "failed"
    assert words in outcome.message
    assert "SECRET" not in outcome.message
    assert content(warehouse) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"la_code": "888"}, "has rows of authority 335, but --authority says 888"),
        ({"return_year": 2019}, "has rows of the year ending 2020, but --year says 2019"),
    ],
)
def test_an_option_that_contradicts_the_rows_refuses_the_file(
    files: Path, warehouse: Path, options: dict[str, str | int], words: str
) -> None:
    outcome = land_text(files, warehouse, cin({}), **options)
    assert outcome.status == "failed"
    assert words in outcome.message
    assert query(warehouse, "select count(*) from raw.returns") == [(0,)]


NOT_A_DATE = "not a calendar date (expected YYYY-MM-DD or DD/MM/YYYY)"
PLAN = {"CIN_CPPstartDate": "10/10/2019", "CIN_AssessmentActualStartDate": "01/10/2019", "CIN_AssessmentFactors": "1A 2A"}  # fmt: skip
INSIDE = [
    ("ChildProtectionPlans", "CINdetails", "parent record rejected"),
    ("Assessments", "CINdetails", "parent record rejected"),
    ("AssessmentFactors", "CINdetails", "parent record rejected"),
    ("AssessmentFactors", "CINdetails", "parent record rejected"),
]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"CIN_LA": " "}, [("extract_rows", "CIN_LA", "no authority")]),
        ({"CIN_LA": "999"}, [("extract_rows", "CIN_LA", "no authority code of England")]),
        ({"CIN_ACADYR": ""}, [("extract_rows", "CIN_ACADYR", "no academic year")]),
        (
            {"CIN_ACADYR": "2018/2020"},
            [("extract_rows", "CIN_ACADYR", "not an academic year (expected 2017/2018, 2017-18 or 201718)")],
        ),
        ({"CIN_LAchildID_Anon": " "}, [("extract_rows", "CIN_LAchildID_Anon", "no child identifier")]),
        (
            {"CIN_MonthOfBirth": "13"},
            [
                (
                    "extract_rows",
                    "CIN_MonthOfBirth",
                    "not a month of birth (expected month 1 to 12 and a year)",
                )
            ],
        ),
        ({"CIN_ReferralDate": ""}, [("CINdetails", "CIN_ReferralDate", "no referral date"), *INSIDE]),
        ({"CIN_ReferralDate": "31/02/2019"}, [("CINdetails", "CIN_ReferralDate", NOT_A_DATE), *INSIDE]),
        ({"CIN_CINClosureDate": "soon"}, [("CINdetails", "CIN_CINClosureDate", NOT_A_DATE), *INSIDE]),
        ({"CIN_DateOfInitialCPC": "0"}, [("CINdetails", "CIN_DateOfInitialCPC", NOT_A_DATE), *INSIDE]),
        (
            {"CIN_MonthOfBirth": "7", "CIN_YearOfBirth": "2020"},
            [("CINdetails", "CIN_ReferralDate", "birth is 9 months or more after the referral"), *INSIDE],
        ),
        (
            {"CIN_MonthOfBirth": "8", "CIN_YearOfBirth": "1994"},
            [("CINdetails", "CIN_ReferralDate", "birth is over 25 years before the referral"), *INSIDE],
        ),
        (
            {"CIN_CPPendDate": "09/10/2019"},
            [("ChildProtectionPlans", "CIN_CPPendDate", "ends before it starts")],
        ),
        (
            {"CIN_CPPstartDate": "", "CIN_CPPendDate": "09/10/2019"},
            [("ChildProtectionPlans", "CIN_CPPstartDate", "no start date")],
        ),
        ({"CIN_CPPstartDate": "10/2019"}, [("ChildProtectionPlans", "CIN_CPPstartDate", NOT_A_DATE)]),
        (
            {"CIN_AssessmentAuthorisationDate": "99/99/9999"},
            [
                ("Assessments", "CIN_AssessmentAuthorisationDate", NOT_A_DATE),
                ("AssessmentFactors", "Assessments", "parent record rejected"),
                ("AssessmentFactors", "Assessments", "parent record rejected"),
            ],
        ),
    ],
)
def test_refuses_what_a_return_would_be_refused_for_with_its_place_and_reason(
    files: Path, warehouse: Path, change: dict[str, str], refused: list[tuple[str, str, str]]
) -> None:
    outcome = land_text(files, warehouse, cin({"CIN_LAchildID_Anon": "Z9"}, PLAN | change))
    assert outcome.status == "landed"
    assert [(row.record_type, row.field, row.reason) for row in outcome.rejects] == refused
    assert {row.record_path.split(",")[0] for row in outcome.rejects} == {"row 3"}
    assert outcome.n_found == outcome.n_accepted + outcome.n_rejected
    assert counts(outcome)["extract_rows"][0] == 2
    stored = query(warehouse, "select record_type, field, reason from raw.rejects")
    assert sorted(stored) == sorted(refused)
    sums = "select sum(n_found), sum(n_accepted), sum(n_rejected) from raw."
    assert query(warehouse, sums + "returns") == query(warehouse, sums + "return_counts")
    assert query(warehouse, sums + "returns") == [(outcome.n_found, outcome.n_accepted, outcome.n_rejected)]


@pytest.mark.parametrize(("month", "year"), [("6", "2020"), ("9", "1994")])
def test_ages_within_the_limits_on_some_day_of_the_month_are_kept(
    files: Path, warehouse: Path, month: str, year: str
) -> None:
    outcome = land_text(files, warehouse, cin({"CIN_MonthOfBirth": month, "CIN_YearOfBirth": year}))
    assert outcome.n_rejected == 0
    assert query(warehouse, "select is_expected_birth from raw.cin_children") == [(year == "2020",)]


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"date_episode_started": ""}, "date_episode_started", "no date"),
        ({"date_episode_started": "2019"}, "date_episode_started", NOT_A_DATE),
        ({"date_episode_ceased": "31/06/2019"}, "date_episode_ceased", NOT_A_DATE),
        (
            {"date_episode_ceased": "31/05/2019"},
            "date_episode_ceased",
            "ends before it starts (before date_episode_started)",
        ),
    ],
)
def test_an_episode_that_cannot_be_is_refused_and_its_child_kept(
    files: Path, warehouse: Path, change: dict[str, str], field: str, reason: str
) -> None:
    outcome = land_text(files, warehouse, cla(change))
    assert counts(outcome) == {"extract_rows": (1, 1, 0), "header": (1, 1, 0), "episodes": (1, 0, 1)}
    assert [(row.record_path, row.field, row.reason) for row in outcome.rejects] == [("row 2", field, reason)]


def test_rows_that_cannot_be_told_apart_are_refused(files: Path, warehouse: Path) -> None:
    header = ",".join(CIN_COLUMNS)
    outcome = land_text(files, warehouse, cin({}) + "335,A1,PMR\n" + f"{header}\n")
    assert counts(outcome)["extract_rows"] == (3, 1, 2)
    assert [row.reason for row in outcome.rejects] == [
        f"3 values where the header has {len(CIN_COLUMNS)} columns",
        "the header row again",
    ]


def test_rows_without_authority_stand_apart_and_count_for_nobody(files: Path, warehouse: Path) -> None:
    outcome = land_text(files, warehouse, cin({}, {"CIN_LA": "999"}, {"CIN_ACADYR": "x"}))
    assert query(
        warehouse,
        "select la_code, return_year, modules, n_found, n_rejected from raw.returns order by la_code nulls last",
    ) == [("335", 2020, "census", 3, 0), (None, 2020, "unattributed", 2, 2)]
    assert outcome.notes == (
        "rows that belong to no authority and year: 2; they are in the manifest as module unattributed",
    )


def test_landing_twice_changes_nothing_under_whatever_name(files: Path, warehouse: Path) -> None:
    text = cin({}, {"CIN_LA": "888"}, {"CIN_LA": ""})
    land_text(files, warehouse, text)
    before = content(warehouse)
    again = land_text(files, warehouse, text, "copy.csv")
    assert (again.status, again.message) == ("unchanged", "was landed before; nothing changed.")
    assert content(warehouse) == before


def test_a_corrected_extract_replaces_the_returns_it_has_in_common(files: Path, warehouse: Path) -> None:
    first = cin({}, {"CIN_LA": "888"}, {"CIN_ACADYR": "2018/2019", "CIN_ReferralDate": "01/09/2018"}, {"CIN_LA": ""})  # fmt: skip
    land_text(files, warehouse, first, "first.csv")
    partly = land_text(files, warehouse, cin({"CIN_PrimaryNeedCode": "N5"}), "second.csv")
    assert partly.replaced == ("first.csv",)
    assert query(warehouse, "select la_code, return_year, primary_need_code from raw.cin_referrals order by all") == [
        ("335", 2019, "N1"),
        ("335", 2020, "N5"),
        ("888", 2020, "N1"),
    ]  # fmt: skip
    # What belongs to no return stays until the last return of its file is replaced.
    current = "select count(*) from raw.returns where modules = 'unattributed' and not is_superseded"
    assert query(warehouse, current) == [(1,)]
    again = land_text(files, warehouse, first, "first.csv")
    assert again.status == "unchanged"
    assert "replaced in part by second.csv" in again.message
    whole = land_text(files, warehouse, first.replace("N1", "N2"), "third.csv")
    assert set(whole.replaced) == {"first.csv in 2 returns", "second.csv"}
    assert query(warehouse, "select distinct primary_need_code from raw.cin_referrals") == [("N2",)]
    assert query(warehouse, current) == [(1,)]
    assert query(warehouse, "select count(*), sum(is_superseded::int) from raw.returns") == [(9, 5)]


def test_a_replaced_extract_can_be_made_valid_again(files: Path, warehouse: Path) -> None:
    first = cin({}, {"CIN_LA": "888"})
    land_text(files, warehouse, first, "first.csv")
    alone = content(warehouse)
    land_text(files, warehouse, cin({"CIN_PrimaryNeedCode": "N5"}), "second.csv")
    outcome = land_text(files, warehouse, first, "first.csv", reinstate=True)
    assert (outcome.status, outcome.replaced) == ("landed", ("second.csv",))
    after = content(warehouse)
    assert after["cin_referrals"] == alone["cin_referrals"]
    assert query(warehouse, "select file_name, is_superseded, count(*) from raw.returns group by all order by 1") == [
        ("first.csv", False, 2),
        ("second.csv", True, 1),
    ]  # fmt: skip


def test_an_extract_and_an_authoritys_own_return_replace_each_other(files: Path, warehouse: Path) -> None:
    own = write(files, "own.xml", cin_xml(cin_child("C1", cin_referral())))
    land([own], warehouse=warehouse)
    outcome = land_text(files, warehouse, cin({}, {"CIN_LA": "888"}))
    assert outcome.replaced == ("own.xml",)
    assert query(warehouse, "select count(*) from raw.cin_children where la_code = '335'") == [(1,)]
    back = land_one(own, warehouse, reinstate=True)
    assert back.replaced == ("extract.csv",)
    assert query(warehouse, "select la_code, file_name from raw.returns where not is_superseded order by 1") == [
        ("335", "own.xml"),
        ("888", "extract.csv"),
    ]  # fmt: skip


def test_a_child_described_in_two_ways_is_kept_in_both_and_noted(files: Path, warehouse: Path) -> None:
    outcome = land_text(files, warehouse, cin({}, {"CIN_EthnicGroupMinor": "NOBT"}, {}))
    assert counts(outcome)["Child"] == (2, 2, 0)
    assert counts(outcome)["CINdetails"] == (2, 2, 0)
    assert outcome.notes == (
        "1 child is described in more than one way within a return; every description is kept",
    )


def test_codes_outside_the_lists_of_their_year_are_kept_and_counted_by_return(
    files: Path, warehouse: Path
) -> None:
    rows = [
        {"CIN_REC": "RC9", "CIN_ACADYR": "2021/2022"},
        {"CIN_REC": "RC9", "CIN_ACADYR": "2022/2023"},
        {"CIN_ReferralNFA": "maybe", "CIN_PrimaryNeedCode": "Jo Smith"},
    ]
    land_text(files, warehouse, cin(*rows))
    assert query(
        warehouse,
        "select return_year, field, code, n_records from raw.unlisted_codes join raw.returns using (return_id) order by all",
    ) == [
        (2020, "PrimaryNeedCode", "INVALID", 1),
        (2020, "ReferralNFA", "INVALID", 1),
        (2022, "ReasonForClosure", "RC9", 1),
    ]


def test_an_authority_that_did_not_exist_in_the_year_is_noted(files: Path, warehouse: Path) -> None:
    outcome = land_text(files, warehouse, cin({}, {"CIN_LA": "941"}))
    assert outcome.notes == ("returns of authorities that did not exist in their year: 1 of 941",)
    assert query(warehouse, "select notes from raw.returns where la_code = '941'") == [
        ("authority 941 did not exist in the year to 31 March 2020",)
    ]


def test_a_pupil_links_to_school_tables_by_the_anonymous_reference(files: Path, warehouse: Path) -> None:
    land_text(files, warehouse, cin({}))
    land_text(files, warehouse, cla({}), "cla.csv")
    header = "PupilMatchingRefAnonymous_SPR19,FSMeligible_SPR19"
    land_text(files, warehouse, f"{header}\n pmr1,1\n", "spr.csv")
    for records in ("cin_children", "ssda903_header"):
        assert query(warehouse, f"select count(*) from raw.{records} join raw.school_census using (pupil_id)") == [(1,)]  # fmt: skip
    assert query(warehouse, "select count(*) from raw.cin_children join raw.ssda903_header using (child_id)") == [(1,)]  # fmt: skip


def test_no_identifier_reaches_the_warehouse_the_report_or_what_is_put_aside(
    files: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_aside: list[bytes] = []
    original = Spill.put_aside

    def watched(self: Spill) -> None:
        put_aside.append(repr(self.rows).encode())
        original(self)

    monkeypatch.setattr(Spill, "put_aside", watched)
    monkeypatch.setattr("csc_evaluation.landing.extract_rows.BATCH_ROWS", 5)
    secrets = [f"IDENT{n:04d}XYZ" for n in range(30)] + [f"PUPIL{n:04d}REF" for n in range(30)]
    secrets += ["QX17 7ZZ", "QX177ZZ"]
    referrals = [
        {"CIN_LAchildID_Anon": secrets[n], "CIN_PupilMatchingRefAnonymous": secrets[30 + n]}
        | {
            "CIN_EthnicGroupMinor": secrets[-1 - n % 2],
            "CIN_ReferralDate": "" if n % 7 == 0 else "02/09/2019",
        }
        | {"CIN_LA": secrets[n] if n % 11 == 0 else "335", "CIN_AssessmentFactors": secrets[n]}
        for n in range(30)
    ]
    episodes = [
        {"CHILD_LA_CODE_ANON": secrets[n], "CLA_PupilMatchingRefAnonymous": secrets[30 + n]}
        | {"placement": secrets[n], "date_episode_started": secrets[n] if n % 7 == 0 else "02/09/2019"}
        for n in range(30)
    ]
    paths = [write(files, "cin.csv", cin(*referrals)), write(files, "cla.csv", cla(*episodes))]
    report = land(paths, warehouse=warehouse)
    assert [file.status for file in report.files] == ["landed", "landed"]
    console = Console(record=True, width=300)
    render_report(report, console)
    assert b"".join(put_aside).count(b"INVALID") >= 30
    everything = [warehouse.read_bytes(), console.export_text().encode(), repr(report).encode(), *put_aside]
    for secret in secrets:
        assert not any(secret.encode() in data for data in everything)


def test_what_is_put_aside_of_a_row_has_no_place_for_an_identifier() -> None:
    assert set(CENSUS_COLUMNS) & set(CARE_COLUMNS) == {
        "group_no", "child_id", "pupil_id", "birth", "gender_code", "ethnicity_code",
    }  # fmt: skip
