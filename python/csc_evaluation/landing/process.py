"""From paths to a landed warehouse: one transaction per file, and a report of what became of each."""

from __future__ import annotations

import codecs
import gc
import hashlib
import re
import signal
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

import duckdb
import pyarrow as pa

from csc_evaluation import warehouse as warehouse_module
from csc_evaluation.errors import CscError, StoppedByUserError
from csc_evaluation.landing import (
    cin_xml,
    extract_records,
    extract_rows,
    extracts,
    manifest,
    published,
    school,
    ssda903,
    ssda903_csv,
    ssda903_xml,
)
from csc_evaluation.landing.context import FileRefused, Landing, Reference, ReturnIdentity, load_reference
from csc_evaluation.landing.delimited import Header
from csc_evaluation.landing.detect import (
    Recognised,
    Source,
    check_collection,
    find_sources,
    is_beside_the_point,
    recognise,
)
from csc_evaluation.landing.rejects import RecordCount, SpillFailed, write_counts
from csc_evaluation.landing.report import FileOutcome, LandingReport, ReasonCount, Status
from csc_evaluation.pseudonyms import Pseudonymiser, load_key

OnProgress = Callable[[int, int, Path, int, int], None]
"""Called with the file's index from 0, the number of files, its path, bytes read and bytes in all."""

SETTINGS: Final = (
    "set memory_limit = '64MB'",
    "set threads = 1",
    "set preserve_insertion_order = false",
)
"""For the warehouse while landing: a file's size must not matter, and one table is filled at a time anyway."""

FIRST_YEAR: Final = 1990
LAST_YEAR: Final = 2099

_LISTED_NAMES: Final = 10
_READ_BYTES: Final = 1 << 20
_UTF8: Final = "utf-8-sig"
_WINDOWS: Final = "cp1252"
_HOW_TO_SAY: Final = (
    "give --authority and --year, or put it in a folder or file whose name holds both, as ssda903_335_2020 "
    "(the year in which the return ends)"
)


class LandingInterrupted(StoppedByUserError):
    """Landing was stopped from the keyboard; ``report`` says what had landed by then, and stays."""

    def __init__(self, message: str, report: LandingReport) -> None:
        super().__init__(message)
        self.report = report


class _WarehouseFailed(Exception):
    """The warehouse could not be written; nothing of the current file was kept."""


def land(
    paths: Sequence[Path],
    *,
    warehouse: Path,
    la_code: str | None = None,
    return_year: int | None = None,
    reinstate: bool = False,
    on_progress: OnProgress | None = None,
) -> LandingReport:
    """Land files into the warehouse: each whole, in a transaction of its own, or not at all.

    Args:
        paths: files, folders, globs and zip archives.
        warehouse: path of the DuckDB file; made when it is not there.
        la_code: authority of files that do not name one (SSDA903); three digits.
        return_year: year in which the return ends, for files that do not name one.
        reinstate: land again a file whose content was landed before and has been replaced since.
        on_progress: told how far each file has come.

    Returns:
        What became of each file, and counts by record type; ``n_failed`` is above 0 when a file did not land.

    Raises:
        CscError: an argument that cannot be right, or the wrong pseudonym key.
        WarehouseError: the warehouse cannot be opened or another process holds it.
        LandingInterrupted: stopped from the keyboard; files landed before stay.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "uasc.csv").write_text("CHILD,SEX,DOB,DUC\\nA1,1,01/05/2004,30/04/2022\\n")
        >>> done = land([folder / "uasc.csv"], warehouse=folder / "w.duckdb", la_code="335", return_year=2021)
        >>> [(file.status, file.n_accepted) for file in done.files]
        [('landed', 1)]
    """
    reference = load_reference()
    if la_code is not None:
        la_code = la_code.strip()
        if la_code not in reference.authorities:
            raise CscError(
                f"--authority {la_code[:20]!r} is no authority in seeds/reference/local_authorities.csv; "
                "give the three-digit code, as 335 for Walsall."
            )
    if return_year is not None and not FIRST_YEAR <= return_year <= LAST_YEAR:
        raise CscError(
            f"--year {return_year} is no return year; give the year in which it ends, as 2020 for 2019/20."
        )
    key_file = warehouse.with_name(warehouse.name + ".key")
    sources = find_sources(
        paths, leave_out=[warehouse, warehouse.with_name(warehouse.name + ".wal"), key_file]
    )
    if all(source.problem is not None for source in sources):
        # A mistyped path should not leave an empty warehouse and a key behind.
        failed = (FileOutcome(source.label, "failed", message=source.problem or "") for source in sources)
        return LandingReport(warehouse, tuple(failed))
    outcomes: list[FileOutcome] = []
    warnings: list[str] = []
    with warehouse_module.writable(warehouse) as connection, _steady_memory():
        for setting in SETTINGS:
            connection.execute(setting)
        key, key_path, is_new = load_key(warehouse, may_make=not manifest.has_key(connection))
        if is_new:
            warnings.append(
                f"{key_path}: a new pseudonym key was made. Keep it safe and apart from the warehouse: with it, "
                "identifiers can be tried against pseudonyms; without it, later files cannot join these."
            )
        pseudonymiser = Pseudonymiser(key)
        manifest.check_key(connection, pseudonymiser, key_path)
        door = _Door(
            connection=connection,
            ledger=manifest.Manifest(connection),
            folder=warehouse.parent,
            pseudonymiser=pseudonymiser,
            reference=reference,
            la_code=la_code,
            return_year=return_year,
            reinstate=reinstate,
        )
        with door.stops_waiting():
            for index, source in enumerate(sources):
                tell = _teller(on_progress, index, len(sources), source)
                try:
                    if door.is_stopping:
                        raise KeyboardInterrupt
                    tell(0)
                    outcomes.append(door.land_source(source, door.stopping_before(tell)))
                    tell(source.size)
                except KeyboardInterrupt:
                    door.roll_back()
                    stopped = f"Stopped after {source.label}."
                    if len(outcomes) == index:
                        outcomes.append(
                            FileOutcome(source.label, "failed", message="stopped from the keyboard")
                        )
                        stopped = f"Stopped while landing {source.label}: nothing of it was kept."
                    report = LandingReport(warehouse, tuple(outcomes), tuple(warnings))
                    before = "landed before it" if outcomes[-1].status == "failed" else "landed"
                    raise LandingInterrupted(
                        f"{stopped} {report.n_landed} of {len(sources)} files {before} and stay; "
                        "run the same command again to go on.",
                        report,
                    ) from None
                except _WarehouseFailed as failure:
                    outcomes.append(FileOutcome(source.label, "failed", message=str(failure)))
                    outcomes.extend(
                        FileOutcome(
                            rest.label, "failed", message="not tried, since the warehouse cannot be written."
                        )
                        for rest in sources[index + 1 :]
                    )
                    break
    return LandingReport(warehouse, tuple(outcomes), tuple(warnings))


def _teller(
    on_progress: OnProgress | None, index: int, n_files: int, source: Source
) -> Callable[[int], None]:
    def tell(bytes_done: int) -> None:
        if on_progress is not None:
            on_progress(index, n_files, source.progress_path, bytes_done, source.size)

    return tell


@contextmanager
def _steady_memory() -> Iterator[None]:
    """Without garbage collection, which would walk the waiting rows again and again and find no cycles in them.

    Arrow takes memory from the system and gives it back: its own pool keeps what a batch once needed.
    """
    was_on = gc.isenabled()
    pool = pa.default_memory_pool()
    gc.disable()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
        if was_on:
            gc.enable()


@dataclass
class _Door:
    """Lands one source at a time into an open warehouse."""

    connection: duckdb.DuckDBPyConnection
    ledger: manifest.Manifest
    folder: Path
    pseudonymiser: Pseudonymiser
    reference: Reference
    la_code: str | None
    return_year: int | None
    reinstate: bool
    is_stopping: bool = False

    @contextmanager
    def stops_waiting(self) -> Iterator[None]:
        """A stop from the keyboard waits for the next batch or the next file.

        Raised anywhere it can surface as any error of the warehouse's, or in a commit, which half heard of could not
        be reported truly.
        """
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or before is None:
            yield
            return

        def remember(*_signal: object) -> None:
            self.is_stopping = True

        signal.signal(signal.SIGINT, signal.SIG_IGN if before is signal.SIG_IGN else remember)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def stopping_before(self, tell: Callable[[int], None]) -> Callable[[int], None]:
        """``tell``, which first stops the landing where that was asked for."""

        def tell_or_stop(bytes_done: int) -> None:
            if self.is_stopping:
                raise KeyboardInterrupt
            tell(bytes_done)

        return tell_or_stop

    def roll_back(self) -> None:
        """Undo what the current file has done to the warehouse."""
        self.ledger.rolled_back()
        try:
            self.connection.rollback()
        except duckdb.Error:
            # No transaction was open, or the failure has already undone it.
            return

    def land_source(self, source: Source, tell: Callable[[int], None]) -> FileOutcome:
        """Land one source; whatever is wrong with it is an outcome, and the warehouse is as it was."""
        if source.problem is not None:
            return FileOutcome(source.label, "failed", message=source.problem)
        try:
            return self._land(source, tell)
        except FileRefused as refusal:
            self.roll_back()
            status: Status = "skipped" if is_beside_the_point(source) else "failed"
            return FileOutcome(source.label, status, message=str(refusal))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
            self.roll_back()
            return FileOutcome(
                source.label, "failed", message="is damaged inside its zip archive; make it again."
            )
        except duckdb.InterruptException:
            raise KeyboardInterrupt from None
        except (duckdb.Error, SpillFailed) as error:
            self.roll_back()
            text = str(error).strip().splitlines()
            raise _WarehouseFailed(
                f"the warehouse could not be written ({text[0][:200] if text else type(error).__name__}); "
                "nothing of this file was kept. See that the disk has room and the folder can be written, then "
                "run the same command again."
            ) from error
        except OSError as error:
            self.roll_back()
            return FileOutcome(
                source.label, "failed", message=f"cannot be read ({error.strerror or 'input error'})."
            )

    def _land(self, source: Source, tell: Callable[[int], None]) -> FileOutcome:
        before = source.signature()
        sha256, encoding = _digest(source)
        known = recognise(source, encoding)
        if known.extract is not None and known.header is not None:
            return self._land_extract(source, known.extract, known.header, encoding, sha256, before, tell)
        notes: list[str] = []
        identity, facts = self._identify(source, known, sha256, notes)
        standing = self.ledger.standing(identity)
        if standing is not None and (standing.is_current or not self.reinstate):
            outcome = FileOutcome(
                source.label,
                "unchanged",
                collection=identity.collection,
                la_code=identity.la_code,
                return_year=identity.return_year,
                modules=identity.modules,
                return_id=identity.return_id,
            )
            return self._unchanged(outcome, standing)

        with source.open() as stream, closing(stream):
            landing = Landing(
                identity=identity,
                record_types=cin_xml.RECORD_TYPES if known.format == "cin_xml" else identity.modules,
                pseudonymiser=self.pseudonymiser,
                reference=self.reference,
                folder=self.folder,
                on_batch=lambda: tell(stream.tell()),
                notes=notes,
                year_column=published.EDITION if known.published is not None else "academic_year",
            )
            with closing(landing):
                _read(stream, known, encoding, landing)
                if source.signature() != before:
                    raise FileRefused("was changed while it was being read; land it again.")
                return self._keep(source, landing, facts, is_again=standing is not None)

    def _keep(
        self, source: Source, landing: Landing, facts: manifest.FileFacts, *, is_again: bool
    ) -> FileOutcome:
        """The one transaction of a file that was read to its end."""
        identity, notes = landing.identity, landing.notes
        counts = landing.tally.counts()
        unlisted = landing.unlisted()
        self.connection.begin()
        if is_again:
            self.ledger.forget([identity])
        n_twice = _n_twice_in_memory(landing)
        landing.insert(self.connection)
        notes.extend(self._same_child_twice(identity, n_twice))
        replaced, warnings = self.ledger.supersede([identity], created_at=facts.file_created_at)
        notes.extend(warnings)
        if any(count.n_found for count in counts):
            notes.extend(self.ledger.same_content_elsewhere(identity, facts.sha256))
        self.ledger.enter(identity, facts, counts, notes)
        write_counts(self.connection, identity.return_id, counts, unlisted)
        if self.is_stopping:
            raise KeyboardInterrupt
        self.connection.commit()
        self.ledger.committed()
        return FileOutcome(
            source.label,
            "landed",
            collection=identity.collection,
            la_code=identity.la_code,
            return_year=identity.return_year,
            modules=identity.modules,
            return_id=identity.return_id,
            counts=counts,
            reasons=tuple(
                ReasonCount(*key, n_records=count) for key, count in sorted(landing.tally.reasons.items())
            ),
            rejects=tuple(landing.tally.examples),
            unlisted=tuple((*key, count) for key, count in sorted(unlisted.items())),
            replaced=tuple(replaced),
            notes=tuple(notes),
        )

    def _land_extract(
        self,
        source: Source,
        table: extracts.ExtractTable,
        header: Header,
        encoding: str,
        sha256: str,
        before: tuple[int, int],
        tell: Callable[[int], None],
    ) -> FileOutcome:
        """Land a file that stacks the returns of many authorities and years."""
        if not table.has_years and self.return_year is None:
            raise FileRefused(
                "is a children looked after extract whose rows name no academic year; give --year, the last return "
                "year that it covers (2024 for 2023/24)."
            )
        content_key = table.content_key(sha256, None if table.has_years else self.return_year)
        standing = self.ledger.returns_of_extract(table.collection, sha256, content_key)
        if standing is not None and (standing[1].is_current or not self.reinstate):
            outcome = FileOutcome(
                source.label, "unchanged", collection=table.collection, modules=table.modules
            )
            return self._unchanged(outcome, standing[1])
        with source.open() as stream, closing(stream):
            landing = extracts.ExtractLanding(
                table=table,
                content_key=content_key,
                la_code=self.la_code,
                return_year=self.return_year,
                pseudonymiser=self.pseudonymiser,
                reference=self.reference,
                folder=self.folder,
                on_batch=lambda: tell(_halfway(stream, source, landing)),
                notes=list(table.notes),
            )
            with closing(landing):
                extract_rows.read_rows(stream, header, encoding, landing)
                if source.signature() != before:
                    raise FileRefused("was changed while it was being read; land it again.")
                extract_records.write_records(landing)
                facts = manifest.FileFacts(source.file_name, sha256, source.size)
                return self._keep_extract(source, landing, facts, forgotten=standing[0] if standing else [])

    def _keep_extract(
        self,
        source: Source,
        landing: extracts.ExtractLanding,
        facts: manifest.FileFacts,
        *,
        forgotten: Sequence[ReturnIdentity],
    ) -> FileOutcome:
        """The one transaction of an extract that was read to its end."""
        returns = landing.returns()
        parts = [part for part, _ in returns]
        notes = landing.notes
        of_file = list(notes)
        of_return = landing.existence_notes(parts)
        self.connection.begin()
        if forgotten:
            self.ledger.forget(forgotten)
        landing.insert(self.connection)
        replaced, warnings = self.ledger.supersede([part.identity for part in parts], created_at=None)
        notes.extend(warnings)
        totals: dict[str, RecordCount] = {}
        unlisted: Counter[tuple[str, str, str]] = Counter()
        for part, counts in returns:
            identity = part.identity
            own = of_return.get(identity.return_id)
            self.ledger.enter(identity, facts, counts, [*of_file, own] if own else of_file)
            write_counts(self.connection, identity.return_id, counts, part.unlisted)
            unlisted.update(part.unlisted)
            for count in counts:
                totals[count.record_type] = (
                    totals.get(count.record_type, RecordCount(count.record_type, 0, 0, 0)) + count
                )
        if self.is_stopping:
            raise KeyboardInterrupt
        self.connection.commit()
        self.ledger.committed()
        if n_lost := landing.n_unattributed:
            notes.append(
                f"rows that belong to no authority and year: {n_lost:,}; they are in the manifest as module "
                f"{manifest.UNATTRIBUTED}"
            )
        return FileOutcome(
            source.label,
            "landed",
            collection=landing.table.collection,
            modules=landing.table.modules,
            scope=extracts.scope(parts),
            counts=tuple(totals[name] for name in landing.table.record_types),
            reasons=tuple(
                ReasonCount(*key, n_records=count) for key, count in sorted(landing.reasons.items())
            ),
            rejects=tuple(landing.examples),
            unlisted=tuple((*key, count) for key, count in sorted(unlisted.items())),
            replaced=_first_few(replaced),
            notes=tuple(notes),
        )

    @staticmethod
    def _unchanged(outcome: FileOutcome, standing: manifest.Standing) -> FileOutcome:
        if standing.is_current:
            return replace(outcome, message="was landed before; nothing changed.")
        part = "" if standing.is_gone else " in part"
        return replace(
            outcome,
            message=(
                f"was landed before and has been replaced{part} by {standing.replaced_by or 'a later return'}; nothing "
                "changed. To make this file the valid one again, land it with --reinstate."
            ),
        )

    def _identify(
        self, source: Source, known: Recognised, sha256: str, notes: list[str]
    ) -> tuple[ReturnIdentity, manifest.FileFacts]:
        facts = manifest.FileFacts(source.file_name, sha256, source.size)
        la_code: str | None
        modules: tuple[str, ...]
        if known.format == "school" and known.table is not None:
            table = known.table
            collection, modules = table.collection, (table.module,)
            la_code, year = None, table.academic_year
            if self.return_year is not None and self.return_year != year:
                raise FileRefused(
                    f"is of the academic year ending {year} by its columns, but --year says {self.return_year}."
                )
        elif known.published is not None:
            collection, modules = known.published.collection, (known.published.record_type,)
            la_code = None
            name = Path(source.file_name).name
            years = sorted(_years(re.split(r"[^A-Za-z0-9]+", name)))
            year = published.edition_of(known.published, years, self.return_year)
        elif known.format == "cin_xml":
            collection, modules = cin_xml.COLLECTION, cin_xml.MODULES
            la_code, year, facts = self._identify_cin(source, facts, notes)
        else:
            collection = ssda903.COLLECTION
            modules = tuple(ssda903.MODULES) if known.module is None else (known.module.name,)
            la_code, year = self._identify_ssda903(source)
        if la_code is not None and (note := manifest.existence_note(self.reference, la_code, year)):
            notes.append(note)
        key = manifest.return_id(collection, la_code, year, sha256)
        return ReturnIdentity(collection, la_code, year, modules, key), facts

    def _identify_cin(
        self, source: Source, facts: manifest.FileFacts, notes: list[str]
    ) -> tuple[str, int, manifest.FileFacts]:
        with source.open() as stream:
            header = cin_xml.read_header(stream)
        check_collection(header)
        la_code = header.la_code or self.la_code
        year = header.return_year or self.return_year
        if la_code is None:
            raise FileRefused("names no authority (LEA) in its header; correct it, or give --authority.")
        if la_code not in self.reference.authorities:
            # What does not look like a code is not repeated: it could be anything.
            is_code = re.fullmatch(r"[0-9]{1,4}|[ENSWK][0-9]{8}", la_code, re.ASCII)
            named = repr(la_code) if is_code else "'...'"
            raise FileRefused(
                f"names authority {named} (LEA) in its header, which is no authority code of England; "
                "nothing in it can be attributed. Correct the header."
            )
        if year is None or not FIRST_YEAR <= year <= LAST_YEAR:
            raise FileRefused(
                "names no year in its header: neither a reference date of 31 March nor a Year from "
                f"{FIRST_YEAR} on; correct it, or give --year."
            )
        self._refuse_contradiction("its header", la_code, year)
        notes.extend(header.notes)
        if not cin_xml.FIRST_KNOWN_YEAR <= year <= cin_xml.LAST_KNOWN_YEAR:
            notes.append(
                f"return year {year} is outside {cin_xml.FIRST_KNOWN_YEAR}-{cin_xml.LAST_KNOWN_YEAR}; "
                "codes were compared with the nearest year's lists"
            )
        return (
            la_code,
            year,
            replace(
                facts,
                header_year=header.header_year,
                reference_date=None if header.reference_date is None else header.reference_date.isoformat(),
                software=header.software,
                software_release=header.software_release,
                serial_no=header.serial_no,
                file_created_at=header.created_at,
            ),
        )

    def _identify_ssda903(self, source: Source) -> tuple[str, int]:
        named = named_in_path(source.components, self.reference)
        if named is not None:
            self._refuse_contradiction("its path", *named)
            return named
        if self.la_code is None or self.return_year is None:
            lacking = (
                "neither authority nor year"
                if self.la_code is None and self.return_year is None
                else "no authority"
                if self.la_code is None
                else "no year"
            )
            unknown = unknown_authority_in_path(source.components, self.reference)
            hint = f" ({unknown!r} in its path holds no known authority code)" if unknown else ""
            raise FileRefused(f"is SSDA903, which names {lacking}{hint}: {_HOW_TO_SAY}.")
        return self.la_code, self.return_year

    def _refuse_contradiction(self, where: str, la_code: str, year: int) -> None:
        if self.la_code is not None and self.la_code != la_code:
            raise FileRefused(
                f"is of authority {la_code} by {where}, but --authority says {self.la_code}; "
                "leave the option out or correct the file."
            )
        if self.return_year is not None and self.return_year != year:
            raise FileRefused(
                f"is of return year {year} by {where}, but --year says {self.return_year}; "
                "leave the option out or correct the file."
            )

    def _same_child_twice(self, identity: ReturnIdentity, n_twice: int | None) -> list[str]:
        """A word on identifiers that stand in more than one record where each should stand once."""
        place = _one_record_per_child(identity)
        if place is None:
            return []
        table, key = place
        if n_twice is None:
            row = self.connection.execute(
                f"select count(*) from (select {key} from raw.{table} where return_id = ? "
                f"group by {key} having count(*) > 1)",
                [identity.return_id],
            ).fetchone()
            n_twice = row[0] if row else 0
        if not n_twice:
            return []
        if key == "child_id":
            who = "child stands" if n_twice == 1 else "children stand"
        else:
            who = "pupil stands" if n_twice == 1 else "pupils stand"
        return [f"{n_twice:,} {who} more than once in this file; every record is kept"]


def _halfway(stream: IO[bytes], source: Source, landing: extracts.ExtractLanding) -> int:
    """How far an extract has come: reading its rows is one half of the way, making records of them the other."""
    return stream.tell() // 2 + source.size * landing.n_buckets_done // (2 * extracts.N_BUCKETS)


def _first_few(names: Sequence[str]) -> tuple[str, ...]:
    """Names for one line of text, at most ten of them."""
    more = len(names) - _LISTED_NAMES
    return (*names[:_LISTED_NAMES], f"{more:,} more files") if more > 0 else tuple(names)


def _one_record_per_child(identity: ReturnIdentity) -> tuple[str, str] | None:
    """Table and column in which a child should stand once per return; None where it may stand often."""
    if identity.collection == cin_xml.COLLECTION:
        return "cin_children", "child_id"
    if identity.collection == ssda903.COLLECTION:
        return ("ssda903_header", "child_id") if "header" in identity.modules else None
    return (identity.collection, "pupil_id") if identity.collection in school.COLLECTIONS else None


def _n_twice_in_memory(landing: Landing) -> int | None:
    """How many identifiers stand more than once; None when the file's rows were too many to hold."""
    place = _one_record_per_child(landing.identity)
    if place is None or place[0] not in landing.batches:
        return 0
    identifiers = landing.batches[place[0]].in_memory(place[1])
    return None if identifiers is None else sum(n > 1 for n in Counter(identifiers).values())


def _read(stream: IO[bytes], known: Recognised, encoding: str, landing: Landing) -> None:
    if known.format == "cin_xml":
        cin_xml.land_file(stream, landing)
    elif known.format == "ssda903_xml":
        ssda903_xml.land_file(stream, landing)
    elif known.header is not None and known.module is not None:
        ssda903_csv.land_file(stream, known.header, encoding, known.module, landing)
    elif known.header is not None and known.table is not None:
        school.land_file(stream, known.header, encoding, known.table, landing)
    elif known.published is not None:
        known.published.land(stream, encoding, landing)
    else:
        raise AssertionError(known)


def _digest(source: Source) -> tuple[str, str]:
    """SHA-256 of the content, and its encoding were it delimited text: UTF-8 where every byte fits, else cp1252."""
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    encoding = _UTF8
    with source.open() as stream:
        while chunk := stream.read(_READ_BYTES):
            digest.update(chunk)
            if encoding == _UTF8 and source.suffix != ".xml":
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError:
                    encoding = _WINDOWS
    return digest.hexdigest(), encoding


def named_in_path(components: Sequence[str], reference: Reference) -> tuple[str, int] | None:
    """Authority and year of the path component that holds both, between separators; None when there is none.

    A year may be written ``2020``, ``2019-20`` or ``2019-2020``, all of which end in 2020.

    Raises:
        FileRefused: two components name different returns, or one names several.

    Example:
        >>> named_in_path(["data", "ssda903_335_2020", "header.csv"], load_reference())
        ('335', 2020)
    """
    found: set[tuple[str, int]] = set()
    for component in components:
        tokens = re.split(r"[^A-Za-z0-9]+", component)
        codes = {token for token in tokens if token in reference.authorities}
        years = _years(tokens)
        if codes and years:
            if len(codes) > 1 or len(years) > 1:
                raise FileRefused(
                    f"lies in {component!r}, which holds more than one authority or year; "
                    "give --authority and --year and rename it."
                )
            found.add((codes.pop(), years.pop()))
    if len(found) > 1:
        listed = " and ".join(f"{code} {year}" for code, year in sorted(found))
        raise FileRefused(
            f"has a path that names two returns ({listed}); rename a folder so that one is left."
        )
    return found.pop() if found else None


def unknown_authority_in_path(components: Sequence[str], reference: Reference) -> str | None:
    """A component that seems to name an authority and a year, but the authority does not exist."""
    for component in reversed(components):
        tokens = re.split(r"[^A-Za-z0-9]+", component)
        if any(
            re.fullmatch(r"\d{3}", token) and token not in reference.authorities for token in tokens
        ) and _years(tokens):
            return component
    return None


def _years(tokens: Sequence[str]) -> set[int]:
    years: set[int] = set()
    for position, token in enumerate(tokens):
        if not re.fullmatch(r"(19|20)\d{2}", token):
            continue
        year = int(token)
        follower = tokens[position + 1] if position + 1 < len(tokens) else ""
        if follower in {f"{(year + 1) % 100:02d}", str(year + 1)}:
            year += 1
        years.add(year)
    return years
