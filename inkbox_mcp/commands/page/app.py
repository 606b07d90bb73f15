"""The routes of the page, in front of those of the sandbox."""

import logging
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from inkbox_mcp.commands.page import messages, writing
from inkbox_mcp.commands.page.changes import Changes
from inkbox_mcp.commands.page.guards import HEADERS_OF_MAIL, only_own, problem, with_headers
from inkbox_mcp.commands.page.overview import overview
from inkbox_mcp.commands.page.reading import Item, Reader
from inkbox_mcp.commands.page.shown import AgentsView
from inkbox_mcp.http.hosts import Hosts
from inkbox_mcp.sandbox import Store
from inkbox_mcp.sandbox.database import is_busy
from inkbox_mcp.sandbox.mail.cursors import Cursor
from inkbox_mcp.settings.options import Settings

logger = logging.getLogger(__name__)

MOST_ROWS = 200
"""Rows of a page of messages, at most; half of them if no other number is asked for."""
SECONDS_TO_SEND = 20.0
"""Seconds for the body of a form."""

_FAULTS_OF_FILES = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
}
"""Whose message helps the person who looks; other errors are ours."""
_STATIC = Path(__file__).parent / "static"
_CURSOR: TypeAdapter[Any] = TypeAdapter(Cursor)
_DETAILS = {
    "Not Found": "The page has nothing of this name.",
    "Method Not Allowed": "This can only be read.",
}
"""In place of Starlette's own, which are no sentences."""

Endpoint = Callable[[Request], Awaitable[Response]]


def create_page(store: Store, settings: Settings, api: ASGIApp) -> ASGIApp:
    """Make an ASGI application that answers `/` and what begins with `/page/`, and passes on all else.

    Args:
        store: whose database is shown. Processes may share its file.
        settings: of the sandbox: its generation, and the names of its host.
        api: the sandbox.
    """
    handlers: dict[Any, Any] = {HTTPException: _refused, sqlite3.Error: _failed}
    page = Starlette(routes=_Routes(store, settings).routes(), exception_handlers=handlers)
    page.router.redirect_slashes = False
    guarded = with_headers(Hosts(only_own(page), settings, refuse=problem))
    # Everybody knows a key that works: a web page whose name leads to this machine could read mail with it.
    beside = Hosts(api, settings, refuse=problem)

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and (scope["path"] == "/" or scope["path"].startswith("/page/"))
        await (guarded if is_page else beside)(scope, receive, send)

    return dispatch


class _Routes:
    """Answers the requests of the page."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        database = settings.sandbox_db
        file = None if database == ":memory:" else Path(database).expanduser().absolute()
        self._sandbox: Item = {"generation": settings.sandbox_generation, "database": file and str(file)}
        self._reader = Reader(store, file)
        self._agents = AgentsView(settings)

    def routes(self) -> list[Route]:
        """Return the routes."""
        message = "/page/messages/{message_id:uuid}"
        return [
            Route("/", _file("page.html", "text/html")),
            Route("/page/page.css", _file("page.css", "text/css")),
            *(Route(f"/page/{script.name}", _file(script.name, "text/javascript")) for script in _STATIC.glob("*.js")),
            Route("/page/state", self._state),
            Route("/page/mailboxes/{mailbox_id:uuid}/messages", self._messages),
            Route("/page/threads/{thread_id:uuid}", self._thread),
            Route("/page/messages", self._deliver, methods=["POST"]),
            Route(message, self._message),
            Route(f"{message}/html", self._html),
            Route(f"{message}/source", self._source),
            Route("/page/events", Changes(self._reader), methods=["GET"]),
        ]

    async def _state(self, _: Request) -> Response:
        is_replaced = await self._reader.is_replaced()
        return _json({**self._sandbox, "is_replaced": is_replaced, **await self._reader.read(overview)})

    async def _messages(self, request: Request) -> Response:
        limit, cursor = _limit(request), _cursor(request)
        mailbox_id = str(request.path_params["mailbox_id"])
        return _json(await self._reader.read(messages.list_messages, mailbox_id, limit, cursor))

    async def _thread(self, request: Request) -> Response:
        return _json(await self._reader.read(messages.list_thread, str(request.path_params["thread_id"])))

    async def _message(self, request: Request) -> Response:
        message_id = _message_id(request)
        message, detail = await self._reader.read(self._look, message_id)
        return _json({**message, "shown": await self._agents.show(message_id, *detail)})

    def _look(self, connection: sqlite3.Connection, message_id: str) -> tuple[Item, tuple[str, bytes]]:
        """Read both from one snapshot, so that they agree."""
        message = messages.get_message(connection, message_id)
        return message, self._agents.read(connection, message_id)

    async def _html(self, request: Request) -> Response:
        html = await self._reader.read(messages.get_html, _message_id(request))
        if not html:
            raise HTTPException(404, "This message has no HTML.")
        return Response(html, headers=HEADERS_OF_MAIL, media_type="text/html")

    async def _source(self, request: Request) -> Response:
        source = await self._reader.read(messages.get_source, _message_id(request))
        return Response(source, media_type="text/plain")

    async def _deliver(self, request: Request) -> Response:
        if not request.headers.get("origin"):
            raise HTTPException(403, "This request must come from the page itself, and name its Origin.")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "Send application/json.")
        body = await _body(request)
        return _json(await anyio.to_thread.run_sync(writing.deliver, self._store, body), 201)


def _file(name: str, kind: str) -> Endpoint:
    async def answer(_: Request) -> Response:
        return Response(await anyio.Path(_STATIC / name).read_bytes(), media_type=kind)

    return answer


def _json(data: Item, status: int = 200) -> Response:
    return JSONResponse(data, status)


def _message_id(request: Request) -> str:
    return str(request.path_params["message_id"])


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(MOST_ROWS // 2))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_ROWS):
        raise HTTPException(422, f"limit must be a number from 1 to {MOST_ROWS}.")
    return int(text)


def _cursor(request: Request) -> tuple[int, str] | None:
    text = request.query_params.get("cursor")
    try:
        return _CURSOR.validate_python(text) if text else None
    except ValidationError:
        raise HTTPException(422, "cursor must be the next_cursor of the page before.") from None


async def _body(request: Request) -> bytes:
    """Read a form, of limited size and in limited time."""
    body = bytearray()
    try:
        with anyio.fail_after(SECONDS_TO_SEND):
            async for chunk in request.stream():
                body += chunk
                if len(body) > writing.MAX_FORM:
                    raise HTTPException(413, f"A message may have {writing.MAX_FORM:,} bytes here.")
    except TimeoutError:
        raise HTTPException(408, "The message did not come in time.", {"Connection": "close"}) from None
    return bytes(body)


async def _refused(_: Request, error: HTTPException) -> Response:
    return problem(_DETAILS.get(error.detail, error.detail), error.status_code, error.headers)


async def _failed(_: Request, error: sqlite3.Error) -> Response:
    """Answer 503 if another process locked the database for too long, or say what is wrong with the file or disk."""
    if isinstance(error, sqlite3.OperationalError) and is_busy(error):
        return problem("The database is busy; try again.", 503)
    if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in _FAULTS_OF_FILES:
        raise error
    logger.error("The sandbox's database cannot be used: %s", error)
    return problem(f"The sandbox's database cannot be used: {error}.", 500)
