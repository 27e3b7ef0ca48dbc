"""SSDA903 as CSV: one module per file, recognised by its columns."""

from __future__ import annotations

from typing import IO

from csc_evaluation.landing.context import BATCH_RECORDS, FileRefused, Landing
from csc_evaluation.landing.delimited import HEADER_AGAIN, Header, is_header_again, rows, shown, wrong_width
from csc_evaluation.landing.ssda903 import Module, ModuleReader


def check_columns(header: Header, module: Module) -> list[str]:
    """What a reader should know of the columns, as notes.

    Raises:
        FileRefused: a column that must be there is missing, or one stands there twice.
    """
    if repeated := header.repeated():
        raise FileRefused(
            f"looks like SSDA903 {module.name} but has columns more than once: {shown(repeated)}; keep one of each."
        )
    names = set(header.names)
    if missing := [name for name in module.expected if name not in names]:
        raise FileRefused(
            f"looks like SSDA903 {module.name} but lacks the column{'s' if len(missing) > 1 else ''} "
            f"{shown(missing)}; expected are {', '.join(module.expected)}."
        )
    notes = []
    if absent := [column.name for column in module.columns if column.name not in names]:
        notes.append(f"columns not there, left missing: {shown(absent)}")
    if unknown := [name for name in header.columns if name.upper() not in module.known]:
        notes.append(f"columns that SSDA903 {module.name} does not have, set aside: {shown(unknown)}")
    return notes


def land_file(stream: IO[bytes], header: Header, encoding: str, module: Module, landing: Landing) -> None:
    """Read every row of the file, handing rows to the landing batch by batch.

    Raises:
        FileRefused: the text cannot be read to its end.
    """
    reader = ModuleReader(module, landing)
    names = header.names
    width = len(names)
    landing.notes.extend(check_columns(header, module))
    for line, row in rows(stream, header, encoding):
        path = f"row {line}"
        if len(row) < width or any(cell.strip() for cell in row[width:]):
            reader.n_records += 1
            reader.refuse(path, "row", wrong_width(len(row), width))
        elif row[0].strip().upper() == names[0] and is_header_again(row, header):
            reader.n_records += 1
            reader.refuse(path, "row", HEADER_AGAIN)
        else:
            reader.record(dict(zip(names, row, strict=False)), path)
        if reader.n_records % BATCH_RECORDS == 0:
            landing.put_aside()
