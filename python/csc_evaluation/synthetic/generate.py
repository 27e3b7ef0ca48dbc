"""Write a synthetic England: authority by authority, in constant memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from csc_evaluation.errors import CscError
from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.authorities import AuthorityGroup, authority_groups, neighbours
from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.care import CareDetails, detail
from csc_evaluation.synthetic.casework import Casework, carry_out
from csc_evaluation.synthetic.census import Identities, census_return, name_children
from csc_evaluation.synthetic.cin_xml import write_census
from csc_evaluation.synthetic.config import SynthesisConfig
from csc_evaluation.synthetic.lives import Lives, Trial, simulate
from csc_evaluation.synthetic.looked_after import care_return, write_csv, write_xml
from csc_evaluation.synthetic.school import SchoolTables, appears, school_year
from csc_evaluation.synthetic.truth import SCHEMA, TRUTH_FILE, truth_folder, truth_of_group

Progress = Callable[[str, float], None]
"""Called with what is being done and the share (0 to 1) that is done."""


@dataclass(frozen=True)
class SynthesisSummary:
    """What was written.

    Attributes:
        out: folder of the files, or the warehouse.
        truth_path: the truth, outside of ``out``.
        n_authorities: authority codes with at least one return.
        n_files: files written (returns and school tables), or returns put into the warehouse.
        counts: what was written by kind: authorities, files, records by record type as landing counts them,
            children in the truth and those treated.
        n_unusable: records written on purpose that landing must refuse, by record type.
        n_index_events, n_treated: children in the truth, and those treated.
        n_redefined: children in the truth whose outcome the design does not cover (see
            :class:`csc_evaluation.synthetic.truth.TruthCheck`).
    """

    out: Path
    truth_path: Path
    n_authorities: int
    n_files: int
    counts: dict[str, int]
    n_unusable: dict[str, int]
    n_index_events: int
    n_treated: int
    n_redefined: int


@dataclass
class GroupOfLives:
    """Everything drawn for one group of authorities."""

    lives: Lives
    casework: Casework
    details: CareDetails
    names: Identities


def synthesise(
    config: SynthesisConfig,
    out: Path,
    *,
    warehouse: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress | None = None,
) -> SynthesisSummary:
    """Write a synthetic England with a known effect.

    Args:
        out: a folder that is not there yet or empty; for the format ``raw`` the path of a warehouse.
        overwrite: replace what is there.
        on_progress: called after each group of authorities.

    Raises:
        CscError: the configuration cannot be met, or ``out`` is not empty or cannot be written.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp()) / "england"
        >>> summary = synthesise(SynthesisConfig(scale=0.001, authorities=["335"], last_year=2019), out)
        >>> summary.n_authorities, (out / "cin" / "cin_335_2018.xml").is_file()
        (1, True)
    """
    calibration = Calibration.load()
    trial = Trial.load(config.programme)
    groups = authority_groups(config, calibration)
    ring = neighbours(config, calibration)
    out = out.expanduser().absolute()
    truth = truth_folder(out)
    try:
        _prepare(out, overwrite)
        _prepare(truth, overwrite)
        return _write_all(config, calibration, trial, groups, ring, out, truth, on_progress)
    except OSError as error:
        raise CscError(f"{error.filename or out}: cannot write ({error.strerror or error}).") from error


def _prepare(folder: Path, overwrite: bool) -> None:
    """Make the folder, empty."""
    if folder.exists() and not folder.is_dir():
        raise CscError(f"{folder}: is a file; give a folder to write to.")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise CscError(f"{folder}: is not empty; give an empty folder, or ask to overwrite it.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def draw_group(
    config: SynthesisConfig,
    calibration: Calibration,
    trial: Trial,
    group: AuthorityGroup,
    ring: list[AuthorityGroup],
) -> GroupOfLives:
    """Draw the lives of one group and all that hangs on them."""
    lives = simulate(config, calibration, group, ring, trial)
    casework = carry_out(config, calibration, lives)
    details = detail(config, calibration, lives)
    return GroupOfLives(lives, casework, details, name_children(lives, config.seed))


def is_xml_authority(la_code: str) -> bool:
    """A few authorities return SSDA903 as XML."""
    return int(la_code) % 16 == 7


def _write_all(
    config: SynthesisConfig,
    calibration: Calibration,
    trial: Trial,
    groups: list[AuthorityGroup],
    ring: list[AuthorityGroup],
    out: Path,
    truth: Path,
    on_progress: Progress | None,
) -> SynthesisSummary:
    (out / "cin").mkdir()
    tables = SchoolTables(out / "school", config)
    codes: set[str] = set()
    n_files = n_index = n_treated = n_redefined = 0
    counts: dict[str, int] = {}
    with pq.ParquetWriter(truth / TRUTH_FILE, SCHEMA) as truth_file:
        for done, group in enumerate(groups, start=1):
            drawn = draw_group(config, calibration, trial, group, ring)
            table, check = truth_of_group(config, drawn.lives, drawn.details, trial)
            truth_file.write_table(table)
            n_index += check.n_children
            n_redefined += check.n_redefined
            n_treated += sum(table["is_treated"].to_pylist())
            for year in range(config.first_year, config.last_year + 1):
                for code in group.codes_of_year(year):
                    codes.add(code)
                    census = census_return(drawn.lives, drawn.casework, drawn.names, code, year)
                    write_census(census, out / "cin" / f"cin_{code}_{year}.xml")
                    care = care_return(
                        config, calibration, drawn.lives, drawn.details, drawn.names, code, year
                    )
                    if is_xml_authority(code):
                        write_xml(care, out / f"ssda903_{code}_{year}.xml")
                        n_files += 2
                    else:
                        n_files += 1 + len(write_csv(care, out / f"ssda903_{code}_{year}"))
            pupils = appears(drawn.lives, calendar.year_start(config.first_year))
            for academic_year in range(config.first_year - 1, config.last_year + 1):
                tables.append(
                    school_year(config, calibration, drawn.lives, drawn.casework, academic_year, pupils),
                    drawn.names.upn,
                )
            if on_progress is not None:
                on_progress(f"authority {group.key}", done / len(groups))
    n_files += len(tables.close())
    return SynthesisSummary(
        out, truth / TRUTH_FILE, len(codes), n_files, counts, {}, n_index, n_treated, n_redefined
    )
