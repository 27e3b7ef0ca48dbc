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
    return placebo_estimates(gaps, dates, pairs), _constant_gaps(gaps)


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
    """One row per pair; ``quarters`` lists, in order, those in which both authorities have a mean and its standard error.

    One ordered list per pair, so that all sums run over it in the order of the quarters, whichever thread takes it.
    """
    known = series.filter(series.mean_value.notnull() & series.standard_error.notnull())
    known = known.mutate(variance=known.standard_error * known.standard_error)
    first = known.select(
        "window_no",
        "la_code",
        "quarter_start",
        "is_in_window",
        first_n="n_children",
        first_mean="mean_value",
        first_variance="variance",
    )
    other = known.select(
        "window_no",
        "quarter_start",
        other_la_code="la_code",
        other_n="n_children",
        other_mean="mean_value",
        other_variance="variance",
    )
    joined = pairs.inner_join(first, ["window_no", "la_code"]).inner_join(
        other, ["window_no", "other_la_code", "quarter_start"]
    )
    numbers = {
        f"{whose}_{what}": joined[f"{whose}_{what}"].cast("float64")
        for whose in ("first", "other")
        for what in ("n", "mean", "variance")
    }
    quarter = ibis.struct(
        {"quarter_start": joined.quarter_start, "is_in_window": joined.is_in_window, **numbers}
    )
    return joined.group_by(PAIR_KEY).agg(quarters=quarter.collect(order_by=joined.quarter_start))


def placebo_estimates(gaps: Table, dates: Table, pairs: Table) -> Table:
    """The placebos of :func:`pair_statistics`, a row per pair and placebo date."""
    dated = pairs.inner_join(dates, "window_no").select(
        *PAIR_KEY, "evidence", "n_quarters_min", placebo_date=ibis._.placebo_date.cast("date")
    )
    joined = dated.left_join(gaps, PAIR_KEY).select(*dated.columns, "quarters")
    sides = joined.mutate(
        before=joined.quarters.filter(lambda quarter: quarter["quarter_start"] < joined.placebo_date),
        after=joined.quarters.filter(lambda quarter: quarter["quarter_start"] >= joined.placebo_date),
    )
    # Without a quarter in common there is no list at all.
    n_before, n_after = sides.before.length().fill_null(0), sides.after.length().fill_null(0)
    sides = sides.select(
        *dated.columns,
        n_quarters_before=n_before.cast("int32"),
        n_quarters_after=n_after.cast("int32"),
        is_computable=(n_before >= sides.n_quarters_min) & (n_after >= sides.n_quarters_min),
        **_weighted_mean(sides.before, "first", "first_before"),
        **_weighted_mean(sides.after, "first", "first_after"),
        **_weighted_mean(sides.before, "other", "other_before"),
        **_weighted_mean(sides.after, "other", "other_after"),
    )
    estimate = (sides.first_after_mean - sides.first_before_mean) - (
        sides.other_after_mean - sides.other_before_mean
    )
    variance = (sides.first_before_variance + sides.first_after_variance) + (
        sides.other_before_variance + sides.other_after_variance
    )
    nothing = ibis.null("float64")
    return sides.select(
        *PAIR_KEY,
        "evidence",
        "placebo_date",
        "n_quarters_before",
        "n_quarters_after",
        estimate=sides.is_computable.ifelse(estimate, nothing),
        std_error=sides.is_computable.ifelse(variance.sqrt(), nothing),
    ).mutate(statistic=ibis._.estimate / ibis._.std_error.nullif(0.0))


def _weighted_mean(quarters: Value, whose: str, prefix: str) -> dict[str, Value]:
    """The mean of an authority over listed quarters weighted by children, and its sampling variance."""
    total = quarters.map(lambda quarter: quarter[f"{whose}_n"]).sums().nullif(0.0)
    mean = quarters.map(lambda quarter: quarter[f"{whose}_n"] * quarter[f"{whose}_mean"]).sums() / total
    variance = quarters.map(
        lambda quarter: quarter[f"{whose}_n"] * quarter[f"{whose}_n"] * quarter[f"{whose}_variance"]
    ).sums() / (total * total)
    return {f"{prefix}_mean": mean, f"{prefix}_variance": variance}


def _constant_gaps(gaps: Table) -> Table:
    """Cochran's (1954) chi-square that the gap is the same in all quarters of the window, weights 1 / variance.

    ``statistic = sum w (gap - mean)^2`` with ``mean = sum w gap / sum w``; ``df`` is the number of quarters less one.
    """

    def gap(quarter: Value) -> Value:
        return quarter["first_mean"] - quarter["other_mean"]

    def variance(quarter: Value) -> Value:
        return quarter["first_variance"] + quarter["other_variance"]

    def weight(quarter: Value) -> Value:
        return 1.0 / variance(quarter).nullif(0.0)

    found = gaps.mutate(quarters=gaps.quarters.filter(lambda quarter: quarter["is_in_window"]))
    total = found.quarters.map(weight).sums()
    mean = found.quarters.map(lambda quarter: weight(quarter) * gap(quarter)).sums() / total
    found = found.mutate(
        n_quarters=found.quarters.length().cast("int32"),
        least_variance=found.quarters.map(variance).mins(),
        total=total,
        mean_gap=mean,
    )
    statistic = found.quarters.map(
        lambda quarter: weight(quarter) * (gap(quarter) - found.mean_gap) * (gap(quarter) - found.mean_gap)
    ).sums()
    is_computable = (found.least_variance > 0) & (found.n_quarters > 1)
    nothing = ibis.null("float64")
    return found.select(
        *PAIR_KEY,
        "n_quarters",
        estimate=is_computable.ifelse(found.mean_gap, nothing),
        std_error=is_computable.ifelse((1.0 / found.total).sqrt(), nothing),
        statistic=is_computable.ifelse(statistic, nothing),
        df=is_computable.ifelse((found.n_quarters - 1).cast("float64"), nothing),
    )
