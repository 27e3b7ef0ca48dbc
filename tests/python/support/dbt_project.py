"""Running dbt on a temporary warehouse, with its own target and log folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from csc_evaluation.project import project_dir

_DBT = "import sys; from dbt.cli.main import cli; sys.argv[0] = 'dbt'; cli()"
_PARTS = ("macros", "models", "seeds", "tests/dbt", "analysis")


def dbt(
    *arguments: str, warehouse: Path, scratch: Path, project: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """``dbt ARGUMENTS`` in the project (or a copy of it), its files kept below ``scratch``."""
    folder = project or project_dir()
    environment = os.environ | {
        "CSC_WAREHOUSE": str(warehouse),
        "DBT_TARGET_PATH": str(scratch / "target"),
        "DBT_LOG_PATH": str(scratch / "logs"),
    }
    return subprocess.run(
        [sys.executable, "-c", _DBT, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )


def copy_project(to: Path) -> Path:
    """A copy of the dbt project that a test may break."""
    source = project_dir()
    for part in _PARTS:
        shutil.copytree(source / part, to / part)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(source / name, to / name)
    return to
