"""On which days around the edges of the rules do a world's events lie? A comparison is worth what its sample holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from support.naive_outcomes import (
    Child,
    Event,
    Outcome,
    Protocol,
    Spells,
    add_months,
    age_in_months,
    cohort_of,
    events_of,
    observed_span,
    other_referrals,
    placement_starts,
    spells_of,
)
from support.random_histories import World

DAY_BEFORE, ON, DAY_AFTER = -1, 0, 1


@dataclass(frozen=True)
class Edge:
    """A day (or a month of age) at which a rule of a programme, or of one of its outcomes, changes its answer."""

    of: str
    name: str


def edges_met(world: World, protocol: Protocol) -> Counter[tuple[Edge, int]]:
    """How often something lies on an edge, the day before it or the day after it."""
    met: Counter[tuple[Edge, int]] = Counter()
    for child in world.children:
        spells = spells_of(child, protocol, world.landed)
        for edge, distance in _edges_of_child(child, spells, world, protocol):
            if DAY_BEFORE <= distance <= DAY_AFTER:
                met[edge, distance] += 1
    return met


def _edges_of_child(
    child: Child, spells: Spells, world: World, protocol: Protocol
) -> Iterator[tuple[Edge, int]]:
    for programme in protocol.programmes.values():
        site = protocol.sites.get((programme.name, child.la_code))
        for kind in protocol.index_events_of(programme.name):
            of = f"{programme.name} {kind}"
            for event in events_of(kind, spells):
                day = event.index_date
                yield Edge(of, "trial start"), (day - programme.trial_start).days
                yield Edge(of, "trial end"), (day - programme.trial_end).days
                if site is not None:
                    yield Edge(of, "go-live"), (day - site.go_live).days
                if site is not None and site.embedding_start and site.embedding_end:
                    yield Edge(of, "embedding start"), (day - site.embedding_start).days
                    yield Edge(of, "embedding end"), (day - site.embedding_end).days
                if child.birth_month is not None:
                    months = age_in_months(child.birth_month, day)
                    yield Edge(of, "youngest"), months - 12 * programme.age_min
                    yield Edge(of, "oldest"), months - 12 * programme.age_max - 11
            for _, event in cohort_of(programme, kind, child, spells, protocol):
                for outcome in protocol.outcomes:
                    if (outcome.programme, outcome.index_event) == (programme.name, kind):
                        yield from _edges_of_outcome(outcome, event, child, spells, world, protocol)


def _edges_of_outcome(
    outcome: Outcome, event: Event, child: Child, spells: Spells, world: World, protocol: Protocol
) -> Iterator[tuple[Edge, int]]:
    of = f"{outcome.programme} {outcome.name}"
    day = event.index_date
    opens_within = outcome.start_within_months or outcome.window_months
    last_day = add_months(day, opens_within)
    for seen in _days_that_count(outcome, event, child, spells, protocol):
        yield Edge(of, "first day of the window"), (seen - day).days
        yield Edge(of, "last day of the window"), (seen - last_day).days
    if outcome.measure in ("plan_days", "care_days"):
        spans = (
            spells.plans if outcome.measure == "plan_days" else [(p.start, p.until) for p in spells.periods]
        )
        for start, end in spans:
            yield Edge(of, "span ends at the window's start"), (end - day).days
            yield Edge(of, "span starts at the window's end"), (start - last_day).days
            yield Edge(of, "span ends at the window's end"), (end - last_day).days
    if outcome.measure == "first_plan_days":
        for start, end in spells.plans:
            if day <= start <= last_day:
                yield Edge(of, "censored"), (end - add_months(start, outcome.window_months)).days
    if outcome.measure == "escalation":
        for other in other_referrals(event, spells):
            if day <= other.referral_date <= last_day:
                second_end = add_months(other.referral_date, outcome.window_months)
                for start in [start for start, _ in spells.plans] + [p.start for p in spells.periods]:
                    yield Edge(of, "first day after the next referral"), (start - other.referral_date).days
                    yield Edge(of, "last day after the next referral"), (start - second_end).days
    if outcome.measure in ("term_absence", "pooled_absence"):
        for term in protocol.terms:
            yield Edge(of, "term start"), (day - term.start).days
        return
    span = observed_span(outcome, child.la_code, protocol, world.landed)
    follow_up_end = add_months(day, outcome.follow_up_months)
    if span is not None:
        # 18 months after a day is never a 31 March: the last day whose follow-up was seen may be seen to the 30th.
        days_over = (follow_up_end - span[1]).days
        yield Edge(of, "end of the observed span"), ON if days_over == DAY_BEFORE else days_over
        yield Edge(of, "start of the observed span"), (add_months(day, -outcome.clear_months) - span[0]).days
    site = protocol.sites.get((outcome.programme, child.la_code))
    if site is not None and site.embedding_start is not None:
        yield Edge(of, "follow-up ends at embedding"), (follow_up_end - site.embedding_start).days
    if outcome.clear_months:
        for referral in spells.referrals:
            first_clear_day = add_months(day, -outcome.clear_months)
            yield Edge(of, "clear months"), (referral.referral_date - first_clear_day).days
    if outcome.age_months_max is not None and child.birth_month is not None:
        yield Edge(of, "oldest in months"), age_in_months(child.birth_month, day) - outcome.age_months_max


def _days_that_count(
    outcome: Outcome, event: Event, child: Child, spells: Spells, protocol: Protocol
) -> list[date]:
    """The days of which the outcome asks whether they lie in its window."""
    measure = outcome.measure
    if measure == "care_start":
        return [period.start for period in spells.periods]
    if measure in ("rereferral", "escalation"):
        return [other.referral_date for other in other_referrals(event, spells)]
    if measure == "initial_conference":
        return sorted(spells.conferences)
    if measure == "first_plan_days":
        return [start for start, _ in spells.plans]
    if measure == "missing_episode":
        codes = protocol.codes(outcome, "event")
        return [said.start for said in child.missing if said.kind in codes]
    if measure == "kinship_care":
        assert event.period is not None
        placements, ends = protocol.codes(outcome, "placement"), protocol.codes(outcome, "care_end")
        days = [episode.start for episode in event.period.episodes if episode.placement in placements]
        if event.period.end is not None and event.period.end_reason in ends:
            days.append(event.period.end)
        return days
    if measure == "placements":
        assert event.period is not None
        return placement_starts(event.period, protocol)
    if measure == "neet":
        assert child.birth_month is not None
        return [add_months(child.birth_month, 12 * age) for age in (17, 18)]
    return []


def sides_expected(protocol: Protocol) -> set[tuple[Edge, int]]:
    """Every edge of every programme and outcome, with the two sides of it that must not be told apart wrongly."""
    expected: set[tuple[Edge, int]] = set()

    def both(of: str, name: str, *sides: int) -> None:
        expected.update((Edge(of, name), side) for side in sides)

    for programme in protocol.programmes:
        sites = [site for (owner, _), site in protocol.sites.items() if owner == programme]
        for kind in protocol.index_events_of(programme):
            of = f"{programme} {kind}"
            both(of, "trial start", DAY_BEFORE, ON)
            both(of, "trial end", ON, DAY_AFTER)
            both(of, "go-live", DAY_BEFORE, ON)
            both(of, "youngest", DAY_BEFORE, ON)
            both(of, "oldest", ON, DAY_AFTER)
            if any(site.embedding_start for site in sites):
                both(of, "embedding start", DAY_BEFORE, ON)
                both(of, "embedding end", ON, DAY_AFTER)
    for outcome in protocol.outcomes:
        of = f"{outcome.programme} {outcome.name}"
        if outcome.measure in ("term_absence", "pooled_absence"):
            both(of, "term start", DAY_BEFORE, ON)
            continue
        both(of, "end of the observed span", ON, DAY_AFTER)
        both(of, "start of the observed span", ON)
        sites = [site for (owner, _), site in protocol.sites.items() if owner == outcome.programme]
        if any(site.embedding_start for site in sites):
            both(of, "follow-up ends at embedding", DAY_BEFORE, ON)
        if outcome.clear_months:
            both(of, "clear months", DAY_BEFORE, ON)
        if outcome.age_months_max is not None:
            both(of, "oldest in months", ON, DAY_AFTER)
        if outcome.measure in ("plan_days", "care_days"):
            for name in ("span ends at the window's start", "span starts at the window's end"):
                both(of, name, DAY_BEFORE, ON, DAY_AFTER)
            both(of, "span ends at the window's end", DAY_BEFORE, ON, DAY_AFTER)
        elif outcome.measure != "assessment_working_days":
            both(of, "last day of the window", ON, DAY_AFTER)
            # What hangs on a period of care cannot begin before it, nor another referral on the day of the first.
            is_never_before = outcome.measure in ("kinship_care", "placements")
            if not is_never_before and (outcome.measure != "rereferral" or outcome.index_event == "nfa"):
                both(of, "first day of the window", DAY_BEFORE, ON)
        if outcome.measure == "first_plan_days":
            both(of, "censored", ON, DAY_AFTER)
        if outcome.measure == "escalation":
            both(of, "first day after the next referral", DAY_BEFORE, ON)
            both(of, "last day after the next referral", ON, DAY_AFTER)
    return expected
