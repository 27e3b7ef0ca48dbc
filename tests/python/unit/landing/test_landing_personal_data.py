"""Nothing that names a child reaches the disk: not the warehouse, not its log, not what is put aside."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from csc_evaluation.landing import land, render_report
from support.landing_files import (
    EPISODES_HEADER,
    HEADER_HEADER,
    cin_child,
    cin_referral,
    cin_xml,
    land_one,
    query,
    write,
)

IDENTIFIERS = [f"IDENT{number:05d}XYZ" for number in range(40)]
UPNS = [f"K{number:012d}" for number in range(700_000_000_000, 700_000_000_040)]
POSTCODES = ["QX17 7ZZ", "ZW27 9QX"]
BIRTHS = ["2014-03-17", "17/03/2014", "20140317", "13/11/2015", "2015-11-13"]


def personal_files(folder: Path) -> list[Path]:
    children = [
        cin_child(
            identifier,
            cin_referral(),
            birth=f"<PersonBirthDate>{BIRTHS[0]}</PersonBirthDate>",
            upn=f"<UPN>{upn}</UPN><FormerUPN>{upn[:-1]}Z</FormerUPN>",
            ethnicity=POSTCODES[0],
        )
        for identifier, upn in zip(IDENTIFIERS, UPNS, strict=True)
    ]
    # Records that are refused must not give anything away either.
    children.append(
        cin_child(IDENTIFIERS[0], cin_referral(), birth="<PersonBirthDate>2014-03-37</PersonBirthDate>")
    )
    children.append(cin_child("", cin_referral(), upn=f"<UPN>{UPNS[3]}</UPN>"))
    header = "\n".join(
        f"{i},1,{BIRTHS[1]},{POSTCODES[1]},{u},1,{BIRTHS[3]}" for i, u in zip(IDENTIFIERS, UPNS, strict=True)
    )
    episodes = "\n".join(
        f"{i},{day},S,C2,N1,U1,PR1,01/01/2019,X1,CARPL,{POSTCODES[0]},{POSTCODES[1]},1"
        for i in IDENTIFIERS
        for day in ("15/02/2018", "15/02/2019", "99/02/2019")
    )
    absence = "PupilMatchingRefAnonymous_ab20,SessionsPossible_Autumn_ab20,AuthorisedAbsence_Autumn_ab20,UnauthorisedAbsence_Autumn_ab20\n"
    return [
        write(folder, "cin.xml", cin_xml(*children)),
        write(folder, "ssda903_335_2020/header.csv", f"{HEADER_HEADER}\n{header}\n"),
        write(folder, "ssda903_335_2020/episodes.csv", f"{EPISODES_HEADER}\n{episodes}\n"),
        write(folder, "absence.csv", absence + "\n".join(f"{upn},100,2,{BIRTHS[1]}" for upn in UPNS) + "\n"),
        write(folder, "broken.csv", f'{HEADER_HEADER}\n{header}\n"{IDENTIFIERS[0]}'),
        write(folder, "broken.xml", cin_xml(*children)[:-40]),
    ]


def secrets() -> list[str]:
    compact = [code.replace(" ", "") for code in POSTCODES]
    return [*IDENTIFIERS, *UPNS, *(upn[:-1] + "Z" for upn in UPNS), *POSTCODES, *compact, *BIRTHS]


def assert_nothing_personal(data: bytes, where: str) -> None:
    for secret in secrets():
        for spelling in {secret, secret.lower(), secret.upper()}:
            assert spelling.encode() not in data, f"{where} holds something personal"


def test_no_identifier_postcode_or_birth_day_is_in_any_file_of_the_warehouse(
    files: Path, warehouse: Path
) -> None:
    paths = personal_files(files)
    # A process that ends without closing leaves the write-ahead log as it is: both files are looked at.
    script = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from csc_evaluation.landing import land, process
        process.SETTINGS += ("set checkpoint_threshold = '1GB'",)
        def leave(index, n_files, path, done, size):
            if path.name == "last.xml":
                os._exit(0)
        land([Path(name) for name in sys.argv[2:]], warehouse=Path(sys.argv[1]), on_progress=leave)
        """
    )
    last = write(files, "last.xml", cin_xml(la_code="336"))
    subprocess.run(
        [sys.executable, "-c", script, str(warehouse), *map(str, paths), str(last)],
        check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("CSC_")},
    )
    log = warehouse.with_name(warehouse.name + ".wal")
    assert log.stat().st_size > 1_000
    for path in (warehouse, log):
        assert_nothing_personal(path.read_bytes(), path.name)
    land(paths[:1], warehouse=warehouse)
    assert_nothing_personal(warehouse.read_bytes(), warehouse.name)
    assert query(warehouse, "select count(*) from raw.cin_children") == [(40,)]
    assert query(
        warehouse, "select count(distinct birth_month) from raw.cin_children where day(birth_month) = 1"
    ) == [(1,)]
    assert query(
        warehouse,
        "select count(distinct child_id) from raw.cin_children join raw.ssda903_header using (child_id, pupil_id)",
    ) == [(40,)]
    assert query(warehouse, "select count(*) from raw.cin_children where ethnicity_code = 'INVALID'") == [
        (40,)
    ]


def test_no_identifier_is_in_what_is_put_aside_on_disk(
    files: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asides: list[bytes] = []
    make = tempfile.TemporaryFile

    class Watched(io.BytesIO):
        def close(self) -> None:
            asides.append(self.getvalue())
            super().close()

    def watched(*_: Any, **__: Any) -> Watched:
        return Watched()

    assert make is not watched
    monkeypatch.setattr("tempfile.TemporaryFile", watched)
    monkeypatch.setattr("csc_evaluation.landing.cin_xml.BATCH_RECORDS", 5)
    monkeypatch.setattr("csc_evaluation.landing.ssda903_csv.BATCH_RECORDS", 5)
    monkeypatch.setattr("csc_evaluation.landing.school._BATCH_ROWS", 5)
    report = land(personal_files(files), warehouse=warehouse)
    assert (report.n_landed, report.n_failed) == (4, 2)
    assert len(asides) > 5
    for data in asides:
        assert_nothing_personal(data, "a batch put aside")


def test_no_message_or_report_gives_a_child_away(files: Path, warehouse: Path) -> None:
    report = land(personal_files(files), warehouse=warehouse)
    assert report.n_failed == 2
    text = io.StringIO()
    render_report(report, Console(file=text, width=200))
    assert_nothing_personal(text.getvalue().encode(), "the report")
    assert_nothing_personal(repr(report).encode(), "the report")
    rejects = query(warehouse, "select * from raw.rejects")
    assert len(rejects) > 40
    assert_nothing_personal(repr(rejects).encode(), "raw.rejects")


def test_the_key_is_not_in_the_warehouse(files: Path, warehouse: Path) -> None:
    land(personal_files(files), warehouse=warehouse)
    key = warehouse.with_name(warehouse.name + ".key").read_bytes().strip()
    assert len(key) == 64
    assert key not in warehouse.read_bytes()
    assert bytes.fromhex(key.decode()) not in warehouse.read_bytes()
    assert warehouse.with_name(warehouse.name + ".key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("field", [{"la_code": "Jo Smithson"}, {"collection": "Jo Smithson"}])
def test_a_header_with_personal_text_in_a_code_is_refused_without_repeating_it(
    files: Path, warehouse: Path, field: dict[str, str]
) -> None:
    outcome = land_one(write(files, "c.xml", cin_xml(cin_child("C1", cin_referral()), **field)), warehouse)
    assert outcome.status == "failed"
    assert "Smith" not in outcome.message
