"""The lives behind the returns: children, their referrals, plans and care, for one group of authorities.

Everything is drawn in whole arrays from one random stream per group. Lives hold what really happened; what a
return of some year says of it is cut from them in :mod:`csc_evaluation.synthetic.census`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from csc_evaluation.errors import CscError
from csc_evaluation.project import read_seed_file
from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.authorities import ETHNICITIES, AuthorityGroup, programme_sites
from csc_evaluation.synthetic.calendar import NEVER, Days
from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.config import SynthesisConfig
from csc_evaluation.synthetic.planted import PlantedStructure, autoregressive_path, planted_structure

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

NFA, CLOSED_AFTER_ASSESSMENT, IN_NEED = 0, 1, 2
DAYS_PER_YEAR = 365.25
DAYS_PER_QUARTER = DAYS_PER_YEAR / 4
DAYS_PER_MONTH = DAYS_PER_YEAR / 12

# Streams of one group, so that a change to one part leaves the others' draws alone.
LIVES_STREAM, EFFECTS_STREAM, CASEWORK_STREAM, CARE_STREAM, SCHOOL_STREAM, FLAWS_STREAM, MOVERS_STREAM = (
    range(1, 8)
)
NAMES_STREAM, DETAILS_STREAM, OUTCOMES_STREAM = range(8, 11)

# Referrals by quarter of the financial year relative to their mean; in 2020/21 the first lockdown empties the
# first quarter and the fourth catches up.
_SEASON = np.array([1.02, 0.95, 1.01, 1.02])
_SEASON_PANDEMIC = np.array([0.84, 0.97, 1.05, 1.14])
_PANDEMIC_YEAR = 2021


@dataclass
class Columns:
    """A table as equally long arrays, one field a column."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self, rows: NDArray[Any]) -> Self:
        """The rows of a mask or of positions."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @classmethod
    def concat(cls, parts: list[Self]) -> Self:
        """One below the other."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})


@dataclass
class Children(Columns):
    """One row per child of the group; a child's number is its row."""

    area: NDArray[np.int64]
    family: NDArray[np.int64]
    birth: Days
    sex: NDArray[np.int64]
    ethnicity: NDArray[np.int64]
    disabled_from: Days
    poverty: Floats
    pupil: NDArray[np.int64]
    is_uasc: Flags
    is_without_referral: Flags
    earlier_plans: NDArray[np.int64]
    leaves_on: Days
    """Day on which the child moves to another authority."""
    arrives_on: Days
    """Day on which the child moved here from another authority; far back for the others."""


@dataclass
class Referrals(Columns):
    """One row per referral, ordered by child and date."""

    child: NDArray[np.int64]
    referral_date: Days
    closure: Days
    kind: NDArray[np.int64]


@dataclass
class CarePeriods(Columns):
    """One row per period of being looked after."""

    child: NDArray[np.int64]
    start: Days
    end: Days


@dataclass
class Outcomes(Columns):
    """One row per child with an index event: potential outcomes by design."""

    child: NDArray[np.int64]
    index_date: Days
    y0: NDArray[np.int64]
    y1: NDArray[np.int64]
    y_observed: NDArray[np.int64]
    is_treated: Flags
    risk: Floats
    """Chance of the outcome without the programme."""


@dataclass
class Lives:
    """What happened to the children of one group."""

    group: AuthorityGroup
    children: Children
    referrals: Referrals
    care: CarePeriods
    outcomes: Outcomes
    risk_ratio: Floats
    """Risk of care by quarter from the start of the burn-in, relative to England's, before the mix of children."""


@dataclass(frozen=True)
class Trial:
    """The programme's trial period, ages and window, from the protocol's seeds."""

    start: int
    end: int
    age_min: int
    age_max: int
    window_months: int
    go_live: dict[str, int]

    @classmethod
    def load(cls, programme: str) -> Trial:
        """Read the programme, its primary outcome's window and its sites."""
        programmes = read_seed_file("protocol/programmes").set_index("programme")
        row = programmes.loc[programme]
        outcomes = read_seed_file("protocol/outcomes")
        if not isinstance(row["primary_outcome"], str):
            raise CscError(
                f"seeds/protocol/programmes.csv: {programme} has no primary outcome; the known effect of a synthetic "
                "England is one on a primary outcome."
            )
        window = outcomes[
            (outcomes["programme"] == programme) & (outcomes["outcome"] == row["primary_outcome"])
        ]["window_months"].iloc[0]
        sites = programme_sites(programme)
        return cls(
            start=calendar.parse_day(str(row["trial_start"])),
            end=calendar.parse_day(str(row["trial_end"])),
            age_min=int(row["age_min"]),
            age_max=int(row["age_max"]),
            window_months=int(window),
            go_live={code: live for code, live in sites.items() if live is not None},
        )


def stream(config: SynthesisConfig, key: int, purpose: int, *more: int) -> np.random.Generator:
    """The random stream of one group and purpose; it depends on nothing but the seed and these numbers."""
    return np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(key, purpose, *more)))


def simulate(
    config: SynthesisConfig,
    calibration: Calibration,
    group: AuthorityGroup,
    neighbouring: list[AuthorityGroup],
    trial: Trial,
    planted: PlantedStructure | None = None,
) -> Lives:
    """Draw the lives of one group of authorities.

    Args:
        neighbouring: every group of England in order, for the children who move in and out.
        planted: common factors in the risk of care; None for authorities that go their own ways.
    """
    return _Simulation(config, calibration, group, neighbouring, trial, planted).run()


def burn_in_year(config: SynthesisConfig, calibration: Calibration) -> int:
    """The return year in which lives begin, some years before the first return."""
    return config.first_year - int(calibration["burn_in_years"])


def n_quarters(config: SynthesisConfig, calibration: Calibration) -> int:
    """Quarters from the start of the burn-in to the end of the last return."""
    return 4 * (config.last_year - burn_in_year(config, calibration) + 1)


def quarter_starts(config: SynthesisConfig, calibration: Calibration) -> Days:
    """First days of the quarters from the start of the burn-in, and the day after the last."""
    first_month = (burn_in_year(config, calibration) - 1 - 1970) * 12 + 3
    return calendar.month_start(first_month + 3 * np.arange(n_quarters(config, calibration) + 1))


@dataclass(frozen=True)
class GroupEffects:
    """What sets a group of authorities apart: paths of unit variance by quarter, and its own levels."""

    referral_path: Floats
    care_path: Floats
    care_level: float
    nfa_level: float

    @classmethod
    def draw(cls, config: SynthesisConfig, calibration: Calibration, key: int) -> GroupEffects:
        """The effects of the group with this key; they depend on nothing but the seed and the years."""
        rng = stream(config, key, EFFECTS_STREAM)
        rho, n = calibration["quarter_autocorrelation"], n_quarters(config, calibration)
        referral_path, care_path = autoregressive_path(rng, n, rho), autoregressive_path(rng, n, rho)
        z_care, z_nfa = rng.standard_normal(2)
        return cls(
            referral_path,
            care_path,
            _log_normal(z_care, calibration["care_authority_sd"]),
            _log_normal(z_nfa, calibration["nfa_authority_sd"]),
        )


def plant(
    config: SynthesisConfig, calibration: Calibration, england: list[AuthorityGroup]
) -> PlantedStructure | None:
    """The common factors and planted neighbours of a configuration; None where it asks for none."""
    if not config.planted_neighbours:
        return None

    def level_of(key: int) -> float:
        return GroupEffects.draw(config, calibration, key).care_level

    return planted_structure(config, calibration, england, n_quarters(config, calibration), level_of)


class _Simulation:
    def __init__(
        self,
        config: SynthesisConfig,
        calibration: Calibration,
        group: AuthorityGroup,
        neighbouring: list[AuthorityGroup],
        trial: Trial,
        planted: PlantedStructure | None,
    ) -> None:
        self.config, self.cal, self.group, self.neighbouring, self.trial = (
            config, calibration, group, neighbouring, trial,
        )  # fmt: skip
        self.rng = stream(config, group.key, LIVES_STREAM)
        self.first_day = calendar.year_start(config.first_year)
        self.last_day = calendar.year_end(config.last_year)
        self.burn_in_year = burn_in_year(config, calibration)
        self.burn_in_day = calendar.year_start(self.burn_in_year)
        self.n_quarters = n_quarters(config, calibration)
        self.area_shares = np.array([area.weight for area in group.areas])
        self.parts: list[Children] = []
        self.n_children = 0
        self.n_families = 0
        effects = GroupEffects.draw(config, calibration, group.key)
        self.referral_effect = effects.referral_path * calibration["referral_quarter_sd"]
        self.care_authority_effect = effects.care_level
        self.nfa_effect = effects.nfa_level
        if planted is None:
            quarter_sd = calibration["care_quarter_sd"]
            self.care_quarter_ratio = np.exp(effects.care_path * quarter_sd - quarter_sd**2 / 2)
        else:
            ratio = planted.risk_ratio(group.key, effects.care_level, effects.care_path)
            self.care_quarter_ratio = ratio / effects.care_level

    # -- the course of a group -------------------------------------------------------------------------------

    def run(self) -> Lives:
        referrals = [self._families_referred(), *self._movers(), self._long_cases()]
        care_stock, care_stock_referrals = self._care_at_start()
        uasc, uasc_referrals = self._uasc()
        fresh = self._care_without_referral()
        children = Children.concat(self.parts)
        table = Referrals.concat([*referrals, care_stock_referrals, uasc_referrals])
        table = _tidy_referrals(table, children, self.last_day)
        outcomes, entries, risk = self._outcomes(children, table, care_stock)
        care = CarePeriods.concat([_cut_for_new_entry(care_stock, entries), entries, uasc, fresh])
        others = self._other_entries(children, table, care, outcomes, risk, len(uasc))
        care = CarePeriods.concat([care, others])
        care = CarePeriods.concat([care, self._reentries(children, care, outcomes)])
        care.end = np.minimum(care.end, children.leaves_on[care.child])
        care = care.take((care.start <= self.last_day) & (care.end > care.start))
        care = care.take(np.lexsort((care.start, care.child)))
        table = _extend_to_care(self.rng, table, children, care)
        ratio = self.care_authority_effect * self.care_quarter_ratio
        return Lives(self.group, children, table, care, outcomes, ratio)

    # -- children --------------------------------------------------------------------------------------------

    def _add_children(
        self, family: NDArray[np.int64], birth: Days, rng: np.random.Generator, **given: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Register children; families share ethnicity, poverty and area. Returns their numbers."""
        n = len(family)
        _, within = np.unique(family, return_inverse=True)
        n_families = int(within.max()) + 1 if n else 0
        area = rng.choice(len(self.area_shares), n_families, p=self.area_shares)[within]
        disabled = rng.random(n) < self.cal["disabled_share"]
        # Disability is known from birth for half; for the others it is recorded some time in childhood.
        known_from = birth + np.where(rng.random(n) < 0.5, 0, rng.integers(365, 3650, n))
        earlier = rng.random(n_families)[within] < self.cal["earlier_plan_share"]
        columns: dict[str, NDArray[Any]] = {
            "area": area,
            "family": family + self.n_families,
            "birth": birth,
            "sex": 1 + (rng.random(n) < 0.485).astype(np.int64),
            "ethnicity": draw_categories(rng, self._ethnicity_shares(), n_families)[within],
            "disabled_from": np.where(disabled, known_from, NEVER),
            "poverty": rng.random(n_families)[within],
            "pupil": self.group.key * 10**9 + self.n_children + np.arange(n),
            "is_uasc": np.zeros(n, dtype=bool),
            "is_without_referral": np.zeros(n, dtype=bool),
            "earlier_plans": np.where(earlier, 1 + (rng.random(n) < 0.25), 0).astype(np.int64),
            "leaves_on": np.full(n, NEVER),
            "arrives_on": np.full(n, -NEVER),
        }
        columns.update(given)
        self.parts.append(Children(**columns))
        numbers = self.n_children + np.arange(n)
        self.n_children += n
        self.n_families += n_families
        return numbers

    def _ethnicity_shares(self) -> Floats:
        minority = np.array([name != "WBRI" for name in ETHNICITIES])
        shares = self.group.ethnicity * np.where(minority, self.cal["ethnicity_minority_boost"], 1.0)
        return shares / shares.sum()

    def _births(self, rng: np.random.Generator, dates: Days) -> Days:
        return dates - _draw_age_days(rng, self.cal, len(dates))

    # -- referrals -------------------------------------------------------------------------------------------

    def _expected_referrals(self) -> Floats:
        """Expected referrals by quarter from the start of the burn-in."""
        expected = np.empty(self.n_quarters)
        for position in range(self.n_quarters):
            year = self.burn_in_year + position // 4
            season = _SEASON_PANDEMIC if year == _PANDEMIC_YEAR else _SEASON
            expected[position] = self.group.referrals[max(year, 2009)] / 4 * season[position % 4]
        effect = np.exp(self.referral_effect - self.cal["referral_quarter_sd"] ** 2 / 2)
        return np.maximum(expected * effect * self.config.scale - self._expected_uasc(), 0.0)

    def _expected_uasc(self) -> Floats:
        """Expected referrals of unaccompanied children by quarter; they come beside the families."""
        years = self.burn_in_year + np.arange(self.n_quarters) // 4
        stock = self.cal.by_year("uasc_at_31_march", years) / self.cal["uasc_stay_years"] / 4
        share = np.array([self._share_of_england(int(year)) for year in years])
        return np.where(years >= self.config.first_year - 1, stock * share, 0.0)

    def _families_referred(self) -> Referrals:
        """Families whose first referral falls in the simulated years, and their later referrals.

        The number of first referrals is what remains of the expected referrals of a quarter once those that
        follow earlier ones are taken off (a renewal equation in the lags of re-referral).
        """
        rng = self.rng
        expected = self._expected_referrals()
        lags = _rereferral_lags(self.cal)
        first = np.zeros(self.n_quarters)
        for q in range(self.n_quarters):
            reach = min(q, len(lags) - 1)
            follow = float(expected[q - reach : q + 1][::-1] @ lags[: reach + 1])
            first[q] = max(0.05 * expected[q], expected[q] - follow)
        movers = self._expected_mover_referrals()
        sizes = self.cal.shares("family_size_share", ("1", "2", "3", "4"))
        mean_size = float(sizes @ np.arange(1, 5))
        n_families = rng.poisson(np.maximum(first - movers, 0.0) / mean_size)
        quarter = np.repeat(np.arange(self.n_quarters), n_families)
        starts = quarter_starts(self.config, self.cal)
        date = starts[quarter] + rng.integers(0, 10**6, len(quarter)) % (
            starts[quarter + 1] - starts[quarter]
        )
        size = 1 + draw_categories(rng, sizes, len(quarter))
        family = np.repeat(np.arange(len(quarter)), size)
        eldest = _draw_age_days(rng, self.cal, len(quarter))[family]
        is_first = (
            np.concatenate(([True], family[1:] != family[:-1])) if len(family) else np.zeros(0, dtype=bool)
        )
        shift = rng.normal(0, self.cal["sibling_age_sd"] * DAYS_PER_YEAR, len(family))
        age = np.where(is_first, eldest, np.abs(eldest + shift)).astype(np.int64)
        age = np.where(age > 17.7 * DAYS_PER_YEAR, (17.7 * DAYS_PER_YEAR * rng.random(len(age))), age).astype(
            np.int64
        )
        dates = date[family]
        numbers = self._add_children(family, dates - age, rng)
        return self._chain(rng, numbers, family, dates - age, dates, np.full(len(dates), NEVER))

    def _chain(
        self,
        rng: np.random.Generator,
        child: NDArray[np.int64],
        family: NDArray[np.int64],
        birth: Days,
        date: Days,
        until: Days,
    ) -> Referrals:
        parts = []
        while len(child):
            kind, closure, following = _referral_course(rng, self.cal, family, birth, date, self.nfa_effect)
            parts.append(Referrals(child, date, closure, kind))
            goes_on = (following <= self.last_day) & (following < until)
            child, family, birth, date, until = (
                child[goes_on], family[goes_on], birth[goes_on], following[goes_on], until[goes_on],
            )  # fmt: skip
        if not parts:
            empty = np.zeros(0, dtype=np.int64)
            return Referrals(empty, empty, empty, empty)
        return Referrals.concat(parts)

    def _expected_mover_referrals(self) -> float:
        """Referrals a quarter that movers bring, in and out."""
        before, after = self._ring()
        rate = sum(self._mover_rate(pair) for pair in ((before, self.group), (self.group, after)))
        return rate / 4

    def _ring(self) -> tuple[AuthorityGroup, AuthorityGroup]:
        keys = [group.key for group in self.neighbouring]
        place = keys.index(self.group.key)
        return self.neighbouring[place - 1], self.neighbouring[(place + 1) % len(keys)]

    def _mover_rate(self, pair: tuple[AuthorityGroup, AuthorityGroup]) -> float:
        """Children a year who move from the first of a pair to the second."""
        smaller = min(np.mean(list(group.referrals.values())) for group in pair)
        return float(self.cal["mover_share"] * smaller * self.config.scale)

    def _movers(self) -> list[Referrals]:
        """Children who live here, then in the next authority of the ring, or the other way round.

        Both sides draw identity and moving day from the pair's own stream: each side is the same whether or
        not the other is generated, and the pupil number is shared.
        """
        before, after = self._ring()
        parts = []
        for role, pair in (("leaves", (self.group, after)), ("arrives", (before, self.group))):
            shared = stream(self.config, pair[0].key, MOVERS_STREAM, pair[1].key)
            years = (self.last_day - self.burn_in_day) / DAYS_PER_YEAR
            n = int(shared.poisson(self._mover_rate(pair) * years))
            moves_on = self.burn_in_day + shared.integers(0, self.last_day - self.burn_in_day, n)
            # Long enough before the move for the outcome's window to close in the first authority.
            months = self.trial.window_months + 2
            referred = moves_on - shared.integers(int(months * DAYS_PER_MONTH), int(4.5 * DAYS_PER_YEAR), n)
            age = (shared.random(n) * 10 * DAYS_PER_YEAR).astype(np.int64)
            birth = referred - age
            sex = 1 + (shared.random(n) < 0.485).astype(np.int64)
            ethnicity = draw_categories(shared, (pair[0].ethnicity + pair[1].ethnicity) / 2, n)
            disabled = np.where(shared.random(n) < self.cal["disabled_share"], birth, NEVER)
            pupil = pair[0].key * 10**9 + 500_000_000 + np.arange(n)
            poverty = shared.random(n)
            waits = shared.integers(0, 90, n)
            family = np.arange(n)
            own = stream(self.config, self.group.key, MOVERS_STREAM, pair[0].key, pair[1].key)
            leaves_on = moves_on if role == "leaves" else np.full(n, NEVER)
            arrives_on = np.full(n, -NEVER) if role == "leaves" else moves_on
            numbers = self._add_children(
                family, birth, own, sex=sex, ethnicity=ethnicity, disabled_from=disabled, pupil=pupil,
                poverty=poverty, leaves_on=leaves_on, arrives_on=arrives_on,
            )  # fmt: skip
            date = referred if role == "leaves" else moves_on + waits
            here = date <= self.last_day
            parts.append(
                self._chain(own, numbers[here], family[here], birth[here], date[here], leaves_on[here])
            )
        return parts

    def _long_cases(self) -> Referrals:
        """Cases from before the burn-in that are still open at the first return."""
        rng, years = self.rng, int(self.cal["long_case_look_back_years"])
        yearly = self.group.referrals[max(self.burn_in_year, 2009)] * self.config.scale
        n = int(rng.poisson(yearly * self.cal["long_case_share_before"] * years))
        date = self.burn_in_day - rng.integers(1, int(years * DAYS_PER_YEAR), n)
        birth = self._births(rng, date)
        length = 2 + rng.exponential(self.cal["long_case_mean_years"], n)
        closure = np.minimum(date + (length * DAYS_PER_YEAR).astype(np.int64), eighteenth_birthday(birth))
        still_open = closure >= self.first_day
        date, birth, closure = date[still_open], birth[still_open], closure[still_open]
        numbers = self._add_children(np.arange(len(date)), birth, rng)
        return Referrals(numbers, date, closure, np.full(len(date), IN_NEED))

    # -- care ------------------------------------------------------------------------------------------------

    def _share_of_england(self, year: int) -> float:
        """Expected share of the group in England's referrals of a year, with the scale."""
        return self.group.referrals[max(year, 2009)] / self.cal.target("referrals", year) * self.config.scale

    def _care_at_start(self) -> tuple[CarePeriods, Referrals]:
        rng, years = self.rng, int(self.cal["care_look_back_years"])
        year = self.config.first_year
        yearly = (
            self.cal.target("cla_started", year - 1)
            * self._share_of_england(year)
            * self.care_authority_effect
        )
        n = int(rng.poisson(yearly * years * self.cal["care_stock_scale"]))
        start = self.first_day - rng.integers(1, int(years * DAYS_PER_YEAR), n)
        birth = self._births(rng, start)
        birth = np.minimum(birth, start)
        end = _care_end(rng, self.cal, start, birth)
        stays = end >= self.first_day
        start, birth, end = start[stays], birth[stays], end[stays]
        n = len(start)
        numbers = self._add_children(np.arange(n), birth, rng)
        referred = np.maximum(start - rng.integers(0, 400, n), birth - 100)
        closure = end + rng.integers(0, 60, n)
        again = np.flatnonzero(rng.random(n) < self.cal["referral_in_care_share"])
        date_again = self.first_day + (rng.random(len(again)) * (end[again] - self.first_day)).astype(
            np.int64
        )
        kept = (date_again <= self.last_day) & (date_again < eighteenth_birthday(birth[again]))
        again, date_again = again[kept], date_again[kept]
        referrals = Referrals(
            np.concatenate([numbers, numbers[again]]),
            np.concatenate([referred, date_again]),
            np.concatenate([closure, date_again + rng.integers(10, 60, len(again))]),
            np.concatenate([np.full(n, IN_NEED), np.full(len(again), CLOSED_AFTER_ASSESSMENT)]),
        )
        return CarePeriods(numbers, start, end), referrals

    def _uasc(self) -> tuple[CarePeriods, Referrals]:
        """Unaccompanied asylum-seeking children, referred and looked after from the same days."""
        rng = self.rng
        starts = []
        for year in range(self.config.first_year - 1, self.config.last_year + 1):
            national = self.cal.target("uasc_at_31_march", year) / self.cal["uasc_stay_years"]
            n = int(rng.poisson(national * self._share_of_england(year)))
            first = calendar.year_start(year)
            starts.append(first + rng.integers(0, calendar.year_end(year) - first + 1, n))
        start = np.concatenate(starts)
        n = len(start)
        birth = start - ((14.2 + 3.7 * rng.beta(2.4, 1.6, n)) * DAYS_PER_YEAR).astype(np.int64)
        end = eighteenth_birthday(birth)
        early = rng.random(n) < 0.06
        end = np.where(early, start + 1 + (rng.random(n) * 120).astype(np.int64), end)
        end = np.minimum(end, eighteenth_birthday(birth))
        ethnicity = draw_categories(
            rng, np.array([0.0] * 3 + [0.05] + [0.0] * 8 + [0.12, 0.0, 0.0, 0.38, 0.0, 0.45]), n
        )
        numbers = self._add_children(
            np.arange(n), birth, rng, is_uasc=np.ones(n, dtype=bool), ethnicity=ethnicity,
            sex=1 + (rng.random(n) < 0.05).astype(np.int64), disabled_from=np.full(n, NEVER),
        )  # fmt: skip
        kept = end >= self.first_day
        referred = start - rng.integers(0, 3, n)
        referrals = Referrals(numbers, referred, end + rng.integers(0, 60, n), np.full(n, IN_NEED))
        return CarePeriods(numbers[kept], start[kept], end[kept]), referrals.take(kept)

    def _care_without_referral(self) -> CarePeriods:
        """Periods of care of children who appear in no referral."""
        rng = self.rng
        starts = []
        for year in range(self.config.first_year, self.config.last_year + 1):
            national = self.cal.target("cla_started", year) * self.cal["care_without_referral_share"]
            n = int(rng.poisson(national * self._share_of_england(year)))
            first = calendar.year_start(year)
            starts.append(first + rng.integers(0, calendar.year_end(year) - first + 1, n))
        start = np.concatenate(starts)
        birth = np.minimum(self._births(rng, start), start)
        end = _care_end(rng, self.cal, start, birth)
        numbers = self._add_children(
            np.arange(len(start)), birth, rng, is_without_referral=np.ones(len(start), dtype=bool)
        )
        return CarePeriods(numbers, start, end)

    def _outcomes(
        self, children: Children, referrals: Referrals, care_stock: CarePeriods
    ) -> tuple[Outcomes, CarePeriods, Floats]:
        """Potential outcomes at each child's index event, and the entries to care that realise them.

        Returns the outcomes, the new periods of care, and each outcome's expected risk without the programme.
        """
        rng, trial, cal = stream(self.config, self.group.key, CARE_STREAM), self.trial, self.cal
        position = first_index_referrals(children, referrals, trial, self.first_day, self.last_day)
        child = referrals.child[position]
        index = referrals.referral_date[position]
        window_end = calendar.add_months(index, trial.window_months)
        in_care = _covers(care_stock, child, index, self.n_children)
        risk = self._care_risk(children, child, index, referrals.kind[position], in_care)
        correlation = cal["sibling_risk_correlation"]
        family = children.family[child]
        families, within = np.unique(family, return_inverse=True)
        latent = np.sqrt(correlation) * rng.standard_normal(len(families))[within] + np.sqrt(
            1 - correlation
        ) * rng.standard_normal(len(child))
        u = norm.cdf(latent)
        go_live = np.array(
            [trial.go_live.get(area.codes[self.config.last_year], NEVER) for area in self.group.areas]
        )[children.area[child]]
        is_treated = index >= go_live
        treated_risk = np.clip(risk + self.config.effect, 0, 1)
        exposed_share = np.clip((window_end - go_live) / np.maximum(1, window_end - index), 0, 1)
        partial = np.clip(risk + self.config.effect * self.config.partial_exposure * exposed_share, 0, 1)
        y0 = u < risk
        y1 = u < treated_risk
        observed = np.where(is_treated, y1, u < partial)
        outcomes = Outcomes(
            child,
            index,
            y0.astype(np.int64),
            y1.astype(np.int64),
            observed.astype(np.int64),
            is_treated,
            risk,
        )
        entrants = np.flatnonzero(observed)
        length = window_end[entrants] - index[entrants]
        v = rng.random(len(entrants)) ** cal["care_entry_skew"]
        start = index[entrants] + np.minimum((v * (length + 1)).astype(np.int64), length)
        # A new period of a child in care needs room for the old one to end after the index date.
        late = index[entrants] + 60 + (v * (length - 60)).astype(np.int64)
        start = np.where(in_care[entrants], late, start)
        start = np.maximum(start, children.birth[child[entrants]])
        end = _care_end(rng, cal, start, children.birth[child[entrants]])
        return outcomes, CarePeriods(child[entrants], start, end), risk

    def _care_risk(
        self,
        children: Children,
        child: NDArray[np.int64],
        index: Days,
        kind: NDArray[np.int64],
        in_care: Flags,
    ) -> Floats:
        """Chance of a new period of care in the window without the programme."""
        cal = self.cal
        age = calendar.completed_years(children.birth[child], index)
        by_age = np.select(
            [age < 1, age < 5, age < 10],
            [cal["care_risk_ratio_under_1"], cal["care_risk_ratio_1_to_4"], cal["care_risk_ratio_5_to_9"]],
            cal["care_risk_ratio_10_to_12"],
        )
        ethnicity = np.array(
            [cal.parameters.get(f"care_risk_ratio_{_major(name)}", 1.0) for name in ETHNICITIES]
        )
        quarter = (calendar.month_index(index) - (self.burn_in_year - 1 - 1970) * 12 - 3) // 3
        risk = (
            cal["care_risk_base"] * cal["care_risk_scale"] * self.care_authority_effect
            * self.care_quarter_ratio[np.clip(quarter, 0, self.n_quarters - 1)]
            * by_age
            * ethnicity[children.ethnicity[child]]
            * np.where(children.disabled_from[child] <= index, cal["care_risk_ratio_disabled"], 1.0)
            * np.where(children.earlier_plans[child] > 0, cal["care_risk_ratio_earlier_plan"], 1.0)
            * np.where(
                children.poverty[child] < 0.5, cal["care_risk_ratio_poor"], cal["care_risk_ratio_less_poor"]
            )
            * np.where(kind == IN_NEED, cal["care_risk_ratio_cin"], cal["care_risk_ratio_closed"])
            * np.where(in_care, cal["care_risk_ratio_in_care"], 1.0)
        )  # fmt: skip
        return np.clip(risk, 0.001, 0.6)

    def _other_entries(
        self,
        children: Children,
        referrals: Referrals,
        care: CarePeriods,
        outcomes: Outcomes,
        risk: Floats,
        n_uasc: int,
    ) -> CarePeriods:
        """Entries to care outside the windows of index events, up to the published entries of each year.

        The number is what is expected without the programme: the published entries less the expected entries in
        windows, so that these entries do not make up for an effect.
        """
        rng, cal, trial = self.rng, self.cal, self.trial
        index_of = np.full(self.n_children, NEVER)
        index_of[outcomes.child] = outcomes.index_date
        has_care = np.zeros(self.n_children, dtype=bool)
        has_care[care.child] = True
        rows = (referrals.kind == IN_NEED) & ~has_care[referrals.child] & ~children.is_uasc[referrals.child]
        pool = referrals.take(rows)
        open_for = np.minimum(pool.closure, self.last_day + 1) - pool.referral_date
        start = pool.referral_date + (open_for * rng.random(len(pool)) ** 2).astype(np.int64)
        birth = children.birth[pool.child]
        index = index_of[pool.child]
        in_window = (start >= index) & (start <= calendar.add_months(index, trial.window_months))
        fits = (
            (start >= self.first_day) & (start <= self.last_day) & (start >= birth) & ~in_window
            & (start < eighteenth_birthday(birth) - 30) & (start + 1 < children.leaves_on[pool.child])
        )  # fmt: skip
        pool, start, birth = pool.take(fits), start[fits], birth[fits]
        age = (start - birth) / DAYS_PER_YEAR
        weight = np.select([age < 1, age < 10, age < 13], [2.5, 0.7, 1.0], 1.8)
        # Weighted sampling without replacement: the largest u^(1/weight) (Efraimidis and Spirakis 2006).
        rank = rng.random(len(pool)) ** (1 / weight)
        year_of = calendar.return_year_of(start)
        window_end = calendar.add_months(outcomes.index_date, trial.window_months)
        length = np.maximum(1, window_end - outcomes.index_date)
        power = 1 / cal["care_entry_skew"]
        chosen: list[NDArray[np.int64]] = []
        taken = np.zeros(self.n_children, dtype=bool)
        for year in range(self.config.first_year, self.config.last_year + 1):
            first, last = calendar.year_start(year), calendar.year_end(year) + 1
            part = (
                np.clip((last - outcomes.index_date) / length, 0, 1) ** power
                - np.clip((first - outcomes.index_date) / length, 0, 1) ** power
            )
            in_windows = float(np.sum(part * risk))
            share = self._share_of_england(year)
            national = cal.target("cla_started", year) * (1 - cal["care_without_referral_share"])
            uasc = cal.target("uasc_at_31_march", year) / cal["uasc_stay_years"]
            wanted = (national - uasc) * share * self.care_authority_effect - in_windows
            n = int(rng.poisson(max(0.0, wanted / (1 + cal["care_reentry_share"]))))
            candidates = np.flatnonzero((year_of == year) & ~taken[pool.child])
            best = candidates[np.argsort(-rank[candidates], kind="stable")]
            _, first_row = np.unique(pool.child[best], return_index=True)
            best = best[np.sort(first_row)][:n]
            taken[pool.child[best]] = True
            chosen.append(best)
        rows_chosen = np.concatenate(chosen)
        return CarePeriods(
            pool.child[rows_chosen],
            start[rows_chosen],
            _care_end(rng, cal, start[rows_chosen], birth[rows_chosen]),
        )

    def _reentries(self, children: Children, care: CarePeriods, outcomes: Outcomes) -> CarePeriods:
        """A second period for some whose last one ended, never inside the window of an index event."""
        rng = self.rng
        order = np.lexsort((care.start, care.child))
        care = care.take(order)
        is_last = (
            np.concatenate((care.child[1:] != care.child[:-1], [True])) if len(care) else np.zeros(0, bool)
        )
        again = is_last & (rng.random(len(care)) < self.cal["care_reentry_share"])
        start = care.end + 5 + rng.exponential(300, len(care)).astype(np.int64)
        birth = children.birth[care.child]
        index_of = np.full(self.n_children, NEVER)
        index_of[outcomes.child] = outcomes.index_date
        index = index_of[care.child]
        in_window = (start >= index) & (start <= calendar.add_months(index, self.trial.window_months))
        again &= ~in_window & (start <= self.last_day) & (start < eighteenth_birthday(birth) - 30)
        again &= start < children.leaves_on[care.child]
        child, start, birth = care.child[again], start[again], birth[again]
        return CarePeriods(child, start, _care_end(rng, self.cal, start, birth))


def first_index_referrals(
    children: Children, referrals: Referrals, trial: Trial, first_day: int, last_day: int
) -> NDArray[np.int64]:
    """Rows of the referrals that are index events: each child's first in the trial period, at an eligible age,
    among those that some return from ``first_day`` to ``last_day`` holds (definitions, section 4)."""
    age = calendar.completed_years(children.birth[referrals.child], referrals.referral_date)
    eligible = np.flatnonzero(
        (referrals.referral_date >= trial.start)
        & (referrals.referral_date <= min(trial.end, last_day))
        & (referrals.closure >= first_day)
        & (age >= trial.age_min)
        & (age <= trial.age_max)
    )
    _, first = np.unique(referrals.child[eligible], return_index=True)
    return eligible[first]


def _log_normal(z: float, sd: float) -> float:
    return float(np.exp(sd * z - sd**2 / 2))


def draw_categories(rng: np.random.Generator, shares: Floats, n: int) -> NDArray[np.int64]:
    """Categories by inverse of the cumulated shares."""
    edges = np.cumsum(shares / shares.sum())
    return np.searchsorted(edges[:-1], rng.random(n), side="right").astype(np.int64)


def _draw_age_days(rng: np.random.Generator, cal: Calibration, n: int) -> NDArray[np.int64]:
    """Age in days at a first referral; negative before birth (at most five months)."""
    names = ("unborn", "0", "1_to_4", "5_to_9", "10_to_15", "16_to_17")
    low = np.array([-150.0, 0.0, 1.0 * 365.25, 5 * 365.25, 10 * 365.25, 16 * 365.25])
    high = np.array([-3.0, 365.0, 5 * 365.25, 10 * 365.25, 16 * 365.25, 17.7 * 365.25])
    band = draw_categories(rng, cal.shares("age_share", names), n)
    return (low[band] + rng.random(n) * (high[band] - low[band])).astype(np.int64)


def eighteenth_birthday(birth: Days) -> Days:
    """The day on which childhood ends."""
    return calendar.add_months(birth, 216)


def _in_need_length(u: Floats, cal: Calibration) -> Floats:
    """Years that a child in need episode lasts, from the published durations of episodes that ended."""
    bands = ("to_3_months", "3_to_6_months", "6_to_12_months", "1_to_2_years", "2_years_or_more")
    shares = np.array([np.mean(list(cal.targets[f"cin_ended_share_{band}"].values())) for band in bands])
    shares *= np.array([cal[f"in_need_ratio_{band}"] for band in bands])
    edges = np.concatenate(([0.0], np.cumsum(shares / shares.sum())))
    bounds = np.array([0.03, 0.25, 0.5, 1.0, 2.0])
    band = np.clip(np.searchsorted(edges, u, side="right") - 1, 0, 4)
    within = (u - edges[band]) / (edges[band + 1] - edges[band])
    upper = np.append(bounds[1:], 2.0)[band]
    # Even within the first band, as the many short cases are; evenly on the log scale in the others.
    inside = np.where(
        band == 0, bounds[0] + within * (upper - bounds[0]), bounds[band] * (upper / bounds[band]) ** within
    )
    tail = 2.0 - cal["long_case_mean_years"] * np.log(np.maximum(1e-9, 1 - within))
    return np.where(band == 4, tail, inside)


def _referral_course(
    rng: np.random.Generator,
    cal: Calibration,
    family: NDArray[np.int64],
    birth: Days,
    date: Days,
    nfa_effect: float,
) -> tuple[NDArray[np.int64], Days, Days]:
    """What becomes of referrals: kind, closure, and the date of the child's next referral (NEVER for none).

    Siblings share their draws unless a child's case goes its own way.
    """
    n = len(date)
    _, within = np.unique(family, return_inverse=True)
    n_families = int(within.max()) + 1 if n else 0
    u = rng.random((n_families, 7))[within] if n else np.zeros((0, 7))
    alone = rng.random(n) < cal["sibling_divergence_share"]
    u = np.where(alone[:, None], rng.random((n, 7)), u)
    years = calendar.return_year_of(date)
    nfa = np.minimum(0.6, cal.by_year("nfa_share", years) * nfa_effect)
    closed = cal.by_year("not_in_need_share", years)
    kind = np.where(u[:, 0] < nfa, NFA, np.where(u[:, 0] < nfa + closed, CLOSED_AFTER_ASSESSMENT, IN_NEED))
    assessed = np.clip(
        cal["assessment_median_days"] * np.exp(0.5 * norm.ppf(np.clip(u[:, 1], 1e-6, 1 - 1e-6))), 4, 150
    )
    need_days = np.maximum(12.0, _in_need_length(u[:, 1], cal) * DAYS_PER_YEAR)
    length = np.select([kind == NFA, kind == CLOSED_AFTER_ASSESSMENT], [u[:, 1] * 3, assessed + 3], need_days)
    closure = date + length.astype(np.int64)
    closure = np.where(
        kind == IN_NEED, np.minimum(closure, np.maximum(date + 5, eighteenth_birthday(birth))), closure
    )
    chance = np.where(
        kind == IN_NEED, cal["rereferral_probability_cin"], cal["rereferral_probability_closed"]
    )
    mean_months = np.where(
        u[:, 3] < cal["rereferral_soon_share"],
        cal["rereferral_soon_mean_months"],
        cal["rereferral_late_mean_months"],
    )
    wait = 2 + (-np.log(np.maximum(1e-12, 1 - u[:, 4])) * mean_months * DAYS_PER_MONTH).astype(np.int64)
    following = np.where(u[:, 2] < chance, closure + wait, NEVER)
    overlaps = (kind == IN_NEED) & (u[:, 5] < cal["overlapping_referral_share"]) & (closure - date > 40)
    inside = date + 20 + (u[:, 6] * (closure - date - 30)).astype(np.int64)
    following = np.where(overlaps, inside, following)
    following = np.where(following >= birth + int(17.75 * DAYS_PER_YEAR), NEVER, following)
    return kind.astype(np.int64), closure, following


@functools.lru_cache(maxsize=4)
def _rereferral_lags(cal: Calibration) -> Floats:
    """Expected re-referrals a referral leads to, by quarters later, from a large draw of its own stream."""
    n = 60_000
    rng = np.random.default_rng(20_180_401)
    date = np.full(n, calendar.day(2018, 4, 1))
    # Children of later referrals are older than at their first.
    birth = date - np.maximum(0, _draw_age_days(rng, cal, n)) - (rng.exponential(140, n)).astype(np.int64)
    _, _, following = _referral_course(rng, cal, np.arange(n), birth, date, 1.0)
    wait = (following - date)[following < NEVER]
    lag = ((wait + rng.random(len(wait)) * DAYS_PER_QUARTER) / DAYS_PER_QUARTER).astype(np.int64)
    return np.bincount(lag[lag < 80], minlength=80) / n


def _care_end(rng: np.random.Generator, cal: Calibration, start: Days, birth: Days) -> Days:
    """End of periods of care: a length by published shares, at most until the eighteenth birthday."""
    names = ("8_weeks", "6_months", "1_year", "2_years", "5_years", "10_years", "longer")
    low = np.array([0.012, 0.154, 0.5, 1.0, 2.0, 5.0, 10.0])
    high = np.array([0.154, 0.5, 1.0, 2.0, 5.0, 10.0, 17.5])
    band = draw_categories(rng, cal.shares("care_duration_share", names), len(start))
    years = low[band] * (high[band] / low[band]) ** rng.random(len(start))
    end = start + np.maximum(2, (years * DAYS_PER_YEAR).astype(np.int64))
    return np.maximum(start + 1, np.minimum(end, eighteenth_birthday(birth)))


def _tidy_referrals(table: Referrals, children: Children, last_day: int) -> Referrals:
    """By child and date, one referral a day, none after the last day or the child's move."""
    table.closure = np.minimum(
        table.closure, np.maximum(table.referral_date, children.leaves_on[table.child])
    )
    table = table.take(table.referral_date <= last_day)
    table = table.take(np.lexsort((table.referral_date, table.child)))
    if not len(table):
        return table
    repeats = np.concatenate(
        (
            [False],
            (table.child[1:] == table.child[:-1]) & (table.referral_date[1:] == table.referral_date[:-1]),
        )
    )
    return table.take(~repeats)


def _covers(care: CarePeriods, child: NDArray[np.int64], day: Days, n_children: int) -> Flags:
    """Whether each child's (only) period of care covers the day."""
    start = np.full(n_children, NEVER)
    end = np.full(n_children, -NEVER)
    start[care.child], end[care.child] = care.start, care.end
    return (start[child] <= day) & (end[child] > day)


def _cut_for_new_entry(stock: CarePeriods, entries: CarePeriods) -> CarePeriods:
    """End a period of care at least three days before the child's new one starts."""
    last = int(max(stock.child.max(initial=0), entries.child.max(initial=0))) + 1
    starts = np.full(last, NEVER)
    starts[entries.child] = entries.start
    earliest_new = starts[stock.child]
    end = np.where(
        earliest_new < NEVER, np.minimum(stock.end, earliest_new - 3 - stock.child % 40), stock.end
    )
    return CarePeriods(stock.child, stock.start, end)


def _extend_to_care(
    rng: np.random.Generator, table: Referrals, children: Children, care: CarePeriods
) -> Referrals:
    """A child in need episode stays open while the child is looked after."""
    if not len(care) or not len(table):
        return table
    span = 2**21
    keys = table.child * span + table.referral_date
    place = np.searchsorted(keys, care.child * span + care.start, side="right") - 1
    valid = (place >= 0) & (table.child[np.maximum(place, 0)] == care.child)
    place, end = place[valid], care.end[valid] + rng.integers(0, 60, int(valid.sum()))
    in_need = table.kind[place] == IN_NEED
    closure = table.closure.copy()
    np.maximum.at(closure, place[in_need], end[in_need])
    closure = np.minimum(closure, np.maximum(table.referral_date, children.leaves_on[table.child]))
    return Referrals(table.child, table.referral_date, closure, table.kind)


def _major(ethnicity: str) -> str:
    if ethnicity == "CHNE":
        return "asian"
    return {"W": "white", "M": "mixed", "A": "asian", "B": "black", "O": "other"}[ethnicity[0]]
