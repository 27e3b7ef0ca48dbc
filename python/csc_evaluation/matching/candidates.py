"""Who may be a comparator of whom, and the quarterly series they are compared on, in SQL (definitions, section 7).

Everything here and in the modules built on it is keyed by ``window_no``, the position of a matching window in the list
of all windows of all programmes, so that one pass serves them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import pandas as pd

from csc_evaluation.estimation.protocol import Protocol
from csc_evaluation.matching.windows import MatchingWindow

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table

WindowOf = tuple[Protocol, MatchingWindow]


@dataclass(frozen=True)
class CandidateTables:
    """Temporary tables of one connection, one row per

    ``windows``: matching window (``window_no, programme, outcome, treated_la_code, n_min, n_kept``);
    ``series``: window, authority and quarter from the start of the data to the window's last (``window_no, la_code,
    quarter_start, is_in_window, n_children, mean_value, standard_error``; no value where nothing was observed);
    ``candidates``: window and authority of the reference list (``window_no, la_code, n_quarters, first_quarter,
    last_quarter, reason, is_candidate, is_treated, is_compared``).
    """

    windows: Table
    series: Table
    candidates: Table


def candidate_tables(backend: Backend, windows: Sequence[WindowOf]) -> CandidateTables:
    """Read the series of every window and decide who may be compared; one pass over ``marts.la_quarter_outcomes``.

    Args:
        backend: a connection that may make temporary tables (read-only is enough).
        windows: matching windows, each with the protocol of its programme; the position is its ``window_no``.
    """
    listed = backend.create_table("csc_match_windows", _windows_frame(windows), temp=True, overwrite=True)
    authorities = _authorities(backend, list({p.programme.programme: p for p, _ in windows}.values()))
    series = _series(backend, windows, listed, authorities)
    return CandidateTables(listed, series, _candidates(backend, listed, authorities, series))


def _windows_frame(windows: Sequence[WindowOf]) -> pd.DataFrame:
    rows = [
        (
            number,
            protocol.programme.programme,
            *window.pair,
            protocol.parameters.matching_n_min,
            protocol.parameters.matching_candidates_kept,
        )
        for number, (protocol, window) in enumerate(windows)
    ]
    names = ["window_no", "programme", "outcome", "treated_la_code", "n_min", "n_kept"]
    return pd.DataFrame(rows, columns=names).astype(
        {"programme": "string", "outcome": "string", "treated_la_code": "string"}
    )


def standing_reasons(protocol: Protocol) -> dict[str, str]:
    """Why the seeds bar an authority from being a comparator in this programme, by authority code.

    An exclusion counts if any part of it falls within the programme's data span.
    """
    span_start, span_end = protocol.programme.data_span_start, protocol.programme.data_span_end
    reasons: dict[str, str] = {}
    for exclusion in sorted(protocol.exclusions, key=lambda row: (row.la_code, row.reason)):
        starts = exclusion.excluded_from or span_start
        ends = exclusion.excluded_to or span_end
        if starts <= span_end and ends >= span_start:
            between = "" if starts <= span_start and ends >= span_end else f" ({starts} to {ends})"
            reason = f"excluded: {exclusion.reason}{between}"
            earlier = reasons.get(exclusion.la_code)
            reasons[exclusion.la_code] = reason if earlier is None else f"{earlier}; {reason}"
    for site in protocol.sites:
        reasons[site.la_code] = "is an authority of the programme"
    return reasons


def _authorities(backend: Backend, protocols: Sequence[Protocol]) -> Table:
    """One row per programme and authority, with the reason (or null) why it may not be a comparator whatever its series."""
    spans = pd.DataFrame(
        [(p.programme.programme, p.programme.data_span_start, p.programme.data_span_end) for p in protocols],
        columns=["programme", "span_start", "span_end"],
    )
    spans[["span_start", "span_end"]] = spans[["span_start", "span_end"]].apply(pd.to_datetime)
    reasons = pd.DataFrame(
        [
            (p.programme.programme, code, reason)
            for p in protocols
            for code, reason in standing_reasons(p).items()
        ],
        columns=["programme", "la_code", "seed_reason"],
        dtype="string",
    )
    listed = backend.table("local_authorities", database="reference")
    listed = listed.select(
        la_code=listed.la_code.cast("string"),
        valid_from=listed.valid_from.cast("date"),
        valid_to=listed.valid_to.cast("date"),
    ).cross_join(ibis.memtable(spans))
    is_absent = (listed.valid_from > listed.span_start.cast("date")).fill_null(False) | (
        listed.valid_to < listed.span_end.cast("date")
    ).fill_null(False)
    joined = listed.mutate(is_absent=is_absent).left_join(ibis.memtable(reasons), ["programme", "la_code"])
    return joined.select(
        "programme",
        "la_code",
        standing_reason=ibis.coalesce(
            joined.seed_reason,
            joined.is_absent.ifelse(
                "the authority did not exist throughout the programme's data", ibis.null("string")
            ),
        ),
    )


def _series(backend: Backend, windows: Sequence[WindowOf], listed: Table, authorities: Table) -> Table:
    wanted = pd.DataFrame(
        [
            (number, quarter, is_in_window)
            for number, (_, window) in enumerate(windows)
            for quarters, is_in_window in ((window.earlier_quarters, False), (window.quarters, True))
            for quarter in quarters
        ],
        columns=["window_no", "quarter_start", "is_in_window"],
    ).astype({"window_no": "int64", "is_in_window": "bool"})
    wanted["quarter_start"] = pd.to_datetime(wanted["quarter_start"])
    quarters = ibis.memtable(wanted).mutate(quarter_start=ibis._.quarter_start.cast("date"))
    grid = quarters.inner_join(listed, "window_no").inner_join(
        authorities.select("programme", "la_code"), "programme"
    )
    la_quarters = backend.table("la_quarter_outcomes", database="marts")
    la_quarters = la_quarters.select(
        "programme",
        "outcome",
        "la_code",
        quarter_start=la_quarters.quarter_start.cast("date"),
        n_children=la_quarters.n_children.cast("int64"),
        mean_value=la_quarters.mean_value.cast("float64"),
        standard_error=la_quarters.standard_error.cast("float64"),
    )
    joined = grid.left_join(la_quarters, ["programme", "outcome", "la_code", "quarter_start"])
    has_value = (joined.n_children > 0).fill_null(False)
    series = joined.select(
        "window_no",
        "la_code",
        "quarter_start",
        "is_in_window",
        n_children=joined.n_children.fill_null(0),
        mean_value=has_value.ifelse(joined.mean_value, ibis.null("float64")),
        standard_error=has_value.ifelse(joined.standard_error, ibis.null("float64")),
    )
    return backend.create_table("csc_match_series", series, temp=True, overwrite=True)


def _candidates(backend: Backend, listed: Table, authorities: Table, series: Table) -> Table:
    in_window = series.filter(series.is_in_window).inner_join(
        listed.select("window_no", "n_min"), "window_no"
    )
    has_no_value = in_window.mean_value.isnull()
    counted = in_window.group_by(["window_no", "la_code"]).agg(
        n_quarters=in_window.count(),
        n_missing=has_no_value.sum(),
        n_small=(~has_no_value & (in_window.n_children < in_window.n_min)).sum(),
        first_quarter=in_window.quarter_start.min(),
        last_quarter=in_window.quarter_start.max(),
    )
    pairs = listed.inner_join(authorities, "programme").left_join(counted, ["window_no", "la_code"])
    pairs = pairs.drop("window_no_right", "la_code_right")
    treated = counted.inner_join(
        listed.select("window_no", "treated_la_code"),
        ["window_no", counted.la_code == listed.treated_la_code],
    ).select("window_no", treated_is_complete=counted.n_missing == 0)
    joined = pairs.left_join(treated, "window_no").drop("window_no_right")
    is_self = joined.la_code == joined.treated_la_code
    n_quarters = joined.n_quarters.fill_null(0)
    treated_is_complete = joined.treated_is_complete.fill_null(False)
    quarters_text = ibis.literal(" of ") + n_quarters.cast("string") + " quarters"
    reason = ibis.cases(
        (is_self, "is the treated authority itself"),
        (joined.standing_reason.notnull(), joined.standing_reason),
        (n_quarters == 0, "the treated authority has too few quarters before go-live minus the window"),
        (~treated_is_complete, "the treated authority has a quarter without data"),
        (joined.n_missing > 0, ibis.literal("no data in ") + joined.n_missing.cast("string") + quarters_text),
        (
            joined.n_small > 0,
            ibis.literal("fewer than ")
            + joined.n_min.cast("string")
            + " children in "
            + joined.n_small.cast("string")
            + quarters_text,
        ),
        else_=ibis.null("string"),
    )
    decided = joined.select(
        "window_no",
        "la_code",
        "first_quarter",
        "last_quarter",
        n_quarters=n_quarters.cast("int32"),
        reason=reason,
        is_candidate=reason.isnull(),
        is_treated=is_self,
        is_compared=reason.isnull() | (is_self & (n_quarters > 0) & treated_is_complete),
    )
    return backend.create_table("csc_match_candidates", decided, temp=True, overwrite=True)
