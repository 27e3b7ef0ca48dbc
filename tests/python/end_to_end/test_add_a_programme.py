"""The worked example of docs/add_a_programme.md: a programme is added by its seed rows alone."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from csc_evaluation import warehouse
from csc_evaluation.project import project_dir
from support.dbt_project import copy_project, dbt
from support.raw_rows import RawRows

pytestmark = pytest.mark.end_to_end

PROGRAMME = "family_valued"
BLOCK = re.compile(r"^```csv (seeds/\S+\.csv)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def append_documented_rows(project: Path) -> dict[str, int]:
    """Append each block of the page to the seed it names; returns rows by seed."""
    page = (project_dir() / "docs" / "add_a_programme.md").read_text()
    added = {}
    for seed, rows in BLOCK.findall(page):
        with (project / seed).open("a") as file:
            file.write(rows)
        added[seed] = rows.count("\n")
    return added


def write_records(path: Path) -> None:
    """Warwickshire (937) and a comparator, returns of 2018 to 2024, four children."""
    rows = RawRows()
    for la_code in ("937", "335"):
        cin = {year: rows.cin_return(la_code, year) for year in range(2018, 2025)}
        care = {year: rows.ssda903_return(la_code, year) for year in range(2018, 2025)}

        def referred(child_id: str, day: date, closed: date, reason: str, into=cin) -> None:
            year = day.year + (day.month >= 4)
            child_no = rows.child(into[year], child_id, birth_month=date(2008, 5, 1))
            rows.referral(
                into[year], child_no, child_id, day, closure_date=closed, closure_reason=reason, is_nfa=False
            )

        # In care on the last day of twelve months; and a day too late.
        referred(f"{la_code}_within", date(2019, 10, 31), date(2020, 1, 31), "RC1")
        rows.episode(
            care[2021], f"{la_code}_within", date(2020, 10, 31), reason_new_episode="S", legal_status="C2"
        )
        referred(f"{la_code}_after", date(2021, 2, 28), date(2021, 4, 30), "RC8")
        rows.episode(
            care[2022], f"{la_code}_after", date(2022, 3, 1), reason_new_episode="S", legal_status="C2"
        )
        referred(f"{la_code}_after", date(2022, 4, 30), date(2022, 5, 30), "RC1")
    rows.write(path)


def test_family_valued_is_added_by_the_rows_of_the_page_alone(tmp_path: Path):
    project = copy_project(tmp_path / "project")
    added = append_documented_rows(project)
    assert added["seeds/protocol/sites.csv"] == 5
    assert added["seeds/protocol/outcomes.csv"] == 3
    path = tmp_path / "valued.duckdb"
    write_records(path)
    done = dbt("build", warehouse=path, scratch=tmp_path, project=project)
    assert done.returncode == 0, done.stdout[-3000:]
    with warehouse.readable(path) as connection:

        def query(sql: str) -> list[tuple]:
            return connection.execute(sql).fetchall()

        events = query(
            "select child_id, index_event, index_date, is_treated_authority, is_treated, exposure_months "
            f"from marts.index_events where programme = '{PROGRAMME}' order by all"
        )
        assert events == [
            ("335_after", "first_referral", date(2021, 2, 28), False, False, 0.0),
            ("335_after", "nfa", date(2021, 4, 30), False, False, 0.0),
            ("335_within", "first_referral", date(2019, 10, 31), False, False, 0.0),
            ("937_after", "first_referral", date(2021, 2, 28), True, True, 12.0),
            ("937_after", "nfa", date(2021, 4, 30), True, True, 12.0),
            ("937_within", "first_referral", date(2019, 10, 31), True, False, pytest.approx(12 * 30 / 366)),
        ]
        outcomes = query(
            "select outcome, child_id, value from marts.trial_outcomes "
            f"where programme = '{PROGRAMME}' and la_code = '937' order by all"
        )
        assert outcomes == [
            ("days_in_care_6m", "937_after", 0.0),
            ("days_in_care_6m", "937_within", 0.0),
            ("looked_after_12m", "937_after", 0.0),
            ("looked_after_12m", "937_within", 1.0),
            ("rereferral_after_nfa_12m", "937_after", 1.0),
        ]
        quarters = query(
            "select outcome, sum(n_children) from marts.la_quarter_outcomes "
            f"where programme = '{PROGRAMME}' group by 1 order by 1"
        )
        assert quarters == [
            ("days_in_care_6m", 4),
            ("looked_after_12m", 4),
            ("rereferral_after_nfa_12m", 2),
        ]
        assert query(
            f"select count(*) from marts.la_quarter_rates where programme = '{PROGRAMME}' and rate > 0"
        ) == [(10,)]
        # The other programmes are as they were: the children count for Family Safeguarding by their first referral.
        assert query("select count(*) from marts.index_events where programme = 'family_safeguarding'") == [
            (4,)
        ]
