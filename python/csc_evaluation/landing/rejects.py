"""What was found, kept and refused in one file, and the rows that wait to be written.

Accepted + rejected = found for every record type: a record is counted once when it is met and once when its
fate is known, and each refused record is one row of ``raw.rejects`` with its place, field and reason, never the
value itself.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import duckdb
import pyarrow as pa
import pyarrow.ipc

from csc_evaluation import schema

PARENT_REJECTED: Final = "parent record rejected"
MAX_EXAMPLES: Final = 50
BATCHES_PER_INSERT: Final = 8

_ARROW_TYPES: Final = {
    "varchar": pa.string(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}


@dataclass(frozen=True)
class RecordCount:
    """Counts of one record type: ``n_found == n_accepted + n_rejected``."""

    record_type: str
    n_found: int
    n_accepted: int
    n_rejected: int

    def __add__(self, other: RecordCount) -> RecordCount:
        return RecordCount(
            self.record_type,
            self.n_found + other.n_found,
            self.n_accepted + other.n_accepted,
            self.n_rejected + other.n_rejected,
        )


@dataclass(frozen=True)
class Reject:
    """One refused record: its type, place in the file, the field at fault and why."""

    record_type: str
    record_path: str
    field: str
    reason: str


class Tally:
    """Counts of one return, its refused records and its codes outside the lists.

    Args:
        record_types: those counted.
        refused: where refused records go.
        row_start: what stands before them in each row, where many returns share the table.
    """

    def __init__(
        self, record_types: Sequence[str], refused: TableBatch, row_start: tuple[Any, ...] = ()
    ) -> None:
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.refused = refused
        self.reasons: Counter[tuple[str, str, str]] = Counter()
        self.examples: list[Reject] = []
        self._record_types = record_types
        self._row_start = row_start

    def reject(self, record_type: str, record_path: str, field_name: str, reason: str) -> None:
        """Refuse one record."""
        self.rejected[record_type] += 1
        self.reasons[(record_type, field_name, reason)] += 1
        self.refused.rows.append((*self._row_start, record_type, record_path, field_name, reason))
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(Reject(record_type, record_path, field_name, reason))

    def counts(self) -> tuple[RecordCount, ...]:
        """One row per record type of the collection, those without records included."""
        return tuple(
            RecordCount(
                name, self.accepted[name] + self.rejected[name], self.accepted[name], self.rejected[name]
            )
            for name in self._record_types
        )


class SpillFailed(Exception):
    """Rows waiting to be inserted could not be put aside on disk."""


class Spill:
    """Rows on their way: gathered, put aside in batches, and read again in the order in which they came.

    Batches are put aside in a file without a name that ends with the process. Only pseudonyms, months and codes
    ever get here.

    Args:
        columns: name to type, as the warehouse calls it; dates are whole days since 1970-01-01.
        folder: where to put batches aside.
    """

    def __init__(self, columns: Mapping[str, str], folder: Path) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self._schema = pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in columns.items()])
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def put_aside(self) -> None:
        """Move the waiting rows to disk.

        Raises:
            SpillFailed: the folder cannot be written or the disk is full.
        """
        if not self.rows:
            return
        try:
            if self._writer is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by close()
                self._writer = pa.ipc.new_stream(
                    self._file, self._schema, options=pa.ipc.IpcWriteOptions(compression="lz4")
                )
            self._writer.write_batch(self._waiting())
        except OSError as error:
            raise SpillFailed(error.strerror or str(error)) from error
        self.rows.clear()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Every batch, once; rows that were never put aside are one batch. Nothing is left afterwards.

        Raises:
            SpillFailed: the folder cannot be written or the disk is full.
        """
        if self._writer is None or self._file is None:
            if self.rows:
                waiting = self._waiting()
                self.rows.clear()
                yield waiting
            return
        self.put_aside()
        try:
            self._writer.close()
            self._file.flush()
            self._file.seek(0)
        except OSError as error:
            raise SpillFailed(error.strerror or str(error)) from error
        with pa.ipc.open_stream(self._file) as reader:
            yield from reader
        self.close()

    def close(self) -> None:
        """Let go of what was put aside."""
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None

    def _waiting(self) -> pa.RecordBatch:
        arrays = []
        for values, field in zip(zip(*self.rows, strict=True), self._schema, strict=True):
            if pa.types.is_date32(field.type):
                arrays.append(pa.array(values, pa.int32()).view(pa.date32()))
            else:
                arrays.append(pa.array(values, field.type))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


class TableBatch(Spill):
    """Rows of one raw table on their way: gathered, put aside in batches, inserted table by table at the end.

    The warehouse keeps what a transaction has inserted in memory until a row group is full, for each table, so
    inserting batch by batch into all tables at once would need memory that grows with the file. Batches are put
    aside instead, and then each table is filled in turn. A file of one batch is inserted from memory.

    Args:
        table: name in the schema ``raw``.
        constants: columns with the same value in every row.
        folder: where to put batches aside.
    """

    def __init__(self, table: str, constants: Mapping[str, Any], folder: Path) -> None:
        self.table = table
        self.constants = constants
        definition = dict(column.split()[:2] for column in schema.RAW_TABLES[table].split(", "))
        super().__init__({name: kind for name, kind in definition.items() if name not in constants}, folder)

    def insert(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Insert every row, in the order in which they came.

        Raises:
            SpillFailed: the folder cannot be written or the disk is full.
        """
        # Some batches at a time: given the whole stream, the warehouse's scanner reads far ahead of its inserting.
        batches = self.batches()
        while some := list(islice(batches, BATCHES_PER_INSERT)):
            self._insert(connection, pa.Table.from_batches(some))

    def in_memory(self, column: str) -> list[Any] | None:
        """Values of a column, or None when rows were put aside and not all of them are here."""
        if self._writer is not None:
            return None
        position = self._schema.get_field_index(column)
        return [row[position] for row in self.rows]

    def _insert(self, connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
        columns = ", ".join([*self.constants, *self._schema.names])
        marks = ", ".join(["?"] * len(self.constants) + [f'"{name}"' for name in self._schema.names])
        # The statement finds the rows by the variable's name. Registering them would keep every batch in memory until
        # the transaction ends, since its view lives as long.
        landing_batch = rows  # noqa: F841
        connection.execute(
            f"insert into raw.{self.table} ({columns}) select {marks} from landing_batch",
            list(self.constants.values()),
        )


def write_counts(
    connection: duckdb.DuckDBPyConnection,
    return_id: str,
    counts: Iterable[RecordCount],
    unlisted: Mapping[tuple[str, str, str], int],
) -> None:
    """Insert the counts per record type and the codes outside the lists of one file."""
    rows = [
        (return_id, count.record_type, count.n_found, count.n_accepted, count.n_rejected) for count in counts
    ]
    _insert_few(connection, "return_counts", rows)
    _insert_few(connection, "unlisted_codes", [(return_id, *key, n) for key, n in sorted(unlisted.items())])


def _insert_few(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert a handful of rows in one statement, which costs far less than one each."""
    if rows:
        marks = ", ".join(f"({', '.join('?' for _ in row)})" for row in rows)
        connection.execute(
            f"insert into raw.{table} values {marks}", [value for row in rows for value in row]
        )
