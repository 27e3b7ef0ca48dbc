"""Index events and outcomes of thousands of random children against a naive twin that was written without the SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

import pytest

from csc_evaluation.project import project_dir
from support.compiled_models import CompiledModels, compile_models
from support.naive_outcomes import Outcome, Protocol, Twin, read_protocol, twin
from support.random_histories import HistoryRows, World, random_world, raw_rows_of

INDEX_EVENTS = "index_events"
OUTCOMES = "trial_outcomes"
N_CHILDREN = 1500
# Seed of the batch and the academic year whose absence was not landed in it.
BATCHES = {11: None, 12: 2022, 13: 2019}
# Both compute a ratio of whole numbers, in one division or two.
DECIMALS = 9

Key = tuple[object, ...]
Rows = dict[Key, tuple[object, ...]]


@dataclass(frozen=True)
class Batch:
    """A world, what the twin says of it and what the warehouse says of it."""

    world: World
    expected: Twin
    events: Rows
    outcomes: Rows


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return read_protocol(project_dir() / "seeds")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> CompiledModels:
    return compile_models(tmp_path_factory.mktemp("compiled"), [INDEX_EVENTS, OUTCOMES])


@pytest.fixture(scope="module")
def batches(models: CompiledModels, protocol: Protocol) -> list[Batch]:
    made = []
    for seed, absence_gap in BATCHES.items():
        world = random_world(seed, N_CHILDREN, protocol, absence_gap=absence_gap)
        expected = twin(world.children, world.absence, world.landed, protocol)
        made.append(Batch(world, expected, *_built(models, raw_rows_of(world))))
    return made


def _built(models: CompiledModels, rows: HistoryRows) -> tuple[Rows, Rows]:
    models.build(rows, INDEX_EVENTS, OUTCOMES)
    return _events_found(models), _outcomes_found(models)


def _events_found(models: CompiledModels) -> Rows:
    found = models.query(
        "select programme, index_event, child_id, sequence, la_code, index_date, age_at_index, "
        "is_treated_authority, is_treated, exposure_months from marts.index_events"
    )
    return _keyed(((*row[:4],), (*row[4:9], _rounded(row[9]))) for row in found)


def _outcomes_found(models: CompiledModels) -> Rows:
    found = models.query(
        "select programme, outcome, index_event, child_id, sequence, term, la_code, index_date, "
        "is_fully_observed, is_censored, value, exposure_months from marts.trial_outcomes"
    )
    return _keyed(((*row[:6],), (*row[6:10], _rounded(row[10]), _rounded(row[11]))) for row in found)


def _events_expected(expected: Twin) -> Rows:
    return _keyed(
        (
            (row.programme, row.index_event, row.child_id, row.sequence),
            (
                row.la_code,
                row.index_date,
                row.age_at_index,
                row.is_treated_authority,
                row.is_treated,
                _rounded(row.exposure_months),
            ),
        )
        for row in expected.index_events
    )


def _outcomes_expected(expected: Twin) -> Rows:
    return _keyed(
        (
            (row.programme, row.outcome, row.index_event, row.child_id, row.sequence, row.term),
            (
                row.la_code,
                row.index_date,
                row.is_fully_observed,
                row.is_censored,
                _rounded(row.value),
                _rounded(row.exposure_months),
            ),
        )
        for row in expected.outcomes
    )


def _keyed(rows: Iterable[tuple[Key, tuple[object, ...]]]) -> Rows:
    keyed: Rows = {}
    for key, values in rows:
        assert key not in keyed, f"twice: {key}"
        keyed[key] = values
    return keyed


def _rounded(value: object) -> float | None:
    return None if value is None else round(float(value), DECIMALS)  # type: ignore[arg-type]


def _differences(found: Rows, expected: Rows, n_parts: int) -> dict[str, object]:
    """Counts by the first parts of the key, with one synthetic key and what both say of it for each kind."""
    told: dict[str, object] = {}
    kinds = {
        "missing": sorted(expected.keys() - found.keys(), key=str),
        "extra": sorted(found.keys() - expected.keys(), key=str),
        "different": sorted((key for key in found if found[key] != expected.get(key, found[key])), key=str),
    }
    for kind, keys in kinds.items():
        for part, count in Counter(key[:n_parts] for key in keys).items():
            first = next(key for key in keys if key[:n_parts] == part)
            told[f"{kind}: {part}"] = (count, first, found.get(first), expected.get(first))
    return told


@pytest.mark.parametrize("number", range(len(BATCHES)))
def test_index_events_treatment_and_exposure_equal_the_twin(batches: list[Batch], number: int) -> None:
    batch = batches[number]
    assert _differences(batch.events, _events_expected(batch.expected), 2) == {}


@pytest.mark.parametrize("number", range(len(BATCHES)))
def test_every_outcome_equals_the_twin(batches: list[Batch], number: int) -> None:
    batch = batches[number]
    assert _differences(batch.outcomes, _outcomes_expected(batch.expected), 2) == {}
