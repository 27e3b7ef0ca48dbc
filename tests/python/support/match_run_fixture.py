"""A complete run of stage ``match`` in a small warehouse, computed plainly from the marts with numpy.

Tests of the review page need every table that matching fills. This fills them without the package's own matching, so
that a page can be tested on lists and numbers that the test knows.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from scipy import stats

from csc_evaluation import schema
from csc_evaluation.estimation.protocol import Outcome, Protocol, Site, read_protocol
from csc_evaluation.warehouse import ibis_readable

N_KEPT = 10
N_QUARTERS = 8
N_QUARTERS_MIN = 6
N_CHILDREN_MIN = 20
PLACEBO_QUARTERS_MIN = 4
PANDEMIC = (dt.date(2020, 3, 23), dt.date(2021, 7, 18))

Row = dict[str, Any]


def write_match_run(
    path: Path, programme: str, *, run_id: str | None = None, started_at: dt.datetime | None = None
) -> str:
    """Write a run of stage ``match`` for a programme whose marts and seeds the warehouse holds; returns its id."""
    run_id = run_id or f"{programme}-20261101T120000-abcdef"
    with ibis_readable(path) as backend:
        protocol = read_protocol(backend, programme)
    with duckdb.connect(str(path)) as connection:
        schema.create_all(connection)
        quarters = connection.execute(
            "select outcome, la_code, cast(quarter_start as date) as quarter_start, n_children, mean_value, standard_error "
            "from marts.la_quarter_outcomes where programme = ? order by all",
            [programme],
        ).df()
        names = connection.execute(
            "select la_code from reference.local_authorities order by la_code"
        ).fetchall()
        tables: dict[str, list[Row]] = {
            name: []
            for name in ("la_match_candidates", "la_match_series", "la_pair_evidence", "la_match_placebos")
        }
        for outcome in protocol.outcomes:
            own = quarters[quarters.outcome == outcome.outcome]
            for site in protocol.sites:
                _fill(tables, protocol, outcome, site, own, [row[0] for row in names])
            tables.setdefault("assumption_checks", []).extend(_checks(outcome))
        matches = [
            {
                "outcome": row["outcome"],
                "match_group": row["treated_la_code"],
                "treated_la_code": row["treated_la_code"],
                "comparator_la_code": row["candidate_la_code"],
                "go_live_date": next(
                    s.go_live_date for s in protocol.sites if s.la_code == row["treated_la_code"]
                ),
                "distance": row["distance"],
                "distance_rank": 1,
                "decision": "nearest, unreviewed",
                "is_unreviewed": True,
            }
            for row in tables["la_match_candidates"]
            if row["distance_rank"] == 1
        ]
        runs = [
            {
                "stage": "match",
                "status": "complete",
                "started_at": started_at or dt.datetime(2026, 11, 1, 12, 0, 0),
                "code_version": "test",
                "seeds_hash": "0" * 64,
                "input_hash": "0" * 64,
                "package_versions": "{}",
                "random_seed": 1,
                "is_unreviewed": True,
            }
        ]
        for name, rows in {**tables, "la_matches": matches, "runs": runs}.items():
            if rows:
                frame = pd.DataFrame(rows).assign(run_id=run_id, programme=programme)
                connection.register("rows_of_run", frame)
                connection.execute(f"insert into results.{name} by name select * from rows_of_run")
                connection.unregister("rows_of_run")
    return run_id


def _fill(
    tables: dict[str, list[Row]],
    protocol: Protocol,
    outcome: Outcome,
    site: Site,
    quarters: pd.DataFrame,
    authorities: list[str],
) -> None:
    key = {"outcome": outcome.outcome, "treated_la_code": site.la_code}
    start = pd.Timestamp(site.embedding_start or site.go_live_date)
    cut_off = start - pd.DateOffset(months=outcome.follow_up_months)
    after_last = (cut_off + pd.DateOffset(days=1)).to_period("Q").start_time
    data_from = max(protocol.programme.data_span_start, protocol.programme.trial_start)
    window = [
        (after_last - pd.DateOffset(months=3 * back)).date()
        for back in range(N_QUARTERS, 0, -1)
        if (after_last - pd.DateOffset(months=3 * back)).date() >= data_from
    ]
    known = quarters[pd.to_datetime(quarters.quarter_start) < after_last]
    means, errors, counts = (
        known.pivot(index="la_code", columns="quarter_start", values=column)
        for column in ("mean_value", "standard_error", "n_children")
    )
    means.columns = errors.columns = counts.columns = [pd.Timestamp(column).date() for column in means]
    reasons: dict[str, str | None] = {}
    excluded = {row.la_code: row.reason for row in protocol.exclusions}
    sites = {row.la_code for row in protocol.sites}
    has_window = len(window) >= N_QUARTERS_MIN and set(window) <= set(means.columns)
    for code in authorities:
        if code == site.la_code:
            reasons[code] = "is the treated authority itself"
        elif code in excluded:
            reasons[code] = f"excluded: {excluded[code]}"
        elif code in sites:
            reasons[code] = "is an authority of the programme"
        elif not has_window:
            reasons[code] = "the treated authority has too few quarters before go-live minus the window"
        elif code not in means.index or means.loc[code, window].isna().any():
            reasons[code] = "no data in a quarter"
        elif (counts.loc[code, window] < N_CHILDREN_MIN).any():
            reasons[code] = f"fewer than {N_CHILDREN_MIN} children in a quarter"
        else:
            reasons[code] = None
    candidates = [code for code, reason in reasons.items() if reason is None]
    usable = has_window and site.la_code in means.index and not means.loc[site.la_code, window].isna().any()
    if not usable:
        candidates = []
    distances = pd.DataFrame()
    if candidates:
        distances = _distances(means, errors, window, site.la_code, candidates)
    kept = list(distances.index[:N_KEPT])
    text = "\n".join(
        [protocol.programme.programme, *key.values(), *(str(quarter) for quarter in window), *kept]
    )
    listed_hash = hashlib.sha256(text.encode()).hexdigest()[:16]
    in_pandemic = [quarter for quarter in known.quarter_start.unique() if _is_pandemic(pd.Timestamp(quarter))]
    n_inside = sum(_is_pandemic(pd.Timestamp(quarter)) for quarter in window)
    for code, reason in reasons.items():
        place = distances.loc[code] if code in distances.index else None
        tables["la_match_candidates"].append(
            key
            | {
                "candidate_la_code": code,
                "is_candidate": place is not None,
                "reason": reason
                if usable or reason
                else "the treated authority has too few quarters before go-live minus the window",
                "distance": None if place is None else float(place.changes),
                "distance_rank": None if place is None else int(place.rank_changes),
                "is_kept": code in kept,
                "n_quarters": len(window) if usable else 0,
                "first_quarter": window[0] if usable else None,
                "last_quarter": window[-1] if usable else None,
                "is_short_series": len(window) < N_QUARTERS,
                "candidates_hash": listed_hash,
                "expected_noise": None if place is None else float(place.noise),
                "distance_levels": None if place is None else float(place.levels),
                "rank_levels": None if place is None else int(place.rank_levels),
                "distance_both": None if place is None else float(place.both),
                "rank_both": None if place is None else int(place.rank_both),
                "cut_off": cut_off.date(),
                "n_pandemic_quarters_in_window": n_inside,
                "n_pandemic_quarters_outside": len(in_pandemic) - n_inside,
            }
        )
    if not kept:
        return
    z = _standardised(means, window, [site.la_code, *candidates])
    for code in [site.la_code, *candidates]:
        changes = z.loc[code].diff()
        for quarter in means.columns:
            inside = quarter in window
            tables["la_match_series"].append(
                key
                | {
                    "la_code": code,
                    "quarter_start": quarter,
                    "n_children": int(counts.loc[code, quarter]),
                    "mean_value": _number(means.loc[code, quarter]),
                    "standard_error": _number(errors.loc[code, quarter]),
                    "z_value": _number(z.loc[code, quarter]) if inside else None,
                    "z_change": _number(changes[quarter]) if inside else None,
                    "is_in_distance": inside and quarter != window[0],
                    "is_in_window": inside,
                }
            )
    _evidence(tables, key, means, errors, counts, window, site.la_code, candidates, kept, distances)


def _standardised(means: pd.DataFrame, window: list[dt.date], codes: list[str]) -> pd.DataFrame:
    part = means.loc[codes, window]
    return ((part - part.mean()) / part.std(ddof=1).replace(0, np.nan)).fillna(0.0)


def _distances(
    means: pd.DataFrame, errors: pd.DataFrame, window: list[dt.date], treated: str, candidates: list[str]
) -> pd.DataFrame:
    z = _standardised(means, window, [treated, *candidates])
    spread = means.loc[[treated, *candidates], window].std(ddof=1).replace(0, np.nan)
    noise = (errors.loc[[treated, *candidates], window] / spread) ** 2
    of_change = (noise + noise.shift(1, axis=1)).iloc[:, 1:]
    gap = z - z.loc[treated]
    frame = pd.DataFrame(
        {
            "changes": np.sqrt((gap.diff(axis=1).iloc[:, 1:] ** 2).mean(axis=1)),
            "levels": np.sqrt((gap**2).mean(axis=1)),
            "noise": np.sqrt((of_change + of_change.loc[treated]).mean(axis=1)),
        }
    ).loc[candidates]
    frame["both"] = np.sqrt((frame.changes**2 + frame.levels**2) / 2)
    for column in ("changes", "levels", "both"):
        order = frame.assign(code=frame.index).sort_values([column, "code"]).index
        frame[f"rank_{column}"] = pd.Series(range(1, len(order) + 1), index=order)
    return frame.sort_values("rank_changes")


def _evidence(
    tables: dict[str, list[Row]],
    key: Row,
    means: pd.DataFrame,
    errors: pd.DataFrame,
    counts: pd.DataFrame,
    window: list[dt.date],
    treated: str,
    candidates: list[str],
    kept: list[str],
    distances: pd.DataFrame,
) -> None:
    nearest: dict[str, tuple[str, float]] = {}
    for code in candidates:
        others = [other for other in candidates if other != code]
        if others:
            found = _distances(means, errors, window, code, others)
            nearest[code] = (str(found.index[0]), float(found.changes.iloc[0]))
    by_evidence: dict[str, dict[str, float]] = {}
    for evidence in ("placebo_4", "placebo_8", "constant_gap"):
        by_evidence[evidence] = {}
        for code, (other, _) in nearest.items():
            statistic = _statistics(evidence, means, errors, counts, window, code, other)
            value = statistic["statistic" if evidence == "constant_gap" else "estimate"]
            if value is not None:
                by_evidence[evidence][code] = value
                shown = ("estimate", "std_error", "statistic", "df")
                tables["la_match_placebos"].append(
                    key
                    | {"placebo_la_code": code, "comparator_la_code": other, "evidence": evidence}
                    | {name: statistic[name] for name in shown}
                )
    for code, (other, distance) in nearest.items():
        tables["la_match_placebos"].append(
            key
            | {
                "placebo_la_code": code,
                "comparator_la_code": other,
                "evidence": "nearest_distance",
                "estimate": distance,
                "std_error": None,
                "statistic": None,
                "df": None,
            }
        )
    for comparator in kept:
        pair = key | {"comparator_la_code": comparator}
        for evidence, others_values in by_evidence.items():
            statistic = _statistics(evidence, means, errors, counts, window, treated, comparator)
            value = statistic["statistic" if evidence == "constant_gap" else "estimate"]
            extreme = [other for other in others_values.values() if value and abs(other) >= abs(value)]
            tables["la_pair_evidence"].append(
                pair
                | statistic
                | {
                    "evidence": evidence,
                    "n_placebos": len(others_values) if value is not None else 0,
                    "share_as_extreme": len(extreme) / len(others_values)
                    if value is not None and others_values
                    else None,
                }
            )
        distance = float(distances.loc[comparator, "changes"])
        farther = [other for _, other in nearest.values() if other >= distance]
        empty = {"n_quarters_before": 0, "n_quarters_after": 0, "placebo_date": None}
        tables["la_pair_evidence"].append(
            pair
            | empty
            | {
                "evidence": "distance",
                "status": "computed",
                "estimate": distance,
                "n_placebos": len(nearest),
                "share_as_extreme": len(farther) / len(nearest) if nearest else None,
            }
        )
        tables["la_pair_evidence"].append(
            pair
            | empty
            | {
                "evidence": "leads",
                "status": "not computable",
                "n_placebos": 0,
                "note": "two clusters allow no cluster-robust test; the test over all matched groups stands beside it",
            }
        )


def _statistics(
    evidence: str,
    means: pd.DataFrame,
    errors: pd.DataFrame,
    counts: pd.DataFrame,
    window: list[dt.date],
    treated: str,
    comparator: str,
) -> Row:
    empty: Row = dict.fromkeys(
        ("placebo_date", "estimate", "std_error", "statistic", "df", "p_value", "note")
    )
    if evidence == "constant_gap":
        gap = (means.loc[treated, window] - means.loc[comparator, window]).to_numpy(float)
        variance = (errors.loc[treated, window] ** 2 + errors.loc[comparator, window] ** 2).to_numpy(float)
        variance = np.where(variance > 0, variance, np.nan)
        weights = 1 / variance
        statistic = float(np.nansum(weights * (gap - np.nansum(weights * gap) / np.nansum(weights)) ** 2))
        df = len(window) - 1
        return empty | {
            "status": "computed",
            "n_quarters_before": len(window),
            "n_quarters_after": 0,
            "statistic": statistic,
            "df": float(df),
            "p_value": float(stats.chi2.sf(statistic, df)),
        }
    n_after = int(evidence.split("_")[1])
    columns = list(means.columns)
    placebo_date = (pd.Timestamp(window[-1]) + pd.DateOffset(months=3 - 3 * n_after)).date()
    before, after = (
        [c for c in columns if c < placebo_date],
        [c for c in columns if c >= placebo_date],
    )
    base = empty | {
        "placebo_date": placebo_date,
        "n_quarters_before": len(before),
        "n_quarters_after": len(after),
    }
    if min(len(before), len(after)) < PLACEBO_QUARTERS_MIN:
        return base | {
            "status": "not computable",
            "note": f"{len(before)} full quarters of data before the placebo date, {PLACEBO_QUARTERS_MIN} are needed",
        }
    estimate, variance = 0.0, 0.0
    for code, arm in ((treated, 1), (comparator, -1)):
        for quarters, side in ((after, 1), (before, -1)):
            weight = counts.loc[code, quarters].to_numpy(float)
            weight = weight / weight.sum()
            estimate += (
                arm * side * float((weight * means.loc[code, quarters].fillna(0).to_numpy(float)).sum())
            )
            variance += float((weight**2 * errors.loc[code, quarters].fillna(0).to_numpy(float) ** 2).sum())
    error = float(np.sqrt(variance))
    return base | {
        "status": "computed",
        "estimate": estimate,
        "std_error": error,
        "statistic": estimate / error if error else None,
        "p_value": float(2 * stats.norm.sf(abs(estimate / error))) if error else None,
    }


def _checks(outcome: Outcome) -> list[Row]:
    base = {"outcome": outcome.outcome, "n_clusters": 10, "n_treated_clusters": 5, "n_observations": 4000}
    scale = 0.01 if outcome.kind == "binary" else 1.0
    return [
        base
        | {
            "assumption": "parallel_trends",
            "check_name": "placebo_4",
            "term": "treated_after_placebo",
            "status": "computed",
            "estimate": 0.4 * scale,
            "std_error": 0.9 * scale,
            "statistic": 0.44,
            "df": 5.2,
            "p_value": 0.68,
            "ci_low": -1.9 * scale,
            "ci_high": 2.7 * scale,
            "inference": "cr2_satterthwaite",
        },
        base
        | {
            "assumption": "parallel_trends",
            "check_name": "placebo_8",
            "term": "treated_after_placebo",
            "status": "not computable",
            "note": "fewer than 4 quarters before the placebo date",
        },
        base
        | {
            "assumption": "parallel_trends",
            "check_name": "leads",
            "term": "joint",
            "status": "computed",
            "statistic": 1.3,
            "df_numerator": 2.0,
            "df": 4.1,
            "p_value": 0.37,
            "n_restrictions": 2,
            "inference": "cr2_htz",
        },
        base
        | {
            "assumption": "common_shocks",
            "check_name": "pandemic_restrictions",
            "term": "shock_x_treated",
            "status": "computed",
            "estimate": -1.1 * scale,
            "std_error": 1.2 * scale,
            "statistic": -0.92,
            "df": 4.8,
            "p_value": 0.4,
            "ci_low": -4.2 * scale,
            "ci_high": 2.0 * scale,
            "inference": "cr2_satterthwaite",
        },
    ]


def _is_pandemic(quarter: pd.Timestamp) -> bool:
    end = quarter + pd.DateOffset(months=3) - pd.DateOffset(days=1)
    return bool(quarter.date() <= PANDEMIC[1] and end.date() >= PANDEMIC[0])


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
