"""Making something exactly once, also when the answer is lost.

A lost POST is not repeated blindly: what it would have made is looked for, and taken if it is no older than the
request. Its age is told by the API's clock, where an answer carries it, because this machine's may be wrong. That clock
counts whole seconds, so what an earlier call was told of is remembered, and is no other call's.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import anyio
from pydantic import BaseModel

from inkbox_mcp.errors import Conflict, InkboxError, NotFound, OutcomeUnknown
from inkbox_mcp.retries import ATTEMPTS, after_lost

M = TypeVar("M", bound=BaseModel)


class Creations:
    """What one process made with one key."""

    def __init__(self) -> None:
        self._made: deque[str] = deque(maxlen=1000)

    async def create(
        self,
        send: Callable[[], Awaitable[M]],
        find: Callable[[], Awaitable[M | None]],
        server_time: Callable[[], datetime | None],
    ) -> M:
        """Send until the object is made, or is known not to be.

        Args:
            send: makes the request and returns the object; it repeats what is harmless by itself.
            find: looks for an object as a lost request would have made it.
            server_time: the API's clock at the latest answer.

        Raises:
            OutcomeUnknown: it may or may not have been made.
            InkboxError: it was not made.
        """
        started, lost = anyio.current_time(), None
        for _ in range(ATTEMPTS):
            conflict = None
            try:
                return self._remember(await send())
            except OutcomeUnknown as error:
                lost = lost or error
            except NotFound:
                raise
            except Conflict as error:
                if lost is None:
                    raise
                conflict = error  # perhaps with what the lost request made
            except InkboxError as error:
                raise after_lost(lost, error) from None
            try:
                found = await find()
            except InkboxError:
                raise lost from None
            if found is not None and self._is_ours(found, anyio.current_time() - started, server_time(), lost):
                return self._remember(found)
            if conflict is not None:
                raise conflict
        assert lost is not None  # noqa: S101  # the loop ends by itself only after losses
        raise lost

    def _is_ours(self, found: BaseModel, seconds: float, now: datetime | None, lost: OutcomeUnknown) -> bool:
        """Whether an object was made within the last seconds, and by no other call of this process."""
        try:
            created = datetime.fromisoformat(getattr(found, "created_at", ""))
        except (TypeError, ValueError):
            raise lost from None
        age = (now or datetime.now(UTC)) - (created if created.tzinfo else created.replace(tzinfo=UTC))
        return age.total_seconds() <= seconds and getattr(found, "id", None) not in self._made

    def _remember(self, made: M) -> M:
        self._made.append(getattr(made, "id", ""))
        return made
