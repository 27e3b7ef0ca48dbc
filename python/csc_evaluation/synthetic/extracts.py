"""The research service's extracts: flat tables with many years stacked (definitions, section 2, item 2)."""

from __future__ import annotations

from collections.abc import Iterator
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
from csc_evaluation.synthetic.looked_after import IMPOSSIBLE_DATE, CareReturn

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


def _days(texts: Texts) -> NDArray[np.int64]:
    """Days of dates as the SSDA903 writes them; blank is never."""
    memo = {text: calendar.day(*map(int, text.split("/")[::-1])) if text else NEVER for text in set(texts)}
    return np.array([memo[text] for text in texts], dtype=np.int64)


def _unusable_referrals(census: CensusReturn) -> Iterator[dict[str, str]]:
    """The flawed children of a census return: without an id, and with a referral date that is none."""
    common = dict.fromkeys(CIN_COLUMNS, "") | {
        "CIN_LA": census.la_code, "CIN_ACADYR": f"{census.year - 1}/{census.year}", "CIN_ReferralNFA": "0",
        "CIN_EthnicGroupMinor": "NOBT", "CIN_AnyPoint": "1",
    }  # fmt: skip
    for _ in range(census.n_without_id):
        yield common | {"CIN_ReferralDate": f"01/07/{census.year - 1}"}
    for number in range(census.n_impossible_dates):
        yield common | {
            "CIN_LAchildID_Anon": f"X{census.year}{number:04d}",
            "CIN_Gender": "1",
            "CIN_ReferralDate": f"31/02/{census.year - 1}",
        }


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
        unusable = list(_unusable_referrals(census))
        self._cin.writelines(",".join(row[column] for column in CIN_COLUMNS) + "\n" for row in unusable)
        return m + len(unusable)

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
        values, child = care.modules["episodes"], care.children["episodes"]
        m = len(child)
        header = care.children["header"]
        ethnicity_of = np.full(len(children), "", dtype=object)
        ethnicity_of[header] = care.modules["header"]["ETHNIC"]
        has_upn = np.zeros(len(children), dtype=bool)
        has_upn[header] = [len(upn) == 13 for upn in care.modules["header"]["UPN"].tolist()]
        ethnicity, has_pupil = ethnicity_of[child], has_upn[child]
        began = episodes.start.copy()
        in_period = episodes.period >= 0
        began[in_period] = periods.start[episodes.period[in_period]]
        period_of = dict(
            zip(
                zip(episodes.child.tolist(), spell_uk(episodes.start), strict=True),
                spell_uk(began),
                strict=True,
            )
        )
        period_start = [period_of[key] for key in zip(child.tolist(), values["DECOM"].tolist(), strict=True)]
        month = calendar.month_index(children.birth[child])
        start, end = _days(values["DECOM"]), _days(values["DEC"])
        old = (start < _NEW_PLACEMENTS_FROM) & (year <= 2015)
        placement = [
            _OLD_PLACEMENTS.get(p, p) if o else p
            for p, o in zip(values["PLACE"].tolist(), old.tolist(), strict=True)
        ]
        reason = [
            STILL_OPEN if day == NEVER else _OLD_REASONS.get(r, r) if day < _NEW_REASONS_FROM else r
            for r, day in zip(values["REC"].tolist(), end.tolist(), strict=True)
        ]
        columns = [
            [la_code] * m,
            Identities.child_ids(la_code, child, is_anonymous=True).tolist(),
            np.where(has_pupil, names.anonymous_pupil[child], "").tolist(),
            [f"{year - 1}/{year}"] * m,
            period_start,
            values["DECOM"].tolist(),
            values["DEC"].tolist(),
            values["LS"].tolist(),
            placement,
            values["CIN"].tolist(),
            values["RNE"].tolist(),
            reason,
            np.where(children.is_uasc[child], "1", "0").tolist(),
            children.sex[child].astype("U1").tolist(),
            ethnicity.tolist(),
            (month % 12 + 1).astype("U2").tolist(),
            (month // 12 + 1970).astype("U4").tolist(),
        ]
        rows = [dict(zip(CLA_COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]
        # Of the last child, so that no child is made up.
        unusable = {"date_episode_started": IMPOSSIBLE_DATE, "date_episode_ceased": ""}
        rows += [rows[-1] | unusable for _ in range(care.n_impossible_dates if rows else 0)]
        self._cla.writelines(",".join(row.values()) + "\n" for row in rows)
        return len(rows)

    def close(self) -> list[Path]:
        """Close the files; returns their paths."""
        self._cin.close()
        self._cla.close()
        return self.paths
