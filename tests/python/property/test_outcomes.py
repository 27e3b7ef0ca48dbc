"""Index events and outcomes of thousands of random children against a naive twin that was written without the SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from csc_evaluation.project import project_dir
from support.compiled_models import CompiledModels, compile_models
from support.naive_outcomes import Protocol, Twin, read_protocol, twin
from support.outcome_edges import edges_met, sides_expected
from support.random_histories import HistoryRows, World, random_world, raw_rows_of

INDEX_EVENTS = "index_events"
OUTCOMES = "trial_outcomes"
TRIMMED = "trimmed_durations"
N_CHILDREN = 2000
N_CHILDREN_OF_INVARIANCES = 400
# Seed of the batch and the academic year whose absence was not landed in it.
BATCHES = {11: None, 12: 2022, 13: 2019}
# Ratios of whole numbers, which the two may divide in another order.
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
    trimmed: Rows


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return read_protocol(project_dir() / "seeds")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> CompiledModels:
    return compile_models(tmp_path_factory.mktemp("compiled"), [INDEX_EVENTS, OUTCOMES, TRIMMED])


@pytest.fixture(scope="module")
def batches(models: CompiledModels, protocol: Protocol) -> list[Batch]:
    made = []
    for seed, absence_gap in BATCHES.items():
        world = random_world(seed, N_CHILDREN, protocol, absence_gap=absence_gap)
        expected = twin(world.children, world.absence, world.landed, protocol)
        events, outcomes = _built(models, raw_rows_of(world))
        made.append(Batch(world, expected, events, outcomes, _trimmed_found(models)))
    return made


def _built(models: CompiledModels, rows: HistoryRows) -> tuple[Rows, Rows]:
    models.build(rows, INDEX_EVENTS, OUTCOMES, TRIMMED)
    return _events_found(models), _outcomes_found(models)


def _events_found(models: CompiledModels) -> Rows:
    found = models.query(
        "select programme, index_event, child_id, sequence, la_code, index_date, age_at_index, "
        "is_unborn_at_index, is_treated_authority, is_treated, n_open_days, n_open_days_after_go_live, is_treated_by_share, "
        "is_treated_by_days, exposure_months from marts.index_events"
    )
    return _keyed(((*row[:4],), (*row[4:14], _rounded(row[14]))) for row in found)


def _outcomes_found(models: CompiledModels) -> Rows:
    found = models.query(
        "select programme, outcome, index_event, child_id, sequence, term, la_code, index_date, "
        "window_end, is_fully_observed, is_censored, is_partly_exposed, value, exposure_months "
        "from marts.trial_outcomes"
    )
    return _keyed(((*row[:6],), (*row[6:12], _rounded(row[12]), _rounded(row[13]))) for row in found)


def _trimmed_found(models: CompiledModels) -> Rows:
    found = models.query(
        "select programme, outcome, is_treated_authority, n_assessments, n_trimmed, duration_fence "
        "from marts.trimmed_durations"
    )
    return _keyed(((*row[:3],), (*row[3:5], _rounded(row[5]))) for row in found)


def _trimmed_expected(expected: Twin) -> Rows:
    return _keyed(
        (
            (row.programme, row.outcome, row.is_treated_authority),
            (row.n_assessments, row.n_trimmed, _rounded(row.duration_fence)),
        )
        for row in expected.trimmed_durations
    )


def _events_expected(expected: Twin) -> Rows:
    return _keyed(
        (
            (row.programme, row.index_event, row.child_id, row.sequence),
            (
                row.la_code,
                row.index_date,
                row.age_at_index,
                row.is_unborn_at_index,
                row.is_treated_authority,
                row.is_treated,
                row.n_open_days,
                row.n_open_days_after_go_live,
                row.is_treated_by_share,
                row.is_treated_by_days,
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
                row.window_end,
                row.is_fully_observed,
                row.is_censored,
                row.is_partly_exposed,
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


@pytest.mark.parametrize("number", range(len(BATCHES)))
def test_the_fence_and_what_lies_beyond_it_equal_the_twin(batches: list[Batch], number: int) -> None:
    batch = batches[number]
    expected = _trimmed_expected(batch.expected)
    assert len(expected) == 2
    assert _differences(batch.trimmed, expected, 2) == {}


def test_the_sample_holds_every_value_and_every_state_of_every_outcome(
    batches: list[Batch], protocol: Protocol
) -> None:
    rows = [row for batch in batches for row in batch.expected.outcomes]
    lacking = []
    for outcome in protocol.outcomes:
        own = [row for row in rows if (row.programme, row.outcome) == (outcome.programme, outcome.name)]
        # A period of care has at least one placement.
        lowest = 1 if outcome.measure == "placements" else 0
        states = {
            "lowest value": any(row.value == lowest for row in own),
            "higher value": any(row.value is not None and row.value > lowest for row in own),
            "not fully observed": any(not row.is_fully_observed for row in own),
            "treated": any(row.value is not None and row.exposure_months > 0 for row in own),
            "not treated": any(row.value is not None and row.exposure_months == 0 for row in own),
        }
        if outcome.measure == "first_plan_days":
            states["censored"] = any(row.is_censored for row in own)
            states["not censored"] = any(row.value is not None and not row.is_censored for row in own)
        if outcome.measure == "term_absence":
            states["every term"] = {row.term for row in own if row.value is not None} == {1, 2, 3}
        lacking += [
            (outcome.programme, outcome.name, state) for state, is_met in states.items() if not is_met
        ]
    assert lacking == []


def test_the_fence_leaves_out_some_durations_and_keeps_most(batches: list[Batch], protocol: Protocol) -> None:
    trimmed = {(outcome.programme, outcome.name) for outcome in protocol.outcomes if outcome.is_trimmed}
    untrimmed = [
        outcome for outcome in protocol.outcomes if (outcome.programme, outcome.variant_of) in trimmed
    ]
    assert untrimmed
    for batch in batches:
        counts = Counter(
            (row.programme, row.outcome) for row in batch.expected.outcomes if row.value is not None
        )
        for outcome in untrimmed:
            kept = counts[outcome.programme, outcome.variant_of or ""]
            in_all = counts[outcome.programme, outcome.name]
            assert in_all / 2 < kept < in_all


def test_events_lie_on_both_sides_of_every_edge(batches: list[Batch], protocol: Protocol) -> None:
    met = Counter[object]()
    for batch in batches:
        met.update(edges_met(batch.world, protocol))
    assert {expected for expected in sides_expected(protocol) if not met[expected]} == set()


@pytest.fixture(scope="module")
def small_world(protocol: Protocol) -> World:
    return random_world(21, N_CHILDREN_OF_INVARIANCES, protocol)


@pytest.fixture(scope="module")
def small_rows(models: CompiledModels, small_world: World) -> tuple[Rows, Rows]:
    return _built(models, raw_rows_of(small_world))


def test_the_order_of_rows_changes_nothing(
    models: CompiledModels, small_world: World, small_rows: tuple[Rows, Rows]
) -> None:
    rows = raw_rows_of(small_world)
    rows.shuffle(seed=1)
    assert _built(models, rows) == small_rows


def test_returns_landed_twice_change_nothing(
    models: CompiledModels, small_world: World, small_rows: tuple[Rows, Rows]
) -> None:
    assert _built(models, raw_rows_of(small_world, is_landed_twice=True)) == small_rows


def test_a_child_taken_out_takes_its_own_rows_and_no_others(
    models: CompiledModels, small_world: World, small_rows: tuple[Rows, Rows], protocol: Protocol
) -> None:
    """Of outcomes with a fence, which hangs on all children, the variant without it is compared."""
    gone = {child.child_id for child in small_world.children[::3]}
    stay = [child for child in small_world.children if child.child_id not in gone]
    trimmed = {(outcome.programme, outcome.name) for outcome in protocol.outcomes if outcome.is_trimmed}
    events, outcomes = _built(models, raw_rows_of(replace(small_world, children=stay)))
    all_events, all_outcomes = small_rows
    assert len(events) < len(all_events)
    assert events == {key: values for key, values in all_events.items() if key[2] not in gone}

    def compared(rows: Rows) -> Rows:
        return {key: values for key, values in rows.items() if key[:2] not in trimmed and key[3] not in gone}

    assert compared(outcomes) == compared(all_outcomes)
    assert all(key[3] not in gone for key in outcomes)
