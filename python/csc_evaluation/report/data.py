"""What the page shows, read from ``results``, ``marts`` and the protocol's seeds into frozen records.

Only small tables leave the warehouse: rows of results, and aggregates of marts. Nothing is written.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from csc_evaluation import warehouse as warehouse_module
from csc_evaluation.errors import CscError, SeedError
from csc_evaluation.estimation.diagnostics import Diagnostic
from csc_evaluation.report.formatting import place_name

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

R = TypeVar("R")

TREATED_ARM = "treated"
COMPARATOR_ARM = "comparator"
OTHER_ARM = "other"


@dataclass(frozen=True)
class Part(Generic[R]):
    """Rows of one part of the page, or the reason why there are none."""

    rows: tuple[R, ...] = ()
    absent_because: str | None = None

    def __bool__(self) -> bool:
        return bool(self.rows)


@dataclass(frozen=True)
class Run:
    """One row of ``results.runs``."""

    run_id: str
    programme: str
    stage: str
    status: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    code_version: str
    seeds_hash: str
    input_hash: str
    package_versions: str
    random_seed: int
    is_unreviewed: bool
    command: str | None
    note: str | None


@dataclass(frozen=True)
class Programme:
    """One row of ``protocol.programmes``."""

    programme: str
    programme_name: str
    data_span_start: dt.date
    data_span_end: dt.date
    trial_start: dt.date
    trial_end: dt.date
    age_min: int
    age_max: int
    index_event: str
    primary_outcome: str | None
    is_registered: bool
    source: str


@dataclass(frozen=True)
class Outcome:
    """One row of ``protocol.outcomes``. ``window_months`` is null where an outcome has no window."""

    outcome: str
    outcome_label: str
    role: str
    status: str
    kind: str
    direction: str
    index_event: str
    window_months: int | None
    age_min: int
    age_max: int
    is_registered: bool
    note: str | None
    source: str


@dataclass(frozen=True)
class Site:
    """One row of ``protocol.sites``: a treated authority."""

    la_code: str
    roll_out_order: int | None
    go_live_date: dt.date | None
    is_assumed: bool
    source: str


@dataclass(frozen=True)
class Exclusion:
    """One row of ``protocol.exclusions``: an authority that may not be a comparator."""

    la_code: str
    reason: str
    is_assumed: bool
    source: str


@dataclass(frozen=True)
class OtherProgramme:
    """One row of ``protocol.other_programmes``."""

    la_code: str
    other_programme: str
    started_on: dt.date | None
    ended_on: dt.date | None
    is_assumed: bool


@dataclass(frozen=True)
class Specification:
    """One row of ``protocol.specifications``."""

    specification: str
    match_variant: str
    estimator: str
    weights: str | None
    fixed_effects: str | None
    headline_inference: str
    is_headline: bool
    is_registered: bool
    fixed_on: dt.date | None
    source: str


@dataclass(frozen=True)
class Stratum:
    """One row of ``protocol.matching_strata``: a characteristic children are matched on."""

    position: int
    covariate: str
    is_registered: bool


@dataclass(frozen=True)
class Covariate:
    """One row of ``protocol.regression_covariates``."""

    outcome: str
    covariate: str
    level: str
    is_registered: bool


@dataclass(frozen=True)
class Parameter:
    """One row of ``protocol.parameters`` that holds for the programme."""

    programme: str
    parameter: str
    parameter_value: float
    unit: str
    is_registered: bool
    source: str


@dataclass(frozen=True)
class Estimate:
    """One row of ``results.estimates``; effects in units of the outcome (a share for binary outcomes)."""

    outcome: str
    specification: str
    estimator: str
    term: str
    estimate: float | None
    std_error: float | None
    statistic: float | None
    df: float | None
    p_value: float | None
    p_value_adjusted: float | None
    ci_low: float | None
    ci_high: float | None
    n_observations: int | None
    n_children: int | None
    n_clusters: int | None
    n_treated_clusters: int | None
    baseline_mean: float | None
    inference: str
    is_headline: bool
    is_registered: bool
    note: str | None


@dataclass(frozen=True)
class FlowStep:
    """One row of ``results.sample_flow``: children of an arm at a step, or leaving at it for a reason."""

    outcome: str
    step_no: int
    arm: str
    step: str
    reason: str
    n_children: int


@dataclass(frozen=True)
class CohortStep:
    """``marts.sample_flow_counts`` summed over the authorities of an arm.

    ``is_exclusion`` is missing where the mart does not say whether a row counts children who stay or who leave.
    """

    outcome: str
    step_no: int
    arm: str
    step: str
    reason: str
    n_children: int
    is_exclusion: bool | None


@dataclass(frozen=True)
class Match:
    """One row of ``results.la_matches``."""

    outcome: str
    match_group: str
    treated_la_code: str
    comparator_la_code: str
    go_live_date: dt.date
    distance: float | None
    distance_rank: int | None
    decision: str
    is_unreviewed: bool


@dataclass(frozen=True)
class Candidate:
    """One row of ``results.la_match_candidates``."""

    outcome: str
    treated_la_code: str
    candidate_la_code: str
    is_candidate: bool
    reason: str | None
    distance: float | None
    distance_rank: int | None
    is_kept: bool
    n_quarters: int
    first_quarter: dt.date | None
    last_quarter: dt.date | None
    is_short_series: bool
    candidates_hash: str | None
    expected_noise: float | None
    distance_levels: float | None
    rank_levels: int | None
    distance_both: float | None
    rank_both: int | None
    cut_off: dt.date
    n_pandemic_quarters_in_window: int
    n_pandemic_quarters_outside: int


@dataclass(frozen=True)
class PairEvidence:
    """One row of ``results.la_pair_evidence``."""

    outcome: str
    treated_la_code: str
    comparator_la_code: str
    evidence: str
    status: str
    placebo_date: dt.date | None
    n_quarters_before: int
    n_quarters_after: int
    estimate: float | None
    std_error: float | None
    statistic: float | None
    df: float | None
    p_value: float | None
    n_placebos: int
    share_as_extreme: float | None
    note: str | None


@dataclass(frozen=True)
class AssumptionCheck:
    """One row of ``results.assumption_checks``."""

    outcome: str
    assumption: str
    check_name: str
    term: str
    status: str
    estimate: float | None
    std_error: float | None
    statistic: float | None
    df_numerator: float | None
    df: float | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    n_restrictions: int | None
    n_observations: int | None
    n_clusters: int | None
    n_treated_clusters: int | None
    inference: str | None
    note: str | None


@dataclass(frozen=True)
class DroppedChildren:
    """``results.cem_dropped`` of the first imputation: children of a level, and those whose stratum fell away."""

    outcome: str
    arm: str
    covariate: str
    level: str
    n_children: int
    n_dropped: int


@dataclass(frozen=True)
class MatchVariant:
    """One row of ``protocol.match_variants``: a way of choosing comparators."""

    position: int
    match_variant: str
    match_variant_label: str
    is_leave_one_out: bool


@dataclass(frozen=True)
class SeriesPoint:
    """One row of ``results.la_match_series``."""

    outcome: str
    treated_la_code: str
    la_code: str
    quarter_start: dt.date
    n_children: int | None
    mean_value: float | None
    standard_error: float | None
    z_value: float | None
    z_change: float | None
    is_in_distance: bool
    is_in_window: bool


@dataclass(frozen=True)
class QuarterMean:
    """One row of ``marts.la_quarter_outcomes`` of an authority on the page."""

    outcome: str
    la_code: str
    quarter_start: dt.date
    n_children: int | None
    mean_value: float | None


@dataclass(frozen=True)
class BalanceRow:
    """``results.balance`` averaged over imputations (one in an analysis without imputation)."""

    outcome: str
    covariate: str
    level: str
    measure: str
    treated_before: float | None
    control_before: float | None
    value_before: float | None
    treated_after: float | None
    control_after: float | None
    value_after: float | None


@dataclass(frozen=True)
class MatchedShare:
    """One row of ``results.matched_shares`` of the first imputation."""

    outcome: str
    arm: str
    la_code: str
    financial_year: int
    n_children: int
    n_matched: int


@dataclass(frozen=True)
class QualityCheck:
    """``marts.data_quality`` summed by check."""

    check_name: str
    n_records: int
    n_failed: int
    n_authorities: int
    n_authorities_failed: int
    first_year: int | None
    last_year: int | None


@dataclass(frozen=True)
class SchoolLink:
    """Children of an arm with an index event in a financial year, and how many are linked to school records."""

    arm: str
    financial_year: int
    n_children: int
    n_linked: int
    n_in_two_authorities: int


@dataclass(frozen=True)
class PartialExposure:
    """Matched children of treated authorities by what part of their follow-up lay after go-live."""

    n_before: int
    n_partly_exposed: int
    n_after: int


@dataclass(frozen=True)
class ReportData:
    """Everything on the page. Each part either has rows or says why it has none."""

    run: Run
    programme: Programme
    outcome: Outcome
    outcomes: Part[Outcome]
    sites: Part[Site]
    exclusions: Part[Exclusion]
    other_programmes: Part[OtherProgramme]
    specifications: Part[Specification]
    strata: Part[Stratum]
    covariates: Part[Covariate]
    parameters: Part[Parameter]
    estimates: Part[Estimate]
    diagnostics: Part[Diagnostic]
    flow: Part[FlowStep]
    cohort: Part[CohortStep]
    matches: Part[Match]
    candidates: Part[Candidate]
    evidence: Part[PairEvidence]
    checks: Part[AssumptionCheck]
    dropped: Part[DroppedChildren]
    match_variants: Part[MatchVariant]
    series: Part[SeriesPoint]
    quarters: Part[QuarterMean]
    balance: Part[BalanceRow]
    matched_shares: Part[MatchedShare]
    quality: Part[QualityCheck]
    links: Part[SchoolLink]
    exposure: PartialExposure | None
    n_imputations: int
    authority_names: Mapping[str, str]
    level_labels: Mapping[tuple[str, str], str]

    @property
    def headline(self) -> Estimate | None:
        """The headline row of the primary outcome, if the run holds one."""
        rows = [row for row in self.estimates.rows if row.is_headline]
        primary = [row for row in rows if row.outcome == self.outcome.outcome]
        return next(iter(primary or rows), None)

    @property
    def own_matches(self) -> list[Match]:
        """Pairs of the primary outcome: treated authorities in order of roll-out, comparators by rank."""
        order = {site.la_code: site.roll_out_order or 0 for site in self.sites.rows}
        return sorted(
            (row for row in self.matches.rows if row.outcome == self.outcome.outcome),
            key=lambda row: (
                order.get(row.treated_la_code, len(order)),
                row.treated_la_code,
                row.distance_rank or 0,
                row.comparator_la_code,
            ),
        )

    def authority(self, la_code: str) -> str:
        """Name of an authority, or its code where the reference table does not hold it."""
        return self.authority_names.get(la_code, la_code)

    def parameter(self, name: str) -> float:
        """A number of the protocol; the programme's own row wins over the row for all programmes.

        Raises:
            SeedError: there is no such parameter.
        """
        rows = [row for row in self.parameters.rows if row.parameter == name]
        own = [row for row in rows if row.programme == self.programme.programme]
        found = next(iter(own or rows), None)
        if found is None:
            raise SeedError(
                f"protocol.parameters: no row {name!r}; restore it in seeds/protocol/parameters.csv and run dbt seed."
            )
        return found.parameter_value


def load_report_data(programme: str, *, warehouse: Path, run_id: str | None = None) -> ReportData:
    """Read what the page of a programme shows.

    Args:
        programme: key of the programme, for example ``family_safeguarding``.
        warehouse: the DuckDB file.
        run_id: the run to show; by default the latest complete estimation of the programme.

    Raises:
        WarehouseError: the warehouse cannot be opened.
        CscError: the programme is unknown, it has no complete run, or the run is unknown or incomplete.
        SeedError: the seeds are not in the warehouse, or lack the programme's outcome.
    """
    with warehouse_module.ibis_readable(warehouse) as backend:
        source = Source(backend, warehouse)
        programme_row = _programme(source, programme)
        run = _run(source, programme, run_id)
        outcomes = source.protocol(Outcome, "outcomes", programme)
        if programme_row.primary_outcome is None:
            raise CscError(
                f"{programme} names no primary outcome, and the page is about a primary outcome. Its matches are on the page of "
                f"csceval review {programme}."
            )
        primary = next((row for row in outcomes.rows if row.outcome == programme_row.primary_outcome), None)
        if primary is None:
            raise SeedError(
                f"protocol.outcomes: no row for the primary outcome {programme_row.primary_outcome!r} of "
                f"{programme}; add it to seeds/protocol/outcomes.csv and run dbt build."
            )
        sites = source.protocol(Site, "sites", programme)
        matches = source.results(Match, "la_matches", run)
        return ReportData(
            run=run,
            programme=programme_row,
            outcome=primary,
            outcomes=outcomes,
            sites=sites,
            exclusions=source.protocol(Exclusion, "exclusions", programme),
            other_programmes=source.records(OtherProgramme, "protocol", "other_programmes"),
            specifications=source.protocol(Specification, "specifications", programme),
            strata=source.protocol(Stratum, "matching_strata", programme),
            covariates=source.protocol(Covariate, "regression_covariates", programme),
            parameters=_parameters(source, programme),
            estimates=source.results(Estimate, "estimates", run),
            diagnostics=source.results(Diagnostic, "diagnostics", run),
            flow=source.results(FlowStep, "sample_flow", run),
            cohort=_cohort(source, programme, sites, matches),
            matches=matches,
            candidates=source.results(Candidate, "la_match_candidates", run),
            evidence=source.results(PairEvidence, "la_pair_evidence", run),
            checks=source.results(AssumptionCheck, "assumption_checks", run),
            dropped=_first_imputation(source, DroppedChildren, "cem_dropped", run),
            match_variants=source.records(MatchVariant, "protocol", "match_variants"),
            series=source.results(SeriesPoint, "la_match_series", run),
            quarters=_quarters(source, programme, matches),
            balance=_balance(source, run),
            matched_shares=_first_imputation(source, MatchedShare, "matched_shares", run),
            quality=_quality(source),
            links=_links(source, programme, primary, sites, matches),
            exposure=_exposure(source, run, primary),
            n_imputations=_n_imputations(source, run),
            authority_names=read_authority_names(source),
            level_labels=_level_labels(source),
        )


class Source:
    """Tables of an open warehouse; a table or column that is not there gives a reason instead of an error."""

    def __init__(self, backend: Backend, path: Path) -> None:
        self.path = path
        self._backend = backend
        schemas = set(backend.list_databases())
        self._tables = {
            layer: set(backend.list_tables(database=layer)) if layer in schemas else set()
            for layer in ("results", "marts", "protocol", "reference")
        }

    def table(self, layer: str, name: str, columns: tuple[str, ...] = ()) -> ir.Table | str:
        """The table, or the reason why it cannot be read."""
        if name not in self._tables[layer]:
            return f"the warehouse has no table {layer}.{name}."
        table = self._backend.table(name, database=layer)
        lacking = [column for column in columns if column not in table.columns]
        if lacking:
            return f"{layer}.{name} has no column {', '.join(lacking)}."
        return table

    def records(
        self, record: type[R], layer: str, name: str, *, where: Mapping[str, str] | None = None
    ) -> Part[R]:
        """Rows of a table as records whose fields are columns, ordered by all of them."""
        columns = _columns(record)
        table = self.table(layer, name, columns + tuple(where or {}))
        if isinstance(table, str):
            return Part(absent_because=table)
        for column, value in (where or {}).items():
            table = table.filter(table[column] == value)
        return fetch(
            record, table.select(*columns), f"{layer}.{name} has no rows for this programme and run."
        )

    def protocol(self, record: type[R], name: str, programme: str) -> Part[R]:
        """Rows of a seed that hold for a programme."""
        return self.records(record, "protocol", name, where={"programme": programme})

    def results(self, record: type[R], name: str, run: Run) -> Part[R]:
        """Rows of a table of results that a run wrote."""
        return self.records(record, "results", name, where={"run_id": run.run_id})


def _columns(record: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(record))


_SQL_TYPES = {
    "str": "string",
    "int": "int64",
    "float": "float64",
    "bool": "boolean",
    "dt.date": "date",
    "dt.datetime": "timestamp",
}


def _types(record: type[Any]) -> dict[str, str]:
    return {
        field.name: _SQL_TYPES[str(field.type).removesuffix(" | None")]
        for field in dataclasses.fields(record)
    }


def fetch(record: type[R], table: ir.Table, empty: str) -> Part[R]:
    """Rows of an expression as records, ordered by every column so that the page never depends on storage order."""
    columns = _columns(record)
    # Seeds may be text in the warehouse: a record's field says what its column is.
    typed = table.select(**{column: table[column].cast(kind) for column, kind in _types(record).items()})
    rows = typed.order_by(list(columns)).to_pyarrow().to_pylist()
    return Part(tuple(record(**{column: _plain(row[column]) for column in columns}) for row in rows), empty)


def _plain(value: Any) -> Any:
    """A not-a-number becomes missing."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _programme(source: Source, programme: str) -> Programme:
    found = source.records(Programme, "protocol", "programmes")
    if not found:
        raise SeedError(
            f"{source.path}: the protocol is not in this warehouse ({found.absent_because}) "
            "Run dbt build first (csceval run does it)."
        )
    for row in found.rows:
        if row.programme == programme:
            return row
    known = ", ".join(row.programme for row in found.rows)
    raise CscError(f"{programme!r} is not a programme of the protocol; it knows {known}.")


def _run(source: Source, programme: str, run_id: str | None) -> Run:
    advice = f"Run csceval run {programme}, or csceval estimate {programme} on a built warehouse."
    runs = [row for row in source.records(Run, "results", "runs").rows if row.programme == programme]
    if run_id is not None:
        found = next((row for row in runs if row.run_id == run_id), None)
        if found is None:
            raise CscError(
                f"{source.path}: no run {run_id!r} of {programme} in results.runs "
                f"({len(runs)} runs of it there). {advice}"
            )
        if found.stage != "estimate" or found.status != "complete":
            raise CscError(
                f"{source.path}: run {run_id!r} is a {found.status} {found.stage} run; "
                f"the page needs a complete estimate run. {advice}"
            )
        return found
    complete = [row for row in runs if row.stage == "estimate" and row.status == "complete"]
    if not complete:
        raise CscError(f"{source.path}: no complete estimate run of {programme} yet. {advice}")
    return max(complete, key=lambda row: (row.started_at, row.run_id))


def _parameters(source: Source, programme: str) -> Part[Parameter]:
    every = source.records(Parameter, "protocol", "parameters")
    rows = tuple(row for row in every.rows if row.programme in ("*", programme))
    return Part(rows, every.absent_because)


def _arm(table: ir.Table, sites: Part[Site], matches: Part[Match]) -> ir.Value:
    """The arm of a row's authority in this run."""
    import ibis

    treated = sorted({row.la_code for row in sites.rows})
    comparators = sorted({row.comparator_la_code for row in matches.rows} - set(treated))
    return ibis.cases(
        (table.la_code.isin(treated) if treated else ibis.literal(False), TREATED_ARM),
        (table.la_code.isin(comparators) if comparators else ibis.literal(False), COMPARATOR_ARM),
        else_=OTHER_ARM,
    )


def _links(
    source: Source, programme: str, outcome: Outcome, sites: Part[Site], matches: Part[Match]
) -> Part[SchoolLink]:
    columns = ("programme", "index_event", "la_code", "financial_year", "has_pupil_link")
    table = source.table("marts", "index_events", (*columns, "is_pupil_in_two_authorities"))
    if isinstance(table, str):
        return Part(absent_because=table)
    table = table.filter((table.programme == programme) & (table.index_event == outcome.index_event))
    counted = (
        table.mutate(arm=_arm(table, sites, matches))
        .group_by(["arm", "financial_year"])
        .agg(
            n_children=lambda t: t.count(),
            n_linked=lambda t: t.count(where=t.has_pupil_link),
            n_in_two_authorities=lambda t: t.count(where=t.is_pupil_in_two_authorities),
        )
    )
    return fetch(SchoolLink, counted, "marts.index_events has no rows for this programme.")


def _cohort(source: Source, programme: str, sites: Part[Site], matches: Part[Match]) -> Part[CohortStep]:
    import ibis

    columns = ("programme", "outcome", "la_code", "step_no", "step", "reason", "n_children")
    table = source.table("marts", "sample_flow_counts", columns)
    if isinstance(table, str):
        return Part(absent_because=table)
    arm = _arm(table, sites, matches)
    is_exclusion = table.is_exclusion if "is_exclusion" in table.columns else ibis.null("boolean")
    counted = (
        table.filter(table.programme == programme)
        .mutate(arm=arm, reason=table.reason.fill_null(""), is_exclusion=is_exclusion)
        .group_by(["outcome", "step_no", "arm", "step", "reason", "is_exclusion"])
        .agg(n_children=lambda t: t.n_children.cast("int64").sum().cast("int64"))
    )
    return fetch(CohortStep, counted, "marts.sample_flow_counts has no rows for this programme.")


def _quarters(source: Source, programme: str, matches: Part[Match]) -> Part[QuarterMean]:
    columns = _columns(QuarterMean)
    table = source.table("marts", "la_quarter_outcomes", ("programme", *columns))
    if isinstance(table, str):
        return Part(absent_because=table)
    shown = {code for row in matches.rows for code in (row.treated_la_code, row.comparator_la_code)}
    if not shown:
        return Part(absent_because="the run has no matched pair.")
    ours = table.filter((table.programme == programme) & table.la_code.isin(sorted(shown))).select(*columns)
    return fetch(QuarterMean, ours, "marts.la_quarter_outcomes has no rows for the matched authorities.")


def _balance(source: Source, run: Run) -> Part[BalanceRow]:
    keys = ("outcome", "covariate", "level", "measure")
    columns = _columns(BalanceRow)
    table = source.table("results", "balance", ("run_id", "imputation", *columns))
    if isinstance(table, str):
        return Part(absent_because=table)
    table = table.filter(table.run_id == run.run_id)
    values = {name: table[name].mean() for name in columns if name not in keys}
    return fetch(
        BalanceRow, table.group_by(list(keys)).agg(**values), "results.balance has no rows for this run."
    )


def _first_imputation(source: Source, record: type[R], name: str, run: Run) -> Part[R]:
    columns = _columns(record)
    table = source.table("results", name, ("run_id", "imputation", *columns))
    if isinstance(table, str):
        return Part(absent_because=table)
    table = table.filter(table.run_id == run.run_id)
    first = table.filter(table.imputation == table.imputation.min()).select(*columns)
    return fetch(record, first, f"results.{name} has no rows for this run.")


def _quality(source: Source) -> Part[QualityCheck]:
    columns = ("la_code", "return_year", "check_name", "n_records", "n_failed")
    table = source.table("marts", "data_quality", columns)
    if isinstance(table, str):
        return Part(absent_because=table)
    summed = table.group_by("check_name").agg(
        n_records=lambda t: t.n_records.cast("int64").sum().cast("int64"),
        n_failed=lambda t: t.n_failed.cast("int64").sum().cast("int64"),
        n_authorities=lambda t: t.la_code.nunique(),
        n_authorities_failed=lambda t: t.la_code.nunique(where=t.n_failed > 0),
        first_year=lambda t: t.return_year.min(),
        last_year=lambda t: t.return_year.max(),
    )
    return fetch(QualityCheck, summed, "marts.data_quality has no rows.")


def _exposure(source: Source, run: Run, outcome: Outcome) -> PartialExposure | None:
    """Counts of matched treated-authority children by exposure; only the three counts leave the warehouse."""
    weights = source.table("results", "cem_weights")
    events = source.table(
        "marts",
        "index_events",
        ("programme", "index_event", "child_id", "sequence", "is_treated", "exposure_months"),
    )
    if isinstance(weights, str) or isinstance(events, str):
        return None
    ours = weights.filter(
        (weights.run_id == run.run_id)
        & (weights.outcome == outcome.outcome)
        & (weights.imputation == 0)
        & weights.is_treated_authority
    ).select("child_id", "sequence")
    dated = events.filter(
        (events.programme == run.programme) & (events.index_event == outcome.index_event)
    ).select("child_id", "sequence", "is_treated", "exposure_months")
    joined = ours.inner_join(dated, ["child_id", "sequence"])
    counted = joined.agg(
        n_before=joined.count(where=~joined.is_treated & (joined.exposure_months.fill_null(0) <= 0)),
        n_partly_exposed=joined.count(where=~joined.is_treated & (joined.exposure_months > 0)),
        n_after=joined.count(where=joined.is_treated),
    )
    found = fetch(PartialExposure, counted, "").rows[0]
    return found if found.n_before + found.n_partly_exposed + found.n_after else None


def _n_imputations(source: Source, run: Run) -> int:
    table = source.table("results", "cem_strata", ("run_id", "imputation"))
    if isinstance(table, str):
        return 0
    ours = table.filter(table.run_id == run.run_id)
    return int(ours.imputation.nunique().execute())


def read_authority_names(source: Source) -> dict[str, str]:
    """Names of authorities by code, as they read in a sentence."""
    table = source.table("reference", "local_authorities", ("la_code", "la_name", "valid_to"))
    if isinstance(table, str):
        return {}
    rows = table.select("la_code", "la_name", "valid_to").to_pyarrow().to_pylist()
    # A code used again has the name in force today: an open row last.
    rows.sort(key=lambda row: (row["valid_to"] is None, str(row["valid_to"]), str(row["la_name"])))
    return {str(row["la_code"]): place_name(str(row["la_name"])) for row in rows}


def _level_labels(source: Source) -> dict[tuple[str, str], str]:
    """What the codes of a covariate mean, by covariate and code."""
    labels: dict[tuple[str, str], str] = {}
    for covariate, name, code, label in (
        ("gender", "gender_codes", "gender", "gender_label"),
        ("ethnicity", "ethnic_groups", "ethnicity_code", "ethnicity_label"),
    ):
        table = source.table("reference", name, (code, label))
        if not isinstance(table, str):
            rows = table.select(code, label).to_pyarrow().to_pylist()
            for row in sorted(rows, key=lambda row: (str(row[code]), str(row[label])), reverse=True):
                labels[(covariate, str(row[code]))] = str(row[label])
    return labels
