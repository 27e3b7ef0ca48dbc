"""The same children as authorities' returns and as the research service's extracts: the same marts.

What extracts do not carry is listed here and in docs/landing.md; nothing else may differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from csc_evaluation.landing import LandingReport, land
from csc_evaluation.pseudonyms import KEY_VARIABLE
from csc_evaluation.synthetic import SynthesisConfig, synthesise
from csc_evaluation.synthetic.census import Identities, Numbers, Texts
from support.dbt_project import dbt

pytestmark = pytest.mark.end_to_end

AUTHORITIES = 5

DIFFERENT = {
    # Extracts carry no disabilities; and a header only with an episode, so not of those who have left care.
    "children": {"last_return_year", "is_disabled", "disability_first_recorded_year", "first_disabled_year"},
    "index_events": {"is_disabled", "is_disabled_by_index"},
    # The category at the start of a plan, and who provides a placement.
    "cp_plan_spells": {"initial_category"},
    "care_episodes": {"placement_provider"},
}
"""Mart to columns that differ by what extracts carry."""

ALIKE = (
    "referral_spells",
    "care_periods",
    "short_break_series",
    "trial_outcomes",
    "la_quarter_outcomes",
    "observed_spans",
    "sample_flow_counts",
    "assessment_spells",
    "assessment_factors",
    "open_referral_spans",
    "care_placements",
    "la_quarter_rates",
    "la_quarter_covariates",
)
"""Marts of which no column may differ."""

DIFFERENT_CHECKS = {
    # Rows and records are counted otherwise, and children who are only in a header are not there.
    "rejected_record",
    "refused_end_before_start",
    "refused_impossible_age",
    "refused_impossible_date",
    "refused_without_child_id",
    "unlisted_code",
    "unlisted_ethnicity",
    "unlisted_gender",
    "conflicting_gender",
    "conflicting_ethnicity",
    "conflicting_birth_month",
    "impossible_age_in_return",
    "missing_birth_month",
    "missing_ethnicity",
    "missing_gender",
    "pupil_in_two_authorities",
    # Extracts carry no disabilities, section 47 enquiries, reviews or child in need plans.
    "unlisted_disability",
    "section47_before_referral",
    "conference_before_referral",
    "conference_before_section47",
    "review_outside_plan",
    "cin_plan_end_before_start",
    "conflicting_cin_plan_end",
    "open_cin_plan_dropped_by_later_return",
    # Nor the modules on missing episodes, care leavers and adoption.
    "missing_return_ssda903",
    "missing_episode_end_before_start",
    "adoption_placement_end_before_start",
    "unlisted_leaver_activity",
}
"""Checks of the data quality table that differ by what extracts carry."""

NOT_IN_EXTRACTS = "('missing_episode_12m', 'neet_at_17_18', 'initial_conference_3m')"
"""Outcomes from what extracts do not have: modules of the SSDA903 (missing, oc3), conferences of section 47 enquiries."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Two built warehouses side by side, ``of_returns`` and ``of_extracts``.

    The service replaces child identifiers by its own; here both formats name a child alike, so that pseudonyms do.
    """
    folder = tmp_path_factory.mktemp("extracts")
    (folder / "key").write_text("a key for both warehouses")
    in_returns = Identities.child_ids

    def as_in_returns(la_code: str, child: Numbers, *, is_anonymous: bool = False) -> Texts:
        return in_returns(la_code, child)

    with pytest.MonkeyPatch.context() as patch, duckdb.connect() as connection:
        patch.setenv(KEY_VARIABLE, str(folder / "key"))
        patch.setattr(Identities, "child_ids", staticmethod(as_in_returns))
        for form in ("returns", "extracts"):
            synthesise(
                SynthesisConfig(scale=0.02, seed=7, authorities=AUTHORITIES, format=form), folder / form
            )
            path = folder / f"{form}.duckdb"
            report = land([folder / form], warehouse=path)
            assert report.n_failed == 0
            assert_every_record_is_counted(report)
            built = dbt("build", warehouse=path, scratch=folder / f"dbt_{form}")
            assert built.returncode == 0, built.stdout[-3000:]
            connection.execute(f"attach '{path}' as of_{form} (read_only)")
        yield connection


def assert_every_record_is_counted(report: LandingReport) -> None:
    for _, count in report.counts:
        assert count.n_found == count.n_accepted + count.n_rejected, count


def columns_of(both: duckdb.DuckDBPyConnection, mart: str) -> list[str]:
    rows = both.execute(
        "select column_name from duckdb_columns() where database_name = 'of_returns' and schema_name = 'marts' "
        "and table_name = ? order by column_index",
        [mart],
    ).fetchall()
    assert rows, mart
    return [name for (name,) in rows]


def n_rows(both: duckdb.DuckDBPyConnection, mart: str, where: str = "true") -> int:
    row = both.execute(f"select count(*) from of_returns.marts.{mart} where {where}").fetchone()
    return row[0] if row else 0


def n_different(both: duckdb.DuckDBPyConnection, mart: str, columns: list[str], where: str = "true") -> int:
    """Rows of either warehouse that the other does not have."""
    listed = ", ".join(f'"{column}"' for column in columns)
    one, other = (
        f"select {listed} from of_{form}.marts.{mart} where {where}" for form in ("returns", "extracts")
    )
    row = both.execute(
        f"select count(*) from (({one} except all {other}) union all ({other} except all {one}))"
    ).fetchone()
    return row[0] if row else -1


@pytest.mark.parametrize("mart", [*ALIKE, *DIFFERENT])
def test_marts_are_the_same_row_by_row_in_what_extracts_carry(both: duckdb.DuckDBPyConnection, mart: str):
    columns = [name for name in columns_of(both, mart) if name not in DIFFERENT.get(mart, set())]
    where = f"outcome not in {NOT_IN_EXTRACTS}" if "outcome" in columns else "true"
    assert n_rows(both, mart, where) > 50
    assert n_different(both, mart, columns, where) == 0


@pytest.mark.parametrize(
    ("mart", "column"), [(m, c) for m, names in DIFFERENT.items() for c in sorted(names)]
)
def test_what_is_listed_as_different_does_differ(both: duckdb.DuckDBPyConnection, mart: str, column: str):
    columns = [name for name in columns_of(both, mart) if name not in DIFFERENT[mart] - {column}]
    assert n_different(both, mart, columns) > 0


def test_data_quality_is_the_same_in_what_extracts_carry(both: duckdb.DuckDBPyConnection):
    columns = columns_of(both, "data_quality")
    checks = [
        name
        for (name,) in both.execute(
            "select distinct check_name from of_returns.marts.data_quality"
        ).fetchall()
    ]
    differ = {
        name for name in checks if n_different(both, "data_quality", columns, f"check_name = '{name}'") > 0
    }
    assert len(checks) > 60
    assert differ == DIFFERENT_CHECKS, ", ".join(sorted(differ ^ DIFFERENT_CHECKS))


def test_every_authority_and_year_of_the_returns_is_a_return_of_the_extracts(
    both: duckdb.DuckDBPyConnection,
):
    query = """
        select collection, la_code, return_year, count(*) from {}.raw.returns
        where collection in ('cin', 'ssda903') and la_code is not null and not is_superseded
            and (collection = 'cin' or modules like '%episodes%') group by all order by all
    """
    rows = both.execute(query.format("of_extracts")).fetchall()
    assert rows == both.execute(query.format("of_returns")).fetchall()
    assert len(rows) == 2 * 7 * AUTHORITIES
