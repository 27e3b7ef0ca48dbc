"""School absence and school census as the research service's wide tables, one file per academic year."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from csc_evaluation.project import read_seed_file
from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.casework import Casework
from csc_evaluation.synthetic.config import SynthesisConfig
from csc_evaluation.synthetic.lives import IN_NEED, SCHOOL_STREAM, Lives, stream

Numbers = NDArray[np.int64]

TERMS = ("Autumn", "Spring", "Summer")
_TERM_SHARE = np.array([0.385, 0.325, 0.29])
_MONTH_OF_SCHOOL_YEAR = 9


@dataclass
class SchoolYear:
    """School records of one group and academic year, one row per pupil.

    ``possible``, ``authorised`` and ``unauthorised`` have a column per term in the order of :data:`TERMS`.
    """

    academic_year: int
    child: Numbers
    nc_year: NDArray[np.object_]
    possible: Numbers
    authorised: Numbers
    unauthorised: Numbers
    is_fsm: NDArray[np.bool_]
    is_ever_fsm: NDArray[np.bool_]
    is_premium: NDArray[np.bool_]


@functools.cache
def collected_terms(academic_year: int) -> tuple[str, ...]:
    """Terms in which absence was collected nationally (spring and summer 2019/20 were not)."""
    table = read_seed_file("reference/school_terms")
    rows = table[(table["academic_year"] == str(academic_year)) & (table["is_collected"] == "true")]
    return tuple(term for term in TERMS if term.lower() in set(rows["term"])) or TERMS


def school_year(
    config: SynthesisConfig,
    cal: Calibration,
    lives: Lives,
    casework: Casework,
    academic_year: int,
    pupils: NDArray[np.bool_],
) -> SchoolYear:
    """Records of the pupils (a mask over children) who are of school age, reception to year 11."""
    rng = stream(config, lives.group.key, SCHOOL_STREAM, academic_year)
    people = lives.children
    begins = calendar.day(academic_year - 1, 9, 1)
    month = calendar.month_index(people.birth)
    # Cohort: the calendar year in which the August ends that closes the birth cohort.
    cohort = (month + 12 - (_MONTH_OF_SCHOOL_YEAR - 1)) // 12 + 1970
    year_group = academic_year - cohort - 5
    here = pupils & (year_group >= 0) & (year_group <= 11)
    here &= (people.leaves_on > begins) & (people.arrives_on <= begins)
    child = np.flatnonzero(here)
    n = len(child)
    group = _social_care_groups(lives, casework, calendar.year_end(academic_year))[child]
    names = ("all", "cin", "cp", "cla")
    unauthorised = np.array(
        [cal.target(f"unauthorised_absence_share_{name}", academic_year) for name in names]
    )[group]
    authorised = np.array([cal.target(f"authorised_absence_share_{name}", academic_year) for name in names])[
        group
    ]
    concentration = cal["school_absence_overdispersion"]
    draw = stream(config, lives.group.key, SCHOOL_STREAM, 0)
    # A pupil's own level persists over the years.
    level = draw.gamma(concentration / 6, 6 / concentration, len(people))[child]
    u_rate = np.clip(unauthorised * level * rng.gamma(4, 0.25, n), 0, 0.6)
    a_rate = np.clip(authorised * rng.gamma(3, 1 / 3, n), 0, 0.35)
    sessions = cal.target("sessions_possible_per_pupil_cin", academic_year)
    possible = np.empty((n, 3), dtype=np.int64)
    missed = np.empty((n, 3), dtype=np.int64)
    excused = np.empty((n, 3), dtype=np.int64)
    for place in range(3):
        top = int(np.ceil(sessions * _TERM_SHARE[place])) + 2
        possible[:, place] = top - 2 * rng.binomial(3, 0.25, n)
        missed[:, place] = rng.binomial(possible[:, place], u_rate)
        excused[:, place] = rng.binomial(
            possible[:, place] - missed[:, place], np.minimum(0.9, a_rate / (1 - u_rate))
        )
    poor = people.poverty[child]
    eligible = poor < cal.target("free_meals_share", academic_year)
    ever = poor < cal.target("free_meals_share", academic_year) + 0.06
    in_care = np.zeros(len(people), dtype=bool)
    started = lives.care.start <= calendar.day(academic_year, 1, 15)
    in_care[lives.care.child[started]] = True
    codes = np.array(["R", *[str(number) for number in range(1, 12)]], dtype=object)
    return SchoolYear(
        academic_year=academic_year, child=child, nc_year=codes[year_group[child]], possible=possible,
        authorised=excused, unauthorised=missed, is_fsm=eligible, is_ever_fsm=ever,
        is_premium=ever | in_care[child],
    )  # fmt: skip


def _social_care_groups(lives: Lives, casework: Casework, at: int) -> Numbers:
    """0 other, 1 in need, 2 on a child protection plan, 3 looked after, on one day."""
    group = np.zeros(len(lives.children), dtype=np.int64)
    table = lives.referrals
    is_open = (table.referral_date <= at) & (table.closure > at)
    group[table.child[is_open & (table.kind == IN_NEED)]] = 1
    plans = casework.plans
    on_plan = (plans.start <= at) & (plans.end > at)
    group[table.child[plans.referral[on_plan]]] = 2
    care = lives.care
    group[care.child[(care.start <= at) & (care.end > at)]] = 3
    return group


@dataclass
class SchoolTables:
    """Open files of all academic years, to which groups append."""

    folder: Path
    config: SynthesisConfig
    _files: dict[str, TextIO] = field(default_factory=dict)

    def append(self, year: SchoolYear, pupil_reference: NDArray[np.object_]) -> None:
        """Write the rows of one group and academic year.

        Args:
            pupil_reference: of every child of the group (by number).
        """
        yy = f"{year.academic_year % 100:02d}"
        reference = pupil_reference[year.child].tolist()
        places = [TERMS.index(term) for term in collected_terms(year.academic_year)]
        columns = [reference, year.nc_year.tolist()]
        head = [f"PupilMatchingRefAnonymous_ab{yy}", f"NCyearActual_ab{yy}"]
        for place in places:
            for name, counts in (
                ("SessionsPossible", year.possible),
                ("AuthorisedAbsence", year.authorised),
                ("UnauthorisedAbsence", year.unauthorised),
            ):
                head.append(f"{name}_{TERMS[place]}_ab{yy}")
                columns.append(counts[:, place].astype("U4").tolist())
        self._write(f"absence_{yy}.csv", head, columns)
        for term in self.config.census_terms:
            if not census_is_collected(year.academic_year, term):
                continue
            head = [f"{name}_{term}{yy}" for name in CENSUS_COLUMNS]
            flags = [
                np.where(flag, "1", "0").tolist() for flag in (year.is_fsm, year.is_ever_fsm, year.is_premium)
            ]
            self._write(f"census_{term}{yy}.csv", head, [reference, year.nc_year.tolist(), *flags])

    def _write(self, name: str, head: list[str], columns: list[list[str]]) -> None:
        file = self._files.get(name)
        if file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / name).open("w", encoding="utf-8", newline="\n")
            self._files[name] = file
            file.write(",".join(head) + "\n")
        file.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))

    def close(self) -> list[Path]:
        """Close the files; returns their paths."""
        for file in self._files.values():
            file.close()
        return sorted(self.folder / name for name in self._files)


CENSUS_COLUMNS = (
    "PupilMatchingRefAnonymous", "NCyearActual", "FSMeligible", "EVERFSM_6", "PupilPremium",
)  # fmt: skip


def census_is_collected(academic_year: int, term: str) -> bool:
    """Whether the school census of a term took place (summer 2020 did not)."""
    return not (academic_year == 2020 and term == "SUM")


def appears(lives: Lives, first_day: int) -> NDArray[np.bool_]:
    """Children who appear in some return from ``first_day`` on."""
    seen = np.zeros(len(lives.children), dtype=bool)
    seen[lives.referrals.child[lives.referrals.closure >= first_day]] = True
    seen[lives.care.child[lives.care.end >= first_day]] = True
    return seen
