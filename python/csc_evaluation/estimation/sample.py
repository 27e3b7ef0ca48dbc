"""The matched sample of a regression, compressed in SQL: children alike in everything the regression sees are one cell.

A cell's regressors are levels. What holds for a whole authority at a time (its dummies, the year, whether it was live, its
covariates) is one number, the *time* of the cell; each covariate of the child is one more. Moments of the regression are
then added up from counts of pairs of levels (:attr:`RegressionSample.moments`); estimators that need the rows themselves
take the cells (:attr:`RegressionSample.compressed`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from csc_evaluation.errors import CscError
from csc_evaluation.estimation.linear import Array, CompressedSample
from csc_evaluation.estimation.moments import ClusterMoments, UnitSums
from csc_evaluation.estimation.protocol import Covariate, Outcome, Protocol, Specification
from csc_evaluation.matching.cem import KEY, MISSING_LEVEL, ChildMatching
from csc_evaluation.matching.coarsening import level_text

if TYPE_CHECKING:
    from ibis.expr.types import IntegerValue, Table

TREATED = "treated"
INTERCEPT = "intercept"
TERM = "term"
CLUSTER = "la_code"
QUARTER = "quarter_start"
GROUP = "match_group"
ARM_COLUMNS = ("is_treated_authority", "is_treated")
OUTCOME_DECIMALS = "decimal(18, 9)"
"""Outcomes are summed as decimals of nine places, so that the sum does not depend on the order of the rows."""
MOST_LEVELS = 5_000
"""A covariate with more different values cannot be compressed."""
MOST_CODES = 2**62
MOST_COMBINATIONS = 256
"""Levels that a composite of variables may have when moments are added up; its pairs should fit a processor's cache."""

Codes = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class ChildVariable:
    """A regressor that differs between children of one time: its levels, and their numbers if it enters as a number."""

    name: str
    labels: tuple[str, ...]
    """Names of the levels in order, missing last where it occurs."""
    numbers: Array | None
    """``(L,)`` the value of each level of a numeric covariate, not a number for missing; ``None`` for a categorical one."""


@dataclass(frozen=True)
class Design:
    """Which columns the levels of a sample stand for: ``x = times[time] + sum over variables of variables[v][level]``.

    ``times`` is ``(T, K)`` and each of ``variables`` ``(L_v, K)``. Numeric columns are measured from their weighted mean.
    """

    columns: tuple[str, ...]
    times: Array
    variables: Mapping[str, Array]
    reference_levels: Mapping[str, str]
    """For each categorical regressor the level without a dummy."""


@dataclass(frozen=True, kw_only=True)
class CodedCells:
    """Cells whose regressors are levels; :class:`RegressionSample` says what each attribute is."""

    times: pd.DataFrame
    variables: tuple[ChildVariable, ...]
    time: Codes
    codes: Mapping[str, Codes]
    weight: Array
    n_rows: Codes
    sum_y: Array
    sum_yy: Array


@dataclass(frozen=True, kw_only=True)
class RegressionSample(CodedCells):
    """Cells of the matched children and the regressors built from them: ``C`` cells, ``T`` times.

    Attributes:
        outcome: name of the outcome.
        times: ``T`` rows in order of authority: ``la_code``, ``quarter_start``, the fixed effects (``match_group`` where
            groups are stacked), the authority's covariates, ``is_treated_authority`` and ``is_treated``.
        variables: covariates of the child, and the school term of an outcome by term.
        time: ``(C,)`` row of ``times``; cells are in its order.
        codes: for each variable ``(C,)`` its level.
        weight, n_rows, sum_y, sum_yy: ``(C,)`` weight of each row, number of rows, sums of the outcome and its square.
        design: columns of the specification.
        covariates: names of the covariates in it.
        n_children: distinct children and index events; an outcome by school term has a row per term of each.
        n_distinct_rows: distinct rows (a child in several stacked groups is one).
    """

    outcome: str
    design: Design
    covariates: tuple[str, ...]
    n_children: int
    n_distinct_rows: int

    @property
    def reference_levels(self) -> Mapping[str, str]:
        """For each categorical regressor the level without a dummy."""
        return self.design.reference_levels

    @property
    def cluster_names(self) -> tuple[str, ...]:
        """The authorities, in order."""
        return tuple(sorted(self.times.la_code.unique()))

    @property
    def treated_clusters(self) -> tuple[str, ...]:
        """Authorities with at least one child whose index event falls after go-live."""
        return tuple(sorted(self.times.loc[self.times.is_treated, "la_code"].unique()))

    @cached_property
    def cluster(self) -> Codes:
        """``(C,)`` the number of each cell's authority."""
        return self._cluster_of_time[self.time]

    @cached_property
    def _cluster_of_time(self) -> Codes:
        number = {code: position for position, code in enumerate(self.cluster_names)}
        return np.asarray(self.times.la_code.map(number), dtype=np.int64)

    @cached_property
    def compressed(self) -> CompressedSample:
        """The cells with their columns written out, for estimators that are not linear in moments."""
        x = self.design.times[self.time]
        for variable in self.variables:
            x += self.design.variables[variable.name][self.codes[variable.name]]
        return CompressedSample(
            columns=self.design.columns,
            x=x,
            weight=self.weight,
            n_rows=self.n_rows,
            sum_y=self.sum_y,
            cluster=self.cluster,
            cluster_names=self.cluster_names,
        )

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The cells in words: the columns of ``times``, a column per variable, ``weight``, ``n_rows``, ``sum_y``."""
        frame = self.times.iloc[self.time].reset_index(drop=True)
        for variable in self.variables:
            labels: object = variable.labels if variable.numbers is None else variable.numbers
            frame[variable.name] = np.asarray(labels)[self.codes[variable.name]]
        return frame.assign(weight=self.weight, n_rows=self.n_rows, sum_y=self.sum_y, sum_yy=self.sum_yy)

    @cached_property
    def time_sums(self) -> UnitSums:
        """Sums over each time (row of ``times``)."""
        return self._sums[1]

    @cached_property
    def moments(self) -> ClusterMoments:
        """Moments of the columns by authority."""
        return self._sums[0]

    def unit_sums(self, by: Sequence[str] = (CLUSTER, QUARTER)) -> UnitSums:
        """Sums over units: times that agree in some columns of ``times``, the authority among them."""
        return self.time_sums.grouped(self.unit_of_time(by))

    def unit_of_time(self, by: Sequence[str] = (CLUSTER, QUARTER)) -> Codes:
        """``(T,)`` the unit of each time, numbered in order of authority."""
        keys = list(dict.fromkeys([CLUSTER, *by]))
        return np.asarray(self.times.groupby(keys, sort=True, dropna=False).ngroup(), dtype=np.int64)

    @cached_property
    def _sums(self) -> tuple[ClusterMoments, UnitSums]:
        return _add_up(self)


def regression_sample(
    protocol: Protocol,
    outcome: Outcome,
    matching: ChildMatching,
    specification: Specification,
    *,
    is_stacked: bool = False,
) -> RegressionSample:
    """Compress the matched children of an outcome and build the regressors of a specification.

    Regressors: an intercept, a dummy per authority and per level of the other fixed effects (all but the first; for an
    outcome by school term the term is one), child and authority covariates, and ``treated`` (the child's authority was live
    on the index date). Categorical covariates: dummies for all levels but the first in alphabetical order, missing a level
    of its own. Numeric covariates: measured from their mean, missing as the mean beside a dummy for missing.

    Args:
        protocol: seeds of the programme.
        outcome: the outcome.
        matching: its matched children.
        specification: names the fixed effects; ``a:b`` is a dummy per combination.
        is_stacked: a child stands once in each of its matched groups, with that group's weight.

    Raises:
        CscError: a numeric covariate holds text, or a covariate has too many values to be compressed.
    """
    left_out = set(matching.missing_dropped)
    covariates = [row for row in protocol.covariates_of(outcome.outcome) if row.covariate not in left_out]
    n_children, is_by_term = _extent(matching)
    n_distinct_rows = None
    if is_stacked:
        n_distinct_rows = int(matching.values.semi_join(matching.weights, KEY).count().execute())
    return compress_rows(
        outcome.outcome,
        _rows(matching, is_stacked=is_stacked),
        covariates,
        specification.fixed_effects,
        n_children=n_children,
        is_by_term=is_by_term,
        n_distinct_rows=n_distinct_rows,
    )


def compress_rows(
    outcome: str,
    rows: Table,
    covariates: Sequence[Covariate],
    fixed_effects: Sequence[str],
    *,
    n_children: int,
    is_by_term: bool = False,
    n_distinct_rows: int | None = None,
) -> RegressionSample:
    """Compress rows of a regression, one per child, index event and term (and matched group, if stacked).

    Args:
        outcome: name of the outcome.
        rows: ``la_code, quarter_start, is_treated_authority, is_treated, weight, outcome_value``, the fixed effects and the
            covariates; ``match_group`` where groups are stacked, ``term`` where the outcome is by school term.
        covariates: how each enters.
        fixed_effects: columns; ``a:b`` is a dummy per combination.
        n_children: distinct children and index events.
        is_by_term: whether there is a dummy per term.
        n_distinct_rows: where rows stand more than once; default all rows.

    Raises:
        CscError: a numeric covariate holds text, or a covariate has too many values to be compressed.
    """
    effects = list(dict.fromkeys(part for name in fixed_effects for part in name.split(":")))
    authority = [row.covariate for row in covariates if row.level == "authority"]
    group = [GROUP] if GROUP in rows.columns else []
    times = list(dict.fromkeys([CLUSTER, QUARTER, *group, *effects, *authority, *ARM_COLUMNS]))
    coded = _coded_cells(rows, times, covariates, effects, is_by_term=is_by_term)
    return RegressionSample(
        **vars(coded),
        outcome=outcome,
        design=_design(coded, covariates, fixed_effects),
        covariates=tuple(row.covariate for row in covariates),
        n_children=n_children,
        n_distinct_rows=int(coded.n_rows.sum()) if n_distinct_rows is None else n_distinct_rows,
    )


def _extent(matching: ChildMatching) -> tuple[int, bool]:
    """How many children and index events are matched, and whether their outcome is by school term."""
    n_children = int(matching.weights.count().execute())
    last_term = matching.values.term.max().execute()
    return n_children, bool(last_term)


# -- cells -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Digit:
    """A column as a digit of a packed number; the code after the last value stands for missing."""

    name: str
    values: tuple[object, ...]

    @property
    def size(self) -> int:
        return len(self.values) + 1

    @property
    def is_looked_up(self) -> bool:
        """Whether codes come from a join: a number with a fraction written out in SQL need not be the same number."""
        return any(isinstance(value, float) for value in self.values)

    def code(self, rows: Table) -> IntegerValue:
        """The code of each row."""
        missing, column = len(self.values), rows[self.name]
        if not self.values:
            return ibis.literal(0).cast("int64")
        if self.is_looked_up:
            return rows[f"code_of_{self.name}"].fill_null(missing)
        if all(type(value) is int for value in self.values):
            low, high = int(self.values[0]), int(self.values[-1])  # type: ignore[call-overload]
            if high - low + 1 == len(self.values):
                return (column.cast("int64") - low).fill_null(missing)
        choices = [(value, number) for number, value in enumerate(self.values)]
        return column.cases(*choices, else_=missing).cast("int64")


def _rows(matching: ChildMatching, *, is_stacked: bool) -> Table:
    """A row per matched child, index event and term (and group, if stacked), with ``weight`` and ``quarter_start``."""
    weights = (
        matching.group_weights.select(GROUP, *KEY, weight="group_weight")
        if is_stacked
        else matching.weights.select(*KEY, "weight")
    )
    rows = matching.sample.inner_join(weights, KEY).inner_join(matching.values, KEY)
    if QUARTER not in rows.columns:
        rows = rows.mutate(**{QUARTER: rows.index_date.truncate("Q").cast("date")})
    return rows


def _coded_cells(
    rows: Table,
    times: list[str],
    covariates: Sequence[Covariate],
    effects: Sequence[str],
    *,
    is_by_term: bool,
) -> CodedCells:
    numeric = {row.covariate for row in covariates if row.kind == "numeric"}
    for name in numeric:
        if not (rows[name].type().is_numeric() or rows[name].type().is_boolean()):
            raise CscError(
                f"marts.index_events: {name} holds text, but protocol.regression_covariates calls it numeric."
            )
    # An authority's numbers follow from its other columns; where they do not, they are variables of the child.
    measures = [name for name in times if name in numeric and name not in effects]
    time_digits = [_digit(rows, name) for name in times if name not in measures]
    rows = _with_codes(rows, time_digits)
    time_code = _packed(rows, time_digits)
    known = rows.select(time_code=time_code, **{name: rows[name] for name in measures})
    by_time = known.group_by("time_code").agg(
        **{f"low_{name}": known[name].min() for name in measures},
        **{f"high_{name}": known[name].max() for name in measures},
        **{f"known_{name}": known[name].count() for name in measures},
        n_rows=known.count(),
    )
    frame = by_time.order_by("time_code").to_pandas()
    varying = [
        name
        for name in measures
        if not (
            (frame[f"low_{name}"] == frame[f"high_{name}"]) & (frame[f"known_{name}"] == frame.n_rows)
            | (frame[f"known_{name}"] == 0)
        ).all()
    ]
    of_child = [row.covariate for row in covariates if row.level != "authority"]
    wanted = list(dict.fromkeys([*([TERM] if is_by_term else []), *of_child, *varying]))
    digits = [_digit(rows, name) for name in wanted if name not in times or name in varying]
    rows = _with_codes(rows, digits)
    keyed = rows.select(
        time_code=_packed(rows, time_digits),
        child_code=_packed(rows, digits) if digits else ibis.literal(0).cast("int64"),
        weight=rows.weight,
        outcome_value=rows.outcome_value,
    )
    keys = ["time_code", "child_code", "weight"]
    y = keyed.outcome_value
    cells = (
        keyed.group_by(keys)
        .agg(
            n_rows=keyed.count().cast("int64"),
            sum_y=y.cast(OUTCOME_DECIMALS).sum().cast("float64"),
            sum_yy=(y * y).cast(OUTCOME_DECIMALS).sum().cast("float64"),
        )
        .order_by(keys)
        .to_pyarrow()
    )

    def column(name: str) -> np.ndarray:
        return cells[name].to_numpy()

    time_table = _unpacked_frame(frame.time_code.to_numpy(np.int64), time_digits)
    for name in measures:
        if name not in varying:
            time_table[name] = frame[f"low_{name}"].astype("float64").to_numpy()
    ordered = time_table[times[:1] + [name for name in times[1:] if name in time_table]]
    # In order of authority: packed codes are, since the authority is the first digit.
    time = np.searchsorted(frame.time_code.to_numpy(np.int64), column("time_code").astype(np.int64))
    codes: dict[str, Codes] = {}
    variables = []
    rest = column("child_code").astype(np.int64)
    for digit in reversed(digits):
        codes[digit.name], rest = rest % digit.size, rest // digit.size
    for digit in digits:
        codes[digit.name], variable = _child_variable(digit, codes[digit.name], digit.name in numeric)
        variables.append(variable)
    return CodedCells(
        times=ordered,
        variables=tuple(variables),
        time=time.astype(np.int64),
        codes={digit.name: codes[digit.name] for digit in digits},
        weight=column("weight").astype(np.float64),
        n_rows=column("n_rows").astype(np.int64),
        sum_y=column("sum_y").astype(np.float64),
        sum_yy=column("sum_yy").astype(np.float64),
    )


def _digit(rows: Table, name: str) -> _Digit:
    if rows[name].type().is_boolean():
        return _Digit(name, (False, True))
    distinct = rows.select(name).distinct().limit(MOST_LEVELS + 2).to_pyarrow()[name].to_pylist()
    values = sorted({value for value in distinct if not pd.isna(value)})
    if len(values) > MOST_LEVELS:
        raise CscError(
            f"marts.index_events: {name} has over {MOST_LEVELS:,} different values; a regression covariate of that many cannot "
            "be compressed. Round it in the mart, or leave it out of protocol.regression_covariates."
        )
    return _Digit(name, tuple(values))


def _with_codes(rows: Table, digits: Sequence[_Digit]) -> Table:
    """The rows with a code for each digit that is looked up."""
    for digit in digits:
        if digit.is_looked_up:
            code = f"code_of_{digit.name}"
            codes = ibis.memtable(
                pd.DataFrame(
                    {
                        "level_value": np.array(digit.values, dtype=np.float64),
                        code: np.arange(len(digit.values)),
                    }
                )
            )
            rows = rows.left_join(codes, rows[digit.name] == codes.level_value).drop("level_value")
    return rows


def _packed(rows: Table, digits: Sequence[_Digit]) -> IntegerValue:
    sizes = [digit.size for digit in digits]
    if prod(sizes) > MOST_CODES:
        raise CscError(
            f"protocol.regression_covariates: {', '.join(digit.name for digit in digits)} have too many combinations of values "
            "to be compressed; take fewer covariates, or coarser ones."
        )
    packed: IntegerValue | None = None
    for digit in digits:
        code = digit.code(rows)
        packed = code if packed is None else packed * digit.size + code
    assert packed is not None  # noqa: S101 - the authority is always among them
    return packed.cast("int64")


def _unpacked_frame(packed: Codes, digits: Sequence[_Digit]) -> pd.DataFrame:
    columns: dict[str, object] = {}
    rest = packed
    for digit in reversed(digits):
        code, rest = rest % digit.size, rest // digit.size
        columns[digit.name] = [None if at == len(digit.values) else digit.values[at] for at in code]
    frame = pd.DataFrame({digit.name: columns[digit.name] for digit in digits}, dtype=object)
    for name in ARM_COLUMNS:
        frame[name] = frame[name].astype(bool)
    return frame


def _child_variable(digit: _Digit, codes: Codes, is_numeric: bool) -> tuple[Codes, ChildVariable]:
    """The variable with only the levels that occur, and its codes renumbered."""
    present = np.zeros(digit.size, dtype=bool)
    present[codes] = True
    renumbered = np.cumsum(present) - 1
    kept = np.flatnonzero(present)
    values = [None if at == len(digit.values) else digit.values[at] for at in kept]
    labels = tuple(MISSING_LEVEL if value is None else _label(value) for value in values)
    numbers = None
    if is_numeric:
        numbers = np.array([np.nan if value is None else float(value) for value in values])  # type: ignore[arg-type]
    return renumbered[codes], ChildVariable(digit.name, labels, numbers)


def _label(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return level_text(value)


# -- columns ---------------------------------------------------------------------------------------------------


def _design(coded: CodedCells, covariates: Sequence[Covariate], fixed_effects: Sequence[str]) -> Design:
    n_times = len(coded.times)
    mass = coded.weight * coded.n_rows
    time_mass = np.bincount(coded.time, weights=mass, minlength=n_times).astype(np.float64)
    variables = {variable.name: variable for variable in coded.variables}
    blocks: list[tuple[str | None, tuple[str, ...], Array]] = [(None, (INTERCEPT,), np.ones((n_times, 1)))]
    reference: dict[str, str] = {}

    def of_time(name: str, parts: Sequence[str]) -> None:
        labels = _time_labels(coded.times, parts)
        names, dummies, reference[name] = _dummies(name, labels, np.array(labels, dtype=object))
        blocks.append((None, names, dummies))

    def of_child(variable: ChildVariable) -> None:
        if variable.numbers is None:
            names, dummies, reference[variable.name] = _dummies(
                variable.name, variable.labels, np.array(variable.labels, dtype=object)
            )
        else:
            level_mass = np.bincount(coded.codes[variable.name], weights=mass, minlength=len(variable.labels))
            names, dummies = _numbers(variable.name, variable.numbers, level_mass.astype(np.float64))
        blocks.append((variable.name, names, dummies))

    for name in fixed_effects:
        of_time(name, name.split(":"))
    if TERM in variables:
        of_child(variables[TERM])
    for row in covariates:
        if row.covariate in variables:
            of_child(variables[row.covariate])
        elif row.covariate in fixed_effects:
            continue
        elif row.kind == "numeric":
            numbers = coded.times[row.covariate].to_numpy(dtype=np.float64, na_value=np.nan)
            blocks.append((None, *_numbers(row.covariate, numbers, time_mass)))
        else:
            of_time(row.covariate, [row.covariate])
    blocks.append((None, (TREATED,), coded.times.is_treated.to_numpy(np.float64)[:, None]))

    names = tuple(itertools.chain.from_iterable(block[1] for block in blocks))
    times = np.zeros((n_times, len(names)))
    encoded = {name: np.zeros((len(variable.labels), len(names))) for name, variable in variables.items()}
    start = 0
    for owner, block_names, values in blocks:
        target = times if owner is None else encoded[owner]
        target[:, start : start + len(block_names)] = values
        start += len(block_names)
    return Design(names, times, encoded, reference)


def _time_labels(times: pd.DataFrame, parts: Sequence[str]) -> list[str]:
    texts = [[MISSING_LEVEL if pd.isna(value) else _label(value) for value in times[part]] for part in parts]
    return [":".join(row) for row in zip(*texts, strict=True)]


def _dummies(name: str, labels: Sequence[str], values: np.ndarray) -> tuple[tuple[str, ...], Array, str]:
    """A column for each level but the first; missing is the last level."""
    present = set(labels)
    levels = [*sorted(present - {MISSING_LEVEL}), *sorted(present & {MISSING_LEVEL})]
    if not levels:
        return (), np.zeros((len(values), 0)), ""
    columns = [(values == level).astype(np.float64) for level in levels[1:]]
    dummies = np.column_stack(columns) if columns else np.zeros((len(values), 0))
    return tuple(f"{name}={level}" for level in levels[1:]), dummies, levels[0]


def _numbers(name: str, numbers: Array, mass: Array) -> tuple[tuple[str, ...], Array]:
    """The numbers less their mean, and a dummy for missing where there is any."""
    missing = np.isnan(numbers)
    known = mass * ~missing
    mean = float(known @ np.where(missing, 0.0, numbers)) / known.sum() if known.sum() > 0 else 0.0
    column = np.where(missing, 0.0, numbers - mean)[:, None]
    if missing.any():
        return (name, f"{name}={MISSING_LEVEL}"), np.column_stack([column, missing.astype(np.float64)])
    return (name,), column


# -- moments ---------------------------------------------------------------------------------------------------


def _merged(sample: RegressionSample) -> list[tuple[Codes, Array]]:
    """The variables as few composites: codes, and the columns that each combination of levels stands for."""
    composites: list[tuple[Codes, Array]] = []
    for variable in sorted(sample.variables, key=lambda row: (len(row.labels), row.name)):
        codes, encoding = sample.codes[variable.name], sample.design.variables[variable.name]
        if composites and len(composites[-1][1]) * len(encoding) <= MOST_COMBINATIONS:
            before, columns = composites.pop()
            codes = before * len(encoding) + codes
            encoding = (columns[:, None, :] + encoding[None, :, :]).reshape(-1, encoding.shape[1])
        composites.append((codes, encoding))
    return composites


def _add_up(sample: RegressionSample) -> tuple[ClusterMoments, UnitSums]:
    """Moments by authority and sums by time, from counts of pairs of levels.

    With ``N`` the counts of pairs and ``E`` the columns that the levels stand for, ``X'X = E'NE``; likewise with weights
    and squared weights for counts. Variables of few levels are taken together first: fewer pairs to count.
    """
    design, merged = sample.design, _merged(sample)
    k, n_times, names = len(design.columns), len(sample.times), sample.cluster_names
    n_clusters = len(names)
    xx, xwx, xwwx = (np.zeros((n_clusters, k, k)) for _ in range(3))
    xy, xwy = np.zeros((n_clusters, k)), np.zeros((n_clusters, k))
    n_rows, sum_w, ywy = np.zeros(n_clusters, dtype=np.int64), np.zeros(n_clusters), np.zeros(n_clusters)
    by_time = {name: np.zeros((n_times, k)) for name in ("x", "wx", "wwx")}
    by_time_1 = {name: np.zeros(n_times) for name in ("n", "w", "ww", "y", "wy", "wwy")}
    cell_edges = np.searchsorted(sample.cluster, np.arange(n_clusters + 1))
    time_edges = np.searchsorted(sample._cluster_of_time, np.arange(n_clusters + 1))
    for g in range(n_clusters):
        cells, times = (
            slice(cell_edges[g], cell_edges[g + 1]),
            slice(time_edges[g], time_edges[g + 1]),
        )
        width = [times.stop - times.start, *(len(encoding) for _, encoding in merged)]
        starts = np.concatenate([[0], np.cumsum(width)])
        codes = [sample.time[cells] - times.start] + [code[cells] for code, _ in merged]
        encoding = np.vstack([design.times[times], *(encoding for _, encoding in merged)])
        n, w = sample.n_rows[cells].astype(np.float64), sample.weight[cells]
        y = sample.sum_y[cells]
        masses = [n, n * w, n * w * w]
        is_unweighted = len(w) > 0 and bool((w == w[0]).all())
        pairs = [np.zeros((starts[-1], starts[-1])) for _ in masses]
        for a, b in itertools.combinations_with_replacement(range(len(codes)), 2):
            shape: tuple[int, ...] = (width[a],) if a == b else (width[a], width[b])
            joint = codes[a] if a == b else codes[a] * width[b] + codes[b]
            rows, columns = slice(starts[a], starts[a + 1]), slice(starts[b], starts[b + 1])
            for number, mass in enumerate(masses):
                if number and is_unweighted:
                    counted = pairs[0][rows, columns] * w[0] ** number
                    pairs[number][rows, columns] = counted
                    if a != b:
                        pairs[number][columns, rows] = counted.T
                    continue
                sums = np.bincount(joint, weights=mass, minlength=prod(shape)).reshape(shape)
                if a == b:
                    pairs[number][rows, columns] = np.diag(sums)
                else:
                    pairs[number][rows, columns] = sums
                    pairs[number][columns, rows] = sums.T
        at_time = slice(0, width[0])
        for number, (moment, key, key_1) in enumerate(
            ((xx, "x", "n"), (xwx, "wx", "w"), (xwwx, "wwx", "ww"))
        ):
            on_columns = pairs[number] @ encoding
            moment[g] = encoding.T @ on_columns
            by_time[key][times] = on_columns[at_time]
            by_time_1[key_1][times] = np.diag(pairs[number])[at_time]
        for target, key_1, values in (
            (xy, "y", y),
            (xwy, "wy", w * y),
        ):
            by_level = np.concatenate(
                [
                    np.bincount(code, weights=values, minlength=size)
                    for code, size in zip(codes, width, strict=True)
                ]
            )
            target[g] = encoding.T @ by_level
            by_time_1[key_1][times] = by_level[at_time]
        by_time_1["wwy"][times] = np.bincount(codes[0], weights=w * w * y, minlength=width[0])
        n_rows[g], sum_w[g] = int(n.sum()), float((n * w).sum())
        ywy[g] = float((w * sample.sum_yy[cells]).sum())
    moments = ClusterMoments(
        columns=design.columns,
        cluster_names=names,
        n_rows=n_rows,
        sum_w=sum_w,
        xx=xx,
        xwx=xwx,
        xwwx=xwwx,
        xy=xy,
        xwy=xwy,
        ywy=ywy,
        n_distinct_rows=sample.n_distinct_rows,
    )
    units = UnitSums(
        cluster=sample._cluster_of_time,
        n_rows=by_time_1["n"],
        sum_w=by_time_1["w"],
        sum_ww=by_time_1["ww"],
        x=by_time["x"],
        wx=by_time["wx"],
        wwx=by_time["wwx"],
        y=by_time_1["y"],
        wy=by_time_1["wy"],
        wwy=by_time_1["wwy"],
    )
    return moments, units
