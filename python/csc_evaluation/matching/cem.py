"""Matching children within groups of authorities by coarsened exact matching, in SQL (definitions, section 8).

A matched group is a treated authority with its comparators. Children meet in strata of coarsened covariates within
their group; strata without both arms go; a treated child weighs 1 and a comparator child in stratum ``s`` of group
``p`` weighs ``m_T / m_C`` (treated over comparator children in that stratum). A child in several groups is one row
whose weight is the sum. Source: Iacus, King and Porro (2012), Political Analysis 20: 1-24, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pandas as pd

from csc_evaluation.errors import CscError, SeedError
from csc_evaluation.estimation.protocol import Outcome, Protocol
from csc_evaluation.matching.authorities import Match

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import BooleanValue, StringValue, Table, Value

MISSING_LEVEL = "missing"
OUTSIDE_BANDS_LEVEL = "outside the bands"
IS_POST = "is_post"
KEY = ["child_id", "sequence"]


@dataclass(frozen=True)
class CovariateMissingness:
    """Share of the children in matched groups whose covariate is missing, and whether the run drops it for that."""

    covariate: str
    share: float
    is_dropped: bool


@dataclass(frozen=True)
class ChildMatching:
    """Children of one outcome matched within groups of authorities.

    ``sample`` and ``weights`` are temporary tables of the connection that made them: all children in matched groups
    (one row per child and index event, with covariates, ``value`` and ``is_treated``), and the matched ones with
    their weights. The frames have the columns of the results tables of their name, less ``run_id`` and ``programme``.
    """

    outcome: str
    sample: Table
    weights: Table
    group_weights: Table
    """One row per matched group and matched child: ``match_group, child_id, sequence, is_treated_authority, group_weight``."""
    strata: pd.DataFrame
    matched_shares: pd.DataFrame
    balance: pd.DataFrame
    strata_variables: tuple[str, ...]
    dropped_variables: tuple[str, ...]
    """Variables left out of the strata because too many treated children would have gone."""
    treated_loss_share_first: float
    """Share of treated children (over groups) without a match, with all variables in the strata."""
    treated_loss_share: float
    """The same with the strata used."""
    missingness: tuple[CovariateMissingness, ...]
    n_shared_comparators: int
    """Comparator authorities that serve more than one group."""

    @property
    def missing_dropped(self) -> tuple[str, ...]:
        """Covariates left out because too often missing."""
        return tuple(row.covariate for row in self.missingness if row.is_dropped)


def match_children(
    backend: Backend, protocol: Protocol, outcome: Outcome, matches: Sequence[Match]
) -> ChildMatching:
    """Match the fully observed children of one outcome within the given groups of authorities.

    Args:
        backend: a connection that may make temporary tables (read-only is enough).
        protocol: seeds of the programme.
        outcome: the outcome to match for.
        matches: pairs of authorities, from :func:`csc_evaluation.matching.authorities.match_authorities`.

    Raises:
        SeedError: a covariate of the seeds is no column of ``marts.index_events``.
        CscError: no fully observed child in the groups, or no stratum with both arms.
    """
    sample = _sample(backend, protocol, outcome, matches)
    n_children = int(sample.count().execute())
    if n_children == 0:
        raise CscError(
            f"{outcome.outcome}: there is no fully observed child in the matched authorities; "
            "land the returns that its follow-up needs, then run dbt build."
        )
    missingness = _missingness(sample, protocol, outcome)
    left_out = {row.covariate for row in missingness if row.is_dropped}
    variables = [stratum for stratum in protocol.strata if stratum.covariate not in left_out]
    names = [stratum.covariate for stratum in variables]
    rows = _group_rows(backend, protocol, outcome, sample, matches, names)

    parameters = protocol.parameters
    strata = _strata(backend, rows, names)
    loss_first = loss = _treated_loss(strata)
    dropped: tuple[str, ...] = ()
    if loss > parameters.cem_treated_loss_share_max:
        dropped = tuple(stratum.covariate for stratum in variables if stratum.is_dropped_first)
        if dropped:
            names = [name for name in names if name not in dropped]
            strata = _strata(backend, rows, names)
            loss = _treated_loss(strata)
    if not bool(strata.is_matched.any().execute()):
        raise CscError(
            f"{outcome.outcome}: no stratum holds children of both arms; the matched authorities have no like children."
        )
    weights, by_group = _weights(backend, outcome, rows, strata, names)
    return ChildMatching(
        outcome=outcome.outcome,
        sample=sample,
        weights=weights,
        group_weights=by_group.select("match_group", *KEY, "is_treated_authority", "group_weight"),
        strata=_strata_frame(strata),
        matched_shares=_matched_shares(sample, weights),
        balance=_balance(protocol, outcome, sample, weights, strata, by_group, left_out),
        strata_variables=tuple(names),
        dropped_variables=dropped,
        treated_loss_share_first=loss_first,
        treated_loss_share=loss,
        missingness=missingness,
        n_shared_comparators=_n_shared(matches),
    )


def _n_shared(matches: Sequence[Match]) -> int:
    codes = [match.comparator_la_code for match in matches]
    return len({code for code in codes if codes.count(code) > 1})


def _group_members(matches: Sequence[Match]) -> pd.DataFrame:
    rows = {
        (match.match_group, code, is_treated, match.go_live_date)
        for match in matches
        for code, is_treated in ((match.treated_la_code, True), (match.comparator_la_code, False))
    }
    frame = pd.DataFrame(sorted(rows), columns=["match_group", "la_code", "in_treated_arm", "go_live"])
    frame["go_live"] = pd.to_datetime(frame["go_live"])
    return frame.astype({"match_group": "string", "la_code": "string"})


def sample_columns(protocol: Protocol, outcome: Outcome) -> list[str]:
    """Columns of ``marts.index_events`` that matching, balance and the regression of an outcome read."""
    strata = [stratum.covariate for stratum in protocol.strata if stratum.covariate != IS_POST]
    covariates = [row.covariate for row in protocol.covariates_of(outcome.outcome)]
    effects = [name for name in protocol.specification.fixed_effects if name != "la_code"]
    fine = ["age_at_index", "ethnicity", "n_previous_plans", "financial_year"]
    return list(dict.fromkeys([*strata, *covariates, *effects, *fine]))


def _sample(backend: Backend, protocol: Protocol, outcome: Outcome, matches: Sequence[Match]) -> Table:
    events = backend.table("index_events", database="marts")
    outcomes = backend.table("trial_outcomes", database="marts")
    wanted = sample_columns(protocol, outcome)
    for name in wanted:
        if name not in events.columns:
            raise SeedError(
                f"protocol seeds name the covariate {name!r} for {outcome.outcome}, but marts.index_events has no such column."
            )
    members = _group_members(matches)
    arms = members[["la_code", "in_treated_arm"]].drop_duplicates()
    events = events.filter(
        (events.programme == protocol.programme.programme) & (events.index_event == outcome.index_event)
    )
    outcomes = outcomes.filter(
        (outcomes.programme == protocol.programme.programme)
        & (outcomes.outcome == outcome.outcome)
        & outcomes.is_fully_observed
        & outcomes["value"].notnull()
    )
    if int((outcomes.term != 0).sum().fill_null(0).execute()):
        raise CscError(
            f"{outcome.outcome}: outcomes with a row per school term are not yet available to estimation."
        )
    observed = outcomes.select(*KEY, outcome_value=outcomes["value"].cast("float64"))
    joined = events.inner_join(observed, KEY).inner_join(ibis.memtable(arms), "la_code")
    sample = joined.select(
        *KEY,
        "la_code",
        *wanted,
        "outcome_value",
        index_date=joined.index_date.cast("date"),
        is_treated_authority=joined.in_treated_arm,
        is_treated=joined.is_treated,
        is_site_in_marts=joined.is_treated_authority,
    )
    table = backend.create_table(f"csc_sample_{outcome.outcome}", sample, temp=True, overwrite=True)
    disagree = table.filter((table.is_site_in_marts != table.is_treated_authority).fill_null(True))
    if int(disagree.count().execute()):
        raise CscError(
            "marts.index_events and protocol.sites disagree on which authorities are treated; run dbt build again."
        )
    return table


def _missingness(sample: Table, protocol: Protocol, outcome: Outcome) -> tuple[CovariateMissingness, ...]:
    names = [stratum.covariate for stratum in protocol.strata if stratum.covariate != IS_POST]
    names = list(dict.fromkeys([*names, *(row.covariate for row in protocol.covariates_of(outcome.outcome))]))
    counts = sample.agg(
        n_rows=sample.count(), **{f"missing_{name}": sample[name].isnull().sum() for name in names}
    ).to_pandas()
    n_rows = int(counts.n_rows.iloc[0])
    limit = protocol.parameters.missing_covariate_share_max
    shares = [(name, int(counts[f"missing_{name}"].iloc[0]) / n_rows) for name in names]
    return tuple(CovariateMissingness(name, share, share > limit) for name, share in shares)


def _group_rows(
    backend: Backend,
    protocol: Protocol,
    outcome: Outcome,
    sample: Table,
    matches: Sequence[Match],
    names: Sequence[str],
) -> Table:
    """One row per matched group and child, with each stratum variable as a text level."""
    members = ibis.memtable(_group_members(matches))
    members = members.select("match_group", "la_code", go_live=members.go_live.cast("date"))
    rows = sample.inner_join(members, "la_code")
    rows = rows.mutate(is_post=rows.index_date >= rows.go_live)
    levels = {f"level_{name}": _level(rows[name], name, protocol) for name in names}
    table = rows.select("match_group", *KEY, "la_code", "index_date", "is_treated_authority", **levels)
    return backend.create_table(f"csc_group_rows_{outcome.outcome}", table, temp=True, overwrite=True)


def _level(column: Value, name: str, protocol: Protocol) -> StringValue:
    """The level a matching variable takes: its band where the seed gives bands, else its value; missing is a level."""
    bands = [band for band in protocol.bands if band.covariate == name]
    if not bands:
        return column.cast("string").fill_null(MISSING_LEVEL)
    return ibis.cases(
        (column.isnull(), MISSING_LEVEL),
        *((column.between(band.value_from, band.value_to), band.band) for band in bands),
        else_=OUTSIDE_BANDS_LEVEL,
    )


def _strata(backend: Backend, rows: Table, names: Sequence[str]) -> Table:
    levels = [f"level_{name}" for name in names]
    arm = rows.is_treated_authority
    strata = rows.group_by(["match_group", *levels]).agg(
        n_treated=arm.sum().fill_null(0).cast("int64"), n_control=(~arm).sum().fill_null(0).cast("int64")
    )
    label = ibis.literal("; ").join([ibis.literal(f"{name}=") + strata[f"level_{name}"] for name in names])
    strata = strata.mutate(stratum=label, is_matched=(strata.n_treated > 0) & (strata.n_control > 0))
    return backend.create_table(f"csc_strata_{len(names)}", strata, temp=True, overwrite=True)


def _treated_loss(strata: Table) -> float:
    totals = strata.agg(
        n_treated=strata.n_treated.sum(), n_lost=strata.n_treated.sum(where=~strata.is_matched).fill_null(0)
    ).to_pandas()
    n_treated = int(totals.n_treated.iloc[0])
    return int(totals.n_lost.iloc[0]) / n_treated if n_treated else 1.0


def _weights(
    backend: Backend, outcome: Outcome, rows: Table, strata: Table, names: Sequence[str]
) -> tuple[Table, Table]:
    """Weights by child over all groups, and the same rows by group (for cells that groups define)."""
    matched = strata.filter(strata.is_matched)
    totals = matched.group_by("match_group").agg(
        group_treated=matched.n_treated.sum().cast("float64"),
        group_control=matched.n_control.sum().cast("float64"),
    )
    matched = matched.inner_join(totals, "match_group")
    levels = [f"level_{name}" for name in names]
    joined = rows.inner_join(matched, ["match_group", *levels])
    ratio = joined.n_treated.cast("float64") / joined.n_control.cast("float64")
    group_weight = joined.is_treated_authority.ifelse(1.0, ratio)
    by_group = joined.select(
        "match_group",
        "stratum",
        *KEY,
        "la_code",
        "is_treated_authority",
        group_weight=group_weight,
        group_normalised=joined.is_treated_authority.ifelse(
            1.0, ratio * joined.group_control / joined.group_treated
        ),
    )
    by_group = backend.create_table(
        f"csc_group_weights_{outcome.outcome}", by_group, temp=True, overwrite=True
    )
    # Sums of a child's weights run in order of group, so that their last digit is always the same.
    weights = by_group.group_by(KEY).agg(
        n_groups=by_group.count().cast("int32"),
        weight=by_group.group_weight.collect(order_by=by_group.match_group).sums(),
        normalised_weight=by_group.group_normalised.collect(order_by=by_group.match_group).sums(),
    )
    table = backend.create_table(f"csc_weights_{outcome.outcome}", weights, temp=True, overwrite=True)
    return table, by_group


def _strata_frame(strata: Table) -> pd.DataFrame:
    return (
        strata.select("match_group", "stratum", "n_treated", "n_control", "is_matched")
        .order_by(["match_group", "stratum"])
        .to_pandas()
    )


def _matched_shares(sample: Table, weights: Table) -> pd.DataFrame:
    joined = sample.left_join(weights.select(*KEY, is_in_weights=ibis.literal(True)), KEY)
    joined = joined.mutate(arm=_arm(joined.is_treated_authority))
    keys = ["arm", "la_code", "financial_year"]
    return (
        joined.group_by(keys)
        .agg(n_children=joined.count(), n_matched=joined.is_in_weights.fill_null(False).sum().fill_null(0))
        .order_by(keys)
        .to_pandas()
    )


def _arm(is_treated_authority: BooleanValue) -> StringValue:
    return is_treated_authority.ifelse("treated", "comparator")


# -- balance ---------------------------------------------------------------------------------------------------

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


def _balance(
    protocol: Protocol,
    outcome: Outcome,
    sample: Table,
    weights: Table,
    strata: Table,
    by_group: Table,
    left_out: set[str],
) -> pd.DataFrame:
    """Balance rows: imbalance on matching cells and fine cells, shares of common cells, standardised differences."""
    weighted = sample.left_join(weights.select(*KEY, "weight"), KEY)
    weighted = weighted.select(*sample.columns, weight=weighted.weight.fill_null(0.0))
    rows = [
        *_cell_rows("matching cells", _matching_cells(strata, by_group)),
        *_cell_rows("fine cells", _fine_cells(weighted, protocol.parameters.fine_cells_plans_max)),
        *_difference_rows(protocol, outcome, weighted, left_out),
    ]
    return pd.DataFrame(rows, columns=BALANCE_COLUMNS)


def _matching_cells(strata: Table, by_group: Table) -> pd.DataFrame:
    cell = ["match_group", "stratum"]
    before = strata.select(*cell, treated_before="n_treated", control_before="n_control").to_pandas()
    ordered = by_group.group_weight.collect(order_by=by_group.group_weight).sums()
    sums = by_group.group_by([*cell, "is_treated_authority"]).agg(weight=ordered).to_pandas()
    return _with_sums(before, sums, cell)


def _fine_cells(weighted: Table, plans_max: int) -> pd.DataFrame:
    """Cells of single year of age, ethnic code, previous plans (``plans_max`` and more alike) and calendar month of the index."""
    cells = weighted.select(
        "is_treated_authority",
        "weight",
        age=weighted.age_at_index.cast("string").fill_null(MISSING_LEVEL),
        ethnicity=weighted.ethnicity.cast("string").fill_null(MISSING_LEVEL),
        plans=ibis.least(weighted.n_previous_plans, plans_max).cast("string").fill_null(MISSING_LEVEL),
        month=weighted.index_date.truncate("M").cast("string"),
    )
    cell = ["age", "ethnicity", "plans", "month"]
    before = cells.group_by(cell).agg(
        treated_before=cells.is_treated_authority.sum().fill_null(0),
        control_before=(~cells.is_treated_authority).sum().fill_null(0),
    )
    sums = cells.group_by([*cell, "is_treated_authority"]).agg(
        weight=cells.weight.collect(order_by=cells.weight).sums()
    )
    return _with_sums(before.to_pandas(), sums.to_pandas(), cell)


def _with_sums(before: pd.DataFrame, sums: pd.DataFrame, cell: list[str]) -> pd.DataFrame:
    cells = before.set_index(cell).sort_index()
    for column, arm in (("treated_after", True), ("control_after", False)):
        cells[column] = sums[sums.is_treated_authority == arm].set_index(cell)["weight"]
    return cells.fillna(0.0)


def _cell_rows(cells_name: str, cells: pd.DataFrame) -> list[tuple[object, ...]]:
    """L1 imbalance: half the sum over cells of the absolute difference in shares.

    Source: Iacus, King and Porro (2011), Journal of the American Statistical Association 106: 345-361, equation 3.
    """
    imbalance, common = [], []
    for when in ("before", "after"):
        treated = cells[f"treated_{when}"].to_numpy(float)
        control = cells[f"control_{when}"].to_numpy(float)
        shares = [
            arm / arm.sum() if arm.sum() > 0 else np.full(len(arm), np.nan) for arm in (treated, control)
        ]
        imbalance.append(float(np.abs(shares[0] - shares[1]).sum() / 2))
        filled = (treated > 0) | (control > 0)
        common.append(
            float(((treated > 0) & (control > 0)).sum() / filled.sum()) if filled.any() else float("nan")
        )
    none = (None, None)
    return [
        (cells_name, "all", "l1_imbalance", *none, imbalance[0], *none, imbalance[1]),
        (cells_name, "all", "share_of_cells_with_both_arms", *none, common[0], *none, common[1]),
    ]


def _difference_rows(
    protocol: Protocol, outcome: Outcome, weighted: Table, left_out: set[str]
) -> list[tuple[object, ...]]:
    """Differences in means over the treated arm's standard deviation before matching (shares: root of p(1-p))."""
    kinds = {stratum.covariate: "categorical" for stratum in protocol.strata if stratum.covariate != IS_POST}
    kinds |= {band.covariate: "numeric" for band in protocol.bands if band.covariate in kinds}
    kinds |= {row.covariate: row.kind for row in protocol.covariates_of(outcome.outcome)}
    rows: list[tuple[object, ...]] = []
    for name, kind in kinds.items():
        if name in left_out:
            continue
        rows.extend(_numeric_rows(weighted, name) if kind == "numeric" else _categorical_rows(weighted, name))
    return rows


def _numeric_rows(weighted: Table, name: str) -> list[tuple[object, ...]]:
    known = weighted.filter(weighted[name].notnull())
    known = known.select("is_treated_authority", "weight", x=known[name].cast("float64"))

    def total(term: Value) -> Value:
        return term.collect(order_by=(known.x, known.weight)).sums()

    sums = known.group_by("is_treated_authority").agg(
        n=known.count(),
        sum_x=total(known.x),
        sum_w=total(known.weight),
        sum_wx=total(known.weight * known.x),
    )
    frame = sums.to_pandas().set_index("is_treated_authority")
    if set(frame.index) != {True, False}:
        return []
    frame["mean_before"] = frame.sum_x / frame.n
    frame["mean_after"] = frame.sum_wx / frame.sum_w.where(frame.sum_w > 0)
    treated = known.filter(known.is_treated_authority)
    deviation = treated.x - float(frame.loc[True, "mean_before"])
    squares = float(
        treated.agg(s=(deviation * deviation).collect(order_by=treated.x).sums()).to_pandas().s.iloc[0]
    )
    n_treated = int(frame.loc[True, "n"])
    spread = float(np.sqrt(squares / (n_treated - 1))) if n_treated > 1 else 0.0
    before = (float(frame.loc[True, "mean_before"]), float(frame.loc[False, "mean_before"]))
    after = (float(frame.loc[True, "mean_after"]), float(frame.loc[False, "mean_after"]))
    return [_difference_row(name, "mean", before, after, spread)]


def _categorical_rows(weighted: Table, name: str) -> list[tuple[object, ...]]:
    levels = weighted.select(
        "is_treated_authority", "weight", level=weighted[name].cast("string").fill_null(MISSING_LEVEL)
    )
    counted = levels.group_by(["level", "is_treated_authority"]).agg(
        n=levels.count(), weight=levels.weight.collect(order_by=levels.weight).sums()
    )
    frame = counted.to_pandas().pivot(index="level", columns="is_treated_authority").sort_index().fillna(0.0)
    if not {True, False} <= set(frame["n"].columns):
        return []
    rows = []
    for level in frame.index:
        before, after = (
            tuple(
                float(frame.loc[level, (column, arm)] / frame[(column, arm)].sum()) for arm in (True, False)
            )
            for column in ("n", "weight")
        )
        spread = float(np.sqrt(before[0] * (1 - before[0])))
        rows.append(_difference_row(name, str(level), before, after, spread))
    return rows


def _difference_row(
    name: str, level: str, before: tuple[float, ...], after: tuple[float, ...], spread: float
) -> tuple[object, ...]:
    def standardised(means: tuple[float, ...]) -> float | None:
        gap = means[0] - means[1]
        if spread > 0:
            return gap / spread
        return 0.0 if gap == 0 else None

    return (
        name,
        level,
        "standardised_mean_difference",
        *before,
        standardised(before),
        *after,
        standardised(after),
    )
