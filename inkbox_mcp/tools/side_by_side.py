"""Two answers of the API, of which one completes the other and may be missing."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from inkbox_mcp.errors import InkboxError

W = TypeVar("W")
A = TypeVar("A")

SECONDS_FOR_THE_OTHER = 2.0
"""Seconds that what is wanted waits for the other one, when it is complete but for what that adds."""


async def get_both(wanted: Callable[[], Awaitable[W]], other: Callable[[], Awaitable[A]]) -> tuple[W, A | None]:
    """Get something and, side by side, something that completes it.

    Args:
        wanted: gets what the call is about.
        other: gets what adds something.

    Returns:
        Both; None for the other one if it cannot be had, or not in time.

    Raises:
        InkboxError: what is wanted cannot be had.
    """
    found: list[W] = []
    added: list[A] = []
    failed: list[Exception] = []

    async def get_other() -> None:
        try:
            added.append(await other())
        except InkboxError:
            pass
        except Exception as error:  # noqa: BLE001 - raised below: a task group would wrap it
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(get_other)
        try:
            found.append(await wanted())
        except Exception as error:  # noqa: BLE001 - raised below
            failed.insert(0, error)
        tasks.cancel_scope.deadline = anyio.current_time() + (SECONDS_FOR_THE_OTHER if found else 0)
    if failed:
        raise failed[0]
    return found[0], added[0] if added else None
