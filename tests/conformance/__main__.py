"""Our server as it is served, with the tools, resources and prompts that the conformance suite expects.

Run with `python -m tests.conformance`; the address is announced on stderr.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import ListenHandler
from mcp.types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CallToolRequestParams,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    ContentBlock,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    ImageContent,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SetLevelRequestParams,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)

from inkbox_mcp.http.app import MCP_PATH, build_app
from inkbox_mcp.http.asgi_server import listening, origin, serve_app
from inkbox_mcp.http.callers import caller
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from tests.conformance.tools import FIXTURES, PIXEL, Context, answered, ask, bus, embedded

TEMPLATE_START, TEMPLATE_END = "test://template/", "/data"
PROMPTS = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


def add_tools(server: Server[Any]) -> None:
    """Add the suite's tools to ours."""
    ours_list, ours_call = server.get_request_handler("tools/list"), server.get_request_handler("tools/call")
    ours_schema = server.get_tool_input_schema
    assert ours_list is not None
    assert ours_call is not None
    assert ours_schema is not None

    async def list_tools(context: Context, params: PaginatedRequestParams) -> ListToolsResult:
        ours = await ours_list.handler(context, params)
        assert isinstance(ours, ListToolsResult)
        return ListToolsResult(tools=[*ours.tools, *(fixture.tool for fixture in FIXTURES.values())])

    async def call_tool(context: Context, params: CallToolRequestParams) -> Any:
        fixture = FIXTURES.get(params.name)
        return await (fixture.call if fixture else ours_call.handler)(context, params)

    def input_schema(name: str) -> Mapping[str, Any] | None:
        return FIXTURES[name].tool.input_schema if name in FIXTURES else ours_schema(name)

    server.get_tool_input_schema = input_schema
    server.add_request_handler("tools/list", PaginatedRequestParams, list_tools)
    server.add_request_handler("tools/call", CallToolRequestParams, call_tool)


async def list_resources(_: Context, __: PaginatedRequestParams) -> ListResourcesResult:
    """List the resources."""
    names = ("static-text", "static-binary", "watched-resource")
    return ListResourcesResult(resources=[Resource(name=name, uri=f"test://{name}") for name in names])


async def list_templates(_: Context, __: PaginatedRequestParams) -> ListResourceTemplatesResult:
    """List the one template."""
    template = ResourceTemplate(name="template", uri_template=f"{TEMPLATE_START}{{id}}{TEMPLATE_END}")
    return ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(_: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    """Read a resource.

    Raises:
        MCPError: the resource does not exist.
    """
    uri = params.uri
    if uri == "test://static-binary":
        return ReadResourceResult(contents=[BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL)])
    text, mime_type = "This is the content of the static text resource.", "text/plain"
    if uri.startswith(TEMPLATE_START) and uri.endswith(TEMPLATE_END):
        key = uri.removeprefix(TEMPLATE_START).removesuffix(TEMPLATE_END)
        text, mime_type = json.dumps({"id": key, "templateTest": True}), "application/json"
    elif uri not in {"test://static-text", "test://watched-resource"}:
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})
    return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=mime_type, text=text)])


async def subscribe(_: Context, __: SubscribeRequestParams | UnsubscribeRequestParams) -> EmptyResult:
    """Accept a subscription or its end."""
    return EmptyResult()


async def list_prompts(_: Context, __: PaginatedRequestParams) -> ListPromptsResult:
    """List the prompts."""
    return ListPromptsResult(
        prompts=[
            Prompt(
                name=name,
                description="A prompt of the suite.",
                arguments=[PromptArgument(name=argument, required=True) for argument in arguments],
            )
            for name, arguments in PROMPTS.items()
        ]
    )


async def get_prompt(_: Context, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    """Get a prompt.

    Raises:
        MCPError: the prompt does not exist.
    """
    arguments = params.arguments or {}
    context = answered(params, "user_context", "context")
    content: list[ContentBlock]
    match params.name:
        case "test_simple_prompt":
            content = [TextContent(text="This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            text = f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'"
            content = [TextContent(text=text)]
        case "test_prompt_with_embedded_resource":
            resource = embedded(arguments["resourceUri"], "text/plain", "Embedded resource content for testing.")
            content = [resource, TextContent(text="Please process the embedded resource above.")]
        case "test_prompt_with_image":
            image = ImageContent(data=PIXEL, mime_type="image/png")
            content = [image, TextContent(text="Please analyze the image above.")]
        case "test_input_required_result_prompt" if context is None:
            question = ask("What context should the prompt use?", "context")
            return InputRequiredResult(input_requests={"user_context": question})
        case "test_input_required_result_prompt":
            content = [TextContent(text=f"Use the following context: {context}")]
        case _:
            raise MCPError(INVALID_PARAMS, "Unknown prompt")
    return GetPromptResult(messages=[PromptMessage(role="user", content=block) for block in content])


async def complete(_: Context, __: CompleteRequestParams) -> CompleteResult:
    """Return no completions."""
    return CompleteResult(completion=Completion(values=[], total=0, has_more=False))


async def set_level(_: Context, __: SetLevelRequestParams) -> EmptyResult:
    """Accept a log level."""
    return EmptyResult()


def add_fixtures(server: Server[Any]) -> None:
    """Add the tools, resources and prompts of the suite to a server."""
    add_tools(server)
    server.add_request_handler("resources/list", PaginatedRequestParams, list_resources)
    server.add_request_handler("resources/templates/list", PaginatedRequestParams, list_templates)
    server.add_request_handler("resources/read", ReadResourceRequestParams, read_resource)
    server.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, subscribe)
    server.add_request_handler("prompts/list", PaginatedRequestParams, list_prompts)
    server.add_request_handler("prompts/get", GetPromptRequestParams, get_prompt)
    server.add_request_handler("completion/complete", CompleteRequestParams, complete)
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
    server.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, ListenHandler(bus))
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))


def main() -> None:
    """Serve until a signal comes."""
    settings = Settings(http=True, sandbox=True, sandbox_db=":memory:", port=0)
    service = Service(settings)
    server = server_of(service, caller)
    add_fixtures(server)
    with listening(settings.host, settings.port) as listener:
        sys.stderr.write(f"serving MCP at {origin(settings.host, listener)}{MCP_PATH}\n")
        app = build_app(server, service, Drain(MCP_PATH, settings.drain_timeout))
        anyio.run(serve_app, app, listener)


if __name__ == "__main__":
    main()
