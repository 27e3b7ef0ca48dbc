"""SSDA903 as XML: ``EXPSSDA903/CHILD`` with ``HEADER`` and ``EPISODE`` groups, streamed child by child.

Groups differ by supplier and year (reviews, missing episodes, outcomes and adoption stand in groups of their own
or as leaves of the header), so a group's leaves decide what it is: it becomes a record of every module that has
one of them as a distinctive column. Names are the CSV columns in any case, with ``CHILDID`` for ``CHILD`` and
``PL`` for ``PLACE``.
"""

from __future__ import annotations

from typing import IO, Final

from lxml import etree

from csc_evaluation.landing.context import BATCH_RECORDS, FileRefused, Landing
from csc_evaluation.landing.delimited import shown
from csc_evaluation.landing.ssda903 import MODULES, ModuleReader
from csc_evaluation.landing.xml_stream import LocalNames, elements

_OTHER_NAMES: Final = {"CHILDID": "CHILD", "CHILD_ID": "CHILD", "PL": "PLACE"}
_INHERITED: Final = ("CHILD", "DOB", "SEX")
_HEADER: Final = "HEADER"
_EPISODE: Final = "EPISODE"
_IS_UASC: Final = "UASC"
_CHILD_TAGS: Final = ("CHILD", "Child", "child")


def land_file(stream: IO[bytes], landing: Landing) -> None:
    """Read every child of the file, handing rows to the landing batch by batch.

    Raises:
        FileRefused: the XML is cut short or broken, or a ``CHILD`` stands where none may.
    """
    reader = _ChildReader(landing)
    number = 0
    for number, element in enumerate(elements(stream, _CHILD_TAGS), start=1):
        parent = element.getparent()
        if parent is None or parent.getparent() is not None:
            raise FileRefused(f"has a CHILD element that is not directly below its root (the {number}th).")
        reader.child(number, element)
        if number % BATCH_RECORDS == 0:
            landing.put_aside()
    if not number:
        landing.notes.append("there is no child in it")
    reader.note_oddities()


class _ChildReader:
    """Turns one child's groups into records of the modules."""

    def __init__(self, landing: Landing) -> None:
        self._local = LocalNames()
        self._landing = landing
        self._readers = {name: ModuleReader(module, landing) for name, module in MODULES.items()}
        self._known = frozenset().union(*(module.known for module in MODULES.values())) | {_IS_UASC}
        self._unknown: set[str] = set()

    def note_oddities(self) -> None:
        """Say which leaves no module has."""
        if self._unknown:
            self._landing.notes.append(
                f"elements that SSDA903 does not have, set aside: {shown(sorted(self._unknown))}"
            )

    def _name(self, element: etree._Element) -> str:
        name = self._local[str(element.tag)].upper()
        return _OTHER_NAMES.get(name, name)

    def child(self, number: int, element: etree._Element) -> None:
        """One ``CHILD``: its header first, so that the other groups can take identifier and birth date from it."""
        path = f"EXPSSDA903/CHILD[{number}]"
        groups: list[tuple[str, dict[str, str | None]]] = []
        self._collect(element, path, groups)
        inherited: dict[str, str | None] = {}
        for _, leaves in groups:
            for name in _INHERITED:
                if (leaves.get(name) or "").strip():
                    inherited.setdefault(name, leaves[name])
        if not any(_group_name(place) == _HEADER for place, _ in groups):
            self._readers["header"].record(inherited, path)
        for place, leaves in groups:
            self._group(place, inherited | leaves, leaves)

    def _collect(
        self, element: etree._Element, path: str, groups: list[tuple[str, dict[str, str | None]]]
    ) -> None:
        """Every group below an element, in document order, with its own leaves."""
        leaves: dict[str, str | None] = {}
        groups.append((path, leaves))
        positions: dict[str, int] = {}
        for part in element:
            name = self._name(part)
            if len(part) or name in {_HEADER, _EPISODE}:
                positions[name] = positions.get(name, 0) + 1
                self._collect(part, f"{path}/{name}[{positions[name]}]", groups)
            elif name in leaves and (part.text or "").strip():
                # A leaf met again (reviews listed one after the other) begins the next record of the same kind.
                leaves = {name: part.text}
                groups.append((path, leaves))
            else:
                leaves[name] = part.text

    def _group(self, path: str, values: dict[str, str | None], leaves: dict[str, str | None]) -> None:
        group = _group_name(path)
        present = {name for name, text in leaves.items() if (text or "").strip()}
        self._unknown.update(present - self._known)
        if group == _HEADER:
            self._readers["header"].record(values, path)
            if (leaves.get(_IS_UASC) or "").strip().upper() in {"1", "TRUE"}:
                present.add("DUC")
        elif group == _EPISODE:
            self._readers["episodes"].record(values, path)
            return
        for name, module in MODULES.items():
            if name not in {"header", "episodes"} and present & module.distinctive:
                self._readers[name].record(values, path)


def _group_name(path: str) -> str:
    return path.rsplit("/", 1)[-1].split("[", maxsplit=1)[0]
