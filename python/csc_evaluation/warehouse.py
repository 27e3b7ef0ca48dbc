"""The only place that opens a connection to the warehouse."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from csc_evaluation import schema
from csc_evaluation.errors import WarehouseError

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

WAREHOUSE_VARIABLE = "CSC_WAREHOUSE"
DEFAULT_WAREHOUSE = "csc_warehouse.duckdb"


def warehouse_path(given: Path | str | None = None) -> Path:
    """Absolute path of the DuckDB file: the one given, else ``CSC_WAREHOUSE``, else ``csc_warehouse.duckdb`` here.

    Raises:
        WarehouseError: the file's name equals a schema's, which makes names in SQL ambiguous; or it is a folder.
    """
    path = Path(given or os.environ.get(WAREHOUSE_VARIABLE) or DEFAULT_WAREHOUSE).expanduser().resolve()
    if path.stem.lower() in schema.RESERVED_NAMES:
        raise WarehouseError(
            f"{path}: a warehouse file must not be called like one of its schemas "
            f"({', '.join(sorted(schema.RESERVED_NAMES))}); choose another name."
        )
    if path.is_dir():
        raise WarehouseError(f"{path}: is a folder; give the path of a DuckDB file.")
    return path


@contextmanager
def writable(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-write connection, with every raw and results table made if it is not there yet.

    Raises:
        WarehouseError: another process holds the file, the folder cannot be written, the file is no warehouse, or
            another version of the project made its tables.
    """
    if not path.parent.is_dir():
        raise WarehouseError(f"{path.parent}: no such folder; create it or set {WAREHOUSE_VARIABLE}.")
    connection = _open(path, read_only=False)
    try:
        try:
            schema.create_all(connection)
        except duckdb.Error as error:
            raise WarehouseError(f"{path}: cannot prepare the warehouse: {_first_line(error)}") from error
        if others := schema.tables_of_another_layout(connection):
            raise WarehouseError(
                f"{path}: was made by another version of this project ({', '.join(others[:3])}"
                f"{' and others' if len(others) > 3 else ''} lack columns). Land the files into a new warehouse."
            )
        yield connection
    finally:
        connection.close()


@contextmanager
def readable(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection (many may be open at once).

    Raises:
        WarehouseError: there is no such file, another process is writing to it, or it is no warehouse.
    """
    connection = _open_existing(path)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def ibis_readable(path: Path) -> Iterator[Backend]:
    """A read-only ibis backend on the warehouse; temporary tables may be made in it.

    Raises:
        WarehouseError: as :func:`readable`.
    """
    import ibis

    _open_existing(path).close()
    try:
        backend = ibis.duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise _explain(path, error) from error
    try:
        yield backend
    finally:
        backend.disconnect()


def _open_existing(path: Path) -> duckdb.DuckDBPyConnection:
    if not path.exists():
        raise WarehouseError(
            f"{path}: no warehouse there yet. Land some files first (csceval land PATH...), or set {WAREHOUSE_VARIABLE}."
        )
    return _open(path, read_only=True)


def _open(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: Exception) -> WarehouseError:
    text = str(error)
    if "lock" in text.lower():
        holder = re.search(r"\(PID (\d+)\)", text)
        who = f"process {holder.group(1)}" if holder else "another process"
        return WarehouseError(
            f"{path}: {who} holds the warehouse. Wait for it to end, or close it, and try again; nothing was changed."
        )
    if "not a valid DuckDB database file" in text:
        return WarehouseError(f"{path}: is not a DuckDB file; give the path of a warehouse.")
    return WarehouseError(f"{path}: cannot open the warehouse: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


if __name__ == "__main__":
    with writable(warehouse_path(sys.argv[1] if len(sys.argv) > 1 else None)):
        pass
