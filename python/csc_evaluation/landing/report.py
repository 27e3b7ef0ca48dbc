"""What became of each file, and how it reads on a terminal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from csc_evaluation.landing.rejects import RecordCount, Reject

Status = Literal["landed", "unchanged", "skipped", "failed"]

LISTED_FILES: Final = 60
LISTED_REJECTS: Final = 50
_STYLES: Final = {"landed": "green", "unchanged": "cyan", "skipped": "dim", "failed": "bold red"}


@dataclass(frozen=True)
class ReasonCount:
    """Records of one type refused for one reason."""

    record_type: str
    field: str
    reason: str
    n_records: int


@dataclass(frozen=True)
class FileOutcome:
    """What became of one file.

    Attributes:
        path: the file, ``archive!member`` inside an archive.
        status: ``landed``; ``unchanged`` (this content was landed before); ``skipped`` (found in a folder, not a
            data file by name nor by content); ``failed`` (nothing of it was kept).
        scope: what a file of many returns covers, in words; such a file has no authority, year or return id.
        message: why it did not land, in words.
        counts: found, accepted and rejected by record type.
        reasons: refused records by type, field and reason.
        rejects: the first refused records, at most fifty; all are in ``raw.rejects``.
        unlisted: (record type, field, code, records) of codes outside the code lists, which were kept.
        replaced: names of earlier files that this one replaced.
        notes: what else a reader should know.
    """

    path: str
    status: Status
    collection: str | None = None
    la_code: str | None = None
    return_year: int | None = None
    modules: tuple[str, ...] = ()
    return_id: str | None = None
    scope: str = ""
    counts: tuple[RecordCount, ...] = ()
    reasons: tuple[ReasonCount, ...] = ()
    rejects: tuple[Reject, ...] = ()
    unlisted: tuple[tuple[str, str, str, int], ...] = ()
    replaced: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    message: str = ""

    @property
    def n_found(self) -> int:
        """Records of every type met in the file."""
        return sum(count.n_found for count in self.counts)

    @property
    def n_accepted(self) -> int:
        """Records now in the warehouse."""
        return sum(count.n_accepted for count in self.counts)

    @property
    def n_rejected(self) -> int:
        """Records refused."""
        return sum(count.n_rejected for count in self.counts)


@dataclass(frozen=True)
class LandingReport:
    """What became of every file of one landing."""

    warehouse: Path
    files: tuple[FileOutcome, ...]
    warnings: tuple[str, ...] = ()

    @property
    def n_landed(self) -> int:
        """Files that landed now."""
        return self._n("landed")

    @property
    def n_unchanged(self) -> int:
        """Files whose content was in the warehouse before."""
        return self._n("unchanged")

    @property
    def n_skipped(self) -> int:
        """Files in folders that are no data files."""
        return self._n("skipped")

    @property
    def n_failed(self) -> int:
        """Files that should have landed and did not."""
        return self._n("failed")

    @property
    def counts(self) -> tuple[tuple[str, RecordCount], ...]:
        """(collection, counts) by record type over the files that landed now."""
        found: Counter[tuple[str, str]] = Counter()
        accepted: Counter[tuple[str, str]] = Counter()
        rejected: Counter[tuple[str, str]] = Counter()
        order: dict[tuple[str, str], None] = {}
        for file in self.files:
            for count in file.counts:
                key = (file.collection or "", count.record_type)
                order.setdefault(key)
                found[key] += count.n_found
                accepted[key] += count.n_accepted
                rejected[key] += count.n_rejected
        return tuple(
            (key[0], RecordCount(key[1], found[key], accepted[key], rejected[key]))
            for key in sorted(order, key=lambda key: key[0])
        )

    def _n(self, status: Status) -> int:
        return sum(file.status == status for file in self.files)


def render_report(report: LandingReport, console: Console, *, per_file: bool = True) -> None:
    """Print a line per file, the table of records found, accepted and rejected, and every reason for a refusal.

    Beyond sixty files those that landed without a word to say about them are counted, not listed; beyond fifty
    refused records they are given by reason.

    Args:
        report: what became of the files.
        console: where to print.
        per_file: list the files; without, only those that failed.
    """
    is_long = len(report.files) > LISTED_FILES
    n_unlisted_files = 0
    for file in report.files:
        if not per_file and file.status != "failed":
            continue
        is_plain = file.status in {"landed", "unchanged", "skipped"} and not (
            file.notes or file.n_rejected or file.replaced
        )
        if is_long and is_plain:
            n_unlisted_files += 1
            continue
        console.print(_file_line(file))
        for note in file.notes:
            console.print(f"           [dim]note: {escape(note)}[/dim]")
    if n_unlisted_files:
        console.print(f"{n_unlisted_files:,} more files without anything to note")
    if report.counts:
        console.print(_counts_table(report))
    _print_rejects(report, console)
    _print_unlisted(report, console)
    for warning in report.warnings:
        console.print(f"[yellow]{escape(warning)}[/yellow]")
    parts = [
        f"{report.n_landed:,} landed",
        f"{report.n_unchanged:,} unchanged",
        f"{report.n_failed:,} failed",
    ]
    if report.n_skipped:
        parts.append(f"{report.n_skipped:,} skipped")
    console.print(f"Files: {', '.join(parts)}. Warehouse: {escape(str(report.warehouse))}")


def _file_line(file: FileOutcome) -> str:
    style = _STYLES[file.status]
    line = f"[{style}]{file.status:<9}[/{style}]  {escape(file.path)}"
    if file.status != "landed":
        return f"{line}: {escape(file.message)}"
    where = f"authority {file.la_code}, " if file.la_code else ""
    modules = f" {', '.join(file.modules)}" if len(file.modules) == 1 and file.collection != "cin" else ""
    what = file.scope or f"{where}{file.return_year}"
    line += (
        f": {file.collection}{modules}, {what}: {file.n_found:,} found, "
        f"{file.n_accepted:,} accepted, {file.n_rejected:,} rejected"
    )
    if file.replaced:
        line += f"; replaces {escape(', '.join(file.replaced))}"
    return line


def _counts_table(report: LandingReport) -> Table:
    table = Table(title="Records", title_justify="left")
    table.add_column("collection")
    table.add_column("record type")
    for name in ("found", "accepted", "rejected"):
        table.add_column(name, justify="right")
    for collection, count in report.counts:
        table.add_row(
            collection,
            count.record_type,
            f"{count.n_found:,}",
            f"{count.n_accepted:,}",
            f"{count.n_rejected:,}",
        )
    table.add_section()
    rows = [count for _, count in report.counts]
    table.add_row(
        "all",
        "",
        f"{sum(row.n_found for row in rows):,}",
        f"{sum(row.n_accepted for row in rows):,}",
        f"{sum(row.n_rejected for row in rows):,}",
    )
    return table


def _print_rejects(report: LandingReport, console: Console) -> None:
    rejects = [(file.path, reject) for file in report.files for reject in file.rejects]
    n_rejected = sum(file.n_rejected for file in report.files)
    if not n_rejected:
        return
    if n_rejected <= LISTED_REJECTS and len(rejects) == n_rejected:
        table = Table(title="Rejected records", title_justify="left")
        for name in ("file", "record", "field", "reason"):
            table.add_column(name, overflow="fold")
        for path, reject in rejects:
            table.add_row(
                escape(Path(path).name),
                escape(reject.record_path),
                escape(reject.field),
                escape(reject.reason),
            )
        console.print(table)
        return
    totals: Counter[tuple[str, str, str]] = Counter()
    for file in report.files:
        for reason in file.reasons:
            totals[(reason.record_type, reason.field, reason.reason)] += reason.n_records
    table = Table(title="Rejected records by reason", title_justify="left")
    for name in ("record type", "field", "reason"):
        table.add_column(name, overflow="fold")
    table.add_column("records", justify="right")
    for (record_type, field, reason_text), count in sorted(totals.items()):
        table.add_row(record_type, escape(field), escape(reason_text), f"{count:,}")
    console.print(table)
    console.print("Each with its place in the file: select * from raw.rejects")


def _print_unlisted(report: LandingReport, console: Console) -> None:
    totals: Counter[tuple[str, str, str]] = Counter()
    for file in report.files:
        for record_type, field, code, count in file.unlisted:
            totals[(record_type, field, code)] += count
    if not totals:
        return
    table = Table(title="Codes outside the code lists, kept", title_justify="left")
    for name in ("record type", "field", "code"):
        table.add_column(name)
    table.add_column("records", justify="right")
    shown = sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:LISTED_REJECTS]
    for (record_type, field, code), count in shown:
        table.add_row(record_type, field, code, f"{count:,}")
    console.print(table)
    if len(totals) > len(shown):
        console.print(f"and {len(totals) - len(shown):,} more: select * from raw.unlisted_codes")
