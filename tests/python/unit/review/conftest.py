"""One small warehouse with candidates to review, shared; and a copy of the project whose seeds a test may change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from csc_evaluation.review.data import ReviewData, load_review_data
from support.dbt_project import copy_project
from support.review_warehouse import PROGRAMME, write_review_warehouse


@pytest.fixture(scope="session")
def review_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only for tests; those that write take :func:`own_warehouse`."""
    return write_review_warehouse(tmp_path_factory.mktemp("review") / "review.duckdb")


@pytest.fixture(scope="session")
def review_data(review_warehouse: Path) -> ReviewData:
    return load_review_data(PROGRAMME, warehouse=review_warehouse)


@pytest.fixture
def own_warehouse(review_warehouse: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(review_warehouse, tmp_path / "own.duckdb"))


@pytest.fixture
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dbt project, which the package then takes for its own."""
    project = copy_project(tmp_path / "project")
    monkeypatch.setenv("CSC_PROJECT_DIR", str(project))
    return project


@pytest.fixture
def seed_file(own_project: Path) -> Path:
    return own_project / "seeds" / "protocol" / "match_reviews.csv"
