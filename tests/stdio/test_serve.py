"""The server as a desktop assistant runs it: one process, one client, stdin and stdout."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import KEY, connect
from tests.support.alike import ERAS_ALIKE, SIGNALS_ALIKE, choices
from tests.support.extra_tools import COMMAND as EXTRA
from tests.support.processes import COMMAND, PATIENCE, Running, environment, start, start_process, stdio_agent, upstream

pytestmark = pytest.mark.posix


@ERAS_ALIKE
async def test_a_mailbox_lives_from_creation_to_deletion(era: str, tmp_path: Path) -> None:
    """The test uses a real client of each era, a real process and the embedded sandbox."""
    async with stdio_agent("--sandbox", home=tmp_path, mode=era) as agent:
        made = await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales.team")
        address = made["email_address"]
        assert (await agent.ask("list_mailboxes", details=True))["mailboxes"] == [
            made | {"agent_handle": "sales-agent"}
        ]
        renamed = await agent.ask("update_mailbox", email_address=address, display_name="Sales")
        assert await agent.ask("get_mailbox", email_address="sales.team") == renamed
        assert (await agent.ask("delete_mailbox", email_address=address))["deleted"] is True
        assert "404" in await agent.refused("get_mailbox", email_address=address)
    assert (tmp_path / ".inkbox" / "sandbox.db").exists()


@ERAS_ALIKE
async def test_it_starts_and_lists_its_tools_without_a_key_and_explains_itself_on_the_first_call(
    era: str, tmp_path: Path
) -> None:
    """A client lists the tools before the user has configured a key; the server does not connect for that."""
    async with upstream() as api, stdio_agent(home=tmp_path, mode=era, INKBOX_BASE_URL=api.url) as agent:
        tools = (await agent.client.list_tools()).tools
        assert "list_mailboxes" in [tool.name for tool in tools]
        assert "INKBOX_API_KEY" in await agent.refused("list_mailboxes")
        assert not api.requests
        assert not (tmp_path / ".inkbox").exists()


@pytest.mark.slow
async def test_a_mailbox_survives_a_restart_and_is_seen_by_a_second_server(tmp_path: Path) -> None:
    """The sandbox is a file that several servers can share and that outlives them."""
    sandbox = ("--sandbox", "--sandbox-db", str(tmp_path / "shared.db"))
    in_process: dict[str, Any] = {"sandbox": True, "sandbox_db": sandbox[-1]}
    async with stdio_agent(*sandbox, home=tmp_path) as first, connect(**in_process) as second:
        made = await first.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
        seen = await second.ask("get_mailbox", email_address=made["email_address"])
        assert seen | {"agent_handle": "sales-agent"} == made
        assert "409" in await second.refused("create_mailbox", agent_handle="sales-agent")
        await second.ask("create_mailbox", agent_handle="support-agent")
    async with connect(**in_process) as third:
        assert (await third.ask("list_mailboxes"))["total"] == 2


@pytest.mark.slow
async def test_the_end_of_input_ends_it(tmp_path: Path) -> None:
    """A client stops its server in this way; the status is 0 and the log is empty."""
    async with start("--sandbox", home=tmp_path) as server:
        await server.initialize()
        await server.close_stdin()
        assert await server.end() == (0, "", "")


async def test_the_end_of_input_ends_it_also_before_a_client_has_spoken(tmp_path: Path) -> None:
    """A client may die before it sends anything."""
    async with start(home=tmp_path) as server:
        await server.close_stdin()
        assert await server.end() == (0, "", "")


@SIGNALS_ALIKE
async def test_a_signal_ends_it(number: signal.Signals, tmp_path: Path) -> None:
    """A thread that is blocked in reading stdin must not delay the end."""
    async with start("--sandbox", home=tmp_path) as server:
        await server.initialize()
        server.signal(number)
        assert await server.end() == (0, "", "")


@pytest.mark.slow
async def test_signals_in_quick_succession_end_it(tmp_path: Path) -> None:
    """Impatient supervisors send more than one."""
    async with start("--sandbox", home=tmp_path) as server:
        await server.initialize()
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            server.signal(number)
        assert await server.end() == (0, "", "")


SIGNAL_WHILE_LOADING = """
import os, signal, sys

class Signal:
    def find_spec(self, name, path=None, target=None):
        if name in {"inkbox_mcp.service", "inkbox_mcp.http.asgi_server"}:
            os.kill(os.getpid(), number)

number = getattr(signal, sys.argv.pop())
sys.meta_path.insert(0, Signal())
from inkbox_mcp.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("number", "arguments"),
    [
        (signal.SIGINT, []),
        pytest.param(signal.SIGTERM, ["--http", "--port", "0"], marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, ["sandbox", "--port", "0", "--db", ":memory:"], marks=pytest.mark.slow),
    ],
)
async def test_a_signal_ends_it_while_it_is_still_loading(
    number: signal.Signals, arguments: list[str], tmp_path: Path
) -> None:
    """Loading takes most of a second, and the client may stop the server during it."""
    command = (sys.executable, "-c", SIGNAL_WHILE_LOADING, *arguments, number.name)
    async with start_process(*command, home=tmp_path) as server:
        assert await server.end() == (0, "", "")


@pytest.mark.parametrize(
    "arguments", [[], pytest.param(["--http", "--port", "0"], marks=pytest.mark.slow)], ids=["stdio", "http"]
)
async def test_sigint_ends_it_although_the_shell_that_started_it_ignores_it(
    arguments: list[str], tmp_path: Path
) -> None:
    """Shells ignore SIGINT for background jobs, but a script that sends it to its server wants it to end."""
    background = ("/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh")
    async with start_process(*background, *COMMAND, *arguments, home=tmp_path) as server:
        await (server.log("serving MCP at ") if arguments else server.initialize())
        server.signal(signal.SIGINT)
        assert await server.end() == (0, "", "")


async def call_that_waits(server: Running) -> None:
    """Call a tool on an API that never answers."""
    await server.initialize()
    await server.send("tools/call", name="list_mailboxes", arguments={})


@SIGNALS_ALIKE
async def test_a_signal_cancels_the_call_under_way(number: signal.Signals, tmp_path: Path) -> None:
    """The call is logged as cancelled, and the API sees its connection closed."""
    async with upstream() as api, start(home=tmp_path, INKBOX_BASE_URL=api.url, INKBOX_API_KEY=KEY) as server:
        await call_that_waits(server)
        await api.asked.wait()
        server.signal(number)
        status, stdout, stderr = await server.end()
        assert (status, stdout) == (0, "")
        assert "list_mailboxes cancelled" in stderr
        await api.abandoned.wait()


async def test_the_end_of_input_cancels_the_call_under_way(tmp_path: Path) -> None:
    """The client no longer waits for the answer."""
    async with upstream() as api, start(home=tmp_path, INKBOX_BASE_URL=api.url, INKBOX_API_KEY=KEY) as server:
        await call_that_waits(server)
        await api.asked.wait()
        await server.close_stdin()
        status, stdout, stderr = await server.end()
        assert status == 0
        assert all(json.loads(line)["jsonrpc"] == "2.0" for line in stdout.splitlines())
        assert "list_mailboxes cancelled" in stderr
        await api.abandoned.wait()


@pytest.mark.parametrize("stdin_too", choices([False, True], {True}))
async def test_a_client_that_no_longer_reads_ends_it(stdin_too: bool, tmp_path: Path) -> None:
    """The server has no client left, and ends without a traceback, whether or not stdin is closed, too."""
    nobody, stdout = os.pipe()
    os.close(nobody)
    async with start("--sandbox", home=tmp_path, stdout=stdout) as server:
        os.close(stdout)
        await server.send("tools/list")
        if stdin_too:
            await server.close_stdin()
        status, _, stderr = await server.end()
        assert status == 0
        assert "Traceback" not in stderr


async def test_stdout_carries_nothing_but_protocol(tmp_path: Path) -> None:
    """Each line is a JSON-RPC message, even with malformed requests and the debug log."""
    async with start("--sandbox", "--log-level", "debug", home=tmp_path) as server:
        await server.initialize()
        lines: list[str] = []
        await server.write(b"no json", b"\xff\xfe", b"[]", b"", {"id": 100, "method": "tools/list"})
        await server.write({"id": 101, "method": "tools/call", "params": {"name": "list_mailboxes"}})
        await server.write({"id": 102, "method": "tools/call", "params": {"name": "no_such_tool"}})
        await server.write({"id": 103, "method": "no/such/method"})
        huge = {"name": "get_mailbox", "arguments": {"email_address": "x" * 1_000_000}}
        await server.write({"id": 104, "method": "tools/call", "params": huge})
        while len([line for line in lines if '"id":10' in line]) < 5:
            lines.append(await server.line())
        await server.close_stdin()
        status, rest, _ = await server.end()
    messages = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert status == 0
    assert all(message["jsonrpc"] == "2.0" for message in messages)
    assert {message["id"] for message in messages if "id" in message} >= {100, 101, 102, 103, 104}
    assert rest == ""


SERVER_THAT_PRINTS = """
import os
import anyio, httpx2
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.stdio.serve import serve_stdio

def transport():
    print("printed and flushed", flush=True)
    os.system("echo printed by a child")
    print("printed and left in the buffer")
    return httpx2.MockTransport(lambda request: httpx2.Response(200, json=[]))

anyio.run(serve_stdio, Service(Settings(api_key="ApiKey_x.y", api_generation="spec"), transport))
"""


async def test_a_stray_print_does_not_reach_the_client(tmp_path: Path) -> None:
    """This holds for a flushed print, a child process, and buffers that Python flushes at exit."""
    async with start_process(sys.executable, "-c", SERVER_THAT_PRINTS, home=tmp_path) as server:
        await server.initialize()
        await server.send("tools/call", name="list_mailboxes", arguments={})
        answer = json.loads(await server.line())
        assert answer["result"]["structuredContent"]["total"] == 0
        await server.close_stdin()
        status, stdout, stderr = await server.end()
    assert (status, stdout) == (0, "")
    for printed in ("printed and flushed", "printed by a child", "printed and left in the buffer"):
        assert printed in stderr


@pytest.mark.slow
async def test_each_call_is_logged_in_one_line_without_its_arguments_or_the_key(tmp_path: Path) -> None:
    """The line has tool, outcome, status and milliseconds; arguments and keys are private."""
    log = tmp_path / "log"
    database = tmp_path / "x.db"
    secret = "very-secret-argument"
    async with stdio_agent(
        "--sandbox", "--sandbox-db", str(database), "--log-level", "debug", home=tmp_path, log=log, INKBOX_API_KEY=KEY
    ) as agent:
        await agent.ask("create_mailbox", agent_handle="sales-agent", display_name=secret, email_local_part=secret)
        await agent.ask("list_mailboxes", search=secret)
        await agent.refused("get_mailbox", email_address=f"{secret}-too")
        await agent.refused("get_mailbox", email_address=f"{secret}/..")
        await agent.refused("list_mailboxes", **{secret: secret})
    text = log.read_text()
    calls = [line.partition("inkbox_mcp.service: ")[2] for line in text.splitlines() if "inkbox_mcp.service: " in line]
    expected = [
        r"create_mailbox ok 201 \d+ ms",
        r"list_mailboxes ok 200 \d+ ms",
        r"get_mailbox not_found 404 \d+ ms",
        r"get_mailbox invalid_arguments - \d+ ms",
        r"list_mailboxes invalid_arguments - \d+ ms",
    ]
    assert len(calls) == len(expected)
    for line, pattern in zip(calls, expected, strict=True):
        assert re.fullmatch(pattern + r" \[[0-9a-f]{16}\]", line)
    assert secret not in text
    assert "top-secret" not in text


@pytest.mark.slow
async def test_quieter_levels_log_no_calls(tmp_path: Path) -> None:
    """With `--log-level warning` a server without problems logs nothing."""
    log = tmp_path / "log"
    async with stdio_agent("--sandbox", "--log-level", "warning", home=tmp_path, log=log) as agent:
        await agent.ask("list_mailboxes")
    assert log.read_text() == ""


async def test_a_sandbox_database_that_cannot_be_used_is_explained_by_the_call(tmp_path: Path) -> None:
    """The server keeps running, and the error names the file."""
    path = str(tmp_path)
    async with connect(sandbox=True, sandbox_db=path) as agent:
        assert path in await agent.refused("list_mailboxes")
        assert (await agent.client.list_tools()).tools


@pytest.mark.slow
async def test_it_serves_without_a_home_directory() -> None:
    """Containers and service accounts may lack a home that can be written."""
    async with start("--sandbox", "--sandbox-db", ":memory:", home=Path("/dev/null")) as server:
        await server.initialize()
        answer = await server.request("tools/call", name="list_mailboxes", arguments={})
        assert answer["result"]["structuredContent"]["total"] == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a stand-in for what is no pipe")
def test_a_call_that_waits_answers_at_the_end_of_a_file(tmp_path: Path) -> None:
    """Where stdin is a file, calls also have a second to answer."""
    client = {"name": "test", "version": "1"}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    messages = [
        {"id": 1, "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "wait_for_nothing", "arguments": {"seconds": 3600}}},
    ]
    said = tmp_path / "said"
    said.write_text("".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages))
    with said.open() as stdin:
        ended = subprocess.run(
            [*EXTRA, "--sandbox"], stdin=stdin, capture_output=True, env=environment(tmp_path), timeout=PATIENCE
        )
    *_, answer = map(json.loads, ended.stdout.splitlines())
    assert answer["result"]["structuredContent"]["ended_early"] is True
