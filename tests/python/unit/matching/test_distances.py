"""Distances, ranks and nearest neighbours of all programmes at once, against loops over plain arrays."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from csc_evaluation.matching.authorities import AuthorityMatching
from csc_evaluation.matching.windows import MatchingWindow
from support.la_quarters import (
    PROGRAMMES,
    RandomQuarters,
    match_at,
    naive_window,
    random_quarters,
    root_mean_square,
)

RELATIVE = 1e-10


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_quarters(tmp_path_factory.mktemp("distances") / "w.duckdb", RandomQuarters(seed=3))


@pytest.fixture(scope="module")
def matching(world: Path) -> dict[str, AuthorityMatching]:
    return match_at(world)


def _rows(frame: pd.DataFrame, window: MatchingWindow) -> pd.DataFrame:
    return frame[(frame.outcome == window.outcome) & (frame.treated_la_code == window.site.la_code)]


def _windows(matching: dict[str, AuthorityMatching]) -> list[tuple[str, MatchingWindow, pd.DataFrame]]:
    return [
        (programme, window, _rows(found.candidates, window)[lambda rows: rows.is_candidate])
        for programme, found in matching.items()
        for window in found.windows
        if window.quarters
    ]


def test_every_programme_outcome_and_site_has_its_window(matching: dict[str, AuthorityMatching]) -> None:
    assert set(matching) == set(PROGRAMMES)
    windows = _windows(matching)
    assert len(windows) > 90
    assert all(len(rows) >= 10 for _, _, rows in windows)


def test_distances_on_changes_levels_and_both_agree_with_loops(
    world: Path, matching: dict[str, AuthorityMatching]
) -> None:
    for programme, window, rows in _windows(matching):
        treated, candidates = window.site.la_code, sorted(rows.candidate_la_code)
        z = naive_window(world, programme, window).z([*candidates, treated])
        by_code = rows.set_index("candidate_la_code")
        for code in candidates:
            changes = root_mean_square(np.diff(z[treated]) - np.diff(z[code]))
            levels = root_mean_square(z[treated] - z[code])
            assert by_code.distance[code] == pytest.approx(changes, rel=RELATIVE)
            assert by_code.distance_levels[code] == pytest.approx(levels, rel=RELATIVE)
            both = np.sqrt((changes**2 + levels**2) / 2)
            assert by_code.distance_both[code] == pytest.approx(both, rel=RELATIVE)


def test_expected_noise_agrees_with_loops(world: Path, matching: dict[str, AuthorityMatching]) -> None:
    for programme, window, rows in _windows(matching)[::7]:
        treated, candidates = window.site.la_code, sorted(rows.candidate_la_code)
        naive = naive_window(world, programme, window)
        y = np.array([[naive.means[c][q][1] for q in naive.quarters] for c in [*candidates, treated]])
        sd = y.std(axis=0, ddof=1)

        def variance(code: str, naive=naive, sd=sd) -> np.ndarray:
            noise = (np.array([naive.means[code][q][2] for q in naive.quarters]) / sd) ** 2
            return noise[1:] + noise[:-1]

        for code, noise in zip(rows.candidate_la_code, rows.expected_noise, strict=True):
            assert noise == pytest.approx(np.sqrt((variance(code) + variance(treated)).mean()), rel=RELATIVE)


@pytest.mark.parametrize(
    ("distance", "rank"),
    [("distance", "distance_rank"), ("distance_levels", "rank_levels"), ("distance_both", "rank_both")],
)
def test_ranks_run_from_one_by_distance_then_code(
    matching: dict[str, AuthorityMatching], distance: str, rank: str
) -> None:
    for _, _, rows in _windows(matching):
        ordered = rows.sort_values([distance, "candidate_la_code"])
        assert list(ordered[rank]) == list(range(1, len(rows) + 1))


def test_each_candidates_nearest_agrees_with_loops_over_all_pairs(
    world: Path, matching: dict[str, AuthorityMatching]
) -> None:
    """As if it were treated: z over the candidates alone, the treated authority left out."""
    for programme, window, rows in _windows(matching)[::5]:
        candidates = sorted(rows.candidate_la_code)
        z = naive_window(world, programme, window).z(candidates)
        placebos = _rows(matching[programme].placebos, window)
        found = placebos[placebos.evidence == "nearest_distance"].set_index("placebo_la_code")
        assert sorted(found.index) == candidates
        for code in candidates:
            others = [
                (root_mean_square(np.diff(z[code]) - np.diff(z[other])), other)
                for other in candidates
                if other != code
            ]
            distance, nearest = min(others)
            assert found.comparator_la_code[code] == nearest
            assert found.estimate[code] == pytest.approx(distance, rel=RELATIVE)


def test_the_series_goes_back_to_the_start_of_the_data_with_z_in_the_window_alone(
    world: Path, matching: dict[str, AuthorityMatching]
) -> None:
    for programme, window, candidates in _windows(matching):
        rows = _rows(matching[programme].series, window)
        quarters = pd.to_datetime(rows.quarter_start).dt.date
        assert sorted(set(quarters)) == [*window.earlier_quarters, *window.quarters]
        assert (quarters.isin(window.quarters) == rows.is_in_window).all()
        assert (rows.z_value.notna() == rows.is_in_window).all()
        assert (rows.z_change.notna() == rows.is_in_distance).all()
        assert (rows.is_in_distance == quarters.isin(window.quarters[1:])).all()
        assert set(rows.la_code) == {*candidates.candidate_la_code, window.site.la_code}
    assert {len(window.earlier_quarters) for _, window, _ in _windows(matching)} >= {0, 1, 6}


def test_like_series_rank_by_authority_code(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "alike.duckdb"
    path.write_bytes(world.read_bytes())
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "update marts.la_quarter_outcomes as t set mean_value = s.mean_value "
            "from (select * from marts.la_quarter_outcomes where la_code = '205') as s "
            "where t.la_code in ('302', '203') and t.programme = s.programme and t.outcome = s.outcome "
            "and t.quarter_start = s.quarter_start"
        )
    (found,) = match_at(path, PROGRAMMES[:1]).values()
    for window in found.windows:
        rows = _rows(found.candidates, window).set_index("candidate_la_code")
        alike = rows.loc[["203", "205", "302"]]
        assert alike.distance.nunique() == 1
        assert list(alike.distance_rank - alike.distance_rank.iloc[0]) == [0, 1, 2]
        placebos = _rows(found.placebos, window)
        nearest = placebos[placebos.evidence == "nearest_distance"].set_index("placebo_la_code")
        # At distance zero from two others, each takes the first by code.
        assert list(nearest.comparator_la_code[["203", "205", "302"]]) == ["205", "203", "203"]
        assert (nearest.estimate[["203", "205", "302"]] == 0).all()


def test_one_candidate_is_matched_and_has_no_placebos(tmp_path: Path) -> None:
    path = random_quarters(tmp_path / "one.duckdb", RandomQuarters(seed=2, others=("202",)))
    (found,) = match_at(path, PROGRAMMES[:1]).values()
    assert {match.comparator_la_code for match in found.matches} == {"202"}
    assert len(found.matches) == len(found.windows)
    assert found.placebos.empty
    assert (found.evidence.n_placebos == 0).all()
    assert found.evidence.share_as_extreme.isna().all()
