"""The same regression on other comparators: every specification whose match is not the main one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.diagnostics import Diagnostic
from csc_evaluation.estimation.effect import Estimate, estimate_effect
from csc_evaluation.estimation.protocol import Outcome, Protocol, Specification
from csc_evaluation.estimation.sample import regression_sample
from csc_evaluation.matching.authorities import AuthorityMatching
from csc_evaluation.matching.cem import match_children
from csc_evaluation.matching.variants import variant_matches

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

BY_RANK = "comparators by rank, whatever a reviewer said"


@dataclass(frozen=True)
class MatchSensitivity:
    """Estimates on other comparators, and which of them could not be made and why."""

    estimates: tuple[Estimate, ...]
    diagnostics: tuple[Diagnostic, ...]


def estimate_on_other_comparators(
    backend: Backend,
    protocol: Protocol,
    outcome: Outcome,
    authorities: AuthorityMatching,
    specifications: Sequence[Specification],
) -> MatchSensitivity:
    """Match children anew within each specification's groups and estimate; one that cannot be estimated says why.

    Args:
        backend: a connection that may make temporary tables.
        protocol: seeds of the programme.
        outcome: the outcome.
        authorities: authorities matched, with all candidates.
        specifications: those to run; a specification that leaves out each comparator in turn gives several estimates.
    """
    estimates: list[Estimate] = []
    diagnostics: list[Diagnostic] = []
    for specification in specifications:
        way = protocol.match_variant(specification.match_variant)
        for variant in variant_matches(protocol, authorities, outcome.outcome, way):
            name = specification.specification
            if way.is_leave_one_out:
                name = f"{name}_{variant.label}"
            try:
                if not variant.matches:
                    raise CscError(variant.note or "no treated authority has a comparator.")
                matching = match_children(backend, protocol, outcome, variant.matches)
                sample = regression_sample(protocol, outcome, matching, specification)
                matching.release()
                notes = [] if way.n_comparators is None else [BY_RANK]
                notes += [variant.note] if variant.note else []
                effect = estimate_effect(protocol, outcome, specification, sample, name=name, notes=notes)
            except CscError as error:
                diagnostics.append(_not_estimated(outcome, name, str(error)))
                continue
            estimates.extend(effect.estimates)
    return MatchSensitivity(tuple(estimates), tuple(diagnostics))


def _not_estimated(outcome: Outcome, name: str, reason: str) -> Diagnostic:
    return Diagnostic(
        outcome=outcome.outcome,
        specification=name,
        diagnostic="not_estimated",
        statistic=None,
        df=None,
        p_value=None,
        threshold=None,
        is_flagged=True,
        meaning=f"This way of matching gives no estimate: {reason}",
    )
