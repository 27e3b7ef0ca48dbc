"""The review page in a real browser, from a file, by keyboard."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from csc_evaluation.review import import_reviews
from csc_evaluation.review.data import REVIEW_COLUMNS
from csc_evaluation.review.importing import read_review_file
from support.review_page import REVIEWER, ReviewPage
from support.review_warehouse import OUTCOME, PROGRAMME, SECOND_OUTCOME, kept

N_SETS = 10


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_one_programme_is_reviewed_to_the_end_by_keyboard_alone(
    review: ReviewPage,
    review_warehouse: Path,
    own_project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Walsall, first outcome: none of the ten.
    for rank in range(10):
        review.reject(f'Rank {rank + 1}: "turns", in 2018')
        if rank < 9:
            review.press("n")
    assert "None of the ten is accepted: Walsall leaves the outcome" in review.text("#pair .left")
    for done in range(2, N_SETS + 1):
        review.press("u")
        review.accept_all_hold()
        assert review.text("#progress-words") == f"{done} of {N_SETS} decided"
    assert "Nothing is left undecided" in review.text("#set-state")
    assert "All decided" in review.text("#pair .finished")
    text = review.download()
    assert text.splitlines()[0] == ",".join(REVIEW_COLUMNS)
    rows = rows_of(text)
    assert len(rows) == 10 + N_SETS - 1
    listed_hash, codes = kept(review_warehouse)
    rejected = [row for row in rows if row["decision"] == "rejected"]
    assert {row["comparator_la_code"] for row in rejected} == set(codes)
    assert {row["candidates_hash"] for row in rejected} == {listed_hash}
    assert {(row["trend"], row["placebo"], row["shocks"]) for row in rejected} == {("false", "true", "true")}
    assert 'Rank 1: "turns", in 2018' in {row["reason"] for row in rejected}
    assert {row["reviewer"] for row in rows} == {REVIEWER}
    # The real import takes the file as it is.
    from csc_evaluation import dbt_runner

    monkeypatch.setattr(dbt_runner, "run_dbt", lambda *_, **__: None)
    file = tmp_path / "family_safeguarding_reviews.csv"
    file.write_text(text, encoding="utf-8", newline="")
    done_import = import_reviews(file, warehouse=review_warehouse)
    assert (done_import.n_accepted, done_import.n_rejected, done_import.still_open) == (N_SETS - 1, 10, ())
    assert done_import.leaving == (f"Walsall leaves {OUTCOME}: none of its 10 candidates is accepted",)


def test_accept_waits_until_all_three_hold(review: ReviewPage) -> None:
    assert not review.is_enabled("#accept")
    review.press("a")
    assert "trend, placebo and shocks do not so far" in review.message()
    review.press("1", "2", "a")
    assert not review.is_enabled("#accept")
    assert "shocks does not so far" in review.message()
    review.press("3")
    assert review.is_enabled("#accept")
    review.press("a")
    assert f"accepted by {REVIEWER}" in review.text("#decision")
    # A verdict that no longer holds takes the acceptance with it.
    review.press("2")
    assert review.text("#decision") == ""
    assert "taken back" in review.message()
    assert not review.is_enabled("#accept")


def test_reject_needs_all_verdicts_and_a_reason(review: ReviewPage) -> None:
    review.press("r")
    assert "Say first of trend, placebo and shocks" in review.message()
    review.press("1", "1", "2", "3", "r")
    assert review.page.evaluate("document.activeElement.id") == "reason"
    review.press("Enter")
    assert review.text("#decision") == ""
    review.page.keyboard.type("an attack of 123 anxious rabbits?")
    review.press("Enter")
    assert "rejected by" in review.text("#decision")
    # The letters of the reason were text, not shortcuts.
    assert review.page.input_value("#reason") == "an attack of 123 anxious rabbits?"
    assert "1 Walsall" not in review.text("#verdict-heading")
    assert review.text("#verdict-heading").startswith("Rank 1:")


def test_a_rejection_without_its_reason_is_none(review: ReviewPage) -> None:
    review.reject("odd")
    review.page.fill("#reason", "")
    assert review.text("#decision") == ""
    assert rows_of(review.page.evaluate("Work.csv()")) == []


def test_work_is_kept_when_the_page_is_closed_in_the_middle(review: ReviewPage) -> None:
    review.accept_all_hold()
    review.press("n", "1", "1")
    review.page.keyboard.press("2")
    review.page.fill("#reason", "half a thought")
    review.page.reload()
    assert review.text("#verdict-heading").startswith("Rank 2:")
    assert review.page.input_value("#reason") == "half a thought"
    assert review.page.is_checked("#verdict-trend input[value=false]")
    assert review.page.is_checked("#verdict-placebo input[value=true]")
    assert review.page.is_checked("#verdict-shocks input[value=null]")
    assert review.text("#progress-words") == f"1 of {N_SETS} decided"
    # The name is not asked again.
    assert review.page.query_selector("dialog[open]") is None
    review.press("p")
    assert "accepted" in review.text("#decision")


def test_the_export_warns_of_what_has_no_decision(review: ReviewPage) -> None:
    review.press("e")
    assert "nothing to export" in review.text("#export-summary")
    assert not review.is_enabled("#download")
    review.press("Escape", "n")
    review.accept_all_hold()
    assert "Rank 1 before it has no decision yet" in review.message()
    review.press("e")
    summary = review.text("#export-summary")
    assert "1 pair with a decision goes into the file" in summary
    assert f"{N_SETS - 1} without a decision" in summary
    assert "Lancashire: Looked after within 18 months of first referral" in summary
    assert "Accepted past a nearer candidate without a decision: Walsall" in summary
    assert "Walsall: Looked after" not in review.text("#export-summary .open-list")
    # From the list straight to what is open.
    review.page.click("#export-summary .open-list button >> nth=0")
    assert review.text("#pair h2").startswith("Lancashire and")


def test_an_exported_file_goes_on_in_another_browser(
    review: ReviewPage, browser: object, page_file: Path, tmp_path: Path
) -> None:
    review.accept_all_hold()
    review.press("t")
    review.reject('a comma, a "quote"')
    file = tmp_path / "reviews.csv"
    file.write_text(review.download(), encoding="utf-8", newline="")
    stale = file.read_text(encoding="utf-8").splitlines()[1].rsplit(",", 1)[0] + ",0000000000000000"
    with file.open("a", encoding="utf-8") as handle:
        handle.write(f"{stale}\n")
    with ReviewPage.opened(browser, page_file) as elsewhere:
        elsewhere.give_name("B. Other")
        elsewhere.page.set_input_files("#file", file)
        elsewhere.page.wait_for_selector("#load-dialog[open]")
        said = elsewhere.text("#load-summary")
        assert "2 decisions taken over from reviews.csv" in said
        assert "Line 4: a decision on another list of candidates" in said
        elsewhere.press("Escape")
        assert elsewhere.page.evaluate("Work.csv()") == review.page.evaluate("Work.csv()")
        assert f"accepted by {REVIEWER}" in elsewhere.text("#decision")
        elsewhere.must_have_kept_quiet()


def test_a_loaded_file_replaces_own_decisions_only_when_allowed(
    review: ReviewPage, review_warehouse: Path, tmp_path: Path
) -> None:
    review.accept_all_hold()
    accepted = review.page.evaluate("Work.csv()")
    file = tmp_path / "reviews.csv"
    file.write_text(
        accepted.replace("true,true,true,accepted,", "false,true,true,rejected,no"), encoding="utf-8"
    )
    answers = iter([False, True])
    review.page.on("dialog", lambda asked: asked.accept() if next(answers) else asked.dismiss())
    review.page.set_input_files("#file", file)
    review.page.wait_for_selector("#load-dialog[open]")
    assert "0 decisions taken over" in review.text("#load-summary")
    review.press("Escape")
    assert review.page.evaluate("Work.csv()") == accepted
    review.page.set_input_files("#file", file)
    review.page.wait_for_selector("#load-dialog[open]")
    review.press("Escape")
    assert "rejected" in review.text("#decision")


def test_keys_go_through_candidates_authorities_and_outcomes(review: ReviewPage) -> None:
    def where() -> tuple[str, str]:
        return review.text("#pair h2").split(" and ")[0], review.text("#verdict-heading").split(":")[0]

    assert where() == ("Walsall", "Rank 1")
    review.press("n", "n", "p")
    assert where() == ("Walsall", "Rank 2")
    review.press("t")
    assert where() == ("Lancashire", "Rank 1")
    review.press("Shift+T", "Shift+T")
    assert where()[0] == "Swindon"
    # The next outcome has no data in this warehouse: it says so, and the keys still lead on.
    review.press("o")
    assert "Nothing to decide here" in review.text("#pair")
    review.press("n", "1", "a", "r", "x")
    review.press("o")
    assert where() == ("Swindon", "Rank 1")
    assert review.page.evaluate("here().set.outcome") == SECOND_OUTCOME
    review.press("Shift+O", "Shift+O")
    assert review.page.evaluate("here().set.outcome") == OUTCOME


def test_shortcuts_can_be_switched_off_and_buttons_do_the_same(review: ReviewPage) -> None:
    review.press("?")
    assert review.page.is_visible("#help-dialog")
    review.press("1")
    review.press("Space", "Escape")
    assert review.page.is_checked("#verdict-trend input[value=null]")
    review.press("1", "n", "e")
    assert review.page.query_selector("dialog[open]") is None
    assert review.text("#verdict-heading").startswith("Rank 1:")
    # Tab and the arrow keys of radio buttons still do everything.
    for name in ("trend", "placebo", "shocks"):
        review.page.focus(f"#verdict-{name} input[value=null]")
        review.press("ArrowRight")
        assert review.page.is_checked(f"#verdict-{name} input[value=true]")
    review.page.focus("#accept")
    review.press("Enter")
    assert "accepted" in review.text("#decision")


def test_focus_stays_where_the_keyboard_left_it(review: ReviewPage) -> None:
    review.page.focus("#places [data-focus='treated 888']")
    review.press("Enter")
    assert review.text("#pair h2").startswith("Lancashire and")
    assert review.page.evaluate("document.activeElement.dataset.focus") == "treated 888"
    outline = review.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_every_control_has_a_name_and_every_drawing_a_description(review: ReviewPage) -> None:
    nameless = review.page.evaluate(
        """() => [...document.querySelectorAll('button, input:not([hidden]), textarea, svg[role=img], dialog')].filter((element) => {
            const label = element.getAttribute('aria-label') || document.getElementById(element.getAttribute('aria-labelledby'))?.textContent
              || element.closest('label')?.textContent || element.labels?.[0]?.textContent || element.textContent;
            return !label || !label.trim();
        }).map((element) => element.outerHTML.slice(0, 80))"""
    )
    assert nameless == []


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1280, 720), (1024, 720)])
def test_nothing_needs_sideways_scrolling(browser: object, page_file: Path, width: int, height: int) -> None:
    with ReviewPage.opened(browser, page_file, width, height) as opened:
        opened.give_name()
        widths = opened.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1]
        if width >= 1280:
            # The whole verdict stands on the screen, without scrolling its column.
            box = opened.page.locator("#next-open").bounding_box()
            assert box["y"] + box["height"] <= height


def test_no_outcome_after_the_window_is_in_the_drawing(review: ReviewPage) -> None:
    # The last mark of either line lies left of where the excluded stretch begins.
    last, begins = review.page.evaluate(
        """() => { const svg = document.querySelector('#pair svg');
            const marks = [...svg.querySelectorAll('g circle')].map((mark) => Number(mark.getAttribute('cx')));
            const shaded = [...svg.querySelectorAll('rect')].find((rect) => rect.getAttribute('fill') === '#e4e4e4');
            return [Math.max(...marks), Number(shaded.getAttribute('x'))]; }"""
    )
    assert last < begins


def test_the_name_is_asked_again_when_it_was_not_given(browser: object, page_file: Path) -> None:
    with ReviewPage.opened(browser, page_file) as opened:
        opened.press("Escape")
        opened.accept_all_hold()
        assert opened.page.is_visible("#reviewer-dialog")
        opened.give_name()
        assert f"accepted by {REVIEWER}" in opened.text("#decision")
        opened.must_have_kept_quiet()


def test_without_storage_the_page_warns_and_still_exports(
    browser: object, page_file: Path, tmp_path: Path
) -> None:
    with ReviewPage.opened(browser, page_file) as opened:
        opened.page.add_init_script(
            "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } })"
        )
        opened.page.goto(opened.address)
        opened.give_name()
        assert "keeps no work" in opened.text("#storage-warning")
        opened.accept_all_hold()
        file = tmp_path / "reviews.csv"
        file.write_text(opened.download(), encoding="utf-8")
        (row,) = read_review_file(file)
        assert (row.programme, row.decision) == (PROGRAMME, "accepted")


def test_the_text_of_the_file_can_be_copied_instead(review: ReviewPage) -> None:
    review.accept_all_hold()
    review.press("e")
    shown = review.page.input_value("#export-text")
    assert shown == review.page.evaluate("Work.csv()")
    review.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    review.page.click("#copy")
    review.page.wait_for_selector("#export-message:not(:empty)")
    assert review.text("#export-message").startswith("Copied.")
    assert review.page.evaluate("navigator.clipboard.readText()") == shown
