"""What must not change which authorities and children are matched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csc_evaluation.estimation.protocol import read_protocol
from csc_evaluation.matching.authorities import AuthorityMatching, match_authorities
from csc_evaluation.matching.cem import match_children
from csc_evaluation.warehouse import ibis_readable
from support.la_quarters import PROGRAMMES, RandomQuarters, match_at, random_quarters
from support.marts_fixture import OTHERS, OUTCOME, PROGRAMME, World, write_warehouse

FEW = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_warehouse(
        tmp_path_factory.mktemp("invariance") / "w.duckdb",
        World(seed=9, others=OTHERS[:8], children_per_quarter=35),
    )


@pytest.fixture(scope="module")
def quarters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_quarters(
        tmp_path_factory.mktemp("invariance") / "quarters.duckdb",
        RandomQuarters(seed=21, others=OTHERS[:8], share_missing_early=0.05),
    )


def _authorities(path: Path) -> AuthorityMatching:
    with ibis_readable(path) as backend:
        return match_authorities(backend, [read_protocol(backend, PROGRAMME)])[PROGRAMME]


def _weights(path: Path) -> pd.DataFrame:
    with ibis_readable(path) as backend:
        protocol = read_protocol(backend, PROGRAMME)
        matches = match_authorities(backend, [protocol])[PROGRAMME].matches_of(OUTCOME)
        matching = match_children(backend, protocol, protocol.outcome(OUTCOME), matches)
        return matching.weights.order_by("child_id").to_pandas()


def _changed(world: Path, folder: Path, *statements: str) -> Path:
    path = folder / "changed.duckdb"
    path.unlink(missing_ok=True)
    path.write_bytes(world.read_bytes())
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


@FEW
@given(shift=st.floats(-5, 5), scale=st.floats(0.01, 100))
def test_level_and_spread_of_a_quarter_common_to_all_authorities_do_not_matter(
    world: Path, tmp_path: Path, shift: float, scale: float
) -> None:
    """The measure may change from quarter to quarter for everyone: that is why means are standardised within quarters."""
    path = _changed(
        world,
        tmp_path,
        f"update marts.la_quarter_outcomes set mean_value = {shift!r} * month(quarter_start) "
        f"+ mean_value * (1 + {scale!r} * year(quarter_start) % 7), "
        f"standard_error = standard_error * (1 + {scale!r} * year(quarter_start) % 7)",
    )
    plain, changed = _authorities(world).candidates, _authorities(path).candidates
    distances = ["distance", "expected_noise", "distance_levels", "distance_both"]
    pd.testing.assert_frame_equal(plain.drop(columns=distances), changed.drop(columns=distances))
    for column in distances:
        pd.testing.assert_series_equal(plain[column], changed[column], rtol=1e-7)


@FEW
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_in_the_marts_changes_no_digit(world: Path, tmp_path: Path, seed: int) -> None:
    shuffle = f"create or replace table marts.{{name}} as select * from marts.{{name}} order by hash({{key}} || '{seed}')"
    path = _changed(
        world,
        tmp_path,
        shuffle.format(name="la_quarter_outcomes", key="la_code || quarter_start"),
        shuffle.format(name="index_events", key="child_id"),
        shuffle.format(name="trial_outcomes", key="child_id"),
    )
    _assert_equal_to_the_last_digit(_authorities(world), _authorities(path))
    pd.testing.assert_frame_equal(_weights(world), _weights(path), check_exact=True)


@FEW
@given(threads=st.integers(1, 8), seed=st.integers(0, 10_000))
def test_neither_threads_nor_the_order_of_rows_change_a_digit_of_any_programme(
    quarters: Path, tmp_path: Path, threads: int, seed: int
) -> None:
    path = _changed(
        quarters,
        tmp_path,
        "create or replace table marts.la_quarter_outcomes as select * from marts.la_quarter_outcomes "
        f"order by hash(la_code || quarter_start || outcome || '{seed}')",
    )
    plain, changed = match_at(quarters, threads=1), match_at(path, threads=threads)
    for programme, found in plain.items():
        _assert_equal_to_the_last_digit(found, changed[programme])


@FEW
@given(
    mean=st.floats(0, 1),
    error=st.floats(0, 1),
    reason=st.sampled_from(["few children", "a quarter missing", "excluded", "a site of the programme"]),
)
def test_an_authority_that_is_no_candidate_changes_nothing(
    quarters: Path, tmp_path: Path, mean: float, error: float, reason: str
) -> None:
    """However it behaves, and whatever keeps it from being one."""
    values = f"mean_value = {mean!r} * (1 + month(quarter_start)), standard_error = {error!r}"
    n_children = 19 if reason == "few children" else 500
    without = "update marts.la_quarter_outcomes set n_children = 0, mean_value = null, standard_error = null "
    statements = [
        f"update marts.la_quarter_outcomes set n_children = {n_children}, {values} where la_code = '202'",
    ]
    bars = []
    if reason == "a quarter missing":
        bars = [without + "where la_code = '202' and month(quarter_start) = 7"]
    elif reason == "excluded":
        bars = [
            f"insert into protocol.exclusions values ('{programme}', '202', 'x', null, null, 'false', 'x')"
            for programme in PROGRAMMES
        ]
    elif reason == "a site of the programme":
        bars = [
            f"insert into protocol.sites values ('{programme}', '202', '99', '2009-01-01', null, null, 'true', 'x')"
            for programme in PROGRAMMES
        ]
    (tmp_path / "absent").mkdir(exist_ok=True)
    absent_at = _changed(quarters, tmp_path / "absent", *bars, without + "where la_code = '202'")
    absent = match_at(absent_at, PROGRAMMES[:1])
    present = match_at(_changed(quarters, tmp_path, *statements, *bars), PROGRAMMES[:1])
    for programme, found in absent.items():
        _assert_equal_to_the_last_digit(_without(found, "202"), _without(present[programme], "202"))
        assert "202" not in set(present[programme].series.la_code)


def _without(matching: AuthorityMatching, la_code: str) -> AuthorityMatching:
    """Less the rows on the authority itself, whose reason may differ."""
    candidates = matching.candidates
    is_other = (candidates.candidate_la_code != la_code) & (candidates.treated_la_code != la_code)
    return replace(
        matching, candidates=candidates[is_other].reset_index(drop=True), windows=(), departures=()
    )


def _assert_equal_to_the_last_digit(first: AuthorityMatching, second: AuthorityMatching) -> None:
    for name in ("candidates", "series", "evidence", "placebos"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name), check_exact=True)
    assert first.matches == second.matches
    assert first.departures == second.departures


@FEW
@given(prefix=st.text("abcxyz", min_size=1, max_size=4))
def test_names_of_levels_do_not_matter_to_the_weights(world: Path, tmp_path: Path, prefix: str) -> None:
    path = _changed(
        world,
        tmp_path,
        f"update marts.index_events set gender = '{prefix}' || gender, fsm_cem = fsm_cem || '{prefix}'",
    )
    pd.testing.assert_frame_equal(_weights(world), _weights(path), check_exact=True)
