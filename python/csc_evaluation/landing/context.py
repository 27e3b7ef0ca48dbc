"""What every reader needs: the return's identity, pseudonyms, code lists, limits, and where rows go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import duckdb

from csc_evaluation.errors import CscError, SeedError
from csc_evaluation.landing.rejects import TableBatch, Tally
from csc_evaluation.landing.values import CodeReader, DateReader, FlagReader, MonthReader, NumberReader
from csc_evaluation.project import read_seed_file
from csc_evaluation.pseudonyms import Pseudonymiser

BATCH_RECORDS: Final = 10_000
"""Children (XML) or rows (CSV) between two writes: enough for Arrow to be quick, few enough to hold."""


class FileRefused(CscError):
    """The file cannot land; the message says what is wrong with it, without its name."""


@dataclass(frozen=True)
class Limits:
    """Ages at referral beyond which a referral is refused (seed ``protocol/parameters``)."""

    months_before_birth: int
    years_after_birth: int

    @property
    def born_too_late(self) -> str:
        """Why a referral long before the child's birth is refused."""
        return f"birth is {self.months_before_birth} months or more after the referral"

    @property
    def born_too_early(self) -> str:
        """Why a referral of somebody long grown up is refused."""
        return f"birth is over {self.years_after_birth} years before the referral"


@dataclass(frozen=True)
class Reference:
    """The seeds that landing reads, once per run.

    Attributes:
        authorities: authority code to the first and last day it existed (blank where unknown), as ISO text.
        code_lists: (collection, list) to (code, first return year, last return year).
        limits: ages at referral.
    """

    authorities: dict[str, tuple[str, str]]
    code_lists: dict[tuple[str, str], list[tuple[str, int, int]]]
    limits: Limits

    def codes(self, collection: str, code_list: str, year: int) -> frozenset[str]:
        """Codes of a list in a return year; a year outside all of them takes the nearest year's list.

        Raises:
            SeedError: there is no such list.
        """
        rows = self.code_lists.get((collection, code_list))
        if not rows:
            raise SeedError(f"seeds/reference/census_codes.csv: no rows for {collection}, {code_list}.")
        nearest = min(max(year, min(row[1] for row in rows)), max(row[2] for row in rows))
        return frozenset(code for code, first, last in rows if first <= nearest <= last)


@lru_cache(maxsize=1)
def load_reference() -> Reference:
    """Read authority codes, code lists and limits from the seed files.

    Raises:
        SeedError: a seed or one of its rows is missing.
    """
    authorities = {
        str(row.la_code): (_text(row.valid_from), _text(row.valid_to))
        for row in read_seed_file("reference/local_authorities").itertuples()
    }
    code_lists: dict[tuple[str, str], list[tuple[str, int, int]]] = {}
    for row in read_seed_file("reference/census_codes").itertuples():
        first, last = _text(row.first_year), _text(row.last_year)
        code_lists.setdefault((str(row.collection), str(row.code_list)), []).append(
            (str(row.code).upper(), int(first) if first else 0, int(last) if last else 9999)
        )
    parameters = read_seed_file("protocol/parameters")
    everywhere = parameters[parameters["programme"] == "*"].set_index("parameter")["parameter_value"]
    try:
        limits = Limits(
            months_before_birth=-int(everywhere["referral_age_months_min"]),
            years_after_birth=int(everywhere["referral_age_years_max"]),
        )
    except KeyError as error:
        raise SeedError(
            f"seeds/protocol/parameters.csv: no row for programme *, parameter {error}."
        ) from None
    return Reference(authorities=authorities, code_lists=code_lists, limits=limits)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class ReturnIdentity:
    """What one file is: collection, authority (None for national tables), return year, its modules, and its id."""

    collection: str
    la_code: str | None
    return_year: int
    modules: tuple[str, ...]
    return_id: str


@dataclass
class Landing:
    """One file on its way into the warehouse.

    Attributes:
        identity: what the file is.
        record_types: those counted in it.
        folder: where batches of rows are put aside.
        on_batch: called after each batch.
        notes: what a reader should know of the file, gathered on the way.
        year_column: what a national table calls the year.
    """

    identity: ReturnIdentity
    record_types: tuple[str, ...]
    pseudonymiser: Pseudonymiser
    reference: Reference
    folder: Path
    on_batch: Callable[[], None]
    notes: list[str] = field(default_factory=list)
    year_column: str = "academic_year"
    dates: DateReader = field(default_factory=DateReader)
    months: MonthReader = field(default_factory=MonthReader)
    batches: dict[str, TableBatch] = field(default_factory=dict)
    tally: Tally = field(init=False)
    _readers: dict[tuple[str, str], CodeReader | FlagReader | NumberReader] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refused = TableBatch("rejects", {"return_id": self.identity.return_id}, self.folder)
        self.tally = Tally(self.record_types, refused)

    def batch(self, table: str, **constants: object) -> TableBatch:
        """The waiting rows of a raw table; return id, authority and year are filled in."""
        if table not in self.batches:
            always: dict[str, object] = {"return_id": self.identity.return_id}
            if self.identity.la_code is None:
                always[self.year_column] = self.identity.return_year
            else:
                always["la_code"] = self.identity.la_code
                always["return_year"] = self.identity.return_year
            self.batches[table] = TableBatch(table, always | constants, self.folder)
        return self.batches[table]

    def code(
        self, record_type: str, field_name: str, code_list: str | None, *, allow_number: bool = False
    ) -> CodeReader:
        """Reader of a coded field, its list that of the collection and return year."""
        listed = None
        if code_list is not None:
            listed = self.reference.codes(self.identity.collection, code_list, self.identity.return_year)
        reader = CodeReader(listed, allow_number=allow_number)
        self._readers[(record_type, field_name)] = reader
        return reader

    def flag(self, record_type: str, field_name: str, *, allow_words: bool = False) -> FlagReader:
        """Reader of a yes/no field."""
        reader = FlagReader(allow_words=allow_words)
        self._readers[(record_type, field_name)] = reader
        return reader

    def number(self, record_type: str, field_name: str) -> NumberReader:
        """Reader of a count."""
        reader = NumberReader()
        self._readers[(record_type, field_name)] = reader
        return reader

    def unlisted(self) -> Counter[tuple[str, str, str]]:
        """(record type, field, code) to the number of kept records that carry a code outside the list."""
        return Counter(
            {
                (record_type, field_name, code): count
                for (record_type, field_name), reader in self._readers.items()
                for code, count in reader.unlisted.items()
            }
        )

    def put_aside(self) -> None:
        """Put the waiting rows aside, and say how far the file has come."""
        for batch in (*self.batches.values(), self.tally.refused):
            batch.put_aside()
        self.on_batch()

    def insert(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Insert every row of the file, table by table."""
        for batch in (*self.batches.values(), self.tally.refused):
            batch.insert(connection)

    def close(self) -> None:
        """Let go of rows put aside."""
        for batch in (*self.batches.values(), self.tally.refused):
            batch.close()
