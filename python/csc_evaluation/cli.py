"""The command ``csceval``: thin commands over the package's functions."""

from __future__ import annotations

import io
import os
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import duckdb
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from csc_evaluation import warehouse as warehouse_module
from csc_evaluation.errors import CscError, StoppedByUserError

if TYPE_CHECKING:
    from csc_evaluation.estimation.run import RunReport
    from csc_evaluation.matching.run import MatchReport

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
DEFAULT_PROGRAMME = "family_safeguarding"

app = typer.Typer(
    name="csceval",
    help=(
        "Children's social care evaluation: from census returns to a matched difference-in-differences estimate.\n\n"
        "The warehouse is one DuckDB file: --warehouse, else CSC_WAREHOUSE, else ./csc_warehouse.duckdb. "
        "Identifiers are hashed with the key in CSC_PSEUDONYM_KEY_FILE, else <warehouse>.key."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

WarehouseOption = Annotated[
    Path | None,
    typer.Option("--warehouse", "-w", help="The DuckDB file.", envvar=warehouse_module.WAREHOUSE_VARIABLE),
]
ProgrammeArgument = Annotated[
    str, typer.Argument(help="A programme of seeds/protocol/programmes.csv, for example family_safeguarding.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Random seed; stored with what it made.")]


class SynthesisFormat(StrEnum):
    """What ``synthesise`` writes."""

    returns = "returns"
    extracts = "extracts"
    raw = "raw"


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Options that stand before a command."""
    if version:
        from csc_evaluation.project import code_version

        out.print(f"csceval {code_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        out.print(context.get_help())


@app.command()
def land(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, globs or zip files.", show_default=False)
    ],
    warehouse: WarehouseOption = None,
    authority: Annotated[
        str | None,
        typer.Option(help="Authority code of SSDA903 files, which do not name it (three digits, as 335)."),
    ] = None,
    year: Annotated[
        int | None,
        typer.Option(
            help="Year in which the SSDA903 return ends, as 2020 for 2019/20; or the last year of an extract that "
            "names none."
        ),
    ] = None,
    reinstate: Annotated[
        bool, typer.Option("--reinstate", help="Land again a file that a later one has replaced.")
    ] = False,
) -> None:
    """Land returns and school records, each file whole or not at all.

    Formats are recognised from the content: Children in Need census XML, SSDA903 as CSV or XML, and the research
    service's extracts (children in need, children looked after), absence and school census tables. SSDA903 files name neither authority nor year: give --authority
    and --year, or keep them in a folder or file whose name holds both, as ssda903_335_2020.
    """
    from csc_evaluation.landing import land as land_files
    from csc_evaluation.landing import render_report
    from csc_evaluation.landing.process import LandingInterrupted

    if not all(given.strip() for given in paths):
        # Of an unset shell variable; as a path it would mean the folder one stands in.
        raise CscError("an empty path was given; name the files or folders to land.")
    path = warehouse_module.warehouse_path(warehouse)
    try:
        with _progress() as progress:
            report = land_files(
                [Path(given) for given in paths],
                warehouse=path,
                la_code=authority,
                return_year=year,
                reinstate=reinstate,
                on_progress=lambda index, n_files, file, done, total: progress(
                    f"land: {file.name}", (index + done / max(total, 1)) / max(n_files, 1)
                ),
            )
    except LandingInterrupted as stopped:
        render_report(stopped.report, out)
        raise
    render_report(report, out)
    if report.n_failed:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def synthesise(
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for the files; it must be empty or not exist.")
    ] = None,
    output_format: Annotated[
        SynthesisFormat,
        typer.Option(
            "--format", help="returns and extracts are files; raw fills the warehouse's raw tables."
        ),
    ] = SynthesisFormat.returns,
    scale: Annotated[
        float, typer.Option(help="Share of England's children per authority; 1.0 is England.")
    ] = 0.05,
    seed: SeedOption = 1,
    first_year: Annotated[int, typer.Option(help="First return year, the year in which it ends.")] = 2018,
    last_year: Annotated[int, typer.Option(help="Last return year.")] = 2024,
    authorities: Annotated[
        str,
        typer.Option(help="'all', a number (the programme's sites and others by seed), or codes: 335,888."),
    ] = "all",
    programme: Annotated[
        str, typer.Option(help="Whose sites and dates the effect follows.")
    ] = DEFAULT_PROGRAMME,
    effect: Annotated[float, typer.Option(help="True risk difference of the primary outcome.")] = -0.02,
    partial_exposure: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the effect on windows partly after go-live.")
    ] = 0.0,
    messiness: Annotated[
        float, typer.Option(min=0, max=1, help="Share of records with a flaw; 0 is clean.")
    ] = 0.02,
    planted_neighbours: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Plant a comparator beside each site: how much risk follows common trends; 0 is off.",
        ),
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out holds.")] = False,
    warehouse: WarehouseOption = None,
) -> None:
    """Write a synthetic England in the formats of real returns, with a known effect.

    The truth is written beside the folder (<out>_truth), never inside it.
    """
    from csc_evaluation.synthetic import SynthesisConfig
    from csc_evaluation.synthetic import synthesise as make

    if out_folder is None and output_format is not SynthesisFormat.raw:
        raise CscError("give the folder to write to: csceval synthesise --out DIR")
    warehouse_file = warehouse_module.warehouse_path(warehouse)
    config = SynthesisConfig(
        scale=scale,
        seed=seed,
        first_year=first_year,
        last_year=last_year,
        format=output_format.value,
        authorities=_authorities(authorities),
        programme=programme,
        effect=effect,
        partial_exposure=partial_exposure,
        messiness=messiness,
        planted_neighbours=planted_neighbours,
    )
    target = out_folder or warehouse_file.with_name(warehouse_file.stem + "_synthetic")
    with _progress() as progress:
        summary = make(config, target, warehouse=warehouse_file, overwrite=overwrite, on_progress=progress)
    table = _table("Synthetic England", "written", "number", right=(1,))
    for name, number in summary.counts.items():
        table.add_row(name, f"{number:,}")
    out.print(table)
    out.print(f"{'Warehouse' if output_format is SynthesisFormat.raw else 'Files'}: {summary.out}")
    out.print(f"Truth, kept apart: {summary.truth_path}")


@app.command()
def build(
    warehouse: WarehouseOption = None,
    select: Annotated[str | None, typer.Option(help="A dbt selection; default everything.")] = None,
) -> None:
    """Build the warehouse from what is landed: dbt seeds, models and their tests."""
    from csc_evaluation.pipeline import build_warehouse

    path = warehouse_module.warehouse_path(warehouse)
    with _progress() as progress:
        summary = build_warehouse(path, select=select, on_progress=progress)
    out.print(f"Built {path}: {summary.closing_line}")


@app.command()
def match(
    programmes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROGRAMME]...",
            help="Programmes of seeds/protocol/programmes.csv, as family_safeguarding. None given: all of them.",
            show_default=False,
        ),
    ] = None,
    warehouse: WarehouseOption = None,
    seed: SeedOption = 1,
) -> None:
    """Match authorities on trends and children by coarsened exact matching; write the matches of each programme as a run.

    All of a programme's outcomes are matched. A programme that cannot be matched is said to be and keeps its last run; the
    others are written all the same.
    """
    from csc_evaluation.matching.run import match_programmes

    path = warehouse_module.warehouse_path(warehouse)
    failures: dict[str, CscError] = {}
    with _progress() as progress:
        reports = match_programmes(
            programmes or (),
            warehouse=path,
            random_seed=seed,
            on_progress=progress,
            on_failure=failures.__setitem__,
        )
    for report in reports:
        out.print(f"Programme {report.programme}, run {report.run_id}")
        _print_matches(path, report.run_id)
        _print_departures(path, report)
        out.print()
    if reports:
        out.print("Next: look at each pair and record a decision, with")
        for report in reports:
            out.print(f"  csceval review {report.programme}")
    if failures:
        *others, last = failures.values()
        for error in others:
            _say(str(error))
        raise last


@app.command()
def estimate(
    programme: ProgrammeArgument,
    specification: Annotated[
        list[str] | None,
        typer.Option(
            help="Beside the headline run only this row of seeds/protocol/specifications.csv; may be repeated. Default all."
        ),
    ] = None,
    warehouse: WarehouseOption = None,
    seed: SeedOption = 1,
) -> None:
    """Match and run the registered regression, also on other comparators; write every table of results as one run."""
    from csc_evaluation.estimation.run import run_programme

    path = warehouse_module.warehouse_path(warehouse)
    with _progress() as progress:
        report = run_programme(
            programme,
            warehouse=path,
            specifications=specification or (),
            random_seed=seed,
            on_progress=progress,
        )
    _print_matches(path, report.run_id)
    _print_estimates(path, report)


@app.command()
def report(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="PROGRAMME|data_quality",
            help="A programme of seeds/protocol/programmes.csv, or data_quality for the page on the returns.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: PROGRAMME.html or data_quality.html here.")
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--run", help="Of a programme: a run id; default the latest complete run.")
    ] = None,
    authority: Annotated[
        list[str] | None,
        typer.Option(help="Of data_quality: a code, as 335; may be repeated. Default all with a return."),
    ] = None,
    warehouse: WarehouseOption = None,
) -> None:
    """Write one self-contained HTML page, which works offline.

    On a PROGRAMME: its latest run. On data_quality: which authorities to doubt before matching on them, from a built
    warehouse; it needs no run.
    """
    from csc_evaluation.report import DATA_QUALITY, write_quality_report, write_report

    path = warehouse_module.warehouse_path(warehouse)
    target = output or Path(f"{subject}.html")
    if subject == DATA_QUALITY and run_id is not None:
        raise CscError("--run names a run of a programme; the data quality page has none.")
    if subject != DATA_QUALITY and authority:
        raise CscError(f"--authority belongs to csceval report {DATA_QUALITY}; {subject!r} is another page.")
    with err.status("Writing the page"):
        if subject == DATA_QUALITY:
            written = write_quality_report(warehouse=path, output=target, authorities=authority or ())
        else:
            written = write_report(subject, warehouse=path, output=target, run_id=run_id)
    out.print(f"Report: {written}")


@app.command()
def review(
    programme: Annotated[
        str | None,
        typer.Argument(
            help="A programme of seeds/protocol/programmes.csv; with --import only its rows are taken.",
            show_default=False,
        ),
    ] = None,
    import_file: Annotated[
        Path | None,
        typer.Option(
            "--import", help="A file that the page exported: check it and install it.", show_default=False
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="With --import: overrule what another reviewer decided.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: PROGRAMME_review.html here, opened.")
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run", help="A run id; default the latest match.")] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Write the page without opening it.")] = False,
    comparators: Annotated[
        Path | None,
        typer.Option(
            help="Write the list of comparators in force to this CSV file, by name, instead of the page.",
            show_default=False,
        ),
    ] = None,
    warehouse: WarehouseOption = None,
) -> None:
    """Review the matched authorities by eye: write the page, or install what was decided on it.

    The page works offline and keeps the work in the browser. Export it there, then csceval review --import FILE. It
    exits with 20 if the file cannot be read, 21 if it is of other candidates, 22 if it names an unknown authority, and
    23 if decisions conflict; the reviews installed before then stand as they were.
    """
    path = warehouse_module.warehouse_path(warehouse)
    if import_file is not None:
        if output is not None or run_id is not None or no_open or comparators is not None:
            raise CscError(
                "--import installs a file; --output, --run, --no-open and --comparators do not go with it."
            )
        _import_reviews(path, import_file, programme, replace)
        return
    if programme is None:
        raise CscError("name the programme to review, or a file to install: csceval review --import FILE")
    if replace:
        raise CscError("--replace belongs to --import.")
    from csc_evaluation.review import write_comparators, write_review

    if comparators is not None:
        written = write_comparators(programme, warehouse=path, output=comparators)
        out.print(f"Comparators: {written}")
        return
    with err.status("Writing the page"):
        written = write_review(
            programme, warehouse=path, output=output or Path(f"{programme}_review.html"), run_id=run_id
        )
    out.print(f"Review page: {written}")
    if output is None and not no_open and not webbrowser.open(written.as_uri()):
        out.print("No browser could be opened from here; open the file in one.")
    out.print("When you have exported it there: csceval review --import FILE")


def _import_reviews(path: Path, file: Path, programme: str | None, replace: bool) -> None:
    from csc_evaluation.review import import_reviews

    with _progress() as progress:
        done = import_reviews(
            file,
            warehouse=path,
            programme=programme,
            replace_others=replace,
            on_progress=lambda finished, total, name: progress("load", finished / max(total, 1)),
        )
    out.print(
        f"Installed {done.n_accepted} accepted and {done.n_rejected} rejected pairs "
        f"({done.n_new} new, {done.n_replaced} changed) in {done.seed_file}"
    )
    if done.n_agreeing:
        out.print(
            f"{done.n_agreeing} were decided alike by another reviewer before; that reviewer's rows stay."
        )
    if done.n_outdated:
        out.print(f"{done.n_outdated} rows on comparators that are no longer on these lists were taken out.")
    for line in done.leaving:
        out.print(line)
    if done.still_open:
        table = _table("Still without a decision", "programme", "outcome", "authority", "decided", right=(3,))
        for row in done.still_open:
            table.add_row(row.programme, row.outcome, row.authority, f"{row.n_decided} of {row.n_candidates}")
        out.print(table)
        out.print("Until then their nearest candidates are taken and what rests on them says unreviewed.")
    else:
        out.print("Every treated authority and outcome with candidates has a decision.")
    for name in done.programmes:
        out.print(f"Next: csceval estimate {name}, then csceval report {name}")


@app.command()
def run(
    programme: ProgrammeArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: PROGRAMME.html here.")
    ] = None,
    warehouse: WarehouseOption = None,
    seed: SeedOption = 1,
) -> None:
    """Build, match, estimate and report, on what is landed."""
    from csc_evaluation.pipeline import run_programme_path

    path = warehouse_module.warehouse_path(warehouse)
    with _progress() as progress:
        done = run_programme_path(
            programme,
            warehouse_file=path,
            report_file=output or Path(f"{programme}.html"),
            random_seed=seed,
            on_progress=progress,
        )
    _print_matches(path, done.run.run_id)
    _print_estimates(path, done.run)
    out.print(f"Report: {done.report}")


@app.command()
def demo(
    out_folder: Annotated[
        Path,
        typer.Option("--out", help="Folder for everything the demonstration makes; made anew each time."),
    ] = Path("demo"),
    scale: Annotated[float, typer.Option(help="Share of England's children per authority.")] = 0.15,
    seed: SeedOption = 1,
    authorities: Annotated[int, typer.Option(min=6, help="How many authorities take part.")] = 30,
    effect: Annotated[float, typer.Option(help="True risk difference of the primary outcome.")] = -0.02,
) -> None:
    """Synthesise returns, land them, run Family Safeguarding, and print the estimate beside the known truth."""
    from csc_evaluation.landing import render_report
    from csc_evaluation.pipeline import run_demo

    folder = out_folder.resolve()
    with _progress() as progress:
        result = run_demo(
            folder,
            programme=DEFAULT_PROGRAMME,
            scale=scale,
            seed=seed,
            n_authorities=authorities,
            effect=effect,
            on_progress=progress,
        )
    render_report(result.landing, out, per_file=False)
    path = folder / "demo.duckdb"
    _print_matches(path, result.programme_run.run.run_id)
    _print_estimates(path, result.programme_run.run)
    headline = result.programme_run.run.headline
    out.print()
    out.print(f"Estimate:  {_points(headline.estimate)} percentage points")
    out.print(
        f"Interval:  {_points(headline.ci_low)} to {_points(headline.ci_high)} (95%, {headline.inference})"
    )
    out.print(f"Truth:     {_points(result.truth)} percentage points (synthetic data)")
    covered = {True: "yes", False: "no", None: "no interval"}[result.covers_truth]
    out.print(f"Interval holds the truth: {covered}")
    out.print(f"Report:    {result.programme_run.report}")


def _authorities(given: str) -> int | list[str] | None:
    if given == "all":
        return None
    if given.isdigit() and len(given) < 3:
        return int(given)
    codes = [code.strip() for code in given.split(",") if code.strip()]
    if len(codes) == 1 and given.isdigit() and int(given) <= 158:
        return int(given)
    return codes


def _points(value: float | None) -> str:
    return "not available" if value is None else f"{100 * value:+.2f}"


def _print_matches(path: Path, run_id: str) -> None:
    query = """
        select m.outcome, coalesce(t.la_name, m.treated_la_code), coalesce(c.la_name, m.comparator_la_code),
            m.distance, k.expected_noise, m.distance_rank, m.decision
        from results.la_matches as m
        left join results.la_match_candidates as k
            on k.run_id = m.run_id and k.outcome = m.outcome and k.treated_la_code = m.treated_la_code
            and k.candidate_la_code = m.comparator_la_code
        left join reference.local_authorities as t on t.la_code = m.treated_la_code
        left join reference.local_authorities as c on c.la_code = m.comparator_la_code
        where m.run_id = ? order by m.outcome, m.go_live_date, m.distance_rank
    """
    with warehouse_module.readable(path) as connection:
        rows = connection.execute(query, [run_id]).fetchall()
    for outcome, pairs in groupby(rows, key=itemgetter(0)):
        table = _table(
            f"Matches on trends, {outcome}",
            "authority",
            "comparator",
            "distance",
            "by chance",
            "rank",
            "decision",
            right=(2, 3, 4),
        )
        for _, treated, comparator, distance, noise, rank, decision in pairs:
            chance = "" if noise is None else f"{noise:.3f}"
            table.add_row(treated, comparator, f"{distance:.3f}", chance, str(rank), decision)
        out.print(table)


def _print_departures(path: Path, report: MatchReport) -> None:
    """Who is not matched for which outcome, and why; one line for each reason of an outcome."""
    with warehouse_module.readable(path) as connection:
        names = dict(
            connection.execute("select la_code, la_name from reference.local_authorities").fetchall()
        )
    whose: dict[tuple[str, str], list[str]] = {}
    for row in report.departures:
        name = names.get(row.treated_la_code, row.treated_la_code)
        whose.setdefault((row.outcome, row.reason), []).append(name)
    if whose:
        table = _table("Not matched on trends", "outcome", "authority", "reason")
        for (outcome, reason), authorities in whose.items():
            table.add_row(outcome, ", ".join(authorities), reason)
        out.print(table)
    for unmatched in report.children_unmatched:
        out.print(f"Children not matched: {unmatched.reason}")


def _print_estimates(path: Path, report: RunReport) -> None:
    """The headline's specification by every inference, then one row for each other way of matching."""
    columns = """
        select outcome, specification, n_children, n_clusters, n_treated_clusters, inference, is_headline,
            estimate, std_error, df, p_value, ci_low, ci_high
        from results.estimates
    """
    headline = report.headline
    with warehouse_module.readable(path) as connection:
        rows = connection.execute(
            f"{columns} where run_id = ? and term = 'treated' and specification = ? "
            "order by outcome, specification, is_headline desc, inference",
            [report.run_id, headline.specification],
        ).fetchall()
        others = connection.execute(
            f"{columns} where run_id = ? and term = 'treated' and specification <> ? and inference = ? "
            "order by outcome, specification",
            [report.run_id, headline.specification, headline.inference],
        ).fetchall()
    for heading, estimates in groupby(rows, key=itemgetter(0, 1, 2, 3, 4)):
        outcome, specification, n_children, n_clusters, n_treated = heading
        table = _table(
            f"Effect on {outcome}, {specification}: {n_children:,} children in {n_clusters} authorities, "
            f"{n_treated} treated (* headline)",
            *("inference", "estimate (pp)", "s.e.", "df", "p", "95% interval"),
            right=(1, 2, 3, 4, 5),
        )
        for *_, inference, is_headline, value, error, df, p, low, high in estimates:
            table.add_row(
                f"{inference}{' *' if is_headline else ''}", *_effect_cells(value, error, df, p, low, high)
            )
        out.print(table)
    if others:
        table = _table(
            f"The same on other comparators ({headline.inference})",
            *("specification", "effect (pp)", "s.e.", "df", "p", "95% interval"),
            right=(1, 2, 3, 4, 5),
        )
        for _, specification, _, _, _, _, _, *effect in others:
            table.add_row(specification, *_effect_cells(*effect))
        out.print(table)
    if report.is_unreviewed:
        out.print("Unreviewed: no person has yet looked at these matches; the nearest authority was taken.")
    out.print(f"Run: {report.run_id}")


def _effect_cells(
    value: float,
    error: float | None,
    df: float | None,
    p: float | None,
    low: float | None,
    high: float | None,
) -> tuple[str, ...]:
    return (
        _points(value),
        "" if error is None else f"{100 * error:.2f}",
        "" if df is None else f"{df:.1f}",
        "" if p is None else f"{p:.3f}",
        "" if low is None else f"{_points(low)} to {_points(high)}",
    )


def _table(title: str, *columns: str, right: tuple[int, ...] = ()) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index in right else "left", overflow="fold")
    return table


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A progress bar on standard error; a line per step where that is not a terminal."""
    if not err.is_terminal:
        last: list[str] = []

        def say(step: str, share: float) -> None:
            name = step.split(":", maxsplit=1)[0]
            if not last or last[0] != name:
                last[:] = [name]
                err.print(f"{name} ...")

        yield say
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        tasks: dict[str, int] = {}

        def show(step: str, share: float) -> None:
            name = step.split(":", maxsplit=1)[0]
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=1.0)
            label = step if len(step) <= 60 else step[:57] + "..."
            bar.update(tasks[name], completed=share, description=label)  # type: ignore[arg-type]

        yield show


def main() -> None:
    """Run the command; errors meant for people end in one message on standard error and the exit status of their kind.

    With ``CSC_DEBUG`` set, the traceback is shown as well.
    """
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's character set lacks is shown as a question mark; it must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except SystemExit as leaving:
        if leaving.code == EXIT_INTERRUPTED:
            _say("interrupted.")
        raise
    except StoppedByUserError as stopped:
        _say(str(stopped))
        sys.exit(EXIT_INTERRUPTED)
    except (duckdb.InterruptException, RuntimeError) as error:
        # Either is what DuckDB makes of Ctrl-C in the middle of a query.
        if "interrupted" not in str(error).lower():
            raise
        _say("interrupted.")
        sys.exit(EXIT_INTERRUPTED)
    except CscError as error:
        _fail(str(error), error.exit_status)
    except MemoryError:
        _fail("out of memory; set CSC_MEMORY_LIMIT lower (for example 3GB) or use a machine with more.")
    except (OSError, duckdb.Error) as error:
        # A full disk or a lost drive can surface anywhere; what is half done was rolled back by its transaction.
        _fail(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}")


def _say(message: str) -> None:
    err.print(f"csceval: {message}", markup=False)


def _fail(message: str, status: int = EXIT_FAILED) -> NoReturn:
    if os.environ.get("CSC_DEBUG"):
        err.print_exception()
    _say(message)
    sys.exit(status)


if __name__ == "__main__":
    main()
