"""Children in Need census XML, return years 2017 to 2026, streamed child by child.

The tree of one ``Child`` is read at a time and then let go, so memory does not grow with the file. Elements are
those of the published census schemas; namespaces, comments, processing instructions and text between elements
are set aside. Where a record is refused, so are the records inside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import IO, Final

from lxml import etree

from csc_evaluation.landing.context import BATCH_RECORDS, FileRefused, Landing
from csc_evaluation.landing.rejects import PARENT_REJECTED
from csc_evaluation.landing.values import (
    IMPOSSIBLE,
    NOT_A_DATE,
    completed_months,
    parse_date,
    read_upn,
    to_date,
)
from csc_evaluation.landing.xml_stream import LocalNames, elements

COLLECTION: Final = "cin"
MODULES: Final = ("census",)
RECORD_TYPES: Final = (
    "Child",
    "Disability",
    "CINdetails",
    "Assessments",
    "AssessmentFactors",
    "Section47",
    "CINPlanDates",
    "ChildProtectionPlans",
    "Reviews",
)
FIRST_KNOWN_YEAR: Final = 2017
LAST_KNOWN_YEAR: Final = 2026

_ENDS_BEFORE_START: Final = "ends before it starts"
_CHILD_GROUPS: Final = frozenset({"ChildIdentifiers", "ChildCharacteristics", "CINdetails"})
_IDENTIFIER_LEAVES: Final = frozenset(
    {
        "LAchildID",
        "UPN",
        "FormerUPN",
        "UPNunknown",
        "PersonBirthDate",
        "ExpectedPersonBirthDate",
        "GenderCurrent",
        "Sex",
        "PersonDeathDate",
    }
)
_REFERRAL_LEAVES: Final = frozenset(
    {
        "CINreferralDate",
        "ReferralSource",
        "PrimaryNeedCode",
        "CINclosureDate",
        "ReasonForClosure",
        "DateOfInitialCPC",
        "ReferralNFA",
    }
)
_REFERRAL_GROUPS: Final = frozenset({"Assessments", "Section47", "CINPlanDates", "ChildProtectionPlans"})
_GROUP_LEAVES: Final = {
    "Assessments": frozenset(
        {
            "AssessmentActualStartDate",
            "AssessmentInternalReviewDate",
            "AssessmentAuthorisationDate",
            "FactorsIdentifiedAtAssessment",
        }
    ),
    "Section47": frozenset({"S47ActualStartDate", "InitialCPCtarget", "DateOfInitialCPC", "ICPCnotRequired"}),
    "CINPlanDates": frozenset({"CINPlanStartDate", "CINPlanEndDate"}),
    "ChildProtectionPlans": frozenset(
        {
            "CPPstartDate",
            "CPPendDate",
            "InitialCategoryOfAbuse",
            "LatestCategoryOfAbuse",
            "NumberOfPreviousCPP",
            "Reviews",
        }
    ),
}
_RECORD_ELEMENTS: Final = {
    **{name: name for name in RECORD_TYPES if name != "Reviews"},
    "CPPreviewDate": "Reviews",
}
"""Element of each record to its type; one that stands where no census has it is refused, not passed over."""

_MISPLACED: Final = "stands where the census does not have it"
_ONCE_IN_HEADER: Final = ("Collection", "LEA", "Year", "ReferenceDate")
_MAX_NAME: Final = 40


@dataclass(frozen=True)
class CinHeader:
    """What the header of a census file says of itself; None where it is silent.

    Attributes:
        return_year: the year of a 31 March reference date, otherwise the header's year.
        notes: what disagrees in it.
    """

    collection: str | None
    la_code: str | None
    header_year: int | None
    reference_date: date | None
    return_year: int | None
    software: str | None
    software_release: str | None
    serial_no: str | None
    created_at: str | None
    notes: tuple[str, ...]


def read_header(stream: IO[bytes]) -> CinHeader:
    """Read the header, which stands before the children, and no further.

    Raises:
        FileRefused: there is no header before the children, it names two authorities, years or collections, or
            the XML is broken before its end.
    """
    local = LocalNames()
    found: dict[str, str] = {}
    is_whole = True
    for element in elements(stream, ("Header", "Children"), events=("start", "end")):
        if local[str(element.tag)] == "Children":
            break
        # A header is met when it starts, and again when it is whole.
        is_whole = not is_whole
        if not is_whole:
            continue
        for leaf in element.iter():
            text = (leaf.text or "").strip()
            name = local[str(leaf.tag)]
            if text and len(leaf) == 0 and found.setdefault(name, text) != text and name in _ONCE_IN_HEADER:
                raise FileRefused(
                    f"has more than one {name} in its header, and they differ; a census file is the return of one "
                    "authority and year."
                )
    if not found:
        raise FileRefused(
            "has no Header before its Children: a CIN census file names its authority (LEA) and year there."
        )
    notes: list[str] = []
    year_text = found.get("Year", "")
    header_year = (
        int(year_text) if year_text.isascii() and year_text.isdigit() and len(year_text) == 4 else None
    )
    if year_text and header_year is None:
        notes.append("the header's Year is not a year")
    reference = parse_date(found["ReferenceDate"]) if "ReferenceDate" in found else None
    if "ReferenceDate" in found and reference is None:
        notes.append("the header's ReferenceDate is not a calendar date")
    if reference is not None and (reference.month, reference.day) == (3, 31):
        return_year: int | None = reference.year
        if header_year is not None and header_year != reference.year:
            notes.append(
                f"header year {header_year} disagrees with reference date {reference}; return year is {reference.year}"
            )
    else:
        return_year = header_year
        if reference is not None:
            notes.append(f"reference date {reference} is not a 31 March; return year is the header's")
    return CinHeader(
        collection=found.get("Collection"),
        la_code=found.get("LEA"),
        header_year=header_year,
        reference_date=reference,
        return_year=return_year,
        software=_short(found.get("SoftwareCode")),
        software_release=_short(found.get("Release")),
        serial_no=_short(found.get("SerialNo")),
        created_at=_short(found.get("DateTime")),
        notes=tuple(notes),
    )


def _short(text: str | None) -> str | None:
    return None if text is None else text[:100]


def land_file(stream: IO[bytes], landing: Landing) -> None:
    """Read the whole file, handing its records to the landing batch by batch.

    Raises:
        FileRefused: the XML is cut short or broken, a ``Child`` stands where none may, or ``Children`` holds
            something else only.
    """
    reader = _CinReader(landing)
    number = 0
    for element in elements(stream, ("Child", "Children")):
        if reader.local[str(element.tag)] == "Children":
            # The last child is still there, emptied, and what stood behind it.
            reader.not_children(element)
            continue
        number += 1
        parent = element.getparent()
        if parent is None or reader.local[str(parent.tag)] != "Children":
            raise FileRefused(
                f"has a Child element outside Children (the {number}th); it is no CIN census file."
            )
        previous = element.getprevious()
        if previous is not None and reader.local[str(previous.tag)] != "Child":
            reader.not_children(parent, until=element)
        reader.child(number, element)
        if number % BATCH_RECORDS == 0:
            landing.put_aside()
    if not number and reader.has_oddities:
        raise FileRefused(
            "has no Child in its Children but other elements, which the census does not have; export it again from "
            "the case management system."
        )
    if not number:
        landing.notes.append("there is no child in it")
    reader.note_oddities()


class _CinReader:
    """Turns one child's tree into rows and rejects."""

    def __init__(self, landing: Landing) -> None:
        self.local = LocalNames()
        self._landing = landing
        self._tally = landing.tally
        self._unknown: Counter[str] = Counter()
        self._children = landing.batch("cin_children").rows
        self._disabilities = landing.batch("cin_disabilities").rows
        self._referrals = landing.batch("cin_referrals").rows
        self._assessments = landing.batch("cin_assessments").rows
        self._factors = landing.batch("cin_assessment_factors").rows
        self._enquiries = landing.batch("cin_section47").rows
        self._plans = landing.batch("cin_plans").rows
        self._cp_plans = landing.batch("cin_cp_plans").rows
        self._reviews = landing.batch("cin_cp_reviews").rows
        self._upn_unknown = landing.code("Child", "UPNunknown", "unknownupn")
        self._gender = landing.code("Child", "GenderCurrent", "gender")
        self._sex = landing.code("Child", "Sex", "sex")
        self._ethnicity = landing.code("Child", "Ethnicity", "ethnicity")
        self._disability = landing.code("Disability", "Disability", "disability")
        self._source = landing.code("CINdetails", "ReferralSource", "referralsource")
        self._need = landing.code("CINdetails", "PrimaryNeedCode", "primaryneedcode")
        self._closure = landing.code("CINdetails", "ReasonForClosure", "reasonforclosure")
        self._nfa = landing.flag("CINdetails", "ReferralNFA")
        self._factor = landing.code("AssessmentFactors", "AssessmentFactors", "assessmentfactors")
        self._not_required = landing.flag("Section47", "ICPCnotRequired")
        self._initial_category = landing.code(
            "ChildProtectionPlans", "InitialCategoryOfAbuse", "categoryofabuse"
        )
        self._latest_category = landing.code(
            "ChildProtectionPlans", "LatestCategoryOfAbuse", "categoryofabuse"
        )
        self._previous_plans = landing.number("ChildProtectionPlans", "NumberOfPreviousCPP")

    @property
    def has_oddities(self) -> bool:
        """Whether elements were met that no census schema has there."""
        return bool(self._unknown)

    def not_children(self, children: etree._Element, *, until: etree._Element | None = None) -> None:
        """Set aside what stands in ``Children`` and is no ``Child``, up to an element."""
        for part in children:
            if part is until:
                break
            if self.local[part.tag] != "Child":
                self._set_aside(part, "Message/Children")

    def _set_aside(self, element: etree._Element, place: str) -> None:
        """An element that the census does not have there: noted, and every record in it refused.

        Records are those of :data:`RECORD_TYPES`, so that accepted + rejected = found wherever they stand.
        """
        n_records = 0
        for part in element.iter():
            name = self.local[part.tag]
            if (record_type := _RECORD_ELEMENTS.get(name)) is not None:
                n_records += 1
                self._tally.reject(record_type, f"{place}//{name}[{n_records}]", name, _MISPLACED)
        if self.local[element.tag] not in _RECORD_ELEMENTS:
            self._unknown[self.local[element.tag]] += 1

    def _set_aside_beside(self, leaves: frozenset[str], element: etree._Element, place: str) -> None:
        """Set aside the parts of an element that are none of these leaves."""
        for part in element:
            if self.local[part.tag] not in leaves:
                self._set_aside(part, place)

    def note_oddities(self) -> None:
        """Say which elements were met that no census schema has."""
        if self._unknown:
            shown = ", ".join(f"{name[:_MAX_NAME]} ({n})" for name, n in sorted(self._unknown.items())[:10])
            more = len(self._unknown) - 10
            self._landing.notes.append(
                f"elements that the census does not have, set aside: {shown}{f' and {more} more' if more > 0 else ''}"
            )

    def child(self, child_no: int, element: etree._Element) -> None:
        """One ``Child`` with all that is inside it."""
        local = self.local
        identifiers: dict[str, str | None] = {}
        ethnicity: str | None = None
        disabilities: list[str | None] = []
        referrals: list[etree._Element] = []
        for group in element:
            name = local[group.tag]
            if name == "CINdetails":
                referrals.append(group)
            elif name == "ChildIdentifiers":
                for leaf in group:
                    identifiers[local[leaf.tag]] = leaf.text
                if not identifiers.keys() <= _IDENTIFIER_LEAVES:
                    self._set_aside_beside(
                        _IDENTIFIER_LEAVES, group, f"Message/Children/Child[{child_no}]/ChildIdentifiers"
                    )
            elif name == "ChildCharacteristics":
                for leaf in group:
                    leaf_name = local[leaf.tag]
                    if leaf_name == "Ethnicity":
                        ethnicity = leaf.text
                    elif leaf_name == "Disabilities":
                        disabilities.extend(code.text for code in leaf)
                    else:
                        self._set_aside(leaf, f"Message/Children/Child[{child_no}]/ChildCharacteristics")
            else:
                self._set_aside(group, f"Message/Children/Child[{child_no}]")

        raw_id = (identifiers.get("LAchildID") or "").strip()
        dates = self._landing.dates
        birth = dates[identifiers.get("PersonBirthDate")]
        expected = dates[identifiers.get("ExpectedPersonBirthDate")]
        death = dates[identifiers.get("PersonDeathDate")]
        fault: tuple[str, str] | None = None
        if not raw_id:
            fault = ("LAchildID", "no child identifier")
        elif IMPOSSIBLE in (birth, expected, death):
            field_name = (
                "PersonBirthDate"
                if birth == IMPOSSIBLE
                else "ExpectedPersonBirthDate"
                if expected == IMPOSSIBLE
                else "PersonDeathDate"
            )
            fault = (field_name, NOT_A_DATE)
        if fault is not None:
            path = f"Message/Children/Child[{child_no}]"
            self._tally.reject("Child", path, *fault)
            for index in range(1, len(disabilities) + 1):
                self._tally.reject(
                    "Disability",
                    f"{path}/ChildCharacteristics/Disabilities/Disability[{index}]",
                    "Child",
                    PARENT_REJECTED,
                )
            for index, referral in enumerate(referrals, start=1):
                self._tally.reject("CINdetails", f"{path}/CINdetails[{index}]", "Child", PARENT_REJECTED)
                self._refuse_inside(f"{path}/CINdetails[{index}]", referral)
            return

        landing = self._landing
        child_id = landing.pseudonymiser.child(landing.identity.la_code or "", raw_id)
        upn = read_upn(identifiers.get("UPN"))
        former_upn = read_upn(identifiers.get("FormerUPN"))
        is_expected = birth is None and expected is not None
        sex = identifiers.get("Sex")
        if sex is not None and sex.strip():
            gender = self._sex(sex)
        else:
            gender = self._gender(identifiers.get("GenderCurrent"))
        pupil = landing.pseudonymiser.pupil
        self._tally.accepted["Child"] += 1
        self._children.append(
            (
                child_no,
                child_id,
                pupil(upn) if upn else None,
                pupil(former_upn) if former_upn else None,
                self._upn_unknown(identifiers.get("UPNunknown")),
                landing.months[expected if is_expected else birth],
                is_expected,
                landing.months[death],
                gender,
                self._ethnicity(ethnicity),
            )
        )
        for index, text in enumerate(disabilities, start=1):
            code = self._disability(text)
            if code is None:
                self._tally.reject(
                    "Disability",
                    f"Message/Children/Child[{child_no}]/ChildCharacteristics/Disabilities/Disability[{index}]",
                    "Disability",
                    "no code",
                )
            else:
                self._tally.accepted["Disability"] += 1
                self._disabilities.append((child_no, child_id, code))
        born = expected if is_expected else birth
        for referral_no, referral in enumerate(referrals, start=1):
            self._referral(referral, child_no, child_id, referral_no, born)

    def _referral(
        self, element: etree._Element, child_no: int, child_id: str, referral_no: int, born: int | None
    ) -> None:
        local = self.local
        values: dict[str, str | None] = {}
        groups: list[tuple[str, etree._Element]] = []
        for part in element:
            name = local[part.tag]
            if name in _REFERRAL_GROUPS:
                groups.append((name, part))
            else:
                values[name] = part.text
        dates = self._landing.dates
        referred = dates[values.get("CINreferralDate")]
        closed = dates[values.get("CINclosureDate")]
        conference = dates[values.get("DateOfInitialCPC")]
        fault: tuple[str, str] | None = None
        if referred is None:
            fault = ("CINreferralDate", "no referral date")
        elif referred == IMPOSSIBLE:
            fault = ("CINreferralDate", NOT_A_DATE)
        elif closed == IMPOSSIBLE:
            fault = ("CINclosureDate", NOT_A_DATE)
        elif conference == IMPOSSIBLE:
            fault = ("DateOfInitialCPC", NOT_A_DATE)
        elif born is not None:
            fault = self._age_fault(born, referred)
        if fault is not None or referred is None:
            path = f"Message/Children/Child[{child_no}]/CINdetails[{referral_no}]"
            self._tally.reject("CINdetails", path, *(fault or ("CINreferralDate", "no referral date")))
            self._refuse_inside(path, element)
            return
        keys = (child_no, child_id, referral_no)
        if not values.keys() <= _REFERRAL_LEAVES:
            self._set_aside_beside(
                _REFERRAL_LEAVES | _REFERRAL_GROUPS,
                element,
                f"Message/Children/Child[{child_no}]/CINdetails[{referral_no}]",
            )
        self._tally.accepted["CINdetails"] += 1
        self._referrals.append(
            (
                *keys,
                referred,
                self._source(values.get("ReferralSource")),
                self._need(values.get("PrimaryNeedCode")),
                closed,
                self._closure(values.get("ReasonForClosure")),
                conference,
                self._nfa(values.get("ReferralNFA")),
            )
        )
        positions = dict.fromkeys(_REFERRAL_GROUPS, 0)
        for name, group in groups:
            positions[name] += 1
            number = positions[name]
            if name == "Assessments":
                self._assessment(group, keys, number)
            elif name == "Section47":
                self._section47(group, keys, number)
            elif name == "ChildProtectionPlans":
                self._cp_plan(group, keys, number)
            else:
                self._plan(group, keys, number)

    def _age_fault(self, born: int, referred: int) -> tuple[str, str] | None:
        """Why a referral at this age cannot be: nine months and more before birth, or over 25 years after it."""
        limits = self._landing.reference.limits
        days = referred - born
        if -28 * limits.months_before_birth < days < 365 * limits.years_after_birth:
            return None
        birth, referral = to_date(born), to_date(referred)
        if days < 0:
            if completed_months(referral, birth) >= limits.months_before_birth:
                return "CINreferralDate", limits.born_too_late
            return None
        limit = 12 * limits.years_after_birth
        months = completed_months(birth, referral)
        is_birthday = referral.month == birth.month and referral.day == birth.day
        if months > limit or (months == limit and not is_birthday):
            return "CINreferralDate", limits.born_too_early
        return None

    def _assessment(self, element: etree._Element, keys: tuple[int, str, int], number: int) -> None:
        local = self.local
        values: dict[str, str | None] = {}
        factors: list[str | None] = []
        for part in element:
            name = local[part.tag]
            if name == "FactorsIdentifiedAtAssessment":
                factors.extend(factor.text for factor in part)
            else:
                values[name] = part.text
        dates = self._landing.dates
        started = dates[values.get("AssessmentActualStartDate")]
        reviewed = dates[values.get("AssessmentInternalReviewDate")]
        authorised = dates[values.get("AssessmentAuthorisationDate")]
        if IMPOSSIBLE in (started, reviewed, authorised):
            field_name = (
                "AssessmentActualStartDate"
                if started == IMPOSSIBLE
                else "AssessmentInternalReviewDate"
                if reviewed == IMPOSSIBLE
                else "AssessmentAuthorisationDate"
            )
            path = self._path(keys, "Assessments", number)
            self._tally.reject("Assessments", path, field_name, NOT_A_DATE)
            self._refuse_inside_group("Assessments", path, element)
            return
        if not values.keys() <= _GROUP_LEAVES["Assessments"]:
            self._set_aside_beside(
                _GROUP_LEAVES["Assessments"], element, self._path(keys, "Assessments", number)
            )
        self._tally.accepted["Assessments"] += 1
        self._assessments.append((*keys, number, started, reviewed, authorised))
        for index, text in enumerate(factors, start=1):
            code = self._factor(text)
            if code is None:
                path = self._path(keys, "Assessments", number)
                self._tally.reject(
                    "AssessmentFactors",
                    f"{path}/FactorsIdentifiedAtAssessment/AssessmentFactors[{index}]",
                    "AssessmentFactors",
                    "no code",
                )
            else:
                self._tally.accepted["AssessmentFactors"] += 1
                self._factors.append((*keys, number, code))

    def _section47(self, element: etree._Element, keys: tuple[int, str, int], number: int) -> None:
        local = self.local
        values = {local[part.tag]: part.text for part in element}
        if not values.keys() <= _GROUP_LEAVES["Section47"]:
            self._set_aside_beside(_GROUP_LEAVES["Section47"], element, self._path(keys, "Section47", number))
        dates = self._landing.dates
        started = dates[values.get("S47ActualStartDate")]
        target = dates[values.get("InitialCPCtarget")]
        conference = dates[values.get("DateOfInitialCPC")]
        if IMPOSSIBLE in (started, target, conference):
            field_name = (
                "S47ActualStartDate"
                if started == IMPOSSIBLE
                else "InitialCPCtarget"
                if target == IMPOSSIBLE
                else "DateOfInitialCPC"
            )
            self._tally.reject("Section47", self._path(keys, "Section47", number), field_name, NOT_A_DATE)
            return
        self._tally.accepted["Section47"] += 1
        self._enquiries.append(
            (*keys, number, started, target, conference, self._not_required(values.get("ICPCnotRequired")))
        )

    def _plan(self, element: etree._Element, keys: tuple[int, str, int], number: int) -> None:
        local = self.local
        values = {local[part.tag]: part.text for part in element}
        if not values.keys() <= _GROUP_LEAVES["CINPlanDates"]:
            self._set_aside_beside(
                _GROUP_LEAVES["CINPlanDates"], element, self._path(keys, "CINPlanDates", number)
            )
        started = self._landing.dates[values.get("CINPlanStartDate")]
        ended = self._landing.dates[values.get("CINPlanEndDate")]
        fault = span_fault(started, ended, "CINPlanStartDate", "CINPlanEndDate")
        if fault is not None:
            self._tally.reject("CINPlanDates", self._path(keys, "CINPlanDates", number), *fault)
            return
        self._tally.accepted["CINPlanDates"] += 1
        self._plans.append((*keys, number, started, ended))

    def _cp_plan(self, element: etree._Element, keys: tuple[int, str, int], number: int) -> None:
        local = self.local
        values: dict[str, str | None] = {}
        reviews: list[str | None] = []
        for part in element:
            name = local[part.tag]
            if name == "Reviews":
                reviews.extend(review.text for review in part)
            else:
                values[name] = part.text
        dates = self._landing.dates
        started = dates[values.get("CPPstartDate")]
        ended = dates[values.get("CPPendDate")]
        fault = span_fault(started, ended, "CPPstartDate", "CPPendDate")
        if fault is not None:
            path = self._path(keys, "ChildProtectionPlans", number)
            self._tally.reject("ChildProtectionPlans", path, *fault)
            self._refuse_inside_group("ChildProtectionPlans", path, element)
            return
        if not values.keys() <= _GROUP_LEAVES["ChildProtectionPlans"]:
            self._set_aside_beside(
                _GROUP_LEAVES["ChildProtectionPlans"],
                element,
                self._path(keys, "ChildProtectionPlans", number),
            )
        self._tally.accepted["ChildProtectionPlans"] += 1
        self._cp_plans.append(
            (
                *keys,
                number,
                started,
                ended,
                self._initial_category(values.get("InitialCategoryOfAbuse")),
                self._latest_category(values.get("LatestCategoryOfAbuse")),
                self._previous_plans(values.get("NumberOfPreviousCPP")),
            )
        )
        for index, text in enumerate(reviews, start=1):
            reviewed = dates[text]
            if reviewed is None or reviewed == IMPOSSIBLE:
                path = self._path(keys, "ChildProtectionPlans", number)
                self._tally.reject(
                    "Reviews",
                    f"{path}/Reviews/CPPreviewDate[{index}]",
                    "CPPreviewDate",
                    "no review date" if reviewed is None else NOT_A_DATE,
                )
            else:
                self._tally.accepted["Reviews"] += 1
                self._reviews.append((*keys, number, reviewed))

    def _refuse_inside(self, path: str, referral: etree._Element) -> None:
        """Refuse every record inside a refused referral."""
        positions = dict.fromkeys(_REFERRAL_GROUPS, 0)
        for part in referral:
            name = self.local[part.tag]
            if name in positions:
                positions[name] += 1
                place = f"{path}/{name}[{positions[name]}]"
                self._tally.reject(name, place, "CINdetails", PARENT_REJECTED)
                if name in {"Assessments", "ChildProtectionPlans"}:
                    self._refuse_inside_group(name, place, part)
                else:
                    self._set_aside_beside(_GROUP_LEAVES[name], part, place)
        self._set_aside_beside(_REFERRAL_LEAVES | _REFERRAL_GROUPS, referral, path)

    def _refuse_inside_group(self, name: str, path: str, group: etree._Element) -> None:
        """Refuse the factors of a refused assessment, or the reviews of a refused child protection plan."""
        for record_type, wrapper, leaf in _leaves_inside(name):
            number = 0
            for part in group:
                if self.local[part.tag] == wrapper:
                    for _ in part:
                        number += 1
                        place = f"{path}/{wrapper}/{leaf}[{number}]"
                        self._tally.reject(record_type, place, name, PARENT_REJECTED)
        self._set_aside_beside(_GROUP_LEAVES[name], group, path)

    @staticmethod
    def _path(keys: tuple[int, str, int], group: str, number: int) -> str:
        return f"Message/Children/Child[{keys[0]}]/CINdetails[{keys[2]}]/{group}[{number}]"


def _leaves_inside(name: str) -> Iterator[tuple[str, str, str]]:
    """(record type, wrapping element, repeated element) of the records inside a referral's group."""
    if name == "Assessments":
        yield "AssessmentFactors", "FactorsIdentifiedAtAssessment", "AssessmentFactors"
    elif name == "ChildProtectionPlans":
        yield "Reviews", "Reviews", "CPPreviewDate"


def span_fault(
    started: int | None, ended: int | None, start_field: str, end_field: str
) -> tuple[str, str] | None:
    """(field, reason) when a plan has no start, an impossible date, or an end before its start."""
    if started is None:
        return start_field, "no start date"
    if started == IMPOSSIBLE:
        return start_field, NOT_A_DATE
    if ended == IMPOSSIBLE:
        return end_field, NOT_A_DATE
    if ended is not None and ended < started:
        return end_field, _ENDS_BEFORE_START
    return None
