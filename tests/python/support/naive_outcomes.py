"""Index events, treatment, exposure, the full-observation rule and every outcome by plain loops: slow and obvious.

Written from the definitions alone (docs/definitions.md), one child after another and one record after another, without
a line taken from the SQL. Every number comes from the seed files, which are read as plain text. Spells of care come from
``reference_spells``; the other spells are made here by the same rule: the latest return that carries a fact decides.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from support import reference_spells
from support.reference_spells import (
    SHORT_BREAKS,
    EpisodeRecord,
    care_periods,
    days_covered,
    episodes_kept,
)

# The same few days are asked for again and again.
add_months = cache(reference_spells.add_months)
completed_years = cache(reference_spells.completed_years)

ONE_DAY = timedelta(days=1)
# Names in the seed of parameters.
AGE_MONTHS_MIN = "referral_age_months_min"
FENCE_MULTIPLE = "duration_fence_iqr_multiple"
ABSENCE_COLLECTION = "school_absence"
SaidByReturn = TypeVar("SaidByReturn", bound="Said")


# -- the protocol, as the seed files state it ----------------------------------------------------------------


@dataclass(frozen=True)
class Programme:
    """When a programme is followed, and which children belong to it."""

    name: str
    data_span_start: date
    data_span_end: date
    trial_start: date
    trial_end: date
    age_min: int
    age_max: int
    primary_outcome: str | None


@dataclass(frozen=True)
class Site:
    """An authority of a programme."""

    go_live: date
    embedding_start: date | None
    embedding_end: date | None

    def is_embedding_on(self, day: date) -> bool:
        if self.embedding_start is None or self.embedding_end is None:
            return False
        return self.embedding_start <= day <= self.embedding_end

    def is_embedding_between(self, day: date, last_day: date) -> bool:
        """Does embedding begin after a day and before a follow-up from it has ended?"""
        return self.embedding_start is not None and day < self.embedding_start <= last_day


@dataclass(frozen=True)
class Outcome:
    """A row of the seed ``outcomes`` that is evaluated or a variant of one that is."""

    programme: str
    name: str
    role: str
    variant_of: str | None
    measure: str
    index_event: str
    sample_rule: str
    window_months: int
    start_within_months: int
    follow_up_months: int
    n_terms: int
    clear_months: int
    age_min: int
    age_max: int
    age_months_max: int | None
    is_trimmed: bool


@dataclass(frozen=True)
class Term:
    """A school term of the national calendar."""

    academic_year: int
    name: str
    start: date
    end: date
    is_collected: bool


@dataclass(frozen=True)
class Protocol:
    """All the seeds that say something about events, samples and outcomes."""

    programmes: dict[str, Programme]
    sites: dict[tuple[str, str], Site]
    outcomes: list[Outcome]
    modules: dict[tuple[str, str], list[tuple[str, str]]]
    code_groups: dict[str, set[str]]
    codes_used: dict[tuple[str, str, str], set[str]]
    parameters: dict[str, float]
    terms: list[Term]
    bank_holidays: set[date]
    treatment_thresholds: dict[tuple[str, str], float]
    made_on: dict[str, date]

    def index_events_of(self, programme: str) -> list[str]:
        return sorted({outcome.index_event for outcome in self.outcomes if outcome.programme == programme})

    def codes(self, outcome: Outcome, use: str) -> set[str]:
        return self.codes_used[outcome.programme, outcome.name, use]

    def modules_of(self, outcome: Outcome) -> list[tuple[str, str]]:
        """Collections and their parts that the outcome needs; a variant needs those of its outcome."""
        return self.modules[outcome.programme, outcome.variant_of or outcome.name]

    def months_followed(self, programme: str, index_event: str) -> int:
        """Follow-up of the primary outcome where this kind of event has it, otherwise the longest one."""
        of_kind = [
            outcome
            for outcome in self.outcomes
            if (outcome.programme, outcome.index_event) == (programme, index_event) and not outcome.variant_of
        ]
        for outcome in of_kind:
            if outcome.name == self.programmes[programme].primary_outcome:
                return outcome.follow_up_months
        return max(outcome.follow_up_months for outcome in of_kind)


def read_protocol(seeds: Path) -> Protocol:
    """The protocol from the seed folder, without the warehouse."""

    def rows(folder: str, name: str) -> list[dict[str, str]]:
        with (seeds / folder / f"{name}.csv").open(newline="", encoding="utf-8") as handle:
            return list(csv.DictReader(handle))

    programmes = {
        row["programme"]: Programme(
            row["programme"],
            date.fromisoformat(row["data_span_start"]),
            date.fromisoformat(row["data_span_end"]),
            date.fromisoformat(row["trial_start"]),
            date.fromisoformat(row["trial_end"]),
            int(row["age_min"]),
            int(row["age_max"]),
            row["primary_outcome"] or None,
        )
        for row in rows("protocol", "programmes")
    }
    sites = {
        (row["programme"], row["la_code"]): Site(
            date.fromisoformat(row["go_live_date"]), _day(row["embedding_start"]), _day(row["embedding_end"])
        )
        for row in rows("protocol", "sites")
    }
    outcomes = [_outcome(row) for row in rows("protocol", "outcomes") if row["status"] != "not_evaluated"]
    modules: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in rows("protocol", "outcome_collections"):
        modules.setdefault((row["programme"], row["outcome"]), []).append((row["collection"], row["module"]))
    code_groups: dict[str, set[str]] = {}
    for row in rows("protocol", "code_groups"):
        code_groups.setdefault(row["code_group"], set()).add(row["code"])
    codes_used: dict[tuple[str, str, str], set[str]] = {}
    for row in rows("protocol", "outcome_code_groups"):
        use = (row["programme"], row["outcome"], row["group_use"])
        codes_used.setdefault(use, set()).update(code_groups[row["code_group"]])
    terms = [
        Term(
            int(row["academic_year"]),
            row["term"],
            date.fromisoformat(row["term_start"]),
            date.fromisoformat(row["term_end"]),
            row["is_collected"] == "true",
        )
        for row in rows("reference", "school_terms")
    ]
    made_on = {}
    for row in rows("reference", "local_authorities"):
        if row["valid_from"]:
            made_on[row["la_code"]] = date.fromisoformat(row["valid_from"])
    return Protocol(
        programmes,
        sites,
        outcomes,
        modules,
        code_groups,
        codes_used,
        {
            row["parameter"]: float(row["parameter_value"])
            for row in rows("protocol", "parameters")
            if row["programme"] == "*"
        },
        sorted(terms, key=lambda term: term.start),
        {date.fromisoformat(row["bank_holiday"]) for row in rows("reference", "bank_holidays")},
        {
            (row["programme"], row["variant"]): float(row["threshold"])
            for row in rows("protocol", "treatment_variants")
        },
        made_on,
    )


def _outcome(row: dict[str, str]) -> Outcome:
    return Outcome(
        programme=row["programme"],
        name=row["outcome"],
        role=row["role"],
        variant_of=row["variant_of"] or None,
        measure=row["measure"],
        index_event=row["index_event"],
        sample_rule=row["sample_rule"],
        window_months=int(row["window_months"] or 0),
        start_within_months=int(row["start_within_months"] or 0),
        follow_up_months=int(row["follow_up_months"] or 0),
        n_terms=int(row["n_terms"] or 0),
        clear_months=int(row["clear_months"] or 0),
        age_min=int(row["age_min"]),
        age_max=int(row["age_max"]),
        age_months_max=int(row["age_months_max"]) if row["age_months_max"] else None,
        is_trimmed=row["is_trimmed"] == "true",
    )


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


# -- what was landed, and what the returns say of a child ----------------------------------------------------


@dataclass(frozen=True)
class Landed:
    """Which parts of which returns are in the warehouse."""

    by_authority: set[tuple[str, str, str, int]]
    absence_years: set[int]

    def has(self, la_code: str, collection: str, module: str, return_year: int) -> bool:
        return (la_code, collection, module, return_year) in self.by_authority

    def first_year(self, la_code: str, collection: str, module: str) -> int:
        return min(y for la, c, m, y in self.by_authority if (la, c, m) == (la_code, collection, module))


@dataclass(frozen=True)
class Said:
    """A fact as one return states it."""

    return_year: int


@dataclass(frozen=True)
class ReferralSaid(Said):
    referral_date: date
    closure_date: date | None = None
    closure_reason: str | None = None
    is_nfa: bool | None = None
    conference_date: date | None = None


@dataclass(frozen=True)
class AssessmentSaid(Said):
    referral_date: date
    start: date | None
    authorisation: date | None = None
    factors: tuple[str, ...] = ()


@dataclass(frozen=True)
class EnquirySaid(Said):
    """A section 47 enquiry."""

    referral_date: date
    start: date
    conference_date: date | None = None


@dataclass(frozen=True)
class PlanSaid(Said):
    """A child protection plan."""

    referral_date: date
    start: date
    end: date | None = None


@dataclass(frozen=True)
class PlacedEpisode(EpisodeRecord):
    """An episode of care with its placement."""

    placement: str = ""


@dataclass(frozen=True)
class MissingSaid(Said):
    start: date
    end: date | None
    kind: str | None


@dataclass(frozen=True)
class LeaverSaid(Said):
    """A record of a young person who was looked after, around a birthday in the year of the return."""

    activity: str | None


@dataclass(frozen=True)
class AbsenceRecord:
    """One pupil's sessions in one academic year, by term: possible and unauthorised."""

    academic_year: int
    sessions: dict[str, tuple[int | None, int | None]]


@dataclass
class Child:
    """All that all returns say of a child."""

    child_id: str
    la_code: str
    birth_month: date | None
    is_expected_birth: bool = False
    pupil_ids: list[str] = field(default_factory=list)
    referrals: list[ReferralSaid] = field(default_factory=list)
    assessments: list[AssessmentSaid] = field(default_factory=list)
    enquiries: list[EnquirySaid] = field(default_factory=list)
    plans: list[PlanSaid] = field(default_factory=list)
    episodes: list[PlacedEpisode] = field(default_factory=list)
    missing: list[MissingSaid] = field(default_factory=list)
    leaver_records: list[LeaverSaid] = field(default_factory=list)


# -- spells --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Referral:
    """A referral; ``until`` is its closure, or the last day it was observed where it is open."""

    referral_date: date
    closure_date: date | None
    until: date
    is_nfa: bool
    is_closed_after_assessment: bool


@dataclass(frozen=True)
class Assessment:
    referral_date: date
    start: date
    authorisation: date | None
    factors: frozenset[str]


@dataclass(frozen=True)
class Period:
    """A period of care; ``until`` is its end, or the last day it was observed where it is open."""

    start: date
    end: date | None
    until: date
    end_reason: str | None
    legal_status: str
    is_start_unknown: bool
    episodes: tuple[PlacedEpisode, ...]


@dataclass(frozen=True)
class Spells:
    """A child's facts, each once."""

    referrals: list[Referral]
    assessments: list[Assessment]
    conferences: set[date]
    plans: list[tuple[date, date]]
    periods: list[Period]


def spells_of(child: Child, protocol: Protocol, landed: Landed) -> Spells:
    """Definitions, section 3."""
    referrals = []
    conferences = set()
    for referred in _latest(child.referrals, lambda said: said.referral_date):
        day, closure = referred.referral_date, referred.closure_date
        if closure is not None and closure < day:
            closure = day
        is_closed_after = referred.closure_reason in protocol.code_groups["closed_after_assessment"]
        until = closure or max(day, date(referred.return_year, 3, 31))
        referrals.append(Referral(day, closure, until, bool(referred.is_nfa), is_closed_after))
        if referred.conference_date is not None:
            conferences.add(referred.conference_date)
    for enquiry in _latest(child.enquiries, lambda said: (said.referral_date, said.start)):
        if enquiry.conference_date is not None:
            conferences.add(enquiry.conference_date)
    assessments = []
    started = [said for said in child.assessments if said.start is not None]
    for assessed in _latest(started, lambda said: (said.referral_date, said.start)):
        assert assessed.start is not None
        # One return may have the assessment in several records: their factors count together.
        factors: set[str] = set()
        for said in started:
            place = (said.return_year, said.referral_date, said.start)
            if place == (assessed.return_year, assessed.referral_date, assessed.start):
                factors.update(said.factors)
        authorised = assessed.authorisation
        if authorised is not None and authorised < assessed.start:
            authorised = assessed.start
        assessments.append(Assessment(assessed.referral_date, assessed.start, authorised, frozenset(factors)))
    plans = []
    for plan in _latest(child.plans, lambda said: said.start):
        until = plan.end if plan.end is not None else date(plan.return_year, 3, 31)
        plans.append((plan.start, max(plan.start, until)))
    return Spells(referrals, assessments, conferences, plans, _periods(child, landed))


def _latest(records: Iterable[SaidByReturn], key: Callable[[SaidByReturn], Any]) -> list[SaidByReturn]:
    """For each fact, what the latest return that carries it says; the later record within one return."""
    kept: dict[Any, SaidByReturn] = {}
    for record in records:
        known = kept.get(key(record))
        if known is None or record.return_year >= known.return_year:
            kept[key(record)] = record
    return [kept[place] for place in sorted(kept)]


def _periods(child: Child, landed: Landed) -> list[Period]:
    records: list[EpisodeRecord] = list(child.episodes)
    spans = care_periods(records)
    if not spans:
        return []
    first_year = landed.first_year(child.la_code, "ssda903", "episodes")
    first_day = date(first_year - 1, 4, 1)
    kept = [
        record
        for record in episodes_kept(records)
        if isinstance(record, PlacedEpisode) and record.legal_status not in SHORT_BREAKS
    ]
    kept.sort(key=lambda record: (record.start, record.end is None, record.end or date.max))
    periods = []
    for place, (start, end) in enumerate(spans):
        next_start = spans[place + 1][0] if place + 1 < len(spans) else date.max
        own = tuple(record for record in kept if start <= record.start < next_start)
        last_year = max(record.return_year for record in records if record.start == own[-1].start)
        periods.append(
            Period(
                start=start,
                end=end,
                until=end if end is not None else max(start, date(last_year, 3, 31)),
                end_reason=own[-1].reason_ceased if end is not None else None,
                legal_status=own[0].legal_status,
                is_start_unknown=own[0].reason_new != "S" and start < first_day,
                episodes=own,
            )
        )
    return periods


# -- index events --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """Something a child is followed from, with what it happened to."""

    index_date: date
    referral: Referral | None = None
    assessment: Assessment | None = None
    period: Period | None = None


@dataclass(frozen=True)
class IndexEvent:
    """A row of marts.index_events."""

    programme: str
    index_event: str
    child_id: str
    sequence: int
    la_code: str
    index_date: date
    age_at_index: int
    is_unborn_at_index: bool
    is_treated_authority: bool
    is_treated: bool
    exposure_months: float
    n_open_days: int | None
    n_open_days_after_go_live: int | None
    is_treated_by_share: bool
    is_treated_by_days: bool


def age_in_months(birth_month: date, day: date) -> int:
    return (day.year - birth_month.year) * 12 + day.month - birth_month.month


def events_of(kind: str, spells: Spells) -> list[Event]:
    """Every event of a kind in a child's life, in order of time."""
    by_date = {referral.referral_date: referral for referral in spells.referrals}
    events = []
    if kind in ("first_referral", "referral"):
        for referral in spells.referrals:
            events.append(Event(referral.referral_date, referral=referral))
    elif kind == "assessment":
        for assessment in spells.assessments:
            events.append(
                Event(assessment.start, referral=by_date[assessment.referral_date], assessment=assessment)
            )
    elif kind == "nfa":
        for referral in spells.referrals:
            if not referral.is_nfa and not referral.is_closed_after_assessment:
                continue
            if referral.closure_date is not None:
                events.append(Event(referral.closure_date, referral=referral))
            elif referral.is_nfa:
                events.append(Event(referral.referral_date, referral=referral))
    elif kind == "care_period":
        for period in spells.periods:
            if not period.is_start_unknown:
                events.append(Event(period.start, period=period))
    else:
        raise ValueError(f"no such index event: {kind}")
    return sorted(events, key=lambda event: event.index_date)


def cohort_of(
    programme: Programme, kind: str, child: Child, spells: Spells, protocol: Protocol
) -> list[tuple[int, Event]]:
    """The events in the trial period, at an eligible age, outside the embedding period, each with its place.

    The place counts the child's events in the trial period at an eligible age, also those that the embedding leaves out.
    """
    if child.birth_month is None:
        return []
    site = protocol.sites.get((programme.name, child.la_code))
    sequence = 0
    cohort = []
    for event in events_of(kind, spells):
        day = event.index_date
        if not programme.trial_start <= day <= programme.trial_end:
            continue
        if age_in_months(child.birth_month, day) < protocol.parameters[AGE_MONTHS_MIN]:
            continue
        if not programme.age_min <= completed_years(child.birth_month, day) <= programme.age_max:
            continue
        sequence += 1
        if kind == "first_referral" and sequence > 1:
            continue
        if site is not None and site.is_embedding_on(day):
            continue
        cohort.append((sequence, event))
    return cohort


def exposure_months(site: Site | None, index_date: date, months: int, last_day: date) -> float:
    """The months of follow-up times the share of its days that are live and come before the last day that is followed."""
    if site is None:
        return 0.0
    n_live = 0
    day = index_date
    while day < last_day:
        n_live += day >= site.go_live
        day += ONE_DAY
    return months * n_live / (add_months(index_date, months) - index_date).days


def open_days(programme: Programme, referrals: list[Referral]) -> set[date]:
    """Days of the trial period on which any of the child's referrals was open, each once."""
    covered = days_covered([(referral.referral_date, referral.until) for referral in referrals])
    return {day for day in covered if programme.trial_start <= day <= programme.trial_end}


def index_event_of(
    programme: Programme,
    kind: str,
    child: Child,
    sequence: int,
    event: Event,
    spells: Spells,
    protocol: Protocol,
) -> IndexEvent:
    """The row of an event in the cohort, with every definition of treatment."""
    assert child.birth_month is not None
    site = protocol.sites.get((programme.name, child.la_code))
    day = event.index_date
    months = protocol.months_followed(programme.name, kind)
    is_treated = site is not None and day >= site.go_live
    n_open = n_open_live = None
    is_by_share = is_by_days = False
    if site is not None:
        opened = open_days(programme, spells.referrals)
        n_open = len(opened)
        n_open_live = sum(open_day >= site.go_live for open_day in opened)
        share = protocol.treatment_thresholds[programme.name, "share_of_open_days"]
        is_by_share = n_open_live >= share * n_open if n_open else is_treated
        is_by_days = n_open_live >= protocol.treatment_thresholds[programme.name, "open_days"]
    return IndexEvent(
        programme.name,
        kind,
        child.child_id,
        sequence,
        child.la_code,
        day,
        completed_years(child.birth_month, day),
        age_in_months(child.birth_month, day) < 0,
        site is not None,
        is_treated,
        exposure_months(site, day, months, add_months(day, months)),
        n_open,
        n_open_live,
        is_by_share,
        is_by_days,
    )


# -- outcomes ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrialOutcome:
    """A row of marts.trial_outcomes; the value is None where it is not fully observed."""

    programme: str
    outcome: str
    index_event: str
    child_id: str
    sequence: int
    term: int
    la_code: str
    index_date: date
    window_end: date
    value: float | None
    is_fully_observed: bool
    is_censored: bool
    exposure_months: float
    is_partly_exposed: bool


@dataclass(frozen=True)
class Measured:
    """A value before it is known whether the window was observed."""

    term: int
    value: float | None
    is_observed: bool
    last_day: date
    is_censored: bool = False


@dataclass(frozen=True)
class TrimmedDurations:
    """A row of marts.trimmed_durations: the fence, and the observed assessments of an arm, all and beyond it."""

    programme: str
    outcome: str
    is_treated_authority: bool
    duration_fence: float | None
    n_assessments: int
    n_trimmed: int


@dataclass(frozen=True)
class Twin:
    """What the warehouse should hold."""

    index_events: list[IndexEvent]
    outcomes: list[TrialOutcome]
    trimmed_durations: list[TrimmedDurations]


def observed_span(
    outcome: Outcome, la_code: str, protocol: Protocol, landed: Landed
) -> tuple[date, date] | None:
    """First and last day on which the authority's returns could show the outcome; None where there is none."""
    programme = protocol.programmes[outcome.programme]
    observed_from = programme.data_span_start
    made_on = protocol.made_on.get(la_code)
    if made_on is not None and made_on > observed_from:
        observed_from = date(return_year_of(made_on) - 1, 4, 1)

    def is_landed(year: int) -> bool:
        for collection, module in protocol.modules_of(outcome):
            if collection == ABSENCE_COLLECTION:
                if year not in landed.absence_years:
                    return False
            elif not landed.has(la_code, collection, module, year):
                return False
        return True

    year = return_year_of(observed_from)
    while is_landed(year):
        year += 1
    last_day = min(date(year - 1, 3, 31), programme.data_span_end)
    return (observed_from, last_day) if last_day >= observed_from else None


def return_year_of(day: date) -> int:
    return day.year + (day.month >= 4)


def twin(
    children: Sequence[Child], absence: dict[str, list[AbsenceRecord]], landed: Landed, protocol: Protocol
) -> Twin:
    """Index events and outcomes of all children under all programmes."""
    index_events = []
    rows: list[tuple[Outcome, TrialOutcome, Event, float | None]] = []
    for child in children:
        spells = spells_of(child, protocol, landed)
        for programme in protocol.programmes.values():
            for kind in protocol.index_events_of(programme.name):
                for sequence, event in cohort_of(programme, kind, child, spells, protocol):
                    index_events.append(
                        index_event_of(programme, kind, child, sequence, event, spells, protocol)
                    )
                    for outcome in protocol.outcomes:
                        if (outcome.programme, outcome.index_event) != (programme.name, kind):
                            continue
                        for found, raw in _rows_of(
                            outcome, event, sequence, child, spells, absence, landed, protocol
                        ):
                            rows.append((outcome, found, event, raw))
    fences = {
        (outcome.programme, outcome.name): _duration_fence(outcome, rows, protocol)
        for outcome in protocol.outcomes
        if outcome.is_trimmed
    }
    kept = []
    counts: dict[tuple[str, str, bool], list[int]] = {}
    for outcome, found, _, raw in rows:
        fence = fences.get((outcome.programme, outcome.name))
        is_beyond = fence is not None and raw is not None and raw > fence
        if not is_beyond:
            kept.append(found)
        if outcome.is_trimmed and found.is_fully_observed:
            is_site = (outcome.programme, found.la_code) in protocol.sites
            of_arm = counts.setdefault((outcome.programme, outcome.name, is_site), [0, 0])
            of_arm[0] += 1
            of_arm[1] += is_beyond
    trimmed = [
        TrimmedDurations(
            programme_name, name, is_site, fences[programme_name, name], n_assessments, n_trimmed
        )
        for (programme_name, name, is_site), (n_assessments, n_trimmed) in counts.items()
    ]
    return Twin(index_events, kept, trimmed)


def _rows_of(
    outcome: Outcome,
    event: Event,
    sequence: int,
    child: Child,
    spells: Spells,
    absence: dict[str, list[AbsenceRecord]],
    landed: Landed,
    protocol: Protocol,
) -> list[tuple[TrialOutcome, float | None]]:
    """The outcome's rows of one index event (none where it is not in the sample), each with its value even if unobserved."""
    assert child.birth_month is not None
    day = event.index_date
    follow_up_end = add_months(day, outcome.follow_up_months)
    site = protocol.sites.get((outcome.programme, child.la_code))
    if not outcome.age_min <= completed_years(child.birth_month, day) <= outcome.age_max:
        return []
    if outcome.age_months_max is not None and age_in_months(child.birth_month, day) > outcome.age_months_max:
        return []
    if not _is_in_sample(outcome, event, spells, protocol):
        return []
    first_clear_day = add_months(day, -outcome.clear_months)
    if any(first_clear_day <= other.referral_date < day for other in spells.referrals):
        return []
    if site is not None and site.is_embedding_between(day, follow_up_end):
        return []
    span = observed_span(outcome, child.la_code, protocol, landed)
    if outcome.measure in ("term_absence", "pooled_absence"):
        found = _absence(outcome, day, child, absence, span, landed, protocol)
    else:
        measured = _value(outcome, event, child, spells, protocol)
        if measured is None:
            return []
        value, is_censored = measured
        is_observed = span is not None and span[0] <= first_clear_day and follow_up_end <= span[1]
        found = [Measured(0, value, is_observed, follow_up_end, is_censored)]
    return [
        (
            TrialOutcome(
                outcome.programme,
                outcome.name,
                outcome.index_event,
                child.child_id,
                sequence,
                measured.term,
                child.la_code,
                day,
                measured.last_day,
                measured.value if measured.is_observed else None,
                measured.is_observed,
                measured.is_censored and measured.is_observed,
                exposure_months(site, day, outcome.follow_up_months, measured.last_day),
                site is not None and day < site.go_live < measured.last_day,
            ),
            measured.value,
        )
        for measured in found
    ]


def _is_in_sample(outcome: Outcome, event: Event, spells: Spells, protocol: Protocol) -> bool:
    rule = outcome.sample_rule
    referral = event.referral
    if rule == "all":
        return True
    if rule == "needs_factors":
        assert referral is not None
        completed = [
            (assessment.authorisation, assessment.start, assessment.factors)
            for assessment in spells.assessments
            if assessment.referral_date == referral.referral_date and assessment.authorisation is not None
        ]
        if not completed:
            return False
        _, _, factors = min(completed, key=lambda found: found[:2])
        return any(factor in protocol.codes(outcome, "sample") for factor in factors)
    if rule == "child_in_need":
        assert referral is not None
        return not referral.is_nfa and not referral.is_closed_after_assessment
    if rule == "closed_after_assessment":
        assert referral is not None
        return referral.is_closed_after_assessment
    if rule == "closed_or_nfa":
        assert referral is not None
        return referral.is_closed_after_assessment or referral.is_nfa
    if rule == "care_order":
        assert event.period is not None
        return event.period.legal_status in protocol.codes(outcome, "sample")
    raise ValueError(f"no such sample rule: {rule}")


def _value(
    outcome: Outcome, event: Event, child: Child, spells: Spells, protocol: Protocol
) -> tuple[float, bool] | None:
    """Value and whether it is censored; None where the event is not in the outcome's sample."""
    day = event.index_date
    last_day = add_months(day, outcome.window_months)
    measure = outcome.measure
    if measure == "care_start":
        return _yes_no(day <= period.start <= last_day for period in spells.periods)
    if measure == "rereferral":
        return _yes_no(day <= other.referral_date <= last_day for other in other_referrals(event, spells))
    if measure == "initial_conference":
        return _yes_no(day <= conference <= last_day for conference in spells.conferences)
    if measure == "escalation":
        return _yes_no(_escalations(outcome, event, spells))
    if measure == "kinship_care":
        assert event.period is not None
        return _yes_no(_kinship(outcome, event.period, last_day, protocol))
    if measure == "missing_episode":
        # A stay away that returns tell in different kinds is two facts: what was said of each kind.
        codes = protocol.codes(outcome, "event")
        return _yes_no(said.kind in codes and day <= said.start <= last_day for said in child.missing)
    if measure == "plan_days":
        return _days_within(spells.plans, day, last_day), False
    if measure == "care_days":
        in_care = [(period.start, period.until) for period in spells.periods]
        return _days_within(in_care, day, last_day), False
    if measure == "first_plan_days":
        return _first_plan_days(outcome, day, spells.plans)
    if measure == "assessment_working_days":
        assert event.assessment is not None
        if event.assessment.authorisation is None:
            return None
        return _working_days(event.assessment.start, event.assessment.authorisation, protocol), False
    if measure == "placements":
        assert event.period is not None
        n_placements = sum(day <= start <= last_day for start in placement_starts(event.period, protocol))
        return float(max(1, n_placements)), False
    if measure == "neet":
        return _neet(outcome, day, last_day, child, protocol)
    raise ValueError(f"no such measure: {measure}")


def _yes_no(found: Iterable[bool]) -> tuple[float, bool]:
    return (1.0 if any(found) else 0.0), False


def other_referrals(event: Event, spells: Spells) -> list[Referral]:
    assert event.referral is not None
    return [other for other in spells.referrals if other.referral_date != event.referral.referral_date]


def _escalations(outcome: Outcome, event: Event, spells: Spells) -> Iterable[bool]:
    last_rereferral = add_months(event.index_date, outcome.start_within_months)
    for other in other_referrals(event, spells):
        if event.index_date <= other.referral_date <= last_rereferral:
            last_day = add_months(other.referral_date, outcome.window_months)
            for start, _ in spells.plans:
                yield other.referral_date <= start <= last_day
            for period in spells.periods:
                yield other.referral_date <= period.start <= last_day


def _kinship(outcome: Outcome, period: Period, last_day: date, protocol: Protocol) -> Iterable[bool]:
    placements = protocol.codes(outcome, "placement")
    ends = protocol.codes(outcome, "care_end")
    for episode in period.episodes:
        yield episode.placement in placements and period.start <= episode.start <= last_day
    if period.end is not None:
        yield period.end_reason in ends and period.start <= period.end <= last_day


def _days_within(spans: list[tuple[date, date]], first: date, end: date) -> float:
    """Days of the half-open spans from the first day until the day before the end, each once."""
    covered = days_covered(list(spans))
    n_days = 0
    day = first
    while day < end:
        n_days += day in covered
        day += ONE_DAY
    return float(n_days)


def _first_plan_days(
    outcome: Outcome, day: date, plans: list[tuple[date, date]]
) -> tuple[float, bool] | None:
    last_start = add_months(day, outcome.start_within_months)
    for start, end in sorted(plans):
        if day <= start <= last_start:
            censored_on = add_months(start, outcome.window_months)
            return float((min(end, censored_on) - start).days), end > censored_on
    return None


def _working_days(start: date, authorisation: date, protocol: Protocol) -> float:
    n_days = 0
    day = start
    while day < authorisation:
        n_days += day.weekday() < 5 and day not in protocol.bank_holidays
        day += ONE_DAY
    return float(n_days)


def placement_starts(period: Period, protocol: Protocol) -> list[date]:
    """Days on which a placement began: the first, and each move; not to a temporary one or back from it."""
    moves = protocol.code_groups["starts_placement"]
    temporary = protocol.code_groups["temporary_placement"]
    starts = []
    settled: str | None = None
    is_away = False
    for episode in period.episodes:
        if episode.placement in temporary:
            is_away = True
            continue
        is_return = is_away and episode.placement == settled
        if settled is None or (episode.reason_new in moves and not is_return):
            starts.append(episode.start)
        settled = episode.placement
        is_away = False
    return starts


def _neet(
    outcome: Outcome, day: date, last_day: date, child: Child, protocol: Protocol
) -> tuple[float, bool] | None:
    """Any record at 17 or 18 whose birthday falls in the window says neither in education, work nor training."""
    assert child.birth_month is not None
    activities = []
    for said in _latest(child.leaver_records, lambda said: said.return_year):
        for age in (17, 18):
            birthday = add_months(child.birth_month, 12 * age)
            is_of_this_return = return_year_of(birthday) == said.return_year
            if is_of_this_return and day <= birthday <= last_day and said.activity is not None:
                activities.append(said.activity)
    if not activities:
        return None
    return _yes_no(activity in protocol.codes(outcome, "event") for activity in activities)


def _absence(
    outcome: Outcome,
    day: date,
    child: Child,
    absence: dict[str, list[AbsenceRecord]],
    span: tuple[date, date] | None,
    landed: Landed,
    protocol: Protocol,
) -> list[Measured]:
    """Unauthorised absence in the next terms, one row a term, or all of them as one."""
    terms = [term for term in protocol.terms if term.start > day][: outcome.n_terms]
    found = []
    possible_of_all = unauthorised_of_all = 0
    is_all_observed = True
    for number, term in enumerate(terms, start=1):
        is_measurable = term.is_collected and term.academic_year in landed.absence_years
        is_observed = is_measurable and span is not None and span[0] <= day and term.end <= span[1]
        if term.is_collected and not is_observed:
            is_all_observed = False
        if not is_measurable:
            found.append(Measured(number, None, False, term.end))
            continue
        possible = unauthorised = 0
        for pupil_id in sorted(set(child.pupil_ids)):
            for record in absence.get(pupil_id, []):
                if record.academic_year == term.academic_year:
                    n_possible, n_unauthorised = record.sessions[term.name]
                    possible += n_possible or 0
                    unauthorised += n_unauthorised or 0
        if possible > 0:
            found.append(Measured(number, 100 * unauthorised / possible, is_observed, term.end))
            possible_of_all += possible
            unauthorised_of_all += unauthorised
    if possible_of_all == 0:
        return []
    if outcome.measure == "term_absence":
        return found
    last_day = max(term.end for term in terms if term.is_collected)
    return [Measured(0, 100 * unauthorised_of_all / possible_of_all, is_all_observed, last_day)]


def _duration_fence(
    outcome: Outcome, rows: list[tuple[Outcome, TrialOutcome, Event, float | None]], protocol: Protocol
) -> float | None:
    """Third quartile and a multiple of the range between quartiles, of assessments before any authority embedded."""
    starts = [
        site.embedding_start
        for (programme, _), site in protocol.sites.items()
        if programme == outcome.programme and site.embedding_start is not None
    ]
    durations = sorted(
        found.value
        for other, found, event, _ in rows
        if other == outcome and found.value is not None and event.index_date < min(starts)
    )
    if not durations:
        return None
    low, high = _quantile(durations, 0.25), _quantile(durations, 0.75)
    return high + protocol.parameters[FENCE_MULTIPLE] * (high - low)


def _quantile(ordered: list[float], share: float) -> float:
    """Between the two values beside the place, by the share of the way."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
