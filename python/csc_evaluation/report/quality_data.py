"""What the data quality page shows, read from ``marts`` and ``reference`` into frozen records. Nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from csc_evaluation import warehouse as warehouse_module
from csc_evaluation.errors import CscError, SeedError, WarehouseError
from csc_evaluation.report.data import Parameter, Source, read_authority_names

R = TypeVar("R")

EVERY_YEAR = "*"
"""The programme of ``marts.data_quality_authorities`` that takes every landed year."""
BUILD_FIRST = "Run csceval build first."


@dataclass(frozen=True)
class Check:
    """One row of ``reference.data_quality_checks``."""

    check_order: int
    check_name: str
    subject: str
    label: str
    records_label: str
    meaning: str
    consequence: str
    severity: str
    doubt_share_min: float
    doubt_failed_min: int


@dataclass(frozen=True)
class Finding:
    """One row of ``marts.data_quality`` about an authority."""

    la_code: str
    return_year: int
    check_name: str
    n_records: int
    n_failed: int
    is_over_threshold: bool


@dataclass(frozen=True)
class Standing:
    """One row of ``marts.data_quality_authorities``: how an authority stands over the years of a span."""

    programme: str
    la_code: str
    first_year: int
    last_year: int
    n_returns_cin: int
    n_returns_ssda903: int
    n_checks_serious: int
    n_checks_in_doubt: int
    n_checks_noted: int


@dataclass(frozen=True)
class YearCount:
    """One row of ``marts.data_quality_counts``: a count of a year and what it was expected to be."""

    la_code: str
    return_year: int
    kind: str
    n_events: int
    n_events_before: int | None
    n_expected: int | None
    change_in_sd: float | None
    is_jump: bool | None


@dataclass(frozen=True)
class QualityData:
    """Everything on the page.

    Attributes:
        first_year: first return year that any authority has landed.
        last_year: the last one.
        standings: authorities with a return, in no order.
        not_landed: codes of authorities that exist in those years and have no return.
        checks: every check, in the order in which they are shown.
        findings: by authority, check and year, of authorities with a return and years of the span.
        counts: counts that jump.
        is_chosen: whether authorities were asked for by code.
        small_count: counts under it are withheld.
    """

    first_year: int
    last_year: int
    standings: tuple[Standing, ...]
    not_landed: tuple[str, ...]
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    counts: tuple[YearCount, ...]
    authority_names: Mapping[str, str]
    is_chosen: bool
    small_count: int
    jump_sd: float

    @property
    def years(self) -> range:
        """The return years of the page."""
        return range(self.first_year, self.last_year + 1)

    def authority(self, la_code: str) -> str:
        """Name of an authority, or its code where the reference table does not hold it."""
        return self.authority_names.get(la_code, la_code)


def load_quality_data(*, warehouse: Path, authorities: Sequence[str] = ()) -> QualityData:
    """Read what the page shows.

    Args:
        warehouse: the DuckDB file.
        authorities: codes of the authorities to show; all with a return where none is given.

    Raises:
        WarehouseError: the warehouse cannot be opened or is not built.
        SeedError: a number that the page needs is not in the seeds.
        CscError: nothing is landed, or an authority is unknown or has no return.
    """
    with warehouse_module.ibis_readable(warehouse) as backend:
        source = Source(backend, warehouse)
        names = read_authority_names(source)
        checks = _needed(source, Check, "reference", "data_quality_checks")
        every = _needed(
            source, Standing, "marts", "data_quality_authorities", where={"programme": EVERY_YEAR}
        )
        findings = _needed(source, Finding, "marts", "data_quality")
        counts = _needed(source, YearCount, "marts", "data_quality_counts")
        parameters = _needed(source, Parameter, "protocol", "parameters")
    with_returns = [row for row in every if row.n_returns_cin + row.n_returns_ssda903]
    if not with_returns:
        raise CscError(f"{warehouse}: no return of an authority is landed; land some (csceval land PATH...).")
    shown = _chosen(with_returns, authorities, names)
    codes = {row.la_code for row in shown}
    first_year, last_year = shown[0].first_year, shown[0].last_year
    return QualityData(
        first_year=first_year,
        last_year=last_year,
        standings=tuple(shown),
        not_landed=tuple(
            sorted(row.la_code for row in every if not row.n_returns_cin + row.n_returns_ssda903)
        ),
        checks=tuple(sorted(checks, key=lambda check: check.check_order)),
        findings=tuple(
            row for row in findings if row.la_code in codes and first_year <= row.return_year <= last_year
        ),
        counts=tuple(row for row in counts if row.la_code in codes and row.is_jump),
        authority_names=names,
        is_chosen=bool(authorities),
        small_count=int(_parameter(parameters, "report_small_count")),
        jump_sd=_parameter(parameters, "quality_jump_sd"),
    )


def _needed(
    source: Source, record: type[R], layer: str, name: str, where: Mapping[str, str] | None = None
) -> Sequence[R]:
    """Rows of a table without which there is no page."""
    columns = tuple(field.name for field in dataclasses.fields(record))  # type: ignore[arg-type]
    table = source.table(layer, name, columns)
    if isinstance(table, str):
        raise WarehouseError(f"{source.path}: {table} {BUILD_FIRST}")
    return source.records(record, layer, name, where=where).rows


def _chosen(
    with_returns: Sequence[Standing], authorities: Sequence[str], names: Mapping[str, str]
) -> list[Standing]:
    by_code = {row.la_code: row for row in with_returns}
    if not authorities:
        return list(with_returns)
    chosen = []
    for code in dict.fromkeys(authorities):
        if code not in names:
            raise CscError(f"{code!r} is no authority's code; codes have three digits, as 335.")
        if code not in by_code:
            raise CscError(f"{names[code]} ({code}) has no return in this warehouse.")
        chosen.append(by_code[code])
    return chosen


def _parameter(parameters: Sequence[Parameter], name: str) -> float:
    for row in parameters:
        if row.parameter == name and row.programme == EVERY_YEAR:
            return row.parameter_value
    raise SeedError(
        f"protocol.parameters: no row {name!r}; restore it in seeds/protocol/parameters.csv and run csceval build."
    )
