"""Which files were meant, and what each of them is, by its content.

Paths may be files, folders, globs and zip archives (also archives inside folders). What a file is comes from its
first bytes, its root element or its column names; its name is never believed.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from csc_evaluation.landing import cin_xml, extracts, inspections, school, ssda903, statistical_neighbours
from csc_evaluation.landing.context import FileRefused
from csc_evaluation.landing.delimited import Header, read_header
from csc_evaluation.landing.published import PublishedFile
from csc_evaluation.landing.ssda903 import Module
from csc_evaluation.landing.ssda903_csv import check_columns
from csc_evaluation.landing.xml_stream import root_name

Format = Literal["cin_xml", "ssda903_xml", "ssda903_csv", "school", "extract", "published"]

ARCHIVE_MEMBERS_MAX: Final = 20_000
ARCHIVE_BYTES_MAX: Final = 200 * 1024**3
COMPRESSION_RATIO_MAX: Final = 250
RATIO_COUNTS_FROM_BYTES: Final = 16 * 1024**2
"""Guards against archives made to exhaust a machine: census XML compresses 20 to 60 times, never 250."""

_FIRST_BYTES: Final = 1 << 12
_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"
_OLD_OFFICE: Final = b"\xd0\xcf\x11\xe0"
_GZIP: Final = b"\x1f\x8b"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK: Final = b"\xef\xbb\xbf"
_DATA_SUFFIXES: Final = frozenset({".xml", ".csv", ".zip", ".xlsx", ".xls", ".xlsm", ".ods"})
_ENCRYPTED_FLAG: Final = 0x1
_COLLECTION_NAME: Final = re.compile(r"[A-Za-z]{1,6}[0-9]{0,4}", re.ASCII)
"""What a header may name and a message repeat; anything else could be personal text."""

_LEADS_NOWHERE: Final = "is a link that leads nowhere."


@dataclass(frozen=True)
class Source:
    """One file on disk, or one member of a zip archive.

    Attributes:
        path: the file, or the archive.
        member: name inside the archive; None for a file by itself.
        size: bytes, uncompressed.
        is_named: the user named it (not found by looking through a folder or archive).
        problem: why it cannot be opened at all; None where it can.
    """

    path: Path
    member: str | None = None
    size: int = 0
    is_named: bool = True
    problem: str | None = None

    @property
    def label(self) -> str:
        """What to call it in messages."""
        return _printable(str(self.path) if self.member is None else f"{self.path}!{self.member}")

    @property
    def file_name(self) -> str:
        """Name for the manifest: without folders, except those inside an archive."""
        return _printable(self.path.name if self.member is None else f"{self.path.name}!{self.member}")

    @property
    def progress_path(self) -> Path:
        """A path whose name stands for the file in a progress line."""
        return self.path if self.member is None else Path(self.member)

    @property
    def components(self) -> list[str]:
        """Parts of the whole path, outermost first, in which an authority and a year may be named."""
        parts = list(self.path.resolve().parts)
        return parts if self.member is None else parts + self.member.split("/")

    @property
    def suffix(self) -> str:
        """Ending of its name, lower case."""
        return Path(self.member or self.path.name).suffix.lower()

    def open(self) -> IO[bytes]:
        """A new stream over the content, from its first byte."""
        if self.member is None:
            return self.path.open("rb")
        # The archive stays open for as long as the member's stream does, and is closed with it.
        return zipfile.ZipFile(self.path).open(self.member)

    def signature(self) -> tuple[int, int]:
        """Size and time of change of the file on disk: equal before and after means read as one."""
        status = self.path.stat()
        return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class Recognised:
    """What a file is; the parts that its format needs are set."""

    format: Format
    header: Header | None = None
    module: Module | None = None
    table: school.SchoolTable | None = None
    extract: extracts.ExtractTable | None = None
    published: PublishedFile | None = None


def find_sources(paths: Sequence[Path], *, leave_out: Sequence[Path] = ()) -> list[Source]:
    """Every file meant by the paths, each once: in the order given, and by name within a folder or archive.

    Hidden files, and those listed in ``leave_out`` (the warehouse itself, its key), are passed over in folders.
    A path that leads nowhere, a folder that cannot be read and a link without a target are sources with a problem,
    so that the others still land and nothing is passed over in silence.
    """
    skip = {path.resolve() for path in leave_out}
    sources: list[Source] = []
    seen: set[Path] = set()

    def add(path: Path, *, is_named: bool) -> None:
        resolved = path.resolve()
        if resolved not in seen:
            seen.add(resolved)
            sources.extend(_open_up(path, is_named=is_named))

    def look_through(folder: Path) -> None:
        inside, problems = _files_below(folder)
        sources.extend(problems)
        if not inside and not problems:
            sources.append(Source(folder, problem="is a folder without files."))
        for file in inside:
            if file.resolve() not in skip:
                add(file, is_named=False)

    for path in paths:
        try:
            if path.is_dir():
                look_through(path)
            elif path.exists():
                add(path, is_named=True)
            elif path.is_symlink():
                sources.append(Source(path, problem=_LEADS_NOWHERE))
            elif matches := sorted(glob.glob(str(path), recursive=True)):
                for found in map(Path, matches):
                    if found.is_dir():
                        look_through(found)
                    elif not found.exists():
                        sources.append(Source(found, problem=_LEADS_NOWHERE))
                    elif found.resolve() not in skip:
                        add(found, is_named=False)
            else:
                sources.append(Source(path, problem="no such file or folder; check the path."))
        except OSError as error:
            # A name too long for the file system, or a folder above it that may not be entered.
            sources.append(Source(path, problem=f"cannot be read ({error.strerror})."))
    return sources


def _files_below(folder: Path) -> tuple[list[Path], list[Source]]:
    """The files below a folder by name, hidden ones passed over, and what of it cannot be read."""
    files: list[Path] = []
    problems: list[Source] = []

    def cannot_be_read(error: OSError) -> None:
        problems.append(
            Source(Path(error.filename), problem=f"cannot be read ({error.strerror}); nothing in it landed.")
        )

    for parent, folders, names in os.walk(folder, onerror=cannot_be_read):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(parent, name)
            if name.startswith("."):
                continue
            if file.is_file():
                files.append(file)
            elif not file.exists():
                problems.append(Source(file, is_named=False, problem=_LEADS_NOWHERE))
    return sorted(files), problems


def _printable(name: str) -> str:
    """A name fit for a line of text: control characters and bytes that are no text replaced."""
    return "".join(character if character.isprintable() else "\ufffd" for character in name)


def _open_up(path: Path, *, is_named: bool) -> list[Source]:
    """The file itself, or the members of an archive; archives are known by their first bytes."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return [Source(path, is_named=is_named, problem="is not a file that can be read.")]
        with path.open("rb") as handle:
            start = handle.read(4)
    except OSError as error:
        return [Source(path, is_named=is_named, problem=f"cannot be read ({error.strerror}).")]
    if start not in {_ZIP, _EMPTY_ZIP}:
        return [Source(path, size=status.st_size, is_named=is_named)]
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            is_spreadsheet = inspections.is_spreadsheet(archive)
            problem = _density_problem(members) if is_spreadsheet else _archive_problem(members)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return [Source(path, is_named=is_named, problem="is a damaged zip archive; make it again.")]
    if problem is not None:
        return [Source(path, is_named=is_named, problem=problem)]
    if is_spreadsheet:
        return [Source(path, size=status.st_size, is_named=is_named)]
    return [
        Source(path, member.filename, member.file_size, is_named=False)
        for member in sorted(members, key=lambda member: member.filename)
        if not _is_hidden(member)
    ]


def _is_hidden(member: zipfile.ZipInfo) -> bool:
    # "." and ".." are no hidden folders.
    return any(
        part.startswith("__MACOSX") or (part.startswith(".") and part not in {".", ".."})
        for part in member.filename.split("/")
    )


def _archive_problem(members: Sequence[zipfile.ZipInfo]) -> str | None:
    names = {member.filename for member in members}
    if "[Content_Types].xml" in names or "mimetype" in names:
        return "is a spreadsheet or office document, whatever its name says; save the sheet as CSV (UTF-8)."
    if all(_is_hidden(member) for member in members):
        return "is a zip archive without files."
    if len(names) < len(members):
        # Only the last of them can be opened by its name.
        return "is a zip archive that holds two files under one name; make it again, or unpack it and land the files."
    if len(members) > ARCHIVE_MEMBERS_MAX:
        return (
            f"is a zip archive of {len(members):,} files, more than {ARCHIVE_MEMBERS_MAX:,}; unpack it first."
        )
    if any(member.flag_bits & _ENCRYPTED_FLAG for member in members):
        return "is a zip archive with a password; unpack it first."
    return _density_problem(members)


def _density_problem(members: Sequence[zipfile.ZipInfo]) -> str | None:
    size = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    worst = max(
        (
            member.file_size / max(member.compress_size, 1)
            for member in members
            if member.file_size > RATIO_COUNTS_FROM_BYTES
        ),
        default=0.0,
    )
    is_too_dense = worst > COMPRESSION_RATIO_MAX or (
        size > RATIO_COUNTS_FROM_BYTES and size / max(packed, 1) > COMPRESSION_RATIO_MAX
    )
    if size > ARCHIVE_BYTES_MAX or is_too_dense:
        return (
            f"is a zip archive that would unpack {packed:,} bytes to {size:,}, as one made to exhaust a machine "
            "would; unpack it yourself and land the files if you trust it."
        )
    return None


def recognise(source: Source, encoding: str) -> Recognised:
    """What a source is.

    Args:
        source: a source without a problem.
        encoding: of the text, where it is delimited text.

    Raises:
        FileRefused: it is empty, a spreadsheet, of another collection, or nothing that can land.
    """
    with source.open() as stream:
        start = stream.read(_FIRST_BYTES)
    if not start:
        raise FileRefused("is empty (0 bytes).")
    if start.startswith(_ZIP) and source.member is None:
        # Other archives were opened up, and their members are sources of their own.
        return Recognised("published", published=inspections.recognise(source.path))
    if start.startswith(_ZIP):
        raise FileRefused("is a zip archive inside a zip archive; unpack it and land it by itself.")
    if start.startswith(_OLD_OFFICE):
        raise FileRefused(
            "is a spreadsheet or office document, whatever its name says; save the sheet as CSV (UTF-8)."
        )
    if start.startswith(_GZIP):
        raise FileRefused("is compressed with gzip; unpack it first (zip archives are read as they are).")
    text = start.removeprefix(_UTF8_MARK)
    if not text.strip():
        raise FileRefused("holds nothing but blanks.")
    if text.lstrip().startswith(b"<") or (start.startswith(_UTF16) and b"<" in start[2:8]):
        return _recognise_xml(source)
    if start.startswith(_UTF16):
        raise FileRefused("is UTF-16 text; save it as CSV (UTF-8).")
    if start.startswith(_UTF8_MARK) and encoding != "utf-8-sig":
        raise FileRefused(
            "begins with the mark of UTF-8 text but holds bytes that are not; save it as CSV (UTF-8) again."
        )
    if b"\0" in start:
        raise FileRefused(_NOTHING_KNOWN)
    with source.open() as stream:
        header = read_header(stream, encoding)
    neighbours = statistical_neighbours.recognise(header)
    if neighbours is not None:
        return Recognised("published", published=neighbours)
    table = school.recognise(header)
    if table is not None:
        return Recognised("school", header=header, table=table)
    module = ssda903.recognise(header.names)
    if module is not None:
        check_columns(header, module)
        return Recognised("ssda903_csv", header=header, module=module)
    extract = extracts.recognise(header)
    if extract is not None:
        return Recognised("extract", header=header, extract=extract)
    # The first row is not quoted: without a header row it would be a record.
    raise FileRefused(_NOTHING_KNOWN)


_NOTHING_KNOWN: Final = (
    "is none of what can land: CIN census XML, SSDA903 as CSV (with its header row) or XML, an extract "
    "(children in need, children looked after), absence or school census table of the research service, or published "
    "statistical neighbours or inspection outcomes."
)


def _recognise_xml(source: Source) -> Recognised:
    with source.open() as stream:
        root = root_name(stream)
    if root.upper() == "EXPSSDA903":
        return Recognised("ssda903_xml")
    if root != "Message":
        raise FileRefused(
            f"is XML that begins with <{root[:40]}>; a CIN census begins with <Message>, SSDA903 with <EXPSSDA903>."
        )
    return Recognised("cin_xml")


def check_collection(header: cin_xml.CinHeader) -> None:
    """See that a census header says CIN.

    Raises:
        FileRefused: the header names another collection.
    """
    collection = (header.collection or "CIN").strip()
    if collection.upper() != "CIN":
        said = (
            f"its header says {collection!r}" if _COLLECTION_NAME.fullmatch(collection) else "by its header"
        )
        raise FileRefused(f"is a return of another collection: {said}, a children in need census says 'CIN'.")


def is_beside_the_point(source: Source) -> bool:
    """A file found by looking through a folder or archive whose name does not claim to be data either."""
    return not source.is_named and source.suffix not in _DATA_SUFFIXES
