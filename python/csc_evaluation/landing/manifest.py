"""The manifest ``raw.returns``: what landed, what a later return replaced, and what changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import duckdb

from csc_evaluation.errors import CscError
from csc_evaluation.landing.context import Reference, ReturnIdentity
from csc_evaluation.landing.rejects import RecordCount
from csc_evaluation.landing.ssda903 import MODULES
from csc_evaluation.pseudonyms import Pseudonymiser

RETURN_ID_HEX: Final = 32

_CIN_TABLES: Final = (
    "cin_children",
    "cin_disabilities",
    "cin_referrals",
    "cin_assessments",
    "cin_assessment_factors",
    "cin_section47",
    "cin_plans",
    "cin_cp_plans",
    "cin_cp_reviews",
)


@dataclass(frozen=True)
class Standing:
    """How a return with this very content stands in the manifest.

    Attributes:
        is_current: nothing of it has been replaced.
        replaced_by: file name of the return that replaced it, where known.
        replaced_modules: the modules of it that were replaced.
    """

    is_current: bool
    replaced_by: str | None
    replaced_modules: tuple[str, ...]


@dataclass(frozen=True)
class FileFacts:
    """What the manifest keeps of a file besides its identity and counts."""

    file_name: str
    sha256: str
    file_bytes: int
    header_year: int | None = None
    reference_date: str | None = None
    software: str | None = None
    software_release: str | None = None
    serial_no: str | None = None
    file_created_at: str | None = None


def return_id(collection: str, la_code: str | None, return_year: int, sha256: str) -> str:
    """Key of a return: from its identity and content alone, whatever was landed before.

    Example:
        >>> len(return_id("cin", "335", 2020, "ab" * 32))
        32
    """
    text = "\0".join((collection, la_code or "", str(return_year), sha256))
    return hashlib.sha256(text.encode()).hexdigest()[:RETURN_ID_HEX]


def tables_of(collection: str, module: str) -> tuple[str, ...]:
    """The raw tables in which a module's rows stand."""
    if collection == "cin":
        return _CIN_TABLES
    if collection == "ssda903":
        return (MODULES[module].table,)
    return (collection,)


def check_key(connection: duckdb.DuckDBPyConnection, pseudonymiser: Pseudonymiser, key_path: object) -> None:
    """See that this warehouse's pseudonyms were made with this key, and note the key when it is the first.

    Raises:
        CscError: another key was used before: the same child would get a second pseudonym.
    """
    fingerprint = pseudonymiser.child("", "fingerprint of the key")
    known = connection.execute("select fingerprint from raw.pseudonym_keys").fetchall()
    if not known:
        connection.execute("insert into raw.pseudonym_keys values (?, ?)", [fingerprint, _now()])
    elif (fingerprint,) not in known:
        raise CscError(
            f"{key_path}: is not the key with which this warehouse was landed, so the same child would get a second "
            "pseudonym. Give the first key (CSC_PSEUDONYM_KEY_FILE), or land everything into a new warehouse."
        )


def standing(connection: duckdb.DuckDBPyConnection, identity: ReturnIdentity) -> Standing | None:
    """How this very return stands, or None when it was never landed."""
    row = connection.execute(
        "select r.is_superseded, r.superseded_modules, s.file_name from raw.returns r "
        "left join raw.returns s on s.return_id = r.superseded_by where r.return_id = ?",
        [identity.return_id],
    ).fetchone()
    if row is None:
        return None
    is_superseded, modules, replaced_by = row
    replaced = tuple(modules.split(",")) if modules else ()
    return Standing(not is_superseded and not replaced, replaced_by, replaced)


def forget(connection: duckdb.DuckDBPyConnection, identity: ReturnIdentity) -> None:
    """Take a return out, rows and manifest, so that it can be landed again in the same transaction."""
    for module in identity.modules:
        for table in tables_of(identity.collection, module):
            connection.execute(f"delete from raw.{table} where return_id = ?", [identity.return_id])
    for table in ("returns", "return_counts", "rejects", "unlisted_codes"):
        connection.execute(f"delete from raw.{table} where return_id = ?", [identity.return_id])


def supersede(
    connection: duckdb.DuckDBPyConnection, identity: ReturnIdentity, *, created_at: str | None
) -> tuple[list[str], list[str]]:
    """Replace the modules that an earlier return of the same collection, authority and year has in common.

    Rows of replaced modules go; the manifest row, its counts and rejects stay. A return of which every module is
    replaced is marked superseded.

    Returns:
        File names of the returns of which something was replaced, and notes on them.
    """
    replaced: list[str] = []
    notes: list[str] = []
    earlier = connection.execute(
        "select return_id, file_name, modules, superseded_modules, file_created_at from raw.returns "
        "where collection = ? and la_code is not distinct from ? and return_year = ? and not is_superseded "
        "and return_id <> ? order by landed_at, return_id",
        [identity.collection, identity.la_code, identity.return_year, identity.return_id],
    ).fetchall()
    for other_id, file_name, modules, gone, other_created_at in earlier:
        already = set(gone.split(",")) if gone else set()
        shared = sorted((set(modules.split(",")) - already) & set(identity.modules))
        if not shared:
            continue
        for module in shared:
            for table in tables_of(identity.collection, module):
                connection.execute(f"delete from raw.{table} where return_id = ?", [other_id])
        gone_now = already | set(shared)
        is_all = gone_now == set(modules.split(","))
        connection.execute(
            "update raw.returns set superseded_modules = ?, is_superseded = ?, superseded_by = ?, superseded_at = ? "
            "where return_id = ?",
            [",".join(sorted(gone_now)), is_all, identity.return_id, _now(), other_id],
        )
        replaced.append(file_name if is_all else f"{file_name} ({', '.join(shared)})")
        if created_at and other_created_at and created_at < other_created_at:
            notes.append(
                f"its header was written {created_at}, before that of {file_name} ({other_created_at}), which it replaces"
            )
    return replaced, notes


def enter(
    connection: duckdb.DuckDBPyConnection,
    identity: ReturnIdentity,
    facts: FileFacts,
    counts: Sequence[RecordCount],
    notes: Sequence[str],
) -> None:
    """Write the manifest row of a return."""
    values = {
        "return_id": identity.return_id,
        "collection": identity.collection,
        "la_code": identity.la_code,
        "return_year": identity.return_year,
        "file_name": facts.file_name,
        "sha256": facts.sha256,
        "file_bytes": facts.file_bytes,
        "landed_at": _now(),
        "n_found": sum(count.n_found for count in counts),
        "n_accepted": sum(count.n_accepted for count in counts),
        "n_rejected": sum(count.n_rejected for count in counts),
        "header_year": facts.header_year,
        "reference_date": facts.reference_date,
        "software": facts.software,
        "software_release": facts.software_release,
        "serial_no": facts.serial_no,
        "file_created_at": facts.file_created_at,
        "modules": ",".join(identity.modules),
        "notes": "; ".join(notes) or None,
        "is_superseded": False,
    }
    connection.execute(
        f"insert into raw.returns ({', '.join(values)}) values ({', '.join('?' for _ in values)})",
        list(values.values()),
    )


def existence_note(reference: Reference, la_code: str, return_year: int) -> str | None:
    """A word where an authority did not exist in any part of the return's year."""
    first, last = reference.authorities[la_code]
    if (first and first > f"{return_year}-03-31") or (last and last < f"{return_year - 1}-04-01"):
        return f"authority {la_code} did not exist in the year to 31 March {return_year}"
    return None


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
