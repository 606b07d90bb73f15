"""Pages of rows, newest first, and the cursors between them."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from inkbox_mcp.sandbox.rows import Row


class Page(BaseModel):
    """Rows of a list, in the members that its answer has."""

    items: list[Row]
    next_cursor: str | None
    has_more: bool


def page(
    connection: sqlite3.Connection,
    statement: str,
    values: Sequence[Any],
    moment: str,
    limit: int,
    cursor: tuple[int, str] | None,
    read: Callable[[Row], Row] = dict,
) -> Page:
    """Return the rows after a cursor, in descending order of a moment and the id.

    Args:
        connection: To read from.
        statement: A SELECT with a WHERE.
        values: Of its parameters.
        moment: The column with a time in microseconds.
        limit: Rows of the page.
        cursor: The moment and the id of the last row that was seen.
        read: Makes a row of the answer from one of the table.
    """
    if cursor is not None:
        # Not only the row value, which SQLite does not look up in an index that is sorted downwards.
        statement += f" AND {moment} <= ? AND ({moment}, id) < (?, ?)"
        values = [*values, cursor[0], *cursor]
    found = connection.execute(f"{statement} ORDER BY {moment} DESC, id DESC LIMIT ?", (*values, limit + 1)).fetchall()
    rows = [read(row) for row in found[:limit]]
    more = len(found) > limit
    return Page(items=rows, next_cursor=write_cursor(rows[-1][moment], rows[-1]["id"]) if more else None, has_more=more)


def write_cursor(moment: int, row_id: str) -> str:
    """Return the cursor after a row."""
    return f"{moment}.{UUID(row_id).hex}"


def _read_cursor(text: str) -> tuple[int, str]:
    moment, _, row_id = text.partition(".")
    return int(moment), str(UUID(row_id))


Cursor = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,18}\.[0-9a-f]{32}$"),
    Field(description="next_cursor of the page before"),
    AfterValidator(_read_cursor),
]
"""The cursor of a request, as moment and id."""
