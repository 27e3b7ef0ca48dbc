"""``dbt build`` by itself: on an empty warehouse, with broken seeds, with records that break a rule."""

from __future__ import annotations

import json
import re
import runpy
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from statsmodels.duration.survfunc import SurvfuncRight

from csc_evaluation import warehouse
from csc_evaluation.project import project_dir
from support.dbt_project import copy_project, dbt
from support.raw_rows import RawRows

CONTRACT = {
    "index_events": "programme index_event child_id sequence la_code index_date referral_id age_at_index "
    "is_unborn_at_index financial_year quarter_start is_treated_authority go_live_date is_treated exposure_months "
    "gender ethnicity ethnic_group_major is_disabled is_disabled_by_index is_uasc is_uasc_by_index fsm_regression "
    "fsm_cem n_previous_plans has_previous_plan primary_need is_in_care_at_index has_pupil_link la_share_fsm "
    "la_share_white_british la_n_children has_other_programme event_id is_treated_by_share is_treated_by_days",
    "trial_outcomes": "programme outcome index_event child_id sequence term la_code index_date window_end value "
    "is_fully_observed event_date is_censored exposure_months is_partly_exposed",
    "la_quarter_rates": "programme measure la_code quarter_start n_events n_population rate",
    "la_quarter_covariates": "programme index_event la_code quarter_start covariate value is_filled",
    "covariate_missingness": "programme index_event is_treated_authority financial_year covariate level collection "
    "n_index_events n_missing share_missing",
    "trimmed_durations": "programme outcome is_treated_authority duration_fence n_assessments n_trimmed share_trimmed",
    "observed_spans": "programme outcome la_code first_missing_year observed_from observed_to",
    "data_quality_authorities": "programme la_code worst_severity doubts",
    "data_quality_counts": "la_code return_year",
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
        care = rows.ssda903_return("335", year)
        if year == 2018:
            child_no = rows.child(
                into, "c", birth_month=date(2012, 5, 1), gender_code="2", ethnicity_code="WBRI"
            )
            rows.referral(into, child_no, "c", date(2017, 5, 1), closure_date=date(2017, 4, 1))
        if year == 2024:
            child_no = rows.child(into, "d", birth_month=date(2008, 1, 1))
            referral_no = rows.referral(into, child_no, "d", date(2024, 2, 1))
            rows.cp_plan(into, child_no, referral_no, "d", date(2024, 2, 10))
            record_no = rows.assessment(
                into, child_no, referral_no, "d", date(2024, 2, 5), authorisation_date=date(2024, 3, 1)
            )
            rows.factor(into, child_no, referral_no, record_no, "d", "4B")
            rows.episode(care, "d", date(2024, 2, 15), reason_new_episode="S", placement="U1")
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
    # 22 quarters for the seven outcomes and variants of Family Safeguarding and of No Wrong Door, 44 for the nine
    # of Signs of Safety, for each authority.
    n_authorities = query(path, "select count(*) from reference.local_authorities")[0][0]
    assert query(
        path,
        "select programme, count(*), sum(n_children) from marts.la_quarter_outcomes group by 1 order by 1",
    ) == [
        ("family_safeguarding", 22 * 7 * n_authorities, 0),
        ("no_wrong_door", 22 * 7 * n_authorities, 0),
        ("signs_of_safety", 44 * 9 * n_authorities, 0),
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
        built,
        "select age_at_index, gender, ethnicity, is_treated_authority from marts.index_events "
        "where programme = 'family_safeguarding'",
    ) == [(5, "2", "WBRI", True)]
    assert query(
        built,
        "select value, is_fully_observed from marts.trial_outcomes "
        "where programme = 'family_safeguarding' and outcome = 'looked_after_18m'",
    ) == [(0.0, True)]
    assert query(
        built,
        "select n_failed from marts.data_quality where check_name = 'closure_before_referral' and n_failed > 0",
    ) == [(1,)]
    flow = query(
        built,
        "select step_no, n_children from marts.sample_flow_counts where la_code = '335' "
        "and programme = 'family_safeguarding' and outcome = 'looked_after_18m' order by 1",
    )
    assert [n for _, n in flow] == [2, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1]


def test_a_build_of_a_part_is_not_recorded_as_a_whole_build(built: Path, scratch: Path):
    dbt("build", "--select", "stg_cin__children", warehouse=built, scratch=scratch)
    assert build_rows(built)[-1] == ("build (selection)", "success", False)


@dataclass(frozen=True)
class BadRow:
    """A change that breaks a seed, and what the build must say of it: the rule and the row."""

    seed: str
    old: str
    new: str
    words: tuple[str, ...]


BAD_ROWS = {
    "numbers and keys": (
        BadRow(
            "protocol/programmes.csv", ",0,12,", ",13,12,", ("age_min between 0 and age_max", "age_min = 13")
        ),
        BadRow("protocol/parameters.csv", "care_gap_days_max", "care_gap_days", ("care_gap_days_max",)),
        BadRow(
            "reference/gender_codes.csv",
            "1,1,true,male",
            "2,1,true,male",
            ("the columns together identify a row",),
        ),
        BadRow(
            "protocol/outcomes.csv",
            "all,18,,18,,,false,0,12,,true,A period",
            "all,0,,0,,,false,0,12,,true,A period",
            ("window_months > 0", "outcome = looked_after_18m"),
        ),
        BadRow(
            "protocol/outcomes.csv",
            "care_proceedings,Progression",
            "days_on_cp_plans_18m,Progression",
            ("the columns together identify a row", "outcome = days_on_cp_plans_18m"),
        ),
    ),
    "sites": (
        BadRow(
            "protocol/sites.csv",
            "family_safeguarding,335,1,2020-09-01",
            "family_safeguarding,999,1,2020-09-01",
            ("a row without its parent", "la_code = 999"),
        ),
        BadRow(
            "protocol/sites.csv",
            "888,2,2021-02-01",
            "888,2,2017-04-01",
            ("a go-live date lies after the trial begins", "la_code = 888, go_live_date = 2017-04-01"),
        ),
        BadRow(
            "protocol/sites.csv",
            "signs_of_safety,304,",
            "signs_of_safety,304,11,2017-01-01,2016-03-31,2016-12-31,true,ours\nsigns_of_safety,304,",
            ("embedding periods of an authority do not overlap", "la_code = 304"),
        ),
        BadRow(
            "protocol/sites.csv",
            "801,2,2016-04-01",
            "801,2,2016-05-01",
            ("go_live_date = cast(embedding_end + interval 1 day as date)", "go_live_date = 2016-05-01"),
        ),
    ),
    "what belongs together": (
        BadRow(
            "protocol/parameters.csv",
            "*,care_gap_days_max,",
            "family_safeguarding,care_gap_days_max,2,days,false,ours\n*,care_gap_days_max,",
            ("the parameter has no row for one programme",),
        ),
        BadRow(
            "protocol/outcome_collections.csv",
            "family_safeguarding,looked_after_18m,cin,census",
            "family_safeguarding,lookd_after_18m,cin,census",
            ("a row without its parent", "outcome = lookd_after_18m"),
        ),
        BadRow(
            "protocol/outcome_collections.csv",
            "family_safeguarding,days_on_cp_plans_18m,cin,census\n",
            "",
            ("outcome_collections has a row for the outcome", "outcome = days_on_cp_plans_18m"),
        ),
        BadRow(
            "protocol/outcome_code_groups.csv",
            "no_wrong_door,neet_at_17_18,event,neet_activity\n",
            "",
            ("group_use event for the outcome", "outcome = neet_at_17_18"),
        ),
        BadRow(
            "protocol/outcomes.csv",
            "variant,assessment_duration,",
            "variant,assessment_durations,",
            ("a variant belongs to an evaluated outcome", "outcome = assessment_duration_untrimmed"),
        ),
        BadRow(
            "protocol/treatment_variants.csv",
            "no_wrong_door,open_days,28,",
            "no_wrong_door,open_day,28,",
            ("the programme has the treatment variant open_days", "programme = no_wrong_door"),
        ),
    ),
}


@pytest.mark.parametrize("bad_rows", BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_seed_rows_stop_the_build_are_named_with_their_rule_and_leave_the_marts(
    built: Path, tmp_path: Path, bad_rows: tuple[BadRow, ...]
):
    project = copy_project(tmp_path / "project")
    path = copy_of(built, tmp_path)
    before = query(path, "select * from marts.index_events")
    for bad in bad_rows:
        seed = project / "seeds" / bad.seed
        text = seed.read_text()
        assert bad.old in text, bad
        seed.write_text(text.replace(bad.old, bad.new, 1))
    done = dbt("build", warehouse=path, scratch=tmp_path, project=project)
    assert done.returncode == 1
    said = [line for line in done.stdout.splitlines() if "Broken rule in" in line]
    for bad in bad_rows:
        assert any(all(word in line for word in bad.words) for line in said), (bad.words, said)
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


@pytest.fixture(scope="module")
def compiled(built: Path, scratch: Path) -> list[dict[str, Any]]:
    """Models and analyses as compiled on the built warehouse."""
    done = dbt("compile", warehouse=built, scratch=scratch)
    assert done.returncode == 0, done.stdout
    nodes = json.loads((scratch / "target" / "manifest.json").read_text())["nodes"].values()
    return [node for node in nodes if node["resource_type"] in ("model", "analysis")]


def test_every_compiled_model_reads_as_spark_sql_and_every_analysis_runs(
    built: Path, compiled: list[dict[str, Any]]
):
    assert len(compiled) > 60
    for node in compiled:
        assert sqlglot.parse_one(node["compiled_code"], read="spark") is not None, node["name"]
    analyses = [node for node in compiled if node["resource_type"] == "analysis"]
    assert {node["name"] for node in analyses} == {
        "care_entry_after_referral",
        "journey_of_a_child",
        "placement_moves_in_care",
        "plan_survival",
        "pre_trends_of_a_pair",
        "referral_flow_by_source",
        "rereferral_curves",
        "which_authorities_to_doubt",
    }
    with duckdb.connect(str(built), read_only=True) as connection:
        found = {node["name"]: connection.execute(node["compiled_code"]).fetchall() for node in analyses}
    assert all(found.values()), [name for name, rows in found.items() if not rows]


def test_an_analysis_reads_marts_and_seeds_alone(compiled: list[dict[str, Any]]):
    for node in compiled:
        if node["resource_type"] == "analysis":
            parents = node["depends_on"]["nodes"]
            models = {parent for parent in parents if parent.startswith("model.")}
            marts = {other["unique_id"] for other in compiled if other["schema"] == "marts"}
            assert models <= marts, node["name"]
            assert all(parent.startswith("seed.") for parent in set(parents) - models), node["name"]


def test_plan_survival_is_the_estimate_of_kaplan_and_meier(built: Path, compiled: list[dict[str, Any]]):
    # Months a plan ran and whether its end was seen; ends and open plans share months, and the last plans end together.
    plans = [
        (0, True),
        (2, True),
        (2, False),
        (3, True),
        (3, True),
        (5, False),
        (7, True),
        (9, True),
        (9, True),
    ]
    started = date(2019, 5, 31)
    sql = next(node["compiled_code"] for node in compiled if node["name"] == "plan_survival")
    with duckdb.connect() as connection:
        connection.execute(f"attach ':memory:' as {built.stem}")
        connection.execute(f"create schema {built.stem}.marts")
        connection.execute(
            f"create table {built.stem}.marts.cp_plan_spells (la_code varchar, plan_start date, observed_until date, "
            "is_open_at_data_end boolean, first_return_year integer)"
        )
        for months, is_ended in plans:
            connection.execute(
                f"insert into {built.stem}.marts.cp_plan_spells "
                "select '335', ?::date, ?::date + to_months(?), ?, 2020",
                [started, started, months, not is_ended],
            )
        # A plan that began before the first return is not at risk from its start, and is left out.
        connection.execute(
            f"insert into {built.stem}.marts.cp_plan_spells values ('335', '2018-01-01', '2020-01-01', false, 2020)"
        )
        found = connection.execute(
            f"select months_run, n_at_risk, share_still_running from ({sql})"
        ).fetchall()
    published = SurvfuncRight(*map(list, zip(*plans, strict=True)))
    at_ends = {month: (n, share) for month, n, share in found}
    expected = zip(published.surv_times, published.n_risk, published.surv_prob, strict=True)
    for month, n_at_risk, share in expected:
        assert at_ends[month][0] == n_at_risk
        assert at_ends[month][1] == pytest.approx(share, abs=1e-12)
    assert at_ends[5] == (4, at_ends[3][1])


def test_every_question_of_the_analysts_session_runs(built: Path):
    script = project_dir() / "docs" / "make_analysts_session.py"
    namespace = runpy.run_path(str(script), run_name="session")
    with warehouse.readable(built) as connection:
        found = namespace["answers"](namespace["PAGE"].read_text(), connection)
    assert sum(bool(answer.rows) for answer in found) >= 10
    assert all(answer.rows or answer.lacking for answer in found)


def test_the_data_dictionary_is_made_offline_and_has_every_mart(
    built: Path, scratch: Path, compiled: list[dict[str, Any]]
):
    done = dbt("docs", "generate", "--static", "--no-compile", warehouse=built, scratch=scratch)
    assert done.returncode == 0, done.stdout
    catalog = json.loads((scratch / "target" / "catalog.json").read_text())["nodes"]
    marts = [node for node in compiled if node["schema"] == "marts"]
    assert len(marts) >= len(CONTRACT)
    for mart in marts:
        assert mart["config"]["contract"]["enforced"], mart["name"]
        assert set(catalog[mart["unique_id"]]["columns"]) == set(mart["columns"]), mart["name"]
        for column in mart["columns"].values():
            assert column["description"], f"{mart['name']}.{column['name']}"
            assert column["data_type"], f"{mart['name']}.{column['name']}"
    page = (scratch / "target" / "static_index.html").read_text()
    assert all(json.dumps(mart["description"]) in page for mart in marts)
    # One file: nothing is fetched when it is opened, and the page's own counting of visits is off.
    assert not re.search(r"<(script|link|img|iframe)\b[^>]*\b(src|href)=[\"']?(https?:)?//", page)
    assert '"send_anonymous_usage_stats": false' in page
