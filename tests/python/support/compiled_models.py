"""The project's compiled SQL, run in memory: milliseconds a time where ``dbt build`` takes seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from csc_evaluation import schema, warehouse
from csc_evaluation.project import project_dir
from support.dbt_project import dbt
from support.raw_rows import RawRows

_DATABASE = "compiled"


@dataclass(frozen=True)
class Model:
    """A compiled model: where it goes and the SQL that makes it."""

    name: str
    schema: str
    is_view: bool
    sql: str


class CompiledModels:
    """Builds chosen models, and all they need, from raw rows in an in-memory DuckDB."""

    def __init__(self, manifest: dict[str, Any], targets: list[str]) -> None:
        nodes = manifest["nodes"]
        self._tables = {
            target: [
                model
                for model in (_model(nodes[node_id]) for node_id in _in_order(nodes, [target]))
                if not model.is_view
            ]
            for target in targets
        }
        self._connection = duckdb.connect()
        self._connection.execute(f"attach ':memory:' as {_DATABASE}")
        self._connection.execute(f"use {_DATABASE}")
        self._connection.execute("set threads = 1")
        schema.create_all(self._connection)
        for name in ("staging", "intermediate", "marts", "meta", "protocol", "reference"):
            self._connection.execute(f"create schema {name}")
        for node in nodes.values():
            if node["resource_type"] == "seed":
                _load_seed(self._connection, node)
        self._filled: set[str] = set()
        for model in [_model(nodes[node_id]) for node_id in _in_order(nodes, targets)]:
            kind = "view" if model.is_view else "table"
            self._connection.execute(f"create {kind} {model.schema}.{model.name} as {model.sql}")

    def build(self, rows: RawRows, *targets: str) -> None:
        """Replace the raw rows and build the target models, and all they need, again."""
        for table in self._filled:
            self._connection.execute(f"delete from raw.{table}")
        self._filled = set(rows.rows)
        for table, records in rows.rows.items():
            columns = schema.column_names(table)
            batch = pa.Table.from_pydict({name: [row.get(name) for row in records] for name in columns})
            self._connection.register("batch", batch)
            self._connection.execute(f"insert into raw.{table} select * from batch")
            self._connection.unregister("batch")
        tables = dict.fromkeys(model for target in targets for model in self._tables[target])
        for model in tables:
            self._connection.execute(f"create or replace table {model.schema}.{model.name} as {model.sql}")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()


def compile_models(scratch: Path, targets: list[str]) -> CompiledModels:
    """Compile the project once and make the targets ready to be built from raw rows."""
    path = scratch / f"{_DATABASE}.duckdb"
    with warehouse.writable(path):
        pass
    done = dbt("compile", warehouse=path, scratch=scratch)
    assert done.returncode == 0, done.stdout
    manifest = json.loads((scratch / "target" / "manifest.json").read_text())
    return CompiledModels(manifest, targets)


def _model(node: dict[str, Any]) -> Model:
    is_view = node["config"]["materialized"] == "view"
    return Model(node["name"], node["schema"], is_view, node["compiled_code"])


def _in_order(nodes: dict[str, Any], targets: list[str]) -> list[str]:
    ordered: list[str] = []

    def visit(node_id: str) -> None:
        node = nodes.get(node_id)
        if node is None or node["resource_type"] != "model" or node_id in ordered:
            return
        if node["schema"] == "meta":
            return
        for parent in node["depends_on"]["nodes"]:
            visit(parent)
        ordered.append(node_id)

    for target in targets:
        visit(f"model.csc_evaluation.{target}")
    return ordered


def _load_seed(connection: duckdb.DuckDBPyConnection, node: dict[str, Any]) -> None:
    types = node["config"]["column_types"]
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
    path = project_dir() / node["original_file_path"]
    connection.execute(
        f"create table {node['schema']}.{node['name']} as "
        f"select * from read_csv('{path}', header = true, columns = {{{columns}}})"
    )
