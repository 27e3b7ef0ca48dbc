"""Inside the periods of care: episodes, placements, legal statuses, and what the SSDA903 return asks besides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.calendar import NEVER, Days
from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.config import LATEST_YEAR, SynthesisConfig
from csc_evaluation.synthetic.lives import (
    DAYS_PER_YEAR,
    DETAILS_STREAM,
    IN_NEED,
    Columns,
    Floats,
    Lives,
    draw_categories,
    eighteenth_birthday,
    stream,
)

Texts = NDArray[np.object_]

# First legal statuses: assumed, with accommodation under section 20 and interim orders leading. Not calibrated.
_FIRST_STATUS = (("V2", "C1", "L2", "L1", "C2", "J1"), np.array([0.50, 0.34, 0.05, 0.06, 0.035, 0.015]))

_PLACEMENTS: tuple[str, ...] = (
    "U1", "U3", "U4", "U5", "U6", "K2", "P1", "H5", "R1", "R3", "S1", "K1", "P2", "T4", "R5", "Z1",
)  # fmt: skip
_FOSTER = np.array([0.05, 0.14, 0.12, 0.02, 0.37])
_PLACEMENT_PROVIDERS = np.array(["PR1", "PR4", "PR5"], dtype=object)
_PROVIDER_SHARES = np.array([0.60, 0.35, 0.05])

# Reasons for a change of placement with their published shares in 2022/23 (la_cla_during_year_new_placements.csv).
_PLACE_CHANGES = (
    (
        "ALLEG",
        "APPRR",
        "CREQO",
        "CREQB",
        "STATC",
        "CARPL",
        "CHILD",
        "CUSTOD",
        "OTHER",
        "CLOSE",
        "LAREQ",
        "STAND",
    ),
    np.array([470, 240, 4160, 5790, 9520, 20720, 2190, 160, 14190, 440, 1010, 750], dtype=float),
)
_NEED_SHARES = np.array([0.65, 0.03, 0.03, 0.08, 0.13, 0.015, 0.002, 0.063])
_NEEDS = np.array(["N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8"], dtype=object)

# Special guardianship by to whom (lait_bds_long.parquet, LAC_SGO_*: 2023).
_GUARDIANSHIP = (("E45", "E46", "E47", "E48"), np.array([0.65, 0.09, 0.24, 0.02]))
_AT_EIGHTEEN = ("E17", "E5", "E6", "E7")
_EARLIER = (
    "E4A",
    "E4B",
    "special_guardianship",
    "adopted",
    "E41",
    "E13",
    "E3",
    "E8",
    "E9",
    "E14",
    "E16",
    "E2",
)


@dataclass
class Episodes(Columns):
    """One row per episode, ordered by child and start; short breaks have no period (-1)."""

    child: NDArray[np.int64]
    period: NDArray[np.int64]
    start: Days
    end: Days
    reason_new: Texts
    legal_status: Texts
    need: Texts
    placement: Texts
    provider: Texts
    reason_ceased: Texts
    reason_place_change: Texts
    urn: Texts


@dataclass
class Adoptions(Columns):
    """One row per period of care that ends in adoption."""

    child: NDArray[np.int64]
    decided: Days
    matched: Days
    placed: Days
    adopted: Days


@dataclass
class MissingSpells(Columns):
    """One row per missing (M) or away without authorisation (A) spell."""

    child: NDArray[np.int64]
    kind: Texts
    start: Days
    end: Days


@dataclass
class CareReviews(Columns):
    """One row per review."""

    child: NDArray[np.int64]
    held: Days
    code: Texts


@dataclass
class CareDetails:
    """Everything that SSDA903 returns are cut from."""

    episodes: Episodes
    adoptions: Adoptions
    missing: MissingSpells
    reviews: CareReviews


def detail(config: SynthesisConfig, cal: Calibration, lives: Lives) -> CareDetails:
    """Fill the periods of care of one group with episodes, and add series of short breaks."""
    rng = stream(config, lives.group.key, DETAILS_STREAM)
    care = lives.care
    ceased = _reasons_ceased(rng, cal, lives)
    episodes, placed = _episodes(rng, cal, lives, ceased)
    adopted = np.isin(ceased, ("E11", "E12"))
    decided = placed[adopted] - 60 - rng.integers(0, 90, int(adopted.sum()))
    adoptions = Adoptions(
        child=care.child[adopted],
        decided=decided,
        matched=placed[adopted] - rng.integers(7, 50, int(adopted.sum())),
        placed=placed[adopted],
        adopted=care.end[adopted],
    )
    short = _short_breaks(rng, config, cal, lives)
    everything = Episodes.concat([episodes, short])
    everything = everything.take(np.lexsort((everything.start, everything.child)))
    return CareDetails(everything, adoptions, _missing(rng, config, cal, lives), _reviews(rng, config, lives))


def _reasons_ceased(rng: np.random.Generator, cal: Calibration, lives: Lives) -> Texts:
    """Why each period ended, at the published shares given what age and length allow."""
    care, children = lives.care, lives.children
    n = len(care)
    birth = children.birth[care.child]
    age = (care.end - birth) / DAYS_PER_YEAR
    years = (care.end - care.start) / DAYS_PER_YEAR
    year = calendar.return_year_of(np.minimum(care.end, calendar.year_end(LATEST_YEAR)))
    share = {name: cal.by_year(f"cla_ceased_share_{name}", year) for name in (*_AT_EIGHTEEN, *_EARLIER)}
    at_eighteen = _draw_by_row(rng, np.column_stack([share[name] for name in _AT_EIGHTEEN]))
    weight = np.column_stack([share[name] for name in _EARLIER])
    # Adoption is for young children after most of a year; the published share refers to everyone, so that it is
    # raised among those who can be adopted. Custody and remand are for the older.
    can_be_adopted = (age < 7) & (years > 0.7)
    weight[:, _EARLIER.index("adopted")] *= np.where(can_be_adopted, cal["adoption_boost"], 0.0)
    weight[:, _EARLIER.index("special_guardianship")] *= np.where(years > 0.4, 1.5, 0.1)
    for name in ("E9", "E14"):
        weight[:, _EARLIER.index(name)] *= np.where(age >= 11, 2.5, 0.0)
    names = np.array(_EARLIER, dtype=object)[_draw_by_row(rng, weight)]
    names = np.where(
        care.end >= eighteenth_birthday(birth), np.array(_AT_EIGHTEEN, dtype=object)[at_eighteen], names
    )
    guardians = np.array(_GUARDIANSHIP[0], dtype=object)[draw_categories(rng, _GUARDIANSHIP[1], n)]
    names = np.where(names == "special_guardianship", guardians, names)
    names = np.where(names == "adopted", np.where(rng.random(n) < 0.57, "E11", "E12"), names)
    uasc = children.is_uasc[care.child] & (care.end < eighteenth_birthday(birth))
    names = np.where(uasc, "E15", names)
    return np.where(care.end == children.leaves_on[care.child], "E3", names).astype(object)


def _draw_by_row(rng: np.random.Generator, weight: Floats) -> NDArray[np.int64]:
    """One category per row, in proportion to the row's weights."""
    edges = np.cumsum(weight, axis=1)
    u = rng.random(len(weight)) * (edges[:, -1] if len(weight) else 1.0)
    return np.minimum((u[:, None] > edges).sum(axis=1), weight.shape[1] - 1).astype(np.int64)


def _episodes(
    rng: np.random.Generator, cal: Calibration, lives: Lives, ceased: Texts
) -> tuple[Episodes, Days]:
    care, children = lives.care, lives.children
    n = len(care)
    length = care.end - care.start
    years = length / DAYS_PER_YEAR
    adopted = np.isin(ceased, ("E11", "E12"))
    expected = (
        cal["placement_changes_first_year"] * np.minimum(years, 1)
        + cal["placement_changes_later_year"] * np.clip(years - 1, 0, 6)
        + cal["status_changes_per_year"] * np.clip(years, 0, 2)
    )
    n_changes = np.minimum(rng.poisson(expected), np.maximum(0, length // 8))
    n_changes = np.where(adopted, np.maximum(n_changes, 1), n_changes)
    period = np.repeat(np.arange(n), n_changes + 1)
    first_row = np.cumsum(n_changes + 1) - (n_changes + 1)
    is_first = np.zeros(len(period), dtype=bool)
    is_first[first_row] = True
    day = (rng.random(len(period)) ** 1.4 * (length[period] - 1)).astype(np.int64) + 1
    # The last change of an adopted child is the placement for adoption, some 60% into the period.
    last_row = first_row + n_changes
    day[last_row[adopted]] = np.maximum(
        1, (length[adopted] * (0.55 + 0.2 * rng.random(int(adopted.sum())))).astype(np.int64)
    )
    is_placing = np.zeros(len(period), dtype=bool)
    is_placing[last_row[adopted]] = True
    keep = is_first | is_placing | ~adopted[period] | (day < day[last_row[period]])
    day[is_first] = 0
    period, is_first, is_placing, day = period[keep], is_first[keep], is_placing[keep], day[keep]
    order = np.lexsort((day, period))
    period, is_first, is_placing, day = period[order], is_first[order], is_placing[order], day[order]
    repeated = np.concatenate(([False], (period[1:] == period[:-1]) & (day[1:] == day[:-1])))
    # Of two changes on a day keep the placement for adoption.
    drop = repeated & ~is_placing
    drop[:-1] |= repeated[1:] & is_placing[1:] & ~is_first[:-1]
    period, is_first, is_placing, day = (column[~drop] for column in (period, is_first, is_placing, day))
    m = len(period)
    start = care.start[period] + day
    is_last = np.concatenate((period[1:] != period[:-1], [True])) if m else np.zeros(0, dtype=bool)
    end = np.where(is_last, care.end[period], np.concatenate((start[1:], [NEVER])) if m else start)
    kind = np.array(["P", "L", "B", "T", "U"], dtype=object)[
        draw_categories(rng, np.array([0.55, 0.24, 0.10, 0.08, 0.03]), m)
    ]
    reason_new = np.where(is_first, "S", np.where(is_placing, "B", kind)).astype(object)
    child = care.child[period]
    age = (start - children.birth[child]) / DAYS_PER_YEAR
    status = _statuses(rng, period, reason_new, is_first, is_placing, children.is_uasc[child])
    placement, provider = _placements(
        rng, cal, period, reason_new, age, is_first, is_placing, children.is_uasc[child]
    )
    reason_ceased = np.where(is_last, ceased[period], "X1").astype(object)
    follows = np.concatenate((reason_new[1:], [""])).astype(object) if m else reason_new
    changes_place = ~is_last & np.isin(follows, ("P", "B", "T", "U"))
    why = np.array(_PLACE_CHANGES[0], dtype=object)[draw_categories(rng, _PLACE_CHANGES[1], m)]
    # A break of a day between two episodes of one period: the next starts a day after the last ended.
    # Never over a 31 March, where the first return would show the later part alone.
    gap = ~is_last & (end - start > 20) & (rng.random(m) < cal["one_day_gap_share"])
    gap &= calendar.return_year_of(np.minimum(end, NEVER - 1) - 1) == calendar.return_year_of(
        np.minimum(end, NEVER - 1)
    )
    end = np.where(gap, end - 1, end)
    need = _NEEDS[draw_categories(rng, _NEED_SHARES, n)][period]
    need = np.where(children.is_uasc[child], "N8", need).astype(object)
    number = rng.integers(1_000_000, 9_999_999, m)
    urn = np.where(
        np.isin(placement, ("K2", "U4", "U5", "U6", "R1", "S1")) & (provider != "PR1"),
        number.astype("U7"),
        "",
    )
    placed = np.full(n, NEVER)
    placed[period[is_placing]] = start[is_placing]
    episodes = Episodes(
        child, period, start, end, reason_new, status, need, placement, provider, reason_ceased,
        np.where(changes_place, why, "").astype(object), urn.astype(object),
    )  # fmt: skip
    return episodes, placed


def _statuses(
    rng: np.random.Generator,
    period: NDArray[np.int64],
    reason_new: Texts,
    is_first: NDArray[np.bool_],
    is_placing: NDArray[np.bool_],
    is_uasc: NDArray[np.bool_],
) -> Texts:
    """Legal status: changes with L, B and U episodes, towards a full care order."""
    m = len(period)
    codes = np.array(_FIRST_STATUS[0], dtype=object)
    n_periods = int(period.max(initial=-1)) + 1
    first = codes[draw_categories(rng, _FIRST_STATUS[1], n_periods)][period]
    first = np.where(is_uasc, "V2", first)
    changed = np.isin(reason_new, ("L", "B", "U"))
    running = np.cumsum(changed)
    base = np.zeros(n_periods, dtype=np.int64)
    base[period[is_first]] = running[is_first]
    n_changed = running - base[period]
    to_interim = (rng.random(n_periods) < 0.45)[period]
    second = np.where((first == "V2") & to_interim, "C1", "C2")
    second = np.where(is_uasc, "V2", second)
    third = np.where(is_uasc, "V2", "C2")
    status = np.select([n_changed == 0, n_changed == 1], [first, second], third)
    status = np.where(is_placing, "E1", status)
    return status.astype(object) if m else np.zeros(0, dtype=object)


def _placements(
    rng: np.random.Generator,
    cal: Calibration,
    period: NDArray[np.int64],
    reason_new: Texts,
    age: Floats,
    is_first: NDArray[np.bool_],
    is_placing: NDArray[np.bool_],
    is_uasc: NDArray[np.bool_],
) -> tuple[Texts, Texts]:
    """Placement and provider: new ones where the episode changes placement, else carried on."""
    m = len(period)
    codes = np.array(_PLACEMENTS, dtype=object)
    young = np.concatenate([_FOSTER, [0.005, 0.09, 0.0, 0.004, 0.02, 0.0, 0.0, 0.0, 0.004, 0.0, 0.003]])
    middle = np.concatenate([_FOSTER, [0.16, 0.05, 0.0, 0.015, 0.0, 0.005, 0.002, 0.0, 0.006, 0.0, 0.006]])
    older = np.concatenate(
        [_FOSTER * 0.5, [0.19, 0.025, 0.48, 0.03, 0.002, 0.006, 0.004, 0.03, 0.01, 0.006, 0.012]]
    )
    drawn = np.select(
        [age < 6, age < 15.8],
        [codes[draw_categories(rng, young, m)], codes[draw_categories(rng, middle, m)]],
        codes[draw_categories(rng, older, m)],
    )
    for_uasc = np.where(age < 16, "U6", np.where(rng.random(m) < 0.75, "H5", "U6"))
    drawn = np.where(is_uasc, for_uasc, drawn)
    drawn = np.where(is_placing, np.where(rng.random(m) < 0.2, "A5", "A6"), drawn)
    provided = _PLACEMENT_PROVIDERS[draw_categories(rng, _PROVIDER_SHARES, m)]
    provided = np.where(drawn == "P1", "PR0", provided)
    moves = is_first | np.isin(reason_new, ("P", "B", "T", "U"))
    source = np.maximum.accumulate(np.where(moves, np.arange(m), 0)) if m else np.zeros(0, dtype=np.int64)
    return drawn[source].astype(object), provided[source].astype(object)


def _short_breaks(
    rng: np.random.Generator, config: SynthesisConfig, cal: Calibration, lives: Lives
) -> Episodes:
    """Series of short breaks (V3, V4) of disabled children who are not looked after."""
    referrals, children = lives.referrals, lives.children
    looked_after = np.zeros(len(children), dtype=bool)
    looked_after[lives.care.child] = True
    suited = np.flatnonzero(
        (referrals.kind == IN_NEED)
        & (children.disabled_from[referrals.child] <= referrals.referral_date)
        & ~looked_after[referrals.child]
        & (referrals.closure - referrals.referral_date > 180)
        & (children.birth[referrals.child] + 1000 < referrals.referral_date)
    )
    chance = cal["short_break_share"] * len(referrals) / max(1, len(suited))
    row = suited[rng.random(len(suited)) < chance]
    _, once = np.unique(referrals.child[row], return_index=True)
    row = row[once]
    start = np.maximum(referrals.referral_date[row] + 60, calendar.year_start(config.first_year) - 100)
    stop = np.minimum(
        np.minimum(referrals.closure[row], start + 900), calendar.year_end(config.last_year) + 400
    )
    fits = stop - start > 60
    row, start, stop = row[fits], start[fits], stop[fits]
    as_agreement = rng.random(len(row)) < 0.5
    # V4 is one record of the agreement; V3 has every stay of two or three nights, about monthly.
    n_stays = np.where(as_agreement, 1, np.maximum(1, (stop - start) // 30))
    series = np.repeat(np.arange(len(row)), n_stays)
    place = np.arange(len(series)) - np.repeat(np.cumsum(n_stays) - n_stays, n_stays)
    begins = start[series] + np.where(as_agreement[series], 0, 30 * place + rng.integers(0, 20, len(series)))
    ends = np.where(as_agreement[series], stop[series], begins + rng.integers(2, 4, len(series)))
    m = len(series)

    def text(value: str) -> Texts:
        return np.full(m, value, dtype=object)

    return Episodes(
        referrals.child[row][series], np.full(m, -1), begins, ends, text("S"),
        np.where(as_agreement[series], "V4", "V3").astype(object), text("N2"),
        np.where(rng.random(m) < 0.6, "K2", "U6").astype(object), text("PR1"), text("E8"), text(""), text(""),
    )  # fmt: skip


def _missing(
    rng: np.random.Generator, config: SynthesisConfig, cal: Calibration, lives: Lives
) -> MissingSpells:
    care, children = lives.care, lives.children
    first = calendar.year_start(config.first_year)
    last = calendar.year_end(config.last_year)
    start = np.maximum(care.start, np.maximum(first, children.birth[care.child] + int(11 * DAYS_PER_YEAR)))
    stop = np.minimum(care.end, last + 1)
    years = np.maximum(0, stop - start) / DAYS_PER_YEAR
    n = rng.poisson(years * cal["care_missing_share"] * 2.5)
    period = np.repeat(np.arange(len(care)), n)
    span = (stop - start)[period]
    begins = start[period] + (rng.random(len(period)) * span).astype(np.int64)
    length = 1 + rng.exponential(1.5, len(period)).astype(np.int64)
    ends = np.minimum(begins + length, care.end[period])
    kind = np.where(rng.random(len(period)) < 0.8, "M", "A").astype(object)
    order = np.lexsort((begins, care.child[period]))
    return MissingSpells(care.child[period], kind, begins, ends).take(order)


def _reviews(rng: np.random.Generator, config: SynthesisConfig, lives: Lives) -> CareReviews:
    """After four weeks, three months later, and every six months (Care Planning Regulations 2010, regulation 33)."""
    care, children = lives.care, lives.children
    length = np.minimum(care.end, calendar.year_end(config.last_year) + 1) - care.start
    n = np.where(length < 28, 0, np.where(length < 118, 1, 2 + np.maximum(0, length - 118) // 180))
    period = np.repeat(np.arange(len(care)), n)
    place = np.arange(len(period)) - np.repeat(np.cumsum(n) - n, n)
    due = np.where(place == 0, 26, 112 + 176 * np.maximum(0, place - 1))
    held = care.start[period] + due - rng.integers(0, 6, len(period))
    child = care.child[period]
    age = (held - children.birth[child]) / DAYS_PER_YEAR
    spoken = np.array(["PN1", "PN2", "PN3", "PN5", "PN6", "PN7"], dtype=object)
    code = np.where(
        age < 4,
        "PN0",
        spoken[draw_categories(rng, np.array([0.55, 0.05, 0.02, 0.16, 0.12, 0.10]), len(period))],
    )
    return CareReviews(child, held, code.astype(object))


KINDS_OF_PLACEMENT: dict[str, tuple[str, ...]] = {
    "foster": ("U1", "U2", "U3", "U4", "U5", "U6"),
    "parents": ("P1",),
    "childrens_homes": ("K1", "K2"),
    "independent": ("P2", "H5"),
}
"""Kinds of placement with a published share at 31 March, and their codes."""
