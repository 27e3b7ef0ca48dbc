"""Shared by all tests: where the public reference data is, and a warehouse that never leaves a temporary folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the warehouse or the key of whoever runs it."""
    for name in ("CSC_WAREHOUSE", "CSC_PSEUDONYM_KEY_FILE", "CSC_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The public reference data; tests that need it are extra and skip where it is absent."""
    folder = Path(os.environ.get("CSC_REFERENCE_DIR", REPOSITORY.parent / "shared" / "reference"))
    if not folder.is_dir():
        pytest.skip(f"no public reference data at {folder}; set CSC_REFERENCE_DIR to run this test")
    return folder
