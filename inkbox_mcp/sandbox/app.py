"""The sandbox as an ASGI application: its routes, its errors, its OpenAPI document."""

import sqlite3
from collections.abc import Iterable
from functools import cache
from typing import Literal

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from inkbox_mcp.sandbox import control, problems
from inkbox_mcp.sandbox.faults import FaultyAnswers
from inkbox_mcp.sandbox.mail import attachments, outside
from inkbox_mcp.sandbox.store import Store

Generation = Literal["spec", "identity"]
"""The API of the specification, or the later one, in which a mailbox is created and deleted with its identity."""


def _operation_id(route: APIRoute) -> str:
    return route.name


def _routes_of(routers: Iterable[APIRouter]) -> list[BaseRoute]:
    together = APIRouter(generate_unique_id_function=_operation_id)
    for router in routers:
        together.include_router(router)
    return together.routes


# What begins with /sandbox is not part of the API, and not in its document.
_OWN = (attachments.router, outside.router, control.router)


@cache
def _routes(generation: Generation) -> list[BaseRoute]:
    """Return the routes of a generation.

    Shared by all applications, because FastAPI needs longer to prepare them than to answer a request. The other
    generation is not loaded.
    """
    if generation == "spec":
        from inkbox_mcp.sandbox import spec_generation as chosen
    else:
        from inkbox_mcp.sandbox import identity_generation as chosen
    return _routes_of((*chosen.ROUTERS, *_OWN))


def create_app(store: Store, generation: Generation = "spec") -> FastAPI:
    """Make an ASGI application that answers like one generation of the Inkbox REST API, with the data of `store`.

    It needs no lifespan, and serves every path with and without a trailing slash. It does not close `store`.
    Applications of both generations may share one store.
    """
    app = FastAPI(
        routes=_routes(generation),
        title="Inkbox sandbox",
        version="1",
        description="The mailboxes, identities and mail of the Inkbox REST API, on this machine.",
        redirect_slashes=False,
        # Its spans would contain addresses. The server's own traces show the requests to the sandbox anyway.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.store = store
    app.exception_handler(problems.Refusal)(problems.refused)
    app.exception_handler(RequestValidationError)(problems.invalid)
    app.exception_handler(sqlite3.OperationalError)(problems.busy)
    app.add_middleware(FaultyAnswers)
    app.add_middleware(OptionalTrailingSlash)
    return app


class OptionalTrailingSlash:
    """Middleware that serves `/path/` as `/path` without a redirect, because the SDKs do not follow redirects."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, without one trailing slash."""
        if scope["type"] == "http" and scope["path"] != "/":
            scope = {**scope, "path": scope["path"].removesuffix("/")}
        await self.app(scope, receive, send)
