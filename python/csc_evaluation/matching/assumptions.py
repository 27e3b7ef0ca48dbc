"""Checks of what the design assumes, over all matched groups of an outcome (definitions, section 7; docs/assumptions.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from csc_evaluation import schema
from csc_evaluation.estimation.protocol import Outcome, Protocol
from csc_evaluation.matching.authorities import AuthorityMatching
from csc_evaluation.matching.cem import ChildMatching
from csc_evaluation.matching.common_shocks import common_shock_checks, reaction_checks
from csc_evaluation.matching.parallel_trends import cells_before_cut_off, leads_check, placebo_check
from csc_evaluation.matching.stacked import as_frame, groups_of
from csc_evaluation.matching.windows import first_full_quarter

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

KEYS_OF_RUN = ("run_id", "programme")


def check_assumptions(
    backend: Backend,
    protocol: Protocol,
    outcome: Outcome,
    authorities: AuthorityMatching,
    children: ChildMatching,
) -> pd.DataFrame:
    """Placebo dates, leads and common shocks for the matched groups of one outcome.

    Children reach Python as cells alone. What cannot be computed is a row that says why, never left out.

    Args:
        backend: the connection whose temporary tables ``children`` holds.
        protocol: seeds of the programme.
        outcome: the outcome.
        authorities: the matched authorities, with their windows.
        children: the matched children of the outcome.

    Returns:
        Rows of ``results.assumption_checks`` without ``run_id`` and ``programme``. ``status`` is ``computed``,
        ``not computable``, ``too few treated`` (an estimate and its error, no p-value), ``too few comparators`` (an
        estimate alone) or ``refused`` (more restrictions than the clusters allow); ``note`` says in words what the number means for the conclusion.
    """
    name, parameters = outcome.outcome, protocol.parameters
    groups = groups_of(authorities, name)
    before = cells_before_cut_off(children, groups, first_full_quarter(protocol))
    rows = [
        *(
            placebo_check(name, before, groups, quarters_back, parameters)
            for quarters_back in (parameters.placebo_quarters_first, parameters.placebo_quarters_second)
        ),
        *leads_check(name, before, groups, parameters),
        *common_shock_checks(protocol, name, children, groups),
        *reaction_checks(backend, protocol, name, groups),
    ]
    columns = schema.column_names("assumption_checks", layer="results")
    return as_frame(rows, [column for column in columns if column not in KEYS_OF_RUN])
