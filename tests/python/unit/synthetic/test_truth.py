"""The truth against the definitions, worked out anew from what lands, child by child."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from csc_evaluation.errors import CscError
from csc_evaluation.pseudonyms import Pseudonymiser, load_key
from csc_evaluation.synthetic import SynthesisConfig, synthesise, truth_for_run
from csc_evaluation.warehouse import writable
from synthetic.conftest import MadeEngland

TRIAL_START, TRIAL_END = date(2017, 4, 1), date(2022, 9, 30)
GO_LIVE = {"335": date(2020, 9, 1), "888": date(2021, 2, 1)}


@dataclass
class Child:
    births: Counter[date] = field(default_factory=Counter)
    referrals: set[date] = field(default_factory=set)
    episodes: dict[date, tuple[int, date | None, str, str, str]] = field(default_factory=dict)


def months_later(start: date, months: int) -> date:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, min(start.day, monthrange(year, month + 1)[1]))


def read_children(warehouse: Path) -> dict[tuple[str, str], Child]:
    children: dict[tuple[str, str], Child] = defaultdict(Child)
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        for code, child, birth in connection.execute(
            "select la_code, child_id, birth_month from raw.cin_children where birth_month is not null "
            "union all select la_code, child_id, birth_month from raw.ssda903_header where birth_month is not null"
        ).fetchall():
            children[code, child].births[birth] += 1
        for code, child, referred in connection.execute(
            "select distinct la_code, child_id, referral_date from raw.cin_referrals"
        ).fetchall():
            children[code, child].referrals.add(referred)
        for code, child, year, start, end, new, status, ceased in connection.execute(
            "select la_code, child_id, return_year, episode_start, episode_end, reason_new_episode, legal_status, "
            "reason_episode_ceased from raw.ssda903_episodes order by return_year"
        ).fetchall():
            children[code, child].episodes[start, status in {"V3", "V4"}] = (year, end, new, status, ceased)  # type: ignore[index]
    return children


def care_starts(child: Child) -> list[date]:
    """First days of periods of care (definitions, section 3)."""
    starts = []
    until: date | None = None
    ended = True
    for (start, is_short_break), (_, end, new, _, ceased) in sorted(child.episodes.items()):  # type: ignore[misc]
        if is_short_break:
            continue
        if until is None or new == "S" or ended or (start - until).days > 1:
            starts.append(start)
        until = end or date(2024, 4, 1)
        ended = end is not None and ceased != "X1"
    return starts


def work_out(warehouse: Path) -> dict[tuple[str, str], tuple[date, int, bool]]:
    """Index date, outcome and whether the window lies within the data, by authority and child."""
    found = {}
    for key, child in read_children(warehouse).items():
        if not child.referrals:
            continue
        most = max(child.births.values(), default=0)
        birth = min(month for month, n in child.births.items() if n == most)
        eligible = [
            day
            for day in sorted(child.referrals)
            if TRIAL_START <= day <= TRIAL_END
            and max(0, (day.year - birth.year) * 12 + day.month - birth.month) // 12 <= 12
        ]
        if not eligible:
            continue
        index = eligible[0]
        last = date(2021, 3, 31) if key[0] == "928" else date(2024, 3, 31)
        end = months_later(index, 18)
        looked_after = any(index <= start <= end for start in care_starts(child))
        found[key] = (index, int(looked_after), end <= last)
    return found


@pytest.mark.parametrize("made", ["clean", "messy"])
def test_equals_what_the_definitions_give_on_the_landed_returns(
    made: str, request: pytest.FixtureRequest
) -> None:
    england: MadeEngland = request.getfixturevalue(made)
    hasher = Pseudonymiser(load_key(england.landed)[0])
    truth = {
        (row["la_code"], hasher.child(row["la_code"], row["la_child_id"])): row
        for row in pq.read_table(england.summary.truth_path).to_pylist()
    }
    worked_out = work_out(england.landed)
    assert truth.keys() == worked_out.keys()
    assert len(truth) > 1000
    wrong = [
        (row, worked_out[key])
        for key, row in truth.items()
        if row["index_date"] != worked_out[key][0]
        or (worked_out[key][2] and row["y_observed"] != worked_out[key][1])
    ]
    assert wrong == []
    assert sum(row["y_observed"] for row in truth.values()) > 40


def test_holds_cases_that_make_the_outcome_hard(clean: MadeEngland) -> None:
    children = read_children(clean.landed)
    worked_out = work_out(clean.landed)
    in_care = later = short_breaks = one_day_gaps = 0
    for key, (index, value, _) in worked_out.items():
        child = children[key]
        starts = care_starts(child)
        ordered = sorted((start, end) for (start, short), (_, end, *_) in child.episodes.items() if not short)  # type: ignore[misc]
        in_care += any(start < index and (end is None or end > index) for start, end in ordered)
        later += value == 0 and any(start > index for start in starts)
    for child in children.values():
        ordered = sorted(
            (start, end, rec) for (start, short), (_, end, _, _, rec) in child.episodes.items() if not short
        )  # type: ignore[misc]
        short_breaks += any(short for _, short in child.episodes)  # type: ignore[misc]
        one_day_gaps += any(
            end is not None and rec == "X1" and following[0] - end == timedelta(days=1)
            for (_, end, rec), following in pairwise(ordered)
        )
    assert in_care > 0
    assert later > 10
    assert short_breaks > 0
    assert one_day_gaps > 0


def test_treated_children_show_their_treated_outcome_and_others_the_untreated(clean: MadeEngland) -> None:
    rows = pq.read_table(clean.summary.truth_path).to_pylist()
    for row in rows:
        live = GO_LIVE.get(row["la_code"])
        assert row["is_treated"] == (live is not None and row["index_date"] >= live)
        assert row["y_observed"] == (row["y1"] if row["is_treated"] else row["y0"])
        assert row["y1"] <= row["y0"]
    assert sum(row["is_treated"] for row in rows) > 50
    assert sum(row["y0"] - row["y1"] for row in rows) > 0


def truth_of(tmp_path: Path, name: str, **values: object) -> list[dict[str, object]]:
    config = SynthesisConfig(
        scale=0.15,
        seed=5,
        authorities=("335", "888"),
        messiness=0.0,
        first_year=2018,
        last_year=2024,
        **values,
    )
    return pq.read_table(synthesise(config, tmp_path / name).truth_path).to_pylist()


def test_the_effect_is_a_risk_difference(tmp_path: Path) -> None:
    rows = truth_of(tmp_path, "a", effect=0.05)
    difference = sum(int(row["y1"]) - int(row["y0"]) for row in rows) / len(rows)
    # The mean of independent differences has a standard error under 0.4 points at this size.
    assert len(rows) > 4000
    assert difference == pytest.approx(0.05, abs=0.012)


def test_no_effect_gives_equal_potential_outcomes(tmp_path: Path) -> None:
    rows = truth_of(tmp_path, "a", effect=0.0)
    assert all(row["y0"] == row["y1"] == row["y_observed"] for row in rows)


def test_partial_exposure_reaches_children_referred_in_the_window_before_go_live(tmp_path: Path) -> None:
    full = truth_of(tmp_path, "full", effect=-0.06, partial_exposure=1.0)
    none = truth_of(tmp_path, "none", effect=-0.06)
    changed = [row for row, other in zip(full, none, strict=True) if row["y_observed"] != other["y_observed"]]
    assert changed
    for row in changed:
        live = GO_LIVE[str(row["la_code"])]
        assert isinstance(row["index_date"], date)
        assert row["index_date"] < live <= months_later(row["index_date"], 18)
        assert (row["y0"], row["y1"], row["y_observed"]) == (1, 0, 0)


def test_potential_outcomes_do_not_depend_on_partial_exposure(tmp_path: Path) -> None:
    full = truth_of(tmp_path, "full", partial_exposure=1.0)
    none = truth_of(tmp_path, "none")
    keys = ("la_code", "la_child_id", "index_date", "y0", "y1")
    assert [[row[key] for key in keys] for row in full] == [[row[key] for key in keys] for row in none]


def test_truth_lies_outside_of_what_is_landed(clean: MadeEngland) -> None:
    assert clean.summary.truth_path == clean.out.with_name("returns_truth") / "truth.parquet"
    assert not any(path.suffix == ".parquet" for path in clean.out.rglob("*"))


def _weights(warehouse: Path, rows: list[tuple[str, bool]]) -> None:
    with writable(warehouse) as connection:
        for child_id, is_treated in rows:
            connection.execute(
                "insert into results.cem_weights by name select 'run' as run_id, 'family_safeguarding' as programme, "
                "'looked_after_18m' as outcome, 1 as imputation, ? as child_id, 1 as sequence, '335' as la_code, "
                "date '2021-01-01' as index_date, true as is_treated_authority, ? as is_treated, 1 as n_groups, "
                "1.0 as weight, 1.0 as normalised_weight",
                [child_id, is_treated],
            )


def test_truth_for_a_run_is_the_mean_difference_of_its_matched_treated_children(
    clean: MadeEngland, tmp_path: Path
) -> None:
    hasher = Pseudonymiser(b"0" * 32)
    rows = pq.read_table(clean.summary.truth_path).to_pylist()
    saved = [row for row in rows if row["y0"] > row["y1"]][:2]
    same = [row for row in rows if row["y0"] == row["y1"]][:6]
    warehouse = tmp_path / "w.duckdb"
    matched = [(hasher.child(row["la_code"], row["la_child_id"]), True) for row in saved + same]
    untreated = [(hasher.child(row["la_code"], row["la_child_id"]), False) for row in rows[-5:]]
    _weights(warehouse, matched + untreated)
    assert len(saved) == 2
    assert truth_for_run(clean.summary.truth_path, warehouse, "run", hasher) == -2 / 8


def test_truth_for_a_run_refuses_another_england_or_another_key(clean: MadeEngland, tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    _weights(warehouse, [("unknown", True)])
    hasher = Pseudonymiser(b"0" * 32)
    with pytest.raises(CscError, match="1 of 1 matched treated children are not in this truth"):
        truth_for_run(clean.summary.truth_path, warehouse, "run", hasher)
    with pytest.raises(CscError, match="no matched treated children"):
        truth_for_run(clean.summary.truth_path, warehouse, "other run", hasher)
    with pytest.raises(CscError, match="no truth there"):
        truth_for_run(tmp_path / "truth.parquet", warehouse, "run", hasher)
