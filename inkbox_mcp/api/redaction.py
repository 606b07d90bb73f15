"""Finds the API key in received text, in any notation, and hides it.

Servers and proxies repeat requests in their answers: literally, escaped, encoded, or in pieces. A piece of eight
characters is found. The id before the secret part is not secret: `whoami` shows it.
"""

import re
from base64 import b64encode
from collections.abc import Iterator
from html import unescape
from typing import Any, cast
from urllib.parse import unquote

HIDDEN = "[API key]"

_PIECE = 8
_WORD = re.compile(r"[^\s\"']+")
_ESCAPE = re.compile(r"\\+u\{?([0-9a-f]{4})\}?|\\+x([0-9a-f]{2})")


class Redaction:
    """Hides keys.

    Args:
        keys: such as `ApiKey_<uuid>.<secret>`; None hides nothing.
    """

    def __init__(self, *keys: str | None) -> None:
        self._pieces = tuple(piece for key in keys if key for piece in _pieces(key))
        self._secrets = tuple(key.rpartition(".")[2].encode() for key in keys if key)

    def finds(self, text: str) -> bool:
        """Whether a text shows the key or a piece of it."""
        text = text.lower()
        if any(piece in text for piece in self._pieces):
            return True
        plain = _plain(text)
        return plain != text and any(piece in plain for piece in self._pieces)

    def is_in(self, file: bytes) -> bool:
        """Whether a file holds a key's secret part as it is; no model reads the notations of text out of a file."""
        return any(secret != b"" and secret in file for secret in self._secrets)

    def hide(self, data: Any) -> Any:
        """Replace each word that shows the key, in all strings of JSON data, names of fields included."""
        match data:
            case str() if self.finds(data):  # nearly none shows it, and to look at each word takes longer
                return _WORD.sub(lambda word: HIDDEN if self.finds(word[0]) else word[0], data)
            case list():
                return [self.hide(item) for item in cast("list[object]", data)]
            case dict():
                return {self.hide(key): self.hide(value) for key, value in cast("dict[str, object]", data).items()}
            case _:
                return data


def _pieces(key: str) -> Iterator[str]:
    """Cut the secret part into pieces, in each notation and in lower case."""
    secret = key.rpartition(".")[2]
    if len(secret) < _PIECE:  # too short to distinguish from other text
        yield key.lower()
        return
    notations = [secret, secret.encode().hex()]
    for offset in range(3):  # of the secret in base64's groups of three bytes
        encoded = b64encode(bytes(offset) + secret.encode()).decode().rstrip("=")
        # The first and last characters depend on the neighbouring bytes.
        certain = encoded[-(-offset * 4 // 3) : len(encoded) - 1]
        notations += [certain, certain.replace("+", "-").replace("/", "_")]
    for notation in notations:
        size = _PIECE * 2 if notation is notations[1] else _PIECE
        yield from (notation[start : start + size].lower() for start in range(0, len(notation) - size + 1, size))
        yield notation[-size:].lower()


def _plain(text: str) -> str:
    """Decode the notations of URLs, HTML and string literals, also nested ones."""
    for _ in range(3):
        plain = text
        if "%" in plain:
            plain = unquote(plain)
        if "&" in plain:
            plain = unescape(plain)
        if "\\" in plain:
            plain = _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), plain)
        if plain == text:
            break
        text = plain.lower()
    return text
