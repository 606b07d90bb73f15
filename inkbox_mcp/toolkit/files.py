"""Saves files of strangers into the one folder that the operator named, and nowhere else.

A file is written under a name of its own and gets its final name when it is whole, so that a full disk, a cancelled
call or a killed process leaves no part of it there. Where the system can, every step is relative to the folder as it
was opened, and a link is never followed. All functions block: run them in a thread.
"""

import errno
import os
import secrets
from contextlib import suppress
from itertools import islice
from pathlib import Path

from inkbox_mcp.errors import NotSaved
from inkbox_mcp.toolkit.file_names import numbered, safe_name
from inkbox_mcp.toolkit.folders import NO_LINK, OpenFolder, opened

MOST_OF_ONE_NAME = 1000
"""Files of one name in the folder."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLLOWS = os.link not in os.supports_follow_symlinks
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
"""Why a file system, such as FAT, has no second names for files."""


def save(folder: Path, name: str, content: bytes) -> Path:
    """Save a file under a name like the one it has, and never over another file.

    Args:
        folder: an existing one, absolute and without links in it.
        name: anything; see `safe_name`. If a file of this name is there, the new one is "name (2).pdf" and so on.
        content: of the file.

    Returns:
        Where it is. Only this user can read it, where the system has file modes.

    Raises:
        NotSaved: it cannot be written; nothing is left of it.
    """
    try:
        with opened(folder) as place:
            return folder / _Saving(place).add(safe_name(name), content)
    except OSError as error:
        raise NotSaved(_why(error)) from None


class _Saving:
    """Writes files into an open folder."""

    def __init__(self, folder: OpenFolder) -> None:
        self._at = folder.at
        self._descriptor = folder.descriptor

    def add(self, name: str, content: bytes) -> str:
        """Write a new file and return its name.

        Raises:
            OSError: it cannot be written.
        """
        unfinished = f".inkbox-{secrets.token_hex(8)}.part"
        try:
            with os.fdopen(os.open(self._at(unfinished), _NEW, 0o600, dir_fd=self._descriptor), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            for candidate in islice(numbered(name), MOST_OF_ONE_NAME):
                with suppress(FileExistsError):
                    self._name(unfinished, candidate)
                    return candidate
            raise FileExistsError(errno.EEXIST, "every name is taken")
        finally:
            with suppress(FileNotFoundError):
                os.unlink(self._at(unfinished), dir_fd=self._descriptor)

    def _name(self, unfinished: str, name: str) -> None:
        """Give a file its name.

        Raises:
            FileExistsError: something has this name, perhaps a link.
            OSError: it cannot be named.
        """
        if os.name == "nt":
            Path(self._at(unfinished)).rename(self._at(name))  # does not replace files there
            return
        here = self._descriptor
        try:
            os.link(self._at(unfinished), self._at(name), src_dir_fd=here, dst_dir_fd=here, follow_symlinks=_FOLLOWS)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._name_without_links(unfinished, name)

    def _name_without_links(self, unfinished: str, name: str) -> None:
        """Take the name by an empty file, and replace that.

        Raises:
            OSError: it cannot be replaced; then it is removed.
        """
        here = self._descriptor
        os.close(os.open(self._at(name), _NEW, 0o600, dir_fd=here))
        try:
            os.replace(self._at(unfinished), self._at(name), src_dir_fd=here, dst_dir_fd=here)
        except OSError:
            os.unlink(self._at(name), dir_fd=here)
            raise


def _why(error: OSError) -> str:
    """Describe an error in our own words: the system's contain paths."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "the folder cannot be written to"
        case errno.ENOENT:
            return "the folder is no longer there"
        case errno.ENOTDIR | errno.ELOOP:
            return "a link or a file is now where the folder was"
        case errno.EEXIST:
            return "the folder has too many files of this name"
        case errno.EFBIG:
            return "the file is larger than files there may be"
        case _:
            return f"the system refuses it ({type(error).__name__})"
