"""The seeds of the data quality mart fit the models that make its checks and the landing that finds them."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from csc_evaluation.landing import cin_xml, context, rejects, ssda903
from csc_evaluation.project import project_dir

PROJECT = project_dir()
QUALITY_MODELS = PROJECT / "models" / "intermediate" / "quality"
MADE_BY_KIND = {"missing_return_": ("cin", "ssda903"), "empty_return_": ("cin", "ssda903")}


def seed(name: str) -> list[dict[str, str]]:
    with (PROJECT / "seeds" / "reference" / f"{name}.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def checks_made() -> set[str]:
    """Names of the checks that the models and the rules for landing make."""
    sql = "\n".join(path.read_text() for path in QUALITY_MODELS.glob("*.sql"))
    made = set(re.findall(r"\('(\w+)', '\w+', '\w+'\)", sql)) | set(re.findall(r"'(\w+)' as check_name", sql))
    made |= {row["check_name"] for row in seed("data_quality_landing_rules")}
    made |= {prefix + kind for prefix, kinds in MADE_BY_KIND.items() for kind in kinds}
    kinds = re.findall(
        r"^    \('(\w+)', '(?:cin|ssda903)',", (QUALITY_MODELS / "int_quality_counts.sql").read_text(), re.M
    )
    return made | {f"jump_in_{kind}" for kind in kinds}


def test_every_check_described_is_made_and_every_check_made_is_described():
    assert checks_made() == {row["check_name"] for row in seed("data_quality_checks")}


def test_refusals_are_told_by_words_that_landing_uses():
    sources = "\n".join(
        Path(module.__file__).read_text(encoding="utf-8") for module in (cin_xml, context, rejects, ssda903)
    )
    for row in seed("data_quality_landing_rules"):
        if row["reason_part"]:
            assert row["reason_part"] in sources, row


def test_unlisted_codes_are_told_by_fields_that_landing_reads():
    read = set(
        re.findall(r'landing\.code\(\s*"(\w+)", "(\w+)"', Path(cin_xml.__file__).read_text(encoding="utf-8"))
    )
    read |= {(module.name, column.name) for module in ssda903.MODULES.values() for column in module.columns}
    for row in seed("data_quality_landing_rules"):
        if row["field"]:
            assert (row["record_type"], row["field"]) in read, row


def test_no_model_of_data_quality_is_longer_than_a_reader_takes_in():
    for path in QUALITY_MODELS.glob("*.sql"):
        assert len(path.read_text().splitlines()) <= 150, path.name
