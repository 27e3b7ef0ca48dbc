"""SSDA903 as CSV and as XML: recognised by content, told authority and year, every row accounted for."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from csc_evaluation import schema
from csc_evaluation.landing import land
from csc_evaluation.landing.ssda903 import MODULES
from support.landing_files import EPISODES_HEADER, HEADER_HEADER, counts, land_one, query, write

WHO = {"la_code": "335", "return_year": 2020}
EPISODE = "A1,15/02/2019,S,C2,N1,U1,PR1,14/08/2019,X1,CARPL,EH14 8EC,WD10 6ZQ,1157828"


@pytest.mark.parametrize("module", MODULES.values(), ids=lambda module: module.name)
def test_module_columns_agree_with_its_table(module) -> None:  # type: ignore[no-untyped-def]
    columns = schema.column_names(module.table)
    per_column = [2 if column.kind == "upn" else 1 for column in module.columns]
    assert columns[:5] == ["return_id", "la_code", "return_year", "record_no", "child_id"]
    assert len(columns) - 5 == sum(per_column)


@pytest.mark.parametrize("name", MODULES)
def test_recognises_each_module_by_its_columns_whatever_its_name(
    files: Path, warehouse: Path, name: str
) -> None:
    columns = sorted(MODULES[name].known)
    row = ",".join(
        "A1" if column == "CHILD" else "2019-05-01" if column in {"DECOM", "REVIEW", "MIS_START"} else ""
        for column in columns
    )
    path = write(files, "something_else.txt", ",".join(columns) + "\n" + row + "\n")
    outcome = land_one(path, warehouse, **WHO)
    assert (outcome.status, outcome.modules, outcome.n_accepted) == ("landed", (name,), 1)


def test_lands_an_episode_with_its_values_and_without_its_postcodes(files: Path, warehouse: Path) -> None:
    land_one(write(files, "e.csv", f"{EPISODES_HEADER}\n{EPISODE}\n"), warehouse, **WHO)
    assert query(warehouse, "select * exclude (return_id, child_id) from raw.ssda903_episodes") == [
        (
            "335",
            2020,
            1,
            date(2019, 2, 15),
            "S",
            "C2",
            "N1",
            "U1",
            "PR1",
            date(2019, 8, 14),
            "X1",
            "CARPL",
            "1157828",
        )
    ]


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8", ""), ("utf-8-sig", ""), ("cp1252", "é"), ("utf-8", "é")]
)
@pytest.mark.parametrize(
    "header", [HEADER_HEADER, HEADER_HEADER.lower(), HEADER_HEADER.title().replace(",", " , ")]
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_reads_any_case_and_the_usual_encodings(
    files: Path, warehouse: Path, encoding: str, mark: str, header: str, line_end: str
) -> None:
    text = line_end.join(
        [header, f"A{mark}1,2,27/03/2008,WROM,UN1,,", "A2,1,2009-04-01,refu,D051910639385,1,2022-01-09", ""]
    )
    outcome = land_one(write(files, "h.csv", text, encoding), warehouse, **WHO)
    assert counts(outcome) == {"header": (2, 2, 0)}
    assert query(
        warehouse,
        "select gender_code, birth_month, ethnicity_code, pupil_id is not null, upn_unknown, is_mother, "
        "child_birth_month from raw.ssda903_header order by record_no",
    ) == [
        ("2", date(2008, 3, 1), "WROM", False, "UN1", None, None),
        ("1", date(2009, 4, 1), "REFU", True, None, True, date(2022, 1, 1)),
    ]


def test_the_same_child_has_one_pseudonym_in_every_encoding(files: Path, warehouse: Path) -> None:
    for year, encoding in ((2019, "utf-8"), (2020, "cp1252")):
        path = write(files, f"{encoding}.csv", f"{HEADER_HEADER}\nJosé1,2,27/03/2008,WROM,UN1,,\n", encoding)
        land_one(path, warehouse, la_code="335", return_year=year)
    assert query(warehouse, "select count(*), count(distinct child_id) from raw.ssda903_header") == [(2, 1)]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_reads_other_delimiters(files: Path, warehouse: Path, delimiter: str) -> None:
    text = f"{EPISODES_HEADER}\n{EPISODE}\n".replace(",", delimiter)
    assert counts(land_one(write(files, "e.csv", text), warehouse, **WHO)) == {"episodes": (1, 1, 0)}


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        (",15/02/2019,S,C2,N1,U1,PR1,,,,,,", "CHILD", "no child identifier"),
        ("A1,,S,C2,N1,U1,PR1,,,,,,", "DECOM", "no date"),
        (
            "A1,31/02/2020,S,C2,N1,U1,PR1,,,,,,",
            "DECOM",
            "not a calendar date (expected YYYY-MM-DD or DD/MM/YYYY)",
        ),
        (
            "A1,15/02/2019,S,C2,N1,U1,PR1,31/04/2019,,,,,",
            "DEC",
            "not a calendar date (expected YYYY-MM-DD or DD/MM/YYYY)",
        ),
        ("A1,15/02/2019,S,C2,N1,U1,PR1,14/02/2019,X1,,,,", "DEC", "ends before it starts (before DECOM)"),
        ("A1,15/02/2019,S", "row", "3 values where the header has 13 columns"),
        (EPISODE + ",more", "row", "14 values where the header has 13 columns"),
        (",,,,,,,,,,,,", "CHILD", "no child identifier"),
    ],
)
def test_refuses_a_row_that_cannot_be_used(
    files: Path, warehouse: Path, row: str, field: str, reason: str
) -> None:
    outcome = land_one(
        write(files, "e.csv", f"{EPISODES_HEADER}\n{EPISODE}\n{row}\n{EPISODE},\n"), warehouse, **WHO
    )
    assert counts(outcome) == {"episodes": (3, 2, 1)}
    assert query(warehouse, "select record_type, record_path, field, reason from raw.rejects") == [
        ("episodes", "row 3", field, reason)
    ]


@pytest.mark.parametrize(
    ("header", "row", "field"),
    [
        (HEADER_HEADER, "A1,2,30/02/2008,WROM,UN1,,", "DOB"),
        (HEADER_HEADER, "A1,2,27/03/2008,WROM,UN1,1,30/02/2022", "MC_DOB"),
        ("CHILD,SEX,DOB,DUC", "A1,1,01/05/2004,31/02/2020", "DUC"),
        ("CHILD,DOB,REVIEW,REVIEW_CODE", "A1,01/05/2004,,PN1", "REVIEW"),
        ("CHILD,DOB,MISSING,MIS_START,MIS_END", "A1,01/05/2004,M,02/05/2019,01/05/2019", "MIS_END"),
        (
            "CHILD,DOB,DATE_PLACED,DATE_PLACED_CEASED,REASON_PLACED_CEASED",
            "A1,01/05/2014,02/05/2019,01/05/2019,RD",
            "DATE_PLACED_CEASED",
        ),
        ("CHILD,DOB,PREV_PERM,LA_PERM,DATE_PERM", "A1,01/05/2014,P1,E06,31/02/2019", "DATE_PERM"),
    ],
)
def test_refuses_impossible_dates_in_every_module(
    files: Path, warehouse: Path, header: str, row: str, field: str
) -> None:
    outcome = land_one(write(files, "m.csv", f"{header}\n{row}\n"), warehouse, **WHO)
    assert [(reject.record_path, reject.field) for reject in outcome.rejects] == [("row 2", field)]
    assert (outcome.n_found, outcome.n_accepted) == (1, 0)


def test_counts_what_stands_where_a_pupil_number_should(files: Path, warehouse: Path) -> None:
    rows = "\n".join(
        ["A1,2,,WBRI,D051910639385,,", "A2,2,,WBRI,un5,,", "A3,2,,WBRI,D05191,,", "A4,2,,WBRI,,,"]
    )
    outcome = land_one(write(files, "h.csv", f"{HEADER_HEADER}\n{rows}\n"), warehouse, **WHO)
    assert query(
        warehouse, "select pupil_id is not null, upn_unknown from raw.ssda903_header order by record_no"
    ) == [(True, None), (False, "UN5"), (False, "INVALID"), (False, None)]
    assert outcome.unlisted == (("header", "UPN", "INVALID", 1),)


def test_lands_a_file_without_rows(files: Path, warehouse: Path) -> None:
    outcome = land_one(write(files, "e.csv", EPISODES_HEADER + "\n"), warehouse, **WHO)
    assert (outcome.status, outcome.n_found) == ("landed", 0)
    assert query(warehouse, "select count(*) from raw.returns") == [(1,)]


def test_names_columns_that_are_unknown_or_left_out(files: Path, warehouse: Path) -> None:
    header = EPISODES_HEADER.replace(",URN", ",Mood").replace("HOME_POST,", "")
    outcome = land_one(write(files, "e.csv", header + "\n"), warehouse, **WHO)
    assert outcome.notes == (
        "columns not there, left missing: URN",
        "columns that SSDA903 episodes does not have, set aside: Mood",
    )


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("ssda903_335_2020/episodes.csv", ("335", 2020)),
        ("SSDA903 335-2020 final/a/b/episodes.csv", ("335", 2020)),
        ("returns/903_336_2019-20.csv", ("336", 2020)),
        ("returns/336 2019 2020 episodes.csv", ("336", 2020)),
        ("335.2018/episodes.csv", ("335", 2018)),
    ],
)
def test_takes_authority_and_year_from_a_path_that_holds_both(
    files: Path, warehouse: Path, place: str, expected: tuple[str, int]
) -> None:
    outcome = land_one(write(files, place, f"{EPISODES_HEADER}\n{EPISODE}\n"), warehouse)
    assert (outcome.status, (outcome.la_code, outcome.return_year)) == ("landed", expected)


@pytest.mark.parametrize(
    ("place", "options", "words"),
    [
        ("episodes.csv", {}, "neither authority nor year: give --authority and --year"),
        ("episodes_2020.csv", {"la_code": "335"}, "no year: give --authority and --year"),
        ("episodes.csv", {"return_year": 2020}, "no authority: give --authority and --year"),
        ("ssda903_999_2020/episodes.csv", {}, "'ssda903_999_2020' in its path holds no known authority code"),
        ("ssda903_335_2020/episodes.csv", {"la_code": "336"}, "--authority says 336"),
        ("ssda903_335_2020/episodes.csv", {"la_code": "335", "return_year": 2019}, "--year says 2019"),
        ("ssda903_335_2020/ssda903_335_2019/episodes.csv", {}, "names two returns (335 2019 and 335 2020)"),
        ("ssda903_335_336_2020/episodes.csv", {}, "more than one authority or year"),
    ],
)
def test_refuses_a_file_whose_authority_or_year_is_not_plain(
    files: Path, warehouse: Path, place: str, options: dict[str, object], words: str
) -> None:
    outcome = land_one(write(files, place, f"{EPISODES_HEADER}\n{EPISODE}\n"), warehouse, **options)
    assert outcome.status == "failed"
    assert words in outcome.message
    assert query(warehouse, "select count(*) from raw.returns") == [(0,)]


XML = """<?xml version="1.0"?>
<EXPSSDA903>
 <CHILD>
  <HEADER>
   <CHILDID>A1</CHILDID><UPN>D051910639385</UPN><SEX>2</SEX><DOB>27/03/2005</DOB><ETHNIC>WROM</ETHNIC>
   <UASC>1</UASC><DUC>27/03/2023</DUC><IN_TOUCH>YES</IN_TOUCH><ACTIV>F1</ACTIV><ACCOM>U1</ACCOM>
   <DATE_INT>01/02/2019</DATE_INT><DATE_MATCH>02/02/2019</DATE_MATCH><FOSTER_CARE>0</FOSTER_CARE>
   <NB_ADOPTR>2</NB_ADOPTR><SEX_ADOPTR>MF</SEX_ADOPTR><LS_ADOPTR>L0</LS_ADOPTR>
   <AREVIEW><REVIEW>01/05/2019</REVIEW><REVIEW_CODE>PN1</REVIEW_CODE></AREVIEW>
   <AREVIEW><REVIEW>01/11/2019</REVIEW><REVIEW_CODE>PN2</REVIEW_CODE></AREVIEW>
   <AMISSING><MISSING>M</MISSING><MIS_START>02/06/2019</MIS_START><MIS_END>03/06/2019</MIS_END></AMISSING>
   <OC2><SDQ_SCORE>12</SDQ_SCORE><CONVICTED>0</CONVICTED><HEALTH_CHECK>1</HEALTH_CHECK><IMMUNISATIONS>1</IMMUNISATIONS>
    <TEETH_CHECK>1</TEETH_CHECK><HEALTH_ASSESSMENT>1</HEALTH_ASSESSMENT><SUBSTANCE_MISUSE>0</SUBSTANCE_MISUSE></OC2>
   <AD_PLACED><DATE_PLACED>03/03/2019</DATE_PLACED><DATE_PLACED_CEASED/></AD_PLACED>
   <PREV_PERM>P1</PREV_PERM><LA_PERM>E06</LA_PERM><DATE_PERM>zz/05/2012</DATE_PERM>
   <MOTHER>0</MOTHER><MC_DOB/>
  </HEADER>
  <EPISODE><DECOM>15/02/2019</DECOM><RNE>S</RNE><LS>C2</LS><CIN>N1</CIN><PL>U1</PL><PL_POST>WD10 6ZQ</PL_POST>
   <HOME_POST>EH14 8EC</HOME_POST><URN>1157828</URN><PLACE_PROVIDER>PR1</PLACE_PROVIDER><DEC>14/08/2019</DEC>
   <REC>X1</REC><REASON_PLACE_CHANGE>CARPL</REASON_PLACE_CHANGE></EPISODE>
  <EPISODE><DECOM>14/08/2019</DECOM><RNE>P</RNE><LS>C2</LS><CIN>N1</CIN><PL>U4</PL></EPISODE>
 </CHILD>
 <CHILD>
  <HEADER><CHILDID/><SEX>1</SEX><DOB>27/03/2008</DOB></HEADER>
  <EPISODE><DECOM>15/02/2019</DECOM><RNE>S</RNE></EPISODE>
 </CHILD>
</EXPSSDA903>
"""


@pytest.mark.parametrize(
    "change", [str, lambda text: text.replace("CHILD>", "Child>").replace("EPISODE>", "Episode>")]
)
def test_lands_the_xml_form_as_the_ten_modules(files: Path, warehouse: Path, change) -> None:  # type: ignore[no-untyped-def]
    outcome = land_one(write(files, "r.xml", change(XML)), warehouse, **WHO)
    assert outcome.status == "landed"
    assert set(outcome.modules) == set(MODULES)
    assert counts(outcome) == {
        "header": (2, 1, 1),
        "episodes": (3, 2, 1),
        "uasc": (1, 1, 0),
        "reviews": (2, 2, 0),
        "missing": (1, 1, 0),
        "oc2": (1, 1, 0),
        "oc3": (1, 1, 0),
        "ad1": (1, 1, 0),
        "placed_for_adoption": (1, 1, 0),
        "previous_permanence": (1, 1, 0),
    }
    assert {row.record_path for row in outcome.rejects} == {
        "EXPSSDA903/CHILD[2]/HEADER[1]",
        "EXPSSDA903/CHILD[2]/EPISODE[1]",
    }
    assert query(warehouse, "select placement, episode_end from raw.ssda903_episodes order by record_no") == [
        ("U1", date(2019, 8, 14)),
        ("U4", None),
    ]
    assert query(
        warehouse, "select birth_month, review_code from raw.ssda903_reviews order by record_no"
    ) == [
        (date(2005, 3, 1), "PN1"),
        (date(2005, 3, 1), "PN2"),
    ]
    assert query(warehouse, "select previous_permanence_date from raw.ssda903_previous_permanence") == [
        ("2012-05",)
    ]
    children = " union ".join(f"select child_id from raw.ssda903_{name}" for name in MODULES)
    assert len(query(warehouse, children)) == 1


def test_csv_and_xml_of_one_return_land_alike(files: Path, tmp_path: Path) -> None:
    xml = write(files, "ssda903_335_2020.xml", XML.replace("<CHILDID/>", "<CHILDID>A2</CHILDID>"))
    header = write(
        files,
        "ssda903_335_2020/h.csv",
        f"{HEADER_HEADER}\nA1,2,27/03/2005,WROM,D051910639385,0,\nA2,1,27/03/2008,,,,\n",
    )
    key = tmp_path / "shared.key"
    key.write_bytes(b"k" * 32)
    found = []
    for number, path in enumerate((xml, header)):
        warehouse = tmp_path / f"w{number}.duckdb"
        (tmp_path / f"w{number}.duckdb.key").write_bytes(key.read_bytes())
        assert land([path], warehouse=warehouse).n_failed == 0
        found.append(
            query(warehouse, "select * exclude (return_id) from raw.ssda903_header order by record_no")
        )
    assert found[0] == found[1]


def test_an_empty_group_is_still_a_record_found(files: Path, warehouse: Path) -> None:
    text = "<EXPSSDA903><CHILD><HEADER><CHILDID>A1</CHILDID></HEADER><EPISODE/></CHILD><CHILD/></EXPSSDA903>"
    outcome = land_one(write(files, "r.xml", text), warehouse, **WHO)
    assert counts(outcome) == {"header": (2, 1, 1), "episodes": (1, 0, 1)}


def test_reads_rows_that_end_in_a_carriage_return_alone(files: Path, warehouse: Path) -> None:
    text = f"{EPISODES_HEADER}\rA1,15/02/2019,S,C2,N1,U1,PR1,,,,,,\rA2,16/02/2019,S,C2,N1,U1,PR1,,,,,,\r"
    outcome = land_one(write(files, "ssda903_335_2020.csv", text), warehouse)
    assert counts(outcome) == {"episodes": (2, 2, 0)}


def test_a_header_row_in_the_middle_is_refused_as_such(files: Path, warehouse: Path) -> None:
    row = "A1,15/02/2019,S,C2,N1,U1,PR1,,,,,,"
    text = f"{EPISODES_HEADER}\n{row}\n{EPISODES_HEADER.lower()}\n{row}\n"
    outcome = land_one(write(files, "ssda903_335_2020.csv", text), warehouse)
    assert counts(outcome) == {"episodes": (3, 2, 1)}
    assert [(reject.record_path, reject.reason) for reject in outcome.rejects] == [
        ("row 3", "the header row again")
    ]


STRAY = "<EPISODE><DECOM>01/05/2019</DECOM></EPISODE>"


@pytest.mark.parametrize(
    "inside", [f"{STRAY}{{child}}", f"{{child}}{STRAY}", f"<PERSON>{STRAY}</PERSON>{{child}}"]
)
def test_an_episode_outside_a_child_is_refused_and_counted(files: Path, warehouse: Path, inside: str) -> None:
    child = f"<CHILD><HEADER><CHILDID>A1</CHILDID></HEADER>{STRAY}</CHILD>"
    text = f"<EXPSSDA903>{inside.format(child=child)}</EXPSSDA903>"
    outcome = land_one(write(files, "ssda903_335_2020.xml", text), warehouse)
    assert counts(outcome) == {"header": (1, 1, 0), "episodes": (2, 1, 1)}
    assert [reject.reason for reject in outcome.rejects] == ["stands outside a CHILD"]


def test_a_file_of_other_elements_than_children_is_refused(files: Path, warehouse: Path) -> None:
    text = "<EXPSSDA903><PERSON><HEADER><CHILDID>A1</CHILDID></HEADER></PERSON></EXPSSDA903>"
    outcome = land_one(write(files, "ssda903_335_2020.xml", text), warehouse)
    assert (outcome.status, "has no CHILD" in outcome.message) == ("failed", True)
