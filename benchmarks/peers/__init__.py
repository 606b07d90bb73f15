"""The compared servers: the same mailbox tools, made with different frameworks."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environments import distribution_version, python_environment, typescript_bundle
from inkbox_mcp import __version__

KEY = "ApiKey_11111111-1111-4111-8111-111111111111.benchmark"
TOOLS = ("create_mailbox", "list_mailboxes", "get_mailbox", "update_mailbox", "delete_mailbox")

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """A server that can be started.

    Attributes:
        name: the name in tables.
        version: the version of its framework.
        stdio: the command line that serves stdio.
        http: returns the command line that serves HTTP, for a port and whether sessions are off.
        health: the path for the balancer's health check; without it the balancer only connects.
    """

    name: str
    version: str
    stdio: list[str]
    http: Callable[[int, bool], list[str]] | None = None
    health: str | None = None


def environment(upstream: str, home: Path) -> dict[str, str]:
    """Return the environment of a server: it hides the user's own variables and switches update checks off."""
    own = {"INKBOX_API_KEY": KEY, "INKBOX_BASE_URL": upstream, "FASTMCP_CHECK_FOR_UPDATES": "off"}
    own["INKBOX_MCP_API_GENERATION"] = "spec"  # the stub has no resource that would show it
    return {"PATH": os.environ["PATH"], "HOME": str(home), **own}


def ours() -> Peer:
    """This project's server, started as a user does; over stdio it offers only the tools of the other servers."""

    def http(port: int, stateless: bool) -> list[str]:
        return [
            sys.executable,
            "-m",
            "inkbox_mcp",
            "--http",
            "--port",
            str(port),
            *(["--stateless"] if stateless else []),
        ]

    script = shutil.which("inkbox-mcp", path=str(Path(sys.executable).parent))
    command = [script] if script else [sys.executable, "-m", "inkbox_mcp"]
    return Peer("inkbox-mcp", __version__, [*command, "--tools", ",".join(TOOLS)], http, health="/readyz")


def fastmcp(cache: Path) -> Peer:
    """FastMCP's decorators, in an environment that is built from PyPI on first use.

    Raises:
        BenchmarkError: the environment cannot be built.
    """
    name = f"fastmcp-4-python{sys.version_info.major}.{sys.version_info.minor}"
    python = python_environment(cache.expanduser() / name, "fastmcp>=4,<5")
    server = _HERE / "fastmcp_server.py"

    def http(port: int, stateless: bool) -> list[str]:
        return [python, str(server), str(port), *(["--stateless"] if stateless else [])]

    return Peer("FastMCP", distribution_version(python, "fastmcp"), [python, str(server)], http)


def mcpserver() -> Peer:
    """The decorators of the SDK that this project uses."""
    return Peer("MCPServer", importlib.metadata.version("mcp"), [sys.executable, str(_HERE / "mcpserver_server.py")])


def typescript(cache: Path) -> Peer:
    """The TypeScript SDK, bundled into one file; built from npm on first use.

    Raises:
        BenchmarkError: the bundle cannot be built, or Node is missing.
    """
    bundle, version = typescript_bundle(cache.expanduser() / "typescript-sdk-1", _HERE / "typescript_server.ts")
    return Peer("TypeScript", version, [shutil.which("node") or "node", str(bundle)])


def loop() -> Peer:
    """JSON-RPC written by hand, without a framework."""
    return Peer("hand-written", platform.python_version(), [sys.executable, str(_HERE / "json_rpc_loop.py")])
