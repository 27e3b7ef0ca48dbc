"""Reading the rows of an extract: each belongs to a return and a child, and tells of a referral or an episode.

Identifiers are hashed and codes are made sure to be codes here, before a row is put aside. Rows are put aside in
buckets, all rows of an authority and year in one, so that records can be made of them whatever their order and
without holding the file in memory.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from typing import IO, Any, Final

from csc_evaluation.landing.cin_xml import span_fault
from csc_evaluation.landing.context import FileRefused, Limits
from csc_evaluation.landing.delimited import HEADER_AGAIN, Header, is_header_again, rows, wrong_width
from csc_evaluation.landing.extracts import CIN, N_BUCKETS, ROWS, ExtractLanding, ReturnPart
from csc_evaluation.landing.rejects import PARENT_REJECTED, Spill
from csc_evaluation.landing.values import (
    EPOCH_ORDINAL,
    IMPOSSIBLE,
    MEMO_LIMIT,
    NOT_A_DATE,
    CodeReader,
    DateReader,
    FlagReader,
    NumberReader,
    to_date,
)

BATCH_ROWS: Final = 20_000
STILL_OPEN: Final = "-10"
UNREADABLE: Final = -1
"""Stands for a flag or number that is written but is none."""

NOT_A_MONTH: Final = "not a month of birth (expected month 1 to 12 and a year)"
NOT_A_YEAR: Final = "not an academic year (expected 2017/2018, 2017-18 or 201718)"

CENSUS_COLUMNS: Final = {
    "group_no": "integer",
    "child_id": "varchar",
    "pupil_id": "varchar",
    "birth": "integer",
    "gender_code": "varchar",
    "ethnicity_code": "varchar",
    "referred": "integer",
    "referral_source": "varchar",
    "primary_need_code": "varchar",
    "closed": "integer",
    "closure_reason": "varchar",
    "conference": "integer",
    "is_nfa": "integer",
    "plan_start": "integer",
    "plan_end": "integer",
    "latest_category_code": "varchar",
    "n_previous_plans": "integer",
    "has_assessment": "boolean",
    "assessment_start": "integer",
    "authorised": "integer",
    "factors": "varchar",
}
"""What is put aside of a row about a referral; dates as days, and the referral's blank where it was refused."""

CARE_COLUMNS: Final = {
    "group_no": "integer",
    "line": "integer",
    "child_id": "varchar",
    "pupil_id": "varchar",
    "birth": "integer",
    "gender_code": "varchar",
    "ethnicity_code": "varchar",
    "is_uasc": "integer",
    "started": "integer",
    "ended": "integer",
    "reason_new_episode": "varchar",
    "legal_status": "varchar",
    "need_code": "varchar",
    "placement": "varchar",
    "reason_episode_ceased": "varchar",
}
"""What is put aside of a row about an episode of care; its start blank where the episode was refused."""

_YEAR = re.compile(r"((?:19|20)\d{2})\s*[/-]?\s*((?:19|20)?\d{2})", re.ASCII)
_MONTH = re.compile(r"(\d{1,2})(?:\.0+)?", re.ASCII)
_BIRTH_YEAR = re.compile(r"((?:19|20)\d{2})(?:\.0+)?", re.ASCII)
_BETWEEN_FACTORS = re.compile(r"[\s,;|]+")

Child = tuple[str, str | None, int | None, str | None, str | None]


def read_academic_year(text: str) -> int | None:
    """The year in which an academic year ends, or None where the text names none.

    Example:
        >>> [read_academic_year(text) for text in ("2017/2018", "2017-18", "201718", "2018", "2017/19")]
        [2018, 2018, 2018, None, None]
    """
    match = _YEAR.fullmatch(text.strip())
    if match is None:
        return None
    start, end = match.groups()
    year = int(start) + 1
    return year if end in {str(year), f"{year % 100:02d}"} else None


def year_end(year: int) -> int:
    """The 31 March on which a return year ends, as days.

    Example:
        >>> to_date(year_end(2020))
        datetime.date(2020, 3, 31)
    """
    return date(year, 3, 31).toordinal() - EPOCH_ORDINAL


def return_year_of(day: int) -> int:
    """The return year in which a day lies.

    Example:
        >>> return_year_of(year_end(2020)), return_year_of(year_end(2020) + 1)
        (2020, 2021)
    """
    when = to_date(day)
    return when.year + (when.month > 3)


def age_fault(birth: int, referred: int, limits: Limits) -> str | None:
    """Why a referral at this age cannot be, in months, since the day of birth is not there.

    What could be within the limits on one of the month's days is kept.
    """
    born, then = to_date(birth), to_date(referred)
    months = (then.year - born.year) * 12 + then.month - born.month
    if months < -limits.months_before_birth:
        return limits.born_too_late
    return limits.born_too_early if months > 12 * limits.years_after_birth else None


class _Memo(dict[str, Any]):
    """Text to what it means; few texts stand in millions of rows."""

    def _keep(self, text: str, value: object) -> object:
        if len(self) >= MEMO_LIMIT:
            self.clear()
        self[text] = value
        return value


class _Years(_Memo):
    def __missing__(self, text: str) -> object:
        return self._keep(text, read_academic_year(text))


class _Flags(_Memo):
    """1, 0, None where blank, or :data:`UNREADABLE`."""

    def __missing__(self, text: str) -> object:
        flag = FlagReader(allow_words=True)(text)
        return self._keep(text, int(flag) if flag is not None else None if not text.strip() else UNREADABLE)


class _Numbers(_Memo):
    """The number, None where blank, or :data:`UNREADABLE`."""

    def __missing__(self, text: str) -> object:
        number = NumberReader()(text)
        return self._keep(text, number if number is not None else None if not text.strip() else UNREADABLE)


class _Factors(_Memo):
    """Codes with one blank between them, or None where there is none."""

    def __init__(self) -> None:
        self._code = CodeReader(None)

    def __missing__(self, text: str) -> object:
        codes = [code for part in _BETWEEN_FACTORS.split(text) if (code := self._code(part))]
        return self._keep(text, " ".join(codes) or None)


class _Births(dict[tuple[str, str], int | None]):
    """Month and year to the first of that month; None where one is blank, and :data:`IMPOSSIBLE`."""

    def __missing__(self, texts: tuple[str, str]) -> int | None:
        month_text, year_text = texts[0].strip(), texts[1].strip()
        month, year = _MONTH.fullmatch(month_text), _BIRTH_YEAR.fullmatch(year_text)
        first: int | None = None
        if (month_text and (month is None or not 1 <= int(month[1]) <= 12)) or (year_text and year is None):
            first = IMPOSSIBLE
        elif month is not None and year is not None:
            first = date(int(year[1]), int(month[1]), 1).toordinal() - EPOCH_ORDINAL
        if len(self) >= MEMO_LIMIT:
            self.clear()
        self[texts] = first
        return first


class _RowReader:
    """What rows of both extracts have: a return to which they belong, and a child."""

    columns: dict[str, str]

    def __init__(self, landing: ExtractLanding) -> None:
        self._landing = landing
        self._names = landing.table.names
        self._places = landing.table.positions
        self._dates = DateReader()
        self._years = _Years()
        self._births = _Births()
        self._code = CodeReader(None)
        self._flags = _Flags()
        landing.buckets = [Spill(self.columns, landing.folder) for _ in range(N_BUCKETS)]

    def _text(self, row: list[str], ours: str) -> str:
        place = self._places.get(ours)
        return "" if place is None else row[place]

    def refuse(self, line: int, field: str, reason: str) -> None:
        """Count a row that belongs to no return as refused."""
        self._landing.part(None, 0).tally.reject(ROWS, f"row {line}", field, reason)

    def part(self, line: int, row: list[str]) -> ReturnPart | None:
        """The return to which a row belongs; None where it was refused for naming none.

        Raises:
            FileRefused: the row contradicts the options.
        """
        landing = self._landing
        la_code = row[self._places["la_code"]].strip().removesuffix(".0")
        if la_code not in landing.reference.authorities:
            # The value is not repeated: it could be anything.
            self.refuse(
                line, self._names["la_code"], "no authority code of England" if la_code else "no authority"
            )
            return None
        if landing.la_code is not None and la_code != landing.la_code:
            raise FileRefused(
                f"has rows of authority {la_code}, but --authority says {landing.la_code}; leave the option out."
            )
        if not landing.table.has_years:
            return landing.part(la_code, 0)
        text = row[self._places["academic_year"]]
        year = self._years[text]
        if year is None:
            reason = NOT_A_YEAR if text.strip() else "no academic year"
            self.refuse(line, self._names["academic_year"], reason)
            return None
        if landing.return_year is not None and year != landing.return_year:
            raise FileRefused(
                f"has rows of the year ending {year}, but --year says {landing.return_year}; leave the option out."
            )
        return landing.part(la_code, year)

    def child(self, line: int, row: list[str], part: ReturnPart) -> Child | tuple[str, str]:
        """Who the row is about, or the field and reason for which it is refused."""
        identifier = row[self._places["child_id"]].strip()
        if not identifier:
            return self._names["child_id"], "no child identifier"
        birth = self._births[row[self._places["birth_month"]], row[self._places["birth_year"]]]
        if birth == IMPOSSIBLE:
            return self._names["birth_month"], NOT_A_MONTH
        pseudonymiser = self._landing.pseudonymiser
        pupil = self._text(row, "pupil_reference").strip()
        return (
            pseudonymiser.child(part.identity.la_code or "", identifier),
            pseudonymiser.pupil(pupil) if pupil else None,
            birth,
            self._code(self._text(row, "gender_code")),
            self._code(self._text(row, "ethnicity_code")),
        )

    def read(self, line: int, row: list[str]) -> None:
        """One row: refused, or put aside for its return."""
        raise NotImplementedError


class _CensusRowReader(_RowReader):
    """Rows about referrals."""

    columns = CENSUS_COLUMNS

    def __init__(self, landing: ExtractLanding) -> None:
        super().__init__(landing)
        self._numbers = _Numbers()
        self._factors = _Factors()

    def read(self, line: int, row: list[str]) -> None:
        part = self.part(line, row)
        if part is None:
            return
        child = self.child(line, row, part)
        if len(child) == 2:
            part.tally.reject(ROWS, f"row {line}", *child)
            return
        part.tally.accepted[ROWS] += 1
        dates, text, code = self._dates, self._text, self._code
        start, end = dates[text(row, "plan_start")], dates[text(row, "plan_end")]
        has_plan = start is not None or end is not None
        begun, authorised = dates[text(row, "assessment_start")], dates[text(row, "authorisation_date")]
        factors = self._factors[text(row, "factors")]
        has_assessment = begun is not None or authorised is not None or factors is not None
        referred, closed = dates[text(row, "referral_date")], dates[text(row, "closure_date")]
        conference = dates[text(row, "initial_conference_date")]
        fault = self._referral_fault(referred, closed, conference, child[2])
        if fault is not None:
            path = f"row {line}"
            part.tally.reject("CINdetails", path, *fault)
            if has_plan:
                part.tally.reject("ChildProtectionPlans", path, "CINdetails", PARENT_REJECTED)
            if has_assessment:
                part.tally.reject("Assessments", path, "CINdetails", PARENT_REJECTED)
                self._refuse_factors(part, path, factors, "CINdetails")
            nothing = (None,) * (len(CENSUS_COLUMNS) - 6)
            self._landing.buckets[part.group_no % N_BUCKETS].rows.append((part.group_no, *child, *nothing))
            return
        if has_plan and (
            plan_fault := span_fault(start, end, self._names["plan_start"], self._names["plan_end"])
        ):
            part.tally.reject("ChildProtectionPlans", f"row {line}", *plan_fault)
            start = end = None
        if IMPOSSIBLE in (begun, authorised):
            name = self._names["assessment_start" if begun == IMPOSSIBLE else "authorisation_date"]
            part.tally.reject("Assessments", f"row {line}", name, NOT_A_DATE)
            self._refuse_factors(part, f"row {line}", factors, "Assessments")
            has_assessment, begun, authorised, factors = False, None, None, None
        self._landing.buckets[part.group_no % N_BUCKETS].rows.append(
            (
                part.group_no,
                *child,
                referred,
                code(text(row, "referral_source")),
                code(text(row, "primary_need_code")),
                closed,
                code(text(row, "closure_reason")),
                conference,
                self._flags[text(row, "is_nfa")],
                start,
                end,
                code(text(row, "latest_category_code")) if start is not None else None,
                self._numbers[text(row, "n_previous_plans")] if start is not None else None,
                has_assessment,
                begun,
                authorised,
                factors,
            )
        )

    def _referral_fault(
        self, referred: int | None, closed: int | None, conference: int | None, birth: int | None
    ) -> tuple[str, str] | None:
        name = self._names["referral_date"]
        if referred is None:
            return name, "no referral date"
        if referred == IMPOSSIBLE:
            return name, NOT_A_DATE
        if closed == IMPOSSIBLE:
            return self._names["closure_date"], NOT_A_DATE
        if conference == IMPOSSIBLE:
            return self._names["initial_conference_date"], NOT_A_DATE
        if birth is not None and (reason := age_fault(birth, referred, self._landing.reference.limits)):
            return name, reason
        return None

    @staticmethod
    def _refuse_factors(part: ReturnPart, path: str, factors: str | None, parent: str) -> None:
        for number, _ in enumerate((factors or "").split(), start=1):
            part.tally.reject("AssessmentFactors", f"{path}, factor {number}", parent, PARENT_REJECTED)


class _CareRowReader(_RowReader):
    """Rows about episodes of care."""

    columns = CARE_COLUMNS

    def read(self, line: int, row: list[str]) -> None:
        part = self.part(line, row)
        if part is None:
            return
        has_years = self._landing.table.has_years
        child = self.child(line, row, part)
        if len(child) == 2:
            # Without a year of its own the row has none, since its episode was not looked at.
            tally = part.tally if has_years else self._landing.part(None, 0).tally
            tally.reject(ROWS, f"row {line}", *child)
            return
        text, code = self._text, self._code
        reason = text(row, "reason_episode_ceased")
        is_open = reason.strip() == STILL_OPEN
        end_text = text(row, "episode_end")
        started = self._dates[text(row, "episode_start")]
        ended = None if end_text.strip() == STILL_OPEN else self._dates[end_text]
        fault = self._episode_fault(started, ended)
        if has_years:
            part.tally.accepted[ROWS] += 1
            if fault is not None:
                part.tally.reject("episodes", f"row {line}", *fault)
                started = ended = None
            elif is_open and ended is not None and ended > year_end(part.identity.return_year):
                # The service may know the end from a later return; this one did not.
                ended = None
        elif fault is not None:
            self.refuse(line, *fault)
            return
        else:
            ended = None if is_open else ended
            self._landing.starts_by_year[return_year_of(started or 0)] += 1
            if ended is not None:
                self._landing.ends_by_year[return_year_of(ended)] += 1
        self._landing.buckets[part.group_no % N_BUCKETS].rows.append(
            (
                part.group_no,
                line,
                *child,
                self._flags[text(row, "is_uasc")],
                started,
                ended,
                code(text(row, "reason_new_episode")),
                code(text(row, "legal_status")),
                code(text(row, "need_code")),
                code(text(row, "placement")),
                None if is_open else code(reason),
            )
        )

    def _episode_fault(self, started: int | None, ended: int | None) -> tuple[str, str] | None:
        name = self._names["episode_start"]
        if started is None:
            return name, "no date"
        if started == IMPOSSIBLE:
            return name, NOT_A_DATE
        if ended == IMPOSSIBLE:
            return self._names["episode_end"], NOT_A_DATE
        if ended is not None and ended < started:
            return self._names["episode_end"], f"ends before it starts (before {name})"
        return None


def read_rows(stream: IO[bytes], header: Header, encoding: str, landing: ExtractLanding) -> None:
    """Read every row of the file into the landing's buckets, or refuse it.

    Raises:
        FileRefused: the text cannot be read to its end, or rows contradict the options.
    """
    reader = _CensusRowReader(landing) if landing.table.extract == CIN else _CareRowReader(landing)
    width = len(header.columns)
    first_name = header.names[0]
    for number, (line, row) in enumerate(rows(stream, header, encoding), start=1):
        if len(row) < width or any(cell.strip() for cell in row[width:]):
            reader.refuse(line, "row", wrong_width(len(row), width))
        elif row[0].strip().upper() == first_name and is_header_again(row, header):
            reader.refuse(line, "row", HEADER_AGAIN)
        else:
            reader.read(line, row)
        if number % BATCH_ROWS == 0:
            landing.put_aside()


def first_covered_year(ends_by_year: Counter[int], starts_by_year: Counter[int]) -> int:
    """The first return year of an extract that names none: the earliest in which episodes end.

    Every episode of an extract lasts into its first year, so none ends before; but many begin before. A year with less
    than a hundredth of the ends of the busiest one is taken for a wrong date.

    Example:
        >>> first_covered_year(Counter({1910: 1, 2009: 250, 2010: 300}), Counter({1998: 1}))
        2009
    """
    counted = ends_by_year or starts_by_year
    enough = max(counted.values()) / 100
    return min(year for year, count in counted.items() if count >= enough)
