"""The command line as a person meets it: a process, its words and its exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from csc_evaluation import warehouse

pytestmark = pytest.mark.end_to_end


def csceval(
    *arguments: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "csc_evaluation.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize(
    "command", ["land", "synthesise", "build", "match", "estimate", "report", "run", "demo"]
)
def test_every_command_explains_itself(command: str):
    done = csceval(command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


def test_a_command_that_does_not_exist_is_wrong_usage():
    assert csceval("ladn").returncode == 2


@pytest.mark.parametrize("command", ["build", "match", "estimate", "report", "run"])
def test_a_step_without_a_warehouse_says_so_in_one_line_and_makes_no_file(command: str, tmp_path: Path):
    arguments = [] if command == "build" else ["family_safeguarding"]
    done = csceval(command, *arguments, cwd=tmp_path, CSC_WAREHOUSE=str(tmp_path / "absent.duckdb"))
    assert done.returncode == 1
    assert "no warehouse there yet" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data_quality"], "no warehouse there yet"),
        (["data_quality", "--run", "a_run"], "--run names a run of a programme"),
        (["family_safeguarding", "--authority", "335"], "--authority belongs to csceval report data_quality"),
    ],
)
def test_the_two_kinds_of_report_keep_their_options_apart(arguments: list[str], said: str, tmp_path: Path):
    done = csceval("report", *arguments, cwd=tmp_path, CSC_WAREHOUSE=str(tmp_path / "absent.duckdb"))
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_does_not_exist_is_named(tmp_path: Path):
    done = csceval("land", tmp_path / "nothing_here", "-w", tmp_path / "w.duckdb")
    assert done.returncode == 1
    assert "nothing_here" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_warehouse_held_by_another_process_ends_in_one_line(tmp_path: Path):
    path = tmp_path / "w.duckdb"
    code = (
        "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        (tmp_path / "file.csv").write_text("CHILD,SEX,DOB,ETHNIC,UPN,MOTHER,MC_DOB\n")
        done = csceval("land", tmp_path / "file.csv", "--authority", "335", "--year", 2020, "-w", path)
        holder.kill()
    assert done.returncode == 1
    assert "holds the warehouse" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# A job in the background of a shell inherits an ignored SIGINT; a person at a terminal does not.
AT_A_TERMINAL = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from csc_evaluation.cli import main; main()"
)


def test_interrupting_a_synthesis_says_so_and_exits_130(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, "synthesise", "--out", tmp_path / "s", "--scale", "0.5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(6)
    assert process.poll() is None, "the synthesis ended before it could be interrupted"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors


def test_a_demonstration_leaves_a_folder_it_did_not_make_alone(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("keep")
    done = csceval("demo", "--out", tmp_path)
    assert done.returncode == 1
    assert "holds files that no demonstration made" in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_an_unknown_programme_fails_before_anything_is_built(tmp_path: Path):
    path = tmp_path / "w.duckdb"
    with warehouse.writable(path):
        pass
    before = path.read_bytes()
    done = csceval("run", "signs_of_success", "-w", path, cwd=tmp_path)
    assert done.returncode == 1
    assert "family_safeguarding" in done.stderr
    assert path.read_bytes() == before


def test_a_selection_that_matches_nothing_is_an_error(tmp_path: Path):
    path = tmp_path / "w.duckdb"
    with warehouse.writable(path):
        pass
    done = csceval("build", "--select", "no_such_model", "-w", path)
    assert done.returncode == 1
    assert "matches nothing" in done.stderr


def test_an_empty_path_is_refused_and_does_not_mean_the_folder_one_stands_in(tmp_path: Path):
    (tmp_path / "a.xml").write_text("<Message/>")
    done = csceval("land", "", "-w", tmp_path / "w.duckdb", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("csceval: an empty path was given")
    assert not (tmp_path / "w.duckdb").exists()


def test_a_terminal_without_unicode_shows_every_outcome(tmp_path: Path):
    odd = tmp_path / os.fsdecode(b"\xc3\xa9\xff.csv")
    odd.write_text("nothing known")
    done = csceval("land", odd, "-w", tmp_path / "w.duckdb", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 1
    assert "is none of what can land" in done.stdout
    assert "Traceback" not in done.stderr
