"""The servers that are compared: the same mailbox tools, made with different frameworks."""

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import BenchmarkError
from inkbox_mcp import __version__

CACHE = Path("~/.cache/inkbox-mcp-benchmarks")
KEY = "ApiKey_11111111-1111-4111-8111-111111111111.benchmark"

_FASTMCP = "fastmcp>=4,<5"
_SERVER = Path(__file__).with_name("fastmcp_server.py")
_SECONDS_TO_INSTALL = 300


@dataclass(frozen=True)
class Peer:
    """A server that can be started.

    Attributes:
        name: what tables call it.
        version: of its framework.
        command: makes the command line from a port, whether to do without sessions, and the number of processes.
        health: the path where a balancer asks whether it is ready; without one it tries to connect.
    """

    name: str
    version: str
    command: Callable[[int, bool, int], list[str]]
    health: str | None = None


def environment(upstream: str, home: Path) -> dict[str, str]:
    """Return the environment of a server on an Inkbox: nothing of the user's own, and no look for updates."""
    own = {"INKBOX_API_KEY": KEY, "INKBOX_BASE_URL": upstream, "FASTMCP_CHECK_FOR_UPDATES": "off"}
    return {"PATH": os.environ["PATH"], "HOME": str(home), **own}


def ours() -> Peer:
    """This project's server, started as a user would."""

    def command(port: int, stateless: bool, workers: int) -> list[str]:
        options = ["--http", "--port", str(port), *(["--stateless"] if stateless else [])]
        several = ["--workers", str(workers)] if workers > 1 else []
        return [sys.executable, "-m", "inkbox_mcp", *options, *several]

    return Peer("inkbox-mcp", __version__, command, health="/readyz")


def fastmcp(cache: Path) -> Peer:
    """The same tools made with FastMCP's decorators, in an environment that is built from PyPI on first use.

    Raises:
        BenchmarkError: it cannot be built.
    """
    python = _environment(cache.expanduser() / f"fastmcp-4-python{sys.version_info.major}.{sys.version_info.minor}")
    version = _output([python, "-c", "import importlib.metadata as m; print(m.version('fastmcp'))"])

    def command(port: int, stateless: bool, workers: int) -> list[str]:
        if workers == 1:
            return [python, str(_SERVER), str(port), *(["--stateless"] if stateless else [])]
        options = ["--host=127.0.0.1", f"--port={port}", f"--workers={workers}", f"--app-dir={_SERVER.parent}"]
        return [python, "-m", "uvicorn", "--factory", *options, f"{_SERVER.stem}:stateless_app"]

    return Peer("FastMCP", version, command)


def _environment(directory: Path) -> str:
    python, ready = directory / "bin" / "python", directory / "ready"
    if not ready.exists():
        sys.stderr.write(f"building {directory} from PyPI, once\n")
        venv.create(directory, clear=True, with_pip=True)
        _output([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", _FASTMCP])
        ready.touch()
    return str(python)


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - command lines are the benchmarks' own
            command, capture_output=True, text=True, timeout=_SECONDS_TO_INSTALL, check=True
        )
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().splitlines() or [f"status {error.returncode}"]
        raise BenchmarkError(f"the environment of {_FASTMCP} cannot be built: {reason[-1]}") from None
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{_FASTMCP} was not installed within {_SECONDS_TO_INSTALL} seconds") from None
    return done.stdout.strip()
