"""Hochberg's adjustment: by hand, against the step-up rule, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from csc_evaluation.estimation.multiplicity import hochberg


def test_by_hand() -> None:
    # Ordered 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04; least from the right.
    adjusted = hochberg({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert list(adjusted) == ["a", "b", "c", "d"]
    assert list(adjusted.values()) == pytest.approx([0.03, 0.04, 0.04, 0.02])


def test_outcomes_without_a_p_value_do_not_count() -> None:
    adjusted = hochberg({"a": None, "b": 0.02, "c": float("nan"), "d": 0.04})
    assert adjusted["a"] is None
    assert adjusted["c"] is None
    assert adjusted["b"] == adjusted["d"] == pytest.approx(0.04)
    assert list(adjusted) == ["a", "b", "c", "d"]
    assert hochberg({"a": None}) == {"a": None}
    assert hochberg({}) == {}


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
def test_rejects_as_the_step_up_rule_does(alpha: float) -> None:
    rng = np.random.default_rng(5)
    n_rejections = 0
    for _ in range(200):
        p = rng.uniform(0, 0.12, rng.integers(1, 8))
        adjusted = np.array(list(hochberg({str(i): float(value) for i, value in enumerate(p)}).values()))
        # The largest i with p(i) <= alpha / (k - i + 1) rejects itself and all below it.
        ordered, k = np.sort(p), len(p)
        passing = [i for i in range(k) if ordered[i] <= alpha / (k - i)]
        limit = ordered[max(passing)] if passing else -1.0
        assert ((adjusted.astype(float) <= alpha) == (p <= limit)).all()
        n_rejections += len(passing)
    assert n_rejections > 0


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match="p-value of days"):
        hochberg({"days": p})
