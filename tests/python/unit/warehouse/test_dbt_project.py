"""The dbt project as files: gates, seeds and the SQL that two engines share."""

from __future__ import annotations

import ast
import csv
import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from csc_evaluation import schema
from csc_evaluation.estimation.results import MARTS_READ
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

LINES_MAX = 150
NUMBERS_THAT_ARE_NO_CHOICE = {
    "0": "none, the first, unknown",
    "0.0": "none, as a share or a mean",
    "0.25": "the first quartile",
    "0.5": "the median; half an event more, so that the logarithm of a count of zero is finite",
    "0.75": "the third quartile",
    "1": "one, the next, the whole",
    "1.0": "the whole, as a share",
    "3": "months in a quarter",
    "3.0": "months in a quarter, divided by",
    "12": "months in a year",
    "12.0": "months in a year, divided by",
    "100": "percent",
    "100.0": "percent",
}
"""Numbers that mathematics or the calendar settles. Any other belongs in a seed, with its source."""

READERS_OF_MARTS = {
    "authority_matching": ("matching/candidates.py",),
    "child_matching": ("matching/sample.py",),
    "assumption_checks": ("matching/common_shocks.py",),
    "estimation": ("estimation/",),
    "report": ("report/",),
    "match_review": ("review/",),
}
"""Exposures that are code of the package, and where that code lies."""
PACKAGE = PROJECT / "python" / "csc_evaluation"


def code_of(path: Path) -> str:
    """The SQL of a file without its comments, its macros and quoted words."""
    text = re.sub(r"\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}", " ", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"--[^\n]*", " ", text)
    return re.sub(r"'[^'\n]*'", "''", text).lower()


def numbers_in(text: str) -> set[str]:
    """Numbers written in a model's SQL, and in the SQL that its Jinja hands to macros."""
    text = re.sub(r"\{#.*?#\}", " ", text, flags=re.DOTALL)
    text = re.sub(r"--[^\n]*", " ", text)
    text = re.sub(r"\b(?:decimal|numeric)\s*\([^)]*\)", " ", text, flags=re.IGNORECASE)
    jinja = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", flags=re.DOTALL)
    # Words quoted in SQL are codes; an interval in quotes is a number, and what Jinja quotes is SQL.
    plain = re.sub(r"(?<!interval )'[^'\n]*'", "''", jinja.sub(" ", text), flags=re.IGNORECASE)
    return set(re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])", plain + " ".join(jinja.findall(text))))


def marts_read_by_package() -> dict[str, set[str]]:
    """File below the package -> the marts it reads, from its calls of ``table`` and ``records``."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            words = [argument.value if isinstance(argument, ast.Constant) else None for argument in call.args]
            layers = [word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)]
            if call.func.attr == "table" and "marts" in layers:
                # A name that is no literal is estimation's loop over all that it reads.
                names = {words[0]} if words[0] else set(MARTS_READ)
            elif call.func.attr in ("table", "records") and "marts" in words:
                names = {words[words.index("marts") + 1]}
            else:
                continue
            found[path.relative_to(PACKAGE).as_posix()] |= names
    return dict(found)


def exposures() -> dict[str, dict]:
    return {
        exposure["name"]: exposure
        for path in (PROJECT / "models").rglob("*.yml")
        for exposure in yaml.safe_load(path.read_text()).get("exposures", [])
    }


def marts_of(exposure: dict) -> set[str]:
    return {re.fullmatch(r"ref\('(\w+)'\)", parent)[1] for parent in exposure["depends_on"]}


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


@pytest.mark.parametrize("path", LAYERED, ids=lambda path: path.stem)
def test_a_model_is_short_enough_to_be_read_at_once(path: Path):
    n_lines = len(path.read_text().splitlines())
    assert n_lines <= LINES_MAX


@pytest.mark.parametrize("path", LAYERED, ids=lambda path: path.stem)
def test_no_number_of_the_protocol_is_in_sql(path: Path):
    chosen = numbers_in(path.read_text()) - set(NUMBERS_THAT_ARE_NO_CHOICE)
    assert not chosen, f"{path.name}: {sorted(chosen)} belong in a seed"


@pytest.mark.parametrize(
    "sql",
    [
        "select * from t where months <= 18",
        "select {{ add_months('index_date', '18') }} from t",
        "select {{ add_months('index_date', '2 * months') }} from t",
        "select d + interval '18 months' from t",
        "select share > 0.05 from t",
        "{% if var('months', 18) %}select 1{% endif %}",
    ],
)
def test_the_check_for_numbers_sees_them(sql: str):
    assert numbers_in(sql) - set(NUMBERS_THAT_ARE_NO_CHOICE)


@pytest.mark.parametrize(
    "sql",
    [
        "select cast(x as decimal(28, 9)) as x18 from t -- after 18 months",
        "select {{ completed_years('birth_month', 'd') }} from t2 where code = '18' and not is_in_18m",
    ],
)
def test_the_check_for_numbers_passes_types_names_codes_and_comments(sql: str):
    assert not numbers_in(sql)


def test_every_mart_is_under_an_enforced_contract():
    settings = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["models"]["csc_evaluation"]
    assert settings["marts"]["+contract"] == {"enforced": True}
    own = {path.stem for path in MARTS if "contract" in model_properties()[path.stem].get("config", {})}
    assert not own | {path.stem for path in MARTS if re.search(r"config\s*\(", path.read_text())}


def test_an_exposure_says_who_what_and_reads_marts():
    marts = {path.stem for path in MARTS}
    for name, exposure in exposures().items():
        words = [exposure[key] for key in ("label", "type", "description", "maturity")]
        assert all(word.strip() for word in [*words, exposure["owner"]["name"], exposure["owner"]["email"]])
        assert marts_of(exposure), name
        assert marts_of(exposure) <= marts, name


def test_an_exposure_lists_the_marts_that_its_code_reads():
    read = {
        name: set().union(
            *(marts for file, marts in marts_read_by_package().items() if file.startswith(places))
        )
        for name, places in READERS_OF_MARTS.items()
    }
    assert read == {name: marts_of(exposures()[name]) for name in READERS_OF_MARTS}


def test_all_code_that_reads_marts_is_in_an_exposure():
    places = tuple(place for files in READERS_OF_MARTS.values() for place in files)
    elsewhere = {file for file in marts_read_by_package() if not file.startswith(places)}
    assert not elsewhere, f"give {elsewhere} an exposure in models/exposures.yml and in READERS_OF_MARTS"


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
