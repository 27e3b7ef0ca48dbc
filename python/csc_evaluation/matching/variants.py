"""Other ways of choosing comparators, so that an estimate can be held against them (definitions, section 7: sensitivity).

A variant changes the comparators alone: it covers the treated authorities that have a comparator in the main match.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from csc_evaluation.estimation.protocol import MatchVariant, Protocol
from csc_evaluation.matching.authorities import AuthorityMatching
from csc_evaluation.matching.decisions import Match, as_match
from csc_evaluation.matching.windows import MatchingWindow

SYNTHETIC_CONTROL = "synthetic_control"
DISTANCE_COLUMNS = {
    "changes": ("distance", "distance_rank"),
    "levels": ("distance_levels", "rank_levels"),
    "both": ("distance_both", "rank_both"),
}
"""For each kind of distance its column and its rank's in ``results.la_match_candidates``."""


@dataclass(frozen=True)
class VariantMatches:
    """The pairs of one way of matching, or of one of several that it stands for."""

    match_variant: str
    label: str
    """The variant's own name, or ``without_<la_code>`` for each comparator left out in turn."""
    matches: tuple[Match, ...]
    note: str | None
    """What a reader of an estimate built on it must know."""

    @property
    def name(self) -> str:
        """Name in ``results.la_match_variants``: the variant's, with the label where it stands for several."""
        return (
            self.match_variant if self.label == self.match_variant else f"{self.match_variant}:{self.label}"
        )


def variant_matches(
    protocol: Protocol, authorities: AuthorityMatching, outcome: str, variant: MatchVariant
) -> list[VariantMatches]:
    """The pairs that a way of matching gives for one outcome.

    Args:
        protocol: seeds of the programme.
        authorities: its main match.
        outcome: code of the outcome.
        variant: a row of ``protocol.match_variants``.

    Returns:
        One element; for a variant that leaves comparators out in turn one for each comparator of the main match, in
        the order of their codes; none where the main match has no pair of the outcome. A pair that is not in the main
        match is unreviewed.
    """
    main = authorities.matches_of(outcome)
    if not main:
        return []
    if variant.is_leave_one_out:
        return [
            _without(variant, main, code) for code in sorted({match.comparator_la_code for match in main})
        ]
    if variant.n_comparators is None:
        return [VariantMatches(variant.match_variant, variant.match_variant, main, None)]
    matches: list[Match] = []
    notes: list[str] = []
    for window in authorities.windows:
        if window.outcome != outcome or window.site.la_code not in {match.treated_la_code for match in main}:
            continue
        nearest = _nearest(protocol, authorities, window, variant, main)
        if len(nearest) < variant.n_comparators:
            notes.append(
                f"{window.site.la_code} has {len(nearest)} candidates, not the {variant.n_comparators} asked for"
            )
        if variant.comparator_weights == SYNTHETIC_CONTROL:
            nearest = _weighted(authorities, window, nearest)
        matches.extend(nearest)
    return [
        VariantMatches(variant.match_variant, variant.match_variant, tuple(matches), "; ".join(notes) or None)
    ]


def all_variants(protocol: Protocol, authorities: AuthorityMatching) -> pd.DataFrame:
    """Rows of ``results.la_match_variants``: every variant that a specification names, for every outcome with a match."""
    rows = [
        {
            "outcome": outcome.outcome,
            "match_variant": found.name,
            "match_group": match.match_group,
            "treated_la_code": match.treated_la_code,
            "comparator_la_code": match.comparator_la_code,
            "comparator_weight": match.comparator_weight,
            "distance": match.distance,
            "distance_rank": match.distance_rank,
        }
        for outcome in protocol.outcomes
        for variant in protocol.match_variants
        for found in variant_matches(protocol, authorities, outcome.outcome, variant)
        for match in found.matches
    ]
    names = [
        "outcome",
        "match_variant",
        "match_group",
        "treated_la_code",
        "comparator_la_code",
        "comparator_weight",
        "distance",
        "distance_rank",
    ]
    return pd.DataFrame(rows, columns=names).astype({"comparator_weight": float})


def _without(variant: MatchVariant, main: Sequence[Match], code: str) -> VariantMatches:
    left = tuple(match for match in main if match.comparator_la_code != code)
    gone = sorted({match.treated_la_code for match in main} - {match.treated_la_code for match in left})
    note = f"without {code} no comparator is left for {', '.join(gone)}, which leaves" if gone else None
    return VariantMatches(variant.match_variant, f"without_{code}", left, note)


def _nearest(
    protocol: Protocol,
    authorities: AuthorityMatching,
    window: MatchingWindow,
    variant: MatchVariant,
    main: Sequence[Match],
) -> list[Match]:
    """The first candidates by the variant's distance; eligible is whoever may be a candidate, kept or not."""
    column, rank_column = DISTANCE_COLUMNS[variant.distance_on]
    rows = authorities.candidates
    rows = rows[
        (rows.outcome == window.outcome) & (rows.treated_la_code == window.site.la_code) & rows.is_candidate
    ]
    rows = rows[rows[rank_column] <= variant.n_comparators].sort_values(rank_column)
    reviewed = {
        (match.treated_la_code, match.comparator_la_code) for match in main if not match.is_unreviewed
    }
    return [
        as_match(
            window,
            str(code),
            distance=float(distance),
            rank=int(rank),
            # The expected noise is that of changes; levels have no like it.
            expected_noise=None if variant.distance_on != "changes" or pd.isna(noise) else float(noise),
            decision=variant.match_variant,
            is_unreviewed=(window.site.la_code, str(code)) not in reviewed,
        )
        for code, distance, rank, noise in zip(
            rows.candidate_la_code, rows[column], rows[rank_column], rows.expected_noise, strict=True
        )
    ]


def _weighted(
    authorities: AuthorityMatching, window: MatchingWindow, nearest: Sequence[Match]
) -> list[Match]:
    """The same comparators, weighted so that together they follow the treated authority's means over the window."""
    from csc_evaluation.matching.synthetic_control import synthetic_control_weights

    codes = [window.site.la_code, *(match.comparator_la_code for match in nearest)]
    series = authorities.series
    series = series[
        (series.outcome == window.outcome)
        & (series.treated_la_code == window.site.la_code)
        & series.la_code.isin(codes)
        & series.is_in_window
    ]
    weights = synthetic_control_weights(
        series[["la_code", "quarter_start", "mean_value"]], window.site.la_code
    )
    return [replace(match, comparator_weight=weights[match.comparator_la_code]) for match in nearest]
