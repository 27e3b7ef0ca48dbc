from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb
import pytest

from csc_evaluation import schema
from synthetic.conftest import MadeEngland

_NOT_COMPARED = {"returns", "return_counts", "pseudonym_keys"}
_NOT_MADE = {"statistical_neighbours", "inspection_outcomes"}
"""What is published about authorities is no part of a synthetic England."""


def test_every_clean_file_lands_without_a_reject(clean: MadeEngland) -> None:
    assert clean.landing.n_failed == 0
    with duckdb.connect(str(clean.landed), read_only=True) as connection:
        assert connection.execute("select count(*) from raw.rejects").fetchone() == (0,)
        assert connection.execute("select count(*) from raw.unlisted_codes").fetchone() == (0,)


@pytest.mark.parametrize("made", ["clean", "messy"])
def test_landing_finds_as_many_records_as_were_written(made: str, request: pytest.FixtureRequest) -> None:
    england: MadeEngland = request.getfixturevalue(made)
    found: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    with duckdb.connect(str(england.landed), read_only=True) as connection:
        for record_type, n, rejected in connection.execute(
            "select record_type, n_found, n_rejected from raw.return_counts"
        ).fetchall():
            found[record_type] += n
            refused[record_type] += rejected
    written = england.summary.counts
    record_types = [name for name in found if name not in {"absence", "census_spring"}]
    assert len(record_types) >= 19
    assert {name: found[name] for name in record_types} == {name: written[name] for name in record_types}
    assert found["absence"] == found["census_spring"] == written["pupils in a school year"]
    assert +refused == +Counter(england.summary.n_unusable)


@pytest.mark.parametrize("made", ["clean", "messy"])
@pytest.mark.parametrize(
    "table", [name for name in schema.RAW_TABLES if name not in _NOT_COMPARED | _NOT_MADE]
)
def test_raw_tables_hold_what_landing_the_returns_gives(
    made: str, table: str, request: pytest.FixtureRequest
) -> None:
    england: MadeEngland = request.getfixturevalue(made)
    columns = ", ".join(name for name in schema.column_names(table) if name != "return_id")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{england.landed}' as landed (read_only)")
        connection.execute(f"attach '{england.raw}' as filled (read_only)")
        n = connection.execute(f"select count(*) from landed.raw.{table}").fetchone()
        only_landed = connection.execute(
            f"select {columns} from landed.raw.{table} except all select {columns} from filled.raw.{table}"
        ).fetchall()
        only_filled = connection.execute(
            f"select {columns} from filled.raw.{table} except all select {columns} from landed.raw.{table}"
        ).fetchall()
    assert n is not None
    assert n[0] > 0 or table in {"rejects", "unlisted_codes"}
    assert (only_landed, only_filled) == ([], [])


@pytest.mark.parametrize("made", ["clean", "messy"])
def test_the_manifests_agree_on_records_per_collection_and_year(
    made: str, request: pytest.FixtureRequest
) -> None:
    england: MadeEngland = request.getfixturevalue(made)
    query = (
        "select collection, la_code, return_year, sum(n_found), sum(n_accepted) from raw.returns "
        "where not is_superseded group by all order by all"
    )
    rows = []
    for warehouse in (england.landed, england.raw):
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            rows.append(connection.execute(query).fetchall())
    assert rows[0] == rows[1]


def test_equal_configurations_give_equal_files(clean: MadeEngland, tmp_path: Path) -> None:
    from csc_evaluation.synthetic import synthesise

    again = tmp_path / "returns"
    synthesise(clean.config, again)
    assert _contents(again) == _contents(clean.out)
    assert (
        tmp_path / "returns_truth" / "truth.parquet"
    ).read_bytes() == clean.summary.truth_path.read_bytes()


def test_an_authority_does_not_depend_on_which_others_are_generated(
    clean: MadeEngland, tmp_path: Path
) -> None:
    from csc_evaluation.synthetic import SynthesisConfig, synthesise

    alone = tmp_path / "alone"
    synthesise(
        SynthesisConfig(scale=0.02, seed=11, authorities=("940",), messiness=0.0, first_year=2018), alone
    )
    mine = {name: text for name, text in _contents(alone).items() if "school" not in name}
    assert len(mine) == 3 * 11
    whole = _contents(clean.out)
    assert all(whole[name] == text for name, text in mine.items())


def test_another_seed_gives_another_england(clean: MadeEngland, tmp_path: Path) -> None:
    from csc_evaluation.synthetic import SynthesisConfig, synthesise

    other = tmp_path / "other"
    synthesise(SynthesisConfig(scale=0.02, seed=12, authorities=("335",), messiness=0.0), other)
    name = "cin/cin_335_2019.xml"
    assert _contents(other)[name] != _contents(clean.out)[name]


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
