"""Small synthetic files in the formats that land, and how to look at what landed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from csc_evaluation.landing import FileOutcome, LandingReport, land

EPISODES_HEADER = (
    "CHILD,DECOM,RNE,LS,CIN,PLACE,PLACE_PROVIDER,DEC,REC,REASON_PLACE_CHANGE,HOME_POST,PL_POST,URN"
)
HEADER_HEADER = "CHILD,SEX,DOB,ETHNIC,UPN,MOTHER,MC_DOB"


def cin_xml(
    *children: str,
    la_code: str = "335",
    year: str = "2020",
    reference_date: str = "2020-03-31",
    collection: str = "CIN",
    created_at: str = "2020-06-01T10:00:00",
    root: str = "<Message>",
) -> str:
    return (
        f"{root}<Header><CollectionDetails><Collection>{collection}</Collection><Year>{year}</Year>"
        f"<ReferenceDate>{reference_date}</ReferenceDate></CollectionDetails><Source><SourceLevel>L</SourceLevel>"
        f"<LEA>{la_code}</LEA><SoftwareCode>maker</SoftwareCode><Release>1.0</Release><SerialNo>001</SerialNo>"
        f"<DateTime>{created_at}</DateTime></Source></Header>"
        f"<Children>{''.join(children)}</Children></Message>"
    )


def cin_child(
    identifier: str = "C1",
    *referrals: str,
    birth: str = "<PersonBirthDate>2015-05-17</PersonBirthDate>",
    gender: str = "<GenderCurrent>2</GenderCurrent>",
    upn: str = "",
    ethnicity: str = "WBRI",
    disabilities: Sequence[str] = (),
) -> str:
    group = "".join(f"<Disability>{code}</Disability>" for code in disabilities)
    return (
        f"<Child><ChildIdentifiers><LAchildID>{identifier}</LAchildID>{upn}{birth}{gender}</ChildIdentifiers>"
        f"<ChildCharacteristics><Ethnicity>{ethnicity}</Ethnicity>"
        f"{f'<Disabilities>{group}</Disabilities>' if group else ''}</ChildCharacteristics>"
        f"{''.join(referrals)}</Child>"
    )


def cin_referral(date: str = "2019-09-02", *parts: str, nfa: str = "0") -> str:
    return (
        f"<CINdetails><CINreferralDate>{date}</CINreferralDate><ReferralSource>1A</ReferralSource>"
        f"<PrimaryNeedCode>N1</PrimaryNeedCode>{''.join(parts)}<ReferralNFA>{nfa}</ReferralNFA></CINdetails>"
    )


def cin_assessment(start: str = "2019-09-03", *factors: str, authorised: str = "2019-10-01") -> str:
    inside = "".join(f"<AssessmentFactors>{factor}</AssessmentFactors>" for factor in factors)
    return (
        f"<Assessments><AssessmentActualStartDate>{start}</AssessmentActualStartDate>"
        f"<AssessmentAuthorisationDate>{authorised}</AssessmentAuthorisationDate>"
        f"<FactorsIdentifiedAtAssessment>{inside}</FactorsIdentifiedAtAssessment></Assessments>"
    )


def cin_cp_plan(start: str = "2019-10-10", end: str = "", *reviews: str) -> str:
    inside = "".join(f"<CPPreviewDate>{review}</CPPreviewDate>" for review in reviews)
    return (
        f"<ChildProtectionPlans><CPPstartDate>{start}</CPPstartDate>"
        f"{f'<CPPendDate>{end}</CPPendDate>' if end else ''}"
        "<InitialCategoryOfAbuse>NEG</InitialCategoryOfAbuse><LatestCategoryOfAbuse>EMO</LatestCategoryOfAbuse>"
        f"<NumberOfPreviousCPP>1</NumberOfPreviousCPP>{f'<Reviews>{inside}</Reviews>' if inside else ''}"
        "</ChildProtectionPlans>"
    )


def write(folder: Path, name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def land_one(path: Path, warehouse: Path, **options: Any) -> FileOutcome:
    report = land([path], warehouse=warehouse, **options)
    assert len(report.files) == 1, report.files
    return report.files[0]


def query(warehouse: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute(sql, list(values)).fetchall()


def content(warehouse: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every raw table, in an order of its own, without the time at which it landed."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        tables = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'raw' order by 1"
        ).fetchall()
        found: dict[str, list[tuple[Any, ...]]] = {}
        for (table,) in tables:
            if table == "pseudonym_keys":
                continue
            left_out = " exclude (landed_at, superseded_at)" if table == "returns" else ""
            found[table] = connection.execute(f"select *{left_out} from raw.{table} order by all").fetchall()
        return found


def counts(outcome: FileOutcome | LandingReport) -> Mapping[str, tuple[int, int, int]]:
    rows = [count for _, count in outcome.counts] if isinstance(outcome, LandingReport) else outcome.counts
    return {row.record_type: (row.n_found, row.n_accepted, row.n_rejected) for row in rows if row.n_found}
