"""The matched sample of a regression, compressed in SQL: children alike in everything the regression sees are one cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.linear import Array, CompressedSample
from csc_evaluation.estimation.protocol import Outcome, Protocol, Specification
from csc_evaluation.matching.cem import KEY, MISSING_LEVEL, ChildMatching

if TYPE_CHECKING:
    from ibis.expr.types import Table

TREATED = "treated"
INTERCEPT = "intercept"
TERM = "term"
OUTCOME_DECIMALS = "decimal(18, 9)"
"""Outcomes are summed as decimals of nine places, so that the sum does not depend on the order of the rows."""


@dataclass(frozen=True)
class RegressionSample:
    """Cells of the matched children and the regressors built from them.

    ``cells`` has one row per cell: ``la_code``, the regressors as marts give them, ``weight``, ``n_rows``, ``sum_y``.
    """

    compressed: CompressedSample
    cells: pd.DataFrame
    n_children: int
    """Distinct children and index events in the regression; an outcome by school term has a row per term of each."""
    covariates: tuple[str, ...]
    reference_levels: dict[str, str]
    """For each categorical regressor the level without a dummy."""

    @property
    def treated_clusters(self) -> tuple[str, ...]:
        """Authorities with at least one child whose index event falls after go-live."""
        return tuple(sorted(self.cells.loc[self.cells.is_treated, "la_code"].unique()))


def regression_sample(
    protocol: Protocol, outcome: Outcome, matching: ChildMatching, specification: Specification
) -> RegressionSample:
    """Compress the matched children of an outcome and build the regressors of a specification.

    Regressors: an intercept, a dummy per authority and per level of the other fixed effects (all but the first; for an
    outcome by school term the term is one), child and authority covariates, and ``treated`` (the child's authority was live
    on the index date). Categorical covariates: dummies for all levels but the first in alphabetical order, missing a level
    of its own. Numeric covariates: as they are, missing as zero beside a dummy for missing.

    Raises:
        CscError: a numeric covariate holds text.
    """
    left_out = set(matching.missing_dropped)
    covariates = [row for row in protocol.covariates_of(outcome.outcome) if row.covariate not in left_out]
    effects = [name for name in specification.fixed_effects if name != "la_code"]
    names = [row.covariate for row in covariates]
    n_children, is_by_term = _extent(matching)
    if is_by_term:
        effects = list(dict.fromkeys([*effects, TERM]))
    cells = _cells(matching, list(dict.fromkeys([*effects, *names])))

    columns: dict[str, Array] = {INTERCEPT: np.ones(len(cells))}
    reference: dict[str, str] = {}
    for name in ["la_code", *effects]:
        _add_dummies(columns, reference, name, cells[name])
    for row in covariates:
        if row.kind == "numeric":
            _add_numeric(columns, row.covariate, cells[row.covariate])
        else:
            _add_dummies(columns, reference, row.covariate, cells[row.covariate])
    columns[TREATED] = np.asarray(cells.is_treated, dtype=np.float64)

    clusters = tuple(sorted(cells.la_code.unique()))
    number = {code: position for position, code in enumerate(clusters)}
    compressed = CompressedSample(
        columns=tuple(columns),
        x=np.column_stack(list(columns.values())),
        weight=cells.weight.to_numpy(float),
        n_rows=cells.n_rows.to_numpy(np.int64),
        sum_y=cells.sum_y.to_numpy(float),
        cluster=cells.la_code.map(number).to_numpy(np.int64),
        cluster_names=clusters,
    )
    return RegressionSample(compressed, cells, n_children, tuple(names), reference)


def _extent(matching: ChildMatching) -> tuple[int, bool]:
    """How many children and index events are matched, and whether their outcome is by school term."""
    n_children = int(matching.weights.count().execute())
    last_term = matching.values.term.max().execute()
    return n_children, bool(last_term)


def _cells(matching: ChildMatching, regressors: list[str]) -> pd.DataFrame:
    weights = matching.weights.select(*KEY, "weight")
    rows: Table = matching.sample.inner_join(weights, KEY).inner_join(matching.values, KEY)
    keys = ["la_code", *regressors, "is_treated_authority", "is_treated", "weight"]
    cells = rows.group_by(keys).agg(
        n_rows=rows.count(), sum_y=rows.outcome_value.cast(OUTCOME_DECIMALS).sum().cast("float64")
    )
    return cells.order_by(keys).to_pandas()


def _add_dummies(columns: dict[str, Array], reference: dict[str, str], name: str, values: pd.Series) -> None:
    text = values.map(_level_text)
    present = set(text)
    levels = [*sorted(present - {MISSING_LEVEL}), *sorted(present & {MISSING_LEVEL})]
    reference[name] = levels[0]
    for level in levels[1:]:
        columns[f"{name}={level}"] = np.asarray(text == level, dtype=np.float64)


def _level_text(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return MISSING_LEVEL
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _add_numeric(columns: dict[str, Array], name: str, values: pd.Series) -> None:
    try:
        numbers = values.astype("Float64")
    except (TypeError, ValueError):
        raise CscError(
            f"marts.index_events: {name} holds text, but protocol.regression_covariates calls it numeric."
        ) from None
    missing = np.asarray(numbers.isna(), dtype=np.float64)
    columns[name] = np.asarray(numbers.fillna(0.0), dtype=np.float64)
    if missing.any():
        columns[f"{name}={MISSING_LEVEL}"] = missing
