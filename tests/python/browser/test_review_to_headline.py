"""From candidates to a headline that has lost its ``unreviewed``: estimate, review in a browser, import, estimate again."""

from __future__ import annotations

from pathlib import Path

import duckdb

from csc_evaluation.estimation.run import run_programme
from csc_evaluation.report import write_report
from csc_evaluation.review import import_reviews, write_review
from support import marts_fixture
from support.review_page import ReviewPage

PROGRAMME = marts_fixture.PROGRAMME


def headline_of(warehouse: Path, page: Path) -> str:
    """The report's answer to what was asked, as its text."""
    text = write_report(PROGRAMME, warehouse=warehouse, output=page).read_text(encoding="utf-8")
    return text.split('<section id="answer">')[1].split("</section>")[0]


def test_a_reviewed_programme_loses_unreviewed_from_its_headline(
    browser: object, own_project: Path, tmp_path: Path
) -> None:
    warehouse = marts_fixture.write_warehouse(tmp_path / "small.duckdb")
    with duckdb.connect(str(warehouse)) as connection:
        # The headline alone: what other comparators give is not the question here, and takes minutes.
        connection.execute("delete from protocol.specifications where not cast(is_headline as boolean)")
    assert run_programme(PROGRAMME, warehouse=warehouse).is_unreviewed
    assert "unreviewed" in headline_of(warehouse, tmp_path / "before.html").lower()

    page = write_review(PROGRAMME, warehouse=warehouse, output=tmp_path / "review.html")
    with ReviewPage.opened(browser, page) as opened:
        opened.give_name()
        needed = int(opened.page.evaluate("Work.openSets().length"))
        assert needed
        for _ in range(needed):
            opened.accept_all_hold()
            opened.press("u")
        assert "Every authority and outcome has a decision" in opened.message()
        file = tmp_path / f"{PROGRAMME}_reviews.csv"
        file.write_text(opened.download(), encoding="utf-8", newline="")
        opened.must_have_kept_quiet()

    done = import_reviews(file, warehouse=warehouse, programme=PROGRAMME)
    assert (done.n_accepted, done.n_rejected, done.still_open) == (needed, 0, ())
    after = run_programme(PROGRAMME, warehouse=warehouse)
    assert not after.is_unreviewed
    assert {match.decision for match in after.matches} == {"accepted"}
    assert "unreviewed" not in headline_of(warehouse, tmp_path / "after.html").lower()
