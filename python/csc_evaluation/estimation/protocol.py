"""What the protocol says about one programme, read from the seed tables of the warehouse.

Numbers of the protocol live in ``seeds/protocol``; ``dbt seed`` loads them into the schema ``protocol``. Nothing in
matching or estimation states such a number itself: it asks a :class:`Protocol`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from csc_evaluation.errors import SeedError, WarehouseError

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

SCHEMA = "protocol"
ANY_PROGRAMME = "*"
ALL_AUTHORITIES = "*"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Programme:
    """One row of ``protocol.programmes``; dates are inclusive at both ends."""

    programme: str
    programme_name: str
    data_span_start: dt.date
    data_span_end: dt.date
    trial_start: dt.date
    trial_end: dt.date
    primary_outcome: str | None
    """The one that ends in the headline; ``None`` where the programme names none."""


@dataclass(frozen=True)
class Site:
    """A treated authority of the programme and when it went live; embedding dates are inclusive."""

    la_code: str
    roll_out_order: int
    go_live_date: dt.date
    embedding_start: dt.date | None
    is_assumed: bool
    embedding_end: dt.date | None = None


@dataclass(frozen=True)
class Exclusion:
    """An authority that may not be a comparator, always (no dates) or between two dates (inclusive)."""

    la_code: str
    reason: str
    excluded_from: dt.date | None
    excluded_to: dt.date | None


@dataclass(frozen=True)
class Outcome:
    """An outcome to evaluate; ``follow_up_months`` is its whole follow-up after the index date."""

    outcome: str
    outcome_label: str
    role: str
    kind: str
    direction: str
    index_event: str
    follow_up_months: int
    is_registered: bool


@dataclass(frozen=True)
class Specification:
    """An estimator with its weights, fixed effects and the inference its headline uses."""

    specification: str
    match_variant: str
    estimator: str
    weights: str
    fixed_effects: tuple[str, ...]
    headline_inference: str
    is_headline: bool
    is_registered: bool


@dataclass(frozen=True)
class MatchVariant:
    """A way of choosing comparators; ``n_comparators`` is ``None`` for those of the main match."""

    match_variant: str
    match_variant_label: str
    n_comparators: int | None
    distance_on: str
    comparator_weights: str
    is_leave_one_out: bool
    is_registered: bool


@dataclass(frozen=True)
class Shock:
    """An event in one authority, or in all (``la_code`` is ``None``), from a first to a last day (``None``: still on)."""

    shock: str
    shock_label: str
    kind: str
    la_code: str | None
    starts_on: dt.date
    ends_on: dt.date | None
    is_assumed: bool


@dataclass(frozen=True)
class ShockOutcome:
    """A measure of ``marts.la_quarter_rates`` that should react to a shock but not to the programmes."""

    shock: str
    measure: str
    expected: str
    reason: str


@dataclass(frozen=True)
class Covariate:
    """A regression covariate of an outcome: a column of ``marts.index_events`` and how it enters."""

    outcome: str
    covariate: str
    level: str
    kind: str


@dataclass(frozen=True)
class Stratum:
    """A variable of the strata of coarsened exact matching, in order of position."""

    covariate: str
    is_dropped_first: bool


@dataclass(frozen=True)
class Band:
    """A band of a numeric matching variable, inclusive at both ends."""

    covariate: str
    band: str
    value_from: float
    value_to: float


@dataclass(frozen=True)
class Review:
    """A reviewer's verdict on one pair of authorities; all three verdicts must hold to accept."""

    outcome: str
    treated_la_code: str
    comparator_la_code: str
    trend: bool
    placebo: bool
    shocks: bool
    is_accepted: bool
    candidates_hash: str | None


@dataclass(frozen=True)
class Parameters:
    """Thresholds of the protocol; a row for the programme itself overrides the row for ``*``."""

    matching_quarters: int
    matching_quarters_min: int
    matching_candidates_kept: int
    matching_n_min: int
    placebo_quarters_first: int
    placebo_quarters_second: int
    placebo_quarters_min: int
    lead_years_max: int
    review_unusual_share: float
    review_placebos_min: int
    cem_treated_loss_share_max: float
    fine_cells_plans_max: int
    missing_covariate_share_max: float
    linear_baseline_min: float
    linear_baseline_max: float
    significance_level: float
    confidence_level: float
    power: float
    treated_clusters_min: int


@dataclass(frozen=True)
class Protocol:
    """Everything matching and estimation need to know about one programme."""

    programme: Programme
    sites: tuple[Site, ...]
    exclusions: tuple[Exclusion, ...]
    outcomes: tuple[Outcome, ...]
    """Every outcome with status ``evaluated``: matching covers them all."""
    specifications: tuple[Specification, ...]
    match_variants: tuple[MatchVariant, ...]
    """Those that a specification of the programme names, in the order of the seed."""
    shocks: tuple[Shock, ...]
    shock_outcomes: tuple[ShockOutcome, ...]
    covariates: tuple[Covariate, ...]
    strata: tuple[Stratum, ...]
    bands: tuple[Band, ...]
    reviews: tuple[Review, ...]
    parameters: Parameters
    seeds_hash: str
    """SHA-256 over every protocol seed table as the warehouse holds it (what this run used)."""

    @property
    def specification(self) -> Specification:
        """The specification of the headline."""
        return next(row for row in self.specifications if row.is_headline)

    @property
    def estimated_outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes that estimation covers: the primary one, until the estimators that suit the others are here.

        Raises:
            SeedError: the programme names no primary outcome.
        """
        primary = self.programme.primary_outcome
        if primary is None:
            raise SeedError(
                f"protocol.programmes: {self.programme.programme} has no primary outcome, and estimation covers primary "
                "outcomes only so far. csceval match matches all of its outcomes; they are in marts.trial_outcomes "
                "and marts.la_quarter_outcomes."
            )
        return (self.outcome(primary),)

    def match_variant(self, name: str) -> MatchVariant:
        """The way of choosing comparators of that name."""
        return next(row for row in self.match_variants if row.match_variant == name)

    def shocks_of(self, la_code: str) -> tuple[Shock, ...]:
        """Shocks of one authority: its own and those of all."""
        return tuple(row for row in self.shocks if row.la_code in (None, la_code))

    def covariates_of(self, outcome: str) -> tuple[Covariate, ...]:
        """Regression covariates of an outcome, in the order of the seed."""
        return tuple(row for row in self.covariates if row.outcome == outcome)

    def outcome(self, name: str) -> Outcome:
        """The evaluated outcome of that name.

        Raises:
            SeedError: the programme does not evaluate it.
        """
        for row in self.outcomes:
            if row.outcome == name:
                return row
        raise SeedError(f"protocol.outcomes: {self.programme.programme} does not evaluate {name!r}.")


def read_protocol(backend: Backend, programme: str) -> Protocol:
    """Read and check the seed tables for one programme.

    Args:
        backend: a connection to a warehouse in which ``dbt build`` has loaded the seeds.
        programme: code of the programme, for example ``family_safeguarding``.

    Raises:
        WarehouseError: the schema ``protocol`` or one of its tables is not there.
        SeedError: a row is missing or cannot be used; the message names table, row and rule.
    """
    tables = _SeedTables(backend)
    known = sorted({str(row["programme"]) for row in tables.rows("programmes")})
    if programme not in known:
        raise SeedError(
            f"protocol.programmes: no programme {programme!r}; there is {', '.join(known) or 'none'}."
        )
    reader = _ProgrammeReader(tables, programme)
    return Protocol(
        programme=reader.programme_row(),
        sites=reader.sites(),
        exclusions=reader.exclusions(),
        outcomes=reader.outcomes(),
        specifications=reader.specifications(),
        match_variants=reader.match_variants(),
        shocks=reader.shocks(),
        shock_outcomes=reader.shock_outcomes(),
        covariates=reader.covariates(),
        strata=reader.strata(),
        bands=reader.bands(),
        reviews=reader.reviews(),
        parameters=reader.parameters(),
        seeds_hash=tables.content_hash(),
    )


class _SeedTables:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        if SCHEMA not in backend.list_databases():
            raise WarehouseError(
                "the warehouse holds no protocol seeds (schema protocol); run dbt build first, then try again."
            )
        self._names = sorted(backend.list_tables(database=SCHEMA))
        self._read: dict[str, list[dict[str, Any]]] = {}

    def rows(self, table: str) -> list[dict[str, Any]]:
        if table not in self._names:
            raise WarehouseError(
                f"the warehouse has no table protocol.{table}; run dbt build first, then try again."
            )
        if table not in self._read:
            self._read[table] = self._backend.table(table, database=SCHEMA).to_pyarrow().to_pylist()
        return self._read[table]

    def content_hash(self) -> str:
        digest = hashlib.sha256()
        for name in self._names:
            lines = sorted(
                repr(sorted((key, str(cell)) for key, cell in row.items())) for row in self.rows(name)
            )
            digest.update("\n".join([name, *lines, ""]).encode())
        return digest.hexdigest()


class _ProgrammeReader:
    def __init__(self, tables: _SeedTables, programme: str) -> None:
        self._tables = tables
        self._programme = programme

    def _rows(self, table: str) -> Iterator[_Cells]:
        for number, row in enumerate(self._tables.rows(table), start=1):
            if row.get("programme") == self._programme:
                yield _Cells(table, number, row)

    def programme_row(self) -> Programme:
        rows = list(self._rows("programmes"))
        if len(rows) != 1:
            raise SeedError(
                f"protocol.programmes: {self._programme} has {len(rows)} rows; there must be one."
            )
        (row,) = rows
        return Programme(
            programme=self._programme,
            programme_name=row.text("programme_name"),
            data_span_start=row.date("data_span_start"),
            data_span_end=row.date("data_span_end"),
            trial_start=row.date("trial_start"),
            trial_end=row.date("trial_end"),
            primary_outcome=row.text_or_none("primary_outcome"),
        )

    def sites(self) -> tuple[Site, ...]:
        sites = [
            Site(
                la_code=row.text("la_code"),
                roll_out_order=int(row.number("roll_out_order")),
                go_live_date=row.date("go_live_date"),
                embedding_start=row.date_or_none("embedding_start"),
                embedding_end=row.date_or_none("embedding_end"),
                is_assumed=row.flag("is_assumed"),
            )
            for row in self._rows("sites")
        ]
        if not sites:
            raise SeedError(f"protocol.sites: {self._programme} has no authority; add a row for each.")
        _refuse_repeats("sites", [site.la_code for site in sites])
        return tuple(sorted(sites, key=lambda site: (site.roll_out_order, site.la_code)))

    def exclusions(self) -> tuple[Exclusion, ...]:
        return tuple(
            Exclusion(
                la_code=row.text("la_code"),
                reason=row.text("reason"),
                excluded_from=row.date_or_none("excluded_from"),
                excluded_to=row.date_or_none("excluded_to"),
            )
            for row in self._rows("exclusions")
        )

    def outcomes(self) -> tuple[Outcome, ...]:
        outcomes = [
            Outcome(
                outcome=row.text("outcome"),
                outcome_label=row.text("outcome_label"),
                role=row.text("role"),
                kind=row.text("kind"),
                direction=row.text("direction"),
                index_event=row.text("index_event"),
                follow_up_months=int(row.number("follow_up_months")),
                is_registered=row.flag("is_registered"),
            )
            for row in self._rows("outcomes")
            if row.text("status") == "evaluated"
        ]
        _refuse_repeats("outcomes", [row.outcome for row in outcomes])
        primary = self.programme_row().primary_outcome
        if not outcomes:
            raise SeedError(f"protocol.outcomes: {self._programme} has no outcome with status 'evaluated'.")
        if primary is not None and primary not in [row.outcome for row in outcomes]:
            raise SeedError(
                f"protocol.programmes: primary_outcome {primary!r} of {self._programme} "
                "is no row of protocol.outcomes with status 'evaluated'."
            )
        return tuple(outcomes)

    def specifications(self) -> tuple[Specification, ...]:
        specifications = []
        for row in self._rows("specifications"):
            row.must_be("estimator", ("weighted_least_squares",))
            row.must_be("weights", ("cem",))
            row.must_be("headline_inference", ("cr1_t", "cr2_satterthwaite"))
            row.must_be(
                "match_variant",
                tuple(str(way["match_variant"]) for way in self._tables.rows("match_variants")),
            )
            specification = Specification(
                specification=row.text("specification"),
                match_variant=row.text("match_variant"),
                estimator=row.text("estimator"),
                weights=row.text("weights"),
                fixed_effects=tuple(row.text("fixed_effects").split("|")),
                headline_inference=row.text("headline_inference"),
                is_headline=row.flag("is_headline"),
                is_registered=row.flag("is_registered"),
            )
            if "la_code" not in specification.fixed_effects:
                raise SeedError(
                    "protocol.specifications: fixed_effects must hold la_code, the authority (clusters are authorities)."
                )
            specifications.append(specification)
        _refuse_repeats("specifications", [row.specification for row in specifications])
        headlines = [row for row in specifications if row.is_headline]
        if len(headlines) != 1:
            raise SeedError(
                f"protocol.specifications: {self._programme} has {len(headlines)} rows with is_headline; there must be one."
            )
        return tuple(specifications)

    def match_variants(self) -> tuple[MatchVariant, ...]:
        named = {row.match_variant for row in self.specifications()}
        variants = []
        for number, cells in enumerate(self._tables.rows("match_variants"), start=1):
            row = _Cells("match_variants", number, cells)
            if row.text("match_variant") not in named:
                continue
            row.must_be("distance_on", ("changes", "levels", "both"))
            row.must_be("comparator_weights", ("equal", "synthetic_control"))
            variants.append(
                MatchVariant(
                    match_variant=row.text("match_variant"),
                    match_variant_label=row.text("match_variant_label"),
                    n_comparators=int(row.number("n_comparators"))
                    if row.text_or_none("n_comparators")
                    else None,
                    distance_on=row.text("distance_on"),
                    comparator_weights=row.text("comparator_weights"),
                    is_leave_one_out=row.flag("is_leave_one_out"),
                    is_registered=row.flag("is_registered"),
                )
            )
        _refuse_repeats("match_variants", [row.match_variant for row in variants])
        return tuple(variants)

    def shocks(self) -> tuple[Shock, ...]:
        shocks = []
        for number, cells in enumerate(self._tables.rows("shocks"), start=1):
            row = _Cells("shocks", number, cells)
            la_code = row.text("la_code")
            shocks.append(
                Shock(
                    shock=row.text("shock"),
                    shock_label=row.text("shock_label"),
                    kind=row.text("kind"),
                    la_code=None if la_code == ALL_AUTHORITIES else la_code,
                    starts_on=row.date("starts_on"),
                    ends_on=row.date_or_none("ends_on"),
                    is_assumed=row.flag("is_assumed"),
                )
            )
        return tuple(sorted(shocks, key=lambda row: (row.starts_on, row.shock, row.la_code or "")))

    def shock_outcomes(self) -> tuple[ShockOutcome, ...]:
        rows = (
            _Cells("shock_outcomes", n, row)
            for n, row in enumerate(self._tables.rows("shock_outcomes"), start=1)
        )
        return tuple(
            ShockOutcome(row.text("shock"), row.text("measure"), row.text("expected"), row.text("reason"))
            for row in rows
        )

    def covariates(self) -> tuple[Covariate, ...]:
        covariates = []
        for row in self._rows("regression_covariates"):
            row.must_be("kind", ("categorical", "numeric"))
            covariates.append(
                Covariate(
                    outcome=row.text("outcome"),
                    covariate=row.text("covariate"),
                    level=row.text("level"),
                    kind=row.text("kind"),
                )
            )
        _refuse_repeats("regression_covariates", [f"{row.outcome}, {row.covariate}" for row in covariates])
        return tuple(covariates)

    def strata(self) -> tuple[Stratum, ...]:
        rows = sorted(self._rows("matching_strata"), key=lambda row: row.number("position"))
        if not rows:
            raise SeedError(f"protocol.matching_strata: {self._programme} has no row; name at least is_post.")
        strata = [Stratum(row.text("covariate"), row.flag("is_dropped_first")) for row in rows]
        _refuse_repeats("matching_strata", [row.covariate for row in strata])
        return tuple(strata)

    def bands(self) -> tuple[Band, ...]:
        bands = []
        for row in self._rows("coarsening"):
            band = Band(
                row.text("covariate"),
                row.text("band"),
                float(row.number("value_from")),
                float(row.number("value_to")),
            )
            if band.value_from > band.value_to:
                raise SeedError(f"{row.place}: value_from is above value_to.")
            bands.append(band)
        bands.sort(key=lambda band: (band.covariate, band.value_from))
        for lower, upper in itertools.pairwise(bands):
            if lower.covariate == upper.covariate and lower.value_to >= upper.value_from:
                raise SeedError(
                    f"protocol.coarsening: bands {lower.band} and {upper.band} of {lower.covariate} overlap; "
                    "both ends belong to a band."
                )
        return tuple(bands)

    def reviews(self) -> tuple[Review, ...]:
        reviews = []
        for row in self._rows("match_reviews"):
            row.must_be("decision", ("accepted", "rejected"))
            review = Review(
                outcome=row.text("outcome"),
                treated_la_code=row.text("treated_la_code"),
                comparator_la_code=row.text("comparator_la_code"),
                trend=row.flag("trend"),
                placebo=row.flag("placebo"),
                shocks=row.flag("shocks"),
                is_accepted=row.text("decision") == "accepted",
                candidates_hash=row.text_or_none("candidates_hash"),
            )
            if review.is_accepted and not (review.trend and review.placebo and review.shocks):
                raise SeedError(
                    f"{row.place}: {review.comparator_la_code} is accepted for {review.treated_la_code}, "
                    "yet trend, placebo and shocks do not all hold; a comparator is accepted only if all three do."
                )
            reviews.append(review)
        _refuse_repeats(
            "match_reviews",
            [f"{row.outcome}, {row.treated_la_code}, {row.comparator_la_code}" for row in reviews],
        )
        return tuple(reviews)

    def parameters(self) -> Parameters:
        values: dict[str, Decimal] = {}
        for wanted in (ANY_PROGRAMME, self._programme):
            for number, row in enumerate(self._tables.rows("parameters"), start=1):
                if row.get("programme") == wanted:
                    cells = _Cells("parameters", number, row)
                    values[cells.text("parameter")] = cells.number("parameter_value")
        numbers: dict[str, int | float] = {}
        for field in fields(Parameters):
            if field.name not in values:
                raise SeedError(
                    f"protocol.parameters: no row for {field.name} (programme {self._programme} or *)."
                )
            value = values[field.name]
            if field.type == "int" and value != int(value):
                raise SeedError(
                    f"protocol.parameters: {field.name} is {value}; a whole number would be right."
                )
            numbers[field.name] = int(value) if field.type == "int" else float(value)
        return Parameters(**numbers)  # type: ignore[arg-type]


class _Cells:
    """One seed row; its accessors convert and complain by table, row and column."""

    def __init__(self, table: str, number: int, row: Row) -> None:
        self._row = row
        self.place = f"protocol.{table}, row {number}"

    def text_or_none(self, column: str) -> str | None:
        if column not in self._row:
            raise SeedError(f"{self.place}: there is no column {column}.")
        cell = self._row[column]
        text = "" if cell is None else str(cell).strip()
        return text or None

    def text(self, column: str) -> str:
        text = self.text_or_none(column)
        if text is None:
            raise SeedError(f"{self.place}: {column} is empty.")
        return text

    def must_be(self, column: str, choices: tuple[str, ...]) -> None:
        text = self.text(column)
        if text not in choices:
            raise SeedError(f"{self.place}: {column} is {text!r}; what is available: {', '.join(choices)}.")

    def flag(self, column: str) -> bool:
        text = self.text(column).lower()
        if text not in ("true", "false"):
            raise SeedError(f"{self.place}: {column} is {text!r}; true or false would be right.")
        return text == "true"

    def number(self, column: str) -> Decimal:
        text = self.text(column)
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise SeedError(f"{self.place}: {column} is {text!r}, not a number.") from None
        if not number.is_finite():
            raise SeedError(f"{self.place}: {column} is {text!r}, not a number.")
        return number

    def date_or_none(self, column: str) -> dt.date | None:
        text = self.text_or_none(column)
        if text is None:
            return None
        try:
            return dt.date.fromisoformat(text[:10])
        except ValueError:
            raise SeedError(
                f"{self.place}: {column} is {text!r}; a date like 2020-09-01 would be right."
            ) from None

    def date(self, column: str) -> dt.date:
        self.text(column)
        date = self.date_or_none(column)
        assert date is not None  # noqa: S101 - text() has refused an empty cell
        return date


def _refuse_repeats(table: str, keys: list[str]) -> None:
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        raise SeedError(f"protocol.{table}: more than one row for {repeated[0]}; keep one.")
