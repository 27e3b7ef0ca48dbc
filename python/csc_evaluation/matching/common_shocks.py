"""Do shocks strike both arms alike? Outcomes after go-live, and measures that only the shock should move.

The trial protocol asks for a regression on post-go-live data of the outcome on the shock and its interaction with the
programme, and for outcomes that react to the shock but are no outcome of the programme (Matching on parallel trends and
its footnote 9; definitions, section 7). A shock counts by index date, first and last day included; one of a single
authority counts for that authority alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pandas as pd

from csc_evaluation.estimation.linear import Array, NotIdentifiedError
from csc_evaluation.estimation.protocol import Parameters, Protocol, Shock, ShockOutcome
from csc_evaluation.matching.cem import ChildMatching
from csc_evaluation.matching.stacked import (
    ARM_MIN,
    NOT_COMPUTABLE,
    CheckRow,
    Group,
    authority_effects,
    cells_of,
    coefficient_row,
    counted,
    fit_cells,
    outcome_scale,
    stacked_rows,
)

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import BooleanValue, Table

COMMON_SHOCKS = "common_shocks"
SHOCK = "shock"
SHOCK_X_TREATED = "shock_x_treated"
NO_SHOCK = "no_shock"
RATES_MART = "la_quarter_rates"


def common_shock_checks(
    protocol: Protocol, outcome: str, children: ChildMatching, groups: Sequence[Group]
) -> list[CheckRow]:
    """For every shock that overlaps the post-go-live data of an outcome: its effect, and whether the arms differ in it.

        y = group x authority + b1 shock + b2 (shock x treated arm) + e

    over matched index events on or after their group's go-live, both arms. There are no effects of time: they would
    absorb a national shock. So ``b1``, what changed in the comparators, holds season and trend too; ``b2`` compares the
    arms of a group over the same days, and is what the assumption is judged by.

    Args:
        protocol: gives the shocks and the parameters.
        outcome: its name.
        children: the matched children of the outcome.
        groups: their groups.
    """
    members = set().union(*(group.members for group in groups))
    shocks = [shock for shock in protocol.shocks if shock.la_code is None or shock.la_code in members]
    names = list(dict.fromkeys(shock.shock for shock in shocks))
    none = CheckRow(outcome, COMMON_SHOCKS, NO_SHOCK, SHOCK, NOT_COMPUTABLE, "")
    if not names:
        return [replace(none, note="protocol.shocks names no shock of the matched authorities.")]
    cells = cells_after_go_live(children, groups, shocks)
    if cells.empty:
        return [replace(none, note="No matched index event lies on or after its group's go-live.")]
    last_date = cells.groupby("match_group").last_index_date.max()
    spans = [
        (group, group.go_live, pd.Timestamp(last_date[group.match_group]).date())
        for group in groups
        if group.match_group in last_date.index
    ]
    found: list[CheckRow] = []
    for name in names:
        periods = _periods(shocks, name)
        if any(_overlaps(period, *span) for period in periods for span in spans):
            found += shock_check(outcome, periods[0], cells, protocol.parameters)
    first, last = min(span[1] for span in spans), max(span[2] for span in spans)
    return found or [
        replace(none, note=f"No shock of protocol.shocks overlaps the post-go-live data ({first} to {last}).")
    ]


def cells_after_go_live(
    children: ChildMatching, groups: Sequence[Group], shocks: Sequence[Shock]
) -> pd.DataFrame:
    """Cells of the matched index events on or after their group's go-live, with a flag ``is_under_...`` for each shock."""
    dates = pd.DataFrame(
        [(group.match_group, group.go_live) for group in groups], columns=["name", "go_live"]
    )
    dates = dates.astype({"name": "string"}).assign(go_live=pd.to_datetime(dates["go_live"]))
    go_lives = ibis.memtable(dates)
    rows = stacked_rows(children)
    rows = rows.inner_join(go_lives, rows.match_group == go_lives["name"])
    rows = rows.filter(rows.index_date.cast("date") >= rows.go_live.cast("date"))
    names = dict.fromkeys(shock.shock for shock in shocks)
    flags = {flag_of(name): _is_under(rows, _periods(shocks, name)) for name in names}
    return cells_of(rows, **flags)


def flag_of(shock: str) -> str:
    """The column of :func:`cells_after_go_live` that says whether a row lies under a shock."""
    return f"is_under_{shock}"


def shock_check(outcome: str, shock: Shock, cells: pd.DataFrame, parameters: Parameters) -> list[CheckRow]:
    """The rows ``shock`` and ``shock_x_treated`` of one shock.

    Args:
        outcome: its name.
        shock: any row of the shock.
        cells: from :func:`cells_after_go_live`.
        parameters: thresholds of the protocol.
    """
    empty = CheckRow(outcome, COMMON_SHOCKS, shock.shock, SHOCK, NOT_COMPUTABLE, "")
    is_under = cells[flag_of(shock.shock)].to_numpy(bool)
    treated, comparators = _varying(cells, is_under)
    who = (
        f"{shock.shock_label}: {counted(len(treated), 'treated authority', 'treated authorities')} and "
        f"{counted(len(comparators), 'comparator', 'comparators')} have index events both under it and outside it."
    )
    if not treated and not comparators:
        how = "All" if is_under.any() else "None"
        reason = f"{how} of the post-go-live index events of every authority lie under {shock.shock_label}"
        both = replace(empty, note=f"{reason}: there is nothing to compare them with.")
        return [both, replace(both, term=SHOCK_X_TREATED)]
    columns = authority_effects(cells)
    columns[SHOCK] = is_under.astype(np.float64)
    interaction = columns[SHOCK] * cells.is_treated_authority.to_numpy(bool)
    if not treated or not comparators:
        arm = "treated authorities" if treated else "comparators"
        why = f"It touches {arm} alone, so how the other arm would have reacted cannot be seen."
        alone = _fit_row(empty, cells, columns, who, parameters, treated or comparators, treated)
        return [alone, replace(empty, term=SHOCK_X_TREATED, note=f"{why} {who}")]
    columns[SHOCK_X_TREATED] = interaction
    if min(len(treated), len(comparators)) < ARM_MIN:
        reason = f"Fewer than {ARM_MIN} authorities of an arm: their error cannot be measured."
        both = replace(empty, note=f"{reason} {who}")
        return [both, replace(both, term=SHOCK_X_TREATED)]
    try:
        fit = fit_cells(cells, columns, [SHOCK, SHOCK_X_TREATED])
    except NotIdentifiedError:
        both = replace(empty, note=f"The shock cannot be told from differences between authorities. {who}")
        return [both, replace(both, term=SHOCK_X_TREATED)]
    scale, n_treated = outcome_scale(cells), len(treated)
    return [
        coefficient_row(
            replace(empty, note=who),
            fit,
            SHOCK,
            parameters,
            outcome_scale=scale,
            n_treated_clusters=n_treated,
            when_found=WHEN_SHOCK_FOUND.format(who="comparators"),
            when_not_found=WHEN_SHOCK_NOT_FOUND,
        ),
        coefficient_row(
            replace(empty, term=SHOCK_X_TREATED, note=who),
            fit,
            SHOCK_X_TREATED,
            parameters,
            outcome_scale=scale,
            n_treated_clusters=n_treated,
            when_found=(
                "The arms differ in how the outcome changed under the shock: the common shocks assumption may not hold, and "
                "the effect of the programme may be part shock. An effect that grows with time can look the same."
            ),
            when_not_found=(
                "No sign that the shock struck the arms differently; a difference smaller than {smallest} would often be "
                "missed."
            ),
        ),
    ]


WHEN_SHOCK_FOUND = (
    "The outcome of {who} was another under the shock; season and trend are part of this number."
)
WHEN_SHOCK_NOT_FOUND = (
    "The outcome did not clearly change under the shock (season and trend are part of this number); a change smaller than "
    "{smallest} would often be missed."
)


def _fit_row(
    empty: CheckRow,
    cells: pd.DataFrame,
    columns: dict[str, Array],
    who: str,
    parameters: Parameters,
    varying: set[str],
    treated: set[str],
) -> CheckRow:
    """The row ``shock`` where it touches one arm alone."""
    if len(varying) < ARM_MIN:
        reason = f"It touches one authority alone ({', '.join(varying)}): look at that pair by eye."
        return replace(empty, note=f"{reason} {who}")
    return coefficient_row(
        replace(empty, note=who),
        fit_cells(cells, columns, [SHOCK]),
        SHOCK,
        parameters,
        outcome_scale=outcome_scale(cells),
        n_treated_clusters=len(treated),
        when_found=WHEN_SHOCK_FOUND.format(who="the authorities it touched"),
        when_not_found=WHEN_SHOCK_NOT_FOUND,
    )


def _varying(cells: pd.DataFrame, is_under: Array) -> tuple[set[str], set[str]]:
    """Authorities, by arm, with index events of one group both under the shock and outside it."""
    flagged = cells.assign(is_under=is_under)
    seen = flagged.groupby(["match_group", "la_code", "is_treated_authority"]).is_under.nunique()
    both = seen[seen == 2].reset_index()
    arm = both.is_treated_authority.to_numpy(bool)
    return set(both.la_code[arm]), set(both.la_code[~arm])


def _periods(shocks: Iterable[Shock], name: str) -> list[Shock]:
    return [shock for shock in shocks if shock.shock == name]


def _overlaps(period: Shock, group: Group, first: dt.date, last: dt.date) -> bool:
    is_of_group = period.la_code is None or period.la_code in group.members
    return is_of_group and period.starts_on <= last and (period.ends_on is None or period.ends_on >= first)


def _is_under(rows: Table, periods: Sequence[Shock]) -> BooleanValue:
    index_date = rows.index_date.cast("date")
    conditions = []
    for period in periods:
        condition = index_date >= ibis.literal(period.starts_on)
        if period.ends_on is not None:
            condition &= index_date <= ibis.literal(period.ends_on)
        if period.la_code is not None:
            condition &= rows.la_code == period.la_code
        conditions.append(condition)
    return reduce(or_, conditions)


# -- measures that only the shock should move ------------------------------------------------------------------


def reaction_checks(
    backend: Backend, protocol: Protocol, outcome: str, groups: Sequence[Group]
) -> list[CheckRow]:
    """Whether a measure that a shock should move did so in the matched authorities, and alike in both arms.

        rate = authority + quarter of the year + trend + b1 share + b2 (share x treated arm) + e

    over authorities and quarters of ``marts.la_quarter_rates``, each authority once and with equal weight: whether it
    reacted is asked of authorities, not of children. ``share`` is the share of the quarter's days under the shock, so
    ``b1`` is what a whole quarter of it changes. Only shocks that overlap the trial period have rows, terms ``<shock>``
    and ``<shock>_x_treated``.

    Args:
        backend: a connection to the warehouse.
        protocol: gives shocks, measures and parameters.
        outcome: the outcome whose matched authorities are looked at.
        groups: its matched groups.
    """
    wanted = [
        row
        for row in protocol.shock_outcomes
        if any(
            shock.starts_on <= protocol.programme.trial_end
            and (shock.ends_on is None or shock.ends_on >= protocol.programme.trial_start)
            for shock in _periods(protocol.shocks, row.shock)
        )
    ]
    if not wanted:
        note = "No shock of protocol.shock_outcomes overlaps the trial period."
        return [CheckRow(outcome, COMMON_SHOCKS, f"reacts_{NO_SHOCK}", SHOCK, NOT_COMPUTABLE, note)]
    treated = {group.treated_la_code for group in groups}
    members = set().union(*(group.members for group in groups))
    rates = _rates(backend, protocol, members, {row.measure for row in wanted})
    found: list[CheckRow] = []
    for row in wanted:
        empty = CheckRow(outcome, COMMON_SHOCKS, f"reacts_{row.measure}", row.shock, NOT_COMPUTABLE, "")
        if rates is None:
            found += _both_rows(empty, f"The warehouse has no marts.{RATES_MART}.")
            continue
        mine = rates[rates.measure == row.measure].reset_index(drop=True)
        found += reaction_check(
            empty, row, _periods(protocol.shocks, row.shock), mine, treated, protocol.parameters
        )
    return found


def reaction_check(
    empty: CheckRow,
    expected: ShockOutcome,
    periods: Sequence[Shock],
    rates: pd.DataFrame,
    treated: set[str],
    parameters: Parameters,
) -> list[CheckRow]:
    """The two rows of one shock and measure.

    Args:
        empty: outcome, assumption and check of the rows.
        expected: the shock, the measure and how it should move.
        periods: the rows of the shock.
        rates: ``la_code, quarter_start, rate`` of the matched authorities, without nulls.
        treated: the treated authorities among them.
        parameters: thresholds of the protocol.
    """
    arm = rates.la_code.isin(treated).to_numpy()
    share = shares_of_days(rates, periods)
    varies = rates.assign(share=share).groupby("la_code").share.nunique() > 1
    sees_both = set(varies.index[varies])
    n_treated, n_comparators = len(sees_both & treated), len(sees_both - treated)
    who = (
        f"{counted(n_treated, 'treated authority', 'treated authorities')} and "
        f"{counted(n_comparators, 'comparator', 'comparators')} over "
        f"{counted(rates.quarter_start.nunique(), 'quarter', 'quarters')}."
    )
    if min(n_treated, n_comparators) < ARM_MIN:
        return _both_rows(
            empty,
            f"Fewer than {ARM_MIN} authorities of an arm have {expected.measure} in marts.{RATES_MART} both under the shock "
            f"and outside it. {who}",
        )
    columns = {
        f"la_code={code}": (rates.la_code == code).to_numpy(float) for code in sorted(set(rates.la_code))
    }
    quarters = pd.PeriodIndex(rates.quarter_start, freq="Q")
    for number in sorted(set(quarters.quarter))[1:]:
        columns[f"quarter={number}"] = (quarters.quarter == number).astype(np.float64)
    columns["trend"] = (quarters.astype("int64") - int(quarters.astype("int64").min())).to_numpy(np.float64)
    on_treated = f"{expected.shock}_x_treated"
    columns[expected.shock] = share
    columns[on_treated] = share * arm
    cells = rates.assign(group_weight=1.0, n_rows=1, sum_y=rates.rate)
    try:
        fit = fit_cells(cells, columns, [expected.shock, on_treated])
    except NotIdentifiedError:
        reason = "The share of days under the shock cannot be told from season and trend in these quarters."
        return _both_rows(empty, f"{reason} {who}")
    is_as_expected = (fit.coefficient(expected.shock) > 0) == (expected.expected == "rises")
    moved = "as expected" if is_as_expected else "against what was expected"
    what = (
        f"{expected.measure.replace('_', ' ')}, which was expected to {expected.expected.removesuffix('s')}"
    )
    scale = outcome_scale(cells)
    unit = f"per {expected.measure.rpartition('_per_')[2]} children"
    return [
        coefficient_row(
            replace(empty, note=who),
            fit,
            expected.shock,
            parameters,
            outcome_scale=scale,
            n_treated_clusters=n_treated,
            unit=unit,
            when_found=f"In the comparators {what}, moved {moved}.",
            when_not_found=(
                f"In the comparators {what}, did not clearly move, so this shock says little here; a move smaller than "
                "{smallest} would often be missed."
            ),
        ),
        coefficient_row(
            replace(empty, term=on_treated, note=who),
            fit,
            on_treated,
            parameters,
            outcome_scale=scale,
            n_treated_clusters=n_treated,
            unit=unit,
            when_found=(
                f"The arms differ in how {what}, moved, although the programme should not touch it: the shock is not common to "
                "them."
            ),
            when_not_found=(
                f"No sign that {what}, moved differently in the two arms; a difference smaller than {{smallest}} would often "
                "be missed."
            ),
        ),
    ]


def _both_rows(empty: CheckRow, note: str) -> list[CheckRow]:
    row = replace(empty, note=note)
    return [row, replace(row, term=f"{empty.term}_x_treated")]


def _rates(
    backend: Backend, protocol: Protocol, members: set[str], measures: set[str]
) -> pd.DataFrame | None:
    if RATES_MART not in backend.list_tables(database="marts"):
        return None
    rates = backend.table("la_quarter_rates", database="marts")
    rates = rates.filter(
        (rates.programme == protocol.programme.programme)
        & rates.measure.isin(sorted(measures))
        & rates.la_code.isin(sorted(members))
        & rates.rate.notnull()
    )
    keys = ["measure", "la_code", "quarter_start"]
    return rates.select(*keys, rate=rates.rate.cast("float64")).order_by(keys).to_pandas()


def shares_of_days(rates: pd.DataFrame, periods: Sequence[Shock]) -> Array:
    """Share of the days of each row's quarter under the shock, first and last day included.

    Args:
        rates: ``la_code`` and ``quarter_start`` of each row.
        periods: the rows of one shock; a day in two of them counts once, one of another authority not at all.
    """
    known: dict[tuple[str, object], float] = {}
    for code, start in set(zip(rates.la_code, rates.quarter_start, strict=True)):
        quarter = pd.Period(start, "Q")
        days = pd.date_range(quarter.start_time, quarter.end_time.normalize())
        is_under = np.zeros(len(days), dtype=bool)
        for period in periods:
            if period.la_code in (None, code):
                is_under |= (days >= pd.Timestamp(period.starts_on)) & (
                    period.ends_on is None or days <= pd.Timestamp(period.ends_on)
                )
        known[code, start] = float(is_under.mean())
    return np.array([known[key] for key in zip(rates.la_code, rates.quarter_start, strict=True)])
