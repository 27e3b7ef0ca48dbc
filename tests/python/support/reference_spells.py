"""Spells, periods of care and the outcome by plain loops, written from the definitions alone: slow and obvious."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta

SHORT_BREAKS = {"V3", "V4"}


@dataclass(frozen=True)
class ReferralRecord:
    """A referral as one return carries it."""

    return_year: int
    referral_date: date
    closure_date: date | None
    primary_need: str | None
    is_nfa: bool


@dataclass(frozen=True)
class EpisodeRecord:
    """An episode of care as one return carries it."""

    return_year: int
    start: date
    end: date | None
    reason_new: str
    reason_ceased: str | None
    legal_status: str


@dataclass(frozen=True)
class Spell:
    """A referral once over all returns."""

    referral_date: date
    closure_date: date | None
    primary_need: str | None
    is_nfa: bool
    is_closure_before_referral: bool
    is_inside_open_spell: bool
    n_returns: int


def referral_spells(records: list[ReferralRecord]) -> list[Spell]:
    """Definitions, section 3: a spell is a referral date; the latest return decides how it ended."""
    facts = []
    for day in sorted({record.referral_date for record in records}):
        same = sorted(
            (record for record in records if record.referral_date == day),
            key=lambda record: record.return_year,
        )
        latest = same[-1]
        needs = [record.primary_need for record in same if record.primary_need]
        closure = latest.closure_date
        facts.append(
            {
                "day": day,
                "closure": None if closure is None else max(closure, day),
                "before": closure is not None and closure < day,
                "until": max(closure or date(latest.return_year, 3, 31), day),
                "need": needs[0] if needs else None,
                "nfa": latest.is_nfa,
                "n": len({record.return_year for record in same}),
            }
        )
    spells = []
    for fact in facts:
        inside = any(
            other["day"] < fact["day"] < other["until"]  # type: ignore[operator]
            for other in facts
        )
        spells.append(
            Spell(
                fact["day"],  # type: ignore[arg-type]
                fact["closure"],  # type: ignore[arg-type]
                fact["need"],  # type: ignore[arg-type]
                bool(fact["nfa"]),
                bool(fact["before"]),
                inside,
                int(fact["n"]),  # type: ignore[call-overload]
            )
        )
    return spells


def episodes_kept(records: list[EpisodeRecord]) -> set[EpisodeRecord]:
    """What the latest return that has any episode starting on a day says of that day, less what is withdrawn.

    Withdrawn: an episode of which a later return that did not carry it says that another one of its kind, which none
    of the returns before carried, had begun earlier and still ran after the end of the last year that carried it.
    """
    first = {day: min(r.return_year for r in records if r.start == day) for day in {r.start for r in records}}
    latest = {day: max(r.return_year for r in records if r.start == day) for day in first}
    kept = {record for record in records if record.return_year == latest[record.start]}

    def is_withdrawn(record: EpisodeRecord) -> bool:
        year_end = date(record.return_year, 3, 31)
        return record.start <= year_end and any(
            other.start < record.start
            and first[other.start] > record.return_year
            and (other.end is None or other.end > year_end)
            and (other.legal_status in SHORT_BREAKS) == (record.legal_status in SHORT_BREAKS)
            for other in kept
        )

    return {record for record in kept if not is_withdrawn(record)}


def care_periods(
    records: list[EpisodeRecord], *, short_breaks: bool = False, gap_days: int = 1
) -> list[tuple[date, date | None]]:
    """Start and end of each period of care (or of each short-break series), in order.

    Definitions, section 3: from a reason-new-episode S to a reason-ceased other than X1; a gap over one day
    starts a new period; the latest return decides about the episodes that start on a day; an episode that is
    open ends where the next one starts; a gap is counted from the latest end so far; a period ends where the next
    one starts at the latest; one day starts one period at most.
    """
    not_withdrawn = episodes_kept(records)
    days: list[list[EpisodeRecord]] = []
    for start in sorted({record.start for record in records}):
        same = {record for record in not_withdrawn if record.start == start}
        kept = [record for record in same if (record.legal_status in SHORT_BREAKS) == short_breaks]
        if kept:
            days.append(sorted(kept, key=lambda record: (record.end is None, record.end or date.max)))
    episodes = [record for day in days for record in day]
    until: list[date | None] = []
    for place, record in enumerate(episodes):
        following = episodes[place + 1].start if place + 1 < len(episodes) else None
        until.append(record.end or following)
    groups: list[list[int]] = []
    place = 0
    for day in days:
        is_new = place == 0
        first = place
        for record in day:
            if place > 0:
                earlier_ends = [end for end in until[:place] if end is not None]
                is_new |= record.reason_new == "S"
                is_new |= episodes[place - 1].reason_ceased not in (None, "X1")
                is_new |= record.start - max(earlier_ends) > timedelta(days=gap_days)
            place += 1
        if is_new:
            groups.append([])
        groups[-1] += range(first, place)
    periods: list[tuple[date, date | None]] = []
    for number, group in enumerate(groups):
        ends = [until[place] for place in group]
        if ends[-1] is None:
            periods.append((episodes[group[0]].start, None))
            continue
        end = max(day for day in ends if day is not None)
        if number + 1 < len(groups):
            end = min(end, episodes[groups[number + 1][0]].start)
        periods.append((episodes[group[0]].start, end))
    return periods


def add_months(day: date, months: int) -> date:
    """The same day so many calendar months later, month ends clipped."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def first_care_within(starts: list[date], index_date: date, months: int) -> date | None:
    """The first start from the index date to so many months later, both counted."""
    last_day = add_months(index_date, months)
    day = index_date
    while day <= last_day:
        if day in starts:
            return day
        day += timedelta(days=1)
    return None


def completed_years(birth_month: date, day: date) -> int:
    """Age by months from birth month to the month of the day; 0 before birth."""
    years = 0
    while add_months(birth_month, 12 * (years + 1)) <= day.replace(day=1):
        years += 1
    return years


def days_covered(spans: list[tuple[date, date | None]]) -> set[date]:
    """Every day from a start until the day before its end; open spans end nowhere and are left out."""
    covered: set[date] = set()
    for start, end in spans:
        if end is not None:
            covered |= {start + timedelta(days=n) for n in range((end - start).days)}
    return covered
