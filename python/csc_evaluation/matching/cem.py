"""Matching children within groups of authorities by coarsened exact matching, in SQL (definitions, section 8).

A matched group is a treated authority with its comparators. Children meet in strata of coarsened covariates within
their group; strata without both arms go. A child in several groups is one row whose weight is the sum. How:

* :mod:`~csc_evaluation.matching.groups`: members and calendars of the groups;
* :mod:`~csc_evaluation.matching.coarsening`: which values count as alike;
* :mod:`~csc_evaluation.matching.sample`: the children;
* :mod:`~csc_evaluation.matching.strata`: strata and weights;
* :mod:`~csc_evaluation.matching.coverage`: who found a match and who fell away;
* :mod:`~csc_evaluation.matching.balance`: how alike the arms are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from csc_evaluation.errors import EmptyArmError
from csc_evaluation.estimation.protocol import Outcome, Protocol
from csc_evaluation.matching import coverage
from csc_evaluation.matching.authorities import Match
from csc_evaluation.matching.balance import balance_frame
from csc_evaluation.matching.coarsening import MISSING_LEVEL, OUTSIDE_BANDS_LEVEL
from csc_evaluation.matching.groups import group_members, n_shared_comparators, places_of
from csc_evaluation.matching.sample import KEY, CovariateMissingness, read_sample
from csc_evaluation.matching.strata import child_weights, group_weights, make_strata, strata_frame

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table

__all__ = [
    "KEY",
    "MISSING_LEVEL",
    "OUTSIDE_BANDS_LEVEL",
    "ChildMatching",
    "CovariateMissingness",
    "match_children",
]


@dataclass(frozen=True)
class ChildMatching:
    """Children of one outcome matched within groups of authorities.

    ``sample`` and ``weights`` are temporary tables of the connection that made them. The frames have the columns of the
    results tables of their name (``dropped``: ``cem_dropped``), less ``run_id``, ``programme``, ``outcome`` and
    ``imputation``.
    """

    outcome: str
    sample: Table
    """All children in matched groups: one row per child and index event, with covariates and ``is_treated``."""
    values: Table
    """What was observed of them: ``child_id, sequence, term, outcome_value``; term 0 for outcomes not by school term."""
    weights: Table
    """The matched ones: ``child_id, sequence, n_groups, weight, normalised_weight``."""
    group_weights: Table
    """One row per matched group and matched child: ``match_group, child_id, sequence, la_code, is_treated_authority,
    group_weight, group_normalised``."""
    strata: pd.DataFrame
    dropped: pd.DataFrame
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

    def release(self) -> None:
        """Drop the children from the connection (for a caller that matches many times); the frames stay."""
        for table in (self.sample, self.weights):
            table.get_backend().raw_sql(f"drop table if exists {table.get_name()}")


def match_children(
    backend: Backend, protocol: Protocol, outcome: Outcome, matches: Sequence[Match]
) -> ChildMatching:
    """Match the fully observed children of one outcome within the given groups of authorities.

    Where a match carries an embedding period, both arms of its group lose the index events inside it and those before
    it whose whole follow-up does not end before it. Where comparators carry weights, see
    :mod:`csc_evaluation.matching.strata`.

    Args:
        backend: a connection that may make temporary tables (read-only is enough).
        protocol: seeds of the programme.
        outcome: the outcome to match for.
        matches: pairs of authorities, from :func:`csc_evaluation.matching.authorities.match_authorities`.

    Raises:
        SeedError: a covariate of the seeds is no column of ``marts.index_events``, or a coarsening cannot be used.
        EmptyArmError: no fully observed child in the groups, or no stratum with both arms.
        CscError: the matches contradict each other, or marts and seeds on the treated authorities.
    """
    members = group_members(matches, outcome.follow_up_months)
    if not members:
        raise EmptyArmError(f"{outcome.outcome}: there is no matched authority, hence no child to match.")
    places = places_of(members)
    sample = read_sample(backend, protocol, outcome, places)
    strata = make_strata(backend, protocol, outcome, sample, places)
    return ChildMatching(
        outcome=outcome.outcome,
        sample=sample.table,
        values=sample.values,
        weights=child_weights(backend, sample, strata),
        group_weights=group_weights(sample, strata),
        strata=strata_frame(sample, strata),
        dropped=coverage.dropped(sample, strata),
        matched_shares=coverage.matched_shares(sample, strata, places),
        balance=balance_frame(protocol, outcome, sample, strata),
        strata_variables=strata.variables,
        dropped_variables=strata.dropped,
        treated_loss_share_first=strata.loss_first,
        treated_loss_share=strata.loss,
        missingness=sample.missingness,
        n_shared_comparators=n_shared_comparators(members),
    )
