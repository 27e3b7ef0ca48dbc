"""Rubin's rules: one inference from those of several imputed data sets.

With ``m`` sets, estimates ``Q_i`` and squared standard errors ``U_i``, ``Q`` the mean of the ``Q_i``, ``W`` the mean of
the ``U_i``, ``B`` the variance of the ``Q_i`` (divisor ``m - 1``) and ``T = W + (1 + 1/m) B``, the pooled statistic
``Q / sqrt(T)`` has a t distribution whose degrees of freedom (Barnard and Rubin 1999) never exceed those of complete
data. Statistics and intervals come from the pooled estimate and error; p-values are never averaged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from csc_evaluation.estimation.inference import Inference, t_test

AGREEMENT_TOLERANCE = 1e-12
"""Estimates closer together than this share of their size or error are the same number, apart from rounding."""


@dataclass(frozen=True)
class Pooled(Inference):
    """A test of one coefficient, pooled over imputed sets.

    Attributes:
        n_imputations: ``m``.
        within: ``W``, what the error of complete data contributes to the variance.
        between: ``B``, how much the estimates of the sets vary.
        total: ``T``, the square of ``std_error``.
        relative_increase: ``(1 + 1/m) B / W``, by how much missing values enlarge the variance.
        fraction_missing_information: the share of the information on the coefficient that is missing.
        df_complete: degrees of freedom that complete data would have had, the mean over sets.
    """

    n_imputations: int
    within: float
    between: float
    total: float
    relative_increase: float
    fraction_missing_information: float
    df_complete: float


def pool(inferences: Sequence[Inference]) -> Pooled:
    """Pool the inferences of imputed sets by Rubin's rules.

    ``lambda = (1 + 1/m) B / T``, ``v_old = (m - 1) / lambda^2``, ``v_obs = v (v + 1) / (v + 3) (1 - lambda)`` with ``v``
    the complete-data degrees of freedom, and ``1 / df = 1 / v_old + 1 / v_obs``. ``v`` is the mean of the ``df`` of the
    inferences: ``G - 1`` under CR1, the mean Satterthwaite degrees of freedom under CR2. Where all sets give the same
    estimate nothing is lost to missing values and ``df`` is ``v`` itself (the formula would take off a factor
    ``(v + 1) / (v + 3)`` even then, which is its price for estimating the share lost).

    Sources: Rubin (1987), Multiple Imputation for Nonresponse in Surveys, section 3.3; Barnard and Rubin (1999),
    Biometrika 86: 948-955.

    Args:
        inferences: one per imputed set; same method, term and confidence level.

    Returns:
        The pooled test. One set gives back its inference.

    Raises:
        ValueError: there is no set, or the sets differ in what they test or how.

    Example:
        >>> from scipy import stats
        >>> def inference(estimate, std_error):
        ...     half = stats.t.ppf(0.975, 20) * std_error
        ...     return Inference("cr1_t", "treated", estimate, std_error, estimate / std_error, 20,
        ...                      2 * stats.t.sf(abs(estimate / std_error), 20), estimate - half, estimate + half, 0.95)
        >>> pooled = pool([inference(-0.02, 0.01), inference(-0.03, 0.01), inference(-0.025, 0.01)])
        >>> round(pooled.estimate, 4), round(pooled.total, 8), round(pooled.df, 3)
        (-0.025, 0.00013333, 9.591)
    """
    if not inferences:
        raise ValueError("there is no inference to pool")
    for name in ("method", "term", "confidence_level"):
        found = sorted({str(getattr(row, name)) for row in inferences})
        if len(found) > 1:
            raise ValueError(f"inferences to pool differ in {name}: {', '.join(found)}")
    first, m = inferences[0], len(inferences)
    within = math.fsum(row.std_error**2 for row in inferences) / m
    df_complete = math.fsum(row.df for row in inferences) / m
    if m == 1:
        return Pooled(
            **asdict(first),
            n_imputations=1,
            within=within,
            between=0.0,
            total=within,
            relative_increase=0.0,
            fraction_missing_information=0.0,
            df_complete=df_complete,
        )

    estimates = [row.estimate for row in inferences]
    estimate = math.fsum(estimates) / m
    between = math.fsum((value - estimate) ** 2 for value in estimates) / (m - 1)
    spread = max(estimates) - min(estimates)
    if spread <= AGREEMENT_TOLERANCE * max(abs(estimate), math.sqrt(within)):
        between = 0.0
    inflated = (1 + 1 / m) * between
    total = within + inflated
    if between == 0.0:
        df, missing = df_complete, 0.0
    else:
        share = inflated / total
        # v (v + 1) / (v + 3), written so that an infinite v stays infinite.
        observed = df_complete * (1 - 2 / (df_complete + 3)) * (1 - share)
        df = 1 / (share**2 / (m - 1) + 1 / observed) if observed != 0 else 0.0
        missing = share + (1 - share) * 2 / (df + 3)
    pooled = t_test(first.method, first.term, estimate, math.sqrt(total), df, first.confidence_level)
    return Pooled(
        **asdict(pooled),
        n_imputations=m,
        within=within,
        between=between,
        total=total,
        relative_increase=inflated / within if within > 0 else float("inf") if between else 0.0,
        fraction_missing_information=missing,
        df_complete=df_complete,
    )
