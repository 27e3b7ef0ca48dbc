"""Other ways of choosing comparators."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from csc_evaluation.estimation.protocol import MatchVariant, Protocol, read_protocol
from csc_evaluation.matching.authorities import AuthorityMatching, match_authorities
from csc_evaluation.matching.decisions import Match
from csc_evaluation.matching.variants import VariantMatches, all_variants, variant_matches
from csc_evaluation.warehouse import ibis_readable
from support.la_quarters import RandomQuarters, random_quarters
from support.marts_fixture import OUTCOME, PROGRAMME, SITES


def _read(path: Path) -> tuple[Protocol, AuthorityMatching]:
    with ibis_readable(path) as backend:
        protocol = read_protocol(backend, PROGRAMME)
        return protocol, match_authorities(backend, [protocol])[PROGRAMME]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random quarters, and a review: two comparators accepted for 888, all rejected for 894."""
    path = random_quarters(tmp_path_factory.mktemp("variants") / "w.duckdb", RandomQuarters(seed=11))
    _, plain = _read(path)
    with duckdb.connect(str(path)) as connection:
        for treated, codes, decision in (("888", slice(2, 4), "accepted"), ("894", slice(0, 10), "rejected")):
            kept = plain.candidates[
                (plain.candidates.outcome == OUTCOME)
                & (plain.candidates.treated_la_code == treated)
                & plain.candidates.is_kept
            ]
            for code, list_hash in zip(
                kept.candidate_la_code[codes], kept.candidates_hash[codes], strict=True
            ):
                connection.execute(
                    "insert into protocol.match_reviews values "
                    f"('{PROGRAMME}', '{OUTCOME}', '{treated}', '{code}', '{str(decision == 'accepted').lower()}', "
                    f"'true', 'true', '{decision}', 'seen', 'A. Reviewer', '2026-01-05', '{list_hash}')"
                )
    return path


@pytest.fixture(scope="module")
def matched(world: Path) -> tuple[Protocol, AuthorityMatching]:
    return _read(world)


def _variant(matched: tuple[Protocol, AuthorityMatching], name: str) -> list[VariantMatches]:
    protocol, matching = matched
    return variant_matches(protocol, matching, OUTCOME, protocol.match_variant(name))


def _of(matches: tuple[Match, ...], treated: str) -> list[Match]:
    return [match for match in matches if match.treated_la_code == treated]


def _ranking(matching: AuthorityMatching, treated: str, distance: str) -> list[str]:
    rows = matching.candidates
    rows = rows[(rows.outcome == OUTCOME) & (rows.treated_la_code == treated) & rows.is_candidate]
    return list(rows.sort_values([distance, "candidate_la_code"]).candidate_la_code)


def test_the_reviewed_variant_is_the_main_match(matched: tuple[Protocol, AuthorityMatching]) -> None:
    (found,) = _variant(matched, "reviewed")
    assert found.matches == matched[1].matches_of(OUTCOME)
    assert (found.name, found.note) == ("reviewed", None)


@pytest.mark.parametrize(
    ("name", "n", "distance"),
    [
        ("nearest_1", 1, "distance"),
        ("nearest_2", 2, "distance"),
        ("nearest_3", 3, "distance"),
        ("nearest_on_levels", 1, "distance_levels"),
        ("nearest_on_both", 1, "distance_both"),
    ],
)
def test_takes_the_first_by_its_distance_whatever_was_reviewed(
    matched: tuple[Protocol, AuthorityMatching], name: str, n: int, distance: str
) -> None:
    _, matching = matched
    (found,) = _variant(matched, name)
    assert found.label == name
    # 894 left by review: a variant changes comparators, not who is treated.
    assert {match.treated_la_code for match in found.matches} == set(SITES) - {"894"}
    for treated in set(SITES) - {"894"}:
        own = _of(found.matches, treated)
        assert [match.comparator_la_code for match in own] == _ranking(matching, treated, distance)[:n]
        assert [match.distance_rank for match in own] == list(range(1, n + 1))
        assert [match.distance for match in own] == sorted(match.distance for match in own)


def test_only_pairs_that_were_reviewed_count_as_reviewed(
    matched: tuple[Protocol, AuthorityMatching],
) -> None:
    (found,) = _variant(matched, "nearest_3")
    ranking = _ranking(matched[1], "888", "distance")
    flags = {match.comparator_la_code: match.is_unreviewed for match in _of(found.matches, "888")}
    assert flags == {ranking[0]: True, ranking[1]: True, ranking[2]: False}
    assert all(match.is_unreviewed for match in _of(found.matches, "335"))


def test_leaves_each_comparator_of_the_main_match_out_in_turn(
    matched: tuple[Protocol, AuthorityMatching],
) -> None:
    main = matched[1].matches_of(OUTCOME)
    found = _variant(matched, "leave_one_out")
    comparators = sorted({match.comparator_la_code for match in main})
    assert [row.label for row in found] == [f"without_{code}" for code in comparators]
    for row, code in zip(found, comparators, strict=True):
        assert row.name == f"leave_one_out:without_{code}"
        assert row.matches == tuple(match for match in main if match.comparator_la_code != code)
        gone = {match.treated_la_code for match in main} - {match.treated_la_code for match in row.matches}
        assert (row.note is None) == (not gone)
        for treated in gone:
            assert treated in row.note
    two = {match.comparator_la_code for match in _of(main, "888")}
    assert len(two) == 2
    assert all(_of(row.matches, "888") for row in found)
    assert any(row.note for row in found)


def test_says_where_there_are_fewer_candidates_than_asked_for(
    matched: tuple[Protocol, AuthorityMatching],
) -> None:
    protocol, matching = matched
    many = replace(protocol.match_variant("nearest_3"), n_comparators=100)
    (found,) = variant_matches(protocol, matching, OUTCOME, many)
    n = len(_ranking(matching, "335", "distance"))
    assert len(_of(found.matches, "335")) == n
    assert f"335 has {n} candidates, not the 100 asked for" in (found.note or "")


def test_an_outcome_without_a_match_has_no_variant(matched: tuple[Protocol, AuthorityMatching]) -> None:
    protocol, matching = matched
    assert (
        variant_matches(protocol, replace(matching, matches=()), OUTCOME, protocol.match_variant("nearest_1"))
        == []
    )


def test_a_synthetic_control_weights_the_ten_nearest(matched: tuple[Protocol, AuthorityMatching]) -> None:
    _, matching = matched
    (found,) = _variant(matched, "synthetic_control")
    for treated in set(SITES) - {"894"}:
        own = _of(found.matches, treated)
        assert [match.comparator_la_code for match in own] == _ranking(matching, treated, "distance")[:10]
        weights = np.array([match.comparator_weight for match in own])
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(1)
        # A weighted mean follows the treated authority at least as closely as equal weights do.
        series = matching.series[
            (matching.series.outcome == OUTCOME)
            & (matching.series.treated_la_code == treated)
            & matching.series.is_in_window
        ].pivot(index="quarter_start", columns="la_code", values="mean_value")
        spread = series[[match.comparator_la_code for match in own] + [treated]].std(axis=1)
        donors = series[[match.comparator_la_code for match in own]].to_numpy()

        def misfit(weight: np.ndarray, donors=donors, series=series, treated=treated, spread=spread) -> float:
            return float((((donors @ weight - series[treated]) / spread) ** 2).sum())

        assert misfit(weights) <= misfit(np.full(10, 0.1)) + 1e-9


def test_every_variant_of_every_outcome_becomes_rows_of_results(
    matched: tuple[Protocol, AuthorityMatching],
) -> None:
    protocol, matching = matched
    rows = all_variants(protocol, matching)
    assert set(rows.outcome) == {outcome.outcome for outcome in protocol.outcomes}
    names = {variant.match_variant for variant in protocol.match_variants}
    assert {name.split(":")[0] for name in rows.match_variant} == names
    assert len(names) == 8
    assert not rows.duplicated(["outcome", "match_variant", "match_group", "comparator_la_code"]).any()
    is_synthetic = rows.match_variant == "synthetic_control"
    assert rows.comparator_weight[is_synthetic].notna().all()
    assert rows.comparator_weight[~is_synthetic].isna().all()


def test_a_variant_no_specification_names_is_not_computed(
    matched: tuple[Protocol, AuthorityMatching],
) -> None:
    protocol, matching = matched
    few: tuple[MatchVariant, ...] = (protocol.match_variant("nearest_2"),)
    rows = all_variants(replace(protocol, match_variants=few), matching)
    assert set(rows.match_variant) == {"nearest_2"}
