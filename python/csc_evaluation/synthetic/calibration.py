"""Published targets and model parameters, read from the seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csc_evaluation.errors import SeedError
from csc_evaluation.project import read_seed_file

TARGETS_SEED = "reference/synthetic_calibration"
PARAMETERS_SEED = "reference/synthetic_parameters"
REFERRALS_SEED = "reference/synthetic_la_referrals"
ETHNICITY_SEED = "reference/synthetic_la_ethnicity"


@dataclass(frozen=True, eq=False)
class Calibration:
    """Targets by measure and year, and parameters by name.

    Example:
        >>> Calibration.load().target("referrals", 2018)
        655630.0
    """

    targets: dict[str, dict[int, float]]
    parameters: dict[str, float]

    @classmethod
    def load(cls) -> Calibration:
        """Read both seeds.

        Raises:
            SeedError: a seed is missing.
        """
        targets: dict[str, dict[int, float]] = {}
        for row in read_seed_file(TARGETS_SEED).itertuples(index=False):
            targets.setdefault(str(row.measure), {})[int(str(row.period))] = float(str(row.target_value))
        parameters = {
            str(row.parameter): float(str(row.parameter_value))
            for row in read_seed_file(PARAMETERS_SEED).itertuples(index=False)
        }
        return cls(targets, parameters)

    def __getitem__(self, parameter: str) -> float:
        try:
            return self.parameters[parameter]
        except KeyError as error:
            raise SeedError(f"seeds/{PARAMETERS_SEED}.csv: no row for {parameter!r}.") from error

    def target(self, measure: str, year: int) -> float:
        """The published figure of a year, or of the nearest year published (the earlier of two)."""
        series = self.targets.get(measure)
        if not series:
            raise SeedError(f"seeds/{TARGETS_SEED}.csv: no row for {measure!r}.")
        return series[min(series, key=lambda known: (abs(known - year), known))]

    def by_year(self, measure: str, years: NDArray[np.int64]) -> NDArray[np.float64]:
        """The published figure for each of an array of years."""
        unique, inverse = np.unique(years, return_inverse=True)
        return np.array([self.target(measure, int(year)) for year in unique], dtype=float)[inverse]

    def shares(self, prefix: str, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Parameters ``<prefix>_<name>``, scaled to add up to 1."""
        values = np.array([self[f"{prefix}_{name}"] for name in names])
        return values / values.sum()
