"""The MCP server: the SDK's requests in, the SDK's results out.

The tools are in `inkbox_mcp.tools`, and `inkbox_mcp.service` runs a call. `inkbox_mcp.stdio` and `inkbox_mcp.http` run
the server, and pass in the caller of a request.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from mcp import MCPError
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ImageContent,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    ResourceLink,
    TextContent,
)

from inkbox_mcp import __version__
from inkbox_mcp.access.tenants import LOCAL, Caller
from inkbox_mcp.api.connection import TransportFactory
from inkbox_mcp.catalogue import UnknownTool
from inkbox_mcp.errors import InkboxError
from inkbox_mcp.protocol.answers import ReadableAnswers
from inkbox_mcp.protocol.arguments import with_carried_arguments
from inkbox_mcp.protocol.changes import ListChanges
from inkbox_mcp.protocol.confirmation import Confirmation
from inkbox_mcp.protocol.declaration import declaration
from inkbox_mcp.protocol.instructions import ABOUT, instructions
from inkbox_mcp.protocol.request_state import SealedQuestions
from inkbox_mcp.service import Answer, Bug, Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.toolkit.content import Block, Image, Link, Text

Context = ServerRequestContext[Service, Any]
CallerOf = Callable[[Any], Caller]
"""Returns the caller of a request; over stdio the request is None."""


def _local(_: object) -> Caller:
    return LOCAL


def build_server(settings: Settings, transport: TransportFactory | None = None) -> Server[Service]:
    """Make an MCP server of a new service for one client; see `inkbox_mcp.service.Service` for the arguments."""
    return server_of(Service(settings, transport))


def server_of(service: Service, caller_of: CallerOf = _local) -> Server[Service]:
    """Make an MCP server of a service.

    Args:
        service: see `inkbox_mcp.service`.
        caller_of: returns the caller of a request; by default the only client, over stdio.
    """
    settings = service.settings
    confirmation = Confirmation(settings.confirm, settings.confirm_timeout)
    changes = ListChanges(service, caller_of)

    @asynccontextmanager
    async def lifespan(_: Server[Service]) -> AsyncGenerator[Service]:
        async with service.tenants:
            yield service

    async def list_tools(context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        if params and params.cursor is not None:
            raise MCPError(
                code=INVALID_PARAMS,
                message="This server gave no such cursor: all tools are on one page. Call tools/list without a cursor.",
            )
        caller = caller_of(context.request)
        await service.discovery.look(caller)
        changes.listed(context)
        service.discovery.shown(caller)
        catalogue = service.discovery.open_to(caller)
        tools = [declaration(operation, catalogue) for operation in catalogue.tools.values()]
        if service.discovery.is_settled(caller):
            return ListToolsResult(tools=tools)
        return ListToolsResult(tools=tools, ttl_ms=0, cache_scope="private")

    async def call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        caller = caller_of(context.request)
        try:
            operation = await service.discovery.find(params.name, caller)
        except UnknownTool as error:
            raise MCPError(code=INVALID_PARAMS, message=str(error)) from None
        except InkboxError as error:
            await changes.notify(context)
            return _result(service.refuse(params.name, error, caller))
        try:
            # The SDK knows whether the client wants progress: a client in the same process sends no token.
            if service.is_plain(operation, wants_progress=True):
                answer = await service.call(operation, params.arguments, caller)
            else:
                ask = partial(confirmation.confirm, context, params, caller)
                answer = await service.call(operation, params.arguments, caller, ask, context.session.report_progress)
        except Bug as bug:
            # The SDK would send the text of any other exception to handshake-era clients.
            raise MCPError(code=INTERNAL_ERROR, message=str(bug), data=bug.data) from bug
        await changes.notify(context)
        return _result(answer) if isinstance(answer, Answer) else answer

    async def begin(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """At the beginning of a conversation, find out which tools the caller has, and write its instructions."""
        if ctx.method not in {"initialize", "server/discover"}:
            return await call_next(ctx)
        if not settings.http:
            service.begun(ctx.params)
        caller = caller_of(ctx.request)
        await service.discovery.look(caller)
        answer = await call_next(ctx)
        if not isinstance(answer, dict) or "instructions" not in answer:
            return answer
        service.discovery.shown(caller)
        told = {**answer, "instructions": instructions(service, caller)}
        if ctx.method == "initialize" and not settings.stateless:
            told["capabilities"] = {**answer["capabilities"], "tools": {"listChanged": True}}
        return told

    def input_schema(name: str) -> dict[str, Any] | None:
        operation = service.catalogues.anywhere(name)
        return operation.input_schema if operation else None

    is_shared = not (settings.auth_issuer or settings.per_request_keys)
    server = Server(
        "inkbox-mcp",
        version=__version__,
        title="Inkbox",
        instructions=ABOUT,
        lifespan=lifespan,
        cache_hints={"tools/list": CacheHint(ttl_ms=3_600_000, scope="public" if is_shared else "private")},
        get_tool_input_schema=input_schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_subscriptions_listen=changes.listen,
    )
    server.middleware.append(with_carried_arguments)
    server.middleware.append(begin)
    server.middleware.append(SealedQuestions(settings.request_state_keys, settings.confirm_timeout, caller_of))
    server.middleware.append(ReadableAnswers(service.catalogues.names))
    return server


def _result(answer: Answer) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(text=answer.text), *map(_block, answer.blocks)],
        structured_content=answer.data,
        is_error=answer.is_error,
        _meta=answer.meta,
    )


def _block(block: Block) -> ContentBlock:
    match block:
        case Text():
            return TextContent(text=block.text)
        case Image():
            return ImageContent(data=block.base64, mime_type=block.media_type)
        case Link():
            return ResourceLink(
                uri=block.uri,
                name=block.name,
                title=block.title,
                description=block.description,
                mime_type=block.media_type,
                size=block.size,
            )
