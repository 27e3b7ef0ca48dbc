"""Statistical neighbours as published: one row per authority, with its ten neighbours and how close they are.

Two layouts are known, of the models of 2021 and 2025: ``SN1, SNP, SN2, SNP, ...`` and ``SN_1, SN_1P, SN_2, SN_2P, ...``.
A neighbour's closeness is the column behind it. A record is one neighbour of one authority.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, Final

from csc_evaluation.landing import published
from csc_evaluation.landing.context import FileRefused, Landing
from csc_evaluation.landing.delimited import Header, rows, shown, wrong_width
from csc_evaluation.landing.published import Fault

COLLECTION: Final = "statistical_neighbours"
RECORD_TYPE: Final = "neighbours"
N_NEIGHBOURS: Final = 10
CLOSENESS: Final = ("extremely close", "very close", "close", "somewhat close", "not close")

_CODE_COLUMNS: Final = ("OLD_LA_CODE", "LA NUM", "LA NUMBER")
_NEIGHBOUR: Final = re.compile(r"SN_?(\d{1,2})", re.ASCII)
_CLOSENESS: Final = re.compile(r"SN_?\d{0,2}P", re.ASCII)


@dataclass(frozen=True)
class NeighbourTable:
    """Where in a row the authority and its neighbours stand.

    Attributes:
        header: the first row.
        code_position: place of the authority's code, from 0.
        neighbour_positions: place of each neighbour's code, nearest first; its closeness is the next.
    """

    header: Header
    code_position: int
    neighbour_positions: tuple[int, ...]
    collection: str = COLLECTION
    record_type: str = RECORD_TYPE
    edition: int | None = None
    """Never in the content."""

    def land(self, stream: IO[bytes], encoding: str, landing: Landing) -> None:
        """Read every row; a row with neither code nor neighbours is a heading or blank, and no record."""
        batch = landing.batch(COLLECTION)
        tally = landing.tally
        width = len(self.header.columns)
        seen: set[str] = set()
        for line, row in rows(stream, self.header, encoding):
            cells = [cell.strip() for cell in row] + [""] * (width - len(row))
            named = [(cells[place], cells[place + 1]) for place in self.neighbour_positions]
            code = cells[self.code_position]
            if not code and not any(neighbour for neighbour, _ in named):
                continue
            la_code, problem = published.authority(code, "")
            field = "la_code"
            if la_code in seen:
                la_code, problem = None, "the authority stands there before"
            elif len(row) < width or any(cells[width:]):
                la_code, problem, field = None, wrong_width(len(row), width), "row"
            if la_code is None:
                for rank in range(1, N_NEIGHBOURS + 1):
                    tally.reject(RECORD_TYPE, f"row {line}, neighbour {rank}", field, problem)
                continue
            seen.add(la_code)
            for rank, (neighbour, closeness) in enumerate(named, start=1):
                found = _neighbour(la_code, neighbour, closeness)
                if isinstance(found, Fault):
                    tally.reject(RECORD_TYPE, f"row {line}, neighbour {rank}", found.field, found.reason)
                else:
                    tally.accepted[RECORD_TYPE] += 1
                    batch.rows.append((tally.accepted[RECORD_TYPE], la_code, rank, *found))


def _neighbour(la_code: str, neighbour: str, closeness: str) -> tuple[str, str] | Fault:
    code, problem = published.authority(neighbour, "")
    if code is None:
        return Fault("neighbour_la_code", problem if neighbour else "no neighbour")
    if code == la_code:
        return Fault("neighbour_la_code", "is the authority itself")
    if closeness.casefold() not in CLOSENESS:
        return Fault("closeness", f"is none of: {', '.join(CLOSENESS)}")
    return code, closeness.casefold()


def recognise(header: Header) -> NeighbourTable | None:
    """What the columns say, or None when they are not those of statistical neighbours.

    Raises:
        FileRefused: neighbours are there, but not all ten, or without closeness, or of nobody.
    """
    names = header.names
    numbered = [
        (int(match[1]), place) for place, name in enumerate(names) if (match := _NEIGHBOUR.fullmatch(name))
    ]
    if not numbered:
        return None
    if sorted(number for number, _ in numbered) != list(range(1, N_NEIGHBOURS + 1)):
        raise FileRefused(
            f"looks like {COLLECTION} but has the neighbours {shown([f'SN{n}' for n, _ in sorted(numbered)])}, where "
            f"SN1 to SN{N_NEIGHBOURS} should stand once each."
        )
    positions = tuple(place for _, place in sorted(numbered))
    if lacking := [
        names[place]
        for place in positions
        if not _CLOSENESS.fullmatch(names[place + 1] if place + 1 < len(names) else "")
    ]:
        raise FileRefused(
            f"looks like {COLLECTION} but lacks the closeness (SNP, SN_1P) behind the column{'s' if len(lacking) > 1 else ''} "
            f"{shown(lacking)}."
        )
    code = next((names.index(name) for name in _CODE_COLUMNS if name in names), None)
    if code is None:
        raise FileRefused(f"looks like {COLLECTION} but lacks the authority's code: LA num or old_la_code.")
    return NeighbourTable(header, code, positions)
