"""What may be repeated without harm.

A request is sent at most `ATTEMPTS` times, all within the deadline of its tool call:

| the answer is | GET | PATCH, DELETE | POST |
|---|---|---|---|
| none, because there was no connection | yes | yes | yes: nothing was sent |
| 429, 503 | yes | yes | yes, where the API makes no second one: it may have been done |
| lost: cut off, timed out, 502, 504 | yes | yes: twice is once | no: `inkbox_mcp.api.creation` looks first |
| a success that cannot be read | no | yes: twice is once | no: `inkbox_mcp.api.creation` looks first |
| any other 5xx, a redirect | no | no | no: it may have been done |
| anything else | no | no | no |
"""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

import stamina

from inkbox_mcp.calls import Call
from inkbox_mcp.errors import (
    Conflict,
    InkboxError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    ServerError,
    TooLarge,
    Unavailable,
    UnexpectedResponse,
    Unreachable,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 3
MAX_PAUSE = 1.0
"""Seconds between two attempts, at most, unless the API says when to come back."""

# Retries are logged here, once; stamina's own hooks would log them again, or to stdout where structlog is installed.
stamina.instrumentation.set_on_retry_hooks([])


async def repeated(call: Call, method: str, attempt: Callable[[int], Awaitable[T]], *, unique: bool = True) -> T:
    """Make a request, again where that is harmless.

    Args:
        call: the tool call that it is part of, whose deadline ends the attempts.
        method: GET, POST, PATCH or DELETE.
        attempt: sends the request and reads its answer; gets its number, from 1.
        unique: whether the API refuses to make a second one of what a POST makes.

    Raises:
        InkboxError: of the last attempt; it knows what the earlier ones came to.
    """
    try:
        # Nearly all need no other attempt, and getting ready for one takes a seventh of a call.
        return await attempt(1)
    except InkboxError as error:
        first = error
    earlier = _Earlier()
    try:
        async for again in stamina.retry_context(
            lambda error: _pause(method, error, call.remaining, unique=unique),
            ATTEMPTS,
            None,
            wait_initial=0.2,
            wait_max=MAX_PAUSE,
            wait_jitter=0.3,
        ):
            with again:
                try:
                    if again.num == 1:
                        raise first
                    return await attempt(again.num)
                except InkboxError as error:
                    earlier.note(error)
                    raise
    except (OutcomeUnknown, NotFound):
        raise
    except InkboxError as error:
        raise after_lost(earlier.lost, error) from None
    raise AssertionError("unreachable")


class _Earlier:
    """What the attempts before the last one came to."""

    def __init__(self) -> None:
        self.lost: OutcomeUnknown | None = None
        self._refused = False

    def note(self, error: InkboxError) -> None:
        """Keep what an attempt came to, or note on its error what earlier ones did."""
        match error:
            case OutcomeUnknown():
                self.lost = error
            case RateLimited() | Unavailable():
                self._refused = True
            case Conflict():
                error.repeated = self._refused
            case NotFound():
                error.after_lost = self.lost is not None
            case _:
                pass


def _pause(method: str, error: Exception, remaining: float, *, unique: bool = True) -> float | bool:
    """Tell stamina how long to wait before the next attempt; True leaves it to its backoff, False gives up."""
    if not isinstance(error, InkboxError) or not may_repeat(method, error, unique=unique):
        return False
    wait = MAX_PAUSE if error.retry_after is None else error.retry_after
    if wait >= remaining:
        return False
    logger.info("%s: %s, trying again", method, error.code)
    return True if error.retry_after is None else wait


def may_repeat(method: str, error: InkboxError, *, unique: bool = True) -> bool:
    """Whether sending the request again can do no harm.

    Args:
        method: of the request.
        error: what came of it.
        unique: whether the API refuses to make a second one of what a POST makes.
    """
    match error:
        case Unreachable():
            return True
        case RateLimited() | Unavailable():
            return method != "POST" or unique
        case OutcomeUnknown():
            return method != "POST"
        case _:
            return method == "GET" and error.status in {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}


def is_lost(method: str, error: UnexpectedResponse | ServerError) -> bool:
    """Whether a change may have been made although the answer says nothing about it.

    That of a success which is only too large says enough to those who changed or deleted; a creation needs the rest.
    """
    if method == "GET" or (method != "POST" and isinstance(error, TooLarge) and error.of_success):
        return False
    status = error.status or 0
    return method == "POST" or status in {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT} or 200 <= status < 300


def after_lost(lost: OutcomeUnknown | None, error: InkboxError) -> InkboxError:
    """Say what is known when an attempt failed after one was lost: that this one changed nothing is not enough."""
    if lost is None or (isinstance(error, TooLarge) and error.of_success):
        return error
    return OutcomeUnknown(f"{lost} Another attempt failed: {error}", status=error.status, retry_after=error.retry_after)
