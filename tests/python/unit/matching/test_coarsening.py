"""An analyst's own coarsening: seed rows alone change the strata, and rows that cannot be used are refused by name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from csc_evaluation.errors import SeedError
from csc_evaluation.matching.cem import ChildMatching, match_children
from csc_evaluation.matching.coarsening import Profile
from support.cem_children import marts_backend, matches_of, random_children, seeds_protocol
from support.marts_fixture import OUTCOME, PROGRAMME
from support.naive_cem import naive_matching

EVENTS = random_children(seed=3, n_children=500)
OURS = f"programme = '{PROGRAMME}'"


def _match(folder: Path, *changes: str, events: pd.DataFrame = EVENTS) -> ChildMatching:
    protocol = seeds_protocol(folder, *changes)
    matching = match_children(marts_backend(events), protocol, protocol.outcome(OUTCOME), matches_of())
    # Whatever the seeds say, strata and weights are what they say.
    naive = naive_matching(events, protocol, matches_of(), matching.strata_variables)
    counts = zip(matching.strata.n_treated, matching.strata.n_control, strict=True)
    assert sorted(counts) == sorted(naive.strata.values())
    weights = matching.weights.to_pandas().set_index("child_id").weight
    assert dict(weights) == pytest.approx(
        {child: float(weight) for child, weight in naive.weights.items()}, rel=1e-14
    )
    return matching


def _levels(matching: ChildMatching, name: str) -> set[str]:
    return set(matching.strata.stratum.str.extract(rf"(?:^|; ){name}=([^;]*)")[0].dropna())


def _band(covariate: str, band: str, lowest: str, highest: str, *, position: int | None = None) -> list[str]:
    rows = [
        "insert into protocol.coarsening (programme, covariate, band, value_from, value_to) "
        f"values ('{PROGRAMME}', '{covariate}', '{band}', '{lowest}', '{highest}')"
    ]
    if position is not None:
        rows.append(
            "insert into protocol.matching_strata (programme, position, covariate, is_dropped_first) "
            f"values ('{PROGRAMME}', '{position}', '{covariate}', 'false')"
        )
    return rows


def test_bands_of_the_seed_are_the_levels(tmp_path: Path) -> None:
    assert _levels(_match(tmp_path), "age_at_index") == {"0-3", "4-12"}
    narrower = _match(
        tmp_path,
        f"delete from protocol.coarsening where {OURS}",
        *_band("age_at_index", "infant", "0", "0"),
        *_band("age_at_index", "1-5", "1", "5"),
        *_band("age_at_index", "6-11", "6", "11"),
    )
    # Nobody's own choice is lost: who is outside every band has a level too.
    assert _levels(narrower, "age_at_index") == {"infant", "1-5", "6-11", "outside the bands"}


def test_without_bands_each_value_is_a_level(tmp_path: Path) -> None:
    matching = _match(tmp_path, f"delete from protocol.coarsening where {OURS}")
    assert _levels(matching, "age_at_index") == {str(age) for age in range(13)}


def test_an_added_band_makes_a_number_a_stratum_variable(tmp_path: Path) -> None:
    matching = _match(
        tmp_path,
        *_band("n_previous_plans", "none or one", "0", "1", position=10),
        *_band("n_previous_plans", "more", "2", "99"),
    )
    assert matching.strata_variables[-1] == "n_previous_plans"
    assert _levels(matching, "n_previous_plans") == {"none or one", "more"}
    assert set(matching.dropped[matching.dropped.covariate == "n_previous_plans"].level) == {
        "none or one",
        "more",
    }


def test_another_covariate_and_another_order(tmp_path: Path) -> None:
    matching = _match(
        tmp_path,
        f"update protocol.matching_strata set covariate = 'ethnicity' where {OURS} and covariate = 'ethnic_group_major'",
        f"update protocol.matching_strata set position = '0' where {OURS} and covariate = 'is_uasc'",
        f"delete from protocol.matching_strata where {OURS} and covariate in ('gender', 'financial_year')",
    )
    assert matching.strata_variables == (
        "is_uasc",
        "is_post",
        "age_at_index",
        "ethnicity",
        "is_disabled",
        "fsm_cem",
        "has_previous_plan",
    )
    assert matching.strata.stratum.str.startswith("is_uasc=").all()
    assert {"WBRI", "missing"} <= _levels(matching, "ethnicity")


def test_which_variable_leaves_first_is_a_seed_column(tmp_path: Path) -> None:
    matching = _match(
        tmp_path,
        f"update protocol.matching_strata set is_dropped_first = cast(covariate = 'fsm_cem' as varchar) where {OURS}",
    )
    assert matching.dropped_variables == ("fsm_cem",)
    assert "financial_year" in matching.strata_variables


def test_the_programme_may_be_matched_on_the_period_alone(tmp_path: Path) -> None:
    matching = _match(
        tmp_path, f"delete from protocol.matching_strata where {OURS} and covariate != 'is_post'"
    )
    assert set(matching.strata.stratum) == {"is_post=false", "is_post=true"}
    assert matching.treated_loss_share == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            _band("shoe_size", "small", "0", "30"),
            r"coarsening: there are bands for 'shoe_size', but .* no such column",
        ),
        (_band("gender", "first", "1", "1"), "coarsening: gender has bands but is not numeric"),
        (_band("is_post", "late", "1", "1"), "coarsening: is_post takes no bands"),
        (_band("age_at_index", "3-5", "3", "5"), "coarsening: bands 0-3 and 3-5 of age_at_index overlap"),
        (_band("age_at_index", "old", "30", "20"), "value_from is above value_to"),
        (_band("age_at_index", "old", "twenty", "30"), "value_from is 'twenty', not a number"),
        (_band("age_at_index", "0-3", "20", "30"), "coarsening: age_at_index has more than one band '0-3'"),
        (
            [
                f"update protocol.matching_strata set covariate = 'child_number' where {OURS} and covariate = 'gender'"
            ],
            "child_number has 1,200 different values.*Give it bands in protocol.coarsening",
        ),
    ],
)
def test_refuses_rows_that_cannot_be_used(tmp_path: Path, changes: list[str], message: str) -> None:
    events = random_children(seed=3, n_children=1_200)
    with pytest.raises(SeedError, match=message):
        _match(tmp_path, *changes, events=events.assign(child_number=range(len(events))))


def test_refuses_more_combinations_than_there_could_be_children() -> None:
    with pytest.raises(SeedError, match=r"age, month, need have 1.0e\+18 combinations"):
        Profile({"age": 10**6, "month": 10**6, "need": 10**6})
