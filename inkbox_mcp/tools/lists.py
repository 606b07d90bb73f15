"""Lists that another list completes."""

from typing import Any

import anyio

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import Path, path
from inkbox_mcp.errors import InkboxError

Item = dict[str, Any]

SECONDS_FOR_THE_OTHER = 2.0
"""Seconds that a list waits for the other one, when it is complete but for what that adds."""


async def get_lists(api: InkboxAPI, wanted: Path, other: Path) -> tuple[list[Item], list[Item] | None]:
    """Get a list and, side by side, another one that completes it.

    Args:
        api: of the caller.
        wanted: the collection to list.
        other: the collection that adds something.

    Returns:
        Both lists; None for the other one if it cannot be read, or not in time.

    Raises:
        InkboxError: the wanted list cannot be read.
    """
    found: dict[Path, list[Item]] = {}
    failed: dict[Path, Exception] = {}

    async def get(resource: Path) -> None:
        try:
            found[resource] = await api.get_list(path(resource))
        except Exception as error:  # noqa: BLE001 - raised below: a task group would wrap it
            failed[resource] = error

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(get, other)
        await get(wanted)
        tasks.cancel_scope.deadline = anyio.current_time() + (SECONDS_FOR_THE_OTHER if wanted in found else 0)
    for resource, error in failed.items():
        if resource == wanted or not isinstance(error, InkboxError):
            raise error
    return found[wanted], found.get(other)
