"""Measure a synthetic England against the published figures it is calibrated to.

    python -m csc_evaluation.synthetic.measure --scale 0.05 --seed 1

Everything is counted in the raw tables that landing the returns would fill, so that the comparison covers
what is written, not what the generator meant to write.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.care import KINDS_OF_PLACEMENT
from csc_evaluation.synthetic.config import SynthesisConfig
from csc_evaluation.synthetic.generate import SynthesisSummary, synthesise
from csc_evaluation.warehouse import readable

# Each query gives (measure, year, value); counts are divided by the scale afterwards, shares and means are not.
# Facts come from the return of the year they fall in, unless only a later return knows them.
_REFERRALS = """
    create temporary table referral as
    with known as (
        select
            la_code, child_id, referral_date, max(return_year) as last_year, min(return_year) as first_year,
            bool_or(is_nfa) as is_nfa, max_by(closure_date, return_year) as closure_date,
            max_by(closure_reason, return_year) as closure_reason
        from raw.cin_referrals group by all
    )
    select
        *, year(referral_date + interval 9 month) as fy, year(closure_date + interval 9 month) as closed_fy,
        coalesce(closure_reason in ('RC8', 'RC9'), false) as is_closed_after_assessment,
        lag(referral_date) over (partition by la_code, child_id order by referral_date) as previous_date
    from known
"""
_CARE = """
    create temporary table episode as
    select
        la_code, child_id, episode_start, min(reason_new_episode) as reason_new,
        max_by(episode_end, return_year) as episode_end,
        max_by(reason_episode_ceased, return_year) as reason_ceased, max_by(legal_status, return_year) as legal_status,
        max_by(placement, return_year) as placement, max(return_year) as last_year, min(return_year) as first_year
    from raw.ssda903_episodes where legal_status not in ('V3', 'V4') group by la_code, child_id, episode_start
"""

_COUNTS = {
    "referrals": "select fy, count(*) from referral where fy = first_year group by 1",
    "cin_episodes_at_31_march": """
        select years.y, count(*) from referral join years on
        first_year <= y and last_year >= y and referral_date <= make_date(y, 3, 31)
        and (closure_date is null or closure_date > make_date(y, 3, 31)) and not is_nfa and not is_closed_after_assessment
        group by 1""",
    "cp_plans_started": """
        select year(plan_start + interval 9 month), count(*) from
        (select distinct la_code, child_id, plan_start from raw.cin_cp_plans
         where year(plan_start + interval 9 month) = return_year) group by 1""",
    "cp_plans_at_31_march": """
        select return_year, count(*) from
        (select distinct return_year, la_code, child_id, plan_start from raw.cin_cp_plans where plan_end is null) group by 1""",
    "initial_conferences": """
        select return_year, count(*) from raw.cin_section47
        where year(conference_date + interval 9 month) = return_year group by 1""",
    "cla_started": """
        select year(episode_start + interval 9 month), count(distinct la_code || child_id) from episode
        where reason_new = 'S' and year(episode_start + interval 9 month) = first_year group by 1""",
    "cla_ceased": """
        select year(episode_end + interval 9 month), count(distinct la_code || child_id) from episode
        where reason_ceased <> 'X1' and episode_end is not null group by 1""",
    "cla_at_31_march": """
        select return_year, count(distinct la_code || child_id) from raw.ssda903_episodes
        where episode_end is null and legal_status not in ('V3', 'V4') group by 1""",
    "uasc_at_31_march": """
        select e.return_year, count(distinct e.la_code || e.child_id) from raw.ssda903_episodes as e
        join raw.ssda903_uasc as u using (la_code, child_id, return_year)
        where e.episode_end is null and legal_status not in ('V3', 'V4') group by 1""",
    "episodes_with_factors": """
        select a.return_year, count(distinct a.la_code || a.child_id || a.referral_no) from raw.cin_assessments as a
        join raw.cin_assessment_factors as f using (return_id, child_no, referral_no, record_no)
        where year(authorisation_date + interval 9 month) = a.return_year group by 1""",
}
_SHARES = {
    "rereferral_share": """
        select fy, avg((coalesce(referral_date <= previous_date + interval 12 month, false))::int) from referral
        where fy = first_year and fy > (select min(y) from years) group by 1""",
    "nfa_share": "select fy, avg(is_nfa::int) from referral where fy = first_year group by 1",
    "not_in_need_share": """
        select fy, avg(is_closed_after_assessment::int) from referral where fy = first_year
        and fy < (select max(y) from years) group by 1""",
    "second_plan_share": """
        select return_year, avg((n_previous_plans > 0)::int) from raw.cin_cp_plans
        where year(plan_start + interval 9 month) = return_year group by 1""",
    "section47_per_10000_children": """
        select return_year, count(*) from raw.cin_section47
        where year(enquiry_start + interval 9 month) = return_year group by 1""",
    "cla_three_or_more_placements_share": """
        with moved as (
            select e.return_year, e.la_code, e.child_id,
                count(*) filter (where reason_new_episode in ('S', 'P', 'T', 'B', 'U')) as n,
                bool_or(episode_end is null) as is_open
            from raw.ssda903_episodes as e where legal_status not in ('V3', 'V4') group by all)
        select return_year, avg((n >= 3)::int) from moved where is_open group by 1""",
    "disabled_share": """
        select 2018, avg(is_disabled::int) from (
            select la_code, child_id, bool_or(coalesce(disability_code <> 'NONE', false)) as is_disabled
            from raw.cin_children left join raw.cin_disabilities using (return_id, la_code, child_no, child_id)
            group by all)""",
    "care_leavers_17_18_neet_share": """
        select c.return_year, avg((activity_code in ('G4', 'G5', 'G6'))::int) from raw.ssda903_oc3 as c
        where activity_code is not null group by 1""",
    "oc2_sdq_mean": "select return_year, avg(sdq_score) from raw.ssda903_oc2 group by 1",
    "oc2_health_assessment_share": "select return_year, avg(has_health_assessment::int) from raw.ssda903_oc2 group by 1",
    "oc2_immunisations_share": "select return_year, avg(has_immunisations::int) from raw.ssda903_oc2 group by 1",
    "oc2_teeth_check_share": "select return_year, avg(has_teeth_check::int) from raw.ssda903_oc2 group by 1",
    "oc2_development_check_share": "select return_year, avg(has_health_check::int) from raw.ssda903_oc2 group by 1",
    "oc2_substance_misuse_share": "select return_year, avg(has_substance_misuse::int) from raw.ssda903_oc2 group by 1",
}
_DURATIONS = (
    ("to_3_months", 0, 3), ("3_to_6_months", 3, 6), ("6_to_12_months", 6, 12), ("1_to_2_years", 12, 24),
    ("2_years_or_more", 24, 1200),
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """A published figure beside the generated one, at the scale of England."""

    measure: str
    period: int
    target: float
    generated: float
    unit: str

    @property
    def difference(self) -> float:
        """Relative for counts and rates, absolute for shares and means of scores."""
        if self.unit == "share":
            return self.generated - self.target
        return self.generated / self.target - 1


def measure(warehouse: Path, *, scale: float, calibration: Calibration | None = None) -> list[Comparison]:
    """Compare a warehouse filled with all of a synthetic England.

    Args:
        scale: that it was generated with; every authority must be in it.

    Returns:
        A row per measure and year that is both published and generated, by measure and year.
    """
    cal = calibration or Calibration.load()
    found: dict[tuple[str, int], float] = {}
    units: dict[str, str] = {}
    with readable(warehouse) as connection:
        connection.execute(
            "create temporary table years as select distinct return_year as y from raw.cin_referrals"
        )
        connection.execute(_REFERRALS)
        connection.execute(_CARE)
        for name, query in _COUNTS.items():
            units[name] = "count"
            for year, value in connection.execute(query).fetchall():
                found[name, year] = value / scale
        for name, query in _SHARES.items():
            units[name] = "share"
            for year, value in connection.execute(query).fetchall():
                if value is not None:
                    found[name, year] = float(value)
        units["oc2_sdq_mean"] = "score"
        units["section47_per_10000_children"] = "per_10000"
        for key in [key for key in found if key[0] == "section47_per_10000_children"]:
            found[key] = found[key] / scale / cal["england_children"] * 10_000
        _durations(connection, found, units)
        _by_category(connection, found, units)
        _school(connection, found, units)
    return [
        Comparison(name, year, cal.targets[name][year], found[name, year], units[name])
        for name, year in sorted(found)
        if year in cal.targets.get(name, {})
    ]


def _durations(
    connection: duckdb.DuckDBPyConnection, found: dict[tuple[str, int], float], units: dict[str, str]
) -> None:
    """Lengths of child in need episodes that ended and are open, and of plans at 31 March."""
    for prefix, query in {
        "cin_ended_share": """
            select closed_fy as y, datediff('day', referral_date, closure_date) / 30.44 as months from referral
            where closure_date is not null and not is_nfa and not is_closed_after_assessment
            and closed_fy = last_year""",
        "cin_open_share": """
            select y, datediff('day', referral_date, make_date(y, 3, 31)) / 30.44 as months from referral join years on
            first_year <= y and last_year >= y and referral_date <= make_date(y, 3, 31)
            and (closure_date is null or closure_date > make_date(y, 3, 31)) and not is_nfa
            and not is_closed_after_assessment""",
        "cp_plan_share": """
            select return_year as y, datediff('day', plan_start, make_date(return_year, 3, 31)) / 30.44 as months
            from raw.cin_cp_plans where plan_end is null""",
    }.items():
        for band, low, high in _DURATIONS:
            name = f"{prefix}_{band}"
            units[name] = "share"
            rows = connection.execute(
                f"select y, avg((months >= {low} and months < {high})::int) from ({query}) group by 1"
            ).fetchall()
            for year, value in rows:
                found[name, year] = value


def _by_category(
    connection: duckdb.DuckDBPyConnection, found: dict[tuple[str, int], float], units: dict[str, str]
) -> None:
    """Shares of factors, reasons for leaving care, placements and ethnic groups."""
    rows = connection.execute("""
        with assessed as (
            select return_id, return_year, child_no, referral_no, f.factor_code
            from raw.cin_assessments as a
            join raw.cin_assessment_factors as f using (return_id, return_year, child_no, referral_no, record_no)
            where year(authorisation_date + interval 9 month) = return_year
        ), episodes as (
            select return_year, count(distinct (return_id, child_no, referral_no)) as n from assessed
            where factor_code <> '21' group by 1
        )
        select factor_code, return_year, count(distinct (return_id, child_no, referral_no)) / n
        from assessed join episodes using (return_year) group by factor_code, return_year, n
    """).fetchall()
    for code, year, value in rows:
        units[f"factor_share_{code}"] = "share"
        found[f"factor_share_{code}", year] = value
    rows = connection.execute("""
        with ceased as (
            select year(episode_end + interval 9 month) as y, case
                when reason_ceased in ('E11', 'E12') then 'adopted'
                when reason_ceased in ('E45', 'E46', 'E47', 'E48') then 'special_guardianship'
                else reason_ceased end as reason
            from episode where reason_ceased <> 'X1' and episode_end is not null
        )
        select reason, y, count(*) / sum(count(*)) over (partition by y) from ceased group by reason, y
    """).fetchall()
    for reason, year, value in rows:
        units[f"cla_ceased_share_{reason}"] = "share"
        found[f"cla_ceased_share_{reason}", year] = value
    for kind, codes in KINDS_OF_PLACEMENT.items():
        listed = ", ".join(f"'{code}'" for code in codes)
        units[f"cla_placement_share_{kind}"] = "share"
        for year, value in connection.execute(
            f"select return_year, avg((placement in ({listed}))::int) from raw.ssda903_episodes "
            "where episode_end is null and legal_status not in ('V3', 'V4') group by 1"
        ).fetchall():
            found[f"cla_placement_share_{kind}", year] = value
    rows = connection.execute("""
        select lower(case when ethnicity_code in ('AIND', 'APKN', 'ABAN', 'AOTH', 'CHNE') then 'asian'
            when ethnicity_code like 'W%' then 'white' when ethnicity_code like 'M%' then 'mixed'
            when ethnicity_code like 'B%' then 'black' else 'other' end) as major, count(distinct (la_code, child_id))
        from raw.cin_children where ethnicity_code not in ('NOBT', 'REFU') group by 1
    """).fetchall()
    total = sum(n for _, n in rows)
    for major, n in rows:
        units[f"population_share_{major}"] = "share"
        found[f"population_share_{major}", 2021] = n / total


def _school(
    connection: duckdb.DuckDBPyConnection, found: dict[tuple[str, int], float], units: dict[str, str]
) -> None:
    """Absence and free meals by social care group at 31 March, linked by pupil."""
    connection.execute("""
        create temporary table pupil_group as
        with pupils as (
            select distinct la_code, child_id, pupil_id from raw.cin_children where pupil_id is not null
        ), members as (
            select pupil_id, y, 1 as grp from referral join years on first_year <= y and last_year >= y
                and referral_date <= make_date(y, 3, 31)
                and (closure_date is null or closure_date > make_date(y, 3, 31))
                and not is_nfa and not is_closed_after_assessment
                join pupils using (la_code, child_id)
            union all
            select pupil_id, return_year, 2 from raw.cin_cp_plans join pupils using (la_code, child_id)
                where plan_end is null
            union all
            select h.pupil_id, e.return_year, 3 from raw.ssda903_episodes as e
                join raw.ssda903_header as h using (la_code, child_id, return_year)
                where episode_end is null and legal_status not in ('V3', 'V4') and h.pupil_id is not null
        )
        select pupil_id, y, max(grp) as grp from members group by all
    """)
    rows = connection.execute("""
        select grp, academic_year,
            sum(unauthorised_absence_autumn + unauthorised_absence_spring + unauthorised_absence_summer)
            / sum(sessions_possible_autumn + sessions_possible_spring + sessions_possible_summer),
            sum(authorised_absence_autumn + authorised_absence_spring + authorised_absence_summer)
            / sum(sessions_possible_autumn + sessions_possible_spring + sessions_possible_summer),
            avg(sessions_possible_autumn + sessions_possible_spring + sessions_possible_summer)
        from raw.school_absence as a join pupil_group as g on a.pupil_id = g.pupil_id and g.y = a.academic_year
        where sessions_possible_summer is not null group by all
    """).fetchall()
    names = {1: "cin", 2: "cp", 3: "cla"}
    for group, year, unauthorised, authorised, sessions in rows:
        name = names[group]
        for measure_name, value, unit in (
            (f"unauthorised_absence_share_{name}", unauthorised, "share"),
            (f"authorised_absence_share_{name}", authorised, "share"),
            (f"sessions_possible_per_pupil_{name}", sessions, "sessions"),
        ):
            units[measure_name] = unit
            found[measure_name, year] = float(value)
    units["free_meals_share"] = "share"
    for year, value in connection.execute("""
        select academic_year, avg(is_fsm_eligible::int) from raw.school_census as c
        join pupil_group as g on c.pupil_id = g.pupil_id and g.y = c.academic_year
        where grp = 1 and census_term = 'spring' group by 1
    """).fetchall():
        found["free_meals_share", year] = value


def mean_risk_without_programme(summary: SynthesisSummary) -> float:
    """Mean of y(0) in the truth: the base rate of the outcome."""
    column = pq.read_table(summary.truth_path, columns=["y0"])["y0"].to_numpy()
    return float(column.mean())


def as_table(comparisons: list[Comparison]) -> str:
    """A Markdown table with a row per measure and, for each year, the published and the generated figure."""
    years = sorted({row.period for row in comparisons})
    by_measure: dict[str, dict[int, Comparison]] = {}
    for row in comparisons:
        by_measure.setdefault(row.measure, {})[row.period] = row
    lines = [
        "| measure | " + " | ".join(str(year) for year in years) + " |",
        "| --- |" + " ---: |" * len(years),
    ]
    for name, of_year in by_measure.items():
        cells = [_cell(of_year[year]) if year in of_year else "" for year in years]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: Comparison) -> str:
    if row.unit == "count":
        return f"{row.target:,.0f} / {row.generated:,.0f}"
    if row.unit == "share":
        return f"{row.target:.3f} / {row.generated:.3f}"
    return f"{row.target:.1f} / {row.generated:.1f}"


def main(arguments: list[str] | None = None) -> None:
    """Generate all of England at a scale and print the comparison as a table."""
    parser = argparse.ArgumentParser(description="Compare a synthetic England with published figures.")
    parser.add_argument("--scale", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Path(folder) / "england.duckdb"
        config = SynthesisConfig(scale=given.scale, seed=given.seed, format="raw", messiness=0.0)
        summary = synthesise(config, Path(folder) / "england", warehouse=warehouse)
        print(as_table(measure(warehouse, scale=given.scale)))
        print(f"\nMean outcome without the programme: {mean_risk_without_programme(summary):.4f}")


if __name__ == "__main__":
    main()
