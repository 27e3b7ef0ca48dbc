"""The data quality page: which authorities to doubt before matching on them, and for what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from csc_evaluation.report.formatting import (
    MISSING,
    Disclosure,
    financial_year,
    listing,
    number,
    percent,
    sentence,
)
from csc_evaluation.report.grid import Cell, Grid, Row
from csc_evaluation.report.quality_data import (
    Check,
    Finding,
    QualityData,
    Standing,
    YearCount,
    load_quality_data,
)
from csc_evaluation.report.writing import rendered, replace_file, writable_target

REPORT_NAME = "data_quality"
"""What ``csceval report`` calls this page; no programme may have this key."""
MOST_LISTED = 15
"""Authorities described in sentences: those to doubt first. The table has all."""

SUBJECTS = {
    "returns": "Returns",
    "landing": "Refused",
    "codes": "Codes",
    "children": "Children",
    "referrals": "Referrals",
    "assessments": "Assessments, enquiries",
    "plans": "Plans",
    "care": "Looked after",
    "counts": "Jumps",
}
SEVERITY_NAMES = {"serious": "serious", "doubt": "doubt", "info": "worth knowing"}
SHAPES = {"serious": "▲", "doubt": "◆", "info": "○"}
COLLECTIONS = {"cin": "Children in Need", "ssda903": "SSDA903"}
COUNT_NAMES = {
    "referrals": "referrals",
    "assessments": "assessments",
    "new_cp_plans": "new child protection plans",
    "children_cin": "children in the Children in Need return",
    "care_entries": "entries to care",
    "children_ssda903": "children in the SSDA903 return",
}
MISSING_RETURN, EMPTY_RETURN, JUMP = "missing_return_", "empty_return_", "jump_in_"


@dataclass(frozen=True)
class Mark:
    """A cell of the heat table: its style, what stands in it, and the same in words."""

    kind: str
    text: str
    words: str


@dataclass(frozen=True)
class HeatRow:
    """An authority in the heat table."""

    name: str
    anchor: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Heat:
    """Authorities by checks: only checks over their threshold for an authority shown have a column."""

    subjects: tuple[tuple[str, int], ...]
    checks: tuple[str, ...]
    rows: tuple[HeatRow, ...]


@dataclass(frozen=True)
class YearsRow:
    """Which returns of an authority are landed, year by year."""

    name: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Doubt:
    """A sentence about an authority, what follows from it, and how grave that is."""

    severity: str
    shape: str
    text: str
    consequence: str


@dataclass(frozen=True)
class Described:
    """An authority in sentences, with its numbers by year."""

    name: str
    anchor: str
    summary: str
    doubts: tuple[Doubt, ...]
    detail: Grid


@dataclass(frozen=True)
class QualityPage:
    """Everything the template prints."""

    title: str
    subtitle: str
    brief: tuple[str, ...]
    described: tuple[Described, ...]
    described_note: str
    heat: Heat
    quiet: str
    years: tuple[str, ...]
    landed: tuple[YearsRow, ...]
    landed_note: str
    jumps: Grid
    checks: tuple[Grid, ...]
    release_note: str


def write_quality_report(*, warehouse: Path, output: Path, authorities: Sequence[str] = ()) -> Path:
    """Write the data quality page as one HTML file that works offline.

    Args:
        warehouse: the DuckDB file; only read.
        output: the file to write; replaced whole, or left as it was if anything fails.
        authorities: codes of the authorities to show, for example ``["335"]``; all with a return where none is given.

    Returns:
        The absolute path of the page.

    Raises:
        WarehouseError: the warehouse cannot be opened or is not built.
        SeedError: a number that the page needs is not in the seeds.
        CscError: nothing is landed, an authority is unknown or has no return, or the file cannot be written.
    """
    target = writable_target(output)
    data = load_quality_data(warehouse=warehouse, authorities=authorities)
    replace_file(target, rendered("quality.html.j2", build_quality_page(data)))
    return target


def build_quality_page(data: QualityData) -> QualityPage:
    """Everything the page says, in words and formatted numbers; the same for the same data."""
    findings = _Findings(data)
    disclosure = Disclosure(data.small_count)
    standings = sorted(
        data.standings,
        key=lambda row: (
            -row.n_checks_serious,
            -row.n_checks_in_doubt,
            -row.n_checks_noted,
            data.authority(row.la_code),
            row.la_code,
        ),
    )
    doubted = [row for row in standings if row.n_checks_in_doubt]
    listed = standings if data.is_chosen else doubted[:MOST_LISTED]
    return QualityPage(
        title="Data quality: which authorities to doubt",
        subtitle=(
            f"{len(standings)} {'authority' if len(standings) == 1 else 'authorities'} with returns, return years "
            f"{financial_year(data.first_year)} to {financial_year(data.last_year)}."
        ),
        brief=_brief(data, standings, findings),
        described=tuple(_described(data, row, findings, disclosure) for row in listed),
        described_note=_described_note(doubted, listed, is_chosen=data.is_chosen),
        heat=_heat(data, standings, findings, {row.la_code for row in listed}),
        quiet=_quiet(data, findings),
        years=tuple(financial_year(year) for year in data.years),
        landed=tuple(_landed(data, row, findings) for row in standings),
        landed_note=_landed_note(data),
        jumps=_jumps(data, disclosure),
        checks=_checks(data, findings, disclosure),
        release_note=(
            f"Counts of children under {disclosure.threshold} are withheld on this page. Inside a secure setting, have it "
            "checked by that setting's output checkers before it leaves. It holds no record of a single child."
        ),
    )


class _Findings:
    """Findings by authority and check."""

    def __init__(self, data: QualityData) -> None:
        self._by_check: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        for row in data.findings:
            self._by_check[(row.la_code, row.check_name)].append(row)
        for rows in self._by_check.values():
            rows.sort(key=lambda row: row.return_year)
        self._jumps = {(row.la_code, row.return_year, row.kind): row for row in data.counts}
        self.over = {
            key for key, rows in self._by_check.items() if any(row.is_over_threshold for row in rows)
        }
        self._codes_over: dict[str, set[str]] = defaultdict(set)
        for la_code, check_name in self.over:
            self._codes_over[check_name].add(la_code)

    def of(self, la_code: str, check: Check) -> Sequence[Finding]:
        """What a check found in an authority, year by year."""
        return self._by_check.get((la_code, check.check_name), [])

    def over_threshold(self, la_code: str, check: Check) -> list[Finding]:
        """The years in which it is over the threshold."""
        return [row for row in self.of(la_code, check) if row.is_over_threshold]

    def authorities_over(self, check: Check) -> int:
        """How many authorities are over the threshold in a year."""
        return len(self._codes_over.get(check.check_name, ()))

    def jump(self, la_code: str, return_year: int, kind: str) -> YearCount | None:
        """The count behind a jump."""
        return self._jumps.get((la_code, return_year, kind))


# -- sentences ---------------------------------------------------------------------------------------------


def _brief(data: QualityData, standings: Sequence[Standing], findings: _Findings) -> tuple[str, ...]:
    serious = [row for row in standings if row.n_checks_serious]
    doubted = [row for row in standings if row.n_checks_in_doubt and not row.n_checks_serious]
    rest = len(standings) - len(serious) - len(doubted)
    said = [
        f"Of {_authorities(len(standings))}, {len(serious)} {_have(len(serious))} at least one serious check over its threshold, "
        f"{len(doubted)} {_have(len(doubted))} only checks that raise a doubt, and {rest} {_have(rest)} neither."
    ]
    if serious:
        names = [data.authority(row.la_code) for row in serious[:MOST_LISTED]]
        more = len(serious) - len(names)
        said.append(
            f"Doubt first: {listing([*names, f'{more} more'] if more else names)}."
            if len(standings) > 1
            else f"{names[0]} is one to doubt."
        )
    common = [
        (findings.authorities_over(check), check)
        for check in data.checks
        if check.severity != "info" and findings.authorities_over(check) > 1
    ]
    if common:
        count, check = max(common, key=lambda pair: (pair[0], -pair[1].check_order))
        said.append(f"The most common doubt is {check.label}, in {_authorities(count)}.")
    said.append(
        "A doubt is no verdict: it says where to look before this authority is compared with others, or others with it."
    )
    return tuple(said)


def _described_note(doubted: Sequence[Standing], listed: Sequence[Standing], *, is_chosen: bool) -> str:
    if is_chosen or len(doubted) <= len(listed):
        return ""
    return (
        f"{len(doubted) - len(listed)} more have a check over its threshold; the table below has all, and --authority CODE writes "
        "a page on one."
    )


def _described(
    data: QualityData, standing: Standing, findings: _Findings, disclosure: Disclosure
) -> Described:
    serious, in_doubt = standing.n_checks_serious, standing.n_checks_in_doubt
    parts = []
    if serious:
        parts.append(f"{serious} serious")
    if in_doubt > serious:
        parts.append(f"{in_doubt - serious} that {'raises' if in_doubt - serious == 1 else 'raise'} a doubt")
    if standing.n_checks_noted:
        parts.append(f"{standing.n_checks_noted} worth knowing")
    order = {"serious": 0, "doubt": 1, "info": 2}
    over = [check for check in data.checks if findings.over_threshold(standing.la_code, check)]
    over.sort(key=lambda check: (order[check.severity], check.check_order))
    return Described(
        name=data.authority(standing.la_code),
        anchor=f"la-{standing.la_code}",
        summary=f"Checks over their threshold: {listing(parts)}."
        if parts
        else "No check is over its threshold.",
        doubts=tuple(
            Doubt(
                check.severity,
                SHAPES[check.severity],
                said,
                sentence(check.consequence),
            )
            for check in over
            for said in [_finding_sentence(data, standing.la_code, check, findings, disclosure)]
        ),
        detail=_detail(data, standing, findings, disclosure),
    )


def _finding_sentence(
    data: QualityData, la_code: str, check: Check, findings: _Findings, disclosure: Disclosure
) -> str:
    """What a check found, for a reader who does not know its name."""
    rows = findings.over_threshold(la_code, check)
    years = listing(financial_year(row.return_year) for row in rows)
    is_one = len(rows) == 1
    if check.check_name.startswith(MISSING_RETURN):
        kind = COLLECTIONS[check.check_name.removeprefix(MISSING_RETURN)]
        return (
            f"The {kind} {'return' if is_one else 'returns'} of {years} {'is' if is_one else 'are'} missing."
        )
    if check.check_name.startswith(EMPTY_RETURN):
        kind = COLLECTIONS[check.check_name.removeprefix(EMPTY_RETURN)]
        return f"The {kind} {'return' if is_one else 'returns'} of {years} {'holds' if is_one else 'hold'} no record."
    if check.check_name.startswith(JUMP):
        kind = check.check_name.removeprefix(JUMP)
        jumps = [findings.jump(la_code, row.return_year, kind) for row in rows]
        said = [_jump_sentence(jump, disclosure) for jump in jumps if jump is not None]
        return " ".join(said) or sentence(f"{check.label} in {years}")
    worst = max(rows, key=lambda row: (row.n_failed / row.n_records, row.return_year))
    said_share = _share_in_words(worst, check, disclosure)
    if is_one:
        return sentence(f"{check.label}: {said_share} in {years}; the threshold is {_threshold(check)}")
    return sentence(
        f"{check.label}: {said_share} in {financial_year(worst.return_year)}, over the threshold of "
        f"{_threshold(check)} in {len(rows)} years ({years})"
    )


def _share_in_words(row: Finding, check: Check, disclosure: Disclosure) -> str:
    if disclosure.is_small(row.n_failed):
        return f"fewer than {disclosure.threshold} of the {check.records_label}"
    return f"{_share(row, disclosure, decimals=0)} of {check.records_label}"


def _share(row: Finding, disclosure: Disclosure, *, decimals: int = 1) -> str:
    """Share that fails; of rounded counts where it would tell a small count, and none where it is of a small one."""
    n_records, n_failed = row.n_records, row.n_failed
    if not n_records or disclosure.is_small(n_records) or disclosure.is_small(n_failed):
        return MISSING
    if disclosure.is_small(n_records - n_failed):
        n_records, n_failed = disclosure.rounded(n_records), disclosure.rounded(n_failed)
    share = n_failed / n_records
    least = 10 ** -(decimals + 2)
    return f"under {percent(least, decimals)}" if 0 < share < least else percent(share, decimals)


def _jump_sentence(jump: YearCount, disclosure: Disclosure) -> str:
    before, now, expected = _jump_counts(jump, disclosure)
    verb = "rose" if jump.n_events > (jump.n_events_before or 0) else "fell"
    kind = COUNT_NAMES.get(jump.kind, jump.kind)
    if jump.n_events == jump.n_events_before:
        verb = "stayed, against the change elsewhere,"
    return sentence(
        f"{kind} {verb} from {before} in {financial_year(jump.return_year - 1)} to {now} in "
        f"{financial_year(jump.return_year)}, where about {expected} were to be expected "
        f"({number(abs(jump.change_in_sd or 0.0), 1)} standard deviations)"
    )


def _jump_counts(jump: YearCount, disclosure: Disclosure) -> tuple[str, str, str]:
    before, now, expected = disclosure.counts([jump.n_events_before, jump.n_events, jump.n_expected])
    return before, now, expected


def _threshold(check: Check) -> str:
    share = percent(check.doubt_share_min, 1).replace(".0%", "%")
    if not check.doubt_share_min:
        return "any" if check.doubt_failed_min == 1 else f"{check.doubt_failed_min} records"
    return share


def _authorities(count: int) -> str:
    return f"{count} {'authority' if count == 1 else 'authorities'}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


# -- tables ------------------------------------------------------------------------------------------------


def _heat(data: QualityData, standings: Sequence[Standing], findings: _Findings, linked: set[str]) -> Heat:
    columns = [check for check in data.checks if findings.authorities_over(check)]
    subjects: dict[str, int] = {}
    for check in columns:
        subjects[check.subject] = subjects.get(check.subject, 0) + 1
    # Columns of one subject stand together, whatever order the seed gives.
    columns.sort(key=lambda check: (list(subjects).index(check.subject), check.check_order))
    return Heat(
        subjects=tuple((SUBJECTS.get(subject, subject), count) for subject, count in subjects.items()),
        checks=tuple(sentence(check.label).rstrip(".") for check in columns),
        rows=tuple(
            HeatRow(
                name=data.authority(row.la_code),
                anchor=f"la-{row.la_code}" if row.la_code in linked else "",
                marks=tuple(_mark(row.la_code, check, findings) for check in columns),
            )
            for row in standings
        ),
    )


def _mark(la_code: str, check: Check, findings: _Findings) -> Mark:
    over = findings.over_threshold(la_code, check)
    if over:
        years = listing(financial_year(row.return_year) for row in over)
        return Mark(
            check.severity,
            f"{SHAPES[check.severity]}{len(over)}",
            f"{SEVERITY_NAMES[check.severity]}: {check.label}, {years}",
        )
    if findings.of(la_code, check):
        return Mark("fine", "", f"under the threshold: {check.label}")
    return Mark("unseen", MISSING, f"nothing to look at: {check.label}")


def _quiet(data: QualityData, findings: _Findings) -> str:
    """Checks that looked at something and are under their threshold for every authority."""
    looked_at = {row.check_name for row in data.findings}
    quiet = [
        check.label
        for check in data.checks
        if not findings.authorities_over(check) and check.check_name in looked_at
    ]
    return sentence(listing(quiet))


def _landed(data: QualityData, standing: Standing, findings: _Findings) -> YearsRow:
    by_name = {check.check_name: check for check in data.checks}
    gaps: dict[str, set[int]] = {}
    for collection in COLLECTIONS:
        check = by_name.get(f"{MISSING_RETURN}{collection}")
        rows = findings.of(standing.la_code, check) if check else ()
        # A year in which the return was looked for and found; others are gaps or were never to be expected.
        gaps[collection] = {row.return_year for row in rows if row.n_failed}
        gaps[f"{collection} landed"] = {row.return_year for row in rows if not row.n_failed}
    marks = []
    for year in data.years:
        there = [name for name in COLLECTIONS if year in gaps[f"{name} landed"]]
        lacking = [name for name in COLLECTIONS if year in gaps[name]]
        name = financial_year(year)
        if not there and not lacking:
            marks.append(Mark("unseen", MISSING, f"{name}: no return expected"))
        elif not lacking:
            marks.append(Mark("landed", "■", f"{name}: {listing(COLLECTIONS[one] for one in there)} landed"))
        else:
            text = "gap" if not there else f"no {COLLECTIONS[lacking[0]] if lacking[0] != 'cin' else 'CIN'}"
            marks.append(Mark("gap", text, f"{name}: {listing(COLLECTIONS[one] for one in lacking)} missing"))
    return YearsRow(data.authority(standing.la_code), tuple(marks))


def _landed_note(data: QualityData) -> str:
    if data.is_chosen or not data.not_landed:
        return ""
    names = sorted(data.authority(code) for code in data.not_landed)
    if len(names) > MOST_LISTED:
        return f"Nothing is landed from {len(names)} other authorities that existed in these years."
    return f"Nothing is landed from {listing(names)}."


def _jumps(data: QualityData, disclosure: Disclosure) -> Grid:
    rows = sorted(
        data.counts,
        key=lambda row: (
            -abs(row.change_in_sd or 0.0),
            data.authority(row.la_code),
            row.kind,
            row.return_year,
        ),
    )
    return Grid(
        caption="Counts that jump, the largest change first",
        headers=("Authority", "Count", "Year", "Year before", "This year", "Expected", "Standard deviations"),
        rows=tuple(
            Row(
                (
                    Cell(data.authority(row.la_code)),
                    Cell(COUNT_NAMES.get(row.kind, row.kind)),
                    Cell(financial_year(row.return_year)),
                    *(Cell(text) for text in _jump_counts(row, disclosure)),
                    Cell(number(row.change_in_sd, 1)),
                )
            )
            for row in rows
        ),
        n_text_columns=3,
        notes=(
            "Expected: the year before, changed as the median authority's was where enough authorities are landed. A count with fewer "
            f"than {disclosure.threshold} beside it is rounded.",
        ),
        absent_because=f"no count changes by more than {number(data.jump_sd, 1).removesuffix('.0')} standard deviations.",
    )


def _detail(data: QualityData, standing: Standing, findings: _Findings, disclosure: Disclosure) -> Grid:
    rows = []
    for check in data.checks:
        by_year = {row.return_year: row for row in findings.of(standing.la_code, check)}
        if not any(row.n_failed for row in by_year.values()):
            continue
        cells = [_detail_cell(by_year.get(year), check, disclosure) for year in data.years]
        is_over = any(row.is_over_threshold for row in by_year.values())
        rows.append(Row((Cell(sentence(check.label).rstrip(".")), *cells), "flagged" if is_over else ""))
    return Grid(
        caption="Share that fails, by return year",
        headers=("Check", *(financial_year(year) for year in data.years)),
        rows=tuple(rows),
        notes=(
            f"▲ serious, ◆ doubt, ○ worth knowing: over the threshold. <{disclosure.threshold}: fewer than {disclosure.threshold} "
            "records fail. A spell counts in the last return that carries it.",
        ),
        absent_because="nothing fails.",
    )


def _detail_cell(row: Finding | None, check: Check, disclosure: Disclosure) -> Cell:
    if row is None or not row.n_records:
        return Cell(MISSING)
    mark = f"{SHAPES[check.severity]} " if row.is_over_threshold else ""
    if check.check_name.startswith((MISSING_RETURN, EMPTY_RETURN, JUMP)):
        return Cell(f"{mark}yes" if row.n_failed else "no")
    if disclosure.is_small(row.n_failed):
        return Cell(f"{mark}<{disclosure.threshold}")
    return Cell(f"{mark}{_share(row, disclosure)}")


def _checks(data: QualityData, findings: _Findings, disclosure: Disclosure) -> tuple[Grid, ...]:
    totals: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row in data.findings:
        n_records, n_failed = totals[row.check_name]
        totals[row.check_name] = (n_records + row.n_records, n_failed + row.n_failed)
    grids = []
    for subject, name in SUBJECTS.items():
        checks = [check for check in data.checks if check.subject == subject]
        if checks:
            grids.append(_checks_of_subject(name, checks, totals, findings, disclosure, len(data.standings)))
    return tuple(grids)


def _checks_of_subject(
    name: str,
    checks: Iterable[Check],
    totals: Mapping[str, tuple[int, int]],
    findings: _Findings,
    disclosure: Disclosure,
    n_authorities: int,
) -> Grid:
    rows = []
    for check in checks:
        n_records, n_failed = totals[check.check_name]
        whole = Finding("", 0, check.check_name, n_records, n_failed, False)
        of_years = check.check_name.startswith((MISSING_RETURN, EMPTY_RETURN, JUMP))
        if of_years:
            failed = f"{n_failed:,} of {n_records:,}" if n_records else MISSING
        else:
            failed = (
                f"<{disclosure.threshold}" if disclosure.is_small(n_failed) else _share(whole, disclosure)
            )
        rows.append(
            Row(
                (
                    Cell(sentence(check.label).rstrip("."), sentence(check.meaning)),
                    Cell(sentence(check.consequence)),
                    Cell(
                        f"{SHAPES[check.severity]} {SEVERITY_NAMES[check.severity]}",
                        f"from {_threshold(check)}",
                    ),
                    Cell(failed, f"of {check.records_label}" if n_records and not of_years else ""),
                    Cell(f"{findings.authorities_over(check)} of {n_authorities}"),
                )
            )
        )
    return Grid(
        caption=name,
        headers=("Check", "What it can do to an evaluation", "Severity", "Fail", "Authorities over"),
        rows=tuple(rows),
        n_text_columns=3,
    )
