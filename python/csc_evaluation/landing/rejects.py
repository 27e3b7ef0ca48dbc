"""What was found, kept and refused in one file, and the rows that wait to be written.

Accepted + rejected = found for every record type: a record is counted once when it is met and once when its
fate is known, and each refused record is one row of ``raw.rejects`` with its place, field and reason, never the
value itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
import pyarrow as pa

from csc_evaluation import schema

PARENT_REJECTED: Final = "parent record rejected"
MAX_EXAMPLES: Final = 50

_ARROW_TYPES: Final = {
    "varchar": pa.string(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.int32(),
}


@dataclass(frozen=True)
class RecordCount:
    """Counts of one record type: ``n_found == n_accepted + n_rejected``."""

    record_type: str
    n_found: int
    n_accepted: int
    n_rejected: int


@dataclass(frozen=True)
class Reject:
    """One refused record: its type, place in the file, the field at fault and why."""

    record_type: str
    record_path: str
    field: str
    reason: str


class Tally:
    """Counts of one file, its refused records and its codes outside the lists."""

    def __init__(self, record_types: Sequence[str]) -> None:
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.pending: list[Reject] = []
        self.reasons: Counter[tuple[str, str, str]] = Counter()
        self.examples: list[Reject] = []
        self._record_types = record_types

    def reject(self, record_type: str, record_path: str, field_name: str, reason: str) -> None:
        """Refuse one record."""
        refused = Reject(record_type, record_path, field_name, reason)
        self.rejected[record_type] += 1
        self.reasons[(record_type, field_name, reason)] += 1
        self.pending.append(refused)
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(refused)

    def counts(self) -> tuple[RecordCount, ...]:
        """One row per record type of the collection, those without records included."""
        return tuple(
            RecordCount(
                name, self.accepted[name] + self.rejected[name], self.accepted[name], self.rejected[name]
            )
            for name in self._record_types
        )


@dataclass
class TableBatch:
    """Rows of one raw table, written to the warehouse as Arrow batches."""

    table: str
    constants: Mapping[str, Any]
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        definition = dict(column.split()[:2] for column in schema.RAW_TABLES[self.table].split(", "))
        self._columns = [name for name in definition if name not in self.constants]
        self._types = [definition[name] for name in self._columns]

    def write(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Insert the waiting rows and forget them."""
        if not self.rows:
            return
        arrays = []
        for values, kind in zip(zip(*self.rows, strict=True), self._types, strict=True):
            array = pa.array(values, _ARROW_TYPES[kind])
            arrays.append(array.view(pa.date32()) if kind == "date" else array)
        insert_arrow(
            connection,
            self.table,
            pa.Table.from_arrays(arrays, names=self._columns),
            constants=self.constants,
        )
        self.rows.clear()


def insert_arrow(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    data: pa.Table,
    *,
    constants: Mapping[str, Any],
) -> None:
    """Append an Arrow table to ``raw.<table>``, with the same constants in every row."""
    columns = ", ".join([*constants, *data.column_names])
    marks = ", ".join(["?"] * len(constants) + [f'"{name}"' for name in data.column_names])
    connection.register("landing_batch", data)
    try:
        connection.execute(
            f"insert into raw.{table} ({columns}) select {marks} from landing_batch", list(constants.values())
        )
    finally:
        connection.unregister("landing_batch")


def write_rejects(connection: duckdb.DuckDBPyConnection, return_id: str, rejects: list[Reject]) -> None:
    """Insert refused records and empty the list."""
    if rejects:
        names = ("record_type", "record_path", "field", "reason")
        data = pa.table(
            {name: pa.array([getattr(row, name) for row in rejects], pa.string()) for name in names}
        )
        insert_arrow(connection, "rejects", data, constants={"return_id": return_id})
        rejects.clear()


def write_counts(
    connection: duckdb.DuckDBPyConnection,
    return_id: str,
    counts: Iterable[RecordCount],
    unlisted: Mapping[tuple[str, str, str], int],
) -> None:
    """Insert the counts per record type and the codes outside the lists of one file."""
    for count in counts:
        connection.execute(
            "insert into raw.return_counts values (?, ?, ?, ?, ?)",
            [return_id, count.record_type, count.n_found, count.n_accepted, count.n_rejected],
        )
    for (record_type, field_name, code), n_records in sorted(unlisted.items()):
        connection.execute(
            "insert into raw.unlisted_codes values (?, ?, ?, ?, ?)",
            [return_id, record_type, field_name, code, n_records],
        )
