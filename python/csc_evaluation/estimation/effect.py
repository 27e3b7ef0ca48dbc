"""The effect of one specification on one matched sample: estimate, inference side by side, and what qualifies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from csc_evaluation.estimation.inference import Inference, cr1, cr2
from csc_evaluation.estimation.moments import least_squares_of_moments
from csc_evaluation.estimation.protocol import Outcome, Protocol, Specification
from csc_evaluation.estimation.sample import TREATED, RegressionSample

TOO_FEW_TREATED = "too few treated"
UNREVIEWED = "unreviewed"
REGISTERED_INFERENCE = "cr1_t"
"""What the trial protocol's analysis plan registered (the correction of Brewer, Crossley and Joyce 2013); others are added."""


@dataclass(frozen=True)
class Estimate:
    """One row of ``results.estimates``; units of the outcome (a share for a binary one), ``None`` where not computable.

    With too few treated authorities there is an estimate and a standard error but no p-value and no interval.
    """

    outcome: str
    specification: str
    estimator: str
    term: str
    estimate: float
    std_error: float | None
    statistic: float | None
    df: float | None
    p_value: float | None
    p_value_adjusted: float | None
    ci_low: float | None
    ci_high: float | None
    n_observations: int
    n_children: int
    n_clusters: int
    n_treated_clusters: int
    baseline_mean: float | None
    inference: str
    is_headline: bool
    is_registered: bool
    note: str | None


@dataclass(frozen=True)
class Effect:
    """The estimates of a specification, and what its diagnostics need."""

    estimates: tuple[Estimate, ...]
    headline: Inference
    """The row of ``estimates`` whose inference the specification puts first."""
    dropped_columns: tuple[str, ...]
    baseline: float | None
    is_testable: bool


def estimate_effect(
    protocol: Protocol,
    outcome: Outcome,
    specification: Specification,
    sample: RegressionSample,
    *,
    name: str | None = None,
    notes: Sequence[str] = (),
) -> Effect:
    """Fit a specification and test the effect by CR2 and CR1.

    Args:
        protocol: seeds of the programme.
        outcome: the outcome.
        specification: the specification.
        sample: the matched children, compressed.
        name: what ``results.estimates`` calls it, where one specification has several estimates.
        notes: what to say beside the estimates.

    Raises:
        NotIdentifiedError: the effect cannot be told apart from fixed effects and covariates.
    """
    parameters = protocol.parameters
    fit = least_squares_of_moments(sample.moments, required=(TREATED,))
    inferences = [method(fit, TREATED, confidence_level=parameters.confidence_level) for method in (cr2, cr1)]
    n_treated_clusters = len(sample.treated_clusters)
    is_testable = n_treated_clusters >= parameters.treated_clusters_min
    baseline = baseline_mean(sample)
    said = [*([] if is_testable else [TOO_FEW_TREATED]), *notes]
    estimates = tuple(
        Estimate(
            outcome=outcome.outcome,
            specification=name or specification.specification,
            estimator=specification.estimator,
            term=TREATED,
            estimate=row.estimate,
            std_error=row.std_error,
            statistic=row.statistic,
            df=row.df,
            p_value=row.p_value if is_testable else None,
            p_value_adjusted=None,
            ci_low=row.ci_low if is_testable else None,
            ci_high=row.ci_high if is_testable else None,
            n_observations=fit.n_rows,
            n_children=sample.n_children,
            n_clusters=len(fit.clusters),
            n_treated_clusters=n_treated_clusters,
            baseline_mean=baseline,
            inference=row.method,
            is_headline=specification.is_headline and row.method == specification.headline_inference,
            is_registered=specification.is_registered
            and outcome.is_registered
            and row.method == REGISTERED_INFERENCE,
            note="; ".join(said) or None,
        )
        for row in inferences
    )
    return Effect(
        estimates=estimates,
        headline=next(row for row in inferences if row.method == specification.headline_inference),
        dropped_columns=fit.dropped,
        baseline=baseline,
        is_testable=is_testable,
    )


def baseline_mean(sample: RegressionSample) -> float | None:
    """Weighted mean of the outcome among matched children of treated authorities before go-live; ``None`` without any."""
    before = (sample.times.is_treated_authority & ~sample.times.is_treated).to_numpy(bool)
    mass = float(sample.time_sums.sum_w[before].sum())
    return float(sample.time_sums.wy[before].sum()) / mass if mass > 0 else None
