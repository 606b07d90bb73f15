"""The Inkbox REST API: the only file that speaks HTTP to it.

`InkboxAPI` sends; the pure function `interpret` turns what came back into plain data or a typed error.
Source of every path and status: https://inkbox.ai/docs/api/mail/mailboxes
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote

import anyio
import httpx2
import pydantic_core
from pydantic import BaseModel, SecretStr, ValidationError

from inkbox_mcp import __version__
from inkbox_mcp.errors import (
    NotConfigured,
    OutcomeUnknown,
    UnexpectedResponse,
    Unreachable,
    api_error,
    printable,
)

MAILBOXES = "/api/v1/mail/mailboxes"
IDENTITIES = "/api/v1/identities"

MAX_RESPONSE_BYTES = 10 * 1024 * 1024
TIMEOUT = 30.0

M = TypeVar("M", bound=BaseModel)

last_status: ContextVar[int | None] = ContextVar("last_status", default=None)
"""The HTTP status of the latest answer in this task, for the log."""


def path(resource: str, *segments: str) -> str:
    """Join a resource's path and the names below it; a name can never leave its segment."""
    return "/".join([resource, *(quote(segment, safe="") for segment in segments)])


class InkboxAPI:
    """The API as one organisation's key sees it.

    Connections are pooled and made on first use, so that a server which is only asked for its tools opens none.

    Args:
        base_url: such as `https://inkbox.ai`, without a path.
        api_key: the organisation's key; without one every call raises `NotConfigured`.
        timeout: seconds that one call may take from first byte to last.
        transport: makes another way to send requests than over the network: the in-process sandbox, or a test's.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr | None,
        *,
        timeout: float = TIMEOUT,
        transport: Callable[[], httpx2.AsyncBaseTransport] | None = None,
    ) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._timeout = timeout
        self._transport = transport
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            with anyio.move_on_after(1, shield=True):
                await self._client.aclose()

    async def get(self, path: str, model: type[M]) -> M:
        """GET one object.

        Raises:
            InkboxError: see `inkbox_mcp.errors`; likewise from the other verbs.
        """
        return parse(await self._send("GET", path), model)

    async def get_list(self, path: str) -> list[dict[str, Any]]:
        """GET a bare array of objects, unvalidated: the caller validates those that it returns."""
        items = await self._send("GET", path)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in cast("list[object]", items)):
            raise UnexpectedResponse("Inkbox answered something other than a list of objects.", HTTPStatus.OK)
        return cast("list[dict[str, Any]]", items)

    async def post(self, path: str, body: Mapping[str, Any], model: type[M]) -> M:
        """POST a JSON body and return the object the API made of it."""
        return parse(await self._send("POST", path, body), model)

    async def patch(self, path: str, body: Mapping[str, Any], model: type[M]) -> M:
        """PATCH the supplied fields and return the changed object."""
        return parse(await self._send("PATCH", path, body), model)

    async def delete(self, path: str) -> None:
        """DELETE one object."""
        await self._send("DELETE", path)

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> object:
        """Send one request within the timeout and interpret its answer."""
        request = self._open().build_request(method, path, json=body)
        try:
            with anyio.fail_after(self._timeout):
                response = await self._open().send(request, stream=True)
                try:
                    content = await _read(response)
                finally:
                    await response.aclose()
        except (
            httpx2.ConnectError,
            httpx2.ConnectTimeout,
            httpx2.PoolTimeout,
            httpx2.UnsupportedProtocol,
        ) as error:
            raise Unreachable(f"could not connect to Inkbox ({_reason(error)}).") from error
        except (httpx2.TransportError, httpx2.DecodingError, TimeoutError) as error:
            if method == "GET":
                raise Unreachable(f"Inkbox did not answer ({_reason(error)}).") from error
            raise OutcomeUnknown(f"the request was sent, but no answer came back ({_reason(error)}).") from error
        last_status.set(response.status_code)
        return interpret(response.status_code, response.headers, content)

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
                timeout=self._timeout,
                follow_redirects=False,
                transport=self._transport() if self._transport else None,
            )
        return self._client


async def _read(response: httpx2.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise UnexpectedResponse(
                f"the answer is larger than {MAX_RESPONSE_BYTES // 1024**2} MB.", response.status_code
            )
    return bytes(content)


def interpret(status: int, headers: Mapping[str, str], content: bytes) -> object:
    """Turn an answer of the API into plain data, or into the error it stands for.

    Args:
        status: the HTTP status.
        headers: the answer's headers, looked up without regard to case.
        content: the decoded body.

    Returns:
        What the JSON body holds; None for 204.

    Raises:
        APIError: the API refused; its class follows the status.
        UnexpectedResponse: a success that is no JSON, or a redirect.
    """
    if status == HTTPStatus.NO_CONTENT:
        return None
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise UnexpectedResponse(f"Inkbox answered with a redirect ({status}), which is not followed.", status)
    try:
        data: object = pydantic_core.from_json(content)
    except ValueError:
        data = None
        if status < HTTPStatus.MULTIPLE_CHOICES:
            kind = printable(headers.get("content-type", "no content type"))[:100]
            raise UnexpectedResponse(
                f"Inkbox answered {status} with something other than JSON ({kind}).", status
            ) from None
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return data
    raise api_error(status, _detail(data), retry_after(headers.get("retry-after")))


def _detail(data: object) -> object:
    """Take the reason out of an error's body, with the advice for agents that newer answers carry beside it."""
    if not isinstance(data, dict):
        return None
    body = cast("dict[str, object]", data)
    found = [body[key] for key in ("detail", "agent_support") if body.get(key)]
    return found[0] if len(found) == 1 else found or None


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Read a Retry-After header: seconds to wait, from a number or an HTTP date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, round((date - (now or datetime.now(UTC))).total_seconds(), 1))


def parse(data: object, model: type[M]) -> M:
    """Check that plain data from the API is what it promises.

    Raises:
        UnexpectedResponse: naming the fields that are missing or wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, details["loc"])) or "the whole" for details in error.errors())
        what = f"Inkbox's answer is no {model.__name__}: {wrong} is missing or wrong."
        raise UnexpectedResponse(what, last_status.get()) from None


def _reason(error: Exception) -> str:
    return printable(str(error))[:200] or type(error).__name__
