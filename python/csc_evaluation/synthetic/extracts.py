"""The research service's extracts: flat tables with many years stacked (definitions, section 2, item 2)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.calendar import NEVER, spell_uk
from csc_evaluation.synthetic.care import Episodes
from csc_evaluation.synthetic.census import CensusReturn, Identities
from csc_evaluation.synthetic.lives import CarePeriods, Children
from csc_evaluation.synthetic.looked_after import CareReturn

Texts = NDArray[np.object_]

CIN_COLUMNS = (
    "CIN_LA", "CIN_LAchildID_Anon", "CIN_PupilMatchingRefAnonymous", "CIN_ACADYR", "CIN_ReferralDate",
    "CIN_ReferralSource", "CIN_PrimaryNeedCode", "CIN_CINClosureDate", "CIN_REC", "CIN_ReferralNFA",
    "CIN_DateOfInitialCPC", "CIN_CPPstartDate", "CIN_CPPendDate", "CIN_LatestCategoryOfAbuse",
    "CIN_NumberOfPreviousCPP", "CIN_Gender", "CIN_EthnicGroupMinor", "CIN_MonthOfBirth", "CIN_YearOfBirth",
    "CIN_CINAt31March", "CIN_AnyPoint", "CIN_AssessmentActualStartDate", "CIN_AssessmentAuthorisationDate",
    "CIN_AssessmentFactors",
)  # fmt: skip
CLA_COLUMNS = (
    "LA", "CHILD_LA_CODE_ANON", "CLA_PupilMatchingRefAnonymous", "CLA_ACADYR", "poc_start", "date_episode_started",
    "date_episode_ceased", "legal_status", "placement", "cin", "reason_new_episode", "reason_episode_ceased",
    "uasc_status", "SEX", "ethnic_or", "dob_Month", "dob_Year",
)  # fmt: skip
STILL_OPEN = "-10"
FIRST_YEAR_OF_FACTORS = 2014
"""Factors were first collected in 2013/14."""

# Codes before they were divided: placements to 31 March 2015, reasons to 31 March 2014 (code lists of the SSDA903).
_OLD_PLACEMENTS = {"U1": "Q1", "U2": "Q1", "U3": "Q1", "U4": "Q2", "U5": "Q2", "U6": "Q2"}
_OLD_REASONS = {"E4A": "E4", "E4B": "E4", "E45": "E43", "E46": "E43", "E47": "E44", "E48": "E44", "E17": "E5"}
_NEW_PLACEMENTS_FROM = calendar.day(2015, 4, 1)
_NEW_REASONS_FROM = calendar.day(2014, 4, 1)


class Extracts:
    """The open files ``cin.csv`` and ``cla.csv``, to which returns append."""

    def __init__(self, folder: Path) -> None:
        self.paths = [folder / "cin.csv", folder / "cla.csv"]
        self._cin: TextIO = self.paths[0].open("w", encoding="utf-8", newline="\n")
        self._cla: TextIO = self.paths[1].open("w", encoding="utf-8", newline="\n")
        self._cin.write(",".join(CIN_COLUMNS) + "\n")
        self._cla.write(",".join(CLA_COLUMNS) + "\n")

    def census(self, census: CensusReturn, names: Identities) -> int:
        """One row per plan or assessment within a referral, one bare row for a referral with neither."""
        referrals, plans, assessments = census.referrals, census.plans, census.assessments
        n = len(referrals)
        has_any = np.zeros(n, dtype=bool)
        has_any[plans.parent] = True
        has_any[assessments.parent] = True
        bare = np.flatnonzero(~has_any)
        parent = np.concatenate([plans.parent, assessments.parent, bare])
        n_plans, n_assessments = len(plans), len(assessments)
        m = len(parent)
        factors = np.full(n_assessments, "", dtype=object)
        if census.year >= FIRST_YEAR_OF_FACTORS:
            bounds = np.searchsorted(census.factors.parent, np.arange(n_assessments + 1)).tolist()
            codes = census.factors.code.tolist()
            factors[:] = [" ".join(codes[a:b]) for a, b in pairwise(bounds)]

        def of_plans(values: list[str]) -> list[str]:
            return values + [""] * (m - n_plans)

        def of_assessments(values: list[str]) -> list[str]:
            return [""] * n_plans + values + [""] * (m - n_plans - n_assessments)

        order = np.argsort(parent, kind="stable")
        children = census.children
        child_row = referrals.child_no[parent] - 1
        child = children.child[child_row]
        has_pupil = children.upn[child_row] != ""
        month = calendar.month_index(children.birth[child_row])
        closure = referrals.closure[parent]
        columns = [
            [census.la_code] * m,
            Identities.child_ids(census.la_code, child, is_anonymous=True).tolist(),
            np.where(has_pupil, names.anonymous_pupil[child], "").tolist(),
            [f"{census.year - 1}/{census.year}"] * m,
            spell_uk(referrals.referral_date[parent]),
            referrals.source[parent].tolist(),
            referrals.need[parent].tolist(),
            spell_uk(closure),
            referrals.reason[parent].tolist(),
            np.where(referrals.is_nfa[parent], "1", "0").tolist(),
            spell_uk(referrals.conference[parent]),
            of_plans(spell_uk(plans.start)),
            of_plans(spell_uk(plans.end)),
            of_plans(plans.latest_category.tolist()),
            of_plans(plans.n_previous.astype("U3").tolist()),
            children.gender[child_row].tolist(),
            children.ethnicity[child_row].tolist(),
            (month % 12 + 1).astype("U2").tolist(),
            (month // 12 + 1970).astype("U4").tolist(),
            np.where(closure >= NEVER, "1", "0").tolist(),
            ["1"] * m,
            of_assessments(spell_uk(assessments.start)),
            of_assessments(spell_uk(assessments.authorised)),
            of_assessments(factors.tolist()),
        ]
        rows = list(zip(*columns, strict=True))
        self._cin.writelines(",".join(rows[place]) + "\n" for place in order.tolist())
        return m

    def care(
        self,
        care: CareReturn,
        children: Children,
        episodes: Episodes,
        periods: CarePeriods,
        names: Identities,
    ) -> int:
        """One row per episode that overlaps the year.

        Args:
            episodes, periods: of all years of the group.
        """
        year, la_code = care.year, care.la_code
        first = calendar.year_start(year)
        shown = episodes.take((episodes.start <= calendar.year_end(year)) & (episodes.end >= first))
        header = care.children["header"]
        is_here = np.zeros(len(children), dtype=bool)
        is_here[header] = True
        shown = shown.take(is_here[shown.child])
        ethnicity_of = np.full(len(children), "", dtype=object)
        ethnicity_of[header] = care.modules["header"]["ETHNIC"]
        has_upn = np.zeros(len(children), dtype=bool)
        has_upn[header] = [len(upn) == 13 for upn in care.modules["header"]["UPN"].tolist()]
        ethnicity, has_pupil = ethnicity_of[shown.child], has_upn[shown.child]
        in_period = shown.period >= 0
        began = shown.start.copy()
        began[in_period] = periods.start[shown.period[in_period]]
        period_start = spell_uk(began)
        last = calendar.year_end(year)
        child = shown.child
        m = len(child)
        is_open = shown.end > last
        month = calendar.month_index(children.birth[child])
        placement = shown.placement
        old = (shown.start < _NEW_PLACEMENTS_FROM) & (year <= 2015)
        placement = np.array(
            [
                _OLD_PLACEMENTS.get(p, p) if o else p
                for p, o in zip(placement.tolist(), old.tolist(), strict=True)
            ],
            dtype=object,
        )
        old = shown.end < _NEW_REASONS_FROM
        reason = np.array(
            [
                _OLD_REASONS.get(r, r) if o else r
                for r, o in zip(shown.reason_ceased.tolist(), old.tolist(), strict=True)
            ],
            dtype=object,
        )
        columns = [
            [la_code] * m,
            Identities.child_ids(la_code, child, is_anonymous=True).tolist(),
            np.where(has_pupil, names.anonymous_pupil[child], "").tolist(),
            [f"{year - 1}/{year}"] * m,
            period_start,
            spell_uk(shown.start),
            spell_uk(np.where(is_open, NEVER, shown.end)),
            shown.legal_status.tolist(),
            placement.tolist(),
            shown.need.tolist(),
            shown.reason_new.tolist(),
            np.where(is_open, STILL_OPEN, reason).tolist(),
            np.where(children.is_uasc[child], "1", "0").tolist(),
            children.sex[child].astype("U1").tolist(),
            ethnicity.tolist(),
            (month % 12 + 1).astype("U2").tolist(),
            (month // 12 + 1970).astype("U4").tolist(),
        ]
        self._cla.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))
        return m

    def close(self) -> list[Path]:
        """Close the files; returns their paths."""
        self._cin.close()
        self._cla.close()
        return self.paths
