"""Evidence on each pair and the distribution it is held against."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from csc_evaluation.matching.authorities import AuthorityMatching
from csc_evaluation.matching.windows import MatchingWindow
from support.la_quarters import PROGRAMMES, RandomQuarters, match_at, naive_window, random_quarters
from support.marts_fixture import OUTCOME, PROGRAMME

RELATIVE = 1e-9
NUMBERS = ["estimate", "std_error", "statistic", "df", "p_value", "share_as_extreme"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_quarters(
        tmp_path_factory.mktemp("evidence") / "w.duckdb", RandomQuarters(seed=5, share_missing_early=0.06)
    )


@pytest.fixture(scope="module")
def matching(world: Path) -> dict[str, AuthorityMatching]:
    return match_at(world)


def _rows(frame: pd.DataFrame, window: MatchingWindow) -> pd.DataFrame:
    return frame[(frame.outcome == window.outcome) & (frame.treated_la_code == window.site.la_code)]


def _window(matching: dict[str, AuthorityMatching], la_code: str, outcome: str = OUTCOME) -> MatchingWindow:
    return next(w for w in matching[PROGRAMME].windows if w.pair == (outcome, la_code))


def _changed(world: Path, folder: Path, *statements: str) -> Path:
    path = folder / "changed.duckdb"
    path.write_bytes(world.read_bytes())
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


def test_every_kept_pair_has_evidence_of_every_kind_once(matching: dict[str, AuthorityMatching]) -> None:
    for found in matching.values():
        kept = found.candidates[found.candidates.is_kept]
        assert len(kept) > 0
        wanted = {
            (*row, name)
            for row in kept[["outcome", "treated_la_code", "candidate_la_code"]].itertuples(index=False)
            for name in ("constant_gap", "distance", "leads", "placebo_4", "placebo_8")
        }
        have = found.evidence[["outcome", "treated_la_code", "comparator_la_code", "evidence"]]
        assert len(have) == len(wanted)
        assert set(have.itertuples(index=False, name=None)) == wanted
        is_computed = found.evidence.status == "computed"
        assert (found.evidence.status[~is_computed] == "not computable").all()
        assert found.evidence[~is_computed][NUMBERS].isna().all(axis=None)
        assert found.evidence[~is_computed].note.notna().all()
        assert found.evidence[is_computed].estimate.notna().all()


def test_placebo_estimates_agree_with_loops_and_are_missing_just_where_a_side_is_short(
    world: Path, matching: dict[str, AuthorityMatching]
) -> None:
    n_computed = n_short = 0
    for programme, found in matching.items():
        for window in found.windows[::4]:
            naive = naive_window(world, programme, window)
            rows = _rows(found.evidence, window)
            for row in rows[rows.evidence.str.startswith("placebo")].itertuples():
                date = window.placebo_date(int(row.evidence.removeprefix("placebo_")))
                assert row.placebo_date.date() == date
                before, after, estimate, error = naive.placebo(
                    window.site.la_code, row.comparator_la_code, date
                )
                assert (row.n_quarters_before, row.n_quarters_after) == (before, after)
                if before < 4 or after < 4:
                    n_short += 1
                    assert row.status == "not computable"
                    assert row.note.startswith(
                        f"{before} full quarters of data before the placebo date and {after} from"
                    )
                    continue
                n_computed += 1
                assert row.estimate == pytest.approx(estimate, rel=RELATIVE, abs=1e-14)
                assert row.std_error == pytest.approx(error, rel=RELATIVE)
                assert row.statistic == pytest.approx(estimate / error, rel=RELATIVE, abs=1e-12)
                assert row.p_value == pytest.approx(2 * stats.norm.sf(abs(estimate / error)), rel=1e-7)
    assert n_computed > 100
    assert n_short > 50


def test_constant_gaps_agree_with_loops(world: Path, matching: dict[str, AuthorityMatching]) -> None:
    for programme, found in matching.items():
        for window in found.windows[::6]:
            naive = naive_window(world, programme, window)
            rows = _rows(found.evidence, window)
            rows = rows[rows.evidence == "constant_gap"]
            assert len(rows) >= 5
            for row in rows.itertuples():
                mean, error, statistic = naive.constant_gap(window.site.la_code, row.comparator_la_code)
                assert row.df == len(window.quarters) - 1
                assert row.estimate == pytest.approx(mean, rel=RELATIVE)
                assert row.std_error == pytest.approx(error, rel=RELATIVE)
                assert row.statistic == pytest.approx(statistic, rel=1e-8)
                assert row.p_value == pytest.approx(stats.chi2.sf(statistic, row.df), rel=1e-6)


def test_the_placebo_distribution_agrees_with_loops_over_every_authority_as_if_treated(
    world: Path, matching: dict[str, AuthorityMatching]
) -> None:
    for programme, found in matching.items():
        for window in found.windows[::6]:
            naive = naive_window(world, programme, window)
            rows = _rows(found.placebos, window)
            nearest = (
                rows[rows.evidence == "nearest_distance"].set_index("placebo_la_code").comparator_la_code
            )
            expected = {}
            for code, other in nearest.items():
                for quarters in (4, 8):
                    before, after, estimate, error = naive.placebo(code, other, window.placebo_date(quarters))
                    if before >= 4 and after >= 4:
                        expected[f"placebo_{quarters}", code] = (estimate, error, estimate / error)
                expected["constant_gap", code] = naive.constant_gap(code, other)
            statistics = rows[rows.evidence != "nearest_distance"]
            assert set(zip(statistics.evidence, statistics.placebo_la_code, strict=True)) == set(expected)
            for row in statistics.itertuples():
                assert row.comparator_la_code == nearest[row.placebo_la_code]
                assert (row.estimate, row.std_error, row.statistic) == pytest.approx(
                    expected[row.evidence, row.placebo_la_code], rel=1e-8, abs=1e-13
                )


def test_shares_count_the_placebo_authorities_that_show_at_least_as_much(
    matching: dict[str, AuthorityMatching],
) -> None:
    for found in matching.values():
        for window in found.windows[::3]:
            placebos = _rows(found.placebos, window)
            for row in _rows(found.evidence, window).itertuples():
                name = "nearest_distance" if row.evidence == "distance" else row.evidence
                others = placebos[placebos.evidence == name]
                assert row.n_placebos == len(others)
                if row.status != "computed" or others.empty:
                    assert np.isnan(row.share_as_extreme)
                elif row.evidence == "constant_gap":
                    assert row.share_as_extreme == (others.statistic >= row.statistic).mean()
                else:
                    assert row.share_as_extreme == (others.estimate.abs() >= abs(row.estimate)).mean()


def test_a_placebo_needs_four_quarters_on_either_side_and_no_more(tmp_path: Path) -> None:
    """Walsall has seven quarters before its cut-off, Lancashire nine, Telford and Wrekin ten or more."""
    matching = match_at(random_quarters(tmp_path / "w.duckdb", RandomQuarters(seed=8)), (PROGRAMME,))

    def sides(la_code: str) -> dict[str, tuple[str, int, int]]:
        rows = _rows(matching[PROGRAMME].evidence, _window(matching, la_code))
        rows = rows[rows.evidence.str.startswith("placebo")].drop_duplicates("evidence")
        return {
            row.evidence: (row.status, row.n_quarters_before, row.n_quarters_after)
            for row in rows.itertuples()
        }

    # Eight quarters before Walsall's cut-off lies before the data: all seven are after it.
    assert sides("335") == {"placebo_4": ("not computable", 3, 4), "placebo_8": ("not computable", 0, 7)}
    assert sides("888") == {"placebo_4": ("computed", 5, 4), "placebo_8": ("not computable", 1, 8)}
    assert sides("212") == {"placebo_4": ("computed", 8, 4), "placebo_8": ("computed", 4, 8)}


def test_a_placebo_by_hand(world: Path, tmp_path: Path) -> None:
    """Treated 0.10 then 0.16, comparator 0.08 then 0.09: a placebo effect of 0.05; errors 0.02 and 0.01 in each quarter."""
    window = _window(match_at(world, (PROGRAMME,)), "888")
    date = window.placebo_date(4)
    assert len(window.earlier_quarters) + len(window.quarters) == 9
    path = _changed(
        world,
        tmp_path,
        "delete from marts.la_quarter_outcomes where la_code not in ('888', '202', '203')",
        "update marts.la_quarter_outcomes set n_children = 100",
        f"update marts.la_quarter_outcomes set standard_error = 0.02, mean_value = "
        f"case when quarter_start < '{date}' then 0.10 else 0.16 end where la_code = '888'",
        f"update marts.la_quarter_outcomes set standard_error = 0.01, mean_value = "
        f"case when quarter_start < '{date}' then 0.08 else 0.09 end where la_code = '202'",
        # Something must differ within the sides, or there is nothing to match on.
        "update marts.la_quarter_outcomes set standard_error = 0.01, mean_value = 0.1 + month(quarter_start) / 100.0 "
        "where la_code = '203'",
    )
    found = match_at(path, (PROGRAMME,))[PROGRAMME]
    rows = _rows(found.evidence, window)
    (row,) = rows[(rows.evidence == "placebo_4") & (rows.comparator_la_code == "202")].itertuples()
    assert (row.n_quarters_before, row.n_quarters_after) == (5, 4)
    assert row.estimate == pytest.approx(0.05)
    # Five quarters before and four after: variances of means 0.0004 / 5 + 0.0004 / 4 and a quarter of that.
    assert row.std_error == pytest.approx(np.sqrt(1.25 * 0.0004 * (1 / 5 + 1 / 4)))
    assert row.statistic == pytest.approx(0.05 / 0.015)
    assert row.p_value == pytest.approx(2 * stats.norm.sf(10 / 3))


def test_means_are_weighted_by_children(world: Path, tmp_path: Path) -> None:
    window = _window(match_at(world, (PROGRAMME,)), "212")
    last = window.quarters[-1]
    is_pair = f"outcome = '{OUTCOME}' and la_code in ('212', '202')"
    path = _changed(
        world,
        tmp_path,
        f"update marts.la_quarter_outcomes set n_children = 100, mean_value = 0.1, standard_error = 0.01 where {is_pair}",
        # The last quarter holds 700 of the 1,000 children after the date and a mean that is 0.1 higher.
        f"update marts.la_quarter_outcomes set n_children = 700, mean_value = 0.2 "
        f"where outcome = '{OUTCOME}' and la_code = '212' and quarter_start = '{last}'",
        "delete from protocol.parameters where parameter = 'matching_candidates_kept'",
        "insert into protocol.parameters values ('*', 'matching_candidates_kept', '100', 'authorities', 'false', 't')",
    )
    rows = _rows(match_at(path, (PROGRAMME,))[PROGRAMME].evidence, window)
    (row,) = rows[(rows.evidence == "placebo_4") & (rows.comparator_la_code == "202")].itertuples()
    assert row.estimate == pytest.approx(0.07)
    treated_after = (3 * 100**2 + 700**2) * 0.01**2 / 1000**2
    assert row.std_error == pytest.approx(np.sqrt(treated_after + 0.01**2 * (1 / 8 + 1 / 8 + 1 / 4)))


def test_placebo_dates_are_named_and_moved_by_the_seed(world: Path, tmp_path: Path) -> None:
    path = _changed(
        world,
        tmp_path,
        "update protocol.parameters set parameter_value = '5' where parameter = 'placebo_quarters_first'",
        "update protocol.parameters set parameter_value = '2' where parameter = 'placebo_quarters_min'",
    )
    found = match_at(path, (PROGRAMME,))[PROGRAMME]
    assert set(found.evidence.evidence) == {"placebo_5", "placebo_8", "constant_gap", "distance", "leads"}
    window = _window({PROGRAMME: found}, "335")
    rows = _rows(found.evidence, window)
    (date,) = set(rows[rows.evidence == "placebo_5"].placebo_date.dt.date)
    assert date == dt.date(2017, 10, 1)
    assert (rows[rows.evidence == "placebo_5"].n_quarters_after == 5).all()


def test_a_quarter_without_sampling_error_leaves_the_gap_not_computable(
    world: Path, tmp_path: Path, matching: dict[str, AuthorityMatching]
) -> None:
    window = _window(matching, "335")
    kept = _rows(matching[PROGRAMME].candidates, window)[lambda rows: rows.is_kept].candidate_la_code.iloc[0]
    path = _changed(
        world,
        tmp_path,
        f"update marts.la_quarter_outcomes set standard_error = 0 where outcome = '{OUTCOME}' "
        f"and la_code in ('335', '{kept}') and quarter_start = '{window.quarters[2]}'",
    )
    rows = _rows(match_at(path, (PROGRAMME,))[PROGRAMME].evidence, window)
    status = rows[rows.evidence == "constant_gap"].set_index("comparator_la_code").status
    # With any other comparator the gap has that one's error.
    assert status[kept] == "not computable"
    assert (status.drop(kept) == "computed").all()
    assert len(status) > 1


def test_a_treated_authority_whose_own_series_is_constant_is_matched_and_flagged(
    world: Path, tmp_path: Path
) -> None:
    path = _changed(
        world,
        tmp_path,
        f"update marts.la_quarter_outcomes set mean_value = 0.1 where outcome = '{OUTCOME}' and la_code = '888'",
    )
    matching = match_at(path, (PROGRAMME,))
    assert "888" in {match.treated_la_code for match in matching[PROGRAMME].matches_of(OUTCOME)}
    flag = "the treated authority has the same mean in every quarter of the window"
    for window in matching[PROGRAMME].windows:
        notes = _rows(matching[PROGRAMME].evidence, window).note.fillna("")
        assert notes.str.contains(flag).all() == (window.pair == (OUTCOME, "888"))
        assert notes.str.contains(flag).any() == (window.pair == (OUTCOME, "888"))


def test_programmes_matched_together_are_matched_as_each_alone(
    world: Path, matching: dict[str, AuthorityMatching]
) -> None:
    for programme in PROGRAMMES:
        (alone,) = match_at(world, (programme,)).values()
        together = matching[programme]
        for name in ("candidates", "series", "evidence", "placebos"):
            pd.testing.assert_frame_equal(getattr(alone, name), getattr(together, name), check_exact=True)
        assert (alone.matches, alone.departures) == (together.matches, together.departures)
