"""What a run needs before it starts, and how its rows reach ``results``: all of them in one transaction, or none."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import pyarrow as pa
from ibis.common.exceptions import IbisError, TableNotFound

from csc_evaluation import project, schema
from csc_evaluation.errors import WarehouseError
from csc_evaluation.estimation.protocol import Protocol
from csc_evaluation.warehouse import ibis_readable, writable

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

OnProgress = Callable[[str, float], None]
"""Called with the name of the step that starts and the share of the work done before it, from 0 to 1."""

MARTS_READ: dict[str, tuple[str, ...]] = {
    "index_events": (
        "programme",
        "index_event",
        "child_id",
        "sequence",
        "la_code",
        "index_date",
        "age_at_index",
        "financial_year",
        "ethnicity",
        "n_previous_plans",
        "is_treated_authority",
        "is_treated",
    ),
    "trial_outcomes": (
        "programme",
        "outcome",
        "child_id",
        "sequence",
        "term",
        "la_code",
        "value",
        "is_fully_observed",
    ),
    "la_quarter_outcomes": (
        "programme",
        "outcome",
        "la_code",
        "quarter_start",
        "n_children",
        "mean_value",
        "standard_error",
    ),
    "la_quarter_rates": ("programme", "measure", "la_code", "quarter_start", "rate"),
    "sample_flow_counts": ("programme", "outcome", "la_code", "step_no", "step", "reason", "n_children"),
}
"""Marts that matching and estimation read, with the columns they cannot do without (covariates are the seeds' to name)."""
PACKAGES = ("csc-evaluation", "duckdb", "ibis-framework", "numpy", "pandas", "pyarrow", "scipy", "sqlglot")
WHOLE_BUILD = "build"


def no_progress(step: str, fraction: float) -> None:
    """Report nothing."""


@contextmanager
def reading(warehouse: Path) -> Iterator[Backend]:
    """A read-only ibis connection whose database errors become one clear line.

    Raises:
        WarehouseError: the file cannot be opened, or a query on it fails (no memory or disk left, a mart of another
            version).
    """
    try:
        with ibis_readable(warehouse) as backend:
            backend.raw_sql("set enable_progress_bar = false")
            yield backend
    except TableNotFound as error:
        raise WarehouseError(
            f"{warehouse}: cannot be read as matching and estimation need it: there is no table {error}; run dbt build."
        ) from error
    except (duckdb.Error, IbisError) as error:
        raise WarehouseError(
            f"{warehouse}: cannot be read as matching and estimation need it: {str(error).strip().splitlines()[0]}"
        ) from error


@dataclass(frozen=True)
class Provenance:
    """What a run was made from."""

    run_id: str
    started_at: dt.datetime
    code_version: str
    seeds_hash: str
    input_hash: str
    package_versions: str
    random_seed: int
    command: str | None
    build_id: str
    """Invocation of the last dbt command that wrote the warehouse."""


def ensure_built(backend: Backend) -> str:
    """The invocation id of the last dbt command, if the marts can be relied on.

    Raises:
        WarehouseError: there was no dbt build, the last whole build failed, a command since then failed, or a mart
            that estimation reads is missing or empty.
    """
    advice = "run dbt build (or csceval run, which starts with it), then try again."
    if "meta" not in backend.list_databases() or "builds" not in backend.list_tables(database="meta"):
        raise WarehouseError(f"the warehouse has not been built yet; {advice}")
    builds = backend.table("builds", database="meta")
    rows = builds.order_by([builds.finished_at, builds.invocation_id]).to_pyarrow().to_pylist()
    whole = [number for number, row in enumerate(rows) if row["command"] == WHOLE_BUILD]
    if not whole:
        raise WarehouseError(f"the warehouse has not been built as a whole yet; {advice}")
    for row in rows[whole[-1] :]:
        if row["status"] != "success":
            raise WarehouseError(
                f"the last dbt {row['command']} ({row['finished_at']:%Y-%m-%d %H:%M}) did not succeed, so the marts may not be "
                f"right: put right what it reports, {advice}"
            )
    present = backend.list_tables(database="marts") if "marts" in backend.list_databases() else []
    for name, columns in MARTS_READ.items():
        if name not in present:
            raise WarehouseError(f"the warehouse has no table marts.{name}; {advice}")
        mart = backend.table(name, database="marts")
        absent = [column for column in columns if column not in mart.columns]
        if absent:
            raise WarehouseError(
                f"marts.{name} has no column {', '.join(absent)}: it was built by another version of the project; {advice}"
            )
        if not int(mart.count().execute()):
            raise WarehouseError(
                f"marts.{name} is empty: land returns first (csceval land PATH...), then {advice}"
            )
    return str(rows[-1]["invocation_id"])


def provenance(
    backend: Backend, protocol: Protocol, *, random_seed: int, command: str | None, build_id: str
) -> Provenance:
    """Collect what identifies a run: code, seeds, input, packages, random seed and start (UTC)."""
    started_at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    programme = protocol.programme.programme
    return Provenance(
        run_id=f"{programme}-{started_at:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        started_at=started_at,
        code_version=project.code_version(),
        seeds_hash=protocol.seeds_hash,
        input_hash=input_hash(backend, programme),
        package_versions=json.dumps({name: metadata.version(name) for name in PACKAGES}, sort_keys=True),
        random_seed=random_seed,
        command=command,
        build_id=build_id,
    )


def input_hash(backend: Backend, programme: str) -> str:
    """SHA-256 over what estimation reads of one programme: every row of its marts, in whatever order they lie.

    Equal for equal rows under one version of DuckDB, whose row hash it combines.
    """
    digest = hashlib.sha256()
    for name in MARTS_READ:
        # ibis has no hash of a whole row, hence SQL; xor and sum do not depend on the order of the rows.
        query = (
            f"select count(*), bit_xor(hash(mart)), sum(hash(mart)::hugeint)::varchar "
            f"from marts.{name} as mart where programme = ?"
        )
        row = backend.con.execute(query, [programme]).fetchone()
        digest.update(f"{name} {row}\n".encode())
    return digest.hexdigest()


def write_run(
    warehouse: Path,
    protocol: Protocol,
    run: Provenance,
    *,
    stage: str,
    is_unreviewed: bool,
    note: str | None,
    tables: Mapping[str, pd.DataFrame | pa.Table],
) -> None:
    """Write one complete run: its row in ``results.runs`` and the rows of every other table, in one transaction.

    Args:
        warehouse: path of the DuckDB file.
        protocol: seeds of the programme the run is for.
        run: where the run came from.
        stage: ``match`` or ``estimate``.
        is_unreviewed: whether any pair of authorities stands without a review.
        note: a remark on the run as a whole.
        tables: for each results table its rows, without ``run_id`` and ``programme``.

    Raises:
        WarehouseError: another process holds the file, dbt has run since the run began, or the rows cannot be
            written; the warehouse is then as it was before.
    """
    programme = protocol.programme.programme
    run_row = pd.DataFrame(
        [
            {
                "stage": stage,
                "status": "complete",
                "started_at": run.started_at,
                "ended_at": dt.datetime.now(dt.UTC).replace(tzinfo=None),
                "code_version": run.code_version,
                "seeds_hash": run.seeds_hash,
                "input_hash": run.input_hash,
                "package_versions": run.package_versions,
                "random_seed": run.random_seed,
                "is_unreviewed": is_unreviewed,
                "command": run.command,
                "note": note,
            }
        ]
    )
    with writable(warehouse) as connection:
        try:
            connection.begin()
            _refuse_newer_build(connection, run.build_id)
            for name, rows in {**tables, "runs": run_row}.items():
                _insert(connection, name, rows, run_id=run.run_id, programme=programme)
            connection.commit()
        except duckdb.Error as error:
            raise WarehouseError(
                f"{warehouse}: the run could not be written and left nothing behind: {str(error).splitlines()[0]}"
            ) from error


def _refuse_newer_build(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
    row = connection.execute(
        "select invocation_id from meta.builds order by finished_at desc, invocation_id desc limit 1"
    ).fetchone()
    if row is None or row[0] != build_id:
        raise WarehouseError("dbt has written to the warehouse since this run began; start the run again.")


def _insert(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    rows: pd.DataFrame | pa.Table,
    *,
    run_id: str,
    programme: str,
) -> None:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)
    unknown = set(table.column_names) - set(schema.column_names(name, layer="results"))
    if unknown:
        raise ValueError(f"results.{name} has no column {', '.join(sorted(unknown))}")
    columns = ", ".join(table.column_names)
    connection.register("csc_rows", table)
    connection.execute(
        f"insert into results.{name} (run_id, programme, {columns}) select ?, ?, {columns} from csc_rows",
        [run_id, programme],
    )
    connection.unregister("csc_rows")
