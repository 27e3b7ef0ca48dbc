"""How often the checks of parallel trends and common shocks reject, on simulated authorities with a known drift or shock.

Prints, for each design, the share of simulations with p < 0.05: without a drift (the level of the test; 0.05 would be
right) and with one (its power).

    python benchmarks/assumption_levels.py --simulations 1000
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Small matrices: more threads only wait for one another. Must be set before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "python"))

import datetime as dt

import numpy as np

from csc_evaluation.estimation.protocol import Shock
from csc_evaluation.matching.common_shocks import shock_check
from csc_evaluation.matching.parallel_trends import leads_check, placebo_check
from csc_evaluation.matching.stacked import CheckRow
from support.stacked_cells import Design, cells_after, cells_before, groups

PARAMETERS: Any = SimpleNamespace(
    placebo_quarters_min=4,
    lead_years_max=2,
    treated_clusters_min=3,
    confidence_level=0.95,
    significance_level=0.05,
    power=0.8,
)
DESIGNS = {
    "4 pairs, 8 to 14 quarters": Design(n_quarters=(8, 9, 10, 14)),
    "6 pairs, 9 to 16 quarters": Design(),
    "6 pairs, sizes 1 to 20": Design(size_ratio=20.0),
    "6 treated, 2 comparators": Design(n_comparators=2),
    "6 treated, 3 comparators": Design(n_comparators=3),
    "10 pairs, 22 quarters": Design(n_quarters=(22,) * 10),
}
FLOOD = Shock("flood", "A flood", "other", None, dt.date(2021, 7, 1), dt.date(2021, 9, 30), False)


def share(rows: list[CheckRow]) -> str:
    """Share with p < 0.05 and its standard error; a row without a p-value counts as no rejection."""
    rejected = [row.p_value is not None and row.p_value < 0.05 for row in rows]
    mean = float(np.mean(rejected))
    return f"{mean:.3f} ({(mean * (1 - mean) / len(rejected)) ** 0.5:.3f})"


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    seeds = range(parser.parse_args().simulations)

    print("| design | drift per quarter | placebo_4 | leads, joint |")
    print("| --- | ---: | ---: | ---: |")
    for name, parallel in DESIGNS.items():
        for drift in (0.0, 0.01):
            design = replace(parallel, drift=drift)
            placebos, joints = [], []
            for seed in seeds:
                cells = cells_before(design, seed)
                placebos.append(placebo_check("simulated", cells, groups(design), 4, PARAMETERS))
                joints.append(leads_check("simulated", cells, groups(design), PARAMETERS)[-1])
            print(f"| {name} | {drift} | {share(placebos)} | {share(joints)} |", flush=True)

    print("\n| pairs | shock, both arms | more on the treated | shock | shock_x_treated |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for n_groups in (4, 6, 10):
        for common, on_treated in ((0.0, 0.0), (0.1, 0.0), (0.0, 0.05)):
            rows = [
                shock_check(
                    "simulated",
                    FLOOD,
                    cells_after(seed, n_groups=n_groups, common=common, on_treated=on_treated),
                    PARAMETERS,
                )
                for seed in seeds
            ]
            first, second = (list(column) for column in zip(*rows, strict=True))
            print(f"| {n_groups} | {common} | {on_treated} | {share(first)} | {share(second)} |", flush=True)


if __name__ == "__main__":
    main()
