"""The list of comparators in force, by name."""

from __future__ import annotations

import csv
from pathlib import Path

import duckdb
import pytest

from csc_evaluation.errors import CscError
from csc_evaluation.review import write_comparators
from support.review_warehouse import PROGRAMME


def _rows(warehouse: Path, output: Path) -> list[dict[str, str]]:
    with write_comparators(PROGRAMME, warehouse=warehouse, output=output).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def matched(own_warehouse: Path) -> Path:
    """Two runs: an earlier match of every outcome, and a later estimate of one of them with another comparator."""
    with duckdb.connect(str(own_warehouse)) as connection:
        connection.execute("delete from results.la_matches")
        connection.execute("delete from results.runs")
        for run_id, stage, day, status in (
            ("first", "match", 1, "complete"),
            ("second", "estimate", 2, "complete"),
            ("broken", "match", 3, "failed"),
        ):
            connection.execute(
                "insert into results.runs by name select ? as run_id, ? as programme, ? as stage, ? as status, "
                "make_timestamp(2026, 1, ?, 0, 0, 0.0) as started_at, '' as code_version, '' as seeds_hash, "
                "'' as input_hash, '' as package_versions, 1 as random_seed, true as is_unreviewed",
                [run_id, PROGRAMME, stage, status, day],
            )
        for run_id, outcome, comparator, decision in (
            ("first", "looked_after_18m", "336", "nearest, unreviewed"),
            ("first", "days_on_cp_plans_18m", "380", "nearest, unreviewed"),
            ("second", "looked_after_18m", "301", "accepted"),
            ("broken", "looked_after_18m", "302", "accepted"),
        ):
            connection.execute(
                "insert into results.la_matches values (?, ?, ?, '335', '335', ?, date '2020-09-01', 0.5, 1, ?, ?)",
                [run_id, PROGRAMME, outcome, comparator, decision, decision != "accepted"],
            )
    return own_warehouse


def test_of_each_outcome_the_newest_complete_run_counts(matched: Path, tmp_path: Path) -> None:
    rows = _rows(matched, tmp_path / "list.csv")
    assert [(row["outcome"], row["comparator_la_code"], row["run_id"]) for row in rows] == [
        ("days_on_cp_plans_18m", "380", "first"),
        ("looked_after_18m", "301", "second"),
    ]


def test_authorities_go_by_name_and_decisions_by_word(matched: Path, tmp_path: Path) -> None:
    _, row = _rows(matched, tmp_path / "list.csv")
    assert (row["treated_la_name"], row["comparator_la_name"]) == ("Walsall", "Barking and Dagenham")
    assert (row["decision"], row["is_unreviewed"], row["go_live_date"]) == ("accepted", "false", "2020-09-01")


def test_before_any_match_it_says_what_to_run(matched: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(matched)) as connection:
        connection.execute("delete from results.la_matches")
    with pytest.raises(CscError, match=f"run csceval match {PROGRAMME} first"):
        write_comparators(PROGRAMME, warehouse=matched, output=tmp_path / "list.csv")
    assert not (tmp_path / "list.csv").exists()
