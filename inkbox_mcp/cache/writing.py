"""Writes private files into the user's cache directory and deletes old ones.

Recordings are at `inkbox-mcp/<digest>/<digest>`, generations at `inkbox-mcp/generations/<digest>`. Other programs may
have put anything there. So each folder is opened by itself, never through a link, and only private files of this user
with our kind of name are touched. Everything else is left alone.
"""

import os
import re
import secrets
import stat
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

MOST_KEPT = 16
"""The most files in a folder, and the most settings with recordings."""
SECONDS_TO_WRITE = 600
"""An unfinished file that is older was left by a killed process."""

_NAME = re.compile(r"[0-9a-f]{32}")
_UNFINISHED = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{16}\.new")
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
# Parent folders, such as /home, may be executable but not readable.
_ON_THE_WAY = _FOLDER | getattr(os, "O_PATH", 0)


def keep(path: Path, content: bytes) -> None:
    """Write a file, and delete the oldest ones of its kind.

    Args:
        path: of the file. At most its last three folders are made, so a missing home directory is not.
        content: of the file.

    Raises:
        OSError: the file cannot be written.
    """
    if not path.is_absolute():
        return
    *way, base, cache, kind = path.parent.parts
    with ExitStack() as opened:
        folder = None
        for part in way:
            folder = opened.enter_context(_opened(part, folder, _ON_THE_WAY))
        outside = opened.enter_context(_made(base, folder, _ON_THE_WAY))
        recordings = opened.enter_context(_made(cache, outside))
        if not _is_ours(os.fstat(recordings), stat.S_IFDIR | 0o700):
            return
        own = opened.enter_context(_made(kind, recordings))
        if not _is_ours(os.fstat(own), stat.S_IFDIR | 0o700):
            return
        _write(own, path.name, content)
        _forget(own, MOST_KEPT)
        for name in _newest_first(recordings, _NAME, stat.S_IFDIR | 0o700)[MOST_KEPT:]:
            _forget_folder(recordings, name)


@contextmanager
def _opened(name: str, folder: int | None, flags: int = _FOLDER) -> Generator[int]:
    fd = os.open(name, flags, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _made(name: str, folder: int | None, flags: int = _FOLDER) -> Generator[int]:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)  # by descriptor: a path could become a link meanwhile
    with _opened(name, folder, flags) as fd:
        yield fd


def _write(folder: int, name: str, content: bytes) -> None:
    unfinished = f"{name}.{secrets.token_hex(8)}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(unfinished, flags, 0o600, dir_fd=folder), "wb") as file:
        file.write(content)
    try:
        os.replace(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(unfinished, dir_fd=folder)
        raise


def _forget(folder: int, kept: int) -> None:
    """Delete all recordings of a folder but the newest, and unfinished files."""
    for name in _newest_first(folder, _NAME, stat.S_IFREG | 0o600)[kept:]:
        os.unlink(name, dir_fd=folder)
    for entry in list(_ours(folder, _UNFINISHED, stat.S_IFREG | 0o600)):
        if entry.stat(follow_symlinks=False).st_mtime < time.time() - SECONDS_TO_WRITE:
            os.unlink(entry.name, dir_fd=folder)


def _forget_folder(recordings: int, name: str) -> None:
    with suppress(OSError), _opened(name, recordings) as folder:
        if _is_ours(os.fstat(folder), stat.S_IFDIR | 0o700):
            _forget(folder, 0)
            os.rmdir(name, dir_fd=recordings)  # fails if the folder has files that are not ours


def _newest_first(folder: int, name: re.Pattern[str], mode: int) -> list[str]:
    entries = sorted(_ours(folder, name, mode), key=lambda entry: entry.stat(follow_symlinks=False).st_mtime)
    return [entry.name for entry in reversed(entries)]


def _ours(folder: int, name: re.Pattern[str], mode: int) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another process deleted it
                if name.fullmatch(entry.name) and _is_ours(entry.stat(follow_symlinks=False), mode):
                    yield entry


def _is_ours(info: os.stat_result, mode: int) -> bool:
    # Other bits, such as setgid, are inherited from a folder.
    return info.st_uid == os.geteuid() and info.st_mode & 0o170777 == mode
