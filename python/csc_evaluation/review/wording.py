"""What the numbers beside a pair say, in words a reviewer can act on, and what they do not say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from csc_evaluation.estimation.protocol import Parameters
from csc_evaluation.matching.evidence import COMPUTED, CONSTANT_GAP, DISTANCE, LEADS, NEAREST_DISTANCE
from csc_evaluation.report.data import AssumptionCheck, Candidate, PairEvidence
from csc_evaluation.report.formatting import (
    MISSING,
    EffectUnit,
    degrees,
    english_date,
    number,
    p_value,
    percent,
    quarter,
    sentence,
)
from csc_evaluation.review.data import Placebo, ReviewSet

REACTS = "reacts_"


@dataclass(frozen=True)
class Finding:
    """One piece of evidence: its name, its numbers, what they say, and which dots belong beside it.

    Attributes:
        key: name of the evidence in ``results.la_pair_evidence``.
        label: its name in words.
        figures: the numbers with their unit.
        words: what they say.
        value: where the pair stands on the axis of the other authorities' dots, in units of that axis.
        dots: name of the evidence in ``results.la_match_placebos`` whose dots go with it.
        axis: what the dots' axis shows.
        is_extreme: whether few other authorities show as much.
    """

    key: str
    label: str
    figures: str
    words: str
    value: float | None
    dots: str | None
    axis: str
    is_extreme: bool


def band_factor(confidence_level: float, df: float | None = None) -> float:
    """Standard errors to either side of an interval; from the normal where there are no degrees of freedom."""
    tail = (1 + confidence_level) / 2
    return float(stats.t.ppf(tail, df)) if df else float(stats.norm.ppf(tail))


def confidence_limits(
    estimate: float, error: float, df: float | None, confidence_level: float
) -> tuple[float, float]:
    """An interval at the protocol's level."""
    factor = band_factor(confidence_level, df)
    return estimate - factor * error, estimate + factor * error


def distance_words(candidate: Candidate) -> str:
    """What a distance says beside its expected noise.

    Example:
        >>> from types import SimpleNamespace as Row
        >>> distance_words(Row(distance=0.5, expected_noise=0.9))[:60]
        'Below the 0.90 that sampling noise alone gives two authoriti'
    """
    if candidate.distance is None:
        return "Not computed."
    if candidate.expected_noise is None:
        return "Its expected noise is not known: a quarter has no standard error."
    noise = number(candidate.expected_noise, 2)
    if candidate.distance <= candidate.expected_noise:
        return (
            f"Below the {noise} that sampling noise alone gives two authorities with the same true trend: "
            "no sign that the trends differ, and no sign that this one is nearer than others like it."
        )
    return (
        f"Above the {noise} that sampling noise alone gives two authorities with the same true trend, "
        f"{number(candidate.distance / candidate.expected_noise, 1)} times as much: part of it is a difference in trends."
    )


def evidence_findings(
    rows: Sequence[PairEvidence], candidate: Candidate, unit: EffectUnit, parameters: Parameters
) -> list[Finding]:
    """Every piece of evidence on one pair, in the order in which a reviewer reads them."""
    order = {DISTANCE: 0, CONSTANT_GAP: 2, LEADS: 3}
    found = sorted(
        rows, key=lambda row: (order.get(row.evidence, 1), _quarters_of(row.evidence), row.evidence)
    )
    return [_finding(row, candidate, unit, parameters) for row in found]


def _finding(row: PairEvidence, candidate: Candidate, unit: EffectUnit, parameters: Parameters) -> Finding:
    label = evidence_label(row.evidence)
    if row.status != COMPUTED:
        note = f": {row.note}" if row.note else ""
        return Finding(
            row.evidence,
            label,
            row.status.capitalize(),
            sentence(f"{row.status}{note}"),
            None,
            None,
            "",
            False,
        )
    note = f" {sentence(row.note)}" if row.note else ""
    if row.evidence == DISTANCE:
        value = row.estimate if row.estimate is not None else candidate.distance
        return Finding(
            row.evidence,
            label,
            number(value, 2),
            _distance_place(row, parameters) + note,
            value,
            NEAREST_DISTANCE,
            "Distance to the nearest comparator",
            False,
        )
    is_extreme = (
        row.share_as_extreme is not None
        and row.n_placebos >= parameters.review_placebos_min
        and row.share_as_extreme <= parameters.review_unusual_share
    )
    if row.evidence == CONSTANT_GAP:
        figures = (
            f"χ² {number(row.statistic, 1)} on {degrees(row.df)} degrees of freedom, p {p_value(row.p_value)}"
        )
        said = (
            "The gap between the two moves more from quarter to quarter than sampling error explains."
            if row.p_value is not None and row.p_value < parameters.significance_level
            else "The gap between the two moves no more from quarter to quarter than sampling error explains."
        )
        place = _placebo_place(row, "show a gap that moves at least as much", parameters)
        return Finding(
            row.evidence,
            label,
            figures,
            f"{said} {place}{note}",
            row.statistic,
            row.evidence,
            "χ² of a constant gap",
            is_extreme,
        )
    figures, said = _effect(row, unit, parameters.confidence_level)
    if row.placebo_date is not None:
        said = f"As if the programme had begun on {english_date(row.placebo_date)}. {said}"
    place = _placebo_place(row, "show a gap at least this large", parameters)
    value = None if row.estimate is None else row.estimate * unit.multiplier
    return Finding(
        row.evidence,
        label,
        figures,
        f"{said} {place}{note}",
        value,
        row.evidence,
        f"Placebo effect, {unit.name}",
        is_extreme,
    )


def _effect(row: PairEvidence, unit: EffectUnit, confidence_level: float) -> tuple[str, str]:
    if row.estimate is None:
        return MISSING, "No estimate."
    if row.std_error is None:
        return f"{unit.effect(row.estimate)} {unit.name}", "Its standard error is not known."
    low, high = confidence_limits(row.estimate, row.std_error, row.df, confidence_level)
    level = percent(confidence_level, 0)
    figures = f"{unit.effect(row.estimate)} {unit.name} ({level} {unit.effect(low)} to {unit.effect(high)})"
    if low <= 0 <= high:
        return (
            figures,
            "The interval holds zero, as it should before the programme; a wide one settles little.",
        )
    return figures, "The interval does not hold zero although nothing had begun: the trends already differed."


def _placebo_place(row: PairEvidence, what: str, parameters: Parameters) -> str:
    if row.share_as_extreme is None or not row.n_placebos:
        return "No other authority can be set beside it."
    count = round(row.share_as_extreme * row.n_placebos)
    text = f"{count} of {row.n_placebos} authorities as if treated {what}"
    if row.n_placebos < parameters.review_placebos_min:
        return f"{text}; too few to call it usual or unusual."
    if row.share_as_extreme <= parameters.review_unusual_share:
        return f"{text}: unusual."
    return f"{text}: unremarkable among them."


def _distance_place(row: PairEvidence, parameters: Parameters) -> str:
    if row.share_as_extreme is None or not row.n_placebos:
        return "No other authority's nearest distance can be set beside it."
    farther = round(row.share_as_extreme * row.n_placebos)
    text = f"{farther} of {row.n_placebos} other authorities have even their nearest comparator at least this far away"
    if row.n_placebos < parameters.review_placebos_min:
        return f"{text}; too few to call it near or far."
    if row.share_as_extreme >= 1 - parameters.review_unusual_share:
        return f"{text}: an unusually near pair."
    if row.share_as_extreme <= parameters.review_unusual_share:
        return f"{text}: nearly all find a nearer one."
    return f"{text}: as near as others come by chance."


def evidence_label(evidence: str) -> str:
    """An evidence's name in words.

    Example:
        >>> evidence_label("placebo_4"), evidence_label("constant_gap")
        ('Placebo, 4 quarters before the cut-off', 'Is the gap constant?')
    """
    if evidence == CONSTANT_GAP:
        return "Is the gap constant?"
    if evidence == DISTANCE:
        return "Distance among other authorities"
    if evidence == LEADS:
        return "Test of leads"
    if evidence.startswith(REACTS):
        return f"Should react: {evidence.removeprefix(REACTS).replace('_', ' ')}"
    if _quarters_of(evidence):
        return f"Placebo, {_quarters_of(evidence)} quarters before the cut-off"
    return evidence.replace("_", " ").capitalize()


def _quarters_of(evidence: str) -> int:
    found = re.fullmatch(r"placebo_(\d+)", evidence)
    return int(found.group(1)) if found else 0


def dots_of(placebos: Sequence[Placebo], unit: EffectUnit) -> dict[str, list[float]]:
    """Other authorities' values by evidence, in the unit of its axis, in order."""
    dots: dict[str, list[float]] = {}
    for row in placebos:
        if row.evidence == CONSTANT_GAP:
            value = row.statistic
        elif row.evidence == NEAREST_DISTANCE:
            value = row.estimate
        else:
            value = None if row.estimate is None else row.estimate * unit.multiplier
        if value is not None:
            dots.setdefault(row.evidence, []).append(round(value, 4))
    return {evidence: sorted(values) for evidence, values in dots.items()}


def set_remarks(reviewed: ReviewSet, parameters: Parameters) -> list[str]:
    """What holds for all candidates of one treated authority and outcome: noise, a short series, who is nearest."""
    remarks = []
    first = reviewed.kept[0]
    if first.is_short_series:
        remarks.append(
            f"Short series: only {first.n_quarters} quarters of data end before the cut-off, fewer than the protocol asks for."
        )
    known = [row for row in reviewed.kept if row.distance is not None and row.expected_noise is not None]
    below = [row for row in known if (row.distance or 0) <= (row.expected_noise or 0)]
    if known and 2 * len(below) > len(known):
        remarks.append(
            f"The ranks are mostly noise: {len(below)} of {len(known)} candidates lie within the distance that sampling noise "
            "alone gives two authorities with the same trend. Rank 1 is then hardly a better choice than the last; let the levels, "
            "the placebos and what is known of the authorities weigh more."
        )
    nearest = [
        row.estimate
        for row in reviewed.placebos
        if row.evidence == NEAREST_DISTANCE and row.estimate is not None
    ]
    if len(nearest) >= parameters.review_placebos_min and first.distance is not None:
        nearer = sum(value <= first.distance for value in nearest)
        said = (
            "this one's nearest is unusually near"
            if nearer <= parameters.review_unusual_share * len(nearest)
            else "the nearest here is no nearer than others find by chance"
        )
        remarks.append(
            f"{nearer} of {len(nearest)} other authorities, as if treated, have a comparator at least as near as rank 1 here: {said}."
        )
    elif nearest:
        remarks.append(
            f"Only {len(nearest)} other authorities can stand in as if treated: too few to say what is unusual."
        )
    return remarks


def pandemic_words(candidate: Candidate) -> str:
    """How many pandemic quarters lie inside the matching window and outside it."""
    inside, outside = candidate.n_pandemic_quarters_in_window, candidate.n_pandemic_quarters_outside
    if inside == outside == 0:
        return "No pandemic quarter in these data."
    if inside == 0:
        return f"No pandemic quarter in the window; {outside} outside it: a trend found without the pandemic is carried into it."
    return f"{inside} pandemic {_plural(inside, 'quarter')} in the window, {outside} outside it."


def window_words(reviewed: ReviewSet) -> str:
    """The quarters of the window and the stretch left out, in words."""
    first = reviewed.kept[0]
    begins = "embedding began" if reviewed.site.embedding_start else "go-live"
    span = " to ".join(quarter(day) for day in (first.first_quarter, first.last_quarter) if day is not None)
    return (
        f"Matched on {first.n_quarters} quarters, {span}; "
        f"cut-off {english_date(reviewed.cut_off)}, {reviewed.outcome.follow_up_months} months before {begins} "
        f"({english_date(reviewed.starts_on)})."
    )


def check_cells(check: AssumptionCheck, unit: EffectUnit, foreign_measures: Sequence[str]) -> dict[str, str]:
    """One pooled test as cells of a table.

    Args:
        check: the row.
        unit: the outcome's unit.
        foreign_measures: measures of shock outcomes, which have units of their own.
    """
    is_foreign = any(measure in f"{check.check_name} {check.term}" for measure in foreign_measures)
    own = EffectUnit(1.0, "", "") if is_foreign else unit
    estimate = ""
    if check.estimate is not None:
        estimate = own.effect(check.estimate)
        if check.ci_low is not None and check.ci_high is not None:
            estimate += f" ({own.effect(check.ci_low)} to {own.effect(check.ci_high)})"
    test = ""
    if check.statistic is not None:
        df = degrees(check.df) if check.df is not None else ""
        numerator = f"{degrees(check.df_numerator)} and " if check.df_numerator is not None else ""
        test = number(check.statistic, 2) + (f" on {numerator}{df} df" if df else "")
    name = evidence_label(check.check_name)
    return {
        "check": name,
        "term": check.term.replace("_", " "),
        "estimate": estimate or MISSING,
        "test": test or MISSING,
        "p": p_value(check.p_value),
        "note": sentence(check.note or "")
        if check.status == COMPUTED
        else sentence(f"{check.status}{': ' + check.note if check.note else ''}"),
    }


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
