"""Errors whose message is meant for the person at the keyboard, and the exit status each ends the command with."""

from __future__ import annotations

from typing import ClassVar


class CscError(Exception):
    """Something the user can put right: the message says what was found, where, and what would be right.

    The command line prints the message alone (no traceback) and exits with ``exit_status``.
    """

    exit_status: ClassVar[int] = 1


class WarehouseError(CscError):
    """The warehouse cannot be opened, is held by another process, or is not fit for the step asked of it."""


class SeedError(CscError):
    """A seed table of the protocol is missing a row or holds one that cannot be used."""


class StoppedByUserError(CscError):
    """Stopped from the keyboard in good order; the command line exits with status 130."""

    exit_status: ClassVar[int] = 130


class NoCandidateError(CscError):
    """No authority is left that could be a comparator, for any treated authority of any outcome."""

    exit_status: ClassVar[int] = 10


class MissingQuarterError(CscError):
    """Every treated authority lacks data in a quarter that matching on trends needs."""

    exit_status: ClassVar[int] = 11


class ConstantSeriesError(CscError):
    """No authority differs from another in any quarter, so that distances say nothing."""

    exit_status: ClassVar[int] = 12


class EmptyArmError(CscError):
    """No stratum holds children of both arms."""

    exit_status: ClassVar[int] = 13


class ReviewFileError(CscError):
    """A file of reviews cannot be read as one."""

    exit_status: ClassVar[int] = 20


class OtherCandidatesError(CscError):
    """A review is of another list of candidates than the one that stands."""

    exit_status: ClassVar[int] = 21


class UnknownAuthorityError(CscError):
    """A review names an authority, outcome or programme that does not exist or was not asked about."""

    exit_status: ClassVar[int] = 22


class ConflictingDecisionsError(CscError):
    """Two decisions on the same pair contradict each other, or a decision contradicts its own verdicts."""

    exit_status: ClassVar[int] = 23
