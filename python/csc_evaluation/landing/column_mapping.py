"""Which column of the research service is which of ours: the seed ``reference/column_mappings``."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache

from csc_evaluation.errors import SeedError
from csc_evaluation.project import read_seed_file


@dataclass(frozen=True)
class Mapping:
    """One row of the seed.

    Attributes:
        collection: the table it belongs to.
        supplier_pattern: the supplier's name; may hold ``<yy>`` and ``<CEN>``.
        our_column: what it becomes here.
        is_required: a table without it is refused.
    """

    collection: str
    supplier_pattern: str
    our_column: str
    is_required: bool


@lru_cache(maxsize=1)
def _all() -> tuple[Mapping, ...]:
    return tuple(
        Mapping(
            str(row.collection),
            str(row.supplier_pattern),
            str(row.our_column),
            str(row.is_required).lower() == "true",
        )
        for row in read_seed_file("reference/column_mappings").itertuples()
    )


def mappings(collection: str, known: Set[str]) -> tuple[Mapping, ...]:
    """The seed's rows for a collection, in its order.

    Args:
        known: our columns that the collection has.

    Raises:
        SeedError: a row names another column.
    """
    rows = tuple(row for row in _all() if row.collection == collection)
    for row in rows:
        if row.our_column not in known:
            raise SeedError(
                f"seeds/reference/column_mappings.csv: {collection}, {row.our_column} is no column that landing stores."
            )
    return rows
