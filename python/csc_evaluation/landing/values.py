"""Reading single values strictly: dates, months, booleans, whole numbers, codes.

Every reader is a memo: census values repeat millions of times, so each distinct text is understood once.
Dates travel as whole days since 1 January 1970 until they reach the warehouse, which is what Arrow stores.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections import Counter
from datetime import date
from typing import Final

EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()

IMPOSSIBLE: Final = -(2**31)
"""Stands for a date that is written but is none: 31/02/2020, or text."""

INVALID_CODE: Final = "INVALID"
"""Stored in place of what cannot be a code and so might be personal text."""

MEMO_LIMIT: Final = 100_000

DATE_FORMATS: Final = "YYYY-MM-DD or DD/MM/YYYY"
NOT_A_DATE: Final = f"not a calendar date (expected {DATE_FORMATS})"
"""Why a record is refused that has a date which is written but is none."""

# An XML date may carry a time zone, and some exports write midnight behind the day.
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?)?(?:Z|[+-]\d{2}:\d{2})?", re.ASCII)
_DAY_FIRST = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: 00:00(?::00)?)?", re.ASCII)
_CODE = re.compile(r"[A-Z0-9]{1,10}", re.ASCII)
_POSTCODE = re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]?[0-9][A-Z]{2}", re.ASCII)
_MANY_DIGITS = re.compile(r"(?:[A-Z]*[0-9]){6}", re.ASCII)
_UPN = re.compile(r"[A-Z][0-9]{11}[A-Z0-9]", re.ASCII)
_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.0+)?", re.ASCII)
_PART_DATE = re.compile(r"(\d{2}|zz)/(\d{2}|zz)/(\d{4}|zzzz)", re.ASCII | re.IGNORECASE)

# A column of 0 and 1 with blanks among them leaves some tools as 0.0 and 1.0.
_BOOLEANS: Final = {"0": False, "1": True, "FALSE": False, "TRUE": True, "0.0": False, "1.0": True}
_WORD_BOOLEANS: Final = _BOOLEANS | {"N": False, "Y": True, "NO": False, "YES": True, "F": False, "T": True}


def parse_date(text: str) -> date | None:
    """The calendar date a text writes, or None when it writes none.

    ISO dates (with a time zone or midnight behind them) and day/month/year are read; nothing may follow.

    Example:
        >>> parse_date("29/02/2020"), parse_date("2020-07-01 extra"), parse_date("31/02/2020")
        (datetime.date(2020, 2, 29), None, None)
    """
    text = text.strip()
    if match := _ISO.fullmatch(text):
        year, month, day = match.groups()
    elif match := _DAY_FIRST.fullmatch(text):
        day, month, year = match.groups()
    else:
        return None
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def to_date(days: int) -> date:
    """The date that so many days since 1970-01-01 are."""
    return date.fromordinal(days + EPOCH_ORDINAL)


class DateReader(dict[str | None, int | None]):
    """Text to days since 1970-01-01; blank is None, and a date that is none is :data:`IMPOSSIBLE`.

    Example:
        >>> DateReader()[" 1970-01-02 "], DateReader()[""], DateReader()["31/02/2020"] == IMPOSSIBLE
        (1, None, True)
    """

    def __missing__(self, text: str | None) -> int | None:
        if text is None or not text.strip():
            days: int | None = None
        else:
            parsed = parse_date(text)
            days = IMPOSSIBLE if parsed is None else parsed.toordinal() - EPOCH_ORDINAL
        if len(self) >= MEMO_LIMIT:
            self.clear()
        self[text] = days
        return days


class MonthReader(dict[int | None, int | None]):
    """Days since 1970-01-01 to those of the first of that month, all that is kept of a birth or death date."""

    def __missing__(self, days: int | None) -> int | None:
        first = None if days is None else to_date(days).replace(day=1).toordinal() - EPOCH_ORDINAL
        if len(self) >= MEMO_LIMIT:
            self.clear()
        self[days] = first
        return first


class CodeReader:
    """Codes of one field: upper case, blanks around them cut, kept even outside the code list and then counted.

    What is too long for a code, holds other than letters and digits, or looks like a postcode, a pupil number
    or a date is stored as ``INVALID``: it may be personal text in the wrong place.

    Args:
        listed: the codes of the year's code list; None where no list exists, and nothing is then unlisted.
        allow_number: a long number is what the field should hold (a provider's registration number).

    Example:
        >>> reader = CodeReader(frozenset({"N1"}))
        >>> reader(" n1 "), reader("N99"), reader("Jo Smith"), dict(reader.unlisted)
        ('N1', 'N99', 'INVALID', {'N99': 1, 'INVALID': 1})
    """

    def __init__(self, listed: frozenset[str] | None, *, allow_number: bool = False) -> None:
        self.unlisted: Counter[str] = Counter()
        self._listed = listed
        self._allow_number = allow_number
        self._memo: dict[str | None, str | None] = {None: None}

    def __call__(self, text: str | None) -> str | None:
        """The code, or None where blank; counts it when it is outside the list."""
        try:
            return self._memo[text]
        except KeyError:
            return self._read(text or "")

    def _read(self, text: str) -> str | None:
        code: str | None = text.strip().upper()
        if not code:
            code = None
        elif not _CODE.fullmatch(code) or (
            not self._allow_number and (_POSTCODE.fullmatch(code) or _MANY_DIGITS.match(code))
        ):
            code = INVALID_CODE
        is_unlisted = code == INVALID_CODE or (
            code is not None and self._listed is not None and code not in self._listed
        )
        if is_unlisted and code is not None:
            self.unlisted[code] += 1
        elif len(self._memo) < MEMO_LIMIT:
            self._memo[text] = code
        return code


class FlagReader:
    """Booleans of one field: ``0/1/true/false`` in any case; anything else is missing and counted as ``INVALID``.

    Args:
        allow_words: read ``Y/N``, ``yes/no``, ``T/F`` too, as school tables write them.
    """

    def __init__(self, *, allow_words: bool = False) -> None:
        self.unlisted: Counter[str] = Counter()
        self._known = _WORD_BOOLEANS if allow_words else _BOOLEANS

    def __call__(self, text: str | None) -> bool | None:
        """True, False, or None where blank or unreadable."""
        if text is None:
            return None
        key = text.strip().upper()
        if not key:
            return None
        known = self._known.get(key)
        if known is None:
            self.unlisted[INVALID_CODE] += 1
        return known


class NumberReader:
    """Whole numbers of one field, from ``smallest`` up; anything else is missing and counted as ``INVALID``."""

    def __init__(self, *, smallest: int = 0) -> None:
        self.unlisted: Counter[str] = Counter()
        self._smallest = smallest
        self._memo: dict[str | None, int | None] = {None: None}

    def __call__(self, text: str | None) -> int | None:
        """The number, or None where blank or unreadable."""
        try:
            return self._memo[text]
        except KeyError:
            pass
        stripped = (text or "").strip()
        number: int | None = None
        if stripped:
            if _WHOLE_NUMBER.fullmatch(stripped):
                number = int(stripped.split(".")[0])
            if number is None or number < self._smallest:
                self.unlisted[INVALID_CODE] += 1
                return None
        if len(self._memo) < MEMO_LIMIT:
            self._memo[text] = number
        return number


def read_upn(text: str | None) -> str | None:
    """A unique pupil number fit for hashing, or None: a letter, eleven digits, a digit or letter.

    Example:
        >>> read_upn(" a123456789012 "), read_upn("UN3"), read_upn("X98765432123B")
        ('A123456789012', None, 'X98765432123B')
    """
    if text is None:
        return None
    upn = text.strip().upper()
    return upn if _UPN.fullmatch(upn) else None


def read_part_date(text: str | None) -> tuple[str | None, bool]:
    """A date of which parts may be unknown (``zz/03/2015``), as ISO text of its known leading parts.

    Returns:
        The text (``2015-03-01``, ``2015-03``, ``2015`` or None), and whether what was written can be a date.

    Example:
        >>> read_part_date("zz/03/2015"), read_part_date("zz/zz/zzzz"), read_part_date("31/02/2015")
        (('2015-03', True), (None, True), (None, False))
    """
    if text is None or not text.strip():
        return None, True
    whole = parse_date(text)
    if whole is not None:
        return whole.isoformat(), True
    match = _PART_DATE.fullmatch(text.strip())
    if match is None:
        return None, False
    day, month, year = match.groups()
    unknown = "zz"
    if day.lower() != unknown and month.lower() != unknown and year.lower() != "zzzz":
        return None, False
    if month.lower() != unknown and not 1 <= int(month) <= 12:
        return None, False
    if day.lower() != unknown and not 1 <= int(day) <= 31:
        return None, False
    if year.lower() == "zzzz":
        return None, True
    return (year if month.lower() == unknown else f"{year}-{month}"), True


def completed_months(start: date, end: date) -> int:
    """Whole months from start to end, a month being complete on the same day or at the month's end.

    Example:
        >>> completed_months(date(2020, 1, 31), date(2020, 9, 30)), completed_months(date(2020, 1, 31), date(2020, 9, 29))
        (8, 7)
    """
    months = (end.year - start.year) * 12 + end.month - start.month
    last_day = monthrange(end.year, end.month)[1]
    return months - (end.day < min(start.day, last_day))
