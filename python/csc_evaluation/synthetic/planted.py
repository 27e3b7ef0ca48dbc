"""Planted neighbours: authorities whose risk of care moves with common factors, and a known comparator for each site.

Off unless asked for (:attr:`csc_evaluation.synthetic.SynthesisConfig.planted_neighbours`). Where it is on, the risk of
the primary outcome in authority a and quarter q, before the mix of its children, is England's average risk times::

    level_a + sum over k of loading_ak * factor_kq + shock_aq

a linear factor model, as difference-in-differences and synthetic control assume it. Every site of the programme has one
comparator with its loadings and its level (a loading on a factor that is constant: the distance of the definitions
divides by a spread that changes from quarter to quarter, and so is not blind to levels). What then tells the two apart
are their mix of children and their shocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from csc_evaluation.errors import CscError
from csc_evaluation.project import read_seed_file
from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.authorities import AuthorityGroup, programme_sites
from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.config import SynthesisConfig

Floats = NDArray[np.float64]

ENGLAND = 0
"""Key of the streams that no group of authorities owns."""
STRUCTURE_STREAM = 12
LOWEST = 0.05
"""A quarter's risk as a share of England's average never falls below this, whatever the factors say."""
REFERRALS_MIN = 1000.0
"""Referrals a year, at scale 1, from which an authority may be planted: below, its quarters have too few children."""

LOADINGS_FILE = "planted_loadings.parquet"
FACTORS_FILE = "planted_factors.parquet"
PAIRS_FILE = "planted_pairs.parquet"
QUARTERS_FILE = "planted_quarters.parquet"

QUARTERS_SCHEMA = pa.schema(
    [
        ("la_code", pa.string()),
        ("quarter_start", pa.date32()),
        ("n_children", pa.int64()),
        ("mean_risk", pa.float64()),
        ("risk_ratio", pa.float64()),
    ]
)


@dataclass(frozen=True, eq=False)
class PlantedStructure:
    """The factors, who loads how much on them, and who was planted beside whom.

    Attributes:
        factors: paths of unit variance, one row per factor and one column per quarter from the start of the burn-in.
        loadings: by key of the group of authorities, one number per factor, as shares of England's average risk.
        levels: by key, the level of those that were planted; others have their own.
        pairs: site to its planted comparator, by authority code.
        shock_sd: standard deviation of an authority's own shocks, in the same unit as loadings.
    """

    factors: Floats
    loadings: dict[int, Floats]
    levels: dict[int, float]
    pairs: dict[str, str]
    shock_sd: float

    def risk_ratio(self, key: int, level: float, own_path: Floats) -> Floats:
        """Risk by quarter, relative to England's average, of a group of authorities without regard to its children.

        Args:
            key: of the group.
            level: its own level, 1 on average; one that was planted has that of its site.
            own_path: its own path of unit variance, one number per quarter.
        """
        level = self.levels.get(key, level)
        return np.maximum(level + self.loadings[key] @ self.factors + self.shock_sd * own_path, LOWEST)


def planted_pairs(config: SynthesisConfig, england: list[AuthorityGroup]) -> dict[str, str]:
    """Site to planted comparator: drawn by the seed among those that matching could choose, each planted once.

    Args:
        england: every group of authorities, whichever are generated.

    Raises:
        CscError: there are more sites than authorities that could be planted.
    """
    sites = programme_sites(config.programme)
    exclusions = read_seed_file("protocol/exclusions")
    barred = set(sites) | set(exclusions.loc[exclusions["programme"] == config.programme, "la_code"])
    years = range(config.first_year, config.last_year + 1)
    possible = [
        group.areas[0].codes[config.first_year]
        for group in england
        if len(group.areas) == 1 and min(group.referrals[year] for year in years) >= REFERRALS_MIN
    ]
    possible = sorted(set(possible) - barred)
    if len(possible) < len(sites):
        raise CscError(
            f"{config.programme} has {len(sites)} sites, but only {len(possible)} authorities could be planted beside them."
        )
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(ENGLAND, STRUCTURE_STREAM)))
    chosen = rng.permutation(len(possible))[: len(sites)]
    return {site: possible[place] for site, place in zip(sorted(sites), chosen, strict=True)}


def planted_structure(
    config: SynthesisConfig,
    calibration: Calibration,
    england: list[AuthorityGroup],
    n_quarters: int,
    level_of: Callable[[int], float],
) -> PlantedStructure:
    """Draw factors, loadings and pairs; what a group gets does not depend on which others are generated.

    Args:
        england: every group of authorities, whichever are generated.
        n_quarters: from the start of the burn-in.
        level_of: level of the group with that key.
    """
    n_factors = int(calibration["planted_factors"])
    rho = calibration["planted_factor_autocorrelation"]
    pairs = planted_pairs(config, england)
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(ENGLAND, STRUCTURE_STREAM, 1)))
    factors = np.array([autoregressive_path(rng, n_quarters, rho) for _ in range(n_factors)])
    loadings = {
        group.key: config.planted_neighbours
        * np.random.default_rng(
            np.random.SeedSequence(config.seed, spawn_key=(group.key, STRUCTURE_STREAM))
        ).standard_normal(n_factors)
        for group in england
    }
    key_of = {code: group.key for group in england for area in group.areas for code in area.codes.values()}
    levels = {}
    for site, comparator in pairs.items():
        loadings[key_of[comparator]] = loadings[key_of[site]]
        levels[key_of[comparator]] = level_of(key_of[site])
    return PlantedStructure(factors, loadings, levels, pairs, calibration["planted_shock_sd"])


def autoregressive_path(rng: np.random.Generator, n: int, rho: float) -> Floats:
    """A stationary AR(1) path of unit variance."""
    shocks = rng.standard_normal(n)
    path = np.empty(n)
    path[0] = shocks[0]
    for place in range(1, n):
        path[place] = rho * path[place - 1] + np.sqrt(1 - rho**2) * shocks[place]
    return path


def quarters_of_group(
    group: AuthorityGroup,
    area: NDArray[np.int64],
    index: calendar.Days,
    risk: Floats,
    quarter_starts: calendar.Days,
    risk_ratio: Floats,
) -> pa.Table:
    """Means without noise by authority code and calendar quarter: index events, their mean risk, and its ratio.

    ``mean_risk`` is that of the children who were referred, without the programme; ``risk_ratio`` is what the factor
    model says, relative to England's average, whoever was referred.

    Args:
        group: the authorities.
        area, index, risk: of each child with an index event, its area in the group, the day and the risk.
        quarter_starts, risk_ratio: first day of each quarter, and the ratio in it.
    """
    years = calendar.return_year_of(index).tolist()
    codes = [group.areas[place].codes[year] for place, year in zip(area.tolist(), years, strict=True)]
    place = np.searchsorted(quarter_starts, index, side="right") - 1
    frame = pd.DataFrame({"la_code": codes, "place": place, "risk": risk})
    frame = frame[frame["la_code"].isin(group.written_codes)]
    means = frame.groupby(["la_code", "place"], sort=True)["risk"].agg(["size", "mean"]).reset_index()
    places = means["place"].to_numpy(dtype=np.int64)
    return pa.table(
        {
            "la_code": pa.array(means["la_code"].tolist(), pa.string()),
            "quarter_start": pa.array(quarter_starts[places].astype("datetime64[D]"), pa.date32()),
            "n_children": pa.array(means["size"].to_numpy(dtype=np.int64)),
            "mean_risk": pa.array(means["mean"].to_numpy(dtype=np.float64)),
            "risk_ratio": pa.array(risk_ratio[places]),
        },
        schema=QUARTERS_SCHEMA,
    )


def write_structure(
    folder: Path, structure: PlantedStructure, groups: list[AuthorityGroup], quarter_starts: calendar.Days
) -> None:
    """Write factors, pairs, and the loadings of the authorities generated into the folder of the truth."""
    n_factors, n_quarters = structure.factors.shape
    numbers = np.arange(1, n_factors + 1)
    starts = quarter_starts[:n_quarters].astype("datetime64[D]")
    pq.write_table(
        pa.table(
            {
                "factor": pa.array(np.repeat(numbers, n_quarters)),
                "quarter_start": pa.array(np.tile(starts, n_factors), pa.date32()),
                "factor_value": pa.array(structure.factors.ravel()),
            }
        ),
        folder / FACTORS_FILE,
    )
    pq.write_table(
        pa.table(
            {
                "treated_la_code": pa.array(list(structure.pairs), pa.string()),
                "comparator_la_code": pa.array(list(structure.pairs.values()), pa.string()),
            }
        ),
        folder / PAIRS_FILE,
    )
    codes = [(code, group.key) for group in groups for code in sorted(group.written_codes)]
    pq.write_table(
        pa.table(
            {
                "la_code": pa.array([code for code, _ in codes for _ in numbers], pa.string()),
                "factor": pa.array(np.tile(numbers, len(codes))),
                "loading": pa.array(np.concatenate([structure.loadings[key] for _, key in codes])),
            }
        ),
        folder / LOADINGS_FILE,
    )
