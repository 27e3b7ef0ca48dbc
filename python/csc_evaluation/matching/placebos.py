"""Placebo and pre-trend statistics of pairs of authorities before the cut-off, in SQL (definitions, section 7).

For the kept pairs and, the same way, for every candidate as if it were treated, so that one can be held against the
distribution of the other. Sampling errors are those of children alone: what moves a whole authority from quarter to quarter is
not in them, so p-values are too small where authorities have shocks of their own; the distribution is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import ibis
import pandas as pd

from csc_evaluation.estimation.protocol import Parameters
from csc_evaluation.matching.candidates import WindowOf

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table, Value

PAIR_KEY = ["window_no", "la_code", "other_la_code", "is_kept_pair"]


def placebo_names(parameters: Parameters) -> dict[str, int]:
    """The placebo dates of the protocol: their name in the evidence, and how many quarters before the cut-off they lie."""
    return {
        f"placebo_{quarters}": quarters
        for quarters in (parameters.placebo_quarters_first, parameters.placebo_quarters_second)
    }


def pair_statistics(
    backend: Backend, windows: Sequence[WindowOf], pairs: Table, series: Table
) -> tuple[Table, Table]:
    """Placebo estimates and the constancy of the gap, for every pair.

    Args:
        backend: a connection that may make temporary tables (read-only is enough).
        windows: matching windows by position (``window_no``), each with the protocol of its programme.
        pairs: ``window_no, la_code, other_la_code, is_kept_pair``; the gap is the first authority minus the other.
        series: as in :class:`csc_evaluation.matching.candidates.CandidateTables`.

    Returns:
        Two tables with the columns of ``pairs``. Placebos: a row per placebo date, with ``evidence, placebo_date,
        n_quarters_before, n_quarters_after, estimate, std_error`` (units of the outcome), numbers null where a side
        has under ``placebo_quarters_min`` quarters. Gaps: one row, with ``n_quarters, estimate, std_error, statistic,
        df``, numbers null where a quarter has no sampling error.
    """
    gaps = backend.create_table("csc_match_gaps", _gaps(pairs, series), temp=True, overwrite=True)
    dates = backend.create_table(
        "csc_match_placebo_dates", _placebo_dates(windows), temp=True, overwrite=True
    )
    return _placebos(gaps, dates, pairs), _constant_gaps(gaps)


def _placebo_dates(windows: Sequence[WindowOf]) -> pd.DataFrame:
    rows = [
        (number, name, window.placebo_date(quarters), protocol.parameters.placebo_quarters_min)
        for number, (protocol, window) in enumerate(windows)
        if window.quarters
        for name, quarters in placebo_names(protocol.parameters).items()
    ]
    frame = pd.DataFrame(rows, columns=["window_no", "evidence", "placebo_date", "n_quarters_min"])
    frame["placebo_date"] = pd.to_datetime(frame["placebo_date"]).astype("datetime64[us]")
    return frame.astype({"window_no": "int64", "evidence": "string", "n_quarters_min": "int64"})


def _gaps(pairs: Table, series: Table) -> Table:
    """One row per pair and quarter in which both authorities have a mean and its standard error."""
    known = series.filter(series.mean_value.notnull() & series.standard_error.notnull())
    known = known.mutate(variance=known.standard_error * known.standard_error)
    first = known.select(
        "window_no", "la_code", "quarter_start", "is_in_window", n="n_children", y="mean_value", v="variance"
    )
    other = known.select(
        "window_no",
        "quarter_start",
        other_la_code="la_code",
        other_n="n_children",
        other_y="mean_value",
        other_v="variance",
    )
    joined = pairs.inner_join(first, ["window_no", "la_code"]).inner_join(
        other, ["window_no", "other_la_code", "quarter_start"]
    )
    return joined.select(
        *PAIR_KEY, "quarter_start", "is_in_window", "n", "y", "v", "other_n", "other_y", "other_v"
    )


def _placebos(gaps: Table, dates: Table, pairs: Table) -> Table:
    every = pairs.inner_join(dates, "window_no").select(
        *PAIR_KEY, "evidence", "n_quarters_min", placebo_date=ibis._.placebo_date.cast("date")
    )
    rows = gaps.inner_join(
        dates.select("window_no", "evidence", placebo_date=dates.placebo_date.cast("date")), "window_no"
    )
    is_after = rows.quarter_start >= rows.placebo_date

    def side(where: Value, prefix: str, weight: Value, mean: Value, variance: Value) -> dict[str, Value]:
        """The mean over a side's quarters weighted by children, and its variance, from sums in the order of quarters."""
        n = weight.cast("float64")
        total = weight.sum(where=where).cast("float64")
        in_order = {"where": where, "order_by": rows.quarter_start}
        return {
            f"{prefix}_mean": (n * mean).collect(**in_order).sums() / total,
            f"{prefix}_variance": (n * n * variance).collect(**in_order).sums() / (total * total),
        }

    found = rows.group_by([*PAIR_KEY, "evidence"]).agg(
        n_quarters_before=(~is_after).sum(),
        n_quarters_after=is_after.sum(),
        **side(~is_after, "first_before", rows.n, rows.y, rows.v),
        **side(is_after, "first_after", rows.n, rows.y, rows.v),
        **side(~is_after, "other_before", rows.other_n, rows.other_y, rows.other_v),
        **side(is_after, "other_after", rows.other_n, rows.other_y, rows.other_v),
    )
    joined = every.left_join(found, [*PAIR_KEY, "evidence"])
    n_before, n_after = joined.n_quarters_before.fill_null(0), joined.n_quarters_after.fill_null(0)
    is_computable = (n_before >= joined.n_quarters_min) & (n_after >= joined.n_quarters_min)
    estimate = (joined.first_after_mean - joined.first_before_mean) - (
        joined.other_after_mean - joined.other_before_mean
    )
    variance = (joined.first_before_variance + joined.first_after_variance) + (
        joined.other_before_variance + joined.other_after_variance
    )
    nothing = ibis.null("float64")
    return joined.select(
        *PAIR_KEY,
        "evidence",
        "placebo_date",
        n_quarters_before=n_before.cast("int32"),
        n_quarters_after=n_after.cast("int32"),
        estimate=is_computable.ifelse(estimate, nothing),
        std_error=is_computable.ifelse(variance.sqrt(), nothing),
    ).mutate(statistic=ibis._.estimate / ibis._.std_error.nullif(0.0))


def _constant_gaps(gaps: Table) -> Table:
    """Cochran's (1954) chi-square that the gap is the same in all quarters of the window, weights 1 / variance.

    ``statistic = sum w (gap - mean)^2`` with ``mean = sum w gap / sum w``; ``df`` is the number of quarters less one.
    """
    rows = gaps.filter(gaps.is_in_window)
    variance = rows.v + rows.other_v
    weight = 1.0 / variance.nullif(0.0)
    gap = rows.y - rows.other_y
    found = rows.group_by(PAIR_KEY).agg(
        n_quarters=rows.count(),
        has_errors=(variance > 0).all(),
        quarters=ibis.struct({"gap": gap, "weight": weight}).collect(order_by=rows.quarter_start),
    )
    total = found.quarters.map(lambda quarter: quarter["weight"]).sums()
    mean = found.quarters.map(lambda quarter: quarter["weight"] * quarter["gap"]).sums() / total
    found = found.mutate(total=total, mean_gap=mean)
    statistic = found.quarters.map(
        lambda quarter: (
            quarter["weight"] * (quarter["gap"] - found.mean_gap) * (quarter["gap"] - found.mean_gap)
        )
    ).sums()
    is_computable = found.has_errors & (found.n_quarters > 1)
    nothing = ibis.null("float64")
    return found.select(
        *PAIR_KEY,
        n_quarters=found.n_quarters.cast("int32"),
        estimate=is_computable.ifelse(found.mean_gap, nothing),
        std_error=is_computable.ifelse((1.0 / found.total).sqrt(), nothing),
        statistic=is_computable.ifelse(statistic, nothing),
        df=is_computable.ifelse((found.n_quarters - 1).cast("float64"), nothing),
    )
