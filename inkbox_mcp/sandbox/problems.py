"""Refusals of requests, and their answers."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, Literal

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from inkbox_mcp.sandbox.database import is_busy
from inkbox_mcp.sandbox.fields import absent


class Refusal(Exception):
    """A request that the API answers with `{"detail": …}` and this status."""

    status: int

    def __init__(self, detail: str | Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """Make a refusal with the `detail` and the headers of its answer."""
        super().__init__(detail)
        self.detail = detail
        self.headers = headers


class BadRequest(Refusal):
    """400: the field's type allows the value, its meaning does not."""

    status = 400


class Unauthorized(Refusal):
    """401: no API key, or one that is not an API key."""

    status = 401


class PaymentRequired(Refusal):
    """402: the plan does not allow this."""

    status = 402


class Forbidden(Refusal):
    """403: a valid key that may not do this."""

    status = 403


class NotFound(Refusal):
    """404: the organization has no object of this name."""

    status = 404


class Conflict(Refusal):
    """409: another object has the name or the place."""

    status = 409


class TooLarge(Refusal):
    """413: more bytes than are taken."""

    status = 413


class UnsupportedMediaType(Refusal):
    """415: a body of another type."""

    status = 415


class TooManyRequests(Refusal):
    """429: later, not now."""

    status = 429


class Unavailable(Refusal):
    """503: bad luck; the same request may succeed the next time."""

    status = 503


class Problem(BaseModel):
    """The body of all errors but 422 and a taken handle of the identity generation."""

    detail: str


class Reason(BaseModel):
    """A `detail` for programs: what went wrong, and further members that depend on it."""

    model_config = ConfigDict(extra="allow")

    error: str
    message: str = Field(default_factory=absent)


class MailProblem(BaseModel):
    """The body of the errors of mail."""

    detail: str | Reason


class HandleUnavailable(BaseModel):
    """Why a handle of the identity generation is taken: by an identity, or by a mailbox with its address."""

    code: Literal["agent_handle_unavailable"] = "agent_handle_unavailable"
    message: str
    blocking_namespace: Literal["identities", "mail"]


class HandleProblem(BaseModel):
    """The body of the error for a taken handle."""

    detail: HandleUnavailable


Responses = dict[int | str, dict[str, Any]]

_MEANINGS = {
    400: "The body cannot be read, or a value means nothing",
    402: "The mailbox is full",
    401: "The API key is missing or malformed",
    403: "Organization ID missing from token",
    404: "Not found in this organization",
    409: "The name or the place is taken",
    413: "More bytes than a message may have",
    429: "More recipients than the plan allows in 24 hours",
    503: "A collision, or a busy database; retry the request",
}


def answers(*statuses: int, model: type[BaseModel] = Problem) -> Responses:
    """Document error statuses of a route or a router."""
    return {status: {"model": model, "description": _MEANINGS[status]} for status in statuses}


async def refused(_: Request, error: Refusal) -> Response:
    """Answer a refusal with its status and its detail."""
    return JSONResponse({"detail": error.detail}, error.status, error.headers)


async def invalid(_: Request, error: RequestValidationError) -> Response:
    """Answer 422 like FastAPI, for any `input`: lone surrogates, NaN, bytes, deep nesting."""
    try:
        text = json.dumps({"detail": error.errors()}, default=_as_text)
        # JSON has neither NaN nor infinity; Python reads and writes them.
        text = json.dumps(json.loads(text, parse_constant=_as_null), separators=(",", ":"))
    except RecursionError:
        return JSONResponse({"detail": "There was an error parsing the body"}, 400)
    return Response(text, 422, media_type="application/json")


async def busy(_: Request, error: sqlite3.OperationalError) -> Response:
    """Answer 503 if another process locked the database for too long."""
    if not is_busy(error):
        raise error
    return JSONResponse({"detail": "The database is busy; retry the request"}, 503)


def _as_text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _as_null(_: str) -> None:
    return None
