"""The Inkbox REST API: the only file that speaks HTTP to it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote
from weakref import WeakValueDictionary

import anyio
import httpx2
import stamina
from pydantic import BaseModel, SecretStr

from inkbox_mcp import __version__
from inkbox_mcp.creation import Creations
from inkbox_mcp.errors import (
    APIError,
    InkboxError,
    NotConfigured,
    NotFound,
    OutcomeUnknown,
    ServerError,
    UnexpectedResponse,
    Unreachable,
)
from inkbox_mcp.generations import Generation, generation_of
from inkbox_mcp.responses import http_date, interpret, parse
from inkbox_mcp.retries import ATTEMPTS, MAX_PAUSE, after_lost, is_lost, pause
from inkbox_mcp.text import one_line

MAILBOXES = "/api/v1/mail/mailboxes"
IDENTITIES = "/api/v1/identities"
WEBHOOKS = "/api/v1/webhooks/subscriptions"
WHOAMI = "/api/whoami"

MAX_RESPONSE_BYTES = 10 * 1024 * 1024
CONNECT_SECONDS = 5.0


M = TypeVar("M", bound=BaseModel)


@dataclass
class Call:
    """One tool call, as far as the API is concerned.

    Attributes:
        timeout: seconds that it may take.
        status: the HTTP status of the latest answer.
        server_time: the API's clock at the latest answer.
    """

    timeout: float
    status: int | None = None
    server_time: datetime | None = None

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Give the call its whole time again, after a human took some of it."""
        self._deadline = anyio.current_time() + self.timeout

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - anyio.current_time()


_current_call: ContextVar[Call] = ContextVar("current_call")


def path(resource: str, *segments: str) -> str:
    """Join a resource's path and the names below it; a name can never leave its segment."""
    return "/".join([resource, *(quote(segment, safe="") for segment in segments)])


class InkboxAPI:
    """The API as one organisation's key sees it; every method raises `InkboxError`.

    Connections are pooled and made on first use, so that a server which is only asked for its tools opens none.

    Args:
        base_url: such as `https://inkbox.ai`, without a path.
        api_key: the organisation's key; without one every call raises `NotConfigured`.
        timeout: seconds that one tool call may take, its retries included.
        concurrency: requests under way at once; others wait their turn.
        transport: makes another way to send requests than over the network: the in-process sandbox, or a test's.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr | None,
        *,
        timeout: float,
        concurrency: int,
        transport: Callable[[], httpx2.AsyncBaseTransport] | None = None,
    ) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._timeout = timeout
        self._transport = transport
        self._turns = anyio.CapacityLimiter(concurrency)
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._creations = Creations()
        self._client: httpx2.AsyncClient | None = None
        self.known_generation: Generation | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            with anyio.move_on_after(1, shield=True):
                await self._client.aclose()

    @contextmanager
    def call(self) -> Generator[Call]:
        """Begin a tool call: what is sent within shares one deadline."""
        call = Call(self._timeout)
        token = _current_call.set(call)
        try:
            yield call
        finally:
            _current_call.reset(token)

    @asynccontextmanager
    async def alone(self, *names: str) -> AsyncGenerator[None]:
        """Keep other calls that change the same things waiting: what a lost answer did is looked up undisturbed."""
        async with AsyncExitStack() as stack:
            with self._in_time("another call was still changing the same mailbox"):
                for name in sorted(set(names)):  # an address is often named like its handle
                    await stack.enter_async_context(self._locks.setdefault(name, anyio.Lock()))
            yield

    async def get(self, path: str, model: type[M]) -> M:
        """GET one object."""
        return cast("M", await self._send("GET", path, model=model))

    async def get_list(self, path: str) -> list[dict[str, Any]]:
        """GET a bare array of objects, unvalidated: the caller validates those that it returns."""
        items = await self._send("GET", path)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in cast("list[object]", items)):
            raise UnexpectedResponse("Inkbox answered something other than a list of objects.", status=HTTPStatus.OK)
        return cast("list[dict[str, Any]]", items)

    async def post(self, path: str, body: Mapping[str, Any], model: type[M]) -> M:
        """POST a body; a lost answer is not followed up, see `create`."""
        return cast("M", await self._send("POST", path, body, model))

    async def patch(self, path: str, body: Mapping[str, Any], model: type[M]) -> M:
        """PATCH the supplied fields and return the changed object."""
        return cast("M", await self._send("PATCH", path, body, model))

    async def delete(self, path: str) -> None:
        """DELETE one object; a 404 after an attempt whose answer was lost means that it worked."""
        await self._send("DELETE", path)

    async def create(
        self, path: str, body: Mapping[str, Any], model: type[M], find: Callable[[], Awaitable[M | None]]
    ) -> M:
        """POST a body and return the object the API made of it, made once even when answers are lost.

        Args:
            path: the resource.
            body: the object to make.
            model: what the API answers.
            find: looks for an object as a lost request would have made it, see `inkbox_mcp.creation`.
        """
        call = _current_call.get()

        async def send() -> M:
            return cast("M", await self._send("POST", path, body, model))

        return await self._creations.create(send, find, lambda: call.server_time)

    async def generation(self, *, again: bool = False) -> Generation:
        """Return the generation of the API that this key's organisation is on, found out once.

        Args:
            again: look even if it is known, because the API did not do as expected: organisations move.
        """
        if again or self.known_generation is None:
            self.known_generation = generation_of(await self._send("GET", IDENTITIES)) or await self._probe()
        return self.known_generation

    async def _probe(self) -> Generation:
        """Ask for what only one generation has; any answer but "no such thing" means that it is there."""
        try:
            await self._send("GET", WEBHOOKS)
        except APIError as error:
            if error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
                return "spec"
            if error.status not in {HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY}:
                raise
        return "identity"

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, model: type[BaseModel] | None = None
    ) -> object:
        """Send a request, again where that is harmless, and interpret its answer."""
        call = _current_call.get()
        lost: OutcomeUnknown | None = None
        try:
            async for attempt in stamina.retry_context(
                lambda error: pause(method, error, call.remaining),
                ATTEMPTS,
                None,
                wait_initial=0.2,
                wait_max=MAX_PAUSE,
                wait_jitter=0.3,
            ):
                with attempt:
                    try:
                        return await self._attempt(method, path, body, model, call)
                    except OutcomeUnknown as error:
                        lost = error
                        raise
                    except NotFound:
                        if lost and method == "DELETE":
                            return None
                        raise
        except (OutcomeUnknown, NotFound):
            raise
        except InkboxError as error:
            raise after_lost(lost, error) from None
        raise AssertionError("unreachable")

    async def _attempt(
        self, method: str, path: str, body: Mapping[str, Any] | None, model: type[BaseModel] | None, call: Call
    ) -> object:
        client = self._open()
        with self._in_time("other calls took every connection"):
            await self._turns.acquire()
        try:
            # A lost POST is looked up before it is repeated, which needs time too.
            remaining = max(call.remaining * (0.6 if method == "POST" else 1), 0.001)
            # Whether anything was sent is known only when connecting times out before the call does.
            timeout = httpx2.Timeout(remaining, connect=min(CONNECT_SECONDS, remaining * 0.9))
            with anyio.fail_after(remaining):
                async with client.stream(method, path, json=body, timeout=timeout) as response:
                    call.status = response.status_code
                    call.server_time = http_date(response.headers.get("date"))
                    content = self._without_key(await _read(response))
                    headers = [(name, self._without_key(value)) for name, value in response.headers.raw]
                    data = interpret(response.status_code, httpx2.Headers(headers), content)
            if self.known_generation is None and path.startswith((MAILBOXES, IDENTITIES)):
                self.known_generation = generation_of(data)
            return parse(data, model) if model else data
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol) as error:
            raise Unreachable(f"could not connect to Inkbox ({_reason(error)}).") from error
        except (httpx2.TransportError, httpx2.DecodingError, TimeoutError) as error:
            if method == "GET":
                raise Unreachable(f"Inkbox did not answer ({_reason(error)}).") from error
            raise OutcomeUnknown(f"the request was sent, but no answer came back ({_reason(error)}).") from error
        except (UnexpectedResponse, ServerError) as error:
            if method == "GET" or not is_lost(error):
                raise
            raise OutcomeUnknown(str(error), status=error.status) from error
        finally:
            self._turns.release()

    def _without_key(self, content: bytes) -> bytes:
        """Take our key out of an answer: servers and proxies that repeat requests in their errors exist."""
        return content.replace(self._api_key.get_secret_value().encode(), b"[API key]") if self._api_key else content

    @contextmanager
    def _in_time(self, obstacle: str) -> Generator[None]:
        """Wait for something of our own until the call's deadline."""
        try:
            with anyio.fail_after(_current_call.get().remaining):
                yield
        except TimeoutError:
            raise Unreachable(f"{obstacle} for {self._timeout:g} seconds, and nothing was sent.") from None

    def _open(self) -> httpx2.AsyncClient:
        if self._api_key is None:
            raise NotConfigured
        if self._client is None:
            self._client = httpx2.AsyncClient(
                base_url=self._base_url,
                headers={
                    "X-API-Key": self._api_key.get_secret_value(),
                    "User-Agent": f"inkbox-mcp/{__version__}",
                    "Accept": "application/json",
                },
                follow_redirects=False,
                # Every request scans the idle connections, so only a few are kept.
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=8),
                transport=self._transport() if self._transport else None,
            )
        return self._client


async def _read(response: httpx2.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise UnexpectedResponse(
                f"the answer is larger than {MAX_RESPONSE_BYTES // 1024**2} MB.", status=response.status_code
            )
    return bytes(content)


def _reason(error: Exception) -> str:
    # What is no HTTP is quoted after a colon by the library; like any answer, it may repeat the key.
    text = str(error).partition(": ")[0] if isinstance(error, httpx2.ProtocolError) else str(error)
    return one_line(text)[:200] or type(error).__name__
