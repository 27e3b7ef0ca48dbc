"""What stands beside each kept pair for a reviewer: its statistics, and how unusual they are (definitions, section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pandas as pd
from scipy import stats

from csc_evaluation.matching.candidates import CandidateTables, WindowOf
from csc_evaluation.matching.distances import Distances
from csc_evaluation.matching.placebos import PAIR_KEY, pair_statistics

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table

COMPUTED = "computed"
NOT_COMPUTABLE = "not computable"
CONSTANT_GAP = "constant_gap"
DISTANCE = "distance"
NEAREST_DISTANCE = "nearest_distance"
LEADS = "leads"

LEADS_NOTE = (
    "one treated and one comparator authority are two clusters, which allow no cluster-robust test; the pooled test over all "
    "matched groups stands in results.assumption_checks"
)
NO_ERROR_NOTE = (
    "in a quarter of the window the gap has no sampling error: the children of either authority are all alike, or there is "
    "only one"
)
CONSTANT_TREATED_NOTE = "the treated authority has the same mean in every quarter of the window"


def evidence_and_placebos(
    backend: Backend, windows: Sequence[WindowOf], tables: CandidateTables, found: Distances, kept: Table
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Evidence on every kept pair, and the same statistics for every candidate as if it were treated.

    The *placebo authorities* of a window are its candidates, each set against its own nearest among the others.
    ``share_as_extreme`` is the share of them that show at least as much as the pair does: for a placebo date an
    estimate at least as large in absolute value, for ``constant_gap`` a statistic at least as large, for ``distance``
    a nearest neighbour at least as far away. So a small share is a warning for the first two (few pairs of
    untreated authorities differ as much), and for ``distance`` it says that nearly every authority has a neighbour
    closer to it than this comparator is to the treated authority; a large share of ``distance`` says that the pair is closer than most find.

    Args:
        backend: a connection that may make temporary tables (read-only is enough).
        windows: matching windows by position (``window_no``), each with the protocol of its programme.
        tables: candidates and their series.
        found: distances.
        kept: one row per kept pair, ``window_no, la_code`` (the candidate) and ``distance``.

    Returns:
        Rows of ``results.la_pair_evidence`` and of ``results.la_match_placebos``, with ``window_no`` in the place of
        run, programme, outcome and treated authority; in order of window, authority and evidence.
    """
    treated = tables.windows.select("window_no", treated_la_code="treated_la_code")
    kept_pairs = kept.inner_join(treated, "window_no").select(
        "window_no", la_code="treated_la_code", other_la_code="la_code", is_kept_pair=ibis.literal(True)
    )
    placebo_pairs = found.nearest.select(
        "window_no", "la_code", "other_la_code", is_kept_pair=ibis.literal(False)
    )
    pairs = backend.create_table(
        "csc_match_evidence_pairs", ibis.union(kept_pairs, placebo_pairs), temp=True, overwrite=True
    )
    placebo_table, gap_table = pair_statistics(backend, windows, pairs, tables.series)
    dated = placebo_table.order_by([*PAIR_KEY, "evidence"]).to_pandas()
    gaps = gap_table.order_by(PAIR_KEY).to_pandas()
    nearest = found.nearest.order_by(["window_no", "la_code"]).to_pandas()
    kept_frame = (
        kept.select("window_no", "la_code", "distance").order_by(["window_no", "la_code"]).to_pandas()
    )

    placebos = _placebo_rows(dated, gaps, nearest)
    parts = [
        _dated_evidence(dated, windows),
        _gap_evidence(gaps, kept_frame, windows),
        _distance_evidence(kept_frame, windows),
        _leads_evidence(kept_frame, windows),
    ]
    evidence = pd.concat([_as_evidence(part) for part in parts], ignore_index=True)
    evidence = _with_shares(evidence, placebos)
    constant = _constant_treated(tables)
    is_constant = evidence.window_no.isin(constant)
    evidence["note"] = [
        "; ".join(part for part in (note, CONSTANT_TREATED_NOTE if flag else None) if part) or None
        for note, flag in zip(evidence.note, is_constant, strict=True)
    ]
    order = ["window_no", "comparator_la_code", "evidence"]
    return (
        evidence.sort_values(order, ignore_index=True),
        placebos.sort_values(["window_no", "placebo_la_code", "evidence"], ignore_index=True),
    )


def _constant_treated(tables: CandidateTables) -> set[int]:
    """Windows in which the treated authority's mean is the same in every quarter."""
    rows = tables.series.filter(tables.series.is_in_window).inner_join(
        tables.windows.select("window_no", "treated_la_code"), "window_no"
    )
    rows = rows.filter((rows.la_code == rows.treated_la_code) & rows.mean_value.notnull())
    spread = rows.group_by("window_no").agg(is_constant=rows.mean_value.min() == rows.mean_value.max())
    return set(spread.filter(spread.is_constant).window_no.to_pandas())


def _placebo_rows(dated: pd.DataFrame, gaps: pd.DataFrame, nearest: pd.DataFrame) -> pd.DataFrame:
    """Computable statistics of the placebo authorities, in one long table."""
    parts = [
        dated[~dated.is_kept_pair & dated.estimate.notna()].assign(df=np.nan),
        gaps[~gaps.is_kept_pair & gaps.statistic.notna()].assign(evidence=CONSTANT_GAP),
        nearest.assign(
            evidence=NEAREST_DISTANCE,
            estimate=nearest.distance,
            std_error=np.nan,
            statistic=np.nan,
            df=np.nan,
        ),
    ]
    columns = [
        "window_no",
        "la_code",
        "other_la_code",
        "evidence",
        "estimate",
        "std_error",
        "statistic",
        "df",
    ]
    rows = pd.concat([part[columns] for part in parts if len(part)] or [parts[2][columns]], ignore_index=True)
    return rows.rename(columns={"la_code": "placebo_la_code", "other_la_code": "comparator_la_code"})


def _dated_evidence(dated: pd.DataFrame, windows: Sequence[WindowOf]) -> pd.DataFrame:
    rows = dated[dated.is_kept_pair].rename(columns={"other_la_code": "comparator_la_code"})
    rows = rows.drop(columns=["la_code", "is_kept_pair"]).reset_index(drop=True)
    is_computed = rows.estimate.notna()
    minimum = [windows[number][0].parameters.placebo_quarters_min for number in rows.window_no]
    rows["status"] = np.where(is_computed, COMPUTED, NOT_COMPUTABLE)
    rows["df"] = np.nan
    rows["p_value"] = 2 * stats.norm.sf(rows.statistic.abs())
    rows["note"] = [
        None
        if computed
        else f"{before} full quarters of data before the placebo date and {after} from it on; at least {least} are needed "
        "on either side"
        for computed, before, after, least in zip(
            is_computed, rows.n_quarters_before, rows.n_quarters_after, minimum, strict=True
        )
    ]
    return rows


def _gap_evidence(gaps: pd.DataFrame, kept: pd.DataFrame, windows: Sequence[WindowOf]) -> pd.DataFrame:
    rows = _of_window(kept, windows).merge(
        gaps[gaps.is_kept_pair][
            ["window_no", "other_la_code", "n_quarters", "estimate", "std_error", "statistic", "df"]
        ].rename(columns={"other_la_code": "comparator_la_code"}),
        on=["window_no", "comparator_la_code"],
        how="left",
    )
    # A quarter that one of them has without a standard error does not reach the gaps.
    is_computed = rows.statistic.notna() & (rows.n_quarters == rows.n_quarters_before)
    rows.loc[~is_computed, ["estimate", "std_error", "statistic", "df"]] = np.nan
    return rows.drop(columns="n_quarters").assign(
        evidence=CONSTANT_GAP,
        status=np.where(is_computed, COMPUTED, NOT_COMPUTABLE),
        p_value=stats.chi2.sf(rows.statistic, rows.df),
        note=pd.Series([None if computed else NO_ERROR_NOTE for computed in is_computed], dtype=object),
    )


def _distance_evidence(kept: pd.DataFrame, windows: Sequence[WindowOf]) -> pd.DataFrame:
    return _of_window(kept, windows).assign(
        evidence=DISTANCE, status=COMPUTED, estimate=kept.distance.to_numpy(float), note=None
    )


def _leads_evidence(kept: pd.DataFrame, windows: Sequence[WindowOf]) -> pd.DataFrame:
    return _of_window(kept, windows).assign(evidence=LEADS, status=NOT_COMPUTABLE, note=LEADS_NOTE)


def _as_evidence(rows: pd.DataFrame) -> pd.DataFrame:
    """The same columns and types for evidence of every kind; numbers it does not have are missing."""
    whole = rows.reindex(columns=["window_no", "comparator_la_code", "evidence", "status", "placebo_date"])
    whole["placebo_date"] = pd.to_datetime(whole["placebo_date"]).astype("datetime64[us]")
    for name in ("n_quarters_before", "n_quarters_after"):
        whole[name] = rows[name].astype("int32")
    for name in ("estimate", "std_error", "statistic", "df", "p_value"):
        whole[name] = rows[name].astype(float) if name in rows else np.nan
    return whole.assign(note=rows["note"].astype(object))


def _of_window(kept: pd.DataFrame, windows: Sequence[WindowOf]) -> pd.DataFrame:
    """A row per kept pair for evidence on the window as a whole: all of its quarters lie before the cut-off."""
    return pd.DataFrame(
        {
            "window_no": kept.window_no,
            "comparator_la_code": kept.la_code,
            "placebo_date": pd.NaT,
            "n_quarters_before": [len(windows[number][1].quarters) for number in kept.window_no],
            "n_quarters_after": 0,
        }
    )


def _with_shares(evidence: pd.DataFrame, placebos: pd.DataFrame) -> pd.DataFrame:
    """Adds ``n_placebos`` and ``share_as_extreme``; see :func:`evidence_and_placebos`."""
    sizes = {
        key: np.sort(_size(rows.evidence, rows.estimate, rows.statistic))
        for key, rows in placebos.groupby(["window_no", "evidence"])
    }
    own = _size(evidence.evidence, evidence.estimate, evidence.statistic)
    counts, shares = [], []
    for number, name, size in zip(evidence.window_no, evidence.evidence, own, strict=True):
        others = sizes.get((number, NEAREST_DISTANCE if name == DISTANCE else name), np.empty(0))
        counts.append(len(others))
        as_extreme = len(others) - int(np.searchsorted(others, size, side="left"))
        shares.append(as_extreme / len(others) if len(others) and not np.isnan(size) else np.nan)
    return evidence.assign(n_placebos=counts, share_as_extreme=shares)


def _size(evidence: pd.Series, estimate: pd.Series, statistic: pd.Series) -> np.ndarray:
    """What is compared: the statistic of a test, else the absolute estimate."""
    return np.where(evidence.eq(CONSTANT_GAP), statistic, estimate.abs()).astype(float)
