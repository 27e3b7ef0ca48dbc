"""Random authority-quarter means for every programme and outcome, without any child: all that matching on trends reads.

Beside them a plain reading of the definitions, in loops over numpy arrays, to hold the SQL against.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pandas as pd

from csc_evaluation.estimation.protocol import read_protocol
from csc_evaluation.matching.authorities import AuthorityMatching, match_authorities
from csc_evaluation.matching.windows import MatchingWindow
from support.marts_fixture import OTHERS, load_seeds

PROGRAMMES = ("family_safeguarding", "no_wrong_door", "signs_of_safety")


@dataclass(frozen=True)
class RandomQuarters:
    """Which authorities have data: the sites of every programme and ``others``; how often a quarter lacks them."""

    seed: int = 1
    others: tuple[str, ...] = OTHERS
    share_missing_early: float = 0.0
    """Chance that one of the others has no data in a quarter of the first year of the trial period."""


def random_quarters(path: Path, world: RandomQuarters | None = None) -> Path:
    """Write seeds and ``marts.la_quarter_outcomes`` at ``path`` and return it."""
    world = world or RandomQuarters()
    rng = np.random.default_rng(world.seed)
    with duckdb.connect(str(path)) as connection:
        load_seeds(connection)
        programmes = connection.execute("select programme, trial_start, trial_end from protocol.programmes")
        frames = []
        for programme, start, end in programmes.fetchall():
            sites = connection.execute(
                "select la_code from protocol.sites where programme = ?", [programme]
            ).fetchall()
            outcomes = connection.execute(
                "select outcome from protocol.outcomes where programme = ? and status = 'evaluated'",
                [programme],
            ).fetchall()
            codes = sorted({code for (code,) in sites} | set(world.others))
            quarters = pd.date_range(start, end, freq="QS")
            grid = pd.MultiIndex.from_product(
                [sorted(row[0] for row in outcomes), codes, quarters],
                names=["outcome", "la_code", "quarter_start"],
            )
            frame = grid.to_frame(index=False).assign(programme=programme)
            n = len(frame)
            frame["n_children"] = rng.integers(20, 400, n)
            frame["mean_value"] = rng.uniform(0.02, 0.3, n)
            frame["standard_error"] = rng.uniform(0.5, 1.5, n) * np.sqrt(0.1 / frame.n_children)
            is_early = frame.quarter_start < pd.Timestamp(start) + pd.DateOffset(years=1)
            is_gone = (
                is_early & frame.la_code.isin(world.others) & (rng.random(n) < world.share_missing_early)
            )
            frame.loc[is_gone, ["n_children"]] = 0
            frame.loc[is_gone, ["mean_value", "standard_error"]] = np.nan
            frames.append(frame)
        frame = pd.concat(frames, ignore_index=True)
        connection.register("rows", frame)
        connection.execute("create schema marts")
        connection.execute(
            "create table marts.la_quarter_outcomes as select programme, outcome, la_code, "
            "cast(quarter_start as date) as quarter_start, cast(n_children as bigint) as n_children, "
            "case when n_children > 0 then mean_value end as mean_value, "
            "case when n_children > 0 then standard_error end as standard_error from rows"
        )
    return path


def match_at(
    path: Path, programmes: tuple[str, ...] = PROGRAMMES, *, threads: int = 2
) -> dict[str, AuthorityMatching]:
    """Match all given programmes of the file at ``path``."""
    backend = ibis.duckdb.connect(str(path), read_only=True)
    try:
        backend.raw_sql(f"set threads = {threads}")
        return match_authorities(backend, [read_protocol(backend, name) for name in programmes])
    finally:
        backend.disconnect()


@dataclass(frozen=True)
class NaiveWindow:
    """The numbers of one window as loops over plain arrays give them."""

    means: dict[str, dict[dt.date, tuple[int, float, float]]]
    """Children, mean and standard error by authority and quarter, for all quarters up to the window's last."""
    quarters: list[dt.date]

    def z(self, authorities: list[str]) -> dict[str, np.ndarray]:
        """Standardised means over the window's quarters across the given authorities."""
        y = np.array([[self.means[code][quarter][1] for quarter in self.quarters] for code in authorities])
        standardised = (y - y.mean(axis=0)) / y.std(axis=0, ddof=1)
        return dict(zip(authorities, standardised, strict=True))

    def placebo(self, first: str, other: str, placebo_date: dt.date) -> tuple[int, int, float, float]:
        """Quarters before and after, difference in differences at a placebo date, and its standard error."""
        shared = sorted(set(self.means[first]) & set(self.means[other]))
        before = [quarter for quarter in shared if quarter < placebo_date]
        after = [quarter for quarter in shared if quarter >= placebo_date]
        if not before or not after:
            return len(before), len(after), np.nan, np.nan
        estimate, variance = 0.0, 0.0
        for code, sign in ((first, 1), (other, -1)):
            for quarters, side in ((after, 1), (before, -1)):
                n = np.array([self.means[code][quarter][0] for quarter in quarters], dtype=float)
                y = np.array([self.means[code][quarter][1] for quarter in quarters])
                se = np.array([self.means[code][quarter][2] for quarter in quarters])
                estimate += sign * side * np.average(y, weights=n)
                variance += float(((n / n.sum() * se) ** 2).sum())
        return len(before), len(after), estimate, float(np.sqrt(variance))

    def constant_gap(self, first: str, other: str) -> tuple[float, float, float]:
        """Weighted mean of the gap over the window, its standard error, and the chi-square that it is constant."""
        rows = [(self.means[first][quarter], self.means[other][quarter]) for quarter in self.quarters]
        gap = np.array([a[1] - b[1] for a, b in rows])
        weight = 1 / np.array([a[2] ** 2 + b[2] ** 2 for a, b in rows])
        mean = np.average(gap, weights=weight)
        return float(mean), float(weight.sum() ** -0.5), float((weight * (gap - mean) ** 2).sum())


def naive_window(path: Path, programme: str, window: MatchingWindow) -> NaiveWindow:
    """Read one window's numbers row by row."""
    wanted = {*window.quarters, *window.earlier_quarters}
    means: dict[str, dict[dt.date, tuple[int, float, float]]] = {}
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute(
            "select la_code, quarter_start, n_children, mean_value, standard_error from marts.la_quarter_outcomes "
            "where programme = ? and outcome = ? and n_children > 0",
            [programme, window.outcome],
        ).fetchall()
    for code, quarter, n, y, se in rows:
        if quarter in wanted:
            means.setdefault(code, {})[quarter] = (n, y, se)
    return NaiveWindow(means, list(window.quarters))


def root_mean_square(values: np.ndarray) -> float:
    """Root of the mean of squares."""
    return float(np.sqrt(np.mean(values**2)))
