"""What a person reads after landing."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from csc_evaluation.landing import LandingReport, land, render_report
from support.landing_files import (
    EPISODES_HEADER,
    cin_assessment,
    cin_child,
    cin_referral,
    cin_xml,
    query,
    write,
)


def rendered(report: LandingReport, **options: bool) -> str:
    text = io.StringIO()
    render_report(report, Console(file=text, width=400, soft_wrap=True), **options)
    return text.getvalue()


def test_prints_a_line_per_file_the_counts_and_every_reject_with_its_reason(
    files: Path, warehouse: Path
) -> None:
    bad = cin_child("C1", cin_referral("31/02/2020", cin_assessment("2020-01-01", "2A")))
    text = cin_xml(cin_child("C2", cin_referral("2019-09-02", cin_assessment("2019-09-03", "RB"))), bad)
    report = land([write(files, "[a].xml", text), write(files, "empty.csv", "")], warehouse=warehouse)
    shown = rendered(report)
    assert "[a].xml: cin, authority 335, 2020: 8 found, 5 accepted, 3 rejected" in shown
    assert "empty.csv: is empty (0 bytes)." in shown
    for cells in (
        ("CINdetails", "2", "1", "1"),
        ("AssessmentFactors", "2", "1", "1"),
        ("all", "8", "5", "3"),
        ("Message/Children/Child[2]/CINdetails[1]", "CINreferralDate", "not a calendar date"),
        ("Message/Children/Child[2]/CINdetails[1]/Assessments[1]", "CINdetails", "parent record rejected"),
        ("AssessmentFactors", "RB", "1"),
    ):
        assert any(all(cell in line for cell in cells) for line in shown.splitlines()), cells
    assert "Files: 1 landed, 0 unchanged, 1 failed." in shown


def test_the_counts_of_the_report_are_those_of_the_warehouse(files: Path, warehouse: Path) -> None:
    rows = "\n".join(
        f"A{n},{'15/02/2019' if n % 3 else '31/02/2019'},S,C2,N1,U1,PR1,,,,,," for n in range(200)
    )
    report = land(
        [
            write(files, "ssda903_335_2020/e.csv", f"{EPISODES_HEADER}\n{rows}\n"),
            write(files, "ssda903_336_2020/e.csv", f"{EPISODES_HEADER}\n{rows}\n"),
        ],
        warehouse=warehouse,
    )
    ((collection, count),) = report.counts
    assert (collection, count.record_type, count.n_found, count.n_accepted, count.n_rejected) == (
        "ssda903",
        "episodes",
        400,
        266,
        134,
    )
    assert query(warehouse, "select sum(n_found), sum(n_accepted), sum(n_rejected) from raw.returns") == [
        (400, 266, 134)
    ]
    assert query(warehouse, "select count(*) from raw.rejects") == [(134,)]
    assert query(warehouse, "select count(*) from raw.ssda903_episodes") == [(266,)]
    shown = rendered(report)
    assert "Rejected records by reason" in shown
    assert "select * from raw.rejects" in shown


def test_a_long_landing_lists_only_files_with_something_to_say(files: Path, warehouse: Path) -> None:
    codes = [f"{code}" for code in (301, 302, 303, 304, 305, 306, 307)]
    paths = [
        write(files, f"ssda903_{code}_{year}/e.csv", EPISODES_HEADER + "\n")
        for code in codes
        for year in range(2010, 2019)
    ]
    paths.append(write(files, "empty.csv", ""))
    report = land(paths, warehouse=warehouse)
    shown = rendered(report)
    assert "63 more files without anything to note" in shown
    assert "empty.csv: is empty" in shown
    assert "ssda903_301_2010" not in shown
    assert "ssda903_301_2010" not in rendered(report, per_file=False)
    assert "empty.csv: is empty" in rendered(report, per_file=False)
