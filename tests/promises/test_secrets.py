"""No result, log, exception or representation shows the API key or the arguments of callers."""

import json
import logging
import signal
import socket
import traceback
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.types import CallToolResult, Tool

from inkbox_mcp.access.tenants import Tenants
from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.connection import Connection
from inkbox_mcp.api.paths import IDENTITIES
from inkbox_mcp.calls import begin
from inkbox_mcp.cli import main
from inkbox_mcp.errors import InkboxError
from inkbox_mcp.protocol.declaration import declaration
from inkbox_mcp.settings.options import Settings, SettingsError
from inkbox_mcp.settings.sources import load
from tests.support import faults
from tests.support.agents import KEY, Agent, connect
from tests.support.alike import ERAS_ALIKE
from tests.support.catalogue import CATALOGUES
from tests.support.faults import Fault, FaultyInkbox, faulty_inkbox, refusal
from tests.support.processes import serve_http, stdio_agent

pytestmark = pytest.mark.posix

SECRET = KEY.rpartition(".")[2]
"""The part of the key that must stay secret; the part before it names the key."""

SENTINEL = "sentinel"
"""Part of every argument, and must not be in any log."""

ARGUMENTS: dict[str, Any] = {
    "agent_handle": f"{SENTINEL}-agent",
    "email_address": f"{SENTINEL}.address@inkboxmail.com",
    "email_local_part": f"{SENTINEL}.part",
    "mailbox_local_part": f"{SENTINEL}.part",
    "display_name": f"{SENTINEL} name",
    "mailbox_display_name": f"{SENTINEL} name",
    "webhook_url": f"https://{SENTINEL}.example.com/{SENTINEL}?token={SENTINEL}",
    "webhook_id": "11111111-1111-4111-8111-111111111111",
    "event_types": ["message.received"],
    "search": SENTINEL,
    **dict.fromkeys(("sender", "subject", "contains"), SENTINEL),
    **dict.fromkeys(("message_id", "thread_id"), "22222222-2222-4222-8222-222222222222"),
    "message_ids": ["22222222-2222-4222-8222-222222222222"],
    "is_read": True,
    "filename": f"{SENTINEL}.pdf",
    "timeout": 0,  # nothing ever comes
}
SPEC = CATALOGUES["spec"]
TOOLS: list[Tool] = [declaration(operation, SPEC) for operation in SPEC.tools.values()]
ONE_PER_VERB = [
    declaration(SPEC.tools[name], SPEC)
    for name in ("get_mailbox", "list_mailboxes", "create_mailbox", "update_mailbox", "delete_mailbox")
]


def arguments(tool: Tool) -> dict[str, Any]:
    """Return arguments for a tool."""
    return {name: ARGUMENTS[name] for name in tool.input_schema["properties"] if name in ARGUMENTS}


def assert_hidden(text: object, *, but: str = "") -> None:
    """Check that a text does not contain the secret part of the key, nor the text `but`."""
    assert SECRET not in str(text)
    if but:
        assert but not in str(text).casefold()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Log as `--log-level debug` does: all messages of this package, and warnings of others."""
    caplog.set_level(logging.WARNING)
    caplog.set_level(logging.DEBUG, logger="inkbox_mcp")
    return caplog


def raw(status_line: str, *headers: str, body: str = "") -> bytes:
    """Write an answer that need not be HTTP."""
    return "\r\n".join([status_line, *headers, "", body]).encode()


def as_json(status: int, data: object) -> bytes:
    """Write a JSON answer."""
    return refusal(status, body=json.dumps(data).encode())


MAILBOX = {
    "id": "1",
    "email_address": "a@inkboxmail.com",
    "display_name": KEY,
    "status": KEY,
    "created_at": KEY,
    "updated_at": "",
    KEY: KEY,
    "nested": {KEY: [KEY, {"a": KEY}]},
}
ECHOES: dict[str, bytes] = {
    **{f"reason of a {status}": as_json(status, {"detail": f"bad key {KEY}"}) for status in (400, 401, 403, 404, 409)},
    "reason with a code": as_json(400, {"detail": {"code": "bad_key", "message": f"bad key {KEY}"}}),
    "reason in an object": as_json(400, {"detail": {"headers": {"X-API-Key": KEY}}}),
    "reason of a field": as_json(422, {"detail": [{"loc": ["header", KEY], "msg": f"bad {KEY}", "input": KEY}]}),
    "reason that is cut": as_json(400, {"detail": "x" * (499 - len(KEY)) + KEY + KEY}),
    "advice": as_json(403, {"detail": "no", "agent_support": f"use another key than {KEY}"}),
    "reason of a 503": as_json(503, {"detail": KEY}),
    "HTML": refusal(502, body=f"<html>{KEY}</html>".encode()),
    "HTML as success": raw("HTTP/1.1 200 OK", "Content-Type: text/html", f"Content-Length: {len(KEY)}", body=KEY),
    "a mailbox": as_json(200, MAILBOX),
    "mailboxes": as_json(200, [MAILBOX]),
    "no mailbox": as_json(200, {"id": [KEY], KEY: KEY}),
    "a text": as_json(200, KEY),
    "broken JSON": refusal(200, body=f'{{"id": "{KEY}'.encode()),
    "a redirect": refusal(302, f"Location: https://example.com/{KEY}"),
    "a redirect to nowhere": refusal(307, f"Location: ht!tp://[[{KEY}"),
    "a kind of content": raw("HTTP/1.1 200 OK", f"Content-Type: text/{KEY}", "Content-Length: 1", body="x"),
    "a pause": refusal(429, f"Retry-After: {KEY}"),
    "a date": refusal(400, f"Date: {KEY}"),
    "any header": refusal(400, f"X-API-Key: {KEY}", f"Set-Cookie: key={KEY}", f"WWW-Authenticate: {KEY}"),
    "a status": raw(f"HTTP/1.1 400 {KEY}", "Content-Length: 0"),
    "no status": raw(KEY),
    "no header": raw("HTTP/1.1 200 OK", f"X-API-Key {KEY}"),
    "a bad header": raw("HTTP/1.1 200 OK", f": {KEY}"),
    "a length": raw("HTTP/1.1 200 OK", f"Content-Length: {KEY}"),
    "a coding": raw("HTTP/1.1 200 OK", f"Transfer-Encoding: {KEY}"),
    "a compression": raw("HTTP/1.1 200 OK", f"Content-Encoding: {KEY}", "Content-Length: 1", body="x"),
    "a chunk": raw("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=f"{KEY}\r\n"),
    "a packed chunk": raw("HTTP/1.1 200 OK", "Content-Encoding: gzip", f"Content-Length: {len(KEY)}", body=KEY),
}  # fmt: skip
FAULTS = {name: value for name, value in vars(faults).items() if isinstance(value, Fault)}
STATUSES = [100, 101, 199, 200, 201, 202, 204, 206, 299, *range(300, 309), *range(400, 432), *range(500, 512), 599]


@asynccontextmanager
async def served(era: str, seconds: float = 30) -> AsyncGenerator[tuple[Agent, FaultyInkbox]]:
    """Connect an agent to a server in this process, which connects to a real port."""
    async with faulty_inkbox() as inkbox, connect(inkbox.url, era, timeout=seconds) as agent:
        yield agent, inkbox


async def everything_said(agent: Agent, tool: Tool) -> str:
    """Call a tool and return everything that a client can see of the outcome."""
    try:
        result: CallToolResult = await agent.call(tool.name, **arguments(tool))
    except MCPError as error:
        return f"{error!r} {error.error.model_dump_json()}"
    return f"{result!r} {result.model_dump_json()} {result.meta}"


@pytest.mark.parametrize("stalls", [False, True], ids=["answers", "stalls"])
@ERAS_ALIKE
async def test_no_fault_shows_the_key_or_logs_an_argument(
    stalls: bool, era: str, log: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each fault of the API meets each kind of request."""
    async with served(era, seconds=0.05 if stalls else 30) as (agent, inkbox):
        for fault in FAULTS.values():
            for tool in ONE_PER_VERB if fault.stalls is stalls else []:
                inkbox.fails(*[fault] * 9)
                assert_hidden(await everything_said(agent, tool))
        assert inkbox.requests[0].headers["X-API-Key"] == KEY
    assert log.text.count("inkbox_mcp.service") >= len(ONE_PER_VERB)
    assert_hidden(log.text, but=SENTINEL)
    assert_hidden(capfd.readouterr(), but=SENTINEL)


async def test_no_status_shows_the_key_or_logs_an_argument(era: str, log: pytest.LogCaptureFixture) -> None:
    """The statuses cover successes, redirects, refusals, and codes that are none of these."""
    async with served(era, seconds=0.3) as (agent, inkbox):
        for status in STATUSES:
            inkbox.fails(*[Fault(answers=as_json(status, {"detail": KEY, "arguments": SENTINEL}))] * 9)
            assert_hidden(await everything_said(agent, TOOLS[0]))
    assert_hidden(log.text, but=SENTINEL)


@ERAS_ALIKE
async def test_an_answer_that_repeats_the_key_does_not_show_it(era: str, log: pytest.LogCaptureFixture) -> None:
    """Proxies repeat request headers in error pages, and debugging servers do so in any answer."""
    async with served(era) as (agent, inkbox):
        for name, echo in ECHOES.items():
            for tool in ONE_PER_VERB:
                inkbox.fails(*[Fault(answers=echo)] * 9)
                said = await everything_said(agent, tool)
                assert SECRET not in said, f"{tool.name} shows {name}"
    assert_hidden(log.text, but=SENTINEL)


async def test_what_is_hidden_of_an_answer_is_the_key_alone(era: str) -> None:
    """The model still needs the rest of the reason."""
    async with served(era) as (agent, inkbox):
        inkbox.fails(Fault(answers=ECHOES["reason of a 400"]))
        assert "bad key" in await agent.refused("get_mailbox", email_address="a")
        inkbox.fails(Fault(answers=ECHOES["a mailbox"]))
        assert (await agent.ask("get_mailbox", email_address="a"))["id"] == "1"


BAD_ARGUMENTS: list[dict[str, Any]] = [
    {},
    {SENTINEL: 1},
    {"email_address": f"{SENTINEL} no address"},
    {"email_address": [SENTINEL], "display_name": {SENTINEL: SENTINEL}},
    {"email_address": SENTINEL, "webhook_url": f"http://{SENTINEL}"},
    {"email_address": SENTINEL, "display_name": f"{SENTINEL}\0"},
    {"email_address": SENTINEL * 1000},
]


@pytest.mark.parametrize("bad", BAD_ARGUMENTS, ids=str)
async def test_bad_arguments_are_not_logged(bad: dict[str, Any], era: str, log: pytest.LogCaptureFixture) -> None:
    """The log has only the code of the error."""
    async with served(era) as (agent, inkbox):
        assert (await agent.call("update_mailbox", **bad)).is_error
        with pytest.raises(MCPError):
            await agent.call(f"{SENTINEL}-tool", **bad)
        assert not inkbox.requests
    assert "invalid_arguments" in log.text
    assert_hidden(log.text, but=SENTINEL)


async def test_a_bug_shows_its_place_and_no_values(era: str, log: pytest.LogCaptureFixture) -> None:
    """The texts of exceptions may contain arguments, so neither the client nor the log gets them."""

    def fail(request: httpx2.Request) -> httpx2.Response:
        said = f"{request.url} {request.headers['X-API-Key']}"
        raise RuntimeError(said) from KeyError(said)

    async with connect(fail, mode=era) as agent:
        with pytest.raises(MCPError) as caught:
            await agent.call("get_mailbox", email_address=ARGUMENTS["email_address"])
        assert_hidden(caught.value.error.model_dump_json(), but=SENTINEL)
    assert "test_secrets.py" in log.text
    assert "RuntimeError" in log.text
    assert_hidden(log.text, but=SENTINEL)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Walk an exception and its causes and contexts."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


async def test_no_exception_holds_the_key() -> None:
    """This includes its causes and its printed traceback."""
    async with faulty_inkbox() as inkbox:
        settings = Settings.model_validate({"api_key": KEY, "base_url": inkbox.url, "timeout": 0.3})
        raised = 0
        async with Tenants(settings) as tenants:
            api = tenants.api()
            for fault in FAULTS.values():
                inkbox.fails(*[fault] * 9)
                with begin(settings.timeout):
                    try:
                        await api.get_list(IDENTITIES)
                    except InkboxError as error:
                        raised += 1
                        for link in chain(error):
                            assert_hidden([str(link), repr(link), link.args, vars(link)])
                        assert_hidden("".join(traceback.format_exception(error)))
        assert raised >= len(FAULTS) - 2


async def test_no_representation_shows_the_key() -> None:
    """Settings and API objects are checked before and after the first request."""
    async with faulty_inkbox() as inkbox:
        settings = Settings.model_validate({"api_key": KEY, "base_url": inkbox.url})
        key = settings.api_key
        assert_hidden([settings, repr(settings), settings.model_dump(), settings.model_dump_json(), vars(settings)])
        async with Tenants(settings) as tenants, aclosing(Connection(inkbox.url, concurrency=1)) as connection:
            for each in (InkboxAPI(connection, key), tenants.api()):
                assert_hidden([each, repr(each), vars(each)])
                with begin(settings.timeout) as call:
                    await each.get_list(IDENTITIES)
                    assert_hidden([call, vars(call)])
                assert_hidden([each, repr(each), vars(each)])
        assert [request.headers["X-API-Key"] for request in inkbox.requests] == [KEY] * 2


MISPLACED: list[tuple[list[str], dict[str, str]]] = [
    *[([*before, KEY], {}) for before in (["--api-key"], ["--key"], [], ["--http"], ["demo"], ["tools"])],
    *[([f"--{name}={KEY}"], {}) for name in ("api-key", "port", "tools", "base-url", "log-level", "read-only")],
    (["sandbox", "--port", KEY], {}),
    (["sandbox", "--api-key", KEY], {}),
    (["sandbox", "--db", f"/dev/null/{KEY}"], {}),
    *[([], {f"INKBOX_MCP_{name}": KEY}) for name in ("API_KEY", "PORT", "TOOLS", KEY)],
    ([], {"INKBOX_BASE_URL": KEY}),
    ([], {"INKBOX_API_KEY": f"{KEY} {KEY}"}),
    ([], {"INKBOX_API_KEY": f"{KEY}\u200b"}),
]


@pytest.mark.parametrize(("command", "variables"), MISPLACED, ids=lambda value: str(value).replace(KEY, "KEY"))
def test_a_key_in_the_wrong_place_is_not_printed(
    command: list[str],
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Clients store the error in a log, so it names the wrong option but not the value."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(command) == 2
    said = capfd.readouterr()
    assert "inkbox-mcp: " in said.err
    assert_hidden(said)


@pytest.mark.parametrize("key", ["hunter2", "a-password-of-another-service", "ApiKey_x", KEY])
def test_the_doctor_shows_no_secret(
    key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The doctor may show the name of a key, but no part of a value that is not a key."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("INKBOX_API_KEY", key)
    monkeypatch.setenv("INKBOX_BASE_URL", f"http://127.0.0.1:{port}")
    for command in (["doctor"], ["doctor", "--json"]):
        assert main(command) == 1
        said = capfd.readouterr()
        assert_hidden(said)
        assert key[:8] not in f"{said}".replace("ApiKey_1", "")


def test_a_key_in_a_config_file_is_not_printed(tmp_path: Path) -> None:
    """Another line of the file or the key itself may be wrong."""
    file = tmp_path / "config"
    for text in (f"api_key = {KEY} {KEY}", f"api_key = {KEY}\nbase_url = {KEY}"):
        file.write_text(text)
        with pytest.raises(SettingsError) as caught:
            load({}, {}, config_file=file)
        for link in chain(caught.value):
            assert_hidden([str(link), repr(link)])


IN_A_PROCESS = [
    Fault(answers=ECHOES[name])
    for name in ("reason of a 401", "reason of a field", "a mailbox", "mailboxes", "a redirect", "a kind of content")
]


@pytest.mark.parametrize(
    ("way", "era"),
    [
        ("stdio", "auto"),
        pytest.param("http", "legacy", marks=pytest.mark.slow),
        pytest.param("stdio", "legacy", marks=pytest.mark.slow),
        pytest.param("http", "auto", marks=pytest.mark.slow),
    ],
)
async def test_a_process_at_log_level_debug_writes_neither_key_nor_arguments(
    way: str, era: str, tmp_path: Path
) -> None:
    """A real process is checked with everything that its client gets and that it writes to stderr."""
    options, file = ("--log-level", "debug", "--timeout", "0.3"), tmp_path / "log"
    async with faulty_inkbox() as inkbox:
        if way == "stdio":
            async with stdio_agent(
                *options, home=tmp_path, mode=era, log=file, INKBOX_BASE_URL=inkbox.url, INKBOX_API_KEY=KEY
            ) as agent:
                await meet_faults(agent, inkbox)
            log = file.read_text()
        else:
            async with serve_http(*options, home=tmp_path, INKBOX_BASE_URL=inkbox.url, INKBOX_API_KEY=KEY) as (
                server,
                origin,
            ):
                async with Client(f"{origin}/mcp", mode=era) as client:
                    await meet_faults(Agent(client), inkbox)
                server.signal(signal.SIGTERM)
                log = "".join((await server.end())[1:])
    assert log.count("inkbox_mcp.service: ") > len(TOOLS) * len(IN_A_PROCESS)
    assert_hidden(log, but=SENTINEL)


async def meet_faults(agent: Agent, inkbox: FaultyInkbox) -> None:
    """Call every tool while the API repeats the key; then one during a stall, and with bad arguments."""
    for tool in TOOLS:
        for fault in IN_A_PROCESS:
            inkbox.fails(*[fault] * 9)
            assert_hidden(await everything_said(agent, tool))
    inkbox.fails(faults.STALLED_BEFORE)
    assert "unreachable" in str(await agent.call("get_mailbox", email_address=SENTINEL))
    assert (await agent.call("get_mailbox", email_address=f"no {SENTINEL}")).is_error
    with pytest.raises(MCPError):
        await agent.call(SENTINEL)
