"""One demonstration, made once for all end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from csc_evaluation.pipeline import DemoResult, run_demo
from support.small_demo import SMALL


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole_path") / "demo"


@pytest.fixture(scope="session")
def demo_result(demo_folder: Path) -> DemoResult:
    """Fourteen synthetic authorities at a tenth of their size, with a true effect of minus three points."""
    return run_demo(demo_folder, seed=11, effect=-0.03, **SMALL)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def landed_demo(demo_folder: Path, demo_result: DemoResult) -> Path:
    """The folder of the finished demonstration."""
    return demo_folder
