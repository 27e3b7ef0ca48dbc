"""Planted neighbours: common factors in the risk of care, a comparator with each site's loadings, and nothing when off."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from csc_evaluation.errors import CscError
from csc_evaluation.project import read_seed_file
from csc_evaluation.synthetic import SynthesisConfig, synthesise
from csc_evaluation.synthetic.authorities import neighbours, programme_sites
from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.lives import GroupEffects, plant
from csc_evaluation.warehouse import readable

SMALL = SynthesisConfig(scale=0.05, seed=5, authorities=14, messiness=0.0, planted_neighbours=0.1)
BEFORE = "acaddfef52d994bd7558881c0a2bd7865b90720e31f21af1d2a339125859bccb"
"""Digest of the files of ``test_files_stay_as_they_were_where_nothing_is_planted``, made before planting was possible."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth's folder of a small England with planted neighbours."""
    return synthesise(SMALL, tmp_path_factory.mktemp("planted") / "england").truth_path.parent


def _read(folder: Path, name: str) -> pd.DataFrame:
    return pq.read_table(folder / f"planted_{name}.parquet").to_pandas()


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def test_files_stay_as_they_were_where_nothing_is_planted(tmp_path: Path) -> None:
    config = SynthesisConfig(
        scale=0.01, seed=3, authorities=("335", "928", "940"), first_year=2020, last_year=2022
    )
    summary = synthesise(config, tmp_path / "england")
    assert _digest(tmp_path / "england") == BEFORE
    assert [path.name for path in summary.truth_path.parent.iterdir()] == ["truth.parquet"]


def test_ids_of_raw_returns_stay_as_they_were_and_differ_where_something_is_planted(tmp_path: Path) -> None:
    off = SynthesisConfig(scale=0.002, authorities=("335",), first_year=2020, last_year=2020, format="raw")
    assert "planted" not in off.label
    ids = {}
    for name, config in (("off", off), ("on", replace(off, planted_neighbours=0.1))):
        warehouse = tmp_path / f"{name}.duckdb"
        synthesise(config, tmp_path / name, warehouse=warehouse)
        with readable(warehouse) as connection:
            ids[name] = {row[0] for row in connection.execute("select return_id from raw.returns").fetchall()}
    assert len(ids["off"]) == len(ids["on"]) > 0
    assert not ids["off"] & ids["on"]


def test_every_site_has_one_comparator_that_matching_could_choose() -> None:
    config = SynthesisConfig(planted_neighbours=0.1)
    england = neighbours(config, Calibration.load())
    structure = plant(config, Calibration.load(), england)
    assert structure is not None
    assert set(structure.pairs) == set(programme_sites(config.programme))
    comparators = list(structure.pairs.values())
    assert len(set(comparators)) == len(comparators)
    exclusions = read_seed_file("protocol/exclusions")
    barred = set(exclusions.loc[exclusions["programme"] == config.programme, "la_code"])
    assert not set(comparators) & (barred | set(structure.pairs))
    assert plant(replace(config, planted_neighbours=0.0), Calibration.load(), england) is None


def test_another_seed_plants_others() -> None:
    calibration = Calibration.load()
    pairs = []
    for seed in (1, 2):
        config = SynthesisConfig(seed=seed, planted_neighbours=0.1)
        structure = plant(config, calibration, neighbours(config, calibration))
        assert structure is not None
        pairs.append(structure.pairs)
    assert pairs[0] != pairs[1]


def test_a_number_of_authorities_holds_those_planted(planted: Path) -> None:
    generated = set(_read(planted, "quarters").la_code)
    assert len(generated) == 14
    pairs = _read(planted, "pairs")
    assert set(pairs.treated_la_code) | set(pairs.comparator_la_code) <= generated
    with pytest.raises(CscError, match="and those planted beside them"):
        synthesise(replace(SMALL, authorities=7), planted / "never")


def test_planted_pairs_share_loadings_and_nobody_else_does(planted: Path) -> None:
    loadings = _read(planted, "loadings").pivot(index="la_code", columns="factor", values="loading")
    pairs = _read(planted, "pairs")
    shared = {tuple(sorted(pair)) for pair in pairs.itertuples(index=False, name=None)}
    for first in loadings.index:
        for second in loadings.index[loadings.index > first]:
            is_equal = bool((loadings.loc[first] == loadings.loc[second]).all())
            assert is_equal == ((first, second) in shared)


def test_the_ratio_of_risk_is_level_and_loadings_times_factors_and_a_small_shock(planted: Path) -> None:
    quarters, loadings = _read(planted, "quarters"), _read(planted, "loadings")
    factors = _read(planted, "factors").pivot(index="quarter_start", columns="factor", values="factor_value")
    level_from = dict(
        _read(planted, "pairs")[["comparator_la_code", "treated_la_code"]].itertuples(index=False)
    )
    calibration = Calibration.load()
    shock_sd = calibration["planted_shock_sd"]
    n_checked = 0
    for code, rows in quarters.groupby("la_code"):
        level = GroupEffects.draw(SMALL, calibration, int(level_from.get(code, code))).care_level
        own = loadings[loadings.la_code == code].sort_values("factor").loading.to_numpy()
        expected = level + factors.loc[rows.quarter_start].to_numpy() @ own
        shocks = rows.risk_ratio.to_numpy() - expected
        # An AR(1) path of unit variance over some twenty quarters.
        assert np.abs(shocks).max() < 4.5 * shock_sd
        assert shocks.std() > 0.2 * shock_sd
        n_checked += len(rows)
    assert n_checked > 200


def test_outcomes_are_drawn_from_the_means_that_the_truth_records(planted: Path) -> None:
    truth = pq.read_table(planted / "truth.parquet").to_pandas()
    truth["quarter_start"] = pd.to_datetime(truth.index_date).dt.to_period("Q").dt.start_time.dt.date
    drawn = truth.groupby(["la_code", "quarter_start"]).y0.agg(["size", "sum"]).reset_index()
    both = drawn.merge(_read(planted, "quarters"), on=["la_code", "quarter_start"])
    assert (both["size"] == both.n_children).mean() > 0.95
    expected = both["size"] * both.mean_risk
    z = (both["sum"] - expected) / np.sqrt(expected * (1 - both.mean_risk))
    assert len(z) > 200
    assert abs(z.mean()) < 0.25
    assert z.std() == pytest.approx(1.1, abs=0.2)  # siblings are alike


def test_what_an_authority_gets_does_not_depend_on_which_others_are_generated(
    tmp_path: Path, planted: Path
) -> None:
    alone = synthesise(replace(SMALL, authorities=("335",)), tmp_path / "alone")
    of_all = _read(planted, "quarters")
    pd.testing.assert_frame_equal(
        _read(alone.truth_path.parent, "quarters"),
        of_all[of_all.la_code == "335"].reset_index(drop=True),
    )


def test_equal_configurations_give_equal_files(tmp_path: Path) -> None:
    config = replace(SMALL, scale=0.002, authorities=("335", "888"), last_year=2019)
    for name in ("a", "b"):
        synthesise(config, tmp_path / name)
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b")


@pytest.mark.parametrize("number", [-0.1, 1.5])
def test_refuses_loadings_that_are_no_share(number: float) -> None:
    with pytest.raises(CscError, match="planted neighbours is"):
        SynthesisConfig(planted_neighbours=number)
