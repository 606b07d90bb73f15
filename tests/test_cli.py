"""The command line: the arguments that it accepts, and the errors for the others."""

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from inkbox_mcp import __version__
from inkbox_mcp.cli import main
from inkbox_mcp.commands.tools import tools_json, tools_table
from inkbox_mcp.settings.options import Option, options
from tests.support.agents import KEY, connect
from tests.support.alike import BOTH, choices
from tests.support.options import SAMPLES
from tests.support.processes import PATIENCE, Running, environment, run, start, start_process, stdio_agent, upstream

pytestmark = pytest.mark.posix


@pytest.fixture(autouse=True)
def _signals_restored() -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    """Restore the handlers of SIGINT and SIGTERM, which a start replaces in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # pyright: ignore[reportUnusedFunction]
    """Hide the developer's own configuration from the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("INKBOX_")]:
        monkeypatch.delenv(name)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command line that must be refused and return its one error line."""
    assert main(arguments) == 2
    written = capsys.readouterr()
    assert written.out == ""
    (line,) = written.err.splitlines()
    assert line.startswith("inkbox-mcp: ")
    return line.removeprefix("inkbox-mcp: ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--frobnicate"], "--frobnicate"),
        (["frobnicate"], "frobnicate"),
        (["--sandbox", "doctor"], "a command comes first: inkbox-mcp doctor"),
        (["sandbox", "--generation", "third"], "--generation"),
        (["--sandbox", "tools"], "tools"),
        (["--"], "--"),
        (["--port"], "--port"),
        (["--port", "http"], "--port"),
        (["--port", "65536"], "--port"),
        (["--log-level", "loud"], "--log-level"),
        (["--host", "0.0.0.0"], "--host"),
        (["--base-url", "http://inkbox.ai"], "--base-url"),
        (["--sandbox=true"], "--sandbox"),
        (["--sandbox-db", "~no-such-user/x.db"], "--sandbox-db"),
        (["demo", "--sandbox"], "--sandbox"),
        (["tools", "--yaml"], "--yaml"),
        (["tools", "more"], "more"),
        (["sandbox", "--port", "http"], "--port"),
        (["sandbox", "--port", "65536"], "--port"),
        (["sandbox", "--host", "0.0.0.0"], "--host"),
        (["--two\nlines"], "--two lines"),
    ],
    ids=str,
)
def test_what_is_not_understood_stops_the_start(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 2, and the one line on stderr names the argument."""
    assert named in refusal(capsys, *arguments)


@pytest.mark.parametrize(
    "arguments", [["--api-key", KEY], [f"--api-key={KEY}"], ["--token", KEY], ["--http", "--api-key", KEY]]
)
def test_a_key_on_the_command_line_is_refused_without_repeating_it(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The error tells the user to set an environment variable instead."""
    message = refusal(capsys, *arguments)
    assert "use an environment variable" in message
    assert KEY not in message


@pytest.mark.parametrize("option", [option for option in options() if option.flag], ids=lambda option: option.name)
def test_every_option_is_taken_from_a_flag_and_from_the_environment(
    option: Option, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second, wrong option stops the start, and the error must name only that one."""
    assert option.flag
    wrong = ("--port", "wrong") if option.name != "port" else ("--log-level", "wrong")
    given = [option.flag] if option.is_switch else [option.flag, SAMPLES[option.name][0]]
    assert refusal(capsys, *given, *wrong).startswith(wrong[0])
    monkeypatch.setenv(option.environment, SAMPLES[option.name][0])
    assert refusal(capsys, *wrong).startswith(wrong[0])


@pytest.mark.parametrize(
    "flag", [option.flag[:-1] for option in options() if option.flag and option.flag[:-1] != "--http"]
)
def test_abbreviated_flags_are_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A new flag could change the meaning of an abbreviation."""
    assert flag in refusal(capsys, flag)


def test_a_misspelt_variable_stops_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is checked even if no flag is given."""
    monkeypatch.setenv("INKBOX_MCP_SANDBOXED", "true")
    assert refusal(capsys).startswith("INKBOX_MCP_SANDBOXED: no such option; did you mean INKBOX_MCP_SANDBOX")


@pytest.mark.parametrize("arguments", [["--version"], ["--sandbox", "--version"]])
def test_it_tells_its_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts read the version from stdout."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"inkbox-mcp {__version__}\n"


def test_help_names_every_option_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Help omits the flag of the key, because the command line refuses it."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for word in [option.flag for option in options() if option.flag] + ["demo", "sandbox", "tools"]:
        assert re.search(rf"(^|\s|\[){word}\b", shown), word
    assert "--api-key" not in shown
    assert "()" not in shown


def test_tools_are_shown_as_a_table_or_as_a_client_sees_them(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON is the result of `tools/list`."""
    assert main(["tools"]) == 0
    assert capsys.readouterr().out == tools_table("spec")
    assert main(["tools", "--api-generation", "identity"]) == 0
    assert capsys.readouterr().out == tools_table("identity")
    assert main(["tools", "--json"]) == 0
    shown = capsys.readouterr().out
    assert shown == tools_json("spec")
    assert "create_mailbox" in [tool["name"] for tool in json.loads(shown)["tools"]]
    assert main(["tools", "--json", "--api-generation", "identity"]) == 0
    assert "create_mailbox" not in [tool["name"] for tool in json.loads(capsys.readouterr().out)["tools"]]


@BOTH
async def test_a_client_gets_the_tools_that_are_shown(generation: Any) -> None:
    """The printed list and the server must offer the same tools."""
    async with connect(api_generation=generation) as agent:
        offered = (await agent.client.list_tools()).tools
    shown = json.loads(tools_json(generation))["tools"]
    assert [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in offered] == shown


@pytest.mark.slow
async def test_the_key_from_the_environment_reaches_the_api(tmp_path: Path) -> None:
    """The request also carries this project's name and version."""
    async with (
        upstream(answer=[]) as api,
        stdio_agent(home=tmp_path, INKBOX_API_KEY=KEY, INKBOX_BASE_URL=api.url) as agent,
    ):
        await agent.call("get_mailbox", email_address="a")
    (request,) = api.requests
    assert request["x-api-key"] == KEY
    assert request["user-agent"] == f"inkbox-mcp/{__version__}"


async def test_the_key_from_the_config_file_reaches_the_api(tmp_path: Path) -> None:
    """The file is shared with other Inkbox software, so one configuration is enough."""
    async with upstream(answer=[]) as api:
        write_config(tmp_path, f'api_key = "{KEY}"\nbase_url = {api.url}/\n')
        async with stdio_agent("--api-generation", "spec", home=tmp_path) as agent:
            await agent.call("get_mailbox", email_address="a")
    assert [request["x-api-key"] for request in api.requests] == [KEY]


def write_config(home: Path, text: str) -> None:
    """Write `~/.inkbox/config`."""
    (home / ".inkbox").mkdir()
    (home / ".inkbox" / "config").write_text(text)


def test_a_config_file_that_is_wrong_stops_a_server_and_the_tour_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sandbox and the list of tools do not read the file."""
    write_config(tmp_path, "base_url = http://wrong.example\n")
    assert "base_url" in refusal(capsys)
    assert "base_url" in refusal(capsys, "demo")
    assert refusal(capsys, "sandbox", "--db", str(tmp_path)).startswith("--db: ")
    assert main(["tools"]) == 0


async def origin(sandbox: Running) -> str:
    """Read the sandbox's URL from its first lines."""
    return (await pasted(sandbox))["INKBOX_BASE_URL"]


async def pasted(sandbox: Running) -> dict[str, str]:
    """Run the two lines to paste as a shell does; return the variables that they set."""
    assert "paste these two lines" in await sandbox.line()
    lines = [await sandbox.line(), await sandbox.line()]
    ended = await anyio.run_process(["/bin/sh", "-c", "\n".join([*lines, "env"])], env={"PATH": os.environ["PATH"]})
    assigned = dict(line.split("=", 1) for line in ended.stdout.decode().splitlines())
    return {name: value for name, value in assigned.items() if name.startswith("INKBOX_")}


async def test_the_sandbox_loads_neither_the_tools_nor_the_protocol(tmp_path: Path) -> None:
    """The sandbox stands in for the API, so it does not need the code of a client."""
    command = (sys.executable, "-X", "importtime", "-m", "inkbox_mcp", "sandbox", "--port", "0", "--db", ":memory:")
    async with start_process(*command, home=tmp_path) as sandbox:
        await origin(sandbox)
        sandbox.signal(signal.SIGTERM)
        loaded = {line.rpartition("|")[2].strip() for line in (await sandbox.end()).stderr.splitlines()}
    assert {"inkbox_mcp.sandbox", "inkbox_mcp.http.asgi_server"} <= loaded
    for name in ("service", "tools", "protocol", "access", "toolkit"):
        assert f"inkbox_mcp.{name}" not in loaded
    assert "mcp" not in loaded


async def test_the_sandbox_is_an_inkbox_for_other_programs(tmp_path: Path) -> None:
    """It prints its URL, separates the mailboxes of different keys, and ends with status 0 on a signal."""
    async with start("sandbox", "--port", "0", "--db", str(tmp_path / "x.db"), home=tmp_path) as sandbox:
        url = await origin(sandbox)
        async with connect(url) as agent:
            await agent.ask("create_mailbox", agent_handle="sales-agent")
        async with connect(url, api_key=KEY.replace("1111", "2222")) as agent:
            assert (await agent.ask("list_mailboxes"))["total"] == 0
        assert await sandbox.line() == f"see its mailboxes and their mail: {url}/"
        sandbox.signal(signal.SIGTERM)
        assert await sandbox.end() == (0, "", "")


async def test_the_lines_that_the_sandbox_prints_connect_a_program_to_it(tmp_path: Path) -> None:
    """Its key is that of the embedded sandbox, so both show the same mailboxes of one file."""
    database = str(tmp_path / "x.db")
    async with start("sandbox", "--port", "0", "--db", database, home=tmp_path) as sandbox:
        variables = await pasted(sandbox)
        assert set(variables) == {"INKBOX_BASE_URL", "INKBOX_API_KEY"}
        url, key = variables["INKBOX_BASE_URL"], variables["INKBOX_API_KEY"]
        async with connect(url, api_key=key) as agent:
            made = await agent.ask("create_mailbox", agent_handle="sales-agent")
    async with connect(sandbox=True, sandbox_db=database) as agent:
        assert (await agent.ask("get_mailbox", email_address=made["email_address"]))["id"] == made["id"]


@pytest.mark.parametrize("database", ["no-database", "a-directory", "file/below.db"])
def test_a_sandbox_on_a_file_that_cannot_be_used_does_not_start(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the option and the file, and the file stays unchanged."""
    content = "something else, and long enough not to be taken for an empty file" * 20
    (tmp_path / "no-database").write_text(content)
    (tmp_path / "a-directory").mkdir()
    (tmp_path / "file").write_text("")
    message = refusal(capsys, "sandbox", "--port", "0", "--db", str(tmp_path / database))
    assert message.startswith("--db: ")
    assert str(tmp_path) in message
    assert (tmp_path / "no-database").read_text() == content


@pytest.mark.parametrize("arguments", [["--http"], ["sandbox", "--db", ":memory:"]], ids=["server", "sandbox"])
def test_a_port_that_is_taken_stops_the_start(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert refusal(capsys, *arguments, "--port", port).startswith(f"--port {port}: ")


async def test_the_installed_command_is_this_one(tmp_path: Path) -> None:
    """Users configure clients with the name of the installed command."""
    command = Path(sys.executable).with_name("inkbox-mcp")
    async with start_process(str(command), "--version", home=tmp_path) as process:
        assert await process.end() == (0, f"inkbox-mcp {__version__}\n", "")


ENCODINGS: list[dict[str, str]] = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "cp1252"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("variables", choices(ENCODINGS, ENCODINGS[1:]), ids=str)
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["doctor"], 1),
        pytest.param(["tools"], 0, marks=pytest.mark.slow),
        pytest.param(["tools", "--json"], 0, marks=pytest.mark.slow),
        pytest.param(["--help"], 0, marks=pytest.mark.slow),
        (["--→"], 2),
    ],
)
async def test_a_terminal_of_any_encoding_shows_what_it_can(
    arguments: list[str], status: int, variables: dict[str, str], tmp_path: Path
) -> None:
    """Characters that the encoding lacks are replaced."""
    ended = await run(*arguments, home=tmp_path, **variables)
    assert ended.status == status
    assert "Traceback" not in ended.stderr
    assert len(ended.stdout + ended.stderr) > 30


@pytest.mark.slow
async def test_the_tour_is_shown_on_a_terminal_that_knows_no_arrows(tmp_path: Path) -> None:
    """Question marks replace the arrows."""
    status, stdout, stderr = await run("demo", home=tmp_path, PYTHONIOENCODING="ascii")
    assert (status, stderr) == (0, "")
    assert "? create_mailbox" in stdout


COMMANDS_ALIKE = {"tools --json", "--version", "demo", "tools", "doctor"}


@pytest.mark.parametrize(
    "arguments", choices(["doctor", "--help", "tools --json", "--version", "demo", "tools"], COMMANDS_ALIKE)
)
@pytest.mark.parametrize("stdout", ["", ">/dev/full", ">&-"])
async def test_a_command_whose_output_nobody_takes_ends_without_a_traceback(
    arguments: str, stdout: str, tmp_path: Path
) -> None:
    """The reader may have closed the pipe, the disk may be full, or stdout may be closed."""
    nobody, pipe = os.pipe()
    os.close(nobody)
    command = f"exec {sys.executable} -m inkbox_mcp {arguments} {stdout}"
    try:
        ended = await anyio.run_process(["/bin/sh", "-c", command], stdout=pipe, env=environment(tmp_path), check=False)
    finally:
        os.close(pipe)
    if stdout == ">/dev/full":
        assert (ended.returncode, ended.stderr) == (2, b"inkbox-mcp: stdout: No space left on device\n")
    else:
        assert (ended.returncode, ended.stderr) == (1 if arguments == "doctor" else 0, b"")


@pytest.mark.slow
async def test_a_sandbox_is_served_with_all_streams_closed(tmp_path: Path) -> None:
    """A supervisor may have closed the streams, and a connection must not reuse their descriptors."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = f"exec {sys.executable} -m inkbox_mcp sandbox --port {port} --db :memory: <&- >&- 2>&-"
    async with start_process("/bin/sh", "-c", command, home=tmp_path) as server:
        with anyio.fail_after(PATIENCE):
            while True:
                try:
                    async with await anyio.connect_tcp("127.0.0.1", port):
                        break
                except OSError:
                    await anyio.lowlevel.checkpoint()
        server.signal(signal.SIGTERM)
        assert (await server.end()).status == 0


NO_HOME = """
import os, pwd, sys
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
from inkbox_mcp.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "arguments",
    choices([[], ["--sandbox", "--sandbox-db", ":memory:"], ["doctor"], ["tools"]], [[], ["doctor"], ["tools"]]),
)
async def test_a_user_without_a_home_and_a_name_is_served(arguments: list[str]) -> None:
    """Containers may run as a user id that has no entry in the password database."""
    command = ["/usr/bin/env", "-u", "HOME", sys.executable, "-c", NO_HOME, *arguments]
    ended = await anyio.run_process(command, env={"PATH": os.environ["PATH"]}, input=b"", check=False)
    assert (ended.returncode, ended.stderr) == (1 if arguments == ["doctor"] else 0, b"")


async def test_a_sandbox_of_a_user_without_a_home_must_be_told_where_to_be() -> None:
    """The error is one line that names the option for the path."""
    for arguments in (["--sandbox"], ["doctor", "--sandbox"], ["sandbox", "--port", "0"]):
        command = ["/usr/bin/env", "-u", "HOME", sys.executable, "-c", NO_HOME, *arguments]
        ended = await anyio.run_process(command, env={"PATH": os.environ["PATH"]}, input=b"", check=False)
        assert ended.returncode == 2
        option = b"--db" if "--port" in arguments else b"--sandbox-db"
        assert ended.stderr.startswith(b"inkbox-mcp: " + option + b": there is no home directory")
        assert ended.stderr.count(b"\n") == 1
