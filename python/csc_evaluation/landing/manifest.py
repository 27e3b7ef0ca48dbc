"""The manifest ``raw.returns``: what landed, what a later return replaced, and what changes nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import duckdb

from csc_evaluation.errors import CscError
from csc_evaluation.landing.context import Reference, ReturnIdentity
from csc_evaluation.landing.rejects import RecordCount
from csc_evaluation.landing.ssda903 import MODULES
from csc_evaluation.pseudonyms import Pseudonymiser

RETURN_ID_HEX: Final = 32

UNATTRIBUTED: Final = "unattributed"
"""Module of the manifest row to which rows of an extract belong that name no authority and year."""

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
        is_gone: all of it has been replaced.
    """

    is_current: bool
    replaced_by: str | None
    is_gone: bool


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


def extract_return_id(collection: str, la_code: str | None, return_year: int, content_key: str) -> str:
    """Key of one return among those an extract stacks; that of rows without an authority has no year.

    Example:
        >>> extract_return_id("cin", None, 2020, "k") == extract_return_id("cin", None, 2024, "k")
        True
    """
    return return_id(f"{collection} extract", la_code, 0 if la_code is None else return_year, content_key)


def tables_of(collection: str, module: str) -> tuple[str, ...]:
    """The raw tables in which a module's rows stand."""
    if module == UNATTRIBUTED:
        return ()
    if collection == "cin":
        return _CIN_TABLES
    if collection == "ssda903":
        return (MODULES[module].table,)
    return (collection,)


def has_key(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether pseudonyms were made for this warehouse before, with a key that has to be used again."""
    return bool(connection.execute("select 1 from raw.pseudonym_keys limit 1").fetchall())


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


@dataclass(frozen=True)
class _Entry:
    """What of a manifest row decides what a later file does to it."""

    return_id: str
    place: tuple[str, str | None, int]
    file_name: str
    created_at: str | None
    sha256: str
    modules: frozenset[str]
    replaced_modules: frozenset[str] = frozenset()
    replaced_by: str | None = None

    @property
    def is_superseded(self) -> bool:
        return self.replaced_modules == self.modules


class Manifest:
    """The manifest of an open warehouse.

    It is read once: whoever lands holds the warehouse's only write lock, so what is known here stays true.
    :meth:`committed` takes over what the last transaction changed, :meth:`rolled_back` forgets it.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._entries: dict[str, _Entry] = {}
        self._places: dict[tuple[str, str | None, int], list[str]] = {}
        self._changes: list[_Entry] = []
        self._landed_now: set[str] = set()
        self._has_unattributed = False
        rows = connection.execute(
            "select return_id, collection, la_code, return_year, file_name, file_created_at, sha256, modules, "
            "superseded_modules, superseded_by from raw.returns order by landed_at, return_id"
        ).fetchall()
        for key, collection, la_code, year, file_name, created_at, sha256, modules, gone, by in rows:
            place = (collection, la_code, year)
            self._remember(
                _Entry(key, place, file_name, created_at, sha256, _split(modules), _split(gone), by),
            )

    def _remember(self, entry: _Entry) -> None:
        if entry.return_id not in self._entries:
            self._places.setdefault(entry.place, []).append(entry.return_id)
        self._entries[entry.return_id] = entry
        self._has_unattributed = self._has_unattributed or entry.modules == {UNATTRIBUTED}

    def committed(self) -> None:
        """The transaction's changes are in the warehouse."""
        for entry in self._changes:
            self._remember(entry)
            if not entry.replaced_modules:
                self._landed_now.add(entry.return_id)
        self._changes.clear()

    def rolled_back(self) -> None:
        """The transaction's changes are undone."""
        self._changes.clear()

    def standing(self, identity: ReturnIdentity) -> Standing | None:
        """How this very return stands, or None when it was never landed."""
        entry = self._entries.get(identity.return_id)
        if entry is None:
            return None
        by = self._entries.get(entry.replaced_by) if entry.replaced_by else None
        return Standing(
            is_current=not entry.replaced_modules,
            replaced_by=None if by is None else by.file_name,
            is_gone=entry.is_superseded,
        )

    def returns_of_extract(
        self, collection: str, sha256: str, content_key: str
    ) -> tuple[list[ReturnIdentity], Standing] | None:
        """The returns of this very extract and how they stand together, or None when it was never landed."""
        found = [
            entry
            for entry in self._entries.values()
            if entry.sha256 == sha256
            and entry.place[0] == collection
            and entry.return_id == extract_return_id(*entry.place, content_key)
        ]
        if not found:
            return None
        replaced = next((entry for entry in found if entry.replaced_modules), None)
        by = self._entries.get(replaced.replaced_by or "") if replaced else None
        standing = Standing(
            is_current=replaced is None,
            replaced_by=None if by is None else by.file_name,
            is_gone=all(entry.is_superseded for entry in found),
        )
        return [
            ReturnIdentity(*entry.place, tuple(sorted(entry.modules)), entry.return_id) for entry in found
        ], standing

    def same_content_elsewhere(self, identity: ReturnIdentity, sha256: str) -> list[str]:
        """A word on returns of another authority or year with this very content: one of the two is mistaken."""
        places = sorted(
            {
                f"{entry.place[2]}"
                if entry.place[1] is None
                else f"authority {entry.place[1]}, {entry.place[2]}"
                for entry in self._entries.values()
                if entry.sha256 == sha256
                and entry.return_id != identity.return_id
                and not entry.is_superseded
            }
        )
        return [
            f"the same content stands in the warehouse as {place} too; one is mistaken" for place in places
        ]

    def forget(self, identities: Sequence[ReturnIdentity]) -> None:
        """Take returns out, rows and manifest, so that they can be landed again in the same transaction."""
        gone: dict[str, list[str]] = {}
        for identity in identities:
            tables = [
                table for module in identity.modules for table in tables_of(identity.collection, module)
            ]
            for table in (*tables, "returns", "return_counts", "rejects", "unlisted_codes"):
                gone.setdefault(table, []).append(identity.return_id)
        self._delete(gone)

    def supersede(
        self, identities: Sequence[ReturnIdentity], *, created_at: str | None
    ) -> tuple[list[str], list[str]]:
        """Replace the modules that earlier returns of the same collection, authority and year have in common.

        Rows of replaced modules go; the manifest row, its counts and rejects stay. A return of which every
        module is replaced is marked superseded.

        Args:
            identities: the returns of one file.
            created_at: when the file says it was made.

        Returns:
            File names of the returns of which something was replaced, and notes on them.
        """
        replaced: Counter[str] = Counter()
        notes: dict[str, None] = {}
        gone: dict[str, list[str]] = {}
        changes: dict[str, _Entry] = {}
        own = {identity.return_id for identity in identities}
        for identity in identities:
            if identity.la_code is None and identity.modules == (UNATTRIBUTED,):
                continue
            place = (identity.collection, identity.la_code, identity.return_year)
            for other_id in self._places.get(place, []):
                other = self._entries[other_id]
                shared = sorted((other.modules - other.replaced_modules) & set(identity.modules))
                if other_id in own or not shared:
                    continue
                for module in shared:
                    for table in tables_of(identity.collection, module):
                        gone.setdefault(table, []).append(other_id)
                changed = replace(
                    other,
                    replaced_modules=other.replaced_modules | set(shared),
                    replaced_by=identity.return_id,
                )
                changes[other_id] = changed
                replaced[
                    other.file_name if changed.is_superseded else f"{other.file_name} ({', '.join(shared)})"
                ] += 1
                if other_id in self._landed_now:
                    notes.setdefault(
                        f"{other.file_name} was landed by this same command as the same return: the last one read "
                        "stands; see that they are not two parts of one"
                    )
                if created_at and other.created_at and created_at < other.created_at:
                    notes.setdefault(
                        f"its header was written {created_at}, before that of {other.file_name} "
                        f"({other.created_at}), which it replaces"
                    )
        changes |= self._left_over(changes, own)
        self._delete(gone)
        for changed in changes.values():
            self._mark(changed)
        return [name if n == 1 else f"{name} in {n:,} returns" for name, n in replaced.items()], list(notes)

    def _left_over(self, changes: dict[str, _Entry], own: set[str]) -> dict[str, _Entry]:
        """Rows of an extract that belong to no return go with the last of its returns that is replaced."""
        if not changes or not self._has_unattributed:
            return {}
        now = self._entries | changes
        standing = {
            (entry.place[0], entry.sha256)
            for entry in now.values()
            if entry.modules != {UNATTRIBUTED} and not entry.is_superseded and entry.return_id not in own
        }
        replaced_by = {(entry.place[0], entry.sha256): entry.replaced_by for entry in changes.values()}
        return {
            key: replace(
                entry,
                replaced_modules=entry.modules,
                replaced_by=replaced_by[(entry.place[0], entry.sha256)],
            )
            for key, entry in now.items()
            if entry.modules == {UNATTRIBUTED}
            and not entry.is_superseded
            and key not in own
            and (entry.place[0], entry.sha256) in replaced_by.keys() - standing
        }

    def _mark(self, changed: _Entry) -> None:
        """Write down what of a return has been replaced."""
        self._connection.execute(
            "update raw.returns set superseded_modules = ?, is_superseded = ?, superseded_by = ?, "
            "superseded_at = ? where return_id = ?",
            [
                ",".join(sorted(changed.replaced_modules)),
                changed.is_superseded,
                changed.replaced_by,
                _now(),
                changed.return_id,
            ],
        )
        self._changes.append(changed)

    def _delete(self, gone: dict[str, list[str]]) -> None:
        """Delete rows by table and return id, in one pass over each table."""
        for table, keys in gone.items():
            if len(keys) == 1:
                self._connection.execute(f"delete from raw.{table} where return_id = ?", keys)
            else:
                self._connection.execute(
                    f"delete from raw.{table} where return_id in (select unnest(?::varchar[]))", [keys]
                )

    def enter(
        self,
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
        self._connection.execute(
            f"insert into raw.returns ({', '.join(values)}) values ({', '.join('?' for _ in values)})",
            list(values.values()),
        )
        place = (identity.collection, identity.la_code, identity.return_year)
        self._changes.append(
            _Entry(
                identity.return_id,
                place,
                facts.file_name,
                facts.file_created_at,
                facts.sha256,
                frozenset(identity.modules),
            )
        )


def _split(text: str | None) -> frozenset[str]:
    return frozenset(text.split(",")) if text else frozenset()


def existence_note(reference: Reference, la_code: str, return_year: int) -> str | None:
    """A word where an authority did not exist in any part of the return's year."""
    first, last = reference.authorities[la_code]
    if (first and first > f"{return_year}-03-31") or (last and last < f"{return_year - 1}-04-01"):
        return f"authority {la_code} did not exist in the year to 31 March {return_year}"
    return None


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
