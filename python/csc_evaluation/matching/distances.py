"""Distances between authorities on standardised changes and levels, in SQL (definitions, section 7).

A quarter's means are standardised across the authorities compared in a window (sample standard deviation):
``z = (y - mean) / sd``; where all are alike ``z`` is 0. Two authorities are then as far apart as the root mean square, over
the quarters of the window, of the differences of their changes in ``z`` (``changes``) or of ``z`` itself (``levels``);
``both`` is ``sqrt((changes^2 + levels^2) / 2)``.

Each authority's changes are collected into one list in the order of the quarters, so that a pair costs one call of
``list_distance`` and not a join by quarter, and so that no sum depends on the order in which threads finish.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import ibis.expr.datatypes as dt

from csc_evaluation.matching.candidates import CandidateTables

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import FloatingValue, Table, Value


@ibis.udf.scalar.builtin
def list_distance(first: dt.Array[dt.float64], second: dt.Array[dt.float64]) -> float:  # type: ignore[empty-body]
    """DuckDB's Euclidean distance between two lists of equal length."""


@dataclass(frozen=True)
class Distances:
    """Temporary tables of one connection, one row per

    ``scored``: window, compared authority and quarter of the window (``window_no, la_code, quarter_start, z_value, z_change``);
    ``pairs``: window and candidate (``window_no, la_code, distance, distance_rank, expected_noise, distance_levels,
    rank_levels, distance_both, rank_both, is_constant``), its distances from the treated authority;
    ``nearest``: window and candidate (``window_no, la_code, other_la_code, distance``), its own nearest among the other
    candidates as if it were treated, ``z`` taken over the candidates without the treated authority.
    """

    scored: Table
    pairs: Table
    nearest: Table


def distances(backend: Backend, tables: CandidateTables) -> Distances:
    """Standardise, then measure every candidate against its treated authority and against every other candidate."""
    scored = _scored(backend, tables)
    vectors = _vectors(backend, scored)
    return Distances(
        scored=scored.select("window_no", "la_code", "quarter_start", "z_value", "z_change"),
        pairs=_pairs(backend, vectors),
        nearest=backend.create_table(
            "csc_match_nearest", nearest_of_each(vectors), temp=True, overwrite=True
        ),
    )


def _scored(backend: Backend, tables: CandidateTables) -> Table:
    compared = tables.candidates.filter(tables.candidates.is_compared)
    in_window = tables.series.filter(tables.series.is_in_window)
    rows = in_window.inner_join(compared, ["window_no", "la_code"]).select(
        "window_no", "la_code", "quarter_start", "mean_value", "standard_error", "is_candidate"
    )
    cells = rows.group_by(["window_no", "quarter_start"]).agg(
        means_of_all=rows.mean_value.collect(order_by=rows.la_code),
        means_of_candidates=rows.mean_value.collect(where=rows.is_candidate, order_by=rows.la_code),
    )
    cells = cells.mutate(
        quarter_mean=cells.means_of_all.means(),
        quarter_sd=_sample_sd(cells.means_of_all),
        candidates_mean=cells.means_of_candidates.means(),
        candidates_sd=_sample_sd(cells.means_of_candidates),
    ).drop("means_of_all", "means_of_candidates")
    joined = rows.inner_join(cells, ["window_no", "quarter_start"])
    scored = joined.select(
        "window_no",
        "la_code",
        "quarter_start",
        "is_candidate",
        "quarter_sd",
        z_value=_standardised(joined.mean_value, joined.quarter_mean, joined.quarter_sd),
        z_among_candidates=_standardised(joined.mean_value, joined.candidates_mean, joined.candidates_sd),
        # What sampling alone makes of z: its variance, were the quarter's spread known.
        noise=(joined.quarter_sd > 0).ifelse((joined.standard_error / joined.quarter_sd) ** 2, 0.0),
    )
    in_order = ibis.window(group_by=["window_no", "la_code"], order_by="quarter_start")
    changed = scored.mutate(
        z_change=scored.z_value - scored.z_value.lag().over(in_order),
        change_among_candidates=scored.z_among_candidates - scored.z_among_candidates.lag().over(in_order),
        noise_of_change=scored.noise + scored.noise.lag().over(in_order),
    )
    return backend.create_table("csc_match_scored", changed, temp=True, overwrite=True)


def _sample_sd(values: Value) -> FloatingValue:
    """Standard deviation of a list (divisor n - 1); 0 where one value, or only like values, leave nothing to differ."""
    mean = values.means()
    squares = values.map(lambda value: (value - mean) * (value - mean)).sums()
    sd = (squares / (values.length() - 1).nullif(0)).sqrt()
    # The mean of like values can miss them by a rounding error, which is no spread.
    return ((values.maxs() > values.mins()) & sd.notnull()).ifelse(sd, 0.0)


def _standardised(value: Value, mean: Value, sd: Value) -> Value:
    return (sd > 0).ifelse((value - mean) / sd, 0.0)


def _vectors(backend: Backend, scored: Table) -> Table:
    """One row per window and compared authority: its series as lists in the order of the quarters."""
    # collect() leaves out nulls, that is the first quarter's change.
    vectors = scored.group_by(["window_no", "la_code"]).agg(
        is_candidate=scored.is_candidate.any(),
        changes=scored.z_change.collect(order_by=scored.quarter_start),
        levels=scored.z_value.collect(order_by=scored.quarter_start),
        changes_among_candidates=scored.change_among_candidates.collect(order_by=scored.quarter_start),
        noises=scored.noise_of_change.collect(order_by=scored.quarter_start),
        is_constant=scored.quarter_sd.max() == 0,
    )
    vectors = vectors.mutate(
        # Without a sampling error for each change there is no expected noise.
        noise=(vectors.noises.length() == vectors.changes.length()).ifelse(
            vectors.noises.means(), ibis.null("float64")
        )
    ).drop("noises")
    return backend.create_table("csc_match_vectors", vectors, temp=True, overwrite=True)


def _root_mean_square(first: Value, second: Value) -> Value:
    return list_distance(first, second) / first.length().cast("float64").sqrt()


def _pairs(backend: Backend, vectors: Table) -> Table:
    treated = vectors.filter(~vectors.is_candidate).select(
        "window_no",
        treated_changes="changes",
        treated_levels="levels",
        treated_noise="noise",
    )
    joined = vectors.filter(vectors.is_candidate).inner_join(treated, "window_no")
    measured = joined.select(
        "window_no",
        "la_code",
        "is_constant",
        distance=_root_mean_square(joined.changes, joined.treated_changes),
        distance_levels=_root_mean_square(joined.levels, joined.treated_levels),
        expected_noise=(joined.noise + joined.treated_noise).sqrt(),
    )
    measured = measured.mutate(
        distance_both=(
            (measured.distance * measured.distance + measured.distance_levels * measured.distance_levels) / 2
        ).sqrt()
    )
    ranked = measured.mutate(
        distance_rank=_rank(measured, "distance"),
        rank_levels=_rank(measured, "distance_levels"),
        rank_both=_rank(measured, "distance_both"),
    )
    return backend.create_table("csc_match_pairs", ranked, temp=True, overwrite=True)


def _rank(measured: Table, distance: str) -> Value:
    """From 1 by distance within the window, ties by authority code."""
    order = ibis.window(group_by="window_no", order_by=[measured[distance], measured.la_code])
    return (ibis.row_number().over(order) + 1).cast("int32")


def nearest_of_each(vectors: Table) -> Table:
    """For each candidate of each window its nearest other candidate, by changes, ties by authority code.

    All candidates against all others: the one step whose cost grows with the square of their number.
    """
    candidates = vectors.filter(vectors.is_candidate).select(
        "window_no", "la_code", changes="changes_among_candidates"
    )
    others = candidates.select("window_no", other_la_code="la_code", other_changes="changes")
    pairs = candidates.inner_join(others, "window_no")
    pairs = pairs.filter(pairs.la_code != pairs.other_la_code)
    # The least pair of distance and code; dividing by the root of the number of changes cannot reorder them.
    measured = ibis.struct(
        {"distance": list_distance(pairs.changes, pairs.other_changes), "la_code": pairs.other_la_code}
    )
    found = pairs.group_by(["window_no", "la_code"]).agg(
        nearest=measured.min(), n_changes=pairs.changes.length().max()
    )
    return found.select(
        "window_no",
        "la_code",
        other_la_code=found.nearest["la_code"],
        distance=found.nearest["distance"] / found.n_changes.cast("float64").sqrt(),
    )
