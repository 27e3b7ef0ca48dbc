"""Breusch-Godfrey's test for serial correlation within authorities.

Residuals of authority-quarters stand one authority below the other. A test written for one series, such as that of
``statsmodels``, takes the whole stack as a series: the last quarters of one authority become lags of the first quarters of
the next, and a quarter that is not there goes unnoticed. Here a lag is the residual of the same authority so many quarters
before, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.linear import Array

RANK_TOLERANCE = 1e-9
"""A direction that regressors leave less than this share of counts as one of theirs."""


@dataclass(frozen=True)
class BreuschGodfrey:
    """A test that residuals do not go with their own past.

    Attributes:
        lags: lags tested together, the degrees of freedom of the chi-squared distribution.
        statistic: ``n R^2`` of the auxiliary regression; p_value: its upper tail.
        r_squared: centred; n_rows: ``n``, residuals; n_clusters: authorities.
        n_missing_lags: for each lag, how many residuals have none and take zero for it.
        lag_coefficients: coefficients of the lags in the auxiliary regression, the nearest first.
    """

    lags: int
    statistic: float
    p_value: float
    r_squared: float
    n_rows: int
    n_clusters: int
    n_missing_lags: tuple[int, ...]
    lag_coefficients: tuple[float, ...]


def quarter_number(quarter_start: pd.Series) -> NDArray[np.int64]:
    """Quarters as whole numbers that differ by one from quarter to quarter.

    Example:
        >>> import datetime as dt
        >>> quarter_number(pd.Series([dt.date(2019, 10, 1), dt.date(2020, 1, 1), dt.date(2020, 7, 1)])).tolist()
        [8079, 8080, 8082]
    """
    dates = pd.to_datetime(quarter_start)
    return np.asarray(4 * dates.dt.year + dates.dt.quarter - 1, dtype=np.int64)


def breusch_godfrey(
    residuals: Array,
    cluster: NDArray[Any],
    period: NDArray[np.signedinteger[Any]],
    *,
    lags: int,
    regressors: Array | None = None,
) -> BreuschGodfrey:
    """Regress residuals on their lags within the authority and on the regressors; ``n R^2`` is chi-squared on ``lags``.

    Lags that the authority does not have (its first quarters, and those after a gap) are zero, as is usual. An intercept is
    always among the regressors and ``R^2`` is centred. On a single series without gaps this is
    ``statsmodels.stats.diagnostic.acorr_breusch_godfrey``; that function takes a stacked panel for one series and would carry
    lags across its seams, hence this one.

    With dummies of authority and few quarters it flags too often: residuals from an authority's own mean go with their past
    (about ``-1/T``) even if the errors do not, and ``n`` makes no allowance for the dummies. ``docs/inference/breusch_godfrey.md``
    has numbers.

    Sources: Breusch (1978), Australian Economic Papers 17: 334-355; Godfrey (1978), Econometrica 46: 1293-1301; definitions,
    section 9.

    Args:
        residuals: ``(n,)`` one per authority and quarter, in any order.
        cluster: ``(n,)`` the authority.
        period: ``(n,)`` whole number of the quarter (:func:`quarter_number`).
        lags: how many lags, the definitions take 1 to 4.
        regressors: ``(n, K)`` columns of the regression the residuals are of (dummies of authority and quarter, treatment);
            collinear ones do no harm.

    Raises:
        CscError: ``lags`` is below 1, an authority has a quarter twice, the residuals do not vary or are not numbers, or
            the lags cannot be told apart from each other and the regressors.

    Example:
        >>> found = breusch_godfrey(np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]), np.array(list("aaabbb")),
        ...     np.array([0, 1, 2, 0, 1, 2]), lags=1)
        >>> found.n_missing_lags, round(found.statistic, 4)
        ((2,), 4.0)
    """
    residuals = np.asarray(residuals, dtype=np.float64)
    if lags < 1:
        raise CscError(f"Breusch-Godfrey needs at least one lag, not {lags}.")
    if not np.isfinite(residuals).all():
        raise CscError("Breusch-Godfrey: some residuals are not numbers.")
    _, number = np.unique(np.asarray(cluster), return_inverse=True)
    lagged, is_present = _lagged(residuals, number, np.asarray(period, dtype=np.int64), lags)
    n_rows = len(residuals)
    spread = residuals - residuals.mean() if n_rows else residuals
    total = float(spread @ spread)
    if not total > 0:
        raise CscError("Breusch-Godfrey: the residuals do not vary, so that nothing can go with their past.")
    base = np.ones((n_rows, 1))
    if regressors is not None:
        base = np.column_stack([base, np.asarray(regressors, dtype=np.float64)])
    basis = _basis(base)
    rest_lagged, rest = _without(basis, lagged), _without(basis, residuals[:, None])[:, 0]
    length = np.linalg.norm(lagged, axis=0)
    if _rank(rest_lagged / np.where(length > 0, length, 1.0)) < lags:
        raise CscError(
            f"Breusch-Godfrey with {lags} lag{'' if lags == 1 else 's'}: {n_rows} authority-quarters are too few to tell the lags "
            "from each other and from the regressors. Take fewer lags, or authorities with more quarters."
        )
    coefficients = np.linalg.lstsq(rest_lagged, rest, rcond=None)[0]
    left = rest - rest_lagged @ coefficients
    r_squared = 1.0 - float(left @ left) / total
    statistic = n_rows * r_squared
    return BreuschGodfrey(
        lags=lags,
        statistic=statistic,
        p_value=float(stats.chi2.sf(statistic, lags)),
        r_squared=r_squared,
        n_rows=n_rows,
        n_clusters=int(number.max()) + 1,
        n_missing_lags=tuple(int(n_rows - column.sum()) for column in is_present.T),
        lag_coefficients=tuple(float(value) for value in coefficients),
    )


def _lagged(
    residuals: Array, number: NDArray[np.signedinteger[Any]], period: NDArray[np.int64], lags: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Residuals of the same authority 1 to ``lags`` quarters before, zero where there is none, and where there is one."""
    keys = list(zip(number.tolist(), period.tolist(), strict=True))
    row_of = {key: row for row, key in enumerate(keys)}
    if len(row_of) < len(keys):
        raise CscError("Breusch-Godfrey: an authority has more than one residual in a quarter.")
    lagged = np.zeros((len(keys), lags))
    is_present = np.zeros((len(keys), lags), dtype=np.bool_)
    for row, (authority, quarter) in enumerate(keys):
        for lag in range(1, lags + 1):
            before = row_of.get((authority, quarter - lag))
            if before is not None:
                lagged[row, lag - 1], is_present[row, lag - 1] = residuals[before], True
    return lagged, is_present


def _basis(columns: Array) -> Array:
    """An orthonormal basis of what the columns span."""
    length = np.linalg.norm(columns, axis=0)
    left, values, _ = np.linalg.svd(columns / np.where(length > 0, length, 1.0), full_matrices=False)
    return np.asarray(left[:, values > RANK_TOLERANCE * values[0]])


def _without(basis: Array, columns: Array) -> Array:
    rest = columns - basis @ (basis.T @ columns)
    return np.asarray(rest - basis @ (basis.T @ rest))


def _rank(columns: Array) -> int:
    return int((np.linalg.svd(columns, compute_uv=False) > RANK_TOLERANCE).sum())
