"""What weights of matched children must obey, whatever the children."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csc_evaluation.errors import EmptyArmError
from csc_evaluation.estimation.protocol import Protocol
from csc_evaluation.matching.authorities import Match
from csc_evaluation.matching.cem import ChildMatching, match_children
from support.cem_children import PAIRS, marts_backend, matches_of, random_children, seeds_protocol
from support.marts_fixture import OUTCOME
from support.naive_cem import naive_matching

FEW = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    return seeds_protocol(tmp_path_factory.mktemp("weights"))


EVENTS = random_children(7, 700)
WEIGHED = matches_of(comparator_weights=dict(zip(PAIRS, (0.1, 0.9, 0.3, 0.7), strict=True)))


def _match(protocol: Protocol, events: pd.DataFrame, matches: tuple[Match, ...]) -> ChildMatching | None:
    backend = marts_backend(events)
    try:
        return match_children(backend, protocol, protocol.outcome(OUTCOME), matches)
    except EmptyArmError:
        return None


@FEW
@given(
    seed=st.integers(0, 10_000),
    n_children=st.integers(30, 400),
    pairs=st.lists(st.sampled_from(PAIRS), min_size=1, max_size=4, unique=True),
    shares=st.none() | st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
)
def test_the_control_arm_of_every_stratum_weighs_what_its_treated_do(
    protocol: Protocol,
    seed: int,
    n_children: int,
    pairs: list[tuple[str, str]],
    shares: list[float] | None,
) -> None:
    events = random_children(seed, n_children)
    weights = None if shares is None else dict(zip(PAIRS, shares, strict=True))
    matches = matches_of(sorted(pairs), comparator_weights=weights)
    matching = _match(protocol, events, matches)
    if matching is None:
        return
    stratum_of = naive_matching(events, protocol, matches, matching.strata_variables).stratum_of
    treated, control, by_child = defaultdict(int), defaultdict(float), defaultdict(list)
    by_group = matching.group_weights.to_pandas()
    for row in by_group.itertuples():
        key = stratum_of[(row.match_group, row.child_id)]
        if row.is_treated_authority:
            assert row.group_weight == 1.0
            treated[key] += 1
        else:
            assert row.group_weight > 0
            control[key] += row.group_weight
        by_child[row.child_id].append((row.match_group, row.group_weight))
    # No stratum with one arm has a weight, and none with both arms is left out.
    assert dict(control) == pytest.approx(dict(treated), rel=1e-12)
    assert len(treated) == matching.strata.is_matched.sum()
    assert sum(treated.values()) == matching.strata.n_treated[matching.strata.is_matched].sum()
    normalised = by_group[~by_group.is_treated_authority].groupby("match_group").group_normalised
    assert dict(normalised.sum()) == pytest.approx(dict(normalised.size()), rel=1e-12)
    for row in matching.weights.to_pandas().itertuples():
        parts = sorted(by_child[row.child_id])
        assert row.n_groups == len(parts)
        assert row.weight == pytest.approx(sum(weight for _, weight in parts), rel=1e-15)
    imbalance = matching.balance[matching.balance.covariate == "matching cells"].iloc[0]
    assert imbalance.value_after == 0.0


@pytest.fixture(scope="module")
def plain(protocol: Protocol) -> ChildMatching:
    matching = _match(protocol, EVENTS, WEIGHED)
    assert matching is not None
    return matching


@FEW
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_and_pairs_changes_no_digit(
    protocol: Protocol, plain: ChildMatching, seed: int
) -> None:
    shuffled = EVENTS.iloc[np.random.default_rng(seed).permutation(len(EVENTS))]
    changed = _match(protocol, shuffled, tuple(reversed(WEIGHED)))
    assert changed is not None
    _assert_same(plain, changed)


def test_number_of_threads_changes_no_digit(protocol: Protocol) -> None:
    """On enough rows for several threads to share the work (a thread takes 122,880 at a time)."""
    found = []
    for threads, order in ((1, "child_id"), (4, "hash(child_id)")):
        backend = marts_backend(EVENTS)
        for table in ("index_events", "trial_outcomes"):
            backend.raw_sql(
                f"create or replace table marts.{table} as select * replace (child_id || '_' || copy as child_id, "
                "cast(index_date + interval (copy % 7) day as date) as index_date) "
                f"from marts.{table}, range(200) as copies(copy) order by {order}"
            )
        backend.raw_sql(f"set threads = {threads}")
        found.append(match_children(backend, protocol, protocol.outcome(OUTCOME), WEIGHED))
    assert int(found[0].sample.count().execute()) > 122_880
    _assert_same(*found)


def _assert_same(plain: ChildMatching, changed: ChildMatching) -> None:
    for frame in ("strata", "dropped", "matched_shares", "balance"):
        pd.testing.assert_frame_equal(getattr(plain, frame), getattr(changed, frame), check_exact=True)
    for table, order in (("weights", ["child_id"]), ("group_weights", ["match_group", "child_id"])):
        pd.testing.assert_frame_equal(
            getattr(plain, table).order_by(order).to_pandas(),
            getattr(changed, table).order_by(order).to_pandas(),
            check_exact=True,
        )
    assert plain.missingness == changed.missingness
    assert plain.treated_loss_share == changed.treated_loss_share
