"""The study of planted neighbours at a tiny size: its oracle is independent of the tool, and both rank alike."""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from csc_evaluation.project import project_dir
from csc_evaluation.synthetic.calibration import Calibration

CHOSEN = (
    "335",
    "888",
    "894",
    "212",
    "866",
    "342",
    "353",
    "357",
    "371",
    "380",
    "800",
    "815",
    "852",
    "873",
    "926",
)
"""The sites and ten others, of which the seeds exclude none."""


def _load() -> ModuleType:
    path = project_dir() / "benchmarks" / "planted_neighbours.py"
    spec = importlib.util.spec_from_file_location("planted_neighbours", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


study = _load()


@pytest.fixture(scope="module")
def england() -> Any:
    """Sizes and mixes of a few authorities at a tenth of England."""
    return study.collect(replace(study.config_of(1, 0.0), scale=0.1, authorities=CHOSEN))


@pytest.fixture(scope="module")
def found(england: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tool's matching of three draws, with their noisy means."""
    warehouse = study.Warehouse(tmp_path_factory.mktemp("study") / "w.duckdb", study.PROGRAMME)
    draws = []
    for seed in (1, 2, 3):
        drawn = study.draw(england, study.config_of(seed, 0.1), Calibration.load())
        draws.append(study.noisy(np.random.default_rng(seed), drawn.means, england.n_children))
    return draws, warehouse.match(england, draws, england.n_children)


def test_the_tool_ranks_every_candidate_as_the_naive_oracle_does(england: Any, found: Any) -> None:
    draws, matchings = found
    n_ranks = 0
    for means, matching in zip(draws, matchings, strict=True):
        ranks = study.tool_ranks(matching)
        for case in study.cases(england, study.PROGRAMME):
            candidates = study.candidates_of(case, england.n_children)
            order = study.ranked(case, means, candidates, england.codes)
            assert ranks[england.codes[case.treated]] == order
            n_ranks += len(order)
    assert n_ranks > 100


def test_the_tool_gives_the_distances_of_the_naive_oracle(england: Any, found: Any) -> None:
    draws, matchings = found
    for means, matching in zip(draws, matchings, strict=True):
        rows = matching.candidates.set_index(["treated_la_code", "candidate_la_code"])
        for case in study.cases(england, study.PROGRAMME):
            candidates = study.candidates_of(case, england.n_children)
            nearest = study.nearest_of(case, means, england.n_children, candidates)
            first = rows.loc[england.codes[case.treated]].query("distance_rank == 1").iloc[0]
            assert first.distance == pytest.approx(nearest.treated, rel=1e-12)
            assert first.expected_noise == pytest.approx(nearest.treated_noise, rel=1e-9)


def test_the_tools_placebos_are_the_nearest_distances_of_the_naive_oracle(england: Any, found: Any) -> None:
    draws, matchings = found
    n_compared = 0
    for means, matching in zip(draws, matchings, strict=True):
        placebos = matching.placebos[matching.placebos.evidence == "nearest_distance"]
        for case in study.cases(england, study.PROGRAMME):
            candidates = study.candidates_of(case, england.n_children)
            expected = study.nearest_of(case, means, england.n_children, candidates).others
            own = placebos[placebos.treated_la_code == england.codes[case.treated]]
            own = own.set_index("placebo_la_code").estimate
            codes = [england.codes[row] for row in candidates]
            assert sorted(own.index) == sorted(codes)
            np.testing.assert_allclose(own.loc[codes].to_numpy(dtype=float), expected, rtol=1e-12)
            n_compared += len(codes)
    assert n_compared > 100


@pytest.mark.parametrize(
    ("go_live", "first", "last", "n"),
    [
        (dt.date(2020, 9, 1), dt.date(2017, 4, 1), dt.date(2018, 10, 1), 7),
        (dt.date(2021, 2, 1), dt.date(2017, 7, 1), dt.date(2019, 4, 1), 8),
        (dt.date(2022, 4, 1), dt.date(2018, 10, 1), dt.date(2020, 7, 1), 8),
        (dt.date(2022, 3, 31), dt.date(2018, 10, 1), dt.date(2020, 7, 1), 8),
        (dt.date(2022, 3, 29), dt.date(2018, 7, 1), dt.date(2020, 4, 1), 8),
        (dt.date(2020, 4, 1), dt.date(2017, 4, 1), dt.date(2018, 7, 1), 6),
        (dt.date(2020, 3, 1), None, None, 0),
    ],
)
def test_the_oracles_window_is_that_of_the_definitions(
    go_live: dt.date, first: dt.date | None, last: dt.date | None, n: int
) -> None:
    window = study.window_of(go_live, 18)
    assert len(window) == n
    if window:
        assert (window[0], window[-1]) == (first, last)


def test_a_distance_worked_out_by_hand(england: Any) -> None:
    # Two candidates and a treated authority: z in the first quarter -1, 0, 1, in the second 0, -1, 1.
    case = study.Case(0, (0, 1), (1, 2))
    means = np.array([[0.1, 0.3], [0.2, 0.1], [0.3, 0.5]])
    assert study.ranked(case, means, [1, 2], ["T", "A", "B"]) == ["B", "A"]
    nearest = study.nearest_of(case, means, np.full((3, 2), 100), [1, 2])
    assert nearest.treated == pytest.approx(1.0)  # changes +1 and 0


def test_without_noise_the_informed_oracle_finds_the_planted_and_the_distance_most_of_them(
    england: Any,
) -> None:
    n_children = np.full_like(england.n_children, 10**8)
    n_informed = n_distance = n_cases = 0
    for seed in range(1, 41):
        drawn = study.draw(england, study.config_of(seed, 0.3), Calibration.load())
        for case in study.cases(england, study.PROGRAMME):
            planted = drawn.pairs[england.codes[case.treated]]
            if planted not in england.codes:
                continue
            candidates = study.candidates_of(case, n_children)
            n_cases += 1
            n_distance += study.ranked(case, drawn.means, candidates, england.codes)[0] == planted
            n_informed += (
                study.informed(case, drawn, england, drawn.means, n_children, candidates)[0] == planted
            )
    assert n_cases >= 10
    assert n_distance >= 0.9 * n_cases
    assert n_informed >= 0.9 * n_cases


def test_the_study_counts_cases_and_the_tool_reaches_the_oracle(england: Any, tmp_path: Path) -> None:
    (tally,) = study.study(
        england, scales=[4.0], loading_sd=0.3, n_replications=3, n_with_tool=2, folder=tmp_path
    )
    assert (tally.n_cases, tally.tool_cases, tally.tool_equals_oracle) == (15, 10, 10)
    assert tally.tool_first == tally.oracle_first_of_tool_cases
    assert tally.tool_kept == tally.oracle_kept_of_tool_cases
    assert tally.oracle_first <= tally.oracle_kept <= tally.n_planted_is_candidate


def test_of_equals_a_treated_authority_is_nearer_than_half_of_the_others_half_of_the_time(
    england: Any,
) -> None:
    same_size = replace(england, n_children=np.full_like(england.n_children, 200))
    found = study.placebo(same_size, scale=1.0, loading_sd=1e-9, n_replications=40, is_planted=False)
    assert found.n_cases == 200
    # Five sites of one draw share candidates: 40 independent draws give a standard error of at most 8 points.
    assert found.share_below_median == pytest.approx(0.5, abs=0.25)
    assert found.distance_of_true_trends < 0.25 * found.expected_noise
