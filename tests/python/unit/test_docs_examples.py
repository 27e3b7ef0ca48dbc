"""Every worked example of the pages on estimators, inference and missing data runs and prints what it says."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted([*DOCS.glob("estimators/*.md"), *DOCS.glob("inference/*.md"), DOCS / "missing_data.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_print_what_it_says(page: Path) -> None:
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 0, f"{page.name} has no worked example"
    assert found.failed == 0
