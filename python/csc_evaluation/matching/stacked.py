"""What the checks of the identifying assumptions share: matched children stacked by group, and rows of their results.

A child in several matched groups stands once in each, with that group's weight, beside the comparators or the treated
children of that group. Clusters remain the authorities, whichever groups they stand in.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from csc_evaluation.estimation.inference import Inference, cr2, minimum_detectable_effect
from csc_evaluation.estimation.linear import Array, CompressedSample, LinearFit, weighted_least_squares
from csc_evaluation.estimation.protocol import Parameters
from csc_evaluation.estimation.sample import OUTCOME_DECIMALS
from csc_evaluation.matching.authorities import AuthorityMatching
from csc_evaluation.matching.cem import KEY, ChildMatching
from csc_evaluation.matching.evidence import COMPUTED, NOT_COMPUTABLE

if TYPE_CHECKING:
    from ibis.expr.types import Table, Value

TOO_FEW_TREATED = "too few treated"
TOO_FEW_COMPARATORS = "too few comparators"
REFUSED = "refused"

NOISE_SHARE = 1e-10
"""A standard error below this share of the largest mean outcome is rounding, not variation."""
ARM_MIN = 2
"""Authorities of an arm below which nothing shows how an authority moves on its own, so that no error can be measured."""
ROUGH_DF = 4.0
"""Below these degrees of freedom Satterthwaite's approximation is rough (Tipton 2015, Psychological Methods 20: 375-393)."""
CELL = ["match_group", "la_code", "is_treated_authority", "term", "group_weight"]


@dataclass(frozen=True)
class CheckRow:
    """One row of ``results.assumption_checks``; numbers are ``None`` where there is none."""

    outcome: str
    assumption: str
    check_name: str
    term: str
    status: str
    note: str
    estimate: float | None = None
    std_error: float | None = None
    statistic: float | None = None
    df_numerator: float | None = None
    df: float | None = None
    p_value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n_restrictions: int | None = None
    n_observations: int | None = None
    n_clusters: int | None = None
    n_treated_clusters: int | None = None
    inference: str | None = None


@dataclass(frozen=True)
class Group:
    """A matched group and the two dates that part its index events."""

    match_group: str
    treated_la_code: str
    members: frozenset[str]
    cut_off: dt.date
    """First day after the last full quarter of the matching window: index events before it are untouched."""
    go_live: dt.date


def groups_of(authorities: AuthorityMatching, outcome: str) -> tuple[Group, ...]:
    """The matched groups of one outcome, with their cut-offs, in order of name."""
    ends = {
        window.site.la_code: window.end
        for window in authorities.windows
        if window.outcome == outcome and window.quarters
    }
    matches = authorities.matches_of(outcome)
    groups = []
    for name in sorted({match.match_group for match in matches}):
        mine = [match for match in matches if match.match_group == name]
        treated = mine[0].treated_la_code
        groups.append(
            Group(
                match_group=name,
                treated_la_code=treated,
                members=frozenset({treated, *(match.comparator_la_code for match in mine)}),
                cut_off=ends[treated],
                go_live=mine[0].go_live_date,
            )
        )
    return tuple(groups)


def outcome_values(children: ChildMatching) -> Table:
    """Outcomes of the sample: ``child_id, sequence, la_code, index_date, term, outcome_value``, one row per term."""
    return children.sample.select(*KEY, "la_code", "index_date").inner_join(children.values, KEY)


def stacked_rows(children: ChildMatching) -> Table:
    """One row per matched group, matched child and term: its authority, arm, index date, outcome and group weight."""
    weights = children.group_weights.select("match_group", *KEY, "is_treated_authority", "group_weight")
    rows = weights.inner_join(outcome_values(children), KEY)
    return rows.filter(rows.outcome_value.notnull())


def cells_of(rows: Table, **by: Value) -> pd.DataFrame:
    """Rows alike in group, authority, term, weight and ``by``: ``n_rows``, ``sum_y``, last index date; in order of keys."""
    keyed = rows.mutate(**by)
    keys = [*CELL, *by]
    cells = keyed.group_by(keys).agg(
        n_rows=keyed.count(),
        sum_y=keyed.outcome_value.cast(OUTCOME_DECIMALS).sum().cast("float64"),
        last_index_date=keyed.index_date.max(),
    )
    return cells.order_by(keys).to_pandas()


def authority_effects(cells: pd.DataFrame) -> dict[str, Array]:
    """A dummy for every authority of every group (no intercept beside them), and for every school term but the first."""
    columns = {
        f"group={group}, la_code={code}": _indicator((cells.match_group == group) & (cells.la_code == code))
        for group, code in sorted(set(zip(cells.match_group, cells.la_code, strict=True)))
    }
    for term in sorted(set(cells.term))[1:]:
        columns[f"term={term}"] = _indicator(cells.term == term)
    return columns


def fit_cells(cells: pd.DataFrame, columns: dict[str, Array], terms: Sequence[str]) -> LinearFit:
    """Weighted least squares on cells, clustered by authority; ``terms`` are the columns in question.

    Raises:
        NotIdentifiedError: a term is a combination of the other columns.
    """
    clusters = tuple(sorted(set(cells.la_code)))
    sample = CompressedSample(
        columns=tuple(columns),
        x=np.column_stack(list(columns.values())),
        weight=cells.group_weight.to_numpy(float),
        n_rows=cells.n_rows.to_numpy(np.int64),
        sum_y=cells.sum_y.to_numpy(float),
        cluster=cells.la_code.map({code: number for number, code in enumerate(clusters)}).to_numpy(np.int64),
        cluster_names=clusters,
    )
    return weighted_least_squares(sample, required=terms)


def coefficient_row(
    row: CheckRow,
    fit: LinearFit,
    column: str,
    parameters: Parameters,
    *,
    outcome_scale: float,
    n_treated_clusters: int,
    when_found: str,
    when_not_found: str,
    n_comparators: int | None = None,
    unit: str = "in the outcome's own unit",
) -> CheckRow:
    """Fill a row with the CR2 test of one column, and say in its note what the number means for the conclusion.

    Args:
        row: outcome, assumption, check, term and the note so far (who takes part), which ends the note.
        fit: the regression.
        column: its column of the fit.
        parameters: levels, and how many treated clusters a p-value needs.
        outcome_scale: the size of the outcome, against which a standard error counts as rounding.
        n_treated_clusters: treated authorities that the coefficient rests on.
        when_found: what follows where the p-value is below the significance level.
        when_not_found: what follows where it is not; ``{smallest}`` is the smallest true value found with the power
            of the protocol.
        n_comparators: authorities the treated are compared with, where that decides whether there is an error: what one
            alone does for its own reasons is in every group's difference, and in no residual.
        unit: of the number said in ``{smallest}``; the outcome's own is a share where the outcome is yes or no.
    """
    found: Inference = cr2(fit, column, confidence_level=parameters.confidence_level)
    counts: dict[str, Any] = {
        "n_observations": fit.n_rows,
        "n_clusters": len(fit.clusters),
        "n_treated_clusters": n_treated_clusters,
    }
    if not (found.std_error > NOISE_SHARE * outcome_scale and math.isfinite(found.df)):
        reason = "The outcome leaves no variation between authorities from which an error could be measured."
        return replace(row, **counts, status=NOT_COMPUTABLE, note=sentences(reason, row.note))
    row = replace(row, estimate=found.estimate, **counts)
    if (
        n_comparators is not None
        and n_comparators < ARM_MIN
        and n_treated_clusters >= parameters.treated_clusters_min
    ):
        reason = (
            "All groups share one comparator: what it did for reasons of its own is in the estimate and cannot be measured, so "
            "there is no error and no p-value."
        )
        return replace(row, status=TOO_FEW_COMPARATORS, note=sentences(reason, row.note))
    row = replace(
        row, std_error=found.std_error, statistic=found.statistic, df=found.df, inference=found.method
    )
    if n_treated_clusters < parameters.treated_clusters_min:
        reason = (
            f"Only {counted(n_treated_clusters, 'treated authority', 'treated authorities')} to judge by: no p-value, "
            "since none could be relied on; look at the size of the estimate and at each pair."
        )
        return replace(row, status=TOO_FEW_TREATED, note=sentences(reason, row.note))
    smallest = minimum_detectable_effect(
        found.std_error, found.df, significance_level=parameters.significance_level, power=parameters.power
    )
    is_found = found.p_value < parameters.significance_level
    meaning = when_found if is_found else when_not_found.format(smallest=f"{smallest:.2g} {unit}")
    return replace(
        row,
        p_value=found.p_value,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        status=COMPUTED,
        note=sentences(meaning, roughness(found.df), row.note),
    )


def roughness(df: float) -> str:
    """A sentence for a p-value on few degrees of freedom; empty where they suffice."""
    return f"With {df:.1f} degrees of freedom the p-value is rough." if df < ROUGH_DF else ""


def outcome_scale(cells: pd.DataFrame) -> float:
    """The largest mean outcome of a cell, in absolute value."""
    return float((cells.sum_y / cells.n_rows).abs().max())


def as_frame(rows: Iterable[CheckRow], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a frame with these columns, empty numbers as null."""
    frame = pd.DataFrame([asdict(row) for row in rows], columns=list(columns))
    whole = [name for name in columns if name.startswith("n_")]
    numbers = ["estimate", "std_error", "statistic", "df_numerator", "df", "p_value", "ci_low", "ci_high"]
    words = [name for name in columns if name not in (*whole, *numbers)]
    return frame.astype({name: "Int64" for name in whole} | {name: "float64" for name in numbers}).astype(
        {name: "string" for name in words}
    )


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "group", "groups"), counted(0, "group", "groups")
        ('1 group', '0 groups')
    """
    return f"{number} {one if number == 1 else many}"


def _indicator(condition: pd.Series) -> Array:
    return condition.to_numpy(bool).astype(np.float64)


def sentences(*parts: str) -> str:
    """The parts that are not empty, one after the other."""
    return " ".join(part for part in parts if part)
