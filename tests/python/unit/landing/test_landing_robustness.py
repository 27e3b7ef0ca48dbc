"""Killed, stopped, out of room, locked out: nothing half landed, nothing lost, clear words."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from csc_evaluation.errors import CscError, WarehouseError
from csc_evaluation.landing import LandingInterrupted, land
from csc_evaluation.landing.manifest import Manifest
from csc_evaluation.landing.rejects import TableBatch
from support.landing_files import cin_child, cin_referral, cin_xml, content, land_one, query, write

GOOD = cin_xml(cin_child("C1", cin_referral()))
N_CHILDREN = 20_000


def big(la_code: str = "336") -> str:
    return cin_xml(
        *(cin_child(f"C{number}", cin_referral()) for number in range(N_CHILDREN)), la_code=la_code
    )


LANDER = textwrap.dedent(
    """
    import signal, sys
    # A test run in the background has the keyboard's signal ignored, and its children with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from pathlib import Path
    from csc_evaluation.errors import CscError
    from csc_evaluation.landing import land, process
    {setup}
    try:
        report = land([Path(name) for name in sys.argv[2:]], warehouse=Path(sys.argv[1]))
    except CscError as error:
        print("refused:", error)
        sys.exit(1)
    for file in report.files:
        print(file.status, file.message)
    sys.exit(1 if report.n_failed else 0)
    """
)

PAUSES = {
    # Each waits, once the word is out, at one place of the second file's landing.
    "while reading": """
        read = process._read
        def pausing(stream, known, encoding, landing):
            read(stream, known, encoding, landing)
            if landing.identity.la_code == "336":
                print("now", flush=True)
                import time; time.sleep(5)
        process._read = pausing
    """,
    "after inserting": """
        enter = process.manifest.Manifest.enter
        def pausing(self, identity, facts, counts, notes):
            enter(self, identity, facts, counts, notes)
            if identity.la_code == "336":
                print("now", flush=True)
                import time; time.sleep(5)
        process.manifest.Manifest.enter = pausing
    """,
}


def start(
    warehouse: Path, *paths: Path, setup: str = "", limit: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LANDER.format(setup=textwrap.dedent(setup)), str(warehouse), *map(str, paths)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,  # noqa: PLW1509 - no thread runs here
        env={name: value for name, value in os.environ.items() if not name.startswith("CSC_")},
    )


def wait_for_word(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.strip() == word, (line, process.communicate(timeout=30))


@pytest.mark.parametrize("place", PAUSES)
def test_a_kill_in_the_middle_leaves_nothing_of_that_file_and_all_of_the_others(
    files: Path, warehouse: Path, place: str
) -> None:
    before, second = write(files, "good.xml", GOOD), write(files, "big.xml", big())
    process = start(warehouse, before, second, setup=PAUSES[place])
    wait_for_word(process, "now")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert query(warehouse, "select file_name from raw.returns") == [("good.xml",)]
    for table, rows in content(warehouse).items():
        assert all("336" not in row for row in rows), table
    left = {path.name for path in warehouse.parent.iterdir()} - {"landing.duckdb.wal", "landing.duckdb.tmp"}
    assert left == {"landing.duckdb", "landing.duckdb.key"}
    outcome = land_one(second, warehouse)
    assert (outcome.status, outcome.n_accepted) == ("landed", 2 * N_CHILDREN)


@pytest.mark.parametrize("place", PAUSES)
def test_stopping_from_the_keyboard_keeps_earlier_files_and_says_so(
    files: Path, warehouse: Path, place: str
) -> None:
    process = start(
        warehouse, write(files, "good.xml", GOOD), write(files, "big.xml", big()), setup=PAUSES[place]
    )
    wait_for_word(process, "now")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "refused: Stopped while landing" in out
    assert "1 of 2 files landed before it and stay" in out
    assert "Traceback" not in out + err
    assert query(warehouse, "select la_code, n_accepted from raw.returns") == [("335", 2)]
    assert query(warehouse, "select count(*) from raw.cin_children") == [(1,)]


def test_an_interrupt_carries_the_report_of_what_landed(
    files: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, other = write(files, "good.xml", GOOD), write(files, "other.xml", GOOD.replace("335", "336"))

    def interrupt(index: int, n_files: int, path: Path, done: int, size: int) -> None:
        if index == 1:
            raise KeyboardInterrupt

    with pytest.raises(LandingInterrupted) as caught:
        land([good, other], warehouse=warehouse, on_progress=interrupt)
    assert [file.status for file in caught.value.report.files] == ["landed", "failed"]
    assert land([good, other], warehouse=warehouse).n_landed == 1


def test_a_second_process_that_holds_the_warehouse_is_named(files: Path, warehouse: Path) -> None:
    path = write(files, "good.xml", GOOD)
    land_one(path, warehouse)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(60)",
            str(warehouse),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for_word(holder, "held")
        began = time.monotonic()
        done = start(warehouse, path)
        out, err = done.communicate(timeout=60)
        assert time.monotonic() - began < 60
        assert done.returncode == 1
        assert f"process {holder.pid} holds the warehouse" in out
        assert "nothing was changed" in out
        assert "Traceback" not in out + err
    finally:
        holder.kill()
        holder.wait()
    assert land_one(path, warehouse).status == "unchanged"


def test_a_disk_that_is_full_fails_the_file_and_keeps_the_earlier_ones(files: Path, warehouse: Path) -> None:
    good, second, third = (
        write(files, "good.xml", GOOD),
        write(files, "big.xml", big()),
        write(files, "y.xml", GOOD.replace("335", "333")),
    )
    land_one(good, warehouse)
    before = content(warehouse)
    room = warehouse.stat().st_size + 300_000

    def little_room() -> None:
        # A file may not grow beyond this size; without the signal's default action the write fails, as on a full disk.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    process = start(warehouse, second, third, limit=little_room)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, (out, err)
    assert "failed the warehouse could not be written" in out
    assert "nothing of this file was kept" in out
    assert "failed not tried, since the warehouse cannot be written" in out
    assert "Traceback" not in out + err
    assert content(warehouse) == before
    assert land([second, third], warehouse=warehouse).n_landed == 2


def test_a_folder_without_room_to_put_batches_aside_fails_the_file(
    files: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("csc_evaluation.landing.cin_xml.BATCH_RECORDS", 10)
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    report = land([write(files, "big.xml", big())], warehouse=warehouse)
    assert "the warehouse could not be written (No space left on device)" in report.files[0].message
    assert query(warehouse, "select count(*) from raw.cin_children") == [(0,)]


def test_an_error_of_the_warehouse_while_inserting_undoes_the_file(
    files: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = TableBatch.insert

    def failing(batch: TableBatch, connection: duckdb.DuckDBPyConnection) -> None:
        insert(batch, connection)
        if batch.table == "cin_cp_plans":
            raise duckdb.IOException("IO Error: Could not write all bytes: No space left on device")

    monkeypatch.setattr(TableBatch, "insert", failing)
    report = land(
        [write(files, "good.xml", GOOD), write(files, "x.xml", GOOD.replace("335", "336"))],
        warehouse=warehouse,
    )
    assert [file.status for file in report.files] == ["failed", "failed"]
    assert "No space left on device" in report.files[0].message
    assert all(not rows for rows in content(warehouse).values())


def test_a_path_that_cannot_be_written_is_refused_in_words(files: Path, tmp_path: Path) -> None:
    path = write(files, "good.xml", GOOD)
    with pytest.raises(WarehouseError, match="no such folder"):
        land([path], warehouse=tmp_path / "nowhere" / "w.duckdb")
    with pytest.raises(WarehouseError, match="not a DuckDB file"):
        land([path], warehouse=write(tmp_path, "text.duckdb", "x" * 5_000))
    with pytest.raises(CscError, match="cannot open the warehouse"):
        # /proc takes no new files, not even root's.
        land([path], warehouse=Path("/proc/w.duckdb"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_folder_and_a_file_without_permission_are_refused_in_words(files: Path, warehouse: Path) -> None:
    path = write(files, "good.xml", GOOD)
    path.chmod(0)
    report = land([path], warehouse=warehouse)
    assert "cannot be read (Permission denied)" in report.files[0].message
    path.chmod(0o600)
    warehouse.parent.chmod(0o500)
    try:
        with pytest.raises(CscError):
            land([path], warehouse=warehouse.with_name("other.duckdb"))
    finally:
        warehouse.parent.chmod(0o700)


@pytest.fixture
def _at_a_terminal() -> Iterator[None]:
    """A test run in the background of a shell inherits an ignored SIGINT; a person at a terminal does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_at_a_terminal")
def test_a_stop_from_the_keyboard_while_a_file_is_committed_waits_for_it(
    files: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(files, "a.xml", GOOD)
    second = write(files, "b.xml", GOOD.replace("335", "336"))
    really_committed = Manifest.committed

    def committed(self: Manifest) -> None:
        signal.raise_signal(signal.SIGINT)
        really_committed(self)

    monkeypatch.setattr(Manifest, "committed", committed)
    with pytest.raises(LandingInterrupted, match="1 of 2 files landed before it and stay") as stopped:
        land([first, second], warehouse=warehouse)
    assert [file.status for file in stopped.value.report.files] == ["landed", "failed"]
    assert query(warehouse, "select file_name from raw.returns") == [("a.xml",)]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_stop_from_the_keyboard_between_two_files_calls_no_landed_file_lost(
    files: Path, warehouse: Path
) -> None:
    first, second = write(files, "a.xml", GOOD), write(files, "b.xml", GOOD.replace("335", "336"))

    def interrupt(index: int, n_files: int, path: Path, done: int, size: int) -> None:
        if done == size:
            raise KeyboardInterrupt

    with pytest.raises(
        LandingInterrupted, match=r"Stopped after .*a\.xml\. 1 of 2 files landed and stay"
    ) as stopped:
        land([first, second], warehouse=warehouse, on_progress=interrupt)
    assert [file.status for file in stopped.value.report.files] == ["landed"]
