"""``dbt build`` by itself: on an empty warehouse, with broken seeds, with records that break a rule."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import duckdb
import pytest
import sqlglot

from csc_evaluation import warehouse
from support.dbt_project import copy_project, dbt
from support.raw_rows import RawRows

CONTRACT = {
    "index_events": "programme index_event child_id sequence la_code index_date referral_id age_at_index "
    "is_unborn_at_index financial_year quarter_start is_treated_authority go_live_date is_treated exposure_months "
    "gender ethnicity ethnic_group_major is_disabled is_disabled_by_index is_uasc is_uasc_by_index fsm_regression "
    "fsm_cem n_previous_plans has_previous_plan primary_need is_in_care_at_index has_pupil_link la_share_fsm "
    "la_share_white_british has_other_programme",
    "trial_outcomes": "programme outcome child_id sequence term la_code index_date value is_fully_observed event_date",
    "la_quarter_outcomes": "programme outcome la_code quarter_start n_children sum_value mean_value standard_error "
    "n_index_events share_fully_observed",
    "sample_flow_counts": "programme outcome la_code step_no step reason n_children",
    "data_quality": "la_code return_year check_name n_records n_failed",
    "referral_spells": "referral_id la_code child_id referral_date closure_date closure_reason referral_source "
    "is_nfa_at_referral is_closed_after_assessment is_closure_conflicting is_closure_reason_conflicting "
    "is_primary_need_conflicting is_nfa_conflicting n_returns",
    "cp_plan_spells": "la_code child_id plan_start plan_end is_end_conflicting is_initial_category_conflicting "
    "n_returns",
    "care_periods": "la_code child_id care_start care_end n_placements n_returns",
    "care_episodes": "la_code child_id episode_start episode_until is_new_placement is_temporary_placement "
    "is_end_conflicting n_returns",
    "care_placements": "care_period_id placement_no la_code child_id placement_start placement_end placement n_episodes",
    "assessment_spells": "assessment_id la_code child_id referral_id referral_date assessment_start "
    "authorisation_date is_authorised_before_start is_open_at_data_end completion_no is_authorisation_conflicting "
    "n_factors n_returns",
    "assessment_factors": "assessment_id child_id la_code factor_code",
    "section47_enquiries": "section47_id la_code child_id referral_id enquiry_start conference_date "
    "conference_target_date is_conference_not_required is_conference_date_conflicting n_returns",
    "initial_conferences": "la_code child_id conference_date referral_id is_from_referral is_from_section47 "
    "is_before_referral n_returns",
    "cin_plan_spells": "la_code child_id plan_start plan_end observed_until is_open_at_data_end is_end_before_start "
    "is_end_conflicting n_returns",
    "missing_episodes": "la_code child_id missing_start missing_type missing_end n_returns",
    "care_leaver_records": "la_code child_id return_year birth_month in_touch_code activity_code accommodation_code "
    "age_in_return_year birthday",
    "open_referral_spans": "la_code child_id span_start span_end",
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="module")
def built(scratch: Path) -> Path:
    """A warehouse with two children's records, built; one of them is 16 years old and not in the cohort."""
    path = scratch / "built.duckdb"
    rows = RawRows()
    for year in range(2018, 2025):
        into = rows.cin_return("335", year)
        rows.ssda903_return("335", year)
        if year == 2018:
            child_no = rows.child(
                into, "c", birth_month=date(2012, 5, 1), gender_code="2", ethnicity_code="WBRI"
            )
            rows.referral(into, child_no, "c", date(2017, 5, 1), closure_date=date(2017, 4, 1))
        if year == 2024:
            child_no = rows.child(into, "d", birth_month=date(2008, 1, 1))
            rows.referral(into, child_no, "d", date(2024, 2, 1))
    rows.write(path)
    done = dbt("build", warehouse=path, scratch=scratch)
    assert done.returncode == 0, done.stdout
    return path


def query(path: Path, sql: str) -> list[tuple]:
    with warehouse.readable(path) as connection:
        return connection.execute(sql).fetchall()


def copy_of(built: Path, folder: Path) -> Path:
    """A copy under the same file name, which views remember."""
    path = folder / built.name
    path.write_bytes(built.read_bytes())
    return path


def build_rows(path: Path) -> list[tuple]:
    return query(path, "select command, status, n_failed > 0 from meta.builds order by finished_at")


def test_an_empty_warehouse_builds_and_every_authority_has_its_quarters(scratch: Path):
    path = scratch / "empty.duckdb"
    with warehouse.writable(path):
        pass
    done = dbt("build", warehouse=path, scratch=scratch)
    assert done.returncode == 0, done.stdout
    assert build_rows(path) == [("build", "success", False)]
    assert query(path, "select count(*), sum(n_children) from marts.la_quarter_outcomes") == [
        (query(path, "select count(*) from reference.local_authorities")[0][0] * 22, 0)
    ]


@pytest.mark.parametrize("mart", CONTRACT)
def test_a_mart_has_the_columns_others_rely_on(built: Path, mart: str):
    found = query(
        built,
        f"select column_name from information_schema.columns where table_schema = 'marts' and table_name = '{mart}'",
    )
    assert set(CONTRACT[mart].split()) <= {name for (name,) in found}


def test_one_child_goes_all_the_way_through(built: Path):
    assert query(
        built, "select age_at_index, gender, ethnicity, is_treated_authority from marts.index_events"
    ) == [(5, "2", "WBRI", True)]
    assert query(built, "select value, is_fully_observed from marts.trial_outcomes") == [(0.0, True)]
    assert query(
        built,
        "select n_failed from marts.data_quality where check_name = 'closure_before_referral' and n_failed > 0",
    ) == [(1,)]
    flow = query(
        built, "select step_no, n_children from marts.sample_flow_counts where la_code = '335' order by 1"
    )
    assert [n for _, n in flow] == [2, 1, 1, 0, 0, 1, 0, 0, 1]


def test_a_build_of_a_part_is_not_recorded_as_a_whole_build(built: Path, scratch: Path):
    dbt("build", "--select", "stg_cin__children", warehouse=built, scratch=scratch)
    assert build_rows(built)[-1] == ("build (selection)", "success", False)


@pytest.mark.parametrize(
    ("seed", "old", "new", "words"),
    [
        ("protocol/programmes.csv", ",0,12,", ",13,12,", "age_min between 0 and age_max"),
        (
            "protocol/sites.csv",
            "family_safeguarding,335",
            "family_safeguarding,999",
            "a row without its parent",
        ),
        ("protocol/parameters.csv", "care_gap_days_max", "care_gap_days", "care_gap_days_max"),
        (
            "protocol/parameters.csv",
            "*,care_gap_days_max,",
            "family_safeguarding,care_gap_days_max,2,days,false,ours\n*,care_gap_days_max,",
            "the parameter has no row for one programme",
        ),
        (
            "reference/gender_codes.csv",
            "1,1,true,male",
            "2,1,true,male",
            "the columns together identify a row",
        ),
    ],
)
def test_a_bad_seed_stops_the_build_says_the_row_and_leaves_the_marts(
    built: Path, tmp_path: Path, seed: str, old: str, new: str, words: str
):
    project = copy_project(tmp_path / "project")
    path = copy_of(built, tmp_path)
    before = query(path, "select * from marts.index_events")
    text = (project / "seeds" / seed).read_text()
    assert old in text
    (project / "seeds" / seed).write_text(text.replace(old, new, 1))
    done = dbt("build", warehouse=path, scratch=tmp_path, project=project)
    assert done.returncode == 1
    assert re.search(r"Broken rule in .*" + re.escape(words), done.stdout), done.stdout[-3000:]
    assert query(path, "select * from marts.index_events") == before
    assert not re.search(r"OK created sql (table|view) model (staging|intermediate|marts)\.", done.stdout)
    assert build_rows(path)[-1] == ("build", "failed", True)


def test_a_model_that_breaks_its_rule_stops_the_marts_and_prints_no_child(built: Path, tmp_path: Path):
    project = copy_project(tmp_path / "project")
    path = copy_of(built, tmp_path)
    model = project / "models" / "intermediate" / "spells" / "int_referral_spells.sql"
    text = model.read_text()
    broken = text.replace(
        "case when closure_date_stated is not null then closure_date_kept end as closure_date",
        "cast(closure_date_stated as date) as closure_date",
    )
    assert broken != text
    model.write_text(broken)
    done = dbt("build", warehouse=path, scratch=tmp_path, project=project)
    assert done.returncode == 1
    assert "OK created sql table model marts." not in done.stdout
    assert "Broken rule in" not in done.stdout
    assert query(path, "select closure_date from marts.referral_spells where child_id = 'c'") == [
        (date(2017, 5, 1),)
    ]
    assert build_rows(path)[-1][:2] == ("build", "failed")


def test_a_killed_build_stays_recorded_as_failed(built: Path, tmp_path: Path):
    path = copy_of(built, tmp_path)
    project = copy_project(tmp_path / "project")
    settings = project / "dbt_project.yml"
    # A build whose end is never reached leaves the row that its start wrote.
    settings.write_text(settings.read_text().replace('  - "{{ record_build_end(results) }}"\n', ""))
    dbt("build", warehouse=path, scratch=tmp_path, project=project)
    assert build_rows(path)[-1] == ("build", "failed", False)


def test_every_compiled_model_reads_as_spark_sql_and_every_analysis_runs(built: Path, scratch: Path):
    done = dbt("compile", warehouse=built, scratch=scratch)
    assert done.returncode == 0, done.stdout
    nodes = json.loads((scratch / "target" / "manifest.json").read_text())["nodes"].values()
    compiled = {
        node["name"]: node["compiled_code"]
        for node in nodes
        if node["resource_type"] in ("model", "analysis")
    }
    assert len(compiled) > 60
    for name, sql in compiled.items():
        assert sqlglot.parse_one(sql, read="spark") is not None, name
    analyses = [node for node in nodes if node["resource_type"] == "analysis"]
    assert {node["name"] for node in analyses} == {
        "journey_of_a_child",
        "referral_flow_by_source",
        "rereferral_curves",
    }
    with duckdb.connect(str(built), read_only=True) as connection:
        found = {node["name"]: connection.execute(node["compiled_code"]).fetchall() for node in analyses}
    assert all(found.values())
