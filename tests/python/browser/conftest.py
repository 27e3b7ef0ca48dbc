"""The system's Chromium, driven by Playwright; and a page made from a small warehouse."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from csc_evaluation.review import write_review
from support.dbt_project import copy_project
from support.review_page import ReviewPage
from support.review_warehouse import PROGRAMME, write_review_warehouse

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed (pip install playwright)"
)

NAMES = ("chromium", "chromium-browser", "google-chrome")


def browser_path() -> str | None:
    """``CSC_BROWSER`` where set, else the first browser of the system that Playwright can drive."""
    return os.environ.get("CSC_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    path = browser_path()
    if path is None:
        pytest.skip(f"no browser: install one of {', '.join(NAMES)}, or name one in CSC_BROWSER")
    with sync_api.sync_playwright() as playwright:
        # Without its sandbox: inside a container the kernel does not let it make one.
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def review_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_review_warehouse(tmp_path_factory.mktemp("browser") / "review.duckdb")


@pytest.fixture(scope="session")
def page_file(review_warehouse: Path) -> Path:
    return write_review(
        PROGRAMME,
        warehouse=review_warehouse,
        output=review_warehouse.with_name("family_safeguarding_review.html"),
    )


@pytest.fixture
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dbt project, which the package then takes for its own."""
    project = copy_project(tmp_path / "project")
    monkeypatch.setenv("CSC_PROJECT_DIR", str(project))
    return project


@pytest.fixture
def review(browser: object, page_file: Path) -> Iterator[ReviewPage]:
    """The page opened from a file by a reviewer who has given a name; any request, error or warning fails the test."""
    with ReviewPage.opened(browser, page_file) as opened:
        opened.give_name()
        yield opened
        opened.must_have_kept_quiet()
