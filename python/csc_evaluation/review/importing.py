"""``import_reviews``: check what a reviewer exported against the candidates that stand, install it as the seed, load it.

All checks come first; the seed file changes in one rename after them, and goes back if dbt does not take it.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from csc_evaluation import dbt_runner, project
from csc_evaluation import warehouse as warehouse_module
from csc_evaluation.errors import (
    ConflictingDecisionsError,
    CscError,
    OtherCandidatesError,
    ReviewFileError,
    SeedError,
    UnknownAuthorityError,
)
from csc_evaluation.estimation.protocol import Protocol, read_protocol
from csc_evaluation.report.data import Candidate, Source, read_authority_names
from csc_evaluation.report.formatting import listing
from csc_evaluation.report.writing import replace_file
from csc_evaluation.review.data import REVIEW_COLUMNS, find_run

SEED = "protocol/match_reviews"
SELECTION = ("build", "--select", "match_reviews")
DECISIONS = ("accepted", "rejected")
VERDICTS = ("trend", "placebo", "shocks")
MOST_NAMED = 5
REASON_LENGTH = 1000

Pair = tuple[str, str, str, str]
Set = tuple[str, str, str]


@dataclass(frozen=True)
class ReviewRow:
    """One decision on one pair: a row of ``seeds/protocol/match_reviews.csv``, and the line it stands on."""

    line: int
    programme: str
    outcome: str
    treated_la_code: str
    comparator_la_code: str
    trend: bool
    placebo: bool
    shocks: bool
    decision: str
    reason: str
    reviewer: str
    reviewed_on: dt.date
    candidates_hash: str

    @property
    def pair(self) -> Pair:
        """What the decision is about."""
        return (self.programme, self.outcome, self.treated_la_code, self.comparator_la_code)

    @property
    def set(self) -> Set:
        """The list of candidates it is about."""
        return self.pair[:3]

    @property
    def judgement(self) -> tuple[str, bool, bool, bool]:
        """What was decided, without who and why."""
        return (self.decision, self.trend, self.placebo, self.shocks)

    def cells(self) -> list[str]:
        """The row as the file has it."""
        return [
            value.isoformat()
            if isinstance(value, dt.date)
            else str(value).lower()
            if isinstance(value, bool)
            else value
            for value in (getattr(self, column) for column in REVIEW_COLUMNS)
        ]


@dataclass(frozen=True)
class OpenSet:
    """A treated authority and outcome without a decision after the import."""

    programme: str
    outcome: str
    authority: str
    n_decided: int
    n_candidates: int


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        seed_file: the file that now holds the decisions.
        programmes: programmes the file speaks of.
        n_accepted: accepted pairs of the file now in the seed.
        n_rejected: rejected pairs of the file now in the seed.
        n_new: pairs that had no row before.
        n_replaced: pairs whose row differs from before.
        n_agreeing: pairs that another reviewer had decided alike; that reviewer's row stays.
        n_outdated: rows taken out because their comparator is no longer on the list that the file reviews.
        leaving: treated authorities that leave an outcome: every candidate is rejected.
        still_open: what has no decision yet.
    """

    seed_file: Path
    programmes: tuple[str, ...]
    n_accepted: int
    n_rejected: int
    n_new: int
    n_replaced: int
    n_agreeing: int
    n_outdated: int
    leaving: tuple[str, ...]
    still_open: tuple[OpenSet, ...]


@dataclass(frozen=True)
class _Standing:
    """What stands for one programme: its protocol and the kept candidates of its latest run."""

    protocol: Protocol
    run_id: str
    kept: Mapping[tuple[str, str], tuple[Candidate, ...]]
    names: Mapping[str, str]

    def hash_of(self, outcome: str, treated: str) -> str | None:
        rows = self.kept.get((outcome, treated), ())
        return rows[0].candidates_hash if rows else None

    def codes_of(self, outcome: str, treated: str) -> list[str]:
        return [row.candidate_la_code for row in self.kept.get((outcome, treated), ())]


def import_reviews(
    file: Path,
    *,
    warehouse: Path,
    programme: str | None = None,
    replace_others: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> ImportReport:
    """Check an exported file of reviews, install it as ``seeds/protocol/match_reviews.csv``, and load that seed.

    A row replaces the row of the same pair; all other rows stay. Rows of an authority and outcome whose comparator is no
    longer among the candidates reviewed go, since matching refuses them.

    Args:
        file: what the page exported.
        warehouse: the DuckDB file with the runs that were reviewed.
        programme: refuse rows of any other.
        replace_others: let the file overrule decisions that another reviewer installed on the same list.
        on_progress: as :func:`csc_evaluation.dbt_runner.run_dbt`.

    Raises:
        ReviewFileError: the file is no file of reviews, or a cell cannot be read.
        UnknownAuthorityError: a row names a programme, outcome or authority that is not there or was not asked about.
        OtherCandidatesError: a row is of another list of candidates than that of the latest run.
        ConflictingDecisionsError: a decision contradicts its verdicts, or another decision on the same pair.
        SeedError: the installed seed cannot be read.
        CscError: dbt did not take the seed; the file is as it was.
    """
    rows = read_review_file(file)
    with warehouse_module.ibis_readable(warehouse) as backend:
        source = Source(backend, warehouse)
        _check_programmes(file, rows, source, programme)
        standing = {
            name: _standing(source, read_protocol(backend, name), name)
            for name in sorted({row.programme for row in rows})
        }
    _check_names(file, rows, standing)
    _check_lists(file, rows, standing)
    rows = _one_each(file, rows)
    seed_file = project.project_dir() / "seeds" / f"{SEED}.csv"
    if not seed_file.is_file():
        raise SeedError(f"{seed_file}: the seed is missing; restore it from the repository.")
    before = seed_file.read_bytes()
    installed = _installed_rows(before, seed_file)
    agreeing = _check_against_installed(file, rows, installed, replace_others=replace_others)
    incoming = {row.pair: row for row in rows if row.pair not in agreeing}
    outdated = _outdated(rows, installed, standing)
    kept = [row for row in installed if row.pair not in incoming and row.pair not in outdated]
    by_pair = {row.pair: row for row in installed}
    after = _as_file([*kept, *incoming.values()])
    _install(seed_file, before, after, warehouse, on_progress)
    merged = {row.pair: row for row in (*kept, *incoming.values())}
    leaving, still_open = _what_is_left(merged, standing)
    replaced = [
        row for pair, row in incoming.items() if pair in by_pair and by_pair[pair].cells() != row.cells()
    ]
    return ImportReport(
        seed_file=seed_file,
        programmes=tuple(standing),
        n_accepted=sum(row.decision == "accepted" for row in rows),
        n_rejected=sum(row.decision == "rejected" for row in rows),
        n_new=sum(pair not in by_pair for pair in incoming),
        n_replaced=len(replaced),
        n_agreeing=len(agreeing),
        n_outdated=len(outdated),
        leaving=leaving,
        still_open=still_open,
    )


def read_review_file(file: Path) -> list[ReviewRow]:
    """Rows of an exported file, each cell checked for what it can be.

    Raises:
        ReviewFileError: it is no such file; the message names up to five lines with the column and what would be right.
        ConflictingDecisionsError: a row is accepted although a verdict is false.
    """
    if not file.is_file():
        raise ReviewFileError(f"{file}: no such file; give the file that the review page exported.")
    try:
        text = _decoded(file.read_bytes(), file)
    except OSError as error:
        raise ReviewFileError(f"{file}: cannot be read ({error.strerror}).") from error
    rows = _parsed(text, str(file), ReviewFileError)
    if not rows:
        raise ReviewFileError(f"{file}: holds no decision below its header; nothing to install.")
    contradictions = [
        f"line {row.line}: {row.comparator_la_code} is accepted for {row.treated_la_code} ({row.outcome}) although "
        f"{listing(name for name in VERDICTS if not getattr(row, name))} is false; accept only where all three are true"
        for row in rows
        if row.decision == "accepted" and not (row.trend and row.placebo and row.shocks)
    ]
    _refuse(ConflictingDecisionsError, file, contradictions)
    return rows


def _decoded(content: bytes, file: Path) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ReviewFileError(
            f"{file}: line {line}: byte {content[error.start]:#04x} is not UTF-8; save the file as CSV in UTF-8."
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ReviewFileError(
            f"{file}: line {line}: holds a null character; export the file from the page again."
        )
    return text


def _parsed(
    text: str, place: str, error_kind: type[CscError], *, needs_reasons: bool = True
) -> list[ReviewRow]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[ReviewRow] = []
    problems: list[str] = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check_header(header, place, error_kind)
        start = reader.line_num + 1
        for cells in reader:
            line, start = start, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                problems.append(
                    f"line {line}: has {len(cells)} cells; {len(header)}, one for each column, would be right"
                )
                continue
            by_column = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
            row, found = _read_row(line, by_column, needs_reason=needs_reasons)
            problems += found
            if row is not None:
                rows.append(row)
    except csv.Error as error:
        raise error_kind(
            f"{place}: line {reader.line_num}: is not CSV ({error}); export the file from the page again."
        ) from error
    _refuse(error_kind, place, problems)
    return rows


def _check_header(header: Sequence[str], place: str, error_kind: type[CscError]) -> None:
    lacking = [name for name in REVIEW_COLUMNS if name not in header]
    foreign = [name for name in header if name not in REVIEW_COLUMNS]
    repeated = sorted({name for name in header if header.count(name) > 1})
    said = [
        f"{what} {', '.join(names)}"
        for what, names in (("lacks", lacking), ("does not know", foreign), ("repeats", repeated))
        if names
    ]
    if said:
        raise error_kind(f"{place}: line 1: the header {listing(said)}; right is {','.join(REVIEW_COLUMNS)}")


def _read_row(
    line: int, cells: Mapping[str, str], *, needs_reason: bool
) -> tuple[ReviewRow | None, list[str]]:
    problems: list[str] = []

    def wrong(column: str, right: str) -> None:
        problems.append(f"line {line}, {column}: {cells[column]!r}; {right} would be right")

    for column in (
        "programme",
        "outcome",
        "treated_la_code",
        "comparator_la_code",
        "reviewer",
        "candidates_hash",
    ):
        if not cells[column]:
            wrong(column, "a value")
    flags = {}
    for column in VERDICTS:
        flags[column] = {"true": True, "false": False}.get(cells[column].lower())
        if flags[column] is None:
            wrong(column, "true or false")
    if cells["decision"] not in DECISIONS:
        wrong("decision", " or ".join(DECISIONS))
    if needs_reason and cells["decision"] == "rejected" and not cells["reason"]:
        wrong("reason", "why it is rejected")
    if len(cells["reason"]) > REASON_LENGTH:
        problems.append(
            f"line {line}, reason: {len(cells['reason'])} characters; up to {REASON_LENGTH} would be right"
        )
    reviewed_on = None
    try:
        reviewed_on = dt.datetime.strptime(cells["reviewed_on"], "%Y-%m-%d").date()
        if len(cells["reviewed_on"]) != len("2026-01-31"):
            raise ValueError
    except ValueError:
        wrong("reviewed_on", "a date like 2026-11-25")
    if problems or reviewed_on is None:
        return None, problems
    texts = {name: cells[name] for name in REVIEW_COLUMNS if name not in (*VERDICTS, "reviewed_on")}
    # A line break inside a reason would make one row two lines to everything that reads by line.
    texts["reason"] = " ".join(texts["reason"].split())
    return (
        ReviewRow(
            line=line,
            trend=bool(flags["trend"]),
            placebo=bool(flags["placebo"]),
            shocks=bool(flags["shocks"]),
            reviewed_on=reviewed_on,
            **texts,
        ),
        [],
    )


def _refuse(kind: type[CscError], place: Path | str, problems: Sequence[str]) -> None:
    """Raise with the first problems, each on a line of its own where there are several."""
    if not problems:
        return
    if len(problems) == 1:
        raise kind(f"{place}: {problems[0]}. Nothing was installed.")
    shown = "".join(f"\n  {problem}" for problem in problems[:MOST_NAMED])
    more = f"\n  and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
    raise kind(f"{place}: {len(problems)} rows are not right; nothing was installed:{shown}{more}")


@dataclass(frozen=True)
class _ProgrammeName:
    programme: str


def _check_programmes(file: Path, rows: Sequence[ReviewRow], source: Source, asked: str | None) -> None:
    known = sorted({row.programme for row in source.records(_ProgrammeName, "protocol", "programmes").rows})
    if asked is not None and asked not in known:
        raise UnknownAuthorityError(
            f"{asked!r}: is no programme of seeds/protocol/programmes.csv; it has {', '.join(known) or 'none'}."
        )
    problems = [
        f"line {row.line}, programme: {row.programme!r}; {asked or ' or '.join(known) or 'a programme of the protocol'} would be right"
        for row in rows
        if row.programme != (asked or row.programme) or row.programme not in known
    ]
    _refuse(UnknownAuthorityError, file, problems)


def _standing(source: Source, protocol: Protocol, programme: str) -> _Standing:
    run = find_run(source, programme)
    kept: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for row in source.records(Candidate, "results", "la_match_candidates", where={"run_id": run.run_id}).rows:
        if row.is_kept:
            kept[(row.outcome, row.treated_la_code)].append(row)
    return _Standing(
        protocol=protocol,
        run_id=run.run_id,
        kept={
            key: tuple(sorted(found, key=lambda row: (row.distance_rank or 0, row.candidate_la_code)))
            for key, found in kept.items()
        },
        names=read_authority_names(source),
    )


def _check_names(file: Path, rows: Sequence[ReviewRow], standing: Mapping[str, _Standing]) -> None:
    problems = []
    for row in rows:
        stands = standing[row.programme]
        outcomes = [outcome.outcome for outcome in stands.protocol.outcomes]
        sites = [site.la_code for site in stands.protocol.sites]
        if row.outcome not in outcomes:
            problems.append(
                f"line {row.line}, outcome: {row.outcome!r}; one of {', '.join(outcomes)} would be right"
            )
        elif row.treated_la_code not in sites:
            problems.append(
                f"line {row.line}, treated_la_code: {row.treated_la_code!r} is no authority of {row.programme}; "
                f"one of {', '.join(sites)} would be right"
            )
        elif row.comparator_la_code not in stands.names:
            problems.append(
                f"line {row.line}, comparator_la_code: {row.comparator_la_code!r} is no authority; "
                "a code of reference.local_authorities would be right"
            )
    _refuse(UnknownAuthorityError, file, problems)


def _check_lists(file: Path, rows: Sequence[ReviewRow], standing: Mapping[str, _Standing]) -> None:
    problems = []
    for row in rows:
        stands = standing[row.programme]
        present = stands.hash_of(row.outcome, row.treated_la_code)
        codes = stands.codes_of(row.outcome, row.treated_la_code)
        place = f"line {row.line}: {row.treated_la_code} ({row.outcome})"
        if present is None:
            problems.append(
                f"{place} has no candidates in the latest run {stands.run_id}, so there is nothing to decide"
            )
        elif row.candidates_hash != present:
            problems.append(
                f"{place} is a decision on list {row.candidates_hash}, but the latest run {stands.run_id} has list {present} "
                f"({', '.join(codes)}); review it on a page made by csceval review {row.programme}"
            )
        elif row.comparator_la_code not in codes:
            problems.append(
                f"{place}, comparator_la_code: {row.comparator_la_code} is not on list {present}; "
                f"one of {', '.join(codes)} would be right"
            )
    _refuse(OtherCandidatesError, file, problems)


def _one_each(file: Path, rows: Sequence[ReviewRow]) -> list[ReviewRow]:
    """One row per pair: the first of those that agree."""
    first: dict[Pair, ReviewRow] = {}
    problems = []
    for row in rows:
        other = first.setdefault(row.pair, row)
        if other.judgement != row.judgement:
            problems.append(
                f"lines {other.line} and {row.line}: {_pair_words(row)} is {_judgement_words(other)} by {other.reviewer} and "
                f"{_judgement_words(row)} by {row.reviewer}; agree on one row"
            )
    _refuse(ConflictingDecisionsError, file, problems)
    return list(first.values())


def _check_against_installed(
    file: Path, rows: Sequence[ReviewRow], installed: Sequence[ReviewRow], *, replace_others: bool
) -> set[Pair]:
    """Pairs on which another reviewer's installed row says the same; refuses those where it says something else."""
    by_pair = {row.pair: row for row in installed}
    agreeing: set[Pair] = set()
    problems = []
    for row in rows:
        other = by_pair.get(row.pair)
        if other is None or replace_others or other.reviewer == row.reviewer:
            continue
        if other.candidates_hash != row.candidates_hash:
            continue
        if other.judgement == row.judgement:
            agreeing.add(row.pair)
        else:
            problems.append(
                f"line {row.line}: {_pair_words(row)} is {_judgement_words(row)} by {row.reviewer}, but {other.reviewer} installed "
                f"{_judgement_words(other)} on {other.reviewed_on}; agree on one, or give --replace to overrule"
            )
    _refuse(ConflictingDecisionsError, file, problems)
    return agreeing


def _pair_words(row: ReviewRow) -> str:
    return f"{row.comparator_la_code} for {row.treated_la_code} ({row.outcome})"


def _judgement_words(row: ReviewRow) -> str:
    verdicts = ", ".join(f"{name} {str(getattr(row, name)).lower()}" for name in VERDICTS)
    return f"{row.decision} ({verdicts})"


def _installed_rows(content: bytes, seed_file: Path) -> list[ReviewRow]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SeedError(f"{seed_file}: is not UTF-8; restore it from the repository.") from error
    # A row written by hand may lack its reason: the seed's own tests allow it.
    rows = _parsed(text, str(seed_file), SeedError, needs_reasons=False)
    seen: dict[Pair, int] = {}
    for row in rows:
        if row.pair in seen:
            raise SeedError(
                f"{seed_file}: lines {seen[row.pair]} and {row.line} are both on {_pair_words(row)}; keep one."
            )
        seen[row.pair] = row.line
    return rows


def _outdated(
    rows: Sequence[ReviewRow], installed: Sequence[ReviewRow], standing: Mapping[str, _Standing]
) -> set[Pair]:
    """Installed rows of the reviewed lists on comparators that are no longer on them."""
    reviewed = {row.set for row in rows}
    return {
        row.pair
        for row in installed
        if row.set in reviewed
        and row.comparator_la_code not in standing[row.programme].codes_of(row.outcome, row.treated_la_code)
    }


def _as_file(rows: Iterable[ReviewRow]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(REVIEW_COLUMNS)
    writer.writerows(row.cells() for row in sorted(rows, key=lambda row: row.pair))
    return buffer.getvalue()


def _install(
    seed_file: Path,
    before: bytes,
    after: str,
    warehouse: Path,
    on_progress: Callable[[int, int, str], None] | None,
) -> None:
    """Put the new file in place and load it; whatever goes wrong, the old file is there again and loaded."""
    # A warehouse that another process holds is the likeliest obstacle: ask before anything changes.
    with warehouse_module.writable(warehouse):
        pass
    try:
        replace_file(seed_file, after)
        dbt_runner.run_dbt(SELECTION, warehouse_file=warehouse, on_progress=on_progress)
    except BaseException as error:
        replace_file(seed_file, before.decode("utf-8"))
        if not isinstance(error, CscError):
            raise
        try:
            dbt_runner.run_dbt(SELECTION, warehouse_file=warehouse)
            state = "the reviews that stood before are in the file and in the warehouse again"
        except CscError:
            state = "the file is as it was; run csceval build to load it again"
        raise CscError(f"The reviews were not installed; {state}. {error}") from error


def _what_is_left(
    merged: Mapping[Pair, ReviewRow], standing: Mapping[str, _Standing]
) -> tuple[tuple[str, ...], tuple[OpenSet, ...]]:
    leaving, still_open = [], []
    for programme, stands in standing.items():
        for outcome in stands.protocol.outcomes:
            for site in stands.protocol.sites:
                codes = stands.codes_of(outcome.outcome, site.la_code)
                present = stands.hash_of(outcome.outcome, site.la_code)
                decisions = [
                    merged[(programme, outcome.outcome, site.la_code, code)].decision
                    for code in codes
                    if (pair := (programme, outcome.outcome, site.la_code, code)) in merged
                    and merged[pair].candidates_hash == present
                ]
                name = stands.names.get(site.la_code, site.la_code)
                if not codes or "accepted" in decisions:
                    continue
                if len(decisions) == len(codes):
                    leaving.append(
                        f"{name} leaves {outcome.outcome}: none of its {len(codes)} candidates is accepted"
                    )
                else:
                    still_open.append(OpenSet(programme, outcome.outcome, name, len(decisions), len(codes)))
    return tuple(leaving), tuple(still_open)
