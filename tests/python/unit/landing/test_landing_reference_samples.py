"""Real sample returns made by others land whole; an independent count of the files agrees with the warehouse."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from lxml import etree

from csc_evaluation.landing import land
from support.landing_files import counts, query

pytestmark = pytest.mark.reference

COUNTED = {
    "Child": "Child",
    "CINdetails": "CINdetails",
    "Assessments": "Assessments",
    "AssessmentFactors": "AssessmentFactors",
    "Section47": "Section47",
    "ChildProtectionPlans": "ChildProtectionPlans",
    "CINPlanDates": "CINPlanDates",
    "CPPreviewDate": "Reviews",
    "Disability": "Disability",
}


def test_every_sample_census_lands_and_every_record_is_accounted_for(
    reference_dir: Path, warehouse: Path
) -> None:
    folder = reference_dir / "cin_census" / "samples"
    report = land([folder], warehouse=warehouse)
    assert [(Path(file.path).name, file.status, file.la_code, file.return_year) for file in report.files] == [
        ("BAR_cin_2022.xml", "landed", "201", 2022),
        ("CIN_Census_2021.xml", "landed", "201", 2023),
        ("CIN_Census_2024.xml", "landed", "201", 2024),
    ]
    recount: Counter[str] = Counter()
    for path in folder.glob("*.xml"):
        for element in etree.parse(str(path)).iter(*COUNTED):
            recount[COUNTED[str(element.tag)]] += 1
    assert {name: found for name, (found, _, _) in counts(report).items()} == dict(recount)
    assert all(found == accepted + rejected for found, accepted, rejected in counts(report).values())
    assert sum(file.n_rejected for file in report.files) == 0
    assert report.files[2].notes == (
        "header year 2023 disagrees with reference date 2024-03-31; return year is 2024",
    )
    assert query(warehouse, "select count(*) from raw.returns where is_superseded") == [(0,)]


def test_every_sample_ssda903_file_lands_and_every_row_is_accounted_for(
    reference_dir: Path, warehouse: Path
) -> None:
    folder = reference_dir / "ssda903" / "samples"
    report = land([folder], warehouse=warehouse, la_code="335", return_year=2018)
    assert report.n_failed == 0
    recount = {}
    for path in folder.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as handle:
            recount[path.stem] = sum(1 for _ in csv.DictReader(handle))
    assert {name: found for name, (found, _, _) in counts(report).items()} == recount
    assert all(found == accepted + rejected for found, accepted, rejected in counts(report).values())
    assert sum(file.n_rejected for file in report.files) == 0
    for name, n_rows in recount.items():
        assert query(warehouse, f"select count(*) from raw.ssda903_{name}") == [(n_rows,)]


def test_the_samples_name_neither_authority_nor_year_and_are_refused_without(
    reference_dir: Path, warehouse: Path
) -> None:
    report = land([reference_dir / "ssda903" / "samples"], warehouse=warehouse)
    assert report.n_failed == len(report.files) == 10
    assert all("give --authority and --year" in file.message for file in report.files)
