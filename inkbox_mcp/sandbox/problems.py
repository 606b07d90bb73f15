"""How errors look on the wire."""

import json
import sqlite3
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from inkbox_mcp.sandbox.database import is_busy
from inkbox_mcp.sandbox.records import Problem
from inkbox_mcp.sandbox.refusals import Refusal

Responses = dict[int | str, dict[str, Any]]

_MEANINGS = {
    400: "The body cannot be read, or a value means nothing",
    401: "The API key is missing or malformed",
    403: "Organization ID missing from token",
    404: "Not found in this organization",
    409: "The name or the place is taken",
    503: "A collision, or a busy database; retry the request",
}


def answers(*statuses: int) -> Responses:
    """Document error statuses of a route or a router."""
    return {status: {"model": Problem, "description": _MEANINGS[status]} for status in statuses}


async def refused(_: Request, error: Refusal) -> Response:
    """Answer a refusal with its status and its sentence."""
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
