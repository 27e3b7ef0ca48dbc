"""Coarsened exact matching of children: strata, weights, balance, against a plain pandas implementation."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from csc_evaluation.errors import CscError, EmptyArmError, SeedError
from csc_evaluation.estimation.protocol import Protocol, read_protocol
from csc_evaluation.matching.authorities import Match, match_authorities
from csc_evaluation.matching.cem import ChildMatching, match_children
from csc_evaluation.warehouse import ibis_readable
from support.marts_fixture import OUTCOME, PROGRAMME, World, write_warehouse

GENEROUS = (
    "update protocol.parameters set parameter_value = '1' where parameter = 'cem_treated_loss_share_max'"
)
VARIABLES = [
    "financial_year",
    "is_post",
    "gender",
    "age_band",
    "ethnic_group_major",
    "is_disabled",
    "fsm_cem",
    "is_uasc",
    "has_previous_plan",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_warehouse(tmp_path_factory.mktemp("cem") / "w.duckdb", World(seed=5))


def _copy(world: Path, folder: Path, *statements: str) -> Path:
    path = folder / "changed.duckdb"
    path.write_bytes(world.read_bytes())
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


def _run(path: Path) -> tuple[Protocol, tuple[Match, ...], ChildMatching, pd.DataFrame, pd.DataFrame]:
    with ibis_readable(path) as backend:
        protocol = read_protocol(backend, PROGRAMME)
        matches = match_authorities(backend, [protocol])[PROGRAMME].matches_of(OUTCOME)
        matching = match_children(backend, protocol, protocol.outcome(OUTCOME), matches)
        return (
            protocol,
            matches,
            matching,
            matching.sample.to_pandas(),
            matching.weights.order_by(["child_id"]).to_pandas(),
        )


def _by_hand(sample: pd.DataFrame, matches: tuple[Match, ...], variables: list[str]) -> pd.DataFrame:
    """Weights by an independent route: one group at a time, in pandas."""
    parts = []
    for treated in {match.treated_la_code for match in matches}:
        mine = [match for match in matches if match.treated_la_code == treated]
        codes = {treated, *(match.comparator_la_code for match in mine)}
        group = sample[sample.la_code.isin(codes)].copy()
        group["is_post"] = pd.to_datetime(group.index_date) >= pd.Timestamp(mine[0].go_live_date)
        group["age_band"] = np.where(group.age_at_index <= 3, "0-3", "4-12")
        group["key"] = (
            group[variables]
            .astype(object)
            .where(group[variables].notna(), "none")
            .astype(str)
            .agg("|".join, axis=1)
        )
        group["arm"] = group.la_code == treated
        counts = group.groupby("key")["arm"].agg(["sum", "count"])
        m_t = group.key.map(counts["sum"])
        m_c = group.key.map(counts["count"] - counts["sum"])
        matched = group[(m_t > 0) & (m_c > 0)].copy()
        ratio = (m_t / m_c)[matched.index]
        matched["weight"] = np.where(matched.arm, 1.0, ratio)
        scale = (~matched.arm).sum() / matched.arm.sum()
        matched["normalised_weight"] = np.where(matched.arm, 1.0, ratio * scale)
        parts.append(matched)
    return (
        pd.concat(parts)
        .groupby("child_id")
        .agg(
            weight=("weight", "sum"),
            normalised_weight=("normalised_weight", "sum"),
            n_groups=("weight", "size"),
        )
        .sort_index()
    )


def test_weights_agree_with_a_plain_pandas_implementation(world: Path, tmp_path: Path) -> None:
    _, matches, matching, sample, weights = _run(_copy(world, tmp_path, GENEROUS))
    assert matching.dropped_variables == ()
    expected = _by_hand(sample, matches, VARIABLES)
    assert list(weights.child_id) == list(expected.index)
    for column in ("weight", "normalised_weight", "n_groups"):
        np.testing.assert_allclose(weights[column], expected[column], rtol=1e-12)
    # In total comparators weigh what treated children weigh.
    arms = sample.set_index("child_id").is_treated_authority[weights.child_id].to_numpy()
    assert weights.weight[arms].sum() == pytest.approx(weights.weight[~arms].sum())


def test_financial_year_leaves_the_strata_when_too_many_treated_would_go(world: Path) -> None:
    protocol, matches, matching, sample, weights = _run(world)
    assert matching.treated_loss_share_first > protocol.parameters.cem_treated_loss_share_max
    assert matching.dropped_variables == ("financial_year",)
    assert "financial_year" not in matching.strata_variables
    assert matching.treated_loss_share < matching.treated_loss_share_first
    expected = _by_hand(sample, matches, VARIABLES[1:])
    np.testing.assert_allclose(weights.weight, expected.weight, rtol=1e-12)


def test_a_child_in_two_groups_is_one_row_whose_weight_is_the_sum(world: Path, tmp_path: Path) -> None:
    with ibis_readable(_copy(world, tmp_path, GENEROUS)) as backend:
        protocol = read_protocol(backend, PROGRAMME)
        pairs = [(site.la_code, "202", site.go_live_date) for site in protocol.sites[:2]]
        matches = tuple(
            Match(OUTCOME, treated, treated, comparator, go_live, 0.0, 1, None, "accepted", False)
            for treated, comparator, go_live in pairs
        )
        outcome = protocol.outcome(OUTCOME)
        both = match_children(backend, protocol, outcome, matches)
        weights = both.weights.to_pandas().set_index("child_id")
        single = [
            match_children(backend, protocol, outcome, (match,)).weights.to_pandas().set_index("child_id")
            for match in matches
        ]
    shared = weights[weights.n_groups == 2]
    assert len(shared) > 100
    assert weights.index.is_unique
    assert both.n_shared_comparators == 1
    total = single[0].weight.reindex(shared.index) + single[1].weight.reindex(shared.index)
    np.testing.assert_allclose(shared.weight, total, rtol=1e-12)


def test_post_is_counted_from_the_groups_go_live_for_both_arms(world: Path, tmp_path: Path) -> None:
    _, matches, matching, sample, weights = _run(_copy(world, tmp_path, GENEROUS))
    matched = sample.merge(weights, on="child_id")
    for match in matches:
        mine = matching.strata[matching.strata.match_group == match.match_group]
        is_post = mine.stratum.str.contains("is_post=true")
        dates = pd.to_datetime(sample[sample.la_code == match.comparator_la_code].index_date)
        assert mine.n_control[is_post].sum() == (dates >= pd.Timestamp(match.go_live_date)).sum()
    assert matched.weight.min() > 0


def test_balance_on_matching_cells_is_exact_after_matching(world: Path) -> None:
    *_, matching, _, _ = _run(world)
    cells = matching.balance.set_index(["covariate", "measure"]).sort_index()
    before, after = cells.loc[("matching cells", "l1_imbalance"), ["value_before", "value_after"]].iloc[0]
    assert before > 0.1
    assert after == 0.0
    common = cells.loc[("matching cells", "share_of_cells_with_both_arms")].iloc[0]
    assert common.value_before == pytest.approx(matching.strata.is_matched.mean())
    assert common.value_after == 1.0


def test_imbalance_on_fine_cells_agrees_with_pandas(world: Path) -> None:
    _, _, matching, sample, weights = _run(world)
    frame = sample.merge(weights[["child_id", "weight"]], on="child_id", how="left").fillna({"weight": 0.0})
    frame["plans"] = frame.n_previous_plans.clip(upper=3)
    frame["month"] = pd.to_datetime(frame.index_date).dt.strftime("%Y-%m")
    frame["ethnicity"] = frame.ethnicity.fillna("none")
    cell = ["age_at_index", "ethnicity", "plans", "month"]
    frame["one"] = 1.0
    for column, value in (("one", "value_before"), ("weight", "value_after")):
        sums = frame.pivot_table(
            index=cell, columns="is_treated_authority", values=column, aggfunc="sum"
        ).fillna(0.0)
        expected = (sums[True] / sums[True].sum() - sums[False] / sums[False].sum()).abs().sum() / 2
        row = matching.balance[
            (matching.balance.covariate == "fine cells") & (matching.balance.measure == "l1_imbalance")
        ].iloc[0]
        assert row[value] == pytest.approx(expected, rel=1e-10)


def test_how_finely_previous_plans_are_counted_is_a_seed_row(world: Path, tmp_path: Path) -> None:
    _, _, counted, sample, _ = _run(world)
    path = _copy(
        world,
        tmp_path,
        "update protocol.parameters set parameter_value = '0' where parameter = 'fine_cells_plans_max'",
    )
    *_, alike, _, _ = _run(path)
    share = "share_of_cells_with_both_arms"
    shares = [
        matching.balance.set_index(["covariate", "measure"])
        .sort_index()
        .loc[("fine cells", share), "value_before"]
        for matching in (counted, alike)
    ]
    cells = sample.assign(month=pd.to_datetime(sample.index_date).dt.strftime("%Y-%m"), plans=0)
    arms = cells.fillna({"ethnicity": "none"}).groupby(["age_at_index", "ethnicity", "plans", "month"])
    assert shares[1].item() == pytest.approx((arms.is_treated_authority.nunique() == 2).mean())
    assert shares[0].item() != shares[1].item()


def test_standardised_differences_agree_with_pandas(world: Path) -> None:
    _, _, matching, sample, weights = _run(world)
    frame = sample.merge(weights[["child_id", "weight"]], on="child_id", how="left").fillna({"weight": 0.0})
    treated, control = frame[frame.is_treated_authority], frame[~frame.is_treated_authority]
    rows = matching.balance[matching.balance.measure == "standardised_mean_difference"].set_index(
        ["covariate", "level"]
    )
    age = rows.loc[("age_at_index", "mean")]
    spread = treated.age_at_index.std(ddof=1)
    assert age.value_before == pytest.approx(
        (treated.age_at_index.mean() - control.age_at_index.mean()) / spread
    )
    after = [np.average(part.age_at_index, weights=part.weight) for part in (treated, control)]
    assert age.value_after == pytest.approx((after[0] - after[1]) / spread)
    white = rows.loc[("ethnicity", "WBRI")]
    share = (treated.ethnicity == "WBRI").mean(), (control.ethnicity == "WBRI").mean()
    assert white.value_before == pytest.approx((share[0] - share[1]) / np.sqrt(share[0] * (1 - share[0])))
    assert ("ethnicity", "missing") in rows.index


def test_strata_account_for_every_child_in_the_groups(world: Path) -> None:
    _, _, matching, sample, weights = _run(world)
    assert matching.strata.n_treated.sum() == sample.is_treated_authority.sum()
    kept = matching.strata[matching.strata.is_matched]
    assert (
        kept.n_treated.sum()
        == (
            weights.n_groups * sample.set_index("child_id").is_treated_authority[weights.child_id].to_numpy()
        ).sum()
    )
    assert matching.matched_shares.n_children.sum() == len(sample)
    assert matching.matched_shares.n_matched.sum() == len(weights)
    loss = 1 - kept.n_treated.sum() / matching.strata.n_treated.sum()
    assert matching.treated_loss_share == pytest.approx(loss)


def test_children_who_are_not_fully_observed_stay_out(world: Path, tmp_path: Path) -> None:
    path = _copy(
        world,
        tmp_path,
        "update marts.trial_outcomes set is_fully_observed = false, value = null where index_date >= '2022-01-01'",
    )
    *_, sample, _ = _run(path)
    assert pd.to_datetime(sample.index_date).max() < pd.Timestamp("2022-01-01")


def test_a_covariate_missing_too_often_is_dropped_and_named(world: Path, tmp_path: Path) -> None:
    path = _copy(
        world,
        tmp_path,
        "update marts.index_events set ethnic_group_major = null where hash(child_id) % 2 = 0",
    )
    _, _, matching, sample, _ = _run(path)
    assert matching.missing_dropped == ("ethnic_group_major",)
    assert "ethnic_group_major" not in matching.strata_variables
    assert not matching.strata.stratum.str.contains("ethnic_group_major").any()
    # Balance shows it all the same: where it is missing the arms may differ.
    rows = matching.balance[matching.balance.covariate == "ethnic_group_major"].set_index("level")
    share = sample.ethnic_group_major.isna().groupby(sample.is_treated_authority).mean()
    assert rows.loc["missing", "treated_before"] == pytest.approx(share[True])
    assert rows.loc["missing", "control_before"] == pytest.approx(share[False])


def test_a_present_value_outside_the_bands_is_a_level_of_its_own(world: Path, tmp_path: Path) -> None:
    path = _copy(world, tmp_path, "update protocol.coarsening set value_to = '11' where band = '4-12'")
    *_, matching, _, _ = _run(path)
    assert matching.strata.stratum.str.contains("age_at_index=outside the bands").any()


def test_refuses_a_covariate_that_marts_do_not_have(world: Path, tmp_path: Path) -> None:
    path = _copy(
        world,
        tmp_path,
        "update protocol.matching_strata set covariate = 'shoe_size' where covariate = 'gender'",
    )
    with pytest.raises(SeedError, match=r"'shoe_size'.*no such column"):
        _run(path)


def test_refuses_marts_built_from_other_sites(world: Path, tmp_path: Path) -> None:
    path = _copy(
        world, tmp_path, "update marts.index_events set is_treated_authority = false where la_code = '335'"
    )
    with pytest.raises(CscError, match="disagree on which authorities are treated"):
        _run(path)


def test_refuses_groups_without_a_like_child(world: Path, tmp_path: Path) -> None:
    path = _copy(
        world,
        tmp_path,
        "update marts.index_events set gender = case when is_treated_authority then '1' else '2' end",
    )
    with pytest.raises(EmptyArmError, match="no stratum holds children of both arms"):
        _run(path)
