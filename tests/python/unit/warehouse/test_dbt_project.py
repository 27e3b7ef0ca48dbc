"""The dbt project as files: gates, seeds and the SQL that two engines share."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import yaml

from csc_evaluation import schema
from csc_evaluation.project import project_dir

PROJECT = project_dir()
SEEDS = sorted((PROJECT / "seeds").rglob("*.csv"))
MODELS = sorted((PROJECT / "models").rglob("*.sql"))
MARTS = [path for path in MODELS if "marts" in path.parts]
LAYERED = [path for path in MODELS if "gates" not in path.parts]
SQL_FILES = [
    *MODELS,
    *sorted((PROJECT / "tests" / "dbt").glob("*.sql")),
    *sorted((PROJECT / "analysis").glob("*.sql")),
]
NOT_LANDED = {"pseudonym_keys"}
"""Raw tables that hold no records of files."""

BANNED = {
    r"\bqualify\b": "row_number() in a CTE",
    r"\basof\b": "a join and row_number()",
    r"\bexclude\b": "the columns by name",
    r"::": "cast(x as type)",
    r"\bconcat\s*\(": "||, which does not swallow nulls differently by engine",
    r"\b(max_by|min_by|arg_max|arg_min)\s*\(": "row_number() with explicit order of nulls",
    r"\b(mode|median)\s*\(": "count, then rank",
    r"\b(date_diff|datediff|datesub|date_sub|age)\s*\(": "days_between() or calendar_months_between()",
    r"\bdate_trunc\s*\(": "quarter_start()",
    r"\b(generate_series|range|unnest|explode|sequence)\s*\(": "whole_numbers()",
    r"\b(list_\w+|array_agg|string_agg|string_split|strptime|strftime|epoch)\b": "a macro in cross_database",
    r"\bignore\s+nulls\b": "row_number() with explicit order of nulls",
    r"\b(varchar|text)\b": "string, which both engines know",
    r"\b(duckdb|spark)\b": "a macro in cross_database: no model names an engine",
    r"\bis\s+(not\s+)?distinct\s+from\b": "coalesce(a <> b, ...)",
    r"\bcount\s*\(\s*distinct\b": "min(x) = max(x), or two steps of group by: it dominates a build",
}


def code_of(path: Path) -> str:
    """The SQL of a file without its comments, its macros and quoted words."""
    text = re.sub(r"\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}", " ", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"--[^\n]*", " ", text)
    return re.sub(r"'[^'\n]*'", "''", text).lower()


def seed_properties() -> dict[str, dict]:
    properties = {}
    for path in (PROJECT / "seeds").rglob("*.yml"):
        for seed in yaml.safe_load(path.read_text())["seeds"]:
            properties[seed["name"]] = seed
    return properties


def model_properties() -> dict[str, dict]:
    properties = {}
    for path in (PROJECT / "models").rglob("*.yml"):
        for model in yaml.safe_load(path.read_text()).get("models", []):
            properties[model["name"]] = model
    return properties


def names_in_gate(gate: str) -> set[str]:
    return set(re.findall(r"ref\('(\w+)'\)", (PROJECT / "models" / "gates" / f"{gate}.sql").read_text()))


def test_the_protocol_gate_reads_every_seed():
    assert names_in_gate("protocol_gate") == {path.stem for path in SEEDS}


def test_the_marts_gate_reads_every_staging_and_intermediate_model():
    before_marts = {path.stem for path in LAYERED if "marts" not in path.parts}
    assert names_in_gate("marts_gate") == before_marts


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_seed_has_a_type_and_a_description_for_every_column_in_the_order_of_its_file(path: Path):
    with path.open(newline="") as handle:
        header = next(csv.reader(handle))
    seed = seed_properties()[path.stem]
    assert list(seed["config"]["column_types"]) == header
    assert [column["name"] for column in seed["columns"]] == header
    assert all(column["description"] for column in seed["columns"])


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_seed_has_a_key_that_is_tested(path: Path):
    assert any("unique_combination" in test for test in seed_properties()[path.stem]["data_tests"])


def test_every_raw_table_of_records_has_a_staging_model():
    sources = {
        name
        for path in MODELS
        if "staging" in path.parts
        for name in re.findall(r"source\('raw', '(\w+)'\)", path.read_text())
    }
    assert sources == set(schema.RAW_TABLES) - NOT_LANDED


def test_only_staging_reads_raw():
    readers = {path.stem for path in SQL_FILES if "source('raw'" in path.read_text()}
    assert all(name.startswith("stg_") for name in readers)


def test_marts_read_intermediates_only():
    for path in MARTS:
        assert set(re.findall(r"ref\('(\w+?)_", path.read_text())) == {"int"}, path.name


@pytest.mark.parametrize("path", LAYERED, ids=lambda path: path.stem)
def test_a_model_says_its_grain_and_ends_with_final(path: Path):
    text = path.read_text()
    assert text.startswith("-- One row per ")
    assert text.rstrip().endswith("select * from final")


@pytest.mark.parametrize("path", MARTS, ids=lambda path: path.stem)
def test_a_mart_describes_every_column_and_tests_its_key(path: Path):
    model = model_properties()[path.stem]
    assert all(column.get("description") and column.get("data_type") for column in model["columns"])
    assert any("unique_combination" in test for test in model["data_tests"])


def test_no_model_lacks_a_description():
    properties = model_properties()
    assert {path.stem for path in MODELS} == set(properties)
    assert all(model["description"] for model in properties.values())


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: path.stem)
def test_sql_keeps_to_what_both_engines_understand(path: Path):
    found = {token: advice for token, advice in BANNED.items() if re.search(token, code_of(path))}
    assert not found, f"{path.name}: {found}"


@pytest.mark.parametrize(
    "sql",
    ["select max_by(a, b) from t", "qualify row_number() over () = 1", "select a::int", "cast(a as varchar)"],
)
def test_the_check_for_shared_sql_sees_what_is_banned(sql: str, tmp_path: Path):
    (tmp_path / "model.sql").write_text(sql)
    with pytest.raises(AssertionError):
        test_sql_keeps_to_what_both_engines_understand(tmp_path / "model.sql")
