"""A warehouse filled by the contract of ``results``, ``marts`` and ``protocol``: numbers made up, no run needed."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import pytest

from csc_evaluation import schema

REPOSITORY = Path(__file__).resolve().parents[4]
PROGRAMME = "family_safeguarding"
OUTCOME = "looked_after_18m"
RUN_ID = "family_safeguarding-20260102T030405-abcdef"
PAIRS = (
    ("335", "336", dt.date(2020, 9, 1)),
    ("888", "889", dt.date(2021, 2, 1)),
    ("894", "893", dt.date(2021, 6, 1)),
    ("212", "208", dt.date(2021, 11, 1)),
    ("866", "865", dt.date(2022, 4, 1)),
)
"""Treated authority, comparator, go-live."""

LANDED_STEPS = (
    (1, "referred", "children with a referral in a landed return", False, 5000),
    (2, "referred in the trial period", "no referral in the trial period", True, 700),
    (3, "referred in the trial period", "kept", False, 4300),
    (4, "at an eligible age", "no referral at an eligible age", True, 1000),
    (5, "at an eligible age", "kept: the cohort", False, 3300),
    (6, "fully observed", "the window runs past the end of the data", True, 120),
    (7, "fully observed", "kept: the sample", False, 3180),
)
"""Children of one authority at each step of ``marts.sample_flow_counts``."""
MATCHING_STEPS = (
    (8, "left out", "authority in no matched group", 0),
    (9, "in matched groups", "", 15900),
    (10, "left out", "no child of the other arm in its stratum", 905),
    (11, "matched", "", 14995),
)
"""Children of an arm of five authorities at each further step of ``results.sample_flow``."""

MARTS = {
    "la_quarter_outcomes": (
        "programme varchar, outcome varchar, la_code varchar, quarter_start date, n_children bigint, "
        "sum_value bigint, mean_value double, standard_error double, n_index_events bigint, "
        "share_fully_observed double"
    ),
    "sample_flow_counts": (
        "programme varchar, outcome varchar, la_code varchar, step_no integer, step varchar, reason varchar, "
        "is_exclusion boolean, n_children bigint"
    ),
    "data_quality": (
        "la_code varchar, return_year integer, check_name varchar, n_records bigint, n_failed bigint"
    ),
    "index_events": (
        "programme varchar, index_event varchar, child_id varchar, sequence integer, la_code varchar, "
        "index_date date, financial_year integer, is_treated_authority boolean, is_treated boolean, "
        "exposure_months double, has_pupil_link boolean, is_pupil_in_two_authorities boolean"
    ),
}
Rows = Sequence[tuple[object, ...]]


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Rows) -> None:
    places = ", ".join("?" for _ in rows[0])
    connection.executemany(f"insert into {table} values ({places})", [list(row) for row in rows])


def quarters(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    day = first
    while day <= last:
        yield day
        day = dt.date(day.year + (day.month == 10), day.month % 12 + 3 if day.month != 10 else 1, 1)


def fill(path: Path) -> None:
    """A complete run of the programme and all it rests on."""
    with duckdb.connect(str(path)) as connection:
        schema.create_all(connection)
        _fill_seeds(connection)
        for table, columns in MARTS.items():
            connection.execute("create schema if not exists marts")
            connection.execute(f"create table marts.{table} ({columns})")
        _fill_run(connection, RUN_ID, dt.datetime(2026, 1, 2, 3, 4, 5))
        _fill_marts(connection)


def _fill_seeds(connection: duckdb.DuckDBPyConnection) -> None:
    for layer in ("protocol", "reference"):
        connection.execute(f"create schema if not exists {layer}")
        for file in sorted((REPOSITORY / "seeds" / layer).glob("*.csv")):
            header = file.read_text(encoding="utf-8").splitlines()[0].split(",")
            # As dbt declares them: codes are text whatever they look like.
            types = ", ".join(
                f"'{column}': '{kind}'"
                for column, kind in (("la_code", "varchar"), ("code", "varchar"), ("started_on", "date"))
                if column in header
            )
            connection.execute(
                f"create table {layer}.{file.stem} as select * from read_csv('{file}', header = true, "
                f"sample_size = -1{f', types = {{{types}}}' if types else ''})"
            )


def _fill_run(connection: duckdb.DuckDBPyConnection, run_id: str, started_at: dt.datetime) -> None:
    key = (run_id, PROGRAMME)
    insert(
        connection,
        "results.runs",
        [
            (
                *key, "estimate", "complete", started_at, started_at + dt.timedelta(seconds=42),
                "0.1.0 (0123456789ab)", "a" * 64, "b" * 64, json.dumps({"duckdb": "1.5.6", "numpy": "2.4.0"}),
                1, True, "csceval run family_safeguarding", None,
            )
        ],
    )  # fmt: skip
    others = [
        str(row[0])
        for row in connection.execute(
            "select la_code from reference.local_authorities where valid_to is null order by la_code"
        ).fetchall()
    ]
    matches, candidates, series, shares = [], [], [], []
    for treated, comparator, go_live in PAIRS:
        matches.append(
            (*key, OUTCOME, treated, treated, comparator, go_live, 0.412, 1, "nearest, unreviewed", True)
        )
        is_short = treated == "335"
        rank = 0
        for code in [comparator, *(code for code in others if code != comparator)]:
            usable = int(code) % 9 != 0 and code not in [pair[0] for pair in PAIRS]
            reason = None if usable else "fewer than 20 children in 1 of 8 quarters"
            reason = "is an authority of the programme" if code in [pair[0] for pair in PAIRS] else reason
            rank += usable
            candidates.append(
                (
                    *key, OUTCOME, treated, code, usable, reason, 0.4 + rank / 50 if usable else None,
                    rank if usable else None, usable and rank <= 10, 7 if is_short else 8,
                    dt.date(2017, 4, 1), dt.date(2018, 10, 1), is_short, "0" * 16,
                    0.39, 0.5, 2, 0.45, 3, dt.date(2019, 1, 1), 0, 6,
                )
            )  # fmt: skip
        window = list(quarters(dt.date(2017, 4, 1), dt.date(2018, 10, 1)))
        for code in (treated, comparator):
            for day in window:
                series.append(
                    (
                        *key, OUTCOME, treated, code, day, 150, mean_of(code, day), 0.1, 0.2, day > window[0],
                        0.02, True,
                    )
                )  # fmt: skip
        for arm, code in (("treated", treated), ("comparator", comparator)):
            for year in range(2018, 2024):
                shares.append((*key, OUTCOME, 0, arm, code, year, 600 + year % 7, 570 + year % 5))
    insert(connection, "results.la_matches", matches)
    insert(connection, "results.la_match_candidates", candidates)
    insert(connection, "results.la_match_series", series)
    insert(connection, "results.matched_shares", shares)
    _fill_evidence(connection, key)
    insert(connection, "results.cem_strata", [(*key, OUTCOME, 0, "335", "gender=1", 5, 6, True)])
    insert(connection, "results.estimates", estimate_rows(run_id))
    insert(
        connection,
        "results.diagnostics",
        [
            (
                *key, OUTCOME, "cem_weighted_ls", "minimum_detectable_effect", 0.0242, 4.2, None, None, None,
                "A true effect of 2.42 percentage points would have been found with a probability of 80%.",
            ),
            (
                *key, OUTCOME, "cem_weighted_ls", "treated_loss_share", 0.031, None, 0.1, None, False,
                "3.1% of treated children have no comparator alike; financial year stays in the strata",
            ),
            (
                *key, OUTCOME, "cem_weighted_ls", "breusch_godfrey", 11.2, 4.0, 0.024, 0.05, True,
                "residuals of authorities are correlated over quarters",
            ),
        ],
    )  # fmt: skip
    insert(
        connection,
        "results.sample_flow",
        [
            (*key, OUTCOME, number, arm, step, reason, count)
            for arm in ("treated", "comparator")
            for number, step, reason, count in (
                *((number, step, reason, 5 * count) for number, step, reason, _, count in LANDED_STEPS),
                *MATCHING_STEPS,
            )
        ],
    )
    numeric = [("age_at_index", "mean"), ("n_previous_plans", "mean"), ("la_share_fsm", "mean")]
    levels = [("gender", "1"), ("gender", "2"), ("is_disabled", "true"), ("is_disabled", "false")]
    levels += [("ethnicity", code) for code in ("WBRI", "WOTH", "BCRB", "APKN", "missing")]
    differences = [
        (
            *key, OUTCOME, 0, covariate, level, "standardised_mean_difference", 0.3, 0.3 - 0.02 * place,
            0.05 * place - 0.2, 0.3, 0.3, 0.004 * place - 0.02,
        )
        for place, (covariate, level) in enumerate(numeric + levels)
    ]  # fmt: skip
    overall = [
        (*key, OUTCOME, 0, cells, "all", measure, None, None, before, None, None, after)
        for cells, measure, before, after in (
            ("matching cells", "l1_imbalance", 0.31, 0.0),
            ("fine cells", "l1_imbalance", 0.72, 0.66),
            ("matching cells", "share_of_cells_with_both_arms", 0.61, 1.0),
        )
    ]
    insert(connection, "results.balance", differences + overall)
    insert(
        connection,
        "results.cem_weights",
        [
            (*key, OUTCOME, 0, f"child{n}", 1, "335", dt.date(2019, 1, 1), True, n < 200, 1, 1.0, 1.0)
            for n in range(500)
        ],
    )


def _fill_evidence(connection: duckdb.DuckDBPyConnection, key: tuple[str, str]) -> None:
    """Evidence on pairs, checks over all groups, and who fell away."""
    none = (None,) * 5
    evidence: list[tuple[object, ...]] = []
    for treated, comparator, _ in PAIRS:
        pair = (*key, OUTCOME, treated, comparator)
        evidence.append(
            (*pair, "distance", "computed", None, 0, 0, 0.412, *none[:4], 124, 0.25, "Nearer than most.")
        )
        if treated == "335":
            evidence.append(
                (
                    *pair,
                    "placebo_4",
                    "not computable",
                    dt.date(2018, 1, 1),
                    3,
                    4,
                    *none,
                    0,
                    None,
                    "3 quarters before it.",
                )
            )
        else:
            evidence.append(
                (
                    *pair, "placebo_4", "computed", dt.date(2018, 7, 1), 5, 4, 0.012, 0.009, 1.33, None, 0.182, 124,
                    50 / 124, "Sampling error of children alone.",
                )
            )  # fmt: skip
    insert(connection, "results.la_pair_evidence", evidence)
    check = (*key, OUTCOME)
    insert(
        connection,
        "results.assumption_checks",
        [
            (
                *check, "parallel_trends", "leads", "joint", "computed", None, None, 1.44, 2.0, 4.1, 0.337, None, None,
                2, 9000, 8, 4, "cr2_htz", "Nothing seen.",
            ),
            (
                *check, "common_shocks", "school_closures", "shock_x_treated", "not computable", *none, None, None, None,
                None, None, None, None, None, "All index events fall outside it.",
            ),
        ],
    )  # fmt: skip
    insert(
        connection,
        "results.cem_dropped",
        [
            (*check, 0, "treated", "is_disabled", "true", 400, 60),
            (*check, 0, "comparator", "is_disabled", "true", 800, 40),
            (*check, 0, "treated", "is_uasc", "true", 60, 4),
            (*check, 0, "treated", "gender", "1", 5000, 0),
        ],
    )


def mean_of(code: str, day: dt.date) -> float:
    months = (day.year - 2017) * 12 + day.month
    return 0.06 + 0.01 * math.sin(months / 5 + int(code)) + 0.005 * (int(code) % 3)


def estimate_rows(run_id: str = RUN_ID, *, low: float = -0.0371, high: float = -0.0043) -> Rows:
    common = (18.0, 51330, 51330, 10, 5, 0.0623)

    def row(
        specification: str, estimator: str, term: str, inference: str, value: float, p: float, headline: bool
    ) -> tuple[object, ...]:
        _, n_rows, n_children, n_clusters, n_treated, baseline = common
        return (
            run_id, PROGRAMME, OUTCOME, specification, estimator, term, value, 0.0064, -3.2, 4.21, p, None, low, high,
            n_rows, n_children, n_clusters, n_treated, baseline, inference, headline, inference != "cr3_t", None,
        )  # fmt: skip

    effect, main, least = -0.0207, "cem_weighted_ls", "weighted_least_squares"
    return [
        row(main, least, "treated", "cr2_satterthwaite", effect, 0.0238, True),
        row(main, least, "treated", "cr1_t", effect, 0.0004, False),
        row(main, least, "treated", "cr3_t", effect, 0.0512, False),
        row("match_nearest_2", least, "treated", "cr2_satterthwaite", -0.0177, 0.04, False),
        row("match_leave_one_out_without_336", least, "treated", "cr2_satterthwaite", -0.0311, 0.04, False),
        row("unweighted", least, "treated", "cr2_satterthwaite", -0.0183, 0.0301, False),
        row(main, least, "age_at_index", "cr2_satterthwaite", -0.0012, 0.2, False),
        row(main, least, "gender=2", "cr2_satterthwaite", 0.0003, 0.8, False),
    ]


def _fill_marts(connection: duckdb.DuckDBPyConnection) -> None:
    insert(
        connection,
        "marts.la_quarter_outcomes",
        [
            (PROGRAMME, OUTCOME, code, day, 150, 9, mean_of(code, day), 0.02, 160, 0.94)
            for treated, comparator, _ in PAIRS
            for code in (treated, comparator)
            for day in quarters(dt.date(2017, 4, 1), dt.date(2022, 7, 1))
        ],
    )
    codes = [code for pair in PAIRS for code in pair[:2]] + ["301", "302"]
    insert(
        connection,
        "marts.sample_flow_counts",
        [
            (PROGRAMME, OUTCOME, code, number, step, reason, is_exclusion, count)
            for code in codes
            for number, step, reason, is_exclusion, count in LANDED_STEPS
        ],
    )
    insert(
        connection,
        "marts.data_quality",
        [
            (code, year, check, 5000, failed if code == "335" else 0)
            for code in codes
            for year in (2018, 2019)
            for check, failed in (("referral_without_birth_month", 40), ("closure_before_referral", 3))
        ],
    )
    insert(
        connection,
        "marts.index_events",
        [
            (
                PROGRAMME, "first_referral", f"child{n}", 1, "335", dt.date(2019, 1, 1), 2019, True, n < 200,
                18.0 if n < 200 else 6.0 if n < 350 else 0.0, n >= 50, n < 12,
            )
            for n in range(500)
        ],
    )  # fmt: skip


@pytest.fixture(scope="session")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "filled.duckdb"
    fill(path)
    return path


@pytest.fixture
def filled_warehouse(_filled: Path, tmp_path: Path) -> Path:
    """A warehouse of one complete run, to read and to change."""
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(_filled.read_bytes())
    return path


@pytest.fixture
def change(filled_warehouse: Path) -> Callable[..., None]:
    """Run SQL on the filled warehouse."""

    def run(*statements: str, parameters: Sequence[object] | None = None) -> None:
        with duckdb.connect(str(filled_warehouse)) as connection:
            for statement in statements:
                connection.execute(statement, parameters)

    return run
