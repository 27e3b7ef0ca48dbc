"""The point estimate with its inferences on a million weighted rows, against pyfixest and statsmodels.

Each runs in a process of its own, on the same frame in memory, one after the other in the same run. Ours starts from a table
of children in DuckDB and ends with the estimate, CR1 and CR2; pyfixest gives the estimate with CR1 (its second run
counts, the first compiles), statsmodels WLS the estimate with clustered errors. Prints seconds, peak memory and ratios.

    python benchmarks/estimation.py [--rows 1000000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

N_CLUSTERS = 10
ETHNICITIES = 18
FORMULA = (
    "y ~ treated + C(gender) + age_at_index + C(ethnicity) + is_disabled + C(fsm_regression) + is_uasc + n_previous_plans "
    "+ la_share_fsm + la_share_white_british + has_other_programme"
)


def children(n_rows: int, seed: int = 1) -> pd.DataFrame:
    """Children of ten authorities of unequal size over 22 quarters, half of the authorities live from some quarter on."""
    rng = np.random.default_rng(seed)
    size = np.array([10, 6, 4, 2, 1.5, 8, 5, 4, 2, 1])
    la = rng.choice(N_CLUSTERS, n_rows, p=size / size.sum())
    quarter = rng.integers(0, 22, n_rows)
    is_live = (la < N_CLUSTERS // 2) & (quarter >= 12 + 2 * la)
    share = 0.3 + 0.05 * rng.normal(size=(N_CLUSTERS, 22))
    white = 0.7 + 0.05 * rng.normal(size=(N_CLUSTERS, 22))
    ethnicity = rng.choice(
        ETHNICITIES, n_rows, p=np.r_[0.62, np.full(ETHNICITIES - 1, 0.38 / (ETHNICITIES - 1))]
    )
    strata = rng.choice([0.4, 0.7, 1.0, 1.3, 1.9, 2.6], n_rows)
    start = pd.Timestamp(2017, 4, 1)
    quarters = np.array([(start + pd.DateOffset(months=3 * q)).date() for q in range(22)])
    age = rng.integers(0, 13, n_rows)
    return pd.DataFrame(
        {
            "la_code": np.array([f"{301 + code}" for code in range(N_CLUSTERS)])[la],
            "quarter_start": quarters[quarter],
            "financial_year": 2017 + quarter // 4,
            "gender": rng.choice(["1", "2", "3"], n_rows, p=[0.49, 0.49, 0.02]),
            "age_at_index": age,
            "ethnicity": np.array([f"E{code:02d}" for code in range(ETHNICITIES)])[ethnicity],
            "is_disabled": rng.random(n_rows) < 0.12,
            "fsm_regression": rng.choice(["below school age", "no", "yes"], n_rows, p=[0.4, 0.35, 0.25]),
            "is_uasc": rng.random(n_rows) < 0.01,
            "n_previous_plans": rng.choice(4, n_rows, p=[0.85, 0.1, 0.04, 0.01]),
            "la_share_fsm": share[la, quarter],
            "la_share_white_british": white[la, quarter],
            "has_other_programme": (la == 7) & (quarter > 9),
            "is_treated_authority": la < N_CLUSTERS // 2,
            "is_treated": is_live,
            "weight": np.where(la < N_CLUSTERS // 2, 1.0, strata),
            "outcome_value": (rng.random(n_rows) < 0.06 + 0.003 * age - 0.015 * is_live).astype(float),
        }
    )


def ours(frame: pd.DataFrame) -> dict[str, float]:
    """DuckDB to cells, cells to moments, moments to estimate, CR1 and CR2."""
    import ibis

    from csc_evaluation.estimation.inference import cr1, cr2
    from csc_evaluation.estimation.moments import least_squares_of_moments
    from csc_evaluation.estimation.protocol import Covariate
    from csc_evaluation.estimation.sample import TREATED, compress_rows

    kinds = {
        "gender": ("child", "categorical"),
        "age_at_index": ("child", "numeric"),
        "ethnicity": ("child", "categorical"),
        "is_disabled": ("child", "categorical"),
        "fsm_regression": ("child", "categorical"),
        "is_uasc": ("child", "categorical"),
        "n_previous_plans": ("child", "numeric"),
        "la_share_fsm": ("authority", "numeric"),
        "la_share_white_british": ("authority", "numeric"),
        "has_other_programme": ("authority", "categorical"),
    }
    covariates = [Covariate("y", name, level, kind) for name, (level, kind) in kinds.items()]
    backend = ibis.duckdb.connect(threads=2)
    table = backend.create_table("children", frame)
    n_rows = len(frame)
    del frame
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        sample = compress_rows("y", table, covariates, ("la_code", "financial_year"), n_children=n_rows)
        compressed = time.perf_counter()
        fit = least_squares_of_moments(sample.moments, required=(TREATED,))
        results = [method(fit, TREATED, confidence_level=0.95) for method in (cr1, cr2)]
        seconds.append((time.perf_counter() - started, compressed - started))
    return {
        "seconds": seconds[-1][0],
        "seconds_in_sql": seconds[-1][1],
        "n_cells": len(sample.n_rows),
        "estimate": results[0].estimate,
        "cr1": results[0].std_error,
        "cr2": results[1].std_error,
    }


def of_pyfixest(frame: pd.DataFrame) -> dict[str, float]:
    """pyfixest's estimate with CRV1; the second run counts."""
    import pyfixest as pf

    frame = _numeric(frame)
    for _ in range(2):
        started = time.perf_counter()
        fit = pf.feols(
            f"{FORMULA} | la_code + financial_year", data=frame, weights="weight", vcov={"CRV1": "la_code"}
        )
        estimate, error = float(fit.coef()["treated"]), float(fit.se()["treated"])
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "estimate": estimate, "cr1": error}


def of_statsmodels(frame: pd.DataFrame) -> dict[str, float]:
    """statsmodels WLS with dummies and clustered errors."""
    import statsmodels.formula.api as smf

    frame = _numeric(frame)
    groups = frame.la_code.astype(int)
    started = time.perf_counter()
    fit = smf.wls(f"{FORMULA} + C(la_code) + C(financial_year)", frame, weights=frame.weight).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    estimate, error = float(fit.params["treated"]), float(fit.bse["treated"])
    return {"seconds": time.perf_counter() - started, "estimate": estimate, "cr1": error}


def _numeric(frame: pd.DataFrame) -> pd.DataFrame:
    flags = {name: frame[name].astype(float) for name in ("is_disabled", "is_uasc", "has_other_programme")}
    return frame.assign(y=frame.outcome_value, treated=frame.is_treated.astype(float), **flags).drop(
        columns=["quarter_start", "is_treated", "is_treated_authority", "outcome_value"]
    )


WAYS = {"ours": ours, "pyfixest": of_pyfixest, "statsmodels": of_statsmodels}


def main() -> None:
    """Run each way in a process of its own and print how they compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--way", choices=sorted(WAYS), help="run one of them and print its figures as JSON")
    arguments = parser.parse_args()
    if arguments.way:
        frame = children(arguments.rows)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = WAYS[arguments.way](frame)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({**found, "peak_mb": peak / 1024, "frame_mb": before / 1024}))
        return
    results = {}
    for way in WAYS:
        print(f"{way} ...", file=sys.stderr, flush=True)
        command = [sys.executable, __file__, "--way", way, "--rows", str(arguments.rows)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        results[way] = json.loads(done.stdout.strip().splitlines()[-1])
    mine = results["ours"]
    print(f"{arguments.rows:,} rows, {mine['n_cells']:,} cells, {N_CLUSTERS} clusters")
    print(f"{'':12} {'seconds':>8} {'ratio':>7} {'peak MB':>8} {'estimate':>12} {'CR1':>12}")
    for way, found in results.items():
        print(
            f"{way:12} {found['seconds']:8.2f} {found['seconds'] / mine['seconds']:7.1f} {found['peak_mb']:8.0f} "
            f"{found['estimate']:12.8f} {found['cr1']:12.8f}"
        )
    print(f"of ours in SQL: {mine['seconds_in_sql']:.2f} s; CR2 {mine['cr2']:.8f}")
    others = [results[way] for way in ("pyfixest", "statsmodels")]
    print(
        "largest relative difference of the estimate: "
        f"{max(abs(found['estimate'] / mine['estimate'] - 1) for found in others):.1e}"
    )


if __name__ == "__main__":
    main()
