"""Spells, periods of care and the outcome by plain loops, written from the definitions alone: slow and obvious."""

from __future__ import annotations

import calendar
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Dated:
    """Something with a start and perhaps an end inside a referral of one return: a plan."""

    start: date
    end: date | None


@dataclass(frozen=True)
class AssessmentRecord:
    """An assessment inside a referral of one return; without a start nothing says which one it is."""

    start: date | None
    authorisation: date | None
    factors: frozenset[str]


@dataclass(frozen=True)
class EnquiryRecord:
    """A section 47 enquiry inside a referral of one return."""

    start: date | None
    conference: date | None


@dataclass(frozen=True)
class ReferralInReturn:
    """A referral as one return carries it, with what it holds."""

    return_year: int
    referral_date: date
    closure_date: date | None
    conference: date | None
    assessments: tuple[AssessmentRecord, ...]
    enquiries: tuple[EnquiryRecord, ...]
    cp_plans: tuple[Dated, ...]
    cin_plans: tuple[Dated, ...]


@dataclass(frozen=True)
class Assessment:
    """An assessment once over all returns."""

    referral_date: date
    start: date
    authorisation: date | None
    completion_no: int | None
    is_authorised_before_start: bool
    is_conflicting: bool
    factors: frozenset[str]
    n_returns: int


def assessments(records: list[ReferralInReturn]) -> list[Assessment]:
    """Definitions, section 3: facts from the latest return that carries it, factors of all its records there."""
    found: list[Assessment] = []
    for referral_date in sorted({record.referral_date for record in records}):
        seen: dict[date, list[tuple[int, AssessmentRecord]]] = {}
        for record in _by_return([r for r in records if r.referral_date == referral_date]):
            for one in record.assessments:
                if one.start is not None:
                    seen.setdefault(one.start, []).append((record.return_year, one))
        of_referral = []
        for start, stated in seen.items():
            latest_year, latest = stated[-1]
            day = latest.authorisation
            of_referral.append(
                Assessment(
                    referral_date,
                    start,
                    None if day is None else max(day, start),
                    None,
                    day is not None and day < start,
                    len({one.authorisation for _, one in stated} - {None}) > 1,
                    frozenset().union(*(one.factors for year, one in stated if year == latest_year)),
                    len({year for year, _ in stated}),
                )
            )
        completed = sorted(
            (one for one in of_referral if one.authorisation is not None),
            key=lambda one: (one.authorisation, one.start),
        )
        found += [replace(one, completion_no=number) for number, one in enumerate(completed, start=1)]
        found += [one for one in of_referral if one.authorisation is None]
    return sorted(found, key=lambda one: (one.referral_date, one.start))


def conferences(records: list[ReferralInReturn]) -> dict[date, tuple[date, bool, bool]]:
    """Conference dates with the latest referral date that names each, and whether referral or enquiry names it.

    What the latest return says of the referral or of the enquiry counts; an enquiry without a start cannot be
    corrected by a later return, since nothing says which one it is.
    """
    by_referral: dict[date, date | None] = {}
    by_enquiry: dict[tuple[date, date | None, date | None], date | None] = {}
    for record in _by_return(records):
        by_referral[record.referral_date] = record.conference
        for enquiry in record.enquiries:
            without_start = enquiry.conference if enquiry.start is None else None
            by_enquiry[record.referral_date, enquiry.start, without_start] = enquiry.conference
    named = [(day, referral_date, True) for referral_date, day in by_referral.items()]
    named += [(day, referral_date, False) for (referral_date, *_), day in by_enquiry.items()]
    return {
        day: (
            max(referral_date for other, referral_date, _ in named if other == day),
            any(is_referral for other, _, is_referral in named if other == day),
            any(not is_referral for other, _, is_referral in named if other == day),
        )
        for day, *_ in named
        if day is not None
    }


def observed_plans(
    records: list[ReferralInReturn], kind: str
) -> dict[date, tuple[date | None, date, bool, int]]:
    """Per plan start: the end kept, the day until which it was observed, whether ends conflict, its returns."""
    seen: dict[date, list[tuple[int, date | None]]] = {}
    for record in _by_return(records):
        for plan in getattr(record, kind):
            seen.setdefault(plan.start, []).append((record.return_year, plan.end))
    plans = {}
    for start, stated in seen.items():
        last_year, end = stated[-1]
        kept = None if end is None else max(end, start)
        until = kept or max(date(last_year, 3, 31), start)
        is_conflicting = len({day for _, day in stated} - {None}) > 1
        plans[start] = (kept, until, is_conflicting, len({year for year, _ in stated}))
    return plans


def observed_referrals(records: list[ReferralInReturn]) -> list[tuple[date, date]]:
    """Referral date and the day until which the referral was observed to be open."""
    latest = {record.referral_date: record for record in _by_return(records)}
    return [
        (day, max(record.closure_date or date(record.return_year, 3, 31), day))
        for day, record in latest.items()
    ]


def _by_return(records: list[ReferralInReturn]) -> list[ReferralInReturn]:
    """In the order of their returns; those of one return in the order of its file."""
    return sorted(records, key=lambda record: record.return_year)
