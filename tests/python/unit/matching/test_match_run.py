"""``match_programmes``: what is written, what is refused and how, and that the last good run survives a refusal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from csc_evaluation import cli, schema
from csc_evaluation.errors import (
    ConstantSeriesError,
    CscError,
    MissingQuarterError,
    NoCandidateError,
    SeedError,
)
from csc_evaluation.matching.run import match_programme, match_programmes
from support.marts_fixture import OTHERS, OUTCOME, PROGRAMME, SITES, World, write_warehouse

SECOND = "rereferral_pdm_18m"
OTHER_PROGRAMME = "no_wrong_door"
MATCHING_TABLES = (
    "la_match_candidates",
    "la_match_series",
    "la_pair_evidence",
    "la_match_placebos",
    "la_match_variants",
    "la_matches",
    "cem_strata",
    "cem_weights",
    "matched_shares",
    "balance",
)
# Only the sites are left with data.
NO_CANDIDATE = (
    "update marts.la_quarter_outcomes set n_children = 3 where la_code not in "
    f"({', '.join(repr(code) for code in SITES)})",
)
# Every site lacks a quarter that lies in every window.
MISSING_QUARTER = (
    "update marts.la_quarter_outcomes set n_children = 0, mean_value = null where quarter_start = '2018-10-01' "
    f"and la_code in ({', '.join(repr(code) for code in SITES)})",
)
CONSTANT = ("update marts.la_quarter_outcomes set mean_value = 0.1 where n_children > 0",)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_warehouse(
        tmp_path_factory.mktemp("match_run") / "w.duckdb",
        World(seed=6, others=OTHERS[:8], children_per_quarter=35),
    )


@pytest.fixture(scope="module")
def done(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world with a second matched outcome without children, and one good run."""
    path = tmp_path_factory.mktemp("done") / "done.duckdb"
    path.write_bytes(world.read_bytes())
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"insert into marts.la_quarter_outcomes select * replace ('{SECOND}' as outcome) "
            f"from marts.la_quarter_outcomes where outcome = '{OUTCOME}'"
        )
    match_programme(PROGRAMME, warehouse=path)
    return path


def _copy(source: Path, folder: Path, *statements: str) -> Path:
    path = folder / "changed.duckdb"
    path.write_bytes(source.read_bytes())
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


def _read(path: Path, query: str) -> pd.DataFrame:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).df()


def _everything(path: Path) -> dict[str, pd.DataFrame]:
    return {name: _read(path, f"from results.{name} order by all") for name in schema.RESULTS_TABLES}


def test_fills_every_table_of_matching_with_one_run(done: Path) -> None:
    (run_id,) = _read(done, "select run_id from results.runs where stage = 'match'").run_id
    for name in MATCHING_TABLES:
        rows = _read(done, f"select distinct run_id, programme from results.{name}")
        assert rows.to_numpy().tolist() == [[run_id, PROGRAMME]], name


def test_every_outcome_is_matched_on_trends_and_the_pairs_refer_to_candidates(done: Path) -> None:
    matched = _read(done, "select distinct outcome from results.la_matches order by all").outcome
    assert list(matched) == [OUTCOME, SECOND]
    orphans = _read(
        done,
        "select * from results.la_pair_evidence as e anti join results.la_match_candidates as c on c.is_kept "
        "and c.outcome = e.outcome and c.treated_la_code = e.treated_la_code "
        "and c.candidate_la_code = e.comparator_la_code",
    )
    assert orphans.empty
    assert (
        len(_read(done, "from results.la_pair_evidence"))
        == 5 * _read(done, "select count(*) as n from results.la_match_candidates where is_kept").n.item()
    )


def test_an_outcome_whose_children_cannot_be_matched_does_not_lose_the_others(done: Path) -> None:
    weights = _read(done, "select distinct outcome from results.cem_weights")
    assert list(weights.outcome) == [OUTCOME]
    (note,) = _read(done, "select note from results.runs").note
    assert note.startswith(f"children not matched: {SECOND}: there is no fully observed child")


def test_the_report_says_whose_children_are_not_matched(done: Path, tmp_path: Path) -> None:
    report = match_programme(PROGRAMME, warehouse=_copy(done, tmp_path))
    (unmatched,) = report.children_unmatched
    assert unmatched.outcome == SECOND
    assert {match.outcome for match in report.matches} == {OUTCOME, SECOND}
    assert report.n_treated_matched > 0


def test_the_primary_outcome_without_children_is_refused(done: Path, tmp_path: Path) -> None:
    path = _copy(done, tmp_path, f"update marts.trial_outcomes set outcome = '{SECOND}'")
    before = _everything(path)
    with pytest.raises(CscError, match=f"{OUTCOME}: there is no fully observed child"):
        match_programme(PROGRAMME, warehouse=path)
    _assert_same(before, _everything(path))


def _assert_same(before: dict[str, pd.DataFrame], after: dict[str, pd.DataFrame]) -> None:
    for name, rows in before.items():
        pd.testing.assert_frame_equal(rows, after[name])


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "error", "status", "said"),
    [
        (NO_CANDIDATE, NoCandidateError, 10, "all 5 authorities: no authority is left as a candidate"),
        (MISSING_QUARTER, MissingQuarterError, 11, "it has no fully observed children in a quarter between"),
        (
            CONSTANT,
            ConstantSeriesError,
            12,
            "does any authority differ from another, so distances say nothing",
        ),
    ],
)
def test_each_kind_of_bad_input_has_its_message_and_status_and_leaves_the_last_good_run(
    done: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    statements: tuple[str, ...],
    error: type[CscError],
    status: int,
    said: str,
) -> None:
    path = _copy(done, tmp_path, *statements)
    before = _everything(path)
    assert len(before["runs"]) == 1
    with pytest.raises(error, match=said) as raised:
        match_programme(PROGRAMME, warehouse=path)
    assert raised.value.exit_status == status
    assert str(raised.value).startswith(
        f"{PROGRAMME}: no treated authority has a comparator for {OUTCOME}, so there is nothing to match."
    )
    monkeypatch.setattr(sys, "argv", ["csceval", "match", PROGRAMME, "--warehouse", str(path)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == status
    assert said in capsys.readouterr().err
    _assert_same(before, _everything(path))


def test_reasons_that_differ_are_each_named_with_their_authorities(done: Path, tmp_path: Path) -> None:
    first, *others = SITES
    path = _copy(
        done,
        tmp_path,
        *NO_CANDIDATE,
        "update marts.la_quarter_outcomes set n_children = 0, mean_value = null where quarter_start = '2018-10-01' "
        f"and la_code = '{first}'",
    )
    with pytest.raises(NoCandidateError) as raised:
        match_programme(PROGRAMME, warehouse=path)
    assert f"{first}: it has no fully observed children in a quarter" in str(raised.value)
    assert f"{', '.join(others)}: no authority is left as a candidate" in str(raised.value)


def test_bad_input_in_another_outcome_is_a_departure_and_no_error(done: Path, tmp_path: Path) -> None:
    path = _copy(done, tmp_path, f"{CONSTANT[0]} and outcome = '{SECOND}'")
    report = match_programme(PROGRAMME, warehouse=path)
    assert {match.outcome for match in report.matches} == {OUTCOME}
    reasons = {row.reason for row in report.departures if row.outcome == SECOND}
    assert all("does any authority differ" in reason for reason in reasons)
    assert report.children_unmatched == ()


def test_a_programme_without_a_primary_outcome_needs_one_matched_outcome(done: Path, tmp_path: Path) -> None:
    no_primary = f"update protocol.programmes set primary_outcome = null where programme = '{PROGRAMME}'"
    (tmp_path / "one").mkdir()
    (tmp_path / "none").mkdir()
    one = _copy(done, tmp_path / "one", no_primary, f"{CONSTANT[0]} and outcome = '{SECOND}'")
    assert match_programme(PROGRAMME, warehouse=one).n_treated_matched > 0
    none = _copy(done, tmp_path / "none", no_primary, *CONSTANT)
    # Outcomes without data lack their quarters, those with data are constant: the kinds differ.
    with pytest.raises(NoCandidateError) as raised:
        match_programme(PROGRAMME, warehouse=none)
    said = str(raised.value)
    assert f"all 5 authorities for {OUTCOME}, {SECOND}: in no quarter does any authority differ" in said
    assert "unauthorised_absence: no fully observed children in a quarter of the window" in said


# -- several programmes ------------------------------------------------------------------------------------------


@pytest.fixture
def with_failures() -> tuple[dict[str, CscError], Callable[[str, CscError], None]]:
    failures: dict[str, CscError] = {}
    return failures, failures.__setitem__


def test_a_programme_that_cannot_be_matched_does_not_hold_up_the_others(
    done: Path, tmp_path: Path, with_failures: tuple[dict[str, CscError], Callable[[str, CscError], None]]
) -> None:
    failures, on_failure = with_failures
    path = _copy(done, tmp_path)
    shares: list[float] = []
    reports = match_programmes(
        [OTHER_PROGRAMME, PROGRAMME],
        warehouse=path,
        on_failure=on_failure,
        on_progress=lambda _, share: shares.append(share),
    )
    assert [report.programme for report in reports] == [PROGRAMME]
    assert list(failures) == [OTHER_PROGRAMME]
    assert isinstance(failures[OTHER_PROGRAMME], MissingQuarterError)
    assert set(_read(path, "select programme from results.runs").programme) == {PROGRAMME}
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_without_a_place_for_failures_nothing_is_written(done: Path, tmp_path: Path) -> None:
    path = _copy(done, tmp_path)
    before = _everything(path)
    with pytest.raises(MissingQuarterError, match=OTHER_PROGRAMME):
        match_programmes([PROGRAMME, OTHER_PROGRAMME], warehouse=path)
    _assert_same(before, _everything(path))


def test_none_named_means_all_and_one_named_twice_is_matched_once(
    done: Path, tmp_path: Path, with_failures: tuple[dict[str, CscError], Callable[[str, CscError], None]]
) -> None:
    failures, on_failure = with_failures
    path = _copy(done, tmp_path)
    reports = match_programmes(warehouse=path, on_failure=on_failure)
    assert [report.programme for report in reports] == [PROGRAMME]
    assert set(failures) == {OTHER_PROGRAMME, "signs_of_safety"}
    assert len(match_programmes([PROGRAMME, PROGRAMME], warehouse=path)) == 1


def test_an_unknown_programme_is_refused_before_anything_is_matched(done: Path) -> None:
    with pytest.raises(SeedError, match="no programme 'family_valued'"):
        match_programmes([PROGRAMME, "family_valued"], warehouse=done, on_failure=lambda *_: None)


def test_the_command_prints_matches_departures_and_where_to_go_next(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _copy(done, tmp_path)
    monkeypatch.setattr(sys, "argv", ["csceval", "match", PROGRAMME, "--warehouse", str(path)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code in (0, None)
    said = capsys.readouterr().out
    assert f"Matches on trends, {OUTCOME}" in said
    assert "Not matched on trends" in said
    assert "cp_plan_duration_12m" in said
    assert f"Children not matched: {SECOND}: there is no fully observed child" in said
    assert f"csceval review {PROGRAMME}" in said
