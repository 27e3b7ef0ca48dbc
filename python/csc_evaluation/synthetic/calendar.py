"""Days as integers since 1970-01-01, vectorised, and their spelling in files."""

from __future__ import annotations

import functools
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

Days = NDArray[np.int64]

NEVER = 10**6
"""A day beyond every return: what is still open ends here."""

_EPOCH = date(1970, 1, 1)
_FIRST_SPELT = date(1975, 1, 1).toordinal() - _EPOCH.toordinal()
_LAST_SPELT = date(2050, 1, 1).toordinal() - _EPOCH.toordinal()


def day(year: int, month: int, dom: int) -> int:
    """Day number of a date.

    Example:
        >>> day(1970, 1, 2)
        1
    """
    return date(year, month, dom).toordinal() - _EPOCH.toordinal()


def parse_day(text: str) -> int:
    """Day number of an ISO date of a seed."""
    return date.fromisoformat(text).toordinal() - _EPOCH.toordinal()


def year_start(return_year: int) -> int:
    """1 April on which the return year starts."""
    return day(return_year - 1, 4, 1)


def year_end(return_year: int) -> int:
    """31 March on which the return year ends."""
    return day(return_year, 3, 31)


def month_index(days: Days) -> Days:
    """Months since January 1970.

    Example:
        >>> int(month_index(np.array([day(2018, 4, 30)]))[0]) == 48 * 12 + 3
        True
    """
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def return_year_of(days: Days) -> Days:
    """Return year (the calendar year in which the financial year ends) of each day."""
    return (month_index(days) - 3) // 12 + 1971


def month_start(months: Days) -> Days:
    """First day of a month counted since January 1970."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def add_months(days: Days, months: int) -> Days:
    """The same day of the month ``months`` later, clipped to that month's last day.

    Example:
        >>> int(add_months(np.array([day(2019, 8, 31)]), 6)[0]) == day(2020, 2, 29)
        True
    """
    month = month_index(days)
    day_of_month = days - month_start(month)
    target = month + months
    length = month_start(target + 1) - month_start(target)
    return month_start(target) + np.minimum(day_of_month, length - 1)


def completed_years(birth: Days, at: Days) -> Days:
    """Age in completed years as the definitions count it: whole months between birth month and month, over 12,
    rounded down; 0 before birth (section 3)."""
    return np.maximum(0, (month_index(at) - month_index(birth)) // 12)


@functools.cache
def _spelling(style: str) -> NDArray[np.object_]:
    spelt = [(_EPOCH + timedelta(days=n)).strftime(style) for n in range(_FIRST_SPELT, _LAST_SPELT)]
    return np.array(spelt, dtype=object)


def spell(days: Days, style: str) -> list[str]:
    """Dates as text, blank where ``NEVER``; ``style`` as :meth:`datetime.date.strftime` takes it."""
    table = _spelling(style)
    known = (days >= _FIRST_SPELT) & (days < _LAST_SPELT)
    out = table[np.where(known, days - _FIRST_SPELT, 0)]
    out[~known] = ""
    return out.tolist()


def spell_iso(days: Days) -> list[str]:
    """Dates as year-month-day, blank where ``NEVER``."""
    return spell(days, "%Y-%m-%d")


def spell_uk(days: Days) -> list[str]:
    """Dates as day/month/year, blank where ``NEVER``."""
    return spell(days, "%d/%m/%Y")
