"""What the data quality page says of which authority, and what it withholds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pytest
from lxml import etree, html

from csc_evaluation import schema
from csc_evaluation.errors import CscError, SeedError, WarehouseError
from csc_evaluation.report import write_quality_report
from csc_evaluation.report.formatting import Disclosure
from csc_evaluation.report.quality import SEVERITY_NAMES, SHAPES, SUBJECTS, build_quality_page
from csc_evaluation.report.quality_data import load_quality_data

REPOSITORY = Path(__file__).resolve().parents[4]
YEARS = range(2018, 2021)
CODES = ("335", "336", "888", "894")
"""Walsall, Wolverhampton, Lancashire, Telford and Wrekin."""
HOSTILE = '<script>alert(1)</script> & "quoted"'

Change = Callable[..., None]
Write = Callable[..., html.HtmlElement]


def _fill(path: Path) -> None:
    """Marts as dbt makes them: four authorities with returns, one without."""
    seeds = {"reference": ("data_quality_checks", "local_authorities"), "protocol": ("parameters",)}
    with duckdb.connect(str(path)) as connection:
        schema.create_all(connection)
        for layer, names in seeds.items():
            connection.execute(f"create schema if not exists {layer}")
            for name in names:
                types = ", types = {'la_code': 'varchar'}" if name == "local_authorities" else ""
                connection.execute(
                    f"create table {layer}.{name} as select * from "
                    f"read_csv('{REPOSITORY / 'seeds' / layer / name}.csv', header = true, sample_size = -1{types})"
                )
        connection.execute("create schema if not exists marts")
        connection.execute(
            "create table marts.data_quality (la_code varchar, return_year integer, check_name varchar, "
            "n_records bigint, n_failed bigint, is_over_threshold boolean, is_in_doubt boolean)"
        )
        connection.execute(
            "create table marts.data_quality_authorities (programme varchar, la_code varchar, first_year integer, "
            "last_year integer, n_returns_cin integer, n_returns_ssda903 integer, n_checks_serious integer, "
            "n_checks_in_doubt integer, n_checks_noted integer)"
        )
        connection.execute(
            "create table marts.data_quality_counts (la_code varchar, return_year integer, kind varchar, "
            "n_events bigint, n_events_before bigint, n_expected bigint, change_in_sd double, is_jump boolean)"
        )
        rows: list[tuple[object, ...]] = []
        for code in CODES:
            for year in YEARS:
                gap = code == "335" and year == 2019
                late = code == "336" and year > 2018
                jumps = code == "888" and year == 2020
                few = code == "894"
                rows += [
                    (code, year, "missing_return_cin", 1, int(gap), gap, gap),
                    (code, year, "missing_return_ssda903", 1, 0, False, False),
                    (
                        code,
                        year,
                        "closure_before_referral",
                        1000,
                        120 if late else 4 if few else 0,
                        late,
                        late,
                    ),
                    (code, year, "conflicting_nfa", 40, 35 if late else 0, late, late),
                    (code, year, "unborn_child", 500, 200 if few else 0, few, False),
                    (code, year, "jump_in_referrals", 1, int(jumps), jumps, jumps),
                ]
        connection.executemany("insert into marts.data_quality values (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.executemany(
            "insert into marts.data_quality_authorities values ('*', ?, 2018, 2020, ?, ?, ?, ?, ?)",
            [
                ("335", 2, 3, 1, 1, 0),
                ("336", 3, 3, 0, 2, 0),
                ("888", 3, 3, 1, 1, 0),
                ("894", 3, 3, 0, 0, 1),
                ("203", 0, 0, 1, 1, 0),
            ],
        )
        connection.executemany(
            "insert into marts.data_quality_counts values (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                ("888", 2020, "referrals", 4000, 2000, 2100, 6.4, True),
                ("888", 2019, "referrals", 2000, 1990, 1990, 0.1, False),
            ],
        )


@pytest.fixture(scope="module")
def _marts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quality") / "filled.duckdb"
    _fill(path)
    return path


@pytest.fixture
def warehouse(_marts: Path, tmp_path: Path) -> Path:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(_marts.read_bytes())
    return path


@pytest.fixture
def change(warehouse: Path) -> Change:
    """Run SQL on the warehouse."""

    def run(*statements: str, parameters: Sequence[object] | None = None) -> None:
        with duckdb.connect(str(warehouse)) as connection:
            for statement in statements:
                connection.execute(statement, parameters)

    return run


@pytest.fixture
def write(warehouse: Path, tmp_path: Path) -> Write:
    """Write the page and read it back as a tree."""

    def run(*authorities: str) -> html.HtmlElement:
        output = tmp_path / "quality.html"
        write_quality_report(warehouse=warehouse, output=output, authorities=authorities)
        return html.fromstring(output.read_text(encoding="utf-8"))

    return run


def text_of(element: html.HtmlElement) -> str:
    return re.sub(r"\s+", " ", element.text_content()).strip()


def section(page: html.HtmlElement, anchor: str) -> html.HtmlElement:
    (found,) = page.xpath(f"//section[@id='{anchor}']")
    return found


def cells(table: html.HtmlElement) -> list[list[str]]:
    return [[text_of(cell) for cell in row] for row in table.xpath(".//tbody/tr")]


def heat_cell(page: html.HtmlElement, authority: str, label: str) -> html.HtmlElement:
    (table,) = section(page, "heat").xpath(".//table")
    labels = [text_of(cell) for cell in table.xpath(".//thead/tr[2]/th")]
    (row,) = [row for row in table.xpath(".//tbody/tr") if text_of(row[0]) == authority]
    return row[labels.index(label)]


# -- one file, offline -------------------------------------------------------------------------------------


def test_the_page_fetches_nothing_and_runs_nothing(write: Write):
    page = write()
    assert not list(page.iter("script", "link", "iframe", "object", "embed", "base", "img"))
    for element in page.iter(etree.Element):
        assert element.get("src") is None
        assert element.get("href", "#").startswith("#")
        assert not [name for name in element.attrib if str(name).startswith("on")]
    assert not re.search(r"https?:|url\((?!#)", etree.tostring(page, encoding="unicode"))


def test_every_link_leads_somewhere(write: Write):
    page = write()
    anchors = {element.get("id") for element in page.iter(etree.Element)}
    links = [element.get("href") for element in page.iter("a")]
    assert len(links) > 6
    assert {link.removeprefix("#") for link in links} <= anchors


def test_names_are_escaped(write: Write, change: Change):
    change("update reference.data_quality_checks set label = $1", parameters=[HOSTILE])
    page = write()
    assert not list(page.iter("script"))
    assert "alert(1)" in text_of(page)


def test_the_same_warehouse_gives_the_same_page(warehouse: Path, tmp_path: Path):
    first, second = tmp_path / "a.html", tmp_path / "b.html"
    write_quality_report(warehouse=warehouse, output=first)
    write_quality_report(warehouse=warehouse, output=second)
    assert first.read_bytes() == second.read_bytes()


# -- whom to doubt, and why --------------------------------------------------------------------------------


def test_the_most_doubted_come_first_and_those_without_doubt_are_not_described(write: Write):
    page = write()
    described = [text_of(one) for one in section(page, "doubted").xpath(".//h3")]
    assert described == ["Lancashire", "Walsall", "Wolverhampton"]
    table = [row[0] for row in cells(section(page, "heat").xpath(".//table")[0])]
    assert table == ["Lancashire", "Walsall", "Wolverhampton", "Telford and Wrekin"]


def test_a_missing_return_is_said_and_drawn_as_a_gap(write: Write):
    page = write()
    assert "The Children in Need return of 2018/19 is missing." in text_of(section(page, "doubted"))
    (table,) = section(page, "landed").xpath(".//table")
    rows = {row[0]: row[1:] for row in cells(table)}
    assert rows["Walsall"] == ["■", "no CIN", "■"]
    assert rows["Lancashire"] == ["■", "■", "■"]


def test_a_year_without_any_return_is_a_gap_as_a_whole(write: Write, change: Change):
    change(
        "update marts.data_quality set n_failed = 1, is_over_threshold = true "
        "where la_code = '888' and return_year = 2018 and check_name like 'missing_return%'"
    )
    rows = {row[0]: row[1:] for row in cells(section(write(), "landed").xpath(".//table")[0])}
    assert rows["Lancashire"] == ["gap", "■", "■"]


def test_a_year_of_which_no_return_is_expected_is_no_gap(write: Write, change: Change):
    change("delete from marts.data_quality where la_code = '888' and return_year = 2018")
    rows = {row[0]: row[1:] for row in cells(section(write(), "landed").xpath(".//table")[0])}
    assert rows["Lancashire"] == ["–", "■", "■"]


def test_a_jump_is_told_with_what_was_to_be_expected(write: Write):
    page = write()
    said = text_of(section(page, "doubted"))
    assert (
        "Referrals rose from 2,000 in 2018/19 to 4,000 in 2019/20, where about 2,100 were to be expected "
        "(6.4 standard deviations)." in said
    )
    assert [row[:3] for row in cells(section(page, "jumps").xpath(".//table")[0])] == [
        ["Lancashire", "referrals", "2019/20"]
    ]


def test_a_fall_is_called_a_fall(write: Write, change: Change):
    change("update marts.data_quality_counts set n_events = 500, change_in_sd = -7 where is_jump")
    assert "Referrals fell from 2,000 in 2018/19 to 500 in 2019/20" in text_of(section(write(), "doubted"))


def test_a_share_is_told_with_its_years_and_threshold(write: Write):
    said = text_of(section(write(), "doubted"))
    assert (
        "Closures before the referral: 12% of referrals in 2019/20, over the threshold of 1% in 2 years "
        "(2018/19 and 2019/20)." in said
    )


def test_colour_is_never_the_only_sign(write: Write):
    page = write()
    serious = heat_cell(page, "Walsall", "Missing Children in Need returns")
    doubt = heat_cell(page, "Wolverhampton", "Closures before the referral")
    noted = heat_cell(page, "Telford and Wrekin", "Children with an expected month of birth")
    assert [(cell.get("class"), text_of(cell)) for cell in (serious, doubt, noted)] == [
        ("serious", "▲1"),
        ("doubt", "◆2"),
        ("info", "○3"),
    ]
    assert doubt.get("title") == "doubt: closures before the referral, 2018/19 and 2019/20"
    fine = heat_cell(page, "Lancashire", "Closures before the referral")
    assert (fine.get("class"), text_of(fine)) == ("fine", "")
    assert len(set(SHAPES.values())) == len(SHAPES) == len(SEVERITY_NAMES)


def test_a_check_with_nothing_to_look_at_is_not_called_fine(write: Write, change: Change):
    change("delete from marts.data_quality where la_code = '888' and check_name = 'closure_before_referral'")
    cell = heat_cell(write(), "Lancashire", "Closures before the referral")
    assert (cell.get("class"), text_of(cell)) == ("unseen", "–")


def test_without_doubts_the_page_says_so(write: Write, change: Change):
    change(
        "update marts.data_quality set n_failed = 0, is_over_threshold = false",
        "update marts.data_quality_authorities set n_checks_serious = 0, n_checks_in_doubt = 0, n_checks_noted = 0",
        "update marts.data_quality_counts set is_jump = false",
    )
    page = write()
    assert "No check that raises a doubt is over its threshold." in text_of(section(page, "doubted"))
    assert not section(page, "heat").xpath(".//table")
    assert "no count changes by more than 3 standard deviations" in text_of(section(page, "jumps"))
    assert "Of 4 authorities, 0 have" in text_of(section(page, "brief"))


def test_every_check_is_explained(write: Write, warehouse: Path):
    said = text_of(section(write(), "checks"))
    data = load_quality_data(warehouse=warehouse)
    assert len(data.checks) > 50
    for check in data.checks:
        assert check.meaning in said
        assert check.consequence in said
        assert check.subject in SUBJECTS


# -- one authority -----------------------------------------------------------------------------------------


def test_a_chosen_authority_is_described_even_without_doubt(write: Write):
    page = write("894")
    assert [text_of(one) for one in section(page, "doubted").xpath(".//h3")] == ["Telford and Wrekin"]
    assert len(cells(section(page, "heat").xpath(".//table")[0])) == 1
    assert "Walsall" not in text_of(page)


def test_authorities_may_be_chosen_together_and_twice(write: Write):
    page = write("336", "335", "336")
    assert [text_of(one) for one in section(page, "doubted").xpath(".//h3")] == ["Walsall", "Wolverhampton"]


@pytest.mark.parametrize(
    ("code", "said"), [("000", "no authority's code"), ("203", r"Greenwich \(203\) has no return")]
)
def test_an_authority_that_cannot_be_shown_is_named(write: Write, code: str, said: str):
    with pytest.raises(CscError, match=said):
        write(code)


# -- small counts ------------------------------------------------------------------------------------------


def detail_rows(page: html.HtmlElement, code: str) -> dict[str, list[str]]:
    (table,) = page.xpath(f"//article[@id='la-{code}']//table")
    return {row[0]: row[1:] for row in cells(table)}


def test_a_small_count_is_withheld_and_its_share_too(write: Write):
    rows = detail_rows(write("894"), "894")
    assert rows["Closures before the referral"] == ["<10", "<10", "<10"]
    assert rows["Children with an expected month of birth"] == ["○ 40.0%"] * 3


def test_a_share_does_not_tell_the_few_that_pass(write: Write):
    # 35 of 40 fail: 87.5% would tell that five do not.
    rows = detail_rows(write("336"), "336")
    assert rows["Referrals both with and without further action"] == ["0.0%", "◆ 100.0%", "◆ 100.0%"]
    assert Disclosure(10).rounded(35) == Disclosure(10).rounded(40) == 40


def test_counts_beside_a_small_one_are_rounded(write: Write, change: Change):
    change(
        "update marts.data_quality_counts set n_events = 123, n_events_before = 4, n_expected = 4 where is_jump"
    )
    page = write()
    assert "Referrals rose from <10 in 2018/19 to 120 in 2019/20, where about <10" in text_of(page)
    assert "123" not in text_of(section(page, "jumps"))


def test_the_threshold_for_small_counts_is_the_seeds(write: Write, change: Change):
    change("update protocol.parameters set parameter_value = 3 where parameter = 'report_small_count'")
    assert detail_rows(write("894"), "894")["Closures before the referral"] == ["0.4%"] * 3


# -- what cannot be written --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "error", "said"),
    [
        ("drop table marts.data_quality_authorities", WarehouseError, "csceval build"),
        ("drop schema marts cascade", WarehouseError, "csceval build"),
        ("alter table marts.data_quality drop column is_over_threshold", WarehouseError, "is_over_threshold"),
        (
            "delete from protocol.parameters where parameter = 'report_small_count'",
            SeedError,
            "report_small_count",
        ),
        (
            "update marts.data_quality_authorities set n_returns_cin = 0, n_returns_ssda903 = 0",
            CscError,
            "no return of an authority is landed",
        ),
    ],
)
def test_what_the_page_needs_is_named_and_no_page_is_left(
    warehouse: Path, tmp_path: Path, change: Change, statement: str, error: type[CscError], said: str
):
    change(statement)
    output = tmp_path / "quality.html"
    output.write_text("the old page")
    with pytest.raises(error, match=said):
        write_quality_report(warehouse=warehouse, output=output)
    assert output.read_text() == "the old page"


def test_the_page_is_built_from_data_alone(warehouse: Path):
    data = load_quality_data(warehouse=warehouse)
    page = build_quality_page(data)
    assert page.subtitle == "4 authorities with returns, return years 2017/18 to 2019/20."
    assert data.not_landed == ("203",)
    assert page.landed_note == "Nothing is landed from Greenwich."
