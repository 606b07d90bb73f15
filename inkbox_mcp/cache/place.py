"""The place of private files in the user's cache directory, and how they are read.

It needs the standard library only, and little of it: `inkbox_mcp.stdio.warm_start` reads before anything is loaded.
"""

import os
import sys

# Not `hashlib`, which loads OpenSSL: that takes longer than this module.
try:
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

GENERATIONS = "generations"
"""The folder that has the API's generation for each key."""


def directory() -> str | None:
    """Return our folder in the user's cache directory; None if there is no home directory."""
    home = os.environ.get("HOME", "")
    if not home:
        return None
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if not chosen.startswith("/"):
        chosen = f"{home}/Library/Caches" if sys.platform == "darwin" else f"{home}/.cache"
    return f"{chosen}/inkbox-mcp"


def digest(data: bytes) -> str:
    """Return a digest of 32 hexadecimal digits."""
    return blake2b(data, digest_size=16).hexdigest()


def is_private(folder: str) -> bool:
    """Whether a folder exists, belongs to this user, and is private."""
    try:
        info = os.lstat(folder)
    except OSError:
        return False
    return info.st_uid == os.geteuid() and info.st_mode & 0o170077 == 0o040000


def read_private(path: str, limit: int) -> bytes:
    """Return the first bytes of a private file of this user.

    Raises:
        OSError: there is none: it is missing, a link, another user's, or others may read it.
    """
    with open(path, "rb", opener=_open_no_link) as file:
        info = os.fstat(file.fileno())
        if info.st_uid != os.geteuid() or info.st_mode & 0o170077 != 0o100000:
            raise PermissionError
        return file.read(limit)


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
