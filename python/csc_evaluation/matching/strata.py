"""Strata of like children within matched groups, and the weights that make the arms alike.

Everything here works on *profiles*: children with the same number share authority, period and levels, hence strata and
weights. There are few of them, however many the children, and children are counted, never added up as doubles.

A treated child weighs 1. A comparator child in stratum ``s`` of a group weighs ``m_T / m_C`` (treated over comparator
children there) where the comparators are pooled. Where they have weights ``w_a``, one in authority ``a`` weighs
``m_T x w_a / W / m_C^a``: ``W`` adds up the weights of the comparators that have a child in the stratum, ``m_C^a`` counts
the authority's own. Source: Iacus, King and Porro (2012), Political Analysis 20: 1-24, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pandas as pd

from csc_evaluation.errors import EmptyArmError
from csc_evaluation.estimation.protocol import Outcome, Protocol
from csc_evaluation.matching.coarsening import IS_POST, Variable
from csc_evaluation.matching.groups import Places
from csc_evaluation.matching.sample import KEY, PLACE, Sample, keep, too_often_missing

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table

EXACT_WEIGHT = "decimal(38, 18)"
"""Weights are added up as decimals, which are whole numbers to the engine: the sum is the same in any order."""
POST_LEVELS = Variable(IS_POST, ("false", "true"))


@dataclass(frozen=True)
class Strata:
    """The strata used and the weights they give."""

    variables: tuple[str, ...]
    dropped: tuple[str, ...]
    loss_first: float
    loss: float
    by_group: Table
    """A row per group and profile in a matched stratum: ``match_group, profile, la_code, is_treated_authority, n_children,
    group_weight, group_normalised`` and a code per variable."""
    by_profile: Table
    """A row per profile with a match in any group: ``profile, n_groups, weight, normalised_weight, exact_weight``."""
    cells: pd.DataFrame
    """All strata in order: ``match_group``, a code per variable, ``n_treated, n_control, is_matched`` and the weights of
    either arm in it, ``treated_after, control_after``."""

    @property
    def codes(self) -> list[str]:
        """Columns of ``cells`` that hold the variables' codes, in order."""
        return [code_column(name) for name in self.variables]


def code_column(variable: str) -> str:
    """The column that holds a variable's codes."""
    return f"code_{variable}"


def make_strata(
    backend: Backend, protocol: Protocol, outcome: Outcome, sample: Sample, places: Places
) -> Strata:
    """Form the strata of the seeds, without those variables that cost too many treated children, and weigh the children.

    Raises:
        EmptyArmError: no stratum holds children of both arms.
    """
    left_out = too_often_missing(sample.missingness)
    variables = [row for row in protocol.strata if row.covariate not in left_out]
    profiles = _profiles_in_groups(backend, sample, places, [row.covariate for row in variables])
    names = [row.covariate for row in variables]
    strata = _counted(profiles, names)
    loss_first = loss = _treated_loss(strata)
    dropped: tuple[str, ...] = ()
    if loss > protocol.parameters.cem_treated_loss_share_max:
        dropped = tuple(row.covariate for row in variables if row.is_dropped_first)
        if dropped:
            names = [name for name in names if name not in dropped]
            strata = _counted(profiles, names)
            loss = _treated_loss(strata)
    by_group = keep(backend, "group_profiles", _weighed(profiles, strata, names, places))
    by_profile = keep(backend, "profile_weights", _summed(by_group))
    cells = _cells(strata, by_group, names)
    if not cells.is_matched.any():
        raise EmptyArmError(
            f"{outcome.outcome}: no stratum holds children of both arms; the matched authorities have no like children."
        )
    return Strata(tuple(names), dropped, loss_first, loss, by_group, by_profile, cells)


def _profiles_in_groups(backend: Backend, sample: Sample, places: Places, names: Sequence[str]) -> Table:
    """A row per group and profile that is in it, with the number of children and a code per variable."""
    profiles = sample.profiles
    unpacked = profiles.mutate(place=sample.profile.unpack(profiles.profile, PLACE))
    joined = unpacked.inner_join(ibis.memtable(places.memberships), PLACE)
    codes = {
        code_column(name): joined.is_post.cast("int64")
        if name == IS_POST
        else sample.profile.unpack(joined.profile, name)
        for name in names
    }
    return keep(
        backend,
        "profiles_in_groups",
        joined.select(
            "match_group",
            "profile",
            "la_code",
            "is_treated_authority",
            "comparator_weight",
            "n_children",
            **codes,
        ),
    )


def _counted(profiles: Table, names: Sequence[str]) -> Table:
    """Children of either arm by stratum."""
    arm, n_children = profiles.is_treated_authority, profiles.n_children
    strata = profiles.group_by(["match_group", *map(code_column, names)]).agg(
        n_treated=n_children.sum(where=arm).fill_null(0).cast("int64"),
        n_control=n_children.sum(where=~arm).fill_null(0).cast("int64"),
    )
    return strata.mutate(is_matched=(strata.n_treated > 0) & (strata.n_control > 0))


def _treated_loss(strata: Table) -> float:
    totals = strata.agg(
        n_treated=strata.n_treated.sum().fill_null(0),
        n_lost=strata.n_treated.sum(where=~strata.is_matched).fill_null(0),
    )
    row = totals.to_pyarrow().to_pylist()[0]
    return int(row["n_lost"]) / int(row["n_treated"]) if row["n_treated"] else 1.0


def _weighed(profiles: Table, strata: Table, names: Sequence[str], places: Places) -> Table:
    stratum = ["match_group", *map(code_column, names)]
    matched = strata.filter(strata.is_matched).drop("is_matched")
    totals = matched.group_by("match_group").agg(
        group_treated=matched.n_treated.sum().cast("float64"),
        group_control=matched.n_control.sum().cast("float64"),
    )
    rows = profiles.inner_join(matched, stratum).inner_join(totals, "match_group")
    ratio = rows.n_treated.cast("float64") / rows.n_control.cast("float64")
    if places.memberships.comparator_weight.notna().any():
        rows = rows.inner_join(_comparators_present(profiles, stratum), [*stratum, "la_code"])
        share = rows.comparator_weight / rows.weights_present
        ratio = rows.comparator_weight.isnull().ifelse(ratio, rows.n_treated * share / rows.n_in_authority)
    is_treated = rows.is_treated_authority
    return rows.select(
        *stratum,
        "profile",
        "la_code",
        "is_treated_authority",
        "n_children",
        group_weight=is_treated.ifelse(1.0, ratio),
        group_normalised=is_treated.ifelse(1.0, ratio * rows.group_control / rows.group_treated),
    )


def _comparators_present(profiles: Table, stratum: Sequence[str]) -> Table:
    """By stratum and authority its children, and the weights of all comparators with a child in the stratum."""
    counted = profiles.group_by([*stratum, "la_code", "comparator_weight"]).agg(
        n_in_authority=profiles.n_children.sum().cast("float64")
    )
    # Added up in order of authority, so that the last digit is always the same; the treated authority has no weight.
    weights = counted.filter(counted.comparator_weight.notnull())
    present = weights.group_by(stratum).agg(
        weights_present=weights.comparator_weight.collect(order_by=weights.la_code).sums()
    )
    joined = counted.left_join(present, list(stratum))
    return joined.select(*stratum, "la_code", "n_in_authority", "weights_present")


def _summed(by_group: Table) -> Table:
    """A profile's weights over its groups, added up in order of group."""
    in_order = by_group.match_group
    weights = by_group.group_by("profile").agg(
        n_groups=by_group.count().cast("int32"),
        weight=by_group.group_weight.collect(order_by=in_order).sums(),
        normalised_weight=by_group.group_normalised.collect(order_by=in_order).sums(),
    )
    return weights.mutate(exact_weight=weights.weight.cast(EXACT_WEIGHT))


def _cells(strata: Table, by_group: Table, names: Sequence[str]) -> pd.DataFrame:
    stratum = ["match_group", *map(code_column, names)]
    mass = by_group.n_children * by_group.group_weight.cast(EXACT_WEIGHT)
    arm = by_group.is_treated_authority
    sums = by_group.group_by(stratum).agg(
        treated_after=mass.sum(where=arm).cast("float64"), control_after=mass.sum(where=~arm).cast("float64")
    )
    joined = strata.left_join(sums, stratum).select(
        *stratum,
        "n_treated",
        "n_control",
        "is_matched",
        treated_after=ibis._.treated_after.fill_null(0.0),
        control_after=ibis._.control_after.fill_null(0.0),
    )
    return joined.order_by(stratum).to_pandas()


def child_weights(backend: Backend, sample: Sample, strata: Strata) -> Table:
    """The matched children: ``child_id, sequence, n_groups, weight, normalised_weight``."""
    joined = sample.table.select(*KEY, "profile").inner_join(strata.by_profile, "profile")
    return keep(backend, "weights", joined.select(*KEY, "n_groups", "weight", "normalised_weight"))


def group_weights(sample: Sample, strata: Strata) -> Table:
    """The matched children by group: ``match_group, child_id, sequence, is_treated_authority, group_weight`` and the like."""
    weights = strata.by_group.select("match_group", "profile", "group_weight", "group_normalised")
    joined = sample.table.select(*KEY, "la_code", "is_treated_authority", "profile").inner_join(
        weights, "profile"
    )
    return joined.select(
        "match_group", *KEY, "la_code", "is_treated_authority", "group_weight", "group_normalised"
    )


def strata_frame(sample: Sample, strata: Strata) -> pd.DataFrame:
    """Rows of ``results.cem_strata``: the strata by name, in order of group and name."""
    cells = strata.cells
    label = np.full(len(cells), "", dtype=object)
    for position, name in enumerate(strata.variables):
        levels = level_names(sample, strata, name).to_numpy(object)
        label = label + (f"{'; ' if position else ''}{name}=" + levels)
    frame = cells[["match_group", "n_treated", "n_control", "is_matched"]].copy()
    frame.insert(1, "stratum", label)
    return frame.sort_values(["match_group", "stratum"], ignore_index=True)


def level_names(sample: Sample, strata: Strata, name: str) -> pd.Series:
    """The names of a variable's levels in the rows of ``strata.cells``."""
    variable = POST_LEVELS if name == IS_POST else sample.variables[name]
    names = np.array(variable.levels, dtype=object)
    return pd.Series(names[strata.cells[code_column(name)].to_numpy(int)], index=strata.cells.index)
