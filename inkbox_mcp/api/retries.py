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
from http import HTTPStatus

import stamina

from inkbox_mcp.errors import (
    InkboxError,
    OutcomeUnknown,
    RateLimited,
    ServerError,
    Unavailable,
    UnexpectedResponse,
    Unreachable,
)

logger = logging.getLogger(__name__)

ATTEMPTS = 3
MAX_PAUSE = 1.0
"""Seconds between two attempts, at most, unless the API says when to come back."""

# Retries are logged here, once; stamina's own hooks would log them again, or to stdout where structlog is installed.
stamina.instrumentation.set_on_retry_hooks([])


def pause(method: str, error: Exception, remaining: float, *, unique: bool = True) -> float | bool:
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
    """Whether a change may have been made although the answer says nothing about it."""
    if method == "GET":
        return False
    status = error.status or 0
    return method == "POST" or status in {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT} or 200 <= status < 300


def after_lost(lost: OutcomeUnknown | None, error: InkboxError) -> InkboxError:
    """Say what is known when an attempt failed after one was lost: that this one changed nothing is not enough."""
    if lost is None:
        return error
    return OutcomeUnknown(f"{lost} Another attempt failed: {error}", status=error.status, retry_after=error.retry_after)
