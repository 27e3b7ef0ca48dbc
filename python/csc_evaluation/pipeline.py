"""The whole path: build, match, estimate and report for a programme; and the demonstration on synthetic data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from csc_evaluation.dbt_runner import BuildSummary, run_dbt
from csc_evaluation.errors import CscError
from csc_evaluation.project import read_seed_file

if TYPE_CHECKING:
    from csc_evaluation.estimation.run import RunReport
    from csc_evaluation.landing import LandingReport

Progress = Callable[[str, float], None]
"""Called with the step under way and the share of it that is done, 0 to 1."""

_DEMO_MARK = ".csceval-demo"


@dataclass(frozen=True)
class ProgrammeRun:
    """One finished pass over the path: what dbt built, the estimation run, and the page written."""

    build: BuildSummary
    run: RunReport
    report: Path


@dataclass(frozen=True)
class DemoResult:
    """A finished demonstration.

    Attributes:
        landing: what was found, accepted and rejected in the synthetic files.
        programme_run: build, estimate and page.
        truth: mean y(1) - y(0) over the run's matched treated children (definitions, section 9).
        covers_truth: whether the headline's interval holds the truth; None where it has no interval.
    """

    landing: LandingReport
    programme_run: ProgrammeRun
    truth: float
    covers_truth: bool | None


def run_programme_path(
    programme: str,
    *,
    warehouse_file: Path,
    report_file: Path,
    random_seed: int,
    on_progress: Progress = lambda step, share: None,
    truth_for: Callable[[str], float] | None = None,
) -> ProgrammeRun:
    """Build the warehouse, match, estimate, and write the page.

    Args:
        programme: a row of ``seeds/protocol/programmes.csv``.
        warehouse_file: a warehouse with landed returns.
        report_file: where the page goes.
        random_seed: recorded with the run and used by whatever draws.
        on_progress: see :data:`Progress`.
        truth_for: for synthetic data, the known truth of a run id; shown on the page.

    Raises:
        CscError: with what to put right, from whichever step it was.
    """
    from csc_evaluation.estimation.run import run_programme
    from csc_evaluation.report import write_report

    _check_programme(programme)
    build = build_warehouse(warehouse_file, on_progress=on_progress)
    run = run_programme(programme, warehouse=warehouse_file, random_seed=random_seed, on_progress=on_progress)
    on_progress("report", 0.0)
    truth = truth_for(run.run_id) if truth_for else None
    report = write_report(
        programme, warehouse=warehouse_file, output=report_file, run_id=run.run_id, truth=truth
    )
    on_progress("report", 1.0)
    return ProgrammeRun(build=build, run=run, report=report)


def build_warehouse(
    warehouse_file: Path, *, select: str | None = None, on_progress: Progress = lambda step, share: None
) -> BuildSummary:
    """``dbt build`` with progress: seeds, models and their tests, all of them or a dbt selection."""
    command = ["build", *(["--select", select] if select else [])]
    on_progress("build", 0.0)
    summary = run_dbt(
        command,
        warehouse_file=warehouse_file,
        on_progress=lambda done, total, name: on_progress(
            f"build: {name}" if name else "build", done / total
        ),
    )
    on_progress("build", 1.0)
    return summary


def run_demo(
    folder: Path,
    *,
    programme: str,
    scale: float,
    seed: int,
    n_authorities: int,
    effect: float,
    on_progress: Progress = lambda step, share: None,
) -> DemoResult:
    """Synthesise returns, land them, run the programme, and set the estimate beside the known truth.

    The folder is made anew each time; one that this function did not make is left alone.

    Args:
        folder: receives the returns, the truth, the warehouse and the page.
        programme: a row of ``seeds/protocol/programmes.csv``.
        scale: share of England's referrals per authority, 1.0 being England.
        seed: of the synthetic England and of the run.
        n_authorities: how many authorities take part, the programme's sites among them.
        effect: the true risk difference of the primary outcome, for example -0.02.
        on_progress: see :data:`Progress`.

    Raises:
        CscError: the folder holds something else; or from any step.
    """
    from csc_evaluation.landing import land
    from csc_evaluation.pseudonyms import Pseudonymiser, load_key
    from csc_evaluation.synthetic import SynthesisConfig, synthesise
    from csc_evaluation.synthetic.truth import truth_for_run

    _fresh_folder(folder)
    returns = folder / "returns"
    warehouse_file = folder / "demo.duckdb"
    summary = synthesise(
        SynthesisConfig(
            scale=scale,
            seed=seed,
            authorities=n_authorities,
            effect=effect,
            programme=programme,
            format="returns",
        ),
        returns,
        on_progress=lambda step, share: on_progress(f"synthesise: {step}" if step else "synthesise", share),
    )
    landing = land(
        [returns],
        warehouse=warehouse_file,
        on_progress=lambda index, n_files, *_: on_progress("land", index / max(n_files, 1)),
    )
    if landing.n_failed:
        raise CscError(f"{landing.n_failed} synthetic files did not land; this is a fault of the software.")
    hasher = Pseudonymiser(load_key(warehouse_file)[0])

    def truth_for(run_id: str) -> float:
        return truth_for_run(summary.truth_path, warehouse_file, run_id, hasher)

    programme_run = run_programme_path(
        programme,
        warehouse_file=warehouse_file,
        report_file=folder / f"{programme}.html",
        random_seed=seed,
        on_progress=on_progress,
        truth_for=truth_for,
    )
    truth = truth_for(programme_run.run.run_id)
    headline = programme_run.run.headline
    covers = (
        None
        if headline.ci_low is None or headline.ci_high is None
        else headline.ci_low <= truth <= headline.ci_high
    )
    return DemoResult(landing=landing, programme_run=programme_run, truth=truth, covers_truth=covers)


def _check_programme(programme: str) -> None:
    """Fail before the build, not after it, where the programme is not in the seeds."""
    known = sorted(read_seed_file("protocol/programmes")["programme"].dropna())
    if programme not in known:
        raise CscError(
            f"{programme}: is no programme of seeds/protocol/programmes.csv; it has {', '.join(known)}."
        )


def _fresh_folder(folder: Path) -> None:
    if folder.exists():
        if not folder.is_dir():
            raise CscError(f"{folder}: is a file; give a folder for the demonstration.")
        if any(folder.iterdir()) and not (folder / _DEMO_MARK).exists():
            raise CscError(
                f"{folder}: holds files that no demonstration made; give another folder with --out."
            )
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True)
        (folder / _DEMO_MARK).write_text(
            "Made by csceval demo, which deletes this folder when it runs again.\n"
        )
    except OSError as error:
        raise CscError(f"{folder}: cannot be written ({error.strerror}).") from error
