"""What the page says, and what it never does."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree, html

from csc_evaluation.errors import CscError, WarehouseError
from csc_evaluation.report import write_report

PROGRAMME = "family_safeguarding"
OUTCOME = "looked_after_18m"
RUN_ID = "family_safeguarding-20260102T030405-abcdef"
FETCHING = (
    "src",
    "href",
    "data",
    "action",
    "poster",
    "srcset",
    "background",
    "{http://www.w3.org/1999/xlink}href",
)
HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)> & "quoted" \''

Change = Callable[..., None]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


@pytest.fixture
def write(filled_warehouse: Path, output: Path) -> Callable[..., str]:
    """Write the page and read it back."""

    def run(*, run_id: str | None = None, truth: float | None = None) -> str:
        write_report(PROGRAMME, warehouse=filled_warehouse, output=output, run_id=run_id, truth=truth)
        return output.read_text(encoding="utf-8")

    return run


def section(page: str, anchor: str) -> html.HtmlElement:
    found = html.fromstring(page).xpath(f"//section[@id='{anchor}']")
    assert len(found) == 1
    return found[0]


def text_of(element: html.HtmlElement) -> str:
    return re.sub(r"\s+", " ", element.text_content())


def rows_of(element: html.HtmlElement, caption: str) -> list[list[str]]:
    """Cells of the table whose caption begins with these words."""
    for table in element.iter("table"):
        if text_of(table.find("caption")).startswith(caption):
            return [[text_of(cell).strip() for cell in row] for row in table.xpath("./tbody/tr")]
    raise AssertionError(f"no table {caption!r}")


# -- one file, offline -------------------------------------------------------------------------------------


def test_the_page_fetches_nothing(write: Callable[..., str]):
    page = write(truth=-0.02)
    tree = html.fromstring(page)
    assert not list(tree.iter("script", "link", "iframe", "object", "embed", "base"))
    for element in tree.iter(etree.Element):
        for name in FETCHING:
            assert element.get(name, "#").startswith("#"), (element.tag, name)
        assert not [name for name in element.attrib if str(name).startswith("on")]
    assert not re.search(r"https?:|//[a-z]", page)
    assert not re.search(r"@import|@font-face|url\((?!#)", page)


def test_every_reference_inside_the_page_leads_somewhere(write: Callable[..., str]):
    tree = html.fromstring(write())
    identifiers = tree.xpath("//@id")
    assert len(identifiers) == len(set(identifiers))
    targets = [str(href).removeprefix("#") for href in tree.xpath("//@href")]
    targets += [name for names in tree.xpath("//@aria-labelledby") for name in str(names).split()]
    targets += re.findall(r"url\(#([^)]+)\)", html.tostring(tree, encoding="unicode"))
    assert targets
    assert set(targets) <= set(identifiers)


def test_the_page_is_well_formed(write: Callable[..., str]):
    page = write(truth=-0.02)
    # Every element but the void ones is closed, so the page is XML but for its doctype and void elements.
    void = re.sub(r"<(meta|br|img|hr|input|link)\b([^>]*?)/?>", r"<\1\2/>", page)
    root = etree.fromstring(void.replace("<!DOCTYPE html>", "").encode())
    assert root.get("lang") == "en-GB"
    assert [child.tag for child in root] == ["head", "body"]


def test_every_chart_has_a_title_and_a_description(write: Callable[..., str]):
    drawings = html.fromstring(write()).xpath("//figure/*[local-name()='svg']")
    assert len(drawings) == 1 + 5 + 1 + 1
    for drawing in drawings:
        assert drawing.get("role") == "img"
        for tag in ("title", "desc"):
            assert drawing.xpath(f"./*[local-name()='{tag}']")[0].text.strip()


def test_the_same_run_gives_the_same_page(write: Callable[..., str]):
    assert write(truth=-0.02) == write(truth=-0.02)


# -- what it says ------------------------------------------------------------------------------------------


def test_the_headline_gives_effect_interval_and_what_qualifies_them(write: Callable[..., str]):
    answer = text_of(section(write(), "answer"))
    assert "2.07 percentage points lower" in answer
    assert "95% interval −3.71 to −0.43" in answer
    assert "51,330 children in 10 authorities, 5 of them treated" in answer
    assert "6.23%" in answer
    assert "an effect of 2.42 percentage points" in answer
    assert "Unreviewed" in answer
    assert "Go-live dates are assumed for 5 of 5 authorities" in answer
    assert "significant" not in answer.lower()


def test_an_interval_that_includes_zero_is_called_unsettled(write: Callable[..., str], change: Change):
    change("update results.estimates set ci_low = -0.05, ci_high = 0.011")
    answer = text_of(section(write(), "answer"))
    assert "The interval includes zero" in answer
    assert "a fall of 5.00 to a rise of 1.10 percentage points" in answer
    assert "no evidence of no effect" in answer
    assert "better direction" not in answer


@pytest.mark.parametrize(
    ("direction", "sign", "said"),
    [
        (
            "lower_better",
            -1,
            "names lower as the better direction of this outcome; the estimate goes that way",
        ),
        (
            "lower_better",
            1,
            "names lower as the better direction of this outcome; the estimate goes the other way",
        ),
        (
            "higher_better",
            1,
            "names higher as the better direction of this outcome; the estimate goes that way",
        ),
        ("ambiguous", -1, "names no better direction"),
    ],
)
def test_the_page_judges_only_as_the_protocol_does(
    write: Callable[..., str], change: Change, direction: str, sign: int, said: str
):
    change(
        f"update protocol.outcomes set direction = '{direction}' where outcome = '{OUTCOME}'",
        f"update results.estimates set estimate = {0.02 * sign}, ci_low = {0.02 * sign - 0.01}, "
        f"ci_high = {0.02 * sign + 0.01}",
    )
    assert said in text_of(section(write(), "answer"))


def test_a_note_that_only_says_unreviewed_is_not_said_twice(write: Callable[..., str], change: Change):
    change("update results.estimates set note = 'unreviewed'")
    assert "Note on this estimate" not in write()
    change("update results.estimates set note = 'unreviewed; too few treated'")
    assert "Note on this estimate: too few treated." in text_of(section(write(), "answer"))


def test_a_characteristic_that_left_the_matching_is_named_where_the_matching_is(
    write: Callable[..., str], change: Change
):
    assert "departs" not in text_of(section(write(), "asked"))
    change(
        "update results.diagnostics set diagnostic = 'strata_variables_dropped', "
        "meaning = 'financial_year left the strata' where diagnostic = 'treated_loss_share'"
    )
    assert "This run departs from that: financial year left the strata." in text_of(section(write(), "asked"))


def test_a_reviewed_run_is_not_called_unreviewed(write: Callable[..., str], change: Change):
    change(
        "update results.runs set is_unreviewed = false",
        "update results.la_matches set is_unreviewed = false, decision = 'accepted'",
    )
    page = write()
    assert "Unreviewed matches" not in page
    assert "nreviewed" not in text_of(section(page, "answer"))
    assert "Unreviewed matches" not in text_of(section(page, "assumptions"))


def test_every_estimate_row_is_on_the_page_and_one_is_the_headline(write: Callable[..., str]):
    estimates = section(write(), "estimates")
    effects = rows_of(estimates, "Effect of the programme")
    assert len(effects) == 4
    assert effects[0][2:7] == ["−2.07", "0.64", "−3.71 to −0.43", "4.21", "0.024"]
    assert [row[6] for row in effects[1:3]] == ["<0.001", "0.051"]
    assert len(rows_of(estimates, "Coefficients")) == 2
    headline = [row for row in estimates.iter("tr") if row.get("class") == "headline"]
    assert len(headline) == 1
    assert "CR2" in text_of(headline[0])


def test_synthetic_data_are_named_as_such_beside_the_truth(write: Callable[..., str]):
    page = write(truth=-0.02)
    assert "Synthetic data: no real children" in page
    box = text_of(html.fromstring(page).xpath("//aside[@class='truth']")[0])
    assert "true average effect on the treated children of this matched sample is known: −2.00" in box
    assert "its interval holds the truth" in box
    assert "its interval does not hold the truth" in text_of(section(write(truth=0.01), "answer"))


def test_nothing_is_said_of_truth_where_none_is_known(write: Callable[..., str]):
    page = write()
    assert "Synthetic" not in page
    assert "known truth" not in page


def test_each_matched_pair_has_its_trend_with_the_quarters_that_enter_the_distance(write: Callable[..., str]):
    authorities = section(write(), "authorities")
    headings = [text_of(heading) for heading in authorities.iter("h4")]
    assert headings[0] == "Walsall with Wolverhampton"
    assert len(headings) == 5
    rows = rows_of(authorities, "Walsall with Wolverhampton: mean by quarter")
    entering = {row[0]: row[1] for row in rows}
    assert entering["2017 Q2"] == "as base of the first change"
    assert entering["2018 Q4"] == "yes"
    assert entering["2019 Q1"] == "no"
    periods = {row[0]: row[2] for row in rows}
    assert periods["2018 Q4"] == "before"
    assert periods["2019 Q2"] == "follow-up overlaps go-live"
    assert periods["2020 Q3"] == "quarter of go-live"
    assert periods["2020 Q4"] == "after go-live"


def test_a_distance_stands_beside_its_expected_noise(write: Callable[..., str], change: Change):
    assert rows_of(section(write(), "authorities"), "Each treated")[0][6:] == ["0.412", "0.390", "1"]
    change("update results.la_match_candidates set expected_noise = 1.887")
    assert rows_of(section(write(), "authorities"), "Each treated")[0][6:] == ["0.412", "1.887", "1"]


def test_each_pair_has_its_evidence_and_how_many_others_show_as_much(write: Callable[..., str]):
    rows = rows_of(section(write(), "authorities"), "Before go-live: each pair")
    distance, placebo = [row for row in rows if row[0].startswith("Walsall with")]
    assert distance[3:] == ["0.412", "–", "–", "31 of 124"]
    assert placebo[1].startswith("Placebo, 4 quarters earlier")
    assert placebo[2].startswith("not computable")
    assert placebo[3:] == ["–", "–", "–", "–"]
    _, placebo = [row for row in rows if row[0].startswith("Lancashire with")]
    assert placebo[3:] == ["1.20", "0.90", "0.182", "50 of 124"]


def test_evidence_on_pairs_not_taken_stays_off_the_page(write: Callable[..., str], change: Change):
    change("update results.la_pair_evidence set comparator_la_code = '301' where treated_la_code = '335'")
    rows = rows_of(section(write(), "authorities"), "Before go-live: each pair")
    assert not [row for row in rows if row[0].startswith("Walsall")]


def test_ranks_by_other_distances_and_pandemic_quarters_are_given(write: Callable[..., str]):
    rows = rows_of(section(write(), "authorities"), "Ranks by other distances")
    assert len(rows) == 5
    assert rows[0][2:] == ["1", "2", "3", "0", "6"]


def test_checks_of_assumptions_stand_with_their_degrees_of_freedom(write: Callable[..., str]):
    rows = rows_of(section(write(), "authorities"), "Parallel trends and common shocks")
    joint = next(row for row in rows if row[1].endswith("joint"))
    assert joint[0] == "Parallel trends"
    assert joint[3:] == ["1.44", "–", "2 and 4.10", "0.337"]
    assert rows[-1][0] == "Common shocks"
    assert rows[-1][2].startswith("not computable")


def test_who_fell_away_is_told_in_shares_and_small_counts_are_withheld(write: Callable[..., str]):
    rows = {
        row[0]: row[1:] for row in rows_of(section(write(), "balance"), "Share of children whose stratum")
    }
    assert rows["Disability: yes"] == ["15.0%", "5.0%"]
    assert rows["Unaccompanied asylum seeking: yes"] == ["fewer than 10 children", "–"]
    assert "Gender: 1" not in rows


def test_other_comparators_stand_beside_the_headline_and_not_among_the_estimates(write: Callable[..., str]):
    page = write()
    rows = rows_of(section(page, "sensitivity"), "The same estimate on other comparators")
    assert rows[0][0].startswith("Comparators a reviewer accepted")
    assert rows[1][0].startswith("The two nearest comparators")
    assert rows[1][1] == "−1.77"
    assert rows[2][0].startswith("Without Wolverhampton")
    estimates = rows_of(section(page, "estimates"), "Effect of the programme")
    assert not [row for row in estimates if "nearest" in row[0] or "leave one out" in row[0]]


def test_candidates_are_ranked_and_the_others_counted_by_reason(write: Callable[..., str]):
    authorities = section(write(), "authorities")
    ranks = rows_of(authorities, "Candidates kept")
    assert [row[0] for row in ranks] == [str(rank) for rank in range(1, 11)]
    assert "Wolverhampton" in ranks[0][1]
    assert "taken" in ranks[0][1]
    reasons = dict((row[0], row[1]) for row in rows_of(authorities, "Number of authorities that could not"))
    assert reasons["Is an authority of the programme"] == "4"
    assert int(reasons["Fewer than 20 children in one quarter of the window or more"]) > 0


def test_the_flow_says_who_stays_and_who_leaves_and_why(write: Callable[..., str]):
    children = section(write(), "children")
    rows = children.xpath(".//tbody/tr")
    said = [(row.get("class"), text_of(row[0]), text_of(row[1])) for row in rows]
    assert said == [
        ("remain", "Referred (children with a referral in a landed return)", "25,000"),
        ("leave", "No referral in the trial period", "3,500"),
        ("remain", "Referred in the trial period", "21,500"),
        ("leave", "No referral at an eligible age", "5,000"),
        ("remain", "At an eligible age (the cohort)", "16,500"),
        ("leave", "The window runs past the end of the data", "600"),
        ("remain", "Fully observed (the sample)", "15,900"),
        ("leave", "Authority in no matched group", "0"),
        ("remain", "In matched groups", "15,900"),
        ("leave", "No child of the other arm in its stratum", "905"),
        ("remain", "Matched", "14,995"),
    ]


def test_a_baseline_outside_the_registered_range_is_said_to_be(write: Callable[..., str], change: Change):
    assert "The baseline, 6.23%, lies within 5% to 95%" in text_of(section(write(), "assumptions"))
    change("update results.estimates set baseline_mean = 0.031")
    assert "The baseline, 3.10%, lies outside 5% to 95%" in text_of(section(write(), "assumptions"))


def test_the_headline_inference_carries_its_own_mark(write: Callable[..., str], change: Change):
    def mark_after_headline(page: str) -> str:
        said = text_of(section(page, "asked").find("p"))
        return said[said.index("Its headline inference") :].split(".")[1].strip()

    assert mark_after_headline(write()) == "registered"
    change("update results.estimates set is_registered = false where is_headline")
    assert mark_after_headline(write()) == "our addition"


def test_assumptions_come_from_the_seeds(write: Callable[..., str], change: Change):
    change("update protocol.sites set is_assumed = la_code = '866'")
    page = write()
    assert "Go-live dates are assumed for 1 of 5 authorities" in text_of(section(page, "answer"))
    assumptions = text_of(section(page, "assumptions"))
    assert "Assumed go-live dates. Swindon 1 April 2022." in assumptions
    assert "Cambridgeshire" in assumptions


def test_partly_exposed_children_are_counted(write: Callable[..., str]):
    assumptions = text_of(section(write(), "assumptions"))
    assert (
        "200 had their index event after go-live, 150 before it but were partly exposed, and 150"
        in assumptions
    )


def test_flagged_diagnostics_come_first(write: Callable[..., str]):
    rows = rows_of(section(write(), "diagnostics"), "Checks of this run")
    assert [row[2] for row in rows] == ["flagged", "–", "no"]
    assert "Residuals of authorities are correlated over quarters." in rows[0][1]


def test_the_share_linked_to_school_records_is_given_by_arm_and_year(
    write: Callable[..., str], change: Change
):
    rows = rows_of(section(write(), "quality"), "Children linked")
    assert rows == [["2018/19", "Programme's authorities", "500", "450", "90.0%", "12"]]
    change("update marts.index_events set has_pupil_link = child_id <> 'child1'")
    rows = rows_of(section(write(), "quality"), "Children linked")
    assert rows == [["2018/19", "Programme's authorities", "500", "500", "100.0%", "10"]]


def test_provenance_names_the_run(write: Callable[..., str]):
    said = dict(rows_of(section(write(), "provenance"), "The run"))
    assert said["Run"] == RUN_ID
    assert said["Hash of the input"] == "b" * 64
    assert said["Started"] == "2 January 2026, 03:04:05"
    assert said["Took"] == "42 seconds"
    assert rows_of(section(write(), "provenance"), "Packages") == [["duckdb", "1.5.6"], ["numpy", "2.4.0"]]


# -- what it never does ------------------------------------------------------------------------------------


def test_hostile_text_stays_text(write: Callable[..., str], change: Change):
    change(
        "update results.estimates set note = $text",
        "update results.diagnostics set meaning = $text, diagnostic = $text",
        "update results.la_match_candidates set reason = $text where not is_candidate",
        "update results.la_matches set decision = $text",
        "update results.runs set note = $text, command = $text, package_versions = $text",
        "update results.sample_flow set reason = $text where step_no = 10",
        "update results.balance set level = $text where covariate = 'gender'",
        "update reference.local_authorities set la_name = $text where la_code in ('335', '336')",
        "update protocol.outcomes set outcome_label = $text, note = $text",
        "update marts.data_quality set check_name = $text",
        parameters={"text": HOSTILE},
    )
    page = write(truth=-0.02)
    tree = html.fromstring(page)
    assert not list(tree.iter("script", "img"))
    assert "<script" not in page
    assert "<img" not in page
    assert HOSTILE in "".join(tree.itertext())


def test_small_counts_are_withheld_and_cannot_be_had_by_subtraction(
    write: Callable[..., str], change: Change
):
    change(
        "update results.sample_flow set n_children = 7 where step_no = 10 and arm = 'treated'",
        "update results.sample_flow set n_children = 15893 where step_no = 11 and arm = 'treated'",
    )
    children = section(write(), "children")
    counts = {text_of(row[0]): text_of(row[1]) for row in children.xpath(".//tbody/tr")}
    assert counts["No child of the other arm in its stratum"] == "<10"
    assert counts["In matched groups"] == "15,900"
    assert counts["Matched"] == "15,890"
    assert "15,893" not in text_of(children)
    assert "rounded to the nearest 10" in text_of(children)


def test_a_small_difference_between_matched_and_all_is_withheld(write: Callable[..., str], change: Change):
    change(
        "update results.matched_shares set n_matched = n_children - 1 where la_code = '335'",
    )
    balance = section(write(), "balance")
    walsall = next(row for row in rows_of(balance, "Matched children by authority") if row[0] == "Walsall")
    assert walsall[2:4] == ["3,620", "3,610"]


def test_the_threshold_for_small_counts_is_a_seed(write: Callable[..., str], change: Change):
    change(
        "update protocol.parameters set parameter_value = 5 where parameter = 'report_small_count'",
        "update results.sample_flow set n_children = 7 where step_no = 10 and arm = 'treated'",
    )
    counts = {text_of(row[0]): text_of(row[1]) for row in section(write(), "children").xpath(".//tbody/tr")}
    assert counts["No child of the other arm in its stratum"] == "7"


def test_quarters_of_few_children_are_not_shown(write: Callable[..., str], change: Change):
    change(
        "update marts.la_quarter_outcomes set n_children = 4, mean_value = 0.25 "
        "where la_code = '336' and quarter_start = date '2021-01-01'"
    )
    authorities = section(write(), "authorities")
    rows = rows_of(authorities, "Walsall with Wolverhampton: mean by quarter")
    assert {row[0]: row[4] for row in rows}["2021 Q1"] == "<10 children"


def test_no_child_identifier_reaches_the_page(write: Callable[..., str]):
    assert not re.search(r"child\d", write())


# -- what is missing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "anchor"),
    [
        ("delete from results.estimates", "answer"),
        ("delete from results.estimates", "estimates"),
        ("delete from results.sample_flow; delete from marts.sample_flow_counts", "children"),
        ("delete from results.la_matches", "authorities"),
        ("delete from results.la_match_candidates", "authorities"),
        ("delete from results.la_match_series; drop table marts.la_quarter_outcomes", "authorities"),
        ("delete from results.balance", "balance"),
        ("delete from results.matched_shares", "balance"),
        ("drop table results.cem_dropped", "balance"),
        ("delete from results.la_pair_evidence", "authorities"),
        ("delete from results.assumption_checks", "authorities"),
        ("delete from results.estimates where specification like 'match%'", "sensitivity"),
        ("delete from results.diagnostics", "diagnostics"),
        ("drop table marts.data_quality", "quality"),
        ("alter table marts.data_quality drop column n_failed", "quality"),
        ("drop schema marts cascade", "quality"),
    ],
)
def test_a_missing_part_is_called_not_available(
    write: Callable[..., str], change: Change, statement: str, anchor: str
):
    change(*statement.split("; "))
    assert "Not available:" in text_of(section(write(truth=-0.02), anchor))


def test_without_the_reference_table_authorities_go_by_code(write: Callable[..., str], change: Change):
    change("drop schema reference cascade")
    assert "335 with 336" in text_of(section(write(), "authorities"))


def test_missing_numbers_are_dashes(write: Callable[..., str], change: Change):
    change(
        "update results.estimates set std_error = null, df = 'nan'::double, p_value = null, ci_low = null, "
        "ci_high = null, baseline_mean = null, note = 'too few treated'"
    )
    page = write()
    row = rows_of(section(page, "estimates"), "Effect of the programme")[0]
    assert row[2:7] == ["−2.07", "–", "–", "–", "–"]
    assert "too few treated" in text_of(section(page, "answer"))
    assert "no interval" in text_of(section(page, "answer"))


# -- errors ------------------------------------------------------------------------------------------------


def test_without_a_complete_run_it_says_what_to_run(filled_warehouse: Path, change: Change, output: Path):
    change("update results.runs set status = 'failed'")
    with pytest.raises(CscError, match="csceval run family_safeguarding"):
        write_report(PROGRAMME, warehouse=filled_warehouse, output=output)
    assert not output.exists()


def test_an_unknown_run_is_refused(filled_warehouse: Path, output: Path):
    with pytest.raises(CscError, match="no run 'nothing'"):
        write_report(PROGRAMME, warehouse=filled_warehouse, output=output, run_id="nothing")


def test_a_match_run_is_refused(filled_warehouse: Path, change: Change, output: Path):
    change("update results.runs set stage = 'match'")
    with pytest.raises(CscError, match="complete match run; the page needs a complete estimate run"):
        write_report(PROGRAMME, warehouse=filled_warehouse, output=output, run_id=RUN_ID)


def test_an_unknown_programme_is_refused_with_those_known(filled_warehouse: Path, output: Path):
    with pytest.raises(CscError, match="it knows family_safeguarding"):
        write_report("family_unguarding", warehouse=filled_warehouse, output=output)


def test_a_warehouse_without_the_protocol_says_to_build(filled_warehouse: Path, change: Change, output: Path):
    change("drop schema protocol cascade")
    with pytest.raises(CscError, match="dbt build"):
        write_report(PROGRAMME, warehouse=filled_warehouse, output=output)


def test_a_missing_warehouse_is_named(tmp_path: Path, output: Path):
    with pytest.raises(WarehouseError, match="no warehouse there yet"):
        write_report(PROGRAMME, warehouse=tmp_path / "none.duckdb", output=output)


def test_the_latest_complete_run_is_shown_and_an_older_one_on_request(
    write: Callable[..., str], change: Change
):
    change(
        "insert into results.runs select * replace ('earlier' as run_id, started_at - interval 1 day as started_at) "
        "from results.runs",
        "insert into results.runs select * replace ('later' as run_id, started_at + interval 1 day as started_at, "
        "'failed' as status) from results.runs where run_id <> 'earlier'",
    )
    assert RUN_ID in write()
    assert "Run earlier" in write(run_id="earlier")


@pytest.mark.parametrize("place", ["folder", "missing/page.html", "file/page.html"])
def test_an_output_that_cannot_be_written_is_refused(filled_warehouse: Path, tmp_path: Path, place: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CscError, match=re.escape(str(tmp_path))):
        write_report(PROGRAMME, warehouse=filled_warehouse, output=tmp_path / place)
    assert sorted(tmp_path.iterdir()) == before


def test_a_failure_while_writing_leaves_the_old_page(
    filled_warehouse: Path, output: Path, monkeypatch: pytest.MonkeyPatch
):
    output.write_text("the old page")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("csc_evaluation.report.writing.os.fsync", full)
    with pytest.raises(CscError, match="cannot write the page \\(No space left on device\\)"):
        write_report(PROGRAMME, warehouse=filled_warehouse, output=output)
    assert output.read_text() == "the old page"
    assert [path.name for path in output.parent.iterdir() if path.suffix == ".part"] == []


def test_reading_for_the_page_changes_nothing(filled_warehouse: Path, write: Callable[..., str]):
    before = filled_warehouse.read_bytes()
    write()
    assert filled_warehouse.read_bytes() == before


def test_the_page_is_dated_by_its_run(write: Callable[..., str], change: Change):
    change("update results.runs set started_at = timestamp '2025-03-01 23:59:00', ended_at = null")
    page = write()
    subtitle = text_of(html.fromstring(page).xpath("//p[@class='subtitle']")[0])
    assert subtitle == f"Matched difference-in-differences evaluation. Run {RUN_ID}, 1 March 2025."
