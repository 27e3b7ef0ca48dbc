"""Files, folders, globs and archives: what is meant is found, what it is comes from its content."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from csc_evaluation.landing import land
from csc_evaluation.landing.detect import find_sources
from support.landing_files import EPISODES_HEADER, cin_child, cin_referral, cin_xml, land_one, query, write

CIN = cin_xml(cin_child("C1", cin_referral()))
EPISODES = f"{EPISODES_HEADER}\nA1,15/02/2019,S,C2,N1,U1,PR1,,,,,,\n"


def zipped(members: dict[str, str | bytes], **options: object) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def test_lands_files_folders_globs_and_archives_each_file_once(files: Path, warehouse: Path) -> None:
    write(files, "cin/cin_335_2020.xml", CIN)
    write(
        files,
        "cin/deep/er/y.dat",
        cin_xml(cin_child("C1", cin_referral()), year="2021", reference_date="2021-03-31"),
    )
    write(
        files,
        "archives/all.zip",
        zipped({"ssda903_335_2020/episodes.csv": EPISODES, "__MACOSX/x.csv": "x", "a/.b": "x"}),
    )
    write(files, "cin/.hidden.xml", "<broken")
    report = land(
        [files / "cin", files / "cin" / "*.xml", files / "cin" / "cin_335_2020.xml", files / "archives"],
        warehouse=warehouse,
    )
    assert [(Path(file.path).name, file.status) for file in report.files] == [
        ("cin_335_2020.xml", "landed"),
        ("y.dat", "landed"),
        ("episodes.csv", "landed"),
    ]
    assert query(warehouse, "select file_name from raw.returns order by 1") == [
        ("all.zip!ssda903_335_2020/episodes.csv",),
        ("cin_335_2020.xml",),
        ("y.dat",),
    ]


def test_the_name_of_an_archive_may_name_the_return(files: Path, warehouse: Path) -> None:
    path = write(files, "ssda903_335_2020.zip", zipped({"episodes.csv": EPISODES}))
    outcome = land_one(path, warehouse)
    assert (outcome.status, outcome.la_code, outcome.return_year) == ("landed", "335", 2020)


def test_a_file_lands_alike_by_itself_and_from_an_archive(files: Path, warehouse: Path) -> None:
    assert land_one(write(files, "c.xml", CIN), warehouse).status == "landed"
    assert land_one(write(files, "c.zip", zipped({"c.xml": CIN})), warehouse).status == "unchanged"


def test_a_wrong_path_fails_and_the_others_land(files: Path, warehouse: Path) -> None:
    (files / "empty").mkdir()
    report = land(
        [files / "nowhere.xml", files / "*.nothing", files / "empty", write(files, "c.xml", CIN)],
        warehouse=warehouse,
    )
    assert [file.status for file in report.files] == ["failed", "failed", "failed", "landed"]
    assert [file.message for file in report.files[:3]] == [
        "no such file or folder; check the path.",
        "no such file or folder; check the path.",
        "is a folder without files.",
    ]
    assert report.n_failed == 3


def test_passes_over_what_is_no_data_in_a_folder_but_not_when_it_is_named(
    files: Path, warehouse: Path
) -> None:
    readme = write(files, "folder/README.md", "# what this is\n")
    write(files, "folder/c.xml", CIN)
    report = land([files / "folder"], warehouse=warehouse)
    assert [(file.status) for file in report.files] == ["skipped", "landed"]
    assert (report.n_failed, report.n_skipped) == (0, 1)
    assert land_one(readme, warehouse).status == "failed"


def test_leaves_the_warehouse_itself_out_of_a_folder(warehouse: Path) -> None:
    write(warehouse.parent, "c.xml", CIN)
    for expected in ("landed", "unchanged"):
        report = land([warehouse.parent], warehouse=warehouse)
        assert [(Path(file.path).name, file.status) for file in report.files] == [("c.xml", expected)]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"[Content_Types].xml": "<Types/>", "xl/workbook.xml": "<x/>"}, "spreadsheet"),
        (
            {"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": "<x/>"},
            "spreadsheet",
        ),
        ({}, "without files"),
        ({"bomb.xml": b"0" * (64 << 20)}, "made to exhaust a machine"),
    ],
)
def test_refuses_an_archive_that_is_none_of_returns(
    files: Path, warehouse: Path, members: dict[str, str | bytes], words: str
) -> None:
    outcome = land_one(write(files, "returns.csv", zipped(members)), warehouse)
    assert outcome.status == "failed"
    assert words in outcome.message


def test_refuses_an_archive_inside_an_archive_and_lands_its_neighbours(files: Path, warehouse: Path) -> None:
    path = write(files, "z.zip", zipped({"inner.zip": zipped({"c.xml": CIN}), "c.xml": CIN}))
    report = land([path], warehouse=warehouse)
    assert [(Path(file.path).name, file.status) for file in report.files] == [
        ("z.zip!c.xml", "landed"),
        ("z.zip!inner.zip", "failed"),
    ]
    assert "inside a zip archive" in report.files[1].message


def test_refuses_an_archive_with_a_password(files: Path, warehouse: Path) -> None:
    data = bytearray(zipped({"c.xml": CIN}))
    # The first bit of the general purpose flags, in the local header and in the central directory.
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    outcome = land_one(write(files, "z.zip", bytes(data)), warehouse)
    assert "password" in outcome.message


def test_a_damaged_archive_is_told_from_a_damaged_file(files: Path, warehouse: Path) -> None:
    whole = zipped({"c.xml": CIN * 1})
    assert "damaged zip" in land_one(write(files, "half.zip", whole[: len(whole) // 2]), warehouse).message
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    outcome = land_one(write(files, "flipped.zip", bytes(flipped)), warehouse)
    assert (outcome.status, outcome.message) == (
        "failed",
        "is damaged inside its zip archive; make it again.",
    )
    assert query(warehouse, "select count(*) from raw.returns") == [(0,)]


def test_finds_sources_in_the_same_order_every_time(files: Path) -> None:
    for name in ("b.csv", "a.csv", "c/d.csv"):
        write(files, name, "x")
    assert [source.path.name for source in find_sources([files])] == ["a.csv", "b.csv", "d.csv"]


def test_a_mistyped_path_alone_leaves_no_warehouse_behind(files: Path, warehouse: Path) -> None:
    report = land([files / "nowhere.xml"], warehouse=warehouse)
    assert report.n_failed == 1
    assert not list(warehouse.parent.iterdir())


def test_no_path_is_passed_over_in_silence(files: Path, warehouse: Path) -> None:
    (files / "gone.xml").symlink_to(files / "nowhere")
    (files / "round").symlink_to(files / "round")
    (files / "bare" / "folder").mkdir(parents=True)
    write(files, "mac.zip", zipped({"__MACOSX/a.csv": EPISODES}))
    write(files, "inside/good.xml", CIN)
    (files / "inside" / "broken.xml").symlink_to(files / "nowhere")
    report = land(
        [
            files / "gone.xml",
            files / "round",
            files / "bare" / "*",
            files / "mac.zip",
            files / ("x" * 5_000),
            files / "inside",
        ],
        warehouse=warehouse,
    )
    assert [(file.status, file.message) for file in report.files] == [
        ("failed", "is a link that leads nowhere."),
        ("failed", "is a link that leads nowhere."),
        ("failed", "is a folder without files."),
        ("failed", "is a zip archive without files."),
        ("failed", "cannot be read (File name too long)."),
        ("failed", "is a link that leads nowhere."),
        ("landed", ""),
    ]


def test_a_folder_inside_that_cannot_be_read_is_named(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(files, "open/good.xml", CIN)
    write(files, "closed/lost.xml", CIN)
    really_scan = os.scandir

    def scan(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return really_scan(path)

    monkeypatch.setattr(os, "scandir", scan)
    found = [(source.path.name, source.problem) for source in find_sources([files])]
    assert found == [
        ("closed", "cannot be read (Permission denied); nothing in it landed."),
        ("good.xml", None),
    ]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_refuses_an_archive_with_two_files_of_one_name(files: Path, warehouse: Path) -> None:
    with zipfile.ZipFile(files / "two.zip", "w") as archive:
        archive.writestr("ssda903_335_2020/a.csv", EPISODES)
        archive.writestr("ssda903_335_2020/a.csv", EPISODES.replace("A1", "A2"))
    outcome = land_one(files / "two.zip", warehouse)
    assert (outcome.status, "two files under one name" in outcome.message) == ("failed", True)


def test_a_member_named_out_of_its_archive_lands_and_is_written_nowhere(files: Path, warehouse: Path) -> None:
    path = write(files, "deep/er/all.zip", zipped({"../../escaped_335_2020.csv": EPISODES}))
    assert land_one(path, warehouse).status == "landed"
    assert sorted(file.name for file in files.rglob("*") if file.is_file()) == ["all.zip"]


@pytest.mark.parametrize("name", [b"ssda903_335_2020_\xff.csv", b"ssda903_335_2020_\x1b[31m\n.csv"])
def test_lands_a_file_whose_name_is_no_text_and_shows_it_in_one_line(
    files: Path, warehouse: Path, name: bytes
) -> None:
    path = write(files, os.fsdecode(name), EPISODES)
    outcome = land_one(path, warehouse)
    assert outcome.status == "landed"
    assert outcome.path.isprintable()
    [(stored,)] = query(warehouse, "select file_name from raw.returns")
    assert stored.isprintable()
    assert "\ufffd" in stored
