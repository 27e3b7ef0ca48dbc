"""Pages as files: templates filled with what a page says, and written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import jinja2

from csc_evaluation.errors import CscError

TEMPLATES = Path(__file__).parent / "templates"


def rendered(template: str, page: object) -> str:
    """A template filled with ``page``; everything in it is escaped, and a name it does not know is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(template).render(page=page) + "\n"


def writable_target(output: Path) -> Path:
    """Absolute path of the page, checked before the work."""
    target = output.expanduser().resolve()
    if target.is_dir():
        raise CscError(f"{target}: is a folder; give the path of the HTML file to write.")
    if not target.parent.is_dir():
        raise CscError(f"{target.parent}: no such folder; create it, or give another path for the page.")
    return target


def replace_file(target: Path, text: str) -> None:
    """Write beside the target and rename, so that a reader sees the old page or the new one."""
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise CscError(f"{target}: cannot write the page ({error.strerror}).") from error
