"""National figures of a synthetic England against the published ones, within stated tolerances."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from csc_evaluation.project import read_seed_file
from csc_evaluation.synthetic import SynthesisConfig, SynthesisSummary, synthesise
from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.measure import Comparison, mean_risk_without_programme, measure

SCALE = 0.03

# Measure (or its beginning) to the tolerance: relative for counts and rates, absolute for shares. They allow for
# the sampling error at this scale (some 19,000 referrals, 950 entries to care a year) beside the error of calibration.
TOLERANCES = {
    "referrals": 0.05,
    "rereferral_share": 0.025,
    "nfa_share": 0.015,
    "not_in_need_share": 0.02,
    "cin_episodes_at_31_march": 0.10,
    "cin_ended_share": 0.06,
    "cin_open_share": 0.08,
    "section47_per_10000_children": 0.08,
    "initial_conferences": 0.12,
    "cp_plans_started": 0.10,
    "cp_plans_at_31_march": 0.12,
    "cp_plan_share": 0.06,
    "second_plan_share": 0.035,
    "episodes_with_factors": 0.10,
    "factor_share": 0.03,
    "cla_started": 0.12,
    "cla_ceased": 0.15,
    "cla_at_31_march": 0.10,
    "cla_ceased_share": 0.07,
    "cla_placement_share": 0.06,
    "cla_three_or_more_placements_share": 0.04,
    "uasc_at_31_march": 0.25,
    "unauthorised_absence_share": 0.02,
    "authorised_absence_share": 0.02,
    "sessions_possible_per_pupil": 0.04,
    "free_meals_share": 0.03,
    "disabled_share": 0.02,
    "population_share": 0.06,
    "care_leavers_17_18_neet_share": 0.06,
    "oc2_sdq_mean": 0.08,
    "oc2": 0.06,
}


def tolerance(measure_name: str) -> float:
    fitting = [name for name in TOLERANCES if measure_name.startswith(name)]
    assert fitting, f"no tolerance stated for {measure_name}"
    return TOLERANCES[max(fitting, key=len)]


@pytest.fixture(scope="module")
def england(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Comparison], SynthesisSummary]:
    folder: Path = tmp_path_factory.mktemp("england")
    config = SynthesisConfig(
        scale=SCALE, seed=1, first_year=2019, last_year=2022, messiness=0.0, format="raw", effect=0.0
    )
    summary = synthesise(config, folder / "raw", warehouse=folder / "england.duckdb")
    return measure(folder / "england.duckdb", scale=SCALE), summary


def test_national_figures_lie_within_their_tolerances(
    england: tuple[list[Comparison], SynthesisSummary],
) -> None:
    comparisons, _ = england
    off = [row for row in comparisons if abs(row.difference) > tolerance(row.measure)]
    assert off == []
    measured = {row.measure for row in comparisons}
    assert len(measured) > 90
    for name in TOLERANCES:
        assert any(found.startswith(name) for found in measured), f"{name} was not measured"


def test_the_outcome_without_the_programme_has_its_base_rate(
    england: tuple[list[Comparison], SynthesisSummary],
) -> None:
    _, summary = england
    assert mean_risk_without_programme(summary) == pytest.approx(
        Calibration.load()["care_risk_base"], abs=0.006
    )


def test_targets_name_their_source() -> None:
    seed = read_seed_file("reference/synthetic_calibration")
    assert not seed["source"].isna().any()
    assert not seed.duplicated(["measure", "period"]).any()


@pytest.mark.reference
def test_targets_equal_the_published_files(reference_dir: Path) -> None:
    published = pd.read_csv(
        reference_dir / "dfe_published" / "c1_children_in_need_referrals_and_rereferrals_2013_to_2025.csv",
        dtype=str,
    )
    national = published[published["geographic_level"] == "National"].set_index("time_period")
    calibration = Calibration.load()
    for year, row in national.iterrows():
        n = float(row["referral_count"])
        assert calibration.target("referrals", int(str(year))) == n
        for measure_name, column in (
            ("rereferral_share", "rereferral_count"),
            ("nfa_share", "no_further_action_count"),
            ("not_in_need_share", "not_in_need_count"),
        ):
            assert calibration.target(measure_name, int(str(year))) == pytest.approx(
                float(row[column]) / n, abs=1e-4
            )
    looked_after = pd.read_csv(
        reference_dir / "dfe_published" / "cla_number_and_rate_per_10k_children.csv",
        dtype=str,
        encoding="utf-8-sig",
    )
    national = looked_after[looked_after["geographic_level"] == "National"]
    names = {
        "Children starting to be looked after each year": "cla_started",
        "Children looked after on 31 March each year": "cla_at_31_march",
        "Children ceasing to be looked after each year": "cla_ceased",
    }
    for row in national.itertuples():
        assert calibration.target(names[str(row.population_type)], int(str(row.time_period))) == float(
            str(row.children_count)
        )
