"""One self-contained page about a run: it needs no network, no script and no other file."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from csc_evaluation.report import charts, comparison
from csc_evaluation.report.charts import BalancePoint, Drawing, Interval, TrendPoint
from csc_evaluation.report.comparison import EFFECT_TERM
from csc_evaluation.report.data import (
    COMPARATOR_ARM,
    OTHER_ARM,
    TREATED_ARM,
    BalanceRow,
    CohortStep,
    Diagnostic,
    Estimate,
    FlowStep,
    Match,
    ReportData,
    Specification,
    load_report_data,
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
    lower_first,
    number,
    p_value,
    percent,
    quarter,
    sentence,
    statistic,
    upper_first,
    whole,
    words,
)
from csc_evaluation.report.grid import Cell, Grid, Row
from csc_evaluation.report.writing import rendered, replace_file, writable_target

UNREVIEWED = "unreviewed"
MATRIX_COLUMNS = 5

INFERENCE_NAMES = {
    "cr1_t": "CR1, t(G − 1)",
    "cr2_satterthwaite": "CR2, Satterthwaite degrees of freedom",
    "cr3_t": "CR3, t(G − 1)",
    "wild_cluster": "Wild cluster bootstrap",
    "randomisation": "Randomisation inference",
}
SPECIFICATION_NAMES = {"cem_weighted_ls": "CEM-weighted least squares"}
KEPT = "kept"
MOST_DRAWN = 30
"""Characteristics in the balance plot: the most unlike ones; the table beside it has all."""
ARM_NAMES = {
    TREATED_ARM: "Programme's authorities",
    COMPARATOR_ARM: "Matched comparators",
    "control": "Matched comparators",
    OTHER_ARM: "All other authorities",
    "all": "All authorities",
}
ARM_ORDER = (TREATED_ARM, COMPARATOR_ARM, "control", OTHER_ARM, "all")

CONTENTS = (
    ("asked", "What was asked"),
    ("answer", "The answer"),
    ("estimates", "Estimates"),
    ("children", "Data and flow of children"),
    ("authorities", "Matching authorities"),
    ("balance", "Matching children: balance"),
    ("sensitivity", "How much rests on the comparators"),
    ("assumptions", "Assumptions made"),
    ("diagnostics", "Diagnostics"),
    ("quality", "Data quality"),
    ("provenance", "Where this comes from"),
    ("words", "Words used"),
)

WORDS_USED = (
    ("Authority", "A local authority with children's services; named in public, unlike children."),
    (
        "Index event",
        "The event from which a child is followed, here the child's first referral in the trial period.",
    ),
    ("Go-live", "The day an authority began to work with the programme."),
    (
        "Difference in differences",
        "The change in treated authorities less the change in comparators over the same time.",
    ),
    (
        "Interval (such as 95%)",
        "Built so that in repeated studies that share of such intervals would hold the true effect.",
    ),
    (
        "Cluster",
        "A group whose children share influences, here an authority; few clusters mean wide intervals however many "
        "children there are.",
    ),
    (
        "CR1, CR2, CR3",
        "Standard errors that allow for likeness within clusters, with different small-sample corrections.",
    ),
    (
        "Degrees of freedom",
        "How much independent information an interval rests on; below about five, treat it with care.",
    ),
    ("p-value", "How often a difference at least this large would arise if the programme made none."),
    (
        "Minimum detectable effect",
        "The smallest true effect that a study of this precision would usually tell apart from none.",
    ),
    (
        "Coarsened exact matching",
        "Children are compared only within groups alike on every listed characteristic, in coarse bands; weights make "
        "the comparators' groups as large as the treated ones.",
    ),
    (
        "Standardised mean difference",
        "The difference between the arms' means in standard deviations, so that unlike characteristics can be compared.",
    ),
    (
        "L1",
        "Half the summed difference between the arms' shares over all cells: 0 is the same make-up, 1 no overlap.",
    ),
    ("Unreviewed", "No person has yet looked at the matched authorities' trends and recorded a verdict."),
)


@dataclass(frozen=True)
class Said:
    """A piece of a paragraph, and whether it was registered (none: no mark)."""

    text: str
    is_registered: bool | None = None


@dataclass(frozen=True)
class Answer:
    """The headline, what qualifies it, and its numbers one by one."""

    headline: str
    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Truth:
    """The estimate beside the known truth of synthetic data."""

    sentences: tuple[str, ...]
    table: Grid


@dataclass(frozen=True)
class Trend:
    """A matched pair's chart and the numbers behind it."""

    heading: str
    drawing: Drawing | None
    caption: str
    table: Grid
    absent_because: str | None = None


@dataclass(frozen=True)
class Item:
    """A named assumption."""

    name: str
    text: str


@dataclass(frozen=True)
class Readings:
    """A plain explanation for each section."""

    estimates: str
    children: str
    authorities: str
    trends: str
    evidence: str
    checks: str
    sensitivity: str
    balance: str
    matched: str
    diagnostics: str
    quality: str
    provenance: str


@dataclass(frozen=True)
class Page:
    """Everything the template prints."""

    title: str
    subtitle: str
    is_synthetic: bool
    is_unreviewed: bool
    contents: tuple[tuple[str, str], ...]
    asked: tuple[Said, ...]
    sources: str
    not_evaluated: Grid
    answer: Answer | None
    truth: Truth | None
    estimates: Grid
    estimates_drawing: Drawing | None
    estimates_caption: str
    other_terms: Grid
    cohort: Grid
    flow: Grid
    counts_note: str
    matches: Grid
    pair_evidence: Grid
    pair_facts: Grid
    checks: Grid
    dropped: Grid
    sensitivity: Grid
    sensitivity_drawing: Drawing | None
    sensitivity_caption: str
    trends: tuple[Trend, ...]
    trends_absent: str
    candidates: tuple[Grid, ...]
    non_candidates: Grid
    balance_drawing: Drawing | None
    balance_caption: str
    imbalance: Grid
    balance: Grid
    matched_by_authority: Grid
    matched_by_year: Grid
    assumptions: tuple[Item, ...]
    parameters: Grid
    diagnostics: Grid
    quality: Grid
    links: Grid
    provenance: Grid
    packages: Grid
    words: tuple[tuple[str, str], ...]
    reading: Readings
    release_note: str


def write_report(
    programme: str, *, warehouse: Path, output: Path, run_id: str | None = None, truth: float | None = None
) -> Path:
    """Write the page of a programme's run as one HTML file that works offline.

    Args:
        programme: key of the programme, for example ``family_safeguarding``.
        warehouse: the DuckDB file; only read.
        output: the file to write; replaced whole, or left as it was if anything fails.
        run_id: the run to show; by default the programme's latest complete estimation.
        truth: the true average effect on this run's matched treated children, in units of the outcome (a share for
            a binary outcome). Known only for synthetic data: giving it labels the page as synthetic.

    Returns:
        The absolute path of the page.

    Raises:
        WarehouseError: the warehouse cannot be opened.
        SeedError: the protocol in the warehouse lacks something the page needs.
        CscError: there is no such programme or complete run, or the file cannot be written.
    """
    target = writable_target(output)
    html = render(load_report_data(programme, warehouse=warehouse, run_id=run_id), truth=truth)
    replace_file(target, html)
    return target


def render(data: ReportData, *, truth: float | None = None) -> str:
    """The page as text; the same for the same data.

    Args:
        data: what :func:`csc_evaluation.report.data.load_report_data` read.
        truth: as in :func:`write_report`.
    """
    return rendered("page.html.j2", build_page(data, truth=truth))


def build_page(data: ReportData, *, truth: float | None = None) -> Page:
    """Everything the page says, in words and formatted numbers."""
    unit = EffectUnit.of(data.outcome.kind)
    disclosure = Disclosure(int(data.parameter("report_small_count")))
    is_unreviewed = data.run.is_unreviewed or any(row.is_unreviewed for row in data.matches.rows)
    counts = _Counts(data, disclosure)
    drawing = _estimates_drawing(data, unit, truth)
    balance_drawing = _balance_drawing(data)
    reference = data.parameter("report_balance_reference")
    return Page(
        title=f"{data.programme.programme_name}: {lower_first(data.outcome.outcome_label)}",
        subtitle=(
            f"Matched difference-in-differences evaluation. Run {data.run.run_id}, "
            f"{english_date((data.run.ended_at or data.run.started_at).date())}."
        ),
        is_synthetic=truth is not None,
        is_unreviewed=is_unreviewed,
        contents=CONTENTS,
        asked=_asked(data),
        sources=_sources(data),
        not_evaluated=_not_evaluated(data),
        answer=_answer(data, unit, is_unreviewed),
        truth=_truth(data, unit, truth),
        estimates=_estimates(data, unit),
        estimates_drawing=drawing,
        estimates_caption=(
            "Effect of the programme under each method of inference; the filled diamond is the headline. Lines are "
            f"{_level(data)} intervals; the solid vertical line is no difference"
            + (", the dashed one the known truth of these synthetic data." if truth is not None else ".")
        ),
        other_terms=_other_terms(data),
        cohort=counts.cohort(),
        flow=counts.flow(),
        counts_note=counts.note(),
        matches=_matches(data),
        pair_evidence=comparison.pair_evidence(data),
        pair_facts=comparison.pandemic_quarters(data),
        checks=comparison.assumption_checks(data),
        dropped=comparison.dropped_children(data, disclosure),
        sensitivity=comparison.sensitivity(data, unit, _level(data)),
        sensitivity_drawing=comparison.sensitivity_drawing(data, unit),
        sensitivity_caption=(
            f"The headline (filled diamond) beside the same regression on other comparators. Lines are {_level(data)} intervals "
            "by the headline's inference."
        ),
        trends=_trends(data, disclosure),
        trends_absent=data.matches.absent_because or "no pair was matched.",
        candidates=_candidates(data),
        non_candidates=_non_candidates(data),
        balance_drawing=balance_drawing,
        balance_caption=(
            "Hollow circles: before matching. Filled diamonds: after. The nearer to the solid line, the more alike the "
            f"arms; dashed lines mark a difference of {reference:g} standard deviations. Drawn: at most the {MOST_DRAWN} "
            "largest differences; the table below has all."
        ),
        imbalance=_imbalance(data),
        balance=_balance(data),
        matched_by_authority=counts.matched_by_authority(),
        matched_by_year=counts.matched_by_year(),
        assumptions=_assumptions(data, disclosure, is_unreviewed),
        parameters=_parameters(data),
        diagnostics=_diagnostics(data),
        quality=_quality(data, disclosure),
        links=_links(data, disclosure),
        provenance=_provenance(data),
        packages=_packages(data),
        words=WORDS_USED,
        reading=_readings(data, unit),
        release_note=(
            f"Counts of children under {disclosure.threshold} are withheld on this page, but it also shows means and "
            "estimates: inside a secure setting, have it checked by that setting's output checkers before it leaves. "
            "It holds no record of a single child."
        ),
    )


# -- what was asked ----------------------------------------------------------------------------------------


def _asked(data: ReportData) -> tuple[Said, ...]:
    programme, outcome = data.programme, data.outcome
    event = words(outcome.index_event)
    said = [
        Said(
            f"Did {programme.programme_name} change this outcome of children aged {outcome.age_min} to "
            f"{outcome.age_max}, followed from their {event}: “{outcome.outcome_label}” "
            f"({outcome.role} outcome, {outcome.kind})?",
            outcome.is_registered,
        )
    ]
    if outcome.note:
        said.append(Said(f"In detail: {lower_first(sentence(outcome.note))}"))
    said.append(
        Said(
            f"The sample is children whose {event} fell between {english_date(programme.trial_start)} and "
            f"{english_date(programme.trial_end)} and whose whole follow-up lies within the data, which span "
            f"{english_date(programme.data_span_start)} to {english_date(programme.data_span_end)}.",
            programme.is_registered,
        )
    )
    if data.sites:
        sites = sorted(data.sites.rows, key=lambda row: (row.roll_out_order or 0, row.la_code))
        said.append(
            Said(
                "The programme went live in "
                + listing(
                    f"{data.authority(row.la_code)} ({english_date(row.go_live_date)}"
                    f"{', assumed' if row.is_assumed else ''})"
                    for row in sites
                )
                + ". Each is compared, before and after its go-live, with one or more authorities whose earlier trend "
                "in the outcome was closest to its own (difference in differences).",
                programme.is_registered,
            )
        )
    if data.strata:
        strata = sorted(data.strata.rows, key=lambda row: row.position)
        said.append(
            Said(
                "Children are compared with children alike in "
                + listing(covariate_name(row.covariate) for row in strata)
                + " (coarsened exact matching).",
                all(row.is_registered for row in strata),
            )
        )
        said += [
            Said(f"This run departs from that: {lower_first(sentence(words(row.meaning)))}")
            for row in data.diagnostics.rows
            if row.outcome == outcome.outcome and row.diagnostic == "strata_variables_dropped"
        ]
    specification = _specification(data)
    if specification is not None:
        covariates = [row for row in data.covariates.rows if row.outcome == outcome.outcome]
        adjusted = (
            f", adjusted for {listing(covariate_name(row.covariate) for row in covariates)}"
            if covariates
            else ""
        )
        effects = (
            " with effects of "
            + listing(covariate_name(name) for name in specification.fixed_effects.split("|"))
            if specification.fixed_effects
            else ""
        )
        said.append(
            Said(
                f"The estimate is by {words(specification.estimator)}{effects}{adjusted}.",
                specification.is_registered,
            )
        )
        # The specification may be registered and the inference chosen for its headline not.
        said.append(
            Said(
                f"Its headline inference, {_inference_name(specification.headline_inference)}, was fixed on "
                f"{english_date(specification.fixed_on)}.",
                data.headline.is_registered if data.headline is not None else None,
            )
        )
    return tuple(said)


def _specification(data: ReportData) -> Specification | None:
    headline = data.headline
    rows = data.specifications.rows
    if headline is not None:
        for row in rows:
            if row.specification == headline.specification:
                return row
    return next((row for row in rows if row.is_headline), None)


def _sources(data: ReportData) -> str:
    sources = [data.programme.source, data.outcome.source]
    specification = _specification(data)
    if specification is not None:
        sources.append(specification.source)
    return sentence("; ".join(dict.fromkeys(sources)))


def _not_evaluated(data: ReportData) -> Grid:
    rows = [row for row in data.outcomes.rows if row.status == "not_evaluated"]
    return Grid(
        caption="Outcomes named by the protocol that are not evaluated here",
        headers=("Outcome", "Role", "Why not"),
        rows=tuple(
            Row((Cell(row.outcome_label), Cell(row.role), Cell(sentence(row.note or "no reason given"))))
            for row in rows
        ),
        n_text_columns=3,
    )


# -- the answer --------------------------------------------------------------------------------------------


def _answer(data: ReportData, unit: EffectUnit, is_unreviewed: bool) -> Answer | None:
    row = data.headline
    if row is None or row.estimate is None:
        return None
    name = data.programme.programme_name
    interval = (
        f"{_level(data)} interval {unit.effect(row.ci_low)} to {unit.effect(row.ci_high)}"
        if row.ci_low is not None and row.ci_high is not None
        else "no interval under this inference"
    )
    what = (
        f"the share of children {lower_first(data.outcome.outcome_label)}"
        if data.outcome.kind == "binary"
        else f"the mean of “{data.outcome.outcome_label}”"
    )
    headline = (
        f"After go-live, {what} was {unit.effect(abs(row.estimate))} {unit.name} {_comparative(row.estimate)} in the "
        f"{name} authorities than their matched comparators lead one to expect ({interval})."
    )
    said = [
        _what_the_interval_says(data, row, row.estimate, unit),
        _baseline_sentence(row, unit),
        _size_sentence(row),
    ]
    said.append(_detectable(data, row, unit))
    note = _note_beyond_review(row.note)
    if note:
        said.append(sentence(f"Note on this estimate: {note}"))
    if is_unreviewed:
        said.append(
            "Unreviewed: comparators were chosen by their distance alone; until a reviewer has recorded a verdict on each pair's "
            "trend, placebo and shocks, this result is provisional."
        )
    assumed = [site for site in data.sites.rows if site.is_assumed]
    if assumed:
        said.append(
            f"Go-live dates are assumed for {len(assumed)} of {len(data.sites.rows)} authorities (see Assumptions made)."
        )
    flagged = sum(bool(diagnostic.is_flagged) for diagnostic in data.diagnostics.rows)
    if data.diagnostics:
        said.append(
            f"{flagged} of {len(data.diagnostics.rows)} diagnostics "
            f"{'is' if flagged == 1 else 'are'} flagged (see Diagnostics)."
        )
    facts = (
        (f"Effect, {unit.name}", unit.effect(row.estimate)),
        (f"{_level(data)} interval", _interval_text(row, unit)),
        ("p-value", p_value(row.p_value)),
        ("Children", number(row.n_children, 0)),
        ("Authorities (of which treated)", f"{whole(row.n_clusters)} ({whole(row.n_treated_clusters)})"),
        ("Baseline", unit.level(row.baseline_mean)),
        ("Detectable effect", _detectable_fact(data, unit)),
        ("Matches", "unreviewed" if is_unreviewed else "reviewed"),
    )
    return Answer(headline, tuple(text for text in said if text), facts)


def _note_beyond_review(note: str | None) -> str:
    """A note without its mention of the review, which the page says in its own words."""
    pieces = [piece.strip() for piece in (note or "").split(";")]
    return "; ".join(piece for piece in pieces if piece and piece.lower() != UNREVIEWED)


def _comparative(value: float) -> str:
    return "lower" if value < 0 else "higher"


def _what_the_interval_says(data: ReportData, row: Estimate, estimate: float, unit: EffectUnit) -> str:
    if row.ci_low is None or row.ci_high is None:
        return "Without an interval this number alone says nothing about how far chance could have moved it."
    if row.ci_low <= 0 <= row.ci_high:
        return (
            "The interval includes zero: these data do not settle whether the programme lowered or raised the "
            f"outcome. They are compatible with anything from {_change(row.ci_low, unit)} to "
            f"{_change(row.ci_high, unit)} {unit.name}."
        )
    judged = {
        "lower_better": ("lower", estimate < 0),
        "higher_better": ("higher", estimate > 0),
    }.get(data.outcome.direction)
    if judged is None:
        return (
            "The interval does not include zero. The protocol names no better direction for this outcome: neither a "
            "rise nor a fall is good or bad by itself."
        )
    better, agrees = judged
    return (
        f"The interval does not include zero. The protocol names {better} as the better direction of this outcome; "
        f"the estimate goes {'that way' if agrees else 'the other way'}."
    )


def _change(value: float, unit: EffectUnit) -> str:
    if value == 0:
        return "no change"
    return f"a {'fall' if value < 0 else 'rise'} of {unit.effect(abs(value))}"


def _baseline_sentence(row: Estimate, unit: EffectUnit) -> str:
    if row.baseline_mean is None:
        return "The level of the outcome before go-live is not available."
    relative = ""
    if row.estimate is not None and row.baseline_mean > 0:
        relative = f"; the estimate is {percent(abs(row.estimate) / row.baseline_mean, 0)} of that level"
    return (
        "Before go-live the outcome stood at "
        f"{unit.level(row.baseline_mean)} in the treated authorities (the baseline){relative}."
    )


def _size_sentence(row: Estimate) -> str:
    extra = (
        f" ({number(row.n_observations, 0)} index events)"
        if row.n_observations is not None and row.n_observations != row.n_children
        else ""
    )
    return (
        f"It rests on {number(row.n_children, 0)} children{extra} in {whole(row.n_clusters)} authorities, "
        f"{whole(row.n_treated_clusters)} of them treated."
    )


def _mdes(data: ReportData) -> Diagnostic | None:
    rows = [
        row
        for row in data.diagnostics.rows
        if row.outcome == data.outcome.outcome
        and ("mdes" in row.diagnostic or "detectable" in row.diagnostic)
        and row.statistic is not None
    ]
    headline = data.headline
    own = [row for row in rows if headline is not None and row.specification == headline.specification]
    return next(iter(own or rows), None)


def _detectable(data: ReportData, row: Estimate, unit: EffectUnit) -> str:
    found = _mdes(data)
    if found is None:
        return "What effect this design could have seen is not available: the run stored no realised detectable effect."
    text = (
        f"What this design could have seen: an effect of {unit.effect(found.statistic)} {unit.name}. "
        f"{sentence(found.meaning)}"
    )
    is_unsettled = row.ci_low is not None and row.ci_high is not None and row.ci_low <= 0 <= row.ci_high
    if is_unsettled:
        text += (
            " Smaller effects could well have gone unseen: an unsettled result is no evidence of no effect."
        )
    return text


def _detectable_fact(data: ReportData, unit: EffectUnit) -> str:
    found = _mdes(data)
    return "not available" if found is None else f"{unit.effect(found.statistic)}"


def _truth(data: ReportData, unit: EffectUnit, truth: float | None) -> Truth | None:
    if truth is None:
        return None
    rows = [row for row in _effects(data) if row.outcome == data.outcome.outcome and row.estimate is not None]
    said = [
        "These data were made up by a computer: no real child is in them, and nothing here says anything about the real "
        f"programme. Because they are made up, the true average effect on the treated children of this matched sample is known: "
        f"{unit.effect(truth)} {unit.name}."
    ]
    headline = data.headline
    if headline is not None and headline.estimate is not None:
        covered = _covers(headline, truth)
        said.append(
            f"The headline estimate is {unit.effect(headline.estimate)}, which misses the truth by "
            f"{unit.effect(headline.estimate - truth)} {unit.name}"
            + (
                f"; its interval {'holds' if covered else 'does not hold'} the truth."
                if covered is not None
                else "."
            )
        )
    said.append(
        "One run shows little about a method; how often intervals hold the truth over many runs does."
    )
    return Truth(
        tuple(said),
        Grid(
            caption=f"Estimate and truth, {unit.name}",
            headers=(
                "Specification",
                "Inference",
                "Estimate",
                "Truth",
                "Difference",
                "Interval",
                "Holds the truth",
            ),
            rows=tuple(
                Row(
                    (
                        Cell(_specification_name(row.specification)),
                        Cell(_inference_name(row.inference)),
                        Cell(unit.effect(row.estimate)),
                        Cell(unit.effect(truth)),
                        Cell(unit.effect((row.estimate or 0.0) - truth)),
                        Cell(_interval_text(row, unit)),
                        Cell({True: "yes", False: "no", None: MISSING}[_covers(row, truth)]),
                    ),
                    "headline" if row.is_headline else "",
                )
                for row in rows
            ),
            n_text_columns=2,
        ),
    )


def _covers(row: Estimate, truth: float) -> bool | None:
    if row.ci_low is None or row.ci_high is None:
        return None
    return row.ci_low <= truth <= row.ci_high


# -- estimates ---------------------------------------------------------------------------------------------


def _effects(data: ReportData) -> list[Estimate]:
    """Rows of the effect, the headline first, then the primary outcome, then by name."""
    rows = [
        row
        for row in data.estimates.rows
        if row.term == EFFECT_TERM and not comparison.is_match_sensitivity(data, row.specification)
    ]
    return sorted(rows, key=lambda row: _estimate_order(data, row))


def _estimate_order(data: ReportData, row: Estimate) -> tuple[bool, bool, str, str, str, str]:
    return (
        not row.is_headline,
        row.outcome != data.outcome.outcome,
        row.outcome,
        row.specification,
        row.inference,
        row.term,
    )


def _unit_of(data: ReportData, row: Estimate) -> EffectUnit:
    kind = next((o.kind for o in data.outcomes.rows if o.outcome == row.outcome), data.outcome.kind)
    # A conditional logit has a coefficient only: log odds, not points.
    return EffectUnit(1.0, "log odds", "") if "conditional_logit" in row.estimator else EffectUnit.of(kind)


def _estimates(data: ReportData, unit: EffectUnit) -> Grid:
    rows = _effects(data)
    is_adjusted = any(row.p_value_adjusted is not None for row in rows)
    headers = ["Specification", "Inference", "Effect", "Std. error", f"{_level(data)} interval", "df", "p"]
    headers += ["p adjusted"] if is_adjusted else []
    headers += ["Children", "Authorities (treated)"]
    several = len({row.outcome for row in rows}) > 1
    body = []
    for row in rows:
        own = _unit_of(data, row)
        label = _specification_name(row.specification) + (f", {words(row.outcome)}" if several else "")
        registered = "registered" if row.is_registered else "our addition"
        small = f"{words(row.estimator)}; {registered}" + ("; headline" if row.is_headline else "")
        cells = [
            Cell(label, small),
            Cell(_inference_name(row.inference), row.note or ""),
            Cell(own.effect(row.estimate), "" if own.name == unit.name else own.name),
            Cell(own.effect(row.std_error)),
            Cell(_interval_text(row, own)),
            Cell(degrees(row.df)),
            Cell(p_value(row.p_value)),
        ]
        cells += [Cell(p_value(row.p_value_adjusted))] if is_adjusted else []
        cells += [
            Cell(number(row.n_children, 0)),
            Cell(f"{whole(row.n_clusters)} ({whole(row.n_treated_clusters)})"),
        ]
        body.append(Row(tuple(cells), "headline" if row.is_headline else ""))
    return Grid(
        caption=f"Effect of the programme, {unit.name}",
        headers=tuple(headers),
        rows=tuple(body),
        n_text_columns=2,
        notes=("The shaded row is the headline. df: degrees of freedom. p: p-value, three decimals.",),
        absent_because=data.estimates.absent_because or "the run holds no estimate of the effect.",
    )


def _other_terms(data: ReportData) -> Grid:
    rows = sorted(
        (row for row in data.estimates.rows if row.term != EFFECT_TERM),
        key=lambda row: (row.outcome, row.specification, row.term, row.inference),
    )
    return Grid(
        caption="Coefficients in units of the outcome (a share for binary outcomes)",
        headers=("Term", "Specification", "Inference", "Coefficient", "Std. error", "Interval", "df", "p"),
        rows=tuple(
            Row(
                (
                    Cell(words(row.term), row.note or ""),
                    Cell(_specification_name(row.specification)),
                    Cell(_inference_name(row.inference)),
                    Cell(statistic(row.estimate)),
                    Cell(statistic(row.std_error)),
                    Cell(
                        f"{statistic(row.ci_low)} to {statistic(row.ci_high)}"
                        if row.ci_low is not None
                        else MISSING
                    ),
                    Cell(degrees(row.df)),
                    Cell(p_value(row.p_value)),
                )
            )
            for row in rows
        ),
        n_text_columns=3,
    )


def _estimates_drawing(data: ReportData, unit: EffectUnit, truth: float | None) -> Drawing | None:
    rows = [
        (row, row.estimate)
        for row in _effects(data)
        if row.outcome == data.outcome.outcome and row.estimate is not None and _unit_of(data, row) == unit
    ]
    if not rows:
        return None
    several = len({row.specification for row, _ in rows}) > 1
    taken: Counter[str] = Counter()
    intervals = []
    for row, estimate in rows:
        label = _short_inference(row.inference)
        if several:
            label = f"{_specification_name(row.specification)}: {label}"
        taken[label] += 1
        if taken[label] > 1:
            label = f"{label} ({taken[label]})"
        intervals.append(
            Interval(
                label=label,
                estimate=estimate * unit.multiplier,
                low=None if row.ci_low is None else row.ci_low * unit.multiplier,
                high=None if row.ci_high is None else row.ci_high * unit.multiplier,
                text=unit.effect(estimate)
                + (f" ({_interval_text(row, unit)})" if row.ci_low is not None else " (no interval)"),
                is_headline=row.is_headline,
            )
        )
    return charts.interval_chart(
        intervals,
        key="estimates-chart",
        title="Effect of the programme under each inference",
        unit=f"Effect, {unit.name}",
        truth=None if truth is None else truth * unit.multiplier,
    )


def _interval_text(row: Estimate, unit: EffectUnit) -> str:
    if row.ci_low is None or row.ci_high is None:
        return MISSING
    return f"{unit.effect(row.ci_low)} to {unit.effect(row.ci_high)}"


def _inference_name(inference: str) -> str:
    return INFERENCE_NAMES.get(inference, words(inference))


def _specification_name(specification: str) -> str:
    return SPECIFICATION_NAMES.get(specification, words(specification))


def _short_inference(inference: str) -> str:
    return _inference_name(inference).replace("Satterthwaite degrees of freedom", "Satterthwaite df")


def _level(data: ReportData) -> str:
    return percent(data.parameter("confidence_level"), 0)


# -- children ----------------------------------------------------------------------------------------------


class _Counts:
    """Tables of counts of children, which share one decision whether to round: they could be subtracted."""

    def __init__(self, data: ReportData, disclosure: Disclosure) -> None:
        self._data = data
        self._disclosure = disclosure
        self._flow = [row for row in data.flow.rows if row.outcome == data.outcome.outcome]
        self._cohort = [row for row in data.cohort.rows if row.outcome == data.outcome.outcome]
        self._by_authority = self._sum_matched("la_code")
        self._by_year = self._sum_matched("financial_year")
        derivable: list[int] = []
        for steps in (self._flow, self._cohort):
            derivable += [step.n_children for step in steps]
            remaining: dict[str, list[int]] = defaultdict(list)
            for step in sorted(steps, key=_step_order):
                if not self._is_exclusion(step):
                    remaining[step.arm].append(step.n_children)
            for counts in remaining.values():
                derivable += [abs(a - b) for a, b in itertools.pairwise(counts)]
        for sums in (self._by_authority, self._by_year):
            for n_children, n_matched in sums.values():
                derivable += [n_children, n_matched, n_children - n_matched]
        self._is_rounded = any(disclosure.is_small(value) for value in derivable)

    def _sum_matched(self, key: str) -> dict[tuple[str, str], tuple[int, int]]:
        sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for row in self._data.matched_shares.rows:
            if row.outcome == self._data.outcome.outcome:
                cell = sums[(row.arm, str(getattr(row, key)))]
                cell[0] += row.n_children
                cell[1] += row.n_matched
        return {name: (pair[0], pair[1]) for name, pair in sums.items()}

    def _is_exclusion(self, step: FlowStep | CohortStep) -> bool:
        """Whether a row counts children who leave: as the mart says, else those with a reason not to be kept."""
        known = {
            (row.step_no, row.step, row.reason): row.is_exclusion
            for row in self._cohort
            if row.is_exclusion is not None
        }
        found = known.get((step.step_no, step.step, step.reason))
        if found is not None:
            return found
        return bool(step.reason.strip()) and not step.reason.startswith(KEPT)

    def _text(self, value: int | None) -> str:
        return self._disclosure.count(value, rounded=self._is_rounded)

    def _share(self, part: int, whole: int) -> str:
        return _shown_share(part, whole, self._disclosure, self._is_rounded)

    def note(self) -> str:
        """How counts are shown."""
        text = f"Counts of children from 1 to {self._disclosure.threshold - 1} are shown as <{self._disclosure.threshold}."
        if self._is_rounded:
            text += (
                f" Because a small count is among these counts or their differences, the others are rounded to the "
                f"nearest {self._disclosure.threshold}, so they need not add up; shares of them follow the rounded counts."
            )
        return text

    def flow(self) -> Grid:
        """From landed referrals to matched children, by arm: as the run stored it, else as the mart counts it."""
        of_run = bool(self._flow)
        return self._steps(
            self._flow or self._cohort,
            "Children at each step, from what was landed to those matched"
            if of_run
            else "Children at each step, from what was landed to those followed for the whole window",
            self._data.flow.absent_because or self._data.cohort.absent_because,
        )

    def cohort(self) -> Grid:
        """Steps of the mart that the run's own flow does not hold (none where it begins with them)."""
        held = {(row.step, row.reason) for row in self._flow}
        more = [row for row in self._cohort if self._flow and (row.step, row.reason) not in held]
        return self._steps(
            more, "Children at each step before this run", "the run's own flow holds every step."
        )

    def _steps(
        self, steps: Sequence[FlowStep] | Sequence[CohortStep], caption: str, absent_because: str | None
    ) -> Grid:
        arms = sorted({step.arm for step in steps}, key=_arm_order)
        counts: dict[tuple[int, str, str], dict[str, int]] = defaultdict(dict)
        leaving: dict[tuple[int, str, str], bool] = {}
        for step in sorted(steps, key=_step_order):
            leaving[(step.step_no, step.step, step.reason)] = self._is_exclusion(step)
            cell = counts[(step.step_no, step.step, step.reason)]
            cell[step.arm] = cell.get(step.arm, 0) + step.n_children
        rows = []
        for (step_no, step_name, reason), by_arm in counts.items():
            is_leaving = leaving[(step_no, step_name, reason)]
            rows.append(
                Row(
                    (
                        Cell(_step_label(step_name, reason, is_leaving)),
                        *(Cell(self._text(by_arm.get(arm))) for arm in arms),
                    ),
                    "leave" if is_leaving else "remain",
                )
            )
        return Grid(
            caption=caption,
            headers=("Step", *(_arm_name(arm) for arm in arms)),
            rows=tuple(rows),
            absent_because=absent_because or "there are no counts for this outcome.",
        )

    def matched_by_authority(self) -> Grid:
        """Children and matched children of each authority, over all years."""
        ordered = sorted(
            self._by_authority.items(),
            key=lambda item: (_arm_order(item[0][0]), self._data.authority(item[0][1])),
        )
        return Grid(
            caption="Matched children by authority, all years",
            headers=("Authority", "Arm", "Children", "Matched", "Share matched"),
            rows=tuple(
                Row(
                    (
                        Cell(self._data.authority(code)),
                        Cell(_arm_name(arm)),
                        Cell(self._text(whole)),
                        Cell(self._text(part)),
                        Cell(self._share(part, whole)),
                    )
                )
                for (arm, code), (whole, part) in ordered
            ),
            n_text_columns=2,
            absent_because=self._data.matched_shares.absent_because or "there are no rows for this outcome.",
        )

    def matched_by_year(self) -> Grid:
        """Children and matched children by arm and financial year of the index event."""
        ordered = sorted(self._by_year.items(), key=lambda item: (int(item[0][1]), _arm_order(item[0][0])))
        return Grid(
            caption="Matched children by financial year of the index event",
            headers=("Year", "Arm", "Children", "Matched", "Share matched"),
            rows=tuple(
                Row(
                    (
                        Cell(financial_year(int(year))),
                        Cell(_arm_name(arm)),
                        Cell(self._text(whole)),
                        Cell(self._text(part)),
                        Cell(self._share(part, whole)),
                    )
                )
                for (arm, year), (whole, part) in ordered
            ),
            n_text_columns=2,
            absent_because=self._data.matched_shares.absent_because or "there are no rows for this outcome.",
        )


def _shown_share(part: int, whole: int, disclosure: Disclosure, is_rounded: bool) -> str:
    """A share of what is shown, so that it gives away no more than the counts beside it."""
    if whole == 0 or disclosure.is_small(part) or disclosure.is_small(whole):
        return MISSING
    if is_rounded:
        part, whole = disclosure.rounded(part), disclosure.rounded(whole)
    return percent(min(part / whole, 1.0)) if whole else MISSING


def _step_label(step: str, reason: str, is_leaving: bool) -> str:
    """``At an eligible age (the cohort)`` for children who stay, the reason alone for those who leave."""
    if is_leaving:
        return upper_first(words(reason))
    more = words(reason).removeprefix(KEPT).lstrip(": ")
    return upper_first(words(step)) + (f" ({more})" if more else "")


def _step_order(step: FlowStep | CohortStep) -> tuple[int, bool, str, str, str]:
    return (step.step_no, bool(step.reason.strip()), step.step, step.reason, step.arm)


def _arm_order(arm: str) -> tuple[int, str]:
    return (ARM_ORDER.index(arm) if arm in ARM_ORDER else len(ARM_ORDER), arm)


def _arm_name(arm: str) -> str:
    return ARM_NAMES.get(arm, upper_first(words(arm)))


# -- matching authorities ----------------------------------------------------------------------------------


def _matches(data: ReportData) -> Grid:
    matches = data.own_matches
    series = {
        (row.treated_la_code, row.candidate_la_code): row
        for row in data.candidates.rows
        if row.outcome == data.outcome.outcome
    }
    rows = []
    for match in matches:
        candidate = series.get((match.treated_la_code, match.comparator_la_code))
        span = MISSING
        if candidate is not None and candidate.first_quarter and candidate.last_quarter:
            span = f"{quarter(candidate.first_quarter)} to {quarter(candidate.last_quarter)}"
        shortness = (
            "fewer than the protocol's number" if candidate is not None and candidate.is_short_series else ""
        )
        rows.append(
            Row(
                (
                    Cell(data.authority(match.treated_la_code)),
                    Cell(english_date(match.go_live_date)),
                    Cell(data.authority(match.comparator_la_code)),
                    Cell(
                        match.decision,
                        "unreviewed" if match.is_unreviewed and "unreviewed" not in match.decision else "",
                    ),
                    Cell(span, shortness),
                    Cell(whole(candidate.n_quarters) if candidate is not None else MISSING),
                    Cell(number(match.distance, 3)),
                    Cell(number(candidate.expected_noise if candidate is not None else None, 3)),
                    Cell(whole(match.distance_rank)),
                )
            )
        )
    matched = {match.treated_la_code for match in matches}
    for site in data.sites.rows:
        if matches and site.la_code not in matched:
            rows.append(
                Row(
                    (
                        Cell(data.authority(site.la_code)),
                        Cell(english_date(site.go_live_date)),
                        Cell("none: it leaves this outcome"),
                        *(Cell(MISSING) for _ in range(6)),
                    )
                )
            )
    return Grid(
        caption="Each treated authority and its comparators",
        headers=(
            "Treated",
            "Go-live",
            "Comparator",
            "Decision",
            "Matched on",
            "Quarters",
            "Distance",
            "By chance",
            "Rank",
        ),
        rows=tuple(rows),
        n_text_columns=5,
        notes=(
            "By chance: the distance that sampling alone would put between two authorities with the same trend.",
        ),
        absent_because=data.matches.absent_because or "no pair was matched for this outcome.",
    )


def _trends(data: ReportData, disclosure: Disclosure) -> tuple[Trend, ...]:
    return tuple(
        _trend(data, disclosure, match, place) for place, match in enumerate(data.own_matches, start=1)
    )


def _trend(data: ReportData, disclosure: Disclosure, match: Match, place: int) -> Trend:
    unit = EffectUnit.of(data.outcome.kind)
    pair = (match.treated_la_code, match.comparator_la_code)
    names = [data.authority(code) for code in pair]
    heading = f"{names[0]} with {names[1]}"
    means: dict[tuple[str, dt.date], tuple[int | None, float | None]] = {}
    for row in data.quarters.rows:
        if row.outcome == match.outcome and row.la_code in pair:
            means[(row.la_code, row.quarter_start)] = (row.n_children, row.mean_value)
    in_distance: set[dt.date] = set()
    of_series: set[dt.date] = set()
    for point in data.series.rows:
        if point.outcome == match.outcome and point.treated_la_code == pair[0] and point.la_code in pair:
            # What the run matched on stands, even where the warehouse was built anew since.
            means[(point.la_code, point.quarter_start)] = (point.n_children, point.mean_value)
            of_series.add(point.quarter_start)
            if point.is_in_distance:
                in_distance.add(point.quarter_start)
    base = max((day for day in of_series if in_distance and day < min(in_distance)), default=None)
    entering = in_distance | ({base} if base else set())
    excluded_from = _months_before(match.go_live_date, data.outcome.window_months or 0)
    points = [
        TrendPoint(data.authority(code), code == pair[0], day, mean * unit.multiplier, day in entering)
        for (code, day), (n_children, mean) in sorted(
            means.items(), key=lambda item: (item[0][1], item[0][0])
        )
        if mean is not None and n_children != 0 and not disclosure.is_small(n_children)
    ]
    table = Grid(
        caption=f"{heading}: mean by quarter, {unit.level_suffix.strip()}",
        headers=("Quarter", "Enters the distance", "Period", *names),
        rows=tuple(
            Row(
                (
                    Cell(quarter(day)),
                    Cell(
                        "as base of the first change" if day == base else "yes" if day in entering else "no"
                    ),
                    Cell(_period(day, excluded_from, match.go_live_date)),
                    *(Cell(_quarter_mean(means.get((code, day)), unit, disclosure)) for code in pair),
                )
            )
            for day in sorted({day for _, day in means})
        ),
        n_text_columns=3,
        absent_because="there are no quarters of this pair.",
    )
    if not points:
        return Trend(
            heading, None, "", table, "neither the run nor the warehouse holds quarters of this pair."
        )
    drawing = charts.trend_chart(
        points,
        key=f"trend-{place}",
        title=f"Quarterly trend of {heading}",
        unit=f"Mean of the outcome, {unit.level_suffix.strip()}",
        go_live=match.go_live_date,
        excluded_from=excluded_from,
    )
    caption = (
        f"{names[0]} (treated: solid line, circles) and {names[1]} (comparator: dashed line, squares). Filled marks are "
        f"quarters that enter the distance. Shaded: the {data.outcome.window_months or 0} months before go-live on "
        f"{english_date(match.go_live_date)}, left out of matching. Distance {number(match.distance, 3)}, rank "
        f"{whole(match.distance_rank)}."
    )
    return Trend(heading, drawing, caption, table)


def _quarter_mean(
    found: tuple[int | None, float | None] | None, unit: EffectUnit, disclosure: Disclosure
) -> str:
    if found is None or found[1] is None or found[0] == 0:
        return MISSING
    if disclosure.is_small(found[0]):
        return f"<{disclosure.threshold} children"
    return number(found[1] * unit.multiplier, 1)


def _period(day: dt.date, excluded_from: dt.date, go_live: dt.date) -> str:
    ends = _months_after(day, 3)
    if day >= go_live:
        return "after go-live"
    if ends > go_live:
        return "quarter of go-live"
    return "follow-up overlaps go-live" if ends > excluded_from else "before"


def _months_before(day: dt.date, months: int) -> dt.date:
    return (pd.Timestamp(day) - pd.DateOffset(months=months)).date()


def _months_after(day: dt.date, months: int) -> dt.date:
    return (pd.Timestamp(day) + pd.DateOffset(months=months)).date()


def _treated_codes(data: ReportData) -> list[str]:
    """Treated authorities with candidates, in order of roll-out."""
    order = {site.la_code: site.roll_out_order or 0 for site in data.sites.rows}
    found = {row.treated_la_code for row in data.candidates.rows if row.outcome == data.outcome.outcome}
    return sorted(found, key=lambda code: (order.get(code, len(order)), code))


def _candidates(data: ReportData) -> tuple[Grid, ...]:
    treated = _treated_codes(data)
    kept = [
        row
        for row in data.candidates.rows
        if row.outcome == data.outcome.outcome and row.is_kept and row.distance_rank is not None
    ]
    chosen = {(match.treated_la_code, match.comparator_la_code) for match in data.own_matches}
    if not kept:
        return (
            Grid(
                "Candidates", absent_because=data.candidates.absent_because or "no authority was a candidate."
            ),
        )
    by_cell = {(row.treated_la_code, row.distance_rank): row for row in kept}
    ranks = sorted({row.distance_rank for row in kept if row.distance_rank is not None})
    grids = []
    for start in range(0, len(treated), MATRIX_COLUMNS):
        columns = treated[start : start + MATRIX_COLUMNS]
        rows = []
        for rank in ranks:
            cells = [Cell(str(rank))]
            for code in columns:
                row = by_cell.get((code, rank))
                if row is None:
                    cells.append(Cell(MISSING))
                    continue
                is_chosen = (code, row.candidate_la_code) in chosen
                cells.append(
                    Cell(
                        f"{'▸ ' if is_chosen else ''}{data.authority(row.candidate_la_code)}",
                        f"{number(row.distance, 3)}{', taken' if is_chosen else ''}",
                    )
                )
            rows.append(Row(tuple(cells)))
        grids.append(
            Grid(
                caption="Candidates kept for each treated authority, by rank of distance",
                headers=("Rank", *(data.authority(code) for code in columns)),
                rows=tuple(rows),
                n_text_columns=1 + len(columns),
                notes=("▸ marks a comparator taken. The number is the distance: smaller is closer.",),
            )
        )
    return tuple(grids)


def _without_quarters(reason: str) -> str:
    """A reason without how many quarters it holds in, so that like reasons are counted together."""
    return re.sub(r" in \d+ of \d+ quarters$", " in one quarter of the window or more", reason)


def _non_candidates(data: ReportData) -> Grid:
    treated = _treated_codes(data)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in data.candidates.rows:
        if (
            row.outcome == data.outcome.outcome
            and not row.is_candidate
            and row.candidate_la_code != row.treated_la_code
        ):
            counts[_without_quarters(row.reason or "no reason given")][row.treated_la_code] += 1
    ordered = sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return Grid(
        caption="Number of authorities that could not be comparators, by reason and treated authority",
        headers=("Reason", *(data.authority(code) for code in treated)),
        rows=tuple(
            Row((Cell(upper_first(reason)), *(Cell(str(by_code.get(code, 0))) for code in treated)))
            for reason, by_code in ordered
        ),
        absent_because=data.candidates.absent_because or "every authority was a candidate.",
    )


# -- balance -----------------------------------------------------------------------------------------------


def _own_balance(data: ReportData) -> list[BalanceRow]:
    return [row for row in data.balance.rows if row.outcome == data.outcome.outcome]


def _is_standardised(row: BalanceRow) -> bool:
    return row.measure.startswith(("smd", "standardised", "standardized"))


def _balance_drawing(data: ReportData) -> Drawing | None:
    points = []
    for row in _own_balance(data):
        is_mirror = row.level == "false"  # the difference of "yes" with the other sign
        if (
            _is_standardised(row)
            and not is_mirror
            and (row.value_before is not None or row.value_after is not None)
        ):
            points.append(
                BalancePoint(
                    comparison.level_label(data, row.covariate, row.level), row.value_before, row.value_after
                )
            )
    if not points:
        return None
    drawn = sorted(
        points, key=lambda point: (-max(abs(point.before or 0.0), abs(point.after or 0.0)), point.label)
    )[:MOST_DRAWN]
    drawn.sort(key=lambda point: (-abs(point.before or 0.0), point.label))
    return charts.love_plot(
        drawn,
        key="balance-chart",
        title="Balance of characteristics before and after matching",
        reference=data.parameter("report_balance_reference"),
    )


def _imbalance(data: ReportData) -> Grid:
    rows = [row for row in _own_balance(data) if not _is_standardised(row)]
    return Grid(
        caption="Imbalance over all characteristics together",
        headers=("Measure", "Over", "Before matching", "After matching"),
        rows=tuple(
            Row(
                (
                    Cell(upper_first(words(row.measure))),
                    Cell(comparison.level_label(data, row.covariate, row.level)),
                    Cell(number(row.value_before, 3)),
                    Cell(number(row.value_after, 3)),
                )
            )
            for row in rows
        ),
        n_text_columns=2,
        notes=(
            "L1 is 0 where the arms have the same make-up and 1 where they share no cell. On the cells matched on it is 0 "
            "after matching by construction, a check; fine cells show what coarse bands leave.",
        ),
        absent_because=data.balance.absent_because or "the run stored no overall measure of imbalance.",
    )


def _balance(data: ReportData) -> Grid:
    rows = [row for row in _own_balance(data) if _is_standardised(row)]
    return Grid(
        caption="Means of the arms and standardised mean differences (SMD)",
        headers=(
            "Characteristic",
            "Treated before",
            "Comparators before",
            "SMD before",
            "Treated after",
            "Comparators after",
            "SMD after",
        ),
        rows=tuple(
            Row(
                (
                    Cell(comparison.level_label(data, row.covariate, row.level)),
                    *(
                        Cell(number(value, 2))
                        for value in (
                            row.treated_before,
                            row.control_before,
                            row.value_before,
                            row.treated_after,
                            row.control_after,
                            row.value_after,
                        )
                    ),
                )
            )
            for row in rows
        ),
        absent_because=data.balance.absent_because,
    )


# -- assumptions, diagnostics, quality, provenance ---------------------------------------------------------


def _assumptions(data: ReportData, disclosure: Disclosure, is_unreviewed: bool) -> tuple[Item, ...]:
    items = [
        Item(
            "Parallel trends",
            "Without the programme the outcome would have moved alike in a treated authority and its comparators. Matching on "
            "earlier trends supports this and cannot prove it.",
        )
    ]
    assumed_sites = [site for site in data.sites.rows if site.is_assumed]
    if assumed_sites:
        items.append(
            Item(
                "Assumed go-live dates",
                listing(
                    f"{data.authority(site.la_code)} {english_date(site.go_live_date)}"
                    for site in sorted(
                        assumed_sites, key=lambda site: (site.roll_out_order or 0, site.la_code)
                    )
                )
                + ". On what ground each was assumed is in the protocol's seed of sites. A wrong date puts children on the "
                "wrong side of go-live, which tends to pull the estimate towards zero.",
            )
        )
    items.append(Item("Who counts as treated", _treatment_text(data, disclosure)))
    assumed_exclusions: dict[str, list[str]] = defaultdict(list)
    for exclusion in data.exclusions.rows:
        if exclusion.is_assumed:
            assumed_exclusions[exclusion.reason].append(data.authority(exclusion.la_code))
    if assumed_exclusions:
        items.append(
            Item(
                "Assumed exclusions from the comparators",
                "; ".join(
                    f"{reason}: {listing(sorted(names))}"
                    for reason, names in sorted(assumed_exclusions.items())
                )
                + ". The protocol gives the rule; that these authorities fall under it is assumed.",
            )
        )
    others: dict[str, list[str]] = defaultdict(list)
    for row in data.other_programmes.rows:
        if row.is_assumed:
            others[row.other_programme].append(data.authority(row.la_code))
    if others:
        items.append(
            Item(
                "Assumed dates of other programmes",
                "The covariate for other programmes uses assumed dates for "
                + "; ".join(f"{name} ({listing(sorted(places))})" for name, places in sorted(others.items()))
                + ".",
            )
        )
    if is_unreviewed:
        items.append(
            Item(
                "Unreviewed comparators",
                "Where no reviewer has accepted a comparator, the nearest by distance stands in for one.",
            )
        )
    short = sorted(
        {
            row.treated_la_code
            for row in data.candidates.rows
            if row.outcome == data.outcome.outcome and row.is_short_series
        }
    )
    if short:
        wanted = whole(int(data.parameter("matching_quarters")))
        items.append(
            Item(
                "Short series",
                f"{listing(data.authority(code) for code in short)}: fewer than {wanted} full quarters lie between the start of "
                "the data and go-live less the follow-up window, so the trend was matched on fewer.",
            )
        )
    items.append(Item("Missing values", _missing_text(data)))
    items.append(
        Item(
            "One authority at a time",
            "A child is an authority and that authority's identifier together. A child who moves is another child there, and what happens "
            "there is not seen as the first child's outcome; where this differs between the arms it biases the estimate.",
        )
    )
    items.append(
        Item(
            "First referral",
            f"The first {words(data.outcome.index_event).replace('first ', '')} is the first within "
            f"{english_date(data.programme.trial_start)} to {english_date(data.programme.trial_end)}: earlier ones are not looked for, "
            "so later cohorts hold mostly children not seen since the data begin.",
        )
    )
    items.append(Item("Linear model", _linear_text(data)))
    items.append(
        Item(
            "No spill-over and no anticipation",
            "The programme of one authority does not change the outcome in its comparators, and did not change practice before go-live.",
        )
    )
    if data.run.note:
        items.append(Item("Note of the run", sentence(data.run.note)))
    return tuple(items)


def _treatment_text(data: ReportData, disclosure: Disclosure) -> str:
    months = data.outcome.window_months
    text = "A child is treated if the child's authority was live on the day of the index event."
    if months:
        text += (
            f" Children whose index event fell in the {months} months before go-live lived part of their follow-up under the "
            "programme yet count as untreated, which tends to make the estimate conservative (nearer zero)."
        )
    if data.exposure is not None:
        counts = [data.exposure.n_after, data.exposure.n_partly_exposed, data.exposure.n_before]
        after, partly, before = disclosure.counts(counts)
        text += (
            f" Of the matched children in treated authorities, {after} had their index event after go-live, {partly} before it "
            f"but were partly exposed, and {before} were not exposed at all."
        )
    return text


def _missing_text(data: ReportData) -> str:
    share = percent(data.parameter("missing_covariate_share_max"), 0)
    if data.n_imputations > 1:
        return f"Missing covariates were imputed {data.n_imputations} times; one missing for over {share} is left out."
    return (
        "A child whose outcome is not fully observed is left out. A missing covariate is a category of its own, in matching and in "
        f"the regression; nothing is imputed in this run, and a covariate missing for over {share} is left out."
    )


def _linear_text(data: ReportData) -> str:
    low, high = data.parameter("linear_baseline_min"), data.parameter("linear_baseline_max")
    span = f"{percent(low, 0)} to {percent(high, 0)}"
    baseline = data.headline.baseline_mean if data.headline is not None else None
    if data.outcome.kind != "binary":
        return "The model is linear in the outcome."
    if baseline is None:
        return f"Registered where the baseline lies within {span}; the run stored no baseline."
    if low <= baseline <= high:
        return (
            f"The baseline, {percent(baseline, 2)}, lies within {span}, where the registered model is linear."
        )
    return (
        f"The baseline, {percent(baseline, 2)}, lies outside {span}, where the registered model is logistic: read this linear estimate "
        "with care."
    )


def _parameters(data: ReportData) -> Grid:
    return Grid(
        caption="Numbers of the protocol",
        headers=("Number", "Source", "Mark", "Value", "Unit"),
        rows=tuple(
            Row(
                (
                    Cell(upper_first(words(row.parameter))),
                    Cell(row.source),
                    Cell("registered" if row.is_registered else "our addition"),
                    Cell(statistic(row.parameter_value)),
                    Cell(row.unit),
                )
            )
            for row in data.parameters.rows
        ),
        n_text_columns=3,
        absent_because=data.parameters.absent_because,
    )


def _diagnostics(data: ReportData) -> Grid:
    rows = sorted(
        data.diagnostics.rows,
        key=lambda row: (
            not row.is_flagged,
            row.outcome != data.outcome.outcome,
            row.outcome,
            row.diagnostic,
            row.specification,
        ),
    )
    several = len({row.specification for row in rows}) > 1
    return Grid(
        caption="Checks of this run, flagged ones first",
        headers=("Check", "In words", "Flag", "Value", "Threshold", "df", "p"),
        rows=tuple(
            Row(
                (
                    Cell(
                        upper_first(words(row.diagnostic)),
                        _specification_name(row.specification) if several else "",
                    ),
                    Cell(sentence(words(row.meaning))),
                    Cell({True: "flagged", False: "no", None: MISSING}[row.is_flagged]),
                    Cell(statistic(row.statistic)),
                    Cell(statistic(row.threshold)),
                    Cell(degrees(row.df)),
                    Cell(p_value(row.p_value)),
                ),
                "flagged" if row.is_flagged else "",
            )
            for row in rows
        ),
        n_text_columns=3,
        absent_because=data.diagnostics.absent_because,
    )


def _quality(data: ReportData, disclosure: Disclosure) -> Grid:
    checks = sorted(data.quality.rows, key=lambda row: row.check_name)
    every = [count for row in checks for count in (row.n_records, row.n_failed)]
    texts = disclosure.counts(every, also=[row.n_records - row.n_failed for row in checks])
    rows = []
    for row, n_records, n_failed in zip(checks, texts[::2], texts[1::2], strict=True):
        is_hidden = (
            disclosure.is_small(row.n_failed) or disclosure.is_small(row.n_records) or not row.n_records
        )
        years = (
            f"{row.first_year} to {row.last_year}"
            if row.first_year is not None and row.first_year != row.last_year
            else whole(row.first_year, separated=False)
        )
        rows.append(
            Row(
                (
                    Cell(upper_first(words(row.check_name))),
                    Cell(years),
                    Cell(n_records),
                    Cell(n_failed),
                    Cell(MISSING if is_hidden else percent(row.n_failed / row.n_records, 1)),
                    Cell(f"{row.n_authorities_failed} of {row.n_authorities}"),
                )
            )
        )
    return Grid(
        caption="Checks of what was landed, all authorities and years together",
        headers=("Check", "Return years", "Records", "Failed", "Share failed", "Authorities with a failure"),
        rows=tuple(rows),
        n_text_columns=2,
        absent_because=data.quality.absent_because,
    )


def _links(data: ReportData, disclosure: Disclosure) -> Grid:
    rows = sorted(data.links.rows, key=lambda row: (row.financial_year, _arm_order(row.arm)))
    every = [count for row in rows for count in (row.n_children, row.n_linked, row.n_in_two_authorities)]
    differences = [row.n_children - row.n_linked for row in rows]
    is_rounded = any(disclosure.is_small(count) for count in (*every, *differences))
    return Grid(
        caption="Children linked to school records, and pupils seen in two authorities, by arm",
        headers=("Year", "Arm", "Children", "Linked", "Share linked", "In two authorities"),
        rows=tuple(
            Row(
                (
                    Cell(financial_year(row.financial_year)),
                    Cell(_arm_name(row.arm)),
                    Cell(disclosure.count(row.n_children, rounded=is_rounded)),
                    Cell(disclosure.count(row.n_linked, rounded=is_rounded)),
                    Cell(_shown_share(row.n_linked, row.n_children, disclosure, is_rounded)),
                    Cell(disclosure.count(row.n_in_two_authorities, rounded=is_rounded)),
                )
            )
            for row in rows
        ),
        n_text_columns=2,
        notes=("By financial year of the index event; the same rule for small counts.",),
        absent_because=data.links.absent_because,
    )


def _provenance(data: ReportData) -> Grid:
    run = data.run
    took = (
        MISSING
        if run.ended_at is None
        else f"{number((run.ended_at - run.started_at).total_seconds(), 0)} seconds"
    )
    facts = [
        ("Run", run.run_id),
        ("Programme", run.programme),
        ("Started", english_date(run.started_at)),
        ("Ended", english_date(run.ended_at)),
        ("Took", took),
        ("Code", run.code_version),
        ("Hash of the protocol's seeds", run.seeds_hash),
        ("Hash of the input", run.input_hash),
        ("Random seed", str(run.random_seed)),
        ("Command", run.command or MISSING),
        ("Matches", "unreviewed" if run.is_unreviewed else "reviewed"),
        ("Note", run.note or MISSING),
    ]
    return Grid(
        caption="The run",
        headers=("What", "Value"),
        rows=tuple(Row((Cell(name), Cell(value))) for name, value in facts),
        n_text_columns=2,
    )


def _packages(data: ReportData) -> Grid:
    try:
        found = json.loads(data.run.package_versions)
    except ValueError:
        found = None
    pairs: Iterable[tuple[str, str]]
    if isinstance(found, Mapping):
        pairs = sorted((str(name), str(version)) for name, version in found.items())
    else:
        text = data.run.package_versions.replace("\n", ",").replace(";", ",")
        pairs = [
            (name.strip(), version.strip())
            for name, _, version in (
                item.replace("==", "=").partition("=") for item in text.split(",") if item.strip()
            )
        ]
    return Grid(
        caption="Packages",
        headers=("Package", "Version"),
        rows=tuple(Row((Cell(name), Cell(version))) for name, version in pairs),
        n_text_columns=2,
        absent_because="the run stored no package versions.",
    )


def _readings(data: ReportData, unit: EffectUnit) -> Readings:
    level = _level(data)
    return Readings(
        estimates=(
            f"Each row is the same question under another method. The effect is in {unit.name}; below zero is a fall. An "
            f"interval that includes zero does not settle the direction. With few authorities the methods can differ: the headline was "
            "chosen before results, the others show how much rests on that choice."
        ),
        children=(
            "Bold rows are children that remain; indented rows are children who leave, and why. The sample is who the answer is about."
        ),
        authorities=(
            "Each treated authority is compared with authorities whose outcome moved like its own before go-live. The distance is the "
            "typical difference between their quarterly changes, in standard deviations of authorities; much of it is chance."
        ),
        trends=(
            "Before the shaded stretch the two lines should move in parallel, not lie on top of each other. Inside it, part of each child's "
            "follow-up comes after go-live. After the vertical line, a gap that opens is what the estimate measures."
        ),
        evidence=(
            "A placebo estimate pretends that the programme had begun earlier, when it had not: it should be near zero. The constant gap "
            "asks whether the two authorities' difference moved more than chance. Quarterly means of one authority are noisy, so look at how "
            "many other authorities show as much."
        ),
        checks=(
            "These use the matched children of all groups together. A small p-value speaks against the comparison; a large one only says that "
            "nothing was seen with this many authorities."
        ),
        sensitivity=(
            "If the estimates on other comparators lie close to the headline, little rests on which authorities were taken. If they scatter, the "
            "answer depends on that choice and should be read so."
        ),
        balance=(
            "After matching, marks should lie close to zero: the arms are then alike on that characteristic. Characteristics that "
            "nobody recorded may still differ."
        ),
        matched=(
            "A child is matched if the other arm holds a child alike on every listed characteristic. Unmatched children are not in the estimate."
        ),
        diagnostics=(
            "A flag does not overturn the estimate; it names something to weigh before relying on it. A threshold is the value beyond which the "
            "check is flagged."
        ),
        quality=(
            "A record that fails a check may still be used; the checks show where the returns are weak, not the children."
        ),
        provenance=(
            f"With the same input, seeds, code and random seed the run gives the same numbers, including every {level} interval."
        ),
    )
