"""The state of a question to a 2026-07-28 client, which proves that the server asked it.

The client writes the second call, so its claim that the human was asked proves nothing. Therefore the question has a
state that only this server can make. The SDK seals it, bound to the tool, the arguments, the caller and the time; it
also names the question. If a returned state is invalid, the human is asked again.
"""

import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from pydantic import SecretStr

from inkbox_mcp.access.tenants import Caller
from inkbox_mcp.toolkit.questions import Question

MAX_USED = 65_536
"""The most used states that are remembered. Above it, no state counts until some have expired."""

CLOCKS_APART = 60.0
"""Seconds by which the clock of another replica may be ahead, so that its states expire later."""


class SealedQuestions:
    """Server middleware that seals states, and drops invalid ones.

    Args:
        keys: secrets of at least 32 bytes. The first one seals, all open. Without keys, only this process's own states
            are valid.
        timeout: seconds in which a question must be answered.
        caller_of: returns the caller of a request.
    """

    def __init__(self, keys: Sequence[SecretStr], timeout: float, caller_of: Callable[[Any], Caller]) -> None:
        security = RequestStateSecurity(
            keys=[key.get_secret_value() for key in keys] or [os.urandom(32)],
            ttl=timeout,
            bind_principal=lambda context: caller_of(context.request).principal,
        )
        self._boundary = RequestStateBoundary(security, default_audience="inkbox-mcp")

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Handle a request."""
        if ctx.params is None or ctx.params.get("requestState") is None:
            return await self._boundary(ctx, call_next)
        accepted = False

        async def note(context: ServerRequestContext[Any, Any]) -> HandlerResult:
            nonlocal accepted
            accepted = True
            return await call_next(context)

        try:
            return await self._boundary(ctx, note)
        except (MCPError, RecursionError):  # RecursionError: deeply nested arguments
            if accepted:
                raise
        untrusted = {name: value for name, value in ctx.params.items() if name != "requestState"}
        return await self._boundary(replace(ctx, params=untrusted), call_next)


class Tickets:
    """Issues states, each of which counts once in this process.

    Args:
        timeout: seconds in which a question must be answered.
        clock: monotonic seconds.
    """

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = timeout + CLOCKS_APART
        self._clock = clock
        self._used: OrderedDict[str, float] = OrderedDict()

    def issue(self, question: Question) -> str:
        """Make the state of a question."""
        return f"{question.key} {secrets.token_hex(16)}"

    def redeem(self, state: str | None, question: Question) -> bool:
        """Use a state.

        Args:
            state: as issued; None if there is no valid one.
            question: that was answered.

        Returns:
            Whether the state is this question's, and was not used before.
        """
        now = self._clock()
        while self._used and next(iter(self._used.values())) < now:
            self._used.popitem(last=False)
        key, _, ticket = (state or "").partition(" ")
        if key != question.key or ticket in self._used or len(self._used) >= MAX_USED:
            return False
        self._used[ticket] = now + self._seconds
        return True
