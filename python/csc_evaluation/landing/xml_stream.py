"""Reading XML safely and in constant memory: no document type, no entities, no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Final
from xml.parsers import expat

from lxml import etree

from csc_evaluation.landing.context import FileRefused

_CHUNK: Final = 1 << 16


class LocalNames(dict[str, str]):
    """Tag to its name without namespace, each distinct tag taken apart once."""

    def __missing__(self, tag: str) -> str:
        name = tag.rsplit("}", 1)[-1]
        self[tag] = name
        return name


class _RootFound(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


def root_name(stream: IO[bytes]) -> str:
    """Name of the document's first element, namespace set aside, from as little of the file as need be.

    expat reports a document type declaration before it reads what is declared in it, so that nothing in it is
    ever acted on.

    Raises:
        FileRefused: a document type declaration stands before it, or the text is not XML.
    """
    parser = expat.ParserCreate(namespace_separator="}")

    def found(name: str, _attributes: dict[str, str]) -> None:
        raise _RootFound(name.rsplit("}", 1)[-1])

    def refuse(*_declaration: object) -> None:
        raise FileRefused(
            "has a document type declaration (DOCTYPE), which a return never has and which can hide other "
            "content; export the return again without it."
        )

    parser.StartElementHandler = found
    parser.StartDoctypeDeclHandler = refuse
    try:
        while chunk := stream.read(_CHUNK):
            parser.Parse(chunk)
        parser.Parse(b"", True)
    except _RootFound as signal:
        return signal.name
    except expat.ExpatError as error:
        raise FileRefused(f"is not well-formed XML (line {error.lineno}); {_EXPORT_AGAIN}") from None
    except (LookupError, ValueError):
        raise FileRefused(f"is XML in an unknown character encoding; {_EXPORT_AGAIN}") from None
    raise FileRefused("is XML without a single element.")


_EXPORT_AGAIN: Final = "export it again from the case management system."
_TRUNCATED: Final = frozenset(
    {"ERR_TAG_NOT_FINISHED", "ERR_DOCUMENT_EMPTY", "ERR_GT_REQUIRED", "ERR_LTSLASH_REQUIRED"}
)


def elements(
    stream: IO[bytes], names: Sequence[str], *, events: Sequence[str] = ("end",)
) -> Iterator[etree._Element]:
    """Each element of these names, whole; it is emptied, and what stood before it let go, once the next is asked for.

    Raises:
        FileRefused: the document is cut short or not well formed.
    """
    context = etree.iterparse(
        stream,
        events=events,
        tag=[f"{{*}}{name}" for name in names],
        remove_comments=True,
        remove_pis=True,
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
    )
    try:
        for event, element in context:
            yield element
            if event == "end":
                element.clear()
                parent = element.getparent()
                if parent is not None:
                    while element.getprevious() is not None:
                        del parent[0]
    except etree.XMLSyntaxError as error:
        raise FileRefused(_explain(error, context)) from None


def _explain(error: etree.XMLSyntaxError, context: etree.iterparse) -> str:
    # The parser's own message can quote the document, so only its kind and line are passed on.
    kind, line = "", error.lineno or 0
    for entry in context.error_log.filter_from_fatals():
        kind, line = entry.type_name, entry.line
        break
    where = f" (line {line})" if line else ""
    if kind in _TRUNCATED:
        return f"is cut short or has an element that never closes{where}; {_EXPORT_AGAIN}"
    if kind == "ERR_DOCUMENT_END":
        return f"goes on after its last element has closed{where}; {_EXPORT_AGAIN}"
    if kind == "ERR_UNDECLARED_ENTITY":
        return f"refers to an entity that nothing declares{where}; {_EXPORT_AGAIN}"
    if kind in {"ERR_INVALID_ENCODING", "ERR_INVALID_CHAR", "ERR_UNSUPPORTED_ENCODING"}:
        return f"holds bytes that are not text in its declared encoding{where}; {_EXPORT_AGAIN}"
    return f"is not well-formed XML{where}; {_EXPORT_AGAIN}"
