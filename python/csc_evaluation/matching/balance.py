"""How alike the arms are before and after matching: rows of ``results.balance``.

*Before* counts every child of the sample once; *after* uses its weight over all groups. Three measures:

* ``l1_imbalance``: half the sum over cells of the absolute difference between the arms' shares, on the matching cells
  (group and stratum; 0 after, a check) and on fine cells. Source: Iacus, King and Porro (2011), Journal of the American
  Statistical Association 106: 345-361, equation 3.
* ``share_of_cells_with_both_arms``: local common support, of the cells with anyone in them.
* ``standardised_mean_difference``: treated minus comparator over the treated arm's standard deviation before matching,
  the same divisor before and after, for every covariate of strata or regression. A covariate that leaves both because it
  is too often missing is shown all the same: its missing level is where the arms may differ.

Children are counted, their weights added up as decimals, and doubles only added up by ``fsum``, which is exact: no sum
depends on the order of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import fsum, nan, sqrt
from typing import TYPE_CHECKING

import ibis
import pandas as pd

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.protocol import Outcome, Protocol
from csc_evaluation.matching.coarsening import MISSING_LEVEL
from csc_evaluation.matching.sample import Sample, stratum_covariates
from csc_evaluation.matching.strata import Strata

if TYPE_CHECKING:
    from ibis.expr.types import Table

Row = tuple[object, ...]
Pair = tuple[float, float]

BALANCE_COLUMNS = [
    "covariate",
    "level",
    "measure",
    "treated_before",
    "control_before",
    "value_before",
    "treated_after",
    "control_after",
    "value_after",
]
SUMS = ["treated_before", "control_before", "treated_after", "control_after"]
L1_DECIMALS = 14
"""Weights carry 16 digits, so that an imbalance below this is none: on matching cells it is 0 after matching."""


def balance_frame(protocol: Protocol, outcome: Outcome, sample: Sample, strata: Strata) -> pd.DataFrame:
    """Imbalance and common support on matching cells and fine cells, then standardised differences by covariate."""
    kinds = _kinds(protocol, outcome)
    weighted = _weighted(sample, strata, kinds)
    matching_cells = strata.cells.rename(
        columns={"n_treated": "treated_before", "n_control": "control_before"}
    )
    fine_cells = _sums(
        weighted, _fine_cell_columns(weighted, protocol.parameters.fine_cells_plans_max)
    ).to_pandas()
    rows = [
        *_cell_rows("matching cells", matching_cells[SUMS]),
        *_cell_rows("fine cells", fine_cells[SUMS]),
        *_difference_rows(weighted, kinds),
    ]
    return pd.DataFrame(rows, columns=BALANCE_COLUMNS)


FINE_CELL_COLUMNS = ("age_at_index", "ethnicity", "n_previous_plans", "index_date")


def _weighted(sample: Sample, strata: Strata, covariates: Iterable[str]) -> Table:
    """What balance needs of the children, with their weights; null for those who found no match."""
    joined = sample.table.left_join(strata.by_profile.select("profile", "exact_weight"), "profile")
    columns = dict.fromkeys(["is_treated_authority", *FINE_CELL_COLUMNS, *covariates])
    return joined.select(*columns, "exact_weight")


def _sums(weighted: Table, keys: Mapping[str, ibis.Value]) -> Table:
    """Children and weights of either arm by the given keys."""
    rows = weighted.select("is_treated_authority", "exact_weight", **keys)
    arm = rows.is_treated_authority
    return rows.group_by(list(keys)).agg(
        treated_before=arm.sum().cast("int64"),
        control_before=(~arm).sum().cast("int64"),
        treated_after=rows.exact_weight.sum(where=arm).fill_null(0).cast("float64"),
        control_after=rows.exact_weight.sum(where=~arm).fill_null(0).cast("float64"),
    )


def _fine_cell_columns(weighted: Table, plans_max: int) -> dict[str, ibis.Value]:
    """Single year of age, ethnic code, previous plans (``plans_max`` and more alike) and calendar month of the index."""
    return {
        "age": weighted.age_at_index,
        "ethnicity": weighted.ethnicity,
        "plans": ibis.least(weighted.n_previous_plans, plans_max),
        "month": weighted.index_date.year() * 12 + weighted.index_date.month(),
    }


def _cell_rows(cells_name: str, cells: pd.DataFrame) -> list[Row]:
    imbalance, common = [], []
    for when in ("before", "after"):
        treated = cells[f"treated_{when}"].tolist()
        control = cells[f"control_{when}"].tolist()
        imbalance.append(l1_imbalance(treated, control))
        common.append(share_of_cells_with_both_arms(treated, control))
    none = (None, None)
    return [
        (cells_name, "all", "l1_imbalance", *none, imbalance[0], *none, imbalance[1]),
        (cells_name, "all", "share_of_cells_with_both_arms", *none, common[0], *none, common[1]),
    ]


def l1_imbalance(treated: Sequence[float], control: Sequence[float]) -> float:
    """Half the sum over cells of the absolute difference in shares; not a number where an arm is empty.

    Example:
        >>> l1_imbalance([1, 1, 0], [0, 2, 2])
        0.5
    """
    totals = fsum(treated), fsum(control)
    if min(totals) <= 0:
        return nan
    gaps = (abs(t / totals[0] - c / totals[1]) for t, c in zip(treated, control, strict=True))
    return round(fsum(gaps) / 2, L1_DECIMALS)


def share_of_cells_with_both_arms(treated: Sequence[float], control: Sequence[float]) -> float:
    """Of the cells with anyone in them, the share that holds both arms.

    Example:
        >>> share_of_cells_with_both_arms([1, 1, 0, 0], [0, 2, 2, 0])
        0.3333333333333333
    """
    filled = [(t > 0, c > 0) for t, c in zip(treated, control, strict=True) if t > 0 or c > 0]
    return sum(both == (True, True) for both in filled) / len(filled) if filled else nan


# -- standardised mean differences -----------------------------------------------------------------------------


def _kinds(protocol: Protocol, outcome: Outcome) -> dict[str, str]:
    """Every covariate of strata or regression, and whether it is compared by its mean or level by level."""
    kinds = dict.fromkeys(stratum_covariates(protocol), "categorical")
    kinds |= {band.covariate: "numeric" for band in protocol.bands if band.covariate in kinds}
    kinds |= {row.covariate: row.kind for row in protocol.covariates_of(outcome.outcome)}
    return kinds


def _difference_rows(weighted: Table, kinds: Mapping[str, str]) -> list[Row]:
    levels = _levels_of_all(weighted, kinds)
    rows: list[Row] = []
    for name, kind in kinds.items():
        mine = levels[levels.covariate == name]
        totals = {column: fsum(mine[column]) for column in SUMS}
        if min(totals.values()) <= 0:
            continue
        if kind == "categorical":
            rows += [_share_row(name, level, totals) for level in _by_level(mine)]
            continue
        rows += _mean_rows(name, mine[mine.number.notna()])
        rows += [_share_row(name, level, totals) for level in _by_level(mine[mine.number.isna()])]
    return rows


def _levels_of_all(weighted: Table, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Children and weights by covariate and value: one pass per covariate, all in one query."""
    parts = []
    for name, kind in kinds.items():
        column = weighted[name]
        if kind == "numeric" and not column.type().is_numeric():
            raise CscError(
                f"marts.index_events: {name} holds text, but protocol.regression_covariates calls it numeric."
            )
        sums = _sums(weighted, {"x": column})
        parts.append(
            sums.select(
                *SUMS,
                covariate=ibis.literal(name),
                level=sums.x.cast("string").fill_null(MISSING_LEVEL),
                number=sums.x.cast("float64") if kind == "numeric" else ibis.null("float64"),
            )
        )
    return ibis.union(*parts).to_pandas() if len(parts) > 1 else parts[0].to_pandas()


def _by_level(levels: pd.DataFrame) -> list[dict[str, object]]:
    return levels.sort_values("level").to_dict("records")  # type: ignore[return-value]


def _share_row(name: str, level: Mapping[str, object], totals: Mapping[str, float]) -> Row:
    """The shares of a level in both arms; their divisor is the root of p (1 - p)."""
    before, after = (
        (
            float(level[f"treated_{when}"]) / totals[f"treated_{when}"],  # type: ignore[arg-type]
            float(level[f"control_{when}"]) / totals[f"control_{when}"],  # type: ignore[arg-type]
        )
        for when in ("before", "after")
    )
    return _difference_row(name, str(level["level"]), before, after, sqrt(before[0] * (1 - before[0])))


def _mean_rows(name: str, values: pd.DataFrame) -> list[Row]:
    """The means of the known values in both arms; none where an arm knows nothing."""
    numbers = values.number.tolist()
    means = {}
    for column in SUMS:
        mass = values[column].tolist()
        total = fsum(mass)
        if total <= 0:
            return []
        means[column] = fsum(m * x for m, x in zip(mass, numbers, strict=True)) / total
    counts = values.treated_before.tolist()
    squares = fsum(n * (x - means["treated_before"]) ** 2 for n, x in zip(counts, numbers, strict=True))
    n_treated = sum(counts)
    spread = sqrt(squares / (n_treated - 1)) if n_treated > 1 else 0.0
    before = means["treated_before"], means["control_before"]
    after = means["treated_after"], means["control_after"]
    return [_difference_row(name, "mean", before, after, spread)]


def _difference_row(name: str, level: str, before: Pair, after: Pair, spread: float) -> Row:
    def standardised(means: Pair) -> float | None:
        gap = means[0] - means[1]
        if spread > 0:
            return gap / spread
        return 0.0 if gap == 0 else None

    measure = "standardised_mean_difference"
    return (name, level, measure, *before, standardised(before), *after, standardised(after))
