"""What a question to a 2026-07-28 client carries, so that its answer can be trusted when the client calls again.

Client and model write the second call, so that what it says was asked and accepted proves nothing. The question
therefore carries a state that only this server can make: the SDK seals it, bound to the tool, the arguments, the caller
and the time, and it names the question. Whatever is wrong with a state that comes back, the human is asked anew.
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
"""States that were used and are remembered; when there are more, humans are asked anew until some have expired."""

CLOCKS_APART = 60.0
"""Seconds for which a state may outlive its time here, because the clock of the replica that made it is ahead."""


class SealedQuestions:
    """Server middleware that seals the states of questions, and drops those that are not to be trusted.

    Args:
        keys: secrets of at least 32 bytes; the first seals, all open. Without any, states are this process's own.
        timeout: seconds in which a question must be answered.
        caller_of: says who sent a request.
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
        except (MCPError, RecursionError):  # the latter from arguments that are nested deeply
            if accepted:
                raise
        untrusted = {name: value for name, value in ctx.params.items() if name != "requestState"}
        return await self._boundary(replace(ctx, params=untrusted), call_next)


class Tickets:
    """The states of questions, each of which counts once in this process.

    Args:
        timeout: seconds in which a question must be answered.
        clock: seconds that only grow.
    """

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = timeout + CLOCKS_APART
        self._clock = clock
        self._used: OrderedDict[str, float] = OrderedDict()

    def issue(self, question: Question) -> str:
        """Make the state of a question."""
        return f"{question.key} {secrets.token_hex(16)}"

    def redeem(self, state: str | None, question: Question) -> bool:
        """Use a state up.

        Args:
            state: as it was issued; None where there is none to be trusted.
            question: what an answer is needed for.

        Returns:
            Whether it is this question's, and was not used before.
        """
        now = self._clock()
        while self._used and next(iter(self._used.values())) < now:
            self._used.popitem(last=False)
        key, _, ticket = (state or "").partition(" ")
        if key != question.key or ticket in self._used or len(self._used) >= MAX_USED:
            return False
        self._used[ticket] = now + self._seconds
        return True
