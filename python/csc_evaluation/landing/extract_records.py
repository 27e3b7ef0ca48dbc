"""Making of an extract's rows the records that the returns of its authorities and years would have held.

All rows of a return are looked at together, whatever their order in the file: a child described in one way is one
record, a referral told in one way is one record beneath it, and plans, assessments and factors beneath that count
once. What rows tell in different ways is kept in each of them, as two records of one child in a return are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from csc_evaluation.landing.extract_rows import (
    BATCH_ROWS,
    UNREADABLE,
    first_covered_year,
    return_year_of,
    year_end,
)
from csc_evaluation.landing.extracts import CIN, ROWS, ExtractLanding, ReturnPart
from csc_evaluation.landing.values import INVALID_CODE

Row = tuple[Any, ...]

_STARTED: Final = 7
_ENDED: Final = 8
"""Places in a row about an episode, which ends with the reason it ceased."""

_AFTER_THE_LAST_YEAR: Final = "starts after the last return year (--year)"
_BEFORE_THE_FIRST_YEAR: Final = "ends before the first return year of the extract"


def write_records(landing: ExtractLanding) -> None:
    """Turn what was put aside into rows of the raw tables, return by return.

    Raises:
        SpillFailed: the folder cannot be written or the disk is full.
    """
    if landing.table.extract == CIN:
        for part, rows in _rows_by_part(landing):
            _Census(landing, part).write(rows)
    elif landing.table.has_years:
        for part, rows in _rows_by_part(landing):
            _Care(landing, part).write(rows)
    else:
        _write_years(landing)
    if landing.n_told_differently:
        n = landing.n_told_differently
        landing.notes.append(
            f"{n:,} {'child is' if n == 1 else 'children are'} described in more than one way within a return; "
            "every description is kept"
        )


def _rows_by_part(landing: ExtractLanding) -> Iterator[tuple[ReturnPart, list[Row]]]:
    """The rows of one authority and year after another, each in the order of the file."""
    parts = {part.group_no: part for part in landing.parts.values()}
    for bucket in landing.buckets:
        batches = list(bucket.batches())
        landing.n_buckets_done += 1
        if not batches:
            continue
        table = pa.Table.from_batches(batches)
        del batches
        group = table["group_no"]
        for number in sorted(pc.unique(group).to_pylist()):
            of_part = table.filter(pc.equal(group, number))
            yield (
                parts[number],
                list(zip(*(column.to_pylist() for column in of_part.columns[1:]), strict=True)),
            )
            if sum(len(batch.rows) for batch in landing.batches.values()) > BATCH_ROWS:
                landing.put_aside()
        landing.on_batch()


class _Records:
    """Records of one return."""

    def __init__(self, landing: ExtractLanding, part: ReturnPart) -> None:
        identity = part.identity
        self._landing = landing
        self._part = part
        self._year = identity.return_year
        self._keys = (identity.return_id, identity.la_code, identity.return_year)
        self._n: Counter[str] = Counter()

    def _unlisted(self, record_type: str, field: str, code: str | None, *code_lists: str) -> None:
        """Count a kept code that is in none of its lists of the year."""
        if code is None:
            return
        if code == INVALID_CODE or not any(
            code in self._landing.codes(name, self._year) for name in code_lists
        ):
            self._part.unlisted[(record_type, field, code)] += 1

    def _readable(self, record_type: str, field: str, value: int | None) -> int | None:
        """The value, or None and counted where it was none."""
        if value == UNREADABLE:
            self._part.unlisted[(record_type, field, INVALID_CODE)] += 1
            return None
        return value

    def _note_descriptions(self, child_ids: Iterable[str]) -> None:
        self._landing.n_told_differently += sum(n > 1 for n in Counter(child_ids).values())

    def _add_counts(self) -> None:
        self._part.tally.accepted.update(self._n)


class _Census(_Records):
    """Records of a children in need return."""

    def write(self, rows: list[Row]) -> None:
        """Children, referrals, assessments, factors and plans of the rows."""
        children: dict[Row, int] = {}
        referrals: dict[Row, tuple[int, int]] = {}
        n_referrals: Counter[int] = Counter()
        assessments: dict[Row, int] = {}
        plans: set[Row] = set()
        factors: set[Row] = set()
        n_inside: Counter[tuple[str, int, int]] = Counter()
        for row in rows:
            child = row[:5]
            child_no = children.get(child)
            if child_no is None:
                child_no = children[child] = len(children) + 1
                self._child(child_no, child)
            facts = row[5:12]
            if facts[0] is None:
                continue
            numbers = referrals.get((child_no, *facts))
            if numbers is None:
                n_referrals[child_no] += 1
                numbers = referrals[(child_no, *facts)] = (child_no, n_referrals[child_no])
                self._referral(child[0], numbers, facts)
            keys = (numbers[0], child[0], numbers[1])
            plan = row[12:16]
            if plan[0] is not None and (*numbers, *plan) not in plans:
                plans.add((*numbers, *plan))
                n_inside["plans", *numbers] += 1
                self._plan(keys, n_inside["plans", *numbers], plan)
            has_assessment, begun, authorised, codes = row[16:]
            if has_assessment:
                place = (*numbers, begun, authorised)
                record_no = assessments.get(place)
                if record_no is None:
                    n_inside["assessments", *numbers] += 1
                    record_no = assessments[place] = n_inside["assessments", *numbers]
                    self._n["Assessments"] += 1
                    self._landing.batch("cin_assessments").rows.append(
                        (*self._keys, *keys, record_no, begun, None, authorised)
                    )
                for code in codes.split() if codes else ():
                    if (*numbers, record_no, code) not in factors:
                        factors.add((*numbers, record_no, code))
                        self._factor(keys, record_no, code)
        self._note_descriptions(child[0] for child in children)
        self._add_counts()

    def _child(self, child_no: int, child: Row) -> None:
        child_id, pupil_id, birth, gender, ethnicity = child
        self._n["Child"] += 1
        self._unlisted("Child", "GenderCurrent", gender, "gender", "sex")
        self._unlisted("Child", "Ethnicity", ethnicity, "ethnicity")
        is_expected = birth is not None and birth > year_end(self._year)
        self._landing.batch("cin_children").rows.append(
            (
                *self._keys,
                child_no,
                child_id,
                pupil_id,
                None,
                None,
                birth,
                is_expected,
                None,
                gender,
                ethnicity,
            )
        )

    def _referral(self, child_id: str, numbers: tuple[int, int], facts: Row) -> None:
        referred, source, need, closed, reason, conference, is_nfa = facts
        self._n["CINdetails"] += 1
        self._unlisted("CINdetails", "ReferralSource", source, "referralsource")
        self._unlisted("CINdetails", "PrimaryNeedCode", need, "primaryneedcode")
        self._unlisted("CINdetails", "ReasonForClosure", reason, "reasonforclosure")
        nfa = self._readable("CINdetails", "ReferralNFA", is_nfa)
        self._landing.batch("cin_referrals").rows.append(
            (
                *self._keys, numbers[0], child_id, numbers[1], referred, source, need, closed, reason, conference,
                None if nfa is None else bool(nfa),
            )
        )  # fmt: skip

    def _plan(self, keys: Row, record_no: int, plan: Row) -> None:
        start, end, category, n_previous = plan
        self._n["ChildProtectionPlans"] += 1
        self._unlisted("ChildProtectionPlans", "LatestCategoryOfAbuse", category, "categoryofabuse")
        n_previous = self._readable("ChildProtectionPlans", "NumberOfPreviousCPP", n_previous)
        self._landing.batch("cin_cp_plans").rows.append(
            (*self._keys, *keys, record_no, start, end, None, category, n_previous)
        )

    def _factor(self, keys: Row, record_no: int, code: str) -> None:
        self._n["AssessmentFactors"] += 1
        self._unlisted("AssessmentFactors", "AssessmentFactors", code, "assessmentfactors")
        self._landing.batch("cin_assessment_factors").rows.append((*self._keys, *keys, record_no, code))


class _Care(_Records):
    """Records of a return on children looked after."""

    def write(self, rows: Iterable[Row]) -> None:
        """The header, the episodes and the asylum records of the rows."""
        children: dict[Row, None] = {}
        asylum: dict[Row, None] = {}
        episodes = self._landing.batch("ssda903_episodes").rows
        for row in rows:
            child = row[1:6]
            if child not in children:
                children[child] = None
                self._child(len(children), child)
            if row[6] == 1 or row[6] == UNREADABLE:
                seeker = (child[0], child[3], child[2])
                if self._readable("uasc", "uasc_status", row[6]) and seeker not in asylum:
                    asylum[seeker] = None
                    self._n["uasc"] += 1
                    self._landing.batch("ssda903_uasc").rows.append((*self._keys, len(asylum), *seeker, None))
            started, ended, new, legal_status, need, placement, ceased = row[7:]
            if started is None:
                continue
            self._n["episodes"] += 1
            self._unlisted("episodes", "RNE", new, "reason_new_episode")
            self._unlisted("episodes", "LS", legal_status, "legal_status")
            self._unlisted("episodes", "CIN", need, "need")
            self._unlisted("episodes", "PLACE", placement, "placement")
            self._unlisted("episodes", "REC", ceased, "reason_episode_ceased")
            episodes.append(
                (
                    *self._keys, self._n["episodes"], child[0], started, new, legal_status, need, placement, None,
                    ended, ceased, None, None,
                )
            )  # fmt: skip
        self._note_descriptions(child[0] for child in children)
        self._add_counts()

    def _child(self, record_no: int, child: Row) -> None:
        child_id, pupil_id, birth, gender, ethnicity = child
        self._n["header"] += 1
        self._unlisted("header", "SEX", gender, "sex")
        self._unlisted("header", "ETHNIC", ethnicity, "ethnicity")
        self._landing.batch("ssda903_header").rows.append(
            (*self._keys, record_no, child_id, gender, birth, ethnicity, pupil_id, None, None, None)
        )


def _write_years(landing: ExtractLanding) -> None:
    """Rows without a year: each episode stands in the return of every year in which it lasts, as known by then."""
    if not landing.starts_by_year:
        return
    last_year = landing.return_year or 0
    first_year = first_covered_year(landing.ends_by_year, landing.starts_by_year)
    for part, rows in _rows_by_part(landing):
        la_code = part.identity.la_code
        told = {_episode(row) for row in rows if row[_ENDED] is not None}
        by_year: dict[int, list[Row]] = {}
        for row in rows:
            first = max(first_year, return_year_of(row[_STARTED]))
            last = last_year if row[_ENDED] is None else min(last_year, return_year_of(row[_ENDED]))
            if first > last:
                is_late = return_year_of(row[_STARTED]) > last_year
                landing.part(None, 0).tally.reject(
                    ROWS,
                    f"row {row[0]}",
                    landing.table.names["episode_start" if is_late else "episode_end"],
                    _AFTER_THE_LAST_YEAR if is_late else _BEFORE_THE_FIRST_YEAR,
                )
                continue
            landing.part(la_code, first).tally.accepted[ROWS] += 1
            if row[_ENDED] is None and _episode(row) in told:
                # An earlier year's row of an episode of which another row tells the end.
                continue
            for year in range(first, last + 1):
                by_year.setdefault(year, []).append(_as_known_by(row, year))
        for year, of_year in sorted(by_year.items()):
            _Care(landing, landing.part(la_code, year)).write(of_year)


def _episode(row: Row) -> Row:
    """What of a row says which episode it is, all but its end."""
    return (row[1], row[_STARTED], *row[_ENDED + 1 : -1])


def _as_known_by(row: Row, year: int) -> Row:
    """The row as a return of that year would have it: an end after the year is not known yet."""
    if row[_ENDED] is None or row[_ENDED] <= year_end(year):
        return row
    return (*row[:_ENDED], None, *row[_ENDED + 1 : -1], None)
