"""Write a synthetic England: authority by authority, in constant memory."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from csc_evaluation.errors import CscError
from csc_evaluation.landing.manifest import check_key
from csc_evaluation.pseudonyms import Pseudonymiser, load_key
from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.authorities import AuthorityGroup, authority_groups, neighbours
from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.care import CareDetails, detail
from csc_evaluation.synthetic.casework import Casework, carry_out
from csc_evaluation.synthetic.census import CensusReturn, Identities, census_return, name_children
from csc_evaluation.synthetic.cin_xml import write_census
from csc_evaluation.synthetic.config import SynthesisConfig
from csc_evaluation.synthetic.extracts import Extracts
from csc_evaluation.synthetic.flaws import returns_per_child, spoil_care, spoil_census
from csc_evaluation.synthetic.lives import Lives, Trial, plant, quarter_starts, simulate
from csc_evaluation.synthetic.looked_after import (
    CareReturn,
    care_return,
    is_xml_authority,
    write_csv,
    write_xml,
)
from csc_evaluation.synthetic.planted import (
    QUARTERS_FILE,
    QUARTERS_SCHEMA,
    PlantedStructure,
    quarters_of_group,
    write_structure,
)
from csc_evaluation.synthetic.raw_tables import RawTables, check_empty
from csc_evaluation.synthetic.school import SchoolTables, SchoolYear, appears, school_year
from csc_evaluation.synthetic.truth import SCHEMA, TRUTH_FILE, truth_folder, truth_of_group
from csc_evaluation.warehouse import writable

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
        out: a folder that is not there yet or empty. The truth goes to ``<out>_truth`` beside it; with the format
            ``raw`` nothing else is written there.
        warehouse: for the format ``raw``, the warehouse whose empty raw tables are filled.
        overwrite: replace what is there.
        on_progress: called after each group of authorities.

    Raises:
        CscError: the configuration cannot be met, ``out`` or the raw tables are not empty, or something cannot be
            written.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp()) / "england"
        >>> summary = synthesise(SynthesisConfig(scale=0.001, authorities=["335"], last_year=2019), out)
        >>> summary.n_authorities, (out / "cin" / "cin_335_2018.xml").is_file()
        (1, True)
    """
    calibration = Calibration.load()
    trial = Trial.load(config.programme)
    ring = neighbours(config, calibration)
    planted = plant(config, calibration, ring)
    groups = authority_groups(config, calibration, also=planted.pairs.values() if planted else ())
    out = out.expanduser().absolute()
    truth = truth_folder(out)
    england = _England(config, calibration, trial, groups, ring, planted, truth, on_progress or _silent)
    try:
        if config.format == "raw":
            if warehouse is None:
                raise CscError("the format raw fills a warehouse; give the path of one.")
            _prepare(truth, overwrite)
            return _into_warehouse(england, warehouse, overwrite)
        _prepare(out, overwrite)
        _prepare(truth, overwrite)
        sink: _Sink = _ReturnFiles(config, out) if config.format == "returns" else _ExtractFiles(config, out)
        return england.write(sink, out)
    except OSError as error:
        raise CscError(f"{error.filename or out}: cannot write ({error.strerror or error}).") from error


def _silent(step: str, share: float) -> None:
    """Progress that nobody watches."""


def _into_warehouse(england: _England, path: Path, overwrite: bool) -> SynthesisSummary:
    key, key_path, _ = load_key(path)
    hasher = Pseudonymiser(key)
    with writable(path) as connection:
        check_empty(connection, path, overwrite=overwrite)
        check_key(connection, hasher, key_path)
        sink = _RawRows(england.config, RawTables(connection, hasher, england.config.label))
        try:
            return england.write(sink, path)
        except BaseException:
            # Rows without a manifest are seen by no model; still, leave the tables as they were found.
            check_empty(connection, path, overwrite=True)
            raise


def _prepare(folder: Path, overwrite: bool) -> None:
    """Make the folder, empty."""
    if folder.exists() and not folder.is_dir():
        raise CscError(f"{folder}: is a file; give a folder to write to.")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise CscError(f"{folder}: is not empty; give an empty folder, or add --overwrite.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def draw_group(
    config: SynthesisConfig,
    calibration: Calibration,
    trial: Trial,
    group: AuthorityGroup,
    ring: list[AuthorityGroup],
    planted: PlantedStructure | None = None,
) -> GroupOfLives:
    """Draw the lives of one group and all that hangs on them."""
    lives = simulate(config, calibration, group, ring, trial, planted)
    casework = carry_out(config, calibration, lives)
    details = detail(config, calibration, lives)
    return GroupOfLives(lives, casework, details, name_children(lives, config.seed))


class _Sink(Protocol):
    """Where returns go."""

    def returns(self, drawn: GroupOfLives, census: CensusReturn, care: CareReturn) -> None:
        """Take the two returns of an authority and year."""

    def school(self, drawn: GroupOfLives, year: SchoolYear) -> None:
        """Take the school records of a group and academic year."""

    def group_done(self) -> None:
        """A group of authorities is complete."""

    def finish(self) -> int:
        """Everything is complete; returns the number of files or returns written."""


class _ReturnFiles:
    def __init__(self, config: SynthesisConfig, out: Path) -> None:
        self._out = out
        (out / "cin").mkdir()
        self._tables = SchoolTables(out / "school", config)
        self._n_files = 0

    def returns(self, drawn: GroupOfLives, census: CensusReturn, care: CareReturn) -> None:
        name = f"{census.la_code}_{census.year}"
        write_census(census, self._out / "cin" / f"cin_{name}.xml")
        if is_xml_authority(census.la_code):
            write_xml(care, self._out / f"ssda903_{name}.xml")
            self._n_files += 2
        else:
            self._n_files += 1 + len(write_csv(care, self._out / f"ssda903_{name}"))

    def school(self, drawn: GroupOfLives, year: SchoolYear) -> None:
        self._tables.append(year, drawn.names.upn)

    def group_done(self) -> None:
        pass

    def finish(self) -> int:
        return self._n_files + len(self._tables.close())


class _ExtractFiles:
    def __init__(self, config: SynthesisConfig, out: Path) -> None:
        self._extracts = Extracts(out)
        self._tables = SchoolTables(out / "school", config)

    def returns(self, drawn: GroupOfLives, census: CensusReturn, care: CareReturn) -> None:
        self._extracts.census(census, drawn.names)
        self._extracts.care(care, drawn.lives.children, drawn.details.episodes, drawn.lives.care, drawn.names)

    def school(self, drawn: GroupOfLives, year: SchoolYear) -> None:
        self._tables.append(year, drawn.names.anonymous_pupil)

    def group_done(self) -> None:
        pass

    def finish(self) -> int:
        return len(self._extracts.close()) + len(self._tables.close())


class _RawRows:
    def __init__(self, config: SynthesisConfig, tables: RawTables) -> None:
        self._terms = tuple(config.census_terms)
        self._tables = tables

    def returns(self, drawn: GroupOfLives, census: CensusReturn, care: CareReturn) -> None:
        self._tables.census(census)
        self._tables.care(care)

    def school(self, drawn: GroupOfLives, year: SchoolYear) -> None:
        self._tables.school(year, drawn.names.upn, self._terms)

    def group_done(self) -> None:
        self._tables.group_done()

    def finish(self) -> int:
        return self._tables.finish()


@dataclass
class _England:
    config: SynthesisConfig
    calibration: Calibration
    trial: Trial
    groups: list[AuthorityGroup]
    ring: list[AuthorityGroup]
    planted: PlantedStructure | None
    truth: Path
    on_progress: Progress

    def write(self, sink: _Sink, out: Path) -> SynthesisSummary:
        """Draw every group and hand its returns, school records and truth over."""
        config = self.config
        codes: set[str] = set()
        counts: Counter[str] = Counter()
        unusable: Counter[str] = Counter()
        n_redefined = 0
        quarters: list[pa.Table] = []
        with pq.ParquetWriter(self.truth / TRUTH_FILE, SCHEMA) as truth_file:
            for done, group in enumerate(self.groups, start=1):
                drawn = draw_group(config, self.calibration, self.trial, group, self.ring, self.planted)
                table, check = truth_of_group(config, drawn.lives, drawn.details, self.trial)
                truth_file.write_table(table)
                if self.planted is not None:
                    quarters.append(_quarters(drawn.lives, quarter_starts(config, self.calibration)))
                n_redefined += check.n_redefined
                counts["children in the truth"] += check.n_children
                counts["treated children"] += int(np.sum(table["is_treated"].to_numpy()))
                codes |= self._returns_of_group(sink, drawn, counts, unusable)
                pupils = appears(drawn.lives, calendar.year_start(config.first_year))
                for academic_year in range(config.first_year - 1, config.last_year + 1):
                    year = school_year(
                        config, self.calibration, drawn.lives, drawn.casework, academic_year, pupils
                    )
                    counts["pupils in a school year"] += len(year.child)
                    sink.school(drawn, year)
                sink.group_done()
                self.on_progress(f"authority {group.key}", done / len(self.groups))
        n_files = sink.finish()
        if self.planted is not None:
            pq.write_table(
                pa.concat_tables([QUARTERS_SCHEMA.empty_table(), *quarters]), self.truth / QUARTERS_FILE
            )
            write_structure(self.truth, self.planted, self.groups, quarter_starts(config, self.calibration))
        return SynthesisSummary(
            out=out,
            truth_path=self.truth / TRUTH_FILE,
            n_authorities=len(codes),
            n_files=n_files,
            counts={
                "authorities": len(codes),
                "files" if config.format != "raw" else "returns": n_files,
                **counts,
            },
            n_unusable=dict(unusable),
            n_index_events=counts["children in the truth"],
            n_treated=counts["treated children"],
            n_redefined=n_redefined,
        )

    def _returns_of_group(
        self, sink: _Sink, drawn: GroupOfLives, counts: Counter[str], unusable: Counter[str]
    ) -> set[str]:
        config, group = self.config, drawn.lives.group
        years = range(config.first_year, config.last_year + 1)
        codes = sorted({code for year in years for code in group.codes_of_year(year)})
        n_returns = (
            {code: returns_per_child(drawn.lives, code, years) for code in codes} if config.messiness else {}
        )
        for year in years:
            for code in group.codes_of_year(year):
                census = census_return(drawn.lives, drawn.casework, drawn.names, code, year)
                care = care_return(
                    config, self.calibration, drawn.lives, drawn.details, drawn.names, code, year
                )
                if config.messiness:
                    census = spoil_census(config, group.key, census, n_returns[code])
                    care = spoil_care(config, group.key, care)
                sink.returns(drawn, census, care)
                _count(census, care, counts, unusable)
        return set(codes)


def _quarters(lives: Lives, starts: calendar.Days) -> pa.Table:
    outcomes = lives.outcomes
    area = lives.children.area[outcomes.child]
    return quarters_of_group(lives.group, area, outcomes.index_date, outcomes.risk, starts, lives.risk_ratio)


def _count(census: CensusReturn, care: CareReturn, counts: Counter[str], unusable: Counter[str]) -> None:
    """Records as landing counts them."""
    n_junk = census.n_without_id + census.n_impossible_dates
    counts.update(
        {
            "Child": len(census.children) + n_junk,
            "Disability": len(census.disabilities),
            "CINdetails": len(census.referrals) + n_junk,
            "Assessments": len(census.assessments),
            "AssessmentFactors": len(census.factors),
            "Section47": len(census.enquiries),
            "CINPlanDates": len(census.need_plans),
            "ChildProtectionPlans": len(census.plans),
            "Reviews": len(census.reviews),
        }
    )
    unusable.update({"Child": census.n_without_id, "CINdetails": n_junk, "episodes": care.n_impossible_dates})
    for name, child in care.children.items():
        counts[name] += len(child) + (care.n_impossible_dates if name == "episodes" else 0)
