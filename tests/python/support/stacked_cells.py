"""Simulated cells of matched groups, as the checks of the assumptions take them, with a drift or a shock that is known."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd

from csc_evaluation.matching.stacked import Group

CUT_OFF = dt.date(2020, 1, 1)


@dataclass(frozen=True)
class Design:
    """Groups of one treated authority with one comparator each, which several groups may share."""

    n_quarters: tuple[int, ...] = (9, 10, 12, 12, 14, 16)
    """Quarters before the cut-off, by group."""
    children: int = 60
    """Per authority and quarter on average; authorities differ up to ``size_ratio`` times."""
    size_ratio: float = 3.0
    own_sd: float = 0.03
    """Standard deviation of what moves one authority alone from quarter to quarter, correlated at one half."""
    drift: float = 0.0
    """What treated authorities move away each quarter."""
    n_comparators: int | None = None
    """Comparators that serve the groups in turn; ``None``: each group has its own."""


def groups(design: Design) -> tuple[Group, ...]:
    return tuple(
        Group(
            match_group=f"t{number}",
            treated_la_code=f"t{number}",
            members=frozenset({f"t{number}", _comparator(design, number)}),
            cut_off=CUT_OFF,
            go_live=dt.date(2021, 6, 1),
        )
        for number in range(len(design.n_quarters))
    )


def cells_before(design: Design, seed: int) -> pd.DataFrame:
    """Cells before the cut-off: treated children weigh 1, comparators one of two weights."""
    rng = np.random.default_rng(seed)
    longest = max(design.n_quarters)
    common = rng.normal(0, 0.02, (len(design.n_quarters), longest))
    paths: dict[str, np.ndarray] = {}
    sizes: dict[str, float] = {}
    rows = []
    for number, n_quarters in enumerate(design.n_quarters):
        for code, is_treated in ((f"t{number}", True), (_comparator(design, number), False)):
            if code not in paths:
                paths[code] = 0.4 + rng.normal(0, 0.02) + _own_path(rng, longest, design.own_sd)
                sizes[code] = design.children * design.size_ratio ** rng.uniform(-0.5, 0.5)
            for back in range(1, n_quarters + 1):
                risk = paths[code][back - 1] + common[number, back - 1] - design.drift * back * is_treated
                for weight, share in ((1.0, 1.0),) if is_treated else ((0.6, 0.5), (1.4, 0.5)):
                    n_rows = 1 + rng.poisson(sizes[code] * share)
                    rows.append(
                        (
                            f"t{number}",
                            code,
                            is_treated,
                            0,
                            weight,
                            n_rows,
                            float(rng.binomial(n_rows, np.clip(risk, 0.01, 0.99))),
                            back,
                        )
                    )
    return pd.DataFrame(
        rows,
        columns=[
            "match_group",
            "la_code",
            "is_treated_authority",
            "term",
            "group_weight",
            "n_rows",
            "sum_y",
            "quarters_back",
        ],
    )


def cells_after(
    seed: int, *, n_groups: int = 6, common: float = 0.0, on_treated: float = 0.0
) -> pd.DataFrame:
    """Cells after go-live with the flag of a shock, which moves comparators by ``common`` and treated by ``on_treated`` more."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n_groups):
        for code, is_treated in ((f"t{number}", True), (f"c{number}", False)):
            level = 0.2 + rng.normal(0, 0.03)
            for is_under in (False, True):
                risk = level + rng.normal(0, 0.015) + is_under * (common + on_treated * is_treated)
                n_rows = int(rng.integers(100, 500))
                rows.append(
                    (
                        f"t{number}",
                        code,
                        is_treated,
                        0,
                        1.0,
                        n_rows,
                        float(rng.binomial(n_rows, risk)),
                        is_under,
                    )
                )
    return pd.DataFrame(
        rows,
        columns=[
            "match_group",
            "la_code",
            "is_treated_authority",
            "term",
            "group_weight",
            "n_rows",
            "sum_y",
            "is_under_flood",
        ],
    )


def _comparator(design: Design, number: int) -> str:
    return f"c{number % (design.n_comparators or len(design.n_quarters))}"


def _own_path(rng: np.random.Generator, n_quarters: int, sd: float) -> np.ndarray:
    path = np.zeros(n_quarters)
    path[0] = rng.normal(0, sd)
    for position in range(1, n_quarters):
        path[position] = 0.5 * path[position - 1] + rng.normal(0, sd * 0.75**0.5)
    return path
