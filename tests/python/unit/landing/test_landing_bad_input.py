"""Whatever is wrong with a file: one clear line, nothing of it in the warehouse, the others land."""

from __future__ import annotations

from pathlib import Path

import pytest

from csc_evaluation.errors import CscError
from csc_evaluation.landing import land
from support.landing_files import EPISODES_HEADER, cin_child, cin_referral, cin_xml, content, query, write

GOOD = cin_xml(cin_child("C1", cin_referral()), la_code="336")
EPISODE = "A1,15/02/2019,S,C2,N1,U1,PR1,14/08/2019,X1,CARPL,,,1157828"
BOMB = "<!DOCTYPE Message [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{'&' + chr(97 + n) + ';' * 1}{('&' + chr(97 + n) + ';') * 9}'>"
    for n in range(8)
)
MANY = cin_xml(*(cin_child(f"SECRET{n}", cin_referral()) for n in range(2_000)))

BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "truncated.xml": (MANY[: len(MANY) // 2], "is cut short or has an element that never closes"),
    "truncated_in_header.xml": (MANY[:100], "is cut short or has an element that never closes"),
    "bomb.xml": (BOMB + "]>" + GOOD.replace("C1", "&i;"), "document type declaration"),
    "external_entity.xml": (
        "<!DOCTYPE Message [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + GOOD.replace("C1", "&x;"),
        "document type declaration",
    ),
    "external_dtd.xml": (
        "<!DOCTYPE Message SYSTEM 'http://127.0.0.1:9/x.dtd'>" + GOOD,
        "document type declaration",
    ),
    "bomb_utf16.xml": (
        ("<?xml version='1.0' encoding='utf-16'?>" + BOMB + "]>" + GOOD).encode("utf-16"),
        "document type declaration",
    ),
    "undeclared_entity.xml": (GOOD.replace("C1", "&who;"), "entity that nothing declares"),
    "two_roots.xml": (GOOD + GOOD, "goes on after its last element has closed"),
    "crossed.xml": (GOOD.replace("</ChildIdentifiers>", "</Child>"), "is not well-formed XML"),
    "wrong_bytes.xml": (GOOD.replace("C1", "\xe9").encode("latin-1"), "not text in its declared encoding"),
    "empty.xml": ("", "is empty (0 bytes)."),
    "blank.csv": (" \n\n", "holds nothing but blanks"),
    "spreadsheet.csv": (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "spreadsheet"),
    "binary.csv": (b"\x00\x01\x02\x03" * 300, "is none of what can land"),
    "gzip.xml": (b"\x1f\x8b\x08" + b"\0" * 60, "compressed with gzip"),
    "utf16.csv": (f"{EPISODES_HEADER}\n{EPISODE}\n".encode("utf-16"), "UTF-16"),
    "marked_utf8_but_not.csv": (
        b"\xef\xbb\xbf" + f"{EPISODES_HEADER}\n\xe9{EPISODE}\n".encode("cp1252"),
        "begins with the mark of UTF-8 text but holds bytes that are not",
    ),
    "missing_column.csv": (
        f"{EPISODES_HEADER.replace('LS,', '').replace('REC,', '')}\n",
        "looks like SSDA903 episodes but lacks the columns LS, REC",
    ),
    "missing_child.csv": (f"{EPISODES_HEADER.replace('CHILD,', '')}\n", "lacks the column CHILD"),
    "duplicate_columns.csv": (
        f"{EPISODES_HEADER},LS,ls, LS ,dec\n",
        "has columns more than once: LS, DEC; keep one of each",
    ),
    "quotes.csv": (f'{EPISODES_HEADER}\n"{EPISODE}\n{EPISODE}\n', "quotation marks do not match"),
    "not_text.csv": (
        f"{EPISODES_HEADER}\n{EPISODE}\n".encode() + b"A\x81\x8d,,\n",
        "neither UTF-8 nor Windows-1252",
    ),
    "no_header.csv": ("566910,15/02/2016,L,C2,N3,T2\n", "is none of what can land"),
    "other_table.csv": ("name,town\nx,y\n", "is none of what can land"),
    "extract.csv": (
        "CIN_LA,CIN_LAchildID_Anon,CIN_ReferralDate\n335,x,2019-01-01\n",
        "of the research service",
    ),
    "other_collection.xml": (GOOD.replace("<Collection>CIN", "<Collection>CLA"), "its header says 'CLA'"),
    "other_root.xml": ("<Workforce><Header/></Workforce>", "begins with <Workforce>"),
    "page.xml": ("<html><body/></html>", "begins with <html>"),
    "no_header.xml": ("<Message><Children/></Message>", "has no Header before its Children"),
    "unknown_authority.xml": (GOOD.replace("<LEA>336", "<LEA>999"), "names authority '999' (LEA)"),
    "no_authority.xml": (GOOD.replace("<LEA>336</LEA>", ""), "names no authority (LEA)"),
    "no_year.xml": (
        GOOD.replace("<Year>2020</Year>", "").replace("2020-03-31", "2020-04-01"),
        "names no year in its header",
    ),
    "child_in_child.xml": (GOOD.replace("</Child>", "<Child/></Child>"), "a Child element outside Children"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_in_one_clear_line_and_the_others_land(
    files: Path, warehouse: Path, name: str
) -> None:
    text, words = BAD_FILES[name]
    land([write(files, "before.xml", GOOD.replace("336", "335"))], warehouse=warehouse)
    before = content(warehouse)
    bad = write(files, "ssda903_335_2020/" + name, text)
    good = write(files, "good.xml", GOOD)
    report = land([bad, good], warehouse=warehouse)
    assert [file.status for file in report.files] == ["failed", "landed"]
    assert report.n_failed == 1
    message = report.files[0].message
    assert words in message
    assert "\n" not in message
    assert "SECRET" not in message
    assert "566910" not in message
    assert "root:" not in message
    after = content(warehouse)
    landed = report.files[1].return_id
    assert {name: [row for row in rows if landed not in row] for name, rows in after.items()} == before


def test_a_failure_far_into_the_file_leaves_nothing_of_it(
    files: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csc_evaluation.landing.cin_xml.BATCH_RECORDS", 100)
    report = land([write(files, "t.xml", MANY[:-20])], warehouse=warehouse)
    assert report.n_failed == 1
    assert all(not rows for rows in content(warehouse).values())
    assert sorted(path.name for path in warehouse.parent.iterdir()) == [
        "landing.duckdb",
        "landing.duckdb.key",
    ]


def test_an_authority_that_does_not_exist_is_refused_before_anything_is_done(
    files: Path, warehouse: Path
) -> None:
    path = write(files, "e.csv", f"{EPISODES_HEADER}\n{EPISODE}\n")
    with pytest.raises(CscError, match="--authority '999' is no authority"):
        land([path], warehouse=warehouse, la_code="999", return_year=2020)
    with pytest.raises(CscError, match="--year 20 is no return year"):
        land([path], warehouse=warehouse, la_code="335", return_year=20)
    assert not warehouse.exists()


def test_a_census_that_contradicts_the_options_is_refused(files: Path, warehouse: Path) -> None:
    path = write(files, "good.xml", GOOD)
    for options, words in (
        ({"la_code": "335"}, "is of authority 336 by its header, but --authority says 335"),
        ({"return_year": 2019}, "is of return year 2020 by its header, but --year says 2019"),
    ):
        report = land([path], warehouse=warehouse, **options)  # type: ignore[arg-type]
        assert words in report.files[0].message
    assert land([path], warehouse=warehouse, la_code="336", return_year=2020).n_landed == 1


def test_a_file_that_changes_while_it_is_read_is_refused(
    files: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(files, "good.xml", GOOD)
    import csc_evaluation.landing.process as process

    read = process._read

    def read_and_change(*arguments: object) -> None:
        read(*arguments)  # type: ignore[arg-type]
        path.write_text(GOOD + " ")

    monkeypatch.setattr(process, "_read", read_and_change)
    report = land([path], warehouse=warehouse)
    assert report.files[0].message == "was changed while it was being read; land it again."
    assert query(warehouse, "select count(*) from raw.cin_children") == [(0,)]
