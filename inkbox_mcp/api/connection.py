"""The HTTP connection to one Inkbox API, shared by all keys: pool, concurrency limit, deadlines, transport errors."""

import json
import re
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from time import perf_counter
from typing import Any

import anyio
import httpx2
from pydantic import SecretStr

from inkbox_mcp import __version__
from inkbox_mcp.api.bodies import read_body
from inkbox_mcp.api.call_log import MadeCall
from inkbox_mcp.api.downloads import Downloads
from inkbox_mcp.api.embedded import SandboxTransport
from inkbox_mcp.api.paths import Path
from inkbox_mcp.api.responses import Received, http_date
from inkbox_mcp.calls import Call
from inkbox_mcp.errors import OutcomeUnknown, Unreachable, status_line
from inkbox_mcp.telemetry.metrics import Metrics
from inkbox_mcp.telemetry.tracing import Exchange, client_span
from inkbox_mcp.text import one_line

MAX_RESPONSE_BYTES = 10 * 1024 * 1024
CONNECT_SECONDS = 5.0

_HEADERS = {
    "User-Agent": f"inkbox-mcp/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
}
_url = lru_cache(maxsize=1024)(httpx2.URL)

TransportFactory = Callable[[], httpx2.AsyncBaseTransport]


class Connection:
    """A connection to one Inkbox API, opened by the first request.

    It stores no keys and no answers; only URLs are cached. It uses HTTPX2's transport without HTTPX2's client, because
    the client spends a fifth of a request on features that are not used here: cookies, redirects, authentication.

    Attributes:
        turns: limits the requests under way at once; see `turn`.
        downloads: files outside of the API.

    Args:
        base_url: such as `https://inkbox.ai`, without a slash at its end.
        concurrency: the most requests under way at once.
        transport: makes the transport, for the in-process sandbox and for tests; None for the network.
        metrics: counts requests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        concurrency: int,
        transport: TransportFactory | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._base_url = base_url
        self._transport = transport
        self.turns = anyio.CapacityLimiter(concurrency)
        self.downloads = Downloads(base_url, self._open, self._metrics)
        self._opened: httpx2.AsyncBaseTransport | None = None

    async def aclose(self) -> None:
        """Close the transport, within a second."""
        opened, self._opened = self._opened, None
        if opened is not None:
            with anyio.move_on_after(1, shield=True):
                await opened.aclose()

    def keep(self, call: MadeCall) -> None:
        """Let an embedded sandbox keep a call; see `SandboxTransport.keep`."""
        transport = self._open()
        if isinstance(transport, SandboxTransport):
            transport.keep(call)

    async def exchange(
        self,
        call: Call,
        key: SecretStr,
        method: str,
        path: Path,
        body: Mapping[str, Any] | None,
        attempt: int,
        headers: Mapping[str, str] | None = None,
    ) -> Received:
        """Send one request and return the answer as it came.

        Args:
            call: the tool call that the request is part of.
            key: sent as `X-API-Key`, and removed from the answer.
            method: GET, POST, PATCH or DELETE.
            path: below the base URL.
            body: sent as JSON.
            attempt: which attempt this is, from 1.
            headers: of this request alone.

        Raises:
            UnexpectedResponse: the answer cannot be decompressed, or is too large.
            Unreachable: no answer came, and nothing can have changed.
            OutcomeUnknown: no answer came, and the change may have been made.
        """
        transport = self._open()
        try:
            # After a lost POST, a lookup needs time too.
            remaining = max(call.remaining * (0.6 if method == "POST" else 1), 0.001)
            # Connecting must time out before the call does: only then is it certain that nothing was sent. All else may
            # take as long as the call, and timers of its own would only cost time.
            timeout = httpx2.Timeout(None, connect=min(CONNECT_SECONDS, remaining * 0.9))
            with self._observed(method, path, attempt) as exchange, anyio.fail_after(remaining):
                # The default, ASCII alone, is five times as fast, and attachments are large.
                content = None if body is None else json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
                kind = {} if body is None else {"Content-Type": "application/json"}
                own = {"X-API-Key": key.get_secret_value(), "X-Request-ID": call.request_id}
                request = httpx2.Request(
                    method,
                    _url(self._base_url + path),
                    content=content,
                    headers={**_HEADERS, **kind, **own, **exchange.headers, **(headers or {})},
                    extensions={"timeout": timeout.as_dict()},
                )
                response = await transport.handle_async_request(request)
                try:
                    exchange.answered(response.status_code)
                    call.answered(response.status_code, http_date(response.headers.get("date")))
                    content = await read_body(response, MAX_RESPONSE_BYTES)
                finally:
                    await response.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:  # nothing was sent
            raise Unreachable(f"could not connect to Inkbox ({_reason(error)}).") from error
        except (httpx2.TransportError, OSError) as error:  # OSError: TLS errors after the handshake
            if method == "GET":
                raise Unreachable(f"Inkbox did not answer ({_reason(error)}).") from error
            raise OutcomeUnknown(f"the request was sent, but no answer came back ({_reason(error)}).") from error
        # Some servers and proxies repeat the request in their errors.
        content = content.replace(key.get_secret_value().encode(), b"[API key]")
        return Received(response.status_code, response.headers, content)

    @contextmanager
    def _observed(self, method: str, path: Path, attempt: int) -> Generator[Exchange]:
        """Trace a request and measure it."""
        operation, started = f"{method} {path.template}", perf_counter()
        if attempt > 1:
            self._metrics.request_retried(operation)
        with client_span(method, self._base_url, path.template, attempt - 1) as exchange:
            try:
                yield exchange
            finally:
                self._metrics.request_ended(operation, exchange.status, perf_counter() - started)

    def _open(self) -> httpx2.AsyncBaseTransport:
        if self._opened is None:
            self._opened = (self._transport or self._over_the_network)()
        return self._opened

    def _over_the_network(self) -> httpx2.AsyncBaseTransport:
        from inkbox_mcp.api.network import over_the_network  # slow to import, and only the first request needs it

        return over_the_network(self._base_url)


@contextmanager
def in_time(call: Call, obstacle: str) -> Generator[None]:
    """Limit a wait inside this process to the call's deadline.

    Raises:
        Unreachable: the deadline passed; the message names the obstacle.
    """
    try:
        with anyio.fail_after(call.remaining):
            yield
    except TimeoutError:
        raise Unreachable(f"{obstacle} for {call.timeout:g} seconds, so nothing was sent.") from None


@asynccontextmanager
async def turn(call: Call, turns: anyio.CapacityLimiter | None) -> AsyncGenerator[None]:
    """Take one of a limited number of turns; wait for it until the call's deadline. None means no limit.

    Raises:
        Unreachable: the deadline passed.
    """
    if turns is None:
        yield
        return
    try:
        turns.acquire_nowait()
    except anyio.WouldBlock:
        with in_time(call, "other calls held every connection"):
            await turns.acquire()
    try:
        yield
    finally:
        turns.release()


def _reason(error: Exception) -> str:
    # After a colon the library quotes what it received instead of HTTP, which may repeat the key.
    text = str(error).partition(": ")[0] if isinstance(error, httpx2.ProtocolError) else str(error)
    if isinstance(error, httpx2.ProxyError) and (refused := re.match(r"[0-9]{3}(?= |$)", text)):
        return status_line(int(refused[0]))  # our own words: the text after the status is the proxy's
    return one_line(text)[:200] or type(error).__name__
