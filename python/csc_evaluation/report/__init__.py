"""The pages: what a run found and under which assumptions, and which authorities' returns to doubt."""

from csc_evaluation.report.page import write_report
from csc_evaluation.report.quality import REPORT_NAME as DATA_QUALITY
from csc_evaluation.report.quality import write_quality_report

__all__ = ["DATA_QUALITY", "write_quality_report", "write_report"]
