"""How long matching authorities on trends takes for all programmes and outcomes, against one pass over the same table.

The script makes a warehouse of its own: the seeds of this project and ``marts.la_quarter_outcomes`` of the size England
has (every programme, outcome, authority and quarter of the trial period; random means and standard errors). On it, in
one process and one run, it measures

* pass: one ``group by`` over the whole table (children, and the mean of the outcome, by programme, outcome and authority);
* match: ``match_authorities`` for all programmes, from the seeds read to the frames that are written as results:
  candidates, distances, evidence and the placebo distribution of every window.

Usage: ``python benchmarks/matching.py [--repeats 3] [--threads 2] [--seed 1] [--plan FILE]``

Prints both times, their ratio, processor time, what was compared, and the slowest queries; writes the plan (``explain
analyze``) of the slowest to ``--plan``. Exits with an error when matching takes longer than the project asks.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import ibis
from ibis.backends.duckdb import Backend
from ibis.expr.types import Table

from csc_evaluation.estimation.protocol import Protocol, read_protocol
from csc_evaluation.matching.authorities import AuthorityMatching, match_authorities
from csc_evaluation.project import code_version, project_dir

T = TypeVar("T")
N_SLOWEST = 5
SECONDS_MAX = 10.0
"""Asked of three programmes, every outcome and all authorities of England."""
ONE_PASS = """
    select programme, outcome, la_code, sum(n_children) as n_children, avg(mean_value) as mean_value
    from marts.la_quarter_outcomes group by all
"""
# Authorities differ in size and level, quarters move together; the shape of real series without any child behind them.
LA_QUARTERS = """
    create table marts.la_quarter_outcomes as
    with quarters as (
        select programme, cast(quarter_start as date) as quarter_start
        from protocol.programmes,
            unnest(generate_series(cast(trial_start as date), cast(trial_end as date), interval 3 month)) as t(quarter_start)
    ),
    sizes as (select la_code, 60 + hash(la_code, $seed) % 600 as size, (hash($seed, la_code) % 1000) / 5e4 as level
              from reference.local_authorities)
    select outcomes.programme, outcomes.outcome, sizes.la_code, quarters.quarter_start,
        cast(size as bigint) as n_children,
        0.1 + level + (hash(outcome, quarter_start, la_code, $seed) % 10000) / 1e4 * 0.6 / sqrt(size) as mean_value,
        0.3 / sqrt(size) as standard_error
    from protocol.outcomes as outcomes
    inner join quarters using (programme)
    cross join sizes
    where outcomes.status <> 'not_evaluated'
"""


@dataclass(frozen=True)
class Taken:
    """What something took; on a machine with other work to do the processor time says more."""

    seconds: float
    processor_seconds: float
    """Over all threads."""


def main() -> int:
    """Measure, print, and return the exit status."""
    arguments = _arguments()
    backend = ibis.duckdb.connect()
    backend.raw_sql(f"set threads = {arguments.threads}; set enable_progress_bar = false")
    _make(backend, arguments.seed)
    names = [row[0] for row in backend.con.execute("select programme from protocol.programmes").fetchall()]
    protocols = [read_protocol(backend, name) for name in names]
    floor, _ = _measure(lambda: backend.con.execute(ONE_PASS).fetchall(), arguments.repeats)
    taken, matching = _measure(lambda: match_authorities(backend, protocols), arguments.repeats)
    _print(backend, protocols, matching, floor, taken, arguments.threads)
    _explain(backend, protocols, arguments.plan)
    if taken.seconds > SECONDS_MAX:
        print(f"matching took {taken.seconds:.1f} s; at most {SECONDS_MAX:.0f} s are asked.", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeats", type=int, default=3, help="times each is run; the median counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plan", type=Path, help="file for the plan of the slowest query")
    return parser.parse_args()


def _make(backend: Backend, seed: int) -> None:
    for folder in ("protocol", "reference"):
        backend.con.execute(f"create schema {folder}")
        for file in sorted((project_dir() / "seeds" / folder).glob("*.csv")):
            backend.con.execute(
                f"create table {folder}.{file.stem} as select * from read_csv('{file}', header = true, all_varchar = true)"
            )
    backend.con.execute("create schema marts")
    backend.con.execute(LA_QUARTERS, {"seed": seed})


def _measure(run: Callable[[], T], repeats: int) -> tuple[Taken, T]:
    """Median seconds, and what the last run returned."""
    seconds, processor = [], []
    for _ in range(repeats):
        start, start_processor = time.perf_counter(), time.process_time()
        found = run()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    return Taken(statistics.median(seconds), statistics.median(processor)), found


def _timed_queries(backend: Backend, protocols: list[Protocol]) -> dict[str, tuple[float, Table]]:
    """Seconds and expression of every query of one more run, by the temporary table it makes or its number."""
    queries: dict[str, tuple[float, Table]] = {}
    create_table, execute = backend.create_table, backend.execute

    def recorded(name: str, query: object, run: Callable[[], T]) -> T:
        start = time.perf_counter()
        made = run()
        if isinstance(query, Table):
            queries[name] = (time.perf_counter() - start, query)
        return made

    backend.create_table = lambda name, query, **keys: recorded(  # type: ignore[method-assign]
        name, query, lambda: create_table(name, query, **keys)
    )
    backend.execute = lambda query, *args, **keys: recorded(  # type: ignore[method-assign]
        f"read {len(queries)}", query, lambda: execute(query, *args, **keys)
    )
    try:
        match_authorities(backend, protocols)
    finally:
        backend.create_table, backend.execute = create_table, execute  # type: ignore[method-assign]
    return queries


def _explain(backend: Backend, protocols: list[Protocol], plan_file: Path | None) -> None:
    """Print the slowest queries and write the plan of the slowest."""
    queries = _timed_queries(backend, protocols)
    slowest = sorted(queries, key=lambda name: -queries[name][0])
    for name in slowest[:N_SLOWEST]:
        print(f"  {queries[name][0]:.2f} s {name}")
    if plan_file is not None:
        # Its inputs are temporary tables, which still hold what they held.
        sql = str(ibis.to_sql(queries[slowest[0]][1], dialect="duckdb"))
        plan = backend.con.execute(f"explain analyze {sql}").fetchall()
        plan_file.write_text("\n".join([f"-- {slowest[0]}", sql, *(row[1] for row in plan)]) + "\n")
        print(f"plan of the slowest query: {plan_file}")


def _print(
    backend: Backend,
    protocols: list[Protocol],
    matching: dict[str, AuthorityMatching],
    floor: Taken,
    taken: Taken,
    threads: int,
) -> None:
    (n_rows,) = backend.con.execute("select count(*) from marts.la_quarter_outcomes").fetchone() or (0,)
    (n_pairs,) = backend.con.execute(
        "select sum(n * (n - 1)) from (select count(*) as n from csc_match_candidates where is_candidate group by window_no)"
    ).fetchone() or (0,)
    print(f"{code_version()}, {threads} threads, {n_rows:,} rows of marts.la_quarter_outcomes")
    for protocol in protocols:
        found = matching[protocol.programme.programme]
        print(
            f"  {protocol.programme.programme}: {len(found.windows)} windows, {len(found.candidates):,} candidate rows, "
            f"{len(found.series):,} series rows, {len(found.evidence):,} evidence rows, {len(found.placebos):,} placebo rows"
        )
    print(f"ordered pairs of candidates compared: {int(n_pairs):,}")
    print(
        f"one pass {floor.seconds:.3f} s, match {taken.seconds:.2f} s, ratio {taken.seconds / floor.seconds:.0f}; "
        f"processor time of match {taken.processor_seconds:.2f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
