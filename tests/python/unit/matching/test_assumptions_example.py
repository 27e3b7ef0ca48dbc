"""The worked examples of docs/assumptions.md: their numbers by the package, found on the page as they are written there."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from csc_evaluation.estimation.protocol import Shock
from csc_evaluation.matching.common_shocks import shares_of_days, shock_check
from csc_evaluation.matching.parallel_trends import leads_check, placebo_check
from csc_evaluation.matching.stacked import CheckRow, Group
from csc_evaluation.project import project_dir

CELL = ["match_group", "la_code", "is_treated_authority", "term", "group_weight", "n_rows", "sum_y"]
PARAMETERS: Any = SimpleNamespace(
    placebo_quarters_min=4,
    lead_years_max=2,
    treated_clusters_min=3,
    confidence_level=0.95,
    significance_level=0.05,
    power=0.8,
)


@pytest.fixture(scope="module")
def page() -> str:
    return (Path(project_dir()) / "docs" / "assumptions.md").read_text()


def _table(page: str, heading: str) -> list[list[str]]:
    """Rows of the first table below a heading, without its head."""
    below = page.split(heading, 1)[1]
    lines = re.search(r"((?:^\|.*\n)+)", below, flags=re.MULTILINE)[1].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _percent(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def test_the_placebo_and_the_leads(page: str) -> None:
    rows, groups = [], []
    for name, treated, comparator, difference in _table(page, "### Worked example: three pairs"):
        change = {}
        for code, is_treated, text in ((f"t{name}", True, treated), (f"c{name}", False, comparator)):
            before, after = _percent(text)
            change[is_treated] = after - before
            rows += [
                (name, code, is_treated, 0, 1.0, 100, float(after if back <= 4 else before), back)
                for back in range(1, 9)
            ]
        assert int(difference) == change[True] - change[False]
        groups.append(Group(name, f"t{name}", frozenset(), dt.date(2020, 1, 1), dt.date(2021, 7, 1)))
    cells = pd.DataFrame(rows, columns=[*CELL, "quarters_back"])
    placebo = placebo_check("example", cells, groups, 4, PARAMETERS)
    assert f"`treated_x_placebo` {_numbers(placebo)}" in page
    # The same from the three differences alone.
    differences = [3, -2, 2]
    paired = stats.ttest_1samp(differences, 0)
    assert placebo.p_value == pytest.approx(paired.pvalue, rel=1e-9)
    assert placebo.std_error == pytest.approx(stats.sem(differences) / 100, rel=1e-9)
    lead, joint = leads_check("example", cells, groups, PARAMETERS)
    assert f"`lead_year_2` {_numbers(lead)}" in page
    assert (
        f"`joint` F {joint.statistic:.3f} on {joint.df_numerator:.0f} and {joint.df:.0f}, p {joint.p_value:.3f}"
        in page
    )


def test_the_shock(page: str) -> None:
    rows = []
    for name, treated, comparator in _table(page, "### Worked example: a shock"):
        for code, is_treated, text in ((f"t{name}", True, treated), (f"c{name}", False, comparator)):
            outside, under = _percent(text)
            rows += [
                (name, code, is_treated, 0, 1.0, 400, 4.0 * rate, is_under)
                for rate, is_under in ((outside, False), (under, True))
            ]
    cells = pd.DataFrame(rows, columns=[*CELL, "is_under_flood"])
    shock = Shock("flood", "Flood", "other", None, dt.date(2021, 1, 1), None, False)
    main, interaction = shock_check("example", shock, cells, PARAMETERS)
    assert f"`shock` {_numbers(main)}" in page
    assert f"`shock_x_treated` {_numbers(interaction)}" in page
    # By hand: the comparators' changes are 2, 3 and 1, those of the treated 5, 2 and 2.
    assert main.estimate == pytest.approx(0.02)
    assert interaction.estimate == pytest.approx(0.01)
    assert interaction.std_error == pytest.approx(np.sqrt((3 + 1) / 3) / 100, rel=1e-9)


def test_the_shares_of_days(page: str) -> None:
    closed = [
        Shock("school_closures", "", "", None, dt.date(2020, 3, 23), dt.date(2020, 5, 31), False),
        Shock("school_closures", "", "", None, dt.date(2021, 1, 5), dt.date(2021, 3, 7), False),
    ]
    table = _table(page, "### Worked example: days under a shock")
    rates = pd.DataFrame(
        [("202", pd.Period(quarter.replace(" ", ""), "Q").start_time.date()) for quarter, _, _ in table],
        columns=["la_code", "quarter_start"],
    )
    shares = shares_of_days(rates, closed)
    assert len(table) == 4
    for (_, days, share), found in zip(table, shares, strict=True):
        under, of = _percent(days)
        assert found == pytest.approx(under / of, abs=1e-12)
        assert share == f"{found:.3f}"


def _numbers(row: CheckRow) -> str:
    return (
        f"{100 * row.estimate:+.2f} points, standard error {100 * row.std_error:.2f}, "
        f"df {row.df:.0f}, p {row.p_value:.3f}"
    )
