"""The research service's wide school tables: absence (one table per academic year) and school census.

Which supplier column is which of ours is a seed, ``reference/column_mappings``: ``<yy>`` stands for the last two
digits of the year in which the academic year ends and ``<CEN>`` for the census (SPR, SUM, AUT). Case is set
aside, and so is a prefix that a release puts before the name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Final

from csc_evaluation.landing.column_mapping import Mapping, mappings
from csc_evaluation.landing.context import FileRefused, Landing
from csc_evaluation.landing.delimited import HEADER_AGAIN, Header, is_header_again, rows, shown, wrong_width
from csc_evaluation.landing.values import CodeReader, FlagReader, NumberReader

ABSENCE: Final = "school_absence"
CENSUS: Final = "school_census"
COLLECTIONS: Final = (ABSENCE, CENSUS)
TERMS: Final = {"SPR": "spring", "SUM": "summer", "AUT": "autumn"}

_BATCH_ROWS: Final = 50_000
_PUPIL: Final = "pupil_reference"
_ABSENCE_COLUMNS: Final = (
    "nc_year",
    *(
        f"{count}_{term}"
        for term in ("autumn", "spring", "summer")
        for count in ("sessions_possible", "authorised_absence", "unauthorised_absence")
    ),
)
_CENSUS_COLUMNS: Final = ("nc_year", "is_fsm_eligible", "is_ever_fsm_6", "is_pupil_premium")
_FIRST_CENTURY_YEAR: Final = 90


@dataclass(frozen=True)
class SchoolTable:
    """What a file's columns say it is.

    Attributes:
        collection: ``school_absence`` or ``school_census``.
        academic_year: the year in which the academic year ends (2019 is 2018/19).
        census_term: spring, summer or autumn; None for absence.
        positions: our column to its place in the row, from 0.
        notes: columns unknown or not there, by name.
    """

    collection: str
    academic_year: int
    census_term: str | None
    positions: dict[str, int]
    notes: tuple[str, ...]

    @property
    def module(self) -> str:
        """What of the collection the file holds: ``absence``, or the census by its term."""
        return "absence" if self.census_term is None else f"census_{self.census_term}"


@lru_cache(maxsize=1)
def _mappings() -> tuple[tuple[Mapping, re.Pattern[str]], ...]:
    """Every school column of the seed, with the expression its name follows."""
    found = []
    for collection, columns in ((ABSENCE, _ABSENCE_COLUMNS), (CENSUS, _CENSUS_COLUMNS)):
        for mapping in mappings(collection, {_PUPIL, *columns}):
            body = (
                re.escape(mapping.supplier_pattern)
                .replace("<yy>", r"(?P<yy>\d{2})")
                .replace("<CEN>", rf"(?P<cen>{'|'.join(TERMS)})")
            )
            expression = re.compile(rf"(?:[A-Z0-9]+_)*?{body}", re.IGNORECASE | re.ASCII)
            found.append((mapping, expression))
    return tuple(found)


def recognise(header: Header) -> SchoolTable | None:
    """What the columns say, or None when none of them is a school column.

    Raises:
        FileRefused: the columns are of several years or censuses, one stands there twice, or one that must be
            there is missing.
    """
    matched: dict[str, list[int]] = {}
    kinds: set[tuple[str, int, str | None]] = set()
    unknown: list[str] = []
    for position, name in enumerate(header.columns):
        for mapping, expression in _mappings():
            if match := expression.fullmatch(name):
                groups = match.groupdict()
                yy = int(groups["yy"])
                year = yy + (1900 if yy >= _FIRST_CENTURY_YEAR else 2000)
                term = TERMS[groups["cen"].upper()] if groups.get("cen") else None
                kinds.add((mapping.collection, year, term))
                matched.setdefault(mapping.our_column, []).append(position)
                break
        else:
            unknown.append(name)
    if not kinds:
        return None
    if len(kinds) > 1:
        listed = ", ".join(
            f"{collection} {year}{f' {term}' if term else ''}"
            for collection, year, term in sorted(kinds, key=lambda kind: (kind[0], kind[1], kind[2] or ""))
        )
        raise FileRefused(f"holds columns of several school tables ({listed}); give one table per file.")
    collection, year, term = kinds.pop()
    if twice := [name for name, places in matched.items() if len(places) > 1]:
        raise FileRefused(
            f"looks like {collection} {year} but has the column more than once for: {shown(sorted(twice))}; keep one of each."
        )
    wanted = [mapping for mapping, _ in _mappings() if mapping.collection == collection]
    _refuse_missing(collection, year, term, wanted, set(matched))
    notes = []
    ours = _ABSENCE_COLUMNS if collection == ABSENCE else _CENSUS_COLUMNS
    if absent := [name for name in ours if name not in matched]:
        notes.append(f"columns not there, left missing: {shown(absent)}")
    if unknown:
        notes.append(f"columns not in the column mapping, set aside: {shown(unknown)}")
    return SchoolTable(
        collection, year, term, {name: places[0] for name, places in matched.items()}, tuple(notes)
    )


def _refuse_missing(
    collection: str, year: int, term: str | None, wanted: Sequence[Mapping], present: set[str]
) -> None:
    missing = {
        mapping.our_column: mapping.supplier_pattern
        for mapping in reversed(wanted)
        if mapping.is_required and mapping.our_column not in present
    }
    if collection == ABSENCE:
        # A term not collected has none of its three columns; one or two of them cannot be used.
        for name in ("autumn", "spring", "summer"):
            columns = [
                f"{count}_{name}"
                for count in ("sessions_possible", "authorised_absence", "unauthorised_absence")
            ]
            there = [column for column in columns if column in present]
            if there and len(there) < len(columns):
                missing |= {
                    mapping.our_column: mapping.supplier_pattern
                    for mapping in reversed(wanted)
                    if mapping.our_column in columns and mapping.our_column not in present
                }
        if not any(column.startswith("sessions_possible") for column in present | set(missing)):
            missing["sessions_possible_autumn"] = "SessionsPossible_<Term>_ab<yy>"
    if missing:
        names = [
            pattern.replace("<yy>", f"{year % 100:02d}").replace(
                "<CEN>", next((code for code, word in TERMS.items() if word == term), "")
            )
            for pattern in missing.values()
        ]
        raise FileRefused(
            f"looks like {collection} {year} but lacks the column{'s' if len(names) > 1 else ''} {shown(sorted(names))}."
        )


def land_file(stream: IO[bytes], header: Header, encoding: str, table: SchoolTable, landing: Landing) -> None:
    """Read every row of the table, handing rows to the landing batch by batch; references are hashed on the way.

    Raises:
        FileRefused: the text cannot be read to its end.
    """
    landing.notes.extend(table.notes)
    record_type = table.module
    if table.collection == ABSENCE:
        batch = landing.batch("school_absence")
        columns: tuple[str, ...] = _ABSENCE_COLUMNS
    else:
        batch = landing.batch("school_census", census_term=table.census_term)
        columns = _CENSUS_COLUMNS
    readers: list[tuple[int | None, CodeReader | FlagReader | NumberReader]] = []
    for name in columns:
        if name == "nc_year":
            reader: CodeReader | FlagReader | NumberReader = landing.code(record_type, name, None)
        elif name.startswith("is_"):
            reader = landing.flag(record_type, name, allow_words=True)
        else:
            reader = landing.number(record_type, name)
        readers.append((table.positions.get(name), reader))
    pupil_position = table.positions[_PUPIL]
    pupil_hash = landing.pseudonymiser.pupil
    accepted = landing.tally.accepted
    width = len(header.columns)
    pupil_name = header.names[pupil_position]
    for number, (line, row) in enumerate(rows(stream, header, encoding), start=1):
        if len(row) < width or any(cell.strip() for cell in row[width:]):
            landing.tally.reject(record_type, f"row {line}", "row", wrong_width(len(row), width))
            continue
        reference = row[pupil_position].strip()
        if not reference:
            landing.tally.reject(record_type, f"row {line}", _PUPIL, "no pupil reference")
            continue
        if reference.upper() == pupil_name and is_header_again(row, header):
            landing.tally.reject(record_type, f"row {line}", "row", HEADER_AGAIN)
            continue
        accepted[record_type] += 1
        batch.rows.append(
            (
                number,
                pupil_hash(reference),
                *[None if position is None else read(row[position]) for position, read in readers],
            )
        )
        if number % _BATCH_ROWS == 0:
            landing.put_aside()
