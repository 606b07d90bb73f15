"""The programs that install the server: they take its bundle, plugin and extension, and start it from them."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from deploy.installers.__main__ import main
from tests.support import clients
from tests.support.agents import Agent
from tests.support.catalogue import SPEC
from tests.support.node import HOSTS, find_node, npm_folder, show_until

pytestmark = [pytest.mark.slow, pytest.mark.linux]

ROOT = Path(__file__).parent.parent.parent

SUBSTITUTE = """
import { getMcpConfigForManifest } from "@anthropic-ai/mcpb/node";
import { readFileSync } from "node:fs";
const [folder, userConfig] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(`${folder}/manifest.json`, "utf-8"));
const systemDirs = { HOME: process.env.HOME };
const options = { manifest, extensionPath: folder, systemDirs, userConfig: JSON.parse(userConfig), pathSeparator: "/" };
console.log(JSON.stringify(await getMcpConfigForManifest(options)));
"""
"""What Claude Desktop does with a manifest, by the package that has its code for it."""


@pytest.fixture(scope="module")
def modules(pytestconfig: pytest.Config) -> Path:
    """The hosts' npm packages, installed once in pytest's cache without their scripts."""
    return npm_folder(pytestconfig, "npm-hosts", HOSTS) / "node_modules"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a user who has configured nothing but, for uv, where this system keeps its authorities."""
    home = tmp_path / "home"
    (home / ".config" / "uv").mkdir(parents=True)
    (home / ".config" / "uv" / "uv.toml").write_text("system-certs = true\n", encoding="utf-8")
    return home


@pytest.fixture
def variables(home: Path) -> dict[str, str]:
    """The environment of that user, who has uv and Node, and of uv's cache only."""
    programs = [Path(sys.executable).parent, find_node()[0].parent]
    cache = subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    kept = {name: value for name, value in os.environ.items() if name in {"SSL_CERT_FILE", "HTTPS_PROXY"}}
    return kept | {
        "HOME": str(home),
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "UV_CACHE_DIR": cache,
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    }


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder into which a host has unpacked the bundle."""
    main([str(tmp_path / "dist")])
    (path,) = (tmp_path / "dist").glob("*.mcpb")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The repository as a host gets it, without what is only for developers."""
    clone = tmp_path / "clone"
    unneeded = shutil.ignore_patterns(
        ".git", ".venv", "__pycache__", "build", "dist", "tests", "benchmarks", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, clone, ignore=unneeded)
    return clone


def run(*command: str | Path, cwd: Path, variables: dict[str, str], typed: str = "") -> str:
    """Run a program and return what it prints; it must succeed."""
    ran = subprocess.run(
        command, cwd=cwd, env=variables, input=typed, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def documented(client: str) -> list[list[str]]:
    """Return the commands by which the documents have a client install the server, in a clone."""
    block = clients.one_click(released=False)[client].partition("```sh\n")[2].partition("```")[0]
    return [shlex.split(line) for line in block.splitlines()]


def require_downloads(folder: Path, variables: dict[str, str]) -> None:
    """Have uv install what the server needs, or skip the test where there is no network."""
    got = subprocess.run(
        ["uv", "sync", "--project", folder], env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    if "error sending request" in got.stderr:
        pytest.skip(f"NOT CHECKED: uv could not download what the bundle requires: {got.stderr.splitlines()[-1]}")
    assert got.returncode == 0, got.stderr


def as_configured(bundle: Path, modules: Path, variables: dict[str, str], chosen: dict[str, Any]) -> dict[str, Any]:
    """Return the command that the host makes from the manifest and what a person chose in its form."""
    script = modules.parent / "substitute.mjs"
    script.write_text(SUBSTITUTE, encoding="utf-8")
    printed = run(find_node()[0], script, bundle, json.dumps(chosen), cwd=bundle, variables=variables)
    return json.loads(printed)


@asynccontextmanager
async def started(config: dict[str, Any], variables: dict[str, str]) -> AsyncGenerator[Agent]:
    """Start a server as the host does."""
    server = StdioServerParameters(
        command=config["command"], args=config["args"], env={**variables, **config["env"]}, cwd="/"
    )
    async with Client(stdio_client(server)) as client:
        yield Agent(client)


def test_the_bundle_is_valid(bundle: Path, modules: Path, variables: dict[str, str]) -> None:
    """The validator of the format finds no fault in the manifest and the icon."""
    validator = (modules / ".bin" / "mcpb").resolve()
    assert "passes" in run(find_node()[0], validator, "validate", bundle, cwd=bundle, variables=variables)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "unknown": 1}), encoding="utf-8")
    with pytest.raises(AssertionError, match="unknown"):
        run(find_node()[0], validator, "validate", bundle, cwd=bundle, variables=variables)


async def test_the_bundle_starts_with_the_form_as_it_is(bundle: Path, modules: Path, variables: dict[str, str]) -> None:
    """A person who only clicks through sees the tools; the first call says that the key is missing."""
    require_downloads(bundle, variables)
    async with started(as_configured(bundle, modules, variables, {}), variables) as agent:
        assert [tool.name for tool in (await agent.client.list_tools()).tools] == list(SPEC)
        assert "INKBOX_API_KEY" in await agent.refused("whoami")


async def test_the_bundle_does_what_the_form_says(bundle: Path, modules: Path, variables: dict[str, str]) -> None:
    """The sandbox makes it work without an account, and the limit is kept."""
    require_downloads(bundle, variables)
    chosen = {"sandbox": True, "read_only": True, "api_key": ""}
    async with started(as_configured(bundle, modules, variables, chosen), variables) as agent:
        offered = {tool.name for tool in (await agent.client.list_tools()).tools}
        assert offered == {name for name, tool in SPEC.items() if tool.hints.read_only}
        assert await agent.ask("list_identities")


def test_claude_code_installs_the_plugin_and_connects(clone: Path, modules: Path, variables: dict[str, str]) -> None:
    """A valid plugin whose server does not start would only be noticed by its users."""
    require_downloads(clone, variables)
    (claude,) = (modules / "@anthropic-ai").glob("claude-code-*/claude")
    home = Path(variables["HOME"])
    for manifest in ("", ".claude-plugin/plugin.json"):
        run(claude, "plugin", "validate", "--strict", clone / manifest, cwd=home, variables=variables)
    for _, *arguments in documented("Claude Code"):
        run(claude, *arguments, cwd=clone, variables=variables)
    shown = show_until("✔ Connected", lambda: run(claude, "mcp", "list", cwd=home, variables=variables))
    assert "plugin:inkbox-mcp:inkbox" in shown


def test_gemini_cli_installs_the_extension_and_connects(clone: Path, modules: Path, variables: dict[str, str]) -> None:
    """It starts the server without the variables of the shell, and with settings that nobody has made."""
    gemini = [find_node()[0], (modules / ".bin" / "gemini").resolve()]
    home = Path(variables["HOME"])
    run(*gemini, "extensions", "validate", clone, cwd=home, variables=variables)
    ((_, *arguments),) = documented("Gemini CLI")
    run(*gemini, *arguments, "--consent", "--skip-settings", cwd=clone, variables=variables, typed="y\n")
    extension = home / ".gemini" / "extensions" / "inkbox-mcp"
    # It gives uv no variable, so not the cache either.
    require_downloads(extension, {name: value for name, value in variables.items() if name != "UV_CACHE_DIR"})
    show_until("✓ inkbox (from inkbox-mcp)", lambda: run(*gemini, "mcp", "list", cwd=home, variables=variables))
