"""The list of comparators in force, by name: authorities must be named in public (definitions, section 7)."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import ibis

from csc_evaluation.errors import CscError
from csc_evaluation.report.writing import replace_file, writable_target
from csc_evaluation.warehouse import ibis_readable

COLUMNS = (
    "programme",
    "outcome",
    "treated_la_code",
    "treated_la_name",
    "go_live_date",
    "comparator_la_code",
    "comparator_la_name",
    "distance",
    "distance_rank",
    "decision",
    "is_unreviewed",
    "run_id",
)


def write_comparators(programme: str, *, warehouse: Path, output: Path) -> Path:
    """Write the pairs as CSV: who is compared with whom, by name, and whether a person has accepted it.

    Of each outcome the newest complete run counts, whether it went on to estimate or not.

    Args:
        programme: key of the programme.
        warehouse: the DuckDB file; only read.
        output: the file to write; replaced whole.

    Returns:
        The absolute path of the file.

    Raises:
        CscError: no run has matched the programme yet, or the file cannot be written.
        WarehouseError: the warehouse cannot be opened.
    """
    target = writable_target(output)
    with ibis_readable(warehouse) as backend:
        runs = backend.table("runs", database="results")
        complete = runs.filter((runs.programme == programme) & (runs.status == "complete"))
        matches = backend.table("la_matches", database="results").semi_join(complete, "run_id")
        dated = matches.inner_join(complete.select("run_id", "started_at"), "run_id")
        newest = (
            ibis.rank().over(group_by="outcome", order_by=[ibis.desc("started_at"), ibis.desc("run_id")]) == 0
        )
        names = backend.table("local_authorities", database="reference").select("la_code", "la_name")
        rows = (
            dated.mutate(is_newest=newest)
            .filter(ibis._.is_newest)
            .left_join(names.rename(treated_la_code="la_code", treated_la_name="la_name"), "treated_la_code")
            .left_join(
                names.rename(comparator_la_code="la_code", comparator_la_name="la_name"), "comparator_la_code"
            )
            .select(*COLUMNS)
            .order_by(["outcome", "go_live_date", "treated_la_code", "distance_rank", "comparator_la_code"])
            .to_pyarrow()
            .to_pylist()
        )
    if not rows:
        raise CscError(f"{programme}: no authorities are matched yet; run csceval match {programme} first.")
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "is_unreviewed": str(row["is_unreviewed"]).lower()})
    replace_file(target, text.getvalue())
    return target
