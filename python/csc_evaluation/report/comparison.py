"""Tables about the comparison: evidence on each pair, checks of the assumptions, who fell away, other ways to match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from csc_evaluation.matching.common_shocks import COMMON_SHOCKS
from csc_evaluation.matching.evidence import COMPUTED, CONSTANT_GAP, DISTANCE
from csc_evaluation.matching.parallel_trends import PARALLEL_TRENDS
from csc_evaluation.report import charts
from csc_evaluation.report.charts import Drawing, Interval
from csc_evaluation.report.data import (
    COMPARATOR_ARM,
    TREATED_ARM,
    AssumptionCheck,
    DroppedChildren,
    Estimate,
    PairEvidence,
    ReportData,
)
from csc_evaluation.report.formatting import (
    MISSING,
    Disclosure,
    EffectUnit,
    covariate_name,
    degrees,
    english_date,
    financial_year,
    listing,
    number,
    p_value,
    percent,
    sentence,
    statistic,
    upper_first,
    whole,
    words,
)
from csc_evaluation.report.grid import Cell, Grid, Row

EFFECT_TERM = "treated"
MAIN_MATCH = "reviewed"
ASSUMPTION_NAMES = {PARALLEL_TRENDS: "Parallel trends", COMMON_SHOCKS: "Common shocks"}
EVIDENCE_ORDER = (DISTANCE, "placebo_", CONSTANT_GAP)
"""Evidence on a pair in the order of the page; leads of one pair are never computable and stay in the results."""
BOOLEAN_LEVELS = {"true": "yes", "false": "no"}


# -- evidence on each pair ---------------------------------------------------------------------------------


def pair_evidence(data: ReportData) -> Grid:
    """Each pair taken: what it looks like before go-live, and how unusual that is among all other authorities."""
    pairs = [(match.treated_la_code, match.comparator_la_code) for match in data.own_matches]
    unit = EffectUnit.of(data.outcome.kind)
    rows = [
        row
        for pair in pairs
        for row in data.evidence.rows
        if row.outcome == data.outcome.outcome
        and (row.treated_la_code, row.comparator_la_code) == pair
        and row.evidence.startswith(EVIDENCE_ORDER)
    ]
    place = {pair: number for number, pair in enumerate(pairs)}
    rows.sort(
        key=lambda row: (
            place[(row.treated_la_code, row.comparator_la_code)],
            _evidence_place(row),
            row.evidence,
        )
    )
    return Grid(
        caption="Before go-live: each pair, and how unusual it is among all other authorities taken as if treated",
        headers=("Pair", "Check", "In words", "Value", "Std. error", "p", "Others as extreme"),
        rows=tuple(
            Row(
                (
                    Cell(
                        f"{data.authority(row.treated_la_code)} with {data.authority(row.comparator_la_code)}"
                    ),
                    Cell(
                        check_name(row.evidence), english_date(row.placebo_date) if row.placebo_date else ""
                    ),
                    Cell(row.status if row.status != COMPUTED else "", sentence(row.note or "")),
                    Cell(_evidence_value(row, unit)),
                    Cell(_evidence_error(row, unit)),
                    Cell(p_value(row.p_value)),
                    Cell(_share_as_extreme(row)),
                )
            )
            for row in rows
        ),
        n_text_columns=3,
        notes=(
            f"Placebo estimates are in {unit.name}; of the constant gap the chi-square stands, with its degrees of freedom. "
            "Placebo estimates use only index events whose follow-up ends before go-live. Others as extreme: of the other "
            "authorities, each with its own nearest comparator as if it had been treated then, those with a value at least as "
            "large. A small share means that this pair is unusual.",
        ),
        absent_because=data.evidence.absent_because or "the run stored no evidence on these pairs.",
    )


def pandemic_quarters(data: ReportData) -> Grid:
    """Pandemic quarters inside and outside the matching window of each pair."""
    chosen = {(match.treated_la_code, match.comparator_la_code) for match in data.own_matches}
    rows = [
        row
        for row in data.candidates.rows
        if row.outcome == data.outcome.outcome and (row.treated_la_code, row.candidate_la_code) in chosen
    ]
    return Grid(
        caption="Ranks by other distances, and pandemic quarters inside and outside the matching window",
        headers=(
            "Treated",
            "Comparator",
            "Rank by changes",
            "Rank by levels",
            "Rank by both",
            "Pandemic quarters inside",
            "Outside",
        ),
        rows=tuple(
            Row(
                (
                    Cell(data.authority(row.treated_la_code)),
                    Cell(data.authority(row.candidate_la_code)),
                    Cell(whole(row.distance_rank)),
                    Cell(whole(row.rank_levels)),
                    Cell(whole(row.rank_both)),
                    Cell(str(row.n_pandemic_quarters_in_window)),
                    Cell(str(row.n_pandemic_quarters_outside)),
                )
            )
            for row in rows
        ),
        n_text_columns=2,
        absent_because=data.candidates.absent_because or "no pair was matched for this outcome.",
    )


def check_name(name: str) -> str:
    """A check in words: ``placebo_4`` is "Placebo, 4 quarters earlier"."""
    if name.startswith("placebo_") and name.removeprefix("placebo_").isdigit():
        return f"Placebo, {name.removeprefix('placebo_')} quarters earlier"
    if name.startswith("reacts_"):
        return f"Reaction of {words(name.removeprefix('reacts_'))}"
    return upper_first(words(name))


def _evidence_place(row: PairEvidence) -> int:
    return next(number for number, start in enumerate(EVIDENCE_ORDER) if row.evidence.startswith(start))


def _evidence_value(row: PairEvidence, unit: EffectUnit) -> str:
    if row.evidence == CONSTANT_GAP:
        return statistic(row.statistic)
    if row.estimate is not None:
        return _scaled(row.estimate, row, unit)
    return statistic(row.statistic)


def _evidence_error(row: PairEvidence, unit: EffectUnit) -> str:
    if row.evidence == CONSTANT_GAP:
        return MISSING if row.df is None else f"{degrees(row.df)} df"
    return MISSING if row.std_error is None else _scaled(row.std_error, row, unit)


def _scaled(value: float, row: PairEvidence, unit: EffectUnit) -> str:
    is_effect = row.evidence.startswith("placebo")
    return unit.effect(value) if is_effect else number(value, 3)


def _share_as_extreme(row: PairEvidence) -> str:
    if row.share_as_extreme is None or not row.n_placebos:
        return MISSING
    return f"{round(row.share_as_extreme * row.n_placebos)} of {row.n_placebos}"


# -- checks over all matched groups --------------------------------------------------------------------------


def assumption_checks(data: ReportData) -> Grid:
    """Placebo dates, leads and common shocks, tested over all matched groups of the primary outcome."""
    rows = [row for row in data.checks.rows if row.outcome == data.outcome.outcome]
    rows.sort(key=lambda row: (row.assumption != PARALLEL_TRENDS, row.check_name, row.term))
    return Grid(
        caption="Parallel trends and common shocks over all matched groups",
        headers=("Assumption", "Check", "In words", "Value", "Std. error", "df", "p"),
        rows=tuple(
            Row(
                (
                    Cell(ASSUMPTION_NAMES.get(row.assumption, upper_first(words(row.assumption)))),
                    Cell(check_name(row.check_name), words(row.term)),
                    Cell(row.status if row.status != COMPUTED else "", sentence(row.note or "")),
                    Cell(statistic(row.estimate if row.estimate is not None else row.statistic)),
                    Cell(statistic(row.std_error)),
                    Cell(_check_degrees(row)),
                    Cell(p_value(row.p_value)),
                )
            )
            for row in rows
        ),
        n_text_columns=3,
        notes=(
            "Values are in units of the outcome (a share for binary outcomes); of joint tests the F statistic stands. A check that "
            "finds nothing does not prove the assumption: with few authorities it sees only large departures.",
        ),
        absent_because=data.checks.absent_because or "the run stored no checks for this outcome.",
    )


def _check_degrees(row: AssumptionCheck) -> str:
    if row.df_numerator is None:
        return degrees(row.df)
    return f"{degrees(row.df_numerator)} and {degrees(row.df)}"


# -- who fell away -------------------------------------------------------------------------------------------


def dropped_children(data: ReportData, disclosure: Disclosure) -> Grid:
    """Children in strata without the other arm, by characteristic; shares only where counts may be shown."""
    rows = [row for row in data.dropped.rows if row.outcome == data.outcome.outcome]
    by_key = {(row.covariate, row.level, row.arm): row for row in rows}
    keys = sorted({(row.covariate, row.level) for row in rows})
    body = []
    for covariate, level in keys:
        arms = [by_key.get((covariate, level, arm)) for arm in (TREATED_ARM, COMPARATOR_ARM)]
        if not any(arm is not None and arm.n_dropped for arm in arms):
            continue
        body.append(
            Row(
                (
                    Cell(level_label(data, covariate, level)),
                    *(Cell(_dropped_share(arm, disclosure)) for arm in arms),
                )
            )
        )
    return Grid(
        caption="Share of children whose stratum held no child of the other arm, by characteristic",
        headers=("Characteristic", "Programme's authorities", "Matched comparators"),
        rows=tuple(body),
        notes=("Characteristics of which no child fell away are not listed.",),
        absent_because=data.dropped.absent_because or "no child fell away, or the run did not store who did.",
    )


def level_label(data: ReportData, covariate: str, level: str) -> str:
    """A level of a covariate in words: ``Gender: female`` for gender, 2."""
    name, level = upper_first(covariate_name(covariate)), level.strip()
    if level in ("", "all", "mean"):
        return name
    if covariate == "financial_year" and level.isdigit():
        return f"{name} {financial_year(int(level))}"
    return f"{name}: {data.level_labels.get((covariate, level), BOOLEAN_LEVELS.get(level, words(level)))}"


def _dropped_share(row: DroppedChildren | None, disclosure: Disclosure) -> str:
    if row is None or not row.n_children:
        return MISSING
    n_left = row.n_children - row.n_dropped
    if any(count and disclosure.is_small(count) for count in (row.n_children, row.n_dropped, n_left)):
        return f"fewer than {disclosure.threshold} children"
    return percent(row.n_dropped / row.n_children)


# -- other ways to match -------------------------------------------------------------------------------------


def is_match_sensitivity(data: ReportData, specification: str) -> bool:
    """Whether a specification differs from the main one by its comparators."""
    return _variant_of(data, specification) is not None


def sensitivity(data: ReportData, unit: EffectUnit, level: str) -> Grid:
    """The headline beside the same regression on other comparators."""
    rows = _sensitivity_rows(data)
    return Grid(
        caption=f"The same estimate on other comparators, {unit.name}",
        headers=(
            "Comparators",
            "Effect",
            "Std. error",
            f"{level} interval",
            "df",
            "p",
            "Children",
            "Authorities (treated)",
        ),
        rows=tuple(
            Row(
                (
                    Cell(_variant_label(data, row), row.note or ""),
                    Cell(unit.effect(row.estimate)),
                    Cell(unit.effect(row.std_error)),
                    Cell(_interval(row, unit)),
                    Cell(degrees(row.df)),
                    Cell(p_value(row.p_value)),
                    Cell(number(row.n_children, 0)),
                    Cell(f"{whole(row.n_clusters)} ({whole(row.n_treated_clusters)})"),
                ),
                "headline" if row.is_headline else "",
            )
            for row in rows
        ),
        notes=(
            "The shaded row is the headline. None of the others replaces it: they show how much rests on which authorities were "
            "taken as comparators.",
        ),
        absent_because="the run holds no other way of matching.",
    )


def sensitivity_drawing(data: ReportData, unit: EffectUnit) -> Drawing | None:
    """The headline and the estimates on other comparators as intervals; ``None`` without any."""
    rows = _sensitivity_rows(data)
    if not any(not row.is_headline for row in rows):
        return None
    return charts.interval_chart(
        [
            Interval(
                label=_variant_label(data, row),
                estimate=row.estimate * unit.multiplier,
                low=None if row.ci_low is None else row.ci_low * unit.multiplier,
                high=None if row.ci_high is None else row.ci_high * unit.multiplier,
                text=f"{unit.effect(row.estimate)} ({_interval(row, unit)})",
                is_headline=row.is_headline,
            )
            for row in rows
            if row.estimate is not None
        ],
        key="sensitivity-chart",
        title="Effect of the programme on other comparators",
        unit=f"Effect, {unit.name}",
        truth=None,
    )


def _sensitivity_rows(data: ReportData) -> list[Estimate]:
    """The headline first, then each way of the seed, one row each by the headline's inference."""
    headline = data.headline
    order = {row.match_variant: place for place, row in enumerate(data.match_variants.rows)}
    rows = [
        row
        for row in data.estimates.rows
        if row.term == EFFECT_TERM
        and row.outcome == data.outcome.outcome
        and headline is not None
        and row.inference == headline.inference
        and is_match_sensitivity(data, row.specification)
    ]
    rows.sort(
        key=lambda row: (order.get(_variant_of(data, row.specification) or "", len(order)), row.specification)
    )
    return [*([headline] if headline is not None else []), *rows] if rows else []


def _variant_of(data: ReportData, specification: str) -> str | None:
    for row in data.specifications.rows:
        is_its_own = specification == row.specification or specification.startswith(
            f"{row.specification}_without_"
        )
        if is_its_own and row.match_variant != MAIN_MATCH:
            return row.match_variant
    return None


def _variant_label(data: ReportData, row: Estimate) -> str:
    variant = MAIN_MATCH if row.is_headline else _variant_of(data, row.specification)
    _, _, left_out = row.specification.partition("_without_")
    if left_out and not row.is_headline:
        return f"Without {listing(_names(data, left_out.split('_')))}"
    return next(
        (way.match_variant_label for way in data.match_variants.rows if way.match_variant == variant),
        words(row.specification),
    )


def _names(data: ReportData, codes: Sequence[str]) -> Iterable[str]:
    return (data.authority(code) for code in codes)


def _interval(row: Estimate, unit: EffectUnit) -> str:
    if row.ci_low is None or row.ci_high is None:
        return "no interval"
    return f"{unit.effect(row.ci_low)} to {unit.effect(row.ci_high)}"
