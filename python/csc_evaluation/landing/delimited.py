"""Reading delimited text: encoding, delimiter, header row, and rows with their place in the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final

from csc_evaluation.landing.context import FileRefused

_DELIMITERS: Final = ",\t;|"
HEADER_AGAIN: Final = "the header row again"
"""Why a row is refused that repeats the header."""

_MAX_SHOWN: Final = 10
_MAX_NAME: Final = 40


@dataclass(frozen=True)
class Header:
    """First row of a delimited file.

    Attributes:
        columns: names as written, blanks around them cut.
        delimiter: what stands between two columns.
    """

    columns: tuple[str, ...]
    delimiter: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names in upper case."""
        return tuple(column.upper() for column in self.columns)

    def repeated(self) -> list[str]:
        """Names that stand there more than once, in order."""
        seen: set[str] = set()
        twice: list[str] = []
        for name in self.names:
            if name and name in seen and name not in twice:
                twice.append(name)
            seen.add(name)
        return twice


def read_header(stream: IO[bytes], encoding: str) -> Header:
    """The header row; the delimiter is the one of comma, tab, semicolon and bar that it holds most often.

    Raises:
        FileRefused: the first row cannot be read as text or holds nothing.
    """
    # The row may end in a carriage return alone, as old exports write it.
    line = stream.readline(1 << 20).split(b"\r", maxsplit=1)[0]
    try:
        text = line.decode(encoding).strip("\r\n")
    except UnicodeDecodeError:
        raise FileRefused("has a first row that is not text; save it as CSV (UTF-8).") from None
    if "\0" in text:
        raise FileRefused("holds bytes that no text file has; save it as CSV (UTF-8).")
    delimiter = max(_DELIMITERS, key=text.count)
    try:
        row = next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error:
        raise FileRefused("has a header row with quotation marks that do not match.") from None
    columns = tuple(name.strip().strip("\ufeff").strip() for name in row)
    if not any(columns):
        raise FileRefused("has no column names in its first row.")
    return Header(columns, delimiter)


def rows(stream: IO[bytes], header: Header, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, values) of each row below the header; lines without a single character are passed over.

    Raises:
        FileRefused: bytes that are not text, or quotation marks that do not match, with the line.
    """
    text = io.TextIOWrapper(stream, encoding=encoding, newline="")
    reader = csv.reader(text, delimiter=header.delimiter, strict=True)
    try:
        next(reader, None)
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error:
        raise FileRefused(
            f"cannot be read at line {reader.line_num}: quotation marks do not match or a value never ends; "
            "save it as CSV again."
        ) from None
    except UnicodeDecodeError:
        raise FileRefused(
            f"holds bytes after line {reader.line_num} that are neither UTF-8 nor Windows-1252 text; "
            "save it as CSV (UTF-8)."
        ) from None
    finally:
        text.detach()


def is_header_again(row: Sequence[str], header: Header) -> bool:
    """Whether a row repeats the header, as files put one below the other have it in their middle.

    Example:
        >>> is_header_again(["child", " DOB "], Header(("CHILD", "DOB"), ","))
        True
    """
    return tuple(cell.strip().upper() for cell in row[: len(header.columns)]) == header.names


def wrong_width(n_values: int, n_columns: int) -> str:
    """Why a row is refused that has fewer values than columns, or values beyond them."""
    return f"{n_values} values where the header has {n_columns} columns"


def shown(names: Sequence[str]) -> str:
    """Column names for a message: the first ten, each cut to forty characters.

    Example:
        >>> shown(["A", "B"])
        'A, B'
    """
    listed = ", ".join(name[:_MAX_NAME] or "(no name)" for name in names[:_MAX_SHOWN])
    more = len(names) - _MAX_SHOWN
    return f"{listed} and {more} more" if more > 0 else listed
