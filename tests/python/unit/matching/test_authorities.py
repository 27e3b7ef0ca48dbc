"""Matching authorities on trends: distances, who may be a candidate, reviews."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from csc_evaluation.errors import OtherCandidatesError, SeedError
from csc_evaluation.estimation.protocol import Protocol, read_protocol
from csc_evaluation.matching.authorities import AuthorityMatching, match_authorities
from csc_evaluation.matching.decisions import Cause, candidates_hash
from csc_evaluation.warehouse import ibis_readable
from support.marts_fixture import OTHERS, OUTCOME, PROGRAMME, SITES, World, write_warehouse


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_warehouse(tmp_path_factory.mktemp("matching") / "w.duckdb", World(seed=4))


def _copy(world: Path, folder: Path, *statements: str) -> Path:
    path = folder / "changed.duckdb"
    path.write_bytes(world.read_bytes())
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


def _match(path: Path) -> tuple[Protocol, AuthorityMatching]:
    with ibis_readable(path) as backend:
        protocol = read_protocol(backend, PROGRAMME)
        return protocol, match_authorities(backend, [protocol])[PROGRAMME]


# -- distances -------------------------------------------------------------------------------------------------


def test_distances_agree_with_a_plain_pandas_implementation(world: Path) -> None:
    protocol, matching = _match(world)
    with duckdb.connect(str(world), read_only=True) as connection:
        quarters = connection.execute("select * from marts.la_quarter_outcomes").df()
    quarters["quarter_start"] = quarters.quarter_start.dt.date
    for window in (window for window in matching.windows if window.outcome == OUTCOME):
        treated = window.site.la_code
        block = quarters[quarters.quarter_start.isin(window.quarters)]
        y = block.pivot(index="la_code", columns="quarter_start", values="mean_value")
        n = block.pivot(index="la_code", columns="quarter_start", values="n_children")
        excluded = {row.la_code for row in protocol.exclusions} | set(SITES)
        usable = [
            code
            for code in y.index
            if code not in excluded
            and y.loc[code].notna().all()
            and (n.loc[code] >= protocol.parameters.matching_n_min).all()
        ]
        compared = y.loc[[*usable, treated]]
        change = ((compared - compared.mean()) / compared.std(ddof=1)).T.diff().iloc[1:]
        expected = ((change[usable].sub(change[treated], axis=0)) ** 2).mean().pow(0.5).sort_values()
        found = matching.candidates[
            (matching.candidates.treated_la_code == treated) & matching.candidates.is_candidate
        ].sort_values("distance_rank")
        assert list(found.candidate_la_code) == list(expected.index)
        np.testing.assert_allclose(found.distance, expected.to_numpy(), rtol=1e-10)
        assert found.is_kept.sum() == min(10, len(expected))


def test_distance_of_a_worked_example(world: Path, tmp_path: Path) -> None:
    """Two candidates and a treated authority whose means are chosen so that z can be had by hand."""
    keep = "('202', '203', '866')"
    path = _copy(
        world,
        tmp_path,
        f"update marts.la_quarter_outcomes set mean_value = null, n_children = 0 where la_code not in {keep}",
        "update marts.la_quarter_outcomes set n_children = 100 where la_code in ('202', '203', '866')",
        # In each quarter two are alike and one differs, so z is (2, -1, -1) / sqrt(3) or its negative.
        "update marts.la_quarter_outcomes set mean_value = case when la_code = '866' then 0.2 else 0.1 end "
        f"where la_code in {keep}",
        "update marts.la_quarter_outcomes set mean_value = case when la_code = '202' then 0.3 else 0.1 end "
        f"where la_code in {keep} and quarter_start = date '2019-07-01'",
    )
    _, matching = _match(path)
    rows = matching.candidates[
        (matching.candidates.treated_la_code == "866") & matching.candidates.is_candidate
    ]
    distance = dict(zip(rows.candidate_la_code, rows.distance, strict=True))
    # Over the seven changes only two differ from zero: into and out of 2019-07-01. z of 866 falls by 3/sqrt(3), of 202 rises
    # by as much and 203 stays; then all go back. So 202 is 6/sqrt(3) away twice and 203 is 3/sqrt(3) away twice.
    assert distance["202"] == pytest.approx(np.sqrt(2 * 36 / 3 / 7))
    assert distance["203"] == pytest.approx(np.sqrt(2 * 9 / 3 / 7))
    assert list(rows.sort_values("distance_rank").candidate_la_code) == ["203", "202"]


def test_where_no_authority_differs_from_another_nobody_is_matched(world: Path, tmp_path: Path) -> None:
    path = _copy(
        world, tmp_path, "update marts.la_quarter_outcomes set mean_value = 0.1 where n_children > 0"
    )
    _, matching = _match(path)
    rows = matching.candidates[(matching.candidates.outcome == OUTCOME) & matching.candidates.is_candidate]
    assert (rows.distance == 0).all()
    assert not rows.is_kept.any()
    assert matching.matches == ()
    departures = matching.departures_of(OUTCOME)
    assert {row.treated_la_code for row in departures} == set(SITES)
    assert {row.cause for row in departures} == {Cause.constant_series}
    assert "does any authority differ from another" in departures[0].reason
    assert matching.evidence.empty


def test_one_quarter_in_which_they_differ_is_enough(world: Path, tmp_path: Path) -> None:
    path = _copy(
        world,
        tmp_path,
        "update marts.la_quarter_outcomes set mean_value = 0.1 where n_children > 0",
        "update marts.la_quarter_outcomes set mean_value = 0.2 where n_children > 0 and la_code < '300' "
        "and quarter_start = '2018-10-01'",
    )
    _, matching = _match(path)
    assert {match.treated_la_code for match in matching.matches_of(OUTCOME)} == set(SITES)


def test_an_authority_that_is_no_candidate_does_not_enter_the_standardisation(
    world: Path, tmp_path: Path
) -> None:
    wild = "update marts.la_quarter_outcomes set mean_value = 0.9, n_children = 5 where la_code = '209'"
    wilder = "update marts.la_quarter_outcomes set mean_value = 0.01, n_children = 5 where la_code = '209'"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, first = _match(_copy(world, tmp_path / "a", wild))
    _, second = _match(_copy(world, tmp_path / "b", wilder))
    pd.testing.assert_frame_equal(first.candidates, second.candidates)
    assert "209" not in set(first.series.la_code)


# -- who may be a candidate ------------------------------------------------------------------------------------


def _reason(matching: AuthorityMatching, treated: str, code: str) -> str:
    rows = matching.candidates[matching.candidates.outcome == OUTCOME]
    (reason,) = rows[(rows.treated_la_code == treated) & (rows.candidate_la_code == code)].reason
    return str(reason)


def test_every_authority_that_is_no_candidate_has_its_reason(world: Path, tmp_path: Path) -> None:
    path = _copy(
        world,
        tmp_path,
        "update marts.la_quarter_outcomes set n_children = 19 where la_code = '202' and quarter_start = '2018-04-01'",
        "update marts.la_quarter_outcomes set n_children = 0, mean_value = null "
        "where la_code = '203' and quarter_start in ('2018-04-01', '2018-07-01')",
        "insert into protocol.exclusions values "
        f"('{PROGRAMME}', '204', 'runs a pilot', '2023-01-01', '2023-06-30', 'false', 'test'), "
        f"('{PROGRAMME}', '205', 'left before the data begin', '2010-01-01', '2011-01-01', 'false', 'test')",
    )
    protocol, matching = _match(path)
    rows = matching.candidates[matching.candidates.outcome == OUTCOME]
    assert len(rows) == len(SITES) * rows.candidate_la_code.nunique()
    assert (rows.is_candidate == rows.reason.isna()).all()
    assert (rows.is_candidate == rows.distance.notna()).all()
    assert _reason(matching, "335", "202") == "fewer than 20 children in 1 of 7 quarters"
    assert _reason(matching, "335", "203") == "no data in 2 of 7 quarters"
    # The quarters of 866 start later, so what 203 lacks does not matter to it.
    assert "203" in set(rows[(rows.treated_la_code == "866") & rows.is_candidate].candidate_la_code)
    assert _reason(matching, "335", "204") == "excluded: runs a pilot (2023-01-01 to 2023-06-30)"
    assert "205" in set(rows[rows.is_candidate].candidate_la_code)
    assert _reason(matching, "335", "919") == "excluded: uses the model (developer)"
    assert _reason(matching, "335", "888") == "is an authority of the programme"
    assert _reason(matching, "335", "335") == "is the treated authority itself"
    assert _reason(matching, "335", "909") == "the authority did not exist throughout the programme's data"
    assert protocol.parameters.matching_n_min == 20


def test_a_treated_authority_without_data_in_a_quarter_leaves_with_its_reason(
    world: Path, tmp_path: Path
) -> None:
    path = _copy(
        world,
        tmp_path,
        "update marts.la_quarter_outcomes set n_children = 0, mean_value = null "
        "where la_code = '212' and quarter_start = '2019-01-01'",
    )
    _, matching = _match(path)
    (departure,) = matching.departures_of(OUTCOME)
    assert departure.cause is Cause.missing_quarter
    assert departure.treated_la_code == "212"
    assert "no fully observed children" in departure.reason
    assert not matching.candidates[matching.candidates.treated_la_code == "212"].is_candidate.any()
    assert {match.treated_la_code for match in matching.matches} == set(SITES) - {"212"}


def test_a_treated_authority_with_too_few_quarters_leaves_with_its_reason(
    world: Path, tmp_path: Path
) -> None:
    path = _copy(
        world, tmp_path, "update protocol.sites set go_live_date = '2019-12-01' where la_code = '335'"
    )
    _, matching = _match(path)
    (departure,) = matching.departures_of(OUTCOME)
    assert (departure.treated_la_code, departure.cause) == ("335", Cause.too_few_quarters)
    assert departure.reason.startswith("fewer than 6 full quarters")


# -- reviews ---------------------------------------------------------------------------------------------------


def _kept(matching: AuthorityMatching, treated: str) -> tuple[list[str], str]:
    rows = matching.candidates[(matching.candidates.treated_la_code == treated) & matching.candidates.is_kept]
    rows = rows.sort_values("distance_rank")
    return list(rows.candidate_la_code), rows.candidates_hash.iloc[0]


def _review(treated: str, code: str, decision: str, list_hash: str, verdict: str = "true") -> str:
    return (
        "insert into protocol.match_reviews values "
        f"('{PROGRAMME}', '{OUTCOME}', '{treated}', '{code}', '{verdict}', 'true', 'true', '{decision}', 'seen', "
        f"'A. Reviewer', '2026-01-05', '{list_hash}')"
    )


def test_without_a_review_the_nearest_is_taken_and_marked_unreviewed(world: Path) -> None:
    _, matching = _match(world)
    for match in matching.matches:
        assert match.comparator_la_code == _kept(matching, match.treated_la_code)[0][0]
        assert match.distance_rank == 1
    assert all(match.is_unreviewed for match in matching.matches)


def test_accepted_comparators_replace_the_nearest(world: Path, tmp_path: Path) -> None:
    _, plain = _match(world)
    kept, list_hash = _kept(plain, "888")
    path = _copy(
        world,
        tmp_path,
        _review("888", kept[0], "rejected", list_hash, "false"),
        _review("888", kept[2], "accepted", list_hash),
        _review("888", kept[4], "accepted", list_hash),
    )
    _, matching = _match(path)
    chosen = [match for match in matching.matches if match.treated_la_code == "888"]
    assert [match.comparator_la_code for match in chosen] == [kept[2], kept[4]]
    assert not any(match.is_unreviewed for match in chosen)
    assert matching.is_unreviewed(OUTCOME)


def test_rejecting_all_candidates_makes_the_treated_authority_leave(world: Path, tmp_path: Path) -> None:
    _, plain = _match(world)
    kept, list_hash = _kept(plain, "888")
    path = _copy(world, tmp_path, *(_review("888", code, "rejected", list_hash, "false") for code in kept))
    _, matching = _match(path)
    (departure,) = matching.departures_of(OUTCOME)
    assert (departure.treated_la_code, departure.cause) == ("888", Cause.all_rejected)
    assert departure.reason == "a reviewer accepted none of the 10 candidates"


def test_a_review_in_progress_takes_the_nearest_not_yet_rejected(world: Path, tmp_path: Path) -> None:
    _, plain = _match(world)
    kept, list_hash = _kept(plain, "888")
    path = _copy(world, tmp_path, _review("888", kept[0], "rejected", list_hash, "false"))
    _, matching = _match(path)
    (match,) = [match for match in matching.matches if match.treated_la_code == "888"]
    assert match.comparator_la_code == kept[1]
    assert match.is_unreviewed


def test_a_review_of_an_earlier_list_does_not_count_as_reviewed(world: Path, tmp_path: Path) -> None:
    _, plain = _match(world)
    kept, _ = _kept(plain, "888")
    _, matching = _match(_copy(world, tmp_path, _review("888", kept[1], "accepted", "0123456789abcdef")))
    (match,) = [match for match in matching.matches if match.treated_la_code == "888"]
    assert (match.comparator_la_code, match.decision) == (kept[1], "accepted on an earlier list")
    assert match.is_unreviewed


def test_refuses_an_accepted_comparator_that_is_no_candidate(world: Path, tmp_path: Path) -> None:
    with pytest.raises(OtherCandidatesError, match=r"919 is accepted for 888 .* not among its 10 candidates"):
        _match(_copy(world, tmp_path, _review("888", "919", "accepted", "x")))


def test_a_new_list_can_be_drawn_up_although_an_accepted_comparator_is_no_candidate_any_more(
    world: Path, tmp_path: Path
) -> None:
    path = _copy(world, tmp_path, _review("888", "919", "accepted", "x"))
    with ibis_readable(path) as backend:
        protocol = read_protocol(backend, PROGRAMME)
        matching = match_authorities(backend, [protocol], refuses_lost_comparators=False)[PROGRAMME]
    kept, _ = _kept(matching, "888")
    (match,) = [match for match in matching.matches if match.treated_la_code == "888"]
    assert match.comparator_la_code == kept[0]
    assert match.is_unreviewed
    assert "no candidate any more" in match.decision


def test_refuses_an_acceptance_whose_verdicts_do_not_all_hold(world: Path, tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="do not all hold"):
        _match(_copy(world, tmp_path, _review("888", "202", "accepted", "x", "false")))


def test_the_hash_of_a_kept_list_changes_with_the_list_alone(world: Path, tmp_path: Path) -> None:
    _, first = _match(world)
    (tmp_path / "same").mkdir()
    _, again = _match(_copy(world, tmp_path / "same"))
    pd.testing.assert_frame_equal(first.candidates, again.candidates)
    code = _kept(first, "888")[0][0]
    _, other = _match(
        _copy(
            world,
            tmp_path,
            f"insert into protocol.exclusions values ('{PROGRAMME}', '{code}', 'x', null, null, 'false', 'x')",
        )
    )
    assert _kept(first, "888")[1] != _kept(other, "888")[1]


def test_the_fixture_has_candidates_for_every_site(world: Path) -> None:
    _, matching = _match(world)
    assert {match.treated_la_code for match in matching.matches} == set(SITES)
    assert {match.comparator_la_code for match in matching.matches} <= set(OTHERS)


def test_expected_noise_is_the_distance_between_authorities_that_differ_by_chance_alone(
    tmp_path: Path,
) -> None:
    """Where all authorities share one true rate, squared distances average to their squared expected noise."""
    path = write_warehouse(
        tmp_path / "alike.duckdb",
        World(seed=12, effect=0.0, authority_sd=0.0, quarter_sd=0.0, children_per_quarter=120),
    )
    _, matching = _match(path)
    rows = matching.candidates[matching.candidates.is_candidate]
    ratio = (rows.distance**2).sum() / (rows.expected_noise**2).sum()
    assert ratio == pytest.approx(1.0, abs=0.15)


def test_a_match_carries_the_calendar_of_its_group(world: Path, tmp_path: Path) -> None:
    path = _copy(
        world,
        tmp_path,
        "update protocol.sites set embedding_start = '2021-02-01', embedding_end = '2021-06-30', "
        f"go_live_date = '2021-07-01' where programme = '{PROGRAMME}' and la_code = '888'",
    )
    _, matching = _match(path)
    for match in matching.matches_of(OUTCOME):
        if match.treated_la_code == "888":
            assert (str(match.embedding_start), str(match.embedding_end)) == ("2021-02-01", "2021-06-30")
            assert str(match.go_live_date) == "2021-07-01"
        else:
            assert (match.embedding_start, match.embedding_end) == (None, None)
        assert match.comparator_weight is None


def test_windows_count_their_pandemic_quarters_on_every_candidate_row(world: Path) -> None:
    _, matching = _match(world)
    rows = matching.candidates[matching.candidates.outcome == OUTCOME]
    counts = rows.groupby("treated_la_code")[
        ["n_pandemic_quarters_in_window", "n_pandemic_quarters_outside"]
    ].agg(["min", "max"])
    assert counts.loc["335"].tolist() == [0, 0, 7, 7]
    assert counts.loc["866"].tolist() == [3, 3, 4, 4]


def test_the_hash_of_a_kept_list_is_another_in_another_programme(world: Path) -> None:
    _, matching = _match(world)
    window = matching.windows[0]
    kept, list_hash = _kept(matching, window.site.la_code)
    assert candidates_hash(PROGRAMME, window, kept) == list_hash
    assert candidates_hash("another", window, kept) != list_hash
    assert candidates_hash(PROGRAMME, window, kept[::-1]) != list_hash
