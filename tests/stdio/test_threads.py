"""Where stdin is no pipe, the SDK's own transport serves a client, and answers the same."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.messages import HANDSHAKE, LIST_MAILBOXES, rpc
from tests.support.processes import COMMAND, PATIENCE, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a stand-in for what is no pipe")

HELLO = [rpc(id=0, method="initialize", params=HANDSHAKE), rpc(method="notifications/initialized")]


def answers(home: Path, *lines: bytes) -> list[dict[str, Any]]:
    """Serve a file of lines after a handshake; return the answers but the one to the handshake."""
    said = home / "said"
    said.write_bytes(b"".join([*HELLO, *lines]))
    with said.open("rb") as stdin:
        ended = subprocess.run(
            [*COMMAND, "--sandbox", "--sandbox-db", ":memory:"],
            stdin=stdin,
            capture_output=True,
            env=environment(home),
            timeout=PATIENCE,
            check=True,
        )
    assert b"Traceback" not in ended.stderr
    return [answer for answer in map(json.loads, ended.stdout.splitlines()) if answer["id"] != 0]


def test_what_is_no_message_is_refused_in_its_turn(tmp_path: Path) -> None:
    """Each error has the id of its request, if that can be read; blank lines have no answer."""
    refused = answers(
        tmp_path,
        b"hello\n",
        b" \r\n\n",
        rpc(id=1, method="ping", params=[]),
        rpc(id=None, method="ping"),
        rpc(id=1.5, method="notifications/cancelled"),
        rpc(id="\ud83d", method="ping"),
        rpc(id=2, method="tools/list", params={"cursor": "\ud83d"}),
        rpc(id=3, method="tools/list", params={"x": [1] * 20_000}),
        rpc(method="notifications/\ud83d"),
        rpc(id=4, method="ping")[:-1],
    )
    assert {**refused.pop(), "result": {}} == {"jsonrpc": "2.0", "id": 4, "result": {}}
    assert [(answer["id"], answer["error"]["code"]) for answer in refused] == [
        (None, -32700), (1, -32600), (None, -32600), (None, -32600), (None, -32600), (2, -32602), (3, -32600),
    ]  # fmt: skip


def test_half_a_character_in_arguments_is_an_error_of_the_tool(tmp_path: Path) -> None:
    """The next call is answered, too; so is one with invalid UTF-8, which is replaced."""
    half = {"name": "get_mailbox", "arguments": {"email_address": "\ud83d"}}
    found = answers(
        tmp_path,
        rpc(id=1, method="tools/call", params=half),
        rpc(id=2, method="tools/call", params=LIST_MAILBOXES),
        rpc(id=3, method="tools/call", params={"name": "whoami", "arguments": {"x": "?"}}).replace(b"?", b"\xff"),
    )
    results = {answer["id"]: answer["result"] for answer in found}
    assert results[1]["_meta"]["code"] == results[3]["_meta"]["code"] == "invalid_arguments"
    assert results[2]["structuredContent"]["total"] == 0
