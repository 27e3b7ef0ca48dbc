"""Which quarters a treated authority is matched on, with the dates just inside and just outside."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from csc_evaluation.estimation.protocol import Outcome, Protocol, Shock, Site, read_protocol
from csc_evaluation.matching.windows import (
    MatchingWindow,
    full_quarters,
    matching_window,
    matching_windows,
    pandemic_quarters,
)
from csc_evaluation.warehouse import ibis_readable
from support.la_quarters import random_quarters
from support.marts_fixture import OUTCOME, PROGRAMME

CARE = Outcome(OUTCOME, "", "primary", "binary", "lower_better", "first_referral", 18, True)
DATA_FROM = dt.date(2017, 4, 1)


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    path: Path = random_quarters(tmp_path_factory.mktemp("windows") / "w.duckdb")
    with ibis_readable(path) as backend:
        return read_protocol(backend, PROGRAMME)


def _window(
    go_live: dt.date, *, data_from: dt.date = DATA_FROM, n: int = 8, n_min: int = 6
) -> MatchingWindow:
    site = Site("335", 1, go_live, None, True)
    return matching_window(site, CARE, data_from=data_from, n_quarters=n, n_quarters_min=n_min)


def test_walsalls_assumed_date_leaves_seven_quarters() -> None:
    window = _window(dt.date(2020, 9, 1))
    assert len(window.quarters) == 7
    assert window.is_short
    assert (window.quarters[0], window.quarters[-1]) == (dt.date(2017, 4, 1), dt.date(2018, 10, 1))
    assert window.earlier_quarters == ()


def test_a_quarter_that_ends_on_the_cut_off_counts_and_one_that_ends_a_day_later_does_not() -> None:
    # Go-live on 31 March 2021 less 18 months is 30 September 2019, the last day of a quarter.
    assert _window(dt.date(2021, 3, 31)).quarters[-1] == dt.date(2019, 7, 1)
    assert _window(dt.date(2021, 3, 30)).quarters[-1] == dt.date(2019, 7, 1)  # month ends are clipped
    assert _window(dt.date(2021, 3, 29)).quarters[-1] == dt.date(2019, 4, 1)


def test_a_quarter_that_starts_with_the_data_counts_and_one_that_starts_a_day_earlier_does_not() -> None:
    late = _window(dt.date(2020, 9, 1), data_from=dt.date(2017, 4, 2))
    assert late.quarters[0] == dt.date(2017, 7, 1)
    assert _window(dt.date(2020, 9, 1), data_from=dt.date(2017, 4, 1)).quarters[0] == dt.date(2017, 4, 1)


def test_takes_the_last_eight_quarters_of_many_and_keeps_the_earlier_ones_apart() -> None:
    window = _window(dt.date(2022, 4, 1))
    assert len(window.quarters) == 8
    assert not window.is_short
    assert (window.quarters[0], window.quarters[-1]) == (dt.date(2018, 10, 1), dt.date(2020, 7, 1))
    assert (window.earlier_quarters[0], window.earlier_quarters[-1]) == (DATA_FROM, dt.date(2018, 7, 1))
    assert len(window.earlier_quarters) == 6


def test_fewer_than_six_quarters_are_no_window() -> None:
    assert len(_window(dt.date(2020, 4, 1)).quarters) == 6
    assert _window(dt.date(2020, 3, 31)).quarters != ()
    assert _window(dt.date(2020, 1, 1)).quarters == ()
    assert _window(dt.date(2020, 1, 1)).earlier_quarters == ()


def test_one_quarter_is_no_window_whatever_the_seed_says() -> None:
    assert _window(dt.date(2019, 1, 1), n_min=1).quarters == ()
    assert len(_window(dt.date(2019, 4, 1), n_min=1).quarters) == 2


def test_an_embedding_period_takes_the_place_of_go_live() -> None:
    site = Site("304", 1, dt.date(2022, 4, 1), dt.date(2021, 4, 1), True)
    window = matching_window(site, CARE, data_from=DATA_FROM, n_quarters=8, n_quarters_min=6)
    assert window.cut_off == dt.date(2019, 10, 1)


def test_the_placebo_date_is_the_day_after_the_last_quarter_moved_back() -> None:
    window = _window(dt.date(2021, 2, 1))
    assert window.quarters[-1] == dt.date(2019, 4, 1)
    assert window.placebo_date(4) == dt.date(2018, 7, 1)
    assert window.placebo_date(8) == dt.date(2017, 7, 1)


def test_full_quarters_of_an_empty_span_are_none() -> None:
    assert full_quarters(dt.date(2020, 1, 1), dt.date(2019, 12, 31)) == ()
    assert full_quarters(dt.date(2020, 1, 1), dt.date(2020, 3, 30)) == ()
    assert full_quarters(dt.date(2020, 1, 1), dt.date(2020, 3, 31)) == (dt.date(2020, 1, 1),)


# -- pandemic quarters -------------------------------------------------------------------------------------------


def _window_of(protocol: Protocol, la_code: str) -> MatchingWindow:
    return next(
        window
        for window in matching_windows(protocol)
        if window.outcome == OUTCOME and window.site.la_code == la_code
    )


def test_pandemic_quarters_are_counted_inside_and_outside_the_window(protocol: Protocol) -> None:
    # 23 March 2020 to 18 July 2021 touches seven quarters, from the first of 2020 to the third of 2021.
    assert pandemic_quarters(_window_of(protocol, "335"), protocol) == (0, 7)
    # Swindon's window runs to the third quarter of 2020.
    assert pandemic_quarters(_window_of(protocol, "866"), protocol) == (3, 4)


def _pandemic(starts: dt.date, ends: dt.date | None, la_code: str | None = None) -> Shock:
    return Shock("p", "", "pandemic", la_code, starts, ends, True)


@pytest.mark.parametrize(
    ("starts", "ends", "inside"),
    [
        (dt.date(2020, 9, 30), dt.date(2020, 12, 31), 1),
        (dt.date(2020, 10, 1), dt.date(2020, 12, 31), 0),
        (dt.date(2018, 1, 1), dt.date(2018, 10, 1), 1),
        (dt.date(2018, 1, 1), dt.date(2018, 9, 30), 0),
        (dt.date(2020, 7, 1), None, 1),
    ],
)
def test_a_quarter_that_overlaps_by_a_day_counts(
    protocol: Protocol, starts: dt.date, ends: dt.date | None, inside: int
) -> None:
    window = _window_of(protocol, "866")
    assert (window.quarters[0], window.quarters[-1]) == (dt.date(2018, 10, 1), dt.date(2020, 7, 1))
    changed = replace(protocol, shocks=(_pandemic(starts, ends),))
    assert pandemic_quarters(window, changed)[0] == inside


def test_outside_ends_with_the_programmes_data(protocol: Protocol) -> None:
    # Still on: fourth quarter of 2023 and first of 2024, in which the data end.
    changed = replace(protocol, shocks=(_pandemic(dt.date(2023, 10, 1), None),))
    assert pandemic_quarters(_window_of(protocol, "335"), changed) == (0, 2)


def test_shocks_of_another_kind_or_authority_do_not_count(protocol: Protocol) -> None:
    elsewhere = _pandemic(dt.date(2020, 1, 1), dt.date(2020, 12, 31), "335")
    other_kind = replace(elsewhere, la_code=None, kind="school_closure")
    changed = replace(protocol, shocks=(elsewhere, other_kind))
    assert pandemic_quarters(_window_of(protocol, "866"), changed) == (0, 0)
    assert pandemic_quarters(_window_of(protocol, "335"), changed) == (0, 4)
