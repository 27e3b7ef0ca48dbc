"""The quarters on which a treated authority is matched on trends (definitions, section 7)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from csc_evaluation.estimation.protocol import Outcome, Protocol, Shock, Site

MONTHS_IN_QUARTER = 3
QUARTERS_OF_ONE_CHANGE = 2
PANDEMIC = "pandemic"


@dataclass(frozen=True)
class MatchingWindow:
    """The quarters on which one treated authority is matched for one outcome."""

    outcome: str
    site: Site
    cut_off: dt.date
    """Go-live (or the start of embedding) minus the outcome's window: quarters end on or before it."""
    quarters: tuple[dt.date, ...]
    """First days of the quarters, in order."""
    is_short: bool
    """Fewer quarters than the protocol asks for."""
    earlier_quarters: tuple[dt.date, ...] = ()
    """First days of the full quarters of data before the window, in order: shown and used by placebos, not matched on."""

    @property
    def pair(self) -> tuple[str, str]:
        """Outcome and treated authority, which name the window within its programme."""
        return self.outcome, self.site.la_code

    @property
    def end(self) -> dt.date:
        """First day after the window's last quarter: index events before it are untouched by the programme."""
        return _quarters_before(self.quarters[-1], -1)

    def placebo_date(self, n_quarters: int) -> dt.date:
        """The window's end, moved back by that many quarters."""
        return _quarters_before(self.end, n_quarters)


def matching_window(
    site: Site, outcome: Outcome, *, data_from: dt.date, n_quarters: int, n_quarters_min: int
) -> MatchingWindow:
    """The last full calendar quarters that end on or before go-live minus the outcome's window.

    Args:
        site: the treated authority; where it has an embedding period, its start takes the place of go-live.
        outcome: gives the window in months.
        data_from: first day of the data; a quarter that starts before it is not full.
        n_quarters: how many quarters the protocol asks for.
        n_quarters_min: with fewer (or fewer than two, which have no change) the window is empty: the authority cannot
            be matched.

    Example:
        >>> from csc_evaluation.estimation.protocol import Outcome, Site
        >>> walsall = Site("335", 1, dt.date(2020, 9, 1), None, True)
        >>> care = Outcome("looked_after_18m", "", "primary", "binary", "lower_better", "first_referral", 18, True)
        >>> window = matching_window(walsall, care, data_from=dt.date(2017, 4, 1), n_quarters=8, n_quarters_min=6)
        >>> len(window.quarters), window.is_short, str(window.quarters[-1])
        (7, True, '2018-10-01')
    """
    start = pd.Timestamp(site.embedding_start or site.go_live_date)
    cut_off = (start - pd.DateOffset(months=outcome.follow_up_months)).date()
    full = full_quarters(data_from, cut_off)
    is_enough = len(full) >= max(n_quarters_min, QUARTERS_OF_ONE_CHANGE)
    return MatchingWindow(
        outcome=outcome.outcome,
        site=site,
        cut_off=cut_off,
        quarters=full[-n_quarters:] if is_enough else (),
        is_short=len(full) < n_quarters,
        earlier_quarters=full[:-n_quarters] if is_enough else (),
    )


def matching_windows(protocol: Protocol) -> tuple[MatchingWindow, ...]:
    """A window for each evaluated outcome and treated authority of a programme, in the order of the seeds."""
    parameters = protocol.parameters
    return tuple(
        matching_window(
            site,
            outcome,
            data_from=first_full_quarter(protocol),
            n_quarters=parameters.matching_quarters,
            n_quarters_min=parameters.matching_quarters_min,
        )
        for outcome in protocol.outcomes
        for site in protocol.sites
    )


def first_full_quarter(protocol: Protocol) -> dt.date:
    """First day of the first calendar quarter that lies wholly in the data."""
    data_from = max(protocol.programme.data_span_start, protocol.programme.trial_start)
    return pd.date_range(data_from, periods=1, freq="QS")[0].date()


def full_quarters(first_day: dt.date, last_day: dt.date) -> tuple[dt.date, ...]:
    """First days of the calendar quarters that lie wholly between two days (inclusive), in order.

    Example:
        >>> [str(day) for day in full_quarters(dt.date(2017, 4, 2), dt.date(2018, 3, 31))]
        ['2017-07-01', '2017-10-01', '2018-01-01']
    """
    if last_day < first_day:
        return ()
    starts = pd.date_range(first_day, last_day, freq="QS")
    return tuple(
        day.date()
        for day in starts
        if day + pd.DateOffset(months=MONTHS_IN_QUARTER) <= pd.Timestamp(last_day) + pd.DateOffset(days=1)
    )


def pandemic_quarters(window: MatchingWindow, protocol: Protocol) -> tuple[int, int]:
    """Quarters that overlap a pandemic shock: in the window, and elsewhere in the programme's data span.

    Only shocks of all authorities and of the treated authority itself count. A quarter that overlaps by a day counts.
    """
    shocks = [shock for shock in protocol.shocks_of(window.site.la_code) if shock.kind == PANDEMIC]
    inside = sum(_overlaps(quarter, shocks) for quarter in window.quarters)
    span = full_quarters(protocol.programme.data_span_start, protocol.programme.data_span_end)
    in_window = set(window.quarters)
    outside = sum(_overlaps(quarter, shocks) for quarter in span if quarter not in in_window)
    return inside, outside


def _overlaps(quarter: dt.date, shocks: Iterable[Shock]) -> bool:
    next_quarter = _quarters_before(quarter, -1)
    return any(
        shock.starts_on < next_quarter and (shock.ends_on is None or shock.ends_on >= quarter)
        for shock in shocks
    )


def _quarters_before(quarter: dt.date, n_quarters: int) -> dt.date:
    return (pd.Timestamp(quarter) - pd.DateOffset(months=MONTHS_IN_QUARTER * n_quarters)).date()
