"""``match_programme``: match authorities and children of a programme and store what a reviewer needs to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.protocol import Protocol, read_protocol
from csc_evaluation.estimation.results import (
    OnProgress,
    ensure_built,
    no_progress,
    provenance,
    reading,
    write_run,
)
from csc_evaluation.matching.authorities import AuthorityMatching, Departure, Match, match_authorities
from csc_evaluation.matching.cem import KEY, ChildMatching, match_children
from csc_evaluation.warehouse import warehouse_path


@dataclass(frozen=True)
class MatchReport:
    """What matching found, for the person who started it."""

    run_id: str
    programme: str
    matches: tuple[Match, ...]
    departures: tuple[Departure, ...]
    is_unreviewed: bool
    n_treated_matched: int
    n_comparators_matched: int


def match_programme(
    programme: str,
    *,
    warehouse: Path | str | None = None,
    random_seed: int = 1,
    command: str | None = None,
    on_progress: OnProgress = no_progress,
) -> MatchReport:
    """Match a programme's authorities on trends and their children by CEM; writes a run of stage ``match``.

    Args:
        programme: code of the programme.
        warehouse: the DuckDB file; else ``CSC_WAREHOUSE``.
        random_seed: stored with the run; matching draws nothing at random.
        command: the command line, stored with the run.
        on_progress: see :data:`csc_evaluation.estimation.results.OnProgress`.

    Raises:
        CscError: the marts are not fit, a seed cannot be used, or no treated authority has a comparator.
    """
    path = warehouse_path(warehouse)
    on_progress("reading the protocol", 0.0)
    with reading(path) as backend:
        build_id = ensure_built(backend)
        protocol = read_protocol(backend, programme)
        run = provenance(backend, protocol, random_seed=random_seed, command=command, build_id=build_id)
        on_progress("matching authorities on trends", 0.1)
        authorities = match_authorities(backend, protocol)
        refuse_unmatched(protocol, authorities)
        on_progress("matching children", 0.4)
        children = [
            match_children(backend, protocol, outcome, authorities.matches_of(outcome.outcome))
            for outcome in protocol.outcomes
            if authorities.matches_of(outcome.outcome)
        ]
        tables = matching_tables(authorities, children)
    on_progress("writing the results", 0.9)
    is_unreviewed = any(match.is_unreviewed for match in authorities.matches)
    write_run(path, protocol, run, stage="match", is_unreviewed=is_unreviewed, note=None, tables=tables)
    on_progress("done", 1.0)
    matched = pd.concat([part.matched_shares for part in children])
    by_arm = matched.groupby("arm")["n_matched"].sum()
    return MatchReport(
        run_id=run.run_id,
        programme=programme,
        matches=authorities.matches,
        departures=authorities.departures,
        is_unreviewed=is_unreviewed,
        n_treated_matched=int(by_arm.get("treated", 0)),
        n_comparators_matched=int(by_arm.get("comparator", 0)),
    )


def refuse_unmatched(protocol: Protocol, authorities: AuthorityMatching) -> None:
    """Stop where the primary outcome (or every outcome, without one) is left without a single matched pair, and say why.

    Raises:
        CscError: no treated authority has a comparator.
    """
    primary = protocol.programme.primary_outcome
    needed = [primary] if primary else [row.outcome for row in protocol.outcomes]
    if any(authorities.matches_of(outcome) for outcome in needed):
        return
    reasons = "; ".join(
        f"{row.treated_la_code}: {row.reason}"
        for outcome in needed
        for row in authorities.departures_of(outcome)
    )
    raise CscError(
        f"{', '.join(needed)}: no treated authority has a comparator, so there is nothing to estimate ({reasons})."
    )


def matching_tables(
    authorities: AuthorityMatching, children: Sequence[ChildMatching]
) -> dict[str, pd.DataFrame | pa.Table]:
    """Rows of the results tables that matching fills, by table."""
    matches = pd.DataFrame([vars(match) for match in authorities.matches])
    return {
        "la_match_candidates": authorities.candidates.drop(columns="expected_noise"),
        "la_match_series": authorities.series,
        "la_matches": matches.drop(
            columns=["expected_noise", "embedding_start", "embedding_end", "comparator_weight"]
        ),
        "cem_strata": _by_outcome(children, [part.strata for part in children]),
        "cem_dropped": _by_outcome(children, [part.dropped for part in children]),
        "matched_shares": _by_outcome(children, [part.matched_shares for part in children]),
        "balance": _by_outcome(children, [part.balance for part in children]),
        "cem_weights": pa.concat_tables([weight_rows(part) for part in children]),
    }


def _by_outcome(children: Sequence[ChildMatching], frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    parts = [
        frame.assign(outcome=part.outcome, imputation=0) for part, frame in zip(children, frames, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def weight_rows(matching: ChildMatching) -> pa.Table:
    """Rows of ``results.cem_weights``: straight from SQL to Arrow, never through a data frame."""
    sample = matching.sample.select(*KEY, "la_code", "index_date", "is_treated_authority", "is_treated")
    rows = sample.inner_join(matching.weights, KEY).mutate(
        outcome=ibis.literal(matching.outcome), imputation=ibis.literal(0)
    )
    return rows.order_by(["la_code", *KEY]).to_pyarrow()
