from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import duckdb
import pytest

from csc_evaluation.errors import CscError
from csc_evaluation.review.data import ReviewData, load_review_data
from support import marts_fixture
from support.match_run_fixture import write_match_run
from support.review_warehouse import OUTCOME, PROGRAMME, SECOND_OUTCOME


def test_candidates_come_in_order_of_rank(review_data: ReviewData) -> None:
    filled = [reviewed for reviewed in review_data.sets if reviewed.kept]
    assert {reviewed.outcome.outcome for reviewed in filled} == {OUTCOME, SECOND_OUTCOME}
    for reviewed in filled:
        assert [row.distance_rank for row in reviewed.kept] == list(range(1, 11))
        distances = [row.distance for row in reviewed.kept]
        assert distances == sorted(distances)


def test_every_authority_is_a_candidate_or_has_its_reason(review_data: ReviewData) -> None:
    for reviewed in review_data.sets:
        ranked = {row.candidate_la_code for row in reviewed.excluded if row.is_candidate}
        assert all(row.reason for row in reviewed.excluded if row.candidate_la_code not in ranked)
        codes = [row.candidate_la_code for row in (*reviewed.kept, *reviewed.excluded)]
        assert len(codes) == len(set(codes)) == len(review_data.authority_names) - 1


def test_no_quarter_after_the_window_is_read(own_warehouse: Path) -> None:
    with duckdb.connect(str(own_warehouse)) as connection:
        connection.execute(
            "insert into results.la_match_series by name select * replace (date '2022-01-01' as quarter_start) "
            "from results.la_match_series where quarter_start = date '2018-10-01'"
        )
    data = load_review_data(PROGRAMME, warehouse=own_warehouse)
    seen = 0
    for reviewed in data.sets:
        for points in reviewed.series.values():
            assert max(point.quarter_start for point in points) == reviewed.last_quarter
            seen += 1
    assert seen == 2 * 5 * 11


def test_a_mean_over_fewer_than_ten_children_is_withheld(own_warehouse: Path) -> None:
    with duckdb.connect(str(own_warehouse)) as connection:
        connection.execute(
            "update results.la_match_series set n_children = 9 where la_code = '335' and quarter_start = date '2017-04-01'"
        )
        connection.execute(
            "update results.la_match_series set n_children = 10 where la_code = '335' and quarter_start = date '2017-07-01'"
        )
    data = load_review_data(PROGRAMME, warehouse=own_warehouse)
    walsall = data.sets[0].series["335"]
    assert walsall[0].quarter_start == dt.date(2017, 4, 1)
    assert walsall[0].mean_value is None
    assert walsall[0].standard_error is None
    assert walsall[1].mean_value is not None


def test_the_latest_run_is_taken_unless_one_is_named(own_warehouse: Path) -> None:
    older = write_match_run(
        own_warehouse, PROGRAMME, run_id="older", started_at=dt.datetime(2026, 10, 1, 9, 0, 0)
    )
    assert load_review_data(PROGRAMME, warehouse=own_warehouse).run.run_id != older
    assert load_review_data(PROGRAMME, warehouse=own_warehouse, run_id=older).run.run_id == older
    with pytest.raises(CscError, match=r"no complete run 'never' .* there is: older, family_safeguarding-"):
        load_review_data(PROGRAMME, warehouse=own_warehouse, run_id="never")


def test_without_a_run_it_says_to_match_first(tmp_path: Path) -> None:
    path = marts_fixture.write_warehouse(tmp_path / "empty.duckdb")
    with pytest.raises(CscError) as caught:
        load_review_data(PROGRAMME, warehouse=path)
    assert str(caught.value) == (
        "family_safeguarding: no matches to review yet; run csceval match family_safeguarding first."
    )


def test_an_unfinished_run_is_no_run(own_warehouse: Path) -> None:
    with duckdb.connect(str(own_warehouse)) as connection:
        connection.execute("update results.runs set status = 'failed'")
    with pytest.raises(CscError, match="run csceval match family_safeguarding first"):
        load_review_data(PROGRAMME, warehouse=own_warehouse)


def test_the_start_is_that_of_embedding_where_there_is_one(review_data: ReviewData) -> None:
    reviewed = review_data.sets[0]
    assert reviewed.starts_on == reviewed.site.go_live_date
    site = dataclasses.replace(
        reviewed.site, embedding_start=dt.date(2019, 1, 1), embedding_end=dt.date(2020, 8, 31)
    )
    assert dataclasses.replace(reviewed, site=site).starts_on == dt.date(2019, 1, 1)
