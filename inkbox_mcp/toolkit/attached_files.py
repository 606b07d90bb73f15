"""Reads what a call attaches to a mail: files of the one folder that the operator named, and `data:` URLs.

Nothing else leaves this machine: a path names plain files below the folder, through no link, and errors say the same
about what is outside whether it is there or not. All functions block: run them in a thread.
"""

import errno
import hashlib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inkbox_mcp.errors import InvalidArguments, NotConfigured
from inkbox_mcp.toolkit.bounds import named
from inkbox_mcp.toolkit.data_urls import MAX_DATA, data_file, is_data_url
from inkbox_mcp.toolkit.file_names import content_type_of, is_never_sent, require_plain_name
from inkbox_mcp.toolkit.folders import NoRegularFile, opened_file

MOST_BYTES = 18_000_000
"""Of all attachments of one message together, decoded. Inkbox takes 25 MB, perhaps of their Base64."""

_OUTSIDE = "must be a file in the folder for attachments; write its path relative to that folder, or pass a data: URL"
_NOT_THERE = "is no file in the folder for attachments; check its name, and write it with its extension"


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file to be sent.

    Attributes:
        filename: without folders, at most 255 characters, safe in a header.
        content_type: its media type.
        content: its bytes.
        sha256: of the content, in hexadecimal.
    """

    filename: str
    content_type: str
    content: bytes = field(repr=False)
    sha256: str


def attached(sources: Sequence[str], folder: Path | None) -> list[AttachedFile]:
    """Read what is to be attached.

    Args:
        sources: paths and `data:` URLs, checked as `inkbox_mcp.toolkit.mail_fields.AttachmentSource`.
        folder: the folder for attachments, absolute and without links in it; None if there is none.

    Raises:
        NotConfigured: a path is among the sources, and there is no folder.
        InvalidArguments: names every source that cannot be attached, by its place.
    """
    if folder is None and not all(map(is_data_url, sources)):
        raise _no_folder()
    files: list[AttachedFile] = []
    problems: list[str] = []
    taken: set[str] = set()
    room = MOST_BYTES
    for place, source in enumerate(sources):
        try:
            file = _attached(source, folder, room)
            _require_new_name(file.filename, taken)
        except ValueError as error:
            problems.append(f"attachments.{place}: {error}")
        else:
            files.append(file)
            room -= len(file.content)
    if problems:
        raise InvalidArguments(f"{named(problems)}.")
    return files


def _attached(source: str, folder: Path | None, room: int) -> AttachedFile:
    """Read one source of at most so many bytes.

    Raises:
        ValueError: it cannot be attached.
    """
    if folder is None or is_data_url(source):
        name, kind, content = data_file(source)
        _require_sendable(name)
        if len(content) > room:
            raise ValueError(_too_large())
    else:
        names = _inside(source, folder)
        name = names[-1]
        _require_sendable(name)
        kind, content = content_type_of(name), _read(folder, names, room)
    return AttachedFile(name, kind, content, hashlib.sha256(content).hexdigest())


def _inside(source: str, folder: Path) -> tuple[str, ...]:
    """Return the names on the way from the folder to a file, by the path alone.

    Raises:
        ValueError: the path leads out of the folder, or has a name that is not plain.
    """
    path = Path(source)
    if path.is_absolute() and path.is_relative_to(folder):
        path = path.relative_to(folder)
    if path.anchor or not path.parts or ".." in path.parts:
        raise ValueError(_OUTSIDE)
    for name in path.parts:
        require_plain_name(name)
    return path.parts


def _read(folder: Path, names: tuple[str, ...], room: int) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: it is not there, cannot be read, or is larger than the room.
    """
    try:
        with opened_file(folder, names) as file:
            # It may grow while it is read, so its size alone does not bound what is read.
            if os.fstat(file.fileno()).st_size > room or len(content := file.read(room + 1)) > room:
                raise ValueError(_too_large())
            return content
    except NoRegularFile:
        raise ValueError("is a folder, a device or a pipe; pass the path of a file") from None
    except OSError as error:
        raise ValueError(_why(error)) from None


def _why(error: OSError) -> str:
    """Describe an error in our own words: the system's contain paths."""
    match error.errno:
        case errno.ENOENT | errno.ENAMETOOLONG:
            return _NOT_THERE
        case errno.ENOTDIR | errno.ELOOP | errno.EMLINK:  # EMLINK: a link, for FreeBSD
            return "is behind a link or a file in place of a folder; links are not followed, so pass the file itself"
        case errno.EACCES | errno.EPERM:
            return "cannot be read by this server; tell the user"
        case _:
            return f"cannot be read ({type(error).__name__}); tell the user"


def _require_sendable(name: str) -> None:
    if is_never_sent(name):
        raise ValueError("is of a type that Inkbox does not send (.exe, .bat, .scr); put it into an archive")


def _require_new_name(name: str, taken: set[str]) -> None:
    """Refuse a second file of a name, because a recipient could get only one of them."""
    plain = unicodedata.normalize("NFC", name).casefold()
    if plain in taken:
        raise ValueError("has the same name as another attachment; rename one of them")
    taken.add(plain)


def _too_large() -> str:
    return f"is too large: the attachments of a message may have {MOST_BYTES:,} bytes together; leave some out"


def _no_folder() -> NotConfigured:
    return NotConfigured(
        "files of a disk cannot be attached, because this server has no folder for attachments."
    ).advised(
        f'Pass a file of at most {MAX_DATA:,} bytes as "data:text/csv;name=report.csv;base64,..." instead. For others, '
        "tell the user: the operator of this server can name a folder with --attachments-dir, over stdio only."
    )
