"""The ten files (modules) of a children-looked-after return (SSDA903): columns, checks, and rows.

The CSV and the XML form carry the same columns; both end in :class:`ModuleReader`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from csc_evaluation.landing.context import Landing
from csc_evaluation.landing.values import (
    IMPOSSIBLE,
    INVALID_CODE,
    NOT_A_DATE,
    read_part_date,
    read_upn,
)

COLLECTION: Final = "ssda903"
Kind = Literal["code", "date", "month", "flag", "number", "upn", "part_date", "long_number"]


@dataclass(frozen=True)
class Column:
    """A column that lands.

    Attributes:
        name: as the return writes it, upper case.
        kind: how it is read; ``month`` keeps the month alone, ``upn`` becomes a pupil hash and an unknown-code.
        code_list: list in the seed of census codes; None where there is none.
        is_needed: a record without it cannot be used.
        not_before: name of the date column it must not precede.
        may_be_absent: the column came into or went out of the return over the years.
    """

    name: str
    kind: Kind
    code_list: str | None = None
    is_needed: bool = False
    not_before: str | None = None
    may_be_absent: bool = False


@dataclass(frozen=True)
class Module:
    """One file of the return; its columns in the order of ``raw.ssda903_<name>``."""

    name: str
    columns: tuple[Column, ...]
    dropped: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The raw table its rows land in."""
        return f"ssda903_{self.name}"

    @property
    def distinctive(self) -> frozenset[str]:
        """Columns that tell this module from the others."""
        shared = {"CHILD", "DOB", "SEX"}
        return frozenset(
            column.name for column in self.columns if column.name not in shared and not column.may_be_absent
        )

    @property
    def expected(self) -> tuple[str, ...]:
        """Columns a file of this module must have."""
        return ("CHILD", *(column.name for column in self.columns if not column.may_be_absent))

    @property
    def known(self) -> frozenset[str]:
        """Every column of the module, landed or dropped."""
        return frozenset({"CHILD", *(column.name for column in self.columns), *self.dropped})


_DOB: Final = Column("DOB", "month")

MODULES: Final[dict[str, Module]] = {
    module.name: module
    for module in (
        Module(
            "header",
            (
                Column("SEX", "code", "sex"),
                _DOB,
                Column("ETHNIC", "code", "ethnicity"),
                Column("UPN", "upn"),
                Column("MOTHER", "flag"),
                Column("MC_DOB", "month"),
            ),
        ),
        Module(
            "episodes",
            (
                Column("DECOM", "date", is_needed=True),
                Column("RNE", "code", "reason_new_episode"),
                Column("LS", "code", "legal_status"),
                Column("CIN", "code", "need"),
                Column("PLACE", "code", "placement"),
                Column("PLACE_PROVIDER", "code", "placement_provider", may_be_absent=True),
                Column("DEC", "date", not_before="DECOM"),
                Column("REC", "code", "reason_episode_ceased"),
                Column("REASON_PLACE_CHANGE", "code", may_be_absent=True),
                Column("URN", "long_number", may_be_absent=True),
            ),
            dropped=("HOME_POST", "PL_POST"),
        ),
        Module("uasc", (Column("SEX", "code", "sex"), _DOB, Column("DUC", "date"))),
        Module("reviews", (_DOB, Column("REVIEW", "date", is_needed=True), Column("REVIEW_CODE", "code"))),
        Module(
            "missing",
            (
                _DOB,
                Column("MISSING", "code"),
                Column("MIS_START", "date", is_needed=True),
                Column("MIS_END", "date", not_before="MIS_START"),
            ),
        ),
        Module(
            "oc2",
            (
                _DOB,
                Column("SDQ_SCORE", "number"),
                Column("SDQ_REASON", "code"),
                Column("CONVICTED", "flag"),
                Column("HEALTH_CHECK", "flag"),
                Column("IMMUNISATIONS", "flag"),
                Column("TEETH_CHECK", "flag"),
                Column("HEALTH_ASSESSMENT", "flag"),
                Column("SUBSTANCE_MISUSE", "flag"),
                Column("INTERVENTION_RECEIVED", "flag"),
                Column("INTERVENTION_OFFERED", "flag"),
            ),
        ),
        Module(
            "oc3",
            (
                _DOB,
                Column("IN_TOUCH", "code"),
                Column("ACTIV", "code", "care_leaver_activity"),
                Column("ACCOM", "code"),
            ),
        ),
        Module(
            "ad1",
            (
                _DOB,
                Column("DATE_INT", "date"),
                Column("DATE_MATCH", "date"),
                Column("FOSTER_CARE", "code"),
                Column("NB_ADOPTR", "code"),
                Column("SEX_ADOPTR", "code"),
                Column("LS_ADOPTR", "code"),
            ),
        ),
        Module(
            "placed_for_adoption",
            (
                _DOB,
                Column("DATE_PLACED", "date"),
                Column("DATE_PLACED_CEASED", "date", not_before="DATE_PLACED"),
                Column("REASON_PLACED_CEASED", "code"),
            ),
        ),
        Module(
            "previous_permanence",
            (_DOB, Column("PREV_PERM", "code"), Column("LA_PERM", "code"), Column("DATE_PERM", "part_date")),
        ),
    )
}
"""Every module by name; :attr:`Module.columns` agree with ``raw.ssda903_<name>``."""


def recognise(columns: Sequence[str]) -> Module | None:
    """The module whose distinctive columns these are, at least half of them, best first; None when none fits.

    Example:
        >>> recognise(["CHILD", "DOB", "REVIEW", "REVIEW_CODE"]).name
        'reviews'
    """
    present = frozenset(columns)

    def fit(module: Module) -> tuple[float, int]:
        shared = len(module.distinctive & present)
        return shared / len(module.distinctive), shared

    best = max(MODULES.values(), key=fit)
    return best if fit(best)[0] >= 0.5 else None


class ModuleReader:
    """Turns the values of one record into a row of ``raw.ssda903_<module>``, or a reject."""

    def __init__(self, module: Module, landing: Landing) -> None:
        self.module = module
        self.n_records = 0
        self._landing = landing
        self._rows = landing.batch(module.table).rows
        self._la_code = landing.identity.la_code or ""
        self._readers: list[Callable[[str | None], Any] | None] = [
            self._reader(column) for column in module.columns
        ]
        unknown_upn = landing.reference.codes("cin", "unknownupn", landing.identity.return_year)
        self._is_unknown_upn = unknown_upn.__contains__
        self._upn_code = landing.code(module.name, "UPN", None)

    def _reader(self, column: Column) -> Callable[[str | None], Any] | None:
        if column.kind in {"code", "long_number"}:
            return self._landing.code(
                self.module.name, column.name, column.code_list, allow_number=column.kind == "long_number"
            )
        if column.kind == "flag":
            return self._landing.flag(self.module.name, column.name)
        if column.kind == "number":
            return self._landing.number(self.module.name, column.name)
        return None

    def record(self, values: Mapping[str, str | None], path: str) -> None:
        """One record: accepted as a row, or refused.

        Args:
            values: column name (upper case) to text.
            path: where the record stands in the file.
        """
        self.n_records += 1
        child = (values.get("CHILD") or "").strip()
        if not child:
            self.refuse(path, "CHILD", "no child identifier")
            return
        dates = self._landing.dates
        days: dict[str, int | None] = {}
        for column in self.module.columns:
            if column.kind in {"date", "month"}:
                day = dates[values.get(column.name)]
                if day == IMPOSSIBLE:
                    self.refuse(path, column.name, NOT_A_DATE)
                    return
                if day is None and column.is_needed:
                    self.refuse(path, column.name, "no date")
                    return
                if day is not None and column.not_before is not None:
                    earliest = days[column.not_before]
                    if earliest is not None and day < earliest:
                        self.refuse(path, column.name, f"ends before it starts (before {column.not_before})")
                        return
                days[column.name] = day
            elif column.kind == "part_date" and not read_part_date(values.get(column.name))[1]:
                self.refuse(path, column.name, f"{NOT_A_DATE}, zz for an unknown part")
                return
        row: list[object] = [
            self.n_records,
            self._landing.pseudonymiser.child(self._la_code, child),
        ]
        for column, reader in zip(self.module.columns, self._readers, strict=True):
            text = values.get(column.name)
            if reader is not None:
                row.append(reader(text))
            elif column.kind == "date":
                row.append(days[column.name])
            elif column.kind == "month":
                row.append(self._landing.months[days[column.name]])
            elif column.kind == "part_date":
                row.append(read_part_date(text)[0])
            else:
                row.extend(self._pupil(text))
        self._landing.tally.accepted[self.module.name] += 1
        self._rows.append(tuple(row))

    def refuse(self, path: str, field: str, reason: str) -> None:
        """Count one record as refused."""
        self._landing.tally.reject(self.module.name, path, field, reason)

    def _pupil(self, text: str | None) -> tuple[str | None, str | None]:
        """(pupil hash, code for why there is no UPN); a malformed UPN is neither hashed nor kept."""
        upn = read_upn(text)
        if upn is not None:
            return self._landing.pseudonymiser.pupil(upn), None
        stripped = (text or "").strip().upper()
        if not stripped:
            return None, None
        if self._is_unknown_upn(stripped):
            return None, stripped
        self._upn_code.unlisted[INVALID_CODE] += 1
        return None, INVALID_CODE
