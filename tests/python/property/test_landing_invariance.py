"""Whatever mess a file holds: every record is accounted for, and landing again or in another order changes nothing."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from csc_evaluation.landing import land
from support.landing_files import (
    EPISODES_HEADER,
    cin_assessment,
    cin_child,
    cin_cp_plan,
    cin_referral,
    cin_xml,
    content,
    counts,
    query,
    write,
)

SETTINGS = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
DATES = st.sampled_from(
    [
        "2019-09-02",
        "02/09/2019",
        "31/02/2020",
        "",
        " ",
        "2019-10-01",
        "2025-01-01",
        "1980-01-01",
        "soon",
        "2019-09-02Z",
    ]
)
CODES = st.sampled_from(["2A", "2b", "", "99Z", "Mill Lane 4", "SW1A1AA", "é", "1"])
IDENTIFIERS = st.sampled_from(["C1", "C2", " C1 ", "", "C3", "Ünï"])


@st.composite
def referrals(draw: st.DrawFn) -> str:
    parts = [
        cin_assessment(draw(DATES), *draw(st.lists(CODES, max_size=3)), authorised=draw(DATES))
        for _ in range(draw(st.integers(0, 2)))
    ]
    parts += [
        f"<Section47><S47ActualStartDate>{draw(DATES)}</S47ActualStartDate>"
        f"<ICPCnotRequired>{draw(CODES)}</ICPCnotRequired></Section47>"
        for _ in range(draw(st.integers(0, 1)))
    ]
    parts += [
        cin_cp_plan(draw(DATES), draw(DATES), *draw(st.lists(DATES, max_size=2)))
        for _ in range(draw(st.integers(0, 2)))
    ]
    parts += [
        f"<CINPlanDates><CINPlanStartDate>{draw(DATES)}</CINPlanStartDate></CINPlanDates>"
        for _ in range(draw(st.integers(0, 1)))
    ]
    return cin_referral(draw(DATES), *draw(st.permutations(parts)), nfa=draw(CODES))


@st.composite
def children(draw: st.DrawFn) -> str:
    return cin_child(
        draw(IDENTIFIERS),
        *draw(st.lists(referrals(), max_size=3)),
        birth=f"<PersonBirthDate>{draw(DATES)}</PersonBirthDate>",
        gender=f"<Sex>{draw(CODES)}</Sex>",
        ethnicity=draw(CODES),
        disabilities=draw(st.lists(CODES, max_size=2)),
    )


censuses = st.lists(children(), max_size=6).map(lambda found: cin_xml(*found))

# Commas, quotation marks and line ends inside values are the csv module's to write.
cells = st.one_of(DATES, CODES, IDENTIFIERS, st.sampled_from(['a,"b', "two\nlines"]))
rows = st.lists(st.lists(cells, min_size=1, max_size=15), max_size=12)


def csv_text(found: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(found)
    return f"{EPISODES_HEADER}\r\n{out.getvalue()}"


RECORDS = {
    "Child": "Child",
    "Disability": "Disability",
    "CINdetails": "CINdetails",
    "Assessments": "Assessments",
    "AssessmentFactors": "AssessmentFactors",
    "Section47": "Section47",
    "CINPlanDates": "CINPlanDates",
    "ChildProtectionPlans": "ChildProtectionPlans",
    "CPPreviewDate": "Reviews",
}
TABLES = {
    "Child": "cin_children",
    "Disability": "cin_disabilities",
    "CINdetails": "cin_referrals",
    "Assessments": "cin_assessments",
    "AssessmentFactors": "cin_assessment_factors",
    "Section47": "cin_section47",
    "CINPlanDates": "cin_plans",
    "ChildProtectionPlans": "cin_cp_plans",
    "Reviews": "cin_cp_reviews",
}


@SETTINGS
@given(censuses)
def test_every_record_of_a_messy_census_is_accounted_for(text: str) -> None:
    recount: dict[str, int] = {}
    for element in etree.fromstring(text.encode()).iter(*RECORDS):
        name = RECORDS[str(element.tag)]
        recount[name] = recount.get(name, 0) + 1
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Path(folder) / "w.duckdb"
        report = land([write(Path(folder), "c.xml", text)], warehouse=warehouse)
        assert report.n_landed == 1
        found = counts(report)
        assert {name: total for name, (total, _, _) in found.items()} == recount
        for name, (total, accepted, rejected) in found.items():
            assert total == accepted + rejected
            assert query(warehouse, f"select count(*) from raw.{TABLES[name]}") == [(accepted,)]
            assert query(warehouse, "select count(*) from raw.rejects where record_type = ?", name) == [
                (rejected,)
            ]
        assert query(warehouse, "select count(*), count(distinct record_path) from raw.rejects") == [
            (sum(found[name][2] for name in found),) * 2
        ]


@SETTINGS
@given(rows)
def test_every_row_of_a_messy_csv_is_accounted_for(found: list[list[str]]) -> None:
    text = csv_text(found)
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Path(folder) / "w.duckdb"
        path = write(Path(folder), "ssda903_335_2020/e.csv", text)
        with path.open(newline="", encoding="utf-8") as handle:
            n_rows = sum(1 for row in csv.reader(handle) if row) - 1
        report = land([path], warehouse=warehouse)
        assert report.n_landed == 1
        total, accepted, rejected = counts(report).get("episodes", (0, 0, 0))
        assert total == accepted + rejected == n_rows
        assert query(warehouse, "select count(*) from raw.ssda903_episodes") == [(accepted,)]
        assert query(warehouse, "select count(*) from raw.rejects") == [(rejected,)]


@settings(SETTINGS, max_examples=6)
@given(st.lists(children(), max_size=4), rows, st.randoms(use_true_random=False))
def test_landing_again_and_in_another_order_changes_nothing(
    found: list[str], episodes: list[list[str]], random
) -> None:  # type: ignore[no-untyped-def]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [
            write(
                folder,
                f"in/{code}_{year}.xml",
                cin_xml(*found, la_code=code, year=str(year), reference_date=f"{year}-03-31"),
            )
            for code, year in (("335", 2019), ("335", 2020), ("336", 2020))
        ]
        paths.append(write(folder, "in/ssda903_335_2020/e.csv", csv_text(episodes)))
        shuffled = list(paths)
        random.shuffle(shuffled)
        landed = []
        for number, order in enumerate((paths, shuffled)):
            warehouse = folder / f"w{number}.duckdb"
            (folder / f"w{number}.duckdb.key").write_bytes(b"k" * 32)
            assert land(order, warehouse=warehouse).n_landed == 4
            landed.append(content(warehouse))
            again = land([*order[::-1], *order], warehouse=warehouse)
            assert (again.n_unchanged, again.n_landed) == (4, 0)
            assert content(warehouse) == landed[-1]
        assert landed[0] == landed[1]
