"""Weighted least squares on compressed rows, with what cluster-robust inference needs kept per cluster.

Rows that agree in cluster, regressors and weight are one *cell*: their number and the sum of their outcomes are all
that the estimates, CR1 and CR2 depend on (:mod:`csc_evaluation.estimation.inference` says why), so a cell of a
million children costs as much as a cell of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csc_evaluation.errors import CscError

Array = NDArray[np.float64]

COLLINEARITY_TOLERANCE = 1e-9
"""A column is collinear with those before it when what they leave of it is shorter than this share of it."""


class NotIdentifiedError(CscError):
    """The effect cannot be told apart from the other regressors in this sample."""


def not_identified(column: str) -> str:
    """What to say of a column that is a combination of the others."""
    return (
        f"the effect ({column}) cannot be estimated: in the matched children it is a combination of the fixed effects "
        "and covariates. It needs treated authorities observed both before and after go-live."
    )


@dataclass(frozen=True)
class CompressedSample:
    """Cells of a regression: ``C`` cells, ``K`` columns.

    Attributes:
        columns: names of the ``K`` columns, in order of precedence: of collinear columns the later is dropped.
        x: ``(C, K)`` regressors, the intercept and all dummies among them.
        weight: ``(C,)`` weight of each row of the cell, above 0; their scale does not matter.
        n_rows: ``(C,)`` number of rows in each cell, at least 1.
        sum_y: ``(C,)`` sum of the outcome over the rows of the cell.
        cluster: ``(C,)`` number of each cell's cluster, an index into ``cluster_names``.
        cluster_names: names of the clusters.
    """

    columns: tuple[str, ...]
    x: Array
    weight: Array
    n_rows: NDArray[np.int64]
    sum_y: Array
    cluster: NDArray[np.int64]
    cluster_names: tuple[str, ...]


@dataclass(frozen=True)
class ClusterFactor:
    """One cluster's rows in an orthonormal basis that holds the span of ``[X, WX]``; ``r`` at most twice the columns used.

    ``x`` and ``wx`` are ``(r, K)``, ``y`` is ``(r,)``: inner products among columns of ``X`` and ``WX`` and with ``y``
    are those of the rows themselves.
    """

    x: Array
    wx: Array
    y: Array


@dataclass(frozen=True)
class LinearFit:
    """A weighted least squares fit.

    Attributes:
        columns: the columns kept; dropped: names of those left out as collinear, in order.
        coefficients: ``(K,)`` in the units of the columns as given.
        root: ``(K, K)`` upper triangular ``R`` with ``R'R = X'WX`` for columns scaled by ``scale`` and weights of mean 1.
        scale: ``(K,)`` what each column was divided by.
        factors: one :class:`ClusterFactor` per cluster, of the scaled columns.
        n_rows: number of rows (children), ``N``; clusters: their names, ``G`` of them.
    """

    columns: tuple[str, ...]
    dropped: tuple[str, ...]
    coefficients: Array
    root: Array
    scale: Array
    factors: tuple[ClusterFactor, ...]
    n_rows: int
    clusters: tuple[str, ...]

    def coefficient(self, term: str) -> float:
        """Estimate of one column."""
        return float(self.coefficients[self.columns.index(term)])


def weighted_least_squares(sample: CompressedSample, *, required: Sequence[str] = ()) -> LinearFit:
    """Minimise the weighted sum of squared residuals over the rows behind the cells.

    Solved by orthogonal factors throughout (never by normal equations), cluster by cluster. Of a set of collinear
    columns the first in ``sample.columns`` stay; those named in ``required`` come last in that order, so that a
    column needed for the question is never kept at the cost of the fixed effects that make it meaningless.

    Args:
        sample: the cells.
        required: columns that must not be collinear with the others.

    Raises:
        NotIdentifiedError: a required column is a combination of the others, or there are no rows.

    Example:
        >>> import numpy as np
        >>> sample = CompressedSample(
        ...     columns=("one", "x"), x=np.array([[1.0, 0.0], [1.0, 1.0]]), weight=np.array([1.0, 1.0]),
        ...     n_rows=np.array([2, 2]), sum_y=np.array([1.0, 2.0]), cluster=np.array([0, 1]),
        ...     cluster_names=("a", "b"))
        >>> round(weighted_least_squares(sample).coefficient("x"), 12)
        0.5
    """
    if len(sample.n_rows) == 0:
        raise NotIdentifiedError("there is no matched child to estimate from.")
    order = precedence(sample.columns, required)
    names = [sample.columns[j] for j in order]
    n_rows = int(sample.n_rows.sum())
    weight = sample.weight / (float(sample.weight @ sample.n_rows) / n_rows)
    root_n = np.sqrt(sample.n_rows.astype(np.float64))
    scale = _column_scale(sample.x[:, order], weight * sample.n_rows)
    x = sample.x[:, order] / scale

    members = [np.flatnonzero(sample.cluster == g) for g in range(len(sample.cluster_names))]
    weighted_root = _stacked_root([(np.sqrt(weight[m]) * root_n[m])[:, None] * x[m] for m in members])
    kept = _independent_columns(weighted_root)
    dropped = dropped_columns(names, kept, required)
    x, scale = x[:, kept], scale[kept]
    columns = tuple(names[j] for j in kept)

    factors = tuple(
        _cluster_factor(root_n[m, None] * x[m], weight[m], sample.sum_y[m] / root_n[m]) for m in members
    )
    root = _stacked_root([(np.sqrt(weight[m]) * root_n[m])[:, None] * x[m] for m in members])
    score = np.zeros(len(columns))
    for factor in factors:
        score += factor.wx.T @ factor.y
    solution = _solve_upper(root, _solve_lower(root, score))
    return LinearFit(
        columns=columns,
        dropped=dropped,
        coefficients=solution / scale,
        root=root,
        scale=scale,
        factors=factors,
        n_rows=n_rows,
        clusters=sample.cluster_names,
    )


def precedence(columns: Sequence[str], required: Sequence[str]) -> list[int]:
    """Positions of the columns in the order in which they are kept where they are collinear: those in question last.

    Example:
        >>> precedence(("one", "treated", "age"), ("treated",))
        [0, 2, 1]
    """
    return sorted(range(len(columns)), key=lambda j: (columns[j] in required, j))


def dropped_columns(names: Sequence[str], kept: Sequence[int], required: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns that are not kept.

    Raises:
        NotIdentifiedError: a required column is one of them.
    """
    dropped = tuple(name for j, name in enumerate(names) if j not in set(kept))
    for name in required:
        if name in dropped:
            raise NotIdentifiedError(not_identified(name))
    return dropped


def _column_scale(x: Array, mass: Array) -> Array:
    length = np.sqrt(mass @ (x * x) / mass.sum())
    return np.where(length > 0, length, 1.0)


def _stacked_root(blocks: list[Array]) -> Array:
    """``R`` of the stacked blocks, one block at a time (Golub and Van Loan, sequential QR), diagonal not negative."""
    roots = [_triangle(block) for block in blocks if len(block)]
    root = _triangle(np.vstack(roots))
    if root.shape[0] < root.shape[1]:
        root = np.vstack([root, np.zeros((root.shape[1] - root.shape[0], root.shape[1]))])
    sign = np.where(np.diag(root) < 0, -1.0, 1.0)
    return root * sign[:, None]


def _triangle(block: Array) -> Array:
    return np.asarray(np.linalg.qr(block, mode="r"), dtype=np.float64)


def _independent_columns(root: Array) -> list[int]:
    """First columns that are not combinations of those before them, by Gram-Schmidt done twice on ``R``."""
    kept: list[int] = []
    basis = np.zeros((root.shape[0], 0))
    for j in range(root.shape[1]):
        column = root[:, j]
        length = float(np.linalg.norm(column))
        rest = column - basis @ (basis.T @ column)
        rest = rest - basis @ (basis.T @ rest)
        left = float(np.linalg.norm(rest))
        if length > 0 and left > COLLINEARITY_TOLERANCE * length:
            kept.append(j)
            basis = np.column_stack([basis, rest / left])
    return kept


def _cluster_factor(x: Array, weight: Array, y: Array) -> ClusterFactor:
    k = x.shape[1]
    if len(x) == 0:
        return ClusterFactor(np.zeros((0, k)), np.zeros((0, k)), np.zeros(0))
    # Columns that are zero throughout the cluster (dummies of other authorities) add nothing to the span.
    used = np.flatnonzero((x != 0.0).any(axis=0))
    own = x[:, used]
    basis, triangle = np.linalg.qr(np.column_stack([own, weight[:, None] * own]))
    on_x, on_wx = np.zeros((len(triangle), k)), np.zeros((len(triangle), k))
    on_x[:, used], on_wx[:, used] = triangle[:, : len(used)], triangle[:, len(used) :]
    return ClusterFactor(on_x, on_wx, basis.T @ y)


def _solve_upper(root: Array, right: Array) -> Array:
    from scipy.linalg import solve_triangular

    return np.asarray(solve_triangular(root, right, lower=False))


def _solve_lower(root: Array, right: Array) -> Array:
    from scipy.linalg import solve_triangular

    return np.asarray(solve_triangular(root, right, trans="T", lower=False))
