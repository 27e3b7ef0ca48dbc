"""Published files about authorities: statistical neighbours and Ofsted's inspection outcomes."""

from __future__ import annotations

import datetime as dt
import zipfile
from pathlib import Path

import pytest

from csc_evaluation.errors import CscError
from csc_evaluation.landing import land
from support.landing_files import counts, land_one, query, write

OTHERS = ("202", "203", "204", "205", "206", "207", "208", "209", "210", "211")
STEPS = ("Extremely Close", "Very Close", "Close ", "Somewhat close", "Not Close")


def of_2021(*rows: str) -> str:
    columns = ",".join(f"SN{number},SNP" for number in range(1, 11))
    return "\n".join([f"\ufeffLA num,LA Name,LA number,GOInd,GOReg,{columns},", *rows]) + "\n"


def of_2025(*rows: str) -> str:
    columns = ",".join(f"SN_{number},SN_{number}P" for number in range(1, 11))
    return "\n".join([f"\ufeffold_la_code,la_name,region_ind,region_name,{columns}", *rows]) + "\n"


def neighbours(codes: tuple[str, ...] = OTHERS, step: str | None = None) -> str:
    return ",".join(f"{code},{step or STEPS[place % 5]}" for place, code in enumerate(codes))


# -- statistical neighbours ----------------------------------------------------------------------------------


def test_lands_the_layout_of_2021_and_passes_headings_over(files: Path, warehouse: Path) -> None:
    text = of_2021(
        f"335,Walsall,335,8,West Midlands,{neighbours()},", "," * 25, f",Old SNs:{',' * 24}",
        f"928,Northamptonshire,928,1,East Midlands,{neighbours()},",
    )  # fmt: skip
    outcome = land_one(write(files, "Groupings_April_2021.csv", text), warehouse)
    assert (outcome.collection, outcome.la_code, outcome.return_year) == (
        "statistical_neighbours",
        None,
        2021,
    )
    assert counts(outcome) == {"neighbours": (20, 20, 0)}
    assert query(
        warehouse,
        "select edition, la_code, neighbour_rank, neighbour_la_code, closeness from raw.statistical_neighbours "
        "where la_code = '335' order by neighbour_rank limit 5",
    ) == [
        (2021, "335", 1, "202", "extremely close"),
        (2021, "335", 2, "203", "very close"),
        (2021, "335", 3, "204", "close"),
        (2021, "335", 4, "205", "somewhat close"),
        (2021, "335", 5, "206", "not close"),
    ]


def test_lands_the_layout_of_2025(files: Path, warehouse: Path) -> None:
    outcome = land_one(
        write(files, "sn_model_2025_wide.csv", of_2025(f"335,Walsall,8,West Midlands,{neighbours()}")),
        warehouse,
    )
    assert (outcome.return_year, counts(outcome)) == (2025, {"neighbours": (10, 10, 0)})
    assert query(warehouse, "select max(neighbour_rank), min(edition) from raw.statistical_neighbours") == [
        (10, 2025)
    ]


def test_every_neighbour_refused_is_a_row_with_its_place_and_reason(files: Path, warehouse: Path) -> None:
    text = of_2025(
        f"335,Walsall,8,West Midlands,{neighbours(('335', '999', '', *OTHERS[3:]))}",
        f"336,Wolverhampton,8,West Midlands,{neighbours(step='Near')}",
        f"999,Nowhere,8,West Midlands,{neighbours()}",
        f"335,Walsall,8,West Midlands,{neighbours()}",
        "888,Lancashire,2,North West,202,Close",
    )
    outcome = land_one(write(files, "sn_2025.csv", text), warehouse)
    assert counts(outcome) == {"neighbours": (50, 7, 43)}
    assert query(
        warehouse,
        "select field, reason, count(*), min(record_path) from raw.rejects group by all order by 4, 1",
    ) == [
        ("neighbour_la_code", "is the authority itself", 1, "row 2, neighbour 1"),
        ("neighbour_la_code", "is no authority of reference.local_authorities", 1, "row 2, neighbour 2"),
        ("neighbour_la_code", "no neighbour", 1, "row 2, neighbour 3"),
        (
            "closeness",
            "is none of: extremely close, very close, close, somewhat close, not close",
            10,
            "row 3, neighbour 1",
        ),
        ("la_code", "is no authority of reference.local_authorities", 10, "row 4, neighbour 1"),
        ("la_code", "the authority stands there before", 10, "row 5, neighbour 1"),
        ("row", "6 values where the header has 24 columns", 10, "row 6, neighbour 1"),
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("SN_10,SN_10P", "x,y"), "SN1 to SN10 should stand once each"),
        (("SN_2,", "SN_1,"), "SN1 to SN10 should stand once each"),
        (("SN_3P", "closeness"), "lacks the closeness (SNP, SN_1P) behind the column SN_3"),
        (("old_la_code", "la"), "lacks the authority's code: LA num or old_la_code"),
    ],
)
def test_refuses_a_table_whose_columns_are_not_whole(
    files: Path, warehouse: Path, change: tuple[str, str], words: str
) -> None:
    text = of_2025(f"335,Walsall,8,West Midlands,{neighbours()}").replace(*change)
    outcome = land_one(write(files, "sn_2025.csv", text), warehouse)
    assert outcome.status == "failed"
    assert words in outcome.message
    assert query(warehouse, "select count(*) from raw.statistical_neighbours") == [(0,)]


@pytest.mark.parametrize(
    ("name", "year", "status", "words"),
    [
        ("neighbours.csv", None, "failed", "its name holds no year; give --year"),
        ("neighbours_2021_2025.csv", None, "failed", "its name holds several years; give --year"),
        ("neighbours.csv", 2025, "landed", ""),
        ("neighbours_2025.csv", 2025, "landed", ""),
        ("neighbours_2025.csv", 2021, "failed", "is the edition of 2025 by its name, but --year says 2021"),
    ],
)
def test_takes_the_edition_from_the_name_or_the_option(
    files: Path, warehouse: Path, name: str, year: int | None, status: str, words: str
) -> None:
    path = write(files, name, of_2025(f"335,Walsall,8,West Midlands,{neighbours()}"))
    outcome = land_one(path, warehouse, return_year=year)
    assert outcome.status == status
    assert words in outcome.message
    if status == "landed":
        assert outcome.return_year == 2025


def test_an_edition_replaces_its_own_earlier_file_and_leaves_other_editions(
    files: Path, warehouse: Path
) -> None:
    first = write(files, "sn_2025.csv", of_2025(f"335,Walsall,8,West Midlands,{neighbours()}"))
    older = write(files, "sn_2021.csv", of_2025(f"335,Walsall,8,West Midlands,{neighbours()}"))
    corrected = write(files, "sn_2025_v2.csv", of_2025(f"336,Wolverhampton,8,West Midlands,{neighbours()}"))
    assert land([first, older], warehouse=warehouse).n_landed == 2
    assert land_one(first, warehouse).status == "unchanged"
    assert land_one(corrected, warehouse).replaced == ("sn_2025.csv",)
    assert query(
        warehouse, "select edition, la_code, count(*) from raw.statistical_neighbours group by all order by 1"
    ) == [(2021, "335", 10), (2025, "336", 10)]
    assert query(warehouse, "select file_name from raw.returns where is_superseded") == [("sn_2025.csv",)]
    assert "replaced by sn_2025_v2.csv" in land_one(first, warehouse).message


# -- inspection outcomes -------------------------------------------------------------------------------------

LATEST = [
    "Web link", "Local authority area code", "Local authority name", "Ofsted region", "Inspection date",
    "Publication date", "Overall effectiveness",
]  # fmt: skip
HISTORY = [
    "Web link", "Local authority area code", "Local authority name", "Local authority status", "Inspection date",
    "Publication date", "Inspection type", "Overall effectiveness",
]  # fmt: skip
TITLE = "Local authority inspection outcomes as at 31 March 2025"


def ods(path: Path, sheets: dict[str, list[list[object]]], mimetype: str | None = None) -> Path:
    """A small OpenDocument spreadsheet."""

    def cell(value: object) -> str:
        if value is None:
            return "<table:table-cell/>"
        if isinstance(value, dt.date):
            return (
                f'<table:table-cell office:value-type="date" office:date-value="{value.isoformat()}">'
                f"<text:p>{value:%d/%m/%Y}</text:p></table:table-cell>"
            )
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'

    tables = "".join(
        f'<table:table table:name="{name}">'
        + "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
        + "</table:table>"
        for name, rows in sheets.items()
    )
    spaces = " ".join(
        f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{short}:1.0"'
        for short in ("office", "table", "text")
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", mimetype or kind)
        archive.writestr(
            "META-INF/manifest.xml",
            '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
            f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/></manifest:manifest>',
        )
        archive.writestr(
            "content.xml",
            f'<?xml version="1.0"?><office:document-content {spaces} office:version="1.2"><office:body>'
            f"<office:spreadsheet>{tables}</office:spreadsheet></office:body></office:document-content>",
        )
    return path


def latest(*rows: list[object], columns: list[str] | None = None) -> list[list[object]]:
    return [["Inspections"], ["One table"], list(columns or LATEST), *rows]


def inspection(
    code: str | None = "E08000030",
    name: str | None = "Walsall",
    inspected: object = dt.date(2021, 10, 4),
    published: object = dt.date(2021, 11, 26),
    judgement: str | None = "Good",
) -> list[object]:
    return ["link", code, name, "West Midlands", inspected, published, judgement]


def test_lands_every_inspection_of_both_sheets_and_leaves_visits(files: Path, warehouse: Path) -> None:
    history: list[object] = [
        "link", "E08000030", "Walsall", "Current", dt.date(2021, 10, 4), dt.date(2021, 11, 26),
        "ILACS Standard Inspection", "Good",
    ]  # fmt: skip
    path = ods(
        files / "outcomes.ods",
        {
            "Cover": [[TITLE], ["Section", "Detail"]],
            "Inspections": latest(inspection()),
            "In-year": [
                ["Visits"],
                ["Local authority area code", "Inspection/Visit date", "Overall effectiveness"],
            ],
            "History": [["History from 2018"], HISTORY, history],
        },
    )
    outcome = land_one(path, warehouse)
    assert (outcome.collection, outcome.la_code, outcome.return_year) == ("inspection_outcomes", None, 2025)
    assert counts(outcome) == {"inspections": (2, 2, 0)}
    assert query(
        warehouse, "select * exclude (return_id) from raw.inspection_outcomes order by record_no"
    ) == [
        (2025, 1, "Inspections", "335", dt.date(2021, 10, 4), dt.date(2021, 11, 26), None, "Good"),
        (
            2025,
            2,
            "History",
            "335",
            dt.date(2021, 10, 4),
            dt.date(2021, 11, 26),
            "ILACS Standard Inspection",
            "Good",
        ),
    ]
    assert land_one(path, warehouse).status == "unchanged"


def test_knows_authorities_by_code_or_by_name_and_refuses_what_it_cannot_use(
    files: Path, warehouse: Path
) -> None:
    rows = [
        inspection("E99999999", "Telford &amp; Wrekin"),
        inspection(
            None,
            "telford and wrekin",
            inspected="11/07/2022",
            published="2022-09-01",
            judgement="OUTSTANDING",
        ),
        inspection(None, "Dorset"),
        inspection("E08000030", "Wolverhampton"),
        inspection(inspected=None),
        inspection(inspected="soon"),
        inspection(published="later"),
        inspection(published=dt.date(2021, 10, 1)),
        inspection(judgement=None),
        [None] * 7,
        inspection(published=None),
    ]
    outcome = land_one(ods(files / "as_2025.ods", {"Inspections": latest(*rows)}), warehouse)
    assert counts(outcome) == {"inspections": (10, 3, 7)}
    assert query(
        warehouse,
        "select la_code, published_on, overall_judgement from raw.inspection_outcomes order by record_no",
    ) == [
        ("894", dt.date(2021, 11, 26), "Good"),
        ("894", dt.date(2022, 9, 1), "Outstanding"),
        ("335", None, "Good"),
    ]
    assert [(row.record_path, row.field, row.reason) for row in outcome.rejects] == [
        ("sheet Inspections, row 6", "la_code", "is no authority of reference.local_authorities"),
        ("sheet Inspections, row 7", "la_code", "code and name are of two authorities"),
        ("sheet Inspections, row 8", "inspected_on", "no inspection date"),
        (
            "sheet Inspections, row 9",
            "inspected_on",
            "not a calendar date (expected YYYY-MM-DD or DD/MM/YYYY)",
        ),
        (
            "sheet Inspections, row 10",
            "published_on",
            "not a calendar date (expected YYYY-MM-DD or DD/MM/YYYY)",
        ),
        ("sheet Inspections, row 11", "published_on", "published before the inspection"),
        (
            "sheet Inspections, row 12",
            "overall_judgement",
            "is none of: Outstanding, Good, Requires improvement to be good, Inadequate",
        ),
    ]


@pytest.mark.parametrize(
    ("sheets", "words"),
    [
        ({"Sums": [["a", "b"], [1, 2]]}, "is a spreadsheet without a sheet of inspection outcomes"),
        (
            {"Inspections": latest(inspection(), columns=[*LATEST[:5], "Published", LATEST[6]])},
            "its sheet 'Inspections' lacks the column publication date",
        ),
        (
            {"Inspections": latest(inspection(), columns=["Web link", "Code", "Name", *LATEST[3:]])},
            "its sheet 'Inspections' lacks the column local authority area code",
        ),
        (
            {"Inspections": latest(inspection(), columns=["Inspection date", *LATEST[1:]])},
            "has more than once: inspection date",
        ),
    ],
)
def test_refuses_a_spreadsheet_that_is_something_else(
    files: Path, warehouse: Path, sheets: dict[str, list[list[object]]], words: str
) -> None:
    outcome = land_one(ods(files / "as_2025.ods", sheets), warehouse)
    assert outcome.status == "failed"
    assert words in outcome.message


def test_refuses_a_damaged_spreadsheet_and_one_that_contradicts_the_option(
    files: Path, warehouse: Path
) -> None:
    whole = ods(files / "whole.ods", {"Cover": [[TITLE]], "Inspections": latest(inspection())})
    assert "by its content, but --year says 2024" in land_one(whole, warehouse, return_year=2024).message
    with zipfile.ZipFile(files / "damaged.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", "<office")
    outcome = land_one(files / "damaged.ods", warehouse)
    assert (outcome.status, outcome.message) == (
        "failed",
        "is a damaged spreadsheet; download or save it again.",
    )
    document = ods(
        files / "text.odt", {"Inspections": latest(inspection())}, "application/vnd.oasis.opendocument.text"
    )
    assert "is a spreadsheet or office document" in land_one(document, warehouse).message


def test_a_spreadsheet_made_to_exhaust_a_machine_is_not_opened(files: Path, warehouse: Path) -> None:
    path = files / "bomb.ods"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", b" " * (64 * 1024**2))
    outcome = land_one(path, warehouse)
    assert outcome.status == "failed"
    assert "as one made to exhaust a machine would" in outcome.message


@pytest.mark.reference
def test_the_published_files_land_whole(reference_dir: Path, warehouse: Path) -> None:
    folder = reference_dir / "dfe_published"
    report = land(
        [
            folder / "New_Statistical_Neighbour_Groupings_April_2021.csv",
            folder / "sn_model_2025_wide.csv",
            folder / "LA_Inspection_Outcomes_as_at_31_March_2025.ods",
        ],
        warehouse=warehouse,
    )
    assert [(file.return_year, file.n_found, file.n_rejected) for file in report.files] == [
        (2021, 1560, 0),
        (2025, 1530, 0),
        (2025, 424, 0),
    ]


def test_sets_the_option_for_an_authority_aside_since_the_file_covers_all(
    files: Path, warehouse: Path
) -> None:
    path = write(files, "sn_2025.csv", of_2025(f"335,Walsall,8,West Midlands,{neighbours()}"))
    with pytest.raises(CscError, match="is no authority"):
        land([path], warehouse=warehouse, la_code="999")
    assert land([path], warehouse=warehouse, la_code="336").files[0].la_code is None
