"""The page: what was asked, on which children, with which answer, under which assumptions."""

from csc_evaluation.report.page import write_report

__all__ = ["write_report"]
