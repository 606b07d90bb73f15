"""Long calls that are answered without the SDK's transport: the connection stays alive, and who leaves is noticed."""

import re
from typing import Any

import anyio
import pytest
from starlette.types import ASGIApp, Message

from inkbox_mcp.telemetry.metrics import Metrics
from tests.support.alike_servers import LEGACY, MODERN, app_of, body_of
from tests.support.extra_tools import offering
from tests.support.extra_tools.tools.trial import wait_for_nothing
from tests.support.messages import CALL_HEADERS, HEADERS
from tests.support.time_lapse import TIME_LAPSE

PING = rb"(: ping\r\n\r\n)"
EVENT = rb"event: message\r\ndata: ({.*})\r\n\r\n"


@pytest.fixture
def anyio_backend() -> object:
    """Let hours pass at once."""
    return TIME_LAPSE


class Outcomes(Metrics):
    """Remembers how calls ended."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def call_ended(self, tool: str, outcome: str, seconds: float | None) -> None:
        """Remember an outcome."""
        self.all.append(outcome)


async def call(app: ASGIApp, version: str, seconds: float, patience: float = 3600) -> list[Message]:
    """Make a call that takes some time, and return what is sent until it is answered or the client loses patience."""
    name = "wait_for_nothing"
    body = body_of(version, {"id": 1, "params": {"name": name, "arguments": {"seconds": seconds}}})
    headers = {**(CALL_HEADERS if version == MODERN else HEADERS), "Host": "127.0.0.1", "Mcp-Name": name}
    headers |= {"Content-Type": "application/json", "MCP-Protocol-Version": version}
    requested: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []
    end = anyio.current_time() + patience

    async def receive() -> Message:
        if not requested:
            await anyio.sleep_until(end)
        return requested.pop() if requested else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_a_long_call_keeps_its_connection_alive(version: str) -> None:
    """Proxies close connections on which nothing comes for a while."""
    app, direct = app_of(offering(wait_for_nothing, stateless=True))
    (start, *parts) = await call(app, version, 50.0)
    assert direct.answered == [True]
    assert (b"content-type", b"text/event-stream") in start["headers"]
    assert [bool(re.fullmatch(PING, part["body"])) for part in parts] == [True, True, True, False]
    assert re.fullmatch(EVENT, parts[-1]["body"])
    assert [part.get("more_body", False) for part in parts] == [True, True, True, False]


@pytest.mark.parametrize(("version", "is_stream"), [(LEGACY, True), (MODERN, False)])
async def test_a_call_that_takes_seconds_is_answered_in_the_usual_way(version: str, is_stream: bool) -> None:
    """A client of 2026-07-28 gets JSON."""
    app, direct = app_of(offering(wait_for_nothing, stateless=True))
    (start, part) = await call(app, version, 5.0)
    assert direct.answered == [True]
    assert ((b"content-type", b"text/event-stream") in start["headers"]) == is_stream
    assert bool(re.fullmatch(EVENT, part["body"])) == is_stream


@pytest.mark.parametrize("patience", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_a_call_ends_when_its_client_leaves(version: str, patience: float) -> None:
    """It is not answered."""
    outcomes = Outcomes()
    app, direct = app_of(offering(wait_for_nothing, stateless=True, metrics=outcomes))
    sent = await call(app, version, 600.0, patience)
    assert direct.answered == [True]
    assert outcomes.all == ["cancelled"]
    assert not any(b"data" in message.get("body", b"") for message in sent)
