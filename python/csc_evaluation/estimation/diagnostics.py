"""What a run says about itself: numbers beside their thresholds, each with its meaning in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from csc_evaluation.estimation.inference import Inference, minimum_detectable_effect
from csc_evaluation.estimation.protocol import Outcome, Parameters, Protocol
from csc_evaluation.estimation.sample import RegressionSample
from csc_evaluation.matching.authorities import AuthorityMatching
from csc_evaluation.matching.cem import ChildMatching


@dataclass(frozen=True)
class Diagnostic:
    """One row of ``results.diagnostics``: a number, the threshold it is held against, and what it means in words."""

    outcome: str
    specification: str
    diagnostic: str
    statistic: float | None
    df: float | None
    p_value: float | None
    threshold: float | None
    is_flagged: bool | None
    meaning: str


class _Remarks:
    def __init__(self, protocol: Protocol, outcome: Outcome) -> None:
        self._key = (outcome.outcome, protocol.specification.specification)
        self.rows: list[Diagnostic] = []

    def add(
        self,
        diagnostic: str,
        statistic: float | None,
        meaning: str,
        *,
        df: float | None = None,
        threshold: float | None = None,
        flagged: bool = False,
    ) -> None:
        self.rows.append(Diagnostic(*self._key, diagnostic, statistic, df, None, threshold, flagged, meaning))


def nothing_matched(protocol: Protocol, outcome: Outcome, authorities: AuthorityMatching) -> Diagnostic:
    """The remark on an outcome for which no treated authority has a comparator."""
    remarks = _Remarks(protocol, outcome)
    reasons = "; ".join(
        f"{row.treated_la_code}: {row.reason}" for row in authorities.departures_of(outcome.outcome)
    )
    remarks.add(
        "not_estimated",
        None,
        f"No treated authority has a comparator for this outcome, so there is no estimate ({reasons}).",
        flagged=True,
    )
    return remarks.rows[0]


def diagnose(
    protocol: Protocol,
    outcome: Outcome,
    sample: RegressionSample,
    matching: ChildMatching,
    authorities: AuthorityMatching,
    *,
    headline: Inference,
    dropped_columns: Sequence[str],
    baseline: float | None,
    is_testable: bool,
) -> list[Diagnostic]:
    """All remarks on one estimated outcome, the headline in words first.

    Args:
        protocol: seeds of the programme.
        outcome: the outcome.
        sample: the regression's cells.
        matching: children matched.
        authorities: authorities matched.
        headline: the inference of the headline row.
        dropped_columns: columns left out as collinear.
        baseline: weighted mean among treated authorities before go-live, if there is one.
        is_testable: whether there are treated authorities enough for a p-value and an interval.
    """
    remarks = _Remarks(protocol, outcome)
    parameters = protocol.parameters
    _on_effect(remarks, outcome, headline, parameters, is_testable=is_testable)
    _on_treated_authorities(remarks, sample, parameters, is_testable=is_testable)
    _on_baseline(remarks, outcome, baseline, parameters)
    _on_authorities(remarks, outcome, authorities, parameters)
    _on_children(remarks, matching, parameters)
    if dropped_columns:
        remarks.add(
            "collinear_columns_dropped",
            len(dropped_columns),
            "Left out of the regression because other columns already say the same: "
            + ", ".join(dropped_columns)
            + ".",
        )
    assumed = [site.la_code for site in protocol.sites if site.is_assumed]
    if assumed:
        remarks.add(
            "assumed_go_live_dates",
            len(assumed),
            "Go-live dates that are assumed, not published, of authorities " + ", ".join(assumed) + ".",
            flagged=True,
        )
    return remarks.rows


def _on_effect(
    remarks: _Remarks, outcome: Outcome, headline: Inference, parameters: Parameters, *, is_testable: bool
) -> None:
    mdes = minimum_detectable_effect(
        headline.std_error,
        headline.df,
        significance_level=parameters.significance_level,
        power=parameters.power,
    )
    effect = f"{outcome.outcome_label}: {_change(outcome, headline.estimate)} where the programme was live"
    if is_testable:
        sentence = (
            f"{effect} ({headline.confidence_level:.0%} interval {_change(outcome, headline.ci_low, unit=False)} to "
            f"{_change(outcome, headline.ci_high)}; p = {headline.p_value:.3f}). With this design an effect of "
            f"{_amount(outcome, mdes)} would have been seen with a probability of {parameters.power:.0%}."
        )
    else:
        sentence = f"{effect}; too few treated authorities for an interval."
    remarks.add("headline", headline.estimate, sentence)
    remarks.add(
        "minimum_detectable_effect",
        mdes,
        f"A true effect of {_amount(outcome, mdes)} would have been found with a probability of "
        f"{parameters.power:.0%} at a significance level of {parameters.significance_level:g}, "
        "given the headline's standard error and degrees of freedom.",
        df=headline.df,
    )


def _on_treated_authorities(
    remarks: _Remarks, sample: RegressionSample, parameters: Parameters, *, is_testable: bool
) -> None:
    n_treated = len(sample.treated_clusters)
    remarks.add(
        "treated_authorities",
        n_treated,
        f"Treated authorities with children referred after go-live: {n_treated} of "
        f"{len(sample.cluster_names)} authorities in the regression."
        + ("" if is_testable else " Too few for a p-value or an interval from these methods."),
        threshold=parameters.treated_clusters_min,
        flagged=not is_testable,
    )


def _on_baseline(remarks: _Remarks, outcome: Outcome, baseline: float | None, parameters: Parameters) -> None:
    if baseline is None:
        remarks.add(
            "baseline_mean",
            None,
            "No matched child of a treated authority was referred before go-live.",
            flagged=True,
        )
        return
    low, high = parameters.linear_baseline_min, parameters.linear_baseline_max
    is_outside = outcome.kind == "binary" and not low <= baseline <= high
    mean = f"{baseline:.2%}" if outcome.kind == "binary" else _amount(outcome, baseline)
    remarks.add(
        "baseline_mean",
        baseline,
        f"Before go-live the weighted mean among matched children of treated authorities was {mean}."
        + (
            f" That is outside {low:.0%} to {high:.0%}, where the protocol asks for a logistic model as well; "
            "that model is not yet available, so the linear estimate stands alone."
            if is_outside
            else ""
        ),
        threshold=(low if baseline < low else high) if outcome.kind == "binary" else None,
        flagged=is_outside,
    )


def _on_authorities(
    remarks: _Remarks, outcome: Outcome, authorities: AuthorityMatching, parameters: Parameters
) -> None:
    matches = authorities.matches_of(outcome.outcome)
    n_unreviewed = sum(match.is_unreviewed for match in matches)
    remarks.add(
        "unreviewed_pairs",
        n_unreviewed,
        f"{n_unreviewed} of {len(matches)} pairs of authorities stand without a reviewer's verdict on the present list of "
        "candidates." + (" Everything built on them is unreviewed." if n_unreviewed else ""),
        flagged=n_unreviewed > 0,
    )
    for match in matches:
        chance = (
            ""
            if match.expected_noise is None
            else f"; sampling alone would put two authorities with the same trend {match.expected_noise:.2f} apart"
        )
        remarks.add(
            "match_distance",
            match.distance,
            f"Authorities {match.treated_la_code} and {match.comparator_la_code} are {match.distance:.2f} apart in their "
            f"quarterly changes{chance}.",
            threshold=match.expected_noise,
        )
    comparators = {match.comparator_la_code for match in matches}
    is_one_for_all = len(comparators) == 1
    remarks.add(
        "comparator_authorities",
        len(comparators),
        f"Comparator authorities: {len(comparators)}."
        + (
            " What this one does alone is in every difference and in no standard error: errors are too small and p-values cannot be "
            "relied on. Look at the estimates on more comparators."
            if is_one_for_all
            else ""
        ),
        flagged=is_one_for_all,
    )
    for departure in authorities.departures_of(outcome.outcome):
        remarks.add(
            "treated_authority_left",
            None,
            f"Authority {departure.treated_la_code} leaves this outcome: {departure.reason}.",
            flagged=True,
        )
    for window in authorities.windows:
        if window.outcome == outcome.outcome and window.quarters and window.is_short:
            remarks.add(
                "short_matching_series",
                len(window.quarters),
                f"Authority {window.site.la_code} is matched on {len(window.quarters)} quarters; "
                f"the protocol asks for {parameters.matching_quarters}.",
                threshold=parameters.matching_quarters,
                flagged=True,
            )


def _on_children(remarks: _Remarks, matching: ChildMatching, parameters: Parameters) -> None:
    limit = parameters.cem_treated_loss_share_max
    remarks.add(
        "treated_loss_share",
        matching.treated_loss_share,
        f"{matching.treated_loss_share:.2%} of the treated children found no comparator child in their stratum and left; "
        f"the strata are {', '.join(matching.strata_variables)}.",
        threshold=limit,
        flagged=matching.treated_loss_share > limit,
    )
    if matching.dropped_variables:
        remarks.add(
            "strata_variables_dropped",
            matching.treated_loss_share_first,
            f"{', '.join(matching.dropped_variables)} left the strata: with it {matching.treated_loss_share_first:.2%} of the "
            f"treated children would have gone, over {limit:.0%}.",
            threshold=limit,
            flagged=True,
        )
    remarks.add(
        "shared_comparators",
        matching.n_shared_comparators,
        f"Comparator authorities that serve more than one treated authority: {matching.n_shared_comparators}. "
        "Their children are one row each, their weights added up.",
    )
    for missing in matching.missingness:
        if missing.share > 0:
            remarks.add(
                "covariate_missing_share",
                missing.share,
                f"{missing.covariate} is missing for {missing.share:.1%} of the children in matched groups; "
                + (
                    "it leaves both the strata and the regression."
                    if missing.is_dropped
                    else "missing is a level of its own (imputation is not yet available)."
                ),
                threshold=parameters.missing_covariate_share_max,
                flagged=missing.is_dropped,
            )


def _change(outcome: Outcome, value: float, *, unit: bool = True) -> str:
    if outcome.kind == "binary":
        return f"{100 * value:+.2f}" + (" percentage points" if unit else "")
    return f"{value:+.2f}" + (f" {outcome.kind}" if unit else "")


def _amount(outcome: Outcome, value: float) -> str:
    return (
        f"{100 * value:.2f} percentage points" if outcome.kind == "binary" else f"{value:.2f} {outcome.kind}"
    )
