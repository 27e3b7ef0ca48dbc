"""What published files about authorities have in common: an edition, and authorities by code or by name.

Statistics and judgements that are published cover every authority and name no child. A file is one edition of one
collection: the year stands in its content, else in its name, else is given. A further collection is one more module
with a ``recognise`` and a class like :class:`csc_evaluation.landing.statistical_neighbours.NeighbourTable`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Final, Protocol

from csc_evaluation.landing.context import FileRefused, Landing
from csc_evaluation.project import read_seed_file

EDITION: Final = "edition"
"""Column of a published raw table that holds the year of its edition."""

UNKNOWN_AUTHORITY: Final = "is no authority of reference.local_authorities"
TWO_AUTHORITIES: Final = "code and name are of two authorities"


@dataclass(frozen=True)
class Fault:
    """Why a record is refused, and by which of its fields."""

    field: str
    reason: str


class PublishedFile(Protocol):
    """A published file that was recognised."""

    @property
    def collection(self) -> str:
        """Its name in the manifest, and that of its raw table."""

    @property
    def record_type(self) -> str:
        """What is counted in it."""

    @property
    def edition(self) -> int | None:
        """The year that its content says it is of; None where it says none."""

    def land(self, stream: IO[bytes], encoding: str, landing: Landing) -> None:
        """Read every record, handing rows to the landing.

        Raises:
            FileRefused: the content cannot be read to its end.
        """


def edition_of(table: PublishedFile, years_in_name: Sequence[int], year_given: int | None) -> int:
    """The edition of a file: what its content says, else its name, else what was given.

    Args:
        table: the file.
        years_in_name: years that stand in the file's name.
        year_given: ``--year``.

    Raises:
        FileRefused: nothing says a year, the name holds several, or what was given contradicts the file.
    """
    if table.edition is not None:
        said, where = table.edition, "its content"
    elif len(years_in_name) == 1:
        said, where = years_in_name[0], "its name"
    elif year_given is not None:
        return year_given
    else:
        found = "holds several years" if years_in_name else "holds no year"
        raise FileRefused(
            f"is {table.collection}, whose content names no edition, and its name {found}; give --year, the year in "
            "which it was published."
        )
    if year_given is not None and year_given != said:
        raise FileRefused(
            f"is the edition of {said} by {where}, but --year says {year_given}; leave the option out or correct the file."
        )
    return said


def authority(code: str, name: str) -> tuple[str | None, str]:
    """The three-digit code of an authority, and why there is none.

    Args:
        code: a three-digit code, a GSS code (``E08000030``) or blank.
        name: its name, for a code that changed with a boundary, or blank.

    Example:
        >>> authority("E08000030", "Walsall"), authority("", "telford & wrekin")
        (('335', ''), ('894', ''))
        >>> authority("E99999999", "Nowhere")
        (None, 'is no authority of reference.local_authorities')
    """
    by_code = _authorities().get(_plain(code))
    by_name = _authorities().get(_plain(name))
    if by_code is not None and by_name is not None and by_code != by_name:
        return None, TWO_AUTHORITIES
    found = by_code or by_name
    return found, "" if found else UNKNOWN_AUTHORITY


@lru_cache(maxsize=1)
def _authorities() -> dict[str, str]:
    """Codes of both kinds and names, written alike, to the three-digit code.

    A name that two authorities had, one after the other, tells neither of them.
    """
    found: dict[str, set[str]] = {}
    for row in read_seed_file("reference/local_authorities").itertuples():
        for text in (row.la_code, row.gss_code, row.la_name):
            if isinstance(text, str) and _plain(text):
                found.setdefault(_plain(text), set()).add(str(row.la_code))
    return {text: codes.pop() for text, codes in found.items() if len(codes) == 1}


def _plain(text: str) -> str:
    """Case, punctuation and the ways of writing "and" set aside."""
    return re.sub(r"[^a-z0-9]", "", text.casefold().replace("&", "and"))
