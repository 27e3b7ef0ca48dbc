"""A small warehouse that holds only what matching and estimation read: protocol seeds, marts and the build status.

The children are simulated with a known effect; no file is landed and dbt does not run, so a test takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from csc_evaluation import schema
from csc_evaluation.project import project_dir

PROGRAMME = "family_safeguarding"
OUTCOME = "looked_after_18m"
SITES = ("335", "888", "894", "212", "866")
OTHERS = (
    "202",
    "203",
    "204",
    "205",
    "206",
    "208",
    "209",
    "210",
    "301",
    "302",
    "303",
    "305",
    "306",
    "307",
    "308",
)


@dataclass(frozen=True)
class World:
    """What is simulated: ``effect`` is a risk difference for children referred after go-live in treated authorities."""

    seed: int = 1
    effect: float = -0.03
    children_per_quarter: int = 40
    base_rate: float = 0.12
    authority_sd: float = 0.02
    quarter_sd: float = 0.01
    others: tuple[str, ...] = OTHERS
    sites: tuple[str, ...] = SITES


def write_warehouse(path: Path, world: World | None = None) -> Path:
    """Write a warehouse of simulated marts at ``path`` and return it."""
    world = world or World()
    with duckdb.connect(str(path)) as connection:
        schema.create_all(connection)
        load_seeds(connection)
        children = simulate(connection, world)
        write_marts(connection, children, world)
        write_build(connection)
    return path


def load_seeds(connection: duckdb.DuckDBPyConnection) -> None:
    for folder in ("protocol", "reference"):
        connection.execute(f"create schema if not exists {folder}")
        for file in sorted((project_dir() / "seeds" / folder).glob("*.csv")):
            connection.execute(
                f"create or replace table {folder}.{file.stem} as "
                f"select * from read_csv('{file}', header = true, all_varchar = true)"
            )


def write_build(
    connection: duckdb.DuckDBPyConnection, status: str = "success", command: str = "build"
) -> None:
    connection.execute("create schema if not exists meta")
    connection.execute(
        "create table if not exists meta.builds (invocation_id varchar, finished_at timestamp, command varchar, "
        "status varchar, n_success bigint, n_failed bigint, n_skipped bigint)"
    )
    connection.execute(
        "insert into meta.builds select 'build-' || count(*), timestamp '2026-01-01' + interval (count(*)) minute, "
        "?, ?, 1, 0, 0 from meta.builds",
        [command, status],
    )


def simulate(connection: duckdb.DuckDBPyConnection, world: World) -> pd.DataFrame:
    """One row per child: first referral, covariates, both potential outcomes."""
    rng = np.random.default_rng(world.seed)
    go_live = dict(
        connection.execute(
            "select la_code, cast(go_live_date as date) from protocol.sites where programme = ?", [PROGRAMME]
        ).fetchall()
    )
    authorities = [*world.sites, *world.others]
    quarters = pd.date_range("2017-04-01", "2022-09-30", freq="QS")
    n_la, n_quarter = len(authorities), len(quarters)
    size = rng.poisson(world.children_per_quarter * rng.uniform(0.6, 1.6, n_la)[:, None], (n_la, n_quarter))
    la_effect = rng.normal(0, world.authority_sd, n_la)
    quarter_effect = rng.normal(0, world.quarter_sd, n_quarter)
    la = np.repeat(np.repeat(np.arange(n_la), n_quarter), size.ravel())
    quarter = np.repeat(np.tile(np.arange(n_quarter), n_la), size.ravel())
    n = len(la)
    index_date = quarters[quarter] + pd.to_timedelta(rng.integers(0, 90, n), unit="D")
    la_code = np.array(authorities)[la]
    live_from = pd.to_datetime([go_live.get(code) for code in authorities]).to_numpy()[la]
    is_treated = index_date.to_numpy() >= live_from
    age = rng.integers(0, 13, n)
    disabled = rng.random(n) < 0.1
    ethnicity = rng.choice(
        ["WBRI", "WOTH", "MWBC", "APKN", "BAFR", "OOTH", ""], n, p=[0.6, 0.1, 0.08, 0.08, 0.06, 0.04, 0.04]
    )
    plans = np.minimum(rng.poisson(0.15, n), 4)
    risk = (
        world.base_rate
        + la_effect[la]
        + quarter_effect[quarter]
        + 0.03 * (age < 1)
        + 0.03 * disabled
        + 0.03 * (plans > 0)
    )
    risk = np.clip(risk, 0.01, 0.95)
    draw = rng.random(n)
    y0 = (draw < risk).astype(float)
    y1 = (draw < np.clip(risk + world.effect, 0.0, 1.0)).astype(float)
    year = index_date.year + (index_date.month >= 4)
    groups = {"W": "White", "M": "Mixed", "A": "Asian", "B": "Black", "O": "Other"}
    frame = pd.DataFrame(
        {
            "programme": PROGRAMME,
            "index_event": "first_referral",
            "child_id": [f"{number:032x}" for number in range(n)],
            "sequence": 1,
            "la_code": la_code,
            "index_date": index_date,
            "age_at_index": age,
            "financial_year": year,
            "quarter_start": quarters[quarter],
            "is_treated_authority": np.isin(la_code, list(go_live)),
            "is_treated": is_treated,
            "gender": rng.choice(["1", "2", "0"], n, p=[0.5, 0.48, 0.02]),
            "ethnicity": np.where(ethnicity == "", None, ethnicity),
            "ethnic_group_major": [groups.get(code[:1]) for code in ethnicity],
            "is_disabled": disabled,
            "fsm_regression": np.where(age < 5, "below_school_age", rng.choice(["yes", "no"], n)),
            "fsm_cem": np.where(age < 5, "below_school_age", rng.choice(["yes", "no"], n)),
            "is_uasc": rng.random(n) < 0.002,
            "n_previous_plans": plans,
            "has_previous_plan": plans > 0,
            "la_share_fsm": np.round(0.2 + 0.1 * la_effect[la] + 0.001 * quarter, 6),
            "la_share_white_british": np.round(0.6 - 0.1 * la_effect[la] + 0.002 * (quarter % 3), 6),
            "has_other_programme": (la % 7 == 0) & (quarter > 10),
            "y0": y0,
            "y1": y1,
        }
    )
    return frame


def write_marts(connection: duckdb.DuckDBPyConnection, children: pd.DataFrame, world: World) -> None:
    """Write the marts from simulated children; all are fully observed."""
    connection.execute("create schema if not exists marts")
    connection.register("children", children)
    connection.execute(
        "create or replace table marts.index_events as "
        "select * exclude (y0, y1) replace (cast(index_date as date) as index_date, "
        "cast(quarter_start as date) as quarter_start) from children"
    )
    connection.execute(
        f"create or replace table marts.trial_outcomes as select programme, '{OUTCOME}' as outcome, child_id, sequence, "
        "0 as term, la_code, cast(index_date as date) as index_date, "
        "case when is_treated then y1 else y0 end as value, true as is_fully_observed from children"
    )
    connection.execute("create schema if not exists truth_for_tests")
    connection.execute(
        "create or replace table truth_for_tests.children as select child_id, sequence, y0, y1, is_treated from children"
    )
    connection.unregister("children")
    aggregate(connection)
    write_rates(connection, world)
    connection.execute(
        f"create or replace table marts.sample_flow_counts as select '{PROGRAMME}' as programme, '{OUTCOME}' as outcome, "
        "la_code, 1 as step_no, 'referrals found' as step, cast(null as varchar) as reason, false as is_exclusion, "
        "count(*) as n_children "
        "from marts.index_events group by la_code"
    )


def aggregate(connection: duckdb.DuckDBPyConnection) -> None:
    """Authority-quarter aggregates: every authority of the reference list and every quarter, null where empty."""
    connection.execute(
        f"""
        create or replace table marts.la_quarter_outcomes as
        with quarters as (select distinct quarter_start from marts.index_events),
        cells as (
            select events.la_code, events.quarter_start, count(*) as n_children, sum(outcomes.value) as sum_value
            from marts.index_events as events inner join marts.trial_outcomes as outcomes using (child_id, sequence)
            where outcomes.is_fully_observed group by all
        )
        select '{PROGRAMME}' as programme, '{OUTCOME}' as outcome, authorities.la_code, quarters.quarter_start,
            coalesce(cells.n_children, 0) as n_children, cells.sum_value / cells.n_children as mean_value,
            sqrt(cells.sum_value / cells.n_children * (1 - cells.sum_value / cells.n_children) / (cells.n_children - 1))
                as standard_error
        from reference.local_authorities as authorities cross join quarters
        left join cells on cells.la_code = authorities.la_code and cells.quarter_start = quarters.quarter_start
        """
    )


def write_rates(connection: duckdb.DuckDBPyConnection, world: World) -> None:
    """Referrals and entries to care per 10,000 children by authority and quarter, of the world's authorities alone."""
    rng = np.random.default_rng(world.seed + 1000)
    quarters = pd.date_range("2017-04-01", "2022-07-01", freq="QS")
    rows = [
        (PROGRAMME, measure, code, quarter.date(), True, mean + rng.normal(0, mean / 20))
        for measure, typical in (("referrals_per_10000", 130.0), ("care_entries_per_10000", 7.0))
        for code in (*world.sites, *world.others)
        for mean in [typical * rng.uniform(0.7, 1.4)]
        for quarter in quarters
    ]
    rates = pd.DataFrame(
        rows, columns=["programme", "measure", "la_code", "quarter_start", "is_observed", "rate"]
    )
    connection.register("rates", rates)
    connection.execute("create or replace table marts.la_quarter_rates as select * from rates")
    connection.unregister("rates")
