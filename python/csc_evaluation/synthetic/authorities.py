"""England's authorities as areas that keep their children when codes change."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from csc_evaluation.errors import CscError, SeedError
from csc_evaluation.project import read_seed_file
from csc_evaluation.synthetic.calendar import parse_day, return_year_of
from csc_evaluation.synthetic.calibration import ETHNICITY_SEED, REFERRALS_SEED, Calibration
from csc_evaluation.synthetic.config import EARLIEST_YEAR, LATEST_YEAR, SynthesisConfig

# Authorities that were replaced: old code, new code, and the share of the new authority's children that came from
# the old one (Structural Changes Orders of 2008, 2018, 2020 and 2022; old Dorset gave Christchurch, about an eighth
# of the new authority's children, to Bournemouth, Christchurch and Poole, the rest splitting 41 to 47; rounded).
_SUCCESSIONS: tuple[tuple[str, str, float], ...] = (
    ("835", "838", 1.0),
    ("835", "839", 0.12),
    ("836", "839", 0.41),
    ("837", "839", 0.47),
    ("909", "942", 1.0),
    ("909", "943", 1.0),
    ("928", "940", 1.0),
    ("928", "941", 1.0),
)


@dataclass(frozen=True)
class Area:
    """A place whose children always appear under the same authority code within a return year."""

    codes: dict[int, str]
    """Authority code by return year."""
    weight: float
    """Share of the group's children."""


@dataclass(frozen=True)
class AuthorityGroup:
    """Authorities that share children through reorganisations; for most of England, one authority."""

    key: int
    """Lowest authority code of the group: the key of its random streams."""
    areas: tuple[Area, ...]
    referrals: dict[int, float]
    """Expected referrals by return year at scale 1."""
    ethnicity: NDArray[np.float64]
    """Population shares in the order of :data:`ETHNICITIES`."""
    written_codes: frozenset[str]
    """Codes whose returns are asked for."""

    def codes_of_year(self, year: int) -> list[str]:
        """Codes with a return to write for the year, ascending."""
        return sorted({area.codes[year] for area in self.areas} & self.written_codes)


ETHNICITIES: tuple[str, ...] = (
    "WBRI", "WIRI", "WIRT", "WOTH", "WROM", "MWBC", "MWBA", "MWAS", "MOTH", "AIND", "APKN", "ABAN", "AOTH",
    "CHNE", "BCRB", "BAFR", "BOTH", "OOTH",
)  # fmt: skip


def programme_sites(programme: str) -> dict[str, int | None]:
    """Go-live day of each site of a programme, None where it has none.

    Raises:
        SeedError: no such programme.
    """
    sites = read_seed_file("protocol/sites")
    rows = sites[sites["programme"] == programme]
    if rows.empty:
        raise SeedError(f"seeds/protocol/sites.csv: no sites of programme {programme!r}.")
    return {
        str(row.la_code): None if pd.isna(row.go_live_date) else parse_day(str(row.go_live_date))
        for row in rows.itertuples(index=False)
    }


def authority_groups(
    config: SynthesisConfig, calibration: Calibration, also: Collection[str] = ()
) -> list[AuthorityGroup]:
    """The groups to generate, in the order of their keys.

    Args:
        also: codes that a number of authorities holds besides the programme's sites.

    Raises:
        CscError: an authority code is unknown, or too many or too few authorities are asked for.
    """
    table = read_seed_file("reference/local_authorities")
    known = {str(row.la_code): _years_valid(row) for row in table.itertuples(index=False)}
    wanted = _wanted_codes(config, known, also)
    population = _by_code_and_year("reference/la_child_population", "n_children")
    referrals = _by_code_and_year(REFERRALS_SEED, "n_referrals")
    ethnicity = _ethnicity_shares()
    groups = []
    for members in _families_of_codes(known):
        written = frozenset(members) & wanted
        if not written:
            continue
        years = range(EARLIEST_YEAR, LATEST_YEAR + 1)
        in_force = {
            year: [code for code in members if known[code][0] <= year <= known[code][1]] for year in years
        }
        latest = in_force[LATEST_YEAR]
        groups.append(
            AuthorityGroup(
                key=min(int(code) for code in members),
                areas=_areas(members, in_force, population),
                referrals={
                    year: sum(
                        _referrals(code, year, referrals, population, calibration) for code in in_force[year]
                    )
                    for year in years
                },
                ethnicity=np.mean([ethnicity[code] for code in latest], axis=0),
                written_codes=written,
            )
        )
    return sorted(groups, key=lambda group: group.key)


def neighbours(config: SynthesisConfig, calibration: Calibration) -> list[AuthorityGroup]:
    """Every group of England in order: each exchanges movers with the next, the last with the first."""
    everyone = SynthesisConfig(
        scale=config.scale, seed=config.seed, first_year=config.first_year, last_year=config.last_year,
        format="extracts", programme=config.programme,
    )  # fmt: skip
    return authority_groups(everyone, calibration)


def _years_valid(row: object) -> tuple[int, int]:
    first, last = row.valid_from, row.valid_to  # type: ignore[attr-defined]
    first_year = (
        EARLIEST_YEAR if pd.isna(first) else int(return_year_of(np.array([parse_day(str(first))]))[0])
    )
    last_year = LATEST_YEAR if pd.isna(last) else int(return_year_of(np.array([parse_day(str(last))]))[0])
    return first_year, last_year


def _wanted_codes(
    config: SynthesisConfig, known: dict[str, tuple[int, int]], also: Collection[str]
) -> set[str]:
    covered = {
        code
        for code, (first, last) in known.items()
        if first <= config.last_year and last >= config.first_year
    }
    if config.authorities is None:
        return covered
    if not isinstance(config.authorities, int):
        for code in config.authorities:
            if code not in known:
                raise CscError(
                    f"authority {code!r} is unknown; give codes of seeds/reference/local_authorities.csv."
                )
            if code not in covered:
                raise CscError(
                    f"authority {code} makes no return in the years {config.first_year} to {config.last_year}."
                )
        if not config.authorities:
            raise CscError("the list of authorities is empty; give authority codes, or leave it out.")
        return set(config.authorities)
    sites = set(programme_sites(config.programme)) | set(also)
    others = sorted(
        code
        for code, (first, last) in known.items()
        if first <= config.first_year and last >= config.last_year and code not in sites
    )
    n_others = config.authorities - len(sites)
    if not 0 <= n_others <= len(others):
        raise CscError(
            f"authorities is {config.authorities}; give a number from {len(sites)} (the sites of {config.programme}"
            f"{', and those planted beside them' if also else ''}) "
            f"to {len(sites) + len(others)}, or leave it out for all of England."
        )
    stream = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(0,)))
    return sites | set(np.array(others)[stream.permutation(len(others))[:n_others]].tolist())


def _families_of_codes(known: dict[str, tuple[int, int]]) -> list[list[str]]:
    family = {code: {code} for code in known}
    for old, new, _ in _SUCCESSIONS:
        merged = family[old] | family[new]
        for code in merged:
            family[code] = merged
    return [sorted(members) for members in {frozenset(members) for members in family.values()}]


def _areas(
    members: list[str], in_force: dict[int, list[str]], population: dict[str, dict[int, float]]
) -> tuple[Area, ...]:
    successions = [row for row in _SUCCESSIONS if row[0] in members]
    if not successions:
        return (Area(dict.fromkeys(in_force, members[0]), 1.0),)
    areas = []
    for old, new, share in successions:
        last_old = max(year for year, codes in in_force.items() if old in codes)
        codes = {year: old if year <= last_old else new for year in in_force}
        areas.append(Area(codes, share * _nearest(population[new], last_old)))
    total = sum(area.weight for area in areas)
    return tuple(Area(area.codes, area.weight / total) for area in areas)


def _by_code_and_year(seed: str, column: str) -> dict[str, dict[int, float]]:
    table = read_seed_file(seed)
    out: dict[str, dict[int, float]] = {}
    for code, year, number in zip(table["la_code"], table["year"], table[column], strict=True):
        out.setdefault(str(code), {})[int(year)] = float(number)
    return out


def _nearest(series: dict[int, float], year: int) -> float:
    return series[min(series, key=lambda known: (abs(known - year), known))]


def _referrals(
    code: str,
    year: int,
    referrals: dict[str, dict[int, float]],
    population: dict[str, dict[int, float]],
    calibration: Calibration,
) -> float:
    series = referrals.get(code, {})
    if year in series:
        return series[year]
    if not series:
        return 0.055 * _nearest(population[code], year)
    nearest = min(series, key=lambda known: (abs(known - year), known))
    return series[nearest] * calibration.target("referrals", year) / calibration.target("referrals", nearest)


def _ethnicity_shares() -> dict[str, NDArray[np.float64]]:
    table = read_seed_file(ETHNICITY_SEED)
    out: dict[str, NDArray[np.float64]] = {}
    for code, rows in table.groupby("la_code", sort=True):
        shares = dict(zip(rows["ethnicity_code"], rows["population_share"].astype(float), strict=True))
        values = np.array([shares.get(name, 0.0) for name in ETHNICITIES])
        out[str(code)] = values / values.sum()
    return out
