"""A whole run on simulated marts: what is written, what is refused, and that it repeats to the last digit."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from csc_evaluation import schema
from csc_evaluation.errors import CscError, SeedError, WarehouseError
from csc_evaluation.estimation import results
from csc_evaluation.estimation.run import RunReport, run_programme
from csc_evaluation.matching.run import match_programme
from support.marts_fixture import OUTCOME, PROGRAMME, SITES, World, write_build, write_warehouse

COUNTED = [name for name in schema.RESULTS_TABLES if name != "runs"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_warehouse(tmp_path_factory.mktemp("run") / "w.duckdb", World(seed=6))


@pytest.fixture(scope="module")
def done(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunReport]:
    path = tmp_path_factory.mktemp("done") / "done.duckdb"
    path.write_bytes(world.read_bytes())
    return path, run_programme(PROGRAMME, warehouse=path, command="test")


def _copy(world: Path, folder: Path, *statements: str) -> Path:
    path = folder / "changed.duckdb"
    path.write_bytes(world.read_bytes())
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


def _read(path: Path, query: str) -> pd.DataFrame:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).df()


def _n_rows(path: Path) -> dict[str, int]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return {
            name: connection.execute(f"select count(*) from results.{name}").fetchone()[0]
            for name in schema.RESULTS_TABLES
        }


# -- what a run finds ------------------------------------------------------------------------------------------


def test_estimate_agrees_with_a_formula_fit_on_single_children(done: tuple[Path, RunReport]) -> None:
    path, report = done
    rows = _read(
        path,
        f"""
        select events.*, outcomes.value as y, weights.weight
        from results.cem_weights as weights
        inner join marts.index_events as events using (child_id, sequence)
        inner join marts.trial_outcomes as outcomes using (child_id, sequence)
        where weights.run_id = '{report.run_id}' order by child_id
        """,
    )
    rows["treated"] = rows.is_treated.astype(float)
    rows["ethnicity"] = rows.ethnicity.fillna("missing")
    formula = (
        "y ~ treated + C(la_code) + C(financial_year) + C(gender) + age_at_index + C(ethnicity) + is_disabled "
        "+ C(fsm_regression) + is_uasc + n_previous_plans + la_share_fsm + la_share_white_british + has_other_programme"
    )
    for column in ("is_disabled", "is_uasc", "has_other_programme"):
        rows[column] = rows[column].astype(float)
    fit = smf.wls(formula, rows, weights=rows.weight).fit(
        cov_type="cluster", cov_kwds={"groups": rows.la_code.astype("category").cat.codes}, use_t=True
    )
    registered = next(row for row in report.estimates if row.inference == "cr1_t")
    assert registered.estimate == pytest.approx(fit.params["treated"], rel=1e-8)
    assert registered.n_children == len(rows)
    # Collinear columns aside K is the same; the correction counts independent columns.
    n, k, g = len(rows), np.linalg.matrix_rank(fit.model.exog), rows.la_code.nunique()
    theirs = fit.bse["treated"] * np.sqrt((n - fit.model.exog.shape[1]) / (n - k))
    assert registered.std_error == pytest.approx(theirs, rel=1e-6)
    assert registered.df == g - 1
    before = rows[rows.is_treated_authority & ~rows.is_treated]
    assert registered.baseline_mean == pytest.approx(np.average(before.y, weights=before.weight))


def test_both_inferences_are_stored_and_the_seeds_choice_is_the_headline(
    done: tuple[Path, RunReport],
) -> None:
    path, report = done
    stored = _read(path, "select * from results.estimates where specification = 'cem_weighted_ls'").set_index(
        "inference"
    )
    assert set(stored.index) == {"cr1_t", "cr2_satterthwaite"}
    assert stored.is_headline.to_dict() == {"cr1_t": False, "cr2_satterthwaite": True}
    assert set(stored.term) == {"treated"}
    assert stored.estimate.nunique() == 1
    assert report.headline.inference == "cr2_satterthwaite"
    assert stored.loc["cr2_satterthwaite", "std_error"] == report.headline.std_error
    assert report.headline.note == "unreviewed"
    assert report.is_unreviewed
    assert report.headline.n_treated_clusters == len(SITES)


def test_each_way_of_matching_is_a_specification_with_its_own_estimate(
    done: tuple[Path, RunReport],
) -> None:
    path, report = done
    stored = _read(
        path, "select * from results.estimates where inference = 'cr2_satterthwaite' order by specification"
    )
    main = {match.comparator_la_code for match in report.matches}
    others = {
        f"match_{name}"
        for name in ("nearest_1", "nearest_2", "nearest_3", "nearest_on_levels", "nearest_on_both")
    }
    others |= {"match_synthetic_control"} | {f"match_leave_one_out_without_{code}" for code in main}
    assert set(stored.specification) == {"cem_weighted_ls"} | others
    assert stored[stored.is_headline].specification.tolist() == ["cem_weighted_ls"]
    by_name = stored.set_index("specification")
    # Nobody has reviewed: the nearest is the main match, and must give the very same number.
    assert by_name.estimate["match_nearest_1"] == report.headline.estimate
    assert by_name.n_clusters["match_nearest_3"] > by_name.n_clusters["match_nearest_1"]
    pairs = _read(path, "select * from results.la_match_variants").set_index("match_variant")
    third = pairs.loc["nearest_3"]
    assert third.groupby("treated_la_code").distance_rank.max().eq(3).all()
    for code in main:
        assert code not in set(pairs.loc[[f"leave_one_out:without_{code}"]].comparator_la_code)
    weights = pairs.loc["synthetic_control"].groupby("treated_la_code").comparator_weight.sum()
    assert weights.to_numpy() == pytest.approx(1.0)


def test_specifications_can_be_chosen_and_an_unknown_one_is_refused(world: Path, tmp_path: Path) -> None:
    path = _copy(world, tmp_path)
    with pytest.raises(
        CscError, match=r"'nearest' is no specification of family_safeguarding; .* match_nearest_2"
    ):
        run_programme(PROGRAMME, warehouse=path, specifications=["nearest"])
    assert set(_n_rows(path).values()) == {0}
    run_programme(PROGRAMME, warehouse=path, specifications=["match_nearest_2"])
    stored = _read(path, "select distinct specification from results.estimates order by all")
    assert stored.specification.tolist() == ["cem_weighted_ls", "match_nearest_2"]


def test_one_comparator_for_all_groups_is_flagged(world: Path, tmp_path: Path) -> None:
    path = _copy(world, tmp_path)
    with duckdb.connect(str(path)) as connection:
        # One authority moves exactly as each treated one is compared: all others are excluded.
        connection.execute(
            "insert into protocol.exclusions by name select 'family_safeguarding' as programme, la_code, 'test' as reason "
            "from reference.local_authorities where la_code not in ('202', '335', '888', '894', '212', '866')"
        )
    report = run_programme(PROGRAMME, warehouse=path, specifications=["cem_weighted_ls"])
    row = next(row for row in report.diagnostics if row.diagnostic == "comparator_authorities")
    assert (row.statistic, row.is_flagged) == (1, True)
    assert "p-values cannot be relied on" in row.meaning


def test_a_run_fills_every_table_it_owns_under_its_run_id(done: tuple[Path, RunReport]) -> None:
    path, report = done
    for name, n_rows in _n_rows(path).items():
        assert n_rows > 0, name
    run = _read(path, "select * from results.latest_runs").iloc[0]
    assert (run.run_id, run.stage, run.status, run.command) == (report.run_id, "estimate", "complete", "test")
    assert run.ended_at >= run.started_at
    assert len(run.input_hash) == len(run.seeds_hash) == 64


def test_the_flow_of_children_adds_up(done: tuple[Path, RunReport]) -> None:
    path, report = done
    flow = _read(path, "select * from results.sample_flow")
    steps = flow[flow.step.isin(["in matched groups", "matched"])].pivot(
        index="arm", columns="step", values="n_children"
    )
    no_match = flow[flow.reason == "no child of the other arm in its stratum"].set_index("arm").n_children
    assert (steps["in matched groups"] - no_match == steps["matched"]).all()
    assert steps["matched"].sum() == report.n_children
    outside = flow[flow.reason == "authority in no matched group"].n_children.sum()
    found = flow[flow.step == "referrals found"].n_children.sum()
    assert outside + steps["in matched groups"].sum() == found


def test_headline_sentence_carries_effect_interval_and_detectable_effect(
    done: tuple[Path, RunReport],
) -> None:
    _, report = done
    assert f"{100 * report.headline.estimate:+.2f} percentage points" in report.headline_sentence
    assert "95% interval" in report.headline_sentence
    assert "with a probability of 80%" in report.headline_sentence


def test_a_rerun_gives_the_same_numbers_to_the_last_digit_and_overwrites_nothing(
    world: Path, tmp_path: Path
) -> None:
    path = _copy(world, tmp_path)
    first = run_programme(PROGRAMME, warehouse=path)
    second = run_programme(PROGRAMME, warehouse=path)
    assert first.run_id != second.run_id
    for name in COUNTED:
        left, right = (
            _read(path, f"select * exclude (run_id) from results.{name} where run_id = '{run}' order by all")
            for run in (first.run_id, second.run_id)
        )
        pd.testing.assert_frame_equal(left, right, check_exact=True)
    hashes = _read(path, "select distinct seeds_hash, input_hash, code_version from results.runs")
    assert len(hashes) == 1
    assert list(_read(path, "select run_id from results.latest_runs").run_id) == [second.run_id]


def test_input_hash_changes_with_a_single_value(world: Path, tmp_path: Path) -> None:
    import ibis

    path = _copy(
        world,
        tmp_path,
        "update marts.trial_outcomes set value = 1 - value where child_id = (select min(child_id) from marts.trial_outcomes)",
    )
    hashes = []
    for file in (world, path):
        backend = ibis.duckdb.connect(str(file), read_only=True)
        hashes.append(results.input_hash(backend, PROGRAMME))
        backend.disconnect()
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize("effect", [-0.05, 0.0])
def test_recovers_a_known_effect_within_its_error(tmp_path: Path, effect: float) -> None:
    path = write_warehouse(
        tmp_path / "effect.duckdb", World(seed=21, effect=effect, children_per_quarter=150, authority_sd=0.03)
    )
    report = run_programme(PROGRAMME, warehouse=path)
    truth = _read(
        path,
        "select avg(y1 - y0) as truth from truth_for_tests.children as children "
        "inner join results.cem_weights using (child_id, sequence) where children.is_treated",
    ).truth[0]
    assert report.headline.std_error < 0.02
    assert abs(report.headline.estimate - truth) < 3 * report.headline.std_error


# -- too few treated, reviews, diagnostics ---------------------------------------------------------------------


def test_under_three_treated_authorities_there_is_no_p_value_and_no_interval(
    world: Path, tmp_path: Path
) -> None:
    late = "update protocol.sites set go_live_date = '2019-06-01' where la_code in ('335', '888', '894')"
    path = _copy(world, tmp_path, late)
    report = run_programme(PROGRAMME, warehouse=path)
    assert report.headline.n_treated_clusters == 2
    for row in report.estimates:
        assert (row.p_value, row.ci_low, row.ci_high) == (None, None, None)
        assert row.std_error is not None
        assert row.note is not None
        assert row.note.startswith("too few treated")
    stored = _read(path, "select p_value, ci_low, ci_high from results.estimates")
    assert stored.isna().all().all()
    assert [row.treated_la_code for row in report.departures] == ["335", "888", "894"]
    left = [row.meaning for row in report.diagnostics if row.diagnostic == "treated_authority_left"]
    assert len(left) == 3
    assert "fewer than 6 full quarters" in left[0]


def test_no_treated_authority_with_a_comparator_is_an_error_with_reasons(world: Path, tmp_path: Path) -> None:
    path = _copy(world, tmp_path, "update protocol.sites set go_live_date = '2018-01-01'")
    with pytest.raises(
        CscError, match=r"no treated authority has a comparator.*all 5 authorities: fewer than 6"
    ):
        run_programme(PROGRAMME, warehouse=path)
    assert set(_n_rows(path).values()) == {0}


def test_a_low_baseline_is_flagged_as_calling_for_a_logistic_model(tmp_path: Path) -> None:
    path = write_warehouse(
        tmp_path / "low.duckdb", World(seed=8, base_rate=0.015, authority_sd=0.002, effect=0.0)
    )
    report = run_programme(PROGRAMME, warehouse=path)
    baseline = next(row for row in report.diagnostics if row.diagnostic == "baseline_mean")
    assert baseline.statistic is not None
    assert baseline.statistic < 0.05
    assert baseline.is_flagged
    assert "logistic model" in baseline.meaning


# -- what is refused, and leaves nothing -----------------------------------------------------------------------


def test_refuses_a_warehouse_that_was_never_built(world: Path, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="has not been built yet; run dbt build"):
        run_programme(PROGRAMME, warehouse=_copy(world, tmp_path, "drop table meta.builds"))


def test_refuses_a_warehouse_without_a_whole_build(world: Path, tmp_path: Path) -> None:
    path = _copy(world, tmp_path, "update meta.builds set command = 'build (selection)'")
    with pytest.raises(WarehouseError, match="has not been built as a whole"):
        run_programme(PROGRAMME, warehouse=path)


@pytest.mark.parametrize("command", ["build", "build (selection)", "run"])
def test_refuses_after_a_failed_build(world: Path, tmp_path: Path, command: str) -> None:
    path = _copy(world, tmp_path)
    with duckdb.connect(str(path)) as connection:
        write_build(connection, status="failed", command=command)
    with pytest.raises(WarehouseError, match="did not succeed"):
        run_programme(PROGRAMME, warehouse=path)


def test_accepts_a_build_that_succeeded_after_a_failed_one(world: Path, tmp_path: Path) -> None:
    path = _copy(world, tmp_path)
    with duckdb.connect(str(path)) as connection:
        write_build(connection, status="failed")
        write_build(connection)
    assert match_programme(PROGRAMME, warehouse=path).matches


def test_refuses_empty_or_missing_marts(world: Path, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=r"marts.index_events is empty"):
        run_programme(PROGRAMME, warehouse=_copy(world, tmp_path, "delete from marts.index_events"))
    with pytest.raises(WarehouseError, match=r"no table marts.trial_outcomes"):
        run_programme(PROGRAMME, warehouse=_copy(world, tmp_path, "drop table marts.trial_outcomes"))


def test_refuses_an_unknown_programme_and_names_those_there_are(world: Path) -> None:
    with pytest.raises(SeedError, match=r"no programme 'family_valued'; there is .*family_safeguarding"):
        run_programme("family_valued", warehouse=world)


def test_refuses_a_parameter_that_is_not_there(world: Path, tmp_path: Path) -> None:
    path = _copy(world, tmp_path, "delete from protocol.parameters where parameter = 'matching_n_min'")
    with pytest.raises(SeedError, match="no row for matching_n_min"):
        run_programme(PROGRAMME, warehouse=path)


def test_a_programmes_own_parameter_overrides_the_common_one(world: Path, tmp_path: Path) -> None:
    path = _copy(
        world,
        tmp_path,
        f"insert into protocol.parameters values ('{PROGRAMME}', 'matching_candidates_kept', '3', 'authorities', 'false', 't')",
    )
    match_programme(PROGRAMME, warehouse=path)
    kept = _read(
        path, "select treated_la_code, sum(is_kept::int) as n from results.la_match_candidates group by all"
    )
    assert (kept.n == 3).all()


def test_a_crash_while_writing_leaves_no_row(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _copy(world, tmp_path)
    real = results._insert

    def fail_late(connection: duckdb.DuckDBPyConnection, name: str, rows: object, **keys: str) -> None:
        if name == "estimates":
            raise duckdb.IOException("No space left on device")
        real(connection, name, rows, **keys)  # type: ignore[arg-type]

    monkeypatch.setattr(results, "_insert", fail_late)
    with pytest.raises(WarehouseError, match=r"left nothing behind.*No space left"):
        run_programme(PROGRAMME, warehouse=path)
    assert set(_n_rows(path).values()) == {0}


def test_refuses_to_write_over_a_build_made_meanwhile(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _copy(world, tmp_path)

    def rebuild(step: str, fraction: float) -> None:
        if step == "writing the results":
            with duckdb.connect(str(path)) as connection:
                write_build(connection)

    with pytest.raises(WarehouseError, match="since this run began"):
        run_programme(PROGRAMME, warehouse=path, on_progress=rebuild)
    assert set(_n_rows(path).values()) == {0}


def test_matching_alone_writes_a_run_of_stage_match(world: Path, tmp_path: Path) -> None:
    path = _copy(world, tmp_path)
    steps: list[tuple[str, float]] = []
    report = match_programme(
        PROGRAMME, warehouse=path, on_progress=lambda step, share: steps.append((step, share))
    )
    rows = _n_rows(path)
    assert rows["la_matches"] == len(report.matches) == len(SITES)
    assert rows["cem_weights"] == report.n_treated_matched + report.n_comparators_matched
    assert rows["estimates"] == 0
    assert list(_read(path, "select stage from results.runs").stage) == ["match"]
    assert _read(path, "select * from results.latest_runs").empty
    shares = [share for _, share in steps]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_results_hold_no_child_outside_the_weights(done: tuple[Path, RunReport]) -> None:
    path, _ = done
    assert _read(path, f"select * from results.estimates where outcome <> '{OUTCOME}'").empty
    weights = _read(path, "select * from results.cem_weights")
    assert not weights.duplicated(["child_id", "sequence"]).any()


def test_many_threads_and_many_children_change_no_digit(tmp_path: Path) -> None:
    """Enough rows for DuckDB to use its threads: sums must not depend on who finishes first."""
    path = write_warehouse(tmp_path / "large.duckdb", World(seed=30, children_per_quarter=300))
    first, second = (run_programme(PROGRAMME, warehouse=path) for _ in range(2))
    assert first.n_children > 45_000
    for left, right in zip(first.estimates, second.estimates, strict=True):
        assert left == right
    balance = [
        _read(
            path, f"select * exclude (run_id) from results.balance where run_id = '{run.run_id}' order by all"
        )
        for run in (first, second)
    ]
    pd.testing.assert_frame_equal(*balance, check_exact=True)


def test_refuses_a_mart_of_another_version_by_column(world: Path, tmp_path: Path) -> None:
    path = _copy(world, tmp_path, "alter table marts.la_quarter_outcomes drop column standard_error")
    with pytest.raises(WarehouseError, match=r"marts.la_quarter_outcomes has no column standard_error"):
        run_programme(PROGRAMME, warehouse=path)


def test_a_database_error_while_reading_is_one_clear_line(world: Path, tmp_path: Path) -> None:
    path = _copy(world, tmp_path, "drop table reference.local_authorities")
    with pytest.raises(
        WarehouseError, match=r"cannot be read as matching and estimation need it.*local_authorities"
    ):
        run_programme(PROGRAMME, warehouse=path)


def test_only_the_registered_correction_is_called_registered(done: tuple[Path, RunReport]) -> None:
    _, report = done
    registered = {(row.specification, row.inference) for row in report.estimates if row.is_registered}
    assert registered == {("cem_weighted_ls", "cr1_t")}
