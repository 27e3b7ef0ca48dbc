"""Least squares from moments kept per cluster: all a linear model and its cluster-robust inference need.

For cluster ``g`` with regressors ``X_g``, weights ``W_g`` and outcome ``y_g`` these are ``X'X``, ``X'WX``, ``X'W^2 X``,
``X'y``, ``X'Wy`` and ``y'Wy``. They are of order ``K^2``, whatever the number of children, and are added up from counts of
pairs of levels, so that a million children cost what their levels cost. :func:`least_squares_of_moments` gives the same
:class:`~csc_evaluation.estimation.linear.LinearFit` as :func:`~csc_evaluation.estimation.linear.weighted_least_squares`
on the rows, and every inference of :mod:`csc_evaluation.estimation.inference` takes it.

Moments square the condition of the columns. Continuous columns are therefore measured from their mean, columns are scaled,
and directions that the moments cannot tell from rounding are left out; tests hold the answers against rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from csc_evaluation.estimation.linear import (
    Array,
    ClusterFactor,
    CompressedSample,
    LinearFit,
    NotIdentifiedError,
    dropped_columns,
    precedence,
)

COLLINEARITY_TOLERANCE = 1e-11
"""A column is collinear with those before it when what they leave of its squared length is below this share of it."""
RANK_TOLERANCE = 1e-11
"""Eigenvalues of a cluster's scaled moments below this share of the largest are rounding."""


@dataclass(frozen=True)
class UnitSums:
    """Sums over units within clusters (authority-quarters), for quasi-demeaning; ``U`` units in order of cluster.

    Attributes:
        cluster: ``(U,)`` number of each unit's cluster.
        n_rows, sum_w, sum_ww: ``(U,)`` rows, and sums of weights and their squares.
        x, wx, wwx: ``(U, K)`` sums over the unit's rows of the regressors, times weight, times squared weight.
        y, wy: ``(U,)`` sums of the outcome, and times weight.
        wwy: ``(U,)`` sums of the outcome times squared weight.
    """

    cluster: NDArray[np.int64]
    n_rows: Array
    sum_w: Array
    sum_ww: Array
    x: Array
    wx: Array
    wwx: Array
    y: Array
    wy: Array
    wwy: Array

    def grouped(self, unit: NDArray[np.signedinteger[Any]]) -> UnitSums:
        """The sums of larger units; ``unit`` is ``(U,)``, numbers from 0, each larger unit within one cluster."""
        n_units = int(unit.max()) + 1 if len(unit) else 0

        def added(values: Array) -> Array:
            total = np.zeros((n_units, *values.shape[1:]))
            np.add.at(total, unit, values)
            return total

        cluster = np.zeros(n_units, dtype=np.int64)
        cluster[unit] = self.cluster
        sums = {
            field.name: added(getattr(self, field.name)) for field in fields(self) if field.name != "cluster"
        }
        return UnitSums(cluster=cluster, **sums)


@dataclass(frozen=True)
class ClusterMoments:
    """Moments of a regression by cluster: ``G`` clusters, ``K`` columns. The scale of the weights does not matter.

    Attributes:
        columns: names of the columns, in order of precedence: of collinear columns the later is dropped.
        cluster_names: names of the clusters.
        n_rows: ``(G,)`` rows of each cluster.
        sum_w: ``(G,)`` sum of their weights.
        xx, xwx, xwwx: ``(G, K, K)`` the moments ``X'X``, ``X'WX`` and ``X'W^2 X``.
        xy, xwy: ``(G, K)`` the moments ``X'y`` and ``X'Wy``.
        ywy: ``(G,)`` the moment ``y'Wy``.
        n_distinct_rows: ``N`` of small-sample corrections, where rows stand more than once (stacked groups).
    """

    columns: tuple[str, ...]
    cluster_names: tuple[str, ...]
    n_rows: NDArray[np.int64]
    sum_w: Array
    xx: Array
    xwx: Array
    xwwx: Array
    xy: Array
    xwy: Array
    ywy: Array
    n_distinct_rows: int | None = None

    @property
    def n_observations(self) -> int:
        """``N`` of small-sample corrections: distinct rows."""
        return int(self.n_rows.sum()) if self.n_distinct_rows is None else self.n_distinct_rows

    def without_cluster(self, number: int) -> ClusterMoments:
        """The same without one cluster."""
        return self.of_clusters([g for g in range(len(self.cluster_names)) if g != number])

    def of_clusters(self, numbers: Sequence[int]) -> ClusterMoments:
        """The moments of some clusters only (``n_distinct_rows`` is then not known and rows are counted)."""
        keep = list(numbers)
        return ClusterMoments(
            columns=self.columns,
            cluster_names=tuple(self.cluster_names[g] for g in keep),
            n_rows=self.n_rows[keep],
            sum_w=self.sum_w[keep],
            xx=self.xx[keep],
            xwx=self.xwx[keep],
            xwwx=self.xwwx[keep],
            xy=self.xy[keep],
            xwy=self.xwy[keep],
            ywy=self.ywy[keep],
        )

    def of_columns(self, names: Sequence[str]) -> ClusterMoments:
        """The moments of some columns only, in the order given."""
        at = np.array([self.columns.index(name) for name in names])
        return ClusterMoments(
            columns=tuple(names),
            cluster_names=self.cluster_names,
            n_rows=self.n_rows,
            sum_w=self.sum_w,
            xx=self.xx[:, at[:, None], at],
            xwx=self.xwx[:, at[:, None], at],
            xwwx=self.xwwx[:, at[:, None], at],
            xy=self.xy[:, at],
            xwy=self.xwy[:, at],
            ywy=self.ywy,
            n_distinct_rows=self.n_distinct_rows,
        )


def moments_of_rows(sample: CompressedSample, sum_yy: Array | None = None) -> ClusterMoments:
    """Moments of dense cells, for samples that are small already and as a reference in tests.

    Args:
        sample: the cells.
        sum_yy: ``(C,)`` sums of squared outcomes of the cells; without them each row of a cell has the cell's mean.
    """
    n_clusters, k = len(sample.cluster_names), len(sample.columns)
    n = sample.n_rows.astype(np.float64)
    squares = sample.sum_y**2 / n if sum_yy is None else sum_yy
    xx, xwx, xwwx = (np.zeros((n_clusters, k, k)) for _ in range(3))
    xy, xwy = np.zeros((n_clusters, k)), np.zeros((n_clusters, k))
    n_rows, sum_w, ywy = np.zeros(n_clusters, dtype=np.int64), np.zeros(n_clusters), np.zeros(n_clusters)
    for g in range(n_clusters):
        m = np.flatnonzero(sample.cluster == g)
        x, w = sample.x[m], sample.weight[m]
        xx[g] = x.T @ (n[m, None] * x)
        xwx[g] = x.T @ ((n[m] * w)[:, None] * x)
        xwwx[g] = x.T @ ((n[m] * w * w)[:, None] * x)
        xy[g], xwy[g] = x.T @ sample.sum_y[m], x.T @ (w * sample.sum_y[m])
        n_rows[g], sum_w[g], ywy[g] = sample.n_rows[m].sum(), w @ n[m], w @ squares[m]
    return ClusterMoments(sample.columns, sample.cluster_names, n_rows, sum_w, xx, xwx, xwwx, xy, xwy, ywy)


def unit_sums_of_rows(sample: CompressedSample, unit: NDArray[np.signedinteger[Any]]) -> UnitSums:
    """Sums over units of dense cells; ``unit`` is ``(C,)``, numbers from 0, each unit within one cluster."""
    n, w, x, y = sample.n_rows.astype(np.float64), sample.weight, sample.x, sample.sum_y
    of_cells = UnitSums(
        cluster=sample.cluster,
        n_rows=n,
        sum_w=n * w,
        sum_ww=n * w * w,
        x=n[:, None] * x,
        wx=(n * w)[:, None] * x,
        wwx=(n * w * w)[:, None] * x,
        y=y,
        wy=w * y,
        wwy=w * w * y,
    )
    return of_cells.grouped(unit)


def least_squares_of_moments(moments: ClusterMoments, *, required: Sequence[str] = ()) -> LinearFit:
    """Minimise the weighted sum of squared residuals over the rows behind the moments.

    Of a set of collinear columns the first stay; those named in ``required`` come last, so that a column needed for the
    question is never kept at the cost of the fixed effects that make it meaningless.

    Args:
        moments: the moments by cluster.
        required: columns that must not be collinear with the others.

    Raises:
        NotIdentifiedError: a required column is a combination of the others, or there are no rows.

    Example:
        >>> import numpy as np
        >>> from csc_evaluation.estimation.linear import CompressedSample
        >>> sample = CompressedSample(
        ...     columns=("one", "x"), x=np.array([[1.0, 0.0], [1.0, 1.0]]), weight=np.array([1.0, 1.0]),
        ...     n_rows=np.array([2, 2]), sum_y=np.array([1.0, 2.0]), cluster=np.array([0, 1]),
        ...     cluster_names=("a", "b"))
        >>> round(least_squares_of_moments(moments_of_rows(sample)).coefficient("x"), 12)
        0.5
    """
    total_rows = int(moments.n_rows.sum())
    if total_rows == 0:
        raise NotIdentifiedError("there is no matched child to estimate from.")
    order = precedence(moments.columns, required)
    names = [moments.columns[j] for j in order]
    rescale = total_rows / float(moments.sum_w.sum())
    at = np.array(order)
    gram = moments.xwx.sum(axis=0)[at[:, None], at] * rescale
    length = np.sqrt(np.diag(gram) / total_rows)
    scale = np.where(length > 0, length, 1.0)
    gram = gram / np.outer(scale, scale)
    kept = independent_columns(gram)
    dropped = dropped_columns(names, kept, required)
    columns = tuple(names[j] for j in kept)
    scale, at = scale[kept], at[kept]
    root = np.linalg.cholesky(gram[np.ix_(kept, kept)], upper=True)
    score = moments.xwy[:, at].sum(axis=0) * rescale / scale
    solution = solve_triangular(root, solve_triangular(root, score, trans="T"))
    # One step of refinement takes back what squaring the condition cost.
    rest = score - gram[np.ix_(kept, kept)] @ solution
    solution = solution + solve_triangular(root, solve_triangular(root, rest, trans="T"))
    outer = np.outer(scale, scale)
    factors = tuple(
        _factor(
            moments.xx[g][at[:, None], at] / outer,
            moments.xwx[g][at[:, None], at] * rescale / outer,
            moments.xwwx[g][at[:, None], at] * rescale**2 / outer,
            moments.xy[g][at] / scale,
            moments.xwy[g][at] * rescale / scale,
        )
        for g in range(len(moments.cluster_names))
    )
    return LinearFit(
        columns=columns,
        dropped=dropped,
        coefficients=solution / scale,
        root=np.asarray(root),
        scale=scale,
        factors=factors,
        n_rows=moments.n_observations,
        clusters=moments.cluster_names,
    )


def residual_sum_of_squares(moments: ClusterMoments, coefficients: Array, columns: Sequence[str]) -> float:
    """``e'We`` at given coefficients of some columns, the others zero; in the units of the weights as given."""
    at = np.array([moments.columns.index(name) for name in columns])
    gram = moments.xwx.sum(axis=0)[at[:, None], at]
    score = moments.xwy.sum(axis=0)[at]
    return float(moments.ywy.sum() - 2 * coefficients @ score + coefficients @ gram @ coefficients)


def independent_columns(gram: Array, reference: Array | None = None) -> list[int]:
    """First columns that are not combinations of those before them, from their moments.

    Args:
        gram: ``(K, K)`` moments.
        reference: ``(K,)`` squared lengths against which a column counts as nothing; default its own.
    """
    k = len(gram)
    reference = np.diag(gram).copy() if reference is None else reference
    rest = gram.copy()
    kept: list[int] = []
    for j in range(k):
        left = rest[j, j]
        if reference[j] > 0 and left > COLLINEARITY_TOLERANCE * reference[j]:
            kept.append(j)
            pivot = rest[j, j:] / np.sqrt(left)
            rest[j:, j:] -= np.outer(pivot, pivot)
    return kept


def within_columns(moments: ClusterMoments, within: ClusterMoments) -> list[int]:
    """Columns that the within transformation leaves varying, without those collinear with earlier ones.

    Held against its length before, a column that does not vary within units is none, although it leaves rounding.

    Args:
        moments: moments of the rows.
        within: the same with the means of the units taken out (:func:`quasi_demeaned` with ``theta = 1``).
    """
    before = np.diag(moments.xwx.sum(axis=0))
    scale = np.where(before > 0, np.sqrt(before), 1.0)
    return independent_columns(within.xwx.sum(axis=0) / np.outer(scale, scale), reference=before / scale**2)


def quasi_demeaned(moments: ClusterMoments, units: UnitSums, theta: Array) -> ClusterMoments:
    """Moments of ``x - theta_u m_u`` and ``y - theta_u m_u`` with ``m_u`` the weighted mean over the unit.

    ``theta = 1`` is the within transformation, ``theta = 0`` leaves all as it is. The weights stay.

    Args:
        moments: moments of the rows.
        units: sums over the units; every row is in one.
        theta: ``(U,)``.
    """
    safe = np.where(units.sum_w > 0, units.sum_w, 1.0)
    mean_x, mean_y = units.wx / safe[:, None], units.wy / safe
    xx, xwx, xwwx = moments.xx.copy(), moments.xwx.copy(), moments.xwwx.copy()
    xy, xwy, ywy = moments.xy.copy(), moments.xwy.copy(), moments.ywy.copy()
    for g in range(len(moments.cluster_names)):
        u = np.flatnonzero(units.cluster == g)
        t, mx, my = theta[u], mean_x[u], mean_y[u]
        tm = t[:, None] * mx
        cross = tm.T @ units.x[u]
        xx[g] += -cross - cross.T + tm.T @ (units.n_rows[u, None] * tm)
        shrink = (2 * t - t * t) * units.sum_w[u]
        xwx[g] -= mx.T @ (shrink[:, None] * mx)
        cross = tm.T @ units.wwx[u]
        xwwx[g] += -cross - cross.T + tm.T @ (units.sum_ww[u, None] * tm)
        xy[g] += -tm.T @ units.y[u] - units.x[u].T @ (t * my) + tm.T @ (units.n_rows[u] * t * my)
        xwy[g] -= mx.T @ (shrink * my)
        ywy[g] -= float(shrink @ (my * my))
    return ClusterMoments(
        moments.columns,
        moments.cluster_names,
        moments.n_rows,
        moments.sum_w,
        xx,
        xwx,
        xwwx,
        xy,
        xwy,
        ywy,
        moments.n_distinct_rows,
    )


def _factor(xx: Array, xwx: Array, xwwx: Array, xy: Array, xwy: Array) -> ClusterFactor:
    """A cluster's rows in an orthonormal basis of the span of ``[X, WX]``, from their moments."""
    k = len(xx)
    gram = np.block([[xx, xwx], [xwx.T, xwwx]])
    length = np.sqrt(np.clip(np.diag(gram), 0.0, None))
    used = np.flatnonzero(length > 0)
    if len(used) == 0:
        return ClusterFactor(np.zeros((0, k)), np.zeros((0, k)), np.zeros(0))
    unit = length[used]
    values, vectors = np.linalg.eigh(gram[np.ix_(used, used)] / np.outer(unit, unit))
    real = values > RANK_TOLERANCE * values[-1]
    # Z = Q diag(sqrt(values)) vectors' diag(unit): what a column of Z is in the basis Q.
    roots = np.sqrt(values[real])
    basis = (vectors[:, real] / roots).T / unit
    on_all = np.zeros((int(real.sum()), 2 * k))
    on_all[:, used] = (vectors[:, real] * roots).T * unit
    on_y = basis @ np.concatenate([xy, xwy])[used]
    return ClusterFactor(on_all[:, :k], on_all[:, k:], on_y)
