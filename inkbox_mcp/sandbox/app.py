"""The sandbox as an ASGI application: its routes, its errors, its OpenAPI document."""

import sqlite3

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from inkbox_mcp.sandbox import identities, mailboxes, problems, whoami
from inkbox_mcp.sandbox.refusals import Refusal
from inkbox_mcp.sandbox.store import Store


def create_app(store: Store) -> FastAPI:
    """An ASGI application that answers as the Inkbox REST API does, from and into `store`.

    It needs no lifespan, and serves every path with and without a trailing slash. It leaves `store` open: who
    opened it closes it.
    """
    app = FastAPI(
        title="Inkbox sandbox",
        version="1",
        description="The mailboxes and identities of the Inkbox REST API, on this machine.",
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.store = store
    app.include_router(mailboxes.router)
    app.include_router(identities.router)
    app.include_router(whoami.router)
    app.exception_handler(Refusal)(problems.refused)
    app.exception_handler(RequestValidationError)(problems.invalid)
    app.exception_handler(sqlite3.OperationalError)(problems.busy)
    app.add_middleware(OptionalTrailingSlash)
    return app


class OptionalTrailingSlash:
    """Middleware that serves `/path/` as `/path`, without a redirect: the SDKs follow none."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, less one trailing slash."""
        if scope["type"] == "http" and scope["path"] != "/":
            scope = {**scope, "path": scope["path"].removesuffix("/")}
        await self.app(scope, receive, send)


def _operation_id(route: APIRoute) -> str:
    return route.name
