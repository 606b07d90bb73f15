"""A human must agree to exactly what a tool will do before anything that cannot be undone."""

import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGINT
from typing import Annotated, Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import Client, MCPError
from mcp.client.session import ClientRequestContext
from mcp.server.request_state import AESGCMRequestStateCodec
from mcp.types import (
    INTERNAL_ERROR,
    CallToolResult,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    InputRequiredResult,
    InputResponses,
)
from pydantic import Field, SecretStr
from starlette.types import Message

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.generations import Generation
from inkbox_mcp.http.app import build_app
from inkbox_mcp.http.callers import caller
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.protocol.request_state import CLOCKS_APART, MAX_USED, Tickets
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.metrics import PrometheusMetrics
from inkbox_mcp.toolkit.marks import Mark
from inkbox_mcp.toolkit.operation import DESTRUCTIVE, Args, Result, operation
from inkbox_mcp.toolkit.questions import Question, escaped, question
from tests.support.agents import connect, text
from tests.support.catalogue import EVERY, generation_of
from tests.support.clock import Clock
from tests.support.http_in_process import serve_in_process
from tests.support.humans import ADDRESS, CAN_ASK, YES, Desk, Human, form_client
from tests.support.messages import CALL, CALL_HEADERS, ENVELOPE, HEADERS
from tests.support.metrics import samples
from tests.support.processes import PATIENCE, start

pytestmark = pytest.mark.posix

OPERATIONS = EVERY
DELETE = {"email_address": ADDRESS}
SHARED = "a-secret-that-all-replicas-share-"


# What is asked about.

QUESTIONS: list[tuple[str, dict[str, Any], Generation, str]] = [
    ("delete_mailbox", {"email_address": "a"}, "spec", "Delete the mailbox a for good? It will receive"),
    ("delete_identity", {"agent_handle": "a"}, "spec", "Delete the agent identity a for good? Its mailbox stays"),
    ("delete_identity", {"agent_handle": "a"}, "identity", "Delete the agent identity a and its mailbox for good?"),
    ("unlink_mailbox", {"agent_handle": "a"}, "spec", "Unlink the mailbox of the agent identity a?"),
    (
        "delete_webhook",
        {"email_address": "a", "webhook_id": "123e4567-e89b-42d3-a456-426614174000"},
        "identity",
        "Delete the webhook 123e4567-e89b-42d3-a456-426614174000 of a?",
    ),
    (
        "create_webhook",
        {"email_address": "a", "webhook_url": "https://e.com/x"},
        "identity",
        "Send the mail events of a to https://e.com/x?",
    ),
    (
        "update_mailbox",
        {"email_address": "a", "webhook_url": "https://e.com/x"},
        "spec",
        "Send all mail events of a to https://e.com/x?",
    ),
    ("update_mailbox", {"email_address": "a", "webhook_url": None}, "spec", "Stop sending the mail events of a to its"),
    (
        "update_mailbox",
        {"email_address": "a", "webhook_url": "none", "display_name": "A"},
        "spec",
        "Stop sending the mail events of a to its webhook?",
    ),
    (
        "delete_message",
        {"email_address": "a", "message_id": "123e4567-e89b-42d3-a456-426614174000"},
        "spec",
        'Delete the message "Invoice" from "b@example.com", in a, for good?',
    ),
]


def objects(generation: Generation, requests: list[httpx2.Request]) -> Callable[[httpx2.Request], httpx2.Response]:
    """Make an API of one generation on which every object exists."""
    own = {"status": "active"} if generation == "spec" else {"inbound_filter_mode": "none"}
    message = {"subject": "Invoice", "from_address": "b@example.com"}
    mailbox = {"id": "1", "email_address": "a@inkboxmail.com", **message, **own}

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        if "webhooks" in request.url.path and generation == "spec":
            return httpx2.Response(404, json={"detail": "Not Found"})
        if request.url.path.endswith(("mailboxes", "identities")):
            return httpx2.Response(200, json=[{**mailbox, "agent_handle": "a"}])
        if request.url.path.endswith("/messages"):
            return httpx2.Response(200, json={"items": [{**message, "id": "123e4567-e89b-42d3-a456-426614174000"}]})
        return httpx2.Response(200, json={**mailbox, "agent_handle": "a"})

    return answer


@pytest.mark.parametrize(("tool", "arguments", "generation", "asked"), QUESTIONS)
@pytest.mark.parametrize("confirm", ["auto", "always"])
async def test_each_of_these_is_asked_about_and_a_no_sends_nothing(
    tool: str, arguments: dict[str, Any], generation: Generation, asked: str, confirm: str, era: str
) -> None:
    """This holds in both modes that ask."""
    requests: list[httpx2.Request] = []
    human = Human("decline")
    settings: dict[str, Any] = {"confirm": confirm, "api_generation": generation}
    async with connect(objects(generation, requests), era, human, **settings) as agent:
        result = await agent.call(tool, **arguments)
    assert (result.meta or {})["code"] == "declined"
    (question,) = human.questions
    assert question.startswith(asked)
    assert {request.method for request in requests} <= {"GET"}


@pytest.mark.parametrize(("tool", "arguments", "generation", "asked"), QUESTIONS)
async def test_always_refuses_each_of_them_where_nobody_can_be_asked(
    tool: str, arguments: dict[str, Any], generation: Generation, asked: str, era: str
) -> None:
    """Only requests that change nothing are sent."""
    requests: list[httpx2.Request] = []
    settings: dict[str, Any] = {"confirm": "always", "api_generation": generation}
    async with connect(objects(generation, requests), era, **settings) as agent:
        result = await agent.call(tool, **arguments)
    assert (result.meta or {})["code"] == "cannot_ask"
    assert {request.method for request in requests} <= {"GET"}


def test_every_destructive_tool_has_a_question() -> None:
    """A tool whose name begins with delete or unlink must ask too. Questions before mail are a promise of their own."""
    asking = {key for key, tool in OPERATIONS.items() if tool.confirm and not tool.hints.open_world}
    assert {key for key, tool in OPERATIONS.items() if tool.hints.destructive} <= asking
    assert {key for key in OPERATIONS if key.startswith(("delete_", "unlink_"))} <= asking
    assert {(OPERATIONS[key].name, generation_of(key)) for key in asking} == {
        (tool, of) for tool, _, of, _ in QUESTIONS
    }
    assert not any(OPERATIONS[key].hints.read_only for key in asking)


def test_a_destructive_tool_without_a_question_cannot_be_declared() -> None:
    """The error comes when the module of the tool is imported."""
    with pytest.raises(TypeError, match="needs a question"):
        operation(DESTRUCTIVE)


# The text of a question, and its key.


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("support", "support"),
        ("Süd-агент-営業-שלום", "Süd-агент-営業-שלום"),
        ("a@b.example/c?d=%20&e", "a@b.example/c?d=%20&e"),
        ("two words", "two words"),
        ("sup\u200bport", "sup\\u200bport"),
        ("sup\u200dport", "sup\\u200dport"),
        ("sup\u00adport", "sup\\u00adport"),
        ("sup\u2060port\ufeff", "sup\\u2060port\\ufeff"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("a\ufe0fb\U000e0100c\U000e0041", "a\\ufe0fb\\U000e0100c\\U000e0041"),
        ("a\u115fb\u3164c\u2800d\u034fe", "a\\u115fb\\u3164c\\u2800d\\u034fe"),
        ("a\u00a0b\u2003c\u3000d", "a\\u00a0b\\u2003c\\u3000d"),
        ("a\nb\tc\r\x00\x1b[2J\x7f\x85\u2028", "a\\u000ab\\u0009c\\u000d\\u0000\\u001b[2J\\u007f\\u0085\\u2028"),
        ("a\ue000b\U00013430", "a\\ue000b\\U00013430"),
        ("a\ud800b", "a\\ud800b"),
        ("des\u212a-1", "des\\u212a-1"),
        ("\uff53upport", "\\uff53upport"),
        ("e\u0301", "e\\u0301"),
        ("é", "é"),
        ("a\"b'c`d", "a\\u0022b\\u0027c\\u0060d"),
        ("a\u201db\u2019c\u00bbd\u02bce\u2033", "a\\u201db\\u2019c\\u00bbd\\u02bce\\u2033"),
        ("a\\u200bb", "a\\u005cu200bb"),
    ],
    ids=ascii,
)
def test_what_hides_or_looks_like_something_else_is_shown(value: str, shown: str) -> None:
    """Hidden characters are escaped instead of removed, and visible ones stay."""
    assert escaped(value) == shown
    assert question("delete_x", "Delete {name}?", {"name": value}).text == f"Delete {shown}?"


def test_a_long_value_is_shown_whole() -> None:
    """The part that is cut off could be the important one."""
    url = "https://example.com/" + "x" * 4000 + "-the-end"
    assert question("x", "Send to {url}?", {"url": url}).text == f"Send to {url}?"


def test_braces_in_a_value_are_no_template() -> None:
    """The template is filled only once."""
    asked = question("x", "Delete {name}?", {"name": "{other}{0}{name.__class__}", "other": "y"})
    assert asked.text == "Delete {other}{0}{name.__class__}?"


TWINS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"name": "support"}, {"name": "sup\u200bport"}),
    ({"name": "support"}, {"name": "\uff53upport"}),
    ({"name": "desk"}, {"name": "des\u212a"}),
    ({"name": "é"}, {"name": "e\u0301"}),
    ({"name": "a"}, {"name": "a "}),
    ({"name": "a"}, {"name": "A"}),
    ({"name": "a"}, {"name": "\u0430"}),
    ({"name": "1"}, {"name": 1}),
    ({"name": "True"}, {"name": True}),
    ({"name": "a"}, {"name": "a", "other": None}),
    ({"name": "a", "other": "b"}, {"name": "a", "other": "c"}),
    ({"name": "a", "list": ["x", "y"]}, {"name": "a", "list": ["x,y"]}),
    ({"name": "\\u200b"}, {"name": "\u200b"}),
]


@pytest.mark.parametrize(("one", "other"), TWINS, ids=ascii)
def test_different_arguments_never_have_the_same_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The question may show both alike, or not show the difference."""
    ask = partial(question, "delete_x", "Delete {name}?")
    assert ask(one).key != ask(other).key


def test_the_key_is_made_of_tool_question_and_arguments() -> None:
    """The order of the arguments does not change the key."""
    arguments = {"name": "a", "other": "b"}
    key = question("x", "Do {name}?", arguments).key
    assert question("x", "Do {name}?", dict(reversed(arguments.items()))).key == key
    assert question("y", "Do {name}?", arguments).key != key
    assert question("x", "Undo {name}?", arguments).key != key


async def test_a_tool_that_takes_any_text_asks_about_what_it_will_send() -> None:
    """The question must be exact even if a type accepts hidden characters."""

    class Purge(Args):
        label: Annotated[str, Mark.PLAIN, Field(max_length=100)]

    @operation(DESTRUCTIVE, confirm="Purge {label}?")
    async def purge_label(api: InkboxAPI, args: Purge) -> Result:
        raise NotImplementedError

    api = Service(Settings()).tenants.api()
    plain = await purge_label.question(api, Purge(label="old"))
    hidden = await purge_label.question(api, Purge(label="o\u200bld"))
    assert plain
    assert hidden
    assert (plain.text, hidden.text) == ("Purge old?", "Purge o\\u200bld?")
    assert plain.key != hidden.key


# The API moves to the other generation while the question is open.


@dataclass
class Moving:
    """An API whose identities are of the spec generation until `moved` is set."""

    moved: bool = False
    deleted: int = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            self.deleted += 1
            return httpx2.Response(204)
        if "webhooks" in request.url.path and not self.moved:
            return httpx2.Response(404, json={"detail": "Not Found"})
        own = {"description": ""} if self.moved else {"status": "active"}
        return httpx2.Response(200, json={"agent_handle": "a", **own})


async def test_what_a_human_agreed_to_is_not_done_if_it_has_become_something_else(era: str) -> None:
    """A human who agreed that the mailbox stays has not agreed to its deletion."""
    inkbox = Moving()
    human = Human("accept")

    async def accept_and_move(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        inkbox.moved = True
        return await human(context, params)

    async with connect(inkbox, era, accept_and_move) as agent:
        result = await agent.call("delete_identity", agent_handle="a")
    assert (result.meta or {})["code"] == "operation_moved"
    (question,) = human.questions
    assert "stays" in question
    assert inkbox.deleted == 0


async def test_nobody_is_asked_about_what_would_be_something_else(era: str) -> None:
    """The generation is looked up before the question, and without a question before the deletion."""
    for confirm in ("auto", "never"):
        inkbox, human = Moving(moved=True), Human("accept")
        async with connect(inkbox, era, human, confirm=confirm) as agent:
            message = await agent.refused("delete_identity", agent_handle="a")
        assert "The tools have changed" in message
        assert (human.questions, inkbox.deleted) == ([], 0)


# The form, and what its answers mean.

AGREED: dict[str, Any] = {"action": "accept", "content": {"confirm": True}}
ANSWERS: list[tuple[dict[str, Any], str]] = [
    (AGREED, "ok"),
    ({"action": "accept", "content": {"confirm": True, "note": "please", "more": None, "list": ["a"], "n": 1.5}}, "ok"),
    ({**AGREED, "_meta": {"a": [1]}, "roots": [], "more": {}}, "ok"),
    ({"action": "accept"}, "declined"),
    ({"action": "accept", "content": None}, "declined"),
    ({"action": "accept", "content": {}}, "declined"),
    ({"action": "accept", "content": {"confirm": False}}, "declined"),
    ({"action": "accept", "content": {"confirm": None}}, "declined"),
    ({"action": "accept", "content": {"confirm": "true"}}, "declined"),
    ({"action": "accept", "content": {"confirm": "yes"}}, "declined"),
    ({"action": "accept", "content": {"confirm": 1}}, "declined"),
    ({"action": "accept", "content": {"confirm": 1.0}}, "declined"),
    ({"action": "accept", "content": {"confirm": [True]}}, "declined"),
    ({"action": "accept", "content": {"confirm": ["true"]}}, "declined"),
    ({"action": "accept", "content": {"confirm": {"confirm": True}}}, "declined"),
    ({"action": "accept", "content": {"Confirm": True, " confirm": True, "confirmed": True, "": True}}, "declined"),
    ({"action": "accept", "content": [True]}, "declined"),
    ({"action": "accept", "content": True}, "declined"),
    ({"action": "accept", "content": '{"confirm": true}'}, "declined"),
    ({"action": "accept", "confirm": True}, "declined"),
    ({"action": "decline"}, "declined"),
    ({"action": "decline", "content": {"confirm": True}}, "declined"),
    ({"action": "reject"}, "declined"),
    ({"action": "reject", "content": {"confirm": True}}, "declined"),
    ({"action": "Accept", "content": {"confirm": True}}, "declined"),
    ({"action": ["accept"], "content": {"confirm": True}}, "declined"),
    ({"action": None, "content": {"confirm": True}}, "declined"),
    ({"content": {"confirm": True}}, "declined"),
    ({}, "declined"),
    ({"action": "\u0000\u202e" * 3_000}, "declined"),
    ({"role": "assistant", "model": "m", "content": {"type": "text", "text": "yes"}}, "declined"),
    ({"roots": []}, "declined"),
    ({"code": -32601, "message": "no forms here"}, "declined"),
    ({"action": "cancel"}, "cancelled"),
    ({"action": "cancel", "content": {}}, "cancelled"),
    ({"action": "cancel", "content": {"confirm": True}}, "cancelled"),
]


def doing(requests: list[str]) -> Callable[[], httpx2.MockTransport]:
    """Make an API that deletes everything, and records the methods of its requests."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request.method)
        return httpx2.Response(204)

    return lambda: httpx2.MockTransport(answer)


def outcome(message: dict[str, Any]) -> str:
    """Return the code of a failed call, or `ok`."""
    result = message["result"]
    return result["_meta"]["code"] if result["isError"] else "ok"


@pytest.mark.parametrize(("answer", "code"), ANSWERS)
async def test_each_answer_means_the_same_in_both_eras(answer: dict[str, Any], code: str, era: str) -> None:
    """Only a form that is accepted with a true field is consent, and no answer is an internal error."""
    requests: list[str] = []
    async with form_client(doing(requests), era) as client:
        assert outcome(await client.answer("delete_mailbox", DELETE, answer)) == code
    assert requests == (["DELETE"] if code == "ok" else [])


@pytest.mark.parametrize("answer", [None, True, 1, "accept", [], [AGREED], "\u0000"], ids=repr)
async def test_an_answer_that_is_no_object_is_a_no(answer: Any) -> None:
    """Only a 2026-07-28 client can send it; the SDK would refuse the whole call."""
    requests: list[str] = []
    async with form_client(doing(requests), "auto") as client:
        assert outcome(await client.answer("delete_mailbox", DELETE, answer)) == "declined"
    assert requests == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
FIELDS = st.dictionaries(st.sampled_from(["confirm", "Confirm", "note", ""]), JSON, max_size=3)
ODD = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(["accept", "decline", "cancel", "reject"]) | JSON,
        "content": FIELDS | JSON,
        "_meta": JSON,
        "roots": JSON,
    },
)


@given(answers=st.lists(ODD, min_size=1, max_size=20))
@settings(max_examples=20)
def test_no_answer_is_consent_by_accident_or_an_error(answers: list[dict[str, Any]]) -> None:
    """Whatever else an answer has, consent is an accepted form with a true field; both eras agree on the answer."""

    async def outcomes(era: str) -> list[str]:
        requests: list[str] = []
        async with form_client(doing(requests), era) as client:
            found = [outcome(await client.answer("delete_mailbox", DELETE, answer)) for answer in answers]
        assert len(requests) == found.count("ok")
        return found

    modern, legacy = anyio.run(outcomes, "auto"), anyio.run(outcomes, "legacy")
    assert modern == legacy
    for answer, code in zip(answers, modern, strict=True):
        match answer:
            case {"action": "accept", "content": {"confirm": True}}:  # True matches nothing else, not even 1
                assert code in {"ok", "declined"}  # something else in it may be unreadable
            case _:
                assert code in {"declined", "cancelled"}


@given(notes=st.dictionaries(st.text(max_size=9), st.none() | st.booleans() | st.integers() | st.text(max_size=9)))
@settings(max_examples=10)
def test_fields_beside_the_yes_are_ignored(notes: dict[str, Any]) -> None:
    """Clients may add fields of their own."""

    async def agree() -> None:
        for era in ("auto", "legacy"):
            async with form_client(doing([]), era) as client:
                answer = {"action": "accept", "content": {**notes, "confirm": True}}
                assert outcome(await client.answer("delete_mailbox", DELETE, answer)) == "ok"

    anyio.run(agree)


@given(answers=JSON | st.dictionaries(st.text(max_size=9), ODD, max_size=3))
def test_answers_to_nothing_are_asked_about_instead_of_refused(answers: Any) -> None:
    """Malformed answers of a 2026-07-28 client must not become protocol errors."""

    async def ask() -> None:
        requests: list[str] = []
        async with form_client(doing(requests), "auto") as client:
            asked = await client.call("delete_mailbox", DELETE, inputResponses=answers)
            assert asked["result"]["resultType"] == "input_required"
        assert requests == []

    anyio.run(ask)


async def test_answers_beside_the_right_one_do_not_spoil_it() -> None:
    """A client may send back answers to other questions, in any shape."""
    requests: list[str] = []
    async with form_client(doing(requests), "auto") as client:
        more: dict[str, Any] = {"another": 5, "": None, "\u0000": [], "é": {"action": "decline"}}
        assert outcome(await client.answer("delete_mailbox", DELETE, AGREED, **more)) == "ok"
    assert requests == ["DELETE"]


LONG = "https://example.com/" + "x" * 1_900 + "-the-end"
EXACTLY: list[tuple[dict[str, Any], str]] = [
    ({**DELETE, "webhook_url": LONG}, f"Send all mail events of {ADDRESS} to {LONG}?"),
    (
        {**DELETE, "webhook_url": "https://example.com/a'b?c={d}"},
        f"Send all mail events of {ADDRESS} to https://example.com/a\\u0027b?c={{d}}?",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "message", "era"),
    [
        (*EXACTLY[0], "auto"),
        (*EXACTLY[0], "legacy"),
        (*EXACTLY[1], "auto"),
        pytest.param(*EXACTLY[1], "legacy", marks=pytest.mark.slow),
    ],
    ids=["long-auto", "long-legacy", "escaped-auto", "escaped-legacy"],
)
async def test_the_form_has_one_field_and_the_whole_question(arguments: dict[str, Any], message: str, era: str) -> None:
    """Clients of both eras show the same."""
    api = httpx2.MockTransport(objects("spec", []))
    async with form_client(lambda: api, era) as client:
        assert await client.form("update_mailbox", arguments) == {
            "mode": "form",
            "message": message,
            "requestedSchema": {
                "type": "object",
                "properties": {
                    "confirm": {
                        "type": "boolean",
                        "title": "Yes, do it",
                        "description": "Without a yes, nothing is changed.",
                    }
                },
                "required": ["confirm"],
            },
        }


async def test_each_call_needs_its_own_yes(era: str) -> None:
    """A yes to an earlier call about the same thing does not count."""
    requests: list[str] = []
    async with form_client(doing(requests), era) as client:
        for _ in range(2):
            assert outcome(await client.answer("delete_mailbox", DELETE, AGREED)) == "ok"
        assert outcome(await client.answer("delete_mailbox", DELETE, {"action": "decline"})) == "declined"
    assert requests == ["DELETE", "DELETE"]


CLOSED = "delete_mailbox failed: the client closed the question to the user without an answer."


@pytest.mark.parametrize("confirm", ["auto", "always"])
async def test_a_question_that_was_closed_blames_nobody_and_says_who_can_help(confirm: str, era: str) -> None:
    """A client without a person closes it by itself. Only the operator may decide that nobody needs to be asked."""
    async with connect(objects("spec", []), era, Human("cancel"), confirm=confirm) as agent:
        result = await agent.call("delete_mailbox", **DELETE)
    told = text(result)
    assert (result.meta or {})["code"] == "cancelled"
    assert told.startswith(CLOSED)
    assert "It may run without a person, or the person closed the question. Nothing was changed." in told
    assert "Do not call again unless the user asks for it. Tell the user that" in told
    assert ("the operator can start this server with --confirm never" in told) is (confirm == "auto")
    assert ("That is the operator's decision; do not do it yourself." in told) is (confirm == "auto")
    assert ("a person is needed at the client" in told) is (confirm == "always")


async def test_a_client_that_fails_to_ask_has_closed_the_question(desk: Desk) -> None:
    """The user has not said no, and not yes either."""

    async def fail(context: ClientRequestContext, params: ElicitRequestParams) -> ErrorData:
        return ErrorData(code=INTERNAL_ERROR, message="no window to ask in")

    app = httpx2.ASGITransport(desk.app)
    async with connect(app, "legacy", fail, sandbox=True) as agent:
        assert (await agent.refused("delete_mailbox", **DELETE)).startswith(CLOSED)
        await agent.ask("get_mailbox", **DELETE)


# Nobody answers.


class Nobody:
    """A human who leaves the question open."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.withdrawn = anyio.Event()

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.withdrawn.set()
        raise AssertionError


async def test_a_question_that_nobody_answers_ends_the_call_as_unanswered(desk: Desk) -> None:
    """The client learns that it can close its dialog, and no call stays open."""
    metrics, nobody = PrometheusMetrics(), Nobody()
    app = httpx2.ASGITransport(desk.app)
    async with connect(app, "legacy", nobody, metrics, sandbox=True, confirm_timeout=0.05) as agent:
        with anyio.fail_after(PATIENCE):
            result = await agent.call("delete_mailbox", **DELETE)
            await nobody.withdrawn.wait()
        assert (result.meta or {})["code"] == "unanswered"
        assert "nobody answered for 0.05 seconds" in text(result)
        assert "Nothing was changed." in text(result)
        told = samples(metrics)
        assert told["inkbox_mcp_calls_in_flight"] == 0
        assert told["inkbox_mcp_calls_total unanswered delete_mailbox"] == 1
        assert (await agent.ask("get_mailbox", **DELETE))["email_address"] == ADDRESS


async def test_a_human_who_answers_in_time_gets_the_whole_time_of_a_call(desk: Desk) -> None:
    """The time for the answer does not count against the deadline of the call."""

    async def slow(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        await anyio.sleep(0.2)
        return YES

    app = httpx2.ASGITransport(desk.app)
    async with connect(app, "legacy", slow, sandbox=True, confirm_timeout=PATIENCE, timeout=0.15) as agent:
        assert (await agent.ask("delete_mailbox", **DELETE))["deleted"] is True


async def _shake_hands(server: Any) -> None:
    await server.request("initialize", **ABLE_TO_ASK)
    await server.write({"method": "notifications/initialized"})


async def test_over_stdio_a_question_left_open_ends_with_its_client(tmp_path: Path) -> None:
    """The server must end at once, although the question has an hour left."""
    async with start("--sandbox", "--sandbox-db", ":memory:", "--confirm-timeout", "3600", home=tmp_path) as server:
        await _shake_hands(server)
        await server.send("tools/call", name="delete_mailbox", arguments=DELETE)
        assert json.loads(await server.line())["method"] == "elicitation/create"
        await server.close_stdin()
        assert (await server.end()).status == 0


EARLIER_HEADERS = {"Content-Type": "application/json", **HEADERS}


async def test_over_http_a_question_left_open_ends_with_its_connection(desk: Desk) -> None:
    """The answer to the call could not be delivered, so the drain must not wait for it."""
    metrics = PrometheusMetrics()
    settings = Settings.model_validate({"sandbox": True, "http": True, "confirm_timeout": 3600})
    service = Service(settings, lambda: httpx2.ASGITransport(desk.app), metrics)
    server = server_of(service, caller)
    drain = Drain("/mcp", 3600)
    app = build_app(server, service, drain, metrics)
    async with (
        server.session_manager.run(),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8000", headers=EARLIER_HEADERS
        ) as http,
    ):
        hello = await http.post("/mcp", json={**CALL, "method": "initialize", "params": ABLE_TO_ASK})
        session = {"Mcp-Session-Id": hello.headers["mcp-session-id"]}
        await http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session)
        call = {**CALL, "params": {"name": "delete_mailbox", "arguments": DELETE}}
        await _post_and_leave(app, call, session)
        with anyio.fail_after(PATIENCE):
            while not samples(metrics).get("inkbox_mcp_calls_total cancelled delete_mailbox"):
                await anyio.lowlevel.checkpoint()
            assert samples(metrics)["inkbox_mcp_calls_in_flight"] == 0
            await drain.finish(lambda: None, lambda: None)
    assert [request.method for request in desk.requests] == []


ABLE_TO_ASK: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": CAN_ASK,
    "clientInfo": {"name": "test", "version": "1"},
}


async def _post_and_leave(app: Any, call: dict[str, Any], headers: dict[str, str]) -> None:
    """Send a call and close the connection when its question comes."""
    asked = anyio.Event()
    sent = [{"type": "http.request", "body": json.dumps(call).encode()}]

    async def receive() -> Message:
        if sent:
            return sent.pop()
        await asked.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if b"elicitation/create" in message.get("body", b""):
            asked.set()

    fields = {"Host": "127.0.0.1:8000", **EARLIER_HEADERS, **headers}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/mcp",
        "root_path": "",
        "raw_path": b"/mcp",
        "query_string": b"",
        "scheme": "http",
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    with anyio.fail_after(PATIENCE):
        await app(scope, receive, send)
    assert asked.is_set()


# Forged acceptances.


class Attacker:
    """A 2026-07-28 client that builds its second call itself."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(
        self,
        tool: str = "delete_mailbox",
        arguments: dict[str, Any] | None = None,
        responses: InputResponses | None = None,
        state: str | None = None,
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool, with answers to questions."""
        return await self.client.session.call_tool(
            tool, arguments or DELETE, input_responses=responses, request_state=state, allow_input_required=True
        )

    async def question(self, tool: str = "delete_mailbox", arguments: dict[str, Any] | None = None) -> tuple[str, str]:
        """Make a call that asks a question; return the question's key and state."""
        asked = await self.call(tool, arguments)
        assert isinstance(asked, InputRequiredResult)
        (key,) = asked.input_requests or {}
        assert asked.request_state
        return key, asked.request_state


@asynccontextmanager
async def attacking(desk: Desk, **settings: Any) -> AsyncGenerator[Attacker]:
    """Connect an attacker."""
    async with desk.client("auto", Human("accept"), **settings) as client:
        yield Attacker(client)


def is_asked(result: CallToolResult | InputRequiredResult) -> bool:
    """Whether the human is asked again."""
    return isinstance(result, InputRequiredResult)


async def test_an_acceptance_with_its_state_counts_once(desk: Desk) -> None:
    """A replayed acceptance makes the server ask again."""
    async with attacking(desk) as attacker:
        key, state = await attacker.question()
        done = await attacker.call(responses={key: YES}, state=state)
        assert isinstance(done, CallToolResult)
        assert not done.is_error
        for _ in range(3):
            assert is_asked(await attacker.call(responses={key: YES}, state=state))
    assert [request.method for request in desk.requests] == ["DELETE"]


def swapped(state: str) -> str:
    """Flip one bit of a state."""
    prefix, _, sealed = state.partition(".")
    raw = bytearray(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    raw[-1] ^= 1
    return f"{prefix}.{base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


def sealed_by_others(key: str) -> str:
    """Seal the state of a question with a key that is not the server's."""
    claims = {"v": 1, "iat": 0, "exp": 1e12, "m": "tools/call", "t": "delete_mailbox", "s": f"{key} x"}
    return AESGCMRequestStateCodec(["x" * 32]).seal(json.dumps(claims).encode())


def forgeries(key: str, state: str) -> dict[str, str | None]:
    """Return forged states of a question, by kind of forgery."""
    return {
        "nothing": None,
        "empty": "",
        "the key": key,
        "not sealed": f"{key} {'0' * 32}",
        "one bit": swapped(state),
        "cut": state[:-4],
        "longer": f"{state}A",
        "padded": f"{state}=",
        "another version": state.replace("v1.", "v2."),
        "a prefix": "v1.",
        "long": "v1." + "A" * 100_000,
        "text": "\u0000é😀",
        "another secret": sealed_by_others(key),
    }


@pytest.mark.parametrize("kind", forgeries("", "v1.AAAA"))
async def test_a_forged_state_asks_anew(desk: Desk, kind: str) -> None:
    """The answer is a new question instead of an error, and nothing is changed."""
    async with attacking(desk) as attacker:
        key, state = await attacker.question()
        assert is_asked(await attacker.call(responses={key: YES}, state=forgeries(key, state)[kind]))
        done = await attacker.call(responses={key: YES}, state=state)
        assert not is_asked(done)
    assert [request.method for request in desk.requests] == ["DELETE"]


@pytest.mark.parametrize("state", [5, True, [], {}, ["v1.x"], 1.5], ids=repr)
async def test_a_state_that_is_no_text_asks_anew(desk: Desk, state: Any) -> None:
    """The server treats it like any other state that it did not make."""
    async with attacking(desk) as attacker:
        key, _ = await attacker.question()
        params: dict[str, Any] = {
            "name": "delete_mailbox",
            "arguments": DELETE,
            "inputResponses": {key: AGREED},
            "requestState": state,
        }
        answer = await _raw(desk, params)
        assert answer["result"]["resultType"] == "input_required"
    assert desk.requests == []


ASKING: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": CAN_ASK}


async def _raw(desk: Desk, params: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Post a call unchanged to a new server over HTTP."""
    checked = Settings.model_validate({"sandbox": True, "http": True, **settings})
    service = Service(checked, lambda: httpx2.ASGITransport(desk.app))
    server = server_of(service, caller)
    app = build_app(server, service, Drain("/mcp", 0))
    body = {**CALL, "params": {**params, "_meta": {**ENVELOPE, **ASKING}}}
    async with (
        server.session_manager.run(),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8000") as http,
    ):
        answer = await http.post("/mcp", json=body, headers={**CALL_HEADERS, "Mcp-Name": params["name"]})
    return answer.json()


async def test_a_state_counts_for_no_other_arguments_and_no_other_tool(desk: Desk) -> None:
    """The key of the question about the other arguments does not help either."""
    async with attacking(desk) as attacker:
        key, state = await attacker.question()
        others: list[tuple[str, dict[str, Any]]] = [
            ("delete_mailbox", {"email_address": "support"}),
            ("delete_mailbox", {"email_address": ADDRESS.upper()}),
            ("delete_mailbox", {"email_address": "sales"}),
            ("delete_mailbox", {**DELETE, "toolCallId": "1"}),
            ("delete_identity", {"agent_handle": "sales-agent"}),
            ("update_mailbox", {**DELETE, "webhook_url": None}),
            ("unlink_mailbox", {"agent_handle": "sales-agent"}),
        ]
        for tool, arguments in others:
            other, its_state = await attacker.question(tool, arguments)
            for stolen in (key, other):
                assert is_asked(await attacker.call(tool, arguments, {stolen: YES}, state))
            if other != key:
                assert is_asked(await attacker.call(responses={key: YES, other: YES}, state=its_state))
    assert {request.method for request in desk.requests} <= {"GET"}


async def test_a_state_counts_for_the_same_arguments_in_another_order(desk: Desk) -> None:
    """The order of names in a JSON object has no meaning."""
    arguments = {"email_address": ADDRESS, "webhook_url": "https://example.com/in", "display_name": "Sales"}
    async with attacking(desk) as attacker:
        key, state = await attacker.question("update_mailbox", arguments)
        other_order = dict(reversed(arguments.items()))
        done = await attacker.call("update_mailbox", other_order, {key: YES}, state)
        assert not is_asked(done)


@pytest.mark.parametrize("name", ["__proto__", "constructor", "__class__", "email_address\u200b"], ids=ascii)
async def test_a_strange_name_beside_the_arguments_is_refused(desk: Desk, name: str) -> None:
    """The state was issued for the same arguments without that name."""
    async with attacking(desk) as attacker:
        key, state = await attacker.question()
        refused = await attacker.call(arguments={**DELETE, name: {}}, responses={key: YES}, state=state)
        assert isinstance(refused, CallToolResult)
        assert "unknown argument" in text(refused)
    assert desk.requests == []


async def test_only_accept_is_consent_and_only_under_the_key_of_the_question(desk: Desk) -> None:
    """A refusal counts at once, and an answer to another question does not count."""
    async with attacking(desk) as attacker:
        for action, code in (("decline", "declined"), ("cancel", "cancelled")):
            key, state = await attacker.question()
            refused = await attacker.call(responses={key: ElicitResult.model_validate({"action": action})}, state=state)
            assert isinstance(refused, CallToolResult)
            assert (refused.meta or {})["code"] == code
            assert is_asked(await attacker.call(responses={key: YES}, state=state))  # a no is not taken back
        key, state = await attacker.question()
        for other in ("", key.upper(), key[:-1], ADDRESS, "__proto__"):
            assert is_asked(await attacker.call(responses={other: YES}, state=state))
    assert desk.requests == []


async def test_a_late_acceptance_asks_anew(desk: Desk) -> None:
    """The clock of the server that reads the state decides."""
    keys = (SecretStr(SHARED),)
    async with attacking(desk, confirm_timeout=1e-6, request_state_keys=keys) as attacker:
        key, state = await attacker.question()
        assert is_asked(await attacker.call(responses={key: YES}, state=state))
    assert desk.requests == []


async def test_deeply_nested_arguments_with_a_good_state_are_refused_as_arguments(desk: Desk) -> None:
    """The error must not be about the state."""
    nested: Any = "x"
    for _ in range(150):
        nested = [nested]
    async with attacking(desk) as attacker:
        key, state = await attacker.question()
        refused = await attacker.call(arguments={"email_address": nested}, responses={key: YES}, state=state)
        assert isinstance(refused, CallToolResult)
        assert (refused.meta or {})["code"] == "invalid_arguments"


async def test_a_bug_behind_a_good_state_is_reported_and_nothing_is_done_again() -> None:
    """Consent allows one attempt only."""
    tried: list[str] = []

    def break_down(request: httpx2.Request) -> httpx2.Response:
        tried.append(request.method)
        raise ZeroDivisionError

    async with connect(break_down, human=Human("accept")) as agent:
        with pytest.raises(MCPError, match="hit a bug"):
            await agent.call("delete_mailbox", **DELETE)
    assert tried == ["DELETE"]


# Replicas and tenants.


@pytest.mark.parametrize(
    ("asks", "reads", "counts"),
    [
        ("one", "one", True),
        ("one", "one,two", True),
        ("one", "two,one", True),
        ("two,one", "one,two", True),
        ("one", "two", False),
        ("one,two", "two", False),
        ("", "", False),
        ("one", "", False),
    ],
)
async def test_replicas_that_share_a_key_know_each_others_questions(
    desk: Desk, asks: str, reads: str, counts: bool
) -> None:
    """This also holds while keys are rotated. Without a shared key, the human is asked again."""

    def keys(names: str) -> tuple[SecretStr, ...]:
        return tuple(SecretStr(name * 32) for name in names.split(",") if name)

    async with attacking(desk, request_state_keys=keys(asks)) as one:
        key, state = await one.question()
    async with attacking(desk, request_state_keys=keys(reads)) as other:
        assert is_asked(await other.call(responses={key: YES}, state=state)) is not counts
    assert bool(desk.requests) is counts


def tenant_key(number: int) -> str:
    """Return an organization's key; each number is another organization."""
    return f"ApiKey_{number:08d}-1111-4111-8111-111111111111.secret-{number}"


async def _call_over_http(
    origin: str, headers: dict[str, str], tool: str, arguments: dict[str, Any], **more: Any
) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments, "_meta": {**ENVELOPE, **ASKING}, **more}
    async with httpx2.AsyncClient(base_url=origin, timeout=PATIENCE) as http:
        answer = await http.post(
            "/mcp", json={**CALL, "params": params}, headers={**CALL_HEADERS, "Mcp-Name": tool, **headers}
        )
    return answer.json()["result"]


@pytest.mark.parametrize("options", [(), ("--stateless",)], ids=["sessions", "stateless"])
async def test_one_tenants_acceptance_never_counts_for_another(options: tuple[str, ...]) -> None:
    """Both tenants have an identity of the same name."""
    sandbox = ("--sandbox", "--sandbox-db", ":memory:")
    async with serve_in_process(*sandbox, "--per-request-keys", *options) as origin:
        one, other = ({"X-Inkbox-API-Key": tenant_key(number)} for number in (1, 2))
        for headers in (one, other):
            made = {"agent_handle": "sales-agent"}
            assert not (await _call_over_http(origin, headers, "create_mailbox", made))["isError"]
        handle = {"agent_handle": "sales-agent"}
        asked = await _call_over_http(origin, one, "delete_identity", handle)
        (key,) = asked["inputRequests"]
        answer: dict[str, Any] = {
            "inputResponses": {key: AGREED},
            "requestState": asked["requestState"],
        }
        for stranger in (other, {**one, "X-Inkbox-API-Key": tenant_key(3)}):
            anew = await _call_over_http(origin, stranger, "delete_identity", handle, **answer)
            assert anew["resultType"] == "input_required"
        done = await _call_over_http(origin, one, "delete_identity", handle, **answer)
        assert done["structuredContent"]["deleted"] is True
        again = await _call_over_http(origin, one, "delete_identity", handle, **answer)
        assert again["resultType"] == "input_required"


NEVER_ASKS = pytest.param({"INKBOX_MCP_CONFIRM": "never"}, False, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("variables", "warns"),
    [({}, True), pytest.param({"INKBOX_MCP_REQUEST_STATE_KEYS": SHARED}, False, marks=pytest.mark.slow), NEVER_ASKS],
    ids=["without", "with", "never asks"],
)
async def test_beyond_loopback_a_server_without_shared_keys_says_so_once(
    variables: dict[str, Any], warns: bool, tmp_path: Path
) -> None:
    """The warning comes at the start."""
    variables = {"INKBOX_MCP_TOKEN": "a-token-that-was-given-out", **variables}
    lines: list[str] = []
    async with start("--sandbox", "--http", "--port", "0", "--host", "0.0.0.0", home=tmp_path, **variables) as server:
        while not lines or "serving MCP at " not in lines[-1]:
            lines.append(await server.log(""))
        server.signal(SIGINT)
        lines.append((await server.end()).stderr)
    assert "".join(lines).count("INKBOX_MCP_REQUEST_STATE_KEYS") == warns


# Which states were used.

ASKED = Question("Delete it?", "key")


def test_a_state_is_remembered_until_it_has_expired() -> None:
    """It is kept longer than that, because the clocks of replicas may differ."""
    clock = Clock()
    tickets = Tickets(300, clock)
    states = [tickets.issue(ASKED) for _ in range(3)]
    assert len(set(states)) == 3
    assert tickets.redeem(states[0], ASKED)
    clock.now += 300 + CLOCKS_APART
    assert not tickets.redeem(states[0], ASKED)
    assert tickets.redeem(states[1], ASKED)
    assert not tickets.redeem(None, ASKED)
    assert not tickets.redeem("", ASKED)
    assert not tickets.redeem(states[2], Question("Delete it?", "another key"))


def test_when_too_many_states_are_remembered_none_counts_until_some_have_expired() -> None:
    """If the server forgot a used state, it would count again."""
    clock = Clock()
    tickets = Tickets(300, clock)
    first = tickets.issue(ASKED)
    assert tickets.redeem(first, ASKED)
    for number in range(MAX_USED - 1):
        assert tickets.redeem(f"key {number}", ASKED)
    assert not tickets.redeem(tickets.issue(ASKED), ASKED)
    assert not tickets.redeem(first, ASKED)
    clock.now += 301 + CLOCKS_APART
    assert tickets.redeem(tickets.issue(ASKED), ASKED)
