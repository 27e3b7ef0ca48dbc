"""Errors whose message is meant for the person at the keyboard."""

from __future__ import annotations


class CscError(Exception):
    """Something the user can put right: the message says what was found, where, and what would be right.

    The command line prints the message alone (no traceback) and exits with status 1.
    """


class WarehouseError(CscError):
    """The warehouse cannot be opened, is held by another process, or is not fit for the step asked of it."""


class SeedError(CscError):
    """A seed table of the protocol is missing a row or holds one that cannot be used."""


class StoppedByUserError(CscError):
    """Stopped from the keyboard in good order; the command line exits with status 130."""
