"""Flaws as real returns have them, put into clean records: missing, conflicting, repeated, unlisted, unusable.

No flaw takes a usable record away: unusable records (no child id, a date that is none) are written in addition, and a
birth date is misspelt only where enough other returns carry the right month to outvote it. So the known outcome
stays what a warehouse finds, whatever the messiness.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.calendar import NEVER
from csc_evaluation.synthetic.census import CensusReturn, ChildRecords, ReferralRecords
from csc_evaluation.synthetic.config import SynthesisConfig
from csc_evaluation.synthetic.lives import FLAWS_STREAM, Lives, stream
from csc_evaluation.synthetic.looked_after import CareReturn

Texts = NDArray[np.object_]

ENOUGH_RETURNS = 4
"""Returns a child must be in before one of them may carry a wrong month of birth."""


def returns_per_child(lives: Lives, la_code: str, years: range) -> NDArray[np.int64]:
    """In how many CIN returns of an authority each child of the group appears."""
    table = lives.referrals
    count = np.zeros(len(lives.children), dtype=np.int64)
    for year in years:
        here = np.array([area.codes[year] == la_code for area in lives.group.areas])
        is_open = (table.referral_date <= calendar.year_end(year)) & (
            table.closure >= calendar.year_start(year)
        )
        child = np.unique(table.child[is_open & here[lives.children.area[table.child]]])
        count[child] += 1
    return count


def spoil_census(
    config: SynthesisConfig, group_key: int, census: CensusReturn, n_returns: NDArray[np.int64]
) -> CensusReturn:
    """A census return with flaws at the configured rate; the same return where the rate is 0.

    Args:
        n_returns: see :func:`returns_per_child`.
    """
    m = config.messiness
    if m == 0:
        return census
    rng = stream(config, group_key, FLAWS_STREAM, census.year, int(census.la_code), 0)
    children = _spoil_children(rng, m, census, n_returns)
    referrals = census.referrals
    n = len(referrals)
    source = _sometimes(rng, referrals.source, m / 5, ("99", "11", "2C"))
    source = _sometimes(rng, source, m / 2, ("",))
    need = _sometimes(rng, referrals.need, m / 5, ("N10", "A1"))
    need = _sometimes(rng, need, m, ("",))
    reason = np.where(
        (referrals.reason != "") & (rng.random(n) < m / 5),
        "RC0",
        np.where(rng.random(n) < m / 3, "", referrals.reason),
    )
    closure = np.where(
        referrals.is_nfa & (referrals.closure < NEVER) & (rng.random(n) < m / 4),
        referrals.referral_date - 3,
        referrals.closure,
    )
    referrals = replace(referrals, source=source, need=need, reason=reason.astype(object), closure=closure)
    factors = replace(census.factors, code=_sometimes(rng, census.factors.code, m / 10, ("99Z", "4D", "7B")))
    disabilities = replace(
        census.disabilities, code=_sometimes(rng, census.disabilities.code, m / 10, ("UNK", "SLD"))
    )
    spoilt = replace(
        census, children=children, referrals=referrals, factors=factors, disabilities=disabilities,
        n_without_id=int(rng.poisson(m * len(children) / 20)),
        n_impossible_dates=int(rng.poisson(m * len(children) / 40)),
    )  # fmt: skip
    return _repeat_some_children(rng, m, spoilt)


def _spoil_children(
    rng: np.random.Generator, m: float, census: CensusReturn, n_returns: NDArray[np.int64]
) -> ChildRecords:
    children = census.children
    n = len(children)
    ethnicity = _sometimes(rng, children.ethnicity, 2 * m, ("NOBT",))
    ethnicity = _sometimes(rng, ethnicity, m / 2, ("REFU",))
    ethnicity = _sometimes(rng, ethnicity, m / 2, ("WOTH", "MOTH", "OOTH"))
    ethnicity = _sometimes(rng, ethnicity, m / 10, ("XXXX",))
    gender = np.where(
        (rng.random(n) < m / 5) & ~children.is_expected_birth,
        np.where(children.gender == "1", "2", "1"),
        children.gender,
    )
    gender = _sometimes(rng, gender.astype(object), m / 5, ("0", "9"))
    loses_upn = (children.upn != "") & (rng.random(n) < 2 * m)
    misspelt = (
        ~children.is_expected_birth
        & (n_returns[children.child] >= ENOUGH_RETURNS)
        # One return a child at most: the year picks a quarter of the children, each in its own.
        & (children.child % ENOUGH_RETURNS == census.year % ENOUGH_RETURNS)
        & (children.child % 1009 < 1009 * m)
    )
    shift = np.where(children.child % 2 == 0, 40, -40)
    return replace(
        children,
        ethnicity=ethnicity,
        gender=gender,
        upn=np.where(loses_upn, "", children.upn).astype(object),
        former_upn=np.where(loses_upn, "", children.former_upn).astype(object),
        upn_unknown=np.where(loses_upn, "UN5", children.upn_unknown).astype(object),
        birth=np.where(misspelt, children.birth + shift, children.birth),
    )


def _sometimes(rng: np.random.Generator, values: Texts, share: float, others: tuple[str, ...]) -> Texts:
    """Values replaced at random by one of the others."""
    chosen = np.array(others, dtype=object)[rng.integers(0, len(others), len(values))]
    return np.where(rng.random(len(values)) < min(1.0, share), chosen, values).astype(object)


def _repeat_some_children(rng: np.random.Generator, m: float, census: CensusReturn) -> CensusReturn:
    """The same child twice in a return: a second ``Child`` with the referrals again, less well known."""
    children = census.children
    row = np.flatnonzero(rng.random(len(children)) < m / 10)
    if not len(row):
        return census
    again = children.take(row)
    again = replace(
        again,
        upn=np.full(len(row), "", dtype=object),
        former_upn=np.full(len(row), "", dtype=object),
        upn_unknown=np.full(len(row), "UN5", dtype=object),
        ethnicity=np.full(len(row), "NOBT", dtype=object),
    )
    new_number = np.zeros(len(children) + 1, dtype=np.int64)
    new_number[row + 1] = len(children) + 1 + np.arange(len(row))
    referrals = census.referrals
    copied = np.flatnonzero(new_number[referrals.child_no] > 0)
    more = referrals.take(copied)
    more = replace(more, child_no=new_number[more.child_no])
    return replace(
        census,
        children=ChildRecords.concat([children, again]),
        referrals=ReferralRecords.concat([referrals, more]),
    )


def spoil_care(config: SynthesisConfig, group_key: int, care: CareReturn) -> CareReturn:
    """An SSDA903 return with flaws at the configured rate; the same return where the rate is 0."""
    m = config.messiness
    if m == 0:
        return care
    rng = stream(config, group_key, FLAWS_STREAM, care.year, int(care.la_code), 1)
    modules = {name: dict(values) for name, values in care.modules.items()}
    children = dict(care.children)
    header = modules["header"]
    header["ETHNIC"] = _sometimes(rng, header["ETHNIC"], m, ("NOBT",))
    header["ETHNIC"] = _sometimes(rng, header["ETHNIC"], m / 10, ("ZZZZ",))
    header["UPN"] = _sometimes(rng, header["UPN"], m, ("", "UN3"))
    episodes = modules["episodes"]
    is_short_break = np.isin(episodes["LS"], ("V3", "V4"))
    place = _sometimes(rng, episodes["PLACE"], m / 5, ("Q9", "U9"))
    episodes["PLACE"] = np.where(is_short_break, episodes["PLACE"], place).astype(object)
    episodes["CIN"] = _sometimes(rng, episodes["CIN"], m / 2, ("", "N11"))
    # Whole rows twice.
    twice = np.flatnonzero(rng.random(len(children["episodes"])) < m / 10)
    order = np.sort(np.concatenate([np.arange(len(children["episodes"])), twice]))
    modules["episodes"] = {column: values[order] for column, values in episodes.items()}
    children["episodes"] = children["episodes"][order]
    return replace(
        care, modules=modules, children=children, n_impossible_dates=int(rng.poisson(m * len(order) / 20))
    )
