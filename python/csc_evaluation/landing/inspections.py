"""Ofsted's inspections of authorities' children's services, as published in an OpenDocument spreadsheet.

Every sheet that has the columns is read, wherever its header row stands: the latest inspection of each authority and
the history of inspections, which name many inspections twice. A record is one row of one sheet.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from python_calamine import CalamineError, CalamineWorkbook

from csc_evaluation.landing import published
from csc_evaluation.landing.context import FileRefused, Landing
from csc_evaluation.landing.delimited import shown
from csc_evaluation.landing.published import Fault
from csc_evaluation.landing.values import EPOCH_ORDINAL, NOT_A_DATE, parse_date

COLLECTION: Final = "inspection_outcomes"
RECORD_TYPE: Final = "inspections"
JUDGEMENTS: Final = ("Outstanding", "Good", "Requires improvement to be good", "Inadequate")

MIMETYPE: Final = b"application/vnd.oasis.opendocument.spreadsheet"
BYTES_MAX: Final = 256 * 1024**2
"""Of a spreadsheet, unpacked; Ofsted's has a few."""

_INSPECTED, _PUBLISHED, _JUDGEMENT = "inspection date", "publication date", "overall effectiveness"
_CODE, _NAME, _TYPE = "local authority area code", "local authority name", "inspection type"
_REQUIRED: Final = (_INSPECTED, _PUBLISHED, _JUDGEMENT)
_HEADER_WITHIN_ROWS: Final = 20
_EDITION: Final = re.compile(r"\bas at 31 March (\d{4})\b", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Sheet:
    """A sheet with inspections: its name, and where what stands."""

    name: str
    header_row: int
    positions: dict[str, int]


@dataclass(frozen=True)
class InspectionWorkbook:
    """The sheets of a workbook that hold inspections, and the year of its "as at 31 March"."""

    sheets: tuple[Sheet, ...]
    edition: int | None
    collection: str = COLLECTION
    record_type: str = RECORD_TYPE

    def land(self, stream: IO[bytes], encoding: str, landing: Landing) -> None:
        """Read every row of the sheets."""
        workbook = _opened(stream)
        batch = landing.batch(COLLECTION)
        for sheet in self.sheets:
            for number, row in enumerate(_rows(workbook, sheet.name), start=1):
                if number <= sheet.header_row or not any(_text(cell) for cell in row):
                    continue
                found = _record(sheet, row)
                if not isinstance(found, Fault):
                    landing.tally.accepted[RECORD_TYPE] += 1
                    batch.rows.append((landing.tally.accepted[RECORD_TYPE], sheet.name, *found))
                else:
                    place = f"sheet {sheet.name}, row {number}"
                    landing.tally.reject(RECORD_TYPE, place, found.field, found.reason)


def is_spreadsheet(archive: zipfile.ZipFile) -> bool:
    """Whether a zip archive is an OpenDocument spreadsheet, by what it says of itself."""
    try:
        with archive.open("mimetype") as stream:
            return stream.read(len(MIMETYPE) + 1) == MIMETYPE
    except (KeyError, RuntimeError):
        return False


def recognise(path: Path) -> InspectionWorkbook:
    """What a spreadsheet holds.

    Raises:
        FileRefused: it cannot be read, is too large, or has no sheet of inspections or one that lacks a column.
    """
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > BYTES_MAX:
            raise FileRefused("is a spreadsheet too large to be read; save the sheet as CSV (UTF-8).")
    with path.open("rb") as stream:
        workbook = _opened(stream)
        sheets: list[Sheet] = []
        years: set[int] = set()
        for name in workbook.sheet_names:
            top = _rows(workbook, name)[:_HEADER_WITHIN_ROWS]
            years |= {int(year) for row in top for cell in row for year in _EDITION.findall(_text(cell))}
            if (sheet := _sheet(name, top)) is not None:
                sheets.append(sheet)
    if not sheets:
        raise FileRefused(
            "is a spreadsheet without a sheet of inspection outcomes (columns Inspection date, Publication date, "
            "Overall effectiveness); save the sheet as CSV (UTF-8) if it holds something else."
        )
    return InspectionWorkbook(tuple(sheets), years.pop() if len(years) == 1 else None)


def _opened(stream: IO[bytes]) -> CalamineWorkbook:
    try:
        return CalamineWorkbook.from_filelike(stream)
    except CalamineError:
        raise FileRefused("is a damaged spreadsheet; download or save it again.") from None


def _rows(workbook: CalamineWorkbook, name: str) -> list[list[Any]]:
    try:
        # Rows above the table count too, so that places are those that a reader sees.
        return workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except CalamineError:
        raise FileRefused(f"is a spreadsheet whose sheet {name[:40]!r} is damaged; save it again.") from None


def _sheet(name: str, top: Sequence[Sequence[Any]]) -> Sheet | None:
    for number, row in enumerate(top, start=1):
        columns = [_text(cell).casefold() for cell in row]
        if _INSPECTED not in columns or not {_CODE, _NAME, _JUDGEMENT, _PUBLISHED} & set(columns):
            continue
        lacking = [column for column in _REQUIRED if column not in columns]
        if not {_CODE, _NAME} & set(columns):
            lacking.append(_CODE)
        if lacking:
            raise FileRefused(
                f"looks like {COLLECTION}, but its sheet {name[:40]!r} lacks the column"
                f"{'s' if len(lacking) > 1 else ''} {shown(lacking)}."
            )
        known = (*_REQUIRED, _CODE, _NAME, _TYPE)
        if twice := [column for column in known if columns.count(column) > 1]:
            raise FileRefused(
                f"looks like {COLLECTION}, but its sheet {name[:40]!r} has more than once: {shown(twice)}."
            )
        return Sheet(name, number, {column: columns.index(column) for column in known if column in columns})
    return None


def _record(sheet: Sheet, row: Sequence[Any]) -> tuple[object, ...] | Fault:
    def cell(column: str) -> Any:
        place = sheet.positions.get(column)
        return None if place is None or place >= len(row) else row[place]

    la_code, problem = published.authority(_text(cell(_CODE)), _text(cell(_NAME)))
    if la_code is None:
        return Fault("la_code", problem)
    inspected, published_on = _day(cell(_INSPECTED)), _day(cell(_PUBLISHED))
    if inspected is None:
        return Fault("inspected_on", NOT_A_DATE if _text(cell(_INSPECTED)) else "no inspection date")
    if published_on is None and _text(cell(_PUBLISHED)):
        return Fault("published_on", NOT_A_DATE)
    if published_on is not None and published_on < inspected:
        return Fault("published_on", "published before the inspection")
    judgement = {name.casefold(): name for name in JUDGEMENTS}.get(_text(cell(_JUDGEMENT)).casefold())
    if judgement is None:
        return Fault("overall_judgement", f"is none of: {', '.join(JUDGEMENTS)}")
    return la_code, inspected, published_on, _text(cell(_TYPE)) or None, judgement


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _day(cell: Any) -> int | None:
    """Days since 1970-01-01 of a date, of midnight, or of a text that writes a date; None for anything else."""
    if isinstance(cell, dt.datetime):
        cell = cell.date() if cell.time() == dt.time() else None
    elif not isinstance(cell, dt.date):
        cell = parse_date(_text(cell))
    return None if cell is None else cell.toordinal() - EPOCH_ORDINAL
