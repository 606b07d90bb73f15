"""The routes for operators: health, readiness and metrics.

| path | shows |
|---|---|
| `/healthz` | that the process is alive |
| `/readyz` | whether the server accepts new calls; with `?deep=1` also whether Inkbox can be reached |
| `/metrics` | Prometheus metrics, with `--metrics` |
"""

from collections.abc import Callable
from typing import Any

import anyio
import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inkbox_mcp import __version__
from inkbox_mcp.api.network import over_the_network
from inkbox_mcp.errors import NotConfigured
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.metrics import PrometheusMetrics

ALIVE_PATH, READY_PATH, METRICS_PATH = "/healthz", "/readyz", "/metrics"
SECONDS_TO_REACH = 2.0


def health_routes(settings: Settings, drain: Drain, metrics: PrometheusMetrics | None) -> list[Route]:
    """Make the routes.

    Args:
        settings: see `inkbox_mcp.settings.options`.
        drain: knows whether the server is shutting down.
        metrics: shown by `/metrics`; None for no such path.
    """
    routes = [
        Route(ALIVE_PATH, _healthz, methods=["GET"]),
        Route(READY_PATH, _readyz(drain, settings), methods=["GET"]),
    ]
    if metrics:
        routes.append(Route(METRICS_PATH, _metrics(metrics), methods=["GET"]))
    return routes


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})


def _readyz(drain: Drain, settings: Settings) -> Callable[[Request], Any]:
    looking = anyio.Lock()
    seen: tuple[float, str] = (-1e9, "")

    async def inkbox() -> str:
        """Check whether Inkbox can be reached, at most once in five seconds."""
        nonlocal seen
        async with looking:
            if anyio.current_time() - seen[0] > 5:
                seen = (anyio.current_time(), "sandbox" if settings.sandbox else await _reach(settings.base_url))
            return seen[1]

    async def readyz(request: Request) -> Response:
        drain.watched = True
        told = {"status": "draining" if drain.begun else "ready"}
        if request.query_params.get("deep") == "1":
            told["inkbox"] = await inkbox()
        return JSONResponse(told, 503 if drain.begun else 200)

    return readyz


async def _reach(base_url: str) -> str:
    try:
        with anyio.fail_after(SECONDS_TO_REACH):
            # Only the status: the body might be large, or endless.
            async with over_the_network(base_url) as http:
                answer = await http.handle_async_request(httpx2.Request("GET", base_url))
                await answer.aclose()
                return "failing" if answer.status_code >= 500 else "reachable"
    except (httpx2.TransportError, OSError, NotConfigured):
        return "unreachable"


def _metrics(metrics: PrometheusMetrics) -> Callable[[Request], Any]:
    async def show(request: Request) -> Response:
        body, kind = await anyio.to_thread.run_sync(metrics.exposition, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": kind})

    return show
