"""Matched groups: who is in which, from when to when, and which of a group's periods a day falls into.

A matched group is a treated authority with its comparators. Its calendar (go-live, and where there is one the embedding
period) is the treated authority's and holds for both arms, so that they lose the same days.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from csc_evaluation.errors import CscError
from csc_evaluation.matching.authorities import Match

ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Calendar:
    """When a group's index events count, and as before or after go-live."""

    go_live: dt.date
    leaves_after: dt.date | None = None
    """The last index date before embedding that counts; ``None`` without an embedding period."""
    returns_on: dt.date | None = None
    """The first index date after embedding."""

    @property
    def turns(self) -> set[dt.date]:
        """First days of the periods between which an index event's place changes."""
        turns = {self.go_live}
        if self.leaves_after is not None and self.returns_on is not None:
            turns |= {self.leaves_after + ONE_DAY, self.returns_on}
        return turns

    def counts(self, day: dt.date) -> bool:
        """Whether an index event on that day belongs to the group."""
        if self.leaves_after is None or self.returns_on is None:
            return True
        return day <= self.leaves_after or day >= self.returns_on


@dataclass(frozen=True)
class Member:
    """An authority in a matched group."""

    match_group: str
    la_code: str
    is_treated_authority: bool
    calendar: Calendar
    comparator_weight: float | None
    """Its share of the control arm; ``None`` where the comparators' children are pooled, and for the treated authority."""


def group_members(matches: Sequence[Match], follow_up_months: int) -> tuple[Member, ...]:
    """The authorities of each group, in order of group and code; a comparator that weighs nothing is none of them.

    Args:
        matches: pairs of authorities of one outcome.
        follow_up_months: the outcome's whole follow-up, for the events before an embedding period.

    Raises:
        CscError: an authority is in both arms, the pairs of a group disagree on its calendar, only some comparators of
            a group have a weight, a weight is negative, or all are zero.
    """
    members: dict[tuple[str, str], Member] = {}
    for match in matches:
        calendar = group_calendar(match, follow_up_months)
        pair = (
            (match.treated_la_code, True, None),
            (match.comparator_la_code, False, match.comparator_weight),
        )
        for la_code, is_treated, weight in pair:
            member = Member(match.match_group, la_code, is_treated, calendar, weight)
            if members.setdefault((match.match_group, la_code), member) != member:
                raise CscError(
                    f"matched group {match.match_group}: its pairs disagree on the calendar, the arm or the weight of {la_code}."
                )
    arms = {(member.la_code, member.is_treated_authority) for member in members.values()}
    both = sorted({code for code, is_treated in arms if is_treated and (code, False) in arms})
    if both:
        raise CscError(
            f"authority {both[0]} is a treated authority in one matched group and a comparator in another; "
            "an authority of the programme cannot be a comparator."
        )
    _refuse_unusable_weights(members.values())
    kept = [member for member in members.values() if member.comparator_weight != 0]
    return tuple(sorted(kept, key=lambda member: (member.match_group, member.la_code)))


def _refuse_unusable_weights(members: Iterable[Member]) -> None:
    weights: dict[str, list[float | None]] = {}
    for member in members:
        if not member.is_treated_authority:
            weights.setdefault(member.match_group, []).append(member.comparator_weight)
    for group, given in weights.items():
        numbers = [weight for weight in given if weight is not None]
        if not numbers:
            continue
        if len(numbers) < len(given) or min(numbers) < 0 or sum(numbers) <= 0:
            raise CscError(
                f"matched group {group}: comparator weights are {given}; either none has one, or all have, "
                "none negative and together above zero."
            )


def group_calendar(match: Match, follow_up_months: int) -> Calendar:
    """The calendar of a match's group."""
    if match.embedding_start is None:
        return Calendar(match.go_live_date)
    last_day = match.embedding_end or match.go_live_date - ONE_DAY
    return Calendar(
        go_live=match.go_live_date,
        leaves_after=last_index_date_before(match.embedding_start, follow_up_months),
        returns_on=last_day + ONE_DAY,
    )


def last_index_date_before(start: dt.date, follow_up_months: int) -> dt.date:
    """The last index date whose whole follow-up ends before ``start``, months clipped at their ends.

    The marts use the same rule for the treated authorities (``is_clear_of_embedding``).

    Example:
        >>> last_index_date_before(dt.date(2014, 10, 1), 6)
        datetime.date(2014, 3, 31)
        >>> last_index_date_before(dt.date(2015, 3, 1), 1)  # 28 to 31 January all end on 28 February
        datetime.date(2015, 1, 31)
    """

    def follow_up_end(day: dt.date) -> dt.date:
        return (pd.Timestamp(day) + pd.DateOffset(months=follow_up_months)).date()

    day = (pd.Timestamp(start) - pd.DateOffset(months=follow_up_months)).date()
    while follow_up_end(day) >= start:
        day -= ONE_DAY
    while follow_up_end(day + ONE_DAY) < start:
        day += ONE_DAY
    return day


@dataclass(frozen=True)
class Places:
    """Authority and period reduced to one number: children of one place are in the same groups on the same side of go-live.

    ``turns`` cut time into segments, numbered from 0 (before the first). ``by_segment``: ``la_code, segment, place``,
    without the segments in which an authority is in no group. ``memberships``: ``place, la_code, match_group, is_post,
    is_treated_authority, comparator_weight``, a row per group of the place.
    """

    turns: tuple[dt.date, ...]
    by_segment: pd.DataFrame
    memberships: pd.DataFrame
    treated: frozenset[str]

    @property
    def n_places(self) -> int:
        """How many places there are."""
        return int(self.by_segment.place.max()) + 1 if len(self.by_segment) else 0


def places_of(members: Sequence[Member]) -> Places:
    """Number the places of the groups' members, in order of authority and time."""
    turns = tuple(sorted({turn for member in members for turn in member.calendar.turns}))
    first_days = [turns[0] - ONE_DAY, *turns] if turns else []
    numbers: dict[tuple[str, tuple[tuple[str, bool], ...]], int] = {}
    segments, memberships = [], []
    for la_code in sorted({member.la_code for member in members}):
        mine = [member for member in members if member.la_code == la_code]
        for segment, day in enumerate(first_days):
            inside = [
                (member, day >= member.calendar.go_live) for member in mine if member.calendar.counts(day)
            ]
            if not inside:
                continue
            key = (la_code, tuple((member.match_group, is_post) for member, is_post in inside))
            if key not in numbers:
                numbers[key] = len(numbers)
                memberships += [
                    (
                        numbers[key],
                        la_code,
                        member.match_group,
                        is_post,
                        member.is_treated_authority,
                        member.comparator_weight,
                    )
                    for member, is_post in inside
                ]
            segments.append((la_code, segment, numbers[key]))
    return Places(
        turns=turns,
        by_segment=pd.DataFrame(segments, columns=["la_code", "segment", "place"]).astype(
            {"la_code": "string", "segment": "int64", "place": "int64"}
        ),
        memberships=pd.DataFrame(
            memberships,
            columns=[
                "place",
                "la_code",
                "match_group",
                "is_post",
                "is_treated_authority",
                "comparator_weight",
            ],
        ).astype(
            {
                "place": "int64",
                "la_code": "string",
                "match_group": "string",
                "is_post": "bool",
                "is_treated_authority": "bool",
                "comparator_weight": "float64",
            }
        ),
        treated=frozenset(member.la_code for member in members if member.is_treated_authority),
    )


def n_shared_comparators(members: Sequence[Member]) -> int:
    """Comparator authorities that serve more than one group."""
    codes = sorted(member.la_code for member in members if not member.is_treated_authority)
    return len({code for code, following in pairwise(codes) if code == following})
