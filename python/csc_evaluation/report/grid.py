"""Tables of a page: cells, rows and grids, which the templates print."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, and smaller text below it."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class Row:
    """A table row; ``kind`` is its style (``headline``, ``remain``, ``leave``, ``flagged`` or none)."""

    cells: tuple[Cell, ...]
    kind: str = ""


@dataclass(frozen=True)
class Grid:
    """A table, or the reason why there is none. The first ``n_text_columns`` are set left, the rest as numbers."""

    caption: str
    headers: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    n_text_columns: int = 1
    notes: tuple[str, ...] = ()
    absent_because: str | None = None
