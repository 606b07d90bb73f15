"""Every line on stdin is answered or dropped: no line stops the server, and the next valid request is answered."""

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.alike import choices
from tests.support.messages import ENVELOPE, HANDSHAKE, LIST_MAILBOXES
from tests.support.processes import COMMAND, PATIENCE, environment

pytestmark = pytest.mark.posix


class Server:
    """A running server, its streams, and a client that uses one era."""

    def __init__(self, process: subprocess.Popen[bytes], era: str) -> None:
        assert process.stdin
        assert process.stdout
        self.process = process
        self.meta: dict[str, Any] = {"_meta": ENVELOPE} if era == "modern" else {}
        self._stdin = process.stdin
        self._lines: Queue[bytes] = Queue()
        self._reader = threading.Thread(target=self._read, args=[process.stdout])
        self._reader.start()
        self._asked = 0

    def _read(self, stdout: Any) -> None:
        for line in stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def write(self, *lines: bytes, end: bytes = b"\n") -> None:
        """Write lines as they are."""
        self._stdin.write(b"".join(line + end for line in lines))
        self._stdin.flush()

    def line(self) -> dict[str, Any]:
        """Read the next line, which must be JSON-RPC."""
        line = self._lines.get(timeout=PATIENCE)
        assert line, "the server has ended"
        answer = json.loads(line)
        assert answer["jsonrpc"] == "2.0"
        return answer

    def request(self, method: str, params: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Send a valid request; return its answer and the answers before it."""
        self._asked += 1
        own = f"good-{self._asked}"
        self.write(json.dumps({"jsonrpc": "2.0", "id": own, "method": method, "params": params}).encode())
        before: list[dict[str, Any]] = []
        while (answer := self.line()).get("id") != own:
            before.append(answer)
        return answer, before

    def good_call(self) -> list[dict[str, Any]]:
        """Call a tool, which must work; return the answers before it."""
        answer, before = self.request("tools/call", {**LIST_MAILBOXES, **self.meta})
        assert answer["result"]["structuredContent"]["total"] == 0
        return before

    def answers(self, number: int) -> list[dict[str, Any]]:
        """Read this many answers in any order; then no more may come, and a valid call must be answered."""
        answers = [self.line() for _ in range(number)]
        assert self.good_call() == []
        return answers

    def end(self) -> int:
        """Close stdin and wait for the process to end."""
        self._stdin.close()
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status


@contextmanager
def running(era: str, home: Path) -> Generator[Server]:
    """Start a server for a client of an era; an `undecided` client has not sent a request yet."""
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "--sandbox", "--sandbox-db", ":memory:", "--log-level", "debug"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(home),
        )
    try:
        server = Server(process, era)
        if era == "legacy":
            server.request("initialize", HANDSHAKE)
            server.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        elif era == "modern":
            server.request("server/discover", server.meta)
        yield server
        assert process.poll() is None
        assert server.end() == 0
        assert "Traceback" not in (home / "log").read_text()
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream
            stream.close()


@pytest.fixture(scope="module", params=choices(["legacy", "modern"], {"legacy"}))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """Run one process per era for all attacks of this file, so that their effects add up."""
    with running(request.param, tmp_path_factory.mktemp("home")) as server:
        yield server


def rpc(**members: Any) -> bytes:
    """Write a JSON-RPC message."""
    return json.dumps({"jsonrpc": "2.0", **members}).encode()


def with_id(text: str) -> bytes:
    """Write a request whose id is this JSON text."""
    return b'{"jsonrpc":"2.0","id":%b,"method":"ping"}' % text.encode()


NOT_JSON = {
    "a word": b"hello",
    "an open brace": b"{",
    "half a message": rpc(id=1, method="ping")[:-3],
    "two messages": rpc(id=1, method="ping") * 2,
    "NUL bytes": bytes(1000),
    "NUL in a string": b'{"jsonrpc":"2.0","id":7,"method":"\0"}',
    "a byte order mark of another encoding": b"\xff\xfe",
    "deep brackets": b"[" * 100_000,
    "deep objects": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "a huge word": b"x" * 5_000_000,
    "an endless id": with_id("9" * 5000),
    "a header": b"Content-Length: 40\r\n\r",
}
NOT_RPC = {
    "null": b"null",
    "a number": b"1",
    "a list": b"[]",
    "an empty object": b"{}",
    "a batch": b"[%b,%b]" % (rpc(id=1, method="ping"), rpc(id=2, method="ping")),
    "no method": rpc(id=1),
    "a method that is a number": rpc(id=1, method=7),
    "another JSON-RPC": b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
    "no JSON-RPC": b'{"id":1,"method":"ping"}',
    "parameters in a list": rpc(id=1, method="ping", params=[]),
    "parameters in a string": rpc(id=1, method="ping", params="x"),
    "a result that is none": rpc(id=999, result=5),
    "a result for a strange id": rpc(id=1.5, result={}),
    "an error for a strange id": rpc(id=True, error={"code": 1, "message": "x"}),
    "a request that is an error, too": rpc(id=1, method="ping", error={"code": 1, "message": "x"}),
    "half a character": b'"\\ud83d"',
    "half a character as an id": b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
    "too deep for the SDK": b"[" * 500 + b"]" * 500,
    **{f"id {text}": with_id(text) for text in ("null", "true", "1.5", "1.0", "[]", "{}", "NaN", "1e999")},
    "a cancellation that asks": rpc(id=None, method="notifications/cancelled", params={"requestId": 1}),
    "a handshake for nobody": rpc(id=None, method="initialize", params=HANDSHAKE),
}
HAVE_AN_ID = {
    "no method",
    "a method that is a number",
    "another JSON-RPC",
    "no JSON-RPC",
    "parameters in a list",
    "parameters in a string",
    "a request that is an error, too",
}
UNASKED = {
    "a result": rpc(id=999, result={}),
    "an error": rpc(id=999, error={"code": 1, "message": "x"}),
    "an error without an id": rpc(id=None, error={"code": 1, "message": "x"}),
    "a cancellation of nothing": rpc(method="notifications/cancelled", params={"requestId": 12345}),
    "a cancellation of everything": rpc(method="notifications/cancelled"),
    "a cancellation of a list": rpc(method="notifications/cancelled", params={"requestId": []}),
    "a cancellation of null": rpc(method="notifications/cancelled", params={"requestId": None}),
    "progress of nothing": rpc(method="notifications/progress", params={"progressToken": 1, "progress": 1}),
    "progress without a number": rpc(method="notifications/progress", params={"progressToken": 1, "progress": "x"}),
    "an unknown notification": rpc(method="notifications/nope", params={"x": 1}),
    "a request as a notification": rpc(method="tools/call", params=LIST_MAILBOXES),
    "a second readiness": rpc(method="notifications/initialized"),
    "nothing": b"",
    "spaces": b" \t ",
    "half a character in a notification": b'{"jsonrpc":"2.0","method":"notifications/\\ud83d"}',
    "half a character in an error": b'{"jsonrpc":"2.0","id":999,"error":{"code":1,"message":"\\ud83d"}}',
}
REFUSED = {**dict.fromkeys(NOT_JSON, -32700), **dict.fromkeys(NOT_RPC, -32600)}
NOISE = {**NOT_JSON, **NOT_RPC, **UNASKED}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_message_is_refused(server: Server, case: str) -> None:
    """The error has JSON-RPC's code, and the id of the request if that can be read: its client waits for it."""
    server.write(NOISE[case])
    (answer,) = server.good_call()
    assert (answer["id"], answer["error"]["code"]) == (1 if case in HAVE_AN_ID else None, REFUSED[case])
    assert len(json.dumps(answer)) < 350


@pytest.mark.parametrize("case", UNASKED)
def test_what_asks_for_nothing_is_dropped(server: Server, case: str) -> None:
    """It must not change the answer to the next call."""
    server.write(NOISE[case])
    assert server.good_call() == []


@pytest.mark.parametrize("text", ["-1", "0", "9" * 30, "9" * 4000, '"a"', '""', '"%s"' % ("x" * 100_000), '"\\u0000"'])
def test_every_valid_id_comes_back_as_it_was(server: Server, text: str) -> None:
    """An id may be long, negative or strange, and the client needs it unchanged."""
    server.write(rpc(id=0, method="tools/list", params=server.meta).replace(b'"id": 0', b'"id": ' + text.encode()))
    (answer,) = server.answers(1)
    assert answer["id"] == json.loads(text)
    assert "result" in answer


def test_an_id_used_twice_is_answered_twice(server: Server) -> None:
    """The requests may be concurrent or come one after another."""
    again = rpc(id="same", method="tools/list", params=server.meta)
    server.write(*[again] * 5)
    assert [answer["id"] for answer in server.answers(5)] == ["same"] * 5


@pytest.mark.parametrize("method", ["", "nope", "tools/call/", "TOOLS/LIST", "__class__", "rpc.x", "\0", "x" * 100_000])
def test_unknown_methods_are_refused(server: Server, method: str) -> None:
    """JSON-RPC has a code for unknown methods."""
    server.write(rpc(id=1, method=method, params=server.meta))
    (answer,) = server.answers(1)
    assert answer["error"]["code"] == -32601


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"name": 1},
        {"name": None},
        {"name": []},
        {"name": "nope"},
        {"name": "x" * 100_000},
        {"name": "\u202e\0"},
        {"name": "list_mailboxes", "arguments": []},
        {"name": "list_mailboxes", "arguments": "x"},
        {"name": "list_mailboxes", "arguments": 1},
        {"name": "list_mailboxes", "arguments": True},
        {"name": "list_mailboxes", "_meta": []},
        {"name": "list_mailboxes", "_meta": "x"},
        {"arguments": {}},
    ],
    ids=lambda params: json.dumps(params)[:60],
)
def test_parameters_that_are_none_are_refused(server: Server, params: dict[str, Any]) -> None:
    """They are refused before the tool gets them, and the error is short."""
    server.write(rpc(id=1, method="tools/call", params={**server.meta, **params}))
    (answer,) = server.answers(1)
    assert answer["error"]["code"] == -32602
    assert len(json.dumps(answer)) < 1000


@pytest.mark.parametrize(
    "arguments",
    [
        '{"limit":1e999}',
        '{"limit":NaN}',
        '{"limit":' + "9" * 4000 + "}",
        '{"":1}',
        '{"\\u0000":1}',
        '{"' + "x" * 100_000 + '":1}',
        '{"search":"' + "x" * 5_000_000 + '"}',
        '{"search":' + "[" * 150 + "]" * 150 + "}",
        '{"cursor":"' + "9" * 100_000 + '"}',
        "{" + ",".join(f'"a{number}":1' for number in range(10_000)) + "}",
    ],
    ids=lambda text: text[:20],
)
def test_arguments_that_no_tool_takes_are_named(server: Server, arguments: str) -> None:
    """They are an error of the tool, because the model can read it."""
    line = rpc(id=1, method="tools/call", params={**LIST_MAILBOXES, **server.meta})
    server.write(line.replace(b'"arguments": {}', b'"arguments": ' + arguments.encode()))
    (answer,) = server.answers(1)
    assert answer["result"]["_meta"]["code"] == "invalid_arguments"


HALF = "\ud83d"
"""The first half of an emoji; JSON has an escape for it."""


def asked(params: dict[str, Any], method: str = "tools/call", **members: Any) -> bytes:
    """Write a request with an id."""
    return rpc(id=7, method=method, params=params, **members)


@pytest.mark.parametrize(
    "arguments",
    [
        {"email_address": HALF},
        {"email_address": "a", HALF: 1},
        {"email_address": ["x", {HALF: [HALF]}]},
        {"email_address": "x" * 100_000 + HALF, "limit": 10**4000},
        {"email_address": HALF * 2, "no_such": "\u00e9"},
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_half_a_character_in_arguments_is_an_error_of_the_tool(server: Server, arguments: dict[str, Any]) -> None:
    """The model wrote it, so the model must read what is wrong; the client waits for this id."""
    server.write(asked({**server.meta, "name": "get_mailbox", "arguments": arguments}))
    (answer,) = server.answers(1)
    assert (answer["id"], answer["result"]["_meta"]["code"]) == (7, "invalid_arguments")
    assert len(json.dumps(answer)) < 2000


@pytest.mark.parametrize(
    ("params", "members", "code"),
    [
        ({"name": HALF}, {}, -32602),
        ({"name": "whoami", "arguments": HALF}, {}, -32602),
        ({"name": "whoami", "arguments": [HALF]}, {}, -32602),
        ({"name": "whoami", "arguments": {}, HALF: 1}, {}, -32602),
        ({"name": "whoami", "arguments": {"a": HALF}, "more": HALF}, {}, -32602),
        ({"cursor": HALF}, {"method": "tools/list"}, -32602),
        ({}, {"method": HALF}, -32600),
        ({"name": "whoami"}, {HALF: 1}, -32600),
        ({"name": HALF}, {"more": HALF}, -32600),
    ],
    ids=json.dumps,
)
def test_half_a_character_elsewhere_is_an_error_for_the_requests_id(
    server: Server, params: dict[str, Any], members: dict[str, Any], code: int
) -> None:
    """The error names the half, and does not repeat it."""
    server.write(asked({**server.meta, **params}, **members))
    server.write(asked({**params, "_meta": {**server.meta.get("_meta", {}), "a": HALF}}, **members))
    for answer in server.answers(2):
        assert (answer["id"], answer["error"]["code"]) == (7, code)
        assert "U+D83D" in answer["error"]["message"]


def test_arguments_are_carried_up_to_a_size(server: Server) -> None:
    """Larger ones are refused for the id of the call."""
    arguments = {"search": "é" * 300_000 + HALF}
    server.write(asked({**server.meta, "name": "list_mailboxes", "arguments": arguments}))
    (answer,) = server.answers(1)
    assert (answer["id"], answer["error"]["code"]) == (7, -32602)
    assert "too large, and have half of a character (U+D83D" in answer["error"]["message"]


def test_depth_that_only_the_sdk_refuses_is_refused_for_the_requests_id(server: Server) -> None:
    """In arguments it is an error of the tool."""
    deep = b"[" * 300 + b"]" * 300
    call = rpc(
        id=7, method="tools/call", params={"name": "get_mailbox", "arguments": {"email_address": "?"}, **server.meta}
    )
    page = rpc(id=8, method="tools/list", params={"cursor": "?", **server.meta})
    server.write(call.replace(b'"?"', deep), page.replace(b'"?"', deep))
    answers = {answer["id"]: answer for answer in server.answers(2)}
    assert answers[7]["result"]["_meta"]["code"] == "invalid_arguments"
    assert answers[8]["error"]["code"] == -32602


def test_what_has_too_many_values_is_refused_for_the_requests_id(server: Server) -> None:
    """The id is read although the message is not."""
    server.write(rpc(id=7, method="tools/list", params={**server.meta, "x": [1] * 20_000}))
    (answer,) = server.answers(1)
    assert (answer["id"], answer["error"]["code"]) == (7, -32600)


def test_text_that_is_no_utf_8_is_no_reason_to_stop(server: Server) -> None:
    """Invalid bytes are replaced."""
    line = rpc(
        id=1, method="tools/call", params={**server.meta, "name": "list_mailboxes", "arguments": {"search": "?"}}
    )
    for broken in (b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"):
        server.write(line.replace(b"?", broken))
        (answer,) = server.answers(1)
        assert answer["result"]["structuredContent"]["total"] == 0


@pytest.mark.parametrize("end", [b"\r\n", b"\r \n", b"\n\n\n", b" \t\r\n"])
def test_lines_may_end_as_they_do_elsewhere(server: Server, end: bytes) -> None:
    """Windows clients end lines with CRLF, and some clients send blank lines."""
    server.write(rpc(id=1, method="tools/list", params=server.meta), end=end)
    (answer,) = server.answers(1)
    assert "result" in answer


def test_very_many_lines_are_all_read(server: Server) -> None:
    """Invalid lines in between must not make the server skip a request."""
    good = rpc(id="many", method="tools/list", params=server.meta)
    server.write(*[b"x", good, b"{}", b""] * 200)
    assert Counter(answer["id"] for answer in server.answers(600)) == {"many": 200, None: 400}


def test_a_message_may_come_in_pieces(server: Server) -> None:
    """A pipe may split a message."""
    line = rpc(id="pieces", method="tools/list", params=server.meta) + b"\n"
    for index in range(0, len(line), 7):
        server.write(line[index : index + 7], end=b"")
    (answer,) = server.answers(1)
    assert answer["id"] == "pieces"


def test_shaking_hands_again_harms_nobody(server: Server) -> None:
    """A second handshake is answered or refused, even if it is invalid."""
    others: list[dict[str, Any]] = [
        {},
        {**HANDSHAKE, "protocolVersion": "1999-01-01"},
        {**HANDSHAKE, "capabilities": []},
    ]
    for params in (HANDSHAKE, *others):
        server.write(rpc(id=1, method="initialize", params=params))
        (answer,) = server.answers(1)
        assert ("result" in answer) != ("error" in answer)


def test_speaking_of_the_other_era_is_refused(server: Server) -> None:
    """A connection uses one era until it ends."""
    other = {} if server.meta else {"_meta": ENVELOPE}
    server.write(rpc(id=1, method="tools/list", params=other))
    (answer,) = server.answers(1)
    assert "error" in answer


@pytest.mark.parametrize("era", choices(["legacy", "modern"], {"legacy"}))
def test_noise_before_the_first_request_does_not_decide_anything(era: str, tmp_path: Path) -> None:
    """Only a valid request decides the era of the connection."""
    with running("undecided", tmp_path) as server:
        server.write(*NOISE.values())
        if era == "legacy":
            assert "result" in server.request("initialize", HANDSHAKE)[0]
        else:
            server.meta = {"_meta": ENVELOPE}
        server.good_call()


def test_requests_before_the_handshake_are_refused_and_the_handshake_still_works(tmp_path: Path) -> None:
    """An early request must not stop the server."""
    with running("undecided", tmp_path) as server:
        answer, _ = server.request("tools/call", LIST_MAILBOXES)
        assert "error" in answer
        assert "result" in server.request("initialize", HANDSHAKE)[0]
        server.good_call()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
METHODS = ["tools/call", "tools/list", "initialize", "ping", "notifications/cancelled", "server/discover"]
TOOLS = ["create_mailbox", "list_mailboxes", "get_mailbox", "update_mailbox", "delete_mailbox"]
FIELDS = ["agent_handle", "email_address", "email_local_part", "display_name", "webhook_url", "limit", "cursor"]
CALLS = st.fixed_dictionaries(
    {"name": st.sampled_from(TOOLS) | JSON, "arguments": st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON}
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | JSON,
        "id": st.integers() | JSON,
        "method": st.sampled_from(METHODS) | JSON,
        "params": CALLS | JSON,
        "result": JSON,
        "error": JSON,
    },
)
CALL_MESSAGES = CALLS.map(lambda params: {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


def attack(server: Server, messages: list[Any], cut: tuple[int, bytes]) -> None:
    """Write messages, the last one with bytes inserted, and call a tool."""
    for message in messages:
        if server.meta and isinstance(message.get("params"), dict):
            message["params"] |= server.meta
    lines = [json.dumps(message).encode() for message in messages]
    place, piece = cut
    lines[-1] = lines[-1][: place % (len(lines[-1]) + 1)] + piece + lines[-1][place % (len(lines[-1]) + 1) :]
    server.write(*lines)
    for answer in server.good_call():
        assert answer.get("error", {}).get("code") != -32603, messages


MANY_MESSAGES = st.lists(MESSAGES | CALL_MESSAGES, min_size=1, max_size=5)
CUTS = st.tuples(st.integers(0, 200), st.sampled_from([b"", b"", b"\n", b"\0", b"\xff", b'"', b"}", b"\r"]))
UNHURRIED: Any = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=40, **UNHURRIED)
@given(messages=MANY_MESSAGES, cut=CUTS)
def test_a_good_call_is_answered_whatever_came_before(
    server: Server, messages: list[Any], cut: tuple[int, bytes]
) -> None:
    """The earlier messages must not cause an internal error either."""
    attack(server, messages, cut)


@pytest.mark.slow
@settings(max_examples=3_000, **UNHURRIED)
@given(messages=MANY_MESSAGES, cut=CUTS)
def test_a_good_call_is_answered_whatever_came_before_for_long(
    server: Server, messages: list[Any], cut: tuple[int, bytes]
) -> None:
    """More examples find rarer messages."""
    attack(server, messages, cut)
