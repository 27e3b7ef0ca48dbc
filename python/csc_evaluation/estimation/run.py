"""``run_programme``: from marts to estimates, in one run that is written complete or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from csc_evaluation.estimation.diagnostics import Diagnostic, diagnose, nothing_matched
from csc_evaluation.estimation.inference import cr1, cr2
from csc_evaluation.estimation.linear import weighted_least_squares
from csc_evaluation.estimation.protocol import Outcome, Protocol, read_protocol
from csc_evaluation.estimation.results import (
    OnProgress,
    ensure_built,
    no_progress,
    provenance,
    reading,
    write_run,
)
from csc_evaluation.estimation.sample import TREATED, RegressionSample, regression_sample
from csc_evaluation.matching.authorities import AuthorityMatching, Departure, Match, match_authorities
from csc_evaluation.matching.cem import ChildMatching, match_children
from csc_evaluation.matching.run import matching_tables, refuse_unmatched
from csc_evaluation.warehouse import warehouse_path

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

TOO_FEW_TREATED = "too few treated"
REGISTERED_INFERENCE = "cr1_t"
"""What the trial protocol's analysis plan registered (the correction of Brewer, Crossley and Joyce 2013); others are added."""


@dataclass(frozen=True)
class Estimate:
    """One row of ``results.estimates``; units of the outcome (a share for a binary one), ``None`` where not computable.

    With too few treated authorities there is an estimate and a standard error but no p-value and no interval.
    """

    outcome: str
    specification: str
    estimator: str
    term: str
    estimate: float
    std_error: float | None
    statistic: float | None
    df: float | None
    p_value: float | None
    p_value_adjusted: float | None
    ci_low: float | None
    ci_high: float | None
    n_observations: int
    n_children: int
    n_clusters: int
    n_treated_clusters: int
    baseline_mean: float | None
    inference: str
    is_headline: bool
    is_registered: bool
    note: str | None


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
    random_seed: int = 1,
    command: str | None = None,
    on_progress: OnProgress = no_progress,
) -> RunReport:
    """Match, estimate and store: one run of stage ``estimate`` for every evaluated outcome of a programme.

    Reads ``marts`` and ``protocol`` through a read-only connection and writes all rows of ``results`` in one
    transaction at the end. The same marts, seeds and code give the same numbers to the last digit.

    Args:
        programme: code of the programme, for example ``family_safeguarding``.
        warehouse: the DuckDB file; else ``CSC_WAREHOUSE``.
        random_seed: stored with the run; this specification draws nothing at random.
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
        run = provenance(backend, protocol, random_seed=random_seed, command=command, build_id=build_id)
        on_progress("matching authorities on trends", 0.1)
        authorities = match_authorities(backend, [protocol])[programme]
        refuse_unmatched(protocol, authorities)
        children: list[ChildMatching] = []
        estimates: list[Estimate] = []
        diagnostics: list[Diagnostic] = []
        flows: list[pd.DataFrame] = []
        n_treated_children = 0
        for number, outcome in enumerate(protocol.estimated_outcomes):
            share_done = number / len(protocol.estimated_outcomes)
            matches = authorities.matches_of(outcome.outcome)
            if not matches:
                diagnostics.append(nothing_matched(protocol, outcome, authorities))
                continue
            on_progress(f"matching children for {outcome.outcome}", 0.2 + 0.7 * share_done)
            matching = match_children(backend, protocol, outcome, matches)
            on_progress(
                f"estimating {outcome.outcome}",
                0.2 + 0.7 * (share_done + 0.7 / len(protocol.estimated_outcomes)),
            )
            sample = regression_sample(protocol, outcome, matching)
            found, found_diagnostics = _estimate(protocol, outcome, sample, matching, authorities)
            estimates.extend(found)
            diagnostics.extend(found_diagnostics)
            children.append(matching)
            flows.append(sample_flow(backend, protocol, outcome, matches, matching))
            if outcome.outcome == protocol.programme.primary_outcome:
                n_treated_children = int(sample.cells.n_rows[sample.cells.is_treated_authority].sum())
        tables = matching_tables(protocol, authorities, children)
    tables["estimates"] = pd.DataFrame([asdict(row) for row in estimates])
    tables["diagnostics"] = pd.DataFrame([asdict(row) for row in diagnostics])
    tables["sample_flow"] = pd.concat(flows, ignore_index=True)
    is_unreviewed = any(match.is_unreviewed for match in authorities.matches)
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
        n_treated_children=n_treated_children,
    )


# -- the regression --------------------------------------------------------------------------------------------


def _estimate(
    protocol: Protocol,
    outcome: Outcome,
    sample: RegressionSample,
    matching: ChildMatching,
    authorities: AuthorityMatching,
) -> tuple[list[Estimate], list[Diagnostic]]:
    parameters, specification = protocol.parameters, protocol.specification
    fit = weighted_least_squares(sample.compressed, required=(TREATED,))
    inferences = [method(fit, TREATED, confidence_level=parameters.confidence_level) for method in (cr2, cr1)]
    n_treated_clusters = len(sample.treated_clusters)
    is_testable = n_treated_clusters >= parameters.treated_clusters_min
    baseline = baseline_mean(sample)
    is_unreviewed = authorities.is_unreviewed(outcome.outcome)
    notes = [
        *([] if is_testable else [TOO_FEW_TREATED]),
        *(["unreviewed"] if is_unreviewed else []),
    ]
    estimates = [
        Estimate(
            outcome=outcome.outcome,
            specification=specification.specification,
            estimator=specification.estimator,
            term=TREATED,
            estimate=row.estimate,
            std_error=row.std_error,
            statistic=row.statistic,
            df=row.df,
            p_value=row.p_value if is_testable else None,
            p_value_adjusted=None,
            ci_low=row.ci_low if is_testable else None,
            ci_high=row.ci_high if is_testable else None,
            n_observations=fit.n_rows,
            n_children=sample.n_children,
            n_clusters=len(fit.clusters),
            n_treated_clusters=n_treated_clusters,
            baseline_mean=baseline,
            inference=row.method,
            is_headline=row.method == specification.headline_inference,
            is_registered=specification.is_registered
            and outcome.is_registered
            and row.method == REGISTERED_INFERENCE,
            note="; ".join(notes) or None,
        )
        for row in inferences
    ]
    headline = next(row for row in inferences if row.method == specification.headline_inference)
    diagnostics = diagnose(
        protocol,
        outcome,
        sample,
        matching,
        authorities,
        headline=headline,
        dropped_columns=fit.dropped,
        baseline=baseline,
        is_testable=is_testable,
    )
    return estimates, diagnostics


def baseline_mean(sample: RegressionSample) -> float | None:
    """Weighted mean of the outcome among matched children of treated authorities before go-live; ``None`` without any."""
    before = sample.cells[sample.cells.is_treated_authority & ~sample.cells.is_treated]
    weight = before.weight.to_numpy(float)
    mass = float(weight @ before.n_rows.to_numpy(float))
    return float(weight @ before.sum_y.to_numpy(float)) / mass if mass > 0 else None


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
    by_authority = (
        observed.group_by("la_code").agg(n_children=observed.count()).order_by("la_code").to_pandas()
    )
    shares = matching.matched_shares
    last = int(flow.step_no.max()) if len(flow) else 0
    rows = []
    for name in ("treated", "comparator", "other"):
        mine = by_authority[by_authority.la_code.map(arm) == name]
        n_outside = int(mine.n_children[~mine.la_code.isin(in_groups)].sum())
        n_inside = int(shares.n_children[shares.arm == name].sum())
        n_matched = int(shares.n_matched[shares.arm == name].sum())
        rows += [
            (last + 1, "left out", "authority in no matched group", name, n_outside),
            (last + 2, "in matched groups", "", name, n_inside),
            (last + 3, "left out", "no child of the other arm in its stratum", name, n_inside - n_matched),
            (last + 4, "matched", "", name, n_matched),
        ]
    steps = pd.DataFrame(rows, columns=["step_no", "step", "reason", "arm", "n_children"])
    return pd.concat([flow, steps], ignore_index=True).assign(outcome=outcome.outcome)
