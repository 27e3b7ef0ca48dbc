"""``match_programmes``: match authorities and children of programmes and store what a reviewer needs to see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import ibis
import pandas as pd
import pyarrow as pa

from csc_evaluation.errors import (
    ConstantSeriesError,
    CscError,
    MissingQuarterError,
    NoCandidateError,
    SeedError,
    WarehouseError,
)
from csc_evaluation.estimation.protocol import Protocol, read_protocol
from csc_evaluation.estimation.results import (
    OnProgress,
    Provenance,
    ensure_built,
    no_progress,
    provenance,
    reading,
    write_run,
)
from csc_evaluation.matching.assumptions import check_assumptions
from csc_evaluation.matching.authorities import AuthorityMatching, match_authorities
from csc_evaluation.matching.cem import KEY, ChildMatching, match_children
from csc_evaluation.matching.decisions import Cause, Departure, Match
from csc_evaluation.matching.variants import all_variants
from csc_evaluation.warehouse import warehouse_path

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

Rows: TypeAlias = pd.DataFrame | pa.Table
OnFailure = Callable[[str, CscError], None]
"""Called with a programme that cannot be matched and why; the others are matched and written all the same."""
SHARE_ON_AUTHORITIES = 0.2
NOT_OF_ONE_OUTCOME = (SeedError, WarehouseError)
"""What is wrong for the run as a whole, not for the outcome at which it was found."""


@dataclass(frozen=True)
class ChildrenUnmatched:
    """An outcome whose authorities are matched but whose children cannot be, and why."""

    outcome: str
    reason: str


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
    children_unmatched: tuple[ChildrenUnmatched, ...] = ()


def match_programme(
    programme: str,
    *,
    warehouse: Path | str | None = None,
    random_seed: int = 1,
    command: str | None = None,
    on_progress: OnProgress = no_progress,
) -> MatchReport:
    """Match one programme; see :func:`match_programmes`."""
    (report,) = match_programmes(
        [programme],
        warehouse=warehouse,
        random_seed=random_seed,
        command=command,
        on_progress=on_progress,
    )
    return report


def match_programmes(
    programmes: Sequence[str] = (),
    *,
    warehouse: Path | str | None = None,
    random_seed: int = 1,
    command: str | None = None,
    on_progress: OnProgress = no_progress,
    on_failure: OnFailure | None = None,
) -> list[MatchReport]:
    """Match authorities on trends and children by CEM; writes a run of stage ``match`` per programme.

    Authorities of all programmes are matched in one pass. A programme's run is written complete or not at all, and one that
    cannot be matched leaves its last good run in place.

    Args:
        programmes: codes of the programmes; all of ``protocol.programmes`` if none is given.
        warehouse: the DuckDB file; else ``CSC_WAREHOUSE``.
        random_seed: stored with the runs; matching draws nothing at random.
        command: the command line, stored with the runs.
        on_progress: see :data:`csc_evaluation.estimation.results.OnProgress`.
        on_failure: see :data:`OnFailure`; without it the first failure is raised, and where authorities cannot be
            matched nothing is written for any programme.

    Raises:
        NoCandidateError, MissingQuarterError, ConstantSeriesError: no treated authority has a comparator for the primary
            outcome (for any outcome, without a primary one).
        CscError: the marts are not fit, a seed cannot be used, or children of the primary outcome cannot be matched.
    """
    path = warehouse_path(warehouse)
    on_progress("reading the protocol", 0.0)
    with reading(path) as backend:
        build_id = ensure_built(backend)
        names = list(dict.fromkeys(programmes)) or _all_programmes(backend)
        protocols = [read_protocol(backend, name) for name in names]
        runs = [
            provenance(backend, protocol, random_seed=random_seed, command=command, build_id=build_id)
            for protocol in protocols
        ]
        on_progress("matching authorities on trends", 0.05)
        authorities = match_authorities(backend, protocols, refuses_lost_comparators=False)
    tasks: list[tuple[Protocol, Provenance]] = []
    for protocol, run in zip(protocols, runs, strict=True):
        try:
            refuse_unmatched(protocol, authorities[protocol.programme.programme])
        except CscError as error:
            _fail(protocol, error, on_failure)
        else:
            tasks.append((protocol, run))
    reports = []
    for number, (protocol, run) in enumerate(tasks):
        name = protocol.programme.programme
        share_before = SHARE_ON_AUTHORITIES + (1 - SHARE_ON_AUTHORITIES) * number / len(tasks)
        share_of_one = (1 - SHARE_ON_AUTHORITIES) / len(tasks)

        def on_share(
            step: str, share: float, before: float = share_before, of_one: float = share_of_one
        ) -> None:
            on_progress(step, before + of_one * share)

        try:
            reports.append(_match_and_write(path, protocol, run, authorities[name], on_share))
        except NOT_OF_ONE_OUTCOME:
            raise
        except CscError as error:
            _fail(protocol, error, on_failure)
    on_progress("done", 1.0)
    return reports


def _all_programmes(backend: Backend) -> list[str]:
    names = backend.table("programmes", database="protocol").select("programme").to_pyarrow()
    return sorted({str(name) for name in names["programme"].to_pylist()})


def _fail(protocol: Protocol, error: CscError, on_failure: OnFailure | None) -> None:
    if on_failure is None:
        raise error
    on_failure(protocol.programme.programme, error)


def _match_and_write(
    path: Path, protocol: Protocol, run: Provenance, authorities: AuthorityMatching, on_progress: OnProgress
) -> MatchReport:
    programme = protocol.programme.programme
    children: list[ChildMatching] = []
    parts: list[dict[str, Rows]] = [authority_tables(protocol, authorities)]
    failures: dict[str, CscError] = {}
    matched = [row for row in protocol.outcomes if authorities.matches_of(row.outcome)]
    # One programme at a time, each in a connection of its own: its temporary tables of children go with it.
    with reading(path) as backend:
        for number, outcome in enumerate(matched):
            on_progress(f"matching children: {programme}, {outcome.outcome}", 0.9 * number / len(matched))
            try:
                found = match_children(backend, protocol, outcome, authorities.matches_of(outcome.outcome))
            except NOT_OF_ONE_OUTCOME:
                raise
            except CscError as error:
                if outcome.outcome == protocol.programme.primary_outcome:
                    raise
                failures[outcome.outcome] = error
            else:
                children.append(found)
                checks = check_assumptions(backend, protocol, outcome, authorities, found)
                parts.append({**child_tables(found), "assumption_checks": checks})
                found.release()
        if not children:
            raise next(iter(failures.values()))
    tables = joined(parts)
    on_progress("writing the results", 0.95)
    is_unreviewed = any(match.is_unreviewed for match in authorities.matches)
    notes = [f"children not matched: {error}" for error in failures.values()]
    write_run(
        path,
        protocol,
        run,
        stage="match",
        is_unreviewed=is_unreviewed,
        note="; ".join(notes) or None,
        tables=tables,
    )
    by_arm = pd.concat([part.matched_shares for part in children]).groupby("arm")["n_matched"].sum()
    return MatchReport(
        run_id=run.run_id,
        programme=programme,
        matches=authorities.matches,
        departures=authorities.departures,
        is_unreviewed=is_unreviewed,
        n_treated_matched=int(by_arm.get("treated", 0)),
        n_comparators_matched=int(by_arm.get("comparator", 0)),
        children_unmatched=tuple(ChildrenUnmatched(name, str(error)) for name, error in failures.items()),
    )


ERRORS_BY_CAUSE: dict[Cause, type[CscError]] = {
    Cause.too_few_quarters: MissingQuarterError,
    Cause.missing_quarter: MissingQuarterError,
    Cause.no_candidate: NoCandidateError,
    Cause.all_rejected: NoCandidateError,
    Cause.constant_series: ConstantSeriesError,
}


IN_SHORT: dict[Cause, str] = {
    Cause.too_few_quarters: "too few full quarters of data before the cut-off",
    Cause.missing_quarter: "no fully observed children in a quarter of the window",
    Cause.no_candidate: "no authority is left as a candidate",
    Cause.all_rejected: "a reviewer accepted none of the candidates",
    Cause.constant_series: "in no quarter does any authority differ from another",
}


def refuse_unmatched(protocol: Protocol, authorities: AuthorityMatching) -> None:
    """Stop where the primary outcome (or every outcome, without one) is left without a single matched pair, and say why.

    Raises:
        NoCandidateError, MissingQuarterError, ConstantSeriesError: by what keeps the treated authorities from being
            matched; NoCandidateError where they differ in that.
    """
    primary = protocol.programme.primary_outcome
    needed = [primary] if primary else [row.outcome for row in protocol.outcomes]
    if any(authorities.matches_of(outcome) for outcome in needed):
        return
    departures = [row for outcome in needed for row in authorities.departures_of(outcome)]
    kinds = {ERRORS_BY_CAUSE[row.cause] for row in departures}
    kind = kinds.pop() if len(kinds) == 1 else NoCandidateError
    raise kind(
        f"{protocol.programme.programme}: no treated authority has a comparator for {', '.join(needed)}, so there is nothing "
        f"to match. {_reasons(departures, n_sites=len(protocol.sites))}."
    )


def _reasons(departures: Sequence[Departure], *, n_sites: int) -> str:
    """Of one outcome each reason with the authorities it holds for; of several each kind of reason, with the outcomes."""
    is_of_one_outcome = len({row.outcome for row in departures}) == 1
    whose: dict[tuple[str, str], list[str]] = {}
    for row in departures:
        said = row.reason if is_of_one_outcome else IN_SHORT[row.cause]
        whose.setdefault((row.outcome, said), []).append(row.treated_la_code)
    outcomes: dict[tuple[str, str], list[str]] = {}
    for (outcome, said), codes in whose.items():
        who = f"all {n_sites} authorities" if len(codes) == n_sites else ", ".join(codes)
        outcomes.setdefault((who, said), []).append(outcome)
    return "; ".join(
        f"{who}{'' if is_of_one_outcome else ' for ' + ', '.join(names)}: {said}"
        for (who, said), names in outcomes.items()
    )


def authority_tables(protocol: Protocol, authorities: AuthorityMatching) -> dict[str, Rows]:
    """Rows of the results tables about authorities, by table."""
    not_stored = ["expected_noise", "embedding_start", "embedding_end", "comparator_weight"]
    return {
        "la_match_candidates": authorities.candidates,
        "la_match_series": authorities.series,
        "la_pair_evidence": authorities.evidence,
        "la_match_placebos": authorities.placebos,
        "la_match_variants": all_variants(protocol, authorities),
        "la_matches": pd.DataFrame([asdict(match) for match in authorities.matches]).drop(columns=not_stored),
    }


def child_tables(matching: ChildMatching) -> dict[str, Rows]:
    """Rows of the results tables about the children of one outcome, by table."""

    def of_outcome(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(outcome=matching.outcome, imputation=0)

    return {
        "cem_strata": of_outcome(matching.strata),
        "cem_dropped": of_outcome(matching.dropped),
        "matched_shares": of_outcome(matching.matched_shares),
        "balance": of_outcome(matching.balance),
        "cem_weights": weight_rows(matching),
    }


def joined(parts: Sequence[Mapping[str, Rows]]) -> dict[str, Rows]:
    """The rows of several outcomes together, by table."""
    tables: dict[str, Rows] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        rows = [part[name] for part in parts if name in part]
        arrow = [table for table in rows if isinstance(table, pa.Table)]
        frames = [frame for frame in rows if isinstance(frame, pd.DataFrame)]
        tables[name] = pa.concat_tables(arrow) if arrow else pd.concat(frames, ignore_index=True)
    return tables


def weight_rows(matching: ChildMatching) -> pa.Table:
    """Rows of ``results.cem_weights``: straight from SQL to Arrow, never through a data frame."""
    sample = matching.sample.select(*KEY, "la_code", "index_date", "is_treated_authority", "is_treated")
    rows = sample.inner_join(matching.weights, KEY).mutate(
        outcome=ibis.literal(matching.outcome), imputation=ibis.literal(0)
    )
    return rows.order_by(["la_code", *KEY]).to_pyarrow()
