from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pytest

from csc_evaluation import cli, dbt_runner
from csc_evaluation.errors import (
    ConflictingDecisionsError,
    CscError,
    OtherCandidatesError,
    SeedError,
    WarehouseError,
)
from csc_evaluation.review import import_reviews
from csc_evaluation.review.data import REVIEW_COLUMNS
from support.review_warehouse import (
    OUTCOME,
    PROGRAMME,
    SECOND_OUTCOME,
    acceptance,
    decision,
    kept,
    write_file,
)

Row = dict[str, str]


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["csceval", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def seed_rows(seed_file: Path) -> list[Row]:
    with seed_file.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def without_dbt(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """dbt is taken to succeed; what it was asked for is kept."""
    asked: list[Sequence[str]] = []

    def succeed(command: Sequence[str], **_: object) -> dbt_runner.BuildSummary:
        asked.append(tuple(command))
        return dbt_runner.BuildSummary(1, "")

    monkeypatch.setattr(dbt_runner, "run_dbt", succeed)
    return asked


# -- what is refused ---------------------------------------------------------------------------------------

CELLS = [
    ("trend", "yes", 20, "line 2, trend: 'yes'; true or false would be right"),
    ("placebo", "", 20, "line 2, placebo: ''; true or false would be right"),
    ("decision", "maybe", 20, "line 2, decision: 'maybe'; accepted or rejected would be right"),
    ("reason", "", 20, "line 2, reason: ''; why it is rejected would be right"),
    ("reviewer", " ", 20, "line 2, reviewer: ''; a value would be right"),
    ("reviewed_on", "25/11/2026", 20, "a date like 2026-11-25 would be right"),
    ("reviewed_on", "2026-2-30", 20, "a date like 2026-11-25 would be right"),
    ("candidates_hash", "0123456789abcdef", 21, "is a decision on list 0123456789abcdef, but the latest run"),
    ("comparator_la_code", "866", 21, "866 is not on list"),
    ("programme", "no_such_programme", 22, "'no_such_programme'; family_safeguarding or"),
    ("outcome", "no_such_outcome", 22, "'no_such_outcome'; one of looked_after_18m"),
    ("treated_la_code", "202", 22, "'202' is no authority of family_safeguarding; one of 335, 888"),
    ("comparator_la_code", "000", 22, "'000' is no authority"),
    ("decision", "accepted", 23, "is accepted for 335 (looked_after_18m) although trend is false"),
]


@pytest.mark.parametrize(("column", "value", "status", "message"), CELLS)
def test_a_bad_cell_is_refused_with_its_status_and_place(
    column: str,
    value: str,
    status: int,
    message: str,
    review_warehouse: Path,
    seed_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    without_dbt: list[Sequence[str]],
) -> None:
    before = seed_file.read_bytes()
    # The second row is as it should be: one bad row refuses the file.
    bad = decision(review_warehouse) | {column: value}
    file = write_file(tmp_path / "reviews.csv", [bad, decision(review_warehouse, rank=2)])
    ended = run_command(monkeypatch, "review", "--import", str(file), "--warehouse", str(review_warehouse))
    said = capfd.readouterr().err
    assert ended == status
    assert message in said
    assert str(file) in said
    assert "line 2" in said
    assert "line 3" not in said
    assert seed_file.read_bytes() == before
    assert without_dbt == []


HEADER = ",".join(REVIEW_COLUMNS)
FILES = [
    (b"", "the header lacks programme"),
    (HEADER.encode() + b"\n", "holds no decision below its header"),
    (
        HEADER.replace("trend,", "").encode() + b"\n",
        "line 1: the header lacks trend; right is programme,outcome",
    ),
    (HEADER.replace("trend", "treand").encode() + b"\n", "lacks trend and does not know treand"),
    (HEADER.encode() + b",trend\n", "repeats trend"),
    (HEADER.encode() + b"\na,b,c\n", "line 2: has 3 cells; 12, one for each column, would be right"),
    (HEADER.encode() + b"\nfamily_safeguarding,Pr\xe9vu\n", "line 2: byte 0xe9 is not UTF-8"),
    (HEADER.encode() + b'\n"a,b\n', "is not CSV"),
    (HEADER.encode() + b"\n\0\n", "line 2: holds a null character"),
    (b"PK\x03\x04 a workbook \xff", "is not UTF-8"),
]


@pytest.mark.parametrize(("content", "message"), FILES)
def test_a_file_that_is_no_review_ends_with_status_20(
    content: bytes,
    message: str,
    review_warehouse: Path,
    seed_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = seed_file.read_bytes()
    file = tmp_path / "reviews.csv"
    file.write_bytes(content)
    assert run_command(monkeypatch, "review", "--import", str(file), "-w", str(review_warehouse)) == 20
    assert message in capfd.readouterr().err
    assert seed_file.read_bytes() == before


def test_a_file_that_is_not_there_ends_with_status_20(
    review_warehouse: Path,
    seed_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_command(monkeypatch, "review", "--import", "none.csv", "-w", str(review_warehouse)) == 20
    assert "none.csv: no such file" in capfd.readouterr().err


def test_rows_of_another_programme_than_asked_are_refused(
    review_warehouse: Path,
    seed_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = write_file(tmp_path / "reviews.csv", [decision(review_warehouse)])
    arguments = ("review", "no_wrong_door", "--import", str(file), "-w", str(review_warehouse))
    assert run_command(monkeypatch, *arguments) == 22
    assert "line 2, programme: 'family_safeguarding'; no_wrong_door would be right" in capfd.readouterr().err


def test_two_decisions_on_a_pair_that_differ_are_refused(
    review_warehouse: Path, seed_file: Path, tmp_path: Path
) -> None:
    rows = [decision(review_warehouse), acceptance(review_warehouse, reviewer="B. Other")]
    with pytest.raises(
        ConflictingDecisionsError, match=r"lines 2 and 3: .* rejected .* by A\. Reviewer and accepted"
    ):
        import_reviews(write_file(tmp_path / "reviews.csv", rows), warehouse=review_warehouse)


def test_two_rejections_with_other_verdicts_differ(
    review_warehouse: Path, seed_file: Path, tmp_path: Path
) -> None:
    rows = [decision(review_warehouse), decision(review_warehouse, shocks="false")]
    with pytest.raises(ConflictingDecisionsError, match=r"shocks true.*shocks false"):
        import_reviews(write_file(tmp_path / "reviews.csv", rows), warehouse=review_warehouse)


def test_many_bad_rows_are_named_up_to_five(review_warehouse: Path, seed_file: Path, tmp_path: Path) -> None:
    rows = [decision(review_warehouse, rank=rank, candidates_hash="0" * 16) for rank in range(1, 8)]
    with pytest.raises(OtherCandidatesError) as caught:
        import_reviews(write_file(tmp_path / "reviews.csv", rows), warehouse=review_warehouse)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("7 rows are not right; nothing was installed:")
    assert len(lines) == 1 + 5 + 1
    assert lines[-1].strip() == "and 2 more"


# -- what is installed -------------------------------------------------------------------------------------


def test_rows_of_other_pairs_and_programmes_stay_and_the_file_is_sorted(
    review_warehouse: Path, seed_file: Path, tmp_path: Path, without_dbt: list[Sequence[str]]
) -> None:
    foreign = decision(review_warehouse) | {
        "programme": "signs_of_safety",
        "outcome": "kinship_care_12m",
        "treated_la_code": "304",
        "comparator_la_code": "801",
        "candidates_hash": "",
    }
    foreign["candidates_hash"] = "e" * 16
    other_pair = decision(review_warehouse, rank=3, reviewer="B. Other")
    write_file(seed_file, [foreign, other_pair])
    given = [
        acceptance(review_warehouse, outcome=SECOND_OUTCOME),
        decision(review_warehouse, rank=2),
        acceptance(review_warehouse),
    ]
    done = import_reviews(write_file(tmp_path / "reviews.csv", given), warehouse=review_warehouse)
    rows = seed_rows(seed_file)
    assert len(rows) == 5
    for row in (*given, other_pair, foreign):
        assert row in rows
    keys = [tuple(row[name] for name in REVIEW_COLUMNS[:4]) for row in rows]
    assert keys == sorted(keys)
    assert seed_file.read_text(encoding="utf-8").splitlines()[0] == HEADER
    assert (done.n_accepted, done.n_rejected, done.n_new, done.n_replaced) == (2, 1, 3, 0)
    assert without_dbt == [("build", "--select", "match_reviews")]


def test_a_row_replaces_the_row_of_its_pair_by_the_same_reviewer(
    review_warehouse: Path, seed_file: Path, tmp_path: Path, without_dbt: list[Sequence[str]]
) -> None:
    write_file(seed_file, [decision(review_warehouse)])
    file = write_file(tmp_path / "reviews.csv", [acceptance(review_warehouse)])
    done = import_reviews(file, warehouse=review_warehouse)
    assert seed_rows(seed_file) == [acceptance(review_warehouse)]
    assert (done.n_new, done.n_replaced) == (0, 1)


def test_another_reviewers_decision_stands_unless_overruled(
    review_warehouse: Path, seed_file: Path, tmp_path: Path, without_dbt: list[Sequence[str]]
) -> None:
    theirs = decision(review_warehouse, reviewer="B. Other")
    write_file(seed_file, [theirs])
    file = write_file(tmp_path / "reviews.csv", [acceptance(review_warehouse)])
    with pytest.raises(
        ConflictingDecisionsError, match=r"B\. Other installed rejected .* or give --replace to overrule"
    ):
        import_reviews(file, warehouse=review_warehouse)
    assert seed_rows(seed_file) == [theirs]
    assert without_dbt == []
    import_reviews(file, warehouse=review_warehouse, replace_others=True)
    assert seed_rows(seed_file) == [acceptance(review_warehouse)]


def test_a_reviewer_who_agrees_leaves_the_first_ones_row(
    review_warehouse: Path, seed_file: Path, tmp_path: Path, without_dbt: list[Sequence[str]]
) -> None:
    theirs = decision(review_warehouse, reviewer="B. Other", reason="seen first")
    write_file(seed_file, [theirs])
    file = write_file(tmp_path / "reviews.csv", [decision(review_warehouse)])
    assert import_reviews(file, warehouse=review_warehouse).n_agreeing == 1
    assert seed_rows(seed_file) == [theirs]


def test_another_reviewers_decision_on_an_earlier_list_is_replaced(
    review_warehouse: Path, seed_file: Path, tmp_path: Path, without_dbt: list[Sequence[str]]
) -> None:
    write_file(seed_file, [decision(review_warehouse, reviewer="B. Other", candidates_hash="a" * 16)])
    file = write_file(tmp_path / "reviews.csv", [acceptance(review_warehouse)])
    import_reviews(file, warehouse=review_warehouse)
    assert seed_rows(seed_file) == [acceptance(review_warehouse)]


def test_rows_on_comparators_no_longer_on_the_list_go_with_its_review(
    review_warehouse: Path, seed_file: Path, tmp_path: Path, without_dbt: list[Sequence[str]]
) -> None:
    gone = acceptance(review_warehouse, comparator_la_code="201", candidates_hash="a" * 16)
    gone_elsewhere = gone | {"treated_la_code": "888"}
    write_file(seed_file, [gone, gone_elsewhere])
    file = write_file(tmp_path / "reviews.csv", [acceptance(review_warehouse)])
    assert import_reviews(file, warehouse=review_warehouse).n_outdated == 1
    assert seed_rows(seed_file) == [acceptance(review_warehouse), gone_elsewhere]


def test_a_spreadsheets_ways_are_understood(
    review_warehouse: Path, seed_file: Path, tmp_path: Path, without_dbt: list[Sequence[str]]
) -> None:
    row = acceptance(review_warehouse, reason="two\nlines, and more")
    shouted = row | {name: row[name].upper() for name in ("trend", "placebo", "shocks")}
    file = write_file(tmp_path / "reviews.csv", [shouted], columns=REVIEW_COLUMNS[::-1])
    content = file.read_bytes().replace(b"two\nlines", b"two lines").replace(b"\n", b"\r\n")
    file.write_bytes(b"\xef\xbb\xbf" + content.replace(b"two lines", b"two\r\nlines"))
    import_reviews(file, warehouse=review_warehouse)
    assert seed_rows(seed_file) == [row | {"reason": "two lines, and more"}]


def test_what_is_left_is_told(
    review_warehouse: Path,
    seed_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    without_dbt: list[Sequence[str]],
) -> None:
    rows = [acceptance(review_warehouse)]
    rows += [decision(review_warehouse, rank=rank, treated_la_code="888") for rank in range(1, 11)]
    rows += [decision(review_warehouse, rank=rank, treated_la_code="894") for rank in range(1, 4)]
    file = write_file(tmp_path / "reviews.csv", rows)
    assert run_command(monkeypatch, "review", "--import", str(file), "-w", str(review_warehouse)) == 0
    said = capfd.readouterr().out
    assert "Installed 1 accepted and 13 rejected pairs (14 new, 0 changed)" in said
    assert "Lancashire leaves looked_after_18m: none of its 10 candidates is accepted" in said
    assert "3 of 10" in said
    assert "Walsall" in said.split("Still without a decision")[1]
    assert "Next: csceval estimate family_safeguarding" in said
    done = import_reviews(file, warehouse=review_warehouse)
    assert len(done.still_open) == 10 - 2
    assert (OUTCOME, "Walsall") not in {(row.outcome, row.authority) for row in done.still_open}


# -- nothing of the last good state is lost ----------------------------------------------------------------


def test_dbt_loads_the_seed_and_tests_it(own_warehouse: Path, seed_file: Path, tmp_path: Path) -> None:
    file = write_file(tmp_path / "reviews.csv", [acceptance(own_warehouse), decision(own_warehouse, rank=2)])
    import_reviews(file, warehouse=own_warehouse)
    with duckdb.connect(str(own_warehouse), read_only=True) as connection:
        rows = connection.execute(
            "select comparator_la_code, decision, trend, reason from protocol.match_reviews order by decision"
        ).fetchall()
        build = connection.execute(
            "select command, status from meta.builds order by finished_at desc"
        ).fetchone()
    codes = kept(own_warehouse)[1]
    assert rows == [
        (codes[0], "accepted", True, None),
        (codes[1], "rejected", False, 'Its trend turns, "sharply", in 2018'),
    ]
    assert build == ("build (selection)", "success")


def test_the_old_file_is_back_when_dbt_refuses(
    own_warehouse: Path, own_project: Path, seed_file: Path, tmp_path: Path
) -> None:
    before = write_file(seed_file, [decision(own_warehouse, rank=3)]).read_bytes()
    # A rule of the seed that the new rows break and the old ones keep.
    rules = own_project / "seeds" / "protocol" / "_protocol.yml"
    text = rules.read_text(encoding="utf-8")
    rule = "decision in ('accepted', 'rejected')"
    rules.write_text(text.replace(rule, "decision = 'rejected'", 1), encoding="utf-8")
    file = write_file(tmp_path / "reviews.csv", [acceptance(own_warehouse)])
    with pytest.raises(
        CscError,
        match="were not installed; the reviews that stood before are in the file and in the warehouse",
    ):
        import_reviews(file, warehouse=own_warehouse)
    assert seed_file.read_bytes() == before
    with duckdb.connect(str(own_warehouse), read_only=True) as connection:
        assert connection.execute("select decision from protocol.match_reviews").fetchall() == [("rejected",)]


@pytest.mark.parametrize("stopped_by", [KeyboardInterrupt, OSError])
def test_the_old_file_is_back_when_the_import_is_stopped(
    stopped_by: type[BaseException],
    review_warehouse: Path,
    seed_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = seed_file.read_bytes()
    seen: list[bytes] = []

    def stop(*_: object, **__: object) -> None:
        seen.append(seed_file.read_bytes())
        raise stopped_by

    monkeypatch.setattr(dbt_runner, "run_dbt", stop)
    file = write_file(tmp_path / "reviews.csv", [acceptance(review_warehouse)])
    with pytest.raises(stopped_by):
        import_reviews(file, warehouse=review_warehouse)
    assert seen != [before]
    assert seed_file.read_bytes() == before


def test_a_held_warehouse_stops_it_before_the_file_changes(
    review_warehouse: Path, seed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from csc_evaluation import warehouse

    before = seed_file.read_bytes()

    def held(path: Path) -> None:
        raise WarehouseError(f"{path}: process 1 holds the warehouse.")

    monkeypatch.setattr(warehouse, "writable", held)
    file = write_file(tmp_path / "reviews.csv", [acceptance(review_warehouse)])
    with pytest.raises(WarehouseError, match="holds the warehouse"):
        import_reviews(file, warehouse=review_warehouse)
    assert seed_file.read_bytes() == before


def test_a_seed_that_cannot_be_read_is_not_overwritten(
    review_warehouse: Path, seed_file: Path, tmp_path: Path, without_dbt: list[Sequence[str]]
) -> None:
    before = write_file(seed_file, [decision(review_warehouse), decision(review_warehouse)]).read_bytes()
    file = write_file(tmp_path / "reviews.csv", [acceptance(review_warehouse)])
    with pytest.raises(SeedError, match="lines 2 and 3 are both on"):
        import_reviews(file, warehouse=review_warehouse)
    assert seed_file.read_bytes() == before


# -- the command -------------------------------------------------------------------------------------------


def test_the_page_is_opened_unless_told_otherwise(
    review_warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    opener: Callable[[str], bool] = lambda address: bool(opened.append(address)) or True  # noqa: E731
    monkeypatch.setattr(cli.webbrowser, "open", opener)
    monkeypatch.chdir(tmp_path)
    base = ("review", PROGRAMME, "-w", str(review_warehouse))
    assert run_command(monkeypatch, *base, "--no-open") == 0
    assert run_command(monkeypatch, *base, "--output", "other.html") == 0
    assert opened == []
    assert run_command(monkeypatch, *base) == 0
    assert opened == [(tmp_path / "family_safeguarding_review.html").as_uri()]
    assert {file.name for file in tmp_path.iterdir()} == {"family_safeguarding_review.html", "other.html"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name the programme to review"),
        ((PROGRAMME, "--replace"), "--replace belongs to --import"),
        (("--import", "x.csv", "--no-open"), "do not go with it"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_command(monkeypatch, "review", *arguments) == 1
    assert message in capfd.readouterr().err
