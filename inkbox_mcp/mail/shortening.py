"""Shortens what strangers wrote in the rows of a list, so that a page of them stays small whatever they wrote."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json

ROW = 340
"""Bytes of JSON that a row has on average, at most, with the comma after it."""
FEW = 10
"""A page of fewer rows may be as large as one of so many."""
_LEAST = 12
"""Bytes that are left of each text."""

# What follows a name or an address, and counts for more.
_TAIL = re.compile(r" <[^<>]*>$| and [0-9]+ more$")


def shortened(rows: Sequence[dict[str, Any]], *texts: str) -> list[dict[str, Any]]:
    """Return rows that have together at most `ROW` bytes each; of a long one, its longest texts are cut.

    Args:
        rows: of a page.
        texts: the fields that strangers wrote. Others stay as they are.

    Returns:
        The rows; a text that was cut has an ellipsis.
    """
    sizes = [_size(row) for row in rows]
    room = ROW * max(len(rows), FEW)
    if sum(sizes) <= room:
        return [*rows]
    most = room // len(rows)
    return [row if size <= most else _shorten(row, texts, size - most) for row, size in zip(rows, sizes, strict=True)]


def _size(row: dict[str, Any]) -> int:
    return len(to_json(row)) + 1


def _shorten(row: dict[str, Any], texts: Iterable[str], excess: int) -> dict[str, Any]:
    written = {name: row[name] for name in texts if isinstance(row.get(name), str)}
    sizes = [_bytes(text) for text in written.values()]
    most = max(_level(sizes, sum(sizes) - excess), _LEAST)
    return {**row, **{name: _cut(text, most) for name, text in written.items()}}


def _level(sizes: Iterable[int], room: int) -> int:
    """Return the size to which the larger ones are cut, so that all together have room."""
    ordered = sorted(sizes)
    for place, size in enumerate(ordered):
        left = len(ordered) - place
        if size * left > room:
            return room // left
        room -= size
    return max(ordered, default=0)


def _cut(text: str, most: int) -> str:
    """Return at most so many bytes of a text; the address after a name, and the number of others, stay if they fit."""
    if _bytes(text) <= most:
        return text
    found = _TAIL.search(text)
    tail = found[0] if found else ""
    if _bytes(tail) + _LEAST > most:  # then an address alone says more than the beginning of a name
        text, tail = tail.strip(), ""
    else:
        text = text.removesuffix(tail)
    return _beginning(text, most - _bytes(tail)) + tail


def _beginning(text: str, most: int) -> str:
    if _bytes(text) <= most:
        return text
    room = most - _bytes("…")
    for place, char in enumerate(text):
        room -= _bytes(char)
        if room < 0:
            return text[:place] + "…"
    return text


def _bytes(text: str) -> int:
    """Return the bytes of a text in JSON, without its quotes."""
    return len(text.encode("utf-8", "replace")) + text.count('"') + text.count("\\")
