"""The server stays up: large arguments and answers cost no more than small ones, and messages have a maximum size."""

import difflib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import httpx2
import jsonschema
import pytest
from mcp import MCPError
from pydantic import Field, model_validator

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.errors import InvalidArguments
from inkbox_mcp.protocol.overload import is_overloaded
from inkbox_mcp.text import quote_detail
from inkbox_mcp.toolkit.bounds import MAX_ARGUMENTS, MAX_ITEMS, MAX_PROBLEMS, MAX_RESULT, MAX_STRING, MaxBytes
from inkbox_mcp.toolkit.marks import Mark
from inkbox_mcp.toolkit.near import SHORTLIST, nearest
from inkbox_mcp.toolkit.operation import ADDITIVE, READ_ONLY, Args, Result, operation
from inkbox_mcp.toolkit.paging import matching
from tests.support.agents import KEY, Agent, connect, text
from tests.support.alike import ERAS_ALIKE, choices
from tests.support.catalogue import EVERY
from tests.support.cold_starts import answers_of_the_sdk, record
from tests.support.conversations import conversation
from tests.support.messages import CALL, CALL_HEADERS, ENVELOPE, HANDSHAKE, HEADERS
from tests.support.openings import call as stdio_call
from tests.support.openings import opening, said
from tests.support.processes import PATIENCE
from tests.support.shared_servers import SharedHTTP
from tests.support.stdio_sessions import whole

OPERATIONS = EVERY
LongText = Annotated[str, Mark.PLAIN, MaxBytes(10_000)]
MAX_ERROR = 4096
"""Bytes of an error about arguments."""


class Untouchable(dict[str, Any]):
    """An object that fails the test if any code reads its content."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError

    def __getitem__(self, _: str) -> Any:
        raise AssertionError

    keys = values = items = __iter__  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


FLOODS: dict[str, dict[str, Any]] = {
    "many unknown": {f"a{number}": 1 for number in range(180_000)},
    "many long unknown": {f"{number}{'é' * 4000}": 1 for number in range(500)},
    "as many as there may be": {f"\U0001f600{number}{'x' * 4000}": "y" * 5000 for number in range(MAX_ARGUMENTS)},
    "a long name": {"x" * 4_000_000: 1},
    "a long value": {"email_address": "x" * 4_000_000},
    "long in bytes": {"email_address": "😀" * 2000, "agent_handle": "é" * 2049, "search": "ß" * 4096},
    "a long value of an unknown name": {"no_such": "x" * 4_000_000},
    "long values everywhere": dict.fromkeys(("agent_handle", "email_address", "webhook_url"), "x" * 100000),
    "a long list": {"event_types": [1] * 300_000, "email_address": ["x"] * 300_000},
    "a list of long items": {"event_types": ["x" * 5000] * 60, "agent_handle": ["x" * 5000] * 60},
    "a list of lists": {"event_types": [[["x"] * 1000] * 1000] * 60},
    "objects": {name: Untouchable() for name in ("agent_handle", "email_address", "limit", "with_mailbox", "status")},
    "objects in a list": {"event_types": [Untouchable()] * 60},
    "a long number": {"limit": 10**4000, "with_mailbox": 10**4000, "email_address": 10**4000},
}
FLOODS["nested"] = {"limit": {}}
for _ in range(100_000):
    FLOODS["nested"]["limit"] = {"a": FLOODS["nested"]["limit"]}


def complaint(tool: str, arguments: dict[str, Any]) -> str:
    """Return the error of a call with bad arguments."""
    with pytest.raises(InvalidArguments) as caught:
        OPERATIONS[tool].parse(arguments)
    return OPERATIONS[tool].explain(caught.value)


@pytest.mark.parametrize("tool", OPERATIONS)
def test_whatever_arguments_come_the_error_about_them_is_short(tool: str) -> None:
    """A long error would fill the model's context; this holds for each tool, with and without valid arguments."""
    good = {"email_address": "a", "agent_handle": "a", "webhook_url": "https://e.com", "webhook_id": "0" * 32}
    fields = OPERATIONS[tool].args.model_fields
    for case, flood in FLOODS.items():
        beside = {name: value for name, value in good.items() if name in fields and name not in flood}
        for arguments in (flood, {**beside, **flood}):
            assert len(complaint(tool, arguments).encode()) < MAX_ERROR, case


def test_ten_problems_are_named_and_the_others_counted() -> None:
    """Only the ten named problems may come with a suggestion."""
    flood = {"serch": 1, **{f"a{number}": 1 for number in range(179_999)}}
    message = complaint("list_mailboxes", flood)
    assert "a call takes at most 64 arguments, and this one has 180,000" in message
    assert message.count("unknown argument ") == MAX_PROBLEMS
    assert "unknown argument 'serch' (did you mean search?)" in message
    assert "; and 179,990 more." in message


@pytest.mark.parametrize(("count", "rest"), [(9, ""), (10, ""), (11, "; and 1 more"), (64, "; and 54 more")])
def test_few_problems_are_named_as_before(count: int, rest: str) -> None:
    """Up to ten problems are all named."""
    message = complaint("whoami", {f"a{number}": 1 for number in range(count)})
    assert message.count("unknown argument ") == min(count, MAX_PROBLEMS)
    assert f"takes none{rest}. Nothing was sent" in message


def test_what_a_tool_takes_is_counted_among_its_arguments() -> None:
    """The limit of 64 arguments includes those that clients add."""
    beside = {"toolCallId": "x" * 5000, "sessionId": "y"}
    assert OPERATIONS["get_mailbox"].parse({"email_address": "a", **beside}).supplied() == {"email_address": "a"}
    message = complaint("get_mailbox", {"email_address": "a", **beside, **{f"x{n}": 1 for n in range(MAX_ARGUMENTS)}})
    assert "this one has 67: unknown argument 'x0'" in message
    assert "toolCallId" not in message


def test_too_many_arguments_and_large_values_are_never_validated() -> None:
    """Validation would cost time in proportion to the size of the arguments."""

    class Seen(Args):
        said: ClassVar[list[Any]] = []
        line: Annotated[str, Mark.PLAIN] | None = None

        @model_validator(mode="before")
        @classmethod
        def note(cls, data: dict[str, Any]) -> dict[str, Any]:
            cls.said.append(data.get("line"))
            return data

    @operation(READ_ONLY)
    async def get_seen(api: InkboxAPI, args: Seen) -> Result:
        raise NotImplementedError

    with pytest.raises(InvalidArguments):
        get_seen.parse({"line": "x", **{f"a{number}": 1 for number in range(MAX_ARGUMENTS)}})
    assert Seen.said == []
    with pytest.raises(InvalidArguments, match=r"line: must be at most 4,096 bytes"):
        get_seen.parse({"line": "é" * 2049})
    with pytest.raises(InvalidArguments, match=r"line: must have at most 64 items, not 65"):
        get_seen.parse({"line": ["x"] * (MAX_ITEMS + 1)})
    with pytest.raises(InvalidArguments, match=r"line: item 1 must be at most 4,096 bytes"):
        get_seen.parse({"line": ["x", "é" * 2049]})
    assert not any(isinstance(line, str | list) for line in Seen.said)
    Seen.said.clear()
    assert get_seen.parse({"line": "é" * 2048}).supplied() == {"line": "é" * 2048}


def test_a_type_may_take_more_than_others_and_what_is_larger_is_never_validated() -> None:
    """The limit is of the type, wherever it stands; other arguments of the tool keep theirs."""

    class Long(Args):
        said: ClassVar[list[Any]] = []
        body: LongText
        html: Annotated[LongText | None, Field(description="Optional.")] = None
        files: Annotated[list[LongText] | None, Field(max_length=9)] = None
        line: Annotated[str, Mark.PLAIN] | None = None

        @model_validator(mode="before")
        @classmethod
        def note(cls, data: dict[str, Any]) -> dict[str, Any]:
            cls.said += [value for value in data.values() if isinstance(value, str | list)]
            return data

    @operation(READ_ONLY)
    async def get_long(api: InkboxAPI, args: Long) -> Result:
        raise NotImplementedError

    most = "é" * 5_000
    for more in ({"html": most}, {"files": [most] * 9}, {"files": most}):
        given = {"body": most, **more}
        assert get_long.parse(given).supplied() == {**given, **({"files": [most]} if more == {"files": most} else {})}
    Long.said.clear()
    with pytest.raises(InvalidArguments) as caught:
        get_long.parse({"body": f"{most}x", "html": f"{most}x", "files": [most, f"{most}x"], "line": "é" * 2049})
    for problem in ("body: must be", "html: must be", "files: item 1 must be"):
        assert f"{problem} at most 10,000 bytes" in str(caught.value)
    assert "line: must be at most 4,096 bytes" in str(caught.value)
    with pytest.raises(InvalidArguments, match="files: must be at most 10,000 bytes"):
        get_long.parse({"body": "x", "files": json.dumps([most, most])})
    with pytest.raises(InvalidArguments, match="files: must have at most 9 items, not 65"):
        get_long.parse({"body": "x", "files": ["x"] * (MAX_ITEMS + 1)})
    with pytest.raises(InvalidArguments, match="unknown argument 'x'"):
        get_long.parse({"body": "x", "x": most})
    assert {*Long.said} == {"x"}


def test_a_value_that_is_too_large_is_named_beside_what_else_is_wrong() -> None:
    """The model learns about all mistakes from a single call."""
    message = complaint("create_webhook", {"email_address": "x" * 5000, "event_types": ["x"] * 65, "evil": 1})
    for part in (
        "email_address: must be",
        "event_types: must have at most 20 items",
        "'evil'",
        "webhook_url: is required",
    ):
        assert part in message


def test_a_list_that_is_too_long_is_answered_with_the_number_that_its_argument_takes() -> None:
    """A model that cuts it to that number is right at once, however long it was."""
    limits = {
        (tool, name): int(found[1])
        for tool, operation in OPERATIONS.items()
        for name, schema in operation.args.model_json_schema()["properties"].items()
        if (found := re.search(r"'maxItems': ([0-9]+)", str(schema)))
    }
    assert len(limits) >= 8
    for (tool, name), most in limits.items():
        for number in (most + 1, MAX_ITEMS, MAX_ITEMS + 1, 5000):
            assert f"{name}: must have at most {most} items, not {number:,}" in complaint(tool, {name: ["x"] * number})


# Over the wire, because JSON parsing and the SDK handle a message before the checks of arguments.


def body(arguments: str = "{}", meta: str = "", more: str = "", *, modern: bool = True) -> bytes:
    """Write a call of `list_mailboxes` with these parts of raw JSON."""
    envelope = json.dumps(ENVELOPE)[1:-1] if modern else ""
    meta = ",".join(part for part in (envelope, meta) if part)
    params = f'"name":"list_mailboxes","arguments":{arguments},"_meta":{{{meta}}}{more}'
    return f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{params}}}}}'.encode()


MANY = ",".join(f'"a{number}":1' for number in range(180_000))
ACCEPT = ':{"action":"accept"}'
WIRE: dict[str, dict[str, str]] = {
    "many unknown": {"arguments": "{" + MANY + "}"},
    "a long name": {"arguments": '{"' + "x" * 3_900_000 + '":1}'},
    "a long value": {"arguments": '{"search":"' + "x" * 3_900_000 + '"}'},
    "a long list": {"arguments": '{"search":[' + "1," * 300_000 + "1]}"},
    "a wide object": {"arguments": '{"search":{' + MANY + "}}"},
    "nested": {"arguments": '{"search":' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}"},
    "nested less": {"arguments": '{"search":' + "[" * 150 + "]" * 150 + "}"},
    "a long number": {"arguments": '{"limit":' + "9" * 100_000 + "}"},
    "answers in every way": {
        "more": ',"inputResponses":{"a":{"action":"accept","content":{"a":[' + "1," * 900_000 + "1]}}}"
    },
    "answers of other kinds": {"more": ',"inputResponses":{"a":{"content":[' + '{"type":"text"},' * 100_000 + "{}]}}"},
    "a surrogate beside": {"more": ',"x":"\\ud800","inputResponses":{"a":{"content":{"a":[' + "1," * 900_000 + "1]}}}"},
    "depth beside": {"more": f',"x":{"[" * 500}{"]" * 500},"inputResponses":[' + "1," * 900_000 + "1]"},
    "a list for arguments": {"arguments": "[" + "1," * 900_000 + "1]"},
    "a long state": {"more": ',"requestState":"v1.' + "A" * 3_000_000 + '"'},
    "much meta": {"meta": MANY},
    "a token many times": {"meta": ",".join(['"progressToken":1'] * 10_000)},
    "many answers": {"more": ',"inputResponses":{' + ",".join(f'"a{n}"{ACCEPT}' for n in range(80_000)) + "}"},
}


@pytest.mark.parametrize("stateless", choices([False, True], {False}), ids=["sessions", "stateless"])
async def test_over_http_every_flood_has_a_short_answer(stateless: bool, shared_http: SharedHTTP) -> None:
    """Clients of both protocol eras get a short answer, and the server still answers the next call."""
    origin = shared_http(*(["--stateless"] if stateless else []))
    common = {"Content-Type": "application/json", **HEADERS}
    async with httpx2.AsyncClient(base_url=origin, headers=common, timeout=PATIENCE) as http:
        hello = {**CALL, "method": "initialize", "params": HANDSHAKE}
        session = (await http.post("/mcp", json=hello)).headers.get("mcp-session-id")
        earlier = {"Mcp-Session-Id": session} if session else {}
        for modern, headers in ((True, {**CALL_HEADERS, **common}), (False, earlier)):
            for name, flood in WIRE.items():
                answer = await http.post("/mcp", content=body(**flood, modern=modern), headers=headers)
                assert answer.status_code in {200, 400, 413}, name
                assert len(answer.content) < MAX_ERROR, name
            assert b'"total":0' in (await http.post("/mcp", content=body(modern=modern), headers=headers)).content


@pytest.mark.parametrize("era", choices(["2025-11-25", "2026-07-28"], {"2025-11-25"}))
def test_over_stdio_every_flood_has_a_short_answer(era: str, tmp_path: Path) -> None:
    """The direct implementation gives the same kind of answer as the SDK."""
    floods = [body(**flood, modern=era == "2026-07-28") + b"\n" for flood in WIRE.values()]
    unknown = said(era, [{"id": 1, "params": {"name": "x" * 1_000_000}}])
    lines = [*opening(era), *floods, *unknown, *said(era, [{"id": 1, "params": {"name": "whoami"}}])]
    by_the_sdk = answers_of_the_sdk(lines)
    record(tmp_path, opening(era))
    directly, _ = whole(tmp_path, lines)
    said_nothing = len(opening(era))
    for answer in (*by_the_sdk[said_nothing:], *directly[said_nothing:]):
        assert len(answer) < MAX_ERROR
    assert [_kind(answer) for answer in directly] == [_kind(answer) for answer in by_the_sdk]
    assert b'"isError":false' in directly[-1]


def _kind(answer: bytes) -> tuple[bool, bool]:
    return b'"isError":true' in answer, b'"error":' in answer


NESTED = [[[0] * 400] * 2] * 400


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ({"method": "tools/call", "params": {"arguments": {"a": [1] * 50_000}}}, False),
        ({"method": "tools/call", "params": {"arguments": [1] * 50_000}}, True),
        ({"method": "tools/call", "params": {"_meta": {"arguments": [1] * 50_000}}}, True),
        ({"method": "tools/list", "params": {"arguments": {"a": [1] * 50_000}}}, True),
        ({"method": "initialize", "params": {"clientInfo": {"icons": [1] * 50_000}}}, True),
        ({"result": {"action": "accept", "content": {"a": [1] * 50_000}}}, True),
        ({"result": {"content": "x" * 50_000}}, False),
        ([{"method": "tools/call"}] * 50_000, True),
        (NESTED, True),
        ("x" * 50_000, False),
    ],
    ids=lambda value: str(value)[:60],
)
def test_values_beside_arguments_are_counted(message: object, refused: bool) -> None:
    """Only the arguments of a call are not counted here, because the tool checks them and explains what is wrong."""
    assert is_overloaded(json.dumps(message).encode()) is refused


def test_a_message_is_counted_as_its_reader_reads_it() -> None:
    """One JSON parser may accept a message that another one refuses."""
    many = "[" + "1," * 50_000 + "1]"
    for written in (f'{{"a":"\\ud800","b":{many}}}', f'{{"a":{"[" * 500}{"]" * 500},"b":{many}}}', f'{{"b":{many}}}'):
        assert is_overloaded(written.encode())
    for broken in (many[:-1], f"{many},", "[" * 50_000, "9" * 50_000, "\xff" * 20_000):
        assert not is_overloaded(broken.encode("latin-1"))
    deep = "[" * 50_000 + "]" * 50_000
    try:
        json.loads(deep)
    except RecursionError:
        assert not is_overloaded(deep.encode())
    else:  # the depth that Python can read depends on its version and on the size of the stack
        assert is_overloaded(deep.encode())


# What comes back.

HUGE = "x" * 9_000_000
MANY_THINGS = [{"a": number, "b": "c"} for number in range(300_000)]
MAILBOX = {"id": "1", "email_address": "sales@inkboxmail.com", "status": "active", "display_name": "Sales"}


def answers(data: object) -> Callable[[httpx2.Request], httpx2.Response]:
    """Make an API that gives the same answer to every request."""
    return lambda _: httpx2.Response(200, json=data)


@ERAS_ALIKE
@pytest.mark.parametrize("more", [{"notes": HUGE}, {"notes": MANY_THINGS}, {HUGE: 1}, {"display_name": HUGE}])
async def test_what_is_too_large_to_read_is_refused_with_its_size(era: str, more: dict[str, Any]) -> None:
    """The model gets an error with the limit, and no part of the answer."""
    async with connect(answers({**MAILBOX, **more}), era) as agent:
        result = await agent.call("get_mailbox", email_address="sales")
    told = text(result)
    assert (result.meta or {})["code"] == "result_too_large"
    assert result.structured_content is None
    assert f"at most {MAX_RESULT:,}" in told
    assert "Tell the user" in told
    assert len(told) < 500


async def test_a_page_that_is_too_large_can_be_asked_for_in_smaller_ones() -> None:
    """The error suggests a lower limit, unless the page has a single item."""
    items = [{**MAILBOX, "id": str(number), "notes": "x" * 100_000} for number in range(20)]
    async with connect(answers(items)) as agent:
        told = await agent.refused("list_mailboxes", details=True)
        assert "call list_mailboxes with a limit of less than 50" in told
        assert len((await agent.ask("list_mailboxes", limit=3, details=True))["mailboxes"]) == 3
    async with connect(answers([{**MAILBOX, "notes": HUGE}])) as agent:
        told = await agent.refused("list_mailboxes", limit=1, details=True)
        assert "limit" not in told
        assert "Tell the user" in told


@pytest.mark.parametrize("size", [-1, 0, 1])
async def test_the_cap_is_exact(size: int) -> None:
    """The limit counts bytes, not characters."""
    small = len(json.dumps({**MAILBOX, "notes": ""}, separators=(",", ":")))
    notes = "é" * ((MAX_RESULT - small) // 2) + "x" * ((MAX_RESULT - small) % 2 + size)
    async with connect(answers({**MAILBOX, "notes": notes})) as agent:
        result = await agent.call("get_mailbox", email_address="sales")
    assert result.is_error is (size == 1)
    if not result.is_error:
        assert len(text(result).encode()) == MAX_RESULT + size


WRITES: dict[str, dict[str, Any]] = {
    "create_mailbox": {"agent_handle": "sales"},
    "update_mailbox": {"email_address": "sales", "display_name": "Sales"},
    "link_mailbox": {"agent_handle": "sales", "email_address": "sales"},
    "create_identity": {"agent_handle": "sales"},
    "update_identity": {"agent_handle": "sales", "status": "paused"},
}
FLOODED: dict[str, dict[str, Any]] = {
    "a long text": {"notes": HUGE},
    "many things": {"notes": MANY_THINGS},
    "a long name": {HUGE: 1},
    "declared and long": {
        "display_name": "é" * 500_000,
        "email_address": HUGE[:1_000_000],
        "agent_handle": "x" * 1_000_000,
    },
}


@pytest.mark.parametrize("flood", FLOODED)
@pytest.mark.parametrize("tool", choices(WRITES, {"update_mailbox", "link_mailbox", "create_identity"}))
@ERAS_ALIKE
async def test_a_change_that_is_answered_with_too_much_is_reported_as_done(era: str, tool: str, flood: str) -> None:
    """An error would make the model repeat the change. The result names the tool that shows the omitted fields."""
    whole = {**MAILBOX, "agent_handle": "sales", "mailbox": MAILBOX, **FLOODED[flood]}
    async with connect(answers(whole), era) as agent:
        await agent.client.list_tools()  # because the client then checks results against their schemas
        result = await agent.call(tool, **WRITES[tool])
    assert not result.is_error, text(result)
    data: dict[str, Any] = result.structured_content or {}
    assert json.loads(text(result)) == data
    assert len(text(result).encode()) < 20_000
    declared = OPERATIONS[tool].result.model_fields
    assert set(data) >= {name for name in declared if name in whole} | {"note", "id"}
    assert not set(data) & {"notes", HUGE}
    jsonschema.validate(data, OPERATIONS[tool].output_schema)
    shows = "get_identity" if "agent_handle" in declared else "get_mailbox"
    assert "left out" in data["note"]
    assert shows in data["note"]


async def test_the_events_of_a_webhook_are_cut_with_their_schema_kept() -> None:
    """A list that is too long is cut at its end, so that the result still matches its schema."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            events = [f"message.{number}" for number in range(100_000)]
            made = {"id": "1", "url": "https://e.com/", "event_types": events, "signing_key": "whsec_1"}
            return httpx2.Response(201, json=made)
        mailbox = {**MAILBOX, "inbound_filter_mode": "none"}
        many = request.url.path.endswith(("mailboxes", "identities"))
        return httpx2.Response(200, json=[mailbox] if many else mailbox)

    async with connect(answer) as agent:
        made = await agent.ask("create_webhook", email_address="sales", webhook_url="https://e.com/")
    jsonschema.validate(made, OPERATIONS["create_webhook"].output_schema)
    assert made["signing_key"] == "whsec_1"  # the API shows it only once
    assert made["event_types"][:2] == ["message.0", "message.1"]
    assert len(json.dumps(made["event_types"])) < 2 * MAX_STRING


async def test_without_the_sdk_a_result_has_the_same_bounds() -> None:
    """Over stdio, plain calls do not pass through the SDK."""
    transport = httpx2.MockTransport(answers({**MAILBOX, "agent_handle": "sales", "notes": HUGE}))
    async with conversation(lambda: transport, confirm="never", api_key=KEY) as wire:
        wire.say(stdio_call(1, name="get_mailbox", arguments={"email_address": "sales"}))
        read = (await wire.hear())["result"]
        wire.say(stdio_call(2, name="update_mailbox", arguments=WRITES["update_mailbox"]))
        written = (await wire.hear())["result"]
        wire.leave()
    assert read["isError"]
    assert read["_meta"]["code"] == "result_too_large"
    assert "structuredContent" not in read
    assert not written["isError"]
    assert json.loads(written["content"][0]["text"]) == written["structuredContent"]
    assert "left out" in written["structuredContent"]["note"]


def test_another_cap_can_be_declared() -> None:
    """A tool may need larger or smaller results than the default allows."""

    @operation(ADDITIVE, max_result=10)
    async def create_nothing(api: InkboxAPI, args: Args) -> Result:
        raise NotImplementedError

    assert create_nothing.max_result == 10
    assert OPERATIONS["get_mailbox"].max_result == MAX_RESULT


@pytest.mark.parametrize(
    "detail",
    [
        HUGE,
        "\u200b" * 9_000_000,
        MANY_THINGS,
        {"a": MANY_THINGS},
        {"loc": ["x"] * 1_000_000, "msg": "wrong"},
        {"loc": [MANY_THINGS], "msg": "wrong"},
        [{"loc": ["body", "x"], "msg": "y" * 1_000_000}] * 5,
        [HUGE] * 3,
        {HUGE: HUGE},
    ],
    ids=["text", "hidden", "list", "object", "place", "deep place", "fields", "texts", "name"],
)
def test_the_reason_of_a_refusal_is_read_no_further_than_it_is_quoted(detail: object) -> None:
    """The size of the reason does not matter, because only a short quotation is read."""
    assert len(quote_detail(detail)) <= 503


async def test_a_broken_answer_is_described_in_one_sentence() -> None:
    """The error stays short even if 50,000 items are broken."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("subscriptions"):
            return httpx2.Response(200, json={"subscriptions": [{"id": 1}] * 50_000})
        return httpx2.Response(200, json={**MAILBOX, "inbound_filter_mode": "none"})

    async with connect(answer) as agent:
        told = await agent.refused("list_webhooks", email_address="sales")
    assert "missing or wrong" in told
    assert len(told) < 1000


async def test_an_unknown_tool_with_a_long_name_is_named_in_part(agent: Agent) -> None:
    """The error repeats only a part of the name, so a long name cannot make the message long."""
    with pytest.raises(MCPError) as caught:
        await agent.call("x" * 1_000_000)
    assert len(caught.value.error.message) < 1000


NAMES = 10_000
"""The most identities of an organization that these tests reckon with."""
HOSTILE_NAMES: dict[str, Callable[[int], str]] = {
    "of two letters": lambda number: f"{number:040b}".replace("0", "a").replace("1", "b"),
    "of the same letters": lambda number: "abcdefghij" * 4 if number == 0 else f"{number:04}{'abcdefghij' * 4}"[:40],
    "of one letter": lambda number: "a" * (number % 40) + "b" + "a" * (number // 40 % 40),
    "of separators": lambda number: f"a{'-_. ' * 60}{number}",
    "of letters between separators": lambda number: f"{'a-' * 120}{number}",
}


@pytest.mark.parametrize("kind", HOSTILE_NAMES)
def test_few_of_many_names_are_compared_letter_by_letter(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing all would hold up every other call for a second."""
    compared: list[difflib.SequenceMatcher[str]] = []
    quick_ratio = difflib.SequenceMatcher[str].quick_ratio

    def counted(matcher: difflib.SequenceMatcher[str]) -> float:
        compared.append(matcher)
        return quick_ratio(matcher)

    monkeypatch.setattr(difflib.SequenceMatcher, "quick_ratio", counted)
    nearest("ab" * 20, [HOSTILE_NAMES[kind](number) for number in range(NAMES)])
    assert len(compared) <= SHORTLIST


@pytest.mark.parametrize("kind", HOSTILE_NAMES)
@pytest.mark.parametrize("search", ["a-b@inkboxmail.com", "a-a-a-a-a-a@inkboxmail.com", "-a@-b@ x@", "a b"])
def test_no_pattern_is_matched_with_names_that_are_searched(kind: str, search: str) -> None:
    """A pattern may try each place of a long run of separators again; looking for a text does not."""
    items: list[dict[str, Any]] = [
        {"email_address": f"a-b{number}@inkboxmail.com", "display_name": HOSTILE_NAMES[kind](number)}
        for number in range(100)
    ]
    called: list[str] = []

    def note(_: object, event: str, function: Any) -> None:
        if event == "c_call" and isinstance(getattr(function, "__self__", None), re.Pattern):
            called.append(function.__name__)

    sys.setprofile(note)
    try:
        matching(items, search, ("email_address", "display_name"))
    finally:
        sys.setprofile(None)
    assert called == []
