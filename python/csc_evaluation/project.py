"""Where the dbt project and its seed files are, and what version of them this is."""

from __future__ import annotations

import hashlib
import os
import subprocess
from importlib import metadata
from pathlib import Path

import pandas as pd

from csc_evaluation.errors import CscError, SeedError


def project_dir() -> Path:
    """Folder of the dbt project: ``CSC_PROJECT_DIR`` where set, else the checkout this package lies in.

    Raises:
        CscError: there is no ``dbt_project.yml`` in it.
    """
    configured = os.environ.get("CSC_PROJECT_DIR")
    folder = Path(configured) if configured else Path(__file__).resolve().parents[2]
    if not (folder / "dbt_project.yml").is_file():
        raise CscError(
            f"{folder}: no dbt_project.yml there. Set CSC_PROJECT_DIR to the folder of the csc-evaluation checkout."
        )
    return folder


def read_seed_file(name: str) -> pd.DataFrame:
    """A seed as the file says it, every column text, blank as missing; for steps that run before ``dbt seed``.

    Args:
        name: path below ``seeds/`` without its ending, for example ``reference/local_authorities``.

    Raises:
        SeedError: the file is not there.
    """
    path = project_dir() / "seeds" / f"{name}.csv"
    if not path.is_file():
        raise SeedError(f"{path}: the seed is missing; restore it from the repository.")
    return pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""])


def seeds_hash(folder: str = "protocol") -> str:
    """SHA-256 over the names and contents of every seed file below ``seeds/<folder>``, in name order."""
    digest = hashlib.sha256()
    for path in sorted((project_dir() / "seeds" / folder).rglob("*.csv")):
        digest.update(path.name.encode())
        digest.update(b"\0")
        digest.update(path.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()


def code_version() -> str:
    """Package version and, in a git checkout, the commit, with ``+changes`` where files differ from it."""
    version = metadata.version("csc-evaluation")
    try:
        folder = project_dir()
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (CscError, OSError, subprocess.CalledProcessError):
        return version
    return f"{version} ({commit}{'+changes' if changed else ''})"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
