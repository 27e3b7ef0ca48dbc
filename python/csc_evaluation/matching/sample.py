"""The children of one outcome in the matched authorities, one row per child and index event."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis

from csc_evaluation.errors import CscError, EmptyArmError, SeedError
from csc_evaluation.estimation.protocol import Outcome, Protocol
from csc_evaluation.matching.coarsening import (
    FINANCIAL_YEAR,
    IS_POST,
    Profile,
    Variable,
    read_variables,
)
from csc_evaluation.matching.groups import Places

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table

KEY = ["child_id", "sequence"]
PLACE = "place"
_numbers = itertools.count()


@dataclass(frozen=True)
class CovariateMissingness:
    """Share of the children in matched groups whose covariate is missing, and whether the run drops it for that."""

    covariate: str
    share: float
    is_dropped: bool


@dataclass(frozen=True)
class Sample:
    """``table`` holds the children with their covariates and ``profile``, the number of their place and levels."""

    table: Table
    values: Table
    """``child_id, sequence, term, outcome_value``: what was observed of them (term 0 for outcomes not by school term)."""
    variables: Mapping[str, Variable]
    """The digits of ``profile`` after the place: the stratum variables, and financial year for the shares."""
    profile: Profile
    profiles: Table
    """``profile, n_children``: how many children share one."""
    missingness: tuple[CovariateMissingness, ...]


def keep(backend: Backend, what: str, table: Table) -> Table:
    """Store a temporary table under a name of its own, so that a later match of the same outcome leaves it alone."""
    return backend.create_table(f"csc_{what}_{next(_numbers)}", table, temp=True)


def stratum_covariates(protocol: Protocol) -> list[str]:
    """Columns of ``marts.index_events`` that make the strata."""
    return [stratum.covariate for stratum in protocol.strata if stratum.covariate != IS_POST]


def sample_columns(protocol: Protocol, outcome: Outcome) -> list[str]:
    """Columns of ``marts.index_events`` that matching, balance and the regressions of an outcome read."""
    covariates = [row.covariate for row in protocol.covariates_of(outcome.outcome)]
    effects = [name for row in protocol.specifications for name in row.fixed_effects if name != "la_code"]
    fine = ["age_at_index", "ethnicity", "n_previous_plans", FINANCIAL_YEAR]
    return list(dict.fromkeys([*stratum_covariates(protocol), *covariates, *effects, *fine]))


def read_sample(backend: Backend, protocol: Protocol, outcome: Outcome, places: Places) -> Sample:
    """Read the children of the matched authorities whose follow-up is fully observed (in at least one term).

    Index events of the groups' embedding periods, and those before whose follow-up runs into them, stay out.

    Raises:
        SeedError: a covariate of the seeds is no column of ``marts.index_events``, or its coarsening cannot be used.
        CscError: marts and seeds disagree on the treated authorities.
        EmptyArmError: there is no such child.
    """
    programme = protocol.programme.programme
    codes = sorted(set(places.by_segment.la_code))
    events = backend.table("index_events", database="marts")
    wanted = sample_columns(protocol, outcome)
    for name in wanted:
        if name not in events.columns:
            raise SeedError(
                f"protocol seeds name the covariate {name!r} for {outcome.outcome}, but marts.index_events has no such column."
            )
    events = events.filter(
        (events.programme == programme)
        & (events.index_event == outcome.index_event)
        & events.la_code.isin(codes)
    )
    _refuse_other_sites(events, places)
    digits = list(dict.fromkeys([*stratum_covariates(protocol), FINANCIAL_YEAR]))
    variables = {variable.name: variable for variable in read_variables(events, protocol, digits)}
    profile = Profile({PLACE: places.n_places} | {name: len(variables[name].levels) for name in digits})

    outcomes = backend.table("trial_outcomes", database="marts")
    observed = outcomes.filter(
        (outcomes.programme == programme)
        & (outcomes.outcome == outcome.outcome)
        & outcomes.la_code.isin(codes)
        & outcomes.is_fully_observed
        & outcomes["value"].notnull()
    )
    events = events.mutate(index_date=events.index_date.cast("date"))
    turns = [(events.index_date >= turn, number) for number, turn in enumerate(places.turns, start=1)]
    events = events.mutate(segment=ibis.cases(*reversed(turns), else_=0).cast("int64"))
    segments = ibis.memtable(places.by_segment)
    placed = events.inner_join(segments, ["la_code", "segment"])
    packed = profile.pack(
        {PLACE: placed.place} | {name: variables[name].code(placed[name]) for name in digits}
    )
    rows = placed.select(
        *KEY,
        "la_code",
        *wanted,
        index_date=placed.index_date,
        is_treated_authority=placed.la_code.isin(sorted(places.treated)),
        is_treated=placed.is_treated,
        profile=packed,
    ).semi_join(observed, KEY)
    table = keep(backend, "sample", rows)
    values = observed.select(
        *KEY, term=observed.term.cast("int32"), outcome_value=observed["value"].cast("float64")
    ).semi_join(table, KEY)
    missingness = _missingness(table, protocol, outcome)
    profiles = keep(
        backend, "profiles", table.group_by("profile").agg(n_children=table.count().cast("int64"))
    )
    return Sample(table, values, variables, profile, profiles, missingness)


def _refuse_other_sites(events: Table, places: Places) -> None:
    arms = events.select("la_code", "is_treated_authority").distinct().to_pyarrow().to_pylist()
    if any((row["la_code"] in places.treated) != row["is_treated_authority"] for row in arms):
        raise CscError(
            "marts.index_events and protocol.sites disagree on which authorities are treated; run dbt build again."
        )


def _missingness(sample: Table, protocol: Protocol, outcome: Outcome) -> tuple[CovariateMissingness, ...]:
    covariates = [row.covariate for row in protocol.covariates_of(outcome.outcome)]
    names = list(dict.fromkeys([*stratum_covariates(protocol), *covariates]))
    known = {f"known_{name}": sample[name].count() for name in names}
    counts = sample.agg(n_rows=sample.count(), **known).to_pyarrow().to_pylist()[0]
    if not counts["n_rows"]:
        raise EmptyArmError(
            f"{outcome.outcome}: there is no fully observed child in the matched authorities; "
            "land the returns that its follow-up needs, then run dbt build."
        )
    limit = protocol.parameters.missing_covariate_share_max
    shares = [(name, (counts["n_rows"] - counts[f"known_{name}"]) / counts["n_rows"]) for name in names]
    return tuple(CovariateMissingness(name, share, share > limit) for name, share in shares)


def too_often_missing(missingness: Sequence[CovariateMissingness]) -> frozenset[str]:
    """Covariates that leave strata and regression."""
    return frozenset(row.covariate for row in missingness if row.is_dropped)
