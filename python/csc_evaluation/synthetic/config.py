"""What to synthesise: one validated, frozen configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from csc_evaluation.errors import CscError

FORMATS = ("returns", "extracts", "raw")
EARLIEST_YEAR = 2009
LATEST_YEAR = 2026
FIRST_XML_YEAR = 2017
CENSUS_TERMS = ("SPR", "SUM", "AUT")


@dataclass(frozen=True)
class SynthesisConfig:
    """A synthetic England to write.

    Attributes:
        scale: share of England's activity to generate (1.0 is England: some 650,000 referrals a year).
        seed: any integer from 0; equal configurations give equal files, and what an authority gets does not
            depend on which other authorities are generated.
        first_year, last_year: return years, each the calendar year in which it ends on 31 March. ``returns`` and
            ``raw`` need 2017 or later (the census schemas start there), ``extracts`` 2009 or later.
        format: ``returns`` (CIN census XML, SSDA903 CSV and XML, school tables), ``extracts`` (the research
            service's flat tables) or ``raw`` (straight into a warehouse's raw tables).
        authorities: None for all of England; a number N for the programme's sites and N less their number of
            others, drawn by the seed among authorities that existed throughout; or authority codes.
        programme: whose trial period, ages, primary outcome and go-live dates the known effect follows.
        effect: risk difference on the programme's primary outcome once an authority is live, between -1 and 1.
        partial_exposure: share (0 to 1) of the effect that reaches children referred before go-live, times
            the share of their window that lies after it. 0 in coverage studies.
        messiness: expected share of records with a flaw, 0 (clean) to 1.
        planted_neighbours: 0 for authorities whose risk of care goes its own way; above, the standard deviation of
            their loadings on common factors, as a share of England's average risk (up to 1). Each site of the
            programme then has a planted comparator with its loadings (:mod:`csc_evaluation.synthetic.planted`).
        census_terms: school census terms to write (``SPR``, ``SUM``, ``AUT``).

    Raises:
        CscError: a value is out of its range.

    Example:
        >>> SynthesisConfig(scale=0.01, seed=7, authorities=20).n_years
        7
    """

    scale: float = 0.02
    seed: int = 1
    first_year: int = 2018
    last_year: int = 2024
    format: str = "returns"
    authorities: int | Sequence[str] | None = None
    programme: str = "family_safeguarding"
    effect: float = -0.02
    partial_exposure: float = 0.0
    messiness: float = 0.02
    planted_neighbours: float = field(default=0.0, kw_only=True, repr=False)
    census_terms: Sequence[str] = ("SPR",)

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 10:
            raise CscError(f"scale is {self.scale:g}; give a number above 0 and up to 10 (1 is England).")
        if self.seed < 0:
            raise CscError(f"seed is {self.seed}; give a whole number from 0.")
        if self.format not in FORMATS:
            raise CscError(f"format is {self.format!r}; give one of {', '.join(FORMATS)}.")
        if not EARLIEST_YEAR <= self.first_year <= self.last_year <= LATEST_YEAR:
            raise CscError(
                f"years are {self.first_year} to {self.last_year}; give return years from {EARLIEST_YEAR} to "
                f"{LATEST_YEAR}, the first no later than the last."
            )
        if self.format != "extracts" and self.first_year < FIRST_XML_YEAR:
            raise CscError(
                f"first year is {self.first_year}, but census returns exist as XML from {FIRST_XML_YEAR} only; "
                "for earlier years give the format extracts."
            )
        for name, number, low in (
            ("effect", self.effect, -1.0),
            ("partial exposure", self.partial_exposure, 0.0),
            ("messiness", self.messiness, 0.0),
            ("planted neighbours", self.planted_neighbours, 0.0),
        ):
            if not low <= number <= 1:
                raise CscError(f"{name} is {number:g}; give a number from {low:g} to 1.")
        unknown = [term for term in self.census_terms if term not in CENSUS_TERMS]
        if unknown:
            raise CscError(f"census term {unknown[0]!r} is unknown; give any of {', '.join(CENSUS_TERMS)}.")
        if isinstance(self.authorities, str):
            raise CscError("authorities is a text; give a number or a list of authority codes.")
        if isinstance(self.authorities, int) and self.authorities < 1:
            raise CscError(f"authorities is {self.authorities}; give a number from 1, or authority codes.")

    @property
    def label(self) -> str:
        """Text that differs where configurations differ; ids of ``raw`` returns follow from it.

        What was added to the configuration later stands in it only where it is used, so that ids stay the same.
        """
        planted = f", planted_neighbours={self.planted_neighbours!r}" if self.planted_neighbours else ""
        return repr(self) + planted

    @property
    def n_years(self) -> int:
        """Number of return years."""
        return self.last_year - self.first_year + 1
