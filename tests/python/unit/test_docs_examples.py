"""The worked examples of the documentation give the numbers that they show."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted([*DOCS.glob("inference/*.md"), *DOCS.glob("estimators/*.md"), DOCS / "missing_data.md"])


def _run(page: Path) -> tuple[doctest.TestResults, str]:
    """Results of a page's examples and what doctest says of those that fail."""
    said: list[str] = []
    example = doctest.DocTestParser().get_doctest(page.read_text(), {}, page.name, str(page), 0)
    found = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    return found, "".join(said)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_examples_give_what_the_page_shows(page: Path) -> None:
    found, said = _run(page)
    assert found.failed == 0, said


@pytest.mark.parametrize("name", ["cr1", "cr2", "cr3", "wild_cluster_bootstrap"])
def test_each_page_on_inference_shows_a_result(name: str) -> None:
    text = (DOCS / "inference" / f"{name}.md").read_text()
    assert any(example.want for example in doctest.DocTestParser().get_examples(text))


def test_a_wrong_number_is_found(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("# Wrong\n\n```python\n>>> 1 + 1\n3\n\n```\n")
    found, said = _run(page)
    assert (found.attempted, found.failed) == (1, 1)
    assert "wrong.md" in said
