"""Definitions of every table that landing (``raw``) and estimation (``results``) write.

dbt and estimation need these tables to exist even when empty, so the first connection that may write creates
them all. Columns are listed once, here.
"""

from __future__ import annotations

import duckdb

RESERVED_NAMES = frozenset(
    {
        "raw",
        "results",
        "staging",
        "intermediate",
        "marts",
        "protocol",
        "reference",
        "meta",
        "main",
        "temp",
        "system",
    }
)

# Every raw table carries return_id; a record's place in its file is (child_no, referral_no, record_no), from 1.
_CIN_KEYS = "return_id varchar not null, la_code varchar not null, return_year integer not null, "
_CHILD = _CIN_KEYS + "child_no integer not null, child_id varchar not null, "
_REFERRAL = _CHILD + "referral_no integer not null, "
_CLA = _CIN_KEYS + "record_no integer not null, child_id varchar not null, "

RAW_TABLES: dict[str, str] = {
    # -- manifest ------------------------------------------------------------------------------------------
    "returns": (
        "return_id varchar not null, collection varchar not null, la_code varchar, return_year integer not null, "
        "file_name varchar not null, sha256 varchar not null, file_bytes bigint not null, landed_at timestamp not null, "
        "n_found bigint not null, n_accepted bigint not null, n_rejected bigint not null, "
        "header_year integer, reference_date date, software varchar, software_release varchar, serial_no varchar, "
        "file_created_at varchar, modules varchar not null, notes varchar, is_superseded boolean not null, "
        "superseded_by varchar, superseded_at timestamp, superseded_modules varchar"
    ),
    # One row: which key this warehouse's pseudonyms were made with (a keyed hash of a fixed text, never the key).
    "pseudonym_keys": "fingerprint varchar not null, first_used_at timestamp not null",
    "return_counts": (
        "return_id varchar not null, record_type varchar not null, n_found bigint not null, "
        "n_accepted bigint not null, n_rejected bigint not null"
    ),
    "rejects": (
        "return_id varchar not null, record_type varchar not null, record_path varchar not null, "
        "field varchar not null, reason varchar not null"
    ),
    "unlisted_codes": (
        "return_id varchar not null, record_type varchar not null, field varchar not null, code varchar not null, "
        "n_records bigint not null"
    ),
    # -- Children in Need census ---------------------------------------------------------------------------
    "cin_children": (
        _CHILD + "pupil_id varchar, former_pupil_id varchar, upn_unknown varchar, birth_month date, "
        "is_expected_birth boolean not null, death_month date, gender_code varchar, ethnicity_code varchar"
    ),
    "cin_disabilities": _CHILD + "disability_code varchar not null",
    "cin_referrals": (
        _REFERRAL + "referral_date date not null, referral_source varchar, primary_need_code varchar, "
        "closure_date date, closure_reason varchar, initial_conference_date date, is_nfa boolean"
    ),
    "cin_assessments": (
        _REFERRAL + "record_no integer not null, assessment_start date, internal_review_date date, "
        "authorisation_date date"
    ),
    "cin_assessment_factors": _REFERRAL + "record_no integer not null, factor_code varchar not null",
    "cin_section47": (
        _REFERRAL + "record_no integer not null, enquiry_start date, conference_target_date date, "
        "conference_date date, is_conference_not_required boolean"
    ),
    "cin_plans": _REFERRAL + "record_no integer not null, plan_start date not null, plan_end date",
    "cin_cp_plans": (
        _REFERRAL + "record_no integer not null, plan_start date not null, plan_end date, "
        "initial_category_code varchar, latest_category_code varchar, n_previous_plans integer"
    ),
    "cin_cp_reviews": _REFERRAL + "record_no integer not null, review_date date not null",
    # -- children looked after (SSDA903) -------------------------------------------------------------------
    "ssda903_header": (
        _CLA + "gender_code varchar, birth_month date, ethnicity_code varchar, pupil_id varchar, "
        "upn_unknown varchar, is_mother boolean, child_birth_month date"
    ),
    "ssda903_episodes": (
        _CLA
        + "episode_start date not null, reason_new_episode varchar, legal_status varchar, need_code varchar, "
        "placement varchar, placement_provider varchar, episode_end date, reason_episode_ceased varchar, "
        "reason_place_change varchar, urn varchar"
    ),
    "ssda903_uasc": _CLA + "gender_code varchar, birth_month date, status_ceased date",
    "ssda903_reviews": _CLA + "birth_month date, review_date date not null, review_code varchar",
    "ssda903_missing": (
        _CLA + "birth_month date, missing_type varchar, missing_start date not null, missing_end date"
    ),
    "ssda903_oc2": (
        _CLA + "birth_month date, sdq_score integer, sdq_reason varchar, is_convicted boolean, "
        "has_health_check boolean, has_immunisations boolean, has_teeth_check boolean, "
        "has_health_assessment boolean, has_substance_misuse boolean, intervention_received boolean, "
        "intervention_offered boolean"
    ),
    "ssda903_oc3": _CLA
    + "birth_month date, in_touch_code varchar, activity_code varchar, accommodation_code varchar",
    "ssda903_ad1": (
        _CLA + "birth_month date, decision_date date, matched_date date, is_foster_carer varchar, "
        "n_adopters varchar, adopter_sex_code varchar, adopter_status_code varchar"
    ),
    "ssda903_placed_for_adoption": (
        _CLA + "birth_month date, placed_date date, placed_ceased_date date, reason_placed_ceased varchar"
    ),
    "ssda903_previous_permanence": (
        _CLA + "birth_month date, previous_permanence_code varchar, previous_permanence_la varchar, "
        "previous_permanence_date varchar"
    ),
    # -- school records of the research service ------------------------------------------------------------
    "school_absence": (
        "return_id varchar not null, academic_year integer not null, record_no integer not null, "
        "pupil_id varchar not null, nc_year varchar, "
        "sessions_possible_autumn integer, authorised_absence_autumn integer, unauthorised_absence_autumn integer, "
        "sessions_possible_spring integer, authorised_absence_spring integer, unauthorised_absence_spring integer, "
        "sessions_possible_summer integer, authorised_absence_summer integer, unauthorised_absence_summer integer"
    ),
    "school_census": (
        "return_id varchar not null, academic_year integer not null, census_term varchar not null, "
        "record_no integer not null, pupil_id varchar not null, nc_year varchar, is_fsm_eligible boolean, "
        "is_ever_fsm_6 boolean, is_pupil_premium boolean"
    ),
    # -- published about authorities -----------------------------------------------------------------------
    "statistical_neighbours": (
        "return_id varchar not null, edition integer not null, record_no integer not null, la_code varchar not null, "
        "neighbour_rank integer not null, neighbour_la_code varchar not null, closeness varchar not null"
    ),
    "inspection_outcomes": (
        "return_id varchar not null, edition integer not null, record_no integer not null, sheet_name varchar not null, "
        "la_code varchar not null, inspected_on date not null, published_on date, inspection_type varchar, "
        "overall_judgement varchar not null"
    ),
}

_RUN = "run_id varchar not null, programme varchar not null, "

RESULTS_TABLES: dict[str, str] = {
    "runs": (
        _RUN
        + "stage varchar not null, status varchar not null, started_at timestamp not null, ended_at timestamp, "
        "code_version varchar not null, seeds_hash varchar not null, input_hash varchar not null, "
        "package_versions varchar not null, random_seed bigint not null, is_unreviewed boolean not null, "
        "command varchar, note varchar"
    ),
    "la_match_candidates": (
        _RUN
        + "outcome varchar not null, treated_la_code varchar not null, candidate_la_code varchar not null, "
        "is_candidate boolean not null, reason varchar, distance double, distance_rank integer, "
        "is_kept boolean not null, n_quarters integer not null, first_quarter date, last_quarter date, "
        "is_short_series boolean not null, candidates_hash varchar, expected_noise double, "
        "distance_levels double, rank_levels integer, distance_both double, rank_both integer, "
        "cut_off date not null, n_pandemic_quarters_in_window integer not null, "
        "n_pandemic_quarters_outside integer not null"
    ),
    "la_match_series": (
        _RUN + "outcome varchar not null, treated_la_code varchar not null, la_code varchar not null, "
        "quarter_start date not null, n_children bigint, mean_value double, z_value double, z_change double, "
        "is_in_distance boolean not null, standard_error double, is_in_window boolean not null"
    ),
    # Evidence on one pair: its estimate at each placebo date and whether its gap is constant before the cut-off.
    "la_pair_evidence": (
        _RUN
        + "outcome varchar not null, treated_la_code varchar not null, comparator_la_code varchar not null, "
        "evidence varchar not null, status varchar not null, placebo_date date, n_quarters_before integer not null, "
        "n_quarters_after integer not null, estimate double, std_error double, statistic double, df double, "
        "p_value double, n_placebos bigint not null, share_as_extreme double, note varchar"
    ),
    # The same statistics for every candidate as if it were treated at that date, with its own nearest comparator.
    "la_match_placebos": (
        _RUN
        + "outcome varchar not null, treated_la_code varchar not null, placebo_la_code varchar not null, "
        "comparator_la_code varchar not null, evidence varchar not null, estimate double, std_error double, "
        "statistic double, df double"
    ),
    # The pairs and comparator weights of each way of matching that a specification may use.
    "la_match_variants": (
        _RUN + "outcome varchar not null, match_variant varchar not null, match_group varchar not null, "
        "treated_la_code varchar not null, comparator_la_code varchar not null, comparator_weight double, "
        "distance double, distance_rank integer"
    ),
    # Tests over all matched groups: placebo dates, leads, common shocks.
    "assumption_checks": (
        _RUN + "outcome varchar not null, assumption varchar not null, check_name varchar not null, "
        "term varchar not null, status varchar not null, estimate double, std_error double, statistic double, "
        "df_numerator double, df double, p_value double, ci_low double, ci_high double, n_restrictions integer, "
        "n_observations bigint, n_clusters integer, n_treated_clusters integer, inference varchar, note varchar"
    ),
    "la_matches": (
        _RUN + "outcome varchar not null, match_group varchar not null, treated_la_code varchar not null, "
        "comparator_la_code varchar not null, go_live_date date not null, distance double, distance_rank integer, "
        "decision varchar not null, is_unreviewed boolean not null"
    ),
    "cem_strata": (
        _RUN + "outcome varchar not null, imputation integer not null, match_group varchar not null, "
        "stratum varchar not null, n_treated bigint not null, n_control bigint not null, is_matched boolean not null"
    ),
    "cem_weights": (
        _RUN + "outcome varchar not null, imputation integer not null, child_id varchar not null, "
        "sequence integer not null, la_code varchar not null, index_date date not null, "
        "is_treated_authority boolean not null, is_treated boolean not null, n_groups integer not null, "
        "weight double not null, normalised_weight double not null"
    ),
    # Who fell away with the strata without both arms: children by arm, covariate and level.
    "cem_dropped": (
        _RUN + "outcome varchar not null, imputation integer not null, arm varchar not null, "
        "covariate varchar not null, level varchar not null, n_children bigint not null, n_dropped bigint not null"
    ),
    "matched_shares": (
        _RUN
        + "outcome varchar not null, imputation integer not null, arm varchar not null, la_code varchar not null, "
        "financial_year integer not null, n_children bigint not null, n_matched bigint not null"
    ),
    "balance": (
        _RUN
        + "outcome varchar not null, imputation integer not null, covariate varchar not null, level varchar not null, "
        "measure varchar not null, treated_before double, control_before double, value_before double, "
        "treated_after double, control_after double, value_after double"
    ),
    "sample_flow": (
        _RUN
        + "outcome varchar not null, step_no integer not null, arm varchar not null, step varchar not null, "
        "reason varchar not null, n_children bigint not null"
    ),
    "estimates": (
        _RUN + "outcome varchar not null, specification varchar not null, estimator varchar not null, "
        "term varchar not null, estimate double, std_error double, statistic double, df double, p_value double, "
        "p_value_adjusted double, ci_low double, ci_high double, n_observations bigint, n_children bigint, "
        "n_clusters integer, n_treated_clusters integer, baseline_mean double, inference varchar not null, "
        "is_headline boolean not null, is_registered boolean not null, note varchar"
    ),
    "diagnostics": (
        _RUN + "outcome varchar not null, specification varchar not null, diagnostic varchar not null, "
        "statistic double, df double, p_value double, threshold double, is_flagged boolean, meaning varchar not null"
    ),
}

RESULTS_VIEWS: dict[str, str] = {
    "latest_runs": (
        "select * from (select *, row_number() over (partition by programme order by started_at desc, run_id desc) "
        "as recency from results.runs where status = 'complete' and stage = 'estimate') as ranked where recency = 1"
    ),
}


def create_all(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the schemas ``raw`` and ``results`` and all their tables, leaving those that exist as they are."""
    statements: list[str] = []
    for name, tables in (("raw", RAW_TABLES), ("results", RESULTS_TABLES)):
        statements.append(f"create schema if not exists {name}")
        statements += [
            f"create table if not exists {name}.{table} ({columns})" for table, columns in tables.items()
        ]
    statements += [
        f"create view if not exists results.{view} as {query}" for view, query in RESULTS_VIEWS.items()
    ]
    # One transaction: all of them or none, and one write to disk instead of fifty.
    connection.begin()
    try:
        connection.execute(";\n".join(statements))
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def tables_of_another_layout(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Raw and results tables that lack a column of this version, as ``raw.returns``: another version made them."""
    found: dict[tuple[str, str], set[str]] = {}
    for layer, table, column in connection.execute(
        "select table_schema, table_name, column_name from information_schema.columns "
        "where table_catalog = current_database() and table_schema in ('raw', 'results')"
    ).fetchall():
        found.setdefault((layer, table), set()).add(column)
    return [
        f"{layer}.{table}"
        for layer, tables in (("raw", RAW_TABLES), ("results", RESULTS_TABLES))
        for table in tables
        if not set(column_names(table, layer=layer)) <= found.get((layer, table), set())
    ]


def column_names(table: str, *, layer: str = "raw") -> list[str]:
    """Column names of a raw or results table, in order.

    Example:
        >>> column_names("cin_disabilities")[-1]
        'disability_code'
    """
    definition = (RAW_TABLES if layer == "raw" else RESULTS_TABLES)[table]
    return [column.split()[0] for column in definition.split(", ")]
