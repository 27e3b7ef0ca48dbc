"""The manifest: the same content changes nothing, a corrected return replaces, nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from csc_evaluation.errors import CscError
from csc_evaluation.landing import land
from support.landing_files import (
    EPISODES_HEADER,
    cin_assessment,
    cin_child,
    cin_referral,
    cin_xml,
    content,
    land_one,
    query,
    write,
)

FIRST = cin_xml(cin_child("C1", cin_referral("2019-09-02", cin_assessment("2019-09-03", "2A"))))
CORRECTED = cin_xml(
    cin_child("C1", cin_referral("2019-09-02")),
    cin_child("", cin_referral("2019-09-02")),
    created_at="2020-07-01T10:00:00",
)
OTHER_YEAR = cin_xml(cin_child("C1", cin_referral()), year="2021", reference_date="2021-03-31")
OTHER_AUTHORITY = cin_xml(cin_child("C1", cin_referral()), la_code="336")


def test_the_same_content_twice_changes_nothing(files: Path, warehouse: Path) -> None:
    path = write(files, "first.xml", FIRST)
    assert land_one(path, warehouse).status == "landed"
    before = content(warehouse)
    for again in (path, write(files, "same content, other name.xml", FIRST)):
        outcome = land_one(again, warehouse)
        assert (outcome.status, outcome.message) == ("unchanged", "was landed before; nothing changed.")
    assert content(warehouse) == before
    both = land([path, files / "same content, other name.xml"], warehouse=warehouse)
    assert (both.n_unchanged, both.n_failed) == (2, 0)


def test_a_corrected_return_replaces_the_rows_and_keeps_the_manifest_row(
    files: Path, warehouse: Path
) -> None:
    first = land_one(write(files, "first.xml", FIRST), warehouse)
    others = land(
        [write(files, "y.xml", OTHER_YEAR), write(files, "a.xml", OTHER_AUTHORITY)], warehouse=warehouse
    )
    assert others.n_landed == 2
    second = land_one(write(files, "second.xml", CORRECTED), warehouse)
    assert second.replaced == ("first.xml",)
    rows = query(
        warehouse,
        "select file_name, is_superseded, superseded_by, superseded_at is not null, superseded_modules, n_accepted "
        "from raw.returns order by file_name",
    )
    assert rows == [
        ("a.xml", False, None, False, None, 2),
        ("first.xml", True, second.return_id, True, "census", 4),
        ("second.xml", False, None, False, None, 2),
        ("y.xml", False, None, False, None, 2),
    ]
    assert query(warehouse, "select count(*) from raw.cin_children where return_id = ?", first.return_id) == [
        (0,)
    ]
    assert query(warehouse, "select count(*) from raw.cin_assessment_factors") == [(0,)]
    assert query(warehouse, "select count(*) from raw.cin_children") == [(3,)]
    assert query(warehouse, "select count(distinct return_id) from raw.return_counts") == [(4,)]


def test_a_replaced_return_lands_again_only_when_asked(files: Path, warehouse: Path) -> None:
    first, second = write(files, "first.xml", FIRST), write(files, "second.xml", CORRECTED)
    land_one(first, warehouse)
    land_one(second, warehouse)
    before = content(warehouse)
    outcome = land_one(first, warehouse)
    assert outcome.status == "unchanged"
    assert "has been replaced by second.xml" in outcome.message
    assert "--reinstate" in outcome.message
    assert content(warehouse) == before

    again = land_one(first, warehouse, reinstate=True)
    assert (again.status, again.replaced) == ("landed", ("second.xml",))
    assert again.notes == (
        "its header was written 2020-06-01T10:00:00, before that of second.xml (2020-07-01T10:00:00), which it replaces",
    )
    assert query(warehouse, "select file_name, is_superseded from raw.returns order by 1") == [
        ("first.xml", False),
        ("second.xml", True),
    ]
    assert query(warehouse, "select count(*) from raw.cin_assessment_factors") == [(1,)]
    assert land_one(first, warehouse, reinstate=True).status == "unchanged"
    assert query(warehouse, "select count(*), count(distinct return_id) from raw.returns") == [(2, 2)]


UASC = "CHILD,SEX,DOB,DUC\nA1,1,01/05/2004,30/04/2022\n"
EPISODES = f"{EPISODES_HEADER}\nA1,15/02/2019,S,C2,N1,U1,PR1,,,,,,\n"
WHOLE = (
    "<EXPSSDA903><CHILD><HEADER><CHILDID>A1</CHILDID><SEX>1</SEX><DOB>01/05/2004</DOB></HEADER>"
    "<EPISODE><DECOM>15/02/2019</DECOM></EPISODE><EPISODE><DECOM>15/03/2019</DECOM></EPISODE></CHILD></EXPSSDA903>"
)


def test_ssda903_is_replaced_module_by_module(files: Path, warehouse: Path) -> None:
    who = {"la_code": "335", "return_year": 2020}
    land_one(write(files, "uasc.csv", UASC), warehouse, **who)
    land_one(write(files, "episodes.csv", EPISODES), warehouse, **who)
    corrected = land_one(
        write(files, "episodes2.csv", EPISODES + "A2,15/03/2019,S,C2,N1,U1,PR1,,,,,,\n"), warehouse, **who
    )
    assert corrected.replaced == ("episodes.csv",)
    assert query(warehouse, "select count(*) from raw.ssda903_uasc") == [(1,)]
    assert query(warehouse, "select count(*) from raw.ssda903_episodes") == [(2,)]

    whole = land_one(write(files, "whole.xml", WHOLE), warehouse, **who)
    assert sorted(whole.replaced) == ["episodes2.csv", "uasc.csv"]
    assert query(warehouse, "select count(*) from raw.ssda903_uasc") == [(0,)]

    partly = land_one(write(files, "episodes.csv", EPISODES), warehouse, reinstate=True, **who)
    assert partly.replaced == ("whole.xml (episodes)",)
    assert query(
        warehouse, "select is_superseded, superseded_modules from raw.returns where file_name = 'whole.xml'"
    ) == [(False, "episodes")]
    assert query(warehouse, "select count(*) from raw.ssda903_episodes") == [(1,)]
    assert query(warehouse, "select count(*) from raw.ssda903_header") == [(1,)]
    outcome = land_one(files / "whole.xml", warehouse, **who)
    assert outcome.status == "unchanged"
    assert "replaced in part by episodes.csv" in outcome.message


def test_the_warehouse_does_not_depend_on_the_order_of_landing(files: Path, tmp_path: Path) -> None:
    paths = [write(files, f"{n}.xml", text) for n, text in enumerate((FIRST, OTHER_YEAR, OTHER_AUTHORITY))]
    paths.append(write(files, "ssda903_335_2020/uasc.csv", UASC))
    found = []
    for number, order in enumerate((paths, paths[::-1])):
        warehouse = tmp_path / f"order{number}.duckdb"
        warehouse.with_name(warehouse.name + ".key").write_bytes(b"k" * 32)
        assert land(order, warehouse=warehouse).n_landed == 4
        found.append(content(warehouse))
    assert found[0] == found[1]


def test_refuses_another_key_than_the_warehouse_was_landed_with(files: Path, warehouse: Path) -> None:
    first = land([write(files, "first.xml", FIRST)], warehouse=warehouse)
    key = warehouse.with_name(warehouse.name + ".key")
    assert any(str(key) in warning for warning in first.warnings)
    before = content(warehouse)
    key.write_bytes(b"another key of enough bytes")
    with pytest.raises(CscError, match="not the key with which this warehouse was landed"):
        land([write(files, "y.xml", OTHER_YEAR)], warehouse=warehouse)
    assert content(warehouse) == before


def test_says_nothing_of_the_key_once_it_is_there(files: Path, warehouse: Path) -> None:
    land([write(files, "first.xml", FIRST)], warehouse=warehouse)
    assert land([write(files, "y.xml", OTHER_YEAR)], warehouse=warehouse).warnings == ()


def test_stores_what_the_header_says_of_its_software(files: Path, warehouse: Path) -> None:
    path = write(files, "first.xml", FIRST)
    land_one(path, warehouse)
    assert query(
        warehouse,
        "select software, software_release, serial_no, file_created_at, header_year, reference_date::varchar, "
        "file_bytes, length(sha256), length(return_id), modules from raw.returns",
    ) == [
        (
            "maker",
            "1.0",
            "001",
            "2020-06-01T10:00:00",
            2020,
            "2020-03-31",
            path.stat().st_size,
            64,
            32,
            "census",
        )
    ]


def test_a_lost_key_is_named_and_no_other_is_made_in_its_place(files: Path, warehouse: Path) -> None:
    path = write(files, "c.xml", cin_xml(cin_child("C1", cin_referral())))
    land_one(path, warehouse)
    key = warehouse.with_name(warehouse.name + ".key")
    key.unlink()
    with pytest.raises(CscError, match="the key of this warehouse's pseudonyms is not there"):
        land([path], warehouse=warehouse)
    assert not key.exists()


def test_says_that_the_same_content_stands_under_another_year(files: Path, warehouse: Path) -> None:
    path = write(files, "e.csv", f"{EPISODES_HEADER}\nA1,15/02/2019,S,C2,N1,U1,PR1,,,,,,\n")
    assert land_one(path, warehouse, la_code="335", return_year=2019).notes == ()
    assert land_one(path, warehouse, la_code="335", return_year=2020).notes == (
        "the same content stands in the warehouse as authority 335, 2019 too; one is mistaken",
    )
    blank = write(files, "blank.csv", f"{EPISODES_HEADER}\n")
    assert land_one(blank, warehouse, la_code="336", return_year=2019).notes == ()
    assert land_one(blank, warehouse, la_code="336", return_year=2020).notes == ()


def test_says_when_two_files_of_one_command_are_the_same_return(files: Path, warehouse: Path) -> None:
    row = "A1,15/02/2019,S,C2,N1,U1,PR1,,,,,,"
    for part in ("part1", "part2"):
        write(files, f"ssda903_335_2020/{part}.csv", f"{EPISODES_HEADER}\n{row.replace('A1', part)}\n")
    first, second = land([files], warehouse=warehouse).files
    assert first.notes == ()
    assert [note.split(":")[0] for note in second.notes] == [
        "part1.csv was landed by this same command as the same return"
    ]
    corrected = write(files, "ssda903_335_2020/part3.csv", f"{EPISODES_HEADER}\n{row}\n")
    assert land_one(corrected, warehouse).notes == ()
