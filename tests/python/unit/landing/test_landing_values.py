"""Single values are read strictly, and nothing that might be personal text passes for a code."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csc_evaluation.landing.values import (
    IMPOSSIBLE,
    CodeReader,
    DateReader,
    FlagReader,
    MonthReader,
    NumberReader,
    completed_months,
    parse_date,
    read_part_date,
    read_upn,
    to_date,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-02-29", date(2020, 2, 29)),
        ("29/02/2020", date(2020, 2, 29)),
        ("1/4/2019", date(2019, 4, 1)),
        (" 2019-04-01 ", date(2019, 4, 1)),
        ("2019-04-01Z", date(2019, 4, 1)),
        ("2019-04-01+01:00", date(2019, 4, 1)),
        ("2019-04-01T00:00:00", date(2019, 4, 1)),
        ("01/04/2019 00:00:00", date(2019, 4, 1)),
    ],
)
def test_reads_the_ways_in_which_returns_write_a_date(text: str, expected: date) -> None:
    assert parse_date(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "31/02/2020",
        "2019-02-29",
        "2020-13-01",
        "2020-07-01 extra",
        "2020-07-01T09:30:00",
        "04/31/2020",
        "20200701",
        "1/4/19",
        "0000-01-01",
        "٢٠٢٠-٠١-٠١",
        "today",
    ],
)
def test_refuses_what_is_no_calendar_date(text: str) -> None:
    assert parse_date(text) is None
    assert DateReader()[text] == IMPOSSIBLE


@given(st.dates())
def test_every_date_survives_both_spellings(day: date) -> None:
    reader = DateReader()
    days = reader[day.isoformat()]
    assert days is not None
    assert to_date(days) == day
    assert reader[f"{day.day:02d}/{day.month:02d}/{day.year:04d}"] == days
    month = MonthReader()[days]
    assert month is not None
    assert to_date(month) == day.replace(day=1)


def test_blank_is_missing_and_not_impossible() -> None:
    reader = DateReader()
    assert [reader[text] for text in (None, "", "  ", "\n")] == [None] * 4


@pytest.mark.parametrize(
    "text",
    [
        "SW1A 1AA",
        "SW1A1AA",
        "LEEDS LS1 1UR",
        "A123456789012",
        "17052015",
        "Jo",
        "",
        "é",
        "N-1",
        "TOOLONGACODE",
    ],
)
def test_stores_invalid_in_place_of_what_may_be_personal(text: str) -> None:
    reader = CodeReader(frozenset({"N1"}))
    kept = reader(text)
    if text in {"Jo", ""}:
        assert kept == (text.upper() or None)
    else:
        assert kept == "INVALID"
        assert reader.unlisted == {"INVALID": 1}


def test_keeps_and_counts_a_code_outside_the_list() -> None:
    reader = CodeReader(frozenset({"N1"}))
    assert [reader(text) for text in ("n1", " N1", "RB", "rb", None)] == ["N1", "N1", "RB", "RB", None]
    assert reader.unlisted == {"RB": 2}


def test_reads_flags_and_counts_what_is_none() -> None:
    reader = FlagReader()
    texts = ("0", "1", "true", "FALSE", " True ", "", None, "1.0", "perhaps", "Y")
    assert [reader(text) for text in texts] == [False, True, True, False, True, None, None, True, None, None]
    assert reader.unlisted == {"INVALID": 2}
    assert FlagReader(allow_words=True)("Y") is True


def test_reads_whole_numbers_only() -> None:
    reader = NumberReader()
    assert [reader(text) for text in ("12", "12.0", " 3 ", "", "-1", "1.5", "many")] == [
        12,
        12,
        3,
        None,
        None,
        None,
        None,
    ]
    assert reader.unlisted == {"INVALID": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A123456789012", True),
        ("a12345678901b", True),
        ("UN1", False),
        ("A12345678901", False),
        ("1234567890123", False),
    ],
)
def test_hashes_only_what_has_the_form_of_a_pupil_number(text: str, expected: bool) -> None:
    assert (read_upn(text) is not None) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("01/03/2015", ("2015-03-01", True)),
        ("zz/03/2015", ("2015-03", True)),
        ("zz/zz/2015", ("2015", True)),
        ("ZZ/ZZ/ZZZZ", (None, True)),
        ("zz/13/2015", (None, False)),
        ("32/zz/2015", (None, False)),
        ("31/02/2015", (None, False)),
        ("", (None, True)),
        ("about 2015", (None, False)),
    ],
)
def test_reads_a_date_with_unknown_parts(text: str, expected: tuple[str | None, bool]) -> None:
    assert read_part_date(text) == expected


@given(st.dates(min_value=date(1990, 1, 1), max_value=date(2090, 1, 1)), st.integers(0, 4000))
def test_completed_months_never_runs_ahead_of_the_calendar(start: date, days: int) -> None:
    end = date.fromordinal(start.toordinal() + days)
    months = completed_months(start, end)
    assert months * 28 <= days + 3
    assert months <= (end.year - start.year) * 12 + end.month - start.month
    assert completed_months(start, start) == 0
