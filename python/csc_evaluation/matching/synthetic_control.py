"""Weights of comparator authorities whose weighted mean follows a treated authority before its cut-off.

Source: Abadie, Diamond and Hainmueller (2010), Journal of the American Statistical Association 105: 493-505, section
2.3; the quarters count by the inverse of their variance (Abadie 2021, Journal of Economic Literature 59: 391-425,
section 3.2), which needs no search and so gives the same weights every time. Computed by ``diff_diff``.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from csc_evaluation.errors import CscError, MissingQuarterError

NEGLIGIBLE_WEIGHT = 1e-6
"""Weights below this are none: the comparator is no member of the group."""
LEAST_QUARTERS = 2


def synthetic_control_weights(
    series: pd.DataFrame, treated_la_code: str, *, value: str = "mean_value"
) -> dict[str, float]:
    """Weights of the comparators of one treated authority: none negative, together 1.

    Only what happened before the cut-off may enter, so pass the quarters of the matching window (or all quarters from
    the start of the data to its last) and nothing later. Level and trend are matched together; for changes alone pass
    a ``value`` that is centred by authority. The order of rows does not matter.

    Args:
        series: a row per authority and quarter with the columns ``la_code``, ``quarter_start`` and ``value``: the
            treated authority and its candidates, each with every quarter.
        treated_la_code: the treated authority; every other authority of ``series`` is a candidate.
        value: the column to match on, for example ``mean_value`` or ``z_value``.

    Returns:
        A weight for every candidate, by authority code in order; exactly 0 where it does not contribute
        (``match_children`` takes such a comparator for no member of the group).

    Raises:
        MissingQuarterError: an authority lacks a quarter, or there are fewer than two quarters.
        CscError: the treated authority or every candidate is absent from ``series``.

    Example:
        >>> quarters = ["2018-01-01", "2018-04-01", "2018-07-01"]
        >>> series = pd.DataFrame(
        ...     [("335", q, y) for q, y in zip(quarters, (0.10, 0.20, 0.30))]
        ...     + [("202", q, y) for q, y in zip(quarters, (0.05, 0.15, 0.25))]
        ...     + [("203", q, y) for q, y in zip(quarters, (0.15, 0.25, 0.35))],
        ...     columns=["la_code", "quarter_start", "mean_value"],
        ... )
        >>> {code: round(weight, 6) for code, weight in synthetic_control_weights(series, "335").items()}
        {'202': 0.5, '203': 0.5}
    """
    wide = series.pivot(index="quarter_start", columns="la_code", values=value).astype(float).sort_index()
    wide = wide.reindex(sorted(wide.columns), axis="columns")
    if treated_la_code not in wide.columns:
        raise CscError(f"synthetic control: the series hold no authority {treated_la_code}.")
    candidates = [code for code in wide.columns if code != treated_la_code]
    if not candidates:
        raise CscError(f"synthetic control: {treated_la_code} has no candidate.")
    incomplete = [code for code in wide.columns if wide[code].isna().any()]
    if incomplete or len(wide) < LEAST_QUARTERS:
        raise MissingQuarterError(
            f"synthetic control for {treated_la_code}: "
            + (
                f"a quarter is missing for {', '.join(incomplete)}."
                if incomplete
                else f"there are {len(wide)} quarters; {LEAST_QUARTERS} are the fewest that can be matched on."
            )
        )
    # A quarter in which all are alike says nothing about whom to choose (and has no inverse variance).
    informative = wide[wide.max(axis=1) > wide.min(axis=1)]
    if len(candidates) == 1 or informative.empty:
        return {code: 1.0 / len(candidates) for code in candidates}
    found = _donor_weights(informative, treated_la_code)
    kept = {code: weight for code in candidates if (weight := found.get(code, 0.0)) > NEGLIGIBLE_WEIGHT}
    total = sum(kept.values())
    return {code: kept.get(code, 0.0) / total for code in candidates}


def _donor_weights(wide: pd.DataFrame, treated_la_code: str) -> dict[str, float]:
    # diff_diff is slow to import, and most runs have no synthetic control.
    from diff_diff import SyntheticControl

    before = wide.to_numpy().T
    n_authorities, n_quarters = before.shape
    # The estimator asks for a period after treatment. Weights see only those before it, so it may hold anything.
    values = np.column_stack([before, before[:, -1]])
    panel = pd.DataFrame(
        {
            "la_code": np.repeat(wide.columns.to_numpy(), n_quarters + 1),
            "period": np.tile(np.arange(n_quarters + 1), n_authorities),
            "outcome": values.ravel(),
        }
    )
    panel["is_treated"] = ((panel.la_code == treated_la_code) & (panel.period == n_quarters)).astype(int)
    with warnings.catch_warnings():
        # How well the weighted mean fits is for the reader of the two series to see, beside every other match.
        warnings.filterwarnings("ignore", message="Pre-treatment fit is poor", category=UserWarning)
        fitted = SyntheticControl(v_method="inverse_variance").fit(
            panel, outcome="outcome", treatment="is_treated", unit="la_code", time="period"
        )
    return {str(code): float(weight) for code, weight in fitted.donor_weights.items()}
