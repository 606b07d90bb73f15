"""Plain calls are answered without the SDK, with the same bytes; the SDK answers everything else."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from inkbox_mcp.service import Service
from inkbox_mcp.stdio.direct import Agreement, DirectCalls
from inkbox_mcp.stdio.pipes import Pipes
from inkbox_mcp.stdio.warm_start import Beginning
from inkbox_mcp.telemetry.metrics import Metrics
from inkbox_mcp.toolkit import progress
from tests.support.agents import KEY
from tests.support.alike import choices
from tests.support.cold_starts import answers_of_the_sdk, record
from tests.support.conversations import ACCEPTED, HELLO, Wire, conversation, served
from tests.support.extra_tools import offering
from tests.support.extra_tools.tools.trial import count_steps, show_all, wait_for_nothing
from tests.support.messages import LIST_MAILBOXES as LIST
from tests.support.messages import NOT_PLAIN, rpc
from tests.support.openings import call, envelope_of, legacy, opening, said
from tests.support.processes import PATIENCE
from tests.support.stdio_sessions import Session, loaded, whole

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="every call is the SDK's there")

KINDS = ["text", "text", "image", "resource_link"]
CREATE = {
    "name": "create_mailbox",
    "arguments": {"agent_handle": "sales-agent", "email_local_part": "sales", "display_name": 'Ünï 😀 "q"'},
}
SALES = {"email_address": "sales@inkboxmail.com"}
GET = {"name": "get_mailbox", "arguments": SALES}
UPDATE = {"name": "update_mailbox", "arguments": {**SALES, "display_name": ""}}
DELETE = {"name": "delete_mailbox", "arguments": SALES}

PLAIN: list[dict[str, Any]] = [
    {"id": 1, "params": {"name": "list_mailboxes"}},
    {"id": 2, "params": LIST},
    {"id": '😀 \x7f "', "params": CREATE},
    {"id": 10**30, "params": CREATE},
    {"id": -1, "params": GET},
    {"id": "one", "params": {**LIST, "arguments": {"limit": "many", "no_such": [{}]}}},
    {"id": "", "params": {"name": "get_mailbox"}},
    {"id": 4, "params": {**LIST, "_meta": {"progressToken": 4}}},
    {"id": 5, "params": {**LIST, "_meta": {"progressToken": "five"}}},
    {"id": 6, "params": {"name": "list_identities", "arguments": {"search": "\u0000"}}},
]
OTHER: list[dict[str, Any]] = [
    *NOT_PLAIN,
    {"id": 12, "params": {**LIST, "_meta": {"progressToken": {}}}},
    {"id": 13, "params": LIST, "more": 1},
    {"id": 14, "params": UPDATE},
    {"id": 15, "params": DELETE},
    {"id": 16, "method": "ping", "params": {}},
    {"id": None, "method": "ping"},
    {"id": None, "method": "notifications/cancelled", "params": {"requestId": 1}},
    {"id": "\ud83d", "params": LIST},
]


def same_every_time(answers: list[bytes]) -> list[bytes]:
    """Mask what differs from run to run."""
    changing = rb'(?<=request_id":")\w+|[0-9a-f]{8}-[-0-9a-f]{27}|\d\d:\d\d:\d\d(\.\d+)?'
    return [re.sub(changing, b"*", answer) for answer in answers]


LATEST = [HANDSHAKE_PROTOCOL_VERSIONS[-1], MODERN_PROTOCOL_VERSIONS[-1]]
EARLIER = [*HANDSHAKE_PROTOCOL_VERSIONS[:-1], *MODERN_PROTOCOL_VERSIONS[:-1]]
LATEST_ALIKE = choices(LATEST, LATEST[:1])
"""For tests of whole processes, which take a second each."""
ERAS = [*LATEST, *choices(EARLIER, EARLIER)]


@pytest.mark.parametrize("era", [*LATEST_ALIKE, *choices(EARLIER, EARLIER)])
def test_plain_calls_are_answered_with_the_bytes_of_the_sdk_and_without_it(era: str, tmp_path: Path) -> None:
    """The calls include some that fail."""
    lines = [*opening(era), *said(era, PLAIN)]
    by_the_sdk = answers_of_the_sdk(lines)
    record(tmp_path, opening(era))
    directly, _ = whole(tmp_path, lines)
    assert same_every_time(directly) == same_every_time(by_the_sdk)
    assert {b'"isError":true' in answer for answer in directly} == {True, False}
    record(tmp_path, opening(era), by_module=False)
    assert "mcp" not in loaded(tmp_path, lines)


@pytest.mark.parametrize("era", LATEST_ALIKE)
def test_whatever_is_more_than_a_plain_call_is_answered_by_the_sdk(era: str, tmp_path: Path) -> None:
    """Plain calls in between keep working."""
    get = {"params": GET}
    between = [message for number, other in enumerate(OTHER) for message in (other, {"id": f"get {number}", **get})]
    lines = [*opening(era), *said(era, [{"id": "c", "params": CREATE}, *between])]
    by_the_sdk = answers_of_the_sdk(lines)
    record(tmp_path, opening(era))
    directly, _ = whole(tmp_path, lines)
    assert same_every_time(directly) == same_every_time(by_the_sdk)


@pytest.mark.slow
@pytest.mark.parametrize("era", LATEST)
@pytest.mark.parametrize("other", OTHER, ids=lambda other: json.dumps(other)[:60])
def test_whatever_is_more_than_a_plain_call_is_for_the_sdk(other: dict[str, Any], era: str, tmp_path: Path) -> None:
    """The smallest difference from a plain call loads the SDK."""
    record(tmp_path, opening(era), by_module=False)
    assert "mcp" in loaded(tmp_path, [*opening(era), *said(era, [other])])


def test_pings_do_not_load_the_sdk(tmp_path: Path) -> None:
    """Clients that keep a connection alive send many pings, each with another id."""
    lines = [*legacy("2025-11-25"), *(rpc(id=number, method="ping") for number in range(50, 60))]
    by_the_sdk = answers_of_the_sdk(lines)
    record(tmp_path, legacy("2025-11-25"))
    assert whole(tmp_path, lines)[0] == by_the_sdk
    record(tmp_path, legacy("2025-11-25"), by_module=False)
    assert "mcp" not in loaded(tmp_path, lines)


class Slow:
    """An Inkbox that answers lists of identities at once, and a list of mailboxes when the test allows it."""

    def __init__(self) -> None:
        self.asked, self.may, self.given_up = anyio.Event(), anyio.Event(), anyio.Event()

    def __call__(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self._answer)

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("mailboxes"):
            self.asked.set()
            try:
                await self.may.wait()
            except anyio.get_cancelled_exc_class():
                self.given_up.set()
                raise
        return httpx2.Response(200, json=[])


@pytest.mark.parametrize("number", [7, "seven"])
async def test_a_call_that_is_cancelled_ends_and_is_not_answered(number: int | str) -> None:
    """A cancellation works before a call begins and while it runs; afterwards its id is free."""
    inkbox = Slow()
    cancel = rpc(method="notifications/cancelled", params={"requestId": number, "reason": "changed my mind"})
    async with conversation(inkbox) as wire:
        wire.say(call(number, **LIST), cancel)
        wire.say(call(number, **LIST))
        await inkbox.asked.wait()
        wire.say(cancel, call(number, name="list_identities"))
        answer = await wire.hear()
        assert (answer["id"], answer["result"]["isError"]) == (number, False)
        wire.leave()


@pytest.mark.parametrize("reason", [b"\\ud83d", b"\xff"])
@pytest.mark.parametrize("by_the_sdk", [False, True])
async def test_a_cancellation_counts_whatever_its_reason_is(reason: bytes, by_the_sdk: bool) -> None:
    """Clients cut long reasons in the middle of a character, and nobody reads them."""
    inkbox = Slow()
    waiting = call(1, **LIST, task={}) if by_the_sdk else call(1, **LIST)
    async with conversation(inkbox) as wire:
        wire.say(waiting)
        await inkbox.asked.wait()
        wire.say(rpc(method="notifications/cancelled", params={"requestId": 1, "reason": "?"}).replace(b"?", reason))
        await inkbox.given_up.wait()
        wire.leave()


def test_a_cancellation_of_nothing_changes_nothing_and_loads_nothing(tmp_path: Path) -> None:
    """A cancellation may cross with the answer to its call."""
    lines = legacy("2025-11-25")
    others: list[Any] = [12, "no", 1.5, None, []]
    late = [rpc(method="notifications/cancelled", params={"requestId": other}) for other in others]
    record(tmp_path, lines, by_module=False)
    assert "mcp" not in loaded(tmp_path, [*lines, call(10, **LIST), *late, call(11, **LIST)])


async def test_calls_that_are_slow_hold_nobody_up() -> None:
    """Plain calls and requests to the SDK are answered while a slow call runs."""
    inkbox = Slow()
    async with conversation(inkbox) as wire:
        wire.say(call(1, **LIST))
        await inkbox.asked.wait()
        wire.say(call(2, name="list_identities"), rpc(id=3, method="ping"))
        assert {(await wire.hear())["id"], (await wire.hear())["id"]} == {2, 3}
        wire.say(rpc(id=4, method="prompts/list"))
        assert (await wire.hear())["error"]["code"] == -32601
        wire.say(call(5, name="list_identities"), rpc(method="notifications/cancelled", params={"requestId": 1}))
        assert (await wire.hear())["id"] == 5
        wire.leave()


async def test_a_call_that_is_still_under_way_when_the_client_leaves_is_told_so() -> None:
    """Its error follows a second later, because the client may still read."""
    inkbox = Slow()
    async with conversation(inkbox) as wire:
        wire.say(call(1, **LIST))
        await inkbox.asked.wait()
        wire.leave()
        answer = await wire.hear()
    assert answer["error"] == {"code": -32000, "message": "Connection closed"}


async def test_of_two_calls_with_one_id_both_are_answered_and_the_later_can_be_cancelled() -> None:
    """The SDK treats a repeated id the same way."""
    inkbox = Slow()
    async with conversation(inkbox) as wire:
        wire.say(call(1, **LIST))
        await inkbox.asked.wait()
        wire.say(call(1, name="list_identities"))
        assert (await wire.hear())["result"]["isError"] is False
        inkbox.asked = anyio.Event()
        wire.say(call(1, **LIST))
        await inkbox.asked.wait()
        wire.say(rpc(method="notifications/cancelled", params={"requestId": 1}))
        await inkbox.given_up.wait()
        inkbox.may.set()
        assert (await wire.hear())["result"]["isError"] is False
        wire.leave()


@pytest.mark.parametrize(
    ("number", "named"),
    [(7, "7"), ("7", 7), ("07", "7"), ("9" * 5000, "9" * 5000), ("\u0667", 7)],
    ids=lambda value: ascii(value)[:8],
)
async def test_a_cancellation_may_write_an_id_in_another_way(number: int | str, named: int | str) -> None:
    """The SDK treats these ids as equal, such as 7 and "7"."""
    inkbox = Slow()
    async with conversation(inkbox) as wire:
        wire.say(call(number, **LIST))
        await inkbox.asked.wait()
        wire.say(rpc(method="notifications/cancelled", params={"requestId": named}))
        await inkbox.given_up.wait()
        wire.leave()


@pytest.mark.parametrize(
    ("number", "named"), [("True", True), (1, True), ("1.5", 1.5), ("None", None), ("[]", [])], ids=ascii
)
async def test_what_is_no_id_cancels_nothing(number: int | str, named: Any) -> None:
    """A value such as true may look like an id when it is written as text."""
    inkbox = Slow()
    async with conversation(inkbox) as wire:
        wire.say(call(number, **LIST))
        await inkbox.asked.wait()
        wire.say(rpc(method="notifications/cancelled", params={"requestId": named}), call("x", name="list_identities"))
        assert (await wire.hear())["id"] == "x"
        inkbox.may.set()
        assert (await wire.hear())["id"] == number
        wire.leave()


async def test_a_call_that_ends_although_it_was_cancelled_is_not_answered() -> None:
    """The client no longer waits for this id."""
    asked = anyio.Event()

    async def stubborn(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("mailboxes"):
            asked.set()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.1)
        return httpx2.Response(200, json=[])

    async with conversation(lambda: httpx2.MockTransport(stubborn)) as wire:
        wire.say(call(1, **LIST))
        await asked.wait()
        wire.say(rpc(method="notifications/cancelled", params={"requestId": 1}))
        await anyio.sleep(0.3)
        wire.say(call(2, name="list_identities"))
        assert (await wire.hear())["id"] == 2
        wire.leave()


async def test_an_answer_that_the_client_reads_late_is_not_followed_by_another() -> None:
    """No call gets a second answer at the end of input, when its first one is still unread."""
    async with conversation(lambda: httpx2.MockTransport(lambda _: httpx2.Response(200, json=[]))) as wire:
        wire.say(*(call(number, name="list_identities") for number in range(1, 700)))
        wire.leave()
        await anyio.sleep(1.5)  # more than it waits for the client to read
        answered: list[int] = []
        with anyio.move_on_after(0.5):
            while True:
                answered.append((await wire.hear())["id"])
    assert 0 < len(answered) == len(set(answered))


@pytest.mark.slow
def test_the_end_of_input_is_heard_although_the_client_does_not_read(tmp_path: Path) -> None:
    """The answers to its pings are more than the pipe holds."""
    lines = legacy("2025-11-25")
    record(tmp_path, lines)
    session = Session(tmp_path)
    session.stdin.write(b"".join([*lines, *(rpc(id=number, method="ping") for number in range(10, 2500))]))
    session.stdin.close()
    try:
        assert session.process.wait(PATIENCE) == 0
    finally:
        session.process.kill()
        session.stdout.close()


@pytest.mark.slow
def test_a_request_that_is_called_like_a_notification_is_answered_by_the_sdk(tmp_path: Path) -> None:
    """The answer is an error, because no such request exists."""
    opening, request = legacy("2025-11-25"), rpc(id=9, method="notifications/cancelled", params={"requestId": 1})
    record(tmp_path, opening)
    *_, answer = Session(tmp_path).end(b"".join([*opening, request])).splitlines()
    assert (json.loads(answer)["id"], json.loads(answer)["error"]["code"]) == (9, -32601)


@pytest.mark.slow
@pytest.mark.parametrize("era", LATEST)
def test_a_client_whose_name_is_no_utf8_is_served(era: str, tmp_path: Path) -> None:
    """The SDK accepts such a name, so a recording may contain it."""
    lines = [line.replace(b'"test"', b'"t\xff"') for line in opening(era)]
    call = [line.replace(b'"test"', b'"t\xff"') for line in said(era, PLAIN[:1])]
    by_the_sdk = answers_of_the_sdk([*lines, *call])
    record(tmp_path, lines)
    assert whole(tmp_path, [*lines, *call])[0] == by_the_sdk


async def test_a_bug_is_an_error_that_tells_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    """The error has the code that the SDK uses, and only the log has the exception."""

    def fail(request: httpx2.Request) -> httpx2.Response:
        raise RuntimeError(str(request.url))

    async with conversation(lambda: httpx2.MockTransport(fail)) as wire:
        wire.say(call(1, **LIST))
        error = (await wire.hear())["error"]
        wire.leave()
    assert (error["code"], error["message"]) == (-32603, "list_mailboxes hit a bug in inkbox-mcp.")
    assert re.fullmatch("[0-9a-f]{16}", error["data"]["request_id"])
    assert "RuntimeError" in caplog.text
    assert "https:" not in caplog.text


async def answers_to(
    service: Service, era: str, calls: list[dict[str, Any]], *, directly: bool, lines: int = 1
) -> list[bytes]:
    """Begin as a client of a protocol version, make calls, and return the lines that answer them.

    Args:
        service: whose tools are called.
        era: the protocol version.
        calls: the parameters of calls, one after the other.
        directly: whether the first lines come from a recording, so that plain calls need no SDK.
        lines: how many lines answer each call.
    """
    exchanges: list[tuple[bytes, bytes]] = []
    async with served(service, []) as wire:
        for line in opening(era):
            wire.say(line)
            exchanges.append((line.rstrip(b"\n"), await wire.line() + b"\n" if b'"id"' in line else b""))
        told = [] if directly else await _asked(wire, era, calls, lines)
        wire.leave()
    if directly:
        async with served(service, exchanges) as wire:
            told = await _asked(wire, era, calls, lines)
            wire.leave()
    return told


async def _asked(wire: Wire, era: str, calls: list[dict[str, Any]], lines: int) -> list[bytes]:
    told: list[bytes] = []
    for line in said(era, [{"id": 100 + number, "params": params} for number, params in enumerate(calls)]):
        wire.say(line)
        told += [await wire.line() for _ in range(lines)]
    return told


@pytest.mark.parametrize("era", ERAS)
async def test_content_is_answered_with_the_bytes_of_the_sdk(era: str) -> None:
    """Content is texts, images and links; links have all optional fields, or none."""
    service = offering(show_all)
    hidden = "a\u200bb\n\U000e0041" + KEY
    named = {"name": 'é "1".pdf', "title": "Ünï 😀", "size": 10**12, "text": "\x00<&>\ud83d\ude00"}
    shown = [{}, {"times": 2}, named, {"text": hidden, "name": hidden, "title": hidden}, {"size": 0}, {"text": "x" * 9}]
    calls = [{"name": "show_all", "arguments": arguments} for arguments in shown]
    directly = await answers_to(service, era, calls, directly=True)
    assert directly == await answers_to(service, era, calls, directly=False)
    assert [block["type"] for block in json.loads(directly[0])["result"]["content"]] == KINDS


SOON = 5.0
"""Seconds allowed for something that should happen at once."""

TEXTS = st.text(max_size=20)


@given(st.lists(st.fixed_dictionaries({"text": TEXTS, "name": TEXTS, "title": TEXTS, "size": st.integers(0)})))
@settings(max_examples=10, deadline=None)
def test_content_of_any_kind_is_answered_with_the_bytes_of_the_sdk(shown: list[dict[str, Any]]) -> None:
    """Generated texts must be escaped as the SDK escapes them."""
    service = offering(show_all)
    calls = [{"name": "show_all", "arguments": arguments} for arguments in shown]

    async def both() -> None:
        for era in LATEST:
            directly = await answers_to(service, era, calls, directly=True)
            assert directly == await answers_to(service, era, calls, directly=False)

    anyio.run(both)


class Both(Metrics):
    """Signals when two calls have ended well."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.ended = anyio.Event()

    def call_ended(self, tool: str, outcome: str, seconds: float | None) -> None:
        """Record the outcome."""
        self.outcomes.append(outcome)
        if self.outcomes == ["ok", "ok"]:
            self.ended.set()


@pytest.mark.parametrize("era", LATEST)
async def test_a_client_that_does_not_read_its_progress_gets_its_answer_when_it_does(
    era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unread progress is dropped, so that it delays neither this call nor others."""
    monkeypatch.setattr(progress, "SECONDS_TO_TAKE", 0.01)
    both = Both()
    service = offering(count_steps, metrics=both)
    much = {"name": "count_steps", "arguments": {"steps": 10_000, "message": "x" * 300}, **TOKEN}
    lines = said(era, [{"id": 101, "params": much}, {"id": 102, "params": LIST}])
    agreed = [(opening(era)[0], STAMPED if era in MODERN_PROTOCOL_VERSIONS else ACCEPTED)]
    async with served(service, agreed) as wire:
        wire.say(*lines)
        await both.ended.wait()
        heard = [await wire.hear()]
        while {101, 102} - {answer.get("id") for answer in heard}:
            heard.append(await wire.hear())
        wire.leave()
    done = [answer["params"]["progress"] for answer in heard if "method" in answer]
    assert done == list(range(1, len(done) + 1))
    assert len(done) < 10_000
    assert [answer.get("id") for answer in heard][-1] in {101, 102}


TOKEN = {"_meta": {"progressToken": "t"}}
COUNT = {"name": "count_steps", "arguments": {"steps": 2}}


@pytest.mark.parametrize("era", LATEST)
async def test_a_call_is_plain_unless_it_may_ask_or_is_to_report(era: str) -> None:
    """A call of a tool that can report or ask is plain when it does not ask for that."""
    first = opening(era)[0]
    beginning = Beginning()
    beginning.exchanges = [(first, STAMPED if era in MODERN_PROTOCOL_VERSIONS else ACCEPTED)]
    plain = [COUNT, {**LIST, **TOKEN}, GET, {"name": "wait_for_nothing"}]
    others = [{**COUNT, **TOKEN}, {"name": "wait_for_nothing", **TOKEN}, UPDATE, DELETE]
    lines = said(era, [{"id": number, "params": params} for number, params in enumerate([*plain, *others])])
    (stdin, to), (back, stdout) = os.pipe(), os.pipe()
    os.write(to, b"".join(lines))
    handed_out: list[bytes] = []
    try:
        async with anyio.create_task_group() as tasks:
            service = offering(count_steps, wait_for_nothing)
            calls = DirectCalls(service, Pipes(stdin, stdout, tasks.cancel_scope.cancel), tasks, beginning)
            with anyio.fail_after(SOON):
                handed_out += [bytes(await calls.next_line() or b"") + b"\n" for _ in others]
            tasks.cancel_scope.cancel()
        assert handed_out == lines[len(plain) :]
    finally:
        for fd in (stdin, to, back, stdout):
            os.close(fd)


@pytest.mark.parametrize("era", LATEST)
@pytest.mark.parametrize("directly", [True, False])
async def test_a_client_that_asks_for_progress_gets_it_and_another_gets_the_answer_alone(
    era: str, directly: bool
) -> None:
    """This holds with the SDK and without it."""
    told = await answers_to(offering(count_steps), era, [COUNT], directly=directly)
    assert json.loads(told[0])["result"]["structuredContent"] == {"steps": 2}
    told = await answers_to(offering(count_steps), era, [{**COUNT, **TOKEN}], directly=directly, lines=3)
    *reports, answer = map(json.loads, told)
    assert [report["params"] for report in reports] == [
        {"progressToken": "t", "progress": step, "total": 2, "message": f"step {step}"} for step in (1, 2)
    ]
    assert {report["method"] for report in reports} == {"notifications/progress"}
    assert answer["result"]["structuredContent"] == {"steps": 2}


@pytest.mark.parametrize("era", LATEST)
@pytest.mark.parametrize("params", [{}, TOKEN], ids=["directly", "by the SDK"])
async def test_a_call_that_waits_answers_when_the_client_closes_stdin(era: str, params: dict[str, Any]) -> None:
    """The client may still read; the call has a second to answer."""
    service = offering(wait_for_nothing)
    waiting = {"name": "wait_for_nothing", "arguments": {"seconds": 3600.0}, **params}
    (line,) = said(era, [{"id": 101, "params": waiting}])
    agreed = [(opening(era)[0], STAMPED if era in MODERN_PROTOCOL_VERSIONS else ACCEPTED)]
    async with served(service, agreed) as wire:
        wire.say(line, *said(era, [{"id": 102, "params": LIST}]))
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1].get("id") != 102:  # by then the call that waits has begun, too
            heard.append(await wire.hear())
        wire.leave()
        while (answer := await wire.hear()).get("id") != 101:
            heard.append(answer)
        assert any("method" in one for one in heard) == bool(params)
    assert answer["result"]["structuredContent"]["ended_early"] is True


REFUSED = b'{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"Invalid request parameters"}}\n'
DISCOVER, LISTED = (
    rpc(id=0, method=method, params={"_meta": envelope_of(MODERN_PROTOCOL_VERSIONS[-1])})
    for method in ("server/discover", "tools/list")
)
STAMPED = b'{"jsonrpc":"2.0","id":0,"result":{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"inkbox-mcp"}}}}\n'
OTHER_CLIENT = LISTED.replace(b'"test"', b'"another"')
UNCLEAR: dict[str, list[tuple[bytes, bytes]]] = {
    "nothing": [],
    "only a notification": [(rpc(method="notifications/initialized"), b"")],
    "a list before the handshake": [(rpc(id=0, method="tools/list"), REFUSED), (HELLO, ACCEPTED)],
    "no handshake": [(rpc(id=0, method="tools/list"), REFUSED)],
    "a refused handshake": [(HELLO, REFUSED)],
    "two handshakes": [(HELLO, ACCEPTED), (HELLO, ACCEPTED)],
    "a handshake and an envelope": [(HELLO, ACCEPTED), (LISTED, REFUSED)],
    "an envelope that was refused": [(DISCOVER, REFUSED)],
    "an envelope that was refused at last": [(DISCOVER, STAMPED), (LISTED, REFUSED)],
    "two envelopes": [(LISTED, STAMPED), (OTHER_CLIENT, STAMPED)],
    "an envelope and a handshake": [(DISCOVER, STAMPED), (HELLO, REFUSED)],
}


@pytest.mark.parametrize("beginning", UNCLEAR)
def test_where_it_is_not_clear_what_was_agreed_every_line_is_for_the_sdk(beginning: str) -> None:
    """The SDK refuses what must be refused."""
    assert Agreement.of(UNCLEAR[beginning]) is None


def test_what_was_agreed_is_what_the_sdk_answered() -> None:
    """The handshake or the envelope defines it, depending on the era."""
    assert Agreement.of([(HELLO, ACCEPTED), (rpc(method="notifications/initialized"), b"")]) == Agreement(
        {}, {}, json.loads(HELLO)["params"]
    )
    envelope, stamp = (
        envelope_of(MODERN_PROTOCOL_VERSIONS[-1]),
        {"io.modelcontextprotocol/serverInfo": {"name": "inkbox-mcp"}},
    )
    assert Agreement.of([(DISCOVER, STAMPED), (LISTED, STAMPED)]) == Agreement(
        envelope, stamp, json.loads(DISCOVER).get("params")
    )
