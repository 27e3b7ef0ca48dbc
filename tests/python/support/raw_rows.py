"""Hand-made rows for the raw tables of a temporary warehouse, without files and without landing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from csc_evaluation import schema, warehouse

SSDA903_MODULES = "header,episodes,uasc"


@dataclass(frozen=True)
class Return:
    """A landed return: what its records carry."""

    return_id: str
    collection: str
    la_code: str | None
    return_year: int


@dataclass
class RawRows:
    """Collects rows by raw table and writes them in one go.

    A child identifier stands for its own pseudonym. Places in the file (child_no, referral_no, record_no) are
    given out in order.
    """

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    _numbers: dict[tuple[str, ...], int] = field(default_factory=lambda: defaultdict(int))

    def cin_return(self, la_code: str, year: int) -> Return:
        return self._return("cin", la_code, year, "census")

    def ssda903_return(self, la_code: str, year: int, modules: str = SSDA903_MODULES) -> Return:
        return self._return("ssda903", la_code, year, modules)

    def school_census(self, academic_year: int) -> Return:
        return self._return("school_census", None, academic_year, "census_spring")

    def child(self, into: Return, child_id: str, **values: Any) -> int:
        """A Child element; returns its child_no."""
        number = self._next(into.return_id, "child")
        row = {"child_no": number, "child_id": child_id, "is_expected_birth": False} | values
        self._add("cin_children", into, row)
        return number

    def disability(self, into: Return, child_no: int, child_id: str, code: str) -> None:
        row = {"child_no": child_no, "child_id": child_id, "disability_code": code}
        self._add("cin_disabilities", into, row)

    def referral(self, into: Return, child_no: int, child_id: str, referral_date: date, **values: Any) -> int:
        """A CINdetails element; returns its referral_no."""
        number = self._next(into.return_id, "referral", str(child_no))
        row = {
            "child_no": child_no,
            "child_id": child_id,
            "referral_no": number,
            "referral_date": referral_date,
        }
        self._add("cin_referrals", into, row | values)
        return number

    def cp_plan(
        self,
        into: Return,
        child_no: int,
        referral_no: int,
        child_id: str,
        plan_start: date,
        **values: Any,
    ) -> None:
        row = self._in_referral(into, "plan", child_no, referral_no, child_id)
        self._add("cin_cp_plans", into, row | {"plan_start": plan_start} | values)

    def assessment(
        self,
        into: Return,
        child_no: int,
        referral_no: int,
        child_id: str,
        assessment_start: date | None,
        **values: Any,
    ) -> int:
        """An Assessments element; returns its record_no, under which its factors stand."""
        row = self._in_referral(into, "assessment", child_no, referral_no, child_id)
        self._add("cin_assessments", into, row | {"assessment_start": assessment_start} | values)
        return int(row["record_no"])

    def factor(
        self, into: Return, child_no: int, referral_no: int, record_no: int, child_id: str, factor_code: str
    ) -> None:
        """A factor of the assessment record with that number."""
        row = {
            "child_no": child_no,
            "child_id": child_id,
            "referral_no": referral_no,
            "record_no": record_no,
            "factor_code": factor_code,
        }
        self._add("cin_assessment_factors", into, row)

    def section47(
        self,
        into: Return,
        child_no: int,
        referral_no: int,
        child_id: str,
        enquiry_start: date | None,
        **values: Any,
    ) -> None:
        row = self._in_referral(into, "section47", child_no, referral_no, child_id)
        self._add("cin_section47", into, row | {"enquiry_start": enquiry_start} | values)

    def cin_plan(
        self,
        into: Return,
        child_no: int,
        referral_no: int,
        child_id: str,
        plan_start: date,
        **values: Any,
    ) -> None:
        row = self._in_referral(into, "cin_plan", child_no, referral_no, child_id)
        self._add("cin_plans", into, row | {"plan_start": plan_start} | values)

    def header(self, into: Return, child_id: str, **values: Any) -> None:
        self._care("ssda903_header", into, child_id, values)

    def episode(self, into: Return, child_id: str, episode_start: date, **values: Any) -> None:
        self._care("ssda903_episodes", into, child_id, {"episode_start": episode_start} | values)

    def asylum(self, into: Return, child_id: str, **values: Any) -> None:
        self._care("ssda903_uasc", into, child_id, values)

    def missing(self, into: Return, child_id: str, missing_start: date, **values: Any) -> None:
        row = {"missing_start": missing_start, "missing_type": "M"} | values
        self._care("ssda903_missing", into, child_id, row)

    def oc3(self, into: Return, child_id: str, **values: Any) -> None:
        """A care leaver's record."""
        self._care("ssda903_oc3", into, child_id, values)

    def census_record(self, into: Return, pupil_id: str, **values: Any) -> None:
        row = {
            "return_id": into.return_id,
            "academic_year": into.return_year,
            "census_term": "spring",
            "record_no": self._next(into.return_id, "pupil"),
            "pupil_id": pupil_id,
        }
        self.rows["school_census"].append(row | values)

    def write(self, path: Path) -> None:
        """Write every row collected into the raw tables of the warehouse at ``path``, made if it is not there."""
        with warehouse.writable(path) as connection:
            for table, rows in self.rows.items():
                columns = schema.column_names(table)
                unknown = {name for row in rows for name in row} - set(columns)
                if unknown:
                    raise KeyError(f"raw.{table} has no column {sorted(unknown)}")
                batch = pa.Table.from_pydict({name: [row.get(name) for row in rows] for name in columns})
                connection.register("batch", batch)
                connection.execute(f"insert into raw.{table} select * from batch")
                connection.unregister("batch")

    def _return(self, collection: str, la_code: str | None, year: int, modules: str) -> Return:
        return_id = f"{collection}_{la_code or 'national'}_{year}_{self._next('return')}"
        self.rows["returns"].append(
            {
                "return_id": return_id,
                "collection": collection,
                "la_code": la_code,
                "return_year": year,
                "file_name": f"{return_id}.xml",
                "sha256": return_id,
                "file_bytes": 1,
                "landed_at": datetime(2026, 1, 1),
                "n_found": 0,
                "n_accepted": 0,
                "n_rejected": 0,
                "modules": modules,
                "is_superseded": False,
            }
        )
        return Return(return_id, collection, la_code, year)

    def _in_referral(
        self, into: Return, kind: str, child_no: int, referral_no: int, child_id: str
    ) -> dict[str, Any]:
        """The place of another element of the kind inside a CINdetails element."""
        return {
            "child_no": child_no,
            "child_id": child_id,
            "referral_no": referral_no,
            "record_no": self._next(into.return_id, kind, str(child_no), str(referral_no)),
        }

    def _care(self, table: str, into: Return, child_id: str, values: dict[str, Any]) -> None:
        row = {"record_no": self._next(into.return_id, table), "child_id": child_id}
        self._add(table, into, row | values)

    def _add(self, table: str, into: Return, row: dict[str, Any]) -> None:
        keys = {
            "return_id": into.return_id,
            "la_code": into.la_code,
            "return_year": into.return_year,
        }
        self.rows[table].append(keys | row)

    def _next(self, *of: str) -> int:
        self._numbers[of] += 1
        return self._numbers[of]
