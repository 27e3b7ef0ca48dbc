"""How often the headline's 95% interval holds the truth over many seeds of the demonstration.

Each seed makes its own synthetic England with its own authority effects, lands its returns, builds, matches and
estimates as ``csceval demo`` does. Prints one row a seed and the count; resumable, since finished seeds are kept
in the results file and skipped.

    python benchmarks/coverage_study.py --seeds 20
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path

from csc_evaluation import warehouse
from csc_evaluation.pipeline import run_demo

COLUMNS = [
    "seed",
    "truth",
    "estimate",
    "cr2_low",
    "cr2_high",
    "cr2_df",
    "cr2_covers",
    "cr1_low",
    "cr1_high",
    "cr1_covers",
    "n_children",
    "n_clusters",
    "seconds",
]
INTERVALS = "select inference, estimate, df, ci_low, ci_high, n_children, n_clusters from results.estimates where run_id = ? and term = 'treated'"


def run_seed(seed: int, options: argparse.Namespace) -> dict[str, object]:
    """One demonstration: the truth, and the interval under both corrections."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="csceval-coverage-") as folder:
        result = run_demo(
            Path(folder) / "demo",
            programme="family_safeguarding",
            scale=options.scale,
            seed=seed,
            n_authorities=options.authorities,
            effect=options.effect,
        )
        run_id = result.programme_run.run.run_id
        with warehouse.readable(Path(folder) / "demo" / "demo.duckdb") as connection:
            rows = {row[0]: row[1:] for row in connection.execute(INTERVALS, [run_id]).fetchall()}
    estimate, df, low, high, n_children, n_clusters = rows["cr2_satterthwaite"]
    _, _, cr1_low, cr1_high, _, _ = rows["cr1_t"]
    return {
        "seed": seed,
        "truth": f"{result.truth:.6f}",
        "estimate": f"{estimate:.6f}",
        "cr2_low": f"{low:.6f}",
        "cr2_high": f"{high:.6f}",
        "cr2_df": f"{df:.2f}",
        "cr2_covers": low <= result.truth <= high,
        "cr1_low": f"{cr1_low:.6f}",
        "cr1_high": f"{cr1_high:.6f}",
        "cr1_covers": cr1_low <= result.truth <= cr1_high,
        "n_children": n_children,
        "n_clusters": n_clusters,
        "seconds": f"{time.monotonic() - started:.0f}",
    }


def main() -> None:
    """Run the seeds that are not in the results file yet, then print the table and the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds, from 1 (default 20)")
    parser.add_argument(
        "--scale", type=float, default=0.15, help="share of England per authority (default as demo)"
    )
    parser.add_argument(
        "--authorities", type=int, default=30, help="authorities taking part (default as demo)"
    )
    parser.add_argument("--effect", type=float, default=-0.02, help="true risk difference (default -0.02)")
    parser.add_argument(
        "--results", type=Path, default=Path("target/coverage_study.csv"), help="results file"
    )
    parser.add_argument("--fresh", action="store_true", help="forget finished seeds")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    if options.fresh:
        options.results.unlink(missing_ok=True)
    done: dict[int, dict[str, str]] = {}
    if options.results.exists():
        with options.results.open(newline="") as handle:
            done = {int(row["seed"]): row for row in csv.DictReader(handle)}
    print("\t".join(COLUMNS), flush=True)
    rows = []
    for seed in range(1, options.seeds + 1):
        row = done.get(seed)
        if row is None:
            row = {name: str(value) for name, value in run_seed(seed, options).items()}
            is_new = not options.results.exists()
            with options.results.open("a", newline="") as handle:
                writer = csv.DictWriter(handle, COLUMNS)
                if is_new:
                    writer.writeheader()
                writer.writerow(row)
        print("\t".join(row[name] for name in COLUMNS), flush=True)
        rows.append(row)
    for name in ("cr2", "cr1"):
        n_covering = sum(row[f"{name}_covers"] == "True" for row in rows)
        print(f"{name}: the 95% interval holds the truth in {n_covering} of {len(rows)} seeds")
    mean_error = sum(float(row["estimate"]) - float(row["truth"]) for row in rows) / len(rows)
    print(f"mean of estimate minus truth: {100 * mean_error:+.3f} percentage points")


if __name__ == "__main__":
    main()
