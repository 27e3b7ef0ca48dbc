"""Coarsened exact matching as the definitions word it, one child at a time and in fractions: slow, exact and independent."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Any

import pandas as pd

from csc_evaluation.estimation.protocol import Protocol
from csc_evaluation.matching.authorities import Match

Child = Mapping[str, Any]
MISSING = "missing"


@dataclass(frozen=True)
class Naive:
    """Weights by (group, child), and the strata with their counts of both arms."""

    group_weights: dict[tuple[str, str], Fraction]
    normalised: dict[tuple[str, str], Fraction]
    strata: dict[tuple[Any, ...], tuple[int, int]]
    children: dict[str, Child]
    stratum_of: dict[tuple[str, str], tuple[Any, ...]]

    @property
    def weights(self) -> dict[str, Fraction]:
        """Over all groups."""
        total: dict[str, Fraction] = defaultdict(Fraction)
        for (_, child_id), weight in self.group_weights.items():
            total[child_id] += weight
        return dict(total)

    def masses(self, cell: Callable[[Child], Any]) -> dict[Any, list[Fraction]]:
        """By cell: treated and comparator children before, and their weights after."""
        weights = self.weights
        cells: dict[Any, list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 4)
        for child_id, child in self.children.items():
            arm = 0 if child["is_treated_authority"] else 1
            masses = list(cells[cell(child)])
            masses[arm] += 1
            masses[arm + 2] += weights.get(child_id, Fraction(0))
            cells[cell(child)] = masses
        return dict(cells)


def records(events: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries, missing values None and days as dates."""
    rows = []
    for row in events.to_dict("records"):
        clean = {name: None if value is None or value != value else value for name, value in row.items()}
        clean["index_date"] = pd.Timestamp(row["index_date"]).date()
        rows.append(clean)
    return rows


def level(child: Child, name: str, protocol: Protocol) -> str:
    """The level of a stratum variable."""
    value = child[name]
    if value is None:
        return MISSING
    bands = [band for band in protocol.bands if band.covariate == name]
    if not bands:
        return (
            {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
        )
    inside = [band.band for band in bands if band.value_from <= value <= band.value_to]
    return inside[0] if inside else "outside the bands"


def naive_matching(
    events: pd.DataFrame,
    protocol: Protocol,
    matches: Sequence[Match],
    variables: Iterable[str],
    *,
    counts: Callable[[Match, dt.date], bool] = lambda match, day: True,
) -> Naive:
    """Match the children; ``counts`` says which index dates belong to a group."""
    everyone = records(events)
    group_weights: dict[tuple[str, str], Fraction] = {}
    normalised: dict[tuple[str, str], Fraction] = {}
    strata: dict[tuple[Any, ...], tuple[int, int]] = {}
    inside: dict[str, Child] = {}
    stratum_of = {}
    for group in sorted({match.match_group for match in matches}):
        mine = [match for match in matches if match.match_group == group]
        shares = {match.comparator_la_code: match.comparator_weight for match in mine}
        treated, go_live = mine[0].treated_la_code, mine[0].go_live_date
        members = {treated, *(code for code, share in shares.items() if share != 0)}
        cells: dict[tuple[Any, ...], list[Child]] = defaultdict(list)
        for child in everyone:
            if child["la_code"] not in members or not counts(mine[0], child["index_date"]):
                continue
            inside[child["child_id"]] = child
            key = tuple(
                str(child["index_date"] >= go_live).lower()
                if name == "is_post"
                else level(child, name, protocol)
                for name in variables
            )
            cells[(group, *key)].append(child)
        matched: list[tuple[Child, Fraction]] = []
        for key, children in cells.items():
            controls = [child for child in children if child["la_code"] != treated]
            n_treated, n_control = len(children) - len(controls), len(controls)
            strata[key] = (n_treated, n_control)
            for child in children:
                stratum_of[(group, child["child_id"])] = key
            if not (n_treated and n_control):
                continue
            present = {child["la_code"] for child in controls}
            for child in children:
                code = child["la_code"]
                if code == treated:
                    weight = Fraction(1)
                elif shares[code] is None:
                    weight = Fraction(n_treated, n_control)
                else:
                    share = Fraction(shares[code]) / sum(Fraction(shares[other]) for other in present)
                    weight = n_treated * share / sum(other["la_code"] == code for other in controls)
                matched.append((child, weight))
        n_treated = sum(child["la_code"] == treated for child, _ in matched)
        n_control = len(matched) - n_treated
        for child, weight in matched:
            pair = (group, child["child_id"])
            group_weights[pair] = weight
            normalised[pair] = (
                weight if child["la_code"] == treated else weight * Fraction(n_control, n_treated)
            )
    return Naive(group_weights, normalised, strata, inside, stratum_of)


def l1(masses: Iterable[Sequence[Fraction]], *, after: bool) -> float:
    """Half the sum over cells of the absolute difference in shares."""
    pairs = [(mass[2], mass[3]) if after else (mass[0], mass[1]) for mass in masses]
    treated, control = (sum(pair[arm] for pair in pairs) for arm in (0, 1))
    return float(sum(abs(t / treated - c / control) for t, c in pairs) / 2)


def common_support(masses: Iterable[Sequence[Fraction]], *, after: bool) -> float:
    """Share of the cells with anyone in them that hold both arms."""
    pairs = [(mass[2], mass[3]) if after else (mass[0], mass[1]) for mass in masses]
    filled = [pair for pair in pairs if any(pair)]
    return sum(all(pair) for pair in filled) / len(filled)


def fine_cell(plans_max: int) -> Callable[[Child], Any]:
    """Single year of age, ethnic code, previous plans and month of the index."""
    return lambda child: (
        child["age_at_index"],
        child["ethnicity"],
        min(child["n_previous_plans"], plans_max),
        child["index_date"].replace(day=1),
    )


def share_difference(naive: Naive, name: str, wanted: str, *, after: bool) -> float:
    """Standardised difference in the share of a level; the divisor is that of the treated before matching."""
    masses = naive.masses(lambda child: MISSING if child[name] is None else str(child[name]).lower())
    totals = [sum(mass[position] for mass in masses.values()) for position in range(4)]
    shares = [masses[wanted.lower()][position] / totals[position] for position in range(4)]
    gap = shares[2] - shares[3] if after else shares[0] - shares[1]
    return float(gap) / sqrt(float(shares[0] * (1 - shares[0])))


def mean_difference(naive: Naive, name: str, *, after: bool) -> float:
    """Standardised difference in means of the known values."""
    masses = {
        value: mass for value, mass in naive.masses(lambda child: child[name]).items() if value is not None
    }
    exact = {value: Fraction(float(value)) for value in masses}
    totals = [sum(mass[position] for mass in masses.values()) for position in range(4)]
    means = [
        sum(mass[position] * exact[value] for value, mass in masses.items()) / totals[position]
        for position in range(4)
    ]
    variance = sum(mass[0] * (exact[value] - means[0]) ** 2 for value, mass in masses.items()) / (
        totals[0] - 1
    )
    gap = means[2] - means[3] if after else means[0] - means[1]
    return float(gap) / sqrt(float(variance))
