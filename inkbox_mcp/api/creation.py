"""Create an object exactly once, even when the answer is lost.

A lost POST is not repeated at once. First the API is asked for the object that the POST would have made. The object
counts as ours if it is not older than the request. Ages are compared by the API's clock if its answers are dated,
because this machine's clock may be wrong. HTTP dates have whole seconds, so the ids that this process made are
remembered: they never count for another call.

A lost request may still be running, and finish after the lookup. So the lookup is repeated after a pause.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from time import time
from typing import TypeVar

import anyio
import stamina
from pydantic import BaseModel

from inkbox_mcp.api.retries import ATTEMPTS, after_lost
from inkbox_mcp.calls import Call
from inkbox_mcp.errors import Conflict, InkboxError, NotFound, OutcomeUnknown, RateLimited, Unavailable

M = TypeVar("M", bound=BaseModel)
Find = Callable[[], Awaitable[M | None]]

PAUSES = (0.25, 0.75)
"""Seconds between two lookups, for a request that may still be running."""
MAX_SKEW = 60.0
"""Seconds by which the API's clock may be ahead of this machine's, if answers have no date."""

# Statuses after which a repetition may get another result: no answer, a gateway's timeout, an unreadable success.
_GIVEN_UP = {None, HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}


class Creations:
    """Creates objects with one key, and remembers their ids."""

    def __init__(self) -> None:
        self._made: deque[str] = deque(maxlen=1000)

    async def create(self, call: Call, send: Callable[[], Awaitable[M]], find: "Find[M]", *, unique: bool = True) -> M:
        """Send until the object was made, or certainly was not.

        Args:
            call: the tool call that this is part of.
            send: sends the request and returns the object; repeats by itself what is safe to repeat.
            find: returns the object that a lost request made, if any.
            unique: whether the API refuses a second such object, so that a lost request may be repeated.

        Raises:
            OutcomeUnknown: the object may or may not have been made.
            InkboxError: the object was not made.
        """
        started, lost = anyio.current_time(), None
        for number in range(ATTEMPTS):
            try:
                return self._remember(await send())
            except NotFound:
                raise
            except OutcomeUnknown as error:
                lost = lost or error
                failed: InkboxError = error
            except Conflict as error:
                if lost is None and not error.repeated:
                    raise
                failed = error  # perhaps because of the object that an earlier request made
            except InkboxError as error:
                if unique or not isinstance(error, RateLimited | Unavailable):
                    raise after_lost(lost, error) from None
                failed = error
            may_repeat = unique and failed.status in _GIVEN_UP and number < ATTEMPTS - 1
            found = await _look(call, find, lost or failed, PAUSES[: 0 if may_repeat else None])
            if found is not None and self._is_ours(found, started, call, lost or failed):
                return self._remember(found)
            if isinstance(failed, Conflict):
                raise failed
            if not may_repeat:
                raise lost or failed
        raise AssertionError("unreachable")

    def _is_ours(self, found: BaseModel, started: float, call: Call, unclear: InkboxError) -> bool:
        """Whether an object was made after the call began, and not by another call of this process."""
        try:
            created = datetime.fromisoformat(getattr(found, "created_at", ""))
        except (TypeError, ValueError):
            raise unclear from None
        moment = (created if created.tzinfo else created.replace(tzinfo=UTC)).timestamp()
        now = anyio.current_time()
        if call.clock is None:
            ahead, skew = time() - now, MAX_SKEW
        else:
            ahead, skew = call.clock, 1.0  # HTTP dates have no fractions of a second
        is_new = started + ahead <= moment <= now + ahead + skew
        return is_new and getattr(found, "id", None) not in self._made

    def _remember(self, made: M) -> M:
        self._made.append(getattr(made, "id", ""))
        return made


async def _look(call: Call, find: "Find[M]", unclear: InkboxError, pauses: tuple[float, ...]) -> M | None:
    """Look for an object, and again after each pause, because the request may still be running."""
    try:
        found = await find()
        for pause in pauses:
            if found is not None or call.remaining < 2 * pause:
                break
            if not stamina.is_testing():
                await anyio.sleep(pause)
            found = await find()
    except InkboxError:
        raise unclear from None
    return found
