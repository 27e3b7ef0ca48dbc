"""How long ``dbt build`` takes, and in how much memory, against the floor of copying its raw tables once, sorted.

For each scale a raw warehouse is synthesised (or an existing one taken, and left as it is), and on a copy of it this
one run measures, one after the other and each in a process of its own:

* floor: every raw table that holds rows is copied once into a new file, sorted by child (``child_id``; ``pupil_id``
  where there is none; unsorted where there is neither), with the settings of ``profiles.yml``. A build cannot do
  with less than to read, sort and write once.
* build: ``dbt build``, with all its tests, start to end of the process.

Usage: ``python benchmarks/build.py --scale 0.25 1.0 [--reuse 1.0=raw.duckdb] [--warehouse-dir DIR] [--json FILE]``

Prints for each scale both times and their ratio, peak memory, what dbt ran by kind and outcome and its slowest
nodes; over scales, how much faster than the floor the build grows. ``--plans N`` also runs the SQL of the N slowest
models again under ``explain analyze`` and writes their plans. Exits with an error when a build fails, or breaks what
the project asks of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from csc_evaluation.project import code_version, project_dir

RATIO_MAX = 10.0
"""Times the floor a build may take, asked of England as a whole."""
MEMORY_MAX_GB = 8.0
GROWTH_MAX = 1.2
"""Times faster than the floor a build may grow from the smallest scale to the largest."""
WHOLE_ENGLAND = 1.0
N_SLOWEST = 10
SECONDS_BETWEEN_SAMPLES = 0.1
GIGABYTE = 1e9
SORT_KEYS = ("child_id", "pupil_id")
DATA_KINDS = ("model", "test")
"""What grows with the data; seeds, unit tests and dbt's own start do not."""
DBT = "import sys; from dbt.cli.main import cli; sys.argv[0] = 'dbt'; cli()"


@dataclass(frozen=True)
class Process:
    """What a process of its own took."""

    return_code: int
    seconds: float
    tree_gb: float
    """Highest sum of resident memory over the process and all below it, sampled."""
    largest_gb: float
    """The kernel's own high-water mark of the largest single process among them."""

    @property
    def peak_gb(self) -> float:
        """The larger of both: sampling misses short peaks, the high-water mark does not add processes up."""
        return max(self.tree_gb, self.largest_gb)


@dataclass(frozen=True)
class Node:
    """One node of the build."""

    name: str
    kind: str
    status: str
    seconds: float
    rows_failed: int


@dataclass(frozen=True)
class Measured:
    """One scale: floor, build and what dbt ran."""

    scale: float
    raw_rows: int
    raw_gb: float
    floor: Process
    build: Process
    nodes: tuple[Node, ...]

    @property
    def ratio(self) -> float:
        """Build over floor."""
        return self.build.seconds / self.floor.seconds

    @property
    def data_seconds(self) -> float:
        """Seconds in nodes that grow with the data."""
        return sum(node.seconds for node in self.nodes if node.kind in DATA_KINDS)


def watched(command: list[str], *, environment: Mapping[str, str], log: Path) -> Process:
    """Run a command to its end, its words to ``log``, and watch its memory."""
    tree_bytes = 0
    with log.open("w") as words:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=dict(environment), cwd=project_dir(), stdout=words, stderr=subprocess.STDOUT
        )
        try:
            while True:
                # Not process.wait(): wait4 alone hands out this one process's high-water mark.
                ended, status, usage = os.wait4(process.pid, os.WNOHANG)
                if ended:
                    break
                tree_bytes = max(tree_bytes, _resident_bytes(process.pid))
                time.sleep(SECONDS_BETWEEN_SAMPLES)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return Process(process.returncode, seconds, tree_bytes / GIGABYTE, usage.ru_maxrss * 1024 / GIGABYTE)


def _resident_bytes(pid: int) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        for one in (root, *root.children(recursive=True)):
            try:
                total += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        pass
    return total


def database_settings() -> dict[str, Any]:
    """The database's settings as ``profiles.yml`` gives them to dbt."""
    import jinja2
    import yaml

    profile = yaml.safe_load((project_dir() / "profiles.yml").read_text())["csc_evaluation"]
    settings = profile["outputs"][profile["target"]]["settings"]
    environment = jinja2.Environment(autoescape=False)
    environment.globals["env_var"] = os.environ.get
    return {
        name: environment.from_string(value).render() if isinstance(value, str) else str(value).lower()
        for name, value in settings.items()
    }


def copy_sorted(raw: Path, into: Path) -> None:
    """The floor: each raw table with rows copied once, in order of child, and the file closed."""
    import duckdb

    with duckdb.connect(
        str(into), config={**database_settings(), "temp_directory": f"{into}.tmp"}
    ) as connection:
        connection.execute(f"attach '{raw}' as given (read_only)")
        columns: dict[str, list[str]] = defaultdict(list)
        for table, column in connection.execute(
            "select table_name, column_name from duckdb_columns() "
            "where database_name = 'given' and schema_name = 'raw' order by 1, column_index"
        ).fetchall():
            columns[table].append(column)
        for table, names in columns.items():
            source = f"given.raw.{table}"
            if not connection.execute(f"select 1 from {source} limit 1").fetchall():
                continue
            key = next((name for name in SORT_KEYS if name in names), None)
            order = f" order by {key}" if key else ""
            connection.execute(f"create table {table} as select * from {source}{order}")


def count_raw_rows(raw: Path) -> None:
    """Print the number of rows in all raw tables."""
    import duckdb

    with duckdb.connect(str(raw), read_only=True) as connection:
        tables = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'raw'"
        ).fetchall()
        print(sum(connection.execute(f"select count(*) from raw.{t}").fetchall()[0][0] for (t,) in tables))


def write_plans(built: Path, target: Path, into: Path, names: list[str]) -> None:
    """Run the compiled SQL of models again under ``explain analyze``; one file of each, its SQL below its plan."""
    import duckdb

    nodes = json.loads((target / "manifest.json").read_text())["nodes"].values()
    compiled = {node["name"]: node["compiled_code"] for node in nodes if node["resource_type"] == "model"}
    settings = {**database_settings(), "temp_directory": f"{built}.tmp"}
    with duckdb.connect(str(built), read_only=True, config=settings) as connection:
        for name in names:
            plan = connection.execute(f"explain analyze {compiled[name]}").fetchall()[0][1]
            (into / f"{name}.txt").write_text(f"{plan}\n\n{compiled[name]}\n")


def nodes_run(target: Path) -> tuple[Node, ...]:
    """What dbt says that it ran."""
    results = json.loads((target / "run_results.json").read_text())["results"]
    return tuple(
        Node(
            name=result["unique_id"].split(".", 2)[2],
            kind=result["unique_id"].split(".", 1)[0],
            status=result["status"],
            seconds=result["execution_time"],
            rows_failed=result.get("failures") or 0,
        )
        for result in results
    )


def own_step(*arguments: object) -> list[str]:
    """This script again, as a process of its own that does one step."""
    return [sys.executable, str(Path(__file__).resolve()), *map(str, arguments)]


def synthesise(scale: float, options: argparse.Namespace) -> Path:
    """A raw warehouse of that scale below ``--warehouse-dir``; taken as it is where an earlier run made it."""
    path = options.warehouse_dir / f"raw_{scale:g}_{options.authorities}_{options.seed}.duckdb"
    if path.exists():
        print(f"scale {scale:g}: {path} is there already", flush=True)
        return path
    unfinished = path.with_name(f"unfinished_{path.name}")
    command = [sys.executable, "-m", "csc_evaluation.cli", "synthesise", "--format", "raw"]
    command += ["--scale", f"{scale:g}", "--authorities", options.authorities, "--seed", str(options.seed)]
    with tempfile.TemporaryDirectory(dir=options.warehouse_dir) as folder:
        truth_beside = ["--out", str(Path(folder) / "files"), "--warehouse", str(unfinished)]
        done = watched([*command, *truth_beside], environment=os.environ, log=Path(folder) / "log")
        if done.return_code:
            raise SystemExit((Path(folder) / "log").read_text())
    print(f"scale {scale:g}: synthesised in {done.seconds:.0f} s, {done.peak_gb:.1f} GB", flush=True)
    return unfinished.rename(path)


def measure(scale: float, raw: Path, options: argparse.Namespace) -> Measured:
    """Floor and build of one raw warehouse, on a copy that is removed."""
    folder = Path(tempfile.mkdtemp(prefix=f"build_{scale:g}_", dir=options.warehouse_dir))
    try:
        copy = Path(shutil.copyfile(raw, folder / "bench.duckdb"))
        counted = subprocess.run(
            own_step("--step", "count", copy), check=True, capture_output=True, text=True
        )
        raw_gb = copy.stat().st_size / GIGABYTE
        floor = watched(
            own_step("--step", "floor", copy, folder / "floor.duckdb"),
            environment=os.environ,
            log=folder / "floor.log",
        )
        if floor.return_code:
            raise SystemExit((folder / "floor.log").read_text())
        (folder / "floor.duckdb").unlink()
        target = folder / "target"
        environment = os.environ | {
            "CSC_WAREHOUSE": str(copy),
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(folder / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }
        command = [
            sys.executable,
            "-c",
            DBT,
            "build",
            "--no-use-colors",
            "--profiles-dir",
            str(project_dir()),
        ]
        build = watched(command, environment=environment, log=folder / "build.log")
        if not (target / "run_results.json").exists():
            raise SystemExit((folder / "build.log").read_text())
        nodes = nodes_run(target)
        if options.plans:
            models = [node for node in nodes if node.kind == "model" and node.status == "success"]
            slowest = sorted(models, key=lambda node: node.seconds, reverse=True)[: options.plans]
            into = options.plans_dir.resolve() / f"scale_{scale:g}"
            into.mkdir(parents=True, exist_ok=True)
            names = [node.name for node in slowest]
            subprocess.run(own_step("--step", "plans", copy, target, into, *names), check=True)
            print(f"scale {scale:g}: plans of {', '.join(names)} are in {into}", flush=True)
        return Measured(scale, int(counted.stdout), raw_gb, floor, build, nodes)
    finally:
        if options.keep:
            print(f"scale {scale:g}: what was built is kept in {folder}", flush=True)
        else:
            shutil.rmtree(folder)


def show(measured: Measured) -> None:
    """Print one scale."""
    floor, build, nodes = measured.floor, measured.build, measured.nodes
    print(f"\nScale {measured.scale:g}: {measured.raw_rows:,} raw rows, {measured.raw_gb:.2f} GB")
    asked = f"asked: at most {RATIO_MAX:g} at scale {WHOLE_ENGLAND:g}"
    print(f"  floor  {floor.seconds:8.1f} s   peak {floor.peak_gb:.2f} GB")
    print(f"  build  {build.seconds:8.1f} s   peak {build.peak_gb:.2f} GB (asked: at most {MEMORY_MAX_GB:g})")
    print(
        f"         sampled over the process tree {build.tree_gb:.2f}, high-water mark {build.largest_gb:.2f}"
    )
    print(f"  ratio  {measured.ratio:8.2f}     ({asked})")
    print(f"\n  {'kind':<12}{'nodes':>6}{'seconds':>10}  outcomes")
    for kind in sorted({node.kind for node in nodes}):
        of_kind = [node for node in nodes if node.kind == kind]
        outcomes = ", ".join(
            f"{n} {status}" for status, n in Counter(n.status for n in of_kind).most_common()
        )
        print(f"  {kind:<12}{len(of_kind):>6}{sum(node.seconds for node in of_kind):>10.1f}  {outcomes}")
    outside = build.seconds - sum(node.seconds for node in nodes)
    print(f"  {'dbt itself':<12}{'':>6}{outside:>10.1f}  start, parsing, between nodes")
    print("\n  slowest nodes                                                     seconds   share")
    for node in sorted(nodes, key=lambda one: one.seconds, reverse=True)[:N_SLOWEST]:
        label = f"{node.kind} {node.name}"
        print(f"  {label[:64]:<64}{node.seconds:>9.2f}{node.seconds / build.seconds:>8.1%}")
    for node in nodes:
        if node.status not in ("success", "pass", "no-op"):
            print(f"  {node.status}: {node.kind} {node.name} ({node.rows_failed} rows)")


def growth(small: Measured, large: Measured) -> tuple[float, float]:
    """How much more than the floor grew: the whole build, and the seconds in what grows with the data."""
    floor = large.floor.seconds / small.floor.seconds
    return (
        large.build.seconds / small.build.seconds / floor,
        large.data_seconds / small.data_seconds / floor,
    )


def raw_warehouses(options: argparse.Namespace) -> dict[float, Path]:
    """The raw warehouses given, by scale; one without a scale goes to the next scale that has none."""
    given: dict[float, Path] = {}
    unnamed: list[Path] = []
    for text in options.reuse:
        before, equals, after = text.partition("=")
        if equals:
            given[float(before)] = Path(after).resolve()
        else:
            unnamed.append(Path(text).resolve())
    waiting = [scale for scale in options.scale if scale not in given]
    if len(unnamed) > len(waiting) or set(given) - set(options.scale):
        raise SystemExit("--reuse gives a warehouse for no scale of --scale; write it as SCALE=PATH")
    given |= dict(zip(waiting, unnamed, strict=False))
    if absent := [str(path) for path in given.values() if not path.is_file()]:
        raise SystemExit(f"no such warehouse: {', '.join(absent)}")
    if open_logs := [str(path) for path in given.values() if Path(f"{path}.wal").exists()]:
        raise SystemExit(f"somebody is writing to, or left unfinished: {', '.join(open_logs)}")
    return given


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, nargs="+", default=[0.25, 1.0], help="shares of England")
    parser.add_argument("--authorities", default="all", help="as in csceval synthesise")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--reuse",
        nargs="+",
        default=[],
        metavar="[SCALE=]PATH",
        help="raw warehouses to copy instead of synthesising",
    )
    parser.add_argument(
        "--warehouse-dir",
        type=Path,
        default=None,
        help="where raw warehouses are kept and copies are built (default: a temporary folder)",
    )
    parser.add_argument(
        "--plans", type=int, default=0, metavar="N", help="write plans of the N slowest models"
    )
    parser.add_argument("--plans-dir", type=Path, default=Path("plans"))
    parser.add_argument("--json", type=Path, default=None, help="write the figures here as well")
    parser.add_argument("--keep", action="store_true", help="keep the copies that were built")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step, *arguments = options.step
        if step == "count":
            count_raw_rows(Path(arguments[0]))
        elif step == "floor":
            copy_sorted(Path(arguments[0]), Path(arguments[1]))
        else:
            built, target, into, *names = arguments
            write_plans(Path(built), Path(target), Path(into), names)
        return
    reused = raw_warehouses(options)
    with tempfile.TemporaryDirectory() as temporary:
        options.warehouse_dir = (options.warehouse_dir or Path(temporary)).resolve()
        options.warehouse_dir.mkdir(parents=True, exist_ok=True)
        run(reused, options)


def run(reused: Mapping[float, Path], options: argparse.Namespace) -> None:
    """Measure every scale, print and judge."""
    versions = {name: metadata.version(name) for name in ("dbt-core", "dbt-duckdb", "duckdb")}
    settings = database_settings()
    print(
        f"csc-evaluation {code_version()}, {', '.join(f'{k} {v}' for k, v in versions.items())}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / GIGABYTE:.0f} GB; {', '.join(f'{k} {v}' for k, v in settings.items())}",
        flush=True,
    )
    all_measured = []
    for scale in sorted(options.scale):
        raw = reused.get(scale) or synthesise(scale, options)
        all_measured.append(measure(scale, raw, options))
        show(all_measured[-1])
        sys.stdout.flush()
    small, large = all_measured[0], all_measured[-1]
    faults = [
        f"scale {one.scale:g}: dbt build failed, its time means nothing"
        for one in all_measured
        if one.build.return_code
    ]
    faults += [
        f"scale {one.scale:g}: {one.build.peak_gb:.2f} GB"
        for one in all_measured
        if one.build.peak_gb > MEMORY_MAX_GB
    ]
    faults += [
        f"scale {one.scale:g}: {one.ratio:.1f} times the floor"
        for one in all_measured
        if one.scale >= WHOLE_ENGLAND and one.ratio > RATIO_MAX
    ]
    grew = None
    if small is not large:
        grew = growth(small, large)
        print(
            f"\nFrom scale {small.scale:g} to {large.scale:g} the build grew {grew[0]:.2f} times as much as the floor "
            f"(asked: at most {GROWTH_MAX:g}); its models and data tests alone, {grew[1]:.2f} times."
        )
        if grew[0] > GROWTH_MAX:
            faults.append(f"the build grew {grew[0]:.2f} times as much as the floor")
    if options.json:
        figures = {
            "code": code_version(),
            "versions": versions,
            "settings": settings,
            "scales": [
                {**asdict(one), "ratio": one.ratio, "data_seconds": one.data_seconds} for one in all_measured
            ],
            "growth": grew and {"build": grew[0], "models_and_data_tests": grew[1]},
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if faults:
        raise SystemExit("\n".join(faults))


if __name__ == "__main__":
    main()
