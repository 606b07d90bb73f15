"""Agent frameworks convert our schemas into those of their model; the conversion must not lose anything."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.types import Tool

from inkbox_mcp.protocol.declaration import declaration
from tests.support.catalogue import CATALOGUES, EVERY, SPEC, generation_of

pytestmark = pytest.mark.slow

TOOLS = {key: declaration(operation, CATALOGUES[generation_of(key)]) for key, operation in EVERY.items()}
each_tool = pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)

# It needs version 1 of the Python SDK, which cannot be installed next to version 2.
LANGCHAIN_ADAPTERS = "langchain-mcp-adapters==0.3.2"
LANGCHAIN_AGENT = """
import asyncio
import json
import sys

from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_mcp_adapters.client import MultiServerMCPClient

async def main():
    server = {"transport": "stdio", "command": sys.argv[1], "args": sys.argv[2:]}
    tools = await MultiServerMCPClient({"inkbox": server}).get_tools()
    (list_mailboxes,) = [tool for tool in tools if tool.name == "list_mailboxes"]
    (answer,) = await list_mailboxes.ainvoke({"limit": 1})
    print(json.dumps([[convert_to_openai_tool(tool)["function"] for tool in tools], json.loads(answer["text"])]))

asyncio.run(main())
"""


def parameters(schema: dict[str, Any]) -> dict[str, tuple[str, str, bool]]:
    """Return each parameter's type, description and whether it may be null, from JSON Schema or Google's form."""
    found: dict[str, tuple[str, str, bool]] = {}
    for name, field in schema["properties"].items():
        arms = field.get("anyOf", [field])
        kinds = {arm["type"].lower() for arm in arms}
        (kind,) = kinds - {"null"}
        found[name] = (kind, field["description"], "null" in kinds or bool(field.get("nullable")))
    return found


def test_a_webhook_can_be_null() -> None:
    """It is the only null with a meaning, so the converters must keep it."""
    nullable = {
        (tool.name, name)
        for tool in TOOLS.values()
        for name, (*_, null) in parameters(tool.input_schema).items()
        if null
    }
    assert nullable == {("update_mailbox", "webhook_url")}


@each_tool
def test_google_genai_keeps_every_parameter(tool: Tool) -> None:
    """Gemini must get each type, description and null, and the list of required parameters."""
    helpers = pytest.importorskip("google.genai._mcp_utils", reason="NOT CHECKED: google-genai is not installed")
    (declaration,) = helpers.mcp_to_gemini_tool(tool).function_declarations
    schema = declaration.parameters.model_dump(mode="json", exclude_none=True)
    assert (declaration.name, declaration.description) == (tool.name, tool.description)
    assert parameters(schema) == parameters(tool.input_schema)
    assert schema.get("required") == tool.input_schema.get("required")


@each_tool
def test_openai_agents_keeps_the_schema(tool: Tool) -> None:
    """The Agents SDK passes the schema on unchanged if strict mode is off."""
    mcp = pytest.importorskip("agents.mcp", reason="NOT CHECKED: openai-agents is not installed")
    converted = mcp.MCPUtil.to_function_tool(tool, mcp.MCPServerStdio({"command": "inkbox-mcp"}), False)
    assert (converted.name, converted.description) == (tool.name, tool.description)
    assert converted.params_json_schema == tool.input_schema


@each_tool
def test_openai_agents_makes_the_schema_strict(tool: Tool) -> None:
    """Strict mode makes every parameter required and must change nothing else."""
    mcp = pytest.importorskip("agents.mcp", reason="NOT CHECKED: openai-agents is not installed")
    converted = mcp.MCPUtil.to_function_tool(tool, mcp.MCPServerStdio({"command": "inkbox-mcp"}), True)
    names = list(tool.input_schema["properties"])
    if not names:
        assert converted.params_json_schema == tool.input_schema  # strict mode has no effect without parameters
        return
    assert converted.strict_json_schema
    assert converted.params_json_schema == {**tool.input_schema, "required": names, "additionalProperties": False}


@pytest.fixture(scope="module")
def langchain_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with LangChain's MCP adapters."""
    python = tmp_path_factory.mktemp("langchain") / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", LANGCHAIN_ADAPTERS]
    try:
        for command in ([sys.executable, "-m", "venv", python.parent.parent], install):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        why = str(error.stderr or error).splitlines()[-1]
        pytest.skip(f"NOT CHECKED: {LANGCHAIN_ADAPTERS} could not be installed: {why}")
    return python


def test_langchain_loads_the_tools_and_calls_one(langchain_python: Path) -> None:
    """LangChain's client uses version 1 of the Python SDK and passes our schemas on unchanged."""
    server = [Path(sys.executable).with_name("inkbox-mcp"), "--sandbox", "--sandbox-db", ":memory:"]
    agent = subprocess.run(
        [langchain_python, "-c", LANGCHAIN_AGENT, *server], check=True, stdout=subprocess.PIPE, text=True, timeout=60
    )
    functions, answer = json.loads(agent.stdout)
    assert functions == [
        {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
        for tool in map(TOOLS.__getitem__, SPEC)
    ]
    assert answer["total"] == 0
