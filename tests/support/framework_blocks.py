"""How programs of agent frameworks are told about this server, as templates.

`$command`, `$args` and `$env` start the server, `$headers` go with each request to `$url`; all are Python.
"""

from typing import NamedTuple


class Templates(NamedTuple):
    """Programs that start the server, and that connect to one."""

    stdio: str
    http: str


_LANGCHAIN = """
from langchain.mcp import MCPAdapter

server = {%s}


async def tools():
    async with MCPAdapter({"mcpServers": {"inkbox": server}}) as adapter:
        return await adapter.list_tools()
"""

_OPENAI_AGENTS = """
from agents.mcp import %s

server = %s


async def tools():
    async with server:  # and in it Runner.run(Agent(..., mcp_servers=[server]), ...)
        return await server.list_tools()
"""

_PYDANTIC_AI = """
%sfrom pydantic_ai.mcp import MCPToolset

toolset = MCPToolset(%s)


async def tools():
    async with toolset:  # Agent(..., toolsets=[toolset]) does this by itself
        return await toolset.list_tools()
"""

_CREWAI = """
from crewai import Agent
from crewai.mcp import %s

server = %s
agent = Agent(role="Clerk", goal="Answer the mail", backstory="Runs the mailbox of sales", mcps=[server])
"""

_ADK = """
from google.adk.tools.mcp_tool import McpToolset, %s

%s
toolset = McpToolset(connection_params=connection)  # for LlmAgent(..., tools=[toolset])
"""

FRAMEWORKS = {
    "LangChain": Templates(
        _LANGCHAIN % '"command": $command, "args": $args, "env": $env', _LANGCHAIN % '"url": $url, "headers": $headers'
    ),
    "OpenAI Agents SDK": Templates(
        _OPENAI_AGENTS
        % (
            "MCPServerStdio",
            (
                'MCPServerStdio(\n    {"command": $command, "args": $args, "env": $env},\n'
                "    client_session_timeout_seconds=60,\n)"
            ),
        ),
        _OPENAI_AGENTS
        % (
            "MCPServerStreamableHttp",
            (
                'MCPServerStreamableHttp(\n    {"url": $url, "headers": $headers},\n'
                "    client_session_timeout_seconds=60,\n)"
            ),
        ),
    ),
    "pydantic-ai": Templates(
        _PYDANTIC_AI
        % ("from fastmcp.client.transports import StdioTransport\n", "StdioTransport($command, $args, env=$env)"),
        _PYDANTIC_AI % ("", "$url, headers=$headers"),
    ),
    "CrewAI": Templates(
        _CREWAI % ("MCPServerStdio", "MCPServerStdio(command=$command, args=$args, env=$env)"),
        _CREWAI % ("MCPServerHTTP", "MCPServerHTTP(url=$url, headers=$headers)"),
    ),
    "Google ADK": Templates(
        _ADK.replace("%s\n\n", "%s\nfrom mcp import StdioServerParameters\n\n", 1)
        % (
            "StdioConnectionParams",
            (
                "server = StdioServerParameters(command=$command, args=$args, env=$env)\n"
                "connection = StdioConnectionParams(server_params=server, timeout=60)"
            ),
        ),
        _ADK
        % (
            "StreamableHTTPConnectionParams",
            "connection = StreamableHTTPConnectionParams(url=$url, headers=$headers, timeout=60)",
        ),
    ),
}
