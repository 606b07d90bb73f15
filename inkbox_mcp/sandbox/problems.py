"""Why a request is refused, and how that looks on the wire."""

import json
import sqlite3
from typing import Any, ClassVar, Literal

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from inkbox_mcp.sandbox.database import is_busy


class Refusal(Exception):
    """A request that the API answers with `{"detail": …}` and this status."""

    status: ClassVar[int]

    def __init__(self, detail: str | dict[str, str]) -> None:
        """Keep what the answer carries."""
        super().__init__(detail)
        self.detail = detail


class BadRequest(Refusal):
    """400: a value that the field's type allows and its meaning does not."""

    status = 400


class Unauthorized(Refusal):
    """401: no API key, or one that is not an API key."""

    status = 401


class Forbidden(Refusal):
    """403: a valid key that may not do this."""

    status = 403


class NotFound(Refusal):
    """404: nothing by that name in this organisation."""

    status = 404


class Conflict(Refusal):
    """409: something else already has the name or the place."""

    status = 409


class Unavailable(Refusal):
    """503: bad luck; the same request may work the next time."""

    status = 503


class Problem(BaseModel):
    """Every error but a 422 and a taken handle of the identity generation."""

    detail: str


class HandleUnavailable(BaseModel):
    """Why nobody can have a handle of the identity generation: an identity has it, or a mailbox its address."""

    code: Literal["agent_handle_unavailable"] = "agent_handle_unavailable"
    message: str
    blocking_namespace: Literal["identities", "mail"]


class HandleProblem(BaseModel):
    """A handle that cannot be had."""

    detail: HandleUnavailable


Responses = dict[int | str, dict[str, Any]]

_MEANINGS = {
    400: "The body cannot be read, or a value means nothing",
    401: "The API key is missing or malformed",
    403: "Organization ID missing from token",
    404: "Not found in this organization",
    409: "The name or the place is taken",
    503: "A collision, or a busy database; retry the request",
}


def answers(*statuses: int, model: type[BaseModel] = Problem) -> Responses:
    """Document error statuses of a route or a router."""
    return {status: {"model": model, "description": _MEANINGS[status]} for status in statuses}


async def refused(_: Request, error: Refusal) -> Response:
    """Answer a refusal with its status and its detail."""
    return JSONResponse({"detail": error.detail}, error.status)


async def invalid(_: Request, error: RequestValidationError) -> Response:
    """Answer 422 as FastAPI does, and survive any `input`: lone surrogates, NaN, bytes, great depth."""
    try:
        text = json.dumps({"detail": error.errors()}, default=_as_text)
        # JSON has no NaN and no infinity, though Python reads and writes them.
        text = json.dumps(json.loads(text, parse_constant=_as_null), separators=(",", ":"))
    except RecursionError:
        return JSONResponse({"detail": "There was an error parsing the body"}, 400)
    return Response(text, 422, media_type="application/json")


async def busy(_: Request, error: sqlite3.OperationalError) -> Response:
    """Answer 503 when another process holds the database for too long."""
    if not is_busy(error):
        raise error
    return JSONResponse({"detail": "The database is busy; retry the request"}, 503)


def _as_text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _as_null(_: str) -> None:
    return None
