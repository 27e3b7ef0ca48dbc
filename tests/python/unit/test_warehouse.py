from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from csc_evaluation import schema, warehouse
from csc_evaluation.errors import WarehouseError

HOLD = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(60)"


def test_a_writable_connection_makes_every_raw_and_results_table(tmp_path: Path):
    with warehouse.writable(tmp_path / "w.duckdb") as connection:
        query = "select table_schema || '.' || table_name from information_schema.tables"
        found = {row[0] for row in connection.execute(query).fetchall()}
    wanted = {f"raw.{name}" for name in schema.RAW_TABLES} | {
        f"results.{name}" for name in schema.RESULTS_TABLES
    }
    assert wanted <= found


def test_opening_again_keeps_what_is_there(tmp_path: Path):
    path = tmp_path / "w.duckdb"
    with warehouse.writable(path) as connection:
        connection.execute("insert into raw.return_counts values ('r', 'Child', 2, 1, 1)")
    with warehouse.writable(path) as connection:
        assert connection.execute("select count(*) from raw.return_counts").fetchall() == [(1,)]


@pytest.mark.parametrize("name", ["raw", "marts", "results", "Protocol"])
def test_a_file_called_like_a_schema_is_refused(tmp_path: Path, name: str):
    with pytest.raises(WarehouseError, match="choose another name"):
        warehouse.warehouse_path(tmp_path / f"{name}.duckdb")


def test_reading_a_warehouse_that_is_not_there_says_what_to_do_and_makes_no_file(tmp_path: Path):
    path = tmp_path / "absent.duckdb"
    with pytest.raises(WarehouseError, match="csceval land"), warehouse.readable(path):
        pass
    assert not path.exists()


def test_a_file_that_is_no_warehouse_is_named(tmp_path: Path):
    path = tmp_path / "text.duckdb"
    path.write_text("not a database, but long enough to be read as one" * 100)
    with pytest.raises(WarehouseError, match=r"text\.duckdb"), warehouse.readable(path):
        pass


def test_a_missing_folder_is_named(tmp_path: Path):
    with (
        pytest.raises(WarehouseError, match="no such folder"),
        warehouse.writable(tmp_path / "no" / "w.duckdb"),
    ):
        pass


def test_a_second_process_that_holds_the_warehouse_is_named_by_its_number(tmp_path: Path):
    path = tmp_path / "w.duckdb"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        held = f"process {holder.pid} holds the warehouse"
        with pytest.raises(WarehouseError, match=held), warehouse.writable(path):
            pass
    finally:
        holder.kill()
        holder.wait()


def test_a_backend_reads_but_cannot_write(tmp_path: Path):
    path = tmp_path / "w.duckdb"
    with warehouse.writable(path):
        pass
    with warehouse.ibis_readable(path) as backend:
        assert backend.table("returns", database="raw").count().execute() == 0
        with pytest.raises(Exception, match="read-only"):
            backend.raw_sql("insert into raw.return_counts values ('r', 'Child', 1, 1, 0)")


def test_a_warehouse_of_another_layout_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create schema raw; create table raw.returns (return_id varchar, collection varchar)"
        )
    with (
        pytest.raises(WarehouseError, match=r"made by another version of this project \(raw\.returns"),
        warehouse.writable(path),
    ):
        pass
