"""Weights of children against R's MatchIt (``matchit_cem.R``, which wrote the numbers; its version heads the file)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from csc_evaluation.estimation.protocol import Protocol
from csc_evaluation.matching.cem import ChildMatching, match_children
from support.cem_children import children_frame, marts_backend, matches_of, seeds_protocol
from support.marts_fixture import OUTCOME

HERE = Path(__file__).parent
SETTINGS = ["with_financial_year", "without_financial_year"]


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    return seeds_protocol(tmp_path_factory.mktemp("matchit"))


@pytest.fixture(scope="module", params=SETTINGS)
def matched(protocol: Protocol, request: pytest.FixtureRequest) -> tuple[ChildMatching, pd.DataFrame]:
    """Our matching and MatchIt's rows of the same strata."""
    published = pd.read_csv(
        HERE / "matchit_cem_weights.csv", comment="#", dtype={"match_group": str, "subclass": str}
    )
    children = pd.read_csv(
        HERE / "matchit_cem_children.csv",
        dtype={"la_code": str, "gender": str},
        converters=dict.fromkeys(("is_disabled", "is_uasc"), _true_false),
    )
    # The share of treated children that may be lost decides whether financial year stays in the strata.
    limit = 1.0 if request.param == "with_financial_year" else 0.0
    protocol = replace(protocol, parameters=replace(protocol.parameters, cem_treated_loss_share_max=limit))
    backend = marts_backend(children_frame(children))
    matching = match_children(backend, protocol, protocol.outcome(OUTCOME), matches_of())
    assert ("financial_year" in matching.strata_variables) == (limit == 1.0)
    return matching, published[(published.setting == request.param) & (published.weight > 0)]


def _true_false(text: str) -> bool | None:
    return {"True": True, "False": False}.get(text)


def test_weights_agree_with_matchit(matched: tuple[ChildMatching, pd.DataFrame]) -> None:
    matching, published = matched
    assert matching.n_shared_comparators == 1
    assert (~matching.strata.is_matched).sum() > 100  # the data do try the dropping of strata

    key = ["match_group", "child_id"]
    expected = published.set_index(key).sort_index()
    found = matching.group_weights.to_pandas().set_index(key).sort_index()
    assert list(found.index) == list(expected.index)
    assert list(found.is_treated_authority) == list(expected.arm == 1)
    assert found.group_normalised.to_numpy() == pytest.approx(expected.weight.to_numpy(), abs=1e-9, rel=1e-9)

    summed = expected.groupby("child_id").agg(weight=("weight", "sum"), n_groups=("weight", "size"))
    children = matching.weights.to_pandas().set_index("child_id").sort_index()
    assert list(children.index) == list(summed.index)
    assert children.normalised_weight.to_numpy() == pytest.approx(
        summed.weight.to_numpy(), abs=1e-9, rel=1e-9
    )
    assert list(children.n_groups) == list(summed.n_groups)
    assert (children.n_groups == 2).sum() > 20  # the shared comparator's children


def test_strata_are_those_of_matchit(matched: tuple[ChildMatching, pd.DataFrame]) -> None:
    matching, published = matched
    sizes = published.groupby(["match_group", "subclass"]).arm.agg(["sum", "size"])
    expected = sorted(
        (str(group), int(treated), int(size - treated))
        for (group, _), treated, size in zip(sizes.index, sizes["sum"], sizes["size"], strict=True)
    )
    kept = matching.strata[matching.strata.is_matched]
    assert sorted(zip(kept.match_group, kept.n_treated, kept.n_control, strict=True)) == expected
