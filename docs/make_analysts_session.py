"""Run the SQL of ``docs/analysts_session.md`` and write its output below each block.

    python docs/make_analysts_session.py                     # on a small synthetic England, made anew
    python docs/make_analysts_session.py --warehouse demo/demo.duckdb --to my_session.md

The page holds the questions and the SQL; what stands between the marks ``<!-- output -->`` and ``<!-- end -->`` is
this script's. A block below ``<!-- needs marts.x -->`` is left without output where the warehouse lacks that table.
A block whose output would name a child is refused.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb

PAGE = Path(__file__).resolve().parent / "analysts_session.md"
BLOCK = re.compile(
    r"(?:<!-- needs (?P<needs>[\w., ]+?) -->\n)?"
    r"```sql\n(?P<sql>.*?)```\n\n<!-- output -->\n(?P<output>.*?)<!-- end -->\n",
    flags=re.DOTALL,
)
ROWS_SHOWN = 12
SCALE, N_AUTHORITIES, SEED = 0.1, 20, 7
"""Of the synthetic England that the page is made on."""


@dataclass(frozen=True)
class Answer:
    """What one SQL block gave."""

    sql: str
    lacking: tuple[str, ...]
    """Tables that the block needs and the warehouse has not; then there are no rows."""
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def as_text(self) -> str:
        """The output block, without its marks."""
        if self.lacking:
            return f"*Not in this warehouse: {', '.join(self.lacking)}.*\n"
        shown = [self.columns, *(tuple(map(_as_cell, row, self.columns)) for row in self.rows[:ROWS_SHOWN])]
        widths = [max(len(line[place]) for line in shown) for place in range(len(self.columns))]
        is_number = [
            all(isinstance(row[place], int | float | Decimal | None) for row in self.rows)
            for place in range(len(self.columns))
        ]
        lines = [
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, is_number, strict=True)
            ).rstrip()
            for line in shown
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        if len(self.rows) > ROWS_SHOWN:
            lines.append(f"... {len(self.rows) - ROWS_SHOWN:,} more rows")
        return "```\n" + "\n".join(lines) + "\n```\n"


def _as_cell(value: object, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, float | Decimal):
        return f"{value:,.3f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if "year" in column else f"{value:,}"
    return str(value)


def answers(page: str, connection: duckdb.DuckDBPyConnection) -> list[Answer]:
    """Run every block of the page, in order.

    Raises:
        ValueError: the page has an SQL block without a place for its output, or a block's output would name a child.
        duckdb.Error: a block does not run.
    """
    blocks = list(BLOCK.finditer(page))
    if len(blocks) != page.count("```sql\n"):
        raise ValueError("every ```sql block is followed by <!-- output --> and <!-- end -->; one is not")
    there = {
        f"{layer}.{name}"
        for layer, name in connection.execute(
            "select table_schema, table_name from information_schema.tables"
        ).fetchall()
    }
    children = {child for (child,) in connection.execute("select child_id from marts.children").fetchall()}
    found = []
    for block in blocks:
        answer = _answer(block, there, connection)
        if any(str(value).split("_", maxsplit=1)[0] in children for row in answer.rows for value in row):
            raise ValueError(f"the output of this block would name a child:\n{answer.sql}")
        found.append(answer)
    return found


def _answer(block: re.Match[str], there: set[str], connection: duckdb.DuckDBPyConnection) -> Answer:
    sql = block["sql"]
    needs = [name.strip() for name in (block["needs"] or "").split(",") if name.strip()]
    lacking = tuple(name for name in needs if name not in there)
    if lacking:
        return Answer(sql, lacking, (), ())
    cursor = connection.execute(sql)
    columns = tuple(column[0] for column in cursor.description or ())
    return Answer(sql, (), columns, tuple(cursor.fetchall()))


def with_output(page: str, found: list[Answer]) -> str:
    """The page with the output of every block replaced."""
    in_order = iter(found)

    def replaced(block: re.Match[str]) -> str:
        start, end = (place - block.start() for place in block.span("output"))
        whole = block[0]
        return whole[:start] + next(in_order).as_text() + whole[end:]

    return BLOCK.sub(replaced, page)


def synthetic_warehouse(folder: Path) -> Path:
    """A small synthetic England in raw tables, built by dbt."""
    from csc_evaluation.dbt_runner import run_dbt
    from csc_evaluation.synthetic import SynthesisConfig, synthesise

    warehouse = folder / "synthetic_england.duckdb"
    config = SynthesisConfig(scale=SCALE, seed=SEED, authorities=N_AUTHORITIES, format="raw")
    synthesise(config, folder / "synthetic", warehouse=warehouse)
    run_dbt(["build"], warehouse_file=warehouse)
    return warehouse


def main() -> None:
    """Parse the command line and rewrite the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--warehouse", type=Path, default=None, help="a built warehouse (default: synthetic)")
    parser.add_argument("--to", type=Path, default=PAGE, help="where the page goes (default: where it is)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        warehouse = options.warehouse or synthetic_warehouse(Path(folder))
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            page = PAGE.read_text(encoding="utf-8")
            options.to.write_text(with_output(page, answers(page, connection)), encoding="utf-8")


if __name__ == "__main__":
    main()
