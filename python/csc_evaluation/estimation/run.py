"""``run_programme``: from marts to estimates, in one run that is written complete or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.diagnostics import Diagnostic, diagnose, nothing_matched
from csc_evaluation.estimation.effect import UNREVIEWED, Estimate, estimate_effect
from csc_evaluation.estimation.match_sensitivity import estimate_on_other_comparators
from csc_evaluation.estimation.protocol import Outcome, Protocol, Specification, read_protocol
from csc_evaluation.estimation.results import (
    OnProgress,
    ensure_built,
    no_progress,
    provenance,
    reading,
    write_run,
)
from csc_evaluation.estimation.sample import regression_sample
from csc_evaluation.matching.assumptions import check_assumptions
from csc_evaluation.matching.authorities import AuthorityMatching, match_authorities
from csc_evaluation.matching.cem import KEY, ChildMatching, match_children
from csc_evaluation.matching.decisions import Departure, Match
from csc_evaluation.matching.run import Rows, authority_tables, child_tables, joined, refuse_unmatched
from csc_evaluation.warehouse import warehouse_path

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend


@dataclass(frozen=True)
class RunReport:
    """What a run found, for the person who started it."""

    run_id: str
    programme: str
    headline: Estimate
    estimates: tuple[Estimate, ...]
    diagnostics: tuple[Diagnostic, ...]
    matches: tuple[Match, ...]
    departures: tuple[Departure, ...]
    is_unreviewed: bool
    n_children: int
    """Matched children in the headline's regression."""
    n_treated_children: int
    """Of them, in treated authorities."""

    @property
    def headline_sentence(self) -> str:
        """The effect in words, with its interval and what the design could have seen."""
        return next(
            row.meaning
            for row in self.diagnostics
            if row.diagnostic == "headline" and row.outcome == self.headline.outcome
        )


def run_programme(
    programme: str,
    *,
    warehouse: Path | str | None = None,
    specifications: Sequence[str] = (),
    random_seed: int = 1,
    command: str | None = None,
    on_progress: OnProgress = no_progress,
) -> RunReport:
    """Match, estimate and store: one run of stage ``estimate`` for the outcomes of a programme that are estimated.

    Reads ``marts`` and ``protocol`` through a read-only connection and writes all rows of ``results`` in one
    transaction at the end. The same marts, seeds and code give the same numbers to the last digit.

    Args:
        programme: code of the programme, for example ``family_safeguarding``.
        warehouse: the DuckDB file; else ``CSC_WAREHOUSE``.
        specifications: which rows of ``protocol.specifications`` to run beside the headline; default all.
        random_seed: stored with the run; these specifications draw nothing at random.
        command: the command line, stored with the run.
        on_progress: see :data:`csc_evaluation.estimation.results.OnProgress`.

    Raises:
        CscError: the last dbt build did not succeed or the marts are empty, a seed cannot be used, no treated authority
            has a comparator, or the effect is not identified in the matched children.
    """
    path = warehouse_path(warehouse)
    on_progress("reading the protocol", 0.0)
    with reading(path) as backend:
        build_id = ensure_built(backend)
        protocol = read_protocol(backend, programme)
        others = chosen_specifications(protocol, specifications)
        outcomes = protocol.estimated_outcomes
        protocol = replace(protocol, outcomes=outcomes)
        run = provenance(backend, protocol, random_seed=random_seed, command=command, build_id=build_id)
        on_progress("matching authorities on trends", 0.1)
        authorities = match_authorities(backend, [protocol])[programme]
        refuse_unmatched(protocol, authorities)
        parts = [
            _estimate_outcome(
                backend, protocol, outcome, authorities, others, _within(on_progress, number, len(outcomes))
            )
            for number, outcome in enumerate(outcomes)
        ]
        tables = authority_tables(protocol, authorities)
    tables |= joined([part.tables for part in parts])
    estimates = [row for part in parts for row in part.estimates]
    diagnostics = [row for part in parts for row in part.diagnostics]
    tables["estimates"] = pd.DataFrame([asdict(row) for row in estimates])
    tables["diagnostics"] = pd.DataFrame([asdict(row) for row in diagnostics])
    is_unreviewed = any(authorities.is_unreviewed(outcome.outcome) for outcome in outcomes)
    headline = next(
        row for row in estimates if row.is_headline and row.outcome == protocol.programme.primary_outcome
    )
    on_progress("writing the results", 0.95)
    write_run(
        path,
        protocol,
        run,
        stage="estimate",
        is_unreviewed=is_unreviewed,
        note="unreviewed: a comparator was taken without a reviewer's verdict" if is_unreviewed else None,
        tables=tables,
    )
    on_progress("done", 1.0)
    return RunReport(
        run_id=run.run_id,
        programme=programme,
        headline=headline,
        estimates=tuple(estimates),
        diagnostics=tuple(diagnostics),
        matches=authorities.matches,
        departures=authorities.departures,
        is_unreviewed=is_unreviewed,
        n_children=headline.n_children,
        n_treated_children=sum(part.n_treated_children for part in parts if part.outcome == headline.outcome),
    )


def chosen_specifications(protocol: Protocol, names: Sequence[str]) -> tuple[Specification, ...]:
    """The specifications to run beside the headline: those named, or all.

    Raises:
        CscError: a name is no specification of the programme.
    """
    known = [row.specification for row in protocol.specifications]
    for name in names:
        if name not in known:
            raise CscError(
                f"{name!r} is no specification of {protocol.programme.programme}; "
                f"seeds/protocol/specifications.csv has {', '.join(known)}."
            )
    return tuple(
        row
        for row in protocol.specifications
        if not row.is_headline and (not names or row.specification in names)
    )


@dataclass(frozen=True)
class _EstimatedOutcome:
    outcome: str
    estimates: tuple[Estimate, ...]
    diagnostics: tuple[Diagnostic, ...]
    n_treated_children: int
    tables: dict[str, Rows]


def _estimate_outcome(
    backend: Backend,
    protocol: Protocol,
    outcome: Outcome,
    authorities: AuthorityMatching,
    others: Sequence[Specification],
    on_progress: OnProgress,
) -> _EstimatedOutcome:
    matches = authorities.matches_of(outcome.outcome)
    if not matches:
        return _EstimatedOutcome(
            outcome.outcome, (), (nothing_matched(protocol, outcome, authorities),), 0, {}
        )
    on_progress(f"matching children for {outcome.outcome}", 0.0)
    matching = match_children(backend, protocol, outcome, matches)
    on_progress(f"estimating {outcome.outcome}", 0.3)
    specification = protocol.specification
    sample = regression_sample(protocol, outcome, matching, specification)
    notes = [UNREVIEWED] if authorities.is_unreviewed(outcome.outcome) else []
    effect = estimate_effect(protocol, outcome, specification, sample, notes=notes)
    diagnostics = diagnose(
        protocol,
        outcome,
        sample,
        matching,
        authorities,
        headline=effect.headline,
        dropped_columns=effect.dropped_columns,
        baseline=effect.baseline,
        is_testable=effect.is_testable,
    )
    on_progress(f"checking the assumptions of {outcome.outcome}", 0.5)
    checks = check_assumptions(backend, protocol, outcome, authorities, matching)
    flow = sample_flow(backend, protocol, outcome, matches, matching)
    tables: dict[str, Rows] = {**child_tables(matching), "assumption_checks": checks, "sample_flow": flow}
    matching.release()
    on_progress(f"estimating {outcome.outcome} on other comparators", 0.6)
    sensitivity = estimate_on_other_comparators(backend, protocol, outcome, authorities, others)
    return _EstimatedOutcome(
        outcome=outcome.outcome,
        estimates=(*effect.estimates, *sensitivity.estimates),
        diagnostics=(*diagnostics, *sensitivity.diagnostics),
        n_treated_children=int(
            sample.time_sums.n_rows[sample.times.is_treated_authority.to_numpy(bool)].sum()
        ),
        tables=tables,
    )


def _within(on_progress: OnProgress, number: int, n_outcomes: int) -> OnProgress:
    """Progress within one of several outcomes, between a fifth and nine tenths of the run."""

    def report(step: str, share: float) -> None:
        on_progress(step, 0.2 + 0.7 * (number + share) / n_outcomes)

    return report


# -- the flow of children --------------------------------------------------------------------------------------


def sample_flow(
    backend: Backend, protocol: Protocol, outcome: Outcome, matches: Sequence[Match], matching: ChildMatching
) -> pd.DataFrame:
    """Rows of ``results.sample_flow``: the flow of ``marts.sample_flow_counts`` by arm, then the steps of matching.

    Arms: ``treated`` (authorities of the programme), ``comparator`` (in a matched group) and ``other``.
    """
    treated = {site.la_code for site in protocol.sites}
    in_groups = {code for match in matches for code in (match.treated_la_code, match.comparator_la_code)}

    def arm(la_code: str) -> str:
        if la_code in treated:
            return "treated"
        return "comparator" if la_code in in_groups else "other"

    programme = protocol.programme.programme
    counts = backend.table("sample_flow_counts", database="marts")
    counts = counts.filter((counts.programme == programme) & (counts.outcome == outcome.outcome))
    keys = ["la_code", "step_no", "step", "reason"]
    landed = (
        counts.group_by(keys).agg(n_children=counts.n_children.sum().cast("int64")).order_by(keys).to_pandas()
    )
    landed["arm"] = landed.la_code.map(arm)
    landed["reason"] = landed.reason.fillna("")
    flow = landed.groupby(["step_no", "step", "reason", "arm"], as_index=False, sort=True)["n_children"].sum()

    outcomes = backend.table("trial_outcomes", database="marts")
    observed = outcomes.filter(
        (outcomes.programme == programme)
        & (outcomes.outcome == outcome.outcome)
        & outcomes.is_fully_observed
        & outcomes["value"].notnull()
    )
    # An outcome by school term has a row per term; here children and index events are counted.
    events = observed.select("la_code", *KEY).distinct()
    by_authority = events.group_by("la_code").agg(n_children=events.count()).order_by("la_code").to_pandas()
    shares = matching.matched_shares
    has_embedding = any(match.embedding_start is not None for match in matches)
    last = int(flow.step_no.max()) if len(flow) else 0
    rows = []
    for name in ("treated", "comparator", "other"):
        mine = by_authority[by_authority.la_code.map(arm) == name]
        n_outside = int(mine.n_children[~mine.la_code.isin(in_groups)].sum())
        n_inside = int(shares.n_children[shares.arm == name].sum())
        n_matched = int(shares.n_matched[shares.arm == name].sum())
        n_embedding = int(mine.n_children.sum()) - n_outside - n_inside
        steps_of_arm = [
            ("left out", "authority in no matched group", n_outside),
            *(
                [("left out", "follow-up meets the embedding period of the group", n_embedding)]
                if has_embedding
                else []
            ),
            ("in matched groups", "", n_inside),
            ("left out", "no child of the other arm in its stratum", n_inside - n_matched),
            ("matched", "", n_matched),
        ]
        rows += [
            (last + number, step, reason, name, count)
            for number, (step, reason, count) in enumerate(steps_of_arm, start=1)
        ]
    steps = pd.DataFrame(rows, columns=["step_no", "step", "reason", "arm", "n_children"])
    return pd.concat([flow, steps], ignore_index=True).assign(outcome=outcome.outcome)
