"""Landing: files in the formats that authorities and the research service use, into the warehouse's raw tables.

:func:`land` is the only writer of the schema ``raw``. Identifiers are hashed, and birth dates cut to their month,
in the stream, before anything reaches the disk.
"""

from __future__ import annotations

from csc_evaluation.landing.process import LandingInterrupted, land
from csc_evaluation.landing.rejects import RecordCount, Reject
from csc_evaluation.landing.report import FileOutcome, LandingReport, ReasonCount, render_report

__all__ = [
    "FileOutcome",
    "LandingInterrupted",
    "LandingReport",
    "ReasonCount",
    "RecordCount",
    "Reject",
    "land",
    "render_report",
]
