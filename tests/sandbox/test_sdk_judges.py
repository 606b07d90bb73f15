"""What the tools send, as the official SDK of each generation of the API reads it in the mailboxes of both sides.

The SDK shares no code with ours, so it would not repeat a mistake of the tools or of the sandbox. It runs in a process
of its own, because the SDK of the identity generation needs an environment of its own.
"""

import base64
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from inkbox_mcp.sandbox import Generation, Store, create_app
from tests.support.agents import Agent, connect
from tests.support.sandbox_ports import serving

JUDGE = Path(__file__).with_name("sdk_judge.py")
PDF = b"%PDF-1.7 \x00\xff\r\n.\r\n"
CSV = "a,b\n1,ü\n".encode()
CSV_URL = f"data:text/csv;name=report.csv;base64,{base64.b64encode(CSV).decode()}"
CSV_UPLOAD = {
    "filename": "report.csv",
    "content_type": "text/csv",
    "content_base64": base64.b64encode(CSV).decode(),
}
FILES = [
    ["Rechnung März 1.pdf", "application/pdf", base64.b64encode(PDF).decode()],
    ["report.csv", "text/csv", CSV_UPLOAD["content_base64"]],
]


@dataclass
class Court:
    """A sandbox with one organization.

    Attributes:
        judge: the process of the SDK.
        generation: of the API.
        store: of the sandbox.
        folder: for attachments.
        base_url: of the sandbox.
        posted: the bodies of the requests that send, as they came.
        key: of the organization.
    """

    judge: subprocess.Popen[str]
    generation: Generation
    store: Store
    folder: Path
    base_url: str = ""
    posted: list[Any] = field(default_factory=list[Any])
    key: str = field(default_factory=lambda: f"ApiKey_{uuid4()}.{uuid4().hex}")

    def sdk(self, call: str, *arguments: Any) -> Any:
        """Let the SDK make a call of `sdk_judge`."""
        assert self.judge.stdin
        assert self.judge.stdout
        self.judge.stdin.write(f"{json.dumps([self.base_url, self.key, call, arguments])}\n")
        self.judge.stdin.flush()
        answer = self.judge.stdout.readline()
        assert answer, "the SDK raised an error, which is on stderr"
        return json.loads(answer)

    @asynccontextmanager
    async def agent(self) -> AsyncGenerator[Agent]:
        """Connect an agent to a new server, which remembers nothing."""
        settings: dict[str, Any] = {"api_key": self.key, "api_generation": self.generation}
        async with connect(self.base_url, **settings, attachments_dir=self.folder) as agent:
            yield agent


@pytest.fixture(scope="module", params=["spec", pytest.param("identity", marks=pytest.mark.slow)])
def generation(request: pytest.FixtureRequest) -> Generation:
    """Each generation of the API; the SDK of one needs an environment of its own."""
    return request.param


@pytest.fixture(scope="module")
def judge(generation: Generation, request: pytest.FixtureRequest) -> Generator[subprocess.Popen[str]]:
    """A process with the official SDK of a generation, which ends by itself after its input."""
    python = sys.executable if generation == "spec" else request.getfixturevalue("python_with_current_sdk")
    command = [python, "-I", JUDGE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        yield process


@pytest.fixture
def court(generation: Generation, judge: subprocess.Popen[str], tmp_path: Path) -> Generator[Court]:
    """A sandbox, and the official SDK of its generation."""
    with Store(":memory:") as store:
        made = Court(judge, generation, store, tmp_path)
        app = create_app(store, generation)

        @app.middleware("http")
        async def keep(request: Request, call_next: RequestResponseEndpoint) -> Response:
            if request.method == "POST" and "/messages" in request.url.path:
                made.posted.append(await request.json())
            return await call_next(request)

        with serving(app) as made.base_url:
            yield made


def outside(message: dict[str, Any]) -> dict[str, Any]:
    """Return what an envelope and its header show."""
    names = ("direction", "from_address", "to_addresses", "cc_addresses", "bcc_addresses", "subject")
    return {name: message[name] for name in names}


def attached(messages: Sequence[dict[str, Any]]) -> list[Any]:
    """Return the attachments of each message."""
    return [each["attachments"] for each in messages]


async def test_a_message_is_in_all_mailboxes_as_the_agent_wrote_it(court: Court) -> None:
    """Both bodies and all files, byte for byte; only its sender sees whom the hidden copy went to."""
    ann, bob, eve, zoe = court.sdk("create", "ann", "bob", "eve", "zoe")
    (court.folder / "Rechnung März 1.pdf").write_bytes(PDF)
    text, html = "Grüße,\n\n  Ann\n.\nFrom here", "<p>Grüße, <b>Ann</b> &amp; 工</p>"
    async with court.agent() as agent:
        result = await agent.ask(
            "send_message",
            email_address=ann,
            to=[f"Bob <{bob}>"],
            cc=[eve],
            bcc=[zoe],
            subject="Größe 17: 見積もり ✓",
            text=text,
            html=html,
            attachments=["Rechnung März 1.pdf", CSV_URL],
        )
    found: list[list[dict[str, Any]]] = court.sdk("read", ann, bob, eve, zoe)
    ((sent,), *received) = found
    assert (sent["id"], sent["thread_id"]) == (result["id"], result["thread_id"])
    assert outside(sent) == {
        "direction": "outbound",
        "from_address": ann,
        "to_addresses": [bob],
        "cc_addresses": [eve],
        "bcc_addresses": [zoe],
        "subject": "Größe 17: 見積もり ✓",
    }
    everyone = [message for messages in found for message in messages]
    assert len(everyone) == 4
    for message in everyone:
        assert (message["body_text"], message["body_html"]) == (text, html)
        assert message["message_id"] == sent["message_id"]
        assert (message["in_reply_to"], message["references"]) == (None, None)
        assert message["has_attachments"] is True
        assert message["attachments"] == FILES
    for (message,) in received:
        assert outside(message) == {**outside(sent), "direction": "inbound", "bcc_addresses": None}


async def test_an_answer_is_in_the_thread_of_its_message_on_both_sides(court: Court) -> None:
    """It goes to the sender only, names what it answers, and may have files of its own."""
    ann, bob, eve = court.sdk("create", "ann", "bob", "eve")
    court.sdk("send", ann, {"to": [bob], "cc": [eve], "subject": "Plan", "body_text": "Shall we?"})
    ((_,), (asked,)) = court.sdk("read", ann, bob)
    async with court.agent() as agent:
        arguments = {"text": "Yes.", "html": "<p>Yes.</p>", "attachments": [CSV_URL]}
        result = await agent.ask("reply_to_message", email_address=bob, message_id=asked["id"], **arguments)
    ((sent, got), (_, answer), others) = court.sdk("read", ann, bob, eve)
    assert answer["id"] == result["id"]
    assert outside(answer) == {
        "direction": "outbound",
        "from_address": bob,
        "to_addresses": [ann],
        "cc_addresses": None,
        "bcc_addresses": None,
        "subject": "Re: Plan",
    }
    assert outside(got) == {**outside(answer), "direction": "inbound"}
    for message in (answer, got):
        assert message["in_reply_to"] == sent["message_id"]
        assert message["references"] == [sent["message_id"]]
        assert (message["body_text"], message["body_html"]) == ("Yes.", "<p>Yes.</p>")
        assert message["attachments"] == FILES[1:]
    assert answer["thread"] == [asked["id"], answer["id"]]
    assert got["thread"] == [sent["id"], got["id"]]
    assert len(others) == 1


async def test_an_answer_to_all_goes_to_everyone_but_its_sender_and_hidden_ones(court: Court) -> None:
    """An answer to that answer names both messages, and each mailbox has one thread; reading marked nothing read."""
    ann, bob, eve, zoe = court.sdk("create", "ann", "bob", "eve", "zoe")
    court.sdk("send", ann, {"to": [bob, "x@example.com"], "cc": [eve], "bcc": [zoe], "subject": "Plan"})
    async with court.agent() as agent:
        listed = await agent.ask("list_messages", email_address=bob)
        asked = listed["messages"][0]["id"]
        arguments = {"message_id": asked, "text": "Yes.", "reply_all": True}
        first = await agent.ask("reply_to_message", email_address=bob, **arguments)
        listed = await agent.ask("list_messages", email_address=eve)
        answered = listed["messages"][0]["id"]
        arguments = {"message_id": answered, "text": "No.", "reply_all": True}
        second = await agent.ask("reply_to_message", email_address=eve, **arguments)
    (of_ann, of_bob, of_eve, of_zoe) = court.sdk("read", ann, bob, eve, zoe)
    yes, no = of_bob[1], of_eve[2]
    assert (yes["id"], no["id"]) == (first["id"], second["id"])
    assert (yes["to_addresses"], yes["cc_addresses"]) == ([ann, "x@example.com"], [eve])
    assert (no["to_addresses"], no["cc_addresses"]) == ([bob, ann, "x@example.com"], None)
    plan = of_ann[0]
    assert (yes["in_reply_to"], yes["references"]) == (plan["message_id"], [plan["message_id"]])
    assert (no["in_reply_to"], no["references"]) == (yes["message_id"], [plan["message_id"], yes["message_id"]])
    for mailbox in (of_ann, of_bob, of_eve):
        assert [each["subject"] for each in mailbox] == ["Plan", "Re: Plan", "Re: Plan"]
        assert [each["message_id"] for each in mailbox] == [each["message_id"] for each in (plan, yes, no)]
        assert all(each["thread"] == [one["id"] for one in mailbox] for each in mailbox)
        assert not any(each["is_read"] for each in mailbox if each["direction"] == "inbound")
    assert [each["subject"] for each in of_zoe] == ["Plan"]


async def test_a_forward_has_the_text_and_the_files_of_its_message(court: Court) -> None:
    """It begins a thread on both sides, and only those get it whom the agent names."""
    ann, bob, eve = court.sdk("create", "ann", "bob", "eve")
    (court.folder / "Rechnung März 1.pdf").write_bytes(PDF)
    files = ["Rechnung März 1.pdf", CSV_URL]
    async with court.agent() as agent:
        message = {"to": [bob], "subject": "Größe", "text": "Bitte zahlen.", "html": "<p>Bitte <i>zahlen</i>.</p>"}
        await agent.ask("send_message", email_address=ann, **message, attachments=files)
        listed = await agent.ask("list_messages", email_address=bob)
        arguments = {"message_id": listed["messages"][0]["id"], "to": [eve], "text": "Für dich."}
        result = await agent.ask("forward_message", email_address=bob, **arguments)
    (of_ann, (got, forwarded), (received,)) = court.sdk("read", ann, bob, eve)
    assert forwarded["id"] == result["id"]
    assert outside(forwarded) == {
        "direction": "outbound",
        "from_address": bob,
        "to_addresses": [eve],
        "cc_addresses": None,
        "bcc_addresses": None,
        "subject": "Fwd: Größe",
    }
    assert outside(received) == {**outside(forwarded), "direction": "inbound"}
    for each in (forwarded, received):
        assert each["body_text"].startswith("Für dich.\n")
        assert each["body_text"].endswith("Bitte zahlen.")
        assert each["body_html"].startswith("Für dich.")
        assert "<p>Bitte <i>zahlen</i>.</p>" in each["body_html"]
        assert (each["in_reply_to"], each["thread"]) == (None, [each["id"]])
    assert attached([got, forwarded, received]) == [FILES] * 3
    assert forwarded["thread_id"] != got["thread_id"]
    assert len(of_ann) == 1


MESSAGE = {
    "to": ["bob@example.com"],
    "cc": ["eve@example.com"],
    "bcc": ["zoe@example.com"],
    "subject": "Bill",
    "idempotency_key": "bill 42",
}
OF_TOOL = {**MESSAGE, "text": "42", "html": "<b>42</b>", "attachments": [CSV_URL]}
OF_SDK = {**MESSAGE, "body_text": "42", "body_html": "<b>42</b>", "attachments": [CSV_UPLOAD]}


async def test_a_message_is_posted_as_the_sdk_posts_it(court: Court) -> None:
    """Where a key stands for its input, both must write the same; an answer and a forward too."""
    (ann,) = court.sdk("create", "ann")
    keyless = {name: value for name, value in OF_SDK.items() if name != "idempotency_key"}
    court.sdk("send", ann, keyless)
    async with court.agent() as agent:
        sent = await agent.ask("send_message", email_address=ann, **OF_TOOL)
        ofs = {"email_address": ann, "message_id": sent["id"]}
        await agent.ask("reply_to_message", **ofs, text="Paid?", attachments=[CSV_URL])
        await agent.ask("forward_message", **ofs, to=[ann], text="See")
    source = court.sdk("read", ann)[0][1]
    answer = {"to": MESSAGE["to"], "subject": "Re: Bill", "in_reply_to_message_id": source["message_id"]}
    court.sdk("send", ann, {**answer, "body_text": "Paid?", "attachments": [CSV_UPLOAD]})
    court.sdk("forward", ann, sent["id"], {"to": [ann], "subject": "Fwd: Bill", "body_text": "See"})
    by_sdk, by_tool, answer_by_tool, forward_by_tool, answer_by_sdk, forward_by_sdk = court.posted
    assert by_tool == by_sdk
    assert answer_by_tool == answer_by_sdk
    assert forward_by_tool == forward_by_sdk


@pytest.mark.slow
@pytest.mark.parametrize("generation", ["identity"], scope="module")
async def test_an_answer_to_all_goes_to_whom_the_sdk_answers(court: Court) -> None:
    """Where the sender asks for answers elsewhere, and to a message of one's own."""
    ann, bob, eve = court.sdk("create", "ann", "bob", "eve")
    plan = court.sdk("send", ann, {"to": [bob, "x@example.com"], "cc": [eve, "y@example.com"], "subject": "Plan"})
    asked = court.sdk("read", bob)[0][0]["id"]
    court.sdk("reply_all", bob, asked, {"body_text": "Yes.", "reply_to": "desk@example.com"})
    answered = court.sdk("read", ann)[0][1]["id"]
    async with court.agent() as agent:
        for message_id in (answered, plan["id"]):
            arguments = {"message_id": message_id, "text": "Fine.", "reply_all": True}
            await agent.ask("reply_to_message", email_address=ann, **arguments)
            court.sdk("reply_all", ann, message_id, {"body_text": "Fine."})
    names = ("to_addresses", "cc_addresses", "subject", "in_reply_to", "references", "thread_id", "body_text")
    elsewhere, elsewhere_by_sdk, own, own_by_sdk = (
        {name: each[name] for name in names} for each in court.sdk("read", ann)[0][2:]
    )
    assert elsewhere["to_addresses"][0] == "desk@example.com"
    assert own["to_addresses"] == [bob, "x@example.com"]
    assert elsewhere == elsewhere_by_sdk
    assert own == own_by_sdk


@pytest.mark.slow
@pytest.mark.parametrize("generation", ["identity"], scope="module")
async def test_what_a_tool_sent_under_a_key_the_sdk_does_not_send_again(court: Court) -> None:
    """The same message is answered by the first one, and another one is refused."""
    (ann,) = court.sdk("create", "ann")
    async with court.agent() as agent:
        sent = await agent.ask("send_message", email_address=ann, **OF_TOOL)
    assert court.sdk("send", ann, OF_SDK) == {"id": sent["id"]}
    others: list[dict[str, Any]] = [{"body_text": "43"}, {"bcc": []}, {"subject": "Bill 2"}, {"attachments": []}]
    for other in others:
        refused = court.sdk("send", ann, {**OF_SDK, **other})
        assert refused == {"error": "IdempotencyKeyReusedError", "status": 409}
    assert [each["id"] for each in court.sdk("read", ann)[0]] == [sent["id"]]


@pytest.mark.slow
@pytest.mark.parametrize("generation", ["identity"], scope="module")
async def test_what_the_sdk_sent_under_a_key_a_tool_does_not_send_again(court: Court) -> None:
    """The result is the first message and says so, if it is of some time ago; another message is refused."""
    (ann,) = court.sdk("create", "ann")
    sent = court.sdk("send", ann, OF_SDK)
    async with court.agent() as agent:
        assert (await agent.ask("send_message", email_address=ann, **OF_TOOL))["id"] == sent["id"]
    with court.store.transaction() as connection:
        connection.execute(
            "UPDATE idempotency_keys SET answer ="
            " json_set(answer, '$.created_at', (SELECT microseconds FROM clock) - 3600000000)"
        )
    async with court.agent() as agent:
        again = await agent.ask("send_message", email_address=ann, **OF_TOOL)
        assert (again["id"], again["replayed"]) == (sent["id"], True)
        assert "Nothing was sent now" in again["note"]
    async with court.agent() as agent:
        refused = await agent.refused("send_message", email_address=ann, **{**OF_TOOL, "text": "43"})
        assert "was used for another message" in refused
    assert [each["id"] for each in court.sdk("read", ann)[0]] == [sent["id"]]


@pytest.mark.slow
@pytest.mark.parametrize("generation", ["identity"], scope="module")
async def test_keys_of_answers_and_forwards_are_the_keys_of_the_sdk(court: Court) -> None:
    """A forward has keys of its own; the SDK's forward without a subject is other input than the tool's."""
    (ann,) = court.sdk("create", "ann")
    source = court.sdk("send", ann, {"to": ["bob@example.com"], "subject": "Bill", "body_text": "42"})["id"]
    named = court.sdk("read", ann)[0][0]["message_id"]
    ofs = {"email_address": ann, "message_id": source, "idempotency_key": "k"}
    async with court.agent() as agent:
        answer = await agent.ask("reply_to_message", **ofs, text="Paid?")
        forwarded = await agent.ask("forward_message", **ofs, to=["eve@example.com"], text="See")
    written = {"to": ["bob@example.com"], "subject": "Re: Bill", "body_text": "Paid?", "in_reply_to_message_id": named}
    assert court.sdk("send", ann, {**written, "idempotency_key": "k"}) == {"id": answer["id"]}
    passed = {"to": ["eve@example.com"], "body_text": "See", "idempotency_key": "k"}
    assert court.sdk("forward", ann, source, {**passed, "subject": "Fwd: Bill"}) == {"id": forwarded["id"]}
    refused = court.sdk("forward", ann, source, passed)
    assert refused == {"error": "IdempotencyKeyReusedError", "status": 409}
    assert len(court.sdk("read", ann)[0]) == 3
