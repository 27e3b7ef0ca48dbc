"""Several outcomes tested side by side: p-values adjusted for their number."""

from __future__ import annotations

import math
from collections.abc import Mapping

from statsmodels.stats.multitest import multipletests


def hochberg(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Adjust p-values by Hochberg's step-up procedure.

    With ``p(1) <= ... <= p(k)``, the adjusted ``p(i)`` is the least of ``(k - j + 1) p(j)`` over ``j >= i``. Rejecting
    where it is at most ``alpha`` keeps the probability of any false rejection at or below ``alpha`` where the tests are
    independent or positively dependent.

    Source: Hochberg (1988), Biometrika 75: 800-802.

    Args:
        p_values: by outcome; ``None`` (or NaN) where an outcome has no p-value, which then does not count towards ``k``.

    Returns:
        The adjusted p-values in the same order, ``None`` where there was none.

    Raises:
        ValueError: a p-value is not between 0 and 1.

    Example:
        >>> hochberg({"days": 0.04, "plans": 0.01, "looked_after": None})
        {'days': 0.04, 'plans': 0.02, 'looked_after': None}
    """
    present = {name: float(p) for name, p in p_values.items() if p is not None and not math.isnan(p)}
    for name, p in present.items():
        if not 0 <= p <= 1:
            raise ValueError(f"the p-value of {name} is {p}, not between 0 and 1")
    if not present:
        return dict.fromkeys(p_values)
    adjusted = multipletests(list(present.values()), method="simes-hochberg")[1]
    by_name = {name: float(p) for name, p in zip(present, adjusted, strict=True)}
    return {name: by_name.get(name) for name in p_values}
