"""Pages of lists: rows with what an agent needs to know of each object, in few bytes, or whole objects."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from inkbox_mcp.toolkit.fields import Boolean, Cursor, PageSize, SearchText
from inkbox_mcp.toolkit.operation import Also, Args, Result
from inkbox_mcp.toolkit.paging import matching, page

MOST_WHOLE = 50
"""The most whole objects of a page."""

_FRACTION = re.compile(r"(\d\d:\d\d:\d\d)\.\d+")

Item = dict[str, Any]


class ListPage(Result):
    """The result of a tool that lists objects; a tool adds the list."""

    also: ClassVar[Also] = {"limited_to": list[str], "note": str}

    total: int
    of: int
    next_cursor: str | None


class ListArgs(Args):
    """The arguments of a tool that lists objects; a tool describes what `search` looks in."""

    invented: ClassVar = {
        **dict.fromkeys(("page", "offset"), "pass the next_cursor of a page as cursor, to get the page after it"),
        **dict.fromkeys(("page_size", "per_page", "max_results", "count"), "pass the number of items as limit"),
        **dict.fromkeys(("order", "order_by", "sort", "sort_by"), "the newest come first, in no other order"),
    }

    search: SearchText | None = None
    limit: Annotated[PageSize, Field(description="Per page, 1-200. Default: 50.")] = 50
    cursor: Annotated[Cursor | None, Field(description="next_cursor of the page before.")] = None
    details: Annotated[Boolean, Field(description="Whole objects, at most 50 a page. Default: false.")] = False


def page_of(
    name: str,
    items: list[Item],
    args: ListArgs,
    *,
    found_by: tuple[str, ...],
    fields: tuple[str, ...],
    limits: list[str],
    note: str | None = None,
    complete: Callable[[Item], object],
    whole: Callable[[Item], Item] = dict,
) -> dict[str, Any]:
    """Return a page of a list. What it leaves out comes first, in case that a client cuts off its end.

    Args:
        name: of the list.
        items: all objects that the operator allows.
        args: of the call.
        found_by: the fields that are searched.
        fields: of a row.
        limits: the operator's limits.
        note: says what could not be searched or shown.
        complete: adds what the API has elsewhere to an object that is searched or shown.
        whole: makes what is shown of a whole object.
    """
    for item in items if args.search else ():
        complete(item)
    found = matching(items, args.search, found_by)
    shown, next_cursor = page(found, min(args.limit, MOST_WHOLE) if args.details else args.limit, args.cursor)
    for item in () if args.search else shown:
        complete(item)
    return {
        "total": len(found),
        "of": len(items),
        **({"limited_to": limits} if limits else {}),
        **({"note": note} if note else {}),
        "next_cursor": next_cursor,
        name: [whole(item) if args.details else row(item, fields) for item in shown],
    }


def row(item: Mapping[str, Any], fields: tuple[str, ...]) -> Item:
    """Return the fields of an object that the API sent, with times to the second.

    Args:
        item: the object.
        fields: their names, in the order of the row. Those that the API did not send are left out.
    """
    return {name: to_the_second(item[name]) if name == "created_at" else item[name] for name in fields if name in item}


def to_the_second(time: object) -> object:
    """Return a time without fractions of a second; other values unchanged."""
    return _FRACTION.sub(r"\1", time).replace("+00:00", "Z") if isinstance(time, str) else time
