"""Fixtures: servers as processes, and the Node programs that check them."""

import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.node import PROGRAMS, Program, find_node, npm_folder

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user who has configured nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INKBOX_")}
    return kept | {"HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture(scope="session")
def server_url(environment: dict[str, str]) -> Iterator[str]:
    """The address of our server, started as a user starts it."""
    with serving(environment, "inkbox_mcp", "--sandbox", "--sandbox-db", ":memory:", "--http", "--port", "0") as url:
        yield url


@pytest.fixture(scope="session")
def fixtures_url(environment: dict[str, str]) -> Iterator[str]:
    """The address of our server with the tools, resources and prompts of the suite."""
    with serving(environment, "tests.conformance") as url:
        yield url


@contextmanager
def serving(environment: dict[str, str], module: str, *arguments: str) -> Generator[str]:
    """Run a module that serves HTTP; yield its address once it is printed."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        log: list[str] = []
        try:
            for line in process.stderr:
                log.append(line)
                if "serving MCP at " in line:
                    break
            else:
                pytest.fail(f"{module} ended before it served:\n{''.join(log)}")
            reader = threading.Thread(target=log.extend, args=[process.stderr])  # a full pipe would block the server
            reader.start()
            yield log[-1].split()[-1]
        finally:
            process.terminate()
        reader.join()


@pytest.fixture(scope="session")
def program(pytestconfig: pytest.Config, environment: dict[str, str]) -> Program:
    """Return a function that runs a program of a pinned npm package, installed once in pytest's cache."""
    node, _ = find_node()
    folder = npm_folder(pytestconfig, "npm", PROGRAMS)

    def run(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        script = (folder / "node_modules" / ".bin" / name).resolve()
        return subprocess.run(
            [node, script, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
        )

    return run
