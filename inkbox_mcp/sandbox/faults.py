"""Faults that tests ask for: refusals, lost answers, slow answers.

A fault waits in the database for the next request of its operation, so that it also meets a sandbox in another process.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

import anyio
from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkbox_mcp.sandbox.database import Database
from inkbox_mcp.sandbox.problems import Refusal

_STATE = "inkbox_fault"
_WITHOUT_BODY = {204, 205, 304}


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with the next requests of an operation.

    Attributes:
        operation: Its name in the OpenAPI document, such as `send_message`; `*` for any.
        kind: `refused` answers `status`. `lost` does what is asked for and cuts the answer off. `slow` answers after
            `seconds`.
        effect: Whether a refused request is done nevertheless.
        status: Of a refusal.
        error: The code in the `detail` of a refusal.
        retry_after: Seconds, as the header of a refusal.
        seconds: By which the answer is late, with any kind.
        times: How many requests it meets.
    """

    operation: str
    kind: Literal["refused", "lost", "slow"] = "refused"
    effect: bool = False
    status: int = 503
    error: str | None = None
    retry_after: int | None = None
    seconds: float = 0
    times: int = 1

    def refusal(self) -> Refusal:
        """Return what a refused request is answered."""
        headers = None if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        detail: Any = "A fault of the sandbox"
        if self.error is not None:
            detail = {"error": self.error, "message": detail}
        refusal = Refusal(detail, headers)
        refusal.status = self.status
        return refusal


class AnswerLost(ConnectionError):
    """Ends a request in the middle of its answer, so that the server closes the connection."""


def add_fault(connection: sqlite3.Connection, fault: Fault) -> None:
    """Let a fault wait for requests, after those that wait already."""
    connection.execute(
        "INSERT INTO faults (operation, kind, effect, status, error, retry_after, seconds, remaining)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(fault.operation, fault.kind, fault.effect, fault.status),
            *(fault.error, fault.retry_after, fault.seconds, fault.times),
        ),
    )


def clear_faults(connection: sqlite3.Connection) -> None:
    """Forget the faults that wait."""
    connection.execute("DELETE FROM faults")


def meet_fault(request: Request, database: Database) -> None:
    """Take the fault that waits for a request, if any.

    Raises:
        Refusal: The fault is a refusal without effect. Others become of the answer, in `FaultyAnswers`.
    """
    with database.reading() as connection:
        if connection.execute("SELECT 1 FROM faults LIMIT 1").fetchone() is None:
            return
    with database.transaction() as connection:
        fault = _take(connection, request.scope["route"].name)
    if fault is not None:
        request.scope["state"][_STATE] = fault
        if fault.kind == "refused" and not fault.effect:
            raise fault.refusal()


class FaultyAnswers:
    """Middleware that loses, replaces or delays the answers of requests that met a fault."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back, faulty or not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # Not shared with other requests, as the state of a lifespan is.
        state = scope["state"] = {**scope.get("state", {})}
        replaced = False

        async def answer(message: Message) -> None:
            nonlocal replaced
            fault: Fault | None = state.get(_STATE)
            if fault is None or replaced:
                if not replaced:
                    await send(message)
                return
            if message["type"] == "http.response.start":
                await anyio.sleep(fault.seconds)
                if fault.kind == "refused" and fault.effect:
                    replaced = True
                    refusal = fault.refusal()
                    response = JSONResponse({"detail": refusal.detail}, refusal.status, refusal.headers)
                    await response(scope, receive, send)
                    return
                if fault.kind == "lost":
                    await send(_unfinished(message))
                    raise AnswerLost
            await send(message)

        await self.app(scope, receive, answer)


def _unfinished(start: Message) -> Message:
    """Return the start of an answer that has a body, because one without a body is whole with its start."""
    headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    status = 200 if start["status"] in _WITHOUT_BODY else start["status"]
    lengths = [int(value) for name, value in start["headers"] if name.lower() == b"content-length"]
    length = b"%d" % max([1, *lengths])
    return {**start, "status": status, "headers": [*headers, (b"content-length", length)]}


def _take(connection: sqlite3.Connection, operation: str) -> Fault | None:
    row = connection.execute(
        "SELECT * FROM faults WHERE operation IN (?, '*') ORDER BY id LIMIT 1", (operation,)
    ).fetchone()
    if row is None:
        return None
    connection.execute("UPDATE faults SET remaining = remaining - 1 WHERE id = ?", (row["id"],))
    connection.execute("DELETE FROM faults WHERE remaining <= 0")
    shown = {name: value for name, value in row.items() if name not in {"id", "remaining", "effect"}}
    return Fault(**shown, effect=bool(row["effect"]))
