"""Lists that another list completes."""

from functools import partial
from typing import Any

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import Path, path
from inkbox_mcp.api.responses import FromJSON
from inkbox_mcp.tools.side_by_side import get_both

Item = dict[str, Any]


async def get_lists(api: InkboxAPI, wanted: Path, other: Path, read: FromJSON) -> tuple[list[Item], list[Item] | None]:
    """Get a list and, side by side, another one that completes it.

    Args:
        api: of the caller.
        wanted: the collection to list.
        other: the collection that adds something.
        read: reads the fields of its objects that are needed; see `inkbox_mcp.api.responses.only`.

    Returns:
        Both lists; None for the other one if it cannot be read, or not in time.

    Raises:
        InkboxError: the wanted list cannot be read.
    """
    return await get_both(partial(api.get_list, path(wanted)), partial(api.get_list, path(other), read))
