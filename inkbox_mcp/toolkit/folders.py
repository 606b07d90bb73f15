"""Opens folders and the files in them so that no link leads out, also one that appears in between.

Where the system can, every step is relative to the folder as it was opened, and a link is never followed. All functions
block: run them in a thread.
"""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

_HAS_DESCRIPTORS = {os.open, os.link, os.stat, os.unlink} <= os.supports_dir_fd
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""The flag of `os.open` that refuses a link at the name; 0 where the system has none."""

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | NO_LINK
# Parent folders, such as /home, may be executable but not readable.
_ON_THE_WAY = _FOLDER | getattr(os, "O_PATH", 0)
# O_NONBLOCK: opening a pipe that nobody writes to would wait forever. O_NOCTTY: a terminal would become the process's.
_FILE = (
    os.O_RDONLY
    | NO_LINK
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """An open folder.

    Attributes:
        path: of the folder.
        descriptor: of the folder; None where the system takes paths only.
    """

    path: Path
    descriptor: int | None

    def at(self, name: str) -> str:
        """Return the name of a file as functions take it together with `descriptor`."""
        return name if self.descriptor is not None else str(self.path / name)


class NoRegularFile(OSError):
    """There is a folder, a link, a device or a pipe in place of a file."""


@contextmanager
def opened(folder: Path) -> Generator[OpenFolder]:
    """Open a folder, each one on the way by itself, so that none can be replaced by a link.

    Raises:
        OSError: it is missing, no folder, or a link is on the way.
    """
    if not _HAS_DESCRIPTORS:
        _require_no_link(folder)
        yield OpenFolder(folder, None)
        return
    descriptor = None
    try:
        for place, part in enumerate(folder.parts, 1):
            flags = _FOLDER if place == len(folder.parts) else _ON_THE_WAY
            inner = os.open(part, flags, dir_fd=descriptor)
            if descriptor is not None:
                os.close(descriptor)
            descriptor = inner
        yield OpenFolder(folder, descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def opened_file(folder: Path, names: tuple[str, ...]) -> Generator[BufferedReader]:
    """Open a file for reading, once: what is looked at is what is read.

    Args:
        folder: absolute and without links in it.
        names: of the folders inside it on the way to the file, and of the file.

    Raises:
        NoRegularFile: something else has its name.
        OSError: it is missing, cannot be read, or a link is on the way.
    """
    *way, name = names
    with opened(folder.joinpath(*way)) as place:
        if place.descriptor is None:
            _require_no_link(place.path / name)
        # A device may do something when it is opened, and a pipe lets its writer go on.
        _require_regular(os.stat(place.at(name), dir_fd=place.descriptor, follow_symlinks=False))
        descriptor = os.open(place.at(name), _FILE, dir_fd=place.descriptor)
    try:
        _require_regular(os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def _require_regular(found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "a link")
    if not stat.S_ISREG(found.st_mode):
        raise NoRegularFile(errno.EINVAL, "not a regular file")


def _require_no_link(path: Path) -> None:
    if path.resolve(strict=True) != path:
        raise NotADirectoryError(errno.ENOTDIR, "a link is on the way")
