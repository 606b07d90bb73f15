"""Fetches files from signed URLs, which the API names and which are mostly on other servers than the API's.

A signed URL is a secret for as long as it is valid, so nothing here repeats it. The API may be deceived, or may not be
Inkbox, so the URL may lead anywhere: this server's own network must not answer.
"""

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from time import perf_counter
from typing import NamedTuple

import anyio
import httpx2

from inkbox_mcp import __version__
from inkbox_mcp.api.bodies import read_body
from inkbox_mcp.api.public_hosts import require_public
from inkbox_mcp.calls import Call
from inkbox_mcp.errors import NotFetched, TooLarge, Unreachable, status_line
from inkbox_mcp.telemetry.metrics import Metrics
from inkbox_mcp.telemetry.tracing import client_span

MAX_FILE_BYTES = 26 * 1024 * 1024
"""The most bytes of a file; a message has at most 25 MB of attachments."""
MOST_AT_ONCE = 8
"""Files that are fetched at once, by all keys together."""

_CONNECT_SECONDS = 5.0
_OPERATION = "GET signed URL"
_URL = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,8192}")
_PORTS = {"http": 80, "https": 443}
_HEADERS = {"User-Agent": f"inkbox-mcp/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
_OUT_OF_REACH = "If it keeps failing, tell the user that this server cannot reach the place of the file."
_NO_FILE = {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE}

Open = Callable[[], httpx2.AsyncBaseTransport]
Storage = Callable[[str], httpx2.AsyncBaseTransport]
"""Opens a transport to the public server at an origin, such as `https://files.example`."""


class Fetched(NamedTuple):
    """A file.

    Attributes:
        content: of the file.
        content_type: as the server or, before it, the file's sender wrote it; empty if it is not known.
    """

    content: bytes
    content_type: str


def over_the_internet(origin: str) -> httpx2.AsyncBaseTransport:
    """Open a transport for one file, which connects to public addresses only, or goes through the proxy."""
    from inkbox_mcp.api.network import over_the_network  # slow to import, and few calls need it

    return over_the_network(origin, public=True)


class Downloads:
    """Fetches files, without a key and without following redirects.

    A URL must be https, and its host public by its name and by all addresses that it leads to. Where a proxy connects,
    the proxy looks up the addresses, so there only the name is checked. The API's own origin needs neither.

    Attributes:
        turns: limits the files under way at once.

    Args:
        base_url: of the API.
        api: opens the transport to the API.
        metrics: counts requests.
        storage: opens a transport to another server.
    """

    def __init__(self, base_url: str, api: Open, metrics: Metrics, storage: Storage = over_the_internet) -> None:
        self.turns = anyio.CapacityLimiter(MOST_AT_ONCE)
        self._origin = _origin(httpx2.URL(base_url))
        self._api = api
        self._metrics = metrics
        self._storage = storage

    async def fetch(self, call: Call, url: str, attempt: int) -> Fetched:
        """Fetch a file; see `InkboxAPI.fetch`.

        Args:
            call: the tool call that the request is part of.
            url: the signed URL.
            attempt: which attempt this is, from 1.
        """
        target = self._target(url)
        remaining = max(call.remaining, 0.001)
        try:
            with anyio.fail_after(remaining):
                async with self._sent(target, remaining, attempt) as response:
                    return await _read(response)
        except TimeoutError:
            late = Unreachable(f"the file did not come within {call.timeout:g} seconds.")
            raise late.advised(_OUT_OF_REACH) from None
        # Only the kind of an error: its text may repeat the URL, or what the server wrote.
        except (httpx2.TransportError, OSError) as error:
            failed = Unreachable(f"the file could not be fetched ({type(error).__name__}).")
            raise failed.advised(_OUT_OF_REACH) from None

    def _target(self, url: str) -> httpx2.URL:
        """Check a URL.

        Raises:
            NotFetched: the URL is refused.
        """
        try:
            target = httpx2.URL(url) if _URL.fullmatch(url) else None
        except (ValueError, httpx2.InvalidURL):
            target = None
        if target is None:
            raise NotFetched("it is no URL that can be read in one way only")
        if target.port is not None and not 1 <= target.port <= 65535:
            raise NotFetched("its port is none")
        if target.userinfo:
            raise NotFetched("it has a user name")
        if _origin(target) == self._origin:
            return target
        if target.scheme != "https":
            raise NotFetched("it is not https")
        try:
            require_public(f"[{target.host}]" if ":" in target.host else target.host.lower().removesuffix("."))
        except ValueError:
            raise NotFetched("its host is not on the public internet") from None
        return target

    @asynccontextmanager
    async def _sent(self, target: httpx2.URL, remaining: float, attempt: int) -> AsyncGenerator[httpx2.Response]:
        """Send the request; trace it without the URL, and measure it."""
        if attempt > 1:
            self._metrics.request_retried(_OPERATION)
        started, scheme_and_host = perf_counter(), _written(target)
        timeout = httpx2.Timeout(None, connect=min(_CONNECT_SECONDS, remaining * 0.9))
        request = httpx2.Request("GET", target, headers=_HEADERS, extensions={"timeout": timeout.as_dict()})
        with client_span("GET", scheme_and_host, "/{}", attempt - 1) as exchange:
            try:
                async with self._transport(target) as transport:
                    response = await transport.handle_async_request(request)
                    try:
                        exchange.answered(response.status_code)
                        yield response
                    finally:
                        await response.aclose()
            finally:
                self._metrics.request_ended(_OPERATION, exchange.status, perf_counter() - started)

    @asynccontextmanager
    async def _transport(self, target: httpx2.URL) -> AsyncGenerator[httpx2.AsyncBaseTransport]:
        if _origin(target) == self._origin:
            yield self._api()
            return
        transport = self._storage(_written(target))
        try:
            yield transport
        finally:
            with anyio.move_on_after(1, shield=True):
                await transport.aclose()


async def _read(response: httpx2.Response) -> Fetched:
    """Read a file.

    Raises:
        NotFetched: there is none, or the answer leads elsewhere.
        Unreachable: the server has a fault.
        TooLarge: it is larger than `MAX_FILE_BYTES`.
    """
    status = response.status_code
    if status in _NO_FILE:
        raise NotFetched(f"there is no file ({status_line(status)}); it may have expired", status=status).advised(
            "Call again once, for a new URL; then tell the user."
        )
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise NotFetched(f"its server answered with a redirect ({status}), which is not followed", status=status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        failed = Unreachable(f"the server that has the file answered {status_line(status)}.", status=status)
        raise failed.advised(_OUT_OF_REACH)
    if status != HTTPStatus.OK:
        raise NotFetched(f"its server answered {status_line(status)}", status=status)
    try:
        content = await read_body(response, MAX_FILE_BYTES)
    except TooLarge as error:
        raise error.advised(NotFetched.advice) from None
    return Fetched(content, response.headers.get("content-type", "")[:200])


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host.lower(), url.port or _PORTS.get(url.scheme)


def _written(url: httpx2.URL) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}:{url.port}" if url.port else f"{url.scheme}://{host}"
