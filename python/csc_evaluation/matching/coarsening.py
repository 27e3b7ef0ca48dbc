"""What the seeds say about the strata: which variables, and which values of each count as alike.

``protocol.matching_strata`` names the variables; ``protocol.coarsening`` gives bands to numeric ones (both ends belong to a
band). Without bands each value is a level of its own. A missing value is a level, and so is one outside every band.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import ibis

from csc_evaluation.errors import SeedError
from csc_evaluation.estimation.protocol import Band, Protocol

if TYPE_CHECKING:
    from ibis.expr.types import IntegerValue, Table, Value

IS_POST = "is_post"
"""The one stratum variable that is no column: it depends on the group's go-live."""
FINANCIAL_YEAR = "financial_year"
MISSING_LEVEL = "missing"
OUTSIDE_BANDS_LEVEL = "outside the bands"
MOST_LEVELS = 1_000
"""A covariate with more different values is refused without bands: hardly two children would be alike."""
MOST_PROFILES = 2**50
"""Combinations of levels that one number can hold; its digits are taken apart by a division of doubles, exact below 2^53."""


@dataclass(frozen=True)
class Variable:
    """A stratum variable and the levels it takes; a level's code is its position in ``levels``."""

    name: str
    levels: tuple[str, ...]
    values: tuple[object, ...] = ()
    """Without bands: the values behind the levels (missing, the last level, has none)."""
    bands: tuple[Band, ...] = ()

    def code(self, column: Value) -> IntegerValue:
        """The code of a column's level."""
        missing = len(self.levels) - 1
        if self.bands:
            return ibis.cases(
                (column.isnull(), missing),
                *(
                    (column.between(band.value_from, band.value_to), number)
                    for number, band in enumerate(self.bands)
                ),
                else_=len(self.bands),
            ).cast("int64")
        if not self.values:
            return ibis.literal(missing).cast("int64")
        choices = [(value, number) for number, value in enumerate(self.values)]
        return column.cases(*choices, else_=missing).cast("int64")


def read_variables(events: Table, protocol: Protocol, names: Sequence[str]) -> tuple[Variable, ...]:
    """The variables of that name with all levels that ``events`` has; one pass over it.

    Raises:
        SeedError: bands of a covariate that marts do not have, that is not numeric or is ``is_post``, two bands of one
            name, or a covariate with too many values and no bands.
    """
    bands = _bands(events, protocol)
    unbanded = [name for name in names if name not in bands]
    found: dict[str, list[object]] = {}
    if unbanded:
        row = events.agg(**{name: events[name].collect(distinct=True) for name in unbanded})
        cells = row.to_pyarrow().to_pylist()[0]
        found = {name: sorted(cells[name] or []) for name in unbanded}
    variables = []
    for name in names:
        if name in bands:
            levels = (*(band.band for band in bands[name]), OUTSIDE_BANDS_LEVEL, MISSING_LEVEL)
            variables.append(Variable(name, levels, bands=bands[name]))
            continue
        values = found[name]
        if len(values) > MOST_LEVELS:
            raise SeedError(
                f"protocol.matching_strata: {name} has {len(values):,} different values; exact matching on them would leave "
                "nobody alike. Give it bands in protocol.coarsening."
            )
        variables.append(
            Variable(name, (*(level_text(value) for value in values), MISSING_LEVEL), tuple(values))
        )
    return tuple(variables)


def _bands(events: Table, protocol: Protocol) -> dict[str, tuple[Band, ...]]:
    bands: dict[str, tuple[Band, ...]] = {}
    for band in protocol.bands:
        bands[band.covariate] = (*bands.get(band.covariate, ()), band)
    for name, mine in bands.items():
        if name == IS_POST:
            raise SeedError(
                f"protocol.coarsening: {IS_POST} takes no bands; it is either before or after go-live."
            )
        if name not in events.columns:
            raise SeedError(
                f"protocol.coarsening: there are bands for {name!r}, but marts.index_events has no such column."
            )
        if not events[name].type().is_numeric():
            raise SeedError(
                f"protocol.coarsening: {name} has bands but is not numeric in marts.index_events; bands are ranges of numbers."
            )
        labels = [band.band for band in mine]
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            raise SeedError(
                f"protocol.coarsening: {name} has more than one band {repeated[0]!r}; each band needs a name of its own."
            )
    return bands


def level_text(value: object) -> str:
    """A value as a level's name: true, false, whole numbers without a point, dates as year-month-day."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    return str(value)


@dataclass(frozen=True)
class Profile:
    """A child's place and levels as one whole number, digits to a mixed base: alike children have the same.

    Grouping and joining on one number is what makes matching fast; text comes back only for the strata.
    """

    sizes: Mapping[str, int]
    """Number of values of each digit, in order."""

    def __post_init__(self) -> None:
        if prod(self.sizes.values()) > MOST_PROFILES:
            raise SeedError(
                f"protocol.matching_strata: {', '.join(self.sizes)} have {prod(self.sizes.values()):.1e} combinations of levels; "
                "no child would find its like. Take fewer covariates, or give them bands in protocol.coarsening."
            )

    def pack(self, codes: Mapping[str, IntegerValue]) -> IntegerValue:
        """The number that holds the codes."""
        packed: IntegerValue | None = None
        for name, size in self.sizes.items():
            packed = codes[name] if packed is None else packed * size + codes[name]
        assert packed is not None  # noqa: S101 - there is always a place
        return packed

    def unpack(self, packed: IntegerValue, name: str) -> IntegerValue:
        """One of the codes that went into the number."""
        names = list(self.sizes)
        base = prod(self.sizes[following] for following in names[names.index(name) + 1 :])
        return (packed // base) % self.sizes[name]
