"""Two authorities side by side: what is known of each beside its series, as of the day the programme began."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from csc_evaluation.estimation.protocol import Shock
from csc_evaluation.report.data import OtherProgramme
from csc_evaluation.report.formatting import english_date, financial_year, words
from csc_evaluation.review.data import ReviewData, ReviewSet

NOT_LANDED = "not landed"
NONE_KNOWN = "none known"


@dataclass(frozen=True)
class ContextRow:
    """One thing known of both authorities; ``comparison`` says whether it is the same, in a word or two."""

    label: str
    treated: str
    comparator: str
    comparison: str


def context_rows(data: ReviewData, reviewed: ReviewSet, comparator: str) -> list[ContextRow]:
    """What is known of a treated authority and one comparator.

    A part whose data is not landed says so instead of being silent: absence of a flag must not look like a clean one.
    """
    treated = reviewed.site.la_code
    return [
        _region(data, treated, comparator),
        _neighbour(data, treated, comparator),
        _inspection(data, reviewed, comparator),
        ContextRow("Data quality", _quality(data, treated), _quality(data, comparator), ""),
        ContextRow(
            "Other programmes",
            _programmes(data, reviewed, treated),
            _programmes(data, reviewed, comparator),
            "",
        ),
        ContextRow("Own shocks", _own_shocks(data, treated), _own_shocks(data, comparator), ""),
    ]


def common_shocks(data: ReviewData, reviewed: ReviewSet) -> list[str]:
    """Shocks of all authorities within the data, by date, each with where it lies relative to this set's quarters."""
    programme = data.protocol.programme
    return [
        f"{shock.shock_label}, {_span(shock.starts_on, shock.ends_on)}{_assumed(shock.is_assumed)}: {_place(shock, reviewed)}"
        for shock in data.protocol.shocks
        if shock.la_code is None
        and shock.starts_on <= programme.data_span_end
        and (shock.ends_on is None or shock.ends_on >= programme.data_span_start)
    ]


def _place(shock: Shock, reviewed: ReviewSet) -> str:
    ends = shock.ends_on or dt.date.max
    first = reviewed.kept[0].first_quarter if reviewed.kept else None
    places = []
    if first is not None:
        if shock.starts_on < first:
            places.append("before the window")
        if shock.starts_on <= reviewed.cut_off and ends >= first:
            places.append("in the window")
    if shock.starts_on < reviewed.starts_on and ends > reviewed.cut_off:
        places.append("between cut-off and start")
    if ends >= reviewed.starts_on:
        places.append("after the start")
    return ", ".join(places) or "before the window"


def _region(data: ReviewData, treated: str, comparator: str) -> ContextRow:
    one, other = data.regions.get(treated), data.regions.get(comparator)
    comparison = "" if one is None or other is None else ("same" if one == other else "differs")
    return ContextRow("Region", one or "not known", other or "not known", comparison)


def _neighbour(data: ReviewData, treated: str, comparator: str) -> ContextRow:
    label = "Statistical neighbour"
    if not data.neighbours:
        return ContextRow(label, NOT_LANDED, NOT_LANDED, "")
    latest = data.latest_edition

    def said(of: str, to: str) -> str:
        row = data.neighbours_by_pair.get((of, to))
        if row is None:
            has_list = of in data.authorities_with_neighbours
            return "does not list the other" if has_list else f"no list of its own in the edition of {latest}"
        closeness = f", {row.closeness}" if row.closeness else ""
        return f"lists the other as neighbour {row.neighbour_rank}{closeness} ({latest})"

    is_neighbour = (treated, comparator) in data.neighbours_by_pair
    return ContextRow(
        label,
        said(treated, comparator),
        said(comparator, treated),
        "neighbour" if is_neighbour else "not one",
    )


def _inspection(data: ReviewData, reviewed: ReviewSet, comparator: str) -> ContextRow:
    label = "Ofsted judgement before the start"
    if not data.inspections:
        return ContextRow(label, NOT_LANDED, NOT_LANDED, "")

    def latest(code: str) -> tuple[str, str]:
        known = [
            (row.known_on, row)
            for row in data.inspections.rows
            if row.la_code == code
            # A visit without an overall judgement leaves the last one standing.
            and row.overall_judgement
            and row.known_on is not None
            and row.known_on < reviewed.starts_on
        ]
        if not known:
            return "", "none known before the start"
        when, row = max(known, key=lambda pair: (pair[0], pair[1].inspected_on or dt.date.min))
        return str(row.overall_judgement), f"{row.overall_judgement} (known from {english_date(when)})"

    one, other = latest(reviewed.site.la_code), latest(comparator)
    comparison = "" if not one[0] or not other[0] else ("same" if one[0] == other[0] else "differs")
    return ContextRow(label, one[1], other[1], comparison)


def _quality(data: ReviewData, code: str) -> str:
    if not data.quality:
        return NOT_LANDED
    row = data.quality_by_authority.get(code)
    if row is None:
        return "no returns in the programme's years"
    if row.worst_severity == "none" or not row.doubts:
        return f"no check in doubt ({financial_year(row.first_year)} to {financial_year(row.last_year)})"
    severity = {"serious": "Serious doubt", "doubt": "Doubt"}.get(
        row.worst_severity, words(row.worst_severity)
    )
    return f"{severity}: {row.doubts}"


def _programmes(data: ReviewData, reviewed: ReviewSet, code: str) -> str:
    own = data.protocol.programme.programme_name
    rows = [
        row
        for row in data.other_programmes.rows
        if row.la_code == code and not (row.other_programme == own and code == reviewed.site.la_code)
    ]
    rows.sort(key=lambda row: (row.started_on or dt.date.min, row.other_programme))
    return "; ".join(_programme(row) for row in rows) or NONE_KNOWN


def _programme(row: OtherProgramme) -> str:
    when = "" if row.started_on is None else f", {_span(row.started_on, row.ended_on)}"
    return f"{row.other_programme}{when}{_assumed(row.is_assumed)}"


def _own_shocks(data: ReviewData, code: str) -> str:
    rows = [row for row in data.protocol.shocks if row.la_code == code]
    return (
        "; ".join(
            f"{row.shock_label}, {_span(row.starts_on, row.ends_on)}{_assumed(row.is_assumed)}"
            for row in rows
        )
        or "none in the seed"
    )


def _span(start: dt.date, end: dt.date | None) -> str:
    return f"since {english_date(start)}" if end is None else f"{english_date(start)} to {english_date(end)}"


def _assumed(is_assumed: bool) -> str:
    return " (dates assumed)" if is_assumed else ""
