"""Coarsened exact matching against the definitions worked through one child at a time, in fractions."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest

from csc_evaluation.errors import CscError, EmptyArmError
from csc_evaluation.estimation.protocol import Protocol
from csc_evaluation.estimation.sample import regression_sample
from csc_evaluation.matching.authorities import Match
from csc_evaluation.matching.cem import ChildMatching, match_children
from support.cem_children import marts_backend, matches_of, random_children, seeds_protocol
from support.marts_fixture import OUTCOME
from support.naive_cem import (
    Naive,
    common_support,
    fine_cell,
    l1,
    mean_difference,
    naive_matching,
    share_difference,
)

EXACT = {"rel": 1e-12, "abs": 1e-12}
EVENTS = random_children(seed=11, n_children=700)
WEIGHTS = {("335", "202"): 0.7, ("335", "203"): 0.3, ("888", "203"): 0.25, ("888", "204"): 0.75}
EMBEDDING = (dt.date(2019, 6, 1), dt.date(2020, 8, 31))


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    return seeds_protocol(tmp_path_factory.mktemp("definitions"))


@pytest.fixture(scope="module")
def both(protocol: Protocol) -> tuple[ChildMatching, Naive]:
    """Pooled comparators, no embedding period."""
    matching = _match(protocol, matches_of())
    return matching, naive_matching(EVENTS, protocol, matches_of(), matching.strata_variables)


def _match(protocol: Protocol, matches: tuple[Match, ...], events: pd.DataFrame = EVENTS) -> ChildMatching:
    return match_children(marts_backend(events), protocol, protocol.outcome(OUTCOME), matches)


def _assert_weights_agree(matching: ChildMatching, naive: Naive) -> None:
    found = matching.group_weights.to_pandas().set_index(["match_group", "child_id"])
    assert set(found.index) == set(naive.group_weights)
    for pair, row in found.iterrows():
        assert row.group_weight == pytest.approx(float(naive.group_weights[pair]), rel=1e-14)
        assert row.group_normalised == pytest.approx(float(naive.normalised[pair]), rel=1e-14)
    weights = matching.weights.to_pandas().set_index("child_id").weight
    assert dict(weights) == pytest.approx(
        {child: float(weight) for child, weight in naive.weights.items()}, rel=1e-14
    )
    counts = sorted(zip(matching.strata.n_treated, matching.strata.n_control, strict=True))
    assert counts == sorted(naive.strata.values())


def _overall(matching: ChildMatching, cells: str, measure: str) -> tuple[float, float]:
    rows = matching.balance[(matching.balance.covariate == cells) & (matching.balance.measure == measure)]
    (row,) = rows.itertuples()
    return row.value_before, row.value_after


def test_strata_and_weights(both: tuple[ChildMatching, Naive]) -> None:
    matching, naive = both
    assert matching.dropped_variables == ("financial_year",)
    _assert_weights_agree(matching, naive)


def test_imbalance_and_common_support_on_matching_cells(both: tuple[ChildMatching, Naive]) -> None:
    matching, naive = both
    masses = {key: [n_treated, n_control, 0, 0] for key, (n_treated, n_control) in naive.strata.items()}
    for pair, weight in naive.group_weights.items():
        masses[naive.stratum_of[pair]][2 if pair[0] == naive.children[pair[1]]["la_code"] else 3] += weight
    imbalance = _overall(matching, "matching cells", "l1_imbalance")
    assert imbalance[0] == pytest.approx(l1(masses.values(), after=False), **EXACT)
    assert imbalance[1] == 0.0 == l1(masses.values(), after=True)
    support = _overall(matching, "matching cells", "share_of_cells_with_both_arms")
    assert support[0] == pytest.approx(common_support(masses.values(), after=False), **EXACT)
    assert support[1] == 1.0


def test_imbalance_and_common_support_on_fine_cells(
    protocol: Protocol, both: tuple[ChildMatching, Naive]
) -> None:
    matching, naive = both
    masses = naive.masses(fine_cell(protocol.parameters.fine_cells_plans_max)).values()
    imbalance = _overall(matching, "fine cells", "l1_imbalance")
    support = _overall(matching, "fine cells", "share_of_cells_with_both_arms")
    for position, after in enumerate((False, True)):
        assert imbalance[position] == pytest.approx(l1(masses, after=after), **EXACT)
        assert support[position] == pytest.approx(common_support(masses, after=after), **EXACT)
    assert imbalance[0] != imbalance[1]


def test_standardised_differences_of_every_covariate(
    protocol: Protocol, both: tuple[ChildMatching, Naive]
) -> None:
    matching, naive = both
    rows = matching.balance[matching.balance.measure == "standardised_mean_difference"]
    named = {row.covariate for row in protocol.covariates_of(OUTCOME)}
    named |= {stratum.covariate for stratum in protocol.strata} - {"is_post"}
    assert set(rows.covariate) == named
    checked = Counter()
    for row in rows.itertuples():
        # No treated child has it, or every one: there is no spread to divide by, and no difference in units of it.
        if row.treated_before in (0.0, 1.0) and row.level != "mean":
            assert pd.isna(row.value_before) or row.treated_before == row.control_before
            continue
        for found, after in ((row.value_before, False), (row.value_after, True)):
            if row.level == "mean":
                expected = mean_difference(naive, row.covariate, after=after)
            else:
                expected = share_difference(naive, row.covariate, row.level, after=after)
            assert found == pytest.approx(expected, **EXACT)
        checked["mean" if row.level == "mean" else "share"] += 1
    assert checked["mean"] == 4
    assert checked["share"] > 25


def test_a_numeric_covariate_shows_who_lacks_it(protocol: Protocol) -> None:
    events = EVENTS.assign(la_share_fsm=EVENTS.la_share_fsm.where(EVENTS.index.to_series() % 9 > 0))
    matching = _match(protocol, matches_of(), events)
    naive = naive_matching(events, protocol, matches_of(), matching.strata_variables)
    rows = matching.balance[matching.balance.covariate == "la_share_fsm"].set_index("level")
    assert set(rows.index) == {"mean", "missing"}
    for after, column in ((False, "value_before"), (True, "value_after")):
        assert rows.loc["mean", column] == pytest.approx(
            mean_difference(naive, "la_share_fsm", after=after), **EXACT
        )
        assert rows.loc["missing", column] == pytest.approx(
            share_difference(naive, "la_share_fsm", "missing", after=after), **EXACT
        )


def test_who_fell_away_is_counted_by_arm_and_level(both: tuple[ChildMatching, Naive]) -> None:
    matching, naive = both
    everyone, gone = Counter(), Counter()
    for (group, child_id), key in naive.stratum_of.items():
        arm = "treated" if naive.children[child_id]["la_code"] == group else "comparator"
        for variable, level in zip(matching.strata_variables, key[1:], strict=True):
            everyone[arm, variable, level] += 1
            gone[arm, variable, level] += 0 if (group, child_id) in naive.group_weights else 1
    found = matching.dropped.set_index(["arm", "covariate", "level"])
    assert dict(found.n_children) == dict(everyone)
    assert dict(found.n_dropped) == dict(gone)
    assert found.n_dropped.sum() > 0


# -- weights of comparators ------------------------------------------------------------------------------------


def test_comparators_with_weights_share_the_control_arm(protocol: Protocol) -> None:
    matches = matches_of(comparator_weights=WEIGHTS)
    matching = _match(protocol, matches)
    naive = naive_matching(EVENTS, protocol, matches, matching.strata_variables)
    _assert_weights_agree(matching, naive)
    assert _overall(matching, "matching cells", "l1_imbalance")[1] == 0.0
    pooled = _match(protocol, matches_of()).weights.to_pandas().set_index("child_id").weight
    assert (matching.weights.to_pandas().set_index("child_id").weight - pooled).abs().max() > 0.1


def test_weighted_and_pooled_groups_stand_side_by_side(protocol: Protocol) -> None:
    matches = matches_of(
        comparator_weights={pair: share for pair, share in WEIGHTS.items() if pair[0] == "335"}
    )
    matching = _match(protocol, matches)
    _assert_weights_agree(matching, naive_matching(EVENTS, protocol, matches, matching.strata_variables))


def test_a_comparator_that_weighs_nothing_is_no_member(protocol: Protocol) -> None:
    weights = {**WEIGHTS, ("335", "202"): 0.0, ("335", "203"): 1.0}
    matching = _match(protocol, matches_of(comparator_weights=weights))
    assert "202" not in set(matching.sample.la_code.execute())
    without = matches_of(
        (("335", "203"), ("888", "203"), ("888", "204")), comparator_weights={**weights, ("335", "203"): 5.0}
    )
    # Only the proportions of weights matter.
    expected = _match(protocol, without).weights.order_by("child_id").to_pandas()
    pd.testing.assert_frame_equal(matching.weights.order_by("child_id").to_pandas(), expected, rtol=1e-14)


@pytest.mark.parametrize(
    "weights",
    [
        {("335", "202"): 0.5},
        {("335", "202"): -0.1, ("335", "203"): 1.1},
        {("335", "202"): 0.0, ("335", "203"): 0.0},
    ],
)
def test_refuses_weights_that_cannot_share_an_arm(
    protocol: Protocol, weights: dict[tuple[str, str], float]
) -> None:
    with pytest.raises(CscError, match="matched group 335: comparator weights are"):
        _match(protocol, matches_of(comparator_weights=weights))


# -- calendars -------------------------------------------------------------------------------------------------


def test_both_arms_lose_the_embedding_period_and_what_runs_into_it(protocol: Protocol) -> None:
    matches = (
        *matches_of((("335", "202"), ("335", "203")), embedding=EMBEDDING),
        *matches_of((("888", "203"), ("888", "204"))),
    )
    months = protocol.outcome(OUTCOME).follow_up_months

    def counts(match: Match, day: dt.date) -> bool:
        if match.embedding_start is None:
            return True
        follow_up_end = (pd.Timestamp(day) + pd.DateOffset(months=months)).date()
        return day > EMBEDDING[1] or follow_up_end < EMBEDDING[0]

    matching = _match(protocol, matches)
    naive = naive_matching(EVENTS, protocol, matches, matching.strata_variables, counts=counts)
    _assert_weights_agree(matching, naive)
    sample = matching.sample.to_pandas()
    assert set(sample.child_id) == set(naive.children)
    # 203 serves the other group too, which has no embedding period: there its children stay.
    only_here = sample[sample.la_code.isin(["335", "202"])]
    dates = pd.to_datetime(only_here.index_date)
    assert not dates.between("2017-12-01", "2020-08-31").any()
    assert dates.min() < pd.Timestamp("2017-12-01")
    assert (
        pd.to_datetime(sample[sample.la_code == "203"].index_date).between("2018-01-01", "2020-08-31").any()
    )


def test_refuses_an_authority_in_both_arms(protocol: Protocol) -> None:
    with pytest.raises(CscError, match="treated authority in one matched group and a comparator in another"):
        _match(protocol, matches_of((("335", "202"), ("888", "335"))))


def test_refuses_pairs_of_a_group_that_disagree_on_go_live(protocol: Protocol) -> None:
    first, second, *_ = matches_of()
    with pytest.raises(CscError, match="disagree on the calendar"):
        _match(protocol, (first, replace(second, go_live_date=dt.date(2019, 1, 1))))


def test_nothing_to_match_is_an_empty_arm(protocol: Protocol) -> None:
    with pytest.raises(EmptyArmError, match="no fully observed child in the matched authorities"):
        _match(protocol, matches_of(), EVENTS.assign(la_code="205", is_treated_authority=False))
    with pytest.raises(EmptyArmError, match="no matched authority"):
        _match(protocol, ())
    with pytest.raises(EmptyArmError, match="no stratum holds children of both arms"):
        _match(protocol, matches_of(), EVENTS[EVENTS.is_treated_authority])


# -- outcomes by term, and many matches on one connection ---------------------------------------------------------


def test_an_outcome_by_term_has_one_row_per_event_and_a_value_per_observed_term(protocol: Protocol) -> None:
    outcome = replace(protocol.outcome("unauthorised_absence"), index_event="first_referral")
    terms = pd.concat(
        [
            EVENTS[["child_id", "sequence"]].assign(
                term=term, value=[None if n % 5 < n_missing else float(n % 11) for n in range(len(EVENTS))]
            )
            for term, n_missing in ((1, 1), (2, 2), (3, 2))
        ]
    )
    backend = marts_backend(EVENTS, terms, outcome=outcome.outcome)
    matching = match_children(backend, protocol, outcome, matches_of())
    sample, values = matching.sample.to_pandas(), matching.values.to_pandas()
    observed = terms[terms.value.notna()]
    assert sorted(sample.child_id) == sorted(observed.child_id.unique())
    key = ["child_id", "sequence", "term"]
    assert sorted(values[key].itertuples(index=False, name=None)) == sorted(
        observed[key].itertuples(index=False, name=None)
    )
    assert values.outcome_value.sum() == observed.value.sum()

    regression = regression_sample(protocol, outcome, matching, protocol.specification)
    weights = matching.weights.to_pandas()
    assert regression.n_children == len(weights)
    assert regression.cells.n_rows.sum() == observed.child_id.isin(weights.child_id).sum()
    assert {"term=2", "term=3"} <= set(regression.compressed.columns)


def test_a_later_match_of_the_same_outcome_leaves_the_earlier_alone(protocol: Protocol) -> None:
    backend = marts_backend(EVENTS)
    outcome = protocol.outcome(OUTCOME)
    first = match_children(backend, protocol, outcome, matches_of())
    before = first.weights.order_by("child_id").to_pandas()
    second = match_children(backend, protocol, outcome, matches_of((("335", "202"),)))
    pd.testing.assert_frame_equal(first.weights.order_by("child_id").to_pandas(), before)
    names = {second.sample.get_name(), second.weights.get_name()}
    second.release()
    left = {f"temp.main.{name}" for name in backend.list_tables(database=("temp", "main"))}
    assert not names & left
    assert {first.sample.get_name(), first.weights.get_name()} <= left
