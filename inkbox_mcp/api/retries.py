"""Which requests are safe to repeat, and repeating them.

A request is sent at most `ATTEMPTS` times, all within the deadline of its tool call:

| result | GET | PATCH, DELETE | POST |
|---|---|---|---|
| no connection | yes | yes | yes: nothing was sent |
| 429, 503 | yes | yes | if the API refuses a second object: the first may have been made |
| lost: cut off, timed out, 502, 504 | yes | yes: idempotent | no: `inkbox_mcp.api.creation` looks first |
| unreadable success | no | yes: idempotent | no: `inkbox_mcp.api.creation` looks first |
| other 5xx, redirect | no | no | no: it may have been done |
| anything else | no | no | no |

A message with an idempotency key is repeated by `inkbox_mcp.api.sending`, as `Failures` says.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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
IN_PROGRESS, RESULT_UNAVAILABLE, REUSED = "idempotency_in_progress", "result_unavailable", "idempotency_key_reused"
"""The reasons of a 409 that is about an idempotency key."""
PAUSE_IN_PROGRESS = 0.5
"""The least seconds before the same key is tried again while the API is working on it."""
AMBIGUOUS = "send_outcome_ambiguous"
"""The reason of a 503 after which a message may have left."""
MAX_PAUSE = 1.0
"""The most seconds between two attempts, unless the API sends Retry-After."""

# This module logs retries. Stamina's own hooks would log them again, and to stdout if structlog is installed.
stamina.instrumentation.set_on_retry_hooks([])


async def repeated(call: Call, method: str, attempt: Callable[[int], Awaitable[T]], *, unique: bool = True) -> T:
    """Make a request, and repeat it where that is safe.

    Args:
        call: the tool call that the request is part of; its deadline ends the attempts.
        method: GET, POST, PATCH or DELETE.
        attempt: sends the request and reads its answer; gets the attempt's number, from 1.
        unique: whether the API refuses a second object like the one that a POST makes.

    Raises:
        InkboxError: the last attempt's, which also says what is known from earlier attempts.
    """
    try:
        # Outside of stamina: its loop takes a seventh of a call, and nearly all calls need one attempt.
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
    """The results of earlier attempts."""

    def __init__(self) -> None:
        self.lost: OutcomeUnknown | None = None
        self._refused = False

    def note(self, error: InkboxError) -> None:
        """Remember the result of an attempt, and add to its error what is known from earlier ones."""
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
    """Return the seconds until the next attempt for stamina; True means its own backoff, False gives up."""
    if not isinstance(error, InkboxError) or not may_repeat(method, error, unique=unique):
        return False
    wait = MAX_PAUSE if error.retry_after is None else error.retry_after
    if wait >= remaining:
        return False
    logger.info("%s: %s, trying again", method, error.code)
    return True if error.retry_after is None else wait


def may_repeat(method: str, error: InkboxError, *, unique: bool = True) -> bool:
    """Whether repeating the request is safe.

    Args:
        method: of the request.
        error: its result.
        unique: whether the API refuses a second object like the one that a POST makes.
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


def is_lost(method: str, error: UnexpectedResponse | ServerError | Unavailable) -> bool:
    """Whether the change may have been made although the answer does not show it.

    A 503 says that it was not, but for one whose reason is `AMBIGUOUS`. A success that is only too large shows it for
    PATCH and DELETE. For POST it does not: the new object is needed.
    """
    if method == "GET" or (method != "POST" and isinstance(error, TooLarge) and error.of_success):
        return False
    if isinstance(error, Unavailable):
        return error.reason == AMBIGUOUS
    status = error.status or 0
    return method == "POST" or status in {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT} or 200 <= status < 300


def after_lost(lost: OutcomeUnknown | None, error: InkboxError) -> InkboxError:
    """Return the error of an attempt that failed after one was lost: the lost one may still have made the change."""
    if lost is None or (isinstance(error, TooLarge) and error.of_success):
        return error
    return OutcomeUnknown(f"{lost} Another attempt failed: {error}", status=error.status, retry_after=error.retry_after)


@dataclass(slots=True)
class Failures:
    """What is known from requests under one key that failed.

    Attributes:
        last: the last error.
        lost: the last one after which the message may have left, or may still leave.
        in_doubt: whether the message may have left.
        is_known: whether the API knows the same message under the key, but not what it answered.
        count: how many there were, without those that met another request at work.
    """

    last: InkboxError | None = None
    lost: OutcomeUnknown | None = None
    in_doubt: bool = False
    is_known: bool = False
    count: int = 0

    def note(self, error: InkboxError) -> float | None:
        """Take an error, and return the seconds until the next request; None if there is to be none.

        Args:
            error: of the latest request.
        """
        reason = reason_of(error)
        if reason in {IN_PROGRESS, RESULT_UNAVAILABLE}:
            error = OutcomeUnknown(str(error), status=error.status, retry_after=error.retry_after)
        self.last, self.is_known = error, reason == RESULT_UNAVAILABLE
        if isinstance(error, OutcomeUnknown):
            self.lost = error
        self.in_doubt = self.in_doubt or isinstance(error, OutcomeUnknown | Unavailable)
        if reason == IN_PROGRESS:
            return max(error.retry_after or 0.0, PAUSE_IN_PROGRESS)
        self.count += 1
        is_temporary = isinstance(error, OutcomeUnknown | Unavailable | RateLimited | Unreachable)
        if not is_temporary or reason or self.count == ATTEMPTS:
            return None
        return 0.25 * 2 ** (self.count - 1) if error.retry_after is None else error.retry_after

    @property
    def summary(self) -> InkboxError | None:
        """What to say about them."""
        return self.last if self.last is self.lost or self.last is None else after_lost(self.lost, self.last)


def reason_of(error: InkboxError) -> str | None:
    """Return the API's name of the reason of a conflict."""
    return error.reason if isinstance(error, Conflict) else None
