"""Random histories of children on the edges of every rule, as annual returns would tell them, and their raw rows.

A life is made of true facts whose dates lie on the edges of windows, go-live days, embedding periods, terms, months and
years, or beside them. Each return tells what was known on its 31 March; some tell a fact otherwise than the latest one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, TypeVar

import numpy as np

from support.naive_outcomes import (
    AbsenceRecord,
    AssessmentSaid,
    Child,
    EnquirySaid,
    Landed,
    LeaverSaid,
    MissingSaid,
    PlacedEpisode,
    PlanSaid,
    Programme,
    Protocol,
    ReferralSaid,
    add_months,
)
from support.raw_rows import RawRows, Return

T = TypeVar("T")

FACTORS = ["1A", "1B", "2A", "2B", "3A", "3B", "3C", "4B", "4C", "19B", "21"]
PLACEMENTS = ["U4", "U4", "U5", "U1", "U3", "Q1", "F1", "P1", "K2", "R1", "T0", "T1"]
LEGAL_STATUSES = ["C1", "C1", "C2", "C2", "V2", "E1", "J1"]
CARE_ENDS = ["E4A", "E13", "E41", "E45", "E47", "E43", "E44", "E8", "E3"]
CLOSURE_REASONS = ["RC8", "RC8", "RC9", "RC1", "RC7"]
ACTIVITIES = ["F1", "P2", "F4", "G4", "G5", "G6", None]
SPECIAL_DAYS = [
    (8, 31),
    (8, 30),
    (2, 28),
    (2, 29),
    (3, 31),
    (4, 1),
    (12, 31),
    (1, 1),
    (5, 31),
    (11, 30),
    (9, 1),
    (9, 2),
    (10, 1),
    (10, 2),
]
SSDA903_MODULES = ("header", "episodes", "missing", "oc3")


@dataclass(frozen=True)
class Authority:
    """What an authority landed: every year from the first to the last, less the gaps (collection, module, year)."""

    la_code: str
    programmes: tuple[str, ...]
    first_year: int
    last_year: int
    gaps: tuple[tuple[str, str, int], ...] = ()


FAMILY, NO_WRONG_DOOR, SIGNS = "family_safeguarding", "no_wrong_door", "signs_of_safety"
RECENT = (FAMILY, NO_WRONG_DOOR)
AUTHORITIES = [
    Authority("335", (FAMILY,), 2018, 2024),
    Authority("866", RECENT, 2018, 2025),
    Authority("354", (NO_WRONG_DOOR,), 2018, 2022),
    Authority("926", (NO_WRONG_DOOR, SIGNS), 2009, 2024),
    Authority("801", (SIGNS,), 2009, 2019),
    Authority("202", (FAMILY, NO_WRONG_DOOR, SIGNS), 2008, 2024),
    Authority("203", (*RECENT, SIGNS), 2009, 2024, (("cin", "census", 2021), ("ssda903", "episodes", 2015))),
    Authority("204", (*RECENT, SIGNS), 2009, 2024, (("ssda903", "missing", 2021), ("ssda903", "oc3", 2023))),
    Authority("205", (SIGNS,), 2010, 2019),
    Authority("207", RECENT, 2018, 2021),
    Authority("208", (SIGNS,), 2009, 2019, (("cin", "census", 2013),)),
    Authority("304", (SIGNS,), 2009, 2019),
    Authority("206", RECENT, 2018, 2024, (("cin", "census", 2018), ("ssda903", "episodes", 2022))),
    Authority("838", RECENT, 2020, 2024),
]


@dataclass
class World:
    """Children of several authorities, school absence by pupil, and what was landed."""

    children: list[Child]
    absence: dict[str, list[AbsenceRecord]]
    landed: Landed


# -- lives ---------------------------------------------------------------------------------------------------


@dataclass
class _Referral:
    start: date
    closure: date | None
    reason: str | None
    is_nfa: bool
    conference: date | None = None
    assessments: list[tuple[date | None, date | None, tuple[str, ...]]] = field(default_factory=list)
    enquiries: list[tuple[date, date | None]] = field(default_factory=list)
    plans: list[tuple[date, date | None]] = field(default_factory=list)


class _Draw:
    """Random choices of one child."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def one_of(self, among: Sequence[T]) -> T:
        return among[int(self._rng.integers(len(among)))]

    def chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)

    def number(self, low: int, high: int) -> int:
        """From low to high, both counted."""
        return int(self._rng.integers(low, high + 1))

    def near(self, day: date) -> date:
        return day + timedelta(days=self.one_of([-1, 0, 0, 1]))

    def between(self, first: date, last: date) -> date:
        return first + timedelta(days=self.number(0, (last - first).days))


def random_world(seed: int, n_children: int, protocol: Protocol, *, absence_gap: int | None = None) -> World:
    """Children spread over the authorities; ``absence_gap`` is an academic year whose absence was not landed."""
    rng = np.random.default_rng(seed)
    draw = _Draw(rng)
    by_authority = set()
    for authority in AUTHORITIES:
        for year in range(authority.first_year, authority.last_year + 1):
            parts = [("cin", "census"), *(("ssda903", module) for module in SSDA903_MODULES)]
            for collection, module in parts:
                if (collection, module, year) not in authority.gaps:
                    by_authority.add((authority.la_code, collection, module, year))
    landed = Landed(by_authority, set(range(2017, 2025)) - {absence_gap})
    world = World([], {}, landed)
    for number in range(n_children):
        authority = draw.one_of(AUTHORITIES)
        programme = protocol.programmes[draw.one_of(authority.programmes)]
        world.children.append(
            _Life(draw, protocol, authority, programme, landed).child(f"c{seed}_{number:05d}", world)
        )
    return world


class _Life:
    """Makes one child."""

    def __init__(
        self, draw: _Draw, protocol: Protocol, authority: Authority, programme: Programme, landed: Landed
    ) -> None:
        self.draw = draw
        self.protocol = protocol
        self.authority = authority
        self.programme = programme
        self.landed = landed
        self.outcomes = [outcome for outcome in protocol.outcomes if outcome.programme == programme.name]
        self.months = sorted(
            {outcome.window_months for outcome in self.outcomes}
            | {outcome.follow_up_months for outcome in self.outcomes}
            | {outcome.start_within_months for outcome in self.outcomes if outcome.start_within_months}
            | {-outcome.clear_months for outcome in self.outcomes if outcome.clear_months}
        )
        self.kind = draw.one_of(protocol.index_events_of(programme.name))
        self.followed = [outcome for outcome in self.outcomes if outcome.index_event == self.kind]
        self.day = self._edge_day()

    def child(self, child_id: str, world: World) -> Child:
        draw = self.draw
        referrals = self._referrals()
        has_care = self.kind == "care_period" or draw.chance(0.45)
        episodes = self._care(referrals) if has_care else []
        birth_month = self._birth_month()
        child = Child(
            child_id,
            self.authority.la_code,
            birth_month,
            is_expected_birth=birth_month is not None and birth_month > self.day,
        )
        self._tell_referrals(child, referrals)
        self._tell_care(child, episodes)
        if episodes:
            self._tell_missing(child, episodes[0].start)
        if birth_month is not None and (episodes or draw.chance(0.3)):
            self._tell_leaver(child, birth_month)
        if birth_month is not None and draw.chance(0.6):
            self._go_to_school(child, world)
        return child

    # -- dates

    def _edge_day(self) -> date:
        """The day of the event that the child is followed from."""
        draw, programme = self.draw, self.programme
        which = draw.number(0, 9)
        if which <= 1:
            return draw.between(programme.trial_start - timedelta(days=40), programme.trial_end)
        if which == 2:
            year = draw.number(programme.trial_start.year, programme.trial_end.year)
            month, day = draw.one_of(SPECIAL_DAYS)
            if (month, day) == (2, 29):
                year -= year % 4
            return date(year, month, day)
        if which == 3:
            return draw.near(draw.one_of([programme.trial_start, programme.trial_end]))
        if which == 4:
            return draw.near(draw.one_of(self._days_of_the_calendar()))
        outcome = draw.one_of(self.followed)
        months = draw.one_of(
            [0, 0, outcome.window_months, outcome.follow_up_months, outcome.follow_up_months]
        )
        site = self.protocol.sites.get((programme.name, self.authority.la_code))
        if which <= 7 and site is not None:
            if site.embedding_start is None or draw.chance(0.15):
                return draw.near(add_months(site.go_live, -months))
            if site.embedding_end is not None and draw.chance(0.2):
                return draw.near(site.embedding_end)
            # A follow-up that ends on the day before, the day itself or the day after.
            return draw.near(add_months(site.embedding_start, -months))
        if draw.chance(0.2):
            first_day = date(self.authority.first_year - 1, 4, 1)
            return draw.near(
                add_months(draw.one_of([programme.data_span_start, first_day]), outcome.clear_months)
            )
        last_days = [min(programme.data_span_end, date(self.authority.last_year, 3, 31))]
        last_days += [date(year - 1, 3, 31) for _, _, year in self.authority.gaps]
        return draw.near(add_months(draw.one_of(last_days), -months))

    def _days_of_the_calendar(self) -> list[date]:
        """Days on which school terms or bank holidays of the trial period lie."""
        days = [day for term in self.protocol.terms for day in (term.start, term.end)]
        if self.kind == "assessment":
            days = sorted(self.protocol.bank_holidays)
        return [day for day in days if self.programme.trial_start <= day <= self.programme.trial_end]

    def _later(self, from_day: date | None = None) -> date:
        """A day on, beside or somewhere between the edges of the windows that begin on a day."""
        draw = self.draw
        day = from_day or self.day
        which = draw.number(0, 9)
        if which <= 4:
            return draw.near(add_months(day, draw.one_of(self.months)))
        if which <= 7:
            return day + timedelta(days=draw.number(0, 600))
        if which == 8:
            return draw.near(day)
        return day - timedelta(days=draw.number(0, 500))

    def _end_of_a_window(self, start: date) -> date:
        """On or beside the last day of a window that opens with something's start or with the event followed from."""
        draw = self.draw
        months = draw.one_of([0, *(months for months in self.months if months > 0)])
        return draw.near(add_months(draw.one_of([start, self.day]), months))

    def _birth_month(self) -> date | None:
        draw, programme = self.draw, self.programme
        if draw.chance(0.02):
            return None
        if draw.chance(0.6):
            months = draw.number(12 * programme.age_min, 12 * programme.age_max + 11)
        else:
            edges = [12 * programme.age_min, 12 * programme.age_max + 11, 12 * programme.age_max + 12]
            edges += [12 * programme.age_min - 1] if programme.age_min else [-1, -5, -9, -10]
            for outcome in self.outcomes:
                if outcome.age_months_max is not None:
                    edges += [outcome.age_months_max, outcome.age_months_max + 1]
                if outcome.measure == "neet":
                    edges += [12 * age - months for age in (17, 18) for months in (0, outcome.window_months)]
                    edges.append(12 * 16 + 6)
            months = draw.one_of(edges)
        return add_months(self.day.replace(day=1), -months)

    # -- referrals and what hangs on them

    def _referrals(self) -> list[_Referral]:
        draw = self.draw
        first = self._first_referral(self.kind)
        referrals = {first.start: first}
        for _ in range(draw.one_of([0, 0, 1, 1, 2])):
            start = self._later()
            if start not in referrals:
                referrals[start] = self._referral(start)
        if self.kind == "nfa" and draw.chance(0.6):
            self._escalate(referrals)
        ordered = [referrals[start] for start in sorted(referrals)]
        for _ in range(draw.one_of([0, 0, 1, 1, 2])):
            referral = draw.one_of(ordered)
            start = self._later(draw.one_of([self.day, self.day, referral.start]))
            if all(start != other for each in ordered for other, _ in each.plans):
                referral.plans.append((start, self._plan_end(start)))
        return ordered

    def _escalate(self, referrals: dict[date, _Referral]) -> None:
        """Another referral within or about the months after no further action, and perhaps a plan as long after it."""
        draw = self.draw
        for outcome in self.outcomes:
            if outcome.measure == "escalation":
                last_day = add_months(self.day, outcome.start_within_months)
                start = draw.near(last_day) if draw.chance(0.5) else draw.between(self.day, last_day)
                again = referrals.setdefault(start, self._referral(start))
                if draw.chance(0.5):
                    plan_start = draw.near(add_months(start, outcome.window_months))
                    again.plans.append((plan_start, self._plan_end(plan_start)))
                return

    def _first_referral(self, kind: str) -> _Referral:
        draw = self.draw
        if kind == "nfa":
            if draw.chance(0.2):
                # Some systems give a reason without the day of closure.
                reason = "RC8" if draw.chance(0.2) else None
                return replace(self._referral(self.day), closure=None, reason=reason, is_nfa=draw.chance(0.9))
            referral = self._referral(self.day - timedelta(days=draw.one_of([0, 10, 45, 200])))
            is_closed_after = draw.chance(0.7)
            return replace(
                referral,
                closure=self.day,
                reason=draw.one_of(["RC8", "RC9"]) if is_closed_after else "RC1",
                is_nfa=not is_closed_after or draw.chance(0.2),
            )
        if kind == "assessment":
            referral = self._referral(self.day - timedelta(days=draw.one_of([0, 3, 20])))
            referral.assessments.append(self._assessment(self.day))
            return referral
        if kind == "care_period":
            return self._referral(self.day - timedelta(days=draw.one_of([0, 30, 200])))
        return self._referral(self.day)

    def _referral(self, start: date) -> _Referral:
        draw = self.draw
        closure = None
        if draw.chance(0.8):
            closure = start + timedelta(days=draw.one_of([-20, 0, 1, 30, 45, 45, 100, 250, 250, 700]))
        site = self.protocol.sites.get((self.programme.name, self.authority.la_code))
        if site is not None and start < site.go_live and draw.chance(0.15):
            # About so many days open after go-live as count as treated.
            n_days = int(self.protocol.treatment_thresholds[self.programme.name, "open_days"])
            closure = draw.near(site.go_live + timedelta(days=n_days))
        reason = draw.one_of(CLOSURE_REASONS) if closure is not None or draw.chance(0.1) else None
        referral = _Referral(start, closure, reason, is_nfa=draw.chance(0.2))
        if draw.chance(0.4):
            referral.conference = self._later(start)
        if draw.chance(0.4):
            enquiry = start + timedelta(days=draw.number(0, 40))
            referral.enquiries.append((enquiry, self._later(start) if draw.chance(0.6) else None))
        for _ in range(draw.one_of([0, 1, 1, 2])):
            started = start + timedelta(days=draw.one_of([0, 0, 1, 10, 45, 120]))
            if all(started != other for other, _, _ in referral.assessments):
                referral.assessments.append(self._assessment(started))
        if draw.chance(0.05):
            referral.assessments.append((None, None, ("2B",)))
        return referral

    def _assessment(self, start: date) -> tuple[date, date | None, tuple[str, ...]]:
        draw = self.draw
        authorisation = None
        if draw.chance(0.85):
            length = draw.one_of([-3, 0, 1, 2, 3, 7, *(draw.number(5, 70) for _ in range(10)), 120, 300])
            authorisation = start + timedelta(days=length)
        factors = {draw.one_of(FACTORS) for _ in range(draw.number(0, 3))}
        return start, authorisation, tuple(sorted(factors))

    def _plan_end(self, start: date) -> date | None:
        draw = self.draw
        if draw.chance(0.2):
            return None
        if draw.chance(0.4):
            return self._end_of_a_window(start)
        return start + timedelta(days=draw.one_of([-10, 0, 1, 30, 90, 200, 500]))

    # -- care

    def _care(self, referrals: list[_Referral]) -> list[PlacedEpisode]:
        draw = self.draw
        if self.kind == "care_period":
            start = self.day
        elif draw.chance(0.2):
            # A period that ends about the day of the event followed from.
            start = self.day - timedelta(days=draw.number(20, 400))
            return [PlacedEpisode(0, start, draw.near(self.day), "S", draw.one_of(CARE_ENDS), "C2", "U4")]
        else:
            start = self._later(draw.one_of([self.day, *(referral.start for referral in referrals)]))
        episodes = self._episodes(start)
        last = episodes[-1]
        if last.end is not None and draw.chance(0.35):
            gap = draw.one_of([0, 1, 2, 3, 100])
            again = max(last.end, last.start + timedelta(days=1)) + timedelta(days=gap)
            episodes += self._episodes(again)
        return episodes

    def _episodes(self, start: date) -> list[PlacedEpisode]:
        """Episodes one after another, each from the day the one before ended; the return year comes later."""
        draw = self.draw
        is_short_break = draw.chance(0.04)
        legal_status = "V4" if is_short_break else draw.one_of(LEGAL_STATUSES)
        placement = draw.one_of(PLACEMENTS)
        settled = placement
        reason = "S" if draw.chance(0.88) else draw.one_of(["P", "L"])
        period_start = start
        episodes: list[PlacedEpisode] = []
        n_episodes = draw.one_of([1, 1, 2, 3, 4])
        while True:
            end: date | None = start + timedelta(days=draw.one_of([1, 14, 60, 60, 200, 400]))
            if draw.chance(0.4):
                end = self._end_of_a_window(period_start)
            assert end is not None
            end = max(end, start + timedelta(days=1))
            if len(episodes) + 1 == n_episodes:
                is_open = draw.chance(0.4)
                episodes.append(
                    PlacedEpisode(
                        0,
                        start,
                        None if is_open else end,
                        reason,
                        None if is_open else draw.one_of(CARE_ENDS),
                        legal_status,
                        placement,
                    )
                )
                return episodes
            episodes.append(PlacedEpisode(0, start, end, reason, "X1", legal_status, placement))
            start = end
            reason = draw.one_of(["P", "P", "B", "L", "T", "U"])
            if reason in ("L", "B", "U") and not is_short_break:
                legal_status = draw.one_of(LEGAL_STATUSES)
            if reason != "L":
                placement = settled if draw.chance(0.3) else draw.one_of(PLACEMENTS)
            if not placement.startswith("T"):
                settled = placement

    # -- what the returns tell

    def _years(self, collection: str, module: str, start: date, end: date | None) -> list[int]:
        """Return years that carry something that began and ended on these days."""
        first = _year_of(start)
        last = self.authority.last_year if end is None else _year_of(max(start, end))
        return [
            year
            for year in range(first, last + 1)
            if self.landed.has(self.authority.la_code, collection, module, year)
        ]

    def _as_told(self, versions: list[T], wrong: Callable[[T], T], share: float = 0.2) -> list[T]:
        """The versions of a fact by return; in some lives those before the latest tell it otherwise."""
        if len(versions) > 1 and self.draw.chance(share):
            return [wrong(version) for version in versions[:-1]] + versions[-1:]
        return versions

    def _tell_referrals(self, child: Child, referrals: list[_Referral]) -> None:
        draw = self.draw
        for referral in referrals:
            ends = [referral.closure, *(end for _, end in referral.plans)]
            ends += [authorised for _, authorised, _ in referral.assessments if authorised is not None]
            is_open = any(end is None for end in ends)
            until = None if is_open else max(end for end in ends if end is not None)
            years = self._years("cin", "census", referral.start, until)
            if years and draw.chance(0.05):
                years = years[: draw.number(1, len(years))]
            told = []
            for year in years:
                closure = _known(referral.closure, year)
                told.append(
                    ReferralSaid(
                        year,
                        referral.start,
                        closure,
                        referral.reason if closure is not None or referral.closure is None else None,
                        referral.is_nfa,
                        _known(referral.conference, year),
                    )
                )
            child.referrals += self._as_told(told, self._wrong_referral)
            for start, authorised, factors in referral.assessments:
                if start is None:
                    child.assessments += [
                        AssessmentSaid(year, referral.start, None, None, factors) for year in years[:1]
                    ]
                    continue
                assessed = [
                    AssessmentSaid(
                        year,
                        referral.start,
                        start,
                        _known(authorised, year),
                        factors if _known(authorised, year) is not None else (),
                    )
                    for year in years
                    if start <= _last_day(year)
                ]
                child.assessments += self._as_told(assessed, self._wrong_assessment)
            for start, conference in referral.enquiries:
                enquired = [
                    EnquirySaid(year, referral.start, start, _known(conference, year))
                    for year in years
                    if start <= _last_day(year)
                ]
                child.enquiries += self._as_told(
                    enquired, lambda said: replace(said, conference_date=self._later(said.start))
                )
            for start, end in referral.plans:
                planned = [
                    PlanSaid(year, referral.start, start, _known(end, year))
                    for year in years
                    if start <= _last_day(year) and (end is None or max(start, end) >= _first_day(year))
                ]
                child.plans += self._as_told(
                    planned, lambda said: replace(said, end=said.start + timedelta(days=draw.number(0, 300)))
                )

    def _wrong_referral(self, said: ReferralSaid) -> ReferralSaid:
        draw = self.draw
        which = draw.number(0, 3)
        if which == 0:
            closure = said.referral_date + timedelta(days=draw.number(0, 100))
            return replace(said, closure_date=closure, closure_reason=draw.one_of(CLOSURE_REASONS))
        if which == 1:
            return replace(said, is_nfa=not said.is_nfa)
        if which == 2:
            return replace(said, conference_date=self._later(said.referral_date))
        return replace(said, is_nfa=None, conference_date=None)

    def _wrong_assessment(self, said: AssessmentSaid) -> AssessmentSaid:
        assert said.start is not None
        authorisation = said.start + timedelta(days=self.draw.number(0, 60))
        return replace(said, authorisation=authorisation, factors=(self.draw.one_of(FACTORS),))

    def _tell_care(self, child: Child, episodes: list[PlacedEpisode]) -> None:
        draw = self.draw
        for number, episode in enumerate(episodes):
            told = []
            for year in self._years("ssda903", "episodes", episode.start, episode.end):
                end = _known(episode.end, year)
                reason = episode.reason_ceased if end is not None else None
                told.append(replace(episode, return_year=year, end=end, reason_ceased=reason))
            if number + 1 == len(episodes):
                told = self._as_told(told, self._wrong_episode)
            elif len(told) > 1 and draw.chance(0.03):
                # An earlier return had the start later than it was.
                late = told[0].start + timedelta(days=1)
                if told[0].end is None or late < told[0].end:
                    told[0] = replace(told[0], start=late)
            child.episodes += told

    def _wrong_episode(self, said: PlacedEpisode) -> PlacedEpisode:
        draw = self.draw
        if draw.chance(0.5):
            end = said.start + timedelta(days=draw.number(1, 90))
            return replace(said, end=end, reason_ceased=draw.one_of(CARE_ENDS))
        return replace(said, placement=draw.one_of(PLACEMENTS))

    def _tell_missing(self, child: Child, care_start: date) -> None:
        draw = self.draw
        starts = {self._later(draw.one_of([care_start, self.day])) for _ in range(draw.one_of([0, 1, 1, 2]))}
        for start in sorted(starts):
            kind = draw.one_of(["M", "M", "A"])
            end = start + timedelta(days=draw.number(0, 30)) if draw.chance(0.9) else None
            years = self._years("ssda903", "missing", start, end)
            child.missing += [MissingSaid(year, start, _known(end, year), kind) for year in years[:3]]

    def _tell_leaver(self, child: Child, birth_month: date) -> None:
        for age in (17, 18, 19):
            year = _year_of(add_months(birth_month, 12 * age))
            if self.landed.has(child.la_code, "ssda903", "oc3", year) and self.draw.chance(0.75):
                child.leaver_records.append(LeaverSaid(year, self.draw.one_of(ACTIVITIES)))

    # -- school

    def _go_to_school(self, child: Child, world: World) -> None:
        draw = self.draw
        n_pupils = 2 if draw.chance(0.08) else 1
        known = sorted(world.absence)
        for number in range(n_pupils):
            if known and draw.chance(0.02):
                child.pupil_ids.append(draw.one_of(known))
                continue
            pupil_id = f"p_{child.child_id}_{number}"
            child.pupil_ids.append(pupil_id)
            first = self.day.year
            records = []
            for academic_year in range(first, first + 3):
                if academic_year in self.landed.absence_years and draw.chance(0.85):
                    for _ in range(2 if draw.chance(0.1) else 1):
                        records.append(AbsenceRecord(academic_year, self._sessions()))
            world.absence[pupil_id] = records

    def _sessions(self) -> dict[str, tuple[int | None, int | None]]:
        sessions: dict[str, tuple[int | None, int | None]] = {}
        for term in ("autumn", "spring", "summer"):
            possible = self.draw.one_of([None, 0, 40, 61, 120, 130, 140])
            unauthorised = None if possible is None else self.draw.one_of([0, 0, possible // 3, possible])
            sessions[term] = (possible, unauthorised)
        return sessions


def _year_of(day: date) -> int:
    return day.year + (day.month >= 4)


def _first_day(year: int) -> date:
    return date(year - 1, 4, 1)


def _last_day(year: int) -> date:
    return date(year, 3, 31)


def _known(day: date | None, year: int) -> date | None:
    """The day as a return knows it: nothing of what comes after its 31 March."""
    return day if day is not None and day <= _last_day(year) else None


# -- raw rows ------------------------------------------------------------------------------------------------


class HistoryRows(RawRows):
    """Raw rows of whole histories."""

    def assessment(
        self,
        into: Return,
        child_no: int,
        referral_no: int,
        child_id: str,
        factors: Sequence[str],
        **values: Any,
    ) -> None:
        number = self._next(into.return_id, "assessment", str(child_no), str(referral_no))
        keys = {
            "child_no": child_no,
            "child_id": child_id,
            "referral_no": referral_no,
            "record_no": number,
        }
        self._add("cin_assessments", into, keys | values)
        for factor in factors:
            self._add("cin_assessment_factors", into, keys | {"factor_code": factor})

    def section47(self, into: Return, child_no: int, referral_no: int, child_id: str, **values: Any) -> None:
        number = self._next(into.return_id, "section47", str(child_no), str(referral_no))
        keys = {
            "child_no": child_no,
            "child_id": child_id,
            "referral_no": referral_no,
            "record_no": number,
        }
        self._add("cin_section47", into, keys | values)

    def missing(self, into: Return, child_id: str, missing_start: date, **values: Any) -> None:
        self._care("ssda903_missing", into, child_id, {"missing_start": missing_start} | values)

    def care_leaver(self, into: Return, child_id: str, **values: Any) -> None:
        self._care("ssda903_oc3", into, child_id, values)

    def absence_return(self, academic_year: int) -> Return:
        return self._return("school_absence", None, academic_year, "absence")

    def absence_record(
        self, into: Return, pupil_id: str, sessions: dict[str, tuple[int | None, int | None]]
    ) -> None:
        row: dict[str, Any] = {
            "return_id": into.return_id,
            "academic_year": into.return_year,
            "record_no": self._next(into.return_id, "pupil"),
            "pupil_id": pupil_id,
        }
        for term, (possible, unauthorised) in sessions.items():
            row[f"sessions_possible_{term}"] = possible
            row[f"unauthorised_absence_{term}"] = unauthorised
        self.rows["school_absence"].append(row)

    def mark_replaced(self, returns: Sequence[Return]) -> None:
        """Say of these returns that a later landing replaced them: their records are gone."""
        replaced = {into.return_id for into in returns}
        for row in self.rows["returns"]:
            if row["return_id"] in replaced:
                row["is_superseded"] = True
                row["superseded_modules"] = row["modules"]

    def shuffle(self, seed: int) -> None:
        """Put the rows of every table into another order."""
        rng = np.random.default_rng(seed)
        for table, rows in self.rows.items():
            self.rows[table] = [rows[place] for place in rng.permutation(len(rows))]


def raw_rows_of(world: World, *, is_landed_twice: bool = False) -> HistoryRows:
    """The raw rows that hold a world; landed twice, every return was landed before and replaced by itself."""
    rows = HistoryRows()
    modules: dict[tuple[str, str, int], list[str]] = {}
    for la_code, collection, module, year in sorted(world.landed.by_authority):
        modules.setdefault((la_code, collection, year), []).append(module)

    def land() -> dict[tuple[str | None, str, int], Return]:
        returns: dict[tuple[str | None, str, int], Return] = {}
        for (la_code, collection, year), parts in modules.items():
            if collection == "cin":
                returns[la_code, collection, year] = rows.cin_return(la_code, year)
            else:
                returns[la_code, collection, year] = rows.ssda903_return(la_code, year, ",".join(parts))
        for year in sorted(world.landed.absence_years):
            returns[None, "school_absence", year] = rows.absence_return(year)
        return returns

    if is_landed_twice:
        rows.mark_replaced(list(land().values()))
    returns = land()
    for child in world.children:
        _add_census(rows, child, returns)
        _add_care(rows, child, returns)
    for pupil_id, records in world.absence.items():
        for record in records:
            rows.absence_record(
                returns[None, "school_absence", record.academic_year], pupil_id, record.sessions
            )
    return rows


def _add_census(rows: HistoryRows, child: Child, returns: dict[tuple[str | None, str, int], Return]) -> None:
    for year in sorted({said.return_year for said in child.referrals}):
        into = returns[child.la_code, "cin", year]
        child_no = rows.child(
            into,
            child.child_id,
            birth_month=child.birth_month,
            is_expected_birth=child.is_expected_birth,
            pupil_id=child.pupil_ids[0] if child.pupil_ids else None,
            former_pupil_id=child.pupil_ids[1] if len(child.pupil_ids) > 1 else None,
        )
        for referral in (said for said in child.referrals if said.return_year == year):
            referral_no = rows.referral(
                into,
                child_no,
                child.child_id,
                referral.referral_date,
                closure_date=referral.closure_date,
                closure_reason=referral.closure_reason,
                is_nfa=referral.is_nfa,
                initial_conference_date=referral.conference_date,
            )
            here = (into, child_no, referral_no, child.child_id)
            for assessment in child.assessments:
                if (assessment.return_year, assessment.referral_date) == (year, referral.referral_date):
                    rows.assessment(
                        *here,
                        assessment.factors,
                        assessment_start=assessment.start,
                        authorisation_date=assessment.authorisation,
                    )
            for enquiry in child.enquiries:
                if (enquiry.return_year, enquiry.referral_date) == (year, referral.referral_date):
                    rows.section47(
                        *here, enquiry_start=enquiry.start, conference_date=enquiry.conference_date
                    )
            for plan in child.plans:
                if (plan.return_year, plan.referral_date) == (year, referral.referral_date):
                    rows.cp_plan(*here, plan.start, plan_end=plan.end)


def _add_care(rows: HistoryRows, child: Child, returns: dict[tuple[str | None, str, int], Return]) -> None:
    def into(year: int) -> Return:
        return returns[child.la_code, "ssda903", year]

    for year in sorted({said.return_year for said in child.episodes}):
        rows.header(
            into(year),
            child.child_id,
            birth_month=child.birth_month,
            pupil_id=child.pupil_ids[0] if child.pupil_ids else None,
        )
    for episode in child.episodes:
        rows.episode(
            into(episode.return_year),
            child.child_id,
            episode.start,
            episode_end=episode.end,
            reason_new_episode=episode.reason_new,
            reason_episode_ceased=episode.reason_ceased,
            legal_status=episode.legal_status,
            placement=episode.placement,
        )
    for said in child.missing:
        rows.missing(
            into(said.return_year),
            child.child_id,
            said.start,
            missing_end=said.end,
            missing_type=said.kind,
            birth_month=child.birth_month,
        )
    for leaver in child.leaver_records:
        rows.care_leaver(
            into(leaver.return_year),
            child.child_id,
            activity_code=leaver.activity,
            birth_month=child.birth_month,
        )
