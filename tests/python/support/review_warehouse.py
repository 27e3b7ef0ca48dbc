"""A small warehouse whose candidates wait for a reviewer, and decisions on them as rows of the seed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from csc_evaluation.review.data import REVIEW_COLUMNS
from support import marts_fixture
from support.match_run_fixture import write_match_run

PROGRAMME = marts_fixture.PROGRAMME
OUTCOME = marts_fixture.OUTCOME
SECOND_OUTCOME = "days_on_cp_plans_18m"
REVIEWER = "A. Reviewer"


def write_review_warehouse(path: Path) -> Path:
    """Five treated authorities, two outcomes, ten candidates each; the other outcomes have no data."""
    marts_fixture.write_warehouse(path)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "insert into marts.la_quarter_outcomes by name "
            "select * replace (? as outcome, 200 * mean_value as mean_value, 200 * standard_error as standard_error) "
            "from marts.la_quarter_outcomes where outcome = ?",
            [SECOND_OUTCOME, OUTCOME],
        )
    write_match_run(path, PROGRAMME)
    return path


def kept(path: Path, outcome: str = OUTCOME, treated: str = "335") -> tuple[str, list[str]]:
    """The hash of a list of candidates, and the candidates in order of rank."""
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute(
            "select candidates_hash, candidate_la_code from results.la_match_candidates "
            "where is_kept and outcome = ? and treated_la_code = ? order by distance_rank",
            [outcome, treated],
        ).fetchall()
    return rows[0][0], [row[1] for row in rows]


def decision(path: Path, rank: int = 1, **changes: Any) -> dict[str, str]:
    """A rejection of the candidate of that rank, as the page would export it."""
    outcome = changes.get("outcome", OUTCOME)
    treated = changes.get("treated_la_code", "335")
    known = outcome in (OUTCOME, SECOND_OUTCOME) and treated in marts_fixture.SITES
    listed_hash, codes = kept(path, outcome, treated) if known else kept(path)
    row = {
        "programme": PROGRAMME,
        "outcome": outcome,
        "treated_la_code": treated,
        "comparator_la_code": codes[rank - 1],
        "trend": "false",
        "placebo": "true",
        "shocks": "true",
        "decision": "rejected",
        "reason": 'Its trend turns, "sharply", in 2018',
        "reviewer": REVIEWER,
        "reviewed_on": "2026-11-25",
        "candidates_hash": listed_hash,
    }
    return row | changes


def acceptance(path: Path, rank: int = 1, **changes: Any) -> dict[str, str]:
    """An acceptance of the candidate of that rank."""
    return decision(path, rank, **({"trend": "true", "decision": "accepted", "reason": ""} | changes))


def write_file(path: Path, rows: Sequence[dict[str, str]], columns: Sequence[str] = REVIEW_COLUMNS) -> Path:
    """Rows as a file of reviews."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path
