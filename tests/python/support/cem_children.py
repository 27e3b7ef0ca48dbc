"""Children for tests of matching within groups: marts of a handful of authorities in memory, and the seeds' protocol."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pandas as pd
from ibis.backends.duckdb import Backend

from csc_evaluation.estimation.protocol import Protocol, read_protocol
from csc_evaluation.matching.authorities import Match
from support.marts_fixture import OUTCOME, PROGRAMME, load_seeds

MAJOR_GROUPS = {"W": "White", "M": "Mixed", "A": "Asian", "B": "Black", "O": "Other"}
ETHNICITIES = ("WBRI", "WOTH", "MWBC", "APKN", "AIND", "BAFR", "OOTH", None)
GO_LIVE = {"335": dt.date(2020, 9, 1), "888": dt.date(2021, 2, 1)}
PAIRS = (("335", "202"), ("335", "203"), ("888", "203"), ("888", "204"))
"""Two groups; authority 203 serves both."""
TEXT_COLUMNS = ("gender", "ethnicity", "ethnic_group_major", "fsm_cem", "fsm_regression")
FIRST_DAY = dt.date(2017, 4, 1)


def random_children(
    seed: int, n_children: int, authorities: Sequence[str] = ("335", "888", "202", "203", "204")
) -> pd.DataFrame:
    """Index events with all columns that matching reads; every covariate that may be missing is, for some."""
    rng = np.random.default_rng(seed)
    index_date = [FIRST_DAY + dt.timedelta(days=int(days)) for days in rng.integers(0, 2009, n_children)]
    ethnicity = rng.choice(
        np.array(ETHNICITIES, dtype=object), n_children, p=[0.5, 0.1, 0.1, 0.08, 0.07, 0.06, 0.04, 0.05]
    )
    plans = rng.choice(6, n_children, p=[0.7, 0.15, 0.06, 0.04, 0.03, 0.02])
    with_gap = np.array([True, False, None], dtype=object)
    return children_frame(
        pd.DataFrame(
            {
                "child_id": [f"{number:032x}" for number in range(n_children)],
                "la_code": rng.choice(np.array(authorities, dtype=object), n_children),
                "index_date": index_date,
                "gender": rng.choice(
                    np.array(["1", "2", None], dtype=object), n_children, p=[0.5, 0.45, 0.05]
                ),
                "age_at_index": rng.integers(0, 13, n_children),
                "ethnicity": ethnicity,
                "is_disabled": rng.choice(with_gap, n_children, p=[0.1, 0.85, 0.05]),
                "fsm_cem": rng.choice(
                    np.array(["yes", "no", None], dtype=object), n_children, p=[0.3, 0.65, 0.05]
                ),
                "is_uasc": rng.random(n_children) < 0.02,
                "n_previous_plans": plans,
            }
        )
    )


def children_frame(children: pd.DataFrame) -> pd.DataFrame:
    """Fill in what follows from the columns given."""
    days = pd.to_datetime(children.index_date)
    go_live = pd.to_datetime(children.la_code.map(GO_LIVE))
    year = days.dt.year + (days.dt.month >= 4)
    return children.assign(
        programme=PROGRAMME,
        index_event="first_referral",
        sequence=1,
        index_date=days,
        financial_year=year,
        is_treated_authority=children.la_code.isin(list(GO_LIVE)),
        is_treated=days >= go_live,
        ethnic_group_major=[
            MAJOR_GROUPS[code[0]] if isinstance(code, str) else None for code in children.ethnicity
        ],
        fsm_regression=children.fsm_cem,
        primary_need=[f"N{age % 4}" for age in children.age_at_index],
        has_previous_plan=children.n_previous_plans > 0,
        la_share_fsm=0.2 + children.la_code.astype(int) / 10_000 + (year - 2017) / 1_000,
        la_share_white_british=0.7 - children.la_code.astype(int) / 10_000,
        has_other_programme=(children.la_code == "203") & (days >= "2019-01-01"),
    )


def seeds_protocol(folder: Path, *changes: str) -> Protocol:
    """The protocol of the project's own seeds, after these SQL statements have changed rows of them."""
    path = folder / "seeds.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        load_seeds(connection)
        for change in changes:
            connection.execute(change)
    backend = ibis.duckdb.connect(str(path), read_only=True)
    try:
        return read_protocol(backend, PROGRAMME)
    finally:
        backend.disconnect()


def marts_backend(
    events: pd.DataFrame, values: pd.DataFrame | None = None, *, outcome: str = OUTCOME
) -> Backend:
    """A connection to marts that hold these index events; without ``values`` each has one, fully observed.

    ``values``: child_id, sequence, term, value; a missing value was not fully observed.
    """
    if values is None:
        values = events[["child_id", "sequence"]].assign(term=0, value=np.arange(len(events)) % 7.0)
    backend = ibis.duckdb.connect()
    connection = backend.con
    connection.register("given_events", events)
    connection.register("given_values", values)
    connection.execute("create schema marts")
    text = ", ".join(f"cast({name} as varchar) as {name}" for name in TEXT_COLUMNS)
    connection.execute(
        f"create table marts.index_events as select * replace ({text}, cast(index_date as date) as index_date, "
        "cast(is_disabled as boolean) as is_disabled) from given_events"
    )
    connection.execute(
        "create table marts.trial_outcomes as select programme, $outcome as outcome, index_event, child_id, sequence, "
        "cast(term as integer) as term, la_code, cast(index_date as date) as index_date, cast(value as double) as value, "
        "value is not null as is_fully_observed from given_events inner join given_values using (child_id, sequence)",
        {"outcome": outcome},
    )
    connection.unregister("given_events")
    connection.unregister("given_values")
    return backend


def matches_of(
    pairs: Sequence[tuple[str, str]] = PAIRS,
    *,
    outcome: str = OUTCOME,
    embedding: tuple[dt.date, dt.date] | None = None,
    comparator_weights: dict[tuple[str, str], float] | None = None,
) -> tuple[Match, ...]:
    """Matched pairs, the treated authority's code naming the group."""
    start, end = embedding or (None, None)
    return tuple(
        Match(
            outcome,
            treated,
            treated,
            comparator,
            GO_LIVE[treated],
            0.1,
            1,
            None,
            "nearest",
            True,
            embedding_start=start,
            embedding_end=end,
            comparator_weight=(comparator_weights or {}).get((treated, comparator)),
        )
        for treated, comparator in pairs
    )
