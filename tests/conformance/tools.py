"""The tools that the conformance suite calls, as its scenarios describe them."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, PromptsListChanged, ToolsListChanged
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    ContentBlock,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    InputResponseRequestParams,
    ListRootsRequest,
    ListRootsResult,
    SamplingCapability,
    SamplingMessage,
    TextContent,
    TextResourceContents,
    Tool,
)

JSON = dict[str, Any]
Context = ServerRequestContext[Any]
Answer = CallToolResult | InputRequiredResult
Call = Callable[[Context, CallToolRequestParams], Awaitable[Answer]]

NO_ARGUMENTS: JSON = {"type": "object", "properties": {}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

bus = InMemorySubscriptionBus()


@dataclass(frozen=True)
class Fixture:
    """A tool of the suite: its declaration and what it does."""

    tool: Tool
    call: Call


FIXTURES: dict[str, Fixture] = {}


def tool(schema: JSON = NO_ARGUMENTS, prefix: str = "test_") -> Callable[[Call], Call]:
    """Declare a tool named after its function, with the prefix of most tools of the suite."""

    def declare(call: Call) -> Call:
        name = prefix + cast("str", getattr(call, "__name__", ""))
        FIXTURES[name] = Fixture(Tool(name=name, description=call.__doc__, input_schema=schema), call)
        return call

    return declare


def strings(*names: str, **more: JSON) -> JSON:
    """Return the schema of an object with these required strings and other properties."""
    properties = {name: {"type": "string"} for name in names} | more
    return {"type": "object", "properties": properties, "required": [*names]}


def said(text: str) -> CallToolResult:
    """Return a result with one text."""
    return CallToolResult(content=[TextContent(text=text)])


def embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    """Return an embedded resource."""
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def ask(message: str, *names: str, **more: JSON) -> ElicitRequest:
    """Make a question that asks the human for some strings."""
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=strings(*names, **more)))


def sample(prompt: str) -> CreateMessageRequest:
    """Make a request to the client's model."""
    message = SamplingMessage(role="user", content=TextContent(text=prompt))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


def answered(params: InputResponseRequestParams, name: str, field: str) -> str | None:
    """Return a field of the human's answer to a question, if there is an answer."""
    answer = (params.input_responses or {}).get(name)
    return str((answer.content or {}).get(field)) if isinstance(answer, ElicitResult) else None


# What a tool returns.

CONTENT: dict[str, list[ContentBlock]] = {
    "test_simple_text": [TextContent(text="This is a simple text response for testing.")],
    "test_image_content": [ImageContent(data=PIXEL, mime_type="image/png")],
    "test_audio_content": [AudioContent(data=SILENCE, mime_type="audio/wav")],
    "test_embedded_resource": [
        embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        TextContent(text="Multiple content types test:"),
        ImageContent(data=PIXEL, mime_type="image/png"),
        embedded("test://mixed-content-resource", "application/json", '{"test": "data", "value": 123}'),
    ],
}


async def _content(_: Context, params: CallToolRequestParams) -> Answer:
    return CallToolResult(content=CONTENT[params.name])


for _name in CONTENT:
    FIXTURES[_name] = Fixture(Tool(name=_name, description="Return content.", input_schema=NO_ARGUMENTS), _content)


@tool()
async def error_handling(_: Context, __: CallToolRequestParams) -> Answer:
    """Fail."""
    text = TextContent(text="This tool intentionally returns an error for testing")
    return CallToolResult(content=[text], is_error=True)


@tool(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"$anchor": "addressDef", **strings(street={"type": "string"}, city={"type": "string"})}},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
    prefix="",
)
async def json_schema_2020_12_tool(_: Context, __: CallToolRequestParams) -> Answer:
    """Have a schema that uses much of JSON Schema."""
    return said("ok")


@tool(strings(region={"type": "string", "x-mcp-header": "Region"}))
async def x_mcp_header(_: Context, params: CallToolRequestParams) -> Answer:
    """Take an argument that clients repeat in a header."""
    return said(f"region={(params.arguments or {}).get('region')}")


# Tools that send messages while they run.


async def _log(context: Context, text: str) -> None:
    # The method is deprecated, but the scenarios of the handshake era test it.
    await context.session.send_log_message("info", text, related_request_id=context.request_id)  # pyright: ignore[reportDeprecated]


@tool()
async def tool_with_logging(context: Context, _: CallToolRequestParams) -> Answer:
    """Send three log messages."""
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await _log(context, text)
    return said("Tool with logging executed successfully")


@tool()
async def logging_tool(context: Context, _: CallToolRequestParams) -> Answer:
    """Send a log message to those who want it."""
    await _log(context, "Tool processing data")
    return said("logged")


@tool()
async def tool_with_progress(context: Context, _: CallToolRequestParams) -> Answer:
    """Report progress three times."""
    for progress in (0, 50, 100):
        await context.session.report_progress(progress, 100, f"Completed step {progress} of 100")
    return said("done")


@tool()
async def trigger_tool_change(_: Context, __: CallToolRequestParams) -> Answer:
    """Tell subscribers that the tools changed."""
    await bus.publish(ToolsListChanged())
    return said("tool list changed")


@tool()
async def trigger_prompt_change(_: Context, __: CallToolRequestParams) -> Answer:
    """Tell subscribers that the prompts changed."""
    await bus.publish(PromptsListChanged())
    return said("prompt list changed")


# Tools that ask while they run, for clients with a handshake.


async def _elicit(context: Context, request: ElicitRequest) -> str:
    assert isinstance(request.params, ElicitRequestFormParams)
    form = request.params
    result = await context.session.elicit_form(form.message, form.requested_schema, context.request_id)
    return f"action={result.action}, content={json.dumps(result.content or {})}"


@tool(strings("message"))
async def elicitation(context: Context, params: CallToolRequestParams) -> Answer:
    """Ask the human."""
    question = ask((params.arguments or {})["message"], "response")
    return said(f"User response: {await _elicit(context, question)}")


@tool()
async def elicitation_sep1034_defaults(context: Context, _: CallToolRequestParams) -> Answer:
    """Ask the human with a default for every primitive type."""
    fields: dict[str, JSON] = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    question = ask("Please provide user information", **fields)
    return said(f"Elicitation result: {await _elicit(context, question)}")


@tool()
async def elicitation_sep1330_enums(context: Context, _: CallToolRequestParams) -> Answer:
    """Ask the human to choose, in the five ways in which a choice can be declared."""

    def titled(**titles: str) -> list[JSON]:
        return [{"const": value, "title": title} for value, title in titles.items()]

    topics = titled(feature="New Feature", bug="Bug Fix", docs="Documentation")
    fields: dict[str, JSON] = {
        "untitledSingle": {"type": "string", "enum": ["active", "inactive", "pending"]},
        "titledSingle": {"type": "string", "oneOf": titled(low="Low", medium="Medium", high="High")},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["read", "write", "execute"]}},
        "titledMulti": {"type": "array", "items": {"anyOf": topics}},
        "legacyEnum": {"type": "string", "enum": ["s", "m", "l"], "enumNames": ["Small", "Medium", "Large"]},
    }
    question = ask("Please select values", **fields)
    return said(f"Elicitation completed: {await _elicit(context, question)}")


@tool(strings("prompt"))
async def sampling(context: Context, params: CallToolRequestParams) -> Answer:
    """Make a request to the client's model."""
    request = sample((params.arguments or {})["prompt"])
    # The method is deprecated, but the scenario tests it.
    result = await context.session.create_message(  # pyright: ignore[reportDeprecated]
        request.params.messages, max_tokens=100, related_request_id=context.request_id
    )
    return said(f"LLM response: {result.content.text if isinstance(result.content, TextContent) else '?'}")


# Tools that return their question, for clients without a handshake.


@tool()
async def input_required_result_elicitation(_: Context, params: CallToolRequestParams) -> Answer:
    """Ask the human."""
    name = answered(params, "user_name", "name")
    if name is None:
        return InputRequiredResult(input_requests={"user_name": ask("What is your name?", "name")})
    return said(f"Hello, {name}!")


@tool()
async def streaming_elicitation(_: Context, __: CallToolRequestParams) -> Answer:
    """Ask the human, who does not answer."""
    return InputRequiredResult(input_requests={"user_name": ask("What is your name?", "name")})


@tool()
async def input_required_result_sampling(_: Context, params: CallToolRequestParams) -> Answer:
    """Make a request to the client's model."""
    answer = (params.input_responses or {}).get("capital_question")
    if isinstance(answer, CreateMessageResult) and isinstance(answer.content, TextContent):
        return said(f"Model said: {answer.content.text}")
    return InputRequiredResult(input_requests={"capital_question": sample("What is the capital of France?")})


@tool()
async def input_required_result_list_roots(_: Context, params: CallToolRequestParams) -> Answer:
    """Ask for the client's roots."""
    answer = (params.input_responses or {}).get("client_roots")
    if isinstance(answer, ListRootsResult):
        return said(f"Client exposed {len(answer.roots)} root(s).")
    return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})


@tool()
async def input_required_result_request_state(_: Context, params: CallToolRequestParams) -> Answer:
    """Get a state back with the answer."""
    if answered(params, "confirm", "ok") and params.request_state == "nonce":
        return said("state-ok: confirmation received")
    confirm = ask("Please confirm", ok={"type": "boolean"})
    return InputRequiredResult(input_requests={"confirm": confirm}, request_state="nonce")


@tool()
async def input_required_result_tampered_state(_: Context, params: CallToolRequestParams) -> Answer:
    """Trust a state that came back; the SDK refuses what it did not seal."""
    if params.request_state is not None:
        return said(f"state-ok: {params.request_state}")
    confirm = ask("Please confirm", ok={"type": "boolean"})
    return InputRequiredResult(input_requests={"confirm": confirm}, request_state="round-1")


@tool()
async def input_required_result_multiple_inputs(_: Context, params: CallToolRequestParams) -> Answer:
    """Ask three questions at once."""
    questions: dict[str, InputRequest] = {
        "user_name": ask("What is your name?", "name"),
        "greeting": sample("Generate a greeting"),
        "client_roots": ListRootsRequest(),
    }
    if questions.keys() <= (params.input_responses or {}).keys():
        return said("All inputs received.")
    return InputRequiredResult(input_requests=questions, request_state="asked")


@tool()
async def input_required_result_multi_round(_: Context, params: CallToolRequestParams) -> Answer:
    """Ask twice, and remember the first answer in the state."""
    name, color = answered(params, "step1", "name"), answered(params, "step2", "color")
    if color is not None and params.request_state:
        return said(f"{params.request_state} likes {color}.")
    if name is not None:
        question = ask("Step 2: What is your favorite color?", "color")
        return InputRequiredResult(input_requests={"step2": question}, request_state=name)
    question = ask("Step 1: What is your name?", "name")
    return InputRequiredResult(input_requests={"step1": question}, request_state="nobody")


@tool()
async def input_required_result_capabilities(context: Context, _: CallToolRequestParams) -> Answer:
    """Ask only what the client can answer."""
    can = context.session.client_capabilities or ClientCapabilities()
    questions: dict[str, tuple[object, InputRequest]] = {
        "sample": (can.sampling, sample("Say hello")),
        "ask": (can.elicitation, ask("What is your name?", "name")),
    }
    requests: dict[str, InputRequest] = {
        key: question for key, (known, question) in questions.items() if known is not None
    }
    return InputRequiredResult(input_requests=requests, request_state="asked")


@tool()
async def missing_capability(context: Context, _: CallToolRequestParams) -> Answer:
    """Refuse clients that have no model."""
    if context.session.check_client_capability(ClientCapabilities(sampling=SamplingCapability())):
        return said("ok")
    needed: JSON = {"requiredCapabilities": {"sampling": {}}}
    raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool requires the client's sampling capability", needed)
