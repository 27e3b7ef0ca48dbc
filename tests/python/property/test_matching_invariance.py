"""What must not change which authorities and children are matched."""

from __future__ import annotations

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
from support.marts_fixture import OTHERS, OUTCOME, PROGRAMME, World, write_warehouse

FEW = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_warehouse(
        tmp_path_factory.mktemp("invariance") / "w.duckdb",
        World(seed=9, others=OTHERS[:8], children_per_quarter=35),
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
    pd.testing.assert_frame_equal(
        plain.drop(columns=["distance", "expected_noise"]),
        changed.drop(columns=["distance", "expected_noise"]),
    )
    for column in ("distance", "expected_noise"):
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
    pd.testing.assert_frame_equal(
        _authorities(world).candidates, _authorities(path).candidates, check_exact=True
    )
    pd.testing.assert_frame_equal(_weights(world), _weights(path), check_exact=True)


@FEW
@given(prefix=st.text("abcxyz", min_size=1, max_size=4))
def test_names_of_levels_do_not_matter_to_the_weights(world: Path, tmp_path: Path, prefix: str) -> None:
    path = _changed(
        world,
        tmp_path,
        f"update marts.index_events set gender = '{prefix}' || gender, fsm_cem = fsm_cem || '{prefix}'",
    )
    pd.testing.assert_frame_equal(_weights(world), _weights(path), check_exact=True)
