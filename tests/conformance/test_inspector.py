"""The MCP Inspector as a client, with its strict check of what clients support."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.catalogue import SPEC
from tests.support.node import Program

pytestmark = pytest.mark.slow


@pytest.fixture(params=["http-modern", "http-legacy", "stdio-modern", "stdio-legacy"])
def target(request: pytest.FixtureRequest) -> list[str]:
    """Arguments that select our server, over each transport and in each protocol era."""
    transport, era = request.param.split("-")
    if transport == "http":
        return [request.getfixturevalue("server_url"), "--transport", "http", "--protocol-era", era]
    command = Path(sys.executable).with_name("inkbox-mcp")
    return [str(command), "--sandbox", "--sandbox-db", ":memory:", "--protocol-era", era]


def test_inspector_finds_no_fault_in_the_tools(program: Program, target: list[str], tmp_path: Path) -> None:
    """Every tool is listed, and every schema works in all clients that the check knows."""
    result = program(
        "mcp-inspector", "--cli", *target, "--method", "tools/list", "--strict", "--format", "json", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert [tool["name"] for tool in json.loads(result.stdout)["result"]["tools"]] == list(SPEC)


def test_inspector_calls_a_tool(program: Program, target: list[str], tmp_path: Path) -> None:
    """A client of another project gets structured data."""
    call = ["--method", "tools/call", "--tool-name", "list_mailboxes", "--tool-arg", "limit=1", "--format", "json"]
    result = program("mcp-inspector", "--cli", *target, *call, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["result"]["structuredContent"]["total"] == 0
