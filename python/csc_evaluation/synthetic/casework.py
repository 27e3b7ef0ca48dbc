"""What follows a referral: assessments and their factors, enquiries, conferences, plans and reviews."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.calendar import NEVER, Days
from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.config import SynthesisConfig
from csc_evaluation.synthetic.lives import (
    CASEWORK_STREAM,
    CLOSED_AFTER_ASSESSMENT,
    DAYS_PER_YEAR,
    IN_NEED,
    NFA,
    Columns,
    Lives,
    Referrals,
    draw_categories,
    eighteenth_birthday,
    stream,
)

Texts = NDArray[np.object_]

SOURCES = np.array(
    ["1A", "1B", "1C", "1D", "2A", "2B", "3A", "3B", "3C", "3D", "3E", "3F", "4", "5A", "5B", "5C", "6", "7", "8",
     "9", "10", "5D"], dtype=object)  # fmt: skip
# Shares of referral sources: assumed, with police and schools leading. Not calibrated to a published table.
_SOURCE_SHARES = np.array(
    [
        6.0,
        1.5,
        0.8,
        1.5,
        18.0,
        2.0,
        1.6,
        2.2,
        0.8,
        2.5,
        3.8,
        4.0,
        1.7,
        2.2,
        7.0,
        3.6,
        29.0,
        3.6,
        5.4,
        2.6,
        0.5,
        0.0,
    ]
)
_EARLY_HELP_SOURCE = 21
_EARLY_HELP_SOURCE_YEAR = 2023

NEEDS = np.array(["N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8", "N9", "N0"], dtype=object)
# Primary needs: assumed, abuse or neglect over half. Not calibrated.
_NEED_SHARES = np.array([0.56, 0.06, 0.035, 0.085, 0.155, 0.025, 0.005, 0.03, 0.02, 0.025])

CATEGORIES = np.array(["NEG", "EMO", "PHY", "SAB", "MUL"], dtype=object)
# Categories at the start of a plan: assumed, neglect near half, emotional abuse over a third. Not calibrated.
_CATEGORY_SHARES = np.array([0.49, 0.37, 0.075, 0.04, 0.025])

# Survival of child protection plans at the given years: read off the published durations at 31 March, whose
# density is survival over mean length (d5, 2018 to 2024).
_PLAN_YEARS = np.array([0.01, 0.25, 0.5, 1.0, 2.0, 4.0])
_PLAN_SURVIVAL = np.array([1.0, 0.88, 0.68, 0.21, 0.025, 0.0])

FACTORS: tuple[str, ...] = (
    "1A", "1B", "1C", "2A", "2B", "2C", "3A", "3B", "3C", "4A", "4B", "4C", "5A", "5B", "5C", "6A", "6B", "6C", "7A",
    "8B", "9A", "10A", "11A", "12A", "13A", "14A", "15A", "16A", "17A", "18A", "18B", "18C", "19A", "19B", "19C",
    "22A", "23A", "24A", "20", "21",
)  # fmt: skip
_NO_FACTOR = len(FACTORS) - 1
_OTHER_FACTOR = len(FACTORS) - 2
# Return years in which a factor is on the code list.
_FACTOR_FROM = {"18B": 2021, "18C": 2021, "19B": 2021, "19C": 2021, "24A": 2022}
_FACTOR_FALLBACK = {"18B": "18A", "18C": "18A", "19B": "19A", "19C": "19A"}

EARLY_HELP_CLOSURE_YEAR = 2023
CIN_PLAN_YEAR = 2022


@dataclass
class ReferralFacts(Columns):
    """Facts of the referrals, row by row."""

    source: Texts
    need_first: Texts
    need_later: Texts
    need_changes_on: Days
    closure_reason: Texts
    conference: Days


@dataclass
class Assessments(Columns):
    """One row per assessment."""

    referral: NDArray[np.int64]
    start: Days
    review: Days
    authorised: Days


@dataclass
class Factors(Columns):
    """One row per assessment and factor; ``factor`` is a place in :data:`FACTORS`."""

    assessment: NDArray[np.int64]
    factor: NDArray[np.int64]


@dataclass
class Enquiries(Columns):
    """One row per section 47 enquiry."""

    referral: NDArray[np.int64]
    start: Days
    target: Days
    conference: Days


@dataclass
class Plans(Columns):
    """One row per child protection plan."""

    referral: NDArray[np.int64]
    start: Days
    end: Days
    first_category: Texts
    latest_category: Texts
    n_previous: NDArray[np.int64]


@dataclass
class Reviews(Columns):
    """One row per review of a child protection plan."""

    plan: NDArray[np.int64]
    held: Days


@dataclass
class NeedPlans(Columns):
    """One row per child in need plan."""

    referral: NDArray[np.int64]
    start: Days
    end: Days


@dataclass
class Casework:
    """Everything that hangs on the referrals of one group, ordered by referral."""

    facts: ReferralFacts
    assessments: Assessments
    factors: Factors
    enquiries: Enquiries
    plans: Plans
    reviews: Reviews
    need_plans: NeedPlans


def carry_out(config: SynthesisConfig, cal: Calibration, lives: Lives) -> Casework:
    """Draw the casework; closures of ``lives.referrals`` move where a plan outlasts them."""
    rng = stream(config, lives.group.key, CASEWORK_STREAM)
    plans = _protection_plans(rng, cal, lives)
    assessments = _assessments(rng, cal, lives.referrals)
    enquiries, conference = _enquiries(rng, cal, lives, plans)
    return Casework(
        facts=_facts(rng, cal, lives, conference),
        assessments=assessments,
        factors=_factors(rng, cal, lives, assessments),
        enquiries=enquiries,
        plans=plans,
        reviews=_reviews(rng, plans),
        need_plans=_need_plans(rng, lives, plans, assessments),
    )


def _protection_plans(rng: np.random.Generator, cal: Calibration, lives: Lives) -> Plans:
    referrals, children = lives.referrals, lives.children
    year = calendar.return_year_of(referrals.referral_date)
    in_need_share = 1 - cal.by_year("nfa_share", year) - cal.by_year("not_in_need_share", year)
    chance = cal.by_year("cp_plans_started", year) / cal.by_year("referrals", year) / in_need_share
    enters_care = np.zeros(len(children), dtype=bool)
    enters_care[lives.outcomes.child[lives.outcomes.y_observed == 1]] = True
    in_need = referrals.kind == IN_NEED
    multiple = np.where(enters_care[referrals.child], cal["plan_risk_ratio_looked_after"], 1.0)
    # The published number of plans holds on average over the year's children in need.
    _, of_year = np.unique(year, return_inverse=True)
    n_of_year = np.bincount(of_year, weights=in_need)
    mean_multiple = np.bincount(of_year, weights=in_need * multiple) / np.maximum(1, n_of_year)
    chance = chance * multiple / np.maximum(1e-9, mean_multiple)[of_year]
    chance *= cal["plan_chance_scale"]
    # Siblings referred on the same day go to one conference.
    key = children.family[referrals.child] * 2**21 + referrals.referral_date
    _, together = np.unique(key, return_inverse=True)
    shared = rng.random(int(together.max(initial=-1)) + 1)[together] if len(referrals) else np.zeros(0)
    u = np.where(rng.random(len(referrals)) < 0.15, rng.random(len(referrals)), shared)
    row = np.flatnonzero(in_need & (u < chance))
    start = referrals.referral_date[row] + 12 + rng.gamma(2.0, 22.0, len(row)).astype(np.int64)
    years = np.interp(rng.random(len(row)), 1 - _PLAN_SURVIVAL, _PLAN_YEARS)
    end = start + np.maximum(3, (years * DAYS_PER_YEAR).astype(np.int64))
    child = referrals.child[row]
    limit = np.minimum(eighteenth_birthday(children.birth[child]), children.leaves_on[child])
    end = np.minimum(end, limit)
    # A later referral of the child may hold the next plan: the earlier one ends first.
    following = (
        np.concatenate((np.where(child[1:] == child[:-1], start[1:], NEVER), [NEVER])) if len(row) else end
    )
    end = np.minimum(end, following - 1)
    fits = end > start + 1
    row, start, end, child = row[fits], start[fits], end[fits], child[fits]
    category = draw_categories(rng, _CATEGORY_SHARES, len(row))
    latest = np.where(rng.random(len(row)) < 0.08, draw_categories(rng, _CATEGORY_SHARES, len(row)), category)
    seen = np.arange(len(row)) - np.searchsorted(child, child, side="left")
    _raise_earlier_plans(rng, cal, lives, child, start)
    earlier = children.earlier_plans[child]
    n_previous = np.where(children.birth[child] + 200 < start, earlier, 0) + seen
    closure = referrals.closure.copy()
    closure[row] = np.maximum(closure[row], end + rng.integers(0, 45, len(row)))
    closure = np.minimum(closure, np.maximum(referrals.referral_date, children.leaves_on[referrals.child]))
    lives.referrals = Referrals(referrals.child, referrals.referral_date, closure, referrals.kind)
    return Plans(row, start, end, CATEGORIES[category], CATEGORIES[latest], n_previous)


def _raise_earlier_plans(
    rng: np.random.Generator, cal: Calibration, lives: Lives, child: NDArray[np.int64], start: Days
) -> None:
    """More children with a plan before the data begin where the published share of second plans is higher."""
    children = lives.children
    base = cal["second_plan_share_base"]
    target = cal.by_year("second_plan_share", calendar.return_year_of(start))
    more = rng.random(len(child)) < np.maximum(0.0, target - base) / (1 - base)
    gains = child[more & (children.earlier_plans[child] == 0)]
    children.earlier_plans[gains] = 1


def _reviews(rng: np.random.Generator, plans: Plans) -> Reviews:
    """The first within three months of the start, then every six."""
    length = plans.end - plans.start
    n = np.where(length < 88, 0, 1 + np.maximum(0, length - 88) // 178)
    plan = np.repeat(np.arange(len(plans)), n)
    place = np.arange(len(plan)) - np.repeat(np.cumsum(n) - n, n)
    held = plans.start[plan] + 84 + 175 * place - rng.integers(0, 12, len(plan))
    return Reviews(plan, held)


def _assessments(rng: np.random.Generator, cal: Calibration, referrals: Referrals) -> Assessments:
    first = np.flatnonzero(referrals.kind != NFA)
    start = referrals.referral_date[first] + rng.integers(0, 4, len(first))
    days = cal["assessment_median_days"] * np.exp(cal["assessment_log_sd"] * rng.standard_normal(len(first)))
    authorised = np.minimum(start + np.clip(days, 2, 200).astype(np.int64), referrals.closure[first])
    start = np.minimum(start, authorised)
    long = (referrals.closure[first] - referrals.referral_date[first] > 300) & (
        rng.random(len(first)) < cal["later_assessment_share"]
    )
    later = first[long]
    room = np.minimum(referrals.closure[later] - referrals.referral_date[later], 1100) - 120
    later_start = (
        referrals.referral_date[later] + 100 + (rng.random(len(later)) * room * 0.9).astype(np.int64)
    )
    later_end = np.minimum(later_start + rng.integers(15, 45, len(later)), referrals.closure[later])
    row = np.concatenate([first, later])
    starts = np.concatenate([start, later_start])
    ends = np.concatenate([authorised, np.maximum(later_end, later_start)])
    order = np.lexsort((starts, row))
    row, starts, ends = row[order], starts[order], ends[order]
    review = np.minimum(starts + 8, ends)
    return Assessments(row, starts, review, ends)


def _factors(rng: np.random.Generator, cal: Calibration, lives: Lives, assessments: Assessments) -> Factors:
    """Factors of completed assessments at their published shares in the year of authorisation."""
    children = lives.children
    year = calendar.return_year_of(assessments.authorised)
    recorded = np.flatnonzero(rng.random(len(assessments)) < cal["factors_recorded_share"])
    year = year[recorded]
    child = lives.referrals.child[assessments.referral[recorded]]
    disabled = children.disabled_from[child] < NEVER
    d = cal["disabled_share"]
    shares = np.zeros((len(recorded), len(FACTORS)))
    for place, code in enumerate(FACTORS[:-1]):
        for value in np.unique(year):
            rows = year == value
            known = cal.targets[f"factor_share_{code}"]
            first_published = min(known)
            if _FACTOR_FROM.get(code, 0) > value:
                continue
            published = cal.target(f"factor_share_{code}", int(max(value, first_published)))
            shares[rows, place] = published * cal["factor_share_scale"]
    for code in ("5A", "6A"):
        place = FACTORS.index(code)
        likely = np.minimum(0.85, 0.75 * shares[:, place] / d)
        shares[:, place] = np.where(disabled, likely, (shares[:, place] - d * likely) / (1 - d))
    place = FACTORS.index("9A")
    shares[:, place] = np.where(children.is_uasc[child], 0.95, 0.0)
    hit = rng.random(shares.shape) < shares
    none = ~hit.any(axis=1)
    hit[none, _NO_FACTOR] = True
    row, factor = np.nonzero(hit)
    return Factors(recorded[row], factor)


def _enquiries(
    rng: np.random.Generator, cal: Calibration, lives: Lives, plans: Plans
) -> tuple[Enquiries, Days]:
    """Enquiries and, per referral, the day of the initial conference (NEVER without)."""
    referrals = lives.referrals
    n = len(referrals)
    year = calendar.return_year_of(referrals.referral_date)
    has_plan = np.zeros(n, dtype=bool)
    has_plan[plans.referral] = True
    plan_start = np.full(n, NEVER)
    plan_start[plans.referral] = plans.start
    nfa, closed = cal.by_year("nfa_share", year), cal.by_year("not_in_need_share", year)
    referred = cal.by_year("referrals", year)
    plan_share = cal.by_year("cp_plans_started", year) / referred
    conference_share = np.maximum(0.0, cal.by_year("initial_conferences", year) / referred - plan_share)
    per_child = cal.by_year("section47_per_10000_children", year) / 10_000 * cal["england_children"]
    enquiry_share = per_child / referred
    rest = np.maximum(0.01, 1 - nfa - closed - plan_share)
    only_conference = conference_share / rest * cal["conference_scale"]
    only_enquiry = (
        enquiry_share - plan_share - conference_share - closed * cal["section47_share_closed"]
    ) / rest
    u = rng.random(n)
    without_plan = (referrals.kind == IN_NEED) & ~has_plan
    conferred = without_plan & (u < only_conference) & (referrals.closure - referrals.referral_date > 30)
    enquired = without_plan & (u >= only_conference) & (u < only_conference + only_enquiry)
    enquired |= (referrals.kind == CLOSED_AFTER_ASSESSMENT) & (u < cal["section47_share_closed"])
    row = np.flatnonzero(has_plan | conferred | enquired)
    conference = np.where(
        has_plan,
        plan_start,
        np.where(conferred, referrals.referral_date + 20 + (u * 10**4).astype(np.int64) % 25, NEVER),
    )
    conference = np.where(conferred, np.minimum(conference, referrals.closure), conference)
    held = conference[row]
    start = np.where(
        held < NEVER,
        np.maximum(referrals.referral_date[row], held - rng.integers(9, 24, len(row))),
        referrals.referral_date[row] + rng.integers(0, 12, len(row)),
    )
    start = np.minimum(start, referrals.closure[row])
    return Enquiries(row, start, start + 21, held), conference


def _need_plans(rng: np.random.Generator, lives: Lives, plans: Plans, assessments: Assessments) -> NeedPlans:
    referrals = lives.referrals
    first_authorised = np.full(len(referrals), NEVER)
    np.minimum.at(first_authorised, assessments.referral, assessments.authorised)
    candidates = referrals.kind == IN_NEED
    candidates[plans.referral] = False
    # Children looked after have a care plan instead.
    looked_after = np.zeros(len(lives.children), dtype=bool)
    looked_after[lives.care.child] = True
    candidates &= ~looked_after[referrals.child] & (rng.random(len(referrals)) < 0.85)
    candidates &= first_authorised < referrals.closure - 10
    row = np.flatnonzero(candidates)
    start = first_authorised[row] + rng.integers(0, 10, len(row))
    return NeedPlans(row, start, referrals.closure[row])


def _facts(rng: np.random.Generator, cal: Calibration, lives: Lives, conference: Days) -> ReferralFacts:
    referrals, children = lives.referrals, lives.children
    n = len(referrals)
    year = calendar.return_year_of(referrals.referral_date)
    closure_year = calendar.return_year_of(np.minimum(referrals.closure, calendar.day(2060, 1, 1)))
    key = children.family[referrals.child] * 2**21 + referrals.referral_date
    _, together = np.unique(key, return_inverse=True)
    n_groups = int(together.max(initial=-1)) + 1
    source = draw_categories(rng, _SOURCE_SHARES, n_groups)[together]
    early_help = (rng.random(n_groups) < 0.03)[together] & (year >= _EARLY_HELP_SOURCE_YEAR)
    source = np.where(early_help, _EARLY_HELP_SOURCE, source)
    uasc = children.is_uasc[referrals.child]
    need = draw_categories(rng, _NEED_SHARES, n_groups)[together]
    disabled = children.disabled_from[referrals.child] <= referrals.referral_date
    need = np.where(disabled & (rng.random(n) < 0.35), 1, need)
    need = np.where(uasc, 7, need)
    changes = (
        (referrals.kind == IN_NEED)
        & (rng.random(n) < 0.08)
        & (referrals.closure - referrals.referral_date > 60)
    )
    later = np.where(changes, draw_categories(rng, _NEED_SHARES, n), need)
    change_day = (
        referrals.referral_date
        + 40
        + (
            rng.random(n) * np.maximum(1, np.minimum(referrals.closure, NEVER) - referrals.referral_date - 41)
        ).astype(np.int64)
    )
    u = rng.random(n)
    reason = np.full(n, "RC7", dtype=object)
    closed = referrals.kind == CLOSED_AFTER_ASSESSMENT
    reason[closed] = "RC8"
    reason[closed & (u < 0.4) & (closure_year >= EARLY_HELP_CLOSURE_YEAR)] = "RC9"
    in_need = referrals.kind == IN_NEED
    age_at_end = calendar.completed_years(
        children.birth[referrals.child], np.minimum(referrals.closure, 40_000)
    )
    reason[in_need & (u < 0.012)] = "RC3"
    reason[in_need & (u >= 0.012) & (u < 0.030)] = "RC4"
    reason[in_need & (u >= 0.030) & (u < 0.037) & (age_at_end < 6)] = "RC1"
    reason[in_need & (u >= 0.037) & (u < 0.060)] = "RC5"
    reason[in_need & (u >= 0.060) & (u < 0.0603)] = "RC2"
    reason[in_need & (age_at_end >= 18) & (u > 0.7)] = "RC6"
    reason[referrals.closure == children.leaves_on[referrals.child]] = "RC5"
    return ReferralFacts(
        source=SOURCES[source],
        need_first=NEEDS[need],
        need_later=NEEDS[later],
        need_changes_on=np.where(changes, change_day, NEVER),
        closure_reason=reason,
        conference=conference,
    )
