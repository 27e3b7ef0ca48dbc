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
_ROOT: Final = "EXPSSDA903"
_RECORD_GROUPS: Final = {_HEADER: "header", _EPISODE: "episodes"}
_MISPLACED: Final = "stands outside a CHILD"


def land_file(stream: IO[bytes], landing: Landing) -> None:
    """Read every child of the file, handing rows to the landing batch by batch.

    Raises:
        FileRefused: the XML is cut short or broken, a ``CHILD`` stands where none may, or there is none but
            something else.
    """
    reader = _ChildReader(landing)
    number = 0
    for element in elements(stream, (*_CHILD_TAGS, _ROOT, _ROOT.lower(), "ExpSSDA903")):
        parent = element.getparent()
        if parent is None:
            # The root: the last child is still there, emptied, and what stood behind it.
            reader.not_children(element)
            continue
        number += 1
        if parent.getparent() is not None:
            raise FileRefused(f"has a CHILD element that is not directly below its root (the {number}th).")
        previous = element.getprevious()
        if previous is not None and reader.local_name(previous) != "CHILD":
            reader.not_children(parent, until=element)
        reader.child(number, element)
        if number % BATCH_RECORDS == 0:
            landing.put_aside()
    if not number and reader.has_oddities:
        raise FileRefused("has no CHILD below its root but other elements, which SSDA903 does not have.")
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

    @property
    def has_oddities(self) -> bool:
        """Whether elements were met that no module has there."""
        return bool(self._unknown)

    def local_name(self, element: etree._Element) -> str:
        """Name without namespace, upper case."""
        return self._local[str(element.tag)].upper()

    def not_children(self, root: etree._Element, *, until: etree._Element | None = None) -> None:
        """Set aside what stands below the root and is no ``CHILD``, up to an element; its records are refused."""
        for part in root:
            if part is until:
                break
            if self.local_name(part) == "CHILD":
                continue
            self._unknown.add(self.local_name(part))
            for group in part.iter():
                if (module := _RECORD_GROUPS.get(self.local_name(group))) is not None:
                    self._readers[module].n_records += 1
                    place = f"{_ROOT}//{self.local_name(group)}[{self._readers[module].n_records}]"
                    self._readers[module].refuse(place, self.local_name(group), _MISPLACED)

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
