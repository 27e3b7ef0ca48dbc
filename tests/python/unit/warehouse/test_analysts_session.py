"""The page of an analyst's session: that it is made by its script, says nothing it was not told, and names no child."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import duckdb
import pytest

from csc_evaluation.project import project_dir

SCRIPT = project_dir() / "docs" / "make_analysts_session.py"
PAGE = """# A page

<!-- needs marts.not_there -->
```sql
select * from marts.not_there
```

<!-- output -->
what stood here before
<!-- end -->

## Another question

```sql
select 2018 as return_year, 1234 as n_children, 0.5 as share, null as unknown, 'a' as kind
```

<!-- output -->
<!-- end -->
"""


@pytest.fixture(scope="module")
def session() -> ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("create schema marts")
    connection.execute("create table marts.children as select 'pseudonym' as child_id")
    return connection


def test_output_replaces_what_stood_there_and_a_second_run_changes_nothing(session, connection):
    once = session.with_output(PAGE, session.answers(PAGE, connection))
    assert "what stood here before" not in once
    assert "*Not in this warehouse: marts.not_there.*" in once
    assert (
        "return_year  n_children  share  unknown  kind\n"
        "-----------  ----------  -----  -------  ----\n"
        "       2018       1,234  0.500           a\n"
    ) in once
    assert session.with_output(once, session.answers(once, connection)) == once


def test_a_table_that_has_come_is_read(session, connection):
    connection.execute("create table marts.not_there as select range as n from range(20)")
    text = session.with_output(PAGE, session.answers(PAGE, connection))
    assert "Not in this warehouse" not in text
    assert "... 8 more rows" in text


@pytest.mark.parametrize("column", ["child_id", "child_id || '_2018-01-01' as referral_id"])
def test_a_block_that_names_a_child_is_refused(session, connection, column):
    page = PAGE.replace("select 2018", f"select {column} from marts.children --")
    with pytest.raises(ValueError, match="would name a child"):
        session.answers(page, connection)


def test_a_block_without_a_place_for_its_output_is_refused(session, connection):
    with pytest.raises(ValueError, match="is followed by"):
        session.answers(PAGE.replace("<!-- output -->\n<!-- end -->", ""), connection)


def test_a_block_that_does_not_run_is_an_error(session, connection):
    with pytest.raises(duckdb.Error):
        session.answers(PAGE.replace("select 2018", "select nothing"), connection)


def test_every_question_of_the_page_has_its_output(session):
    blocks = list(session.BLOCK.finditer(session.PAGE.read_text()))
    assert len(blocks) >= 10
    assert all(block["output"].strip() for block in blocks)
