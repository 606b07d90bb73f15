"""Real clients read the blocks of docs/clients.md and connect to the server.

Each is fetched once, by its exact version, within a minute; the test of one that cannot be fetched is skipped with a
reason that begins with NOT CHECKED. No account is needed: the tools are listed, and no model is asked.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.support import clients
from tests.support.catalogue import SPEC
from tests.support.clients import WAYS, Way
from tests.support.node import find_node, show_until
from tests.support.shared_servers import SharedHTTP

pytestmark = [pytest.mark.slow, pytest.mark.clients, pytest.mark.linux]

SECONDS_TO_FETCH = 60
TOKEN = "0123456789abcdef" * 4
BIN = Path(sys.executable).parent

PROGRAMS = {
    "Claude Code": "@anthropic-ai/claude-code@2.1.332",
    "Codex": "@openai/codex@0.171.0",
    "Gemini CLI": "@google/gemini-cli@0.61.0",
    "Copilot CLI": "@github/copilot@1.0.102",
    "opencode": "opencode-ai@1.18.33",
    "Claude Desktop": "mcp-remote@0.15.1",  # what it starts to connect over HTTP
}
WITH_SCRIPTS = ("@anthropic-ai/claude-code", "opencode-ai")
"""Packages whose script puts the program for this machine in its place; no script of another package is run."""

FRAMEWORKS = {
    "LangChain": ["langchain[mcp]==1.5.2"],
    "OpenAI Agents SDK": ["openai-agents==0.24.0"],
    "pydantic-ai": ["pydantic-ai-slim[mcp]==2.68.0"],
    "CrewAI": ["crewai==1.15.30", "mcp==1.30.0"],
    "Google ADK": ["google-adk[mcp]==2.13.0"],
}

OUTSIDE = dict(os.environ)
"""The environment before the tests took the public certificate authorities out of it, which fetching needs."""

LISTED = """
import asyncio, json
print("TOOLS", json.dumps([tool.name for tool in asyncio.run({listing})]))
"""
LISTINGS = dict.fromkeys(FRAMEWORKS, "tools()") | {"Google ADK": "toolset.get_tools()"}

CODEX = """
import json, subprocess, sys
server = subprocess.Popen([sys.argv[1], "app-server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
def send(**message):
    server.stdin.write(json.dumps(message) + "\\n")
    server.stdin.flush()
send(id=1, method="initialize", params={"clientInfo": {"name": "test", "title": "Test", "version": "1"}})
for line in server.stdout:
    message = json.loads(line)
    if message.get("id") == 1:
        send(method="initialized")
        send(id=2, method="mcpServerStatus/list", params={})
    if message.get("id") == 2:
        (inkbox,) = message["result"]["data"]
        print("TOOLS", json.dumps(list(inkbox["tools"])))
        break
server.kill()
"""


@dataclass(frozen=True)
class Machine:
    """A user's machine, on which nothing is configured but one client."""

    home: Path
    environment: dict[str, str]

    def write(self, place: str, text: str) -> None:
        """Write a file of the user's."""
        path = self.home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(self, *command: str | Path) -> str:
        """Run a program in an empty project; return what it prints, without colours."""
        project = self.home / "project"
        project.mkdir(exist_ok=True)
        done = subprocess.run(
            command,
            cwd=project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def origin(shared_http: SharedHTTP) -> str:
    """The origin of a server on a sandbox, which wants the token."""
    return shared_http(INKBOX_MCP_TOKEN=TOKEN)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine whose `PATH` has our command and Node."""
    node, _ = find_node()
    environment = {
        "PATH": f"{BIN}:{node.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        clients.KEY_VARIABLE: clients.KEY,
        clients.TOKEN_VARIABLE: TOKEN,
        "NO_COLOR": "1",
        "CI": "1",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "OPENAI_API_KEY": "none",  # CrewAI makes a client of its model before it needs one
        **dict.fromkeys(("OTEL_SDK_DISABLED", "CREWAI_DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER"), "true"),
    }
    return Machine(tmp_path, environment)


@pytest.fixture(scope="module")
def program(pytestconfig: pytest.Config) -> Callable[[str], Path]:
    """Return a function that returns the folder of the programs of a client's npm package."""
    node, npm = find_node()

    def folder(client: str) -> Path:
        package = PROGRAMS[client]
        place = _cache(pytestconfig, package)
        environment = {**OUTSIDE, "PATH": f"{node.parent}:{os.environ['PATH']}"}
        quiet = ["--prefix", str(place), "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1"]
        commands = [[str(node), str(npm), "install", *quiet, "--ignore-scripts", package]]
        if (name := package.rpartition("@")[0]) in WITH_SCRIPTS:
            commands.append([str(node), str(npm), "rebuild", *quiet, name])
        _fetch(place, commands, environment, package)
        return place / "node_modules" / ".bin"

    return folder


@pytest.fixture(scope="module")
def python(pytestconfig: pytest.Config) -> Callable[[str], Path]:
    """Return a function that returns the Python of an environment with a framework."""

    def interpreter(framework: str) -> Path:
        packages = FRAMEWORKS[framework]
        place = _cache(pytestconfig, packages[0])
        uv = [sys.executable, "-m", "uv"]
        found = place / "venv" / "bin" / "python"
        commands = [
            [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place / "venv")],
            [*uv, "pip", "install", "--quiet", "--python", str(found), *packages],
        ]
        _fetch(place, commands, OUTSIDE, packages[0])
        return found

    return interpreter


def _cache(config: pytest.Config, package: str) -> Path:
    assert config.cache is not None
    return config.cache.mkdir("client-" + "".join(letter if letter.isalnum() else "-" for letter in package))


def _fetch(place: Path, commands: list[list[str]], environment: dict[str, str], package: str) -> None:
    """Run the commands, unless they ran before; skip the test if they cannot be run within the time."""
    complete = place / "complete"
    if complete.exists():
        return
    try:
        for command in commands:
            subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True, timeout=SECONDS_TO_FETCH
            )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"NOT CHECKED: {package} could not be fetched: {str(error.stderr or error).strip()[-300:]}")
    complete.touch()


def placed(client: str, way: Way, origin: str) -> str:
    """Return a block for the server that runs."""
    return clients.block(client, way, released=False).text.replace("http://127.0.0.1:8000", origin)


def tools(printed: str) -> list[str]:
    """Return the names of the tools that a program lists."""
    (line,) = [line for line in printed.splitlines() if line.startswith("TOOLS ")]
    return json.loads(line.removeprefix("TOOLS "))


each_way = pytest.mark.parametrize("way", WAYS)


@each_way
def test_claude_code_connects(machine: Machine, program: Callable[[str], Path], origin: str, way: Way) -> None:
    """Its own command writes its file, and its health check connects."""
    claude = program("Claude Code")
    machine.run("bash", "-euc", f'PATH="{claude}:$PATH"\n{placed("Claude Code", way, origin)}')
    show_until("✔ Connected", lambda: machine.run(claude / "claude", "mcp", "list"))
    assert "Removed" in machine.run(claude / "claude", "mcp", "remove", "--scope", "user", clients.NAME)


@each_way
def test_codex_lists_the_tools(machine: Machine, program: Callable[[str], Path], origin: str, way: Way) -> None:
    """The server of its app is asked, which needs no account."""
    machine.write(".codex/config.toml", placed("Codex", way, origin))
    printed = machine.run(sys.executable, "-c", CODEX, program("Codex") / "codex")
    assert sorted(tools(printed)) == sorted(SPEC)


@each_way
def test_gemini_connects(machine: Machine, program: Callable[[str], Path], origin: str, way: Way) -> None:
    """Its list says which servers answered."""
    machine.write(".gemini/settings.json", placed("Gemini CLI", way, origin))
    gemini = program("Gemini CLI") / "gemini"
    printed = show_until("✓ inkbox", lambda: machine.run("bash", "-c", '"$0" mcp list 2>&1', gemini))
    assert "- Connected" in printed


@each_way
def test_opencode_connects(machine: Machine, program: Callable[[str], Path], origin: str, way: Way) -> None:
    """Its list says which servers answered."""
    machine.write(".config/opencode/opencode.json", placed("opencode", way, origin))
    opencode = program("opencode") / "opencode"
    show_until("✓ inkbox", lambda: machine.run(opencode, "mcp", "list"))


@each_way
def test_copilot_reads_its_block(machine: Machine, program: Callable[[str], Path], origin: str, way: Way) -> None:
    """Without an account it connects to nothing, but shows what it understood."""
    block = placed("Copilot CLI", way, origin)
    machine.write(".copilot/mcp-config.json", block)
    printed = machine.run(program("Copilot CLI") / "copilot", "mcp", "get", clients.NAME, "--json", "--show-secrets")
    understood = json.loads(printed)
    (written,) = json.loads(block)["mcpServers"].values()
    flat = json.dumps(understood)
    assert [value for key, value in written.items() if json.dumps(value) not in flat and key != "tools"] == []


async def test_what_claude_desktop_starts_connects(
    machine: Machine, program: Callable[[str], Path], origin: str
) -> None:
    """`npx mcp-remote` passes messages and the header on to a running server."""
    (entry,) = json.loads(placed("Claude Desktop", "http", origin))["mcpServers"].values()
    _, name, *arguments = entry["args"]
    token = {variable: value.replace(clients.TOKEN, TOKEN) for variable, value in entry["env"].items()}
    command = str(program("Claude Desktop") / name)
    started = StdioServerParameters(command=command, args=arguments, env={**machine.environment, **token})
    async with Client(stdio_client(started), mode="legacy") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == list(SPEC)


@each_way
@pytest.mark.parametrize("framework", [name for name in FRAMEWORKS if name != "CrewAI"])
def test_a_framework_lists_the_tools(
    machine: Machine, python: Callable[[str], Path], origin: str, framework: str, way: Way
) -> None:
    """The program of the page runs as it stands there; ADK sorts what it lists."""
    program = placed(framework, way, origin) + LISTED.format(listing=LISTINGS[framework])
    assert sorted(tools(machine.run(python(framework), "-W", "ignore", "-c", program))) == sorted(SPEC)


@each_way
def test_crewai_lists_the_tools(machine: Machine, python: Callable[[str], Path], origin: str, way: Way) -> None:
    """It puts the server's name before each tool's."""
    program = placed("CrewAI", way, origin)
    program += '\nimport json\nprint("\\nTOOLS", json.dumps([tool.name for tool in agent.get_mcp_tools([server])]))'
    found = tools(machine.run(python("CrewAI"), "-W", "ignore", "-c", program))
    assert len(found) == len(SPEC)
    assert all(name.endswith(tool) for name, tool in zip(found, SPEC, strict=True))
