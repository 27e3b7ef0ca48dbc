"""What the Children in Need census return of one authority and year holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.authorities import ETHNICITIES
from csc_evaluation.synthetic.calendar import NEVER, Days
from csc_evaluation.synthetic.casework import CIN_PLAN_YEAR, FACTORS, Casework
from csc_evaluation.synthetic.lives import NAMES_STREAM, NFA, Columns, Flags, Lives

Texts = NDArray[np.object_]
Numbers = NDArray[np.int64]

SCHOOL_AGE_MONTHS = 54
"""Children have a UPN from four and a half, when most join a reception class."""

DISABILITIES = np.array(
    ["MOB", "HAND", "PC", "INC", "COMM", "LD", "HEAR", "VIS", "BEH", "CON", "AUT", "DDA"], dtype=object
)
_DISABILITY_WEIGHT = np.array([9, 5, 7, 5, 16, 30, 5, 4, 18, 3, 24, 14], dtype=float)


@dataclass
class ChildRecords(Columns):
    """One row per ``Child``, in the order of the file."""

    child: Numbers
    child_id: Texts
    upn: Texts
    former_upn: Texts
    upn_unknown: Texts
    birth: Days
    is_expected_birth: Flags
    death: Days
    gender: Texts
    ethnicity: Texts


@dataclass
class DisabilityRecords(Columns):
    """One row per ``Disability``; ``child_no`` from 1."""

    child_no: Numbers
    code: Texts


@dataclass
class ReferralRecords(Columns):
    """One row per ``CINdetails``."""

    referral: Numbers
    child_no: Numbers
    referral_no: Numbers
    referral_date: Days
    source: Texts
    need: Texts
    closure: Days
    reason: Texts
    conference: Days
    is_nfa: Flags


@dataclass
class AssessmentRecords(Columns):
    """One row per ``Assessments``; ``parent`` is the row of its ``CINdetails``."""

    parent: Numbers
    record_no: Numbers
    start: Days
    review: Days
    authorised: Days


@dataclass
class FactorRecords(Columns):
    """One row per ``AssessmentFactors``; ``parent`` is the row of its assessment."""

    parent: Numbers
    code: Texts


@dataclass
class EnquiryRecords(Columns):
    """One row per ``Section47``."""

    parent: Numbers
    record_no: Numbers
    start: Days
    target: Days
    conference: Days
    is_not_required: Flags


@dataclass
class NeedPlanRecords(Columns):
    """One row per ``CINPlanDates``."""

    parent: Numbers
    record_no: Numbers
    start: Days
    end: Days


@dataclass
class PlanRecords(Columns):
    """One row per ``ChildProtectionPlans``."""

    parent: Numbers
    record_no: Numbers
    start: Days
    end: Days
    first_category: Texts
    latest_category: Texts
    n_previous: Numbers


@dataclass
class ReviewRecords(Columns):
    """One row per ``CPPreviewDate``; ``parent`` is the row of its plan."""

    parent: Numbers
    held: Days


@dataclass
class CensusReturn:
    """The records of one return."""

    la_code: str
    year: int
    children: ChildRecords
    disabilities: DisabilityRecords
    referrals: ReferralRecords
    assessments: AssessmentRecords
    factors: FactorRecords
    enquiries: EnquiryRecords
    need_plans: NeedPlanRecords
    plans: PlanRecords
    reviews: ReviewRecords
    n_without_id: int = 0
    """Children without an id that the file has after the others."""
    n_impossible_dates: int = 0
    """Children whose only referral has a date that is none, after those."""


@dataclass
class Identities:
    """How the children of a group are named in files."""

    upn: Texts
    former_upn: Texts
    anonymous_pupil: Texts
    disability_codes: list[tuple[str, ...]]

    @staticmethod
    def child_ids(la_code: str, child: Numbers, *, is_anonymous: bool = False) -> Texts:
        """Child ids of an authority: unique within it, without order, and different in each authority.

        Multiplication modulo a prime above any number of children is a permutation.
        """
        prime = 9_999_991
        factor = 48_271 + 2 * int(la_code) + (1_000_003 if is_anonymous else 0)
        number = (child * factor + int(la_code) * 7_919) % prime
        letter = "A" if is_anonymous else ("", "C", "CSC")[int(la_code) % 3]
        return np.array([f"{letter}{value:07d}" for value in number.tolist()], dtype=object)


def name_children(lives: Lives, seed: int) -> Identities:
    """UPNs with a valid check letter, anonymous pupil references, and disability codes."""
    pupil = lives.children.pupil
    upn = _upns(pupil)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(lives.group.key, NAMES_STREAM)))
    former = np.full(len(pupil), "", dtype=object)
    changed = np.flatnonzero(rng.random(len(pupil)) < 0.01)
    former[changed] = _upns(pupil[changed] + 900_000_000)
    mixed = (pupil * 2_654_435_761 + seed * 97) % 2**40
    anonymous = np.array([f"PMR{value:012X}" for value in mixed.tolist()], dtype=object)
    codes: list[tuple[str, ...]] = [()] * len(pupil)
    weights = _DISABILITY_WEIGHT / _DISABILITY_WEIGHT.sum()
    for child in np.flatnonzero(lives.children.disabled_from < NEVER).tolist():
        n = 1 + int(rng.random() < 0.45) + int(rng.random() < 0.2)
        chosen = rng.choice(len(DISABILITIES), n, replace=False, p=weights)
        codes[child] = tuple(DISABILITIES[np.sort(chosen)].tolist())
    return Identities(upn, former, anonymous, codes)


def _upns(number: Numbers) -> Texts:
    """A check letter and twelve digits; the letter is the weighted digit sum modulo 23, as UPNs have it."""
    digits = (number[:, None] // 10 ** np.arange(11, -1, -1)[None, :]) % 10
    letters = np.array(list("ABCDEFGHJKLMNPQRTUVWXYZ"), dtype=object)
    check = letters[(digits @ np.arange(2, 14)) % 23]
    return check + np.array([f"{value:012d}" for value in number.tolist()], dtype=object)


def census_return(
    lives: Lives, casework: Casework, names: Identities, la_code: str, year: int
) -> CensusReturn:
    """Every referral open at any time in the year, with the facts known on its 31 March."""
    first, last = calendar.year_start(year), calendar.year_end(year)
    everyone, table, facts = lives.children, lives.referrals, casework.facts
    here = np.array([area.codes[year] == la_code for area in lives.group.areas])[everyone.area]
    row = np.flatnonzero((table.referral_date <= last) & (table.closure >= first) & here[table.child])
    child, position = np.unique(table.child[row], return_inverse=True)
    is_closed = table.closure[row] <= last
    referral_no = np.arange(len(row)) - np.searchsorted(position, position, side="left") + 1
    held = facts.conference[row]
    referrals = ReferralRecords(
        referral=row,
        child_no=position + 1,
        referral_no=referral_no,
        referral_date=table.referral_date[row],
        source=facts.source[row],
        need=np.where(facts.need_changes_on[row] <= last, facts.need_later[row], facts.need_first[row]),
        closure=np.where(is_closed, table.closure[row], NEVER),
        reason=np.where(is_closed, facts.closure_reason[row], ""),
        conference=np.where((held >= first) & (held <= last), held, NEVER),
        is_nfa=table.kind[row] == NFA,
    )
    place = np.full(len(table), -1)
    place[row] = np.arange(len(row))
    assessments, assessed = _assessments(casework, place, first, last)
    plans, planned = _plans(casework, place, first, last)
    return CensusReturn(
        la_code=la_code,
        year=year,
        children=_children(lives, names, la_code, child, last, referrals),
        disabilities=_disabilities(lives, names, child, last),
        referrals=referrals,
        assessments=assessments,
        factors=_factors(casework, assessed, last),
        enquiries=_enquiries(casework, place, first, last),
        need_plans=_need_plans(casework, place, first, last, year),
        plans=plans,
        reviews=_reviews(casework, planned, first, last),
    )


def _record_no(parent: Numbers) -> Numbers:
    return np.arange(len(parent)) - np.searchsorted(parent, parent, side="left") + 1


def _children(
    lives: Lives, names: Identities, la_code: str, child: Numbers, last: int, referrals: ReferralRecords
) -> ChildRecords:
    people = lives.children
    birth = people.birth[child]
    is_expected = birth > last
    has_upn = (
        calendar.month_index(np.full(len(child), last)) - calendar.month_index(birth) >= SCHOOL_AGE_MONTHS
    )
    has_upn &= ~people.is_uasc[child] | (child % 3 > 0)
    upn = np.where(has_upn, names.upn[child], "")
    unknown = np.where(has_upn, "", np.where(people.is_uasc[child], "UN2", "UN1")).astype(object)
    # A death ends the case with RC2.
    died = np.full(len(child), NEVER)
    ends = referrals.reason == "RC2"
    died[referrals.child_no[ends] - 1] = referrals.closure[ends]
    ethnicity = np.array(ETHNICITIES, dtype=object)[people.ethnicity[child]]
    return ChildRecords(
        child=child,
        child_id=Identities.child_ids(la_code, child),
        upn=upn,
        former_upn=np.where(has_upn, names.former_upn[child], ""),
        upn_unknown=unknown,
        # A birth that is still expected is expected after the day of the return.
        birth=np.where(is_expected, np.maximum(birth + child % 15 - 7, last + 1), birth),
        is_expected_birth=is_expected,
        death=died,
        gender=np.where(is_expected, "0", people.sex[child].astype("U1")).astype(object),
        ethnicity=np.where(is_expected, "NOBT", ethnicity).astype(object),
    )


def _disabilities(lives: Lives, names: Identities, child: Numbers, last: int) -> DisabilityRecords:
    known = lives.children.disabled_from[child] <= last
    numbers, codes = [], []
    for place in np.flatnonzero(known).tolist():
        listed = names.disability_codes[child[place]]
        numbers.extend([place + 1] * len(listed))
        codes.extend(listed)
    # Most authorities write NONE for the others; some leave the group out.
    none = np.flatnonzero(~known & (child % 5 > 0))
    number = np.concatenate([np.array(numbers, dtype=np.int64), none + 1])
    code = np.concatenate([np.array(codes, dtype=object), np.full(len(none), "NONE", dtype=object)])
    order = np.argsort(number, kind="stable")
    return DisabilityRecords(number[order], code[order])


def _assessments(
    casework: Casework, place: Numbers, first: int, last: int
) -> tuple[AssessmentRecords, Numbers]:
    """Assessments open at any time in the year, and where each assessment of the lives is among them."""
    table = casework.assessments
    parent = place[table.referral]
    row = np.flatnonzero((parent >= 0) & (table.start <= last) & (table.authorised >= first))
    position = np.full(len(table), -1)
    position[row] = np.arange(len(row))
    parent = parent[row]
    return (
        AssessmentRecords(
            parent=parent,
            record_no=_record_no(parent),
            start=table.start[row],
            review=np.where(table.review[row] <= last, table.review[row], NEVER),
            authorised=np.where(table.authorised[row] <= last, table.authorised[row], NEVER),
        ),
        position,
    )


def _factors(casework: Casework, position: Numbers, last: int) -> FactorRecords:
    table = casework.factors
    parent = position[table.assessment]
    row = np.flatnonzero((parent >= 0) & (casework.assessments.authorised[table.assessment] <= last))
    return FactorRecords(parent[row], np.array(FACTORS, dtype=object)[table.factor[row]])


def _enquiries(casework: Casework, place: Numbers, first: int, last: int) -> EnquiryRecords:
    table = casework.enquiries
    parent = place[table.referral]
    row = np.flatnonzero((parent >= 0) & (table.start <= last) & (table.start >= first))
    conference = table.conference[row]
    parent = parent[row]
    return EnquiryRecords(
        parent=parent,
        record_no=_record_no(parent),
        start=table.start[row],
        target=np.where(conference < NEVER, table.target[row], NEVER),
        conference=np.where(conference <= last, conference, NEVER),
        is_not_required=conference == NEVER,
    )


def _need_plans(casework: Casework, place: Numbers, first: int, last: int, year: int) -> NeedPlanRecords:
    table = casework.need_plans
    parent = place[table.referral]
    is_collected = year >= CIN_PLAN_YEAR
    row = np.flatnonzero((parent >= 0) & (table.start <= last) & (table.end >= first) & is_collected)
    parent = parent[row]
    end = table.end[row]
    return NeedPlanRecords(parent, _record_no(parent), table.start[row], np.where(end <= last, end, NEVER))


def _plans(casework: Casework, place: Numbers, first: int, last: int) -> tuple[PlanRecords, Numbers]:
    table = casework.plans
    parent = place[table.referral]
    row = np.flatnonzero((parent >= 0) & (table.start <= last) & (table.end >= first))
    position = np.full(len(table), -1)
    position[row] = np.arange(len(row))
    parent = parent[row]
    end = table.end[row]
    return (
        PlanRecords(
            parent=parent,
            record_no=_record_no(parent),
            start=table.start[row],
            end=np.where(end <= last, end, NEVER),
            first_category=table.first_category[row],
            latest_category=table.latest_category[row],
            n_previous=table.n_previous[row],
        ),
        position,
    )


def _reviews(casework: Casework, position: Numbers, first: int, last: int) -> ReviewRecords:
    table = casework.reviews
    parent = position[table.plan]
    row = np.flatnonzero((parent >= 0) & (table.held >= first) & (table.held <= last))
    return ReviewRecords(parent[row], table.held[row])
