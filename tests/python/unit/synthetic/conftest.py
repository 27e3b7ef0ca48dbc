"""Small synthetic Englands, made once for all tests that only read them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from csc_evaluation.landing import LandingReport, land
from csc_evaluation.synthetic import SynthesisConfig, SynthesisSummary, synthesise

# A site, an authority that returns SSDA903 as XML, and one that was divided in 2021 with its successors.
AUTHORITIES = ("335", "359", "888", "928", "940", "941")


@dataclass(frozen=True)
class MadeEngland:
    """Returns, the warehouse they were landed in, and a warehouse filled straight from the same configuration."""

    config: SynthesisConfig
    out: Path
    summary: SynthesisSummary
    landing: LandingReport
    landed: Path
    raw: Path
    raw_summary: SynthesisSummary


def make(folder: Path, messiness: float) -> MadeEngland:
    values = {"scale": 0.02, "seed": 11, "authorities": AUTHORITIES, "messiness": messiness}
    config = SynthesisConfig(**values)
    out = folder / "returns"
    summary = synthesise(config, out)
    landed, raw = folder / "landed.duckdb", folder / "filled.duckdb"
    report = land([out], warehouse=landed)
    shutil.copy(f"{landed}.key", f"{raw}.key")
    raw_summary = synthesise(SynthesisConfig(format="raw", **values), folder / "raw", warehouse=raw)
    return MadeEngland(config, out, summary, report, landed, raw, raw_summary)


@pytest.fixture(scope="package")
def clean(tmp_path_factory: pytest.TempPathFactory) -> MadeEngland:
    return make(tmp_path_factory.mktemp("clean"), 0.0)


@pytest.fixture(scope="package")
def messy(tmp_path_factory: pytest.TempPathFactory) -> MadeEngland:
    return make(tmp_path_factory.mktemp("messy"), 0.1)
