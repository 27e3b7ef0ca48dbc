"""Regressions for tests: rows as cells of one, the same compressed, and a dense reference that follows the formulas."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from csc_evaluation.estimation.linear import CompressedSample

Array = NDArray[np.float64]


def as_sample(
    columns: tuple[str, ...], x: Array, weight: Array, y: Array, cluster: NDArray
) -> CompressedSample:
    """Each row a cell of its own."""
    names, number = np.unique(cluster, return_inverse=True)
    return CompressedSample(
        columns=columns,
        x=np.asarray(x, dtype=float),
        weight=np.asarray(weight, dtype=float),
        n_rows=np.ones(len(y), dtype=np.int64),
        sum_y=np.asarray(y, dtype=float),
        cluster=number.astype(np.int64),
        cluster_names=tuple(str(name) for name in names),
    )


def compress(sample: CompressedSample) -> CompressedSample:
    """Rows alike in cluster, regressors and weight put together."""
    keys = np.column_stack([sample.cluster, sample.weight, sample.x])
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    n_rows = np.zeros(len(unique), dtype=np.int64)
    sum_y = np.zeros(len(unique))
    np.add.at(n_rows, inverse, sample.n_rows)
    np.add.at(sum_y, inverse, sample.sum_y)
    return replace(
        sample,
        x=unique[:, 2:],
        weight=unique[:, 1],
        n_rows=n_rows,
        sum_y=sum_y,
        cluster=unique[:, 0].astype(np.int64),
    )


def simulate(
    seed: int,
    *,
    n_clusters: int = 8,
    smallest: int = 6,
    largest: int = 40,
    weighted: bool = True,
    binary: bool = True,
) -> CompressedSample:
    """Staggered difference-in-differences with cluster and year dummies and few distinct weights."""
    rng = np.random.default_rng(seed)
    size = rng.integers(smallest, largest + 1, n_clusters)
    cluster = np.repeat(np.arange(n_clusters), size)
    n = len(cluster)
    year = rng.integers(0, 4, n)
    live = (cluster < n_clusters // 2) & (year >= 1 + cluster % 2)
    age, girl = rng.integers(0, 4, n), rng.integers(0, 2, n)
    columns = {"intercept": np.ones(n)}
    columns |= {f"cluster{g}": (cluster == g) * 1.0 for g in range(1, n_clusters)}
    columns |= {f"year{k}": (year == k) * 1.0 for k in range(1, 4)}
    columns |= {"age": age * 1.0, "girl": girl * 1.0, "treated": live * 1.0}
    weight = rng.choice([0.25, 1.0, 2.5, 7.0], n) if weighted else np.ones(n)
    risk = 0.2 + 0.1 * rng.random(n_clusters)[cluster] + 0.05 * girl - 0.08 * live
    y = (rng.random(n) < risk) * 1.0 if binary else risk + rng.normal(0, 0.3, n)
    return as_sample(tuple(columns), np.column_stack(list(columns.values())), weight, y, cluster)


@dataclass(frozen=True)
class Dense:
    estimate: float
    se_cr1: float
    se_cr2: float
    df: float


def dense_reference(sample: CompressedSample, term: str) -> Dense:
    """CR1, CR2 and Satterthwaite by explicit N x N matrices (Pustejovsky and Tipton 2018, equations 6, 10 and 11)."""
    x, w, y, cluster = sample.x, sample.weight, sample.sum_y, sample.cluster
    assert (sample.n_rows == 1).all()
    n, k = x.shape
    bread = np.linalg.inv(x.T @ (w[:, None] * x))
    hat = x @ bread @ x.T * w
    residual_maker = np.eye(n) - hat
    beta = bread @ x.T @ (w * y)
    residual = y - x @ beta
    contrast = np.eye(k)[sample.columns.index(term)]
    clusters = np.unique(cluster)
    cr1 = cr2 = 0.0
    p = np.zeros((len(clusters), n))
    for position, g in enumerate(clusters):
        rows = np.flatnonzero(cluster == g)
        influence = (w[rows, None] * x[rows]) @ bread @ contrast
        b = residual_maker[rows] @ residual_maker[rows].T
        values, vectors = np.linalg.eigh(b)
        safe = np.where(values > 1e-11, values, 1.0)
        root = (vectors * np.where(values > 1e-11, safe**-0.5, 0.0)) @ vectors.T
        cr1 += float(influence @ residual[rows]) ** 2
        cr2 += float(influence @ root @ residual[rows]) ** 2
        p[position] = residual_maker[rows].T @ root @ influence
    joint = p @ p.T
    g_count = len(clusters)
    return Dense(
        estimate=float(contrast @ beta),
        se_cr1=float(np.sqrt(g_count / (g_count - 1) * (n - 1) / (n - k) * cr1)),
        se_cr2=float(np.sqrt(cr2)),
        df=float(np.trace(joint) ** 2 / (joint**2).sum()),
    )


def restricted_wild_statistics(
    sample: CompressedSample, term: str, null: float, signs: Array
) -> tuple[Array, Array]:
    """``b* - null`` and CR1 variances by refitting the rows for each pattern of signs (restricted wild cluster bootstrap)."""
    assert (sample.n_rows == 1).all()
    x, w, y, cluster = sample.x, sample.weight, sample.sum_y, sample.cluster
    j = sample.columns.index(term)
    root = np.sqrt(w)
    others = np.delete(x, j, axis=1)
    under_null = np.linalg.lstsq(root[:, None] * others, root * (y - null * x[:, j]), rcond=None)[0]
    fitted = others @ under_null + null * x[:, j]
    residual = y - fitted
    bread = np.linalg.inv(x.T @ (w[:, None] * x))
    n, k = x.shape
    count = len(np.unique(cluster))
    numerators, variances = [], []
    for pattern in signs:
        drawn = fitted + pattern[cluster] * residual
        beta = np.linalg.lstsq(root[:, None] * x, root * drawn, rcond=None)[0]
        rest = drawn - x @ beta
        meat = np.zeros((k, k))
        for g in np.unique(cluster):
            score = x[cluster == g].T @ (w[cluster == g] * rest[cluster == g])
            meat += np.outer(score, score)
        covariance = count / (count - 1) * (n - 1) / (n - k) * bread @ meat @ bread
        numerators.append(beta[j] - null)
        variances.append(covariance[j, j])
    return np.array(numerators), np.array(variances)
