from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.protocol import Parameters
from csc_evaluation.report.data import AssumptionCheck, Candidate, PairEvidence, Part
from csc_evaluation.report.formatting import EffectUnit
from csc_evaluation.review.context import common_shocks, context_rows
from csc_evaluation.review.data import (
    Inspection,
    InstalledReview,
    Neighbour,
    OtherProgramme,
    Placebo,
    ReviewData,
)
from csc_evaluation.review.page import page_payload, render_review, storage_key, write_review
from csc_evaluation.review.wording import (
    check_cells,
    distance_words,
    evidence_findings,
    pandemic_words,
    set_remarks,
)
from support.review_warehouse import OUTCOME, PROGRAMME

BINARY = EffectUnit.of("binary")


def payload_in(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found.group(1))


@pytest.fixture
def parameters(review_data: ReviewData) -> Parameters:
    return review_data.protocol.parameters


def candidate(distance: float | None, noise: float | None) -> Any:
    return SimpleNamespace(distance=distance, expected_noise=noise)


def evidence(name: str, **changes: Any) -> PairEvidence:
    row = PairEvidence(
        outcome=OUTCOME,
        treated_la_code="335",
        comparator_la_code="202",
        evidence=name,
        status="computed",
        placebo_date=dt.date(2018, 1, 1),
        n_quarters_before=4,
        n_quarters_after=4,
        estimate=-0.021,
        std_error=0.01,
        statistic=-2.1,
        df=None,
        p_value=0.036,
        n_placebos=128,
        share_as_extreme=31 / 128,
        note=None,
    )
    return dataclasses.replace(row, **changes)


# -- words -------------------------------------------------------------------------------------------------


def test_a_distance_below_its_noise_is_said_to_say_nothing() -> None:
    assert distance_words(candidate(0.9, 1.2)).startswith("Below the 1.20 that sampling noise alone gives")
    assert distance_words(candidate(1.2, 1.2)).startswith("Below")
    assert distance_words(candidate(1.8, 1.2)).endswith(
        "1.5 times as much: part of it is a difference in trends."
    )
    assert "not known" in distance_words(candidate(1.0, None))


def test_a_placebo_is_placed_among_the_other_authorities(parameters: Parameters) -> None:
    (found,) = evidence_findings([evidence("placebo_4")], candidate(1.0, 1.0), BINARY, parameters)
    assert found.figures == "−2.10 percentage points (95% −4.06 to −0.14)"
    assert "31 of 128 authorities as if treated show a gap at least this large: unremarkable" in found.words
    assert "does not hold zero although nothing had begun" in found.words
    assert found.value == pytest.approx(-2.1)
    assert not found.is_extreme


def test_a_rare_gap_is_marked_and_few_authorities_settle_nothing(parameters: Parameters) -> None:
    rare = evidence("placebo_4", share_as_extreme=2 / 128)
    few = evidence("placebo_4", share_as_extreme=0.0, n_placebos=8)
    (found,) = evidence_findings([rare], candidate(1.0, 1.0), BINARY, parameters)
    assert found.is_extreme
    assert found.words.endswith(": unusual.")
    (found,) = evidence_findings([few], candidate(1.0, 1.0), BINARY, parameters)
    assert not found.is_extreme
    assert found.words.endswith("too few to call it usual or unusual.")


def test_degrees_of_freedom_widen_the_interval(parameters: Parameters) -> None:
    (found,) = evidence_findings([evidence("placebo_4", df=4.0)], candidate(1.0, 1.0), BINARY, parameters)
    # Student's t with 4 degrees of freedom: 2.776 standard errors.
    assert found.figures.endswith("(95% −4.88 to 0.68)")


def test_what_cannot_be_computed_shows_why_and_no_number(parameters: Parameters) -> None:
    row = evidence(
        "placebo_8", status="not computable", note="3 quarters before", estimate=None, std_error=None
    )
    (found,) = evidence_findings([row], candidate(1.0, 1.0), BINARY, parameters)
    assert found.words == "Not computable: 3 quarters before."
    assert found.value is None
    assert found.dots is None


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1.0, "an unusually near pair"),
        (0.5, "as near as others come by chance"),
        (0.0, "nearly all find a nearer"),
    ],
)
def test_a_distance_is_placed_among_nearest_distances(
    share: float, said: str, parameters: Parameters
) -> None:
    row = evidence("distance", estimate=0.4, share_as_extreme=share, n_placebos=100)
    (found,) = evidence_findings([row], candidate(0.4, 1.0), BINARY, parameters)
    assert said in found.words
    assert found.dots == "nearest_distance"


def test_evidence_stands_in_the_order_of_reading(parameters: Parameters) -> None:
    rows = [evidence(name) for name in ("leads", "constant_gap", "placebo_8", "distance", "placebo_4")]
    found = evidence_findings(rows, candidate(0.4, 1.0), BINARY, parameters)
    assert [row.key for row in found] == ["distance", "placebo_4", "placebo_8", "constant_gap", "leads"]


def kept(review_data: ReviewData, **changes: Any) -> Any:
    reviewed = review_data.sets[0]
    rows = tuple(dataclasses.replace(row, **changes) for row in reviewed.kept)
    return dataclasses.replace(reviewed, kept=rows)


def test_ranks_are_called_noise_when_most_candidates_lie_below_it(
    review_data: ReviewData, parameters: Parameters
) -> None:
    noisy = set_remarks(kept(review_data, distance=0.5, expected_noise=1.0), parameters)
    clear = set_remarks(kept(review_data, distance=1.5, expected_noise=1.0), parameters)
    assert any(remark.startswith("The ranks are mostly noise: 10 of 10 candidates") for remark in noisy)
    assert not any("mostly noise" in remark for remark in clear)


@pytest.mark.parametrize(
    ("n_nearer", "said"), [(2, "unusually near"), (30, "no nearer than others find by chance")]
)
def test_the_nearest_is_held_against_other_authorities_nearest(
    review_data: ReviewData, n_nearer: int, said: str, parameters: Parameters
) -> None:
    values = [0.1] * n_nearer + [2.0] * (100 - n_nearer)
    placebos = tuple(
        Placebo(OUTCOME, "335", f"{number}", "202", "nearest_distance", value, None)
        for number, value in enumerate(values)
    )
    reviewed = dataclasses.replace(kept(review_data, distance=0.5, expected_noise=0.1), placebos=placebos)
    assert any(
        remark.startswith(f"{n_nearer} of 100 other authorities") and said in remark
        for remark in set_remarks(reviewed, parameters)
    )


def test_pandemic_quarters_are_counted_in_words(review_data: ReviewData) -> None:
    def words(inside: int, outside: int) -> str:
        row: Candidate = dataclasses.replace(
            review_data.sets[0].kept[0],
            n_pandemic_quarters_in_window=inside,
            n_pandemic_quarters_outside=outside,
        )
        return pandemic_words(row)

    assert words(1, 5) == "1 pandemic quarter in the window, 5 outside it."
    assert words(0, 6).startswith("No pandemic quarter in the window; 6 outside it")
    assert words(0, 0) == "No pandemic quarter in these data."


def test_a_check_on_another_measure_is_not_scaled_to_the_outcome() -> None:
    check = AssumptionCheck(
        OUTCOME,
        "common_shocks",
        "reacts_referrals_per_10000",
        "school_closures",
        "computed",
        *[None] * 13,
        None,
    )
    check = dataclasses.replace(check, estimate=-12.5, ci_low=-20.0, ci_high=-5.0)
    assert check_cells(check, BINARY, ["referrals_per_10000"])["estimate"] == "−12.50 (−20.00 to −5.00)"
    own = dataclasses.replace(check, check_name="pandemic_restrictions", estimate=-0.02, ci_low=None)
    assert check_cells(own, BINARY, ["referrals_per_10000"])["estimate"] == "−2.00"


# -- context -----------------------------------------------------------------------------------------------


def context_of(data: ReviewData, label: str) -> Any:
    reviewed = data.sets[0]
    rows = context_rows(data, reviewed, reviewed.kept[0].candidate_la_code)
    return next(row for row in rows if row.label.startswith(label))


def test_what_is_not_landed_says_so(review_data: ReviewData) -> None:
    for label in ("Statistical", "Ofsted", "Data quality"):
        row = context_of(review_data, label)
        assert (row.treated, row.comparator, row.comparison) == ("not landed", "not landed", "")


def test_the_judgement_is_the_last_one_public_before_the_start(review_data: ReviewData) -> None:
    other = review_data.sets[0].kept[0].candidate_la_code
    inspections = (
        Inspection("335", dt.date(2017, 1, 1), dt.date(2017, 3, 1), "Inadequate"),
        Inspection("335", dt.date(2019, 1, 1), dt.date(2019, 3, 1), "Good"),
        Inspection("335", dt.date(2019, 9, 1), dt.date(2019, 10, 1), None),
        # Inspected before go-live on 1 September 2020, published after it: not yet known.
        Inspection("335", dt.date(2020, 7, 1), dt.date(2020, 9, 1), "Outstanding"),
        Inspection(other, dt.date(2018, 1, 1), None, "Good"),
    )
    row = context_of(dataclasses.replace(review_data, inspections=Part(inspections)), "Ofsted")
    assert row.treated == "Good (known from 1 March 2019)"
    assert row.comparator == "Good (known from 1 January 2018)"
    assert row.comparison == "same"


def test_a_neighbour_is_one_that_the_treated_authority_lists_in_the_latest_edition(
    review_data: ReviewData,
) -> None:
    other = review_data.sets[0].kept[0].candidate_la_code
    old = Neighbour("335", other, 1, "very close", "2014")
    new = Neighbour("335", other, 4, "close", "2021")
    foreign = Neighbour("335", "999", 4, "close", "2021")
    row = context_of(dataclasses.replace(review_data, neighbours=Part((old, new))), "Statistical")
    assert row.treated == "lists the other as neighbour 4, close (2021)"
    assert row.comparator == "no list of its own in the edition of 2021"
    assert row.comparison == "neighbour"
    row = context_of(dataclasses.replace(review_data, neighbours=Part((old, foreign))), "Statistical")
    assert (row.treated, row.comparison) == ("does not list the other", "not one")


def test_the_programme_under_evaluation_is_not_another_programme_of_its_own_authority(
    review_data: ReviewData,
) -> None:
    rows = (
        OtherProgramme("335", "Family Safeguarding", dt.date(2020, 9, 1), None, True),
        OtherProgramme("335", "No Wrong Door", dt.date(2021, 1, 1), None, False),
    )
    row = context_of(dataclasses.replace(review_data, other_programmes=Part(rows)), "Other programmes")
    assert row.treated == "No Wrong Door, since 1 January 2021"


def test_common_shocks_are_placed_against_the_window(review_data: ReviewData) -> None:
    pandemic = next(
        line for line in common_shocks(review_data, review_data.sets[0]) if line.startswith("Pandemic")
    )
    # Walsall: cut-off 1 March 2019, go-live 1 September 2020; restrictions from March 2020 to July 2021.
    assert pandemic.endswith(": between cut-off and start, after the start")
    assert not any("Peter Connelly" in line for line in common_shocks(review_data, review_data.sets[0]))
    protocol = review_data.protocol
    earlier = dataclasses.replace(protocol.programme, data_span_end=dt.date(2020, 3, 22))
    ended = dataclasses.replace(review_data, protocol=dataclasses.replace(protocol, programme=earlier))
    assert not any(line.startswith("Pandemic") for line in common_shocks(ended, ended.sets[0]))


# -- the page ----------------------------------------------------------------------------------------------


def test_the_page_needs_no_other_file_and_forbids_the_network(review_data: ReviewData) -> None:
    page = render_review(review_data)
    assert not re.search(r"""(src|href)=["'](?!#|data:,)""", page)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page
    assert len(page) < 3_000_000


def test_no_text_can_leave_the_data(review_data: ReviewData) -> None:
    nasty = "</script><img src=x onerror=alert(1)> & \u2028"
    names = dict(review_data.authority_names) | {"335": nasty}
    page = render_review(dataclasses.replace(review_data, authority_names=names))
    assert nasty not in page
    assert payload_in(page)["authorities"]["335"] == nasty


def test_the_page_is_the_same_for_the_same_run(review_data: ReviewData) -> None:
    assert render_review(review_data) == render_review(review_data)


def test_series_hold_nothing_after_the_window(review_data: ReviewData) -> None:
    filled = [row for row in page_payload(review_data)["sets"] if row["candidates"]]
    assert len(filled) == 10
    for row in filled:
        assert {points[-1][0] for points in row["series"].values()} == {row["last_quarter"]}
        assert row["last_quarter"] < row["cut_off"] <= row["starts_on"]


def test_a_set_without_candidates_says_why(review_data: ReviewData) -> None:
    empty = [row for row in page_payload(review_data)["sets"] if not row["candidates"]]
    assert empty
    assert {row["why_none"] for row in empty} == {
        "The treated authority has too few quarters before go-live minus the window."
    }


def test_work_is_kept_under_the_lists_of_candidates(review_data: ReviewData) -> None:
    run = dataclasses.replace(review_data.run, run_id="another run of the same lists")
    assert storage_key(dataclasses.replace(review_data, run=run)) == storage_key(review_data)
    first = review_data.sets[0]
    other = dataclasses.replace(
        first, kept=tuple(dataclasses.replace(row, candidates_hash="f" * 16) for row in first.kept)
    )
    changed = dataclasses.replace(review_data, sets=(other, *review_data.sets[1:]))
    assert storage_key(changed) != storage_key(review_data)


def test_only_reviews_of_the_present_list_are_taken_up(review_data: ReviewData) -> None:
    first = review_data.sets[0]
    code = first.kept[0].candidate_la_code
    present = InstalledReview(
        PROGRAMME,
        OUTCOME,
        "335",
        code,
        True,
        True,
        True,
        "accepted",
        None,
        "A",
        dt.date(2026, 1, 2),
        first.candidates_hash,
    )
    old = dataclasses.replace(present, candidates_hash="0" * 16, decision="rejected", reason="was odd")
    changed = dataclasses.replace(first, installed=(present, old))
    row = page_payload(dataclasses.replace(review_data, sets=(changed, *review_data.sets[1:])))["sets"][0]
    assert [installed["decision"] for installed in row["installed"]] == ["accepted"]
    assert row["installed"][0]["reviewed_on"] == "2026-01-02"
    assert row["earlier"] == [
        f"{review_data.authority(code)} was rejected on an earlier list by A on 2 January 2026 (was odd)"
    ]


def test_it_is_written_whole_or_not_at_all(review_warehouse: Path, tmp_path: Path) -> None:
    target = write_review(PROGRAMME, warehouse=review_warehouse, output=tmp_path / "page.html")
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(CscError, match="no such folder"):
        write_review(PROGRAMME, warehouse=review_warehouse, output=tmp_path / "nowhere" / "page.html")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
