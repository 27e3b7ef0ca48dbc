"""sqlfluff over macros, which it cannot reach by itself: its dbt templater skips them, and its jinja templater sees a
file that renders to nothing. So every macro is called, and what it makes is linted for both engines."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from sqlfluff.core import FluffConfig, Linter

from csc_evaluation.project import project_dir

PROJECT = project_dir()
FILES = sorted((PROJECT / "macros").rglob("*.sql"))
LINE_LENGTH_MAX = 120
DIALECTS = {"duckdb": "duckdb", "spark": "sparksql"}
"""Engine, as macros are named for it, and sqlfluff's name of its SQL."""
HEAD = re.compile(r"\{%-?\s*(macro|test)\s+(\w+)\(([^)]*)\)")
MAKES_NO_SQL = {
    "build_command": "a word for a row",
    "generate_schema_name": "a name",
    "print_broken_rules": "log lines",
}
LISTS: dict[str, list[Any]] = {
    "columns": ["la_code", "child_id"],
    "schemas": ["marts", "results"],
    "results": [
        SimpleNamespace(status=status, node=SimpleNamespace(resource_type="model"))
        for status in ("success", "fail")
    ],
    "checks": [("first_check", "n_records", "n_failed"), ("second_check", "n_records", "n_failed")],
}
"""Parameters that are no piece of SQL. Any other is given its own name as a column."""
OWN_ARGUMENTS = {"rule_holds": {"rule": "n_children >= 0"}, "relationship_on": {"to_columns": None}}


def _macros() -> list[str]:
    return [name for path in FILES for _, name, _ in HEAD.findall(path.read_text())]


def _parameters(name: str) -> list[str]:
    for path in FILES:
        for _, found, listed in HEAD.findall(path.read_text()):
            if found == name:
                return [word.split("=")[0].strip() for word in listed.split(",") if word.strip()]
    raise KeyError(name)


@cache
def _rendered_by(engine: str) -> Any:
    """All macros of the project as Python functions, dispatched as dbt's adapter of the engine would."""
    text = "\n".join(path.read_text() for path in FILES)
    text = re.sub(r"(\{%-?\s*)(end)?test\b", r"\1\2macro", text)
    environment = jinja2.Environment(extensions=["jinja2.ext.do"], undefined=jinja2.StrictUndefined)

    def dispatch(name: str, package: str) -> Callable[..., str]:
        own = getattr(functions, f"{engine}__{name}", None)
        return own or getattr(functions, f"default__{name}")

    environment.globals |= {
        "adapter": SimpleNamespace(dispatch=dispatch),
        "return": lambda value: value,
        "execute": True,
        "run_query": lambda sql: None,
        "invocation_id": "an-invocation",
        "invocation_args_dict": {"which": "build"},
    }
    functions = environment.from_string(text).module
    return functions


def _sql_of(name: str, engine: str) -> str:
    """A statement around what a macro makes."""
    given = {word: LISTS.get(word, f"some_{word}") for word in _parameters(name)}
    made = str(getattr(_rendered_by(engine), name)(**given | OWN_ARGUMENTS.get(name, {})))
    made = re.sub(r"\n\s*\n", "\n", dedent(made).strip("\n")).strip()
    if re.match(r"(select|with|insert|update)\b", made):
        return f"{made}\n"
    # A macro may make several columns and name them itself.
    named = made if re.search(r"\bas \w+$", made) else f"{made} as answer"
    return f"select {named}\nfrom some_table\n"


def _engines_of(name: str) -> list[str]:
    own = name.split("__", maxsplit=1)[0] if "__" in name else ""
    return {"spark": ["spark"], "default": ["duckdb"]}.get(own, list(DIALECTS))


def _violations(sql: str, engine: str) -> list[str]:
    own = FluffConfig.from_path(str(PROJECT))
    config = FluffConfig.from_path(
        str(PROJECT),
        overrides={
            "dialect": DIALECTS[engine],
            "templater": "raw",
            # Layout is the file's, and what comes out of it has another.
            "exclude_rules": f"{own.get('exclude_rules', section='core')},layout",
        },
    )
    return [str(found) for found in Linter(config=config).lint_string(sql).get_violations()]


@pytest.mark.parametrize(
    ("name", "engine"),
    [(name, engine) for name in _macros() if name not in MAKES_NO_SQL for engine in _engines_of(name)],
)
def test_what_a_macro_makes_passes_the_linter(name: str, engine: str):
    sql = _sql_of(name, engine)
    assert not _violations(sql, engine), sql


def test_a_macro_that_makes_no_sql_exists():
    assert set(MAKES_NO_SQL) <= set(_macros())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_macro_file_keeps_to_the_length_of_lines(path: Path):
    assert max(len(line) for line in path.read_text().splitlines()) <= LINE_LENGTH_MAX


@pytest.mark.parametrize("sql", ["select a b\nfrom t\n", "SELECT a\nfrom t\n", "select date_add( from\n"])
def test_the_linter_sees_faults(sql: str):
    assert _violations(sql, "duckdb")
