"""How numbers are written and which counts are withheld."""

from __future__ import annotations

import doctest

import pytest

from csc_evaluation.report import charts, formatting
from csc_evaluation.report.formatting import (
    Disclosure,
    EffectUnit,
    degrees,
    number,
    p_value,
    percent,
    statistic,
)


@pytest.mark.parametrize("module", [formatting, charts])
def test_examples_in_the_documentation_hold(module: object):
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (0.0495, "0.050"), (1.0, "1.000"), (None, "–")],
)
def test_p_values_have_three_decimals(value: float | None, text: str):
    assert p_value(value) == text


def test_negative_zero_has_no_sign():
    assert number(-0.0004, 2) == "0.00"
    assert EffectUnit.of("binary").effect(-0.00001) == "0.00"


def test_not_a_number_is_missing():
    nan = float("nan")
    assert [number(nan, 1), p_value(nan), degrees(nan), statistic(nan), percent(nan)] == ["–"] * 5


def test_days_are_not_multiplied():
    unit = EffectUnit.of("days")
    assert (unit.effect(-3.456), unit.name) == ("−3.46", "days")


@pytest.mark.parametrize("value", range(1, 10))
def test_every_count_under_the_threshold_is_withheld(value: int):
    assert Disclosure(10).counts([value, 1000])[0] == "<10"


def test_a_withheld_count_cannot_be_worked_out_from_its_neighbours():
    rule = Disclosure(10)
    shown = {tuple(rule.counts([1000, hidden, 1000 - hidden])) for hidden in range(1, 6)}
    assert shown == {("1,000", "<10", "1,000")}


def test_a_small_difference_alone_rounds_the_counts():
    assert Disclosure(10).counts([1004, 1001], also=[3]) == ["1,000", "1,000"]


def test_zero_and_large_counts_stand_where_nothing_is_withheld():
    assert Disclosure(10).counts([0, 10, 12345]) == ["0", "10", "12,345"]
