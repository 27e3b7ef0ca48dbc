"""The known truth: potential outcomes of every child at its index event, kept apart from what may be landed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from csc_evaluation.errors import CscError
from csc_evaluation.pseudonyms import Pseudonymiser
from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.calendar import NEVER, Days
from csc_evaluation.synthetic.care import CareDetails
from csc_evaluation.synthetic.census import Identities
from csc_evaluation.synthetic.config import SynthesisConfig
from csc_evaluation.synthetic.lives import Lives, Trial, first_index_referrals
from csc_evaluation.warehouse import readable

TRUTH_FILE = "truth.parquet"
SCHEMA = pa.schema(
    [
        ("la_code", pa.string()),
        ("la_child_id", pa.string()),
        ("index_date", pa.date32()),
        ("y0", pa.int8()),
        ("y1", pa.int8()),
        ("y_observed", pa.int8()),
        ("is_treated", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class TruthCheck:
    """How potential outcomes by design compare with what the returns show.

    Attributes:
        n_children: children with an index event.
        n_redefined: children whose returns begin after their index event or under a new code, so that the design
            does not hold and both potential outcomes are what the returns show.
    """

    n_children: int
    n_redefined: int


def truth_folder(out: Path) -> Path:
    """Where the truth of a synthetic England at ``out`` lies: beside it, never inside."""
    return out.with_name(out.name + "_truth")


def truth_of_group(
    config: SynthesisConfig, lives: Lives, details: CareDetails, trial: Trial
) -> tuple[pa.Table, TruthCheck]:
    """Truth of every child of a group, by authority code, as its returns would show it.

    Outcome and index event are derived again from what the returns hold (definitions, sections 3 to 5). Where
    they equal the design, the potential outcomes are the design's.
    """
    people, group = lives.children, lives.group
    designed = np.full(len(people), -1)
    designed[lives.outcomes.child] = np.arange(len(lives.outcomes))
    parts: list[pa.Table] = []
    n_redefined = 0
    years = range(config.first_year, config.last_year + 1)
    for code in sorted({area.codes[year] for area in group.areas for year in years} & group.written_codes):
        span = [year for year in years if any(area.codes[year] == code for area in group.areas)]
        first, last = calendar.year_start(span[0]), calendar.year_end(span[-1])
        mine = np.array([area.codes[span[0]] == code for area in group.areas])[people.area]
        referrals = lives.referrals.take(mine[lives.referrals.child])
        position = first_index_referrals(people, referrals, trial, first, last)
        child, index = referrals.child[position], referrals.referral_date[position]
        window_end = calendar.add_months(index, trial.window_months)
        seen = _seen_starts(details, child, index, window_end, first, last)
        row = designed[child]
        outcomes = lives.outcomes
        known = row >= 0
        same = known & (outcomes.index_date[row] == index)
        is_observed = window_end <= last
        holds = same & (~is_observed | (outcomes.y_observed[row] == seen))
        n_redefined += int((~holds).sum())
        go_live = trial.go_live.get(code, NEVER)
        parts.append(
            pa.table(
                {
                    "la_code": pa.array([code] * len(child), pa.string()),
                    "la_child_id": pa.array(
                        Identities.child_ids(code, child, is_anonymous=config.format == "extracts"),
                        pa.string(),
                    ),
                    "index_date": pa.array(index.astype("datetime64[D]"), pa.date32()),
                    "y0": pa.array(np.where(holds, outcomes.y0[row], seen).astype(np.int8)),
                    "y1": pa.array(np.where(holds, outcomes.y1[row], seen).astype(np.int8)),
                    "y_observed": pa.array(np.where(holds, outcomes.y_observed[row], seen).astype(np.int8)),
                    "is_treated": pa.array(index >= go_live),
                },
                schema=SCHEMA,
            )
            if len(outcomes)
            else SCHEMA.empty_table()
        )
    table = pa.concat_tables(parts) if parts else SCHEMA.empty_table()
    return table, TruthCheck(table.num_rows, n_redefined)


def _seen_starts(
    details: CareDetails, child: NDArray[np.int64], index: Days, window_end: Days, first: int, last: int
) -> NDArray[np.int64]:
    """1 where a period of care is seen to start in the window: by the first episode that a return holds."""
    table = details.episodes
    shown = (table.period >= 0) & (table.end >= first) & (table.start <= last)
    period, start, owner = table.period[shown], table.start[shown], table.child[shown]
    order = np.lexsort((start, period))
    period, start, owner = period[order], start[order], owner[order]
    is_first = np.concatenate(([True], period[1:] != period[:-1])) if len(period) else np.zeros(0, dtype=bool)
    start, owner = start[is_first], owner[is_first]
    place = np.full(max(int(child.max(initial=0)), int(owner.max(initial=0))) + 1, -1)
    place[child] = np.arange(len(child))
    known = place[owner] >= 0
    target, start = place[owner][known], start[known]
    inside = (start >= index[target]) & (start <= window_end[target])
    seen = np.zeros(len(child), dtype=np.int64)
    seen[target[inside]] = 1
    return seen


def truth_for_run(truth_path: Path, warehouse: Path, run_id: str, pseudonymiser: Pseudonymiser) -> float:
    """The effect that a run should find: mean of y(1) - y(0) over its matched treated children.

    Definitions, section 9. Treated children are those of ``results.cem_weights`` whose authority was live on the
    index date; a child in several imputations counts once in each.

    Args:
        truth_path: ``truth.parquet`` of the synthetic England that was landed.
        warehouse: the warehouse that holds the run.
        pseudonymiser: made from the key with which the returns were landed.

    Raises:
        CscError: the truth is not there, the run has no matched treated children, or some are not in the truth
            (another synthetic England, or another key).
    """
    if not truth_path.is_file():
        raise CscError(f"{truth_path}: no truth there; it lies beside the synthetic returns in {TRUTH_FILE}.")
    table = pq.read_table(truth_path, columns=["la_code", "la_child_id", "y0", "y1"])
    effect_of = {
        pseudonymiser.child(code, child_id): int(y1) - int(y0)
        for code, child_id, y0, y1 in zip(
            table["la_code"].to_pylist(), table["la_child_id"].to_pylist(), table["y0"].to_pylist(),
            table["y1"].to_pylist(), strict=True,
        )
    }  # fmt: skip
    with readable(warehouse) as connection:
        matched = connection.execute(
            "select child_id from results.cem_weights where run_id = ? and is_treated order by child_id, imputation",
            [run_id],
        ).fetchall()
    if not matched:
        raise CscError(
            f"{warehouse}: run {run_id} has no matched treated children; match and estimate first."
        )
    effects = [effect_of.get(child_id) for (child_id,) in matched]
    n_unknown = sum(effect is None for effect in effects)
    if n_unknown:
        raise CscError(
            f"{truth_path}: {n_unknown} of {len(effects)} matched treated children are not in this truth; it belongs "
            "to another synthetic England, or the returns were landed with another key."
        )
    return sum(effect for effect in effects if effect is not None) / len(effects)
