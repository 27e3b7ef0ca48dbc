"""Missing covariates: what is missing, tests of where, and multiple imputation by chained equations.

Data come as cells: rows alike in every variable, with their number ``n``. Children of a cell are exchangeable, so an
imputation is fully described by how many children of each incomplete cell take which values; no child is named here.
Only incomplete cells are spread out into children; the models are fitted on weighted cells.

Each imputation is a chain of its own. A chain starts with draws from the observed values and then visits the variables
in turn, least missing first: fit the variable on all others where it is observed, and draw it anew where it is not.
The fit sees a bootstrap sample of the children, so that the draws carry the uncertainty of the model (proper
imputation). Sources: van Buuren (2018), Flexible Imputation of Missing Data, 2nd edition, chapters 3 and 4; White,
Royston and Wood (2011), Statistics in Medicine 30: 377-399.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special, stats

from csc_evaluation.errors import CscError

Kind = Literal["categorical", "numeric"]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

COUNT = "n"
RIDGE = 0.01
"""Penalty on squared coefficients: a normal prior with standard deviation 10 on the logit scale. It keeps a perfectly
predicted level finite and is negligible beside the information of a few dozen children."""
NEWTON_STEPS_MAX = 50
NEWTON_TOLERANCE = 1e-8
PREDICTION_DIGITS = 9
"""Predicted means are alike, for choosing donors, if they agree to this many decimals of a standard deviation."""
ITERATIONS_KEPT_MIN = 2

TRACE_COLUMNS = ["variable", "imputation", "iteration", "statistic", "level", "value"]
CONVERGENCE_COLUMNS = ["variable", "statistic", "level", "scale_reduction", "is_converged"]


@dataclass(frozen=True)
class Imputations:
    """Completed cells and how the chains got there.

    Attributes:
        completions: per imputation (from 1) and incomplete cell (``cell``, its position in the table given, from 0), how
            many of its children (``n``) take which values; one column per imputed variable, its observed values kept.
        trace: per variable, imputation and iteration, ``mean`` and ``sd`` of the values imputed (numeric) or the
            ``share`` of each level among them (categorical), for plots of convergence.
        convergence: per variable (and level) the potential scale reduction factor of the mean or share, and whether it is
            small enough; both ``None`` where there are too few imputations or iterations to tell. It watches each variable
            by itself: chains that wander in how two variables go together pass unnoticed.
    """

    completions: pd.DataFrame
    trace: pd.DataFrame
    convergence: pd.DataFrame

    @property
    def unconverged(self) -> tuple[str, ...]:
        """Variables whose chains have not been shown to mix: too large a factor, or too short a trace to tell."""
        verdicts = zip(self.convergence["variable"], self.convergence["is_converged"], strict=True)
        return tuple(dict.fromkeys(variable for variable, verdict in verdicts if verdict is not True))


def impute(
    cells: pd.DataFrame,
    variables: Mapping[str, Kind],
    predictors: Mapping[str, Kind],
    *,
    n_imputations: int = 5,
    n_iterations: int = 20,
    seed: int,
    n_donors: int = 5,
    scale_reduction_max: float = 1.2,
) -> Imputations:
    """Impute missing values by chained equations.

    Categorical variables: continuation-ratio logits (level by level, most common first, each against those still to
    come; an ordinary logit for two levels), with a small ridge. Numeric: predictive mean matching, where a value is that of
    one of the ``n_donors`` observed children whose predicted mean is nearest, drawn at random; so it is always a value
    that occurs. Donors are predicted by the fit to all observed children, children to impute by the bootstrap fit ("type 1
    matching").

    The same cells in the same order with the same seed give the same imputations; imputation ``i`` does not depend on
    how many there are.

    Args:
        cells: one row per cell, ``n`` its number of children; missing is ``None`` or NaN. Levels come back as they are
            here, so whole numbers should not have become floats beside NaN.
        variables: what to impute and how it is measured. Those without missing values only predict.
        predictors: further variables of the imputation model, complete: outcome, arm by period, year.
        n_imputations: number of completed sets.
        n_iterations: rounds of each chain.
        seed: of the random numbers.
        n_donors: observed children to draw from for a numeric value.
        scale_reduction_max: largest potential scale reduction factor that counts as convergence.

    Raises:
        CscError: a variable has no observed value at all, or the cells are not fit to impute.

    Example:
        >>> cells = pd.DataFrame({
        ...     "disabled": ["no", "yes", None, "no", "yes", None], "outcome": [0, 0, 0, 1, 1, 1],
        ...     "n": [80, 20, 30, 30, 70, 40]})
        >>> found = impute(cells, {"disabled": "categorical"}, {"outcome": "numeric"}, n_imputations=2, seed=1)
        >>> found.completions.groupby(["imputation", "cell"])["n"].sum().tolist()
        [30, 40, 30, 40]
    """
    _check(cells, variables, predictors)
    if n_imputations < 1 or n_iterations < 1 or n_donors < 1:
        raise CscError("imputation needs at least one imputation, one iteration and one donor")
    model = _Model(cells, variables, predictors)
    frames, traces = [], []
    for imputation, stream in enumerate(np.random.SeedSequence(seed).spawn(n_imputations), start=1):
        if not model.to_impute:
            break
        rng = np.random.default_rng(stream)
        traces += [{"imputation": imputation, **row} for row in model.run_chain(rng, n_iterations, n_donors)]
        frames.append(model.completed(imputation))
    columns = ["imputation", "cell", *variables, COUNT]
    completions = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    trace = pd.DataFrame(traces, columns=TRACE_COLUMNS)
    # As they are: beside None, pandas would turn levels that are whole numbers into floats.
    trace["level"] = pd.Series([row["level"] for row in traces], dtype=object)
    return Imputations(completions[columns], trace, _convergence(trace, scale_reduction_max))


def missingness_pattern(cells: pd.DataFrame, variables: Mapping[str, Kind]) -> pd.DataFrame:
    """Which variables are missing together, and for how many children; most frequent pattern first.

    Returns:
        One row per pattern: a column per variable (``True`` where missing), ``n_missing_variables`` and ``n``.

    Example:
        >>> cells = pd.DataFrame({"age": [3.0, None, None], "gender": ["1", "2", None], "n": [5, 2, 1]})
        >>> missingness_pattern(cells, {"age": "numeric", "gender": "categorical"})
             age  gender  n_missing_variables  n
        0  False   False                    0  5
        1   True   False                    1  2
        2   True    True                    2  1
    """
    names = list(variables)
    pattern = cells[names].isna().assign(**{COUNT: cells[COUNT]})
    counted = pattern.groupby(names, sort=True)[COUNT].sum().reset_index()
    counted.insert(len(names), "n_missing_variables", counted[names].to_numpy(int).sum(axis=1))
    return counted.sort_values(COUNT, ascending=False, kind="stable", ignore_index=True)


def missingness_tests(
    cells: pd.DataFrame, covariates: Mapping[str, Kind], others: Mapping[str, Kind]
) -> pd.DataFrame:
    """Whether a covariate is missing more often for some children: by outcome, arm and each other covariate.

    By a categorical variable: the share missing at each of its levels (missing is one) and Pearson's chi-squared test
    without continuity correction. By a numeric one: its mean where the covariate is missing and where it is not, and
    Welch's t test, over children whose value is known. Children count as independent; with clustered children p-values
    are too small, and describe rather than decide.

    Args:
        cells: one row per cell, ``n`` its number of children.
        covariates: those whose missing values are in question; those without any are left out.
        others: what else to test against: outcome, arm.

    Returns:
        One row per covariate, variable (``by``) and level; a numeric variable has one row and no level. ``statistic``,
        ``df`` and ``p_value`` belong to the test as a whole and are NaN where there is nothing to compare.
    """
    rows: list[dict[str, Any]] = []
    n = cells[COUNT].to_numpy(np.int64)
    for covariate in covariates:
        is_missing = cells[covariate].isna().to_numpy()
        if not n[is_missing].sum():
            continue
        for by, kind in {**others, **covariates}.items():
            if by == covariate:
                continue
            tested = _chi_squared if kind == "categorical" else _welch
            rows += [{"covariate": covariate, "by": by, **row} for row in tested(cells[by], n, is_missing)]
    columns = ["covariate", "by", "level", "n", "n_missing", "share_missing"]
    columns += ["mean_if_missing", "mean_if_observed", "test", "statistic", "df", "p_value"]
    return pd.DataFrame(rows, columns=columns)


class _Model:
    """Complete cells, then one unit for each child of the incomplete ones, and the design matrix of all variables."""

    def __init__(
        self, cells: pd.DataFrame, variables: Mapping[str, Kind], predictors: Mapping[str, Kind]
    ) -> None:
        self.variables = dict(variables)
        n = cells[COUNT].to_numpy(np.int64)
        incomplete = (
            cells[list(variables)].isna().any(axis=1).to_numpy() if variables else np.zeros(len(n), bool)
        )
        spread = np.repeat(np.flatnonzero(incomplete), n[incomplete])
        whole = np.flatnonzero(~incomplete & (n > 0))
        cell = np.concatenate([whole, spread])
        self.n_whole, self.cell = len(whole), spread
        self.weight = np.concatenate([n[whole], np.ones(len(spread), np.int64)])

        # Values are codes of levels (categorical) or numbers in standard deviations (numeric); -1 and NaN until drawn.
        self.values: dict[str, NDArray[Any]] = {}
        self.levels: dict[str, list[Hashable]] = {}
        self.raw: dict[str, NDArray[Any]] = {}
        self.missing: dict[str, NDArray[np.intp]] = {}
        self.blocks: dict[str, slice] = {}
        width = 1
        for name, kind in {**predictors, **variables}.items():
            column = cells[name].iloc[cell]
            is_missing = column.isna().to_numpy()
            self.missing[name] = np.flatnonzero(is_missing)
            if kind == "categorical":
                levels = self._levels(column[~is_missing], self.weight[~is_missing])
                self.levels[name] = levels
                code_of = {level: code for code, level in enumerate(levels)}
                self.values[name] = np.array(
                    [-1 if lost else code_of[value] for value, lost in zip(column, is_missing, strict=True)],
                    np.int64,
                )
                size = max(len(levels) - 1, 0)
            else:
                self.raw[name] = column.to_numpy(float, na_value=np.nan, copy=True)
                known, w = self.raw[name][~is_missing], self.weight[~is_missing]
                mean = float(np.average(known, weights=w)) if len(known) else 0.0
                scale = float(np.sqrt(np.average((known - mean) ** 2, weights=w))) if len(known) else 1.0
                self.values[name] = (self.raw[name] - mean) / (scale or 1.0)
                size = 1
            self.blocks[name] = slice(width, width + size)
            width += size
        self.to_impute = sorted(
            (name for name in variables if len(self.missing[name])), key=lambda name: len(self.missing[name])
        )
        self.x: Floats = np.zeros((len(cell), width))
        self.x[:, 0] = 1.0
        for name in self.blocks:
            self._write(name, np.arange(len(cell)))

    @staticmethod
    def _levels(column: pd.Series, weight: Integers) -> list[Hashable]:
        """Most common first, so that few children are left for the later logits; ties in order of their names."""
        totals: dict[Hashable, int] = {}
        for value, n in zip(column, weight, strict=True):
            totals[value] = totals.get(value, 0) + int(n)
        return sorted(totals, key=lambda level: (-totals[level], str(level)))

    def _write(self, name: str, units: NDArray[np.intp]) -> None:
        """Bring the design matrix up to date with the values of a variable."""
        block, values = self.blocks[name], self.values[name][units]
        if name in self.levels:
            for code in range(1, len(self.levels[name])):
                self.x[units, block.start + code - 1] = values == code
        else:
            self.x[units, block.start] = values

    def run_chain(self, rng: np.random.Generator, n_iterations: int, n_donors: int) -> list[dict[str, Any]]:
        for name in self.to_impute:
            observed = self._observed(name)
            share = self.weight[observed] / self.weight[observed].sum()
            self._fill(name, observed[rng.choice(len(observed), len(self.missing[name]), p=share)])
        starts: dict[tuple[str, int], Floats] = {}
        trace: list[dict[str, Any]] = []
        for iteration in range(1, n_iterations + 1):
            for name in self.to_impute:
                if name in self.levels:
                    self.values[name][self.missing[name]] = self._draw_codes(name, rng, starts)
                    self._write(name, self.missing[name])
                else:
                    self._fill(name, self._draw_donors(name, rng, n_donors))
                trace += [{"variable": name, "iteration": iteration, **row} for row in self._summary(name)]
        return trace

    def _observed(self, name: str) -> NDArray[np.intp]:
        seen = np.ones(len(self.weight), bool)
        seen[self.missing[name]] = False
        return np.flatnonzero(seen)

    def _fill(self, name: str, donors: NDArray[np.intp]) -> None:
        """Give the children to impute the values of observed ones."""
        self.values[name][self.missing[name]] = self.values[name][donors]
        if name in self.raw:
            self.raw[name][self.missing[name]] = self.raw[name][donors]
        self._write(name, self.missing[name])

    def _others(self, name: str) -> NDArray[np.intp]:
        block = self.blocks[name]
        return np.array([k for k in range(self.x.shape[1]) if not block.start <= k < block.stop])

    def _bootstrap(
        self, observed: NDArray[np.intp], rng: np.random.Generator
    ) -> tuple[NDArray[np.intp], Floats]:
        weight = self.weight[observed]
        drawn = rng.multinomial(int(weight.sum()), weight / weight.sum())
        return observed[drawn > 0], drawn[drawn > 0].astype(float)

    def _draw_codes(
        self, name: str, rng: np.random.Generator, starts: dict[tuple[str, int], Floats]
    ) -> Integers:
        columns = self._others(name)
        units, weight = self._bootstrap(self._observed(name), rng)
        x, codes = self.x[np.ix_(units, columns)], self.values[name][units]
        target = self.x[np.ix_(self.missing[name], columns)]
        last = len(self.levels[name]) - 1
        drawn = np.full(len(target), last, np.int64)
        is_open = np.ones(len(target), bool)
        for code in range(last):
            left = codes >= code
            start = starts.get((name, code), np.zeros(len(columns)))
            coefficients = ridge_logit(x[left], codes[left] == code, weight[left], start=start)
            starts[name, code] = coefficients
            # One uniform per child and level, whether needed or not: draws of a child do not hinge on the others'.
            takes = is_open & (rng.random(len(target)) < special.expit(target @ coefficients))
            drawn[takes] = code
            is_open &= ~takes
        return drawn

    def _draw_donors(self, name: str, rng: np.random.Generator, n_donors: int) -> NDArray[np.intp]:
        columns, observed = self._others(name), self._observed(name)
        x, y, weight = self.x[np.ix_(observed, columns)], self.values[name][observed], self.weight[observed]
        units, drawn = self._bootstrap(observed, rng)
        wanted = self.x[np.ix_(self.missing[name], columns)] @ _ridge_least_squares(
            self.x[np.ix_(units, columns)], self.values[name][units], drawn
        )
        offered = x @ _ridge_least_squares(x, y, weight.astype(float))
        return observed[nearest_donors(offered, weight, wanted, n_donors, rng)]

    def _summary(self, name: str) -> list[dict[str, Any]]:
        """What the trace says of the values now imputed."""
        missing = self.missing[name]
        if name in self.levels:
            codes = self.values[name][missing]
            return [
                {"statistic": "share", "level": level, "value": float((codes == code).mean())}
                for code, level in enumerate(self.levels[name])
            ]
        values = self.raw[name][missing]
        sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        return [
            {"statistic": "mean", "level": None, "value": float(values.mean())},
            {"statistic": "sd", "level": None, "value": sd},
        ]

    def completed(self, imputation: int) -> pd.DataFrame:
        rows = slice(self.n_whole, None)
        names = list(self.variables)
        table = pd.DataFrame({"cell": self.cell})
        for name in names:
            table[name] = self.values[name][rows] if name in self.levels else self.raw[name][rows]
        counted = table.groupby(["cell", *names], as_index=False, sort=True).size()
        counted = counted.rename(columns={"size": COUNT})
        for name in names:
            if name in self.levels:
                # Level by level, so that a level keeps its type.
                levels = np.empty(len(self.levels[name]), dtype=object)
                levels[:] = self.levels[name]
                counted[name] = levels[counted[name].to_numpy()]
        counted.insert(0, "imputation", imputation)
        return counted


def ridge_logit(
    x: Floats, y: NDArray[np.bool_], weight: Floats, *, start: Floats, ridge: float = RIDGE
) -> Floats:
    """Coefficients of a logit on weighted rows, maximising the log-likelihood less ``ridge / 2`` times their squares.

    Newton's method with halved steps where a full one would not improve; the penalty makes the maximum finite and unique.

    Example:
        >>> x = np.array([[1.0, 0.0], [1.0, 1.0]] * 2)
        >>> y = np.array([True, True, False, False])
        >>> found = ridge_logit(x, y, np.array([300.0, 100.0, 100.0, 300.0]), start=np.zeros(2), ridge=1e-9)
        >>> [round(float(value), 4) for value in found]  # log 3 and -2 log 3
        [1.0986, -2.1972]
    """

    def objective(b: Floats) -> float:
        eta = x @ b
        return float(weight @ (y * eta - np.logaddexp(0.0, eta)) - ridge / 2 * b @ b)

    coefficients = start.copy()
    reached = objective(coefficients)
    for _ in range(NEWTON_STEPS_MAX):
        p = special.expit(x @ coefficients)
        gradient = x.T @ (weight * (y - p)) - ridge * coefficients
        information = (x * (weight * p * (1 - p))[:, None]).T @ x + ridge * np.eye(x.shape[1])
        step = np.linalg.solve(information, gradient)
        if np.abs(step).max() < NEWTON_TOLERANCE:
            break
        length = 1.0
        while (tried := objective(coefficients + length * step)) < reached and length > 1e-6:
            length /= 2
        if tried < reached:
            break
        coefficients, reached = coefficients + length * step, tried
    return coefficients


def _ridge_least_squares(x: Floats, y: Floats, weight: Floats) -> Floats:
    weighted = x * weight[:, None]
    return np.asarray(
        np.linalg.solve(weighted.T @ x + RIDGE * np.eye(x.shape[1]), weighted.T @ y), np.float64
    )


def nearest_donors(
    offered: Floats, weight: Integers, wanted: Floats, n_donors: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """For each wanted prediction a donor, drawn from the ``n_donors`` children whose offered prediction is nearest.

    A unit of weight ``w`` stands for ``w`` children. Children alike in prediction form a block and are equally near, so which of
    them belong to the nearest is drawn for each wanted value anew.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> nearest_donors(np.array([0.0, 5.0, 9.0]), np.array([3, 3, 3]), np.array([0.4, 8.0]), 2, rng).tolist()
        [0, 2]
    """
    rounded = np.round(offered, PREDICTION_DIGITS)
    order = np.argsort(rounded, kind="stable")
    positions, firsts = np.unique(rounded[order], return_index=True)
    before = np.concatenate([[0], np.cumsum(weight[order])])
    block_from = before[firsts]
    block_size = np.diff(np.append(block_from, before[-1]))

    # The nearest n children lie in the nearest n blocks at most: n to either side of where the value would stand.
    near = np.searchsorted(positions, wanted)[:, None] + np.arange(-n_donors, n_donors)[None, :]
    is_block = (near >= 0) & (near < len(positions))
    near = np.clip(near, 0, len(positions) - 1)
    distance = np.where(is_block, np.abs(positions[near] - wanted[:, None]), np.inf)
    by_distance = np.argsort(distance, axis=1, kind="stable")
    near = np.take_along_axis(near, by_distance, axis=1)
    sizes = np.where(np.take_along_axis(is_block, by_distance, axis=1), block_size[near], 0)
    reached = np.cumsum(sizes, axis=1)

    rank = rng.integers(0, np.minimum(n_donors, reached[:, -1]))
    chosen = np.take_along_axis(near, np.argmax(reached > rank[:, None], axis=1)[:, None], axis=1)[:, 0]
    child = block_from[chosen] + rng.integers(0, block_size[chosen])
    return order[np.searchsorted(before, child, side="right") - 1]


def _convergence(trace: pd.DataFrame, scale_reduction_max: float) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    followed = trace[trace["statistic"] != "sd"]
    keys = followed[["variable", "statistic", "level"]]
    for (variable, statistic, _), group in followed.groupby(
        [keys["variable"], keys["statistic"], keys["level"].map(repr)], sort=False
    ):
        chains = group.pivot_table(index="imputation", columns="iteration", values="value").to_numpy()
        factor = potential_scale_reduction(chains[:, chains.shape[1] // 2 :])
        rows.append(
            {
                "variable": variable,
                "statistic": statistic,
                "level": group["level"].iloc[0],
                "scale_reduction": factor,
                "is_converged": None if factor is None else bool(factor <= scale_reduction_max),
            }
        )
    # Objects, so that a missing factor stays None and a flag stays True or False.
    return pd.DataFrame(rows, columns=CONVERGENCE_COLUMNS, dtype=object)


def potential_scale_reduction(chains: Floats) -> float | None:
    """Gelman and Rubin's factor: the root of the variance over all chains to that within them (1 where they mix).

    With ``L`` iterations, ``W`` the mean variance within chains and ``B / L`` the variance of their means, it is
    ``sqrt(((L - 1) / L W + B / L) / W)``. Source: Gelman and Rubin (1992), Statistical Science 7: 457-472, without their
    correction for sampling.

    Args:
        chains: one row per chain, one column per iteration, after the warm-up.

    Returns:
        The factor, or ``None`` with fewer than two chains or iterations.

    Example:
        >>> round(potential_scale_reduction(np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]])), 4)
        1.0801
    """
    n_chains, length = chains.shape
    if n_chains < 2 or length < ITERATIONS_KEPT_MIN:
        return None
    within = float(chains.var(axis=1, ddof=1).mean())
    of_means = float(chains.mean(axis=1).var(ddof=1))
    if within == 0.0:
        return 1.0 if of_means == 0.0 else float("inf")
    return float(np.sqrt(((length - 1) / length * within + of_means) / within))


def _check(cells: pd.DataFrame, variables: Mapping[str, Kind], predictors: Mapping[str, Kind]) -> None:
    both = sorted(set(variables) & set(predictors))
    if both:
        raise CscError(f"{', '.join(both)}: listed both to impute and as a complete predictor")
    absent = [name for name in (*variables, *predictors, COUNT) if name not in cells]
    if absent:
        raise CscError(f"the cells to impute lack {', '.join(absent)}")
    n = cells[COUNT]
    if n.isna().any() or (n < 0).any() or (n != n.round()).any():
        raise CscError(f"column {COUNT} of the cells to impute must hold whole numbers, 0 or more")
    counted = cells[n > 0]
    for name in predictors:
        if counted[name].isna().any():
            raise CscError(
                f"{name} predicts in the imputation but has missing values itself; list it to impute"
            )
    for name in variables:
        if len(counted) and counted[name].isna().all():
            raise CscError(
                f"{name} has no observed value at all, so there is nothing to impute it from; drop it"
            )


def _chi_squared(column: pd.Series, n: Integers, is_missing: NDArray[np.bool_]) -> list[dict[str, Any]]:
    levels = [None if lost else level for level, lost in zip(column, column.isna(), strict=True)]
    totals: dict[Any, list[int]] = {}
    for level, count, lost in zip(levels, n, is_missing, strict=True):
        totals.setdefault(level, [0, 0])[int(lost)] += int(count)
    # A missing value of the other variable is a level too, and comes last.
    ordered = sorted(
        (level for level in totals if sum(totals[level])), key=lambda level: (level is None, str(level))
    )
    table = np.array([totals[level] for level in ordered])
    statistic = df = p_value = float("nan")
    if len(table) > 1 and (table.sum(axis=0) > 0).all():
        found = stats.chi2_contingency(table, correction=False)
        statistic, df, p_value = float(found.statistic), float(found.dof), float(found.pvalue)
    return [
        {
            "level": level,
            "n": int(row.sum()),
            "n_missing": int(row[1]),
            "share_missing": float(row[1] / row.sum()),
            "test": "chi_squared",
            "statistic": statistic,
            "df": df,
            "p_value": p_value,
        }
        for level, row in zip(ordered, table, strict=True)
    ]


def _welch(column: pd.Series, n: Integers, is_missing: NDArray[np.bool_]) -> list[dict[str, Any]]:
    values = column.to_numpy(float, na_value=np.nan)
    known = ~np.isnan(values) & (n > 0)
    sizes, means, variances = [], [], []
    for arm in (known & is_missing, known & ~is_missing):
        size = int(n[arm].sum())
        mean = float(np.average(values[arm], weights=n[arm])) if size else float("nan")
        squares = float(n[arm] @ (values[arm] - mean) ** 2)
        sizes.append(size)
        means.append(mean)
        variances.append(squares / (size - 1) if size > 1 else float("nan"))
    statistic = df = p_value = float("nan")
    if min(sizes) > 1 and sum(variances) > 0:
        found = stats.ttest_ind_from_stats(
            means[0], variances[0] ** 0.5, sizes[0], means[1], variances[1] ** 0.5, sizes[1], equal_var=False
        )
        statistic, p_value = float(found.statistic), float(found.pvalue)
        parts = [variance / size for variance, size in zip(variances, sizes, strict=True)]
        df = sum(parts) ** 2 / sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    total = sum(sizes)
    return [
        {
            "level": None,
            "n": total,
            "n_missing": sizes[0],
            "share_missing": sizes[0] / total if total else float("nan"),
            "mean_if_missing": means[0],
            "mean_if_observed": means[1],
            "test": "welch_t",
            "statistic": statistic,
            "df": df,
            "p_value": p_value,
        }
    ]
