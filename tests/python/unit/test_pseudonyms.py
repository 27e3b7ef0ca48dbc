from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from csc_evaluation.errors import CscError
from csc_evaluation.pseudonyms import Pseudonymiser, load_key

KEY = b"a key for tests, thirty-two bytes"


def test_a_child_is_hashed_with_its_authority_by_hmac_sha256():
    expected = hmac.new(KEY, b"child\x00335\x00A1", hashlib.sha256).hexdigest()[:32]
    assert Pseudonymiser(KEY).child("335", "A1") == expected


def test_the_same_child_id_in_two_authorities_is_two_children():
    hasher = Pseudonymiser(KEY)
    assert hasher.child("335", "A1") != hasher.child("336", "A1")


def test_moving_characters_between_authority_and_child_id_changes_the_pseudonym():
    hasher = Pseudonymiser(KEY)
    assert hasher.child("33", "5A1") != hasher.child("335", "A1")


def test_a_pupil_reference_links_whatever_its_case_and_padding():
    hasher = Pseudonymiser(KEY)
    assert hasher.pupil(" a123456789012 ") == hasher.pupil("A123456789012")


def test_a_child_and_a_pupil_of_equal_text_do_not_share_a_pseudonym():
    hasher = Pseudonymiser(KEY)
    assert hasher.child("", "X") != hasher.pupil("X")


def test_another_key_gives_other_pseudonyms():
    assert Pseudonymiser(KEY).pupil("X") != Pseudonymiser(KEY + b"!").pupil("X")


def test_a_missing_key_is_made_beside_the_warehouse_and_readable_by_its_owner_alone(tmp_path: Path):
    warehouse = tmp_path / "w.duckdb"
    key, path, is_new = load_key(warehouse)
    assert is_new
    assert path == tmp_path / "w.duckdb.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(warehouse) == (key, path, False)


def test_a_named_key_file_that_is_not_there_is_an_error_and_makes_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("CSC_PSEUDONYM_KEY_FILE", str(tmp_path / "mistyped.key"))
    with pytest.raises(CscError, match=r"mistyped\.key"):
        load_key(tmp_path / "w.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_a_short_key_is_refused(tmp_path: Path, monkeypatch):
    (tmp_path / "short.key").write_text("abc")
    monkeypatch.setenv("CSC_PSEUDONYM_KEY_FILE", str(tmp_path / "short.key"))
    with pytest.raises(CscError, match="shorter than 16 bytes"):
        load_key(tmp_path / "w.duckdb")
