"""What a reviewer needs to see of one run's candidates, read from ``results``, ``marts`` and the protocol's seeds.

Nothing that happened after the last quarter of a matching window is read for that window: a reviewer who saw what became
of children whom the programme may have touched could no longer choose comparators blindly.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import ibis

from csc_evaluation import warehouse as warehouse_module
from csc_evaluation.errors import CscError, WarehouseError
from csc_evaluation.estimation.protocol import Outcome, Protocol, Site, read_protocol
from csc_evaluation.report.data import (
    AssumptionCheck,
    Candidate,
    OtherProgramme,
    PairEvidence,
    Part,
    R,
    Run,
    SeriesPoint,
    Source,
    fetch,
    read_authority_names,
)

MATCH_STAGE = "match"
STAGES = (MATCH_STAGE, "estimate")
ANY_PROGRAMME = "*"
SMALL_COUNT = "report_small_count"

REVIEW_COLUMNS = (
    "programme",
    "outcome",
    "treated_la_code",
    "comparator_la_code",
    "trend",
    "placebo",
    "shocks",
    "decision",
    "reason",
    "reviewer",
    "reviewed_on",
    "candidates_hash",
)
"""Columns of ``seeds/protocol/match_reviews.csv``, in the order of the file."""


@dataclass(frozen=True)
class Placebo:
    """One row of ``results.la_match_placebos``: another authority as if it were treated."""

    outcome: str
    treated_la_code: str
    placebo_la_code: str
    comparator_la_code: str
    evidence: str
    estimate: float | None
    statistic: float | None


@dataclass(frozen=True)
class Neighbour:
    """One row of ``marts.authority_neighbours``."""

    la_code: str
    neighbour_la_code: str
    neighbour_rank: int
    closeness: str | None
    edition: str


@dataclass(frozen=True)
class Inspection:
    """One row of ``marts.authority_inspections``."""

    la_code: str
    inspected_on: dt.date | None
    published_on: dt.date | None
    overall_judgement: str | None

    @property
    def known_on(self) -> dt.date | None:
        """The day from which the judgement was public; the inspection's where publication is not known."""
        return self.published_on or self.inspected_on


@dataclass(frozen=True)
class Quality:
    """One row of ``marts.data_quality_authorities``."""

    programme: str
    la_code: str
    first_year: int
    last_year: int
    worst_severity: str
    doubts: str


@dataclass(frozen=True)
class InstalledReview:
    """One row of ``protocol.match_reviews`` as the warehouse holds it."""

    programme: str
    outcome: str
    treated_la_code: str
    comparator_la_code: str
    trend: bool
    placebo: bool
    shocks: bool
    decision: str
    reason: str | None
    reviewer: str
    reviewed_on: dt.date | None
    candidates_hash: str | None


@dataclass(frozen=True)
class ReviewSet:
    """One treated authority and outcome: what is to be decided together."""

    outcome: Outcome
    site: Site
    cut_off: dt.date
    kept: tuple[Candidate, ...]
    """The candidates to look at, in order of rank."""
    excluded: tuple[Candidate, ...]
    """Every other authority, with its reason."""
    series: Mapping[str, tuple[SeriesPoint, ...]]
    """Quarters of the treated authority and of each kept candidate, none after the window."""
    evidence: tuple[PairEvidence, ...]
    placebos: tuple[Placebo, ...]
    installed: tuple[InstalledReview, ...]

    @property
    def candidates_hash(self) -> str | None:
        """The hash of the kept list, which every review of it carries."""
        return self.kept[0].candidates_hash if self.kept else None

    @property
    def starts_on(self) -> dt.date:
        """The first day on which the programme may have touched a child: start of embedding, else go-live."""
        return self.site.embedding_start or self.site.go_live_date

    @property
    def last_quarter(self) -> dt.date | None:
        """First day of the last quarter of the window."""
        return self.kept[0].last_quarter if self.kept else None

    def evidence_of(self, comparator: str) -> tuple[PairEvidence, ...]:
        """PairEvidence on the pair with one comparator."""
        return tuple(row for row in self.evidence if row.comparator_la_code == comparator)


@dataclass(frozen=True)
class ReviewData:
    """Everything on the review page of a programme."""

    run: Run
    protocol: Protocol
    sets: tuple[ReviewSet, ...]
    """By outcome in the order of the seed, then by roll-out."""
    has_evidence: bool
    has_placebos: bool
    checks: Part[AssumptionCheck]
    neighbours: Part[Neighbour]
    inspections: Part[Inspection]
    quality: Part[Quality]
    other_programmes: Part[OtherProgramme]
    regions: Mapping[str, str]
    authority_names: Mapping[str, str]
    small_count: int

    @cached_property
    def latest_edition(self) -> str:
        """Latest edition of statistical neighbours; empty where none is landed."""
        return max((row.edition for row in self.neighbours.rows), default="")

    @cached_property
    def neighbours_by_pair(self) -> Mapping[tuple[str, str], Neighbour]:
        """Statistical neighbours of the latest edition, by whose list they are on and who they are."""
        return {
            (row.la_code, row.neighbour_la_code): row
            for row in self.neighbours.rows
            if row.edition == self.latest_edition
        }

    @cached_property
    def authorities_with_neighbours(self) -> frozenset[str]:
        """Authorities that have a list in the latest edition."""
        return frozenset(code for code, _ in self.neighbours_by_pair)

    @cached_property
    def quality_by_authority(self) -> Mapping[str, Quality]:
        """Data quality of each authority in the programme's years."""
        return {row.la_code: row for row in self.quality.rows}

    def authority(self, la_code: str) -> str:
        """Name of an authority, or its code where the reference table does not hold it."""
        return self.authority_names.get(la_code, la_code)


def load_review_data(programme: str, *, warehouse: Path, run_id: str | None = None) -> ReviewData:
    """Read what the review page of a programme shows.

    Args:
        programme: key of the programme, for example ``family_safeguarding``.
        warehouse: the DuckDB file.
        run_id: the run whose candidates are reviewed; by default the latest complete one.

    Raises:
        WarehouseError: the warehouse cannot be opened, or its results were made by another version.
        CscError: the programme is unknown, or has no complete run with candidates.
        SeedError: a seed cannot be used.
    """
    with warehouse_module.ibis_readable(warehouse) as backend:
        protocol = read_protocol(backend, programme)
        source = Source(backend, warehouse)
        run = find_run(source, programme, run_id)
        candidates = source.records(Candidate, "results", "la_match_candidates", where={"run_id": run.run_id})
        evidence = source.records(PairEvidence, "results", "la_pair_evidence", where={"run_id": run.run_id})
        placebos = source.records(Placebo, "results", "la_match_placebos", where={"run_id": run.run_id})
        small_count = _small_count(source, programme)
        return ReviewData(
            run=run,
            protocol=protocol,
            sets=_sets(
                protocol,
                candidates.rows,
                _series(source, run, small_count),
                evidence.rows,
                placebos.rows,
                _installed(source, programme),
            ),
            has_evidence=bool(evidence),
            has_placebos=bool(placebos),
            checks=source.records(
                AssumptionCheck, "results", "assumption_checks", where={"run_id": run.run_id}
            ),
            neighbours=source.records(Neighbour, "marts", "authority_neighbours"),
            inspections=source.records(Inspection, "marts", "authority_inspections"),
            quality=source.records(
                Quality, "marts", "data_quality_authorities", where={"programme": programme}
            ),
            other_programmes=source.records(OtherProgramme, "protocol", "other_programmes"),
            regions=_regions(source),
            authority_names=read_authority_names(source),
            small_count=small_count,
        )


def find_run(source: Source, programme: str, run_id: str | None = None) -> Run:
    """The run whose candidates stand: the one named, else the latest complete match of the programme.

    Raises:
        CscError: there is none.
        WarehouseError: the results were made by another version of the project.
    """
    for name, record in (("runs", Run), ("la_match_candidates", Candidate)):
        columns = tuple(record.__dataclass_fields__)
        table = source.table("results", name, columns)
        if isinstance(table, str):
            raise WarehouseError(
                f"{source.path}: {table} Another version of this project made it: build a new one."
            )
    runs = source.records(Run, "results", "runs", where={"programme": programme}).rows
    candidates = source.table("results", "la_match_candidates", ("run_id",))
    assert not isinstance(candidates, str)  # noqa: S101 - checked above
    filled = set(candidates.select("run_id").distinct().to_pandas().run_id)
    usable = [
        row for row in runs if row.stage in STAGES and row.status == "complete" and row.run_id in filled
    ]
    if run_id is not None:
        found = next((row for row in usable if row.run_id == run_id), None)
        if found is None:
            there = ", ".join(row.run_id for row in sorted(usable, key=lambda row: row.started_at)) or "none"
            raise CscError(
                f"{source.path}: no complete run {run_id!r} of {programme} with candidates; there is: {there}."
            )
        return found
    if not usable:
        raise CscError(f"{programme}: no matches to review yet; run csceval match {programme} first.")
    # A run of stage estimate holds only the outcomes that are estimated; it will do where there is no other.
    return max(usable, key=lambda row: (row.stage == MATCH_STAGE, row.started_at, row.run_id))


def _sets(
    protocol: Protocol,
    candidates: Sequence[Candidate],
    series: Mapping[tuple[str, str], Mapping[str, tuple[SeriesPoint, ...]]],
    evidence: Sequence[PairEvidence],
    placebos: Sequence[Placebo],
    installed: Sequence[InstalledReview],
) -> tuple[ReviewSet, ...]:
    by_set = _grouped(candidates)
    evidence_by_set, placebos_by_set, installed_by_set = (
        _grouped(evidence),
        _grouped(placebos),
        _grouped(installed),
    )
    sets = []
    for outcome in protocol.outcomes:
        for site in protocol.sites:
            key = (outcome.outcome, site.la_code)
            rows = by_set.get(key, [])
            if not rows:
                continue
            kept = sorted(
                (row for row in rows if row.is_kept),
                key=lambda row: (row.distance_rank or 0, row.candidate_la_code),
            )
            last = kept[0].last_quarter if kept else None
            shown = {site.la_code, *(row.candidate_la_code for row in kept)}
            sets.append(
                ReviewSet(
                    outcome=outcome,
                    site=site,
                    cut_off=rows[0].cut_off,
                    kept=tuple(kept),
                    excluded=tuple(
                        row for row in rows if not row.is_kept and row.candidate_la_code != site.la_code
                    ),
                    series={
                        code: tuple(
                            point for point in points if last is not None and point.quarter_start <= last
                        )
                        for code, points in series.get(key, {}).items()
                        if code in shown
                    },
                    evidence=tuple(evidence_by_set.get(key, [])),
                    placebos=tuple(placebos_by_set.get(key, [])),
                    installed=tuple(installed_by_set.get(key, [])),
                )
            )
    return tuple(sets)


def _grouped(rows: Iterable[R]) -> dict[tuple[str, str], list[R]]:
    groups: dict[tuple[str, str], list[R]] = defaultdict(list)
    for row in rows:
        groups[(row.outcome, row.treated_la_code)].append(row)  # type: ignore[attr-defined]
    return groups


def _series(
    source: Source, run: Run, small_count: int
) -> dict[tuple[str, str], dict[str, tuple[SeriesPoint, ...]]]:
    """Quarters by set and authority, of the treated authority and the kept candidates only."""
    table = source.table("results", "la_match_series", tuple(SeriesPoint.__dataclass_fields__))
    candidates = source.table("results", "la_match_candidates")
    if isinstance(table, str) or isinstance(candidates, str):
        return {}
    kept = candidates.filter((candidates.run_id == run.run_id) & candidates.is_kept)
    kept = kept.select("outcome", "treated_la_code", "last_quarter", la_code="candidate_la_code")
    treated = kept.mutate(la_code=kept.treated_la_code).distinct()
    shown = kept.union(treated, distinct=True)
    keys = ["outcome", "treated_la_code", "la_code"]
    own = table.filter(table.run_id == run.run_id).inner_join(shown, keys)
    own = own.filter(own.quarter_start <= own.last_quarter)
    # A mean over fewer children than may be told apart does not leave the warehouse, as on the report's page.
    is_too_small = (own.n_children < small_count) & (own.n_children > 0)
    own = own.mutate(
        mean_value=is_too_small.ifelse(ibis.null("float64"), own.mean_value),
        standard_error=is_too_small.ifelse(ibis.null("float64"), own.standard_error),
    )
    groups: dict[tuple[str, str], dict[str, list[SeriesPoint]]] = defaultdict(lambda: defaultdict(list))
    for point in fetch(SeriesPoint, own.select(*SeriesPoint.__dataclass_fields__), "").rows:
        groups[(point.outcome, point.treated_la_code)][point.la_code].append(point)
    return {
        key: {
            code: tuple(sorted(points, key=lambda point: point.quarter_start))
            for code, points in by_code.items()
        }
        for key, by_code in groups.items()
    }


def _installed(source: Source, programme: str) -> tuple[InstalledReview, ...]:
    return source.records(InstalledReview, "protocol", "match_reviews", where={"programme": programme}).rows


def _regions(source: Source) -> dict[str, str]:
    table = source.table("reference", "local_authorities", ("la_code", "region", "valid_to"))
    if isinstance(table, str):
        return {}
    rows = table.select("la_code", "region", "valid_to").to_pyarrow().to_pylist()
    # A code used again belongs to whoever has it today: an open row last.
    rows.sort(key=lambda row: (row["valid_to"] is None, str(row["valid_to"])))
    return {str(row["la_code"]): str(row["region"]) for row in rows if row["region"]}


@dataclass(frozen=True)
class _Parameter:
    programme: str
    parameter: str
    parameter_value: float


def _small_count(source: Source, programme: str) -> int:
    rows = source.records(_Parameter, "protocol", "parameters", where={"parameter": SMALL_COUNT}).rows
    values = {row.programme: row.parameter_value for row in rows}
    value = values.get(programme, values.get(ANY_PROGRAMME))
    if value is None:
        raise WarehouseError(
            f"protocol.parameters: no row {SMALL_COUNT!r}; restore it in seeds/protocol/parameters.csv and run dbt build."
        )
    return int(value)
