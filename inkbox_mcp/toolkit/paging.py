"""Searches and pages lists that the API returns whole.

A cursor is the creation time and id of the last item of a page; the next page has strictly older items. So items that
are created or deleted between two pages neither repeat nor hide others.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from typing import Any

Item = dict[str, Any]
Position = tuple[datetime, str]
"""An item's creation time and id."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OLDEST, _NEWEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_SEPARATOR, _OTHER_SEPARATORS = "-", " _."

_CURSOR = re.compile(r"(-?[0-9]{1,18})_(.{0,100})")


def matching(items: Iterable[Item], search: str | None, fields: tuple[str, ...]) -> list[Item]:
    """Return the items that have every word of a search somewhere in these fields.

    Case does not count, nor does the Unicode form of a letter. Space, hyphen, underscore and dot are alike, so
    "load-test" is two words, as "load test" is, and both find "Load Test 003" and "load_test.7". Otherwise the same
    search, written in two ways, would find different items. A word with an "@" is an address, or a part of one, and is
    looked for as a whole: the words of "sales-1@…" are also in "sales-21@…".

    Args:
        items: objects.
        search: words, or parts of words; without any, all items match.
        fields: the names of the members to look in.
    """
    parts = _fold(search or "").split()
    words = {word for part in parts if "@" not in part for word in _words(part)}
    addresses = {_SEPARATOR.join(_words(part)) for part in parts if "@" in part}
    if not words | addresses:
        return list(items)
    items = list(items)
    texts = ["\n".join([str(item.get(field) or "") for field in fields]) for item in items]
    folded = _folded(texts, _fold_with_separators if addresses else _fold)
    return [item for item, text in zip(items, folded, strict=True) if _has(text, words | addresses)]


def page(items: Sequence[Item], limit: int, cursor: str | None) -> tuple[list[Item], str | None]:
    """Return one page of a list, newest first.

    Args:
        items: objects with `created_at` (ISO 8601) and `id`.
        limit: items per page.
        cursor: as returned with the previous page; None for the first page.

    Returns:
        The page, and the cursor of the next page; None on the last one.
    """
    positions = _positions(items)
    older: Iterable[int] = range(len(items))
    if cursor is not None:
        seen = decode_cursor(cursor)
        older = [number for number in older if positions[number] < seen]
    newest = nlargest(limit + 1, older, key=positions.__getitem__)
    shown = newest[:limit]
    next_cursor = _encode(positions[shown[-1]]) if len(newest) > limit else None
    return [items[number] for number in shown], next_cursor


def decode_cursor(cursor: str) -> Position:
    """Parse a cursor.

    Raises:
        ValueError: the text is not a cursor.
    """
    found = _CURSOR.fullmatch(cursor)
    if not found:
        raise ValueError("must be the next_cursor of an earlier result, unchanged; leave it out for the first page")
    try:
        return _EPOCH + int(found[1]) * _MICROSECOND, found[2]
    except OverflowError:
        return (_OLDEST, "") if found[1].startswith("-") else (_NEWEST, "")


def _encode(position: Position) -> str:
    return f"{(position[0] - _EPOCH) // _MICROSECOND}_{position[1]}"


def _positions(items: Sequence[Item]) -> list[Position]:
    """Return the positions of items. Those without a valid creation time are the oldest."""
    with suppress(KeyError, TypeError, ValueError):
        # The fast path, which is twice as fast: nearly always all creation times are valid.
        found = [(datetime.fromisoformat(item["created_at"]), str(item["id"])) for item in items]
        if all(created.tzinfo for created, _ in found):
            return found
    return [_position(item) for item in items]


def _position(item: Item) -> Position:
    try:
        created = datetime.fromisoformat(item["created_at"])
    except (KeyError, TypeError, ValueError):
        return _EPOCH, str(item.get("id"))
    return (created if created.tzinfo else created.replace(tzinfo=UTC)), str(item.get("id"))


def _words(text: str) -> list[str]:
    return [word for word in _with_one_separator(text).split(_SEPARATOR) if word]


def _has(text: str, wanted: Iterable[str]) -> bool:
    for word in wanted:  # noqa: SIM110 - `all` takes twice as long
        if word not in text:
            return False
    return True


def _folded(texts: list[str], fold: Callable[[str], str]) -> list[str]:
    """Fold many texts: all at once, which is faster, unless one of them has the separator itself."""
    folded = fold("\0".join(texts)).split("\0")
    return folded if len(folded) == len(texts) else [fold(text) for text in texts]


def _fold_with_separators(text: str) -> str:
    return _with_one_separator(_fold(text))


def _with_one_separator(text: str) -> str:
    """Replace each run of separators by `_SEPARATOR`.

    Replacing pairs halves a run each time. A regular expression takes ten times as long, and one that looks for words
    with any run between them takes the square of a long run.
    """
    for separator in _OTHER_SEPARATORS:
        text = text.replace(separator, _SEPARATOR)
    while 2 * _SEPARATOR in text:
        text = text.replace(2 * _SEPARATOR, _SEPARATOR)
    return text


def _fold(text: str) -> str:
    """Return a text in one case and one Unicode form."""
    if text.isascii():
        return text.lower()
    # Folding can take a letter apart. The dotless i has the same upper case as i.
    folded = unicodedata.normalize("NFC", text).casefold().replace("\u0131", "i")
    return unicodedata.normalize("NFC", folded)
