"""The research service's extracts of children in need (CIN) and children looked after (CLA): what they are.

One file stacks the returns of many authorities and years, one row per plan or assessment within a referral, or per
episode of care. Which supplier column is which of ours is a seed, ``reference/column_mappings`` (collections
``cin_extract`` and ``cla_extract``); case is set aside, and so is a prefix that a release puts before the name or
leaves out. :mod:`csc_evaluation.landing.extract_rows` reads the rows and
:mod:`csc_evaluation.landing.extract_records` makes of them the records that a return would have held.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import duckdb

from csc_evaluation.landing import cin_xml, ssda903
from csc_evaluation.landing.column_mapping import Mapping, mappings
from csc_evaluation.landing.context import FileRefused, Reference, ReturnIdentity
from csc_evaluation.landing.delimited import Header, shown
from csc_evaluation.landing.manifest import UNATTRIBUTED, existence_note, extract_return_id
from csc_evaluation.landing.rejects import RecordCount, Reject, Spill, TableBatch, Tally
from csc_evaluation.pseudonyms import Pseudonymiser

CIN: Final = "cin_extract"
CLA: Final = "cla_extract"
ROWS: Final = "extract_rows"
"""Record type of the rows of a file; what they tell is counted as the records of a return."""

NOT_STORED: Final = "not_stored"
N_BUCKETS: Final = 64

_CHILD: Final = frozenset(
    {
        "la_code", "child_id", "pupil_reference", "academic_year", "gender_code", "ethnicity_code", "birth_month",
        "birth_year", NOT_STORED,
    }
)  # fmt: skip
_KNOWN: Final = {
    CIN: _CHILD
    | {
        "referral_date", "referral_source", "primary_need_code", "closure_date", "closure_reason", "is_nfa",
        "initial_conference_date", "plan_start", "plan_end", "latest_category_code", "n_previous_plans",
        "assessment_start", "authorisation_date", "factors",
    },
    CLA: _CHILD
    | {
        "episode_start", "episode_end", "legal_status", "placement", "need_code", "reason_new_episode",
        "reason_episode_ceased", "is_uasc",
    },
}  # fmt: skip
_NAMES: Final = {CIN: "children in need", CLA: "children looked after"}
_COLLECTIONS: Final = {CIN: cin_xml.COLLECTION, CLA: ssda903.COLLECTION}
_CIN_RECORDS: Final = ("Child", "CINdetails", "Assessments", "AssessmentFactors", "ChildProtectionPlans")
_SOURCE_PREFIX: Final = re.compile("(?:CIN|CLA)_", re.IGNORECASE)
_OTHER_PREFIX: Final = "(?:[A-Z0-9]+_){1,2}?"
_RECOGNISED_FROM: Final = 2
"""Columns that only this extract has from which a file is taken for one, and told what it lacks."""

_LISTED_AUTHORITIES: Final = 5


@dataclass(frozen=True)
class ExtractTable:
    """What a file's columns say it is.

    Attributes:
        extract: ``cin_extract`` or ``cla_extract``.
        positions: our column to its place in the row, from 0.
        names: our column to the supplier's name, as written in the file.
        notes: columns unknown or not there, by name.
    """

    extract: str
    positions: dict[str, int]
    names: dict[str, str]
    notes: tuple[str, ...]

    @property
    def collection(self) -> str:
        """The collection of returns that it stacks."""
        return _COLLECTIONS[self.extract]

    @property
    def modules(self) -> tuple[str, ...]:
        """What of each return it carries."""
        if self.extract == CIN:
            return cin_xml.MODULES
        return ("header", "episodes", "uasc") if "is_uasc" in self.positions else ("header", "episodes")

    @property
    def record_types(self) -> tuple[str, ...]:
        """What is counted: the rows, and the records they tell."""
        return (ROWS, *(_CIN_RECORDS if self.extract == CIN else self.modules))

    @property
    def has_years(self) -> bool:
        """Whether each row names its academic year."""
        return "academic_year" in self.positions

    def content_key(self, sha256: str, last_year: int | None) -> str:
        """What is landed: the content, how its columns are understood, and the last year where it names none."""
        columns = ",".join(f"{name}={place}" for name, place in sorted(self.positions.items()))
        return hashlib.sha256(f"{sha256}\0{columns}\0{last_year or ''}".encode()).hexdigest()


def _bare(name: str) -> str:
    return _SOURCE_PREFIX.sub("", name, count=1)


@lru_cache(maxsize=2)
def _patterns(extract: str) -> tuple[tuple[Mapping, tuple[re.Pattern[str], ...]], ...]:
    """The seed's columns of an extract, each with the spellings of its name, closest first."""
    found = []
    for mapping in mappings(extract, _KNOWN[extract]):
        bare = re.escape(_bare(mapping.supplier_pattern))
        spellings = (re.escape(mapping.supplier_pattern), bare, f"{_OTHER_PREFIX}{bare}")
        found.append((mapping, tuple(re.compile(text, re.IGNORECASE | re.ASCII) for text in spellings)))
    return tuple(found)


def recognise(header: Header) -> ExtractTable | None:
    """What the columns say, or None when they are those of neither extract.

    Raises:
        FileRefused: a column that must be there is missing, or one stands there twice.
    """
    own = {
        extract: {_bare(mapping.supplier_pattern).upper() for mapping, _ in _patterns(extract)}
        for extract in (CIN, CLA)
    }
    matched = {extract: _match(header, extract) for extract in (CIN, CLA)}

    def n_own_columns(extract: str) -> int:
        only_here = own[extract] - own[CLA if extract == CIN else CIN]
        return sum(bare in only_here for bare, _ in matched[extract].values())

    extract = max((CIN, CLA), key=n_own_columns)
    if n_own_columns(extract) < _RECOGNISED_FROM:
        return None
    return _table(header, extract)


def _match(header: Header, extract: str) -> dict[int, tuple[str, tuple[str, int]]]:
    """Position to the seed's bare name, and our column with how close the spelling is (0 is the seed's own)."""
    found = {}
    for position, name in enumerate(header.columns):
        spelt = [
            (rank, _bare(mapping.supplier_pattern).upper(), mapping.our_column)
            for mapping, spellings in _patterns(extract)
            for rank, expression in enumerate(spellings)
            if expression.fullmatch(name)
        ]
        if spelt:
            rank, bare, ours = min(spelt)
            found[position] = (bare, (ours, rank))
    return found


def _table(header: Header, extract: str) -> ExtractTable:
    what = f"looks like a {_NAMES[extract]} extract of the research service but"
    places: dict[str, list[tuple[int, int]]] = {}
    for position, (_, (ours, rank)) in _match(header, extract).items():
        places.setdefault(ours, []).append((rank, position))
    positions: dict[str, int] = {}
    twice: list[str] = []
    for ours, found in places.items():
        closest = [position for rank, position in found if rank == min(found)[0]]
        if ours == NOT_STORED:
            continue
        if len(closest) > 1:
            twice += [header.columns[position] for position in closest]
        positions[ours] = closest[0]
    if twice:
        raise FileRefused(f"{what} has the same column more than once: {shown(twice)}; keep one of each.")
    wanted: dict[str, str] = {}
    required: set[str] = set()
    for mapping, _ in _patterns(extract):
        wanted.setdefault(mapping.our_column, mapping.supplier_pattern)
        if mapping.is_required:
            required.add(mapping.our_column)
    if missing := [name for ours, name in wanted.items() if ours in required and ours not in positions]:
        raise FileRefused(
            f"{what} lacks the column{'s' if len(missing) > 1 else ''} {shown(missing)}; where a column has another "
            "name, add it to seeds/reference/column_mappings.csv."
        )
    notes = []
    if absent := [name for ours, name in wanted.items() if ours not in {*positions, NOT_STORED}]:
        notes.append(f"columns not there, left missing: {shown(absent)}")
    used = {*positions.values(), *(position for _, position in places.get(NOT_STORED, []))}
    if unknown := [name for position, name in enumerate(header.columns) if position not in used]:
        notes.append(f"columns not in the column mapping, set aside: {shown(unknown)}")
    return ExtractTable(
        extract, positions, {ours: header.columns[place] for ours, place in positions.items()}, tuple(notes)
    )


@dataclass
class ReturnPart:
    """What one file holds of one authority and return year."""

    identity: ReturnIdentity
    group_no: int
    tally: Tally
    unlisted: Counter[tuple[str, str, str]] = field(default_factory=Counter)


@dataclass
class ExtractLanding:
    """One extract on its way into the warehouse.

    Attributes:
        table: what the file is.
        content_key: see :meth:`ExtractTable.content_key`.
        la_code, return_year: what the options say, which the rows must not contradict.
        folder: where rows are put aside.
        on_batch: called after each batch.
        notes: what a reader should know of the file, gathered on the way.
        parts: authority and return year to what was found of them; year 0 where the file names none, and
            (None, 0) for rows that belong to no return.
        starts_by_year, ends_by_year: episodes that start and end in each return year, where rows name none.
        n_buckets_done: buckets of rows of which records have been made.
        n_told_differently: children whom the rows of one return describe in several ways.
    """

    table: ExtractTable
    content_key: str
    la_code: str | None
    return_year: int | None
    pseudonymiser: Pseudonymiser
    reference: Reference
    folder: Path
    on_batch: Callable[[], None]
    notes: list[str] = field(default_factory=list)
    parts: dict[tuple[str | None, int], ReturnPart] = field(default_factory=dict)
    batches: dict[str, TableBatch] = field(default_factory=dict)
    buckets: list[Spill] = field(default_factory=list)
    reasons: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    examples: list[Reject] = field(default_factory=list)
    starts_by_year: Counter[int] = field(default_factory=Counter)
    ends_by_year: Counter[int] = field(default_factory=Counter)
    n_buckets_done: int = 0
    n_told_differently: int = 0
    _codes: dict[tuple[str, int], frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.refused = TableBatch("rejects", {}, self.folder)

    def part(self, la_code: str | None, return_year: int) -> ReturnPart:
        """What of an authority and year was found; begun where this is the first row of it."""
        key = (la_code, return_year)
        known = self.parts.get(key)
        if known is None:
            table = self.table
            identity = ReturnIdentity(
                table.collection,
                la_code,
                return_year,
                (UNATTRIBUTED,) if la_code is None else table.modules,
                extract_return_id(table.collection, la_code, return_year, self.content_key),
            )
            tally = Tally(
                (ROWS,) if la_code is None else table.record_types, self.refused, (identity.return_id,)
            )
            tally.reasons, tally.examples = self.reasons, self.examples
            known = ReturnPart(identity, len(self.parts), tally)
            self.parts[key] = known
        return known

    def batch(self, table: str) -> TableBatch:
        """The waiting rows of a raw table; return id, authority and year are the first values of each row."""
        if table not in self.batches:
            self.batches[table] = TableBatch(table, {}, self.folder)
        return self.batches[table]

    def codes(self, code_list: str, year: int) -> frozenset[str]:
        """Codes of a list of this collection in a return year."""
        key = (code_list, year)
        if key not in self._codes:
            self._codes[key] = self.reference.codes(self.table.collection, code_list, year)
        return self._codes[key]

    def put_aside(self) -> None:
        """Put every waiting row aside, and say how far the file has come."""
        for spill in (*self.buckets, *self.batches.values(), self.refused):
            spill.put_aside()
        self.on_batch()

    def returns(self) -> list[tuple[ReturnPart, tuple[RecordCount, ...]]]:
        """Every return of which something was found, with its counts; that without an authority has the last year.

        Raises:
            FileRefused: no row belongs to any return.
        """
        found = [part for part in self.parts.values() if part.identity.la_code and part.identity.return_year]
        if not found:
            reason = max(self.reasons.items(), key=lambda item: (item[1], item[0]), default=None)
            raise FileRefused(
                "has no row below its header, and so names neither authorities nor years."
                if reason is None
                else "has no row that belongs to an authority and return year; most often: "
                f"{reason[0][1]}, {reason[0][2]}."
            )
        last_year = max(part.identity.return_year for part in found)
        parts = []
        for part in self.parts.values():
            if part.identity.la_code is None:
                parts.append(replace(part, identity=replace(part.identity, return_year=last_year)))
            elif part.identity.return_year:
                parts.append(part)
        return [(part, part.tally.counts()) for part in parts]

    @property
    def n_unattributed(self) -> int:
        """Rows that belong to no return."""
        part = self.parts.get((None, 0))
        return 0 if part is None else part.tally.rejected[ROWS]

    def existence_notes(self, parts: list[ReturnPart]) -> dict[str, str]:
        """Return id to a word where the authority did not exist in any part of the year."""
        found = {}
        for part in parts:
            identity = part.identity
            if identity.la_code is not None and (
                note := existence_note(self.reference, identity.la_code, identity.return_year)
            ):
                found[identity.return_id] = note
        if found:
            codes = sorted(
                {part.identity.la_code or "" for part in parts if part.identity.return_id in found}
            )
            more = len(codes) - _LISTED_AUTHORITIES
            self.notes.append(
                f"returns of authorities that did not exist in their year: {len(found):,} of "
                f"{', '.join(codes[:_LISTED_AUTHORITIES])}{f' and {more} more' if more > 0 else ''}"
            )
        return found

    def insert(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Insert every row of the file, table by table."""
        for batch in (*self.batches.values(), self.refused):
            batch.insert(connection)

    def close(self) -> None:
        """Let go of rows put aside."""
        for spill in (*self.buckets, *self.batches.values(), self.refused):
            spill.close()


def scope(parts: list[ReturnPart]) -> str:
    """What a file covers, for a line of text: ``13 returns of 2 authorities, 2018 to 2024``."""
    places = [(part.identity.la_code, part.identity.return_year) for part in parts if part.identity.la_code]
    codes, years = {code for code, _ in places}, [year for _, year in places]
    span = str(min(years)) if min(years) == max(years) else f"{min(years)} to {max(years)}"
    whom = f"{len(codes):,} authorities" if len(codes) > 1 else f"authority {codes.pop()}"
    return f"{len(places):,} return{'s' if len(places) > 1 else ''} of {whom}, {span}"
