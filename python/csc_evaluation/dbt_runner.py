"""Runs dbt as a process of its own, so that it never holds the warehouse open beside us."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from csc_evaluation import warehouse
from csc_evaluation.errors import CscError
from csc_evaluation.project import project_dir

_PROGRESS = re.compile(
    r"\b(\d+) of (\d+) (START|OK|PASS|ERROR|FAIL|WARN|SKIP|NO-OP)\b\s*(.*?)(?:\s\.{2,}|\s*\[|$)"
)
_DBT = "import sys; from dbt.cli.main import cli; sys.argv[0] = 'dbt'; cli()"
_KEPT_LINES = 4000
_SHOWN_LINES = 30


class BuildError(CscError):
    """``dbt build`` did not succeed; the message carries what dbt said."""


@dataclass(frozen=True)
class BuildSummary:
    """What one dbt invocation did: the number of nodes, and the closing line dbt printed."""

    n_nodes: int
    closing_line: str


def run_dbt(
    command: Sequence[str],
    *,
    warehouse_file: Path,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> BuildSummary:
    """Run ``dbt <command>`` on a warehouse.

    Args:
        command: dbt's own words, for example ``["build"]`` or ``["build", "--select", "marts"]``.
        warehouse_file: the DuckDB file. It must exist: landing makes it.
        on_progress: called with (nodes done, nodes in all, name of the node).

    Raises:
        BuildError: dbt ended with an error or a failing test; the last lines it printed are in the message.
        WarehouseError: there is no such warehouse, or another process holds it.
    """
    if not warehouse_file.exists():
        with warehouse.readable(warehouse_file):
            pass
    # dbt's own message for a held file is a traceback, so ask first.
    with warehouse.writable(warehouse_file):
        pass
    lines: list[str] = []
    n_nodes = 0
    with tempfile.TemporaryDirectory(prefix="csceval-dbt-") as scratch:
        environment = os.environ | {
            warehouse.WAREHOUSE_VARIABLE: str(warehouse_file),
            "DBT_TARGET_PATH": str(Path(scratch) / "target"),
            "DBT_LOG_PATH": str(Path(scratch) / "logs"),
            "PYTHONUNBUFFERED": "1",
        }
        arguments = [
            sys.executable,
            "-c",
            _DBT,
            *command,
            "--project-dir",
            str(project_dir()),
            "--profiles-dir",
            str(project_dir()),
            "--no-use-colors",
        ]
        with subprocess.Popen(
            arguments,
            env=environment,
            cwd=project_dir(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                for line in process.stdout or ():
                    lines = [*lines[-_KEPT_LINES:], line.rstrip()]
                    found = _PROGRESS.search(line)
                    if found and found.group(3) != "START":
                        n_nodes = int(found.group(2))
                        if on_progress:
                            on_progress(int(found.group(1)), n_nodes, found.group(4).strip())
            except BaseException:
                process.terminate()
                process.wait()
                raise
        if process.returncode != 0:
            raise BuildError(f"dbt {' '.join(command)} failed:\n" + "\n".join(_what_went_wrong(lines)))
    if n_nodes == 0:
        raise BuildError(f"dbt {' '.join(command)}: the selection matches nothing; nothing was built.")
    closing = next((line for line in reversed(lines) if "Done." in line or "Completed" in line), "")
    return BuildSummary(n_nodes=n_nodes, closing_line=closing.split("  ", 1)[-1])


def _what_went_wrong(lines: list[str]) -> list[str]:
    """Rows that break a seed's rule, then what dbt says after it completed with errors, else its last lines."""
    broken = [line for line in lines if "Broken rule" in line]
    for index in range(len(lines) - 1, -1, -1):
        if "Completed with" in lines[index]:
            return [*broken, *lines[index : index + _SHOWN_LINES]]
    return [*broken, *lines[-_SHOWN_LINES:]]
