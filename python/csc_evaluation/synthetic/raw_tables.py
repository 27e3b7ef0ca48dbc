"""A synthetic England straight into the warehouse's raw tables, as landing its returns would fill them."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from csc_evaluation import schema
from csc_evaluation.errors import CscError
from csc_evaluation.landing import ssda903
from csc_evaluation.landing.context import load_reference
from csc_evaluation.landing.rejects import PARENT_REJECTED
from csc_evaluation.landing.values import DATE_FORMATS, read_part_date
from csc_evaluation.pseudonyms import Pseudonymiser
from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.calendar import NEVER, Days
from csc_evaluation.synthetic.census import CensusReturn
from csc_evaluation.synthetic.cin_xml import FIRST_YEAR_OF_SEX, SEX_LETTERS, software_of
from csc_evaluation.synthetic.looked_after import CareReturn, is_xml_authority
from csc_evaluation.synthetic.school import TERMS, SchoolYear, census_is_collected, collected_terms

Texts = NDArray[np.object_]

# The key's fingerprint stays: it belongs to the warehouse, not to what is landed.
_DATA_TABLES = tuple(name for name in schema.RAW_TABLES if name != "pseudonym_keys")
_NOT_A_DATE = f"not a calendar date (expected {DATE_FORMATS})"
ROWS_PER_INSERT = 400_000
_CENSUS_TERM_NAMES = {"SPR": "spring", "SUM": "summer", "AUT": "autumn"}


def check_empty(connection: duckdb.DuckDBPyConnection, path: Path, *, overwrite: bool) -> None:
    """Raw tables must be empty; with ``overwrite`` they are made so.

    Raises:
        CscError: a raw table has rows.
    """
    for table in _DATA_TABLES:
        if not connection.execute(f"select 1 from raw.{table} limit 1").fetchone():
            continue
        if not overwrite:
            raise CscError(
                f"{path}: raw.{table} already holds rows; give a new warehouse, or ask to overwrite what is landed."
            )
        connection.execute(f"delete from raw.{table}")


class RawTables:
    """Collects the rows of one group of authorities at a time, then inserts them."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, pseudonymiser: Pseudonymiser, label: str
    ) -> None:
        self._connection = connection
        self._pseudonymiser = pseudonymiser
        self._label = label
        self._types = {table: _arrow_schema(connection, table) for table in _DATA_TABLES}
        self._waiting: dict[str, list[pa.Table]] = {}
        self._manifest: list[dict[str, Any]] = []
        self._child_memo: dict[tuple[str, str], str] = {}
        self._pupil_memo: dict[str, str] = {}
        self._school_rows: dict[tuple[str, int, str], int] = {}
        self._landed_at = datetime.now(UTC).replace(tzinfo=None)
        self._reference = load_reference()

    # -- pseudonyms ------------------------------------------------------------------------------------------

    def _children(self, la_code: str, child_ids: Texts) -> list[str]:
        memo, child = self._child_memo, self._pseudonymiser.child
        out = []
        for child_id in child_ids.tolist():
            key = (la_code, child_id)
            known = memo.get(key)
            if known is None:
                known = memo[key] = child(la_code, child_id)
            out.append(known)
        return out

    def _pupils(self, references: list[str]) -> list[str | None]:
        memo, pupil = self._pupil_memo, self._pseudonymiser.pupil
        out: list[str | None] = []
        for reference in references:
            if not reference:
                out.append(None)
                continue
            known = memo.get(reference)
            if known is None:
                known = memo[reference] = pupil(reference)
            out.append(known)
        return out

    # -- rows ------------------------------------------------------------------------------------------------

    def _add(self, table: str, n: int, columns: dict[str, Any]) -> None:
        if not n:
            return
        wanted = self._types[table]
        arrays = []
        for field in wanted:
            value = columns[field.name]
            if isinstance(value, pa.Array):
                arrays.append(value)
            elif isinstance(value, str | int | bool) or value is None:
                arrays.append(pa.array([value], field.type).take(pa.array(np.zeros(n, dtype=np.int64))))
            else:
                arrays.append(pa.array(value, field.type))
        self._waiting.setdefault(table, []).append(pa.Table.from_arrays(arrays, schema=wanted))

    def _return_id(self, collection: str, la_code: str | None, year: int, module: str) -> tuple[str, str]:
        content = hashlib.sha256(f"{self._label}|{collection}|{la_code}|{year}|{module}".encode()).hexdigest()
        return hashlib.sha256(f"{collection}|{la_code}|{year}|{content}".encode()).hexdigest()[:32], content

    def _manifest_row(
        self, return_id: str, sha: str, collection: str, la_code: str | None, year: int, modules: str,
        file_name: str, counts: dict[str, tuple[int, int]], **more: Any,
    ) -> None:  # fmt: skip
        found = sum(found for found, _ in counts.values())
        accepted = sum(accepted for _, accepted in counts.values())
        row: dict[str, Any] = dict.fromkeys((field.name for field in self._types["returns"]), None)
        row.update(
            return_id=return_id, collection=collection, la_code=la_code, return_year=year, file_name=file_name,
            sha256=sha, file_bytes=0, landed_at=self._landed_at, n_found=found, n_accepted=accepted,
            n_rejected=found - accepted, modules=modules, is_superseded=False,
        )  # fmt: skip
        row.update(more)
        self._manifest.append(row)
        n = len(counts)
        self._add(
            "return_counts",
            n,
            {
                "return_id": return_id,
                "record_type": list(counts),
                "n_found": [found for found, _ in counts.values()],
                "n_accepted": [accepted for _, accepted in counts.values()],
                "n_rejected": [found - accepted for found, accepted in counts.values()],
            },
        )

    def _reject(self, return_id: str, record_type: str, paths: list[str], field: str, reason: str) -> None:
        self._add(
            "rejects",
            len(paths),
            {
                "return_id": return_id, "record_type": record_type, "record_path": paths, "field": field,
                "reason": reason,
            },
        )  # fmt: skip

    def _unlisted(
        self,
        return_id: str,
        collection: str,
        record_type: str,
        field: str,
        code_list: str,
        year: int,
        codes: Texts,
    ) -> None:
        listed = self._reference.codes(collection, code_list, year)
        values, counts = np.unique(codes.astype(str), return_counts=True)
        strange = [(v, int(c)) for v, c in zip(values.tolist(), counts, strict=True) if v and v not in listed]
        self._add(
            "unlisted_codes",
            len(strange),
            {
                "return_id": return_id,
                "record_type": record_type,
                "field": field,
                "code": [value for value, _ in strange],
                "n_records": [count for _, count in strange],
            },
        )

    # -- Children in Need census -----------------------------------------------------------------------------

    def census(self, census: CensusReturn) -> None:
        """Rows of one CIN return."""
        return_id, sha = self._return_id("cin", census.la_code, census.year, "census")
        keys: dict[str, Any] = {"return_id": return_id, "la_code": census.la_code, "return_year": census.year}
        children = census.children
        hashed = np.array(self._children(census.la_code, children.child_id), dtype=object)
        gender = children.gender
        if census.year >= FIRST_YEAR_OF_SEX:
            gender = np.array([SEX_LETTERS.get(value, value) for value in gender.tolist()], dtype=object)
        self._add(
            "cin_children",
            len(children),
            keys
            | {
                "child_no": np.arange(len(children)) + 1,
                "child_id": hashed,
                "pupil_id": self._pupils(children.upn.tolist()),
                "former_pupil_id": self._pupils(children.former_upn.tolist()),
                "upn_unknown": _codes(children.upn_unknown),
                "birth_month": _months(children.birth),
                "is_expected_birth": children.is_expected_birth,
                "death_month": _months(children.death),
                "gender_code": _codes(gender),
                "ethnicity_code": _codes(children.ethnicity),
            },
        )
        table = census.disabilities
        self._add(
            "cin_disabilities",
            len(table),
            keys
            | {
                "child_no": table.child_no,
                "child_id": hashed[table.child_no - 1],
                "disability_code": table.code,
            },
        )
        referrals = census.referrals
        owner = hashed[referrals.child_no - 1]
        self._add(
            "cin_referrals",
            len(referrals),
            keys
            | {
                "child_no": referrals.child_no,
                "child_id": owner,
                "referral_no": referrals.referral_no,
                "referral_date": _dates(referrals.referral_date),
                "referral_source": _codes(referrals.source),
                "primary_need_code": _codes(referrals.need),
                "closure_date": _dates(referrals.closure),
                "closure_reason": _codes(referrals.reason),
                "initial_conference_date": _dates(referrals.conference),
                "is_nfa": referrals.is_nfa,
            },
        )

        def below(parent: NDArray[np.int64]) -> dict[str, Any]:
            return keys | {
                "child_no": referrals.child_no[parent],
                "child_id": owner[parent],
                "referral_no": referrals.referral_no[parent],
            }

        assessments = census.assessments
        self._add(
            "cin_assessments",
            len(assessments),
            below(assessments.parent)
            | {
                "record_no": assessments.record_no,
                "assessment_start": _dates(assessments.start),
                "internal_review_date": _dates(assessments.review),
                "authorisation_date": _dates(assessments.authorised),
            },
        )
        factors = census.factors
        self._add(
            "cin_assessment_factors",
            len(factors),
            below(assessments.parent[factors.parent])
            | {"record_no": assessments.record_no[factors.parent], "factor_code": factors.code},
        )
        enquiries = census.enquiries
        self._add(
            "cin_section47",
            len(enquiries),
            below(enquiries.parent)
            | {
                "record_no": enquiries.record_no,
                "enquiry_start": _dates(enquiries.start),
                "conference_target_date": _dates(enquiries.target),
                "conference_date": _dates(enquiries.conference),
                "is_conference_not_required": enquiries.is_not_required,
            },
        )
        need_plans = census.need_plans
        self._add(
            "cin_plans",
            len(need_plans),
            below(need_plans.parent)
            | {
                "record_no": need_plans.record_no,
                "plan_start": _dates(need_plans.start),
                "plan_end": _dates(need_plans.end),
            },
        )
        plans = census.plans
        self._add(
            "cin_cp_plans",
            len(plans),
            below(plans.parent)
            | {
                "record_no": plans.record_no,
                "plan_start": _dates(plans.start),
                "plan_end": _dates(plans.end),
                "initial_category_code": _codes(plans.first_category),
                "latest_category_code": _codes(plans.latest_category),
                "n_previous_plans": plans.n_previous,
            },
        )
        reviews = census.reviews
        self._add(
            "cin_cp_reviews",
            len(reviews),
            below(plans.parent[reviews.parent])
            | {"record_no": plans.record_no[reviews.parent], "review_date": _dates(reviews.held)},
        )
        n_junk = census.n_without_id + census.n_impossible_dates
        counts = {
            "Child": (len(children) + n_junk, len(children) + census.n_impossible_dates),
            "Disability": (len(table), len(table)),
            "CINdetails": (len(referrals) + n_junk, len(referrals)),
            "Assessments": (len(assessments), len(assessments)),
            "AssessmentFactors": (len(factors), len(factors)),
            "Section47": (len(enquiries), len(enquiries)),
            "CINPlanDates": (len(need_plans), len(need_plans)),
            "ChildProtectionPlans": (len(plans), len(plans)),
            "Reviews": (len(reviews), len(reviews)),
        }
        self._census_junk(census, return_id, keys)
        for record_type, field, code_list, codes in (
            ("Child", "UPNunknown", "unknownupn", children.upn_unknown),
            ("Child", "Sex" if census.year >= FIRST_YEAR_OF_SEX else "GenderCurrent",
             "sex" if census.year >= FIRST_YEAR_OF_SEX else "gender", gender),
            ("Child", "Ethnicity", "ethnicity", children.ethnicity),
            ("Disability", "Disability", "disability", table.code),
            ("CINdetails", "ReferralSource", "referralsource", referrals.source),
            ("CINdetails", "PrimaryNeedCode", "primaryneedcode", referrals.need),
            ("CINdetails", "ReasonForClosure", "reasonforclosure", referrals.reason),
            ("AssessmentFactors", "AssessmentFactors", "assessmentfactors", factors.code),
        ):  # fmt: skip
            self._unlisted(return_id, "cin", record_type, field, code_list, census.year, codes)
        software, release = software_of(census.la_code)
        self._manifest_row(
            return_id, sha, "cin", census.la_code, census.year, "census",
            f"cin_{census.la_code}_{census.year}.xml", counts, header_year=census.year,
            reference_date=date(census.year, 3, 31), software=software, software_release=release, serial_no="001",
        )  # fmt: skip

    def _census_junk(self, census: CensusReturn, return_id: str, keys: dict[str, Any]) -> None:
        """Rejects of the unusable records that the file has after the others, and the child records that stay."""
        n = len(census.children)
        first = n + census.n_without_id + 1
        without = [f"Message/Children/Child[{n + k}]" for k in range(1, census.n_without_id + 1)]
        self._reject(return_id, "Child", without, "LAchildID", "no child identifier")
        self._reject(
            return_id, "CINdetails", [f"{path}/CINdetails[1]" for path in without], "Child",
            PARENT_REJECTED,
        )  # fmt: skip
        impossible = [
            f"Message/Children/Child[{first + k}]/CINdetails[1]" for k in range(census.n_impossible_dates)
        ]
        self._reject(return_id, "CINdetails", impossible, "CINreferralDate", _NOT_A_DATE)
        m = census.n_impossible_dates
        ids = np.array([junk_child_id(census.year, k) for k in range(m)], dtype=object)
        self._add(
            "cin_children",
            m,
            keys
            | {
                "child_no": first + np.arange(m),
                "child_id": self._children(census.la_code, ids),
                "pupil_id": [None] * m,
                "former_pupil_id": [None] * m,
                "upn_unknown": [None] * m,
                "birth_month": [None] * m,
                "is_expected_birth": False,
                "death_month": [None] * m,
                "gender_code": "1",
                "ethnicity_code": "NOBT",
            },
        )

    # -- SSDA903 ---------------------------------------------------------------------------------------------

    def care(self, care: CareReturn) -> None:
        """Rows of one SSDA903 return."""
        return_id, sha = self._return_id(ssda903.COLLECTION, care.la_code, care.year, "")
        counts = {}
        for name, module in ssda903.MODULES.items():
            values = care.modules[name]
            n = len(values["CHILD"])
            columns: dict[str, Any] = {
                "return_id": return_id, "la_code": care.la_code, "return_year": care.year,
                "record_no": np.arange(n) + 1, "child_id": self._children(care.la_code, values["CHILD"]),
            }  # fmt: skip
            ours = [field.name for field in self._types[module.table]][5:]
            place = 0
            for column in module.columns:
                texts = values[column.name].tolist()
                if column.kind == "upn":
                    is_upn = [len(text) == 13 for text in texts]
                    upns = [text if known else "" for text, known in zip(texts, is_upn, strict=True)]
                    columns[ours[place]] = self._pupils(upns)
                    columns[ours[place + 1]] = [
                        None if known or not text else text for text, known in zip(texts, is_upn, strict=True)
                    ]
                    place += 2
                    continue
                columns[ours[place]] = _read(column.kind, texts)
                place += 1
                if column.code_list is not None:
                    self._unlisted(
                        return_id, ssda903.COLLECTION, name, column.name, column.code_list, care.year,
                        values[column.name],
                    )  # fmt: skip
            self._add(module.table, n, columns)
            junk = care.n_impossible_dates if name == "episodes" else 0
            counts[name] = (n + junk, n)
            self._reject(return_id, name, _junk_paths(care, n, junk), "DECOM", _NOT_A_DATE)
        self._manifest_row(
            return_id, sha, ssda903.COLLECTION, care.la_code, care.year, ",".join(ssda903.MODULES),
            f"ssda903_{care.la_code}_{care.year}", counts,
        )  # fmt: skip

    # -- school ----------------------------------------------------------------------------------------------

    def school(self, year: SchoolYear, pupil_reference: Texts, census_terms: tuple[str, ...]) -> None:
        """Rows of one group and academic year; numbers run on over the groups."""
        n = len(year.child)
        pupil = self._pupils(pupil_reference[year.child].tolist())
        return_id, _ = self._return_id("school_absence", None, year.academic_year, "absence")
        first = self._rows_so_far("school_absence", year.academic_year, "absence", n)
        columns: dict[str, Any] = {
            "return_id": return_id, "academic_year": year.academic_year, "record_no": first + np.arange(n) + 1,
            "pupil_id": pupil, "nc_year": year.nc_year,
        }  # fmt: skip
        collected = collected_terms(year.academic_year)
        for place, term in enumerate(TERMS):
            for name, counts in (
                ("sessions_possible", year.possible),
                ("authorised_absence", year.authorised),
                ("unauthorised_absence", year.unauthorised),
            ):
                columns[f"{name}_{term.lower()}"] = counts[:, place] if term in collected else [None] * n
        self._add("school_absence", n, columns)
        for term in census_terms:
            if not census_is_collected(year.academic_year, term):
                continue
            name = _CENSUS_TERM_NAMES[term]
            return_id, _ = self._return_id("school_census", None, year.academic_year, f"census_{name}")
            first = self._rows_so_far("school_census", year.academic_year, f"census_{name}", n)
            self._add(
                "school_census",
                n,
                {
                    "return_id": return_id, "academic_year": year.academic_year, "census_term": name,
                    "record_no": first + np.arange(n) + 1, "pupil_id": pupil, "nc_year": year.nc_year,
                    "is_fsm_eligible": year.is_fsm, "is_ever_fsm_6": year.is_ever_fsm,
                    "is_pupil_premium": year.is_premium,
                },
            )  # fmt: skip

    def _rows_so_far(self, collection: str, year: int, module: str, more: int) -> int:
        key = (collection, year, module)
        before = self._school_rows.get(key, 0)
        self._school_rows[key] = before + more
        return before

    # -- writing ---------------------------------------------------------------------------------------------

    def group_done(self) -> None:
        """Insert the waiting rows once there are enough: each insert has a fixed cost."""
        n_waiting = sum(part.num_rows for parts in self._waiting.values() for part in parts)
        if n_waiting >= ROWS_PER_INSERT:
            self.flush()
        self._child_memo.clear()
        self._pupil_memo.clear()

    def flush(self) -> None:
        """Insert the waiting rows. They stay out of every model until the manifest is written."""
        for table, parts in sorted(self._waiting.items()):
            self._insert(table, pa.concat_tables(parts))
        self._waiting.clear()

    def finish(self) -> int:
        """Write the manifest; returns the number of returns."""
        for (collection, year, module), n in sorted(self._school_rows.items()):
            return_id, sha = self._return_id(collection, None, year, module)
            self._manifest_row(
                return_id,
                sha,
                collection,
                None,
                year,
                module,
                f"{collection}_{module}_{year}",
                {module: (n, n)},
            )
        self.flush()
        types = self._types["returns"]
        columns = {name: [row.get(name) for row in self._manifest] for name in types.names}
        self._insert("returns", pa.table(columns, schema=types))
        return len(self._manifest)

    def _insert(self, table: str, rows: pa.Table) -> None:
        self._connection.register("synthetic_rows", rows)
        try:
            self._connection.execute(f"insert into raw.{table} by name select * from synthetic_rows")
        finally:
            self._connection.unregister("synthetic_rows")


def junk_child_id(year: int, number: int) -> str:
    """Id of a child that exists only through an unusable record."""
    return f"X{year}{number:04d}"


def _arrow_schema(connection: duckdb.DuckDBPyConnection, table: str) -> pa.Schema:
    empty = connection.execute(f"select * from raw.{table} limit 0").to_arrow_table().schema
    return pa.schema([pa.field(field.name, field.type) for field in empty])


def _dates(days: Days) -> pa.Array:
    """Dates, null where ``NEVER``."""
    return pa.array(days.astype(np.int32), pa.int32(), mask=days >= NEVER).cast(pa.date32())


def _months(days: Days) -> pa.Array:
    """First days of the months, null where ``NEVER``."""
    known = np.where(days >= NEVER, 0, days)
    return _dates(np.where(days >= NEVER, NEVER, calendar.month_start(calendar.month_index(known))))


def _codes(texts: Texts) -> pa.Array:
    return pa.array(texts, pa.string(), mask=texts == "")


def _junk_paths(care: CareReturn, n_episodes: int, n_junk: int) -> list[str]:
    """Where the unusable episodes stand in the file: after the others, in XML within the last child."""
    if not is_xml_authority(care.la_code):
        return [f"row {n_episodes + 1 + k}" for k in range(1, n_junk + 1)]
    last = care.children["header"][-1:]
    n_before = int(np.sum(np.isin(care.children["episodes"], last)))
    path = f"EXPSSDA903/CHILD[{len(care.children['header'])}]"
    return [f"{path}/EPISODE[{n_before + k}]" for k in range(1, n_junk + 1)]


class _UkDays(dict[str, int | None]):
    """Day/month/year to day number; blank is None."""

    def __missing__(self, text: str) -> int | None:
        known = None
        if text:
            dom, month, year = text.split("/")
            known = calendar.day(int(year), int(month), int(dom))
        self[text] = known
        return known


_UK_DAYS = _UkDays()
_FLAGS = {"1": True, "0": False, "": None}


def _read(kind: str, texts: list[str]) -> Any:
    """Texts of an SSDA903 column as landing stores them."""
    if kind == "date":
        return pa.array([_UK_DAYS[text] for text in texts], pa.int32()).cast(pa.date32())
    if kind == "month":
        days = [_UK_DAYS[text] for text in texts]
        return _months(np.array([NEVER if day is None else day for day in days], dtype=np.int64))
    if kind == "flag":
        return [_FLAGS[text] for text in texts]
    if kind == "number":
        return [int(text) if text else None for text in texts]
    if kind == "part_date":
        return [read_part_date(text)[0] for text in texts]
    return [text or None for text in texts]
