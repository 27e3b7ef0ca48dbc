"""The review page: one file that works from a folder, without network, and keeps what the reviewer decides."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from csc_evaluation.matching.evidence import LEADS
from csc_evaluation.matching.parallel_trends import PARALLEL_TRENDS
from csc_evaluation.matching.windows import PANDEMIC
from csc_evaluation.report.data import Candidate, SeriesPoint
from csc_evaluation.report.formatting import (
    Disclosure,
    EffectUnit,
    english_date,
    number,
    percent,
    quarter,
    sentence,
)
from csc_evaluation.report.writing import replace_file, writable_target
from csc_evaluation.review.context import common_shocks, context_rows
from csc_evaluation.review.data import (
    REVIEW_COLUMNS,
    InstalledReview,
    ReviewData,
    ReviewSet,
    load_review_data,
)
from csc_evaluation.review.wording import (
    band_factor,
    check_cells,
    distance_words,
    dots_of,
    evidence_findings,
    pandemic_words,
    set_remarks,
    window_words,
)

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("work.js", "charts.js", "review.js")
FORMAT = 1


def write_review(programme: str, *, warehouse: Path, output: Path, run_id: str | None = None) -> Path:
    """Write the review page of a programme; returns its absolute path.

    Args:
        programme: key of the programme.
        warehouse: the DuckDB file, with a run of ``csceval match`` or ``csceval estimate``.
        output: where the page goes; replaced whole or not at all.
        run_id: the run whose candidates are reviewed; by default the latest.

    Raises:
        CscError: there is no run with candidates, or the page cannot be written.
        WarehouseError: the warehouse cannot be opened.
        SeedError: a seed cannot be used.
    """
    target = writable_target(output)
    data = load_review_data(programme, warehouse=warehouse, run_id=run_id)
    replace_file(target, render_review(data))
    return target


def render_review(data: ReviewData) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    payload = page_payload(data)
    return (
        environment.get_template("review.html.j2").render(
            title=f"Review of matches: {data.protocol.programme.programme_name}",
            programme_name=data.protocol.programme.programme_name,
            run=data.run,
            made_on=english_date(data.run.started_at),
            style=_asset("review.css"),
            scripts=[_asset(name) for name in SCRIPTS],
            payload=_script_text(payload),
        )
        + "\n"
    )


def _asset(name: str) -> Markup:
    """A style sheet or script of the package, to stand in the page as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - a file of ours, no one's input


def _script_text(payload: dict[str, Any]) -> Markup:
    """JSON that no text in it can end or leave: every ``<``, ``>`` and ``&`` is written as its code."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - nothing in it can be read as markup now


def page_payload(data: ReviewData) -> dict[str, Any]:
    """Everything the page draws, as plain values."""
    names = {
        code: data.authority(code)
        for reviewed in data.sets
        for code in (
            reviewed.site.la_code,
            *(row.candidate_la_code for row in (*reviewed.kept, *reviewed.excluded)),
        )
    }
    reasons = sorted({_why_not(row) for reviewed in data.sets for row in reviewed.excluded})
    place_of = {reason: place for place, reason in enumerate(reasons)}
    return {
        "format": FORMAT,
        "programme": data.run.programme,
        "programme_name": data.protocol.programme.programme_name,
        "run_id": data.run.run_id,
        "storage_key": storage_key(data),
        "confidence": percent(data.protocol.parameters.confidence_level, 0),
        "band_factor": round(band_factor(data.protocol.parameters.confidence_level), 6),
        "significance": f"{data.protocol.parameters.significance_level:g}",
        "columns": list(REVIEW_COLUMNS),
        "authorities": {code: names[code] for code in sorted(names)},
        "reasons": reasons,
        "has_evidence": data.has_evidence,
        "has_placebos": data.has_placebos,
        "outcomes": [
            _outcome(data, outcome.outcome) for outcome in data.protocol.outcomes if _is_shown(data, outcome)
        ],
        "sets": [_set(data, reviewed, place_of) for reviewed in data.sets],
    }


def storage_key(data: ReviewData) -> str:
    """Where the browser keeps the work: the same for the same lists of candidates, another for any other list."""
    digest = hashlib.sha256()
    for reviewed in sorted(data.sets, key=lambda row: (row.outcome.outcome, row.site.la_code)):
        digest.update(
            f"{reviewed.outcome.outcome}\n{reviewed.site.la_code}\n{reviewed.candidates_hash}\n".encode()
        )
    return f"csceval-review:{data.run.programme}:{digest.hexdigest()[:16]}"


def _is_shown(data: ReviewData, outcome: Any) -> bool:
    return any(reviewed.outcome.outcome == outcome.outcome for reviewed in data.sets)


def _outcome(data: ReviewData, name: str) -> dict[str, Any]:
    outcome = data.protocol.outcome(name)
    unit = EffectUnit.of(outcome.kind)
    measures = [row.measure for row in data.protocol.shock_outcomes]
    checks = [row for row in data.checks.rows if row.outcome == name]
    checks.sort(
        key=lambda row: (row.assumption != PARALLEL_TRENDS, row.check_name == LEADS, row.check_name, row.term)
    )
    return {
        "key": name,
        "label": outcome.outcome_label or name,
        "role": outcome.role,
        "unit": unit.name,
        "axis": "percent of children" if unit.level_suffix == "%" else unit.name,
        "suffix": unit.level_suffix,
        "checks": [
            {
                "assumption": row.assumption.replace("_", " "),
                "is_significant": row.p_value is not None
                and row.p_value < data.protocol.parameters.significance_level,
                **check_cells(row, unit, measures),
            }
            for row in checks
        ],
    }


def _set(data: ReviewData, reviewed: ReviewSet, place_of: dict[str, int]) -> dict[str, Any]:
    unit = EffectUnit.of(reviewed.outcome.kind)
    site = reviewed.site
    common: dict[str, Any] = {
        "outcome": reviewed.outcome.outcome,
        "treated": site.la_code,
        "go_live": site.go_live_date.isoformat(),
        "go_live_words": english_date(site.go_live_date),
        "is_assumed": site.is_assumed,
        "cut_off": reviewed.cut_off.isoformat(),
        "starts_on": reviewed.starts_on.isoformat(),
        "embedding": None
        if site.embedding_start is None
        else [site.embedding_start.isoformat(), (site.embedding_end or site.go_live_date).isoformat()],
        "excluded": [
            [row.candidate_la_code, place_of[_why_not(row)]]
            for row in sorted(reviewed.excluded, key=lambda row: data.authority(row.candidate_la_code))
        ],
        "hash": reviewed.candidates_hash or "",
        "candidates": [],
    }
    if not reviewed.kept:
        return common | {"why_none": _why_none(reviewed)}
    first = reviewed.kept[0]
    treated_series = reviewed.series.get(site.la_code, ())
    return common | {
        "first_quarter": first.first_quarter.isoformat() if first.first_quarter else None,
        "last_quarter": first.last_quarter.isoformat() if first.last_quarter else None,
        "window_words": window_words(reviewed),
        "remarks": set_remarks(reviewed, data.protocol.parameters),
        "pandemic": pandemic_words(first),
        "pandemic_spans": [
            [row.starts_on.isoformat(), row.ends_on.isoformat() if row.ends_on else None]
            for row in data.protocol.shocks
            if row.la_code is None and row.kind == PANDEMIC
        ],
        "common_shocks": common_shocks(data, reviewed),
        "dots": dots_of(reviewed.placebos, unit),
        "series": {
            site.la_code: _series(treated_series, unit, data.small_count),
            **{
                row.candidate_la_code: _series(
                    reviewed.series.get(row.candidate_la_code, ()), unit, data.small_count
                )
                for row in reviewed.kept
            },
        },
        "candidates": [_candidate(data, reviewed, row, unit) for row in reviewed.kept],
        "installed": [
            _installed(row) for row in reviewed.installed if row.candidates_hash == reviewed.candidates_hash
        ],
        "earlier": [
            f"{data.authority(row.comparator_la_code)} was {row.decision} on an earlier list by {row.reviewer}"
            + (f" on {english_date(row.reviewed_on)}" if row.reviewed_on else "")
            + (f" ({row.reason})" if row.reason else "")
            for row in reviewed.installed
            if row.candidates_hash != reviewed.candidates_hash
        ],
    }


def _candidate(
    data: ReviewData, reviewed: ReviewSet, candidate: Candidate, unit: EffectUnit
) -> dict[str, Any]:
    code = candidate.candidate_la_code
    findings = evidence_findings(reviewed.evidence_of(code), candidate, unit, data.protocol.parameters)
    return {
        "code": code,
        "rank": candidate.distance_rank,
        "region": data.regions.get(code, ""),
        "distance": number(candidate.distance, 2),
        "noise": number(candidate.expected_noise, 2),
        "is_below_noise": candidate.distance is not None
        and candidate.expected_noise is not None
        and candidate.distance <= candidate.expected_noise,
        "distance_words": distance_words(candidate),
        "ranks": [
            ["changes", number(candidate.distance, 2), candidate.distance_rank],
            ["levels", number(candidate.distance_levels, 2), candidate.rank_levels],
            ["both", number(candidate.distance_both, 2), candidate.rank_both],
        ],
        "evidence": [
            {
                **dataclasses.asdict(finding),
                "value": None if finding.value is None else round(finding.value, 4),
            }
            for finding in findings
        ],
        "context": [
            [row.label, row.treated, row.comparator, row.comparison]
            for row in context_rows(data, reviewed, code)
        ],
    }


def _series(points: Sequence[SeriesPoint], unit: EffectUnit, small_count: int) -> list[list[Any]]:
    """Rows of quarter, name of it, mean, standard error, z, change of z, in the window, in the distance, children."""
    counts = Disclosure(small_count).counts([point.n_children for point in points])
    return [
        [
            point.quarter_start.isoformat(),
            quarter(point.quarter_start),
            _rounded(point.mean_value, unit.multiplier),
            _rounded(point.standard_error, unit.multiplier),
            _rounded(point.z_value),
            _rounded(point.z_change) if point.is_in_distance else None,
            int(point.is_in_window),
            int(point.is_in_distance),
            count,
        ]
        for point, count in zip(points, counts, strict=True)
    ]


def _rounded(value: float | None, multiplier: float = 1.0) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value * multiplier, 4)


def _installed(row: InstalledReview) -> dict[str, Any]:
    return {
        "comparator": row.comparator_la_code,
        "trend": row.trend,
        "placebo": row.placebo,
        "shocks": row.shocks,
        "decision": row.decision,
        "reason": row.reason or "",
        "reviewer": row.reviewer,
        "reviewed_on": (row.reviewed_on or dt.date.min).isoformat() if row.reviewed_on else "",
    }


def _why_not(row: Candidate) -> str:
    if row.reason:
        return sentence(row.reason)
    return "A candidate, but ranked below those kept."


def _why_none(reviewed: ReviewSet) -> str:
    """The commonest reason among those that are not about a fixed exclusion: why nobody is left."""
    reasons = [
        _why_not(row)
        for row in reviewed.excluded
        if row.reason and not row.reason.startswith(("excluded", "is an authority", "is the treated"))
    ]
    if not reasons:
        return "No authority is left as a candidate."
    return max(sorted(set(reasons)), key=reasons.count)
