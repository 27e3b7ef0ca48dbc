"""Which candidates become comparators, as the reviews in the seed say, and which treated authorities leave (section 7)."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from csc_evaluation.errors import OtherCandidatesError
from csc_evaluation.estimation.protocol import Protocol, Review
from csc_evaluation.matching.windows import MatchingWindow

PAIR = ["outcome", "treated_la_code"]


@dataclass(frozen=True)
class Match:
    """A treated authority and one comparator it keeps."""

    outcome: str
    match_group: str
    treated_la_code: str
    comparator_la_code: str
    go_live_date: dt.date
    distance: float
    distance_rank: int
    expected_noise: float | None
    """The distance that sampling alone would give two authorities with the same true trend; ``None`` without errors."""
    decision: str
    is_unreviewed: bool
    embedding_start: dt.date | None = None
    """First day of the group's embedding period, if it has one: index events inside it are left out, in both arms."""
    embedding_end: dt.date | None = None
    """Its last day."""
    comparator_weight: float | None = None
    """Weight of the comparator within its group; ``None`` everywhere pools the children of all comparators."""


class Cause(StrEnum):
    """What kind of reason makes a treated authority leave an outcome."""

    too_few_quarters = "too few quarters"
    missing_quarter = "missing quarter"
    no_candidate = "no candidate"
    constant_series = "constant series"
    all_rejected = "all rejected"


@dataclass(frozen=True)
class Departure:
    """A treated authority that leaves an outcome, and why."""

    outcome: str
    treated_la_code: str
    reason: str
    cause: Cause = Cause.no_candidate


def with_hashes(programme: str, candidates: pd.DataFrame, windows: Sequence[MatchingWindow]) -> pd.DataFrame:
    """The candidates with the hash of their kept list in ``candidates_hash``; rows must be in order of rank."""
    kept = candidates[candidates.is_kept].groupby(PAIR)["candidate_la_code"].agg(list).to_dict()
    hashes = {
        window.pair: candidates_hash(programme, window, kept.get(window.pair, [])) for window in windows
    }
    pairs = zip(candidates.outcome, candidates.treated_la_code, strict=True)
    return candidates.assign(candidates_hash=[hashes[pair] for pair in pairs])


def candidates_hash(programme: str, window: MatchingWindow, kept: Sequence[str]) -> str:
    """Hash of a kept list: programme, outcome, treated authority, quarters, candidates in order of rank (16 hex characters).

    A review carries it, so that a review of another list is noticed.
    """
    parts = [programme, *window.pair, *(str(quarter) for quarter in window.quarters), *kept]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def decide(
    protocol: Protocol,
    windows: Sequence[MatchingWindow],
    candidates: pd.DataFrame,
    *,
    refuses_lost_comparators: bool = True,
) -> tuple[tuple[Match, ...], tuple[Departure, ...]]:
    """Comparators of each window and the treated authorities that leave, in the order of the windows.

    Args:
        protocol: seeds of the programme, with its reviews.
        windows: its matching windows.
        candidates: its rows of ``results.la_match_candidates``, in order of rank within each window.
        refuses_lost_comparators: whether an accepted comparator that is no longer among the candidates kept is an error.
            To estimate without it would be to choose in the reviewer's place; to draw up a new list for review is not.

    Raises:
        OtherCandidatesError: a review accepts a comparator that is not among the candidates kept.
    """
    matches: list[Match] = []
    departures: list[Departure] = []
    by_pair = {pair: rows for pair, rows in candidates.groupby(PAIR)}
    for window in windows:
        rows = by_pair.get(window.pair, candidates.iloc[:0])
        kept = rows[rows.is_kept]
        if kept.empty:
            departures.append(_departure(window, rows, protocol))
            continue
        reviews = [r for r in protocol.reviews if (r.outcome, r.treated_la_code) == window.pair]
        chosen = _chosen(window, kept, reviews, refuses_lost_comparators)
        if not chosen:
            reason = f"a reviewer accepted none of the {len(kept)} candidates"
            departures.append(Departure(*window.pair, reason, Cause.all_rejected))
        matches.extend(chosen)
    return tuple(matches), tuple(departures)


def _departure(window: MatchingWindow, rows: pd.DataFrame, protocol: Protocol) -> Departure:
    def leaves(reason: str, cause: Cause) -> Departure:
        return Departure(*window.pair, reason, cause)

    if not window.quarters:
        minimum = protocol.parameters.matching_quarters_min
        return leaves(
            f"fewer than {minimum} full quarters of data end on or before {window.cut_off}",
            Cause.too_few_quarters,
        )
    if not rows.candidate_la_code.eq(window.site.la_code).any():
        return leaves("it is not in reference.local_authorities", Cause.no_candidate)
    if rows.reason.eq("the treated authority has a quarter without data").any():
        return leaves(
            f"it has no fully observed children in a quarter between {window.quarters[0]} and {window.cut_off}",
            Cause.missing_quarter,
        )
    if rows.is_candidate.any():
        return leaves(
            f"in no quarter between {window.quarters[0]} and {window.cut_off} does any authority differ from another, so "
            "distances say nothing",
            Cause.constant_series,
        )
    return leaves("no authority is left as a candidate", Cause.no_candidate)


def as_match(
    window: MatchingWindow,
    code: str,
    *,
    distance: float,
    rank: int,
    expected_noise: float | None,
    decision: str,
    is_unreviewed: bool,
    comparator_weight: float | None = None,
) -> Match:
    """A comparator of a window's treated authority, with the calendar of the group."""
    return Match(
        outcome=window.outcome,
        match_group=window.site.la_code,
        treated_la_code=window.site.la_code,
        comparator_la_code=code,
        go_live_date=window.site.go_live_date,
        distance=distance,
        distance_rank=rank,
        expected_noise=expected_noise,
        decision=decision,
        is_unreviewed=is_unreviewed,
        embedding_start=window.site.embedding_start,
        embedding_end=window.site.embedding_end,
        comparator_weight=comparator_weight,
    )


def _chosen(
    window: MatchingWindow, kept: pd.DataFrame, reviews: Sequence[Review], refuses_lost: bool
) -> list[Match]:
    by_code = {
        str(code): (float(distance), int(rank), None if pd.isna(noise) else float(noise))
        for code, distance, rank, noise in zip(
            kept.candidate_la_code, kept.distance, kept.distance_rank, kept.expected_noise, strict=True
        )
    }
    verdicts = {review.comparator_la_code: review for review in reviews}
    present_hash = str(kept.candidates_hash.iloc[0])
    every_accepted = [code for code, review in verdicts.items() if review.is_accepted]
    lost = [code for code in every_accepted if code not in by_code]
    if lost and refuses_lost:
        raise OtherCandidatesError(
            f"protocol.match_reviews: {lost[0]} is accepted for {window.site.la_code} ({window.outcome}) but is not among "
            f"its {len(kept)} candidates now ({', '.join(by_code)}): match and review the "
            "pair again."
        )
    accepted = [code for code in every_accepted if code in by_code]

    def match(code: str, decision: str, *, is_unreviewed: bool) -> Match:
        distance, rank, noise = by_code[code]
        return as_match(
            window,
            code,
            distance=distance,
            rank=rank,
            expected_noise=noise,
            decision=decision,
            is_unreviewed=is_unreviewed,
        )

    if accepted:
        # A verdict on another list of candidates still chooses the comparator, but does not count as a review.
        stale = bool(lost) or any(verdicts[code].candidates_hash != present_hash for code in accepted)
        decision = "accepted on an earlier list" if stale else "accepted"
        return [match(code, decision, is_unreviewed=stale) for code in by_code if code in accepted]
    open_codes = [code for code in by_code if code not in verdicts]
    if not open_codes:
        return []
    decision = "nearest, unreviewed"
    if verdicts:
        decision = "nearest not yet rejected, unreviewed"
    if lost:
        decision = "nearest, unreviewed: an accepted comparator is no candidate any more"
    return [match(open_codes[0], decision, is_unreviewed=True)]
