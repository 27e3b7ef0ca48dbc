"""A synthetic England in the formats of the real returns, with a known effect."""

from __future__ import annotations

from csc_evaluation.synthetic.config import SynthesisConfig
from csc_evaluation.synthetic.generate import SynthesisSummary, synthesise
from csc_evaluation.synthetic.truth import truth_for_run

__all__ = ["SynthesisConfig", "SynthesisSummary", "synthesise", "truth_for_run"]
