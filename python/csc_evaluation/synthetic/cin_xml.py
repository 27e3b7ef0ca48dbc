"""Children in Need census returns as XML, put together from text, never from a document tree."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csc_evaluation.synthetic.calendar import spell_iso
from csc_evaluation.synthetic.census import CensusReturn

SOFTWARE = (("CareFile", "7.2.1"), ("ChildTrack", "2023.1"), ("Caseline", "12.0"))
FIRST_YEAR_OF_SEX = 2025
SEX_LETTERS = {"1": "M", "2": "F", "0": "U", "9": "U"}


def write_census(census: CensusReturn, path: Path) -> None:
    """Write one return.

    Software differs between authorities as it does in practice: booleans as ``true``/``false`` or ``1``/``0``, and
    from 2025 ``Sex`` in place of ``GenderCurrent``.
    """
    text = census_text(census)
    path.write_text(text, encoding="utf-8", newline="\n")


def census_text(census: CensusReturn) -> str:
    """The whole file as text."""
    code = int(census.la_code)
    software, release = software_of(census.la_code)
    year = census.year
    header = (
        '<?xml version="1.0" encoding="utf-8"?>\n<Message>\n<Header><CollectionDetails><Collection>CIN</Collection>'
        f"<Year>{year}</Year><ReferenceDate>{year}-03-31</ReferenceDate></CollectionDetails>"
        f"<Source><SourceLevel>L</SourceLevel><LEA>{census.la_code}</LEA><SoftwareCode>{software}</SoftwareCode>"
        f"<Release>{release}</Release><SerialNo>001</SerialNo><DateTime>{year}-06-{1 + code % 28:02d}T09:30:00"
        "</DateTime></Source></Header>\n<Children>\n"
    )
    true, false = ("true", "false") if code % 2 else ("1", "0")
    children = _child_texts(census, _referral_texts(census, true, false))
    return header + "".join(children) + _unusable_children(census) + "</Children>\n</Message>\n"


def software_of(la_code: str) -> tuple[str, str]:
    """Software and release with which an authority makes its return."""
    return SOFTWARE[int(la_code) % len(SOFTWARE)]


def _unusable_children(census: CensusReturn) -> str:
    """Children without an id, and children whose referral date is none: what landing must refuse."""
    year = census.year
    characteristics = "<ChildCharacteristics><Ethnicity>NOBT</Ethnicity></ChildCharacteristics>"
    without = (
        "<Child><ChildIdentifiers><LAchildID></LAchildID></ChildIdentifiers>"
        f"{characteristics}<CINdetails><CINreferralDate>{year - 1}-07-01</CINreferralDate>"
        "<ReferralNFA>0</ReferralNFA></CINdetails></Child>\n"
    ) * census.n_without_id
    sex = "<Sex>M</Sex>" if year >= FIRST_YEAR_OF_SEX else "<GenderCurrent>1</GenderCurrent>"
    impossible = "".join(
        f"<Child><ChildIdentifiers><LAchildID>X{year}{number:04d}</LAchildID>{sex}</ChildIdentifiers>"
        f"{characteristics}<CINdetails><CINreferralDate>{year - 1}-02-31</CINreferralDate>"
        "<ReferralNFA>0</ReferralNFA></CINdetails></Child>\n"
        for number in range(census.n_impossible_dates)
    )
    return without + impossible


def _element(name: str, values: list[str]) -> list[str]:
    """Elements with these contents; none where the content is blank."""
    return [f"<{name}>{value}</{name}>" if value else "" for value in values]


def _joined(parent: NDArray[np.int64], texts: list[str], n: int) -> list[str]:
    """Texts of each parent, one after another; ``parent`` ascends."""
    bounds = np.searchsorted(parent, np.arange(n + 1)).tolist()
    return ["".join(texts[a:b]) if a < b else "" for a, b in pairwise(bounds)]


def _referral_texts(census: CensusReturn, true: str, false: str) -> list[str]:
    table = census.referrals
    n = len(table)
    assessments = _joined(census.assessments.parent, _assessment_texts(census), n)
    need_plans = _joined(census.need_plans.parent, _need_plan_texts(census), n)
    enquiries = _joined(census.enquiries.parent, _enquiry_texts(census, true, false), n)
    plans = _joined(census.plans.parent, _plan_texts(census), n)
    return [
        f"<CINdetails><CINreferralDate>{date}</CINreferralDate>{source}{need}{closure}{reason}{conference}{assessed}"
        f"{need_plan}{enquiry}<ReferralNFA>{true if nfa else false}</ReferralNFA>{plan}</CINdetails>\n"
        for date, source, need, closure, reason, conference, assessed, need_plan, enquiry, nfa, plan in zip(
            spell_iso(table.referral_date),
            _element("ReferralSource", table.source.tolist()),
            _element("PrimaryNeedCode", table.need.tolist()),
            _element("CINclosureDate", spell_iso(table.closure)),
            _element("ReasonForClosure", table.reason.tolist()),
            _element("DateOfInitialCPC", spell_iso(table.conference)),
            assessments,
            need_plans,
            enquiries,
            table.is_nfa.tolist(),
            plans,
            strict=True,
        )
    ]


def _assessment_texts(census: CensusReturn) -> list[str]:
    table = census.assessments
    factors = _joined(
        census.factors.parent, _element("AssessmentFactors", census.factors.code.tolist()), len(table)
    )
    return [
        f"<Assessments><AssessmentActualStartDate>{start}</AssessmentActualStartDate>{review}{authorised}"
        + (f"<FactorsIdentifiedAtAssessment>{factor}</FactorsIdentifiedAtAssessment>" if factor else "")
        + "</Assessments>"
        for start, review, authorised, factor in zip(
            spell_iso(table.start),
            _element("AssessmentInternalReviewDate", spell_iso(table.review)),
            _element("AssessmentAuthorisationDate", spell_iso(table.authorised)),
            factors,
            strict=True,
        )
    ]


def _need_plan_texts(census: CensusReturn) -> list[str]:
    table = census.need_plans
    return [
        f"<CINPlanDates><CINPlanStartDate>{start}</CINPlanStartDate>{end}</CINPlanDates>"
        for start, end in zip(
            spell_iso(table.start), _element("CINPlanEndDate", spell_iso(table.end)), strict=True
        )
    ]


def _enquiry_texts(census: CensusReturn, true: str, false: str) -> list[str]:
    table = census.enquiries
    return [
        f"<Section47><S47ActualStartDate>{start}</S47ActualStartDate>{target}{conference}"
        f"<ICPCnotRequired>{true if not_required else false}</ICPCnotRequired></Section47>"
        for start, target, conference, not_required in zip(
            spell_iso(table.start),
            _element("InitialCPCtarget", spell_iso(table.target)),
            _element("DateOfInitialCPC", spell_iso(table.conference)),
            table.is_not_required.tolist(),
            strict=True,
        )
    ]


def _plan_texts(census: CensusReturn) -> list[str]:
    table = census.plans
    reviews = _joined(
        census.reviews.parent, _element("CPPreviewDate", spell_iso(census.reviews.held)), len(table)
    )
    return [
        f"<ChildProtectionPlans><CPPstartDate>{start}</CPPstartDate>{end}"
        f"<InitialCategoryOfAbuse>{first}</InitialCategoryOfAbuse>"
        f"<LatestCategoryOfAbuse>{latest}</LatestCategoryOfAbuse><NumberOfPreviousCPP>{n}</NumberOfPreviousCPP>"
        + (f"<Reviews>{review}</Reviews>" if review else "")
        + "</ChildProtectionPlans>"
        for start, end, first, latest, n, review in zip(
            spell_iso(table.start),
            _element("CPPendDate", spell_iso(table.end)),
            table.first_category.tolist(),
            table.latest_category.tolist(),
            table.n_previous.tolist(),
            reviews,
            strict=True,
        )
    ]


def _child_texts(census: CensusReturn, referrals: list[str]) -> list[str]:
    table = census.children
    n = len(table)
    details = _joined(census.referrals.child_no - 1, referrals, n)
    disabilities = _joined(
        census.disabilities.child_no - 1, _element("Disability", census.disabilities.code.tolist()), n
    )
    birth = spell_iso(table.birth)
    if census.year >= FIRST_YEAR_OF_SEX:
        sexes = [SEX_LETTERS.get(value, value) for value in table.gender.tolist()]
        sex = _element("Sex", sexes)
    else:
        sex = _element("GenderCurrent", table.gender.tolist())
    births = [
        (
            f"<ExpectedPersonBirthDate>{day}</ExpectedPersonBirthDate>"
            if expected
            else f"<PersonBirthDate>{day}</PersonBirthDate>"
        )
        if day
        else ""
        for day, expected in zip(birth, table.is_expected_birth.tolist(), strict=True)
    ]
    return [
        f"<Child><ChildIdentifiers>{child_id}{upn}{former}{unknown}{born}{gender}{died}</ChildIdentifiers>"
        f"<ChildCharacteristics>{ethnicity}"
        + (f"<Disabilities>{disability}</Disabilities>" if disability else "")
        + f"</ChildCharacteristics>\n{detail}</Child>\n"
        for child_id, upn, former, unknown, born, gender, died, ethnicity, disability, detail in zip(
            _element("LAchildID", table.child_id.tolist()),
            _element("UPN", table.upn.tolist()),
            _element("FormerUPN", table.former_upn.tolist()),
            _element("UPNunknown", table.upn_unknown.tolist()),
            births,
            sex,
            _element("PersonDeathDate", spell_iso(table.death)),
            _element("Ethnicity", table.ethnicity.tolist()),
            disabilities,
            details,
            strict=True,
        )
    ]
