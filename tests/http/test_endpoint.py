"""A message that cannot be read is answered for its id, with and without sessions, in both protocol eras."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest

from tests.support.messages import CALL_HEADERS, ENVELOPE, HEADERS, INITIALIZE
from tests.support.processes import PATIENCE
from tests.support.shared_servers import SharedHTTP

pytestmark = pytest.mark.posix

HALF = "\ud83d"
"""The first half of an emoji; JSON has an escape for it."""


class Speaker:
    """A client of one era."""

    def __init__(self, http: httpx2.AsyncClient, meta: dict[str, Any], headers: dict[str, str]) -> None:
        self.meta, self._http, self._headers = meta, http, headers

    async def send(self, message: dict[str, Any]) -> httpx2.Response:
        """Send the members of a message, with the `_meta` of the era."""
        params = {"params": {**message["params"], **self.meta}} if isinstance(message.get("params"), dict) else {}
        return await self.write(json.dumps({"jsonrpc": "2.0", **message, **params}).encode())

    async def write(self, body: bytes) -> httpx2.Response:
        """Send a body as it is."""
        return await self._http.post("/mcp", content=body, headers=self._headers)

    async def call(self, tool: str, arguments: object, **members: Any) -> httpx2.Response:
        """Call a tool."""
        self._headers |= {"Mcp-Name": tool} if self.meta else {}
        call = {"id": 7, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        return await self.send({**call, **members})

    async def still_served(self) -> None:
        """Check that a good call is answered."""
        assert _answer(await self.call("list_mailboxes", {}))["result"]["structuredContent"]["total"] == 0


def _answer(response: httpx2.Response) -> dict[str, Any]:
    """Return the JSON of a response, or of its only event."""
    text = response.text
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    return json.loads(events[0] if events else text)


@pytest.fixture(params=["session", "stateless", "modern", "stateless modern"])
async def speaker(request: pytest.FixtureRequest, shared_http: SharedHTTP) -> AsyncGenerator[Speaker]:
    """Yield a client of each era, with and without a session."""
    origin = shared_http(*(["--stateless"] if "stateless" in request.param else []))
    common = {**HEADERS, "Content-Type": "application/json"}
    async with httpx2.AsyncClient(base_url=origin, headers=common, timeout=PATIENCE) as http:
        if "modern" in request.param:
            speaker = Speaker(http, {"_meta": ENVELOPE}, {**CALL_HEADERS})
        else:
            session = (await http.post("/mcp", json=INITIALIZE)).headers.get("mcp-session-id")
            speaker = Speaker(http, {}, {"Mcp-Session-Id": session} if session else {})
        yield speaker
        await speaker.still_served()


@pytest.mark.parametrize(
    "arguments", [{"email_address": HALF}, {"email_address": "a", HALF: 1}, {"email_address": [HALF] * 3}], ids=ascii
)
async def test_half_a_character_in_arguments_is_an_error_of_the_tool(
    arguments: dict[str, Any], speaker: Speaker
) -> None:
    """The model wrote it, so the model must read what is wrong."""
    response = await speaker.call("get_mailbox", arguments)
    assert response.status_code == 200
    answer = _answer(response)
    assert (answer["id"], answer["result"]["_meta"]["code"]) == (7, "invalid_arguments")


async def test_arguments_of_a_request_of_the_largest_size_are_judged(speaker: Speaker) -> None:
    """The rewritten request would be larger than the SDK allows."""
    params = {**speaker.meta, "name": "list_mailboxes", "arguments": {"search": "?"}}
    call = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}).encode()
    for text in ("é" * 1_900_000, r"\"" * 1_900_000, r"\ud83d" * 600_000):
        response = await speaker.write(call.replace(b"?", text.encode() + rb"\ud83d"))
        answer = _answer(response)
        assert (response.status_code, answer["id"], answer["error"]["code"]) == (400, 7, -32602)


@pytest.mark.parametrize(
    ("message", "request_id", "code"),
    [
        ({"id": 7, "method": "tools/list", "params": {"cursor": HALF}}, 7, -32602),
        ({"id": "x", "method": "tools/call", "params": {"name": "whoami", "arguments": HALF}}, "x", -32602),
        ({"id": 7, "method": "tools/call", "params": {"name": HALF, "arguments": {}}}, 7, -32602),
        ({"id": 7, "method": HALF, "params": {}}, 7, -32600),
        ({"id": 7, "method": "ping", HALF: 1}, 7, -32600),
        ({"id": HALF, "method": "tools/list", "params": {}}, None, -32600),
    ],
    ids=ascii,
)
async def test_half_a_character_elsewhere_is_an_error_for_the_requests_id(
    message: dict[str, Any], request_id: int | str | None, code: int, speaker: Speaker
) -> None:
    """The error names the half, and does not repeat it."""
    response = await speaker.send(message)
    answer = response.json()
    assert (response.status_code, answer["id"], answer["error"]["code"]) == (400, request_id, code)
    assert "U+D83D" in answer["error"]["message"]


@pytest.mark.parametrize("bad", [None, 1.5, 1.0, True, [], {}], ids=json.dumps)
@pytest.mark.parametrize("method", ["ping", "initialize", "notifications/cancelled", "tools/call"])
async def test_a_request_with_an_invalid_id_is_no_notification(method: str, bad: Any, speaker: Speaker) -> None:
    """A status of 202 would mean that no answer is needed."""
    response = await speaker.send({"id": bad, "method": method, "params": {}})
    answer = response.json()
    assert (response.status_code, answer["id"], answer["error"]["code"]) == (400, None, -32600)
    assert '"id"' in answer["error"]["message"]


@pytest.mark.parametrize(
    ("message", "request_id"),
    [
        ({"jsonrpc": "1.0", "id": 7, "method": "ping"}, 7),
        ({"jsonrpc": None, "id": 7, "method": "ping"}, 7),
        ({"id": 7, "method": "ping", "params": []}, 7),
        ({"id": 7, "method": "ping", "error": {"code": 1, "message": "x"}}, 7),
        ({"id": 7, "result": 5}, None),
        ({"id": 1.5, "result": {}}, None),
        ({"id": True, "error": {"code": 1, "message": "x"}}, None),
    ],
    ids=ascii,
)
async def test_what_is_no_message_is_refused_with_the_id_of_a_request(
    message: dict[str, Any], request_id: int | None, speaker: Speaker
) -> None:
    """The id of a response belongs to a request of the server, so it is not sent back."""
    response = await speaker.send(message)
    answer = response.json()
    assert (response.status_code, answer["id"], answer["error"]["code"]) == (400, request_id, -32600)


async def test_what_is_no_utf_8_is_refused_for_the_requests_id(speaker: Speaker) -> None:
    """Replacing the invalid bytes would change what the caller meant."""
    for broken in (b"\xff", b"\xed\xa0\xbd", b"\xe2\x82"):
        response = await speaker.write(b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":"%b"}}' % broken)
        answer = response.json()
        assert (response.status_code, answer["id"], answer["error"]["code"]) == (400, 7, -32700)
        assert "UTF-8" in answer["error"]["message"]


async def test_a_notification_counts_although_its_text_has_half_a_character(speaker: Speaker) -> None:
    """Clients cut long reasons in the middle of a character, and nobody reads them."""
    cancelled = {"method": "notifications/cancelled", "params": {"requestId": 5, "reason": HALF}}
    assert (await speaker.send(cancelled)).status_code == 202
