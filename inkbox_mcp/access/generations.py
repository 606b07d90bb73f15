"""Remembers the generation of the API that an organization is on, from one start to the next.

A file has one word, `spec` or `identity`. Its name is a digest of the base URL and the key, which cannot be read from
it.
"""

import sys
from contextlib import suppress
from pathlib import Path
from typing import cast, get_args

from pydantic import SecretStr

from inkbox_mcp.api.generations import Generation
from inkbox_mcp.cache.place import GENERATIONS, digest, directory, is_private, read_private
from inkbox_mcp.cache.writing import keep


def recall(base_url: str, key: SecretStr) -> Generation | None:
    """Return the remembered generation; None if there is none that can be trusted."""
    path = _path(base_url, key)
    if path is None or not is_private(str(path.parent)):
        return None
    try:
        word = read_private(str(path), 64).decode("ascii", "replace")
    except OSError:
        return None
    return cast("Generation", word) if word in get_args(Generation) else None


def remember(base_url: str, key: SecretStr, generation: Generation) -> None:
    """Remember a generation. Without a writable home directory nothing is remembered."""
    if path := _path(base_url, key):
        with suppress(OSError):
            keep(path, generation.encode())


def _path(base_url: str, key: SecretStr) -> Path | None:
    cache = directory()
    if cache is None or sys.platform == "win32":  # files are not private there
        return None
    return Path(cache) / GENERATIONS / digest(f"{base_url}\n{key.get_secret_value()}".encode("utf-8", "replace"))
