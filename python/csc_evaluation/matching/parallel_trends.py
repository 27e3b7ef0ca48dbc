"""Did matched authorities move in parallel before anyone was treated? Placebo dates and leads over all matched groups.

Both checks are one regression on the index events before each group's cut-off (definitions, section 7), matched
children stacked by group and weighted by their group's weight:

    y = group x authority + group x calendar quarter + b (treated arm x period) + e

with the period after a placebo date, or years counted back from the cut-off. Clusters are authorities; CR2.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import ibis
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from csc_evaluation.estimation.inference import RefusedTest, cr2_wald
from csc_evaluation.estimation.linear import Array, NotIdentifiedError
from csc_evaluation.estimation.protocol import Parameters
from csc_evaluation.matching.cem import ChildMatching
from csc_evaluation.matching.stacked import (
    COMPUTED,
    NOT_COMPUTABLE,
    REFUSED,
    TOO_FEW_COMPARATORS,
    TOO_FEW_TREATED,
    CheckRow,
    Group,
    authority_effects,
    cells_of,
    coefficient_row,
    counted,
    fit_cells,
    outcome_scale,
    roughness,
    sentences,
    stacked_rows,
)

PARALLEL_TRENDS = "parallel_trends"
TREATED_X_PLACEBO = "treated_x_placebo"
LEADS = "leads"
JOINT = "joint"
QUARTERS_IN_YEAR = 4
NOT_THE_SAME_COMPARATORS = (
    "No authority of a comparison arm has matched children both early and late, so change over time cannot be told from "
    "differences between authorities."
)
FIRST_LEAD_YEAR = 2
"""Year 1, the last before the cut-off, is the reference."""


def cells_before_cut_off(
    children: ChildMatching, groups: Sequence[Group], first_quarter: dt.date
) -> pd.DataFrame:
    """Cells of the matched index events in the full quarters before each group's cut-off.

    Args:
        children: the matched children of one outcome.
        groups: their groups; an index event on ``cut_off`` or later is not used.
        first_quarter: first day of the first full quarter of the data; an earlier index event is not used.

    Returns:
        The columns of :func:`csc_evaluation.matching.stacked.cells_of`, ``quarter_start`` and ``quarters_back``: 1 for
        the last quarter before the cut-off, 2 for the one before it.
    """
    dates = pd.DataFrame(
        [(group.match_group, group.cut_off) for group in groups], columns=["name", "cut_off"]
    )
    dates = dates.astype({"name": "string"}).assign(cut_off=pd.to_datetime(dates["cut_off"]))
    cut_offs = ibis.memtable(dates)
    rows = stacked_rows(children)
    rows = rows.inner_join(cut_offs, rows.match_group == cut_offs["name"])
    index_date = rows.index_date.cast("date")
    rows = rows.filter((index_date >= ibis.literal(first_quarter)) & (index_date < rows.cut_off.cast("date")))
    cells = cells_of(rows, quarter_start=rows.index_date.truncate("Q").cast("date"))
    cut_off = {group.match_group: pd.Period(group.cut_off, "Q") for group in groups}
    cells["quarters_back"] = [
        (cut_off[group] - pd.Period(quarter, "Q")).n
        for group, quarter in zip(cells.match_group, cells.quarter_start, strict=True)
    ]
    return cells


@dataclass(frozen=True)
class _Sides:
    """How many quarters with matched children of both arms a group has, before a date and from it to the cut-off."""

    group: Group
    n_before: int
    n_after: int

    def is_enough(self, quarters_min: int) -> bool:
        return self.n_before >= quarters_min and self.n_after >= quarters_min


def placebo_check(
    outcome: str, cells: pd.DataFrame, groups: Sequence[Group], quarters_back: int, parameters: Parameters
) -> CheckRow:
    """The effect of a programme that did not exist, begun ``quarters_back`` quarters before each group's cut-off.

    A group takes part if at least ``placebo_quarters_min`` quarters with matched children of both arms lie on either
    side of its placebo date. The coefficient is the difference in differences at that date.

    Args:
        outcome: its name.
        cells: from :func:`cells_before_cut_off`.
        groups: the matched groups.
        quarters_back: how many quarters before the cut-off the placebo date lies.
        parameters: thresholds of the protocol.
    """
    empty = CheckRow(
        outcome, PARALLEL_TRENDS, f"placebo_{quarters_back}", TREATED_X_PLACEBO, NOT_COMPUTABLE, ""
    )
    sides = _sides(cells, groups, quarters_back)
    taking_part = [side.group for side in sides if side.is_enough(parameters.placebo_quarters_min)]
    if not taking_part:
        return replace(empty, note=_why_none(sides, quarters_back, parameters.placebo_quarters_min))
    rows = _of(cells, taking_part)
    columns = _effects(rows)
    is_after = rows.quarters_back.to_numpy() <= quarters_back
    columns[TREATED_X_PLACEBO] = _arm(rows) * is_after
    who = _who(sides, parameters.placebo_quarters_min)
    try:
        fit = fit_cells(rows, columns, [TREATED_X_PLACEBO])
    except NotIdentifiedError:
        return replace(empty, note=f"{NOT_THE_SAME_COMPARATORS} {who}")
    return coefficient_row(
        replace(empty, note=who),
        fit,
        TREATED_X_PLACEBO,
        parameters,
        outcome_scale=outcome_scale(rows),
        n_treated_clusters=len({group.treated_la_code for group in taking_part}),
        n_comparators=_n_comparators(rows),
        when_found=(
            "The arms moved apart at a date when nobody was treated: parallel trends are in doubt, and an effect of this "
            "size and sign may be no more than that drift."
        ),
        when_not_found=(
            "No sign that the arms moved apart before the programme. This does not prove parallel trends: a drift "
            "smaller than {smallest} would often be missed."
        ),
    )


def leads_check(
    outcome: str, cells: pd.DataFrame, groups: Sequence[Group], parameters: Parameters
) -> list[CheckRow]:
    """The gap between the arms in earlier years against the last year before the cut-off, each year and all together.

    Year 1, the last four quarters, is the reference. A group takes part if it has at least ``placebo_quarters_min``
    quarters in it and before it. At most ``lead_years_max`` earlier years are terms; all quarters before the earliest
    join it. A year beyond the second is a term only where at least ``treated_clusters_min`` treated authorities have
    ``placebo_quarters_min`` quarters that far back, and takes only groups that have; else its quarters join the year
    after it. The joint test of all terms is CR2 with HTZ; more restrictions than clusters less two are refused.

    Args:
        outcome: its name.
        cells: from :func:`cells_before_cut_off`.
        groups: the matched groups.
        parameters: thresholds of the protocol.
    """
    joint = CheckRow(outcome, PARALLEL_TRENDS, LEADS, JOINT, NOT_COMPUTABLE, "")
    quarters_min = parameters.placebo_quarters_min
    sides = _sides(cells, groups, QUARTERS_IN_YEAR)
    taking_part = [side.group for side in sides if side.is_enough(quarters_min)]
    if not taking_part:
        return [replace(joint, note=_why_none(sides, QUARTERS_IN_YEAR, quarters_min))]
    rows = _of(cells, taking_part)
    lead_year, last_year = _lead_years(rows, taking_part, parameters)
    terms = {f"lead_year_{year}": year for year in range(FIRST_LEAD_YEAR, last_year + 1)}
    columns = _effects(rows)
    for name, year in terms.items():
        columns[name] = _arm(rows) * (lead_year == year)
    who = _who(sides, quarters_min)
    try:
        fit = fit_cells(rows, columns, list(terms))
    except NotIdentifiedError:
        return [replace(joint, note=f"{NOT_THE_SAME_COMPARATORS} {who}")]
    if len(terms) == 1 and parameters.lead_years_max > 1:
        far_back = FIRST_LEAD_YEAR * QUARTERS_IN_YEAR
        who += (
            f" Only one lead year is computable: fewer than {parameters.treated_clusters_min} treated authorities have "
            f"{quarters_min} quarters more than {far_back} quarters before their cut-off, so all earlier quarters are in it."
        )
    in_year = {name: _treated(taking_part, rows, lead_year == year) for name, year in terms.items()}
    found = [
        coefficient_row(
            replace(joint, term=name, note=who),
            fit,
            name,
            parameters,
            outcome_scale=outcome_scale(rows),
            n_treated_clusters=in_year[name],
            n_comparators=_n_comparators(rows),
            when_found=(
                "The gap between the arms was not what it was in the last year before the cut-off: the arms did not move "
                "in parallel."
            ),
            when_not_found=(
                "The gap between the arms was much as in the last year before the cut-off; a difference smaller than "
                "{smallest} would often be missed."
            ),
        )
        for name in terms
    ]
    test = cr2_wald(fit, list(terms))
    joint = replace(
        joint,
        n_restrictions=len(terms),
        n_observations=fit.n_rows,
        n_clusters=len(fit.clusters),
        n_treated_clusters=min(in_year.values()),
        inference=test.method,
    )
    if any(row.status == NOT_COMPUTABLE for row in found):
        return [*found, replace(joint, note=found[0].note)]
    if isinstance(test, RefusedTest):
        return [*found, replace(joint, status=REFUSED, note=f"No joint test: {test.reason}. {who}")]
    if any(row.status == TOO_FEW_COMPARATORS for row in found):
        return [*found, replace(joint, status=TOO_FEW_COMPARATORS, note=found[0].note)]
    joint = replace(joint, statistic=test.statistic, df_numerator=test.df_numerator, df=test.df_denominator)
    if any(row.status == TOO_FEW_TREATED for row in found):
        return [*found, replace(joint, status=TOO_FEW_TREATED, note=found[0].note)]
    is_found = test.p_value < parameters.significance_level
    meaning = (
        "Taken together the gaps of the earlier years differ from that of the last year: parallel trends are in doubt."
        if is_found
        else "Taken together the gaps of the earlier years do not differ clearly from that of the last year: no sign "
        "against parallel trends, nor proof of them."
    )
    note = sentences(meaning, roughness(test.df_denominator), who)
    return [*found, replace(joint, status=COMPUTED, p_value=test.p_value, note=note)]


def _sides(cells: pd.DataFrame, groups: Sequence[Group], quarters_back: int) -> list[_Sides]:
    sides = []
    for group in groups:
        mine = cells[cells.match_group == group.match_group]
        arms = mine.groupby("quarters_back").is_treated_authority.nunique()
        both = arms.index[arms == 2].to_numpy()
        sides.append(
            _Sides(group, int((both > quarters_back).sum()), int((both <= quarters_back).sum())),
        )
    return sides


def _lead_years(rows: pd.DataFrame, groups: Sequence[Group], parameters: Parameters) -> tuple[Array, int]:
    """The lead year of each cell (1: the reference), and the last that is a term."""
    quarters_min = parameters.placebo_quarters_min
    reaches: dict[str, int] = {}
    for group in groups:
        year = FIRST_LEAD_YEAR
        while (
            year <= parameters.lead_years_max
            and _sides(rows, [group], year * QUARTERS_IN_YEAR)[0].n_before >= quarters_min
        ):
            year += 1
        reaches[group.match_group] = year
    last_year = FIRST_LEAD_YEAR
    for year in range(FIRST_LEAD_YEAR + 1, parameters.lead_years_max + 2):
        far = {group.treated_la_code for group in groups if reaches[group.match_group] >= year}
        if len(far) >= parameters.treated_clusters_min:
            last_year = year
    calendar = (rows.quarters_back.to_numpy() - 1) // QUARTERS_IN_YEAR + 1
    allowed = np.minimum(rows.match_group.map(reaches).to_numpy(int), last_year)
    return np.minimum(calendar, allowed), last_year


def _treated(groups: Sequence[Group], rows: pd.DataFrame, is_in: NDArray[np.bool_]) -> int:
    present = set(rows.match_group[is_in])
    return len({group.treated_la_code for group in groups if group.match_group in present})


def _n_comparators(rows: pd.DataFrame) -> int:
    return rows.la_code[~rows.is_treated_authority.to_numpy(bool)].nunique()


def _of(cells: pd.DataFrame, groups: Sequence[Group]) -> pd.DataFrame:
    names = [group.match_group for group in groups]
    return cells[cells.match_group.isin(names)].reset_index(drop=True)


def _arm(rows: pd.DataFrame) -> Array:
    return rows.is_treated_authority.to_numpy(bool).astype(np.float64)


def _effects(rows: pd.DataFrame) -> dict[str, Array]:
    """Group x authority effects, and group x calendar quarter effects without each group's first quarter."""
    columns = authority_effects(rows)
    for group in sorted(set(rows.match_group)):
        is_group = (rows.match_group == group).to_numpy()
        back = rows.quarters_back.to_numpy()
        for quarter in sorted(set(back[is_group]))[:-1]:
            columns[f"group={group}, quarters_back={quarter}"] = (is_group & (back == quarter)).astype(float)
    return columns


def _who(sides: Sequence[_Sides], quarters_min: int) -> str:
    inside = [side.group.match_group for side in sides if side.is_enough(quarters_min)]
    outside = [side.group.match_group for side in sides if not side.is_enough(quarters_min)]
    text = f"{len(inside)} of {counted(len(sides), 'group', 'groups')} take part ({', '.join(inside)})"
    if outside:
        return f"{text}; too few quarters: {', '.join(outside)}."
    return f"{text}."


def _why_none(sides: Sequence[_Sides], quarters_back: int, quarters_min: int) -> str:
    if not sides:
        return "There is no matched group."
    most = max(sides, key=lambda side: (min(side.n_before, side.n_after), side.n_before))
    return (
        f"No group has {quarters_min} quarters with matched children of both arms on either side of a date {quarters_back} "
        f"quarters before its cut-off; the nearest to it, {most.group.match_group}, has {most.n_before} before and "
        f"{most.n_after} after."
    )
