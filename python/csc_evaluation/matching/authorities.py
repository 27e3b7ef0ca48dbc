"""Matching authorities on parallel trends before go-live, all programmes in one pass (definitions, section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import pandas as pd

from csc_evaluation.estimation.protocol import Protocol
from csc_evaluation.matching.candidates import CandidateTables, WindowOf, candidate_tables
from csc_evaluation.matching.decisions import PAIR, Departure, Match, decide, with_hashes
from csc_evaluation.matching.distances import Distances, distances
from csc_evaluation.matching.evidence import evidence_and_placebos
from csc_evaluation.matching.windows import MatchingWindow, matching_windows, pandemic_quarters

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table


@dataclass(frozen=True)
class AuthorityMatching:
    """What matching on trends found for one programme, for all outcomes and treated authorities.

    The frames have the columns of ``results.la_match_candidates``, ``la_match_series``, ``la_pair_evidence`` and
    ``la_match_placebos``, without ``run_id`` and ``programme``.
    """

    windows: tuple[MatchingWindow, ...]
    candidates: pd.DataFrame
    series: pd.DataFrame
    evidence: pd.DataFrame
    placebos: pd.DataFrame
    matches: tuple[Match, ...]
    departures: tuple[Departure, ...]

    def matches_of(self, outcome: str) -> tuple[Match, ...]:
        """Kept pairs of one outcome."""
        return tuple(match for match in self.matches if match.outcome == outcome)

    def departures_of(self, outcome: str) -> tuple[Departure, ...]:
        """Treated authorities that left one outcome."""
        return tuple(departure for departure in self.departures if departure.outcome == outcome)

    def is_unreviewed(self, outcome: str) -> bool:
        """Whether any pair of the outcome stands without a reviewer's verdict on the present list."""
        return any(match.is_unreviewed for match in self.matches_of(outcome))


def match_authorities(
    backend: Backend, protocols: Sequence[Protocol], *, refuses_lost_comparators: bool = True
) -> dict[str, AuthorityMatching]:
    """Match every treated authority of every programme for every evaluated outcome, in one pass.

    Candidates and their reasons: :mod:`csc_evaluation.matching.candidates`. Distances and their expected noise, the root
    mean square of the sampling errors of the changes of both authorities: :mod:`csc_evaluation.matching.distances`.
    Evidence: :mod:`csc_evaluation.matching.evidence`. Comparators: :mod:`csc_evaluation.matching.decisions`.

    Args:
        backend: a connection that may make temporary tables (read-only is enough).
        protocols: seeds of the programmes.
        refuses_lost_comparators: see :func:`csc_evaluation.matching.decisions.decide`.

    Returns:
        What was found, by programme. A treated authority that cannot be matched is a departure, not an error.

    Raises:
        OtherCandidatesError: a review names a comparator that is not among the candidates kept.
    """
    windows: list[WindowOf] = [
        (protocol, window) for protocol in protocols for window in matching_windows(protocol)
    ]
    tables = candidate_tables(backend, windows)
    found = distances(backend, tables)
    ranked = backend.create_table("csc_match_ranked", _ranked(tables, found), temp=True, overwrite=True)
    kept = ranked.filter(ranked.is_kept).select("window_no", "la_code", "distance")
    evidence, placebos = evidence_and_placebos(backend, windows, tables, found, kept)
    candidates = _candidates_frame(ranked)
    series = _series_frame(tables, found)
    numbers = range(len(windows))
    matching = {}
    for protocol in protocols:
        programme = protocol.programme.programme
        mine = [number for number in numbers if windows[number][0].programme.programme == programme]
        own = {number: windows[number][1] for number in mine}
        rows = _with_window_facts(_named(candidates, own), protocol, list(own.values()))
        rows = with_hashes(programme, rows, list(own.values()))
        matches, departures = decide(
            protocol, list(own.values()), rows, refuses_lost_comparators=refuses_lost_comparators
        )
        matching[programme] = AuthorityMatching(
            windows=tuple(own.values()),
            candidates=rows,
            series=_named(series, own),
            evidence=_named(evidence, own),
            placebos=_named(placebos, own),
            matches=matches,
            departures=departures,
        )
    return matching


def _ranked(tables: CandidateTables, found: Distances) -> Table:
    """Every authority of every window, with its distances and ranks where it is a candidate."""
    joined = tables.candidates.left_join(found.pairs, ["window_no", "la_code"]).drop(
        "window_no_right", "la_code_right"
    )
    joined = joined.inner_join(tables.windows.select("window_no", "n_kept"), "window_no")
    # Where nobody differs from anybody the first by code is no nearer than the last: none is kept.
    is_kept = ((joined.distance_rank <= joined.n_kept) & ~joined.is_constant).fill_null(False)
    return joined.mutate(is_kept=is_kept)


def _candidates_frame(ranked: Table) -> pd.DataFrame:
    order = [ranked.window_no, ibis.asc(ranked.distance_rank, nulls_first=False), ranked.la_code]
    return (
        ranked.order_by(order)
        .select(
            "window_no",
            "is_candidate",
            "reason",
            "distance",
            "distance_rank",
            "is_kept",
            "n_quarters",
            "first_quarter",
            "last_quarter",
            "expected_noise",
            "distance_levels",
            "rank_levels",
            "distance_both",
            "rank_both",
            candidate_la_code="la_code",
        )
        .to_pandas()
    )


def _series_frame(tables: CandidateTables, found: Distances) -> pd.DataFrame:
    """The series of the authorities compared, from the start of the data to the last quarter of the window."""
    compared = tables.candidates.filter(tables.candidates.is_compared).select("window_no", "la_code")
    joined = (
        tables.series.semi_join(compared, ["window_no", "la_code"])
        .left_join(found.scored, ["window_no", "la_code", "quarter_start"])
        .drop("window_no_right", "la_code_right", "quarter_start_right")
    )
    return (
        joined.mutate(is_in_distance=joined.z_change.notnull())
        .order_by(["window_no", "la_code", "quarter_start"])
        .to_pandas()
    )


def _named(rows: pd.DataFrame, windows: dict[int, MatchingWindow]) -> pd.DataFrame:
    """Rows of the given windows, with outcome and treated authority in the place of ``window_no``."""
    mine = rows[rows.window_no.isin(windows)]
    names = pd.DataFrame(
        [windows[number].pair for number in mine.window_no], columns=PAIR, index=mine.index, dtype=object
    )
    return pd.concat([names, mine.drop(columns="window_no")], axis=1).reset_index(drop=True)


def _with_window_facts(
    candidates: pd.DataFrame, protocol: Protocol, windows: Sequence[MatchingWindow]
) -> pd.DataFrame:
    """Adds what is the same for all candidates of a window."""
    facts = pd.DataFrame(
        [
            (*window.pair, window.is_short, window.cut_off, *pandemic_quarters(window, protocol))
            for window in windows
        ],
        columns=[
            *PAIR,
            "is_short_series",
            "cut_off",
            "n_pandemic_quarters_in_window",
            "n_pandemic_quarters_outside",
        ],
    )
    return candidates.merge(facts, on=PAIR, how="left", validate="many_to_one")
