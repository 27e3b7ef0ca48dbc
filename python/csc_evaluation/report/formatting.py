"""How numbers, dates and names are written on the page, and which counts are withheld."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass

MISSING = "–"
MINUS = "−"
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


@dataclass(frozen=True)
class EffectUnit:
    """The unit in which an outcome's effects are written.

    Example:
        >>> EffectUnit.of("binary").effect(-0.0205)
        '−2.05'
        >>> EffectUnit.of("days").level(12.345)
        '12.35 days'
    """

    multiplier: float
    name: str
    level_suffix: str

    @classmethod
    def of(cls, kind: str) -> EffectUnit:
        """Unit of a kind of outcome: binary shares and percentages in percentage points, others as they are."""
        if kind == "binary":
            return cls(100.0, "percentage points", "%")
        if kind == "percent":
            return cls(1.0, "percentage points", "%")
        return cls(1.0, kind.replace("_", " "), f" {kind.replace('_', ' ')}")

    def effect(self, value: float | None) -> str:
        """A difference, two decimals, without its unit."""
        return number(None if value is None else value * self.multiplier, 2)

    def level(self, value: float | None) -> str:
        """A mean, two decimals, with its unit."""
        text = self.effect(value)
        return text if text == MISSING else text + self.level_suffix


def number(value: float | None, decimals: int) -> str:
    """Fixed decimals, thousands separated, a true minus sign, no negative zero; a dash where missing.

    Example:
        >>> number(-1234.5, 1), number(-0.001, 2), number(None, 2)
        ('−1,234.5', '0.00', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:,.{decimals}f}"
    if text.startswith("-"):
        text = text[1:] if not text.strip("-0.,") else MINUS + text[1:]
    return text


def p_value(value: float | None) -> str:
    """Three decimals, ``<0.001`` below them.

    Example:
        >>> p_value(0.0004), p_value(0.0316), p_value(1.0)
        ('<0.001', '0.032', '1.000')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def degrees(value: float | None) -> str:
    """Degrees of freedom: whole where whole, else two decimals."""
    if value is None or not math.isfinite(value):
        return MISSING
    return number(value, 0 if float(value).is_integer() else 2)


def statistic(value: float | None) -> str:
    """A number of unknown size at about four significant figures.

    Example:
        >>> statistic(0.012345), statistic(1234.0), statistic(2.5)
        ('0.01235', '1,234', '2.5')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0 or abs(value) >= 1000:
        return number(value, 0)
    text = f"{abs(value):.4g}"
    return (MINUS if value < 0 else "") + text


def percent(value: float | None, decimals: int = 1) -> str:
    """A share as a percentage."""
    text = number(None if value is None else value * 100, decimals)
    return text if text == MISSING else text + "%"


def english_date(value: dt.date | dt.datetime | None) -> str:
    """Day, month in words, year; with the time where there is one.

    Example:
        >>> english_date(dt.date(2020, 9, 1))
        '1 September 2020'
    """
    if value is None:
        return MISSING
    text = f"{value.day} {MONTHS[value.month - 1]} {value.year}"
    return f"{text}, {value:%H:%M:%S}" if isinstance(value, dt.datetime) else text


def quarter(value: dt.date) -> str:
    """A calendar quarter, for example ``2019 Q3``."""
    return f"{value.year} Q{(value.month + 2) // 3}"


def financial_year(ending: int) -> str:
    """A financial year by the year in which it ends: 2018 is ``2017/18``."""
    return f"{ending - 1}/{ending % 100:02d}"


def words(name: str) -> str:
    """A key of the protocol in words: underscores become blanks."""
    return name.replace("_", " ")


def place_name(name: str) -> str:
    """An authority's name as it reads in a sentence.

    Example:
        >>> place_name("Bristol, City of"), place_name("Walsall")
        ('City of Bristol', 'Walsall')
    """
    first, comma, rest = name.partition(", ")
    return f"{rest} {first}" if comma else name


def sentence(text: str) -> str:
    """Text with a capital first letter and a full stop."""
    text = text.strip()
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."


def listing(items: Iterable[str]) -> str:
    """Items in a sentence: ``a, b and c``."""
    every = list(items)
    if len(every) < 2:
        return "".join(every)
    return f"{', '.join(every[:-1])} and {every[-1]}"


@dataclass(frozen=True)
class Disclosure:
    """The rule for counts of children on the page.

    A count from 1 to ``threshold - 1`` is written ``<threshold``. In a table (or the linked rows of one) that
    holds such a count, every other count is rounded to the nearest multiple of the threshold: otherwise the hidden one could be had by
    subtraction. Zero stays zero.

    Attributes:
        threshold: the seed ``report_small_count``.

    Example:
        >>> rule = Disclosure(10)
        >>> rule.counts([1234, 4, 0])
        ['1,230', '<10', '0']
        >>> rule.counts([1234, 14, 0])
        ['1,234', '14', '0']
    """

    threshold: int

    def is_small(self, value: int | None) -> bool:
        """Whether a count is withheld."""
        return value is not None and 0 < value < self.threshold

    def counts(self, values: Iterable[int | None], also: Iterable[int | None] = ()) -> list[str]:
        """Counts of one table as text.

        Args:
            values: the counts shown.
            also: counts not shown that a reader could work out from those shown (differences between them).
        """
        every = list(values)
        rounded = any(self.is_small(value) for value in (*every, *also))
        return [self.count(value, rounded=rounded) for value in every]

    def count(self, value: int | None, *, rounded: bool = False) -> str:
        """One count as text; rounded where its table holds a small one."""
        if value is None:
            return MISSING
        if self.is_small(value):
            return f"<{self.threshold}"
        return f"{self.rounded(value) if rounded else value:,}"

    def rounded(self, value: int) -> int:
        """A count to the nearest multiple of the threshold, halves up."""
        return (2 * value + self.threshold) // (2 * self.threshold) * self.threshold


# -- names -------------------------------------------------------------------------------------------------

COVARIATE_NAMES = {
    "la_code": "authority",
    "financial_year": "financial year",
    "is_post": "before or after go-live",
    "age_at_index": "age",
    "ethnicity": "ethnicity (census code)",
    "ethnic_group_major": "major ethnic group",
    "is_disabled": "disability",
    "fsm_cem": "free school meals (six years)",
    "fsm_regression": "free school meals",
    "is_uasc": "unaccompanied asylum seeking",
    "has_previous_plan": "ever on a child protection plan",
    "n_previous_plans": "previous child protection plans",
    "la_share_fsm": "authority's share with free school meals",
    "la_share_white_british": "authority's share White British",
    "has_other_programme": "other programme present",
}


def covariate_name(covariate: str) -> str:
    """A covariate in words."""
    return COVARIATE_NAMES.get(covariate, words(covariate))


def lower_first(text: str) -> str:
    """The text with its first letter small."""
    return text[:1].lower() + text[1:]


def upper_first(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]


def whole(value: int | None, *, separated: bool = True) -> str:
    """A whole number, thousands separated by commas; a dash where there is none."""
    if value is None:
        return MISSING
    return f"{value:,}" if separated else str(value)
