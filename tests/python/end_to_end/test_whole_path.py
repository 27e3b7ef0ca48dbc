"""From files to an estimate, against a known effect."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from csc_evaluation import warehouse
from csc_evaluation.errors import CscError
from csc_evaluation.estimation.run import run_programme
from csc_evaluation.landing import land
from csc_evaluation.pipeline import DemoResult, build_warehouse, run_demo
from csc_evaluation.pseudonyms import Pseudonymiser, load_key
from support.small_demo import PROGRAMME, SMALL

pytestmark = pytest.mark.end_to_end

NUMBERS = """
    select outcome, specification, term, inference, estimate, std_error, statistic, df, p_value, ci_low, ci_high,
        n_observations, n_clusters, baseline_mean
    from results.estimates where run_id = ? order by all
"""


def rows(path: Path, query: str, *parameters: object) -> list[tuple[object, ...]]:
    with warehouse.readable(path) as connection:
        return connection.execute(query, list(parameters)).fetchall()


def test_the_estimate_moves_by_the_effect_put_in(demo_result: DemoResult, tmp_path: Path):
    """The same England with and without an effect: the noise is common, so the difference is the effect itself."""
    without = run_demo(tmp_path / "demo", seed=11, effect=0.0, **SMALL)  # type: ignore[arg-type]
    assert without.truth == 0
    moved = demo_result.programme_run.run.headline.estimate - without.programme_run.run.headline.estimate
    assert demo_result.truth < -0.015
    assert moved == pytest.approx(demo_result.truth, abs=0.004)


def test_the_estimate_is_within_its_own_noise_of_the_truth(demo_result: DemoResult):
    headline = demo_result.programme_run.run.headline
    assert abs(headline.estimate - demo_result.truth) < 4 * headline.std_error


def test_every_record_found_was_accepted_or_rejected(landed_demo: Path):
    counts = rows(
        landed_demo / "demo.duckdb",
        "select record_type, sum(n_found), sum(n_accepted), sum(n_rejected) from raw.return_counts group by all",
    )
    assert counts
    for record_type, found, accepted, rejected in counts:
        assert found == accepted + rejected, record_type


def test_both_corrections_stand_beside_each_other_with_one_headline(
    landed_demo: Path, demo_result: DemoResult
):
    found = rows(
        landed_demo / "demo.duckdb",
        "select inference, is_headline, is_registered from results.estimates where run_id = ? and term = 'treated'",
        demo_result.programme_run.run.run_id,
    )
    assert {row[0] for row in found} >= {"cr1_t", "cr2_satterthwaite"}
    assert [row[0] for row in found if row[1]] == ["cr2_satterthwaite"]


def test_landing_again_and_running_again_gives_the_same_numbers_to_the_last_digit(
    landed_demo: Path, demo_result: DemoResult
):
    path = landed_demo / "demo.duckdb"
    first = demo_result.programme_run.run.run_id
    before = rows(path, "select count(*), min(landed_at), max(landed_at) from raw.returns")
    report = land([landed_demo / "returns"], warehouse=path)
    assert report.n_failed == 0
    assert rows(path, "select count(*), min(landed_at), max(landed_at) from raw.returns") == before
    build_warehouse(path)
    again = run_programme(PROGRAMME, warehouse=path, random_seed=11).run_id
    assert again != first
    assert rows(path, NUMBERS, again) == rows(path, NUMBERS, first)
    weights = "select child_id, sequence, weight from results.cem_weights where run_id = ? order by all"
    assert rows(path, weights, again) == rows(path, weights, first)


def test_no_pupil_number_is_in_the_bytes_of_the_warehouse_or_the_page(
    landed_demo: Path, demo_result: DemoResult
):
    pupil_numbers = {
        number
        for file in sorted((landed_demo / "returns" / "cin").glob("*.xml"))[:10]
        for number in re.findall(rb"<UPN>([A-Z][0-9]{11}[0-9A-Z])</UPN>", file.read_bytes())[:200]
    }
    assert len(pupil_numbers) > 100
    for file in (landed_demo / "demo.duckdb", demo_result.programme_run.report):
        content = file.read_bytes()
        assert not [number for number in pupil_numbers if number in content], file.name


def test_no_text_column_of_the_warehouse_holds_a_childs_identifier(landed_demo: Path):
    with duckdb.connect() as connection:
        connection.execute(f"attach '{landed_demo / 'demo.duckdb'}' as warehouse (read_only)")
        connection.execute(
            "create table identifiers as select distinct la_child_id from read_parquet(?)",
            [str(landed_demo / "returns_truth" / "truth.parquet")],
        )
        columns = connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns()"
            " where database_name = 'warehouse' and data_type = 'VARCHAR' and schema_name in ('raw', 'marts', 'results')"
            # The registration number of a placement's provider: seven digits, as the synthetic children's identifiers.
            " and column_name <> 'urn'"
        ).fetchall()
        assert ("raw", "cin_children", "child_id") in columns
        holding = [
            (schema, table, column)
            for schema, table, column in columns
            if connection.execute(
                f'select 1 from warehouse.{schema}.{table} where "{column}" in (from identifiers) limit 1'
            ).fetchall()
        ]
    assert holding == []


def test_the_warehouse_finds_the_cohort_and_the_outcome_that_the_generator_drew(landed_demo: Path):
    """Two independent implementations of the definitions: the generator's, and the warehouse's from landed files.

    Flawed records (a birth month that conflicts, for one) may move a few children across the age limit.
    """
    path = landed_demo / "demo.duckdb"
    hasher = Pseudonymiser(load_key(path)[0])
    with duckdb.connect() as connection:
        drawn = connection.execute(
            "select la_code, la_child_id, cast(index_date as date), cast(y_observed as integer), is_treated"
            " from read_parquet(?)",
            [str(landed_demo / "returns_truth" / "truth.parquet")],
        ).fetchall()
    expected = {hasher.child(la, child): (date, y, treated) for la, child, date, y, treated in drawn}
    found = {
        child: (date, y, treated)
        for child, date, y, treated in rows(
            path,
            """
            select e.child_id, e.index_date, cast(o.value as integer), e.is_treated
            from marts.index_events as e
            inner join marts.trial_outcomes as o using (programme, child_id, sequence)
            where e.programme = ? and o.outcome = 'looked_after_18m' and o.is_fully_observed
            """,
            PROGRAMME,
        )
    }
    assert len(found) > 1000
    assert len(expected.keys() ^ found.keys()) < 0.02 * len(found)
    both = expected.keys() & found.keys()
    assert sum(expected[child] != found[child] for child in both) < 0.005 * len(both)


def test_the_truth_stays_apart_from_what_is_landed(landed_demo: Path):
    assert not list((landed_demo / "returns").rglob("*.parquet"))
    assert (landed_demo / "returns_truth" / "truth.parquet").is_file()


def test_the_page_is_one_file_that_says_what_it_is(demo_result: DemoResult):
    page = demo_result.programme_run.report.read_text(encoding="utf-8")
    assert "Family Safeguarding" in page
    assert "unreviewed" in page.lower()
    assert "<script src" not in page
    assert 'href="http' not in page


def test_an_unknown_programme_is_named_with_the_known_ones(landed_demo: Path):
    with pytest.raises(CscError, match=r"signs_of_success.*family_safeguarding"):
        run_programme("signs_of_success", warehouse=landed_demo / "demo.duckdb", random_seed=1)
