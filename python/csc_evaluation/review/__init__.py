"""Review by eye: the page on which a person looks at each pair of authorities, and the way back of what they decided."""

from csc_evaluation.review.accepted import write_comparators
from csc_evaluation.review.importing import ImportReport, import_reviews
from csc_evaluation.review.page import write_review

__all__ = ["ImportReport", "import_reviews", "write_comparators", "write_review"]
