"""Keyed pseudonyms: identifiers are hashed in the stream, before anything is written."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from hashlib import sha256
from pathlib import Path

from csc_evaluation.errors import CscError

KEY_VARIABLE = "CSC_PSEUDONYM_KEY_FILE"
KEY_BYTES = 32
DIGEST_HEX = 32
"""Pseudonyms are the first 128 bits of the HMAC in hexadecimal: collisions among ten million children have
a chance below 1e-24."""


class Pseudonymiser:
    """HMAC-SHA-256 of identifiers under one secret key.

    A child is ``la_code`` and child id together; a pupil is the UPN or the research service's pupil reference
    alone, so that returns and school records of one supplier link by equal hashes (definitions, section 2).

    Example:
        >>> hasher = Pseudonymiser(b"0" * 32)
        >>> hasher.child("335", "A1") == hasher.child("335", " A1 ")
        True
        >>> hasher.child("335", "A1") == hasher.child("336", "A1")
        False
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise CscError(
                "the pseudonym key is shorter than 16 bytes; give a key file of at least 16 bytes."
            )
        self._child = hmac.new(key, b"child\0", sha256)
        self._pupil = hmac.new(key, b"pupil\0", sha256)

    def child(self, la_code: str, child_id: str) -> str:
        """Pseudonym of a child of an authority: 32 hexadecimal characters."""
        mac = self._child.copy()
        mac.update(f"{la_code}\0{child_id.strip()}".encode())
        return mac.hexdigest()[:DIGEST_HEX]

    def pupil(self, pupil_reference: str) -> str:
        """Pseudonym of a pupil by UPN or anonymous pupil reference, case and blanks around it set aside."""
        mac = self._pupil.copy()
        mac.update(pupil_reference.strip().upper().encode())
        return mac.hexdigest()[:DIGEST_HEX]


def default_key_path(warehouse: Path) -> Path:
    """``CSC_PSEUDONYM_KEY_FILE`` where set, else ``<warehouse>.key`` beside the warehouse."""
    configured = os.environ.get(KEY_VARIABLE)
    return Path(configured) if configured else warehouse.with_name(warehouse.name + ".key")


def load_key(warehouse: Path, *, may_make: bool = True) -> tuple[bytes, Path, bool]:
    """The key, the file it came from, and whether that file was made just now.

    Without a file at the configured place: an error if ``CSC_PSEUDONYM_KEY_FILE`` names it (a typing mistake
    must not split children in two), else a new random key readable by its owner alone.

    Args:
        warehouse: path of the DuckDB file.
        may_make: make a key where there is none; not for a warehouse that already holds pseudonyms, which a new
            key would not fit.

    Raises:
        CscError: the named file is missing, unreadable or too short; or there is none and none may be made.
    """
    path = default_key_path(warehouse)
    if path.exists():
        try:
            key = path.read_bytes().strip()
        except OSError as error:
            raise CscError(f"{path}: cannot read the pseudonym key ({error.strerror}).") from error
        if len(key) < 16:
            raise CscError(f"{path}: the pseudonym key is shorter than 16 bytes.")
        return key, path, False
    if os.environ.get(KEY_VARIABLE):
        raise CscError(
            f"{path}: {KEY_VARIABLE} names this file but it is not there. "
            "Correct the path, or unset the variable to have a key made beside the warehouse."
        )
    if not may_make:
        raise CscError(
            f"{path}: the key of this warehouse's pseudonyms is not there. Put it back, or say where it is "
            f"({KEY_VARIABLE}); without it nothing can be added, and everything has to be landed into a new warehouse."
        )
    key = secrets.token_hex(KEY_BYTES).encode()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(key + b"\n")
    except OSError as error:
        raise CscError(f"{path}: cannot write a new pseudonym key ({error.strerror}).") from error
    return key, path, True
