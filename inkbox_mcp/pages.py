"""Searching and paging lists that the API only returns whole.

A cursor names the last item seen by its creation time and id, and a page holds what is strictly older: items that are
created or deleted between two pages neither repeat nor hide others.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

Item = dict[str, Any]

_CURSOR = re.compile(r"(-?[0-9]{1,17})_(.{0,100})")


def matching(items: Iterable[Item], search: str | None, fields: tuple[str, ...]) -> list[Item]:
    """Keep the items that hold the text in one of their fields, in any case."""
    if not search:
        return list(items)
    wanted = search.casefold()
    return [item for item in items if any(wanted in str(item.get(field) or "").casefold() for field in fields)]


def page(items: Iterable[Item], limit: int, cursor: str | None) -> tuple[list[Item], str | None]:
    """Cut one page out of a list, newest first.

    Args:
        items: objects with `created_at` (ISO 8601) and `id`.
        limit: items per page.
        cursor: as returned with the page before, or None for the first page.

    Returns:
        The page, and the cursor of the next one or None on the last.
    """
    positions = sorted(((_position(item), item) for item in items), key=lambda pair: pair[0], reverse=True)
    if cursor is not None:
        seen = decode_cursor(cursor)
        positions = [pair for pair in positions if pair[0] < seen]
    shown = positions[:limit]
    next_cursor = _encode(shown[-1][0]) if len(positions) > limit else None
    return [item for _, item in shown], next_cursor


def decode_cursor(cursor: str) -> tuple[int, str]:
    """Read the position that a cursor names: microseconds since 1970, and an id.

    Raises:
        ValueError: the text is no cursor.
    """
    found = _CURSOR.fullmatch(cursor)
    if not found:
        raise ValueError("must be the next_cursor of an earlier result, unchanged")
    return int(found[1]), found[2]


def _encode(position: tuple[int, str]) -> str:
    return f"{position[0]}_{position[1]}"


def _position(item: Item) -> tuple[int, str]:
    """Place an item in time; one without a readable creation time counts as the oldest."""
    try:
        created = datetime.fromisoformat(item["created_at"])
    except (KeyError, TypeError, ValueError):
        return 0, str(item.get("id"))
    since = (created if created.tzinfo else created.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds, str(item.get("id"))
