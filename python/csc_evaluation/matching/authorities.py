"""Matching authorities on parallel trends before go-live (definitions, section 7)."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import pandas as pd

from csc_evaluation.errors import SeedError
from csc_evaluation.estimation.protocol import Outcome, Protocol, Review, Site

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table, Value

MONTHS_IN_QUARTER = 3
PAIR = ["outcome", "treated_la_code"]


@dataclass(frozen=True)
class MatchingWindow:
    """The quarters on which one treated authority is matched for one outcome."""

    outcome: str
    site: Site
    cut_off: dt.date
    """Go-live (or the start of embedding) minus the outcome's window: quarters end on or before it."""
    quarters: tuple[dt.date, ...]
    """First days of the quarters, in order."""
    is_short: bool
    """Fewer quarters than the protocol asks for."""


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
    embedding_end: dt.date | None = None
    """Embedding period of the treated authority, inclusive: its calendar holds for the whole group; not stored."""
    comparator_weight: float | None = None
    """Share of the comparator in its group's control arm; ``None``: children are pooled; not stored."""


@dataclass(frozen=True)
class Departure:
    """A treated authority that leaves an outcome, and why."""

    outcome: str
    treated_la_code: str
    reason: str


@dataclass(frozen=True)
class AuthorityMatching:
    """What matching on trends found, for all outcomes and treated authorities.

    ``candidates`` has the columns of ``results.la_match_candidates`` and ``expected_noise``, ``series`` those of
    ``results.la_match_series``, both without ``run_id`` and ``programme``.
    """

    windows: tuple[MatchingWindow, ...]
    candidates: pd.DataFrame
    series: pd.DataFrame
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


def matching_window(
    site: Site, outcome: Outcome, *, data_from: dt.date, n_quarters: int, n_quarters_min: int
) -> MatchingWindow:
    """The last full calendar quarters that end on or before go-live minus the outcome's window.

    Args:
        site: the treated authority; where it has an embedding period, its start takes the place of go-live.
        outcome: gives the window in months.
        data_from: first day of the data; a quarter that starts before it is not full.
        n_quarters: how many quarters the protocol asks for.
        n_quarters_min: with fewer the window is empty (the authority cannot be matched).

    Example:
        >>> from csc_evaluation.estimation.protocol import Outcome, Site
        >>> walsall = Site("335", 1, dt.date(2020, 9, 1), None, True)
        >>> care = Outcome("looked_after_18m", "", "primary", "binary", "lower_better", "first_referral", 18, True)
        >>> window = matching_window(walsall, care, data_from=dt.date(2017, 4, 1), n_quarters=8, n_quarters_min=6)
        >>> len(window.quarters), window.is_short, str(window.quarters[-1])
        (7, True, '2018-10-01')
    """
    start = pd.Timestamp(site.embedding_start or site.go_live_date)
    cut_off = start - pd.DateOffset(months=outcome.follow_up_months)
    after_last = (cut_off + pd.DateOffset(days=1)).to_period("Q").start_time
    quarters = [
        (after_last - pd.DateOffset(months=MONTHS_IN_QUARTER * back)).date()
        for back in range(n_quarters, 0, -1)
    ]
    full = tuple(quarter for quarter in quarters if quarter >= data_from)
    return MatchingWindow(
        outcome=outcome.outcome,
        site=site,
        cut_off=cut_off.date(),
        quarters=full if len(full) >= n_quarters_min else (),
        is_short=len(full) < n_quarters,
    )


def match_authorities(backend: Backend, protocol: Protocol) -> AuthorityMatching:
    """Match every treated authority for every evaluated outcome, in one pass over ``marts.la_quarter_outcomes``.

    The distance of a candidate is the root mean square, over the quarters of the window that have a quarter before
    them in it, of the difference between its and the treated authority's change in ``z``; ``z`` standardises a
    quarter's means across the candidates and that treated authority (sample standard deviation). Beside each distance
    stands its expected noise, the root mean square of the sampling errors of those changes for both authorities.

    Raises:
        SeedError: a review names a comparator that is not among the candidates kept.
    """
    parameters = protocol.parameters
    data_from = max(protocol.programme.data_span_start, protocol.programme.trial_start)
    windows = tuple(
        matching_window(
            site,
            outcome,
            data_from=data_from,
            n_quarters=parameters.matching_quarters,
            n_quarters_min=parameters.matching_quarters_min,
        )
        for outcome in protocol.outcomes
        for site in protocol.sites
    )
    authorities = _authorities(backend, protocol)
    series = _series(backend, protocol, windows, authorities)
    candidates = _candidates(backend, protocol, windows, authorities, series)
    standardised = _standardised(series, candidates)
    ranked = _ranked(standardised, candidates, parameters.matching_candidates_kept)
    candidates_frame = _with_hashes(
        _candidate_rows(ranked, windows, parameters.matching_quarters_min), windows
    )
    shown = standardised.drop("noise_of_change")
    series_frame = shown.order_by([*PAIR, "la_code", "quarter_start"]).to_pandas()
    matches, departures = _decide(protocol, windows, candidates_frame)
    return AuthorityMatching(windows, candidates_frame, series_frame, matches, departures)


def _authorities(backend: Backend, protocol: Protocol) -> Table:
    """One row per authority, with the reason (or null) why it may not be a comparator whatever its series."""
    span_start, span_end = protocol.programme.data_span_start, protocol.programme.data_span_end
    reasons: dict[str, str] = {}
    for exclusion in sorted(protocol.exclusions, key=lambda row: (row.la_code, row.reason)):
        starts = exclusion.excluded_from or span_start
        ends = exclusion.excluded_to or span_end
        if starts <= span_end and ends >= span_start:
            between = "" if starts <= span_start and ends >= span_end else f" ({starts} to {ends})"
            reasons[exclusion.la_code] = _joined(
                reasons.get(exclusion.la_code), f"excluded: {exclusion.reason}{between}"
            )
    for site in protocol.sites:
        reasons[site.la_code] = "is an authority of the programme"
    listed = backend.table("local_authorities", database="reference")
    seed_reasons = ibis.memtable(
        pd.DataFrame({"la_code": list(reasons), "seed_reason": list(reasons.values())}, dtype="string")
    )
    starts_late = listed.valid_from.cast("date").fill_null(ibis.literal(span_start)) > ibis.literal(
        span_start
    )
    ends_early = listed.valid_to.cast("date").fill_null(ibis.literal(span_end)) < ibis.literal(span_end)
    return (
        listed.mutate(la_code=listed.la_code.cast("string"), is_absent=starts_late | ends_early)
        .left_join(seed_reasons, "la_code")
        .select("la_code", "is_absent", "seed_reason")
        .mutate(
            standing_reason=ibis.coalesce(
                ibis._.seed_reason,
                ibis._.is_absent.ifelse(
                    "the authority did not exist throughout the programme's data", ibis.null("string")
                ),
            )
        )
        .select("la_code", "standing_reason")
    )


def _joined(first: str | None, second: str) -> str:
    return second if first is None else f"{first}; {second}"


def _series(
    backend: Backend, protocol: Protocol, windows: Sequence[MatchingWindow], authorities: Table
) -> Table:
    """One row per outcome, treated authority, authority and quarter of the window; null where nothing was landed."""
    wanted = pd.DataFrame(
        [(window.outcome, window.site.la_code, quarter) for window in windows for quarter in window.quarters],
        columns=["outcome", "treated_la_code", "quarter_start"],
    ).astype({"outcome": "string", "treated_la_code": "string"})
    wanted["quarter_start"] = pd.to_datetime(wanted["quarter_start"])
    quarters = ibis.memtable(wanted).mutate(quarter_start=ibis._.quarter_start.cast("date"))
    la_quarters = backend.table("la_quarter_outcomes", database="marts")
    la_quarters = la_quarters.filter(la_quarters.programme == protocol.programme.programme).select(
        "outcome",
        "la_code",
        quarter_start=la_quarters.quarter_start.cast("date"),
        n_children=la_quarters.n_children.cast("int64"),
        mean_value=la_quarters.mean_value.cast("float64"),
        standard_error=la_quarters.standard_error.cast("float64"),
    )
    series = quarters.cross_join(authorities.select("la_code")).left_join(
        la_quarters, ["outcome", "la_code", "quarter_start"]
    )
    series = series.select(
        "outcome",
        "treated_la_code",
        "la_code",
        "quarter_start",
        n_children=series.n_children.fill_null(0),
        mean_value=series.mean_value,
        standard_error=series.standard_error,
    )
    return backend.create_table("csc_match_series", series, temp=True, overwrite=True)


def _candidates(
    backend: Backend, protocol: Protocol, windows: Sequence[MatchingWindow], authorities: Table, series: Table
) -> Table:
    """One row per outcome, treated authority and authority: whether its series may be compared, and if not why."""
    n_min = protocol.parameters.matching_n_min
    pairs = ibis.memtable(
        pd.DataFrame([(w.outcome, w.site.la_code) for w in windows], columns=PAIR, dtype="string")
    )
    has_no_value = series.mean_value.isnull() | (series.n_children == 0)
    counted = series.group_by([*PAIR, "la_code"]).agg(
        n_quarters=series.count(),
        n_missing=has_no_value.sum().fill_null(0),
        n_small=(~has_no_value & (series.n_children < n_min)).sum().fill_null(0),
        first_quarter=series.quarter_start.min(),
        last_quarter=series.quarter_start.max(),
    )
    treated = counted.filter(counted.la_code == counted.treated_la_code).select(
        *PAIR, treated_is_complete=counted.n_missing == 0
    )
    joined = (
        pairs.cross_join(authorities)
        .left_join(counted, [*PAIR, "la_code"])
        .drop("outcome_right", "treated_la_code_right", "la_code_right")
        .left_join(treated, PAIR)
        .drop("outcome_right", "treated_la_code_right")
    )
    is_self = joined.la_code == joined.treated_la_code
    n_quarters = joined.n_quarters.fill_null(0)
    quarters_text = ibis.literal(" of ") + n_quarters.cast("string") + " quarters"
    reason = ibis.cases(
        (is_self, "is the treated authority itself"),
        (joined.standing_reason.notnull(), joined.standing_reason),
        (n_quarters == 0, "the treated authority has too few quarters before go-live minus the window"),
        (~joined.treated_is_complete.fill_null(False), "the treated authority has a quarter without data"),
        (joined.n_missing > 0, ibis.literal("no data in ") + joined.n_missing.cast("string") + quarters_text),
        (
            joined.n_small > 0,
            ibis.literal(f"fewer than {n_min} children in ") + joined.n_small.cast("string") + quarters_text,
        ),
        else_=ibis.null("string"),
    )
    candidates = joined.select(
        *PAIR,
        "la_code",
        "first_quarter",
        "last_quarter",
        n_quarters=n_quarters.cast("int32"),
        reason=reason,
        is_candidate=reason.isnull(),
        is_treated=is_self,
        is_treated_usable=(n_quarters > 0) & joined.treated_is_complete.fill_null(False),
    )
    return backend.create_table("csc_match_candidates", candidates, temp=True, overwrite=True)


def _standardised(series: Table, candidates: Table) -> Table:
    """``z`` and its change by quarter, for the candidates and the treated authority together."""
    compared = candidates.filter(
        candidates.is_candidate | (candidates.is_treated & candidates.is_treated_usable)
    )
    rows = series.semi_join(compared, [*PAIR, "la_code"])
    # Sums run over arrays ordered by authority, so that their last digit does not depend on threads.
    cell = [*PAIR, "quarter_start"]
    means = rows.group_by(cell).agg(
        n_compared=rows.count(), quarter_mean=_ordered(rows.mean_value, rows.la_code).means()
    )
    centred = rows.inner_join(means, cell)
    centred = centred.mutate(deviation=centred.mean_value - centred.quarter_mean)
    spread = centred.group_by(cell).agg(
        quarter_sd=(
            _ordered(centred.deviation * centred.deviation, centred.la_code).sums()
            / (centred.n_compared.max() - 1).nullif(0)
        ).sqrt()
    )
    scored = centred.inner_join(spread, cell)
    # Where all are alike (or only one is left) nobody differs: z is 0, not missing.
    scored = scored.mutate(
        z_value=(scored.quarter_sd.fill_null(0.0) > 0).ifelse(
            scored.deviation / scored.quarter_sd.nullif(0.0), 0.0
        )
    )
    in_order = ibis.window(group_by=[*PAIR, "la_code"], order_by="quarter_start")
    # What sampling alone makes of z: its variance were the authority's true mean known, and that of its change.
    noise = (scored.standard_error / scored.quarter_sd.nullif(0.0)) ** 2
    scored = scored.mutate(noise=noise)
    changed = scored.mutate(
        z_change=scored.z_value - scored.z_value.lag().over(in_order),
        noise_of_change=scored.noise + scored.noise.lag().over(in_order),
    )
    return changed.select(
        *PAIR,
        "la_code",
        "quarter_start",
        "n_children",
        "mean_value",
        "z_value",
        "z_change",
        "noise_of_change",
        is_in_distance=changed.z_change.notnull(),
    )


def _ordered(column: Value, by: Value) -> Value:
    return column.collect(order_by=by)


def _ranked(standardised: Table, candidates: Table, n_kept: int) -> Table:
    changes = standardised.filter(standardised.is_in_distance)
    treated = changes.filter(changes.la_code == changes.treated_la_code).select(
        *PAIR, "quarter_start", treated_change="z_change", treated_noise="noise_of_change"
    )
    others = changes.filter(changes.la_code != changes.treated_la_code).inner_join(
        treated, [*PAIR, "quarter_start"]
    )
    gap = others.treated_change - others.z_change
    noise = others.noise_of_change + others.treated_noise
    distances = others.group_by([*PAIR, "la_code"]).agg(
        distance=_ordered(gap * gap, others.quarter_start).means().sqrt(),
        expected_noise=_ordered(noise, others.quarter_start).means().sqrt(),
    )
    ranks = distances.mutate(
        distance_rank=(
            ibis.row_number().over(group_by=PAIR, order_by=[distances.distance, distances.la_code]) + 1
        ).cast("int32")
    )
    joined = candidates.left_join(ranks, [*PAIR, "la_code"])
    return joined.select(
        *PAIR,
        "is_candidate",
        "reason",
        "distance",
        "distance_rank",
        "expected_noise",
        "n_quarters",
        "first_quarter",
        "last_quarter",
        candidate_la_code="la_code",
        is_kept=(joined.distance_rank <= n_kept).fill_null(False),
    ).order_by([*PAIR, "distance_rank", "candidate_la_code"])


def _candidate_rows(ranked: Table, windows: Sequence[MatchingWindow], n_quarters_min: int) -> pd.DataFrame:
    frame = ranked.to_pandas()
    frame = frame.sort_values(
        [*PAIR, "distance_rank", "candidate_la_code"], na_position="last", ignore_index=True
    )
    short = {(window.outcome, window.site.la_code): window.is_short for window in windows}
    frame["is_short_series"] = [
        short[pair] for pair in zip(frame.outcome, frame.treated_la_code, strict=True)
    ]
    return frame


def _with_hashes(candidates: pd.DataFrame, windows: Sequence[MatchingWindow]) -> pd.DataFrame:
    hashes = {}
    for window in windows:
        pair = (window.outcome, window.site.la_code)
        rows = candidates[
            (candidates.outcome == pair[0]) & (candidates.treated_la_code == pair[1]) & candidates.is_kept
        ]
        hashes[pair] = candidates_hash(window, rows.candidate_la_code.tolist())
    candidates["candidates_hash"] = [
        hashes[pair] for pair in zip(candidates.outcome, candidates.treated_la_code, strict=True)
    ]
    return candidates


def candidates_hash(window: MatchingWindow, kept: Sequence[str]) -> str:
    """Hash of a kept list: outcome, treated authority, quarters and candidates in order of rank (16 hex characters).

    A review carries it, so that a review of another list is noticed.
    """
    parts = [window.outcome, window.site.la_code, *(str(quarter) for quarter in window.quarters), *kept]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _decide(
    protocol: Protocol, windows: Sequence[MatchingWindow], candidates: pd.DataFrame
) -> tuple[tuple[Match, ...], tuple[Departure, ...]]:
    matches: list[Match] = []
    departures: list[Departure] = []
    for window in windows:
        treated = window.site.la_code
        rows = candidates[(candidates.outcome == window.outcome) & (candidates.treated_la_code == treated)]
        kept = rows[rows.is_kept]
        if kept.empty:
            departures.append(Departure(window.outcome, treated, _why_no_candidate(window, rows, protocol)))
            continue
        reviews = [r for r in protocol.reviews if (r.outcome, r.treated_la_code) == (window.outcome, treated)]
        chosen = _chosen(window, kept, reviews)
        if not chosen:
            departures.append(
                Departure(window.outcome, treated, f"a reviewer accepted none of the {len(kept)} candidates")
            )
        matches.extend(chosen)
    return tuple(matches), tuple(departures)


def _why_no_candidate(window: MatchingWindow, rows: pd.DataFrame, protocol: Protocol) -> str:
    minimum = protocol.parameters.matching_quarters_min
    if not window.quarters:
        return f"fewer than {minimum} full quarters of data end on or before {window.cut_off}"
    if rows.reason.eq("the treated authority has a quarter without data").any():
        return f"it has no fully observed children in a quarter between {window.quarters[0]} and {window.cut_off}"
    if not rows.candidate_la_code.eq(window.site.la_code).any():
        return "it is not in reference.local_authorities"
    return "no authority is left as a candidate"


def _chosen(window: MatchingWindow, kept: pd.DataFrame, reviews: Sequence[Review]) -> list[Match]:
    by_code = {
        str(code): (float(distance), int(rank), None if pd.isna(noise) else float(noise))
        for code, distance, rank, noise in zip(
            kept.candidate_la_code, kept.distance, kept.distance_rank, kept.expected_noise, strict=True
        )
    }
    verdicts = {review.comparator_la_code: review for review in reviews}
    present_hash = str(kept.candidates_hash.iloc[0])
    accepted = [code for code, review in verdicts.items() if review.is_accepted]
    for code in accepted:
        if code not in by_code:
            raise SeedError(
                f"protocol.match_reviews: {code} is accepted for {window.site.la_code} ({window.outcome}) but is not among "
                f"its {len(kept)} candidates now ({', '.join(by_code)}); review the pair again."
            )

    def as_match(code: str, decision: str, *, is_unreviewed: bool) -> Match:
        distance, rank, noise = by_code[code]
        return Match(
            outcome=window.outcome,
            match_group=window.site.la_code,
            treated_la_code=window.site.la_code,
            comparator_la_code=code,
            go_live_date=window.site.go_live_date,
            distance=distance,
            distance_rank=rank,
            expected_noise=noise,
            decision=decision,
            is_unreviewed=is_unreviewed,
        )

    if accepted:
        # A verdict on another list of candidates still chooses the comparator, but does not count as a review.
        stale = any(verdicts[code].candidates_hash != present_hash for code in accepted)
        decision = "accepted on an earlier list" if stale else "accepted"
        return [as_match(code, decision, is_unreviewed=stale) for code in by_code if code in accepted]
    open_codes = [code for code in by_code if code not in verdicts]
    if not open_codes:
        return []
    decision = "nearest not yet rejected, unreviewed" if verdicts else "nearest, unreviewed"
    return [as_match(open_codes[0], decision, is_unreviewed=True)]
